/* SPDX-License-Identifier: MIT */
/*
 * Tables: one description, printed as text with or without a line of headings,
 * or as JSON.
 */
#ifndef KVBMCTL_TABLE_H
#define KVBMCTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "kvbmctl.h"

/* What a column has, and where it is. */
#define TABLE_NUMBER	0x1U	/* a number: to the right, bare in JSON */
#define TABLE_RIGHT	0x2U	/* to the right, a string in JSON */
#define TABLE_BOOL	0x4U	/* yes or no, true or false in JSON */
#define TABLE_TEXT	0x8U	/* in text only */
#define TABLE_JSON	0x10U	/* in JSON only */

/**
 * struct table_column - a column
 * @heading: its heading, in capitals; in lower case, its key in JSON
 * @flags: TABLE_*
 */
struct table_column {
	const char *heading;
	unsigned int flags;
};

struct table;

/*
 * Never NULL: without memory the table reports that when it is printed.
 * @name: of the array in JSON
 * @args: text or JSON, headings or none
 */
struct table *table_new(const char *name, const struct table_column *columns,
			size_t n, const struct common *args);

/* Another row; its cells follow, one for each column in either format. */
void table_row(struct table *t);
__attribute__((format(printf, 2, 3)))
void table_put(struct table *t, const char *format, ...);
void table_number(struct table *t, uint64_t value);
void table_bool(struct table *t, bool value);
/* @value with up to @size bytes, perhaps without a NUL; empty: nothing */
void table_chars(struct table *t, const char *value, size_t size);
void table_hash(struct table *t, const struct kvbm_hash *hash);
/* Nothing there: "-", or null. */
void table_none(struct table *t);

/* Prints and frees it; returns an exit status. */
int table_print(struct table *t, FILE *out);

#endif /* KVBMCTL_TABLE_H */
