/* SPDX-License-Identifier: MIT */
/*
 * walk.h - is a store that nobody uses at the moment consistent?
 *
 * Walks all slots, the free list, the hash table, the sessions' hold tables and
 * the eviction index, and compares what each says with the others. Ends the
 * process at the first difference. Slow (quadratic in places): for small
 * stores.
 *
 * The lineage index's source is included, not linked, so that its private
 * structures can be seen; the linker then leaves the library's copy out.
 */
#ifndef FUZZ_WALK_H
#define FUZZ_WALK_H

#include <stdio.h>
#include <stdlib.h>
#include <linux/kernel.h>
#include "index.h"
#include "note.h"
#include "lineage.c"
#include "retain.h"
#include "host.h"

#define WALK_CHECK(cond, fmt, ...) do {					\
	if (!(cond)) {							\
		fprintf(stderr, "%s:%d: %s: " fmt "\n", __FILE__,	\
			__LINE__, #cond, ##__VA_ARGS__);		\
		abort();						\
	}								\
} while (0)

/* How many slots are in each state; inactive ones apart from primary. */
struct walk_counts {
	u32 state[KVBM_STATE_FORGOTTEN + 1];
};

static inline enum kvbm_state walk_state(const struct kvbm_slot *s)
{
	u64 w = kvbm_slot_word(s);

	if (kvbm_w_state(w) == KVBM_STATE_PRIMARY && !kvbm_w_refs(w))
		return KVBM_STATE_INACTIVE;
	return kvbm_w_state(w);
}

static void walk_free(struct kvbm_store *st)
{
	u32 id = st->free.head, n;

	for (n = 0; n < st->free.len; n++) {
		WALK_CHECK(id < st->cfg.total, "free entry %u is %u", n, id);
		WALK_CHECK(walk_state(&st->slots[id]) == KVBM_STATE_RESET,
			   "free block %u is in state %u", id,
			   walk_state(&st->slots[id]));
		if (n + 1 == st->free.len)
			WALK_CHECK(st->free.tail == id, "tail %u, last %u",
				   st->free.tail, id);
		id = st->slots[id].next;
	}
	WALK_CHECK(!st->free.len || id == KVBM_NIL, "longer than it says");
}

/* Duplicates of a Primary that a session holds. */
static u32 walk_kept(const struct kvbm_session *ses, u32 primary)
{
	const struct kvbm_store *st = ses->store;
	u32 id, n = 0;

	for (id = 0; id < st->cfg.total; id++) {
		const u32 *cnt = kvbm_count(ses, id);

		n += cnt && *cnt &&
		     walk_state(&st->slots[id]) == KVBM_STATE_DUPLICATE &&
		     st->slots[id].child == primary;
	}
	return n;
}

