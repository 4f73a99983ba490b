// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * wait.c - sleeping until an allocation is granted
 *
 * waiters.c has the queue; this file only sleeps.  A grant, or the end of the
 * session, changes the waiter's state under the store's lock and then wakes its
 * task; the sleeper frees the waiter once it has taken that lock too.
 */
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/time_namespace.h>
#include "claim.h"
#include "file.h"

static bool is_granted(const void *arg)
{
	const struct kvbm_waiter *w = arg;

	return READ_ONCE(w->state) >= KVBM_WAIT_GRANTED;
}

static bool is_over(const void *arg)
{
	const struct kvbm_claim_wait *w = arg;

	return READ_ONCE(w->over);
}

/*
 * Pairs with kvbm_wake_waiters() and kvbm_waiters_end(), and with their
 * counterparts for claims: they write the state, then call wake_up_process(),
 * which has a full barrier before it checks whether the task sleeps.  Here the
 * task sets its state, a full barrier follows, and then it checks the waiter's
 * state.  So at least one side sees the other.
 */
static int sleep_until(bool (*is_it)(const void *arg), const void *arg,
		       ktime_t *deadline, clockid_t clock)
{
	int err = 0;

	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (is_it(arg))
			break;
		if (signal_pending(current)) {
			/*
			 * The deadline is absolute, so restarting is correct.
			 */
			err = -ERESTARTSYS;
			break;
		}
		if (!schedule_hrtimeout_range_clock(deadline, 0,
						    HRTIMER_MODE_ABS, clock)) {
			err = -ETIMEDOUT;
			break;
		}
	}
	__set_current_state(TASK_RUNNING);
	return err;
}

/* How far the clock of the caller's time namespace is ahead of the kernel's. */
static s64 caller_ahead(u32 clock)
{
	struct timespec64 ahead = {};

	if (clock == KVBM_CLOCK_BOOTTIME)
		timens_add_boottime(&ahead);
	else
		timens_add_monotonic(&ahead);
	return timespec64_to_ns(&ahead);
}

/**
 * kvbm_kernel_ns() - convert a time of the caller's time namespace to the
 *	kernel's
 * @ns: the time
 * @clock: KVBM_CLOCK_*
 */
u64 kvbm_kernel_ns(u64 ns, u32 clock)
{
	s64 off = caller_ahead(clock);

	if (off > 0)
		ns -= min_t(u64, ns, off);
	else
		ns = min_t(u64, ns, KTIME_MAX) + -off;
	return min_t(u64, ns, KTIME_MAX);
}

/**
 * kvbm_caller_ns() - convert a time of the kernel's to the caller's time
 *	namespace
 * @ns: the time
 * @clock: KVBM_CLOCK_*
 */
u64 kvbm_caller_ns(u64 ns, u32 clock)
{
	s64 off = caller_ahead(clock);

	if (off < 0)
		return ns - min_t(u64, ns, -off);
	return ns + off;
}

/* The same with a deadline of the caller's. */
static int sleep_to_deadline(bool (*is_it)(const void *arg), const void *arg,
			     u64 deadline_ns, u32 clock)
{
	clockid_t id = clock == KVBM_CLOCK_BOOTTIME ? CLOCK_BOOTTIME :
						      CLOCK_MONOTONIC;
	ktime_t deadline;

	if (deadline_ns >= KTIME_MAX)
		return sleep_until(is_it, arg, NULL, id);
	deadline = ns_to_ktime(kvbm_kernel_ns(deadline_ns, clock));
	return sleep_until(is_it, arg, &deadline, id);
}

/**
 * kvbm_alloc_wait() - reserve blocks, sleeping until they are available
 * @t: filled in, as by kvbm_alloc_begin()
 * @ses: for this session
 * @args: blocks, deadline and clock
 * @file: the session's, if the caller's only reference to it is the descriptor
 *	table's; NULL: unknown
 * @ticket: in and out: place in the queue
 *
 * Return: 0, -ETIMEDOUT, -ERESTARTSYS, -EINTR (fatal signal), or as
 * kvbm_wait_begin().
 */
int kvbm_alloc_wait(struct kvbm_alloc_ctx *t, struct kvbm_session *ses,
		    const struct kvbm_alloc *args, struct file *file,
		    u32 *ticket)
{
	struct kvbm_waiter *w;
	bool alone, fatal;
	int err;

	/* No other thread and no other descriptor: nobody else can release. */
	alone = file && thread_group_empty(current) && file_count(file) == 1;
	err = kvbm_wait_begin(t, ses, args->count, *ticket, alone, &w);
	if (err)
		return err;
	err = sleep_to_deadline(is_granted, w, args->deadline_ns, args->clock);
	fatal = fatal_signal_pending(current);
	if (err == -ERESTARTSYS && fatal)
		err = -EINTR;
	return kvbm_wait_end(t, w, err, err == -ERESTARTSYS, fatal, ticket);
}

/**
 * kvbm_claims_wait() - sleep until the claims of some hashes have ended
 * @ses: the session
 * @args: deadline and clock
 * @keys: the hashes
 * @may_wait: otherwise -EAGAIN if it would have to
 * @left: out: claims that have not ended
 *
 * Return: 0, -ETIMEDOUT, -ERESTARTSYS, -EINTR (fatal signal), or as
 * kvbm_claim_wait_begin().
 */
int kvbm_claims_wait(struct kvbm_session *ses, const struct kvbm_wait *args,
		     const struct kvbm_hash *keys, bool may_wait, u32 *left)
{
	struct kvbm_claim_wait *w;
	int err;

	*left = 0;
	err = kvbm_claim_wait_begin(ses, keys, args->count, &w);
	if (err || !w)
		return err;
	/* If it may not sleep, the ring's worker tries again. */
	if (!may_wait)
		return kvbm_claim_wait_end(w, -EAGAIN, left);
	err = sleep_to_deadline(is_over, w, args->deadline_ns, args->clock);
	if (err == -ERESTARTSYS && fatal_signal_pending(current))
		err = -EINTR;
	return kvbm_claim_wait_end(w, err, left);
}
