// SPDX-License-Identifier: MIT
/* kvbmctl hash: sequence hashes without a store */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvbmctl.h"
#include "table.h"

enum {
	KEY_SALT_HASH = 256,
	KEY_DIGEST,
	KEY_GROUP,
};

struct hash_args {
	struct common common;	/* first, as parse_common() requires */
	uint64_t block_size;
	const char *lora, *salt;
	uint64_t salt_hash;
	bool has_salt_hash;
	unsigned char digest[KVBM_DIGEST_LEN];
	uint64_t group;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct hash_args *args = state->input;

	switch (key) {
	case 's':
		if (!parse_size(arg, KVBM_MAX_BLOCK_SIZE, &args->block_size) ||
		    !args->block_size)
			argp_error(state, "--block-size: a number from 1 to %u expected",
				   KVBM_MAX_BLOCK_SIZE);
		return 0;
	case 'L':
		args->lora = arg;
		return 0;
	case 'S':
		args->salt = arg;
		return 0;
	case KEY_SALT_HASH:
		if (!parse_hex64(arg, &args->salt_hash))
			argp_error(state, "--salt-hash: up to 16 hexadecimal digits expected");
		args->has_salt_hash = true;
		return 0;
	case KEY_DIGEST:
		if (parse_octets(arg, args->digest, KVBM_DIGEST_LEN) !=
		    KVBM_DIGEST_LEN)
			argp_error(state, "--digest: %u hexadecimal digits expected",
				   2 * KVBM_DIGEST_LEN);
		return 0;
	case KEY_GROUP:
		if (!parse_number(arg, UINT32_MAX, &args->group))
			argp_error(state, "--group: a number below 2^32 expected");
		return 0;
	case ARGP_KEY_END:
		if (args->has_salt_hash && (args->lora || args->salt))
			argp_error(state, "--salt-hash is instead of --lora and --salt");
		if (!args->has_salt_hash)
			args->salt_hash =
				kvbm_salt_hash(args->lora,
					       args->lora ? strlen(args->lora) :
							    0,
					       args->salt,
					       args->salt ? strlen(args->salt) :
							    0);
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
	    !parse_number(words[2], UINT32_MAX, &position))
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
	static const struct table_column columns[] = {
		{ "HASH", TABLE_JSON },
		{ "MODE", TABLE_NUMBER },
		{ "POSITION", TABLE_NUMBER },
		{ "CURRENT", 0 },
		{ "PARENT", 0 },
		{ "PARENT_BITS", TABLE_NUMBER },
	};
	struct table *t = table_new("hashes", columns,
				    sizeof(columns) / sizeof(*columns),
				    &args->common);
	struct kvbm_hash_fields f;
	struct hash_list list = { 0 };
	int status = STATUS_OK;
	char text[34];

	for (int i = 1; i < args->common.n; i++)
		if (!hash_list_add(&list, args->common.names[i]))
			return usage("unpack takes hashes");
	if (list.half || !list.n)
		return usage("unpack takes hashes");
	for (size_t i = 0; i < list.n; i++) {
		if (kvbm_hash_unpack(&list.hashes[i], &f)) {
			format_hash(&list.hashes[i], text);
			status = fail("%s is not a valid hash: its mode is 3, or not the smallest for its position",
				      text);
			continue;
		}
		table_row(t);
		table_hash(t, &list.hashes[i]);
		table_number(t, f.mode);
		table_number(t, f.position);
		table_put(t, "%016llx", (unsigned long long)f.current);
		table_put(t, "%016llx", (unsigned long long)f.parent);
		table_number(t, f.parent_bits);
	}
	free(list.hashes);
	return table_print(t, stdout) | status;
}

struct tokens {
	uint32_t *tokens;
	size_t n, cap;
};

/* These return 0, or an exit status after printing why. */
static int add_token(struct tokens *t, const char *s)
{
	uint64_t value;

	if (!parse_number(s, UINT32_MAX, &value)) {
		fail("'%s' is not a token: a number below 2^32 expected", s);
		return STATUS_USAGE;
	}
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 1024;
		void *p = reallocarray(t->tokens, cap, sizeof(*t->tokens));

		if (!p)
			return fail("%s", strerror(ENOMEM));
		t->tokens = p;
		t->cap = cap;
	}
	t->tokens[t->n++] = value;
	return 0;
}

