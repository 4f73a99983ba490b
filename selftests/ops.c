// SPDX-License-Identifier: MIT
/* The operations, one by one: their effects, their counts, their errors. */
#include "kvbm_test.h"

#define TOTAL	8

FIXTURE(ops) {
	int fd;
	int other;			/* another session */
	uint32_t ids[TOTAL];
	struct kvbm_hash h[64];
};

FIXTURE_SETUP(ops)
{
	self->fd = kt_store(TOTAL, .freq_capacity = 4096, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	self->other = kvbm_session_open(self->fd);
	ASSERT_GE(self->other, 0);
	kt_chain(self->h, 64, 0x1000);
	kt_poison(self->ids);
}

FIXTURE_TEARDOWN(ops)
{
	kt_check(self->fd);
	close(self->other);
	close(self->fd);
}

/* One element forms, for reading tests. */
static int alloc1(int fd)
{
	uint32_t id = KT_POISON;
	int ret = kvbm_alloc(fd, 1, &id, NULL, NULL);

	return ret == 1 ? (int)id : ret ? ret : -EIO;
}

static int stage1(int fd, uint32_t id, struct kvbm_hash h)
{
	return kvbm_stage(fd, 1, &id, &h, NULL, NULL);
}

static int reg1(int fd, uint32_t id, uint32_t flags, struct kvbm_registered *r)
{
	kt_poison(*r);
	return kvbm_register(fd, 1, &id, r, flags, NULL);
}

static int release1(int fd, uint32_t id)
{
	return kvbm_release(fd, 1, &id, 0, NULL);
}

static int match1(int fd, struct kvbm_hash h)
{
	uint32_t id = KT_POISON;
	int ret = kvbm_match(fd, 1, &h, &id, NULL);

	return ret == 1 ? (int)id : ret ? ret : -ENOENT;
}

/* 1: allocate */

TEST_F(ops, alloc)
{
	struct kvbm_evicted evicted[TOTAL];
	struct kvbm_stats s;
	uint32_t i, n = KT_POISON;

	EXPECT_EQ(TOTAL, kt_stats(self->fd).reset_pool_size);
	kt_poison(evicted);
	EXPECT_EQ(3, kvbm_alloc(self->fd, 3, self->ids, evicted, &n));
	EXPECT_EQ(0, n);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(i, self->ids[i]);
		EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, i));
		EXPECT_EQ(1, kt_info(self->fd, i).own_holds);
		EXPECT_EQ(0, kt_info(self->other, i).own_holds);
	}
	EXPECT_EQ(KT_POISON, self->ids[3]);
	EXPECT_EQ(KT_POISON, (uint32_t)evicted[0].hash.lo);
	s = kt_stats(self->fd);
	EXPECT_EQ(3, s.allocations);
	EXPECT_EQ(3, s.allocations_from_reset);
	EXPECT_EQ(0, s.evictions);
	EXPECT_EQ(3, s.inflight_mutable);
	EXPECT_EQ(TOTAL - 3, s.reset_pool_size);
	EXPECT_EQ(0, s.inactive_pool_size);

	/* The free list is a queue. */
	EXPECT_EQ(2, kvbm_release(self->fd, 2, (uint32_t[]){ 1, 0 }, 0, NULL));
	EXPECT_EQ(7, kvbm_alloc(self->fd, 7, self->ids, NULL, NULL));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(3 + i, self->ids[i]);
	EXPECT_EQ(1, self->ids[5]);
	EXPECT_EQ(0, self->ids[6]);
}

TEST_F(ops, alloc_all_or_nothing)
{
	struct kvbm_stats before, after;
	struct kvbm_counts c;
	uint32_t n = KT_POISON;

	ASSERT_EQ(5, kt_idle(self->fd, 5, self->h, self->ids));
	ASSERT_EQ(1, kvbm_alloc(self->other, 1, self->ids, NULL, NULL));
	before = kt_stats(self->fd);
	kt_poison(self->ids);
	EXPECT_EQ(-ENOSPC, kvbm_alloc(self->fd, 8, self->ids, NULL, &n));
	EXPECT_EQ(0, n);
	EXPECT_EQ(KT_POISON, self->ids[0]);
	c = kt_counts(self->fd);
	EXPECT_EQ(2, c.reset);
	EXPECT_EQ(5, c.inactive);
	EXPECT_EQ(7, c.available);
	EXPECT_EQ(5, c.registered);
	after = kt_stats(self->fd);
	EXPECT_EQ(before.allocations, after.allocations);
	EXPECT_EQ(before.evictions, after.evictions);
	EXPECT_EQ(0, after.waits);
	/* Nothing, and more than there is. */
	EXPECT_EQ(0, kvbm_alloc(self->fd, 0, self->ids, NULL, NULL));
	EXPECT_EQ(0, kvbm_alloc(self->fd, 0, NULL, NULL, NULL));
	EXPECT_EQ(-EINVAL, kvbm_alloc(self->fd, TOTAL + 1, self->ids, NULL,
				      NULL));
	EXPECT_EQ(7, kvbm_alloc(self->fd, 7, self->ids, NULL, NULL));
	EXPECT_EQ(0, kvbm_alloc(self->fd, 0, self->ids, NULL, NULL));
}

