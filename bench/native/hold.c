// SPDX-License-Identifier: MIT
/*
 * Matches and releases of registered blocks, and misses.
 *
 *	hot	the same prompt again and again
 *	spread	a random prompt out of all in the store
 *	others	another session holds the blocks
 *	own	the session holds them already
 *	idle	nobody holds them: they leave the eviction index and come back
 */
#include <string.h>
#include "bench.h"

struct hold {
	struct pool *p;
	u32 n;
	bool spread;
	u32 prompts;
	struct kvbm_hash keys[BATCH_MAX];
	u32 ids[BATCH_MAX];
};

/* Batches above a prompt are of several; below, of its beginning. */
static void choose(struct hold *h)
{
	struct kvbm_hash keys[PROMPT];
	u32 i, at = h->n < PROMPT ? rnd(&h->p->rng) % (PROMPT / h->n) * h->n : 0;

	if (h->n < PROMPT) {
		prompt_keys(h->spread ? rnd(&h->p->rng) % h->prompts : 1, keys);
		for (i = 0; i < h->n; i++)
			h->keys[i] = keys[(h->spread ? at : 0) + i];
		return;
	}
	for (i = 0; i < h->n; i += PROMPT)
		prompt_keys(h->spread ? rnd(&h->p->rng) % h->prompts :
					1 + i / PROMPT, &h->keys[i]);
}

static void prepare(void *arg)
{
	struct hold *h = arg;

	if (h->spread)
		choose(h);
}

static void op_both(void *arg)
{
	struct hold *h = arg;

	CHECK(call_match(h->p->own, h->keys, h->n, h->ids) == h->n);
	call_release(h->p->own, h->ids, h->n);
}

/* Tail first, as a request's blocks are given back. */
static void op_both_reversed(void *arg)
{
	struct hold *h = arg;

	CHECK(call_match(h->p->own, h->keys, h->n, h->ids) == h->n);
	reverse(h->ids, h->n);
	call_release(h->p->own, h->ids, h->n);
}

static void op_match(void *arg)
{
	struct hold *h = arg;

	CHECK(call_match(h->p->own, h->keys, h->n, h->ids) == h->n);
}

static void op_release(void *arg)
{
	struct hold *h = arg;

	call_release(h->p->own, h->ids, h->n);
}

static void match_before(void *arg)
{
	prepare(arg);
	op_match(arg);
}

static void op_miss(void *arg)
{
	struct hold *h = arg;

	CHECK(!call_scan(h->p->own, h->keys, h->n, h->ids));
}

static void op_presence_miss(void *arg)
{
	struct hold *h = arg;

	CHECK(!call_presence(h->p->own, h->keys, h->n));
}

static void op_match_miss(void *arg)
{
	struct hold *h = arg;

	CHECK(!call_match(h->p->own, h->keys, h->n, h->ids));
}

static void prepare_miss(void *arg)
{
	struct hold *h = arg;
	u32 i;

	for (i = 0; h->spread && i < h->n; i += PROMPT)
		fresh_keys(rnd(&h->p->rng) | 1ULL << 50, 0,
			   min_t(u32, h->n, PROMPT), &h->keys[i]);
}

static void pair(struct hold *h, const char *name, const char *policy,
		 const char *mode, u32 n, bool idle)
{
	struct figure f = {
		.name = name, .policy = policy, .pool = h->p->total, .n = n,
		.mode = mode, .calls = 2,
	};
	struct work w = {
		.prepare = prepare, .op = idle ? op_both_reversed : op_both,
		.arg = h, .n = n,
	};

	h->n = n;
	choose(h);
	run(&f, &w);
}

static void singles(struct hold *h, const char *what, u32 n)
{
	struct figure f = {
		.name = "match", .pool = h->p->total, .n = n, .mode = what,
		.calls = 1,
	};
	struct work w = {
		.prepare = prepare, .op = op_match, .finish = op_release,
		.arg = h, .n = n,
	};

	if (opt.whole)
		return;
	h->n = n;
	choose(h);
	run(&f, &w);
	f.name = "release";
	w.prepare = match_before;
	w.op = op_release;
	w.finish = NULL;
	run(&f, &w);
}

