// SPDX-License-Identifier: MIT
/*
 * More operations: the reset-on-release flag, weak references, reset inactive,
 * information, presence, frequency, limits on what a session holds.
 */
#include "kvbm_test.h"

#define TOTAL	8

FIXTURE(more) {
	int fd;
	int other;
	uint32_t ids[TOTAL];
	struct kvbm_hash h[32];
};

FIXTURE_SETUP(more)
{
	self->fd = kt_store(TOTAL, .freq_capacity = 4096, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	self->other = kvbm_session_open(self->fd);
	ASSERT_GE(self->other, 0);
	kt_chain(self->h, 32, 0x1000);
	kt_poison(self->ids);
}

FIXTURE_TEARDOWN(more)
{
	kt_check(self->fd);
	close(self->other);
	close(self->fd);
}

static int release1(int fd, uint32_t id)
{
	return kvbm_release(fd, 1, &id, 0, NULL);
}

static int flag1(int fd, uint32_t id, bool on)
{
	return kvbm_set_reset(fd, 1, &id, on, NULL);
}

static unsigned int flag_of(int fd, uint32_t id)
{
	return kt_info(fd, id).reset_on_release;
}

/* 7: reset on release */

TEST_F(more, reset_flag)
{
	uint32_t id, error = KT_POISON, got;

	ASSERT_EQ(2, kt_fill(self->fd, 2, self->h, self->ids));
	id = self->ids[0];
	EXPECT_EQ(0, flag_of(self->fd, id));
	/* The last writer wins, no matter who holds the block. */
	ASSERT_EQ(1, kvbm_match(self->other, 1, self->h, &got, NULL));
	EXPECT_EQ(1, flag1(self->fd, id, true));
	EXPECT_EQ(1, flag_of(self->fd, id));
	EXPECT_EQ(1, flag1(self->other, id, false));
	EXPECT_EQ(0, flag_of(self->fd, id));
	EXPECT_EQ(1, flag1(self->other, id, true));
	EXPECT_EQ(1, release1(self->other, id));
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(self->fd, id));
	EXPECT_EQ(1, release1(self->fd, id));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, id));
	EXPECT_EQ(0, flag_of(self->fd, id));
	EXPECT_EQ(1, kt_info(self->fd, id).generation);
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[0]));
	EXPECT_EQ(1, kt_counts(self->fd).registered);
	EXPECT_EQ(0, kt_stats(self->fd).evictions);

	/* Only through a hold on a registered block. */
	EXPECT_EQ(-EPERM, flag1(self->fd, id, true));
	EXPECT_EQ(-EPERM, flag1(self->other, self->ids[1], true));
	EXPECT_EQ(-EPERM, flag1(self->fd, TOTAL, true));
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &got, NULL, NULL));
	EXPECT_EQ(1, kvbm_set_reset(self->fd, 2,
				    (uint32_t[]){ self->ids[1], got }, true,
				    &error));
	EXPECT_EQ(EPERM, error);
	ASSERT_EQ(1, kvbm_stage(self->fd, 1, &got, self->h, NULL, NULL));
	EXPECT_EQ(-EPERM, flag1(self->fd, got, true));
}

TEST_F(more, reset_flag_survives_idleness)
{
	uint32_t id, got;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, self->ids));
	id = self->ids[0];
	/* Idle with the flag cleared after it was set. */
	EXPECT_EQ(1, flag1(self->fd, id, true));
	EXPECT_EQ(1, flag1(self->fd, id, false));
	EXPECT_EQ(1, release1(self->fd, id));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, id));
	ASSERT_EQ(1, kvbm_match(self->fd, 1, self->h, &got, NULL));
	EXPECT_EQ(0, flag_of(self->fd, id));
	/* Evicted and used again, it has the store's default. */
	EXPECT_EQ(1, release1(self->fd, id));
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	EXPECT_EQ(0, flag_of(self->fd, id));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, id));
	EXPECT_EQ(1, kt_info(self->fd, id).generation);
}

