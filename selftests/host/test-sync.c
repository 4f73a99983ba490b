// SPDX-License-Identifier: MIT
/*
 * The stand-ins that threads meet in do what the kernel does (atomics, locks,
 * RCU, work, waiting, per-CPU counters), their checks fire, and the sanitizers
 * see through them.
 */
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include "host.h"

#include "host_harness.h"

#define THREADS 4
#ifdef HOST_DEBUG
#define OFTEN 20000
#else
#define OFTEN 200000
#endif

static pthread_barrier_t all_there;

/* @fn begins with start_together(), or the first is done before the last. */
static void run_threads(void *(*fn)(void *), void *arg)
{
	pthread_t t[THREADS];
	int i;

	pthread_barrier_init(&all_there, NULL, THREADS);
	for (i = 0; i < THREADS; i++)
		BUG_ON(pthread_create(&t[i], NULL, fn, arg));
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&all_there);
}

static void start_together(void)
{
	pthread_barrier_wait(&all_there);
}

/* --- atomics ------------------------------------------------------------ */

TEST(atomic_results)
{
	atomic64_t w = ATOMIC64_INIT(5);
	atomic_t a = ATOMIC_INIT(1);
	s64 old = 4;
	int *p = NULL, x;

	EXPECT_FALSE(atomic64_try_cmpxchg(&w, &old, 9));
	EXPECT_EQ(old, 5);
	EXPECT_TRUE(atomic64_try_cmpxchg_acquire(&w, &old, 9));
	EXPECT_EQ(old, 5);
	EXPECT_EQ(atomic64_read(&w), 9);
	EXPECT_EQ(atomic64_cmpxchg(&w, 1, 2), 9);
	EXPECT_EQ(atomic64_cmpxchg(&w, 9, 2), 9);
	EXPECT_EQ(atomic64_fetch_add(3, &w), 2);
	EXPECT_EQ(atomic64_add_return(3, &w), 8);
	EXPECT_EQ(atomic64_xchg(&w, -1), 8);
	EXPECT_EQ(atomic64_fetch_andnot(1, &w), -1);
	EXPECT_EQ(atomic64_read(&w), -2);

	EXPECT_TRUE(atomic_inc_not_zero(&a));
	EXPECT_FALSE(atomic_dec_and_test(&a));
	EXPECT_TRUE(atomic_dec_and_test(&a));
	EXPECT_FALSE(atomic_inc_not_zero(&a));
	EXPECT_EQ(atomic_dec_if_positive(&a), -1);
	EXPECT_EQ(atomic_read(&a), 0);
	EXPECT_FALSE(atomic_add_unless(&a, 7, 0));
	EXPECT_TRUE(atomic_add_unless(&a, 7, 1));
	EXPECT_EQ(atomic_read(&a), 7);

	EXPECT_EQ(cmpxchg(&p, NULL, &x), NULL);
	EXPECT_EQ(cmpxchg(&p, NULL, NULL), &x);
	EXPECT_EQ(xchg(&p, NULL), &x);
}

static atomic64_t counter;

static void *add_by_cmpxchg(void *arg)
{
	int i;

	start_together();
	for (i = 0; i < OFTEN; i++) {
		s64 v = atomic64_read(&counter);

		while (!atomic64_try_cmpxchg_relaxed(&counter, &v, v + 1))
			;
	}
	return NULL;
}

TEST(atomic_cmpxchg_loses_nothing)
{
	atomic64_set(&counter, 0);
	run_threads(add_by_cmpxchg, NULL);
	EXPECT_EQ(atomic64_read(&counter), THREADS * OFTEN);
}

static int message, messages_seen;
static atomic_t flag;

static void *pass_messages(void *arg)
{
	bool writer = arg;
	int i;

	for (i = 1; i <= 2000; i++) {
		if (writer) {
			while (atomic_read_acquire(&flag))
				cpu_relax();
			message = i;
			atomic_set_release(&flag, 1);
		} else {
			while (!atomic_read_acquire(&flag))
				sched_yield();
			messages_seen += message == i;
			atomic_set_release(&flag, 0);
		}
	}
	return NULL;
}

TEST(atomic_acquire_release_orders)
{
	pthread_t w, r;

	ASSERT_EQ(0, pthread_create(&w, NULL, pass_messages, (void *)1));
	ASSERT_EQ(0, pthread_create(&r, NULL, pass_messages, NULL));
	pthread_join(w, NULL);
	pthread_join(r, NULL);
	EXPECT_EQ(messages_seen, 2000);
}

