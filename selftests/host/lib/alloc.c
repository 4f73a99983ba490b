// SPDX-License-Identifier: MIT
/* kmalloc(), vmalloc() and kin: counted, limited, made to fail at will. */
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/random.h>
#include <linux/string.h>
#include "host.h"
#include "lib.h"

static size_t live_bytes, peak_bytes, live_objects, total_allocs, failed;
static size_t limit_bytes;
static u64 available;
static unsigned int fail_rate;
static __thread unsigned long fail_in;
static __thread bool fail_fired;

void host_fail_nth(unsigned long nth)
{
	fail_in = nth;
	fail_fired = false;
}

bool host_fail_fired(void)
{
	bool fired = fail_fired;

	host_fail_nth(0);
	return fired;
}

void host_fail_rate(unsigned int per_million)
{
	WRITE_ONCE(fail_rate, per_million);
}

void host_mem_limit(size_t bytes)
{
	WRITE_ONCE(limit_bytes, bytes);
}

void host_mem_available(uint64_t bytes)
{
	WRITE_ONCE(available, bytes);
}

static size_t add(size_t *p, size_t n)
{
	return __atomic_add_fetch(p, n, __ATOMIC_RELAXED);
}

static void count_in(size_t bytes)
{
	size_t now = add(&live_bytes, bytes);
	size_t peak = READ_ONCE(peak_bytes);

	while (now > peak &&
	       !try_cmpxchg_relaxed(&peak_bytes, &peak, now))
		;
	add(&live_objects, 1);
	add(&total_allocs, 1);
}

static void count_out(size_t bytes)
{
	add(&live_bytes, -bytes);
	add(&live_objects, -1);
}

void host_mem_stats(struct host_mem *m)
{
	m->bytes = READ_ONCE(live_bytes);
	m->peak = READ_ONCE(peak_bytes);
	m->objects = READ_ONCE(live_objects);
	m->total = READ_ONCE(total_allocs);
	m->failed = READ_ONCE(failed);
}

void host_mem_reset_peak(void)
{
	WRITE_ONCE(peak_bytes, READ_ONCE(live_bytes));
}

static bool refused(size_t size, gfp_t flags)
{
	size_t limit = READ_ONCE(limit_bytes);
	unsigned int rate = READ_ONCE(fail_rate);

	might_sleep_if(gfpflags_allow_blocking(flags));
	if (flags & __GFP_NOFAIL)
		return false;
	if (fail_in && !--fail_in) {
		fail_fired = true;
		goto refuse;
	}
	if (rate && get_random_u64() % 1000000 < rate)
		goto refuse;
	if (limit && (size > limit || READ_ONCE(live_bytes) > limit - size))
		goto refuse;
	return false;
refuse:
	add(&failed, 1);
	return true;
}

/* By size classes: 8, 16, 32, 64, 96, 128, 192, then powers of two. */
static size_t kmalloc_align(size_t size)
{
	if (size > 64 && size <= 96)
		return 32;
	if (size > 128 && size <= 192)
		return 64;
	return clamp_t(size_t, roundup_pow_of_two(size), 16, PAGE_SIZE);
}

static void *kmalloc_nocheck(size_t size, gfp_t flags)
{
	void *p;

	if (posix_memalign(&p, kmalloc_align(size), size))
		return NULL;
	count_in(malloc_usable_size(p));
	if (flags & __GFP_ZERO)
		memset(p, 0, size);
	return p;
}

void *kmalloc(size_t size, gfp_t flags)
{
	if (!size)
		return ZERO_SIZE_PTR;
	if (size > KMALLOC_MAX_SIZE) {
		WARN_ON(!(flags & __GFP_NOWARN));
		return NULL;
	}
	if (refused(size, flags))
		return NULL;
	return kmalloc_nocheck(size, flags);
}

void kfree(const void *p)
{
	if (ZERO_OR_NULL_PTR(p))
		return;
	BUG_ON(is_vmalloc_addr(p));
	count_out(malloc_usable_size((void *)p));
	free((void *)p);
}

size_t ksize(const void *p)
{
	return ZERO_OR_NULL_PTR(p) ? 0 : malloc_usable_size((void *)p);
}

