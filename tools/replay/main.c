// SPDX-License-Identifier: MIT
/* kvbm-replay: options. */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define DEFAULT_BLOCKS	10000U

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
	KEY_FREQUENCY,
	KEY_SPEED,
	KEY_KILL,
	KEY_PRIVATE,
	KEY_SEED,
	KEY_REQUESTS,
	KEY_RATE,
	KEY_PROMPTS,
	KEY_ZIPF,
	KEY_EMIT,
	KEY_BRIEF,
	KEY_WAKEUP,
};

static const struct argp_option option_list[] = {
	{ NULL, 0, NULL, 0, "Store", 1 },
	{ "blocks", KEY_BLOCKS, "N", 0, "blocks of all pools together (default 10000)", 0 },
	{ "policy", KEY_POLICY, "NAME", 0, "fifo, lru, multi_lru, lineage_tick (default) or lineage_fifo", 0 },
	{ "thresholds", KEY_THRESHOLDS, "A,B,C", 0, "of multi_lru (default 3,8,15)", 0 },
	{ "frequency", KEY_FREQUENCY, "SIZE", 0, "frequency tracking: none, small, default, large, or a capacity (default: only for multi_lru)", 0 },
	{ "duplicates", KEY_DUPLICATES, "HOW", 0, "allow, or reject (default): what a registration of a hash comes to that another worker registered meanwhile", 0 },
	{ "private-pools", KEY_PRIVATE, NULL, 0, "each worker has a pool of its own, of N / workers blocks", 0 },
	{ "store", KEY_STORE, "NAME", 0, "use an existing store instead", 0 },
	{ NULL, 0, NULL, 0, "Replay", 2 },
	{ "workers", KEY_WORKERS, "N", 0, "processes, each with its own session (default 1)", 0 },
	{ "inflight", KEY_INFLIGHT, "N", 0, "requests whose blocks a worker keeps held (default 1)", 0 },
	{ "speed", KEY_SPEED, "X", 0, "1 keeps the trace's timestamps, 10 is ten times as fast; max (default) does not pause", 0 },
	{ "limit", KEY_LIMIT, "N", 0, "stop after N requests", 0 },
	{ "kill-worker-at", KEY_KILL, "WHEN", 0, "SIGKILL a worker at this request, or at this percentage of them (50%)", 0 },
	{ NULL, 0, NULL, 0, "Without TRACE a trace is made from published statistics", 3 },
	{ "seed", KEY_SEED, "N", 0, "same seed, same trace (default 1)", 0 },
	{ "requests", KEY_REQUESTS, "N", 0, "requests (default 12000)", 0 },
	{ "rate", KEY_RATE, "X", 0, "requests a second (default 3.4)", 0 },
	{ "prompts", KEY_PROMPTS, "N", 0, "shared system prompts (default 32)", 0 },
	{ "zipf", KEY_ZIPF, "X", 0, "exponent of their popularity (default 1.0)", 0 },
	{ "emit-trace", KEY_EMIT, NULL, 0, "print the trace and stop", 0 },
	{ NULL, 0, NULL, 0, "Output", 4 },
	{ "json", KEY_JSON, NULL, 0, "summary as JSON", 0 },
	{ "brief", KEY_BRIEF, NULL, 0, "summary in one line", 0 },
	{ "quiet", KEY_QUIET, NULL, 0, "no progress on the terminal", 0 },
	{ "show-wakeup", KEY_WAKEUP, NULL, 0, "no replay: kill a process that holds every block and show when one that waits gets some", 0 },
	{ NULL, 0, NULL, 0, NULL, -1 },
	{ 0 }
};

static uint64_t whole(struct argp_state *state, const char *arg,
		      const char *what, uint64_t min, uint64_t max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(arg, &end, 10);
	if (errno || end == arg || *end || strchr(arg, '-') || n < min || n > max)
		argp_error(state, "%s: '%s' is not a number from %llu to %llu",
			   what, arg, (unsigned long long)min,
			   (unsigned long long)max);
	return n;
}

