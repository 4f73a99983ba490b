// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * lineage.c - only leaves are evicted: lineage, in tick or fifo order
 *
 * Idle blocks form a forest by their lineage.  A block's node key is what its
 * children call it: its position and the low bits of its own hash.  Blocks
 * with the same parent key are a family: a ring of siblings.
 *
 * Nothing is allocated.  A family is found through a hash table of slot
 * numbers, by the parent's node key, under one of two kinds of entry:
 *
 *	OWN	the parent's own slot, which is in the forest, and whose ->child
 *		leads to the ring.  Every slot in the forest has one, but twins.
 *	PARENT	the first of the children (ANCHOR), when no such slot is in the
 *		forest: it stands for the placeholder.
 *
 * A slot enters the forest when its block first becomes idle, and leaves it
 * when the block's hash leaves the store.  In between it is
 *
 *	idle: IDLE and LINKED to its family; a leaf when it has no child;
 *	held with something under it: the placeholder that the contract asks
 *	for; LINKED if it was taken out while it had children, not LINKED if it
 *	was held already when they became idle;
 *	held with nothing under it: not LINKED, not there as far as the order
 *	goes.  Its table entry and the hint to its parent stay, so that a block
 *	that is matched and released again touches no table.
 *
 * So placeholders never outnumber blocks.
 *
 * Two blocks may have the same node key.  The first idle one carries what hangs
 * under the key; the others are its twins, childless leaves on a ring of their
 * own.  When the carrier goes, the oldest twin takes its place.  A held slot
 * that is not LINKED has no twins: an idle one takes its place at once.
 *
 * When the last child of a placeholder goes, its upward link goes, and so on
 * up: a prune.  That may be a long way, so it is done in steps, and anything may
 * come between two of them: the forest is whole after each.  Where a prune has
 * got to, a placeholder is *fading*: held, LINKED, nothing under it.  Fading
 * slots are on a list.  Whatever else happens to one ends that prune: its block
 * becomes idle, another hangs under it, or its hash leaves the store, which cuts
 * the link at once.  A step ends one, and makes at most one other, the parent.
 *
 * So there is a leaf when a block is idle and nothing fades; while something
 * fades, the only idle ones may be above it.  Nothing else depends on prunes
 * but the moment at which an idle block becomes a leaf.
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
#include "queue.h"

#define LIN_IN		BIT(0)	/* in the forest */
#define LIN_IDLE	BIT(1)	/* inactive */
#define LIN_LINKED	BIT(2)	/* hangs under its parent's node */
#define LIN_TWIN	BIT(3)	/* another block carries its node key */
#define LIN_FIRST	BIT(4)	/* its family is reached through it */
#define LIN_ANCHOR	BIT(5)	/* by a PARENT entry */

#define ENTRY_OWN(id)		((id) << 1)
#define ENTRY_PARENT(id)	((id) << 1 | 1)
#define ENTRY_IS_PARENT(e)	((e) & 1)
#define ENTRY_ID(e)		((e) >> 1)

