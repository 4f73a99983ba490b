// SPDX-License-Identifier: MIT
/* Character devices and open files in one process; host_vfs.h. */
#include <stdarg.h>
#include <stdlib.h>

#include <linux/anon_inodes.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/io_uring.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/uio.h>
#include <linux/seq_file.h>
#include <linux/user_namespace.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include "host_vfs.h"

struct pid host_pid = { ATOMIC_INIT(1) };
struct user_namespace init_user_ns;

void seq_printf(struct seq_file *m, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(m->buf + m->count, m->size - m->count, fmt, ap);
	va_end(ap);
	m->count = min_t(size_t, m->size - 1, m->count + n);
}

/* --- files and descriptors ---------------------------------------------- */

#define MAX_FDS 4096
#define RESERVED ((struct file *)1)

static DEFINE_SPINLOCK(fds_lock);
static struct file *fds[MAX_FDS];
static atomic_t open_files;

unsigned int host_open_files(void)
{
	return atomic_read(&open_files);
}

int get_unused_fd_flags(unsigned int flags)
{
	int fd;

	spin_lock(&fds_lock);
	for (fd = 0; fd < MAX_FDS && fds[fd]; fd++)
		;
	if (fd < MAX_FDS)
		fds[fd] = RESERVED;
	spin_unlock(&fds_lock);
	return fd < MAX_FDS ? fd : -EMFILE;
}

void put_unused_fd(unsigned int fd)
{
	spin_lock(&fds_lock);
	BUG_ON(fds[fd] != RESERVED);
	fds[fd] = NULL;
	spin_unlock(&fds_lock);
}

void fd_install(unsigned int fd, struct file *file)
{
	spin_lock(&fds_lock);
	BUG_ON(fds[fd] != RESERVED);
	fds[fd] = file;
	spin_unlock(&fds_lock);
}

static struct file *file_new(const struct file_operations *fops, dev_t rdev)
{
	struct file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);

	if (!file)
		return NULL;
	file->f_op = fops;
	file->f_inode_of.i_rdev = rdev;
	atomic_long_set(&file->f_count, 1);
	atomic_inc(&open_files);
	return file;
}

static void file_free(struct file *file)
{
	kfree(file);
	atomic_dec(&open_files);
}

struct file *anon_inode_getfile(const char *name,
				const struct file_operations *fops, void *priv,
				int flags)
{
	struct file *file = file_new(fops, 0);

	if (!file)
		return ERR_PTR(-ENOMEM);
	file->f_flags = flags;
	file->f_mode = ((flags & O_ACCMODE) != O_WRONLY ? FMODE_READ : 0) |
		       ((flags & O_ACCMODE) != O_RDONLY ? FMODE_WRITE : 0);
	file->private_data = priv;
	return file;
}

struct file *dentry_open(const struct path *path, int flags,
			 const struct cred *cred)
{
	struct file *file = file_new(path->file->f_op, 0);

	if (!file)
		return ERR_PTR(-ENOMEM);
	file->f_flags = flags;
	file->f_mode = (flags & O_ACCMODE) == O_RDONLY ?
			       FMODE_READ : FMODE_READ | FMODE_WRITE;
	file->f_inode_of = path->file->f_inode_of;
	file->f_path.file = file;
	return file;
}

struct file *fget(unsigned int fd)
{
	struct file *file = NULL;

	spin_lock(&fds_lock);
	if (fd < MAX_FDS && fds[fd] && fds[fd] != RESERVED)
		file = get_file(fds[fd]);
	spin_unlock(&fds_lock);
	return file;
}

void fput(struct file *file)
{
	might_sleep();
	if (!atomic_long_dec_and_test(&file->f_count))
		return;
	if (file->f_op->release)
		file->f_op->release(file_inode(file), file);
	file_free(file);
}

loff_t noop_llseek(struct file *file, loff_t off, int whence)
{
	return 0;
}

long compat_ptr_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return file->f_op->unlocked_ioctl(file, cmd, (u32)arg);
}

/* --- character devices -------------------------------------------------- */

static DEFINE_MUTEX(devices_lock);
static LIST_HEAD(devices);
static LIST_HEAD(cdevs);

/* Claimed numbers of one major; they outlive the module. */
struct region {
	struct list_head link;
	dev_t from;
	unsigned int count;
};

static LIST_HEAD(regions);

