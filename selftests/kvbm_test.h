/* SPDX-License-Identifier: MIT */
/*
 * Shared by the kernel selftests: stores to try things on, hashes, children,
 * and the invariants that must hold at every quiet point.
 *
 * Functions return >= 0 or -errno, as libkvbm's do.
 */
#ifndef KVBM_TEST_H
#define KVBM_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include <kvbm.h>
#include <kvbm_args.h>

/* Kernels full of checks, in an emulated machine that others load too. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240

#define KT_POISON	0xa5a5a5a5U

#define kt_poison(x)	memset(&(x), 0xa5, sizeof(x))

static inline long kt_ioctl(int fd, unsigned long request, void *arg)
{
	long ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

/* Stores */

static inline int kt_store_make(struct kvbm_store_create *c)
{
	int control = kvbm_control_open();
	int ret;

	if (control < 0)
		return control;
	ret = kt_ioctl(control, KVBM_IOC_STORE_CREATE, c);
	close(control);
	return ret < 0 ? ret : c->fd;
}

/*
 * An anonymous store of so many blocks: its first session, or -errno.  Further
 * fields of struct kvbm_store_create may follow, with a name too: then -1.
 */
#define kt_store(n, ...)						\
	kt_store_make(&(struct kvbm_store_create) {			\
		.size = sizeof(struct kvbm_store_create),		\
		.total_blocks = (n), .uid = -1, .gid = -1, .monitor_gid = -1,		\
		.fd = KT_POISON, ##__VA_ARGS__ })

static inline int kt_destroy(const char *name, uint32_t flags)
{
	int control = kvbm_control_open();
	int ret = kvbm_store_destroy(control, name, flags);

	close(control);
	return ret;
}

static inline bool kt_same(struct kvbm_hash a, struct kvbm_hash b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

/* Hashes: a packing of our own, so that two opinions meet. */

#ifdef __SIZEOF_INT128__
static inline struct kvbm_hash kt_hash(uint64_t current, uint64_t parent,
				       uint32_t position)
{
	unsigned int mode = position < 256 ? 0 : position < 65536 ? 1 : 2;
	unsigned int pbits = 54 - 8 * mode;
	unsigned __int128 v;

	v = (unsigned __int128)mode << 126;
	v |= (unsigned __int128)position << (64 + pbits);
	v |= (unsigned __int128)current << pbits;
	v |= parent & ((1ULL << pbits) - 1);
	return (struct kvbm_hash) { .hi = v >> 64, .lo = (uint64_t)v };
}

/* A hash without relatives. */
static inline struct kvbm_hash kt_single(uint64_t n)
{
	return kt_hash(n, 0, 0);
}

static inline void kt_singles(struct kvbm_hash *out, uint32_t n, uint64_t from)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		out[i] = kt_single(from + i);
}

/* A prompt: each block the parent of the next. */
static inline void kt_chain(struct kvbm_hash *out, uint32_t n, uint64_t from)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		out[i] = kt_hash(from + i, i ? from + i - 1 : 0, i);
}

#endif /* __SIZEOF_INT128__ */

/* Common ways to a state */

/* Allocates n blocks and registers them; the session holds each once. */
static inline int kt_fill(int fd, uint32_t n, const struct kvbm_hash *hashes,
			  uint32_t *ids)
{
	struct kvbm_registered *res = calloc(n, sizeof(*res));
	int ret;
	uint32_t i;

	ret = kvbm_alloc(fd, n, ids, NULL, NULL);
	if (ret >= 0)
		ret = kvbm_stage_register(fd, n, ids, hashes, res, 0, NULL);
	for (i = 0; ret >= 0 && i < n; i++)
		ids[i] = res[i].block;
	free(res);
	return ret;
}

/* The same, and lets go of them, in order. */
static inline int kt_idle(int fd, uint32_t n, const struct kvbm_hash *hashes,
			  uint32_t *ids)
{
	int ret = kt_fill(fd, n, hashes, ids);

	return ret < 0 ? ret : kvbm_release(fd, n, ids, 0, NULL);
}

/* Looking */

static inline struct kvbm_counts kt_counts(int fd)
{
	struct kvbm_counts c;

	kt_poison(c);
	kvbm_counts(fd, &c);
	return c;
}

static inline struct kvbm_stats kt_stats(int fd)
{
	struct kvbm_stats s;

	kt_poison(s);
	kvbm_stats(fd, &s);
	return s;
}

static inline struct kvbm_block_info kt_info(int fd, uint32_t id)
{
	struct kvbm_block_info i;

	kt_poison(i);
	kvbm_block_info(fd, id, &i);
	return i;
}

static inline unsigned int kt_state(int fd, uint32_t id)
{
	return kt_info(fd, id).state;
}

static inline unsigned int kt_presence(int fd, struct kvbm_hash h)
{
	uint8_t out = 0xa5;

	kvbm_presence(fd, 1, &h, &out, NULL);
	return out;
}

/* A session in the list of sessions; needs the owner or root. */
static inline struct kvbm_session_entry kt_session(int fd, uint64_t id)
{
	struct kvbm_session_entry *list, found;
	uint32_t total = 0;
	int i, n;

	kt_poison(found);
	kvbm_session_list(fd, 0, NULL, &total);
	total += 16;
	list = calloc(total, sizeof(*list));
	n = kvbm_session_list(fd, total, list, NULL);
	for (i = 0; i < n; i++)
		if (list[i].session_id == id)
			found = list[i];
	free(list);
	return found;
}

static inline uint64_t kt_session_id(int fd)
{
	struct kvbm_store_info info;

	kt_poison(info);
	kvbm_store_info(fd, &info);
	return info.session_id;
}

static inline uint64_t kt_store_id(int fd)
{
	struct kvbm_store_info info;

	kt_poison(info);
	kvbm_store_info(fd, &info);
	return info.store_id;
}

/* This session itself. */
static inline struct kvbm_session_entry kt_self(int fd)
{
	return kt_session(fd, kt_session_id(fd));
}

static inline uint64_t kt_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static inline void kt_sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* Until @cond, or a minute has passed; true when @cond came. */
#define kt_until(cond) ({						\
	uint64_t __end = kt_now() + 60000000000ULL;			\
	while (!(cond) && kt_now() < __end)				\
		kt_sleep_ms(1);						\
	(cond);								\
})

