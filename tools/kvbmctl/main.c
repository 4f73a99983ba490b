// SPDX-License-Identifier: MIT
/* kvbmctl: finds the command and hands over to it. */
#include <stdlib.h>
#include <string.h>

#include "kvbmctl.h"

static const struct {
	const char *name;
	command_fn *run;
	const char *help;
} commands[] = {
	{ "create", cmd_create, "create a named store" },
	{ "destroy", cmd_destroy, "destroy named stores" },
	{ "list", cmd_list, "list stores" },
	{ "show", cmd_show, "show all about a store" },
	{ "stats", cmd_stats, "print counters and gauges" },
	{ "top", cmd_top, "watch stores and their sessions" },
	{ "sessions", cmd_sessions, "list a store's sessions" },
	{ "revoke", cmd_revoke, "take everything from a session and end it" },
	{ "block", cmd_block, "show blocks" },
	{ "presence", cmd_presence, "tell which hashes are there" },
	{ "match", cmd_match, "try a prefix match" },
	{ "reset", cmd_reset, "forget a store's idle blocks" },
	{ "hash", cmd_hash, "make sequence hashes and take them apart" },
	{ "features", cmd_features, "show what the module can do" },
	{ "exec", cmd_exec, "run a script of operations on a store of its own" },
};

#define N_COMMANDS	(sizeof(commands) / sizeof(*commands))

static const char doc[] =
	"Manage kvbm stores.\v"
	"Each command has its own --help. kvbmctl(8) tells the rest.";

static char *filter(int key, const char *text, void *input)
{
	char *out;
	size_t len;
	FILE *f;

	if (key != ARGP_KEY_HELP_PRE_DOC)
		return (char *)text;
	f = open_memstream(&out, &len);
	if (!f)
		return (char *)text;
	fprintf(f, "%s\n\nCommands:\n", text);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(f, "\nOptions:");
	fclose(f);
	return out;
}

struct main_args {
	int argc;
	char **argv;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct main_args *args = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		/* The command's own words are not ours. */
		args->argv = &state->argv[state->next - 1];
		args->argc = state->argc - state->next + 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!args->argc)
			argp_error(state, "a command is missing");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "COMMAND [ARGUMENT...]",
		.doc = doc,
		.help_filter = filter,
	};
	struct main_args args = { 0 };
	static char title[64], version[64];
	int status;

	argp_err_exit_status = STATUS_USAGE;
	snprintf(version, sizeof(version), "kvbmctl %s", kvbm_version());
	argp_program_version = version;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args);

	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(args.argv[0], commands[i].name))
			continue;
		snprintf(title, sizeof(title), "kvbmctl %s", commands[i].name);
		args.argv[0] = title;
		status = commands[i].run(args.argc, args.argv);
		if (fflush(stdout) || ferror(stdout))
			return fail("cannot write to standard output");
		return status;
	}
	fprintf(stderr, "kvbmctl: no command '%s' (see kvbmctl --help)\n",
		args.argv[0]);
	return STATUS_USAGE;
}
