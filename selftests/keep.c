// SPDX-License-Identifier: MIT
/*
 * Retention: what is evicted first and what last, for how long, who may set
 * ranks, and for how many blocks. And touching, which makes an idle block the
 * newest.
 */
#include <grp.h>
#include <sched.h>
#include "kvbm_test.h"

#define TOTAL	64U
#define N	16U

#define USER	4000U
#define OTHER	4001U

#define MS	1000000ULL

FIXTURE(keep) {
	int fd;				/* the owner's */
	struct kvbm_hash h[TOTAL];	/* no relatives */
	uint32_t ids[TOTAL];
	struct kvbm_evicted gone[TOTAL];
};

FIXTURE_VARIANT(keep) {
	const char *policy;
};

#define KVBM_POLICY(name)	FIXTURE_VARIANT_ADD(keep, name) { #name };
#include "policies.def"

/* A store of N blocks, all of which may be raised. */
static int make(const char *policy, uint32_t n, uint32_t most, uint32_t user)
{
	struct kvbm_store_create c;

	kvbm_store_create_init(&c, NULL, n);
	kvbm_store_create_policy(&c, policy);
	c.flags |= KVBM_CREATE_RETENTION;
	c.keep_blocks = most;
	c.keep_user_blocks = user;
	return kt_store_make(&c);
}

FIXTURE_SETUP(keep)
{
	self->fd = make(variant->policy, N, N, N);
	ASSERT_GE(self->fd, 0);
	kt_singles(self->h, TOTAL, 1000);
}

FIXTURE_TEARDOWN(keep)
{
	kt_check(self->fd);
	close(self->fd);
}

/* enum kvbm_keep_result, or -errno. */
static int by_hash(int fd, struct kvbm_hash h, uint32_t rank, uint64_t ns)
{
	uint8_t result = 0xa5;
	int ret = kvbm_keep_hashes(fd, 1, &h, rank, ns,
				   ns ? KVBM_KEEP_RELATIVE : 0, &result, NULL);

	return ret < 0 ? ret : ret == 1 ? result : -EPROTO;
}

static int by_id(int fd, uint32_t id, uint32_t rank, uint64_t ns)
{
	uint8_t result = 0xa5;
	int ret = kvbm_keep(fd, 1, &id, rank, ns, ns ? KVBM_KEEP_RELATIVE : 0,
			    &result, NULL);

	return ret < 0 ? ret : ret == 1 ? result : -EPROTO;
}

/* The next @n that are evicted, which stay away, are those of h named. */
#define evicts(self, n, ...) ({						\
	static const int __want[] = { __VA_ARGS__ };			\
	uint32_t __ids[TOTAL], __i, __evicted;				\
									\
	EXPECT_EQ(n, ARRAY_SIZE(__want));				\
	ASSERT_EQ(n, kvbm_alloc((self)->fd, n, __ids, (self)->gone,	\
				&__evicted));				\
	EXPECT_EQ(n, __evicted);					\
	for (__i = 0; __i < (n); __i++)					\
		EXPECT_TRUE(kt_same((self)->h[__want[__i]],		\
				    (self)->gone[__i].hash)) {		\
			TH_LOG("%u: %016llx", __i, (unsigned long long)	\
			       (self)->gone[__i].hash.hi);		\
		}							\
})

/* The lowest rank goes first; each in the policy's own order. */
TEST_F(keep, lowest_first)
{
	struct kvbm_stats s;
	int i;

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	for (i = 0; i < N; i++)
		EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[i],
						  3 - i % 4, 0));
	s = kt_stats(self->fd);
	EXPECT_EQ(4, s.rank_first);
	EXPECT_EQ(4, s.rank_high);
	EXPECT_EQ(4, s.rank_keep);
	for (i = 0; i < N; i++)
		EXPECT_EQ(3 - i % 4, kt_info(self->fd, self->ids[i]).keep_rank);
	evicts(self, 5, 3, 7, 11, 15, 2);
	evicts(self, 4, 6, 10, 14, 1);
	evicts(self, 7, 5, 9, 13, 0, 4, 8, 12);
	s = kt_stats(self->fd);
	EXPECT_EQ(4, s.evicted_first);
	EXPECT_EQ(4, s.evicted_high);
	EXPECT_EQ(4, s.evicted_keep);
	EXPECT_EQ(16, s.evictions);
	EXPECT_EQ(0, s.rank_first + s.rank_high + s.rank_keep);
}

/* No allocation fails because of it. */
TEST_F(keep, soft)
{
	uint32_t ids[N], i;

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	for (i = 0; i < N; i++)
		EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[i],
						  KVBM_RANK_KEEP, 0));
	EXPECT_EQ(N, kt_counts(self->fd).available);
	EXPECT_EQ(N, kvbm_alloc(self->fd, N, ids, NULL, NULL));
	EXPECT_EQ(N, kt_stats(self->fd).evicted_keep);
	EXPECT_EQ(0, kt_stats(self->fd).rank_keep);
}

