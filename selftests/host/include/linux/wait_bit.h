/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_WAIT_BIT_H
#define HOST_LINUX_WAIT_BIT_H

#include <linux/wait.h>

/* Sleepers on a variable: one of a few queues, shared by many variables. */
struct host_var_wait {
	void *var;
	struct wait_queue_entry wqe;
};

wait_queue_head_t *host_var_queue(void *var);
void host_var_wait_init(struct host_var_wait *w, void *var);
/* Looks first whether anybody sleeps there, with no barrier before. */
void wake_up_var(void *var);

#define host_wait_var_event(var, c, state, until) ({                   \
	int __woken = 1;                                               \
	might_sleep();                                                 \
	if (!(c)) {                                                    \
		struct host_var_wait __w;                              \
		host_var_wait_init(&__w, var);                         \
		__woken = host_wait_entry(host_var_queue(var),         \
					  &__w.wqe, c, state, until);  \
	}                                                              \
	__woken; })
#define wait_var_event(var, c) \
	((void)host_wait_var_event(var, c, TASK_UNINTERRUPTIBLE, U64_MAX))
#define wait_var_event_killable(var, c) \
	(host_wait_var_event(var, c, TASK_KILLABLE, U64_MAX) < 0 ? \
	 -ERESTARTSYS : 0)
#define wait_var_event_interruptible(var, c) \
	(host_wait_var_event(var, c, TASK_INTERRUPTIBLE, U64_MAX) < 0 ? \
	 -ERESTARTSYS : 0)
#define wait_var_event_timeout(var, c, j) \
	((long)host_wait_var_event(var, c, TASK_UNINTERRUPTIBLE, \
				   host_until(j)))

#endif
