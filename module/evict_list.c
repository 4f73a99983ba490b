// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * evict_list.c - fifo, lru and multi_lru: lists in order of becoming inactive
 *
 * fifo and lru are the same order here: a block becomes inactive when its last
 * hold goes, so the first to become inactive is the least recently used.  Both
 * names stay, for what users expect from other systems.
 *
 * multi_lru has four such lists; a block's frequency at the moment of becoming
 * inactive says which, and the lowest list is evicted first.
 *
 * All under the store's lock.
 */
#include <linux/prefetch.h>
#include <linux/slab.h>
#include "evict.h"
#include "sketch.h"

#define LISTS	4

struct lists {
	struct kvbm_list list[LISTS];
};

static int lists_init(struct kvbm_store *st)
{
	struct lists *ls = kzalloc(sizeof(*ls), GFP_KERNEL_ACCOUNT);
	u32 i;

	if (!ls)
		return -ENOMEM;
	for (i = 0; i < LISTS; i++)
		ls->list[i] = (struct kvbm_list)KVBM_LIST_INIT;
	st->evict = ls;
	return 0;
}

static void lists_exit(struct kvbm_store *st)
{
	kfree(st->evict);
}

static void lru_insert(struct kvbm_store *st, u32 id)
{
	struct lists *ls = st->evict;

	lockdep_assert_held(&st->lock);
	st->slots[id].aux = 0;
	kvbm_list_add_tail(st, &ls->list[0], id);
}

/* How many thresholds the block's count has reached. */
static void multi_lru_insert(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lists *ls = st->evict;
	u32 count, i;

	lockdep_assert_held(&st->lock);
	count = kvbm_sketch_read(st->sketch, &s->key);
	for (i = 0; i < ARRAY_SIZE(st->cfg.thresholds); i++)
		if (count < st->cfg.thresholds[i])
			break;
	s->aux = i;
	kvbm_list_add_tail(st, &ls->list[i], id);
}

static void lists_remove(struct kvbm_store *st, u32 id)
{
	struct lists *ls = st->evict;

	lockdep_assert_held(&st->lock);
	kvbm_list_del(st, &ls->list[st->slots[id].aux], id);
}

static u32 lists_pop(struct kvbm_store *st)
{
	struct lists *ls = st->evict;
	u32 i, id;

	lockdep_assert_held(&st->lock);
	for (i = 0; i < LISTS - 1; i++)
		if (ls->list[i].head != KVBM_NIL)
			break;
	id = ls->list[i].head;
	kvbm_list_del(st, &ls->list[i], id);
	return id;
}

/* Unlinking writes to both neighbours. */
static void lists_prefetch(struct kvbm_store *st, u32 id, bool leave)
{
	u32 prev = READ_ONCE(st->slots[id].prev);
	u32 next = READ_ONCE(st->slots[id].next);

	if (!leave)
		return;
	if (prev < st->cfg.total)
		prefetchw(&st->slots[prev]);
	if (next < st->cfg.total)
		prefetchw(&st->slots[next]);
}

const struct kvbm_evict_ops kvbm_evict_fifo = {
	.name = "fifo",
	.init = lists_init,
	.exit = lists_exit,
	.insert = lru_insert,
	.remove = lists_remove,
	.pop = lists_pop,
	.prefetch = lists_prefetch,
};

const struct kvbm_evict_ops kvbm_evict_lru = {
	.name = "lru",
	.init = lists_init,
	.exit = lists_exit,
	.insert = lru_insert,
	.remove = lists_remove,
	.pop = lists_pop,
	.prefetch = lists_prefetch,
};

const struct kvbm_evict_ops kvbm_evict_multi_lru = {
	.name = "multi_lru",
	.needs_frequency = true,
	.has_thresholds = true,
	.init = lists_init,
	.exit = lists_exit,
	.insert = multi_lru_insert,
	.remove = lists_remove,
	.pop = lists_pop,
	.prefetch = lists_prefetch,
};