struct lineage {
	u32 *heads;		/* family table: chains of entries */
	u32 nr_heads;
	u64 secret[2];
	u64 last_key;		/* of the PARENT entry that was added last, */
	u32 *last_link;		/* and where it hangs; NULL: maybe elsewhere */
	u32 fading;		/* list of placeholders without children */
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
static __always_inline u64 parent_key(const struct kvbm_hash *h)
{
	u32 bits;

	/* The usual mode, 0: constant shifts. */
	if (likely(h->hi < BIT_ULL(62)))
		return (h->hi & ~(BIT_ULL(54) - 1)) |
		       (h->lo & (BIT_ULL(54) - 1));
	bits = 54 - 8 * kvbm_hash_mode(h);

	return h->hi >> bits << bits | (h->lo & (BIT_ULL(bits) - 1));
}

static __always_inline u64 own_key(const struct kvbm_hash *h)
{
	u64 top, fragment;
	u32 mode, bits;

	/* The usual mode, 0, below its last position: constant shifts. */
	if (likely(h->hi < 255ULL << 54))
		return ((h->hi >> 54) + 1) << 54 |
		       ((h->hi << 10 | h->lo >> 54) & (BIT_ULL(54) - 1));

	mode = kvbm_hash_mode(h);
	bits = 54 - 8 * mode;
	top = (h->hi >> bits) + 1;	/* mode and the children's position */
	fragment = h->hi << (64 - bits) | h->lo >> bits;

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
	struct lineage *ln = st->evict;

	ln->last_link = NULL;
	*link = *chain_link(st, *link);
}

/* Another entry takes the place of one of the same key. */
static void family_replace(struct kvbm_store *st, u32 *link, u32 by)
{
	struct lineage *ln = st->evict;

	ln->last_link = NULL;
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

/* Held, and nothing is under it any more, but it is LINKED still. */
static bool is_fading(const struct kvbm_slot *s)
{
	const u32 mask = LIN_IN | LIN_IDLE | LIN_LINKED | LIN_TWIN;

	return (s->flags & mask) == (LIN_IN | LIN_LINKED) && !has_child(s);
}

/*
 * The list goes through ->next and back through ->place: a held block is in no
 * list of free ones, and has no place in the order.
 */
static void fading_add(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	s->next = ln->fading;
	WRITE_ONCE(s->place, KVBM_NIL);
	if (s->next != KVBM_NIL)
		WRITE_ONCE(st->slots[s->next].place, id);
	ln->fading = id;
	st->pruning = id;
}

static void fading_del(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	if (s->place != KVBM_NIL)
		st->slots[s->place].next = s->next;
	else
		ln->fading = s->next;
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

/* The carrier of a block's parent key if the hint to it is right, or NIL. */
static u32 hinted_parent(struct kvbm_store *st, const struct kvbm_slot *s,
			 u64 key)
{
	const struct kvbm_slot *p;

	if (s->parent >= st->cfg.total)
		return KVBM_NIL;
	p = &st->slots[s->parent];
	if ((p->flags & (LIN_IN | LIN_TWIN)) != LIN_IN ||
	    own_key(&p->key) != key)
		return KVBM_NIL;
	return s->parent;
}

/* Hang a block under its parent's node. */
static void link_up(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id], *p;
	u64 key = parent_key(&s->key);
	struct lineage *ln = st->evict;
	u32 *link, parent;

	s->flags |= LIN_LINKED;
	s->sib_prev = id;
	s->sib_next = id;
	if (!has_parent(s))
		return;
	parent = hinted_parent(st, s, key);
	if (parent == KVBM_NIL) {
		link = family_find(st, key);
		if (*link == KVBM_NIL) {
			s->flags |= LIN_FIRST | LIN_ANCHOR;
			family_add(st, link, ENTRY_PARENT(id));
			ln->last_key = key;
			ln->last_link = link;
			return;
		}
		if (ENTRY_IS_PARENT(*link)) {
			ring_add(st, ENTRY_ID(*link), id);
			return;
		}
		parent = ENTRY_ID(*link);
		s->parent = parent;
	}
	p = &st->slots[parent];
	if (has_child(p)) {
		ring_add(st, p->child, id);
		return;
	}
	if (p->flags & LIN_IDLE)
		leaf_del(st, parent);
	else if (p->flags & LIN_LINKED)
		fading_del(st, parent);
	p->child = id;
	s->flags |= LIN_FIRST;
}

/* The family of a block that leaves it has another first child, or none. */
static void replace_first(struct kvbm_store *st, u32 id, u32 next)
{
	struct kvbm_slot *s = &st->slots[id], *p;
	u64 key = parent_key(&s->key);
	u32 parent, *link;

	if (next != id)
		st->slots[next].flags |= s->flags & (LIN_FIRST | LIN_ANCHOR);
	if (s->flags & LIN_ANCHOR) {
		link = family_find(st, key);
		if (next == id)
			family_del(st, link);
		else
			family_replace(st, link, ENTRY_PARENT(next));
		return;
	}
	parent = hinted_parent(st, s, key);
	if (parent == KVBM_NIL)
		parent = ENTRY_ID(*family_find(st, key));
	p = &st->slots[parent];
	if (next != id) {
		p->child = next;
		return;
	}
	p->child = KVBM_NIL_CHILD;
	if (p->flags & LIN_IDLE)
		leaf_add(st, parent);
	else if (p->flags & LIN_LINKED)
		fading_add(st, parent);
}

/* Undo link_up(). */
static void unlink_up(struct kvbm_store *st, u32 id)
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

/* A slot leaves the forest: what hangs under it goes to a twin, or stands. */
static void leave(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	u32 *link = family_find(st, own_key(&s->key));
	u32 twin;

	if (s->flags & LIN_TWIN) {
		twin_del(st, ENTRY_ID(*link), id);
	} else {
		twin = promote_twin(st, link, id);
		if (twin != KVBM_NIL && has_child(s)) {
			leaf_del(st, twin);
			st->slots[twin].child = s->child;
		} else if (twin == KVBM_NIL && has_child(s)) {
			family_replace(st, link, ENTRY_PARENT(s->child));
			st->slots[s->child].flags |= LIN_ANCHOR;
		} else if (twin == KVBM_NIL) {
			family_del(st, link);
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
	u64 key = own_key(&s->key);
	struct lineage *ln = st->evict;
	u32 *link;

	/* Released tail first, a block comes right after its child. */
	if (ln->last_link && ln->last_key == key)
		link = ln->last_link;
	else
		link = family_find(st, key);
	s->flags = LIN_IN;
	s->child = KVBM_NIL_CHILD;
	s->twin = KVBM_NIL;
	s->parent = KVBM_NIL;
	if (*link == KVBM_NIL) {
		family_add(st, link, ENTRY_OWN(id));
		return;
	}
	other = &st->slots[ENTRY_ID(*link)];
	if (ENTRY_IS_PARENT(*link)) {
		s->child = ENTRY_ID(*link);
		family_replace(st, link, ENTRY_OWN(id));
		other->flags &= ~LIN_ANCHOR;
		other->parent = id;
	} else if (!(other->flags & (LIN_IDLE | LIN_LINKED))) {
		family_replace(st, link, ENTRY_OWN(id));
		s->child = other->child;
		other->flags = 0;
	} else {
		twin_add(st, ENTRY_ID(*link), id);
	}
}

static void lineage_insert(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	/* Before it has a place again. */
	if (unlikely(is_fading(s)))
		fading_del(st, id);
	if (tick_order(st))
		kvbm_order_add(st, &ln->order, id);
	if (!(s->flags & LIN_IN))
		enter(st, id);
	s->flags |= LIN_IDLE;
	/* A placeholder that was LINKED takes its old place. */
	if (!(s->flags & LIN_LINKED))
		link_up(st, id);
	if (!has_child(s))
		leaf_add(st, id);
}

/* Out of the order, whatever comes then. */
static void no_longer_idle(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];
	struct lineage *ln = st->evict;

	lockdep_assert_held(&st->lock);
	if (!has_child(s))
		leaf_del(st, id);
	if (tick_order(st))
		kvbm_order_del(st, &ln->order, id);
	s->flags &= ~LIN_IDLE;
}

/* A held slot without children is not there. */
static void vanish(struct kvbm_store *st, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];

	if (s->flags & LIN_TWIN || s->twin != KVBM_NIL)
		leave(st, id);
	else
		unlink_up(st, id);
}

static void lineage_remove(struct kvbm_store *st, u32 id)
{
	no_longer_idle(st, id);
	if (!has_child(&st->slots[id]))
		vanish(st, id);
}

/* A step of a prune: where it goes on, or NIL when that was the last. */
static u32 prune_step(struct kvbm_store *st, u32 id)
{
	u32 next;

	fading_del(st, id);
	st->pruning = KVBM_NIL;
	vanish(st, id);
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
			from = ln->fading;
		if (from == KVBM_NIL || !is_fading(&st->slots[from]))
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

	/* All that is idle is above what fades: up there. */
	while (unlikely(kvbm_order_none(&ln->order, 0))) {
		if (!*budget || ln->fading == KVBM_NIL)
			return KVBM_NIL;
		--*budget;
		prune_step(st, ln->fading);
	}
	id = kvbm_order_first(&ln->order, 0);
	no_longer_idle(st, id);
	leave(st, id);
	return id;
}

static void lineage_forget(struct kvbm_store *st, u32 id)
{
	lockdep_assert_held(&st->lock);
	if (is_fading(&st->slots[id]))
		fading_del(st, id);
	if (st->slots[id].flags & LIN_IN)
		leave(st, id);
}

static void lineage_exit(struct kvbm_store *st)
{
	struct lineage *ln = st->evict;

	kvbm_order_exit(&ln->order);
	kvbm_array_free(ln->heads);
	kfree(ln);
}

static u64 lineage_need(const struct kvbm_config *cfg)
{
	return sizeof(struct lineage) + kvbm_order_need(cfg->total, 1) +
	       kvbm_array_need(cfg->total, sizeof(u32));
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

/* Table entries that are looked for together. */
#define WARM_GROUP	16

/* Where the look-up of a key will begin. */
static void warm_key(struct lineage *ln, u64 key, const u32 **link, u32 *n)
{
	link[*n] = head_of(ln, key);
	prefetchw(link[(*n)++]);
}

/* The slots that heads lead to, and those behind them. */
static void warm_chains(struct kvbm_store *st, const u32 **link, u32 n)
{
	u32 step, i;

	for (step = 0; step < 2; step++) {
		for (i = 0; i < n; i++) {
			/* A hint: the chain may change under our eyes. */
			u32 e = data_race(READ_ONCE(*link[i]));

			if (ENTRY_ID(e) >= st->cfg.total)
				continue;
			link[i] = chain_link(st, e);
			prefetchw(link[i]);
		}
	}
}

/* What link_up() and unlink_up() will touch. */
static void warm_relatives(struct kvbm_store *st, const struct kvbm_slot *s,
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

/* Places, relatives, and table entries of what enters or leaves the forest. */
static void lineage_warm(struct kvbm_store *st, const u32 *ids, u32 n,
			 enum kvbm_warm what)
{
	const u32 *link[2 * WARM_GROUP] __uninitialized;
	struct lineage *ln = st->evict;
	/* The parent key asked for last; at first none: mode 3. */
	u64 last = U64_MAX;
	u32 i, nr = 0;

	if (what != KVBM_WARM_INSERT)
		kvbm_order_prefetch(st, &ln->order, ids, n);
	for (i = 0; i < n; i++) {
		const struct kvbm_slot *s = &st->slots[ids[i]];
		struct kvbm_hash key = kvbm_slot_peek_key(s);
		/* Hints, too. */
		bool in = data_race(s->flags & LIN_IN);
		/* As above. */
		bool anchor = data_race(s->flags & LIN_ANCHOR);

		if (in)
			warm_relatives(st, s, what != KVBM_WARM_INSERT);
		/* Who leaves has an entry; who enters will get one. */
		if (what == KVBM_WARM_POP ||
		    (!in && (what != KVBM_WARM_INSERT || own_key(&key) != last)))
			warm_key(ln, own_key(&key), link, &nr);
		if (what == KVBM_WARM_INSERT ? !in : anchor) {
			last = parent_key(&key);
			warm_key(ln, last, link, &nr);
		}
		if (nr > 2 * WARM_GROUP - 2 || i + 1 == n) {
			warm_chains(st, link, nr);
			nr = 0;
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
	.ahead = lineage_ahead,
	.warm = lineage_warm,
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
	.ahead = lineage_ahead,
	.warm = lineage_warm,
};
