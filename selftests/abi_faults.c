// SPDX-License-Identifier: MIT
/*
 * Pointers that are bad from some element of a batch on.
 *
 * A bad input pointer changes nothing in its chunk, which has at most
 * KVBM_CHUNK elements; earlier chunks are done and reported.  A bad output
 * pointer gives back the holds that its chunk took; evictions, registrations
 * and counts stand.  An allocation keeps the blocks whose ids were written.
 */
#include "kvbm_test.h"

#define N	140

/* Where the batch meets the bad page. */
static const uint32_t positions[] = {
	0, 1, 2, 15, 31, 32, 33, 62, 63, 64, 65, 95, 96, 97, 127, 128, 129,
	N - 1,
};

#define for_each_position(k)						\
	for (const uint32_t *__k = positions;				\
	     __k < positions + ARRAY_SIZE(positions) &&			\
	     ((k) = *__k, true); __k++)

struct bench {
	int fd;
	size_t page;
	unsigned char *edge;		/* end of good memory */
	uint32_t ids[N];
	struct kvbm_hash hashes[N];
};

#define GOOD_PAGES	2

static void bench_setup(struct __test_metadata *_metadata, struct bench *b,
			int prot)
{
	unsigned char *map;

	b->page = sysconf(_SC_PAGESIZE);
	map = mmap(NULL, 2 * GOOD_PAGES * b->page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	b->edge = map + GOOD_PAGES * b->page;
	ASSERT_EQ(0, mprotect(b->edge, GOOD_PAGES * b->page, prot));
	kt_singles(b->hashes, N, 1000);
	b->fd = kt_store(N);
	ASSERT_GE(b->fd, 0);
}

/* Inputs that cannot be read. */
FIXTURE(inputs) {
	struct bench b;
};

FIXTURE_SETUP(inputs)
{
	bench_setup(_metadata, &self->b, PROT_NONE);
}

FIXTURE_TEARDOWN(inputs)
{
	close(self->b.fd);
}

/* Outputs that cannot be written: nothing there, or only readable. */
FIXTURE(outputs) {
	struct bench b;
};

FIXTURE_VARIANT(outputs) {
	int prot;
};

FIXTURE_VARIANT_ADD(outputs, unmapped) { .prot = PROT_NONE };
FIXTURE_VARIANT_ADD(outputs, read_only) { .prot = PROT_READ };

FIXTURE_SETUP(outputs)
{
	bench_setup(_metadata, &self->b, variant->prot);
}

FIXTURE_TEARDOWN(outputs)
{
	close(self->b.fd);
}

/* An array whose element k is the first bad one. */
static void *until(unsigned char *edge, size_t size, uint32_t k)
{
	return edge - size * k;
}

/* The same with the last good element's bytes before the edge, not all. */
static void *half(unsigned char *edge, size_t size, uint32_t k)
{
	return edge - size * k - size / 2;
}

/* How far a batch got that failed at k: the chunks before. */
#define expect_done(k, done) do {					\
	EXPECT_LE(done, k);						\
	EXPECT_LT((k) - (done), KVBM_CHUNK) {				\
		TH_LOG("bad from %u on, done %u", k, done);		\
	}								\
} while (0)

/* A request that met bad memory: a short count and why, or only why. */
#define expect_fault(request, a) do {					\
	long __ret;							\
									\
	kt_poison((a).error);						\
	(a).done = 0;							\
	__ret = kt_ioctl(self->b.fd, request, &(a));			\
	EXPECT_EQ((a).done ? (long)(a).done : -EFAULT, __ret);		\
	EXPECT_EQ(EFAULT, (a).error);					\
} while (0)

static void fresh(struct __test_metadata *_metadata, int *fd, uint32_t n)
{
	close(*fd);
	*fd = kt_store(n);
	ASSERT_GE(*fd, 0);
}

