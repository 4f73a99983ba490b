// SPDX-License-Identifier: MIT
/*
 * The hashes in use: a forest whose trees begin at position 0 or, with a
 * parent that nobody ever stages, around the positions where the layout of a
 * hash changes. Shapes range from one long chain to one wide family.
 */
#include "gen.h"

uint64_t g_random(struct g_rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t g_below(struct g_rng *r, uint32_t n)
{
	return (uint32_t)((g_random(r) >> 32) * n >> 32);
}

bool g_once_in(struct g_rng *r, uint32_t n)
{
	return !g_below(r, n);
}

static uint32_t root_position(struct g_rng *r)
{
	static const uint32_t near[] = { 1, 248, 253, 254, 255, 256, 257, 512,
					 65528, 65533, 65534, 65535, 65536,
					 65537, 1u << 20, (1u << 24) - 4,
					 (1u << 24) - 2, (1u << 24) - 1 };

	if (g_once_in(r, 2))
		return 0;
	return near[g_below(r, sizeof(near) / sizeof(near[0]))];
}

static bool taken(const struct g_universe *u, struct m_hash h, bool twins)
{
	for (int i = 0; i < u->n; i++) {
		if (m_hash_equal(u->node[i].hash, h))
			return true;
		if (!twins && m_key_equal(m_hash_node_key(u->node[i].hash),
					  m_hash_node_key(h)))
			return true;
	}
	return false;
}

/*
 * A hash whose key another one has already: the same current hash under
 * another parent, or one that differs above the bits that children repeat.
 */
static struct m_hash twin_of(const struct g_universe *u, struct g_rng *r,
			     int *up)
{
	const struct g_node *x = &u->node[g_below(r, u->n)];
	uint32_t position = m_hash_position(x->hash);
	uint64_t current = m_hash_current(x->hash);
	uint64_t parent = m_hash_parent(x->hash);

	*up = x->up;
	if (g_once_in(r, 2))
		current ^= (1 + g_random(r)) << m_parent_width(position + 1);
	if (g_once_in(r, 2)) {
		const struct g_node *y = &u->node[g_below(r, u->n)];

		if (position && m_hash_position(y->hash) == position - 1) {
			parent = m_hash_current(y->hash);
			*up = (int)(y - u->node);
		} else if (x->up < 0) {
			parent = g_random(r);
		}
	}
	return m_hash_pack(current, parent, position);
}

void g_universe_init(struct g_universe *u, struct g_rng *r, int n,
		     enum g_twins twins)
{
	/* Of 16 new nodes: roots, children of one parent, of any, of the last. */
	uint32_t roots = 1 + g_below(r, 3), wide = g_below(r, 8);
	uint32_t any = g_below(r, 6);
	int hub = 0;

	M_ASSERT(n >= 1 && n <= G_UNIVERSE);
	for (u->n = 0; u->n < n;) {
		struct g_node *new = &u->node[u->n];
		uint32_t dice = g_below(r, 16), position;
		int up = u->n - 1;

		if (u->n && twins != G_TWINS_NONE &&
		    g_once_in(r, twins == G_TWINS_MANY ? 2 : 5)) {
			new->hash = twin_of(u, r, &new->up);
			if (!taken(u, new->hash, true))
				u->n++;
			continue;
		}
		if (dice < roots || !u->n)
			up = -1;
		else if (dice < roots + wide)
			up = hub;
		else if (dice < roots + wide + any)
			up = (int)g_below(r, u->n);
		if (g_once_in(r, 64))
			hub = u->n ? (int)g_below(r, u->n) : 0;
		if (up >= 0 &&
		    m_hash_position(u->node[up].hash) == M_POSITION_MAX)
			up = -1;
		position = up < 0 ? root_position(r) :
				    m_hash_position(u->node[up].hash) + 1;
		new->up = up;
		new->hash = m_hash_pack(g_random(r), up < 0 ? g_random(r) :
					m_hash_current(u->node[up].hash),
					position);
		if (!taken(u, new->hash, twins != G_TWINS_NONE))
			u->n++;
	}
}

/* The path from a root to a node; if longer than n, its one end or its other. */
static uint32_t path_to(const struct g_universe *u, int at,
			struct m_hash *out, uint32_t n, bool from_root)
{
	uint32_t depth = 0;

	for (int i = at; i >= 0; i = u->node[i].up)
		depth++;
	for (; from_root && depth > n; depth--)
		at = u->node[at].up;
	if (depth > n)
		depth = n;
	for (uint32_t i = depth; i-- > 0; at = u->node[at].up)
		out[i] = u->node[at].hash;
	return depth;
}

uint32_t g_path(const struct g_universe *u, struct g_rng *r,
		struct m_hash *out, uint32_t n)
{
	return path_to(u, (int)g_below(r, u->n), out, n, !g_once_in(r, 4));
}

void g_runs(const struct g_universe *u, struct g_rng *r, struct m_hash *out,
	    uint32_t n)
{
	for (uint32_t i = 0; i < n;) {
		uint32_t want = 1 + g_below(r, n - i);

		if (g_once_in(r, 3))
			want = 1;
		i += path_to(u, (int)g_below(r, u->n), out + i, want, false);
	}
}

struct m_hash g_bad_hash(struct g_rng *r)
{
	struct m_hash h = { .hi = g_random(r), .lo = g_random(r) };

	switch (g_below(r, 3)) {
	case 0:			/* mode 3 */
		h.hi |= 3ull << 62;
		return h;
	case 1:			/* mode 1, position below 2^8 */
		h.hi = 1ull << 62 | (h.hi & ((1ull << 54) - 1));
		return h;
	default:		/* mode 2, position below 2^16 */
		h.hi = 2ull << 62 | (h.hi & ((1ull << 54) - 1));
		return h;
	}
}