TEST(reset_by_default)
{
	struct kvbm_hash h[2] = { kt_single(1), kt_single(2) };
	uint32_t id, got;
	int fd;

	fd = kt_store(4, .flags = KVBM_CREATE_RESET);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, kt_fill(fd, 1, h, &id));
	EXPECT_EQ(1, flag_of(fd, id));
	/* Cleared, it stays idle, comes back, stays cleared. */
	EXPECT_EQ(1, flag1(fd, id, false));
	EXPECT_EQ(1, release1(fd, id));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(fd, id));
	EXPECT_EQ(0, flag_of(fd, id));
	ASSERT_EQ(1, kvbm_match(fd, 1, h, &got, NULL));
	EXPECT_EQ(0, flag_of(fd, id));
	EXPECT_EQ(1, release1(fd, id));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(fd, id));
	ASSERT_EQ(1, kvbm_match(fd, 1, h, &got, NULL));
	EXPECT_EQ(1, flag1(fd, id, true));
	EXPECT_EQ(1, release1(fd, id));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(fd, id));
	/* Every entry into Mutable: allocation and unstage. */
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EQ(1, flag_of(fd, id));
	ASSERT_EQ(1, kvbm_stage(fd, 1, &id, h, NULL, NULL));
	ASSERT_EQ(1, kvbm_unstage(fd, 1, &id, NULL));
	EXPECT_EQ(1, flag_of(fd, id));
	kt_check(fd);
}

/* A Duplicate goes to Reset whatever its flag; the Primary goes by its own. */
TEST_F(more, reset_flag_of_duplicate)
{
	struct kvbm_registered r;
	uint32_t a, b;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, &a));
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &b, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, &b, self->h, &r, 0,
					 NULL));
	ASSERT_EQ(KVBM_KIND_DUPLICATE, r.kind);
	EXPECT_EQ(1, flag1(self->fd, b, true));
	EXPECT_EQ(0, flag_of(self->fd, a));
	EXPECT_EQ(1, flag1(self->fd, a, true));
	EXPECT_EQ(1, release1(self->fd, a));
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(self->fd, a));
	/* The keep-alive was the Primary's last hold: its flag counts then. */
	EXPECT_EQ(1, release1(self->fd, b));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, b));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, a));
	EXPECT_EQ(0, kt_counts(self->fd).registered);
	/* The Duplicate's slot is free before the Primary's. */
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	EXPECT_EQ(b, self->ids[TOTAL - 2]);
	EXPECT_EQ(a, self->ids[TOTAL - 1]);
}

/* 8: weak references */

