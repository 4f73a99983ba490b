/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_KTIME_H
#define HOST_LINUX_KTIME_H

#include <linux/time64.h>
#include <linux/limits.h>
typedef s64 ktime_t;
#define KTIME_MAX S64_MAX
/* The monotonic clock, or the test's; see host.h. */
u64 ktime_get_ns(void);
u64 ktime_get_real_ns(void);
#define ktime_get() ((ktime_t)ktime_get_ns())
#define ktime_get_boottime_ns() ktime_get_ns()
#define ktime_get_boottime() ktime_get()
#define ktime_get_coarse_ns() ktime_get_ns()
#define ktime_get_mono_fast_ns() ktime_get_ns()
#define ktime_get_real_seconds() ((time64_t)(ktime_get_real_ns() / NSEC_PER_SEC))
#define ktime_get_seconds() ((time64_t)(ktime_get_ns() / NSEC_PER_SEC))
#define ktime_to_ns(kt) ((s64)(kt))
#define ns_to_ktime(ns) ((ktime_t)(ns))
#define ms_to_ktime(ms) ((ktime_t)(ms) * NSEC_PER_MSEC)
#define ktime_add(a, b) ((a) + (b))
#define ktime_sub(a, b) ((a) - (b))
#define ktime_add_ns(a, b) ((a) + (s64)(b))
#define ktime_compare(a, b) ((a) < (b) ? -1 : (a) > (b))
#define ktime_before(a, b) ((a) < (b))
#define ktime_after(a, b) ((a) > (b))
#define ktime_to_us(kt) ((s64)(kt) / NSEC_PER_USEC)
#define ktime_to_ms(kt) ((s64)(kt) / NSEC_PER_MSEC)

#endif
