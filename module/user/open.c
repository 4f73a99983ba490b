// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * open.c - opening nodes, and file operations
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include "compat.h"
#include "file.h"

static int session_release(struct inode *inode, struct file *file)
{
	kvbm_file_end(file->private_data);
	return 0;
}

static const struct file_operations session_fops = {
	.owner = THIS_MODULE,
	.release = session_release,
	.poll = kvbm_session_poll,
	.unlocked_ioctl = kvbm_session_request,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = kvbm_uring_cmd,
	.show_fdinfo = kvbm_session_fdinfo,
	.llseek = noop_llseek,
};

static long control_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	return kvbm_control_request(file, cmd, arg, &session_fops);
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static int open_store(struct inode *inode, struct file *file)
{
	struct kvbm_dev *kd = kvbm_dev_open(inode->i_rdev, file->f_mode);
	struct kvbm_file *f;

	if (IS_ERR(kd))
		return PTR_ERR(kd);
	f = kvbm_file_new(kd, file->f_mode);
	kvbm_dev_put(kd);
	if (IS_ERR(f))
		return PTR_ERR(f);
	file->private_data = f;
	return 0;
}

static int node_open(struct inode *inode, struct file *file)
{
	const struct file_operations *fops;
	int err;

	fops = iminor(inode) ? &session_fops : &control_fops;
	fops = fops_get(fops);
	if (!fops)
		return -ENXIO;
	err = iminor(inode) ? open_store(inode, file) : 0;
	if (err) {
		fops_put(fops);
		return err;
	}
	replace_fops(file, fops);
	return 0;
}

const struct file_operations kvbm_open_fops = {
	.owner = THIS_MODULE,
	.open = node_open,
	.llseek = noop_llseek,
};
