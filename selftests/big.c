// SPDX-License-Identifier: MIT
/*
 * Large sizes: batches of a million in one call while others go on, calls that
 * are killed half-way, pools of 1 and of 16 Mi blocks, long chains, wide
 * trees.
 *
 * Times are printed but not judged, except where only a blunder could be so
 * slow: the machine is emulated.
 */
#include <sys/syscall.h>
#include "kvbm_test.h"

#define MILLION		1000000U
#define BIG_TIMEOUT	900

static uint64_t took;

/* Runs a call and says how long it took. */
#define timed(what, call) ({						\
	uint64_t __begin = kt_now();					\
	long __ret = (call);						\
	took = kt_now() - __begin;					\
	ksft_print_msg("  %-40s %6llu ms\n", what,			\
		       (unsigned long long)(took / 1000000));		\
	fflush(stdout);							\
	__ret;								\
})

static void *array(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

FIXTURE(big) {
	uint32_t *ids;
	struct kvbm_hash *h;
	struct kvbm_registered *res;
};

FIXTURE_SETUP(big)
{
	self->ids = array(MILLION * sizeof(*self->ids));
	self->h = array(MILLION * sizeof(*self->h));
	self->res = array(MILLION * sizeof(*self->res));
	ASSERT_NE(NULL, self->ids);
	ASSERT_NE(NULL, self->h);
	ASSERT_NE(NULL, self->res);
}

FIXTURE_TEARDOWN(big)
{
	munmap(self->ids, MILLION * sizeof(*self->ids));
	munmap(self->h, MILLION * sizeof(*self->h));
	munmap(self->res, MILLION * sizeof(*self->res));
}

/* A neighbour: small calls on the same store, one after the other. */
struct neighbour {
	volatile bool stop;
	volatile uint64_t calls;
	volatile uint64_t longest_ns;
	volatile int bad;
};

static pid_t neighbour_start(int fd, struct neighbour *nb,
			     struct kvbm_hash mine)
{
	pid_t pid = kt_fork();
	uint64_t begin, ns;
	uint32_t id, got;
	int ses;

	if (pid)
		return pid;
	ses = kvbm_session_open(fd);
	if (kt_fill(ses, 1, &mine, &id) != 1)
		_exit(1);
	while (!nb->stop) {
		begin = kt_now();
		if (kvbm_match(ses, 1, &mine, &got, NULL) != 1 || got != id ||
		    kvbm_release(ses, 1, &got, 0, NULL) != 1)
			nb->bad++;
		ns = kt_now() - begin;
		if (ns > nb->longest_ns)
			nb->longest_ns = ns;
		nb->calls++;
		/* It shares its processor with the test. */
		kt_sleep_ms(1);
	}
	_exit(0);
}

TEST_F_TIMEOUT(big, a_million_in_one_call, BIG_TIMEOUT)
{
	struct neighbour *nb = kt_shared(sizeof(*nb));
	struct kvbm_stats s;
	uint64_t calls;
	int fd, ses;
	pid_t pid;
	uint32_t i;

	fd = timed("create 1,048,576 blocks", kt_store(1U << 20));
	ASSERT_GE(fd, 0);
	kt_singles(self->h, MILLION, 1ULL << 32);
	/* First, or it would share the session. */
	pid = neighbour_start(fd, nb, kt_single(1));
	ses = kvbm_session_open(fd);
	ASSERT_TRUE(kt_until(nb->calls > 0));
	calls = nb->calls;

	ASSERT_EQ(MILLION, timed("allocate 1,000,000",
				 kvbm_alloc(ses, MILLION, self->ids, NULL,
					    NULL)));
	ASSERT_EQ(MILLION, timed("stage and register 1,000,000",
				 kvbm_stage_register(ses, MILLION, self->ids,
						     self->h, self->res, 0,
						     NULL)));
	for (i = 0; i < MILLION; i += 9973) {
		EXPECT_EQ(self->ids[i], self->res[i].block);
		EXPECT_EQ(KVBM_KIND_PRIMARY, self->res[i].kind);
	}
	ASSERT_EQ(MILLION, timed("match 1,000,000 held",
				 kvbm_match(ses, MILLION, self->h, self->ids,
					    NULL)));
	ASSERT_EQ(MILLION, timed("release 1,000,000, not the last holds",
				 kvbm_release(ses, MILLION, self->ids, 0,
					      NULL)));
	ASSERT_EQ(MILLION, timed("release 1,000,000, the last holds",
				 kvbm_release(ses, MILLION, self->ids, 0,
					      NULL)));
	EXPECT_EQ(MILLION, kt_counts(fd).inactive);
	ASSERT_EQ(MILLION, timed("match 1,000,000 idle",
				 kvbm_match(ses, MILLION, self->h, self->ids,
					    NULL)));
	timed("close with 1,000,000 holds", close(ses));
	s = kt_stats(fd);
	EXPECT_EQ(MILLION, s.reclaimed_holds);
	EXPECT_EQ(MILLION, s.inactive_pool_size);
	EXPECT_EQ(1, s.inflight_immutable);
	EXPECT_EQ(2, s.sessions);
	ses = kvbm_session_open(fd);
	ASSERT_EQ(MILLION, timed("allocate 1,000,000, mostly by evicting",
				 kvbm_alloc(ses, MILLION, self->ids, NULL,
					    NULL)));
	EXPECT_GT(kt_stats(fd).evictions, MILLION - (1U << 20) + MILLION - 2);
	timed("close with 1,000,000 Mutable blocks", close(ses));
	EXPECT_EQ(MILLION, kt_stats(fd).reclaimed_owned);
	timed("reset inactive", kvbm_reset_inactive(fd, NULL, NULL));

	nb->stop = true;
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(0, nb->bad);
	calls = nb->calls - calls;
	ksft_print_msg("  neighbour: %llu calls, the longest %llu us\n",
		       (unsigned long long)calls,
		       (unsigned long long)(nb->longest_ns / 1000));
	/* It was never shut out for the length of a batch. */
	EXPECT_GT(calls, 50);
	EXPECT_LT(nb->longest_ns, 2000000000ULL);
	EXPECT_EQ(1U << 20, kt_counts(fd).available);
	close(fd);
}

/* Killed in the midst of a call: it ends soon, and gives all back. */

/*
 * The largest pool that there is: it takes a while to make, and too long on
 * kernels that check every access.
 */
static uint32_t huge_blocks(void)
{
	const char *vm = getenv("KVBM_VM");

	if (vm && (!strcmp(vm, "debug") || !strcmp(vm, "kcsan") ||
		   !strcmp(vm, "kmsan")))
		return 1U << 20;
	return KVBM_MAX_BLOCKS;
}

enum huge_call { HUGE_ALLOC, HUGE_PRESENCE, HUGE_REGISTER, HUGE_CALLS };

static const char * const huge_names[] = {
	"an allocation", "a query", "a registration",
};

static void huge_child(int fd, uint32_t n, enum huge_call what,
		       struct kt_pipe *ready, uint32_t *ids,
		       struct kvbm_hash *h, struct kvbm_registered *res)
{
	size_t bytes = KVBM_MAX_BATCH * sizeof(struct kvbm_hash);
	int ses = kvbm_session_open(fd);
	void *zeroes;

	switch (what) {
	case HUGE_ALLOC:
		ids = mmap(NULL, n * sizeof(*ids), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		kt_tell(ready, 1);
		kvbm_alloc(ses, n, ids, NULL, NULL);
		break;
	case HUGE_PRESENCE:
		zeroes = mmap(NULL, bytes, PROT_READ,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0);
		kt_tell(ready, 1);
		kvbm_presence(ses, KVBM_MAX_BATCH, zeroes,
			      array(KVBM_MAX_BATCH), NULL);
		break;
	default:
		KT_MUST(kvbm_alloc(ses, MILLION, ids, NULL, NULL) == MILLION);
		kt_tell(ready, 1);
		kvbm_stage_register(ses, MILLION, ids, h, res, 0, NULL);
		break;
	}
	_exit(1);
}

TEST_F_TIMEOUT(big, largest_pool, BIG_TIMEOUT)
{
	uint32_t n = huge_blocks(), i, bad = 0, *ids;
	struct kvbm_store_info info;
	struct kt_pipe ready;
	enum huge_call what;
	struct kvbm_stats s;
	char text[64];
	pid_t pid;
	int fd, ses;

	snprintf(text, sizeof(text), "create %u blocks", n);
	fd = timed(text, kt_store(n));
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(n, info.total_blocks);
	kt_singles(self->h, MILLION, 1ULL << 32);
	kt_pipe_open(&ready);
	for (what = 0; what < HUGE_CALLS; what++) {
		pid = kt_fork();
		if (!pid)
			huge_child(fd, n, what, &ready, self->ids, self->h,
				   self->res);
		ASSERT_EQ(1, kt_hear(&ready));
		kt_sleep_ms(100);
		EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG)) {
			TH_LOG("the %s had ended before", huge_names[what]);
		}
		snprintf(text, sizeof(text), "kill %s, to the last block",
			 huge_names[what]);
		EXPECT_EQ(256 + SIGKILL, timed(text, kt_kill(pid)));
		EXPECT_LT(took, 60000000000ULL);
		s = kt_stats(fd);
		EXPECT_EQ(1, s.sessions);
		EXPECT_EQ(n, kt_counts(fd).available);
		EXPECT_EQ(0, kt_counts(fd).reserved_blocks);
		EXPECT_EQ(0, s.inflight_mutable);
	}
	/* The registrations that were made stand. */
	EXPECT_GT(kt_counts(fd).inactive, 0);
	EXPECT_LT(kt_counts(fd).inactive, MILLION);

	/* All of it at once: the largest call that there is. */
	ids = array(n * sizeof(*ids));
	ASSERT_NE(NULL, ids);
	ses = kvbm_session_open(fd);
	snprintf(text, sizeof(text), "allocate %u", n);
	ASSERT_EQ((int)n, timed(text, kvbm_alloc(ses, n, ids, NULL, NULL)));
	/* Each of them once. */
	uint8_t *seen = calloc(n, 1);

	for (i = 0; i < n; i++)
		bad += ids[i] >= n || seen[ids[i]]++;
	EXPECT_EQ(0, bad);
	free(seen);
	EXPECT_EQ(-ENOSPC, kvbm_alloc(fd, 1, self->ids, NULL, NULL));
	ASSERT_EQ(0, kvbm_store_info(ses, &info));
	ksft_print_msg("  %.1f bytes a block, %.1f in the hold table\n",
		       (double)info.memory / n,
		       (double)info.session_memory / n);
	timed("close with all of them Mutable", close(ses));
	EXPECT_EQ(n, kt_counts(fd).reset);
	EXPECT_EQ(-EINVAL, kvbm_alloc(fd, n + 1, self->ids, NULL, NULL));
	timed("destroy", close(fd));
	munmap(ids, n * sizeof(*ids));
}

