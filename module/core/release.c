// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * release.c - releasing holds: release, undoing a chunk, the end of a session
 *
 * The last hold of a session drops its reference on the slot; the last
 * reference of all, dropped under the store's lock, sends the block to the
 * eviction index or to the free list.
 */
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include "claim.h"
#include "evict.h"
#include "leave.h"
#include "note.h"
#include "offer.h"

/*
 * Leave PRIMARY or DUPLICATE for good; false if somebody changed the word.
 * Fully ordered: everything that others did under their references comes before
 * the slot's next use; pairs with the release in put_unlocked().
 */
static bool slot_end(struct kvbm_slot *s, u64 *w)
{
	u64 next = kvbm_w_make(kvbm_w_gen(*w) + 1, KVBM_STATE_RESET, false, 0);

	return atomic64_try_cmpxchg(&s->word, w, next);
}

/* The last reference is gone, and the slot is Reset. */
static noinline void primary_gone(struct kvbm_session *ses, u32 id, u64 w)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *s = &st->slots[id];
	enum kvbm_reason why;

	lockdep_assert_held(&st->lock);
	/* The hash of a FORGOTTEN one left earlier. */
	if (likely(kvbm_w_state(w) == KVBM_STATE_PRIMARY)) {
		if (st->cfg.policy->forget)
			st->cfg.policy->forget(st, id);
		why = ses->dead ? KVBM_REASON_RECLAIMED : KVBM_REASON_RELEASED;
		kvbm_hash_leaves(st, s, kvbm_w_gen(w), why, ses->number);
	}
	st->nr_held--;
	kvbm_free_add(st, id);
}

/* Drop one reference of a PRIMARY or FORGOTTEN slot, whose word was @w. */
static __always_inline void put_primary(struct kvbm_session *ses, u32 id, u64 w)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *s = &st->slots[id];

	lockdep_assert_held(&st->lock);
	for (;;) {
		if (kvbm_w_refs(w) > 1 ||
		    !(w & (KVBM_W_RESET | KVBM_W_FORGOTTEN))) {
			/* Maybe the last one: ordered as in slot_end(). */
			if (!atomic64_try_cmpxchg(&s->word, &w, w - 1))
				continue;
			if (kvbm_w_refs(w) > 1)
				return;
			/* Nobody takes refs from 0 without the lock. */
			st->nr_held--;
			st->nr_inactive++;
			kvbm_index_idle(st, s);
			kvbm_evict_insert(st, s, id);
			return;
		}
		if (slot_end(s, &w))
			break;
	}
	primary_gone(ses, id, w);
}

/* The same for a DUPLICATE one. */
static noinline void put_duplicate(struct kvbm_session *ses, u32 id)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *s = &st->slots[id];
	u64 w = kvbm_slot_word(s);
	u32 primary;

	lockdep_assert_held(&st->lock);
	/* First its own slot, then the Primary that it keeps alive. */
	do {
		if (kvbm_w_refs(w) > 1) {
			if (atomic64_try_cmpxchg_release(&s->word, &w, w - 1))
				return;
			continue;
		}
		if (slot_end(s, &w))
			break;
	} while (true);
	primary = s->child;
	kvbm_event(st, KVBM_EVENT_DUPLICATE_GONE, KVBM_REASON_NONE, id,
		   kvbm_w_gen(w), &s->key, ses->number);
	st->nr_held--;
	kvbm_free_add(st, id);
	put_primary(ses, primary, kvbm_slot_word(&st->slots[primary]));
}

/* Drop one reference of a slot. */
static noinline void put_locked(struct kvbm_session *ses, u32 id)
{
	struct kvbm_store *st = ses->store;
	u64 w = kvbm_slot_word(&st->slots[id]);

	lockdep_assert_held(&st->lock);
	if (likely(kvbm_w_state(w) != KVBM_STATE_DUPLICATE))
		put_primary(ses, id, w);
	else
		put_duplicate(ses, id);
}

/*
 * Drop a reference that is not the last one; pairs with get_unlocked(), and with
 * the drop of the last one.
 */
static __always_inline bool put_unlocked(struct kvbm_slot *s)
{
	u64 w = kvbm_slot_word(s);

	while (likely(kvbm_w_refs(w) > 1))
		if (likely(atomic64_try_cmpxchg_release(&s->word, &w, w - 1)))
			return true;
	return false;
}

