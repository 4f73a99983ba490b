// SPDX-License-Identifier: MIT
/*
 * Torture: processes of many threads do random things, valid and not, to
 * shared stores, and are killed at random moments, while stores come and go
 * and sessions are revoked.  After each round all processes are dead and the
 * stores must be consistent.
 *
 *	torture [--seed S] [--seconds T] [--procs N] [--threads M]
 *		[--round-ms MS]
 *
 * The attempts of a thread are a function of (seed, round, incarnation of its
 * process, thread), which are all printed or follow from what is printed.  A
 * run with the same seed makes the same attempts, as far as the scheduler and
 * the moments of the kills allow.
 */
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <kvbm_uring.h>
#include "torture.h"

#define NAMED		2
#define STORES		4		/* the rest are anonymous */
#define MAX_PROCS	32		/* and a place for forked ones */
#define MAX_THREADS	16
#define SESSIONS	12		/* that a process knows at a time */
#define REMEMBERED	128		/* block ids that a process knows */
#define ENOUGH		3000		/* operations, to say anything */
#define BATCH		160		/* more than two chunks */
#define PROMPTS		24
#define POSITIONS	20
#define UNIVERSE	(PROMPTS * POSITIONS)

enum act {
	ACT_ALLOC, ACT_ALLOC_WAIT, ACT_STAGE, ACT_UNSTAGE, ACT_REGISTER,
	ACT_STAGE_REGISTER, ACT_MATCH, ACT_SCAN, ACT_RELEASE, ACT_RETAIN,
	ACT_SET_RESET, ACT_UPGRADE, ACT_PRESENCE, ACT_FREQUENCY, ACT_TOUCH,
	ACT_COUNTS, ACT_STATS, ACT_INFO, ACT_BLOCK_INFO, ACT_CONFIG, ACT_LIST,
	ACT_POLL, ACT_OPEN, ACT_CLOSE, ACT_SEND, ACT_RECEIVE, ACT_REVOKE,
	ACT_RESET_INACTIVE, ACT_DESTROY, ACT_CREATE, ACT_FORK, ACT_INVALID,
	N_ACTS
};

static const struct {
	const char *name;
	unsigned int weight;
} acts[N_ACTS] = {
	[ACT_ALLOC] = { "alloc", 30 },
	[ACT_ALLOC_WAIT] = { "alloc-wait", 15 },
	[ACT_STAGE] = { "stage", 20 },
	[ACT_UNSTAGE] = { "unstage", 4 },
	[ACT_REGISTER] = { "register", 20 },
	[ACT_STAGE_REGISTER] = { "stage-register", 40 },
	[ACT_MATCH] = { "match", 50 },
	[ACT_SCAN] = { "scan", 20 },
	[ACT_RELEASE] = { "release", 80 },
	[ACT_RETAIN] = { "retain", 10 },
	[ACT_SET_RESET] = { "set-reset", 5 },
	[ACT_UPGRADE] = { "upgrade", 10 },
	[ACT_PRESENCE] = { "presence", 10 },
	[ACT_FREQUENCY] = { "frequency", 4 },
	[ACT_TOUCH] = { "touch", 4 },
	[ACT_COUNTS] = { "counts", 10 },
	[ACT_STATS] = { "stats", 4 },
	[ACT_INFO] = { "info", 2 },
	[ACT_BLOCK_INFO] = { "block-info", 8 },
	[ACT_CONFIG] = { "config", 2 },
	[ACT_LIST] = { "list", 2 },
	[ACT_POLL] = { "poll", 3 },
	[ACT_OPEN] = { "open", 12 },
	[ACT_CLOSE] = { "close", 10 },
	[ACT_SEND] = { "send", 4 },
	[ACT_RECEIVE] = { "receive", 5 },
	[ACT_REVOKE] = { "revoke", 2 },
	[ACT_RESET_INACTIVE] = { "reset-inactive", 2 },
	[ACT_DESTROY] = { "destroy", 1 },
	[ACT_CREATE] = { "create", 3 },
	[ACT_FORK] = { "fork", 1 },
	[ACT_INVALID] = { "invalid", 20 },
};

