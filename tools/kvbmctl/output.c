// SPDX-License-Identifier: MIT
/* Printing: JSON, hashes, ages. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kvbmctl.h"

int print_json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object,
					    JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
	return STATUS_OK;
}

void json_u64(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

void json_str(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

void json_chars(struct json_object *object, const char *key, const char *value,
		size_t size)
{
	json_object_object_add(object, key,
			       json_object_new_string_len(value,
							  strnlen(value, size)));
}

void format_hash(const struct kvbm_hash *hash, char text[34])
{
	snprintf(text, 34, "%016" PRIx64 ":%016" PRIx64, (uint64_t)hash->hi,
		 (uint64_t)hash->lo);
}

void format_age(uint64_t since_ns, char text[16])
{
	struct timespec now;
	uint64_t now_ns, s;

	clock_gettime(CLOCK_BOOTTIME, &now);
	now_ns = now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
	s = now_ns > since_ns ? (now_ns - since_ns) / 1000000000 : 0;
	if (s < 60)
		snprintf(text, 16, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(text, 16, "%" PRIu64 "m%02us", s / 60,
			 (unsigned int)(s % 60));
	else if (s < 86400)
		snprintf(text, 16, "%" PRIu64 "h%02um", s / 3600,
			 (unsigned int)(s / 60 % 60));
	else
		snprintf(text, 16, "%" PRIu64 "d%02uh", s / 86400,
			 (unsigned int)(s / 3600 % 24));
}

void json_store_id(struct json_object *object, uint64_t id)
{
	char text[20];

	/* As text, since many readers keep numbers as doubles. */
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
	json_str(object, "store_id", text);
}

struct json_object *counts_json(const struct kvbm_counts *c)
{
	struct json_object *object = json_object_new_object();

	json_u64(object, "total", c->total);
	json_u64(object, "reset", c->reset);
	json_u64(object, "inactive", c->inactive);
	json_u64(object, "available", c->available);
	json_u64(object, "registered", c->registered);
	json_u64(object, "reserved", c->reserved_blocks);
	json_u64(object, "waiters", c->waiters);
	return object;
}

/* Non-empty elements: how many took less than that, and at least half of it. */
static void print_histogram(const struct kvbm_stats *stats,
			    const struct stat_histogram *histogram)
{
	const __u64 *counts = histogram_of(stats, histogram);
	bool any = false;

	printf("%-23s", histogram->name);
	for (unsigned int b = 0; b < histogram->buckets; b++) {
		if (!counts[b])
			continue;
		if (b < histogram->buckets - 1)
			printf(" <%gs:%llu",
			       (UINT64_C(1) << (b + histogram->shift)) / 1e9,
			       (unsigned long long)counts[b]);
		else
			printf(" more:%llu", (unsigned long long)counts[b]);
		any = true;
	}
	puts(any ? "" : " -");
}

void print_stats(const struct kvbm_stats *stats)
{
	for (size_t i = 0; i < n_stat_fields; i++)
		printf("%-23s %llu\n", stat_fields[i].name,
		       (unsigned long long)stat_value(stats, &stat_fields[i]));
	for (size_t i = 0; i < n_stat_histograms; i++)
		print_histogram(stats, &stat_histograms[i]);
}

const char *note_text(const uint8_t *note, uint32_t bytes, char *text)
{
	text[0] = 0;
	for (uint32_t i = 0; note && i < bytes; i++)
		sprintf(text + 2 * i, "%02x", note[i]);
	return text;
}