TEST_F(ops, alloc_evicts)
{
	struct kvbm_evicted evicted[TOTAL];
	struct kvbm_stats s;
	uint32_t i, n = KT_POISON;

	ASSERT_EQ(5, kt_idle(self->fd, 5, self->h, self->ids));
	kt_poison(self->ids);
	kt_poison(evicted);
	EXPECT_EQ(6, kvbm_alloc(self->fd, 6, self->ids, evicted, &n));
	EXPECT_EQ(3, n);
	/* Free ones first, then idle ones, with their hashes in order. */
	for (i = 0; i < 6; i++)
		EXPECT_EQ(i < 3 ? 5 + i : i - 3, self->ids[i]);
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(kt_same(self->h[i], evicted[i].hash));
		EXPECT_EQ(self->ids[3 + i], evicted[i].block);
		EXPECT_EQ(0, evicted[i].generation);
		EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[i]));
	}
	EXPECT_EQ(KT_POISON, (uint32_t)evicted[3].hash.lo);
	EXPECT_EQ(KVBM_INACTIVE, kt_presence(self->fd, self->h[3]));
	s = kt_stats(self->fd);
	EXPECT_EQ(5 + 6, s.allocations);
	EXPECT_EQ(5 + 3, s.allocations_from_reset);
	EXPECT_EQ(3, s.evictions);
	EXPECT_EQ(2, kt_counts(self->fd).registered);
	/* Hashes are optional. */
	EXPECT_EQ(2, kvbm_alloc(self->fd, 2, self->ids, NULL, &n));
	EXPECT_EQ(2, n);
}

TEST_F(ops, alloc_reset_only)
{
	struct kvbm_stats s;

	ASSERT_EQ(5, kt_idle(self->fd, 5, self->h, self->ids));
	kt_poison(self->ids);
	EXPECT_EQ(2, kvbm_alloc_reset(self->fd, 2, self->ids));
	EXPECT_EQ(5, self->ids[0]);
	EXPECT_EQ(6, self->ids[1]);
	EXPECT_EQ(1, kvbm_alloc_reset(self->fd, 6, self->ids));
	EXPECT_EQ(7, self->ids[0]);
	EXPECT_EQ(0, kvbm_alloc_reset(self->fd, 6, self->ids));
	EXPECT_EQ(0, kvbm_alloc_reset(self->fd, 0, self->ids));
	EXPECT_EQ(-EINVAL, kvbm_alloc_reset(self->fd, TOTAL + 1, self->ids));
	s = kt_stats(self->fd);
	EXPECT_EQ(5 + 3, s.allocations);
	EXPECT_EQ(5 + 3, s.allocations_from_reset);
	EXPECT_EQ(0, s.evictions);
	EXPECT_EQ(5, kt_counts(self->fd).inactive);
}

/* 2: stage and unstage */