/* Shared by all processes. */
struct shared {
	bool stop;
	uint64_t ours[STORES];		/* the parent's sessions: not revoked */
	uint64_t done[N_ACTS];		/* calls made */
	uint64_t well[N_ACTS];		/* that returned >= 0 */
	uint64_t by_ring;
	uint64_t odd_errnos;
	uint64_t odd_snapshots;
	uint64_t forks;
	uint32_t progress[MAX_PROCS + 1];	/* acts of each process now alive */
	struct kvbm_hash universe[UNIVERSE];
};

static struct shared *shared;
static uint64_t seed;
static unsigned int procs, threads;

/* The parent's. */
static int home[STORES];		/* its session of each store */
static int mail[2] = { -1, -1 };	/* sessions on the way */

/* A process's. */
static int sessions[SESSIONS];
static uint32_t remembered[REMEMBERED];

/* A thread's. */
struct thread {
	struct rng r;
	struct io_uring ring;
	bool has_ring;
	union {				/* of the operation by a ring */
		struct kvbm_alloc alloc;
		struct kvbm_stage stage;
		struct kvbm_ids ids;
		struct kvbm_register reg;
		struct kvbm_match match;
		struct kvbm_upgrade upgrade;
		struct kvbm_query query;
	} args;
	uint32_t ids[BATCH];
	struct kvbm_hash hashes[BATCH];
	struct kvbm_evicted evicted[BATCH];
	struct kvbm_registered results[BATCH];
	struct kvbm_weak weaks[BATCH];
	uint8_t bytes[BATCH];
};

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* The errnos that are documented for sessions or come from dead descriptors. */
static bool known_errno(int err)
{
	switch (err) {
	case EFAULT: case EINVAL: case EOPNOTSUPP: case E2BIG: case ENOTTY:
	case EINTR: case ENODEV: case ESHUTDOWN: case ENOSPC: case EDQUOT:
	case ENOMEM: case ETIMEDOUT: case EPERM: case EOVERFLOW: case EEXIST:
	case ENOENT: case EBUSY: case ENXIO: case ENFILE: case EMFILE:
	case EUSERS: case EBADF: case EAGAIN: case ECANCELED:
	case EDEADLK: case EMLINK: case ENOBUFS:
		return true;
	}
	return false;
}

static long did(enum act a, long ret)
{
	count(&shared->done[a]);
	if (ret >= 0) {
		count(&shared->well[a]);
	} else if (!known_errno(-ret)) {
		count(&shared->odd_errnos);
		printf("# %s: unexpected errno %ld\n", acts[a].name, -ret);
	}
	return ret;
}

static void remember(struct thread *t, const uint32_t *ids, long n)
{
	long i;

	for (i = 0; i < n; i++)
		if (ids[i] != KVBM_NO_BLOCK)
			remembered[rnd(&t->r, REMEMBERED)] = ids[i];
}

static void recall(struct thread *t, uint32_t n)
{
	uint32_t from = rnd(&t->r, REMEMBERED), i;

	for (i = 0; i < n; i++)
		t->ids[i] = chance(&t->r, 40) ? rnd64(&t->r) % 600 :
			    remembered[(from + i) % REMEMBERED];
}

/* A prefix mostly, a mixture otherwise, rarely nonsense. */
static void some_hashes(struct thread *t, uint32_t n)
{
	uint32_t k = rnd(&t->r, PROMPTS), i;
	bool mixed = chance(&t->r, 3);

	for (i = 0; i < n; i++) {
		t->hashes[i] = mixed || i >= POSITIONS ?
			shared->universe[rnd(&t->r, UNIVERSE)] :
			shared->universe[k * POSITIONS + i];
		if (chance(&t->r, 500))
			t->hashes[i].hi = rnd64(&t->r);
	}
}

