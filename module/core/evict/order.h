/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * order.h - slots in order of arrival, some of them marked; first marked, O(1)
 */
#ifndef KVBM_ORDER_H
#define KVBM_ORDER_H

#include <linux/bitops.h>
#include <linux/prefetch.h>
#include "core.h"

#define KVBM_ORDER_LEVELS	5
#define KVBM_ORDER_LISTS	4	/* of a policy, at most */
#define KVBM_ORDER_RANKS	(4 * KVBM_ORDER_LISTS)

/**
 * struct kvbm_order - a ring of slots in order of arrival
 * @line: place -> slot, KVBM_NIL for an empty place
 * @places: how many there are
 * @head: no place before this one is taken
 * @tail: the next free one
 * @span: places from @head to @tail
 * @tidy_at: span from which an arrival tidies first; 0 while sliding
 * @sliding: holes are being closed
 * @from: sliding: next place to look at
 * @left: sliding: places from @from to @tail
 * @to: sliding: next place to fill
 * @ranks: kinds of mark; a place has at most one
 * @rank_of: the blocks' ranks, see retain.h; NULL: none
 * @levels: levels of marks in use
 * @first: for each rank, no word of level 0 from @head's to this one has a mark
 * @marks: for each rank, bitmaps of marked places: level 0 a bit a place, each
 *	further level a bit for each word below that is not zero
 *
 * A slot's place is in its ->place.  Unlike in a list through the slots, a slot
 * leaves without touching its neighbours, and the next ones can be
 * prefetched.
 */
struct kvbm_order {
	u32 *line;
	u32 places;
	u32 head;
	u32 tail;
	u32 span;
	u32 tidy_at;
	bool sliding;
	u32 from;
	u32 left;
	u32 to;
	u32 ranks;
	u32 levels;
	const u8 *rank_of;
	u32 first[KVBM_ORDER_RANKS];
	u64 *marks[KVBM_ORDER_RANKS][KVBM_ORDER_LEVELS];
};

u64 kvbm_order_need(const struct kvbm_config *cfg, u32 lists);
int kvbm_order_init(struct kvbm_store *st, struct kvbm_order *o, u32 lists);
void kvbm_order_exit(struct kvbm_order *o);
void kvbm_order_tidy(struct kvbm_store *st, struct kvbm_order *o);
void kvbm_order_mark_up(struct kvbm_order *o, u32 rank, u32 place);
void kvbm_order_unmark_up(struct kvbm_order *o, u32 rank, u32 place);
u32 kvbm_order_first_word(struct kvbm_order *o, u32 rank);
u32 kvbm_order_pop(struct kvbm_order *o, u32 rank);
void kvbm_order_mark_ranked(struct kvbm_order *o, u32 id, u32 place, bool last);
void kvbm_order_unmark_ranked(struct kvbm_order *o, u32 id, u32 place);
u32 kvbm_order_first_ranked(struct kvbm_order *o);
u32 kvbm_order_peek(struct kvbm_order *o, u32 rank, u32 *ids, u32 max);

static inline u32 kvbm_order_next(const struct kvbm_order *o, u32 place)
{
	return unlikely(++place == o->places) ? 0 : place;
}

/* Is no place marked with the rank? */
static inline bool kvbm_order_none(const struct kvbm_order *o, u32 rank)
{
	return !o->marks[rank][o->levels - 1][0];
}

/* The lowest kind of mark that there is; the highest if there is none. */
static __always_inline u32 kvbm_order_lowest(const struct kvbm_order *o)
{
	u32 rank = 0;

	while (rank < o->ranks - 1 && kvbm_order_none(o, rank))
		rank++;
	return rank;
}

/* The first marked place, or KVBM_NIL. */
static __always_inline u32 kvbm_order_first_place(struct kvbm_order *o, u32 rank)
{
	u32 word = o->first[rank];

	if (unlikely(!o->marks[rank][0][word])) {
		word = kvbm_order_first_word(o, rank);
		if (word == KVBM_NIL)
			return KVBM_NIL;
	}
	return word * 64 + __ffs64(o->marks[rank][0][word]);
}

/* The first slot marked with the rank, or KVBM_NIL. */
static __always_inline u32 kvbm_order_first(struct kvbm_order *o, u32 rank)
{
	u32 place = kvbm_order_first_place(o, rank);

	return place == KVBM_NIL ? KVBM_NIL : o->line[place];
}

