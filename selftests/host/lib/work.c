// SPDX-License-Identifier: MIT
/* The worker thread, work items, mutexes, wait queues and completions. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
#include "host.h"
#include "lib.h"

/* Everything below is under this. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t kicked;		/* there is something to do */
static pthread_cond_t finished;		/* a work item has returned */
static LIST_HEAD(queue);
static bool manual, started, worker_busy;
static unsigned int running;		/* items, in any thread */
static unsigned long kicks;		/* ever: RCU callbacks count here too */

#define MAX_RUNNING 8
static struct work_struct *current_work[MAX_RUNNING];
static __thread bool is_worker;

static void conds_setup(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&kicked, &attr);
	pthread_cond_init(&finished, &attr);
	pthread_condattr_destroy(&attr);
}

/*
 * A child starts with the locks of the stand-ins free and what they guard
 * consistent, but without a worker: it starts its own if it needs one.
 */
static void before_fork(void)
{
	host_rcu_fork_lock();
	pthread_mutex_lock(&lock);
	host_alloc_fork_lock();
}

static void after_fork_parent(void)
{
	host_alloc_fork_unlock();
	pthread_mutex_unlock(&lock);
	host_rcu_fork_unlock(false);
}

static void after_fork_child(void)
{
	int i;

	host_alloc_fork_unlock();
	started = false;
	worker_busy = false;
	running = 0;
	for (i = 0; i < MAX_RUNNING; i++)
		current_work[i] = NULL;
	pthread_mutex_unlock(&lock);
	host_rcu_fork_unlock(true);
}

static void __attribute__((constructor)) work_setup(void)
{
	conds_setup();
	BUG_ON(pthread_atfork(before_fork, after_fork_parent,
			      after_fork_child));
}

/* @ns from now, on the real clock even while the test has frozen its own. */
static struct timespec in_ns(u64 ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns += (u64)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
	return (struct timespec){ .tv_sec = ns / NSEC_PER_SEC,
				  .tv_nsec = ns % NSEC_PER_SEC };
}

/* The first item that may run now; else @next says in how many ns one may. */
static struct work_struct *first_due(bool any, u64 *next)
{
	struct work_struct *w;
	u64 now = 0;

	*next = U64_MAX;
	list_for_each_entry(w, &queue, entry) {
		if (any || !w->due)
			return w;
		if (!now)
			now = ktime_get_ns();
		if (w->due <= now)
			return w;
		*next = min(*next, w->due - now);
	}
	return NULL;
}

/* Called and returns with the lock held, which it drops meanwhile. */
static void run_one(struct work_struct *w)
{
	work_func_t func = w->func;
	int i;

	for (i = 0; i < MAX_RUNNING - 1 && current_work[i]; i++)
		;
	BUG_ON(current_work[i]);
	current_work[i] = w;
	list_del_init(&w->entry);
	w->pending = false;
	running++;
	pthread_mutex_unlock(&lock);
	func(w);	/* may free @w */
	pthread_mutex_lock(&lock);
	running--;
	current_work[i] = NULL;
	pthread_cond_broadcast(&finished);
}

static bool is_running(const struct work_struct *w)
{
	int i;

	for (i = 0; i < MAX_RUNNING; i++)
		if (current_work[i] == w)
			return true;
	return false;
}

static void *worker(void *arg)
{
	struct work_struct *w;
	unsigned long seen;
	u64 next;

	is_worker = true;
	pthread_mutex_lock(&lock);
	for (;;) {
		seen = kicks;
		worker_busy = true;
		while (!manual && (w = first_due(false, &next)))
			run_one(w);
		if (!manual) {
			pthread_mutex_unlock(&lock);
			host_rcu_run_callbacks();
			pthread_mutex_lock(&lock);
		}
		worker_busy = false;
		pthread_cond_broadcast(&finished);
		while (seen == kicks) {
			struct timespec ts;

			first_due(false, &next);
			if (manual || next == U64_MAX) {
				pthread_cond_wait(&kicked, &lock);
				continue;
			}
			ts = in_ns(next);
			if (pthread_cond_timedwait(&kicked, &lock, &ts) ==
			    ETIMEDOUT)
				break;
		}
	}
	return NULL;
}

static void kick_locked(void)
{
	pthread_t t;

	kicks++;
	if (manual)
		return;
	if (!started) {
		started = true;
		BUG_ON(pthread_create(&t, NULL, worker, NULL));
		pthread_setname_np(t, "kworker");
		pthread_detach(t);
	}
	pthread_cond_signal(&kicked);
}

