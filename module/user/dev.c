// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * dev.c - the directory of stores: names, owners, limits
 *
 * Each named store has a device number that no other store ever had or will
 * have (number.c).  A node is no more than that number, and anybody who may
 * create nodes can create one.  So the store's own record of owner, group and
 * mode decides who may open it, besides the node's.
 *
 * directory_lock guards the list, the records, the names and the numbers.  It
 * is held for a walk of the list, which has at most MAX_STORES stores.  Under
 * it, only payers_lock is waited for: neither memory of any size, nor the
 * driver core, nor any lock of a store.  So a name and everything that a store
 * will take are reserved first, then the store is created.  A name is free
 * again when the node is gone, because the driver core complains about two
 * devices of one name.
 */
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>
#include <linux/user_namespace.h>
#include <linux/xarray.h>
#include "compat.h"
#include "event.h"
#include "file.h"

/* Regardless of the parameter. */
#define MAX_STORES	4096U
/* What creation leaves to others: a sixteenth of the memory, up to 1 GiB. */
#define MARGIN_SHIFT	4
#define MARGIN_MAX	(1UL << (30 - PAGE_SHIFT))

static unsigned int max_stores = 64;
module_param(max_stores, uint, 0644);
MODULE_PARM_DESC(max_stores,
		 "Stores that may exist at once (default 64, at most 4096)");

static unsigned int max_blocks = 1U << 26;
module_param(max_blocks, uint, 0644);
MODULE_PARM_DESC(max_blocks,
		 "Blocks that all stores together may have (default 67108864)");

static unsigned int max_sessions = 4096;
module_param(max_sessions, uint, 0644);
MODULE_PARM_DESC(max_sessions,
		 "Sessions that may be open in one store (default 4096)");

static int named_gid = -1;
module_param(named_gid, int, 0644);
MODULE_PARM_DESC(named_gid,
		 "Group that may create named stores (default -1: CAP_SYS_ADMIN only)");

static DEFINE_MUTEX(directory_lock);
static LIST_HEAD(directory);		/* by ->number, ascending */
static DEFINE_XARRAY(numbers);		/* device number -> store */
static u32 nr_stores;
static u64 nr_blocks;
static u64 making;			/* bytes that are being allocated */
static u64 last_number;
static const struct kvbm_poll_ops *poll_ops;

/*
 * Does it fit beside stores under construction?  The margin is for everybody
 * who allocates without asking first.
 */
static bool fits(u64 need)
{
	unsigned long pages = max(si_mem_available(), 0L);
	unsigned long margin = min(totalram_pages() >> MARGIN_SHIFT,
				   MARGIN_MAX);

	lockdep_assert_held(&directory_lock);
	return pages > margin &&
	       (making + need) >> PAGE_SHIFT < pages - margin;
}

static void dev_free(struct kref *ref)
{
	struct kvbm_dev *kd = container_of(ref, struct kvbm_dev, ref);

	kvbm_departed_exit(kd);
	kvbm_ring_end(&kd->store);
	kvbm_ring_detach(&kd->store);
	kvbm_store_exit(&kd->store);
	if (kd->payload)
		fput(kd->payload);
	mutex_lock(&directory_lock);
	list_del(&kd->link);
	nr_stores--;
	nr_blocks -= kd->store.cfg.total;
	mutex_unlock(&directory_lock);
	kvbm_unpay(kd);
	/* The store has no work left that could append. */
	kvbm_events_exit(kd);
	kvfree(kd);
}

/**
 * kvbm_dev_put() - drop a reference on a store
 * @kd: the store
 */
void kvbm_dev_put(struct kvbm_dev *kd)
{
	kref_put(&kd->ref, dev_free);
}

/**
 * kvbm_dev_access() - a store's access record
 * @kd: the store
 *
 * Return: a copy of its record.
 */
struct kvbm_access kvbm_dev_access(struct kvbm_dev *kd)
{
	struct kvbm_access a;

