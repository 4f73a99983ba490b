// SPDX-License-Identifier: MIT
/*
 * System calls that no sane program makes: random requests with random
 * structures and pointers into memory that is not there, not writable, or
 * changes meanwhile, and random io_uring entries.  Afterwards the store's books
 * must agree.
 *
 *	sysfuzz [--seed S] [--iterations N] [--at-most SECONDS]
 */
#include <liburing.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <kvbm_uring.h>
#include "torture.h"

#define REGION		(64 << 10)
#define GAP		(1ULL << 30)	/* more than any batch reaches */
#define TOTAL		256
#define FDS		6
#define FIRST_FD	200		/* ours are below */

enum region { R_PLAIN, R_READONLY, R_NONE, R_FLIPPING, R_CHANGING, N_REGIONS };

static unsigned char *region[N_REGIONS];	/* as the kernel is told */
static unsigned char *alias[N_REGIONS];		/* where we can write */
static bool stop;
static struct rng r;
static int fds[FDS];
static uint64_t calls, well, by_ring, ring_well;

/* Each with a second mapping, amid a desert. */
static void make_regions(void)
{
	unsigned int i;

	for (i = 0; i < N_REGIONS; i++) {
		unsigned char *desert = mmap(NULL, GAP, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				-1, 0);
		int fd = memfd_create("region", MFD_CLOEXEC);

		if (desert == MAP_FAILED || fd < 0 || ftruncate(fd, REGION))
			ksft_exit_fail_msg("no memory\n");
		region[i] = mmap(desert + (1 << 20), REGION,
				 i == R_NONE ? PROT_NONE : i == R_READONLY ?
				 PROT_READ : PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, fd, 0);
		alias[i] = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0);
		if (region[i] == MAP_FAILED || alias[i] == MAP_FAILED)
			ksft_exit_fail_msg("no memory\n");
		/* The descriptor stays, to map it again. */
		if (i == R_FLIPPING)
			dup2(fd, FIRST_FD - 1);
		close(fd);
	}
}

/* Maps, takes away and protects one region, writes into another, all the time. */
static void *disturb(void *arg)
{
	struct rng mine = rng_of(*(uint64_t *)arg, 77, 0, 0);
	struct timespec t = { 0, 20000 };
	unsigned int i;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		switch (rnd(&mine, 6)) {
		case 0:
			/* A hole that nobody else's mapping may get. */
			mmap(region[R_FLIPPING], REGION / 2, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
			     MAP_NORESERVE, -1, 0);
			break;
		case 1:
			mprotect(region[R_FLIPPING], REGION, PROT_NONE);
			break;
		case 2:
			mprotect(region[R_FLIPPING] + 4096, 8192, PROT_READ);
			break;
		case 3:
			madvise(region[R_FLIPPING], REGION, MADV_DONTNEED);
			break;
		default:
			mmap(region[R_FLIPPING], REGION, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, FIRST_FD - 1, 0);
		}
		for (i = 0; i < 64; i++)
			alias[R_CHANGING][rnd(&mine, 4096)] = rnd64(&mine);
		nanosleep(&t, NULL);
	}
	return NULL;
}

/* A place in one of the regions, and where we may write what it says. */
static uint64_t place(unsigned char **writable, uint32_t room)
{
	unsigned int k = chance(&r, 2) ? R_PLAIN : rnd(&r, N_REGIONS);
	uint32_t at = rnd(&r, REGION - room);

	if (chance(&r, 10))		/* at the brink */
		at = REGION - rnd(&r, 64) - 1;
	else if (!chance(&r, 4))
		at &= ~7U;
	if (k == R_CHANGING)
		at &= 4095;
	if (writable)
		*writable = at + room <= REGION ? alias[k] + at : NULL;
	return (uintptr_t)region[k] + at;
}

static uint64_t pointer(void)
{
	switch (rnd(&r, 16)) {
	case 0:
		return 0;
	case 1:
		return 0xffff800000000000ULL | rnd64(&r);	/* the kernel's */
	case 2:
		return 0x00007ffffffff000ULL - rnd(&r, 64);
	case 3:
		return -(uint64_t)rnd(&r, 64);
	case 4:
		return 0x10000 + rnd(&r, 65536);	/* never mapped */
	default:
		return place(NULL, 4096);
	}
}

