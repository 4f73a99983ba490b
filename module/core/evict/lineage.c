// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * lineage.c - evict only leaves: lineage, in tick or fifo order
 *
 * Inactive blocks form a forest by their lineage.  A block's node key is the
 * name that its children have for it: its position and the low bits of its own
 * hash.  Blocks with the same parent key are a family: a ring of siblings.
 *
 * Nothing is allocated.  A family is found through a table of slot numbers
 * (family.h), by the parent's node key, under one of two kinds of entry:
 *
 *	OWN the parent's own slot, which is in the forest, and whose ->child
 *	leads to the ring.  Every slot in the forest has one, except twins.
 *	PARENT the first of the children (ANCHOR), if no such slot is in the
 *	forest: it represents the placeholder.
 *
 * A slot enters the forest when its block first becomes inactive, and leaves it
 * when the block's hash leaves the store.  In between it is
 *
 *	inactive: IDLE and LINKED to its family; a leaf if it has no child;
 *	held with children: the placeholder that the contract asks
 *	for; LINKED if it was taken out while it had children, not LINKED if it
 *	was already held when they became inactive;
 *	held without children: not LINKED, not in the eviction order.
 *	Its table entry and the hint to its parent stay, so a block
 *	that is matched and released again touches no table.
 *
 * So placeholders never outnumber blocks.
 *
 * Two blocks may have the same node key.  The first inactive one carries the
 * children of the key; the others are its twins, childless leaves on a ring of
 * their own.  When the carrier goes, the oldest twin takes its place.  A held
 * slot that is not LINKED has no twins: an inactive one takes its place at
 * once.
 *
 * When a placeholder loses its last child, it loses its link to its parent, and
 * so on up: a prune.  The way up may be long, so a prune goes in steps, and the
 * forest is consistent after each: other calls may run between two steps.  The
 * placeholder that a prune has reached is *prunable*: held, LINKED, childless.
 * Prunable slots are on a list.  Anything else that happens to one ends its
 * prune: its block becomes inactive, it gets a child, or its hash leaves the
 * store, which cuts the link at once.  A step removes one prunable slot and
 * makes at most one other, the parent.
 *
 * So if a block is inactive and no slot is prunable, there is a leaf; otherwise
 * all inactive blocks may be above prunable ones.  Prunes only decide when an
 * inactive block becomes a leaf.
 *
 * tick order: a block takes its place when it becomes inactive; leaves are
 * marked.  fifo order: it takes its place when it becomes a leaf.
 *
 * With retention a leaf's mark has its rank, and the first leaf of the lowest
 * rank is evicted.  There is one forest: a block with descendants is not
 * evicted, whatever the ranks.
 *
 * All under the store's lock.
 */
#include <linux/bits.h>
#include <linux/prefetch.h>
#include <linux/slab.h>
#include "evict.h"
#include "family.h"
#include "order.h"

#define LIN_IN		BIT(0)	/* in the forest */
#define LIN_IDLE	BIT(1)	/* inactive */
#define LIN_LINKED	BIT(2)	/* is a child of its parent's node */
#define LIN_TWIN	BIT(3)	/* another block carries its node key */
#define LIN_FIRST	BIT(4)	/* its family is found through it */
#define LIN_ANCHOR	BIT(5)	/* by a PARENT entry */

struct lineage {
	struct kvbm_families families;
	u64 last_key;		/* of the latest PARENT entry, */
	u32 last;		/* and its slot; NIL: may be another's now */
	u32 prunable;		/* list of placeholders without children */
	bool tick;		/* order */
	struct kvbm_order order;	/* leaves are marked */
};

static bool has_parent(const struct kvbm_slot *s)
{
	return kvbm_hash_position(&s->key);
}

static bool has_child(const struct kvbm_slot *s)
{
	return s->child != KVBM_NIL_CHILD && !(s->flags & LIN_TWIN);
}

