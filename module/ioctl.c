// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * ioctl.c - the two descriptors' requests; the data path's are in data.c
 */
#include <linux/file.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "args.h"
#include "file.h"

static int op_features(void __user *uarg, u32 usize)
{
	struct kvbm_features args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags)
		return -EOPNOTSUPP;
	args.features = KVBM_FEATURE_STORE | KVBM_FEATURE_WAIT |
			KVBM_FEATURE_REVOKE;
	if (IS_ENABLED(CONFIG_IO_URING))
		args.features |= KVBM_FEATURE_URING;
	args.max_blocks = KVBM_MAX_BLOCKS;
	args.max_batch = KVBM_MAX_BATCH;
	args.max_holds = KVBM_MAX_HOLDS;
	args.chunk = KVBM_CHUNK;
	return kvbm_return(uarg, usize, &args, sizeof(args));
}

static bool all_zero(const u64 *v, u32 n)
{
	while (n--)
		if (v[n])
			return false;
	return true;
}

static int op_store_create(void __user *uarg, u32 usize)
{
	struct kvbm_store_create args;
	struct file *file = NULL;
	struct kvbm_dev *kd;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags & ~(KVBM_CREATE_REJECT | KVBM_CREATE_RESET) ||
	    !all_zero(args.reserved, ARRAY_SIZE(args.reserved)))
		return -EOPNOTSUPP;
	kd = kvbm_dev_create(&args);
	if (IS_ERR(kd))
		return PTR_ERR(kd);
	args.store_id = kd->store.id;
	args.fd = -1;
	if (!args.name[0]) {
		args.fd = kvbm_session_open_fd(kd, &file);
		if (args.fd < 0) {
			err = args.fd;
			goto discard;
		}
	}
	/* The descriptor is the caller's only once its number is told. */
	err = kvbm_return(uarg, usize, &args, sizeof(args));
	if (!err) {
		if (file)
			fd_install(args.fd, file);
		kvbm_dev_put(kd);
		return 0;
	}
	if (file) {
		put_unused_fd(args.fd);
		fput(file);
	}
discard:
	kvbm_dev_discard(kd);
	kvbm_dev_put(kd);
	return err;
}

static int op_store_destroy(void __user *uarg, u32 usize)
{
	struct kvbm_store_destroy args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags & ~KVBM_DESTROY_FORCE)
		return -EOPNOTSUPP;
	if (strnlen(args.name, sizeof(args.name)) == sizeof(args.name))
		return -EINVAL;
	return kvbm_dev_destroy(args.name, args.flags & KVBM_DESTROY_FORCE);
}

/* Listings go out a page at a time. */
#define LIST_PAGE	16

static int op_store_list(void __user *uarg, u32 usize)
{
	struct kvbm_store_entry __user *uentries;
	struct kvbm_store_entry *page;
	struct kvbm_store_list args;
	int err;
	u32 n;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags || args.reserved)
		return -EOPNOTSUPP;
	page = kcalloc(LIST_PAGE, sizeof(*page), GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;
	uentries = u64_to_user_ptr(args.entries);
	args.done = 0;
	do {
		n = kvbm_dev_list(args.done, page,
				  min_t(u32, LIST_PAGE, args.count - args.done),
				  &args.total);
		if (n && copy_to_user(uentries + args.done, page,
				      n * sizeof(*page)))
			err = -EFAULT;
		args.done += n;
	} while (!err && n && args.done < args.count);
	kfree(page);
	return err ?: kvbm_return(uarg, usize, &args, sizeof(args));
}

