// SPDX-License-Identifier: MIT
/*
 * Frequency without collisions: one exact count per hash stands for its four
 * counters of the sketch, which are equal as long as no other hash shares
 * them. With few hashes and a large capacity the sketch gives these numbers.
 */
#include <stdlib.h>

#include "model.h"

#define SATURATED	15

void m_sketch_init(struct m_sketch *k, uint64_t capacity)
{
	*k = (struct m_sketch){ .capacity = capacity };
	if (!capacity)
		return;
	k->size = 64;
	k->table = calloc(k->size, sizeof(*k->table));
	M_ASSERT(k->table);
}

void m_sketch_exit(struct m_sketch *k)
{
	free(k->table);
	k->table = NULL;
}

static struct m_count *find(const struct m_sketch *k, struct m_hash h)
{
	uint64_t x = (h.hi ^ h.lo * 0x9e3779b97f4a7c15ull) *
		     0xff51afd7ed558ccdull;
	uint32_t i = (uint32_t)(x >> 32) & (k->size - 1);

	while (k->table[i].count && !m_hash_equal(k->table[i].hash, h))
		i = (i + 1) & (k->size - 1);
	return &k->table[i];
}

/* Rebuilds the table with space to spare; drops only zeroes. */
static void rebuild(struct m_sketch *k, uint32_t size)
{
	struct m_count *old = k->table;
	uint32_t old_size = k->size;

	k->table = calloc(size, sizeof(*k->table));
	M_ASSERT(k->table);
	k->size = size;
	k->used = 0;
	for (uint32_t i = 0; i < old_size; i++) {
		if (!old[i].count)
			continue;
		*find(k, old[i].hash) = old[i];
		k->used++;
	}
	free(old);
}

static void halve(struct m_sketch *k)
{
	struct m_count *copy = k->table;
	uint64_t odd = 0, half = k->counted / 2;

	for (uint32_t i = 0; i < k->size; i++) {
		odd += copy[i].count & 1;
		copy[i].count /= 2;
	}
	/* Each odd hash is four odd counters, and their number is quartered. */
	k->counted = half > odd ? half - odd : 0;
	rebuild(k, k->size);
}

void m_sketch_touch(struct m_sketch *k, struct m_hash h)
{
	struct m_count *c;

	if (!k->capacity)
		return;
	c = find(k, h);
	if (c->count == SATURATED)
		return;
	if (!c->count) {
		if (2 * (k->used + 1) > k->size) {
			rebuild(k, 2 * k->size);
			c = find(k, h);
		}
		c->hash = h;
		k->used++;
	}
	c->count++;
	k->counted++;
	if (k->counted >= 10 * k->capacity)
		halve(k);
}

unsigned int m_sketch_read(const struct m_sketch *k, struct m_hash h)
{
	return k->capacity ? find(k, h)->count : 0;
}
