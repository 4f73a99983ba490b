/* SPDX-License-Identifier: MIT */
#ifndef HOST_ASM_PAGE_H
#define HOST_ASM_PAGE_H

#include <linux/const.h>
#ifndef PAGE_SHIFT
#define PAGE_SHIFT 12
#endif
#undef PAGE_SIZE
#undef PAGE_MASK
#define PAGE_SIZE (_AC(1, UL) << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

#endif
