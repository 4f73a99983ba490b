// SPDX-License-Identifier: MIT
/*
 * Invalidation: by hashes, by prefix, of everything. Afterwards no match finds
 * an invalidated block, and its holders keep it.
 */
#include <pthread.h>
#include "kvbm_test.h"

#define TOTAL	256
#define N	16

FIXTURE(forget) {
	int fd;
	int other;
	struct kvbm_hash h[TOTAL];
	uint32_t ids[TOTAL];
};

FIXTURE_VARIANT(forget) {
	const char *policy;
	uint32_t freq;
};

FIXTURE_VARIANT_ADD(forget, tick) { .policy = "lineage_tick" };
FIXTURE_VARIANT_ADD(forget, fifo) { .policy = "lineage_fifo" };
FIXTURE_VARIANT_ADD(forget, lru) { .policy = "lru" };
FIXTURE_VARIANT_ADD(forget, multi) { .policy = "multi_lru", .freq = 1024 };

FIXTURE_SETUP(forget)
{
	struct kvbm_store_create c;

	kvbm_store_create_init(&c, NULL, TOTAL);
	kvbm_store_create_policy(&c, variant->policy);
	if (variant->freq)
		c.freq_capacity = variant->freq;
	self->fd = kt_store_make(&c);
	ASSERT_GE(self->fd, 0);
	self->other = kvbm_session_open(self->fd);
	kt_chain(self->h, TOTAL, 7);
}

FIXTURE_TEARDOWN(forget)
{
	close(self->other);
	kt_check(self->fd);
	close(self->fd);
}

/* Is none of these found, in any way? */
#define none_found(fd, n, hashes)					\
	EXPECT_TRUE(nothing(fd, n, hashes)) {				\
		TH_LOG("found, line %d", __LINE__);			\
	}

static bool nothing(int fd, uint32_t n, const struct kvbm_hash *h)
{
	uint32_t ids[TOTAL], hits = 1;
	uint8_t out[TOTAL];
	uint32_t i;

	if (kvbm_scan(fd, n, h, ids, 0, &hits, NULL) != n || hits ||
	    kvbm_match(fd, n, h, ids, NULL) ||
	    kvbm_presence(fd, n, h, out, NULL) != n)
		return false;
	for (i = 0; i < n; i++)
		if (out[i] != KVBM_ABSENT)
			return false;
	return true;
}

TEST_F(forget, idle_ones)
{
	struct kvbm_counts c;
	uint32_t idle, held;

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	/* Some of them, one twice, one that is not there. */
	self->h[N] = self->h[2];
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 3, self->h + N - 1, 0, &idle,
				     &held));
	EXPECT_EQ(2, idle);
	EXPECT_EQ(0, held);
	c = kt_counts(self->fd);
	EXPECT_EQ(N - 2, c.registered);
	EXPECT_EQ(N - 2, c.inactive);
	EXPECT_EQ(TOTAL - N + 2, c.reset);
	none_found(self->other, 1, self->h + 2);
	EXPECT_EQ(2, kvbm_match(self->other, N, self->h, self->ids, NULL));
	EXPECT_EQ(2, kvbm_release(self->other, 2, self->ids, 0, NULL));
	/* All remaining blocks are evicted as usual. */
	EXPECT_EQ(TOTAL, kvbm_alloc(self->other, TOTAL, self->ids, NULL, NULL));
	EXPECT_EQ(N - 2, kt_stats(self->fd).evictions);
}