TEST_F(ops, stage)
{
	struct kvbm_block_info i;
	struct kvbm_stats s;

	ASSERT_EQ(0, alloc1(self->fd));
	EXPECT_EQ(1, stage1(self->fd, 0, self->h[0]));
	i = kt_info(self->fd, 0);
	EXPECT_EQ(KVBM_STATE_STAGED, i.state);
	EXPECT_EQ(1, i.holds);
	EXPECT_TRUE(kt_same(self->h[0], i.hash));
	/* A block that is not registered is nobody else's business. */
	i = kt_info(self->other, 0);
	EXPECT_EQ(KVBM_STATE_STAGED, i.state);
	EXPECT_EQ(0, i.hash.hi | i.hash.lo);
	EXPECT_EQ(0, i.own_holds);
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[0]));
	EXPECT_EQ(-ENOENT, match1(self->fd, self->h[0]));
	s = kt_stats(self->fd);
	EXPECT_EQ(1, s.stagings);
	EXPECT_EQ(0, s.inflight_mutable);
	EXPECT_EQ(1, s.staged);
	EXPECT_EQ(0, s.registrations);

	/* Twice, not at all, by others. */
	EXPECT_EQ(-EPERM, stage1(self->fd, 0, self->h[1]));
	EXPECT_TRUE(kt_same(self->h[0], kt_info(self->fd, 0).hash));
	EXPECT_EQ(-EPERM, stage1(self->fd, 1, self->h[1]));
	EXPECT_EQ(-EPERM, stage1(self->other, 0, self->h[1]));
	EXPECT_EQ(-EPERM, stage1(self->fd, TOTAL, self->h[1]));
	EXPECT_EQ(-EPERM, stage1(self->fd, KVBM_NO_BLOCK, self->h[1]));
	EXPECT_EQ(1, kt_stats(self->fd).stagings);

	EXPECT_EQ(-EPERM, kvbm_unstage(self->other, 1, &(uint32_t){ 0 }, NULL));
	EXPECT_EQ(1, kvbm_unstage(self->fd, 1, &(uint32_t){ 0 }, NULL));
	i = kt_info(self->fd, 0);
	EXPECT_EQ(KVBM_STATE_MUTABLE, i.state);
	EXPECT_EQ(0, i.hash.hi | i.hash.lo);
	EXPECT_EQ(-EPERM, kvbm_unstage(self->fd, 1, &(uint32_t){ 0 }, NULL));
	EXPECT_EQ(-EPERM, kvbm_unstage(self->fd, 1, &(uint32_t){ 5 }, NULL));
	EXPECT_EQ(1, stage1(self->fd, 0, self->h[1]));
	EXPECT_EQ(2, kt_stats(self->fd).stagings);
	/* A Staged block is released to Reset. */
	EXPECT_EQ(1, release1(self->fd, 0));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, 0));
	EXPECT_EQ(0, kt_info(self->fd, 0).generation);
}

TEST_F(ops, stage_tokens)
{
	uint32_t good[3] = { 16, 16, 16 }, bad[3] = { 16, 15, 16 };
	uint32_t error = KT_POISON;

	ASSERT_EQ(3, kvbm_alloc(self->fd, 3, self->ids, NULL, NULL));
	EXPECT_EQ(1, kvbm_stage(self->fd, 3, self->ids, self->h, bad, &error));
	EXPECT_EQ(EINVAL, error);
	EXPECT_EQ(KVBM_STATE_STAGED, kt_state(self->fd, self->ids[0]));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, self->ids[1]));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, self->ids[2]));
	EXPECT_EQ(1, kvbm_unstage(self->fd, 1, self->ids, NULL));
	EXPECT_EQ(3, kvbm_stage(self->fd, 3, self->ids, self->h, good, &error));
	EXPECT_EQ(0, error);
}

/* A hash whose mode is not the smallest that fits its position. */
TEST_F(ops, invalid_hashes)
{
	static const struct kvbm_hash bad[] = {
		{ 3ULL << 62, 0 },			/* mode 3 */
		{ ~0ULL, ~0ULL },
		{ 1ULL << 62, 0 },			/* mode 1, position 0 */
		{ 1ULL << 62 | 255ULL << 46, 1 },	/* mode 1, 255 */
		{ 2ULL << 62 | 65535ULL << 38, 1 },	/* mode 2, 65535 */
		{ 2ULL << 62, 7 },
	};
	struct kvbm_registered r;
	uint32_t i, error, id, out;

	ASSERT_EQ(0, alloc1(self->fd));
	id = 0;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, stage1(self->fd, 0, bad[i])) {
			TH_LOG("hash %u", i);
		}
		EXPECT_EQ(-EINVAL, kvbm_stage_register(self->fd, 1, &id,
						       &bad[i], &r, 0, &error));
		EXPECT_EQ(EINVAL, error);
		EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, 0));
		/* A miss everywhere else. */
		EXPECT_EQ(-ENOENT, match1(self->fd, bad[i]));
		EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, bad[i]));
		out = KT_POISON;
		EXPECT_EQ(1, kvbm_scan(self->fd, 1, &bad[i], &out, 0, NULL,
				       NULL));
		EXPECT_EQ(KVBM_NO_BLOCK, out);
	}
	/* The borders are valid. */
	EXPECT_EQ(1, stage1(self->fd, 0, kt_hash(1, 2, 255)));
	EXPECT_EQ(1, kvbm_unstage(self->fd, 1, &id, NULL));
	EXPECT_EQ(1, stage1(self->fd, 0, kt_hash(1, 2, 256)));
	EXPECT_EQ(1, kvbm_unstage(self->fd, 1, &id, NULL));
	EXPECT_EQ(1, stage1(self->fd, 0, kt_hash(1, 2, 65535)));
	EXPECT_EQ(1, kvbm_unstage(self->fd, 1, &id, NULL));
	EXPECT_EQ(1, stage1(self->fd, 0, kt_hash(1, 2, 65536)));
	EXPECT_EQ(1, kvbm_unstage(self->fd, 1, &id, NULL));
	EXPECT_EQ(1, stage1(self->fd, 0, kt_hash(~0ULL, ~0ULL, 0xffffff)));
}

