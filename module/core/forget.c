// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * forget.c - forgetting hashes
 *
 * A forgotten block that is inactive goes to Reset.  A held one leaves the
 * index and becomes FORGOTTEN: its holders keep it, no lookup leads to it, and
 * its last release sends it to Reset.  A lockless reader that found it before
 * cannot take a first reference, because it compares the state too.
 *
 * Raising the store's epoch forgets everything: blocks allocated before it can
 * no longer be staged or registered.  While a block is owned, its slot's ->at
 * has the epoch of its allocation.
 *
 * A prefix is forgotten by parents: from the given hash on, in order of
 * positions, each block whose parent is forgotten is forgotten too.  So each
 * registered block is checked once.  This takes memory during the call: 16
 * bytes for each block that is registered or Staged behind the prefix's
 * position, and 16 to 32 for the set of forgotten ones.
 *
 * One hold of the store's lock handles up to KVBM_CHUNK blocks.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include "claim.h"
#include "forget.h"
#include "leave.h"

/* Forget a registered block; its holders keep it. */
static void forget_slot(struct kvbm_store *st, struct kvbm_slot *s,
			struct kvbm_forgotten *f)
{
	u32 id = kvbm_slot_id(st, s);
	u64 w = kvbm_slot_word(s);

	lockdep_assert_held(&st->lock);
	if (!kvbm_w_refs(w)) {
		st->cfg.policy->remove(st, id);
		st->nr_inactive--;
	}
	if (st->cfg.policy->forget)
		st->cfg.policy->forget(st, id);
	kvbm_hash_leaves(st, s, kvbm_w_gen(w), KVBM_REASON_INVALIDATED,
			 f->session);
	if (kvbm_w_refs(w)) {
		/*
		 * Others change refs meanwhile, but 1 to 0 only under the lock.
		 * Fully ordered; pairs with the acquire in get_unlocked().
		 */
		atomic64_or(KVBM_W_FORGOTTEN, &s->word);
		f->held++;
		return;
	}
	kvbm_to_reset(st, id, kvbm_w_gen(w) + 1);
	f->idle++;
}

/**
 * kvbm_forget_chunk() - forget hashes
 * @st: the store
 * @keys: hashes
 * @n: elements, at most KVBM_CHUNK
 * @f: the results are added
 *
 * Claims of them end.
 *
 * Return: elements done; fewer than @n: call again for the rest.
 */
u32 kvbm_forget_chunk(struct kvbm_store *st, const struct kvbm_hash *keys,
		      u32 n, struct kvbm_forgotten *f)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 i;

	for (i = 0; i < n && kvbm_lock_store(&l); i++) {
		u32 hash = kvbm_index_key(st, &keys[i]);
		struct kvbm_slot *s = kvbm_index_find(st, &keys[i], hash);

		if (s)
			forget_slot(st, s, f);
		if (unlikely(st->claims.nr))
			kvbm_claim_forgotten(st, &keys[i], hash);
	}
	kvbm_unlock_notify(&l);
	kvbm_claims_notify(st);
	kvbm_prune_end(st, l.prune);
	return i;
}

/**
 * kvbm_forget_epoch() - begin a new epoch for allocations
 * @st: the store
 *
 * Claims end with their blocks, which can only be released now.
 */
void kvbm_forget_epoch(struct kvbm_store *st)
{
	spin_lock(&st->lock);
	WRITE_ONCE(st->epoch, st->epoch + 1);
	spin_unlock(&st->lock);
}

/**
 * kvbm_forget_some() - forget the registered blocks of a range
 * @st: the store
 * @from: in and out: the first of them
 * @f: the results are added
 *
 * Return: whether there are more.
 */
