/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_FILE_H
#define HOST_LINUX_FILE_H

#include <linux/fs.h>
int get_unused_fd_flags(unsigned int flags) __must_check;
void put_unused_fd(unsigned int fd);
void fd_install(unsigned int fd, struct file *file);
struct file *fget(unsigned int fd);
void fput(struct file *file);

static inline struct file *get_file(struct file *file)
{
	atomic_long_inc(&file->f_count);
	return file;
}

#endif
