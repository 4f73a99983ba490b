// SPDX-License-Identifier: MIT
/*
 * The eviction indexes: which block goes first.
 *
 * Every test fills a store to the last block, lets some blocks go idle, and
 * takes blocks one by one.  Each must be the one that the policy names.
 */
#include "kvbm_test.h"

#define MAX	64

/* A store full of held blocks under these hashes; ids[i] holds h[i]. */
static int full(uint32_t n, const struct kvbm_hash *h, uint32_t *ids,
		const char *policy, uint32_t freq)
{
	struct kvbm_store_create c;
	int fd;

	kvbm_store_create_init(&c, NULL, n);
	kvbm_store_create_policy(&c, policy);
	c.freq_capacity = freq;
	fd = kt_store_make(&c);
	if (fd >= 0 && kt_fill(fd, n, h, ids) != n) {
		close(fd);
		return -EIO;
	}
	return fd;
}

/* Takes one block; the hash that it had, as an index into h, or -errno. */
static int evict1(int fd, uint32_t n, const struct kvbm_hash *h)
{
	struct kvbm_evicted gone = { .block = KT_POISON };
	uint32_t id, nr = KT_POISON, i;
	int ret = kvbm_alloc(fd, 1, &id, &gone, &nr);

	if (ret != 1 || nr != 1)
		return ret < 0 ? ret : -EIO;
	for (i = 0; i < n; i++)
		if (kt_same(h[i], gone.hash))
			return gone.block == id ? (int)i : -EIO;
	return -ENOKEY;
}

static void release(int fd, const uint32_t *ids, const int *which)
{
	for (; *which >= 0; which++)
		kvbm_release(fd, 1, &ids[*which], 0, NULL);
}

#define LIST(...)	((const int[]){ __VA_ARGS__, -1 })

/* Evicts until nothing is idle: these, in this order, and no others. */
#define expect_evictions(fd, n, h, ...) do {				\
	const int *__want = LIST(__VA_ARGS__);				\
	int __k;							\
	for (__k = 0; __want[__k] >= 0; __k++)				\
		EXPECT_EQ(__want[__k], evict1(fd, n, h)) {		\
			TH_LOG("eviction %d", __k);			\
		}							\
	EXPECT_EQ(-ENOSPC, evict1(fd, n, h));				\
} while (0)

/* fifo and lru: in order of becoming inactive */

FIXTURE(order) {
	int fd;
	struct kvbm_hash h[6];
	uint32_t ids[6];
};

FIXTURE_VARIANT(order) {
	const char *policy;
};

FIXTURE_VARIANT_ADD(order, fifo) { "fifo" };
FIXTURE_VARIANT_ADD(order, lru) { "lru" };

