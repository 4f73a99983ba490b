// SPDX-License-Identifier: MIT
/*
 * kvbmctl top: stores with their rates, and the sessions of one of them.
 *
 * Uses the control device, so it needs no session of the stores.  If the caller
 * may not open that, it opens a session of each for every update, so that a
 * watched store can be destroyed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "table.h"
#include "top.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static struct store *find_store(struct top *top, const char *name)
{
	struct store *s;

	for (size_t i = 0; i < top->n; i++)
		if (!strcmp(top->stores[i].name, name))
			return &top->stores[i];
	s = reallocarray(top->stores, top->n + 1, sizeof(*s));
	if (!s)
		return NULL;
	top->stores = s;
	s += top->n++;
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	return s;
}

static int most_held_first(const void *a, const void *b)
{
	const struct kvbm_session_entry *x = a, *y = b;

	return x->held < y->held ? 1 : x->held > y->held ? -1 : 0;
}

/* Takes ownership of @t. */
static void look_at(struct top *top, const char *name, struct target *t,
		    bool dying)
{
	struct store *s = find_store(top, name);
	double at = now();

	if (s) {
		s->before = s->now;
		s->seconds = s->taken ? at - s->taken : 0;
		s->taken = at;
		s->dying = dying;
		free(s->sessions);
		s->sessions = NULL;
		s->seen = !kvbm_counts_of(t->fd, t->ref, &s->counts) &&
			  !read_stats(t, &s->now);
		s->sessions_err = list_sessions(t, &s->sessions,
						&s->n_sessions);
		if (s->n_sessions)
			qsort(s->sessions, s->n_sessions,
			      sizeof(*s->sessions), most_held_first);
	}
	close(t->fd);
}

static void look_at_named(struct top *top, const char *word)
{
	struct target t;

	if (!open_target(&t, word))
		look_at(top, t.store.id ? word : t.path, &t, false);
}

/* Stores without a name, or that lost it, go by their ids. */
static void look_at_entry(struct top *top, const struct kvbm_store_entry *e,
			  int control)
{
	bool dying = e->flags & KVBM_STORE_DYING;
	struct target t = {
		.fd = dup(control),
		.store = { .id = e->store_id },
	};
	char name[KVBM_NAME_LEN + 1];

	t.ref = &t.store;
	if (*e->name && !dying)
		snprintf(name, sizeof(name), "%.*s", KVBM_NAME_LEN, e->name);
	else
		snprintf(name, sizeof(name), "@%016llx",
			 (unsigned long long)e->store_id);
	if (t.fd >= 0)
		look_at(top, name, &t, dying);
}

int top_look(struct top *top, int control)
{
	struct kvbm_store_entry *entries = NULL;
	uint32_t n = 0;
	int err = 0;
	size_t kept = 0;

	for (size_t i = 0; i < top->n; i++)
		top->stores[i].seen = false;
	for (int i = 0; i < top->n_names; i++)
		look_at_named(top, top->names[i]);
	if (!top->n_names)
		err = list_stores(control, &entries, &n);
	for (uint32_t i = 0; i < n; i++)
		look_at_entry(top, &entries[i], control);
	free(entries);

	for (size_t i = 0; i < top->n; i++) {
		if (top->stores[i].seen)
			top->stores[kept++] = top->stores[i];
		else
			free(top->stores[i].sessions);
	}
	top->n = kept;
	return err;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * part / whole : 0;
}

double top_rate(const struct store *s, uint64_t now, uint64_t before)
{
	return s->seconds > 0 ? (now - before) / s->seconds : -1;
}

double top_hit_rate(const struct store *s)
{
	uint64_t asked = s->now.match_hashes_requested -
			 s->before.match_hashes_requested;

	if (s->seconds <= 0 || !asked)
		return -1;
	return percent(s->now.match_blocks_returned -
		       s->before.match_blocks_returned, asked);
}

/* The median, assuming an even distribution within an element. */
static double median(const uint64_t *counts, uint64_t all)
{
	double left = all / 2.0;
	unsigned int i = 0;
	double from, upto;

	while (left > counts[i])
		left -= counts[i++];
	upto = (double)(UINT64_C(1) << (i + KVBM_IDLE_BUCKET_SHIFT)) / 1e9;
	from = i ? upto / 2 : 0;
	return from + (upto - from) * left / counts[i];
}

double top_age(const struct store *s)
{
	uint64_t counts[KVBM_IDLE_BUCKETS], all = 0;
	const __u64 *now = s->now.evicted_idle_histogram;
	const __u64 *before = s->before.evicted_idle_histogram;

	for (unsigned int i = 0; i < KVBM_IDLE_BUCKETS; i++) {
		counts[i] = now[i] - before[i];
		all += counts[i];
	}
	for (unsigned int i = 0; !all && i < KVBM_IDLE_BUCKETS; i++)
		counts[i] = now[i];
	for (unsigned int i = 0; !all && i < KVBM_IDLE_BUCKETS; i++)
		all += counts[i];
	return all ? median(counts, all) : -1;
}

void top_format_age(double seconds, char text[16])
{
	if (seconds < 0)
		snprintf(text, 16, "-");
	else if (seconds < 1)
		snprintf(text, 16, "%.0fms", seconds * 1000);
	else if (seconds < 100)
		snprintf(text, 16, "%.1fs", seconds);
	else if (seconds < 6000)
		snprintf(text, 16, "%.1fm", seconds / 60);
	else if (seconds < 360000)
		snprintf(text, 16, "%.1fh", seconds / 3600);
	else
		snprintf(text, 16, "%.0fd", seconds / 86400);
}