	mutex_lock(&directory_lock);
	a = kd->access;
	mutex_unlock(&directory_lock);
	return a;
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
	return len < KVBM_NAME_LEN && strcmp(name, KVBM_CONTROL_NAME);
}

/* What chown(2) would let the caller do with a file of its own. */
static int give_uid(kuid_t *to, u32 uid)
{
	kuid_t kuid = make_kuid(current_user_ns(), uid);

	if (!uid_valid(kuid))
		return -EINVAL;
	if (!uid_eq(kuid, *to) && !capable(CAP_CHOWN))
		return -EPERM;
	*to = kuid;
	return 0;
}

static int give_gid(kgid_t *to, u32 gid)
{
	kgid_t kgid = make_kgid(current_user_ns(), gid);

	if (!gid_valid(kgid))
		return -EINVAL;
	if (!gid_eq(kgid, *to) && !in_group_p(kgid) && !capable(CAP_CHOWN))
		return -EPERM;
	*to = kgid;
	return 0;
}

static int first_access(struct kvbm_access *a,
			const struct kvbm_store_create *c)
{
	int err = 0;

	*a = (struct kvbm_access) {
		.uid = current_fsuid(),
		.gid = current_fsgid(),
		.monitor = INVALID_GID,
		.mode = c->mode ?: 0600,
	};
	if (c->mode & ~0660)
		return -EINVAL;
	if (c->uid != (u32)-1)
		err = give_uid(&a->uid, c->uid);
	if (!err && c->gid != (u32)-1)
		err = give_gid(&a->gid, c->gid);
	if (!err && c->monitor_gid != (u32)-1)
		err = give_gid(&a->monitor, c->monitor_gid);
	return err;
}

static const char *default_policy(const struct kvbm_store_create *c)
{
	return c->flags & KVBM_CREATE_OPAQUE ? "lru" : "";
}

static int config_from_user(struct kvbm_config *cfg,
			    const struct kvbm_store_create *c)
{
	if (strnlen(c->policy, sizeof(c->policy)) == sizeof(c->policy))
		return -EINVAL;
	*cfg = (struct kvbm_config) {
		.total = c->total_blocks,
		.block_size = c->block_size,
		.policy = kvbm_evict_find(c->policy[0] ? c->policy :
							 default_policy(c)),
		.reject = c->flags & KVBM_CREATE_REJECT,
		.reset = c->flags & KVBM_CREATE_RESET,
		.opaque = c->flags & KVBM_CREATE_OPAQUE,
		.freq_capacity = c->freq_capacity,
		.max_held = c->max_held,
		.max_sessions = READ_ONCE(max_sessions),
		.event_records = c->event_records,
		.keep_blocks = c->keep_blocks,
		.keep_user_blocks = c->keep_user_blocks,
		.note_bytes = c->note_bytes,
	};
	memcpy(cfg->thresholds, c->thresholds, sizeof(cfg->thresholds));
	if (!(c->flags & KVBM_CREATE_RETENTION)) {
		if (c->keep_blocks || c->keep_user_blocks)
			return -EINVAL;
	} else {
		/* At least one, since 0 would mean no ranks. */
		if (!cfg->keep_blocks)
			cfg->keep_blocks = max(cfg->total / 2, 1U);
		if (!cfg->keep_user_blocks)
			cfg->keep_user_blocks = max(cfg->keep_blocks / 2, 1U);
	}
	if (c->max_sessions)
		cfg->max_sessions = min(cfg->max_sessions, c->max_sessions);
	return cfg->policy ? kvbm_config_check(cfg) : -EINVAL;
}

/* Creating a named store takes the name from all others. */
static bool may_name(void)
{
	kgid_t gid = make_kgid(&init_user_ns, READ_ONCE(named_gid));

	return (gid_valid(gid) && in_group_p(gid)) || capable(CAP_SYS_ADMIN);
}

static struct kvbm_dev *find_named(const char *name)
{
	struct kvbm_dev *kd;

	lockdep_assert_held(&directory_lock);
	list_for_each_entry(kd, &directory, link)
		if (kd->has_name && !strcmp(kd->name, name))
			return kd;
	return NULL;
}

