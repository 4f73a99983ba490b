// SPDX-License-Identifier: MIT
/*
 * Places in the queue.  They are kept over signals and restarts, and stay
 * beside the queue while nobody else could serve them.  Also clocks, and
 * callers stuck in user memory, which nobody waits for.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include "kvbm_uffd.h"

#define TOTAL	256

/* One who waits, in a thread. */
struct waiter {
	int fd;
	uint32_t n;
	struct kvbm_alloc args;
	pthread_t thread;
	pid_t tid;
	uint32_t ids[TOTAL];
	volatile long ret;
	volatile bool done;
};

static void *wait_thread(void *arg)
{
	struct waiter *w = arg;

	w->tid = syscall(SYS_gettid);
	w->ret = kt_ioctl(w->fd, KVBM_IOC_ALLOC, &w->args);
	__sync_synchronize();
	w->done = true;
	return NULL;
}

FIXTURE(queue) {
	int fd;				/* holds all blocks at first */
	uint32_t ids[TOTAL];
};

FIXTURE_SETUP(queue)
{
	self->fd = kt_store(TOTAL, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
}

FIXTURE_TEARDOWN(queue)
{
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	kt_check(self->fd);
	close(self->fd);
}

#define begin(w, session, blocks) do {					\
	memset(w, 0, sizeof(*(w)));					\
	(w)->fd = session;						\
	(w)->n = blocks;						\
	kvbm_args_alloc(&(w)->args, KVBM_ALLOC_WAIT, blocks, (w)->ids,	\
			NULL, KVBM_NO_DEADLINE);			\
	ASSERT_EQ(0, pthread_create(&(w)->thread, NULL, wait_thread, w)); \
} while (0)

/* Starts it; returns when it is in the queue. */
#define start(w, blocks) do {						\
	uint32_t __before = kt_counts(self->fd).waiters;		\
	begin(w, kvbm_session_open(self->fd), blocks);			\
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters ==		\
			     __before + 1));				\
} while (0)

#define finish(w, want) do {						\
	pthread_join((w)->thread, NULL);				\
	EXPECT_EQ(want, (w)->ret);					\
} while (0)

#define give(from, n)							\
	ASSERT_EQ(n, kvbm_release(self->fd, n, self->ids + (from), 0, NULL))

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	signals++;
}

static void handle(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	signals = 0;
	sigaction(SIGUSR1, &sa, NULL);
}

/* Restarted again and again, it is served before who came later. */
TEST_F(queue, restarts_keep_the_place)
{
	struct waiter first, second;
	int i;

	handle(SA_RESTART);
	start(&first, 2);
	start(&second, 1);
	for (i = 0; i < 50; i++) {
		int had = signals;

		pthread_kill(first.thread, SIGUSR1);
		ASSERT_TRUE(kt_until(signals > had));
	}
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 2));
	/* Not the second, for which it would be enough. */
	give(0, 1);
	kt_sleep_ms(50);
	EXPECT_FALSE(second.done);
	EXPECT_FALSE(first.done);
	give(1, 1);
	finish(&first, 2);
	EXPECT_EQ(0, first.args.ticket);
	EXPECT_FALSE(second.done);
	give(2, 1);
	finish(&second, 1);
	close(first.fd);
	close(second.fd);
}

/* A debugger's attach restarts the call, and so does the stop signal. */
static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = -1;

	if (fd >= 0) {
		ret = write(fd, text, strlen(text)) < 0 ? -1 : 0;
		close(fd);
	}
	return ret;
}

#define GROUP "/sys/fs/cgroup/kvbm-queue"

static bool frozen(char as)
{
	char text[256] = "", *at;
	int fd = open(GROUP "/cgroup.events", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = 0;
		close(fd);
	}
	at = strstr(text, "frozen ");
	return at && at[strlen("frozen ")] == as;
}

