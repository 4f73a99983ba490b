/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_DELAY_H
#define HOST_LINUX_DELAY_H

#include <linux/ktime.h>
/* Sleeping also lets parked work run, see host.h. */
void host_sleep_ns(u64 ns);
#define msleep(ms) host_sleep_ns((u64)(ms) * NSEC_PER_MSEC)
#define usleep_range(lo, hi) host_sleep_ns((u64)(lo) * NSEC_PER_USEC)
#define fsleep(us) host_sleep_ns((u64)(us) * NSEC_PER_USEC)
#define msleep_interruptible(ms) (host_sleep_ns((u64)(ms) * NSEC_PER_MSEC), 0)
#define schedule_timeout_uninterruptible(j) \
	(host_sleep_ns((u64)(j) * (NSEC_PER_SEC / CONFIG_HZ)), 0L)
#define ssleep(s) msleep((s) * 1000)

#endif