static void put_real(struct table *t, double value, int digits)
{
	if (value < 0)
		table_none(t);
	else
		table_put(t, "%.*f", digits, value);
}

static void put_rate(struct table *t, const struct store *s, uint64_t now,
		     uint64_t before)
{
	put_real(t, top_rate(s, now, before), 0);
}

static void put_store(struct table *t, const struct store *s)
{
	const struct kvbm_counts *c = &s->counts;
	char age[16];

	table_row(t);
	table_put(t, "%s", s->name);
	table_number(t, c->total);
	table_put(t, "%.1f", percent(c->reset, c->total));
	table_put(t, "%.1f", percent(c->inactive, c->total));
	table_put(t, "%.1f", percent(c->held, c->total));
	table_number(t, s->now.sessions);
	put_rate(t, s, s->now.allocations, s->before.allocations);
	put_rate(t, s, s->now.evictions, s->before.evictions);
	put_rate(t, s, s->now.match_hashes_requested,
		 s->before.match_hashes_requested);
	put_real(t, top_hit_rate(s), 1);
	table_number(t, c->waiters);
	top_format_age(top_age(s), age);
	table_put(t, "%s", age);
	table_bool(t, s->dying);
}

static void print_stores(FILE *out, const struct top *top)
{
	static const struct table_column columns[] = {
		{ "NAME", 0 },
		{ "BLOCKS", TABLE_NUMBER },
		{ "FREE%", TABLE_NUMBER },
		{ "IDLE%", TABLE_NUMBER },
		{ "HELD%", TABLE_NUMBER },
		{ "SESSIONS", TABLE_NUMBER },
		{ "ALLOC/S", TABLE_NUMBER },
		{ "EVICT/S", TABLE_NUMBER },
		{ "MATCH/S", TABLE_NUMBER },
		{ "HIT%", TABLE_NUMBER },
		{ "WAITERS", TABLE_NUMBER },
		{ "AGE", TABLE_RIGHT },
		{ "DYING", TABLE_BOOL },
	};
	static const struct common text;
	struct table *t = table_new("stores", columns,
				    sizeof(columns) / sizeof(*columns), &text);

	fprintf(out, "%zu store%s\n", top->n, top->n == 1 ? "" : "s");
	for (size_t i = 0; i < top->n; i++)
		put_store(t, &top->stores[i]);
	table_print(t, out);
}

static void print_store_sessions(FILE *out, const struct store *s)
{
	static const struct common text;

	fprintf(out, "\n%s: %u session%s", s->name, s->n_sessions,
		s->n_sessions == 1 ? "" : "s");
	if (s->sessions_err)
		fprintf(out, " (not shown: %s)", strerror(-s->sessions_err));
	fprintf(out, "\n");
	print_sessions(out, s->sessions, s->n_sessions, &text);
}

static int batch(struct top *top, int control)
{
	struct timespec pause = {
		.tv_sec = top->delay,
		.tv_nsec = (top->delay - (time_t)top->delay) * 1e9,
	};
	int err;

	for (uint64_t i = 0; i < top->samples; i++) {
		if (i) {
			nanosleep(&pause, NULL);
			putchar('\n');
		}
		err = top_look(top, control);
		if (err)
			return fail_request(NULL, err, "cannot list stores");
		print_stores(stdout, top);
		for (size_t k = 0; k < top->n; k++)
			print_store_sessions(stdout, &top->stores[k]);
		fflush(stdout);
	}
	return STATUS_OK;
}

static int interactive(struct top *top, int control)
{
	int err = top_screen(top, control);

	if (err == -ENOTTY)
		return fail("this terminal cannot be used: try --batch=1");
	return err ? fail_request(NULL, err, "cannot list stores") : STATUS_OK;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct top *top = state->input;

	switch (key) {
	case 'b':
		if (!parse_number(arg, UINT32_MAX, &top->samples) ||
		    !top->samples)
			argp_error(state, "--batch: how many times?");
		return 0;
	case 'd':
		if (!parse_real(arg, &top->delay) || top->delay < 0.1 ||
		    top->delay > 3600)
			argp_error(state, "--delay: 0.1 to 3600 seconds expected");
		return 0;
	case ARGP_KEY_ARGS:
		top->names = state->argv + state->next;
		top->n_names = state->argc - state->next;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_top(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "batch", 'b', "N", 0, "Print N screens as text and end", 0 },
		{ "delay", 'd', "SECONDS", 0,
		  "Time between two screens (default: 2)", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[NAME...]",
		.doc = "Watch stores: the states of their blocks, allocations, evictions and matched hashes per second, hit rate, how long evicted blocks had been inactive, and what each session holds.\vAGE is the median time that evicted blocks had been inactive. On a terminal h lists the keys.",
	};
	struct top top = { .delay = 2 };
	int control = -1, status;
	struct target t;

	argp_parse(&argp, argc, argv, 0, NULL, &top);
	if (!top.n_names)
		control = open_control();
	if (!top.n_names && control < 0)
		return STATUS_FAILED;
	for (int i = 0; i < top.n_names; i++) {
		struct kvbm_counts counts;
		int err;

		if (open_target(&t, top.names[i]))
			return STATUS_FAILED;
		err = kvbm_counts_of(t.fd, t.ref, &counts);
		close(t.fd);
		if (err)
			return fail_request(top.names[i], err, "store '%s'",
					    top.names[i]);
	}
	if (!top.samples && !isatty(STDOUT_FILENO))
		top.samples = 1;
	status = top.samples ? batch(&top, control) :
			       interactive(&top, control);
	if (control >= 0)
		close(control);
	for (size_t i = 0; i < top.n; i++)
		free(top.stores[i].sessions);
	free(top.stores);
	return status;
}
