// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * array.c - the memory of a store's arrays
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/vmalloc.h>
#include "core.h"

/* Large pages, unless the last one would be mostly waste. */
static bool want_large_pages(u64 bytes)
{
	return round_up(bytes, PMD_SIZE) - bytes <= bytes / 8;
}

/**
 * kvbm_array_need() - the most memory that kvbm_array_alloc() takes
 * @n: elements
 * @size: bytes of each
 *
 * Return: bytes: whole pages, and whole large ones if it may use these.
 */
u64 kvbm_array_need(u64 n, u64 size)
{
	u64 bytes = n * size;

	return round_up(bytes, want_large_pages(bytes) ? PMD_SIZE : PAGE_SIZE);
}

/**
 * kvbm_array_alloc() - zeroed memory for one of a store's arrays
 * @st: the store, whose ->memory grows
 * @n: elements
 * @size: bytes of each
 *
 * Charged to the caller's memory cgroup.  Returns NULL at once if it does not
 * fit: no OOM kill, no warning, no swapping the machine to death first.
 */
void *kvbm_array_alloc(struct kvbm_store *st, size_t n, size_t size)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN |
		    __GFP_RETRY_MAYFAIL;
	size_t bytes = array_size(n, size);
	void *p;

	if (bytes == SIZE_MAX ||
	    bytes >> PAGE_SHIFT > (size_t)max(si_mem_available(), 0L))
		return NULL;
	p = want_large_pages(bytes) ? vmalloc_huge(bytes, gfp) :
				      __vmalloc(bytes, gfp);
	if (p)
		st->memory += kvbm_array_need(n, size);
	return p;
}

void kvbm_array_free(void *p)
{
	vfree(p);
}
