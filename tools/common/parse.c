// SPDX-License-Identifier: MIT
/* Reading the words of a command line. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kvbm.h>

#include "parse.h"

/* The digits of a number that begins at @s; what follows them, or NULL. */
static const char *read_digits(const char *s, unsigned int base,
			       uint64_t *value)
{
	uint64_t v = 0;

	if (!(*s >= '0' && (unsigned int)(*s - '0') < base))
		return NULL;
	for (; *s >= '0' && (unsigned int)(*s - '0') < base; s++)
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, *s - '0', &v))
			return NULL;
	*value = v;
	return s;
}

static bool parse_base(const char *s, unsigned int base, uint64_t max,
		       uint64_t *value)
{
	uint64_t v;

	s = read_digits(s, base, &v);
	if (!s || *s || v > max)
		return false;
	*value = v;
	return true;
}

bool parse_number(const char *s, uint64_t max, uint64_t *value)
{
	return parse_base(s, 10, max, value);
}

bool parse_octal(const char *s, uint64_t max, uint64_t *value)
{
	return parse_base(s, 8, max, value);
}

bool parse_size(const char *s, uint64_t max, uint64_t *value)
{
	int shift = 0;
	uint64_t v;

	s = read_digits(s, 10, &v);
	if (!s)
		return false;
	switch (*s) {
	case 'G':
	case 'g':
		shift += 10;
		/* fall through */
	case 'M':
	case 'm':
		shift += 10;
		/* fall through */
	case 'K':
	case 'k':
		shift += 10;
		s++;
	}
	if (*s || v > max >> shift)
		return false;
	*value = v << shift;
	return true;
}

bool parse_hex64(const char *s, uint64_t *value)
{
	size_t len = strlen(s);

	if (!len || len > 16 || strspn(s, "0123456789abcdefABCDEF") != len)
		return false;
	*value = strtoull(s, NULL, 16);
	return true;
}

bool parse_real(const char *s, double *value)
{
	char *end;
	double x;

	/* strtod() would take blanks, signs, "nan" and "0x1p3", too. */
	if ((!isdigit((unsigned char)*s) && *s != '.') ||
	    s[strspn(s, "0123456789.eE+-")])
		return false;
	errno = 0;
	x = strtod(s, &end);
	if (errno || *end || !isfinite(x))
		return false;
	*value = x;
	return true;
}

bool parse_thresholds(const char *s, __u32 thresholds[3])
{
	uint64_t t[3];

	for (int i = 0; i < 3; i++) {
		s = read_digits(s, 10, &t[i]);
		if (!s || *s++ != (i < 2 ? ',' : '\0') || t[i] > 15 ||
		    t[i] <= (i ? t[i - 1] : 0))
			return false;
	}
	for (int i = 0; i < 3; i++)
		thresholds[i] = t[i];
	return true;
}

bool policy_known(const char *name)
{
	const char *known;

	for (unsigned int i = 0; (known = kvbm_policy_name(i)); i++)
		if (!strcmp(name, known))
			return true;
	return false;
}

const char *policy_list(void)
{
	static char list[512];
	size_t used = 0;
	const char *name;

	for (unsigned int i = 0; (name = kvbm_policy_name(i)); i++) {
		int n = snprintf(list + used, sizeof(list) - used, "%s%s",
				 i ? ", " : "", name);

		if (n < 0 || (size_t)n >= sizeof(list) - used)
			break;
		used += n;
	}
	return list;
}

char *policy_help(int key, const char *text, void *input)
{
	char *out;

	(void)input;
	if (key != 'p' || asprintf(&out, "%s: %s (default: %s)", text,
				   policy_list(), kvbm_policy_name(0)) < 0)
		return (char *)text;
	return out;
}

/*
 * How many characters have to be put in, left out, replaced or swapped with
 * the next one to make one word of the other. Words longer than the tables
 * here are like none.
 */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t d[33][33];

	if (n > 32 || m > 32)
		return SIZE_MAX;
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			size_t best = i + j, other;

			if (i && j) {
				best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
				other = d[i - 1][j] + 1;
				best = other < best ? other : best;
				other = d[i][j - 1] + 1;
				best = other < best ? other : best;
			}
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[n][m];
}

const char *most_like(const char *word, const char *const *names, size_t n,
		      size_t stride)
{
	/* Up to a third of the word may be wrong. */
	size_t best = strlen(word) / 3 + 1;
	const char *like = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *name = *(const char *const *)
				   ((const char *)names + i * stride);
		size_t d = distance(word, name);

		if (*word && d <= best && (!like || d < best)) {
			best = d;
			like = name;
		}
	}
	return like;
}

const char *policy_like(const char *word)
{
	const char *names[32];
	unsigned int n = 0;

	while (n < 32 && (names[n] = kvbm_policy_name(n)))
		n++;
	return most_like(word, names, n, sizeof(*names));
}

ssize_t parse_octets(const char *s, unsigned char *octets, size_t room)
{
	size_t len = strlen(s), n = len / 2;
	char digits[3] = "";
	uint64_t value;

	if (len % 2 || n > room)
		return -1;
	for (size_t i = 0; i < n; i++) {
		memcpy(digits, s + 2 * i, 2);
		if (!parse_hex64(digits, &value))
			return -1;
		octets[i] = value;
	}
	return n;
}
