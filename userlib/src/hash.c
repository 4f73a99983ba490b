// SPDX-License-Identifier: MIT
/*
 * Sequence hashes: the layout of struct kvbm_hash, and the computation of a
 * prompt's chain from its tokens.
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

#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "tokens are hashed where they are, as little-endian words"
#endif

#define MODES	3

/* The seed of every step of a chain; the salt is in the block hashes. */
#define CHAIN_SEED	1337

#define OPAQUE_SEED	1337
#define OPAQUE_POSITION_BITS	8
#define OPAQUE_PARENT_BITS	54

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

/* The last 8 bytes of @key, or all of a shorter one, as a big-endian number. */
static uint64_t low_bits(const unsigned char *key, size_t len)
{
	uint64_t low = 0;
	size_t i;

	for (i = len > sizeof(low) ? len - sizeof(low) : 0; i < len; i++)
		low = low << 8 | key[i];
	return low;
}

int kvbm_hash_opaque(const void *digest, const void *key, size_t key_len,
		     uint32_t group, struct kvbm_hash *out)
{
	unsigned char scope[KVBM_DIGEST_LEN + sizeof(group)] = { 0 };
	uint64_t rest;

	if (!key_len)
		return -EINVAL;

	if (digest)
		memcpy(scope, digest, KVBM_DIGEST_LEN);
	group = htole32(group);
	memcpy(scope + KVBM_DIGEST_LEN, &group, sizeof(group));
	rest = XXH3_64bits_withSeed(scope, sizeof(scope), OPAQUE_SEED);
	rest = XXH3_64bits_withSeed(key, key_len, rest);

	/* Its upper 62 bits fill the fields that a lineage would have. */
	rest >>= 64 - OPAQUE_POSITION_BITS - OPAQUE_PARENT_BITS;
	return kvbm_hash_pack(low_bits(key, key_len), rest,
			      rest >> OPAQUE_PARENT_BITS, out);
}

uint64_t kvbm_salt_hash(const void *lora, size_t lora_len, const void *salt,
			size_t salt_len)
{
	uint64_t hash = KVBM_NO_SALT;

	/* The seeds separate an adapter and a salt of the same name. */
	if (lora_len)
		hash += XXH3_64bits_withSeed(lora, lora_len, 0);
	if (salt_len)
		hash += XXH3_64bits_withSeed(salt, salt_len, 1);
	return hash;
}

uint64_t kvbm_block_hash(const uint32_t *tokens, size_t n, uint64_t salt_hash)
{
	return XXH3_64bits_withSeed(n ? (const void *)tokens : "",
				    n * sizeof(*tokens), salt_hash);
}

uint64_t kvbm_sequence_hash(uint64_t parent, uint64_t block_hash)
{
	uint64_t le[2] = { htole64(parent), htole64(block_hash) };

	return XXH3_64bits_withSeed(le, sizeof(le), CHAIN_SEED);
}

/* The position in a chain. */
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

	if (!block_size || block_size > KVBM_MAX_BLOCK_SIZE)
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
