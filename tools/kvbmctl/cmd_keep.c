// SPDX-License-Identifier: MIT
/* kvbmctl keep */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "payload.h"
#include "table.h"

enum {
	KEY_FOR = 0x200,
	KEY_NEWEST,
};

#define NO_RANK	UINT32_MAX

struct keep_args {
	struct common common;		/* first, as parse_common() requires */
	uint32_t rank;
	uint32_t for_ms;
	bool newest;
};

static uint32_t rank_of(struct argp_state *state, const char *arg)
{
	uint32_t rank = KVBM_RANK_FIRST;

	while (rank <= KVBM_RANK_KEEP && strcmp(arg, kvbm_rank_name(rank)))
		rank++;
	if (rank > KVBM_RANK_KEEP)
		argp_error(state, "--rank: first, normal, high or keep expected");
	return rank;
}

static error_t parse_keep(int key, char *arg, struct argp_state *state)
{
	struct keep_args *args = state->input;

	switch (key) {
	case 'r':
		args->rank = rank_of(state, arg);
		return 0;
	case KEY_FOR:
		if (!parse_time_ms(arg, UINT32_MAX, &args->for_ms) ||
		    !args->for_ms)
			argp_error(state, "--for: a time expected, like 60s or 500ms");
		return 0;
	case KEY_NEWEST:
		args->newest = true;
		return 0;
	case ARGP_KEY_END:
		if (args->rank == NO_RANK && !args->newest)
			argp_error(state, "--rank or --newest expected");
		if (args->for_ms && (args->rank == NO_RANK ||
				     args->rank == KVBM_RANK_NORMAL))
			argp_error(state, "--for needs a rank that can expire");
		return 0;
	}
	return parse_common(key, arg, state);
}

/* Print each result; fail if one did not get its rank. */
static int print_results(const struct keep_args *args,
			 const struct hash_list *list, const uint8_t *results)
{
	static const char * const words[] = {
		[KVBM_KEEP_DONE] = "done",
		[KVBM_KEEP_ABSENT] = "absent",
		[KVBM_KEEP_DENIED] = "denied",
		[KVBM_KEEP_FULL] = "full",
	};
	static const struct table_column columns[] = {
		{ "HASH", 0 },
		{ "RESULT", 0 },
	};
	struct table *t = table_new("hashes", columns, 2, &args->common);
	size_t missed = 0;
	int status;

	for (size_t i = 0; i < list->n; i++) {
		table_row(t);
		table_hash(t, &list->hashes[i]);
		table_put(t, "%s", results[i] <= KVBM_KEEP_FULL ?
				   words[results[i]] : "unknown");
		missed += results[i] != KVBM_KEEP_DONE;
	}
	status = table_print(t, stdout);
	return status ? status : missed ? STATUS_FAILED : STATUS_OK;
}

int cmd_keep(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "rank", 'r', "first|normal|high|keep", 0,
		  "Evicted before all others, like others, after them, or last of all",
		  0 },
		{ "for", KEY_FOR, "TIME", 0,
		  "Keep the rank this long, like 60s or 500ms; then it is normal", 0 },
		{ "newest", KEY_NEWEST, NULL, 0,
		  "Inactive blocks become the newest", 0 },
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_keep,
		.args_doc = "NAME HASH...",
		.doc = "Change which registered blocks are evicted first or last. Except for --newest, the store must have been created with --retention.",
	};
	struct keep_args args = { .rank = NO_RANK };
	struct hash_list list = { 0 };
	uint8_t *results = NULL;
	uint32_t error = 0;
	int session, err = 0, status;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!read_hashes(&args.common, "keep", &list))
		return STATUS_USAGE;
	session = open_store(args.common.names[0]);
	if (session < 0)
		return STATUS_FAILED;
	results = calloc(list.n, 1);
	if (!results)
		err = -ENOMEM;
	if (!err && args.newest)
		err = kvbm_touch_newest(session, list.n, list.hashes, &error);
	if (err >= 0 && !error && args.rank != NO_RANK)
		err = kvbm_keep_hashes(session, list.n, list.hashes, args.rank,
				       args.for_ms * UINT64_C(1000000),
				       args.for_ms ? KVBM_KEEP_RELATIVE : 0,
				       results, &error);
	close(session);
	if (err >= 0 && error)
		err = -(int)error;
	if (err == -EOPNOTSUPP)
		status = fail("store '%s' was created without --retention",
			      args.common.names[0]);
	else if (err < 0)
		status = fail_request(args.common.names[0], err, "store '%s'",
				      args.common.names[0]);
	else if (args.rank != NO_RANK)
		status = print_results(&args, &list, results);
	else
		status = STATUS_OK;
	free(results);
	free(list.hashes);
	return status;
}