/* Another entry, or KVBM_NIL for none, takes the place of one of its key. */
static void replace_entry(struct kvbm_store *st, u32 entry, u32 by)
{
	struct lineage *ln = st->evict;

	ln->last = KVBM_NIL;
	kvbm_family_replace(st, &ln->families, entry, by);
}

/* A block that was inactive before has no children any more. */
static void leaf_add(struct kvbm_store *st, u32 id)
{
	struct lineage *ln = st->evict;

	if (ln->tick)
		kvbm_order_mark_block(&ln->order, id, st->slots[id].place);
	else
		kvbm_order_mark_last_block(&ln->order, id,
					   kvbm_order_add(st, &ln->order, id));
}

static void leaf_del(struct kvbm_store *st, u32 id)
{
	struct lineage *ln = st->evict;

	kvbm_order_unmark_block(&ln->order, id, st->slots[id].place);
	if (!ln->tick)
		kvbm_order_del(st, &ln->order, id);
}

/* Held and without children, but still LINKED. */
static bool is_prunable(const struct kvbm_slot *s)
{
	const u32 mask = LIN_IN | LIN_IDLE | LIN_LINKED | LIN_TWIN;

	return (s->flags & mask) == (LIN_IN | LIN_LINKED) && !has_child(s);
}

/*
 * The list uses ->next and ->place: a held block is not in the free list, and
 * has no place in the order.
 */
static void prunable_add(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	s->next = ln->prunable;
	WRITE_ONCE(s->place, KVBM_NIL);
	if (s->next != KVBM_NIL)
		WRITE_ONCE(st->slots[s->next].place, id);
	ln->prunable = id;
	st->pruning = id;
}

static void prunable_del(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	if (s->place != KVBM_NIL)
		st->slots[s->place].next = s->next;
	else
		ln->prunable = s->next;
	if (s->next != KVBM_NIL)
		WRITE_ONCE(st->slots[s->next].place, s->place);
}

static void ring_add(struct kvbm_store *st, u32 first, u32 id)
{
	u32 last = st->slots[first].sib_prev;

	st->slots[id].sib_prev = last;
	st->slots[id].sib_next = first;
	st->slots[last].sib_next = id;
	st->slots[first].sib_prev = id;
}

/* Twins: ->own_entry is the next, ->child the previous, in a ring by age. */
static void twin_add(struct kvbm_store *st, u32 carrier, u32 id)
{
	struct kvbm_slot *c = &st->slots[carrier], *s = &st->slots[id];
	u32 first = c->twin;

	s->flags |= LIN_TWIN;
	if (first == KVBM_NIL) {
		s->own_entry = id;
		s->child = id;
		c->twin = id;
		return;
	}
	s->own_entry = first;
	s->child = st->slots[first].child;
	st->slots[s->child].own_entry = id;
	st->slots[first].child = id;
}

static void twin_del(struct kvbm_store *st, u32 carrier, u32 id)
{
	struct kvbm_slot *c = &st->slots[carrier], *s = &st->slots[id];

	if (s->own_entry == id) {
		c->twin = KVBM_NIL;
	} else {
		st->slots[s->child].own_entry = s->own_entry;
		st->slots[s->own_entry].child = s->child;
		if (c->twin == id)
			c->twin = s->own_entry;
	}
	s->flags &= ~LIN_TWIN;
	s->child = KVBM_NIL_CHILD;
}

/* A carrier goes: its oldest twin, or NIL, then has the key. */
static u32 promote_twin(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 twin = s->twin;

	if (twin == KVBM_NIL)
		return KVBM_NIL;
	twin_del(st, id, twin);
	replace_entry(st, FAMILY_OWN(id), FAMILY_OWN(twin));
	st->slots[twin].twin = s->twin;
	return twin;
}

/* The carrier of a key; there is one. */
static u32 find_carrier(struct kvbm_store *st, u64 key)
{
	struct lineage *ln = st->evict;

	return FAMILY_ID(kvbm_family_find(st, &ln->families, key,
					  kvbm_family_hash(&ln->families, key)));
}

