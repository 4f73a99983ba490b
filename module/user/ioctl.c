// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * ioctl.c - the two descriptors' requests; the data path's are in data.c
 *
 * A request is fetched, its flags are checked, its handler answers into the same
 * structure and sends it back.
 */
#include <linux/build_bug.h>
#include <linux/file.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "usercopy.h"
#include "file.h"

/**
 * struct request - one request under way
 * @f: the session, NULL on the control device
 * @uarg: the caller's structure
 * @usize: as much of it as the caller knows
 * @size: as much of it as we know
 * @args: our copy
 */
struct request {
	struct kvbm_file *f;
	void __user *uarg;
	u32 usize;
	u32 size;
	union {
		struct {
			u32 size;
			u32 flags;
		} common;
		struct kvbm_features features;
		struct kvbm_store_create store_create;
		struct kvbm_store_destroy store_destroy;
		struct kvbm_store_list store_list;
		struct kvbm_store_info store_info;
		struct kvbm_session_open session_open;
		struct kvbm_session_config session_config;
		struct kvbm_session_list session_list;
		struct kvbm_session_revoke session_revoke;
		struct kvbm_counts counts;
		struct kvbm_stats stats;
		struct kvbm_block_info block_info;
		struct kvbm_reset_inactive reset_inactive;
	} args;
};

static int respond(struct request *r)
{
	return kvbm_return(r->uarg, r->usize, &r->args, r->size);
}

static int op_features(struct request *r)
{
	struct kvbm_features *args = &r->args.features;

	args->features = KVBM_FEATURE_STORE | KVBM_FEATURE_WAIT |
			 KVBM_FEATURE_REVOKE;
	if (IS_ENABLED(CONFIG_IO_URING))
		args->features |= KVBM_FEATURE_URING;
	args->max_blocks = KVBM_MAX_BLOCKS;
	args->max_batch = KVBM_MAX_BATCH;
	args->max_holds = KVBM_MAX_HOLDS;
	args->chunk = KVBM_CHUNK;
	return respond(r);
}

static bool all_zero(const u64 *v, u32 n)
{
	while (n--)
		if (v[n])
			return false;
	return true;
}

static int op_store_create(struct request *r)
{
	struct kvbm_store_create *args = &r->args.store_create;
	struct file *file = NULL;
	struct kvbm_dev *kd;
	int err;

	if (!all_zero(args->reserved, ARRAY_SIZE(args->reserved)))
		return -EOPNOTSUPP;
	kd = kvbm_dev_create(args);
	if (IS_ERR(kd))
		return PTR_ERR(kd);
	args->store_id = kd->store.id;
	args->fd = -1;
	if (!args->name[0]) {
		args->fd = kvbm_session_open_fd(kd, &file);
		if (args->fd < 0) {
			err = args->fd;
			goto discard;
		}
	}
	/* The descriptor is the caller's only once its number is told. */
	err = respond(r);
	if (!err) {
		if (file)
			fd_install(args->fd, file);
		kvbm_dev_put(kd);
		return 0;
	}
	if (file) {
		put_unused_fd(args->fd);
		fput(file);
	}
discard:
	kvbm_dev_discard(kd);
	kvbm_dev_put(kd);
	return err;
}

static int op_store_destroy(struct request *r)
{
	struct kvbm_store_destroy *args = &r->args.store_destroy;

	if (strnlen(args->name, sizeof(args->name)) == sizeof(args->name))
		return -EINVAL;
	return kvbm_dev_destroy(args->name, args->flags & KVBM_DESTROY_FORCE);
}

/* Listings go out a page at a time. */
#define LIST_PAGE	16