/* Words against hold tables. */
static void walk_refs(struct kvbm_store *st)
{
	struct kvbm_session *ses;
	u32 id, held = 0, lingering = 0;
	u32 *keeps = calloc(st->cfg.total, sizeof(*keeps));

	for (id = 0; id < st->cfg.total; id++) {
		if (walk_state(&st->slots[id]) != KVBM_STATE_DUPLICATE)
			continue;
		WALK_CHECK(st->slots[id].child < st->cfg.total,
			   "Duplicate %u keeps %u alive", id,
			   st->slots[id].child);
		keeps[st->slots[id].child]++;
	}
	for (id = 0; id < st->cfg.total; id++) {
		enum kvbm_state state = walk_state(&st->slots[id]);
		u32 refs = kvbm_w_refs(kvbm_slot_word(&st->slots[id]));
		u32 holders = 0, owners = 0, dups = keeps[id];
		enum kvbm_state kept;

		list_for_each_entry(ses, &st->sessions, link) {
			u32 *cnt = kvbm_count(ses, id);

			if (!cnt || !*cnt)
				continue;
			if (*cnt == KVBM_COUNT_OWNED) {
				owners++;
				continue;
			}
			WALK_CHECK(!(*cnt & KVBM_COUNT_COPY) ==
				   (state != KVBM_STATE_DUPLICATE),
				   "block %u state %u: count %x", id, state,
				   *cnt);
			WALK_CHECK((*cnt & KVBM_COUNT_KEPT_MASK) /
				   KVBM_COUNT_KEPT == walk_kept(ses, id),
				   "block %u: count %x, %u Duplicates", id,
				   *cnt, walk_kept(ses, id));
			holders += !!kvbm_count_holds(*cnt);
		}
		held += state != KVBM_STATE_RESET &&
			state != KVBM_STATE_INACTIVE &&
			state != KVBM_STATE_LINGERING;
		lingering += state == KVBM_STATE_LINGERING;
		switch (state) {
		case KVBM_STATE_MUTABLE:
		case KVBM_STATE_STAGED:
			WALK_CHECK(owners == 1 && !holders && !refs && !dups,
				   "block %u state %u: %u owners, %u holders, %u refs, %u dups",
				   id, state, owners, holders, refs, dups);
			break;
		case KVBM_STATE_RESET:
		case KVBM_STATE_LINGERING:
			WALK_CHECK(!owners && !holders && !refs && !dups,
				   "Reset block %u: %u owners, %u holders, %u refs, %u dups",
				   id, owners, holders, refs, dups);
			break;
		case KVBM_STATE_FORGOTTEN:
			WALK_CHECK(refs, "forgotten block %u is idle", id);
			fallthrough;
		case KVBM_STATE_PRIMARY:
		case KVBM_STATE_INACTIVE:
			WALK_CHECK(!owners && refs == holders + dups,
				   "block %u: %u refs, %u holders, %u dups, %u owners",
				   id, refs, holders, dups, owners);
			break;
		case KVBM_STATE_DUPLICATE:
			WALK_CHECK(!owners && !dups && refs == holders && refs,
				   "Duplicate %u: %u refs, %u holders", id,
				   refs, holders);
			kept = walk_state(&st->slots[st->slots[id].child]);
			WALK_CHECK(kept == KVBM_STATE_PRIMARY ||
				   kept == KVBM_STATE_FORGOTTEN,
				   "Duplicate %u keeps %u alive", id,
				   st->slots[id].child);
			WALK_CHECK(kvbm_slot_is(&st->slots[id],
						&st->slots[st->slots[id].child].key),
				   "Duplicate %u has another key", id);
			break;
		}
	}
	WALK_CHECK(st->nr_held == held && st->nr_lingering == lingering,
		   "%u held, %u lingering: store says %u, %u", held, lingering,
		   st->nr_held, st->nr_lingering);
	free(keeps);
}

/* A session's sums against its table. */
static void walk_session(struct kvbm_store *st, struct kvbm_session *ses)
{
	u32 id, held = 0, owned = 0, staged = 0;
	u64 holds = 0;

	for (id = 0; id < st->cfg.total; id++) {
		u32 *cnt = kvbm_count(ses, id);

		if (!cnt || !*cnt)
			continue;
		held++;
		if (*cnt == KVBM_COUNT_OWNED) {
			owned++;
			staged += walk_state(&st->slots[id]) ==
				  KVBM_STATE_STAGED;
		} else {
			holds += kvbm_count_holds(*cnt);
		}
		/* What a Duplicate keeps alive is counted, held or not. */
		if (walk_state(&st->slots[id]) == KVBM_STATE_DUPLICATE)
			WALK_CHECK(*kvbm_count(ses, st->slots[id].child) >=
				   KVBM_COUNT_KEPT, "Duplicate %u", id);
	}
	WALK_CHECK(ses->held == held && ses->owned == owned &&
		   ses->staged == staged && ses->holds == holds,
		   "session %llu says held %u owned %u staged %u holds %llu, has %u %u %u %llu",
		   (unsigned long long)ses->number, ses->held, ses->owned,
		   ses->staged, (unsigned long long)ses->holds, held, owned,
		   staged, (unsigned long long)holds);
	WALK_CHECK(!ses->allocating && !ses->reserved && list_empty(&ses->allocs) &&
		   !ses->nr_queued && !ses->nr_parked, "session takes %u",
		   ses->allocating);
	WALK_CHECK(ses->held <= ses->max_held, "%u held, limit %u", ses->held,
		   ses->max_held);
}