int register_chrdev_region(dev_t from, unsigned int count, const char *name)
{
	struct region *new, *r;
	void *p = kmalloc(sizeof(*new), GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	/* What stays when the module goes is not its memory. */
	kfree(p);
	new = malloc(sizeof(*new));
	mutex_lock(&devices_lock);
	list_for_each_entry(r, &regions, link)
		if (from < r->from + r->count && r->from < from + count) {
			mutex_unlock(&devices_lock);
			free(new);
			return -EBUSY;
		}
	*new = (struct region){ .from = from, .count = count };
	list_add(&new->link, &regions);
	mutex_unlock(&devices_lock);
	return 0;
}

void unregister_chrdev_region(dev_t from, unsigned int count)
{
	struct region *r;

	mutex_lock(&devices_lock);
	list_for_each_entry(r, &regions, link)
		if (r->from == from && r->count == count) {
			list_del(&r->link);
			free(r);
			break;
		}
	mutex_unlock(&devices_lock);
}

void host_forget_numbers(void)
{
	struct region *r, *next;

	list_for_each_entry_safe(r, next, &regions, link) {
		list_del(&r->link);
		free(r);
	}
}

struct cdev *cdev_alloc(void)
{
	return kzalloc(sizeof(struct cdev), GFP_KERNEL);
}

int cdev_add(struct cdev *cdev, dev_t dev, unsigned int count)
{
	cdev->dev = dev;
	cdev->count = count;
	mutex_lock(&devices_lock);
	list_add(&cdev->list, &cdevs);
	mutex_unlock(&devices_lock);
	return 0;
}

void cdev_del(struct cdev *cdev)
{
	mutex_lock(&devices_lock);
	list_del(&cdev->list);
	mutex_unlock(&devices_lock);
	kfree(cdev);
}

static const struct file_operations *fops_of(dev_t devt)
{
	struct cdev *c;

	list_for_each_entry(c, &cdevs, list)
		if (devt >= c->dev && devt < c->dev + c->count)
			return c->ops;
	return NULL;
}

/* --- devices --------------------------------------------- */

struct class {
	char name[32];
};

struct class *class_create_named(const char *name)
{
	struct class *cls = kzalloc(sizeof(*cls), GFP_KERNEL);

	if (!cls)
		return ERR_PTR(-ENOMEM);
	strscpy(cls->name, name, sizeof(cls->name));
	return cls;
}

void class_destroy(struct class *cls)
{
	kfree(cls);
}

void device_initialize(struct device *dev)
{
	kref_init(&dev->ref);
	INIT_LIST_HEAD(&dev->list);
}

int dev_set_name(struct device *dev, const char *fmt, ...)
{
	char name[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	dev->name = kstrdup(name, GFP_KERNEL);
	return dev->name ? 0 : -ENOMEM;
}

static void device_gone(struct kref *ref)
{
	struct device *dev = container_of(ref, struct device, ref);

	WARN_ON(dev->added);
	kfree(dev->name);
	kfree(dev->node);
	dev->release(dev);
}

void put_device(struct device *dev)
{
	if (dev)
		kref_put(&dev->ref, device_gone);
}

static struct device *find_device(const char *name)
{
	struct device *d;

	list_for_each_entry(d, &devices, list)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

int device_add(struct device *dev)
{
	umode_t mode = 0;
	kuid_t uid = GLOBAL_ROOT_UID;
	kgid_t gid = GLOBAL_ROOT_GID;
	char *node = NULL;
	int err = 0;

	mutex_lock(&devices_lock);
	/* The kernel dumps a stack on a duplicate name. */
	if (WARN_ON(find_device(dev->name))) {
		err = -EEXIST;
		goto out;
	}
	if (dev->type && dev->type->devnode) {
		node = dev->type->devnode(dev, &mode, &uid, &gid);
		if (!node) {
			err = -ENOMEM;
			goto out;
		}
	}
	dev->node = node;
	list_add_tail(&dev->list, &devices);
	dev->added = true;
	get_device(dev);
out:
	mutex_unlock(&devices_lock);
	return err;
}

void device_del(struct device *dev)
{
	mutex_lock(&devices_lock);
	list_del_init(&dev->list);
	dev->added = false;
	mutex_unlock(&devices_lock);
	put_device(dev);
}

int sysfs_groups_change_owner(struct kobject *kobj,
			      const struct attribute_group **groups,
			      kuid_t uid, kgid_t gid)
{
	kobj->uid = uid;
	kobj->gid = gid;
	return 0;
}

/* --- system calls ------------------------------------------------------- */

int host_insmod(void)
{
	return host_module_init();
}

int host_rmmod(void)
{
	if (host_open_files())
		return -EBUSY;
	host_module_exit();
	WARN_ON(!list_empty(&devices) || !list_empty(&cdevs));
	WARN_ON(atomic_read(&host_pid.count) != 1);
	return 0;
}

int host_open(const char *name)
{
	char path[64];
	const struct file_operations *fops = NULL;
	struct device *dev;
	struct file *file;
	dev_t devt = 0;
	int fd, err;

	fd = get_unused_fd_flags(0);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "kvbm/%s", name);
	mutex_lock(&devices_lock);
	list_for_each_entry(dev, &devices, list)
		if (dev->node && !strcmp(dev->node, path)) {
			devt = dev->devt;
			fops = fops_of(devt);
		}
	mutex_unlock(&devices_lock);
	if (!fops) {
		err = -ENOENT;
		goto put_fd;
	}
	file = file_new(fops, devt);
	if (!file) {
		err = -ENFILE;
		goto put_fd;
	}
	file->f_mode = FMODE_READ | FMODE_WRITE;
	err = fops->open ? fops->open(file_inode(file), file) : 0;
	if (err) {
		/* One that was not opened is not released. */
		file_free(file);
		goto put_fd;
	}
	fd_install(fd, file);
	return fd;

put_fd:
	put_unused_fd(fd);
	return err;
}

int host_close(int fd)
{
	struct file *file = NULL;

	spin_lock(&fds_lock);
	if (fd >= 0 && fd < MAX_FDS && fds[fd] && fds[fd] != RESERVED) {
		file = fds[fd];
		fds[fd] = NULL;
	}
	spin_unlock(&fds_lock);
	if (!file)
		return -EBADF;
	fput(file);
	return 0;
}

long host_ioctl(int fd, unsigned int cmd, void *arg)
{
	struct file *file = fget(fd);
	long ret = -ENOTTY;

	if (!file)
		return -EBADF;
	if (file->f_op->unlocked_ioctl)
		ret = file->f_op->unlocked_ioctl(file, cmd,
						 (unsigned long)arg);
	fput(file);
	return ret;
}

ssize_t host_read(int fd, void *to, size_t n, bool nowait)
{
	struct iov_iter iter = { .to = to, .count = n };
	struct kiocb iocb = {
		.ki_filp = fget(fd),
		.ki_flags = nowait ? IOCB_NOWAIT : 0,
	};
	ssize_t ret = -EINVAL;

	if (!iocb.ki_filp)
		return -EBADF;
	if (iocb.ki_filp->f_op->read_iter)
		ret = iocb.ki_filp->f_op->read_iter(&iocb, &iter);
	fput(iocb.ki_filp);
	return ret;
}

static int poll_file(struct file *file, poll_table *table)
{
	return file->f_op->poll ? file->f_op->poll(file, table) :
				  EPOLLIN | EPOLLOUT;
}

int host_poll(int fd)
{
	struct file *file = fget(fd);
	poll_table table = { 0 };
	int events;

	if (!file)
		return -EBADF;
	events = poll_file(file, &table);
	fput(file);
	return events;
}

/* Somebody who polls, in one queue, which is all that files here have. */
struct poller {
	poll_table table;
	struct wait_queue_entry wqe;
	wait_queue_head_t *wq;
	struct task_struct *task;
	bool triggered;
};

static int poller_wake(struct wait_queue_entry *wqe, unsigned int mode,
		       int flags, void *key)
{
	struct poller *p = container_of(wqe, struct poller, wqe);

	if (key && !(key_to_poll(key) & p->table._key))
		return 0;
	/* As the kernel's pollwake(): ordered by the waking itself. */
	WRITE_ONCE(p->triggered, true);
	return wake_up_state(p->task, mode);
}

static void poller_queue(struct file *file, wait_queue_head_t *wq,
			 poll_table *table)
{
	struct poller *p = container_of(table, struct poller, table);

	BUG_ON(p->wq);
	p->wq = wq;
	add_wait_queue(wq, &p->wqe);
}

int host_poll_wait(int fd, int events, uint64_t timeout_ns)
{
	struct poller p = {
		.table = { ._qproc = poller_queue,
			   ._key = events | EPOLLERR | EPOLLHUP },
		.task = current,
	};
	u64 until = ktime_get_ns() + timeout_ns;
	struct file *file = fget(fd);
	int got;

	if (!file)
		return -EBADF;
	init_waitqueue_func_entry(&p.wqe, poller_wake);
	for (;;) {
		got = poll_file(file, &p.table) & p.table._key;
		/* It is in the queue now; from here on it only looks. */
		p.table._qproc = NULL;
		if (got)
			break;
		if (signal_pending(current)) {
			got = -EINTR;
			break;
		}
		if (ktime_get_ns() >= until) {
			got = -ETIME;
			break;
		}
		set_current_state(TASK_INTERRUPTIBLE);
		if (!READ_ONCE(p.triggered))
			host_schedule(until);
		__set_current_state(TASK_RUNNING);
		WRITE_ONCE(p.triggered, false);
		/* Before the file is looked at again. */
		smp_mb();
	}
	if (p.wq)
		remove_wait_queue(p.wq, &p.wqe);
	fput(file);
	return got;
}

struct epitem {
	poll_table table;
	struct wait_queue_entry wqe;
	wait_queue_head_t *wq;
	struct host_epoll *ep;
	struct list_head link;		/* in ep->items */
	struct list_head ready;		/* in ep->ready, or empty */
	struct file *file;
	int fd;
	uint32_t events;
};

struct host_epoll {
	spinlock_t lock;
	struct list_head items;
	struct list_head ready;
	wait_queue_head_t wait;
};

struct host_epoll *host_epoll_new(void)
{
	struct host_epoll *ep = kzalloc(sizeof(*ep), GFP_KERNEL);

	if (!ep)
		return NULL;
	spin_lock_init(&ep->lock);
	INIT_LIST_HEAD(&ep->items);
	INIT_LIST_HEAD(&ep->ready);
	init_waitqueue_head(&ep->wait);
	return ep;
}

static void epitem_ready(struct epitem *i)
{
	spin_lock(&i->ep->lock);
	if (list_empty(&i->ready))
		list_add_tail(&i->ready, &i->ep->ready);
	spin_unlock(&i->ep->lock);
	wake_up(&i->ep->wait);
}

static int epitem_wake(struct wait_queue_entry *wqe, unsigned int mode,
		       int flags, void *key)
{
	struct epitem *i = container_of(wqe, struct epitem, wqe);

	if (key && !(key_to_poll(key) & i->events))
		return 0;
	epitem_ready(i);
	return 1;
}

static void epitem_queue(struct file *file, wait_queue_head_t *wq,
			 poll_table *table)
{
	struct epitem *i = container_of(table, struct epitem, table);

	BUG_ON(i->wq);
	i->wq = wq;
	add_wait_queue(wq, &i->wqe);
}

int host_epoll_add(struct host_epoll *ep, int fd, uint32_t events)
{
	struct epitem *i = kzalloc(sizeof(*i), GFP_KERNEL);

	if (!i)
		return -ENOMEM;
	i->file = fget(fd);
	if (!i->file) {
		kfree(i);
		return -EBADF;
	}
	i->fd = fd;
	i->ep = ep;
	i->events = events | EPOLLERR | EPOLLHUP;
	INIT_LIST_HEAD(&i->ready);
	init_waitqueue_func_entry(&i->wqe, epitem_wake);
	i->table._qproc = epitem_queue;
	i->table._key = i->events;
	list_add_tail(&i->link, &ep->items);
	if (poll_file(i->file, &i->table) & i->events)
		epitem_ready(i);
	i->table._qproc = NULL;
	return 0;
}

static bool any_ready(struct host_epoll *ep)
{
	bool any;

	spin_lock(&ep->lock);
	any = !list_empty(&ep->ready);
	spin_unlock(&ep->lock);
	return any;
}

int host_epoll_wait(struct host_epoll *ep, int *fd, uint32_t *events,
		    uint64_t timeout_ns)
{
	u64 until = ktime_get_ns() + timeout_ns;
	struct epitem *i;

	for (;;) {
		spin_lock(&ep->lock);
		i = list_first_entry_or_null(&ep->ready, struct epitem, ready);
		if (i)
			list_del_init(&i->ready);
		spin_unlock(&ep->lock);
		if (!i) {
			if (host_wait_event(ep->wait, any_ready(ep),
					    TASK_INTERRUPTIBLE, until) <= 0)
				return 0;
			continue;
		}
		*events = poll_file(i->file, &i->table) & i->events;
		if (!*events)
			continue;
		*fd = i->fd;
		if (!(i->events & EPOLLET))
			epitem_ready(i);
		return 1;
	}
}

void host_epoll_free(struct host_epoll *ep)
{
	struct epitem *i, *next;

	list_for_each_entry_safe(i, next, &ep->items, link) {
		if (i->wq)
			remove_wait_queue(i->wq, &i->wqe);
		fput(i->file);
		kfree(i);
	}
	kfree(ep);
}

long host_uring(int fd, uint32_t op, const void *payload, bool nonblock)
{
	struct io_uring_cmd cmd = { .cmd = payload, .cmd_op = op };
	long ret = -EOPNOTSUPP;

	cmd.file = fget(fd);
	if (!cmd.file)
		return -EBADF;
	if (cmd.file->f_op->uring_cmd) {
		ret = cmd.file->f_op->uring_cmd(&cmd, IO_URING_F_NONBLOCK);
		if (ret == -EAGAIN && !nonblock)
			ret = cmd.file->f_op->uring_cmd(&cmd,
							IO_URING_F_UNLOCKED);
		if (ret == -EIOCBQUEUED) {
			/* Nothing here completes later. */
			WARN_ON(!cmd.done);
			ret = cmd.result;
		}
	}
	fput(cmd.file);
	return ret;
}
