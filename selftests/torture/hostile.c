// SPDX-License-Identifier: MIT
/*
 * Hostile clients constantly do what costs the others most, while one client
 * works as engines do and times each of its rounds.
 *
 * Its rounds are compared with rounds on a quiet machine.  A busy machine is
 * slow even without the module.  So a second program runs beside the client,
 * with system calls unrelated to the module.  The client may be slowed down as
 * much as that program, and by PATIENCE times its quiet time on top; more is
 * the module's fault.  Nothing may stop it for longer than STALL.
 *
 * A kind of hostile client that could do nothing has tested nothing, and
 * fails.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include "torture.h"

#define BLOCKS		4096U
#define TENANT		1000
#define PATIENCE	50
#define USUAL		20000000ULL	/* a turn of each that runs */
#define STALL		1000000000ULL
#define SECONDS		1
#define ENOUGH		10		/* rounds, to say anything */
#define ROUND		16		/* blocks of a prompt */
#define NAME		"hostile"
#define NODE		"/dev/kvbm/" NAME
#define SESSIONS	300		/* of the store, at most */

/* Latencies by a sixteenth of a power of two. */
struct times {
	uint64_t n, max, sum;
	uint32_t hist[64 * 16];
};

struct shared {
	volatile int run, stop;
	struct times client[2];		/* quiet, disturbed */
	struct times visitor[2];
	struct times other[2];
	volatile uint64_t acts;
	volatile uint64_t served, refused;
	volatile int wrong;
};

static struct shared *shm;

static void acted(void)
{
	__atomic_fetch_add(&shm->acts, 1, __ATOMIC_RELAXED);
}

static unsigned int bucket(uint64_t ns)
{
	unsigned int log = 63 - __builtin_clzll(ns | 16);

	return log * 16 + (ns >> (log - 4) & 15);
}

static void note(struct times *t, uint64_t ns)
{
	t->n++;
	t->sum += ns;
	if (ns > t->max)
		t->max = ns;
	t->hist[bucket(ns)]++;
}

/* The upper edge of the bucket below which so many of a thousand are. */
static uint64_t quantile(const struct times *t, unsigned int permille)
{
	uint64_t seen = 0;
	unsigned int i;

	for (i = 0; i < 64 * 16; i++) {
		seen += t->hist[i];
		if (seen * 1000 >= t->n * permille)
			return (17ULL + i % 16) << (i / 16) >> 4;
	}
	return t->max;
}

static long batch(int fd, unsigned long request, uint32_t n, const void *ids,
		  const void *hashes)
{
	struct kvbm_match m = {
		.size = sizeof(m), .count = n, .ids = (uintptr_t)ids,
		.hashes = (uintptr_t)hashes,
	};

	return kt_ioctl(fd, request, &m);
}

static long alloc(int fd, uint32_t n, uint32_t *ids, uint64_t wait_ns)
{
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = n, .ids = (uintptr_t)ids,
	};

	if (wait_ns) {
		a.flags = KVBM_ALLOC_WAIT;
		a.deadline_ns = kt_now() + wait_ns;
	}
	return kt_ioctl(fd, KVBM_IOC_ALLOC, &a);
}

static long put(int fd, uint32_t n, const uint32_t *ids)
{
	struct kvbm_ids r = {
		.size = sizeof(r), .count = n, .ids = (uintptr_t)ids,
	};

	return kt_ioctl(fd, KVBM_IOC_RELEASE, &r);
}

static long enter(int fd, uint32_t n, uint32_t *ids, struct kvbm_hash *h)
{
	struct kvbm_registered res[ROUND] = {};
	struct kvbm_register r = {
		.size = sizeof(r), .ids = (uintptr_t)ids,
		.hashes = (uintptr_t)h, .results = (uintptr_t)res,
	};
	uint32_t i, done = 0;
	long ret = 0;

	while (done < n) {
		r.count = n - done < ROUND ? n - done : ROUND;
		r.ids = (uintptr_t)(ids + done);
		r.hashes = (uintptr_t)(h + done);
		ret = kt_ioctl(fd, KVBM_IOC_REGISTER, &r);
		if (ret <= 0)
			break;
		for (i = 0; i < (uint32_t)ret; i++)
			ids[done++] = res[i].block;
	}
	return done ? done : ret;
}

/* --- who is timed ------------------------------------------------------- */

