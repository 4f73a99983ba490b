// SPDX-License-Identifier: MIT
/*
 * The longest stretch for which the module holds a lock, and the longest call
 * of each function that does a chunk of a batch.  The store has 1,048,576
 * blocks.  Operations take 1,000,000 of them in one call; processes die that
 * hold as many; as many ranks expire at one moment.  Also claims, hand-overs
 * of holds, invalidated hashes, and notes of the largest size.
 *
 * For "selftests/vm/run --icount", where the clock counts instructions.  The
 * figures include the tracer's share, which is printed beside them.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include "ftrace.h"
#include "vmbench.h"

#define POOL	(1U << 20)
#define MANY	1000000U
#define SOME	65536U		/* for what is simple */

static struct kvbm_hash *keys;
static struct kvbm_registered *out;
static uint32_t *ids;
static struct kvbm_evicted *evicted;
static uint8_t *bytes;
static const char *policy;

static void *array(size_t n, size_t size)
{
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static int open_store(bool ranks, uint32_t note_bytes)
{
	int control = kvbm_control_open();
	struct kvbm_store_create c;

	CHECK(control >= 0);
	CHECK(!kvbm_store_create_init(&c, NULL, POOL));
	CHECK(!kvbm_store_create_policy(&c, policy));
	c.note_bytes = note_bytes;
	if (ranks) {
		c.flags |= KVBM_CREATE_RETENTION;
		c.keep_blocks = POOL;
	}
	CHECK(!kvbm_store_create(control, &c));
	close(control);
	return c.fd;
}

/* Prompts that nobody has seen, MANY blocks of them. */
static void new_prompts(void)
{
	static uint64_t prompt;
	uint32_t i, n;

	for (i = 0; i < MANY; i += n) {
		n = MANY - i < PROMPT ? MANY - i : PROMPT;
		fresh_keys(prompt++, 0, n, keys + i);
	}
}

#define TRACE(what, n, call) do {					\
	int __ret;							\
									\
	ftrace_begin(what);						\
	__ret = (call);							\
	ftrace_end();							\
	if (__ret != (int)(n)) {					\
		fprintf(stderr, "%s: %d\n", what, __ret);		\
		exit(1);						\
	}								\
} while (0)

static void registered_ids(void)
{
	uint32_t i;

	for (i = 0; i < MANY; i++)
		ids[i] = out[i].block;
}

