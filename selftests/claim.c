// SPDX-License-Identifier: MIT
/*
 * Claims: one session computes, the others wait. Tests what a claim returns,
 * what ends it, and that its end, and nothing else, wakes the waiters.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include "kvbm_test.h"

#define TOTAL	256
#define N	8

static int claim1(int fd, uint32_t id, struct kvbm_hash h)
{
	uint8_t state = 0xa5;
	int ret = kvbm_claim(fd, 1, &id, &h, &state, NULL);

	return ret < 0 ? ret : ret == 1 ? state : -EPROTO;
}

static int pending(int fd, struct kvbm_hash h)
{
	uint8_t out = 0xa5;

	return kvbm_presence_pending(fd, 1, &h, &out, NULL) == 1 ? out : -1;
}

FIXTURE(claims) {
	int a, b, c;			/* sessions of one store */
	struct kvbm_hash h[TOTAL];
	uint32_t ids[N];		/* Mutable blocks of a */
	uint32_t bids[N];		/* and of b */
};

FIXTURE_SETUP(claims)
{
	kt_chain(self->h, TOTAL, 7);
	self->a = kt_store(TOTAL);
	ASSERT_GE(self->a, 0);
	self->b = kvbm_session_open(self->a);
	self->c = kvbm_session_open(self->a);
	ASSERT_EQ(N, kvbm_alloc(self->a, N, self->ids, NULL, NULL));
	ASSERT_EQ(N, kvbm_alloc(self->b, N, self->bids, NULL, NULL));
}

FIXTURE_TEARDOWN(claims)
{
	close(self->a);
	close(self->b);
	EXPECT_EQ(0, kt_stats(self->c).pending);
	kt_check(self->c);
	close(self->c);
}

/* A thread that waits in kvbm_wait(). */
struct waiter {
	int fd;
	uint32_t n;
	const struct kvbm_hash *h;
	uint64_t deadline;
	pthread_t thread;
	uint32_t left;
	volatile int ret;
	volatile bool done;
};

static void *wait_thread(void *arg)
{
	struct waiter *w = arg;

	w->ret = kvbm_wait(w->fd, w->n, w->h, w->deadline, &w->left);
	__sync_synchronize();
	w->done = true;
	return NULL;
}

/* Starts it; returns when it waits. */
#define start(w, session, count, hashes, until) do {			\
	uint64_t __before = kt_stats(self->a).claim_waits;		\
	memset(w, 0, sizeof(*(w)));					\
	(w)->fd = session;						\
	(w)->n = count;							\
	(w)->h = hashes;						\
	(w)->deadline = until;						\
	ASSERT_EQ(0, pthread_create(&(w)->thread, NULL, wait_thread, w)); \
	ASSERT_TRUE(kt_until(kt_stats(self->a).claim_waits ==		\
			     __before + 1));				\
} while (0)

#define finish(w, want) do {						\
	pthread_join((w)->thread, NULL);				\
	EXPECT_EQ(want, (w)->ret);					\
} while (0)

