// SPDX-License-Identifier: MIT
/*
 * Sleeping tasks, wait queues and completions.
 *
 * A task sleeps on its state, a futex, until somebody makes it TASK_RUNNING.
 * Nothing checks again by itself, so a wake-up that the kernel would lose is
 * lost here, too.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include "host.h"
#include "lib.h"

static long futex(unsigned int *word, int op, unsigned int value,
		  const struct timespec *timeout)
{
	return syscall(__NR_futex, word, op | FUTEX_PRIVATE_FLAG, value,
		       timeout, NULL, 0);
}

/* --- reordering and delays ---------------------------------------------- */

#ifdef HOST_WEAK
static unsigned int delay_one_in;
/* Counts barriers and fillings of queues, of all threads: a clock. */
static unsigned long moment;
static __thread unsigned long acquired_at;	/* this thread, last */

void host_delays(unsigned int one_in)
{
	WRITE_ONCE(delay_one_in, one_in);
}

static bool chance(unsigned int in)
{
	static __thread u64 x;

	if (unlikely(!x))
		x = get_random_u64() | 1;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (x >> 20) % in == 0;
}

static bool strikes(void)
{
	unsigned int in = READ_ONCE(delay_one_in);

	return in && chance(in);
}

/*
 * Mostly a delay that keeps the processor: on a busy machine who gives it away
 * runs again much later, and no two threads ever meet.
 */
void host_delay(void)
{
	struct timespec ts = { 0, 1000 };
	unsigned int spins;

	if (likely(!strikes()))
		return;
	if (chance(32))
		nanosleep(&ts, NULL);
	else if (chance(32))
		sched_yield();
	else
		for (spins = 0; spins < 1000 && !chance(500); spins++)
			cpu_relax();
}

static unsigned long next_moment(void)
{
	return __atomic_add_fetch(&moment, 1, __ATOMIC_SEQ_CST);
}

void host_acquired(void)
{
	acquired_at = next_moment();
}

static void flush_state(void)
{
	struct task_struct *me = host_current();

	if (likely(!me->late))
		return;
	WRITE_ONCE(me->state, me->late - 1);
	me->late = 0;
}

void host_released(void)
{
	flush_state();
}

void host_ordered(void)
{
	flush_state();
	acquired_at = next_moment();
}

void __set_current_state(unsigned int state)
{
	struct task_struct *me = host_current();

	me->late = 0;
	if (state && strikes())
		me->late = state + 1;
	else
		WRITE_ONCE(me->state, state);
	host_delay();
}

/* Could this thread still see the queue empty, as it was before? */
bool waitqueue_active(wait_queue_head_t *wq)
{
	host_delay();
	if (list_empty(&wq->head))
		return false;
	return READ_ONCE(wq->since) <= acquired_at || !strikes();
}

static void filled(wait_queue_head_t *wq)
{
	if (list_empty(&wq->head))
		WRITE_ONCE(wq->since, next_moment());
}
#else
void host_delays(unsigned int one_in)
{
}

#define flush_state() ((void)0)
#define filled(wq) ((void)(wq))
#endif

/* --- sleeping tasks ------------------------------------------------------ */

int signal_pending_state(unsigned int state, struct task_struct *t)
{
	if (!(state & (TASK_INTERRUPTIBLE | TASK_WAKEKILL)))
		return 0;
	if (t != current)
		return state & TASK_INTERRUPTIBLE ? READ_ONCE(t->sig_pending) :
						    READ_ONCE(t->sig_fatal);
	return state & TASK_INTERRUPTIBLE ? host_signal() :
					    host_fatal_signal();
}

/* Timers need no wake-up of anybody: looking at the clock is right. */
static bool sleep_on(struct task_struct *me, unsigned int state, u64 until)
{
	struct timespec ts;
	u64 now, ns;

	if (until == U64_MAX) {
		futex(&me->state, FUTEX_WAIT, state, NULL);
		return true;
	}
	now = ktime_get_ns();
	if (now >= until)
		return false;
	/* The test may have stopped the clock, and start it again. */
	ns = min_t(u64, until - now, NSEC_PER_MSEC);
	if (ktime_get_ns() != now)
		ns = until - now;
	ts.tv_sec = ns / NSEC_PER_SEC;
	ts.tv_nsec = ns % NSEC_PER_SEC;
	futex(&me->state, FUTEX_WAIT, state, &ts);
	return true;
}

