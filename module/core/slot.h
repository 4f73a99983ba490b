/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * slot.h - one slot: 64 bytes, one cache line, and its word
 *
 * The word holds {generation:32 state:3 reset:1 refs:28}.  It is the only field
 * that changes without the store's lock, and only by moving refs between
 * non-zero values:
 *
 *	I1  refs = sessions whose count for the block is > 0, plus the
 *	    keep-alives of Duplicates, plus calls between taking a reference
 *	    and recording it (they hold the session's lock).
 *	I2  refs > 0 only in PRIMARY, DUPLICATE and FORGOTTEN, and always in
 *	    the last two.  PRIMARY with refs 0 is Inactive.  refs 0 -> 1 and
 *	    1 -> 0 only under the store's lock.
 *	I3  generation + 1 on leaving PRIMARY, DUPLICATE or FORGOTTEN for good.
 *	    The key is written only while the slot is out of the index.
 *	I4  in the index <=> PRIMARY, except inside one lock hold.
 *	I5  PRIMARY with refs 0 has no reset flag: the last reference would have
 *	    sent it to Reset.
 *
 * So if a reader finds the slot without a lock and then changes the word from
 * the value that it read (PRIMARY, refs > 0) to refs + 1, it holds the block
 * that the key named when the word was read.
 */
#ifndef KVBM_SLOT_H
#define KVBM_SLOT_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/bug.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/types.h>
#include <linux/kvbm.h>

#define KVBM_NIL		0xffffffffU	/* no slot, in a 32-bit link */
#define KVBM_NIL_CHILD		0x01ffffffU	/* no slot, in a 25-bit link */

#define KVBM_W_REFS		0x0fffffffULL
#define KVBM_W_RESET		BIT_ULL(28)
#define KVBM_W_STATE_SHIFT	29
#define KVBM_W_STATE		(7ULL << KVBM_W_STATE_SHIFT)
#define KVBM_W_FORGOTTEN	BIT_ULL(31)	/* PRIMARY with it is FORGOTTEN */
#define KVBM_W_GEN_SHIFT	32

/**
 * struct kvbm_slot - one block's metadata
 * @hash: of @key, for the index and the sketch; valid while there is a key
 * @at: index.c: its place in the index, while PRIMARY; the epoch of its
 *	allocation, while Mutable or Staged
 * @key: sequence hash
 * @word: generation, state, reset-on-release flag and references
 * @place: in the eviction order, while inactive; while Staged, KVBM_NOTE_*
 * @next: free list, or an allocation's private chain; lineage: while held
 * @idle_since: while inactive: kvbm_idle_clock() at the last release
 * @own_entry: lineage: place in the family table, as the node of its own key;
 *	for a twin, the next twin
 * @parent_entry: lineage: place in the family table, as the first child of a
 *	parent that is not in the forest
 * @parent: lineage: otherwise: where the parent was last seen, a hint
 * @child: lineage: first child; for a twin, the previous twin; for a
 *	Duplicate, the Primary that it keeps alive
 * @flags: lineage: KVBM_LIN_*
 * @sib_prev: lineage: ring of siblings
 * @sib_next: lineage: ring of siblings
 * @twin: lineage: first twin
 * @rank: multi_lru: kind of mark
 */
struct kvbm_slot {
	u32 hash;
	u32 at;
	struct kvbm_hash key;
	atomic64_t word;
	u32 place;
	union {
		u32 next;
		u32 idle_since;
	};
	u32 own_entry;
	union {
		u32 parent_entry;
		u32 parent;
	};
	u32 child:25;
	u32 flags:7;
	u32 sib_prev;
	u32 sib_next;
	union {
		u32 twin;
		u32 rank;
	};
} __aligned(64);

static_assert(sizeof(struct kvbm_slot) == 64);
static_assert((KVBM_STATE_PRIMARY | KVBM_W_FORGOTTEN >> KVBM_W_STATE_SHIFT) ==
	      KVBM_STATE_FORGOTTEN);

static inline u32 kvbm_w_refs(u64 w)
{
	return w & KVBM_W_REFS;
}

static inline enum kvbm_state kvbm_w_state(u64 w)
{
	return (w & KVBM_W_STATE) >> KVBM_W_STATE_SHIFT;
}

static inline u32 kvbm_w_gen(u64 w)
{
	return w >> KVBM_W_GEN_SHIFT;
}

/*
 * State and the low 29 bits of the generation: identifies one state in one
 * generation of the slot, for as long as a comparison may take.
 */
static inline u32 kvbm_w_tag(u64 w)
{
	return w >> KVBM_W_STATE_SHIFT;
}

static inline u64 kvbm_w_make(u32 gen, enum kvbm_state state, bool reset,
			      u32 refs)
{
	return (u64)gen << KVBM_W_GEN_SHIFT |
	       (u64)state << KVBM_W_STATE_SHIFT |
	       (reset ? KVBM_W_RESET : 0) | refs;
}

/* PRIMARY with at least one reference: what may be held without a lock. */
static inline bool kvbm_w_active(u64 w)
{
	const u32 idle = (u32)KVBM_STATE_PRIMARY << KVBM_W_STATE_SHIFT;

	/* In one comparison, thanks to I5. */
	return (u32)w - idle - 1 < (1U << KVBM_W_STATE_SHIFT) - 1;
}

static inline u64 kvbm_slot_word(const struct kvbm_slot *s)
{
	return atomic64_read(&s->word);
}

/*
 * When blocks become inactive, by a clock that costs one load: it ticks every 8
 * to 16 ms, whatever HZ is, and wraps after a year.
 */
#define KVBM_IDLE_JIFFIES	BIT(ilog2(HZ) - 6)
#define KVBM_IDLE_TICK_NS	((u64)TICK_NSEC * KVBM_IDLE_JIFFIES)
static_assert(HZ >= 64);

static inline u32 kvbm_idle_clock(void)
{
	return jiffies / KVBM_IDLE_JIFFIES;
}

/* How long a block has been inactive; under the store's lock. */
static inline u64 kvbm_slot_idle_ns(const struct kvbm_slot *s)
{
	return (u32)(kvbm_idle_clock() - s->idle_since) * KVBM_IDLE_TICK_NS;
}

/*
 * The key may be read while the slot is being recycled: checking the generation
 * afterwards detects a torn value.
 */
static inline bool kvbm_slot_is(const struct kvbm_slot *s,
				const struct kvbm_hash *key)
{
	return READ_ONCE(s->key.lo) == key->lo &&
	       READ_ONCE(s->key.hi) == key->hi;
}

/* A key that may be changing: only for hints. */
static inline struct kvbm_hash kvbm_slot_peek_key(const struct kvbm_slot *s)
{
	return (struct kvbm_hash) {
		.hi = READ_ONCE(s->key.hi),
		.lo = READ_ONCE(s->key.lo),
	};
}

static inline void kvbm_slot_set_key(struct kvbm_slot *s,
				     const struct kvbm_hash *key, u32 hash)
{
	WRITE_ONCE(s->hash, hash);
	WRITE_ONCE(s->key.hi, key->hi);
	WRITE_ONCE(s->key.lo, key->lo);
}

/*
 * Slots are type-stable: KASAN cannot see that one is used after it was freed.
 * So kernels with KASAN put the generation into the key of a free slot, and
 * check it before the slot is used again.  Its mode is 3, which no valid hash
 * has: a late comparison of the key fails, however torn the key is.
 */
#define KVBM_SLOT_POISON	0xf6b6b6b6ULL

static inline u64 kvbm_slot_poison_of(u64 w)
{
	return KVBM_SLOT_POISON << 32 | kvbm_w_gen(w);
}

static inline void kvbm_slot_poison(struct kvbm_slot *s)
{
	if (IS_ENABLED(CONFIG_KASAN))
		WRITE_ONCE(s->key.hi, kvbm_slot_poison_of(kvbm_slot_word(s)));
}

static inline void kvbm_slot_check_free(const struct kvbm_slot *s)
{
	u64 w = kvbm_slot_word(s);

	if (IS_ENABLED(CONFIG_KASAN))
		WARN_ON_ONCE(kvbm_w_state(w) != KVBM_STATE_RESET ||
			     kvbm_w_refs(w) ||
			     s->key.hi != kvbm_slot_poison_of(w));
}

/* The 128 bits of a sequence hash, see struct kvbm_hash. */
static inline u32 kvbm_hash_mode(const struct kvbm_hash *h)
{
	return h->hi >> 62;
}

/* Bits of the parent field at a position. */
static inline u32 kvbm_parent_bits(u32 position)
{
	return position < (1U << 8) ? 54 : position < (1U << 16) ? 46 : 38;
}

/* Only for a valid hash: mode 3 has no position. */
static inline u32 kvbm_hash_position(const struct kvbm_hash *h)
{
	u32 bits = 8 + 8 * kvbm_hash_mode(h);

	return (h->hi >> (62 - bits)) & ((1U << bits) - 1);
}

static inline bool kvbm_hash_valid(const struct kvbm_hash *h)
{
	switch (kvbm_hash_mode(h)) {
	case 0:
		return true;
	case 1:
		return kvbm_hash_position(h) >= (1U << 8);
	case 2:
		return kvbm_hash_position(h) >= (1U << 16);
	default:
		return false;
	}
}

#endif /* KVBM_SLOT_H */
