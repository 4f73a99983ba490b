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
#define wait_for_completion(x) \
	((void)host_wait_event((x)->wait, try_wait_for_completion(x), \
			       U64_MAX, false))
#define wait_for_completion_killable(x)                                   \
	(host_wait_event((x)->wait, try_wait_for_completion(x), U64_MAX,  \
			 host_fatal_signal()) < 0 ? -ERESTARTSYS : 0)
#define wait_for_completion_interruptible(x)                              \
	(host_wait_event((x)->wait, try_wait_for_completion(x), U64_MAX,  \
			 host_signal()) < 0 ? -ERESTARTSYS : 0)
#define wait_for_completion_timeout(x, j)                                 \
	((unsigned long)host_wait_event((x)->wait,                        \
					try_wait_for_completion(x),       \
					host_until(j), false))

#endif
