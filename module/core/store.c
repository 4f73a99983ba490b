// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * store.c - life of a store, and queries of the whole store
 *
 * kvbm_store_init() allocates all memory that a store will need; operations on
 * blocks allocate only pages of hold tables.
 *
 * The caller keeps the store alive while a session exists.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "claim.h"
#include "leave.h"
#include "retain.h"
#include "note.h"
#include "sketch.h"

/**
 * kvbm_config_check() - check and complete a user's configuration
 * @cfg: in and out
 *
 * Return: 0 or -EINVAL.
 */
int kvbm_config_check(struct kvbm_config *cfg)
{
	const u32 *t = cfg->thresholds;
	bool given = t[0] || t[1] || t[2];

	if (!cfg->total || cfg->total > KVBM_MAX_BLOCKS)
		return -EINVAL;
	if (!cfg->block_size)
		cfg->block_size = 16;
	if (cfg->block_size > KVBM_MAX_BLOCK_SIZE)
		return -EINVAL;
	if (cfg->opaque && cfg->policy->needs_lineage)
		return -EINVAL;
	if (cfg->freq_capacity > KVBM_FREQ_LARGE)
		return -EINVAL;
	if (cfg->policy->needs_frequency && !cfg->freq_capacity)
		return -EINVAL;
	if (cfg->event_records &&
	    (cfg->event_records < KVBM_MIN_EVENT_RECORDS ||
	     cfg->event_records > KVBM_MAX_EVENT_RECORDS ||
	     !is_power_of_2(cfg->event_records)))
		return -EINVAL;
	if (cfg->note_bytes > KVBM_MAX_NOTE_BYTES)
		return -EINVAL;
	if (cfg->keep_blocks > cfg->total ||
	    cfg->keep_user_blocks > cfg->keep_blocks)
		return -EINVAL;
	if (!cfg->policy->has_thresholds)
		return given ? -EINVAL : 0;
	if (!given) {
		cfg->thresholds[0] = 3;
		cfg->thresholds[1] = 8;
		cfg->thresholds[2] = 15;
	}
	if (t[0] < 1 || t[0] >= t[1] || t[1] >= t[2] || t[2] > 15)
		return -EINVAL;
	return 0;
}

/**
 * kvbm_store_need() - memory that kvbm_store_init() will allocate
 * @cfg: checked by kvbm_config_check()
 *
 * Does not include the sessions' hold tables.
 *
 * Return: bytes, an upper bound.
 */
u64 kvbm_store_need(const struct kvbm_config *cfg)
{
	/* Small objects and what surrounds them: a page. */
	u64 need = PAGE_SIZE + PAGE_ALIGN(sizeof(struct kvbm_store)) +
		   kvbm_array_need(cfg->total, sizeof(struct kvbm_slot)) +
		   kvbm_index_need(cfg) + kvbm_claims_need(cfg) +
		   kvbm_retention_need(cfg) +
		   cfg->policy->need(cfg);

	if (cfg->freq_capacity)
		need += kvbm_sketch_need(cfg->freq_capacity);
	need += kvbm_notes_need(cfg);
	return need + kvbm_ring_need(cfg->event_records);
}