/* 3: register */

TEST_F(ops, register_primary)
{
	struct kvbm_registered r;
	struct kvbm_block_info i;
	struct kvbm_stats s;

	ASSERT_EQ(0, alloc1(self->fd));
	/* Mutable blocks have no hash to register under. */
	EXPECT_EQ(-EPERM, reg1(self->fd, 0, 0, &r));
	ASSERT_EQ(1, stage1(self->fd, 0, self->h[0]));
	EXPECT_EQ(-EPERM, reg1(self->other, 0, 0, &r));
	EXPECT_EQ(KT_POISON, r.block);
	EXPECT_EQ(1, reg1(self->fd, 0, 0, &r));
	EXPECT_EQ(0, r.block);
	EXPECT_EQ(KVBM_KIND_PRIMARY, r.kind);
	i = kt_info(self->other, 0);
	EXPECT_EQ(KVBM_STATE_PRIMARY, i.state);
	EXPECT_TRUE(kt_same(self->h[0], i.hash));
	EXPECT_EQ(1, i.holds);
	EXPECT_EQ(0, i.own_holds);
	EXPECT_EQ(-EPERM, reg1(self->fd, 0, 0, &r));
	EXPECT_EQ(-EPERM, stage1(self->fd, 0, self->h[1]));
	EXPECT_EQ(-EPERM, reg1(self->fd, TOTAL, 0, &r));
	EXPECT_EQ(-EPERM, reg1(self->fd, KVBM_NO_BLOCK, 0, &r));
	s = kt_stats(self->fd);
	EXPECT_EQ(1, s.stagings);
	EXPECT_EQ(1, s.registrations);
	EXPECT_EQ(0, s.duplicate_blocks);
	EXPECT_EQ(0, s.registration_dedup);
	EXPECT_EQ(1, s.inflight_immutable);
	EXPECT_EQ(1, kt_counts(self->fd).registered);
	/* The other form does not take Staged ones. */
	ASSERT_EQ(1, alloc1(self->fd));
	ASSERT_EQ(1, stage1(self->fd, 1, self->h[1]));
	EXPECT_EQ(-EPERM, kvbm_stage_register(self->fd, 1, &(uint32_t){ 1 },
					      &self->h[2], &r, 0, NULL));
	EXPECT_TRUE(kt_same(self->h[1], kt_info(self->fd, 1).hash));
}

TEST_F(ops, register_batch_stops)
{
	struct kvbm_registered r[4];
	uint32_t ids[4] = { 0, 1, 7, 2 }, error = KT_POISON;

	ASSERT_EQ(3, kvbm_alloc(self->fd, 3, self->ids, NULL, NULL));
	kt_poison(r);
	EXPECT_EQ(2, kvbm_stage_register(self->fd, 4, ids, self->h, r, 0,
					 &error));
	EXPECT_EQ(EPERM, error);
	EXPECT_EQ(1, r[1].block);
	EXPECT_EQ(KT_POISON, r[2].block);
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, 2));
	EXPECT_EQ(2, kt_stats(self->fd).registrations);
}

