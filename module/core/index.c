// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * index.c - sequence hash -> registered slot: building and changing the table
 *
 * All changes are made under the store's lock; rhashtable's own bucket locks
 * come on top and are never contended.
 */
#include <linux/random.h>
#include <linux/sched/signal.h>
#include "index.h"

struct kvbm_index_secret kvbm_index_secret __read_mostly;

void kvbm_index_secrets(void)
{
	get_random_bytes(&kvbm_index_secret, sizeof(kvbm_index_secret));
}

/* Runs of the table's worker that come to nothing before giving up. */
#define INDEX_TRIES	10

static u32 index_size(struct kvbm_store *st)
{
	u32 size;

	rcu_read_lock();
	size = kvbm_index_table(st)->size;
	rcu_read_unlock();
	return size;
}

static u32 index_buckets(u32 total)
{
	return roundup_pow_of_two(max(total, 64U));
}

/* Bytes that kvbm_index_init() allocates at most; nobody is charged for them. */
u64 kvbm_index_need(const struct kvbm_config *cfg)
{
	return kvbm_array_need(index_buckets(cfg->total), sizeof(void *));
}

/*
 * rhashtable takes a 16-bit size hint only and grows in the background, which
 * must not happen on the hot path.  So grow it here: as long as it believes to
 * be full, each run of its worker doubles it.  With max_size given it never
 * grows past that, and stays there.
 */
int kvbm_index_init(struct kvbm_store *st)
{
	struct rhashtable_params params = kvbm_index_params;
	u32 size = index_buckets(st->cfg.total);
	u32 now, before = 0, tries = 0;
	int err;

	params.max_size = size;
	params.nelem_hint = min(size / 4 * 3, 65535U);
	err = rhashtable_init(&st->index, &params);
	if (err)
		return err;

	atomic_set(&st->index.nelems, size);
	while ((now = index_size(st)) < size) {
		tries = now == before ? tries + 1 : 0;
		before = now;
		if (fatal_signal_pending(current))
			err = -EINTR;
		else if (tries == INDEX_TRIES)
			err = -ENOMEM;
		if (err)
			break;
		schedule_work(&st->index.run_work);
		flush_work(&st->index.run_work);
	}
	atomic_set(&st->index.nelems, 0);
	if (err)
		rhashtable_destroy(&st->index);
	else
		st->memory += (u64)size * sizeof(void *);
	return err;
}

void kvbm_index_exit(struct kvbm_store *st)
{
	rhashtable_destroy(&st->index);
}

/**
 * kvbm_index_find() - the slot that carries a key
 * @st: the store
 * @tbl: its table, from kvbm_index_table() in the same RCU read section
 * @key: sequence hash
 * @bucket: where it hangs in @tbl
 *
 * Return: the slot, or NULL.
 */
struct kvbm_slot *kvbm_index_find(struct kvbm_store *st,
				  struct bucket_table *tbl,
				  const struct kvbm_hash *key, u32 bucket)
{
	struct rhash_lock_head __rcu *const *bkt = rht_bucket(tbl, bucket);
	struct rhash_head *he;

	do {
		rht_for_each_rcu_from(he, rht_ptr_rcu(bkt), tbl, bucket) {
			struct kvbm_slot *s;

			s = container_of(he, struct kvbm_slot, node);
			if (likely(kvbm_slot_is(s, key)))
				return s;
		}
		/* A slot that moved to another chain ends in its marker. */
	} while (he != RHT_NULLS_MARKER(bkt));

	/* Pairs with the publication of future_tbl in rhashtable's rehash. */
	smp_rmb();
	if (unlikely(rcu_access_pointer(tbl->future_tbl)))
		return rhashtable_lookup(&st->index, key, kvbm_index_params);
	return NULL;
}

/*
 * Insert, or say who is there already.  ERR_PTR(-ENOMEM): a chain grew so long
 * that rhashtable wants to rehash and cannot now; nothing has changed.
 */
struct kvbm_slot *kvbm_index_insert(struct kvbm_store *st, struct kvbm_slot *s)
{
	struct kvbm_slot *old;

	lockdep_assert_held(&st->lock);
	old = rhashtable_lookup_get_insert_fast(&st->index, &s->node,
						kvbm_index_params);
	if (IS_ERR(old))
		return ERR_PTR(-ENOMEM);
	if (!old)
		st->nr_registered++;
	return old;
}

void kvbm_index_remove(struct kvbm_store *st, struct kvbm_slot *s)
{
	int err;

	lockdep_assert_held(&st->lock);
	err = rhashtable_remove_fast(&st->index, &s->node, kvbm_index_params);
	WARN_ON_ONCE(err);
	st->nr_registered--;
}