/* On held ids, before they are released and after; a change moves nothing. */
TEST_F(keep, held_and_later)
{
	int i;

	ASSERT_EQ(N, kt_fill(self->fd, N, self->h, self->ids));
	EXPECT_EQ(KVBM_KEEP_DONE, by_id(self->fd, self->ids[0],
					KVBM_RANK_KEEP, 0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_id(self->fd, self->ids[9],
					KVBM_RANK_FIRST, 0));
	ASSERT_EQ(N, kvbm_release(self->fd, N, self->ids, 0, NULL));
	evicts(self, 3, 9, 1, 2);
	/* Also later: back to the place that it always had. */
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[0],
					  KVBM_RANK_NORMAL, 0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[3],
					  KVBM_RANK_HIGH, 0));
	evicts(self, 2, 0, 4);
	/* A held one keeps its rank, and has it when it is idle again. */
	ASSERT_EQ(1, kvbm_match(self->fd, 1, &self->h[3], self->ids, NULL));
	EXPECT_EQ(KVBM_RANK_HIGH, kt_info(self->fd, self->ids[0]).keep_rank);
	ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids, 0, NULL));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(1, kvbm_match(self->fd, 1, &self->h[5], self->ids,
					NULL));
		EXPECT_EQ(KVBM_KEEP_DONE,
			  by_hash(self->fd, self->h[5], i ? KVBM_RANK_FIRST :
				  KVBM_RANK_KEEP, 0));
		ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids, 0, NULL));
	}
	evicts(self, 3, 5, 6, 7);
	evicts(self, 7, 8, 10, 11, 12, 13, 14, 15);
	evicts(self, 1, 3);
}

/* Each element has its result, and the batch goes on. */
TEST_F(keep, results)
{
	uint8_t results[TOTAL], wide[TOTAL];
	uint32_t error = KT_POISON, i, ids[3];

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	memset(results, 0xa5, sizeof(results));
	EXPECT_EQ(TOTAL, kvbm_keep_hashes(self->fd, TOTAL, self->h,
					  KVBM_RANK_KEEP, 0, 0, results,
					  &error));
	EXPECT_EQ(0, error);
	for (i = 0; i < TOTAL; i++)
		EXPECT_EQ(i < N ? KVBM_KEEP_DONE : KVBM_KEEP_ABSENT,
			  results[i]);
	EXPECT_EQ(N, kt_stats(self->fd).rank_keep);
	/* Nobody need ask. */
	EXPECT_EQ(N, kvbm_keep_hashes(self->fd, N, self->h, KVBM_RANK_NORMAL,
				      0, 0, NULL, NULL));
	EXPECT_EQ(0, kt_stats(self->fd).rank_keep);
	/* An id that is not held is an error; those before it are done. */
	ASSERT_EQ(2, kvbm_match(self->fd, 2, self->h, ids, NULL));
	ids[2] = self->ids[5];
	memset(wide, 0xa5, sizeof(wide));
	EXPECT_EQ(2, kvbm_keep(self->fd, 3, ids, KVBM_RANK_HIGH, 0, 0, wide,
			       &error));
	EXPECT_EQ(EPERM, error);
	EXPECT_EQ(KVBM_KEEP_DONE, wide[1]);
	EXPECT_EQ(0xa5, wide[2]);
	EXPECT_EQ(2, kt_stats(self->fd).rank_high);
	/* Results that cannot be written: what is done stands. */
	EXPECT_EQ(-EFAULT, kvbm_keep(self->fd, 2, ids, KVBM_RANK_FIRST, 0, 0,
				     (uint8_t *)8, NULL));
	EXPECT_EQ(2, kt_stats(self->fd).rank_first);
	ASSERT_EQ(2, kvbm_release(self->fd, 2, ids, 0, NULL));
}

/* A rank expires: reported at once, and in effect within a second. */
TEST_F(keep, expires)
{
	struct kvbm_block_info info;
	uint64_t begin;
	int i;

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	begin = kt_now();
	for (i = 0; i < 4; i++)
		EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[i],
						  KVBM_RANK_KEEP, 200 * MS));
	/* A block that was to go first is normal then, too. */
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[8],
					  KVBM_RANK_FIRST, 200 * MS));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[9],
					  KVBM_RANK_KEEP, 3600000 * MS));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[10],
					  KVBM_RANK_KEEP, 0));
	info = kt_info(self->fd, self->ids[9]);
	EXPECT_EQ(KVBM_RANK_KEEP, info.keep_rank);
	EXPECT_GT(info.keep_until_ns, 3600000 * MS);
	EXPECT_EQ(0, info.keep_until_ns & 0xfffff);
	EXPECT_EQ(0, kt_info(self->fd, self->ids[10]).keep_until_ns);
	ASSERT_TRUE(kt_until(kt_info(self->fd, self->ids[0]).keep_rank ==
			     KVBM_RANK_NORMAL));
	EXPECT_GE(kt_now() - begin, 200 * MS);
	EXPECT_EQ(0, kt_info(self->fd, self->ids[0]).keep_until_ns);
	/* By itself, with nobody who calls. */
	ASSERT_TRUE(kt_until(kt_stats(self->fd).rank_expired == 5));
	EXPECT_EQ(2, kt_stats(self->fd).rank_keep);
	EXPECT_EQ(0, kt_stats(self->fd).rank_first);
	evicts(self, 5, 0, 1, 2, 3, 4);
	evicts(self, 4, 5, 6, 7, 8);
	evicts(self, 7, 11, 12, 13, 14, 15, 9, 10);
}