TEST_F(forget, held_ones)
{
	struct kvbm_registered out;
	struct kvbm_weak weak;
	uint32_t idle, held, id, got[4];
	struct kvbm_block_info info;

	ASSERT_EQ(N, kt_fill(self->fd, N, self->h, self->ids));
	ASSERT_EQ(2, kvbm_match(self->other, 2, self->h, got, NULL));
	ASSERT_EQ(0, kvbm_weak(self->fd, self->ids[1], &weak));
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 2, self->h, 0, &idle, &held));
	EXPECT_EQ(0, idle);
	EXPECT_EQ(2, held);
	none_found(self->other, 2, self->h);
	EXPECT_EQ(1, kvbm_upgrade(self->other, 1, &weak, &id, NULL, NULL));
	EXPECT_EQ(KVBM_NO_BLOCK, id);
	/* It is theirs still: more holds, the flag, their view of it. */
	info = kt_info(self->fd, self->ids[0]);
	EXPECT_EQ(KVBM_STATE_FORGOTTEN, info.state);
	EXPECT_EQ(2, info.holds);
	EXPECT_TRUE(kt_same(info.hash, self->h[0]));
	EXPECT_EQ(1, kvbm_retain(self->other, 1, got, NULL));
	EXPECT_EQ(1, kvbm_set_reset(self->other, 1, got, false, NULL));
	EXPECT_EQ(N, kt_counts(self->fd).held);
	/* The hash is free for another block. */
	ASSERT_EQ(1, kvbm_alloc(self->other, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->other, 1, &id, self->h, &out, 0,
					 NULL));
	EXPECT_EQ(KVBM_KIND_PRIMARY, out.kind);
	EXPECT_EQ(1, kvbm_release(self->other, 1, &id, 0, NULL));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, id));
	/* The last release sends it to Reset, and not before. */
	EXPECT_EQ(1, kvbm_release(self->fd, 1, self->ids, 0, NULL));
	EXPECT_EQ(1, kvbm_release(self->other, 1, got, 0, NULL));
	EXPECT_EQ(KVBM_STATE_FORGOTTEN, kt_state(self->fd, self->ids[0]));
	EXPECT_EQ(1, kvbm_release(self->other, 1, got, 0, NULL));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, self->ids[0]));
	EXPECT_EQ(info.generation + 1,
		  kt_info(self->fd, self->ids[0]).generation);
	/* A session's end is a release, too. */
	close(self->other);
	self->other = kvbm_session_open(self->fd);
	EXPECT_EQ(KVBM_STATE_FORGOTTEN, kt_state(self->fd, self->ids[1]));
	EXPECT_EQ(N - 1, kvbm_release(self->fd, N - 1, self->ids + 1, 0, NULL));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, self->ids[1]));
	EXPECT_EQ(N - 1, kt_counts(self->fd).inactive);
}

/* A Duplicate of what was forgotten is forgotten with it. */
TEST_F(forget, duplicates)
{
	struct kvbm_registered out;
	struct kvbm_weak weak;
	uint32_t id, up, held;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, self->ids));
	ASSERT_EQ(1, kvbm_alloc(self->other, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->other, 1, &id, self->h, &out,
					 KVBM_REGISTER_ALLOW, NULL));
	ASSERT_EQ(KVBM_KIND_DUPLICATE, out.kind);
	ASSERT_EQ(0, kvbm_weak(self->other, id, &weak));
	EXPECT_EQ(1, kvbm_release(self->fd, 1, self->ids, 0, NULL));
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 1, self->h, 0, NULL, &held));
	EXPECT_EQ(1, held);
	none_found(self->fd, 1, self->h);
	EXPECT_EQ(1, kvbm_upgrade(self->fd, 1, &weak, &up, NULL, NULL));
	EXPECT_EQ(KVBM_NO_BLOCK, up);
	EXPECT_EQ(1, kvbm_release(self->other, 1, &id, 0, NULL));
	EXPECT_EQ(TOTAL, kt_counts(self->fd).reset);
}

/* By prefix: a node and what descends from it, held or idle, and no more. */
TEST_F(forget, prefix)
{
	struct kvbm_hash a[8], b[8], all[4 + 8 + 8];
	uint32_t idle, held, i, got[8];

	/* A trunk of four, two branches from its third block. */
	kt_chain(all, 4, 100);
	for (i = 0; i < 8; i++) {
		a[i] = kt_hash(200 + i, i ? 199 + i : 102, 3 + i);
		b[i] = kt_hash(300 + i, i ? 299 + i : 102, 3 + i);
	}
	/* Children first: order of registration does not matter. */
	for (i = 0; i < 8; i++)
		ASSERT_EQ(1, kt_idle(self->fd, 1, &a[7 - i], self->ids));
	ASSERT_EQ(8, kt_fill(self->fd, 8, b, got));
	ASSERT_EQ(4, kt_idle(self->fd, 4, all, self->ids));
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 1, &a[2], KVBM_INVALIDATE_PREFIX,
				     &idle, &held));
	EXPECT_EQ(6, idle);
	EXPECT_EQ(0, held);
	none_found(self->other, 6, a + 2);
	EXPECT_EQ(2, kvbm_match(self->other, 2, a, self->ids, NULL));
	EXPECT_EQ(2, kvbm_release(self->other, 2, self->ids, 0, NULL));
	/* The trunk's root takes all; the branch that is held stays held. */
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 1, all, KVBM_INVALIDATE_PREFIX,
				     &idle, &held));
	EXPECT_EQ(6, idle);
	EXPECT_EQ(8, held);
	none_found(self->other, 8, b);
	EXPECT_EQ(0, kt_counts(self->fd).registered);
	EXPECT_EQ(8, kvbm_release(self->fd, 8, got, 0, NULL));
	EXPECT_EQ(TOTAL, kt_counts(self->fd).reset);
}

