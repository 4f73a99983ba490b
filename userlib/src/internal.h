/* SPDX-License-Identifier: MIT */
/* Shared by the source files of libkvbm. */
#ifndef KVBM_INTERNAL_H
#define KVBM_INTERNAL_H

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

/* The library is built with -fvisibility=hidden: all of kvbm.h is public. */
#pragma GCC visibility push(default)
#include "kvbm.h"
#pragma GCC visibility pop

/* ioctl(2) that returns errors as this library does. */
static inline int kvbm_ioctl(int fd, unsigned long request, void *args)
{
	int ret = ioctl(fd, request, args);

	return ret < 0 ? -errno : ret;
}

/*
 * A structure that the kernel fills in: cleared, so that fields unknown to an
 * older module read as 0.
 */
#define kvbm_query_ioctl(fd, request, p)				\
	(memset((p), 0, sizeof(*(p))), (p)->size = sizeof(*(p)),	\
	 kvbm_ioctl((fd), (request), (p)))

/* Length of a store's name, or 0 if it is not valid. */
__attribute__((visibility("hidden")))
size_t kvbm_name_len(const char *name);

/* The fields that name a store, in any structure that has them. */
__attribute__((visibility("hidden")))
int kvbm_fill_ref(const struct kvbm_store_ref *ref, __u64 *id, char *name);

#define kvbm_put(p, value)						\
	do {								\
		if (p)							\
			*(p) = (value);					\
	} while (0)

/* The errno that stopped a batch; a refused request does not set it. */
static inline int ended(int ret, uint32_t *error, uint32_t told)
{
	kvbm_put(error, ret < 0 ? (uint32_t)-ret : told);
	return ret;
}

/* The result of a listing, and the cursor for the next call. */
static inline int listed(int ret, uint32_t done, uint32_t *to_total,
			 uint32_t total, uint64_t *to_cursor, uint64_t cursor)
{
	kvbm_put(to_total, total);
	if (ret < 0)
		return ret;
	*to_cursor = cursor;
	return (int)done;
}

#endif /* KVBM_INTERNAL_H */
