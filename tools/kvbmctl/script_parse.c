// SPDX-License-Identifier: MIT
/*
 * The grammar of "kvbmctl exec": one operation a line, words separated by
 * blanks and commas, "#" starts a comment anywhere.
 *
 * Numbers are decimal and hash words hexadecimal, without sign or prefix.
 * A number too large for its field is in the language: it is saturated to a
 * value that no store accepts, and the operation fails.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define SEPARATORS	" \t\r\n\v\f,"

/* The arguments after the operation's word. */
enum args {
	ARGS_NONE,
	ARGS_NEW,
	ARGS_COUNT,
	ARGS_ID,
	ARGS_IDS,
	ARGS_ID_FLAG,
	ARGS_STAGE,
	ARGS_CLAIM,
	ARGS_HASHES,
	ARGS_GUARD,
	ARGS_GUARDS,
	ARGS_WEAK,
	ARGS_OFFER,
	ARGS_KEEP,
	ARGS_KEEP_HELD,
	ARGS_REGISTER_NOTE,
	ARGS_PLH,
	ARGS_NAME,
};

static const struct {
	const char *word;
	enum script_op op;
	enum args args;
} operations[] = {
	{ "new", SCRIPT_NEW, ARGS_NEW },
	{ "alloc", SCRIPT_ALLOC, ARGS_COUNT },
	{ "alloc_reset", SCRIPT_ALLOC_RESET, ARGS_COUNT },
	{ "stage", SCRIPT_STAGE, ARGS_STAGE },
	{ "unstage", SCRIPT_UNSTAGE, ARGS_ID },
	{ "register", SCRIPT_REGISTER, ARGS_IDS },
	{ "match", SCRIPT_MATCH, ARGS_HASHES },
	{ "scan", SCRIPT_SCAN, ARGS_HASHES },
	{ "scan_touch", SCRIPT_SCAN_TOUCH, ARGS_HASHES },
	{ "release", SCRIPT_RELEASE, ARGS_GUARDS },
	{ "release_vec", SCRIPT_RELEASE_VEC, ARGS_GUARDS },
	{ "release_all", SCRIPT_RELEASE_ALL, ARGS_NONE },
	{ "clone", SCRIPT_CLONE, ARGS_GUARD },
	{ "use", SCRIPT_USE, ARGS_GUARD },
	{ "weak", SCRIPT_WEAK, ARGS_GUARD },
	{ "upgrade", SCRIPT_UPGRADE, ARGS_WEAK },
	{ "drop_mutable", SCRIPT_DROP_MUTABLE, ARGS_IDS },
	{ "drop_staged", SCRIPT_DROP_STAGED, ARGS_IDS },
	{ "set_reset", SCRIPT_SET_RESET, ARGS_ID_FLAG },
	{ "reset_inactive", SCRIPT_RESET_INACTIVE, ARGS_NONE },
	{ "counts", SCRIPT_COUNTS, ARGS_NONE },
	{ "presence", SCRIPT_PRESENCE, ARGS_HASHES },
	{ "has_inactive", SCRIPT_HAS_INACTIVE, ARGS_HASHES },
	{ "freq", SCRIPT_FREQ, ARGS_HASHES },
	{ "touch", SCRIPT_TOUCH, ARGS_HASHES },
	{ "touch_newest", SCRIPT_TOUCH_NEWEST, ARGS_HASHES },
	{ "claim", SCRIPT_CLAIM, ARGS_CLAIM },
	{ "pending", SCRIPT_PENDING, ARGS_HASHES },
	{ "offer", SCRIPT_OFFER, ARGS_GUARDS },
	{ "accept", SCRIPT_ACCEPT, ARGS_OFFER },
	{ "withdraw", SCRIPT_WITHDRAW, ARGS_OFFER },
	{ "keep", SCRIPT_KEEP, ARGS_KEEP },
	{ "keep_held", SCRIPT_KEEP_HELD, ARGS_KEEP_HELD },
	{ "rank", SCRIPT_RANK, ARGS_IDS },
	{ "register_note", SCRIPT_REGISTER_NOTE, ARGS_REGISTER_NOTE },
	{ "match_notes", SCRIPT_MATCH_NOTES, ARGS_HASHES },
	{ "scan_notes", SCRIPT_SCAN_NOTES, ARGS_HASHES },
	{ "note", SCRIPT_NOTE, ARGS_IDS },
	{ "invalidate", SCRIPT_INVALIDATE, ARGS_HASHES },
	{ "invalidate_prefix", SCRIPT_INVALIDATE_PREFIX, ARGS_HASHES },
	{ "invalidate_all", SCRIPT_INVALIDATE_ALL, ARGS_NONE },
	{ "sleep", SCRIPT_SLEEP, ARGS_COUNT },
	{ "held", SCRIPT_HELD, ARGS_NONE },
	{ "plh", SCRIPT_PLH, ARGS_PLH },
	{ "session", SCRIPT_SESSION, ARGS_NAME },
	{ "close", SCRIPT_CLOSE, ARGS_NAME },
	{ "kill", SCRIPT_KILL, ARGS_NAME },
};

