// SPDX-License-Identifier: MIT
/*
 * A session ends after all other files that the same exit, exec or close_range
 * closes: nobody gets a block while a device of the dead process still writes
 * into it.  The session still ends before the process can be reaped or the
 * call returns.
 *
 * The device is selftests/vm/testdev: it writes into pinned memory until its
 * ->release, which takes a while.
 */
#include <linux/io_uring.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/socket.h>
#include "kvbm_modules.h"
#include "vm/testdev/testdev.h"

#define TEARDOWN_MS	50
#define PAGE		4096
#define SESSION_LOW	40	/* descriptors, around the device's */
#define DEVICE		41
#define SESSION_HIGH	42

enum how { KILL, EXIT, EXEC, CLOSE_RANGE };

FIXTURE(companion) {
	int fd;			/* the watcher */
	uint8_t *pool;		/* the one block's bytes */
};

FIXTURE_VARIANT(companion) {
	enum how how;
	int session;		/* its descriptor */
	int threads;
};

#define V(_how, _order, _threads)					\
FIXTURE_VARIANT_ADD(companion, _how##_##_order##_##_threads)		\
{ .how = _how, .session = SESSION_##_order, .threads = _threads }
V(KILL, LOW, 1);
V(KILL, HIGH, 1);
V(KILL, LOW, 5);
V(KILL, HIGH, 5);
V(EXIT, LOW, 1);
V(EXIT, HIGH, 1);
V(EXIT, LOW, 5);
V(EXIT, HIGH, 5);
V(EXEC, LOW, 1);
V(EXEC, HIGH, 1);
V(EXEC, LOW, 5);
V(EXEC, HIGH, 5);
V(CLOSE_RANGE, LOW, 1);
V(CLOSE_RANGE, HIGH, 1);
V(CLOSE_RANGE, LOW, 5);
V(CLOSE_RANGE, HIGH, 5);

FIXTURE_SETUP(companion)
{
	int err = kt_insmod("testdev", "");

	/* A fixture cannot skip; without a pool the tests do. */
	if (err == -ENOENT)
		return;
	ASSERT_EQ(0, err);
	self->fd = kt_store(1);
	ASSERT_GE(self->fd, 0);
	self->pool = kt_shared(PAGE);
	ASSERT_NE(NULL, self->pool);
}

FIXTURE_TEARDOWN(companion)
{
	if (!self->pool)
		return;
	kt_check(self->fd);
	close(self->fd);
}

static void move_to(int fd, int to)
{
	KT_MUST(fd >= 0);
	KT_MUST(dup3(fd, to, O_CLOEXEC) == to);
	close(fd);
}

static void device_start(int fd, void *to)
{
	struct testdev_start start = {
		.address = (uintptr_t)to, .bytes = PAGE,
		.teardown_ms = TEARDOWN_MS, .byte = 0xdd,
	};

	KT_MUST(!ioctl(fd, TESTDEV_START, &start));
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* The process that goes: its device writes into the block that it owns. */
static void victim(int from, void *pool, enum how how, int session,
		   int threads, struct kt_pipe *ready, struct kt_pipe *go,
		   struct kt_pipe *done)
{
	pthread_t t;
	uint32_t id;

	move_to(open("/dev/testdev", O_RDWR | O_CLOEXEC), DEVICE);
	move_to(kvbm_session_open(from), session);
	KT_MUST(kvbm_alloc(session, 1, &id, NULL, NULL) == 1);
	device_start(DEVICE, pool);
	while (--threads)
		KT_MUST(!pthread_create(&t, NULL, idle, NULL));
	kt_tell(ready, 1);
	kt_hear(go);
	switch (how) {
	case KILL:
		raise(SIGKILL);
		break;
	case EXIT:
		_exit(0);
	case EXEC:
		dup2(done->fd[1], 1);
		execl("/bin/busybox", "sh", "-c", "echo now; sleep 1000", NULL);
		_exit(97);
	case CLOSE_RANGE:
		KT_MUST(!close_range(SESSION_LOW, SESSION_HIGH, 0));
		kt_tell(done, 1);
	}
	for (;;)
		pause();
}

#define start_victim(ready, go, done) ({				\
	pid_t __pid;							\
	kt_pipe_open(&(ready));						\
	kt_pipe_open(&(go));						\
	kt_pipe_open(&(done));						\
	__pid = kt_fork();						\
	if (!__pid)							\
		victim(self->fd, self->pool, variant->how,		\
		       variant->session, variant->threads, &(ready),	\
		       &(go), &(done));					\
	ASSERT_EQ(1, kt_hear(&(ready)));				\
	__pid; })

/* The waiter gets the block once nobody writes into it any more. */
TEST_F(companion, intact)
{
	struct kt_pipe ready, go, done;
	uint64_t before;
	uint32_t id;
	pid_t pid;
	int i;

	if (!self->pool)
		SKIP(return, "no /vm/testdev.ko");
	pid = start_victim(ready, go, done);
	before = kt_now();
	kt_tell(&go, 1);
	ASSERT_EQ(1, kvbm_alloc_wait(self->fd, 1, &id, NULL, NULL,
				     before + 30000000000ULL));
	memset(self->pool, 0x11, PAGE);
	/* The device has been writing all along: nobody came too early. */
	EXPECT_GE(kt_now() - before, TEARDOWN_MS * 1000000ULL);
	kt_sleep_ms(2 * TEARDOWN_MS);
	for (i = 0; i < PAGE && self->pool[i] == 0x11; i++)
		;
	EXPECT_EQ(PAGE, i) {
		TH_LOG("byte %d of the new owner's block: %02x", i,
		       self->pool[i]);
	}
	kt_kill(pid);
	EXPECT_EQ(1, kvbm_release(self->fd, 1, &id, 0, NULL));
}

/* Anybody who can see that it has ended finds the block back. */
TEST_F(companion, complete)
{
	struct kt_pipe ready, go, done;
	uint32_t word;
	pid_t pid;

	if (!self->pool)
		SKIP(return, "no /vm/testdev.ko");
	pid = start_victim(ready, go, done);
	EXPECT_EQ(0, kt_counts(self->fd).available);
	kt_tell(&go, 1);
	switch (variant->how) {
	case KILL:
		EXPECT_EQ(256 + SIGKILL, kt_reap(pid));
		break;
	case EXIT:
		EXPECT_EQ(0, kt_reap(pid));
		break;
	case EXEC:
	case CLOSE_RANGE:
		EXPECT_EQ(sizeof(word),
			  read(done.fd[0], &word, sizeof(word)));
		break;
	}
	EXPECT_EQ(1, kt_counts(self->fd).available);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	if (variant->how == EXEC || variant->how == CLOSE_RANGE)
		EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
}

/* Ways of references that the matrix above has not. */

FIXTURE(ways) {
	int fd;
};

FIXTURE_SETUP(ways)
{
	self->fd = kt_store(4);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(ways)
{
	kt_check(self->fd);
	close(self->fd);
}

/* A plain close(2) of the last one. */
TEST_F(ways, close)
{
	int fd = kvbm_session_open(self->fd), copy = dup(fd);
	uint32_t ids[4];

	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	close(fd);
	EXPECT_EQ(0, kt_counts(self->fd).available);
	close(copy);
	EXPECT_EQ(4, kt_counts(self->fd).available);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
}

/* The opener is dead, and reaped; the one who has it now ends it. */
TEST_F(ways, passed)
{
	int sock[2], fd;
	uint32_t ids[4];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = kt_fork();
	if (!pid) {
		fd = kvbm_session_open(self->fd);
		KT_MUST(kvbm_alloc(fd, 4, ids, NULL, NULL) == 4);
		KT_MUST(!kt_send_fd(sock[1], fd));
		raise(SIGKILL);
	}
	EXPECT_EQ(256 + SIGKILL, kt_reap(pid));
	EXPECT_EQ(0, kt_counts(self->fd).available);
	fd = kt_recv_fd(sock[0]);
	ASSERT_GE(fd, 0);
	close(fd);
	EXPECT_EQ(4, kt_counts(self->fd).available);
	/* Lost on the way: the task that drops the message closes it. */
	fd = kvbm_session_open(self->fd);
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	ASSERT_EQ(0, kt_send_fd(sock[1], fd));
	close(fd);
	EXPECT_EQ(0, kt_counts(self->fd).available);
	close(sock[0]);
	close(sock[1]);
	EXPECT_TRUE(kt_until(kt_counts(self->fd).available == 4));
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
}

/*
 * A cycle of sockets in flight: the kernel's own thread closes what is in it,
 * and ends the session two rounds of its work later.
 */
TEST_F(ways, closed_by_kernel_thread)
{
	int sock[2], fd = kvbm_session_open(self->fd);
	uint32_t ids[4];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, sock));
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	ASSERT_EQ(0, kt_send_fd(sock[0], sock[0]));
	ASSERT_EQ(0, kt_send_fd(sock[0], sock[1]));
	ASSERT_EQ(0, kt_send_fd(sock[0], fd));
	close(fd);
	close(sock[0]);
	close(sock[1]);
	/* Closing a socket starts the collection. */
	EXPECT_TRUE(kt_until(({
		int s = socket(AF_UNIX, SOCK_DGRAM, 0);

		close(s);
		kt_counts(self->fd).available == 4;
	})));
	EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 1));
}