static uint32_t some(struct thread *t)
{
	return chance(&t->r, 8) ? rnd(&t->r, BATCH + 1) : rnd(&t->r, 24);
}

/* An operation of the data path: by ioctl, or by the thread's ring. */
static long operate(struct thread *t, enum act a, int fd, unsigned int op,
		    void *args, uint32_t size)
{
	struct __kernel_timespec limit = { .tv_nsec = 100000000 };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	long ret;

	if (!t->has_ring || !chance(&t->r, 4))
		return did(a, kt_ioctl(fd, KVBM_IO(op), args));
	sqe = io_uring_get_sqe(&t->ring);
	if (!sqe)
		return -EBUSY;
	kvbm_prep_op(sqe, fd, op, args, size);
	if (chance(&t->r, 5))
		sqe->flags |= IOSQE_ASYNC;
	count(&shared->by_ring);
	ret = io_uring_submit(&t->ring);
	if (ret < 0)
		return ret;
	/* Its arguments may be overwritten while it is under way. */
	if (chance(&t->r, 10))
		return -EAGAIN;
	if (io_uring_wait_cqe_timeout(&t->ring, &cqe, &limit))
		return -EAGAIN;
	ret = cqe->res;
	io_uring_cqe_seen(&t->ring, cqe);
	return did(a, ret);
}

