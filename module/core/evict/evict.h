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

#endif /* KVBM_EVICT_H */
