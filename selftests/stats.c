// SPDX-License-Identifier: MIT
/*
 * Statistics that answer questions: which allocations failed, and why; how
 * long others waited; and which session caused it.
 */
#include <pthread.h>
#include "kvbm_test.h"

#define TOTAL	16U
#define MS	1000000ULL

FIXTURE(stats) {
	int fd;
	struct kvbm_hash h[64];
	uint32_t ids[64];
};

FIXTURE_SETUP(stats)
{
	self->fd = kt_store(TOTAL, .policy = "lru", .max_held = 12);
	ASSERT_GE(self->fd, 0);
	kt_singles(self->h, 64, 500);
}

FIXTURE_TEARDOWN(stats)
{
	close(self->fd);
}

TEST_F(stats, failures)
{
	int other = kvbm_session_open(self->fd);
	struct kvbm_stats s;

	ASSERT_EQ(10, kvbm_alloc(self->fd, 10, self->ids, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_alloc(self->fd, 3, self->ids + 10, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_alloc_wait(self->fd, 13, self->ids + 10, NULL,
					   NULL, kt_now()));
	EXPECT_EQ(-ENOSPC, kvbm_alloc(other, 7, self->ids + 10, NULL, NULL));
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(other, 7, self->ids + 10, NULL,
					      NULL, kt_now() + MS));
	/* None of these fails. */
	EXPECT_EQ(6, kvbm_alloc_reset(other, 7, self->ids + 10));
	EXPECT_EQ(0, kvbm_alloc(other, 0, NULL, NULL, NULL));
	s = kt_stats(self->fd);
	EXPECT_EQ(2, s.alloc_quota);
	EXPECT_EQ(1, s.alloc_nospace);
	EXPECT_EQ(1, s.alloc_timeouts);
	EXPECT_EQ(1, s.waits);
	EXPECT_EQ(0, s.wait_grants);
	EXPECT_EQ(0, s.wait_ns);
	EXPECT_EQ(2, kt_self(self->fd).alloc_failures);
	EXPECT_EQ(2, kt_session(self->fd, kt_session_id(other)).alloc_failures);
	/* They stay when the session has ended. */
	close(other);
	EXPECT_EQ(1, kt_stats(self->fd).alloc_nospace);
	EXPECT_EQ(1, kt_stats(self->fd).alloc_timeouts);
}

struct waiter {
	int fd;
	int got;
	uint64_t ns;
};

static void *wait_for(void *arg)
{
	struct waiter *w = arg;
	uint64_t begin = kt_now();
	uint32_t ids[TOTAL];

	w->got = kvbm_alloc_wait(w->fd, 8, ids, NULL, NULL,
				 begin + 60000 * MS);
	w->ns = kt_now() - begin;
	return NULL;
}

/* The waiter's own clock bounds what is counted. */
TEST_F(stats, waits)
{
	struct waiter w = { .fd = kvbm_session_open(self->fd) };
	uint64_t sum = 0, upto = 0;
	struct kvbm_stats s;
	pthread_t t;
	int i, at = -1;

	ASSERT_EQ(12, kvbm_alloc(self->fd, 12, self->ids, NULL, NULL));
	ASSERT_EQ(0, pthread_create(&t, NULL, wait_for, &w));
	while (!kt_counts(self->fd).waiters)
		kt_sleep_ms(1);
	kt_sleep_ms(30);
	ASSERT_EQ(12, kvbm_release(self->fd, 12, self->ids, 0, NULL));
	pthread_join(t, NULL);
	ASSERT_EQ(8, w.got);
	s = kt_stats(self->fd);
	EXPECT_EQ(1, s.wait_grants);
	EXPECT_GE(s.wait_ns, 30 * MS);
	EXPECT_LE(s.wait_ns, w.ns);
	for (i = 0; i < KVBM_WAIT_BUCKETS; i++) {
		sum += s.wait_histogram[i];
		if (s.wait_histogram[i])
			at = i;
	}
	EXPECT_EQ(1, sum);
	ASSERT_GE(at, 0);
	upto = 1ULL << (at + KVBM_WAIT_SHIFT);
	if (at < KVBM_WAIT_BUCKETS - 1)
		EXPECT_LT(s.wait_ns, upto);
	EXPECT_GE(s.wait_ns, upto / 2);
	close(w.fd);
}

/* Blocks that have idled for 100 ms and more are counted apart. */
TEST_F(stats, evicted_idle)
{
	int i, other = kvbm_session_open(self->fd);
	uint64_t begin = kt_now(), sum = 0;
	struct kvbm_stats s;

	ASSERT_EQ(12, kt_idle(self->fd, 12, self->h, self->ids));
	kt_sleep_ms(100);
	ASSERT_EQ(9, kt_idle(other, 9, self->h + 20, self->ids));
	s = kt_stats(self->fd);
	ASSERT_EQ(5, s.evictions);
	/* A tick less at most. */
	EXPECT_GE(s.evicted_idle_ns, 5 * (100 - 16) * MS);
	EXPECT_LE(s.evicted_idle_ns, 5 * (kt_now() - begin + 16 * MS));
	for (i = 0; i < KVBM_IDLE_BUCKETS; i++)
		sum += s.evicted_idle_histogram[i];
	EXPECT_EQ(5, sum);
	for (i = 0; 1ULL << (i + KVBM_IDLE_BUCKET_SHIFT) <= 84 * MS; i++)
		EXPECT_EQ(0, s.evicted_idle_histogram[i]);
	/* A reset block has not been evicted. */
	ASSERT_GT(kvbm_reset_inactive(self->fd, NULL, NULL), 0);
	EXPECT_EQ(5, kt_stats(self->fd).evictions);
	close(other);
}

/* Each session's own; together they are the store's. */
TEST_F(stats, sessions)
{
	int other = kvbm_session_open(self->fd);
	struct kvbm_session_entry a, b;
	struct kvbm_stats s;

	ASSERT_EQ(12, kt_idle(self->fd, 12, self->h, self->ids));
	/* 4 are free, 5 are evicted. */
	ASSERT_EQ(9, kt_idle(other, 9, self->h + 20, self->ids));
	ASSERT_EQ(2, kvbm_match(other, 4, (struct kvbm_hash[]){
					self->h[20], self->h[21], self->h[63],
					self->h[22] }, self->ids, NULL));
	a = kt_self(self->fd);
	b = kt_session(self->fd, kt_session_id(other));
	EXPECT_EQ(12, a.allocations);
	EXPECT_EQ(0, a.evictions);
	EXPECT_EQ(12, a.registrations);
	EXPECT_EQ(0, a.match_hashes_requested);
	EXPECT_EQ(0, a.alloc_failures);
	EXPECT_EQ(9, b.allocations);
	EXPECT_EQ(5, b.evictions);
	EXPECT_EQ(9, b.registrations);
	EXPECT_EQ(4, b.match_hashes_requested);
	EXPECT_EQ(2, b.match_blocks_returned);
	s = kt_stats(self->fd);
	EXPECT_EQ(a.allocations + b.allocations, s.allocations);
	EXPECT_EQ(a.evictions + b.evictions, s.evictions);
	EXPECT_EQ(a.registrations + b.registrations, s.registrations);
	close(other);
}

TEST_HARNESS_MAIN
