// SPDX-License-Identifier: MIT
/* The counters and gauges of struct kvbm_stats by name. */
#include <stddef.h>

#include "kvbmctl.h"

#define COUNTER(name, help) \
	{ #name, offsetof(struct kvbm_stats, name), false, help }
#define GAUGE(name, help) \
	{ #name, offsetof(struct kvbm_stats, name), true, help }

const struct stat_field stat_fields[] = {
	COUNTER(allocations, "Blocks allocated."),
	COUNTER(allocations_from_reset,
		"Blocks allocated from the free list."),
	COUNTER(evictions, "Blocks allocated by evicting."),
	COUNTER(registrations,
		"Registrations, duplicates and dedups included."),
	COUNTER(duplicate_blocks, "Registrations that made a Duplicate."),
	COUNTER(registration_dedup,
		"Registrations answered with the existing block."),
	COUNTER(stagings, "Blocks staged."),
	COUNTER(match_hashes_requested, "Hashes in match queries."),
	COUNTER(match_blocks_returned, "Holds that matches gave."),
	COUNTER(scan_hashes_requested, "Hashes in scan queries."),
	COUNTER(scan_blocks_returned, "Holds that scans gave."),
	GAUGE(inflight_mutable, "Mutable blocks."),
	GAUGE(inflight_immutable, "Holds on registered blocks."),
	GAUGE(reset_pool_size, "Blocks in the free list."),
	GAUGE(inactive_pool_size, "Registered idle blocks."),
	GAUGE(staged, "Staged blocks."),
	GAUGE(sessions, "Open sessions."),
	GAUGE(revoked_sessions, "Revoked sessions whose file is open."),
	COUNTER(reclaimed_sessions,
		"Sessions that ended while holding something."),
	COUNTER(reclaimed_owned,
		"Mutable and Staged blocks that such ends gave back."),
	COUNTER(reclaimed_holds,
		"Holds on registered blocks that such ends gave back."),
	GAUGE(reclaim_last_ns, "Duration of the last such end, ns."),
	GAUGE(reclaim_max_ns, "Longest such duration, ns."),
	COUNTER(waits, "Allocations that had to wait."),
	COUNTER(wait_grants, "Waiting allocations that were granted."),
	COUNTER(wait_wakeups, "Wake-ups sent to waiting allocations."),
	COUNTER(index_evictions,
		"Idle blocks that made room in the index."),
};

const size_t n_stat_fields = sizeof(stat_fields) / sizeof(*stat_fields);

uint64_t stat_value(const struct kvbm_stats *stats,
		    const struct stat_field *field)
{
	return *(const __u64 *)((const char *)stats + field->offset);
}

int read_stats(const struct target *t, struct kvbm_stats *stats)
{
	int err = kvbm_stats_of(t->fd, t->ref, stats);

	if (!err && !t->ref && stats->sessions)
		stats->sessions--;
	return err;
}

struct json_object *stats_json(const struct kvbm_stats *stats)
{
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < n_stat_fields; i++)
		json_u64(object, stat_fields[i].name,
			 stat_value(stats, &stat_fields[i]));
	return object;
}