/* A pool of one block, through all of its states. */
TEST(one_block)
{
	static const char * const policies[] = {
#define KVBM_POLICY(name)	#name,
#include "policies.def"
	};
	struct kvbm_evicted gone;
	struct kvbm_hash h[3];
	uint32_t id, n, got;
	unsigned int p, i;
	int fd;

	kt_chain(h, 3, 5);
	for (p = 0; p < ARRAY_SIZE(policies); p++) {
		struct kvbm_store_create c;

		kvbm_store_create_init(&c, NULL, 1);
		kvbm_store_create_policy(&c, policies[p]);
		fd = kt_store_make(&c);
		ASSERT_GE(fd, 0);
		EXPECT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
		EXPECT_EQ(0, id);
		EXPECT_EQ(-ENOSPC, kvbm_alloc(fd, 1, &id, NULL, NULL));
		EXPECT_EQ(-EINVAL, kvbm_alloc(fd, 2, &id, NULL, NULL));
		EXPECT_EQ(1, kvbm_release(fd, 1, &id, 0, NULL));
		for (i = 0; i < 300; i++) {
			EXPECT_EQ(1, kt_idle(fd, 1, &h[i % 3], &id));
			EXPECT_EQ(1, kvbm_match(fd, 2, &h[i % 3], &got, NULL));
			EXPECT_EQ(1, kvbm_release(fd, 1, &got, 0, NULL));
			EXPECT_EQ(1, kvbm_alloc(fd, 1, &id, &gone, &n));
			EXPECT_EQ(1, n);
			EXPECT_TRUE(kt_same(gone.hash, h[i % 3]));
			EXPECT_EQ(1, kvbm_release(fd, 1, &id, 0, NULL));
		}
		EXPECT_EQ(300, kt_stats(fd).evictions);
		EXPECT_EQ(300, kt_info(fd, 0).generation);
		kt_check(fd);
		close(fd);
	}
}

