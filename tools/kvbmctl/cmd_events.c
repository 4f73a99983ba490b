// SPDX-License-Identifier: MIT
/* kvbmctl events: follow the events of a store. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvbmctl.h"

enum {
	KEY_FROM = 256,
	KEY_DUPLICATES,
};

struct events_args {
	const char *store;
	uint64_t from, count;
	uint32_t record_size, note_bytes;
	bool duplicates, now, json;
};

static error_t parse_events(int key, char *arg, struct argp_state *state)
{
	struct events_args *args = state->input;

	switch (key) {
	case KEY_FROM:
		if (!parse_number(arg, UINT64_MAX, &args->from) || !args->from)
			argp_error(state, "--from: an event's number expected, from 1 on");
		return 0;
	case 'c':
		if (!parse_number(arg, UINT64_MAX, &args->count) ||
		    !args->count)
			argp_error(state, "--count: a number of events expected");
		return 0;
	case KEY_DUPLICATES:
		args->duplicates = true;
		return 0;
	case 'x':
		args->now = true;
		return 0;
	case KEY_JSON:
		args->json = true;
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

static const struct argp_option options[] = {
	{ "from", KEY_FROM, "N", 0,
	  "Begin with event number N; 1 prints all events that the store still has (default: the next one)",
	  0 },
	{ "count", 'c', "N", 0, "End after N events", 0 },
	{ "exit", 'x', NULL, 0, "End when there are no more at the moment", 0 },
	{ "duplicates", KEY_DUPLICATES, NULL, 0,
	  "Also print events for further copies of a present hash", 0 },
	{ "json", KEY_JSON, NULL, 0, "Print a line of JSON for each", 0 },
	{ 0 }
};

static const struct argp argp = {
	.options = options,
	.parser = parse_events,
	.args_doc = "STORE",
	.doc = "Follow a store's events: hashes that are stored and removed.\v"
	       "Needs a store created with --events, and permission to open it for reading.",
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

/* The time of day at which an event happened, to the microsecond, in UTC. */
static void time_of(const struct kvbm_event *e, char text[40])
{
	uint64_t ns = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME) +
		      e->time_ns;
	time_t s = ns / 1000000000;
	struct tm tm;
	char day[24];

	gmtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, 40, "%s.%06uZ", day,
		 (unsigned int)(ns % 1000000000 / 1000));
}

static void print_text(const struct kvbm_event *e)
{
	char when[40];

	time_of(e, when);
	printf("%s %" PRIu64 " %s", when, (uint64_t)e->seq,
	       kvbm_event_name(e->type));
	if (e->type == KVBM_EVENT_LOST) {
		printf(" %" PRIu64 "\n", (uint64_t)e->count);
		return;
	}
	if (e->reason)
		printf(" %s", kvbm_reason_name(e->reason));
	if (e->block != KVBM_NO_BLOCK)
		printf(" block %u.%u hash %016" PRIx64 ":%016" PRIx64, e->block,
		       e->generation, (uint64_t)e->hash.hi,
		       (uint64_t)e->hash.lo);
	if (e->session)
		printf(" session %" PRIu64, (uint64_t)e->session);
	printf("\n");
}

static void print_line(const struct kvbm_event *e, uint32_t note_bytes)
{
	struct json_object *o = json_object_new_object();
	char text[40], note[2 * KVBM_MAX_NOTE_BYTES + 1];

	json_u64(o, "seq", e->seq);
	json_u64(o, "time_ns", e->time_ns);
	time_of(e, text);
	json_str(o, "time", text);
	json_str(o, "type", kvbm_event_name(e->type));
	if (e->type == KVBM_EVENT_LOST)
		json_u64(o, "count", e->count);
	if (e->reason)
		json_str(o, "reason", kvbm_reason_name(e->reason));
	if (e->block != KVBM_NO_BLOCK) {
		json_u64(o, "block", e->block);
		json_u64(o, "generation", e->generation);
		snprintf(text, sizeof(text), "%016" PRIx64 ":%016" PRIx64,
			 (uint64_t)e->hash.hi, (uint64_t)e->hash.lo);
		json_str(o, "hash", text);
	}
	if (e->session)
		json_u64(o, "session", e->session);
	if (e->noted)
		json_str(o, "note", note_text((const uint8_t *)(e + 1),
					      note_bytes, note));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

#define BATCH		64
#define MAX_RECORD	(sizeof(struct kvbm_event) + KVBM_MAX_NOTE_BYTES)

static int follow(int fd, const struct events_args *args)
{
	uint64_t left = args->count ? args->count : UINT64_MAX;
	uint64_t room[BATCH * MAX_RECORD / sizeof(uint64_t)];
	const char *records = (const char *)room;

	while (left) {
		int n = kvbm_events_read_notes(fd, room, args->record_size,
					       left < BATCH ? left : BATCH);

		if (n == -EINTR)
			continue;
		if (!n || n == -EAGAIN)
			return STATUS_OK;
		if (n < 0)
			return fail("cannot read events: %s", strerror(-n));
		for (int i = 0; i < n; i++) {
			const void *e = records + (size_t)i * args->record_size;

			if (args->json)
				print_line(e, args->note_bytes);
			else
				print_text(e);
		}
		left -= n;
		if (fflush(stdout))
			return fail("cannot write: %s", strerror(errno));
	}
	return STATUS_OK;
}

int cmd_events(int argc, char **argv)
{
	struct events_args args = { 0 };
	struct kvbm_events request = { 0 };
	struct kvbm_store_info info;
	struct target t;
	int fd, status;

	if (argp_parse(&argp, argc, argv, 0, NULL, &args))
		return STATUS_USAGE;
	if (open_target(&t, args.store))
		return STATUS_FAILED;
	request.next = args.from;
	if (args.now)
		request.flags = KVBM_EVENTS_NONBLOCK;
	/* Text output leaves them out. */
	if (args.json && !kvbm_store_info_of(t.fd, t.ref, &info) &&
	    info.note_bytes) {
		request.flags |= KVBM_EVENTS_NOTES;
		args.note_bytes = info.note_bytes;
	}
	if (args.duplicates)
		request.types = 1U << KVBM_EVENT_STORED |
				1U << KVBM_EVENT_REMOVED |
				1U << KVBM_EVENT_DUPLICATE |
				1U << KVBM_EVENT_DUPLICATE_GONE;
	fd = kvbm_events_open_of(t.fd, t.ref, &request);
	close(t.fd);
	switch (fd) {
	case -ENODATA:
		return fail("store '%s' keeps no events: create it with --events",
			    args.store);
	case -EINVAL:
		return fail("event %" PRIu64 " of store '%s' has not happened yet",
			    args.from, args.store);
	case -EUSERS:
		return fail("store '%s' has the maximum number of event readers",
			    args.store);
	}
	if (fd < 0)
		return fail_request(args.store, fd, "cannot read its events");
	args.record_size = request.record_size;
	if (args.record_size > MAX_RECORD)
		status = fail("this kvbmctl does not know the format of the events of store '%s'",
			      args.store);
	else
		status = follow(fd, &args);
	close(fd);
	return status;
}
