// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * family.c - the lineage index's table: creation, and the chains
 *
 * Chains hold entries whose line is full: one in 20 by chance, or all of them
 * if somebody chose the keys so.  A chain is a list through the slots' fields
 * for the place of their entries, with the newest first.
 */
#include <linux/random.h>
#include <linux/sched.h>
#include "family.h"

/* Two thirds full with one entry per block. */
static u32 lines_of(u32 total)
{
	return max(total / 8, 1U);
}

static u32 heads_of(u32 total)
{
	return max(total / 4, 1U);
}

/* The most bytes that kvbm_families_init() allocates. */
u64 kvbm_families_need(u32 total)
{
	return kvbm_array_need(lines_of(total),
			       sizeof(struct kvbm_family_line)) +
	       kvbm_array_need(heads_of(total), sizeof(u32));
}

/**
 * kvbm_families_init() - create a table
 * @st: the store
 * @f: zeroed
 *
 * Return: 0 or -ENOMEM; kvbm_families_exit() is due in both cases.
 */
int kvbm_families_init(struct kvbm_store *st, struct kvbm_families *f)
{
	u32 i;

	BUILD_BUG_ON(KVBM_MAX_BLOCKS > BIT(FAMILY_BITS - 1));
	BUILD_BUG_ON((u64)(KVBM_MAX_BLOCKS / 8) << FAMILY_LINE_SHIFT >
		     FAMILY_CHAINED);

	get_random_bytes(f->secret, sizeof(f->secret));
	get_random_bytes(&f->chain_secret, sizeof(f->chain_secret));
	f->nr_lines = lines_of(st->cfg.total);
	f->nr_heads = heads_of(st->cfg.total);
	f->lines = kvbm_array_alloc(st, f->nr_lines, sizeof(*f->lines));
	f->heads = kvbm_array_alloc(st, f->nr_heads, sizeof(*f->heads));
	if (!f->lines || !f->heads)
		return -ENOMEM;
	for (i = 0; i < f->nr_heads; i++) {
		f->heads[i] = FAMILY_END;
		if (!(i % 65536))
			cond_resched();
	}
	return 0;
}

void kvbm_families_exit(struct kvbm_families *f)
{
	kvbm_array_free(f->heads);
	kvbm_array_free(f->lines);
}

static u32 *head_of(struct kvbm_families *f, u64 key)
{
	u64 h = siphash_1u64(key, &f->chain_secret);

	return &f->heads[(h >> 32) * f->nr_heads >> 32];
}

/*
 * Among a line's candidates, or in the chain: @found as in kvbm_family_find().
 */
u32 kvbm_family_find_among(struct kvbm_store *st, struct kvbm_families *f,
			   u64 key, struct kvbm_family_hash h, u64 found)
{
	const struct kvbm_family_line *l = &f->lines[h.line];
	u32 e;

	lockdep_assert_held(&st->lock);
	for (; found; found &= found - 1) {
		u32 bit = __ffs64(found);

		e = l->entry[bit / 8 + (bit % 8 == 7 ? 0 : 8)] ^ h.high;
		if (e <= FAMILY_END && kvbm_family_key(st, e) == key)
			return e;
	}
	if (likely(!(l->chained & FAMILY_FILTER(h.tag))))
		return KVBM_NIL;
	e = *head_of(f, key);
	for (; e != FAMILY_END; e = *kvbm_family_place(st, e) & FAMILY_END)
		if (kvbm_family_key(st, e) == key)
			return e;
	return KVBM_NIL;
}

void kvbm_family_add_chained(struct kvbm_store *st, struct kvbm_families *f,
			     u64 key, u32 tag, struct kvbm_family_line *l,
			     u32 entry)
{
	u32 *head = head_of(f, key);

	lockdep_assert_held(&st->lock);
	l->chained |= FAMILY_FILTER(tag);
	/* A count that overflowed its field stays at the maximum. */
	if ((l->chained & FAMILY_COUNT) != FAMILY_COUNT)
		l->chained++;
	*kvbm_family_place(st, entry) = FAMILY_CHAINED | *head;
	*head = entry;
}

static void uncount(struct kvbm_family_line *l)
{
	u32 count = l->chained & FAMILY_COUNT;

	if (count == 1)
		l->chained = 0;
	else if (count != FAMILY_COUNT)
		l->chained--;
}

void kvbm_family_replace_chained(struct kvbm_store *st, struct kvbm_families *f,
				 u32 entry, u32 by)
{
	u64 key = kvbm_family_key(st, entry);
	u32 *link = head_of(f, key);
	u32 next = *kvbm_family_place(st, entry);

	lockdep_assert_held(&st->lock);
	while ((*link & FAMILY_END) != entry)
		link = kvbm_family_place(st, *link & FAMILY_END);
	if (by == KVBM_NIL) {
		*link = (*link & FAMILY_CHAINED) | (next & FAMILY_END);
		uncount(&f->lines[kvbm_family_hash(f, key).line]);
		return;
	}
	*link = (*link & FAMILY_CHAINED) | by;
	*kvbm_family_place(st, by) = next;
}
