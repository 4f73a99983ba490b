// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * departed.c - ended sessions whose blocks linger
 *
 * When a session of a store with linger_ms ends, or is revoked, its registered
 * holds, its waiters, its memory and its place among the sessions go at once.
 * The blocks that it owned go to a record that was allocated when it was
 * opened, so its end needs no memory.  Records wait in a list, in the order in
 * which they are due, and one work item of the store frees their blocks.  A
 * record keeps nothing alive: the remaining ones go with the store, when nobody
 * can get the blocks any more.
 *
 * Repeatedly opening, allocating and leaving must not get around max_held.  So
 * a session is charged for what lingers of its user's sessions that ended
 * before it was opened: its own limit is lower by that until those blocks are
 * free.  Sessions that were open already are not charged: other workers of the
 * user continue.  So all blocks of a user, including lingering ones, are at
 * most max_sessions times max_held: of his sessions that have blocks at one
 * moment, those that follow one another share one max_held, and max_sessions
 * bounds the others.
 *
 * The lists, the records in them and the accounts are under the store's
 * sessions_lock.  A record taken out of the list belongs to the taker.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "file.h"
#include "trace.h"

/*
 * Limit on the records of one user: beyond it, he cannot open.  Nor can he once
 * the store has STORE_MAX, unless he has fewer than USER_SHARE: users who
 * together fill the store keep out only themselves.  So a store has at most
 * STORE_MAX, USER_SHARE for each user, and the records of sessions that were
 * open by then.
 */
#define USER_MAX	4096U
#define STORE_MAX	65536U
#define USER_SHARE	64U

static struct workqueue_struct *departed_wq;

/**
 * struct kvbm_debtor - a user of a store where blocks linger
 * @link: in the store's table, by @uid
 * @uid: the user, as kvbm_payer_uid() has it
 * @refs: of sessions and records
 * @ended: blocks that ever began to linger
 * @returned: how many of these are free again
 * @records: of ended sessions
 */
struct kvbm_debtor {
	struct hlist_node link;
	kuid_t uid;
	u32 refs;
	u32 records;
	u64 ended;
	u64 returned;
};

/**
 * struct kvbm_departed - an ended session
 * @link: in the store's list, in order of @due_ns
 * @node: in the store's tree, by @number
 * @chain: its blocks
 * @debtor: its user's account
 * @number: the session's number
 * @opened_ns: CLOCK_BOOTTIME at which it was opened
 * @due_ns: when the blocks become free, ktime_get_ns()
 * @pid: process that opened it
 * @uid: that process's user
 * @comm: that process's name
 * @open: its file still exists: it was revoked
 */
struct kvbm_departed {
	struct list_head link;
	struct rb_node node;
	struct kvbm_chain chain;
	struct kvbm_debtor *debtor;
	u64 number;
	u64 opened_ns;
	u64 due_ns;
	struct pid *pid;
	kuid_t uid;
	char comm[TASK_COMM_LEN];
	bool open;
};

/* The record with the next higher number, or NULL. */
static struct kvbm_departed *record_after(struct kvbm_linger *l, u64 number)
{
	struct rb_node *node = l->by_number.rb_node;
	struct kvbm_departed *found = NULL;

