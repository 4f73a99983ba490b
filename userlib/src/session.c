// SPDX-License-Identifier: MIT
/* Requests about a store, its sessions and its blocks. */
#include "internal.h"

int kvbm_features(int fd, struct kvbm_features *features)
{
	return kvbm_query_ioctl(fd, KVBM_IOC_FEATURES, features);
}

int kvbm_store_info(int session, struct kvbm_store_info *info)
{
	return kvbm_query_ioctl(session, KVBM_IOC_STORE_INFO, info);
}

int kvbm_counts(int session, struct kvbm_counts *counts)
{
	return kvbm_query_ioctl(session, KVBM_IOC_COUNTS, counts);
}

int kvbm_stats(int session, struct kvbm_stats *stats)
{
	return kvbm_query_ioctl(session, KVBM_IOC_STATS, stats);
}

int kvbm_reset_inactive(int session, bool *whole, uint32_t *done)
{
	struct kvbm_reset_inactive args = {
		.size = sizeof(args),
	};
	int ret = kvbm_ioctl(session, KVBM_IOC_RESET_INACTIVE, &args);

	kvbm_put(whole, !!(args.flags & KVBM_RESET_WHOLE));
	kvbm_put(done, args.done);
	return ret < 0 ? ret : (int)args.done;
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

int kvbm_session_list(int session, uint32_t count,
		      struct kvbm_session_entry *entries, uint32_t *total)
{
	struct kvbm_session_list args = {
		.size = sizeof(args),
		.count = count,
		.entries = (uintptr_t)entries,
	};
	int ret = kvbm_ioctl(session, KVBM_IOC_SESSION_LIST, &args);

	kvbm_put(total, args.total);
	return ret < 0 ? ret : (int)args.done;
}

int kvbm_session_revoke(int session, uint64_t session_id, uint64_t *reclaimed)
{
	struct kvbm_session_revoke args = {
		.size = sizeof(args),
		.session_id = session_id,
	};
	int ret = kvbm_ioctl(session, KVBM_IOC_SESSION_REVOKE, &args);

	kvbm_put(reclaimed, args.reclaimed);
	return ret;
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
	struct kvbm_block_info info;
	int ret = kvbm_block_info(session, block, &info);

	if (ret < 0)
		return ret;
	if (!info.own_holds)
		return -EPERM;
	if (info.state != KVBM_STATE_PRIMARY &&
	    info.state != KVBM_STATE_DUPLICATE)
		return -EINVAL;

	weak->block = block;
	weak->generation = info.generation;
	weak->hash = info.hash;
	return 0;
}