static uint32_t number(void)
{
	switch (rnd(&r, 6)) {
	case 0:
		return rnd64(&r);
	case 1:
		return 1U << rnd(&r, 32);
	case 2:
		return 0;
	default:
		return rnd(&r, 200);
	}
}

static const uint32_t sizes[0x30] = {
	[KVBM_OP_FEATURES] = sizeof(struct kvbm_features),
	[KVBM_OP_STORE_CREATE] = sizeof(struct kvbm_store_create),
	[KVBM_OP_STORE_DESTROY] = sizeof(struct kvbm_store_destroy),
	[KVBM_OP_STORE_LIST] = sizeof(struct kvbm_store_list),
	[KVBM_OP_STORE_INFO] = sizeof(struct kvbm_store_info),
	[KVBM_OP_SESSION_OPEN] = sizeof(struct kvbm_session_open),
	[KVBM_OP_SESSION_CONFIG] = sizeof(struct kvbm_session_config),
	[KVBM_OP_SESSION_LIST] = sizeof(struct kvbm_session_list),
	[KVBM_OP_SESSION_REVOKE] = sizeof(struct kvbm_session_revoke),
	[KVBM_OP_COUNTS] = sizeof(struct kvbm_counts),
	[KVBM_OP_STATS] = sizeof(struct kvbm_stats),
	[KVBM_OP_BLOCK_INFO] = sizeof(struct kvbm_block_info),
	[KVBM_OP_RESET_INACTIVE] = sizeof(struct kvbm_reset_inactive),
	[KVBM_OP_ALLOC] = sizeof(struct kvbm_alloc),
	[KVBM_OP_STAGE] = sizeof(struct kvbm_stage),
	[KVBM_OP_UNSTAGE] = sizeof(struct kvbm_ids),
	[KVBM_OP_REGISTER] = sizeof(struct kvbm_register),
	[KVBM_OP_MATCH] = sizeof(struct kvbm_match),
	[KVBM_OP_SCAN] = sizeof(struct kvbm_match),
	[KVBM_OP_RELEASE] = sizeof(struct kvbm_ids),
	[KVBM_OP_RETAIN] = sizeof(struct kvbm_ids),
	[KVBM_OP_SET_RESET] = sizeof(struct kvbm_ids),
	[KVBM_OP_UPGRADE] = sizeof(struct kvbm_upgrade),
	[KVBM_OP_PRESENCE] = sizeof(struct kvbm_query),
	[KVBM_OP_FREQUENCY] = sizeof(struct kvbm_query),
	[KVBM_OP_TOUCH] = sizeof(struct kvbm_query),
};

/* Half sense: words that are numbers, then what is mostly pointers. */
static void fill_struct(unsigned char *p, unsigned int op, uint32_t size)
{
	uint32_t at, head = op >= KVBM_OP_STAGE && op != KVBM_OP_MATCH &&
			    op != KVBM_OP_SCAN && op != KVBM_OP_UPGRADE ?
			    16 : 24;
	uint32_t w;
	uint64_t q;

	memset(p, 0, size);
	for (at = 4; at + 4 <= size && at < head; at += 4) {
		/* flags, count, done, ...: often as they should be */
		w = at == 8 || chance(&r, 12) ? number() :
		    at == 4 && chance(&r, 4) ? rnd(&r, 4) : 0;
		memcpy(p + at, &w, 4);
	}
	for (at = head; at + 8 <= size; at += 8) {
		q = chance(&r, 3) ? 0 : pointer();
		if (op < KVBM_OP_ALLOC)
			q = chance(&r, 2) ? 0 : rnd64(&r);
		memcpy(p + at, &q, 8);
	}
	w = chance(&r, 12) ? number() : size;
	memcpy(p, &w, 4);
}

static void fill_create(struct kvbm_store_create *c)
{
	c->total_blocks = number();
	c->block_size = chance(&r, 4) ? number() : 0;
	strcpy(c->policy, chance(&r, 4) ? "" : policies[rnd(&r, N_POLICIES)]);
	memset(c->thresholds, 0, sizeof(c->thresholds));
	c->mode = chance(&r, 4) ? number() : 0;
	c->freq_capacity = chance(&r, 4) ? rnd(&r, 4096) : 0;
	c->uid = c->gid = -1;
	memset(c->name, 0, sizeof(c->name));
	if (chance(&r, 2))
		c->name[0] = "ab/.\xff"[rnd(&r, 5)];
	memset(c->reserved, 0, sizeof(c->reserved));
}

