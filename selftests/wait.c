// SPDX-License-Identifier: MIT
/*
 * Allocations that wait: strictly first come first served, until a deadline, a
 * signal, the session's end; and poll.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include "kvbm_test.h"

#define TOTAL	256

/* One who waits, in a thread, with a session of its own. */
struct waiter {
	int fd;
	uint32_t n;
	uint64_t deadline;
	pthread_t thread;
	uint32_t ids[TOTAL];
	long slept;			/* times that it gave up its CPU */
	volatile int ret;
	volatile bool done;
};

static void *wait_thread(void *arg)
{
	struct waiter *w = arg;
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	w->ret = kvbm_alloc_wait(w->fd, w->n, w->ids, NULL, NULL, w->deadline);
	getrusage(RUSAGE_THREAD, &after);
	w->slept = after.ru_nvcsw - before.ru_nvcsw;
	__sync_synchronize();
	w->done = true;
	return NULL;
}

FIXTURE(waiting) {
	int fd;				/* holds all blocks at first */
	uint32_t ids[TOTAL];
	struct kvbm_hash h[TOTAL];
};

FIXTURE_SETUP(waiting)
{
	kt_singles(self->h, TOTAL, 7);
	self->fd = kt_store(TOTAL, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
}

FIXTURE_TEARDOWN(waiting)
{
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	kt_check(self->fd);
	close(self->fd);
}

#define begin(w, blocks, until) do {					\
	memset(w, 0, sizeof(*(w)));					\
	(w)->fd = kvbm_session_open(self->fd);				\
	(w)->n = blocks;						\
	(w)->deadline = until;						\
	ASSERT_EQ(0, pthread_create(&(w)->thread, NULL, wait_thread, w)); \
} while (0)

/* Starts it; returns when it is in the queue. */
#define start(w, blocks, until) do {					\
	uint32_t __before = kt_counts(self->fd).waiters;		\
	begin(w, blocks, until);					\
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters ==		\
			     __before + 1));				\
} while (0)

#define finish(w, want) do {						\
	pthread_join((w)->thread, NULL);				\
	EXPECT_EQ(want, (w)->ret);					\
	close((w)->fd);							\
} while (0)

/* The watcher gives back blocks from..from + n - 1. */
#define give(from, n)							\
	ASSERT_EQ(n, kvbm_release(self->fd, n, self->ids + (from), 0, NULL))

TEST_F(waiting, order)
{
	struct waiter a, b, c;
	struct kvbm_stats s;
	uint32_t got[4];

	start(&a, 4, KVBM_NO_DEADLINE);
	start(&b, 1, KVBM_NO_DEADLINE);
	start(&c, 2, KVBM_NO_DEADLINE);

	/* Three are not enough for the first, and nobody overtakes it. */
	give(0, 3);
	kt_sleep_ms(50);
	EXPECT_EQ(3, kt_counts(self->fd).waiters);
	EXPECT_EQ(3, kt_counts(self->fd).reset);
	EXPECT_FALSE(a.done || b.done || c.done);
	EXPECT_EQ(-ENOSPC, kvbm_alloc(self->fd, 1, got, NULL, NULL));
	EXPECT_EQ(0, kvbm_alloc_reset(self->fd, 1, got));
	EXPECT_EQ(0, kvbm_alloc(self->fd, 0, got, NULL, NULL));
	EXPECT_EQ(0, kt_stats(self->fd).wait_wakeups);

	give(3, 1);
	EXPECT_TRUE(kt_until(a.done));
	EXPECT_EQ(2, kt_counts(self->fd).waiters);
	give(4, 1);
	EXPECT_TRUE(kt_until(b.done));
	kt_sleep_ms(20);
	EXPECT_EQ(1, kt_counts(self->fd).waiters);
	EXPECT_FALSE(c.done);
	give(5, 1);
	kt_sleep_ms(20);
	EXPECT_EQ(1, kt_counts(self->fd).waiters);
	/* The end of a session frees blocks like anything else. */
	finish(&b, 1);
	EXPECT_TRUE(kt_until(c.done));
	finish(&a, 4);
	finish(&c, 2);
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	EXPECT_EQ(6, kt_counts(self->fd).available);
	s = kt_stats(self->fd);
	EXPECT_EQ(3, s.waits);
	EXPECT_EQ(3, s.wait_grants);
	EXPECT_EQ(3, s.wait_wakeups);
	/* Nobody waits: anybody may. */
	EXPECT_EQ(1, kvbm_alloc(self->fd, 1, got, NULL, NULL));
	EXPECT_EQ(1, kvbm_alloc_wait(self->fd, 1, got, NULL, NULL,
				     KVBM_NO_DEADLINE));
	EXPECT_EQ(3, kt_stats(self->fd).waits);
}

