// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * index.c - sequence hash -> registered slot: lines, and what overflows them
 *
 * Lines take twelve entries and have seven on average, with lineage eight.
 * While blocks come and go, one registration in 30, or 14, meets a full line
 * and goes to its second line.  One in 940, or 221, goes further: the overflow
 * table takes one block in 16.
 *
 * If the overflow table is full, somebody who knows the lines' secrets chose
 * his keys.  Then a registration that meets two full lines evicts the block of
 * the overflow table that has been inactive for longest, and fails only while
 * all of them are held.
 *
 * The overflow table is one rhashtable, or several if one would need more
 * buckets than rhashtable_init() makes at once.  Its nodes are type-stable: a
 * reader on a node that moved to another chain notices it at that chain's end,
 * as rhashtable's own lookup does.  A chain that would make rhashtable rehash
 * takes no further node: with SipHashes under a secret key, that does not
 * happen.
 */
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include "index.h"

/*
 * Entries per line on average, if all blocks are registered.  Lineage needs
 * memory for another table, and lives with fuller lines.
 */
#define LINE_LOAD		7
#define LINE_LOAD_LINEAGE	8
#define LINE_ENTRIES		12

/* The overflow's share, and the minimum for small stores. */
#define OVER_SHARE		16
#define OVER_LEAST		256

/* As many buckets as rhashtable's 16-bit hint can ask for. */
#define TABLE_BUCKETS		131072U
#define TABLE_BUCKETS_MIN	64U

/* At 16 nodes in a chain rhashtable rehashes. */
#define CHAIN_MAX		14

/**
 * struct kvbm_over_node - a registered block that does not fit into its lines
 * @head: in one of the overflow tables
 * @sip: kvbm_index_sip() of the key
 * @slot: the block
 * @prev: among inactive ones, in order of becoming inactive
 * @next: likewise; for a free one, the next free one
 * @idle: it is among them
 *
 * Readers see @head, @sip and @slot; everything else is under the store's lock.
 */
struct kvbm_over_node {
	struct rhash_head head;
	u32 sip;
	u32 slot;
	u32 prev;
	u32 next;
	bool idle;
};

/* What a lookup compares with; begins with the hashed part. */
struct over_key {
	u32 sip;
	const struct kvbm_hash *key;
	const struct kvbm_slot *slots;
};

static __always_inline u32 over_hashfn(const void *data, u32 len, u32 seed)
{
	/* A SipHash: as good as any seed could make it. */
	return READ_ONCE(*(const u32 *)data);
}

static inline int over_cmpfn(struct rhashtable_compare_arg *arg,
			     const void *obj)
{
	const struct kvbm_over_node *n = obj;
	const struct over_key *k = arg->key;

	return READ_ONCE(n->sip) != k->sip ||
	       !kvbm_slot_is(&k->slots[READ_ONCE(n->slot)], k->key);
}

static const struct rhashtable_params over_params = {
	.key_len = sizeof(u32),
	.key_offset = offsetof(struct kvbm_over_node, sip),
	.head_offset = offsetof(struct kvbm_over_node, head),
	.hashfn = over_hashfn,
	.obj_cmpfn = over_cmpfn,
};

/* By other bits than its buckets. */
static struct rhashtable *over_table(const struct kvbm_store *st, u32 sip)
{
	return &st->index.tables[sip / TABLE_BUCKETS &
				 (st->index.nr_tables - 1)];
}

static u32 nr_lines_of(const struct kvbm_config *cfg)
{
	return DIV_ROUND_UP(cfg->total, cfg->policy->needs_lineage ?
					LINE_LOAD_LINEAGE : LINE_LOAD);
}

static u32 over_capacity_of(u32 total)
{
	return min(total, max_t(u32, total / OVER_SHARE, OVER_LEAST));
}

/* Buckets in all tables: at least one a node. */
static u32 over_buckets_of(u32 total)
{
	return max_t(u32, roundup_pow_of_two(over_capacity_of(total)),
		     TABLE_BUCKETS_MIN);
}

/**
 * kvbm_index_need() - the most bytes that kvbm_index_init() allocates
 * @cfg: the store's configuration
 *
 * rhashtable allocates its buckets itself, charged to nobody, and maybe twice
 * as large: a power of two of pages.
 */
u64 kvbm_index_need(const struct kvbm_config *cfg)
{
	u32 buckets = over_buckets_of(cfg->total);

	return kvbm_array_need(nr_lines_of(cfg),
			       sizeof(struct kvbm_line)) +
	       kvbm_array_need(over_capacity_of(cfg->total),
			       sizeof(struct kvbm_over_node)) +
	       2 * PAGE_ALIGN((u64)buckets * sizeof(void *)) + PAGE_SIZE;
}