/* Claimed, pending for the second session, present once registered. */
TEST_F(claims, answers)
{
	struct kvbm_registered out[N];
	uint8_t states[N], seen[4];
	uint32_t error = 7, got[N];
	int i;

	EXPECT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[0]));
	EXPECT_EQ(KVBM_STATE_STAGED, kt_state(self->a, self->ids[0]));
	EXPECT_EQ(KVBM_PENDING, pending(self->b, self->h[0]));
	EXPECT_EQ(KVBM_ABSENT, pending(self->b, self->h[1]));
	/* Callers that do not ask for claims see no change. */
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->b, self->h[0]));

	EXPECT_EQ(KVBM_CLAIM_PENDING,
		  claim1(self->b, self->bids[0], self->h[0]));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->b, self->bids[0]));
	/* Its own claim, too, is there already. */
	EXPECT_EQ(KVBM_CLAIM_PENDING, claim1(self->a, self->ids[1], self->h[0]));

	ASSERT_EQ(1, kvbm_register(self->a, 1, self->ids, out, 0, NULL));
	EXPECT_EQ(KVBM_KIND_PRIMARY, out[0].kind);
	EXPECT_EQ(KVBM_ACTIVE, pending(self->b, self->h[0]));
	EXPECT_EQ(KVBM_CLAIM_PRESENT,
		  claim1(self->b, self->bids[0], self->h[0]));
	EXPECT_EQ(1, kvbm_release(self->a, 1, self->ids, 0, NULL));
	EXPECT_EQ(KVBM_INACTIVE, pending(self->b, self->h[0]));
	EXPECT_EQ(KVBM_CLAIM_PRESENT,
		  claim1(self->b, self->bids[0], self->h[0]));
	EXPECT_EQ(0, kt_stats(self->a).pending);

	/* The batch goes on: present, pending, claimed, the same once more. */
	EXPECT_EQ(KVBM_CLAIMED, claim1(self->b, self->bids[0], self->h[1]));
	self->h[3] = self->h[2];
	memset(states, 0xa5, sizeof(states));
	EXPECT_EQ(4, kvbm_claim(self->a, 4, self->ids + 1, self->h, states,
				&error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(KVBM_CLAIM_PRESENT, states[0]);
	EXPECT_EQ(KVBM_CLAIM_PENDING, states[1]);
	EXPECT_EQ(KVBM_CLAIMED, states[2]);
	EXPECT_EQ(KVBM_CLAIM_PENDING, states[3]);
	EXPECT_EQ(0xa5, states[4]);
	for (i = 1; i < 5; i++)
		EXPECT_EQ(i == 3 ? KVBM_STATE_STAGED : KVBM_STATE_MUTABLE,
			  kt_state(self->a, self->ids[i]));
	EXPECT_EQ(4, kvbm_presence_pending(self->c, 4, self->h, seen, NULL));
	EXPECT_EQ(KVBM_INACTIVE, seen[0]);
	EXPECT_EQ(KVBM_PENDING, seen[1]);
	EXPECT_EQ(KVBM_PENDING, seen[2]);
	EXPECT_EQ(2, kt_stats(self->a).pending);
	EXPECT_EQ(3, kt_stats(self->a).claims);
	EXPECT_EQ(4, kt_stats(self->a).claims_pending);
	EXPECT_EQ(3, kt_stats(self->a).claims_present);
	EXPECT_EQ(0, kvbm_match(self->c, 1, self->h + 1, got, NULL));
}

/* It stops where staging would, and what is done stays done. */
TEST_F(claims, errors)
{
	struct kvbm_hash bad = { .hi = 3ULL << 62 }, h[3];
	uint32_t ids[3] = { self->ids[0], self->bids[0], self->ids[1] };
	uint32_t error, tokens = 15;
	struct kvbm_stage s;
	uint8_t states[3];

	h[0] = self->h[0];
	h[1] = self->h[1];
	h[2] = bad;
	EXPECT_EQ(1, kvbm_claim(self->a, 3, ids, h, states, &error));
	EXPECT_EQ(EPERM, error);
	EXPECT_EQ(KVBM_PENDING, pending(self->b, h[0]));
	EXPECT_EQ(KVBM_ABSENT, pending(self->b, h[1]));
	EXPECT_EQ(-EINVAL, kvbm_claim(self->a, 1, ids + 2, h + 2, states, NULL));
	/* Staged already. */
	EXPECT_EQ(-EPERM, claim1(self->a, self->ids[0], self->h[4]));

	kvbm_args_stage(&s, 1, self->ids + 1, self->h + 1, &tokens);
	s.flags = KVBM_STAGE_CLAIM;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->a, KVBM_IOC_STAGE, &s));
	s.states = (uintptr_t)states;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->a, KVBM_IOC_STAGE, &s));
	s.flags = 0;
	s.tokens = 0;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->a, KVBM_IOC_STAGE, &s));
	EXPECT_EQ(1, kt_stats(self->a).pending);
}

