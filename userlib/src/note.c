// SPDX-License-Identifier: MIT
/* Blocks' notes: the requests that give or return them. */
#include <unistd.h>

#include "internal.h"
#include "kvbm_args.h"

int kvbm_stage_notes(int session, uint32_t n, const uint32_t *ids,
		     const struct kvbm_hash *hashes, const void *notes,
		     uint32_t *error)
{
	struct kvbm_stage args;
	int ret;

	kvbm_args_stage(&args, n, ids, hashes, NULL);
	args.notes = kvbm_args_ptr(notes);
	ret = kvbm_ioctl(session, KVBM_IOC_STAGE, &args);
	return ended(ret, error, args.error);
}

int kvbm_claim_notes(int session, uint32_t n, const uint32_t *ids,
		     const struct kvbm_hash *hashes, const void *notes,
		     uint8_t *states, uint32_t *error)
{
	struct kvbm_stage args;
	int ret;

	kvbm_args_stage(&args, n, ids, hashes, NULL);
	args.flags = KVBM_STAGE_CLAIM;
	args.notes = kvbm_args_ptr(notes);
	args.states = kvbm_args_ptr(states);
	ret = kvbm_ioctl(session, KVBM_IOC_STAGE, &args);
	return ended(ret, error, args.error);
}

int kvbm_register_notes(int session, uint32_t n, const uint32_t *ids,
			const struct kvbm_hash *hashes, const void *notes,
			struct kvbm_registered *results, uint32_t flags,
			uint32_t *error)
{
	struct kvbm_register args;
	int ret;

	kvbm_args_register(&args, flags, n, ids, hashes, results);
	args.notes = kvbm_args_ptr(notes);
	ret = kvbm_ioctl(session, KVBM_IOC_REGISTER, &args);
	return ended(ret, error, args.error);
}

int kvbm_match_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		     uint32_t *ids, void *notes, uint32_t *error)
{
	struct kvbm_match args;
	int ret;

	kvbm_args_match(&args, 0, n, hashes, ids);
	args.notes = kvbm_args_ptr(notes);
	ret = kvbm_ioctl(session, KVBM_IOC_MATCH, &args);
	return ended(ret, error, args.error);
}

int kvbm_scan_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		    uint32_t *ids, void *notes, uint32_t flags, uint32_t *hits,
		    uint32_t *error)
{
	struct kvbm_match args;
	int ret;

	kvbm_args_match(&args, flags, n, hashes, ids);
	args.notes = kvbm_args_ptr(notes);
	ret = kvbm_ioctl(session, KVBM_IOC_SCAN, &args);
	kvbm_put(hits, args.hits);
	return ended(ret, error, args.error);
}

int kvbm_block_note(int session, uint32_t block, struct kvbm_block_info *info,
		    void *note)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->block = block;
	info->note = kvbm_args_ptr(note);
	return kvbm_ioctl(session, KVBM_IOC_BLOCK_INFO, info);
}

int kvbm_export_notes(int fd, const struct kvbm_store_ref *ref,
		      uint64_t *cursor, uint32_t count,
		      struct kvbm_export_entry *entries, void *notes,
		      uint32_t *total)
{
	struct kvbm_export args = {
		.size = sizeof(args),
		.count = count,
		.entry_size = sizeof(*entries),
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
		.notes = (uintptr_t)notes,
	};
	int ret = kvbm_fill_ref(ref, &args.store_id, args.name);

	if (!ret)
		ret = kvbm_ioctl(fd, KVBM_IOC_EXPORT, &args);
	return listed(ret, args.done, total, args.total, cursor, args.cursor);
}

int kvbm_events_read_notes(int fd, void *out, uint32_t record_size,
			   uint32_t count)
{
	ssize_t got = read(fd, out, (size_t)count * record_size);

	return got < 0 ? -errno : (int)((size_t)got / record_size);
}
