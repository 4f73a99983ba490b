// SPDX-License-Identifier: MIT
/*
 * Do a block's bytes match its hash, whatever dies?
 *
 * Workers match prompts, read every byte of the matched blocks, compute the
 * rest and register it, in a pool that is far too small.  At any moment they
 * are killed or, where blocks linger, their sessions are revoked.  Blocks are
 * written by the worker, or by a device: a process that outlives the worker,
 * as hardware does, and writes as late as half of linger_ms after it was told
 * to.
 *
 * A device that nothing holds back does harm, and so does a worker that
 * registers a block before it is written.  The test tries both: they must
 * cause wrong bytes, or reading would prove nothing.
 *
 * The result does not depend on a clock: writers look at it before and after.
 * A device that comes too late writes nothing, like one whose driver gave up.
 * A writer that was delayed between the two looks reports it, and a round that
 * had both this and wrong bytes is done again.  Time counts from before the
 * allocation: then the session was not revoked.
 */
#include <sched.h>
#include "torture.h"

#define BLOCKS		96U
#define BLOCK_BYTES	4096U
#define PROMPTS		40U
#define LENGTH		10U		/* blocks of a prompt */
#define WORKERS		4U
#define TRIES		5
#define STEP		0x9e3779b97f4a7c15ULL

enum job_state { JOB_FREE, JOB_GIVEN, JOB_DONE, JOB_LATE };

/* A device's orders to write. */
struct job {
	uint32_t state;
	uint32_t block;
	uint64_t word;
	uint64_t since_ns;	/* the block is its worker's */
	uint64_t due_ns;
};

/* One round; all processes have it. */
struct round {
	const char *name;
	uint32_t linger_ms;
	bool device;
	bool early;		/* registered before it is written */
	bool harm;		/* bytes must be wrong */
};

static const struct round rounds[] = {
	{ "no linger, the worker writes" },
	{ "10 ms, devices and revocations", 10, true },
	{ "20 ms, devices and revocations", 20, true },
	{ "50 ms, devices and revocations", 50, true },
	{ "no linger, devices: harm is seen", 0, true, .harm = true },
	{ "registered early: harm is seen", 0, .early = true, .harm = true },
};

static struct shared {
	const struct round *round;
	uint32_t stop;
	uint64_t seed;
	uint64_t reads;		/* of whole blocks */
	uint64_t wrong;
	uint64_t writes;
	uint64_t late;		/* jobs that a device gave up */
	uint64_t unfair;	/* writes that may have come too late */
	uint64_t revoked;	/* that a worker noticed */
	struct job jobs[WORKERS][LENGTH];
} *shm;

static char *pool;		/* the blocks' bytes */

#define count(what)	__atomic_fetch_add(&shm->what, 1, __ATOMIC_RELAXED)
#define get(what)	__atomic_load_n(&shm->what, __ATOMIC_RELAXED)

static uint64_t first_word(struct kvbm_hash h)
{
	struct rng r = { h.hi ^ (h.lo + STEP) };

	return rnd64(&r) ^ h.lo;
}

static uint64_t *block_at(uint32_t id)
{
	return (uint64_t *)(pool + (size_t)id * BLOCK_BYTES);
}

/* Every word of a block is another than the same one of any other. */
static void write_block(uint32_t id, uint64_t word, uint64_t since_ns)
{
	volatile uint64_t *p = block_at(id);
	uint32_t i;

	for (i = 0; i < BLOCK_BYTES / 8; i++)
		p[i] = word + i * STEP;
	count(writes);
	/* Somebody else may have had the block already. */
	if (shm->round->linger_ms && !shm->round->harm &&
	    kt_now() - since_ns > shm->round->linger_ms * 1000000ULL)
		count(unfair);
}

static bool right(uint32_t id, struct kvbm_hash h)
{
	const volatile uint64_t *p = block_at(id);
	uint64_t word = first_word(h), other = 0;
	uint32_t i;

	for (i = 0; i < BLOCK_BYTES / 8; i++)
		other |= p[i] ^ (word + i * STEP);
	count(reads);
	return !other;
}

