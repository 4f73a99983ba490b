// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * evict_lineage.c - only leaves are evicted: lineage, in tick or fifo order
 *
 * Idle blocks form a forest by their lineage.  A block's node key is what its
 * children call it: its position and the low bits of its own hash.  Blocks
 * with the same parent key are a family: a ring of siblings.
 *
 * Nothing is allocated.  A family is found through a hash table of slot
 * numbers, by the parent's node key, under one of two kinds of entry:
 *
 *	OWN	the parent's own slot, which is in the forest, and whose ->child
 *		leads to the ring.  Every block in the forest has one, but twins.
 *	PARENT	the first of the children, when no such block is in the forest:
 *		it stands for the placeholder.
 *
 * A block that is taken out while something hangs under it stays in the forest
 * as its own placeholder (GHOST), upward link and all, until nothing hangs under
 * it any more, or until its hash leaves the store; so placeholders never
 * outnumber blocks.
 *
 * Two blocks may have the same node key.  The first is the one that carries
 * what hangs under the key; the others are its twins, childless leaves on a
 * ring of their own.  When the first goes, the oldest twin takes its place.
 *
 * When the last child of a ghost goes, the ghost goes, and so on up.  That may
 * be a long way: it is done in steps (settle), and no other call comes between.
 *
 * tick order: among leaves, the one that became inactive first (order.c).
 * fifo order: a list of leaves, in order of becoming leaves.
 *
 * All under the store's lock.
 */
#include <linux/bits.h>
#include <linux/prefetch.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "evict.h"
#include "order.h"

#define LIN_IN		BIT(0)	/* in the forest */
#define LIN_GHOST	BIT(1)	/* held, a placeholder */
#define LIN_TWIN	BIT(2)	/* another block carries its node key */
#define LIN_FIRST	BIT(3)	/* the family is reached through it */

#define ENTRY_OWN(id)		((id) << 1)
#define ENTRY_PARENT(id)	((id) << 1 | 1)
#define ENTRY_IS_PARENT(e)	((e) & 1)
#define ENTRY_ID(e)		((e) >> 1)

struct lineage {
	u32 *heads;		/* family table: chains of entries */
	u32 nr_heads;
	u64 secret[4];
	u32 fading;		/* a ghost that lost its last child, or NIL */
	struct kvbm_order order;	/* tick */
	struct kvbm_list leaves;	/* fifo */
};

struct node_key {
	u64 fragment;
	u32 position;
};

static bool tick_order(const struct kvbm_store *st)
{
	return st->cfg.policy == &kvbm_evict_lineage_tick;
}

static u64 low_bits(u64 v, u32 bits)
{
	return v & ((1ULL << bits) - 1);
}

static struct node_key own_key(const struct kvbm_slot *s)
{
	u32 position = kvbm_hash_position(&s->key);
	u32 bits = kvbm_parent_bits(position);
	u64 current_hash = s->key.hi << (64 - bits) | s->key.lo >> bits;

	return (struct node_key) {
		.fragment = low_bits(current_hash,
				     kvbm_parent_bits(position + 1)),
		.position = position,
	};
}

/* Of a block at a position above 0. */
static struct node_key parent_key(const struct kvbm_slot *s)
{
	u32 position = kvbm_hash_position(&s->key);

	return (struct node_key) {
		.fragment = low_bits(s->key.lo, kvbm_parent_bits(position)),
		.position = position - 1,
	};
}

static bool has_parent(const struct kvbm_slot *s)
{
	return kvbm_hash_position(&s->key);
}

static bool has_child(const struct kvbm_slot *s)
{
	return s->child != KVBM_NIL_CHILD && !(s->flags & LIN_TWIN);
}

/* Callers choose the keys: pair-multiply-shift with secrets, as in index.h. */
static u32 *head_of(struct lineage *ln, struct node_key k)
{
	u64 h;

	h = (ln->secret[0] + (u32)k.fragment) *
	    (ln->secret[1] + (k.fragment >> 32)) +
	    (ln->secret[2] + k.position) * ln->secret[3];
	return &ln->heads[(h >> 32) * ln->nr_heads >> 32];
}

static u32 *chain_link(struct kvbm_store *st, u32 entry)
{
	struct kvbm_slot *s = &st->slots[ENTRY_ID(entry)];

	return ENTRY_IS_PARENT(entry) ? &s->parent_chain : &s->own_chain;
}

/* The entry of a node key, or NIL. */
static u32 family_find(struct kvbm_store *st, struct node_key k)
{
	u32 e = *head_of(st->evict, k);

	while (e != KVBM_NIL) {
		const struct kvbm_slot *s = &st->slots[ENTRY_ID(e)];
		struct node_key have;

		have = ENTRY_IS_PARENT(e) ? parent_key(s) : own_key(s);
		if (have.fragment == k.fragment && have.position == k.position)
			break;
		e = *chain_link(st, e);
	}
	return e;
}

static void family_add(struct kvbm_store *st, struct node_key k, u32 entry)
{
	u32 *head = head_of(st->evict, k);

	*chain_link(st, entry) = *head;
	*head = entry;
}

