/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_WAIT_H
#define HOST_LINUX_WAIT_H

/*
 * Wait queues that lose what the kernel's would lose: a sleeper sleeps until
 * it is woken, at a deadline or by a signal at the latest; waking an empty
 * queue does nothing; and there is no barrier where the kernel has none.
 */
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

typedef struct wait_queue_head {
	spinlock_t lock;
	struct list_head head;
#ifdef HOST_WEAK
	unsigned long since;	/* when it was empty last; see host_stale() */
#endif
} wait_queue_head_t;

struct wait_queue_entry;
typedef int (*wait_queue_func_t)(struct wait_queue_entry *wqe,
				 unsigned int mode, int flags, void *key);

typedef struct wait_queue_entry {
	unsigned int flags;
	void *private;
	wait_queue_func_t func;
	struct list_head entry;
} wait_queue_entry_t;

#define WQ_FLAG_EXCLUSIVE 0x01

#define __WAIT_QUEUE_HEAD_INITIALIZER(name) \
	{ .head = LIST_HEAD_INIT((name).head) }
#define DECLARE_WAIT_QUEUE_HEAD(name) \
	wait_queue_head_t name = __WAIT_QUEUE_HEAD_INITIALIZER(name)
#define DEFINE_WAIT_FUNC(name, function)                              \
	struct wait_queue_entry name = {                              \
		.private = current,                                   \
		.func = function,                                     \
		.entry = LIST_HEAD_INIT((name).entry),                \
	}
#define DEFINE_WAIT(name) DEFINE_WAIT_FUNC(name, autoremove_wake_function)

void init_waitqueue_head(wait_queue_head_t *wq);
static inline void init_waitqueue_func_entry(struct wait_queue_entry *wqe,
					     wait_queue_func_t func)
{
	*wqe = (struct wait_queue_entry){ .func = func };
}

int default_wake_function(struct wait_queue_entry *wqe, unsigned int mode,
			  int flags, void *key);
int autoremove_wake_function(struct wait_queue_entry *wqe, unsigned int mode,
			     int flags, void *key);
void add_wait_queue(wait_queue_head_t *wq, struct wait_queue_entry *wqe);
void add_wait_queue_exclusive(wait_queue_head_t *wq,
			      struct wait_queue_entry *wqe);
void remove_wait_queue(wait_queue_head_t *wq, struct wait_queue_entry *wqe);
void prepare_to_wait(wait_queue_head_t *wq, struct wait_queue_entry *wqe,
		     int state);
void prepare_to_wait_exclusive(wait_queue_head_t *wq,
			       struct wait_queue_entry *wqe, int state);
/* -ERESTARTSYS, and out of the queue, when a signal ends such a sleep. */
long prepare_to_wait_event(wait_queue_head_t *wq, struct wait_queue_entry *wqe,
			   int state);
void finish_wait(wait_queue_head_t *wq, struct wait_queue_entry *wqe);

/* Wakes all but the exclusive ones, and @nr of those; 0: all. */
void __wake_up(wait_queue_head_t *wq, unsigned int mode, int nr, void *key);
void __wake_up_locked_key(wait_queue_head_t *wq, unsigned int mode, void *key);
#define wake_up(wq) __wake_up(wq, TASK_NORMAL, 1, NULL)
#define wake_up_nr(wq, nr) __wake_up(wq, TASK_NORMAL, nr, NULL)
#define wake_up_all(wq) __wake_up(wq, TASK_NORMAL, 0, NULL)
#define wake_up_interruptible(wq) __wake_up(wq, TASK_INTERRUPTIBLE, 1, NULL)
#define wake_up_interruptible_all(wq) \
	__wake_up(wq, TASK_INTERRUPTIBLE, 0, NULL)
#define poll_to_key(m) ((void *)(unsigned long)(m))
#define key_to_poll(m) ((__poll_t)(unsigned long)(m))
#define wake_up_poll(wq, m) __wake_up(wq, TASK_NORMAL, 1, poll_to_key(m))
#define wake_up_interruptible_poll(wq, m) \
	__wake_up(wq, TASK_INTERRUPTIBLE, 1, poll_to_key(m))
#define wake_up_locked_poll(wq, m) \
	__wake_up_locked_key(wq, TASK_NORMAL, poll_to_key(m))

#ifdef HOST_WEAK
/* As a processor may see it that reads early. */
bool waitqueue_active(wait_queue_head_t *wq);
#else
static inline bool waitqueue_active(wait_queue_head_t *wq)
{
	return !list_empty(&wq->head);
}
#endif

static inline bool wq_has_sleeper(wait_queue_head_t *wq)
{
	smp_mb();
	return waitqueue_active(wq);
}

/*
 * 1 the condition holds, 0 it is @until (ktime_get_ns()) and it does not,
 * -ERESTARTSYS by a signal.
 */
#define host_wait_entry(wq, wqe, condition, state, until) ({           \
	long __intr;                                                   \
	int __ret = 1;                                                 \
	for (;;) {                                                     \
		__intr = prepare_to_wait_event(wq, wqe, state);        \
		if (condition)                                         \
			break;                                         \
		if (__intr) {                                          \
			__ret = __intr;                                \
			break;                                         \
		}                                                      \
		if (!host_schedule(until)) {                           \
			__ret = (condition) ? 1 : 0;                   \
			break;                                         \
		}                                                      \
	}                                                              \
	finish_wait(wq, wqe);                                          \
	__ret; })

#define host_wait_event(wq, condition, state, until) ({                \
	u64 __until = (until);                                         \
	int __woken = 1;                                               \
	might_sleep();                                                 \
	if (!(condition)) {                                            \
		DEFINE_WAIT(__wqe);                                    \
		__woken = host_wait_entry(&(wq), &__wqe, condition,    \
					  state, __until);             \
	}                                                              \
	__woken; })
#define wait_event(wq, c) \
	((void)host_wait_event(wq, c, TASK_UNINTERRUPTIBLE, U64_MAX))
#define wait_event_interruptible(wq, c) \
	(host_wait_event(wq, c, TASK_INTERRUPTIBLE, U64_MAX) < 0 ? \
	 -ERESTARTSYS : 0)
#define wait_event_killable(wq, c) \
	(host_wait_event(wq, c, TASK_KILLABLE, U64_MAX) < 0 ? \
	 -ERESTARTSYS : 0)
#define host_until(j) (ktime_get_ns() + (u64)(j) * (NSEC_PER_SEC / HZ))
#define wait_event_timeout(wq, c, j) \
	((long)host_wait_event(wq, c, TASK_UNINTERRUPTIBLE, host_until(j)))
#define wait_event_interruptible_timeout(wq, c, j) \
	((long)host_wait_event(wq, c, TASK_INTERRUPTIBLE, host_until(j)))
#define wait_event_killable_timeout(wq, c, j) \
	((long)host_wait_event(wq, c, TASK_KILLABLE, host_until(j)))

#endif