/* The carrier of a block's parent key if the hint to it is right, or NIL. */
static u32 hinted_parent(struct kvbm_store *st, const struct kvbm_slot *s,
			 u64 key)
{
	const struct kvbm_slot *p;

	if (s->parent >= st->cfg.total)
		return KVBM_NIL;
	p = &st->slots[s->parent];
	if ((p->flags & (LIN_IN | LIN_TWIN)) != LIN_IN ||
	    kvbm_own_key(&p->key) != key)
		return KVBM_NIL;
	return s->parent;
}

/* Make an inactive block a child of its parent's node. */
static void link_up(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id], *p;
	u64 key = kvbm_parent_key(&s->key);
	struct lineage *ln = st->evict;
	struct kvbm_family_hash h;
	u32 entry, parent, flags;

	flags = LIN_IDLE | LIN_LINKED;
	s->sib_prev = id;
	s->sib_next = id;
	if (!has_parent(s))
		goto out;
	parent = hinted_parent(st, s, key);
	if (parent == KVBM_NIL) {
		h = kvbm_family_hash(&ln->families, key);
		entry = kvbm_family_find(st, &ln->families, key, h);
		if (entry == KVBM_NIL) {
			kvbm_family_add(st, &ln->families, key, h,
					FAMILY_PARENT(id));
			ln->last_key = key;
			ln->last = id;
			flags |= LIN_FIRST | LIN_ANCHOR;
			goto out;
		}
		if (FAMILY_IS_PARENT(entry)) {
			ring_add(st, FAMILY_ID(entry), id);
			goto out;
		}
		parent = FAMILY_ID(entry);
		s->parent = parent;
	}
	p = &st->slots[parent];
	if (has_child(p)) {
		ring_add(st, p->child, id);
		goto out;
	}
	if (p->flags & LIN_IDLE)
		leaf_del(st, parent);
	else if (p->flags & LIN_LINKED)
		prunable_del(st, parent);
	p->child = id;
	flags |= LIN_FIRST;
out:
	s->flags |= flags;
}

/* The carrier whose first child is a given block that is no ANCHOR. */
static u32 parent_of_first(struct kvbm_store *st, u32 id)
{
	const struct kvbm_slot *s = &st->slots[id], *p;

	/* A carrier with this child is the one: no need to compare keys. */
	if (likely(s->parent < st->cfg.total)) {
		p = &st->slots[s->parent];
		if (likely(p->child == id &&
			   (p->flags & (LIN_IN | LIN_TWIN)) == LIN_IN))
			return s->parent;
	}
	return find_carrier(st, kvbm_parent_key(&s->key));
}

/* A block leaves its family, which gets another first child, or none. */
static void replace_first(struct kvbm_store *st, u32 id, u32 next)
{
	struct kvbm_slot *s = &st->slots[id], *p;
	u32 parent;

	if (next != id)
		st->slots[next].flags |= s->flags & (LIN_FIRST | LIN_ANCHOR);
	if (s->flags & LIN_ANCHOR) {
		replace_entry(st, FAMILY_PARENT(id),
			      next == id ? KVBM_NIL : FAMILY_PARENT(next));
		return;
	}
	parent = parent_of_first(st, id);
	p = &st->slots[parent];
	if (next != id) {
		p->child = next;
		return;
	}
	p->child = KVBM_NIL_CHILD;
	if (p->flags & LIN_IDLE)
		leaf_add(st, parent);
	else if (p->flags & LIN_LINKED)
		prunable_add(st, parent);
}

/* Undo link_up(). */
static __always_inline void unlink_up(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 next = s->sib_next;

	if (next != id) {
		st->slots[s->sib_prev].sib_next = next;
		st->slots[next].sib_prev = s->sib_prev;
	}
	if (s->flags & LIN_FIRST)
		replace_first(st, id, next);
	s->flags &= ~(LIN_LINKED | LIN_FIRST | LIN_ANCHOR);
}