/* The device: nobody kills it while the round lasts. */
static void device(void)
{
	uint64_t linger = shm->round->linger_ms * 1000000ULL;
	uint32_t w, i;

	while (!get(stop)) {
		for (w = 0; w < WORKERS; w++) {
			for (i = 0; i < LENGTH; i++) {
				struct job *j = &shm->jobs[w][i];
				uint64_t now = kt_now();

				if (__atomic_load_n(&j->state, __ATOMIC_ACQUIRE)
				    != JOB_GIVEN || now < j->due_ns)
					continue;
				if (linger && now - j->since_ns > linger * 3 / 4) {
					count(late);
					__atomic_store_n(&j->state, JOB_LATE,
							 __ATOMIC_RELEASE);
					continue;
				}
				write_block(j->block, j->word, j->since_ns);
				__atomic_store_n(&j->state, JOB_DONE,
						 __ATOMIC_RELEASE);
			}
		}
		usleep(100);
	}
	_exit(0);
}

struct worker {
	uint32_t number;
	int from;		/* opens sessions */
	int fd;
	struct rng r;
};

/* The bytes of what was matched, while it is held. */
static bool check(struct worker *w, uint32_t n, const uint32_t *ids,
		  const struct kvbm_hash *h)
{
	struct kvbm_counts c;
	uint32_t i, bad = 0;

	for (i = 0; i < n; i++)
		bad += !right(ids[i], h[i]);
	if (!bad)
		return true;
	/* Whose session was revoked holds nothing, and learns it now. */
	if (kvbm_counts(w->fd, &c))
		return false;
	if (count(wrong) < 3 && !shm->round->harm)
		printf("# %s: worker %u: %u of %u blocks are wrong\n",
		       shm->round->name, w->number, bad, n);
	return true;
}

/* Jobs of an earlier life may still be with the device. */
static bool jobs_are_free(struct worker *w)
{
	uint32_t i;

	for (i = 0; i < LENGTH; i++)
		if (__atomic_load_n(&shm->jobs[w->number][i].state,
				    __ATOMIC_ACQUIRE) == JOB_GIVEN)
			return false;
	return true;
}

/* False: a device gave up. */
static bool fill(struct worker *w, uint32_t n, const uint32_t *ids,
		 const struct kvbm_hash *h, uint64_t since_ns)
{
	uint64_t most = shm->round->linger_ms ?
			shm->round->linger_ms * 500000ULL : 3000000;
	bool device = shm->round->device, good = true;
	struct job *jobs = shm->jobs[w->number];
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (!device || (chance(&w->r, 4) && !shm->round->harm)) {
			write_block(ids[i], first_word(h[i]), since_ns);
			jobs[i].state = JOB_DONE;
			continue;
		}
		jobs[i].block = ids[i];
		jobs[i].word = first_word(h[i]);
		jobs[i].since_ns = since_ns;
		jobs[i].due_ns = kt_now() + rnd64(&w->r) % most;
		__atomic_store_n(&jobs[i].state, JOB_GIVEN, __ATOMIC_RELEASE);
	}
	for (i = 0; device && i < n; i++) {
		uint32_t state;

		while ((state = __atomic_load_n(&jobs[i].state,
						__ATOMIC_ACQUIRE)) == JOB_GIVEN)
			usleep(100);
		good &= state == JOB_DONE;
	}
	return good;
}

