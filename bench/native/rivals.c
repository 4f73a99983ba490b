// SPDX-License-Identifier: MIT
/*
 * Sharing one store between processes, with the same core in all cases:
 *
 *	kvbm	every call is a system call. The core runs in the process, on
 *		memory shared with the others as the kernel's is, and each call
 *		also makes a real ioctl (see calls.c). Not timed in the virtual
 *		machine, where bench/vm times the module itself.
 *	mutex	the core in the process, on shared memory, under one robust
 *		process-shared mutex: the lightest lock that survives the death
 *		of its owner. What the dead process held is lost.
 *	daemon	a separate process has the store, with a thread for each client.
 *		Clients send it their batches through a Unix socket.
 *
 * Clients match a batch and release it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define CLIENTS	2

enum message { MATCH, RELEASE };

struct request {
	u32 op;
	u32 n;
	union {
		struct kvbm_hash keys[PROMPT];
		u32 ids[PROMPT];
	};
};

struct reply {
	u32 n;
	u32 ids[PROMPT];
};

struct client {
	struct kvbm_session *ses;
	int fd;			/* of the socket, or of a pipe */
	int server_fd;
	u32 n;
	struct kvbm_hash keys[PROMPT];
	u32 ids[PROMPT];
};

static struct client clients[CLIENTS];
static pthread_mutex_t *mutex;

/* --- kvbm ---------------------------------------------------------------- */

static void system_call(int fd)
{
	int n;

	CHECK(!ioctl(fd, FIONREAD, &n));
}

static void work_kvbm(void *arg, u32 nr, u32 ops)
{
	struct client *c = &clients[nr];

	while (ops--) {
		system_call(c->fd);
		CHECK(call_match(c->ses, c->keys, c->n, c->ids) == c->n);
		reverse(c->ids, c->n);
		system_call(c->fd);
		call_release(c->ses, c->ids, c->n);
	}
}

/* --- mutex --------------------------------------------------------------- */

static void mutex_take(void)
{
	int err = pthread_mutex_lock(mutex);

	if (err == EOWNERDEAD)
		err = pthread_mutex_consistent(mutex);
	CHECK(!err);
}

static void work_mutex(void *arg, u32 nr, u32 ops)
{
	struct client *c = &clients[nr];

	while (ops--) {
		mutex_take();
		CHECK(call_match(c->ses, c->keys, c->n, c->ids) == c->n);
		pthread_mutex_unlock(mutex);
		reverse(c->ids, c->n);
		mutex_take();
		call_release(c->ses, c->ids, c->n);
		pthread_mutex_unlock(mutex);
	}
}

static void mutex_make(void)
{
	pthread_mutexattr_t attr;

	mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(mutex != MAP_FAILED);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	CHECK(!pthread_mutex_init(mutex, &attr));
}

/* --- daemon -------------------------------------------------------------- */

static void *serve(void *arg)
{
	struct client *c = arg;
	struct request req;
	struct reply rep;
	ssize_t len;

	while ((len = recv(c->server_fd, &req, sizeof(req), 0)) > 0) {
		if (req.op == MATCH) {
			rep.n = call_match(c->ses, req.keys, req.n, rep.ids);
		} else {
			call_release(c->ses, req.ids, req.n);
			rep.n = 0;
		}
		len = offsetof(struct reply, ids[rep.n]);
		CHECK(send(c->server_fd, &rep, len, 0) == len);
	}
	return NULL;
}

static pid_t daemon_start(void)
{
	pthread_t tid[CLIENTS];
	pid_t pid;
	u32 i;

	for (i = 0; i < CLIENTS; i++) {
		int fds[2];

		CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds));
		clients[i].fd = fds[0];
		clients[i].server_fd = fds[1];
	}
	pid = fork();
	CHECK(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < CLIENTS; i++)
		CHECK(!pthread_create(&tid[i], NULL, serve, &clients[i]));
	for (i = 0; i < CLIENTS; i++)
		pthread_join(tid[i], NULL);
	_exit(0);
}

