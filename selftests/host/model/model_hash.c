// SPDX-License-Identifier: MIT
/*
 * The 128-bit hash, from the top:
 *	mode 2 | position 8/16/24 | current 64 | parent's low bits 54/46/38
 */
#include "model.h"

static const unsigned int position_bits[3] = { 8, 16, 24 };
static const unsigned int parent_bits[3] = { 54, 46, 38 };

typedef unsigned __int128 u128;

static u128 whole(struct m_hash h)
{
	return (u128)h.hi << 64 | h.lo;
}

static uint64_t low_bits(uint64_t v, unsigned int bits)
{
	return v & ((1ull << bits) - 1);
}

static unsigned int mode_of(struct m_hash h)
{
	return h.hi >> 62;
}

static unsigned int mode_for(uint32_t position)
{
	if (position < 1u << 8)
		return 0;
	return position < 1u << 16 ? 1 : 2;
}

/* Width of the parent field of a block at this position. */
unsigned int m_parent_width(uint32_t position)
{
	return parent_bits[mode_for(position)];
}

struct m_hash m_hash_pack(uint64_t current, uint64_t parent, uint32_t position)
{
	unsigned int mode = mode_for(position);
	u128 v;

	M_ASSERT(position <= M_POSITION_MAX);
	v = mode;
	v = v << position_bits[mode] | position;
	v = v << 64 | current;
	v = v << parent_bits[mode] | low_bits(parent, parent_bits[mode]);
	return (struct m_hash){ .hi = v >> 64, .lo = (uint64_t)v };
}

bool m_hash_valid(struct m_hash h)
{
	return mode_of(h) < 3 && mode_for(m_hash_position(h)) == mode_of(h);
}

bool m_hash_equal(struct m_hash a, struct m_hash b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

/* The fields of a hash whose mode is below 3. */
uint32_t m_hash_position(struct m_hash h)
{
	unsigned int mode = mode_of(h);

	return low_bits((uint64_t)(whole(h) >> (64 + parent_bits[mode])),
			position_bits[mode]);
}

uint64_t m_hash_current(struct m_hash h)
{
	return (uint64_t)(whole(h) >> parent_bits[mode_of(h)]);
}

uint64_t m_hash_parent(struct m_hash h)
{
	return low_bits(h.lo, parent_bits[mode_of(h)]);
}

/* The parent field of a child at the next position. */
struct m_key m_hash_node_key(struct m_hash h)
{
	uint32_t position = m_hash_position(h);

	/* Nothing comes after the last position: any width does there. */
	return (struct m_key){
		.position = position,
		.fragment = low_bits(m_hash_current(h),
				     m_parent_width(position + 1)),
	};
}

/* False: the block has no parent. */
bool m_hash_parent_key(struct m_hash h, struct m_key *key)
{
	uint32_t position = m_hash_position(h);

	if (!position)
		return false;
	key->position = position - 1;
	key->fragment = m_hash_parent(h);
	return true;
}

bool m_key_equal(struct m_key a, struct m_key b)
{
	return a.position == b.position && a.fragment == b.fragment;
}
