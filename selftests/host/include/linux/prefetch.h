/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PREFETCH_H
#define HOST_LINUX_PREFETCH_H

#include <linux/types.h>
static inline void prefetch(const void *p)
{
	__builtin_prefetch(p, 0, 3);
}

static inline void prefetchw(const void *p)
{
	__builtin_prefetch(p, 1, 3);
}

#endif
