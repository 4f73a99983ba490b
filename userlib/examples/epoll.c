// SPDX-License-Identifier: MIT
/*
 * An event loop that allocates when blocks are available, and never sleeps in a
 * call: the session is writable when an allocation of its low watermark could
 * succeed.
 *
 *	epoll STORE [BLOCKS [ROUNDS]]
 *
 * Allocates BLOCKS blocks (8) ROUNDS times (10), and releases each batch a
 * tenth of a second later.  Run several against a store that is too small for
 * all of them, and they take turns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <kvbm.h>

#define HOLD_NS		100000000L
#define MAX_BLOCKS	4096

static int fail(const char *what, int err)
{
	fprintf(stderr, "epoll: %s: %s\n", what, strerror(-err));
	return 1;
}

static int watch(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(ep, op, fd, &ev) ? -errno : 0;
}

int main(int argc, char **argv)
{
	static uint32_t ids[MAX_BLOCKS];
	struct itimerspec hold = { .it_value.tv_nsec = HOLD_NS };
	uint32_t n = argc > 2 ? strtoul(argv[2], NULL, 0) : 8;
	int rounds = argc > 3 ? atoi(argv[3]) : 10;
	int session, ep, timer, ret;
	struct epoll_event ev;
	uint64_t ticks;

	if (argc < 2 || !n || n > MAX_BLOCKS) {
		fprintf(stderr, "usage: epoll STORE [BLOCKS [ROUNDS]]\n");
		return 2;
	}
	session = kvbm_open(argv[1]);
	if (session < 0)
		return fail(argv[1], session);
	ret = kvbm_session_config(session, n);
	if (ret < 0)
		return fail("low watermark", ret);

	ep = epoll_create1(EPOLL_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (ep < 0 || timer < 0)
		return fail("setup", -errno);
	if (watch(ep, EPOLL_CTL_ADD, session, EPOLLOUT) ||
	    watch(ep, EPOLL_CTL_ADD, timer, EPOLLIN))
		return fail("epoll_ctl", -errno);

	while (rounds) {
		if (epoll_wait(ep, &ev, 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			return fail("epoll_wait", -errno);
		}

		if (ev.data.fd == session) {
			/* EPOLLERR or EPOLLHUP: the next call says why. */
			ret = kvbm_alloc(session, n, ids, NULL, NULL);
			if (ret == -ENOSPC)	/* another session was faster */
				continue;
			if (ret < 0)
				return fail("alloc", ret);
			printf("have %d blocks\n", ret);
			watch(ep, EPOLL_CTL_MOD, session, 0);
			timerfd_settime(timer, 0, &hold, NULL);
		} else if (read(timer, &ticks, sizeof(ticks)) > 0) {
			ret = kvbm_release(session, n, ids, 0, NULL);
			if (ret < 0)
				return fail("release", ret);
			printf("gave %d back\n", ret);
			watch(ep, EPOLL_CTL_MOD, session, EPOLLOUT);
			rounds--;
		}
	}
	return 0;
}
