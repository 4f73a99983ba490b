/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_UIO_H
#define HOST_LINUX_UIO_H

#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/uaccess.h>

/* Room of a reader: one piece. */
struct iov_iter {
	char __user *to;
	size_t count;
};

#define IOCB_NOWAIT	1

struct kiocb {
	struct file *ki_filp;
	int ki_flags;
};

static inline size_t iov_iter_count(const struct iov_iter *i)
{
	return i->count;
}

static inline size_t copy_to_iter(const void *from, size_t n,
				  struct iov_iter *i)
{
	n = min(n, i->count);
	n -= copy_to_user(i->to, from, n);
	i->to += n;
	i->count -= n;
	return n;
}

#endif