	while (node) {
		struct kvbm_departed *dp;

		dp = rb_entry(node, struct kvbm_departed, node);
		if (dp->number > number) {
			found = dp;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

static struct kvbm_departed *record_of(struct kvbm_linger *l, u64 number)
{
	struct kvbm_departed *dp = record_after(l, number - 1);

	return dp && dp->number == number ? dp : NULL;
}

static void put_in(struct kvbm_linger *l, struct kvbm_departed *dp)
{
	struct rb_node **link = &l->by_number.rb_node, *parent = NULL;

	while (*link) {
		struct kvbm_departed *at;

		parent = *link;
		at = rb_entry(parent, struct kvbm_departed, node);
		link = dp->number < at->number ? &parent->rb_left :
						 &parent->rb_right;
	}
	rb_link_node(&dp->node, parent, link);
	rb_insert_color(&dp->node, &l->by_number);
	list_add_tail(&dp->link, &l->list);
	l->ended += !dp->open;
}

static void take_out(struct kvbm_linger *l, struct kvbm_departed *dp)
{
	list_del(&dp->link);
	rb_erase(&dp->node, &l->by_number);
	l->ended -= !dp->open;
}

static void debtor_put(struct kvbm_debtor *d)
{
	if (--d->refs)
		return;
	hlist_del(&d->link);
	kfree(d);
}

static struct kvbm_debtor *debtor_find(struct kvbm_linger *l, kuid_t uid)
{
	struct hlist_head *head;
	struct kvbm_debtor *d;

	head = &l->debtors[__kuid_val(uid) % ARRAY_SIZE(l->debtors)];
	hlist_for_each_entry(d, head, link)
		if (uid_eq(d->uid, uid))
			return d;
	return NULL;
}

/* What still lingers of sessions that ended before this one opened. */
static u64 debt(const struct kvbm_file *f)
{
	const struct kvbm_debtor *d = f->debtor;

	return f->debt_mark > d->returned ? f->debt_mark - d->returned : 0;
}

static u32 limit(const struct kvbm_file *f)
{
	u32 max = f->kd->store.cfg.max_held;

	return max ? max - min_t(u64, max, debt(f)) : U32_MAX;
}

/* May the user have another session whose blocks may linger? */
static bool may_open(const struct kvbm_linger *l, const struct kvbm_debtor *d)
{
	return d->records < (l->records < STORE_MAX ? USER_MAX : USER_SHARE);
}

/**
 * kvbm_departed_prepare() - prepare for the end of a new session
 * @f: the open file; its session is in the store's list, and has nothing yet
 *
 * Return: 0, -ENOMEM, or -EDQUOT (the user has too many sessions that linger).
 * kvbm_departed_forget() is due in every case.
 */
int kvbm_departed_prepare(struct kvbm_file *f)
{
	struct kvbm_linger *l = &f->kd->linger;
	struct kvbm_session *ses = &f->ses;
	struct kvbm_debtor *d, *fresh;
	kuid_t uid = kvbm_payer_uid();
	int err = 0;

	if (!l->ns)
		return 0;
	f->departed = kzalloc(sizeof(*f->departed), GFP_KERNEL_ACCOUNT);
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!f->departed || !fresh) {
		kfree(fresh);
		return -ENOMEM;
	}

	mutex_lock(&ses->store->sessions_lock);
	d = debtor_find(l, uid);
	if (!d) {
		d = fresh;
		fresh = NULL;
		d->uid = uid;
		hlist_add_head(&d->link, &l->debtors[__kuid_val(d->uid) %
						     ARRAY_SIZE(l->debtors)]);
	}
	d->refs++;
	f->debtor = d;
	if (!may_open(l, d)) {
		err = -EDQUOT;
	} else {
		f->debt_mark = d->ended;
		spin_lock(&ses->lock);
		ses->max_held = limit(f);
		spin_unlock(&ses->lock);
	}
	mutex_unlock(&ses->store->sessions_lock);
	kfree(fresh);
	return err;
}

/**
 * kvbm_departed_forget() - free what a file has here
 * @f: the open file
 */
void kvbm_departed_forget(struct kvbm_file *f)
{
	struct kvbm_store *st = &f->kd->store;

	if (f->debtor) {
		mutex_lock(&st->sessions_lock);
		debtor_put(f->debtor);
		mutex_unlock(&st->sessions_lock);
	}
	kfree(f->departed);
}

/*
 * Update the limits of a user's sessions after blocks became free: sessions
 * that were opened before owe nothing, and do not change.  A dead one may be
 * past kvbm_poll_end(), and must not be armed again.
 */
static void credit(struct kvbm_dev *kd, struct kvbm_debtor *d)
{
	struct kvbm_store *st = &kd->store;
	u64 upto = 0;
	bool more;

	do {
		u32 budget = KVBM_CHUNK;
		struct kvbm_session *ses;

		mutex_lock(&st->sessions_lock);
		ses = kvbm_session_after(st, upto);
		while (ses && budget--) {
			struct kvbm_file *f;

			f = container_of(ses, struct kvbm_file, ses);
			if (f->debtor == d) {
				spin_lock(&ses->lock);
				if (ses->dead) {
					spin_unlock(&ses->lock);
				} else {
					ses->max_held = limit(f);
					kvbm_unlock_grown(ses);
				}
			}
			upto = ses->number;
			ses = list_is_last(&ses->link, &st->sessions) ?
			      NULL : list_next_entry(ses, link);
		}
		more = ses;
		mutex_unlock(&st->sessions_lock);
		cond_resched();
	} while (more);
}

static void give_back(struct kvbm_dev *kd, struct kvbm_departed *dp)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_debtor *d = dp->debtor;
	u32 n = dp->chain.len;
	bool open;

	while (kvbm_linger_return(st, &dp->chain))
		cond_resched();
	mutex_lock(&st->sessions_lock);
	st->reclaimed.owned += n;
	d->returned += n;
	d->records--;
	kd->linger.records--;
	/* Are there sessions of the user, besides records? */
	open = d->refs > d->records + 1;
	mutex_unlock(&st->sessions_lock);
	if (open && st->cfg.max_held)
		credit(kd, d);
	mutex_lock(&st->sessions_lock);
	debtor_put(d);
	mutex_unlock(&st->sessions_lock);
	put_pid(dp->pid);
	kfree(dp);
}

static void departed_work(struct work_struct *work)
{
	struct kvbm_linger *l = container_of(to_delayed_work(work),
					     struct kvbm_linger, work);
	struct kvbm_dev *kd = container_of(l, struct kvbm_dev, linger);
	struct kvbm_departed *dp;

	for (;;) {
		u64 now = ktime_get_ns();

		mutex_lock(&kd->store.sessions_lock);
		dp = list_first_entry_or_null(&l->list, struct kvbm_departed,
					      link);
		if (dp && dp->due_ns > now) {
			queue_delayed_work(departed_wq, &l->work,
					   nsecs_to_jiffies(dp->due_ns - now) +
					   1);
			dp = NULL;
		}
		if (dp)
			take_out(l, dp);
		mutex_unlock(&kd->store.sessions_lock);
		if (!dp)
			return;
		give_back(kd, dp);
	}
}

/**
 * kvbm_departed_retire() - take everything from a session; owned blocks linger
 * @f: the session
 * @err: errno for its calls from now on
 * @open: its file still exists
 *
 * Several tasks may call this at once.
 *
 * Return: owned blocks and holds released.
 */
u64 kvbm_departed_retire(struct kvbm_file *f, int err, bool open)
{
	struct kvbm_linger *l = &f->kd->linger;
	struct kvbm_store *st = &f->kd->store;
	struct kvbm_departed *dp;
	u64 n;

	n = kvbm_session_retire(&f->ses, err, l->ns ? &f->left : NULL);
	if (!l->ns)
		return n;

	/*
	 * Nothing is owned any more, and nothing will be: the first one
	 * lists the record, with everything that anybody took.
	 */
	mutex_lock(&st->sessions_lock);
	if (f->left.len) {
		dp = f->departed;
		f->departed = NULL;
		dp->chain = f->left;
		f->left.len = 0;
		dp->number = f->ses.number;
		dp->opened_ns = f->opened_ns;
		dp->pid = get_pid(f->pid);
		dp->uid = f->uid;
		memcpy(dp->comm, f->comm, sizeof(dp->comm));
		dp->open = open;
		dp->debtor = f->debtor;
		dp->debtor->refs++;
		dp->debtor->records++;
		dp->debtor->ended += dp->chain.len;
		l->records++;
		trace_kvbm_linger(st, dp->number, dp->chain.len, l->ns);
		dp->due_ns = ktime_get_ns() + (st->closing ? 0 : l->ns);
		put_in(l, dp);
		if (list_is_first(&dp->link, &l->list))
			mod_delayed_work(departed_wq, &l->work,
					 st->closing ? 0 :
					 nsecs_to_jiffies(l->ns) + 1);
	} else if (!open) {
		/* A revoked session is closed now. */
		dp = record_of(l, f->ses.number);
		if (dp && dp->open) {
			dp->open = false;
			l->ended++;
		}
	}
	mutex_unlock(&st->sessions_lock);
	return n;
}

static bool selected(const struct kvbm_selection *sel,
		     const struct kvbm_departed *dp)
{
	return dp->number <= sel->upto &&
	       (sel->now || (sel->session && !dp->open)) &&
	       (!sel->session || dp->number == sel->session) &&
	       (!uid_valid(sel->uid) || uid_eq(dp->uid, sel->uid)) &&
	       (!sel->pid || dp->pid == sel->pid);
}

/**
 * kvbm_departed_end() - free the lingering blocks of sessions
 * @kd: the store
 * @sel: which; with ->now, or a closed file that ->session names
 * @back: freed blocks are added
 *
 * Return: how many sessions.
 */
u32 kvbm_departed_end(struct kvbm_dev *kd, const struct kvbm_selection *sel,
		      u64 *back)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_linger *l = &kd->linger;
	struct kvbm_departed *dp;
	u64 after = 0;
	u32 n = 0;
	bool more;