TEST(refcount)
{
	refcount_t r = REFCOUNT_INIT(1);

	EXPECT_TRUE(refcount_inc_not_zero(&r));
	EXPECT_FALSE(refcount_dec_and_test(&r));
	EXPECT_TRUE(refcount_dec_and_test(&r));
	EXPECT_FALSE(refcount_inc_not_zero(&r));
	host_warn_expect(true);
	refcount_inc(&r);	/* from zero */
	EXPECT_EQ(host_warn_expect(false), 1);
}

/* --- locks -------------------------------------------------------------- */

static DEFINE_SPINLOCK(lock);
static DEFINE_MUTEX(mutex);
static long guarded;
static atomic_t stop;

static void *add_under_spinlock(void *arg)
{
	unsigned long flags;
	int i;

	start_together();
	for (i = 0; i < OFTEN; i++) {
		if (i % 3 == 0) {
			spin_lock(&lock);
			lockdep_assert_held(&lock);
			guarded++;
			spin_unlock(&lock);
		} else if (i % 3 == 1) {
			spin_lock_irqsave(&lock, flags);
			guarded++;
			spin_unlock_irqrestore(&lock, flags);
		} else {
			while (!spin_trylock(&lock))
				sched_yield();
			guarded++;
			spin_unlock(&lock);
		}
	}
	return NULL;
}

TEST(spinlock_excludes)
{
	guarded = 0;
	run_threads(add_under_spinlock, NULL);
	EXPECT_EQ(guarded, THREADS * OFTEN);
	EXPECT_FALSE(spin_is_locked(&lock));
}

static void *add_under_mutex(void *arg)
{
	int i;

	start_together();
	for (i = 0; i < OFTEN / 4; i++) {
		mutex_lock(&mutex);
		lockdep_assert_held(&mutex);
		guarded++;
		mutex_unlock(&mutex);
	}
	return NULL;
}

TEST(mutex_excludes)
{
	guarded = 0;
	run_threads(add_under_mutex, NULL);
	EXPECT_EQ(guarded, THREADS * (OFTEN / 4));
}

#ifdef HOST_LOCK_TIMES
static void spin_ns(u64 ns)
{
	u64 end = ktime_get_ns() + ns;

	while (ktime_get_ns() < end)
		;
}

TEST(lock_times)
{
	struct host_lock_times t;

	spin_lock_init(&lock);
	spin_lock(&lock);
	spin_unlock(&lock);
	spin_lock(&lock);
	spin_ns(300000);
	spin_unlock(&lock);
	host_lock_times(&lock, &t);
	EXPECT_EQ(t.count, 2);
	EXPECT_GE(max(t.max_ns, t.preempted_max_ns), 290000);
	EXPECT_LE(t.max_ns, 3000000);
	host_lock_times_reset(&lock);
	host_lock_times(&lock, &t);
	EXPECT_EQ(t.count, 0);
}

static void *keep_busy(void *arg)
{
	while (!atomic_read(&stop))
		cpu_relax();
	return NULL;
}

/* Two threads on one CPU: the holder loses it, and that is noticed. */
TEST(lock_times_of_the_preempted)
{
	static DEFINE_SPINLOCK(inner);
	struct host_lock_times t;
	cpu_set_t one;
	pthread_t b;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
	ASSERT_EQ(0, pthread_create(&b, NULL, keep_busy, NULL));
	spin_lock_init(&lock);
	spin_lock(&lock);
	spin_ns(40 * NSEC_PER_MSEC);
	spin_lock(&inner);
	spin_unlock(&inner);
	spin_unlock(&lock);
	atomic_set(&stop, 1);
	pthread_join(b, NULL);
	spin_lock(&lock);
	spin_unlock(&lock);
	host_lock_times(&lock, &t);
	EXPECT_EQ(t.count, 2);
	EXPECT_EQ(t.preempted, 1);
	EXPECT_GE(t.preempted_max_ns, 40 * NSEC_PER_MSEC);
	EXPECT_LE(t.max_ns, NSEC_PER_MSEC);
}
#endif

/* The harness takes SIGABRT for a failed assertion of its own. */
static void aborted(int sig)
{
	signal(SIGUSR1, SIG_DFL);
	raise(SIGUSR1);
}

#define MISTAKE_ALWAYS(name)                                           \
	static void make_##name(struct __test_metadata *_metadata);    \
	TEST_SIGNAL(mistake_##name, SIGUSR1)                           \
	{                                                              \
		BUG_ON(!freopen("/dev/null", "w", stderr));            \
		dup2(fileno(stderr), 2);                               \
		signal(SIGABRT, aborted);                              \
		make_##name(_metadata);                                \
	}                                                              \
	static void make_##name(struct __test_metadata *_metadata)

/* Each of these mistakes must end a checked build. */
#ifdef HOST_DEBUG
#define MISTAKE(name) MISTAKE_ALWAYS(name)
#else
#define MISTAKE(name) \
	static void __maybe_unused make_##name( \
		struct __test_metadata *_metadata)