/* One prompt; false: the session was revoked. */
static bool serve(struct worker *w)
{
	struct kvbm_registered now[LENGTH];
	uint32_t ids[LENGTH], back[LENGTH], n, i, k = rnd(&w->r, PROMPTS);
	uint32_t length = 1 + rnd(&w->r, LENGTH), error = 0;
	struct kvbm_hash h[LENGTH];
	bool written = true;
	uint64_t since;
	int hit, ret;

	for (i = 0; i < length; i++)
		h[i] = prompt(k, i);
	hit = kvbm_match(w->fd, length, h, ids, &error);
	if (hit < 0)
		return false;
	if (!check(w, hit, ids, h))
		return false;
	n = length - hit;
	since = kt_now();
	ret = n ? kvbm_alloc(w->fd, n, ids + hit, NULL, NULL) : 0;
	if (ret == -ENOSPC)
		n = 0;
	else if (ret < 0)
		return false;
	if (n && shm->round->early) {
		ret = kvbm_stage_register(w->fd, n, ids + hit, h + hit, now,
					  KVBM_REGISTER_ALLOW, &error);
		sched_yield();
		fill(w, n, ids + hit, h + hit, since);
	} else if (n && fill(w, n, ids + hit, h + hit, since)) {
		ret = kvbm_stage_register(w->fd, n, ids + hit, h + hit, now,
					  chance(&w->r, 2) ?
					  KVBM_REGISTER_ALLOW :
					  KVBM_REGISTER_REJECT, &error);
		for (i = 0; ret > 0 && i < (uint32_t)ret; i++)
			ids[hit + i] = now[i].block;
	} else if (n) {
		written = false;
	}
	if (ret < 0 || error)
		return false;
	/* Nobody wrote to what this worker held, or took it. */
	length = n ? length : (uint32_t)hit;
	if (!check(w, written ? length : (uint32_t)hit, ids, h))
		return false;
	for (i = 0; i < length; i++)
		back[i] = ids[length - 1 - i];
	return length == 0 ||
	       kvbm_release(w->fd, length, back, 0, &error) == (int)length;
}

static void work(uint32_t number, int from, uint64_t life)
{
	struct worker w = { .number = number, .from = from };

	w.r = rng_of(shm->seed, number, life, shm->round - rounds);
	while (!jobs_are_free(&w))
		usleep(200);
	for (;;) {
		w.fd = kvbm_session_open(from);
		if (w.fd < 0) {
			/* The last to die lingers in the session count. */
			usleep(1000);
			continue;
		}
		while (serve(&w))
			;
		count(revoked);
		close(w.fd);
	}
}

static pid_t start(uint32_t number, int from, uint64_t life)
{
	pid_t pid = kt_fork();

	if (!pid)
		work(number, from, life);
	return pid;
}

static void revoke_some(int fd, struct rng *r)
{
	struct kvbm_session_entry e[16];
	uint64_t own = kt_session_id(fd);
	int n = kvbm_session_list(fd, 16, e, NULL);
	uint32_t i;

	if (n <= 0)
		return;
	i = rnd(r, n);
	/* One that lingers would be ended at once. */
	if (e[i].session_id != own && !(e[i].flags & KVBM_SESSION_LINGERS))
		kvbm_session_revoke(fd, e[i].session_id, NULL);
}

static int pool_new(const struct round *round, const char *policy)
{
	struct kvbm_payload_options o = { .bytes = BLOCKS * BLOCK_BYTES };
	struct kvbm_payload_map map;
	struct kvbm_store_create c;
	int file = kvbm_payload_create(&o), fd;

	if (file < 0)
		return file;
	kvbm_store_create_init(&c, NULL, BLOCKS);
	kvbm_store_create_policy(&c, policy);
	kvbm_store_create_payload(&c, file, BLOCK_BYTES);
	c.linger_ms = round->linger_ms;
	fd = kt_store_make(&c);
	close(file);
	if (fd < 0)
		return fd;
	if (kvbm_payload_map(fd, PROT_READ | PROT_WRITE, &map)) {
		close(fd);
		return -EIO;
	}
	pool = map.base;
	return fd;
}

struct outcome {
	uint64_t kills;
	uint64_t revocations;
	uint64_t sums;		/* moments at which the sum was looked at */
	uint64_t sums_wrong;
	bool back;		/* every block, in the end */
};

static void look_at_sum(int fd, struct outcome *o)
{
	struct kvbm_counts c = kt_counts(fd);

	o->sums++;
	if (c.reset + c.inactive + c.held + c.lingering != c.total)
		o->sums_wrong++;
}

static bool all_back(int fd)
{
	struct kvbm_counts c;
	int i;

	for (i = 0; i < 600; i++) {
		c = kt_counts(fd);
		if (c.reset + c.inactive == c.total && !c.held && !c.lingering)
			return true;
		kt_sleep_ms(100);
	}
	return false;
}

