// SPDX-License-Identifier: MIT
/*
 * poll: its result is about the session, including the session's own limits;
 * edges for those that wait for edges; and many watches.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include "kvbm_test.h"

#define TOTAL	64

static int polled(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int n = poll(&p, 1, timeout);

	return n < 0 ? -errno : n ? p.revents : 0;
}

FIXTURE(edges) {
	int fd;				/* holds all blocks at first */
	int ses;
	int ep;
	uint32_t ids[TOTAL];
};

static void edges_begin(struct __test_metadata *_metadata,
			FIXTURE_DATA(edges) *self, uint32_t max_held)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };

	self->fd = kt_store(TOTAL, .policy = "lru", .max_held = max_held);
	ASSERT_GE(self->fd, 0);
	self->ses = kvbm_session_open(self->fd);
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, epoll_ctl(self->ep, EPOLL_CTL_ADD, self->ses, &ev));
}

FIXTURE_SETUP(edges)
{
}

FIXTURE_TEARDOWN(edges)
{
	close(self->ep);
	close(self->ses);
	kt_check(self->fd);
	close(self->fd);
}

/* How many events there are, at once or soon. */
static int edge(int ep, int timeout)
{
	struct epoll_event ev[4];

	return epoll_wait(ep, ev, 4, timeout);
}

/* Event, allocate until there is nothing, others release, event: for ever. */
TEST_F(edges, after_each_enospc)
{
	uint32_t got[TOTAL];
	int i, n;

	edges_begin(_metadata, self, 0);
	EXPECT_EQ(1, edge(self->ep, 0));
	for (i = 0; i < 50; i++) {
		for (n = 0; kvbm_alloc(self->ses, 1, &got[n], NULL, NULL) == 1;)
			n++;
		EXPECT_EQ(TOTAL, n);
		EXPECT_EQ(0, edge(self->ep, 0));
		/* By the end of another session, or by its own release. */
		ASSERT_EQ(TOTAL, kvbm_release(self->ses, TOTAL, got, 0, NULL));
		EXPECT_EQ(1, edge(self->ep, 60000));
		EXPECT_EQ(0, edge(self->ep, 0));
		ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL,
					    NULL));
		EXPECT_EQ(-ENOSPC, kvbm_alloc(self->ses, 1, got, NULL, NULL));
		ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids, 0, NULL));
		EXPECT_EQ(1, edge(self->ep, 60000));
		ASSERT_EQ(TOTAL - 1, kvbm_release(self->fd, TOTAL - 1,
						  self->ids + 1, 0, NULL));
	}
}

/* An edge is for what was asked for: no loop around a large allocation. */
TEST_F(edges, for_as_many_as_failed)
{
	uint32_t got[TOTAL];

	edges_begin(_metadata, self, 0);
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	while (edge(self->ep, 0))
		;
	EXPECT_EQ(-ENOSPC, kvbm_alloc(self->ses, 10, got, NULL, NULL));
	ASSERT_EQ(9, kvbm_release(self->fd, 9, self->ids, 0, NULL));
	edge(self->ep, 0);
	EXPECT_EQ(-ENOSPC, kvbm_alloc(self->ses, 10, got, NULL, NULL));
	EXPECT_EQ(0, edge(self->ep, 50));
	ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids + 9, 0, NULL));
	EXPECT_EQ(1, edge(self->ep, 60000));
	EXPECT_EQ(10, kvbm_alloc(self->ses, 10, got, NULL, NULL));
}

/* One that came between the shortage and the look is an edge, too. */
TEST_F(edges, no_shortage_any_more)
{
	uint32_t got[4];

	edges_begin(_metadata, self, 4);
	EXPECT_EQ(1, edge(self->ep, 0));
	ASSERT_EQ(3, kvbm_alloc(self->ses, 3, got, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_alloc(self->ses, 2, got, NULL, NULL));
	EXPECT_EQ(0, edge(self->ep, 50));
	ASSERT_EQ(1, kvbm_release(self->ses, 1, got, 0, NULL));
	EXPECT_EQ(1, edge(self->ep, 60000));
	EXPECT_EQ(2, kvbm_alloc(self->ses, 2, got, NULL, NULL));
}

/* The session's own limit: poll does not say what allocate denies. */
TEST_F(edges, limit)
{
	struct kvbm_hash h[8];
	uint32_t got[4], ids[8];
	int i;

	edges_begin(_metadata, self, 4);
	EXPECT_EQ(-EINVAL, kvbm_session_config(self->ses, 5));
	EXPECT_EQ(0, kvbm_session_config(self->ses, 4));
	EXPECT_EQ(POLLOUT, polled(self->ses, 0));
	ASSERT_EQ(1, kvbm_alloc(self->ses, 1, got, NULL, NULL));
	EXPECT_EQ(0, polled(self->ses, 50));
	EXPECT_EQ(0, kvbm_session_config(self->ses, 3));
	EXPECT_EQ(POLLOUT, polled(self->ses, 0));
	EXPECT_EQ(0, kvbm_session_config(self->ses, 1));
	while (edge(self->ep, 0))
		;
	/* Held blocks count as allocated ones do. */
	kt_singles(h, 8, 1);
	ASSERT_EQ(4, kt_idle(self->fd, 4, h, ids));
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(3, kvbm_match(self->ses, 4, h, ids, NULL));
		EXPECT_EQ(0, polled(self->ses, 0));
		EXPECT_EQ(-EDQUOT, kvbm_alloc(self->ses, 1, got + 1, NULL,
					      NULL));
		EXPECT_EQ(0, edge(self->ep, 0));
		ASSERT_EQ(3, kvbm_release(self->ses, 3, ids, 0, NULL));
		EXPECT_EQ(POLLOUT, polled(self->ses, 0));
		EXPECT_EQ(1, edge(self->ep, 60000));
	}
}

