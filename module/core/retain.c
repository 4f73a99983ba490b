// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * retain.c - ranks: which blocks are evicted first, and which last
 *
 * In a store with retention each registered block has one of four ranks;
 * inactive blocks are evicted by rank, then in the order of the policy.  A rank
 * is a kind of mark in that order (evict/order.h).  So a change of rank moves
 * nothing and costs two marks, and an allocation finds the lowest rank by
 * looking at four of them.  Held blocks have no mark; they get that of their
 * rank when they become inactive.
 *
 * Ranks, expiry times and charged users are in arrays beside the slots,
 * allocated with the store.  A store without retention has none, and checks for
 * them only where a hash leaves and where a mark is set.
 *
 * Expiry times are in a heap, so a rank that expires, changes or ends costs
 * some ten steps of two cache lines, whatever others have set.  While there are
 * any, a work item runs every TICK, and gives the normal rank to KVBM_CHUNK
 * blocks per hold of the lock; each chunk of an allocation does as many first.
 * Until then only the eviction order has the old rank: code that reports or
 * compares a rank checks the clock.  This uses a tick, not a timer, because
 * jiffies timers stand still while the machine sleeps.
 *
 * Ranks are soft, but raising everything would take everybody's: so raised
 * blocks are counted, in all and by user.  A user's account (struct
 * kvbm_keeper) exists while he has a session or is charged, so there are no
 * more accounts than sessions and raised blocks.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "evict.h"
#include "index.h"
#include "locked.h"
#include "retain.h"
#include "trace.h"

#define TICK		(HZ / 4)
#define TICK_STEPS	256	/* holds of the lock in one run of the work item */

#define ID_BITS		24
#define ID_MASK		GENMASK_ULL(ID_BITS - 1, 0)
static_assert(KVBM_MAX_BLOCKS <= 1U << ID_BITS);

/**
 * struct kvbm_keeper - a user's account
 * @node: in the store's, by @uid
 * @uid: the user
 * @sessions: his open sessions
 * @raised: blocks that he is charged for
 */
struct kvbm_keeper {
	struct rb_node node;
	u32 uid;
	u32 sessions;
	u32 raised;
};

/* --- times --------------------------------------------------------------- */

/* The heap's children of a place are in half a cache line: see init. */
#define HEAP_WIDTH	4

static u64 now_units(void)
{
	return ktime_get_boottime_ns() >> KVBM_KEEP_SHIFT;
}

/**
 * kvbm_keep_until() - convert a time to the stored format
 * @ns: CLOCK_BOOTTIME, ns; 0: never
 */
u64 kvbm_keep_until(u64 ns)
{
	if (!ns)
		return KVBM_KEEP_FOREVER;
	ns = (ns >> KVBM_KEEP_SHIFT) + !!(ns & GENMASK_ULL(KVBM_KEEP_SHIFT - 1, 0));
	return min_t(u64, ns, KVBM_KEEP_FOREVER);
}

static void heap_put(struct kvbm_retention *r, u32 at, u64 e)
{
	r->timed[at] = e;
	r->timed_at[e & ID_MASK] = at;
}

/* Put an entry at place @at, or nearer to the top. */
static void heap_up(struct kvbm_retention *r, u32 at, u64 e)
{
	while (at) {
		u32 up = (at - 1) / HEAP_WIDTH;

		if (r->timed[up] <= e)
			break;
		heap_put(r, at, r->timed[up]);
		at = up;
	}
	heap_put(r, at, e);
}

/* Or farther from it. */
static void heap_down(struct kvbm_retention *r, u32 at, u64 e)
{
	for (;;) {
		u32 first = HEAP_WIDTH * at + 1, least = first, i;

		if (first >= r->nr_timed)
			break;
		for (i = 1; i < HEAP_WIDTH && first + i < r->nr_timed; i++)
			if (r->timed[first + i] < r->timed[least])
				least = first + i;
		if (r->timed[least] >= e)
			break;
		heap_put(r, at, r->timed[least]);
		at = least;
	}
	heap_put(r, at, e);
}

