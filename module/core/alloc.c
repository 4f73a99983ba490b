// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * alloc.c - allocate blocks
 *
 * An allocation first reserves all n blocks, under one hold of the store's lock:
 * "reserved" is a part of free + inactive.  From then on it cannot fail for lack
 * of blocks.  It takes them chunk by chunk, from the free list and then by
 * evicting.  While reserved covers all of free + inactive, inactive blocks count
 * as evicted (kvbm_all_reserved()), so that a match cannot take what an
 * allocation was promised.
 *
 * A chunk's blocks belong to the session before its lock is dropped: they are
 * Mutable and in the hold table, where the end of the session finds them.  Blocks
 * whose counts still need a page in the table wait on the allocation's chain,
 * which belongs to the session too.  So the end of a session can take everything
 * from an allocation in progress, and nobody has to wait for it.
 *
 * The caller gets its blocks when all are there.  The hashes of evicted blocks
 * are in the chunk, and stay in the slot until the block is staged or free.
 */
#include <linux/bitops.h>
#include <linux/sched.h>
#include "leave.h"
#include "locked.h"
#include "retain.h"

/**
 * kvbm_alloc_begin() - reserve blocks
 * @t: filled in
 * @ses: for this session
 * @n: blocks, at most the store's total
 * @reset_only: up to @n, from the free list only; reserves nothing
 *
 * Return: 0: continue with kvbm_alloc_chunk(); -ENOSPC, -EDQUOT, or the
 * session's end.
 */
int kvbm_alloc_begin(struct kvbm_alloc_ctx *t, struct kvbm_session *ses, u32 n,
		     bool reset_only)
{
	struct kvbm_store *st = ses->store;
	int err;

	*t = (struct kvbm_alloc_ctx) { .ses = ses, .reset_only = reset_only };
	INIT_LIST_HEAD(&t->link);

	spin_lock(&ses->lock);
	err = ses->dead;
	if (!err && !reset_only && n) {
		spin_lock(&st->lock);
		if (n > kvbm_quota(ses)) {
			err = -EDQUOT;
		} else if (st->nr_waiters || kvbm_available(st) < n) {
			err = -ENOSPC;
		} else {
			st->reserved += n;
			ses->reserved += n;
			ses->allocating += n;
		}
		spin_unlock(&st->lock);
	}
	spin_unlock(&ses->lock);
	trace_kvbm_alloc(st, ses->number, n, 0, err);
	if (!err)
		t->left = n;
	return err;
}

/**
 * kvbm_alloc_failed() - count a failed allocation
 * @ses: the session
 * @err: the errno that it returns, after any wait
 */
void kvbm_alloc_failed(struct kvbm_session *ses, int err)
{
	struct kvbm_counters *c = &ses->counters;

	spin_lock(&ses->lock);
	c->alloc_nospace += err == -ENOSPC;
	c->alloc_quota += err == -EDQUOT;
	c->alloc_timeouts += err == -ETIMEDOUT;
	spin_unlock(&ses->lock);
}

static void count_eviction(struct kvbm_store *st, const struct kvbm_slot *s)
{
	const u64 first = BIT_ULL(KVBM_IDLE_BUCKET_SHIFT - 1);
	u64 ns = kvbm_slot_idle_ns(s);

	/* The clock wraps before a time could exceed the last element. */
	BUILD_BUG_ON(ilog2(U32_MAX * KVBM_IDLE_TICK_NS) - ilog2(first) >=
		     KVBM_IDLE_BUCKETS);
	lockdep_assert_held(&st->lock);
	st->evicted_idle_ns += ns;
	st->evicted_idle_histogram[__fls(ns | first) - ilog2(first)]++;
}

/*
 * The next block of the free list, or an evicted one: element @at.  KVBM_NIL:
 * the victim depends on prunes that take longer than one hold of the
 * lock.  The caller counts.
 */
static u32 take_one(struct kvbm_alloc_ctx *t, struct kvbm_chunk *c, u32 at,
		    u32 *budget)
{
	struct kvbm_store *st = t->ses->store;
	u32 gen, id;

	lockdep_assert_held(&st->lock);
	if (st->free.len) {
		id = kvbm_chain_pop(st, &st->free);
		kvbm_slot_check_free(&st->slots[id]);
		gen = kvbm_w_gen(kvbm_slot_word(&st->slots[id]));
	} else {
		id = st->cfg.policy->pop(st, budget);
		if (unlikely(id == KVBM_NIL))
			return id;
		gen = kvbm_w_gen(kvbm_slot_word(&st->slots[id]));
		c->keys[at] = st->slots[id].key;
		c->generation[at] = gen++;
		t->evicted |= BIT_ULL(at);
		kvbm_hash_leaves(st, &st->slots[id], gen - 1,
				 KVBM_REASON_EVICTED, t->ses->number);
		count_eviction(st, &st->slots[id]);
	}
	st->slots[id].at = st->epoch;
	atomic64_set(&st->slots[id].word,
		     kvbm_w_make(gen, KVBM_STATE_MUTABLE, st->cfg.reset, 0));
	return id;
}