static void client(void)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);
	struct rng rng = { 7 };

	KT_MUST(fd >= 0);
	while (!shm->stop) {
		struct times *t = &shm->client[shm->run];
		struct kvbm_hash h[ROUND];
		uint32_t ids[ROUND], i, k = rnd(&rng, 64);
		uint64_t start = kt_now();
		long hit, ret = 0;

		for (i = 0; i < ROUND; i++)
			h[i] = prompt(k, i);
		hit = batch(fd, KVBM_IOC_MATCH, ROUND, ids, h);
		if (hit >= 0 && hit < ROUND) {
			ret = alloc(fd, ROUND - hit, ids + hit, 0);
			if (ret > 0)
				ret = enter(fd, ret, ids + hit, h + hit);
		}
		if (hit > 0 || ret > 0)
			put(fd, (hit > 0 ? hit : 0) + (ret > 0 ? ret : 0), ids);
		note(t, kt_now() - start);
		if (hit < 0 || (ret < 0 && ret != -ENOSPC)) {
			printf("# the client: match %ld, then %ld\n", hit, ret);
			shm->wrong++;
			break;
		}
		if (ret < 0)
			shm->refused++;
		else
			shm->served++;
	}
	_exit(0);
}

/*
 * The owner, and administrator: comes and goes, looks at the list of stores, and
 * administers the store through the control device, whoever has taken all of it.
 */
static void visitor(void)
{
	int control = kvbm_control_open();
	struct kvbm_session_entry sessions[4];
	struct kvbm_store_entry stores[4];
	struct kvbm_store_info info;
	const struct kvbm_store_ref ref = { .name = NAME };
	struct kvbm_counts counts;
	uint64_t cursor;
	uint32_t total;

	KT_MUST(control >= 0);
	while (!shm->stop) {
		struct times *t = &shm->visitor[shm->run];
		uint64_t start = kt_now();
		int fd, ret;

		fd = open(NODE, O_RDWR | O_CLOEXEC);
		ret = fd < 0 ? -errno : kvbm_store_info(fd, &info);
		close(fd);
		if (!ret)
			ret = kvbm_store_list(control, 4, stores, &total);
		if (ret >= 0)
			ret = kvbm_counts_of(control, &ref, &counts);
		cursor = 0;
		if (ret >= 0)
			ret = kvbm_session_list_of(control, &ref, &cursor, 4,
						   sessions, &total);
		note(t, kt_now() - start);
		if (ret < 0) {
			printf("# the visitor: errno %d\n", -ret);
			shm->wrong++;
			break;
		}
	}
	_exit(0);
}

/* As many system calls, and about as much work. */
static void other(void)
{
	volatile uint64_t x = 1;
	unsigned int i;

	while (!shm->stop) {
		struct times *t = &shm->other[shm->run];
		uint64_t start = kt_now();

		for (i = 0; i < 4; i++)
			syscall(SYS_getppid);
		for (i = 0; i < 4000; i++)
			x = x * 6364136223846793005ULL + 1;
		note(t, kt_now() - start);
	}
	_exit(0);
}

/* --- who disturbs: each until it is killed ------------------------------- */

static int mine(void)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);

	KT_MUST(fd >= 0);
	return fd;
}

/* Keys of families that share what a table may look at. */
static void colliding_keys(void)
{
	static struct kvbm_hash h[1024];
	static uint32_t ids[1024];
	uint64_t round;
	int fd = mine();
	long n;
	int i;

	for (round = 0; ; round++) {
		for (i = 0; i < 1024; i++) {
			uint64_t k = round * 1024 + i;

			switch (round % 4) {
			case 0: h[i] = kt_hash(k << 32, 0, 0); break;
			case 1: h[i] = kt_hash(k + 1, 0x123456789, 1); break;
			case 2: h[i] = kt_hash(k, k << 54, 9); break;
			default: h[i] = kt_hash(k, 0, 0); break;
			}
		}
		n = alloc(fd, 1024, ids, 0);
		if (n != 1024)
			continue;
		enter(fd, n, ids, h);
		put(fd, n, ids);
		acted();
	}
}

