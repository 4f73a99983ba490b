/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * file.h - the user-facing side: stores with names and owners, open files
 *
 * Lifetimes: an open file keeps its struct kvbm_file, which keeps
 * its struct kvbm_dev.  The directory (dev.c) keeps every named one until
 * it is destroyed.  A revocation keeps the file that it works on.
 *
 * directory_lock nests only inside a store's access_lock, and none of the
 * core's locks nests inside it.
 */
#ifndef KVBM_FILE_H
#define KVBM_FILE_H

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rbtree.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "core.h"

/**
 * struct kvbm_access - a store's access record
 * @uid: owner; of an anonymous store the creator
 * @gid: group
 * @monitor: group that may read statistics, or INVALID_GID
 * @mode: permissions
 */
struct kvbm_access {
	kuid_t uid;
	kgid_t gid;
	kgid_t monitor;
	umode_t mode;
};

/**
 * enum kvbm_dev_state - state of a store
 * @KVBM_DEV_MAKING: its name is taken, its memory not allocated yet
 * @KVBM_DEV_LIVE: can be found and opened
 * @KVBM_DEV_DYING: destroyed; lives as long as it is open
 */
enum kvbm_dev_state {
	KVBM_DEV_MAKING,
	KVBM_DEV_LIVE,
	KVBM_DEV_DYING,
};

struct kvbm_events;

/**
 * struct kvbm_payer - a user who is charged for stores
 * @link: in payers
 * @uid: the user
 * @stores: stores charged; the payer goes with the last one
 * @blocks: their blocks
 * @bytes: their memory
 */
struct kvbm_payer {
	struct list_head link;
	kuid_t uid;
	u32 stores;
	u64 blocks;
	u64 bytes;
};

/**
 * struct kvbm_linger - ended sessions of a store whose blocks linger
 * @ns: for how long; 0: not at all
 * @list: their records, the next one due first
 * @by_number: their records, by the session's number
 * @ended: those whose file is closed
 * @records: in the list, or about to be freed
 * @debtors: users that have sessions, open or in the list
 * @work: frees the blocks of those that are due
 *
 * All except @ns and @work are under the store's sessions_lock.
 */
struct kvbm_linger {
	u64 ns;
	struct list_head list;
	struct rb_root by_number;
	u32 ended;
	u32 records;
	struct hlist_head debtors[64];
	struct delayed_work work;
};

struct kvbm_debtor;
struct kvbm_departed;

/**
 * struct kvbm_dev - a store as users see it
 * @store: the store
 * @ref: one for each open file, one for the directory if it has a name
 * @link: in the directory until it is freed
 * @number: place in the directory
 * @state: under directory_lock, as are the following
 * @has_name: it still has its name
 * @access: its access record
 * @payer: user who is charged for it
 * @access_lock: one change of @access at a time, with everything that follows
 * @node: device of a named store, until it is destroyed; under @access_lock
 * @devt: device number of the node
 * @name: name, NUL-padded; empty for an anonymous store
 * @digest: users compare it with theirs; set at creation
 * @label: for people, NUL-padded
 * @rights: KVBM_RIGHT_*
 * @need: bytes charged for it
 * @created_ns: CLOCK_BOOTTIME
 * @linger: ended sessions
 * @payload: the blocks' bytes, or NULL; a reference for the store's life
 * @block_bytes: of each
 */
struct kvbm_dev {
	struct kvbm_store store;
	struct kref ref;
	struct list_head link;
	u64 number;
	enum kvbm_dev_state state;
	bool has_name;
	struct kvbm_access access;
	struct kvbm_payer *payer;
	struct mutex access_lock;	/* one change of @access at a time */
	struct device *node;
	dev_t devt;
	char name[KVBM_NAME_LEN];
	u8 digest[KVBM_DIGEST_BYTES];
	char label[KVBM_LABEL_LEN];
	u32 rights;
	u64 need;
	u64 created_ns;
	struct kvbm_linger linger;
	struct file *payload;
	u64 block_bytes;
};

/**
 * struct kvbm_poll - the pollers of a session
 * @wait: the pollers
 * @mark: position of the walk that wakes them; under @wait's lock
 * @walking: there is a walk
 * @again: and another one after it
 * @work: continues the walk
 * @free_work: frees the file
 */