#define OPERATE(op, member) \
	operate(t, a, fd, KVBM_OP_##op, &t->args.member, sizeof(t->args.member))

static void data_act(struct thread *t, enum act a, int fd)
{
	uint32_t n = some(t);
	uint64_t deadline = 0;
	uint32_t flags;
	long ret, i;

	switch (a) {
	case ACT_ALLOC_WAIT:
		deadline = chance(&t->r, 4) ? KVBM_NO_DEADLINE :
			   kt_now() + rnd(&t->r, 20000000);
		/* fallthrough */
	case ACT_ALLOC:
		flags = deadline ? KVBM_ALLOC_WAIT :
			chance(&t->r, 3) ? KVBM_ALLOC_RESET_ONLY : 0;
		kvbm_args_alloc(&t->args.alloc, flags, n, t->ids,
				chance(&t->r, 2) ? t->evicted : NULL, deadline);
		ret = OPERATE(ALLOC, alloc);
		remember(t, t->ids, ret);
		/* Blocks at hand: what comes usually. */
		if (ret > 0 && !chance(&t->r, 3)) {
			a = ACT_STAGE_REGISTER;
			some_hashes(t, ret);
			kvbm_args_register(&t->args.reg, rnd(&t->r, 3), ret,
					   t->ids, t->hashes, t->results);
			ret = OPERATE(REGISTER, reg);
			for (i = 0; i < ret && i < BATCH; i++)
				t->ids[i] = t->results[i].block;
			remember(t, t->ids, ret);
		}
		if (ret > 0 && chance(&t->r, 2)) {
			a = ACT_RELEASE;
			kvbm_args_ids(&t->args.ids, 0, ret, t->ids);
			OPERATE(RELEASE, ids);
		}
		break;
	case ACT_STAGE:
		recall(t, n);
		some_hashes(t, n);
		kvbm_args_stage(&t->args.stage, n, t->ids, t->hashes, NULL);
		OPERATE(STAGE, stage);
		break;
	case ACT_UNSTAGE:
		recall(t, n);
		kvbm_args_ids(&t->args.ids, 0, n, t->ids);
		OPERATE(UNSTAGE, ids);
		break;
	case ACT_REGISTER:
	case ACT_STAGE_REGISTER:
		recall(t, n);
		some_hashes(t, n);
		kvbm_args_register(&t->args.reg, rnd(&t->r, 3), n, t->ids,
				   a == ACT_REGISTER ? NULL : t->hashes,
				   t->results);
		ret = OPERATE(REGISTER, reg);
		for (i = 0; i < ret && i < BATCH; i++)
			remember(t, &t->results[i].block, 1);
		break;
	case ACT_MATCH:
	case ACT_SCAN:
		some_hashes(t, n);
		flags = a == ACT_SCAN && chance(&t->r, 2) ? KVBM_SCAN_TOUCH : 0;
		kvbm_args_match(&t->args.match, flags, n, t->hashes, t->ids);
		ret = a == ACT_MATCH ? OPERATE(MATCH, match) :
				       OPERATE(SCAN, match);
		remember(t, t->ids, ret);
		if (a == ACT_MATCH && ret > 0 && !chance(&t->r, 3)) {
			a = ACT_RELEASE;
			kvbm_args_ids(&t->args.ids, 0, ret, t->ids);
			OPERATE(RELEASE, ids);
		}
		break;
	case ACT_RELEASE:
		recall(t, n);
		flags = chance(&t->r, 10) ? rnd(&t->r, 8) : 0;
		/* One by one, an unheld one ends only itself. */
		if (chance(&t->r, 6)) {
			for (i = 0; i < n; i++)
				did(a, kvbm_release(fd, 1, t->ids + i, flags,
						    NULL));
			break;
		}
		kvbm_args_ids(&t->args.ids, flags, n, t->ids);
		OPERATE(RELEASE, ids);
		break;
	case ACT_RETAIN:
		recall(t, n);
		kvbm_args_ids(&t->args.ids, 0, n, t->ids);
		OPERATE(RETAIN, ids);
		break;
	case ACT_SET_RESET:
		recall(t, n);
		kvbm_args_ids(&t->args.ids, rnd(&t->r, 2), n, t->ids);
		OPERATE(SET_RESET, ids);
		break;
	case ACT_UPGRADE:
		recall(t, n);
		some_hashes(t, n);
		for (i = 0; i < n; i++)
			t->weaks[i] = (struct kvbm_weak) {
				.block = t->ids[i], .hash = t->hashes[i],
				.generation = rnd(&t->r, 64) };
		kvbm_args_upgrade(&t->args.upgrade, n, t->weaks, t->ids);
		ret = OPERATE(UPGRADE, upgrade);
		remember(t, t->ids, ret);
		break;
	default:
		some_hashes(t, n);
		kvbm_args_query(&t->args.query, n, t->hashes,
				a == ACT_TOUCH ? NULL : t->bytes);
		if (a == ACT_PRESENCE)
			OPERATE(PRESENCE, query);
		else if (a == ACT_FREQUENCY)
			OPERATE(FREQUENCY, query);
		else
			OPERATE(TOUCH, query);
	}
}

/* A request of the right kind with something wrong in it. */
static void act_invalid(struct thread *t, int fd)
{
	unsigned char buf[256];
	uint32_t i, size = sizeof(struct kvbm_ids);

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = chance(&t->r, 3) ? rnd64(&t->r) : 0;
	if (chance(&t->r, 4))
		size = rnd(&t->r, sizeof(buf));
	memcpy(buf, &size, sizeof(size));
	/* Waiting for ever is left to allocations that mean it. */
	i = KVBM_OP_STAGE + rnd(&t->r, 14);
	if (i == KVBM_OP_SESSION_OPEN)
		return;
	did(ACT_INVALID, kt_ioctl(fd, KVBM_IO(i), chance(&t->r, 5) ?
				  (void *)(uintptr_t)rnd64(&t->r) : buf));
}

static void snapshot(int fd)
{
	struct kvbm_counts c;
	int ret;

	kt_poison(c);
	ret = did(ACT_COUNTS, kvbm_counts(fd, &c));
	if (ret < 0)
		return;
	if (c.available == c.reset + c.inactive && c.available <= c.total &&
	    c.reserved_blocks <= c.available && c.inactive <= c.registered &&
	    c.registered <= c.total)
		return;
	count(&shared->odd_snapshots);
	printf("# counts: total %u reset %u inactive %u available %u registered %u reserved %u\n",
	       c.total, c.reset, c.inactive, c.available, c.registered,
	       c.reserved_blocks);
}

static const char *store_name(unsigned int i)
{
	static const char *const names[NAMED] = { "torture-0", "torture-1" };

	return names[i];
}

static int make_store(struct rng *r, const char *name)
{
	struct kvbm_store_create c;

	kvbm_store_create_init(&c, name, 32 + rnd(r, 400));
	strcpy(c.policy, policies[rnd(r, N_POLICIES)]);
	c.flags = rnd(r, 4);
	/* multi_lru needs frequencies. */
	c.freq_capacity = chance(r, 2) && strcmp(c.policy, "multi_lru") ? 0 :
			  4096;
	c.max_held = chance(r, 3) ? 40 + rnd(r, 100) : 0;
	c.max_sessions = chance(r, 4) ? 4 + rnd(r, 30) : 0;
	return kt_store_make(&c);
}

static void adopt(struct thread *t, int fd)
{
	int old;

	if (fd < 0)
		return;
	old = __atomic_exchange_n(&sessions[rnd(&t->r, SESSIONS)], fd,
				  __ATOMIC_RELAXED);
	if (old >= 0)
		close(old);
}

static void act_open(struct thread *t, int fd)
{
	unsigned int s = rnd(&t->r, STORES);
	int new;

	if (chance(&t->r, 4))
		new = kvbm_session_open(fd);
	else if (s < NAMED)
		new = kvbm_open(store_name(s));
	else
		new = kvbm_session_open(home[s]);
	adopt(t, did(ACT_OPEN, new));
}

static void act_send(struct thread *t, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} c = {};
	char byte = 0;
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
			    .msg_control = c.buf,
			    .msg_controllen = sizeof(c.buf) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
	did(ACT_SEND, sendmsg(mail[0], &m, MSG_DONTWAIT) < 0 ? -EAGAIN : 0);
}

