/* SPDX-License-Identifier: MIT */
/*
 * The blocks' bytes: what a worker writes into a block follows from the hash
 * that it registers it under, so whoever holds a block can tell whether its
 * bytes are right.
 */
#ifndef REPLAY_BYTES_H
#define REPLAY_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kvbm.h>

/* How many wrong blocks a worker tells of. */
#define TELL_WRONG	3U

/**
 * struct bytes - what one worker did with bytes; it alone writes all but @stop
 * @stop: in the middle of the next block the worker is to stop itself; the parent
 *	sets this
 * @writing: 1 + the block that it is writing, or 0
 * @written: bytes written
 * @read: bytes read and compared
 * @wrong: of these, those that were not what they had to be
 * @wrong_blocks: in how many readings of a block
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

/* Writes block @id of @map as @hash wants it. */
void bytes_write(struct bytes *b, const struct kvbm_payload_map *map,
		 uint32_t id, const struct kvbm_hash *hash);

/* Reads block @id, and says on stderr when its bytes are not @hash's. */
void bytes_check(struct bytes *b, const struct kvbm_payload_map *map,
		 uint32_t id, const struct kvbm_hash *hash, const char *when);

#endif /* REPLAY_BYTES_H */
