/* SPDX-License-Identifier: MIT */
/*
 * Random operations: what an operation is, how the model runs it, and a
 * generator that makes a stream of them from a seed. A driver runs the same
 * operations on another store and compares the results.
 */
#ifndef KVBM_MODEL_GEN_H
#define KVBM_MODEL_GEN_H

#include "model.h"

#define G_MAX		96	/* longest batch: more than one chunk of 64 */
#define G_UNIVERSE	512	/* most hashes in play */
#define G_WEAKS		64	/* weak references remembered */

enum g_kind {
	G_OPEN,			/* session */
	G_CLOSE,		/* session: done = holds given back */
	G_ALLOC,		/* n: ids, evicted hashes */
	G_ALLOC_RESET,		/* n: ids */
	G_STAGE,		/* ids, hashes, tokens: done */
	G_CLAIM,		/* ids, hashes: done, val = enum m_claim */
	G_UNSTAGE,		/* ids: done */
	G_REGISTER,		/* ids, dup: done, ids, val = enum m_kind */
	G_STAGE_REGISTER,	/* ids, hashes, dup: as G_REGISTER */
	G_MATCH,		/* hashes: done, ids */
	G_SCAN,			/* hashes: done, ids */
	G_SCAN_TOUCH,		/* hashes: done, ids */
	G_RELEASE,		/* ids: done */
	G_RETAIN,		/* ids: done */
	G_SET_RESET,		/* ids, flag: done */
	G_OFFER,		/* ids: done, all or none */
	G_ACCEPT,		/* generation[0] = whose offer: done, ids */
	G_WITHDRAW,		/* done */
	G_UPGRADE,		/* ids, generations, hashes: done, ids */
	G_INVALIDATE,		/* hashes; flag: prefixes: forgotten */
	G_INVALIDATE_ALL,	/* forgotten */
	G_RESET_INACTIVE,	/* done = slots, flag = all of the store */
	G_COUNTS,		/* stats */
	G_PRESENCE,		/* hashes: done, val = enum m_presence */
	G_PENDING,		/* the same, M_PENDING too */
	G_INFO,			/* ids, one: info */
	G_TOUCH,		/* hashes: done */
	G_NEWEST,		/* hashes: done */
	G_KEEP,			/* ids, rank, ns: done, val = enum m_kept */
	G_KEEP_HASHES,		/* hashes, rank, ns: the same */
	G_TIME,			/* ns: so much later; flag: and at once */
	G_FREQ,			/* hashes: done, val */
	G_KINDS
};

extern const char *const g_kind_name[G_KINDS];

struct g_op {
	enum g_kind kind;
	int session;
	uint32_t n;
	uint32_t tokens;	/* M_TOKENS_NONE: not carried */
	enum m_dup dup;
	bool flag;
	enum m_rank rank;
	uint64_t ns;		/* G_KEEP: when it ends */
	uint32_t ids[G_MAX];
	uint32_t generation[G_MAX];
	struct m_hash hash[G_MAX];
	bool noted;		/* stage, claim, register: with notes */
	uint64_t note[G_MAX];
};

struct g_res {
	int err;		/* of the element that ended the batch, or 0 */
	uint32_t done;		/* elements that were done before it */
	bool flag;
	uint32_t ids[G_MAX];
	uint32_t val[G_MAX];
	uint64_t note[G_MAX];	/* match, scan, where blocks have notes */
	struct m_forgotten forgotten;
	uint32_t n_evicted;
	struct m_hash evicted[G_MAX];
	struct m_stats stats;
	struct m_info info;
};

/* -EBADF in res->err, and nothing done, when op's session is not open. */
void g_apply(struct model *m, const struct g_op *op, struct g_res *res);
/* NULL when equal as far as this kind of operation says; else what differs. */
const char *g_compare(const struct g_op *op, const struct g_res *a,
		      const struct g_res *b);
void g_print_op(const struct g_op *op, FILE *out);
void g_print_res(const struct g_op *op, const struct g_res *res, FILE *out);

/* ---- random numbers (splitmix64) ---- */

struct g_rng {
	uint64_t s;
};

uint64_t g_random(struct g_rng *r);
uint32_t g_below(struct g_rng *r, uint32_t n);
/* True once in n. */
bool g_once_in(struct g_rng *r, uint32_t n);

/* ---- hashes in play: a forest of chains ---- */

struct g_node {
	struct m_hash hash;
	int up;			/* parent in the universe or -1 */
};

struct g_universe {
	struct g_node node[G_UNIVERSE];
	int n;
};

enum g_twins {
	G_TWINS_NONE,		/* every node key is unique */
	G_TWINS_SOME,
	G_TWINS_MANY
};

void g_universe_init(struct g_universe *u, struct g_rng *r, int n,
		     enum g_twins twins);
/* Up to n hashes of a random chain, mostly from its root; returns how many. */
uint32_t g_path(const struct g_universe *u, struct g_rng *r,
		struct m_hash *out, uint32_t n);
/* Exactly n hashes: runs of parent, child, grandchild, ... */
void g_runs(const struct g_universe *u, struct g_rng *r, struct m_hash *out,
	    uint32_t n);
/* A hash that no block may carry: mode 3, or too wide for its position. */
struct m_hash g_bad_hash(struct g_rng *r);

/* ---- the stream ---- */

struct g_config {
	uint64_t seed;
	int sessions;		/* 1..M_MAX_SESSIONS */
	int universe;		/* hashes, 1..G_UNIVERSE; 0: by the total */
	uint32_t max_batch;	/* 1..G_MAX; 0: mostly short, some long */
	enum g_twins twins;
	bool invalid;		/* foreign ids, bad hashes, double releases */
};

struct gen {
	struct g_config cfg;
	struct g_rng rng;
	struct g_universe u;
	struct m_weak weak[G_WEAKS];
	int n_weak;
};

void gen_init(struct gen *g, const struct g_config *cfg, uint32_t total);
/* The next operation, chosen by looking at the model as it is now. */
void gen_next(struct gen *g, const struct model *m, struct g_op *op);

#endif