/* Lines have as many entries, and count as much that went further, as there is. */
static void walk_lines(struct kvbm_store *st, u32 in_lines, u32 second,
		       u32 over)
{
	u32 i, used = 0, counted = 0;

	for (i = 0; i < st->index.nr_lines; i++) {
		const struct kvbm_line *l = &st->index.lines[i];
		u32 n = l->rest >> KVBM_REST_COUNT_SHIFT;

		used += 12 - hweight64(kvbm_index_equal(l->tags, 0)) -
			hweight64(kvbm_index_equal_rest(l->rest, 0));
		counted += n;
		WALK_CHECK(!n == !(l->rest & KVBM_REST_FILTER),
			   "line %u: %u overflowed, filter %llx", i, n,
			   (unsigned long long)l->rest);
	}
	WALK_CHECK(used == in_lines, "%u entries, %u blocks", used, in_lines);
	WALK_CHECK(counted == second + over && st->overflow.used == over,
		   "%u counted that went further, %u nodes, %u + %u blocks",
		   counted, st->overflow.used, second, over);
}

/* The index finds every Primary, so that no hash has two. */
static void walk_index(struct kvbm_store *st, const struct walk_counts *c)
{
	u32 id, in_lines = 0, second = 0, over = 0;

	for (id = 0; id < st->cfg.total; id++) {
		const struct kvbm_slot *s = &st->slots[id];
		enum kvbm_state state = walk_state(s);
		struct kvbm_slot *found;

		if (state != KVBM_STATE_PRIMARY &&
		    state != KVBM_STATE_INACTIVE)
			continue;
		found = kvbm_index_lookup(st, &s->key);
		WALK_CHECK(found == s, "block %u: its hash leads to %ld", id,
			   found ? (long)kvbm_slot_id(st, found) : -1L);
		WALK_CHECK(s->hash == kvbm_index_key(st, &s->key),
			   "block %u: hash %x", id, s->hash);
		if (s->at & KVBM_AT_OVER) {
			over++;
			continue;
		}
		in_lines++;
		second += !!(s->at & KVBM_AT_SECOND);
	}
	WALK_CHECK(st->nr_registered == c->state[KVBM_STATE_PRIMARY] +
		   c->state[KVBM_STATE_INACTIVE], "%u registered, %u + %u",
		   st->nr_registered, c->state[KVBM_STATE_PRIMARY],
		   c->state[KVBM_STATE_INACTIVE]);
	walk_lines(st, in_lines, second, over);
}

/*
 * Who has a place in the line, and which mark; KVBM_ORDER_RANKS: none. Lists
 * and tick order: all idle blocks have a place; lineage marks the leaves. Fifo
 * order: only leaves have a place.
 */
static bool walk_placed(struct kvbm_store *st, u32 id, u32 *rank)
{
	struct kvbm_slot *s = &st->slots[id];
	bool idle = walk_state(s) == KVBM_STATE_INACTIVE;

	u32 lists = st->cfg.policy->has_thresholds ? KVBM_ORDER_LISTS : 1;

	*rank = st->retention ? st->retention->rank[id] * lists : 0;
	if (!st->cfg.policy->forget) {
		if (lists > 1)
			*rank += s->rank % lists;
		return idle;
	}
	*rank = has_child(s) ? KVBM_ORDER_RANKS : *rank;
	return idle && (((struct lineage *)st->evict)->tick ||
			*rank != KVBM_ORDER_RANKS);
}