/* A claim that cannot be reported to the caller is not made. */
TEST_F(claims, bad_states)
{
	struct kvbm_stage s;
	uint32_t ids[100];
	uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page + 4096, 4096);
	ASSERT_EQ(100, kvbm_alloc(self->a, 100, ids, NULL, NULL));
	kvbm_args_stage(&s, 100, ids, self->h, NULL);
	s.flags = KVBM_STAGE_CLAIM;
	s.states = (uintptr_t)(page + 4096 - KVBM_CHUNK - 5);
	EXPECT_EQ(KVBM_CHUNK, kt_ioctl(self->a, KVBM_IOC_STAGE, &s));
	EXPECT_EQ(EFAULT, s.error);
	EXPECT_EQ(KVBM_CHUNK, kt_stats(self->a).pending);
	EXPECT_EQ(KVBM_STATE_STAGED, kt_state(self->a, ids[KVBM_CHUNK - 1]));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->a, ids[KVBM_CHUNK]));
	EXPECT_EQ(KVBM_ABSENT, pending(self->a, self->h[KVBM_CHUNK]));
	munmap(page, 4096);
}

/* All that ends a claim ends it at once, and nothing else does. */
TEST_F(claims, ends)
{
	struct kvbm_registered out;
	struct kvbm_hash h = self->h[0];

	/* Unstaged. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], h));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids, NULL));
	EXPECT_EQ(KVBM_ABSENT, pending(self->b, h));
	/* Released. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], h));
	ASSERT_EQ(1, kvbm_release(self->a, 1, self->ids, 0, NULL));
	EXPECT_EQ(KVBM_ABSENT, pending(self->b, h));
	/* Another block of the same hash, staged without a claim: nothing. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[1], h));
	ASSERT_EQ(1, kvbm_stage(self->a, 1, self->ids + 2, &h, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage(self->b, 1, self->bids, &h, NULL, NULL));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids + 2, NULL));
	EXPECT_EQ(KVBM_PENDING, pending(self->c, h));
	ASSERT_EQ(1, kvbm_unstage(self->b, 1, self->bids, NULL));
	EXPECT_EQ(KVBM_PENDING, pending(self->c, h));
	/* It binds nobody: another session registers the hash. */
	ASSERT_EQ(1, kvbm_stage_register(self->b, 1, self->bids, &h, &out, 0,
					 NULL));
	EXPECT_EQ(KVBM_KIND_PRIMARY, out.kind);
	EXPECT_EQ(KVBM_ACTIVE, pending(self->c, h));
	EXPECT_EQ(0, kt_stats(self->a).pending);
	/* Whose claim it was has a Staged block still. */
	EXPECT_EQ(KVBM_STATE_STAGED, kt_state(self->a, self->ids[1]));
	ASSERT_EQ(1, kvbm_register(self->a, 1, self->ids + 1, &out,
				   KVBM_REGISTER_REJECT, NULL));
	EXPECT_EQ(KVBM_KIND_DEDUP, out.kind);
	/* The session's end. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[3], self->h[1]));
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[4], self->h[2]));
	EXPECT_EQ(2, kt_stats(self->c).pending);
	close(self->a);
	EXPECT_EQ(0, kt_stats(self->c).pending);
	self->a = kvbm_session_open(self->c);
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->b, self->bids[1], self->h[1]));
}

/* With linger_ms too: the blocks stay away, the claims do not. */
TEST(ends_before_lingering)
{
	struct kvbm_hash h = kt_single(1);
	int fd = kt_store(4, .linger_ms = 60000);
	int a = kvbm_session_open(fd);
	uint32_t id;

	ASSERT_EQ(1, kvbm_alloc(a, 1, &id, NULL, NULL));
	ASSERT_EQ(KVBM_CLAIMED, claim1(a, id, h));
	EXPECT_EQ(KVBM_PENDING, pending(fd, h));
	close(a);
	EXPECT_EQ(1, kt_counts(fd).lingering);
	EXPECT_EQ(KVBM_ABSENT, pending(fd, h));
	close(fd);
}

/* A registration that fails ends nothing. */
TEST(failed_register)
{
	struct kvbm_registered out[2];
	struct kvbm_hash h[2];
	int fd = kt_store(4);
	uint32_t ids[2];

	kt_singles(h, 2, 1);
	ASSERT_EQ(2, kvbm_alloc(fd, 2, ids, NULL, NULL));
	ASSERT_EQ(KVBM_CLAIMED, claim1(fd, ids[0], h[0]));
	/* Staged already: EPERM. */
	EXPECT_EQ(-EPERM, kvbm_stage_register(fd, 1, ids, h, out, 0, NULL));
	EXPECT_EQ(KVBM_PENDING, pending(fd, h[0]));
	close(fd);
}

TEST_F(claims, match_tells)
{
	struct kvbm_registered out[4];
	uint32_t got[TOTAL], at = 7, error;
	struct kvbm_match m;
	int i;

	/* Nothing there, nothing pending. */
	EXPECT_EQ(0, kvbm_match_pending(self->b, 6, self->h, got, &at, &error));
	EXPECT_EQ(6, at);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(KVBM_CLAIMED,
			  claim1(self->a, self->ids[i], self->h[i]));
	EXPECT_EQ(0, kvbm_match_pending(self->b, 6, self->h, got, &at, &error));
	EXPECT_EQ(0, at);
	ASSERT_EQ(2, kvbm_register(self->a, 2, self->ids, out, 0, NULL));
	EXPECT_EQ(2, kvbm_match_pending(self->b, 6, self->h, got, &at, &error));
	EXPECT_EQ(2, at);
	/* Behind the first miss. */
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids + 2, NULL));
	EXPECT_EQ(2, kvbm_match_pending(self->b, 6, self->h, got, &at, &error));
	EXPECT_EQ(3, at);
	/* In a later chunk. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[5], self->h[200]));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids + 3, NULL));
	EXPECT_EQ(2, kvbm_match_pending(self->b, TOTAL, self->h, got, &at,
					&error));
	EXPECT_EQ(200, at);
	EXPECT_EQ(2, kvbm_match_pending(self->b, 200, self->h, got, &at,
					&error));
	EXPECT_EQ(200, at);
	/* All of it there. */
	EXPECT_EQ(2, kvbm_match_pending(self->b, 2, self->h, got, &at, &error));
	EXPECT_EQ(2, at);
	/* The caller does not ask: nothing is written. */
	kvbm_args_match(&m, 0, 3, self->h, got);
	EXPECT_EQ(2, kt_ioctl(self->b, KVBM_IOC_MATCH, &m));
	EXPECT_EQ(0, m.pending);
}