static double real(struct argp_state *state, const char *arg, const char *what,
		   double min)
{
	char *end;
	double x;

	errno = 0;
	x = strtod(arg, &end);
	if (errno || end == arg || *end || !isfinite(x) || x < min)
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
		o->kill_at = 1;		/* until the trace is there */
	} else {
		o->kill_at = whole(state, arg, "--kill-worker-at", 1,
				   SIZE_MAX / 2);
	}
}

static void thresholds(struct argp_state *state, const char *arg,
		       struct options *o)
{
	uint32_t *t = o->create.thresholds;
	char rest;

	if (sscanf(arg, "%u,%u,%u%c", &t[0], &t[1], &t[2], &rest) != 3)
		argp_error(state, "--thresholds: '%s' is not A,B,C", arg);
}

static error_t parse_generator(int key, char *arg, struct argp_state *state,
			       struct generator *g)
{
	switch (key) {
	case KEY_SEED:
		g->seed = whole(state, arg, "--seed", 0, UINT64_MAX);
		return 0;
	case KEY_REQUESTS:
		g->requests = whole(state, arg, "--requests", 1, 100000000);
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
	if (o->store && o->private_pools)
		argp_error(state, "--store and --private-pools exclude each other");
	if (o->private_pools && o->create.total_blocks < o->workers)
		argp_error(state, "fewer blocks than private pools");
	if (o->kill_at && o->private_pools)
		argp_error(state, "--kill-worker-at wants one pool: a private one dies with its worker");
	if (o->kill_at && o->workers < 2)
		argp_error(state, "--kill-worker-at wants --workers of 2 or more");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case KEY_BLOCKS:
		o->create.total_blocks = whole(state, arg, "--blocks", 1,
					       KVBM_MAX_BLOCKS);
		break;
	case KEY_POLICY:
		if (kvbm_store_create_policy(&o->create, arg))
			argp_error(state, "--policy: '%s' is too long", arg);
		break;
	case KEY_THRESHOLDS:
		thresholds(state, arg, o);
		break;
	case KEY_FREQUENCY:
		o->create.freq_capacity = frequency(state, arg);
		break;
	case KEY_DUPLICATES:
		if (strcmp(arg, "allow") == 0)
			o->register_flags = KVBM_REGISTER_ALLOW;
		else if (strcmp(arg, "reject") == 0)
			o->register_flags = KVBM_REGISTER_REJECT;
		else
			argp_error(state, "--duplicates: allow or reject");
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
		return parse_generator(key, arg, state, &o->generator);
	}
	return 0;
}

static int get_trace(struct options *o, struct trace *trace)
{
	int ret;

	if (o->trace)
		return trace_load(trace, o->trace, o->limit);
	if (o->limit && o->limit < o->generator.requests)
		o->generator.requests = o->limit;
	ret = trace_generate(trace, &o->generator);
	return ret ? complain("cannot make a trace", ret) : 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = option_list,
		.parser = parse,
		.args_doc = "[TRACE]",
		.doc = "Replay a trace of inference requests against a kvbm store.\v"
		       "TRACE is a file of JSON lines with timestamp, input_length, output_length and hash_ids; - is standard input.",
	};
	struct options options = {
		.generator = GENERATOR_DEFAULTS,
		.register_flags = KVBM_REGISTER_REJECT,
		.workers = 1,
		.inflight = 1,
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
	if (get_trace(&options, &trace))
		return 1;
	if (options.kill_percent > 0) {
		options.kill_at = trace.nr_requests * options.kill_percent / 100;
		if (!options.kill_at)
			options.kill_at = 1;
	}
	if (options.kill_at > trace.nr_requests) {
		fprintf(stderr, "kvbm-replay: --kill-worker-at: the trace has only %zu requests\n",
			trace.nr_requests);
		ret = 1;
	} else if (options.emit_trace) {
		ret = trace_write(&trace, stdout) ? 1 : 0;
	} else {
		ret = replay_run(&options, &trace);
	}
	trace_free(&trace);
	return ret;
}