TEST_F(inputs, match_hashes)
{
	uint32_t k, done, out[N];
	struct kvbm_match a;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for_each_position(k) {
		struct kvbm_hash *bad = until(self->b.edge, sizeof(*bad), k);

		memcpy(bad, self->b.hashes, k * sizeof(*bad));
		kt_poison(out);
		kvbm_args_match(&a, 0, N, bad, out);
		expect_fault(KVBM_IOC_MATCH, a);
		done = a.done;
		expect_done(k, done);
		EXPECT_EQ(done, a.hits);
		EXPECT_EQ(done, kt_self(self->b.fd).holds);
		EXPECT_EQ(KT_POISON, out[done]);
		EXPECT_EQ(done, kvbm_release(self->b.fd, done, out, 0, NULL));
		kt_check(self->b.fd);
	}
}

TEST_F(inputs, scan_hashes)
{
	uint32_t k, done, out[N];
	struct kvbm_match a;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for_each_position(k) {
		struct kvbm_hash *bad = until(self->b.edge, sizeof(*bad), k);

		memcpy(bad, self->b.hashes, k * sizeof(*bad));
		kt_poison(out);
		kvbm_args_match(&a, 0, N, bad, out);
		expect_fault(KVBM_IOC_SCAN, a);
		done = a.done;
		expect_done(k, done);
		EXPECT_EQ(done, a.hits);
		EXPECT_EQ(done, kt_self(self->b.fd).holds);
		EXPECT_EQ(done, kvbm_release(self->b.fd, done, out, 0, NULL));
		kt_check(self->b.fd);
	}
}

TEST_F(inputs, upgrade_weaks)
{
	struct kvbm_weak weaks[N];
	uint32_t k, i, done, out[N];
	struct kvbm_upgrade a;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for (i = 0; i < N; i++)
		weaks[i] = (struct kvbm_weak) {
			.block = self->b.ids[i],
			.generation = kt_info(self->b.fd, self->b.ids[i]).generation,
			.hash = self->b.hashes[i],
		};
	for_each_position(k) {
		struct kvbm_weak *bad = until(self->b.edge, sizeof(*bad), k);

		memcpy(bad, weaks, k * sizeof(*bad));
		kvbm_args_upgrade(&a, N, bad, out);
		expect_fault(KVBM_IOC_UPGRADE, a);
		done = a.done;
		expect_done(k, done);
		EXPECT_EQ(done, a.hits);
		EXPECT_EQ(done, kt_self(self->b.fd).holds);
		EXPECT_EQ(done, kvbm_release(self->b.fd, done, out, 0, NULL));
	}
	kt_check(self->b.fd);
}

