/* SPDX-License-Identifier: MIT */
/* What the source files of libkvbm share. */
#ifndef KVBM_INTERNAL_H
#define KVBM_INTERNAL_H

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

/* The library is built with -fvisibility=hidden: all of kvbm.h is public. */
#pragma GCC visibility push(default)
#include "kvbm.h"
#pragma GCC visibility pop

/* ioctl(2) with this library's manner of returning errors. */
static inline int kvbm_ioctl(int fd, unsigned long request, void *args)
{
	int ret = ioctl(fd, request, args);

	return ret < 0 ? -errno : ret;
}

/*
 * A structure that the kernel fills in: cleared, so that what an older module
 * does not know reads as 0.
 */
#define kvbm_query_ioctl(fd, request, p)				\
	(memset((p), 0, sizeof(*(p))), (p)->size = sizeof(*(p)),	\
	 kvbm_ioctl((fd), (request), (p)))

/* Length of a store's name, or 0 if no store can have it. */
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

/* What a batch stopped at; a request that was refused told nothing. */
static inline int ended(int ret, uint32_t *error, uint32_t told)
{
	kvbm_put(error, ret < 0 ? (uint32_t)-ret : told);
	return ret;
}

/* What a listing returns, and where its next call continues. */
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
