// SPDX-License-Identifier: MIT
/*
 * Every sleep ends: waiters for blocks, for the end of another's calls, and in
 * poll and epoll, against all that must wake them.  The stand-ins lose any
 * wake-up that the kernel would lose.  In the variant "weak" they also reorder
 * and delay (host.h), which finds in seconds what otherwise takes hours.
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
#include "watchdog.h"

#include "host_harness.h"

#define BLOCKS 64

#ifdef HOST_WEAK
#define SECONDS 4
#else
#define SECONDS 1
#endif

static bool over(u64 start)
{
	return ktime_get_ns() - start > SECONDS * NSEC_PER_SEC;
}

/* --- the stand-ins: they lose what must be lost, and nothing else ------- */

/*
 * Each stores its own word, then looks at the other's: who sleeps its state or
 * its place in the queue, and then x; who wakes x, and then whether anybody
 * sleeps.  Each waits, between the two, until the other has come as far: so not
 * both see the other only where barriers say so.
 */
struct litmus {
	spinlock_t lock;
	bool barrier;			/* the right number of them */
	bool on_state;			/* not a wait queue: a task's state */
	int x;
	struct task_struct *task;
	atomic_t round, there, looked, woken, through;
};

static void until(atomic_t *what, int round)
{
	while (atomic_read_acquire(what) < round)
		usleep(10);
}

static void sleep_on_state(struct litmus *l, int round)
{
	for (;;) {
		if (l->barrier)
			set_current_state(TASK_UNINTERRUPTIBLE);
		else
			__set_current_state(TASK_UNINTERRUPTIBLE);
		if (READ_ONCE(l->x))
			break;
		/* No order is meant: relaxed. */
		atomic_set(&l->looked, round);
		while (atomic_read(&l->woken) < round)
			sched_yield();
		schedule();
	}
	__set_current_state(TASK_RUNNING);
}

static void *litmus_sleeper(void *arg)
{
	struct litmus *l = arg;
	int round;

	WRITE_ONCE(l->task, current);
	for (round = 1; ; round++) {
		atomic_set_release(&l->there, round);
		until(&l->round, round);
		if (READ_ONCE(l->x) < 0)
			return NULL;
		if (l->on_state)
			sleep_on_state(l, round);
		else
			wait_var_event(&l->x, READ_ONCE(l->x));
		atomic_set_release(&l->through, round);
	}
}

static void litmus_wake(struct litmus *l, bool barrier, int round)
{
	unsigned int i;

	if (l->on_state)
		for (i = 0; i < 1000 && atomic_read(&l->looked) < round; i++)
			usleep(100);
	spin_lock(&l->lock);
	/* It is in the queue now, and does not see x yet. */
	for (i = 0; i < 1000 && !l->on_state && !READ_ONCE(l->task->state); i++)
		usleep(100);
	usleep(2000);
	WRITE_ONCE(l->x, 1);
	spin_unlock(&l->lock);
	if (l->on_state) {
		wake_up_process(l->task);
		atomic_set(&l->woken, round);
	} else {
		if (barrier)
			smp_mb();
		wake_up_var(&l->x);
	}
}

/* In how many rounds was nobody woken, until the first? */
static unsigned int litmus(struct litmus *l, int rounds)
{
	unsigned int lost = 0, i;
	pthread_t t;
	int round;

	spin_lock_init(&l->lock);
	BUG_ON(pthread_create(&t, NULL, litmus_sleeper, l));
	for (round = 1; round <= rounds && !lost; round++) {
		step();
		until(&l->there, round);
		WRITE_ONCE(l->x, 0);
		atomic_set_release(&l->round, round);
		litmus_wake(l, l->barrier, round);
		/* It may be that it only gets no processor. */
		for (i = 0; atomic_read_acquire(&l->through) < round; i++) {
			usleep(1000);
			if (i < 3000)
				continue;
			lost = 1;
			smp_mb();
			wake_up_process(l->task);
		}
	}
	until(&l->there, round);
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
	host_delays(1);
	EXPECT_EQ(0, litmus(&var, 20));
	EXPECT_EQ(0, litmus(&state, 20));
}

