/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SPINLOCK_H
#define HOST_LINUX_SPINLOCK_H

/*
 * A lock that costs what the kernel's costs when nobody contends: one locked
 * compare-and-exchange to take, one plain store to give back. When contended
 * it spins, and after a while yields the CPU, since a user-space holder may
 * have been preempted. Unlike qspinlock it is not fair, unless built with
 * -DHOST_SPIN_FAIR, which makes it a ticket lock.
 *
 * Checked builds (HOST_DEBUG) know the holder and refuse recursion and
 * foreign unlocks; under ThreadSanitizer each lock is announced as a mutex,
 * so that inversions of lock order are reported too.
 */
#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/preempt.h>
#include <linux/bottom_half.h>
#include <linux/spinlock_types.h>
#include <linux/lockdep.h>

#ifdef HOST_TSAN
#include <sanitizer/tsan_interface.h>
#define host_tsan_pre_lock(l, f) __tsan_mutex_pre_lock((l), (f))
#define host_tsan_post_lock(l, f) __tsan_mutex_post_lock((l), (f), 0)
#define host_tsan_pre_unlock(l) __tsan_mutex_pre_unlock((l), 0)
#define host_tsan_post_unlock(l) __tsan_mutex_post_unlock((l), 0)
#define HOST_TSAN_TRY __tsan_mutex_try_lock
#define HOST_TSAN_FAILED \
	(__tsan_mutex_try_lock | __tsan_mutex_try_lock_failed)
#else
#define host_tsan_pre_lock(l, f) ((void)0)
#define host_tsan_post_lock(l, f) ((void)0)
#define host_tsan_pre_unlock(l) ((void)0)
#define host_tsan_post_unlock(l) ((void)0)
#endif

void host_spin_wait(unsigned int *spins) __cold;

#ifdef HOST_LOCK_TIMES
void host_lock_took(struct host_lock_times *t, const char *file, int line);
void host_lock_gives(struct host_lock_times *t);
#define host_times_took(l) host_lock_took(&(l)->times, __FILE__, __LINE__)
#define host_times_gives(l) host_lock_gives(&(l)->times)
#else
#define host_times_took(l) ((void)0)
#define host_times_gives(l) ((void)0)
#endif

#ifdef HOST_DEBUG
unsigned int host_thread_id(void);

static inline void host_spin_check_lock(spinlock_t *lock)
{
	if (READ_ONCE(lock->owner) == host_thread_id())
		host_bug(__FILE__, __LINE__, "spinlock recursion");
	host_atomic_enter();
}

static inline void host_spin_check_took(spinlock_t *lock)
{
	WRITE_ONCE(lock->owner, host_thread_id());
}

static inline void host_spin_check_unlock(spinlock_t *lock)
{
	if (READ_ONCE(lock->owner) != host_thread_id())
		host_bug(__FILE__, __LINE__, "spinlock is not this thread's");
	WRITE_ONCE(lock->owner, 0);
}
#else
#define host_spin_check_lock(lock) barrier()
#define host_spin_check_took(lock) ((void)0)
#define host_spin_check_unlock(lock) ((void)0)
#endif

#ifdef HOST_WEAK
void host_delay(void);
#else
#define host_delay() ((void)0)
#endif

static inline void spin_lock_init(spinlock_t *lock)
{
	*lock = (spinlock_t){ 0 };
#ifdef HOST_TSAN
	__tsan_mutex_create(lock, 0);
#endif
}
#define raw_spin_lock_init(lock) spin_lock_init(lock)