void *krealloc(const void *p, size_t size, gfp_t flags)
{
	size_t old = ksize(p);
	void *n;

	if (!size) {
		kfree(p);
		return ZERO_SIZE_PTR;
	}
	n = kmalloc(size, flags);
	if (n && old) {
		memcpy(n, p, min(old, size));
		kfree(p);
	}
	return n;
}

char *kstrdup(const char *s, gfp_t gfp)
{
	return s ? kmemdup(s, strlen(s) + 1, gfp) : NULL;
}

void *kmemdup(const void *src, size_t len, gfp_t gfp)
{
	void *p = kmalloc(len, gfp);

	if (p && len)
		memcpy(p, src, len);
	return p;
}

char *kasprintf(gfp_t gfp, const char *fmt, ...)
{
	va_list ap;
	char *s, *k;

	va_start(ap, fmt);
	BUG_ON(vasprintf(&s, fmt, ap) < 0);
	va_end(ap);
	k = kstrdup(s, gfp);
	free(s);
	return k;
}

/* --- vmalloc ------------------------------------------------------------ */

#define HUGE (2UL << 20)

/* Few and long-lived: a list will do. */
struct area {
	struct area *next;
	void *p;
	size_t size;		/* in whole pages */
	size_t mapped;		/* 0: from malloc() */
};

static pthread_mutex_t areas_lock = PTHREAD_MUTEX_INITIALIZER;
static struct area *areas;

void host_alloc_fork_lock(void)
{
	pthread_mutex_lock(&areas_lock);
}

void host_alloc_fork_unlock(void)
{
	pthread_mutex_unlock(&areas_lock);
}

/*
 * Sanitizers see the end of an allocation only if it comes from their
 * malloc(); in plain builds mmap() gives what the kernel gives: fresh pages,
 * large ones where asked for.
 */
#if defined(HOST_ASAN) || defined(HOST_TSAN)
static void *area_get(struct area *a, size_t size, bool huge)
{
	if (posix_memalign(&a->p, PAGE_SIZE, size))
		return NULL;
	memset(a->p, 0, size);
	return a->p;
}