static void walk_order(struct kvbm_store *st, const struct kvbm_order *o)
{
	u32 place, id, l, i, r, rank, n = 0, placed = 0;
	u32 end = o->head + o->span;
	u64 words;

	WALK_CHECK(o->span <= o->places - 64 && end % o->places == o->tail,
		   "head %u, span %u, tail %u", o->head, o->span, o->tail);
	for (place = 0; place < o->places; place++) {
		u32 found = KVBM_ORDER_RANKS, marks = 0;

		for (r = 0; r < o->ranks; r++) {
			if (o->marks[r][0][place / 64] >> place % 64 & 1) {
				found = r;
				marks++;
			}
		}
		/* Where it is, counted from the ring's start. */
		i = place < o->head ? place + o->places : place;
		if (i >= end || o->line[place] == KVBM_NIL) {
			WALK_CHECK(!marks, "mark at empty place %u", place);
			continue;
		}
		if (o->sliding)
			WALK_CHECK(i >= end - o->left || i < o->head +
				   (o->to + o->places - o->head) % o->places,
				   "place %u left behind", place);
		for (r = 0; r < o->ranks; r++)
			if (o->marks[r][0][place / 64] >> place % 64 & 1)
				WALK_CHECK(kvbm_order_after_head(o, place / 64) >=
					   kvbm_order_after_head(o, o->first[r]),
					   "place %u is before the first", place);
		id = o->line[place];
		WALK_CHECK(id < st->cfg.total && st->slots[id].place == place,
			   "place %u has block %u", place, id);
		WALK_CHECK(walk_placed(st, id, &rank),
			   "block %u in the order is in state %u", id,
			   walk_state(&st->slots[id]));
		WALK_CHECK(marks <= 1 && found == rank,
			   "block %u: %u marks, %u, should be %u", id, marks,
			   found, rank);
		n++;
	}
	for (id = 0; id < st->cfg.total; id++)
		placed += walk_placed(st, id, &rank);
	WALK_CHECK(n == placed, "%u in the order, not %u", n, placed);
	for (r = 0; r < o->ranks; r++) {
		words = DIV_ROUND_UP_ULL(o->places, 64);
		for (l = 1; l < o->levels; l++) {
			for (i = 0; i < words; i++)
				WALK_CHECK(!!o->marks[r][l - 1][i] ==
					   (o->marks[r][l][i / 64] >> i % 64 &
					    1), "rank %u level %u word %u", r,
					   l, i);
			words = DIV_ROUND_UP_ULL(words, 64);
		}
	}
}

/* Ranks, the times at which they end, and who is charged. */
static void walk_retention(struct kvbm_store *st)
{
	u32 id, i, blocks[KVBM_RANKS] = {}, timed = 0, raised = 0, sum = 0;
	struct kvbm_retention *r = st->retention;
	struct kvbm_session *ses;
	struct rb_node *node;

	for (id = 0; id < st->cfg.total; id++) {
		enum kvbm_state state = walk_state(&st->slots[id]);
		u32 at = r->timed_at[id];

		WALK_CHECK(r->rank[id] < KVBM_RANKS, "block %u", id);
		blocks[r->rank[id]]++;
		if (r->rank[id] != KVBM_RANK_NORMAL)
			WALK_CHECK(state == KVBM_STATE_PRIMARY ||
				   state == KVBM_STATE_INACTIVE,
				   "block %u in state %u has rank %u", id, state,
				   r->rank[id]);
		WALK_CHECK(!r->payer[id] ==
			   (r->rank[id] <= KVBM_RANK_NORMAL),
			   "block %u of rank %u", id, r->rank[id]);
		raised += !!r->payer[id];
		if (at == KVBM_NIL)
			continue;
		timed++;
		WALK_CHECK(r->rank[id] != KVBM_RANK_NORMAL, "block %u", id);
		WALK_CHECK(at < r->nr_timed &&
			   (r->timed[at] & (BIT_ULL(24) - 1)) == id,
			   "block %u: time at %u", id, at);
	}
	WALK_CHECK(timed == r->nr_timed && raised == r->raised,
		   "%u timed, %u raised", timed, raised);
	for (i = 1; i < r->nr_timed; i++)
		WALK_CHECK(r->timed[(i - 1) / 4] < r->timed[i], "time %u", i);
	for (i = 0; i < KVBM_RANKS; i++)
		WALK_CHECK(blocks[i] == r->blocks[i], "rank %u: %u, not %u", i,
			   blocks[i], r->blocks[i]);
	WALK_CHECK(raised <= st->cfg.keep_blocks, "%u raised", raised);
	for (node = rb_first(&r->keepers); node; node = rb_next(node))
		sum++;
	list_for_each_entry(ses, &st->sessions, link)
		WALK_CHECK(ses->keeper, "session %llu",
			   (unsigned long long)ses->number);
	WALK_CHECK(sum <= st->nr_listed + raised, "%u accounts", sum);
}

