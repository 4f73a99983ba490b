// SPDX-License-Identifier: MIT
/* kvbmctl sessions, revoke */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "table.h"

/*
 * A process may call itself what it likes: it is one printable word in text,
 * and readers of JSON get the bytes, escaped.
 */
static void put_comm(struct table *t, const struct kvbm_session_entry *e,
		     bool json)
{
	size_t len = strnlen(e->comm, sizeof(e->comm));
	char text[sizeof(e->comm)];

	for (size_t i = 0; i < len; i++)
		text[i] = json || (e->comm[i] > ' ' && e->comm[i] < 0x7f) ?
			  e->comm[i] : '?';
	table_chars(t, text, len);
}

int print_sessions(FILE *out, const struct kvbm_session_entry *entries,
		   uint32_t n, const struct common *args)
{
	static const struct table_column columns[] = {
		{ "SESSION", TABLE_NUMBER },
		{ "PID", TABLE_NUMBER },
		{ "UID", TABLE_NUMBER },
		{ "COMM", 0 },
		{ "AGE", TABLE_RIGHT | TABLE_TEXT },
		{ "OPENED_NS", TABLE_NUMBER | TABLE_JSON },
		{ "HELD", TABLE_NUMBER },
		{ "HOLDS", TABLE_NUMBER },
		{ "MUTABLE", TABLE_NUMBER },
		{ "STAGED", TABLE_NUMBER },
		{ "REVOKED", TABLE_BOOL },
		{ "READ_ONLY", TABLE_BOOL | TABLE_JSON },
		{ "TAKING", TABLE_NUMBER | TABLE_JSON },
		{ "WAITING", TABLE_NUMBER },
		{ "SINCE", TABLE_RIGHT | TABLE_TEXT },
		{ "WAITING_SINCE_NS", TABLE_NUMBER | TABLE_JSON },
		{ "IDLE", TABLE_RIGHT | TABLE_TEXT },
		{ "LAST_CALL_NS", TABLE_NUMBER | TABLE_JSON },
		{ "MEMORY", TABLE_NUMBER | TABLE_JSON },
		{ "HIT%", TABLE_RIGHT | TABLE_TEXT },
		{ "EVICTED", TABLE_NUMBER | TABLE_TEXT },
		{ "FAILED", TABLE_NUMBER | TABLE_TEXT },
		{ "MATCH_HASHES_REQUESTED", TABLE_NUMBER | TABLE_JSON },
		{ "MATCH_BLOCKS_RETURNED", TABLE_NUMBER | TABLE_JSON },
		{ "REGISTRATIONS", TABLE_NUMBER | TABLE_JSON },
		{ "ALLOCATIONS", TABLE_NUMBER | TABLE_JSON },
		{ "EVICTIONS", TABLE_NUMBER | TABLE_JSON },
		{ "ALLOC_FAILURES", TABLE_NUMBER | TABLE_JSON },
		{ "OFFERED", TABLE_NUMBER | TABLE_JSON },
		{ "OFFERS", TABLE_NUMBER | TABLE_JSON },
		{ "OFFERS_TO", TABLE_NUMBER | TABLE_JSON },
	};
	struct table *t = table_new("sessions", columns,
				    sizeof(columns) / sizeof(*columns), args);
	char age[16];

	for (uint32_t i = 0; i < n; i++) {
		const struct kvbm_session_entry *e = &entries[i];

		table_row(t);
		table_number(t, e->session_id);
		table_number(t, e->pid);
		table_number(t, e->uid);
		put_comm(t, e, args->json);
		format_age(e->opened_ns, age);
		table_put(t, "%s", age);
		table_number(t, e->opened_ns);
		table_number(t, e->held);
		table_number(t, e->holds);
		table_number(t, e->mutable_blocks);
		table_number(t, e->staged_blocks);
		table_bool(t, e->flags & KVBM_SESSION_REVOKED);
		table_bool(t, e->flags & KVBM_SESSION_READONLY);
		table_number(t, e->allocating);
		table_number(t, e->waiting);
		format_age(e->waiting_since_ns, age);
		if (e->waiting)
			table_put(t, "%s", age);
		else
			table_none(t);
		table_number(t, e->waiting_since_ns);
		format_age(e->last_call_ns, age);
		table_put(t, "%s", age);
		table_number(t, e->last_call_ns);
		table_number(t, e->memory);
		if (e->match_hashes_requested)
			table_put(t, "%.1f", 100.0 * e->match_blocks_returned /
				  e->match_hashes_requested);
		else
			table_none(t);
		table_number(t, e->evictions);
		table_number(t, e->alloc_failures);
		table_number(t, e->match_hashes_requested);
		table_number(t, e->match_blocks_returned);
		table_number(t, e->registrations);
		table_number(t, e->allocations);
		table_number(t, e->evictions);
		table_number(t, e->alloc_failures);
		table_number(t, e->offered);
		table_number(t, e->offers);
		table_number(t, e->offers_to);
	}
	return table_print(t, out);
}