static int op_store_info(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_store *st = &f->kd->store;
	struct kvbm_store_info args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags)
		return -EOPNOTSUPP;
	memset(&args, 0, sizeof(args));
	args.size = usize;
	args.flags = (st->cfg.reject ? KVBM_CREATE_REJECT : 0) |
		     (st->cfg.reset ? KVBM_CREATE_RESET : 0);
	args.store_id = st->id;
	args.total_blocks = st->cfg.total;
	args.block_size = st->cfg.block_size;
	args.freq_capacity = st->cfg.freq_capacity;
	memcpy(args.thresholds, st->cfg.thresholds, sizeof(args.thresholds));
	args.max_sessions = st->cfg.max_sessions;
	args.max_held = st->cfg.max_held;
	args.sessions = READ_ONCE(st->nr_sessions);
	args.chunk = KVBM_CHUNK;
	args.memory = st->memory;
	args.session_memory = kvbm_holds_memory(&f->ses);
	args.session_id = f->ses.number;
	strscpy(args.policy, st->cfg.policy->name, sizeof(args.policy));
	memcpy(args.name, f->kd->name, sizeof(args.name));
	return kvbm_return(uarg, usize, &args, sizeof(args));
}

static int op_session_open(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_session_open args;
	struct file *file;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags || args.reserved)
		return -EOPNOTSUPP;
	args.fd = kvbm_session_open_fd(f->kd, &file);
	if (args.fd < 0)
		return args.fd;
	err = kvbm_return(uarg, usize, &args, sizeof(args));
	if (err) {
		put_unused_fd(args.fd);
		fput(file);
		return err;
	}
	fd_install(args.fd, file);
	return 0;
}

static int op_session_config(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_session_config args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags || args.reserved)
		return -EOPNOTSUPP;
	if (!args.low_watermark ||
	    args.low_watermark > f->kd->store.cfg.total)
		return -EINVAL;
	WRITE_ONCE(f->ses.low_watermark, args.low_watermark);
	/* Who polls already looks again with the new mark. */
	wake_up_all(&f->kd->poll_wait);
	return 0;
}

static int op_session_list(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_session_entry __user *uentries;
	struct kvbm_session_entry *page;
	struct kvbm_session_list args;
	int err;
	u32 n;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags || args.reserved)
		return -EOPNOTSUPP;
	if (!kvbm_dev_may_admin(f->kd))
		return -EPERM;
	page = kcalloc(LIST_PAGE, sizeof(*page), GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;
	uentries = u64_to_user_ptr(args.entries);
	args.done = 0;
	do {
		n = kvbm_session_entries(f->kd, args.done, page,
					 min_t(u32, LIST_PAGE,
					       args.count - args.done),
					 &args.total);
		if (n && copy_to_user(uentries + args.done, page,
				      n * sizeof(*page)))
			err = -EFAULT;
		args.done += n;
	} while (!err && n && args.done < args.count);
	kfree(page);
	return err ?: kvbm_return(uarg, usize, &args, sizeof(args));
}

static int op_session_revoke(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_session_revoke args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags)
		return -EOPNOTSUPP;
	if (!kvbm_dev_may_admin(f->kd))
		return -EPERM;
	err = kvbm_session_revoke(f->kd, args.session_id, &args.reclaimed);
	return err ?: kvbm_return(uarg, usize, &args, sizeof(args));
}

static int op_counts(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_counts args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags)
		return -EOPNOTSUPP;
	args.reserved = 0;
	kvbm_store_counts(&f->kd->store, &args);
	return kvbm_return(uarg, usize, &args, sizeof(args));
}

static int op_stats(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_stats args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags)
		return -EOPNOTSUPP;
	memset(&args, 0, sizeof(args));
	args.size = usize;
	kvbm_store_stats(&f->kd->store, &args);
	return kvbm_return(uarg, usize, &args, sizeof(args));
}

static int op_block_info(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_block_info args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags)
		return -EOPNOTSUPP;
	args.reserved = 0;
	err = kvbm_block_info(&f->ses, args.block, &args);
	return err ?: kvbm_return(uarg, usize, &args, sizeof(args));
}