struct kvbm_poll {
	wait_queue_head_t wait;
	struct wait_queue_entry mark;
	bool walking;
	bool again;
	struct work_struct work;
	struct work_struct free_work;
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
 * @ref: the companion's, a revocation's, and those of tasks that wake pollers
 * @poll: its pollers
 * @departed: if blocks linger: a record for its end; NULL: they do not, or
 *	the record is in use
 * @left: blocks that leave it, until the record is used; under the store's lock
 * @debtor: its user's account, if blocks linger
 * @debt_mark: how much had ever lingered of that user when it was opened
 * @pid: process that opened it
 * @uid: that process's user
 * @opened_ns: CLOCK_BOOTTIME
 * @last_call: jiffies
 * @allowed: requests that it may make, a bit each
 * @writable: it was opened for writing
 * @comm: that process's name
 */
struct kvbm_file {
	struct kvbm_session ses;
	struct kvbm_dev *kd;
	struct file *companion;
	struct kref ref;
	struct kvbm_poll poll;
	struct kvbm_departed *departed;
	struct kvbm_chain left;
	struct kvbm_debtor *debtor;
	u64 debt_mark;
	struct pid *pid;
	kuid_t uid;
	u64 opened_ns;
	unsigned long last_call;
	u64 allowed;
	bool writable;
	char comm[TASK_COMM_LEN];
};

/* dev.c: the directory of stores */
int kvbm_dev_init(const struct file_operations *fops,
		  const struct kvbm_poll_ops *poll);
void kvbm_dev_exit(void);
struct kvbm_dev *kvbm_dev_create(struct kvbm_store_create *c);
int kvbm_dev_node(struct kvbm_dev *kd);
struct kvbm_dev *kvbm_dev_find(u64 id, const char *name);
struct kvbm_dev *kvbm_dev_open(dev_t devt, fmode_t f_mode);
void kvbm_dev_unpublish(struct kvbm_dev *kd);
void kvbm_dev_put(struct kvbm_dev *kd);
u32 kvbm_dev_list(u64 *cursor, struct kvbm_store_entry *out, u32 max,
		  u32 *total);
void kvbm_dev_info(struct kvbm_dev *kd, struct kvbm_store_info *info);
int kvbm_dev_set_access(struct kvbm_dev *kd, const struct kvbm_store_access *c);
struct kvbm_access kvbm_dev_access(struct kvbm_dev *kd);

/* access.c: permission checks */
bool kvbm_access_allows(const struct kvbm_access *a, umode_t want);
bool kvbm_access_admin(const struct kvbm_access *a);
bool kvbm_access_open(const struct kvbm_access *a);
bool kvbm_access_read(const struct kvbm_access *a);
bool kvbm_capable(int cap);
kuid_t kvbm_payer_uid(void);

/* payer.c: users who are charged */
struct kvbm_payer *kvbm_payer_new(void);
int kvbm_pay(struct kvbm_dev *kd, struct kvbm_payer **new);
void kvbm_unpay(struct kvbm_dev *kd);
void kvbm_unpay_ring(struct kvbm_payer *p, u64 bytes);

/* node.c: /dev/kvbm */
#define KVBM_CONTROL_NAME	"control"
struct device *kvbm_node_add(struct kvbm_dev *kd);
int kvbm_node_give(struct device *node, const struct kvbm_access *a);
int kvbm_nodes_init(const struct file_operations *fops);
void kvbm_nodes_close(void);
void kvbm_nodes_exit(void);

/* number.c: device numbers, under directory_lock */
int kvbm_number_init(const struct file_operations *fops, dev_t *control);
int kvbm_number_new(dev_t *devt);
void kvbm_number_exit(void);

/* sysfs.c */
extern const struct attribute_group *kvbm_store_groups[];
extern const struct attribute_group *kvbm_control_groups[];

/* session.c: open files */
struct seq_file;
struct kvbm_file *kvbm_file_new(struct kvbm_dev *kd, fmode_t f_mode);
void kvbm_file_end(struct kvbm_file *f);
int kvbm_file_refused(const struct kvbm_file *f, unsigned int op);
struct kvbm_file *kvbm_file_of(struct file *file);
__poll_t kvbm_session_poll(struct file *file, poll_table *wait);
void kvbm_session_fdinfo(struct seq_file *m, struct file *file);
int kvbm_sessions_kill(struct kvbm_dev *kd, int err);
int kvbm_session_revoke(struct kvbm_dev *kd, struct kvbm_session_revoke *args);
u32 kvbm_session_entries(struct kvbm_dev *kd, u64 *cursor,
			 struct kvbm_session_entry *out, u32 max, u32 *total);

/**
 * struct kvbm_selection - selects sessions to end
 * @session: this one, or 0
 * @uid: those of this user, if valid
 * @pid: those that this process opened, if not NULL
 * @upto: no later ones
 * @err: errno for their calls from then on
 * @now: nothing of them lingers
 */
struct kvbm_selection {
	u64 session;
	kuid_t uid;
	struct pid *pid;
	u64 upto;
	int err;
	bool now;
};

/* departed.c: ended sessions whose blocks linger */
int kvbm_departed_prepare(struct kvbm_file *f);
void kvbm_departed_forget(struct kvbm_file *f);
u64 kvbm_departed_retire(struct kvbm_file *f, int err, bool open);
u32 kvbm_departed_end(struct kvbm_dev *kd, const struct kvbm_selection *sel,
		      u64 *back);
u32 kvbm_departed_lingering(struct kvbm_dev *kd, u64 number);
bool kvbm_departed_entry(struct kvbm_dev *kd, u64 after, u64 before,
			 struct kvbm_session_entry *e);
void kvbm_departed_init(struct kvbm_dev *kd, u32 linger_ms);
void kvbm_departed_exit(struct kvbm_dev *kd);
int kvbm_departed_start(void);
void kvbm_departed_stop(void);

/* payload.c: the blocks' bytes */
struct file *kvbm_payload_get(const struct kvbm_store_create *c);
void kvbm_payload_info(const struct kvbm_dev *kd, struct kvbm_payload *args);
int kvbm_payload_open(const struct kvbm_dev *kd, bool read_only,
		      struct file **file);

/* event.c: descriptors to read events from */
int kvbm_events_init(struct kvbm_dev *kd);
void kvbm_events_exit(struct kvbm_dev *kd);
int kvbm_events_open(struct kvbm_dev *kd, bool privileged,
		     struct kvbm_events *args, struct file **file);

/* Every request passes here; 0, or the errno that refuses it. */
static inline int kvbm_file_enter(struct kvbm_file *f, unsigned int op)
{
	unsigned long now = jiffies;

	if (READ_ONCE(f->last_call) != now)
		WRITE_ONCE(f->last_call, now);
	if (likely(f->allowed & BIT_ULL(op)))
		return 0;
	return kvbm_file_refused(f, op);
}

void kvbm_file_free(struct kref *ref);

static inline void kvbm_file_put(struct kvbm_file *f)
{
	kref_put(&f->ref, kvbm_file_free);
}

/* watch.c: waking everybody in a wait queue, in steps */
void kvbm_watch_init(struct kvbm_poll *p);
u32 kvbm_watch_some(struct kvbm_poll *p, u32 budget);
void kvbm_watch_rest(struct kvbm_poll *p);
bool kvbm_watch_turn(struct kvbm_poll *p, bool all);

/* poll.c: waking pollers */
extern const struct kvbm_poll_ops kvbm_poll_ops;
void kvbm_poll_init(struct kvbm_poll *p);
u32 kvbm_poll_wake(struct kvbm_file *f, u32 budget);
int kvbm_poll_start(void);
void kvbm_poll_stop(void);

/* wait.c */
u64 kvbm_kernel_ns(u64 ns, u32 clock);
u64 kvbm_caller_ns(u64 ns, u32 clock);
int kvbm_alloc_wait(struct kvbm_alloc_ctx *t, struct kvbm_session *ses,
		    const struct kvbm_alloc *args, struct file *file,
		    u32 *ticket);
int kvbm_claims_wait(struct kvbm_session *ses, const struct kvbm_wait *args,
		     const struct kvbm_hash *keys, bool may_wait, u32 *left);

/* ioctl.c: requests; usercopy.h has the conventions of their arguments. */
long kvbm_control_request(struct file *file, unsigned int cmd,
			  unsigned long arg,
			  const struct file_operations *session_fops);
long kvbm_session_request(struct file *file, unsigned int cmd,
			  unsigned long arg);

/* data.c */
int kvbm_data_op(struct kvbm_session *ses, unsigned int op, void __user *uarg,
		 u32 usize, bool may_wait, struct file *file);

/* open.c */
extern const struct file_operations kvbm_open_fops;

/* uring.c */
struct io_uring_cmd;
int kvbm_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

#endif /* KVBM_FILE_H */
