// SPDX-License-Identifier: MIT
/* The model and the core side by side: the same operations, compared. */
#include <string.h>

#include "pair.h"

void pair_init(struct pair *p, const struct m_config *cfg)
{
	int em, ec;

	p->m = model_new(cfg, &em);
	p->c = core_new(cfg, &ec);
	M_ASSERT(p->m && p->c);
}

void pair_exit(struct pair *p)
{
	model_free(p->m);
	core_free(p->c);
}

const char *pair_apply(struct pair *p, const struct g_op *op)
{
	g_apply(p->m, op, &p->rm);
	core_apply(p->c, op, &p->rc);
	return g_compare(op, &p->rm, &p->rc);
}

/* All that can be seen of both stores; says where they differ. */
const char *pair_state(struct pair *p, FILE *out)
{
	static uint32_t list[PAIR_TOTAL_MAX];
	struct g_op op = { .kind = G_COUNTS };
	const char *what;
	uint32_t n;

	model_check(p->m);
	while (op.session < M_MAX_SESSIONS && !p->m->open[op.session])
		op.session++;
	n = core_free_list(p->c, list, PAIR_TOTAL_MAX);
	if (n != p->m->n_free || memcmp(list, p->m->free, n * sizeof(*list)))
		return "free list";
	if (core_registered(p->c) != m_registered(p->m))
		return "number of registered hashes";
	if (op.session == M_MAX_SESSIONS)
		return NULL;
	what = pair_apply(p, &op);
	op.kind = G_INFO;
	op.n = 1;
	for (uint32_t i = 0; i < p->m->cfg.total && !what; i++) {
		op.ids[0] = i;
		what = pair_apply(p, &op);
	}
	if (what && out) {
		g_print_op(&op, out);
		fputs("model: ", out);
		g_print_res(&op, &p->rm, out);
		fputs("core:  ", out);
		g_print_res(&op, &p->rc, out);
	}
	return what;
}

bool pair_same(struct pair *p, const struct g_op *op)
{
	static struct g_res res;
	const char *what = pair_apply(p, op);

	res = p->rm;
	if (!what)
		what = pair_state(p, stdout);
	if (what) {
		printf("# they differ: %s\n# ", what);
		g_print_op(op, stdout);
	}
	/* Which looking at the state has written over. */
	p->rm = res;
	return !what;
}
