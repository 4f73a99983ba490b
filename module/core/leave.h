/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * leave.h - every way in which a hash leaves the store, or a block goes to
 * Reset
 *
 * A hash leaves the store (kvbm_hash_leaves()) when its block is
 *
 *	evicted by an allocation				alloc.c
 *	evicted by a registration that needs its place		register.c
 *	reset by RESET_INACTIVE					store.c
 *	released for the last time with reset-on-release	release.c
 *	invalidated						forget.c
 *
 * A block goes to Reset (kvbm_to_reset(), kvbm_free_add()) in all of these
 * cases except the first, and when it is
 *
 *	Mutable or Staged, and released; or its session ends	release.c
 *	a Duplicate, and released for the last time		release.c
 *	no longer needed by its allocation			alloc.c
 *	the caller's, whose hash is registered already		register.c
 *	lingering, and its time has passed			linger.c
 */
#ifndef KVBM_LEAVE_H
#define KVBM_LEAVE_H

#include "event.h"
#include "index.h"
#include "retain.h"
#include "trace.h"

/**
 * kvbm_hash_leaves() - end a registration: no lookup finds it, its rank ends
 * @st: the store, locked
 * @s: the block, which is no longer in the eviction index
 * @gen: generation under which it had the hash
 * @why: reason for readers of events
 * @session: number of the session whose call it is, or 0
 */
static inline void kvbm_hash_leaves(struct kvbm_store *st, struct kvbm_slot *s,
				    u32 gen, enum kvbm_reason why, u64 session)
{
	u32 id = kvbm_slot_id(st, s);

	lockdep_assert_held(&st->lock);
	trace_kvbm_remove(st, session, id, &s->key, why);
	kvbm_event(st, KVBM_EVENT_REMOVED, why, id, gen, &s->key, session);
	kvbm_index_remove(st, s);
	if (unlikely(st->retention))
		kvbm_rank_drop(st, id, why);
}

/**
 * kvbm_free_add() - append a Reset slot to the free list
 * @st: the store, locked
 * @id: the block
 */
static inline void kvbm_free_add(struct kvbm_store *st, u32 id)
{
	lockdep_assert_held(&st->lock);
	kvbm_slot_poison(&st->slots[id]);
	kvbm_chain_add(st, &st->free, id);
}

/**
 * kvbm_to_reset() - move a block that nobody holds to Reset
 * @st: the store, locked
 * @id: the block; nobody else changes its word
 * @gen: its generation from now on: one more than before if it was registered
 */
static inline void kvbm_to_reset(struct kvbm_store *st, u32 id, u32 gen)
{
	atomic64_set(&st->slots[id].word,
		     kvbm_w_make(gen, KVBM_STATE_RESET, false, 0));
	kvbm_free_add(st, id);
}

#endif /* KVBM_LEAVE_H */