#endif

MISTAKE(spinlock_recursion)
{
	spin_lock(&lock);
	spin_lock(&lock);
}

static void *unlock_it(void *arg)
{
	spin_unlock(&lock);
	return NULL;
}

MISTAKE(spinlock_foreign_unlock)
{
	pthread_t t;

	spin_lock(&lock);
	pthread_create(&t, NULL, unlock_it, NULL);
	pthread_join(t, NULL);
}

MISTAKE(lock_not_held)
{
	lockdep_assert_held(&lock);
}

MISTAKE(sleep_under_spinlock)
{
	spin_lock(&lock);
	kfree(kmalloc(8, GFP_KERNEL));
}

MISTAKE(sleep_in_rcu_reader)
{
	rcu_read_lock();
	mutex_lock(&mutex);
}

MISTAKE(user_copy_under_spinlock)
{
	int x, y = 0;

	spin_lock(&lock);
	if (copy_from_user(&x, &y, sizeof(x)))
		return;
}

MISTAKE(rcu_dereference_outside)
{
	static int *p;

	(void)rcu_dereference(p);
}

MISTAKE(rcu_unbalanced)
{
	rcu_read_unlock();
}

MISTAKE_ALWAYS(warning)
{
	WARN_ON_ONCE(true);
}

MISTAKE_ALWAYS(rcu_waits_for_itself)
{
	rcu_read_lock();
	synchronize_rcu();
}

TEST(no_sleep_where_none_is_meant)
{
	void *p;

	spin_lock(&lock);
	p = kmalloc(8, GFP_ATOMIC);
	kfree(p);
	spin_unlock(&lock);
	p = kmalloc(8, GFP_KERNEL);
	EXPECT_NE(p, NULL);
	kfree(p);
}

/* --- RCU ---------------------------------------------------------------- */

struct pair {
	u64 a, b;
	struct rcu_head rcu;
};

static struct pair *shared;
static atomic_t freed;

static void free_pair(struct rcu_head *head)
{
	struct pair *p = container_of(head, struct pair, rcu);

	/* A reader that still has it will notice, and so will ASan. */
	p->a = 1;
	p->b = 2;
	kfree(p);
	atomic_inc(&freed);
}

static void *read_pairs(void *arg)
{
	long bad = 0;

	while (!atomic_read(&stop)) {
		struct pair *p;

		rcu_read_lock();
		rcu_read_lock();
		p = rcu_dereference(shared);
		rcu_read_unlock();
		bad += p->a != p->b;
		rcu_read_unlock();
	}
	return (void *)bad;
}

TEST(rcu_readers_see_whole_objects)
{
	struct host_mem before, after;
	pthread_t t[THREADS];
	struct pair *p, *old;
	int i, n = 1000;
	void *bad;

	host_mem_stats(&before);
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	rcu_assign_pointer(shared, p);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, read_pairs, NULL));
	for (i = 1; i < n; i++) {
		p = kmalloc(sizeof(*p), GFP_KERNEL);
		p->a = i;
		p->b = i;
		old = rcu_replace_pointer(shared, p, true);
		if (i % 100 == 0) {
			synchronize_rcu();
			old->a = 1;
			old->b = 2;
			kfree(old);
			atomic_inc(&freed);
		} else {
			call_rcu(&old->rcu, free_pair);
		}
	}
	atomic_set(&stop, 1);
	for (i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		EXPECT_EQ(bad, NULL);
	}
	kfree_rcu(shared, rcu);
	rcu_barrier();
	EXPECT_EQ(atomic_read(&freed), n - 1);
	host_drain();
	host_mem_stats(&after);
	EXPECT_EQ(before.objects, after.objects);
	EXPECT_EQ(before.bytes, after.bytes);
}

static void *linger(void *arg)
{
	rcu_read_lock();
	atomic_set(&flag, 1);
	usleep(50000);
	atomic_set(&flag, 2);
	rcu_read_unlock();
	return NULL;
}

TEST(rcu_waits_for_readers)
{
	pthread_t t;

	atomic_set(&flag, 0);
	ASSERT_EQ(0, pthread_create(&t, NULL, linger, NULL));
	while (!atomic_read(&flag))
		sched_yield();
	synchronize_rcu();
	EXPECT_EQ(atomic_read(&flag), 2);
	pthread_join(t, NULL);
}

