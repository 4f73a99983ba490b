/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_VMALLOC_H
#define HOST_LINUX_VMALLOC_H

#include <linux/types.h>
#include <linux/gfp.h>
#include <linux/overflow.h>

/* Page-aligned; vmalloc_huge() asks for huge pages, the others forbid them. */
void *__vmalloc(unsigned long size, gfp_t flags) __must_check;
void *vmalloc_huge(unsigned long size, gfp_t flags) __must_check;
void vfree(const void *p);
bool is_vmalloc_addr(const void *p);

static inline void *vmalloc(unsigned long size)
{
	return __vmalloc(size, GFP_KERNEL);
}

static inline void *vzalloc(unsigned long size)
{
	return __vmalloc(size, GFP_KERNEL | __GFP_ZERO);
}

static inline void *__vmalloc_array(size_t n, size_t size, gfp_t flags)
{
	size_t bytes;

	if (check_mul_overflow(n, size, &bytes))
		return NULL;
	return __vmalloc(bytes, flags);
}

#define vmalloc_array(n, size) __vmalloc_array(n, size, GFP_KERNEL)
#define vcalloc(n, size) __vmalloc_array(n, size, GFP_KERNEL | __GFP_ZERO)
#define vmalloc_node(size, node) vmalloc(size)

#endif
