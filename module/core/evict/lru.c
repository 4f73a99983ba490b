// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * lru.c - fifo, lru and multi_lru: in order of becoming inactive
 *
 * fifo and lru are the same order here: a block becomes inactive when its last
 * hold goes, so the first to become inactive is the least recently used.  Both
 * names stay, for what users expect from other systems.
 *
 * multi_lru has four ranks; a block's frequency at the moment of becoming
 * inactive says which, and the lowest rank is evicted first.
 *
 * All under the store's lock.
 */
#include <linux/slab.h>
#include "evict.h"
#include "queue.h"
#include "sketch.h"

static int order_policy_init(struct kvbm_store *st, u32 ranks)
{
	struct kvbm_order *o = kzalloc(sizeof(*o), GFP_KERNEL_ACCOUNT);
	int err;

	if (!o)
		return -ENOMEM;
	err = kvbm_order_init(st, o, ranks);
	if (err) {
		kvbm_order_exit(o);
		kfree(o);
		return err;
	}
	st->evict = o;
	return 0;
}

static u64 lru_need(const struct kvbm_config *cfg)
{
	return sizeof(struct kvbm_order) + kvbm_order_need(cfg->total, 1);
}

static u64 multi_lru_need(const struct kvbm_config *cfg)
{
	return sizeof(struct kvbm_order) +
	       kvbm_order_need(cfg->total, ARRAY_SIZE(cfg->thresholds) + 1);
}

static int lru_init(struct kvbm_store *st)
{
	return order_policy_init(st, 1);
}

static int multi_lru_init(struct kvbm_store *st)
{
	return order_policy_init(st, ARRAY_SIZE(st->cfg.thresholds) + 1);
}

static void lru_exit(struct kvbm_store *st)
{
	kvbm_order_exit(st->evict);
	kfree(st->evict);
}

static __always_inline void insert_tidy(struct kvbm_store *st, u32 id, u32 rank)
{
	struct kvbm_order *o = st->evict;

	st->slots[id].rank = rank;
	kvbm_order_mark_last(o, rank, kvbm_order_add_tidy(st, o, id));
}

/* Now and then: apart, so that the others need save no registers. */
static noinline void insert_untidy(struct kvbm_store *st, u32 id, u32 rank)
{
	kvbm_order_tidy(st, st->evict);
	insert_tidy(st, id, rank);
}

static __always_inline void insert_rank(struct kvbm_store *st, u32 id, u32 rank)
{
	if (kvbm_order_untidy(st->evict))
		insert_untidy(st, id, rank);
	else
		insert_tidy(st, id, rank);
}

static void lru_insert(struct kvbm_store *st, u32 id)
{
	insert_rank(st, id, 0);
}

/* How many thresholds the block's count has reached. */
static void multi_lru_insert(struct kvbm_store *st, u32 id)
{
	u32 count, i;

	count = kvbm_sketch_read_hash(st->sketch, st->slots[id].hash);
	for (i = 0; i < ARRAY_SIZE(st->cfg.thresholds); i++)
		if (count < st->cfg.thresholds[i])
			break;
	insert_rank(st, id, i);
}

static void lru_remove(struct kvbm_store *st, u32 id)
{
	struct kvbm_order *o = st->evict;

	kvbm_order_unmark(o, st->slots[id].rank, st->slots[id].place);
	kvbm_order_del(st, o, id);
}

static u32 lowest_rank(const struct kvbm_order *o)
{
	u32 rank = 0;

	while (rank < o->ranks - 1 && kvbm_order_none(o, rank))
		rank++;
	return rank;
}

static u32 lru_pop(struct kvbm_store *st, u32 *budget)
{
	lockdep_assert_held(&st->lock);
	return kvbm_order_pop(st->evict, 0);
}

static u32 multi_lru_pop(struct kvbm_store *st, u32 *budget)
{
	struct kvbm_order *o = st->evict;

	lockdep_assert_held(&st->lock);
	return kvbm_order_pop(o, lowest_rank(o));
}

static u32 lru_ahead(struct kvbm_store *st, u32 *ids, u32 max)
{
	struct kvbm_order *o = st->evict;

	lockdep_assert_held(&st->lock);
	return kvbm_order_ahead(o, lowest_rank(o), ids, max);
}

static u32 lru_order(struct kvbm_store *st, u32 id)
{
	return kvbm_order_of(st, st->evict, id);
}

/* Who is popped was found through its place, among the first: no need then. */
static void lru_warm(struct kvbm_store *st, const u32 *ids, u32 n,
		     enum kvbm_warm what)
{
	if (what == KVBM_WARM_REMOVE)
		kvbm_order_prefetch(st, st->evict, ids, n);
}

static void multi_lru_warm(struct kvbm_store *st, const u32 *ids, u32 n,
			   enum kvbm_warm what)
{
	if (what != KVBM_WARM_INSERT) {
		lru_warm(st, ids, n, what);
		return;
	}
	/* Hints: the slots may be changing. */
	for (; n; n--, ids++)
		kvbm_sketch_prefetch(st->sketch,
				     READ_ONCE(st->slots[*ids].hash));
}

const struct kvbm_evict_ops kvbm_evict_fifo = {
	.name = "fifo",
	.need = lru_need,
	.init = lru_init,
	.exit = lru_exit,
	.insert = lru_insert,
	.remove = lru_remove,
	.pop = lru_pop,
	.order = lru_order,
	.ahead = lru_ahead,
	.warm = lru_warm,
};

const struct kvbm_evict_ops kvbm_evict_lru = {
	.name = "lru",
	.need = lru_need,
	.init = lru_init,
	.exit = lru_exit,
	.insert = lru_insert,
	.remove = lru_remove,
	.pop = lru_pop,
	.order = lru_order,
	.ahead = lru_ahead,
	.warm = lru_warm,
};

const struct kvbm_evict_ops kvbm_evict_multi_lru = {
	.name = "multi_lru",
	.needs_frequency = true,
	.has_thresholds = true,
	.need = multi_lru_need,
	.init = multi_lru_init,
	.exit = lru_exit,
	.insert = multi_lru_insert,
	.remove = lru_remove,
	.pop = multi_lru_pop,
	.order = lru_order,
	.ahead = lru_ahead,
	.warm = multi_lru_warm,
};
