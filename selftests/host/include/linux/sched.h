/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SCHED_H
#define HOST_LINUX_SCHED_H

#include <linux/types.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <asm/processor.h>

#define TASK_COMM_LEN 16
struct task_struct {
	pid_t pid, tgid;
	char comm[TASK_COMM_LEN];
};

/* The calling thread. */
struct task_struct *host_current(void);
#define current host_current()
#define task_pid_nr(t) ((t)->pid)
#define task_tgid_nr(t) ((t)->tgid)
#define task_tgid_vnr(t) ((t)->tgid)
#define task_pid_vnr(t) ((t)->pid)
#define get_task_comm(buf, t) ({ memcpy(buf, (t)->comm, TASK_COMM_LEN); buf; })

/* Whether a signal is pending is the test's decision, see host.h. */
bool host_fatal_signal(void);
bool host_signal(void);
#define fatal_signal_pending(t) ((void)(t), host_fatal_signal())
#define signal_pending(t) ((void)(t), host_signal())

/* Preemption is the host kernel's affair; checked builds look who calls. */
static inline int cond_resched(void)
{
	might_sleep();
	return 0;
}

#define cond_resched_rcu() do { rcu_read_unlock(); cond_resched(); rcu_read_lock(); } while (0)
#define need_resched() 0
void host_yield(void);
#define schedule() host_yield()
#define raw_smp_processor_id() host_cpu()
#define smp_processor_id() host_cpu()

/* A number that no other live thread has; see percpu.h. */
extern __thread int host_cpu_plus_one;
int host_cpu_take(void) __cold;
static inline int host_cpu(void)
{
	return likely(host_cpu_plus_one) ? host_cpu_plus_one - 1 :
					   host_cpu_take();
}

#endif