/* ids of stage, register, release, retain, unstage, set_reset */
TEST_F(inputs, ids)
{
	struct kvbm_registered res[N];
	uint32_t k, i, done;
	struct kvbm_ids a;
	struct kvbm_stage st;
	struct kvbm_register re;

	for_each_position(k) {
		uint32_t *bad = until(self->b.edge, sizeof(*bad), k);

		fresh(_metadata, &self->b.fd, N);
		ASSERT_EQ(N, kvbm_alloc(self->b.fd, N, self->b.ids, NULL, NULL));
		memcpy(bad, self->b.ids, k * sizeof(*bad));

		kvbm_args_stage(&st, N, bad, self->b.hashes, NULL);
		expect_fault(KVBM_IOC_STAGE, st);
		done = st.done;
		expect_done(k, done);
		EXPECT_EQ(done, kt_self(self->b.fd).staged_blocks);
		EXPECT_EQ(N - done, kt_self(self->b.fd).mutable_blocks);

		kvbm_args_ids(&a, 0, N, bad);
		expect_fault(KVBM_IOC_UNSTAGE, a);
		EXPECT_EQ(done, a.done);
		EXPECT_EQ(0, kt_self(self->b.fd).staged_blocks);

		kvbm_args_register(&re, 0, N, bad, self->b.hashes, res);
		expect_fault(KVBM_IOC_REGISTER, re);
		expect_done(k, re.done);
		EXPECT_EQ(re.done, kt_self(self->b.fd).holds);
		EXPECT_EQ(re.done, kt_counts(self->b.fd).registered);
		EXPECT_EQ(N - re.done, kt_self(self->b.fd).mutable_blocks);

		/* The rest too, for what needs registered blocks. */
		if (re.done < N)
			ASSERT_EQ(N - re.done,
				  kvbm_stage_register(self->b.fd, N - re.done,
						      self->b.ids + re.done,
						      self->b.hashes + re.done,
						      res, 0, NULL));

		kvbm_args_ids(&a, KVBM_SET_RESET_ON, N, bad);
		expect_fault(KVBM_IOC_SET_RESET, a);
		expect_done(k, a.done);
		for (i = 0; i < N; i++)
			EXPECT_EQ(i < a.done,
				  kt_info(self->b.fd,
					  self->b.ids[i]).reset_on_release);

		kvbm_args_ids(&a, 0, N, bad);
		expect_fault(KVBM_IOC_RETAIN, a);
		done = a.done;
		expect_done(k, done);
		EXPECT_EQ(N + done, kt_self(self->b.fd).holds);
		for (i = 0; i < N; i++)
			EXPECT_EQ(i < done ? 2 : 1,
				  kt_info(self->b.fd, self->b.ids[i]).own_holds);

		kvbm_args_ids(&a, 0, N, bad);
		expect_fault(KVBM_IOC_RELEASE, a);
		EXPECT_EQ(done, a.done);
		EXPECT_EQ(N, kt_self(self->b.fd).holds);
		kt_check(self->b.fd);
	}
}

TEST_F(inputs, stage_and_register_hashes)
{
	struct kvbm_registered res[N];
	uint32_t k, tokens[N], i;
	struct kvbm_stage st;
	struct kvbm_register re;

	for (i = 0; i < N; i++)
		tokens[i] = 16;
	for_each_position(k) {
		struct kvbm_hash *bad = until(self->b.edge, sizeof(*bad), k);
		uint32_t *bad_tokens;

		fresh(_metadata, &self->b.fd, N);
		ASSERT_EQ(N, kvbm_alloc(self->b.fd, N, self->b.ids, NULL, NULL));
		memcpy(bad, self->b.hashes, k * sizeof(*bad));

		kvbm_args_stage(&st, N, self->b.ids, bad, NULL);
		expect_fault(KVBM_IOC_STAGE, st);
		expect_done(k, st.done);
		EXPECT_EQ(st.done, kt_self(self->b.fd).staged_blocks);
		if (st.done)
			EXPECT_EQ(st.done, kvbm_unstage(self->b.fd, st.done,
							self->b.ids, NULL));

		kvbm_args_register(&re, 0, N, self->b.ids, bad, res);
		expect_fault(KVBM_IOC_REGISTER, re);
		expect_done(k, re.done);
		EXPECT_EQ(re.done, kt_self(self->b.fd).holds);
		EXPECT_EQ(N - re.done, kt_self(self->b.fd).mutable_blocks);

		fresh(_metadata, &self->b.fd, N);
		ASSERT_EQ(N, kvbm_alloc(self->b.fd, N, self->b.ids, NULL, NULL));
		bad_tokens = until(self->b.edge, sizeof(*bad_tokens), k);
		memcpy(bad_tokens, tokens, k * sizeof(*bad_tokens));
		kvbm_args_stage(&st, N, self->b.ids, self->b.hashes, bad_tokens);
		expect_fault(KVBM_IOC_STAGE, st);
		expect_done(k, st.done);
		EXPECT_EQ(st.done, kt_self(self->b.fd).staged_blocks);
		kt_check(self->b.fd);
	}
}

