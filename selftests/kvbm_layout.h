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
SIZE(kvbm_features, 56);
AT(kvbm_features, max_block_size, 32);
SIZE(kvbm_store_create, 280);
AT(kvbm_store_create, monitor_gid, 60);
AT(kvbm_store_create, fd, 76);
AT(kvbm_store_create, store_id, 80);
AT(kvbm_store_create, need, 88);
AT(kvbm_store_create, name, 96);
AT(kvbm_store_create, block_bytes, 128);
AT(kvbm_store_create, payload_fd, 136);
AT(kvbm_store_create, digest, 144);
AT(kvbm_store_create, label, 176);
AT(kvbm_store_create, note_bytes, 240);
AT(kvbm_store_create, keep_blocks, 248);
AT(kvbm_store_create, reserved, 256);
SIZE(kvbm_store_destroy, 48);
AT(kvbm_store_destroy, store_id, 8);
AT(kvbm_store_destroy, name, 16);
SIZE(kvbm_store_access, 80);
AT(kvbm_store_access, uid, 48);
AT(kvbm_store_access, reserved, 64);
SIZE(kvbm_store_entry, 88);
AT(kvbm_store_entry, name, 8);
AT(kvbm_store_entry, total_blocks, 40);
AT(kvbm_store_entry, memory, 72);
SIZE(kvbm_store_list, 40);
AT(kvbm_store_list, entry_size, 20);
AT(kvbm_store_list, entries, 32);
SIZE(kvbm_store_info, 328);
AT(kvbm_store_info, name, 16);
AT(kvbm_store_info, total_blocks, 48);
AT(kvbm_store_info, uid, 96);
AT(kvbm_store_info, policy, 120);
AT(kvbm_store_info, memory, 136);
AT(kvbm_store_info, block_bytes, 176);
AT(kvbm_store_info, digest, 200);
AT(kvbm_store_info, label, 232);
AT(kvbm_store_info, page_bytes, 296);
AT(kvbm_store_info, keep_blocks, 312);
AT(kvbm_store_info, reserved, 320);
SIZE(kvbm_session_open, 16);
SIZE(kvbm_session_config, 16);
SIZE(kvbm_session_entry, 160);
AT(kvbm_session_entry, holds, 32);
AT(kvbm_session_entry, held, 48);
AT(kvbm_session_entry, comm, 80);
SIZE(kvbm_session_list, 80);
AT(kvbm_session_list, count, 48);
AT(kvbm_session_list, entries, 72);
SIZE(kvbm_session_revoke, 88);
AT(kvbm_session_revoke, session_id, 48);
AT(kvbm_session_revoke, reclaimed, 72);
SIZE(kvbm_counts, 88);
AT(kvbm_counts, total, 48);
SIZE(kvbm_stats, 48 + (50 + 24 + 33) * 8);
AT(kvbm_stats, wait_histogram, 48 + 50 * 8);
AT(kvbm_stats, evicted_idle_histogram, 48 + (50 + 24) * 8);
AT(kvbm_stats, allocations, 48);
SIZE(kvbm_block_info, 80);
AT(kvbm_block_info, holds, 24);
AT(kvbm_block_info, sessions, 36);
AT(kvbm_block_info, hash, 40);
AT(kvbm_block_info, keep_until_ns, 64);
AT(kvbm_block_info, note, 72);
SIZE(kvbm_hold_entry, 32);
AT(kvbm_hold_entry, hash, 16);
SIZE(kvbm_holds, 40);
AT(kvbm_holds, entries, 32);
SIZE(kvbm_reset_inactive, 56);
AT(kvbm_reset_inactive, done, 48);
SIZE(kvbm_evicted, 24);
AT(kvbm_evicted, block, 16);
SIZE(kvbm_export_entry, 56);
AT(kvbm_export_entry, order, 32);
AT(kvbm_export_entry, sequence, 40);
AT(kvbm_export_entry, keep_until_ns, 48);
SIZE(kvbm_export, 96);
AT(kvbm_export, count, 48);
AT(kvbm_export, entries, 72);
AT(kvbm_export, notes, 88);
SIZE(kvbm_events, 88);
AT(kvbm_events, types, 48);
AT(kvbm_events, next, 56);
AT(kvbm_events, reserved, 72);
SIZE(kvbm_event, 64);
AT(kvbm_event, hash, 24);
AT(kvbm_event, type, 48);
AT(kvbm_event, noted, 52);
AT(kvbm_event, count, 56);
SIZE(kvbm_payload, 48);
AT(kvbm_payload, fd, 40);
SIZE(kvbm_alloc, 72);
AT(kvbm_alloc, evicted, 16);
AT(kvbm_alloc, error, 20);
AT(kvbm_alloc, ids, 24);
AT(kvbm_alloc, deadline_ns, 40);
AT(kvbm_alloc, ticket, 48);
SIZE(kvbm_stage, 72);
AT(kvbm_stage, error, 16);
AT(kvbm_stage, ids, 24);
AT(kvbm_stage, notes, 48);
SIZE(kvbm_ids, 40);
AT(kvbm_ids, error, 16);
AT(kvbm_ids, ids, 24);
SIZE(kvbm_registered, 16);
SIZE(kvbm_register, 72);
AT(kvbm_register, error, 16);
AT(kvbm_register, ids, 24);
AT(kvbm_register, notes, 48);
SIZE(kvbm_match, 72);
AT(kvbm_match, error, 20);
AT(kvbm_match, hashes, 24);
AT(kvbm_match, generations, 40);
AT(kvbm_match, notes, 48);
AT(kvbm_match, pending, 56);
SIZE(kvbm_invalidate, 80);
AT(kvbm_invalidate, count, 48);
AT(kvbm_invalidate, hashes, 56);
AT(kvbm_invalidate, idle, 64);
SIZE(kvbm_wait, 56);
AT(kvbm_wait, hashes, 16);
AT(kvbm_wait, pending, 32);
SIZE(kvbm_watch, 48);
AT(kvbm_watch, pending, 12);
AT(kvbm_watch, hashes, 16);
SIZE(kvbm_ticket, 16);
SIZE(kvbm_offer, 56);
AT(kvbm_offer, fd, 12);
AT(kvbm_offer, ids, 16);
AT(kvbm_offer, ticket, 24);
SIZE(kvbm_accept, 72);
AT(kvbm_accept, error, 20);
AT(kvbm_accept, ids, 24);
AT(kvbm_accept, ticket, 32);
AT(kvbm_accept, session, 48);
SIZE(kvbm_withdraw, 48);
AT(kvbm_withdraw, ticket, 8);
AT(kvbm_withdraw, done, 24);
SIZE(kvbm_keep, 72);
AT(kvbm_keep, error, 16);
AT(kvbm_keep, ids, 24);
AT(kvbm_keep, until_ns, 40);
SIZE(kvbm_weak, 24);
AT(kvbm_weak, hash, 8);
SIZE(kvbm_upgrade, 56);
AT(kvbm_upgrade, error, 20);
AT(kvbm_upgrade, generations, 40);
SIZE(kvbm_query, 48);
AT(kvbm_query, error, 16);
SIZE(kvbm_uring_cmd, 16);

#undef SIZE
#undef AT

#endif /* KVBM_LAYOUT_H */
