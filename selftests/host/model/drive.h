/* SPDX-License-Identifier: MIT */
/* The real core, run by the same operations as the model. */
#ifndef KVBM_MODEL_DRIVE_H
#define KVBM_MODEL_DRIVE_H

#include "gen.h"

struct core;

/* Once for the process. */
void core_setup(void);
/* NULL and *err: refused. */
struct core *core_new(const struct m_config *cfg, int *err);
/* Ends all sessions first. */
void core_free(struct core *c);
void core_apply(struct core *c, const struct g_op *op, struct g_res *res);
/* Not shown by any operation: distinct hashes; the free list, head first. */
uint32_t core_registered(struct core *c);
uint32_t core_free_list(struct core *c, uint32_t *ids, uint32_t max);

#endif
