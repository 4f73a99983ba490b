/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * index.h - sequence hash -> registered slot: lines first, an rhashtable behind
 *
 * A line is one cache line with twelve entries of {tag, slot number}; a hash of
 * the key chooses the line and the tag.  If the line is full, an entry goes to
 * a second line, which the hash chooses too; if that one is full, to the
 * overflow table, an rhashtable whose keys are SipHashes.  The first line
 * counts what went further, and keeps a filter of it.  So a lookup is one line,
 * now and then two, and hardly ever a SipHash and one lookup more, whatever
 * keys callers choose, even if they know the secrets that choose lines.
 *
 * All memory is allocated with the store.  Nothing grows, shrinks or rehashes.
 *
 * Changes are made under the store's lock; readers take none.  An entry stays
 * where it is until its block is no longer registered: a reader that misses a
 * key looked at a moment when it was not there.  What a reader finds may have
 * been recycled since: it compares the key, between two reads of the slot's
 * word.
 */
#ifndef KVBM_INDEX_H
#define KVBM_INDEX_H

#include <linux/bitops.h>
#include <linux/math64.h>
#include <linux/prefetch.h>
#include "core.h"

/* In the slot's ->at: an overflow node's number, not a line's entry. */
#define KVBM_AT_OVER		BIT(31)
/* In the slot's ->at: an entry of its second line. */
#define KVBM_AT_SECOND		BIT(30)

/* While a chunk's ids are candidates: not in its line, nothing went further. */
#define KVBM_FIND_NONE		KVBM_NO_BLOCK
/* Maybe behind the first candidate, or further. */
#define KVBM_FIND_LINE		(KVBM_NO_BLOCK - 1)
/* Not in its line, maybe further; below it are slots. */
#define KVBM_FIND_MORE		(KVBM_NO_BLOCK - 2)

/*
 * Callers choose the keys, and some count up: a secret multiplication of 64 by
 * 64 bits, whose halves are folded into one, and another one.  (Sums of 32-bit
 * products, which are universal too, put such keys into few lines for one
 * secret in 20.)  Without the secrets nobody can make keys collide more often
 * than chance does.  With them, one can fill lines, and then the overflow
 * table.
 *
 * From the top, the bits choose the line; from the bottom, seven the tag in the
 * entry, the lowest three of them the filter's bit, and seven the tag.
 */
static __always_inline u32 kvbm_index_hash(const struct kvbm_hash *k,
					   const u64 *secret)
{
	u64 a = k->lo ^ secret[0], b = k->hi ^ secret[1];

	return (a * b ^ mul_u64_u64_shr(a, b, 64)) * secret[2] >> 32;
}

#define KVBM_TAG_ONES	0x0101010101010101ULL
#define KVBM_TAG_TOPS	0x8080808080808080ULL
#define KVBM_REST_TOPS	0x80808080ULL		/* of the tags in ->rest */

/* 1 to 127: 0 is a free entry's. */
static __always_inline u64 kvbm_index_tag(u32 h)
{
	u32 tag = h >> 7 & 127;

	return tag + !tag;
}

/* The top bit of each byte of @tags that equals the bytes of @all. */
static __always_inline u64 kvbm_index_equal(u64 tags, u64 all)
{
	/* Bytes below 0x80 only, so nothing is borrowed from the next. */
	return (KVBM_TAG_TOPS - (tags ^ all)) & KVBM_TAG_TOPS;
}

/* The same for the four tags in ->rest; borrows only go up, from them. */
static __always_inline u64 kvbm_index_equal_rest(u64 rest, u64 all)
{
	return (KVBM_REST_TOPS - ((rest ^ all) & U32_MAX)) & KVBM_REST_TOPS;
}

/* More of the hash, above a slot number of up to 25 bits. */
#define KVBM_ENTRY_ID		0x01ffffffU

static __always_inline u32 kvbm_index_entry_tag(u32 h)
{
	return h << 25;
}

/* In ->rest, above its tags: a filter and a count of what went further. */
#define KVBM_REST_COUNT_SHIFT	40
#define KVBM_REST_COUNT		BIT_ULL(KVBM_REST_COUNT_SHIFT)
#define KVBM_REST_FILTER	(0xffULL << 32)

static __always_inline u64 kvbm_index_filter(u32 h)
{
	return BIT_ULL(32) << (h & 7);
}