/* Each watch is one more for those that free blocks to wake. */
static void pollers(void)
{
	struct rlimit files = { 4096, 4096 };
	struct epoll_event e = { .events = EPOLLOUT | EPOLLET };
	static uint32_t ids[BLOCKS];
	int fd = mine(), i, n = 0;
	long got;

	setrlimit(RLIMIT_NOFILE, &files);
	for (i = 0; i < 3000; i++) {
		int ep = epoll_create1(EPOLL_CLOEXEC);

		if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
			break;
		n++;
	}
	KT_MUST(n > 500);
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		/* Too much is refused, and so armed; then blocks are free. */
		for (got = BLOCKS / 2; got && alloc(fd, got, ids, 0) < 0;)
			got /= 2;
		alloc(fd, BLOCKS, ids, 0);
		poll(&p, 1, 0);
		for (i = 0; i < got; i++) {
			put(fd, 1, ids + i);
			if (i % 64 == 0)
				acted();
		}
	}
}

/* Chains that are held while their leaves go, as long as they can be. */
static void held_chains(void)
{
	static struct kvbm_hash h[BLOCKS / 2];
	static uint32_t ids[BLOCKS / 2];
	uint32_t n = BLOCKS / 2, i;
	uint64_t round;
	int fd = mine();

	for (round = 0; ; round++) {
		for (i = 0; i < n; i++)
			h[i] = kt_hash(round * n + i,
				       i ? round * n + i - 1 : 0, i);
		if (alloc(fd, n, ids, 0) != n)
			continue;
		if (enter(fd, n, ids, h) != n)
			continue;
		/* All idle; then all but the leaf are held again. */
		put(fd, n, ids);
		batch(fd, KVBM_IOC_MATCH, n - 1, ids, h);
		/* The leaf goes with what is evicted. */
		for (i = 0; i < 64; i++)
			if (alloc(fd, 16, ids + n - 16, 0) == 16)
				put(fd, 16, ids + n - 16);
		put(fd, n - 16, ids);
		acted();
	}
}

static void open_and_close(void)
{
	int list[64], n;

	for (;;) {
		for (n = 0; n < 64; n++) {
			list[n] = open(NODE, O_RDWR | O_CLOEXEC);
			if (list[n] < 0)
				break;
			acted();
		}
		while (n--)
			close(list[n]);
	}
}

/* Stores as large as permitted, and names that others may want. */
static void stores_without_end(void)
{
	struct kvbm_store_create c;
	int fds[16], n = 0, i;
	/* Large enough to be felt, small enough to make them until refused. */
	const uint32_t most = 1 << 15;
	uint32_t total = most;

	for (;;) {
		kvbm_store_create_init(&c, NULL, total);
		fds[n] = kt_store_make(&c);
		if (fds[n] >= 0 && ++n < 16) {
			acted();
			continue;
		}
		if (total > 1 << 12) {
			total /= 4;
			continue;
		}
		kvbm_store_create_init(&c, "pool", 64);
		i = kt_store_make(&c);
		if (i == -EPERM) {
			acted();
		} else {
			printf("# a tenant takes the name of a store: %d\n", i);
			shm->wrong++;
		}
		while (n)
			close(fds[--n]);
		total = most;
	}
}

static void nothing(int sig)
{
}

static void *wait_for_all(void *arg)
{
	static __thread uint32_t ids[BLOCKS];
	int fd = (intptr_t)arg;

	for (;;) {
		/* More than there is for it: it has one block itself. */
		alloc(fd, BLOCKS, ids, 20000000);
		acted();
	}
	return NULL;
}

/* Waits that only the session itself could serve, and signals all the time. */
static void waits_nobody_serves(void)
{
	struct sigaction sa = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	int fd = mine(), i;
	pthread_t t[4];
	uint32_t id;

	sigaction(SIGUSR1, &sa, NULL);
	while (alloc(fd, 1, &id, 0) != 1)
		;
	for (i = 0; i < 4; i++)
		KT_MUST(!pthread_create(&t[i], NULL, wait_for_all,
					(void *)(intptr_t)fd));
	for (i = 0; ; i++) {
		pthread_kill(t[i % 4], SIGUSR1);
		usleep(200);
	}
}

/* Waits that can be served: others must get their turn in between. */
static void waits_and_deaths(void)
{
	static uint32_t ids[BLOCKS];
	pid_t pid;

	for (;;) {
		pid = kt_fork();
		if (!pid) {
			int fd = mine();

			alloc(fd, BLOCKS / 2, ids, 5000000);
			alloc(fd, BLOCKS / 2 + 1, ids, 5000000);
			_exit(0);
		}
		usleep(3000);
		kt_kill(pid);
		acted();
	}
}

