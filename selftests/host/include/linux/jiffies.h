/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_JIFFIES_H
#define HOST_LINUX_JIFFIES_H

#include <linux/ktime.h>
#define HZ CONFIG_HZ
#define TICK_NSEC (NSEC_PER_SEC / HZ)
#define jiffies ((unsigned long)(ktime_get_ns() / (NSEC_PER_SEC / HZ)))
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
