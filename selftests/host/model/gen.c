// SPDX-License-Identifier: MIT
/*
 * The generator. It looks at the model to make operations that mostly succeed,
 * under a pressure that keeps evictions, resurrections and full stores common.
 */
#include <stdlib.h>
#include <string.h>

#include "gen.h"

void gen_init(struct gen *g, const struct g_config *cfg, uint32_t total)
{
	int n = cfg->universe;

	memset(g, 0, sizeof(*g));
	g->cfg = *cfg;
	g->rng.s = cfg->seed;
	/* From fewer hashes than blocks to three for each block. */
	if (!n)
		n = total / 2 + 2 + (int)g_below(&g->rng, 5 * total / 2 + 2);
	if (n > G_UNIVERSE)
		n = G_UNIVERSE;
	g_universe_init(&g->u, &g->rng, n, cfg->twins);
}

/* ---- choosing ---- */

static uint32_t batch(struct gen *g)
{
	uint32_t max = g->cfg.max_batch;

	if (!max) {
		if (g_once_in(&g->rng, 40))
			max = G_MAX;
		else
			max = g_once_in(&g->rng, 4) ? 16 : 4;
	}
	return 1 + g_below(&g->rng, max);
}

static bool odd(struct gen *g, uint32_t n)
{
	return g->cfg.invalid && g_once_in(&g->rng, n);
}

static uint32_t odd_id(struct gen *g, const struct model *m)
{
	static const uint32_t far[] = { 0, 1, 511, 512, 1u << 20, 1u << 28,
					0x7fffffff, 0xffffffff };
	uint32_t total = m->cfg.total;

	if (g_once_in(&g->rng, 3))
		return total + far[g_below(&g->rng, 6)];
	if (g_once_in(&g->rng, 4))
		return far[6 + g_below(&g->rng, 2)];
	return g_below(&g->rng, total);
}

static bool wanted(const struct model *m, int s, uint32_t id,
		   enum m_state state)
{
	if (state == M_PRIMARY)		/* any registered block it holds */
		return m->slot[id].holds[s];
	return m_owns(m, s, id, state);
}

/* All blocks that the session has in a state, ascending. */
static uint32_t mine(const struct model *m, int s, enum m_state state,
		     uint32_t *ids)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->cfg.total && n < G_MAX; i++) {
		if (wanted(m, s, i, state))
			ids[n++] = i;
	}
	return n;
}

static void reverse(uint32_t *ids, uint32_t n)
{
	for (uint32_t i = 0; i < n / 2; i++) {
		uint32_t t = ids[i];

		ids[i] = ids[n - 1 - i];
		ids[n - 1 - i] = t;
	}
}

static void shuffle(struct gen *g, uint32_t *ids, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t k = g_below(&g->rng, i), t = ids[i - 1];

		ids[i - 1] = ids[k];
		ids[k] = t;
	}
}

/* Some of the blocks the session has in a state, in some order. */
static void some_of(struct gen *g, const struct model *m, struct g_op *op,
		    enum m_state state)
{
	uint32_t n = mine(m, op->session, state, op->ids), want = batch(g);

	switch (g_below(&g->rng, 3)) {
	case 0:
		reverse(op->ids, n);
		break;
	case 1:
		shuffle(g, op->ids, n);
		break;
	}
	op->n = n < want ? n : want;
	if (odd(g, 12) && op->n < G_MAX) {
		/* A wrong one somewhere, or the same one twice. */
		uint32_t at = g_below(&g->rng, op->n + 1);

		memmove(op->ids + at + 1, op->ids + at,
			(op->n - at) * sizeof(op->ids[0]));
		if (!op->n || g_once_in(&g->rng, 2))
			op->ids[at] = odd_id(g, m);
		else
			op->ids[at] = op->ids[at ? 0 : 1];
		op->n++;
	}
}

