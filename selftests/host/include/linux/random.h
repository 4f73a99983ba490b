/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_RANDOM_H
#define HOST_LINUX_RANDOM_H

#include <linux/types.h>

/* Fresh every run, unless host_seed() was called; see host.h. */
u64 get_random_u64(void);

static inline u32 get_random_u32(void)
{
	return get_random_u64() >> 32;
}

static inline unsigned long get_random_long(void)
{
	return get_random_u64();
}

static inline u32 prandom_u32_max(u32 ceil)
{
	return ((u64)get_random_u32() * ceil) >> 32;
}

#define get_random_u32_below(ceil) prandom_u32_max(ceil)
#define get_random_once(buf, n) get_random_bytes(buf, n)

void get_random_bytes(void *buf, size_t len);

#endif