/* At most 96 bytes a block, hold table of one session included. */
TEST_F_TIMEOUT(big, memory, BIG_TIMEOUT)
{
	static const char * const policies[] = {
#define KVBM_POLICY(name)	#name,
#include "policies.def"
	};
	enum { BLOCKS = 1 << 18 };
	struct kvbm_store_info info;
	unsigned int p;
	double sketch;
	int fd;

	for (p = 0; p < ARRAY_SIZE(policies); p++) {
		struct kvbm_store_create c;

		kvbm_store_create_init(&c, NULL, BLOCKS);
		kvbm_store_create_policy(&c, policies[p]);
		c.freq_capacity = strcmp(policies[p], "multi_lru") ? 0 :
				  BLOCKS;
		fd = kt_store_make(&c);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(BLOCKS, kvbm_alloc(fd, BLOCKS, self->ids, NULL,
					      NULL));
		ASSERT_EQ(0, kvbm_store_info(fd, &info));
		/* A sketch is extra, and small. */
		sketch = c.freq_capacity * 2.0;
		ksft_print_msg("  %s: %.1f + %.1f bytes a block\n", policies[p],
			       (info.memory - sketch) / BLOCKS,
			       (double)info.session_memory / BLOCKS);
		EXPECT_LE(info.memory - sketch + info.session_memory,
			  96.0 * BLOCKS);
		close(fd);
	}
}

