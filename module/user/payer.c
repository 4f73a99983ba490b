// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * payer.c - users who are charged for stores
 *
 * payers_lock is a leaf: it is held for a walk of the list, which has at most one
 * payer per store, or per ring whose readers outlive its store.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include "event.h"
#include "file.h"

static unsigned int user_stores = 16;
module_param(user_stores, uint, 0644);
MODULE_PARM_DESC(user_stores,
		 "Stores that one user may have created (default 16, 0: no limit)");

static unsigned int user_blocks = 1U << 24;
module_param(user_blocks, uint, 0644);
MODULE_PARM_DESC(user_blocks,
		 "Blocks of the stores that one user created (default 16777216, 0: no limit)");

static unsigned long user_bytes;
module_param(user_bytes, ulong, 0644);
MODULE_PARM_DESC(user_bytes,
		 "Bytes of the stores that one user created (default 0: no limit)");

static DEFINE_MUTEX(payers_lock);
static LIST_HEAD(payers);

static struct kvbm_payer *find_payer(kuid_t uid)
{
	struct kvbm_payer *p;

	lockdep_assert_held(&payers_lock);
	list_for_each_entry(p, &payers, link)
		if (uid_eq(p->uid, uid))
			return p;
	return NULL;
}

static bool over(u64 used, u64 more, u64 limit)
{
	return limit && used + more > limit;
}

/**
 * kvbm_payer_new() - preallocate a payer for the caller
 *
 * Return: the payer, for kvbm_pay() or kfree(), or NULL.
 */
struct kvbm_payer *kvbm_payer_new(void)
{
	struct kvbm_payer *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);

	if (p)
		p->uid = kvbm_payer_uid();
	return p;
}

/**
 * kvbm_pay() - charge a new store
 * @kd: the store; ->payer is filled in
 * @new: preallocated; becomes the payer, and NULL, if its user has none yet
 *
 * Return: 0 or -EDQUOT.
 */
int kvbm_pay(struct kvbm_dev *kd, struct kvbm_payer **new)
{
	u32 total = kd->store.cfg.total;
	struct kvbm_payer *p;
	int err = 0;

	mutex_lock(&payers_lock);
	p = find_payer((*new)->uid) ?: *new;
	if (!uid_eq(p->uid, GLOBAL_ROOT_UID) &&
	    (over(p->stores, 1, READ_ONCE(user_stores)) ||
	     over(p->blocks, total, READ_ONCE(user_blocks)) ||
	     over(p->bytes, kd->need, READ_ONCE(user_bytes)))) {
		err = -EDQUOT;
		goto unlock;
	}
	if (p == *new) {
		list_add(&p->link, &payers);
		*new = NULL;
	}
	p->stores++;
	p->blocks += total;
	p->bytes += kd->need;
	kd->payer = p;
unlock:
	mutex_unlock(&payers_lock);
	return err;
}

static void store_gone(struct kvbm_payer *p)
{
	lockdep_assert_held(&payers_lock);
	if (--p->stores)
		return;
	list_del(&p->link);
	kfree(p);
}

/**
 * kvbm_unpay() - uncharge a store
 * @kd: the store
 */
void kvbm_unpay(struct kvbm_dev *kd)
{
	struct kvbm_payer *p = kd->payer;

	mutex_lock(&payers_lock);
	p->blocks -= kd->store.cfg.total;
	p->bytes -= kd->need;
	/* Readers of its events keep the ring: charge a store of that size. */
	if (kd->store.ring)
		p->bytes += kvbm_ring_need(kd->store.cfg.event_records);
	else
		store_gone(p);
	mutex_unlock(&payers_lock);
}

/**
 * kvbm_unpay_ring() - uncharge the events of a store that went before
 * @p: the payer
 * @bytes: the remaining charge
 */
void kvbm_unpay_ring(struct kvbm_payer *p, u64 bytes)
{
	mutex_lock(&payers_lock);
	p->bytes -= bytes;
	store_gone(p);
	mutex_unlock(&payers_lock);
}
