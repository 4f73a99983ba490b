// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * holds.c - a session's hold table: block id -> count
 *
 * Three levels: the session's array of directories, 256 pages each, 512 counts
 * a page.  Pages are added before a count is needed and freed when the session
 * ends, so giving back never allocates.  Each directory knows how many counts
 * of a page are in use: reclaim skips the rest.
 *
 * A count is the number of holds on a registered block, or KVBM_COUNT_OWNED
 * for a Mutable or Staged block.  All under the session's lock, but for
 * pointers, which are set once.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include "kvbm.h"

/**
 * kvbm_holds_prepare() - make room for a block's count
 * @ses: the session; its lock is not held
 * @id: block id, in range
 *
 * Return: 0, or -ENOMEM.
 */
int kvbm_holds_prepare(struct kvbm_session *ses, u32 id)
{
	u32 d = id / KVBM_PAGE_COUNTS / KVBM_DIR_PAGES;
	u32 p = id / KVBM_PAGE_COUNTS % KVBM_DIR_PAGES;
	struct kvbm_hold_dir *dir = NULL;
	u32 *page;

	if (kvbm_count(ses, id))
		return 0;
	if (!READ_ONCE(ses->dirs[d])) {
		dir = kzalloc(sizeof(*dir), GFP_KERNEL_ACCOUNT);
		if (!dir)
			return -ENOMEM;
	}
	page = kcalloc(KVBM_PAGE_COUNTS, sizeof(*page), GFP_KERNEL_ACCOUNT);
	if (!page) {
		kfree(dir);
		return -ENOMEM;
	}

	/* Another thread of the session may have been faster. */
	spin_lock(&ses->lock);
	if (dir && !ses->dirs[d]) {
		/* Zeroed before it is seen; pairs with kvbm_count(). */
		smp_store_release(&ses->dirs[d], dir);
		dir = NULL;
	}
	if (!ses->dirs[d]->page[p]) {
		/* The same. */
		smp_store_release(&ses->dirs[d]->page[p], page);
		ses->pages++;
		page = NULL;
	}
	spin_unlock(&ses->lock);
	kfree(dir);
	kfree(page);
	return 0;
}

/* The session has ended: nobody else looks. */
void kvbm_holds_free(struct kvbm_session *ses)
{
	u32 d, p;

	for (d = 0; d < KVBM_ROOT_DIRS; d++) {
		if (!ses->dirs[d])
			continue;
		for (p = 0; p < KVBM_DIR_PAGES; p++)
			kfree(ses->dirs[d]->page[p]);
		kfree(ses->dirs[d]);
		ses->dirs[d] = NULL;
	}
	ses->pages = 0;
}

/**
 * kvbm_holds_collect() - the next blocks that a session holds
 * @ses: the session, locked
 * @from: in and out: block id to go on from; total when there are no more
 * @owned: Mutable and Staged blocks, or registered ones
 * @ids: room for @max ids, ascending
 * @max: at most this many
 *
 * Looks at a bounded part of the table, so that 0 does not mean the end.
 *
 * Return: how many ids.
 */
u32 kvbm_holds_collect(struct kvbm_session *ses, u32 *from, bool owned,
		       u32 *ids, u32 max)
{
	u32 total = ses->store->cfg.total;
	u32 looks = 4 * KVBM_PAGE_COUNTS;
	u32 id = *from, n = 0;

	lockdep_assert_held(&ses->lock);
	while (id < total && n < max && looks) {
		u32 d = id / KVBM_PAGE_COUNTS / KVBM_DIR_PAGES;
		u32 p = id / KVBM_PAGE_COUNTS % KVBM_DIR_PAGES;
		struct kvbm_hold_dir *dir = ses->dirs[d];
		bool is_owned;
		u32 count;

		looks--;
		if (!dir) {
			id = (d + 1) * KVBM_DIR_PAGES * KVBM_PAGE_COUNTS;
			continue;
		}
		if (!dir->used[p]) {
			id = round_down(id, KVBM_PAGE_COUNTS) +
			     KVBM_PAGE_COUNTS;
			continue;
		}
		count = dir->page[p][id % KVBM_PAGE_COUNTS];
		is_owned = count == KVBM_COUNT_OWNED;
		if (count && is_owned == owned)
			ids[n++] = id;
		id++;
	}
	*from = min(id, total);
	return n;
}

/* Bytes that the table takes. */
u64 kvbm_holds_memory(const struct kvbm_session *ses)
{
	u64 bytes = (u64)ses->pages * KVBM_PAGE_COUNTS * sizeof(u32);
	u32 d;

	for (d = 0; d < KVBM_ROOT_DIRS; d++)
		if (READ_ONCE(ses->dirs[d]))
			bytes += sizeof(struct kvbm_hold_dir);
	return bytes;
}
