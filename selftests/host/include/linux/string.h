/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_STRING_H
#define HOST_LINUX_STRING_H

#include_next <linux/string.h>
#include <string.h>
#include <linux/types.h>

ssize_t strscpy(char *dst, const char *src, size_t count);
void *memchr_inv(const void *start, int c, size_t bytes);
#define memzero_explicit(p, n) explicit_bzero(p, n)
#define strscpy_pad(dst, src, n) (memset(dst, 0, n), strscpy(dst, src, n))

static inline void *memset32(u32 *s, u32 v, size_t n)
{
	while (n--)
		s[n] = v;
	return s;
}

static inline void *memset64(u64 *s, u64 v, size_t n)
{
	while (n--)
		s[n] = v;
	return s;
}

char *kstrdup(const char *s, gfp_t gfp);
void *kmemdup(const void *src, size_t len, gfp_t gfp);

#endif
