// SPDX-License-Identifier: MIT
/*
 * Costs that must depend neither on the shape of the forest nor on the keys:
 * chains of 1 to 65,536 blocks, parents with 16 to 65,535 children, keys that
 * collide under simple hash functions.
 */
#include "bench.h"

#define POOL	(1U << 17)
#define N	128U

struct shape {
	struct pool *p;
	u32 chain;		/* blocks of a chain, or 0 */
	u32 children;		/* of a parent, or 0 */
	u64 next;		/* blocks made so far */
	struct kvbm_hash keys[N];
	struct kvbm_registered out[N];
	u32 ids[N];
};

/* The i-th block of an endless row of chains or families. */
static void shape_key(const struct shape *s, u64 i, struct kvbm_hash *key)
{
	u64 nr, at, self, parent;

	if (s->chain) {
		nr = i / s->chain | 1ULL << 42;
		at = i % s->chain;
		self = chain_hash(nr, at);
		parent = at ? chain_hash(nr, at - 1) : 0;
		key_make(key, at, self, parent);
		return;
	}
	nr = i / (s->children + 1) | 1ULL << 43;
	at = i % (s->children + 1);
	self = chain_hash(nr, at);
	parent = at ? chain_hash(nr, 0) : 0;
	key_make(key, at ? 1 : 0, self, parent);
}

static void keys_at(struct shape *s, u64 from)
{
	u32 i;

	for (i = 0; i < N; i++)
		shape_key(s, from + i, &s->keys[i]);
}

static void prepare_cycle(void *arg)
{
	struct shape *s = arg;

	keys_at(s, s->next);
	s->next += N;
}

static void op_cycle(void *arg)
{
	struct shape *s = arg;

	call_alloc(s->p->own, N, s->ids, NULL);
	call_register(s->p->own, s->keys, N, s->ids, s->out);
	reverse(s->ids, N);
	call_release(s->p->own, s->ids, N);
}

/* Some row of blocks; all are there before anything is evicted. */
static void prepare_idle(void *arg)
{
	struct shape *s = arg;

	keys_at(s, rnd(&s->p->rng) % (POOL / N) * N);
}

static void op_idle(void *arg)
{
	struct shape *s = arg;

	CHECK(call_match(s->p->own, s->keys, N, s->ids) == N);
	reverse(s->ids, N);
	call_release(s->p->own, s->ids, N);
}

static void one(const char *policy, const char *mode, u32 chain, u32 children)
{
	struct figure f = { .name = "shape-idle", .policy = policy,
			    .pool = POOL, .n = N, .mode = mode, .calls = 2 };
	struct shape s = { .chain = chain, .children = children };
	struct work w = { .prepare = prepare_idle, .op = op_idle, .arg = &s,
			  .n = N };

	s.p = pool_new(POOL, policy, false, FILL_NONE);
	while (s.next < POOL) {
		prepare_cycle(&s);
		op_cycle(&s);
	}
	run(&f, &w);
	while (!opt.count && s.next < 2 * POOL) {
		prepare_cycle(&s);
		op_cycle(&s);
	}
	f.name = "shape-cycle";
	f.calls = 3;
	w.prepare = prepare_cycle;
	w.op = op_cycle;
	run(&f, &w);
	pool_free(s.p);
}

/* --- hostile keys -------------------------------------------------------- */

static void key_random(u64 i, struct kvbm_hash *k)
{
	k->hi = mix(i) >> 2;
	k->lo = mix(~i);
}

static void key_sequence(u64 i, struct kvbm_hash *k)
{
	*k = (struct kvbm_hash) { .hi = 0, .lo = i };
}

static void key_high_only(u64 i, struct kvbm_hash *k)
{
	*k = (struct kvbm_hash) { .hi = i << 40, .lo = 0 };
}

static void key_xor(u64 i, struct kvbm_hash *k)
{
	k->hi = mix(i) >> 2;
	k->lo = k->hi ^ 0x123456789abcdefULL;
}

static void key_sum(u64 i, struct kvbm_hash *k)
{
	k->hi = mix(i) >> 2;
	k->lo = -k->hi;
}

static void key_stride(u64 i, struct kvbm_hash *k)
{
	*k = (struct kvbm_hash) { .hi = i << 32, .lo = i << 48 };
}

static void key_product(u64 i, struct kvbm_hash *k)
{
	*k = (struct kvbm_hash) { .hi = i * 0x9e3779b97f4a7c15ULL >> 2,
				  .lo = i * 0x9e3779b97f4a7c15ULL << 20 };
}

static const struct family {
	const char *name;
	void (*key)(u64 i, struct kvbm_hash *k);
} families[] = {
	{ "random", key_random },
	{ "sequence", key_sequence },
	{ "high-half", key_high_only },
	{ "equal-xor", key_xor },
	{ "equal-sum", key_sum },
	{ "stride", key_stride },
	{ "product", key_product },
};

struct hostile {
	struct pool *p;
	const struct family *family;
	struct kvbm_hash keys[N];
	u32 ids[N];
};

static void prepare_hostile(void *arg)
{
	struct hostile *h = arg;
	u64 from = rnd(&h->p->rng) % (h->p->total / N) * N;
	u32 i;

	for (i = 0; i < N; i++)
		h->family->key(from + i, &h->keys[i]);
}

static void op_hostile(void *arg)
{
	struct hostile *h = arg;

	CHECK(call_match(h->p->own, h->keys, N, h->ids) == N);
	call_release(h->p->own, h->ids, N);
}

static void hostile(const struct family *family)
{
	struct figure f = { .name = "keys", .pool = 1U << 16, .n = N,
			    .mode = family->name, .calls = 2 };
	struct hostile h = { .family = family };
	struct work w = { .prepare = prepare_hostile, .op = op_hostile,
			  .arg = &h, .n = N };
	struct kvbm_registered out[N];
	u32 i, k;

	h.p = pool_new(f.pool, "lru", false, FILL_NONE);
	for (i = 0; i < f.pool; i += N) {
		for (k = 0; k < N; k++)
			family->key(i + k, &h.keys[k]);
		call_alloc(h.p->other, N, h.ids, NULL);
		call_register(h.p->other, h.keys, N, h.ids, out);
	}
	session_pages(h.p->own);
	run(&f, &w);
	pool_free(h.p);
}

void bench_shape(void)
{
	static const char *const names[] = { "lineage_tick", "lineage_fifo",
					     "lru" };
	u32 i;

	for (i = 0; (wanted("shape-cycle") || wanted("shape-idle")) &&
	     i < ARRAY_SIZE(names); i++) {
		one(names[i], "chain-1", 1, 0);
		one(names[i], "chain-256", 256, 0);
		one(names[i], "chain-65536", 65536, 0);
		one(names[i], "children-16", 0, 16);
		one(names[i], "children-4096", 0, 4096);
		one(names[i], "children-65535", 0, 65535);
	}
	for (i = 0; wanted("keys") && i < ARRAY_SIZE(families); i++)
		hostile(&families[i]);
}