static __always_inline struct kvbm_line *
kvbm_index_line(struct kvbm_line *lines, u32 nr_lines, u32 h)
{
	return &lines[(u64)h * nr_lines >> 32];
}

/* Where a hash goes if its line is full: by other bits, equally good. */
static __always_inline struct kvbm_line *
kvbm_index_second(const struct kvbm_store *st, u32 h)
{
	return kvbm_index_line(st->index.lines, st->index.nr_lines,
			       h * st->index.second);
}

u64 kvbm_index_need(const struct kvbm_config *cfg);
int kvbm_index_init(struct kvbm_store *st);
void kvbm_index_exit(struct kvbm_store *st);
struct kvbm_slot *kvbm_index_find(const struct kvbm_store *st,
				  const struct kvbm_hash *key, u32 h);
struct kvbm_slot *kvbm_index_find_further(const struct kvbm_store *st,
					  const struct kvbm_hash *key, u32 h);
struct kvbm_slot *kvbm_index_insert(struct kvbm_store *st,
				    struct kvbm_slot *s);
void kvbm_index_remove(struct kvbm_store *st, struct kvbm_slot *s);
void kvbm_index_over_idle(struct kvbm_store *st, struct kvbm_slot *s);
void kvbm_index_over_busy(struct kvbm_store *st, struct kvbm_slot *s);
u32 kvbm_index_over_victim(const struct kvbm_store *st);

/* A registered block becomes inactive, or is held again. */
static inline void kvbm_index_idle(struct kvbm_store *st, struct kvbm_slot *s)
{
	if (unlikely(s->at & KVBM_AT_OVER))
		kvbm_index_over_idle(st, s);
}

static inline void kvbm_index_busy(struct kvbm_store *st, struct kvbm_slot *s)
{
	if (unlikely(s->at & KVBM_AT_OVER))
		kvbm_index_over_busy(st, s);
}

static inline u32 kvbm_index_key(const struct kvbm_store *st,
				 const struct kvbm_hash *key)
{
	return kvbm_index_hash(key, st->index.secret);
}

/*
 * A key's SipHash, for the overflow table.  The kernel's short one is made for
 * hash tables, whose hashes nobody sees.  Keys are also compared in full, and
 * rhashtable uses only 32 bits: see Documentation/design.rst for the cost of
 * more.
 */
static inline u32 kvbm_index_sip(const struct kvbm_store *st,
				 const struct kvbm_hash *key)
{
	return hsiphash_4u32(key->hi, key->hi >> 32, key->lo, key->lo >> 32,
			     &st->index.sip_key);
}

/* Prefetch the line of a hash, to change it. */
static __always_inline void kvbm_index_prefetchw(const struct kvbm_store *st,
						 u32 h)
{
	prefetchw(kvbm_index_line(st->index.lines, st->index.nr_lines, h));
}

/*
 * Does a slot found in a line have the tag and the entry's bits of a hash?  If
 * so, no other in that line has: see line_takes().  If not, it came there after
 * the tags were read, and hides the entry that they belonged to.
 */
static __always_inline bool kvbm_index_alike(const struct kvbm_slot *s, u32 h)
{
	return !((READ_ONCE(s->hash) ^ h) << (32 - 14));
}

/* The first candidate in a line, or KVBM_FIND_*. */
static __always_inline u32 kvbm_index_candidate(const struct kvbm_line *l,
						u32 h)
{
	u64 all = kvbm_index_tag(h) * KVBM_TAG_ONES;
	u64 m = kvbm_index_equal(READ_ONCE(l->tags), all), rest;
	u32 at;

	/* Where an entry is read depends on the tags: that orders the reads. */
	if (likely(m)) {
		at = (u32)__ffs64(m) / 8;
	} else {
		rest = READ_ONCE(l->rest);
		m = kvbm_index_equal_rest(rest, all);
		if (!m)
			return likely(!(rest & kvbm_index_filter(h))) ?
			       KVBM_FIND_NONE : KVBM_FIND_MORE;
		at = 8 + (u32)__ffs64(m) / 8;
	}
	at = READ_ONCE(l->entry[at]) ^ kvbm_index_entry_tag(h);
	return likely(at <= KVBM_ENTRY_ID) ? at : KVBM_FIND_LINE;
}