TEST_F(more, weak)
{
	uint32_t id, got = KT_POISON, hits = KT_POISON, error, i;
	struct kvbm_stats before, after;
	struct kvbm_weak w, ws[4];
	uint8_t f;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, &id));
	kt_poison(w);
	ASSERT_EQ(0, kvbm_weak(self->fd, id, &w));
	EXPECT_EQ(id, w.block);
	EXPECT_EQ(0, w.generation);
	EXPECT_TRUE(kt_same(self->h[0], w.hash));
	EXPECT_EQ(1, kt_info(self->fd, id).holds);
	before = kt_stats(self->fd);

	/* Active, idle. */
	EXPECT_EQ(1, kvbm_upgrade(self->other, 1, &w, &got, &hits, &error));
	EXPECT_EQ(id, got);
	EXPECT_EQ(1, hits);
	EXPECT_EQ(1, release1(self->other, id));
	EXPECT_EQ(1, release1(self->fd, id));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, id));
	EXPECT_EQ(1, kvbm_upgrade(self->other, 1, &w, &got, &hits, NULL));
	EXPECT_EQ(id, got);
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(self->fd, id));
	/* No match, no frequency. */
	after = kt_stats(self->fd);
	EXPECT_EQ(before.match_hashes_requested, after.match_hashes_requested);
	EXPECT_EQ(before.match_blocks_returned, after.match_blocks_returned);
	EXPECT_EQ(before.scan_blocks_returned, after.scan_blocks_returned);
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, self->h, &f, NULL));
	EXPECT_EQ(1, f);
	EXPECT_EQ(1, release1(self->other, id));

	/* Gone. */
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	got = KT_POISON;
	EXPECT_EQ(1, kvbm_upgrade(self->other, 1, &w, &got, &hits, NULL));
	EXPECT_EQ(KVBM_NO_BLOCK, got);
	EXPECT_EQ(0, hits);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));

	/* Registered again, in another slot: that one. */
	ASSERT_EQ(2, kt_fill(self->fd, 2, (struct kvbm_hash[]){
					self->h[5], self->h[0] }, self->ids));
	ws[0] = w;
	ws[1] = (struct kvbm_weak) { .block = TOTAL, .hash = self->h[0] };
	ws[2] = (struct kvbm_weak) { .block = KVBM_NO_BLOCK,
				     .hash = self->h[9] };
	ws[3] = (struct kvbm_weak) { .block = self->ids[0],
				     .generation = kt_info(self->fd,
						self->ids[0]).generation,
				     .hash = self->h[5] };
	uint32_t out[4];

	kt_poison(out);
	EXPECT_EQ(4, kvbm_upgrade(self->other, 4, ws, out, &hits, &error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(3, hits);
	EXPECT_EQ(self->ids[1], out[0]);
	EXPECT_EQ(self->ids[1], out[1]);
	EXPECT_EQ(KVBM_NO_BLOCK, out[2]);
	EXPECT_EQ(self->ids[0], out[3]);
	EXPECT_EQ(2, kt_info(self->other, self->ids[1]).own_holds);
	/* The right block, but another hash: by hash. */
	ws[0] = ws[3];
	ws[0].hash = self->h[0];
	EXPECT_EQ(1, kvbm_upgrade(self->other, 1, ws, out, &hits, NULL));
	EXPECT_EQ(self->ids[1], out[0]);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(1, release1(self->other, self->ids[1]));
	EXPECT_EQ(-EPERM, kvbm_weak(self->fd, 7, &w));
}

/* To a Duplicate: the same copy while it lives, the Primary afterwards. */
TEST_F(more, weak_to_duplicate)
{
	uint32_t a, b, got;
	struct kvbm_registered r;
	struct kvbm_weak w;

	ASSERT_EQ(1, kt_fill(self->fd, 1, self->h, &a));
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &b, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, &b, self->h, &r, 0,
					 NULL));
	ASSERT_EQ(KVBM_KIND_DUPLICATE, r.kind);
	ASSERT_EQ(0, kvbm_weak(self->fd, b, &w));
	EXPECT_EQ(1, kvbm_upgrade(self->other, 1, &w, &got, NULL, NULL));
	EXPECT_EQ(b, got);
	EXPECT_EQ(1, release1(self->fd, b));
	EXPECT_EQ(KVBM_STATE_DUPLICATE, kt_state(self->fd, b));
	EXPECT_EQ(1, release1(self->other, b));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, b));
	EXPECT_EQ(1, kvbm_upgrade(self->other, 1, &w, &got, NULL, NULL));
	EXPECT_EQ(a, got);
}

/* 9: reset inactive */

TEST_F(more, reset_inactive)
{
	struct kvbm_stats before, after;
	uint32_t done = KT_POISON, ids[TOTAL], i;
	bool whole;

	ASSERT_EQ(5, kt_fill(self->fd, 5, self->h, ids));
	/* Idle in this order: 3, 0, 4; held: 1, 2. */
	ASSERT_EQ(3, kvbm_release(self->fd, 3, (uint32_t[]){ ids[3], ids[0],
				  ids[4] }, 0, NULL));
	before = kt_stats(self->fd);
	whole = true;
	EXPECT_EQ(3, kvbm_reset_inactive(self->fd, &whole, &done));
	EXPECT_EQ(3, done);
	EXPECT_FALSE(whole);
	after = kt_stats(self->fd);
	EXPECT_EQ(before.allocations, after.allocations);
	EXPECT_EQ(before.evictions, after.evictions);
	EXPECT_EQ(6, after.reset_pool_size);
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[0]));
	EXPECT_EQ(KVBM_ACTIVE, kt_presence(self->fd, self->h[1]));
	EXPECT_EQ(1, kt_info(self->fd, ids[0]).generation);
	/* In eviction order at the free list's tail. */
	ASSERT_EQ(6, kvbm_alloc(self->other, 6, self->ids, NULL, NULL));
	EXPECT_EQ(ids[3], self->ids[3]);
	EXPECT_EQ(ids[0], self->ids[4]);
	EXPECT_EQ(ids[4], self->ids[5]);
	ASSERT_EQ(6, kvbm_release(self->other, 6, self->ids, 0, NULL));
	/* Nothing idle; then all of it. */
	EXPECT_EQ(0, kvbm_reset_inactive(self->fd, &whole, &done));
	EXPECT_FALSE(whole);
	ASSERT_EQ(2, kvbm_release(self->fd, 2, ids + 1, 0, NULL));
	EXPECT_EQ(2, kvbm_reset_inactive(self->fd, &whole, &done));
	EXPECT_TRUE(whole);
	EXPECT_EQ(0, kvbm_reset_inactive(self->fd, &whole, NULL));
	EXPECT_TRUE(whole);
	for (i = 0; i < TOTAL; i++)
		EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, i));
}

