// SPDX-License-Identifier: MIT
/*
 * Sessions: all descriptors of an open file share one session.  When the last
 * one is gone, all that the session held is back before anybody can tell.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include "kvbm_test.h"

#define TOTAL	16

FIXTURE(session) {
	int fd;				/* the watcher */
	struct kvbm_hash h[TOTAL];
	uint32_t ids[TOTAL];
};

FIXTURE_SETUP(session)
{
	self->fd = kt_store(TOTAL, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	kt_singles(self->h, TOTAL, 40);
}

FIXTURE_TEARDOWN(session)
{
	kt_check(self->fd);
	close(self->fd);
}

/* Nothing but what the watcher holds, nothing. */
#define expect_idle(n) do {						\
	struct kvbm_counts __c = kt_counts(self->fd);			\
	EXPECT_EQ(TOTAL, __c.available);				\
	EXPECT_EQ(n, __c.inactive);					\
	EXPECT_EQ(n, __c.registered);					\
	EXPECT_EQ(0, kt_stats(self->fd).inflight_immutable);		\
	EXPECT_EQ(0, kt_stats(self->fd).inflight_mutable);		\
	EXPECT_EQ(0, kt_stats(self->fd).staged);			\
} while (0)

/* Sharing */

TEST_F(session, fork_shares)
{
	int fd = kvbm_session_open(self->fd);
	uint32_t got;
	pid_t pid;

	ASSERT_EQ(3, kt_fill(fd, 3, self->h, self->ids));
	pid = kt_fork();
	if (!pid) {
		/* The child gives back one of the parent's and takes one. */
		KT_MUST(kvbm_release(fd, 1, self->ids, 0, NULL) == 1);
		KT_MUST(kvbm_match(fd, 1, &self->h[1], &got, NULL) == 1);
		_exit(0);
	}
	ASSERT_EQ(0, kt_reap(pid));
	/* Its end ends nothing. */
	EXPECT_EQ(2, kt_stats(self->fd).sessions);
	EXPECT_EQ(-EPERM, kvbm_release(fd, 1, self->ids, 0, NULL));
	EXPECT_EQ(2, kt_info(fd, self->ids[1]).own_holds);
	EXPECT_EQ(3, kt_self(fd).holds);
	/* The same when it is killed. */
	pid = kt_fork();
	if (!pid)
		pause();
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	EXPECT_EQ(3, kt_self(fd).holds);
	close(fd);
	expect_idle(3);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
}

/* The child keeps the session when the parent closes. */
TEST_F(session, child_outlives)
{
	int fd = kvbm_session_open(self->fd);
	struct kt_pipe go;
	pid_t pid;

	kt_pipe_open(&go);
	ASSERT_EQ(2, kt_fill(fd, 2, self->h, self->ids));
	pid = kt_fork();
	if (!pid) {
		kt_hear(&go);
		_exit(0);
	}
	close(fd);
	EXPECT_EQ(2, kt_stats(self->fd).inflight_immutable);
	kt_tell(&go, 1);
	ASSERT_EQ(0, kt_reap(pid));
	expect_idle(2);
}

TEST_F(session, dup_shares)
{
	int a = kvbm_session_open(self->fd), b = dup(a), c;

	ASSERT_EQ(2, kt_fill(a, 2, self->h, self->ids));
	EXPECT_EQ(kt_session_id(a), kt_session_id(b));
	close(a);
	EXPECT_EQ(2, kt_stats(self->fd).inflight_immutable);
	EXPECT_EQ(1, kvbm_release(b, 1, self->ids, 0, NULL));
	c = fcntl(b, F_DUPFD_CLOEXEC, 50);
	close(b);
	EXPECT_EQ(1, kvbm_release(c, 1, self->ids + 1, 0, NULL));
	close(c);
	expect_idle(2);
}

/* Another open file is another session, in any process. */
TEST_F(session, open_is_new)
{
	int a = kvbm_session_open(self->fd), b = kvbm_session_open(a);

	EXPECT_NE(kt_session_id(a), kt_session_id(b));
	ASSERT_EQ(1, kt_fill(a, 1, self->h, self->ids));
	EXPECT_EQ(-EPERM, kvbm_release(b, 1, self->ids, 0, NULL));
	EXPECT_EQ(FD_CLOEXEC, fcntl(a, F_GETFD));
	close(a);
	expect_idle(1);
	/* An anonymous store lives as long as any session of it. */
	ASSERT_EQ(1, kvbm_match(b, 1, self->h, self->ids, NULL));
	close(b);
	expect_idle(1);
}