	if (sel->session)
		after = sel->session - 1;
	do {
		u32 budget = KVBM_CHUNK;

		mutex_lock(&st->sessions_lock);
		dp = record_after(l, after);
		while (dp && budget-- && !selected(sel, dp)) {
			struct rb_node *next = rb_next(&dp->node);

			after = dp->number;
			if (sel->session || after >= sel->upto)
				next = NULL;
			dp = next ? rb_entry(next, struct kvbm_departed, node) :
				    NULL;
		}
		more = dp;
		if (dp && selected(sel, dp)) {
			after = dp->number;
			take_out(l, dp);
		} else {
			dp = NULL;
		}
		mutex_unlock(&st->sessions_lock);
		if (dp) {
			*back += dp->chain.len;
			n++;
			give_back(kd, dp);
		}
		cond_resched();
	} while (more);
	return n;
}

/**
 * kvbm_departed_lingering() - how many blocks of a session linger
 * @kd: the store, its sessions_lock held
 * @number: the session's
 */
u32 kvbm_departed_lingering(struct kvbm_dev *kd, u64 number)
{
	struct kvbm_departed *dp;

	lockdep_assert_held(&kd->store.sessions_lock);
	dp = record_of(&kd->linger, number);
	return dp ? dp->chain.len : 0;
}