/* The structure cannot be written: no hold is given. */
TEST_F(claims, match_readonly)
{
	struct kvbm_match *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvbm_registered out;
	uint32_t got;

	ASSERT_EQ(1, kvbm_stage_register(self->a, 1, self->ids, self->h, &out,
					 0, NULL));
	kvbm_args_match(m, KVBM_MATCH_PENDING, 1, self->h, &got);
	ASSERT_EQ(0, mprotect(m, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->c, KVBM_IOC_MATCH, m));
	EXPECT_EQ(0, kt_self(self->c).held);
	munmap(m, 4096);
}

/* The end of what is waited for wakes, and nothing before it. */
TEST_F(claims, wait)
{
	struct kvbm_registered out[N];
	struct waiter w;
	uint32_t left;
	int i;

	EXPECT_EQ(0, kvbm_wait(self->b, 4, self->h, 0, &left));
	EXPECT_EQ(0, left);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(KVBM_CLAIMED,
			  claim1(self->a, self->ids[i], self->h[i]));
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(self->b, 4, self->h, 0, &left));
	EXPECT_EQ(4, left);
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(self->b, 1, self->h,
					kvbm_deadline(20000000), &left));
	EXPECT_EQ(1, left);

	/* Of three: one registered, one unstaged, one released. */
	start(&w, self->b, 3, self->h, KVBM_NO_DEADLINE);
	ASSERT_EQ(1, kvbm_register(self->a, 1, self->ids, out, 0, NULL));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids + 3, NULL));
	kt_sleep_ms(30);
	EXPECT_FALSE(w.done);
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids + 1, NULL));
	/* Claiming it again does not prolong it. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[1], self->h[1]));
	kt_sleep_ms(30);
	EXPECT_FALSE(w.done);
	ASSERT_EQ(1, kvbm_release(self->a, 1, self->ids + 2, 0, NULL));
	finish(&w, 0);
	EXPECT_EQ(0, w.left);
	EXPECT_EQ(1, kt_stats(self->a).pending);
	/* The deadline, with some of it done. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[4], self->h[4]));
	start(&w, self->b, 5, self->h, kvbm_deadline(300000000));
	ASSERT_EQ(1, kvbm_release(self->a, 1, self->ids + 4, 0, NULL));
	finish(&w, -ETIMEDOUT);
	EXPECT_EQ(1, w.left);
	/* The same hash twice. */
	self->h[0] = self->h[1];
	start(&w, self->b, 2, self->h, KVBM_NO_DEADLINE);
	ASSERT_EQ(1, kvbm_release(self->a, 1, self->ids + 1, 0, NULL));
	finish(&w, 0);
}

