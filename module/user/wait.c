// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * wait.c - sleeping until an allocation is granted
 *
 * The queue is alloc.c's; here is only the sleep.  The waiter lives on the
 * sleeper's stack: it leaves only after kvbm_alloc_end_wait() had the store's
 * lock, under which the granter does all that it does with it.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include "file.h"

struct sleeper {
	struct kvbm_waiter w;
	struct task_struct *task;
};

static void sleeper_wake(struct kvbm_waiter *w)
{
	wake_up_process(container_of(w, struct sleeper, w)->task);
}

static int sleep_until(struct sleeper *s, struct kvbm_session *ses,
		       ktime_t *deadline)
{
	int err = 0;

	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (READ_ONCE(s->w.granted))
			break;
		err = READ_ONCE(ses->dead);
		if (err)
			break;
		if (signal_pending(current)) {
			/* The deadline is absolute: restarting is right. */
			err = -ERESTARTSYS;
			break;
		}
		if (!schedule_hrtimeout_range(deadline, 0, HRTIMER_MODE_ABS)) {
			err = -ETIMEDOUT;
			break;
		}
	}
	__set_current_state(TASK_RUNNING);
	return err;
}

/**
 * kvbm_alloc_wait() - reserve blocks, sleeping until they can be had
 * @t: filled in, as by kvbm_alloc_begin()
 * @ses: for this session
 * @n: blocks
 * @deadline_ns: absolute CLOCK_MONOTONIC, or ~0
 *
 * Return: 0, -ETIMEDOUT, -ERESTARTSYS, -EINTR (fatal signal), or as
 * kvbm_alloc_begin().
 */
int kvbm_alloc_wait(struct kvbm_taking *t, struct kvbm_session *ses, u32 n,
		    u64 deadline_ns)
{
	ktime_t deadline = ns_to_ktime(min_t(u64, deadline_ns, KTIME_MAX));
	struct sleeper s = {
		.w = { .n = n, .wake = sleeper_wake },
		.task = current,
	};
	bool fatal;
	int err;

	INIT_LIST_HEAD(&s.w.link);
	INIT_LIST_HEAD(&s.w.ses_link);
	err = kvbm_alloc_begin(t, ses, n, false, &s.w);
	if (err != -EINPROGRESS)
		return err;
	err = sleep_until(&s, ses,
			  deadline_ns >= KTIME_MAX ? NULL : &deadline);
	fatal = READ_ONCE(ses->dead) || fatal_signal_pending(current);
	if (err == -ERESTARTSYS && fatal_signal_pending(current))
		err = -EINTR;
	return kvbm_alloc_end_wait(t, &s.w, err, fatal);
}
