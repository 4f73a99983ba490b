// SPDX-License-Identifier: MIT
/* kvbmctl block, presence, match, reset: looking into a store */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "table.h"

/* The kernel hides the hash of another session's Staged block: zeroes. */
static bool has_hash(const struct kvbm_block_info *b)
{
	switch (b->state) {
	case KVBM_STATE_RESET:
	case KVBM_STATE_MUTABLE:
		return false;
	case KVBM_STATE_STAGED:
		return b->hash.hi || b->hash.lo;
	default:
		return true;
	}
}

static void put_block(struct table *t, const struct kvbm_block_info *b,
		      const uint8_t *note, uint32_t note_bytes)
{
	char text[2 * KVBM_MAX_NOTE_BYTES + 1];

	table_row(t);
	table_number(t, b->block);
	table_put(t, "%s", kvbm_state_name(b->state));
	table_number(t, b->generation);
	table_bool(t, b->reset_on_release);
	table_number(t, b->holds);
	table_put(t, "%s", kvbm_rank_name(b->keep_rank));
	if (has_hash(b))
		table_hash(t, &b->hash);
	else
		table_none(t);
	table_number(t, b->keep_until_ns);
	if (note_bytes && has_hash(b))
		table_put(t, "%s", note_text(note, note_bytes, text));
	else if (note_bytes)
		table_none(t);
}

int cmd_block(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME ID...",
		.doc = "Show blocks of a store: state, generation, reset-on-release flag, holds, rank, hash and note.",
	};
	static const struct table_column columns[] = {
		{ "BLOCK", TABLE_NUMBER },
		{ "STATE", 0 },
		{ "GENERATION", TABLE_NUMBER },
		{ "RESET_ON_RELEASE", TABLE_BOOL },
		{ "HOLDS", TABLE_NUMBER },
		{ "KEEP", 0 },
		{ "HASH", 0 },
		{ "KEEP_UNTIL_NS", TABLE_NUMBER | TABLE_JSON },
		{ "NOTE", 0 },
	};
	uint8_t note[KVBM_MAX_NOTE_BYTES];
	struct kvbm_store_info store;
	struct kvbm_block_info info;
	struct common args = { 0 };
	int session, err = 0, status;
	struct table *t;
	uint64_t id;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	for (int i = 1; i < args.n; i++)
		if (!parse_number(args.names[i], UINT32_MAX, &id))
			args.n = 0;
	if (args.n < 2) {
		fail("block takes the name of a store and numbers of blocks");
		return STATUS_USAGE;
	}
	session = open_store(args.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	err = kvbm_store_info(session, &store);
	if (err) {
		close(session);
		return fail_request(args.names[0], err, "store '%s'",
				    args.names[0]);
	}

	/* The last column exists only with notes. */
	t = table_new("blocks", columns, sizeof(columns) / sizeof(*columns) -
		      !store.note_bytes, &args);
	for (int i = 1; i < args.n && !err; i++) {
		parse_number(args.names[i], UINT32_MAX, &id);
		err = kvbm_block_note(session, id, &info,
				      store.note_bytes ? note : NULL);
		if (!err)
			put_block(t, &info, note, store.note_bytes);
		else if (err == -EINVAL)
			fail("store '%s' has no block %s", args.names[0],
			     args.names[i]);
		else
			fail_request(args.names[0], err, "block %s",
				     args.names[i]);
	}
	close(session);
	status = table_print(t, stdout);
	return err ? STATUS_FAILED : status;
}

bool read_hashes(const struct common *args, const char *command,
		 struct hash_list *list)
{
	for (int i = 1; i < args->n; i++) {
		if (!hash_list_add(list, args->names[i])) {
			fail("'%s' is not a hash: HI:LO expected, two words of up to 16 hexadecimal digits",
			     args->names[i]);
			return false;
		}
	}
	if (list->half)
		fail("half of a hash is missing");
	else if (!list->n)
		fail("%s takes the name of a store and hashes", command);
	return !list->half && list->n;
}