static void timed_del(struct kvbm_retention *r, u32 id)
{
	u32 at = r->timed_at[id];
	u64 last;

	if (at == KVBM_NIL)
		return;
	r->timed_at[id] = KVBM_NIL;
	last = r->timed[--r->nr_timed];
	if (at == r->nr_timed)
		return;
	if (at && r->timed[(at - 1) / HEAP_WIDTH] > last)
		heap_up(r, at, last);
	else
		heap_down(r, at, last);
}

static void timed_add(struct kvbm_retention *r, u32 id, u64 until)
{
	if (until == KVBM_KEEP_FOREVER)
		return;
	heap_up(r, r->nr_timed++, until << ID_BITS | id);
}

static u64 until_of(const struct kvbm_retention *r, u32 id)
{
	u32 at = r->timed_at[id];

	return at == KVBM_NIL ? KVBM_KEEP_FOREVER : r->timed[at] >> ID_BITS;
}

/* --- who is charged ------------------------------------------------------ */

static void keeper_put(struct kvbm_retention *r, struct kvbm_keeper *k)
{
	if (k->sessions || k->raised)
		return;
	rb_erase(&k->node, &r->keepers);
	kfree(k);
}

/**
 * kvbm_keeper_join() - give a session's user an account
 * @ses: the session; ->uid is the user
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_keeper_join(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;
	struct rb_node **link, *parent = NULL;
	struct kvbm_keeper *new, *k = NULL;

	if (!st->retention)
		return 0;
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	spin_lock(&st->lock);
	link = &st->retention->keepers.rb_node;
	while (*link) {
		parent = *link;
		k = rb_entry(parent, struct kvbm_keeper, node);
		if (k->uid == ses->uid)
			break;
		link = ses->uid < k->uid ? &parent->rb_left :
					   &parent->rb_right;
	}
	if (!*link) {
		k = new;
		new = NULL;
		k->uid = ses->uid;
		rb_link_node(&k->node, parent, link);
		rb_insert_color(&k->node, &st->retention->keepers);
	}
	k->sessions++;
	ses->keeper = k;
	spin_unlock(&st->lock);
	kfree(new);
	return 0;
}

/**
 * kvbm_keeper_leave() - detach a session from its user's account
 * @ses: the session; no call of it is in progress
 */
void kvbm_keeper_leave(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;

	if (!ses->keeper)
		return;
	spin_lock(&st->lock);
	ses->keeper->sessions--;
	keeper_put(st->retention, ses->keeper);
	ses->keeper = NULL;
	spin_unlock(&st->lock);
}

static void discharge(struct kvbm_retention *r, u32 id)
{
	struct kvbm_keeper *k = r->payer[id];

	if (!k)
		return;
	r->payer[id] = NULL;
	r->raised--;
	k->raised--;
	keeper_put(r, k);
}

/*
 * Charge a session's user for a block, replacing the old one; false: too many.
 */
static bool charge(struct kvbm_session *ses, u32 id)
{
	struct kvbm_retention *r = ses->store->retention;
	const struct kvbm_config *cfg = &ses->store->cfg;

	if (r->payer[id] == ses->keeper)
		return true;
	if (!r->payer[id] && r->raised >= cfg->keep_blocks)
		return false;
	if (!ses->may_lower && ses->keeper->raised >= cfg->keep_user_blocks)
		return false;
	/* The session keeps its user's account meanwhile. */
	discharge(r, id);
	r->payer[id] = ses->keeper;
	r->raised++;
	ses->keeper->raised++;
	return true;
}

/* --- ranks --------------------------------------------------------------- */

/* Change the rank of a registered block, inactive or held. */
static void set_rank(struct kvbm_store *st, u32 id, u32 rank)
{
	struct kvbm_retention *r = st->retention;
	u32 old = r->rank[id];

	lockdep_assert_held(&st->lock);
	if (old == rank)
		return;
	r->blocks[old]--;
	r->blocks[rank]++;
	/* References change from and to 0 only under the lock. */
	if (!kvbm_w_refs(kvbm_slot_word(&st->slots[id])))
		st->cfg.policy->rerank(st, id, old, rank);
	r->rank[id] = rank;
}

