// SPDX-License-Identifier: MIT
/*
 * Several workers at once, threads or processes, each on a CPU of its own.
 * They begin each round together.  A round in which a worker lost its CPU does
 * not count, unless this happens in nearly all rounds.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define WORKERS_MAX	2
#define ROUNDS_MAX	1000

struct crowd {
	u32 ready[ROUNDS_MAX];
	struct {
		u64 begin, end;
		bool disturbed;
	} time[ROUNDS_MAX][WORKERS_MAX];
	u32 workers, rounds, ops;
	void (*work)(void *arg, u32 worker, u32 ops);
	void *arg;
};

struct worker {
	struct crowd *c;
	u32 nr;
};

/* All are on their CPUs when this returns, but for bad luck. */
static void meet(struct crowd *c, u32 r)
{
	u64 begin = now_ns();

	__atomic_fetch_add(&c->ready[r], 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&c->ready[r], __ATOMIC_ACQUIRE) < c->workers) {
		__builtin_ia32_pause();
		if (now_ns() - begin > 4000000) {
			sched_yield();
			begin = now_ns();
		}
	}
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct crowd *c = w->c;
	cpu_set_t cpus;
	u32 r;

	CPU_ZERO(&cpus);
	CPU_SET(w->nr, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);

	c->work(c->arg, w->nr, 4);
	for (r = 0; r < c->rounds; r++) {
		meet(c, r);
		disturbed();
		c->time[r][w->nr].begin = now_ns();
		c->work(c->arg, w->nr, c->ops);
		c->time[r][w->nr].end = now_ns();
		c->time[r][w->nr].disturbed = disturbed();
	}
	return NULL;
}

/**
 * crowd_run() - ns for one operation of each worker
 * @workers: how many
 * @processes: forked ones, on memory that they share; or threads
 * @work: does ops operations
 * @arg: for it
 * @ops: in a round
 * @rounds: at most ROUNDS_MAX
 *
 * Return: the lowest tenth of the rounds, from the first to begin until the
 * last one ended, over ops.
 */
double crowd_run(u32 workers, bool processes,
		 void (*work)(void *arg, u32 worker, u32 ops), void *arg,
		 u32 ops, u32 rounds)
{
	struct crowd *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_t tid[WORKERS_MAX];
	pid_t pid[WORKERS_MAX];
	struct worker w[WORKERS_MAX];
	static double ns[ROUNDS_MAX];
	u32 i, r, n = 0, pass;
	int status;

	CHECK(c != MAP_FAILED && workers <= WORKERS_MAX &&
	      rounds <= ROUNDS_MAX);
	c->workers = workers;
	c->rounds = rounds;
	c->ops = ops;
	c->work = work;
	c->arg = arg;
	for (i = 0; i < workers; i++) {
		w[i] = (struct worker) { c, i };
		if (!processes) {
			CHECK(!pthread_create(&tid[i], NULL, worker_run,
					      &w[i]));
			continue;
		}
		pid[i] = fork();
		CHECK(pid[i] >= 0);
		if (!pid[i]) {
			worker_run(&w[i]);
			_exit(0);
		}
	}
	for (i = 0; i < workers; i++) {
		if (!processes)
			pthread_join(tid[i], NULL);
		else
			CHECK(waitpid(pid[i], &status, 0) == pid[i] && !status);
	}
	for (pass = 0; pass < 2 && n < 5; pass++) {
		n = 0;
		for (r = 0; r < rounds; r++) {
			u64 begin = ~0ULL, end = 0;
			bool bad = false;

			for (i = 0; i < workers; i++) {
				begin = min(begin, c->time[r][i].begin);
				end = max(end, c->time[r][i].end);
				bad |= c->time[r][i].disturbed;
			}
			if (!bad || pass)
				ns[n++] = (double)(end - begin) / ops;
		}
	}
	munmap(c, sizeof(*c));
	qsort(ns, n, sizeof(ns[0]), cmp_double);
	return ns[n / 10];
}
