/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * file.h - what users reach: stores with names and owners, open files
 *
 * Who keeps what alive: an open file holds its struct kvbm_file, which holds
 * its struct kvbm_dev.  The directory (device.c) holds every named one until
 * it is destroyed.  A revocation holds the file that it works on.
 *
 * directory_lock is outside all locks of the core; sysfs takes none of it.
 */
#ifndef KVBM_FILE_H
#define KVBM_FILE_H

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include "core.h"

/**
 * struct kvbm_dev - a store as users know it
 * @store: the store
 * @ref: one for each open file, one for the directory
 * @link: in the directory, under directory_lock
 * @listed: it is there
 * @node: device of a named store, until it is destroyed
 * @devt: device number of the node
 * @name: name, NUL-padded; empty for an anonymous store
 * @uid: owner of the node, or creator of an anonymous store
 * @gid: group
 * @mode: permissions
 * @poll_wait: who polls for room, or for the end
 */
struct kvbm_dev {
	struct kvbm_store store;
	struct kref ref;
	struct list_head link;
	bool listed;
	struct device *node;
	dev_t devt;
	char name[KVBM_NAME_LEN];
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	wait_queue_head_t poll_wait;
};

/**
 * struct kvbm_file - an open file description
 * @ses: its session
 * @kd: the store
 * @companion: a second file, in nobody's table of descriptors, whose ->release
 *	ends the session.  The session's own ->release only drops it.  fput()
 *	queues the release as work of the task, and the task takes the whole
 *	queue before it looks for what was queued meanwhile: so the end comes
 *	after the ->release of all files of the same exit, exec or close_range,
 *	whatever their descriptors, and before the task returns to user space or
 *	can be reaped.  A kernel thread that drops the last reference ends it a
 *	little later, as it does any file.
 * @ref: the companion's, and a revocation's
 * @pid: who opened it
 * @uid: that process's user
 * @opened_ns: CLOCK_BOOTTIME
 * @comm: that process's name
 */
struct kvbm_file {
	struct kvbm_session ses;
	struct kvbm_dev *kd;
	struct file *companion;
	struct kref ref;
	struct pid *pid;
	kuid_t uid;
	u64 opened_ns;
	char comm[TASK_COMM_LEN];
};

static inline struct kvbm_dev *kvbm_dev_of(struct kvbm_store *st)
{
	return container_of(st, struct kvbm_dev, store);
}

/* device.c: the directory of stores */
extern unsigned int kvbm_max_stores;
extern unsigned int kvbm_max_blocks;
extern unsigned int kvbm_max_sessions;
int kvbm_directory_init(void);
void kvbm_directory_exit(void);
struct kvbm_dev *kvbm_dev_create(struct kvbm_store_create *c);
void kvbm_dev_discard(struct kvbm_dev *kd);
int kvbm_dev_destroy(const char *name, bool force);
void kvbm_dev_put(struct kvbm_dev *kd);
u32 kvbm_dev_list(u32 skip, struct kvbm_store_entry *out, u32 max, u32 *total);
bool kvbm_dev_may_admin(struct kvbm_dev *kd);

/* number.c: device numbers, under directory_lock */
int kvbm_number_init(const struct file_operations *fops, dev_t *control);
int kvbm_number_new(dev_t *devt);
void kvbm_number_exit(void);

/* sysfs.c */
extern const struct attribute_group *kvbm_store_groups[];
extern const struct attribute_group *kvbm_control_groups[];

/* session.c: open files */
extern const struct file_operations kvbm_session_fops;
int kvbm_session_open(struct kvbm_dev *kd, struct file *file);
int kvbm_session_open_fd(struct kvbm_dev *kd, struct file **file);
u64 kvbm_sessions_kill(struct kvbm_dev *kd, int err);
int kvbm_session_revoke(struct kvbm_dev *kd, u64 number, u64 *reclaimed);
u32 kvbm_session_entries(struct kvbm_dev *kd, u32 skip,
			 struct kvbm_session_entry *out, u32 max, u32 *total);

/* wait.c */
int kvbm_alloc_wait(struct kvbm_taking *t, struct kvbm_session *ses, u32 n,
		    u64 deadline_ns);

/* args.h has the conventions of the arguments; decoders follow. */
long kvbm_control_ioctl(struct file *file, unsigned int cmd,
			unsigned long arg);
long kvbm_session_ioctl(struct file *file, unsigned int cmd,
			unsigned long arg);
int kvbm_data_op(struct kvbm_session *ses, unsigned int op, void __user *uarg,
		 u32 usize, bool may_wait);
bool kvbm_is_data_op(unsigned int op);

/* uring.c */
struct io_uring_cmd;
int kvbm_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

#endif /* KVBM_FILE_H */