bool kvbm_forget_some(struct kvbm_store *st, u32 *from,
		      struct kvbm_forgotten *f)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 end = min(st->cfg.total, *from + KVBM_CHUNK), id;

	for (id = *from; id < end && kvbm_lock_store(&l); id++) {
		struct kvbm_slot *s = &st->slots[id];
		u64 w = kvbm_slot_word(s);

		if (kvbm_w_state(w) == KVBM_STATE_PRIMARY)
			forget_slot(st, s, f);
		else if (kvbm_w_state(w) == KVBM_STATE_STAGED &&
			 unlikely(st->claims.nr) && s->at != st->epoch)
			kvbm_claim_forgotten(st, &s->key, s->hash);
	}
	*from = id;
	kvbm_unlock_notify(&l);
	kvbm_claims_notify(st);
	kvbm_prune_end(st, l.prune);
	return id < st->cfg.total;
}

/* --- prefixes ------------------------------------------------------------ */

/**
 * struct behind - the registered blocks behind a prefix's position
 * @order: position << 32 | block, twice as many entries as blocks
 * @nr: how many
 * @set: node keys of forgotten blocks, 0: free; a power of two, half empty
 * @mask: its size, less one
 * @key: of the hash for places in it: of this call alone, so nobody
 *	can make many names collide
 */
struct behind {
	u64 *order;
	u32 nr;
	u64 *set;
	u32 mask;
	siphash_key_t key;
};

/* The name of a parent with this hash in a child at @position; never 0. */
static u64 name_of(u32 position, u64 fragment)
{
	u32 bits = kvbm_parent_bits(position);
	u32 mode = (54 - bits) / 8;

	/* Positions from 1 on, of 8, 16 or 24 bits: everything fits. */
	return (u64)mode << 62 | (u64)position << bits |
	       (fragment & GENMASK_ULL(bits - 1, 0));
}

static u64 current_of(const struct kvbm_hash *h)
{
	u32 bits = kvbm_parent_bits(kvbm_hash_position(h));

	return h->hi << (64 - bits) | h->lo >> bits;
}

/* Where in the set the name is, or would be. */
static u32 set_find(const struct behind *b, u64 name)
{
	u32 at = siphash_1u64(name, &b->key) & b->mask;

	while (b->set[at] && b->set[at] != name)
		at = (at + 1) & b->mask;
	return at;
}

static void set_add(struct behind *b, u64 name)
{
	b->set[set_find(b, name)] = name;
}

static bool set_has(const struct behind *b, u64 name)
{
	return b->set[set_find(b, name)];
}

/* Registered, or Staged: its hash may be claimed. */
static bool is_behind(const struct kvbm_slot *s, u32 position)
{
	enum kvbm_state state = kvbm_w_state(kvbm_slot_word(s));

	return (state == KVBM_STATE_PRIMARY || state == KVBM_STATE_STAGED) &&
	       kvbm_hash_position(&s->key) > position;
}

/*
 * Collect blocks [@from, ...) behind a position, up to a chunk, into @to, or
 * only count them.
 */
static u32 look(struct kvbm_store *st, u32 *from, u32 position, u64 *to,
		u32 room)
{
	u32 end = min(st->cfg.total, *from + KVBM_CHUNK), id, n = 0;

	spin_lock(&st->lock);
	for (id = *from; id < end && n < room; id++) {
		const struct kvbm_slot *s = &st->slots[id];

		if (!is_behind(s, position))
			continue;
		if (to)
			to[n] = (u64)kvbm_hash_position(&s->key) << 32 | id;
		n++;
	}
	spin_unlock(&st->lock);
	*from = id;
	return n;
}

