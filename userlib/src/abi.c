// SPDX-License-Identifier: MIT
/*
 * Sizes that programs were compiled with.
 *
 * The library clears, and the kernel fills, structures that the caller
 * allocated with the header it was compiled with.  When one of them grows, the
 * functions that take it need a new symbol version beside the old one, which
 * keeps the old size; change a number here only together with that.
 */
#include "internal.h"

#define KVBM_1_0(type, size)						\
	_Static_assert(sizeof(struct type) == (size),			\
		       "struct " #type " grew: add a symbol version")

KVBM_1_0(kvbm_features, 56);
KVBM_1_0(kvbm_store_create, 280);
KVBM_1_0(kvbm_store_info, 328);
KVBM_1_0(kvbm_counts, 88);
KVBM_1_0(kvbm_stats, 904);
KVBM_1_0(kvbm_block_info, 80);
KVBM_1_0(kvbm_store_access, 80);
KVBM_1_0(kvbm_session_revoke, 88);
KVBM_1_0(kvbm_expect, 64);
KVBM_1_0(kvbm_store_ref, 2 * sizeof(void *) < 16 ? 12 : 16);

/* Elements of arrays; listings pass the size of their elements. */
KVBM_1_0(kvbm_hash, 16);
KVBM_1_0(kvbm_store_entry, 88);
KVBM_1_0(kvbm_session_entry, 160);
KVBM_1_0(kvbm_hold_entry, 32);
KVBM_1_0(kvbm_registered, 16);
KVBM_1_0(kvbm_evicted, 24);
KVBM_1_0(kvbm_weak, 24);
KVBM_1_0(kvbm_hash_fields, 24);
KVBM_1_0(kvbm_uring_cmd, 16);
