// SPDX-License-Identifier: MIT
/* kvbm-replay: options. */
#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "../common/parse.h"
#include "replay.h"

#define DEFAULT_BLOCKS	10000U
#define MAX_GROUP	1024U

enum key {
	KEY_BLOCKS = 'b',
	KEY_POLICY = 'p',
	KEY_WORKERS = 'w',
	KEY_INFLIGHT = 'i',
	KEY_STORE = 's',
	KEY_LIMIT = 'n',
	KEY_JSON = 'j',
	KEY_QUIET = 'q',
	KEY_THRESHOLDS = 256,
	KEY_DUPLICATES,
	KEY_BYTES,
	KEY_PLANT,
	KEY_PREFILL,
	KEY_GROUP,
	KEY_FLIGHT,
	KEY_FREQUENCY,
	KEY_SPEED,
	KEY_KILL,
	KEY_PRIVATE,
	KEY_SEED,
	KEY_REQUESTS,
	KEY_LIKE,
	KEY_RATE,
	KEY_PROMPTS,
	KEY_ZIPF,
	KEY_EMIT,
	KEY_BRIEF,
	KEY_WAKEUP,
};

static const struct argp_option option_list[] = {
	{ NULL, 0, NULL, 0, "Store", 1 },
	{ "blocks", KEY_BLOCKS, "N", 0, "blocks of all pools together, up to 16M (default 10000)", 0 },
	{ "policy", KEY_POLICY, "NAME", 0, "what to evict first", 0 },
	{ "thresholds", KEY_THRESHOLDS, "A,B,C", 0, "of multi_lru (default 3,8,15)", 0 },
	{ "frequency", KEY_FREQUENCY, "SIZE", 0, "frequency tracking: none, small, default, large, or a capacity (default: only for multi_lru)", 0 },
	{ "duplicates", KEY_DUPLICATES, "HOW", 0, "allow, or reject (default): what to do if another worker registered the same hash meanwhile", 0 },
	{ "block-bytes", KEY_BYTES, "SIZE", 0, "memory for each block: workers write it when they compute and check it when they match (default: none)", 0 },
	{ "private-pools", KEY_PRIVATE, NULL, 0, "each worker has its own pool, of N / workers blocks", 0 },
	{ "store", KEY_STORE, "NAME", 0, "use an existing store, which must match the other options", 0 },
	{ NULL, 0, NULL, 0, "Replay", 2 },
	{ "workers", KEY_WORKERS, "N", 0, "processes, each with its own session (default 1)", 0 },
	{ "inflight", KEY_INFLIGHT, "N", 0, "requests whose blocks a worker holds at once (default 1)", 0 },
	{ "speed", KEY_SPEED, "X", 0, "1 follows the trace's timestamps, 10 is ten times as fast; max (default) does not pause", 0 },
	{ "limit", KEY_LIMIT, "N", 0, "stop after N requests", 0 },
	{ "kill-worker-at", KEY_KILL, "WHEN", 0, "SIGKILL a worker at this request, or at this percentage of them (50%)", 0 },
	{ "prefill-rate", KEY_PREFILL, "TOKENS", 0, "tokens a second that a worker computes: it sleeps as long as its missing blocks take (default: no time)", 0 },
	{ "group", KEY_GROUP, "N", 0, "N samples of each request arrive together (default 1)", 0 },
	{ "single-flight", KEY_FLIGHT, NULL, 0, "workers claim blocks before they compute them, and wait for blocks that others have claimed", 0 },
	{ "plant", KEY_PLANT, "MISTAKE", 0, "make a mistake on purpose, to show that a check finds it: early registers blocks before they are written; impatient computes what another has claimed", 0 },
	{ NULL, 0, NULL, 0, "Without TRACE a trace is generated from published statistics", 3 },
	{ "seed", KEY_SEED, "N", 0, "same seed, same trace (default 1)", 0 },
	{ "requests", KEY_REQUESTS, "N", 0, "requests (default 12000)", 0 },
	{ "like", KEY_LIKE, "WHAT", 0, "conversation (default), or toolagent: long system prompts, short texts, hardly a second turn", 0 },
	{ "rate", KEY_RATE, "X", 0, "requests a second (default 3.4; 6.56 for toolagent)", 0 },
	{ "prompts", KEY_PROMPTS, "N", 0, "shared system prompts (default 32)", 0 },
	{ "zipf", KEY_ZIPF, "X", 0, "exponent of their popularity (default 1.0)", 0 },
	{ "emit-trace", KEY_EMIT, NULL, 0, "print the trace and stop", 0 },
	{ NULL, 0, NULL, 0, "Output", 4 },
	{ "json", KEY_JSON, NULL, 0, "summary as JSON", 0 },
	{ "brief", KEY_BRIEF, NULL, 0, "summary in one line", 0 },
	{ "quiet", KEY_QUIET, NULL, 0, "no progress on the terminal", 0 },
	{ "show-wakeup", KEY_WAKEUP, NULL, 0, "no replay: kill a process that holds every block and show when a waiting one gets some", 0 },
	{ NULL, 0, NULL, 0, NULL, -1 },
	{ 0 }
};

