/* SPDX-License-Identifier: MIT */
/*
 * Sizes and offsets of the binary interface, the same for 32-bit and 64-bit
 * programs, for ever.
 */
#ifndef KVBM_LAYOUT_H
#define KVBM_LAYOUT_H

#include <stddef.h>
#include <linux/kvbm.h>

#define SIZE(type, bytes) \
	_Static_assert(sizeof(struct type) == (bytes), #type)
#define AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #type #field)

SIZE(kvbm_hash, 16);
SIZE(kvbm_features, 32);
SIZE(kvbm_store_create, 144);
AT(kvbm_store_create, store_id, 72);
AT(kvbm_store_create, name, 80);
AT(kvbm_store_create, reserved, 112);
SIZE(kvbm_store_destroy, 40);
SIZE(kvbm_store_entry, 64);
SIZE(kvbm_store_list, 32);
AT(kvbm_store_list, entries, 24);
SIZE(kvbm_store_info, 128);
AT(kvbm_store_info, memory, 56);
SIZE(kvbm_session_open, 16);
SIZE(kvbm_session_config, 16);
SIZE(kvbm_session_entry, 64);
AT(kvbm_session_entry, held, 24);
SIZE(kvbm_session_list, 32);
SIZE(kvbm_session_revoke, 24);
SIZE(kvbm_counts, 40);
SIZE(kvbm_stats, 8 + 26 * 8);
AT(kvbm_stats, allocations, 8);
SIZE(kvbm_block_info, 56);
AT(kvbm_block_info, holds, 24);
AT(kvbm_block_info, hash, 40);
SIZE(kvbm_reset_inactive, 16);
SIZE(kvbm_alloc, 48);
AT(kvbm_alloc, ids, 24);
AT(kvbm_alloc, deadline_ns, 40);
SIZE(kvbm_stage, 48);
AT(kvbm_stage, ids, 16);
SIZE(kvbm_ids, 32);
SIZE(kvbm_registered, 8);
SIZE(kvbm_register, 48);
SIZE(kvbm_match, 40);
AT(kvbm_match, hashes, 24);
SIZE(kvbm_weak, 24);
AT(kvbm_weak, hash, 8);
SIZE(kvbm_upgrade, 40);
SIZE(kvbm_query, 32);
SIZE(kvbm_uring_cmd, 16);

#undef SIZE
#undef AT

#endif /* KVBM_LAYOUT_H */