/* 10 and 11: counts, information, presence */

TEST_F(more, info)
{
	struct kvbm_block_info i;
	uint32_t id;

	EXPECT_EQ(-EINVAL, kvbm_block_info(self->fd, TOTAL, &i));
	EXPECT_EQ(-EINVAL, kvbm_block_info(self->fd, KVBM_NO_BLOCK, &i));
	i = kt_info(self->fd, 0);
	EXPECT_EQ(KVBM_STATE_RESET, i.state);
	EXPECT_EQ(0, i.holds);
	EXPECT_EQ(0, i.generation);
	EXPECT_EQ(0, i.reset_on_release);
	EXPECT_EQ(0, i.hash.hi | i.hash.lo);
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &id, NULL, NULL));
	i = kt_info(self->other, id);
	EXPECT_EQ(KVBM_STATE_MUTABLE, i.state);
	EXPECT_EQ(1, i.holds);
	EXPECT_EQ(0, i.own_holds);
	EXPECT_EQ(0, i.hash.hi | i.hash.lo);
	/* The slot's former contents do not show. */
	ASSERT_EQ(1, release1(self->fd, id));
	ASSERT_EQ(TOTAL, kt_idle(self->fd, TOTAL, self->h, self->ids));
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &id, NULL, NULL));
	i = kt_info(self->fd, id);
	EXPECT_EQ(0, i.hash.hi | i.hash.lo);
	ASSERT_EQ(1, release1(self->fd, id));
	i = kt_info(self->fd, id);
	EXPECT_EQ(KVBM_STATE_RESET, i.state);
	EXPECT_EQ(0, i.hash.hi | i.hash.lo);
}

TEST_F(more, presence)
{
	uint8_t out[5];
	uint32_t error = KT_POISON;
	struct kvbm_stats before, after;
	uint8_t f;

	ASSERT_EQ(2, kt_fill(self->fd, 2, self->h, self->ids));
	ASSERT_EQ(1, release1(self->fd, self->ids[1]));
	before = kt_stats(self->fd);
	memset(out, 0xa5, sizeof(out));
	EXPECT_EQ(3, kvbm_presence(self->other, 3, self->h, out, &error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(KVBM_ACTIVE, out[0]);
	EXPECT_EQ(KVBM_INACTIVE, out[1]);
	EXPECT_EQ(KVBM_ABSENT, out[2]);
	EXPECT_EQ(0xa5, out[3]);
	after = kt_stats(self->fd);
	before.reclaim_last_ns = after.reclaim_last_ns;
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, self->h, &f, NULL));
	EXPECT_EQ(1, f);
}

/* 13: frequency */

TEST_F(more, frequency)
{
	uint8_t f[4];
	uint32_t got[8], i;

	/* Counted when a hash becomes registered, and by matches. */
	ASSERT_EQ(2, kt_fill(self->fd, 2, self->h, self->ids));
	EXPECT_EQ(3, kvbm_frequency(self->fd, 3, self->h, f, NULL));
	EXPECT_EQ(1, f[0]);
	EXPECT_EQ(1, f[1]);
	EXPECT_EQ(0, f[2]);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(2, kvbm_match(self->fd, 3, self->h, got, NULL));
	EXPECT_EQ(3, kvbm_frequency(self->fd, 3, self->h, f, NULL));
	EXPECT_EQ(4, f[0]);
	EXPECT_EQ(4, f[1]);
	EXPECT_EQ(0, f[2]);
	/* Not for a duplicate, not for what is present. */
	struct kvbm_registered r;

	ASSERT_EQ(2, kvbm_alloc(self->fd, 2, got, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, got, self->h, &r,
					 KVBM_REGISTER_ALLOW, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, got + 1, self->h, &r,
					 KVBM_REGISTER_REJECT, NULL));
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, self->h, f, NULL));
	EXPECT_EQ(4, f[0]);
	/* Up to 15. */
	for (i = 0; i < 20; i++)
		EXPECT_EQ(1, kvbm_touch(self->fd, 1, &self->h[9], NULL));
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, &self->h[9], f, NULL));
	EXPECT_EQ(15, f[0]);
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[9]));
}