FIXTURE_SETUP(order)
{
	kt_chain(self->h, 6, 100);
	self->fd = full(6, self->h, self->ids, variant->policy, 0);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(order)
{
	kt_check(self->fd);
	close(self->fd);
}

TEST_F(order, becoming_inactive)
{
	release(self->fd, self->ids, LIST(3, 0, 5, 1, 4, 2));
	expect_evictions(self->fd, 6, self->h, 3, 0, 5, 1, 4, 2);
}

TEST_F(order, coming_back_goes_to_the_tail)
{
	uint32_t got;

	release(self->fd, self->ids, LIST(0, 1, 2, 3));
	ASSERT_EQ(1, kvbm_match(self->fd, 1, &self->h[1], &got, NULL));
	ASSERT_EQ(1, kvbm_scan(self->fd, 1, &self->h[0], &got, 0, NULL, NULL));
	release(self->fd, self->ids, LIST(1, 4, 0));
	expect_evictions(self->fd, 6, self->h, 2, 3, 1, 4, 0);
}

TEST_F(order, one_batch)
{
	struct kvbm_evicted gone[6];
	uint32_t out[6], n = KT_POISON, i;

	release(self->fd, self->ids, LIST(5, 4, 3, 2, 1, 0));
	kt_poison(out);
	EXPECT_EQ(6, kvbm_alloc(self->fd, 6, out, gone, &n));
	EXPECT_EQ(6, n);
	for (i = 0; i < 6; i++) {
		EXPECT_TRUE(kt_same(self->h[5 - i], gone[i].hash));
		EXPECT_EQ(out[i], gone[i].block);
		EXPECT_EQ(self->ids[5 - i], out[i]);
	}
}

/* A session's end releases in ascending block id. */
TEST_F(order, reclaim_ascending)
{
	int other = kvbm_session_open(self->fd);
	uint32_t got[3], i;

	ASSERT_EQ(3, kvbm_scan(other, 3, (struct kvbm_hash[]){
			       self->h[4], self->h[2], self->h[3] }, got, 0,
			       NULL, NULL));
	release(self->fd, self->ids, LIST(4, 3, 2));
	release(self->fd, self->ids, LIST(5));
	EXPECT_EQ(1, kt_counts(self->fd).inactive);
	close(other);
	EXPECT_EQ(4, kt_counts(self->fd).inactive);
	for (i = 1; i < 6; i++)
		ASSERT_LT(self->ids[i - 1], self->ids[i]);
	expect_evictions(self->fd, 6, self->h, 5, 2, 3, 4);
}

/* multi_lru */

static void touch(int fd, struct kvbm_hash h, int times)
{
	while (times--)
		kvbm_touch(fd, 1, &h, NULL);
}

FIXTURE(multi) {
	struct kvbm_hash h[MAX];
	uint32_t ids[MAX];
};

FIXTURE_SETUP(multi)
{
	kt_singles(self->h, MAX, 500);
}

FIXTURE_TEARDOWN(multi)
{
}

TEST_F(multi, default_thresholds)
{
	/* Counts 1, 2 | 3, 7 | 8, 14 | 15, 15 after registration's one. */
	static const int extra[] = { 14, 7, 2, 0, 6, 1, 13, 20 };
	struct kvbm_store_info info;
	int fd, i;

	fd = full(8, self->h, self->ids, "multi_lru", 1 << 14);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(3, info.thresholds[0]);
	EXPECT_EQ(8, info.thresholds[1]);
	EXPECT_EQ(15, info.thresholds[2]);
	for (i = 0; i < 8; i++)
		touch(fd, self->h[i], extra[i]);
	release(fd, self->ids, LIST(0, 1, 2, 3, 4, 5, 6, 7));
	expect_evictions(fd, 8, self->h, 3, 5, 2, 4, 1, 6, 0, 7);
	kt_check(fd);
}

/* The count at the moment of becoming inactive counts, no later one. */
TEST_F(multi, ranked_once)
{
	uint32_t got;
	int fd;

	fd = full(4, self->h, self->ids, "multi_lru", 1 << 14);
	ASSERT_GE(fd, 0);
	touch(fd, self->h[0], 5);
	release(fd, self->ids, LIST(0, 1, 2, 3));
	touch(fd, self->h[1], 15);
	touch(fd, self->h[2], 5);
	/* Matched and released, it is ranked again. */
	ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[2], &got, NULL));
	release(fd, self->ids, LIST(2));
	expect_evictions(fd, 4, self->h, 1, 3, 0, 2);
	kt_check(fd);
}

TEST_F(multi, matches_count)
{
	uint32_t got, i;
	int fd;

	fd = full(3, self->h, self->ids, "multi_lru", 1 << 14);
	ASSERT_GE(fd, 0);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[1], &got, NULL));
		release(fd, self->ids, LIST(1));
	}
	release(fd, self->ids, LIST(1, 0, 2));
	expect_evictions(fd, 3, self->h, 0, 2, 1);
}

