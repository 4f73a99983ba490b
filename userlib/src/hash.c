// SPDX-License-Identifier: MIT
/*
 * Sequence hashes: the layout of struct kvbm_hash, and how a prompt's chain
 * comes from its tokens.
 *
 * Bits from the top, in mode 0, 1, 2:
 *
 *	mode 2 | position 8, 16, 24 | current 64 | parent 54, 46, 38
 *
 * With P position bits, current begins at bit P + 2 from the top: its upper
 * 62 - P bits end the upper word, its lower P + 2 bits begin the lower one.
 */
#include <endian.h>
#include <xxhash.h>

#include "internal.h"

#define MODES	3

static unsigned int position_bits(unsigned int mode)
{
	return 8 * (mode + 1);
}

static unsigned int mode_of(uint32_t position)
{
	return position < (1U << 8) ? 0 : position < (1U << 16) ? 1 : 2;
}

int kvbm_hash_pack(uint64_t current, uint64_t parent, uint32_t position,
		   struct kvbm_hash *out)
{
	unsigned int mode = mode_of(position);
	unsigned int split = position_bits(mode) + 2;

	if (position >= KVBM_MAX_POSITIONS)
		return -EINVAL;

	out->hi = (uint64_t)mode << 62 | (uint64_t)position << (64 - split) |
		  current >> split;
	out->lo = current << (64 - split) | (parent & (UINT64_MAX >> split));
	return 0;
}

int kvbm_hash_unpack(const struct kvbm_hash *hash,
		     struct kvbm_hash_fields *out)
{
	unsigned int mode = hash->hi >> 62;
	unsigned int split;
	uint32_t position;

	if (mode >= MODES)
		return -EINVAL;
	split = position_bits(mode) + 2;
	position = (uint32_t)((hash->hi << 2 >> 2) >> (64 - split));
	if (mode_of(position) != mode)
		return -EINVAL;

	memset(out, 0, sizeof(*out));
	out->current = hash->hi << split | hash->lo >> (64 - split);
	out->parent = hash->lo & (UINT64_MAX >> split);
	out->position = position;
	out->mode = (uint8_t)mode;
	out->parent_bits = (uint8_t)(64 - split);
	return 0;
}

bool kvbm_hash_valid(const struct kvbm_hash *hash)
{
	struct kvbm_hash_fields fields;

	return !kvbm_hash_unpack(hash, &fields);
}

uint64_t kvbm_salt_hash(const void *salt, size_t len)
{
	return XXH3_64bits(len ? salt : "", len);
}

uint64_t kvbm_block_hash(const uint32_t *tokens, size_t n, uint64_t salt_hash)
{
#if __BYTE_ORDER == __LITTLE_ENDIAN
	return XXH3_64bits_withSeed(n ? (const void *)tokens : "",
				    n * sizeof(*tokens), salt_hash);
#else
	XXH3_state_t state;
	size_t i;

	XXH3_64bits_reset_withSeed(&state, salt_hash);
	for (i = 0; i < n; i++) {
		uint32_t le = htole32(tokens[i]);

		XXH3_64bits_update(&state, &le, sizeof(le));
	}
	return XXH3_64bits_digest(&state);
#endif
}

uint64_t kvbm_sequence_hash(uint64_t parent, uint64_t block_hash)
{
	uint64_t le[2] = { htole64(parent), htole64(block_hash) };

	return XXH3_64bits(le, sizeof(le));
}

/* Where a chain has got to. */
struct chain {
	uint64_t current;	/* the last block's sequence hash */
	uint32_t position;	/* the next block's */
};

static int chain_start(struct chain *c, const struct kvbm_hash *parent,
		       size_t blocks)
{
	struct kvbm_hash_fields fields;

	c->current = 0;
	c->position = 0;
	if (parent) {
		if (kvbm_hash_unpack(parent, &fields))
			return -EINVAL;
		c->current = fields.current;
		c->position = fields.position + 1;
	}
	return blocks > KVBM_MAX_POSITIONS - c->position ? -EINVAL : 0;
}

static void chain_next(struct chain *c, uint64_t block_hash,
		       struct kvbm_hash *out)
{
	uint64_t parent = c->current;

	c->current = c->position ? kvbm_sequence_hash(parent, block_hash) :
				   block_hash;
	kvbm_hash_pack(c->current, parent, c->position, out);
	c->position++;
}

int kvbm_chain_blocks(const struct kvbm_hash *parent,
		      const uint64_t *block_hashes, size_t n,
		      struct kvbm_hash *out)
{
	struct chain c;
	size_t i;

	if (chain_start(&c, parent, n))
		return -EINVAL;
	for (i = 0; i < n; i++)
		chain_next(&c, block_hashes[i], &out[i]);
	return (int)n;
}

int kvbm_chain_append(const struct kvbm_hash *parent, const uint32_t *tokens,
		      size_t n_tokens, uint32_t block_size, uint64_t salt_hash,
		      struct kvbm_hash *out)
{
	struct chain c;
	size_t i, n;

	if (!block_size || block_size > KVBM_MAX_BLOCK_SIZE ||
	    (block_size & (block_size - 1)))
		return -EINVAL;
	n = n_tokens / block_size;
	if (chain_start(&c, parent, n))
		return -EINVAL;
	for (i = 0; i < n; i++)
		chain_next(&c, kvbm_block_hash(tokens + i * block_size,
					       block_size, salt_hash),
			   &out[i]);
	return (int)n;
}

int kvbm_chain(const uint32_t *tokens, size_t n_tokens, uint32_t block_size,
	       uint64_t salt_hash, struct kvbm_hash *out)
{
	return kvbm_chain_append(NULL, tokens, n_tokens, block_size, salt_hash,
				 out);
}