/* A block's rank expires. */
static void end_rank(struct kvbm_store *st, u32 id)
{
	struct kvbm_retention *r = st->retention;

	timed_del(r, id);
	set_rank(st, id, KVBM_RANK_NORMAL);
	discharge(r, id);
	r->expired++;
	trace_kvbm_keep(st, 0, id, &st->slots[id].key, KVBM_RANK_NORMAL);
}

/* Does any block with an expired rank still have it? */
static bool overdue(const struct kvbm_retention *r, u64 now)
{
	return r->nr_timed && r->timed[0] >> ID_BITS <= now;
}

/* Expire up to @max ranks; returns how many. */
static u32 expire(struct kvbm_store *st, u32 max)
{
	struct kvbm_retention *r = st->retention;
	u64 now = now_units();
	u32 n;

	lockdep_assert_held(&st->lock);
	for (n = 0; n < max && overdue(r, now); n++)
		end_rank(st, r->timed[0] & ID_MASK);
	return n;
}

/**
 * kvbm_ranks_due() - expire ranks before an eviction
 * @st: the store, locked; it has retention
 *
 * Up to KVBM_CHUNK of them.
 */
void kvbm_ranks_due(struct kvbm_store *st)
{
	lockdep_assert_held(&st->lock);
	if (st->retention->nr_timed)
		expire(st, KVBM_CHUNK);
}

static void retention_work(struct work_struct *work)
{
	struct kvbm_retention *r = container_of(to_delayed_work(work),
						struct kvbm_retention, work);
	struct kvbm_store *st = r->store;
	u32 steps = TICK_STEPS, n, left;

	do {
		spin_lock(&st->lock);
		n = expire(st, KVBM_CHUNK);
		left = r->nr_timed;
		spin_unlock(&st->lock);
		cond_resched();
	} while (n == KVBM_CHUNK && --steps);
	/* Adding the first one queues it, too. */
	if (left)
		schedule_delayed_work(&r->work, steps ? TICK : 0);
}

/**
 * kvbm_rank_of() - a registered block's current rank
 * @st: the store, locked
 * @id: the block
 * @until_ns: out: when it expires, CLOCK_BOOTTIME; 0: never
 *
 * Return: enum kvbm_rank.
 */
u32 kvbm_rank_of(struct kvbm_store *st, u32 id, u64 *until_ns)
{
	struct kvbm_retention *r = st->retention;
	u64 until;

	lockdep_assert_held(&st->lock);
	*until_ns = 0;
	if (!r)
		return KVBM_RANK_NORMAL;
	until = until_of(r, id);
	if (until == KVBM_KEEP_FOREVER)
		return r->rank[id];
	if (until <= now_units())
		return KVBM_RANK_NORMAL;
	*until_ns = until << KVBM_KEEP_SHIFT;
	return r->rank[id];
}

/**
 * kvbm_rank_drop() - end a rank when the hash leaves the store
 * @st: the store, locked; it has retention
 * @id: the block: no longer in the eviction order
 * @why: reason of the removal
 */
void kvbm_rank_drop(struct kvbm_store *st, u32 id, enum kvbm_reason why)
{
	struct kvbm_retention *r = st->retention;

	lockdep_assert_held(&st->lock);
	if (likely(r->rank[id] == KVBM_RANK_NORMAL))
		return;
	r->evicted[r->rank[id]] += why == KVBM_REASON_EVICTED;
	r->blocks[r->rank[id]]--;
	r->blocks[KVBM_RANK_NORMAL]++;
	r->rank[id] = KVBM_RANK_NORMAL;
	timed_del(r, id);
	discharge(r, id);
}

/* May a session without a hold make this change of rank? */
static bool is_raise(u32 old, u64 old_until, const struct kvbm_keep_to *to)
{
	if (to->rank < old)
		return false;
	if (old > KVBM_RANK_NORMAL)
		return to->until >= old_until;
	if (old < KVBM_RANK_NORMAL && to->rank == old)
		return to->until <= old_until;
	return true;
}

