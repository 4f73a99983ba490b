/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * locked.h - a chunk takes the store's lock when it first needs it, and keeps
 * it to its end; the prunes that it caused
 */
#ifndef KVBM_LOCKED_H
#define KVBM_LOCKED_H

#include "core.h"

/**
 * struct kvbm_locked - does this chunk have the store's lock?
 * @st: the store
 * @held: yes
 * @budget: steps of prunes that the chunk may do under it
 * @prune: a prune left to kvbm_prune_end(), or KVBM_NIL
 */
struct kvbm_locked {
	struct kvbm_store *st;
	bool held;
	u32 budget;
	u32 prune;
};

#define KVBM_LOCKED_INIT(store)						\
	{ .st = (store), .budget = KVBM_CHUNK, .prune = KVBM_NIL }

/* Is the prune that the chunk's last operation began finished? */
static inline bool kvbm_pruned(struct kvbm_locked *l)
{
	struct kvbm_store *st = l->st;

	lockdep_assert_held(&st->lock);
	if (likely(st->pruning == KVBM_NIL))
		return true;
	st->pruning = st->cfg.policy->prune(st, st->pruning, &l->budget);
	return st->pruning == KVBM_NIL;
}

/*
 * Take the lock if it is not held yet.  False: the chunk's last operation began
 * a prune so long that the chunk must end here.
 */
static inline bool kvbm_lock_store(struct kvbm_locked *l)
{
	if (l->held)
		return kvbm_pruned(l);
	spin_lock(&l->st->lock);
	l->held = true;
	return true;
}

static inline void kvbm_unlock_store(struct kvbm_locked *l)
{
	if (!l->held)
		return;
	if (unlikely(!kvbm_pruned(l))) {
		l->prune = l->st->pruning;
		l->st->pruning = KVBM_NIL;
	}
	if (unlikely(l->st->ring))
		kvbm_ring_unlock(l->st);
	else
		spin_unlock(&l->st->lock);
	l->held = false;
}

/* The chunk has the lock, and somebody waits or polls for blocks. */
static inline bool kvbm_has_waiters(const struct kvbm_locked *l)
{
	return l->held && unlikely(l->st->nr_waiters ||
				   rb_first_cached(&l->st->pollers));
}

/* The same after blocks may have become free: wakes waiters and pollers. */
static inline void kvbm_unlock_notify(struct kvbm_locked *l)
{
	if (kvbm_has_waiters(l))
		kvbm_wake_waiters(l);
	else
		kvbm_unlock_store(l);
}

/* The end of a chunk, which no longer holds a lock. */
static inline void kvbm_prune_end(struct kvbm_store *st, u32 from)
{
	if (unlikely(from != KVBM_NIL))
		kvbm_prune_rest(st, from);
}

#endif /* KVBM_LOCKED_H */