TEST(no_frequency)
{
	struct kvbm_hash h = kt_single(5);
	uint8_t f = 0xa5;
	int fd;

	fd = kt_store(2);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(1, kvbm_touch(fd, 1, &h, NULL));
	EXPECT_EQ(1, kvbm_frequency(fd, 1, &h, &f, NULL));
	EXPECT_EQ(0, f);
}

/* The limit on blocks that one session holds. */
TEST(max_held)
{
	uint32_t ids[8], out[8], error = KT_POISON, got, hits;
	struct kvbm_registered r;
	struct kvbm_hash h[8];
	struct kvbm_weak w;
	int fd, other;

	kt_singles(h, 8, 100);
	fd = kt_store(8, .max_held = 4);
	ASSERT_GE(fd, 0);
	other = kvbm_session_open(fd);
	ASSERT_EQ(3, kt_fill(other, 3, h, ids));
	EXPECT_EQ(-EDQUOT, kvbm_alloc(fd, 5, out, NULL, NULL));
	EXPECT_EQ(3, kvbm_alloc(fd, 3, out, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_alloc(fd, 2, ids + 3, NULL, NULL));
	/* Nobody else could end that wait, nobody at all this one. */
	EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(fd, 2, ids + 3, NULL, NULL,
					    KVBM_NO_DEADLINE));
	EXPECT_EQ(-EDQUOT, kvbm_alloc_wait(fd, 5, ids + 3, NULL, NULL,
					   KVBM_NO_DEADLINE));
	/* The other form never fails: as many as it may. */
	EXPECT_EQ(1, kvbm_alloc_reset(fd, 2, ids + 3));
	EXPECT_EQ(0, kvbm_alloc_reset(fd, 2, ids + 4));
	ASSERT_EQ(1, kvbm_release(fd, 1, ids + 3, 0, NULL));
	/* Matches: as far as it goes. */
	EXPECT_EQ(1, kvbm_match(fd, 3, h, ids, &error));
	EXPECT_EQ(EDQUOT, error);
	EXPECT_EQ(4, kt_self(fd).held);
	/* More holds on what it holds are no more blocks. */
	EXPECT_EQ(1, kvbm_match(fd, 1, h, ids, NULL));
	EXPECT_EQ(1, kvbm_retain(fd, 1, ids, NULL));
	EXPECT_EQ(2, kvbm_scan(fd, 3, (struct kvbm_hash[]){
			       h[7], h[0], h[1] }, ids + 4, 0, &hits, &error));
	EXPECT_EQ(EDQUOT, error);
	EXPECT_EQ(1, hits);
	w = (struct kvbm_weak) { .block = 1, .hash = h[1] };
	EXPECT_EQ(-EDQUOT, kvbm_upgrade(fd, 1, &w, &got, NULL, &error));
	EXPECT_EQ(EDQUOT, error);
	/* A Duplicate of what it does not hold keeps one block more alive. */
	EXPECT_EQ(-EDQUOT, kvbm_stage_register(fd, 1, out, &h[1], &r,
					       KVBM_REGISTER_ALLOW, &error));
	EXPECT_EQ(EDQUOT, error);
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(fd, out[0]));
	/* Registering what it holds adds no block. Nor does a dedup. */
	EXPECT_EQ(1, kvbm_stage_register(fd, 1, out, &h[0], &r,
					 KVBM_REGISTER_ALLOW, &error));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, r.kind);
	EXPECT_EQ(1, kvbm_stage_register(fd, 1, out + 1, &h[2], &r,
					 KVBM_REGISTER_REJECT, &error));
	EXPECT_EQ(KVBM_KIND_DEDUP, r.kind);
	EXPECT_EQ(4, kt_self(fd).held);
	kt_check(fd);
	close(other);
	close(fd);
}

