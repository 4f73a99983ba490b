// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * order.c - places in order of arrival, some of them marked; first marked, O(1)
 *
 * Arrivals take the next place of a line of 3 * total + 64.  Long before its
 * end is reached, holes are closed by sliding: each arrival moves up to
 * SLIDE_STEPS entries down.  From a start at places - total / 2 - 16, sliding
 * at 8 steps an arrival has caught up with the tail after a seventh as many
 * arrivals as there are places, which is less than what is left of the line.
 * Then at most total places are taken again.
 *
 * All under the store's lock.
 */
#include <linux/bitops.h>
#include <linux/prefetch.h>
#include "order.h"

#define SLIDE_STEPS	8
#define SLIDE_AHEAD	24	/* entries to bring in before their turn */

int kvbm_order_init(struct kvbm_store *st, struct kvbm_order *o)
{
	u64 words, all = 0;
	u32 l;

	o->places = 3 * st->cfg.total + 64;
	o->line = kvbm_array_alloc(st, o->places, sizeof(*o->line));
	if (!o->line)
		return -ENOMEM;
	for (words = o->places; words > 1 || !o->levels; o->levels++) {
		words = DIV_ROUND_UP_ULL(words, 64);
		all += words;
	}
	o->marks[0] = kvbm_array_alloc(st, all, sizeof(u64));
	if (!o->marks[0]) {
		kvbm_order_exit(o);
		return -ENOMEM;
	}
	words = o->places;
	for (l = 1; l < o->levels; l++) {
		words = DIV_ROUND_UP_ULL(words, 64);
		o->marks[l] = o->marks[l - 1] + words;
	}
	return 0;
}

void kvbm_order_exit(struct kvbm_order *o)
{
	kvbm_array_free(o->marks[0]);
	kvbm_array_free(o->line);
}

static bool marked(struct kvbm_order *o, u32 place)
{
	return o->marks[0][place / 64] >> place % 64 & 1;
}

static void slide(struct kvbm_store *st, struct kvbm_order *o)
{
	u32 steps = SLIDE_STEPS;

	for (; steps && o->from < o->tail; steps--, o->from++) {
		u32 id = o->line[o->from];
		u32 ahead = o->from + SLIDE_AHEAD;

		if (ahead < o->tail && o->line[ahead] != KVBM_NIL)
			prefetchw(&st->slots[o->line[ahead]]);
		if (id == KVBM_NIL)
			continue;
		if (o->to != o->from) {
			o->line[o->to] = id;
			st->slots[id].prev = o->to;
			o->line[o->from] = KVBM_NIL;
			if (marked(o, o->from)) {
				kvbm_order_unmark(o, o->from);
				kvbm_order_mark(o, o->to);
			}
		}
		o->to++;
	}
	if (o->from == o->tail) {
		o->tail = o->to;
		o->sliding = false;
	}
}

/* A slot arrives, unmarked. */
void kvbm_order_add(struct kvbm_store *st, struct kvbm_order *o, u32 id)
{
	lockdep_assert_held(&st->lock);
	if (o->sliding) {
		slide(st, o);
	} else if (o->tail >= o->places - st->cfg.total / 2 - 16) {
		o->sliding = true;
		o->from = 0;
		o->to = 0;
	}
	st->slots[id].prev = o->tail;
	o->line[o->tail++] = id;
}

/* A slot leaves; it is unmarked. */
void kvbm_order_del(struct kvbm_store *st, struct kvbm_order *o, u32 id)
{
	lockdep_assert_held(&st->lock);
	o->line[st->slots[id].prev] = KVBM_NIL;
}

/* The first marked slot; there is one. */
u32 kvbm_order_first(struct kvbm_order *o)
{
	u32 place = 0, l = o->levels;

	while (l--)
		place = place * 64 + __ffs64(o->marks[l][place]);
	return o->line[place];
}