struct reader {
	struct script_cmd *cmd;
	char *rest;		/* of strtok_r() */
	char *held;		/* a word that was given back */
	const char **why;
};

static int bad(struct reader *r, const char *why)
{
	*r->why = why;
	return -EINVAL;
}

static char *word(struct reader *r)
{
	char *s = r->held;

	r->held = NULL;
	return s ? s : strtok_r(NULL, SEPARATORS, &r->rest);
}

/* Takes the next word if it is @what. */
static bool word_is(struct reader *r, const char *what)
{
	char *s = word(r);

	if (s && !strcmp(s, what))
		return true;
	r->held = s;
	return false;
}

int script_grow(void *array, size_t *cap, size_t n, size_t more, size_t size)
{
	size_t want = *cap ? *cap : 16;
	void *old, *new;

	if (n + more <= *cap)
		return 0;
	while (want < n + more)
		want *= 2;
	memcpy(&old, array, sizeof(old));
	new = reallocarray(old, want, size);
	if (!new)
		return -ENOMEM;
	memcpy(array, &new, sizeof(new));
	*cap = want;
	return 0;
}

/* A decimal number, saturated to @max. */
static bool parse_number(const char *s, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned int digit = *s - '0';

		if (digit > 9)
			return false;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			v = UINT64_MAX - 9;	/* stays too large */
	}
	*value = v > max ? max : v;
	return true;
}

/* @len hexadecimal digits, at most 16. */
static bool parse_hex(const char *s, size_t len, uint64_t *value)
{
	uint64_t v = 0;

	if (!len || len > 16)
		return false;
	for (; len; s++, len--) {
		if (!isxdigit((unsigned char)*s))
			return false;
		v = v << 4 | (isdigit((unsigned char)*s) ?
			      *s - '0' : (*s | 0x20) - 'a' + 10);
	}
	*value = v;
	return true;
}

static int read_number(struct reader *r, uint64_t max, uint64_t *value)
{
	const char *s = word(r);

	if (!s)
		return bad(r, "a number is missing");
	return parse_number(s, max, value) ? 0 : bad(r, "not a number");
}

static int read_u32(struct reader *r, uint32_t *value)
{
	uint64_t v;
	int err = read_number(r, UINT32_MAX, &v);

	if (!err)
		*value = v;
	return err;
}

static int read_flag(struct reader *r, bool *flag)
{
	const char *s = word(r);

	if (!s || (strcmp(s, "0") && strcmp(s, "1")))
		return bad(r, "0 or 1 expected");
	*flag = *s == '1';
	return 0;
}

static int add_id(struct reader *r, const char *s)
{
	struct script_cmd *cmd = r->cmd;
	uint64_t id;

	if (!parse_number(s, KVBM_NO_BLOCK, &id))
		return bad(r, "not a block id");
	if (script_grow(&cmd->ids, &cmd->cap_ids, cmd->n_ids, 1,
			sizeof(*cmd->ids)))
		return -ENOMEM;
	cmd->ids[cmd->n_ids++] = id;
	return 0;
}

static const char *no_ref(char kind, bool missing)
{
	switch (kind) {
	case 'g':
		return missing ? "a guard is missing" : "not a guard";
	case 'w':
		return missing ? "a weak reference is missing" :
				 "not a weak reference";
	default:
		return missing ? "an offer is missing" : "not an offer";
	}
}

static int add_ref(struct reader *r, const char *s, char kind)
{
	struct script_cmd *cmd = r->cmd;
	uint64_t number;

	if (*s != kind || !parse_number(s + 1, UINT64_MAX, &number))
		return bad(r, no_ref(kind, false));
	if (script_grow(&cmd->refs, &cmd->cap_refs, cmd->n_refs, 1,
			sizeof(*cmd->refs)))
		return -ENOMEM;
	cmd->refs[cmd->n_refs++] = number;
	return 0;
}

