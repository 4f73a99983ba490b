// SPDX-License-Identifier: MIT
/* Constants as words. */
#include "internal.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static const char *const policies[] = {
#define KVBM_POLICY(name)	#name,
#include "policies.def"
};

static const char *const states[] = {
	[KVBM_STATE_RESET] = "reset",
	[KVBM_STATE_MUTABLE] = "mutable",
	[KVBM_STATE_STAGED] = "staged",
	[KVBM_STATE_PRIMARY] = "primary",
	[KVBM_STATE_DUPLICATE] = "duplicate",
	[KVBM_STATE_INACTIVE] = "inactive",
	[KVBM_STATE_LINGERING] = "lingering",
};

static const char *const kinds[] = {
	[KVBM_KIND_PRIMARY] = "primary",
	[KVBM_KIND_DUPLICATE] = "duplicate",
	[KVBM_KIND_DEDUP] = "dedup",
};

const char *kvbm_policy_name(unsigned int i)
{
	return i < ARRAY_SIZE(policies) ? policies[i] : NULL;
}

const char *kvbm_state_name(unsigned int state)
{
	return state < ARRAY_SIZE(states) ? states[state] : "unknown";
}

const char *kvbm_kind_name(unsigned int kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind] : "unknown";
}

const char *kvbm_version(void)
{
	return KVBM_VERSION;
}