TEST_F(ops, register_duplicate)
{
	struct kvbm_registered r;
	struct kvbm_block_info i;
	struct kvbm_stats s;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, self->ids));
	ASSERT_EQ(1, alloc1(self->other));
	ASSERT_EQ(1, stage1(self->other, 1, self->h[0]));
	EXPECT_EQ(1, reg1(self->other, 1, 0, &r));
	EXPECT_EQ(1, r.block);
	EXPECT_EQ(KVBM_KIND_DUPLICATE, r.kind);
	i = kt_info(self->fd, 1);
	EXPECT_EQ(KVBM_STATE_DUPLICATE, i.state);
	EXPECT_EQ(1, i.holds);
	EXPECT_TRUE(kt_same(self->h[0], i.hash));
	/* The keep-alive is no session's hold. */
	EXPECT_EQ(2, kt_info(self->fd, 0).holds);
	EXPECT_EQ(1, kt_info(self->fd, 0).own_holds);
	EXPECT_EQ(0, kt_info(self->other, 0).own_holds);
	EXPECT_EQ(-EPERM, release1(self->other, 0));
	s = kt_stats(self->fd);
	EXPECT_EQ(2, s.registrations);
	EXPECT_EQ(1, s.duplicate_blocks);
	EXPECT_EQ(2, s.inflight_immutable);
	EXPECT_EQ(1, kt_counts(self->fd).registered);

	/* A match finds the Primary. */
	EXPECT_EQ(0, match1(self->other, self->h[0]));
	EXPECT_EQ(1, release1(self->other, 0));
	/* The Primary lives as long as the Duplicate. */
	EXPECT_EQ(1, release1(self->fd, 0));
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(self->fd, 0));
	EXPECT_EQ(KVBM_ACTIVE, kt_presence(self->fd, self->h[0]));
	/* The Duplicate goes to Reset, with either flag; then the Primary. */
	EXPECT_EQ(1, kvbm_set_reset(self->other, 1, &r.block, false, NULL));
	EXPECT_EQ(1, kvbm_retain(self->other, 1, &r.block, NULL));
	EXPECT_EQ(1, release1(self->other, 1));
	EXPECT_EQ(KVBM_STATE_DUPLICATE, kt_state(self->fd, 1));
	EXPECT_EQ(1, release1(self->other, 1));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, 1));
	EXPECT_EQ(1, kt_info(self->fd, 1).generation);
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, 0));
	EXPECT_EQ(0, kt_info(self->fd, 0).generation);
}

TEST_F(ops, register_dedup)
{
	struct kvbm_registered r;
	struct kvbm_stats s;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, self->ids));
	ASSERT_EQ(1, alloc1(self->other));
	ASSERT_EQ(1, stage1(self->other, 1, self->h[0]));
	EXPECT_EQ(1, reg1(self->other, 1, KVBM_REGISTER_REJECT, &r));
	EXPECT_EQ(0, r.block);
	EXPECT_EQ(KVBM_KIND_DEDUP, r.kind);
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, 1));
	/* It never was registered: no new generation. */
	EXPECT_EQ(0, kt_info(self->fd, 1).generation);
	EXPECT_EQ(2, kt_info(self->fd, 0).holds);
	EXPECT_EQ(1, kt_info(self->other, 0).own_holds);
	EXPECT_EQ(-EPERM, release1(self->other, 1));
	s = kt_stats(self->fd);
	EXPECT_EQ(2, s.registrations);
	EXPECT_EQ(1, s.registration_dedup);
	EXPECT_EQ(0, s.duplicate_blocks);
	EXPECT_EQ(2, s.inflight_immutable);
	EXPECT_EQ(0, s.staged);
	/* It holds it already: a second hold. */
	ASSERT_EQ(2, alloc1(self->other));
	EXPECT_EQ(1, kvbm_stage_register(self->other, 1, &(uint32_t){ 2 },
					 self->h, &r, KVBM_REGISTER_REJECT,
					 NULL));
	EXPECT_EQ(0, r.block);
	EXPECT_EQ(2, kt_info(self->other, 0).own_holds);
}

/* An idle block is resurrected first. */
TEST_F(ops, register_over_idle)
{
	struct kvbm_registered r;

	ASSERT_EQ(2, kt_idle(self->fd, 2, self->h, self->ids));
	ASSERT_EQ(2, alloc1(self->fd));
	ASSERT_EQ(3, alloc1(self->fd));
	EXPECT_EQ(1, kvbm_stage_register(self->fd, 1, &(uint32_t){ 2 },
					 &self->h[0], &r, KVBM_REGISTER_ALLOW,
					 NULL));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, r.kind);
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(self->fd, 0));
	EXPECT_EQ(0, kt_info(self->fd, 0).own_holds);
	EXPECT_EQ(1, kt_info(self->fd, 0).holds);
	EXPECT_EQ(1, kvbm_stage_register(self->fd, 1, &(uint32_t){ 3 },
					 &self->h[1], &r, KVBM_REGISTER_REJECT,
					 NULL));
	EXPECT_EQ(KVBM_KIND_DEDUP, r.kind);
	EXPECT_EQ(1, r.block);
	EXPECT_EQ(1, kt_info(self->fd, 1).own_holds);
	EXPECT_EQ(0, kt_counts(self->fd).inactive);
}

