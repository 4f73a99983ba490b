// SPDX-License-Identifier: MIT
/*
 * The terminal of kvbmctl top: a line per store, the sessions of the chosen
 * one.
 *
 * The most important columns that fit are chosen, and drawn in reading order:
 * 40 columns show what matters.
 */
#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* curses.h has a timeout() and an ERR; other files do not include it. */
#include "top.h"

#define MAX_COLUMNS	16
#define CELL		40

/* The source of a row: a store or a session. */
union row {
	const struct store *store;
	const struct kvbm_session_entry *session;
};

/**
 * struct column - a column of one of the two tables
 * @heading: its heading
 * @width: without the space before it; 0: for the first one, the rest
 * @worth: lower ones are chosen first
 * @format: a cell's text
 * @key: to sort by, higher ones first; NULL: by its text
 */
struct column {
	const char *heading;
	int width;
	int worth;
	void (*format)(union row r, char text[CELL]);
	double (*key)(union row r);
};

/* A table on the screen. */
struct pane {
	const struct column *columns;
	int n;
	int sorted;		/* by this one; -1: as it came */
	bool reversed;
};

struct screen {
	struct top *top;
	struct pane stores, sessions;
	char chosen[KVBM_NAME_LEN + 1];
	size_t scrolled;	/* sessions that are above the screen */
	bool paused;
	bool help;
};

/* Numbers that are too long for their column lose digits, not their size. */
static void format_count(double n, char text[CELL])
{
	static const char unit[] = " KMGTPE";
	unsigned int u = 0;

	if (n < 0) {
		strcpy(text, "-");
		return;
	}
	if (n < 1e6) {
		snprintf(text, CELL, "%.0f", n);
		return;
	}
	while (n >= 1e4 && u < sizeof(unit) - 2) {
		n /= 1000;
		u++;
	}
	snprintf(text, CELL, "%.0f%c", n, unit[u]);
}

static void format_percent(double percent, char text[CELL])
{
	snprintf(text, CELL, percent < 0 ? "-" : "%.1f", percent);
}

static double share(double part, double whole)
{
	return whole > 0 ? 100 * part / whole : -1;
}

static double ago(uint64_t since_ns)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9 - since_ns / 1e9;
}

/* COUNT(name, expression of row r), PERCENT, AGE: a key, and a text of it. */
#define FIELD(name, value, as)						\
static double name##_key(union row r)					\
{									\
	return value;							\
}									\
									\