/* Take an entry out; another one of the same key, or NIL, takes its place. */
static void family_replace(struct kvbm_store *st, struct node_key k, u32 entry,
			   u32 by)
{
	u32 *link = head_of(st->evict, k);
	u32 next = *chain_link(st, entry);

	while (*link != entry)
		link = chain_link(st, *link);
	if (by == KVBM_NIL) {
		*link = next;
	} else {
		*link = by;
		*chain_link(st, by) = next;
	}
}

/* Becomes evictable: an idle block with nothing under it. */
static void leaf_add(struct kvbm_store *st, u32 id)
{
	struct lineage *ln = st->evict;

	if (tick_order(st))
		kvbm_order_mark(&ln->order, st->slots[id].prev);
	else
		kvbm_list_add_tail(st, &ln->leaves, id);
}

static void leaf_del(struct kvbm_store *st, u32 id)
{
	struct lineage *ln = st->evict;

	if (tick_order(st))
		kvbm_order_unmark(&ln->order, st->slots[id].prev);
	else
		kvbm_list_del(st, &ln->leaves, id);
}

static void ring_add(struct kvbm_store *st, u32 first, u32 id)
{
	u32 last = st->slots[first].sib_prev;

	st->slots[id].sib_prev = last;
	st->slots[id].sib_next = first;
	st->slots[last].sib_next = id;
	st->slots[first].sib_prev = id;
}

/* Twins: ->own_chain is the next, ->child the previous, in a ring by age. */
static void twin_add(struct kvbm_store *st, u32 carrier, u32 id)
{
	struct kvbm_slot *c = &st->slots[carrier], *s = &st->slots[id];
	u32 first = c->aux;

	s->flags |= LIN_TWIN;
	if (first == KVBM_NIL) {
		s->own_chain = id;
		s->child = id;
		c->aux = id;
		return;
	}
	s->own_chain = first;
	s->child = st->slots[first].child;
	st->slots[s->child].own_chain = id;
	st->slots[first].child = id;
}

static void twin_del(struct kvbm_store *st, u32 carrier, u32 id)
{
	struct kvbm_slot *c = &st->slots[carrier], *s = &st->slots[id];

	if (s->own_chain == id) {
		c->aux = KVBM_NIL;
	} else {
		st->slots[s->child].own_chain = s->own_chain;
		st->slots[s->own_chain].child = s->child;
		if (c->aux == id)
			c->aux = s->own_chain;
	}
	s->flags &= ~LIN_TWIN;
	s->child = KVBM_NIL_CHILD;
}

/* A carrier goes: its oldest twin, or NIL, has the key from now on. */
static u32 promote_twin(struct kvbm_store *st, struct node_key k, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 twin = s->aux;

	if (twin == KVBM_NIL) {
		family_replace(st, k, ENTRY_OWN(id), KVBM_NIL);
		return KVBM_NIL;
	}
	twin_del(st, id, twin);
	family_replace(st, k, ENTRY_OWN(id), ENTRY_OWN(twin));
	st->slots[twin].aux = s->aux;
	return twin;
}

/* Hang a block under its parent's node. */
static void link_up(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id], *p;
	struct node_key k;
	u32 e;

	s->sib_prev = id;
	s->sib_next = id;
	if (!has_parent(s))
		return;
	k = parent_key(s);
	e = family_find(st, k);
	if (e == KVBM_NIL) {
		s->flags |= LIN_FIRST;
		family_add(st, k, ENTRY_PARENT(id));
		return;
	}
	if (ENTRY_IS_PARENT(e)) {
		ring_add(st, ENTRY_ID(e), id);
		return;
	}
	p = &st->slots[ENTRY_ID(e)];
	if (has_child(p)) {
		ring_add(st, p->child, id);
		return;
	}
	/* A childless ghost has been settled away: the parent was a leaf. */
	leaf_del(st, ENTRY_ID(e));
	p->child = id;
	s->flags |= LIN_FIRST;
}

/* Undo link_up(); the parent may become a leaf, or fade if it is a ghost. */
static void unlink_up(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id], *p;
	struct lineage *ln = st->evict;
	u32 next = s->sib_next;
	struct node_key k;
	u32 e;

	if (!has_parent(s))
		return;
	st->slots[s->sib_prev].sib_next = next;
	st->slots[next].sib_prev = s->sib_prev;
	if (!(s->flags & LIN_FIRST))
		return;
	k = parent_key(s);
	e = family_find(st, k);
	if (next != id)
		st->slots[next].flags |= LIN_FIRST;
	if (ENTRY_IS_PARENT(e)) {
		family_replace(st, k, e,
			       next == id ? KVBM_NIL : ENTRY_PARENT(next));
		return;
	}
	p = &st->slots[ENTRY_ID(e)];
	if (next != id) {
		p->child = next;
		return;
	}
	p->child = KVBM_NIL_CHILD;
	if (p->flags & LIN_GHOST) {
		ln->fading = ENTRY_ID(e);
		st->unsettled = true;
	} else {
		leaf_add(st, ENTRY_ID(e));
	}
}

