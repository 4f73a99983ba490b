// SPDX-License-Identifier: MIT
/* The counters and gauges of struct kvbm_stats by name. */
#include <stddef.h>
#include <string.h>

#include "kvbmctl.h"

const struct stat_field stat_fields[] = {
#define KVBM_COUNTER(name, help) \
	{ #name, offsetof(struct kvbm_stats, name), false, help },
#define KVBM_GAUGE(name, help) \
	{ #name, offsetof(struct kvbm_stats, name), true, help },
#include "stats.def"
};

const size_t n_stat_fields = sizeof(stat_fields) / sizeof(*stat_fields);

const struct stat_histogram stat_histograms[] = {
	{ "wait_histogram", offsetof(struct kvbm_stats, wait_histogram),
	  KVBM_WAIT_BUCKETS, KVBM_WAIT_SHIFT, "wait_seconds", "wait_ns",
	  "Time that granted allocations had waited." },
	{ "evicted_idle_histogram",
	  offsetof(struct kvbm_stats, evicted_idle_histogram),
	  KVBM_IDLE_BUCKETS, KVBM_IDLE_BUCKET_SHIFT, "evicted_idle_seconds",
	  "evicted_idle_ns", "Time that evicted blocks had been idle." },
};

const size_t n_stat_histograms = sizeof(stat_histograms) /
				 sizeof(*stat_histograms);

const __u64 *histogram_of(const struct kvbm_stats *stats,
			  const struct stat_histogram *histogram)
{
	return (const __u64 *)((const char *)stats + histogram->offset);
}

uint64_t histogram_sum(const struct kvbm_stats *stats,
		       const struct stat_histogram *histogram)
{
	for (size_t i = 0; i < n_stat_fields; i++)
		if (!strcmp(stat_fields[i].name, histogram->sum))
			return stat_value(stats, &stat_fields[i]);
	return 0;
}

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
	for (size_t i = 0; i < n_stat_histograms; i++) {
		const struct stat_histogram *h = &stat_histograms[i];
		struct json_object *array = json_object_new_array();
		const __u64 *counts = histogram_of(stats, h);

		for (unsigned int b = 0; b < h->buckets; b++)
			json_object_array_add(array,
					      json_object_new_uint64(counts[b]));
		json_object_object_add(object, h->name, array);
	}
	return object;
}