/* Registers one block under a hash: the errno, or what it came to. */
static int put_one(int fd, uint32_t id, struct kvbm_hash h, uint32_t flags)
{
	struct kvbm_registered r;
	int ret = kvbm_stage_register(fd, 1, &id, &h, &r, flags, NULL);

	return ret < 0 ? ret : r.kind;
}

/* 8 blocks allowed: it never keeps more from others, Duplicates or not. */
TEST(max_held_duplicates)
{
	uint32_t theirs[8], ids[8], more;
	struct kvbm_hash h[8];
	int fd, other, ses, i;

	kt_singles(h, 8, 100);
	fd = kt_store(32, .max_held = 8, .policy = "lru");
	ASSERT_GE(fd, 0);
	other = kvbm_session_open(fd);
	ses = kvbm_session_open(fd);
	ASSERT_EQ(8, kt_fill(other, 8, h, theirs));
	ASSERT_EQ(4, kvbm_alloc(ses, 4, ids, NULL, NULL));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(KVBM_KIND_DUPLICATE, put_one(ses, ids[i], h[i], 0));
		EXPECT_EQ(5 + i, kt_self(ses).held);
	}
	EXPECT_EQ(-EDQUOT, kvbm_alloc(ses, 1, &more, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_match(ses, 1, &h[7], &more, NULL));
	/* A block kept alive by a Duplicate may be held: it counts already. */
	EXPECT_EQ(4, kvbm_match(ses, 5, h, ids + 4, NULL));
	EXPECT_EQ(1, kvbm_scan(ses, 1, h, &more, 0, NULL, NULL));
	EXPECT_EQ(theirs[0], more);
	EXPECT_EQ(8, kt_self(ses).held);
	EXPECT_EQ(9, kt_self(ses).holds);
	kt_check(fd);
	close(other);
	/* All others are gone: these are what is missing. */
	EXPECT_EQ(32 - 8, kt_counts(fd).available);
	EXPECT_EQ(4, kvbm_release(ses, 4, ids + 4, 0, NULL));
	EXPECT_EQ(1, kvbm_release(ses, 1, &more, 0, NULL));
	EXPECT_EQ(-EPERM, kvbm_release(ses, 1, &more, 0, NULL));
	EXPECT_EQ(-EPERM, kvbm_retain(ses, 1, &more, NULL));
	EXPECT_EQ(0, kt_info(ses, more).own_holds);
	EXPECT_EQ(8, kt_self(ses).held);
	EXPECT_EQ(32 - 8, kt_counts(fd).available);
	kt_check(fd);
	/* Each goes with what it kept. */
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(1, kvbm_release(ses, 1, &ids[i], 0, NULL));
		EXPECT_EQ(6 - 2 * i, kt_self(ses).held);
		EXPECT_EQ(26 + 2 * i, kt_counts(fd).available);
	}
	kt_check(fd);
	close(ses);
	close(fd);
}

/* Several Duplicates of one Primary keep that one alive, once. */
TEST(max_held_same)
{
	uint32_t theirs, ids[5], got[2];
	struct kvbm_hash h = kt_single(9);
	struct kvbm_hold_entry list[8];
	uint64_t cursor = 0;
	uint32_t total;
	int fd, ses, i;

	fd = kt_store(16, .max_held = 6, .policy = "lru");
	ASSERT_GE(fd, 0);
	ses = kvbm_session_open(fd);
	ASSERT_EQ(1, kt_fill(fd, 1, &h, &theirs));
	ASSERT_EQ(5, kvbm_alloc(ses, 5, ids, NULL, NULL));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(KVBM_KIND_DUPLICATE, put_one(ses, ids[i], h, 0));
	EXPECT_EQ(6, kt_self(ses).held);
	EXPECT_EQ(-EDQUOT, kvbm_alloc(ses, 1, got, NULL, NULL));
	EXPECT_EQ(1, kvbm_release(fd, 1, &theirs, 0, NULL));
	EXPECT_EQ(10, kt_counts(fd).available);
	/* It is listed, with no hold. */
	EXPECT_EQ(6, kvbm_holds(ses, &cursor, 8, list, &total));
	EXPECT_EQ(6, total);
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(list[i].block != theirs, list[i].holds);
		EXPECT_EQ(list[i].block == theirs ? KVBM_STATE_PRIMARY :
			  KVBM_STATE_DUPLICATE, list[i].state);
	}
	EXPECT_EQ(3, kvbm_release(ses, 3, ids, 0, NULL));
	EXPECT_EQ(3, kt_self(ses).held);
	/* Held and kept: it stays with either. */
	EXPECT_EQ(1, kvbm_match(ses, 1, &h, got, NULL));
	EXPECT_EQ(1, kvbm_match(ses, 1, &h, got, NULL));
	EXPECT_EQ(3, kt_self(ses).held);
	EXPECT_EQ(2, kvbm_release(ses, 2, ids + 3, 0, NULL));
	EXPECT_EQ(1, kt_self(ses).held);
	EXPECT_EQ(2, kt_info(ses, theirs).own_holds);
	EXPECT_EQ(1, kvbm_release(ses, 1, got, 0, NULL));
	EXPECT_EQ(1, kvbm_release(ses, 1, got, 0, NULL));
	EXPECT_EQ(0, kt_self(ses).held);
	EXPECT_EQ(16, kt_counts(fd).available);
	kt_check(fd);
	close(ses);
	close(fd);
}