/* An allocation knows of it before anybody has demoted it. */
TEST_F(keep, expired_is_evicted)
{
	int i;

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[i],
						  KVBM_RANK_KEEP, 2 * MS));
		kt_sleep_ms(5);
		/* That, and none of those which stand behind it. */
		ASSERT_EQ(1, kvbm_alloc(self->fd, 1, self->ids, self->gone,
					NULL));
		EXPECT_TRUE(kt_same(self->h[i], self->gone[0].hash));
	}
	EXPECT_EQ(0, kt_stats(self->fd).evicted_keep);
}

/* A later call replaces what was said before. */
TEST_F(keep, replaced)
{
	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[0],
					  KVBM_RANK_KEEP, 20 * MS));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[0],
					  KVBM_RANK_KEEP, 3600000 * MS));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[1],
					  KVBM_RANK_KEEP, 20 * MS));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[1],
					  KVBM_RANK_HIGH, 0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[2],
					  KVBM_RANK_KEEP, 3600000 * MS));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[2],
					  KVBM_RANK_KEEP, 20 * MS));
	ASSERT_TRUE(kt_until(kt_stats(self->fd).rank_expired == 1));
	EXPECT_EQ(KVBM_RANK_KEEP, kt_info(self->fd, self->ids[0]).keep_rank);
	EXPECT_EQ(KVBM_RANK_HIGH, kt_info(self->fd, self->ids[1]).keep_rank);
	EXPECT_EQ(KVBM_RANK_NORMAL, kt_info(self->fd, self->ids[2]).keep_rank);
}

static uint64_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Absolute times; one that has come says the normal rank. */
TEST_F(keep, absolute)
{
	uint64_t until = boottime() + 3600000 * MS;
	uint8_t result;

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	EXPECT_EQ(1, kvbm_keep_hashes(self->fd, 1, self->h, KVBM_RANK_HIGH,
				      until, 0, &result, NULL));
	EXPECT_GE(kt_info(self->fd, self->ids[0]).keep_until_ns, until);
	EXPECT_LT(kt_info(self->fd, self->ids[0]).keep_until_ns,
		  until + (1 << 20));
	EXPECT_EQ(1, kvbm_keep_hashes(self->fd, 1, self->h, KVBM_RANK_KEEP,
				      boottime() - 2 * MS, 0, &result, NULL));
	EXPECT_EQ(KVBM_KEEP_DONE, result);
	EXPECT_EQ(KVBM_RANK_NORMAL, kt_info(self->fd, self->ids[0]).keep_rank);
	/* As long as can be is for good. */
	EXPECT_EQ(1, kvbm_keep_hashes(self->fd, 1, self->h, KVBM_RANK_KEEP,
				      ~0ULL, KVBM_KEEP_RELATIVE, NULL, NULL));
	EXPECT_EQ(KVBM_RANK_KEEP, kt_info(self->fd, self->ids[0]).keep_rank);
	EXPECT_EQ(0, kt_info(self->fd, self->ids[0]).keep_until_ns);
}

/* The rank belongs to the hash and goes with it, whichever way it goes. */
TEST_F(keep, ends_with_the_hash)
{
	uint32_t ids[N], i, none;

	ASSERT_EQ(N, kt_fill(self->fd, N, self->h, self->ids));
	for (i = 0; i < N; i++)
		EXPECT_EQ(KVBM_KEEP_DONE, by_id(self->fd, self->ids[i],
						KVBM_RANK_KEEP,
						i % 2 ? 3600000 * MS : 0));
	ASSERT_EQ(N - 1, kvbm_release(self->fd, N - 1, self->ids, 0, NULL));
	/* Forgotten: an idle one, and one that is held. */
	ASSERT_EQ(0, kvbm_invalidate(self->fd, 1, &self->h[0], 0, NULL, NULL));
	ASSERT_EQ(0, kvbm_invalidate(self->fd, 1, &self->h[15], 0, NULL, NULL));
	EXPECT_EQ(N - 2, kt_stats(self->fd).rank_keep);
	EXPECT_EQ(KVBM_RANK_NORMAL, kt_info(self->fd, self->ids[15]).keep_rank);
	EXPECT_EQ(KVBM_KEEP_ABSENT, by_id(self->fd, self->ids[15],
					  KVBM_RANK_KEEP, 0));
	ASSERT_EQ(1, kvbm_release(self->fd, 1, &self->ids[15], 0, NULL));
	/* Reset with its last release. */
	ASSERT_EQ(1, kvbm_match(self->fd, 1, &self->h[1], ids, NULL));
	ASSERT_EQ(1, kvbm_set_reset(self->fd, 1, ids, true, NULL));
	ASSERT_EQ(1, kvbm_release(self->fd, 1, ids, 0, NULL));
	EXPECT_EQ(N - 3, kt_stats(self->fd).rank_keep);
	/* Evicted, then all others reset. */
	ASSERT_EQ(4, kvbm_alloc(self->fd, 4, ids, NULL, &none));
	EXPECT_EQ(1, none);
	EXPECT_EQ(N - 4, kt_stats(self->fd).rank_keep);
	ASSERT_EQ(N - 4, kvbm_reset_inactive(self->fd, NULL, NULL));
	EXPECT_EQ(0, kt_stats(self->fd).rank_keep);
	ASSERT_EQ(4, kvbm_release(self->fd, 4, ids, 0, NULL));
	/* And who comes after has none. */
	ASSERT_EQ(N, kt_idle(self->fd, N, self->h + N, self->ids));
	for (i = 0; i < N; i++)
		EXPECT_EQ(KVBM_RANK_NORMAL,
			  kt_info(self->fd, self->ids[i]).keep_rank);
	evicts(self, 2, 16, 17);
}

