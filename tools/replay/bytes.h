/* SPDX-License-Identifier: MIT */
/*
 * The blocks' bytes follow from the hash that a worker registers the block
 * under, so every holder of a block can check its bytes.
 */
#ifndef REPLAY_BYTES_H
#define REPLAY_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kvbm.h>

/* How many wrong blocks a worker reports. */
#define TELL_WRONG	3U

/**
 * struct bytes - bytes that one worker handled; only it writes all but @stop
 * @stop: set by the parent: the worker stops itself in the middle of the next
 *	block
 * @writing: 1 + the block that it is writing, or 0
 * @written: bytes written
 * @read: bytes read and compared
 * @wrong: how many of these were wrong
 * @wrong_blocks: in how many reads of a block
 * @write_ns: time it took to write
 * @read_ns: time it took to read and compare
 */
struct bytes {
	_Atomic bool stop;
	_Atomic uint64_t writing;
	uint64_t written;
	uint64_t read;
	uint64_t wrong;
	uint64_t wrong_blocks;
	uint64_t write_ns;
	uint64_t read_ns;
};

/* Write the bytes for @hash into block @id of @map. */
void bytes_write(struct bytes *b, const struct kvbm_payload_map *map,
		 uint32_t id, const struct kvbm_hash *hash);

/* Read block @id, and print an error if its bytes are not @hash's. */
void bytes_check(struct bytes *b, const struct kvbm_payload_map *map,
		 uint32_t id, const struct kvbm_hash *hash, const char *when);

#endif /* REPLAY_BYTES_H */
