// SPDX-License-Identifier: MIT
/* model-script [FILE]: what kvbmctl exec [FILE] must print. */
#include <stdlib.h>
#include <string.h>

#include "script.h"

int main(int argc, char **argv)
{
	FILE *in = stdin;
	struct script s;
	char *line = NULL;
	size_t size = 0;
	unsigned long n = 0;
	int status = 0;

	if (argc > 2) {
		fprintf(stderr, "usage: %s [FILE]\n", argv[0]);
		return 2;
	}
	if (argc == 2 && strcmp(argv[1], "-")) {
		in = fopen(argv[1], "r");
		if (!in) {
			perror(argv[1]);
			return 2;
		}
	}
	script_init(&s);
	while (getline(&line, &size, in) >= 0) {
		n++;
		if (!script_line(&s, line, stdout)) {
			fprintf(stderr, "line %lu: cannot be parsed\n", n);
			status = 1;
			break;
		}
	}
	if (s.m)
		model_check(s.m);
	script_exit(&s);
	free(line);
	if (in != stdin)
		fclose(in);
	return status;
}
