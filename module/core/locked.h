/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * locked.h - a chunk takes the store's lock when it first needs it, and keeps
 * it to its end
 */
#ifndef KVBM_LOCKED_H
#define KVBM_LOCKED_H

#include "core.h"

/**
 * struct kvbm_locked - does this chunk have the store's lock?
 * @st: the store
 * @held: it does
 * @budget: steps of the policy's left-over work that the chunk may do
 */
struct kvbm_locked {
	struct kvbm_store *st;
	bool held;
	u32 budget;
};

#define KVBM_LOCKED_INIT(store) { .st = (store), .budget = KVBM_CHUNK }

/*
 * Take the lock if it is not held yet.  False: the policy has so much work
 * left that the chunk must end here (kvbm_session_ready() does the work).
 */
static inline bool kvbm_lock_store(struct kvbm_locked *l)
{
	if (!l->held) {
		spin_lock(&l->st->lock);
		l->held = true;
	}
	return kvbm_settled(l->st, &l->budget);
}

static inline void kvbm_unlock_store(struct kvbm_locked *l)
{
	if (l->held)
		spin_unlock(&l->st->lock);
	l->held = false;
}

#endif /* KVBM_LOCKED_H */
