/* SPDX-License-Identifier: MIT */
/* Just enough to print TAP: plan at the end, status 1 after a failure. */
#ifndef KVBM_TESTS_TAP_H
#define KVBM_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_tests, tap_failed;

#define ok(cond, ...)							\
	tap_result((cond), __FILE__, __LINE__, #cond, __VA_ARGS__)

__attribute__((format(printf, 5, 6)))
static inline bool tap_result(bool good, const char *file, int line,
			      const char *cond, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (!good) {
		printf("# %s:%d: not true: %s\n", file, line, cond);
		tap_failed++;
	}
	return good;
}

static inline int tap_end(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failed != 0;
}

#endif /* KVBM_TESTS_TAP_H */
