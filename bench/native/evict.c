// SPDX-License-Identifier: MIT
/* A full pool turns over: allocate by evicting, stage and register, release. */
#include "bench.h"
#include "event.h"

struct cycle {
	struct pool *p;
	u32 n;
	u32 at;				/* in the prompt that is under way */
	struct kvbm_hash keys[BATCH_MAX];
	struct kvbm_hash evicted[BATCH_MAX];
	struct kvbm_registered out[BATCH_MAX];
	u32 ids[BATCH_MAX];
};

/* Prompts of 128 blocks, for any batch size. */
static void new_keys(void *arg)
{
	struct cycle *c = arg;
	u32 i, n;

	for (i = 0; i < c->n; i += n) {
		n = min_t(u32, c->n - i, PROMPT - c->at);
		fresh_keys(c->p->fresh, c->at, n, &c->keys[i]);
		c->at += n;
		if (c->at < PROMPT)
			continue;
		c->at = 0;
		c->p->fresh++;
	}
}

static void op_alloc(void *arg)
{
	struct cycle *c = arg;

	call_alloc(c->p->own, c->n, c->ids, c->evicted);
}

static void op_register(void *arg)
{
	struct cycle *c = arg;

	call_register(c->p->own, c->keys, c->n, c->ids, c->out);
}

static void op_release(void *arg)
{
	struct cycle *c = arg;

	reverse(c->ids, c->n);
	call_release(c->p->own, c->ids, c->n);
}

static void op_cycle(void *arg)
{
	op_alloc(arg);
	op_register(arg);
	op_release(arg);
}

static void register_release(void *arg)
{
	op_register(arg);
	op_release(arg);
}

static void keys_alloc(void *arg)
{
	new_keys(arg);
	op_alloc(arg);
}

static void keys_alloc_register(void *arg)
{
	new_keys(arg);
	op_alloc(arg);
	op_register(arg);
}

static void cycle(struct cycle *c, const char *policy, u32 n, bool parts)
{
	struct figure f = {
		.name = "evict-cycle", .policy = policy, .pool = c->p->total,
		.n = n, .calls = 3,
	};
	struct work w = { .prepare = new_keys, .op = op_cycle, .arg = c,
			  .n = n };

	c->n = n;
	c->at = 0;
	run(&f, &w);
	if (!parts || opt.whole)
		return;
	f.calls = 1;
	f.name = "evict-alloc";
	w.op = op_alloc;
	w.finish = register_release;
	run(&f, &w);
	f.name = "register";
	w.prepare = keys_alloc;
	w.op = op_register;
	w.finish = op_release;
	run(&f, &w);
	f.name = "release-last";
	w.prepare = keys_alloc_register;
	w.op = op_release;
	w.finish = NULL;
	run(&f, &w);
}

void bench_turnover(const char *policy, u32 total)
{
	struct cycle c = { .p = pool_new(total, policy, false, FILL_IDLE) };
	static const u32 sizes[] = { 1, 8, 32, 128, 1024 };
	u32 i;

	session_pages(c.p->own);
	/* Let the first population go; of the largest pool, a part. */
	c.n = PROMPT;
	if (!opt.count)
		for (i = 0; i < min(total, 1U << 21) / c.n; i++) {
			new_keys(&c);
			op_cycle(&c);
		}
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (sizes[i] == 128 || !(opt.quick || opt.step))
			cycle(&c, policy, sizes[i],
			      opt.count || (sizes[i] == 128 && !opt.step));
	pool_free(c.p);
}

static void nobody(struct kvbm_ring *ring)
{
}

static void arm(void *arg)
{
	struct cycle *c = arg;

	new_keys(arg);
	WRITE_ONCE(c->p->st->ring->armed, true);
}

/*
 * What a ring costs those that make events: a block's cycle makes two, stored
 * and removed.  With a waiting reader, each operation also finds the ring armed
 * once, and calls ->wake.
 */
static void events(void)
{
	struct cycle c = { .p = pool_new(1U << 16, "lru", false, FILL_IDLE) };
	struct kvbm_ring ring = { .wake = nobody };
	struct figure f = {
		.name = "event-cycle", .policy = "lru", .pool = 1U << 16,
		.n = 128, .mode = "none", .calls = 3,
	};
	struct work w = { .prepare = new_keys, .op = op_cycle, .arg = &c,
			  .n = 128 };

	c.n = f.n;
	session_pages(c.p->own);
	run(&f, &w);
	CHECK(!kvbm_ring_init(c.p->st, &ring, 1U << 16));
	f.mode = "kept";
	run(&f, &w);
	f.mode = "kept, a reader waits";
	w.prepare = arm;
	run(&f, &w);
	c.p->st->ring = NULL;
	kvbm_ring_exit(&ring);
	pool_free(c.p);
}

void bench_evict(void)
{
	static const u32 totals[] = { 1U << 20, 1U << 12, 1U << 16, 1U << 24 };
	u32 i, t;

	if (wanted("event-cycle") && !opt.step)
		events();
	if (!wanted("evict-cycle") && !wanted("evict-alloc") &&
	    !wanted("register") && !wanted("release-last"))
		return;
	for (i = 0; i < NR_POLICIES; i++) {
		if (opt.count) {
			bench_turnover(policies[i], 1U << 16);
			continue;
		}
		for (t = 0; t < (opt.quick ? 1 : ARRAY_SIZE(totals)); t++)
			/* Filling the largest takes a while: three of them. */
			if ((totals[t] < 1U << 24 && !opt.step) || i < 3)
				bench_turnover(policies[i], totals[t]);
	}
}
