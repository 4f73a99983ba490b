// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * watch.c - waking everybody in a wait queue, in steps
 *
 * A user may put as many watches into a queue as he can have descriptors.  So
 * waking is a walk: an entry of our own marks its position in the queue, and
 * after at most KVBM_CHUNK watches it drops the queue's lock, which disables
 * interrupts.
 *
 * New watches enter at the head, and then check the condition.  A wake-up
 * during a walk causes another walk after it, which visits each watch again.
 */
#include <linux/poll.h>
#include <linux/sched.h>
#include "file.h"

static int mark_passed(struct wait_queue_entry *mark, unsigned int mode,
		       int flags, void *key)
{
	return 0;
}

/**
 * kvbm_watch_some() - do part of a walk; the queue's lock is held
 * @p: the watches
 * @budget: how many at most
 *
 * Return: how many were visited.  @p->walking: there are more.
 */
u32 kvbm_watch_some(struct kvbm_poll *p, u32 budget)
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

/**
 * kvbm_watch_rest() - do the rest of a walk
 * @p: the watches
 *
 * May sleep.
 */
void kvbm_watch_rest(struct kvbm_poll *p)
{
	bool more;

	do {
		spin_lock_irq(&p->wait.lock);
		kvbm_watch_some(p, KVBM_CHUNK);
		more = p->walking;
		spin_unlock_irq(&p->wait.lock);
		cond_resched();
	} while (more);
}

/**
 * kvbm_watch_turn() - wake up to KVBM_CHUNK watches
 * @p: the watches; nobody else wakes them
 * @all: start over with all of them
 *
 * Return: whether there are more.
 */
bool kvbm_watch_turn(struct kvbm_poll *p, bool all)
{
	bool more;

	spin_lock_irq(&p->wait.lock);
	if (all && p->walking) {
		p->again = true;
	} else if (all) {
		p->walking = true;
		list_add(&p->mark.entry, &p->wait.head);
	}
	if (p->walking)
		kvbm_watch_some(p, KVBM_CHUNK);
	more = p->walking;
	spin_unlock_irq(&p->wait.lock);
	return more;
}

/**
 * kvbm_watch_init() - initialise an empty queue of watches
 * @p: the watches
 */
void kvbm_watch_init(struct kvbm_poll *p)
{
	init_waitqueue_head(&p->wait);
	init_waitqueue_func_entry(&p->mark, mark_passed);
	INIT_LIST_HEAD(&p->mark.entry);
}
