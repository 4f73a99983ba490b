/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PREFETCH_H
#define HOST_LINUX_PREFETCH_H

#include <linux/types.h>

/*
 * As the kernel has them. __builtin_prefetch() is no side effect to gcc: it drops
 * calls of functions that do nothing else.
 */
#ifdef __x86_64__
static inline void prefetch(const void *p)
{
	asm volatile("prefetcht0 %0" : : "m" (*(const char *)p));
}

static inline void prefetchw(const void *p)
{
	asm volatile("prefetchw %0" : : "m" (*(const char *)p));
}
#else
#define prefetch(p) __builtin_prefetch(p, 0, 3)
#define prefetchw(p) __builtin_prefetch(p, 1, 3)
#endif

#endif