TEST(rcu_parked_callbacks)
{
	struct pair *p = kzalloc(sizeof(*p), GFP_KERNEL);

	host_work_manual(true);
	call_rcu(&p->rcu, free_pair);
	usleep(20000);
	EXPECT_EQ(atomic_read(&freed), 0);
	host_rcu_quiesce();
	EXPECT_EQ(atomic_read(&freed), 1);
}

/* --- work --------------------------------------------------------------- */

struct job {
	struct work_struct work;
	atomic_t runs;
	int again;
	pthread_t thread;
};

static void do_job(struct work_struct *work)
{
	struct job *j = container_of(work, struct job, work);

	j->thread = pthread_self();
	atomic_inc(&j->runs);
	if (j->again-- > 0)
		schedule_work(&j->work);
}

TEST(work_on_a_thread)
{
	struct job j = { .again = 2 };

	INIT_WORK(&j.work, do_job);
	EXPECT_TRUE(schedule_work(&j.work));
	while (atomic_read(&j.runs) < 3)
		sched_yield();
	flush_work(&j.work);
	EXPECT_FALSE(pthread_equal(j.thread, pthread_self()));
	EXPECT_FALSE(work_busy(&j.work));
	EXPECT_EQ(atomic_read(&j.runs), 3);
	j.again = 0;
	schedule_work(&j.work);
	cancel_work_sync(&j.work);
	EXPECT_FALSE(work_busy(&j.work));
}

TEST(work_by_hand)
{
	struct job j = { .again = 0 };
	struct delayed_work d;

	host_work_manual(true);
	INIT_WORK(&j.work, do_job);
	EXPECT_TRUE(schedule_work(&j.work));
	EXPECT_FALSE(schedule_work(&j.work));
	usleep(20000);
	EXPECT_EQ(atomic_read(&j.runs), 0);
	EXPECT_EQ(host_run_work(), 1);
	EXPECT_EQ(atomic_read(&j.runs), 1);
	EXPECT_TRUE(pthread_equal(j.thread, pthread_self()));
	schedule_work(&j.work);
	EXPECT_TRUE(flush_work(&j.work));
	EXPECT_EQ(atomic_read(&j.runs), 2);
	schedule_work(&j.work);
	EXPECT_TRUE(cancel_work_sync(&j.work));
	EXPECT_EQ(host_run_work(), 0);
	schedule_work(&j.work);
	msleep(1);
	EXPECT_EQ(atomic_read(&j.runs), 3);

	INIT_DELAYED_WORK(&d, do_job);
	schedule_delayed_work(&d, 1000 * HZ);
	EXPECT_TRUE(cancel_delayed_work_sync(&d));
}

static void tell(struct work_struct *work)
{
	complete(*(struct completion **)(work + 1));
}

TEST(work_delayed_and_completions)
{
	struct {
		struct delayed_work d;
		struct completion *tell;
	} w;
	struct completion done;
	u64 start = ktime_get_ns();

	init_completion(&done);
	w.tell = &done;
	INIT_DELAYED_WORK(&w.d, tell);
	EXPECT_EQ(wait_for_completion_timeout(&done, 1), 0);
	schedule_delayed_work(&w.d, msecs_to_jiffies(40));
	wait_for_completion(&done);
	EXPECT_GE(ktime_get_ns() - start, 40 * NSEC_PER_MSEC);
	EXPECT_FALSE(try_wait_for_completion(&done));
	flush_delayed_work(&w.d);
	host_set_signal(true, true);
	EXPECT_EQ(wait_for_completion_killable(&done), -ERESTARTSYS);
	host_set_signal(false, false);
}

static DECLARE_WAIT_QUEUE_HEAD(wq);

static void *wake(void *arg)
{
	usleep(10000);
	atomic_set(&flag, 3);
	wake_up(&wq);
	return NULL;
}

TEST(wait_queue)
{
	pthread_t t;

	atomic_set(&flag, 0);
	EXPECT_EQ(wait_event_interruptible_timeout(wq, atomic_read(&flag), 1),
		  0);
	ASSERT_EQ(0, pthread_create(&t, NULL, wake, NULL));
	EXPECT_EQ(wait_event_interruptible(wq, atomic_read(&flag) == 3), 0);
	pthread_join(t, NULL);
}

/* --- per-CPU counters ---------------------------------------------------- */

struct stat {
	u64 n;
};