static void area_put(struct area *a)
{
	free(a->p);
}
#else
static void *area_get(struct area *a, size_t size, bool huge)
{
	size_t extra = huge && a->size >= HUGE ? HUGE : 0;
	char *p = mmap(NULL, a->size + extra, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	a->mapped = a->size;
	if (extra) {
		before = ALIGN((unsigned long)p, HUGE) - (unsigned long)p;
		if (before)
			munmap(p, before);
		if (extra - before)
			munmap(p + before + a->size, extra - before);
		p += before;
	}
	madvise(p, a->size, extra ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	a->p = p;
	return p;
}

static void area_put(struct area *a)
{
	munmap(a->p, a->mapped);
}
#endif

static void *vmalloc_any(unsigned long size, gfp_t flags, bool huge)
{
	struct area *a;

	BUG_ON(!gfpflags_allow_blocking(flags));
	if (WARN_ON(!size) || refused(size, flags))
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->size = PAGE_ALIGN(size);
	/* So large that rounding up to a page, or a huge one, wraps. */
	if (a->size < size || a->size > SIZE_MAX / 4 ||
	    !area_get(a, size, huge)) {
		free(a);
		return NULL;
	}
	pthread_mutex_lock(&areas_lock);
	a->next = areas;
	areas = a;
	pthread_mutex_unlock(&areas_lock);
	count_in(a->size);
	return a->p;
}

void *__vmalloc(unsigned long size, gfp_t flags)
{
	return vmalloc_any(size, flags, false);
}

void *vmalloc_huge(unsigned long size, gfp_t flags)
{
	return vmalloc_any(size, flags, true);
}

bool is_vmalloc_addr(const void *p)
{
	struct area *a;

	pthread_mutex_lock(&areas_lock);
	for (a = areas; a; a = a->next)
		if (p >= a->p && p < a->p + a->size)
			break;
	pthread_mutex_unlock(&areas_lock);
	return a;
}

static bool vfree_if(const void *p)
{
	struct area **pa, *a;

	pthread_mutex_lock(&areas_lock);
	for (pa = &areas; (a = *pa); pa = &a->next)
		if (a->p == p)
			break;
	if (a)
		*pa = a->next;
	pthread_mutex_unlock(&areas_lock);
	if (!a)
		return false;
	count_out(a->size);
	area_put(a);
	free(a);
	return true;
}

void vfree(const void *p)
{
	if (p)
		BUG_ON(!vfree_if(p));
}

/*
 * With the refusals of the kernel's kvmalloc_node(). That tries kmalloc()
 * first, whatever the size; here the size decides.
 */
void *kvmalloc(size_t size, gfp_t flags)
{
	if (size <= 16 * PAGE_SIZE)
		return kmalloc(size, flags);
	if (!gfpflags_allow_blocking(flags))
		return kmalloc(size, flags | __GFP_NOWARN);
	if (unlikely(size > INT_MAX)) {
		WARN_ON(!(flags & __GFP_NOWARN));
		return NULL;
	}
	return vmalloc_any(size, flags, true);
}

void kvfree(const void *p)
{
	/* Everything from vmalloc() is on a page's boundary. */
	if (!((unsigned long)p & ~PAGE_MASK) && p && vfree_if(p))
		return;
	kfree(p);
}

/* --- pages -------------------------------------------------------------- */

long si_mem_available(void)
{
	u64 a = READ_ONCE(available);

	return (a ?: (u64)get_avphys_pages() * PAGE_SIZE) >> PAGE_SHIFT;
}

unsigned long totalram_pages(void)
{
	return get_phys_pages();
}

unsigned long __get_free_pages(gfp_t flags, unsigned int order)
{
	return (unsigned long)kmalloc(PAGE_SIZE << order, flags);
}

void free_pages(unsigned long addr, unsigned int order)
{
	kfree((void *)addr);
}

/* --- caches ------------------------------------------------------------- */

struct kmem_cache {
	unsigned int size, align;
	void (*ctor)(void *p);
	size_t objects;
};

struct kmem_cache *kmem_cache_create(const char *name, unsigned int size,
				     unsigned int align, unsigned int flags,
				     void (*ctor)(void *))
{
	struct kmem_cache *s = kmalloc(sizeof(*s), GFP_KERNEL);

	/* Objects may be recycled under RCU readers; malloc() cannot do that. */
	BUG_ON(flags & SLAB_TYPESAFE_BY_RCU);
	if (!s)
		return NULL;
	if (flags & SLAB_HWCACHE_ALIGN)
		align = max_t(unsigned int, align, L1_CACHE_BYTES);
	*s = (struct kmem_cache){
		.size = ALIGN(size, max_t(unsigned int, align, 8)),
		.align = max_t(unsigned int, align, 8),
		.ctor = ctor,
	};
	return s;
}

void kmem_cache_destroy(struct kmem_cache *s)
{
	if (!s)
		return;
	WARN_ON(READ_ONCE(s->objects));
	kfree(s);
}

void *kmem_cache_alloc(struct kmem_cache *s, gfp_t flags)
{
	void *p;

	if (refused(s->size, flags) || posix_memalign(&p, s->align, s->size))
		return NULL;
	count_in(malloc_usable_size(p));
	add(&s->objects, 1);
	if (flags & __GFP_ZERO)
		memset(p, 0, s->size);
	if (s->ctor)
		s->ctor(p);
	return p;
}

void kmem_cache_free(struct kmem_cache *s, void *p)
{
	add(&s->objects, -1);
	kfree(p);
}

/* --- per CPU ------------------------------------------------------------ */

/*
 * Not counted in the live bytes, which speak of what grows with a store: a
 * CPU's copy takes a page here, for the sake of simple addressing.
 */
void *__alloc_percpu_gfp(size_t size, size_t align, gfp_t gfp)
{
	size_t all = HOST_PCPU_STRIDE * HOST_NR_CPUS;
	void *p;

	BUG_ON(size > HOST_PCPU_STRIDE || align > HOST_PCPU_STRIDE);
	if (refused(size * HOST_NR_CPUS, gfp) ||
	    posix_memalign(&p, HOST_PCPU_STRIDE, all))
		return NULL;
	memset(p, 0, all);
	add(&live_objects, 1);
	add(&total_allocs, 1);
	return p;
}

void free_percpu(void __percpu *p)
{
	if (!p)
		return;
	add(&live_objects, -1);
	free(p);
}
