/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * forget.h - forgetting hashes; see forget.c
 */
#ifndef KVBM_FORGET_H
#define KVBM_FORGET_H

#include "core.h"

/**
 * struct kvbm_forgotten - the result of forgetting
 * @session: calling session, for the events; 0: none
 * @idle: blocks that went to Reset
 * @held: blocks that stay with their holders
 */
struct kvbm_forgotten {
	u64 session;
	u32 idle;
	u32 held;
};

/* No block has a position above this, so none has a child there. */
#define KVBM_MAX_POSITION	((1U << 24) - 1)

u32 kvbm_forget_chunk(struct kvbm_store *st, const struct kvbm_hash *keys,
		      u32 n, struct kvbm_forgotten *f);
void kvbm_forget_epoch(struct kvbm_store *st);
bool kvbm_forget_some(struct kvbm_store *st, u32 *from,
		      struct kvbm_forgotten *f);
int kvbm_forget_prefix(struct kvbm_store *st, const struct kvbm_hash *key,
		       struct kvbm_forgotten *f);

#endif /* KVBM_FORGET_H */