static void query(struct gen *g, struct g_op *op)
{
	struct g_rng *r = &g->rng;

	op->n = g_path(&g->u, r, op->hash, batch(g));
	if (g_once_in(r, 4)) {
		/* Not a chain: anything after anything. */
		op->n = batch(g);
		g_runs(&g->u, r, op->hash, op->n);
	}
	if (g_once_in(r, 8)) {
		uint32_t at = g_below(r, op->n);

		op->hash[at] = op->hash[g_below(r, op->n)];
	}
	/* Whether touching what no block can carry counts is left open. */
	if (op->kind != G_TOUCH && op->kind != G_NEWEST && odd(g, 12))
		op->hash[g_below(r, op->n)] = g_bad_hash(r);
}

static void staging(struct gen *g, const struct model *m, struct g_op *op)
{
	struct g_rng *r = &g->rng;

	some_of(g, m, op, M_MUTABLE);
	g_runs(&g->u, r, op->hash, op->n);
	if (op->n && odd(g, 16))
		op->hash[g_below(r, op->n)] = g_bad_hash(r);
	/* Stage and register in one call carries no token counts. */
	if (op->kind == G_STAGE && g_once_in(r, 2))
		op->tokens = m->cfg.block_size;
	if (op->kind == G_STAGE && odd(g, 24))
		op->tokens = 1 + g_below(r, 2 * m->cfg.block_size);
	op->dup = g_once_in(r, 3) ? 1 + g_below(r, 2) : M_DUP_DEFAULT;
}

/* Some batches come with notes; a note may be zeroes. */
static void noting(struct gen *g, const struct model *m, struct g_op *op)
{
	op->noted = m->cfg.notes && g_once_in(&g->rng, 2);
	for (uint32_t i = 0; op->noted && i < op->n; i++)
		op->note[i] = g_once_in(&g->rng, 8) ? 0 : g_random(&g->rng);
}

static uint32_t held_block(const struct model *m, int s, struct m_hash h)
{
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		if (m->slot[i].holds[s] && m_hash_equal(m->slot[i].hash, h))
			return i;
	}
	return M_NONE;
}

/* Every hold of some blocks, so that they become idle; or one too many. */
static void let_go(struct gen *g, const struct model *m, struct g_op *op)
{
	uint32_t ids[G_MAX], want;

	some_of(g, m, op, M_PRIMARY);
	want = op->n;
	memcpy(ids, op->ids, sizeof(ids));
	op->n = 0;
	for (uint32_t i = 0; i < want; i++) {
		uint32_t n = 1;

		if (ids[i] < m->cfg.total)
			n = m->slot[ids[i]].holds[op->session];
		if (odd(g, 40))
			n++;
		while (n-- && op->n < G_MAX)
			op->ids[op->n++] = ids[i];
	}
}

static void releasing(struct gen *g, const struct model *m, struct g_op *op)
{
	struct m_hash path[G_MAX];
	struct g_rng *r = &g->rng;
	uint32_t n = 0, id;

	switch (g_below(r, 8)) {
	case 0:
	case 1:
	case 2:		/* a chain, tail first or head first */
		n = g_path(&g->u, r, path, G_MAX);
		for (uint32_t i = 0; i < n; i++) {
			id = held_block(m, op->session, path[i]);
			if (id != M_NONE)
				op->ids[op->n++] = id;
		}
		if (!g_once_in(r, 3))
			reverse(op->ids, op->n);
		if (op->n)
			return;
		break;
	case 3:
	case 5:
	case 6:
		let_go(g, m, op);
		return;
	case 4:
		some_of(g, m, op, g_once_in(r, 2) ? M_MUTABLE : M_STAGED);
		if (op->n)
			return;
		break;
	}
	some_of(g, m, op, M_PRIMARY);
}

/* Remembers a weak reference to something the session holds. */
static void remember(struct gen *g, const struct model *m, int s)
{
	uint32_t ids[G_MAX], n = mine(m, s, M_PRIMARY, ids);
	struct m_weak *w;

	if (!n)
		return;
	if (g->n_weak < G_WEAKS)
		w = &g->weak[g->n_weak++];
	else
		w = &g->weak[g_below(&g->rng, G_WEAKS)];
	M_ASSERT(!m_weak(m, s, ids[g_below(&g->rng, n)], w));
}

