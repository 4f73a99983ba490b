/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_JIFFIES_H
#define HOST_LINUX_JIFFIES_H

#include <linux/ktime.h>
#define HZ CONFIG_HZ
#define TICK_NSEC (NSEC_PER_SEC / HZ)
#ifdef HOST_DEBUG
#define jiffies ((unsigned long)(ktime_get_ns() / TICK_NSEC))
#else
/* Costs one load, as in the kernel; as of the last look at the clock. */
extern unsigned long host_jiffies;
#define jiffies READ_ONCE(host_jiffies)
#endif
#define get_jiffies_64() ((u64)jiffies)
#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define time_after_eq(a, b) ((long)((a) - (b)) >= 0)
#define time_before_eq(a, b) time_after_eq(b, a)
#define MAX_JIFFY_OFFSET ((LONG_MAX >> 1) - 1)
#define MAX_SCHEDULE_TIMEOUT LONG_MAX
#define msecs_to_jiffies(m) (((unsigned long)(m) * HZ + 999) / 1000)
#define jiffies_to_msecs(j) ((unsigned int)((j) * (1000 / HZ)))
#define nsecs_to_jiffies(n) ((unsigned long)((n) / (NSEC_PER_SEC / HZ)))

#endif
