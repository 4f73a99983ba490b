/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_ATOMIC_H
#define HOST_LINUX_ATOMIC_H

/*
 * The kernel's atomics on the compiler's. Ordering is the kernel's: an
 * operation that returns a value is fully ordered unless its name says
 * otherwise, one that returns nothing is relaxed, a failed cmpxchg orders
 * nothing.
 */
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/processor.h>

/*
 * Checked builds have points where a test may do what another thread could do
 * there: host_point_fn is called once, with none set, and may set itself again.
 */
enum host_point {
	HOST_BEFORE_ACQUIRE,	/* an atomic is read with acquire semantics */
	HOST_AFTER_ACQUIRE,
	HOST_BEFORE_LOCK,	/* a spinlock is taken */
};

#ifdef HOST_DEBUG
extern __thread void (*host_point_fn)(enum host_point at, const void *p);

static inline void host_point(enum host_point at, const void *p)
{
	void (*fn)(enum host_point at, const void *p) = host_point_fn;

	if (likely(!fn))
		return;
	host_point_fn = NULL;
	fn(at, p);
}
#else
#define host_point(at, p) ((void)0)
#endif

#define HOST_MO_full __ATOMIC_SEQ_CST
#define HOST_MO_acquire __ATOMIC_ACQUIRE
#define HOST_MO_release __ATOMIC_RELEASE
#define HOST_MO_relaxed __ATOMIC_RELAXED

/* Tell builds with HOST_WEAK what has just been ordered. */
#define host_ordered_as(mo)                                           \
	((mo) == __ATOMIC_SEQ_CST ? host_ordered() :                  \
	 (mo) == __ATOMIC_ACQUIRE ? host_acquired() : (void)0)

#define HOST_RMW(op, mo) ({                                           \
	typeof(op) __host_was = (op);                                 \
	host_ordered_as(mo);                                          \
	__host_was; })

#define HOST_XCHG(ptr, val, mo) \
	HOST_RMW(__atomic_exchange_n((ptr), (typeof(*(ptr)))(val), (mo)), mo)
#define xchg(ptr, val) HOST_XCHG(ptr, val, HOST_MO_full)
#define xchg_acquire(ptr, val) HOST_XCHG(ptr, val, HOST_MO_acquire)
#define xchg_release(ptr, val) HOST_XCHG(ptr, val, HOST_MO_release)
#define xchg_relaxed(ptr, val) HOST_XCHG(ptr, val, HOST_MO_relaxed)

#define HOST_CMPXCHG(ptr, old, new, mo) ({                            \
	typeof(*(ptr)) __host_old = (typeof(*(ptr)))(old);            \
	__atomic_compare_exchange_n((ptr), &__host_old,               \
				    (typeof(*(ptr)))(new), false,     \
				    (mo), __ATOMIC_RELAXED);          \
	host_ordered_as(mo);                                          \
	__host_old; })
#define cmpxchg(ptr, o, n) HOST_CMPXCHG(ptr, o, n, HOST_MO_full)
#define cmpxchg_acquire(ptr, o, n) HOST_CMPXCHG(ptr, o, n, HOST_MO_acquire)
#define cmpxchg_release(ptr, o, n) HOST_CMPXCHG(ptr, o, n, HOST_MO_release)
#define cmpxchg_relaxed(ptr, o, n) HOST_CMPXCHG(ptr, o, n, HOST_MO_relaxed)
#define cmpxchg64(ptr, o, n) cmpxchg(ptr, o, n)

#define HOST_TRY_CMPXCHG(ptr, oldp, new, mo)                          \
	likely(HOST_RMW(__atomic_compare_exchange_n((ptr), (oldp),    \
					   (typeof(*(ptr)))(new),     \
					   false, (mo), __ATOMIC_RELAXED), \
			mo))
#define try_cmpxchg(ptr, op, n) HOST_TRY_CMPXCHG(ptr, op, n, HOST_MO_full)
#define try_cmpxchg_acquire(ptr, op, n) \
	HOST_TRY_CMPXCHG(ptr, op, n, HOST_MO_acquire)
