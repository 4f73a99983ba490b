// SPDX-License-Identifier: MIT
/*
 * Every sleep ends: who waits for blocks, for the end of another's calls, or in
 * poll and epoll, against all that must wake it.  The stand-ins lose what the
 * kernel would lose; in the variant "weak" they also reorder and delay (host.h),
 * which brings out in seconds what else takes hours.
 *
 * Nobody here looks again by itself: a test in which nothing moves for
 * PATIENCE seconds has lost a wake-up, and fails.
 */
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/kvbm.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include <pthread.h>
#include "host.h"
#include "host_vfs.h"

#include "host_harness.h"

#define BLOCKS 64
#define PATIENCE 20

#ifdef HOST_WEAK
#define SECONDS 4
#else
#define SECONDS 1
#endif

/* --- the watchdog ------------------------------------------------------- */

static atomic64_t moved;
static const char *doing = "";

static void *watch(void *arg)
{
	unsigned int still = 0;
	s64 seen = -1;

	for (;; usleep(100000)) {
		s64 now = atomic64_read(&moved);

		still = now == seen ? still + 1 : 0;
		seen = now;
		if (still < PATIENCE * 10)
			continue;
		printf("# nothing moved for %u s after %lld steps: %s\n",
		       PATIENCE, (long long)now, READ_ONCE(doing));
		fflush(stdout);
		abort();
	}
	return NULL;
}

static void watch_over(const char *what)
{
	pthread_t t;

	WRITE_ONCE(doing, what);
	atomic64_set(&moved, 0);
	BUG_ON(pthread_create(&t, NULL, watch, NULL));
	pthread_detach(t);
	host_delays(6);
}

static void step(void)
{
	atomic64_inc(&moved);
}

static bool over(u64 start)
{
	return ktime_get_ns() - start > SECONDS * NSEC_PER_SEC;
}

/* --- the stand-ins: they lose what must be lost, and nothing else ------- */

struct litmus {
	spinlock_t lock;
	bool barrier;			/* the right number of them */
	bool on_state;			/* not a wait queue: a task's state */
	int x;
	struct task_struct *task;
	atomic_t round, there, through;
};

static void *litmus_sleeper(void *arg)
{
	struct litmus *l = arg;
	int round;

	WRITE_ONCE(l->task, current);
	for (round = 1; ; round++) {
		atomic_set_release(&l->there, round);
		while (atomic_read_acquire(&l->round) < round)
			sched_yield();
		if (READ_ONCE(l->x) < 0)
			return NULL;
		if (l->on_state) {
			for (;;) {
				if (l->barrier)
					set_current_state(TASK_UNINTERRUPTIBLE);
				else
					__set_current_state(TASK_UNINTERRUPTIBLE);
				if (READ_ONCE(l->x))
					break;
				schedule();
			}
			__set_current_state(TASK_RUNNING);
		} else {
			wait_var_event(&l->x, READ_ONCE(l->x));
		}
		atomic_set_release(&l->through, round);
	}
}

static void litmus_wake(struct litmus *l, bool barrier)
{
	spin_lock(&l->lock);
	WRITE_ONCE(l->x, 1);
	spin_unlock(&l->lock);
	if (l->on_state) {
		wake_up_process(l->task);
	} else {
		if (barrier)
			smp_mb();
		wake_up_var(&l->x);
	}
}

/* Store one's word, then look at the other's. How often is nobody woken? */
static unsigned int litmus(struct litmus *l, unsigned int rounds,
			   unsigned int enough)
{
	unsigned int lost = 0;
	pthread_t t;
	int round;

	spin_lock_init(&l->lock);
	BUG_ON(pthread_create(&t, NULL, litmus_sleeper, l));
	for (round = 1; round <= rounds && lost < enough; round++) {
		u64 start;

		step();
		while (atomic_read_acquire(&l->there) < round)
			sched_yield();
		WRITE_ONCE(l->x, 0);
		atomic_set_release(&l->round, round);
		litmus_wake(l, l->barrier);
		start = ktime_get_ns();
		while (atomic_read_acquire(&l->through) < round) {
			sched_yield();
			if (ktime_get_ns() - start < 100 * NSEC_PER_MSEC)
				continue;
			lost++;
			while (atomic_read_acquire(&l->through) < round) {
				litmus_wake(l, true);
				usleep(1000);
			}
		}
	}
	while (atomic_read_acquire(&l->there) < round)
		sched_yield();
	WRITE_ONCE(l->x, -1);
	atomic_set_release(&l->round, round);
	pthread_join(t, NULL);
	return lost;
}