/* Requests that walk all sessions, or all blocks. */
static void questions(void)
{
	static struct kvbm_hash h[65536];
	static uint32_t ids[65536];
	int fds[16], i;

	for (i = 0; i < 16; i++)
		fds[i] = open(NODE, O_RDWR | O_CLOEXEC);
	for (i = 0; i < 65536; i++)
		h[i] = kt_hash(i, 0, 0);
	for (i = 0; ; i++) {
		kt_stats(fds[i % 16]);
		kt_info(fds[i % 16], i % BLOCKS);
		kt_self(fds[i % 16]);
		if (i % 32 == 0) {
			batch(fds[i % 16], KVBM_IOC_SCAN, 65536, ids, h);
			acted();
		}
	}
}

/* Allocates to where nobody ever answers a page fault. */
static void stuck(int sock)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC), fd;
	void *p;

	KT_MUST(uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api));
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)p;
	reg.range.len = 4096;
	KT_MUST(!ioctl(uffd, UFFDIO_REGISTER, &reg));
	fd = mine();
	/* Somebody else has it too: it does not end with this process. */
	KT_MUST(!kt_send_fd(sock, uffd));
	KT_MUST(!kt_send_fd(sock, fd));
	while (alloc(fd, 256, p, 0) == -ENOSPC)
		;
	_exit(0);
}

static bool has_userfaultfd(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	close(fd);
	return fd >= 0;
}

static void soon(uint64_t start, const char *what)
{
	uint64_t ns = kt_now() - start;

	if (ns < 5 * STALL)
		return;
	printf("# %s took %llu ms\n", what, (unsigned long long)ns / 1000000);
	shm->wrong++;
}

/* Neither a revocation nor a signal that kills waits for that page. */
static void stuck_in_user_memory(void)
{
	int round, sv[2], uffd, fd, own = mine();
	uint64_t start;
	pid_t pid;

	for (round = 0; ; round++) {
		KT_MUST(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv));
		pid = kt_fork();
		if (!pid)
			stuck(sv[1]);
		uffd = kt_recv_fd(sv[0]);
		fd = kt_recv_fd(sv[0]);
		KT_MUST(uffd >= 0 && fd >= 0);
		usleep(20000);
		start = kt_now();
		if (round % 2) {
			kvbm_session_revoke(own, kt_session_id(fd), NULL);
			soon(start, "revoking one that is stuck");
		}
		start = kt_now();
		kt_kill(pid);
		soon(start, "killing one that is stuck");
		start = kt_now();
		close(fd);
		soon(start, "closing what was stuck");
		close(uffd);
		close(sv[0]);
		close(sv[1]);
		acted();
	}
}

/* Nodes of numbers that somebody may have had. */
static void old_nodes(void)
{
	struct stat st;
	unsigned int i;
	char path[64];
	int fd;

	KT_MUST(!stat(NODE, &st));
	snprintf(path, sizeof(path), "/tmp/old.%d", getpid());
	for (i = 0; ; i++) {
		dev_t dev = makedev(major(st.st_rdev), i % 4096);

		unlink(path);
		if (mknod(path, S_IFCHR | 0666, dev))
			break;
		acted();
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		/* Nobody but the store itself, and the control device. */
		if (dev != st.st_rdev && minor(dev)) {
			printf("# number %u leads to a store, that of " NAME " is %u\n", minor(dev), minor(st.st_rdev));
			shm->wrong++;
		}
		close(fd);
	}
	pause();
}

/* All places for sessions, again and again. */
static void all_sessions(void)
{
	static int list[SESSIONS];
	int n = 0, i;

	for (;;) {
		while (n < SESSIONS) {
			list[n] = open(NODE, O_RDWR | O_CLOEXEC);
			if (list[n] < 0)
				break;
			n++;
		}
		if (errno == EUSERS)
			acted();
		/* Revoked or not, some give way to others. */
		for (i = 0; i < 3 && n; i++)
			close(list[--n]);
		usleep(100);
	}
}

