// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * waiters.c - waiters and pollers for blocks
 *
 * An allocation that finds too few blocks may wait.  Waiters reserve nothing
 * until their whole n is available, and get it strictly in the order of their
 * places; while the queue is not empty, nobody else reserves.  Whoever frees
 * blocks grants them.
 *
 * A place is a number, drawn when the wait begins.  A waiter is in the queue
 * while two conditions hold, which both depend on its own session only:
 *
 *	a call waits: otherwise it is a ticket, the place of a wait that a
 *	signal ended, which the next call may use;
 *
 *	others' releases could serve it: n + held + allocating of its session do
 *	not exceed the store's total and the session's limit.  Otherwise it is
 *	parked.
 *
 * Otherwise it is beside the queue and holds up nobody.  It rejoins at its
 * place.  While in the queue, its n is part of the session's allocating: a
 * grant need not check the limit again.
 *
 * held and allocating change under the session's lock.  When they do in a
 * watched session, kvbm_session_look() moves its waiters in and out before that
 * lock is dropped.  A session has at most KVBM_MAX_TICKETS.
 *
 * Polled sessions that found too few blocks are in another tree, by the number
 * of blocks at which to wake them.
 *
 * Wake-ups come after both locks are dropped (kvbm_unlock_notify()).
 */
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include "core.h"
#include "locked.h"
#include "trace.h"

static struct kvbm_waiter *waiter_of(struct rb_node *node)
{
	return rb_entry(node, struct kvbm_waiter, node);
}

static bool comes_before(struct rb_node *a, const struct rb_node *b)
{
	return waiter_of(a)->place <
	       rb_entry(b, struct kvbm_waiter, node)->place;
}

static struct kvbm_session *poller_of(struct rb_node *node)
{
	return rb_entry(node, struct kvbm_session, poll_node);
}

static bool wants_less(struct rb_node *a, const struct rb_node *b)
{
	return poller_of(a)->poll_mark <
	       rb_entry(b, struct kvbm_session, poll_node)->poll_mark;
}

/* Not kvbm_lock_store(): nothing is taken from the policy here. */
static void lock_store(struct kvbm_locked *l)
{
	if (l->held)
		return;
	spin_lock(&l->st->lock);
	l->held = true;
}

static void queue_in(struct kvbm_waiter *w)
{
	struct kvbm_session *ses = w->ses;
	struct kvbm_store *st = ses->store;

	lockdep_assert_held(&ses->lock);
	lockdep_assert_held(&st->lock);
	ses->allocating += w->n;
	ses->nr_queued++;
	st->nr_waiters++;
	WRITE_ONCE(w->state, KVBM_WAIT_QUEUED);
	rb_add_cached(&w->node, &st->waiters, comes_before);
}

static void queue_out(struct kvbm_waiter *w)
{
	struct kvbm_session *ses = w->ses;
	struct kvbm_store *st = ses->store;

	lockdep_assert_held(&ses->lock);
	lockdep_assert_held(&st->lock);
	rb_erase_cached(&w->node, &st->waiters);
	st->nr_waiters--;
	ses->nr_queued--;
	ses->allocating -= w->n;
}

/* Could others' releases serve it? */
static bool could_be_served(const struct kvbm_session *ses, u32 n)
{
	return n <= kvbm_quota(ses) &&
	       (u64)ses->held + ses->allocating + n <= ses->store->cfg.total;
}

/* The session's limit once no lingering blocks lower it. */
static u32 full_limit(const struct kvbm_session *ses)
{
	return ses->store->cfg.max_held ?: U32_MAX;
}

/*
 * Can a session come to hold less, or be allowed more, without a call of its
 * own? Accepting its offers takes holds from it; lingering blocks become free
 * in time.
 */
static bool others_help(const struct kvbm_session *ses)
{
	lockdep_assert_held(&ses->lock);
	return ses->nr_offered || ses->max_held < full_limit(ses);
}

static void park(struct kvbm_waiter *w)
{
	WRITE_ONCE(w->state, KVBM_WAIT_PARKED);
	w->ses->nr_parked++;
}