static void act_receive(struct thread *t)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} c;
	char byte;
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
			    .msg_control = c.buf,
			    .msg_controllen = sizeof(c.buf) };
	struct cmsghdr *h;
	int fd;

	if (recvmsg(mail[1], &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) {
		did(ACT_RECEIVE, -EAGAIN);
		return;
	}
	h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	did(ACT_RECEIVE, 0);
	adopt(t, fd);
}

static void act_revoke(struct thread *t, int fd)
{
	struct kvbm_session_entry list[32];
	uint64_t id;
	int i, n;

	n = kvbm_session_list(fd, 32, list, NULL);
	if (n <= 0)
		return;
	id = list[rnd(&t->r, n)].session_id;
	for (i = 0; i < STORES; i++)
		if (shared->ours[i] == id)
			return;
	did(ACT_REVOKE, kvbm_session_revoke(fd, id, NULL));
}

static void worker(unsigned int round, unsigned int incarnation,
		   unsigned int depth);

static void act_fork(struct thread *t)
{
	struct itimerval limit = { .it_value.tv_usec = 20000 };
	unsigned int who = rnd64(&t->r);
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return;
	did(ACT_FORK, 0);
	if (pid)
		return;
	/* The parent of all reaps it. */
	count(&shared->forks);
	setitimer(ITIMER_REAL, &limit, NULL);
	worker(~0U, who, 1);
	_exit(0);
}

