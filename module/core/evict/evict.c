// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * evict.c - the list of eviction policies
 *
 * A new one needs a file with a struct kvbm_evict_ops and a line in
 * policies.def.
 */
#include <linux/string.h>
#include "evict.h"

static const struct kvbm_evict_ops * const policies[] = {
#define KVBM_POLICY(name)	&kvbm_evict_##name,
#include "policies.def"
};

/**
 * kvbm_evict_nth() - the n-th eviction index
 * @n: from 0
 *
 * Return: it, or NULL if there are not that many.
 */
const struct kvbm_evict_ops *kvbm_evict_nth(unsigned int n)
{
	return n < ARRAY_SIZE(policies) ? policies[n] : NULL;
}

/**
 * kvbm_evict_find() - an eviction index by name
 * @name: its name; the empty one means the default
 *
 * Return: it, or NULL.
 */
const struct kvbm_evict_ops *kvbm_evict_find(const char *name)
{
	unsigned int i;

	if (!*name)
		return policies[0];
	for (i = 0; i < ARRAY_SIZE(policies); i++)
		if (!strcmp(policies[i]->name, name))
			return policies[i];
	return NULL;
}