static struct kvbm_dev *find_id(u64 id)
{
	struct kvbm_dev *kd;

	lockdep_assert_held(&directory_lock);
	list_for_each_entry(kd, &directory, link)
		if (kd->store.id == id)
			return kd;
	return NULL;
}

/**
 * kvbm_dev_find() - the store that a request on the control device names
 * @id: its id, or 0
 * @name: its name, KVBM_NAME_LEN bytes, or empty
 *
 * Return: the store, with a reference for the caller, or -EINVAL, -ENOENT.
 */
struct kvbm_dev *kvbm_dev_find(u64 id, const char *name)
{
	struct kvbm_dev *kd;

	if (!id == !name[0] || !name_valid(name))
		return ERR_PTR(-EINVAL);
	mutex_lock(&directory_lock);
	kd = id ? find_id(id) : find_named(name);
	if (!kd || kd->state == KVBM_DEV_MAKING ||
	    !kref_get_unless_zero(&kd->ref))
		kd = ERR_PTR(-ENOENT);
	mutex_unlock(&directory_lock);
	return kd;
}

/* Reserve name, memory and charge of a new store. */
static int reserve(struct kvbm_dev *kd, struct kvbm_payer **payer)
{
	u32 total = kd->store.cfg.total;
	int err = 0;

	mutex_lock(&directory_lock);
	if (kd->has_name && find_named(kd->name))
		err = -EEXIST;
	else if (nr_stores >= min(READ_ONCE(max_stores), MAX_STORES) ||
		 nr_blocks + total > READ_ONCE(max_blocks))
		err = -EDQUOT;
	else if (!fits(kd->need))
		err = -ENOMEM;
	else
		err = kvbm_pay(kd, payer);
	if (!err) {
		/*
		 * Random: reveals nothing about other stores, and never
		 * repeats.
		 */
		do {
			kd->store.id = get_random_u64();
		} while (!kd->store.id || find_id(kd->store.id));
		kd->number = ++last_number;
		list_add_tail(&kd->link, &directory);
		nr_stores++;
		nr_blocks += total;
		making += kd->need;
	}
	mutex_unlock(&directory_lock);
	return err;
}

static void unreserve(struct kvbm_dev *kd)
{
	mutex_lock(&directory_lock);
	list_del(&kd->link);
	nr_stores--;
	nr_blocks -= kd->store.cfg.total;
	mutex_unlock(&directory_lock);
	kvbm_unpay(kd);
}

/* Its memory is allocated, or no longer needed. */
static void made(struct kvbm_dev *kd)
{
	mutex_lock(&directory_lock);
	making -= kd->need;
	mutex_unlock(&directory_lock);
}

/* The memory is allocated: publish the store. */
static int publish(struct kvbm_dev *kd)
{
	int err = 0;

	mutex_lock(&directory_lock);
	if (kd->has_name) {
		err = kvbm_number_new(&kd->devt);
		if (!err)
			err = xa_insert(&numbers, kd->devt, kd, GFP_KERNEL);
	}
	if (!err) {
		kd->state = KVBM_DEV_LIVE;
		/* The directory's reference, until the store is destroyed. */
		if (kd->has_name)
			kref_get(&kd->ref);
	} else {
		kd->state = KVBM_DEV_DYING;
		kd->has_name = false;
	}
	mutex_unlock(&directory_lock);
	return err;
}

/**
 * kvbm_dev_node() - create the node of a named store
 * @kd: the store
 *
 * The store is already published, and may be destroyed.  Destroying it either
 * waits for access_lock before it removes the node, or came first, and then
 * there must be no node.
 *
 * Return: 0 or -errno; the caller undoes the rest.
 */
