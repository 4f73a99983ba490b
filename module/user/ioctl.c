// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * ioctl.c - requests on both kinds of descriptor; the data path's are in data.c
 *
 * The request is copied in and its flags are checked; its handler writes
 * results into the same structure and copies it out.  A request about a store
 * finds it: on a session it is the session's, on the control device the one
 * that the request names.
 */
#include <linux/build_bug.h>
#include <linux/file.h>
#include <linux/anon_inodes.h>
#include <linux/math64.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "event.h"
#include "usercopy.h"
#include "file.h"
#include "forget.h"
#include "note.h"
#include "ops.h"
#include "trace.h"

/**
 * struct request - one request in progress
 * @f: the session, NULL on the control device
 * @kd: the store that it is about, if any
 * @file: the file that it is made on
 * @session_fops: what files of sessions can do
 * @uarg: the caller's structure
 * @usize: its size as the caller knows it
 * @size: its size as we know it
 * @notes: notes of a page of a listing, if requested
 * @args: our copy
 */
struct request {
	struct kvbm_file *f;
	struct kvbm_dev *kd;
	struct file *file;
	const struct file_operations *session_fops;
	void __user *uarg;
	u32 usize;
	u32 size;
	u64 *notes;
	union {
		struct {
			u32 size;
			u32 flags;
		} common;
		struct {
			u32 size;
			u32 flags;
			u64 store_id;
			char name[KVBM_NAME_LEN];
		} about;
		struct kvbm_features features;
		struct kvbm_store_create store_create;
		struct kvbm_store_destroy store_destroy;
		struct kvbm_store_access store_access;
		struct kvbm_store_list store_list;
		struct kvbm_store_info store_info;
		struct kvbm_session_open session_open;
		struct kvbm_session_config session_config;
		struct kvbm_session_list session_list;
		struct kvbm_session_revoke session_revoke;
		struct kvbm_counts counts;
		struct kvbm_stats stats;
		struct kvbm_block_info block_info;
		struct kvbm_holds holds;
		struct kvbm_reset_inactive reset_inactive;
		struct kvbm_invalidate invalidate;
		struct kvbm_payload payload;
		struct kvbm_export export;
		struct kvbm_events events;
	} args;
};

static int respond(struct request *r)
{
	return kvbm_return(r->uarg, r->usize, &r->args, r->size);
}

static int op_features(struct request *r)
{
	struct kvbm_features *args = &r->args.features;

	*args = (struct kvbm_features) {
		.size = r->usize,
		.features = KVBM_FEATURE_STORE | KVBM_FEATURE_WAIT |
			    KVBM_FEATURE_REVOKE | KVBM_FEATURE_PAYLOAD |
			    KVBM_FEATURE_LINGER | KVBM_FEATURE_EXPORT |
			    KVBM_FEATURE_EVENTS | KVBM_FEATURE_CLAIMS |
			    KVBM_FEATURE_INVALIDATE | KVBM_FEATURE_OFFERS |
			    KVBM_FEATURE_RETENTION |
			    KVBM_FEATURE_NOTES |
			    (IS_ENABLED(CONFIG_IO_URING) ?
			     KVBM_FEATURE_URING : 0),
		.max_blocks = KVBM_MAX_BLOCKS,
		.max_batch = KVBM_MAX_BATCH,
		.max_holds = KVBM_MAX_HOLDS,
		.chunk = KVBM_CHUNK,
		.max_block_size = KVBM_MAX_BLOCK_SIZE,
	};
	return respond(r);
}

/*
 * Return a descriptor in a field of the arguments: the caller gets it only
 * once its number is written.
 */
static int give(struct request *r, int fd, struct file *file)
{
	int err = respond(r);

	if (!err) {
		fd_install(fd, file);
		return 0;
	}
	put_unused_fd(fd);
	fput(file);
	return err;
}

/* A descriptor for a new session, not installed yet, and its file. */
static int open_session(struct kvbm_dev *kd, fmode_t f_mode,
			const struct file_operations *fops, struct file **file)
{
	struct kvbm_file *f;
	int fd, flags;

	/* As open(2) converts them into f_mode. */
	flags = f_mode & FMODE_READ ?
		(f_mode & FMODE_WRITE ? O_RDWR : O_RDONLY) :
		(f_mode & FMODE_WRITE ? O_WRONLY : O_ACCMODE);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	f = kvbm_file_new(kd, f_mode);
	if (IS_ERR(f)) {
		put_unused_fd(fd);
		return PTR_ERR(f);
	}
	*file = anon_inode_getfile("[kvbm]", fops, f, flags | O_CLOEXEC);
	if (IS_ERR(*file)) {
		kvbm_file_end(f);
		put_unused_fd(fd);
		return PTR_ERR(*file);
	}
	return fd;
}