FIXTURE(standins) {
	int unused;
};

FIXTURE_SETUP(standins) {}
FIXTURE_TEARDOWN(standins) {}

TEST_F_TIMEOUT(standins, litmus_with_barriers, 120)
{
	struct litmus var = { .barrier = true };
	struct litmus state = { .barrier = true, .on_state = true };

	watch_over("litmus tests");
	EXPECT_EQ(0, litmus(&var, SECONDS * 5000, 1));
	EXPECT_EQ(0, litmus(&state, SECONDS * 5000, 1));
}

TEST_F_TIMEOUT(standins, litmus_without_barriers, 120)
{
	struct litmus var = {}, state = { .on_state = true };

	watch_over("litmus tests");
#ifdef HOST_WEAK
	host_delays(2);
	EXPECT_NE(0, litmus(&var, 1000000, 1));
	EXPECT_NE(0, litmus(&state, 1000000, 1));
#else
	/* This processor may or may not do it in so short a time. */
	TH_LOG("lost without barriers: %u, %u", litmus(&var, 20000, 100),
	       litmus(&state, 20000, 100));
#endif
}

static DECLARE_WAIT_QUEUE_HEAD(nobody_wakes);

static void *sleep_for_good(void *arg)
{
	atomic_t *flag = arg;

	WRITE_ONCE(doing, "a sleep");
	wait_event(nobody_wakes, atomic_read(flag));
	return arg;
}

/* The condition is true, and nobody says so: the kernel sleeps on. */
TEST_F_TIMEOUT(standins, sleep_until_woken, 120)
{
	atomic_t flag = ATOMIC_INIT(0);
	struct timespec soon;
	pthread_t t;

	BUG_ON(pthread_create(&t, NULL, sleep_for_good, &flag));
	while (!waitqueue_active(&nobody_wakes))
		sched_yield();
	usleep(10000);
	atomic_set(&flag, 1);
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_sec++;
	EXPECT_EQ(ETIMEDOUT, pthread_timedjoin_np(t, NULL, &soon));
	wake_up(&nobody_wakes);
	EXPECT_EQ(0, pthread_join(t, NULL));
}

struct signalled {
	struct task_struct *task;
	struct completion started;
	long err[3];
};

static void *sleep_for_signal(void *arg)
{
	struct signalled *s = arg;
	wait_queue_head_t wq;

	init_waitqueue_head(&wq);
	s->task = current;
	complete(&s->started);
	s->err[0] = wait_event_interruptible(wq, false);
	host_set_signal(false, false);
	complete(&s->started);
	s->err[1] = wait_event_killable(wq, false);
	return NULL;
}

TEST_F_TIMEOUT(standins, signals_end_sleeps, 120)
{
	struct signalled s = {};
	pthread_t t;

	watch_over("signals");
	init_completion(&s.started);
	BUG_ON(pthread_create(&t, NULL, sleep_for_signal, &s));
	wait_for_completion(&s.started);
	host_send_signal(s.task, false);
	wait_for_completion(&s.started);
	/* Not this one: */
	host_send_signal(s.task, false);
	usleep(20000);
	EXPECT_EQ(0, s.err[1]);
	host_send_signal(s.task, true);
	pthread_join(t, NULL);
	EXPECT_EQ(-ERESTARTSYS, s.err[0]);
	EXPECT_EQ(-ERESTARTSYS, s.err[1]);
}

/* --- the module --------------------------------------------------------- */

static int control = -1;