TEST_F(multi, own_thresholds)
{
	static const uint32_t good[][3] = {
		{ 1, 2, 3 }, { 1, 2, 15 }, { 13, 14, 15 }, { 2, 5, 9 },
	};
	static const uint32_t bad[][3] = {
		{ 0, 1, 2 }, { 1, 1, 2 }, { 1, 2, 2 }, { 3, 2, 1 },
		{ 1, 2, 16 }, { 1, 2, 0 }, { 0, 0, 1 }, { ~0U, 1, 2 },
		{ 1, 2, ~0U },
	};
	uint32_t id[2];
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		fd = kt_store(2, .policy = "multi_lru", .freq_capacity = 4096,
			      .thresholds = { good[i][0], good[i][1],
					      good[i][2] });
		EXPECT_GE(fd, 0);
		/* One just below the first threshold, one that has it. */
		ASSERT_EQ(2, kt_fill(fd, 2, self->h, id));
		touch(fd, self->h[0], good[i][0] - 1);
		if (good[i][0] > 2)
			touch(fd, self->h[1], good[i][0] - 2);
		release(fd, id, LIST(0, 1));
		if (good[i][0] > 1)
			expect_evictions(fd, 2, self->h, 1, 0);
		else
			expect_evictions(fd, 2, self->h, 0, 1);
		close(fd);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL,
			  kt_store(2, .policy = "multi_lru",
				   .freq_capacity = 4096,
				   .thresholds = { bad[i][0], bad[i][1],
						   bad[i][2] })) {
			TH_LOG("thresholds %u %u %u", bad[i][0], bad[i][1],
			       bad[i][2]);
		}
	EXPECT_EQ(-EINVAL, kt_store(2, .policy = "multi_lru"));
	EXPECT_EQ(-EINVAL, kt_store(2, .policy = "lru",
				    .thresholds = { 1, 2, 3 }));
	EXPECT_EQ(-EINVAL, kt_store(2, .thresholds = { 3, 8, 15 }));
}

/* lineage */

FIXTURE(lineage) {
	bool tick;
	const char *policy;
	struct kvbm_hash h[MAX];
	uint32_t ids[MAX];
};

FIXTURE_VARIANT(lineage) {
	const char *policy;
};

FIXTURE_VARIANT_ADD(lineage, tick) { "lineage_tick" };
FIXTURE_VARIANT_ADD(lineage, fifo) { "lineage_fifo" };

FIXTURE_SETUP(lineage)
{
	self->policy = variant->policy;
	self->tick = !strcmp(variant->policy, "lineage_tick");
}

FIXTURE_TEARDOWN(lineage)
{
}

/* Only leaves: a chain goes from its end, whatever made it idle. */
TEST_F(lineage, chain)
{
	int fd, round;

	kt_chain(self->h, 5, 0x9000000000000000ULL);
	for (round = 0; round < 3; round++) {
		fd = full(5, self->h, self->ids, self->policy, 0);
		ASSERT_GE(fd, 0);
		if (round == 0)
			release(fd, self->ids, LIST(0, 1, 2, 3, 4));
		else if (round == 1)
			release(fd, self->ids, LIST(4, 3, 2, 1, 0));
		else
			release(fd, self->ids, LIST(2, 4, 0, 3, 1));
		expect_evictions(fd, 5, self->h, 4, 3, 2, 1, 0);
		kt_check(fd);
		close(fd);
	}
}

/* P, its child C, and X, a stranger: does P keep its old place? */
TEST_F(lineage, leaf_again)
{
	int fd;

	self->h[0] = kt_hash(0xaaaa, 0, 0);
	self->h[1] = kt_hash(0xbbbb, 0xaaaa, 1);
	self->h[2] = kt_hash(0xcccc, 0, 0);
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2));
	if (self->tick)
		expect_evictions(fd, 3, self->h, 1, 0, 2);
	else
		expect_evictions(fd, 3, self->h, 1, 2, 0);
	close(fd);

	/* A child that comes makes a leaf one no more. */
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 2, 1));
	if (self->tick)
		expect_evictions(fd, 3, self->h, 2, 1, 0);
	else
		expect_evictions(fd, 3, self->h, 2, 1, 0);
	close(fd);
}