static uint64_t whole(struct argp_state *state, const char *arg,
		      const char *what, uint64_t min, uint64_t max)
{
	uint64_t n = 0;

	if (!parse_number(arg, max, &n) || n < min)
		argp_error(state, "%s: '%s' is not a number from %llu to %llu",
			   what, arg, (unsigned long long)min,
			   (unsigned long long)max);
	return n;
}

static double real(struct argp_state *state, const char *arg, const char *what,
		   double min)
{
	double x = 0;

	if (!parse_real(arg, &x) || x < min)
		argp_error(state, "%s: '%s' is not a number from %g", what, arg,
			   min);
	return x;
}

static uint32_t frequency(struct argp_state *state, const char *arg)
{
	if (strcmp(arg, "none") == 0)
		return 0;
	if (strcmp(arg, "small") == 0)
		return KVBM_FREQ_SMALL;
	if (strcmp(arg, "default") == 0)
		return KVBM_FREQ_DEFAULT;
	if (strcmp(arg, "large") == 0)
		return KVBM_FREQ_LARGE;
	return whole(state, arg, "--frequency", 1, KVBM_FREQ_LARGE);
}

static void kill_when(struct argp_state *state, char *arg, struct options *o)
{
	size_t length = strlen(arg);

	if (length && arg[length - 1] == '%') {
		arg[length - 1] = '\0';
		o->kill_percent = real(state, arg, "--kill-worker-at", 0);
		if (o->kill_percent > 100)
			argp_error(state, "--kill-worker-at: above 100 %%");
		o->kill_at = 0;
	} else {
		o->kill_percent = -1;
		o->kill_at = whole(state, arg, "--kill-worker-at", 1,
				   SIZE_MAX / 2);
	}
}

static void policy(struct argp_state *state, const char *arg, struct options *o)
{
	const char *like = policy_like(arg);
	uint32_t size;

	if (!policy_known(arg))
		argp_error(state, "--policy: no policy '%s'%s%s%s: there are %s",
			   arg, like ? " (" : "", like ? like : "",
			   like ? "?)" : "", policy_list());
	size = o->create.freq_capacity;
	kvbm_store_create_policy(&o->create, arg);
	/* The user's setting counts, even if it came before. */
	if (o->asked & ASKED_FREQUENCY)
		o->create.freq_capacity = size;
	o->asked |= ASKED_POLICY;
}

static error_t parse_generator(int key, char *arg, struct argp_state *state,
			       struct options *o)
{
	struct generator *g = &o->generator;

