// SPDX-License-Identifier: MIT
/* Tables, by libsmartcols. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <libsmartcols/libsmartcols.h>

#include "table.h"

#define MAX_COLUMNS	32

struct table {
	struct libscols_table *scols;
	struct libscols_line *line;	/* the current row */
	struct libscols_column *columns[MAX_COLUMNS];	/* NULL: not here */
	unsigned int flags[MAX_COLUMNS];
	size_t n, next;			/* columns; where the next cell goes */
	bool json, failed;
};

static struct table no_table = { .failed = true };

static void add_column(struct table *t, const struct table_column *c)
{
	struct libscols_column *column;
	int flags = 0, type = SCOLS_JSON_STRING;

	t->flags[t->n] = c->flags;
	t->columns[t->n++] = NULL;
	if (c->flags & (t->json ? TABLE_TEXT : TABLE_JSON))
		return;
	if (c->flags & (TABLE_NUMBER | TABLE_RIGHT))
		flags = SCOLS_FL_RIGHT;
	if (c->flags & TABLE_NUMBER)
		type = SCOLS_JSON_NUMBER;
	else if (c->flags & TABLE_BOOL)
		type = SCOLS_JSON_BOOLEAN;
	column = scols_table_new_column(t->scols, c->heading, 0, flags);
	if (!column || scols_column_set_json_type(column, type))
		t->failed = true;
	t->columns[t->n - 1] = column;
}

struct table *table_new(const char *name, const struct table_column *columns,
			size_t n, const struct common *args)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t || n > MAX_COLUMNS) {
		free(t);
		return &no_table;
	}
	t->json = args->json;
	t->scols = scols_new_table();
	if (!t->scols || scols_table_set_name(t->scols, name)) {
		t->failed = true;
		return t;
	}
	scols_table_enable_json(t->scols, args->json);
	scols_table_enable_noheadings(t->scols, args->no_headings);
	/* Truncated hashes and numbers are useless. */
	scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < n; i++)
		add_column(t, &columns[i]);
	return t;
}

void table_row(struct table *t)
{
	if (t->failed)
		return;
	t->line = scols_table_new_line(t->scols, NULL);
	t->failed = !t->line;
	t->next = 0;
}

/* Puts @data, which the table frees, into the next cell; NULL is nothing. */
static void put(struct table *t, char *data)
{
	struct libscols_column *column = t->columns[t->next++];

	if (!column || scols_line_refer_column_data(t->line, column, data)) {
		free(data);
		if (column)
			t->failed = true;
	}
}

/* Is there a cell for it? */
static bool wanted(struct table *t)
{
	if (t->failed || t->next >= t->n)
		return false;
	if (t->columns[t->next])
		return true;
	t->next++;
	return false;
}

void table_put(struct table *t, const char *format, ...)
{
	char *data = NULL;
	va_list args;

	if (!wanted(t))
		return;
	va_start(args, format);
	if (vasprintf(&data, format, args) < 0) {
		data = NULL;
		t->failed = true;
	}
	va_end(args);
	put(t, data);
}

void table_number(struct table *t, uint64_t value)
{
	table_put(t, "%llu", (unsigned long long)value);
}

void table_bool(struct table *t, bool value)
{
	table_put(t, "%s", value ? "yes" : "no");
}

void table_none(struct table *t)
{
	if (t->json && wanted(t))
		put(t, NULL);
	else if (!t->json)
		table_put(t, "-");
}

void table_chars(struct table *t, const char *value, size_t size)
{
	int len = strnlen(value, size);

	if (len)
		table_put(t, "%.*s", len, value);
	else
		table_none(t);
}

void table_hash(struct table *t, const struct kvbm_hash *hash)
{
	char text[34];

	format_hash(hash, text);
	table_put(t, "%s", text);
}

int table_print(struct table *t, FILE *out)
{
	bool failed = t->failed;

	if (!failed) {
		scols_table_set_stream(t->scols, out);
		failed = scols_print_table(t->scols);
	}
	scols_unref_table(t->scols);
	if (t != &no_table)
		free(t);
	return failed ? fail("%s", strerror(ENOMEM)) : STATUS_OK;
}
