/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * sketch.h - how often hashes were seen lately
 */
#ifndef KVBM_SKETCH_H
#define KVBM_SKETCH_H

#include "core.h"

u64 kvbm_sketch_need(u32 capacity);
int kvbm_sketch_create(struct kvbm_store *st, u32 capacity);
void kvbm_sketch_destroy(struct kvbm_store *st);
void kvbm_sketch_touch(struct kvbm_sketch *sk, const struct kvbm_hash *keys,
		       u32 n);
u32 kvbm_sketch_read(const struct kvbm_sketch *sk,
		     const struct kvbm_hash *key);

/* The same for the index's hashes of keys. */
void kvbm_sketch_touch_hashes(struct kvbm_sketch *sk, const u32 *hash, u32 n);
void kvbm_sketch_prefetch(const struct kvbm_sketch *sk, u32 hash);
u32 kvbm_sketch_read_hash(const struct kvbm_sketch *sk, u32 hash);

#endif /* KVBM_SKETCH_H */
