// SPDX-License-Identifier: MIT
/*
 * Sizes that programs were compiled with.
 *
 * The library clears, and the kernel fills, structures that the caller
 * allocated by the header of its day.  When one of them grows, the functions
 * that take it need a new symbol version beside the old one, which keeps the
 * old size; change a number here only together with that.
 */
#include "internal.h"

#define KVBM_1_0(type, size)						\
	_Static_assert(sizeof(struct type) == (size),			\
		       "struct " #type " grew: add a symbol version")

KVBM_1_0(kvbm_features, 32);
KVBM_1_0(kvbm_store_create, 144);
KVBM_1_0(kvbm_store_info, 128);
KVBM_1_0(kvbm_counts, 40);
KVBM_1_0(kvbm_stats, 216);
KVBM_1_0(kvbm_block_info, 56);

/* Elements of arrays, which cannot grow at all. */
KVBM_1_0(kvbm_hash, 16);
KVBM_1_0(kvbm_store_entry, 64);
KVBM_1_0(kvbm_session_entry, 64);
KVBM_1_0(kvbm_registered, 8);
KVBM_1_0(kvbm_weak, 24);
KVBM_1_0(kvbm_hash_fields, 24);
KVBM_1_0(kvbm_uring_cmd, 16);
