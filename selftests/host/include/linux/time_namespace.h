/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_TIME_NAMESPACE_H
#define HOST_LINUX_TIME_NAMESPACE_H

#include <time.h>
#include <linux/ktime.h>

struct timespec64 {
	time64_t tv_sec;
	long tv_nsec;
};

static inline s64 timespec64_to_ns(const struct timespec64 *ts)
{
	return ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec;
}

/* How far the caller's clocks are ahead; see host_set_time_offset(). */
extern s64 host_time_offset;
#define timens_add_monotonic(ts)                                   \
	((ts)->tv_sec += host_time_offset / NSEC_PER_SEC,          \
	 (ts)->tv_nsec += host_time_offset % NSEC_PER_SEC)
#define timens_add_boottime(ts) timens_add_monotonic(ts)

#endif
