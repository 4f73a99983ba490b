// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * sessions.c - the sessions of a store, and sums over them
 *
 * They are in a list ordered by number, and in a tree to find one by
 * number.  Nobody walks all of them under sessions_lock: a walk stops after
 * KVBM_CHUNK sessions, drops the lock, and continues behind the number at which
 * it stopped.
 */
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include "core.h"
#include "retain.h"
#include "note.h"
#include "trace.h"

/**
 * kvbm_session_after() - the session with the next higher number
 * @st: the store, its sessions_lock held
 * @number: a number, of a session or not
 *
 * Return: the session, or NULL.
 */
struct kvbm_session *kvbm_session_after(struct kvbm_store *st, u64 number)
{
	struct rb_node *node = st->by_number.rb_node;
	struct kvbm_session *found = NULL;

	lockdep_assert_held(&st->sessions_lock);
	while (node) {
		struct kvbm_session *ses;

		ses = rb_entry(node, struct kvbm_session, node);
		if (ses->number > number) {
			found = ses;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/* Numbers ascend: a new session is the last one. */
static void add_last(struct kvbm_store *st, struct kvbm_session *ses)
{
	struct rb_node **link = &st->by_number.rb_node, *parent = NULL;

	lockdep_assert_held(&st->sessions_lock);
	while (*link) {
		parent = *link;
		link = &parent->rb_right;
	}
	rb_link_node(&ses->node, parent, link);
	rb_insert_color(&ses->node, &st->by_number);
	list_add_tail(&ses->link, &st->sessions);
	st->nr_listed++;
}

/* A place for one more, in the common part or in the opener's reserve. */
static int count_in(struct kvbm_store *st, struct kvbm_session *ses)
{
	lockdep_assert_held(&st->sessions_lock);
	if (st->nr_sessions - hweight8(st->reserves) < st->cfg.max_sessions) {
		ses->reserve = 0;
	} else {
		/* The lowest free number. */
		ses->reserve &= ~st->reserves;
		ses->reserve &= -ses->reserve;
		if (!ses->reserve)
			return -EUSERS;
		st->reserves |= ses->reserve;
	}
	st->nr_sessions++;
	ses->counted = true;
	return 0;
}

/**
 * kvbm_session_uncount() - give up a session's place
 * @ses: it is revoked, or ends; its store's sessions_lock held
 */
void kvbm_session_uncount(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;

	lockdep_assert_held(&st->sessions_lock);
	if (!ses->counted)
		return;
	ses->counted = false;
	st->nr_sessions--;
	st->reserves &= ~ses->reserve;
}

/**
 * kvbm_session_init() - a session joins its store
 * @ses: zeroed memory; ->reserve says which reserves it may use, ->uid and
 *	->may_lower which ranks it may set
 * @st: the store
 *
 * Return: 0, -ENOMEM, -EUSERS (limit on sessions), -ENODEV (the store is
 * going). kvbm_holds_free() is due in every case.
 */
int kvbm_session_init(struct kvbm_session *ses, struct kvbm_store *st)
{
	int err;

	ses->store = st;
	err = kvbm_holds_init(ses);
	if (err)
		return err;
	spin_lock_init(&ses->lock);
	ses->max_held = st->cfg.max_held ?: U32_MAX;
	ses->low_watermark = 1;
	INIT_LIST_HEAD(&ses->waiters);
	INIT_LIST_HEAD(&ses->allocs);
	INIT_LIST_HEAD(&ses->claim_waits);
	INIT_LIST_HEAD(&ses->offers);
	INIT_LIST_HEAD(&ses->offers_to);
	INIT_LIST_HEAD(&ses->accepting);
	RB_CLEAR_NODE(&ses->poll_node);

	err = kvbm_keeper_join(ses);
	if (err)
		return err;

	mutex_lock(&st->sessions_lock);
	err = st->closing ? -ENODEV : count_in(st, ses);
	if (!err) {
		ses->number = ++st->next_session;
		add_last(st, ses);
	}
	mutex_unlock(&st->sessions_lock);
	if (err)
		kvbm_keeper_leave(ses);
	trace_kvbm_open(st, ses->number, err);
	return err;
}

static void add_counters(struct kvbm_counters *to,
			 const struct kvbm_counters *c)
{
#define KVBM_SESSION_COUNTER(_name, _help)	to->_name += c->_name;
#include "stats.def"
}

/**
 * kvbm_session_exit() - end a session and release everything it holds
 * @ses: no call of it is in progress
 *
 * A revocation may still be looking at its hold table, which kvbm_holds_free()
 * frees with the last reference.
 */
void kvbm_session_exit(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;

	kvbm_session_kill(ses, -ESHUTDOWN);
	kvbm_poll_end(ses);
	WARN_ON_ONCE(ses->held || ses->holds || ses->owned || ses->allocating ||
		     ses->reserved || ses->nr_waiters || ses->nr_claims ||
		     ses->watch || ses->nr_offered || ses->nr_offers ||
		     ses->nr_offers_to || !list_empty(&ses->accepting));
	mutex_lock(&st->sessions_lock);
	add_counters(&st->ended, &ses->counters);
	/* A sum in progress will not reach it any more. */
	if (st->summing && ses->number > st->summing->upto)
		add_counters(&st->summing->sum, &ses->counters);
	kvbm_session_uncount(ses);
	list_del(&ses->link);
	rb_erase(&ses->node, &st->by_number);
	st->nr_listed--;
	mutex_unlock(&st->sessions_lock);
	kvbm_keeper_leave(ses);
}

/* The next part of a sum; false: that was the last one. */
static bool sum_some(struct kvbm_store *st, struct kvbm_summing *s,
		     struct kvbm_stats *out)
{
	struct kvbm_session *ses;
	u32 budget = KVBM_CHUNK;

	mutex_lock(&st->sessions_lock);
	if (!st->summing) {
		st->summing = s;
		s->sum = st->ended;
	}
	ses = kvbm_session_after(st, s->upto);
	while (ses && budget--) {
		spin_lock(&ses->lock);
		add_counters(&s->sum, &ses->counters);
		out->inflight_mutable += ses->owned - ses->staged;
		out->staged += ses->staged;
		out->inflight_immutable += ses->holds;
		out->offered += ses->nr_offered;
		spin_unlock(&ses->lock);
		s->upto = ses->number;
		if (list_is_last(&ses->link, &st->sessions))
			ses = NULL;
		else
			ses = list_next_entry(ses, link);
	}
	if (!ses) {
		st->summing = NULL;
		out->sessions = st->nr_sessions;
		out->revoked_sessions = st->nr_listed - st->nr_sessions;
		out->reclaimed_sessions = st->reclaimed.sessions;
		out->reclaimed_owned = st->reclaimed.owned;
		out->reclaimed_holds = st->reclaimed.holds;
		out->reclaim_last_ns = st->reclaimed.last_ns;
		out->reclaim_max_ns = st->reclaimed.max_ns;
	}
	mutex_unlock(&st->sessions_lock);
	return ses;
}

/* The header's structure matches the list. */
enum {
#define KVBM_STAT(_name, _help)	STAT_##_name,
#include "stats.def"
	NR_STATS
};

/**
 * kvbm_store_stats() - counters and gauges, summed over the sessions
 * @st: the store
 * @out: zeroed; filled in
 *
 * One at a time per store, so a session that ends meanwhile knows the only sum
 * that may miss it.
 *
 * Return: 0, or -EINTR after a fatal signal.
 */
int kvbm_store_stats(struct kvbm_store *st, struct kvbm_stats *out)
{
	const size_t first = offsetof(struct kvbm_stats, allocations);
	struct kvbm_summing s = {};
	u32 i;

	BUILD_BUG_ON(offsetof(struct kvbm_stats, wait_histogram) !=
		     first + NR_STATS * sizeof(u64));
#define KVBM_STAT(_name, _help)						\
	BUILD_BUG_ON(offsetof(struct kvbm_stats, _name) !=		\
		     first + STAT_##_name * sizeof(u64));
#include "stats.def"

	if (mutex_lock_killable(&st->stats_lock))
		return -EINTR;
	while (sum_some(st, &s, out))
		cond_resched();
	mutex_unlock(&st->stats_lock);

#define KVBM_SESSION_COUNTER(_name, _help)	out->_name = s.sum._name;
#include "stats.def"

	spin_lock(&st->lock);
	for (i = 0; i < KVBM_IDLE_BUCKETS; i++)
		out->evictions += st->evicted_idle_histogram[i];
	out->evicted_idle_ns = st->evicted_idle_ns;
	memcpy(out->evicted_idle_histogram, st->evicted_idle_histogram,
	       sizeof(out->evicted_idle_histogram));
	out->reset_pool_size = st->free.len;
	out->inactive_pool_size = st->nr_inactive;
	out->held = st->nr_held;
	out->lingering = st->nr_lingering;
	out->waits = st->waits;
	out->wait_grants = st->wait_grants;
	out->wait_wakeups = st->wait_wakeups;
	out->wait_ns = st->wait_ns;
	out->handed_over = READ_ONCE(st->handed_over);
	memcpy(out->wait_histogram, st->wait_histogram,
	       sizeof(out->wait_histogram));
	out->index_evictions = st->overflow.evictions;
	out->claims = st->claims.made;
	out->claims_pending = st->claims.refused_pending;
	out->claims_present = st->claims.refused_present;
	out->claim_waits = st->claims.waits;
	out->pending = st->claims.nr;
	if (st->retention) {
		const struct kvbm_retention *r = st->retention;

		out->rank_first = r->blocks[KVBM_RANK_FIRST];
		out->rank_high = r->blocks[KVBM_RANK_HIGH];
		out->rank_keep = r->blocks[KVBM_RANK_KEEP];
		out->evicted_first = r->evicted[KVBM_RANK_FIRST];
		out->evicted_high = r->evicted[KVBM_RANK_HIGH];
		out->evicted_keep = r->evicted[KVBM_RANK_KEEP];
		out->rank_expired = r->expired;
	}
	spin_unlock(&st->lock);
	return 0;
}

/* The locked session's holds on a block; an owned one counts as one. */
static u32 holds_of_locked(struct kvbm_session *ses, u32 id)
{
	u32 *cnt, n;

	lockdep_assert_held(&ses->lock);
	cnt = kvbm_count(ses, id);
	n = cnt ? *cnt : 0;
	return n == KVBM_COUNT_OWNED ? 1 : kvbm_count_holds(n);
}

static u32 holds_of(struct kvbm_session *ses, u32 id)
{
	u32 n;

	spin_lock(&ses->lock);
	n = holds_of_locked(ses, id);
	spin_unlock(&ses->lock);
	return n;
}

/* Holds of all sessions on a block, and how many sessions have any. */
static int sum_holds(struct kvbm_store *st, u32 id, u64 *holds, u32 *sessions)
{
	u64 upto = 0;
	bool more;

	*holds = 0;
	*sessions = 0;
	do {
		u32 budget = KVBM_CHUNK;
		struct kvbm_session *ses;

		if (mutex_lock_killable(&st->sessions_lock))
			return -EINTR;
		ses = kvbm_session_after(st, upto);
		while (ses && budget--) {
			u32 n = holds_of(ses, id);

			*holds += n;
			*sessions += !!n;
			upto = ses->number;
			if (list_is_last(&ses->link, &st->sessions))
				ses = NULL;
			else
				ses = list_next_entry(ses, link);
		}
		more = ses;
		mutex_unlock(&st->sessions_lock);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	} while (more);
	return 0;
}

/**
 * kvbm_block_info() - everything about one block
 * @ses: the calling session
 * @id: block id
 * @own: do not visit the other sessions
 * @out: filled in
 * @note: NULL, or kvbm_note_words() of memory; zeroes if the hash is hidden
 *
 * The sum over sessions is exact if nobody changed the block's references, or
 * moved holds from one session to another, meanwhile; after a few tries it is
 * whatever was seen.
 *
 * Return: 0, -EINVAL, or -EINTR after a fatal signal.
 */
int kvbm_block_info(struct kvbm_session *ses, u32 id, bool own,
		    struct kvbm_block_info *out, u64 *note)
{
	u32 tries = own ? 1 : 8, sessions = 0, owner;
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *s;
	u64 before, w, handed;
	int err;

	if (id >= st->cfg.total)
		return -EINVAL;
	id = kvbm_id_nospec(st, id);
	s = &st->slots[id];
	out->holds = 0;
	do {
		before = kvbm_slot_word(s);
		/*
		 * A hold that passes to another session may leave the word
		 * unchanged.
		 */
		handed = READ_ONCE(st->handed_over);
		if (!own) {
			err = sum_holds(st, id, &out->holds, &sessions);
			if (err)
				return err;
		}
		/*
		 * Together with the block's state: its owner decides whether
		 * hash and note are visible.
		 */
		spin_lock(&ses->lock);
		spin_lock(&st->lock);
		out->own_holds = holds_of_locked(ses, id);
		w = kvbm_slot_word(s);
		out->hash = s->key;
		out->keep_rank = kvbm_rank_of(st, kvbm_w_state(w) ==
					      KVBM_STATE_DUPLICATE ?
					      s->child : id,
					      &out->keep_until_ns);
		if (note)
			kvbm_note_read_locked(st, id, note);
		spin_unlock(&st->lock);
		spin_unlock(&ses->lock);
	} while ((w != before || READ_ONCE(st->handed_over) != handed) &&
		 --tries);

	out->state = kvbm_w_state(w);
	out->generation = kvbm_w_gen(w);
	out->reset_on_release = !!(w & KVBM_W_RESET);
	/* Mutable and Staged blocks have an owner and no references. */
	owner = out->state == KVBM_STATE_MUTABLE ||
		out->state == KVBM_STATE_STAGED;
	out->sessions = max(kvbm_w_refs(w), owner);
	/* The rest of the references are Duplicates that keep it alive. */
	if (!own && kvbm_w_refs(w) > sessions)
		out->holds += kvbm_w_refs(w) - sessions;
	if (out->state == KVBM_STATE_PRIMARY && !kvbm_w_refs(w))
		out->state = KVBM_STATE_INACTIVE;
	if (out->state == KVBM_STATE_RESET ||
	    out->state == KVBM_STATE_MUTABLE ||
	    out->state == KVBM_STATE_LINGERING ||
	    (out->state == KVBM_STATE_STAGED && !out->own_holds)) {
		out->hash = (struct kvbm_hash) {};
		if (note)
			memset(note, 0, sizeof(*note) *
			       kvbm_note_words(st->cfg.note_bytes));
	}
	return 0;
}

/**
 * kvbm_holds_entries() - the next blocks that a session holds
 * @ses: the session
 * @from: in and out: block id to continue from; the store's total: no more
 * @out: array of @max entries
 * @max: at most this many
 *
 * Looks at a bounded part of the table, so 0 does not mean the end.
 *
 * Return: entries filled in.
 */
u32 kvbm_holds_entries(struct kvbm_session *ses, u32 *from,
		       struct kvbm_hold_entry *out, u32 max)
{
	struct kvbm_store *st = ses->store;
	u32 looks = KVBM_PAGE_COUNTS, n = 0, id;

	spin_lock(&ses->lock);
	for (id = *from; id < st->cfg.total && n < max && looks--; id++) {
		const struct kvbm_slot *s = &st->slots[id];
		const u32 *cnt = kvbm_count(ses, id);
		u64 w;

		if (!cnt) {
			id |= KVBM_PAGE_COUNTS - 1;
			continue;
		}
		if (!*cnt)
			continue;
		/* The count pins state, generation and key. */
		w = kvbm_slot_word(s);
		out[n] = (struct kvbm_hold_entry) {
			.block = id,
			.state = kvbm_w_state(w),
			.holds = *cnt == KVBM_COUNT_OWNED ? 1 :
				 kvbm_count_holds(*cnt),
			.generation = kvbm_w_gen(w),
		};
		if (out[n].state != KVBM_STATE_MUTABLE)
			out[n].hash = s->key;
		n++;
	}
	*from = min(id, st->cfg.total);
	spin_unlock(&ses->lock);
	return n;
}

/**
 * kvbm_session_waits() - how much a session's allocations wait for
 * @ses: the session
 * @blocks: out: blocks that they request
 * @since_ns: out: CLOCK_BOOTTIME at which the first began to wait; 0: none
 */
void kvbm_session_waits(struct kvbm_session *ses, u32 *blocks, u64 *since_ns)
{
	struct kvbm_waiter *w;

	*blocks = 0;
	*since_ns = 0;
	spin_lock(&ses->lock);
	/* At most KVBM_MAX_TICKETS; a ticket does not wait. */
	list_for_each_entry(w, &ses->waiters, link) {
		enum kvbm_wait_state state = READ_ONCE(w->state);

		if (state != KVBM_WAIT_QUEUED && state != KVBM_WAIT_PARKED)
			continue;
		*blocks += w->n;
		if (!*since_ns)
			*since_ns = w->since_ns;
	}
	spin_unlock(&ses->lock);
}
