/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * evict.h - the eviction indexes, and what several of them are made of
 */
#ifndef KVBM_EVICT_H
#define KVBM_EVICT_H

#include "kvbm.h"

extern const struct kvbm_evict_ops kvbm_evict_fifo;
extern const struct kvbm_evict_ops kvbm_evict_lru;
extern const struct kvbm_evict_ops kvbm_evict_multi_lru;
extern const struct kvbm_evict_ops kvbm_evict_lineage_tick;
extern const struct kvbm_evict_ops kvbm_evict_lineage_fifo;

/* A list of slots through ->prev and ->next, oldest first. */
struct kvbm_list {
	u32 head;
	u32 tail;
};

#define KVBM_LIST_INIT	{ KVBM_NIL, KVBM_NIL }

static inline void kvbm_list_add_tail(struct kvbm_store *st,
				      struct kvbm_list *l, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];

	s->next = KVBM_NIL;
	s->prev = l->tail;
	if (l->tail != KVBM_NIL)
		st->slots[l->tail].next = id;
	else
		l->head = id;
	l->tail = id;
}

static inline void kvbm_list_del(struct kvbm_store *st, struct kvbm_list *l,
				 u32 id)
{
	struct kvbm_slot *s = &st->slots[id];

	if (s->prev != KVBM_NIL)
		st->slots[s->prev].next = s->next;
	else
		l->head = s->next;
	if (s->next != KVBM_NIL)
		st->slots[s->next].prev = s->prev;
	else
		l->tail = s->prev;
}

#endif /* KVBM_EVICT_H */