/*
 * A Mutable or Staged block leaves the session: to Reset, or to a chain of
 * lingering blocks, because its bytes may still be written to for some time.
 */
static void drop_owned(struct kvbm_session *ses, u32 id, u32 *cnt,
		       struct kvbm_chain *linger)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *s = &st->slots[id];
	u64 w = kvbm_slot_word(s);

	lockdep_assert_held(&st->lock);
	if (kvbm_w_state(w) == KVBM_STATE_STAGED) {
		ses->staged--;
		kvbm_claim_after_drop(ses, s);
		kvbm_note_unstage(st, s);
	}
	ses->owned--;
	kvbm_count_last(ses, cnt);
	st->nr_held--;
	if (linger) {
		kvbm_linger_add(st, linger, id);
		return;
	}
	kvbm_to_reset(st, id, kvbm_w_gen(w));
}

static u32 owned_kind(struct kvbm_session *ses, u32 id)
{
	u64 w = kvbm_slot_word(&ses->store->slots[id]);

	return kvbm_w_state(w) == KVBM_STATE_STAGED ? KVBM_RELEASE_STAGED :
						      KVBM_RELEASE_MUTABLE;
}

/*
 * Take the store's lock to drop a last reference.  If this block's is the last,
 * the next ones mostly are too: prefetch for all of them.  Returns false if the
 * chunk must end here.
 */
static noinline_for_stack bool lock_to_put(struct kvbm_store *st,
					   const u32 *ids, u32 n,
					   struct kvbm_locked *l)
{
	if (st->cfg.policy->prefetch_for)
		st->cfg.policy->prefetch_for(st, ids, n, KVBM_PREFETCH_INSERT);
	return kvbm_lock_store(l);
}

/*
 * The session releases a Duplicate, which no longer keeps the Primary alive, at
 * least for this session.  If the slot has other references, this is not the
 * last one on the Primary.
 */
static void put_copy(struct kvbm_session *ses, u32 id, u32 *cnt)
{
	struct kvbm_store *st = ses->store;
	u32 primary = st->slots[id].child;

	lockdep_assert_held(&st->lock);
	put_locked(ses, id);
	kvbm_count_last(ses, cnt);
	kvbm_count_unkeep(ses, kvbm_count(ses, primary));
}

/* Are all holds in a count offered? */
static bool all_offered(const struct kvbm_session *ses, u32 id, u32 count)
{
	return kvbm_count_holds(count) && count & KVBM_COUNT_OFFERED &&
	       *kvbm_offered_count(ses, id) == kvbm_count_holds(count);
}

/*
 * Release one hold on a block whose count has marks: 0; 1 for a Mutable or
 * Staged block; -EPERM; -EBUSY; or -EAGAIN: the chunk ends here.
 */
static noinline_for_stack int release_marked(struct kvbm_session *ses, u32 id,
					     u32 *cnt, u32 kinds,
					     struct kvbm_locked *l)
{
	u32 count = *cnt, holds = kvbm_count_holds(count);

	lockdep_assert_held(&ses->lock);
	if (!holds && count != KVBM_COUNT_OWNED)
		return -EPERM;
	if (kinds && !(kinds & (holds ? KVBM_RELEASE_REGISTERED :
					owned_kind(ses, id))))
		return -EPERM;
	if (all_offered(ses, id, count))
		return -EBUSY;
	if (holds > 1) {
		*cnt = count - 1;
		return 0;
	}
	/* A Primary with remaining Duplicates has their references. */
	if (holds && !(count & KVBM_COUNT_COPY) &&
	    put_unlocked(&ses->store->slots[id])) {
		*cnt = count - 1;
		return 0;
	}
	if (!kvbm_lock_store(l))
		return -EAGAIN;
	if (holds) {
		put_copy(ses, id, cnt);
		return 0;
	}
	drop_owned(ses, id, cnt, NULL);
	return 1;
}

/**
 * kvbm_release_chunk() - release one hold for each id
 * @ses: the session
 * @ids: blocks
 * @n: elements, at most KVBM_CHUNK
 * @kinds: KVBM_RELEASE_*: only these; 0 means all
 * @step: how it ended
 *
 * Return: elements done.
 */
