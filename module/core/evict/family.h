/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * family.h - the lineage index's table: node key -> its carrier
 *
 * A node key is the name that children have for their parent.  An entry names a
 * slot and its role: the block that has the key itself (OWN), or a child of the
 * missing block with that key (PARENT).  A key has at most one entry, a slot at
 * most one of each kind.
 *
 * Entries are in lines of one cache line each, which the key's hash chooses.
 * With one entry per block, lines are two thirds full.  An entry whose line is
 * full goes into a chain through the slots, which SipHash chooses; the line
 * counts these, and keeps a filter of them, so nearly all lookups end in the
 * line.  So nothing is ever allocated or moved, nothing fails, and a lookup is
 * a line, a count and a chain of constant expected length, even for somebody
 * who knows the lines' secret: with two entries for each block, all in chains,
 * these have eight.
 *
 * A slot knows the place of its entries: taking one out or putting another in
 * its place is a write to the line, without a search.
 *
 * All under the store's lock.
 */
#ifndef KVBM_FAMILY_H
#define KVBM_FAMILY_H

#include <linux/bits.h>
#include <linux/bitops.h>
#include <linux/siphash.h>
#include "core.h"

/* An entry: a slot, and its role. */
#define FAMILY_OWN(id)		((id) << 1)
#define FAMILY_PARENT(id)	((id) << 1 | 1)
#define FAMILY_IS_PARENT(e)	((e) & 1)
#define FAMILY_ID(e)		((e) >> 1)
#define FAMILY_BITS		26

/* An entry's place: a line and where in it; or CHAINED, and the next entry. */
#define FAMILY_CHAINED		BIT(31)
#define FAMILY_LINE_SHIFT	4
#define FAMILY_END		GENMASK(FAMILY_BITS - 1, 0)

#define FAMILY_WIDTH		12	/* entries in a line */

/**
 * struct kvbm_family_line - a cache line of entries
 * @entry: the low FAMILY_BITS; above them more of the hash
 * @tag: 1 to 127, of the hash; 0: no entry here
 * @chained: entries that did not fit into this line: a count, and a filter
 * @word: @tag and @chained, for looking at many at once
 */
struct kvbm_family_line {
	u32 entry[FAMILY_WIDTH];
	union {
		struct {
			u8 tag[FAMILY_WIDTH];
			u32 chained;
		};
		u64 word[2];
	};
} __aligned(64);

static_assert(sizeof(struct kvbm_family_line) == 64);

/* In ->chained: a bit of the filter for each eighth of the tags; the count. */
#define FAMILY_FILTER(tag)	(BIT(24) << ((tag) & 7))
#define FAMILY_COUNT		GENMASK(23, 0)

/**
 * struct kvbm_families - the table
 * @lines: of entries
 * @heads: of the chains
 * @nr_lines: how many
 * @nr_heads: how many
 * @secret: chooses lines; the store's own
 * @chain_secret: chooses chains
 */
struct kvbm_families {
	struct kvbm_family_line *lines;
	u32 *heads;
	u32 nr_lines;
	u32 nr_heads;
	u64 secret[2];
	siphash_key_t chain_secret;
};

/**
 * struct kvbm_family_hash - the place for a key
 * @line: the line
 * @tag: as in its @tag
 * @high: as above the entry
 */
struct kvbm_family_hash {
	u32 line;
	u32 tag;
	u32 high;
};

u64 kvbm_families_need(u32 total);
int kvbm_families_init(struct kvbm_store *st, struct kvbm_families *f);
void kvbm_families_exit(struct kvbm_families *f);
void kvbm_family_add_chained(struct kvbm_store *st, struct kvbm_families *f,
			     u64 key, u32 tag, struct kvbm_family_line *l,
			     u32 entry);
void kvbm_family_replace_chained(struct kvbm_store *st, struct kvbm_families *f,
				 u32 entry, u32 by);

u32 kvbm_family_find_among(struct kvbm_store *st, struct kvbm_families *f,
			   u64 key, struct kvbm_family_hash h, u64 found);

/*
 * A node key in 64 bits: the mode, position and parent field of a child's hash.
 * These are exactly the name that children have for their parent.
 */
static __always_inline u64 kvbm_parent_key(const struct kvbm_hash *h)
{
	u32 bits;

	/* The usual mode, 0: constant shifts. */
	if (likely(h->hi < BIT_ULL(62)))
		return (h->hi & ~(BIT_ULL(54) - 1)) |
		       (h->lo & (BIT_ULL(54) - 1));
	bits = 54 - 8 * kvbm_hash_mode(h);

	return h->hi >> bits << bits | (h->lo & (BIT_ULL(bits) - 1));
}