int kvbm_dev_node(struct kvbm_dev *kd)
{
	struct device *node;
	bool live;
	int err = 0;

	if (!kd->name[0])
		return 0;
	mutex_lock(&kd->access_lock);
	mutex_lock(&directory_lock);
	live = kd->state == KVBM_DEV_LIVE;
	mutex_unlock(&directory_lock);
	if (!live)
		goto unlock;
	node = kvbm_node_add(kd);
	if (IS_ERR(node)) {
		err = PTR_ERR(node);
		goto unlock;
	}
	kd->node = node;
	err = kvbm_node_give(node, &kd->access);
unlock:
	mutex_unlock(&kd->access_lock);
	return err;
}

/* A line of printable characters, with nothing behind it. */
static bool label_valid(const char *label)
{
	size_t n = strnlen(label, KVBM_LABEL_LEN), i;

	for (i = 0; i < n; i++)
		if (label[i] < ' ' || label[i] > '~')
			return false;
	return n < KVBM_LABEL_LEN && !memchr_inv(label + n, 0,
						 KVBM_LABEL_LEN - n);
}

/**
 * kvbm_dev_create() - create a store; kvbm_dev_node() creates its node
 * @c: the user's request; ->need is filled in once it is known
 *
 * Return: the store, with a reference for the caller, or an ERR_PTR.
 */
struct kvbm_dev *kvbm_dev_create(struct kvbm_store_create *c)
{
	struct kvbm_payer *payer = NULL;
	struct kvbm_config cfg;
	struct file *payload;
	struct kvbm_dev *kd;
	int err;

	c->need = 0;
	err = config_from_user(&cfg, c);
	if (err)
		return ERR_PTR(err);
	if (!name_valid(c->name) || !label_valid(c->label) ||
	    c->linger_ms > KVBM_MAX_LINGER_MS)
		return ERR_PTR(-EINVAL);
	if (c->name[0] && !may_name())
		return ERR_PTR(-EPERM);
	payload = kvbm_payload_get(c);
	if (IS_ERR(payload))
		return ERR_CAST(payload);

	kd = kvzalloc(sizeof(*kd), GFP_KERNEL_ACCOUNT);
	payer = kvbm_payer_new();
	err = -ENOMEM;
	if (!kd || !payer)
		goto free;
	err = first_access(&kd->access, c);
	if (err)
		goto free;
	kref_init(&kd->ref);
	mutex_init(&kd->access_lock);
	memcpy(kd->name, c->name, sizeof(kd->name));
	kd->has_name = kd->name[0];
	memcpy(kd->digest, c->digest, sizeof(kd->digest));
	memcpy(kd->label, c->label, sizeof(kd->label));
	kd->rights = c->rights;
	kd->created_ns = ktime_get_boottime_ns();
	kd->store.cfg = cfg;
	c->need = kvbm_store_need(&cfg);
	kd->need = c->need;
	kd->payload = payload;
	kd->block_bytes = c->block_bytes;
	kvbm_departed_init(kd, c->linger_ms);
	kd->store.poll = poll_ops;
	err = reserve(kd, &payer);
	if (err)
		goto free;
	kfree(payer);

	err = kvbm_store_init(&kd->store, &cfg);
	if (err) {
		made(kd);
		unreserve(kd);
		payer = NULL;
		goto free;
	}
	err = kvbm_events_init(kd);
	made(kd);
	err = err ?: publish(kd);
	if (err) {
		kvbm_dev_put(kd);
		return ERR_PTR(err);
	}
	return kd;

free:
	kfree(payer);
	kvfree(kd);
	if (payload)
		fput(payload);
	return ERR_PTR(err);
}

/**
 * kvbm_dev_unpublish() - remove a store's name and node
 * @kd: the store; it takes no new sessions any more
 *
 * Several tasks may do this to the same store: one whose creation of it fails,
 * and one that destroys it.  The first one does the work.  The directory's
 * reference goes; the caller has its own.
 */
