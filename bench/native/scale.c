// SPDX-License-Identifier: MIT
/*
 * Two threads on one store, each with a session of its own: how much more do
 * they match and release than one thread does?
 *
 *	same, own	one prompt; each session holds it already, like a worker
 *			that keeps its system prompt held
 *	same, others	one prompt, held by a third session only
 *	disjoint, ...	two prompts
 */
#include "bench.h"

struct client {
	struct kvbm_session *ses;
	struct kvbm_hash keys[PROMPT];
	u32 ids[PROMPT];
} __aligned(128);

static struct client clients[2];

static void work(void *arg, u32 nr, u32 ops)
{
	struct client *c = &clients[nr];

	while (ops--) {
		CHECK(call_match(c->ses, c->keys, PROMPT, c->ids) == PROMPT);
		call_release(c->ses, c->ids, PROMPT);
	}
}

/* One worker, then two; ns a block is of both together. */
static void crowd(struct figure *f)
{
	double ns[3];
	u32 i;

	for (i = 1; i <= 2; i++) {
		ns[i] = crowd_run(i, false, work, NULL, 60, 1000) / PROMPT;
		f->threads = i;
		report_value(f, "ns_per_block", ns[i] / i);
	}
	report_value(f, "scaling", 2 * ns[1] / ns[2]);
}

/*
 * The control: two stores that share nothing at all. Its scaling is the best
 * that the machine can give.
 */
static void separate(void)
{
	struct figure f = { .name = "scale", .pool = 1U << 16, .n = PROMPT,
			    .mode = "control: two stores" };
	struct pool *p[2];
	u32 i;

	for (i = 0; i < 2; i++) {
		p[i] = pool_new(f.pool, "lru", false, FILL_HELD);
		clients[i].ses = p[i]->own;
		prompt_keys(9, clients[i].keys);
	}
	crowd(&f);
	for (i = 0; i < 2; i++)
		pool_free(p[i]);
}

static void one(struct pool *p, const char *mode, bool same, bool own)
{
	struct figure f = { .name = "scale", .pool = p->total, .n = PROMPT,
			    .mode = mode };
	u32 i;

	if (!wanted(f.name))
		return;
	for (i = 0; i < 2; i++) {
		clients[i].ses = i ? p->own : p->other;
		prompt_keys(same ? 1 : 9 + 16 * i, clients[i].keys);
		if (own)
			call_match(clients[i].ses, clients[i].keys, PROMPT,
				   clients[i].ids);
	}
	crowd(&f);
	for (i = 0; own && i < 2; i++)
		call_release(clients[i].ses, clients[i].ids, PROMPT);
}

void bench_two_threads(bool tracked)
{
	struct pool *p = pool_new(1U << 16, "lru", tracked, FILL_HELD);
	struct kvbm_session *holder = p->other;

	p->other = session_new(p->st);
	one(p, tracked ? "same,own,tracked" : "same,own", true, true);
	one(p, tracked ? "same,others,tracked" : "same,others", true, false);
	one(p, tracked ? "disjoint,own,tracked" : "disjoint,own", false, true);
	one(p, tracked ? "disjoint,others,tracked" : "disjoint,others", false,
	    false);
	session_end(holder);
	pool_free(p);
}

/* One prompt, held by the first to come: it leaves the order and returns. */
void bench_two_threads_idle(void)
{
	struct pool *p = pool_new(1U << 16, "lru", false, FILL_IDLE);

	one(p, "same,nobody", true, false);
	pool_free(p);
}

void bench_scale(void)
{
	if (opt.count || opt.step || !wanted("scale"))
		return;
	separate();
	bench_two_threads(false);
	bench_two_threads(true);
}