TEST_F(claims, wait_errors)
{
	struct kvbm_hash many[KVBM_MAX_WATCHED + 1];
	struct kvbm_wait w;
	uint32_t left;

	kt_singles(many, KVBM_MAX_WATCHED + 1, 1000);
	EXPECT_EQ(0, kvbm_wait(self->b, KVBM_MAX_WATCHED, many, 0, &left));
	EXPECT_EQ(-EINVAL, kvbm_wait(self->b, KVBM_MAX_WATCHED + 1, many, 0,
				     &left));
	EXPECT_EQ(0, kvbm_wait(self->b, 0, NULL, 0, NULL));
	EXPECT_EQ(-EFAULT, kvbm_wait(self->b, 1, NULL, 0, NULL));
	kvbm_args_wait(&w, 1, many, 0);
	w.clock = 2;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->b, KVBM_IOC_WAIT, &w));
	/* For oneself: never. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[0]));
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->b, self->bids[0], self->h[1]));
	EXPECT_EQ(-EDEADLK, kvbm_wait(self->a, 2, self->h, KVBM_NO_DEADLINE,
				      &left));
	/* For each other: until the deadline. */
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(self->a, 1, self->h + 1,
					kvbm_deadline(1000000), &left));
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(self->b, 1, self->h,
					kvbm_deadline(1000000), &left));
	EXPECT_EQ(0, kt_stats(self->a).waits);
}

static void on_signal(int sig)
{
}

TEST_F(claims, wait_signal)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct waiter w;

	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[0]));
	start(&w, self->b, 1, self->h, KVBM_NO_DEADLINE);
	pthread_kill(w.thread, SIGUSR1);
	finish(&w, -EINTR);
	EXPECT_EQ(1, w.left);
}

/* The claimant dies, and a waiter claims next. */
TEST_F(claims, death)
{
	struct waiter w;
	struct kt_pipe up;
	uint64_t before;
	pid_t pid;

	kt_pipe_open(&up);
	pid = kt_fork();
	if (!pid) {
		int fd = kvbm_session_open(self->c);
		uint32_t id;

		KT_MUST(kvbm_alloc(fd, 1, &id, NULL, NULL) == 1);
		KT_MUST(claim1(fd, id, self->h[0]) == KVBM_CLAIMED);
		kt_tell(&up, 1);
		pause();
		_exit(0);
	}
	ASSERT_EQ(1, kt_hear(&up));
	EXPECT_EQ(KVBM_CLAIM_PENDING,
		  claim1(self->b, self->bids[0], self->h[0]));
	start(&w, self->b, 1, self->h, KVBM_NO_DEADLINE);
	before = kt_now();
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	finish(&w, 0);
	ksft_print_msg("  woken %llu us after SIGKILL\n",
		       (unsigned long long)(kt_now() - before) / 1000);
	EXPECT_EQ(KVBM_CLAIMED, claim1(self->b, self->bids[0], self->h[0]));
}

