// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * wait.c - sleeping until an allocation is granted
 *
 * The queue is waiters.c's; here is only the sleep.  Who grants, or ends the
 * session, changes the waiter's state under the store's lock and wakes its task
 * after that; the sleeper frees the waiter once it has had that lock too.
 */
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/time_namespace.h>
#include "file.h"

/*
 * Pairs with kvbm_room_told() and kvbm_waiters_end(): state written, then
 * wake_up_process(), which has a full barrier before it looks whether the task
 * sleeps; here the task says that it does, full barrier, then looks at the
 * state.  So not both miss the other.
 */
static int sleep_until(const struct kvbm_waiter *w, ktime_t *deadline,
		       clockid_t clock)
{
	int err = 0;

	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (READ_ONCE(w->state) >= KVBM_WAIT_GRANTED)
			break;
		if (signal_pending(current)) {
			/* The deadline is absolute: restarting is right. */
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

/* A time of the caller's time namespace, as the kernel counts. */
static ktime_t kernel_time(u64 ns, u32 clock)
{
	struct timespec64 ahead = {};
	s64 off;

	if (clock == KVBM_CLOCK_BOOTTIME)
		timens_add_boottime(&ahead);
	else
		timens_add_monotonic(&ahead);
	off = timespec64_to_ns(&ahead);
	if (off > 0)
		ns -= min_t(u64, ns, off);
	else
		ns += -off;
	return ns_to_ktime(min_t(u64, ns, KTIME_MAX));
}

/**
 * kvbm_alloc_wait() - reserve blocks, sleeping until they can be had
 * @t: filled in, as by kvbm_alloc_begin()
 * @ses: for this session
 * @args: blocks, deadline and clock
 * @file: the session's, when the caller has no other reference to it than the
 *	descriptor table's; NULL: unknown
 * @ticket: in and out: place in the queue
 *
 * Return: 0, -ETIMEDOUT, -ERESTARTSYS, -EINTR (fatal signal), or as
 * kvbm_wait_begin().
 */
int kvbm_alloc_wait(struct kvbm_taking *t, struct kvbm_session *ses,
		    const struct kvbm_alloc *args, struct file *file,
		    u32 *ticket)
{
	bool timed = args->deadline_ns < KTIME_MAX;
	clockid_t clock = args->clock == KVBM_CLOCK_BOOTTIME ? CLOCK_BOOTTIME :
							       CLOCK_MONOTONIC;
	ktime_t deadline = 0;
	struct kvbm_waiter *w;
	bool alone, fatal;
	int err;

	if (timed)
		deadline = kernel_time(args->deadline_ns, args->clock);
	/* No other thread, no other descriptor: nobody else can release. */
	alone = file && thread_group_empty(current) && file_count(file) == 1;
	err = kvbm_wait_begin(t, ses, args->count, *ticket, alone, &w);
	if (err)
		return err;
	err = sleep_until(w, timed ? &deadline : NULL, clock);
	fatal = fatal_signal_pending(current);
	if (err == -ERESTARTSYS && fatal)
		err = -EINTR;
	return kvbm_wait_end(t, w, err, err == -ERESTARTSYS, fatal, ticket);
}