static void act(struct thread *t, unsigned int depth)
{
	static unsigned int sum;
	unsigned int s = rnd(&t->r, NAMED), w, i;
	struct kvbm_session_entry list[8];
	struct kvbm_block_info block;
	struct kvbm_store_info info;
	struct kvbm_stats stats;
	struct pollfd p;
	enum act a;
	int fd;

	if (!sum) {
		for (w = 0, i = 0; i < N_ACTS; i++)
			w += acts[i].weight;
		sum = w;
	}
	w = rnd(&t->r, sum);
	for (a = 0; w >= acts[a].weight; a++)
		w -= acts[a].weight;
	fd = __atomic_load_n(&sessions[rnd(&t->r, SESSIONS)], __ATOMIC_RELAXED);
	if (fd < 0 && a != ACT_DESTROY && a != ACT_CREATE && a != ACT_FORK)
		a = ACT_OPEN;
	switch (a) {
	case ACT_COUNTS:
		snapshot(fd);
		break;
	case ACT_STATS:
		did(a, kvbm_stats(fd, &stats));
		break;
	case ACT_INFO:
		did(a, kvbm_store_info(fd, &info));
		break;
	case ACT_BLOCK_INFO:
		did(a, kvbm_block_info(fd, rnd(&t->r, 440), &block));
		break;
	case ACT_CONFIG:
		did(a, kvbm_session_config(fd, rnd(&t->r, 64)));
		break;
	case ACT_LIST:
		did(a, kvbm_session_list(fd, 8, list, NULL));
		break;
	case ACT_POLL:
		p = (struct pollfd) { .fd = fd, .events = POLLOUT };
		did(a, poll(&p, 1, rnd(&t->r, 3)));
		break;
	case ACT_OPEN:
		act_open(t, fd);
		break;
	case ACT_CLOSE:
		fd = __atomic_exchange_n(&sessions[rnd(&t->r, SESSIONS)], -1,
					 __ATOMIC_RELAXED);
		if (fd >= 0)
			did(a, close(fd) ? -EBADF : 0);
		break;
	case ACT_SEND:
		act_send(t, fd);
		break;
	case ACT_RECEIVE:
		act_receive(t);
		break;
	case ACT_REVOKE:
		act_revoke(t, fd);
		break;
	case ACT_RESET_INACTIVE:
		did(a, kvbm_reset_inactive(fd, NULL, NULL));
		break;
	case ACT_DESTROY:
		did(a, kt_destroy(store_name(s), chance(&t->r, 2) ?
				  KVBM_DESTROY_FORCE : 0));
		break;
	case ACT_CREATE:
		fd = make_store(&t->r, store_name(s));
		/* A named store gives no descriptor, but -1. */
		did(a, fd == -1 ? 0 : fd);
		break;
	case ACT_FORK:
		if (!depth)
			act_fork(t);
		break;
	case ACT_INVALID:
		act_invalid(t, fd);
		break;
	default:
		data_act(t, a, fd);
	}
}

static unsigned int worker_depth;
static uint32_t *progress;

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	t->has_ring = chance(&t->r, 6) &&
		      !io_uring_queue_init(16, &t->ring, 0);
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		act(t, worker_depth);
		__atomic_fetch_add(progress, 1, __ATOMIC_RELAXED);
	}
	/* Some leave their rings to the end of the process. */
	if (t->has_ring && chance(&t->r, 2))
		io_uring_queue_exit(&t->ring);
	return NULL;
}

/* A process, until it is stopped or killed. */
static void worker(unsigned int round, unsigned int incarnation,
		   unsigned int depth)
{
	static struct thread pool[MAX_THREADS];
	pthread_t id[MAX_THREADS];
	unsigned int i, n = depth ? 1 + incarnation % 2 : threads;

	worker_depth = depth;
	/* A fork's acts are not its parent's progress. */
	if (depth)
		progress = &shared->progress[MAX_PROCS];
	if (!depth)
		memset(sessions, 0xff, sizeof(sessions));
	for (i = 0; i < n; i++) {
		pool[i].r = rng_of(seed, round, incarnation, i);
		pool[i].has_ring = false;
		if (i && pthread_create(&id[i], NULL, thread_main, &pool[i]))
			_exit(1);
	}
	thread_main(&pool[0]);
	/* Those who wait for ever are not waited for. */
	_exit(0);
}