/* A root that is not there; positions where the modes change. */
TEST_F(forget, prefix_modes)
{
	struct kvbm_hash h[6], root = kt_hash(1000, 999, 253);
	uint32_t idle, i;

	for (i = 0; i < 6; i++)
		h[i] = kt_hash(1001 + i, 1000 + i, 254 + i);
	ASSERT_EQ(6, kt_idle(self->fd, 6, h, self->ids));
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 1, &root,
				     KVBM_INVALIDATE_PREFIX, &idle, NULL));
	EXPECT_EQ(6, idle);
	/* And a hole: what is behind it has no parent there. */
	ASSERT_EQ(2, kt_idle(self->fd, 2, h, self->ids));
	ASSERT_EQ(3, kt_idle(self->fd, 3, h + 3, self->ids));
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 1, &root,
				     KVBM_INVALIDATE_PREFIX, &idle, NULL));
	EXPECT_EQ(2, idle);
	EXPECT_EQ(3, kt_counts(self->fd).registered);
	root.hi |= 3ULL << 62;
	EXPECT_EQ(-EINVAL, kvbm_invalidate(self->fd, 1, &root,
					   KVBM_INVALIDATE_PREFIX, NULL,
					   NULL));
}

TEST_F(forget, everything)
{
	struct kvbm_registered out[4];
	uint32_t mine[4], idle, held, staged, error;
	uint8_t state;

	ASSERT_EQ(100, kt_idle(self->fd, 100, self->h, self->ids));
	ASSERT_EQ(50, kvbm_match(self->other, 50, self->h, self->ids, NULL));
	ASSERT_EQ(4, kvbm_alloc(self->fd, 4, mine, NULL, NULL));
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &staged, NULL, NULL));
	ASSERT_EQ(1, kvbm_claim(self->fd, 1, &staged, self->h + 200, &state,
				NULL));
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 0, NULL, KVBM_INVALIDATE_ALL,
				     &idle, &held));
	EXPECT_EQ(50, idle);
	EXPECT_EQ(50, held);
	EXPECT_EQ(0, kt_counts(self->fd).registered);
	none_found(self->fd, TOTAL, self->h);
	/* Blocks allocated before belong to the old weights. */
	EXPECT_EQ(-ESTALE, kvbm_stage_register(self->fd, 4, mine, self->h, out,
					       0, &error));
	EXPECT_EQ(-ESTALE, kvbm_stage(self->fd, 1, mine, self->h, NULL, NULL));
	EXPECT_EQ(-ESTALE, kvbm_register(self->fd, 1, &staged, out, 0, NULL));
	EXPECT_EQ(-ESTALE, kvbm_claim(self->fd, 1, mine, self->h, &state,
				      NULL));
	/* Their waiters wait no more. */
	EXPECT_EQ(0, kvbm_wait(self->other, 1, self->h + 200, 0, NULL));
	EXPECT_EQ(0, kt_stats(self->fd).pending);
	EXPECT_EQ(4, kvbm_release(self->fd, 4, mine, 0, NULL));
	EXPECT_EQ(1, kvbm_release(self->fd, 1, &staged, 0, NULL));
	ASSERT_EQ(4, kvbm_alloc(self->fd, 4, mine, NULL, NULL));
	EXPECT_EQ(4, kvbm_stage_register(self->fd, 4, mine, self->h, out, 0,
					 NULL));
	EXPECT_EQ(4, kvbm_release(self->fd, 4, mine, 0, NULL));
	EXPECT_EQ(50, kvbm_release(self->other, 50, self->ids, 0, NULL));
	EXPECT_EQ(4, kt_counts(self->fd).inactive);
	EXPECT_EQ(TOTAL - 4, kt_counts(self->fd).reset);
}

/* Claims of the hashes, and of what descends from a prefix, end. */
TEST_F(forget, claims)
{
	uint32_t ids[4];
	uint8_t states[4];

	ASSERT_EQ(4, kvbm_alloc(self->other, 4, ids, NULL, NULL));
	ASSERT_EQ(4, kvbm_claim(self->other, 4, ids, self->h, states, NULL));
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 1, self->h + 3, 0, NULL, NULL));
	EXPECT_EQ(3, kt_stats(self->fd).pending);
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 1, self->h + 1,
				     KVBM_INVALIDATE_PREFIX, NULL, NULL));
	EXPECT_EQ(1, kt_stats(self->fd).pending);
	EXPECT_EQ(0, kvbm_wait(self->fd, 3, self->h + 1, 0, NULL));
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(self->fd, 1, self->h, 0, NULL));
}