/* Queries take no holds; a bad pointer of either kind stops them. */
TEST_F(inputs, query_hashes)
{
	static const unsigned long ops[] = {
		KVBM_IOC_PRESENCE, KVBM_IOC_FREQUENCY, KVBM_IOC_TOUCH,
	};
	uint8_t out[N];
	struct kvbm_query a;
	uint32_t k, i;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for_each_position(k)
		for (i = 0; i < ARRAY_SIZE(ops); i++) {
			struct kvbm_hash *bad = until(self->b.edge,
						      sizeof(*bad), k);

			memcpy(bad, self->b.hashes, k * sizeof(*bad));
			kvbm_args_query(&a, N, bad, out);
			if (ops[i] == KVBM_IOC_TOUCH)
				a.out = 0;
			expect_fault(ops[i], a);
			expect_done(k, a.done);
		}
	kt_check(self->b.fd);
}

TEST_F(outputs, query_out)
{
	static const unsigned long ops[] = {
		KVBM_IOC_PRESENCE, KVBM_IOC_FREQUENCY,
	};
	struct kvbm_query a;
	uint32_t k, i;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for_each_position(k)
		for (i = 0; i < ARRAY_SIZE(ops); i++) {
			uint8_t *bad = until(self->b.edge, 1, k);

			memset(self->b.edge - self->b.page, 0xa5,
			       self->b.page);
			kvbm_args_query(&a, N, self->b.hashes, bad);
			expect_fault(ops[i], a);
			expect_done(k, a.done);
			if (a.done)
				EXPECT_EQ(i ? 0 : KVBM_INACTIVE,
					  bad[a.done - 1]);
		}
	kt_check(self->b.fd);
}

/* Outputs from here on: both kinds of bad memory. */

TEST_F(outputs, match_ids)
{
	struct kvbm_match a;
	uint32_t k, i, *bad;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for_each_position(k) {
		uint64_t before;

		before = kt_stats(self->b.fd).match_blocks_returned;
		bad = until(self->b.edge, sizeof(*bad), k);
		memset(self->b.edge - self->b.page, 0xa5, self->b.page);
		kvbm_args_match(&a, 0, N, self->b.hashes, bad);
		expect_fault(KVBM_IOC_MATCH, a);
		expect_done(k, a.done);
		EXPECT_EQ(a.done, a.hits);
		EXPECT_EQ(a.done, kt_self(self->b.fd).holds);
		for (i = 0; i < N; i++)
			EXPECT_EQ(i < a.done,
				  kt_info(self->b.fd, self->b.ids[i]).own_holds);
		/* Counts stand. */
		EXPECT_GE(kt_stats(self->b.fd).match_blocks_returned,
			  before + a.done);
		if (a.done)
			EXPECT_EQ(a.done, kvbm_release(self->b.fd, a.done, bad,
						       0, NULL));
		kt_check(self->b.fd);

		bad = half(self->b.edge, sizeof(*bad), k);
		kvbm_args_match(&a, 0, N, self->b.hashes, bad);
		expect_fault(KVBM_IOC_MATCH, a);
		EXPECT_EQ(a.done, kt_self(self->b.fd).holds);
		if (a.done)
			EXPECT_EQ(a.done, kvbm_release(self->b.fd, a.done, bad,
						       0, NULL));
	}
	EXPECT_EQ(0, kt_self(self->b.fd).holds);
	kt_check(self->b.fd);
}

/* Blocks that the session held before stay held. */
TEST_F(outputs, match_ids_held_before)
{
	struct kvbm_match a;
	uint32_t k, i, *bad;

	ASSERT_EQ(N, kt_fill(self->b.fd, N, self->b.hashes, self->b.ids));
	for_each_position(k) {
		bad = until(self->b.edge, sizeof(*bad), k);
		kvbm_args_match(&a, 0, N, self->b.hashes, bad);
		expect_fault(KVBM_IOC_MATCH, a);
		expect_done(k, a.done);
		for (i = 0; i < N; i++)
			EXPECT_EQ(1 + (i < a.done),
				  kt_info(self->b.fd, self->b.ids[i]).own_holds);
		if (a.done)
			EXPECT_EQ(a.done, kvbm_release(self->b.fd, a.done, bad,
						       0, NULL));
	}
	EXPECT_EQ(N, kt_self(self->b.fd).holds);
	kt_check(self->b.fd);
}

