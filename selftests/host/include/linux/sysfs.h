/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SYSFS_H
#define HOST_LINUX_SYSFS_H

#include <linux/kernel.h>
#include <linux/uidgid.h>
struct attribute {
	const char *name;
	umode_t mode;
};

struct kobject {
	kuid_t uid;
	kgid_t gid;
};

enum kobject_action { KOBJ_CHANGE };

static inline int kobject_uevent(struct kobject *kobj,
				 enum kobject_action action)
{
	return 0;
}

static inline void kobject_put(struct kobject *kobj)
{
}

struct attribute_group {
	const char *name;
	umode_t (*is_visible)(struct kobject *kobj, struct attribute *a, int n);
	struct attribute **attrs;
};

int sysfs_groups_change_owner(struct kobject *kobj,
			      const struct attribute_group **groups,
			      kuid_t uid, kgid_t gid);
#endif