/*
 * Undo the creation of a store whose result cannot be written.  Others may have
 * found it already, and opened or destroyed it.
 */
static void discard(struct kvbm_dev *kd)
{
	struct kvbm_store *st = &kd->store;

	mutex_lock(&st->sessions_lock);
	st->closing = true;
	mutex_unlock(&st->sessions_lock);
	kvbm_dev_unpublish(kd);
	kvbm_sessions_kill(kd, -ENODEV);
	kvbm_ring_end(st);
}

static int op_store_create(struct request *r)
{
	struct kvbm_store_create *args = &r->args.store_create;
	struct kvbm_store_create __user *u = r->uarg;
	struct file *file = NULL;
	struct kvbm_dev *kd;
	int err;

	/* Flags without a meaning yet. */
	if (memchr_inv(args->reserved, 0, sizeof(args->reserved)) ||
	    args->rights & ~(KVBM_RIGHT_RESET_INACTIVE | KVBM_RIGHT_SET_RESET))
		return -EOPNOTSUPP;
	kd = kvbm_dev_create(args);
	if (IS_ERR(kd)) {
		err = PTR_ERR(kd);
		goto need;
	}
	err = kvbm_dev_node(kd);
	if (err)
		goto discard;
	trace_kvbm_create(&kd->store);
	args->store_id = kd->store.id;
	args->fd = -1;
	if (!args->name[0]) {
		args->fd = open_session(kd, FMODE_READ | FMODE_WRITE,
					r->session_fops, &file);
		if (args->fd < 0) {
			err = args->fd;
			goto discard;
		}
	}
	err = file ? give(r, args->fd, file) : respond(r);
	if (!err) {
		kvbm_dev_put(kd);
		return 0;
	}
discard:
	discard(kd);
	kvbm_dev_put(kd);
need:
	if (args->need && put_user(args->need, &u->need))
		return -EFAULT;
	return err;
}

/* No new sessions from now on; true: we are the first to say so. */
static int begin_destroy(struct kvbm_store *st, bool force, bool *first)
{
	int err = 0;

	if (mutex_lock_killable(&st->sessions_lock))
		return -EINTR;
	*first = !st->closing;
	if (st->nr_sessions && !force)
		err = -EBUSY;
	else
		st->closing = true;
	mutex_unlock(&st->sessions_lock);
	return err;
}

static int op_store_destroy(struct request *r)
{
	struct kvbm_store_destroy *args = &r->args.store_destroy;
	bool first;
	int err;

	err = begin_destroy(&r->kd->store, args->flags & KVBM_DESTROY_FORCE,
			    &first);
	if (err)
		return err;
	if (first) {
		trace_kvbm_destroy(&r->kd->store, 0, 0);
		kvbm_dev_unpublish(r->kd);
	}
	err = kvbm_sessions_kill(r->kd, -ENODEV);
	if (!err)
		kvbm_ring_end(&r->kd->store);
	return err;
}

static int op_store_access(struct request *r)
{
	struct kvbm_store_access *args = &r->args.store_access;

	if (args->reserved[0] || args->reserved[1])
		return -EOPNOTSUPP;
	if ((args->uid && !(args->flags & KVBM_ACCESS_UID)) ||
	    (args->gid && !(args->flags & KVBM_ACCESS_GID)) ||
	    (args->mode && !(args->flags & KVBM_ACCESS_MODE)) ||
	    (args->monitor_gid && !(args->flags & KVBM_ACCESS_MONITOR)))
		return -EINVAL;
	return kvbm_dev_set_access(r->kd, args);
}

/* Listings go out a page at a time. */
#define LIST_PAGE	16

/**
 * struct listing - a listing in progress
 * @count: entries in the caller's array
 * @done: out: entries written
 * @entry_size: bytes from one of the caller's entries to the next
 * @size: bytes of our entry
 * @cursor: in and out: the last one listed
 * @to: the caller's array
 * @notes: the caller's array of notes, or 0
 * @note_bytes: bytes of each note
 */
