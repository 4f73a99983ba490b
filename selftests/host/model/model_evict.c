// SPDX-License-Identifier: MIT
/*
 * The eviction orders as naive data structures. The flat ones search an array
 * for the smallest sequence number. The lineage ones keep an explicit tree of
 * nodes, idle blocks and placeholders; after every change settle() brings it
 * back to what the contract allows.
 *
 * Twins are blocks that share a node key. The twin that entered the tree first
 * is the carrier of the key's subtree; the others are leaves with an upward
 * link of their own. A placeholder that came from a block counts as that block
 * still being in the tree. When the carrier leaves the tree, or its hash
 * leaves the store, while twins are idle, the twin that has been inactive the
 * longest becomes the carrier and takes over the subtree.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "model.h"

const char *const m_policy_name[M_POLICIES] = {
#define KVBM_POLICY(name)	#name,
#include "policies.def"
};

static bool is_lineage(const struct m_index *x)
{
	/* No default: a policy that is not here does not compile. */
	switch (x->policy) {
	case M_lineage_tick:
	case M_lineage_fifo:
		return true;
	case M_lru:
	case M_fifo:
	case M_multi_lru:
		return false;
	case M_POLICIES:
		break;
	}
	M_ASSERT(false);
	return false;
}

void m_index_init(struct m_index *x, enum m_policy policy, uint32_t total)
{
	*x = (struct m_index){ .policy = policy, .total = total };
	if (is_lineage(x)) {
		/* Placeholders never outnumber blocks; one may be on its way. */
		x->n_nodes = 2 * (int)total + 1;
		x->node = calloc(x->n_nodes, sizeof(*x->node));
		M_ASSERT(x->node);
	} else {
		x->idle = calloc(total, sizeof(*x->idle));
		M_ASSERT(x->idle);
	}
}

void m_index_exit(struct m_index *x)
{
	free(x->idle);
	free(x->node);
}

/* ---- the tree ---- */

static int new_node(struct m_index *x, struct m_key key)
{
	for (int i = 0; i < x->n_nodes; i++) {
		if (x->node[i].used)
			continue;
		x->node[i] = (struct m_node){
			.used = true,
			.block = M_NONE,
			.stands_for = M_NONE,
			.key = key,
			.parent = -1,
		};
		return i;
	}
	M_ASSERT(!"more placeholders than blocks");
	return -1;
}

/* The node that carries what hangs under a key, or -1. */
static int carrier(const struct m_index *x, struct m_key key)
{
	for (int i = 0; i < x->n_nodes; i++) {
		const struct m_node *n = &x->node[i];

		if (n->used && !n->twin && m_key_equal(n->key, key))
			return i;
	}
	return -1;
}

static int node_of(const struct m_index *x, uint32_t block)
{
	for (int i = 0; i < x->n_nodes; i++) {
		if (x->node[i].used && x->node[i].block == block)
			return i;
	}
	return -1;
}

/* The twin under this key that has been inactive the longest, or -1. */
static int oldest_twin(const struct m_index *x, struct m_key key)
{
	int best = -1;

	for (int i = 0; i < x->n_nodes; i++) {
		const struct m_node *n = &x->node[i];

		if (n->used && n->twin && m_key_equal(n->key, key) &&
		    (best < 0 || n->tick < x->node[best].tick))
			best = i;
	}
	return best;
}

/* Takes a carrier out; the oldest twin, if any, inherits its children. */
static void leave(struct m_index *x, int i)
{
	int heir = oldest_twin(x, x->node[i].key);

	if (heir >= 0)
		x->node[heir].twin = false;
	for (int c = 0; c < x->n_nodes; c++) {
		if (x->node[c].used && x->node[c].parent == i) {
			M_ASSERT(heir >= 0);
			x->node[c].parent = heir;
		}
	}
	x->node[i].used = false;
}

static void count_children(struct m_index *x)
{
	for (int i = 0; i < x->n_nodes; i++)
		x->node[i].children = 0;
	for (int i = 0; i < x->n_nodes; i++) {
		if (x->node[i].used && x->node[i].parent >= 0)
			x->node[x->node[i].parent].children++;
	}
}

static int bare_placeholder(const struct m_index *x)
{
	for (int i = 0; i < x->n_nodes; i++) {
		const struct m_node *n = &x->node[i];

		if (n->used && n->block == M_NONE && !n->children)
			return i;
	}
	return -1;
}