/* Who is in the forest is who should be. */
static void walk_members(struct kvbm_store *st)
{
	u32 id;

	for (id = 0; id < st->cfg.total; id++) {
		struct kvbm_slot *s = &st->slots[id];

		switch (walk_state(s)) {
		case KVBM_STATE_INACTIVE:
			WALK_CHECK(!(~s->flags &
				     (LIN_IN | LIN_IDLE | LIN_LINKED)),
				   "idle block %u has flags %x", id, s->flags);
			break;
		case KVBM_STATE_PRIMARY:
			WALK_CHECK(!s->flags ||
				   ((s->flags & LIN_IN) &&
				    !(s->flags & (LIN_IDLE | LIN_TWIN)) &&
				    !(s->flags & LIN_FIRST &&
				      !(s->flags & LIN_LINKED))),
				   "held block %u has flags %x", id, s->flags);
			break;
		default:
			WALK_CHECK(!(s->flags & LIN_IN),
				   "block %u in state %u has flags %x", id,
				   walk_state(s), s->flags);
		}
	}
}

static u32 walk_find(struct kvbm_store *st, u64 key)
{
	struct lineage *ln = st->evict;

	return kvbm_family_find(st, &ln->families, key,
				kvbm_family_hash(&ln->families, key));
}

/* An entry of the family table, wherever it was found: true for an OWN one. */
static bool walk_entry(struct kvbm_store *st, u32 e, u32 place)
{
	struct lineage *ln = st->evict;
	struct kvbm_slot *s;

	WALK_CHECK(FAMILY_ID(e) < st->cfg.total, "entry %x", e);
	s = &st->slots[FAMILY_ID(e)];
	WALK_CHECK(s->flags & LIN_IN, "entry %x is out", e);
	if (FAMILY_IS_PARENT(e))
		WALK_CHECK(has_parent(s) && s->flags & LIN_FIRST &&
			   s->flags & LIN_ANCHOR, "entry %x has flags %x", e,
			   s->flags);
	else
		WALK_CHECK(!(s->flags & LIN_TWIN), "twin %x has an entry", e);
	WALK_CHECK(place == KVBM_NIL || *kvbm_family_place(st, e) == place,
		   "entry %x: place %x, not %x", e, *kvbm_family_place(st, e),
		   place);
	WALK_CHECK(walk_find(st, kvbm_family_key(st, e)) == e,
		   "entry %x is not the only one", e);
	if (place != KVBM_NIL)
		WALK_CHECK(kvbm_family_hash(&ln->families,
					    kvbm_family_key(st, e)).line ==
			   place >> FAMILY_LINE_SHIFT, "entry %x: place %x", e,
			   place);
	return !FAMILY_IS_PARENT(e);
}

/* The family table: right places, each key once, what overflowed counted. */
static void walk_families(struct kvbm_store *st)
{
	struct lineage *ln = st->evict;
	struct kvbm_families *f = &ln->families;
	u32 own = 0, carriers = 0, at, i, id, e, n = 0;
	u32 *chained = calloc(f->nr_lines, sizeof(*chained));
	struct kvbm_family_hash h;

	for (i = 0; i < f->nr_heads; i++) {
		for (e = f->heads[i]; e != FAMILY_END;
		     e = *kvbm_family_place(st, e) & FAMILY_END) {
			WALK_CHECK(n++ < 2 * st->cfg.total, "a chain of %u", i);
			own += walk_entry(st, e, KVBM_NIL);
			WALK_CHECK(*kvbm_family_place(st, e) & FAMILY_CHAINED,
				   "entry %x in chain %u", e, i);
			h = kvbm_family_hash(f, kvbm_family_key(st, e));
			chained[h.line]++;
			WALK_CHECK(f->lines[h.line].chained &
				   FAMILY_FILTER(h.tag), "entry %x", e);
		}
	}
	for (i = 0; i < f->nr_lines; i++) {
		struct kvbm_family_line *l = &f->lines[i];

		WALK_CHECK((l->chained & FAMILY_COUNT) == chained[i] &&
			   !l->chained == !chained[i],
			   "line %u: %x, %u chained", i, l->chained, chained[i]);
		for (at = 0; at < FAMILY_WIDTH; at++)
			if (l->tag[at])
				own += walk_entry(st, l->entry[at] & FAMILY_END,
						  i << FAMILY_LINE_SHIFT | at);
	}
	free(chained);
	for (id = 0; id < st->cfg.total; id++)
		carriers += (st->slots[id].flags & (LIN_IN | LIN_TWIN)) ==
			    LIN_IN;
	WALK_CHECK(own == carriers, "%u entries, %u carriers", own, carriers);
}

