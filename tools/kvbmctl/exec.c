// SPDX-License-Identifier: MIT
/* kvbmctl exec: runs a script in the language of kvbm-script(5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "script.h"

struct exec_args {
	const char *file;
	bool parse_only;
};

/* The position in the script, for messages. */
static const char *script_name;
static unsigned long script_line;
static bool disagreed;

static void complain(const char *text)
{
	fflush(stdout);
	fprintf(stderr, "kvbmctl: %s:%lu: %s\n", script_name, script_line,
		text);
	disagreed = true;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct exec_args *args = state->input;

	switch (key) {
	case 'n':
		args->parse_only = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one script at a time");
		args->file = arg;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* A script may open as many sessions as the system allows. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int cmd_exec(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "parse-only", 'n', NULL, 0,
		  "Only check that the script can be parsed", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[FILE]",
		.doc = "Run the operations in FILE (or standard input), one per line, on an anonymous store, and print one line for each.\v"
		       "kvbm-script(5) describes the language.",
	};
	struct exec_args args = { .file = "-" };
	struct script *s = NULL;
	FILE *in = stdin;
	struct stat st;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	script_name = "standard input";
	if (strcmp(args.file, "-")) {
		script_name = args.file;
		in = fopen(args.file, "re");
		if (!in)
			return fail("cannot open %s: %s", args.file,
				    strerror(errno));
	}
	/* A program at the other end of a pipe waits for each result. */
	if (fstat(fileno(in), &st) || !S_ISREG(st.st_mode))
		setvbuf(stdout, NULL, _IOLBF, 0);

	if (!args.parse_only) {
		int control = open_control();

		if (control < 0)
			return STATUS_FAILED;
		close(control);
		raise_limits();
		s = script_start(&script_kernel, complain);
		if (!s)
			return fail("%s", strerror(ENOMEM));
	}
	err = script_run_file(s, in, stdout, &script_line, complain);
	if (s)
		script_end(s);
	if (in != stdin)
		fclose(in);
	return err || disagreed ? STATUS_FAILED : STATUS_OK;
}
