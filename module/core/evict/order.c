// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * order.c - slots in order of arrival, some of them marked; first marked, O(1)
 *
 * Arrivals take the next place of a ring of some 1.7 * total.  If the first
 * ones leave first, the head just follows the tail, now and then by some
 * places.  Others leave holes.  Before the tail comes near the head, these are
 * closed by sliding: each arrival moves up to SLIDE_STEPS entries towards the
 * head.  If this begins with span places in use, it catches up with the tail
 * after span / 7 arrivals; so it begins at seven eighths of the places.  Then
 * at most total places are in use.
 *
 * The tail never enters the head's word of marks: the first slot is at the
 * first mark from there on, around the ring.
 *
 * All under the store's lock.
 */
#include <linux/bitops.h>
#include <linux/prefetch.h>
#include "order.h"
#include "retain.h"

#define SLIDE_STEPS	8
#define SLIDE_AHEAD	24	/* entries to prefetch ahead */

#define TIDY_EVERY	32	/* arrivals */
#define HEAD_STEPS	(2 * TIDY_EVERY)

/* The span at which sliding begins. */
static u32 slide_start(const struct kvbm_order *o)
{
	return (o->places - 64) / 8 * 7 - 8;
}

static u32 places_of(u32 total)
{
	return round_up(2 * total - total / 4 - total / 32 + 192, 64);
}

/* Words for the marks of one rank, and the number of levels. */
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

/* Kinds of mark: with retention, each list has one for every rank. */
static u32 ranks_of(const struct kvbm_config *cfg, u32 lists)
{
	return cfg->keep_blocks ? KVBM_RANKS * lists : lists;
}

