/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * usercopy.h - copying arguments: extensible structures, checked bit by bit
 *
 * Only module/user touches user memory (ioctl.c, data.c, handover.c, keep.c and
 * event.c), and never while holding anything that others wait for: an access may
 * sleep as long as the caller likes, with userfaultfd or FUSE behind it.  Event
 * readers copy under a mutex that only calls on their own descriptor take.
 */
#ifndef KVBM_USERCOPY_H
#define KVBM_USERCOPY_H

#include <linux/uaccess.h>
#include "core.h"

/*
 * The following helpers read and write element by element: at these sizes as
 * fast as a string copy, whose start-up costs as much as a few elements.  They
 * have no fault-injection points; kernels built to inject faults copy instead.
 */
#define KVBM_COPY	IS_ENABLED(CONFIG_FAULT_INJECTION_USERCOPY)

/* A whole structure, word by word. */
static __always_inline int kvbm_fetch_words(u64 *to, unsigned long from,
					    size_t size)
{
	size_t i;

	if (KVBM_COPY)
		return copy_from_user(to, (void __user *)from, size) ?
		       -EFAULT : 0;
	if (!user_access_begin((void __user *)from, size))
		return -EFAULT;
	for (i = 0; i < size / sizeof(u64); i++, from += sizeof(u64))
		unsafe_get_user(to[i], (u64 __user *)from, fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

/*
 * Copy in a structure of which the caller knows @usize bytes; @min is the first
 * published size.
 */
static __always_inline int kvbm_fetch(void *args, size_t ksize, size_t min,
				      const void __user *uarg, u32 usize)
{
	if (likely(usize == ksize))
		return kvbm_fetch_words(args, (unsigned long)uarg, ksize);
	if (usize < min)
		return -EINVAL;
	if (usize > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(args, ksize, uarg, usize);
}

/* Copy a structure out, as much of it as the caller knows. */
static inline int kvbm_return(void __user *uarg, u32 usize, const void *args,
			      size_t ksize)
{
	return copy_to_user(uarg, args, min_t(size_t, usize, ksize)) ? -EFAULT :
								       0;
}

static inline int kvbm_fetch_hashes(struct kvbm_hash *to,
				    const struct kvbm_hash __user *from, u32 n)
{
	const size_t size = n * sizeof(*from), half = sizeof(to->hi);
	unsigned long at = (unsigned long)from;
	size_t i;

	if (KVBM_COPY)
		return copy_from_user(to, from, size) ? -EFAULT : 0;
	if (!user_access_begin(from, size))
		return -EFAULT;
	/* Sums of numbers: @from may be anything, and then has no members. */
	for (i = 0; i < size; i += sizeof(*from)) {
		u64 *key = (void *)to + i;

		unsafe_get_user(key[0], (u64 __user *)(at + i), fault);
		unsafe_get_user(key[1], (u64 __user *)(at + i + half), fault);
	}
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

static inline int kvbm_fetch_ids(u32 *to, const u32 __user *from, u32 n)
{
	u32 i;

	if (KVBM_COPY)
		return copy_from_user(to, from, n * sizeof(*from)) ? -EFAULT : 0;
	if (!user_access_begin(from, n * sizeof(*from)))
		return -EFAULT;
	for (i = 0; i < n; i++)
		unsafe_get_user(to[i], &from[i], fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

static inline int kvbm_tell_ids(u32 __user *to, const u32 *from, u32 n)
{
	u32 i;

	if (KVBM_COPY)
		return copy_to_user(to, from, n * sizeof(*from)) ? -EFAULT : 0;
	if (!user_access_begin(to, n * sizeof(*to)))
		return -EFAULT;
	for (i = 0; i < n; i++)
		unsafe_put_user(from[i], &to[i], fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

/*
 * Write how far a batch got: done and the fields that follow it in the
 * structure, the last of them the errno.
 */
static __always_inline int kvbm_tell_end(u32 __user *udone, u32 done, int err)
{
	if (!user_access_begin(udone, 2 * sizeof(*udone)))
		return -EFAULT;
	unsafe_put_user(done, &udone[0], fault);
	unsafe_put_user(-err, &udone[1], fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

/* The same with a second number: hits, or evictions written. */
static __always_inline int kvbm_tell_end2(u32 __user *udone, u32 done, u32 also,
					  int err)
{
	if (!user_access_begin(udone, 3 * sizeof(*udone)))
		return -EFAULT;
	unsafe_put_user(done, &udone[0], fault);
	unsafe_put_user(also, &udone[1], fault);
	unsafe_put_user(-err, &udone[2], fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

/* Every structure of the first release is its own minimum. */
#define kvbm_fetch_args(args, uarg, usize)				\
	(BUILD_BUG_ON_ZERO(sizeof(*(args)) % sizeof(u64)) +		\
	 kvbm_fetch(args, sizeof(*(args)), sizeof(*(args)), uarg, usize))

#endif /* KVBM_USERCOPY_H */
