// SPDX-License-Identifier: MIT
/*
 * kvbm-vm: the real interface, in a virtual machine, as JSON lines.
 *
 *	kvbm-vm --icount ops	instructions of each operation and batch size
 *	kvbm-vm --icount uring	ioctl against io_uring
 *	kvbm-vm --icount longest	the longest lock holds: see longest.c
 *	kvbm-vm --icount payload	the cost of a payload: see payload.c
 *	kvbm-vm --icount safety	the cost of safety: see safety.c
 *	kvbm-vm ops|uring	the same in nanoseconds, of an emulated machine
 */
#include <string.h>
#include <x86intrin.h>
#include <time.h>
#include "vmbench.h"

bool icount;

static double tick_ns = 1;

static uint64_t ticks(void)
{
	uint64_t t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
}

static int cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(uint64_t *t)
{
	qsort(t, CALLS, sizeof(*t), cmp);
	return t[CALLS / 2];
}

static void calibrate(void)
{
	struct timespec a, b;
	uint64_t t0, t1;

	if (icount)
		return;
	clock_gettime(CLOCK_MONOTONIC, &a);
	t0 = ticks();
	do {
		clock_gettime(CLOCK_MONOTONIC, &b);
		t1 = ticks();
	} while (b.tv_sec - a.tv_sec < 1);
	tick_ns = ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) /
		  (t1 - t0);
}

static uint64_t tick_cost(void)
{
	uint64_t t[CALLS];
	int i;

	for (i = 0; i < CALLS; i++) {
		t[i] = ticks();
		t[i] = ticks() - t[i];
	}
	return median(t);
}

void run(const struct figure *f, const struct work *w)
{
	uint64_t t[CALLS], call;
	uint32_t per = f->per ? f->per : 1;
	int i;

	for (i = -8; i < CALLS; i++) {
		uint64_t begin;

		if (w->prepare)
			w->prepare(w->arg);
		begin = ticks();
		w->op(w->arg);
		call = ticks() - begin;
		if (w->finish)
			w->finish(w->arg);
		if (i >= 0)
			t[i] = call;
	}
	call = (median(t) - tick_cost()) * tick_ns + 0.5;
	printf("{\"name\": \"%s\"", f->name);
	if (f->policy)
		printf(", \"policy\": \"%s\"", f->policy);
	if (f->pool)
		printf(", \"pool\": %u", f->pool);
	if (f->n)
		printf(", \"n\": %u", f->n);
	if (f->mode)
		printf(", \"mode\": \"%s\"", f->mode);
	printf(", \"threads\": 1, \"%s_per_call\": %.6g",
	       icount ? "instructions" : "ns", (double)call / per);
	if (f->n)
		printf(", \"%s_per_block\": %.2f",
		       icount ? "instructions" : "ns", (double)call / per / f->n);
	printf("}\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--icount"))
			icount = true;
	}
	calibrate();
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "ops"))
			bench_ops();
		else if (!strcmp(argv[i], "uring"))
			bench_uring();
		else if (!strcmp(argv[i], "longest"))
			bench_longest();
		else if (!strcmp(argv[i], "payload"))
			bench_payload();
		else if (!strcmp(argv[i], "safety"))
			bench_safety();
	}
	return 0;
}