/* A block without children leaves the forest. */
static void drop_out(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct node_key k = own_key(s);

	if (s->flags & LIN_TWIN)
		twin_del(st, ENTRY_ID(family_find(st, k)), id);
	else
		promote_twin(st, k, id);
	unlink_up(st, id);
	s->flags = 0;
}

static void lineage_insert(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;
	struct node_key k;
	u32 e;

	lockdep_assert_held(&st->lock);
	if (tick_order(st))
		kvbm_order_add(st, &ln->order, id);
	if (s->flags & LIN_GHOST) {
		/* It takes its placeholder's place, and what hangs there. */
		s->flags &= ~LIN_GHOST;
		return;
	}

	s->flags = LIN_IN;
	s->child = KVBM_NIL_CHILD;
	s->aux = KVBM_NIL;
	k = own_key(s);
	e = family_find(st, k);
	if (e == KVBM_NIL) {
		family_add(st, k, ENTRY_OWN(id));
	} else if (ENTRY_IS_PARENT(e)) {
		family_replace(st, k, e, ENTRY_OWN(id));
		s->child = ENTRY_ID(e);
	} else {
		twin_add(st, ENTRY_ID(e), id);
	}
	link_up(st, id);
	if (!has_child(s))
		leaf_add(st, id);
}

static void lineage_remove(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	if (!has_child(s))
		leaf_del(st, id);
	if (tick_order(st))
		kvbm_order_del(st, &ln->order, id);
	if (has_child(s))
		s->flags |= LIN_GHOST;
	else
		drop_out(st, id);
}

static u32 lineage_pop(struct kvbm_store *st)
{
	struct lineage *ln = st->evict;
	u32 id;

	lockdep_assert_held(&st->lock);
	if (tick_order(st))
		id = kvbm_order_first(&ln->order);
	else
		id = ln->leaves.head;
	lineage_remove(st, id);
	return id;
}

/*
 * The hash of a ghost leaves the store: its upward link is cut.  What hangs
 * under it goes to a twin, or stands alone.
 */
static void lineage_forget(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct node_key k;
	u32 twin;

	lockdep_assert_held(&st->lock);
	if (!(s->flags & LIN_IN))
		return;
	k = own_key(s);
	twin = promote_twin(st, k, id);
	if (twin == KVBM_NIL) {
		family_add(st, k, ENTRY_PARENT(s->child));
	} else {
		leaf_del(st, twin);
		st->slots[twin].child = s->child;
	}
	unlink_up(st, id);
	s->flags = 0;
}

static bool lineage_settle(struct kvbm_store *st, u32 *budget)
{
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	while (ln->fading != KVBM_NIL) {
		u32 id = ln->fading;

		if (!*budget)
			return false;
		--*budget;
		ln->fading = KVBM_NIL;
		drop_out(st, id);
	}
	st->unsettled = false;
	return true;
}

static void lineage_exit(struct kvbm_store *st)
{
	struct lineage *ln = st->evict;

	kvbm_order_exit(&ln->order);
	kvbm_array_free(ln->heads);
	kfree(ln);
}

static int lineage_init(struct kvbm_store *st)
{
	struct lineage *ln = kzalloc(sizeof(*ln), GFP_KERNEL_ACCOUNT);
	u32 i;

	if (!ln)
		return -ENOMEM;
	st->evict = ln;
	ln->fading = KVBM_NIL;
	ln->leaves = (struct kvbm_list)KVBM_LIST_INIT;
	get_random_bytes(ln->secret, sizeof(ln->secret));
	ln->secret[3] |= 1;
	ln->nr_heads = st->cfg.total;
	ln->heads = kvbm_array_alloc(st, ln->nr_heads, sizeof(*ln->heads));
	if (!ln->heads ||
	    (tick_order(st) && kvbm_order_init(st, &ln->order))) {
		lineage_exit(st);
		return -ENOMEM;
	}
	for (i = 0; i < ln->nr_heads; i++) {
		ln->heads[i] = KVBM_NIL;
		if (!(i % 65536))
			cond_resched();
	}
	return 0;
}

/* A block's own entry and its parent's, and its place. */
static void lineage_prefetch(struct kvbm_store *st, u32 id, bool leave)
{
	struct lineage *ln = st->evict;
	struct kvbm_slot *s = &st->slots[id];

	prefetchw(head_of(ln, own_key(s)));
	if (has_parent(s))
		prefetchw(head_of(ln, parent_key(s)));
}

const struct kvbm_evict_ops kvbm_evict_lineage_tick = {
	.name = "lineage_tick",
	.init = lineage_init,
	.exit = lineage_exit,
	.insert = lineage_insert,
	.remove = lineage_remove,
	.pop = lineage_pop,
	.forget = lineage_forget,
	.settle = lineage_settle,
	.prefetch = lineage_prefetch,
};

const struct kvbm_evict_ops kvbm_evict_lineage_fifo = {
	.name = "lineage_fifo",
	.init = lineage_init,
	.exit = lineage_exit,
	.insert = lineage_insert,
	.remove = lineage_remove,
	.pop = lineage_pop,
	.forget = lineage_forget,
	.settle = lineage_settle,
	.prefetch = lineage_prefetch,
};