static int presence(int session, const struct common *args,
		    const struct hash_list *list)
{
	static const char * const words[] = {
		"absent", "inactive", "active", "pending"
	};
	static const struct table_column columns[] = {
		{ "HASH", 0 },
		{ "PRESENCE", 0 },
		{ "FREQUENCY", TABLE_NUMBER },
	};
	uint8_t *there = calloc(list->n, 1), *freq = calloc(list->n, 1);
	struct table *t;
	uint32_t error = 0;
	int err = -ENOMEM;

	if (there && freq)
		err = kvbm_presence_pending(session, list->n, list->hashes,
					    there, &error);
	if (err >= 0 && !error)
		err = kvbm_frequency(session, list->n, list->hashes, freq,
				     &error);
	if (error)
		err = -(int)error;
	if (err >= 0) {
		t = table_new("hashes", columns,
			      sizeof(columns) / sizeof(*columns), args);
		for (size_t i = 0; i < list->n; i++) {
			table_row(t);
			table_hash(t, &list->hashes[i]);
			table_put(t, "%s", there[i] <= KVBM_PENDING ?
					   words[there[i]] : "unknown");
			table_number(t, freq[i]);
		}
		err = table_print(t, stdout);
	} else {
		err = fail_request(args->names[0], err, "store '%s'",
				   args->names[0]);
	}
	free(there);
	free(freq);
	return err;
}

int cmd_presence(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME HASH...",
		.doc = "Show for each hash whether it is absent, pending, inactive or active, and its frequency. Changes nothing.",
	};
	struct hash_list list = { 0 };
	struct common args = { 0 };
	int session, status;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!read_hashes(&args, "presence", &list))
		return STATUS_USAGE;
	session = open_store(args.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	status = presence(session, &args, &list);
	close(session);
	free(list.hashes);
	return status;
}

int cmd_match(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME HASH...",
		.doc = "Match the longest prefix of a chain of hashes, print the blocks and release them, the last one first.\v"
		       "This is a real match: it counts, and the blocks become the most recently used. kvbmctl presence changes nothing.",
	};
	static const struct table_column columns[] = {
		{ "HASH", 0 },
		{ "BLOCK", TABLE_NUMBER },
	};
	struct hash_list list = { 0 };
	struct common args = { 0 };
	uint32_t *ids, done, error = 0;
	int session, err, status;
	struct table *t;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!read_hashes(&args, "match", &list))
		return STATUS_USAGE;
	session = open_store(args.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	ids = calloc(list.n, sizeof(*ids));
	if (!ids) {
		close(session);
		return fail("%s", strerror(ENOMEM));
	}

	err = kvbm_match(session, list.n, list.hashes, ids, &error);
	done = err < 0 ? 0 : err;
	if (error)
		err = -(int)error;
	t = table_new("blocks", columns, sizeof(columns) / sizeof(*columns),
		      &args);
	for (uint32_t i = 0; i < done; i++) {
		table_row(t);
		table_hash(t, &list.hashes[i]);
		table_number(t, ids[i]);
	}
	while (done--)
		kvbm_release(session, 1, &ids[done], 0, NULL);
	close(session);
	free(ids);
	free(list.hashes);
	status = table_print(t, stdout);
	return err < 0 ? fail_request(args.names[0], err, "store '%s'",
				      args.names[0]) : status;
}

int cmd_reset(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME",
		.doc = "Reset a store's inactive blocks: each goes to the free list. Held blocks stay.",
	};
	struct common args = { 0 };
	struct json_object *object;
	struct target t;
	uint32_t done;
	bool whole;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 1) {
		fail("reset takes the name of one store (see kvbmctl list)");
		return STATUS_USAGE;
	}
	if (open_target(&t, args.names[0]))
		return STATUS_FAILED;
	err = kvbm_reset_inactive_of(t.fd, t.ref, &whole, &done);
	close(t.fd);
	if (err == -EPERM)
		return fail("only the owner of store '%s' or root may reset it",
			    args.names[0]);
	if (err < 0)
		return fail_request(args.names[0], err, "store '%s'",
				    args.names[0]);
	if (args.json) {
		object = json_object_new_object();
		json_u64(object, "reset", done);
		json_object_object_add(object, "whole_store_reset",
				       json_object_new_boolean(whole));
		return print_json(object);
	}
	printf("reset %u\nwhole %s\n", done, whole ? "yes" : "no");
	return STATUS_OK;
}