/* @fill: up to n entries from one on, returns how many there were. */
static int list_entries(struct request *r, u64 entries, size_t size, u32 count,
			u32 *done,
			u32 (*fill)(struct request *r, u32 from, void *page,
				    u32 n))
{
	void __user *to = u64_to_user_ptr(entries);
	int err = 0;
	void *page;
	u32 n;

	page = kcalloc(LIST_PAGE, size, GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;
	*done = 0;
	do {
		n = fill(r, *done, page, min_t(u32, LIST_PAGE, count - *done));
		if (n && copy_to_user(to + *done * size, page, n * size))
			err = -EFAULT;
		*done += n;
	} while (!err && n && *done < count);
	kfree(page);
	return err ?: respond(r);
}

static u32 fill_stores(struct request *r, u32 from, void *page, u32 n)
{
	return kvbm_dev_list(from, page, n, &r->args.store_list.total);
}

static int op_store_list(struct request *r)
{
	struct kvbm_store_list *args = &r->args.store_list;

	if (args->reserved)
		return -EOPNOTSUPP;
	return list_entries(r, args->entries, sizeof(struct kvbm_store_entry),
			    args->count, &args->done, fill_stores);
}

static int op_store_info(struct request *r)
{
	struct kvbm_store *st = &r->f->kd->store;
	struct kvbm_store_info *args = &r->args.store_info;

	memset(args, 0, sizeof(*args));
	args->size = r->usize;
	args->flags = (st->cfg.reject ? KVBM_CREATE_REJECT : 0) |
		      (st->cfg.reset ? KVBM_CREATE_RESET : 0);
	args->store_id = st->id;
	args->total_blocks = st->cfg.total;
	args->block_size = st->cfg.block_size;
	args->freq_capacity = st->cfg.freq_capacity;
	memcpy(args->thresholds, st->cfg.thresholds, sizeof(args->thresholds));
	args->max_sessions = st->cfg.max_sessions;
	args->max_held = st->cfg.max_held;
	args->sessions = READ_ONCE(st->nr_sessions);
	args->chunk = KVBM_CHUNK;
	args->memory = st->memory;
	args->session_memory = kvbm_holds_memory(&r->f->ses);
	args->session_id = r->f->ses.number;
	strscpy(args->policy, st->cfg.policy->name, sizeof(args->policy));
	memcpy(args->name, r->f->kd->name, sizeof(args->name));
	return respond(r);
}

static int op_session_open(struct request *r)
{
	struct kvbm_session_open *args = &r->args.session_open;
	struct file *file;
	int err;

	if (args->reserved)
		return -EOPNOTSUPP;
	args->fd = kvbm_session_open_fd(r->f->kd, &file);
	if (args->fd < 0)
		return args->fd;
	err = respond(r);
	if (err) {
		put_unused_fd(args->fd);
		fput(file);
		return err;
	}
	fd_install(args->fd, file);
	return 0;
}

static int op_session_config(struct request *r)
{
	struct kvbm_session_config *args = &r->args.session_config;

	if (args->reserved)
		return -EOPNOTSUPP;
	if (!args->low_watermark ||
	    args->low_watermark > r->f->kd->store.cfg.total)
		return -EINVAL;
	WRITE_ONCE(r->f->ses.low_watermark, args->low_watermark);
	/* Who polls already looks again with the new mark. */
	wake_up_all(&r->f->kd->poll_wait);
	return 0;
}

static u32 fill_sessions(struct request *r, u32 from, void *page, u32 n)
{
	return kvbm_session_entries(r->f->kd, from, page, n,
				    &r->args.session_list.total);
}

static int op_session_list(struct request *r)
{
	struct kvbm_session_list *args = &r->args.session_list;

	if (args->reserved)
		return -EOPNOTSUPP;
	if (!kvbm_dev_may_admin(r->f->kd))
		return -EPERM;
	return list_entries(r, args->entries, sizeof(struct kvbm_session_entry),
			    args->count, &args->done, fill_sessions);
}

static int op_session_revoke(struct request *r)
{
	struct kvbm_session_revoke *args = &r->args.session_revoke;
	int err;

	if (!kvbm_dev_may_admin(r->f->kd))
		return -EPERM;
	err = kvbm_session_revoke(r->f->kd, args->session_id, &args->reclaimed);
	return err ?: respond(r);
}

static int op_counts(struct request *r)
{
	struct kvbm_counts *args = &r->args.counts;

	args->reserved = 0;
	kvbm_store_counts(&r->f->kd->store, args);
	return respond(r);
}

static int op_stats(struct request *r)
{
	struct kvbm_stats *args = &r->args.stats;

	memset(args, 0, sizeof(*args));
	args->size = r->usize;
	kvbm_store_stats(&r->f->kd->store, args);
	return respond(r);
}

static int op_block_info(struct request *r)
{
	struct kvbm_block_info *args = &r->args.block_info;
	int err;

	args->reserved = 0;
	err = kvbm_block_info(&r->f->ses, args->block, args);
	return err ?: respond(r);
}

static int op_reset_inactive(struct request *r)
{
	struct kvbm_reset_inactive *args = &r->args.reset_inactive;
	struct kvbm_store *st = &r->f->kd->store;
	struct kvbm_counts counts;
	int err;
	u32 n;

	if (args->reserved)
		return -EOPNOTSUPP;
	kvbm_store_counts(st, &counts);
	args->done = 0;
	do {
		err = READ_ONCE(r->f->ses.dead);
		if (fatal_signal_pending(current))
			err = -EINTR;
		if (err)
			break;
		n = kvbm_reset_inactive_chunk(st, counts.inactive - args->done);
		args->done += n;
		cond_resched();
	} while (n && args->done < counts.inactive);
	args->flags = kvbm_store_is_reset(st) ? KVBM_RESET_WHOLE : 0;
	return respond(r) ?: err;
}

/* What there is: the size of the structure, the flags that it may have. */
static const struct request_type {
	u32 size;
	u32 flags;
	int (*run)(struct request *r);
} request_types[] = {
#define REQUEST(op, name, known)					\
	[op] = {							\
		.size = sizeof(struct kvbm_##name) +			\
			BUILD_BUG_ON_ZERO(offsetof(struct kvbm_##name,	\
						   flags) != 4),	\
		.flags = known,						\
		.run = op_##name,					\
	}
	REQUEST(KVBM_OP_FEATURES, features, 0),
	REQUEST(KVBM_OP_STORE_CREATE, store_create,
		KVBM_CREATE_REJECT | KVBM_CREATE_RESET),
	REQUEST(KVBM_OP_STORE_DESTROY, store_destroy, KVBM_DESTROY_FORCE),
	REQUEST(KVBM_OP_STORE_LIST, store_list, 0),
	REQUEST(KVBM_OP_STORE_INFO, store_info, 0),
	REQUEST(KVBM_OP_SESSION_OPEN, session_open, 0),
	REQUEST(KVBM_OP_SESSION_CONFIG, session_config, 0),
	REQUEST(KVBM_OP_SESSION_LIST, session_list, 0),
	REQUEST(KVBM_OP_SESSION_REVOKE, session_revoke, 0),
	REQUEST(KVBM_OP_COUNTS, counts, 0),
	REQUEST(KVBM_OP_STATS, stats, 0),
	REQUEST(KVBM_OP_BLOCK_INFO, block_info, 0),
	REQUEST(KVBM_OP_RESET_INACTIVE, reset_inactive, 0),
#undef REQUEST
};

static noinline_for_stack int run_request(struct kvbm_file *f, unsigned int op,
					  void __user *uarg, u32 usize)
{
	const struct request_type *type;
	struct request r = { .f = f, .uarg = uarg, .usize = usize };
	int err;

	type = &request_types[array_index_nospec(op, ARRAY_SIZE(request_types))];
	r.size = type->size;
	err = kvbm_fetch(&r.args, type->size, type->size, uarg, usize);
	if (err)
		return err;
	if (r.args.common.flags & ~type->flags)
		return -EOPNOTSUPP;
	return type->run(&r);
}

static bool is_control_request(unsigned int op)
{
	return op == KVBM_OP_FEATURES || op == KVBM_OP_STORE_CREATE ||
	       op == KVBM_OP_STORE_DESTROY || op == KVBM_OP_STORE_LIST;
}

static bool is_session_request(unsigned int op)
{
	return op == KVBM_OP_FEATURES ||
	       (op >= KVBM_OP_STORE_INFO && op <= KVBM_OP_RESET_INACTIVE);
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
	unsigned int op = _IOC_NR(cmd);
	u32 usize;

	if (cmd != KVBM_IO(op) || !is_control_request(op))
		return -ENOTTY;
	/* Every structure begins with its size. */
	if (get_user(usize, (u32 __user *)uarg))
		return -EFAULT;
	return run_request(NULL, op, uarg, usize);
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
	int err;

	if (unlikely(cmd != KVBM_IO(op)))
		return -ENOTTY;
	if (unlikely(!kvbm_is_data_op(op) && !is_session_request(op)))
		return -ENOTTY;
	/* Every structure begins with its size. */
	if (unlikely(get_user(usize, (u32 __user *)uarg)))
		return -EFAULT;
	if (likely(kvbm_is_data_op(op)))
		return kvbm_data_op(&f->ses, op, uarg, usize, true);
	/* A session that ended still says what the module can do. */
	err = READ_ONCE(f->ses.dead);
	if (err && op != KVBM_OP_FEATURES)
		return err;
	return run_request(f, op, uarg, usize);
}