TEST_F(queue, freezer_keeps_the_place)
{
	struct waiter second;
	char number[16];
	pid_t pid;
	int i;

	if (mkdir(GROUP, 0755) || access(GROUP "/cgroup.freeze", W_OK)) {
		rmdir(GROUP);
		SKIP(return, "no cgroup that can be frozen");
	}
	pid = kt_fork();
	if (!pid) {
		int fd = kvbm_session_open(self->fd);
		uint32_t got[2];

		_exit(kvbm_alloc_wait(fd, 2, got, NULL, NULL,
				      KVBM_NO_DEADLINE) == 2 ? 0 : 1);
	}
	snprintf(number, sizeof(number), "%d", pid);
	ASSERT_EQ(0, put(GROUP "/cgroup.procs", number));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	start(&second, 1);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, put(GROUP "/cgroup.freeze", "1"));
		ASSERT_TRUE(kt_until(frozen('1')));
		ASSERT_EQ(0, put(GROUP "/cgroup.freeze", "0"));
		ASSERT_TRUE(kt_until(frozen('0')));
	}
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 2));
	/* Not the second, for which it would be enough. */
	give(0, 1);
	kt_sleep_ms(50);
	EXPECT_FALSE(second.done);
	give(1, 1);
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(0, rmdir(GROUP));
	/* Its end freed space. */
	finish(&second, 1);
	close(second.fd);
}

TEST_F(queue, ptrace_keeps_the_place)
{
	struct waiter second;
	int status, i;
	pid_t pid;

	pid = kt_fork();
	if (!pid) {
		int fd = kvbm_session_open(self->fd);
		uint32_t got[2];

		_exit(kvbm_alloc_wait(fd, 2, got, NULL, NULL,
				      KVBM_NO_DEADLINE) == 2 ? 0 : 1);
	}
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	start(&second, 1);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, NULL, NULL));
		ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, pid, NULL, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
	}
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 2));
	give(0, 1);
	kt_sleep_ms(50);
	EXPECT_FALSE(second.done);
	give(1, 1);
	EXPECT_EQ(0, kt_reap(pid));
	/* Its end freed space. */
	finish(&second, 1);
	close(second.fd);
}

/* While no call waits with a ticket it is passed over, and keeps its place. */
TEST_F(queue, ticket)
{
	struct waiter a, b;
	uint32_t ticket;

	handle(0);
	start(&a, 2);
	start(&b, 2);
	pthread_kill(a.thread, SIGUSR1);
	finish(&a, -EINTR);
	EXPECT_EQ(EINTR, a.args.error);
	ticket = a.args.ticket;
	EXPECT_NE(0, ticket);
	EXPECT_EQ(1, kt_counts(self->fd).waiters);
	/* b is the first meanwhile. */
	give(0, 1);
	kt_sleep_ms(20);
	EXPECT_FALSE(b.done);
	/* Back in its place: it goes first. */
	ASSERT_EQ(0, pthread_create(&a.thread, NULL, wait_thread, &a));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 2));
	give(1, 1);
	finish(&a, 2);
	EXPECT_EQ(0, a.args.ticket);
	EXPECT_FALSE(b.done);
	give(2, 2);
	finish(&b, 2);
	/* Used up. */
	EXPECT_EQ(-ENOENT, kvbm_ticket_give_up(a.fd, ticket));
	close(a.fd);
	close(b.fd);
}

TEST_F(queue, ticket_given_up)
{
	uint32_t ticket, got[2];
	struct waiter a;

	handle(0);
	start(&a, 2);
	pthread_kill(a.thread, SIGUSR1);
	finish(&a, -EINTR);
	ticket = a.args.ticket;
	EXPECT_EQ(-ENOENT, kvbm_ticket_give_up(self->fd, ticket));
	EXPECT_EQ(-ENOENT, kvbm_ticket_give_up(a.fd, ticket + 1));
	/* One that a call waits with is neither free nor taken twice. */
	ASSERT_EQ(0, pthread_create(&a.thread, NULL, wait_thread, &a));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
	EXPECT_EQ(-EBUSY, kvbm_ticket_give_up(a.fd, ticket));
	EXPECT_EQ(-EBUSY, kvbm_alloc_wait_at(a.fd, 2, got, NULL, NULL,
					     KVBM_NO_DEADLINE, &ticket));
	pthread_kill(a.thread, SIGUSR1);
	finish(&a, -EINTR);
	EXPECT_EQ(0, kvbm_ticket_give_up(a.fd, a.args.ticket));
	EXPECT_EQ(-ENOENT, kvbm_ticket_give_up(a.fd, a.args.ticket));
	close(a.fd);
}

