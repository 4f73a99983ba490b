/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_DEVICE_H
#define HOST_LINUX_DEVICE_H

/* Devices: a list of names, to be opened by host_vfs.h. */
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

struct class;
struct device;

struct device_type {
	const char *name;
	const struct attribute_group **groups;
	char *(*devnode)(struct device *dev, umode_t *mode, kuid_t *uid,
			 kgid_t *gid);
};

struct device {
	struct kref ref;
	struct list_head list;
	char *name;
	char *node;
	struct kobject kobj;
	struct class *class;
	const struct device_type *type;
	dev_t devt;
	void (*release)(struct device *dev);
	void *driver_data;
	bool added;
};

void device_initialize(struct device *dev);
int dev_set_name(struct device *dev, const char *fmt, ...) __printf(2, 3);
int device_add(struct device *dev);
void device_del(struct device *dev);
void put_device(struct device *dev);
static inline struct device *get_device(struct device *dev)
{
	kref_get(&dev->ref);
	return dev;
}

#define device_unregister(dev) do { device_del(dev); put_device(dev); } while (0)
#define dev_name(dev) ((const char *)(dev)->name)
#define dev_get_drvdata(dev) ((dev)->driver_data)
#define dev_set_drvdata(dev, data) ((void)((dev)->driver_data = (data)))

/* As on 6.1. */
struct class *class_create_named(const char *name);
#define class_create(owner, name) class_create_named(name)
void class_destroy(struct class *cls);

#endif
