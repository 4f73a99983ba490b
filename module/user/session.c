// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * session.c - open files: opening a session, ending it, and revoking it
 *
 * The last reference to the file ends the session, before close(2) returns or
 * the process can be reaped.  No call of the session can be in progress then.
 * Its blocks must not get a new owner while a device of the same process still
 * writes to them, so the end comes after the ->release of every file that the
 * same exit, exec or close_range closes: see struct kvbm_file's companion.
 *
 * So after a SIGKILL:
 *
 *	a running batch stops after its chunk		kvbm_batch_run()
 *	a sleeper wakes and drops even a grant		kvbm_wait_end()
 *	the last reference to the file goes		session_release(), open.c
 *	so does its companion's, ending the session	companion_release()
 *	blocks that linger leave it			kvbm_departed_retire()
 *	the rest is released, and waiters are woken	kvbm_session_retire()
 *	it leaves the store's list			kvbm_session_exit()
 *	the memory goes					file.c
 *
 * A revocation may come at any time: it marks the session dead under the
 * session's lock, where every chunk of every call checks it, and takes
 * everything, also from allocations in progress.  It waits for nobody.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include "compat.h"
#include "file.h"
#include "trace.h"
#include "ops.h"

static int companion_release(struct inode *inode, struct file *file)
{
	struct kvbm_file *f = file->private_data;

	kvbm_departed_retire(f, -ESHUTDOWN, false);
	kvbm_session_exit(&f->ses);
	kvbm_file_put(f);
	return 0;
}

static const struct file_operations companion_fops = {
	.owner = THIS_MODULE,
	.release = companion_release,
};

/**
 * kvbm_file_new() - a new session
 * @kd: the store
 * @f_mode: of the file that it is for
 *
 * Return: the session, or -ENOMEM, -ENFILE, -EUSERS, -EDQUOT, -ENODEV.
 */
struct kvbm_file *kvbm_file_new(struct kvbm_dev *kd, fmode_t f_mode)
{
	struct kvbm_access access = kvbm_dev_access(kd);
	bool owner = uid_eq(current_fsuid(), access.uid);
	bool admin = kvbm_capable(CAP_SYS_ADMIN);
	struct kvbm_file *f;
	int err;

	f = kvzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return ERR_PTR(-ENOMEM);
	kref_init(&f->ref);
	kvbm_poll_init(&f->poll);
	f->pid = get_pid(task_tgid(current));
	f->uid = current_uid();
	f->opened_ns = ktime_get_boottime_ns();
	f->last_call = jiffies;
	f->writable = f_mode & FMODE_WRITE;
	f->allowed = f->writable ? ~0ULL : kvbm_ops_reading();
	if (!(f_mode & FMODE_READ))
		f->allowed &= ~BIT_ULL(KVBM_OP_EXPORT);
	if (!owner && !admin)
		f->allowed &= ~kvbm_ops_needing(~kd->rights);
	f->ses.reserve = (owner ? KVBM_RESERVE_OWNER : 0) |
			 (admin ? KVBM_RESERVE_ADMIN : 0);
	f->ses.uid = __kuid_val(kvbm_payer_uid());
	f->ses.may_lower = owner || admin;
	get_task_comm(f->comm, current->group_leader);
	kref_get(&kd->ref);
	f->kd = kd;
	err = kvbm_session_init(&f->ses, &kd->store);
	if (err)
		goto put;
	err = kvbm_departed_prepare(f);
	if (err)
		goto exit;
	f->companion = anon_inode_getfile("[kvbm-end]", &companion_fops, f,
					  O_RDONLY);
	if (IS_ERR(f->companion)) {
		err = PTR_ERR(f->companion);
		goto exit;
	}
	return f;

exit:
	kvbm_session_exit(&f->ses);
put:
	kvbm_file_put(f);
	return ERR_PTR(err);
}

/**
 * kvbm_file_end() - end a session whose file is gone, or never existed
 * @f: the session
 */
void kvbm_file_end(struct kvbm_file *f)
{
	fput(f->companion);
}