/* A caller with another count, or whose ticket was taken, is a newcomer. */
TEST_F(queue, ticket_of_another_count)
{
	struct waiter a, b;

	handle(0);
	start(&a, 2);
	start(&b, 1);
	pthread_kill(a.thread, SIGUSR1);
	finish(&a, -EINTR);
	a.args.count = 1;
	ASSERT_EQ(0, pthread_create(&a.thread, NULL, wait_thread, &a));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 2));
	give(0, 1);
	finish(&b, 1);
	EXPECT_FALSE(a.done && a.ret == 1);
	give(1, 1);
	finish(&a, 1);
	close(a.fd);
	close(b.fd);
}

/* A session keeps so many; then the oldest goes. */
TEST_F(queue, ticket_limit)
{
	uint32_t tickets[KVBM_MAX_TICKETS + 1], i;
	int fd = kvbm_session_open(self->fd);
	struct waiter w;

	handle(0);
	for (i = 0; i <= KVBM_MAX_TICKETS; i++) {
		begin(&w, fd, 1);
		ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 1));
		pthread_kill(w.thread, SIGUSR1);
		finish(&w, -EINTR);
		tickets[i] = w.args.ticket;
		EXPECT_NE(0, tickets[i]);
	}
	EXPECT_EQ(-ENOENT, kvbm_ticket_give_up(fd, tickets[0]));
	for (i = 1; i <= KVBM_MAX_TICKETS; i++)
		EXPECT_EQ(0, kvbm_ticket_give_up(fd, tickets[i]));
	close(fd);
}

TEST_F(queue, waiters_limit)
{
	static struct waiter w[KVBM_MAX_TICKETS];
	int fd = kvbm_session_open(self->fd);
	uint32_t i, got;

	for (i = 0; i < KVBM_MAX_TICKETS; i++)
		begin(&w[i], fd, 1);
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == KVBM_MAX_TICKETS));
	EXPECT_EQ(-EMLINK, kvbm_alloc_wait(fd, 1, &got, NULL, NULL,
					    KVBM_NO_DEADLINE));
	give(0, KVBM_MAX_TICKETS);
	for (i = 0; i < KVBM_MAX_TICKETS; i++)
		finish(&w[i], 1);
	close(fd);
}

/* A wait that only its own session could serve holds up nobody. */
TEST_F(queue, parked)
{
	struct waiter hopeless, other;
	int fd = kvbm_session_open(self->fd);
	uint32_t own[8], got;

	give(0, 8);
	ASSERT_EQ(8, kvbm_alloc(fd, 8, own, NULL, NULL));
	/* All but 7: as the session has 8, one of its own must come back. */
	begin(&hopeless, fd, TOTAL - 7);
	kt_sleep_ms(50);
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	EXPECT_FALSE(hopeless.done);
	/* Others are served meanwhile, waiting or not. */
	start(&other, 1);
	give(8, 2);
	finish(&other, 1);
	EXPECT_EQ(1, kvbm_alloc(self->fd, 1, &got, NULL, NULL));
	EXPECT_EQ(1, kvbm_release(self->fd, 1, &got, 0, NULL));
	close(other.fd);
	/* It is in the queue as soon as it could be served: at its old place. */
	start(&other, 3);
	ASSERT_EQ(1, kvbm_release(fd, 1, own, 0, NULL));
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == 2));
	kt_sleep_ms(20);
	EXPECT_FALSE(other.done);
	/* Out again when the session holds more; then the other one is served. */
	close(self->fd);
	self->fd = kvbm_session_open(fd);
	finish(&hopeless, TOTAL - 7);
	close(fd);
	finish(&other, 3);
	close(other.fd);
}

