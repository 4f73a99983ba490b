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
	int session, err;
	uint32_t n;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 1) {
		fail("sessions takes the name of one store (see kvbmctl list)");
		return STATUS_USAGE;
	}
	session = open_store(args.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	err = list_sessions(session, &entries, &n);
	close(session);
	if (err) {
		free(entries);
		if (err == -EPERM)
			return fail("only the owner of store '%s' may list its sessions, or root",
				    args.names[0]);
		return fail_request(args.names[0], err,
				    "cannot list the sessions of '%s'",
				    args.names[0]);
	}

	err = print_sessions(stdout, entries, n, &args);
	free(entries);
	return err;
}

int cmd_revoke(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME SESSION",
		.doc = "Take every hold from a session of store NAME; its calls fail from then on. SESSION is a number from kvbmctl sessions. Only for the store's owner, or root.",
	};
	struct common args = { 0 };
	struct json_object *object;
	uint64_t id, reclaimed;
	int session, err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 2 || !parse_number(args.names[1], UINT64_MAX, &id)) {
		fail("revoke takes the name of a store and the number of a session (see kvbmctl sessions)");
		return STATUS_USAGE;
	}
	session = open_store(args.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	err = kvbm_session_revoke(session, id, &reclaimed);
	close(session);
	switch (-err) {
	case 0:
		break;
	case EPERM:
		return fail("only the owner of store '%s' may revoke its sessions, or root",
			    args.names[0]);
	case ENOENT:
		return fail("store '%s' has no session %llu", args.names[0],
			    (unsigned long long)id);
	case EALREADY:
		return fail("session %llu was revoked before",
			    (unsigned long long)id);
	default:
		return fail_request(args.names[0], err,
				    "cannot revoke session %llu",
				    (unsigned long long)id);
	}
	if (args.json) {
		object = json_object_new_object();
		json_u64(object, "session", id);
		json_u64(object, "reclaimed", reclaimed);
		return print_json(object);
	}
	printf("reclaimed %llu\n", (unsigned long long)reclaimed);
	return STATUS_OK;
}
