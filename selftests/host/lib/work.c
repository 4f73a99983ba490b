// SPDX-License-Identifier: MIT
/* The worker thread, work items and mutexes. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
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
static unsigned long queuings;		/* ever */
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
		w->queued = ++queuings;
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
		/* Those that cannot wait for the worker run it now. */
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

/* The first item; of the delayed ones only such as were queued by then. */
static struct work_struct *first_parked(unsigned long before)
{
	struct work_struct *w;

	list_for_each_entry(w, &queue, entry)
		if (!w->due || w->queued <= before)
			return w;
	return NULL;
}

/* Is anything queued but what comes back by itself after a delay? */
static bool has_work(void)
{
	bool has;

	pthread_mutex_lock(&lock);
	has = first_parked(0);
	pthread_mutex_unlock(&lock);
	return has;
}

unsigned int host_run_work(void)
{
	struct work_struct *w;
	unsigned int n = 0;
	unsigned long before;

	pthread_mutex_lock(&lock);
	before = queuings;
	while ((w = first_parked(before))) {
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
	} while (has_work());
}

void host_drain(void)
{
	do {
		host_flush_all();
		rcu_barrier();
	} while (has_work() || host_rcu_has_callbacks());
}

void host_work_manual(bool m)
{
	pthread_mutex_lock(&lock);
	manual = m;
	/* The worker finishes its current item first. */
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