static void work_daemon(void *arg, u32 nr, u32 ops)
{
	struct client *c = &clients[nr];
	struct request req;
	struct reply rep;
	ssize_t len;

	while (ops--) {
		req.op = MATCH;
		req.n = c->n;
		memcpy(req.keys, c->keys, c->n * sizeof(req.keys[0]));
		len = offsetof(struct request, keys[c->n]);
		CHECK(send(c->fd, &req, len, 0) == len);
		CHECK(recv(c->fd, &rep, sizeof(rep), 0) > 0 && rep.n == c->n);
		reverse(rep.ids, c->n);
		req.op = RELEASE;
		memcpy(req.ids, rep.ids, c->n * sizeof(req.ids[0]));
		len = offsetof(struct request, ids[c->n]);
		CHECK(send(c->fd, &req, len, 0) == len);
		CHECK(recv(c->fd, &rep, sizeof(rep), 0) > 0);
	}
}

/* --- all of them --------------------------------------------------------- */

static double one(struct pool *p, const char *mode, const char *what, u32 n,
		  u32 workers, void (*work)(void *, u32, u32), u32 ops)
{
	struct figure f = { .name = "sharing", .pool = p->total, .n = n,
			    .threads = workers };
	char text[64];
	double ns;
	u32 i;

	for (i = 0; i < CLIENTS; i++)
		clients[i].n = n;
	snprintf(text, sizeof(text), "%s:%s", mode, what);
	f.mode = text;
	ns = crowd_run(workers, true, work, NULL, ops,
		       opt.vm ? 9 : 300) / n / workers;
	report_value(&f, opt.vm ? "instructions_per_block" : "ns_per_block",
		     ns);
	return ns;
}

/* @own: all clients use one prompt, and hold it already, as a worker does. */
static void sharing(enum fill fill, const char *what, bool own)
{
	static const u32 sizes[] = { 32, 1, 128 };
	struct kvbm_session *holder;
	struct pool *p;
	u32 i, k, w;
	pid_t pid;

	shared_on = true;
	p = pool_new(1U << 16, "lru", false, fill);
	holder = p->other;
	p->other = session_new(p->st);
	for (i = 0; i < CLIENTS; i++) {
		clients[i].ses = i ? p->other : p->own;
		session_pages(clients[i].ses);
		/* Prompts of two families. */
		prompt_keys(own ? 1 : 1 + 16 * i, clients[i].keys);
		if (own)
			CHECK(call_match(clients[i].ses, clients[i].keys,
					 PROMPT, clients[i].ids) == PROMPT);
	}
	shared_on = false;

	pid = daemon_start();
	for (k = 0; k < ARRAY_SIZE(sizes); k++)
		for (w = 1; w <= CLIENTS; w++)
			one(p, "daemon", what, sizes[k], w, work_daemon, 20);
	for (i = 0; i < CLIENTS; i++) {
		close(clients[i].fd);
		close(clients[i].server_fd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	mutex_make();
	for (k = 0; k < ARRAY_SIZE(sizes); k++)
		for (w = 1; w <= CLIENTS; w++)
			one(p, "mutex", what, sizes[k], w, work_mutex, 200);

	for (i = 0; !opt.vm && i < CLIENTS; i++) {
		int fds[2];

		CHECK(!pipe(fds));
		clients[i].fd = fds[0];
	}
	for (k = 0; !opt.vm && k < ARRAY_SIZE(sizes); k++)
		for (w = 1; w <= CLIENTS; w++)
			one(p, "kvbm", what, sizes[k], w, work_kvbm, 200);
	session_end(holder);
	pool_free(p);
}

void bench_rivals(void)
{
	if (opt.count || opt.step || !wanted("sharing"))
		return;
	sharing(FILL_HELD, "others,hot", false);
	sharing(FILL_IDLE, "idle,hot", false);
	if (!opt.vm)
		sharing(FILL_HELD, "own,hot,same", true);
}