TEST_F(outputs, scan_ids)
{
	struct kvbm_hash mixed[N];
	struct kvbm_match a;
	uint32_t k, i, hits, *bad;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for (i = 0; i < N; i++)
		mixed[i] = i % 3 ? self->b.hashes[i] : kt_single(i);
	for_each_position(k) {
		bad = until(self->b.edge, sizeof(*bad), k);
		kvbm_args_match(&a, 0, N, mixed, bad);
		expect_fault(KVBM_IOC_SCAN, a);
		expect_done(k, a.done);
		for (i = 0, hits = 0; i < a.done; i++) {
			if (bad[i] == KVBM_NO_BLOCK)
				continue;
			hits++;
			EXPECT_EQ(1, kvbm_release(self->b.fd, 1, &bad[i], 0,
						  NULL));
		}
		EXPECT_EQ(hits, a.hits);
		EXPECT_EQ(0, kt_self(self->b.fd).holds);
	}
	kt_check(self->b.fd);
}

TEST_F(outputs, upgrade_ids)
{
	struct kvbm_weak weaks[N];
	struct kvbm_upgrade a;
	uint32_t k, i, *bad;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for (i = 0; i < N; i++)
		weaks[i] = (struct kvbm_weak) {
			.block = self->b.ids[i],
			.generation = kt_info(self->b.fd, self->b.ids[i]).generation,
			.hash = self->b.hashes[i],
		};
	for_each_position(k) {
		bad = until(self->b.edge, sizeof(*bad), k);
		kvbm_args_upgrade(&a, N, weaks, bad);
		expect_fault(KVBM_IOC_UPGRADE, a);
		expect_done(k, a.done);
		EXPECT_EQ(a.done, a.hits);
		EXPECT_EQ(a.done, kt_self(self->b.fd).holds);
		if (a.done)
			EXPECT_EQ(a.done, kvbm_release(self->b.fd, a.done, bad,
						       0, NULL));
	}
	kt_check(self->b.fd);
}

/* Registrations stand; the holds of the chunk do not. */
TEST_F(outputs, register_results)
{
	struct kvbm_registered *bad;
	struct kvbm_register a;
	uint32_t k, i;

	for_each_position(k) {
		struct kvbm_session_entry self_entry;
		struct kvbm_counts c;

		fresh(_metadata, &self->b.fd, N);
		ASSERT_EQ(N, kvbm_alloc(self->b.fd, N, self->b.ids, NULL, NULL));
		bad = until(self->b.edge, sizeof(*bad), k);
		kvbm_args_register(&a, 0, N, self->b.ids, self->b.hashes, bad);
		expect_fault(KVBM_IOC_REGISTER, a);
		expect_done(k, a.done);
		self_entry = kt_self(self->b.fd);
		c = kt_counts(self->b.fd);
		EXPECT_EQ(a.done, self_entry.holds);
		EXPECT_EQ(N, a.done + c.inactive + self_entry.mutable_blocks);
		EXPECT_EQ(a.done + c.inactive, c.registered);
		EXPECT_GT(c.inactive, 0);
		EXPECT_LE(c.inactive, KVBM_CHUNK);
		for (i = 0; i < a.done; i++) {
			EXPECT_EQ(self->b.ids[i], bad[i].block);
			EXPECT_EQ(KVBM_KIND_PRIMARY, bad[i].kind);
		}
		kt_check(self->b.fd);
	}
}

