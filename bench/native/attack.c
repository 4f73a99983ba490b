// SPDX-License-Identifier: MIT
/*
 * Somebody knows the secrets by which the index chooses lines, and registers
 * 65,536 keys of one hash, which fill half of the overflow table.  How much do
 * the operations of others cost then, and how much do the attacker's own?
 *
 * The pool is full.  Costs are counted by stepping.  Prints TAP.
 */
#include <stdlib.h>
#include "attack.h"
#include "index.h"

#define BLOCKS		(1U << 21)
#define COLLIDING	65536U
#define ROUNDS		1

/* He may pay so much more than others in a quiet store. */
#define HE_PAYS		4.0

/*
 * And so much for a miss, the cheapest of all when quiet, where he also saw to it that
 * each of the two lines has an entry with his keys' tag before the one like them.
 */
#define WORST_MISS	4.5

/* Of all keys with which he comes. */
#define HIS_KEYS	(3 * COLLIDING)
#define HIS_HASH	0x12345678U
#define WORST_HASH	0x52345678U	/* of another line, with the same tag */

/*
 * The next key of a hash and of position 0, from *@low on: where the first factor is
 * 1, the hash is the top of a product with an odd number, which has an inverse.
 */
static struct kvbm_hash key_of(struct kvbm_store *st, u32 hash, u64 *low)
{
	const u64 *secret = st->index.secret;
	u64 inverse = secret[2];
	struct kvbm_hash key;
	u32 i;

	for (i = 0; i < 5; i++)
		inverse *= 2 - secret[2] * inverse;
	do {
		CHECK(*low <= U32_MAX);
		key = (struct kvbm_hash) {
			.lo = secret[0] ^ 1,
			.hi = secret[1] ^
			      ((u64)hash << 32 | (*low)++) * inverse,
		};
	} while (key.hi >> 54);
	CHECK(kvbm_index_key(st, &key) == hash);
	return key;
}

static struct kvbm_hash *colliding_keys(struct kvbm_store *st)
{
	struct kvbm_hash *keys = malloc(HIS_KEYS * sizeof(*keys));
	u64 low = 0;
	u32 n;

	CHECK(keys);
	for (n = 0; n < HIS_KEYS; n++)
		keys[n] = key_of(st, HIS_HASH, &low);
	return keys;
}

/* A hash of the same line as @at and of his keys' tag, not like them otherwise. */
static u32 beside(struct kvbm_store *st, u32 at)
{
	const struct kvbm_index *ix = &st->index;
	struct kvbm_line *l = kvbm_index_line(ix->lines, ix->nr_lines, at);
	u64 h = DIV_ROUND_UP((u64)(l - ix->lines) << 32, ix->nr_lines);

	while (kvbm_index_tag(h) != kvbm_index_tag(HIS_HASH) ||
	       kvbm_index_entry_tag(h) == kvbm_index_entry_tag(HIS_HASH))
		h++;
	CHECK(kvbm_index_line(ix->lines, ix->nr_lines, h) == l);
	return h;
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

/* Another line, and a miss in it, instructions a block. */
static double worst_miss(struct attack *a)
{
	struct kvbm_store *st = a->p->st;
	u64 low = 0;
	u32 i;

	a->keys[0] = key_of(st, beside(st, WORST_HASH), &low);
	a->keys[1] = key_of(st, beside(st, WORST_HASH * st->index.second), &low);
	for (i = 2; i < N; i++)
		a->keys[i] = key_of(st, WORST_HASH, &low);
	op_alloc(a);
	op_register(a);
	op_release(a);
	for (i = 0; i < N; i++)
		a->keys[i] = key_of(st, WORST_HASH, &low);
	return step_count(op_miss, a) / N;
}

static u32 compare(const char *policy, const char *who, const char *what,
		   double quiet, double now, double limit)
{
	bool ok = now <= quiet * limit;
	static u32 test;

	printf("%s %u %s: %s, %s: %.0f instructions a block, quiet %.0f: %.2f times\n",
	       ok ? "ok" : "not ok", ++test, policy, who, what, now, quiet,
	       now / quiet);
	return !ok;
}

/* A test for each kind; returns how many failed. */
u32 attack_compare(const char *policy, const char *who, const double *quiet,
		   const double *now, double limit)
{
	u32 k, bad = 0;

	for (k = 0; k < KINDS; k++)
		bad += compare(policy, who, names[k], quiet[k], now[k], limit);
	return bad;
}

int bench_attack(void)
{
	static const char * const tried[] = { "lru", "multi_lru",
					      "lineage_tick" };
	double quiet[KINDS], now[KINDS];
	u32 i, bad = 0;

	printf("TAP version 13\n1..%zu\n", ARRAY_SIZE(tried) * (2 * KINDS + 1));
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
		bad += compare(tried[i], "he", "miss, at its worst",
			       quiet[MISS], worst_miss(&a), WORST_MISS);
		CHECK(!a.p->st->overflow.evictions);
		pool_free(a.p);
		free(a.his);
	}
	return !!bad;
}