static uint64_t arguments(unsigned int op)
{
	uint32_t size = op < 0x30 && sizes[op] ? sizes[op] : 64;
	unsigned char *p;
	uint64_t where = place(&p, size);

	if (!p || chance(&r, 30))
		return pointer();
	fill_struct(p, op, size);
	if (op == KVBM_OP_STORE_CREATE && !chance(&r, 8))
		fill_create((struct kvbm_store_create *)p);
	if (op == KVBM_OP_STORE_DESTROY && !chance(&r, 4)) {
		memset(p + 8, 0, KVBM_NAME_LEN);
		p[8] = 'a' + rnd(&r, 2);
	}
	return where;
}

static unsigned int any_op(void)
{
	return chance(&r, 3) ? rnd(&r, 0x30) :
	       KVBM_OP_ALLOC + rnd(&r, KVBM_OP_TOUCH - KVBM_OP_ALLOC + 1);
}

static void a_call(void)
{
	unsigned int op = any_op();
	unsigned long request = KVBM_IO(op);

	if (chance(&r, 20))
		request = rnd64(&r);
	else if (chance(&r, 20))
		request ^= 1UL << rnd(&r, 32);
	/* A revocation of the watcher would end the test. */
	calls++;
	well += syscall(SYS_ioctl, fds[rnd(&r, FDS)], request,
			arguments(op)) >= 0;
}

static void some_entries(struct io_uring *ring)
{
	unsigned int i, n = 1 + rnd(&r, 6);
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;

	for (i = 0; i < n; i++) {
		unsigned int op = chance(&r, 6) ? rnd64(&r) : any_op();
		unsigned int k;

		sqe = io_uring_get_sqe(ring);
		if (!sqe)
			break;
		kvbm_prep_op(sqe, fds[rnd(&r, FDS)], op,
			     (void *)(uintptr_t)arguments(op),
			     op < 0x30 && !chance(&r, 8) ? sizes[op] : number());
		if (chance(&r, 8))
			for (k = 0; k < 16; k++)
				((unsigned char *)sqe->cmd)[k] = rnd64(&r);
		if (chance(&r, 4))
			sqe->flags |= IOSQE_ASYNC;
		if (chance(&r, 4))
			sqe->flags |= IOSQE_IO_LINK;
		if (chance(&r, 20))
			sqe->flags = rnd64(&r);
		if (chance(&r, 20))
			sqe->rw_flags = rnd64(&r);
		if (chance(&r, 20))
			sqe->fd = rnd64(&r);
	}
	by_ring += n;
	io_uring_submit(ring);
	while (!io_uring_peek_cqe(ring, &cqe)) {
		ring_well += cqe->res >= 0;
		io_uring_cqe_seen(ring, cqe);
	}
}

static void tick(int sig)
{
}

/* The descriptors that are called: the kinds there are. */
static void reopen(int watcher)
{
	int fd[FDS] = { kvbm_session_open(watcher), kvbm_session_open(watcher),
			kvbm_session_open(watcher), kvbm_session_open(watcher),
			kvbm_control_open(), open("/dev/null", O_RDWR) };
	int i;

	for (i = 0; i < FDS; i++) {
		fds[i] = FIRST_FD - 2 - FDS + i;
		if (fd[i] < 0 || dup2(fd[i], fds[i]) < 0)
			ksft_exit_fail_msg("cannot open: %d\n", fd[i]);
		close(fd[i]);
	}
	/* What calls opened whose results went nowhere. */
	syscall(SYS_close_range, FIRST_FD, ~0U, 0);
}

static uint64_t module_limit(const char *name, uint64_t set)
{
	char path[96], buf[32] = {};
	uint64_t was = 0;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/kvbm/parameters/%s", name);
	fd = open(path, O_RDWR);
	if (fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0) {
		was = strtoull(buf, NULL, 0);
		snprintf(buf, sizeof(buf), "%llu", (unsigned long long)set);
		if (pwrite(fd, buf, strlen(buf), 0) < 0)
			was = 0;
	}
	close(fd);
	return was;
}