/* Of a Duplicate it is the Primary's: one hash, one rank. */
TEST_F(keep, duplicate)
{
	struct kvbm_registered dup;
	uint32_t id;

	ASSERT_EQ(4, kt_idle(self->fd, 4, self->h, self->ids));
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, &id, self->h, &dup,
					 KVBM_REGISTER_ALLOW, NULL));
	ASSERT_EQ(KVBM_KIND_DUPLICATE, dup.kind);
	EXPECT_EQ(KVBM_KEEP_DONE, by_id(self->fd, id, KVBM_RANK_HIGH, 0));
	EXPECT_EQ(KVBM_RANK_HIGH, kt_info(self->fd, id).keep_rank);
	EXPECT_EQ(KVBM_RANK_HIGH, kt_info(self->fd, self->ids[0]).keep_rank);
	EXPECT_EQ(1, kt_stats(self->fd).rank_high);
	ASSERT_EQ(1, kvbm_release(self->fd, 1, &id, 0, NULL));
	EXPECT_EQ(1, kt_stats(self->fd).rank_high);
	EXPECT_EQ(KVBM_RANK_HIGH, kt_info(self->fd, self->ids[0]).keep_rank);
}

/* An idle block becomes the newest of its rank, without a hold. */
TEST_F(keep, newest)
{
	struct kvbm_hash two[2];

	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[2],
					  KVBM_RANK_FIRST, 0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(self->fd, self->h[4],
					  KVBM_RANK_FIRST, 0));
	EXPECT_EQ(1, kvbm_touch_newest(self->fd, 1, &self->h[2], NULL));
	two[0] = self->h[3];
	two[1] = self->h[0];
	EXPECT_EQ(2, kvbm_touch_newest(self->fd, 2, two, NULL));
	/* Absent and held blocks are skipped. */
	EXPECT_EQ(N, kvbm_touch_newest(self->fd, N, self->h + 30, NULL));
	EXPECT_EQ(0, kt_self(self->fd).held);
	evicts(self, 4, 4, 2, 1, 5);
	evicts(self, 10, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	evicts(self, 2, 3, 0);
}

/* Touching is for every store. */
TEST_F(keep, newest_without_retention)
{
	struct kvbm_store_create c;
	uint32_t i;

	kvbm_store_create_init(&c, NULL, N);
	kvbm_store_create_policy(&c, variant->policy);
	close(self->fd);
	self->fd = kt_store_make(&c);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(N, kt_idle(self->fd, N, self->h, self->ids));
	EXPECT_EQ(1, kvbm_touch_newest(self->fd, 1, &self->h[0], NULL));
	/* A touch alone counts, and moves nothing. */
	EXPECT_EQ(1, kvbm_touch(self->fd, 1, &self->h[1], NULL));
	evicts(self, 3, 1, 2, 3);
	evicts(self, 13, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0);
	for (i = 0; i < N; i++)
		EXPECT_EQ(KVBM_RANK_NORMAL,
			  kt_info(self->fd, self->ids[i]).keep_rank);
}

/* --- what does not depend on the policy ---------------------------------- */

/* With lineage a kept leaf keeps its ancestors. */
static void kept_leaf(struct __test_metadata *_metadata, const char *policy)
{
	/* C is kept, so are B and A; D goes, and Z, Y, X. */
	static const int order[] = { 3, 6, 5, 4 };
	int fd = make(policy, 7, 7, 7);
	struct kvbm_evicted gone[4];
	struct kvbm_hash all[7];
	uint32_t ids[7], i, n;

	ASSERT_GE(fd, 0);
	/* A - B - C - D, older than X - Y - Z. */
	kt_chain(all, 4, 500);
	kt_chain(all + 4, 3, 600);
	ASSERT_EQ(7, kt_idle(fd, 7, all, ids));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, all[2], KVBM_RANK_KEEP, 0));
	/* An ancestor's own rank counts once it is a leaf. */
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, all[0], KVBM_RANK_FIRST, 0));
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, gone, &n));
	EXPECT_EQ(4, n);
	for (i = 0; i < 4; i++)
		EXPECT_TRUE(kt_same(all[order[i]], gone[i].hash)) {
			TH_LOG("%s %u", policy, i);
		}
	EXPECT_EQ(KVBM_INACTIVE, kt_presence(fd, all[0]));
	EXPECT_EQ(KVBM_INACTIVE, kt_presence(fd, all[1]));
	/* When nothing else is left the leaf goes, before those above it. */
	ASSERT_EQ(3, kvbm_alloc(fd, 3, ids, gone, NULL));
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(kt_same(all[2 - i], gone[i].hash)) {
			TH_LOG("%s %u", policy, i);
		}
	close(fd);
}

TEST(lineage)
{
	kept_leaf(_metadata, "lineage_tick");
	kept_leaf(_metadata, "lineage_fifo");
}