#ifdef HOST_SPIN_FAIR
/* word: next ticket in the upper half, ticket being served in the lower. */
static __always_inline bool host_spin_try(spinlock_t *lock)
{
	unsigned int w = READ_ONCE(lock->word);

	return (w >> 16) == (w & 0xffff) &&
	       __atomic_compare_exchange_n(&lock->word, &w, w + 0x10000, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static __always_inline void host_spin_take(spinlock_t *lock)
{
	unsigned int ticket = __atomic_fetch_add(&lock->word, 0x10000,
						 __ATOMIC_ACQUIRE) >> 16;
	unsigned int spins = 0;

	while (unlikely((__atomic_load_n(&lock->word, __ATOMIC_ACQUIRE) &
			 0xffff) != ticket))
		host_spin_wait(&spins);
}

static __always_inline void host_spin_give(spinlock_t *lock)
{
	u16 *serving = (u16 *)&lock->word;

	__atomic_store_n(serving, (u16)(*serving + 1), __ATOMIC_RELEASE);
}

#define host_spin_word_held(w) (((w) >> 16) != ((w) & 0xffff))
#else
static __always_inline bool host_spin_try(spinlock_t *lock)
{
	unsigned int zero = 0;

	return likely(__atomic_compare_exchange_n(&lock->word, &zero, 1, false,
						  __ATOMIC_ACQUIRE,
						  __ATOMIC_RELAXED));
}

static __always_inline void host_spin_take(spinlock_t *lock)
{
	unsigned int spins = 0;

	while (!host_spin_try(lock)) {
		do {
			host_spin_wait(&spins);
		} while (READ_ONCE(lock->word));
	}
}

static __always_inline void host_spin_give(spinlock_t *lock)
{
	__atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

#define host_spin_word_held(w) ((w) != 0)
#endif

#define spin_lock(l) do {                             \
	spinlock_t *__l = (l);                        \
	host_delay();                                 \
	host_point(HOST_BEFORE_LOCK, __l);            \
	host_spin_check_lock(__l);                    \
	host_tsan_pre_lock(__l, 0);                   \
	host_spin_take(__l);                          \
	host_tsan_post_lock(__l, 0);                  \
	host_spin_check_took(__l);                    \
	host_times_took(__l);                         \
	host_acquired();                              \
	host_delay();                                 \
} while (0)

#define spin_trylock(l) ({                            \
	spinlock_t *__l = (l);                        \
	bool __took;                                  \
	host_atomic_enter();                          \
	host_tsan_pre_lock(__l, HOST_TSAN_TRY);       \
	__took = host_spin_try(__l);                  \
	host_tsan_post_lock(__l, __took ? HOST_TSAN_TRY : HOST_TSAN_FAILED); \
	if (__took) {                                 \
		host_spin_check_took(__l);            \
		host_times_took(__l);                 \
		host_acquired();                      \
	} else {                                      \
		host_atomic_leave();                  \
	}                                             \
	__took; })

static __always_inline void spin_unlock(spinlock_t *lock)
{
	host_times_gives(lock);
	host_spin_check_unlock(lock);
	host_tsan_pre_unlock(lock);
	host_released();
	host_spin_give(lock);
	host_tsan_post_unlock(lock);
	host_atomic_leave();
	host_delay();
}

static inline int spin_is_locked(spinlock_t *lock)
{
	unsigned int w = READ_ONCE(lock->word);

	return host_spin_word_held(w);
}

#define spin_is_contended(l) ((void)(l), 0)
#define spin_needbreak(l) ((void)(l), 0)
#define spin_lock_nested(l, subclass) spin_lock(l)
/* ThreadSanitizer expects no order from who tries: @nest is what orders these. */
#define spin_lock_nest_lock(l, nest) do {             \
	spinlock_t *__l = (l);                        \
	lockdep_assert_held(nest);                    \
	host_delay();                                 \
	host_point(HOST_BEFORE_LOCK, __l);            \
	host_spin_check_lock(__l);                    \
	host_tsan_pre_lock(__l, HOST_TSAN_TRY);       \
	host_spin_take(__l);                          \
	host_tsan_post_lock(__l, HOST_TSAN_TRY);      \
	host_spin_check_took(__l);                    \
	host_times_took(__l);                         \
	host_acquired();                              \
	host_delay();                                 \
} while (0)
#define spin_lock_bh(l) spin_lock(l)
#define spin_unlock_bh(l) spin_unlock(l)
#define spin_trylock_bh(l) spin_trylock(l)
#define spin_lock_irq(l) spin_lock(l)
#define spin_unlock_irq(l) spin_unlock(l)
#define spin_lock_irqsave(l, flags) do { (flags) = 0; spin_lock(l); } while (0)
#define spin_unlock_irqrestore(l, flags) \
	do { (void)(flags); spin_unlock(l); } while (0)
#define raw_spin_lock(l) spin_lock(l)
#define raw_spin_unlock(l) spin_unlock(l)
#define assert_spin_locked(l) BUG_ON(!spin_is_locked(l))

static inline bool host_spin_held(const spinlock_t *lock)
{
#ifdef HOST_DEBUG
	return READ_ONCE(lock->owner) == host_thread_id();
#else
	return true;
#endif
}

#endif