/* HI:LO, or HI with LO as the next word. */
static int add_hash(struct reader *r, const char *s)
{
	struct script_cmd *cmd = r->cmd;
	const char *colon = strchr(s, ':');
	struct kvbm_hash hash;
	const char *low;
	uint64_t hi, lo;

	low = colon ? colon + 1 : word(r);
	if (!low)
		return bad(r, "half of a hash is missing");
	if (!parse_hex(s, colon ? (size_t)(colon - s) : strlen(s), &hi) ||
	    !parse_hex(low, strlen(low), &lo))
		return bad(r, "not a hash");
	hash.hi = hi;
	hash.lo = lo;
	if (script_grow(&cmd->hashes, &cmd->cap_hashes, cmd->n_hashes, 1,
			sizeof(*cmd->hashes)))
		return -ENOMEM;
	cmd->hashes[cmd->n_hashes++] = hash;
	return 0;
}

/* Bytes, two digits each. */
static int read_note(struct reader *r)
{
	struct script_cmd *cmd = r->cmd;
	const char *s = word(r);
	size_t len = s ? strlen(s) : 0;
	uint64_t byte;

	if (!len || len % 2 || len > 2 * sizeof(cmd->note))
		return bad(r, "not a note");
	for (size_t i = 0; i < len / 2; i++) {
		if (!parse_hex(s + 2 * i, 2, &byte))
			return bad(r, "not a note");
		cmd->note[i] = byte;
	}
	cmd->note_len = len / 2;
	cmd->has_note = true;
	return 0;
}

static int read_one_id(struct reader *r)
{
	const char *s = word(r);

	return s ? add_id(r, s) : bad(r, "a block id is missing");
}

/* Lists may be empty. */
static int read_ids(struct reader *r)
{
	const char *s;
	int err = 0;

	while (!err && (s = word(r)))
		err = add_id(r, s);
	return err;
}

static int read_one_ref(struct reader *r, char kind)
{
	const char *s = word(r);

	if (!s)
		return bad(r, no_ref(kind, true));
	return add_ref(r, s, kind);
}

static int read_guards(struct reader *r)
{
	const char *s;
	int err = 0;

	while (!err && (s = word(r)))
		err = add_ref(r, s, 'g');
	return err;
}

static int read_one_hash(struct reader *r)
{
	const char *s = word(r);

	return s ? add_hash(r, s) : bad(r, "a hash is missing");
}

static int read_hashes(struct reader *r)
{
	const char *s;
	int err = 0;

	while (!err && (s = word(r)))
		err = add_hash(r, s);
	return err;
}

static int read_claim(struct reader *r)
{
	int err = read_one_id(r);

	if (!err)
		err = read_one_hash(r);
	if (!err && word_is(r, "note"))
		err = read_note(r);
	return err;
}

static int read_stage(struct reader *r)
{
	int err = read_claim(r);
	const char *s;

	if (err || r->cmd->has_note)
		return err;
	s = word(r);
	r->cmd->has_number = s;
	if (s && !parse_number(s, UINT32_MAX, &r->cmd->number))
		return bad(r, "not a number of tokens");
	return 0;
}

static int read_rank(struct reader *r)
{
	static const char * const ranks[] = {
		[KVBM_RANK_FIRST] = "first",
		[KVBM_RANK_NORMAL] = "normal",
		[KVBM_RANK_HIGH] = "high",
		[KVBM_RANK_KEEP] = "keep",
	};
	const char *s = word(r);

	for (size_t i = 0; s && i < sizeof(ranks) / sizeof(*ranks); i++) {
		if (!strcmp(s, ranks[i])) {
			r->cmd->number = i;
			return 0;
		}
	}
	return bad(r, "not a rank");
}

/* RANK [for MS] */
static int read_keep(struct reader *r)
{
	int err = read_rank(r);

	if (err)
		return err;
	r->cmd->has_ms = word_is(r, "for");
	return r->cmd->has_ms ? read_number(r, UINT32_MAX, &r->cmd->ms) : 0;
}

static int read_policy(struct reader *r, const char **policy)
{
	static const struct {
		const char *word, *policy;
	} names[] = {
		{ "fifo", "fifo" },
		{ "hashmap", "fifo" },
		{ "lru", "lru" },
		{ "multi_lru", "multi_lru" },
		{ "lineage_tick", "lineage_tick" },
		{ "default", "lineage_tick" },
		{ "lineage_fifo", "lineage_fifo" },
	};
	const char *s = word(r);

	for (size_t i = 0; s && i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(s, names[i].word)) {
			*policy = names[i].policy;
			return 0;
		}
	}
	return bad(r, "not a policy");
}