static long alloc(int fd, u32 n, u32 *ids, u32 flags)
{
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = n, .ids = (unsigned long)ids,
		.flags = flags, .deadline_ns = flags ? ~0ULL : 0,
	};

	return host_ioctl(fd, KVBM_IOC_ALLOC, &a);
}

static long release(int fd, u32 n, const u32 *ids)
{
	struct kvbm_ids r = {
		.size = sizeof(r), .count = n, .ids = (unsigned long)ids,
	};

	return host_ioctl(fd, KVBM_IOC_RELEASE, &r);
}

FIXTURE(wakes) {
	int fd;
	u32 ids[BLOCKS];
};

FIXTURE_SETUP(wakes)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = BLOCKS, .block_size = 16,
		.policy = "lru", .name = "a", .uid = -1, .gid = -1,
	};

	ASSERT_EQ(0, host_insmod());
	control = host_open("control");
	ASSERT_GE(control, 0);
	ASSERT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_CREATE, &c));
	self->fd = host_open("a");
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(wakes)
{
	struct kvbm_store_destroy d = {
		.size = sizeof(d), .flags = KVBM_DESTROY_FORCE, .name = "a",
	};

	host_delays(0);
	EXPECT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_DESTROY, &d));
	host_close(self->fd);
	host_close(control);
	EXPECT_EQ(0, host_rmmod());
}

/*
 * An event loop: allocate until ENOSPC, then wait to be told.  It is told as
 * often as room comes after it was refused, however the two meet.
 */
struct giver {
	int fd;
	u32 ids[BLOCKS];
	atomic_t round, given;
};

static void *giver(void *arg)
{
	struct giver *g = arg;
	int round;

	for (round = 1; ; round++) {
		while (atomic_read_acquire(&g->round) < round)
			sched_yield();
		if (atomic_read(&g->round) == INT_MAX)
			return NULL;
		usleep(get_random_u64() % 64);
		release(g->fd, BLOCKS, g->ids);
		atomic_set_release(&g->given, round);
	}
}

static int told(int fd, struct host_epoll *ep)
{
	u32 events;
	int which;

	if (!ep)
		return host_poll_wait(fd, EPOLLOUT, 3600 * NSEC_PER_SEC);
	BUG_ON(!host_epoll_wait(ep, &which, &events, 3600 * NSEC_PER_SEC));
	BUG_ON(which != fd);
	return events;
}

static unsigned int event_loop(struct giver *g, int fd, struct host_epoll *ep)
{
	u64 start = ktime_get_ns();
	pthread_t t;
	u32 ids[BLOCKS];
	int round;

	atomic_set(&g->round, 0);
	atomic_set(&g->given, 0);
	BUG_ON(pthread_create(&t, NULL, giver, g));
	for (round = 1; !over(start); round++) {
		u32 got = 0;

		BUG_ON(alloc(g->fd, BLOCKS, g->ids, 0) != BLOCKS);
		atomic_set_release(&g->round, round);
		while (got < BLOCKS) {
			long ret = alloc(fd, 8, ids + got, 0);

			step();
			BUG_ON(ret < 0 && ret != -ENOSPC);
			if (ret > 0)
				got += ret;
			else
				BUG_ON(!(told(fd, ep) & EPOLLOUT));
		}
		while (atomic_read_acquire(&g->given) < round)
			sched_yield();
		release(fd, BLOCKS, ids);
	}
	atomic_set_release(&g->round, INT_MAX);
	pthread_join(t, NULL);
	return round;
}

TEST_F_TIMEOUT(wakes, levels, 120)
{
	struct host_epoll *ep = host_epoll_new();
	struct giver g = { .fd = self->fd };
	int fd = host_open("a");

	watch_over("a session in an epoll that tells levels");
	ASSERT_EQ(0, host_epoll_add(ep, fd, EPOLLOUT));
	TH_LOG("%u rounds", event_loop(&g, fd, ep));
	host_epoll_free(ep);
	watch_over("a session in poll");
	TH_LOG("%u rounds of poll", event_loop(&g, fd, NULL));
	host_close(fd);
}

TEST_HARNESS_MAIN
