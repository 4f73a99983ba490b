/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SPINLOCK_TYPES_H
#define HOST_LINUX_SPINLOCK_TYPES_H

#include <linux/types.h>

#ifdef HOST_LOCK_TIMES
/*
 * How long a lock was held, in nanoseconds. Holds during which the thread was
 * preempted are kept apart: in the kernel a holder is not preempted.
 */
struct host_lock_times {
	u64 since;		/* of the current hold, in TSC ticks */
	u64 preemptions;	/* of the holder's thread when it took it */
	u64 count;
	u64 total_ns;
	u64 max_ns;
	u64 preempted;		/* how many */
	u64 preempted_max_ns;
	u64 hist[40];		/* by log2 of ns, preempted ones left out */
	const char *max_file;	/* who took the lock for the longest hold */
	int max_line;
	const char *file;
	int line;
};
#endif

typedef struct spinlock {
	unsigned int word;	/* 0 free, 1 held; see spinlock.h */
#ifdef HOST_DEBUG
	unsigned int owner;	/* host_thread_id() of the holder */
#endif
#ifdef HOST_LOCK_TIMES
	struct host_lock_times times;
#endif
} spinlock_t;

typedef spinlock_t raw_spinlock_t;

#define __SPIN_LOCK_UNLOCKED(name) { 0 }
#define DEFINE_SPINLOCK(x) spinlock_t x = __SPIN_LOCK_UNLOCKED(x)
#define DEFINE_RAW_SPINLOCK(x) DEFINE_SPINLOCK(x)

#endif
