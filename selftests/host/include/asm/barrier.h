/* SPDX-License-Identifier: MIT */
#ifndef HOST_ASM_BARRIER_H
#define HOST_ASM_BARRIER_H

#include <linux/compiler.h>

/*
 * Builds with HOST_WEAK keep in mind what a thread has ordered: a full barrier
 * makes its earlier stores visible and its later loads new; releasing does the
 * former for who acquires, acquiring the latter. Where neither came between, the stand-ins may show what the kernel's
 * code could see on a processor that reorders; see host.h.
 */
#ifdef HOST_WEAK
void host_ordered(void);
void host_acquired(void);
void host_released(void);
#else
#define host_ordered() ((void)0)
#define host_acquired() ((void)0)
#define host_released() ((void)0)
#endif

/*
 * ThreadSanitizer does not model fences. There, a fence is an operation on
 * one shared word: writers release it and readers acquire it, so a pair of
 * fences orders what it orders in the kernel. It also orders unrelated pairs,
 * which may hide a race but invents none.
 */
#ifdef HOST_TSAN
extern unsigned long host_tsan_fence;
#define smp_mb() \
	((void)__atomic_fetch_add(&host_tsan_fence, 1, __ATOMIC_SEQ_CST))
#define smp_wmb() \
	((void)__atomic_fetch_add(&host_tsan_fence, 1, __ATOMIC_RELEASE))
#define smp_rmb() ((void)__atomic_load_n(&host_tsan_fence, __ATOMIC_ACQUIRE))
#else
#define smp_mb() \
	(__atomic_thread_fence(__ATOMIC_SEQ_CST), host_ordered())
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_rmb() \
	(__atomic_thread_fence(__ATOMIC_ACQUIRE), host_acquired())
#endif
#define mb() smp_mb()
#define wmb() smp_wmb()
#define rmb() smp_rmb()

#if defined(__x86_64__) && !defined(HOST_TSAN)
/* A locked instruction is a full barrier. */
#define smp_mb__before_atomic() (({ barrier(); }), host_ordered())
#define smp_mb__after_atomic() (({ barrier(); }), host_ordered())
#else
#define smp_mb__before_atomic() smp_mb()
#define smp_mb__after_atomic() smp_mb()
#endif
#define smp_mb__after_spinlock() smp_mb__after_atomic()
#define smp_mb__after_unlock_lock() smp_mb()
#define smp_acquire__after_ctrl_dep() smp_rmb()

#ifdef HOST_WEAK
#define smp_load_acquire(p) ({                          \
	typeof(*(p)) __la = __atomic_load_n((p), __ATOMIC_ACQUIRE); \
	host_acquired();                                \
	__la; })
#else
#define smp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#endif
#define smp_store_release(p, v) \
	(host_released(), \
	 __atomic_store_n((p), (typeof(*(p)))(v), __ATOMIC_RELEASE))
#define smp_store_mb(var, value) \
	((void)__atomic_exchange_n(&(var), (value), __ATOMIC_SEQ_CST), \
	 host_ordered())
#define smp_cond_load_relaxed(ptr, cond_expr) ({        \
	typeof(*(ptr)) VAL;                             \
	for (;;) {                                      \
		VAL = READ_ONCE(*(ptr));                \
		if (cond_expr)                          \
			break;                          \
		cpu_relax();                            \
	}                                               \
	VAL; })
#define smp_cond_load_acquire(ptr, cond_expr) ({        \
	typeof(*(ptr)) VAL;                             \
	for (;;) {                                      \
		VAL = smp_load_acquire(ptr);            \
		if (cond_expr)                          \
			break;                          \
		cpu_relax();                            \
	}                                               \
	VAL; })

#endif