/* A stream of small ones does not starve a large one. */
TEST_F(waiting, large_is_not_starved)
{
	struct waiter large, small[8];
	uint32_t i, got;

	start(&large, 100, KVBM_NO_DEADLINE);
	for (i = 0; i < 8; i++)
		start(&small[i], 1, KVBM_NO_DEADLINE);
	for (i = 0; i < 99; i++) {
		give(i, 1);
		if (!(i % 16))
			EXPECT_EQ(-ENOSPC, kvbm_alloc(self->fd, 1, &got, NULL,
						      NULL));
	}
	EXPECT_EQ(9, kt_counts(self->fd).waiters);
	give(99, 1);
	finish(&large, 100);
	for (i = 0; i < 8; i++)
		finish(&small[i], 1);
}

/*
 * One wake-up per grant, no matter how many wait or how much comes at once: by
 * the store's counter, and by the scheduler's. Each waiter sleeps once; if all
 * were woken for each block that comes back, they would sleep 5,050 times.
 */
TEST_F(waiting, wakeups)
{
	enum { MANY = 100 };
	static struct waiter w[MANY];
	struct kvbm_stats s;
	long slept = 0;
	int i;

	for (i = 0; i < MANY; i++)
		start(&w[i], 1, KVBM_NO_DEADLINE);
	/* One by one, then more than are granted under one hold of the lock. */
	for (i = 0; i < MANY / 4; i++) {
		give(i, 1);
		EXPECT_TRUE(kt_until(w[i].done));
		EXPECT_EQ(MANY - 1 - i, kt_counts(self->fd).waiters);
	}
	give(i, MANY - i);
	for (i = 0; i < MANY; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(1, w[i].ret);
		slept += w[i].slept;
	}
	s = kt_stats(self->fd);
	EXPECT_EQ(MANY, s.waits);
	EXPECT_EQ(MANY, s.wait_grants);
	EXPECT_EQ(MANY, s.wait_wakeups);
	ksft_print_msg("  %u waited: %llu grants, %llu wake-ups, slept %ld times\n",
		       MANY, (unsigned long long)s.wait_grants,
		       (unsigned long long)s.wait_wakeups, slept);
	fflush(stdout);
	EXPECT_GE(slept, MANY);
	/* Few sleep for another reason: a page that is not there yet. */
	EXPECT_LE(slept, MANY + MANY / 10);
	for (i = 0; i < MANY; i++)
		close(w[i].fd);
}

/* All that frees blocks: idle ones, reset, unregistered ones, a close. */
TEST_F(waiting, room_from_everywhere)
{
	struct kvbm_registered r;
	struct waiter w;
	int other;

	/* The last release of a registered block: it is evicted for it. */
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, self->ids, self->h, &r,
					 0, NULL));
	start(&w, 1, KVBM_NO_DEADLINE);
	give(0, 1);
	pthread_join(w.thread, NULL);
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(self->ids[0], w.ids[0]);
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[0]));
	EXPECT_EQ(1, kt_stats(self->fd).evictions);
	close(w.fd);
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, self->ids, NULL, NULL));

	/* A Duplicate's. */
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, self->ids, self->h, &r,
					 0, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, self->ids + 1, self->h,
					 &r, KVBM_REGISTER_ALLOW, NULL));
	start(&w, 1, KVBM_NO_DEADLINE);
	give(1, 1);
	pthread_join(w.thread, NULL);
	EXPECT_EQ(self->ids[1], w.ids[0]);
	close(w.fd);
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, self->ids + 1, NULL, NULL));

	/* A registration that gives its own block back. */
	start(&w, 1, KVBM_NO_DEADLINE);
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, self->ids + 2, self->h,
					 &r, KVBM_REGISTER_REJECT, NULL));
	finish(&w, 1);

	/* The end of a session. */
	other = kvbm_session_open(self->fd);
	ASSERT_EQ(1, kvbm_alloc(other, 1, self->ids + 2, NULL, NULL));
	start(&w, 1, KVBM_NO_DEADLINE);
	close(other);
	finish(&w, 1);

	/* Its revocation. */
	other = kvbm_session_open(self->fd);
	ASSERT_EQ(1, kvbm_alloc(other, 1, self->ids + 2, NULL, NULL));
	start(&w, 1, KVBM_NO_DEADLINE);
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(other),
					 NULL));
	finish(&w, 1);
	close(other);
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, self->ids + 2, NULL, NULL));
}

