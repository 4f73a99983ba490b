/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_FS_H
#define HOST_LINUX_FS_H

/*
 * Open files, as far as a character device needs them. The test opens and
 * closes them with the calls in host_vfs.h.
 */
#include <fcntl.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/kdev_t.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include <linux/string.h>
#include <linux/sched.h>

#define FMODE_READ	1U
#define FMODE_WRITE	2U
#define FMODE_NOWAIT	4U

struct file;
struct inode;
struct io_uring_cmd;
struct seq_file;
struct module;
struct vm_area_struct;
struct kiocb;
struct iov_iter;
typedef struct poll_table_struct poll_table;

struct file_operations {
	struct module *owner;
	loff_t (*llseek)(struct file *file, loff_t off, int whence);
	ssize_t (*read)(struct file *file, char __user *buf, size_t n,
			loff_t *pos);
	ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
	ssize_t (*write)(struct file *file, const char __user *buf, size_t n,
			 loff_t *pos);
	__poll_t (*poll)(struct file *file, poll_table *wait);
	long (*unlocked_ioctl)(struct file *file, unsigned int cmd,
			       unsigned long arg);
	long (*compat_ioctl)(struct file *file, unsigned int cmd,
			     unsigned long arg);
	int (*mmap)(struct file *file, struct vm_area_struct *vma);
	int (*open)(struct inode *inode, struct file *file);
	int (*flush)(struct file *file, void *owner);
	int (*release)(struct inode *inode, struct file *file);
	int (*uring_cmd)(struct io_uring_cmd *cmd, unsigned int issue_flags);
	void (*show_fdinfo)(struct seq_file *m, struct file *file);
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	dev_t i_rdev;
	umode_t i_mode;
	struct super_block *i_sb;
	loff_t i_size;
	u64 i_blocks;
};

/* Leads to the file itself. */
struct path {
	struct file *file;
};

struct file {
	const struct file_operations *f_op;
	void *private_data;
	unsigned int f_flags;
	fmode_t f_mode;
	atomic_long_t f_count;
	struct path f_path;
	struct inode f_inode_of;
};

#define file_inode(f) ((struct inode *)&(f)->f_inode_of)
/* A system call of an only thread takes no reference of its own. */
#define file_count(f) (atomic_long_read(&(f)->f_count) - 1)
#define iminor(inode) MINOR((inode)->i_rdev)
#define imajor(inode) MAJOR((inode)->i_rdev)
#define fops_get(fops) (fops)
#define fops_put(fops) ((void)(fops))
#define replace_fops(f, fops) ((void)((f)->f_op = (fops)))

static inline loff_t i_size_read(const struct inode *inode)
{
	return inode->i_size;
}

struct cred;
struct file *dentry_open(const struct path *path, int flags,
			 const struct cred *cred);

/* No file here has a position. */
#define stream_open(inode, file) ((void)(inode), (void)(file))

loff_t noop_llseek(struct file *file, loff_t off, int whence);
long compat_ptr_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* Dynamic majors, from above. */
#define CHRDEV_MAJOR_DYN_EXT_START	511
#define CHRDEV_MAJOR_DYN_EXT_END	384
int register_chrdev_region(dev_t from, unsigned int count, const char *name);
void unregister_chrdev_region(dev_t dev, unsigned int count);

#endif