/* Passed over a socket, the sender killed. */
TEST_F(session, scm_rights)
{
	int sock[2], fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = kt_fork();
	if (!pid) {
		fd = kvbm_session_open(self->fd);
		KT_MUST(kt_fill(fd, 3, self->h, self->ids) == 3);
		KT_MUST(!kt_send_fd(sock[1], fd));
		raise(SIGKILL);
	}
	EXPECT_EQ(256 + SIGKILL, kt_reap(pid));
	/* In flight it is a reference like any other. */
	EXPECT_EQ(3, kt_stats(self->fd).inflight_immutable);
	EXPECT_EQ(2, kt_stats(self->fd).sessions);
	fd = kt_recv_fd(sock[0]);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(3, kt_self(fd).holds);
	EXPECT_EQ(2, kvbm_match(fd, 2, self->h, self->ids, NULL));
	EXPECT_EQ(5, kt_self(fd).holds);
	close(fd);
	expect_idle(3);
	close(sock[0]);
	close(sock[1]);
}

/* Sent, never received. */
TEST_F(session, scm_rights_lost)
{
	int sock[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	fd = kvbm_session_open(self->fd);
	ASSERT_EQ(2, kt_fill(fd, 2, self->h, self->ids));
	ASSERT_EQ(0, kt_send_fd(sock[1], fd));
	close(fd);
	EXPECT_EQ(2, kt_stats(self->fd).inflight_immutable);
	close(sock[1]);
	close(sock[0]);
	EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 1));
	expect_idle(2);
}

TEST_F(session, exec)
{
	struct kt_pipe ready;
	int fd, keep;
	pid_t pid;

	kt_pipe_open(&ready);
	for (keep = 0; keep < 2; keep++) {
		pid = kt_fork();
		if (!pid) {
			fd = kvbm_session_open(self->fd);
			KT_MUST(kt_fill(fd, 2, self->h, self->ids) == 2);
			if (keep)
				KT_MUST(dup2(fd, 77) == 77);
			kt_tell(&ready, 1);
			execl("/bin/busybox", "sleep", "1000", NULL);
			_exit(97);
		}
		ASSERT_EQ(1, kt_hear(&ready));
		if (keep) {
			kt_sleep_ms(300);
			EXPECT_NE(0, kt_stats(self->fd).inflight_immutable);
			EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
		} else {
			/* exec closed it; the process lives on. */
			EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 1));
			EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
			expect_idle(2);
		}
		EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
		expect_idle(2);
		kvbm_reset_inactive(self->fd, NULL, NULL);
	}
}

/* Killed, in every state of holding */

struct victim {
	const char *name;
	/* In the child: get into the state. */
	void (*hold)(int fd, const struct kvbm_hash *h);
	uint32_t owned, holds;		/* that come back */
	uint32_t idle;			/* blocks idle afterwards */
};

static void v_mutable(int fd, const struct kvbm_hash *h)
{
	uint32_t ids[5];

	KT_MUST(kvbm_alloc(fd, 5, ids, NULL, NULL) == 5);
}

static void v_staged(int fd, const struct kvbm_hash *h)
{
	uint32_t ids[4];

	KT_MUST(kvbm_alloc(fd, 4, ids, NULL, NULL) == 4);
	KT_MUST(kvbm_stage(fd, 4, ids, h + 4, NULL, NULL) == 4);
}

static void v_primary(int fd, const struct kvbm_hash *h)
{
	uint32_t ids[4];

	KT_MUST(kt_fill(fd, 4, h + 4, ids) == 4);
}

static void v_duplicate(int fd, const struct kvbm_hash *h)
{
	struct kvbm_registered r[3];
	uint32_t ids[3];

	/* Of blocks that the watcher holds. */
	KT_MUST(kvbm_alloc(fd, 3, ids, NULL, NULL) == 3);
	KT_MUST(kvbm_stage_register(fd, 3, ids, h, r, KVBM_REGISTER_ALLOW,
				    NULL) == 3);
	KT_MUST(r[2].kind == KVBM_KIND_DUPLICATE);
}

/* Its own Primary and Duplicate: ids ascend, the Primary goes first. */
static void v_own_duplicate(int fd, const struct kvbm_hash *h)
{
	struct kvbm_registered r;
	uint32_t ids[2];

	KT_MUST(kvbm_alloc(fd, 2, ids, NULL, NULL) == 2);
	KT_MUST(kvbm_stage_register(fd, 1, ids, h + 4, &r, 0, NULL) == 1);
	KT_MUST(kvbm_stage_register(fd, 1, ids + 1, h + 4, &r,
				    KVBM_REGISTER_ALLOW, NULL) == 1);
}

static void v_dedup(int fd, const struct kvbm_hash *h)
{
	struct kvbm_registered r[3];
	uint32_t ids[3];

	KT_MUST(kvbm_alloc(fd, 3, ids, NULL, NULL) == 3);
	KT_MUST(kvbm_stage_register(fd, 3, ids, h, r, KVBM_REGISTER_REJECT,
				    NULL) == 3);
	KT_MUST(r[2].kind == KVBM_KIND_DEDUP);
}

