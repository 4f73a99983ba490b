/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_UACCESS_H
#define HOST_LINUX_UACCESS_H

/*
 * User memory is the process's own. The test says where it faults and may
 * change it between two reads, see host.h.
 */
#include <linux/types.h>
#include <linux/err.h>
#include <linux/slab.h>
#include <linux/string.h>

unsigned long __must_check copy_from_user(void *to, const void __user *from,
					  unsigned long n);
unsigned long __must_check copy_to_user(void __user *to, const void *from,
					unsigned long n);
unsigned long __must_check clear_user(void __user *to, unsigned long n);
int __must_check copy_struct_from_user(void *dst, size_t ksize,
				       const void __user *src, size_t usize);
int check_zeroed_user(const void __user *from, size_t size);
long strncpy_from_user(char *dst, const char __user *src, long count);
void *memdup_user(const void __user *src, size_t len);
#define vmemdup_user(src, len) memdup_user(src, len)
#define __copy_from_user(to, from, n) copy_from_user(to, from, n)
#define __copy_to_user(to, from, n) copy_to_user(to, from, n)
#define access_ok(p, n) ((void)(p), (void)(n), 1)
#define might_fault() might_sleep()
#define get_user(x, ptr) ({                                           \
	__unqual_scalar_typeof(*(ptr)) __gu = 0;                      \
	int __e = copy_from_user(&__gu, (ptr), sizeof(__gu)) ? -EFAULT : 0; \
	(x) = (typeof(*(ptr)))__gu;                                   \
	__e; })
#define put_user(x, ptr) ({                                           \
	typeof(*(ptr)) __pu = (x);                                    \
	copy_to_user((ptr), &__pu, sizeof(__pu)) ? -EFAULT : 0; })
#define user_access_begin(p, n) access_ok(p, n)
#define user_access_end() ((void)0)
#define unsafe_get_user(x, ptr, label) do {                           \
	if (get_user(x, ptr)) goto label; } while (0)
#define unsafe_put_user(x, ptr, label) do {                           \
	if (put_user(x, ptr)) goto label; } while (0)
#define __get_user(x, ptr) get_user(x, ptr)
#define __put_user(x, ptr) put_user(x, ptr)

#endif