/* Take it out of its session's list. */
static void forget(struct kvbm_waiter *w)
{
	lockdep_assert_held(&w->ses->lock);
	list_del_init(&w->link);
	w->ses->nr_waiters--;
}

static void poll_arm(struct kvbm_session *ses, u32 mark)
{
	struct kvbm_store *st = ses->store;

	lockdep_assert_held(&st->lock);
	if (!RB_EMPTY_NODE(&ses->poll_node)) {
		if (ses->poll_mark <= mark)
			return;
		rb_erase_cached(&ses->poll_node, &st->pollers);
	}
	ses->poll_mark = mark;
	rb_add_cached(&ses->poll_node, &st->pollers, wants_less);
}

/**
 * kvbm_session_look() - a watched session's held or allocating has changed
 * @ses: the session, locked
 * @l: the store's lock, which is taken if needed; the caller ends with
 *	kvbm_unlock_notify()
 */
void kvbm_session_look(struct kvbm_session *ses, struct kvbm_locked *l)
{
	struct kvbm_waiter *w;

	lockdep_assert_held(&ses->lock);
	if (ses->nr_queued)
		list_for_each_entry_reverse(w, &ses->waiters, link) {
			if ((u64)ses->held + ses->allocating <=
			    ses->store->cfg.total)
				break;
			lock_store(l);
			if (w->state != KVBM_WAIT_QUEUED)
				continue;
			queue_out(w);
			park(w);
		}
	if (ses->nr_parked)
		list_for_each_entry(w, &ses->waiters, link) {
			if (READ_ONCE(w->state) != KVBM_WAIT_PARKED ||
			    !could_be_served(ses, w->n))
				continue;
			lock_store(l);
			ses->nr_parked--;
			queue_in(w);
		}
	if (ses->quota_mark && kvbm_quota(ses) >= ses->quota_mark) {
		ses->quota_mark = 0;
		lock_store(l);
		/* As soon as nobody waits. */
		poll_arm(ses, 0);
	}
	ses->watched = ses->nr_queued || ses->nr_parked || ses->quota_mark;
}

/**
 * kvbm_session_grown() - unlock a watched session that may now hold more
 * @ses: the session, locked
 */
void kvbm_session_grown(struct kvbm_session *ses)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);

	kvbm_session_look(ses, &l);
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
}

/* Grants per lock hold, and wake-ups after it; a work item does the rest. */
#define TOLD_MAX	KVBM_CHUNK

/**
 * kvbm_wake_waiters() - blocks may be free: grant, wake pollers, unlock
 * @l: the store's lock, held; no session's is
 */
void kvbm_wake_waiters(struct kvbm_locked *l)
{
	struct task_struct *tasks[TOLD_MAX] __uninitialized;
	struct kvbm_session *due[TOLD_MAX] __uninitialized;
	u32 i, nr_tasks = 0, nr_due = 0, budget = TOLD_MAX;
	struct kvbm_store *st = l->st;
	struct rb_node *node;
	bool more = false;

	lockdep_assert_held(&st->lock);
	while ((node = rb_first_cached(&st->waiters))) {
		struct kvbm_waiter *w = waiter_of(node);

		if (w->n > kvbm_available(st))
			break;
		if (nr_tasks == TOLD_MAX) {
			more = true;
			break;
		}
		rb_erase_cached(node, &st->waiters);
		st->nr_waiters--;
		st->reserved += w->n;
		w->ses->reserved += w->n;
		st->wait_grants++;
		st->wait_wakeups++;
		/* From here on the waiter may go; its task stays. */
		tasks[nr_tasks++] = get_task_struct(w->task);
		WRITE_ONCE(w->state, KVBM_WAIT_GRANTED);
	}
	while (!st->nr_waiters && (node = rb_first_cached(&st->pollers))) {
		struct kvbm_session *ses = poller_of(node);

		if (ses->poll_mark > kvbm_available(st))
			break;
		if (nr_due == TOLD_MAX) {
			more = true;
			break;
		}
		rb_erase_cached(node, &st->pollers);
		RB_CLEAR_NODE(node);
		if (!st->poll)
			continue;
		/* It is in the tree, so its file exists. */
		st->poll->get(ses);
		due[nr_due++] = ses;
	}
	if (more)
		schedule_work(&st->notify_work);

	/*
	 * A granted waiter need not wait until the granting task runs again.
	 * With PREEMPT_RT unlocking may sleep, and priorities decide who runs.
	 */
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_disable();
	kvbm_unlock_store(l);
	for (i = 0; i < nr_tasks; i++)
		wake_up_process(tasks[i]);
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_enable();
	for (i = 0; i < nr_tasks; i++)
		put_task_struct(tasks[i]);
	for (i = 0; i < nr_due; i++)
		budget -= min(budget, st->poll->wake(due[i], budget));
}

