// SPDX-License-Identifier: MIT
/*
 * Somebody knows the secrets by which the index chooses lines, and registers
 * 65,536 hashes that all fall into one, which is full then, as is half of the
 * overflow table.  What do the others' operations cost, and his own?
 *
 * Counted by stepping, in a pool that is full; TAP.
 */
#include <stdlib.h>
#include "bench.h"
#include "index.h"

#define BLOCKS		(1U << 21)
#define COLLIDING	65536U
#define N		128U
#define ROUNDS		1

/*
 * Others may pay so much more than in a quiet store, and he himself; his misses,
 * the cheapest of all when quiet, take a SipHash each.
 */
#define OTHERS_PAY	1.3
#define HE_PAYS		4.0
#define HIS_MISSES	5.0

struct attack {
	struct pool *p;
	u32 at;				/* the next of the colliding keys */
	struct kvbm_hash keys[N];
	struct kvbm_registered out[N];
	u32 ids[N];
};

/* Keys of one hash: the first product is 0. */
static void colliding(struct kvbm_store *st, u32 i, struct kvbm_hash *key)
{
	key->hi = mix(i) & 0x003fffffffffffffULL;
	key->lo = st->index.secret[0];
	CHECK(!kvbm_index_key(st, key));
}

static void his_keys(struct attack *a, u32 from)
{
	u32 i;

	for (i = 0; i < N; i++)
		colliding(a->p->st, from + i, &a->keys[i]);
}

static void others_keys(struct attack *a)
{
	prompt_keys(rnd(&a->p->rng) % (a->p->families * FAMILY), a->keys);
}

static void op_match_release(void *arg)
{
	struct attack *a = arg;
	u32 n = call_match(a->p->own, a->keys, N, a->ids);

	reverse(a->ids, n);
	call_release(a->p->own, a->ids, n);
}

static void op_miss(void *arg)
{
	struct attack *a = arg;

	CHECK(!call_scan(a->p->own, a->keys, N, a->ids));
}

static void op_alloc(void *arg)
{
	struct attack *a = arg;

	call_alloc(a->p->own, N, a->ids, NULL);
}

static void op_register(void *arg)
{
	struct attack *a = arg;

	call_register(a->p->own, a->keys, N, a->ids, a->out);
}

static void op_release(void *arg)
{
	struct attack *a = arg;

	reverse(a->ids, N);
	call_release(a->p->own, a->ids, N);
}

enum { MATCH, MISS, EVICT, REGISTER, RELEASE, KINDS };

static const char * const names[KINDS] = {
	"match + release, idle", "miss", "evict", "register", "release",
};

/* Instructions a block; @his: with his keys. */
static void count_all(struct attack *a, bool his, double *sum)
{
	u32 i, k, from = COLLIDING / 2;

	for (k = 0; k < KINDS; k++)
		sum[k] = 0;
	for (i = 0; i < ROUNDS; i++) {
		if (his)
			his_keys(a, from + i * N);
		else
			others_keys(a);
		sum[MATCH] += step_count(op_match_release, a);
		if (his)
			his_keys(a, COLLIDING * 2 + i * N);
		else
			fresh_keys(1ULL << 40 | rnd(&a->p->rng), 0, N, a->keys);
		sum[MISS] += step_count(op_miss, a);
		if (his)
			his_keys(a, COLLIDING + (a->at++) * N);
		else
			fresh_keys(a->p->fresh++, 0, N, a->keys);
		sum[EVICT] += step_count(op_alloc, a);
		sum[REGISTER] += step_count(op_register, a);
		sum[RELEASE] += step_count(op_release, a);
	}
	for (k = 0; k < KINDS; k++)
		sum[k] /= ROUNDS * N;
}

static void fill_line(struct attack *a)
{
	u32 i;

	for (i = 0; i < COLLIDING; i += N) {
		his_keys(a, i);
		op_alloc(a);
		op_register(a);
		op_release(a);
	}
	CHECK(a->p->st->overflow.used > COLLIDING - 12);
}

static u32 compare(const char *policy, const char *who, const double *quiet,
		   const double *now, double limit)
{
	static u32 test;
	u32 k, bad = 0;

	for (k = 0; k < KINDS; k++) {
		double most = limit == HE_PAYS && k == MISS ? HIS_MISSES :
							      limit;
		bool ok = now[k] <= quiet[k] * most;

		printf("%s %u %s: %s, %s: %.0f instructions a block, quiet %.0f: %.2f times\n",
		       ok ? "ok" : "not ok", ++test, policy, who, names[k],
		       now[k], quiet[k], now[k] / quiet[k]);
		bad += !ok;
	}
	return bad;
}

int bench_attack(void)
{
	static const char * const tried[] = { "lru", "multi_lru",
					      "lineage_tick" };
	double quiet[KINDS], now[KINDS];
	u32 i, bad = 0;

	printf("TAP version 13\n1..%zu\n", ARRAY_SIZE(tried) * 2 * KINDS);
	for (i = 0; i < ARRAY_SIZE(tried); i++) {
		struct attack a = {
			.p = pool_new(BLOCKS, tried[i], false, FILL_IDLE),
		};

		session_pages(a.p->own);
		count_all(&a, false, quiet);
		fill_line(&a);
		count_all(&a, false, now);
		bad += compare(tried[i], "others", quiet, now, OTHERS_PAY);
		count_all(&a, true, now);
		bad += compare(tried[i], "he", quiet, now, HE_PAYS);
		CHECK(!a.p->st->overflow.evictions);
		pool_free(a.p);
	}
	return !!bad;
}