/* A slot leaves the forest: its children go to a twin, or stay. */
static __always_inline void leave(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 twin;

	if (likely(!(s->flags & LIN_TWIN) && s->twin == KVBM_NIL &&
		   s->child == KVBM_NIL_CHILD)) {
		replace_entry(st, FAMILY_OWN(id), KVBM_NIL);
	} else if (s->flags & LIN_TWIN) {
		twin_del(st, find_carrier(st, kvbm_own_key(&s->key)), id);
	} else {
		twin = promote_twin(st, id);
		if (twin != KVBM_NIL && has_child(s)) {
			leaf_del(st, twin);
			st->slots[twin].child = s->child;
		} else if (twin == KVBM_NIL && has_child(s)) {
			replace_entry(st, FAMILY_OWN(id),
				      FAMILY_PARENT(s->child));
			st->slots[s->child].flags |= LIN_ANCHOR;
		}
	}
	if (s->flags & LIN_LINKED)
		unlink_up(st, id);
	s->flags = 0;
}

/* A slot enters the forest. */
static void enter(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id], *other;
	u64 key = kvbm_own_key(&s->key);
	struct lineage *ln = st->evict;
	struct kvbm_family_hash h;
	u32 entry;

	/* Released tail first, a block comes right after its child. */
	if (ln->last != KVBM_NIL && ln->last_key == key) {
		entry = FAMILY_PARENT(ln->last);
	} else {
		h = kvbm_family_hash(&ln->families, key);
		entry = kvbm_family_find(st, &ln->families, key, h);
	}
	s->flags = LIN_IN;
	s->child = KVBM_NIL_CHILD;
	s->twin = KVBM_NIL;
	s->parent = KVBM_NIL;
	if (entry == KVBM_NIL) {
		kvbm_family_add(st, &ln->families, key, h, FAMILY_OWN(id));
		return;
	}
	other = &st->slots[FAMILY_ID(entry)];
	if (FAMILY_IS_PARENT(entry)) {
		s->child = FAMILY_ID(entry);
		replace_entry(st, entry, FAMILY_OWN(id));
		other->flags &= ~LIN_ANCHOR;
		other->parent = id;
	} else if (!(other->flags & (LIN_IDLE | LIN_LINKED))) {
		replace_entry(st, entry, FAMILY_OWN(id));
		s->child = other->child;
		other->flags = 0;
	} else {
		twin_add(st, FAMILY_ID(entry), id);
	}
}

static void lineage_insert(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	if (likely(!(s->flags & LIN_IN))) {
		if (ln->tick)
			kvbm_order_add(st, &ln->order, id);
		enter(st, id);
	} else {
		/* Before it has a place again. */
		if (is_prunable(s))
			prunable_del(st, id);
		if (ln->tick)
			kvbm_order_add(st, &ln->order, id);
	}
	/*
	 * A leaf comes last in any order.  Its parent's mark is often next to
	 * it: remove that after setting this one.
	 */
	if (!has_child(s)) {
		if (!ln->tick)
			kvbm_order_add(st, &ln->order, id);
		kvbm_order_mark_last_block(&ln->order, id, s->place);
	}
	/* A placeholder that was LINKED takes its old place. */
	if (!(s->flags & LIN_LINKED))
		link_up(st, id);
	else
		s->flags |= LIN_IDLE;
}

/* Out of the order, whatever comes then. */
static void no_longer_idle(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	if (!has_child(s))
		leaf_del(st, id);
	if (ln->tick)
		kvbm_order_del(st, &ln->order, id);
	s->flags &= ~LIN_IDLE;
}

/* Out of line: callers need save no registers for it. */
static noinline void leave_held(struct kvbm_store *st, u32 id)
{
	leave(st, id);
}

/* A held slot without children has no place in the forest. */
static void drop_childless(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];

	if (s->flags & LIN_TWIN || s->twin != KVBM_NIL)
		leave_held(st, id);
	else
		unlink_up(st, id);
}

