// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * dev.c - the directory of stores, and their nodes
 *
 * Each named store has a device number that no other store ever had or will have
 * (number.c).  A node says no more than that number, and anybody who may make
 * nodes can make one: who may open a store is decided by the store's own record
 * of owner, group and mode, besides the node's.
 *
 * directory_lock guards the list and the names.  A name is free again only
 * when its device is gone, because two devices of one name make the driver core
 * complain.
 */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/user_namespace.h>
#include <linux/xarray.h>
#include "compat.h"
#include "file.h"

#define CONTROL_NAME	"control"
/* In sysfs; rules of others that match devices by name know none that begins so. */
#define DEVICE_PREFIX	"kvbm-"

unsigned int kvbm_max_stores = 64;
module_param_named(max_stores, kvbm_max_stores, uint, 0644);
MODULE_PARM_DESC(max_stores, "Stores that may exist at once (default 64)");

unsigned int kvbm_max_blocks = 1U << 26;
module_param_named(max_blocks, kvbm_max_blocks, uint, 0644);
MODULE_PARM_DESC(max_blocks,
		 "Blocks that all stores together may have (default 67108864)");

unsigned int kvbm_max_sessions = 4096;
module_param_named(max_sessions, kvbm_max_sessions, uint, 0644);
MODULE_PARM_DESC(max_sessions,
		 "Sessions that may be open in one store (default 4096)");

static DEFINE_MUTEX(directory_lock);
static LIST_HEAD(directory);
static DEFINE_XARRAY(numbers);		/* device number -> store */
static u32 nr_stores;
static u64 nr_blocks;
static struct class *kvbm_class;
static struct device *control_node;