/* Optional arguments. */
static int read_new_more(struct reader *r, struct script_new *c)
{
	char *s = word(r);
	uint64_t v;
	int err = 0;

	r->held = s;
	c->has_thresholds = s && isdigit((unsigned char)*s);
	for (int i = 0; c->has_thresholds && i < 3; i++) {
		s = word(r);
		if (!s)
			return bad(r, "three thresholds expected");
		if (!parse_number(s, UINT32_MAX, &v))
			return bad(r, "not a threshold");
		c->thresholds[i] = v;
	}
	c->has_keep = word_is(r, "keep");
	if (c->has_keep)
		err = read_u32(r, &c->keep);
	if (err)
		return err;
	c->has_note = word_is(r, "note");
	return c->has_note ? read_u32(r, &c->note) : 0;
}

static int read_new(struct reader *r)
{
	struct script_new *c = &r->cmd->config;
	const char *s;
	int err;

	err = read_u32(r, &c->total);
	if (!err)
		err = read_u32(r, &c->block_size);
	if (!err)
		err = read_policy(r, &c->policy);
	if (err)
		return err;

	s = word(r);
	if (!s || (strcmp(s, "allow") && strcmp(s, "reject")))
		return bad(r, "allow or reject expected");
	c->reject = *s == 'r';

	err = read_flag(r, &c->reset);
	if (!err)
		err = read_u32(r, &c->freq);
	if (err)
		return err;

	return read_new_more(r, c);
}

static int read_plh(struct reader *r)
{
	struct script_cmd *cmd = r->cmd;
	const char *s = word(r);

	if (!s || !parse_hex(s, strlen(s), &cmd->words[0]))
		return bad(r, "not a 64-bit sequence hash");
	s = word(r);
	if (!s)
		return bad(r, "the parent's sequence hash or - expected");
	cmd->has_parent = strcmp(s, "-");
	if (cmd->has_parent && !parse_hex(s, strlen(s), &cmd->words[1]))
		return bad(r, "not a 64-bit sequence hash");
	return read_number(r, UINT64_MAX, &cmd->number);
}

static int read_args(struct reader *r, enum args args)
{
	struct script_cmd *cmd = r->cmd;
	int err;

	switch (args) {
	case ARGS_NONE:
		return 0;
	case ARGS_NEW:
		return read_new(r);
	case ARGS_COUNT:
		return read_number(r, UINT32_MAX, &cmd->number);
	case ARGS_ID:
		return read_one_id(r);
	case ARGS_IDS:
		return read_ids(r);
	case ARGS_ID_FLAG:
		err = read_one_id(r);
		return err ? err : read_flag(r, &cmd->flag);
	case ARGS_STAGE:
		return read_stage(r);
	case ARGS_CLAIM:
		return read_claim(r);
	case ARGS_HASHES:
		return read_hashes(r);
	case ARGS_GUARD:
		return read_one_ref(r, 'g');
	case ARGS_GUARDS:
		return read_guards(r);
	case ARGS_WEAK:
		return read_one_ref(r, 'w');
	case ARGS_OFFER:
		return read_one_ref(r, 'o');
	case ARGS_KEEP:
		err = read_keep(r);
		return err ? err : read_hashes(r);
	case ARGS_KEEP_HELD:
		err = read_keep(r);
		return err ? err : read_guards(r);
	case ARGS_REGISTER_NOTE:
		err = read_note(r);
		return err ? err : read_ids(r);
	case ARGS_PLH:
		return read_plh(r);
	case ARGS_NAME:
		cmd->name = word(r);
		return cmd->name ? 0 : bad(r, "a session's name is missing");
	}
	return bad(r, "unknown operation");
}

int script_parse(struct script_cmd *cmd, char *line, const char **why)
{
	struct reader r = { .cmd = cmd, .why = why };
	char *comment = strchr(line, '#');
	const char *s;
	int err;

	if (comment)
		*comment = '\0';
	s = strtok_r(line, SEPARATORS, &r.rest);
	if (!s)
		return 0;

	cmd->n_ids = 0;
	cmd->n_refs = 0;
	cmd->n_hashes = 0;
	cmd->has_number = false;
	cmd->has_ms = false;
	cmd->has_note = false;
	memset(&cmd->config, 0, sizeof(cmd->config));

	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		if (strcmp(s, operations[i].word))
			continue;
		cmd->op = operations[i].op;
		err = read_args(&r, operations[i].args);
		if (err)
			return err;
		return word(&r) ? bad(&r, "too many arguments") : 1;
	}
	return bad(&r, "unknown operation");
}

void script_cmd_free(struct script_cmd *cmd)
{
	free(cmd->ids);
	free(cmd->refs);
	free(cmd->hashes);
	memset(cmd, 0, sizeof(*cmd));
}