static void v_many_holds(int fd, const struct kvbm_hash *h)
{
	uint32_t ids[4], i;

	KT_MUST(kt_fill(fd, 4, h + 4, ids) == 4);
	for (i = 0; i < 100; i++) {
		KT_MUST(kvbm_match(fd, 4, h + 4, ids, NULL) == 4);
		KT_MUST(kvbm_match(fd, 4, h, ids, NULL) == 4);
	}
}

static void v_matched(int fd, const struct kvbm_hash *h)
{
	uint32_t ids[4];

	KT_MUST(kvbm_match(fd, 4, h, ids, NULL) == 4);
}

static void v_flagged(int fd, const struct kvbm_hash *h)
{
	uint32_t ids[4];

	KT_MUST(kt_fill(fd, 4, h + 4, ids) == 4);
	KT_MUST(kvbm_set_reset(fd, 2, ids, true, NULL) == 2);
}

static void v_everything(int fd, const struct kvbm_hash *h)
{
	uint32_t ids[4];

	KT_MUST(kvbm_match(fd, 4, h, ids, NULL) == 4);
	KT_MUST(kt_fill(fd, 2, h + 4, ids) == 2);
	KT_MUST(kvbm_retain(fd, 2, ids, NULL) == 2);
	v_duplicate(fd, h);
	KT_MUST(kvbm_alloc(fd, 3, ids, NULL, NULL) == 3);
	KT_MUST(kvbm_stage(fd, 1, ids, h + 10, NULL, NULL) == 1);
}

static void v_nothing(int fd, const struct kvbm_hash *h)
{
}

static const struct victim victims[] = {
	{ "mutable", v_mutable, 5, 0, 0 },
	{ "staged", v_staged, 4, 0, 0 },
	{ "primary", v_primary, 0, 4, 4 },
	{ "duplicate", v_duplicate, 0, 3, 0 },
	{ "own_duplicate", v_own_duplicate, 0, 2, 1 },
	{ "dedup", v_dedup, 0, 3, 0 },
	{ "many_holds", v_many_holds, 0, 804, 4 },
	{ "matched", v_matched, 0, 4, 0 },
	{ "flagged", v_flagged, 0, 4, 2 },
	{ "everything", v_everything, 3, 11, 2 },
	{ "nothing", v_nothing, 0, 0, 0 },
};

/* All is back when waitpid() returns: nobody waits for it here. */
TEST_F(session, killed_holding)
{
	struct kvbm_stats before, after;
	struct kvbm_counts c;
	struct kt_pipe ready;
	unsigned int i, round;
	uint32_t keep[4];
	pid_t pid;
	int fd;

	kt_pipe_open(&ready);
	ASSERT_EQ(4, kt_fill(self->fd, 4, self->h, keep));
	for (round = 0; round < 3; round++)
		for (i = 0; i < ARRAY_SIZE(victims); i++) {
			const struct victim *v = &victims[i];

			before = kt_stats(self->fd);
			pid = kt_fork();
			if (!pid) {
				fd = kvbm_session_open(self->fd);
				v->hold(fd, self->h);
				if (round == 2)
					_exit(0);
				kt_tell(&ready, 1);
				if (round == 1)
					raise(SIGSEGV);
				pause();
			}
			if (round != 2)
				ASSERT_EQ(1, kt_hear(&ready));
			if (round == 0)
				kill(pid, SIGKILL);
			EXPECT_NE(99, kt_reap(pid));
			after = kt_stats(self->fd);
			c = kt_counts(self->fd);
			EXPECT_EQ(1, after.sessions) {
				TH_LOG("%s, round %u", v->name, round);
			}
			EXPECT_EQ(TOTAL - 4, c.available) {
				TH_LOG("%s, round %u", v->name, round);
			}
			EXPECT_EQ(v->idle, c.inactive) {
				TH_LOG("%s, round %u", v->name, round);
			}
			EXPECT_EQ(4 + v->idle, c.registered);
			EXPECT_EQ(4, after.inflight_immutable);
			EXPECT_EQ(0, after.inflight_mutable);
			EXPECT_EQ(0, after.staged);
			EXPECT_EQ(before.reclaimed_sessions +
				  (v->owned || v->holds),
				  after.reclaimed_sessions);
			EXPECT_EQ(before.reclaimed_owned + v->owned,
				  after.reclaimed_owned) {
				TH_LOG("%s, round %u", v->name, round);
			}
			EXPECT_EQ(before.reclaimed_holds + v->holds,
				  after.reclaimed_holds) {
				TH_LOG("%s, round %u", v->name, round);
			}
			EXPECT_GE(after.reclaim_max_ns, after.reclaim_last_ns);
			kt_check(self->fd);
			kvbm_reset_inactive(self->fd, NULL, NULL);
		}
	ASSERT_EQ(4, kvbm_release(self->fd, 4, keep, 0, NULL));
}

