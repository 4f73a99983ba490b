// SPDX-License-Identifier: MIT
/* The bytes that workers write into blocks, and their check. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "replay.h"

#define STEP	UINT64_C(0x9e3779b97f4a7c15)

/*
 * A block's first word; each further one is STEP more.  So all words of two
 * blocks differ, and no part of one can pass for a part of the other.
 */
static uint64_t first_word(const struct kvbm_hash *hash)
{
	uint64_t z = hash->hi ^ (hash->lo + STEP);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z ^= hash->lo;
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void bytes_write(struct bytes *b, const struct kvbm_payload_map *map,
		 uint32_t id, const struct kvbm_hash *hash)
{
	uint64_t *block = kvbm_block(map, id), word = first_word(hash);
	uint64_t i, n = map->block_bytes / sizeof(word), start = now_ns();

	/* A process that stops this one reads it as it is at that moment. */
	atomic_store(&b->writing, id + UINT64_C(1));
	for (i = 0; i < n; i++, word += STEP) {
		if (i == n / 2 && atomic_exchange(&b->stop, false))
			raise(SIGSTOP);
		block[i] = word;
	}
	atomic_store(&b->writing, 0);
	b->written += map->block_bytes;
	b->write_ns += now_ns() - start;
}

static uint64_t count_wrong(const uint64_t *block, uint64_t word, uint64_t n)
{
	uint64_t i, wrong = 0;

	for (i = 0; i < n; i++, word += STEP) {
		uint64_t other = block[i] ^ word;

		for (; other; other >>= 8)
			wrong += (other & 0xff) != 0;
	}
	return wrong;
}

void bytes_check(struct bytes *b, const struct kvbm_payload_map *map,
		 uint32_t id, const struct kvbm_hash *hash, const char *when)
{
	const uint64_t *block = kvbm_block(map, id);
	uint64_t n = map->block_bytes / sizeof(*block), start = now_ns();
	uint64_t i, word = first_word(hash), other = 0;

	for (i = 0; i < n; i++, word += STEP)
		other |= block[i] ^ word;
	b->read += map->block_bytes;
	b->read_ns += now_ns() - start;
	if (!other)
		return;
	/* They may have become right since: then report one. */
	n = count_wrong(block, first_word(hash), n) ?: 1;
	b->wrong += n;
	if (b->wrong_blocks++ < TELL_WRONG)
		fprintf(stderr, "kvbm-replay: block %" PRIu32 ", %s: %" PRIu64 " of its %" PRIu64 " bytes are not those of its hash\n",
			id, when, n, map->block_bytes);
}