/* Others match, register and release meanwhile. */
struct worker {
	int fd;
	const struct kvbm_hash *h;
	volatile bool stop;
	uint64_t rounds;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct kvbm_registered out[N];
	uint32_t ids[N];
	int i, hit, n;

	for (; !w->stop; w->rounds++) {
		hit = kvbm_match(w->fd, N, w->h, ids, NULL);
		if (hit < 0)
			return "match";
		n = kvbm_alloc(w->fd, N - hit, ids + hit, NULL, NULL);
		if (n < 0) {
			kvbm_release(w->fd, hit, ids, 0, NULL);
			continue;
		}
		n = kvbm_stage_register(w->fd, n, ids + hit, w->h + hit, out,
					w->rounds & 1 ? KVBM_REGISTER_ALLOW :
					KVBM_REGISTER_REJECT, NULL);
		if (n == -ESTALE)
			n = 0;
		if (n < 0)
			return "register";
		for (i = 0; i < n; i++)
			ids[hit + i] = out[i].block;
		/* A block that could not be registered is released as it is. */
		if (kvbm_release(w->fd, N, ids, 0, NULL) != N)
			return "release";
	}
	return NULL;
}

TEST_F(forget, meanwhile)
{
	struct worker w[2] = {};
	uint64_t end = kt_now() + 1000000000;
	uint32_t i, held = 0, idle = 0, a, b;
	pthread_t t[2];
	void *ret;

	for (i = 0; i < 2; i++) {
		w[i].fd = kvbm_session_open(self->fd);
		w[i].h = self->h;
		ASSERT_EQ(0, pthread_create(&t[i], NULL, work, &w[i]));
	}
	for (i = 0; kt_now() < end; i++) {
		uint32_t flags = i % 3 == 1 ? KVBM_INVALIDATE_PREFIX :
				 i % 3 == 2 ? KVBM_INVALIDATE_ALL : 0;

		ASSERT_EQ(0, kvbm_invalidate(self->fd, flags ==
					     KVBM_INVALIDATE_ALL ? 0 : 4,
					     self->h + i % 8, flags, &a, &b));
		idle += a;
		held += b;
	}
	for (i = 0; i < 2; i++) {
		w[i].stop = true;
		pthread_join(t[i], &ret);
		EXPECT_EQ(NULL, ret) {
			TH_LOG("%s failed", (char *)ret);
		}
		EXPECT_GT(w[i].rounds, 0);
		close(w[i].fd);
	}
	ksft_print_msg("  %u idle and %u held blocks forgotten\n", idle, held);
	EXPECT_EQ(0, kvbm_invalidate(self->fd, 0, NULL, KVBM_INVALIDATE_ALL,
				     NULL, NULL));
	EXPECT_EQ(TOTAL, kt_counts(self->fd).reset);
}

/* Opaque hashes have no parents; rights; what may not be. */
TEST(refused)
{
	struct kvbm_hash h = kt_single(1);
	int fd = kt_store(4, .flags = KVBM_CREATE_OPAQUE);
	int control = kvbm_control_open();
	struct kvbm_store_ref ref = { .id = kt_store_id(fd) };
	uint32_t idle, id;
	pid_t pid;

	EXPECT_EQ(-EOPNOTSUPP, kvbm_invalidate(fd, 1, &h,
					       KVBM_INVALIDATE_PREFIX, NULL,
					       NULL));
	EXPECT_EQ(-EINVAL, kvbm_invalidate(fd, 0, &h, KVBM_INVALIDATE_PREFIX |
					   KVBM_INVALIDATE_ALL, NULL, NULL));
	EXPECT_EQ(-EINVAL, kvbm_invalidate(fd, 1, &h, KVBM_INVALIDATE_ALL, NULL,
					   NULL));
	EXPECT_EQ(-EINVAL, kvbm_invalidate(fd, KVBM_MAX_BATCH + 1, &h, 0, NULL,
					   NULL));
	EXPECT_EQ(-EFAULT, kvbm_invalidate(fd, 1, NULL, 0, NULL, NULL));
	ASSERT_EQ(1, kt_idle(fd, 1, &h, &id));
	EXPECT_EQ(0, kvbm_invalidate_of(control, &ref, 1, &h, 0, &idle, NULL));
	EXPECT_EQ(1, idle);
	pid = kt_fork();
	if (!pid) {
		KT_MUST(!setresuid(1001, 1001, 1001));
		KT_MUST(kvbm_invalidate(fd, 1, &h, 0, NULL, NULL) == -EPERM);
		KT_MUST(kvbm_invalidate(fd, 0, NULL, KVBM_INVALIDATE_ALL, NULL,
					NULL) == -EPERM);
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	close(control);
	close(fd);
}

TEST_HARNESS_MAIN