/*
 * Prefetch the blocks that will probably be evicted, and what taking them out
 * will touch.  Without it, each eviction is a series of cache misses under the
 * lock.
 */
static void prefetch_evictions(struct kvbm_store *st, u32 n)
{
	u32 ids[KVBM_CHUNK] __uninitialized;
	u32 i;

	spin_lock(&st->lock);
	n = min(n, KVBM_CHUNK);
	n -= min(n, st->free.len);
	/* Blocks with expired ranks go with the normal ones. */
	if (unlikely(st->retention))
		kvbm_ranks_due(st);
	if (n)
		n = st->cfg.policy->peek(st, ids, n);
	spin_unlock(&st->lock);
	for (i = 0; i < n; i++)
		prefetchw(&st->slots[ids[i]]);
	/* Hints: the slots may be changing. */
	for (i = 0; i < n; i++)
		kvbm_index_prefetchw(st, READ_ONCE(st->slots[ids[i]].hash));
	if (n && st->cfg.policy->prefetch_for)
		st->cfg.policy->prefetch_for(st, ids, n, KVBM_PREFETCH_POP);
}

static void own(struct kvbm_session *ses, u32 *cnt)
{
	kvbm_count_first(ses, cnt, KVBM_COUNT_OWNED);
	ses->owned++;
}

/* Move blocks that are in no hold table to Reset; at most a chunk. */
static void chain_free(struct kvbm_store *st, struct kvbm_chain *c)
{
	lockdep_assert_held(&st->lock);
	while (c->len) {
		u32 id = kvbm_chain_pop(st, c);

		st->nr_held--;
		kvbm_to_reset(st, id,
			      kvbm_w_gen(kvbm_slot_word(&st->slots[id])));
	}
}

/*
 * Move the blocks, from element @at on, that wait on the chain for a page into
 * the hold table.  Those that get no page are lost: they are free again.
 */
static noinline_for_stack int take_rest(struct kvbm_alloc_ctx *t,
					struct kvbm_chunk *c, u32 at)
{
	struct kvbm_session *ses = t->ses;
	struct kvbm_store *st = ses->store;
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 i, lost = 0, end = t->n;
	int err = 0;

	for (i = at; i < end && !err; i++)
		err = kvbm_holds_prepare(ses, c->ids[i]);

	spin_lock(&ses->lock);
	/* The end of the session may have taken the chain. */
	list_del_init(&t->link);
	err = ses->dead ?: err;
	if (!err) {
		ses->allocating -= t->chain.len;
		while (t->chain.len)
			own(ses, kvbm_count(ses, kvbm_chain_pop(st, &t->chain)));
		spin_unlock(&ses->lock);
		return 0;
	}
	for (i = at; i < end; i++) {
		if (!kvbm_count_owned(ses, c->ids[i])) {
			t->lost |= BIT_ULL(i);
			lost++;
			if (!(t->evicted & BIT_ULL(i)))
				ses->counters.allocations_from_reset--;
		} else if (t->reset_only) {
			c->ids[i - lost] = c->ids[i];
		}
	}
	ses->counters.allocations -= lost;
	if (t->reset_only) {
		t->n -= lost;
		t->left = 0;
		t->lost = 0;
	}
	if (!ses->dead) {
		ses->allocating -= t->chain.len;
		if (ses->watched)
			kvbm_session_look(ses, &l);
	}
	if (!l.held)
		kvbm_lock_store(&l);
	chain_free(st, &t->chain);
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
	return err;
}

/**
 * kvbm_alloc_chunk() - take the next blocks of an allocation
 * @t: the allocation
 * @c: out: from element t->n on, which grows: ids; and for those whose bit in
 *	t->evicted is set, the hashes that they had, and the generations
 *
 * If they do not all fit into one chunk, the caller sets t->n to 0 in between.
 *
 * Return: 0: continue while t->left is not 0, even if this call took none;
 * -ENOMEM: there is no page of the hold table for those whose bit in t->lost is
 * set; or the session's end.  Then the caller releases the others with
 * kvbm_alloc_undo(), and the rest with kvbm_alloc_abort().  With ->reset_only
 * none is lost, and blocks taken stay.
 */