static int next(u32 done)
{
	if (done % 4096)
		return 0;
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* Sort by position, eight bits at a time; others can run between chunks. */
static int sort_behind(struct behind *b)
{
	u64 *from = b->order, *to = b->order + b->nr;
	u32 shift, i;
	int err;

	for (shift = 32; shift < 32 + 24; shift += 8) {
		u32 at[256] = {}, sum = 0;

		for (i = 0; i < b->nr; i++) {
			at[from[i] >> shift & 255]++;
			err = next(i);
			if (err)
				return err;
		}
		for (i = 0; i < 256; i++) {
			sum += at[i];
			at[i] = sum - at[i];
		}
		for (i = 0; i < b->nr; i++) {
			to[at[from[i] >> shift & 255]++] = from[i];
			err = next(i);
			if (err)
				return err;
		}
		swap(from, to);
	}
	/* After three rounds they are in the second half. */
	b->order = from;
	return 0;
}

static int collect(struct kvbm_store *st, u32 position, struct behind *b)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
			  __GFP_RETRY_MAYFAIL;
	u32 from = 0, room = 0;
	u64 bytes;
	int err = 0;

	while (from < st->cfg.total && !err) {
		room += look(st, &from, position, NULL, U32_MAX);
		err = next(from);
	}
	if (err)
		return err;
	/* More may come meanwhile; later ones are not included. */
	room = min(st->cfg.total, room + room / 8 + KVBM_CHUNK);
	b->mask = roundup_pow_of_two(2 * room) - 1;
	bytes = 2 * (u64)room * sizeof(*b->order) +
		((u64)b->mask + 1) * sizeof(*b->set);
	/*
	 * Fail at once, like a store that does not fit, not after long
	 * swapping.
	 */
	if (bytes >> PAGE_SHIFT > (u64)max(si_mem_available(), 0L))
		return -ENOMEM;
	get_random_bytes(&b->key, sizeof(b->key));
	b->order = kvmalloc_array(2 * room, sizeof(*b->order), gfp);
	b->set = kvcalloc(b->mask + 1, sizeof(*b->set), gfp);
	if (!b->order || !b->set)
		err = -ENOMEM;
	for (from = 0; from < st->cfg.total && b->nr < room && !err;) {
		b->nr += look(st, &from, position, b->order + b->nr,
			      room - b->nr);
		err = next(from);
	}
	return err;
}

/* Forget the next ones, up to a chunk, whose parents were forgotten. */
static u32 forget_behind(struct kvbm_store *st, struct behind *b, u32 at,
			 struct kvbm_forgotten *f)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 end = min(b->nr, at + KVBM_CHUNK), i;

	for (i = at; i < end && kvbm_lock_store(&l); i++) {
		struct kvbm_slot *s = &st->slots[(u32)b->order[i]];
		struct kvbm_hash key = s->key;
		u32 position, hash = s->hash;

		/* It may have another hash by now, which then counts. */
		if (!is_behind(s, 0))
			continue;
		position = kvbm_hash_position(&key);
		if (!set_has(b, name_of(position, key.lo)))
			continue;
		if (position < KVBM_MAX_POSITION)
			set_add(b, name_of(position + 1, current_of(&key)));
		if (kvbm_w_state(kvbm_slot_word(s)) == KVBM_STATE_PRIMARY)
			forget_slot(st, s, f);
		if (unlikely(st->claims.nr))
			kvbm_claim_forgotten(st, &key, hash);
	}
	kvbm_unlock_notify(&l);
	kvbm_claims_notify(st);
	kvbm_prune_end(st, l.prune);
	return i;
}

/**
 * kvbm_forget_prefix() - forget a hash and all its descendants
 * @st: the store, whose hashes have lineage
 * @key: the hash, registered or not
 * @f: the results are added
 *
 * Return: 0, -ENOMEM (nothing has changed), or -EINTR after a fatal signal.
 */
int kvbm_forget_prefix(struct kvbm_store *st, const struct kvbm_hash *key,
		       struct kvbm_forgotten *f)
{
	u32 position = kvbm_hash_position(key), at = 0;
	struct behind b = {};
	u64 *order;
	int err;

	err = collect(st, position, &b);
	order = b.order;
	if (!err)
		err = sort_behind(&b);
	if (err)
		goto free;
	while (!kvbm_forget_chunk(st, key, 1, f))
		cond_resched();
	if (position < KVBM_MAX_POSITION)
		set_add(&b, name_of(position + 1, current_of(key)));
	while (at < b.nr && !err) {
		at = forget_behind(st, &b, at, f);
		cond_resched();
		if (fatal_signal_pending(current))
			err = -EINTR;
	}
free:
	kvfree(order);
	kvfree(b.set);
	return err;
}
