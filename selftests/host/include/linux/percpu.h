/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PERCPU_H
#define HOST_LINUX_PERCPU_H

/*
 * Per-CPU memory, alloc_percpu() only. A thread is a CPU: each gets a number
 * of its own for life, and the process is ended if there are more threads
 * than HOST_NR_CPUS at once.
 */
#include <linux/types.h>
#include <linux/slab.h>
#include <linux/sched.h>

#define HOST_NR_CPUS 64
#define NR_CPUS HOST_NR_CPUS
#define nr_cpu_ids HOST_NR_CPUS
#define num_possible_cpus() HOST_NR_CPUS
#define num_online_cpus() HOST_NR_CPUS
#define for_each_possible_cpu(cpu) \
	for ((cpu) = 0; (cpu) < HOST_NR_CPUS; (cpu)++)
#define for_each_online_cpu(cpu) for_each_possible_cpu(cpu)

void *__alloc_percpu_gfp(size_t size, size_t align, gfp_t gfp);
void free_percpu(void __percpu *p);
#define alloc_percpu_gfp(type, gfp) \
	((type __percpu *)__alloc_percpu_gfp(sizeof(type), __alignof__(type), gfp))
#define alloc_percpu(type) alloc_percpu_gfp(type, GFP_KERNEL)

/* Each CPU's copy is this far from the one before, whatever its size. */
#define HOST_PCPU_STRIDE 4096UL
#define per_cpu_ptr(p, cpu) \
	((typeof(p))((char *)(p) + (unsigned long)(cpu) * HOST_PCPU_STRIDE))
#define this_cpu_ptr(p) per_cpu_ptr(p, host_cpu())
#define raw_cpu_ptr(p) this_cpu_ptr(p)
#define get_cpu_ptr(p) ({ preempt_disable(); this_cpu_ptr(p); })
#define put_cpu_ptr(p) do { (void)(p); preempt_enable(); } while (0)
#define this_cpu_add(var, val) do {                                 \
	typeof(var) *__p = this_cpu_ptr(&(var));                    \
	WRITE_ONCE(*__p, READ_ONCE(*__p) + (val));                  \
} while (0)
#define this_cpu_inc(var) this_cpu_add(var, 1)
#define this_cpu_dec(var) this_cpu_add(var, -1)
#define this_cpu_sub(var, val) this_cpu_add(var, -(val))
#define this_cpu_read(var) READ_ONCE(*this_cpu_ptr(&(var)))
#define this_cpu_write(var, val) WRITE_ONCE(*this_cpu_ptr(&(var)), val)
#define raw_cpu_inc(var) this_cpu_inc(var)
#define raw_cpu_add(var, val) this_cpu_add(var, val)
#define __this_cpu_inc(var) this_cpu_inc(var)
#define __this_cpu_add(var, val) this_cpu_add(var, val)

#endif
