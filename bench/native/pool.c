// SPDX-License-Identifier: MIT
/* Stores as they look after some use: full of prompts, slots in any order. */
#include <stdlib.h>
#include <linux/slab.h>
#include "bench.h"

const char *const policies[NR_POLICIES] = {
#define KVBM_POLICY(name)	#name,
#include "policies.def"
};

struct kvbm_session *session_new(struct kvbm_store *st)
{
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);

	CHECK(ses);
	CHECK(!kvbm_session_init(ses, st));
	return ses;
}

/* All of its hold table, which otherwise grows as it holds. */
void session_pages(struct kvbm_session *ses)
{
	u32 id;

	for (id = 0; id < ses->store->cfg.total; id += KVBM_PAGE_COUNTS)
		CHECK(!kvbm_holds_prepare(ses, id));
}

void session_end(struct kvbm_session *ses)
{
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
}

/* So that neighbours in time are not neighbours in memory. */
static void shuffle_free(struct pool *p)
{
	struct kvbm_session *ses = session_new(p->st);
	u32 *ids = malloc(p->total * sizeof(*ids));
	u32 i, j;

	CHECK(ids);
	call_alloc(ses, p->total, ids, NULL);
	for (i = p->total - 1; i; i--) {
		j = rnd(&p->rng) % (i + 1);
		swap(ids[i], ids[j]);
	}
	call_release(ses, ids, p->total);
	free(ids);
	session_end(ses);
}

static void add(struct pool *p, const struct kvbm_hash *keys, u32 n,
		enum fill fill)
{
	struct kvbm_registered out[PROMPT];
	u32 ids[PROMPT];

	call_alloc(p->other, n, ids, NULL);
	call_register(p->other, keys, n, ids, out);
	reverse(ids, n);
	if (fill == FILL_IDLE)
		call_release(p->other, ids, n);
}

void pool_fill(struct pool *p, enum fill fill)
{
	struct kvbm_hash keys[PROMPT];
	u32 i, n, left;

	p->families = p->total / FAMILY_BLOCKS;
	for (i = 0; i < p->families * FAMILY; i++) {
		prompt_keys(i, keys);
		if (i % FAMILY)
			add(p, keys + PREFIX, PROMPT - PREFIX, fill);
		else
			add(p, keys, PROMPT, fill);
	}
	for (left = p->total - p->families * FAMILY_BLOCKS; left; left -= n) {
		n = min_t(u32, left, PROMPT);
		fresh_keys(p->fresh++, 0, n, keys);
		add(p, keys, n, fill);
	}
}

/**
 * pool_hold() - hold prompts of the initial population
 * @p: the pool, with nothing evicted
 * @ses: who is to hold them
 * @least: blocks
 * @prompts: output: how many prompts these are
 *
 * Return: how many blocks are held.
 */
u32 pool_hold(struct pool *p, struct kvbm_session *ses, u32 least,
	      u32 *prompts)
{
	struct kvbm_hash keys[PROMPT];
	u32 ids[PROMPT], i, held = 0;

	for (i = 0; held < least; i++) {
		prompt_keys(i, keys);
		CHECK(call_match(ses, keys, PROMPT, ids) == PROMPT);
		held += i % FAMILY ? PROMPT - PREFIX : PROMPT;
	}
	*prompts = i;
	return held;
}

struct pool *pool_new(u32 total, const char *policy, bool frequency,
		      enum fill fill)
{
	struct kvbm_config cfg = {
		.total = total,
		.block_size = 16,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 64,
	};
	struct pool *p = calloc(1, sizeof(*p));

	CHECK(p && cfg.policy);
	if (cfg.policy->needs_frequency || frequency)
		cfg.freq_capacity = KVBM_FREQ_DEFAULT;
	CHECK(!kvbm_config_check(&cfg));
	p->st = kzalloc(sizeof(*p->st), GFP_KERNEL);
	CHECK(p->st && !kvbm_store_init(p->st, &cfg));
	p->total = total;
	p->rng = 1;
	p->own = session_new(p->st);
	p->other = session_new(p->st);
	shuffle_free(p);
	if (fill != FILL_NONE)
		pool_fill(p, fill);
	return p;
}

void pool_free(struct pool *p)
{
	session_end(p->own);
	session_end(p->other);
	kvbm_store_exit(p->st);
	kfree(p->st);
	free(p);
}