static int over_table_init(struct rhashtable *ht, u32 size)
{
	struct rhashtable_params params = over_params;
	bool whole;
	int err;

	/* Never larger than at first, so it never tries to grow. */
	params.max_size = size;
	params.nelem_hint = min(size / 4 * 3, (u32)U16_MAX);
	err = rhashtable_init(ht, &params);
	if (err)
		return err;

	/* Without memory, rhashtable begins with a small table. */
	rcu_read_lock();
	whole = rht_dereference_rcu(ht->tbl, ht)->size == size;
	rcu_read_unlock();
	if (whole)
		return 0;
	rhashtable_destroy(ht);
	return -ENOMEM;
}

static int over_init(struct kvbm_store *st)
{
	u32 buckets = over_buckets_of(st->cfg.total);
	struct kvbm_index *ix = &st->index;
	u32 nr, size;
	int err;

	ix->over_capacity = over_capacity_of(st->cfg.total);
	ix->over = kvbm_array_alloc(st, ix->over_capacity, sizeof(*ix->over));
	if (!ix->over)
		return -ENOMEM;
	size = min(buckets, TABLE_BUCKETS);
	nr = buckets / size;
	ix->tables = kcalloc(nr, sizeof(*ix->tables), GFP_KERNEL_ACCOUNT);
	if (!ix->tables)
		return -ENOMEM;
	for (; ix->nr_tables < nr; ix->nr_tables++) {
		err = over_table_init(&ix->tables[ix->nr_tables], size);
		if (err)
			return err;
		st->memory += (u64)size * sizeof(void *);
	}
	st->overflow.free = KVBM_NIL;
	st->overflow.first = KVBM_NIL;
	st->overflow.last = KVBM_NIL;
	return 0;
}

/**
 * kvbm_index_init() - create a store's index
 * @st: the store
 *
 * Return: 0, or -ENOMEM, which leaves nothing behind.
 */
int kvbm_index_init(struct kvbm_store *st)
{
	struct kvbm_index *ix = &st->index;
	int err = -ENOMEM;

	BUILD_BUG_ON(sizeof(struct kvbm_line) != 64);
	BUILD_BUG_ON(KVBM_MAX_BLOCKS - 1 > KVBM_ENTRY_ID);
	BUILD_BUG_ON(KVBM_MAX_BLOCKS / OVER_SHARE >>
		     (64 - KVBM_REST_COUNT_SHIFT));

	get_random_bytes(ix->secret, sizeof(ix->secret));
	ix->secret[2] |= 1;
	ix->second = get_random_u32() | 1;
	get_random_bytes(&ix->sip_key, sizeof(ix->sip_key));
	ix->nr_lines = nr_lines_of(&st->cfg);
	ix->lines = kvbm_array_alloc(st, ix->nr_lines, sizeof(*ix->lines));
	if (ix->lines)
		err = over_init(st);
	if (err)
		kvbm_index_exit(st);
	return err;
}

/**
 * kvbm_index_exit() - free a store's index
 * @st: the store; nobody looks anything up any more
 */
void kvbm_index_exit(struct kvbm_store *st)
{
	struct kvbm_index *ix = &st->index;

	while (ix->nr_tables)
		rhashtable_destroy(&ix->tables[--ix->nr_tables]);
	kfree(ix->tables);
	kvbm_array_free(ix->over);
	kvbm_array_free(ix->lines);
}

/*
 * Look in the overflow table; @sip: out, or NULL.  One function with
 * rhashtable's lookup, and separate from the others, which need not save
 * registers for it.
 */
static noinline __flatten struct kvbm_slot *
over_find(const struct kvbm_store *st, const struct kvbm_hash *key, u32 *sip)
{
	struct over_key k = {
		.sip = kvbm_index_sip(st, key),
		.key = key,
		.slots = st->slots,
	};
	struct kvbm_over_node *n;

	if (sip)
		*sip = k.sip;
	/* A node is never freed, only reused. */
	n = rhashtable_lookup_fast(over_table(st, k.sip), &k, over_params);
	return n ? &st->slots[READ_ONCE(n->slot)] : NULL;
}

/*
 * Among one word's entries @m, from @first on, that have a hash's tag: the slot
 * with the key.  False: it is in this word or nowhere in the line.
 */
