/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_HRTIMER_H
#define HOST_LINUX_HRTIMER_H

#include <linux/ktime.h>
#include <linux/sched.h>
enum hrtimer_mode {
	HRTIMER_MODE_ABS,
	HRTIMER_MODE_REL,
};

/* 0 at the deadline, -EINTR if woken before. */
int schedule_hrtimeout_range(ktime_t *expires, u64 delta,
			     const enum hrtimer_mode mode);
/* All clocks are one. */
#define schedule_hrtimeout_range_clock(expires, delta, mode, clock) \
	((void)(clock), schedule_hrtimeout_range(expires, delta, mode))
#define schedule_hrtimeout(expires, mode) \
	schedule_hrtimeout_range(expires, 0, mode)

#endif