u32 kvbm_release_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
		       u32 kinds, struct kvbm_step *step)
{
	const bool registered = !kinds || kinds & KVBM_RELEASE_REGISTERED;
	/* Counts with a hold that may go, for the last one and for others. */
	const u32 one = registered ? 1 : KVBM_NIL;
	const u32 more = registered ? KVBM_MAX_HOLDS - 1 : 0;
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_store *st = ses->store;
	u32 *cnts[KVBM_CHUNK] __uninitialized;
	u32 i, known, dropped = 0, last = 0;
	struct kvbm_slot *slots = st->slots;
	u32 **table = ses->table;
	int how;

	spin_lock(&ses->lock);
	if (unlikely(ses->dead)) {
		step->err = ses->dead;
		spin_unlock(&ses->lock);
		return 0;
	}
	for (known = 0; known < n; known++) {
		u32 *counts, id = ids[known];

		if (unlikely(id >= st->cfg.total))
			break;
		id = kvbm_id_nospec(st, id);
		counts = table[id / KVBM_PAGE_COUNTS];
		if (unlikely(!counts))
			break;
		counts += id % KVBM_PAGE_COUNTS;
		cnts[known] = counts;
		/*
		 * Not for writing: others may share it, and it may stay shared.
		 */
		if (*counts == 1)
			prefetch(&slots[id]);
	}
	for (i = 0; i < known; i++) {
		u32 *cnt = cnts[i], count = *cnt;
		u32 id = kvbm_id_nospec(st, ids[i]);

		if (count == one) {
			if (!put_unlocked(&slots[id])) {
				if (!(l.held ? kvbm_lock_store(&l) :
				      lock_to_put(st, &ids[i], known - i, &l)))
					break;
				put_locked(ses, id);
			}
			*cnt = 0;
			last++;
			continue;
		}
		if (likely(count - 2 < more)) {
			*cnt = count - 1;
			continue;
		}
		how = release_marked(ses, id, cnt, kinds, &l);
		if (how < 0) {
			if (how != -EAGAIN)
				step->err = how;
			break;
		}
		dropped += how;
	}
	if (unlikely(known < n && i == known))
		step->err = -EPERM;
	ses->holds -= i - dropped;
	ses->held -= last;
	if (unlikely(ses->watched))
		kvbm_session_look(ses, &l);
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
	if (dropped)
		kvbm_claims_notify(st);
	kvbm_prune_end(st, l.prune);
	trace_kvbm_release(st, ses->number, n, i);
	return i;
}

/**
 * kvbm_unhold() - undo the holds of a chunk whose result could not be written
 * @ses: the session
 * @ids: blocks; KVBM_NO_BLOCK is skipped
 * @n: elements
 *
 * Blocks that another thread of the session released meanwhile are skipped too.
 */
void kvbm_unhold(struct kvbm_session *ses, const u32 *ids, u32 n)
{
	u32 i = 0;

	while (i < n) {
		struct kvbm_step step = KVBM_STEP_INIT;

		if (ids[i] == KVBM_NO_BLOCK) {
			i++;
			continue;
		}
		i += kvbm_release_chunk(ses, &ids[i], 1,
					KVBM_RELEASE_REGISTERED, &step);
		if (step.err)
			i++;
	}
}

/**
 * kvbm_alloc_undo() - release blocks whose ids an allocation cannot write
 * @ses: the session
 * @ids: blocks; KVBM_NO_BLOCK is skipped
 * @n: elements, at most KVBM_CHUNK
 * @evicted: bit mask of those that were evicted
 *
 * Evictions stand.  Blocks that another thread of the session has used
 * meanwhile stay.
 */
void kvbm_alloc_undo(struct kvbm_session *ses, const u32 *ids, u32 n,
		     u64 evicted)
{
	u32 i = 0, undone = 0, from_reset = 0;

	while (i < n) {
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 end;

		end = i + kvbm_release_chunk(ses, &ids[i], n - i,
					     KVBM_RELEASE_MUTABLE, &step);
		undone += end - i;
		for (; i < end; i++)
			from_reset += !(evicted & BIT_ULL(i));
		if (step.err)
			i++;
	}
	spin_lock(&ses->lock);
	ses->counters.allocations -= undone;
	ses->counters.allocations_from_reset -= from_reset;
	spin_unlock(&ses->lock);
}