/* A Duplicate and a dedup that cannot be reported. */
TEST_F(outputs, register_results_present)
{
	struct kvbm_registered *bad;
	struct kvbm_register a;
	uint32_t k, reject, ids[N];

	for (reject = 0; reject < 2; reject++)
		for_each_position(k) {
			struct kvbm_session_entry e;
			struct kvbm_counts c;

			fresh(_metadata, &self->b.fd, 2 * N);
			ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, ids));
			ASSERT_EQ(N, kvbm_alloc(self->b.fd, N, self->b.ids, NULL,
						NULL));
			bad = until(self->b.edge, sizeof(*bad), k);
			kvbm_args_register(&a, reject ? KVBM_REGISTER_REJECT :
							KVBM_REGISTER_ALLOW,
					   N, self->b.ids, self->b.hashes, bad);
			expect_fault(KVBM_IOC_REGISTER, a);
			expect_done(k, a.done);
			e = kt_self(self->b.fd);
			c = kt_counts(self->b.fd);
			EXPECT_EQ(a.done, e.holds);
			EXPECT_EQ(N, c.registered);
			EXPECT_EQ(N - a.done, c.inactive);
			kt_check(self->b.fd);
		}
}

/* The blocks whose ids were written, even in part, are the caller's. */
#define expect_alloc(k) do {						\
	expect_fault(KVBM_IOC_ALLOC, a);				\
	EXPECT_EQ(k, a.done);						\
	EXPECT_EQ(k, kt_self(self->b.fd).held);				\
	EXPECT_EQ(N - (k), kt_counts(self->b.fd).available);		\
	if (a.done)							\
		EXPECT_EQ(k, kvbm_release(self->b.fd, k, bad, 0, NULL)); \
	kt_check(self->b.fd);						\
} while (0)

TEST_F(outputs, alloc_ids)
{
	struct kvbm_evicted evicted[N];
	struct kvbm_alloc a;
	uint32_t k, i, *bad;

	for_each_position(k) {
		struct kvbm_stats before, after;

		bad = until(self->b.edge, sizeof(*bad), k);
		before = kt_stats(self->b.fd);
		kvbm_args_alloc(&a, 0, N, bad, NULL, 0);
		expect_alloc(k);
		EXPECT_EQ(0, a.evicted);
		after = kt_stats(self->b.fd);
		EXPECT_EQ(before.allocations + k, after.allocations);
		EXPECT_EQ(before.allocations_from_reset + k,
			  after.allocations_from_reset);
		/* And of idle blocks: all are evicted and reported. */
		ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
		kt_poison(evicted);
		before = kt_stats(self->b.fd);
		kvbm_args_alloc(&a, 0, N, bad, evicted, 0);
		expect_alloc(k);
		EXPECT_EQ(N, a.evicted);
		for (i = 0; i < N; i++) {
			EXPECT_TRUE(kt_same(self->b.hashes[i],
					    evicted[i].hash));
			EXPECT_EQ(self->b.ids[i], evicted[i].block);
		}
		after = kt_stats(self->b.fd);
		EXPECT_EQ(before.allocations + k, after.allocations);
		EXPECT_EQ(before.allocations_from_reset,
			  after.allocations_from_reset);
		/* Free blocks only. */
		kvbm_args_alloc(&a, KVBM_ALLOC_RESET_ONLY, N, bad, NULL, 0);
		expect_alloc(k);
		/* With a deadline, but no need to wait. */
		kvbm_args_alloc(&a, KVBM_ALLOC_WAIT, N, bad, NULL, ~0ULL);
		expect_alloc(k);
	}
}

/* An id with two bytes written counts as known, whatever their value. */
TEST_F(outputs, alloc_ids_in_part)
{
	struct kvbm_alloc a;
	uint32_t k, *bad;
	long ret;

	for_each_position(k) {
		bad = half(self->b.edge, sizeof(*bad), k);
		kvbm_args_alloc(&a, 0, N, bad, NULL, 0);
		ret = kt_ioctl(self->b.fd, KVBM_IOC_ALLOC, &a);
		EXPECT_EQ(EFAULT, a.error);
		EXPECT_GE(a.done, k);
		EXPECT_LE(a.done, k + 1);
		EXPECT_EQ(a.done ? (long)a.done : -EFAULT, ret);
		EXPECT_EQ(a.done, kt_self(self->b.fd).held);
		fresh(_metadata, &self->b.fd, N);
	}
}