/* Its end gives all back, whatever ids Duplicates and Primaries have. */
TEST(max_held_end)
{
	uint32_t a[4], b[4], got[8];
	struct kvbm_hash h[4];
	int fd, ses, i;

	fd = kt_store(16, .policy = "lru");
	ASSERT_GE(fd, 0);
	kt_singles(h, 4, 50);
	ses = kvbm_session_open(fd);
	ASSERT_EQ(4, kvbm_alloc(ses, 4, a, NULL, NULL));
	ASSERT_EQ(4, kvbm_alloc(ses, 4, b, NULL, NULL));
	/* Primaries have the higher numbers in the first pair, and so on. */
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(KVBM_KIND_PRIMARY,
			  put_one(ses, i & 1 ? a[i] : b[i], h[i], 0));
		EXPECT_EQ(KVBM_KIND_DUPLICATE,
			  put_one(ses, i & 1 ? b[i] : a[i], h[i], 0));
	}
	/* Some are also held, some only kept alive. */
	EXPECT_EQ(2, kvbm_match(ses, 2, h, got, NULL));
	EXPECT_EQ(1, kvbm_release(ses, 1, &b[2], 0, NULL));
	EXPECT_EQ(1, kvbm_release(ses, 1, &a[3], 0, NULL));
	EXPECT_EQ(8, kt_self(ses).held);
	EXPECT_EQ(8, kt_counts(fd).held);
	close(ses);
	EXPECT_EQ(0, kt_counts(fd).held);
	EXPECT_EQ(4, kt_counts(fd).inactive);
	kt_check(fd);
	close(fd);
}

/* A hold on somebody else's Duplicate keeps two blocks, too. */
TEST(max_held_upgrade)
{
	struct kvbm_hash h[2] = { kt_single(7), kt_single(8) };
	uint32_t theirs[2], dup, ids[3], got, error;
	struct kvbm_weak w;
	int fd, other, ses;

	fd = kt_store(16, .max_held = 4, .policy = "lru");
	ASSERT_GE(fd, 0);
	other = kvbm_session_open(fd);
	ses = kvbm_session_open(fd);
	ASSERT_EQ(2, kt_fill(other, 2, h, theirs));
	ASSERT_EQ(1, kvbm_alloc(other, 1, &dup, NULL, NULL));
	ASSERT_EQ(KVBM_KIND_DUPLICATE, put_one(other, dup, h[0], 0));
	w = (struct kvbm_weak) { .block = dup, .hash = h[0],
				 .generation = kt_info(other, dup).generation };
	ASSERT_EQ(3, kvbm_alloc(ses, 3, ids, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_upgrade(ses, 1, &w, &got, NULL, &error));
	EXPECT_EQ(EDQUOT, error);
	EXPECT_EQ(3, kt_self(ses).held);
	EXPECT_EQ(1, kvbm_release(ses, 1, ids, 0, NULL));
	EXPECT_EQ(1, kvbm_upgrade(ses, 1, &w, &got, NULL, &error));
	EXPECT_EQ(dup, got);
	EXPECT_EQ(4, kt_self(ses).held);
	/* Once more, and with the Primary: the same blocks. */
	EXPECT_EQ(1, kvbm_upgrade(ses, 1, &w, &got, NULL, NULL));
	EXPECT_EQ(1, kvbm_match(ses, 1, h, &got, NULL));
	EXPECT_EQ(4, kt_self(ses).held);
	close(other);
	EXPECT_EQ(KVBM_STATE_DUPLICATE, kt_state(fd, dup));
	EXPECT_EQ(1, kvbm_release(ses, 1, &got, 0, NULL));
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(fd, theirs[0]));
	EXPECT_EQ(1, kvbm_release(ses, 1, &dup, 0, NULL));
	EXPECT_EQ(4, kt_self(ses).held);
	EXPECT_EQ(1, kvbm_release(ses, 1, &dup, 0, NULL));
	EXPECT_EQ(2, kt_self(ses).held);
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(fd, theirs[0]));
	kt_check(fd);
	close(ses);
	close(fd);
}