/* Give a registered block a rank; returns enum kvbm_keep_result. */
static u8 keep_one(struct kvbm_session *ses, u32 id, bool held,
		   const struct kvbm_keep_to *to, u64 now)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_retention *r = st->retention;
	u64 until;

	lockdep_assert_held(&st->lock);
	if (until_of(r, id) <= now)
		end_rank(st, id);
	until = until_of(r, id);
	if (!held && !ses->may_lower && !is_raise(r->rank[id], until, to))
		return KVBM_KEEP_DENIED;
	/* Nothing to do; the charged user stays. */
	if (to->rank == r->rank[id] && to->until == until)
		return KVBM_KEEP_DONE;
	if (to->rank <= KVBM_RANK_NORMAL)
		discharge(r, id);
	else if (!charge(ses, id))
		return KVBM_KEEP_FULL;
	timed_del(r, id);
	timed_add(r, id, to->until);
	set_rank(st, id, to->rank);
	trace_kvbm_keep(st, ses->number, id, &st->slots[id].key, to->rank);
	return KVBM_KEEP_DONE;
}

/* The slot of a hash, if it is present. */
static struct kvbm_slot *present(struct kvbm_store *st,
				 const struct kvbm_hash *key)
{
	struct kvbm_slot *s = kvbm_index_lookup(st, key);

	lockdep_assert_held(&st->lock);
	/* Blocks promised to an allocation count as evicted. */
	if (s && !kvbm_w_refs(kvbm_slot_word(s)) && kvbm_all_reserved(st))
		return NULL;
	return s;
}

/*
 * The block that has the rank: that of the hash, for a Duplicate its Primary;
 * KVBM_NIL: the hash is forgotten.
 */
static u32 ranked(struct kvbm_store *st, u32 id)
{
	lockdep_assert_held(&st->lock);
	if (kvbm_w_state(kvbm_slot_word(&st->slots[id])) ==
	    KVBM_STATE_DUPLICATE)
		id = st->slots[id].child;
	if (kvbm_w_state(kvbm_slot_word(&st->slots[id])) != KVBM_STATE_PRIMARY)
		return KVBM_NIL;
	return id;
}

/**
 * kvbm_keep_chunk() - give blocks a rank
 * @ses: the session
 * @ids: blocks that it holds, or NULL
 * @keys: hashes, if there are no ids
 * @n: elements, at most KVBM_CHUNK
 * @to: the new rank
 * @results: out: enum kvbm_keep_result of each
 * @step: how it ended
 *
 * Return: elements done; fewer than @n without an errno: call again for the rest.
 */
u32 kvbm_keep_chunk(struct kvbm_session *ses, const u32 *ids,
		    const struct kvbm_hash *keys, u32 n,
		    const struct kvbm_keep_to *to, u8 *results,
		    struct kvbm_step *step)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_retention *r = st->retention;
	struct kvbm_keep_to now_to = *to;
	u64 now = now_units();
	bool timed;
	u32 i = 0;

	/* A time in the past means the normal rank. */
	if (to->until <= now)
		now_to = (struct kvbm_keep_to) { KVBM_RANK_NORMAL,
						 KVBM_KEEP_FOREVER };
	spin_lock(&ses->lock);
	spin_lock(&st->lock);
	/* Nobody is charged for those. */
	kvbm_ranks_due(st);
	step->err = ses->dead;
	for (; i < n && !step->err; i++) {
		bool held = true;
		u32 id;

		if (ids) {
			if (!kvbm_count_held(ses, ids[i])) {
				step->err = -EPERM;
				break;
			}
			id = ranked(st, kvbm_id_nospec(st, ids[i]));
		} else {
			struct kvbm_slot *s = present(st, &keys[i]);
			u32 *cnt;

			id = s ? kvbm_slot_id(st, s) : KVBM_NIL;
			cnt = s ? kvbm_count(ses, id) : NULL;
			held = cnt && *cnt;
		}
		results[i] = id == KVBM_NIL ? KVBM_KEEP_ABSENT :
			     keep_one(ses, id, held, &now_to, now);
		/*
		 * Expired ones first: some may be charged to this user, or to
		 * any.
		 */
		if (unlikely(results[i] == KVBM_KEEP_FULL && overdue(r, now)))
			break;
	}
	timed = r->nr_timed;
	spin_unlock(&st->lock);
	spin_unlock(&ses->lock);
	/* Pairs with retention_work(), which looks at nr_timed under the lock. */
	if (timed)
		schedule_delayed_work(&r->work, TICK);
	return i;
}