/* The rest of many grants, or pollers. */
void kvbm_notify_work(struct work_struct *work)
{
	struct kvbm_store *st = container_of(work, struct kvbm_store,
					     notify_work);
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);

	lock_store(&l);
	kvbm_unlock_notify(&l);
}

static struct kvbm_waiter *find_ticket(struct kvbm_session *ses, u32 ticket)
{
	struct kvbm_waiter *w;

	lockdep_assert_held(&ses->lock);
	if (ticket)
		list_for_each_entry(w, &ses->waiters, link)
			if (w->ticket == ticket)
				return w;
	return NULL;
}

static struct kvbm_waiter *oldest_idle(struct kvbm_session *ses)
{
	struct kvbm_waiter *w;

	lockdep_assert_held(&ses->lock);
	list_for_each_entry(w, &ses->waiters, link)
		if (READ_ONCE(w->state) == KVBM_WAIT_IDLE)
			return w;
	return NULL;
}

/* A new waiter: the last place of all. */
static void waiter_add(struct kvbm_session *ses, struct kvbm_waiter *w, u32 n,
		       u64 now)
{
	struct kvbm_store *st = ses->store;

	lockdep_assert_held(&ses->lock);
	lockdep_assert_held(&st->lock);
	w->ses = ses;
	w->n = n;
	w->since_ns = now;
	w->place = st->next_place++;
	do {
		w->ticket = ++ses->last_ticket;
	} while (!w->ticket || find_ticket(ses, w->ticket));
	list_add_tail(&w->link, &ses->waiters);
	ses->nr_waiters++;
	st->waits++;
}

/**
 * kvbm_wait_begin() - queue for blocks
 * @t: filled in
 * @ses: for this session
 * @n: blocks, 1 to the store's total
 * @ticket: ticket that an earlier wait left, or 0
 * @alone: only the caller can release what the session holds
 * @wp: out: the waiter; the caller sleeps until its ->state is
 *	KVBM_WAIT_GRANTED or above, which it may be at once
 *
 * Return: 0: wait, then call kvbm_wait_end(); -EDQUOT, -EDEADLK, -EBUSY,
 * -EMLINK, -ENOMEM as in struct kvbm_alloc, or the session's end.
 */
int kvbm_wait_begin(struct kvbm_alloc_ctx *t, struct kvbm_session *ses, u32 n,
		    u32 ticket, bool alone, struct kvbm_waiter **wp)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_waiter *w, *fresh, *old = NULL;
	u64 now = ktime_get_boottime_ns();
	bool queue;
	int err;

	*t = (struct kvbm_alloc_ctx) { .ses = ses };
	INIT_LIST_HEAD(&t->link);
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return -ENOMEM;

	spin_lock(&ses->lock);
	queue = could_be_served(ses, n);
	w = find_ticket(ses, ticket);
	if (w && w->n != n)
		w = NULL;
	if (ses->dead) {
		err = ses->dead;
	} else if (n > full_limit(ses)) {
		err = -EDQUOT;
	} else if (!queue && alone && !others_help(ses)) {
		err = -EDEADLK;
	} else if (w && READ_ONCE(w->state) != KVBM_WAIT_IDLE) {
		err = -EBUSY;
	} else {
		err = 0;
		if (!w && ses->nr_waiters == KVBM_MAX_TICKETS) {
			old = oldest_idle(ses);
			if (old)
				forget(old);
			else
				err = -EMLINK;
		}
	}
	if (!err) {
		lock_store(&l);
		if (!w) {
			w = fresh;
			fresh = NULL;
			waiter_add(ses, w, n, now);
		}
		w->task = current;
		if (queue)
			queue_in(w);
		else
			park(w);
		ses->watched = true;
		*wp = w;
		t->left = n;
	}
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
	if (err)
		trace_kvbm_alloc(ses->store, ses->number, n, 0, err);
	kfree(fresh);
	kfree(old);
	return err;
}