static int read_tokens(FILE *in, struct tokens *t)
{
	char *line = NULL, *rest, *word;
	size_t room = 0;
	ssize_t len;
	int status = 0;

	while (!status && (len = getline(&line, &room, in)) >= 0) {
		if (strlen(line) != (size_t)len) {
			status = fail("a NUL byte among the tokens");
			break;
		}
		rest = line;
		while (!status && (word = strsep(&rest, " \t\r\n,")))
			if (*word)
				status = add_token(t, word);
	}
	if (!status && ferror(in))
		status = fail("cannot read standard input");
	free(line);
	return status;
}

static int chain(const struct hash_args *args)
{
	struct json_object *all = NULL;
	struct kvbm_hash *hashes;
	struct tokens t = { 0 };
	int n, status = 0;
	char text[34];

	for (int i = 1; !status && i < args->common.n; i++)
		status = add_token(&t, args->common.names[i]);
	if (args->common.n == 1)
		status = read_tokens(stdin, &t);
	if (status) {
		free(t.tokens);
		return status;
	}
	hashes = calloc(t.n / args->block_size + 1, sizeof(*hashes));
	n = hashes ? kvbm_chain(t.tokens, t.n, args->block_size,
				args->salt_hash, hashes) : -ENOMEM;
	if (n < 0) {
		free(hashes);
		free(t.tokens);
		return n == -EINVAL ? fail("a chain has at most %u blocks",
					   KVBM_MAX_POSITIONS) :
				      fail("%s", strerror(-n));
	}
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
	return STATUS_OK;
}

static int opaque(const struct hash_args *args)
{
	unsigned char key[1024];
	struct kvbm_hash hash;
	char text[34];
	ssize_t n = 0;

	if (args->common.n == 2)
		n = parse_octets(args->common.names[1], key, sizeof(key));
	if (n <= 0)
		return usage("opaque takes a KEY of 1 to 1024 bytes in hexadecimal");
	kvbm_hash_opaque(args->digest, key, n, args->group, &hash);
	format_hash(&hash, text);
	puts(text);
	return STATUS_OK;
}

int cmd_hash(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "block-size", 's', "N", 0,
		  "chain: tokens in a block (default: 16)", 0 },
		{ "lora", 'L', "NAME", 0,
		  "chain: name of the LoRA adapter (default: none)", 0 },
		{ "salt", 'S', "TEXT", 0,
		  "chain: a salt, such as a tenant's (default: none)", 0 },
		{ "salt-hash", KEY_SALT_HASH, "HEX", 0,
		  "chain: the number that adapter and salt result in", 0 },
		{ "digest", KEY_DIGEST, "HEX", 0,
		  "opaque: 32 bytes that stand for what the key leaves out (default: zeroes)",
		  0 },
		{ "group", KEY_GROUP, "N", 0,
		  "opaque: number of the key's group (default: 0)", 0 },
		OPTION_JSON,
		OPTION_NO_HEADINGS,
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "pack CURRENT PARENT|- POSITION\nunpack HASH...\nchain [TOKEN...]\nopaque KEY",
		.doc = "Make and split sequence hashes. \"chain\" prints one for each full block of a prompt, whose tokens may come from standard input; \"opaque\" makes one from a key that an engine already has.",
	};
	struct hash_args args = { .block_size = 16 };
	const char *what;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!args.common.n)
		return usage("pack, unpack, chain or opaque expected");
	what = args.common.names[0];
	if (!strcmp(what, "pack"))
		return pack(&args);
	if (!strcmp(what, "unpack"))
		return unpack(&args);
	if (!strcmp(what, "chain"))
		return chain(&args);
	if (!strcmp(what, "opaque"))
		return opaque(&args);
	return usage("pack, unpack, chain or opaque expected");
}
