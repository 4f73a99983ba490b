/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PREEMPT_H
#define HOST_LINUX_PREEMPT_H

#include <linux/compiler.h>

/*
 * How many spinlocks, preempt_disable()s and RCU callbacks this thread is
 * inside of. Kept in checked builds only, where whatever may sleep asserts
 * that there are none.
 */
#ifdef HOST_DEBUG
extern __thread int host_atomic_depth;
void host_might_sleep(const char *file, int line);
#define host_atomic_enter() ((void)host_atomic_depth++)
#define host_atomic_leave() ((void)host_atomic_depth--)
#define might_sleep() host_might_sleep(__FILE__, __LINE__)
#define in_atomic() (host_atomic_depth != 0)
#else
#define host_atomic_enter() ((void)0)
#define host_atomic_leave() ((void)0)
#define might_sleep() ((void)0)
#define in_atomic() 0
#endif
#define might_sleep_if(cond)             \
	do {                             \
		if (cond)                \
			might_sleep();   \
	} while (0)
#define non_block_start() host_atomic_enter()
#define non_block_end() host_atomic_leave()

#define preempt_disable() do { host_atomic_enter(); barrier(); } while (0)
#define preempt_enable() do { barrier(); host_atomic_leave(); } while (0)
#define preempt_disable_notrace() preempt_disable()
#define preempt_enable_notrace() preempt_enable()
#define preempt_count() 0
#define preemptible() (!in_atomic())
#define local_bh_disable() preempt_disable()
#define local_bh_enable() preempt_enable()
#define local_irq_save(flags) do { (flags) = 0; preempt_disable(); } while (0)
#define local_irq_restore(flags) do { (void)(flags); preempt_enable(); } while (0)
#define local_irq_disable() preempt_disable()
#define local_irq_enable() preempt_enable()
#define in_interrupt() 0
#define in_task() 1
#define irqs_disabled() 0
#define lockdep_assert_preemption_disabled() ((void)0)

#endif
