// SPDX-License-Identifier: MIT
/*
 * A store in memory that forked processes share. While shared_on is set, the
 * allocator of the host build takes its memory from here: the linker wraps its
 * functions with these (--wrap).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "bench.h"

#define ARENA	(256UL << 20)

void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);
int __real_posix_memalign(void **p, size_t align, size_t size);
size_t __real_malloc_usable_size(void *p);
void __real_free(void *p);

bool shared_on;

static char *arena, *arena_next;

static bool in_arena(const void *p)
{
	return arena && (char *)p >= arena && (char *)p < arena + ARENA;
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	if (shared_on && flags & MAP_ANONYMOUS)
		flags = (flags & ~MAP_PRIVATE) | MAP_SHARED;
	return __real_mmap(addr, len, prot, flags, fd, off);
}

int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
	size_t *head;

	if (!shared_on)
		return __real_posix_memalign(p, align, size);
	if (!arena) {
		arena = __real_mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
				    -1, 0);
		CHECK(arena != MAP_FAILED);
		arena_next = arena;
	}
	align = max(align, (size_t)64);
	head = (size_t *)ALIGN((unsigned long)arena_next + sizeof(size_t),
			       align) - 1;
	*head = size;
	*p = head + 1;
	arena_next = (char *)*p + size;
	return arena_next > arena + ARENA ? ENOMEM : 0;
}

size_t __wrap_malloc_usable_size(void *p)
{
	return in_arena(p) ? ((size_t *)p)[-1] : __real_malloc_usable_size(p);
}

/* The arena's contents stay until the process ends. */
void __wrap_free(void *p)
{
	if (!in_arena(p))
		__real_free(p);
}