TEST(needs_retention)
{
	struct kvbm_hash h = kt_single(1);
	struct kvbm_store_info info;
	uint32_t id;
	int fd = kt_store(4);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, kt_fill(fd, 1, &h, &id));
	EXPECT_EQ(-EOPNOTSUPP, by_hash(fd, h, KVBM_RANK_KEEP, 0));
	EXPECT_EQ(-EOPNOTSUPP, by_id(fd, id, KVBM_RANK_KEEP, 0));
	EXPECT_EQ(KVBM_RANK_NORMAL, kt_info(fd, id).keep_rank);
	EXPECT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(0, info.flags & KVBM_CREATE_RETENTION);
	EXPECT_EQ(0, info.keep_blocks);
	close(fd);
}

/* Limits at creation, and what they default to; memory. */
TEST(creation)
{
	struct kvbm_store_info with, without;
	int a, b;

	EXPECT_EQ(-EINVAL, kt_store(8, .keep_blocks = 1));
	EXPECT_EQ(-EINVAL, kt_store(8, .keep_user_blocks = 1));
	EXPECT_EQ(-EINVAL, kt_store(8, .flags = KVBM_CREATE_RETENTION,
				    .keep_blocks = 9));
	EXPECT_EQ(-EINVAL, kt_store(8, .flags = KVBM_CREATE_RETENTION,
				    .keep_blocks = 3, .keep_user_blocks = 4));
	a = kt_store(1 << 16, .flags = KVBM_CREATE_RETENTION);
	b = kt_store(1 << 16);
	ASSERT_GE(a, 0);
	ASSERT_GE(b, 0);
	ASSERT_EQ(0, kvbm_store_info(a, &with));
	ASSERT_EQ(0, kvbm_store_info(b, &without));
	EXPECT_EQ(KVBM_CREATE_RETENTION, with.flags);
	EXPECT_EQ(1 << 15, with.keep_blocks);
	EXPECT_EQ(1 << 14, with.keep_user_blocks);
	/* 21 bytes a block, and marks. */
	EXPECT_GE(with.memory, without.memory + (21 << 16));
	EXPECT_LE(with.memory, without.memory + (32 << 16));
	EXPECT_LE(with.memory, with.need);
	close(a);
	close(b);
	/* One block is enough, and it can be kept. */
	a = kt_store(1, .flags = KVBM_CREATE_RETENTION);
	ASSERT_GE(a, 0);
	ASSERT_EQ(0, kvbm_store_info(a, &with));
	EXPECT_EQ(1, with.keep_blocks);
	EXPECT_EQ(1, with.keep_user_blocks);
	close(a);
}

TEST(refused)
{
	struct kvbm_hash h = kt_single(1);
	struct kvbm_keep args;
	uint32_t id, far = 1 << 20;
	int fd = make("lru", 4, 4, 4);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, kt_fill(fd, 1, &h, &id));
	EXPECT_EQ(-EINVAL, by_hash(fd, h, KVBM_RANK_KEEP + 1, 0));
	EXPECT_EQ(-EINVAL, by_hash(fd, h, ~0U, 0));
	/* A time for what is normal for good. */
	EXPECT_EQ(-EINVAL, by_hash(fd, h, KVBM_RANK_NORMAL, 1));
	kvbm_args_keep(&args, 1, &id, NULL, KVBM_RANK_KEEP, 0);
	args.flags = KVBM_KEEP_RELATIVE;
	EXPECT_EQ(-EINVAL, kt_ioctl(fd, KVBM_IOC_KEEP, &args));
	/* Neither, both. */
	kvbm_args_keep(&args, 1, NULL, NULL, KVBM_RANK_KEEP, 0);
	EXPECT_EQ(-EINVAL, kt_ioctl(fd, KVBM_IOC_KEEP, &args));
	kvbm_args_keep(&args, 1, &id, &h, KVBM_RANK_KEEP, 0);
	EXPECT_EQ(-EINVAL, kt_ioctl(fd, KVBM_IOC_KEEP, &args));
	kvbm_args_keep(&args, 1, &id, NULL, KVBM_RANK_KEEP, 0);
	args.flags = 2;
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(fd, KVBM_IOC_KEEP, &args));
	/* Not held, Mutable, out of range. */
	EXPECT_EQ(-EPERM, by_id(fd, id + 1, KVBM_RANK_KEEP, 0));
	EXPECT_EQ(-EPERM, by_id(fd, far, KVBM_RANK_KEEP, 0));
	EXPECT_EQ(-EPERM, by_id(fd, KVBM_NO_BLOCK, KVBM_RANK_KEEP, 0));
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EQ(-EPERM, by_id(fd, id, KVBM_RANK_KEEP, 0));
	EXPECT_EQ(0, kt_stats(fd).rank_keep);
	kt_check(fd);
	close(fd);
}

