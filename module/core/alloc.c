// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * alloc.c - taking blocks, and the queue of those who wait for some
 *
 * An allocation first reserves its whole n, under one hold of the store's lock:
 * reserved is a part of free + inactive.  From then on it cannot fail for lack
 * of blocks, and takes them chunk by chunk, from the free list and then by
 * evicting.  While reserved covers all of free + inactive, idle blocks count as
 * evicted already ("doomed"), so that matches cannot take away what was
 * promised.
 *
 * Taken blocks are Mutable but in no hold table: they hang on a private chain,
 * so that neither another thread of the session nor a revocation can reach
 * them, until commit records them all or abort gives them all back.
 *
 * Who finds too little may wait.  Waiters reserve nothing until their whole n
 * can be had, and get it strictly in the order in which they came; while
 * anybody waits, nobody else reserves.  Whoever makes room grants.
 */
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include "index.h"
#include "locked.h"
#include "trace.h"

/* Grants under one lock hold; the rest is a work item's. */
#define GRANTS_MAX	KVBM_CHUNK

static void chain_add(struct kvbm_store *st, struct kvbm_chain *c, u32 id)
{
	st->slots[id].next = KVBM_NIL;
	if (c->len++)
		st->slots[c->tail].next = id;
	else
		c->head = id;
	c->tail = id;
}

static u32 chain_pop(struct kvbm_store *st, struct kvbm_chain *c)
{
	u32 id = c->head;

	c->head = st->slots[id].next;
	c->len--;
	return id;
}

/* A slot that is Reset now enters the free list, at its tail. */
void kvbm_free_add(struct kvbm_store *st, u32 id)
{
	lockdep_assert_held(&st->lock);
	kvbm_slot_poison(&st->slots[id]);
	chain_add(st, &st->free, id);
}

static void grant(struct kvbm_store *st)
{
	u32 n = 0;

	lockdep_assert_held(&st->lock);
	while (!list_empty(&st->waiters)) {
		struct kvbm_waiter *w;

		w = list_first_entry(&st->waiters, struct kvbm_waiter, link);
		if (w->n > kvbm_room(st))
			return;
		if (n++ == GRANTS_MAX) {
			schedule_work(&st->grant_work);
			return;
		}
		st->reserved += w->n;
		st->nr_waiters--;
		st->wait_grants++;
		st->wait_wakeups++;
		list_del_init(&w->link);
		WRITE_ONCE(w->granted, true);
		/* The waiter cannot go before it has had the lock. */
		w->wake(w);
	}
}

/* Somebody waits or polls: grant, or tell who polls. */
void kvbm_room_told(struct kvbm_store *st)
{
	lockdep_assert_held(&st->lock);
	if (!list_empty(&st->waiters))
		grant(st);
	if (st->poll_armed && !st->nr_waiters &&
	    kvbm_room(st) >= st->poll_mark) {
		st->poll_armed = false;
		st->room(st);
	}
}

/* The rest of a long row of grants. */
void kvbm_grant_work(struct work_struct *work)
{
	struct kvbm_store *st = container_of(work, struct kvbm_store,
					     grant_work);

	spin_lock(&st->lock);
	kvbm_room_made(st);
	spin_unlock(&st->lock);
}

/**
 * kvbm_poll_room() - could the session allocate its low watermark?
 * @ses: the session
 *
 * When not, the store calls its ->room() once it could.
 */
bool kvbm_poll_room(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;
	u32 mark = READ_ONCE(ses->low_watermark);
	bool ok;

	spin_lock(&st->lock);
	ok = !st->nr_waiters && kvbm_room(st) >= mark;
	if (!ok) {
		st->poll_mark = st->poll_armed ? min(st->poll_mark, mark) :
						 mark;
		st->poll_armed = true;
	}
	spin_unlock(&st->lock);
	return ok;
}

/**
 * kvbm_alloc_begin() - reserve blocks, or queue for them
 * @t: filled in
 * @ses: for this session
 * @n: blocks, at most the store's total
 * @reset_only: up to @n, as the free list has them; reserves nothing
 * @w: wait here, ->n and ->wake set; NULL: do not wait
 *
 * Return: 0: go on with kvbm_alloc_chunk(); -EINPROGRESS: wait, then call
 * kvbm_alloc_end_wait(); -ENOSPC, -EDQUOT, or the session's end.
 */