/* Who hangs with block @id under the same key: all in its ring. */
static void walk_siblings(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 other, e, members = 0, firsts = 0, n = 0, family = 0;

	if (!has_parent(s) || !(s->flags & LIN_LINKED)) {
		WALK_CHECK(!(s->flags & (LIN_FIRST | LIN_ANCHOR)),
			   "%u without a family is a first", id);
		return;
	}
	other = id;
	do {
		struct kvbm_slot *o = &st->slots[other];

		WALK_CHECK(n++ < st->cfg.total, "ring of %u does not end", id);
		WALK_CHECK(o->flags & LIN_LINKED && has_parent(o) &&
			   kvbm_parent_key(&o->key) == kvbm_parent_key(&s->key),
			   "%u is in the ring of %u", other, id);
		WALK_CHECK(st->slots[o->sib_next].sib_prev == other,
			   "ring of %u breaks after %u", id, other);
		members++;
		if (o->flags & LIN_FIRST) {
			firsts++;
			e = walk_find(st, kvbm_parent_key(&s->key));
			WALK_CHECK(e != KVBM_NIL, "no family of %u", id);
			if (FAMILY_IS_PARENT(e))
				WALK_CHECK(FAMILY_ID(e) == other,
					   "family of %u is reached by %x",
					   other, e);
			else
				WALK_CHECK(st->slots[FAMILY_ID(e)].child ==
					   other &&
					   has_child(&st->slots[FAMILY_ID(e)]),
					   "parent %u does not have %u",
					   FAMILY_ID(e), other);
		}
		other = o->sib_next;
	} while (other != id);
	WALK_CHECK(firsts == 1, "ring of %u has %u firsts", id, firsts);
	for (other = 0; other < st->cfg.total; other++) {
		struct kvbm_slot *o = &st->slots[other];

		family += o->flags & LIN_LINKED && has_parent(o) &&
			  kvbm_parent_key(&o->key) == kvbm_parent_key(&s->key);
	}
	WALK_CHECK(family == members, "family of %u: %u, in the ring %u", id,
		   family, members);
}

/* Twins of a carrier, by age, and no others. */
static void walk_twins(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 other, ring = 0, all = 0;

	for (other = 0; other < st->cfg.total; other++) {
		struct kvbm_slot *o = &st->slots[other];

		all += (o->flags & (LIN_IN | LIN_TWIN)) ==
		       (LIN_IN | LIN_TWIN) &&
		       kvbm_own_key(&o->key) == kvbm_own_key(&s->key);
	}
	if (s->twin != KVBM_NIL) {
		other = s->twin;
		do {
			struct kvbm_slot *o = &st->slots[other];

			WALK_CHECK(ring++ < st->cfg.total,
				   "twins of %u do not end", id);
			WALK_CHECK(!(~o->flags &
				     (LIN_IN | LIN_TWIN | LIN_IDLE)) &&
				   kvbm_own_key(&o->key) == kvbm_own_key(&s->key),
				   "%u is a twin of %u", other, id);
			WALK_CHECK(st->slots[o->own_entry].child == other,
				   "twins of %u break after %u", id, other);
			other = o->own_entry;
		} while (other != s->twin);
	}
	WALK_CHECK(ring == all, "%u twins of %u, %u in the ring", all, id,
		   ring);
}

