/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_RCUPDATE_H
#define HOST_LINUX_RCUPDATE_H

/*
 * Read-copy-update. A reader publishes the number of the grace period that it
 * began in and takes it back at the end: two stores to its own cache line. A
 * grace period raises that number, makes every CPU pass a barrier with
 * membarrier(2), and waits for the readers that began before.
 *
 * liburcu does the same, but 0.13 does it in assembly that ThreadSanitizer
 * cannot follow, and wants every thread registered by hand.
 *
 * Callbacks run on the worker thread, see host.h.
 */
#include <linux/types.h>
#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/preempt.h>

struct host_rcu_reader {
	unsigned long began;	/* grace period, 0 outside of readers */
	unsigned int nest;
	bool known;
	struct host_rcu_reader *next, **pprev;
} __aligned(64);

extern __thread struct host_rcu_reader host_rcu_self;
extern unsigned long host_rcu_period;
extern bool host_rcu_slow;	/* no membarrier(2): readers need a barrier */
void host_rcu_register(void) __cold;

static __always_inline void rcu_read_lock(void)
{
	struct host_rcu_reader *r = &host_rcu_self;

	if (r->nest++)
		return;
	if (unlikely(!r->known))
		host_rcu_register();
#ifdef HOST_TSAN
	__atomic_exchange_n(&r->began, __atomic_load_n(&host_rcu_period,
						       __ATOMIC_ACQUIRE),
			    __ATOMIC_SEQ_CST);
#else
	WRITE_ONCE(r->began, READ_ONCE(host_rcu_period));
	if (unlikely(host_rcu_slow))
		smp_mb();
#endif
	barrier();
}

static __always_inline void rcu_read_unlock(void)
{
	struct host_rcu_reader *r = &host_rcu_self;

#ifdef HOST_DEBUG
	if (!r->nest)
		host_bug(__FILE__, __LINE__, "unbalanced rcu_read_unlock()");
#endif
	barrier();
	if (--r->nest == 0)
		smp_store_release(&r->began, 0);
}

static inline int rcu_read_lock_held(void)
{
	return host_rcu_self.nest != 0;
}
#define rcu_read_lock_any_held() rcu_read_lock_held()
#define rcu_read_lock_bh_held() rcu_read_lock_held()
#define rcu_read_lock_bh() do { local_bh_disable(); rcu_read_lock(); } while (0)
#define rcu_read_unlock_bh() \
	do { rcu_read_unlock(); local_bh_enable(); } while (0)
#define rcu_read_lock_sched() rcu_read_lock_bh()
#define rcu_read_unlock_sched() rcu_read_unlock_bh()

#ifdef HOST_DEBUG
#define RCU_LOCKDEP_WARN(c, s) WARN(c, "%s\n", s)
#else
#define RCU_LOCKDEP_WARN(c, s) ((void)0)
#endif

/* The kernel relies on dependencies, which ThreadSanitizer does not know. */
#ifdef HOST_TSAN
#define host_rcu_load(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#else
#define host_rcu_load(p) READ_ONCE(p)
#endif

#define rcu_access_pointer(p) READ_ONCE(p)
#define rcu_dereference_raw(p) host_rcu_load(p)
#define rcu_dereference_raw_check(p) host_rcu_load(p)
#define rcu_dereference_check(p, c) ({                               \
	RCU_LOCKDEP_WARN(!((c) || rcu_read_lock_held()),             \
			 "suspicious rcu_dereference_check() usage");\
	host_rcu_load(p); })
#define rcu_dereference(p) rcu_dereference_check(p, 0)
#define rcu_dereference_bh(p) rcu_dereference_check(p, 0)
#define rcu_dereference_bh_check(p, c) rcu_dereference_check(p, c)
#define rcu_dereference_protected(p, c) ({                           \
	RCU_LOCKDEP_WARN(!(c),                                       \
			 "suspicious rcu_dereference_protected()");  \
	READ_ONCE(p); })
#define rcu_dereference_protected_check rcu_dereference_protected
#define rcu_assign_pointer(p, v) smp_store_release(&(p), (typeof(p))(v))
#define RCU_INIT_POINTER(p, v) WRITE_ONCE(p, (typeof(p))(v))
#define RCU_INITIALIZER(v) (v)
#define RCU_POINTER_INITIALIZER(p, v) .p = (v)
#define rcu_replace_pointer(p, v, c) ({                              \
	typeof(p) __old = rcu_dereference_protected((p), (c));       \
	rcu_assign_pointer((p), (v));                                \
	__old; })
#define rcu_pointer_handoff(p) (p)
#define rcu_head_init(rhp) ((void)((rhp)->func = (void *)-1L))

static inline bool rcu_head_after_call_rcu(struct rcu_head *rhp,
					   rcu_callback_t f)
{
	return READ_ONCE(rhp->func) == f;
}

void call_rcu(struct rcu_head *head, rcu_callback_t func);
void synchronize_rcu(void);
void rcu_barrier(void);
#define synchronize_rcu_expedited() synchronize_rcu()
#define synchronize_net() synchronize_rcu()
#define cond_synchronize_rcu(x) synchronize_rcu()

/* A small func is an offset: the object before it is to be kvfreed. */
#define HOST_RCU_IS_OFFSET(func) ((unsigned long)(func) < 4096)
#define kfree_rcu(ptr, rhf)                                          \
	do {                                                         \
		typeof(ptr) __p = (ptr);                             \
		_Static_assert(offsetof(typeof(*__p), rhf) < 4096,   \
			       "offset of rcu_head");                \
		if (__p)                                             \
			call_rcu(&__p->rhf, (rcu_callback_t)(unsigned long) \
				 offsetof(typeof(*__p), rhf));       \
	} while (0)
#define kvfree_rcu(ptr, rhf) kfree_rcu(ptr, rhf)
#define init_rcu_head(head) ((void)(head))
#define destroy_rcu_head(head) ((void)(head))

#endif
