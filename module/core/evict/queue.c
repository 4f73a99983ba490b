// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * queue.c - slots in order of arrival, some of them marked; first marked, O(1)
 *
 * Arrivals take the next place of a line of some 2.5 * total.  Long before its
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
#include "queue.h"

#define SLIDE_STEPS	8
#define SLIDE_AHEAD	24	/* entries to bring in before their turn */

/* The tail when sliding begins. */
static u32 slide_start(struct kvbm_store *st, struct kvbm_order *o)
{
	return o->places - st->cfg.total / 2 - 16;
}

static u32 places_of(u32 total)
{
	/* Just below a multiple of large pages where total is one. */
	return 2 * total + total / 2 - total / 32 + 64;
}

/* Words that the marks of one rank take, in how many levels. */
static u64 mark_words(u32 places, u32 *levels)
{
	u64 words, all = 0;

	*levels = 0;
	for (words = places; words > 1; ++*levels) {
		words = DIV_ROUND_UP_ULL(words, 64);
		all += words;
	}
	return all;
}

/* Bytes that kvbm_order_init() allocates at most. */
u64 kvbm_order_need(u32 total, u32 ranks)
{
	u32 levels, places = places_of(total);

	return kvbm_array_need(places, sizeof(u32)) +
	       ranks * kvbm_array_need(mark_words(places, &levels),
				       sizeof(u64));
}

static int marks_init(struct kvbm_store *st, struct kvbm_order *o, u32 rank)
{
	u64 words, all = mark_words(o->places, &o->levels);
	u32 l;

	o->marks[rank][0] = kvbm_array_alloc(st, all, sizeof(u64));
	if (!o->marks[rank][0])
		return -ENOMEM;
	words = o->places;
	for (l = 1; l < o->levels; l++) {
		words = DIV_ROUND_UP_ULL(words, 64);
		o->marks[rank][l] = o->marks[rank][l - 1] + words;
	}
	return 0;
}

/**
 * kvbm_order_init() - make an order
 * @st: the store
 * @o: zeroed
 * @ranks: kinds of mark
 *
 * Return: 0 or -ENOMEM; kvbm_order_exit() is due in both cases.
 */
int kvbm_order_init(struct kvbm_store *st, struct kvbm_order *o, u32 ranks)
{
	u32 rank;

	o->places = places_of(st->cfg.total);
	o->slide_at = slide_start(st, o);
	o->ranks = ranks;
	o->line = kvbm_array_alloc(st, o->places, sizeof(*o->line));
	if (!o->line)
		return -ENOMEM;
	for (rank = 0; rank < ranks; rank++)
		if (marks_init(st, o, rank))
			return -ENOMEM;
	return 0;
}

void kvbm_order_exit(struct kvbm_order *o)
{
	u32 rank;

	for (rank = 0; rank < o->ranks; rank++)
		kvbm_array_free(o->marks[rank][0]);
	kvbm_array_free(o->line);
}

static bool marked(const struct kvbm_order *o, u32 rank, u32 place)
{
	return o->marks[rank][0][place / 64] >> place % 64 & 1;
}

/* Level 0 has a first mark in a word, or has lost its last. */
void kvbm_order_mark_up(struct kvbm_order *o, u32 rank, u32 place)
{
	u32 l;

	for (l = 1; l < o->levels; l++, place /= 64) {
		u64 *word = &o->marks[rank][l][place / 64];
		u64 old = *word;

		*word = old | 1ULL << place % 64;
		if (old)
			return;
	}
}

void kvbm_order_unmark_up(struct kvbm_order *o, u32 rank, u32 place)
{
	u32 l;

	for (l = 1; l < o->levels; l++, place /= 64) {
		u64 *word = &o->marks[rank][l][place / 64];

		*word &= ~(1ULL << place % 64);
		if (*word)
			return;
	}
}

/* Close some holes. */
void kvbm_order_slide(struct kvbm_store *st, struct kvbm_order *o)
{
	u32 steps = SLIDE_STEPS;
	u32 rank;

	lockdep_assert_held(&st->lock);
	if (!o->sliding) {
		o->sliding = true;
		o->slide_at = 0;
		o->from = 0;
		o->to = 0;
		return;
	}
	for (; steps && o->from < o->tail; steps--, o->from++) {
		u32 id = o->line[o->from];
		u32 ahead = o->from + SLIDE_AHEAD;

		if (ahead < o->tail && o->line[ahead] != KVBM_NIL)
			prefetchw(&st->slots[o->line[ahead]]);
		if (id == KVBM_NIL)
			continue;
		if (o->to != o->from) {
			o->line[o->to] = id;
			WRITE_ONCE(st->slots[id].place, o->to);
			o->line[o->from] = KVBM_NIL;
			for (rank = 0; rank < o->ranks; rank++) {
				if (!marked(o, rank, o->from))
					continue;
				kvbm_order_unmark(o, rank, o->from);
				kvbm_order_mark(o, rank, o->to);
				break;
			}
		}
		o->to++;
	}
	if (o->from == o->tail) {
		o->tail = o->to;
		o->slide_at = slide_start(st, o);
		o->sliding = false;
	}
}

/* Is no place marked with the rank? */
bool kvbm_order_none(const struct kvbm_order *o, u32 rank)
{
	return !o->marks[rank][o->levels - 1][0];
}

static u32 first_place(struct kvbm_order *o, u32 rank)
{
	u32 place = o->first[rank];
	u32 l = o->levels;

	if (likely(o->marks[rank][0][place]))
		return place * 64 + __ffs64(o->marks[rank][0][place]);
	for (place = 0; l--; )
		place = place * 64 + __ffs64(o->marks[rank][l][place]);
	o->first[rank] = place / 64;
	return place;
}

/* The first slot marked with the rank; there is one. */
u32 kvbm_order_first(struct kvbm_order *o, u32 rank)
{
	return o->line[first_place(o, rank)];
}

/**
 * kvbm_order_ahead() - who comes first, and who comes behind it
 * @o: the order
 * @rank: of the first
 * @ids: room for @max
 * @max: how many to look for
 *
 * What follows the first marked place, marked or not: a hint for prefetching.
 *
 * Return: how many.
 */
u32 kvbm_order_ahead(struct kvbm_order *o, u32 rank, u32 *ids, u32 max)
{
	u32 place, n = 0, looks = 2 * max;

	if (kvbm_order_none(o, rank))
		return 0;
	for (place = first_place(o, rank);
	     place < o->tail && n < max && looks--; place++)
		if (o->line[place] != KVBM_NIL)
			ids[n++] = o->line[place];
	return n;
}