void kvbm_dev_unpublish(struct kvbm_dev *kd)
{
	bool first;

	mutex_lock(&directory_lock);
	first = kd->state == KVBM_DEV_LIVE;
	kd->state = KVBM_DEV_DYING;
	if (first && kd->has_name)
		xa_erase(&numbers, kd->devt);
	mutex_unlock(&directory_lock);
	/* Only the first one takes a named store's name. */
	if (!first || !kd->has_name)
		return;
	/*
	 * Waits for readers of attributes, and for a node being created.
	 * None of them takes a lock that is held here; access_lock keeps out
	 * changes of the record meanwhile.
	 */
	mutex_lock(&kd->access_lock);
	if (kd->node)
		device_unregister(kd->node);
	kd->node = NULL;
	mutex_unlock(&kd->access_lock);
	mutex_lock(&directory_lock);
	kd->has_name = false;
	mutex_unlock(&directory_lock);
	kvbm_dev_put(kd);
}

/**
 * kvbm_dev_set_access() - change a store's record
 * @kd: the store
 * @c: KVBM_ACCESS_* in ->flags say what to change
 *
 * Return: 0, -EPERM, -EINVAL, -ENOMEM (the record has changed; the attributes'
 * owners may not have), -EINTR after a fatal signal.
 */
int kvbm_dev_set_access(struct kvbm_dev *kd, const struct kvbm_store_access *c)
{
	struct kvbm_access a;
	int err = 0;

	if (c->mode & ~0660)
		return -EINVAL;
	if (mutex_lock_killable(&kd->access_lock))
		return -EINTR;
	a = kvbm_dev_access(kd);
	if (!kvbm_access_admin(&a))
		err = -EPERM;
	if (!err && c->flags & KVBM_ACCESS_UID)
		err = give_uid(&a.uid, c->uid);
	if (!err && c->flags & KVBM_ACCESS_GID)
		err = give_gid(&a.gid, c->gid);
	if (!err && c->flags & KVBM_ACCESS_MONITOR) {
		if (c->monitor_gid == (u32)-1)
			a.monitor = INVALID_GID;
		else
			err = give_gid(&a.monitor, c->monitor_gid);
	}
	if (c->flags & KVBM_ACCESS_MODE)
		a.mode = c->mode;
	if (err)
		goto unlock;

	mutex_lock(&directory_lock);
	kd->access = a;
	mutex_unlock(&directory_lock);
	if (kd->node) {
		err = kvbm_node_give(kd->node, &a);
		kobject_uevent(&kd->node->kobj, KOBJ_CHANGE);
	}
unlock:
	mutex_unlock(&kd->access_lock);
	return err;
}

/* Only owners and administrators see stores that have no name. */
static bool may_list(const struct kvbm_dev *kd, bool all)
{
	lockdep_assert_held(&directory_lock);
	switch (kd->state) {
	case KVBM_DEV_MAKING:
		return false;
	case KVBM_DEV_LIVE:
		if (kd->has_name)
			return true;
		fallthrough;
	default:
		return all || uid_eq(current_fsuid(), kd->access.uid);
	}
}

/**
 * kvbm_dev_list() - list stores
 * @cursor: in and out: number of the last store listed
 * @out: array of @max entries
 * @max: at most this many
 * @total: out: stores that the caller may see
 *
 * Return: entries filled in.
 */
u32 kvbm_dev_list(u64 *cursor, struct kvbm_store_entry *out, u32 max,
		  u32 *total)
{
	bool all = kvbm_capable(CAP_SYS_ADMIN);
	struct user_namespace *ns = current_user_ns();
	struct kvbm_dev *kd;
	u32 n = 0;

	*total = 0;
	mutex_lock(&directory_lock);
	list_for_each_entry(kd, &directory, link) {
		struct kvbm_store_entry *e = &out[n];

		if (!may_list(kd, all))
			continue;
		++*total;
		if (kd->number <= *cursor || n == max)
			continue;
		*e = (struct kvbm_store_entry) {
			.store_id = kd->store.id,
			.total_blocks = kd->store.cfg.total,
			.sessions = READ_ONCE(kd->store.nr_sessions),
			.uid = from_kuid_munged(ns, kd->access.uid),
			.gid = from_kgid_munged(ns, kd->access.gid),
			.mode = kd->access.mode,
			.monitor_gid = from_kgid(ns, kd->access.monitor),
			.flags = kd->state == KVBM_DEV_DYING ?
				 KVBM_STORE_DYING : 0,
			.charged_uid = from_kuid_munged(ns, kd->payer->uid),
			.memory = kd->store.memory,
			.created_ns = kd->created_ns,
		};
		memcpy(e->name, kd->name, sizeof(e->name));
		n++;
		*cursor = kd->number;
	}
	mutex_unlock(&directory_lock);
	return n;
}