static void upgrading(struct gen *g, const struct model *m, struct g_op *op)
{
	struct g_rng *r = &g->rng;

	op->n = g->n_weak ? batch(g) : 0;
	for (uint32_t i = 0; i < op->n; i++) {
		const struct m_weak *w = &g->weak[g_below(r, g->n_weak)];

		op->ids[i] = w->id;
		op->generation[i] = w->generation;
		op->hash[i] = w->hash;
		if (odd(g, 16))
			op->ids[i] = odd_id(g, m);
		if (odd(g, 16))
			op->generation[i]++;
		if (odd(g, 32))
			op->hash[i] = g_bad_hash(r);
	}
}

/* A rank, for good or for a time that comes soon, or has come. */
static void ranking(struct gen *g, const struct model *m, struct g_op *op)
{
	struct g_rng *r = &g->rng;

	op->rank = g_below(r, 4);
	if (op->rank != M_RANK_NORMAL && !g_once_in(r, 3))
		op->ns = m->now_ns - (1 << 20) +
			 ((uint64_t)g_below(r, 1 << 10) << 14);
}

/* ---- the stream ---- */

static const struct {
	enum g_kind kind;
	int weight;
} mix[] = {
	{ G_MATCH, 180 },
	{ G_SCAN, 50 },
	{ G_SCAN_TOUCH, 30 },
	{ G_ALLOC, 140 },
	{ G_ALLOC_RESET, 30 },
	{ G_STAGE, 50 },
	{ G_CLAIM, 60 },
	{ G_UNSTAGE, 15 },
	{ G_REGISTER, 60 },
	{ G_STAGE_REGISTER, 130 },
	{ G_RELEASE, 260 },
	{ G_RETAIN, 30 },
	{ G_SET_RESET, 25 },
	{ G_OFFER, 30 },
	{ G_ACCEPT, 30 },
	{ G_WITHDRAW, 12 },
	{ G_UPGRADE, 40 },
	{ G_INVALIDATE, 8 },
	{ G_INVALIDATE_ALL, 1 },
	{ G_RESET_INACTIVE, 1 },
	{ G_COUNTS, 20 },
	{ G_PRESENCE, 20 },
	{ G_PENDING, 30 },
	{ G_INFO, 30 },
	{ G_TOUCH, 20 },
	{ G_NEWEST, 20 },
	{ G_KEEP, 40 },
	{ G_KEEP_HASHES, 50 },
	{ G_TIME, 20 },
	{ G_FREQ, 20 },
	{ G_CLOSE, 6 },
};

static enum g_kind any_kind(struct gen *g)
{
	int sum = 0, at;

	for (size_t i = 0; i < sizeof(mix) / sizeof(mix[0]); i++)
		sum += mix[i].weight;
	at = (int)g_below(&g->rng, sum);
	for (size_t i = 0;; i++) {
		at -= mix[i].weight;
		if (at < 0)
			return mix[i].kind;
	}
}

/* Operations that make blocks idle, or lead there. */
static enum g_kind relief(struct gen *g, const struct model *m, int s)
{
	uint32_t ids[G_MAX];

	if (g_once_in(&g->rng, 60))
		return G_CLOSE;
	if (g_once_in(&g->rng, 3) && mine(m, s, M_MUTABLE, ids))
		return G_STAGE_REGISTER;
	if (g_once_in(&g->rng, 3) && mine(m, s, M_STAGED, ids))
		return G_REGISTER;
	return G_RELEASE;
}