/* Blocks that a dead writer had not registered were never visible. */
TEST_F(session, dead_writer)
{
	struct kt_pipe ready;
	uint32_t got;
	pid_t pid;
	int fd;

	kt_pipe_open(&ready);
	pid = kt_fork();
	if (!pid) {
		fd = kvbm_session_open(self->fd);
		v_staged(fd, self->h);
		kt_tell(&ready, 1);
		pause();
	}
	ASSERT_EQ(1, kt_hear(&ready));
	EXPECT_EQ(0, kvbm_match(self->fd, 1, &self->h[4], &got, NULL));
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[4]));
	kt_kill(pid);
	EXPECT_EQ(0, kvbm_match(self->fd, 1, &self->h[4], &got, NULL));
	expect_idle(0);
}

/* A thread inside a call is a reference: the session ends with the call. */

struct call {
	int fd;
	uint32_t ids[TOTAL];
	int ret;
};

static void *waiting_call(void *arg)
{
	struct call *c = arg;

	c->ret = kvbm_alloc_wait(c->fd, 8, c->ids, NULL, NULL,
				 KVBM_NO_DEADLINE);
	return NULL;
}

TEST_F(session, closed_during_call)
{
	struct call c = { .fd = kvbm_session_open(self->fd), .ret = 1 };
	uint32_t more[2];
	pthread_t t;

	/* The session holds something itself, the watcher all the rest. */
	ASSERT_EQ(2, kvbm_alloc(c.fd, 2, more, NULL, NULL));
	ASSERT_EQ(14, kvbm_alloc(self->fd, 14, self->ids, NULL, NULL));
	ASSERT_EQ(0, pthread_create(&t, NULL, waiting_call, &c));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	EXPECT_EQ(0, close(c.fd));
	kt_sleep_ms(50);
	/* Nothing is back: the call is under way. */
	EXPECT_EQ(1, kt_counts(self->fd).waiters);
	EXPECT_EQ(2, kt_stats(self->fd).sessions);
	EXPECT_EQ(0, kt_counts(self->fd).available);
	ASSERT_EQ(14, kvbm_release(self->fd, 14, self->ids, 0, NULL));
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(8, c.ret);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	expect_idle(0);
}

/* Many threads on one session; what they count is exact. */

struct worker {
	int fd;
	const struct kvbm_hash *h;
	int rounds;
	int bad;
};

static void *match_and_release(void *arg)
{
	struct worker *w = arg;
	uint32_t ids[4];
	int i;

	for (i = 0; i < w->rounds; i++) {
		if (kvbm_match(w->fd, 4, w->h, ids, NULL) != 4 ||
		    kvbm_retain(w->fd, 4, ids, NULL) != 4 ||
		    kvbm_release(w->fd, 4, ids, 0, NULL) != 4 ||
		    kvbm_release(w->fd, 4, ids, 0, NULL) != 4)
			w->bad++;
	}
	return NULL;
}

TEST_F(session, threads)
{
	int fd = kvbm_session_open(self->fd), i;
	struct worker w[4];
	pthread_t t[4];

	ASSERT_EQ(4, kt_idle(self->fd, 4, self->h, self->ids));
	for (i = 0; i < 4; i++) {
		w[i] = (struct worker){ fd, self->h, 1000, 0 };
		ASSERT_EQ(0, pthread_create(&t[i], NULL, match_and_release,
					    &w[i]));
	}
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, w[i].bad);
	}
	EXPECT_EQ(0, kt_self(fd).holds);
	EXPECT_EQ(4 * 4 * 1000, kt_stats(self->fd).match_blocks_returned);
	close(fd);
	expect_idle(4);
}

/* Lists and revocation */