TEST_F(lineage, siblings)
{
	int fd;

	/* A parent with three children, one of them with a child. */
	self->h[0] = kt_hash(1, 0, 0);
	self->h[1] = kt_hash(11, 1, 1);
	self->h[2] = kt_hash(12, 1, 1);
	self->h[3] = kt_hash(13, 1, 1);
	self->h[4] = kt_hash(121, 12, 2);
	fd = full(5, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 2, 3, 4, 1));
	if (self->tick)
		expect_evictions(fd, 5, self->h, 3, 4, 2, 1, 0);
	else
		expect_evictions(fd, 5, self->h, 3, 4, 1, 2, 0);
	kt_check(fd);
	close(fd);
}

/* A, B, C idle; B is matched: its placeholder hangs under A. */
TEST_F(lineage, placeholder)
{
	uint32_t got;
	int fd;

	kt_chain(self->h, 3, 0x700);
	self->h[3] = kt_single(0x999);
	fd = full(4, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2, 3));
	ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[1], &got, NULL));
	if (self->tick)
		expect_evictions(fd, 4, self->h, 2, 0, 3);
	else
		expect_evictions(fd, 4, self->h, 2, 3, 0);
	kt_check(fd);
	close(fd);
}

/* The block comes back to its placeholder's place. */
TEST_F(lineage, placeholder_taken)
{
	uint32_t got;
	int fd;

	kt_chain(self->h, 3, 0x700);
	self->h[3] = kt_single(0x999);
	fd = full(4, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2, 3));
	ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[1], &got, NULL));
	release(fd, self->ids, LIST(1));
	/* tick: B entered the order again, after X. */
	expect_evictions(fd, 4, self->h, 2, 3, 1, 0);
	close(fd);
}

/* A placeholder for a parent that was never idle has no upward link. */
TEST_F(lineage, placeholder_of_held_parent)
{
	int fd;

	kt_chain(self->h, 3, 0x700);
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	/* B stays held: C hangs under its placeholder, A is a leaf. */
	release(fd, self->ids, LIST(0, 2));
	EXPECT_EQ(0, evict1(fd, 3, self->h));
	/* Now B comes: C is under it, then. */
	release(fd, self->ids, LIST(1));
	expect_evictions(fd, 3, self->h, 2, 1);
	close(fd);
}

/* The upward link is cut when the block's hash leaves the store. */
TEST_F(lineage, hash_leaves)
{
	uint32_t got;
	int fd;

	kt_chain(self->h, 3, 0x700);
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2));
	ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[1], &got, NULL));
	ASSERT_EQ(1, kvbm_set_reset(fd, 1, &got, true, NULL));
	ASSERT_EQ(1, kvbm_release(fd, 1, &got, 0, NULL));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(fd, got));
	/* The free one first; then A is a leaf of its own. */
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &got, NULL, NULL));
	if (self->tick)
		expect_evictions(fd, 3, self->h, 0, 2);
	else
		expect_evictions(fd, 3, self->h, 2, 0);
	kt_check(fd);
	close(fd);
}

/* Pruning goes on upwards through placeholders. */
TEST_F(lineage, prune_upwards)
{
	uint32_t got[5], i;
	int fd;

	kt_chain(self->h, 6, 0x700);
	self->h[6] = kt_single(0x999);
	fd = full(7, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2, 3, 4, 5, 6));
	/* All between the ends are held again. */
	for (i = 1; i < 5; i++)
		ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[i], got, NULL));
	if (self->tick)
		expect_evictions(fd, 7, self->h, 5, 0, 6);
	else
		expect_evictions(fd, 7, self->h, 5, 6, 0);
	kt_check(fd);
	close(fd);
}

