/* SPDX-License-Identifier: MIT */
/*
 * Modules that a test needs.  run-kselftests puts them at /vm for the tests
 * that it knows to need them, as far as the kernel has them.
 */
#ifndef KVBM_MODULES_H
#define KVBM_MODULES_H

#include <sys/syscall.h>
#include "kvbm_test.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE	4
#endif

/* Loads /vm/NAME.ko: 0, also when it is there already, or -errno. */
static inline int kt_insmod(const char *name, const char *args)
{
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/vm/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, args, 0) ? -errno : 0;
	close(fd);
	return ret == -EEXIST ? 0 : ret;
}

static inline int kt_rmmod(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

#endif /* KVBM_MODULES_H */
