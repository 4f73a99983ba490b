// SPDX-License-Identifier: MIT
/*
 * kvbmctl metrics: all stores' statistics for Prometheus.
 *
 * Two formats: Prometheus' own text, which the textfile collector of its node
 * exporter and promtool read, and OpenMetrics.  Everything is collected before
 * anything is written, and a file is replaced as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvbmctl.h"

enum {
	KEY_OPENMETRICS = 256,
	KEY_HTTP,
};

struct metrics_args {
	const char *output;
	bool openmetrics;
	bool http;
	char **names;
	int n;
};

struct sample {
	char name[KVBM_NAME_LEN];
	struct kvbm_store_info info;
	struct kvbm_counts counts;
	struct kvbm_stats stats;
};

struct samples {
	struct sample *all;
	uint32_t n;
	uint32_t refused;	/* stores whose statistics may not be read */
};

/* Destination and format. */
struct sink {
	FILE *f;
	bool openmetrics;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct metrics_args *args = state->input;

	switch (key) {
	case 'o':
		args->output = arg;
		return 0;
	case KEY_OPENMETRICS:
		args->openmetrics = true;
		return 0;
	case KEY_HTTP:
		args->http = true;
		return 0;
	case ARGP_KEY_END:
		if (args->http && args->output)
			argp_error(state, "--http and --output exclude each other");
		return 0;
	case ARGP_KEY_ARGS:
		args->names = state->argv + state->next;
		args->n = state->argc - state->next;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* A metric's family; a counter's samples end in _total. */
static void family(const struct sink *s, const char *name, const char *type,
		   const char *help)
{
	bool counter = !strcmp(type, "counter"), info = !strcmp(type, "info");
	const char *end = s->openmetrics ? "" : counter ? "_total" :
			  info ? "_info" : "";

	fprintf(s->f, "# HELP kvbm_%s%s %s\n# TYPE kvbm_%s%s %s\n", name, end,
		help, name, end,
		/* The older format has no such type. */
		info && !s->openmetrics ? "gauge" : type);
}

static void seconds(const struct sink *s, uint64_t ns)
{
	fprintf(s->f, "%llu.%09llu", (unsigned long long)ns / 1000000000,
		(unsigned long long)ns % 1000000000);
}

/* reclaim_last_ns -> reclaim_last_seconds */
static bool in_seconds(const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	if (len < 3 || strcmp(name + len - 3, "_ns"))
		return false;
	snprintf(out, size, "%.*s_seconds", (int)(len - 3), name);
	return true;
}

static const char *help_of(const struct stat_field *field, bool time,
			   char *out, size_t size)
{
	size_t len = strlen(field->help);

	if (!time || len < 5 || strcmp(field->help + len - 5, ", ns."))
		return field->help;
	snprintf(out, size, "%.*s.", (int)(len - 5), field->help);
	return out;
}

static void put_field(const struct sink *s, const struct samples *samples,
		      const struct stat_field *field)
{
	char name[64], help[128];
	bool time = in_seconds(field->name, name, sizeof(name));

	/* The histogram includes it. */
	for (size_t i = 0; i < n_stat_histograms; i++)
		if (!strcmp(field->name, stat_histograms[i].sum))
			return;
	family(s, time ? name : field->name, field->gauge ? "gauge" : "counter",
	       help_of(field, time, help, sizeof(help)));
	for (uint32_t i = 0; i < samples->n; i++) {
		const struct sample *m = &samples->all[i];
		uint64_t value = stat_value(&m->stats, field);

		/* A store's name needs no quoting. */
		fprintf(s->f, "kvbm_%s%s{pool=\"%s\"} ",
			time ? name : field->name,
			field->gauge ? "" : "_total", m->name);
		if (time)
			seconds(s, value);
		else
			fprintf(s->f, "%llu", (unsigned long long)value);
		fputc('\n', s->f);
	}
}

static void put_histogram(const struct sink *s, const struct samples *samples,
			  const struct stat_histogram *h)
{
	family(s, h->metric, "histogram", h->help);
	for (uint32_t i = 0; i < samples->n; i++) {
		const struct sample *m = &samples->all[i];
		const __u64 *counts = histogram_of(&m->stats, h);
		unsigned long long sum = 0;

		for (unsigned int b = 0; b < h->buckets; b++) {
			sum += counts[b];
			fprintf(s->f, "kvbm_%s_bucket{pool=\"%s\",le=\"",
				h->metric, m->name);
			if (b < h->buckets - 1)
				seconds(s, UINT64_C(1) << (b + h->shift));
			else
				fputs("+Inf", s->f);
			fprintf(s->f, "\"} %llu\n", sum);
		}
		fprintf(s->f, "kvbm_%s_sum{pool=\"%s\"} ", h->metric, m->name);
		seconds(s, histogram_sum(&m->stats, h));
		fprintf(s->f, "\nkvbm_%s_count{pool=\"%s\"} %llu\n",
			h->metric, m->name, sum);
	}
}

static void put_info(const struct sink *s, const struct samples *samples)
{
	family(s, "store", "info", "What a store is made of.");
	for (uint32_t i = 0; i < samples->n; i++) {
		const struct kvbm_store_info *info = &samples->all[i].info;

		fprintf(s->f, "kvbm_store_info{pool=\"%s\",store_id=\"%016llx\",policy=\"%.*s\",block_size=\"%u\",block_bytes=\"%llu\",page_bytes=\"%llu\",linger_ms=\"%u\",hashes=\"%s\"} 1\n",
			samples->all[i].name,
			(unsigned long long)info->store_id,
			(int)sizeof(info->policy), info->policy,
			info->block_size, (unsigned long long)info->block_bytes,
			(unsigned long long)info->page_bytes, info->linger_ms,
			info->flags & KVBM_CREATE_OPAQUE ? "opaque" : "lineage");
	}
}

static void put_gauge(const struct sink *s, const struct samples *samples,
		      const char *name, const char *help,
		      uint64_t (*value)(const struct sample *m))
{
	family(s, name, "gauge", help);
	for (uint32_t i = 0; i < samples->n; i++)
		fprintf(s->f, "kvbm_%s{pool=\"%s\"} %llu\n", name,
			samples->all[i].name,
			(unsigned long long)value(&samples->all[i]));
}

static uint64_t total_blocks(const struct sample *m)
{
	return m->counts.total;
}

static uint64_t registered_hashes(const struct sample *m)
{
	return m->counts.registered;
}

static uint64_t waiters(const struct sample *m)
{
	return m->counts.waiters;
}

static uint64_t memory_bytes(const struct sample *m)
{
	return m->info.memory;
}

static uint64_t payload_bytes(const struct sample *m)
{
	return m->info.block_bytes * m->counts.total;
}

static uint64_t max_sessions(const struct sample *m)
{
	return m->info.max_sessions;
}

static void put_all(const struct sink *s, const struct samples *samples)
{
	put_info(s, samples);
	put_gauge(s, samples, "total_blocks", "Blocks of the store.",
		  total_blocks);
	put_gauge(s, samples, "registered_hashes", "Distinct hashes present.",
		  registered_hashes);
	put_gauge(s, samples, "waiters", "Allocations waiting for blocks.",
		  waiters);
	put_gauge(s, samples, "memory_bytes", "Memory of the store's records.",
		  memory_bytes);
	put_gauge(s, samples, "payload_bytes", "Memory of the blocks' bytes.",
		  payload_bytes);
	put_gauge(s, samples, "max_sessions", "Sessions that may be open.",
		  max_sessions);
	for (size_t i = 0; i < n_stat_fields; i++)
		put_field(s, samples, &stat_fields[i]);
	for (size_t i = 0; i < n_stat_histograms; i++)
		put_histogram(s, samples, &stat_histograms[i]);
	if (s->openmetrics)
		fputs("# EOF\n", s->f);
}

/* 0, or -errno: -EPERM, -ENOENT if it has gone meanwhile. */
static int take(struct sample *m, const struct target *t)
{
	int err = kvbm_store_info_of(t->fd, t->ref, &m->info);

	if (!err)
		err = kvbm_counts_of(t->fd, t->ref, &m->counts);
	if (!err)
		err = read_stats(t, &m->stats);
	if (!err)
		memcpy(m->name, m->info.name, sizeof(m->name));
	return err;
}

static int take_named(struct samples *samples, const struct metrics_args *args)
{
	int err = 0;

	samples->all = calloc(args->n, sizeof(*samples->all));
	if (!samples->all)
		return fail("%s", strerror(ENOMEM));
	for (int i = 0; i < args->n; i++) {
		struct target t;

		if (open_target(&t, args->names[i]))
			return STATUS_FAILED;
		err = take(&samples->all[samples->n], &t);
		close(t.fd);
		if (err)
			return fail_request(args->names[i], err, "store '%s'",
					    args->names[i]);
		samples->n++;
	}
	return STATUS_OK;
}

/* All whose statistics the caller may read. */
static int take_all(struct samples *samples)
{
	struct kvbm_store_entry *entries = NULL;
	int control = open_control();
	uint32_t n = 0;
	int err;

	if (control < 0)
		return STATUS_FAILED;
	err = list_stores(control, &entries, &n);
	samples->all = calloc(n + !n, sizeof(*samples->all));
	for (uint32_t i = 0; !err && samples->all && i < n; i++) {
		struct target t = {
			.fd = control,
			.store = { .id = entries[i].store_id },
		};

		t.ref = &t.store;
		if (!*entries[i].name || entries[i].flags & KVBM_STORE_DYING)
			continue;
		err = take(&samples->all[samples->n], &t);
		samples->n += !err;
		samples->refused += err == -EPERM;
		if (err == -EPERM || err == -ENOENT || err == -ENODEV)
			err = 0;
	}
	free(entries);
	close(control);
	if (err)
		return fail_request(NULL, err, "cannot read the stores' statistics");
	if (!samples->all)
		return fail("%s", strerror(ENOMEM));
	if (!samples->n && samples->refused)
		return fail("no permission for the statistics of any of the %u stores: be in a store's monitoring group (kvbmctl access --monitor)",
			    samples->refused);
	return samples->n ? STATUS_OK : fail("there is no store to report on");
}

/* The old file stays until the new one is complete. */
static int replace_file(const char *path, const char *text, size_t len)
{
	char temporary[PATH_MAX];
	int fd, err = 0;
	FILE *f;

	/* Collectors look for the ending: *.prom. */
	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >=
	    (int)sizeof(temporary))
		return fail("cannot write '%s': %s", path,
			    strerror(ENAMETOOLONG));
	fd = mkostemp(temporary, O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		err = errno;
	if (!err && (fwrite(text, 1, len, f) != len || fflush(f) ||
		     fchmod(fd, 0644)))
		err = errno;
	if (f && fclose(f) && !err)
		err = errno;
	if (!err && rename(temporary, path))
		err = errno;
	if (err && fd >= 0)
		unlink(temporary);
	return err ? fail("cannot write '%s': %s", path, strerror(err)) :
		     STATUS_OK;
}

/* Limits on the size of a request, and on its time in seconds. */
#define REQUEST_BYTES	8192
#define REQUEST_SECONDS	5

/*
 * Read a request from standard input, up to its empty line; its path does not
 * matter.  False: it is not a request, or does not end.
 */
static bool read_request(bool *openmetrics)
{
	char text[REQUEST_BYTES + 1];
	size_t len = 0;

	/* Cut off clients that connect and send nothing. */
	alarm(REQUEST_SECONDS);
	for (;;) {
		ssize_t n = read(STDIN_FILENO, text + len, REQUEST_BYTES - len);

		if (n <= 0)
			return false;
		len += n;
		text[len] = '\0';
		if (strstr(text, "\r\n\r\n"))
			break;
		if (len == REQUEST_BYTES)
			return false;
	}
	alarm(0);
	*openmetrics |= !!strstr(text, "application/openmetrics-text");
	return !strncmp(text, "GET ", 4);
}

static void respond(const char *status, bool openmetrics, const char *text,
		    size_t len)
{
	printf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
	       status, openmetrics ?
	       "application/openmetrics-text; version=1.0.0; charset=utf-8" :
	       "text/plain; version=0.0.4; charset=utf-8", len);
	fwrite(text, 1, len, stdout);
}

int cmd_metrics(int argc, char **argv)
{
	static const char refused[] = "kvbmctl metrics failed: the journal says why\n";
	static const struct argp_option options[] = {
		{ "output", 'o', "FILE", 0, "Replace FILE as a whole, once everything is known", 0 },
		{ "http", KEY_HTTP, NULL, 0, "Answer one HTTP request on standard input, as the service of a socket", 0 },
		{ "openmetrics", KEY_OPENMETRICS, NULL, 0, "OpenMetrics instead of Prometheus' text format", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[NAME...]",
		.doc = "Print the statistics of stores for Prometheus: of those named, or of all whose statistics you may read.",
	};
	struct metrics_args args = { 0 };
	struct samples samples = { 0 };
	struct sink sink;
	char *text = NULL;
	size_t len;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.http && !read_request(&args.openmetrics)) {
		respond("400 Bad Request", false, "", 0);
		return fail("not an HTTP request");
	}
	status = args.n ? take_named(&samples, &args) : take_all(&samples);
	if (!status) {
		sink.openmetrics = args.openmetrics;
		sink.f = open_memstream(&text, &len);
		if (sink.f)
			put_all(&sink, &samples);
		if (!sink.f || fclose(sink.f))
			status = fail("%s", strerror(ENOMEM));
	}
	if (!status && args.output)
		status = replace_file(args.output, text, len);
	else if (args.http && !status)
		respond("200 OK", args.openmetrics, text, len);
	else if (args.http)
		respond("503 Service Unavailable", false, refused,
			sizeof(refused) - 1);
	else if (!status)
		fwrite(text, 1, len, stdout);
	free(text);
	free(samples.all);
	return status;
}