TEST(store_default_rejects)
{
	struct kvbm_hash h = kt_single(1);
	struct kvbm_registered r[2];
	uint32_t ids[2];
	int fd;

	fd = kt_store(2, .flags = KVBM_CREATE_REJECT);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(2, kvbm_alloc(fd, 2, ids, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(fd, 1, ids, &h, r, 0, NULL));
	EXPECT_EQ(1, kvbm_stage_register(fd, 1, ids + 1, &h, r + 1, 0, NULL));
	EXPECT_EQ(KVBM_KIND_DEDUP, r[1].kind);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, ids + 1, NULL, NULL));
	EXPECT_EQ(1, kvbm_stage_register(fd, 1, ids + 1, &h, r + 1,
					 KVBM_REGISTER_ALLOW, NULL));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, r[1].kind);
	kt_check(fd);
}

/* 4: match */

TEST_F(ops, match)
{
	uint32_t i, error = KT_POISON, ids[6];
	struct kvbm_stats s;

	ASSERT_EQ(4, kt_fill(self->fd, 4, self->h, self->ids));
	/* Two of them idle, one in the middle absent later. */
	ASSERT_EQ(1, release1(self->fd, self->ids[1]));
	kt_poison(ids);
	EXPECT_EQ(4, kvbm_match(self->other, 6, self->h, ids, &error));
	EXPECT_EQ(0, error);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(self->ids[i], ids[i]);
		EXPECT_EQ(1, kt_info(self->other, ids[i]).own_holds);
	}
	EXPECT_EQ(KT_POISON, ids[4]);
	s = kt_stats(self->fd);
	EXPECT_EQ(6, s.match_hashes_requested);
	EXPECT_EQ(4, s.match_blocks_returned);
	EXPECT_EQ(3 + 4, s.inflight_immutable);
	EXPECT_EQ(0, s.inactive_pool_size);

	/* A miss at the beginning, a repeated hash, no hashes. */
	EXPECT_EQ(0, kvbm_match(self->other, 2, self->h + 5, ids, &error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(3, kvbm_match(self->other, 3,
				(struct kvbm_hash[]){ self->h[0], self->h[0],
						      self->h[0] },
				ids, &error));
	EXPECT_EQ(4, kt_info(self->other, ids[0]).own_holds);
	EXPECT_EQ(0, kvbm_match(self->other, 0, NULL, NULL, &error));
	s = kt_stats(self->fd);
	EXPECT_EQ(6 + 2 + 3, s.match_hashes_requested);
	EXPECT_EQ(4 + 3, s.match_blocks_returned);
	/* Blocks after a gap are not matched. */
	EXPECT_EQ(1, kvbm_match(self->other, 3,
				(struct kvbm_hash[]){ self->h[0], self->h[9],
						      self->h[1] },
				ids, NULL));
}

/* The whole query counts once, in any number of steps. */
TEST(match_counts_once)
{
	enum { MANY = 3000 };
	struct kvbm_hash *h = calloc(MANY + 100, sizeof(*h));
	uint32_t *ids = calloc(MANY + 100, sizeof(*ids));
	int fd = kt_store(MANY), other;

	ASSERT_GE(fd, 0);
	kt_chain(h, MANY + 100, 0x5000);
	ASSERT_EQ(MANY, kt_idle(fd, MANY, h, ids));
	other = kvbm_session_open(fd);
	EXPECT_EQ(MANY, kvbm_match(other, MANY + 100, h, ids, NULL));
	EXPECT_EQ(MANY + 100, kt_stats(fd).match_hashes_requested);
	EXPECT_EQ(MANY, kt_stats(fd).match_blocks_returned);
	close(other);
	other = kvbm_session_open(fd);
	EXPECT_EQ(MANY + 100, kvbm_scan(other, MANY + 100, h, ids, 0, NULL,
					NULL));
	EXPECT_EQ(MANY + 100, kt_stats(fd).scan_hashes_requested);
	EXPECT_EQ(MANY, kt_stats(fd).scan_blocks_returned);
	EXPECT_EQ(MANY, kt_self(other).holds);
	close(other);
	kt_check(fd);
}

/* 5: scan */

TEST_F(ops, scan)
{
	struct kvbm_hash q[6];
	uint32_t ids[6], hits = KT_POISON, error = KT_POISON;
	struct kvbm_stats s;
	uint8_t f[2];

	ASSERT_EQ(3, kt_idle(self->fd, 3, self->h, self->ids));
	q[0] = self->h[9];
	q[1] = self->h[2];
	q[2] = self->h[10];
	q[3] = self->h[0];
	q[4] = self->h[2];
	q[5] = self->h[11];
	kt_poison(ids);
	EXPECT_EQ(6, kvbm_scan(self->other, 6, q, ids, 0, &hits, &error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(3, hits);
	EXPECT_EQ(KVBM_NO_BLOCK, ids[0]);
	EXPECT_EQ(self->ids[2], ids[1]);
	EXPECT_EQ(KVBM_NO_BLOCK, ids[2]);
	EXPECT_EQ(self->ids[0], ids[3]);
	EXPECT_EQ(self->ids[2], ids[4]);
	EXPECT_EQ(KVBM_NO_BLOCK, ids[5]);
	EXPECT_EQ(2, kt_info(self->other, self->ids[2]).own_holds);
	EXPECT_EQ(1, kt_counts(self->fd).inactive);
	s = kt_stats(self->fd);
	EXPECT_EQ(6, s.scan_hashes_requested);
	EXPECT_EQ(3, s.scan_blocks_returned);
	EXPECT_EQ(0, s.match_hashes_requested);
	/* Counted for frequency only when asked to. */
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, &self->h[2], f, NULL));
	EXPECT_EQ(1, f[0]);
	EXPECT_EQ(6, kvbm_scan(self->other, 6, q, ids, KVBM_SCAN_TOUCH, NULL,
			       NULL));
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, &self->h[2], f, NULL));
	EXPECT_EQ(3, f[0]);
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, &self->h[9], f, NULL));
	EXPECT_EQ(0, f[0]);
}

