// SPDX-License-Identifier: MIT
/* Cases that random operations do not reach, on both stores. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pair.h"

/* More holds than a session may have of one block, by every way to get one. */
bool hold_limit_test(void)
{
	const struct m_config cfg = { .total = 4, .block_size = 16,
				      .policy = M_lineage_tick };
	struct g_op op = { .kind = G_OPEN, .tokens = M_TOKENS_NONE };
	const struct m_hash h = m_hash_pack(1, 0, 0);
	static const enum g_kind over[] = { G_RETAIN, G_MATCH, G_SCAN,
					    G_UPGRADE, G_RELEASE };
	struct pair p;
	bool good;

	pair_init(&p, &cfg);
	good = pair_same(&p, &op);
	op.kind = G_ALLOC;
	op.n = 3;
	good = good && pair_same(&p, &op);
	for (uint32_t i = 0; i < G_MAX; i++)
		op.hash[i] = h;
	op.kind = G_STAGE_REGISTER;
	op.n = 1;
	good = good && pair_same(&p, &op) && p.rm.done == 1;
	op.kind = G_RETAIN;
	while (good && m_holds(p.m, 0) < M_HOLD_LIMIT) {
		op.n = (uint32_t)(M_HOLD_LIMIT - m_holds(p.m, 0));
		if (op.n > G_MAX)
			op.n = G_MAX;
		good = !pair_apply(&p, &op) && !p.rm.err;
	}
	for (size_t i = 0; good && i < sizeof(over) / sizeof(over[0]); i++) {
		op.kind = over[i];
		op.n = 2;
		good = pair_same(&p, &op) &&
		       p.rm.err == (op.kind == G_RELEASE ? 0 : -EOVERFLOW);
	}
	/* Two more fit now; the reject path takes them, then is refused. */
	op.kind = G_STAGE_REGISTER;
	op.dup = M_DUP_REJECT;
	op.n = 2;
	op.ids[0] = 1;
	op.ids[1] = 2;
	good = good && pair_same(&p, &op) && p.rm.done == 2;
	op.kind = G_ALLOC;
	op.n = 2;
	good = good && pair_same(&p, &op) && !p.rm.err;
	op.kind = G_STAGE_REGISTER;
	op.n = 1;
	op.ids[0] = p.rm.ids[0];
	good = good && pair_same(&p, &op) && p.rm.err == -EOVERFLOW;
	op.kind = G_CLOSE;
	good = good && pair_same(&p, &op) && p.rm.done == M_HOLD_LIMIT + 2;
	pair_exit(&p);
	return good;
}

/* One hash in a sketch of one word: the counter saturates, and is halved. */
bool halving_test(void)
{
	struct m_config cfg = { .total = 1, .block_size = 16,
				.policy = M_lru };
	struct g_op op = { .kind = G_OPEN };
	struct pair p;
	bool good = true;

	for (cfg.frequency = 1; good && cfg.frequency < 4; cfg.frequency++) {
		pair_init(&p, &cfg);
		op.kind = G_OPEN;
		good = pair_same(&p, &op);
		op.n = 1;
		op.hash[0] = m_hash_pack(cfg.frequency, 0, 0);
		for (int i = 0; good && i < 200; i++) {
			op.kind = i % 2 ? G_FREQ : G_TOUCH;
			good = pair_same(&p, &op);
		}
		pair_exit(&p);
	}
	return good;
}