/* A lone session learns at once that nobody could end the wait. */
TEST(deadlock)
{
	struct kvbm_hash h[4];
	uint32_t ids[4], got;
	int fd, other;

	kt_singles(h, 4, 1);
	fd = kt_store(4);
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(fd, 1, &got, NULL, NULL,
					    KVBM_NO_DEADLINE));
	/* A second descriptor is somebody else's, perhaps. */
	other = dup(fd);
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(fd, 1, &got, NULL, NULL,
					      kvbm_deadline(20000000)));
	close(other);
	/* Another session holds it: that is worth waiting for. */
	ASSERT_EQ(1, kvbm_release(fd, 1, ids, 0, NULL));
	other = kvbm_session_open(fd);
	ASSERT_EQ(1, kvbm_alloc(other, 1, &got, NULL, NULL));
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(fd, 1, &got, NULL, NULL,
					      kvbm_deadline(20000000)));
	EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(fd, 2, ids, NULL, NULL,
					    kvbm_deadline(20000000)));
	EXPECT_EQ(0, kt_counts(fd).waiters);
	close(other);
	close(fd);
}

/* Others may accept an offer, so a lone session waits for that, too. */
TEST(offered_is_no_deadlock)
{
	struct kvbm_ticket t;
	struct kt_pipe ready;
	struct kvbm_hash h[4];
	uint32_t ids[4], got[4];
	int fd, other, i;
	pid_t pid;

	kt_singles(h, 4, 1);
	for (i = 0; i < 2; i++) {
		/* For want of its max_held, then of blocks that others hold. */
		fd = kt_store(i ? 4 : 8, .max_held = i ? 0 : 4);
		ASSERT_GE(fd, 0);
		other = kvbm_session_open(fd);
		ASSERT_EQ(4, kt_fill(fd, 4, h, ids));
		EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(fd, 1, got, NULL, NULL,
						    KVBM_NO_DEADLINE));
		ASSERT_EQ(0, kvbm_offer(fd, 3, ids, &t));
		EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(fd, 1, got, NULL, NULL,
						      kvbm_deadline(20000000)));
		kt_pipe_open(&ready);
		pid = kt_fork();
		if (!pid) {
			close(fd);
			kt_tell(&ready, 1);
			kt_sleep_ms(50);
			KT_MUST(kvbm_accept(other, &t, 3, got, NULL) == 3);
			KT_MUST(kvbm_release(other, 3, got, 0, NULL) == 3);
			_exit(0);
		}
		EXPECT_EQ(1, kt_hear(&ready));
		EXPECT_EQ(1, kvbm_alloc_wait(fd, 1, got, NULL, NULL,
					     kvbm_deadline(60000000000)));
		EXPECT_EQ(0, kt_reap(pid));
		/* Nothing is offered any more. */
		EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(fd, i ? 4 : 3, got, NULL,
						    NULL, KVBM_NO_DEADLINE));
		close(ready.fd[0]);
		close(ready.fd[1]);
		kt_check(fd);
		close(other);
		close(fd);
	}
}

/*
 * Nobody else can give blocks that a session's Duplicates keep alive, either: a
 * lone session learns it at once, and a wait for more holds up nobody.
 */
TEST(deadlock_by_duplicates)
{
	struct kvbm_registered res[3];
	uint32_t theirs[3], ids[3], got[4];
	struct waiter hopeless;
	struct kvbm_hash h[3];
	int fd, other, ses;

	kt_singles(h, 3, 1);
	fd = kt_store(8, .policy = "lru");
	ASSERT_GE(fd, 0);
	other = kvbm_session_open(fd);
	ses = kvbm_session_open(fd);
	ASSERT_EQ(3, kt_fill(other, 3, h, theirs));
	ASSERT_EQ(3, kvbm_alloc(ses, 3, ids, NULL, NULL));
	ASSERT_EQ(3, kvbm_stage_register(ses, 3, ids, h, res, 0, NULL));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, res[2].kind);
	/* 8 less its three, and the three that they keep. */
	EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(ses, 3, got, NULL, NULL,
					    kvbm_deadline(20000000)));
	close(other);
	EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(ses, 3, got, NULL, NULL,
					    kvbm_deadline(20000000)));
	/* With a second descriptor it waits, beside the queue. */
	other = dup(ses);
	begin(&hopeless, other, 3);
	kt_sleep_ms(50);
	EXPECT_EQ(0, kt_counts(fd).waiters);
	EXPECT_FALSE(hopeless.done);
	EXPECT_EQ(2, kvbm_alloc(fd, 2, got, NULL, NULL));
	EXPECT_EQ(2, kvbm_release(fd, 2, got, 0, NULL));
	/* Back in the queue, and served, when one of them goes. */
	EXPECT_EQ(1, kvbm_release(ses, 1, ids, 0, NULL));
	finish(&hopeless, 3);
	close(other);
	close(ses);
	kt_check(fd);
	close(fd);
}

