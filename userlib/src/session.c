// SPDX-License-Identifier: MIT
/* Requests about a store, its sessions and its blocks. */
#include "internal.h"

int kvbm_features(int fd, struct kvbm_features *features)
{
	return kvbm_query_ioctl(fd, KVBM_IOC_FEATURES, features);
}

/* A query about a store, whose result fills the structure. */
#define kvbm_ask(fd, ref, request, p) ({				\
	int err_;							\
									\
	memset((p), 0, sizeof(*(p)));					\
	(p)->size = sizeof(*(p));					\
	err_ = kvbm_fill_ref((ref), &(p)->store_id, (p)->name);		\
	err_ ? err_ : kvbm_ioctl((fd), (request), (p));			\
})

int kvbm_store_info_of(int control, const struct kvbm_store_ref *ref,
		       struct kvbm_store_info *info)
{
	return kvbm_ask(control, ref, KVBM_IOC_STORE_INFO, info);
}

int kvbm_store_info(int session, struct kvbm_store_info *info)
{
	return kvbm_store_info_of(session, NULL, info);
}

int kvbm_counts_of(int control, const struct kvbm_store_ref *ref,
		   struct kvbm_counts *counts)
{
	return kvbm_ask(control, ref, KVBM_IOC_COUNTS, counts);
}

int kvbm_counts(int session, struct kvbm_counts *counts)
{
	return kvbm_counts_of(session, NULL, counts);
}

int kvbm_stats_of(int control, const struct kvbm_store_ref *ref,
		  struct kvbm_stats *stats)
{
	return kvbm_ask(control, ref, KVBM_IOC_STATS, stats);
}

int kvbm_stats(int session, struct kvbm_stats *stats)
{
	return kvbm_stats_of(session, NULL, stats);
}

int kvbm_reset_inactive_of(int control, const struct kvbm_store_ref *ref,
			   bool *whole, uint32_t *done)
{
	struct kvbm_reset_inactive args;
	int ret = kvbm_ask(control, ref, KVBM_IOC_RESET_INACTIVE, &args);

	kvbm_put(whole, !!(args.flags & KVBM_RESET_WHOLE));
	kvbm_put(done, args.done);
	return ret < 0 ? ret : (int)args.done;
}

int kvbm_invalidate_of(int control, const struct kvbm_store_ref *ref,
		       uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t flags, uint32_t *idle, uint32_t *held)
{
	struct kvbm_invalidate args = {
		.size = sizeof(args),
		.flags = flags,
		.count = n,
		.hashes = (uintptr_t)hashes,
	};
	int ret = kvbm_fill_ref(ref, &args.store_id, args.name);

	if (!ret)
		ret = kvbm_ioctl(control, KVBM_IOC_INVALIDATE, &args);
	kvbm_put(idle, args.idle);
	kvbm_put(held, args.held);
	return ret;
}

int kvbm_invalidate(int session, uint32_t n, const struct kvbm_hash *hashes,
		    uint32_t flags, uint32_t *idle, uint32_t *held)
{
	return kvbm_invalidate_of(session, NULL, n, hashes, flags, idle, held);
}

int kvbm_reset_inactive(int session, bool *whole, uint32_t *done)
{
	return kvbm_reset_inactive_of(session, NULL, whole, done);
}

int kvbm_session_open(int session)
{
	struct kvbm_session_open args = {
		.size = sizeof(args),
		.fd = -1,
	};
	int ret = kvbm_ioctl(session, KVBM_IOC_SESSION_OPEN, &args);

	return ret < 0 ? ret : args.fd;
}

int kvbm_session_config(int session, uint32_t low_watermark)
{
	struct kvbm_session_config args = {
		.size = sizeof(args),
		.low_watermark = low_watermark,
	};

	return kvbm_ioctl(session, KVBM_IOC_SESSION_CONFIG, &args);
}

int kvbm_session_list_of(int fd, const struct kvbm_store_ref *ref,
			 uint64_t *cursor, uint32_t count,
			 struct kvbm_session_entry *entries, uint32_t *total)
{
	struct kvbm_session_list args = {
		.size = sizeof(args),
		.count = count,
		.entry_size = sizeof(*entries),
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
	};
	int ret = kvbm_fill_ref(ref, &args.store_id, args.name);

	if (!ret)
		ret = kvbm_ioctl(fd, KVBM_IOC_SESSION_LIST, &args);
	return listed(ret, args.done, total, args.total, cursor, args.cursor);
}

int kvbm_session_list(int session, uint32_t count,
		      struct kvbm_session_entry *entries, uint32_t *total)
{
	uint64_t cursor = 0;

	return kvbm_session_list_of(session, NULL, &cursor, count, entries,
				    total);
}

int kvbm_revoke_of(int fd, const struct kvbm_store_ref *ref,
		   struct kvbm_session_revoke *revoke)
{
	int err = kvbm_fill_ref(ref, &revoke->store_id, revoke->name);

	revoke->size = sizeof(*revoke);
	revoke->sessions = 0;
	revoke->reserved32 = 0;
	revoke->reclaimed = 0;
	revoke->reserved = 0;
	return err ? err : kvbm_ioctl(fd, KVBM_IOC_SESSION_REVOKE, revoke);
}

int kvbm_session_revoke(int session, uint64_t session_id, uint64_t *reclaimed)
{
	struct kvbm_session_revoke args = { .session_id = session_id };
	int ret = kvbm_revoke_of(session, NULL, &args);

	kvbm_put(reclaimed, args.reclaimed);
	return ret;
}

int kvbm_holds(int session, uint64_t *cursor, uint32_t count,
	       struct kvbm_hold_entry *entries, uint32_t *total)
{
	struct kvbm_holds args = {
		.size = sizeof(args),
		.count = count,
		.entry_size = sizeof(*entries),
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
	};
	int ret = kvbm_ioctl(session, KVBM_IOC_HOLDS, &args);

	return listed(ret, args.done, total, args.total, cursor, args.cursor);
}

int kvbm_export(int fd, const struct kvbm_store_ref *ref, uint64_t *cursor,
		uint32_t count, struct kvbm_export_entry *entries,
		uint32_t *total)
{
	return kvbm_export_notes(fd, ref, cursor, count, entries, NULL, total);
}

int kvbm_block_info(int session, uint32_t block, struct kvbm_block_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->block = block;
	return kvbm_ioctl(session, KVBM_IOC_BLOCK_INFO, info);
}

int kvbm_weak(int session, uint32_t block, struct kvbm_weak *weak)
{
	/* What others hold does not matter. */
	struct kvbm_block_info info = {
		.size = sizeof(info),
		.flags = KVBM_BLOCK_OWN,
		.block = block,
	};
	int ret = kvbm_ioctl(session, KVBM_IOC_BLOCK_INFO, &info);

	if (ret < 0)
		return ret;
	if (!info.own_holds)
		return -EPERM;
	if (info.state != KVBM_STATE_PRIMARY &&
	    info.state != KVBM_STATE_DUPLICATE &&
	    info.state != KVBM_STATE_FORGOTTEN)
		return -EINVAL;

	weak->block = block;
	weak->generation = info.generation;
	weak->hash = info.hash;
	return 0;
}
