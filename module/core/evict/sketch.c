// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * sketch.c - how often hashes were seen lately: TinyLFU
 *
 * A count-min sketch (Einziger, Friedman, Manes, "TinyLFU", ACM TOS 2017) of
 * capacity / 4 words of sixteen 4-bit counters.  Each of four seeded hashes
 * chooses a word and, in it, one of its own four counters, so that the four
 * counters of a key are distinct; its estimate is the least of them.  The four
 * are multiply-shifts of the 32-bit hash by which the index finds the key.
 *
 * After 10 * capacity increments all counters are halved.  That walks up to
 * 32 MiB, so it is done lazily, by cache line: a line's parity says whether it
 * has seen the last halving; each increment brings one more line up to date,
 * and all are long before the next halving is due.  The number of odd counters,
 * by which the halved count is corrected, comes from a histogram of the values.
 *
 * Readers take no lock: a count read while its line is halved may be off, as an
 * estimate may.  Writers take sk->lock, once per chunk, unless all four
 * counters are saturated: a hot block costs no shared writes.
 */
#include <linux/bitops.h>
#include <linux/math64.h>
#include <linux/prefetch.h>
#include <linux/random.h>
#include <linux/slab.h>
#include "index.h"
#include "sketch.h"

#define ROWS		4	/* written out below */
#define COUNTER_MAX	15
#define LINE_WORDS	8
#define SAMPLE		10	/* increments to a halving, times capacity */

/**
 * struct kvbm_sketch - frequency counters
 * @words: sixteen counters each
 * @nr_words: how many
 * @nr_lines: lines of LINE_WORDS of them
 * @secret: the index's
 * @row: seeds of the rows, odd
 * @lock: guards all below, and writes to words and parity
 * @parity: a bit a line: equal to @epoch: up to date
 * @epoch: flips with each halving
 * @sweep: next line to bring up to date
 * @count: increments since the last halving, corrected
 * @limit: at this many, halve
 * @values: how many counters have each value, including due halvings
 */
struct kvbm_sketch {
	u64 *words;
	u32 nr_words;
	u32 nr_lines;
	u64 secret[3];
	u32 row[ROWS];
	u32 *parity;
	u32 epoch;

	spinlock_t lock ____cacheline_aligned_in_smp;
	u32 sweep;
	u64 count;
	u64 limit;
	u64 values[COUNTER_MAX + 1];
};

/*
 * Where a row counts a key: above 32 bits the word, below them a fraction, whose
 * first bits choose one of the row's counters.
 */
static __always_inline u64 place_of(const struct kvbm_sketch *sk, u32 hash,
				    u32 row)
{
	return (u64)(hash * sk->row[row]) * sk->nr_words;
}

static __always_inline u32 place_word(u64 place)
{
	return place >> 32;
}

/* In bits. */
static __always_inline u32 place_shift(u64 place, u32 row)
{
	return row * ROWS * 4 | (place >> 28 & ((ROWS - 1) * 4));
}

/* Has the line seen the last halving? */
static bool line_current(const struct kvbm_sketch *sk, u32 line)
{
	return (READ_ONCE(sk->parity[line / 32]) >> line % 32 & 1) ==
	       READ_ONCE(sk->epoch);
}

/* All lines have: the usual case, long before the next halving. */
static bool all_current(const struct kvbm_sketch *sk)
{
	/* Without the lock, for an estimate. */
	return data_race(sk->sweep) == sk->nr_lines;
}

static __always_inline u32 counter_read(const struct kvbm_sketch *sk, u64 place,
					u32 row)
{
	return READ_ONCE(sk->words[place_word(place)]) >>
		       place_shift(place, row) & COUNTER_MAX;
}

/* The least of a key's counters, while some lines are not up to date. */
static noinline u32 least_halved(const struct kvbm_sketch *sk, u32 hash)
{
	u32 row, least = COUNTER_MAX;

	for (row = 0; row < ROWS; row++) {
		u64 place = place_of(sk, hash, row);
		u32 v = counter_read(sk, place, row);

		if (!line_current(sk, place_word(place) / LINE_WORDS))
			v /= 2;
		least = min(least, v);
	}
	return least;
}

static __always_inline u32 row_read(const struct kvbm_sketch *sk, u32 hash,
				    u32 row)
{
	return counter_read(sk, place_of(sk, hash, row), row);
}

