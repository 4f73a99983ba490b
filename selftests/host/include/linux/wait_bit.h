/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_WAIT_BIT_H
#define HOST_LINUX_WAIT_BIT_H

#include <linux/wait.h>
extern wait_queue_head_t host_var_wait;
#define wake_up_var(var) ((void)(var), host_wake(&host_var_wait))
#define wait_var_event(var, c) ((void)(var), wait_event(host_var_wait, c))
#define wait_var_event_killable(var, c) \
	((void)(var), wait_event_killable(host_var_wait, c))

#endif