/* All requests that walk a store's sessions, on one with very many. */
static void many_sessions_elsewhere(void)
{
	struct rlimit files = { 4096, 4096 };
	struct kvbm_session_entry e[64];
	static int list[1000];
	struct kvbm_stats s;
	int fd, n, k;

	setrlimit(RLIMIT_NOFILE, &files);
	fd = kt_store(64);
	KT_MUST(fd >= 0);
	for (n = 0; n < 1000; n++) {
		list[n] = kvbm_session_open(fd);
		if (list[n] < 0)
			break;
	}
	KT_MUST(n > 500);
	for (k = 0; ; k = (k + 1) % n) {
		struct kvbm_session_revoke r = {
			.size = sizeof(r), .flags = KVBM_REVOKE_UID,
			.uid = TENANT + 1,
		};

		kvbm_stats(fd, &s);
		kt_info(fd, k % 64);
		kvbm_session_list(fd, 64, e, NULL);
		/* Nobody's, found by a look at all of them. */
		kt_ioctl(fd, KVBM_IOC_SESSION_REVOKE, &r);
		close(list[k]);
		list[k] = kvbm_session_open(fd);
		acted();
	}
}

/* Descriptors that only the kernel's collector of sockets can close. */
static void cycles_of_sockets(void)
{
	static uint32_t ids[64];

	for (;;) {
		struct cmsghdr *c;
		char buf[CMSG_SPACE(3 * sizeof(int))] = {}, x = 0;
		struct iovec iov = { &x, 1 };
		struct msghdr m = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
			.msg_controllen = sizeof(buf),
		};
		int sv[2], fd = open(NODE, O_RDWR | O_CLOEXEC);

		if (fd < 0)
			continue;
		alloc(fd, 64, ids, 0);
		KT_MUST(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(3 * sizeof(int));
		memcpy(CMSG_DATA(c), (int [3]) { sv[0], sv[1], fd },
		       3 * sizeof(int));
		sendmsg(sv[0], &m, 0);
		close(sv[0]);
		close(sv[1]);
		close(fd);
		acted();
	}
}

static const struct kind {
	const char *name;
	void (*act)(void);
	bool root;
	unsigned int least;	/* acts, 0: 1; fewer: somebody stood still */
} kinds[] = {
	{ "keys of large families", colliding_keys },
	{ "many that poll", pollers },
	{ "held chains whose leaves go", held_chains },
	{ "sessions that come and go", open_and_close },
	{ "stores up to every limit", stores_without_end, false, 18 },
	{ "waits that nobody can serve", waits_nobody_serves },
	{ "waits of those who are killed", waits_and_deaths },
	{ "questions without end", questions },
	{ "calls that are stuck in user memory", stuck_in_user_memory, true, 8 },
	{ "nodes of old numbers", old_nodes, true },
	{ "descriptors in cycles of sockets", cycles_of_sockets },
	{ "all places for sessions", all_sessions, false, 8 },
	{ "a store with very many sessions", many_sessions_elsewhere, false, 4 },
};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))
#define EACH	2

static pid_t start(void (*fn)(void), bool root)
{
	pid_t pid = kt_fork();

	if (pid)
		return pid;
	/* A tenant of the group that may create stores. */
	if (!root) {
		KT_MUST(!setgid(TENANT));
		KT_MUST(!setuid(TENANT));
	}
	fn();
	_exit(0);
}

/* Delays that the machine itself caused come on top. */
static bool bearable(const struct times *quiet, const struct times *now)
{
	uint64_t limit = quantile(quiet, 990) * PATIENCE;

	if (limit < USUAL)
		limit = USUAL;
	return now->n > ENOUGH &&
	       quantile(now, 990) <= limit + shm->other[1].max &&
	       now->max <= STALL + 4 * shm->other[1].max;
}

static void judge(const struct kind *k)
{
	const struct times *quiet = shm->client, *now = shm->client + 1;
	const struct times *qv = shm->visitor, *nv = shm->visitor + 1;
	const struct times *qo = shm->other, *no = shm->other + 1;

	printf("# %s: %llu acts; client %llu rounds, 99 %% below %llu us (quiet %llu), longest %llu us; another program 99 %% below %llu us (quiet %llu), longest %llu us\n",
	       k->name, (unsigned long long)shm->acts,
	       (unsigned long long)now->n,
	       (unsigned long long)quantile(now, 990) / 1000,
	       (unsigned long long)quantile(quiet, 990) / 1000,
	       (unsigned long long)now->max / 1000,
	       (unsigned long long)quantile(no, 990) / 1000,
	       (unsigned long long)quantile(qo, 990) / 1000,
	       (unsigned long long)no->max / 1000);
	printf("# who comes and goes: %llu times, 99 %% below %llu us (quiet %llu), longest %llu us\n",
	       (unsigned long long)nv->n,
	       (unsigned long long)quantile(nv, 990) / 1000,
	       (unsigned long long)quantile(qv, 990) / 1000,
	       (unsigned long long)nv->max / 1000);
	ksft_test_result(shm->acts >= k->least + !k->least && !shm->wrong &&
			 bearable(quiet, now) && bearable(qv, nv),
			 "%s\n", k->name);
}

