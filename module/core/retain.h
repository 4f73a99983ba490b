/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * retain.h - ranks: which blocks are evicted first, and which last; see
 * retain.c
 */
#ifndef KVBM_RETAIN_H
#define KVBM_RETAIN_H

#include "core.h"

#define KVBM_RANKS	(KVBM_RANK_KEEP + 1)

/**
 * struct kvbm_retention - the ranks of a store's blocks
 * @store: the store
 * @rank: of each block
 * @timed_at: of each block: place in @timed, or KVBM_NIL
 * @payer: of each block: account charged for its rank, or NULL
 * @timed: expiry times: a heap of four children each, the next one first; the
 *	time above the block's id
 * @timed_memory: its allocation
 * @nr_timed: how many
 * @raised: blocks above KVBM_RANK_NORMAL
 * @blocks: of each rank but the normal one
 * @evicted: for allocations, likewise
 * @expired: blocks whose rank expired
 * @keepers: accounts of users with a session or a charge, by uid
 * @work: gives blocks with expired ranks the normal one
 *
 * All under the store's lock, except the pointers, which do not change.
 */
struct kvbm_retention {
	struct kvbm_store *store;
	u8 *rank;
	u32 *timed_at;
	struct kvbm_keeper **payer;
	u64 *timed;
	u64 *timed_memory;
	u32 nr_timed;
	u32 raised;
	u32 blocks[KVBM_RANKS];
	u64 evicted[KVBM_RANKS];
	u64 expired;
	struct rb_root keepers;
	struct delayed_work work;
};

/**
 * struct kvbm_keep_to - the new rank for a batch
 * @rank: enum kvbm_rank
 * @until: in units of 2^KVBM_KEEP_SHIFT ns, KVBM_KEEP_FOREVER: never expires
 */
struct kvbm_keep_to {
	u32 rank;
	u64 until;
};

/* Times have 40 bits of about a millisecond. */
#define KVBM_KEEP_SHIFT		20
#define KVBM_KEEP_FOREVER	BIT_ULL(40)

u64 kvbm_retention_need(const struct kvbm_config *cfg);
int kvbm_retention_init(struct kvbm_store *st);
void kvbm_retention_exit(struct kvbm_store *st);

int kvbm_keeper_join(struct kvbm_session *ses);
void kvbm_keeper_leave(struct kvbm_session *ses);

u64 kvbm_keep_until(u64 ns);
u32 kvbm_keep_chunk(struct kvbm_session *ses, const u32 *ids,
		    const struct kvbm_hash *keys, u32 n,
		    const struct kvbm_keep_to *to, u8 *results,
		    struct kvbm_step *step);
u32 kvbm_newest_chunk(struct kvbm_store *st, const struct kvbm_hash *keys,
		      u32 n);

void kvbm_ranks_due(struct kvbm_store *st);
u32 kvbm_rank_of(struct kvbm_store *st, u32 id, u64 *until_ns);
void kvbm_rank_drop(struct kvbm_store *st, u32 id, enum kvbm_reason why);

#endif /* KVBM_RETAIN_H */