/* A killed process that held blocks: the waiter has them. */
TEST_F(waiting, holder_killed)
{
	struct kt_pipe ready;
	struct waiter w;
	pid_t pid;

	kt_pipe_open(&ready);
	give(0, 8);
	pid = kt_fork();
	if (!pid) {
		uint32_t got[8];
		int fd = kvbm_session_open(self->fd);

		KT_MUST(kvbm_alloc(fd, 8, got, NULL, NULL) == 8);
		kt_tell(&ready, 1);
		pause();
	}
	ASSERT_EQ(1, kt_hear(&ready));
	start(&w, 8, KVBM_NO_DEADLINE);
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	finish(&w, 8);
}

/* A killed waiter: who waited behind it gets its turn. */
TEST_F(waiting, waiter_killed)
{
	struct waiter w;
	pid_t pid;

	pid = kt_fork();
	if (!pid) {
		uint32_t got[TOTAL];
		int fd = kvbm_session_open(self->fd);

		kvbm_alloc_wait(fd, 10, got, NULL, NULL, KVBM_NO_DEADLINE);
		_exit(1);
	}
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	start(&w, 2, KVBM_NO_DEADLINE);
	give(0, 2);
	kt_sleep_ms(20);
	EXPECT_FALSE(w.done);
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	/* It had gone when its process could be reaped. */
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	finish(&w, 2);
	EXPECT_EQ(1, kt_stats(self->fd).wait_grants);
}

/* Killed at any moment, granted or not: nothing is lost. */
TEST_F(waiting, waiter_killed_any_time)
{
	int i;

	for (i = 0; i < 60; i++) {
		pid_t pid = kt_fork();

		if (!pid) {
			uint32_t got[TOTAL];
			int fd = kvbm_session_open(self->fd);

			for (;;) {
				if (kvbm_alloc_wait(fd, 4, got, NULL, NULL,
						    KVBM_NO_DEADLINE) == 4)
					kvbm_release(fd, 4, got, 0, NULL);
			}
		}
		if (i & 1)
			kt_until(kt_counts(self->fd).waiters == 1);
		give(0, 4);
		if (i & 2)
			kt_sleep_ms(i % 5);
		EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
		EXPECT_EQ(0, kt_counts(self->fd).waiters);
		EXPECT_EQ(0, kt_counts(self->fd).reserved_blocks);
		EXPECT_EQ(4, kt_counts(self->fd).available);
		ASSERT_EQ(4, kvbm_alloc(self->fd, 4, self->ids, NULL, NULL));
	}
}

/* Deadlines */

TEST_F(waiting, deadlines)
{
	int fd = kvbm_session_open(self->fd);
	uint64_t begin, took;
	uint32_t got[2];
	struct kvbm_stats s;

	/* Past: at once. */
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(fd, 1, got, NULL, NULL, 1));
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(fd, 1, got, NULL, NULL, 0));
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(fd, 1, got, NULL, NULL,
					      kt_now()));
	/* To come. */
	begin = kt_now();
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(fd, 1, got, NULL, NULL,
					      begin + 150000000));
	took = kt_now() - begin;
	EXPECT_GE(took, 150000000);
	EXPECT_LT(took, 30000000000ULL);
	s = kt_stats(self->fd);
	EXPECT_EQ(0, s.wait_grants);
	EXPECT_EQ(0, s.wait_wakeups);
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	/* Available blocks are granted, however late. */
	give(0, 2);
	EXPECT_EQ(2, kvbm_alloc_wait(fd, 2, got, NULL, NULL, 1));
	EXPECT_EQ(0, kvbm_alloc_wait(fd, 0, got, NULL, NULL, 1));
	EXPECT_EQ(-EINVAL, kvbm_alloc_wait(fd, TOTAL + 1, got, NULL,
					   NULL, KVBM_NO_DEADLINE));
	close(fd);
}