/* 6: release and retain */

TEST_F(ops, release)
{
	uint32_t error = KT_POISON;
	uint32_t bad[4];

	ASSERT_EQ(3, kt_fill(self->fd, 3, self->h, self->ids));
	/* Twice, foreign, out of range: the element changes nothing. */
	bad[0] = self->ids[0];
	bad[1] = self->ids[1];
	bad[2] = self->ids[0];
	bad[3] = self->ids[2];
	EXPECT_EQ(2, kvbm_release(self->fd, 4, bad, 0, &error));
	EXPECT_EQ(EPERM, error);
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, self->ids[0]));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, self->ids[1]));
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(self->fd, self->ids[2]));
	EXPECT_EQ(-EPERM, release1(self->other, self->ids[2]));
	EXPECT_EQ(-EPERM, release1(self->fd, TOTAL));
	EXPECT_EQ(-EPERM, release1(self->fd, KVBM_NO_BLOCK));
	EXPECT_EQ(-EPERM, release1(self->fd, KVBM_MAX_BLOCKS));
	EXPECT_EQ(-EPERM, release1(self->fd, 0x80000000));
	EXPECT_EQ(0, kvbm_release(self->fd, 0, NULL, 0, &error));
	EXPECT_EQ(1, release1(self->fd, self->ids[2]));
	EXPECT_EQ(-EPERM, release1(self->fd, self->ids[2]));
	EXPECT_EQ(3, kt_counts(self->fd).inactive);
	EXPECT_EQ(0, kt_stats(self->fd).inflight_immutable);
	/* A stale id: the block is another's now. */
	ASSERT_EQ(TOTAL, kvbm_alloc(self->other, TOTAL, self->ids, NULL, NULL));
	EXPECT_EQ(-EPERM, release1(self->fd, 0));
	EXPECT_EQ(TOTAL, kt_self(self->other).held);
}

/* Only holds of the kinds asked for. */
TEST_F(ops, release_kinds)
{
	static const uint32_t kinds[] = {
		KVBM_RELEASE_MUTABLE, KVBM_RELEASE_STAGED,
		KVBM_RELEASE_REGISTERED,
	};
	uint32_t i, k, mask;

	for (mask = 1; mask < 8; mask++) {
		ASSERT_EQ(1, kt_fill(self->fd, 1, &self->h[mask], self->ids));
		ASSERT_EQ(2, kvbm_alloc(self->fd, 2, self->ids + 1, NULL,
					NULL));
		ASSERT_EQ(1, stage1(self->fd, self->ids[1], self->h[20]));
		/* 0: registered, 1: staged, 2: mutable */
		for (i = 0; i < 3; i++) {
			k = kinds[2 - i];
			EXPECT_EQ(mask & k ? 1 : -EPERM,
				  kvbm_release(self->fd, 1, &self->ids[i], mask,
					       NULL)) {
				TH_LOG("mask %u, kind %u", mask, k);
			}
			if (!(mask & k))
				EXPECT_EQ(1, kvbm_release(self->fd, 1,
							  &self->ids[i], k,
							  NULL));
		}
	}
}