/* Prefetch what leaving will touch; without the lock, a hint. */
static inline void kvbm_order_prefetch(const struct kvbm_store *st,
				       const struct kvbm_order *o,
				       const u32 *ids, u32 n)
{
	for (; n; n--, ids++) {
		u32 place = READ_ONCE(st->slots[*ids].place);

		if (place < o->places) {
			prefetchw(&o->line[place]);
			prefetchw(&o->marks[0][0][place / 64]);
		}
	}
}

/* Words from that of the head on, around the ring. */
static inline u32 kvbm_order_after_head(const struct kvbm_order *o, u32 word)
{
	u32 head = o->head / 64;

	return word - head + (word < head ? o->places / 64 : 0);
}

/* Mark the latest place: @first is not after it. */
static inline void kvbm_order_mark_last(struct kvbm_order *o, u32 rank,
					u32 place)
{
	u64 *word = &o->marks[rank][0][place / 64];
	u64 old = *word;

	*word = old | 1ULL << place % 64;
	if (unlikely(!old))
		kvbm_order_mark_up(o, rank, place / 64);
}

static inline void kvbm_order_mark(struct kvbm_order *o, u32 rank, u32 place)
{
	u32 word = place / 64;

	kvbm_order_mark_last(o, rank, place);
	/* Mostly the first one's: no need to look at the head. */
	if (word != o->first[rank] &&
	    kvbm_order_after_head(o, word) <
	    kvbm_order_after_head(o, o->first[rank]))
		o->first[rank] = word;
}

static inline void kvbm_order_unmark(struct kvbm_order *o, u32 rank, u32 place)
{
	u64 *word = &o->marks[rank][0][place / 64];

	*word &= ~(1ULL << place % 64);
	if (unlikely(!*word))
		kvbm_order_unmark_up(o, rank, place / 64);
}

/*
 * Marks for a policy with one list: of the block's rank, or of kind 0 without
 * ranks, which the compiler should know.
 */
static __always_inline void kvbm_order_mark_block(struct kvbm_order *o, u32 id,
						  u32 place)
{
	if (likely(!o->rank_of))
		kvbm_order_mark(o, 0, place);
	else
		kvbm_order_mark_ranked(o, id, place, false);
}

static __always_inline void
kvbm_order_mark_last_block(struct kvbm_order *o, u32 id, u32 place)
{
	if (likely(!o->rank_of))
		kvbm_order_mark_last(o, 0, place);
	else
		kvbm_order_mark_ranked(o, id, place, true);
}

static __always_inline void kvbm_order_unmark_block(struct kvbm_order *o,
						    u32 id, u32 place)
{
	if (likely(!o->rank_of))
		kvbm_order_unmark(o, 0, place);
	else
		kvbm_order_unmark_ranked(o, id, place);
}

/* The first slot of the lowest rank, or KVBM_NIL. */
static __always_inline u32 kvbm_order_first_block(struct kvbm_order *o)
{
	if (likely(!o->rank_of))
		return kvbm_order_first(o, 0);
	return kvbm_order_first_ranked(o);
}

/* A slot leaves; it is unmarked. */
static inline void kvbm_order_del(struct kvbm_store *st, struct kvbm_order *o,
				  u32 id)
{
	lockdep_assert_held(&st->lock);
	o->line[st->slots[id].place] = KVBM_NIL;
}

/* How far from the head a slot is, from 1 on; 0: it has no place. */
static inline u32 kvbm_order_of(const struct kvbm_store *st,
				const struct kvbm_order *o, u32 id)
{
	u32 place = st->slots[id].place;

	lockdep_assert_held(&st->lock);
	/* A slot that left may have any value there. */
	if (place >= o->places || o->line[place] != id)
		return 0;
	return place - o->head + (place < o->head ? o->places : 0) + 1;
}

/* Before an arrival: is there something to tidy? */
static inline bool kvbm_order_untidy(const struct kvbm_order *o)
{
	return unlikely(o->span >= o->tidy_at);
}

/* Append an unmarked slot, with nothing to tidy; returns its place. */
static inline u32 kvbm_order_add_tidy(struct kvbm_store *st,
				      struct kvbm_order *o, u32 id)
{
	u32 place;

	lockdep_assert_held(&st->lock);
	place = o->tail;
	o->tail = kvbm_order_next(o, place);
	o->span++;
	WRITE_ONCE(st->slots[id].place, place);
	o->line[place] = id;
	return place;
}

/* The same in all cases. */
static inline u32 kvbm_order_add(struct kvbm_store *st, struct kvbm_order *o,
				 u32 id)
{
	if (kvbm_order_untidy(o))
		kvbm_order_tidy(st, o);
	return kvbm_order_add_tidy(st, o, id);
}

#endif /* KVBM_ORDER_H */