/* Less than a chunk: each block is cold, and nobody waits for the end. */
#define RECLAIM_CHUNK	(KVBM_CHUNK / 2)

/* One lock hold's worth of reclaim; false if everything is done. */
static bool reclaim_chunk(struct kvbm_session *ses, u32 *from, bool owned,
			  struct kvbm_chain *linger, u64 *back)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_store *st = ses->store;
	u32 i, n, next = *from;
	u32 ids[RECLAIM_CHUNK] __uninitialized;
	bool more;

	spin_lock(&ses->lock);
	n = kvbm_holds_collect(ses, &next, owned, ids, RECLAIM_CHUNK);
	for (i = 0; i < n; i++)
		prefetchw(&st->slots[ids[i]]);
	/* In order of block id they are unrelated: all cold. */
	if (!owned && st->cfg.policy->prefetch_for)
		st->cfg.policy->prefetch_for(st, ids, n, KVBM_PREFETCH_INSERT);
	for (i = 0; i < n; i++) {
		u32 *cnt = kvbm_count(ses, ids[i]);
		u32 holds = kvbm_count_holds(*cnt);

		if (owned) {
			if (!kvbm_lock_store(&l))
				break;
			drop_owned(ses, ids[i], cnt, linger);
			++*back;
			continue;
		}
		if (*cnt & KVBM_COUNT_COPY) {
			if (!kvbm_lock_store(&l))
				break;
			put_copy(ses, ids[i], cnt);
		} else {
			if (!put_unlocked(&st->slots[ids[i]])) {
				if (!kvbm_lock_store(&l))
					break;
				put_locked(ses, ids[i]);
			}
			/* The part for its Duplicates stays until they go. */
			*cnt &= KVBM_COUNT_KEPT_MASK;
			if (!*cnt)
				ses->held--;
		}
		*back += holds;
		ses->holds -= holds;
	}
	*from = i < n ? ids[i] : next;
	more = owned ? ses->owned : ses->held;
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
	if (owned)
		kvbm_claims_notify(st);
	kvbm_prune_end(st, l.prune);
	return more && *from < st->cfg.total;
}

/**
 * kvbm_session_retire() - take everything from a session
 * @ses: the session; nobody may add holds once this has begun
 * @err: errno for its calls from now on
 * @linger: chain for its Mutable and Staged blocks; NULL: they become free
 *
 * Mutable and Staged blocks first, then registered ones, each in ascending
 * block id.
 *
 * Return: owned blocks and holds released.
 */
u64 kvbm_session_retire(struct kvbm_session *ses, int err,
			struct kvbm_chain *linger)
{
	struct kvbm_store *st = ses->store;
	u64 begin = ktime_get_ns();
	u64 owned = 0, holds = 0, back;
	u32 from;

	spin_lock(&ses->lock);
	if (!ses->dead)
		WRITE_ONCE(ses->dead, err);
	spin_unlock(&ses->lock);
	kvbm_waiters_end(ses);
	kvbm_claim_waits_end(ses);
	kvbm_allocs_end(ses);
	kvbm_offers_end(ses);

	for (from = 0; reclaim_chunk(ses, &from, true, linger, &owned);)
		cond_resched();
	for (from = 0; reclaim_chunk(ses, &from, false, NULL, &holds);)
		cond_resched();

	back = (linger ? 0 : owned) + holds;
	if (owned || holds) {
		u64 ns = ktime_get_ns() - begin;

		mutex_lock(&st->sessions_lock);
		st->reclaimed.sessions++;
		if (!linger)
			st->reclaimed.owned += owned;
		st->reclaimed.holds += holds;
		st->reclaimed.last_ns = ns;
		st->reclaimed.max_ns = max(st->reclaimed.max_ns, ns);
		mutex_unlock(&st->sessions_lock);
		trace_kvbm_reclaim(st, ses->number, owned, holds, ns);
	}
	return back;
}

/* The same, and nothing lingers. */
u64 kvbm_session_kill(struct kvbm_session *ses, int err)
{
	return kvbm_session_retire(ses, err, NULL);
}