/* Placeholders with nothing under them go, and so on up; then who is a leaf? */
static void settle(struct m_index *x)
{
	int gone, leaves = 0;

	count_children(x);
	while ((gone = bare_placeholder(x)) >= 0) {
		leave(x, gone);
		count_children(x);
	}
	for (int i = 0; i < x->n_nodes; i++) {
		struct m_node *n = &x->node[i];
		bool leaf = n->used && n->block != M_NONE && !n->children;

		if (leaf && !n->leaf) {
			n->leaf_seq = ++x->seq;
			leaves++;
		}
		n->leaf = leaf;
	}
	/* More than one at a time, and their order would be anybody's guess. */
	M_ASSERT(leaves <= 1);
}

/* The node to hang under; a placeholder is made where there is none. */
static int parent_node(struct m_index *x, struct m_hash h)
{
	struct m_key key;
	int i;

	if (!m_hash_parent_key(h, &key))
		return -1;
	i = carrier(x, key);
	return i >= 0 ? i : new_node(x, key);
}

static void tree_insert(struct m_index *x, uint32_t block, struct m_hash h)
{
	struct m_key key = m_hash_node_key(h);
	int i = carrier(x, key);
	bool mine = false, twin = false;

	if (i >= 0 && x->node[i].block == M_NONE) {
		/* Its own placeholder, with link, or one that was nobody's. */
		mine = x->node[i].stands_for == block;
		twin = !mine && x->node[i].stands_for != M_NONE;
	} else if (i >= 0) {
		twin = true;
	}
	if (i < 0 || twin)
		i = new_node(x, key);
	x->node[i].twin = twin;
	x->node[i].block = block;
	x->node[i].stands_for = M_NONE;
	x->node[i].tick = ++x->seq;
	x->node[i].leaf = false;
	if (!mine) {
		int up = parent_node(x, h);

		x->node[i].parent = up;
	}
	settle(x);
}

static void tree_remove(struct m_index *x, uint32_t block)
{
	int i = node_of(x, block);

	M_ASSERT(i >= 0);
	if (x->node[i].twin) {
		x->node[i].used = false;
	} else if (x->node[i].children) {
		x->node[i].block = M_NONE;
		x->node[i].stands_for = block;
	} else {
		leave(x, i);
	}
	settle(x);
}

/* The next victim: a leaf, by its rank, then by the order of the policy. */
static int tree_first(const struct m_index *x, const uint8_t *rank)
{
	int best = -1;
	uint64_t least = UINT64_MAX;
	uint8_t lowest = UINT8_MAX;

	for (int i = 0; i < x->n_nodes; i++) {
		const struct m_node *n = &x->node[i];
		uint64_t place = x->policy == M_lineage_tick ? n->tick :
							       n->leaf_seq;

		if (!n->used || !n->leaf)
			continue;
		if (rank[n->block] < lowest ||
		    (rank[n->block] == lowest && place < least)) {
			lowest = rank[n->block];
			least = place;
			best = i;
		}
	}
	return best;
}

static uint32_t tree_pop(struct m_index *x, const uint8_t *rank)
{
	int i = tree_first(x, rank);
	uint32_t block;

	M_ASSERT(i >= 0);
	block = x->node[i].block;
	tree_remove(x, block);
	return block;
}

void m_index_forget(struct m_index *x, uint32_t block)
{
	if (!is_lineage(x))
		return;
	for (int i = 0; i < x->n_nodes; i++) {
		struct m_node *n = &x->node[i];

		if (!n->used || n->block != M_NONE || n->stands_for != block)
			continue;
		if (oldest_twin(x, n->key) >= 0) {
			leave(x, i);
		} else {
			n->stands_for = M_NONE;
			n->parent = -1;
		}
		settle(x);
		return;
	}
}

/* ---- all policies ---- */

void m_index_insert(struct m_index *x, uint32_t block, struct m_hash h,
		    unsigned int list)
{
	M_ASSERT(!m_index_has(x, block));
	if (is_lineage(x))
		tree_insert(x, block, h);
	else
		x->idle[block] = (struct m_idle){
			.in = true,
			.list = x->policy == M_multi_lru ? list : 0,
			.seq = ++x->seq,
		};
	x->len++;
}