/**
 * kvbm_file_refused() - why a session may not make a request
 * @f: the session
 * @op: enum kvbm_op
 */
int kvbm_file_refused(const struct kvbm_file *f, unsigned int op)
{
	if (!f->writable && !(kvbm_ops_reading() & BIT_ULL(op)))
		return -EBADF;
	/* Refused only if not opened for reading. */
	if (op == KVBM_OP_EXPORT)
		return -EBADF;
	return -EPERM;
}

__poll_t kvbm_session_poll(struct file *file, poll_table *wait)
{
	struct kvbm_file *f = file->private_data;

	poll_wait(file, &f->poll.wait, wait);
	if (READ_ONCE(f->ses.dead))
		return EPOLLERR | EPOLLHUP;
	return (kvbm_poll_available(&f->ses) ? EPOLLOUT | EPOLLWRNORM : 0) |
	       (READ_ONCE(f->ses.claim_ended) ? EPOLLPRI : 0) |
	       (READ_ONCE(f->ses.nr_offers_to) ? EPOLLIN | EPOLLRDNORM : 0);
}

/**
 * kvbm_file_of() - get the session of a file
 * @file: any file
 *
 * Return: the session, or NULL.
 */
struct kvbm_file *kvbm_file_of(struct file *file)
{
	/* Only files of sessions have it. */
	return file->f_op->poll == kvbm_session_poll ? file->private_data : NULL;
}

/**
 * kvbm_session_fdinfo() - /proc/PID/fdinfo/FD: the session's totals
 * @m: to write to
 * @file: its file
 */
void kvbm_session_fdinfo(struct seq_file *m, struct file *file)
{
	struct kvbm_file *f = file->private_data;
	struct kvbm_session *ses = &f->ses;
	u32 held, owned, staged, allocating, offered;
	u64 holds;
	int dead;

	spin_lock(&ses->lock);
	dead = ses->dead;
	holds = ses->holds;
	held = ses->held;
	owned = ses->owned;
	staged = ses->staged;
	allocating = ses->allocating;
	offered = ses->nr_offered;
	spin_unlock(&ses->lock);
	seq_printf(m, "kvbm-store:\t%016llx\n", f->kd->store.id);
	seq_printf(m, "kvbm-name:\t%s\n", f->kd->name);
	seq_printf(m, "kvbm-session:\t%llu\n", ses->number);
	seq_printf(m, "kvbm-state:\t%s\n", dead ? "revoked" : "open");
	seq_printf(m, "kvbm-held:\t%u\n", held);
	seq_printf(m, "kvbm-holds:\t%llu\n", holds);
	seq_printf(m, "kvbm-mutable:\t%u\n", owned - staged);
	seq_printf(m, "kvbm-staged:\t%u\n", staged);
	seq_printf(m, "kvbm-allocating:\t%u\n", allocating);
	seq_printf(m, "kvbm-offered:\t%u\n", offered);
	seq_printf(m, "kvbm-memory:\t%llu\n", kvbm_holds_memory(ses));
}

static bool selected(const struct kvbm_selection *sel, const struct kvbm_file *f)
{
	return f->ses.number <= sel->upto &&
	       (!sel->session || f->ses.number == sel->session) &&
	       (!uid_valid(sel->uid) || uid_eq(f->uid, sel->uid)) &&
	       (!sel->pid || f->pid == sel->pid);
}

/*
 * The next selected session with a number above @after, with a reference, or
 * NULL.  Also advances @after.  -EAGAIN: enough for one hold of the lock.
 */
static struct kvbm_file *next_selected(struct kvbm_store *st,
				       const struct kvbm_selection *sel, u64 *after)
{
	struct kvbm_session *ses;
	struct kvbm_file *f;
	u32 budget = KVBM_CHUNK;

	lockdep_assert_held(&st->sessions_lock);
	ses = kvbm_session_after(st, *after);
	while (ses) {
		if (!budget--)
			return ERR_PTR(-EAGAIN);
		*after = ses->number;
		f = container_of(ses, struct kvbm_file, ses);
		/* A session without references has nothing left. */
		if (selected(sel, f) && kref_get_unless_zero(&f->ref))
			return f;
		if (ses->number >= sel->upto ||
		    list_is_last(&ses->link, &st->sessions))
			break;
		ses = list_next_entry(ses, link);
	}
	return NULL;
}