/*
 * The invariants, block by block: every block is in one state, the sums agree
 * with the counts and gauges, each hash has one Primary.  For stores that
 * nobody works on meanwhile, and that are not too large.
 */
#define kt_check(fd)	kt_check_store(_metadata, fd, __LINE__)

static inline int kt_by_hash(const void *a, const void *b)
{
	const struct kvbm_hash *x = a, *y = b;

	if (x->hi != y->hi)
		return x->hi < y->hi ? -1 : 1;
	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static inline void kt_check_store(struct __test_metadata *_metadata, int fd,
				  int line)
{
	struct kvbm_counts c = kt_counts(fd);
	struct kvbm_stats s = kt_stats(fd);
	struct kvbm_hash *primary = calloc(c.total, sizeof(*primary));
	uint32_t in[8] = {}, id, n = 0;
	uint64_t holds = 0;

	for (id = 0; id < c.total; id++) {
		struct kvbm_block_info i = kt_info(fd, id);

		EXPECT_LT(i.state, 8) {
			TH_LOG("block %u, called from line %d", id, line);
		}
		in[i.state & 7]++;
		if (i.state == KVBM_STATE_PRIMARY ||
		    i.state == KVBM_STATE_DUPLICATE ||
		    i.state == KVBM_STATE_FORGOTTEN) {
			EXPECT_GT(i.holds, 0);
			holds += i.holds;
		} else if (i.state == KVBM_STATE_INACTIVE ||
			   i.state == KVBM_STATE_LINGERING ||
			   i.state == KVBM_STATE_RESET) {
			EXPECT_EQ(0, i.holds);
			EXPECT_EQ(0, i.own_holds);
		}
		if (i.state == KVBM_STATE_PRIMARY ||
		    i.state == KVBM_STATE_INACTIVE)
			primary[n++] = i.hash;
	}
	EXPECT_EQ(c.total, in[0] + in[1] + in[2] + in[3] + in[4] + in[5] +
			   in[6] + in[7]);
	EXPECT_EQ(c.held, in[KVBM_STATE_MUTABLE] + in[KVBM_STATE_STAGED] +
			  in[KVBM_STATE_FORGOTTEN] +
			  in[KVBM_STATE_PRIMARY] + in[KVBM_STATE_DUPLICATE]) {
		TH_LOG("called from line %d", line);
	}
	EXPECT_EQ(c.lingering, in[KVBM_STATE_LINGERING]) {
		TH_LOG("called from line %d", line);
	}
	EXPECT_EQ(c.total, c.reset + c.inactive + c.held + c.lingering);
	EXPECT_EQ(c.reset, in[KVBM_STATE_RESET]) {
		TH_LOG("called from line %d", line);
	}
	EXPECT_EQ(c.inactive, in[KVBM_STATE_INACTIVE]) {
		TH_LOG("called from line %d", line);
	}
	EXPECT_EQ(c.available, c.reset + c.inactive);
	EXPECT_EQ(c.registered, n);
	EXPECT_EQ(0, c.reserved_blocks);
	EXPECT_EQ(0, c.waiters);
	EXPECT_EQ(s.inflight_mutable, in[KVBM_STATE_MUTABLE]);
	EXPECT_EQ(s.staged, in[KVBM_STATE_STAGED]);
	EXPECT_EQ(s.held, c.held);
	EXPECT_EQ(s.lingering, c.lingering);
	EXPECT_EQ(s.reset_pool_size, c.reset);
	EXPECT_EQ(s.inactive_pool_size, c.inactive);
	/* Each Duplicate keeps one hold on its Primary. */
	EXPECT_EQ(s.inflight_immutable + in[KVBM_STATE_DUPLICATE], holds) {
		TH_LOG("called from line %d", line);
	}
	qsort(primary, n, sizeof(*primary), kt_by_hash);
	for (id = 1; id < n; id++)
		EXPECT_NE(0, kt_by_hash(&primary[id - 1], &primary[id])) {
			TH_LOG("called from line %d", line);
		}
	free(primary);
}

/* Children.  They die with the test. */

static inline pid_t kt_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* It was killed before that. */
		if (getppid() != parent)
			_exit(0);
		signal(SIGALRM, SIG_DFL);
	}
	return pid;
}

