/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_XARRAY_H
#define HOST_LINUX_XARRAY_H

/* Few entries: a list under a lock. */
#include <linux/list.h>
#include <linux/spinlock.h>

struct xarray {
	spinlock_t xa_lock;
	struct list_head entries;
};

struct xa_limit {
	u32 max, min;
};

#define XA_LIMIT(_min, _max) ((struct xa_limit){ .min = (_min), .max = (_max) })
#define xa_limit_32b XA_LIMIT(0, UINT_MAX)
#define DEFINE_XARRAY_ALLOC1(name) \
	struct xarray name = { .entries = LIST_HEAD_INIT(name.entries) }
#define DEFINE_XARRAY(name) DEFINE_XARRAY_ALLOC1(name)
#define DEFINE_XARRAY_ALLOC(name) DEFINE_XARRAY_ALLOC1(name)

int xa_alloc_cyclic(struct xarray *xa, u32 *id, void *entry,
		    struct xa_limit limit, u32 *next, gfp_t gfp);
int xa_alloc(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit,
	     gfp_t gfp);
int xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);
void *xa_load(struct xarray *xa, unsigned long index);
void *xa_erase(struct xarray *xa, unsigned long index);
void xa_destroy(struct xarray *xa);

#endif
