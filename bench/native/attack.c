// SPDX-License-Identifier: MIT
/*
 * Somebody knows the secrets by which the index chooses lines, and registers
 * 65,536 keys of one hash: half of the overflow table is full then.  What do the
 * others' operations cost, and his own?
 *
 * Counted by stepping, in a pool that is full; TAP.
 */
#include <stdlib.h>
#include "attack.h"
#include "index.h"

#define BLOCKS		(1U << 21)
#define COLLIDING	65536U
#define ROUNDS		1

/*
 * He may pay so much more than others in a quiet store.  His misses, the cheapest of
 * all when quiet, take two lines, a SipHash and a chain each: 4 times, and a look at
 * all of a line more where a stranger's block has his tag.
 */
#define HE_PAYS		4.0
#define HIS_MISSES	5.0

/* Of all keys with which he comes. */
#define HIS_KEYS	(3 * COLLIDING)
#define HIS_HASH	0x12345678ULL

/*
 * Keys of one hash, of position 0: where the first factor is 1, the hash is the top
 * of a product with an odd number, which has an inverse.
 */
static struct kvbm_hash *colliding_keys(struct kvbm_store *st)
{
	struct kvbm_hash *keys = malloc(HIS_KEYS * sizeof(*keys));
	const u64 *secret = st->index.secret;
	u64 inverse = secret[2], low = 0;
	u32 i, n = 0;

	CHECK(keys);
	for (i = 0; i < 5; i++)
		inverse *= 2 - secret[2] * inverse;
	for (; n < HIS_KEYS; low++) {
		struct kvbm_hash key = {
			.lo = secret[0] ^ 1,
			.hi = secret[1] ^ (HIS_HASH << 32 | low) * inverse,
		};

		CHECK(low <= U32_MAX);
		if (key.hi >> 54)
			continue;
		CHECK(kvbm_index_key(st, &key) == HIS_HASH);
		keys[n++] = key;
	}
	return keys;
}

static void his_keys(struct attack *a, u32 from)
{
	u32 i;

	CHECK(from + N <= HIS_KEYS);
	for (i = 0; i < N; i++)
		a->keys[i] = a->his[from + i];
}

/* Of those that came last: nobody has evicted them yet. */
static void others_keys(struct attack *a)
{
	u32 half = a->p->families * FAMILY / 2;

	prompt_keys(half + rnd(&a->p->rng) % half, a->keys);
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

static_assert(KINDS == ATTACK_KINDS);

static const char * const names[KINDS] = {
	"match + release, idle", "miss", "evict", "register", "release",
};

/* Instructions a block; @his: with his keys. */
void attack_count(struct attack *a, bool his, double *sum)
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

/* A test for each kind; returns how many failed. */
u32 attack_compare(const char *policy, const char *who, const double *quiet,
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

		a.his = colliding_keys(a.p->st);
		session_pages(a.p->own);
		attack_count(&a, false, quiet);
		fill_line(&a);
		attack_count(&a, false, now);
		bad += attack_compare(tried[i], "others", quiet, now, OTHERS_PAY);
		attack_count(&a, true, now);
		bad += attack_compare(tried[i], "he", quiet, now, HE_PAYS);
		CHECK(!a.p->st->overflow.evictions);
		pool_free(a.p);
		free(a.his);
	}
	return !!bad;
}
