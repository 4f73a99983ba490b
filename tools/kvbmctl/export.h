/* SPDX-License-Identifier: MIT */
/* All registered blocks of a store. */
#ifndef EXPORT_H
#define EXPORT_H

#include "kvbmctl.h"

/**
 * struct exported - what a store has registered
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

/* 0 or -errno; in both cases export_free() it. */
int export_all(const struct target *t, struct exported *x);
void export_free(struct exported *x);
/* The note of a block that is among them; NULL: there are none. */
const uint8_t *export_note(const struct exported *x, uint32_t block);

/*
 * For qsort(): in the order in which they are to become idle to have the order
 * of eviction again; what is held comes last.
 */
int export_by_order(const void *a, const void *b);

/* How far a hash is from its chain's beginning; 0 where there is no chain. */
uint32_t hash_depth(const struct kvbm_hash *hash);

#endif /* EXPORT_H */