static void try_next(struct gen *g, const struct model *m, struct g_op *op)
{
	struct g_rng *r = &g->rng;
	uint32_t available = m->n_free + m->index.len;

	memset(op, 0, sizeof(*op));
	op->tokens = M_TOKENS_NONE;
	op->session = (int)g_below(r, g->cfg.sessions);
	op->kind = any_kind(g);
	if (!m->open[op->session]) {
		op->kind = G_OPEN;
		return;
	}
	/* Operations that only a store with ranks accepts. */
	if (!m->cfg.keep_blocks &&
	    (op->kind == G_KEEP || op->kind == G_KEEP_HASHES ||
	     op->kind == G_TIME))
		op->kind = G_RELEASE;
	if (g_once_in(r, 4))
		remember(g, m, op->session);
	/* Blocks that nobody could match tell little. */
	if (mine(m, op->session, M_MUTABLE, op->ids) > 4 && g_once_in(r, 3))
		op->kind = G_STAGE_REGISTER;
	/* When nearly all is held, give back more than is taken. */
	if (available < m->cfg.total / 3 + 1 && !g_once_in(r, 4))
		op->kind = relief(g, m, op->session);

	switch (op->kind) {
	case G_ALLOC:
	case G_ALLOC_RESET:
		op->n = batch(g);
		if (odd(g, 40))
			op->n = 0;
		else if (op->n > available && !odd(g, 8))
			op->n = available;
		if (op->n > G_MAX)
			op->n = G_MAX;
		break;
	case G_STAGE:
	case G_CLAIM:
	case G_STAGE_REGISTER:
		staging(g, m, op);
		noting(g, m, op);
		break;
	case G_UNSTAGE:
	case G_REGISTER:
		some_of(g, m, op, M_STAGED);
		op->dup = g_once_in(r, 3) ? 1 + g_below(r, 2) : M_DUP_DEFAULT;
		if (op->kind == G_REGISTER)
			noting(g, m, op);
		break;
	case G_RELEASE:
		releasing(g, m, op);
		break;
	case G_RETAIN:
		some_of(g, m, op, odd(g, 20) ? M_MUTABLE : M_PRIMARY);
		break;
	case G_SET_RESET:
		some_of(g, m, op, odd(g, 20) ? M_STAGED : M_PRIMARY);
		op->flag = g_once_in(r, 2);
		break;
	case G_OFFER:
		/* Refused at one of them it says little. */
		some_of(g, m, op, odd(g, 30) ? M_MUTABLE : M_PRIMARY);
		break;
	case G_ACCEPT:
		op->n = 1;
		op->generation[0] = g_below(r, g->cfg.sessions);
		break;
	case G_WITHDRAW:
		op->n = 1;
		break;
	case G_UPGRADE:
		upgrading(g, m, op);
		break;
	case G_KEEP:
		some_of(g, m, op, odd(g, 20) ? M_STAGED : M_PRIMARY);
		ranking(g, m, op);
		break;
	case G_KEEP_HASHES:
		query(g, op);
		ranking(g, m, op);
		break;
	case G_TIME:
		op->ns = g_below(r, 1 << 20) << g_below(r, 4);
		/* More than 64 that are late together are not exact. */
		op->flag = m->cfg.total <= 64 && g_once_in(r, 2);
		break;
	case G_MATCH:
	case G_SCAN:
	case G_SCAN_TOUCH:
	case G_PRESENCE:
	case G_PENDING:
	case G_TOUCH:
	case G_NEWEST:
	case G_FREQ:
		query(g, op);
		break;
	case G_INVALIDATE:
		query(g, op);
		op->flag = g_once_in(r, 2);
		if (op->flag) {
			op->n = 1;
			/* As a prefix, an invalid one is an error of its own. */
			if (!m_hash_valid(op->hash[0]))
				op->n = 0;
		}
		break;
	case G_INFO:
		op->n = 1;
		op->ids[0] = odd(g, 10) ? odd_id(g, m) :
					  g_below(r, m->cfg.total);
		break;
	default:
		break;
	}
}

static bool is_empty(const struct g_op *op)
{
	switch (op->kind) {
	case G_OPEN:
	case G_CLOSE:
	case G_COUNTS:
	case G_TIME:
	case G_INVALIDATE_ALL:
	case G_RESET_INACTIVE:
		return false;
	default:
		return !op->n;
	}
}

void gen_next(struct gen *g, const struct model *m, struct g_op *op)
{
	int tries = 0;

	/* Few empty batches: a session that has nothing leaves it to others. */
	do
		try_next(g, m, op);
	while (is_empty(op) && ++tries < 6);
}