/* The estimate: the least of a key's counters. */
static __always_inline u32 least_of(const struct kvbm_sketch *sk, u32 hash)
{
	u32 a, b;

	if (unlikely(!all_current(sk)))
		return least_halved(sk, hash);
	/* Written out, here and below: the compiler does not unroll it. */
	a = min(row_read(sk, hash, 0), row_read(sk, hash, 1));
	b = min(row_read(sk, hash, 2), row_read(sk, hash, 3));
	return min(a, b);
}

static noinline void line_halve(struct kvbm_sketch *sk, u32 line)
{
	u32 first = line * LINE_WORDS;
	u32 last = min(first + LINE_WORDS, sk->nr_words);
	u32 i;

	for (i = first; i < last; i++)
		WRITE_ONCE(sk->words[i],
			   sk->words[i] >> 1 & 0x7777777777777777ULL);
	WRITE_ONCE(sk->parity[line / 32],
		   sk->parity[line / 32] ^ 1U << line % 32);
}

static void line_update(struct kvbm_sketch *sk, u32 line)
{
	lockdep_assert_held(&sk->lock);
	if (!line_current(sk, line))
		line_halve(sk, line);
}

/* A key's lines, and one more. */
static noinline void sweep(struct kvbm_sketch *sk, u32 hash)
{
	u32 row;

	lockdep_assert_held(&sk->lock);
	for (row = 0; row < ROWS; row++)
		line_update(sk, place_word(place_of(sk, hash, row)) /
				LINE_WORDS);
	line_update(sk, sk->sweep);
	sk->sweep++;
}

static void halve(struct kvbm_sketch *sk)
{
	u64 odd = 0;
	u32 v;

	lockdep_assert_held(&sk->lock);
	for (; sk->sweep < sk->nr_lines; sk->sweep++)
		line_update(sk, sk->sweep);
	for (v = 1; v <= COUNTER_MAX; v += 2)
		odd += sk->values[v];
	for (v = 0; v <= COUNTER_MAX / 2; v++)
		sk->values[v] = sk->values[2 * v] + sk->values[2 * v + 1];
	for (; v <= COUNTER_MAX; v++)
		sk->values[v] = 0;
	sk->count = sk->count / 2 - min(sk->count / 2, odd / 4);
	sk->sweep = 0;
	WRITE_ONCE(sk->epoch, !sk->epoch);
}

/* False: it is saturated. */
static __always_inline bool row_count(struct kvbm_sketch *sk, u32 hash, u32 row)
{
	u64 place = place_of(sk, hash, row);
	u32 shift = place_shift(place, row), v;
	u64 *word = &sk->words[place_word(place)];

	v = *word >> shift & COUNTER_MAX;
	if (v == COUNTER_MAX)
		return false;
	WRITE_ONCE(*word, *word + (1ULL << shift));
	sk->values[v]--;
	sk->values[v + 1]++;
	return true;
}

static __always_inline void increment(struct kvbm_sketch *sk, u32 hash)
{
	bool counted;

	lockdep_assert_held(&sk->lock);
	if (unlikely(!all_current(sk)))
		sweep(sk, hash);
	counted = row_count(sk, hash, 0);
	counted |= row_count(sk, hash, 1);
	counted |= row_count(sk, hash, 2);
	counted |= row_count(sk, hash, 3);
	if (counted && ++sk->count >= sk->limit)
		halve(sk);
}

static __always_inline void row_bring_in(const struct kvbm_sketch *sk, u32 hash,
					 u32 row)
{
	prefetch(&sk->words[place_word(place_of(sk, hash, row))]);
}

static __always_inline void bring_in(const struct kvbm_sketch *sk, u32 hash)
{
	row_bring_in(sk, hash, 0);
	row_bring_in(sk, hash, 1);
	row_bring_in(sk, hash, 2);
	row_bring_in(sk, hash, 3);
}

/* Prefetch a hash's counters. */
void kvbm_sketch_prefetch(const struct kvbm_sketch *sk, u32 hash)
{
	bring_in(sk, hash);
}

/* Hashes whose counters are being prefetched. */
#define TOUCH_AHEAD	16

/**
 * kvbm_sketch_touch_hashes() - count keys, one each
 * @sk: the sketch
 * @hash: kvbm_index_key() of each
 * @n: how many, at most KVBM_CHUNK
 */
