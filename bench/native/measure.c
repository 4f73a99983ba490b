// SPDX-License-Identifier: MIT
/* Clocks, windows, results. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <valgrind/callgrind.h>
#include <x86intrin.h>
#include "bench.h"

#define WINDOW_NS	400000.0	/* of work, about */
#define WINDOWS_MIN	15
#define WINDOWS_MAX	4000
#define COUNTED		64		/* calls under callgrind */
#define STEPPED		128		/* blocks: some machines step slowly */

struct options opt = { .seconds = 0.5 };

static double tick_ns;
static u64 tick_cost;

void bench_die(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	exit(1);
}

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

u64 ticks(void)
{
	u64 t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
}

static void __attribute__((constructor)) calibrate(void)
{
	u64 t0, t1, ns0, ns1;
	u32 i;

	ns0 = now_ns();
	t0 = ticks();
	do {
		ns1 = now_ns();
		t1 = ticks();
	} while (ns1 - ns0 < 20000000);
	tick_ns = (double)(ns1 - ns0) / (t1 - t0);
	tick_cost = ~0ULL;
	for (i = 0; i < 1000; i++) {
		t0 = ticks();
		t1 = ticks();
		tick_cost = min(tick_cost, t1 - t0);
	}
}

double ticks_to_ns(double t)
{
	return t * tick_ns;
}

bool disturbed(void)
{
	static __thread long last;
	struct rusage ru;
	bool was;

	getrusage(RUSAGE_THREAD, &ru);
	was = ru.ru_nivcsw != last;
	last = ru.ru_nivcsw;
	return was;
}

int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

bool wanted(const char *name)
{
	return !opt.only || strstr(name, opt.only);
}

static void once(const struct work *w, u64 *sum)
{
	u64 t0;

	if (w->prepare)
		w->prepare(w->arg);
	t0 = ticks();
	w->op(w->arg);
	*sum += ticks() - t0 - tick_cost;
	if (w->finish)
		w->finish(w->arg);
}

/* Instructions of the operation alone; the callgrind dump carries the name. */
static void count(const struct figure *f, const struct work *w)
{
	char name[200];
	u32 i, rounds = max(1U, COUNTED * 128 / w->n);
	u64 sum = 0;

	for (i = 0; i < 4; i++)
		once(w, &sum);
	CALLGRIND_ZERO_STATS;
	for (i = 0; i < rounds; i++) {
		if (w->prepare)
			w->prepare(w->arg);
		CALLGRIND_TOGGLE_COLLECT;
		w->op(w->arg);
		CALLGRIND_TOGGLE_COLLECT;
		if (w->finish)
			w->finish(w->arg);
	}
	snprintf(name, sizeof(name), "%s|%s|%u|%u|%s|%u", f->name,
		 f->policy ?: "", f->pool, f->n, f->mode ?: "",
		 rounds * w->n);
	CALLGRIND_DUMP_STATS_AT(name);
}

/* The same, at full speed but for the operation. */
static void count_steps(const struct figure *f, const struct work *w)
{
	u32 i, rounds = max(1U, STEPPED / w->n);
	u64 sum = 0, not;

	for (i = 0; i < 4; i++)
		once(w, &not);
	for (i = 0; i < rounds; i++) {
		if (w->prepare)
			w->prepare(w->arg);
		sum += step_count(w->op, w->arg);
		if (w->finish)
			w->finish(w->arg);
	}
	report_value(f, "instructions_per_block", (double)sum / rounds / w->n);
}

struct timing measure(const struct figure *f, const struct work *w)
{
	static double ns[WINDOWS_MAX];
	struct timing t = { 0 };
	u64 sum = 0, begin;
	u32 i, rounds;

	if (opt.count) {
		count(f, w);
		return t;
	}
	if (opt.step) {
		count_steps(f, w);
		return t;
	}
	begin = now_ns();
	for (i = 0; i < 3; i++)
		once(w, &sum);
	begin = now_ns();
	for (i = 0; i < 5; i++)
		once(w, &sum);
	rounds = max(1.0, WINDOW_NS * 5 / (now_ns() - begin + 1));
	disturbed();
	while (t.windows < WINDOWS_MAX &&
	       (t.windows < WINDOWS_MIN ||
		now_ns() - begin < opt.seconds * 1e9) &&
	       now_ns() - begin < opt.seconds * 20e9) {
		sum = 0;
		for (i = 0; i < rounds; i++)
			once(w, &sum);
		if (disturbed()) {
			t.disturbed++;
			continue;
		}
		ns[t.windows] = ticks_to_ns(sum) / rounds / w->n;
		t.mean += ns[t.windows++];
	}
	if (!t.windows)
		return t;
	t.mean /= t.windows;
	qsort(ns, t.windows, sizeof(ns[0]), cmp_double);
	t.min = ns[0];
	t.low = ns[t.windows / 10];
	t.median = ns[t.windows / 2];
	return t;
}

static void print_keys(const struct figure *f)
{
	printf("{\"name\": \"%s\"", f->name);
	if (f->policy)
		printf(", \"policy\": \"%s\"", f->policy);
	if (f->pool)
		printf(", \"pool\": %u", f->pool);
	if (f->n)
		printf(", \"n\": %u", f->n);
	if (f->mode)
		printf(", \"mode\": \"%s\"", f->mode);
	printf(", \"threads\": %u", f->threads ?: 1);
}

void report(const struct figure *f, const struct timing *t)
{
	double calls = f->n ? f->calls * syscall_ns / f->n : 0;

	print_keys(f);
	printf(", \"ns_per_block\": %.2f, \"core_ns_per_block\": %.2f"
	       ", \"core_ns_min\": %.2f, \"core_ns_median\": %.2f"
	       ", \"core_ns_mean\": %.2f"
	       ", \"syscalls\": %u, \"windows\": %u, \"disturbed\": %u}\n",
	       t->low + calls, t->low, t->min, t->median, t->mean, f->calls,
	       t->windows, t->disturbed);
	fflush(stdout);
}

void report_value(const struct figure *f, const char *key, double value)
{
	print_keys(f);
	printf(", \"%s\": %.6g}\n", key, value);
	fflush(stdout);
}

double run(const struct figure *f, const struct work *w)
{
	struct timing t;

	if (!wanted(f->name))
		return 0;
	t = measure(f, w);
	if (opt.count || opt.step)
		return 0;
	report(f, &t);
	return t.low + f->calls * syscall_ns / f->n;
}