struct listing {
	u32 count;
	u32 done;
	u32 entry_size;
	size_t size;
	u64 cursor;
	u64 to;
	u64 notes;
	u32 note_bytes;
};

/* Write @n notes for the entries from @done on. */
static int tell_notes(const struct listing *l, const u64 *notes, u32 n)
{
	u8 __user *to = u64_to_user_ptr(l->notes +
					(u64)l->done * l->note_bytes);

	for (; n--; notes += kvbm_note_words(l->note_bytes), to += l->note_bytes)
		if (copy_to_user(to, notes, l->note_bytes))
			return -EFAULT;
	return 0;
}

static int tell_entries(struct listing *l, const void *page, u32 n)
{
	size_t size = min_t(size_t, l->size, l->entry_size);
	void __user *to = u64_to_user_ptr(l->to +
					  (u64)l->done * l->entry_size);

	for (; n--; l->done++, page += l->size, to += l->entry_size)
		if (copy_to_user(to, page, size) ||
		    clear_user(to + size, l->entry_size - size))
			return -EFAULT;
	return 0;
}

/* Stop if the session was ended meanwhile, or the process killed. */
static int go_on(struct request *r)
{
	int err = r->f ? READ_ONCE(r->f->ses.dead) : 0;

	cond_resched();
	return err ?: fatal_signal_pending(current) ? -EINTR : 0;
}

/*
 * @fill: writes up to n entries behind the cursor, which it advances; returns
 *	how many,
 * or -EAGAIN: none in this part.
 */
static int list_entries(struct request *r, struct listing *l,
			int (*fill)(struct request *r, u64 *cursor, void *page,
				    u32 n))
{
	void *page;
	u64 cursor;
	int n, err = 0;

	if (l->count && (!l->entry_size || l->entry_size % 8 ||
			 l->entry_size > PAGE_SIZE))
		return -EINVAL;
	page = kcalloc(LIST_PAGE, l->size, GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;
	do {
		cursor = l->cursor;
		n = fill(r, &cursor, page,
			 min_t(u32, LIST_PAGE, l->count - l->done));
		if (n > 0 && l->notes)
			err = tell_notes(l, r->notes, n);
		if (n > 0 && !err)
			err = tell_entries(l, page, n);
		if (err)
			break;
		l->cursor = cursor;
		err = go_on(r);
	} while (!err && n && l->done < l->count);
	kfree(page);
	return err;
}

#define LISTING(args, type) {						\
	.count = (args)->count,						\
	.entry_size = (args)->entry_size,				\
	.size = sizeof(type),						\
	.cursor = (args)->cursor,					\
	.to = (args)->entries,						\
}

static int fill_stores(struct request *r, u64 *cursor, void *page, u32 n)
{
	return kvbm_dev_list(cursor, page, n, &r->args.store_list.total);
}

static int op_store_list(struct request *r)
{
	struct kvbm_store_list *args = &r->args.store_list;
	struct listing l = LISTING(args, struct kvbm_store_entry);
	int err = list_entries(r, &l, fill_stores);

	args->done = l.done;
	args->cursor = l.cursor;
	return err ?: respond(r);
}

static int op_store_info(struct request *r)
{
	struct kvbm_store_info *args = &r->args.store_info;
	struct kvbm_store *st = &r->kd->store;

	*args = (struct kvbm_store_info) {
		.size = r->usize,
		.flags = (st->cfg.reject ? KVBM_CREATE_REJECT : 0) |
			 (st->cfg.reset ? KVBM_CREATE_RESET : 0) |
			 (st->cfg.opaque ? KVBM_CREATE_OPAQUE : 0) |
			 (st->cfg.keep_blocks ? KVBM_CREATE_RETENTION : 0) |
			 (r->kd->payload ? KVBM_CREATE_PAYLOAD : 0),
		.store_id = st->id,
		.total_blocks = st->cfg.total,
		.block_size = st->cfg.block_size,
		.freq_capacity = st->cfg.freq_capacity,
		.max_sessions = st->cfg.max_sessions,
		.max_held = st->cfg.max_held,
		.chunk = KVBM_CHUNK,
		.memory = st->memory,
		.block_bytes = r->kd->block_bytes,
		.linger_ms = div_u64(r->kd->linger.ns, NSEC_PER_MSEC),
		.event_records = st->cfg.event_records,
		.keep_blocks = st->cfg.keep_blocks,
		.keep_user_blocks = st->cfg.keep_user_blocks,
		.note_bytes = st->cfg.note_bytes,
	};
	memcpy(args->thresholds, st->cfg.thresholds, sizeof(args->thresholds));
	strscpy(args->policy, st->cfg.policy->name, sizeof(args->policy));
	kvbm_dev_info(r->kd, args);
	if (r->kd->payload) {
		struct kvbm_payload p = {};

		kvbm_payload_info(r->kd, &p);
		args->page_bytes = p.page_bytes;
		args->resident = p.resident;
	}
	mutex_lock(&st->sessions_lock);
	args->sessions = st->nr_sessions;
	args->revoked = st->nr_listed - st->nr_sessions;
	mutex_unlock(&st->sessions_lock);
	if (r->f) {
		args->session_memory = kvbm_holds_memory(&r->f->ses);
		args->session_id = r->f->ses.number;
	}
	return respond(r);
}