void kvbm_sketch_touch_hashes(struct kvbm_sketch *sk, const u32 *hash, u32 n)
{
	bool locked = false;
	u32 i;

	for (i = 0; n > 1 && i < min_t(u32, n, TOUCH_AHEAD); i++)
		bring_in(sk, hash[i]);
	for (i = 0; i < n; i++) {
		if (i + TOUCH_AHEAD < n)
			bring_in(sk, hash[i + TOUCH_AHEAD]);
		if (!locked) {
			if (least_of(sk, hash[i]) == COUNTER_MAX)
				continue;
			spin_lock(&sk->lock);
			locked = true;
		}
		increment(sk, hash[i]);
	}
	if (locked)
		spin_unlock(&sk->lock);
}

/**
 * kvbm_sketch_touch() - count sequence hashes, one each
 * @sk: the sketch
 * @keys: sequence hashes
 * @n: how many, at most KVBM_CHUNK
 */
void kvbm_sketch_touch(struct kvbm_sketch *sk, const struct kvbm_hash *keys,
		       u32 n)
{
	u32 hash[KVBM_CHUNK] __uninitialized;
	u32 i;

	for (i = 0; i < n; i++)
		hash[i] = kvbm_index_hash(&keys[i], sk->secret);
	kvbm_sketch_touch_hashes(sk, hash, n);
}

/**
 * kvbm_sketch_read_hash() - a key's estimated count
 * @sk: the sketch, or NULL without tracking
 * @hash: kvbm_index_key() of the key
 *
 * Return: 0 to 15.
 */
u32 kvbm_sketch_read_hash(const struct kvbm_sketch *sk, u32 hash)
{
	return sk ? least_of(sk, hash) : 0;
}

/**
 * kvbm_sketch_read() - a sequence hash's estimated count
 * @sk: the sketch, or NULL without tracking
 * @key: the sequence hash
 *
 * Return: 0 to 15.
 */
u32 kvbm_sketch_read(const struct kvbm_sketch *sk, const struct kvbm_hash *key)
{
	return sk ? kvbm_sketch_read_hash(sk, kvbm_index_hash(key, sk->secret)) :
		    0;
}

static u32 words_of(u32 capacity)
{
	return max(capacity / 4, 1U);
}

/* Words of the bitmap of lines that are up to date. */
static u32 parity_words(u32 nr_words)
{
	return DIV_ROUND_UP(DIV_ROUND_UP(nr_words, LINE_WORDS), 32);
}

/**
 * kvbm_sketch_need() - the most bytes that kvbm_sketch_create() allocates
 * @capacity: how many hashes to distinguish, at least 1
 */
u64 kvbm_sketch_need(u32 capacity)
{
	u32 nr_words = words_of(capacity);

	return sizeof(struct kvbm_sketch) +
	       kvbm_array_need(nr_words, sizeof(u64)) +
	       kvbm_array_need(parity_words(nr_words), sizeof(u32));
}

/**
 * kvbm_sketch_create() - frequency tracking for a store
 * @st: the store
 * @capacity: how many hashes to distinguish, at least 1
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_sketch_create(struct kvbm_store *st, u32 capacity)
{
	struct kvbm_sketch *sk = kzalloc(sizeof(*sk), GFP_KERNEL_ACCOUNT);
	u32 row;

	if (!sk)
		return -ENOMEM;
	st->sketch = sk;
	spin_lock_init(&sk->lock);
	memcpy(sk->secret, st->index.secret, sizeof(sk->secret));
	get_random_bytes(sk->row, sizeof(sk->row));
	for (row = 0; row < ROWS; row++)
		sk->row[row] |= 1;
	sk->nr_words = words_of(capacity);
	sk->nr_lines = DIV_ROUND_UP(sk->nr_words, LINE_WORDS);
	sk->sweep = sk->nr_lines;
	sk->limit = (u64)SAMPLE * capacity;
	sk->values[0] = (u64)sk->nr_words * 16;
	sk->words = kvbm_array_alloc(st, sk->nr_words, sizeof(*sk->words));
	sk->parity = kvbm_array_alloc(st, parity_words(sk->nr_words),
				      sizeof(*sk->parity));
	if (!sk->words || !sk->parity) {
		kvbm_sketch_destroy(st);
		return -ENOMEM;
	}
	return 0;
}

void kvbm_sketch_destroy(struct kvbm_store *st)
{
	if (!st->sketch)
		return;
	kvbm_array_free(st->sketch->parity);
	kvbm_array_free(st->sketch->words);
	kfree(st->sketch);
	st->sketch = NULL;
}