static void lineage_remove(struct kvbm_store *st, u32 id)
{
	no_longer_idle(st, id);
	if (!has_child(&st->slots[id]))
		drop_childless(st, id);
}

/* A step of a prune: where it continues, or NIL after the last one. */
static u32 prune_step(struct kvbm_store *st, u32 id)
{
	u32 next;

	prunable_del(st, id);
	st->pruning = KVBM_NIL;
	drop_childless(st, id);
	next = st->pruning;
	st->pruning = KVBM_NIL;
	return next;
}

static u32 lineage_prune(struct kvbm_store *st, u32 from, u32 *budget)
{
	struct lineage *ln = st->evict;
	const bool any = from == KVBM_NIL;

	lockdep_assert_held(&st->lock);
	for (;;) {
		if (any)
			from = ln->prunable;
		if (from == KVBM_NIL || !is_prunable(&st->slots[from]))
			return KVBM_NIL;
		if (!*budget)
			return from;
		--*budget;
		from = prune_step(st, from);
	}
}

static u32 lineage_pop(struct kvbm_store *st, u32 *budget)
{
	struct lineage *ln = st->evict;
	u32 id;

	lockdep_assert_held(&st->lock);
	/*
	 * Without a leaf, all inactive blocks are above prunable ones: go up.
	 */
	while (unlikely((id = kvbm_order_first_block(&ln->order)) == KVBM_NIL)) {
		if (!*budget || ln->prunable == KVBM_NIL)
			return KVBM_NIL;
		--*budget;
		prune_step(st, ln->prunable);
	}
	/*
	 * Its parent often gets the next mark: first set that, then remove
	 * this.
	 */
	leave(st, id);
	kvbm_order_unmark_block(&ln->order, id, st->slots[id].place);
	kvbm_order_del(st, &ln->order, id);
	return id;
}

static void lineage_forget(struct kvbm_store *st, u32 id)
{
	lockdep_assert_held(&st->lock);
	if (is_prunable(&st->slots[id]))
		prunable_del(st, id);
	if (st->slots[id].flags & LIN_IN)
		leave_held(st, id);
}

static void lineage_exit(struct kvbm_store *st)
{
	struct lineage *ln = st->evict;

	kvbm_order_exit(&ln->order);
	kvbm_families_exit(&ln->families);
	kfree(ln);
}

static u64 lineage_need(const struct kvbm_config *cfg)
{
	return sizeof(struct lineage) + kvbm_order_need(cfg, 1) +
	       kvbm_families_need(cfg->total);
}

static int lineage_init(struct kvbm_store *st)
{
	struct lineage *ln = kzalloc(sizeof(*ln), GFP_KERNEL_ACCOUNT);

	if (!ln)
		return -ENOMEM;
	st->evict = ln;
	ln->tick = st->cfg.policy == &kvbm_evict_lineage_tick;
	ln->prunable = KVBM_NIL;
	ln->last = KVBM_NIL;
	if (kvbm_families_init(st, &ln->families) ||
	    kvbm_order_init(st, &ln->order, 1)) {
		lineage_exit(st);
		return -ENOMEM;
	}
	return 0;
}

/* After a leaf usually comes its parent, which became inactive after it. */
static u32 lineage_peek(struct kvbm_store *st, u32 *ids, u32 max)
{
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	return kvbm_order_peek(&ln->order, kvbm_order_lowest(&ln->order), ids,
				max);
}

/* In fifo order only leaves have a place. */
static u32 lineage_order(struct kvbm_store *st, u32 id)
{
	struct lineage *ln = st->evict;

	return kvbm_order_of(st, &ln->order, id);
}

/* A leaf's mark has its rank; other blocks have no mark. */
static void lineage_rerank(struct kvbm_store *st, u32 id, u32 old, u32 rank)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	if (has_child(s))
		return;
	kvbm_order_unmark(&ln->order, old, s->place);
	kvbm_order_mark(&ln->order, rank, s->place);
}