/* One who gives up makes way for those behind. */
TEST_F(waiting, deadline_of_the_first)
{
	uint64_t ns = 300000000;
	struct waiter a, b;

	/* So long that it is seen to wait even on a slow machine. */
	for (;; ns *= 2) {
		ASSERT_LT(ns, 60000000000ULL);
		begin(&a, 10, kvbm_deadline(ns));
		ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters || a.done));
		begin(&b, 1, KVBM_NO_DEADLINE);
		ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 2 ||
				     a.done));
		if (!a.done)
			break;
		finish(&a, -ETIMEDOUT);
		give(0, 1);
		finish(&b, 1);
		ASSERT_EQ(1, kvbm_alloc(self->fd, 1, self->ids, NULL, NULL));
	}
	give(0, 1);
	finish(&b, 1);
	EXPECT_TRUE(a.done);
	finish(&a, -ETIMEDOUT);
	EXPECT_EQ(1, kt_counts(self->fd).available);
}

/* Deadlines that end while blocks come: each block is somebody's or free. */
TEST_F(waiting, deadline_races)
{
	struct waiter w[4];
	int i, k, granted;

	for (i = 0; i < 40; i++) {
		for (k = 0; k < 4; k++) {
			memset(&w[k], 0, sizeof(w[k]));
			w[k].fd = kvbm_session_open(self->fd);
			w[k].n = 2;
			w[k].deadline = kvbm_deadline(1000000 * (i % 4));
			ASSERT_EQ(0, pthread_create(&w[k].thread, NULL,
						    wait_thread, &w[k]));
		}
		if (i % 3)
			kt_sleep_ms(i % 3);
		give(0, 4);
		for (k = 0, granted = 0; k < 4; k++) {
			pthread_join(w[k].thread, NULL);
			if (w[k].ret == 2)
				granted++;
			else
				EXPECT_EQ(-ETIMEDOUT, w[k].ret);
		}
		EXPECT_LE(granted, 2);
		EXPECT_EQ(4 - 2 * granted, kt_counts(self->fd).available);
		EXPECT_EQ(0, kt_counts(self->fd).reserved_blocks);
		for (k = 0; k < 4; k++)
			close(w[k].fd);
		ASSERT_EQ(4, kvbm_alloc(self->fd, 4, self->ids, NULL, NULL));
	}
}

/* Signals */

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	signals++;
}

TEST_F(waiting, signal_interrupts)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct waiter w;

	sigaction(SIGUSR1, &sa, NULL);
	start(&w, 1, KVBM_NO_DEADLINE);
	pthread_kill(w.thread, SIGUSR1);
	finish(&w, -EINTR);
	EXPECT_EQ(1, signals);
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
}

TEST_F(waiting, signal_restarts)
{
	struct sigaction sa = { .sa_handler = on_signal,
				.sa_flags = SA_RESTART };
	struct waiter w;
	uint64_t begin;

	sigaction(SIGUSR1, &sa, NULL);
	start(&w, 1, KVBM_NO_DEADLINE);
	pthread_kill(w.thread, SIGUSR1);
	EXPECT_TRUE(kt_until(signals == 1));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	kt_sleep_ms(20);
	EXPECT_FALSE(w.done);
	give(0, 1);
	finish(&w, 1);
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, self->ids, NULL, NULL));
	/* The deadline stays where it was. */
	begin = kt_now();
	start(&w, 1, begin + 200000000);
	while (!w.done) {
		pthread_kill(w.thread, SIGUSR1);
		kt_sleep_ms(10);
	}
	EXPECT_LT(kt_now() - begin, 30000000000ULL);
	finish(&w, -ETIMEDOUT);
}

TEST_F(waiting, stopped_and_continued)
{
	int status;
	pid_t pid;

	pid = kt_fork();
	if (!pid) {
		uint32_t got;
		int fd = kvbm_session_open(self->fd);

		_exit(kvbm_alloc_wait(fd, 1, &got, NULL, NULL,
				      KVBM_NO_DEADLINE) == 1 ? 0 : 1);
	}
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	kill(pid, SIGSTOP);
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	EXPECT_TRUE(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	give(0, 1);
	EXPECT_EQ(0, kt_reap(pid));
}

/* The session's end, from outside */

TEST_F(waiting, revoked)
{
	struct waiter w, behind;
	uint64_t back = KT_POISON;

	start(&w, 8, KVBM_NO_DEADLINE);
	start(&behind, 1, KVBM_NO_DEADLINE);
	give(0, 1);
	EXPECT_FALSE(behind.done);
	EXPECT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(w.fd),
					 &back));
	EXPECT_EQ(0, back);
	finish(&w, -ESHUTDOWN);
	finish(&behind, 1);
}

