// SPDX-License-Identifier: MIT
/* The counters and gauges of struct kvbm_stats by name. */
#include <stddef.h>

#include "kvbmctl.h"

const struct stat_field stat_fields[] = {
#define KVBM_COUNTER(name, help) \
	{ #name, offsetof(struct kvbm_stats, name), false, help },
#define KVBM_GAUGE(name, help) \
	{ #name, offsetof(struct kvbm_stats, name), true, help },
#include "stats.def"
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
