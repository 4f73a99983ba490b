// SPDX-License-Identifier: MIT
/* kvbmctl hash: sequence hashes without a store */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvbmctl.h"

enum {
	KEY_SALT_HASH = 256,
};

struct hash_args {
	struct common common;	/* first, as parse_common() wants it */
	uint64_t block_size;
	uint64_t salt_hash;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct hash_args *args = state->input;

	switch (key) {
	case 's':
		if (!parse_size(arg, KVBM_MAX_BLOCK_SIZE, &args->block_size) ||
		    !args->block_size ||
		    args->block_size & (args->block_size - 1))
			argp_error(state, "--block-size: a power of two up to %u expected",
				   KVBM_MAX_BLOCK_SIZE);
		return 0;
	case 'S':
		args->salt_hash = kvbm_salt_hash(arg, strlen(arg));
		return 0;
	case KEY_SALT_HASH:
		if (!parse_hex64(arg, &args->salt_hash))
			argp_error(state, "--salt-hash: up to 16 hexadecimal digits expected");
		return 0;
	}
	return parse_common(key, arg, state);
}

static int usage(const char *text)
{
	fail("%s (see kvbmctl hash --help)", text);
	return STATUS_USAGE;
}

static int pack(const struct hash_args *args)
{
	char **words = args->common.names + 1;
	uint64_t current, parent = 0, position;
	struct kvbm_hash hash;
	char text[34];

	if (args->common.n != 4 || !parse_hex64(words[0], &current) ||
	    (strcmp(words[1], "-") && !parse_hex64(words[1], &parent)) ||
	    !parse_size(words[2], UINT32_MAX, &position))
		return usage("pack takes CURRENT, PARENT or -, and POSITION");
	if (kvbm_hash_pack(current, parent, position, &hash))
		return fail("position %s is too large: %u is the largest",
			    words[2], KVBM_MAX_POSITIONS - 1);
	format_hash(&hash, text);
	puts(text);
	return STATUS_OK;
}

static int unpack(const struct hash_args *args)
{
	struct json_object *all = NULL;
	struct kvbm_hash_fields f;
	struct hash_list list = { 0 };
	int status = STATUS_OK;
	char text[34];

	for (int i = 1; i < args->common.n; i++)
		if (!hash_list_add(&list, args->common.names[i]))
			return usage("unpack takes hashes");
	if (list.half || !list.n)
		return usage("unpack takes hashes");
	if (args->common.json)
		all = json_object_new_array();
	else if (!args->common.no_header)
		printf("%-4s %8s %-16s %-16s %s\n", "MODE", "POSITION",
		       "CURRENT", "PARENT", "PARENT-BITS");
	for (size_t i = 0; i < list.n; i++) {
		format_hash(&list.hashes[i], text);
		if (kvbm_hash_unpack(&list.hashes[i], &f)) {
			status = fail("%s is not a valid hash: its mode is 3, or not the smallest for its position",
				      text);
		} else if (all) {
			struct json_object *one = json_object_new_object();
			char word[20];

			json_str(one, "hash", text);
			json_u64(one, "mode", f.mode);
			json_u64(one, "position", f.position);
			snprintf(word, sizeof(word), "%016llx",
				 (unsigned long long)f.current);
			json_str(one, "current", word);
			snprintf(word, sizeof(word), "%016llx",
				 (unsigned long long)f.parent);
			json_str(one, "parent", word);
			json_u64(one, "parent_bits", f.parent_bits);
			json_object_array_add(all, one);
		} else {
			printf("%-4u %8u %016llx %016llx %u\n", f.mode,
			       f.position, (unsigned long long)f.current,
			       (unsigned long long)f.parent, f.parent_bits);
		}
	}
	free(list.hashes);
	if (all)
		print_json(all);
	return status;
}

struct tokens {
	uint32_t *tokens;
	size_t n, cap;
};

static bool add_token(struct tokens *t, const char *s)
{
	uint64_t value;

	if (!parse_size(s, UINT32_MAX, &value))
		return false;
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 1024;
		void *p = reallocarray(t->tokens, cap, sizeof(*t->tokens));

		if (!p)
			return false;
		t->tokens = p;
		t->cap = cap;
	}
	t->tokens[t->n++] = value;
	return true;
}

static bool read_tokens(const struct hash_args *args, struct tokens *t)
{
	char *word = NULL;
	bool good = true;

	for (int i = 1; good && i < args->common.n; i++)
		good = add_token(t, args->common.names[i]);
	if (args->common.n == 1) {
		while (good && scanf("%*[ \t\r\n,]") != EOF &&
		       scanf("%m[^ \t\r\n,]", &word) == 1) {
			good = add_token(t, word);
			free(word);
		}
	}
	return good;
}

static int chain(const struct hash_args *args)
{
	struct json_object *all = NULL;
	struct kvbm_hash *hashes;
	struct tokens t = { 0 };
	char text[34];
	int n;

	if (!read_tokens(args, &t)) {
		free(t.tokens);
		return usage("chain takes tokens: numbers below 2^32");
	}
	hashes = calloc(t.n / args->block_size + 1, sizeof(*hashes));
	n = hashes ? kvbm_chain(t.tokens, t.n, args->block_size,
				args->salt_hash, hashes) : -ENOMEM;
	if (args->common.json)
		all = json_object_new_array();
	for (int i = 0; i < n; i++) {
		format_hash(&hashes[i], text);
		if (all)
			json_object_array_add(all,
					      json_object_new_string(text));
		else
			puts(text);
	}
	if (all)
		print_json(all);
	free(hashes);
	free(t.tokens);
	return n < 0 ? fail("%s", strerror(-n)) : STATUS_OK;
}

int cmd_hash(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "block-size", 's', "N", 0,
		  "chain: tokens in a block (default: 16)", 0 },
		{ "salt", 'S', "TEXT", 0,
		  "chain: the salt's bytes (default: none)", 0 },
		{ "salt-hash", KEY_SALT_HASH, "HEX", 0,
		  "chain: the salt's hash", 0 },
		OPTION_JSON,
		OPTION_NO_HEADER,
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "pack CURRENT PARENT|- POSITION\nunpack HASH...\nchain [TOKEN...]",
		.doc = "Make sequence hashes and take them apart. \"chain\" prints one for each full block of a prompt, whose tokens may come from standard input.",
	};
	struct hash_args args = { .block_size = 16 };
	const char *what;

	args.salt_hash = kvbm_salt_hash(NULL, 0);
	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!args.common.n)
		return usage("pack, unpack or chain expected");
	what = args.common.names[0];
	if (!strcmp(what, "pack"))
		return pack(&args);
	if (!strcmp(what, "unpack"))
		return unpack(&args);
	if (!strcmp(what, "chain"))
		return chain(&args);
	return usage("pack, unpack or chain expected");
}
