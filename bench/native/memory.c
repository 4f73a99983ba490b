// SPDX-License-Identifier: MIT
/*
 * Bytes per block: all memory of a store and of one session that holds all its
 * blocks, as counted by the allocator, with every block registered.
 */
#include "bench.h"

static void one(const char *policy, u32 total)
{
	struct figure f = { .name = "memory", .policy = policy, .pool = total };
	struct host_mem before, after;
	struct pool *p;

	host_drain();
	host_mem_stats(&before);
	p = pool_new(total, policy, false, FILL_HELD);
	/* The pool's second session is not part of it. */
	session_end(p->own);
	host_drain();
	host_mem_stats(&after);
	p->own = session_new(p->st);
	report_value(&f, "bytes_per_block",
		     (double)(after.bytes - before.bytes) / total);
	pool_free(p);
}

void bench_memory(void)
{
	u32 i;

	if (!wanted("memory") || opt.count || opt.step)
		return;
	for (i = 0; i < NR_POLICIES; i++) {
		one(policies[i], 1U << 20);
		one(policies[i], 1000000);
	}
}