bool host_schedule(u64 until)
{
	struct task_struct *me = host_current();
	unsigned int state;
	bool woken = true;

	/* Going to sleep is a full barrier. */
	smp_mb();
	state = READ_ONCE(me->state);
	if (!state) {
		sched_yield();
		return until > ktime_get_ns();
	}
	while (state && host_fatal_soon())
		if (signal_pending_state(state, me))
			break;
	while ((state = smp_load_acquire(&me->state))) {
		if (signal_pending_state(state, me))
			break;
		if (!sleep_on(me, state, until)) {
			/* Woken and late: the kernel says that it is late. */
			woken = false;
			break;
		}
	}
	WRITE_ONCE(me->state, TASK_RUNNING);
	might_sleep();
	return woken;
}

void schedule(void)
{
	host_schedule(U64_MAX);
}

int wake_up_state(struct task_struct *t, unsigned int states)
{
	unsigned int was;

	if (t == current) {
		flush_state();
		was = READ_ONCE(t->state);
		if (!(was & states))
			return 0;
		WRITE_ONCE(t->state, TASK_RUNNING);
		return 1;
	}
	/* A task that is not asleep yet sees what the waker did before. */
	smp_mb();
	was = READ_ONCE(t->state);
	do {
		if (!(was & states))
			return 0;
	} while (!try_cmpxchg(&t->state, &was, TASK_RUNNING));
	/* Its owner may be gone by now; then nobody sleeps there. */
	futex(&t->state, FUTEX_WAKE, INT_MAX, NULL);
	return 1;
}

int schedule_hrtimeout_range(ktime_t *expires, u64 delta,
			     const enum hrtimer_mode mode)
{
	u64 until = U64_MAX;

	if (expires && !*expires) {
		__set_current_state(TASK_RUNNING);
		return 0;
	}
	if (expires)
		until = mode == HRTIMER_MODE_REL ? ktime_get_ns() + *expires :
						   *expires;
	return host_schedule(until) ? -EINTR : 0;
}

long schedule_timeout(long timeout)
{
	u64 now, until = U64_MAX;

	if (timeout == MAX_SCHEDULE_TIMEOUT) {
		schedule();
		return timeout;
	}
	until = host_until(timeout);
	host_schedule(until);
	now = ktime_get_ns();
	return now >= until ? 0 : (until - now) / (NSEC_PER_SEC / HZ);
}

/* --- wait queues --------------------------------------------------------- */

void init_waitqueue_head(wait_queue_head_t *wq)
{
	spin_lock_init(&wq->lock);
	INIT_LIST_HEAD(&wq->head);
}

int default_wake_function(struct wait_queue_entry *wqe, unsigned int mode,
			  int flags, void *key)
{
	return wake_up_state(wqe->private, mode);
}

int autoremove_wake_function(struct wait_queue_entry *wqe, unsigned int mode,
			     int flags, void *key)
{
	int woken = default_wake_function(wqe, mode, flags, key);

	if (woken)
		list_del_init_careful(&wqe->entry);
	return woken;
}

static void enqueue(wait_queue_head_t *wq, struct wait_queue_entry *wqe,
		    bool exclusive)
{
	lockdep_assert_held(&wq->lock);
	filled(wq);
	if (exclusive) {
		wqe->flags |= WQ_FLAG_EXCLUSIVE;
		list_add_tail(&wqe->entry, &wq->head);
	} else {
		wqe->flags &= ~WQ_FLAG_EXCLUSIVE;
		list_add(&wqe->entry, &wq->head);
	}
}

void add_wait_queue(wait_queue_head_t *wq, struct wait_queue_entry *wqe)
{
	spin_lock(&wq->lock);
	enqueue(wq, wqe, false);
	spin_unlock(&wq->lock);
}

void add_wait_queue_exclusive(wait_queue_head_t *wq,
			      struct wait_queue_entry *wqe)
{
	spin_lock(&wq->lock);
	enqueue(wq, wqe, true);
	spin_unlock(&wq->lock);
}

void remove_wait_queue(wait_queue_head_t *wq, struct wait_queue_entry *wqe)
{
	spin_lock(&wq->lock);
	list_del(&wqe->entry);
	spin_unlock(&wq->lock);
}

static long prepare(wait_queue_head_t *wq, struct wait_queue_entry *wqe,
		    int state, bool exclusive, bool look)
{
	long err = 0;

	host_delay();
	spin_lock(&wq->lock);
	if (look && signal_pending_state(state, current)) {
		list_del_init(&wqe->entry);
		err = -ERESTARTSYS;
	} else {
		if (list_empty(&wqe->entry))
			enqueue(wq, wqe, exclusive);
		set_current_state(state);
	}
	spin_unlock(&wq->lock);
	return err;
}