/* Revoked: its claims end, and its own waits. */
TEST_F(claims, revoke)
{
	struct waiter w, v;
	uint32_t left;

	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[0]));
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->b, self->bids[0], self->h[1]));
	start(&w, self->b, 1, self->h, KVBM_NO_DEADLINE);
	start(&v, self->a, 1, self->h + 1, KVBM_NO_DEADLINE);
	ASSERT_EQ(0, kvbm_session_revoke(self->c, kt_session_id(self->a),
					 NULL));
	finish(&w, 0);
	finish(&v, -ESHUTDOWN);
	EXPECT_EQ(1, kt_stats(self->c).pending);
	EXPECT_EQ(-ESHUTDOWN, kvbm_wait(self->a, 1, self->h + 1, 0, &left));
	EXPECT_EQ(-ESHUTDOWN, kvbm_watch(self->a, 1, self->h + 1, NULL));
	EXPECT_EQ(-ESHUTDOWN, claim1(self->a, self->ids[1], self->h[5]));
	close(self->a);
	self->a = kvbm_session_open(self->c);
}

/* All who wait for a hash are woken, one of them computes next. */
TEST_F(claims, all_wake)
{
	enum { WAITERS = 150 };
	static struct waiter w[WAITERS];
	int i, claimed = 0;

	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[0]));
	for (i = 0; i < WAITERS; i++) {
		int fd = kvbm_session_open(self->c);

		start(&w[i], fd, 1, self->h, KVBM_NO_DEADLINE);
	}
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids, NULL));
	for (i = 0; i < WAITERS; i++) {
		uint32_t id;

		finish(&w[i], 0);
		if (i >= 100)
			continue;
		ASSERT_EQ(1, kvbm_alloc(w[i].fd, 1, &id, NULL, NULL));
		claimed += claim1(w[i].fd, id, self->h[0]) == KVBM_CLAIMED;
	}
	EXPECT_EQ(1, claimed);
	for (i = 0; i < WAITERS; i++)
		close(w[i].fd);
	EXPECT_EQ(WAITERS, kt_stats(self->a).claim_waits);
}

/* At most KVBM_MAX_TICKETS calls of a session wait. */
TEST_F(claims, wait_limit)
{
	static struct waiter w[KVBM_MAX_TICKETS];
	uint32_t left;
	int i;

	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[0]));
	for (i = 0; i < KVBM_MAX_TICKETS; i++)
		start(&w[i], self->b, 1, self->h, KVBM_NO_DEADLINE);
	EXPECT_EQ(-EMLINK, kvbm_wait(self->b, 1, self->h, 0, &left));
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(self->c, 1, self->h, 0, &left));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids, NULL));
	for (i = 0; i < KVBM_MAX_TICKETS; i++)
		finish(&w[i], 0);
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[0]));
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(self->b, 1, self->h, 0, &left));
}

static int polled(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };
	int n = poll(&p, 1, timeout);

	return n < 0 ? -errno : n ? p.revents : 0;
}

TEST_F(claims, watch)
{
	struct kvbm_hash many[KVBM_MAX_WATCHED + 1];
	struct kvbm_registered out[N];
	uint8_t states[N];
	int i;

	EXPECT_EQ(0, polled(self->b, 0));
	EXPECT_EQ(0, kvbm_watch(self->b, 3, self->h, NULL));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(KVBM_CLAIMED,
			  claim1(self->a, self->ids[i], self->h[i]));
	memset(states, 0xa5, sizeof(states));
	EXPECT_EQ(3, kvbm_watch(self->b, 3, self->h, states));
	EXPECT_EQ(KVBM_PENDING, states[0]);
	EXPECT_EQ(0xa5, states[3]);
	EXPECT_EQ(0, polled(self->b, 0));
	/* Another's end is nothing, nor does another session hear of ours. */
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids + 3, NULL));
	EXPECT_EQ(0, polled(self->b, 20));
	ASSERT_EQ(1, kvbm_register(self->a, 1, self->ids + 1, out, 0, NULL));
	EXPECT_EQ(POLLPRI, polled(self->b, 60000));
	EXPECT_EQ(0, polled(self->c, 0));
	/* Until it watches again. */
	EXPECT_EQ(POLLPRI, polled(self->b, 0));
	EXPECT_EQ(2, kvbm_watch(self->b, 3, self->h, states));
	EXPECT_EQ(KVBM_PENDING, states[0]);
	EXPECT_EQ(KVBM_ABSENT, states[1]);
	EXPECT_EQ(KVBM_PENDING, states[2]);
	EXPECT_EQ(0, polled(self->b, 0));
	/* It no longer watches the earlier hashes. */
	EXPECT_EQ(1, kvbm_watch(self->b, 1, self->h, NULL));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids + 2, NULL));
	EXPECT_EQ(0, polled(self->b, 20));
	EXPECT_EQ(0, kvbm_watch(self->b, 0, NULL, NULL));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids, NULL));
	EXPECT_EQ(0, polled(self->b, 20));
	/* One of its own, and the limits. */
	ASSERT_EQ(KVBM_CLAIMED, claim1(self->a, self->ids[0], self->h[5]));
	EXPECT_EQ(1, kvbm_watch(self->a, 1, self->h + 5, NULL));
	ASSERT_EQ(1, kvbm_unstage(self->a, 1, self->ids, NULL));
	EXPECT_EQ(POLLPRI, polled(self->a, 60000));
	kt_singles(many, KVBM_MAX_WATCHED + 1, 1000);
	EXPECT_EQ(0, kvbm_watch(self->b, KVBM_MAX_WATCHED, many, NULL));
	EXPECT_EQ(-EINVAL, kvbm_watch(self->b, KVBM_MAX_WATCHED + 1, many,
				      NULL));
	EXPECT_EQ(-EFAULT, kvbm_watch(self->b, 1, NULL, NULL));
}

