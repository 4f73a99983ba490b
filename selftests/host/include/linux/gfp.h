/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_GFP_H
#define HOST_LINUX_GFP_H

#include <linux/types.h>
#define __GFP_HIGH 0x01u
#define __GFP_ATOMIC 0x02u
#define __GFP_IO 0x04u
#define __GFP_FS 0x08u
#define __GFP_DIRECT_RECLAIM 0x10u
#define __GFP_KSWAPD_RECLAIM 0x20u
#define __GFP_RECLAIM (__GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM)
#define __GFP_NOWARN 0x40u
#define __GFP_NORETRY 0x80u
#define __GFP_RETRY_MAYFAIL 0x100u
#define __GFP_NOFAIL 0x200u
#define __GFP_ZERO 0x400u
#define __GFP_ACCOUNT 0x800u
#define __GFP_HIGHMEM 0x1000u
#define __GFP_COMP 0x2000u
#define __GFP_NOMEMALLOC 0x4000u
#define GFP_ATOMIC (__GFP_HIGH | __GFP_ATOMIC | __GFP_KSWAPD_RECLAIM)
#define GFP_NOWAIT __GFP_KSWAPD_RECLAIM
#define GFP_NOIO __GFP_RECLAIM
#define GFP_NOFS (__GFP_RECLAIM | __GFP_IO)
#define GFP_KERNEL (__GFP_RECLAIM | __GFP_IO | __GFP_FS)
#define GFP_USER GFP_KERNEL
#define GFP_KERNEL_ACCOUNT (GFP_KERNEL | __GFP_ACCOUNT)

static inline bool gfpflags_allow_blocking(gfp_t flags)
{
	return flags & __GFP_DIRECT_RECLAIM;
}

#endif