/* Of one hash a session holds so many Duplicates, and not one more. */
TEST(duplicates_limit)
{
	static struct kvbm_registered res[KVBM_MAX_DUPLICATES + 1];
	static struct kvbm_hash h[KVBM_MAX_DUPLICATES + 1];
	static uint32_t ids[KVBM_MAX_DUPLICATES + 2];
	uint32_t i, error = 0;
	int fd;

	fd = kt_store(2048, .policy = "lru");
	ASSERT_GE(fd, 0);
	for (i = 0; i <= KVBM_MAX_DUPLICATES; i++)
		h[i] = kt_single(3);
	ASSERT_EQ(KVBM_MAX_DUPLICATES + 2,
		  kvbm_alloc(fd, KVBM_MAX_DUPLICATES + 2, ids, NULL, NULL));
	ASSERT_EQ(KVBM_KIND_PRIMARY, put_one(fd, ids[0], h[0], 0));
	EXPECT_EQ(KVBM_MAX_DUPLICATES,
		  kvbm_stage_register(fd, KVBM_MAX_DUPLICATES + 1, ids + 1, h,
				      res, 0, &error));
	EXPECT_EQ(EOVERFLOW, error);
	EXPECT_EQ(-EOVERFLOW, put_one(fd, ids[i], h[0], 0));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(fd, ids[i]));
	EXPECT_EQ(KVBM_KIND_DEDUP,
		  put_one(fd, ids[i], h[0], KVBM_REGISTER_REJECT));
	EXPECT_EQ(1, kvbm_release(fd, 1, ids + 1, 0, NULL));
	ASSERT_EQ(1, kvbm_alloc(fd, 1, ids + 1, NULL, NULL));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, put_one(fd, ids[1], h[0], 0));
	EXPECT_EQ(KVBM_MAX_DUPLICATES + 1, kt_self(fd).held);
	close(fd);
}

/* 12: identity */
TEST(identity)
{
	struct kvbm_store_info a, b, c;
	struct kvbm_hash h = kt_single(77);
	uint32_t id;
	int one, two;

	one = kt_store(4);
	two = kt_store(4);
	ASSERT_EQ(0, kvbm_store_info(one, &a));
	ASSERT_EQ(0, kvbm_store_info(two, &b));
	EXPECT_NE(0, a.store_id);
	EXPECT_NE(0, b.store_id);
	EXPECT_NE(a.store_id, b.store_id);
	/* They share no hashes. */
	ASSERT_EQ(1, kt_fill(one, 1, &h, &id));
	EXPECT_EQ(KVBM_ACTIVE, kt_presence(one, h));
	EXPECT_EQ(KVBM_ABSENT, kt_presence(two, h));
	close(two);
	two = kt_store(4);
	ASSERT_EQ(0, kvbm_store_info(two, &c));
	EXPECT_NE(b.store_id, c.store_id);
	EXPECT_NE(a.store_id, c.store_id);
	EXPECT_EQ(16, a.block_size);
	EXPECT_EQ(4, a.total_blocks);
	EXPECT_STREQ("lineage_tick", a.policy);
	EXPECT_STREQ("", a.name);
	EXPECT_EQ(KVBM_CHUNK, a.chunk);
	EXPECT_EQ(1, a.sessions);
	EXPECT_GT(a.memory, 4 * 64);
}

TEST_HARNESS_MAIN