/* A carrier of nothing gives the key to a twin, as if it had been away. */
static void tree_touch(struct m_index *x, uint32_t block)
{
	struct m_node *n = &x->node[node_of(x, block)];
	int heir = oldest_twin(x, n->key);

	if (!n->twin && !n->children && heir >= 0) {
		x->node[heir].twin = false;
		n->twin = true;
	}
	n->tick = ++x->seq;
	if (n->leaf)
		n->leaf_seq = ++x->seq;
}

void m_index_touch(struct m_index *x, uint32_t block, unsigned int list)
{
	M_ASSERT(m_index_has(x, block));
	if (is_lineage(x)) {
		tree_touch(x, block);
		return;
	}
	x->idle[block].list = x->policy == M_multi_lru ? list : 0;
	x->idle[block].seq = ++x->seq;
}

void m_index_remove(struct m_index *x, uint32_t block)
{
	M_ASSERT(m_index_has(x, block));
	if (is_lineage(x))
		tree_remove(x, block);
	else
		x->idle[block].in = false;
	x->len--;
}

static bool goes_before(const struct m_index *x, const uint8_t *rank,
			uint32_t i, uint32_t k)
{
	const struct m_idle *a = &x->idle[i], *b = &x->idle[k];

	if (rank[i] != rank[k])
		return rank[i] < rank[k];
	return a->list != b->list ? a->list < b->list : a->seq < b->seq;
}

uint32_t m_index_pop(struct m_index *x, const uint8_t *rank)
{
	uint32_t best = M_NONE;

	M_ASSERT(x->len);
	x->len--;
	if (is_lineage(x))
		return tree_pop(x, rank);
	for (uint32_t i = 0; i < x->total; i++) {
		if (x->idle[i].in &&
		    (best == M_NONE || goes_before(x, rank, i, best)))
			best = i;
	}
	M_ASSERT(best != M_NONE);
	x->idle[best].in = false;
	return best;
}

bool m_index_has(const struct m_index *x, uint32_t block)
{
	return is_lineage(x) ? node_of(x, block) >= 0 : x->idle[block].in;
}

void m_index_check(const struct m_index *x)
{
	uint32_t blocks = 0, placeholders = 0, leaves = 0;

	for (uint32_t i = 0; x->idle && i < x->total; i++)
		blocks += x->idle[i].in;
	for (int i = 0; i < x->n_nodes; i++) {
		const struct m_node *n = &x->node[i];

		if (!n->used)
			continue;
		leaves += n->leaf;
		if (n->block == M_NONE) {
			placeholders++;
			M_ASSERT(n->children && !n->leaf && !n->twin);
			M_ASSERT(n->stands_for != M_NONE || n->parent < 0);
		} else {
			blocks++;
			M_ASSERT(n->leaf == !n->children);
			M_ASSERT(!n->twin || n->leaf);
		}
		if (n->twin)
			M_ASSERT(carrier(x, n->key) >= 0);
		else
			M_ASSERT(carrier(x, n->key) == i);
		if (n->parent >= 0) {
			const struct m_node *up = &x->node[n->parent];

			M_ASSERT(up->used && !up->twin);
			M_ASSERT(up->key.position + 1 == n->key.position);
		}
	}
	M_ASSERT(blocks == x->len);
	M_ASSERT(placeholders <= x->total);
	M_ASSERT(!is_lineage(x) || !blocks == !leaves);
}

void m_index_dump(const struct m_index *x, FILE *out)
{
	for (uint32_t i = 0; x->idle && i < x->total; i++) {
		if (x->idle[i].in)
			fprintf(out, "block %" PRIu32 " list %u seq %" PRIu64 "\n",
				i, x->idle[i].list, x->idle[i].seq);
	}
	for (int i = 0; i < x->n_nodes; i++) {
		const struct m_node *n = &x->node[i];

		if (!n->used)
			continue;
		fprintf(out, "node %d (%" PRIu32 ",%" PRIx64 ") up %d",
			i, n->key.position, n->key.fragment, n->parent);
		if (n->block != M_NONE)
			fprintf(out, " block %" PRIu32 " tick %" PRIu64 " leaf_seq %" PRIu64,
				n->block, n->tick, n->leaf_seq);
		else if (n->stands_for != M_NONE)
			fprintf(out, " placeholder of %" PRIu32, n->stands_for);
		else
			fputs(" placeholder", out);
		fprintf(out, "%s%s\n", n->twin ? " twin" : "",
			n->leaf ? " leaf" : "");
	}
}