/* Both accept and refuse the same stores. */
bool config_test(void)
{
	struct g_rng r = { .s = 1 };
	int refused = 0;

	for (int i = 0; i < 2000; i++) {
		struct m_config cfg = {
			.total = g_below(&r, 3),
			.block_size = g_once_in(&r, 8) ? g_below(&r, 2100) :
				      (1u << g_below(&r, 22)) +
				      g_below(&r, 2),
			.policy = g_below(&r, M_POLICIES),
			.frequency = g_below(&r, 2) << 8,
		};
		struct model *m;
		struct core *c;
		int em, ec;

		/* 0 stands for 16 in the module only. */
		if (!cfg.block_size)
			continue;
		if (cfg.policy == M_multi_lru && g_once_in(&r, 2)) {
			for (int k = 0; k < 3; k++)
				cfg.thresholds[k] = g_below(&r, 5) + 5 * k;
		}
		m = model_new(&cfg, &em);
		c = core_new(&cfg, &ec);
		model_free(m);
		if (c)
			core_free(c);
		if (em != ec) {
			printf("# total %u, block size %u, %s, frequency %" PRIu64
			       ", thresholds %u %u %u: model %d, core %d\n",
			       cfg.total, cfg.block_size,
			       m_policy_name[cfg.policy], cfg.frequency,
			       cfg.thresholds[0], cfg.thresholds[1],
			       cfg.thresholds[2], em, ec);
			return false;
		}
		refused += !!em;
	}
	return refused > 100 && refused < 1900;
}

/*
 * Long prunings: under a chain of blocks that are held, and thus placeholders,
 * the last idle block goes, by every way there is, often with more to do in the
 * same batch. The module does such work in bounded steps.
 */

#define DEEP_TOTAL	500
#define DEEP_CHAIN	400

struct deep {
	struct pair p;
	struct g_rng r;
	struct g_op op;
	struct m_hash chain[DEEP_CHAIN];
	bool good;
};

static void deep_run(struct deep *d, enum g_kind kind)
{
	d->op.kind = kind;
	d->good = d->good && pair_same(&d->p, &d->op);
	d->op.n = 0;
}

static void deep_add(struct deep *d, enum g_kind kind, uint32_t id,
		     struct m_hash h)
{
	d->op.ids[d->op.n] = id;
	d->op.hash[d->op.n++] = h;
	if (d->op.n == G_MAX)
		deep_run(d, kind);
}

/* Registers the missing part of the chain; then gives everything back. */
static void deep_fill(struct deep *d)
{
	struct model *m = d->p.m;
	uint32_t id = 0;

	d->op.dup = M_DUP_REJECT;
	for (int i = 0; i < DEEP_CHAIN && d->good; i++) {
		if (m_presence(m, d->chain[i]) != M_ABSENT)
			continue;
		while (id < DEEP_TOTAL && !m_owns(m, 0, id, M_MUTABLE))
			id++;
		if (id == DEEP_TOTAL) {
			if (d->op.n)
				deep_run(d, G_STAGE_REGISTER);
			d->op.n = 1;
			deep_run(d, G_ALLOC);
			id = d->p.rm.ids[0];
		}
		deep_add(d, G_STAGE_REGISTER, id++, d->chain[i]);
	}
	if (d->op.n)
		deep_run(d, G_STAGE_REGISTER);
	/* Children first, so that all hang together in the tree. */
	for (int i = DEEP_CHAIN; i-- > 0 && d->good;) {
		for (uint32_t b = 0; b < DEEP_TOTAL; b++) {
			uint32_t n = m->slot[b].holds[0];

			if (!m_hash_equal(m->slot[b].hash, d->chain[i]))
				continue;
			while (n--)
				deep_add(d, G_RELEASE, b, d->chain[i]);
		}
	}
	if (d->op.n)
		deep_run(d, G_RELEASE);
}

static uint32_t deep_block(const struct deep *d, int i)
{
	const struct model *m = d->p.m;

	for (uint32_t b = 0; b < DEEP_TOTAL; b++) {
		if (m_hash_equal(m->slot[b].hash, d->chain[i]) &&
		    m->slot[b].state != M_STAGED)
			return b;
	}
	return M_NONE;
}

static int placeholders(const struct model *m)
{
	int n = 0;

	for (int i = 0; i < m->index.n_nodes; i++)
		n += m->index.node[i].used && m->index.node[i].block == M_NONE;
	return n;
}