/**
 * struct kvbm_finding - lookup of a chunk's keys, step by step
 * @lines: the index's
 * @nr_lines: likewise
 * @secret: likewise
 * @second: likewise
 * @slots: the store's
 * @table: of the session's counts, or NULL
 *
 * These are copies: the compiler cannot know that nobody changes the originals.
 */
struct kvbm_finding {
	struct kvbm_line *lines;
	u32 nr_lines;
	u64 secret[3];
	u32 second;
	struct kvbm_slot *slots;
	u32 *const *table;
};

static __always_inline struct kvbm_finding
kvbm_finding_init(const struct kvbm_store *st, u32 *const *table)
{
	return (struct kvbm_finding) {
		.lines = st->index.lines,
		.nr_lines = st->index.nr_lines,
		.secret = { st->index.secret[0], st->index.secret[1],
			    st->index.secret[2] },
		.second = st->index.second,
		.slots = st->slots,
		.table = table,
	};
}

/* First step for element @i: fill c->hash, prefetch the line. */
static __always_inline void kvbm_find_line(const struct kvbm_finding *f,
					   struct kvbm_chunk *c, u32 i)
{
	u32 h = kvbm_index_hash(&c->keys[i], f->secret);

	c->hash[i] = h;
	prefetch(kvbm_index_line(f->lines, f->nr_lines, h));
}

/*
 * Second step, some elements later: fill c->ids with the first candidate,
 * prefetch its slot, and its count if there is a table.
 */
static __always_inline void kvbm_find_slot(const struct kvbm_finding *f,
					   struct kvbm_chunk *c, u32 i)
{
	u32 h = c->hash[i], id;

	id = kvbm_index_candidate(kvbm_index_line(f->lines, f->nr_lines, h), h);
	c->ids[i] = id;
	if (unlikely(id >= KVBM_FIND_MORE)) {
		if (id != KVBM_FIND_NONE)
			prefetch(kvbm_index_line(f->lines, f->nr_lines,
						 h * f->second));
		return;
	}
	prefetch(&f->slots[id]);
	if (f->table)
		kvbm_count_prefetch(f->table, id);
}

/*
 * A key of a prepared chunk with its first candidate, @id: is it present?  @id:
 * where; @w: the slot's word before the key was compared: if it can be changed
 * from that value, or has the same generation and state afterwards, it is the
 * right block.
 */
static __always_inline bool
kvbm_index_is_at(struct kvbm_slot *slots, const struct kvbm_hash *key, u32 id,
		 u64 *w)
{
	if (unlikely(id >= KVBM_FIND_MORE))
		return false;
	*w = atomic64_read_acquire(&slots[id].word);
	return likely(kvbm_slot_is(&slots[id], key));
}

/* For the second lookup, see kvbm_index_find_again(). */
static __always_inline struct kvbm_slot *
kvbm_index_slot_again(const struct kvbm_store *st, const struct kvbm_chunk *c,
		      u32 i, const bool now)
{
	const struct kvbm_hash *key = &c->keys[i];
	u32 id = c->ids[i], h = c->hash[i];
	struct kvbm_slot *s;

	if (id < KVBM_FIND_MORE) {
		if (unlikely(!kvbm_index_alike(&st->slots[id], h)))
			return kvbm_index_find(st, key, h);
	} else if (id == KVBM_FIND_LINE) {
		return kvbm_index_find(st, key, h);
	}
	s = kvbm_index_find_further(st, key, h);
	return now && !s ? kvbm_index_find(st, key, h) : s;
}

/*
 * The same for element @i, if the candidate is not trusted, or is another's.
 *
 * False: at some moment since the chunk's lines were read, it was absent;
 * with @now, at a moment since this call.
 */
static __always_inline bool
kvbm_index_find_again(const struct kvbm_store *st, const struct kvbm_chunk *c,
		      u32 i, const bool now, u32 *id, u64 *w)
{
	struct kvbm_slot *s = kvbm_index_slot_again(st, c, i, now);

	if (!s)
		return false;
	*id = kvbm_slot_id(st, s);
	*w = atomic64_read_acquire(&s->word);
	if (!kvbm_slot_is(s, &c->keys[i]))
		*w = 0;
	return true;
}

/* One key, outside a chunk. */
static inline struct kvbm_slot *kvbm_index_lookup(const struct kvbm_store *st,
						  const struct kvbm_hash *key)
{
	return kvbm_index_find(st, key, kvbm_index_key(st, key));
}

#endif /* KVBM_INDEX_H */
