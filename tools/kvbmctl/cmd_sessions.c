// SPDX-License-Identifier: MIT
/* kvbmctl sessions, revoke */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"

static struct json_object *entry_json(const struct kvbm_session_entry *e)
{
	struct json_object *object = json_object_new_object();

	json_u64(object, "session", e->session_id);
	json_u64(object, "pid", e->pid);
	json_u64(object, "uid", e->uid);
	json_chars(object, "comm", e->comm, sizeof(e->comm));
	json_u64(object, "opened_ns", e->opened_ns);
	json_u64(object, "held", e->held);
	json_u64(object, "holds", e->holds);
	json_u64(object, "mutable", e->mutable_blocks);
	json_u64(object, "staged", e->staged_blocks);
	json_object_object_add(object, "revoked",
			       json_object_new_boolean(e->flags &
						       KVBM_SESSION_REVOKED));
	return object;
}

/* A process may call itself what it likes: keep it to one printable word. */
static void plain_comm(const struct kvbm_session_entry *e, char text[17])
{
	size_t len = strnlen(e->comm, sizeof(e->comm));

	for (size_t i = 0; i < len; i++)
		text[i] = e->comm[i] > ' ' && e->comm[i] < 0x7f ? e->comm[i] :
								  '?';
	text[len] = '\0';
}

void print_session(FILE *out, const struct kvbm_session_entry *e)
{
	char comm[17], age[16];

	plain_comm(e, comm);
	format_age(e->opened_ns, age);
	fprintf(out, "%-8llu %7u %6u %-16s %8s %9u %10llu %8u %7u%s",
		(unsigned long long)e->session_id, e->pid, e->uid,
		*comm ? comm : "-", age, e->held,
		(unsigned long long)e->holds, e->mutable_blocks,
		e->staged_blocks,
		e->flags & KVBM_SESSION_REVOKED ? " revoked" : "");
}

void print_session_header(FILE *out)
{
	fprintf(out, "%-8s %7s %6s %-16s %8s %9s %10s %8s %7s", "SESSION",
		"PID", "UID", "COMM", "AGE", "HELD", "HOLDS", "MUTABLE",
		"STAGED");
}

int cmd_sessions(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADER, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME",
		.doc = "List a store's sessions: who opened each and what it holds. Only for the store's owner, or root.",
	};
	struct kvbm_session_entry *entries;
	struct json_object *array = NULL;
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

	if (args.json) {
		array = json_object_new_array();
	} else if (!args.no_header) {
		print_session_header(stdout);
		putchar('\n');
	}
	for (uint32_t i = 0; i < n; i++) {
		if (args.json) {
			json_object_array_add(array, entry_json(&entries[i]));
		} else {
			print_session(stdout, &entries[i]);
			putchar('\n');
		}
	}
	free(entries);
	return args.json ? print_json(array) : STATUS_OK;
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
