// SPDX-License-Identifier: MIT
/* kvbmctl create, destroy */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "payload.h"

enum {
	KEY_MAX_SESSIONS = 256,
	KEY_MAX_HELD,
	KEY_ENSURE,
	KEY_IF_EXISTS,
	KEY_OPAQUE,
	KEY_RIGHTS,
	KEY_BLOCK_BYTES,
	KEY_PAGES,
	KEY_NUMA,
	KEY_PAYLOAD,
	KEY_LINGER,
	KEY_EVENTS,
	KEY_NOTE_BYTES,
	KEY_DIGEST,
	KEY_LABEL,
	KEY_RETENTION,
};

struct create_args {
	struct kvbm_store_create c;
	const char *name, *policy;
	struct payload_args payload;
	uint64_t blocks;
	bool has_frequency, ensure, json;
};

static void need_size(struct argp_state *state, const char *what,
		      const char *arg, uint64_t max, uint64_t *value)
{
	if (!parse_size(arg, max, value))
		argp_error(state, "%s: '%s' is not a number up to %llu", what,
			   arg, (unsigned long long)max);
}

static uint32_t need_u32(struct argp_state *state, const char *what,
			 const char *arg, uint64_t max)
{
	uint64_t value = 0;

	need_size(state, what, arg, max, &value);
	return value;
}

/* N, or N,M. */
static void set_retention(struct argp_state *state, char *arg,
			  struct kvbm_store_create *c)
{
	char *user = strchr(arg, ',');

	if (user)
		*user++ = 0;
	c->keep_blocks = need_u32(state, "--retention", arg, KVBM_MAX_BLOCKS);
	if (user)
		c->keep_user_blocks = need_u32(state, "--retention", user,
					       c->keep_blocks);
	if (!c->keep_blocks || (user && !c->keep_user_blocks))
		argp_error(state, "--retention: at least 1 expected");
}

static void set_policy(struct argp_state *state, const char *arg)
{
	const char *like = policy_like(arg);

	if (!policy_known(arg))
		argp_error(state, "--policy: no policy '%s'%s%s%s: there are %s",
			   arg, like ? " (" : "", like ? like : "",
			   like ? "?)" : "", policy_list());
}

static void set_frequency(struct argp_state *state, const char *arg,
			  uint32_t *capacity)
{
	if (!arg || !strcmp(arg, "default"))
		*capacity = KVBM_FREQ_DEFAULT;
	else if (!strcmp(arg, "none"))
		*capacity = 0;
	else if (!strcmp(arg, "small"))
		*capacity = KVBM_FREQ_SMALL;
	else if (!strcmp(arg, "large"))
		*capacity = KVBM_FREQ_LARGE;
	else
		*capacity = need_u32(state, "--frequency", arg,
				     KVBM_FREQ_LARGE);
}

static void set_thresholds(struct argp_state *state, const char *arg,
			   __u32 thresholds[3])
{
	if (!parse_thresholds(arg, thresholds))
		argp_error(state, "--thresholds: three ascending numbers from 1 to 15 expected, like 3,8,15");
}

uint32_t user_id(struct argp_state *state, const char *option,
		 const char *arg)
{
	struct passwd *pw = getpwnam(arg);
	uint64_t id = 0;

	if (pw)
		return pw->pw_uid;
	if (!parse_number(arg, UINT32_MAX - 1, &id))
		argp_error(state, "%s: no user '%s'", option, arg);
	return id;
}

uint32_t group_id(struct argp_state *state, const char *option,
		  const char *arg)
{
	struct group *gr = getgrnam(arg);
	uint64_t id = 0;

	if (gr)
		return gr->gr_gid;
	if (!parse_number(arg, UINT32_MAX - 1, &id))
		argp_error(state, "%s: no group '%s'", option, arg);
	return id;
}

uint32_t mode_bits(struct argp_state *state, const char *arg)
{
	uint64_t mode = 0;

	if (!parse_octal(arg, 0660, &mode) || !mode || mode & ~UINT64_C(0660))
		argp_error(state, "--mode: an octal number within 0660 expected");
	return mode;
}

/* Checks that need the whole command line. */
static void check_policy(struct argp_state *state,
			 const struct create_args *args)
{
	bool multi_lru = args->policy && !strcmp(args->policy, "multi_lru");

	if (args->c.thresholds[0] && !multi_lru)
		argp_error(state, "only policy multi_lru has thresholds");
	if (multi_lru && args->has_frequency && !args->c.freq_capacity)
		argp_error(state, "policy multi_lru needs frequency tracking");
}