/**
 * kvbm_departed_entry() - list the next ended session
 * @kd: the store, its sessions_lock held
 * @after: with a number above this
 * @before: and below this
 * @e: filled in
 *
 * Return: false if there is none.
 */
bool kvbm_departed_entry(struct kvbm_dev *kd, u64 after, u64 before,
			 struct kvbm_session_entry *e)
{
	struct kvbm_departed *dp;

	lockdep_assert_held(&kd->store.sessions_lock);
	dp = record_after(&kd->linger, after);
	if (!dp || dp->number >= before)
		return false;
	*e = (struct kvbm_session_entry) {
		.session_id = dp->number,
		.opened_ns = dp->opened_ns,
		.mutable_blocks = dp->chain.len,
		.pid = pid_vnr(dp->pid),
		.uid = from_kuid_munged(current_user_ns(), dp->uid),
		.flags = KVBM_SESSION_LINGERS | KVBM_SESSION_ENDED,
	};
	memcpy(e->comm, dp->comm, sizeof(e->comm));
	return true;
}

/**
 * kvbm_departed_init() - initialise a store's part
 * @kd: the store
 * @linger_ms: how long blocks linger; 0: not at all
 */
void kvbm_departed_init(struct kvbm_dev *kd, u32 linger_ms)
{
	kd->linger.ns = (u64)linger_ms * NSEC_PER_MSEC;
	INIT_LIST_HEAD(&kd->linger.list);
	kd->linger.by_number = RB_ROOT;
	INIT_DELAYED_WORK(&kd->linger.work, departed_work);
}

/**
 * kvbm_departed_exit() - free a store's part
 * @kd: the store; it has no sessions, and gets none
 */
void kvbm_departed_exit(struct kvbm_dev *kd)
{
	struct kvbm_selection all = {
		.uid = INVALID_UID,
		.upto = U64_MAX,
		.now = true,
	};
	u64 back = 0;

	cancel_delayed_work_sync(&kd->linger.work);
	kvbm_departed_end(kd, &all, &back);
}

/* The module's own workqueue: freeing a large store takes seconds. */
int __init kvbm_departed_start(void)
{
	departed_wq = alloc_workqueue("kvbm", WQ_UNBOUND, 0);
	return departed_wq ? 0 : -ENOMEM;
}

void kvbm_departed_stop(void)
{
	destroy_workqueue(departed_wq);
}