/* The number of raised blocks is limited; each one that ends frees one. */
TEST(limit)
{
	struct kvbm_hash h[16];
	uint32_t ids[16], id;
	int fd = make("lineage_tick", 16, 3, 3), i;

	ASSERT_GE(fd, 0);
	kt_singles(h, 16, 1);
	ASSERT_EQ(16, kt_idle(fd, 16, h, ids));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, h[i], KVBM_RANK_KEEP, 0));
	EXPECT_EQ(KVBM_KEEP_FULL, by_hash(fd, h[3], KVBM_RANK_KEEP, 0));
	EXPECT_EQ(KVBM_KEEP_FULL, by_hash(fd, h[3], KVBM_RANK_HIGH, 0));
	EXPECT_EQ(KVBM_RANK_NORMAL, kt_info(fd, ids[3]).keep_rank);
	/* A raised block may get another rank, or time. */
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, h[0], KVBM_RANK_HIGH, 50 * MS));
	/* The rank "evict first" does not count. */
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, h[4], KVBM_RANK_FIRST, 0));
	/* Expiry frees a place, and so do lowering and eviction. */
	ASSERT_TRUE(kt_until(by_hash(fd, h[3], KVBM_RANK_KEEP, 0) ==
			     KVBM_KEEP_DONE));
	EXPECT_EQ(KVBM_KEEP_FULL, by_hash(fd, h[5], KVBM_RANK_KEEP, 0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, h[1], KVBM_RANK_NORMAL, 0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, h[5], KVBM_RANK_KEEP, 0));
	EXPECT_EQ(KVBM_KEEP_FULL, by_hash(fd, h[6], KVBM_RANK_KEEP, 0));
	for (i = 0; i < 14; i++)
		ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EQ(2, kt_stats(fd).rank_keep);
	EXPECT_EQ(1, kt_stats(fd).evicted_keep);
	close(fd);
}

/* Others than the owner. */

static struct shared {
	struct kvbm_hash h[16];
	struct kt_pipe there, back;
} *shared;

static void become(uid_t uid)
{
	KT_MUST(!setgroups(0, NULL));
	KT_MUST(!setresgid(USER, USER, USER));
	KT_MUST(!setresuid(uid, uid, uid));
}

static void user_child(uid_t uid)
{
	const struct kvbm_hash *h = shared->h;
	uint32_t id;
	int fd;

	become(uid);
	fd = kvbm_open("kept");
	KT_MUST(fd >= 0);
	/* Raising, up to the user's own limit; the other sessions' count. */
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_HIGH, 0) == KVBM_KEEP_DONE);
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_KEEP, 0) == KVBM_KEEP_DONE);
	KT_MUST(by_hash(fd, h[1], KVBM_RANK_KEEP, 3600000 * MS) ==
		KVBM_KEEP_DONE);
	KT_MUST(by_hash(kvbm_session_open(fd), h[2], KVBM_RANK_HIGH, 0) ==
		KVBM_KEEP_DONE);
	KT_MUST(by_hash(fd, h[3], KVBM_RANK_HIGH, 0) == KVBM_KEEP_FULL);
	/* Raised blocks stay charged after the session is gone. */
	close(fd);
	fd = kvbm_open("kept");
	KT_MUST(by_hash(fd, h[3], KVBM_RANK_HIGH, 0) == KVBM_KEEP_FULL);
	/* Lowering what is not held: even what one has raised oneself. */
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_HIGH, 0) == KVBM_KEEP_DENIED);
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_NORMAL, 0) == KVBM_KEEP_DENIED);
	KT_MUST(by_hash(fd, h[3], KVBM_RANK_FIRST, 0) == KVBM_KEEP_DENIED);
	/* A rank for a shorter time is lower. */
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_KEEP, 1) == KVBM_KEEP_DENIED);
	KT_MUST(by_hash(fd, h[1], KVBM_RANK_KEEP, 1000 * MS) ==
		KVBM_KEEP_DENIED);
	KT_MUST(by_hash(fd, h[2], KVBM_RANK_KEEP, 3600000 * MS) ==
		KVBM_KEEP_DENIED);
	KT_MUST(by_hash(fd, h[1], KVBM_RANK_KEEP, 7200000 * MS) ==
		KVBM_KEEP_DONE);
	/* The normal rank, of one that is normal, is nothing. */
	KT_MUST(by_hash(fd, h[3], KVBM_RANK_NORMAL, 0) == KVBM_KEEP_DONE);
	/* A block that is to go first may be made normal. */
	KT_MUST(by_hash(fd, h[7], KVBM_RANK_NORMAL, 0) == KVBM_KEEP_DONE);
	/* Everything that is held. */
	KT_MUST(kvbm_match(fd, 1, &h[0], &id, NULL) == 1);
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_HIGH, 0) == KVBM_KEEP_DONE);
	KT_MUST(by_id(fd, id, KVBM_RANK_NORMAL, 0) == KVBM_KEEP_DONE);
	KT_MUST(by_hash(fd, h[3], KVBM_RANK_HIGH, 0) == KVBM_KEEP_DONE);
	KT_MUST(kvbm_release(fd, 1, &id, 0, NULL) == 1);
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_HIGH, 0) == KVBM_KEEP_FULL);
	kt_tell(&shared->back, 1);
	kt_hear(&shared->there);
	_exit(0);
}

static void other_child(uid_t uid)
{
	const struct kvbm_hash *h = shared->h;
	int fd;

	become(uid);
	fd = kvbm_open("kept");
	KT_MUST(fd >= 0);
	/* Blocks raised by the other user do not count against this one. */
	KT_MUST(by_hash(fd, h[8], KVBM_RANK_HIGH, 0) == KVBM_KEEP_DONE);
	KT_MUST(by_hash(fd, h[9], KVBM_RANK_HIGH, 0) == KVBM_KEEP_DONE);
	/* The user that raises further is charged from then on. */
	KT_MUST(by_hash(fd, h[3], KVBM_RANK_KEEP, 0) == KVBM_KEEP_DONE);
	KT_MUST(by_hash(fd, h[10], KVBM_RANK_HIGH, 0) == KVBM_KEEP_FULL);
	_exit(0);
}

