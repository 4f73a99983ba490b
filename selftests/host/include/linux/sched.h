/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SCHED_H
#define HOST_LINUX_SCHED_H

#include <linux/types.h>
#include <linux/preempt.h>
#include <linux/atomic.h>
#include <linux/printk.h>
#include <asm/processor.h>

#define TASK_COMM_LEN 16
struct task_struct {
	pid_t pid, tgid;
	char comm[TASK_COMM_LEN];
	struct task_struct *group_leader;	/* itself */
	unsigned int state;		/* what it sleeps on, too: a futex */
#ifdef HOST_WEAK
	unsigned int late;		/* a state that nobody sees yet, plus 1 */
#endif
	bool sig_pending, sig_fatal;
	int usage;
};

#define TASK_RUNNING 0
#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
#define TASK_NORMAL (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)
#define TASK_WAKEKILL 0x100
#define TASK_KILLABLE (TASK_WAKEKILL | TASK_UNINTERRUPTIBLE)
#ifdef HOST_WEAK
/* Others see it after this thread's next full barrier only. */
void __set_current_state(unsigned int state);
#define set_current_state(s) do {       \
	__set_current_state(s);         \
	smp_mb();                       \
} while (0)
#else
#define __set_current_state(s) WRITE_ONCE(host_current()->state, s)
#define set_current_state(s) smp_store_mb(host_current()->state, s)
#endif

/* The calling thread. */
struct task_struct *host_current(void);
#define current host_current()
/* Whoever has a reference may wake a thread that has ended. */
struct task_struct *get_task_struct(struct task_struct *t);
void put_task_struct(struct task_struct *t);
/* Whether it is the only thread is the test's decision, see host.h. */
bool host_alone(void);
#define thread_group_empty(t) ((void)(t), host_alone())
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
void schedule(void);
long schedule_timeout(long ticks);
/* 1 if it slept in one of the states @states. */
int wake_up_state(struct task_struct *t, unsigned int states);
#define wake_up_process(t) wake_up_state(t, TASK_NORMAL)
/*
 * Sleeps until somebody makes the state TASK_RUNNING again, or a signal comes
 * that ends a sleep in that state; false at @until.
 */
bool host_schedule(u64 until);
int signal_pending_state(unsigned int state, struct task_struct *t);
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