static void *count(void *arg)
{
	struct stat __percpu *s = arg;
	int i;

	start_together();
	for (i = 0; i < 10000; i++)
		this_cpu_inc(s->n);
	return NULL;
}

TEST(percpu_sums)
{
	struct stat __percpu *s = alloc_percpu(struct stat);
	u64 sum = 0;
	int cpu, round;

	/* More threads over time than there are CPUs. */
	for (round = 0; round < 20; round++)
		run_threads(count, s);
	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(s, cpu)->n;
	EXPECT_EQ(sum, 20 * THREADS * 10000);
	free_percpu(s);
}

/* --- what the sanitizers see of all this -------------------------------- */

/* The exit status of a child that does @fn, -1 if it was killed. */
static int __maybe_unused in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		BUG_ON(!freopen("/dev/null", "w", stderr));
		fn();
		host_drain();
		exit(0);
	}
	BUG_ON(waitpid(pid, &status, 0) != pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void __maybe_unused do_nothing_wrong(void)
{
	run_threads(add_under_spinlock, NULL);
}

#ifdef HOST_TSAN
static DEFINE_SPINLOCK(lock2);

static void *add_carelessly(void *arg)
{
	int i;

	for (i = 0; i < 100; i++) {
		guarded++;
		usleep(10);
	}
	return NULL;
}

static void race(void)
{
	run_threads(add_carelessly, NULL);
}

static void *publish(void *arg)
{
	static struct pair p;

	if (arg) {
		p.a = 5;
		WRITE_ONCE(shared, &p);	/* where rcu_assign_pointer() belongs */
	} else {
		struct pair *q;

		do {
			rcu_read_lock();
			q = rcu_dereference(shared);
			messages_seen = q ? q->a : 0;
			rcu_read_unlock();
		} while (!q);
	}
	return NULL;
}

static void publish_without_release(void)
{
	pthread_t w, r;

	pthread_create(&r, NULL, publish, NULL);
	pthread_create(&w, NULL, publish, (void *)1);
	pthread_join(r, NULL);
	pthread_join(w, NULL);
}

static void *free_early(void *arg)
{
	struct pair *p = shared;

	usleep(20000);
	p->a = 1;		/* no grace period before this */
	return NULL;
}

static void *read_once(void *arg)
{
	rcu_read_lock();
	messages_seen = rcu_dereference(shared)->a;
	usleep(40000);
	rcu_read_unlock();
	return NULL;
}

static void reuse_without_grace_period(void)
{
	static struct pair p;
	pthread_t w, r;

	rcu_assign_pointer(shared, &p);
	pthread_create(&r, NULL, read_once, NULL);
	pthread_create(&w, NULL, free_early, NULL);
	pthread_join(r, NULL);
	pthread_join(w, NULL);
}

static void invert_locks(void)
{
	spin_lock_init(&lock);
	spin_lock_init(&lock2);
	spin_lock(&lock);
	spin_lock(&lock2);
	spin_unlock(&lock2);
	spin_unlock(&lock);
	spin_lock(&lock2);
	spin_lock(&lock);
	spin_unlock(&lock);
	spin_unlock(&lock2);
}

TEST(tsan_sees)
{
	EXPECT_EQ(in_child(do_nothing_wrong), 0);
	EXPECT_EQ(in_child(race), 66);
	EXPECT_EQ(in_child(publish_without_release), 66);
	EXPECT_EQ(in_child(reuse_without_grace_period), 66);
	EXPECT_EQ(in_child(invert_locks), 66);
}
#endif

#ifdef HOST_ASAN
static void beyond_kmalloc(void)
{
	char *p = kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	p[100] = 1;
}

static void beyond_vmalloc(void)
{
	char *p = vmalloc(5000);

	OPTIMIZER_HIDE_VAR(p);
	p[5000] = 1;
}

static void after_grace_period(void)
{
	struct pair *p = kzalloc(sizeof(*p), GFP_KERNEL);

	kfree_rcu(p, rcu);
	host_rcu_quiesce();
	OPTIMIZER_HIDE_VAR(p);
	p->a++;
}

static void misaligned(void)
{
	u32 *p = (u32 *)((char *)&counter + 1);

	OPTIMIZER_HIDE_VAR(p);
	messages_seen = *p;
}

TEST(asan_sees)
{
	EXPECT_EQ(in_child(do_nothing_wrong), 0);
	EXPECT_NE(in_child(beyond_kmalloc), 0);
	EXPECT_NE(in_child(beyond_vmalloc), 0);
	EXPECT_NE(in_child(after_grace_period), 0);
	EXPECT_NE(in_child(misaligned), 0);
}
#endif

TEST_HARNESS_MAIN