/* Make its calls fail from now on.  False: it was dead before. */
static bool mark_dead(struct kvbm_file *f, int err)
{
	bool first;

	lockdep_assert_held(&f->kd->store.sessions_lock);
	kvbm_session_uncount(&f->ses);
	spin_lock(&f->ses.lock);
	first = !f->ses.dead;
	if (first)
		WRITE_ONCE(f->ses.dead, err);
	spin_unlock(&f->ses.lock);
	if (first)
		trace_kvbm_revoke(f->ses.store, f->ses.number, err);
	return first;
}

/*
 * End sessions: mark all of them before taking anything, so nothing of one is
 * granted to another.  Include sessions that somebody else marked: when this
 * returns, all of it is back, whoever took it.
 */
static int end_sessions(struct kvbm_dev *kd, struct kvbm_selection *sel,
			u32 *ended, u64 *back)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_file *f;
	bool found = false;
	u64 after;

	mutex_lock(&st->sessions_lock);
	sel->upto = st->next_session;
	for (after = 0; (f = next_selected(st, sel, &after)); ) {
		if (!IS_ERR(f)) {
			found = true;
			*ended += mark_dead(f, sel->err);
		}
		mutex_unlock(&st->sessions_lock);
		if (!IS_ERR(f))
			kvbm_file_put(f);
		cond_resched();
		mutex_lock(&st->sessions_lock);
	}
	mutex_unlock(&st->sessions_lock);

	for (after = 0;;) {
		mutex_lock(&st->sessions_lock);
		f = next_selected(st, sel, &after);
		mutex_unlock(&st->sessions_lock);
		if (!f)
			break;
		if (IS_ERR(f))
			continue;
		/*
		 * If somebody else took its blocks into a record, that is
		 * listed by now, and its blocks are freed below if requested.
		 */
		*back += kvbm_departed_retire(f, sel->err, true);
		kvbm_poll_wake(f, KVBM_CHUNK);
		kvbm_file_put(f);
	}
	if (kvbm_departed_end(kd, sel, back))
		found = true;
	return found ? 0 : -ENOENT;
}

/**
 * kvbm_sessions_kill() - end all sessions of a store that takes no new ones
 * @kd: the store
 * @err: errno for their calls from now on
 *
 * Return: 0: all are dead, and everything is back.
 */
int kvbm_sessions_kill(struct kvbm_dev *kd, int err)
{
	struct kvbm_selection sel = {
		.uid = INVALID_UID,
		.err = err,
		.now = true,
	};
	u32 ended = 0;
	u64 back = 0;

	err = end_sessions(kd, &sel, &ended, &back);
	return err == -ENOENT ? 0 : err;
}

/**
 * kvbm_session_revoke() - end sessions
 * @kd: the store
 * @args: which; out: how many, and how much was reclaimed
 *
 * Return: 0, -EINVAL, -ENOENT.
 */
int kvbm_session_revoke(struct kvbm_dev *kd, struct kvbm_session_revoke *args)
{
	struct kvbm_selection sel = {
		.session = args->session_id,
		.uid = INVALID_UID,
		.err = -ESHUTDOWN,
		.now = args->flags & KVBM_REVOKE_NOW,
	};
	u32 sessions = 0;
	u64 back = 0;
	int err;

	if (!(args->flags & (KVBM_REVOKE_UID | KVBM_REVOKE_PID)) ==
	    !args->session_id)
		return -EINVAL;
	if (!(args->flags & KVBM_REVOKE_UID) && args->uid)
		return -EINVAL;
	if (!(args->flags & KVBM_REVOKE_PID) && args->pid)
		return -EINVAL;
	if (args->flags & KVBM_REVOKE_UID) {
		sel.uid = make_kuid(current_user_ns(), args->uid);
		if (!uid_valid(sel.uid))
			return -EINVAL;
	}
	if (args->flags & KVBM_REVOKE_PID) {
		sel.pid = find_get_pid(args->pid);
		if (!sel.pid)
			return -ENOENT;
	}
	err = end_sessions(kd, &sel, &sessions, &back);
	put_pid(sel.pid);
	args->sessions = sessions;
	args->reclaimed = back;
	return err;
}

