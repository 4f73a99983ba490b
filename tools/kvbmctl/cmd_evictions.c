// SPDX-License-Identifier: MIT
/*
 * kvbmctl evictions: who evicts whose blocks, and how long they had been
 * registered.
 *
 * Uses events alone: the session that stored a hash is its owner, the session
 * that took its block for another one is the evictor.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "table.h"

#define MOST_SECONDS	(24 * 60 * 60)
/* Ages by powers of two of a millisecond. */
#define AGES		32

struct evictions_args {
	const char *store;
	uint64_t seconds;
	bool kept;
	struct common common;
};

enum {
	KEY_KEPT = 256,
};

/* What we know about a block's hash. */
struct owner {
	uint64_t session;
	uint64_t since_ns;
	bool known;
};

/* One session's evictions of another's blocks. */
struct pair {
	uint64_t by;
	uint64_t of;		/* 0: stored before the first event */
	uint64_t blocks;
};

struct picture {
	struct owner *owners;
	uint32_t total;
	struct pair *pairs;
	size_t n, cap;
	uint64_t evictions;
	uint64_t lost;
	uint64_t ages[AGES];
	uint64_t aged;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct evictions_args *args = state->input;

	switch (key) {
	case 's':
		if (!parse_number(arg, MOST_SECONDS, &args->seconds) ||
		    !args->seconds)
			argp_error(state, "--seconds: a number from 1 to %d expected",
				   MOST_SECONDS);
		return 0;
	case KEY_KEPT:
		args->kept = true;
		return 0;
	case KEY_JSON:
		args->common.json = true;
		return 0;
	case KEY_NO_HEADINGS:
		args->common.no_headings = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one store at a time");
		args->store = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->store)
			argp_error(state, "the store's name is missing");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int count_pair(struct picture *p, uint64_t by, uint64_t of)
{
	struct pair *more;

	for (size_t i = 0; i < p->n; i++) {
		if (p->pairs[i].by != by || p->pairs[i].of != of)
			continue;
		p->pairs[i].blocks++;
		return 0;
	}
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;

		more = reallocarray(p->pairs, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		p->pairs = more;
		p->cap = cap;
	}
	p->pairs[p->n++] = (struct pair){ .by = by, .of = of, .blocks = 1 };
	return 0;
}

static void count_age(struct picture *p, uint64_t ns)
{
	uint64_t ms = ns / 1000000;
	unsigned int i = ms ? 64 - __builtin_clzll(ms) : 0;

	p->ages[i < AGES ? i : AGES - 1]++;
	p->aged++;
}

static int look_at_event(struct picture *p, const struct kvbm_event *e)
{
	struct owner *o = e->block < p->total ? &p->owners[e->block] : NULL;
	int err = 0;

	switch (e->type) {
	case KVBM_EVENT_LOST:
		/* The owners of blocks are no longer known. */
		memset(p->owners, 0, p->total * sizeof(*p->owners));
		p->lost += e->count;
		break;
	case KVBM_EVENT_STORED:
		if (o)
			*o = (struct owner){ e->session, e->time_ns, true };
		break;
	case KVBM_EVENT_REMOVED:
		if (!o)
			break;
		if (e->reason == KVBM_REASON_EVICTED ||
		    e->reason == KVBM_REASON_DISPLACED) {
			p->evictions++;
			err = count_pair(p, e->session,
					 o->known ? o->session : 0);
			if (o->known)
				count_age(p, e->time_ns - o->since_ns);
		}
		o->known = false;
		break;
	}
	return err;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000) + t.tv_nsec / 1000000;
}

/*
 * Read kept events, then follow new ones until the time is over; 0 or -errno.
 */
static int watch(int fd, const struct evictions_args *args, struct picture *p)
{
	uint64_t end = now_ms() + (args->kept ? 0 : args->seconds * 1000);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct kvbm_event e[64];

	for (;;) {
		int n = kvbm_events_read(fd, e, 64), err = 0;
		uint64_t now;

		for (int i = 0; i < n && !err; i++)
			err = look_at_event(p, &e[i]);
		if (err || !n)
			return err;
		now = now_ms();
		/* With a busy store this could continue for ever. */
		if (n > 0 && (args->kept || now < end))
			continue;
		if (n < 0 && n != -EAGAIN && n != -EINTR)
			return n;
		if (now >= end)
			return 0;
		if (poll(&pfd, 1, (int)(end - now)) < 0 && errno != EINTR)
			return -errno;
	}
}

static int most_first(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->blocks != y->blocks)
		return x->blocks < y->blocks ? 1 : -1;
	return x->by < y->by ? -1 : x->by > y->by;
}