/* Evictions that cannot be reported: the rest are, and nothing is kept. */
TEST_F(outputs, alloc_evictions)
{
	uint32_t k, i, out[N];
	struct kvbm_alloc a;

	for_each_position(k) {
		struct kvbm_evicted *bad = until(self->b.edge, sizeof(*bad), k);

		ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
		kvbm_args_alloc(&a, 0, N, out, bad, 0);
		expect_fault(KVBM_IOC_ALLOC, a);
		EXPECT_EQ(k, a.evicted);
		for (i = 0; i < k; i++) {
			EXPECT_TRUE(kt_same(self->b.hashes[i], bad[i].hash));
			EXPECT_EQ(self->b.ids[i], bad[i].block);
		}
		/* The ids of the previous chunk were written. */
		EXPECT_LE(a.done, k);
		EXPECT_LT(k - a.done, KVBM_CHUNK);
		EXPECT_EQ(a.done, kt_self(self->b.fd).held);
		if (a.done)
			EXPECT_EQ(a.done, kvbm_release(self->b.fd, a.done, out,
						       0, NULL));
		EXPECT_EQ(N, kt_counts(self->b.fd).reset);
		kt_check(self->b.fd);
		/* Nothing to evict: the pointer is never used. */
		kvbm_args_alloc(&a, 0, N, out, bad, 0);
		EXPECT_EQ(N, kt_ioctl(self->b.fd, KVBM_IOC_ALLOC, &a));
		EXPECT_EQ(0, a.evicted);
		EXPECT_EQ(N, kvbm_release(self->b.fd, N, out, 0, NULL));
	}
}

/* Generations that cannot be written are like ids that cannot. */
TEST_F(outputs, generations)
{
	struct kvbm_weak weaks[N] = {};
	struct kvbm_upgrade u;
	uint32_t k, i, *bad, out[N];
	struct kvbm_match a;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	for (i = 0; i < N; i++)
		weaks[i].hash = self->b.hashes[i];
	for_each_position(k) {
		bad = until(self->b.edge, sizeof(*bad), k);
		kvbm_args_match(&a, 0, N, self->b.hashes, out);
		a.generations = kvbm_args_ptr(bad);
		expect_fault(KVBM_IOC_MATCH, a);
		expect_done(k, a.done);
		EXPECT_EQ(a.done, kt_self(self->b.fd).holds);
		if (a.done)
			EXPECT_EQ(a.done, kvbm_release(self->b.fd, a.done, out,
						       0, NULL));
		expect_fault(KVBM_IOC_SCAN, a);
		expect_done(k, a.done);
		EXPECT_EQ(a.done, kt_self(self->b.fd).holds);
		if (a.done)
			EXPECT_EQ(a.done, kvbm_release(self->b.fd, a.done, out,
						       0, NULL));
		kvbm_args_upgrade(&u, N, weaks, out);
		u.generations = kvbm_args_ptr(bad);
		expect_fault(KVBM_IOC_UPGRADE, u);
		expect_done(k, u.done);
		EXPECT_EQ(u.done, kt_self(self->b.fd).holds);
		if (u.done)
			EXPECT_EQ(u.done, kvbm_release(self->b.fd, u.done, out,
						       0, NULL));
	}
	kt_check(self->b.fd);
}