#ifdef HOST_WEAK
TEST_F_TIMEOUT(standins, litmus_without_barriers, 120)
{
	struct litmus var = {}, state = { .on_state = true };

	watch_over("litmus tests");
	host_delays(1);
	EXPECT_EQ(1, litmus(&var, 20));
	EXPECT_EQ(1, litmus(&state, 20));
}
#endif

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

/* As a ring does that may not sleep here. */
static long alloc_nonblock(int fd, u32 n, u32 *ids)
{
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = n, .ids = (unsigned long)ids,
		.flags = KVBM_ALLOC_WAIT, .deadline_ns = ~0ULL,
	};
	struct kvbm_uring_cmd cmd = {
		.args = (unsigned long)&a, .size = sizeof(a),
	};

	return host_uring(fd, KVBM_OP_ALLOC, &cmd, true);
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

/* Ends one of the sessions, as an administrator would: not @fd's, the first. */
static long revoke_one(int fd)
{
	struct kvbm_session_entry e[64];
	struct kvbm_session_list l = {
		.size = sizeof(l), .count = ARRAY_SIZE(e),
		.entry_size = sizeof(e[0]),
		.entries = (unsigned long)e,
	};
	struct kvbm_session_revoke r = { .size = sizeof(r) };
	long ret;

	ret = host_ioctl(fd, KVBM_IOC_SESSION_LIST, &l);
	if (ret < 0 || l.done < 2)
		return ret < 0 ? ret : -ENOENT;
	r.session_id = e[1 + get_random_u64() % (l.done - 1)].session_id;
	return host_ioctl(fd, KVBM_IOC_SESSION_REVOKE, &r);
}

struct victim {
	int fd;
	unsigned int times;
	bool nonblock;
	atomic_t calls;
};

/* Nothing comes after its last call that would wake by chance. */
static void *victim(void *arg)
{
	struct victim *v = arg;
	u32 ids[4];
	long ret;

	do {
		ret = v->nonblock ? alloc_nonblock(v->fd, 4, ids) :
				    alloc(v->fd, 4, ids, 0);
		if (ret > 0 && v->times > 1)
			release(v->fd, ret, ids);
		atomic_inc(&v->calls);
	} while (ret != -ESHUTDOWN && --v->times);
	return NULL;
}

/* A revocation comes while an allocation is under way, and waits for nobody. */
static unsigned int revocations(int fd, bool nonblock)
{
	u64 start = ktime_get_ns();
	unsigned int rounds = 0;

	for (; !over(start); rounds++) {
		struct victim v = {
			.nonblock = nonblock, .times = 1 + rounds % 3,
		};
		unsigned int before = rounds % v.times;
		pthread_t t;

		step();
		v.fd = host_open("a");
		BUG_ON(v.fd < 0);
		BUG_ON(pthread_create(&t, NULL, victim, &v));
		while (atomic_read(&v.calls) < before)
			sched_yield();
		BUG_ON(revoke_one(fd));
		pthread_join(t, NULL);
		host_close(v.fd);
	}
	return rounds;
}

TEST_F_TIMEOUT(wakes, revoke_while_allocating, 120)
{
	watch_over("a revocation while the session allocates");
	TH_LOG("%u revocations", revocations(self->fd, false));
}

TEST_F_TIMEOUT(wakes, revoke_while_punting, 120)
{
	watch_over("a revocation while a ring tries to allocate");
	ASSERT_EQ(BLOCKS, alloc(self->fd, BLOCKS, self->ids, 0));
	TH_LOG("%u revocations", revocations(self->fd, true));
}

static atomic_t waiters;

/* Sessions that wait for what others have, and end in every way. */
static void *waiter(void *arg)
{
	int fd = host_open("a");
	u64 r, start = ktime_get_ns();
	u32 ids[BLOCKS];
	long ret;

	while (!over(start)) {
		r = get_random_u64();
		step();
		ret = alloc(fd, 1 + r % (BLOCKS / 2), ids, KVBM_ALLOC_WAIT);
		if (r >> 32 & 1)
			usleep(r >> 40 & 63);
		if (ret > 0 && r >> 48 & 3)
			release(fd, ret, ids);
		if (ret < 0 || !(r >> 52 & 3)) {
			host_close(fd);
			fd = host_open("a");
			BUG_ON(fd < 0);
		}
	}
	host_close(fd);
	atomic_dec(&waiters);
	return NULL;
}

