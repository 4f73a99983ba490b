/* SPDX-License-Identifier: MIT */
/* All registered blocks of a store. */
#ifndef EXPORT_H
#define EXPORT_H

#include "kvbmctl.h"

/**
 * struct exported - the registered blocks of a store
 * @entries: an entry for each block
 * @n: how many
 * @note_bytes: bytes of a note; 0: there are none
 * @notes: the notes, in ascending order of block ids
 * @blocks: these
 */
struct exported {
	struct kvbm_export_entry *entries;
	uint32_t n;
	uint32_t note_bytes;
	uint8_t *notes;
	uint32_t *blocks;
};

/* 0 or -errno; call export_free() in both cases. */
int export_all(const struct target *t, struct exported *x);
void export_free(struct exported *x);
/* The note of one of these blocks; NULL: no notes. */
const uint8_t *export_note(const struct exported *x, uint32_t block);

/*
 * For qsort(): the order in which blocks must become inactive to get the same
 * eviction order; held ones come last.
 */
int export_by_order(const void *a, const void *b);

/* A hash's distance from its chain's beginning; 0 without a chain. */
uint32_t hash_depth(const struct kvbm_hash *hash);

#endif /* EXPORT_H */
