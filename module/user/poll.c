// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * poll.c - waking those who poll a session
 *
 * Each session has a wait queue of its own; a user may put as many watches into
 * it as descriptors can be had.  So waking is a walk in steps: an entry of our
 * own marks in the queue how far it has got, and after at most KVBM_CHUNK
 * watches the queue's lock, which keeps interrupts off, is given up.  Who makes
 * room wakes up to KVBM_CHUNK watches itself, of all sessions together; a work
 * item goes on from the mark.
 *
 * New watches enter at the head, and look at the session after that.  A wake-up
 * that comes during a walk is another walk after it: each watch is passed once
 * more.
 *
 * Whoever wakes holds the session's struct kvbm_file.  That reference may be the
 * last one, but never frees the store on the spot: who wakes may be the store's
 * own work item.
 */
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/workqueue.h>
#include "file.h"

static struct workqueue_struct *poll_wq;

static int mark_passed(struct wait_queue_entry *mark, unsigned int mode,
		       int flags, void *key)
{
	return 0;
}

/* Up to @budget watches from the mark on; the queue's lock is held. */
static u32 walk(struct kvbm_poll *p, u32 budget)
{
	struct wait_queue_entry *e;
	u32 n = 0;

	lockdep_assert_held(&p->wait.lock);
	while (n < budget) {
		if (list_is_last(&p->mark.entry, &p->wait.head)) {
			if (!p->again) {
				list_del_init(&p->mark.entry);
				p->walking = false;
				break;
			}
			p->again = false;
			list_move(&p->mark.entry, &p->wait.head);
			continue;
		}
		e = list_next_entry(&p->mark, entry);
		/* Before it is called: it may leave the queue. */
		list_move(&p->mark.entry, &e->entry);
		e->func(e, TASK_NORMAL, 0, NULL);
		n++;
	}
	return n;
}

/* The rest of a walk. */
static void walk_on(struct kvbm_poll *p)
{
	bool more;

	do {
		spin_lock_irq(&p->wait.lock);
		walk(p, KVBM_CHUNK);
		more = p->walking;
		spin_unlock_irq(&p->wait.lock);
		cond_resched();
	} while (more);
}

static void walk_work(struct work_struct *work)
{
	struct kvbm_file *f = container_of(work, struct kvbm_file, poll.work);

	walk_on(&f->poll);
	kvbm_file_put(f);
}

/**
 * kvbm_poll_all() - wake all who poll
 * @p: what they poll; nobody else wakes them
 *
 * May sleep.
 */
void kvbm_poll_all(struct kvbm_poll *p)
{
	spin_lock_irq(&p->wait.lock);
	p->walking = true;
	list_add(&p->mark.entry, &p->wait.head);
	spin_unlock_irq(&p->wait.lock);
	walk_on(p);
}

/**
 * kvbm_poll_wake() - wake those who poll a session
 * @f: its file
 * @budget: watches to wake now; the rest is woken by a work item
 *
 * Return: how many were woken now.
 */
u32 kvbm_poll_wake(struct kvbm_file *f, u32 budget)
{
	struct kvbm_poll *p = &f->poll;
	unsigned long flags;
	bool more = false;
	u32 n = 0;

	spin_lock_irqsave(&p->wait.lock, flags);
	if (p->walking) {
		p->again = true;
	} else {
		p->walking = true;
		list_add(&p->mark.entry, &p->wait.head);
		n = walk(p, budget);
		more = p->walking;
	}
	spin_unlock_irqrestore(&p->wait.lock, flags);
	if (more) {
		kref_get(&f->ref);
		queue_work(poll_wq, &p->work);
	}
	return n;
}

static void poll_get(struct kvbm_session *ses)
{
	kref_get(&container_of(ses, struct kvbm_file, ses)->ref);
}

static void free_work(struct work_struct *work)
{
	struct kvbm_file *f = container_of(work, struct kvbm_file,
					   poll.free_work);

	kvbm_file_free(&f->ref);
}

static void free_later(struct kref *ref)
{
	struct kvbm_file *f = container_of(ref, struct kvbm_file, ref);

	queue_work(poll_wq, &f->poll.free_work);
}

static u32 poll_wake_put(struct kvbm_session *ses, u32 budget)
{
	struct kvbm_file *f = container_of(ses, struct kvbm_file, ses);
	u32 n = kvbm_poll_wake(f, budget);

	kref_put(&f->ref, free_later);
	return n;
}

const struct kvbm_poll_ops kvbm_poll_ops = {
	.get = poll_get,
	.wake = poll_wake_put,
};

/**
 * kvbm_poll_init() - nobody polls a session yet
 * @p: its file's
 */
void kvbm_poll_init(struct kvbm_poll *p)
{
	init_waitqueue_head(&p->wait);
	init_waitqueue_func_entry(&p->mark, mark_passed);
	INIT_LIST_HEAD(&p->mark.entry);
	INIT_WORK(&p->work, walk_work);
	INIT_WORK(&p->free_work, free_work);
}

int __init kvbm_poll_start(void)
{
	poll_wq = alloc_workqueue("kvbm_poll", WQ_UNBOUND, 0);
	return poll_wq ? 0 : -ENOMEM;
}

/* No file is open any more; what is left of some is freed here. */
void kvbm_poll_stop(void)
{
	destroy_workqueue(poll_wq);
}