int kvbm_alloc_begin(struct kvbm_taking *t, struct kvbm_session *ses, u32 n,
		     bool reset_only, struct kvbm_waiter *w)
{
	struct kvbm_store *st = ses->store;
	u32 quota;
	int err;

	*t = (struct kvbm_taking) { .ses = ses, .reset_only = reset_only };

	spin_lock(&ses->lock);
	err = ses->dead;
	quota = ses->max_held - min(ses->max_held, ses->held + ses->taking);
	if (!err && n > quota) {
		if (reset_only)
			n = quota;
		else
			err = -EDQUOT;
	}
	if (!err)
		WRITE_ONCE(ses->taking, ses->taking + n);
	spin_unlock(&ses->lock);
	if (err)
		return err;

	t->left = n;
	if (reset_only || !n)
		return 0;
	if (w)
		w->since_ns = ktime_get_boottime_ns();

	spin_lock(&st->lock);
	if (!st->nr_waiters && kvbm_room(st) >= n) {
		st->reserved += n;
	} else if (w) {
		list_add_tail(&w->link, &st->waiters);
		list_add_tail(&w->ses_link, &ses->waiters);
		st->nr_waiters++;
		st->waits++;
		err = -EINPROGRESS;
	} else {
		err = -ENOSPC;
	}
	spin_unlock(&st->lock);
	if (err == -ENOSPC) {
		spin_lock(&ses->lock);
		WRITE_ONCE(ses->taking, ses->taking - n);
		spin_unlock(&ses->lock);
	}
	return err;
}

/**
 * kvbm_alloc_end_wait() - stop waiting
 * @t: the allocation
 * @w: as queued
 * @err: why it stops; 0 if it was granted
 * @fatal: a fatal signal or the session's end: even a grant is given up
 *
 * A grant beats a timeout or a signal that came at the same moment.
 *
 * Return: 0: granted, go on with kvbm_alloc_chunk(); else @err, all is undone.
 */
int kvbm_alloc_end_wait(struct kvbm_taking *t, struct kvbm_waiter *w, int err,
			bool fatal)
{
	struct kvbm_store *st = t->ses->store;
	u32 n = t->left;

	spin_lock(&st->lock);
	list_del_init(&w->ses_link);
	if (w->granted && !(err && fatal)) {
		spin_unlock(&st->lock);
		return 0;
	}
	if (w->granted) {
		st->reserved -= n;
	} else {
		list_del_init(&w->link);
		st->nr_waiters--;
	}
	/* Those behind may have waited for this one only. */
	kvbm_room_made(st);
	spin_unlock(&st->lock);

	spin_lock(&t->ses->lock);
	WRITE_ONCE(t->ses->taking, t->ses->taking - n);
	spin_unlock(&t->ses->lock);
	t->left = 0;
	return err;
}

/*
 * The next block of the free list, or an evicted one.  KVBM_NIL: who is evicted
 * next depends on prunes that take longer than one hold of the lock.
 */
static u32 take_one(struct kvbm_taking *t, struct kvbm_hash *key, u32 *evicted,
		    u32 *budget)
{
	struct kvbm_store *st = t->ses->store;
	u32 gen, id;

	lockdep_assert_held(&st->lock);
	if (st->free.len) {
		id = chain_pop(st, &st->free);
		kvbm_slot_check_free(&st->slots[id]);
		gen = kvbm_w_gen(kvbm_slot_word(&st->slots[id]));
		t->from_reset++;
	} else {
		id = st->cfg.policy->pop(st, budget);
		if (unlikely(id == KVBM_NIL))
			return id;
		st->nr_inactive--;
		gen = kvbm_w_gen(kvbm_slot_word(&st->slots[id])) + 1;
		key[(*evicted)++] = st->slots[id].key;
		trace_kvbm_evict(st, id, &st->slots[id].key);
		kvbm_index_remove(st, &st->slots[id]);
		st->evictions++;
	}
	atomic64_set(&st->slots[id].word,
		     kvbm_w_make(gen, KVBM_STATE_MUTABLE, st->cfg.reset, 0));
	return id;
}

/*
 * Bring in the blocks that will probably be evicted, and what taking them out
 * will touch.  Without it, each eviction is a row of cache misses under the
 * lock.
 */
static void warm_evictions(struct kvbm_store *st, u32 n)
{
	u32 ids[KVBM_CHUNK] __uninitialized;
	u32 i;

	spin_lock(&st->lock);
	n = min(n, KVBM_CHUNK);
	n -= min(n, st->free.len);
	if (n)
		n = st->cfg.policy->ahead(st, ids, n);
	spin_unlock(&st->lock);
	for (i = 0; i < n; i++)
		prefetchw(&st->slots[ids[i]]);
	/* Hints: the slots may be changing. */
	for (i = 0; i < n; i++)
		kvbm_index_prefetchw(st, READ_ONCE(st->slots[ids[i]].hash));
	if (n && st->cfg.policy->warm)
		st->cfg.policy->warm(st, ids, n, KVBM_WARM_POP);
}

