// SPDX-License-Identifier: MIT
/* kvbmctl stats: counters and gauges, also for Prometheus */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"

/* One store in a collection of statistics. */
struct sample {
	const char *name;
	struct kvbm_counts counts;
	struct kvbm_stats stats;
};

static void prometheus_head(const char *name, bool gauge, const char *help)
{
	printf("# HELP kvbm_%s%s %s\n", name, gauge ? "" : "_total", help);
	printf("# TYPE kvbm_%s%s %s\n", name, gauge ? "" : "_total",
	       gauge ? "gauge" : "counter");
}

static void prometheus_value(const char *name, bool gauge, const char *pool,
			     uint64_t value)
{
	/* A store's name needs no quoting. */
	printf("kvbm_%s%s{pool=\"%s\"} %llu\n", name, gauge ? "" : "_total",
	       pool, (unsigned long long)value);
}

/* The text format wants all values of a metric together. */
static void print_prometheus(const struct sample *samples, int n)
{
	for (size_t f = 0; f < n_stat_fields; f++) {
		const struct stat_field *field = &stat_fields[f];

		prometheus_head(field->name, field->gauge, field->help);
		for (int i = 0; i < n; i++)
			prometheus_value(field->name, field->gauge,
					 samples[i].name,
					 stat_value(&samples[i].stats, field));
	}
	prometheus_head("total_blocks", true, "Blocks of the store.");
	for (int i = 0; i < n; i++)
		prometheus_value("total_blocks", true, samples[i].name,
				 samples[i].counts.total);
	prometheus_head("registered_hashes", true, "Distinct hashes present.");
	for (int i = 0; i < n; i++)
		prometheus_value("registered_hashes", true, samples[i].name,
				 samples[i].counts.registered);
	prometheus_head("waiters", true, "Allocations waiting for blocks.");
	for (int i = 0; i < n; i++)
		prometheus_value("waiters", true, samples[i].name,
				 samples[i].counts.waiters);
}

static int take_sample(struct sample *sample, const char *name)
{
	struct target t;
	int err;

	if (open_target(&t, name))
		return STATUS_FAILED;
	sample->name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	err = kvbm_counts_of(t.fd, t.ref, &sample->counts);
	if (!err)
		err = read_stats(&t, &sample->stats);
	close(t.fd);
	return err ? fail_request(name, err, "store '%s'", name) : STATUS_OK;
}

static void print_samples_json(const struct sample *samples, int n)
{
	struct json_object *all = json_object_new_object();

	for (int i = 0; i < n; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "counts",
				       counts_json(&samples[i].counts));
		json_object_object_add(one, "stats",
				       stats_json(&samples[i].stats));
		json_object_object_add(all, samples[i].name, one);
	}
	print_json(all);
}

/* The default: all stores whose statistics we may read. */
static int all_names(struct common *args, struct kvbm_store_entry **entries)
{
	int control = open_control();
	uint32_t n;
	int err;

	*entries = NULL;
	if (control < 0)
		return STATUS_FAILED;
	err = list_stores(control, entries, &n);
	args->names = calloc(n ? n : 1, sizeof(*args->names));
	for (uint32_t i = 0; !err && args->names && i < n; i++) {
		struct kvbm_store_ref ref = { .id = (*entries)[i].store_id };
		struct kvbm_counts counts;

		if (*(*entries)[i].name &&
		    !((*entries)[i].flags & KVBM_STORE_DYING) &&
		    !kvbm_counts_of(control, &ref, &counts))
			args->names[args->n++] = (*entries)[i].name;
	}
	close(control);
	if (err)
		return fail_request(NULL, err, "cannot list stores");
	return args->names ? STATUS_OK : fail("%s", strerror(ENOMEM));
}

static int sample_all(const struct common *args)
{
	struct sample *samples;
	int status = STATUS_OK, n = 0;

	samples = calloc(args->n ? args->n : 1, sizeof(*samples));
	if (!samples)
		return fail("%s", strerror(ENOMEM));
	for (int i = 0; i < args->n; i++) {
		int failed = take_sample(&samples[n], args->names[i]);

		status |= failed;
		n += !failed;
	}

	if (args->prometheus) {
		print_prometheus(samples, n);
	} else if (args->json) {
		print_samples_json(samples, n);
	} else {
		for (int i = 0; i < n; i++) {
			if (args->n > 1)
				printf("%s%s:\n", i ? "\n" : "",
				       samples[i].name);
			print_stats(&samples[i].stats);
		}
	}
	free(samples);
	return status;
}

int cmd_stats(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON,
		{ "prometheus", KEY_PROMETHEUS, NULL, 0,
		  "Print in Prometheus' text format, with the label pool", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "[NAME...]",
		.doc = "Print the counters and gauges of stores: of those named, or of all whose statistics you may read.",
	};
	struct kvbm_store_entry *entries = NULL;
	struct common args = { 0 };
	int status = STATUS_OK;
	bool all;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	all = !args.n;
	if (all)
		status = all_names(&args, &entries);
	if (!status)
		status = sample_all(&args);
	if (all)
		free(args.names);
	free(entries);
	return status;
}