/* Placeholders without children are on the list, and no others. */
static void walk_fading(struct kvbm_store *st)
{
	struct lineage *ln = st->evict;
	u32 id, prev = KVBM_NIL, listed = 0, all = 0;

	for (id = ln->prunable; id != KVBM_NIL; id = st->slots[id].next) {
		WALK_CHECK(id < st->cfg.total && listed++ < st->cfg.total,
			   "%u is prunable", id);
		WALK_CHECK(is_prunable(&st->slots[id]), "%u is prunable, flags %x", id,
			   st->slots[id].flags);
		WALK_CHECK(st->slots[id].place == prev, "%u is prunable after %u, not %u",
			   id, prev, st->slots[id].place);
		prev = id;
	}
	for (id = 0; id < st->cfg.total; id++)
		all += is_prunable(&st->slots[id]);
	WALK_CHECK(listed == all, "%u fade, %u listed", all, listed);
	WALK_CHECK(st->pruning == KVBM_NIL, "%u is nobody's", st->pruning);
}

static void walk_lineage(struct kvbm_store *st)
{
	struct lineage *ln = st->evict;
	u32 id;

	walk_fading(st);
	walk_members(st);
	walk_families(st);
	for (id = 0; id < st->cfg.total; id++) {
		struct kvbm_slot *s = &st->slots[id];

		if (!(s->flags & LIN_IN))
			continue;
		walk_siblings(st, id);
		if (!(s->flags & LIN_TWIN))
			walk_twins(st, id);
		if (has_child(s)) {
			struct kvbm_slot *c = &st->slots[s->child];

			WALK_CHECK(c->flags & LIN_IN && c->flags & LIN_FIRST &&
				   has_parent(c) &&
				   kvbm_parent_key(&c->key) == kvbm_own_key(&s->key),
				   "%u is the child of %u", s->child, id);
		}
	}
	walk_order(st, &ln->order);
	WALK_CHECK(!st->nr_inactive || ln->prunable != KVBM_NIL ||
		   !kvbm_order_none(&ln->order, kvbm_order_lowest(&ln->order)),
		   "%u idle, no leaf",
		   st->nr_inactive);
}