/* A ring's table of files is a reference; its end is the kernel's to do. */
TEST_F(ways, registered_in_ring)
{
	pid_t pid = kt_fork();

	if (!pid) {
		struct io_uring ring;
		uint32_t ids[4];
		int fd = kvbm_session_open(self->fd);

		KT_MUST(!io_uring_queue_init(4, &ring, 0));
		KT_MUST(kvbm_alloc(fd, 4, ids, NULL, NULL) == 4);
		KT_MUST(!io_uring_register_files(&ring, &fd, 1));
		close(fd);
		KT_MUST(kt_counts(self->fd).available == 0);
		raise(SIGKILL);
	}
	EXPECT_EQ(256 + SIGKILL, kt_reap(pid));
	EXPECT_TRUE(kt_until(kt_counts(self->fd).available == 4));
	EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 1));
}

/* Neither file is left when there is space for only one. */
static int files_max(long n)
{
	FILE *f = fopen("/proc/sys/fs/file-max", "w");
	int ret = !f || fprintf(f, "%ld\n", n) < 0;

	return (f && fclose(f)) || ret ? -1 : 0;
}

static long files_now(void)
{
	FILE *f = fopen("/proc/sys/fs/file-nr", "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

TEST_F(ways, no_room_for_files)
{
	int failed = 0, opened = 0, round, n, many[200];
	struct kt_pipe answer;
	FILE *f = fopen("/proc/sys/fs/file-max", "r");
	long was = 0, base;

	ASSERT_EQ(1, fscanf(f, "%ld", &was));
	fclose(f);
	kt_pipe_open(&answer);
	/*
	 * The kernel looks at a count that is off by up to a batch per CPU: so
	 * there must be many, and the limit is approached step by step.
	 */
	for (n = 0; n < 200; n++)
		many[n] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	base = files_now();
	for (n = -100; n < 100; n++) {
		pid_t pid;

		ASSERT_EQ(0, files_max(base + n));
		pid = kt_fork();
		if (!pid) {
			int fd;

			/* Root's files are without limit. */
			KT_MUST(!setgid(1000) && !setuid(1000));
			fd = kvbm_session_open(self->fd);
			kt_tell(&answer, fd);
			_exit(0);
		}
		round = kt_hear(&answer);
		EXPECT_EQ(0, kt_reap(pid));
		if (round >= 0)
			opened++;
		else if (round == -ENFILE)
			failed++;
		else
			EXPECT_EQ(0, round);
		EXPECT_EQ(1, kt_stats(self->fd).sessions);
	}
	files_max(was);
	for (n = 0; n < 200; n++)
		close(many[n]);
	EXPECT_GT(failed, 0);
	EXPECT_GT(opened, 0);
}

TEST_HARNESS_MAIN