/* What sessions that neither owner nor root opened may do. */
static uint32_t rights_bits(struct argp_state *state, char *arg)
{
	uint32_t rights = 0;
	char *word;

	while ((word = strsep(&arg, ","))) {
		if (!strcmp(word, "reset"))
			rights |= KVBM_RIGHT_RESET_INACTIVE;
		else if (!strcmp(word, "flag"))
			rights |= KVBM_RIGHT_SET_RESET;
		else if (strcmp(word, "none"))
			argp_error(state, "--others-may: reset, flag or none expected");
	}
	return rights;
}

static error_t parse_create(int key, char *arg, struct argp_state *state)
{
	struct create_args *args = state->input;
	struct kvbm_store_create *c = &args->c;

	switch (key) {
	case 'b':
		need_size(state, "--blocks", arg, KVBM_MAX_BLOCKS,
			  &args->blocks);
		if (!args->blocks)
			argp_error(state, "--blocks: a store has at least one block");
		return 0;
	case 's':
		c->block_size = need_u32(state, "--block-size", arg,
					 KVBM_MAX_BLOCK_SIZE);
		if (!c->block_size)
			argp_error(state, "--block-size: at least 1 expected");
		return 0;
	case 'p':
		set_policy(state, arg);
		args->policy = arg;
		return 0;
	case 'd':
		if (!strcmp(arg, "reject"))
			c->flags |= KVBM_CREATE_REJECT;
		else if (!strcmp(arg, "allow"))
			c->flags &= ~KVBM_CREATE_REJECT;
		else
			argp_error(state, "--duplicates: allow or reject expected");
		return 0;
	case 'r':
		c->flags |= KVBM_CREATE_RESET;
		return 0;
	case 'f':
		set_frequency(state, arg, &c->freq_capacity);
		args->has_frequency = true;
		return 0;
	case 't':
		set_thresholds(state, arg, c->thresholds);
		return 0;
	case 'o':
		c->uid = user_id(state, "--owner", arg);
		return 0;
	case 'g':
		c->gid = group_id(state, "--group", arg);
		return 0;
	case 'm':
		c->mode = mode_bits(state, arg);
		return 0;
	case KEY_MAX_SESSIONS:
		c->max_sessions = need_u32(state, "--max-sessions", arg,
					   UINT32_MAX);
		if (!c->max_sessions)
			argp_error(state, "--max-sessions: at least 1 expected");
		return 0;
	case KEY_MAX_HELD:
		c->max_held = need_u32(state, "--max-held", arg, UINT32_MAX);
		if (!c->max_held)
			argp_error(state, "--max-held: at least 1 expected");
		return 0;
	case KEY_MONITOR:
		c->monitor_gid = group_id(state, "--monitor", arg);
		return 0;
	case KEY_OPAQUE:
		c->flags |= KVBM_CREATE_OPAQUE;
		return 0;
	case KEY_RIGHTS:
		c->rights = rights_bits(state, arg);
		return 0;
	case KEY_BLOCK_BYTES:
		if (!parse_bytes(arg, &args->payload.block_bytes) ||
		    !args->payload.block_bytes)
			argp_error(state, "--block-bytes: a multiple of 4K up to 1G expected");
		return 0;
	case KEY_PAGES:
		payload_pages(state, arg, &args->payload);
		return 0;
	case KEY_NUMA:
		payload_numa(state, arg, &args->payload);
		return 0;
	case KEY_PAYLOAD:
		args->payload.path = arg;
		return 0;
	case KEY_LINGER:
		if (!parse_time_ms(arg, KVBM_MAX_LINGER_MS, &c->linger_ms))
			argp_error(state, "--linger: a time up to 600s expected, like 1s or 500ms");
		return 0;
	case KEY_EVENTS:
		c->event_records = need_u32(state, "--events", arg,
					    KVBM_MAX_EVENT_RECORDS);
		if (c->event_records < KVBM_MIN_EVENT_RECORDS ||
		    c->event_records & (c->event_records - 1))
			argp_error(state, "--events: a power of two from %u to 1M expected",
				   KVBM_MIN_EVENT_RECORDS);
		return 0;
	case KEY_NOTE_BYTES:
		c->note_bytes = need_u32(state, "--note-bytes", arg,
					 KVBM_MAX_NOTE_BYTES);
		return 0;
	case KEY_DIGEST:
		if (parse_octets(arg, c->digest, sizeof(c->digest)) !=
		    (ssize_t)sizeof(c->digest))
			argp_error(state, "--digest: %zu hexadecimal digits expected",
				   2 * sizeof(c->digest));
		return 0;
	case KEY_LABEL:
		if (strlen(arg) >= sizeof(c->label))
			argp_error(state, "--label: at most %zu characters expected",
				   sizeof(c->label) - 1);
		strcpy(c->label, arg);
		return 0;
	case KEY_RETENTION:
		c->flags |= KVBM_CREATE_RETENTION;
		if (arg)
			set_retention(state, arg, c);
		return 0;
	case KEY_ENSURE:
		args->ensure = true;
		return 0;
	case KEY_JSON:
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one store at a time");
		args->name = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->name)
			argp_error(state, "the store's name is missing");
		if (!args->blocks)
			argp_error(state, "--blocks is missing");
		check_policy(state, args);
		payload_check(state, &args->payload);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option create_options[] = {
	{ "blocks", 'b', "N", 0,
	  "Blocks in the store, up to 16M; K and M (1024) may follow", 0 },
	{ "block-size", 's', "N", 0,
	  "Tokens in a block, up to 1M (default: 16)", 0 },
	{ "policy", 'p', "NAME", 0,
	  "What to evict first",
	  0 },
	{ "duplicates", 'd', "allow|reject", 0,
	  "What registering a hash that is present does: make a copy (default) or return the existing block",
	  0 },
	{ "reset-on-release", 'r', NULL, 0,
	  "Blocks go to Reset with their last release, unless their holder changes that",
	  0 },
	{ "frequency", 'f', "CAPACITY", OPTION_ARG_OPTIONAL,
	  "Track how often hashes are used: none, small (2^18), default (2^21), large (2^24) or a number; multi_lru always does",
	  0 },
	{ "thresholds", 't', "A,B,C", 0,
	  "Frequencies that divide multi_lru's lists (default: 3,8,15)", 0 },
	{ "owner", 'o', "USER", 0, "Owner of the node (default: you)", 0 },
	{ "group", 'g', "GROUP", 0, "Group of the node (default: yours)", 0 },
	{ "mode", 'm', "OCTAL", 0, "Permissions (default: 0600)", 0 },
	{ "monitor", KEY_MONITOR, "GROUP", 0,
	  "Group that may read statistics, and nothing else", 0 },
	{ "others-may", KEY_RIGHTS, "reset,flag", 0,
	  "What sessions that neither the owner nor root opened may do: reset inactive blocks, set the flag reset-on-release (default: none)",
	  0 },
	{ "opaque", KEY_OPAQUE, NULL, 0,
	  "Hashes are an engine's own keys and have no lineage", 0 },
	{ "max-sessions", KEY_MAX_SESSIONS, "N", 0,
	  "Sessions that may be open at once", 0 },
	{ "max-held", KEY_MAX_HELD, "N", 0,
	  "Blocks that one session may hold at once", 0 },
	{ "block-bytes", KEY_BLOCK_BYTES, "BYTES", 0,
	  "The store has memory for its blocks too, this much for each: a multiple of 4K up to 1G; K, M and G (1024) may follow",
	  0 },
	{ "pages", KEY_PAGES, "4k|thp|2m|1g", 0,
	  "Page size of that memory (default: 4k); 2m and 1g use the system's huge pages, thp requests transparent ones",
	  0 },
	{ "numa", KEY_NUMA, "interleave[:N,...]|bind:N,...", 0,
	  "NUMA nodes of that memory: interleaved, or only these", 0 },
	{ "payload", KEY_PAYLOAD, "FILE", 0,
	  "Use this file of tmpfs or hugetlbfs as memory", 0 },
	{ "linger", KEY_LINGER, "TIME", 0,
	  "Blocks that a session owned when it ended become free this much later, like 1s or 500ms, up to 600s",
	  0 },
	{ "events", KEY_EVENTS, "N", 0,
	  "Keep the last N events for readers, 64 bytes each: a power of two from 64 to 1M",
	  0 },
	{ "retention", KEY_RETENTION, "N[,M]", OPTION_ARG_OPTIONAL,
	  "Blocks have ranks that decide what is evicted first (kvbmctl keep); at most N are raised at once (default: half), M of them by one user (default: half of that)",
	  0 },
	{ "note-bytes", KEY_NOTE_BYTES, "N", 0,
	  "Each block has a note of N bytes, up to 256, given at its registration",
	  0 },
	{ "digest", KEY_DIGEST, "HEX", 0,
	  "64 digits that stand for weights, layout and data types; programs that open the store can check them",
	  0 },
	{ "label", KEY_LABEL, "TEXT", 0,
	  "Text for people, up to 63 printable characters", 0 },
	{ "ensure", KEY_ENSURE, NULL, 0,
	  "Accept an existing store of this name that matches the options; recreate one that does not, if it is yours and nobody uses it",
	  0 },
	OPTION_JSON,
	{ 0 }
};

static int create_failed(const struct create_args *args, int err)
{
	switch (-err) {
	case EEXIST:
		return fail("store '%s' exists already", args->name);
	case EPERM:
		return fail("cannot create store '%s': you may not give it to that owner or group, or may not create named stores (module parameter named_gid)",
			    args->name);
	case ENOMEM:
		return fail("cannot create store '%s': %llu blocks do not fit into memory, they take %llu MiB",
			    args->name, (unsigned long long)args->blocks,
			    (unsigned long long)args->c.need >> 20);
	case EDQUOT:
		return fail("cannot create store '%s': a limit of the module, or yours, is reached (module parameters max_stores, max_blocks, user_stores, user_blocks, user_bytes)",
			    args->name);
	case EACCES:
		return fail("cannot create store '%s': its payload is not open for reading and writing, or sealed",
			    args->name);
	case EFBIG:
		return fail("cannot create store '%s': its payload is too short for %llu blocks",
			    args->name, (unsigned long long)args->blocks);
	case EINVAL:
		return fail("cannot create store '%s': the module refuses this name or these options",
			    args->name);
	default:
		return fail_request(args->name, err, "cannot create store '%s'",
				    args->name);
	}
}

int cmd_create(int argc, char **argv)
{
	static const struct argp argp = {
		.options = create_options,
		.parser = parse_create,
		.args_doc = "NAME",
		.help_filter = policy_help,
		.doc = "Create the named store /dev/kvbm/NAME.",
	};
	struct create_args args = { 0 };
	struct kvbm_store_create named;
	struct json_object *object;
	int control, memory, err;

	kvbm_store_create_init(&args.c, NULL, 1);
	argp_parse(&argp, argc, argv, 0, NULL, &args);

	args.c.total_blocks = args.blocks;
	if (kvbm_store_create_init(&named, args.name, 1))
		return fail("'%s' cannot be the name of a store: a-z, 0-9, '_', '.', '-', at most %d, not one of '_.-' first, and not 'control'",
			    args.name, KVBM_NAME_LEN - 1);
	memcpy(args.c.name, named.name, sizeof(args.c.name));
	if (kvbm_store_create_policy(&args.c, args.policy))
		return fail("'%s' cannot be the name of a policy", args.policy);

	control = open_control();
	if (control < 0)
		return STATUS_FAILED;
	/*
	 * The store keeps the memory; without a store it goes with this
	 * process.
	 */
	if (args.ensure) {
		err = ensure_store(control, args.name, &args.c, &args.payload,
				   &memory);
	} else {
		memory = payload_make(&args.payload, args.name, &args.c);
		err = memory < 0 ? STATUS_FAILED :
				   kvbm_store_create(control, &args.c);
	}
	close(control);
	if (err > 0)
		return err;
	if (err)
		return create_failed(&args, err);
	if (!args.json)
		return STATUS_OK;

	object = json_object_new_object();
	json_str(object, "name", args.name);
	json_store_id(object, args.c.store_id);
	return print_json(object);
}

struct destroy_args {
	char **names;
	int n;
	bool force, if_exists;
};

static error_t parse_destroy(int key, char *arg, struct argp_state *state)
{
	struct destroy_args *args = state->input;

	switch (key) {
	case 'f':
		args->force = true;
		return 0;
	case KEY_IF_EXISTS:
		args->if_exists = true;
		return 0;
	case ARGP_KEY_ARGS:
		args->names = state->argv + state->next;
		args->n = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "the store's name is missing");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int destroy_one(int control, const char *name,
		       const struct destroy_args *args)
{
	struct kvbm_store_ref ref;
	char copy[KVBM_NAME_LEN];
	int err = -EINVAL;

	if (parse_ref(name, &ref, copy))
		err = kvbm_store_destroy_of(control, &ref, args->force ?
					    KVBM_DESTROY_FORCE : 0);
	if (err == -ENOENT && args->if_exists)
		err = 0;

	switch (-err) {
	case 0:
		return STATUS_OK;
	case EBUSY:
		return fail("store '%s' has open sessions (kvbmctl sessions %s; --force ends them)",
			    name, name);
	case EPERM:
	case EACCES:
		return fail("no permission to destroy store '%s': only its owner or root may",
			    name);
	case EINVAL:
		return fail("'%s' cannot be the name of a store", name);
	default:
		return fail_request(name, err, "cannot destroy store '%s'",
				    name);
	}
}

int cmd_destroy(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "force", 'f', NULL, 0,
		  "End the store's sessions first; their calls fail from then on",
		  0 },
		{ "if-exists", KEY_IF_EXISTS, NULL, 0,
		  "A missing store is no error", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_destroy,
		.args_doc = "NAME...",
		.doc = "Destroy stores, by name or by @ and id. Their contents are lost.",
	};
	struct destroy_args args = { 0 };
	int control, status = STATUS_OK;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	control = open_control();
	if (control < 0)
		return STATUS_FAILED;
	for (int i = 0; i < args.n; i++)
		status |= destroy_one(control, args.names[i], &args);
	close(control);
	return status;
}
