// SPDX-License-Identifier: MIT
/* kvbmctl invalidate and pending */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "payload.h"
#include "table.h"

enum {
	KEY_PREFIX = 0x200,
	KEY_ALL,
	KEY_WAIT,
};

struct forget_args {
	struct common common;		/* first, as parse_common() requires */
	uint32_t flags;
	uint32_t wait_ms;
};

static error_t parse_forget(int key, char *arg, struct argp_state *state)
{
	struct forget_args *args = state->input;

	switch (key) {
	case KEY_PREFIX:
		args->flags |= KVBM_INVALIDATE_PREFIX;
		return 0;
	case KEY_ALL:
		args->flags |= KVBM_INVALIDATE_ALL;
		return 0;
	case KEY_WAIT:
		if (!parse_time_ms(arg, UINT32_MAX, &args->wait_ms))
			argp_error(state, "--wait: a time expected, like 1s or 500ms");
		return 0;
	case ARGP_KEY_END:
		if (args->flags == (KVBM_INVALIDATE_PREFIX | KVBM_INVALIDATE_ALL))
			argp_error(state, "--prefix takes hashes, --all takes none");
		return 0;
	}
	return parse_common(key, arg, state);
}

int cmd_invalidate(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "prefix", KEY_PREFIX, NULL, 0,
		  "And all descendants of these hashes", 0 },
		{ "all", KEY_ALL, NULL, 0,
		  "Everything; blocks allocated before can no longer be registered",
		  0 },
		OPTION_JSON, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_forget,
		.args_doc = "NAME HASH...\nNAME --all",
		.doc = "Forget hashes: no match finds them any more. Inactive blocks go to the free list; holders keep theirs until the last release.",
	};
	struct forget_args args = { 0 };
	struct hash_list list = { 0 };
	struct json_object *object;
	uint32_t idle, held;
	struct target t;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.flags & KVBM_INVALIDATE_ALL) {
		if (args.common.n != 1) {
			fail("invalidate --all takes the name of a store alone");
			return STATUS_USAGE;
		}
	} else if (!read_hashes(&args.common, "invalidate", &list)) {
		return STATUS_USAGE;
	}
	if (open_target(&t, args.common.names[0]))
		return STATUS_FAILED;
	err = kvbm_invalidate_of(t.fd, t.ref, list.n, list.hashes, args.flags,
				 &idle, &held);
	close(t.fd);
	free(list.hashes);
	if (err == -EPERM)
		return fail("only the owner of store '%s' or root may forget its hashes",
			    args.common.names[0]);
	if (err < 0)
		return fail_request(args.common.names[0], err, "store '%s'",
				    args.common.names[0]);
	if (args.common.json) {
		object = json_object_new_object();
		json_u64(object, "idle", idle);
		json_u64(object, "held", held);
		return print_json(object);
	}
	printf("reset %u\nheld  %u\n", idle, held);
	return STATUS_OK;
}

/* Wait for any number of hashes, in batches; 0 or -errno. */
static int wait_for_all(int session, const struct hash_list *list,
			uint32_t wait_ms)
{
	uint64_t deadline = kvbm_deadline(wait_ms * UINT64_C(1000000));
	int err = 0;

	for (size_t i = 0; i < list->n && !err; i += KVBM_MAX_WATCHED) {
		size_t n = list->n - i;

		if (n > KVBM_MAX_WATCHED)
			n = KVBM_MAX_WATCHED;
		err = kvbm_wait(session, n, list->hashes + i, deadline, NULL);
	}
	return err;
}

int cmd_pending(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "wait", KEY_WAIT, "TIME", 0,
		  "Wait up to this long, like 1s or 500ms, until none is pending", 0 },
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_forget,
		.args_doc = "NAME HASH...",
		.doc = "Show which hashes are claimed and not registered yet. Fails if there are any.",
	};
	static const struct table_column columns[] = { { "HASH", 0 } };
	struct forget_args args = { 0 };
	struct hash_list list = { 0 };
	uint8_t *there = NULL;
	uint32_t error = 0, pending = 0;
	int session, err, status;
	struct table *t;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!read_hashes(&args.common, "pending", &list))
		return STATUS_USAGE;
	session = open_store(args.common.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	there = calloc(list.n, 1);
	err = there ? 0 : -ENOMEM;
	if (!err && args.wait_ms)
		err = wait_for_all(session, &list, args.wait_ms);
	if (!err || err == -ETIMEDOUT)
		err = kvbm_presence_pending(session, list.n, list.hashes,
					    there, &error);
	close(session);
	if (err >= 0 && error)
		err = -(int)error;
	if (err < 0) {
		free(there);
		return fail_request(args.common.names[0], err, "store '%s'",
				    args.common.names[0]);
	}
	t = table_new("pending", columns, 1, &args.common);
	for (size_t i = 0; i < list.n; i++) {
		if (there[i] != KVBM_PENDING)
			continue;
		table_row(t);
		table_hash(t, &list.hashes[i]);
		pending++;
	}
	status = table_print(t, stdout);
	free(there);
	free(list.hashes);
	return status ? status : pending ? STATUS_FAILED : STATUS_OK;
}