	switch (key) {
	case KEY_SEED:
	case KEY_REQUESTS:
	case KEY_LIKE:
	case KEY_RATE:
	case KEY_PROMPTS:
	case KEY_ZIPF:
		o->making = true;
	}
	switch (key) {
	case KEY_SEED:
		g->seed = whole(state, arg, "--seed", 0, UINT64_MAX);
		return 0;
	case KEY_REQUESTS:
		g->requests = whole(state, arg, "--requests", 1, 100000000);
		return 0;
	case KEY_LIKE:
		if (!trace_is_shape(arg))
			argp_error(state, "--like %s: conversation or toolagent", arg);
		g->like = arg;
		return 0;
	case KEY_RATE:
		g->rate = real(state, arg, "--rate", 1e-6);
		return 0;
	case KEY_PROMPTS:
		g->prompts = whole(state, arg, "--prompts", 1, 1000000);
		return 0;
	case KEY_ZIPF:
		g->zipf = real(state, arg, "--zipf", 0);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void check(struct argp_state *state, const struct options *o)
{
	bool multi_lru = !strcmp(o->create.policy, "multi_lru");
	bool kills = o->kill_at || o->kill_percent >= 0;

	if (o->show_wakeup && (o->store || o->trace || o->making ||
			       o->private_pools || o->emit_trace || kills))
		argp_error(state, "--show-wakeup creates its own store and replays nothing");
	if (o->trace && o->making)
		argp_error(state, "--seed, --requests, --like, --rate, --prompts and --zipf are for a generated trace and exclude TRACE");
	if (o->json && o->brief)
		argp_error(state, "--json and --brief exclude each other");
	if (o->asked & ASKED_THRESHOLDS && !multi_lru &&
	    (!o->store || o->asked & ASKED_POLICY))
		argp_error(state, "only policy multi_lru has thresholds");
	if (o->asked & ASKED_FREQUENCY && multi_lru && !o->create.freq_capacity)
		argp_error(state, "policy multi_lru needs frequency tracking");
	if (o->store && o->private_pools)
		argp_error(state, "--store and --private-pools exclude each other");
	if (o->early && !o->block_bytes)
		argp_error(state, "--plant early: blocks have no bytes without --block-bytes");
	if (o->impatient && !o->single_flight)
		argp_error(state, "--plant impatient: nobody waits without --single-flight");
	if (o->show_wakeup && (o->single_flight || o->group > 1 ||
			       o->prefill_rate > 0))
		argp_error(state, "--show-wakeup replays nothing");
	if (kills && o->single_flight &&
	    (o->group < 2 || o->prefill_rate <= 0 || o->impatient))
		argp_error(state, "--kill-worker-at with --single-flight needs somebody to wait: --prefill-rate, --group of 2 or more");
	if (o->show_wakeup && o->block_bytes)
		argp_error(state, "--show-wakeup writes no bytes");
	if (o->private_pools && o->create.total_blocks < o->workers)
		argp_error(state, "fewer blocks than private pools");
	if (kills && o->private_pools)
		argp_error(state, "--kill-worker-at needs one pool: a private one dies with its worker");
	if (kills && o->workers < 2)
		argp_error(state, "--kill-worker-at needs --workers of 2 or more");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t size = 0;

	switch (key) {
	case KEY_BLOCKS:
		if (!parse_size(arg, KVBM_MAX_BLOCKS, &size) || !size)
			argp_error(state, "--blocks: '%s' is not a number from 1 to %u",
				   arg, KVBM_MAX_BLOCKS);
		o->create.total_blocks = size;
		o->asked |= ASKED_BLOCKS;
		break;
	case KEY_POLICY:
		policy(state, arg, o);
		break;
	case KEY_THRESHOLDS:
		if (!parse_thresholds(arg, o->create.thresholds))
			argp_error(state, "--thresholds: '%s' is not three ascending numbers from 1 to 15, like 3,8,15",
				   arg);
		o->asked |= ASKED_THRESHOLDS;
		break;
	case KEY_FREQUENCY:
		o->create.freq_capacity = frequency(state, arg);
		o->asked |= ASKED_FREQUENCY;
		break;
	case KEY_DUPLICATES:
		if (strcmp(arg, "allow") == 0)
			o->register_flags = KVBM_REGISTER_ALLOW;
		else if (strcmp(arg, "reject") == 0)
			o->register_flags = KVBM_REGISTER_REJECT;
		else
			argp_error(state, "--duplicates: allow or reject");
		break;
	case KEY_BYTES:
		if (!parse_size(arg, KVBM_MAX_BLOCK_BYTES, &size) || !size ||
		    size % KVBM_MIN_BLOCK_BYTES)
			argp_error(state, "--block-bytes: '%s' is not a multiple of 4K up to 1G",
				   arg);
		o->block_bytes = size;
		o->asked |= ASKED_BYTES;
		break;
	case KEY_PLANT:
		if (strcmp(arg, "early") == 0)
			o->early = true;
		else if (strcmp(arg, "impatient") == 0)
			o->impatient = true;
		else
			argp_error(state, "--plant: early or impatient");
		break;
	case KEY_PREFILL:
		o->prefill_rate = real(state, arg, "--prefill-rate", 1);
		break;
	case KEY_GROUP:
		o->group = whole(state, arg, "--group", 1, MAX_GROUP);
		break;
	case KEY_FLIGHT:
		o->single_flight = true;
		break;
	case KEY_PRIVATE:
		o->private_pools = true;
		break;
	case KEY_STORE:
		o->store = arg;
		break;
	case KEY_WORKERS:
		o->workers = whole(state, arg, "--workers", 1, MAX_WORKERS);
		break;
	case KEY_INFLIGHT:
		o->inflight = whole(state, arg, "--inflight", 1, 100000);
		break;
	case KEY_SPEED:
		o->speed = strcmp(arg, "max") == 0 ? 0 :
			   real(state, arg, "--speed", 0);
		break;
	case KEY_LIMIT:
		o->limit = whole(state, arg, "--limit", 1, SIZE_MAX / 2);
		break;
	case KEY_KILL:
		kill_when(state, arg, o);
		break;
	case KEY_EMIT:
		o->emit_trace = true;
		break;
	case KEY_JSON:
		o->json = true;
		break;
	case KEY_BRIEF:
		o->brief = true;
		break;
	case KEY_QUIET:
		o->quiet = true;
		break;
	case KEY_WAKEUP:
		o->show_wakeup = true;
		break;
	case ARGP_KEY_ARG:
		if (o->trace)
			argp_error(state, "more than one trace");
		o->trace = arg;
		break;
	case ARGP_KEY_END:
		check(state, o);
		break;
	default:
		return parse_generator(key, arg, state, o);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = option_list,
		.parser = parse,
		.args_doc = "[TRACE]",
		.help_filter = policy_help,
		.doc = "Replay a trace of inference requests against a kvbm store.\v"
		       "TRACE is a file of JSON lines with timestamp, input_length, output_length and hash_ids; - is standard input.",
	};
	struct options options = {
		.generator = GENERATOR_DEFAULTS,
		.register_flags = KVBM_REGISTER_REJECT,
		.workers = 1,
		.inflight = 1,
		.group = 1,
		.kill_percent = -1,
	};
	struct trace trace;
	char version[64];
	int ret;

	snprintf(version, sizeof(version), "kvbm-replay %s", kvbm_version());
	argp_program_version = version;
	argp_err_exit_status = 2;
	kvbm_store_create_init(&options.create, NULL, DEFAULT_BLOCKS);
	options.create.block_size = TRACE_BLOCK_TOKENS;
	argp_parse(&argp, argc, argv, 0, NULL, &options);

	if (options.show_wakeup)
		return show_wakeup(&options);
	if (!options.emit_trace)
		return replay_run(&options);
	if (get_trace(&options, &trace))
		return 1;
	ret = trace_write(&trace, stdout);
	if (ret)
		complain("cannot write the trace", ret);
	trace_free(&trace);
	return ret ? 1 : 0;
}
