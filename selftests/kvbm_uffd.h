/* SPDX-License-Identifier: MIT */
/* Memory that blocks any task that touches it. */
#ifndef KVBM_UFFD_H
#define KVBM_UFFD_H

#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include "kvbm_test.h"

static inline int uffd_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		return -errno;
	return fd;
}

/* Memory that nobody provides. */
static inline void *nowhere(int uffd, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = { (uintptr_t)p, len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg) ? NULL : p;
}

static inline bool has_uffd(void)
{
	int uffd = uffd_open();

	if (uffd >= 0)
		close(uffd);
	return uffd >= 0;
}

#endif /* KVBM_UFFD_H */