static pid_t start(unsigned int round, unsigned int incarnation,
		   unsigned int place)
{
	pid_t pid;

	progress = &shared->progress[place];
	*progress = 0;
	pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		worker(round, incarnation, 0);
	}
	return pid;
}

static bool store_there(unsigned int i)
{
	struct kvbm_counts c;

	return home[i] >= 0 && kvbm_counts(home[i], &c) >= 0;
}

/* Before a round: a session of the parent's in each store. */
static bool prepare(struct rng *r)
{
	unsigned int i;

	for (i = 0; i < STORES; i++) {
		bool anew = chance(r, 4);

		if (anew && i < NAMED)
			kt_destroy(store_name(i), KVBM_DESTROY_FORCE);
		if (!anew && store_there(i))
			continue;
		close(home[i]);
		home[i] = i < NAMED ? kvbm_open(store_name(i)) :
				      make_store(r, NULL);
		if (i < NAMED && home[i] < 0) {
			make_store(r, store_name(i));
			home[i] = kvbm_open(store_name(i));
		}
		if (home[i] < 0) {
			printf("# store %u: errno %d\n", i, -home[i]);
			return false;
		}
	}
	for (i = 0; i < STORES; i++)
		shared->ours[i] = kt_session_id(home[i]);
	return !socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, mail);
}

/* After a round, when all are dead. */
static void balance(struct wrongs *w)
{
	char where[64];
	unsigned int i;

	for (i = 0; i < STORES; i++) {
		snprintf(where, sizeof(where), "seed %llu, store %u",
			 (unsigned long long)seed, i);
		w->where = where;
		/* A store that was destroyed has a successor, or none. */
		if (!store_there(i)) {
			if (i >= NAMED) {
				wrong(w, WRONG_CALL,
				      "an anonymous store is gone");
				continue;
			}
			close(home[i]);
			home[i] = kvbm_open(store_name(i));
			if (home[i] < 0)
				continue;
		}
		/* Rings die a moment after their processes. */
		kt_until(kt_stats(home[i]).sessions == 1);
		look(w, home[i], shared->universe, UNIVERSE);
	}
	w->where = NULL;
}

static uint64_t operations(void)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < N_ACTS; i++)
		n += shared->done[i];
	return n;
}

static unsigned long reap_all(void)
{
	unsigned long n = 0;

	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		n++;
	return n;
}