#define try_cmpxchg_release(ptr, op, n) \
	HOST_TRY_CMPXCHG(ptr, op, n, HOST_MO_release)
#define try_cmpxchg_relaxed(ptr, op, n) \
	HOST_TRY_CMPXCHG(ptr, op, n, HOST_MO_relaxed)

/* One ordering of every operation that returns something. */
#define HOST_ATOMIC_ORDERED(pfx, T, V, sfx, mo)                              \
static __always_inline V pfx##_add_return##sfx(V i, T *v)                    \
{ return HOST_RMW(__atomic_add_fetch(&v->counter, i, mo), mo); }             \
static __always_inline V pfx##_sub_return##sfx(V i, T *v)                    \
{ return HOST_RMW(__atomic_sub_fetch(&v->counter, i, mo), mo); }             \
static __always_inline V pfx##_inc_return##sfx(T *v)                         \
{ return HOST_RMW(__atomic_add_fetch(&v->counter, 1, mo), mo); }             \
static __always_inline V pfx##_dec_return##sfx(T *v)                         \
{ return HOST_RMW(__atomic_sub_fetch(&v->counter, 1, mo), mo); }             \
static __always_inline V pfx##_fetch_add##sfx(V i, T *v)                     \
{ return HOST_RMW(__atomic_fetch_add(&v->counter, i, mo), mo); }             \
static __always_inline V pfx##_fetch_sub##sfx(V i, T *v)                     \
{ return HOST_RMW(__atomic_fetch_sub(&v->counter, i, mo), mo); }             \
static __always_inline V pfx##_fetch_inc##sfx(T *v)                          \
{ return HOST_RMW(__atomic_fetch_add(&v->counter, 1, mo), mo); }             \
static __always_inline V pfx##_fetch_dec##sfx(T *v)                          \
{ return HOST_RMW(__atomic_fetch_sub(&v->counter, 1, mo), mo); }             \
static __always_inline V pfx##_fetch_and##sfx(V i, T *v)                     \
{ return HOST_RMW(__atomic_fetch_and(&v->counter, i, mo), mo); }             \
static __always_inline V pfx##_fetch_andnot##sfx(V i, T *v)                  \
{ return HOST_RMW(__atomic_fetch_and(&v->counter, ~i, mo), mo); }            \
static __always_inline V pfx##_fetch_or##sfx(V i, T *v)                      \
{ return HOST_RMW(__atomic_fetch_or(&v->counter, i, mo), mo); }              \
static __always_inline V pfx##_fetch_xor##sfx(V i, T *v)                     \
{ return HOST_RMW(__atomic_fetch_xor(&v->counter, i, mo), mo); }             \
static __always_inline V pfx##_xchg##sfx(T *v, V i)                          \
{ return HOST_RMW(__atomic_exchange_n(&v->counter, i, mo), mo); }            \
static __always_inline V pfx##_cmpxchg##sfx(T *v, V old, V new)              \
{                                                                            \
	__atomic_compare_exchange_n(&v->counter, &old, new, false, mo,       \
				    __ATOMIC_RELAXED);                       \
	host_ordered_as(mo);                                                 \
	return old;                                                          \
}                                                                            \
static __always_inline bool pfx##_try_cmpxchg##sfx(T *v, V *old, V new)      \
{                                                                            \
	return likely(HOST_RMW(__atomic_compare_exchange_n(&v->counter, old, \
						  new, false, mo,            \
						  __ATOMIC_RELAXED), mo));   \
}