void prepare_to_wait(wait_queue_head_t *wq, struct wait_queue_entry *wqe,
		     int state)
{
	prepare(wq, wqe, state, false, false);
}

void prepare_to_wait_exclusive(wait_queue_head_t *wq,
			       struct wait_queue_entry *wqe, int state)
{
	prepare(wq, wqe, state, true, false);
}

long prepare_to_wait_event(wait_queue_head_t *wq, struct wait_queue_entry *wqe,
			   int state)
{
	return prepare(wq, wqe, state, wqe->flags & WQ_FLAG_EXCLUSIVE, true);
}

void finish_wait(wait_queue_head_t *wq, struct wait_queue_entry *wqe)
{
	__set_current_state(TASK_RUNNING);
	if (list_empty_careful(&wqe->entry))
		return;
	spin_lock(&wq->lock);
	list_del_init(&wqe->entry);
	spin_unlock(&wq->lock);
}

static void wake_locked(wait_queue_head_t *wq, unsigned int mode, int nr,
			void *key)
{
	struct wait_queue_entry *wqe, *next;

	lockdep_assert_held(&wq->lock);
	list_for_each_entry_safe(wqe, next, &wq->head, entry) {
		/* Once woken it may be gone. */
		unsigned int flags = wqe->flags;
		int woken = wqe->func(wqe, mode, 0, key);

		if (woken && flags & WQ_FLAG_EXCLUSIVE && !--nr)
			break;
	}
}

void __wake_up(wait_queue_head_t *wq, unsigned int mode, int nr, void *key)
{
	spin_lock(&wq->lock);
	wake_locked(wq, mode, nr, key);
	spin_unlock(&wq->lock);
}

void __wake_up_locked_key(wait_queue_head_t *wq, unsigned int mode, void *key)
{
	wake_locked(wq, mode, 1, key);
}

/* --- sleepers on a variable ---------------------------------------------- */

/* So few that variables meet in a queue. */
static wait_queue_head_t var_queues[4];

static void __attribute__((constructor)) var_setup(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(var_queues); i++)
		init_waitqueue_head(&var_queues[i]);
}

wait_queue_head_t *host_var_queue(void *var)
{
	return &var_queues[(unsigned long)var / 64 % ARRAY_SIZE(var_queues)];
}

static int var_wake(struct wait_queue_entry *wqe, unsigned int mode, int flags,
		    void *key)
{
	struct host_var_wait *w = container_of(wqe, struct host_var_wait, wqe);

	return w->var == key ?
	       autoremove_wake_function(wqe, mode, flags, key) : 0;
}

void host_var_wait_init(struct host_var_wait *w, void *var)
{
	*w = (struct host_var_wait){
		.var = var,
		.wqe = { .private = current, .func = var_wake },
	};
	INIT_LIST_HEAD(&w->wqe.entry);
}

void wake_up_var(void *var)
{
	wait_queue_head_t *wq = host_var_queue(var);

	if (waitqueue_active(wq))
		__wake_up(wq, TASK_NORMAL, 1, var);
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
	wake_locked(&x->wait, TASK_NORMAL, n == UINT_MAX ? 0 : 1, NULL);
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

static bool take_done(struct completion *x)
{
	lockdep_assert_held(&x->wait.lock);
	if (!x->done)
		return false;
	if (x->done != UINT_MAX)
		x->done--;
	return true;
}

int host_wait_completion(struct completion *x, int state, u64 until)
{
	DEFINE_WAIT(wqe);
	int ret = 1;

	might_sleep();
	spin_lock(&x->wait.lock);
	while (!take_done(x)) {
		if (signal_pending_state(state, current)) {
			ret = -ERESTARTSYS;
			break;
		}
		if (list_empty(&wqe.entry))
			enqueue(&x->wait, &wqe, true);
		__set_current_state(state);
		spin_unlock(&x->wait.lock);
		ret = host_schedule(until);
		spin_lock(&x->wait.lock);
		if (!ret) {
			ret = take_done(x);
			break;
		}
	}
	list_del_init(&wqe.entry);
	spin_unlock(&x->wait.lock);
	return ret;
}

bool try_wait_for_completion(struct completion *x)
{
	bool done;

	spin_lock(&x->wait.lock);
	done = take_done(x);
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
