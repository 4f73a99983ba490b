/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_COMPILER_H
#define HOST_LINUX_COMPILER_H

#include <linux/kconfig.h>
#include <sys/cdefs.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#if defined(__SANITIZE_THREAD__)
#define HOST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOST_TSAN 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HOST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_ASAN 1
#endif
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ __volatile__("" : : : "memory")
#define barrier_data(ptr) __asm__ __volatile__("" : : "r"(ptr) : "memory")
#define OPTIMIZER_HIDE_VAR(var) __asm__("" : "=r"(var) : "0"(var))
#define unreachable() __builtin_unreachable()

#undef __always_inline
#undef __attribute_const__
#define __always_inline inline __attribute__((__always_inline__))
#define noinline __attribute__((__noinline__))
#define __flatten __attribute__((__flatten__))
#define noinline_for_stack noinline
#define __attribute_const__ __attribute__((__const__))
#define __must_check __attribute__((__warn_unused_result__))
#define __maybe_unused __attribute__((__unused__))
#define __always_unused __attribute__((__unused__))
#define __used __attribute__((__used__))
#define __packed __attribute__((__packed__))
/* A hint to compilers that clear automatic variables; none of ours do. */
#define __uninitialized
#define __aligned(x) __attribute__((__aligned__(x)))
#define __pure __attribute__((__pure__))
#define __cold __attribute__((__cold__))
#define __weak __attribute__((__weak__))
#define __malloc __attribute__((__malloc__))
#define __noreturn __attribute__((__noreturn__))
#define __printf(a, b) __attribute__((__format__(printf, a, b)))
#define __alloc_size(...)
#define __mode(x) __attribute__((__mode__(x)))
#define __visible
#define notrace
#define asmlinkage
#undef fallthrough
#define fallthrough __attribute__((__fallthrough__))
#ifdef __clang__
#define __no_sanitize_thread __attribute__((no_sanitize("thread")))
#else
#define __no_sanitize_thread __attribute__((no_sanitize_thread))
#endif
#define __no_kcsan __no_sanitize_thread

/* Sparse's annotations are checked by the kernel build. */
#define __user
#define __kernel
#define __iomem
#define __percpu
#define __rcu
#define __force
#define __nocast
#define __safe
#define __private
#define ACCESS_PRIVATE(p, member) ((p)->member)
#define __must_hold(x)
#define __acquires(x)
#define __releases(x)
#define __cond_acquires(x)
#define __acquire(x) ((void)0)
#define __release(x) ((void)0)
#define __cond_lock(x, c) (c)

#define ___PASTE(a, b) a##b
#define __PASTE(a, b) ___PASTE(a, b)
#define __UNIQUE_ID(prefix) \
	__PASTE(__PASTE(__UNIQUE_ID_, prefix), __COUNTER__)
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)

#define __same_type(a, b) __builtin_types_compatible_p(typeof(a), typeof(b))
#define is_signed_type(type) (((type)(-1)) < (__force type)1)
#define is_unsigned_type(type) (!is_signed_type(type))
#define statically_true(x) (__builtin_constant_p(x) && (x))
#define __is_constexpr(x) \
	(sizeof(int) == sizeof(*(8 ? ((void *)((long)(x) * 0l)) : (int *)8)))
#define __must_be_array(a) \
	((int)(sizeof(struct { int : (-!!(__same_type((a), &(a)[0]))); })))

#define __scalar_type_to_expr_cases(type) \
	unsigned type : (unsigned type)0, signed type : (signed type)0
#define __unqual_scalar_typeof(x)                              \
	typeof(_Generic((x),                                   \
		char: (char)0,                                 \
		__scalar_type_to_expr_cases(char),             \
		__scalar_type_to_expr_cases(short),            \
		__scalar_type_to_expr_cases(int),              \
		__scalar_type_to_expr_cases(long),             \
		__scalar_type_to_expr_cases(long long),        \
		default: (x)))

/*
 * As in the kernel this wants the optimiser; sanitizers keep it from proving
 * the condition, so only the plain builds check.
 */
#if defined(__OPTIMIZE__) && !defined(HOST_TSAN) && !defined(HOST_ASAN) && \
	!defined(__clang__)
#define __compiletime_assert(condition, msg, prefix, suffix)             \
	do {                                                             \
		__attribute__((__error__(msg))) extern void              \
		prefix##suffix(void);                                    \
		if (!(condition))                                        \
			prefix##suffix();                                \
	} while (0)
#else
#define __compiletime_assert(condition, msg, prefix, suffix) \
	((void)(sizeof(!(condition))))
#endif
#define _compiletime_assert(condition, msg, prefix, suffix) \
	__compiletime_assert(condition, msg, prefix, suffix)
#define compiletime_assert(condition, msg) \
	_compiletime_assert(condition, msg, __compiletime_assert_, __COUNTER__)

/*
 * ThreadSanitizer takes volatile accesses for plain ones, so it is shown
 * relaxed atomics instead. They compile to the same instructions.
 */
#ifdef HOST_TSAN
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, val) \
	__atomic_store_n(&(x), (typeof(x))(val), __ATOMIC_RELAXED)
#else
#define READ_ONCE(x) (*(const volatile __unqual_scalar_typeof(x) *)&(x))
#define WRITE_ONCE(x, val) \
	do { *(volatile typeof(x) *)&(x) = (val); } while (0)
#endif
#define __READ_ONCE(x) READ_ONCE(x)
#ifdef HOST_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define data_race(expr) ({                              \
	__unqual_scalar_typeof(({ expr; })) __dr;       \
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);   \
	__dr = ({ expr; });                             \
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);     \
	__dr; })
#else
#define data_race(expr) (expr)
#endif
#define ASSERT_EXCLUSIVE_WRITER(x) ((void)0)
#define ASSERT_EXCLUSIVE_ACCESS(x) ((void)0)

#define _RET_IP_ ((unsigned long)__builtin_return_address(0))
#define _THIS_IP_ \
	({ __label__ __here; __here: (unsigned long)&&__here; })

#endif