static inline u64 walk_mix(u64 z)
{
	z = (z + 1) * 0x9e3779b97f4a7c15ULL;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* A note by which can be told what hash it is of, and if it is whole. */
static inline void walk_note(const struct kvbm_store *st,
			     const struct kvbm_hash *key, u64 nonce, u64 *words)
{
	u32 i;

	for (i = 0; i < kvbm_note_words(st->cfg.note_bytes); i++)
		words[i] = i ? walk_mix(nonce ^ key->hi ^ key->lo ^ i) : nonce;
}

/* Is it the note of the hash, or none? */
static inline bool walk_is_note(const struct kvbm_store *st,
				const struct kvbm_hash *key, const u64 *words)
{
	u64 want[KVBM_NOTE_WORDS] = {};

	if (words[0])
		walk_note(st, key, words[0], want);
	return !memcmp(words, want, kvbm_note_words(st->cfg.note_bytes) *
		       sizeof(*words));
}

/* What has no note shows none in its next life, either. */
static inline void walk_notes(struct kvbm_store *st)
{
	u64 words[KVBM_NOTE_WORDS];
	u32 id;

	for (id = 0; st->notes && id < st->cfg.total; id++) {
		const struct kvbm_slot *s = &st->slots[id];
		struct kvbm_hash key = {};

		if (walk_state(s) == KVBM_STATE_DUPLICATE ||
		    (walk_state(s) == KVBM_STATE_STAGED &&
		     s->place == KVBM_NOTE_GIVEN))
			continue;
		if (walk_state(s) == KVBM_STATE_PRIMARY ||
		    walk_state(s) == KVBM_STATE_INACTIVE ||
		    walk_state(s) == KVBM_STATE_FORGOTTEN)
			key = s->key;
		spin_lock(&st->lock);
		kvbm_note_read_locked(st, id, words);
		spin_unlock(&st->lock);
		WALK_CHECK(walk_is_note(st, &key, words),
			   "block %u in state %u has another's note", id,
			   walk_state(s));
		WALK_CHECK(key.hi || key.lo || !words[0],
			   "block %u in state %u has a note", id,
			   walk_state(s));
	}
}

/* All of it. Nobody else may touch the store meanwhile. */
static inline void walk_store(struct kvbm_store *st, struct walk_counts *c)
{
	struct kvbm_session *ses;
	u32 id, sessions = 0, counted = 0;

	memset(c, 0, sizeof(*c));
	for (id = 0; id < st->cfg.total; id++) {
		u64 w = kvbm_slot_word(&st->slots[id]);

		WALK_CHECK(kvbm_w_state(w) <= KVBM_STATE_DUPLICATE,
			   "block %u in state %u", id, kvbm_w_state(w));
		c->state[walk_state(&st->slots[id])]++;
	}
	walk_free(st);
	walk_refs(st);
	list_for_each_entry(ses, &st->sessions, link) {
		walk_session(st, ses);
		sessions++;
		counted += ses->counted;
		mutex_lock(&st->sessions_lock);
		WALK_CHECK(kvbm_session_after(st, ses->number - 1) == ses,
			   "session %llu is not found", ses->number);
		mutex_unlock(&st->sessions_lock);
	}
	WALK_CHECK(sessions == st->nr_listed && counted == st->nr_sessions,
		   "%u, %u listed, %u, %u counted", sessions, st->nr_listed,
		   counted, st->nr_sessions);
	walk_index(st, c);
	walk_notes(st);
	WALK_CHECK(st->free.len == c->state[KVBM_STATE_RESET] &&
		   st->nr_inactive == c->state[KVBM_STATE_INACTIVE],
		   "free %u, inactive %u; slots say %u, %u", st->free.len,
		   st->nr_inactive, c->state[KVBM_STATE_RESET],
		   c->state[KVBM_STATE_INACTIVE]);
	WALK_CHECK(!st->reserved, "%u reserved", st->reserved);
	WALK_CHECK(!rb_first_cached(&st->waiters) && !st->nr_waiters, "%u wait",
		   st->nr_waiters);
	spin_lock(&st->lock);
	if (st->retention)
		walk_retention(st);
	if (st->cfg.policy->forget)
		walk_lineage(st);
	else
		walk_order(st, st->evict);
	spin_unlock(&st->lock);
}

/* A sequence hash from its parts; the mode is the right one. */
static inline struct kvbm_hash walk_hash(u32 position, u64 current_hash,
					 u64 parent_hash)
{
	u32 mode = position < 256 ? 0 : position < 65536 ? 1 : 2;
	u32 pos_bits = 8 + 8 * mode, parent_bits = kvbm_parent_bits(position);

	return (struct kvbm_hash) {
		.hi = (u64)mode << 62 | (u64)position << (62 - pos_bits) |
		      current_hash >> (64 - (62 - pos_bits)),
		.lo = current_hash << parent_bits |
		      (parent_hash & ((1ULL << parent_bits) - 1)),
	};
}

/*
 * The i-th of a set of valid hashes that are related in every way that the
 * lineage index distinguishes: eight make a group of
 *
 *	0 root		1 child of 0	2 child of 1	3 child of 0
 *	4 child of 2	5 twin of 1 (same node key), under the next group's 0
 *	6 child of 1 and 5		7 far down, parent unknown
 */
static inline struct kvbm_hash walk_nth_hash(u32 i)
{
	u64 g = i / 8, h[8];
	u32 j;

	for (j = 0; j < 8; j++)
		h[j] = walk_mix(g * 8 + j);
	h[5] = h[1] ^ 1ULL << 63;
	switch (i % 8) {
	case 0:
		return walk_hash(0, h[0], 0);
	case 1:
		return walk_hash(1, h[1], h[0]);
	case 2:
		return walk_hash(2, h[2], h[1]);
	case 3:
		return walk_hash(1, h[3], h[0]);
	case 4:
		return walk_hash(3, h[4], h[2]);
	case 5:
		return walk_hash(1, h[5], walk_mix((g + 1) * 8));
	case 6:
		return walk_hash(2, h[6], h[5]);
	default:
		return walk_hash(g % 2 ? 300 : 70000, h[7], 7);
	}
}

#endif /* FUZZ_WALK_H */