static __always_inline bool
word_find(const struct kvbm_store *st, const struct kvbm_line *l,
	  const u32 first, u64 m, const struct kvbm_hash *key, u32 h,
	  struct kvbm_slot **found)
{
	*found = NULL;
	/* The entry's address depends on the tags, which orders the reads. */
	for (; m; m &= m - 1) {
		u32 at = first + (u32)__ffs64(m) / 8, id;
		struct kvbm_slot *s;

		id = READ_ONCE(l->entry[at]) ^ kvbm_index_entry_tag(h);
		if (id > KVBM_ENTRY_ID)
			continue;
		s = &st->slots[id];
		if (kvbm_slot_is(s, key)) {
			*found = s;
			return false;
		}
		if (likely(kvbm_index_alike(s, h)))
			return false;
	}
	return true;
}

/* The slot in a line that has a key, or NULL. */
static __always_inline struct kvbm_slot *
line_find(const struct kvbm_store *st, const struct kvbm_line *l,
	  const struct kvbm_hash *key, u32 h)
{
	u64 all = kvbm_index_tag(h) * KVBM_TAG_ONES;
	struct kvbm_slot *s;

	if (word_find(st, l, 0, kvbm_index_equal(READ_ONCE(l->tags), all), key,
		      h, &s))
		word_find(st, l, 8,
			  kvbm_index_equal_rest(READ_ONCE(l->rest), all), key,
			  h, &s);
	return s;
}

/* In its second line, or in the overflow table. */
static noinline struct kvbm_slot *find_further(const struct kvbm_store *st,
					       const struct kvbm_hash *key,
					       u32 h)
{
	struct kvbm_slot *s;

	s = line_find(st, kvbm_index_second(st, h), key, h);
	/*
	 * Even without the lock, a count of 0 means that it is empty: a block
	 * is counted before its word says that it is registered.
	 */
	if (s || likely(!READ_ONCE(st->overflow.used)))
		return s;
	return over_find(st, key, NULL);
}

/**
 * kvbm_index_find_further() - the slot that has a key, not in its first line
 * @st: the store
 * @key: sequence hash
 * @h: its kvbm_index_key()
 *
 * As kvbm_index_find().
 *
 * Return: the slot, or NULL: it was not there, or is in its first line.
 */
struct kvbm_slot *kvbm_index_find_further(const struct kvbm_store *st,
					  const struct kvbm_hash *key, u32 h)
{
	const struct kvbm_line *l;

	l = kvbm_index_line(st->index.lines, st->index.nr_lines, h);
	if (likely(!(READ_ONCE(l->rest) & kvbm_index_filter(h))))
		return NULL;
	return find_further(st, key, h);
}

/**
 * kvbm_index_find() - the slot that has a key
 * @st: the store
 * @key: sequence hash
 * @h: its kvbm_index_key()
 *
 * Without the store's lock, the slot may have another key by the time it
 * is returned.
 *
 * Return: the slot, or NULL.
 */
struct kvbm_slot *kvbm_index_find(const struct kvbm_store *st,
				  const struct kvbm_hash *key, u32 h)
{
	struct kvbm_slot *s;

	s = line_find(st, kvbm_index_line(st->index.lines, st->index.nr_lines,
					  h), key, h);
	return s ?: kvbm_index_find_further(st, key, h);
}

/* A block's line records that it went further, or no longer did. */
static void further_count(struct kvbm_store *st, u32 h, bool add)
{
	struct kvbm_line *l;
	u64 rest;

	lockdep_assert_held(&st->lock);
	l = kvbm_index_line(st->index.lines, st->index.nr_lines, h);
	rest = l->rest;
	if (add) {
		rest = (rest + KVBM_REST_COUNT) | kvbm_index_filter(h);
	} else {
		rest -= KVBM_REST_COUNT;
		if (!(rest >> KVBM_REST_COUNT_SHIFT))
			rest &= ~KVBM_REST_FILTER;
	}
	WRITE_ONCE(l->rest, rest);
}

/* Would one more make rhashtable think of attacks, and rehash? */
static bool chain_full(struct rhashtable *ht, u32 sip)
{
	struct bucket_table *tbl;
	struct rhash_head *he;
	u32 n = 0, bucket;

	rcu_read_lock();
	tbl = rht_dereference_rcu(ht->tbl, ht);
	bucket = rht_bucket_index(tbl, over_hashfn(&sip, sizeof(sip), 0));
	rht_for_each_rcu(he, tbl, bucket)
		n++;
	rcu_read_unlock();
	return n > CHAIN_MAX;
}

