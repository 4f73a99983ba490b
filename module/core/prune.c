// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * prune.c - prunes of the eviction index that are longer than a chunk may take
 *
 * The task that causes a prune finishes it at the end of its chunk.  Nobody
 * waits for an unfinished prune: see struct kvbm_evict_ops.
 */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include "core.h"

/* Holds of the lock in one run of the work item, which then requeues itself. */
#define PRUNE_RUN	16

/* Do up to a chunk's worth of steps of a prune; returns where it has got to. */
static noinline u32 prune_some(struct kvbm_store *st, u32 from)
{
	u32 budget = KVBM_CHUNK;

	spin_lock(&st->lock);
	from = st->cfg.policy->prune(st, from, &budget);
	spin_unlock(&st->lock);
	return from;
}

/* All unfinished prunes: some have nobody left to finish them. */
void kvbm_prune_work(struct work_struct *work)
{
	struct kvbm_store *st = container_of(work, struct kvbm_store,
					     prune_work);
	u32 n;

	for (n = 0; n < PRUNE_RUN; n++) {
		if (prune_some(st, KVBM_NIL) == KVBM_NIL)
			return;
		cond_resched();
	}
	schedule_work(&st->prune_work);
}

/**
 * kvbm_prune_rest() - finish a prune
 * @st: the store, not locked
 * @from: where the prune has got to
 *
 * In bounded steps, between which others get the lock.  A fatal signal leaves
 * the rest to a work item.
 */
void kvbm_prune_rest(struct kvbm_store *st, u32 from)
{
	while (from != KVBM_NIL) {
		if (fatal_signal_pending(current)) {
			schedule_work(&st->prune_work);
			return;
		}
		from = prune_some(st, from);
		cond_resched();
	}
}