/* All slots into the free list, in order of block id. */
static int init_slots(struct kvbm_store *st)
{
	u32 id;

	for (id = 0; id < st->cfg.total; id++) {
		atomic64_set(&st->slots[id].word,
			     kvbm_w_make(0, KVBM_STATE_RESET, false, 0));
		kvbm_slot_poison(&st->slots[id]);
		st->slots[id].next = id + 1;
		if (id % 4096)
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	st->slots[id - 1].next = KVBM_NIL;
	st->free.tail = id - 1;
	st->free.len = id;
	return 0;
}

/**
 * kvbm_store_init() - create a store
 * @st: zeroed memory; the caller sets @st->id and ->poll
 * @cfg: checked by kvbm_config_check()
 *
 * Return: 0, -ENOMEM, or -EINTR after a fatal signal.
 */
int kvbm_store_init(struct kvbm_store *st, const struct kvbm_config *cfg)
{
	int err;

	st->cfg = *cfg;
	st->memory = sizeof(*st);
	spin_lock_init(&st->lock);
	st->waiters = RB_ROOT_CACHED;
	st->pollers = RB_ROOT_CACHED;
	INIT_WORK(&st->notify_work, kvbm_notify_work);
	INIT_WORK(&st->prune_work, kvbm_prune_work);
	st->pruning = KVBM_NIL;
	mutex_init(&st->sessions_lock);
	spin_lock_init(&st->offers_lock);
	st->offers = RB_ROOT;
	mutex_init(&st->stats_lock);
	INIT_LIST_HEAD(&st->sessions);
	st->by_number = RB_ROOT;

	st->slots = kvbm_array_alloc(st, cfg->total, sizeof(*st->slots));
	if (!st->slots)
		return -ENOMEM;
	err = kvbm_notes_init(st) ?: kvbm_index_init(st);
	if (err)
		goto free_slots;
	err = init_slots(st);
	if (err)
		goto free_index;
	err = kvbm_claims_init(st);
	if (err)
		goto free_index;
	err = kvbm_retention_init(st) ?: cfg->policy->init(st);
	if (err)
		goto free_claims;
	if (cfg->freq_capacity) {
		err = kvbm_sketch_create(st, cfg->freq_capacity);
		if (err)
			goto free_policy;
	}
	return 0;

free_policy:
	cfg->policy->exit(st);
free_claims:
	kvbm_retention_exit(st);
	kvbm_claims_exit(st);
free_index:
	kvbm_index_exit(st);
free_slots:
	kvbm_notes_exit(st);
	kvbm_array_free(st->slots);
	return err;
}

/**
 * kvbm_store_exit() - free a store
 * @st: it has no session any more
 */
void kvbm_store_exit(struct kvbm_store *st)
{
	cancel_work_sync(&st->notify_work);
	cancel_work_sync(&st->prune_work);
	if (st->retention)
		cancel_delayed_work_sync(&st->retention->work);
	WARN_ON_ONCE(!list_empty(&st->sessions) ||
		     !RB_EMPTY_ROOT(&st->offers));
	WARN_ON_ONCE(st->reserved || st->nr_waiters ||
		     rb_first_cached(&st->pollers));
	WARN_ON_ONCE(st->nr_held || st->nr_lingering);
	WARN_ON_ONCE(st->free.len + st->nr_inactive != st->cfg.total);
	kvbm_claims_exit(st);
	kvbm_sketch_destroy(st);
	st->cfg.policy->exit(st);
	kvbm_retention_exit(st);
	/* Free the table before the slots that are in it. */
	kvbm_index_exit(st);
	kvbm_notes_exit(st);
	kvbm_array_free(st->slots);
}

/**
 * kvbm_session_ready() - do what a chunk operation could not do under its locks
 * @ses: the session
 * @step: from the chunk
 *
 * Return: 0, -ENOMEM, or -EINTR after a fatal signal.
 */
int kvbm_session_ready(struct kvbm_session *ses, struct kvbm_step *step)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	cond_resched();
	if (step->page_of == KVBM_NIL)
		return 0;
	return kvbm_holds_prepare(ses, step->page_of);
}

/**
 * kvbm_store_counts() - a snapshot of the blocks' states
 * @st: the store
 * @out: filled in
 */
void kvbm_store_counts(struct kvbm_store *st, struct kvbm_counts *out)
{
	spin_lock(&st->lock);
	out->total = st->cfg.total;
	out->reset = st->free.len;
	out->inactive = st->nr_inactive;
	out->available = st->free.len + st->nr_inactive;
	out->registered = st->nr_registered;
	out->reserved_blocks = st->reserved;
	out->waiters = st->nr_waiters;
	out->held = st->nr_held;
	out->lingering = st->nr_lingering;
	spin_unlock(&st->lock);
}

/* One hold of the lock; @more: some are still inactive. */
static u32 reset_some(struct kvbm_store *st, u32 max, bool *more)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 n = 0;

	*more = true;
	while (n < max && kvbm_lock_store(&l)) {
		struct kvbm_slot *s;
		u32 gen, id;

		*more = st->nr_inactive;
		if (!*more)
			break;
		id = st->cfg.policy->pop(st, &l.budget);
		if (unlikely(id == KVBM_NIL))
			break;
		s = &st->slots[id];
		st->nr_inactive--;
		gen = kvbm_w_gen(kvbm_slot_word(s));
		kvbm_hash_leaves(st, s, gen, KVBM_REASON_RESET, 0);
		kvbm_to_reset(st, id, gen + 1);
		n++;
	}
	kvbm_unlock_notify(&l);
	kvbm_prune_end(st, l.prune);
	return n;
}

/**
 * kvbm_reset_inactive_chunk() - reset inactive blocks, in eviction order
 * @st: the store
 * @max: at most this many
 *
 * Return: how many; 0 if none is inactive, or after a fatal signal.
 */
u32 kvbm_reset_inactive_chunk(struct kvbm_store *st, u32 max)
{
	bool more;
	u32 n;

	if (st->retention) {
		spin_lock(&st->lock);
		kvbm_ranks_due(st);
		spin_unlock(&st->lock);
	}
	do {
		n = reset_some(st, min(max, KVBM_CHUNK), &more);
		cond_resched();
	} while (!n && more && max && !fatal_signal_pending(current));
	return n;
}

/* Is every block Reset? */
bool kvbm_store_is_reset(struct kvbm_store *st)
{
	bool whole;

	spin_lock(&st->lock);
	whole = st->free.len == st->cfg.total;
	spin_unlock(&st->lock);
	return whole;
}