/* The exit status of a child, or 256 + the signal that killed it. */
static inline int kt_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static inline int kt_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	return kt_reap(pid);
}

/* In a child: leave with the line's low bits unless @cond. */
#define KT_MUST(cond) do {						\
	if (!(cond)) {							\
		fprintf(stderr, "# %s:%d: child: not so: %s\n",		\
			__FILE__, __LINE__, #cond);			\
		_exit(99);						\
	}								\
} while (0)

/* Words between processes and threads, each way. */
struct kt_pipe {
	int fd[2];
};

static inline void kt_pipe_open(struct kt_pipe *p)
{
	if (pipe2(p->fd, O_CLOEXEC))
		p->fd[0] = p->fd[1] = -1;
}

static inline void kt_tell(struct kt_pipe *p, int32_t word)
{
	if (write(p->fd[1], &word, sizeof(word)) != sizeof(word))
		_exit(98);
}

static inline int32_t kt_hear(struct kt_pipe *p)
{
	int32_t word;
	ssize_t n;

	do {
		n = read(p->fd[0], &word, sizeof(word));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(word) ? word : -EPIPE;
}

/* A descriptor by a socket: 0, or the new number; or -errno. */

static inline int kt_send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static inline int kt_recv_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* Memory that children share with the test. */
static inline void *kt_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

#endif /* KVBM_TEST_H */