int main(int argc, char **argv)
{
	uint64_t iterations = option(argc, argv, "iterations", 200000);
	uint64_t seed = option(argc, argv, "seed", kt_now()), i;
	uint64_t limit = option(argc, argv, "at-most", 0) * 1000000000ULL;
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = {};
	struct sigaction sa = { .sa_handler = tick };
	struct wrongs w = { .where = "afterwards" };
	uint64_t blocks, start = kt_now(), spent;
	struct kvbm_hash universe[64];
	struct io_uring ring;
	bool have_ring;
	pthread_t thread;
	sigset_t alarm;
	int watcher, fd;

	setvbuf(stdout, NULL, _IOLBF, 4096);
	ksft_print_header();
	ksft_set_plan(3);
	printf("# seed %llu, %llu iterations\n", (unsigned long long)seed,
	       (unsigned long long)iterations);
	r = rng_of(seed, 1, 2, 3);
	make_regions();
	blocks = module_limit("max_blocks", 1 << 16);
	watcher = kt_store(TOTAL, .policy = "lineage_tick",
			   .freq_capacity = 1024);
	if (watcher < 0)
		ksft_exit_fail_msg("no store: %d\n", watcher);
	for (i = 0; i < 64; i++)
		universe[i] = prompt(i / 16, i % 16);
	/* Only the disturber is spared of the signals that end waits. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigprocmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&thread, NULL, disturb, &seed);
	sigprocmask(SIG_UNBLOCK, &alarm, NULL);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);

	/* Whatever is opened from now on has a number above ours. */
	while ((fd = dup(0)) < FIRST_FD)
		if (fd < 0)
			ksft_exit_fail_msg("no descriptors\n");
	close(fd);
	have_ring = false;
	for (i = 0; i < iterations; i++) {
		if (i % 512 == 0) {
			if (limit && kt_now() - start > limit)
				break;
			if (have_ring)
				io_uring_queue_exit(&ring);
			reopen(watcher);
			kvbm_reset_inactive(watcher, NULL, NULL);
			have_ring = !io_uring_queue_init(32, &ring, 0);
		}
		/* What is plain is sometimes what it should be. */
		if (i % 16 == 0) {
			uint32_t at = rnd(&r, REGION / 4096) * 4096, k;

			for (k = 0; k < 64; k++)
				memcpy(alias[R_PLAIN] + at + k * 16,
				       &universe[rnd(&r, 64)], 16);
			for (k = 0; k < 512; k++)
				((uint32_t *)(alias[R_PLAIN] + at + 2048))[k] =
					rnd(&r, TOTAL + 8);
		}
		if (have_ring && chance(&r, 8))
			some_entries(&ring);
		else
			a_call();
	}
	stop = true;
	setitimer(ITIMER_REAL, &never, NULL);
	pthread_join(thread, NULL);
	if (have_ring)
		io_uring_queue_exit(&ring);
	for (i = 0; i < FDS; i++)
		close(fds[i]);
	syscall(SYS_close_range, FIRST_FD, ~0U, 0);
	kt_destroy("a", KVBM_DESTROY_FORCE);
	kt_destroy("b", KVBM_DESTROY_FORCE);
	if (blocks)
		module_limit("max_blocks", blocks);
	kt_until(kt_stats(watcher).sessions == 1);
	spent = (kt_now() - start) / 1000000;
	look(&w, watcher, universe, 64);
	for (i = 0; i < N_WRONG; i++)
		w.n[0] += i ? w.n[i] : 0;
	printf("# sysfuzz: %llu calls, %llu well; %llu ring entries, %llu well; %llu ms\n",
	       (unsigned long long)calls, (unsigned long long)well,
	       (unsigned long long)by_ring, (unsigned long long)ring_well,
	       (unsigned long long)spent);
	ksft_test_result(!w.n[0], "the store's books agree\n");
	ksft_test_result(kt_stats(watcher).allocations > calls / 2000,
			 "some calls made sense\n");
	/* The store still serves. */
	{
		uint32_t ids[64];

		ksft_test_result(kt_idle(watcher, 64, universe, ids) >= 0 &&
				 kvbm_match(watcher, 16, universe, ids,
					    NULL) == 16,
				 "the store works\n");
	}
	ksft_finished();
}
