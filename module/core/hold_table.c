// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * hold_table.c - a session's hold table: block id -> count
 *
 * An array of pages, 512 counts each.  Pages are added before a count is needed
 * and freed when the session ends, so releasing never allocates.
 *
 * A session that offers holds has a second such table, which counts how many of
 * each are offered.
 *
 * See KVBM_COUNT_OWNED for the format of a count.  Everything is under the
 * session's lock except pointers, which are set once.
 */
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "core.h"

static u32 nr_pages(const struct kvbm_session *ses)
{
	return DIV_ROUND_UP(ses->store->cfg.total, KVBM_PAGE_COUNTS);
}

/**
 * kvbm_holds_init() - an empty hold table
 * @ses: the session, ->store set
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_holds_init(struct kvbm_session *ses)
{
	ses->table = kvcalloc(nr_pages(ses), sizeof(*ses->table),
			      GFP_KERNEL_ACCOUNT);
	return ses->table ? 0 : -ENOMEM;
}

static int add_page(struct kvbm_session *ses, u32 **page)
{
	u32 *counts;

	counts = kcalloc(KVBM_PAGE_COUNTS, sizeof(*counts), GFP_KERNEL_ACCOUNT);
	if (!counts)
		return -ENOMEM;

	/* Another thread of the session may have been faster. */
	spin_lock(&ses->lock);
	if (!*page) {
		/* Zeroed before it is visible; pairs with kvbm_count(). */
		smp_store_release(page, counts);
		/* Listings read it without the lock. */
		WRITE_ONCE(ses->pages, ses->pages + 1);
		counts = NULL;
	}
	spin_unlock(&ses->lock);
	kfree(counts);
	return 0;
}

/**
 * kvbm_holds_add_page() - add the page for a block's count
 * @ses: the session; its lock is not held
 * @id: block id, in range
 *
 * Return: 0, or -ENOMEM.
 */
int kvbm_holds_add_page(struct kvbm_session *ses, u32 id)
{
	return add_page(ses, &ses->table[id / KVBM_PAGE_COUNTS]);
}

/* The array of pages for offered holds. */
static int add_offered(struct kvbm_session *ses)
{
	u32 **row = kvcalloc(nr_pages(ses), sizeof(*row), GFP_KERNEL_ACCOUNT);

	if (!row)
		return -ENOMEM;
	spin_lock(&ses->lock);
	if (!ses->offered) {
		/* Like a page of counts. */
		smp_store_release(&ses->offered, row);
		row = NULL;
	}
	spin_unlock(&ses->lock);
	kvfree(row);
	return 0;
}

/**
 * kvbm_offered_prepare() - add the page that counts a block's offered holds
 * @ses: the session; its lock is not held
 * @id: block id, in range
 *
 * Return: 0, or -ENOMEM.
 */
int kvbm_offered_prepare(struct kvbm_session *ses, u32 id)
{
	u32 **page;
	int err;

	if (!READ_ONCE(ses->offered)) {
		err = add_offered(ses);
		if (err)
			return err;
	}
	page = &READ_ONCE(ses->offered)[id / KVBM_PAGE_COUNTS];
	return READ_ONCE(*page) ? 0 : add_page(ses, page);
}

static void free_table(const struct kvbm_session *ses, u32 **table)
{
	u32 p;

	if (!table)
		return;
	for (p = 0; p < nr_pages(ses); p++) {
		kfree(table[p]);
		cond_resched();
	}
	kvfree(table);
}

/* The session has ended: nobody else looks. */
void kvbm_holds_free(struct kvbm_session *ses)
{
	free_table(ses, ses->table);
	ses->table = NULL;
	free_table(ses, ses->offered);
	ses->offered = NULL;
}

/**
 * kvbm_holds_collect() - the next blocks that a session holds
 * @ses: the session, locked
 * @from: in and out: block id to continue from; total if there are no more
 * @owned: Mutable and Staged blocks, or registered ones
 * @ids: array of @max ids, ascending
 * @max: at most this many
 *
 * Looks at a bounded part of the table, so 0 does not mean the end.
 *
 * Return: how many ids.
 */
u32 kvbm_holds_collect(struct kvbm_session *ses, u32 *from, bool owned,
		       u32 *ids, u32 max)
{
	u32 total = ses->store->cfg.total;
	u32 looks = KVBM_PAGE_COUNTS;
	u32 id = *from, n = 0;

	lockdep_assert_held(&ses->lock);
	while (id < total && n < max && looks--) {
		const u32 *counts = ses->table[id / KVBM_PAGE_COUNTS];
		u32 count;

		if (!counts) {
			id = round_down(id, KVBM_PAGE_COUNTS) +
			     KVBM_PAGE_COUNTS;
			continue;
		}
		count = counts[id % KVBM_PAGE_COUNTS];
		if (owned ? count == KVBM_COUNT_OWNED : kvbm_count_holds(count))
			ids[n++] = id;
		id++;
	}
	*from = min(id, total);
	return n;
}

/* Bytes that the table takes. */
u64 kvbm_holds_memory(const struct kvbm_session *ses)
{
	u32 rows = READ_ONCE(ses->offered) ? 2 : 1;

	return (u64)READ_ONCE(ses->pages) * KVBM_PAGE_COUNTS * sizeof(u32) +
	       (u64)rows * nr_pages(ses) * sizeof(*ses->table);
}