/**
 * kvbm_dev_info() - the directory's information on a store
 * @kd: the store
 * @info: the directory's fields are filled in
 */
void kvbm_dev_info(struct kvbm_dev *kd, struct kvbm_store_info *info)
{
	struct user_namespace *ns = current_user_ns();

	mutex_lock(&directory_lock);
	info->uid = from_kuid_munged(ns, kd->access.uid);
	info->gid = from_kgid_munged(ns, kd->access.gid);
	info->mode = kd->access.mode;
	info->monitor_gid = from_kgid(ns, kd->access.monitor);
	info->charged_uid = from_kuid_munged(ns, kd->payer->uid);
	info->status = kd->state == KVBM_DEV_DYING ? KVBM_STORE_DYING : 0;
	mutex_unlock(&directory_lock);
	info->rights = kd->rights;
	info->need = kd->need;
	info->created_ns = kd->created_ns;
	memcpy(info->name, kd->name, sizeof(info->name));
	memcpy(info->digest, kd->digest, sizeof(info->digest));
	memcpy(info->label, kd->label, sizeof(info->label));
}

/**
 * kvbm_dev_open() - find the store of a device number and check permission to
 *	open
 * @devt: device number
 * @f_mode: mode of the file to open
 *
 * A descriptor that can be neither read nor written still takes requests;
 * open(2) needs both permissions of the node for it, and so does this.
 *
 * Return: the store, with a reference for the caller, or -ENXIO, -EACCES.
 */
struct kvbm_dev *kvbm_dev_open(dev_t devt, fmode_t f_mode)
{
	struct kvbm_dev *kd;
	umode_t want;

	want = (f_mode & FMODE_READ ? 4 : 0) | (f_mode & FMODE_WRITE ? 2 : 0);
	if (!want)
		want = 6;
	mutex_lock(&directory_lock);
	kd = xa_load(&numbers, devt);
	if (!kd)
		kd = ERR_PTR(-ENXIO);
	else if (!kvbm_access_allows(&kd->access, want) &&
		 !capable(CAP_DAC_OVERRIDE) && !capable(CAP_SYS_ADMIN))
		kd = ERR_PTR(-EACCES);
	else
		kref_get(&kd->ref);
	mutex_unlock(&directory_lock);
	return kd;
}

/**
 * kvbm_dev_init() - create the control device, with no stores
 * @fops: of all devices
 * @poll: how to wake a session's pollers
 *
 * Return: 0 or -errno.
 */
int __init kvbm_dev_init(const struct file_operations *fops,
			 const struct kvbm_poll_ops *poll)
{
	poll_ops = poll;
	return kvbm_nodes_init(fops);
}

/**
 * kvbm_dev_exit() - destroy all stores; no file of theirs is open
 */
void kvbm_dev_exit(void)
{
	struct kvbm_dev *kd;
	bool named;

	kvbm_nodes_close();
	/*
	 * No file is open.  If stores without a name are left, a work item,
	 * theirs or ours, is just dropping their last file.
	 */
	for (;;) {
		mutex_lock(&directory_lock);
		kd = list_first_entry_or_null(&directory, struct kvbm_dev,
					      link);
		named = kd && kd->state == KVBM_DEV_LIVE && kd->has_name;
		if (named)
			kref_get(&kd->ref);
		mutex_unlock(&directory_lock);
		if (!kd)
			break;
		if (!named) {
			msleep(20);
			continue;
		}
		kvbm_dev_unpublish(kd);
		kvbm_dev_put(kd);
	}
	xa_destroy(&numbers);
	kvbm_nodes_exit();
}