/* Chains and trees */

FIXTURE(shape) {
	uint32_t *ids;
	struct kvbm_hash *h;
	struct kvbm_evicted *gone;
};

FIXTURE_VARIANT(shape) {
	const char *policy;
};

FIXTURE_VARIANT_ADD(shape, tick) { "lineage_tick" };
FIXTURE_VARIANT_ADD(shape, fifo) { "lineage_fifo" };

#define WIDE	65536U

FIXTURE_SETUP(shape)
{
	self->ids = calloc(WIDE, sizeof(*self->ids));
	self->h = calloc(WIDE, sizeof(*self->h));
	self->gone = calloc(WIDE, sizeof(*self->gone));
}

FIXTURE_TEARDOWN(shape)
{
}

static int store_of(const char *policy)
{
	struct kvbm_store_create c;

	kvbm_store_create_init(&c, NULL, WIDE);
	kvbm_store_create_policy(&c, policy);
	return kt_store_make(&c);
}

TEST_F_TIMEOUT(shape, long_chain, BIG_TIMEOUT)
{
	static const uint64_t mult = 0x9e3779b97f4a7c15ULL;
	uint32_t i, n, bad;
	int fd;

	fd = store_of(variant->policy);
	ASSERT_GE(fd, 0);
	for (i = 0; i < WIDE; i++)
		self->h[i] = kt_hash((i + 1) * mult, i * mult, i);
	ASSERT_EQ(WIDE, kt_idle(fd, WIDE, self->h, self->ids));

	/* All but the ends held again: a chain of placeholders. */
	ASSERT_EQ(WIDE - 2, kvbm_scan(fd, WIDE - 2, self->h + 1, self->ids, 0,
				      NULL, NULL));
	EXPECT_EQ(2, kt_counts(fd).inactive);
	/* The tail goes, the placeholders fade, up to the root. */
	ASSERT_EQ(1, timed("evict the tail, fade 65,534 placeholders",
			   kvbm_alloc(fd, 1, self->ids + WIDE - 2, self->gone,
				      &n)));
	EXPECT_TRUE(kt_same(self->h[WIDE - 1], self->gone[0].hash));
	ASSERT_EQ(1, timed("then the root",
			   kvbm_alloc(fd, 1, self->ids + WIDE - 1, self->gone,
				      &n)));
	EXPECT_TRUE(kt_same(self->h[0], self->gone[0].hash));
	ASSERT_EQ(WIDE, timed("release the rest, root first",
			      kvbm_release(fd, WIDE, self->ids, 0, NULL)));
	ASSERT_EQ(WIDE, timed("allocate all: tail first",
			      kvbm_alloc(fd, WIDE, self->ids, self->gone,
					 &n)));
	EXPECT_EQ(WIDE - 2, n);
	for (i = 0, bad = 0; i < n; i++)
		bad += !kt_same(self->gone[i].hash, self->h[WIDE - 2 - i]);
	EXPECT_EQ(0, bad);
	close(fd);
}