/* An allocation got the blocks that it had waited for. */
static void count_wait(struct kvbm_store *st, u64 ns)
{
	u32 i = fls64(ns >> KVBM_WAIT_SHIFT);

	lockdep_assert_held(&st->lock);
	st->wait_ns += ns;
	st->wait_histogram[min_t(u32, i, KVBM_WAIT_BUCKETS - 1)]++;
}

/**
 * kvbm_wait_end() - stop waiting
 * @t: the allocation
 * @w: from kvbm_wait_begin(); it is gone afterwards
 * @err: why it stops; 0 if it was granted
 * @keep: leave the place as a ticket
 * @fatal: after a fatal signal even a grant is dropped
 * @ticket: out: the ticket left, or 0
 *
 * A grant beats a timeout or a signal that came at the same moment.
 *
 * Return: 0: granted, continue with kvbm_alloc_chunk(); else @err or the
 * session's end, everything is undone.
 */
int kvbm_wait_end(struct kvbm_alloc_ctx *t, struct kvbm_waiter *w, int err,
		  bool keep, bool fatal, u32 *ticket)
{
	struct kvbm_session *ses = t->ses;
	struct kvbm_store *st = ses->store;
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u64 since_ns = w->since_ns;
	u32 n = w->n;
	u64 now = ktime_get_boottime_ns();

	*ticket = 0;
	spin_lock(&ses->lock);
	lock_store(&l);
	if (ses->dead) {
		/* Whoever ends it releases what was promised. */
		err = ses->dead;
		if (w->state == KVBM_WAIT_QUEUED) {
			rb_erase_cached(&w->node, &st->waiters);
			st->nr_waiters--;
		}
		if (w->state != KVBM_WAIT_DEAD)
			forget(w);
	} else if (w->state == KVBM_WAIT_GRANTED && !(err && fatal)) {
		err = 0;
		ses->nr_queued--;
		count_wait(st, now - min(now, w->since_ns));
		forget(w);
	} else {
		if (w->state == KVBM_WAIT_GRANTED) {
			st->reserved -= w->n;
			ses->reserved -= w->n;
			ses->allocating -= w->n;
			ses->nr_queued--;
		} else if (w->state == KVBM_WAIT_QUEUED) {
			queue_out(w);
		} else {
			ses->nr_parked--;
		}
		if (keep && !fatal) {
			*ticket = w->ticket;
			w->task = NULL;
			w->state = KVBM_WAIT_IDLE;
			w = NULL;
		} else {
			forget(w);
		}
	}
	if (err)
		t->left = 0;
	/*
	 * Others of the session may queue now; waiters behind it get their
	 * turn.
	 */
	if (!ses->dead)
		kvbm_session_look(ses, &l);
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
	kfree(w);
	if (trace_kvbm_alloc_enabled())
		trace_kvbm_alloc(st, ses->number, n,
				 ktime_get_boottime_ns() - since_ns, err);
	return err;
}

/**
 * kvbm_ticket_give_up() - drop a place in the queue
 * @ses: the session
 * @ticket: its ticket
 *
 * Return: 0, -ENOENT, -EBUSY (a call waits with it), or the session's end.
 */
int kvbm_ticket_give_up(struct kvbm_session *ses, u32 ticket)
{
	struct kvbm_waiter *w;
	int err;

	spin_lock(&ses->lock);
	w = find_ticket(ses, ticket);
	err = ses->dead;
	if (!err && !w)
		err = -ENOENT;
	else if (!err && READ_ONCE(w->state) != KVBM_WAIT_IDLE)
		err = -EBUSY;
	if (!err)
		forget(w);
	spin_unlock(&ses->lock);
	if (!err)
		kfree(w);
	return err;
}

/**
 * kvbm_waiters_end() - wake a session's waiters at its end
 * @ses: the session, dead
 *
 * Releases everything reserved for it, also for allocations that are already
 * taking blocks: they see under its lock that it is dead before they take more.
 */
