// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * node.c - device nodes in /dev/kvbm, of stores and the control device
 */
#include <linux/device.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include "compat.h"
#include "file.h"

/* In sysfs; no udev rule of others matches names that begin like this. */
#define DEVICE_PREFIX	"kvbm-"

static struct class *kvbm_class;
static struct device *control_node;

/* A node's owner, for devtmpfs and udev; NULL for the control device. */
static char *node_name(kvbm_devnode_device *dev, umode_t *mode, kuid_t *uid,
		       kgid_t *gid)
{
	const struct kvbm_dev *kd = dev_get_drvdata(dev);

	if (mode)
		*mode = kd ? READ_ONCE(kd->access.mode) : 0600;
	if (kd && uid)
		*uid = KUIDT_INIT(READ_ONCE(kd->access.uid.val));
	if (kd && gid)
		*gid = KGIDT_INIT(READ_ONCE(kd->access.gid.val));
	return kasprintf(GFP_KERNEL, "kvbm/%s",
			 dev_name(dev) + strlen(DEVICE_PREFIX));
}

static const struct device_type store_type = {
	.name = "kvbm_store",
	.groups = kvbm_store_groups,
	.devnode = node_name,
};

static const struct device_type control_type = {
	.name = "kvbm_control",
	.groups = kvbm_control_groups,
	.devnode = node_name,
};

static void node_release(struct device *dev)
{
	kfree(dev);
}

static struct device *node_add(const char *name, dev_t devt,
			       const struct device_type *type, void *data)
{
	struct device *dev;
	int err;

	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	device_initialize(dev);
	dev->class = kvbm_class;
	dev->type = type;
	dev->devt = devt;
	dev->release = node_release;
	dev_set_drvdata(dev, data);
	err = dev_set_name(dev, DEVICE_PREFIX "%s", name) ?: device_add(dev);
	if (err) {
		put_device(dev);
		return ERR_PTR(err);
	}
	return dev;
}

/**
 * kvbm_node_add() - create the node of a store
 * @kd: the store, with a name and a device number
 *
 * Return: the node, which device_unregister() removes, or an ERR_PTR.
 */
struct device *kvbm_node_add(struct kvbm_dev *kd)
{
	return node_add(kd->name, kd->devt, &store_type, kd);
}

/**
 * kvbm_node_give() - give attributes to the users in the record
 * @node: the store's node
 * @a: its record
 *
 * Attributes are root's at first, with 0440: only now can others read them.
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_node_give(struct device *node, const struct kvbm_access *a)
{
	return sysfs_groups_change_owner(&node->kobj, kvbm_store_groups, a->uid,
					 gid_valid(a->monitor) ? a->monitor :
								 a->gid);
}

/**
 * kvbm_nodes_init() - the class, device numbers, and the control device
 * @fops: of all devices
 *
 * Return: 0 or -errno.
 */
int __init kvbm_nodes_init(const struct file_operations *fops)
{
	dev_t devt;
	int err;

	kvbm_class = kvbm_class_create("kvbm");
	if (IS_ERR(kvbm_class))
		return PTR_ERR(kvbm_class);
	err = kvbm_number_init(fops, &devt);
	if (err)
		goto free_class;
	control_node = node_add(KVBM_CONTROL_NAME, devt, &control_type, NULL);
	if (IS_ERR(control_node)) {
		err = PTR_ERR(control_node);
		goto free_numbers;
	}
	return 0;

free_numbers:
	kvbm_number_exit();
free_class:
	class_destroy(kvbm_class);
	return err;
}

/**
 * kvbm_nodes_close() - the control device goes
 */
void kvbm_nodes_close(void)
{
	device_unregister(control_node);
}

/**
 * kvbm_nodes_exit() - the rest, once no store has a node
 */
void kvbm_nodes_exit(void)
{
	kvbm_number_exit();
	class_destroy(kvbm_class);
}
