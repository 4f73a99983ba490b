/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_MAGIC_H
#define HOST_LINUX_MAGIC_H

#define TMPFS_MAGIC	0x01021994
#define HUGETLBFS_MAGIC	0x958458f6

#endif
