/* SPDX-License-Identifier: MIT */
/*
 * The file that kvbmctl save writes and kvbmctl restore reads: a header, an entry
 * for each registered block, and in the order of these their notes; in the
 * machine's byte order.
 */
#ifndef SAVEFILE_H
#define SAVEFILE_H

#include <stdint.h>
#include <kvbm.h>

#define SAVE_MAGIC	"KVBMSAVE"
#define SAVE_VERSION	3U

/**
 * struct save_header - the store of the blocks
 * @magic: SAVE_MAGIC, without a NUL
 * @version: SAVE_VERSION
 * @header_bytes: of this
 * @entry_bytes: of an entry
 * @opaque: the hashes have no lineage
 * @total_blocks: of the store
 * @block_size: tokens in a block
 * @block_bytes: bytes of a block; 0: the store has none
 * @policy: eviction policy, NUL-padded
 * @thresholds: of multi_lru
 * @note_bytes: bytes of a block's note; 0: the store has none
 * @store_id: identity of the saved store
 * @payload_dev: with bytes: the device of their file
 * @payload_ino: and its inode
 * @time: seconds since 1970
 * @count: entries
 * @checksum: XXH3, 64 bits, of the file with this field 0
 */
struct save_header {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes;
	uint32_t entry_bytes;
	uint32_t opaque;
	uint32_t total_blocks;
	uint32_t block_size;
	uint64_t block_bytes;
	char policy[KVBM_POLICY_LEN];
	uint32_t thresholds[3];
	uint32_t note_bytes;
	uint64_t store_id;
	uint64_t payload_dev;
	uint64_t payload_ino;
	uint64_t time;
	uint64_t count;
	uint64_t checksum;
};

/**
 * struct save_entry - a registered block
 * @hash: its hash
 * @block: its id
 * @rank: list of multi_lru, 0 to 3
 * @order: position in the eviction order; ascending, all different
 * @keep_rank: enum kvbm_rank
 * @keep_ns: how long that lasts, from the time of the file; 0: for ever
 */
struct save_entry {
	struct kvbm_hash hash;
	uint32_t block;
	uint32_t rank;
	uint32_t order;
	uint32_t keep_rank;
	uint64_t keep_ns;
};

_Static_assert(sizeof(struct save_header) == 120, "the file's format");
_Static_assert(sizeof(struct save_entry) == 40, "the file's format");

/* Both print what is wrong, and return an exit status. */
int savefile_write(const char *path, struct save_header *header,
		   const struct save_entry *entries, const uint8_t *notes);
/* The caller frees @entries and @notes. */
int savefile_read(const char *path, struct save_header *header,
		  struct save_entry **entries, uint8_t **notes);

#endif /* SAVEFILE_H */