static void fill_entry(struct kvbm_session_entry *e, struct kvbm_file *f)
{
	struct kvbm_session *ses = &f->ses;
	u64 ago = (jiffies - READ_ONCE(f->last_call)) * (u64)TICK_NSEC;
	u64 now = ktime_get_boottime_ns();
	u32 lingering;

	*e = (struct kvbm_session_entry) {
		.session_id = ses->number,
		.opened_ns = f->opened_ns,
		.last_call_ns = max(now - min(now, ago), f->opened_ns),
		.memory = kvbm_holds_memory(ses),
		.pid = pid_vnr(f->pid),
		.uid = from_kuid_munged(current_user_ns(), f->uid),
		.flags = f->writable ? 0 : KVBM_SESSION_READONLY,
	};
	memcpy(e->comm, f->comm, sizeof(e->comm));
	spin_lock(&ses->lock);
	e->holds = ses->holds;
	e->held = ses->held;
	e->mutable_blocks = ses->owned - ses->staged;
	e->staged_blocks = ses->staged;
	e->allocating = ses->allocating;
	e->offered = ses->nr_offered;
	e->offers = READ_ONCE(ses->nr_offers);
	e->offers_to = READ_ONCE(ses->nr_offers_to);
	e->match_hashes_requested = ses->counters.match_hashes_requested;
	e->match_blocks_returned = ses->counters.match_blocks_returned;
	e->registrations = ses->counters.registrations;
	e->allocations = ses->counters.allocations;
	/* Those that did not come from the free list. */
	e->evictions = ses->counters.allocations -
		       ses->counters.allocations_from_reset;
	e->alloc_failures = ses->counters.alloc_nospace +
			    ses->counters.alloc_quota +
			    ses->counters.alloc_timeouts;
	if (ses->dead)
		e->flags |= KVBM_SESSION_REVOKED;
	spin_unlock(&ses->lock);
	lingering = kvbm_departed_lingering(f->kd, ses->number);
	if (lingering) {
		e->mutable_blocks = lingering;
		e->flags |= KVBM_SESSION_LINGERS;
	}
	kvbm_session_waits(ses, &e->waiting, &e->waiting_since_ns);
}

/**
 * kvbm_session_entries() - list sessions
 * @kd: the store
 * @cursor: in and out: number of the last session listed
 * @out: array of @max entries
 * @max: at most this many, at most KVBM_CHUNK
 * @total: out: number of sessions
 *
 * Ended sessions are listed while their blocks linger.
 *
 * Return: entries filled in.
 */
u32 kvbm_session_entries(struct kvbm_dev *kd, u64 *cursor,
			 struct kvbm_session_entry *out, u32 max, u32 *total)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_session *ses;
	u32 n = 0;

	mutex_lock(&st->sessions_lock);
	*total = st->nr_listed + kd->linger.ended;
	ses = kvbm_session_after(st, *cursor);
	while (n < max) {
		u64 before = ses ? ses->number : U64_MAX;

		if (kvbm_departed_entry(kd, *cursor, before, &out[n])) {
			*cursor = out[n++].session_id;
			continue;
		}
		if (!ses)
			break;
		fill_entry(&out[n++],
			   container_of(ses, struct kvbm_file, ses));
		*cursor = ses->number;
		ses = list_is_last(&ses->link, &st->sessions) ?
		      NULL : list_next_entry(ses, link);
	}
	mutex_unlock(&st->sessions_lock);
	return n;
}
