// SPDX-License-Identifier: MIT
/* All registered blocks of a store, and kvbmctl export, which prints them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"
#include "table.h"

#define STEP	4096

/* Grow by STEP. */
static int grow(struct exported *x)
{
	struct kvbm_export_entry *e;
	uint8_t *notes;

	e = reallocarray(x->entries, x->n + STEP, sizeof(*e));
	if (!e)
		return -ENOMEM;
	x->entries = e;
	if (!x->note_bytes)
		return 0;
	notes = reallocarray(x->notes, x->n + STEP, x->note_bytes);
	if (!notes)
		return -ENOMEM;
	x->notes = notes;
	return 0;
}

/* Find notes by block, whatever order the entries get. */
static int remember_blocks(struct exported *x)
{
	if (!x->note_bytes)
		return 0;
	x->blocks = calloc(x->n + !x->n, sizeof(*x->blocks));
	for (uint32_t i = 0; x->blocks && i < x->n; i++)
		x->blocks[i] = x->entries[i].block;
	return x->blocks ? 0 : -ENOMEM;
}

int export_all(const struct target *t, struct exported *x)
{
	struct kvbm_store_info info;
	uint64_t cursor = 0;
	int got;

	*x = (struct exported) { 0 };
	got = kvbm_store_info_of(t->fd, t->ref, &info);
	if (got < 0)
		return got;
	x->note_bytes = info.note_bytes;
	do {
		if (grow(x))
			return -ENOMEM;
		got = kvbm_export_notes(t->fd, t->ref, &cursor, STEP,
					x->entries + x->n,
					x->note_bytes ? x->notes + (size_t)x->n *
						x->note_bytes : NULL, NULL);
		if (got > 0)
			x->n += got;
	} while (got == STEP);
	return got < 0 ? got : remember_blocks(x);
}

void export_free(struct exported *x)
{
	free(x->entries);
	free(x->notes);
	free(x->blocks);
	*x = (struct exported) { 0 };
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

const uint8_t *export_note(const struct exported *x, uint32_t block)
{
	const uint32_t *found;

	if (!x->note_bytes)
		return NULL;
	found = bsearch(&block, x->blocks, x->n, sizeof(block), by_number);
	return found ? x->notes + (size_t)(found - x->blocks) * x->note_bytes :
		       NULL;
}

uint32_t hash_depth(const struct kvbm_hash *hash)
{
	struct kvbm_hash_fields fields;

	return kvbm_hash_unpack(hash, &fields) ? 0 : fields.position;
}

/* The order: inactive without a place, with a place, held. */
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
	/* Among those released together: children first. */
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
		.doc = "List a store's registered blocks in eviction order.",
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
		{ "NOTE", TABLE_JSON },
	};
	char text[2 * KVBM_MAX_NOTE_BYTES + 1];
	struct common args = { 0 };
	struct target target;
	struct table *table;
	struct exported x;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.n != 1) {
		fail("export takes the name of one store (see kvbmctl list)");
		return STATUS_USAGE;
	}
	if (open_target(&target, args.names[0]))
		return STATUS_FAILED;
	err = export_all(&target, &x);
	close(target.fd);
	if (err) {
		export_free(&x);
		return fail_request(args.names[0], err, "store '%s'",
				    args.names[0]);
	}
	qsort(x.entries, x.n, sizeof(*x.entries), export_by_order);
	/* The last column exists only with notes. */
	table = table_new("blocks", columns, sizeof(columns) /
			  sizeof(*columns) - !x.note_bytes, &args);
	for (uint32_t i = 0; i < x.n; i++) {
		const struct kvbm_export_entry *e = &x.entries[i];

		table_row(table);
		table_number(table, e->block);
		table_put(table, "%s", kvbm_state_name(e->state));
		table_number(table, e->rank);
		table_number(table, e->order);
		table_put(table, "%s", kvbm_rank_name(e->keep_rank));
		table_hash(table, &e->hash);
		table_number(table, e->generation);
		table_number(table, e->keep_until_ns);
		if (x.note_bytes)
			table_put(table, "%s",
				  note_text(export_note(&x, e->block),
					    x.note_bytes, text));
	}
	export_free(&x);
	return table_print(table, stdout);
}