TEST(users)
{
	struct kvbm_store_create c;
	uint32_t ids[16];
	pid_t user;
	int fd, i;

	shared = kt_shared(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	kt_pipe_open(&shared->there);
	kt_pipe_open(&shared->back);
	kt_singles(shared->h, 16, 1);
	kvbm_store_create_init(&c, "kept", 16);
	kvbm_store_create_policy(&c, "lru");
	c.flags |= KVBM_CREATE_RETENTION;
	c.keep_blocks = 8;
	c.keep_user_blocks = 3;
	c.gid = USER;
	c.mode = 0660;
	ASSERT_EQ(-1, kt_store_make(&c));
	fd = kvbm_open("kept");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(16, kt_idle(fd, 16, shared->h, ids));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, shared->h[7], KVBM_RANK_FIRST,
					  0));
	user = kt_fork();
	if (!user)
		user_child(USER);
	ASSERT_EQ(1, kt_hear(&shared->back));
	EXPECT_EQ(1, kt_stats(fd).rank_keep);
	EXPECT_EQ(2, kt_stats(fd).rank_high);
	i = kt_fork();
	if (!i)
		other_child(OTHER);
	EXPECT_EQ(0, kt_reap(i));
	/* The owner has no user's limit, but that of all; and may lower. */
	for (i = 10; i < 13; i++)
		EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, shared->h[i],
						  KVBM_RANK_KEEP, 0));
	EXPECT_EQ(KVBM_KEEP_FULL, by_hash(fd, shared->h[13], KVBM_RANK_KEEP,
					  0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, shared->h[8], KVBM_RANK_FIRST,
					  0));
	EXPECT_EQ(KVBM_KEEP_DONE, by_hash(fd, shared->h[13], KVBM_RANK_KEEP,
					  0));
	kt_tell(&shared->there, 1);
	EXPECT_EQ(0, kt_reap(user));
	kt_check(fd);
	close(fd);
	EXPECT_EQ(0, kt_destroy("kept", 0));
}

static void receiving_child(uid_t uid)
{
	const struct kvbm_hash *h = shared->h;
	struct kvbm_ticket t;
	uint32_t id;
	int fd;

	become(uid);
	fd = kvbm_open("kept");
	KT_MUST(fd >= 0);
	KT_MUST(read(shared->there.fd[0], &t, sizeof(t)) == sizeof(t));
	/* An offer is nobody's hold but the giver's. */
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_NORMAL, 0) == KVBM_KEEP_DENIED);
	KT_MUST(kvbm_accept(fd, &t, 1, &id, NULL) == 1);
	KT_MUST(kt_info(fd, id).keep_rank == KVBM_RANK_KEEP);
	KT_MUST(by_id(fd, id, KVBM_RANK_HIGH, 0) == KVBM_KEEP_DONE);
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_KEEP, 0) == KVBM_KEEP_DONE);
	KT_MUST(kvbm_release(fd, 1, &id, 0, NULL) == 1);
	KT_MUST(by_hash(fd, h[0], KVBM_RANK_NORMAL, 0) == KVBM_KEEP_DENIED);
	_exit(0);
}

/* A rank is the block's: it stays when a hold is handed over. */
TEST(handed_over)
{
	struct kvbm_store_create c;
	struct kvbm_ticket t;
	uint32_t ids[2];
	int fd, pid;

	shared = kt_shared(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	kt_pipe_open(&shared->there);
	kt_singles(shared->h, 2, 1);
	kvbm_store_create_init(&c, "kept", 2);
	kvbm_store_create_policy(&c, "lru");
	c.flags |= KVBM_CREATE_RETENTION;
	c.keep_blocks = 1;
	c.gid = USER;
	c.mode = 0660;
	ASSERT_EQ(-1, kt_store_make(&c));
	fd = kvbm_open("kept");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(2, kt_fill(fd, 2, shared->h, ids));
	EXPECT_EQ(KVBM_KEEP_DONE, by_id(fd, ids[0], KVBM_RANK_HIGH, 0));
	ASSERT_EQ(0, kvbm_offer(fd, 1, ids, &t));
	/* The giver still holds it. */
	EXPECT_EQ(KVBM_KEEP_DONE, by_id(fd, ids[0], KVBM_RANK_KEEP, 0));
	pid = kt_fork();
	if (!pid)
		receiving_child(USER);
	ASSERT_EQ(sizeof(t), write(shared->there.fd[1], &t, sizeof(t)));
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(-EPERM, by_id(fd, ids[0], KVBM_RANK_NORMAL, 0));
	/* The last hold, the receiver's, is gone: the rank is not. */
	EXPECT_EQ(KVBM_RANK_KEEP, kt_info(fd, ids[0]).keep_rank);
	EXPECT_EQ(1, kt_stats(fd).rank_keep);
	ASSERT_EQ(1, kvbm_release(fd, 1, &ids[1], 0, NULL));
	ASSERT_EQ(1, kvbm_alloc(fd, 1, ids, NULL, NULL));
	EXPECT_EQ(KVBM_INACTIVE, kt_presence(fd, shared->h[0]));
	EXPECT_EQ(KVBM_ABSENT, kt_presence(fd, shared->h[1]));
	kt_check(fd);
	close(fd);
	EXPECT_EQ(0, kt_destroy("kept", 0));
}

/* Export reports ranks; the entries of older callers stay as they were. */
TEST(exported)
{
	struct kvbm_export_entry e[8];
	struct kvbm_hash h[8];
	uint32_t ids[8], i;
	uint64_t cursor = 0;
	int fd = make("multi_lru", 8, 8, 8);

	ASSERT_GE(fd, 0);
	kt_singles(h, 8, 1);
	ASSERT_EQ(8, kt_idle(fd, 8, h, ids));
	for (i = 0; i < 8; i++)
		EXPECT_EQ(KVBM_KEEP_DONE,
			  by_hash(fd, h[i], i % 4, i == 2 ? 3600000 * MS : 0));
	ASSERT_EQ(8, kvbm_export(fd, NULL, &cursor, 8, e, NULL));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(i % 4, e[i].keep_rank);
		EXPECT_EQ(i == 2, !!e[i].keep_until_ns);
		EXPECT_EQ(0, e[i].rank);
		EXPECT_EQ(i + 1, e[i].order);
	}
	close(fd);
}