/* The most bytes that kvbm_order_init() allocates. */
u64 kvbm_order_need(const struct kvbm_config *cfg, u32 lists)
{
	u32 levels, places = places_of(cfg->total);
	u32 ranks = ranks_of(cfg, lists);

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
 * kvbm_order_init() - create an order
 * @st: the store
 * @o: zeroed
 * @lists: kinds of mark that the policy needs
 *
 * Return: 0 or -ENOMEM; kvbm_order_exit() is due in both cases.
 */
int kvbm_order_init(struct kvbm_store *st, struct kvbm_order *o, u32 lists)
{
	u32 rank, ranks = ranks_of(&st->cfg, lists);

	BUILD_BUG_ON(KVBM_RANKS * KVBM_ORDER_LISTS > KVBM_ORDER_RANKS);

	o->places = places_of(st->cfg.total);
	o->tidy_at = TIDY_EVERY;
	o->ranks = ranks;
	o->rank_of = st->retention ? st->retention->rank : NULL;
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

/* A word of level 0 got its first mark, or lost its last. */
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

static u32 next_word(const struct kvbm_order *o, u32 word)
{
	return ++word == o->places / 64 ? 0 : word;
}

/* The head skips empty places. */
static void follow(struct kvbm_order *o)
{
	u32 head = o->head, word = head / 64, rank;
	u32 n, most = min(o->span, HEAD_STEPS);

	for (n = 0; n < most && o->line[head] == KVBM_NIL; n++)
		head = kvbm_order_next(o, head);
	o->head = head;
	o->span -= n;
	/* Words that it leaves become the last ones; at most two. */
	for (; word != head / 64; word = next_word(o, word))
		for (rank = 0; rank < o->ranks; rank++)
			if (o->first[rank] == word)
				o->first[rank] = next_word(o, word);
}

/* Close some holes. */
static void slide(struct kvbm_store *st, struct kvbm_order *o)
{
	u32 steps = SLIDE_STEPS;
	u32 rank;

	if (!o->sliding) {
		o->sliding = true;
		o->tidy_at = 0;
		o->from = o->head;
		o->left = o->span + 1;	/* with the one that arrives */
		o->to = o->head;
		return;
	}
	for (; steps && o->left; steps--) {
		u32 from = o->from, id = o->line[from];
		u32 ahead = from + SLIDE_AHEAD;

		if (ahead < o->places && o->left > SLIDE_AHEAD &&
		    o->line[ahead] != KVBM_NIL)
			prefetchw(&st->slots[o->line[ahead]]);
		o->from = kvbm_order_next(o, from);
		o->left--;
		if (id == KVBM_NIL)
			continue;
		if (o->to != from) {
			o->line[o->to] = id;
			WRITE_ONCE(st->slots[id].place, o->to);
			o->line[from] = KVBM_NIL;
			for (rank = 0; rank < o->ranks; rank++) {
				if (!marked(o, rank, from))
					continue;
				kvbm_order_unmark(o, rank, from);
				kvbm_order_mark(o, rank, o->to);
				break;
			}
		}
		o->to = kvbm_order_next(o, o->to);
	}
	if (!o->left) {
		o->tail = o->to;
		o->span = o->tail - o->head +
			  (o->tail < o->head ? o->places : 0);
		o->tidy_at = o->span + TIDY_EVERY;
		o->sliding = false;
		/* None may be after the tail. */
		for (rank = 0; rank < o->ranks; rank++)
			o->first[rank] = o->head / 64;
		return;
	}
	o->left++;	/* the one that arrives */
}

/* Before an arrival: skip empty places at the head; are most still in use? */
void kvbm_order_tidy(struct kvbm_store *st, struct kvbm_order *o)
{
	lockdep_assert_held(&st->lock);
	if (!o->sliding) {
		follow(o);
		o->tidy_at = min(o->span + TIDY_EVERY, slide_start(o));
		if (o->span < o->tidy_at)
			return;
	}
	slide(st, o);
}

/* The first word from @word to the end that has a mark, or KVBM_NIL. */
static u32 marked_word(const struct kvbm_order *o, u32 rank, u32 word)
{
	u32 words = o->places / 64;
	u32 l = 0;

	/* Up to a summary with a mark, ... */
	for (;; word++) {
		u64 later;

		if (word >= words || ++l == o->levels)
			return KVBM_NIL;
		later = o->marks[rank][l][word / 64] >> word % 64 << word % 64;
		if (later) {
			word = word / 64 * 64 + __ffs64(later);
			break;
		}
		word /= 64;
		words = DIV_ROUND_UP(words, 64);
	}
	/* ... and down to it. */
	while (--l)
		word = word * 64 + __ffs64(o->marks[rank][l][word]);
	return word;
}

/* The first word has no mark any more: find the next one that has. */
u32 kvbm_order_first_word(struct kvbm_order *o, u32 rank)
{
	u32 word;

	if (kvbm_order_none(o, rank))
		return KVBM_NIL;
	word = marked_word(o, rank, o->head / 64);
	if (word == KVBM_NIL)
		word = marked_word(o, rank, 0);
	o->first[rank] = word;
	return word;
}

/* The rare part of kvbm_order_pop(): split off to save registers there. */
static noinline u32 pop_last(struct kvbm_order *o, u32 rank, u32 word, u32 id)
{
	kvbm_order_unmark_up(o, rank, word);
	return id;
}

static noinline u32 pop_next(struct kvbm_order *o, u32 rank)
{
	kvbm_order_first_word(o, rank);
	return kvbm_order_pop(o, rank);
}

/* Take out the first slot marked with the rank; there is one. */
u32 kvbm_order_pop(struct kvbm_order *o, u32 rank)
{
	u32 word = o->first[rank], id, place;
	u64 *marks = &o->marks[rank][0][word];
	u64 old = *marks;

	if (unlikely(!old))
		return pop_next(o, rank);
	place = word * 64 + __ffs64(old);
	id = o->line[place];
	o->line[place] = KVBM_NIL;
	old &= old - 1;
	*marks = old;
	return likely(old) ? id : pop_last(o, rank, word, id);
}

/* If blocks have ranks, the mark has the rank. */
void kvbm_order_mark_ranked(struct kvbm_order *o, u32 id, u32 place, bool last)
{
	if (last)
		kvbm_order_mark_last(o, o->rank_of[id], place);
	else
		kvbm_order_mark(o, o->rank_of[id], place);
}

void kvbm_order_unmark_ranked(struct kvbm_order *o, u32 id, u32 place)
{
	kvbm_order_unmark(o, o->rank_of[id], place);
}

u32 kvbm_order_first_ranked(struct kvbm_order *o)
{
	return kvbm_order_first(o, kvbm_order_lowest(o));
}

/**
 * kvbm_order_peek() - the first slot, and those behind it
 * @o: the order
 * @rank: of the first
 * @ids: array of @max
 * @max: how many to look for
 *
 * Returns slots behind the first marked place, marked or not: a hint for
 * prefetching.
 *
 * Return: how many.
 */
u32 kvbm_order_peek(struct kvbm_order *o, u32 rank, u32 *ids, u32 max)
{
	u32 place = kvbm_order_first_place(o, rank), n = 0, looks = 2 * max;

	if (place == KVBM_NIL)
		return 0;
	for (; place != o->tail && n < max && looks--;
	     place = kvbm_order_next(o, place))
		if (o->line[place] != KVBM_NIL)
			ids[n++] = o->line[place];
	return n;
}