void kvbm_waiters_end(struct kvbm_session *ses)
{
	struct task_struct *tasks[KVBM_MAX_TICKETS] __uninitialized;
	struct kvbm_store *st = ses->store;
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	struct kvbm_waiter *w, *next;
	u32 i, n = 0;

	spin_lock(&ses->lock);
	lock_store(&l);
	list_for_each_entry_safe(w, next, &ses->waiters, link) {
		forget(w);
		if (w->state == KVBM_WAIT_QUEUED) {
			rb_erase_cached(&w->node, &st->waiters);
			st->nr_waiters--;
		}
		if (w->state == KVBM_WAIT_IDLE) {
			kfree(w);
			continue;
		}
		/* The sleeper frees it, once it has had these locks. */
		tasks[n++] = get_task_struct(w->task);
		st->wait_wakeups++;
		WRITE_ONCE(w->state, KVBM_WAIT_DEAD);
	}
	/*
	 * The second one writes nothing: the first may look without the lock.
	 */
	if (ses->allocating || ses->nr_parked) {
		ses->nr_queued = 0;
		ses->nr_parked = 0;
		st->reserved -= ses->reserved;
		ses->reserved = 0;
		ses->allocating = 0;
	}
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
	for (i = 0; i < n; i++) {
		wake_up_process(tasks[i]);
		put_task_struct(tasks[i]);
	}
}

/**
 * kvbm_poll_available() - could the session allocate its low watermark?
 * @ses: the session
 *
 * If not, its pollers are woken (struct kvbm_poll_ops) once it could.
 */
bool kvbm_poll_available(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;
	u32 mark = READ_ONCE(ses->low_watermark);
	bool quota, room;

	spin_lock(&ses->lock);
	WRITE_ONCE(ses->polled, true);
	quota = kvbm_quota(ses) >= mark;
	if (!quota) {
		ses->quota_mark = min_not_zero(ses->quota_mark, mark);
		ses->watched = true;
	}
	spin_lock(&st->lock);
	room = !st->nr_waiters && kvbm_available(st) >= mark;
	if (!room)
		poll_arm(ses, mark);
	spin_unlock(&st->lock);
	spin_unlock(&ses->lock);
	return quota && room;
}

/**
 * kvbm_poll_short() - a call found too few blocks: wake pollers when there are
 *	more
 * @ses: the session
 * @n: blocks that were too many
 *
 * An edge-triggered poller looks again only after an edge; so an edge follows
 * each shortage as soon as @n, and the low watermark, are available.
 */
void kvbm_poll_short(struct kvbm_session *ses, u32 n)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);

	if (!READ_ONCE(ses->polled))
		return;
	n = max(n, READ_ONCE(ses->low_watermark));
	spin_lock(&ses->lock);
	if (n <= kvbm_quota(ses)) {
		lock_store(&l);
		poll_arm(ses, n);
	} else if (n <= full_limit(ses)) {
		ses->quota_mark = min_not_zero(ses->quota_mark, n);
		ses->watched = true;
	}
	spin_unlock(&ses->lock);
	/* It may be available by now. */
	kvbm_unlock_notify(&l);
}

/**
 * kvbm_poll_config() - set the low watermark for poll
 * @ses: the session
 * @low_watermark: blocks
 *
 * The caller wakes existing pollers.
 *
 * Return: 0, or -EINVAL: more than the session can ever allocate.
 */
int kvbm_poll_config(struct kvbm_session *ses, u32 low_watermark)
{
	if (!low_watermark || low_watermark > ses->store->cfg.total ||
	    low_watermark > full_limit(ses))
		return -EINVAL;
	WRITE_ONCE(ses->low_watermark, low_watermark);
	return 0;
}

/* The session's file is about to go: nobody polls it any more. */
void kvbm_poll_end(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;

	spin_lock(&st->lock);
	if (!RB_EMPTY_NODE(&ses->poll_node)) {
		rb_erase_cached(&ses->poll_node, &st->pollers);
		RB_CLEAR_NODE(&ses->poll_node);
	}
	spin_unlock(&st->lock);
}