int main(int argc, char **argv)
{
	uint64_t seconds = option(argc, argv, "seconds", 20);
	uint64_t round_ms = option(argc, argv, "round-ms", 2000);
	uint64_t end, round_end, kills = 0, in_wait = 0, total = 0;
	unsigned int i, round = 0, incarnation = 0, wrongs_before;
	struct sched_param first = { .sched_priority = 1 };
	pid_t pid[MAX_PROCS];
	struct wrongs w = {};
	struct rng r;

	seed = option(argc, argv, "seed", kt_now() ^ getpid());
	procs = option(argc, argv, "procs", 4);
	threads = option(argc, argv, "threads", 3);
	if (flag(argc, argv, "help") || !procs || procs > MAX_PROCS ||
	    !threads || threads > MAX_THREADS || !round_ms) {
		fprintf(stderr,
			"usage: torture [--seed S] [--seconds T] [--procs 1-%d] [--threads 1-%d] [--round-ms MS]\n",
			MAX_PROCS, MAX_THREADS);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 4096);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* Kills come on time, even when the others are busy. */
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
	ksft_print_header();
	ksft_set_plan(8);
	printf("# seed %llu, %u processes of %u threads, %llu s\n",
	       (unsigned long long)seed, procs, threads,
	       (unsigned long long)seconds);
	shared = kt_shared(sizeof(*shared));
	if (!shared)
		ksft_exit_fail_msg("no memory\n");
	for (i = 0; i < UNIVERSE; i++)
		shared->universe[i] = prompt(i / POSITIONS, i % POSITIONS);
	memset(home, 0xff, sizeof(home));
	r = rng_of(seed, ~0ULL, 0, 0);

	end = kt_now() + seconds * 1000000000ULL;
	/* On a slow machine longer, until it was worth it. */
	while (kt_now() < end || (operations() < ENOUGH &&
				  kt_now() < end + 4 * seconds * 1000000000)) {
		if (!prepare(&r)) {
			w.n[WRONG_CALL]++;
			break;
		}
		shared->stop = false;
		for (i = 0; i < procs; i++)
			pid[i] = start(round, incarnation++, i);
		round_end = kt_now() + round_ms * 1000000ULL;
		/* Everyone's life is short. */
		while (kt_now() < round_end) {
			struct timespec t = { 0, rnd(&r, 8000000) };

			nanosleep(&t, NULL);
			i = rnd(&r, procs);
			/* Slow kernels too let everybody do something. */
			if (shared->progress[i] < rnd(&r, 400) &&
			    !chance(&r, 100))
				continue;
			/* Not reaped yet, so that its number stays taken. */
			kills += !kill(pid[i], SIGKILL);
			pid[i] = start(round, incarnation++, i);
		}
		/* Half of them may leave by themselves. */
		for (i = 0; i < procs / 2; i++)
			kills += !kill(pid[i], SIGKILL);
		shared->stop = true;
		kt_sleep_ms(30);
		for (; i < procs; i++)
			in_wait += !kill(pid[i], SIGKILL);
		reap_all();
		close(mail[0]);
		close(mail[1]);
		for (wrongs_before = 0, i = 0; i < N_WRONG; i++)
			wrongs_before += w.n[i];
		balance(&w);
		for (i = 0; i < N_WRONG; i++)
			wrongs_before -= w.n[i];
		if (wrongs_before)
			printf("# that was round %u, up to incarnation %u\n",
			       round, incarnation);
		round++;
	}
	for (i = 0; i < STORES; i++)
		close(home[i]);
	for (i = 0; i < NAMED; i++)
		kt_destroy(store_name(i), KVBM_DESTROY_FORCE);

	for (i = 0; i < N_ACTS; i++) {
		total += shared->done[i];
		printf("# %-15s %9llu done, %9llu well\n", acts[i].name,
		       (unsigned long long)shared->done[i],
		       (unsigned long long)shared->well[i]);
	}
	printf("# torture: %u rounds, %llu operations, %llu by io_uring, %u processes, %llu forked by them, %llu kills\n",
	       round, (unsigned long long)total,
	       (unsigned long long)shared->by_ring, incarnation,
	       (unsigned long long)shared->forks,
	       (unsigned long long)(kills + in_wait));

	ksft_test_result(!w.n[WRONG_SUMS], "reset + inactive + held = total\n");
	ksft_test_result(!w.n[WRONG_HASHES], "one Primary a hash at most\n");
	ksft_test_result(!w.n[WRONG_HOLDS], "no hold survived its session\n");
	ksft_test_result(!w.n[WRONG_WAITERS], "nobody waits, none reserved\n");
	ksft_test_result(!w.n[WRONG_CALL], "stores were there\n");
	ksft_test_result(!shared->odd_errnos, "documented errnos only\n");
	ksft_test_result(!shared->odd_snapshots, "counts agree at all times\n");
	/* A torture that hurts nobody proves nothing. */
	for (i = 0; i < N_ACTS; i++)
		if (!shared->well[i] && i != ACT_INVALID)
			printf("# never well: %s\n", acts[i].name);
	for (i = 0; i < N_ACTS; i++)
		if (!shared->done[i] && acts[i].weight >= 10)
			break;
	ksft_test_result(round && kills && i == N_ACTS &&
			 shared->well[ACT_STAGE_REGISTER] &&
			 shared->well[ACT_MATCH] && shared->well[ACT_RELEASE] &&
			 shared->well[ACT_ALLOC], "everything was tried\n");
	ksft_finished();
}