#define HOST_ATOMIC_TYPE(pfx, T, V)                                          \
static __always_inline V pfx##_read(const T *v)                              \
{ return READ_ONCE(v->counter); }                                            \
static __always_inline V pfx##_read_acquire(const T *v)                      \
{                                                                            \
	V x;                                                                 \
	host_point(HOST_BEFORE_ACQUIRE, v);                                  \
	x = smp_load_acquire(&v->counter);                                   \
	host_point(HOST_AFTER_ACQUIRE, v);                                   \
	return x;                                                            \
}                                                                            \
static __always_inline void pfx##_set(T *v, V i)                             \
{ WRITE_ONCE(v->counter, i); }                                               \
static __always_inline void pfx##_set_release(T *v, V i)                     \
{ smp_store_release(&v->counter, i); }                                       \
static __always_inline void pfx##_add(V i, T *v)                             \
{ (void)__atomic_fetch_add(&v->counter, i, __ATOMIC_RELAXED); }              \
static __always_inline void pfx##_sub(V i, T *v)                             \
{ (void)__atomic_fetch_sub(&v->counter, i, __ATOMIC_RELAXED); }              \
static __always_inline void pfx##_inc(T *v)                                  \
{ (void)__atomic_fetch_add(&v->counter, 1, __ATOMIC_RELAXED); }              \
static __always_inline void pfx##_dec(T *v)                                  \
{ (void)__atomic_fetch_sub(&v->counter, 1, __ATOMIC_RELAXED); }              \
static __always_inline void pfx##_and(V i, T *v)                             \
{ (void)__atomic_fetch_and(&v->counter, i, __ATOMIC_RELAXED); }              \
static __always_inline void pfx##_andnot(V i, T *v)                          \
{ (void)__atomic_fetch_and(&v->counter, ~i, __ATOMIC_RELAXED); }             \
static __always_inline void pfx##_or(V i, T *v)                              \
{ (void)__atomic_fetch_or(&v->counter, i, __ATOMIC_RELAXED); }               \
static __always_inline void pfx##_xor(V i, T *v)                             \
{ (void)__atomic_fetch_xor(&v->counter, i, __ATOMIC_RELAXED); }              \
HOST_ATOMIC_ORDERED(pfx, T, V, , __ATOMIC_SEQ_CST)                           \
HOST_ATOMIC_ORDERED(pfx, T, V, _acquire, __ATOMIC_ACQUIRE)                   \
HOST_ATOMIC_ORDERED(pfx, T, V, _release, __ATOMIC_RELEASE)                   \
HOST_ATOMIC_ORDERED(pfx, T, V, _relaxed, __ATOMIC_RELAXED)                   \
static __always_inline bool pfx##_sub_and_test(V i, T *v)                    \
{ return pfx##_sub_return(i, v) == 0; }                                      \
static __always_inline bool pfx##_dec_and_test(T *v)                         \
{ return pfx##_dec_return(v) == 0; }                                         \
static __always_inline bool pfx##_inc_and_test(T *v)                         \
{ return pfx##_inc_return(v) == 0; }                                         \
static __always_inline bool pfx##_add_negative(V i, T *v)                    \
{ return pfx##_add_return(i, v) < 0; }                                       \
static __always_inline V pfx##_fetch_add_unless(T *v, V a, V u)              \
{                                                                            \
	V c = pfx##_read(v);                                                 \
									     \
	do {                                                                 \
		if (unlikely(c == u))                                        \
			break;                                               \
	} while (!pfx##_try_cmpxchg(v, &c, c + a));                          \
	return c;                                                            \
}                                                                            \
static __always_inline bool pfx##_add_unless(T *v, V a, V u)                 \
{ return pfx##_fetch_add_unless(v, a, u) != u; }                             \
static __always_inline bool pfx##_inc_not_zero(T *v)                         \
{ return pfx##_add_unless(v, 1, 0); }                                        \
static __always_inline V pfx##_dec_if_positive(T *v)                         \
{                                                                            \
	V dec, c = pfx##_read(v);                                            \
									     \
	do {                                                                 \
		dec = c - 1;                                                 \
		if (unlikely(dec < 0))                                       \
			break;                                               \
	} while (!pfx##_try_cmpxchg(v, &c, dec));                            \
	return dec;                                                          \
}

HOST_ATOMIC_TYPE(atomic, atomic_t, int)
HOST_ATOMIC_TYPE(atomic64, atomic64_t, s64)
HOST_ATOMIC_TYPE(atomic_long, atomic_long_t, long)

#define atomic_cond_read_acquire(v, c) \
	smp_cond_load_acquire(&(v)->counter, (c))
#define atomic64_cond_read_acquire(v, c) \
	smp_cond_load_acquire(&(v)->counter, (c))

#endif
