/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_CDEV_H
#define HOST_LINUX_CDEV_H

#include <linux/fs.h>
#include <linux/sysfs.h>
struct cdev {
	struct kobject kobj;
	struct module *owner;
	const struct file_operations *ops;
	struct list_head list;
	dev_t dev;
	unsigned int count;
};
struct cdev *cdev_alloc(void);
int cdev_add(struct cdev *cdev, dev_t dev, unsigned int count);
void cdev_del(struct cdev *cdev);

#endif