/* Clocks */

TEST_F(queue, boottime)
{
	int fd = kvbm_session_open(self->fd);
	struct kvbm_alloc a;
	struct timespec now;
	uint64_t begun = kt_now();
	uint32_t got;

	clock_gettime(CLOCK_BOOTTIME, &now);
	kvbm_args_alloc(&a, KVBM_ALLOC_WAIT, 1, &got, NULL,
			now.tv_sec * 1000000000ULL + now.tv_nsec + 50000000);
	a.clock = KVBM_CLOCK_BOOTTIME;
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(fd, KVBM_IOC_ALLOC, &a));
	EXPECT_GE(kt_now() - begun, 49000000);
	EXPECT_LT(kt_now() - begun, 20000000000ULL);
	close(fd);
}

/* In a time namespace that is an hour ahead, and in one that is behind. */
TEST_F(queue, time_namespace)
{
	static const char * const offsets[] = {
		"monotonic 3600 0\nboottime 3600 0\n",
		"monotonic -1 0\nboottime -1 0\n",
	};
	unsigned int i;

	if (access("/proc/self/ns/time", F_OK))
		SKIP(return, "this kernel has no time namespaces");
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		pid_t pid = kt_fork();

		if (!pid) {
			int off;

			if (unshare(CLONE_NEWTIME))
				_exit(4);
			off = open("/proc/self/timens_offsets", O_WRONLY);
			KT_MUST(write(off, offsets[i], strlen(offsets[i])) > 0);
			close(off);
			/* Children are in it. */
			pid = kt_fork();
			if (!pid) {
				int fd = kvbm_session_open(self->fd);
				uint64_t begun = kt_now(), took;
				uint32_t got;

				alarm(60);
				KT_MUST(kvbm_alloc_wait(fd, 1, &got, NULL, NULL,
						kvbm_deadline(100000000)) ==
					-ETIMEDOUT);
				took = kt_now() - begun;
				KT_MUST(took >= 100000000);
				KT_MUST(took < 30000000000ULL);
				_exit(0);
			}
			_exit(kt_reap(pid));
		}
		EXPECT_EQ(0, kt_reap(pid)) {
			TH_LOG("offset %u", i);
		}
	}
}

/* Callers stuck in user memory */

FIXTURE(stuck) {
	int fd;
	uint32_t ids[TOTAL];
};

FIXTURE_VARIANT(stuck) {
	uint32_t n;
	bool evictions;
};

FIXTURE_VARIANT_ADD(stuck, few) { .n = 8 };
FIXTURE_VARIANT_ADD(stuck, many) { .n = 200 };
FIXTURE_VARIANT_ADD(stuck, few_evicted) { .n = 8, .evictions = true };
FIXTURE_VARIANT_ADD(stuck, many_evicted) { .n = 200, .evictions = true };