/* A sleeper in epoll is woken; with edges, once for each end. */
TEST_F(claims, watch_sleeps)
{
	struct epoll_event ev = { .events = EPOLLPRI | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC), i;
	pid_t pid;

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->b, &ev));
	for (i = 0; i < 20; i++) {
		pid = kt_fork();
		if (!pid) {
			int fd = kvbm_session_open(self->c);
			uint32_t id;

			KT_MUST(kvbm_alloc(fd, 1, &id, NULL, NULL) == 1);
			KT_MUST(claim1(fd, id, self->h[0]) == KVBM_CLAIMED);
			pause();
			_exit(0);
		}
		ASSERT_TRUE(kt_until(pending(self->b, self->h[0]) ==
				     KVBM_PENDING));
		EXPECT_EQ(1, kvbm_watch(self->b, 1, self->h, NULL));
		EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
		kill(pid, SIGKILL);
		EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 60000));
		EXPECT_EQ(EPOLLPRI, ev.events);
		EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
		kt_reap(pid);
	}
	close(ep);
}

/* A session has a limit on claims; the call fails before any change. */
TEST(limit)
{
	enum { MAX = KVBM_MAX_CLAIMS };
	struct kvbm_hash *h = calloc(MAX + 1, sizeof(*h));
	uint32_t *ids = calloc(MAX + 1, sizeof(*ids)), error, left;
	uint8_t *states = calloc(MAX + 1, 1);
	int fd = kt_store(MAX + 64), b;

	ASSERT_GE(fd, 0);
	b = kvbm_session_open(fd);
	kt_singles(h, MAX + 1, 1);
	ASSERT_EQ(MAX + 1, kvbm_alloc(fd, MAX + 1, ids, NULL, NULL));
	EXPECT_EQ(MAX, kvbm_claim(fd, MAX + 1, ids, h, states, &error));
	EXPECT_EQ(EDQUOT, error);
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(fd, ids[MAX]));
	/* A claimed hash is still pending. */
	EXPECT_EQ(KVBM_CLAIM_PENDING, claim1(fd, ids[MAX], h[0]));
	ASSERT_EQ(1, kvbm_unstage(fd, 1, ids, NULL));
	EXPECT_EQ(KVBM_CLAIMED, claim1(fd, ids[MAX], h[MAX]));
	EXPECT_EQ(MAX, kt_stats(fd).pending);
	EXPECT_EQ(-ETIMEDOUT, kvbm_wait(b, 1, h + MAX, 0, &left));
	close(fd);
	EXPECT_EQ(0, kt_stats(b).pending);
	close(b);
	free(h);
	free(ids);
	free(states);
}

TEST_HARNESS_MAIN
