// SPDX-License-Identifier: MIT
/*
 * How long spinlocks are held, for builds with HOST_LOCK_TIMES.
 *
 * The kernel does not preempt a spinlock's holder, but here it may, and the
 * longest hold would then be a time slice. So taking a lock begins a
 * restartable sequence (rseq(2)) that covers no instruction. The kernel drops
 * it, by writing a zero, when it preempts or migrates the thread. A hold that
 * finds the zero at its end is counted apart. Time that a hypervisor takes
 * away goes unnoticed.
 */
#ifdef HOST_LOCK_TIMES
#include <sys/rseq.h>
#include <time.h>
#include <x86intrin.h>

#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/spinlock.h>
#include "host.h"

/* Where an abort would go to has to be preceded by the signature. */
static const struct {
	u32 sig;
	u8 abort[4];
	u8 start[4];
} nowhere __aligned(32) = { RSEQ_SIG, { 0 }, { 0 } };

static struct rseq_cs no_code __aligned(32);
static double ns_per_tick;
static u64 tick_cost;	/* of reading the clock twice */

/* Locks that this thread holds, and how often it was preempted with any. */
static __thread unsigned int depth;
static __thread u64 preemptions;

static struct rseq *my_rseq(void)
{
	return (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void __attribute__((constructor)) lock_times_setup(void)
{
	u64 t0, ns0, t1, ns1, i;

	no_code = (struct rseq_cs){
		.start_ip = (unsigned long)nowhere.start,
		.post_commit_offset = 1,
		.abort_ip = (unsigned long)nowhere.abort,
	};
	ns0 = ktime_get_ns();
	t0 = __rdtsc();
	do {
		ns1 = ktime_get_ns();
		t1 = __rdtsc();
	} while (ns1 - ns0 < 20 * NSEC_PER_MSEC);
	ns_per_tick = (double)(ns1 - ns0) / (t1 - t0);
	tick_cost = ~0ULL;
	for (i = 0; i < 1000; i++) {
		t0 = __rdtsc();
		t1 = __rdtsc();
		tick_cost = min(tick_cost, t1 - t0);
	}
}

static void look(void)
{
	struct rseq *r = my_rseq();

	if (!__rseq_size)
		return;
	if (depth && !READ_ONCE(r->rseq_cs))
		preemptions++;
	WRITE_ONCE(r->rseq_cs, (unsigned long)&no_code);
	barrier();
}

void host_lock_took(struct host_lock_times *t, const char *file, int line)
{
	look();
	depth++;
	t->file = file;
	t->line = line;
	t->preemptions = preemptions;
	t->since = __rdtsc();
}

void host_lock_gives(struct host_lock_times *t)
{
	u64 ticks = __rdtsc() - t->since;
	u64 ns = (ticks > tick_cost ? ticks - tick_cost : 0) * ns_per_tick;

	look();
	depth--;
	t->count++;
	t->total_ns += ns;
	if (t->preemptions != preemptions) {
		t->preempted++;
		t->preempted_max_ns = max(t->preempted_max_ns, ns);
		return;
	}
	t->hist[min_t(int, fls64(ns), ARRAY_SIZE(t->hist) - 1)]++;
	if (ns > t->max_ns) {
		t->max_ns = ns;
		t->max_file = t->file;
		t->max_line = t->line;
	}
}

void host_lock_times(const spinlock_t *lock, struct host_lock_times *t)
{
	*t = lock->times;
}

void host_lock_times_reset(spinlock_t *lock)
{
	lock->times = (struct host_lock_times){ 0 };
}
#endif
