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
	[KVBM_STATE_FORGOTTEN] = "forgotten",
};

static const char *const kinds[] = {
	[KVBM_KIND_PRIMARY] = "primary",
	[KVBM_KIND_DUPLICATE] = "duplicate",
	[KVBM_KIND_DEDUP] = "dedup",
};

static const char *const events[] = {
	[0] = "unknown",
	[KVBM_EVENT_STORED] = "stored",
	[KVBM_EVENT_REMOVED] = "removed",
	[KVBM_EVENT_DUPLICATE] = "duplicate",
	[KVBM_EVENT_DUPLICATE_GONE] = "duplicate-gone",
	[KVBM_EVENT_CLEARED] = "cleared",
	[KVBM_EVENT_LOST] = "lost",
};

static const char *const reasons[] = {
	[KVBM_REASON_NONE] = "none",
	[KVBM_REASON_EVICTED] = "evicted",
	[KVBM_REASON_RELEASED] = "released",
	[KVBM_REASON_RECLAIMED] = "reclaimed",
	[KVBM_REASON_RESET] = "reset",
	[KVBM_REASON_DISPLACED] = "displaced",
	[KVBM_REASON_DESTROYED] = "destroyed",
	[KVBM_REASON_INVALIDATED] = "invalidated",
};

static const char *const ranks[] = {
	[KVBM_RANK_FIRST] = "first",
	[KVBM_RANK_NORMAL] = "normal",
	[KVBM_RANK_HIGH] = "high",
	[KVBM_RANK_KEEP] = "keep",
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

const char *kvbm_event_name(unsigned int type)
{
	return type < ARRAY_SIZE(events) ? events[type] : "unknown";
}

const char *kvbm_reason_name(unsigned int reason)
{
	return reason < ARRAY_SIZE(reasons) ? reasons[reason] : "unknown";
}

const char *kvbm_rank_name(unsigned int rank)
{
	return rank < ARRAY_SIZE(ranks) ? ranks[rank] : "unknown";
}

const char *kvbm_version(void)
{
	return KVBM_VERSION;
}