/**
 * kvbm_newest_chunk() - make inactive blocks the newest
 * @st: the store
 * @keys: hashes; others are skipped
 * @n: elements, at most KVBM_CHUNK
 *
 * As if each were held and released.
 *
 * Return: elements done; fewer than @n: call again for the rest.
 */
u32 kvbm_newest_chunk(struct kvbm_store *st, const struct kvbm_hash *keys,
		      u32 n)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 i;

	for (i = 0; i < n && kvbm_lock_store(&l); i++) {
		struct kvbm_slot *s = present(st, &keys[i]);
		u32 id;

		if (!s || kvbm_w_refs(kvbm_slot_word(s)))
			continue;
		id = kvbm_slot_id(st, s);
		st->cfg.policy->remove(st, id);
		kvbm_index_busy(st, s);
		kvbm_index_idle(st, s);
		kvbm_evict_insert(st, s, id);
	}
	kvbm_unlock_store(&l);
	kvbm_prune_end(st, l.prune);
	return i;
}

/* --- the store's life ---------------------------------------------------- */

/* A place's children begin at a multiple of their number. */
#define HEAP_LEAD	(HEAP_WIDTH - 1)

/**
 * kvbm_retention_need() - the most bytes that kvbm_retention_init() allocates
 * @cfg: the store's
 */
u64 kvbm_retention_need(const struct kvbm_config *cfg)
{
	if (!cfg->keep_blocks)
		return 0;
	return sizeof(struct kvbm_retention) +
	       kvbm_array_need(cfg->total, sizeof(u8)) +
	       kvbm_array_need(cfg->total, sizeof(u32)) +
	       kvbm_array_need(cfg->total, sizeof(struct kvbm_keeper *)) +
	       kvbm_array_need((u64)cfg->total + HEAP_LEAD, sizeof(u64));
}

/**
 * kvbm_retention_init() - allocate ranks for a store, if configured
 * @st: the store
 *
 * Return: 0 or -ENOMEM; kvbm_retention_exit() is due in both cases.
 */
int kvbm_retention_init(struct kvbm_store *st)
{
	u32 id, total = st->cfg.total;
	struct kvbm_retention *r;

	if (!st->cfg.keep_blocks)
		return 0;
	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	st->retention = r;
	r->store = st;
	r->keepers = RB_ROOT;
	INIT_DELAYED_WORK(&r->work, retention_work);
	r->rank = kvbm_array_alloc(st, total, sizeof(*r->rank));
	r->timed_at = kvbm_array_alloc(st, total, sizeof(*r->timed_at));
	r->payer = kvbm_array_alloc(st, total, sizeof(*r->payer));
	r->timed_memory = kvbm_array_alloc(st, total + HEAP_LEAD,
					   sizeof(*r->timed));
	if (!r->rank || !r->timed_at || !r->payer || !r->timed_memory)
		return -ENOMEM;
	r->timed = r->timed_memory + HEAP_LEAD;
	r->blocks[KVBM_RANK_NORMAL] = total;
	for (id = 0; id < total; id++) {
		r->rank[id] = KVBM_RANK_NORMAL;
		r->timed_at[id] = KVBM_NIL;
		if (!(id % 65536))
			cond_resched();
	}
	return 0;
}

void kvbm_retention_exit(struct kvbm_store *st)
{
	struct kvbm_retention *r = st->retention;
	struct kvbm_keeper *k, *next;

	if (!r)
		return;
	cancel_delayed_work_sync(&r->work);
	/* Inactive blocks still have their rank, and are charged. */
	rbtree_postorder_for_each_entry_safe(k, next, &r->keepers, node)
		kfree(k);
	kvbm_array_free(r->timed_memory);
	kvbm_array_free(r->payer);
	kvbm_array_free(r->timed_at);
	kvbm_array_free(r->rank);
	kfree(r);
	st->retention = NULL;
}
