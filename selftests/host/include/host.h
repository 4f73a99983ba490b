/* SPDX-License-Identifier: MIT */
#ifndef HOST_H
#define HOST_H

/*
 * What a test can do to the kernel that the stand-ins pretend to be. Nothing
 * here is for the code under test.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- random numbers ----------------------------------------------------- */

/* Makes get_random_*() repeat: one sequence for the whole process. */
void host_seed(uint64_t seed);

/* --- allocation --------------------------------------------------------- */

/*
 * The @nth allocation from now on in this thread fails (1 = the next one),
 * and then all succeed again. 0 switches off. Those with __GFP_NOFAIL are not
 * counted. A sweep counts n up from 1 until host_fail_fired() says false.
 */
void host_fail_nth(unsigned long nth);
/* Whether the failure asked for has happened; switches a pending one off. */
bool host_fail_fired(void);
/* Of a million allocations, in any thread, so many fail. 0 switches off. */
void host_fail_rate(unsigned int per_million);
/* Allocations fail that would bring the total above @bytes. 0: no limit. */
void host_mem_limit(size_t bytes);
/* What si_mem_available() answers, in bytes. 0: what the machine has. */
void host_mem_available(uint64_t bytes);

struct host_mem {
	size_t bytes;		/* live, as handed out by malloc() or mmap() */
	size_t peak;
	size_t objects;		/* live */
	size_t total;		/* allocations ever */
	size_t failed;		/* refused */
};

void host_mem_stats(struct host_mem *m);
void host_mem_reset_peak(void);

/* --- signals ------------------------------------------------------------ */

/* signal_pending(), and with @fatal also fatal_signal_pending(), hold. */
void host_set_signal(bool pending, bool fatal);
/*
 * A fatal signal arrives before the nth look at it (1 = the next), or as soon
 * as this thread sleeps.
 */
void host_fatal_after(unsigned long nth);
/* A signal to another thread, which it wakes. */
struct task_struct;
void host_send_signal(struct task_struct *t, bool fatal);

/* --- who reads early, who comes late ------------------------------------ */

/*
 * In builds with HOST_WEAK: one in @one_in points at which a thread can meet
 * another (locks, queues, sleeping) yields the processor or waits some
 * microseconds, and as often
 *
 * - waitqueue_active() answers what it could have answered at any time since
 *   the thread's last full barrier or acquiring operation;
 * - the state of __set_current_state() becomes visible at the thread's next
 *   full barrier only, or when it sleeps.
 *
 * Both is what a processor does whose stores wait in a buffer while later
 * loads are served. 0 switches off.
 */
void host_delays(unsigned int one_in);

/* thread_group_empty(): at first false. */
void host_set_alone(bool alone);

/* --- privileges --------------------------------------------------------- */

/* Who this thread's calls are made by, (unsigned)-1: the process. */
void host_set_user(unsigned int uid, unsigned int gid);

/* --- time --------------------------------------------------------------- */

/* Freezes ktime_get_ns() and jiffies at @ns; 0 goes back to the real clock. */
void host_set_time(uint64_t ns);

/* The callers' time namespace is so far ahead. */
void host_set_time_offset(int64_t ns);

/* --- deferred work and RCU ---------------------------------------------- */

/*
 * Work items and RCU callbacks run on a worker thread of their own, started
 * when first needed. When @manual they are parked instead until one of the
 * calls below, or until somebody waits for them (flush_work(), rcu_barrier(),
 * msleep()): then single-threaded tests repeat exactly.
 */
void host_work_manual(bool manual);
/*
 * Runs, in this thread, what is parked, delayed work too; but not what is queued
 * with a delay meanwhile. Returns how many.
 */
unsigned int host_run_work(void);
/* Waits for a grace period and runs the callbacks parked so far. */
void host_rcu_quiesce(void);
/* Until neither work nor callbacks are left, whoever runs them. */
void host_drain(void);

/* --- warnings ----------------------------------------------------------- */

/*
 * While @expected, WARN*() only counts instead of ending the process.
 * Returns how many were counted since the last call.
 */
unsigned int host_warn_expect(bool expected);
/* --- how long locks are held -------------------------------------------- */

#ifdef HOST_LOCK_TIMES
#include <linux/spinlock_types.h>
/* A snapshot; to be taken when nobody holds the lock. */
void host_lock_times(const spinlock_t *lock, struct host_lock_times *t);
void host_lock_times_reset(spinlock_t *lock);
#endif

#endif