/* The largest kinds of clients may need longer on a slow machine. */
static void disturb(const struct kind *k)
{
	pid_t pid[EACH];
	int i;

	memset(&shm->client[1], 0, sizeof(shm->client[1]));
	memset(&shm->visitor[1], 0, sizeof(shm->visitor[1]));
	memset(&shm->other[1], 0, sizeof(shm->other[1]));
	shm->acts = 0;
	shm->wrong = 0;
	for (i = 0; i < EACH; i++)
		pid[i] = start(k->act, k->root);
	shm->run = 1;
	kt_sleep_ms(SECONDS * 1000);
	for (i = 0; i < 200 && (shm->acts < k->least + !k->least ||
				shm->client[1].n <= ENOUGH ||
				shm->visitor[1].n <= ENOUGH); i++)
		kt_sleep_ms(100);
	/* Their deaths are a part of it. */
	for (i = 0; i < EACH; i++)
		kt_kill(pid[i]);
	judge(k);
	shm->run = 0;
	/* Their blocks come back; some only once a collector ran. */
	kt_sleep_ms(50);
}

/* The kernel looks for cycles when a socket is closed. */
static bool all_back(int fd)
{
	int sv[2];

	if (!socketpair(AF_UNIX, SOCK_DGRAM, 0, sv)) {
		close(sv[0]);
		close(sv[1]);
	}
	return kt_counts(fd).available == BLOCKS;
}

static void who_is_there(int fd)
{
	struct kvbm_counts c = kt_counts(fd);
	struct kvbm_session_entry e[SESSIONS + 2];
	int i, n = kvbm_session_list(fd, SESSIONS + 2, e, NULL);

	printf("# available %u of %u, waiters %u, reserved %u, %d sessions\n",
	       c.available, c.total, c.waiters, c.reserved_blocks, n);
	for (i = 0; i < n; i++)
		printf("# session %llu of %u: held %u, allocating %u, waiting %u, flags %x\n",
		       (unsigned long long)e[i].session_id, e[i].pid, e[i].held,
		       e[i].allocating, e[i].waiting, e[i].flags);
}

int main(int argc, char **argv)
{
	struct kvbm_store_create c;
	pid_t pid[3];
	unsigned int i;
	bool back;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 4096);
	signal(SIGPIPE, SIG_IGN);
	ksft_print_header();
	ksft_set_plan(KINDS + 1);
	shm = kt_shared(sizeof(*shm));
	if (chown("/dev/kvbm/control", -1, TENANT) ||
	    chmod("/dev/kvbm/control", 0660))
		ksft_exit_fail_msg("no control: %s\n", strerror(errno));
	kvbm_store_create_init(&c, NAME, BLOCKS);
	c.gid = TENANT;
	c.mode = 0660;
	c.max_sessions = SESSIONS;
	fd = kt_store_make(&c);
	if (fd < -1)
		ksft_exit_fail_msg("no store: %s\n", strerror(-fd));
	fd = open(NODE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		ksft_exit_fail_msg("no node: %s\n", strerror(errno));

	pid[0] = start(client, true);
	pid[1] = start(other, true);
	pid[2] = start(visitor, true);
	kt_sleep_ms(SECONDS * 1000);
	for (i = 0; i < KINDS; i++) {
		if (kinds[i].act == stuck_in_user_memory && !has_userfaultfd())
			ksft_test_result_skip("this kernel has no userfaultfd\n");
		else
			disturb(&kinds[i]);
	}
	shm->stop = 1;
	i = kt_reap(pid[0]) | kt_reap(pid[1]) | kt_reap(pid[2]);
	printf("# %llu rounds served, %llu without room\n",
	       (unsigned long long)shm->served,
	       (unsigned long long)shm->refused);
	/* Everybody is dead: every block comes back, once. */
	back = kt_until(all_back(fd)) && !kt_counts(fd).waiters &&
	       !kt_counts(fd).reserved_blocks;
	if (!back)
		who_is_there(fd);
	ksft_test_result(!i && back, "everything came back\n");
	close(fd);
	kt_destroy(NAME, KVBM_DESTROY_FORCE);
	ksft_finished();
}