FIXTURE_SETUP(stuck)
{
	struct kvbm_hash h[TOTAL];

	kt_singles(h, TOTAL, 1);
	self->fd = kt_store(TOTAL, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(TOTAL, kt_idle(self->fd, TOTAL, h, self->ids));
}

FIXTURE_TEARDOWN(stuck)
{
	kt_check(self->fd);
	close(self->fd);
}

/* Where its process is when it is stuck; returns its session's number. */
static pid_t stuck_child(int parent, const struct _fixture_variant_stuck *v,
			 uint64_t *number)
{
	uint64_t *shared = kt_shared(4096);
	pid_t pid = kt_fork();

	if (!pid) {
		int fd = kvbm_session_open(parent), uffd = uffd_open();
		static uint32_t good[TOTAL];
		struct kvbm_alloc a;
		void *bad;

		if (uffd < 0)
			_exit(4);
		bad = nowhere(uffd, 4 * sysconf(_SC_PAGESIZE));
		KT_MUST(bad);
		kvbm_args_alloc(&a, 0, v->n, v->evictions ? good : bad,
				v->evictions ? bad : NULL, 0);
		__atomic_store_n(shared, kt_session_id(fd), __ATOMIC_SEQ_CST);
		kt_ioctl(fd, KVBM_IOC_ALLOC, &a);
		_exit(1);
	}
	kt_until(__atomic_load_n(shared, __ATOMIC_SEQ_CST));
	*number = *shared;
	return pid;
}

TEST_F(stuck, nobody_waits_for_it)
{
	uint64_t number, back = 0;
	uint32_t got[TOTAL];
	pid_t pid;

	if (!has_uffd())
		SKIP(return, "this kernel has no userfaultfd");
	pid = stuck_child(self->fd, variant, &number);
	ASSERT_TRUE(kt_until(kt_counts(self->fd).available ==
			     TOTAL - variant->n));
	kt_sleep_ms(100);
	/* Nothing is promised to it any more: others have the rest. */
	EXPECT_EQ(0, kt_counts(self->fd).reserved_blocks);
	EXPECT_EQ(TOTAL - variant->n,
		  kvbm_alloc(self->fd, TOTAL - variant->n, got, NULL, NULL));
	/* A revocation takes the blocks, and comes back. */
	EXPECT_EQ(0, kvbm_session_revoke(self->fd, number, &back));
	EXPECT_EQ(variant->n, back);
	EXPECT_EQ(variant->n, kt_counts(self->fd).available);
	EXPECT_EQ(variant->n, kvbm_alloc(self->fd, variant->n, got, NULL, NULL));
	/* It can be killed. */
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	EXPECT_EQ(TOTAL, kt_self(self->fd).held);
}

TEST_F(stuck, killed)
{
	uint64_t number;
	pid_t pid;

	if (!has_uffd())
		SKIP(return, "this kernel has no userfaultfd");
	pid = stuck_child(self->fd, variant, &number);
	ASSERT_TRUE(kt_until(kt_counts(self->fd).available ==
			     TOTAL - variant->n));
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	EXPECT_EQ(TOTAL, kt_counts(self->fd).available);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
}

/* Hash and block match in each pair, whatever is freed between chunks. */
struct racer {
	int fd;
	volatile bool stop;
};

static void *come_and_go(void *arg)
{
	struct racer *r = arg;
	uint32_t ids[16];
	int n;

	while (!r->stop) {
		n = kvbm_alloc_reset(r->fd, 16, ids);
		if (n > 0)
			kvbm_release(r->fd, n, ids, 0, NULL);
	}
	return NULL;
}

TEST(pairs)
{
	enum { N = 2048, TAKE = 1024 };
	static struct kvbm_evicted gone[TAKE];
	static struct kvbm_hash h[N], was[N];
	static uint32_t ids[N], got[TAKE];
	struct racer r = {};
	uint32_t i, k, evicted;
	pthread_t thread;
	int fd;

	fd = kt_store(N, .policy = "lru");
	ASSERT_GE(fd, 0);
	r.fd = kvbm_session_open(fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, come_and_go, &r));
	for (k = 0; k < 40; k++) {
		kt_singles(h, N, 1000 + k * N);
		ASSERT_EQ(N - 64, kt_idle(fd, N - 64, h, ids));
		for (i = 0; i < N - 64; i++)
			was[ids[i]] = h[i];
		ASSERT_EQ(TAKE, kvbm_alloc(fd, TAKE, got, gone, &evicted));
		EXPECT_GE(evicted, TAKE - 64);
		for (i = 0; i < evicted; i++)
			if (!kt_same(was[gone[i].block], gone[i].hash))
				break;
		EXPECT_EQ(evicted, i) {
			TH_LOG("round %u: pair %u of %u is wrong", k, i,
			       evicted);
		}
		ASSERT_EQ(TAKE, kvbm_release(fd, TAKE, got, 0, NULL));
		kvbm_reset_inactive(fd, NULL, NULL);
	}
	r.stop = true;
	pthread_join(thread, NULL);
	close(r.fd);
	kt_check(fd);
	close(fd);
}

TEST_HARNESS_MAIN
