// SPDX-License-Identifier: MIT
/* All registered blocks of a store, and kvbmctl export, which prints them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"
#include "table.h"

int export_all(const struct target *t, struct kvbm_export_entry **entries,
	       uint32_t *n)
{
	const uint32_t step = 4096;
	uint64_t cursor = 0;
	int got;

	*entries = NULL;
	*n = 0;
	do {
		struct kvbm_export_entry *p;

		p = reallocarray(*entries, *n + step, sizeof(*p));
		if (!p)
			return -ENOMEM;
		*entries = p;
		got = kvbm_export(t->fd, t->ref, &cursor, step, p + *n, NULL);
		if (got > 0)
			*n += got;
	} while (got == (int)step);
	return got < 0 ? got : 0;
}

uint32_t hash_depth(const struct kvbm_hash *hash)
{
	struct kvbm_hash_fields fields;

	return kvbm_hash_unpack(hash, &fields) ? 0 : fields.position;
}

/* What is first: idle without a place, in line, held. */
static int kind(const struct kvbm_export_entry *e)
{
	return e->state != KVBM_STATE_INACTIVE ? 2 : e->order != 0;
}

int export_by_order(const void *a, const void *b)
{
	const struct kvbm_export_entry *x = a, *y = b;
	uint32_t dx, dy;

	if (kind(x) != kind(y))
		return kind(x) - kind(y);
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	/* Of those that are released together: children first. */
	dx = hash_depth(&x->hash);
	dy = hash_depth(&y->hash);
	if (dx != dy)
		return dx > dy ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

int cmd_export(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_JSON, OPTION_NO_HEADINGS, { 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_common,
		.args_doc = "NAME",
		.doc = "List the blocks that a store has registered, those that are evicted first before the others.",
	};
	static const struct table_column columns[] = {
		{ "BLOCK", TABLE_NUMBER },
		{ "STATE", 0 },
		{ "RANK", TABLE_NUMBER },
		{ "ORDER", TABLE_NUMBER },
		{ "KEEP", 0 },
		{ "HASH", 0 },
		{ "GENERATION", TABLE_NUMBER | TABLE_JSON },
		{ "KEEP_UNTIL_NS", TABLE_NUMBER | TABLE_JSON },
	};
	struct kvbm_export_entry *entries;
	struct common args = { 0 };
	struct target target;
	struct table *table;
	uint32_t n;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 1) {
		fail("export takes the name of one store (see kvbmctl list)");
		return STATUS_USAGE;
	}
	if (open_target(&target, args.names[0]))
		return STATUS_FAILED;
	err = export_all(&target, &entries, &n);
	close(target.fd);
	if (err) {
		free(entries);
		return fail_request(args.names[0], err, "store '%s'",
				    args.names[0]);
	}
	qsort(entries, n, sizeof(*entries), export_by_order);
	table = table_new("blocks", columns,
			  sizeof(columns) / sizeof(*columns), &args);
	for (uint32_t i = 0; i < n; i++) {
		const struct kvbm_export_entry *e = &entries[i];

		table_row(table);
		table_number(table, e->block);
		table_put(table, "%s", kvbm_state_name(e->state));
		table_number(table, e->rank);
		table_number(table, e->order);
		table_put(table, "%s", kvbm_rank_name(e->keep_rank));
		table_hash(table, &e->hash);
		table_number(table, e->generation);
		table_number(table, e->keep_until_ns);
	}
	free(entries);
	return table_print(table, stdout);
}