/* The process of a session, if known; sessions end. */
static void put_who(struct table *t, uint64_t id,
		    const struct kvbm_session_entry *sessions, uint32_t n)
{
	if (id)
		table_number(t, id);
	else
		table_none(t);
	for (uint32_t i = 0; i < n; i++) {
		if (sessions[i].session_id != id)
			continue;
		table_number(t, sessions[i].pid);
		table_number(t, sessions[i].uid);
		return;
	}
	table_none(t);
	table_none(t);
}

/* The age that this share of the evicted blocks did not exceed. */
static double age_below(const struct picture *p, double part)
{
	uint64_t seen = 0;
	unsigned int i;

	for (i = 0; i < AGES - 1; i++) {
		seen += p->ages[i];
		if (seen >= part * p->aged)
			break;
	}
	return (UINT64_C(1) << i) / 1000.0;
}

static int print_picture(const struct target *t, const struct picture *p,
			 const struct common *common)
{
	static const struct table_column columns[] = {
		{ "EVICTOR", TABLE_NUMBER },
		{ "PID", TABLE_NUMBER },
		{ "UID", TABLE_NUMBER },
		{ "OWNER", TABLE_NUMBER },
		{ "OWNER_PID", TABLE_NUMBER },
		{ "OWNER_UID", TABLE_NUMBER },
		{ "BLOCKS", TABLE_NUMBER },
	};
	struct kvbm_session_entry *sessions = NULL;
	struct table *table;
	uint32_t n = 0;
	int status;

	/* Callers who may not list sessions see only their numbers. */
	if (list_sessions(t, &sessions, &n))
		n = 0;
	table = table_new("evictions", columns,
			  sizeof(columns) / sizeof(*columns), common);
	for (size_t i = 0; i < p->n; i++) {
		table_row(table);
		put_who(table, p->pairs[i].by, sessions, n);
		put_who(table, p->pairs[i].of, sessions, n);
		table_number(table, p->pairs[i].blocks);
	}
	free(sessions);
	status = table_print(table, stdout);
	if (common->json || status)
		return status;
	printf("%s%" PRIu64 " evictions", p->n ? "\n" : "", p->evictions);
	if (p->aged)
		printf("; half of those whose beginning was seen had been there for less than %g s, nine in ten for less than %g s",
		       age_below(p, 0.5), age_below(p, 0.9));
	if (p->lost)
		printf("; %" PRIu64 " events were lost", p->lost);
	putchar('\n');
	return STATUS_OK;
}

static int open_events(const struct target *t, const char *store)
{
	struct kvbm_events request = {
		.flags = KVBM_EVENTS_NONBLOCK, .next = 1,
	};
	int fd = kvbm_events_open_of(t->fd, t->ref, &request);

	if (fd == -ENODATA)
		fail("store '%s' keeps no events: create it with --events",
		     store);
	else if (fd == -EUSERS)
		fail("store '%s' has the maximum number of event readers",
		     store);
	else if (fd < 0)
		fail_request(store, fd, "cannot read its events");
	return fd;
}

int cmd_evictions(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "seconds", 's', "N", 0, "Watch for N seconds (default: 10)", 0 },
		{ "kept", KEY_KEPT, NULL, 0, "Do not watch: use only the events that the store has", 0 },
		OPTION_JSON,
		OPTION_NO_HEADINGS,
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "STORE",
		.doc = "Show who evicts whose blocks, and how long these had been registered.\v"
		       "Needs a store created with --events, and permission to open it for reading.",
	};
	struct evictions_args args = { .seconds = 10 };
	struct picture p = { 0 };
	struct kvbm_store_info info;
	struct target t;
	int fd, err, status = STATUS_FAILED;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (open_target(&t, args.store))
		return STATUS_FAILED;
	err = kvbm_store_info_of(t.fd, t.ref, &info);
	if (err) {
		fail_request(args.store, err, "store '%s'", args.store);
		goto close;
	}
	fd = open_events(&t, args.store);
	if (fd < 0)
		goto close;
	p.total = info.total_blocks;
	p.owners = calloc(p.total, sizeof(*p.owners));
	err = p.owners ? watch(fd, &args, &p) : -ENOMEM;
	close(fd);
	if (p.n)
		qsort(p.pairs, p.n, sizeof(*p.pairs), most_first);
	status = err ? fail("events of store '%s': %s", args.store,
			    strerror(-err)) :
		       print_picture(&t, &p, &args.common);
	free(p.owners);
	free(p.pairs);
close:
	close(t.fd);
	return status;
}