/* Where the width of position and parent fragment changes. */
TEST_F(lineage, mode_borders)
{
	static const uint32_t around[] = { 256, 65536 };
	static const uint64_t mult = 0x9e3779b97f4a7c15ULL;
	unsigned int b, i, p;
	int fd;

	for (b = 0; b < ARRAY_SIZE(around); b++) {
		for (i = 0; i < 8; i++) {
			p = around[b] - 4 + i;
			self->h[i] = kt_hash(p * mult, (p - 1) * mult, p);
		}
		fd = full(8, self->h, self->ids, self->policy, 0);
		ASSERT_GE(fd, 0);
		release(fd, self->ids, LIST(0, 1, 2, 3, 4, 5, 6, 7));
		expect_evictions(fd, 8, self->h, 7, 6, 5, 4, 3, 2, 1, 0);
		close(fd);
		/* With the block on the border held. */
		fd = full(8, self->h, self->ids, self->policy, 0);
		ASSERT_GE(fd, 0);
		release(fd, self->ids, LIST(7, 6, 5, 4, 2, 1, 0));
		if (self->tick)
			expect_evictions(fd, 8, self->h, 7, 6, 5, 4, 2, 1, 0);
		else
			expect_evictions(fd, 8, self->h, 7, 2, 6, 1, 5, 0, 4);
		kt_check(fd);
		close(fd);
	}
}

/* The last position that there is. */
TEST_F(lineage, last_position)
{
	int fd;

	self->h[0] = kt_hash(1, 2, 0xfffffe);
	self->h[1] = kt_hash(3, 1, 0xffffff);
	fd = full(2, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1));
	expect_evictions(fd, 2, self->h, 1, 0);
	close(fd);
}

/* Position 0 has no parent, whatever its parent bits hold. */
TEST_F(lineage, roots_have_no_parent)
{
	int fd;

	self->h[0] = kt_hash(5, 0, 0);
	self->h[1] = kt_hash(6, 5, 0);
	self->h[2] = kt_hash(7, ~0ULL, 0);
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2));
	expect_evictions(fd, 3, self->h, 0, 1, 2);
	close(fd);
}

/* Two blocks with one node key: one carries what hangs there, one is a leaf. */
TEST_F(lineage, twins)
{
	uint32_t got;
	int fd;

	self->h[0] = kt_hash(0x1ULL << 60 | 0xf00, 0, 0);
	self->h[1] = kt_hash(0x2ULL << 60 | 0xf00, 0, 0);
	self->h[2] = kt_hash(77, 0xf00, 1);
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2));
	expect_evictions(fd, 3, self->h, 1, 2, 0);
	close(fd);

	/* The one that carries goes away: the child still counts as under it. */
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2));
	ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[0], &got, NULL));
	expect_evictions(fd, 3, self->h, 1, 2);
	kt_check(fd);
	close(fd);

	/* Its hash leaves the store: the other one carries. */
	fd = full(3, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2));
	ASSERT_EQ(1, kvbm_match(fd, 1, &self->h[0], &got, NULL));
	ASSERT_EQ(1, kvbm_set_reset(fd, 1, &got, true, NULL));
	ASSERT_EQ(1, kvbm_release(fd, 1, &got, 0, NULL));
	ASSERT_EQ(1, kvbm_alloc_reset(fd, 1, &got));
	expect_evictions(fd, 3, self->h, 2, 1);
	kt_check(fd);
	close(fd);
}