/* @done cannot be written: no hold stays that the caller cannot know of. */
TEST_F(inputs, structure_read_only)
{
	struct kvbm_registered res[N];
	struct kvbm_weak weaks[N];
	uint32_t i, out[N];
	void *a = self->b.edge;

	for (i = 0; i < N; i++)
		weaks[i] = (struct kvbm_weak) { .block = KVBM_NO_BLOCK,
						.hash = self->b.hashes[i] };
#define SET(call) do {							\
	ASSERT_EQ(0, mprotect(self->b.edge, self->b.page,			\
			      PROT_READ | PROT_WRITE));			\
	call;								\
	ASSERT_EQ(0, mprotect(self->b.edge, self->b.page, PROT_READ));	\
} while (0)

	SET(kvbm_args_alloc(a, 0, N, out, NULL, 0));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->b.fd, KVBM_IOC_ALLOC, a));
	EXPECT_EQ(N, kt_counts(self->b.fd).reset);

	ASSERT_EQ(N, kvbm_alloc(self->b.fd, N, self->b.ids, NULL, NULL));
	SET(kvbm_args_register(a, 0, N, self->b.ids, self->b.hashes, res));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->b.fd, KVBM_IOC_REGISTER, a));
	EXPECT_EQ(0, kt_self(self->b.fd).holds);
	EXPECT_GT(kt_counts(self->b.fd).inactive, 0);
	i = kt_counts(self->b.fd).inactive;
	ASSERT_EQ(N - i, kvbm_stage_register(self->b.fd, N - i, self->b.ids + i,
					     self->b.hashes + i, res, 0, NULL));
	ASSERT_EQ(N - i, kvbm_release(self->b.fd, N - i, self->b.ids + i, 0,
				      NULL));

	SET(kvbm_args_match(a, 0, N, self->b.hashes, out));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->b.fd, KVBM_IOC_MATCH, a));
	EXPECT_EQ(0, kt_self(self->b.fd).holds);
	EXPECT_EQ(-EFAULT, kt_ioctl(self->b.fd, KVBM_IOC_SCAN, a));
	EXPECT_EQ(0, kt_self(self->b.fd).holds);
	SET(kvbm_args_upgrade(a, N, weaks, out));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->b.fd, KVBM_IOC_UPGRADE, a));
	EXPECT_EQ(0, kt_self(self->b.fd).holds);

	/* Calls that give back do so, whether or not they can report it. */
	ASSERT_EQ(N, kvbm_match(self->b.fd, N, self->b.hashes, out, NULL));
	SET(kvbm_args_ids(a, 0, N, out));
	EXPECT_EQ(N, kt_ioctl(self->b.fd, KVBM_IOC_RELEASE, a));
	EXPECT_EQ(0, kt_self(self->b.fd).holds);
	kt_check(self->b.fd);
}

/* Pointers that are bad from the first element on, of several kinds. */
TEST_F(inputs, bad_from_the_start)
{
	struct kvbm_match m;
	struct kvbm_register r;
	struct kvbm_alloc a;

	ASSERT_EQ(N, kt_idle(self->b.fd, N, self->b.hashes, self->b.ids));
	kvbm_args_match(&m, 0, N, self->b.hashes, NULL);
	expect_fault(KVBM_IOC_MATCH, m);
	expect_fault(KVBM_IOC_SCAN, m);
	kvbm_args_alloc(&a, 0, 1, NULL, NULL, 0);
	expect_fault(KVBM_IOC_ALLOC, a);
	EXPECT_EQ(0, kt_self(self->b.fd).held);
	ASSERT_EQ(1, kvbm_alloc(self->b.fd, 1, self->b.ids, NULL, NULL));
	kvbm_args_register(&r, 0, 1, self->b.ids, self->b.hashes, NULL);
	expect_fault(KVBM_IOC_REGISTER, r);
	EXPECT_EQ(0, kt_self(self->b.fd).holds);
	kvbm_args_register(&r, 0, 1, NULL, self->b.hashes, NULL);
	expect_fault(KVBM_IOC_REGISTER, r);
	/* Kernel addresses are as bad as any. */
	kvbm_args_match(&m, 0, 1, self->b.hashes, NULL);
	m.ids = 0xffffffff81000000ULL;
	expect_fault(KVBM_IOC_MATCH, m);
	m.ids = (uint64_t)(uintptr_t)self->b.ids;
	m.hashes = 0xffffffff81000000ULL;
	expect_fault(KVBM_IOC_MATCH, m);
	m.hashes = ~0ULL - 7;
	expect_fault(KVBM_IOC_MATCH, m);
	kt_check(self->b.fd);
}

TEST_HARNESS_MAIN