int cmd_sessions(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME",
		.doc = "List a store's sessions: who opened each and what it holds. Only for the store's owner, or root.",
	};
	struct kvbm_session_entry *entries;
	struct common args = { 0 };
	struct target t;
	uint32_t n;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 1) {
		fail("sessions takes the name of one store (see kvbmctl list)");
		return STATUS_USAGE;
	}
	if (open_target(&t, args.names[0]))
		return STATUS_FAILED;
	err = list_sessions(&t, &entries, &n);
	close(t.fd);
	if (err) {
		free(entries);
		if (err == -EPERM)
			return fail("only the owner of store '%s' or root may list its sessions",
				    args.names[0]);
		return fail_request(args.names[0], err,
				    "cannot list the sessions of '%s'",
				    args.names[0]);
	}

	err = print_sessions(stdout, entries, n, &args);
	free(entries);
	return err;
}

struct revoke_args {
	char **names;
	int n;
	bool json;
	struct kvbm_session_revoke which;
};

static error_t parse_revoke(int key, char *arg, struct argp_state *state)
{
	struct revoke_args *args = state->input;
	uint64_t n;

	switch (key) {
	case 'u':
		args->which.flags |= KVBM_REVOKE_UID;
		args->which.uid = user_id(state, "--user", arg);
		return 0;
	case 'p':
		if (!parse_number(arg, INT32_MAX, &n) || !n)
			argp_error(state, "--pid: the number of a process expected");
		args->which.flags |= KVBM_REVOKE_PID;
		args->which.pid = n;
		return 0;
	case KEY_JSON:
		args->json = true;
		return 0;
	case ARGP_KEY_ARGS:
		args->names = state->argv + state->next;
		args->n = state->argc - state->next;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_revoke(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "user", 'u', "USER", 0, "All sessions that USER opened", 0 },
		{ "pid", 'p', "PID", 0, "All sessions that process PID opened",
		  0 },
		OPTION_JSON,
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_revoke,
		.args_doc = "NAME SESSION\nNAME --user=USER\nNAME --pid=PID",
		.doc = "Take every hold from sessions of store NAME; their calls fail from then on. SESSION is a number from kvbmctl sessions. Only for the store's owner, or root. Their processes and devices can still write to the blocks' bytes: stop them first.",
	};
	struct revoke_args args = { 0 };
	struct json_object *object;
	uint64_t id = 0;
	struct target t;
	bool one;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	one = !args.which.flags;
	if (args.n != (one ? 2 : 1) ||
	    (one && (!parse_number(args.names[1], UINT64_MAX, &id) || !id))) {
		fail("revoke takes the name of a store and the number of a session (see kvbmctl sessions), or --user or --pid instead");
		return STATUS_USAGE;
	}
	args.which.session_id = id;
	if (open_target(&t, args.names[0]))
		return STATUS_FAILED;
	err = kvbm_revoke_of(t.fd, t.ref, &args.which);
	close(t.fd);
	switch (-err) {
	case 0:
		break;
	case EPERM:
		return fail("only the owner of store '%s' or root may revoke its sessions",
			    args.names[0]);
	case ENOENT:
		if (one)
			return fail("store '%s' has no session %llu",
				    args.names[0], (unsigned long long)id);
		return fail("store '%s' has no such sessions", args.names[0]);
	default:
		return fail_request(args.names[0], err,
				    "cannot revoke sessions of '%s'",
				    args.names[0]);
	}
	if (args.json) {
		object = json_object_new_object();
		json_u64(object, "sessions", args.which.sessions);
		json_u64(object, "reclaimed", args.which.reclaimed);
		return print_json(object);
	}
	printf("sessions  %u\nreclaimed %llu\n", args.which.sessions,
	       (unsigned long long)args.which.reclaimed);
	return STATUS_OK;
}
