/* SPDX-License-Identifier: MIT */
/*
 * keys.h - sequence hashes as prompts have them
 *
 * A prompt is a chain of 128 blocks; eight prompts, a family, begin with the
 * same 32. Everything follows from a prompt's number.
 */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stdint.h>
#include <linux/kvbm.h>

#define PROMPT		128	/* blocks of a prompt */
#define PREFIX		32	/* of these, shared by the prompts of a family */
#define FAMILY		8	/* prompts that begin alike */
#define FAMILY_BLOCKS	(PREFIX + FAMILY * (PROMPT - PREFIX))

static inline uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15ULL;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint64_t rnd(uint64_t *state)
{
	return mix((*state)++);
}

/* As struct kvbm_hash describes it. */
static inline void key_make(struct kvbm_hash *key, uint32_t position,
			    uint64_t current_hash, uint64_t parent)
{
	uint32_t mode = position < 1U << 8 ? 0 : position < 1U << 16 ? 1 : 2;
	uint32_t bits = 54 - 8 * mode;	/* of the parent field */

	key->hi = (uint64_t)mode << 62 | (uint64_t)position << bits |
		  current_hash >> (64 - bits);
	key->lo = current_hash << bits | (parent & ((1ULL << bits) - 1));
}

/* The hash of a chain at a position; chains are named by numbers. */
static inline uint64_t chain_hash(uint64_t chain, uint32_t position)
{
	return mix(chain * 0x100000001b3ULL + position);
}

/* Positions from, from + 1, ... of a chain. */
static inline void chain_keys(uint64_t chain, uint32_t from, uint32_t n,
			      struct kvbm_hash *keys)
{
	uint64_t parent = from ? chain_hash(chain, from - 1) : 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		uint64_t h = chain_hash(chain, from + i);

		key_make(&keys[i], from + i, h, parent);
		parent = h;
	}
}

/* A prompt of the initial population. */
static inline void prompt_keys(uint32_t prompt, struct kvbm_hash *keys)
{
	uint64_t family = prompt / FAMILY | 1ULL << 40;
	uint32_t i;

	chain_keys(family, 0, PREFIX, keys);
	chain_keys(prompt, PREFIX, PROMPT - PREFIX, keys + PREFIX);
	i = PREFIX;
	key_make(&keys[i], i, chain_hash(prompt, i),
		 chain_hash(family, PREFIX - 1));
}

/* Of a prompt that nobody has seen. */
static inline void fresh_keys(uint64_t prompt, uint32_t from, uint32_t n,
			      struct kvbm_hash *keys)
{
	chain_keys(prompt | 1ULL << 41, from, n, keys);
}

static inline void reverse(uint32_t *ids, uint32_t n)
{
	uint32_t i, t;

	for (i = 0; i < n / 2; i++) {
		t = ids[i];
		ids[i] = ids[n - 1 - i];
		ids[n - 1 - i] = t;
	}
}

#endif