/* Crowds of blocks that share node keys, in every order that comes. */
TEST_F(lineage, twins_in_crowds)
{
	enum { ROUNDS = 3000 };
	uint32_t i, r, seed = 12345, got, n;
	uint8_t held[MAX];
	int fd;

	/* Four generations of 16 twins each, under one key a generation. */
	for (i = 0; i < MAX; i++)
		self->h[i] = kt_hash((uint64_t)(i % 16 + 1) << 58 | 0xabc,
				     0xabc, i / 16);
	fd = full(MAX, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	memset(held, 1, sizeof(held));
	for (r = 0; r < ROUNDS; r++) {
		seed = seed * 1664525 + 1013904223;
		i = seed >> 20 & (MAX - 1);
		if (seed >> 16 & 8) {
			kvbm_set_reset(fd, 1, &self->ids[i], seed >> 12 & 1,
				       NULL);
		} else if (held[i]) {
			EXPECT_EQ(1, kvbm_release(fd, 1, &self->ids[i], 0,
						  NULL));
			held[i] = 0;
		} else if (kvbm_match(fd, 1, &self->h[i], &got, NULL) == 1) {
			held[i] = 1;
			self->ids[i] = got;
		} else if (kvbm_alloc(fd, 1, &got, NULL, NULL) == 1) {
			struct kvbm_registered res;

			EXPECT_EQ(1, kvbm_stage_register(fd, 1, &got,
							 &self->h[i], &res, 0,
							 NULL));
			EXPECT_EQ(KVBM_KIND_PRIMARY, res.kind);
			self->ids[i] = got;
			held[i] = 1;
		}
	}
	kt_check(fd);
	for (i = 0; i < MAX; i++)
		if (held[i])
			EXPECT_EQ(1, kvbm_release(fd, 1, &self->ids[i], 0,
						  NULL));
	n = kt_counts(fd).inactive;
	EXPECT_EQ(MAX, n + kt_counts(fd).reset);
	EXPECT_EQ((int)n, kvbm_reset_inactive(fd, NULL, NULL));
	kt_check(fd);
	close(fd);
}

/* Reset inactive goes in eviction order too. */
TEST_F(lineage, reset_inactive)
{
	uint32_t out[4];
	int fd;

	kt_chain(self->h, 3, 0x700);
	self->h[3] = kt_single(0x999);
	fd = full(4, self->h, self->ids, self->policy, 0);
	ASSERT_GE(fd, 0);
	release(fd, self->ids, LIST(0, 1, 2, 3));
	EXPECT_EQ(4, kvbm_reset_inactive(fd, NULL, NULL));
	ASSERT_EQ(4, kvbm_alloc(fd, 4, out, NULL, NULL));
	EXPECT_EQ(self->ids[2], out[0]);
	if (self->tick) {
		EXPECT_EQ(self->ids[1], out[1]);
		EXPECT_EQ(self->ids[0], out[2]);
		EXPECT_EQ(self->ids[3], out[3]);
	} else {
		EXPECT_EQ(self->ids[3], out[1]);
		EXPECT_EQ(self->ids[1], out[2]);
		EXPECT_EQ(self->ids[0], out[3]);
	}
	close(fd);
}

/* Choosing */

TEST(policy_names)
{
	static const char * const names[] = {
#define KVBM_POLICY(name)	#name,
#include "policies.def"
	};
	struct kvbm_store_create c;
	struct kvbm_store_info info;
	unsigned int i;
	char all[256] = {};
	int fd;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		kvbm_store_create_init(&c, NULL, 4);
		strcpy(c.policy, names[i]);
		c.freq_capacity = 1024;
		fd = kt_store_make(&c);
		EXPECT_GE(fd, 0);
		ASSERT_EQ(0, kvbm_store_info(fd, &info));
		EXPECT_STREQ(names[i], info.policy);
		EXPECT_EQ(1024, info.freq_capacity);
		close(fd);
		EXPECT_STREQ(names[i], kvbm_policy_name(i));
	}
	EXPECT_EQ(-EINVAL, kt_store(4, .policy = "LRU"));
	EXPECT_EQ(-EINVAL, kt_store(4, .policy = "lru "));
	EXPECT_EQ(-EINVAL, kt_store(4, .policy = "lr"));
	EXPECT_EQ(-EINVAL, kt_store(4, .policy = "lruu"));
	kvbm_store_create_init(&c, NULL, 4);
	memset(c.policy, 'l', sizeof(c.policy));
	EXPECT_EQ(-EINVAL, kt_store_make(&c));

	fd = open("/sys/class/kvbm/kvbm-control/policies", O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_GT(read(fd, all, sizeof(all) - 1), 0);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_NE(NULL, strstr(all, names[i])) {
			TH_LOG("policies: %s", all);
		}
	close(fd);
}

TEST_HARNESS_MAIN