TEST_F(session, list)
{
	struct kvbm_session_entry e;
	struct timespec now;
	uint64_t before, after;
	uint32_t more[3];
	int fd;

	clock_gettime(CLOCK_BOOTTIME, &now);
	before = now.tv_sec * 1000000000ULL + now.tv_nsec;
	fd = kvbm_session_open(self->fd);
	clock_gettime(CLOCK_BOOTTIME, &now);
	after = now.tv_sec * 1000000000ULL + now.tv_nsec;
	ASSERT_EQ(3, kt_fill(fd, 3, self->h, self->ids));
	ASSERT_EQ(2, kvbm_retain(fd, 2, self->ids, NULL));
	ASSERT_EQ(3, kvbm_alloc(fd, 3, more, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage(fd, 1, more, &self->h[9], NULL, NULL));
	e = kt_self(fd);
	EXPECT_EQ(5, e.holds);
	EXPECT_EQ(6, e.held);
	EXPECT_EQ(2, e.mutable_blocks);
	EXPECT_EQ(1, e.staged_blocks);
	EXPECT_EQ(getpid(), e.pid);
	EXPECT_EQ(getuid(), e.uid);
	EXPECT_EQ(0, e.flags);
	EXPECT_STREQ("session", e.comm);
	EXPECT_GE(e.opened_ns, before);
	EXPECT_LE(e.opened_ns, after);
	EXPECT_NE(kt_session_id(self->fd), e.session_id);
	close(fd);
}

TEST_F(session, revoke)
{
	uint32_t more[3], got[4];
	struct kvbm_hash h = self->h[0];
	struct kvbm_session_entry e[3];
	struct kvbm_registered r;
	struct kvbm_weak w = { .hash = h };
	uint64_t id, back = KT_POISON;
	struct pollfd p;
	uint8_t f;
	int fd;

	fd = kvbm_session_open(self->fd);
	id = kt_session_id(fd);
	ASSERT_EQ(3, kt_fill(fd, 3, self->h, self->ids));
	ASSERT_EQ(2, kvbm_retain(fd, 2, self->ids, NULL));
	ASSERT_EQ(3, kvbm_alloc(fd, 3, more, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage(fd, 1, more, &self->h[9], NULL, NULL));

	EXPECT_EQ(-ENOENT, kvbm_session_revoke(self->fd, ~0ULL, &back));
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, id, &back));
	EXPECT_EQ(5 + 3, back);
	/* When it returns, all is back. */
	expect_idle(3);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	EXPECT_EQ(1, kt_stats(self->fd).revoked_sessions);
	/* Once more is no error; there is nothing left. */
	EXPECT_EQ(0, kvbm_session_revoke(self->fd, id, &back));
	EXPECT_EQ(0, back);
	EXPECT_EQ(2, kvbm_session_list(self->fd, 3, e, NULL));
	EXPECT_EQ(KVBM_SESSION_REVOKED, e[0].flags | e[1].flags);
	EXPECT_EQ(0, e[0].held | e[1].held);

	/* Every call on it. */
	EXPECT_EQ(-ESHUTDOWN, kvbm_alloc(fd, 1, got, NULL, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_alloc_reset(fd, 1, got));
	EXPECT_EQ(-ESHUTDOWN, kvbm_alloc_wait(fd, 1, got, NULL, NULL,
					      KVBM_NO_DEADLINE));
	EXPECT_EQ(-ESHUTDOWN, kvbm_stage(fd, 1, more, &h, NULL, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_unstage(fd, 1, more, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_register(fd, 1, more, &r, 0, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_stage_register(fd, 1, more, &h, &r, 0,
						  NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_match(fd, 1, &h, got, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_scan(fd, 1, &h, got, 0, NULL, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_release(fd, 1, self->ids, 0, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_retain(fd, 1, self->ids, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_set_reset(fd, 1, self->ids, true, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_upgrade(fd, 1, &w, got, NULL, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_presence(fd, 1, &h, &f, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_frequency(fd, 1, &h, &f, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_touch(fd, 1, &h, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_reset_inactive(fd, NULL, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_session_open(fd));
	EXPECT_EQ(-ESHUTDOWN, kvbm_block_info(fd, 0,
					      &(struct kvbm_block_info){}));
	EXPECT_EQ(-ESHUTDOWN, kvbm_counts(fd, &(struct kvbm_counts){}));
	EXPECT_EQ(-ESHUTDOWN, kvbm_session_config(fd, 1));
	EXPECT_EQ(-ESHUTDOWN, kvbm_session_revoke(fd, kt_session_id(self->fd),
						  NULL));
	p = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLERR | POLLHUP, p.revents);
	close(fd);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	EXPECT_EQ(-ENOENT, kvbm_session_revoke(self->fd, id, &back));
	expect_idle(3);
}

/* Two at once: when either returns, all is back, and nothing counts twice. */
struct revoker {
	int fd;
	uint64_t id, back;
	int ret;
	uint64_t left;
};

static void *revoke_it(void *arg)
{
	struct revoker *r = arg;

	r->ret = kvbm_session_revoke(r->fd, r->id, &r->back);
	r->left = kt_stats(r->fd).inflight_immutable;
	return NULL;
}

TEST_F(session, revokers)
{
	enum { MANY = 8192 };
	struct kvbm_hash *h = calloc(MANY, sizeof(*h));
	uint32_t *ids = calloc(MANY, sizeof(*ids));
	struct revoker r[2];
	int fd, big, i, round;
	pthread_t t[2];
	uint64_t id;

	kt_singles(h, MANY, 1);
	big = kt_store(MANY, .policy = "lru");
	ASSERT_GE(big, 0);
	for (round = 0; round < 5; round++) {
		fd = kvbm_session_open(big);
		ASSERT_EQ(MANY, round ? kvbm_match(fd, MANY, h, ids, NULL) :
					kt_fill(fd, MANY, h, ids));
		/* One thread may be done before the other begins. */
		id = kt_session_id(fd);
		for (i = 0; i < 2; i++) {
			r[i] = (struct revoker) {
				.fd = big, .id = id, .ret = 1,
			};
			ASSERT_EQ(0, pthread_create(&t[i], NULL, revoke_it,
						    &r[i]));
		}
		for (i = 0; i < 2; i++) {
			pthread_join(t[i], NULL);
			EXPECT_EQ(0, r[i].ret);
			EXPECT_EQ(0, r[i].left);
		}
		EXPECT_EQ(MANY, r[0].back + r[1].back);
		close(fd);
	}
	close(big);
	free(ids);
	free(h);
}

/* A descriptor that cannot be written looks and changes nothing. */
TEST_F(session, read_only)
{
	struct kvbm_registered r = { 0 };
	struct kvbm_session_entry e[4];
	struct kvbm_block_info info;
	struct kvbm_store_info store;
	struct kvbm_hold_entry hold;
	struct kvbm_features f;
	struct kvbm_weak w = {};
	struct kvbm_hash h = kt_single(1);
	uint64_t cursor = 0, id;
	uint32_t got = 0;
	uint8_t out;
	int fd, rw, two;

	ASSERT_EQ(-1, kt_store(4, .name = "look", .freq_capacity = 64));
	rw = kvbm_open("look");
	ASSERT_EQ(1, kt_fill(rw, 1, &h, &got));
	ASSERT_EQ(0, kvbm_session_config(rw, 1));
	id = kt_session_id(rw);
	fd = open("/dev/kvbm/look", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, kvbm_features(fd, &f));
	EXPECT_EQ(0, kvbm_store_info(fd, &store));
	EXPECT_EQ(4, kt_counts(fd).total);
	EXPECT_EQ(1, kt_stats(fd).inflight_immutable);
	EXPECT_EQ(1, kvbm_presence(fd, 1, &h, &out, NULL));
	EXPECT_EQ(KVBM_ACTIVE, out);
	EXPECT_EQ(1, kvbm_frequency(fd, 1, &h, &out, NULL));
	EXPECT_EQ(0, kvbm_holds(fd, &cursor, 1, &hold, NULL));
	EXPECT_EQ(2, kvbm_session_list(fd, 4, e, NULL));
	EXPECT_EQ(0, e[0].flags);
	EXPECT_EQ(KVBM_SESSION_READONLY, e[1].flags);
	/* A session that holds nothing gets no hashes. */
	EXPECT_EQ(-EPERM, kvbm_block_info(fd, got, &info));
	two = kvbm_session_open(fd);
	ASSERT_GE(two, 0);
	for (; fd >= 0; fd = fd == two ? -1 : two) {
		EXPECT_EQ(-EBADF, kvbm_alloc(fd, 1, &got, NULL, NULL));
		EXPECT_EQ(-EBADF, kvbm_alloc(fd, 0, NULL, NULL, NULL));
		EXPECT_EQ(-EBADF, kvbm_alloc_reset(fd, 1, &got));
		EXPECT_EQ(-EBADF, kvbm_match(fd, 1, &h, &got, NULL));
		EXPECT_EQ(-EBADF, kvbm_scan(fd, 1, &h, &got, 0, NULL, NULL));
		EXPECT_EQ(-EBADF, kvbm_release(fd, 1, &got, 0, NULL));
		EXPECT_EQ(-EBADF, kvbm_retain(fd, 1, &got, NULL));
		EXPECT_EQ(-EBADF, kvbm_stage(fd, 1, &got, &h, NULL, NULL));
		EXPECT_EQ(-EBADF, kvbm_unstage(fd, 1, &got, NULL));
		EXPECT_EQ(-EBADF, kvbm_register(fd, 1, &got, &r, 0, NULL));
		EXPECT_EQ(-EBADF, kvbm_set_reset(fd, 1, &got, true, NULL));
		EXPECT_EQ(-EBADF, kvbm_upgrade(fd, 1, &w, &got, NULL, NULL));
		EXPECT_EQ(-EBADF, kvbm_touch(fd, 1, &h, NULL));
		EXPECT_EQ(-EBADF, kvbm_reset_inactive(fd, NULL, NULL));
		EXPECT_EQ(-EBADF, kvbm_session_config(fd, 2));
		EXPECT_EQ(-EBADF, kvbm_session_revoke(fd, id, NULL));
		/* Unknown to all comes first. */
		EXPECT_EQ(-ENOTTY, kt_ioctl(fd, KVBM_IO(0x3f), NULL));
		close(fd);
	}
	/* And the control device. */
	fd = open(KVBM_CONTROL_PATH, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_GE(kvbm_store_list(fd, 0, NULL, NULL), 0);
	EXPECT_EQ(0, kvbm_store_info_of(fd, &(struct kvbm_store_ref){
						.name = "look" }, &store));
	EXPECT_EQ(-EBADF, kvbm_store_destroy(fd, "look",
					     KVBM_DESTROY_FORCE));
	EXPECT_EQ(-EBADF, kt_ioctl(fd, KVBM_IOC_STORE_CREATE,
				   &(struct kvbm_store_create) {
					.size = sizeof(struct
						       kvbm_store_create),
					.total_blocks = 1, .uid = -1,
					.gid = -1, .monitor_gid = -1 }));
	close(fd);
	/* To write only: all that a writer may. */
	fd = open("/dev/kvbm/look", O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(1, kvbm_match(fd, 1, &h, &got, NULL));
	close(fd);
	close(rw);
	EXPECT_EQ(0, kt_destroy("look", 0));
}

/* A session's holds, block by block. */
TEST_F(session, holds)
{
	struct kvbm_hold_entry e[TOTAL + 1];
	int fd = kvbm_session_open(self->fd), i, n, seen = 0;
	uint64_t cursor = 0;
	uint32_t total, own[3];

	EXPECT_EQ(0, kvbm_holds(fd, &cursor, 4, e, &total));
	EXPECT_EQ(0, total);
	ASSERT_EQ(3, kt_fill(fd, 3, self->h, self->ids));
	ASSERT_EQ(2, kvbm_retain(fd, 2, self->ids, NULL));
	ASSERT_EQ(3, kvbm_alloc(fd, 3, own, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage(fd, 1, own, &self->h[9], NULL, NULL));
	cursor = 0;
	ASSERT_EQ(6, kvbm_holds(fd, &cursor, TOTAL + 1, e, &total));
	EXPECT_EQ(6, total);
	for (i = 0; i < 6; i++) {
		struct kvbm_block_info b = kt_info(fd, e[i].block);

		if (i)
			EXPECT_GT(e[i].block, e[i - 1].block);
		EXPECT_EQ(b.state, e[i].state);
		EXPECT_EQ(b.own_holds, e[i].holds);
		EXPECT_EQ(b.generation, e[i].generation);
		EXPECT_TRUE(kt_same(b.hash, e[i].hash));
	}
	/* In parts of every size. */
	for (n = 1; n < 8; n++) {
		cursor = 0;
		seen = 0;
		do {
			i = kvbm_holds(fd, &cursor, n, e, NULL);
			ASSERT_GE(i, 0);
			seen += i;
		} while (i == n);
		EXPECT_EQ(6, seen);
	}
	/* Others' holds are theirs. */
	cursor = 0;
	EXPECT_EQ(0, kvbm_holds(self->fd, &cursor, 4, e, &total));
	EXPECT_EQ(0, total);
	/* The use of generations: each makes a weak reference. */
	cursor = 0;
	ASSERT_EQ(6, kvbm_holds(fd, &cursor, TOTAL + 1, e, NULL));
	for (i = 0; i < 6; i++) {
		struct kvbm_weak w = { e[i].block, e[i].generation, e[i].hash };
		uint32_t got;

		if (e[i].state != KVBM_STATE_PRIMARY)
			continue;
		EXPECT_EQ(1, kvbm_upgrade(fd, 1, &w, &got, NULL, NULL));
		EXPECT_EQ(e[i].block, got);
	}
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(fd), NULL));
	cursor = 0;
	EXPECT_EQ(-ESHUTDOWN, kvbm_holds(fd, &cursor, 4, e, NULL));
	close(fd);
	expect_idle(3);
}

static uint64_t fdinfo(int fd, const char *what)
{
	char path[64], line[128];
	uint64_t value = ~0ULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, what, strlen(what)))
			value = strtoull(line + strlen(what), NULL,
					 strstr(what, "store") ? 16 : 10);
	if (f)
		fclose(f);
	return value;
}

TEST_F(session, fdinfo)
{
	int fd = kvbm_session_open(self->fd);
	uint32_t own[3];

	ASSERT_EQ(3, kt_fill(fd, 3, self->h, self->ids));
	ASSERT_EQ(2, kvbm_retain(fd, 2, self->ids, NULL));
	ASSERT_EQ(3, kvbm_alloc(fd, 3, own, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage(fd, 1, own, &self->h[9], NULL, NULL));
	EXPECT_EQ(kt_store_id(fd), fdinfo(fd, "kvbm-store:"));
	EXPECT_EQ(kt_session_id(fd), fdinfo(fd, "kvbm-session:"));
	EXPECT_EQ(6, fdinfo(fd, "kvbm-held:"));
	EXPECT_EQ(5, fdinfo(fd, "kvbm-holds:"));
	EXPECT_EQ(2, fdinfo(fd, "kvbm-mutable:"));
	EXPECT_EQ(1, fdinfo(fd, "kvbm-staged:"));
	EXPECT_EQ(0, fdinfo(fd, "kvbm-allocating:"));
	EXPECT_EQ(kt_self(fd).memory, fdinfo(fd, "kvbm-memory:"));
	close(fd);
	expect_idle(3);
}

static void *wait_for_all(void *arg)
{
	struct call *c = arg;

	c->ret = kvbm_alloc_wait(c->fd, TOTAL - 3, c->ids, NULL, NULL,
				 KVBM_NO_DEADLINE);
	return NULL;
}

/* Which sessions wait, for how much and since when; which do nothing. */
TEST_F(session, list_waiting)
{
	struct call c = { .fd = kvbm_session_open(self->fd), .ret = 1 };
	struct kvbm_session_entry e;
	struct timespec t;
	uint64_t before, after;
	pthread_t thread;

	e = kt_session(self->fd, kt_session_id(c.fd));
	EXPECT_EQ(0, e.waiting);
	EXPECT_EQ(0, e.waiting_since_ns);
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	clock_gettime(CLOCK_BOOTTIME, &t);
	before = t.tv_sec * 1000000000ULL + t.tv_nsec;
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_all, &c));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	clock_gettime(CLOCK_BOOTTIME, &t);
	after = t.tv_sec * 1000000000ULL + t.tv_nsec;
	kt_sleep_ms(100);
	e = kt_session(self->fd, kt_session_id(self->fd));
	EXPECT_EQ(0, e.waiting);
	EXPECT_GT(e.last_call_ns, after);
	ASSERT_EQ(0, kvbm_session_list_of(self->fd, NULL, &(uint64_t){ 0 }, 0,
					  NULL, NULL));
	{
		struct kvbm_session_entry all[4];

		ASSERT_EQ(2, kvbm_session_list(self->fd, 4, all, NULL));
		e = all[1];
	}
	EXPECT_EQ(TOTAL - 3, e.waiting);
	EXPECT_EQ(TOTAL - 3, e.allocating);
	EXPECT_GE(e.waiting_since_ns, before);
	EXPECT_LE(e.waiting_since_ns, after);
	/* It called, and has not since: within a few ticks. */
	EXPECT_LE(e.last_call_ns, after + 20000000);
	EXPECT_GE(e.last_call_ns + 20000000, before);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(TOTAL - 3, c.ret);
	close(c.fd);
	expect_idle(0);
}

TEST_F(session, revoke_oneself)
{
	int fd = kvbm_session_open(self->fd);
	uint64_t back = KT_POISON;

	ASSERT_EQ(2, kt_fill(fd, 2, self->h, self->ids));
	EXPECT_EQ(0, kvbm_session_revoke(fd, kt_session_id(fd), &back));
	EXPECT_EQ(2, back);
	EXPECT_EQ(-ESHUTDOWN, kvbm_match(fd, 1, self->h, self->ids, NULL));
	expect_idle(2);
	close(fd);
}

/* Neither list nor revoke without being the owner. */
TEST_F(session, revoke_not_permitted)
{
	int fd = kvbm_session_open(self->fd);
	uint64_t id = kt_session_id(self->fd);
	pid_t pid;

	pid = kt_fork();
	if (!pid) {
		uint32_t total;

		KT_MUST(!setresuid(1000, 1000, 1000));
		KT_MUST(kvbm_session_list(fd, 0, NULL, &total) == -EPERM);
		KT_MUST(kvbm_session_revoke(fd, id, NULL) == -EPERM);
		KT_MUST(kvbm_session_revoke(fd, ~0ULL, NULL) == -EPERM);
		/* Its own store it may. */
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	close(fd);
}

/* Opened and closed many times: numbers never come twice, nothing is left. */
TEST_F(session, open_and_close)
{
	uint64_t last = 0, id;
	uint32_t got;
	int i, fd;

	for (i = 0; i < 500; i++) {
		fd = kvbm_session_open(self->fd);
		ASSERT_GE(fd, 0);
		id = kt_session_id(fd);
		EXPECT_NE(last, id);
		last = id;
		ASSERT_EQ(1, kvbm_alloc(fd, 1, &got, NULL, NULL));
		close(fd);
	}
	EXPECT_EQ(500, kt_stats(self->fd).reclaimed_owned);
	EXPECT_EQ(500, kt_stats(self->fd).allocations);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	expect_idle(0);
}

TEST_HARNESS_MAIN
