/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_COMPLETION_H
#define HOST_LINUX_COMPLETION_H

#include <linux/wait.h>
struct completion {
	unsigned int done;
	wait_queue_head_t wait;
};
#define DECLARE_COMPLETION_ONSTACK(x) \
	struct completion x; init_completion(&x)
void init_completion(struct completion *x);
void reinit_completion(struct completion *x);
void complete(struct completion *x);
void complete_all(struct completion *x);
bool completion_done(struct completion *x);
bool try_wait_for_completion(struct completion *x);
/* 1 done, 0 it is @until, -ERESTARTSYS by a signal. */
int host_wait_completion(struct completion *x, int state, u64 until);
#define wait_for_completion(x) \
	((void)host_wait_completion(x, TASK_UNINTERRUPTIBLE, U64_MAX))
#define wait_for_completion_killable(x) \
	(host_wait_completion(x, TASK_KILLABLE, U64_MAX) < 0 ? \
	 -ERESTARTSYS : 0)
#define wait_for_completion_interruptible(x) \
	(host_wait_completion(x, TASK_INTERRUPTIBLE, U64_MAX) < 0 ? \
	 -ERESTARTSYS : 0)
#define wait_for_completion_timeout(x, j)                             \
	((unsigned long)host_wait_completion(x, TASK_UNINTERRUPTIBLE, \
					     host_until(j)))
#define wait_for_completion_killable_timeout(x, j) \
	((long)host_wait_completion(x, TASK_KILLABLE, host_until(j)))

#endif
