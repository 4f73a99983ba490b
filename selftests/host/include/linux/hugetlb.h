/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_HUGETLB_H
#define HOST_LINUX_HUGETLB_H

#include <linux/fs.h>

#define CONFIG_HUGETLBFS 1
#define HUGETLBFS_I(inode) (inode)

struct hstate;

static inline struct hstate *hstate_file(struct file *file)
{
	return NULL;
}

static inline unsigned long huge_page_size(const struct hstate *h)
{
	return 2UL << 20;
}

#endif