/* Revoked at the very moment of the grant. */
TEST_F(waiting, revoke_races)
{
	struct waiter w;
	int i;

	for (i = 0; i < 40; i++) {
		start(&w, 4, KVBM_NO_DEADLINE);
		give(0, 4);
		EXPECT_EQ(0, kvbm_session_revoke(self->fd,
						 kt_session_id(w.fd), NULL));
		/* Nothing of it is under way when that returns. */
		EXPECT_EQ(4, kt_counts(self->fd).available);
		EXPECT_EQ(0, kt_counts(self->fd).reserved_blocks);
		pthread_join(w.thread, NULL);
		EXPECT_TRUE(w.ret == 4 || w.ret == -ESHUTDOWN) {
			TH_LOG("%d", w.ret);
		}
		close(w.fd);
		ASSERT_EQ(4, kvbm_alloc(self->fd, 4, self->ids, NULL, NULL));
	}
}

TEST(destroyed)
{
	struct waiter w = { .n = 1, .deadline = KVBM_NO_DEADLINE };
	uint32_t got[4];
	int fd;

	ASSERT_EQ(-1, kt_store(4, .name = "waited"));
	fd = kvbm_open("waited");
	ASSERT_EQ(4, kvbm_alloc(fd, 4, got, NULL, NULL));
	w.fd = kvbm_open("waited");
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, wait_thread, &w));
	ASSERT_TRUE(kt_until(kt_counts(fd).waiters == 1));
	ASSERT_EQ(0, kt_destroy("waited", KVBM_DESTROY_FORCE));
	finish(&w, -ENODEV);
	close(fd);
}

/* Matches go on, and may take what a waiter could have had. */
TEST_F(waiting, matches_go_on)
{
	struct kvbm_registered r[3];
	uint32_t got[3];
	struct waiter w;

	ASSERT_EQ(3, kvbm_stage_register(self->fd, 3, self->ids, self->h, r, 0,
					 NULL));
	start(&w, 4, KVBM_NO_DEADLINE);
	give(0, 3);
	EXPECT_EQ(3, kt_counts(self->fd).inactive);
	EXPECT_EQ(2, kvbm_match(self->fd, 2, self->h, got, NULL));
	give(3, 1);
	kt_sleep_ms(20);
	EXPECT_FALSE(w.done);
	EXPECT_EQ(2, kt_counts(self->fd).available);
	give(0, 2);
	finish(&w, 4);
}

/* poll */

static int polled(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	int n = poll(&p, 1, timeout);

	return n < 0 ? -errno : n ? p.revents : 0;
}

TEST_F(waiting, poll)
{
	int fd = kvbm_session_open(self->fd);
	uint32_t got[10];
	struct waiter w;

	EXPECT_EQ(0, polled(fd, 0));
	give(0, 1);
	EXPECT_EQ(POLLOUT, polled(fd, 0));
	/* The low watermark. */
	EXPECT_EQ(-EINVAL, kvbm_session_config(fd, 0));
	EXPECT_EQ(-EINVAL, kvbm_session_config(fd, TOTAL + 1));
	EXPECT_EQ(0, kvbm_session_config(fd, TOTAL));
	EXPECT_EQ(0, kvbm_session_config(fd, 10));
	EXPECT_EQ(0, polled(fd, 0));
	EXPECT_EQ(POLLOUT, polled(self->fd, 0));
	give(1, 8);
	EXPECT_EQ(0, polled(fd, 0));
	give(9, 1);
	EXPECT_EQ(POLLOUT, polled(fd, 0));
	EXPECT_EQ(10, kvbm_alloc(fd, 10, got, NULL, NULL));
	EXPECT_EQ(0, polled(fd, 0));
	EXPECT_EQ(10, kvbm_release(fd, 10, got, 0, NULL));
	EXPECT_EQ(POLLOUT, polled(fd, 0));
	/* Not while somebody waits: an allocation could not succeed. */
	start(&w, 20, KVBM_NO_DEADLINE);
	EXPECT_EQ(0, polled(fd, 0));
	EXPECT_EQ(0, polled(self->fd, 0));
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(w.fd), NULL));
	EXPECT_EQ(POLLERR | POLLHUP, polled(w.fd, 0));
	finish(&w, -ESHUTDOWN);
	EXPECT_EQ(POLLOUT, polled(fd, 0));
	close(fd);
}