/* A poller that sleeps for its session's limit, woken by another thread. */
static void *release_later(void *arg)
{
	uint32_t *a = arg;

	kt_sleep_ms(100);
	kvbm_release(a[0], 1, &a[1], 0, NULL);
	return NULL;
}

TEST_F(edges, limit_sleeps)
{
	uint32_t got[4], a[2];
	pthread_t thread;

	edges_begin(_metadata, self, 4);
	ASSERT_EQ(4, kvbm_alloc(self->ses, 4, got, NULL, NULL));
	a[0] = self->ses;
	a[1] = got[0];
	ASSERT_EQ(0, pthread_create(&thread, NULL, release_later, a));
	EXPECT_EQ(POLLOUT, polled(self->ses, 60000));
	pthread_join(thread, NULL);
}

/* The mark of one session is nothing to the pollers of another. */
TEST_F(edges, config_wakes_its_own)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int ep, i;

	edges_begin(_metadata, self, 0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev));
	EXPECT_EQ(1, edge(ep, 0));
	EXPECT_EQ(1, edge(self->ep, 0));
	for (i = 1; i < 10; i++) {
		EXPECT_EQ(0, kvbm_session_config(self->ses, i));
		EXPECT_EQ(0, edge(ep, 0));
		EXPECT_EQ(1, edge(self->ep, 0));
	}
	close(ep);
}

/* Many watches on one session: freeing blocks wakes few of them. */
TEST(many_watches)
{
	enum { WATCHES = 20000 };
	struct rlimit lim = { 2 * WATCHES, 2 * WATCHES };
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	static struct epoll_event out[WATCHES];
	uint64_t begun, release, all = 0;
	int fd, ses, ep, i, round, n;
	uint32_t id;

	if (setrlimit(RLIMIT_NOFILE, &lim))
		SKIP(return, "needs %d descriptors", WATCHES);
	fd = kt_store(1);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	ses = kvbm_session_open(fd);
	ep = epoll_create1(EPOLL_CLOEXEC);
	for (i = 0; i < WATCHES; i++) {
		int d = dup(ses);

		ASSERT_GE(d, 0);
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, d, &ev));
	}
	for (round = 0, release = ~0ULL; round < 5; round++) {
		EXPECT_EQ(0, epoll_wait(ep, out, WATCHES, 0));
		begun = kt_now();
		ASSERT_EQ(1, kvbm_release(fd, 1, &id, 0, NULL));
		if (kt_now() - begun < release)
			release = kt_now() - begun;
		/* Each of them gets an event. */
		for (n = 0; n < WATCHES; n += i) {
			i = epoll_wait(ep, out, WATCHES, 60000);
			if (i <= 0)
				break;
		}
		all = kt_now() - begun;
		EXPECT_EQ(WATCHES, n);
		ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
		EXPECT_EQ(-ENOSPC, kvbm_alloc(ses, 1, &id, NULL, NULL));
	}
	ksft_print_msg("  %d watches: release %llu us, all told after %llu us\n",
		       WATCHES, (unsigned long long)release / 1000,
		       (unsigned long long)all / 1000);
	fflush(stdout);
	EXPECT_LT(release, all / 4);
	/* The session may go while the rest is being woken. */
	ASSERT_EQ(1, kvbm_release(fd, 1, &id, 0, NULL));
	close(ep);
	for (i = 3; i < 2 * WATCHES; i++)
		if (i != fd)
			close(i);
	EXPECT_TRUE(kt_until(kt_stats(fd).sessions == 1));
	close(fd);
}

/* And many sessions that are polled. */
TEST(many_sessions)
{
	enum { SESSIONS = 1000 };
	struct rlimit lim = { 2 * SESSIONS, 2 * SESSIONS };
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	static struct epoll_event out[SESSIONS];
	int fd, ep, i, n, ses[SESSIONS];
	uint32_t id;

	if (setrlimit(RLIMIT_NOFILE, &lim))
		SKIP(return, "needs %d descriptors", SESSIONS);
	fd = kt_store(1);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	ep = epoll_create1(EPOLL_CLOEXEC);
	for (i = 0; i < SESSIONS; i++) {
		ses[i] = kvbm_session_open(fd);
		ASSERT_GE(ses[i], 0);
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, ses[i], &ev));
	}
	EXPECT_EQ(0, epoll_wait(ep, out, SESSIONS, 0));
	ASSERT_EQ(1, kvbm_release(fd, 1, &id, 0, NULL));
	for (n = 0; n < SESSIONS; n += i) {
		i = epoll_wait(ep, out, SESSIONS, 60000);
		if (i <= 0)
			break;
	}
	EXPECT_EQ(SESSIONS, n);
	for (i = 0; i < SESSIONS; i++)
		close(ses[i]);
	close(ep);
	kt_check(fd);
	close(fd);
}

TEST_HARNESS_MAIN
