/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * index.h - sequence hash -> registered slot: one rhashtable a store
 *
 * Parameters are static so that lookups inline.  A chunk computes its buckets
 * first and prefetches them, which the plain rhashtable_lookup() cannot; the
 * walk itself is rhashtable's own.
 */
#ifndef KVBM_INDEX_H
#define KVBM_INDEX_H

#include <linux/prefetch.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable.h>
#include <linux/string.h>
#include "core.h"

/**
 * struct kvbm_index_secret - secrets of the hash function, drawn at module load
 * @add: added to the four halves of a key
 */
struct kvbm_index_secret {
	u64 add[4];
};

extern struct kvbm_index_secret kvbm_index_secret;

/*
 * Callers choose the keys, so the hash is a seeded pair-multiply-shift (Thorup,
 * "High Speed Hashing for Integers and Strings", 2015): whoever does not know
 * the secrets cannot make keys collide more often than chance does.
 */
static __always_inline u32
kvbm_index_hash(const struct kvbm_hash *k, struct kvbm_index_secret secret,
		u32 seed)
{
	/* Halves are read as such: cheaper than to take words apart. */
	const u32 *half = (const u32 *)k;

	BUILD_BUG_ON(sizeof(*k) != 4 * sizeof(*half));
	return ((secret.add[0] + seed + half[1]) * (secret.add[1] + half[0]) +
		(secret.add[2] + seed + half[3]) * (secret.add[3] + half[2])) >>
	       32;
}

static __always_inline u32 kvbm_index_hashfn(const void *data, u32 len, u32 seed)
{
	return kvbm_index_hash(data, kvbm_index_secret, seed);
}

static inline int kvbm_index_cmpfn(struct rhashtable_compare_arg *arg,
				   const void *obj)
{
	return !kvbm_slot_is(obj, arg->key);
}

static const struct rhashtable_params kvbm_index_params = {
	.key_len = sizeof(struct kvbm_hash),
	.key_offset = offsetof(struct kvbm_slot, key),
	.head_offset = offsetof(struct kvbm_slot, node),
	.hashfn = kvbm_index_hashfn,
	.obj_cmpfn = kvbm_index_cmpfn,
};

u64 kvbm_index_need(const struct kvbm_config *cfg);
int kvbm_index_init(struct kvbm_store *st);
void kvbm_index_exit(struct kvbm_store *st);
struct kvbm_slot *kvbm_index_insert(struct kvbm_store *st,
				    struct kvbm_slot *s);
void kvbm_index_remove(struct kvbm_store *st, struct kvbm_slot *s);
void kvbm_index_secrets(void);

/* The current table; valid inside one RCU read section. */
static inline struct bucket_table *kvbm_index_table(struct kvbm_store *st)
{
	return rht_dereference_rcu(st->index.tbl, &st->index);
}

/* The bucket of a key, brought in. */
static inline u32 kvbm_index_bucket(struct bucket_table *tbl,
				    const struct kvbm_hash *key)
{
	u32 h = kvbm_index_hash(key, kvbm_index_secret, tbl->hash_rnd);
	u32 bucket = rht_bucket_index(tbl, h);

	prefetch(rht_bucket(tbl, bucket));
	return bucket;
}

/* The first slot of a bucket that is here by now. */
static inline void kvbm_index_prefetch_slot(struct bucket_table *tbl,
					    u32 bucket)
{
	struct rhash_lock_head __rcu *const *bkt = rht_bucket(tbl, bucket);

	prefetch(rht_ptr_rcu(bkt));
}

/*
 * Fill c->bucket and c->first [0..n-1] and bring in what the look-ups will
 * touch.
 */
static inline void kvbm_index_prepare(struct kvbm_store *st,
				      struct bucket_table *tbl,
				      struct kvbm_chunk *c, u32 n)
{
	/* Copies: the compiler cannot know that nobody changes them. */
	const struct kvbm_index_secret secret = kvbm_index_secret;
	u32 seed = tbl->hash_rnd, mask = tbl->size - 1;
	struct kvbm_slot *slots = st->slots;
	u32 i;

	/* Of a node, c->first is where its slot is; of an end marker, odd. */
	BUILD_BUG_ON(offsetof(struct kvbm_slot, node));
	BUILD_BUG_ON((u64)KVBM_MAX_BLOCKS * sizeof(*slots) > U32_MAX);

	for (i = 0; i < n; i++) {
		u32 h = kvbm_index_hash(&c->keys[i], secret, seed);

		c->bucket[i] = h & mask;
		prefetch(&tbl->buckets[h & mask]);
	}
	/* Only a table made when memory was short is nested. */
	if (unlikely(tbl->nest)) {
		memset32(c->first, 1, n);
		return;
	}
	for (i = 0; i < n; i++) {
		struct rhash_head *he;

		he = rht_ptr_rcu(&tbl->buckets[c->bucket[i]]);
		prefetch(he);
		c->first[i] = (unsigned long)he - (unsigned long)slots;
	}
}

struct kvbm_slot *kvbm_index_find(struct kvbm_store *st,
				  struct bucket_table *tbl,
				  const struct kvbm_hash *key, u32 bucket);

/*
 * Element @i of a prepared chunk, in the same RCU read section: is its key
 * there?  On from the slot that was first in the bucket then.  @slots: the
 * store's, which the compiler would read again for each.  @id: where;
 * @w: the slot's word as it was before the key was compared: if it can be moved
 * from there, the block is the one looked for.
 */
static __always_inline bool
kvbm_index_find_at(struct kvbm_store *st, struct kvbm_slot *slots,
		   struct bucket_table *tbl, const struct kvbm_chunk *c, u32 i,
		   u32 *id, u64 *w)
{
	const struct kvbm_hash *key = &c->keys[i];
	u32 first = c->first[i];
	struct rhash_head *he;
	struct kvbm_slot *s;

	if (likely(!(first & 1))) {
		s = (void *)slots + first;
		*w = atomic64_read_acquire(&s->word);
		if (likely(kvbm_slot_is(s, key))) {
			*id = first / sizeof(*s);
			return true;
		}
		for (;;) {
			he = rcu_dereference(s->node.next);
			if (rht_is_a_nulls(he))
				break;
			s = container_of(he, struct kvbm_slot, node);
			*w = atomic64_read_acquire(&s->word);
			if (likely(kvbm_slot_is(s, key))) {
				*id = s - slots;
				return true;
			}
		}
		/* A slot that moved to another chain ends in its marker. */
		if (unlikely(he != RHT_NULLS_MARKER(&tbl->buckets[c->bucket[i]])))
			goto again;
	} else if (unlikely(tbl->nest)) {
		goto again;
	}
	/* Pairs with the publication of future_tbl in rhashtable's rehash. */
	smp_rmb();
	if (likely(!rcu_access_pointer(tbl->future_tbl)))
		return false;
again:
	s = kvbm_index_find(st, tbl, key, c->bucket[i]);
	if (!s)
		return false;
	*id = s - slots;
	*w = atomic64_read_acquire(&s->word);
	if (!kvbm_slot_is(s, key))
		*w = 0;
	return true;
}

/* One key, outside a chunk. */
static inline struct kvbm_slot *kvbm_index_lookup(struct kvbm_store *st,
						  const struct kvbm_hash *key)
{
	return rhashtable_lookup_fast(&st->index, key, kvbm_index_params);
}

#endif /* KVBM_INDEX_H */