/* What link_up() and unlink_up() will touch. */
static void prefetch_relatives(struct kvbm_store *st, const struct kvbm_slot *s,
			       bool linked)
{
	/* A hint, as are those below: compared with the bounds only. */
	u32 parent = data_race(s->parent);
	/* A hint. */
	u32 prev = data_race(s->sib_prev), next = data_race(s->sib_next);

	if (parent < st->cfg.total)
		prefetchw(&st->slots[parent]);
	if (!linked)
		return;
	if (prev < st->cfg.total)
		prefetchw(&st->slots[prev]);
	if (next < st->cfg.total)
		prefetchw(&st->slots[next]);
}

/* The line that an entry is in. */
static void prefetch_entry(struct lineage *ln, u32 place)
{
	if (place >> FAMILY_LINE_SHIFT < ln->families.nr_lines)
		prefetchw(&ln->families.lines[place >> FAMILY_LINE_SHIFT]);
}

/* The line that a key belongs to. */
static void prefetch_key(struct lineage *ln, u64 key)
{
	struct kvbm_family_hash h = kvbm_family_hash(&ln->families, key);

	prefetchw(&ln->families.lines[h.line]);
}

/* Places, relatives, and table entries of blocks entering or leaving. */
static void lineage_prefetch(struct kvbm_store *st, const u32 *ids, u32 n,
			     enum kvbm_prefetch what)
{
	struct lineage *ln = st->evict;
	/* The last parent key; initially none: mode 3. */
	u64 last = U64_MAX;
	u32 i;

	/* A popped block was found through its place. */
	if (what == KVBM_PREFETCH_REMOVE)
		kvbm_order_prefetch(st, &ln->order, ids, n);
	for (i = 0; i < n; i++) {
		const struct kvbm_slot *s = &st->slots[ids[i]];
		/* A hint, as are those below; no bit-field: from 6.12 on it fails. */
		u32 flags = data_race((u32)s->flags);

		if (flags & LIN_IN)
			prefetch_relatives(st, s, what != KVBM_PREFETCH_INSERT);
		if (what != KVBM_PREFETCH_INSERT) {
			/* Hints, as above. */
			u32 own = data_race(s->own_entry);
			/* A hint, too. */
			u32 parent = data_race(s->parent_entry);

			if (what == KVBM_PREFETCH_POP)
				prefetch_entry(ln, own);
			if (flags & LIN_ANCHOR)
				prefetch_entry(ln, parent);
		} else if (!(flags & LIN_IN)) {
			struct kvbm_hash key = kvbm_slot_peek_key(s);
			u64 own = kvbm_own_key(&key);

			/* Tail first, the child's entry becomes its parent's. */
			if (own != last)
				prefetch_key(ln, own);
			last = kvbm_parent_key(&key);
			prefetch_key(ln, last);
		}
	}
}

const struct kvbm_evict_ops kvbm_evict_lineage_tick = {
	.name = "lineage_tick",
	.needs_lineage = true,
	.need = lineage_need,
	.init = lineage_init,
	.exit = lineage_exit,
	.insert = lineage_insert,
	.remove = lineage_remove,
	.pop = lineage_pop,
	.forget = lineage_forget,
	.prune = lineage_prune,
	.order = lineage_order,
	.rerank = lineage_rerank,
	.peek = lineage_peek,
	.prefetch_for = lineage_prefetch,
};

const struct kvbm_evict_ops kvbm_evict_lineage_fifo = {
	.name = "lineage_fifo",
	.needs_lineage = true,
	.need = lineage_need,
	.init = lineage_init,
	.exit = lineage_exit,
	.insert = lineage_insert,
	.remove = lineage_remove,
	.pop = lineage_pop,
	.forget = lineage_forget,
	.prune = lineage_prune,
	.order = lineage_order,
	.rerank = lineage_rerank,
	.peek = lineage_peek,
	.prefetch_for = lineage_prefetch,
};
