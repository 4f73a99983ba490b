/* SPDX-License-Identifier: MIT */
/*
 * bench.h - shared by the native benchmarks
 *
 * The core runs in this process (selftests/host, variant opt).  A figure is
 * made of windows.  Each window times some calls one by one, without their
 * preparation.  Windows in which the thread lost its CPU do not count.
 */
#ifndef BENCH_H
#define BENCH_H

#include <linux/kernel.h>
#include <linux/sched.h>
#include "host.h"
#include "core.h"
#include "evict.h"
#include "keys.h"

#define BATCH_MAX	1024

#define CHECK(cond) do {						\
	if (!(cond))							\
		bench_die(__FILE__, __LINE__, #cond);			\
} while (0)

void bench_die(const char *file, int line, const char *what)
	__attribute__((noreturn, cold));

/* --- measure.c ---------------------------------------------------------- */

struct options {
	bool quick;		/* the targets only */
	bool count;		/* under callgrind: count, do not time */
	bool step;		/* count by stepping, at every size */
	bool vm;		/* the clock counts instructions */
	bool whole;		/* operations, not their parts */
	const char *only;	/* part of a name */
	double seconds;		/* per figure, about */
};

extern struct options opt;

/**
 * struct figure - one line of results
 * @name: what was done
 * @policy: eviction index, or NULL
 * @pool: blocks of the store
 * @n: blocks in a batch
 * @mode: how: see each benchmark
 * @threads: 0 means 1
 * @calls: system calls that the operation takes; their cost is added
 */
struct figure {
	const char *name;
	const char *policy;
	u32 pool;
	u32 n;
	const char *mode;
	u32 threads;
	u32 calls;
};

struct timing {
	/* ns a block, calls not included, of the windows */
	double low;			/* the lowest tenth ends here */
	double min, median, mean;
	u32 windows;
	u32 disturbed;
};

/* Times op(arg), but not prepare(arg) before it; n blocks each. */
struct work {
	void (*prepare)(void *arg);
	void (*op)(void *arg);
	void (*finish)(void *arg);
	void *arg;
	u32 n;
};

bool wanted(const char *name);
struct timing measure(const struct figure *f, const struct work *w);
/* Measure and print; ns a block with the calls, or 0 when not wanted. */
double run(const struct figure *f, const struct work *w);
void report(const struct figure *f, const struct timing *t);
void report_value(const struct figure *f, const char *key, double value);
u64 now_ns(void);
u64 ticks(void);
double ticks_to_ns(double t);
bool disturbed(void);		/* since it was last asked, in this thread */
int cmp_double(const void *a, const void *b);

/* --- step.c ------------------------------------------------------------- */

void step_start(void);
u64 step_count(void (*op)(void *arg), void *arg);

/* --- calls.c: operations as a system call does them ---------------------- */

u32 call_match(struct kvbm_session *ses, const struct kvbm_hash *hashes, u32 n,
	       u32 *ids);
u32 call_presence(struct kvbm_session *ses, const struct kvbm_hash *hashes,
		  u32 n);
u32 call_scan(struct kvbm_session *ses, const struct kvbm_hash *hashes, u32 n,
	      u32 *ids);
void call_release(struct kvbm_session *ses, const u32 *ids, u32 n);
void call_alloc(struct kvbm_session *ses, u32 n, u32 *ids,
		struct kvbm_hash *evicted);
void call_register(struct kvbm_session *ses, const struct kvbm_hash *hashes,
		   u32 n, const u32 *ids, struct kvbm_registered *out);
void measure_syscalls(void);
extern double syscall_ns;	/* one kvbm ioctl, beyond the core */

/* --- pool.c ------------------------------------------------------------- */

struct pool {
	struct kvbm_store *st;
	struct kvbm_session *own;	/* the caller measured */
	struct kvbm_session *other;	/* somebody else */
	u32 total;
	u32 families;
	uint64_t rng;
	u64 fresh;			/* next new prompt */
};

enum fill { FILL_NONE, FILL_HELD, FILL_IDLE };

struct kvbm_session *session_new(struct kvbm_store *st);
void session_pages(struct kvbm_session *ses);
void session_end(struct kvbm_session *ses);
struct pool *pool_new(u32 total, const char *policy, bool frequency,
		      enum fill fill);
void pool_fill(struct pool *p, enum fill fill);
u32 pool_hold(struct pool *p, struct kvbm_session *ses, u32 least,
	      u32 *prompts);
void pool_free(struct pool *p);

extern const char *const policies[];
#define NR_POLICIES	KVBM_NR_POLICIES

/* --- attack.c, learn.c -------------------------------------------------- */

int bench_attack(void);
int bench_learn(void);

/* --- crowd.c ------------------------------------------------------------ */

double crowd_run(u32 workers, bool processes,
		 void (*work)(void *arg, u32 worker, u32 ops), void *arg,
		 u32 ops, u32 rounds);

/* --- shared.c ----------------------------------------------------------- */

extern bool shared_on;

/* --- reference.c -------------------------------------------------------- */

int bench_group(const char *name);

/* --- groups, and parts of them ------------------------------------------ */

void bench_hold(void);
void bench_held(u32 total);
void bench_tracked(u32 total);
void bench_idle(const char *policy, u32 total);
void bench_evict(void);
void bench_turnover(const char *policy, u32 total);
void bench_shape(void);
void bench_scale(void);
void bench_two_threads(bool tracked);
void bench_two_threads_idle(void);
void bench_reclaim(void);
void bench_memory(void);
void bench_rivals(void);

#endif
