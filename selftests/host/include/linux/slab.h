/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SLAB_H
#define HOST_LINUX_SLAB_H

/*
 * Allocation. Alignment, the limits on sizes and the contexts in which each
 * call may be made are the kernel's; every allocation can be made to fail and
 * is counted, see host.h.
 */
#include <linux/gfp.h>
#include <linux/err.h>
#include <linux/overflow.h>
#include <asm/page.h>

#define ARCH_KMALLOC_MINALIGN 8
#define KMALLOC_MAX_SIZE (4UL << 20)
#define ZERO_SIZE_PTR ((void *)16)
#define ZERO_OR_NULL_PTR(x) ((unsigned long)(x) <= (unsigned long)ZERO_SIZE_PTR)

void *kmalloc(size_t size, gfp_t flags) __must_check;
void *krealloc(const void *p, size_t size, gfp_t flags) __must_check;
void kfree(const void *p);
size_t ksize(const void *p);
void *kvmalloc(size_t size, gfp_t flags) __must_check;
void kvfree(const void *p);
char *kstrdup(const char *s, gfp_t gfp);
void *kmemdup(const void *src, size_t len, gfp_t gfp);
char *kasprintf(gfp_t gfp, const char *fmt, ...) __printf(2, 3);

static inline void *kzalloc(size_t size, gfp_t flags)
{
	return kmalloc(size, flags | __GFP_ZERO);
}

static inline void *kmalloc_array(size_t n, size_t size, gfp_t flags)
{
	size_t bytes;

	if (check_mul_overflow(n, size, &bytes))
		return NULL;
	return kmalloc(bytes, flags);
}

static inline void *kcalloc(size_t n, size_t size, gfp_t flags)
{
	return kmalloc_array(n, size, flags | __GFP_ZERO);
}

static inline void *kvzalloc(size_t size, gfp_t flags)
{
	return kvmalloc(size, flags | __GFP_ZERO);
}

static inline void *kvmalloc_array(size_t n, size_t size, gfp_t flags)
{
	size_t bytes;

	if (check_mul_overflow(n, size, &bytes))
		return NULL;
	return kvmalloc(bytes, flags);
}

static inline void *kvcalloc(size_t n, size_t size, gfp_t flags)
{
	return kvmalloc_array(n, size, flags | __GFP_ZERO);
}

#define kmalloc_node(size, flags, node) kmalloc(size, flags)
#define kzalloc_node(size, flags, node) kzalloc(size, flags)
#define kvmalloc_node(size, flags, node) kvmalloc(size, flags)
#define kvzalloc_node(size, flags, node) kvzalloc(size, flags)
#define kfree_sensitive(p) kfree(p)

#define SLAB_HWCACHE_ALIGN 0x2000u
#define SLAB_PANIC 0x40000u
#define SLAB_ACCOUNT 0x4000000u
#define SLAB_TYPESAFE_BY_RCU 0x80000u

struct kmem_cache;
struct kmem_cache *kmem_cache_create(const char *name, unsigned int size,
				     unsigned int align, unsigned int flags,
				     void (*ctor)(void *));
void kmem_cache_destroy(struct kmem_cache *s);
void *kmem_cache_alloc(struct kmem_cache *s, gfp_t flags);
void kmem_cache_free(struct kmem_cache *s, void *p);
#define kmem_cache_zalloc(s, flags) kmem_cache_alloc(s, (flags) | __GFP_ZERO)
#define KMEM_CACHE(__struct, __flags)                          \
	kmem_cache_create(#__struct, sizeof(struct __struct),  \
			  __alignof__(struct __struct), (__flags), NULL)

#endif