TEST_F_TIMEOUT(wakes, wait_for_blocks, 120)
{
	pthread_t t[6];
	u32 i;

	watch_over("sessions that wait for blocks");
	atomic_set(&waiters, ARRAY_SIZE(t));
	for (i = 0; i < ARRAY_SIZE(t); i++)
		BUG_ON(pthread_create(&t[i], NULL, waiter, NULL));
	/* They wait for each other: this lets them go on. */
	while (atomic_read(&waiters)) {
		revoke_one(self->fd);
		usleep(2000);
	}
	for (i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	EXPECT_EQ(BLOCKS, alloc(self->fd, BLOCKS, self->ids, 0));
	TH_LOG("%lld waits", atomic64_read(&moved));
}

/*
 * An event loop: allocate until ENOSPC, then wait for a wake.  It is woken each
 * time that blocks come free after a refusal, however the two meet.
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

TEST_F_TIMEOUT(wakes, edges, 120)
{
	struct host_epoll *ep = host_epoll_new();
	struct giver g = { .fd = self->fd };
	int fd = host_open("a");

	watch_over("a session in an epoll that tells edges");
	ASSERT_EQ(0, host_epoll_add(ep, fd, EPOLLOUT | EPOLLET));
	TH_LOG("%u rounds", event_loop(&g, fd, ep));
	host_epoll_free(ep);
	host_close(fd);
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

/* --- what who sleeps takes ----------------------------------------------- */

static struct kvbm_counts counts(int fd)
{
	struct kvbm_counts c = { .size = sizeof(c) };

	BUG_ON(host_ioctl(fd, KVBM_IOC_COUNTS, &c));
	return c;
}

/* Blocks that somebody holds. */
static u32 held(int fd)
{
	struct kvbm_counts c = counts(fd);

	return c.total - c.reset - c.inactive;
}

#define LARGE	(1 << 16)
#define SLEEPERS 16

struct sleeper {
	pthread_t t;
	int fd;
	u32 *ids;
	long ret;
};

static void *sleep_for_blocks(void *arg)
{
	struct sleeper *s = arg;

	s->ret = alloc(s->fd, LARGE, s->ids, KVBM_ALLOC_WAIT);
	return NULL;
}

/* A waiter for many blocks has none yet, nor memory to remember them. */
TEST_F_TIMEOUT(wakes, waiting_takes_no_memory, 120)
{
	struct sleeper s[SLEEPERS];
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = LARGE, .block_size = 16,
		.policy = "lru", .name = "large", .uid = -1, .gid = -1,
	};
	struct kvbm_store_destroy d = { .size = sizeof(d), .name = "large" };
	struct host_mem before, mem;
	u32 *ids;
	int fd, i;

	ids = calloc(LARGE, sizeof(*ids));
	ASSERT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_CREATE, &c));
	fd = host_open("large");
	ASSERT_EQ(LARGE, alloc(fd, LARGE, ids, 0));
	host_mem_stats(&before);
	for (i = 0; i < SLEEPERS; i++) {
		s[i].fd = host_open("large");
		s[i].ids = calloc(LARGE, sizeof(*ids));
		ASSERT_EQ(0, pthread_create(&s[i].t, NULL, sleep_for_blocks,
					    &s[i]));
	}
	while (counts(fd).waiters < SLEEPERS)
		usleep(1000);
	host_mem_stats(&mem);
	EXPECT_LT(mem.bytes - before.bytes, SLEEPERS * LARGE);
	EXPECT_EQ(0, host_close(fd));
	/* One after the other has all of them. */
	for (i = 0; i < SLEEPERS; i++) {
		int n;

		for (n = 0; n < SLEEPERS; n++)
			if (s[n].fd >= 0 && held(s[n].fd) == LARGE &&
			    !pthread_tryjoin_np(s[n].t, NULL))
				break;
		if (n == SLEEPERS) {
			usleep(1000);
			i--;
			continue;
		}
		EXPECT_EQ(LARGE, s[n].ret);
		EXPECT_EQ(0, host_close(s[n].fd));
		s[n].fd = -1;
		free(s[n].ids);
	}
	free(ids);
	EXPECT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_DESTROY, &d));
}

TEST_HARNESS_MAIN
