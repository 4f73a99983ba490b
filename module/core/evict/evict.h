/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * evict.h - the eviction indexes
 */
#ifndef KVBM_EVICT_H
#define KVBM_EVICT_H

#include "core.h"

extern const struct kvbm_evict_ops kvbm_evict_fifo;
extern const struct kvbm_evict_ops kvbm_evict_lru;
extern const struct kvbm_evict_ops kvbm_evict_multi_lru;
extern const struct kvbm_evict_ops kvbm_evict_lineage_tick;
extern const struct kvbm_evict_ops kvbm_evict_lineage_fifo;

#endif /* KVBM_EVICT_H */