/* The block at position last is idle, those from first up to it are held. */
static void deep_strike(struct deep *d, int first, int last)
{
	struct g_rng *r = &d->r;
	uint32_t b = deep_block(d, last);
	int cut;

	switch (g_below(r, 6)) {
	case 0:			/* evicted, and more after it */
		d->op.n = d->p.m->n_free + 1 + g_below(r, 5);
		if (d->op.n > G_MAX)
			d->op.n = G_MAX;
		deep_run(d, G_ALLOC);
		break;
	case 1:			/* held, among others */
		for (int i = last; i >= 0 && i > last - 20; i--)
			deep_add(d, G_MATCH, 0, d->chain[i]);
		deep_run(d, G_MATCH);
		break;
	case 2:
		d->op.generation[0] = d->p.m->slot[b].generation;
		deep_add(d, G_UPGRADE, b, d->chain[last]);
		for (int i = 1; i < 20; i++) {
			d->op.generation[i] = UINT32_MAX;
			deep_add(d, G_UPGRADE, M_NONE,
				 d->chain[g_below(r, DEEP_CHAIN)]);
		}
		deep_run(d, G_UPGRADE);
		break;
	case 3:
		deep_run(d, G_RESET_INACTIVE);
		break;
	case 4:			/* registered again */
		d->op.n = 2;
		deep_run(d, G_ALLOC_RESET);
		if (d->p.rm.done < 2)
			break;
		memcpy(d->op.ids, d->p.rm.ids, 2 * sizeof(d->op.ids[0]));
		d->op.hash[0] = d->chain[last];
		d->op.hash[1] = d->chain[g_below(r, DEEP_CHAIN)];
		d->op.dup = g_once_in(r, 2) ? M_DUP_ALLOW : M_DUP_REJECT;
		d->op.n = 2;
		deep_run(d, G_STAGE_REGISTER);
		break;
	default:		/* the chain above it is cut, then it goes */
		cut = first + (int)g_below(r, last - first);
		d->op.flag = true;
		deep_add(d, G_SET_RESET, deep_block(d, cut), d->chain[cut]);
		deep_run(d, G_SET_RESET);
		for (int i = cut; i < last && i < cut + 40; i++)
			deep_add(d, G_RELEASE, deep_block(d, i), d->chain[i]);
		deep_run(d, G_RELEASE);
		deep_add(d, G_MATCH, 0, d->chain[last]);
		deep_run(d, G_MATCH);
		break;
	}
}

bool deep_test(enum m_policy policy, uint64_t seed)
{
	const struct m_config cfg = { .total = DEEP_TOTAL, .block_size = 16,
				      .policy = policy };
	static struct deep d;
	uint64_t current = 0;

	memset(&d, 0, sizeof(d));
	d.good = true;
	d.r.s = seed;
	d.op.tokens = M_TOKENS_NONE;
	for (int i = 0; i < DEEP_CHAIN; i++) {
		uint64_t parent = current;

		current = g_random(&d.r);
		d.chain[i] = m_hash_pack(current, parent, i);
	}
	pair_init(&d.p, &cfg);
	deep_run(&d, G_OPEN);
	for (int round = 0; round < 30 && d.good; round++) {
		int last = 100 + (int)g_below(&d.r, DEEP_CHAIN - 100);
		int first = (int)g_below(&d.r, last - 80);

		deep_fill(&d);
		/* All below the last one go, then those above it are held. */
		for (int i = last + 1; i < DEEP_CHAIN; i++)
			deep_add(&d, G_MATCH, 0, d.chain[i]);
		deep_run(&d, G_MATCH);
		for (int i = first; i < last; i++)
			deep_add(&d, G_MATCH, 0, d.chain[i]);
		deep_run(&d, G_MATCH);
		/* More than the module does in one go. */
		d.good = d.good && placeholders(d.p.m) >= 80;
		if (d.good)
			deep_strike(&d, first, last);
	}
	d.op.n = 0;
	deep_run(&d, G_CLOSE);
	pair_exit(&d.p);
	return d.good;
}
