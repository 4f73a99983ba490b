/* SPDX-License-Identifier: MIT */
/* All registered blocks of a store. */
#ifndef EXPORT_H
#define EXPORT_H

#include "kvbmctl.h"

/* 0 or -errno; in both cases the array is the caller's to free. */
int export_all(const struct target *t, struct kvbm_export_entry **entries,
	       uint32_t *n);

/*
 * For qsort(): in the order in which they are to become idle to have the order
 * of eviction again; what is held comes last.
 */
int export_by_order(const void *a, const void *b);

/* How far a hash is from its chain's beginning; 0 where there is no chain. */
uint32_t hash_depth(const struct kvbm_hash *hash);

#endif /* EXPORT_H */