struct poller {
	int fd;
	int ret;
	pthread_t thread;
	volatile bool done;
};

static void *poll_thread(void *arg)
{
	struct poller *p = arg;

	p->ret = polled(p->fd, 60000);
	__sync_synchronize();
	p->done = true;
	return NULL;
}

/* Sleeping in poll, each with its own mark. */
TEST_F(waiting, poll_sleeps)
{
	static const uint32_t marks[] = { 8, 2, 4, 16 };
	struct poller p[4] = {};
	int i;

	for (i = 0; i < 4; i++) {
		p[i].fd = kvbm_session_open(self->fd);
		ASSERT_EQ(0, kvbm_session_config(p[i].fd, marks[i]));
		ASSERT_EQ(0, pthread_create(&p[i].thread, NULL, poll_thread,
					    &p[i]));
	}
	kt_sleep_ms(50);
	for (i = 0; i < 16; i++) {
		uint32_t k, avail = i + 1;

		give(i, 1);
		for (k = 0; k < 4; k++) {
			if (marks[k] == avail)
				EXPECT_TRUE(kt_until(p[k].done)) {
					TH_LOG("mark %u", avail);
				}
			if (marks[k] > avail)
				EXPECT_FALSE(p[k].done) {
					TH_LOG("mark %u at %u", marks[k],
					       avail);
				}
		}
	}
	for (i = 0; i < 4; i++) {
		pthread_join(p[i].thread, NULL);
		EXPECT_EQ(POLLOUT, p[i].ret);
		close(p[i].fd);
	}
}

/* A sleeping poll learns of a lower mark, and of its session's end. */
TEST_F(waiting, poll_wakes_otherwise)
{
	struct poller p = { .fd = kvbm_session_open(self->fd) };

	ASSERT_EQ(0, kvbm_session_config(p.fd, 10));
	give(0, 5);
	ASSERT_EQ(0, pthread_create(&p.thread, NULL, poll_thread, &p));
	kt_sleep_ms(50);
	EXPECT_FALSE(p.done);
	ASSERT_EQ(0, kvbm_session_config(p.fd, 5));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(POLLOUT, p.ret);
	p.done = false;
	ASSERT_EQ(0, kvbm_session_config(p.fd, 10));
	ASSERT_EQ(0, pthread_create(&p.thread, NULL, poll_thread, &p));
	kt_sleep_ms(50);
	EXPECT_FALSE(p.done);
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(p.fd), NULL));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(POLLERR | POLLHUP, p.ret);
	close(p.fd);
}

/* When a waiter leaves, pollers see the blocks that it was waiting for. */
TEST_F(waiting, poll_after_waiter)
{
	struct poller p = { .fd = kvbm_session_open(self->fd) };
	struct waiter w;

	start(&w, 10, kvbm_deadline(300000000));
	give(0, 5);
	ASSERT_EQ(0, pthread_create(&p.thread, NULL, poll_thread, &p));
	finish(&w, -ETIMEDOUT);
	pthread_join(p.thread, NULL);
	EXPECT_EQ(POLLOUT, p.ret);
	close(p.fd);
}

TEST_F(waiting, epoll)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET, .data.u32 = 7 };
	struct epoll_event out = {};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int fd = kvbm_session_open(self->fd);
	uint32_t got;

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	EXPECT_EQ(0, epoll_wait(ep, &out, 1, 0));
	give(0, 1);
	EXPECT_EQ(1, epoll_wait(ep, &out, 1, 60000));
	EXPECT_EQ(7, out.data.u32);
	EXPECT_EQ(EPOLLOUT, out.events);
	/* Edge: once. */
	EXPECT_EQ(0, epoll_wait(ep, &out, 1, 0));
	ev.events = EPOLLOUT;
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev));
	EXPECT_EQ(1, epoll_wait(ep, &out, 1, 60000));
	EXPECT_EQ(1, epoll_wait(ep, &out, 1, 60000));
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &got, NULL, NULL));
	EXPECT_EQ(0, epoll_wait(ep, &out, 1, 0));
	/* Taken, given back: a new edge for those who look again. */
	ASSERT_EQ(1, kvbm_release(fd, 1, &got, 0, NULL));
	EXPECT_EQ(1, epoll_wait(ep, &out, 1, 60000));
	close(fd);
	close(ep);
}

TEST_HARNESS_MAIN