static int run(const struct round *round, uint64_t ns, uint64_t seed,
	       const char *policy, struct outcome *o)
{
	struct rng r = rng_of(seed, round - rounds, 0, 77);
	uint64_t end = kt_now() + ns, life = 0;
	pid_t pid[WORKERS], dev = 0;
	uint32_t i;
	int fd;

	memset(shm, 0, sizeof(*shm));
	memset(o, 0, sizeof(*o));
	shm->round = round;
	shm->seed = seed;
	fd = pool_new(round, policy);
	if (fd < 0)
		return fd;
	if (round->device) {
		dev = kt_fork();
		if (!dev)
			device();
	}
	for (i = 0; i < WORKERS; i++)
		pid[i] = start(i, fd, life++);
	while (kt_now() < end || (round->harm && !get(wrong) &&
				  kt_now() < end + 20 * ns)) {
		usleep(1000 + rnd(&r, 8000));
		look_at_sum(fd, o);
		if (round->linger_ms && chance(&r, 3)) {
			revoke_some(fd, &r);
			o->revocations++;
			continue;
		}
		i = rnd(&r, WORKERS);
		kt_kill(pid[i]);
		o->kills++;
		look_at_sum(fd, o);
		pid[i] = start(i, fd, life++);
	}
	for (i = 0; i < WORKERS; i++)
		kt_kill(pid[i]);
	__atomic_store_n(&shm->stop, 1, __ATOMIC_RELAXED);
	if (dev)
		kt_reap(dev);
	o->back = all_back(fd);
	munmap(pool, BLOCKS * BLOCK_BYTES);
	close(fd);
	return 0;
}

static void judge(const struct round *round, int err, const struct outcome *o,
		  const char *policy)
{
	bool good = !err && o->back && o->sums && !o->sums_wrong && o->kills &&
		    shm->reads;

	if (round->harm)
		good &= shm->wrong != 0;
	else
		good &= !shm->wrong;
	printf("# %s: %llu blocks (%llu MB) read, %llu wrong, %llu written, %llu kills, %llu revocations, %llu sums, %llu jobs late, %llu maybe\n",
	       policy, (unsigned long long)shm->reads,
	       (unsigned long long)shm->reads * BLOCK_BYTES / 1000000,
	       (unsigned long long)shm->wrong, (unsigned long long)shm->writes,
	       (unsigned long long)o->kills,
	       (unsigned long long)o->revocations, (unsigned long long)o->sums,
	       (unsigned long long)shm->late, (unsigned long long)shm->unfair);
	if (err)
		printf("# error %d\n", err);
	if (!o->back || o->sums_wrong)
		printf("# %llu sums wrong; %s\n",
		       (unsigned long long)o->sums_wrong,
		       o->back ? "all came back" : "not all came back");
	ksft_test_result(good, "%s\n", round->name);
}

int main(int argc, char **argv)
{
	uint64_t seed = option(argc, argv, "seed", 1);
	uint64_t seconds = option(argc, argv, "at-most", 12);
	uint64_t ns = seconds * 1000000000ULL / ARRAY_SIZE(rounds);
	struct rng r = { seed };
	struct outcome o;
	unsigned int i;
	int err, tries;

	setvbuf(stdout, NULL, _IOLBF, 4096);
	ksft_print_header();
	ksft_set_plan(ARRAY_SIZE(rounds));
	printf("# seed %llu\n", (unsigned long long)seed);
	shm = kt_shared(sizeof(*shm));
	if (!shm)
		ksft_exit_fail_msg("no memory\n");
	for (i = 0; i < ARRAY_SIZE(rounds); i++) {
		const char *policy = policies[rnd(&r, N_POLICIES)];

		for (tries = 0; tries < TRIES; tries++) {
			err = run(&rounds[i], ns, seed + tries, policy, &o);
			if (err || rounds[i].harm || !shm->wrong || !shm->unfair)
				break;
			printf("# somebody wrote late: again\n");
		}
		judge(&rounds[i], err, &o, policy);
	}
	ksft_finished();
}
