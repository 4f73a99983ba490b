// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * session.c - open files: a session's beginning, its end, and its revocation
 *
 * The last reference to the file ends the session, before close(2) returns or
 * the process can be reaped.  No call of the session can be under way then.  Its
 * blocks must not be handed on while a device of the same process still writes
 * into them, so the end comes after the ->release of every file that the same
 * exit, exec or close_range closes: see struct kvbm_file's companion.
 *
 * A revocation may come at any time: it
 * marks the session dead under the session's lock, which every chunk of every
 * call looks at, takes everything, and waits for allocations under way, whose
 * blocks are in no hold table yet.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/wait_bit.h>
#include "compat.h"
#include "file.h"

static void file_free(struct kref *ref)
{
	struct kvbm_file *f = container_of(ref, struct kvbm_file, ref);

	kvbm_holds_free(&f->ses);
	put_pid(f->pid);
	kvbm_dev_put(f->kd);
	kvfree(f);
}

static void file_put(struct kvbm_file *f)
{
	kref_put(&f->ref, file_free);
}

static int companion_release(struct inode *inode, struct file *file)
{
	struct kvbm_file *f = file->private_data;

	kvbm_session_exit(&f->ses);
	file_put(f);
	return 0;
}

static const struct file_operations companion_fops = {
	.owner = THIS_MODULE,
	.release = companion_release,
};

static struct kvbm_file *file_new(struct kvbm_dev *kd)
{
	struct kvbm_file *f;
	int err;

	f = kvzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return ERR_PTR(-ENOMEM);
	kref_init(&f->ref);
	f->pid = get_pid(task_tgid(current));
	f->uid = current_uid();
	f->opened_ns = ktime_get_boottime_ns();
	get_task_comm(f->comm, current->group_leader);
	kref_get(&kd->ref);
	f->kd = kd;
	err = kvbm_session_init(&f->ses, &kd->store);
	if (err)
		goto put;
	f->companion = anon_inode_getfile("[kvbm-end]", &companion_fops, f,
					  O_RDONLY);
	if (IS_ERR(f->companion)) {
		err = PTR_ERR(f->companion);
		kvbm_session_exit(&f->ses);
		goto put;
	}
	return f;

put:
	file_put(f);
	return ERR_PTR(err);
}

/**
 * kvbm_session_open() - open(2) of a store's node
 * @kd: the store
 * @file: the new file; takes its session into private_data
 *
 * Return: 0, -ENOMEM, -ENFILE, -EUSERS, -ENODEV.
 */
int kvbm_session_open(struct kvbm_dev *kd, struct file *file)
{
	struct kvbm_file *f = file_new(kd);

	if (IS_ERR(f))
		return PTR_ERR(f);
	file->private_data = f;
	return 0;
}

/**
 * kvbm_session_open_fd() - a new session without a node
 * @kd: the store
 * @file: out: the file
 *
 * The caller copies the number out, then installs the file, or gives both
 * back.
 *
 * Return: a reserved descriptor, or -errno.
 */
int kvbm_session_open_fd(struct kvbm_dev *kd, struct file **file)
{
	struct kvbm_file *f;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	f = file_new(kd);
	if (IS_ERR(f)) {
		put_unused_fd(fd);
		return PTR_ERR(f);
	}
	*file = anon_inode_getfile("[kvbm]", &kvbm_session_fops, f,
				   O_RDWR | O_CLOEXEC);
	if (IS_ERR(*file)) {
		fput(f->companion);
		put_unused_fd(fd);
		return PTR_ERR(*file);
	}
	return fd;
}

static int session_release(struct inode *inode, struct file *file)
{
	struct kvbm_file *f = file->private_data;

	fput(f->companion);
	return 0;
}

static __poll_t session_poll(struct file *file, poll_table *wait)
{
	struct kvbm_file *f = file->private_data;

	poll_wait(file, &f->kd->poll_wait, wait);
	if (READ_ONCE(f->ses.dead))
		return EPOLLERR | EPOLLHUP;
	return kvbm_poll_room(&f->ses) ? EPOLLOUT | EPOLLWRNORM : 0;
}

static u64 revoke(struct kvbm_file *f, int err)
{
	u64 n = kvbm_session_kill(&f->ses, err);

	wake_up_all(&f->kd->poll_wait);
	return n;
}

