/* SPDX-License-Identifier: MIT */
/*
 * Reading the words of a command line.
 *
 * A word is wholly what it should be, or it is refused: no sign, blanks,
 * prefix or rest, and no number that is cut down to what fits.
 */
#ifndef KVBM_TOOLS_PARSE_H
#define KVBM_TOOLS_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvbm.h>

/* A decimal number up to @max. */
bool parse_number(const char *s, uint64_t max, uint64_t *value);
/* The same; K, M, G or k, m, g (1024) may follow. */
bool parse_size(const char *s, uint64_t max, uint64_t *value);
/* An octal number up to @max. */
bool parse_octal(const char *s, uint64_t max, uint64_t *value);
/* Up to 16 hexadecimal digits. */
bool parse_hex64(const char *s, uint64_t *value);
/* Pairs of hexadecimal digits, at most @room of them; how many, or -1. */
ssize_t parse_octets(const char *s, unsigned char *octets, size_t room);
/* A decimal fraction, perhaps with an exponent, not less than 0. */
bool parse_real(const char *s, double *value);
/* Three ascending numbers from 1 to 15, joined by commas. */
bool parse_thresholds(const char *s, __u32 thresholds[3]);

/* Does the library know an eviction policy of that name? */
bool policy_known(const char *name);
/* All policies of the library, joined by commas; static. */
const char *policy_list(void);
/* A help filter for argp: the text of option -p gets their names. */
char *policy_help(int key, const char *text, void *input);

/*
 * The one of @n names, each @stride bytes after the one before, that @word is
 * most like; NULL when it is like none.
 */
const char *most_like(const char *word, const char *const *names, size_t n,
		      size_t stride);
/* The policy that @word is most like, or NULL. */
const char *policy_like(const char *word);

#endif /* KVBM_TOOLS_PARSE_H */
