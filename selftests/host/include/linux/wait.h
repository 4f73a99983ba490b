/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_WAIT_H
#define HOST_LINUX_WAIT_H

#include <errno.h>
#include <pthread.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

typedef struct wait_queue_head {
	spinlock_t lock;
	unsigned long wakeups;
} wait_queue_head_t;

#define DECLARE_WAIT_QUEUE_HEAD(name) wait_queue_head_t name = { 0 }
void init_waitqueue_head(wait_queue_head_t *wq);
void host_wake(wait_queue_head_t *wq);
/* Waits for a wakeup after @seen; 0 when @until (ktime_get_ns()) has come. */
bool host_wait(wait_queue_head_t *wq, unsigned long seen, u64 until);

#define wake_up(wq) host_wake(wq)
#define wake_up_all(wq) host_wake(wq)
#define wake_up_interruptible(wq) host_wake(wq)
#define wake_up_interruptible_all(wq) host_wake(wq)
#define wq_has_sleeper(wq) ((void)(wq), true)
#define waitqueue_active(wq) ((void)(wq), true)

/* 1 the condition holds, 0 timed out, -ERESTARTSYS by a signal. */
#define host_wait_event(wq, condition, until, signalled) ({            \
	u64 __until = (until);                                         \
	int __ret;                                                     \
	might_sleep();                                                 \
	for (;;) {                                                     \
		unsigned long __seen = smp_load_acquire(&(wq).wakeups);\
		bool __more;                                           \
		if (condition) {                                       \
			__ret = 1;                                     \
			break;                                         \
		}                                                      \
		if (signalled) {                                       \
			__ret = -ERESTARTSYS;                          \
			break;                                         \
		}                                                      \
		__more = host_wait(&(wq), __seen, __until);            \
		if (!__more) {                                         \
			__ret = (condition) ? 1 : 0;                   \
			break;                                         \
		}                                                      \
	}                                                              \
	__ret; })
#define wait_event(wq, c) ((void)host_wait_event(wq, c, U64_MAX, false))
#define wait_event_interruptible(wq, c) \
	(host_wait_event(wq, c, U64_MAX, host_signal()) < 0 ? -ERESTARTSYS : 0)
#define wait_event_killable(wq, c) \
	(host_wait_event(wq, c, U64_MAX, host_fatal_signal()) < 0 ? \
	 -ERESTARTSYS : 0)
#define host_until(j) (ktime_get_ns() + (u64)(j) * (NSEC_PER_SEC / HZ))
#define wait_event_timeout(wq, c, j) \
	((long)host_wait_event(wq, c, host_until(j), false))
#define wait_event_interruptible_timeout(wq, c, j) \
	((long)host_wait_event(wq, c, host_until(j), host_signal()))

#endif
