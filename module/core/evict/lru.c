// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * lru.c - fifo, lru and multi_lru: in order of becoming inactive
 *
 * fifo and lru are the same order here: a block becomes inactive when its last
 * hold goes, so the first to become inactive is the least recently used.  Both
 * names stay, for what users expect from other systems.
 *
 * multi_lru has four lists; a block's frequency at the moment of becoming
 * inactive chooses the list, and the lowest list is evicted first.
 *
 * With retention each rank has its own lists: a slot's kind of mark encodes
 * rank and list, the rank first.
 *
 * All under the store's lock.
 */
#include <linux/slab.h>
#include "evict.h"
#include "order.h"
#include "sketch.h"

#define MULTI_LISTS	(ARRAY_SIZE(((struct kvbm_config *)0)->thresholds) + 1)

static int order_policy_init(struct kvbm_store *st, u32 lists)
{
	struct kvbm_order *o = kzalloc(sizeof(*o), GFP_KERNEL_ACCOUNT);
	int err;

	if (!o)
		return -ENOMEM;
	err = kvbm_order_init(st, o, lists);
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
	return sizeof(struct kvbm_order) + kvbm_order_need(cfg, 1);
}

static u64 multi_lru_need(const struct kvbm_config *cfg)
{
	return sizeof(struct kvbm_order) +
	       kvbm_order_need(cfg, MULTI_LISTS);
}

static int lru_init(struct kvbm_store *st)
{
	return order_policy_init(st, 1);
}

static int multi_lru_init(struct kvbm_store *st)
{
	return order_policy_init(st, MULTI_LISTS);
}

static void lru_exit(struct kvbm_store *st)
{
	kvbm_order_exit(st->evict);
	kfree(st->evict);
}

static __always_inline void insert_tidy(struct kvbm_store *st, u32 id, u32 kind)
{
	struct kvbm_order *o = st->evict;

	st->slots[id].rank = kind;
	kvbm_order_mark_last(o, kind, kvbm_order_add_tidy(st, o, id));
}

/* Rare: a separate function, so the others need save no registers. */
static noinline void insert_untidy(struct kvbm_store *st, u32 id, u32 kind)
{
	kvbm_order_tidy(st, st->evict);
	insert_tidy(st, id, kind);
}

static __always_inline void insert_kind(struct kvbm_store *st, u32 id, u32 kind)
{
	if (kvbm_order_untidy(st->evict))
		insert_untidy(st, id, kind);
	else
		insert_tidy(st, id, kind);
}

/* With retention; separate likewise. */
static noinline void insert_ranked(struct kvbm_store *st, u32 id, u32 list,
				   u32 lists)
{
	struct kvbm_order *o = st->evict;

	insert_kind(st, id, list + o->rank_of[id] * lists);
}

static void lru_insert(struct kvbm_store *st, u32 id)
{
	struct kvbm_order *o = st->evict;

	if (likely(!o->rank_of))
		insert_kind(st, id, 0);
	else
		insert_ranked(st, id, 0, 1);
}

/* How many thresholds the block's count has reached. */
static void multi_lru_insert(struct kvbm_store *st, u32 id)
{
	struct kvbm_order *o = st->evict;
	u32 count, i;

	count = kvbm_sketch_read_hash(st->sketch, st->slots[id].hash);
	for (i = 0; i < ARRAY_SIZE(st->cfg.thresholds); i++)
		if (count < st->cfg.thresholds[i])
			break;
	if (likely(!o->rank_of))
		insert_kind(st, id, i);
	else
		insert_ranked(st, id, i, MULTI_LISTS);
}

static void lru_remove(struct kvbm_store *st, u32 id)
{
	struct kvbm_order *o = st->evict;

	kvbm_order_unmark(o, st->slots[id].rank, st->slots[id].place);
	kvbm_order_del(st, o, id);
}

static noinline u32 pop_lowest(struct kvbm_order *o)
{
	return kvbm_order_pop(o, kvbm_order_lowest(o));
}

static u32 lru_pop(struct kvbm_store *st, u32 *budget)
{
	struct kvbm_order *o = st->evict;

	lockdep_assert_held(&st->lock);
	if (likely(!o->rank_of))
		return kvbm_order_pop(o, 0);
	return pop_lowest(o);
}

static u32 multi_lru_pop(struct kvbm_store *st, u32 *budget)
{
	struct kvbm_order *o = st->evict;

	lockdep_assert_held(&st->lock);
	return kvbm_order_pop(o, kvbm_order_lowest(o));
}

/* Its rank changes: its list does not, nor its place. */
static void rerank(struct kvbm_store *st, u32 id, u32 old, u32 rank, u32 lists)
{
	struct kvbm_slot *s = &st->slots[id];
	struct kvbm_order *o = st->evict;

	lockdep_assert_held(&st->lock);
	kvbm_order_unmark(o, s->rank, s->place);
	s->rank += (rank - old) * lists;
	kvbm_order_mark(o, s->rank, s->place);
}

static void lru_rerank(struct kvbm_store *st, u32 id, u32 old, u32 rank)
{
	rerank(st, id, old, rank, 1);
}

static void multi_lru_rerank(struct kvbm_store *st, u32 id, u32 old, u32 rank)
{
	rerank(st, id, old, rank, MULTI_LISTS);
}

static u32 lru_peek(struct kvbm_store *st, u32 *ids, u32 max)
{
	struct kvbm_order *o = st->evict;

	lockdep_assert_held(&st->lock);
	return kvbm_order_peek(o, kvbm_order_lowest(o), ids, max);
}

static u32 lru_order(struct kvbm_store *st, u32 id)
{
	return kvbm_order_of(st, st->evict, id);
}

/* A popped block was found through its place, among the first: not needed. */
static void lru_prefetch(struct kvbm_store *st, const u32 *ids, u32 n,
			 enum kvbm_prefetch what)
{
	if (what == KVBM_PREFETCH_REMOVE)
		kvbm_order_prefetch(st, st->evict, ids, n);
}

static void multi_lru_prefetch(struct kvbm_store *st, const u32 *ids, u32 n,
			       enum kvbm_prefetch what)
{
	if (what != KVBM_PREFETCH_INSERT) {
		lru_prefetch(st, ids, n, what);
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
	.rerank = lru_rerank,
	.peek = lru_peek,
	.prefetch_for = lru_prefetch,
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
	.rerank = lru_rerank,
	.peek = lru_peek,
	.prefetch_for = lru_prefetch,
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
	.rerank = multi_lru_rerank,
	.peek = lru_peek,
	.prefetch_for = multi_lru_prefetch,
};
