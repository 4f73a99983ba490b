/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_MM_H
#define HOST_LINUX_MM_H

#include <linux/slab.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>
#include <linux/align.h>
#include <asm/page.h>

#define PAGE_ALIGN(addr) ALIGN(addr, PAGE_SIZE)
#define PAGE_ALIGNED(addr) IS_ALIGNED((unsigned long)(addr), PAGE_SIZE)
#define offset_in_page(p) ((unsigned long)(p) & ~PAGE_MASK)

/* In pages. The test may set it, see host.h. */
long si_mem_available(void);
unsigned long totalram_pages(void);

unsigned long __get_free_pages(gfp_t flags, unsigned int order);
void free_pages(unsigned long addr, unsigned int order);
#define __get_free_page(flags) __get_free_pages(flags, 0)
#define get_zeroed_page(flags) __get_free_pages((flags) | __GFP_ZERO, 0)
#define free_page(addr) free_pages(addr, 0)

#endif