static void name(union row r, char text[CELL])				\
{									\
	as(name##_key(r), text);					\
}

#define COUNT(name, value)	FIELD(name, value, format_count)
#define PERCENT(name, value)	FIELD(name, value, format_percent)
#define AGE(name, value)	FIELD(name, value, top_format_age)

COUNT(total, r.store->counts.total)
PERCENT(unused, share(r.store->counts.reset, r.store->counts.total))
PERCENT(idle, share(r.store->counts.inactive, r.store->counts.total))
PERCENT(held, share(r.store->counts.held, r.store->counts.total))
PERCENT(hit_rate, top_hit_rate(r.store))
COUNT(evictions, top_rate(r.store, r.store->now.evictions,
			  r.store->before.evictions))
COUNT(allocations, top_rate(r.store, r.store->now.allocations,
			    r.store->before.allocations))
COUNT(matched, top_rate(r.store, r.store->now.match_hashes_requested,
			r.store->before.match_hashes_requested))
COUNT(waiters, r.store->counts.waiters)
AGE(evicted_age, top_age(r.store))
COUNT(n_sessions, r.store->now.sessions)

static void store_name(union row r, char text[CELL])
{
	snprintf(text, CELL, "%s", r.store->name);
}

static const struct column store_columns[] = {
	{ "NAME", 0, 0, store_name, NULL },
	{ "BLOCKS", 7, 6, total, total_key },
	{ "FREE%", 5, 7, unused, unused_key },
	{ "IDLE%", 5, 8, idle, idle_key },
	{ "HELD%", 5, 5, held, held_key },
	{ "HIT%", 5, 1, hit_rate, hit_rate_key },
	{ "EVICT/S", 7, 2, evictions, evictions_key },
	{ "WAIT", 4, 3, waiters, waiters_key },
	{ "AGE", 6, 4, evicted_age, evicted_age_key },
	{ "ALLOC/S", 7, 9, allocations, allocations_key },
	{ "MATCH/S", 7, 10, matched, matched_key },
	{ "SESS", 4, 11, n_sessions, n_sessions_key },
};

COUNT(pid, r.session->pid)
COUNT(uid, r.session->uid)
COUNT(session, r.session->session_id)
COUNT(blocks, r.session->held)
COUNT(holds, r.session->holds)
COUNT(owned, r.session->mutable_blocks + r.session->staged_blocks)
PERCENT(had, share(r.session->match_blocks_returned,
		   r.session->match_hashes_requested))
COUNT(evicted, r.session->evictions)
COUNT(failed, r.session->alloc_failures)
COUNT(waiting, r.session->waiting)
AGE(last_call, ago(r.session->last_call_ns))
AGE(opened, ago(r.session->opened_ns))

/* A process may call itself what it likes. */
static void comm(union row r, char text[CELL])
{
	size_t len = strnlen(r.session->comm, sizeof(r.session->comm));

	for (size_t i = 0; i < len; i++) {
		char c = r.session->comm[i];

		text[i] = c > ' ' && c < 0x7f ? c : '?';
	}
	text[len] = '\0';
}

static const struct column session_columns[] = {
	{ "COMMAND", 0, 0, comm, NULL },
	{ "PID", 7, 2, pid, pid_key },
	{ "HELD", 7, 1, blocks, blocks_key },
	{ "HIT%", 5, 3, had, had_key },
	{ "EVICTED", 7, 4, evicted, evicted_key },
	{ "WAITS", 5, 5, waiting, waiting_key },
	{ "IDLE", 6, 6, last_call, last_call_key },
	{ "OWNED", 5, 8, owned, owned_key },
	{ "HOLDS", 7, 9, holds, holds_key },
	{ "FAILED", 6, 7, failed, failed_key },
	{ "OPEN", 6, 11, opened, opened_key },
	{ "UID", 6, 10, uid, uid_key },
	{ "SESSION", 7, 12, session, session_key },
};

#define LENGTH(array)	((int)(sizeof(array) / sizeof(*(array))))
#define HELD_COLUMN	2

_Static_assert(sizeof(store_columns) / sizeof(*store_columns) <= MAX_COLUMNS &&
	       sizeof(session_columns) / sizeof(*session_columns) <= MAX_COLUMNS,
	       "too many columns");

static int compare(const struct pane *pane, union row a, union row b)
{
	const struct column *c = &pane->columns[pane->sorted];
	char x[CELL], y[CELL];
	int less;

	if (c->key) {
		double k = c->key(a), l = c->key(b);

		less = k < l ? 1 : k > l ? -1 : 0;
	} else {
		c->format(a, x);
		c->format(b, y);
		less = strcmp(x, y);
	}
	return pane->reversed ? -less : less;
}

static int by_store(const void *a, const void *b, void *pane)
{
	return compare(pane, (union row){ .store = a },
		       (union row){ .store = b });
}

static int by_session(const void *a, const void *b, void *pane)
{
	const struct kvbm_session_entry *x = a, *y = b;
	int less = compare(pane, (union row){ .session = x },
			   (union row){ .session = y });

	/* Keep the order of equal ones. */
	return less ?: x->session_id < y->session_id ? -1 : 1;
}

static size_t chosen(const struct screen *sc)
{
	for (size_t i = 0; i < sc->top->n; i++)
		if (!strcmp(sc->top->stores[i].name, sc->chosen))
			return i;
	return 0;
}

static void choose(struct screen *sc, size_t i)
{
	if (i < sc->top->n && i != chosen(sc))
		sc->scrolled = 0;
	if (i < sc->top->n)
		strcpy(sc->chosen, sc->top->stores[i].name);
}

static void sort(struct screen *sc)
{
	struct top *top = sc->top;

	/* If it is gone, choose the one in its place. */
	choose(sc, chosen(sc));
	if (sc->stores.sorted >= 0 && top->n)
		qsort_r(top->stores, top->n, sizeof(*top->stores), by_store,
			&sc->stores);
	for (size_t i = 0; i < top->n; i++)
		if (top->stores[i].n_sessions)
			qsort_r(top->stores[i].sessions,
				top->stores[i].n_sessions,
				sizeof(*top->stores[i].sessions), by_session,
				&sc->sessions);
}

/* Which columns fit beside a first one of that width, one space before each. */
static void fit(const struct pane *pane, int first, bool there[MAX_COLUMNS])
{
	int left = COLS - first;

	memset(there, 0, MAX_COLUMNS * sizeof(*there));
	there[0] = true;
	for (int worth = 1; worth < pane->n; worth++)
		for (int i = 1; i < pane->n; i++) {
			if (pane->columns[i].worth != worth)
				continue;
			/* The less worthy ones do not come without it. */
			if (left < pane->columns[i].width + 1)
				return;
			left -= pane->columns[i].width + 1;
			there[i] = true;
		}
}

/* A part of the screen's width, for names that are longer than all others. */
static int first_width(const struct pane *pane, union row (*nth)(void *, size_t),
		       void *of, size_t n)
{
	int width = strlen(pane->columns[0].heading);

	for (size_t i = 0; i < n; i++) {
		char text[CELL];
		int len;

		pane->columns[0].format(nth(of, i), text);
		len = strlen(text);
		if (len > width)
			width = len;
	}
	return width < COLS / 4 ? width : COLS / 4;
}

static union row nth_store(void *top, size_t i)
{
	return (union row){ .store = &((struct top *)top)->stores[i] };
}

static union row nth_session(void *store, size_t i)
{
	return (union row){ .session = &((struct store *)store)->sessions[i] };
}

/* A row of cells, the first to the left, what does not fit cut off. */
static void draw_row(int y, const struct pane *pane, const bool *there,
		     int first, const union row *r, int look)
{
	int x = first;

	attrset(look);
	mvhline(y, 0, ' ', COLS);
	for (int i = 0; i < pane->n; i++) {
		const struct column *c = &pane->columns[i];
		bool mark = !r && i == pane->sorted;
		char text[CELL];

		if (!there[i])
			continue;
		if (r)
			c->format(*r, text);
		else
			snprintf(text, sizeof(text), "%s", c->heading);
		if (mark)
			attron(A_UNDERLINE);
		if (!i) {
			mvaddnstr(y, 0, text, first);
		} else {
			int len = strlen(text);

			x += c->width + 1;
			if (len > c->width)
				len = c->width;
			mvaddnstr(y, x - len, text, len);
		}
		attroff(A_UNDERLINE);
		attron(look);
	}
	attrset(A_NORMAL);
}

static int rows_of(const struct screen *sc, int room)
{
	int n = sc->top->n;

	/* At least as many lines for the sessions. */
	if (n > room / 2)
		n = room / 2;
	return n > 0 ? n : !!sc->top->n;
}

static int draw_stores(struct screen *sc, int y, int rows)
{
	size_t at = chosen(sc), from = 0;
	bool there[MAX_COLUMNS];
	int first;

	first = first_width(&sc->stores, nth_store, sc->top, sc->top->n);
	fit(&sc->stores, first, there);
	draw_row(y++, &sc->stores, there, first, NULL, A_BOLD);
	if (rows > 0 && at >= (size_t)rows)
		from = at - rows + 1;
	for (int i = 0; i < rows && from + i < sc->top->n; i++) {
		union row r = nth_store(sc->top, from + i);

		draw_row(y++, &sc->stores, there, first, &r,
			 from + i == at ? A_REVERSE : A_NORMAL);
	}
	return y;
}

static void draw_sessions(struct screen *sc, int y, int end)
{
	struct store *s = &sc->top->stores[chosen(sc)];
	bool there[MAX_COLUMNS];
	size_t rows, most;
	int first;

	attrset(A_NORMAL);
	if (s->sessions_err) {
		mvaddnstr(y, 0, s->sessions_err == -EPERM ?
			  "its sessions are its owner's and root's to see" :
			  strerror(-s->sessions_err), COLS);
		return;
	}
	rows = end > y + 1 ? end - y - 1 : 0;
	most = s->n_sessions > rows ? s->n_sessions - rows : 0;
	if (sc->scrolled > most)
		sc->scrolled = most;
	first = first_width(&sc->sessions, nth_session, s, s->n_sessions);
	fit(&sc->sessions, first, there);
	draw_row(y++, &sc->sessions, there, first, NULL, A_BOLD);
	for (size_t i = sc->scrolled; i < s->n_sessions && y < end; i++) {
		union row r = nth_session(s, i);

		draw_row(y++, &sc->sessions, there, first, &r, A_NORMAL);
	}
}

/* To the left and, if both fit, to the right. */
static void draw_line(int y, const char *left, const char *right, int look)
{
	int room = COLS - (int)strlen(left) - (int)strlen(right);

	attrset(look);
	mvhline(y, 0, ' ', COLS);
	mvaddnstr(y, 0, left, COLS);
	if (room > 0)
		mvaddstr(y, COLS - strlen(right), right);
	attrset(A_NORMAL);
}

static void draw_help(void)
{
	static const char *const lines[] = {
		"up/down k/j   store",
		"PgUp/PgDn     its sessions",
		"</>           sort sessions by",
		"r             other way round",
		"{/}           sort stores by",
		"space p       pause, go on",
		"+/-           faster, slower",
		"h ?           this",
		"q             quit",
		"",
		"AGE: how long evicted blocks had been",
		"  idle, half of them shorter",
		"WAIT: allocations that wait",
		"HIT% EVICT/S: since the last look;",
		"  of sessions since they were opened",
	};

	erase();
	for (int i = 0; i < LENGTH(lines) && i < LINES; i++)
		mvaddnstr(i, 0, lines[i], COLS);
	refresh();
}

static void draw(struct screen *sc)
{
	const struct top *top = sc->top;
	char left[64], right[32];
	int y = 0, end = LINES - 1;

	if (sc->help) {
		draw_help();
		return;
	}
	erase();
	snprintf(left, sizeof(left), "kvbmctl top: %zu store%s", top->n,
		 top->n == 1 ? "" : "s");
	if (sc->paused)
		strcpy(right, "PAUSED");
	else
		snprintf(right, sizeof(right), "every %g s", top->delay);
	draw_line(y++, left, right, A_NORMAL);
	y = draw_stores(sc, y, rows_of(sc, LINES - 6));
	if (top->n) {
		const struct store *s = &top->stores[chosen(sc)];

		snprintf(left, sizeof(left), "%s: %u session%s%s", s->name,
			 s->n_sessions, s->n_sessions == 1 ? "" : "s",
			 s->dying ? " (destroyed)" : "");
		/* An empty line, if there are enough lines. */
		if (y + 8 < end)
			y++;
		if (y < end)
			draw_line(y++, left, "", A_NORMAL);
		if (y < end)
			draw_sessions(sc, y, end);
	}
	if (LINES > 3)
		draw_line(end, "h help  q quit", "</> sort  space pause",
			  A_DIM);
	refresh();
}

static void sort_by(struct pane *pane, int step, int least)
{
	int n = pane->n - least;

	pane->sorted = (pane->sorted - least + step + n) % n + least;
}

/* False: quit. */
static bool obey(struct screen *sc, int key)
{
	struct top *top = sc->top;
	size_t at = chosen(sc);

	/* Any key ends the help. */
	if (sc->help && key != 'q') {
		sc->help = key == ERR || key == KEY_RESIZE;
		return true;
	}
	switch (key) {
	case 'q':
		return false;
	case 'h':
	case '?':
		sc->help = true;
		break;
	case KEY_UP:
	case 'k':
		choose(sc, at - !!at);
		break;
	case KEY_DOWN:
	case 'j':
		choose(sc, at + 1);
		break;
	case KEY_PPAGE:
		sc->scrolled -= sc->scrolled < 5 ? sc->scrolled : 5;
		break;
	case KEY_NPAGE:
		sc->scrolled += 5;
		break;
	case '<':
	case '>':
		sort_by(&sc->sessions, key == '<' ? -1 : 1, 0);
		break;
	case '{':
	case '}':
		sort_by(&sc->stores, key == '{' ? -1 : 1, -1);
		break;
	case 'r':
		sc->sessions.reversed = !sc->sessions.reversed;
		break;
	case ' ':
	case 'p':
		sc->paused = !sc->paused;
		break;
	case '+':
		top->delay = top->delay > 0.2 ? top->delay / 2 : 0.1;
		break;
	case '-':
		top->delay = top->delay < 1800 ? top->delay * 2 : 3600;
		break;
	}
	return true;
}

/* Errors of a store that has just gone must not spoil the screen. */
static int look_quietly(struct top *top, int control)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), err;
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	if (null >= 0)
		dup2(null, STDERR_FILENO);
	err = top_look(top, control);
	if (kept >= 0)
		dup2(kept, STDERR_FILENO);
	close(null);
	close(kept);
	return err;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int top_screen(struct top *top, int control)
{
	struct screen sc = {
		.top = top,
		.stores = { store_columns, LENGTH(store_columns), -1, false },
		.sessions = { session_columns, LENGTH(session_columns),
			      HELD_COLUMN, false },
	};
	SCREEN *screen = newterm(NULL, stdout, stdin);
	int err = 0, early = 0;
	double due = 0;

	if (!screen)
		return -ENOTTY;
	noecho();
	cbreak();
	keypad(stdscr, TRUE);
	curs_set(0);
	set_escdelay(50);
	for (;;) {
		double left = due - now();
		int key;

		if (left <= 0 && !sc.paused) {
			err = look_quietly(top, control);
			if (err)
				break;
			due = now() + top->delay;
			left = top->delay;
		}
		sort(&sc);
		draw(&sc);
		timeout(sc.paused ? -1 : (int)(left * 1000) + 1);
		key = getch();
		/* No key, and before its time: the terminal is gone. */
		early = key == ERR && (sc.paused || now() < due - 0.01) ?
			early + 1 : 0;
		if (early == 10)
			break;
		if (!obey(&sc, key))
			break;
		if (key == '+' || key == '-')
			due = now() + top->delay;
	}
	endwin();
	delscreen(screen);
	return err;
}