void host_worker_kick(void)
{
	pthread_mutex_lock(&lock);
	kick_locked();
	pthread_mutex_unlock(&lock);
}

bool host_queue_work(struct work_struct *w, u64 delay_ns, bool again)
{
	bool was;

	pthread_mutex_lock(&lock);
	was = w->pending;
	if (was && again)
		list_del(&w->entry);
	if (!was || again) {
		w->pending = true;
		w->due = delay_ns ? ktime_get_ns() + delay_ns : 0;
		list_add_tail(&w->entry, &queue);
		kick_locked();
	}
	pthread_mutex_unlock(&lock);
	return !was;
}

bool work_pending(struct work_struct *w)
{
	bool pending;

	pthread_mutex_lock(&lock);
	pending = w->pending;
	pthread_mutex_unlock(&lock);
	return pending;
}

bool work_busy(struct work_struct *w)
{
	bool busy;

	pthread_mutex_lock(&lock);
	busy = w->pending || is_running(w);
	pthread_mutex_unlock(&lock);
	return busy;
}

bool flush_work(struct work_struct *w)
{
	bool waited = false;

	might_sleep();
	pthread_mutex_lock(&lock);
	while (w->pending || is_running(w)) {
		waited = true;
		/* Who cannot wait for the worker runs it on the spot. */
		if (w->pending && (manual || is_worker || w->due))
			run_one(w);
		else
			pthread_cond_wait(&finished, &lock);
	}
	pthread_mutex_unlock(&lock);
	return waited;
}

static bool cancel(struct work_struct *w, bool sync)
{
	bool was;

	pthread_mutex_lock(&lock);
	was = w->pending;
	for (;;) {
		if (w->pending) {
			list_del_init(&w->entry);
			w->pending = false;
		}
		if (!sync || !is_running(w))
			break;
		/* It may queue itself again before it returns. */
		pthread_cond_wait(&finished, &lock);
	}
	pthread_mutex_unlock(&lock);
	return was;
}

bool cancel_work_sync(struct work_struct *w)
{
	might_sleep();
	return cancel(w, true);
}

bool cancel_work(struct work_struct *w)
{
	return cancel(w, false);
}

unsigned int host_run_work(void)
{
	struct work_struct *w;
	unsigned int n = 0;
	u64 next;

	pthread_mutex_lock(&lock);
	while ((w = first_due(true, &next))) {
		run_one(w);
		n++;
	}
	pthread_mutex_unlock(&lock);
	return n;
}

/* Waits for the items that run in other threads, having run the rest. */
void host_flush_all(void)
{
	might_sleep();
	do {
		host_run_work();
		pthread_mutex_lock(&lock);
		while (running && !is_worker)
			pthread_cond_wait(&finished, &lock);
		pthread_mutex_unlock(&lock);
	} while (host_run_work());
}

void host_drain(void)
{
	do {
		host_flush_all();
		rcu_barrier();
	} while (!list_empty_careful(&queue) || host_rcu_has_callbacks());
}

void host_work_manual(bool m)
{
	pthread_mutex_lock(&lock);
	manual = m;
	/* What the worker is at is finished first. */
	while (m && worker_busy)
		pthread_cond_wait(&finished, &lock);
	kick_locked();
	pthread_mutex_unlock(&lock);
}

void host_sleep_ns(u64 ns)
{
	struct timespec ts = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC };
	bool parked;

	might_sleep();
	pthread_mutex_lock(&lock);
	parked = manual;
	pthread_mutex_unlock(&lock);
	if (parked) {
		host_run_work();
		rcu_barrier();
	} else {
		nanosleep(&ts, NULL);
	}
}

/* --- mutexes ------------------------------------------------------------ */

#ifdef HOST_DEBUG
#define SELF host_thread_id()
#else
#define SELF 1u
#endif

void __mutex_init(struct mutex *m)
{
	pthread_mutex_init(&m->m, NULL);
	m->owner = 0;
}

void mutex_destroy(struct mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

void mutex_lock(struct mutex *m)
{
	might_sleep();
#ifdef HOST_DEBUG
	BUG_ON(READ_ONCE(m->owner) == SELF);
#endif
	pthread_mutex_lock(&m->m);
	WRITE_ONCE(m->owner, SELF);
}

int mutex_trylock(struct mutex *m)
{
	if (pthread_mutex_trylock(&m->m))
		return 0;
	WRITE_ONCE(m->owner, SELF);
	return 1;
}

void mutex_unlock(struct mutex *m)
{
#ifdef HOST_DEBUG
	BUG_ON(READ_ONCE(m->owner) != SELF);
#endif
	WRITE_ONCE(m->owner, 0);
	pthread_mutex_unlock(&m->m);
}

bool mutex_is_locked(struct mutex *m)
{
	return READ_ONCE(m->owner);
}

bool host_mutex_held(const struct mutex *m)
{
	return READ_ONCE(m->owner) == SELF;
}

/* --- wait queues: all sleepers share one condition ---------------------- */

static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wait_cond;

static void __attribute__((constructor)) wait_setup(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&wait_cond, &attr);
	pthread_condattr_destroy(&attr);
}