static int op_session_open(struct request *r)
{
	struct kvbm_session_open *args = &r->args.session_open;
	struct file *file;

	if (args->reserved)
		return -EOPNOTSUPP;
	args->fd = open_session(r->kd, r->file->f_mode, r->session_fops,
				&file);
	if (args->fd < 0)
		return args->fd;
	return give(r, args->fd, file);
}

static int op_session_config(struct request *r)
{
	struct kvbm_session_config *args = &r->args.session_config;
	int err;

	if (args->reserved)
		return -EOPNOTSUPP;
	err = kvbm_poll_config(&r->f->ses, args->low_watermark);
	/* Existing pollers look again with the new mark. */
	if (!err)
		kvbm_poll_wake(r->f, KVBM_CHUNK);
	return err;
}

static int fill_sessions(struct request *r, u64 *cursor, void *page, u32 n)
{
	return kvbm_session_entries(r->kd, cursor, page, n,
				    &r->args.session_list.total);
}

static int op_session_list(struct request *r)
{
	struct kvbm_session_list *args = &r->args.session_list;
	struct listing l = LISTING(args, struct kvbm_session_entry);
	int err = list_entries(r, &l, fill_sessions);

	args->done = l.done;
	args->cursor = l.cursor;
	return err ?: respond(r);
}

static int op_session_revoke(struct request *r)
{
	struct kvbm_session_revoke *args = &r->args.session_revoke;
	int err;

	if (args->reserved32 || args->reserved)
		return -EOPNOTSUPP;
	err = kvbm_session_revoke(r->kd, args);
	return err ?: respond(r);
}

static int op_counts(struct request *r)
{
	struct kvbm_counts *args = &r->args.counts;

	args->store_id = r->kd->store.id;
	args->reserved = 0;
	kvbm_store_counts(&r->kd->store, args);
	return respond(r);
}

static int op_stats(struct request *r)
{
	struct kvbm_stats *args = &r->args.stats;
	int err;

	*args = (struct kvbm_stats) {
		.size = r->usize,
		.store_id = r->kd->store.id,
	};
	err = kvbm_store_stats(&r->kd->store, args);
	return err ?: respond(r);
}

/* When a rank expires, as the same caller would give it to KEEP; 0: never. */
static u64 keep_until(u64 ns)
{
	return ns ? kvbm_caller_ns(ns, KVBM_CLOCK_BOOTTIME) ?: 1 : 0;
}

static int op_block_info(struct request *r)
{
	struct kvbm_block_info *args = &r->args.block_info;
	u32 note_bytes = r->kd->store.cfg.note_bytes;
	u64 note[KVBM_NOTE_WORDS] __uninitialized;
	int err;

	args->reserved32 = 0;
	if (args->note && !note_bytes)
		return -EINVAL;
	err = kvbm_block_info(&r->f->ses, args->block,
			      args->flags & KVBM_BLOCK_OWN, args,
			      args->note ? note : NULL);
	if (!err)
		args->keep_until_ns = keep_until(args->keep_until_ns);
	if (!err && !r->f->writable && !args->own_holds)
		err = -EPERM;
	if (!err && args->note &&
	    copy_to_user(u64_to_user_ptr(args->note), note, note_bytes))
		err = -EFAULT;
	return err ?: respond(r);
}

static int fill_holds(struct request *r, u64 *cursor, void *page, u32 n)
{
	struct kvbm_session *ses = &r->f->ses;
	u32 got, from, total = r->kd->store.cfg.total;

	spin_lock(&ses->lock);
	r->args.holds.total = ses->held;
	spin_unlock(&ses->lock);
	if (*cursor >= total || !n)
		return 0;
	from = *cursor;
	got = kvbm_holds_entries(ses, &from, page, n);
	*cursor = from;
	return got ?: -EAGAIN;
}

