// SPDX-License-Identifier: MIT
/* Runs a file of script lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

static int run_line(struct script *s, struct script_cmd *cmd, char *text,
		    size_t len, FILE *out, void (*complain)(const char *text))
{
	const char *why = "";
	int got;

	if (strlen(text) != len) {
		got = -EINVAL;
		why = "a NUL byte";
	} else {
		got = script_parse(cmd, text, &why);
	}
	if (got == -EINVAL) {
		complain(why);
		return -EINVAL;
	}
	if (got == 1)
		got = s ? script_run(s, cmd, out) : 0;
	if (got < 0)
		complain(strerror(-got));
	return got;
}

int script_run_file(struct script *s, FILE *in, FILE *out, unsigned long *line,
		    void (*complain)(const char *text))
{
	struct script_cmd cmd = { 0 };
	char *text = NULL;
	size_t room = 0;
	ssize_t len;
	int err = 0;

	for (*line = 1; (len = getline(&text, &room, in)) >= 0; ++*line) {
		err = run_line(s, &cmd, text, len, out, complain);
		if (err)
			break;
	}
	if (!err && ferror(in)) {
		complain("cannot continue reading");
		err = -EIO;
	}
	free(text);
	script_cmd_free(&cmd);
	return err;
}
