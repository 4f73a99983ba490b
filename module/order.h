/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * order.h - places in order of arrival, some of them marked; first marked, O(1)
 */
#ifndef KVBM_ORDER_H
#define KVBM_ORDER_H

#include "kvbm.h"

#define KVBM_ORDER_LEVELS	5

/**
 * struct kvbm_order - a line of slots in order of arrival
 * @line: place -> slot, KVBM_NIL for a place that was left
 * @places: how many there are
 * @tail: the next free one
 * @from: sliding: next place to look at
 * @to: sliding: next place to fill
 * @sliding: holes are being closed
 * @marks: bitmaps of marked places: level 0 a bit a place, each further level a
 *	bit for each word below that is not zero
 * @levels: levels in use
 *
 * A slot's place is in its ->prev.
 */
struct kvbm_order {
	u32 *line;
	u32 places;
	u32 tail;
	u32 from;
	u32 to;
	bool sliding;
	u64 *marks[KVBM_ORDER_LEVELS];
	u32 levels;
};

int kvbm_order_init(struct kvbm_store *st, struct kvbm_order *o);
void kvbm_order_exit(struct kvbm_order *o);
void kvbm_order_add(struct kvbm_store *st, struct kvbm_order *o, u32 id);
void kvbm_order_del(struct kvbm_store *st, struct kvbm_order *o, u32 id);
u32 kvbm_order_first(struct kvbm_order *o);

static inline void kvbm_order_mark(struct kvbm_order *o, u32 place)
{
	u32 l;

	for (l = 0; l < o->levels; l++, place /= 64) {
		u64 *word = &o->marks[l][place / 64];
		u64 old = *word;

		*word = old | 1ULL << place % 64;
		if (old)
			return;
	}
}

static inline void kvbm_order_unmark(struct kvbm_order *o, u32 place)
{
	u32 l;

	for (l = 0; l < o->levels; l++, place /= 64) {
		u64 *word = &o->marks[l][place / 64];

		*word &= ~(1ULL << place % 64);
		if (*word)
			return;
	}
}

#endif /* KVBM_ORDER_H */
