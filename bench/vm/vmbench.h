/* SPDX-License-Identifier: MIT */
/*
 * vmbench.h - shared by the benchmarks of the real interface
 *
 * Under "selftests/vm/run --icount" the clock counts instructions.  The median
 * of some hundred calls, each timed alone, repeats exactly.
 */
#ifndef VMBENCH_H
#define VMBENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <kvbm.h>
#include "keys.h"

#define BATCH_MAX	1024
#define CALLS		201

#define CHECK(cond) do {						\
	if (!(cond)) {							\
		fprintf(stderr, "%s:%d: %s: %m\n", __FILE__, __LINE__,	\
			#cond);						\
		exit(1);						\
	}								\
} while (0)

/**
 * struct figure - one line of results
 * @name: what was done
 * @policy: eviction index, or NULL
 * @pool: blocks of the store
 * @n: blocks in a batch; 0: the figure is of the call
 * @mode: how
 * @per: commands in one go, 0 means 1
 */
struct figure {
	const char *name;
	const char *policy;
	uint32_t pool;
	uint32_t n;
	const char *mode;
	uint32_t per;
};

struct work {
	void (*prepare)(void *arg);
	void (*op)(void *arg);
	void (*finish)(void *arg);
	void *arg;
};

extern bool icount;		/* the clock counts instructions */

void run(const struct figure *f, const struct work *w);
void bench_ops(void);
void bench_uring(void);
void bench_longest(void);
void bench_payload(void);
void bench_safety(void);

#endif