static __always_inline u64 kvbm_own_key(const struct kvbm_hash *h)
{
	u64 top, fragment;
	u32 mode, bits;

	/* The usual mode, 0, below its last position: constant shifts. */
	if (likely(h->hi < 255ULL << 54))
		return ((h->hi >> 54) + 1) << 54 |
		       ((h->hi << 10 | h->lo >> 54) & (BIT_ULL(54) - 1));

	mode = kvbm_hash_mode(h);
	bits = 54 - 8 * mode;
	top = (h->hi >> bits) + 1;	/* mode and the children's position */
	fragment = h->hi << (64 - bits) | h->lo >> bits;

	/* If the position outgrew its field, children have the next mode. */
	if (unlikely(!(top & (BIT_ULL(62 - bits) - 1)) && mode < 2)) {
		top = BIT_ULL(8 * mode + 8) | (u64)(mode + 1) << (8 * mode + 16);
		bits -= 8;
	}
	return top << bits | (fragment & (BIT_ULL(bits) - 1));
}

/* The key of an entry. */
static inline u64 kvbm_family_key(const struct kvbm_store *st, u32 entry)
{
	const struct kvbm_slot *s = &st->slots[FAMILY_ID(entry)];

	return FAMILY_IS_PARENT(entry) ? kvbm_parent_key(&s->key) :
					 kvbm_own_key(&s->key);
}

/* The field that records an entry's place. */
static inline u32 *kvbm_family_place(const struct kvbm_store *st, u32 entry)
{
	struct kvbm_slot *s = &st->slots[FAMILY_ID(entry)];

	return FAMILY_IS_PARENT(entry) ? &s->parent_entry : &s->own_entry;
}

/*
 * A pair-multiply-shift: of the product's upper half, the top chooses the line,
 * and the rest is the tag.
 */
static inline struct kvbm_family_hash
kvbm_family_hash(const struct kvbm_families *f, u64 key)
{
	u64 h = (f->secret[0] + (u32)key) * (f->secret[1] + (key >> 32));
	u64 at = (h >> 32) * f->nr_lines;
	u32 tag = (u32)at >> 25;

	return (struct kvbm_family_hash) {
		.line = at >> 32,
		.tag = tag ?: 1,
		.high = (u32)h >> FAMILY_BITS << FAMILY_BITS,
	};
}

#define FAMILY_ONES	0x0101010101010101ULL

/* The top bit of each tag that equals @tag, or 0. */
static inline u64 kvbm_family_tags(const struct kvbm_family_line *l, u32 tag)
{
	/* All are below 0x80, so nothing is borrowed from the next. */
	return ((FAMILY_ONES << 7) - (l->word[0] ^ FAMILY_ONES * tag)) &
	       FAMILY_ONES << 7;
}

/* The same for the last four. */
static inline u32 kvbm_family_last_tags(const struct kvbm_family_line *l,
					u32 tag)
{
	const u32 ones = 0x01010101;

	return ((ones << 7) - ((u32)l->word[1] ^ ones * tag)) & ones << 7;
}

/* The entry of a key, or KVBM_NIL. */
static __always_inline u32 kvbm_family_find(struct kvbm_store *st,
					    struct kvbm_families *f, u64 key,
					    struct kvbm_family_hash h)
{
	const struct kvbm_family_line *l = &f->lines[h.line];
	u64 found;

	lockdep_assert_held(&st->lock);
	/* Tops of bytes, of the first eight; those of the last four below. */
	found = kvbm_family_tags(l, h.tag) |
		kvbm_family_last_tags(l, h.tag) >> 1;
	if (likely(!found && !(l->chained & FAMILY_FILTER(h.tag))))
		return KVBM_NIL;
	return kvbm_family_find_among(st, f, key, h, found);
}

/* Add an entry for a key that has none. */
static inline void kvbm_family_add(struct kvbm_store *st,
				   struct kvbm_families *f, u64 key,
				   struct kvbm_family_hash h, u32 entry)
{
	struct kvbm_family_line *l = &f->lines[h.line];
	u64 free = kvbm_family_tags(l, 0);
	u32 at;

	lockdep_assert_held(&st->lock);
	if (likely(free)) {
		at = __ffs64(free) / 8;
	} else {
		free = kvbm_family_last_tags(l, 0);
		if (unlikely(!free)) {
			kvbm_family_add_chained(st, f, key, h.tag, l, entry);
			return;
		}
		at = 8 + __ffs64(free) / 8;
	}
	l->tag[at] = h.tag;
	l->entry[at] = entry | h.high;
	*kvbm_family_place(st, entry) = h.line << FAMILY_LINE_SHIFT | at;
}

/* Replace an entry by another one of its key, or by KVBM_NIL for none. */
static inline void kvbm_family_replace(struct kvbm_store *st,
				       struct kvbm_families *f, u32 entry,
				       u32 by)
{
	u32 at, place = *kvbm_family_place(st, entry);
	struct kvbm_family_line *l;

	lockdep_assert_held(&st->lock);
	if (unlikely(place & FAMILY_CHAINED)) {
		kvbm_family_replace_chained(st, f, entry, by);
		return;
	}
	l = &f->lines[place >> FAMILY_LINE_SHIFT];
	at = place & (BIT(FAMILY_LINE_SHIFT) - 1);
	if (by == KVBM_NIL) {
		l->tag[at] = 0;
		return;
	}
	l->entry[at] ^= entry ^ by;
	*kvbm_family_place(st, by) = place;
}

#endif /* KVBM_FAMILY_H */
