/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_UACCESS_H
#define HOST_LINUX_UACCESS_H

/* User memory is the process's own, and always there. */
#include <linux/types.h>
#include <linux/err.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/string.h>

static inline unsigned long copy_from_user(void *to, const void __user *from,
					   unsigned long n)
{
	might_sleep();
	memcpy(to, from, n);
	return 0;
}

static inline unsigned long copy_to_user(void __user *to, const void *from,
					 unsigned long n)
{
	return copy_from_user(to, from, n);
}

static inline unsigned long clear_user(void __user *to, unsigned long n)
{
	might_sleep();
	memset(to, 0, n);
	return 0;
}

/* Callers here know of no longer structures than the module. */
static inline int copy_struct_from_user(void *dst, size_t ksize,
					const void __user *src, size_t usize)
{
	size_t size = min(ksize, usize);

	if (usize > ksize)
		return -E2BIG;
	memset(dst + size, 0, ksize - size);
	return copy_from_user(dst, src, size);
}

#define access_ok(p, n) ((void)(p), (void)(n), 1)
#define might_fault() might_sleep()
#define get_user(x, ptr) ({						\
	might_sleep();							\
	(x) = *(ptr);							\
	0; })
#define put_user(x, ptr) ({						\
	might_sleep();							\
	*(ptr) = (x);							\
	0; })
#define user_access_begin(p, n) access_ok(p, n)
#define user_access_end() ((void)0)
#define unsafe_get_user(x, ptr, label) do {				\
	if (get_user(x, ptr))						\
		goto label; } while (0)
#define unsafe_put_user(x, ptr, label) do {				\
	if (put_user(x, ptr))						\
		goto label; } while (0)

#endif