int kvbm_alloc_chunk(struct kvbm_alloc_ctx *t, struct kvbm_chunk *c)
{
	struct kvbm_session *ses = t->ses;
	struct kvbm_store *st = ses->store;
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 i, end, n, at = t->n, max = min(t->left, KVBM_CHUNK - at);
	const bool reset_only = t->reset_only;
	u32 evicted, owned = 0;
	bool over = false, rest;
	u64 before;
	int err;

	if (!at) {
		t->evicted = 0;
		t->lost = 0;
	}
	before = t->evicted;
	if (!reset_only)
		prefetch_evictions(st, max);
	spin_lock(&ses->lock);
	if (unlikely(ses->dead)) {
		err = ses->dead;
		spin_unlock(&ses->lock);
		return err;
	}
	if (reset_only) {
		max = min(max, kvbm_quota(ses));
		over = !max;
	}
	for (n = 0; n < max && kvbm_lock_store(&l); n++) {
		if (reset_only &&
		    (st->nr_waiters || !st->free.len || !kvbm_available(st))) {
			over = true;
			break;
		}
		c->ids[at + n] = take_one(t, c, at + n, &l.budget);
		if (unlikely(c->ids[at + n] == KVBM_NIL))
			break;
	}
	evicted = hweight64(t->evicted ^ before);
	if (l.held) {
		st->nr_held += n;
		st->nr_inactive -= evicted;
		if (!reset_only) {
			st->reserved -= n;
			ses->reserved -= n;
		}
	}
	kvbm_unlock_store(&l);

	end = at + n;
	t->n = end;
	for (i = at; i < end; i++)
		kvbm_count_prefetch(ses->table, c->ids[i]);
	for (i = at; i < end; i++) {
		u32 *cnt = kvbm_count(ses, c->ids[i]);

		if (likely(cnt)) {
			*cnt = KVBM_COUNT_OWNED;
			owned++;
		} else {
			kvbm_chain_add(st, &t->chain, c->ids[i]);
		}
	}
	ses->held += owned;
	ses->owned += owned;
	ses->counters.allocations += n;
	ses->counters.allocations_from_reset += n - evicted;
	t->left = over ? 0 : t->left - n;
	if (!reset_only)
		ses->allocating -= n;
	ses->allocating += t->chain.len;
	rest = t->chain.len;
	if (unlikely(rest))
		list_add(&t->link, &ses->allocs);
	if (unlikely(reset_only && ses->watched)) {
		kvbm_session_look(ses, &l);
		spin_unlock(&ses->lock);
		kvbm_unlock_notify(&l);
	} else {
		spin_unlock(&ses->lock);
	}
	err = unlikely(rest) ? take_rest(t, c, at) : 0;
	kvbm_prune_end(st, l.prune);
	return err;
}

/**
 * kvbm_alloc_results() - results for a chunk that an allocation took
 * @ses: the session
 * @taken: block ids, with KVBM_TAKEN_EVICTED
 * @n: elements, at most KVBM_CHUNK
 * @c: out: ids; for those whose bit in @evicted is set, hashes and generations
 * @evicted: out: bit mask of those that were evicted and not used since
 *
 * Return: 0, or the session's end: it no longer has any of them.
 */
int kvbm_alloc_results(struct kvbm_session *ses, const u32 *taken, u32 n,
		       struct kvbm_chunk *c, u64 *evicted)
{
	struct kvbm_slot *slots = ses->store->slots;
	int err;
	u32 i;

	*evicted = 0;
	for (i = 0; i < n; i++) {
		c->ids[i] = taken[i] & ~KVBM_TAKEN_EVICTED;
		if (taken[i] & KVBM_TAKEN_EVICTED)
			prefetch(&slots[c->ids[i]]);
	}
	spin_lock(&ses->lock);
	err = ses->dead;
	for (i = 0; i < n && !err; i++) {
		struct kvbm_slot *s = &slots[c->ids[i]];
		u64 w;

		if (!(taken[i] & KVBM_TAKEN_EVICTED) ||
		    !kvbm_count_owned(ses, c->ids[i]))
			continue;
		/* The session's own: its lock pins state and key. */
		w = kvbm_slot_word(s);
		if (kvbm_w_state(w) != KVBM_STATE_MUTABLE)
			continue;
		c->keys[i] = s->key;
		c->generation[i] = kvbm_w_gen(w) - 1;
		*evicted |= BIT_ULL(i);
	}
	spin_unlock(&ses->lock);
	return err;
}

/**
 * kvbm_alloc_abort() - end an allocation early: release its reservation
 * @t: the allocation
 */
void kvbm_alloc_abort(struct kvbm_alloc_ctx *t)
{
	struct kvbm_session *ses = t->ses;
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);

	spin_lock(&ses->lock);
	/* If it is dead, whoever ends it releases its reservation. */
	if (!ses->dead && !t->reset_only && t->left) {
		kvbm_lock_store(&l);
		ses->store->reserved -= t->left;
		ses->reserved -= t->left;
		ses->allocating -= t->left;
		if (ses->watched)
			kvbm_session_look(ses, &l);
	}
	t->left = 0;
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
}

/**
 * kvbm_allocs_end() - take blocks in no hold table from allocations in progress
 * @ses: the session, dead
 */
void kvbm_allocs_end(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_alloc_ctx *t;

	do {
		struct kvbm_locked l = KVBM_LOCKED_INIT(st);

		spin_lock(&ses->lock);
		t = list_first_entry_or_null(&ses->allocs, struct kvbm_alloc_ctx,
					     link);
		if (t) {
			list_del_init(&t->link);
			kvbm_lock_store(&l);
			chain_free(st, &t->chain);
		}
		spin_unlock(&ses->lock);
		kvbm_unlock_notify(&l);
		cond_resched();
	} while (t);
}
