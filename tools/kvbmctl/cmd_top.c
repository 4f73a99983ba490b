// SPDX-License-Identifier: MIT
/*
 * kvbmctl top: stores with their rates, and the sessions of one of them.
 *
 * Looks through the control device, so it needs no session of the stores; who may
 * not open that has a session of each for the length of a look, so that a
 * watched store can be destroyed.
 */
#include <curses.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* curses.h has a timeout() and an ERR; the rest keeps out of its way. */
#include "kvbmctl.h"
#include "table.h"

struct store {
	char name[KVBM_NAME_LEN + 1];
	bool dying;
	struct kvbm_counts counts;
	struct kvbm_stats now, before;
	double seconds;		/* between the two; 0: no rates yet */
	double taken;
	struct kvbm_session_entry *sessions;
	uint32_t n_sessions;
	int sessions_err;
	bool seen;
};

struct top {
	char **names;		/* to watch; none: all */
	int n_names;
	double delay;
	uint64_t samples;	/* of a batch; 0: interactive */
	struct store *stores;
	size_t n;
	size_t selected;
};

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

/* Takes @t over. */
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

/* Those without a name, or that lost it, are called by their ids. */
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

static int look(struct top *top, int control)
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
	if (top->selected >= kept)
		top->selected = kept ? kept - 1 : 0;
	return err;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * part / whole : 0;
}

static void put_rate(struct table *t, const struct store *s, uint64_t now,
		     uint64_t before)
{
	if (s->seconds > 0)
		table_put(t, "%.0f", (now - before) / s->seconds);
	else
		table_none(t);
}

static void put_store(struct table *t, const struct store *s)
{
	const struct kvbm_counts *c = &s->counts;
	uint64_t asked = s->now.match_hashes_requested -
			 s->before.match_hashes_requested;
	uint64_t hits = s->now.match_blocks_returned -
			s->before.match_blocks_returned;

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
	if (s->seconds > 0 && asked)
		table_put(t, "%.1f", percent(hits, asked));
	else
		table_none(t);
	table_number(t, c->waiters);
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
		err = look(top, control);
		if (err)
			return fail_request(NULL, err, "cannot list stores");
		print_stores(stdout, top);
		for (size_t k = 0; k < top->n; k++)
			print_store_sessions(stdout, &top->stores[k]);
		fflush(stdout);
	}
	return STATUS_OK;
}

/* The selected store is on line 2 + selected. */
static void draw(const struct top *top)
{
	char *text = NULL, *rest, *line;
	FILE *out;
	size_t len;
	int row = 0;

	out = open_memstream(&text, &len);
	if (!out)
		return;
	print_stores(out, top);
	if (top->n)
		print_store_sessions(out, &top->stores[top->selected]);
	fclose(out);

	erase();
	for (rest = text; (line = strsep(&rest, "\n")) && row < LINES; row++) {
		bool chosen = top->n && row == (int)top->selected + 2;

		if (row == 1 || chosen)
			attron(row == 1 ? A_BOLD : A_REVERSE);
		mvaddnstr(row, 0, line, COLS);
		attrset(A_NORMAL);
	}
	if (LINES > 1)
		mvaddnstr(LINES - 1, 0, "up/down: store   q: quit", COLS);
	refresh();
	free(text);
}

static int interactive(struct top *top, int control)
{
	SCREEN *screen = newterm(NULL, stdout, stdin);
	int key = 0, err = 0;

	if (!screen)
		return fail("this terminal cannot be used: try --batch=1");
	noecho();
	cbreak();
	keypad(stdscr, TRUE);
	curs_set(0);
	timeout(top->delay * 1000);
	while (key != 'q' && !err) {
		/* A key redraws; the passing of time looks again. */
		if (key == KEY_UP || key == 'k')
			top->selected -= !!top->selected;
		else if (key == KEY_DOWN || key == 'j')
			top->selected += top->selected + 1 < top->n;
		else
			err = look(top, control);
		draw(top);
		key = getch();
	}
	endwin();
	delscreen(screen);
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
		{ "batch", 'b', "N", 0, "Print N pictures as text and end", 0 },
		{ "delay", 'd', "SECONDS", 0,
		  "Time between two pictures (default: 2)", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[NAME...]",
		.doc = "Watch stores: where their blocks are, allocations, evictions and matched hashes a second, hit rate, and what each session holds.",
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
