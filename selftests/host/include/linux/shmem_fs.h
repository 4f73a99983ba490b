/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SHMEM_FS_H
#define HOST_LINUX_SHMEM_FS_H

/* Files of memory, as host_memory() makes them: their inode has the seals. */
#include <linux/fs.h>

#define CONFIG_SHMEM 1
#define SHMEM_I(inode) (inode)

#endif
