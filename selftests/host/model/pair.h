/* SPDX-License-Identifier: MIT */
/* The model and the core side by side, and directed tests of them. */
#ifndef KVBM_MODEL_PAIR_H
#define KVBM_MODEL_PAIR_H

#include "drive.h"

#define PAIR_TOTAL_MAX	640	/* blocks; more than one page of a hold table */

struct pair {
	struct model *m;
	struct core *c;
	struct g_res rm, rc;	/* of the last operation */
};

void pair_init(struct pair *p, const struct m_config *cfg);
void pair_exit(struct pair *p);
/* NULL, or in what they differ. */
const char *pair_apply(struct pair *p, const struct g_op *op);
/* The same for all that can be seen of both stores; p->rm, p->rc are lost. */
const char *pair_state(struct pair *p, FILE *out);
/* Both of the above, p->rm kept; says on stdout what differs. */
bool pair_same(struct pair *p, const struct g_op *op);

/* directed.c: true when passed */
bool config_test(void);
bool hold_limit_test(void);
bool halving_test(void);
bool deep_test(enum m_policy policy, uint64_t seed);

#endif
