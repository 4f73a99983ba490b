// SPDX-License-Identifier: MIT
/* model-script [FILE]: prints what kvbmctl exec [FILE] must print. */
#include <stdlib.h>
#include <string.h>

#include "script_model.h"

static const char *name = "standard input";
static unsigned long line;
static bool disagreed;

static void complain(const char *text)
{
	fflush(stdout);
	fprintf(stderr, "model-script: %s:%lu: %s\n", name, line, text);
	disagreed = true;
}

int main(int argc, char **argv)
{
	FILE *in = stdin;
	struct script *s;
	int err;

	if (argc > 2) {
		fprintf(stderr, "usage: %s [FILE]\n", argv[0]);
		return 2;
	}
	if (argc == 2 && strcmp(argv[1], "-")) {
		name = argv[1];
		in = fopen(name, "r");
		if (!in) {
			perror(name);
			return 2;
		}
	}
	s = script_start(&script_model, complain);
	M_ASSERT(s);
	err = script_run_file(s, in, stdout, &line, complain);
	script_end(s);
	if (in != stdin)
		fclose(in);
	return err || disagreed ? 1 : 0;
}
