/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PID_H
#define HOST_LINUX_PID_H

#include <linux/sched.h>
#include <linux/atomic.h>
struct pid {
	atomic_t count;
};

/* The process's only one. */
extern struct pid host_pid;
#define task_tgid(t) ((void)(t), &host_pid)
#define task_pid(t) task_tgid(t)
#define pid_vnr(p) ((void)(p), host_current()->tgid)
#define pid_nr(p) pid_vnr(p)

static inline struct pid *get_pid(struct pid *pid)
{
	atomic_inc(&pid->count);
	return pid;
}

/* It has whatever number is asked for, but 0. */
#define find_get_pid(nr) ((nr) ? get_pid(&host_pid) : NULL)

static inline void put_pid(struct pid *pid)
{
	if (pid)
		atomic_dec(&pid->count);
}

#endif