static int op_holds(struct request *r)
{
	struct kvbm_holds *args = &r->args.holds;
	struct listing l = LISTING(args, struct kvbm_hold_entry);
	int err = list_entries(r, &l, fill_holds);

	args->done = l.done;
	args->cursor = l.cursor;
	return err ?: respond(r);
}

static int op_reset_inactive(struct request *r)
{
	struct kvbm_reset_inactive *args = &r->args.reset_inactive;
	struct kvbm_store *st = &r->kd->store;
	struct kvbm_counts counts;
	int err;
	u32 n;

	if (args->reserved)
		return -EOPNOTSUPP;
	kvbm_store_counts(st, &counts);
	args->done = 0;
	do {
		err = r->f ? READ_ONCE(r->f->ses.dead) : 0;
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

static int invalidate_all(struct request *r, struct kvbm_forgotten *f)
{
	struct kvbm_store *st = &r->kd->store;
	u32 from = 0;
	int err = 0;

	kvbm_forget_epoch(st);
	while (!err && kvbm_forget_some(st, &from, f))
		err = go_on(r);
	return err;
}

static int invalidate_prefixes(struct request *r, struct kvbm_forgotten *f)
{
	struct kvbm_invalidate *args = &r->args.invalidate;
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(args->hashes);
	struct kvbm_store *st = &r->kd->store;
	int err = 0;

	if (st->cfg.opaque)
		return -EOPNOTSUPP;
	for (; args->done < args->count && !err; args->done++) {
		struct kvbm_hash key;

		if (copy_from_user(&key, uhashes + args->done, sizeof(key)))
			return -EFAULT;
		if (!kvbm_hash_fits(st, &key))
			return -EINVAL;
		err = kvbm_forget_prefix(st, &key, f);
		if (err)
			break;
		err = go_on(r);
	}
	return err;
}

static noinline_for_stack int
invalidate_hashes(struct request *r, struct kvbm_forgotten *f)
{
	struct kvbm_invalidate *args = &r->args.invalidate;
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(args->hashes);
	struct kvbm_hash keys[KVBM_CHUNK] __uninitialized;
	int err = 0;

	while (args->done < args->count && !err) {
		u32 n = min(args->count - args->done, KVBM_CHUNK);

		if (copy_from_user(keys, uhashes + args->done,
				   n * sizeof(keys[0])))
			return -EFAULT;
		args->done += kvbm_forget_chunk(&r->kd->store, keys, n, f);
		err = go_on(r);
	}
	return err;
}

static int op_invalidate(struct request *r)
{
	struct kvbm_invalidate *args = &r->args.invalidate;
	struct kvbm_forgotten f = { .session = r->f ? r->f->ses.number : 0 };
	int err;

	if (args->reserved)
		return -EOPNOTSUPP;
	if (args->count > KVBM_MAX_BATCH)
		return -EINVAL;
	args->done = 0;
	switch (args->flags) {
	case 0:
		err = invalidate_hashes(r, &f);
		break;
	case KVBM_INVALIDATE_PREFIX:
		err = invalidate_prefixes(r, &f);
		break;
	case KVBM_INVALIDATE_ALL:
		err = args->count ? -EINVAL : invalidate_all(r, &f);
		break;
	default:
		return -EINVAL;
	}
	args->idle = f.idle;
	args->held = f.held;
	return respond(r) ?: err;
}

static int op_payload(struct request *r)
{
	struct kvbm_payload *args = &r->args.payload;
	bool read_only = args->flags & KVBM_PAYLOAD_RDONLY;
	struct file *file;

	if (args->reserved)
		return -EOPNOTSUPP;
	if (read_only && !(args->flags & KVBM_PAYLOAD_FD))
		return -EINVAL;
	if (!r->kd->payload)
		return -ENODATA;
	kvbm_payload_info(r->kd, args);
	args->fd = -1;
	if (!(args->flags & KVBM_PAYLOAD_FD))
		return respond(r);
	args->fd = kvbm_payload_open(r->kd, read_only, &file);
	if (args->fd < 0)
		return args->fd;
	return give(r, args->fd, file);
}

static int fill_export(struct request *r, u64 *cursor, void *page, u32 n)
{
	struct kvbm_store *st = &r->kd->store;
	struct kvbm_export_entry *e = page;
	u32 got, from, i;

	r->args.export.total = READ_ONCE(st->nr_registered);
	if (*cursor >= st->cfg.total || !n)
		return 0;
	from = *cursor;
	got = kvbm_export_chunk(st, &from, e, r->notes, n);
	for (i = 0; i < got; i++)
		e[i].keep_until_ns = keep_until(e[i].keep_until_ns);
	*cursor = from;
	return got ?: -EAGAIN;
}

static int op_export(struct request *r)
{
	struct kvbm_export *args = &r->args.export;
	struct listing l = LISTING(args, struct kvbm_export_entry);
	int err;

	if (args->notes) {
		l.notes = args->notes;
		l.note_bytes = r->kd->store.cfg.note_bytes;
		if (!l.note_bytes)
			return -EINVAL;
		r->notes = kcalloc(LIST_PAGE * kvbm_note_words(l.note_bytes),
				   sizeof(*r->notes), GFP_KERNEL_ACCOUNT);
		if (!r->notes)
			return -ENOMEM;
	}
	err = list_entries(r, &l, fill_export);
	kfree(r->notes);
	args->done = l.done;
	args->cursor = l.cursor;
	args->sequence = r->kd->store.ring ?
			 READ_ONCE(r->kd->store.ring->head) - 1 : 0;
	return err ?: respond(r);
}

static int op_events(struct request *r)
{
	struct kvbm_events *args = &r->args.events;
	struct kvbm_access access;
	bool privileged;
	struct file *file;

	if (args->fd || args->records || args->record_size ||
	    args->reserved[0] || args->reserved[1])
		return -EOPNOTSUPP;
	if (!(r->file->f_mode & FMODE_READ))
		return -EBADF;
	access = kvbm_dev_access(r->kd);
	privileged = uid_eq(current_fsuid(), access.uid) ||
		     kvbm_capable(CAP_SYS_ADMIN);
	args->fd = kvbm_events_open(r->kd, privileged, args, &file);
	if (args->fd < 0)
		return args->fd;
	return give(r, args->fd, file);
}

/* Permission on each kind of descriptor: see ops.def. */
enum on_control {
	CONTROL_NO,
	CONTROL_ITSELF,
	CONTROL_STORE,		/* from here on it names a store */
	CONTROL_READER,
	CONTROL_OPENER,
	CONTROL_ADMIN,
};

enum on_session {
	SESSION_NO,
	SESSION_YES,
	SESSION_ADMIN,
	SESSION_ALWAYS,
};

/* Structures that name a store do so in one place. */
#define NAMES_NONE(_what)	0
#define NAMES_ONE(_what)						\
	BUILD_BUG_ON_ZERO(offsetof(struct kvbm_##_what, store_id) != 8 || \
			  offsetof(struct kvbm_##_what, name) != 16)
#define NAMES_NO	NAMES_NONE
#define NAMES_ITSELF	NAMES_NONE
#define NAMES_STORE	NAMES_ONE
#define NAMES_READER	NAMES_ONE
#define NAMES_OPENER	NAMES_ONE
#define NAMES_ADMIN	NAMES_ONE

static const struct request_type {
	u32 size;
	u32 flags;
	enum on_control control;
	enum on_session session;
	int (*run)(struct request *r);
} request_types[] = {
#define KVBM_REQUEST(_op, _what, _flags, _control, _session, ...)	\
	[KVBM_OP_##_op] = {						\
		.size = sizeof(struct kvbm_##_what) +			\
			BUILD_BUG_ON_ZERO(offsetof(struct kvbm_##_what,	\
						   flags) != 4) +	\
			NAMES_##_control(_what),			\
		.flags = _flags,					\
		.control = CONTROL_##_control,				\
		.session = SESSION_##_session,				\
		.run = op_##_what,					\
	},
#include "ops.def"
};

static bool names_store(const struct request_type *type)
{
	return type->control >= CONTROL_STORE;
}

/* Find the request's store, with a reference, and check permission. */
static int find_store(struct request *r, const struct request_type *type)
{
	struct kvbm_access access;
	int err = 0;

	if (r->f) {
		r->kd = r->f->kd;
		if (names_store(type) &&
		    (r->args.about.store_id ||
		     memchr_inv(r->args.about.name, 0, KVBM_NAME_LEN)))
			return -EINVAL;
		if (type->session != SESSION_ADMIN)
			return 0;
		access = kvbm_dev_access(r->kd);
		return kvbm_access_admin(&access) ? 0 : -EPERM;
	}
	if (!names_store(type))
		return 0;
	r->kd = kvbm_dev_find(r->args.about.store_id, r->args.about.name);
	if (IS_ERR(r->kd))
		return PTR_ERR(r->kd);
	access = kvbm_dev_access(r->kd);
	if ((type->control == CONTROL_ADMIN && !kvbm_access_admin(&access)) ||
	    (type->control == CONTROL_READER && !kvbm_access_read(&access)) ||
	    (type->control == CONTROL_OPENER && !kvbm_access_open(&access)))
		err = -EPERM;
	if (err)
		kvbm_dev_put(r->kd);
	return err;
}

static int run_request(struct request *r, const struct request_type *type)
{
	int err;

	r->size = type->size;
	err = kvbm_fetch(&r->args, type->size, type->size, r->uarg, r->usize);
	if (err)
		return err;
	if (r->args.common.flags & ~type->flags)
		return -EOPNOTSUPP;
	err = find_store(r, type);
	if (err)
		return err;
	err = type->run(r);
	if (!r->f && names_store(type))
		kvbm_dev_put(r->kd);
	return err;
}

/* Every structure begins with its size. */
static noinline_for_stack int
session_request(struct file *file, const struct request_type *type,
		void __user *uarg)
{
	struct request r = {
		.f = file->private_data,
		.file = file,
		.session_fops = file->f_op,
		.uarg = uarg,
	};

	if (get_user(r.usize, (u32 __user *)uarg))
		return -EFAULT;
	return run_request(&r, type);
}

/* The compiler warns about numbers of the header that ops.def lacks. */
static bool is_op(enum kvbm_op op)
{
	switch (op) {
#define KVBM_OP(_op, ...)						\
	case KVBM_OP_##_op:
#include "ops.def"
		return true;
	}
	return false;
}

static const struct request_type *find_type(unsigned int op)
{
	if (!is_op(op) || op >= ARRAY_SIZE(request_types))
		return NULL;
	op = array_index_nospec(op, ARRAY_SIZE(request_types));
	return request_types[op].run ? &request_types[op] : NULL;
}

/**
 * kvbm_control_request() - requests on the control device
 * @file: open file
 * @cmd: KVBM_IOC_*
 * @arg: the request's structure
 * @session_fops: what files of sessions can do
 */
long kvbm_control_request(struct file *file, unsigned int cmd,
			  unsigned long arg,
			  const struct file_operations *session_fops)
{
	struct request r = {
		.file = file,
		.session_fops = session_fops,
		.uarg = (void __user *)arg,
	};
	unsigned int op = _IOC_NR(cmd);
	const struct request_type *type = find_type(op);

	if (cmd != KVBM_IO(op) || !type || type->control == CONTROL_NO)
		return -ENOTTY;
	if (!(kvbm_ops_reading() & BIT_ULL(op)) &&
	    !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (get_user(r.usize, (u32 __user *)r.uarg))
		return -EFAULT;
	return run_request(&r, type);
}

/**
 * kvbm_session_request() - requests on a session
 * @file: open file
 * @cmd: KVBM_IOC_*
 * @arg: the request's structure
 */
long kvbm_session_request(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct kvbm_file *f = file->private_data;
	void __user *uarg = (void __user *)arg;
	const struct request_type *type;
	unsigned int op = _IOC_NR(cmd);
	u32 usize;
	int err;

	if (unlikely(cmd != KVBM_IO(op)))
		return -ENOTTY;
	if (likely(kvbm_is_data_op(op))) {
		err = kvbm_file_enter(f, op);
		if (unlikely(err))
			return err;
		/* Every structure begins with its size. */
		if (unlikely(get_user(usize, (u32 __user *)uarg)))
			return -EFAULT;
		return kvbm_data_op(&f->ses, op, uarg, usize, true, file);
	}
	type = find_type(op);
	if (!type || type->session == SESSION_NO)
		return -ENOTTY;
	err = kvbm_file_enter(f, op);
	if (err)
		return err;
	/* FEATURES works on an ended session too. */
	err = READ_ONCE(f->ses.dead);
	if (err && type->session != SESSION_ALWAYS)
		return err;
	return session_request(file, type, uarg);
}
