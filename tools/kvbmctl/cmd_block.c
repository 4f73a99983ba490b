// SPDX-License-Identifier: MIT
/* kvbmctl block, presence, match, reset: looking into a store */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"

static void print_block(const struct kvbm_block_info *b, struct json_object *all)
{
	bool has_hash = b->hash.hi || b->hash.lo;
	struct json_object *object;
	char hash[34];

	format_hash(&b->hash, hash);
	if (!all) {
		printf("%-9u %-9s %10u %5u %9llu %s\n", b->block,
		       kvbm_state_name(b->state), b->generation,
		       b->reset_on_release, (unsigned long long)b->holds,
		       has_hash ? hash : "-");
		return;
	}
	object = json_object_new_object();
	json_u64(object, "block", b->block);
	json_str(object, "state", kvbm_state_name(b->state));
	json_u64(object, "generation", b->generation);
	json_object_object_add(object, "reset_on_release",
			       json_object_new_boolean(b->reset_on_release));
	json_u64(object, "holds", b->holds);
	if (has_hash)
		json_str(object, "hash", hash);
	else
		json_object_object_add(object, "hash", NULL);
	json_object_array_add(all, object);
}

int cmd_block(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADER, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME ID...",
		.doc = "Show blocks of a store: state, generation, reset-on-release flag, holds and hash.",
	};
	struct json_object *all = NULL;
	struct kvbm_block_info info;
	struct common args = { 0 };
	int session, err = 0;
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

	if (args.json)
		all = json_object_new_array();
	else if (!args.no_header)
		printf("%-9s %-9s %10s %5s %9s %s\n", "BLOCK", "STATE",
		       "GENERATION", "RESET", "HOLDS", "HASH");
	for (int i = 1; i < args.n && !err; i++) {
		parse_number(args.names[i], UINT32_MAX, &id);
		err = kvbm_block_info(session, id, &info);
		if (!err)
			print_block(&info, all);
		else if (err == -EINVAL)
			fail("store '%s' has no block %s", args.names[0],
			     args.names[i]);
		else
			fail_request(args.names[0], err, "block %s",
				     args.names[i]);
	}
	close(session);
	if (all)
		print_json(all);
	return err ? STATUS_FAILED : STATUS_OK;
}

/* NAME and hashes; says what is wrong with them. */
static bool read_hashes(const struct common *args, const char *command,
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
	static const char * const words[] = { "absent", "inactive", "active" };
	uint8_t *there = calloc(list->n, 1), *freq = calloc(list->n, 1);
	struct json_object *all = NULL;
	int err = -ENOMEM;
	char text[34];

	if (there && freq)
		err = kvbm_presence(session, list->n, list->hashes, there,
				    NULL);
	if (err >= 0)
		err = kvbm_frequency(session, list->n, list->hashes, freq,
				     NULL);
	if (args->json)
		all = json_object_new_array();
	for (size_t i = 0; err >= 0 && i < list->n; i++) {
		const char *word = there[i] <= KVBM_ACTIVE ? words[there[i]] :
							     "unknown";

		format_hash(&list->hashes[i], text);
		if (all) {
			struct json_object *one = json_object_new_object();

			json_str(one, "hash", text);
			json_str(one, "presence", word);
			json_u64(one, "frequency", freq[i]);
			json_object_array_add(all, one);
		} else {
			printf("%s %-8s %u\n", text, word, freq[i]);
		}
	}
	free(there);
	free(freq);
	if (all && err >= 0)
		print_json(all);
	if (err < 0)
		return fail_request(args->names[0], err, "store '%s'",
				    args->names[0]);
	return STATUS_OK;
}

int cmd_presence(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME HASH...",
		.doc = "Tell for each hash whether it is absent, inactive or active, and its frequency. Changes nothing.",
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
	static const struct argp_option options[] = { OPTION_JSON, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME HASH...",
		.doc = "Match the longest prefix of a chain of hashes, print the blocks and give them back, last one first.\v"
		       "This is a real match: it is counted, and the blocks become the most recently used. kvbmctl presence only looks.",
	};
	struct json_object *all = NULL;
	struct hash_list list = { 0 };
	struct common args = { 0 };
	uint32_t *ids, done = 0;
	int session, err;
	char text[34];

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

	err = kvbm_match(session, list.n, list.hashes, ids, &done);
	if (args.json)
		all = json_object_new_array();
	for (uint32_t i = 0; i < done; i++) {
		format_hash(&list.hashes[i], text);
		if (all) {
			struct json_object *one = json_object_new_object();

			json_str(one, "hash", text);
			json_u64(one, "block", ids[i]);
			json_object_array_add(all, one);
		} else {
			printf("%s %u\n", text, ids[i]);
		}
	}
	while (done--)
		kvbm_release(session, 1, &ids[done], 0, NULL);
	close(session);
	free(ids);
	free(list.hashes);
	if (all)
		print_json(all);
	return err < 0 ? fail_request(args.names[0], err, "store '%s'",
				      args.names[0]) : STATUS_OK;
}

int cmd_reset(int argc, char **argv)
{
	static const struct argp_option options[] = { OPTION_JSON, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME",
		.doc = "Forget a store's idle blocks: each goes to the free list. Held blocks stay.",
	};
	struct common args = { 0 };
	struct json_object *object;
	int session, err;
	uint32_t done;
	bool whole;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 1) {
		fail("reset takes the name of one store (see kvbmctl list)");
		return STATUS_USAGE;
	}
	session = open_store(args.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	err = kvbm_reset_inactive(session, &whole, &done);
	close(session);
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