/* A node's owner, for devtmpfs; NULL for the control device. */
static char *node_name(kvbm_devnode_device *dev, umode_t *mode, kuid_t *uid,
		       kgid_t *gid)
{
	const struct kvbm_dev *kd = dev_get_drvdata(dev);

	if (mode)
		*mode = kd ? kd->mode : 0600;
	if (kd && uid)
		*uid = kd->uid;
	if (kd && gid)
		*gid = kd->gid;
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

/* Attributes are root's at first, and 0440: only now may the owner read them. */
static int node_give(struct kvbm_dev *kd)
{
	return sysfs_groups_change_owner(&kd->node->kobj, kvbm_store_groups,
					 kd->uid, kd->gid);
}

static void dev_free(struct kref *ref)
{
	struct kvbm_dev *kd = container_of(ref, struct kvbm_dev, ref);

	kvbm_store_exit(&kd->store);
	mutex_lock(&directory_lock);
	nr_stores--;
	nr_blocks -= kd->store.cfg.total;
	if (kd->listed)
		list_del(&kd->link);
	mutex_unlock(&directory_lock);
	kvfree(kd);
}

/**
 * kvbm_dev_put() - let go of a store
 * @kd: the store
 */
void kvbm_dev_put(struct kvbm_dev *kd)
{
	kref_put(&kd->ref, dev_free);
}

/**
 * kvbm_dev_may_admin() - may the caller see and end others' sessions?
 * @kd: the store
 */
bool kvbm_dev_may_admin(struct kvbm_dev *kd)
{
	return uid_eq(current_fsuid(), kd->uid) || capable(CAP_SYS_ADMIN);
}

/* [a-z0-9][a-z0-9_.-]{0,30}, NUL-padded; empty is allowed. */
static bool name_valid(const char *name)
{
	size_t i, len = strnlen(name, KVBM_NAME_LEN);

	for (i = len; i < KVBM_NAME_LEN; i++)
		if (name[i])
			return false;
	for (i = 0; i < len; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') &&
		    !(name[i] >= '0' && name[i] <= '9') &&
		    (!i || !strchr("_.-", name[i])))
			return false;
	return len < KVBM_NAME_LEN && strcmp(name, CONTROL_NAME);
}

/* What chown(2) would let the caller do with a file of its own. */
static int set_owner(struct kvbm_dev *kd, u32 uid, u32 gid)
{
	kd->uid = current_fsuid();
	kd->gid = current_fsgid();
	if (uid != (u32)-1) {
		kuid_t kuid = make_kuid(current_user_ns(), uid);

		if (!uid_valid(kuid))
			return -EINVAL;
		if (!uid_eq(kuid, current_fsuid()) && !capable(CAP_CHOWN))
			return -EPERM;
		kd->uid = kuid;
	}
	if (gid != (u32)-1) {
		kgid_t kgid = make_kgid(current_user_ns(), gid);

		if (!gid_valid(kgid))
			return -EINVAL;
		if (!in_group_p(kgid) && !capable(CAP_CHOWN))
			return -EPERM;
		kd->gid = kgid;
	}
	return 0;
}

static int config_from_user(struct kvbm_config *cfg,
			    const struct kvbm_store_create *c)
{
	if (strnlen(c->policy, sizeof(c->policy)) == sizeof(c->policy))
		return -EINVAL;
	*cfg = (struct kvbm_config) {
		.total = c->total_blocks,
		.block_size = c->block_size,
		.policy = kvbm_evict_find(c->policy),
		.reject = c->flags & KVBM_CREATE_REJECT,
		.reset = c->flags & KVBM_CREATE_RESET,
		.freq_capacity = c->freq_capacity,
		.max_held = c->max_held,
		.max_sessions = READ_ONCE(kvbm_max_sessions),
	};
	memcpy(cfg->thresholds, c->thresholds, sizeof(cfg->thresholds));
	if (c->max_sessions)
		cfg->max_sessions = min(cfg->max_sessions, c->max_sessions);
	return cfg->policy ? kvbm_config_check(cfg) : -EINVAL;
}

/* Count a store in, while it is being made. */
static int account(u32 total)
{
	int err = 0;

	mutex_lock(&directory_lock);
	if (nr_stores >= READ_ONCE(kvbm_max_stores)) {
		err = -ENFILE;
	} else if (nr_blocks + total > READ_ONCE(kvbm_max_blocks)) {
		err = -EDQUOT;
	} else {
		nr_stores++;
		nr_blocks += total;
	}
	mutex_unlock(&directory_lock);
	return err;
}

static void unaccount(u32 total)
{
	mutex_lock(&directory_lock);
	nr_stores--;
	nr_blocks -= total;
	mutex_unlock(&directory_lock);
}

/* Random: says nothing of other stores, and does not come twice. */
static u64 new_id(void)
{
	struct kvbm_dev *kd;
	u64 id;

	lockdep_assert_held(&directory_lock);
again:
	id = get_random_u64();
	if (!id)
		goto again;
	list_for_each_entry(kd, &directory, link)
		if (kd->store.id == id)
			goto again;
	return id;
}

static struct kvbm_dev *find_named(const char *name)
{
	struct kvbm_dev *kd;

	lockdep_assert_held(&directory_lock);
	list_for_each_entry(kd, &directory, link)
		if (kd->node && !strcmp(kd->name, name))
			return kd;
	return NULL;
}

/* Give a named store its node; the directory holds a reference from then on. */
static int publish(struct kvbm_dev *kd)
{
	int err;

	lockdep_assert_held(&directory_lock);
	if (find_named(kd->name))
		return -EEXIST;
	err = kvbm_number_new(&kd->devt);
	if (err)
		return err;
	err = xa_insert(&numbers, kd->devt, kd, GFP_KERNEL);
	if (err)
		return err;
	kd->node = node_add(kd->name, kd->devt, &store_type, kd);
	err = PTR_ERR_OR_ZERO(kd->node);
	if (err)
		goto erase;
	err = node_give(kd);
	if (err)
		goto del;
	kref_get(&kd->ref);
	return 0;

del:
	device_unregister(kd->node);
erase:
	kd->node = NULL;
	xa_erase(&numbers, kd->devt);
	return err;
}

/* Take a named store's node away; the caller then drops the reference. */
static void unpublish(struct kvbm_dev *kd)
{
	lockdep_assert_held(&directory_lock);
	xa_erase(&numbers, kd->devt);
	/* Waits for readers of attributes, which take no lock of ours here. */
	device_del(kd->node);
	put_device(kd->node);
	kd->node = NULL;
	list_del(&kd->link);
	kd->listed = false;
}

static void room(struct kvbm_store *st)
{
	wake_up_all(&kvbm_dev_of(st)->poll_wait);
}

/**
 * kvbm_dev_create() - make a store, and its node if it has a name
 * @c: what the user asked for
 *
 * Return: the store, with a reference for the caller, or an ERR_PTR.
 */
struct kvbm_dev *kvbm_dev_create(struct kvbm_store_create *c)
{
	struct kvbm_config cfg;
	struct kvbm_dev *kd;
	int err;

	err = config_from_user(&cfg, c);
	if (err)
		return ERR_PTR(err);
	if (!name_valid(c->name) || c->mode & ~0660)
		return ERR_PTR(-EINVAL);

	kd = kvzalloc(sizeof(*kd), GFP_KERNEL_ACCOUNT);
	if (!kd)
		return ERR_PTR(-ENOMEM);
	err = set_owner(kd, c->uid, c->gid);
	if (err)
		goto free;
	err = account(cfg.total);
	if (err)
		goto free;
	kref_init(&kd->ref);
	init_waitqueue_head(&kd->poll_wait);
	memcpy(kd->name, c->name, sizeof(kd->name));
	kd->mode = c->mode ?: 0600;
	kd->store.room = room;
	err = kvbm_store_init(&kd->store, &cfg);
	if (err) {
		unaccount(cfg.total);
		goto free;
	}

	mutex_lock(&directory_lock);
	kd->store.id = new_id();
	err = kd->name[0] ? publish(kd) : 0;
	if (!err) {
		list_add_tail(&kd->link, &directory);
		kd->listed = true;
	}
	mutex_unlock(&directory_lock);
	if (err) {
		kvbm_dev_put(kd);
		return ERR_PTR(err);
	}
	return kd;

free:
	kvfree(kd);
	return ERR_PTR(err);
}

/**
 * kvbm_dev_discard() - undo the publication of a store just made
 * @kd: the store; the caller keeps its reference
 */
void kvbm_dev_discard(struct kvbm_dev *kd)
{
	bool named;

	mutex_lock(&directory_lock);
	named = kd->node;
	if (named)
		unpublish(kd);
	mutex_unlock(&directory_lock);
	if (!named)
		return;
	mutex_lock(&kd->store.sessions_lock);
	kd->store.closing = true;
	mutex_unlock(&kd->store.sessions_lock);
	kvbm_sessions_kill(kd, -ENODEV);
	kvbm_dev_put(kd);
}

/**
 * kvbm_dev_destroy() - destroy a named store
 * @name: its name
 * @force: end its sessions; otherwise it is busy while there are any
 *
 * Return: 0, -ENOENT, -EPERM, -EBUSY.
 */
int kvbm_dev_destroy(const char *name, bool force)
{
	struct kvbm_dev *kd;
	int err = 0;

	mutex_lock(&directory_lock);
	kd = find_named(name);
	if (!kd)
		err = -ENOENT;
	else if (!kvbm_dev_may_admin(kd))
		err = -EPERM;
	if (!err) {
		mutex_lock(&kd->store.sessions_lock);
		if (kd->store.nr_sessions && !force)
			err = -EBUSY;
		else
			kd->store.closing = true;
		mutex_unlock(&kd->store.sessions_lock);
	}
	if (!err)
		unpublish(kd);
	mutex_unlock(&directory_lock);
	if (err)
		return err;
	kvbm_sessions_kill(kd, -ENODEV);
	kvbm_dev_put(kd);
	return 0;
}

/**
 * kvbm_dev_list() - list stores
 * @skip: stores to pass over
 * @out: room for @max entries
 * @max: at most this many
 * @total: out: stores that the caller may see
 *
 * Return: entries filled in.
 */
u32 kvbm_dev_list(u32 skip, struct kvbm_store_entry *out, u32 max, u32 *total)
{
	bool all = capable(CAP_SYS_ADMIN);
	struct user_namespace *ns = current_user_ns();
	struct kvbm_dev *kd;
	u32 n = 0;

	*total = 0;
	mutex_lock(&directory_lock);
	list_for_each_entry(kd, &directory, link) {
		struct kvbm_store_entry *e = &out[n];

		if (!kd->node && !all)
			continue;
		if ((*total)++ < skip || n == max)
			continue;
		memset(e, 0, sizeof(*e));
		e->store_id = kd->store.id;
		e->total_blocks = kd->store.cfg.total;
		e->sessions = READ_ONCE(kd->store.nr_sessions);
		e->uid = from_kuid_munged(ns, kd->uid);
		e->gid = from_kgid_munged(ns, kd->gid);
		e->mode = kd->mode;
		memcpy(e->name, kd->name, sizeof(e->name));
		n++;
	}
	mutex_unlock(&directory_lock);
	return n;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = kvbm_control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/*
 * As inode_permission() would decide by the store's record.  A descriptor that can
 * be neither read nor written still takes requests; open(2) wants both
 * permissions of the node for it, and so does this.
 */
static bool may_open(const struct kvbm_dev *kd, fmode_t f_mode)
{
	umode_t mode = kd->mode, want;

	lockdep_assert_held(&directory_lock);
	want = (f_mode & FMODE_READ ? 4 : 0) | (f_mode & FMODE_WRITE ? 2 : 0);
	if (!want)
		want = 6;
	if (uid_eq(current_fsuid(), kd->uid))
		mode >>= 6;
	else if (in_group_p(kd->gid))
		mode >>= 3;
	return !(want & ~mode) || capable(CAP_DAC_OVERRIDE) ||
	       capable(CAP_SYS_ADMIN);
}

static int open_store(struct inode *inode, struct file *file)
{
	struct kvbm_dev *kd;
	int err = 0;

	mutex_lock(&directory_lock);
	kd = xa_load(&numbers, inode->i_rdev);
	if (!kd)
		err = -ENXIO;
	else if (!may_open(kd, file->f_mode))
		err = -EACCES;
	else
		kref_get(&kd->ref);
	mutex_unlock(&directory_lock);
	if (err)
		return err;
	err = kvbm_session_open(kd, file);
	kvbm_dev_put(kd);
	return err;
}

static int directory_open(struct inode *inode, struct file *file)
{
	const struct file_operations *fops;
	int err;

	fops = iminor(inode) ? &kvbm_session_fops : &control_fops;
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

static const struct file_operations directory_fops = {
	.owner = THIS_MODULE,
	.open = directory_open,
	.llseek = noop_llseek,
};

/**
 * kvbm_directory_init() - control device, no stores
 *
 * Return: 0 or -errno.
 */
int __init kvbm_directory_init(void)
{
	dev_t devt;
	int err;

	kvbm_class = kvbm_class_create("kvbm");
	if (IS_ERR(kvbm_class))
		return PTR_ERR(kvbm_class);
	err = kvbm_number_init(&directory_fops, &devt);
	if (err)
		goto free_class;
	control_node = node_add(CONTROL_NAME, devt, &control_type, NULL);
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
 * kvbm_directory_exit() - destroy all stores; no file of theirs is open
 */
void kvbm_directory_exit(void)
{
	struct kvbm_dev *kd;

	device_unregister(control_node);
	mutex_lock(&directory_lock);
	while (!list_empty(&directory)) {
		kd = list_first_entry(&directory, struct kvbm_dev, link);
		unpublish(kd);
		mutex_unlock(&directory_lock);
		kvbm_dev_put(kd);
		mutex_lock(&directory_lock);
	}
	mutex_unlock(&directory_lock);
	kvbm_number_exit();
	xa_destroy(&numbers);
	class_destroy(kvbm_class);
}