static int op_reset_inactive(struct kvbm_file *f, void __user *uarg, u32 usize)
{
	struct kvbm_reset_inactive args;
	struct kvbm_store *st = &f->kd->store;
	struct kvbm_counts counts;
	int err;
	u32 n;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags || args.reserved)
		return -EOPNOTSUPP;
	kvbm_store_counts(st, &counts);
	args.done = 0;
	do {
		err = READ_ONCE(f->ses.dead);
		if (fatal_signal_pending(current))
			err = -EINTR;
		if (err)
			break;
		n = kvbm_reset_inactive_chunk(st, counts.inactive - args.done);
		args.done += n;
		cond_resched();
	} while (n && args.done < counts.inactive);
	args.flags = kvbm_store_is_reset(st) ? KVBM_RESET_WHOLE : 0;
	return kvbm_return(uarg, usize, &args, sizeof(args)) ?: err;
}

/**
 * kvbm_control_ioctl() - requests on the control device
 * @file: open file
 * @cmd: KVBM_IOC_*
 * @arg: the request's structure
 */
long kvbm_control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	u32 usize;

	if (_IOC_TYPE(cmd) != KVBM_TYPE || cmd != KVBM_IO(_IOC_NR(cmd)))
		return -ENOTTY;
	switch (_IOC_NR(cmd)) {
	case KVBM_OP_FEATURES:
	case KVBM_OP_STORE_CREATE:
	case KVBM_OP_STORE_DESTROY:
	case KVBM_OP_STORE_LIST:
		break;
	default:
		return -ENOTTY;
	}
	/* Every structure begins with its size. */
	if (get_user(usize, (u32 __user *)uarg))
		return -EFAULT;
	switch (_IOC_NR(cmd)) {
	case KVBM_OP_FEATURES:
		return op_features(uarg, usize);
	case KVBM_OP_STORE_CREATE:
		return op_store_create(uarg, usize);
	case KVBM_OP_STORE_DESTROY:
		return op_store_destroy(uarg, usize);
	default:
		return op_store_list(uarg, usize);
	}
}

static long session_request(struct kvbm_file *f, unsigned int op,
			    void __user *uarg, u32 usize)
{
	int err;

	if (op == KVBM_OP_FEATURES)
		return op_features(uarg, usize);
	err = READ_ONCE(f->ses.dead);
	if (err)
		return err;
	switch (op) {
	case KVBM_OP_STORE_INFO:
		return op_store_info(f, uarg, usize);
	case KVBM_OP_SESSION_OPEN:
		return op_session_open(f, uarg, usize);
	case KVBM_OP_SESSION_CONFIG:
		return op_session_config(f, uarg, usize);
	case KVBM_OP_SESSION_LIST:
		return op_session_list(f, uarg, usize);
	case KVBM_OP_SESSION_REVOKE:
		return op_session_revoke(f, uarg, usize);
	case KVBM_OP_COUNTS:
		return op_counts(f, uarg, usize);
	case KVBM_OP_STATS:
		return op_stats(f, uarg, usize);
	case KVBM_OP_BLOCK_INFO:
		return op_block_info(f, uarg, usize);
	default:
		return op_reset_inactive(f, uarg, usize);
	}
}

static bool is_session_request(unsigned int op)
{
	return op == KVBM_OP_FEATURES ||
	       (op >= KVBM_OP_STORE_INFO && op <= KVBM_OP_RESET_INACTIVE);
}

/**
 * kvbm_session_ioctl() - requests on a session
 * @file: open file
 * @cmd: KVBM_IOC_*
 * @arg: the request's structure
 */
long kvbm_session_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvbm_file *f = file->private_data;
	void __user *uarg = (void __user *)arg;
	unsigned int op = _IOC_NR(cmd);
	u32 usize;

	if (unlikely(cmd != KVBM_IO(op)))
		return -ENOTTY;
	if (unlikely(!kvbm_is_data_op(op) && !is_session_request(op)))
		return -ENOTTY;
	/* Every structure begins with its size. */
	if (unlikely(get_user(usize, (u32 __user *)uarg)))
		return -EFAULT;
	if (likely(kvbm_is_data_op(op)))
		return kvbm_data_op(&f->ses, op, uarg, usize, true);
	return session_request(f, op, uarg, usize);
}