static noinline struct kvbm_slot *over_insert(struct kvbm_store *st,
					      struct kvbm_slot *s, u32 sip)
{
	struct kvbm_overflow *ov = &st->overflow;
	struct rhashtable *ht = over_table(st, sip);
	struct kvbm_over_node *n;
	u32 at = ov->free;

	lockdep_assert_held(&st->lock);
	if (at == KVBM_NIL)
		at = ov->fresh;
	if (at == st->index.over_capacity || unlikely(chain_full(ht, sip)))
		return ERR_PTR(-ENOBUFS);
	n = &st->index.over[at];
	WRITE_ONCE(n->sip, sip);
	WRITE_ONCE(n->slot, kvbm_slot_id(st, s));
	n->idle = false;
	/* Neither full nor in need of growth: it cannot fail. */
	if (WARN_ON_ONCE(rhashtable_insert_fast(ht, &n->head, over_params)))
		return ERR_PTR(-ENOBUFS);
	if (ov->free == at)
		ov->free = n->next;
	else
		ov->fresh++;
	WRITE_ONCE(ov->used, ov->used + 1);
	s->at = KVBM_AT_OVER | at;
	further_count(st, s->hash, true);
	st->nr_registered++;
	return NULL;
}

static noinline void over_remove(struct kvbm_store *st, struct kvbm_slot *s)
{
	struct kvbm_overflow *ov = &st->overflow;
	u32 at = s->at & ~KVBM_AT_OVER;
	struct kvbm_over_node *n = &st->index.over[at];

	lockdep_assert_held(&st->lock);
	if (n->idle)
		kvbm_index_over_busy(st, s);
	WARN_ON_ONCE(rhashtable_remove_fast(over_table(st, n->sip), &n->head,
					    over_params));
	further_count(st, s->hash, false);
	n->next = ov->free;
	ov->free = at;
	WRITE_ONCE(ov->used, ov->used - 1);
	s->at = 0;
}

/* A block in the overflow table became inactive: append it. */
void kvbm_index_over_idle(struct kvbm_store *st, struct kvbm_slot *s)
{
	struct kvbm_over_node *nodes = st->index.over;
	struct kvbm_overflow *ov = &st->overflow;
	u32 at = s->at & ~KVBM_AT_OVER;

	lockdep_assert_held(&st->lock);
	nodes[at].idle = true;
	nodes[at].prev = ov->last;
	nodes[at].next = KVBM_NIL;
	if (ov->last == KVBM_NIL)
		ov->first = at;
	else
		nodes[ov->last].next = at;
	ov->last = at;
}

/* It is no longer inactive. */
void kvbm_index_over_busy(struct kvbm_store *st, struct kvbm_slot *s)
{
	struct kvbm_over_node *nodes = st->index.over;
	struct kvbm_overflow *ov = &st->overflow;
	u32 at = s->at & ~KVBM_AT_OVER;
	u32 prev = nodes[at].prev, next = nodes[at].next;

	lockdep_assert_held(&st->lock);
	nodes[at].idle = false;
	if (prev == KVBM_NIL)
		ov->first = next;
	else
		nodes[prev].next = next;
	if (next == KVBM_NIL)
		ov->last = prev;
	else
		nodes[next].prev = prev;
}

/* The victim in a full overflow table: inactive for longest, or KVBM_NIL. */
u32 kvbm_index_over_victim(const struct kvbm_store *st)
{
	u32 first = st->overflow.first;

	lockdep_assert_held(&st->lock);
	return first == KVBM_NIL ? KVBM_NIL : st->index.over[first].slot;
}

/* Does an entry of a word match the rest of a hash? */
static bool word_alike(const u32 *entry, u64 m, u32 h)
{
	for (; m; m &= m - 1)
		if ((entry[__ffs64(m) / 8] ^ kvbm_index_entry_tag(h)) <=
		    KVBM_ENTRY_ID)
			return true;
	return false;
}

/*
 * Readers look at two entries of a line, and compare one key: so no entry goes
 * where two have its tag, or one looks like it.
 */
static bool line_takes(const struct kvbm_line *l, u32 h)
{
	u64 all = kvbm_index_tag(h) * KVBM_TAG_ONES;
	u64 m = kvbm_index_equal(l->tags, all);
	u64 rest = kvbm_index_equal_rest(l->rest, all);
	/* Tops of bytes, both: make them distinct. */
	u64 both = m | rest >> 1;

	return !both || (!(both & (both - 1)) &&
			 !word_alike(l->entry, m, h) &&
			 !word_alike(l->entry + 8, rest, h));
}

