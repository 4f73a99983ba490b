// SPDX-License-Identifier: MIT
/*
 * The groups of figures that bench/run-reference compares, one at a time. The
 * program of the other side, bench/reference, has the same groups and uses the
 * same names.
 */
#include <stdio.h>
#include <string.h>
#include "bench.h"

#define TOTAL	(1U << 20)
#define HELD	1000000U
#define DEATHS	3

#define SMOKE		4096U
#define SMOKE_ROUNDS	100

/* A session that holds a million blocks dies; they become idle. */
static void reclaim(const char *policy)
{
	struct pool *p = pool_new(TOTAL, policy, false, FILL_IDLE);
	struct figure f = { .name = "reclaim", .policy = policy,
			    .pool = TOTAL, .n = HELD, .mode = "to-idle" };
	struct kvbm_session *ses;
	u32 i, prompts, held;
	u64 begin;

	for (i = 0; i < DEATHS; i++) {
		ses = session_new(p->st);
		held = pool_hold(p, ses, HELD, &prompts);
		begin = now_ns();
		kvbm_session_kill(ses, -ESHUTDOWN);
		session_end(ses);
		report_value(&f, "ns_per_block",
			     (double)(now_ns() - begin) / held);
	}
	pool_free(p);
}

/* The same blocks in the same order: what is found, what is evicted, and when. */
static void smoke(const char *policy)
{
	struct pool *p = pool_new(SMOKE, policy, false, FILL_IDLE);
	u64 matched = 0, present = 0, evicted = 0, order = 0;
	struct kvbm_hash keys[PROMPT], gone[PROMPT];
	struct kvbm_registered out[PROMPT];
	u32 ids[PROMPT], r, i, n;

	for (r = 0; r < SMOKE_ROUNDS; r++) {
		prompt_keys(rnd(&p->rng) % (p->families * FAMILY), keys);
		present += call_presence(p->own, keys, PROMPT);
		n = call_match(p->own, keys, PROMPT, ids);
		matched += n;
		reverse(ids, n);
		call_release(p->own, ids, n);
		if (r % 2)
			continue;

		memset(gone, 0, sizeof(gone));
		call_alloc(p->own, PROMPT, ids, gone);
		for (i = 0; i < PROMPT && (gone[i].hi | gone[i].lo); i++)
			order = mix(mix(order ^ gone[i].hi) ^ gone[i].lo);
		evicted += i;
		fresh_keys(p->fresh++, 0, PROMPT, keys);
		call_register(p->own, keys, PROMPT, ids, out);
		reverse(ids, PROMPT);
		call_release(p->own, ids, PROMPT);
	}
	printf("{\"name\": \"smoke\", \"policy\": \"%s\", \"matched\": %llu"
	       ", \"present\": %llu, \"evicted\": %llu, \"order\": \"%016llx\"}\n",
	       policy, matched, present, evicted, order);
	pool_free(p);
}

int bench_group(const char *name)
{
	u32 i;

	opt.quick = true;
	opt.whole = true;
	if (!strcmp(name, "smoke")) {
		for (i = 0; i < NR_POLICIES; i++)
			smoke(policies[i]);
	} else if (!strcmp(name, "calls")) {
		measure_syscalls();
	} else if (!strcmp(name, "held")) {
		bench_held(TOTAL);
	} else if (!strcmp(name, "tracked")) {
		bench_tracked(TOTAL);
	} else if (!strcmp(name, "threads")) {
		bench_two_threads(false);
		bench_two_threads_idle();
	} else if (kvbm_evict_find(name)) {
		bench_idle(name, TOTAL);
		reclaim(name);
		bench_turnover(name, TOTAL);
	} else {
		return 2;
	}
	return 0;
}
