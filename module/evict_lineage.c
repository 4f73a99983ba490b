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
 * tick order: a block takes its place when it becomes inactive; leaves are
 * marked.  fifo order: it takes its place when it becomes a leaf.
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
	u64 secret[3];
	u32 fading;		/* a ghost that lost its last child, or NIL */
	struct kvbm_order order;	/* leaves are marked */
};

static bool tick_order(const struct kvbm_store *st)
{
	return st->cfg.policy == &kvbm_evict_lineage_tick;
}

/*
 * A node key in 64 bits: the mode, position and parent field of a child's hash.
 * They are exactly what children name their parent by.
 */
static u64 parent_key(const struct kvbm_hash *h)
{
	u32 bits = 54 - 8 * kvbm_hash_mode(h);

	return h->hi >> bits << bits | (h->lo & (BIT_ULL(bits) - 1));
}

static u64 own_key(const struct kvbm_hash *h)
{
	u32 mode = kvbm_hash_mode(h), bits = 54 - 8 * mode;
	u64 top = (h->hi >> bits) + 1;	/* mode and the children's position */
	u64 fragment = h->hi << (64 - bits) | h->lo >> bits;

	/* Where the position outgrew its field, children are of the next mode. */
	if (unlikely(!(top & (BIT_ULL(62 - bits) - 1)) && mode < 2)) {
		top = BIT_ULL(8 * mode + 8) | (u64)(mode + 1) << (8 * mode + 16);
		bits -= 8;
	}
	return top << bits | (fragment & (BIT_ULL(bits) - 1));
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
static u32 *head_of(struct lineage *ln, u64 key)
{
	u64 h = (ln->secret[0] + (u32)key) * (ln->secret[1] + (key >> 32));

	h += key * ln->secret[2];
	return &ln->heads[(h >> 32) * ln->nr_heads >> 32];
}

static u32 *chain_link(struct kvbm_store *st, u32 entry)
{
	struct kvbm_slot *s = &st->slots[ENTRY_ID(entry)];

	return ENTRY_IS_PARENT(entry) ? &s->parent_chain : &s->own_chain;
}

/*
 * Where the entry of a node key hangs: a link that leads to it, or to NIL when
 * there is none.
 */
static u32 *family_find(struct kvbm_store *st, u64 key)
{
	u32 *link = head_of(st->evict, key);

	while (*link != KVBM_NIL) {
		struct kvbm_slot *s = &st->slots[ENTRY_ID(*link)];

		if (ENTRY_IS_PARENT(*link)) {
			if (parent_key(&s->key) == key)
				break;
			link = &s->parent_chain;
		} else {
			if (own_key(&s->key) == key)
				break;
			link = &s->own_chain;
		}
	}
	return link;
}

/* A new entry at the end of its chain. */
static void family_add(struct kvbm_store *st, u32 *link, u32 entry)
{
	*chain_link(st, entry) = KVBM_NIL;
	*link = entry;
}

static void family_del(struct kvbm_store *st, u32 *link)
{
	*link = *chain_link(st, *link);
}

/* Another entry takes the place of one of the same key. */
static void family_replace(struct kvbm_store *st, u32 *link, u32 by)
{
	*chain_link(st, by) = *chain_link(st, *link);
	*link = by;
}

/* Becomes evictable: an idle block with nothing under it. */
static void leaf_add(struct kvbm_store *st, u32 id)
{
	struct lineage *ln = st->evict;

	if (!tick_order(st))
		kvbm_order_add(st, &ln->order, id);
	kvbm_order_mark(&ln->order, 0, st->slots[id].place);
}

static void leaf_del(struct kvbm_store *st, u32 id)
{
	struct lineage *ln = st->evict;

	kvbm_order_unmark(&ln->order, 0, st->slots[id].place);
	if (!tick_order(st))
		kvbm_order_del(st, &ln->order, id);
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
	u32 first = c->twin;

	s->flags |= LIN_TWIN;
	if (first == KVBM_NIL) {
		s->own_chain = id;
		s->child = id;
		c->twin = id;
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
		c->twin = KVBM_NIL;
	} else {
		st->slots[s->child].own_chain = s->own_chain;
		st->slots[s->own_chain].child = s->child;
		if (c->twin == id)
			c->twin = s->own_chain;
	}
	s->flags &= ~LIN_TWIN;
	s->child = KVBM_NIL_CHILD;
}

/*
 * A carrier goes, whose entry hangs at @link: its oldest twin, or NIL, has the
 * key from now on.
 */
static u32 promote_twin(struct kvbm_store *st, u32 *link, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 twin = s->twin;

	if (twin == KVBM_NIL)
		return KVBM_NIL;
	twin_del(st, id, twin);
	family_replace(st, link, ENTRY_OWN(twin));
	st->slots[twin].twin = s->twin;
	return twin;
}

/* Hang a block under its parent's node. */
static void link_up(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id], *p;
	u32 *link, e;

	s->sib_prev = id;
	s->sib_next = id;
	if (!has_parent(s))
		return;
	link = family_find(st, parent_key(&s->key));
	e = *link;
	if (e == KVBM_NIL) {
		s->flags |= LIN_FIRST;
		family_add(st, link, ENTRY_PARENT(id));
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
	u32 *link, e;

	if (!has_parent(s))
		return;
	if (next != id) {
		st->slots[s->sib_prev].sib_next = next;
		st->slots[next].sib_prev = s->sib_prev;
	}
	if (!(s->flags & LIN_FIRST))
		return;
	link = family_find(st, parent_key(&s->key));
	e = *link;
	if (next != id)
		st->slots[next].flags |= LIN_FIRST;
	if (ENTRY_IS_PARENT(e)) {
		if (next == id)
			family_del(st, link);
		else
			family_replace(st, link, ENTRY_PARENT(next));
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
	u32 *link = family_find(st, own_key(&s->key));

	if (s->flags & LIN_TWIN)
		twin_del(st, ENTRY_ID(*link), id);
	else if (promote_twin(st, link, id) == KVBM_NIL)
		family_del(st, link);
	unlink_up(st, id);
	s->flags = 0;
}

static void lineage_insert(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;
	u32 *link, e;

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
	s->twin = KVBM_NIL;
	link = family_find(st, own_key(&s->key));
	e = *link;
	if (e == KVBM_NIL) {
		family_add(st, link, ENTRY_OWN(id));
	} else if (ENTRY_IS_PARENT(e)) {
		family_replace(st, link, ENTRY_OWN(id));
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
	u32 id = kvbm_order_first(&ln->order, 0);

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
	u32 *link, twin;

	lockdep_assert_held(&st->lock);
	if (!(s->flags & LIN_IN))
		return;
	link = family_find(st, own_key(&s->key));
	twin = promote_twin(st, link, id);
	if (twin == KVBM_NIL) {
		family_replace(st, link, ENTRY_PARENT(s->child));
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
	get_random_bytes(ln->secret, sizeof(ln->secret));
	ln->nr_heads = st->cfg.total;
	ln->heads = kvbm_array_alloc(st, ln->nr_heads, sizeof(*ln->heads));
	if (kvbm_order_init(st, &ln->order, 1) || !ln->heads) {
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

/* After a leaf usually comes its parent, which became inactive after it. */
static u32 lineage_ahead(struct kvbm_store *st, u32 *ids, u32 max)
{
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	return kvbm_order_ahead(&ln->order, 0, ids, max);
}

/* The blocks' own entries and their parents'. */
static void lineage_warm(struct kvbm_store *st, const u32 *ids, u32 n,
			 bool leave)
{
	struct lineage *ln = st->evict;
	u32 i;

	for (i = 0; i < n; i++) {
		struct kvbm_hash key = kvbm_slot_peek_key(&st->slots[ids[i]]);

		prefetchw(head_of(ln, own_key(&key)));
		prefetchw(head_of(ln, parent_key(&key)));
	}
	if (leave)
		kvbm_order_prefetch(st, &ln->order, ids, n);
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
	.ahead = lineage_ahead,
	.warm = lineage_warm,
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
	.ahead = lineage_ahead,
	.warm = lineage_warm,
};
