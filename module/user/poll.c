// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * poll.c - waking a session's pollers
 *
 * Each session has its own wait queue, which is walked in steps (watch.c).
 * Whoever frees blocks wakes up to KVBM_CHUNK watches itself, of all sessions
 * together; a work item continues from there.
 *
 * The waker holds the session's struct kvbm_file.  That reference may be the
 * last one, but never frees the store on the spot: the waker may be the store's
 * own work item.
 */
#include <linux/workqueue.h>
#include "file.h"

static struct workqueue_struct *poll_wq;

static void walk_work(struct work_struct *work)
{
	struct kvbm_file *f = container_of(work, struct kvbm_file, poll.work);

	kvbm_watch_rest(&f->poll);
	kvbm_file_put(f);
}

/**
 * kvbm_poll_wake() - wake a session's pollers
 * @f: its file
 * @budget: watches to wake now; a work item wakes the rest
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
		n = kvbm_watch_some(p, budget);
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
 * kvbm_poll_init() - initialise a session's poll queue
 * @p: its file's
 */
void kvbm_poll_init(struct kvbm_poll *p)
{
	kvbm_watch_init(p);
	INIT_WORK(&p->work, walk_work);
	INIT_WORK(&p->free_work, free_work);
}

int __init kvbm_poll_start(void)
{
	poll_wq = alloc_workqueue("kvbm_poll", WQ_UNBOUND, 0);
	return poll_wq ? 0 : -ENOMEM;
}

/* No file is open any more; free what is left of some. */
void kvbm_poll_stop(void)
{
	destroy_workqueue(poll_wq);
}