/* Put a block into a line; false: it is full. */
static __always_inline bool line_insert(struct kvbm_store *st,
					struct kvbm_line *l,
					struct kvbm_slot *s)
{
	u32 h = s->hash, entry = kvbm_slot_id(st, s) | kvbm_index_entry_tag(h);
	u64 tag = kvbm_index_tag(h), free = kvbm_index_equal(l->tags, 0);
	u32 at;

	/* The entry, then its tag: pairs with kvbm_index_candidate(). */
	if (likely(free)) {
		at = __ffs64(free) / 8;
		WRITE_ONCE(l->entry[at], entry);
		/* Pairs with kvbm_index_candidate(). */
		smp_store_release(&l->tags, l->tags | tag << at * 8);
	} else {
		free = kvbm_index_equal_rest(l->rest, 0);
		if (unlikely(!free))
			return false;
		at = __ffs64(free) / 8;
		WRITE_ONCE(l->entry[8 + at], entry);
		/* As above. */
		smp_store_release(&l->rest, l->rest | tag << at * 8);
		at += 8;
	}
	s->at = (l - st->index.lines) << 4 | at;
	return true;
}

/*
 * Its line is full, or has entries with its tag, or a look-alike went further.
 */
static noinline struct kvbm_slot *insert_slow(struct kvbm_store *st,
					      struct kvbm_slot *s,
					      struct kvbm_line *l)
{
	struct kvbm_line *second = kvbm_index_second(st, s->hash);
	bool hashed = false;
	u32 h = s->hash;
	struct kvbm_slot *old;
	u32 sip = 0;

	lockdep_assert_held(&st->lock);
	old = line_find(st, l, &s->key, h);
	if (!old && l->rest & kvbm_index_filter(h)) {
		old = line_find(st, second, &s->key, h);
		if (!old && st->overflow.used) {
			hashed = true;
			old = over_find(st, &s->key, &sip);
		}
	}
	if (old)
		return old;
	if (line_takes(l, h) && line_insert(st, l, s)) {
		st->nr_registered++;
		return NULL;
	}
	if (line_takes(second, h) && line_insert(st, second, s)) {
		s->at |= KVBM_AT_SECOND;
		further_count(st, h, true);
		st->nr_registered++;
		return NULL;
	}
	return over_insert(st, s, hashed ? sip : kvbm_index_sip(st, &s->key));
}

/**
 * kvbm_index_insert() - insert a block that becomes registered
 * @st: the store, locked
 * @s: its slot, key and hash set
 *
 * Return: NULL: it is in; the slot that already has the key; or
 * ERR_PTR(-ENOBUFS): its lines and the overflow table are full. Nothing
 * has changed in the last two cases.
 */
struct kvbm_slot *kvbm_index_insert(struct kvbm_store *st, struct kvbm_slot *s)
{
	u64 all = kvbm_index_tag(s->hash) * KVBM_TAG_ONES;
	struct kvbm_line *l;

	lockdep_assert_held(&st->lock);
	l = kvbm_index_line(st->index.lines, st->index.nr_lines, s->hash);
	/* Any candidate at all? */
	if (unlikely(kvbm_index_equal(l->tags, all) |
		     kvbm_index_equal_rest(l->rest, all) |
		     (l->rest & kvbm_index_filter(s->hash))) ||
	    unlikely(!line_insert(st, l, s)))
		return insert_slow(st, s, l);
	st->nr_registered++;
	return NULL;
}

static void line_remove(struct kvbm_store *st, u32 at)
{
	struct kvbm_line *l = &st->index.lines[at >> 4];

	at &= 15;
	if (at < 8)
		WRITE_ONCE(l->tags, l->tags & ~(0xffULL << at * 8));
	else
		WRITE_ONCE(l->rest, l->rest & ~(0xffULL << (at - 8) * 8));
}

static noinline void remove_further(struct kvbm_store *st,
				    struct kvbm_slot *s)
{
	lockdep_assert_held(&st->lock);
	if (s->at & KVBM_AT_OVER) {
		over_remove(st, s);
	} else {
		line_remove(st, s->at & ~KVBM_AT_SECOND);
		further_count(st, s->hash, false);
	}
}

/**
 * kvbm_index_remove() - remove a block that is no longer registered
 * @st: the store, locked
 * @s: its slot
 */
void kvbm_index_remove(struct kvbm_store *st, struct kvbm_slot *s)
{
	lockdep_assert_held(&st->lock);
	st->nr_registered--;
	if (likely(!(s->at & (KVBM_AT_OVER | KVBM_AT_SECOND))))
		line_remove(st, s->at);
	else
		remove_further(st, s);
}