/**
 * kvbm_alloc_chunk() - take the next blocks of an allocation
 * @t: the allocation
 * @c: out: ids, and the hashes of the evicted ones
 * @evicted: out: how many those are
 *
 * Return: blocks taken, maybe none: go on while t->left is not 0; -ENOMEM: the
 * hold table has no room for them; abort.
 */
int kvbm_alloc_chunk(struct kvbm_taking *t, struct kvbm_chunk *c, u32 *evicted)
{
	struct kvbm_store *st = t->ses->store;
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 i, n = 0;
	int err;

	*evicted = 0;
	if (!t->reset_only)
		warm_evictions(st, t->left);
	while (n < KVBM_CHUNK && t->left && kvbm_lock_store(&l)) {
		if (t->reset_only &&
		    (st->nr_waiters || !st->free.len || !kvbm_room(st))) {
			spin_unlock(&st->lock);
			spin_lock(&t->ses->lock);
			WRITE_ONCE(t->ses->taking, t->ses->taking - t->left);
			spin_unlock(&t->ses->lock);
			t->left = 0;
			l.held = false;
			break;
		}
		c->ids[n] = take_one(t, c->keys, evicted, &l.budget);
		if (unlikely(c->ids[n] == KVBM_NIL))
			break;
		if (!t->reset_only)
			st->reserved--;
		chain_add(st, &t->chain, c->ids[n++]);
		t->left--;
	}
	kvbm_unlock_store(&l);
	kvbm_prune_end(st, l.prune);
	for (i = 0; i < n; i++) {
		err = kvbm_holds_prepare(t->ses, c->ids[i]);
		if (err)
			return err;
		kvbm_count_prefetch(t->ses->table, c->ids[i]);
	}
	return n;
}

/* Give the chain and what is still reserved back. */
static void give_back(struct kvbm_taking *t)
{
	struct kvbm_store *st = t->ses->store;
	u32 n = t->chain.len + t->left;

	spin_lock(&st->lock);
	if (!t->reset_only)
		st->reserved -= t->left;
	t->left = 0;
	while (t->chain.len) {
		u32 budget = KVBM_CHUNK;

		while (t->chain.len && budget--) {
			u32 id = chain_pop(st, &t->chain);
			u64 w = kvbm_slot_word(&st->slots[id]);

			atomic64_set(&st->slots[id].word,
				     kvbm_w_make(kvbm_w_gen(w),
						 KVBM_STATE_RESET, false, 0));
			kvbm_free_add(st, id);
		}
		kvbm_room_made(st);
		spin_unlock(&st->lock);
		cond_resched();
		spin_lock(&st->lock);
	}
	kvbm_room_made(st);
	spin_unlock(&st->lock);

	spin_lock(&t->ses->lock);
	WRITE_ONCE(t->ses->taking, t->ses->taking - n);
	spin_unlock(&t->ses->lock);
}

/**
 * kvbm_alloc_abort() - the allocation fails: give everything back
 * @t: the allocation
 *
 * Evictions stand.
 */
void kvbm_alloc_abort(struct kvbm_taking *t)
{
	give_back(t);
}

/**
 * kvbm_alloc_commit() - the blocks become the session's
 * @t: the allocation, all of it taken
 *
 * Return: 0, or the errno of a session that was revoked meanwhile: what is not
 * the session's yet was given back.
 */
int kvbm_alloc_commit(struct kvbm_taking *t)
{
	struct kvbm_session *ses = t->ses;
	struct kvbm_store *st = ses->store;
	u32 n = t->chain.len;
	int err;

	do {
		u32 budget = KVBM_CHUNK;

		spin_lock(&ses->lock);
		err = ses->dead;
		while (!err && t->chain.len && budget--) {
			u32 id = chain_pop(st, &t->chain);

			kvbm_count_first(ses, kvbm_count(ses, id),
					 KVBM_COUNT_OWNED);
			ses->owned++;
			WRITE_ONCE(ses->taking, ses->taking - 1);
		}
		if (!err && !t->chain.len) {
			ses->counters.allocations += n;
			ses->counters.allocations_from_reset += t->from_reset;
		}
		spin_unlock(&ses->lock);
		cond_resched();
	} while (!err && t->chain.len);
	if (err)
		give_back(t);
	return err;
}

/* Waiters of a session that died learn of it. */
void kvbm_waiters_wake(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_waiter *w;
	bool more;

	do {
		u32 n = KVBM_CHUNK;

		spin_lock(&st->lock);
		while (n-- && !list_empty(&ses->waiters)) {
			w = list_first_entry(&ses->waiters, struct kvbm_waiter,
					     ses_link);
			list_del_init(&w->ses_link);
			w->wake(w);
		}
		more = !list_empty(&ses->waiters);
		spin_unlock(&st->lock);
		cond_resched();
	} while (more);
}