void init_waitqueue_head(wait_queue_head_t *wq)
{
	spin_lock_init(&wq->lock);
	wq->wakeups = 0;
}

void host_wake(wait_queue_head_t *wq)
{
	pthread_mutex_lock(&wait_lock);
	smp_store_release(&wq->wakeups, wq->wakeups + 1);
	pthread_cond_broadcast(&wait_cond);
	pthread_mutex_unlock(&wait_lock);
}

bool host_wait(wait_queue_head_t *wq, unsigned long seen, u64 until)
{
	bool more = true;

	pthread_mutex_lock(&wait_lock);
	if (wq->wakeups == seen) {
		/*
		 * A signal is a flag that nobody announces: look again every
		 * few milliseconds.
		 */
		u64 now = ktime_get_ns();
		struct timespec ts;

		if (now >= until) {
			more = false;
		} else {
			ts = in_ns(min_t(u64, until - now, 5 * NSEC_PER_MSEC));
			pthread_cond_timedwait(&wait_cond, &wait_lock, &ts);
		}
	}
	pthread_mutex_unlock(&wait_lock);
	return more;
}

wait_queue_head_t host_var_wait;

/* --- sleeping tasks ------------------------------------------------------ */

bool host_schedule(u64 until)
{
	struct task_struct *me = host_current();
	bool woken = true;

	might_sleep();
	if (!READ_ONCE(me->state)) {
		sched_yield();
		return true;
	}
	pthread_mutex_lock(&wait_lock);
	/* Signals are not announced: they wake whoever sleeps for them. */
	while (READ_ONCE(me->state) &&
	       !(me->state == TASK_INTERRUPTIBLE && host_signal())) {
		u64 now = ktime_get_ns();
		struct timespec ts;

		if (now >= until) {
			woken = false;
			break;
		}
		ts = in_ns(min_t(u64, until - now, 5 * NSEC_PER_MSEC));
		pthread_cond_timedwait(&wait_cond, &wait_lock, &ts);
	}
	WRITE_ONCE(me->state, TASK_RUNNING);
	pthread_mutex_unlock(&wait_lock);
	return woken;
}

void schedule(void)
{
	host_schedule(U64_MAX);
}

int wake_up_process(struct task_struct *t)
{
	unsigned int was;

	pthread_mutex_lock(&wait_lock);
	was = xchg(&t->state, TASK_RUNNING);
	pthread_cond_broadcast(&wait_cond);
	pthread_mutex_unlock(&wait_lock);
	return was != TASK_RUNNING;
}

int schedule_hrtimeout_range(ktime_t *expires, u64 delta,
			     const enum hrtimer_mode mode)
{
	u64 until = U64_MAX;

	if (expires)
		until = mode == HRTIMER_MODE_REL ? ktime_get_ns() + *expires :
						   *expires;
	return host_schedule(until) ? -EINTR : 0;
}

/* --- completions -------------------------------------------------------- */

void init_completion(struct completion *x)
{
	x->done = 0;
	init_waitqueue_head(&x->wait);
}

void reinit_completion(struct completion *x)
{
	x->done = 0;
}

static void complete_n(struct completion *x, unsigned int n)
{
	spin_lock(&x->wait.lock);
	if (x->done != UINT_MAX)
		x->done = n == UINT_MAX ? n : x->done + n;
	/* Still locked: the waiter may free it as soon as it is unlocked. */
	host_wake(&x->wait);
	spin_unlock(&x->wait.lock);
}

void complete(struct completion *x)
{
	complete_n(x, 1);
}

void complete_all(struct completion *x)
{
	complete_n(x, UINT_MAX);
}

bool try_wait_for_completion(struct completion *x)
{
	bool done;

	spin_lock(&x->wait.lock);
	done = x->done;
	if (done && x->done != UINT_MAX)
		x->done--;
	spin_unlock(&x->wait.lock);
	return done;
}

bool completion_done(struct completion *x)
{
	bool done;

	spin_lock(&x->wait.lock);
	done = x->done;
	spin_unlock(&x->wait.lock);
	return done;
}