/**
 * kvbm_sessions_kill() - end all sessions of a store that takes no new ones
 * @kd: the store
 * @err: what their calls fail with from now on
 *
 * Return: owned blocks and holds that came back.
 */
u64 kvbm_sessions_kill(struct kvbm_dev *kd, int err)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_session *ses;
	struct kvbm_file *f;
	u64 n = 0, last = 0;

	/* All at once: nothing of one session is granted to another. */
	mutex_lock(&st->sessions_lock);
	list_for_each_entry(ses, &st->sessions, link) {
		spin_lock(&ses->lock);
		WRITE_ONCE(ses->dead, err);
		spin_unlock(&ses->lock);
	}
	mutex_unlock(&st->sessions_lock);

	do {
		f = NULL;
		mutex_lock(&st->sessions_lock);
		list_for_each_entry(ses, &st->sessions, link) {
			if (ses->number <= last)
				continue;
			last = ses->number;
			f = container_of(ses, struct kvbm_file, ses);
			/* One that is ending already has no file any more. */
			if (kref_get_unless_zero(&f->ref))
				break;
			f = NULL;
		}
		mutex_unlock(&st->sessions_lock);
		if (f) {
			n += revoke(f, err);
			file_put(f);
		}
	} while (f);
	return n;
}

/**
 * kvbm_session_revoke() - end one session
 * @kd: the store
 * @number: which
 * @reclaimed: out: owned blocks and holds that came back
 *
 * Return: 0, -ENOENT, -EALREADY, -EINTR (fatal signal: the session is dead,
 * but an allocation of it may still be under way).
 */
int kvbm_session_revoke(struct kvbm_dev *kd, u64 number, u64 *reclaimed)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_file *f = NULL;
	struct kvbm_session *ses;
	int err = -ENOENT;

	mutex_lock(&st->sessions_lock);
	list_for_each_entry(ses, &st->sessions, link) {
		if (ses->number != number)
			continue;
		f = container_of(ses, struct kvbm_file, ses);
		if (!kref_get_unless_zero(&f->ref)) {
			f = NULL;
			break;
		}
		spin_lock(&ses->lock);
		err = ses->dead ? -EALREADY : 0;
		if (!err)
			WRITE_ONCE(ses->dead, -ESHUTDOWN);
		spin_unlock(&ses->lock);
		break;
	}
	mutex_unlock(&st->sessions_lock);
	if (!err) {
		*reclaimed = revoke(f, -ESHUTDOWN);
		if (wait_var_event_killable(&f->ses.taking,
					    !READ_ONCE(f->ses.taking)))
			err = -EINTR;
	}
	if (f)
		file_put(f);
	return err;
}

/**
 * kvbm_session_entries() - list sessions
 * @kd: the store
 * @skip: sessions to pass over
 * @out: room for @max entries
 * @max: at most this many
 * @total: out: sessions there are
 *
 * Return: entries filled in.
 */
u32 kvbm_session_entries(struct kvbm_dev *kd, u32 skip,
			 struct kvbm_session_entry *out, u32 max, u32 *total)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_session *ses;
	u32 n = 0;

	mutex_lock(&st->sessions_lock);
	*total = st->nr_sessions;
	list_for_each_entry(ses, &st->sessions, link) {
		struct kvbm_file *f = container_of(ses, struct kvbm_file, ses);
		struct kvbm_session_entry *e = &out[n];

		if (skip) {
			skip--;
			continue;
		}
		if (n == max)
			break;
		memset(e, 0, sizeof(*e));
		e->session_id = ses->number;
		e->opened_ns = f->opened_ns;
		e->pid = pid_vnr(f->pid);
		e->uid = from_kuid_munged(current_user_ns(), f->uid);
		memcpy(e->comm, f->comm, sizeof(e->comm));
		spin_lock(&ses->lock);
		e->holds = ses->holds;
		e->held = ses->held;
		e->mutable_blocks = ses->owned - ses->staged;
		e->staged_blocks = ses->staged;
		e->flags = ses->dead ? KVBM_SESSION_REVOKED : 0;
		spin_unlock(&ses->lock);
		n++;
	}
	mutex_unlock(&st->sessions_lock);
	return n;
}

const struct file_operations kvbm_session_fops = {
	.owner = THIS_MODULE,
	.release = session_release,
	.poll = session_poll,
	.unlocked_ioctl = kvbm_session_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = kvbm_uring_cmd,
	.llseek = noop_llseek,
};