/* The reported end of a rank can be passed back to set it. */
static void ahead_child(int fd, uint32_t id, struct kvbm_hash h)
{
	uint64_t left = 3600000 * MS, until = boottime() + left, cursor = 0;
	struct kvbm_export_entry e;
	uint8_t result;

	KT_MUST(kvbm_keep_hashes(fd, 1, &h, KVBM_RANK_HIGH, until, 0, &result,
				 NULL) == 1 && result == KVBM_KEEP_DONE);
	KT_MUST(kt_info(fd, id).keep_until_ns >= until);
	KT_MUST(kt_info(fd, id).keep_until_ns < until + (1 << 20));
	KT_MUST(kvbm_export(fd, NULL, &cursor, 1, &e, NULL) == 1);
	KT_MUST(e.keep_until_ns == kt_info(fd, id).keep_until_ns);
	/* As late as can be said, in whichever direction the clock is off. */
	KT_MUST(kvbm_keep_hashes(fd, 1, &h, KVBM_RANK_HIGH, UINT64_MAX, 0,
				 &result, NULL) == 1 &&
		result == KVBM_KEEP_DONE);
	KT_MUST(kt_info(fd, id).keep_rank == KVBM_RANK_HIGH);
	_exit(0);
}

TEST(time_namespace)
{
	static const char * const offsets[] = {
		"boottime 7200 0\n",
		"boottime -1 0\n",
	};
	struct kvbm_hash h;
	unsigned int i;
	uint32_t id;
	int fd;

	if (access("/proc/self/ns/time", F_OK))
		SKIP(return, "this kernel has no time namespaces");
	fd = make("lru", 1, 1, 1);
	ASSERT_GE(fd, 0);
	kt_singles(&h, 1, 1);
	ASSERT_EQ(1, kt_idle(fd, 1, &h, &id));
	for (i = 0; i < 2; i++) {
		pid_t pid = kt_fork();

		if (!pid) {
			int off;

			if (unshare(CLONE_NEWTIME))
				_exit(4);
			off = open("/proc/self/timens_offsets", O_WRONLY);
			KT_MUST(write(off, offsets[i], strlen(offsets[i])) > 0);
			close(off);
			/* Children are in it. */
			pid = kt_fork();
			if (!pid)
				ahead_child(fd, id, h);
			_exit(kt_reap(pid));
		}
		EXPECT_EQ(0, kt_reap(pid)) {
			TH_LOG("offset %u", i);
		}
	}
	close(fd);
}

/* A whole store whose time comes at one moment. */
TEST(all_at_once)
{
	const uint32_t n = 1 << 15;
	struct kvbm_hash *h = calloc(n, sizeof(*h));
	uint32_t *ids = calloc(n, sizeof(*ids)), id;
	uint64_t until;
	int fd = make("lineage_fifo", n, n, n);

	ASSERT_GE(fd, 0);
	kt_singles(h, n, 1);
	ASSERT_EQ(n, kt_idle(fd, n, h, ids));
	until = boottime() + 2000 * MS;
	ASSERT_EQ(n, kvbm_keep_hashes(fd, n, h, KVBM_RANK_KEEP, until, 0, NULL,
				      NULL));
	EXPECT_EQ(n, kt_stats(fd).rank_keep + kt_stats(fd).rank_expired);
	ASSERT_TRUE(kt_until(kt_stats(fd).rank_expired == n));
	EXPECT_EQ(0, kt_stats(fd).rank_keep);
	/* All stand where they stood. */
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EQ(KVBM_ABSENT, kt_presence(fd, h[0]));
	free(ids);
	free(h);
	close(fd);
}

/* A store may end while ranks are due. */
TEST(destroyed)
{
	struct kvbm_hash h[16];
	uint32_t ids[16];
	int fd, i;

	kt_singles(h, 16, 1);
	for (i = 0; i < 20; i++) {
		fd = make("lru", 16, 16, 16);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(16, kt_idle(fd, 16, h, ids));
		EXPECT_EQ(16, kvbm_keep_hashes(fd, 16, h, KVBM_RANK_KEEP,
					       i * 20 * MS + 1,
					       KVBM_KEEP_RELATIVE, NULL, NULL));
		kt_sleep_ms(10);
		close(fd);
	}
}

TEST_HARNESS_MAIN