static void miss(struct hold *h, u32 n)
{
	struct figure f = {
		.name = "miss", .pool = h->p->total, .n = n,
		.mode = h->spread ? "scan,spread" : "scan,hot", .calls = 1,
	};
	struct work w = {
		.prepare = prepare_miss, .op = op_miss, .arg = h, .n = n,
	};
	bool spread = h->spread;

	h->n = n;
	h->spread = true;
	prepare_miss(h);
	h->spread = spread;
	run(&f, &w);
	f.mode = h->spread ? "presence,spread" : "presence,hot";
	w.op = op_presence_miss;
	run(&f, &w);
	/* The first hash is absent: the price of a call that finds nothing. */
	f.mode = h->spread ? "match,spread,a call" : "match,hot,a call";
	f.n = 1;
	w.op = op_match_miss;
	w.n = 1;
	run(&f, &w);
}

static const u32 sizes[] = { 1, 8, 32, 128, 1024 };

void bench_held(u32 total)
{
	struct hold h = { .p = pool_new(total, "lru", false, FILL_HELD) };
	u32 i, s;

	h.prompts = h.p->families * FAMILY;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (opt.quick && sizes[i] != 128)
			continue;
		for (s = 0; s < 2; s++) {
			h.spread = s;
			pair(&h, "match+release", NULL,
			     s ? "others,spread" : "others,hot", sizes[i],
			     false);
			singles(&h, s ? "others,spread" : "others,hot",
				sizes[i]);
		}
		h.spread = false;
		h.n = sizes[i];
		choose(&h);
		op_match(&h);
		pair(&h, "match+release", NULL, "own,hot", sizes[i], false);
		singles(&h, "own,hot", sizes[i]);
		op_match(&h);
		op_release(&h);
		op_release(&h);
	}
	h.spread = false;
	miss(&h, 128);
	h.spread = true;
	miss(&h, 128);
	pool_free(h.p);
}

/* The price of counting, on blocks that are saturated and ones that are not. */
void bench_tracked(u32 total)
{
	struct hold h = { .p = pool_new(total, "lru", true, FILL_HELD) };

	h.prompts = h.p->families * FAMILY;
	pair(&h, "match+release", NULL, "others,hot,tracked", 128, false);
	h.spread = true;
	pair(&h, "match+release", NULL, "others,spread,tracked", 128, false);
	pool_free(h.p);
}

void bench_idle(const char *policy, u32 total)
{
	struct hold h = { .p = pool_new(total, policy, false, FILL_IDLE) };
	u32 i;

	h.prompts = h.p->families * FAMILY;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (sizes[i] != 128 && (opt.quick || sizes[i] != 32))
			continue;
		h.spread = true;
		pair(&h, "match+release", policy, "idle,spread", sizes[i],
		     true);
		h.spread = false;
		pair(&h, "match+release", policy, "idle,hot", sizes[i], true);
	}
	pool_free(h.p);
}

/*
 * Does it depend on the size? Idle blocks first; with lru, which is nothing to
 * blocks that are held, all of them are then held by another session.
 */
static void at_size(const char *policy, u32 total)
{
	struct hold h = { .p = pool_new(total, policy, false, FILL_IDLE) };
	struct kvbm_hash keys[PROMPT];
	u32 i, ids[PROMPT];

	session_pages(h.p->own);
	h.prompts = h.p->families * FAMILY;
	h.spread = true;
	pair(&h, "match+release", policy, "idle,spread", 128, true);
	for (i = 0; !strcmp(policy, "lru") && i < h.prompts; i++) {
		prompt_keys(i, keys);
		CHECK(call_match(h.p->other, keys, PROMPT, ids) == PROMPT);
	}
	if (i) {
		pair(&h, "match+release", NULL, "others,spread", 128, false);
		miss(&h, 128);
		h.spread = false;
		pair(&h, "match+release", NULL, "others,hot", 128, false);
	}
	pool_free(h.p);
}

static void all_sizes(void)
{
	static const u32 totals[] = { 1U << 12, 1U << 16, 1U << 20, 1U << 24 };
	u32 i, t;

	for (t = 0; t < ARRAY_SIZE(totals); t++)
		for (i = 0; i < 3; i++)
			/* The times of a million were taken already. */
			if (opt.step || totals[t] != 1U << 20)
				at_size(policies[i], totals[t]);
}

void bench_hold(void)
{
	u32 total = opt.count ? 1U << 16 : 1U << 20, i;

	if (!wanted("match+release") && !wanted("match") &&
	    !wanted("release") && !wanted("miss"))
		return;
	if (opt.step) {
		all_sizes();
		return;
	}
	bench_held(total);
	bench_tracked(total);
	for (i = 0; i < NR_POLICIES; i++)
		/* These two differ little from others. */
		if (!opt.quick || opt.count ||
		    (i != KVBM_POLICY_fifo && i != KVBM_POLICY_lineage_fifo))
			bench_idle(policies[i], total);
	if (!opt.quick && !opt.count)
		all_sizes();
}
