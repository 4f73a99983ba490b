/* SPDX-License-Identifier: MIT */
/* attack.h - the cost to others when somebody chooses keys that collide */
#ifndef BENCH_ATTACK_H
#define BENCH_ATTACK_H

#include "bench.h"

#define N		128U	/* blocks in a call */
#define ATTACK_KINDS	5U	/* of operations */

/* Others may pay so much more than in a quiet store. */
#define OTHERS_PAY	1.3

struct attack {
	struct pool *p;
	u32 at;				/* the next of the colliding keys */
	struct kvbm_hash *his;
	struct kvbm_hash keys[N];
	struct kvbm_registered out[N];
	u32 ids[N];
};

void attack_count(struct attack *a, bool his, double *sum);
u32 attack_compare(const char *policy, const char *who, const double *quiet,
		   const double *now, double limit);

#endif
