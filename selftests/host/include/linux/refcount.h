/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_REFCOUNT_H
#define HOST_LINUX_REFCOUNT_H

#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/mutex.h>

/* As the kernel's, with warnings in place of saturation. */
typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

#define REFCOUNT_INIT(n) { .refs = ATOMIC_INIT(n), }

static inline void refcount_set(refcount_t *r, int n)
{
	atomic_set(&r->refs, n);
}

static inline unsigned int refcount_read(const refcount_t *r)
{
	return atomic_read(&r->refs);
}

static inline __must_check bool refcount_add_not_zero(int i, refcount_t *r)
{
	int old = atomic_read(&r->refs);

	do {
		if (!old)
			break;
	} while (!atomic_try_cmpxchg_relaxed(&r->refs, &old, old + i));
	WARN_ON(old < 0 || old + i < 0);
	return old;
}

static inline __must_check bool refcount_inc_not_zero(refcount_t *r)
{
	return refcount_add_not_zero(1, r);
}

static inline void refcount_add(int i, refcount_t *r)
{
	WARN_ON(atomic_fetch_add_relaxed(i, &r->refs) <= 0);
}

static inline void refcount_inc(refcount_t *r)
{
	refcount_add(1, r);
}

static inline __must_check bool refcount_sub_and_test(int i, refcount_t *r)
{
	int old = atomic_fetch_sub_release(i, &r->refs);

	WARN_ON(old < i);
	if (old != i)
		return false;
	/* Orders the free after every other put. */
	(void)atomic_read_acquire(&r->refs);
	return true;
}

static inline __must_check bool refcount_dec_and_test(refcount_t *r)
{
	return refcount_sub_and_test(1, r);
}

static inline void refcount_dec(refcount_t *r)
{
	WARN_ON(atomic_fetch_sub_release(1, &r->refs) <= 1);
}

static inline __must_check bool refcount_dec_not_one(refcount_t *r)
{
	int old = atomic_read(&r->refs);

	do {
		if (old == 1)
			return false;
	} while (!atomic_try_cmpxchg_release(&r->refs, &old, old - 1));
	return true;
}

#define refcount_dec_and_mutex_lock(r, lock) ({            \
	bool __z = false;                                  \
	if (!refcount_dec_not_one(r)) {                    \
		mutex_lock(lock);                          \
		__z = refcount_dec_and_test(r);            \
		if (!__z)                                  \
			mutex_unlock(lock);                \
	}                                                  \
	__z; })
#define refcount_dec_and_lock(r, lock) ({                  \
	bool __z = false;                                  \
	if (!refcount_dec_not_one(r)) {                    \
		spin_lock(lock);                           \
		__z = refcount_dec_and_test(r);            \
		if (!__z)                                  \
			spin_unlock(lock);                 \
	}                                                  \
	__z; })

#endif
