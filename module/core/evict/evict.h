/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * evict.h - the eviction policies
 */
#ifndef KVBM_EVICT_H
#define KVBM_EVICT_H

#include "core.h"

enum {
#define KVBM_POLICY(name)	KVBM_POLICY_##name,
#include "policies.def"
	KVBM_NR_POLICIES
};

#define KVBM_POLICY(name)	extern const struct kvbm_evict_ops kvbm_evict_##name;
#include "policies.def"

/* A block becomes inactive.  @idle_since shares ->next, which insert() still reads. */
static inline void kvbm_evict_insert(struct kvbm_store *st, struct kvbm_slot *s,
				     u32 id)
{
	st->cfg.policy->insert(st, id);
	s->idle_since = kvbm_idle_clock();
}

#endif /* KVBM_EVICT_H */