TEST_F(ops, retain)
{
	uint32_t error = KT_POISON, id, b;
	int i;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, self->ids));
	id = self->ids[0];
	for (i = 0; i < 5; i++)
		EXPECT_EQ(1, kvbm_retain(self->fd, 1, &id, NULL));
	EXPECT_EQ(6, kt_info(self->fd, id).own_holds);
	EXPECT_EQ(6, kt_info(self->fd, id).holds);
	EXPECT_EQ(6, kt_stats(self->fd).inflight_immutable);
	EXPECT_EQ(1, kt_self(self->fd).held);
	/* Not what it does not hold, nor what it owns. */
	EXPECT_EQ(-EPERM, kvbm_retain(self->other, 1, &id, NULL));
	EXPECT_EQ(-EPERM, kvbm_retain(self->fd, 1, &(uint32_t){ TOTAL }, NULL));
	EXPECT_EQ(-EPERM, kvbm_retain(self->fd, 1, &(uint32_t){ ~0U }, NULL));
	b = alloc1(self->fd);
	EXPECT_EQ(1, kvbm_retain(self->fd, 2, (uint32_t[]){ id, b }, &error));
	EXPECT_EQ(EINVAL, error);
	ASSERT_EQ(1, stage1(self->fd, b, self->h[1]));
	EXPECT_EQ(-EINVAL, kvbm_retain(self->fd, 1, &b, NULL));
	for (i = 0; i < 7; i++)
		EXPECT_EQ(1, release1(self->fd, id));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, id));
	EXPECT_EQ(-EPERM, kvbm_retain(self->fd, 1, &id, NULL));
}

/* KVBM_MAX_HOLDS of one session on one block, and not one more. */
TEST_F(ops, hold_overflow)
{
	enum { BATCH = 65536 };
	uint32_t *many = calloc(BATCH, sizeof(*many));
	struct kvbm_hash *same = calloc(BATCH, sizeof(*same));
	uint32_t i, id, error, out[2], left, n;
	struct kvbm_registered r;
	struct kvbm_weak w;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, self->ids));
	id = self->ids[0];
	for (i = 0; i < BATCH; i++) {
		many[i] = id;
		same[i] = self->h[0];
	}
	for (left = KVBM_MAX_HOLDS - 1; left > 10; left -= n) {
		n = left - 10 < BATCH ? left - 10 : BATCH;

		ASSERT_EQ(n, kvbm_retain(self->fd, n, many, NULL));
	}
	EXPECT_EQ(10, kvbm_retain(self->fd, 20, many, &error));
	EXPECT_EQ(EOVERFLOW, error);
	EXPECT_EQ(KVBM_MAX_HOLDS, kt_info(self->fd, id).own_holds);
	EXPECT_EQ(-EOVERFLOW, kvbm_match(self->fd, 1, self->h, out, &error));
	EXPECT_EQ(EOVERFLOW, error);
	EXPECT_EQ(-EOVERFLOW, kvbm_scan(self->fd, 1, self->h, out, 0, NULL,
					&error));
	EXPECT_EQ(EOVERFLOW, error);
	w = (struct kvbm_weak) {
		.block = id,
		.generation = kt_info(self->fd, id).generation,
		.hash = self->h[0],
	};
	EXPECT_EQ(-EOVERFLOW, kvbm_upgrade(self->fd, 1, &w, out, NULL, &error));
	EXPECT_EQ(EOVERFLOW, error);
	ASSERT_EQ(1, alloc1(self->fd));
	EXPECT_EQ(-EOVERFLOW, kvbm_stage_register(self->fd, 1,
						  &(uint32_t){ 1 }, self->h, &r,
						  KVBM_REGISTER_REJECT, &error));
	EXPECT_EQ(EOVERFLOW, error);
	/* A registration that fails leaves the block as it was. */
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, 1));
	/* Another session is another count. */
	EXPECT_EQ((int)id, match1(self->other, self->h[0]));
	EXPECT_EQ(KVBM_MAX_HOLDS + 1ULL, kt_info(self->fd, id).holds);
	/* One back, one more. */
	EXPECT_EQ(1, release1(self->fd, id));
	EXPECT_EQ((int)id, match1(self->fd, self->h[0]));
	EXPECT_EQ(-EOVERFLOW, kvbm_match(self->fd, 3,
					 (struct kvbm_hash[]){
						self->h[0], self->h[0] },
					 out, &error));
	EXPECT_EQ(EOVERFLOW, error);
	for (left = KVBM_MAX_HOLDS; left; left -= n) {
		n = left < BATCH ? left : BATCH;

		ASSERT_EQ(n, kvbm_release(self->fd, n, many, 0, NULL));
	}
	EXPECT_EQ(-EPERM, release1(self->fd, id));
	EXPECT_EQ(1, kt_info(self->fd, id).holds);
	free(many);
	free(same);
}

TEST_HARNESS_MAIN