/* A process takes MANY blocks, registers them or not, and is killed. */
static void dies(int fd, const char *what, bool registers)
{
	int ready[2], ses;
	char c = 0;
	pid_t pid;

	CHECK(!pipe(ready));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		ses = kvbm_session_open(fd);
		CHECK(ses >= 0);
		CHECK(kvbm_alloc(ses, MANY, ids, NULL, NULL) == (int)MANY);
		if (registers)
			CHECK(kvbm_stage_register(ses, MANY, ids, keys, out, 0,
						  NULL) == (int)MANY);
		CHECK(write(ready[1], &c, 1) == 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	CHECK(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	ftrace_begin(what);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	ftrace_end();
}

/* An allocation whose last results cannot be written is given back. */
static void fails(int fd)
{
	size_t size = SOME * sizeof(uint32_t);
	char *p = array(SOME, sizeof(uint32_t));

	CHECK(!munmap(p + size - 4096, 4096));
	TRACE("a failed allocate", -14,
	      kvbm_alloc(fd, SOME, (uint32_t *)p, NULL, NULL));
	munmap(p, size - 4096);
}

static void small_ones(int fd)
{
	struct kvbm_weak *weak = array(SOME, sizeof(*weak));
	uint32_t i, hits;

	TRACE("retain", SOME, kvbm_retain(fd, SOME, ids, NULL));
	TRACE("set_reset", SOME, kvbm_set_reset(fd, SOME, ids, false, NULL));
	TRACE("release", SOME, kvbm_release(fd, SOME, ids, 0, NULL));
	for (i = 0; i < SOME; i++)
		weak[i] = (struct kvbm_weak) { .block = i, .hash = keys[i],
					       .generation = ~0U };
	TRACE("upgrade", SOME, kvbm_upgrade(fd, SOME, weak, ids, &hits, NULL));
	CHECK(hits == SOME);
	TRACE("release", SOME, kvbm_release(fd, SOME, ids, 0, NULL));
	TRACE("presence", SOME,
	      kvbm_presence(fd, SOME, keys, bytes, NULL));
	munmap(weak, SOME * sizeof(*weak));
}

/*
 * Lineage at its worst: a chain of MANY, idle at both ends only; the tail goes,
 * and MANY - 2 placeholders after it.
 */
static void chain(int fd)
{
	uint32_t one, hits;

	chain_keys(1ULL << 42, 0, MANY, keys);
	CHECK(kvbm_alloc(fd, MANY, ids, NULL, NULL) == (int)MANY);
	CHECK(kvbm_stage_register(fd, MANY, ids, keys, out, 0, NULL) ==
	      (int)MANY);
	CHECK(kvbm_release(fd, MANY, ids, 0, NULL) == (int)MANY);
	TRACE("scan, idle", MANY - 2,
	      kvbm_scan(fd, MANY - 2, keys + 1, ids, KVBM_SCAN_TOUCH, &hits,
			NULL));
	/* The free list first. */
	one = POOL - MANY + 1;
	TRACE("evict the tail of a chain", one,
	      kvbm_alloc(fd, one, ids + MANY - 2, evicted, NULL));
	CHECK(kvbm_release(fd, MANY - 2 + one, ids, 0, NULL) ==
	      (int)(MANY - 2 + one));
}

static void all(int fd)
{
	int other = kvbm_session_open(fd);

	CHECK(other >= 0);
	new_prompts();
	TRACE("allocate, free", MANY, kvbm_alloc(fd, MANY, ids, NULL, NULL));
	TRACE("stage", MANY, kvbm_stage(fd, MANY, ids, keys, NULL, NULL));
	TRACE("unstage", SOME, kvbm_unstage(fd, SOME, ids, NULL));
	TRACE("stage", SOME, kvbm_stage(fd, SOME, ids, keys, NULL, NULL));
	TRACE("register, staged", MANY,
	      kvbm_register(fd, MANY, ids, out, 0, NULL));
	registered_ids();
	TRACE("match, own", MANY, kvbm_match(fd, MANY, keys, ids, NULL));
	TRACE("release, own", MANY, kvbm_release(fd, MANY, ids, 0, NULL));
	TRACE("match, others", MANY, kvbm_match(other, MANY, keys, ids, NULL));
	TRACE("release, others", MANY,
	      kvbm_release(other, MANY, ids, 0, NULL));
	small_ones(fd);
	CHECK(kvbm_match(other, MANY, keys, ids, NULL) == (int)MANY);
	CHECK(kvbm_release(other, MANY, ids, 0, NULL) == (int)MANY);
	TRACE("release, last, head first", MANY,
	      kvbm_release(fd, MANY, ids, 0, NULL));
	TRACE("match, idle", MANY, kvbm_match(fd, MANY, keys, ids, NULL));
	reverse(ids, MANY);
	TRACE("release, last, tail first", MANY,
	      kvbm_release(fd, MANY, ids, 0, NULL));
	new_prompts();
	TRACE("allocate, evicting", MANY,
	      kvbm_alloc(fd, MANY, ids, evicted, NULL));
	TRACE("stage and register", MANY,
	      kvbm_stage_register(fd, MANY, ids, keys, out, 0, NULL));
	registered_ids();
	CHECK(kvbm_release(fd, MANY, ids, 0, NULL) == (int)MANY);
	fails(fd);
	new_prompts();
	dies(fd, "death with 1,000,000 registered", true);
	TRACE("reset inactive", POOL, kvbm_reset_inactive(fd, NULL, NULL));
	dies(fd, "death with 1,000,000 Mutable", false);
	if (!strncmp(policy, "lineage", 7))
		chain(fd);
	close(other);
}

/* SOME blocks of new prompts, registered and held. */
static void some(int fd)
{
	uint32_t i;

	new_prompts();
	CHECK(kvbm_alloc(fd, SOME, ids, NULL, NULL) == (int)SOME);
	CHECK(kvbm_stage_register(fd, SOME, ids, keys, out, 0, NULL) ==
	      (int)SOME);
	for (i = 0; i < SOME; i++)
		ids[i] = out[i].block;
}

/* Hashes that are claimed: those of a chunk end together, and somebody waits. */
static void claims(int fd, int other)
{
	uint32_t *theirs = ids + MANY, i;

	new_prompts();
	CHECK(kvbm_alloc(fd, SOME, ids, NULL, NULL) == (int)SOME);
	CHECK(kvbm_alloc(other, SOME, theirs, NULL, NULL) == (int)SOME);
	TRACE("claim", SOME, kvbm_claim(fd, SOME, ids, keys, bytes, NULL));
	TRACE("claim what is claimed", SOME,
	      kvbm_claim(other, SOME, theirs, keys, bytes, NULL));
	for (i = 0; i < SOME; i++)
		CHECK(bytes[i] == KVBM_CLAIM_PENDING);
	TRACE("register what is claimed", SOME,
	      kvbm_register(fd, SOME, ids, out, 0, NULL));
	TRACE("claim what is present", SOME,
	      kvbm_claim(other, SOME, theirs, keys, bytes, NULL));
	for (i = 0; i < SOME; i++)
		ids[i] = out[i].block;
	CHECK(kvbm_release(fd, SOME, ids, 0, NULL) == (int)SOME);
	new_prompts();
	CHECK(kvbm_claim(other, SOME, theirs, keys, bytes, NULL) == (int)SOME);
	TRACE("release what is claimed", SOME,
	      kvbm_release(other, SOME, theirs, 0, NULL));
}

/* Holds that nobody else has, and such that the receiver has too. */
static void hand_over(int fd, int other)
{
	struct kvbm_ticket ticket;
	uint32_t total, i;

	for (i = 0; i < 2; i++) {
		some(fd);
		if (i)
			CHECK(kvbm_match(other, SOME, keys, ids + MANY, NULL) ==
			      (int)SOME);
		TRACE("offer", 0, kvbm_offer(fd, SOME, ids, &ticket));
		TRACE("withdraw", SOME, kvbm_withdraw(fd, &ticket));
		CHECK(!kvbm_offer(fd, SOME, ids, &ticket));
		TRACE("accept", SOME,
		      kvbm_accept(other, &ticket, SOME, ids, &total));
		CHECK(kvbm_release(other, SOME, ids, 0, NULL) == (int)SOME);
		if (i)
			CHECK(kvbm_release(other, SOME, ids, 0, NULL) ==
			      (int)SOME);
	}
}

/* Of idle blocks and of held ones; of a chain, and of all. */
static void invalidate(int fd)
{
	uint32_t idle, held;

	TRACE("touch, the newest", SOME,
	      kvbm_touch_newest(fd, SOME, keys, NULL));
	TRACE("invalidate, idle", 0,
	      kvbm_invalidate(fd, SOME, keys, 0, &idle, &held));
	CHECK(idle == SOME);
	some(fd);
	TRACE("invalidate, held", 0,
	      kvbm_invalidate(fd, SOME, keys, 0, &idle, &held));
	CHECK(held == SOME);
	TRACE("release, invalidated", SOME,
	      kvbm_release(fd, SOME, ids, 0, NULL));
	chain_keys(1ULL << 43, 0, MANY, keys);
	CHECK(kvbm_alloc(fd, MANY, ids, NULL, NULL) == (int)MANY);
	CHECK(kvbm_stage_register(fd, MANY, ids, keys, out, 0, NULL) ==
	      (int)MANY);
	registered_ids();
	reverse(ids, MANY);
	CHECK(kvbm_release(fd, MANY, ids, 0, NULL) == (int)MANY);
	TRACE("invalidate a prefix", 0,
	      kvbm_invalidate(fd, 1, keys + MANY / 2, KVBM_INVALIDATE_PREFIX,
			      &idle, &held));
	CHECK(idle == MANY - MANY / 2);
	TRACE("invalidate all", 0,
	      kvbm_invalidate(fd, 0, NULL, KVBM_INVALIDATE_ALL, &idle, &held));
	CHECK(idle >= MANY / 2);
}

static void shared(int fd)
{
	int other = kvbm_session_open(fd);

	CHECK(other >= 0);
	claims(fd, other);
	hand_over(fd, other);
	invalidate(fd);
	close(other);
}

static uint64_t boottime(void)
{
	struct timespec t;

	CHECK(!clock_gettime(CLOCK_BOOTTIME, &t));
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t expired(int fd)
{
	struct kvbm_stats s;

	CHECK(!kvbm_stats(fd, &s));
	return s.rank_expired;
}

/* MANY idle blocks are kept, until one moment; who waits sees it come. */
static uint64_t kept(int fd)
{
	uint64_t until = boottime() + 20000000000ULL;

	TRACE("keep", MANY,
	      kvbm_keep_hashes(fd, MANY, keys, KVBM_RANK_KEEP, until, 0, NULL,
			       NULL));
	CHECK(boottime() < until);
	return until;
}

/* Ranks that end together, once alone, once while others evict. */
static void ranks(int fd)
{
	uint64_t until;

	new_prompts();
	CHECK(kvbm_alloc(fd, MANY, ids, NULL, NULL) == (int)MANY);
	CHECK(kvbm_stage_register(fd, MANY, ids, keys, out, 0, NULL) ==
	      (int)MANY);
	CHECK(kvbm_release(fd, MANY, ids, 0, NULL) == (int)MANY);
	until = kept(fd);
	ftrace_begin("1,000,000 ranks end");
	while (expired(fd) < MANY)
		usleep(100000);
	ftrace_end();
	fprintf(stderr, "%s: all ended %.0f ms after their time\n", policy,
		(boottime() - until) / 1e6);
	until = kept(fd);
	while (boottime() < until)
		usleep(1000);
	TRACE("allocate, ranks ending", POOL,
	      kvbm_alloc(fd, POOL, ids, evicted, NULL));
	CHECK(expired(fd) > MANY);
}

/* Notes are copied between the caller's chunk and the store under its lock. */
static void notes(int fd)
{
	struct kvbm_export_entry *e = array(SOME, sizeof(*e));
	uint8_t *n = array(SOME, KVBM_MAX_NOTE_BYTES);
	uint64_t cursor = 0;
	uint32_t hits;

	new_prompts();
	CHECK(kvbm_alloc(fd, SOME, ids, NULL, NULL) == (int)SOME);
	TRACE("stage with notes", SOME,
	      kvbm_stage_notes(fd, SOME, ids, keys, n, NULL));
	TRACE("register with notes", SOME,
	      kvbm_register_notes(fd, SOME, ids, NULL, n, out, 0, NULL));
	TRACE("match with notes", SOME,
	      kvbm_match_notes(fd, SOME, keys, ids, n, NULL));
	CHECK(kvbm_release(fd, SOME, ids, 0, NULL) == (int)SOME);
	CHECK(kvbm_release(fd, SOME, ids, 0, NULL) == (int)SOME);
	TRACE("match with notes, idle", SOME,
	      kvbm_match_notes(fd, SOME, keys, ids, n, NULL));
	TRACE("scan with notes", SOME,
	      kvbm_scan_notes(fd, SOME, keys, ids, n, 0, &hits, NULL));
	TRACE("export with notes", SOME,
	      kvbm_export_notes(fd, NULL, &cursor, SOME, e, n, NULL));
	munmap(n, (size_t)SOME * KVBM_MAX_NOTE_BYTES);
	munmap(e, SOME * sizeof(*e));
}

static void print_series(const char *what, struct series *s)
{
	printf(", \"%ss\": %u, \"%s_median\": %u, \"%s_max\": %u"
	       ", \"%s_max_in\": \"%s\", \"%ss_interrupted\": %u"
	       ", \"%s_interrupted_max\": %u", what, s->n + s->ticked, what,
	       series_median(s), what, s->max, what, s->max_in ?: "", what,
	       s->ticked, what, s->max_ticked);
}

static void print(const char *how)
{
	unsigned int i;

	for (i = 0; i < nr_traced; i++) {
		struct traced *t = &traced[i];

		if (!t->calls.n && !t->calls.ticked)
			continue;
		printf("{\"name\": \"longest\", \"policy\": \"%s\""
		       ", \"pool\": %u, \"n\": %u, \"mode\": \"%s%s\"", policy,
		       POOL, MANY, t->name, how);
		print_series("call", &t->calls);
		print_series("section", &t->sections);
		printf("}\n");
	}
	fflush(stdout);
}

static uint64_t match_ticks(int fd)
{
	uint64_t best = ~0ULL, begin, took;
	int i;

	for (i = 0; i < 21; i++) {
		begin = __rdtsc();
		CHECK(kvbm_match(fd, 64, keys, ids, NULL) == 64);
		took = __rdtsc() - begin;
		if (took < best)
			best = took;
	}
	return best;
}

/* One chunk is a function, a lock and an unlock to the tracer. */
static void tracer_cost(void)
{
	uint64_t with, without;
	int fd;

	policy = "lru";
	fd = open_store(false, 0);
	new_prompts();
	CHECK(kvbm_alloc(fd, 64, ids, NULL, NULL) == 64);
	CHECK(kvbm_stage_register(fd, 64, ids, keys, out, 0, NULL) == 64);
	ftrace_begin("");
	with = match_ticks(fd);
	ftrace_end();
	/* Off is not without: the hooks stay until the tracer goes. */
	ftrace_stop();
	without = match_ticks(fd);
	ftrace_start();
	ftrace_forget();
	close(fd);
	printf("{\"name\": \"longest\", \"mode\": \"tracer\""
	       ", \"instructions_per_function\": %.0f}\n",
	       (with - without) / 3.0);
}

void bench_longest(void)
{
	static const char * const policies[] = {
		"lru", "multi_lru", "lineage_tick",
	};
	unsigned int i;
	int fd;

	keys = array(MANY, sizeof(*keys));
	evicted = array(POOL, sizeof(*evicted));
	out = array(MANY, sizeof(*out));
	ids = array(MANY + POOL, sizeof(*ids));
	bytes = array(SOME, 1);
	ftrace_setup();
	tracer_cost();
	for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		policy = policies[i];
		fd = open_store(false, 0);
		all(fd);
		shared(fd);
		close(fd);
		print("");
		ftrace_forget();
		fd = open_store(true, 0);
		ranks(fd);
		close(fd);
		print(", ranks");
		ftrace_forget();
		fd = open_store(false, KVBM_MAX_NOTE_BYTES);
		notes(fd);
		close(fd);
		print(", notes");
		ftrace_forget();
	}
}