TEST_F_TIMEOUT(shape, wide_tree, BIG_TIMEOUT)
{
	uint64_t flat, wide;
	uint32_t i, n, bad;
	int fd;

	/* The same number of blocks without relatives, to compare. */
	fd = store_of(variant->policy);
	ASSERT_GE(fd, 0);
	kt_singles(self->h, WIDE, 1);
	ASSERT_EQ(WIDE, kt_idle(fd, WIDE, self->h, self->ids));
	ASSERT_EQ(WIDE, timed("evict 65,536 without relatives",
			      kvbm_alloc(fd, WIDE, self->ids, self->gone,
					 &n)));
	flat = took;
	close(fd);

	fd = store_of(variant->policy);
	self->h[0] = kt_hash(0xabcdef, 0, 0);
	for (i = 1; i < WIDE; i++)
		self->h[i] = kt_hash((uint64_t)i << 20, 0xabcdef, 1);
	ASSERT_EQ(WIDE, kt_idle(fd, WIDE, self->h, self->ids));
	ASSERT_EQ(WIDE, timed("evict 65,535 children and their parent",
			      kvbm_alloc(fd, WIDE, self->ids, self->gone,
					 &n)));
	wide = took;
	EXPECT_EQ(WIDE, n);
	for (i = 0, bad = 0; i < WIDE - 1; i++)
		bad += !kt_same(self->gone[i].hash, self->h[i + 1]);
	EXPECT_EQ(0, bad);
	EXPECT_TRUE(kt_same(self->gone[WIDE - 1].hash, self->h[0]));
	/* A walk along the siblings would be thousands of times as slow. */
	EXPECT_LT(wide, flat * 20 + 1000000000ULL);
	close(fd);
}

/* One parent matched and released again and again above all its children. */
TEST_F_TIMEOUT(shape, parent_comes_and_goes, BIG_TIMEOUT)
{
	uint32_t i, got, n;
	int fd;

	fd = store_of(variant->policy);
	ASSERT_GE(fd, 0);
	self->h[0] = kt_hash(0xabcdef, 0, 0);
	for (i = 1; i < WIDE; i++)
		self->h[i] = kt_hash((uint64_t)i << 20, 0xabcdef, 1);
	ASSERT_EQ(WIDE, kt_idle(fd, WIDE, self->h, self->ids));
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(1, kvbm_match(fd, 1, self->h, &got, NULL));
		if (i % 3 == 2)
			ASSERT_EQ(1, kvbm_set_reset(fd, 1, &got, true, NULL));
		ASSERT_EQ(1, kvbm_release(fd, 1, &got, 0, NULL));
		/* Its hash left the store: it is registered again. */
		if (i % 3 == 2)
			ASSERT_EQ(1, kt_idle(fd, 1, self->h, &got));
	}
	EXPECT_EQ(WIDE, kt_counts(fd).inactive);
	ASSERT_EQ(WIDE, kvbm_alloc(fd, WIDE, self->ids, self->gone, &n));
	EXPECT_EQ(WIDE, n);
	EXPECT_TRUE(kt_same(self->gone[WIDE - 1].hash, self->h[0]));
	close(fd);
}

TEST_HARNESS_MAIN
