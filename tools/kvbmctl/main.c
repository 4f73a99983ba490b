// SPDX-License-Identifier: MIT
/* kvbmctl: find the command and run it. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "kvbmctl.h"

static command_fn cmd_help;

static const struct command {
	const char *name;
	command_fn *run;
	const char *help;
} commands[] = {
	{ "create", cmd_create, "create a named store" },
	{ "destroy", cmd_destroy, "destroy named stores" },
	{ "access", cmd_access, "change who may open and administer a store" },
	{ "list", cmd_list, "list stores" },
	{ "show", cmd_show, "show everything about a store" },
	{ "stats", cmd_stats, "print counters and gauges" },
	{ "metrics", cmd_metrics, "print statistics for Prometheus" },
	{ "top", cmd_top, "watch stores and their sessions" },
	{ "evictions", cmd_evictions, "show who evicts whose blocks" },
	{ "events", cmd_events, "follow what is stored and removed" },
	{ "sessions", cmd_sessions, "list a store's sessions" },
	{ "revoke", cmd_revoke, "take everything from a session and end it" },
	{ "block", cmd_block, "show blocks" },
	{ "presence", cmd_presence, "show which hashes are present" },
	{ "pending", cmd_pending, "show which hashes are being computed" },
	{ "match", cmd_match, "try a prefix match" },
	{ "reset", cmd_reset, "reset a store's inactive blocks" },
	{ "invalidate", cmd_invalidate, "forget hashes, prefixes, everything" },
	{ "keep", cmd_keep, "change which blocks are evicted first or last" },
	{ "export", cmd_export, "list a store's registered blocks" },
	{ "save", cmd_save, "save which blocks a store has registered" },
	{ "restore", cmd_restore, "register saved blocks in a new store" },
	{ "hash", cmd_hash, "make and split sequence hashes" },
	{ "features", cmd_features, "show what the module can do" },
	{ "exec", cmd_exec, "run a script of operations on a private store" },
	{ "help", cmd_help, "print the options of a command" },
};

#define N_COMMANDS	(sizeof(commands) / sizeof(*commands))

static const char doc[] =
	"Manage kvbm stores.\v"
	"\"kvbmctl help COMMAND\" prints the options of a command; kvbmctl(8) describes the rest.";

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
		/* The rest belongs to the command. */
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

static const struct argp argp = {
	.parser = parse,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = doc,
	.help_filter = filter,
};

static const struct command *find_command(const char *name)
{
	const char *like;

	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	like = most_like(name, &commands[0].name, N_COMMANDS,
			 sizeof(*commands));
	if (like)
		fail("no command '%s': did you mean '%s'? (see kvbmctl --help)",
		     name, like);
	else
		fail("no command '%s' (see kvbmctl --help)", name);
	return NULL;
}

/* @argv[0] is the command's. */
static int run_command(const struct command *command, int argc, char **argv)
{
	static char title[64];

	snprintf(title, sizeof(title), "kvbmctl %s", command->name);
	argv[0] = title;
	return command->run(argc, argv);
}

static int cmd_help(int argc, char **argv)
{
	char program[] = "kvbmctl", option[] = "--help";
	char *words[3] = { program, option };
	const struct command *command;

	if (argc > 2) {
		fail("help takes the name of one command");
		return STATUS_USAGE;
	}
	if (argc < 2 || *argv[1] == '-') {
		argp_parse(&argp, 2, words, ARGP_IN_ORDER, NULL, NULL);
		return STATUS_OK;
	}
	command = find_command(argv[1]);
	if (!command)
		return STATUS_USAGE;
	if (command->run == cmd_help)
		return cmd_help(1, argv);
	return run_command(command, 2, words);
}

int main(int argc, char **argv)
{
	struct main_args args = { 0 };
	const struct command *command;
	static char version[64];
	int status;

	/* For printable characters only; numbers do not depend on it. */
	setlocale(LC_CTYPE, "");
	argp_err_exit_status = STATUS_USAGE;
	snprintf(version, sizeof(version), "kvbmctl %s", kvbm_version());
	argp_program_version = version;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args);

	command = find_command(args.argv[0]);
	if (!command)
		return STATUS_USAGE;
	status = run_command(command, args.argc, args.argv);
	if (fflush(stdout) || ferror(stdout))
		return fail("cannot write to standard output");
	return status;
}
