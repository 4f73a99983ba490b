// SPDX-License-Identifier: MIT
/*
 * The index of a store's registered blocks: its memory, full lines, a full
 * overflow table, and look-ups with other operations between their steps.
 */
#include <pthread.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include "evict/evict.h"
#include "host.h"
#include "host_take.h"
#include "index.h"

#include "host_harness.h"

static struct kvbm_config config(const char *policy, u32 total)
{
	struct kvbm_config cfg = {
		.total = total,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 64,
	};

	return cfg;
}

/*
 * The memory that creation takes is known before: never more, and not much less
 * (large pages, which the stand-in does not use, explain the difference).
 */
TEST(need_is_an_upper_bound)
{
	static const u32 totals[] = { 1, 1000, 65536, 300001 };
	const struct kvbm_evict_ops *policy;
	struct host_mem before, after;
	u32 i, p;

	for (p = 0; (policy = kvbm_evict_nth(p)); p++) {
		for (i = 0; i < ARRAY_SIZE(totals); i++) {
			struct kvbm_config cfg = config(policy->name,
							totals[i]);
			struct kvbm_store *st;
			u64 need, used;

			cfg.freq_capacity = KVBM_FREQ_LARGE / 64;
			ASSERT_EQ(0, kvbm_config_check(&cfg));
			need = kvbm_store_need(&cfg);
			host_mem_stats(&before);
			st = kzalloc(sizeof(*st), GFP_KERNEL);
			ASSERT_EQ(0, kvbm_store_init(st, &cfg));
			host_mem_stats(&after);
			used = after.bytes - before.bytes;
			EXPECT_LE(used, need);
			EXPECT_LE(st->memory, need);
			EXPECT_LE(need, used + (16 << 20));
			kvbm_store_exit(st);
			kfree(st);
		}
	}
}

/* --- a store, and two sessions ------------------------------------------- */

static struct kvbm_store *st;
static struct kvbm_session *reader, *other;

static struct kvbm_session *session(void)
{
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);
	u32 id;

	BUG_ON(kvbm_session_init(ses, st));
	for (id = 0; id < st->cfg.total; id += KVBM_PAGE_COUNTS)
		BUG_ON(kvbm_holds_prepare(ses, id));
	return ses;
}

static void session_end(struct kvbm_session *ses)
{
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
}

/*
 * All keys whose lower word is 0 have the same hash: see low_zero(). Second lines
 * are the first ones again, so that what finds its line full goes to the overflow.
 */
static void store(const char *policy, u32 total, bool reset)
{
	struct kvbm_config cfg = config(policy, total);

	host_seed(1);
	cfg.reset = reset;
	BUG_ON(kvbm_config_check(&cfg));
	st = kzalloc(sizeof(*st), GFP_KERNEL);
	BUG_ON(kvbm_store_init(st, &cfg));
	st->index.secret[0] = 0;
	st->index.secret[1] = 0;
	st->index.second = 1;
	reader = session();
	other = session();
}

static void store_end(void)
{
	session_end(reader);
	session_end(other);
	kvbm_store_exit(st);
	kfree(st);
}

/* The @i-th of the keys with one hash. */
static struct kvbm_hash low_zero(u32 i)
{
	return (struct kvbm_hash) { .hi = i };
}

/* The @i-th of those that fall into the first line, with any tags. */
static struct kvbm_hash first_line(u32 i)
{
	static struct kvbm_hash found[1024];
	static u32 n;
	static u64 next;

	BUG_ON(i >= ARRAY_SIZE(found));
	while (n <= i) {
		struct kvbm_hash key = { .hi = ++next, .lo = 1 };

		if (kvbm_index_line(st->index.lines, st->index.nr_lines,
				    kvbm_index_key(st, &key)) == st->index.lines)
			found[n++] = key;
	}
	return found[i];
}

/* One that has another hash. */
static struct kvbm_hash apart(u32 i)
{
	return (struct kvbm_hash) { .hi = 0x12345678abcdefULL,
				    .lo = 0x9e3779b97f4a7c15ULL * (i + 1) };
}

static u32 alloc(struct kvbm_session *ses)
{
	u32 id;

	BUG_ON(host_take(ses, 1, false, &id, NULL, NULL));
	return id;
}

static int put_in(struct kvbm_session *ses, u32 id, struct kvbm_hash key)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_registered out;

	while (!kvbm_register_chunk(ses, &id, &key, NULL, 1, false, &out, &step))
		if (step.err)
			return step.err;
	return 0;
}

static u32 fill(struct kvbm_session *ses, struct kvbm_hash key)
{
	u32 id = alloc(ses);

	BUG_ON(put_in(ses, id, key));
	return id;
}

static void release(struct kvbm_session *ses, u32 id)
{
	struct kvbm_step step = KVBM_STEP_INIT;

	while (!kvbm_release_chunk(ses, &id, 1, 0, &step))
		BUG_ON(step.err);
}

static u32 match(struct kvbm_session *ses, const struct kvbm_hash *keys, u32 n,
		 u32 *ids)
{
	struct kvbm_chunk c;
	u32 done = 0;

	while (done < n) {
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 got;

		memcpy(c.keys, keys + done, (n - done) * sizeof(*keys));
		got = kvbm_match_chunk(ses, &c, n - done, 0, &step);
		BUG_ON(step.err);
		memcpy(ids + done, c.ids, got * sizeof(*ids));
		done += got;
		if (step.stop)
			break;
	}
	return done;
}

static u8 presence(struct kvbm_hash key)
{
	struct kvbm_chunk c;
	u8 out;

	c.keys[0] = key;
	kvbm_presence(st, &c, 1, &out);
	return out;
}

/* --- full lines, a full overflow table ------------------------------------ */

#define TOTAL		8192U
#define LINE		12U		/* entries of one line */
#define ALIKE		1U		/* of these with one hash */
#define OVER		(TOTAL / 16)	/* nodes behind the lines */

static u32 in_overflow(void)
{
	return st->overflow.used;
}

/*
 * An attacker who knows the secrets fills a line and the overflow table, and
 * gets one errno for it while holding all of it. Others notice nothing unless
 * they meet a full line. As soon as one of the attacker's blocks is idle, it
 * makes space.
 */
TEST(overflow_fills_and_gives_way)
{
	u32 ids[LINE + OVER], i, id, first, over;

	store("lru", TOTAL, false);
	ASSERT_EQ(OVER, st->index.over_capacity);
	for (i = 0; i < LINE + OVER; i++) {
		ids[i] = fill(other, first_line(i));
		ASSERT_EQ(i < LINE ? 0 : i + 1 - LINE, in_overflow());
	}
	for (i = 0; i < LINE + OVER; i++) {
		struct kvbm_hash key = first_line(i);

		ASSERT_EQ(KVBM_ACTIVE, presence(key));
		ASSERT_EQ(&st->slots[ids[i]], kvbm_index_lookup(st, &key));
	}
	EXPECT_EQ(KVBM_ABSENT, presence(first_line(i)));

	/* Nothing changes by the attempt, and it can be made again. */
	id = alloc(other);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-ENOBUFS, put_in(other, id, first_line(LINE + OVER)));
	EXPECT_EQ(KVBM_STATE_MUTABLE,
		  kvbm_w_state(kvbm_slot_word(&st->slots[id])));
	EXPECT_EQ(0, put_in(other, id, apart(0)));
	EXPECT_EQ(KVBM_ACTIVE, presence(apart(0)));

	/* Idle ones go, longest idle first; not those of the line. */
	for (i = 0; i < LINE; i++)
		release(other, ids[i]);
	first = LINE + 7;
	release(other, ids[first]);
	release(other, ids[LINE + 3]);
	id = fill(other, first_line(LINE + OVER));
	EXPECT_EQ(1, st->overflow.evictions);
	EXPECT_EQ(KVBM_ABSENT, presence(first_line(first)));
	EXPECT_EQ(KVBM_INACTIVE, presence(first_line(LINE + 3)));
	EXPECT_EQ(KVBM_ACTIVE, presence(first_line(LINE + OVER)));
	for (i = 0; i < LINE; i++)
		EXPECT_EQ(KVBM_INACTIVE, presence(first_line(i)));

	/* An entry that leaves the line makes space in it. */
	for (over = in_overflow(); i-- > 0; )
		fill(reader, apart(1 + i));
	EXPECT_EQ(over, in_overflow());
	store_end();
	host_drain();
}

/* Of an idle block in the overflow that is matched, held and released. */
TEST(overflow_knows_who_is_idle)
{
	u32 ids[LINE + OVER], id, i, got;
	struct kvbm_hash key;

	store("lineage_tick", TOTAL, false);
	for (i = 0; i < LINE + OVER; i++)
		ids[i] = fill(other, first_line(i));
	for (i = LINE; i < LINE + OVER; i++)
		release(other, ids[i]);
	/* All but the last two are held again. */
	for (i = LINE; i < LINE + OVER - 2; i++) {
		key = first_line(i);
		ASSERT_EQ(1, match(reader, &key, 1, &got));
		ASSERT_EQ(ids[i], got);
	}
	fill(other, first_line(LINE + OVER));
	fill(other, first_line(LINE + OVER + 1));
	EXPECT_EQ(KVBM_ABSENT, presence(first_line(LINE + OVER - 2)));
	EXPECT_EQ(KVBM_ABSENT, presence(first_line(LINE + OVER - 1)));
	id = alloc(other);
	EXPECT_EQ(-ENOBUFS, put_in(other, id, first_line(LINE + OVER + 2)));
	/* A released one gives way. */
	release(reader, ids[LINE + 1]);
	EXPECT_EQ(0, put_in(other, id, first_line(LINE + OVER + 2)));
	EXPECT_EQ(3, st->overflow.evictions);
	EXPECT_EQ(KVBM_ABSENT, presence(first_line(LINE + 1)));
	/* Duplicates and dedups need no entry. */
	id = alloc(other);
	EXPECT_EQ(0, put_in(other, id, first_line(LINE + OVER + 2)));
	store_end();
}

/* A small store has space for all its blocks, whatever their keys. */
TEST(small_stores_are_never_full)
{
	u32 i;

	store("lru", 256, false);
	for (i = 0; i < 256; i++)
		fill(other, low_zero(i));
	EXPECT_EQ(256 - ALIKE, in_overflow());
	store_end();
}

static struct bucket_table *table_of(struct rhashtable *ht)
{
	return rcu_dereference_raw(ht->tbl);
}

/* Keys whose SipHashes share a bucket: rhashtable must not want to rehash. */
TEST(chains_stay_below_a_rehash)
{
	u32 i, n = 0, refused = 0, id;
	struct bucket_table *tbl;
	struct rhashtable *ht;

	store("lru", TOTAL, false);
	ASSERT_EQ(1, st->index.nr_tables);
	ht = &st->index.tables[0];
	tbl = table_of(ht);
	for (i = 0; i < ALIKE; i++)
		fill(other, low_zero(i));
	id = alloc(other);
	for (; n < 20; i++) {
		struct kvbm_hash key = low_zero(i);
		int err;

		if (kvbm_index_sip(st, &key) % tbl->size)
			continue;
		n++;
		err = put_in(other, id, key);
		if (err) {
			ASSERT_EQ(-ENOBUFS, err);
			refused++;
		} else {
			id = alloc(other);
		}
	}
	host_drain();
	EXPECT_EQ(5, refused);
	EXPECT_EQ(15, in_overflow());
	/* It is the same table, and none is to come. */
	EXPECT_EQ(tbl, table_of(ht));
	EXPECT_EQ(NULL, rcu_dereference_raw(tbl->future_tbl));
	store_end();
}

/* Blocks that are not in their first line, by the lines' counts. */
static u32 went_further(void)
{
	u32 i, n = 0;

	for (i = 0; i < st->index.nr_lines; i++)
		n += st->index.lines[i].rest >> KVBM_REST_COUNT_SHIFT;
	return n;
}

/*
 * A key that finds its line full goes to its second line, and is found there
 * even when the first line has space again. When all have left, no trace of
 * them remains.
 */
TEST(second_lines)
{
	u32 ids[3 * LINE], got[3 * LINE], i, first = 0;
	struct kvbm_hash keys[3 * LINE];

	store("lru", TOTAL, true);
	st->index.second = 0x9e3779b1;
	for (i = 0; i < 3 * LINE; i++) {
		keys[i] = first_line(i);
		ids[i] = fill(other, keys[i]);
		first += !(st->slots[ids[i]].at & KVBM_AT_SECOND);
	}
	/* Those may be of one hash that chance gave both places. */
	EXPECT_LE(first, LINE);
	EXPECT_GE(first, LINE - 2);
	EXPECT_EQ(3 * LINE - first, went_further());
	EXPECT_EQ(0, in_overflow());
	EXPECT_EQ(3 * LINE, match(reader, keys, 3 * LINE, got));
	for (i = 0; i < 3 * LINE; i++) {
		ASSERT_EQ(ids[i], got[i]);
		ASSERT_EQ(KVBM_ACTIVE, presence(keys[i]));
		release(reader, got[i]);
	}
	for (; i < 9 * LINE; i++)
		ASSERT_EQ(KVBM_ABSENT, presence(first_line(i)));

	for (i = 0; i < LINE; i++)
		release(other, ids[i]);
	for (i = 0; i < 3 * LINE; i++)
		ASSERT_EQ(i < LINE ? KVBM_ABSENT : KVBM_ACTIVE,
			  presence(keys[i]));
	for (i = LINE; i < 3 * LINE; i++)
		release(other, ids[i]);
	EXPECT_EQ(0, went_further());
	EXPECT_EQ(0, st->index.lines[0].tags);
	EXPECT_EQ(0, st->index.lines[0].rest);
	store_end();
}

/* How many entries of a line have a hash's tag. */
static u32 with_tag(const struct kvbm_line *l, u32 h)
{
	u32 i, n = 0;

	for (i = 0; i < LINE; i++)
		n += ((i < 8 ? l->tags >> i * 8 : l->rest >> (i - 8) * 8) &
		      255) == kvbm_index_tag(h);
	return n;
}

/*
 * An attacker who chooses many keys of one tag makes a look-up read two entries
 * of a line, not twelve: a third one goes further. All of them are found.
 */
TEST(two_of_a_tag)
{
	struct kvbm_hash keys[8];
	u32 ids[8], i, n = 0, h;
	u64 next = 0;

	store("lru", TOTAL, false);
	h = kvbm_index_key(st, &(struct kvbm_hash) { .hi = 1, .lo = 1 });
	while (n < ARRAY_SIZE(keys)) {
		struct kvbm_hash key = { .hi = ++next, .lo = 1 };
		u32 x = kvbm_index_key(st, &key);

		if (kvbm_index_line(st->index.lines, st->index.nr_lines, x) ==
		    kvbm_index_line(st->index.lines, st->index.nr_lines, h) &&
		    kvbm_index_tag(x) == kvbm_index_tag(h))
			keys[n++] = key;
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		ids[i] = fill(other, keys[i]);
		EXPECT_GE(2, with_tag(kvbm_index_line(st->index.lines,
						      st->index.nr_lines, h),
				      h));
	}
	EXPECT_LT(0, in_overflow());
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		EXPECT_EQ(KVBM_ACTIVE, presence(keys[i]));
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		release(other, ids[i]);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		EXPECT_EQ(KVBM_INACTIVE, presence(keys[i]));
	store_end();
}

/*
 * A full pool that turns over: lines are full by chance, seldom both of a hash,
 * and nothing is evicted for that.  @first, @both: one registration in so many
 * may find them full.
 */
static void turn_over(struct __test_metadata *_metadata, const char *policy,
		      u32 first, u32 both)
{
	u32 i, n = 24 * TOTAL, further = 0, over = 0, most = 0;

#ifdef HOST_TSAN
	n = 8 * TOTAL;
#endif
	store(policy, TOTAL, false);
	st->index.secret[0] = get_random_u64();
	st->index.second = get_random_u32() | 1;
	for (i = 0; i < TOTAL + n; i++) {
		u32 id = fill(other, (struct kvbm_hash) {
				.hi = get_random_u64() >> 10,
				.lo = get_random_u64() });

		if (i >= TOTAL && st->slots[id].at & KVBM_AT_OVER)
			over++;
		else if (i >= TOTAL && st->slots[id].at & KVBM_AT_SECOND)
			further++;
		release(other, id);
		most = max(most, in_overflow());
	}
	EXPECT_EQ(0, st->overflow.evictions);
	EXPECT_LT(most, OVER / 4);
	EXPECT_GT(further, n / 100);
	EXPECT_LT(further, n / first);
	EXPECT_LT(over, n / both);
	TH_LOG("%s: one in %u finds its line full, one in %u both; at most %u of %u in the overflow",
	       policy, n / (further + over), n / (over ?: 1), most, OVER);
	store_end();
}

TEST(chance_does_not_fill_the_overflow)
{
	turn_over(_metadata, "lru", 25, 500);
	turn_over(_metadata, "lineage_tick", 12, 120);
}

/* As engines and tests name blocks that they do not hash: i counts up. */
static struct kvbm_hash pattern(u32 which, u32 i)
{
	u64 x = i;

	switch (which) {
	case 0: return (struct kvbm_hash) { .lo = x };
	case 1: return (struct kvbm_hash) { .hi = x };
	case 2: return (struct kvbm_hash) { .hi = x, .lo = x };
	case 3: return (struct kvbm_hash) { .hi = x >> 10, .lo = x << 54 };
	case 4: return (struct kvbm_hash) { .hi = x << 32, .lo = x << 32 };
	case 5: return (struct kvbm_hash) { .hi = x << 20, .lo = x << 40 };
	case 6: return (struct kvbm_hash) { .hi = 3ULL << 54 | x, .lo = ~x };
	default: return (struct kvbm_hash) { .lo = x << 48 | x << 16 };
	}
}

#define PATTERNS	8

/* Keys that follow a pattern fill lines no more than chance does. */
TEST(patterns_do_not_fill_the_overflow)
{
	u32 i, p, round, sum[PATTERNS] = {}, rounds = 300;

#ifdef HOST_TSAN
	rounds = 20;
#endif
	store("lru", TOTAL, false);
	for (round = 0; round < rounds; round++) {
		u64 secret[3] = { get_random_u64(), get_random_u64(),
				  get_random_u64() | 1 };

		for (p = 0; p < PATTERNS; p++) {
			static u8 lines[TOTAL];
			u32 over = 0;

			memset(lines, 0, sizeof(lines));
			for (i = 0; i < TOTAL; i++) {
				struct kvbm_hash key = pattern(p, i);
				u32 h = kvbm_index_hash(&key, secret);

				h = kvbm_index_line(st->index.lines,
						    st->index.nr_lines, h) -
				    st->index.lines;
				over += ++lines[h] > LINE;
			}
			/* Of all secrets, none makes it twice what it should be. */
			ASSERT_LT(over, OVER / 4);
			sum[p] += over;
		}
	}
	for (p = 0; p < PATTERNS; p++)
		TH_LOG("pattern %u: %u of %u overflow, %u expected", p,
		       sum[p] / rounds, TOTAL, TOTAL * 7 / 1000);
	store_end();
}

/* Larger stores have several tables, each of its final size. */
TEST(several_tables)
{
	u32 i;

	store("lru", 1U << 22, false);
	EXPECT_EQ(2, st->index.nr_tables);
	for (i = 0; i < st->index.nr_tables; i++) {
		struct rhashtable *ht = &st->index.tables[i];

		EXPECT_EQ(131072, table_of(ht)->size);
		EXPECT_EQ(131072, ht->p.max_size);
	}
	for (i = 0; i < 1000; i++)
		fill(other, low_zero(i));
	for (i = 0; i < st->index.nr_tables; i++)
		EXPECT_GT(atomic_read(&st->index.tables[i].nelems), 400);
	store_end();
}

/* --- others at work between two steps of a look-up ------------------------ */

#ifdef HOST_DEBUG

static void stage(struct kvbm_session *ses, u32 id, struct kvbm_hash key)
{
	struct kvbm_step step = KVBM_STEP_INIT;

	BUG_ON(kvbm_stage_chunk(ses, &id, &key, NULL, NULL, 1, &step) != 1);
}

static u32 slot_x, slot_a;
static u32 fired;

/* Another thread does something, and this one goes on when it has. */
static void elsewhere(void *(*fn)(void *))
{
	pthread_t tid;

	fired++;
	BUG_ON(pthread_create(&tid, NULL, fn, NULL));
	pthread_join(tid, NULL);
}

static void *stage_x(void *arg)
{
	release(other, slot_x);
	BUG_ON(alloc(other) != slot_x);
	stage(other, slot_x, low_zero(1));
	return NULL;
}

/* The slot that is looked at becomes another session's Staged block. */
static void stage_it(enum host_point at, const void *p)
{
	if (at != HOST_AFTER_ACQUIRE || p != &st->slots[slot_x].word) {
		host_point_fn = stage_it;
		return;
	}
	elsewhere(stage_x);
}

/* A hash that was only ever Staged is not present. */
TEST(presence_of_what_was_only_staged)
{
	store("lru", 1, true);
	slot_x = fill(other, low_zero(0));
	host_point_fn = stage_it;
	EXPECT_EQ(KVBM_ABSENT, presence(low_zero(1)));
	host_point_fn = NULL;
	EXPECT_EQ(1, fired);
	store_end();
}

static void *put_c_then_a(void *arg)
{
	fill(other, apart(0));
	release(other, slot_x);
	BUG_ON(fill(other, low_zero(1)) != slot_x);
	return NULL;
}

/*
 * The slot of X, a candidate for A, is looked at next. First C becomes
 * registered, then A, in X's place.
 */
static void c_then_a(enum host_point at, const void *p)
{
	if (at != HOST_BEFORE_ACQUIRE || p != &st->slots[slot_x].word) {
		host_point_fn = c_then_a;
		return;
	}
	elsewhere(put_c_then_a);
}

/* There was no moment at which A was present and C was not. */
TEST(match_does_not_miss_what_came_first)
{
	struct kvbm_hash keys[] = { low_zero(1), apart(0) };
	u32 ids[2], n;

	store("lru", 2, true);
	slot_x = fill(other, low_zero(0));
	host_point_fn = c_then_a;
	n = match(reader, keys, 2, ids);
	host_point_fn = NULL;
	EXPECT_EQ(1, fired);
	EXPECT_TRUE(n == 0 || n == 2);
	store_end();
}

static void *move_a(void *arg)
{
	u32 id = alloc(other);

	BUG_ON(id != slot_a || put_in(other, id, apart(0)));
	fill(other, low_zero(1));
	return NULL;
}

/*
 * A was found idle. Before it is held, its block is evicted; C becomes
 * registered, then A, with another block.
 */
static void a_moves(enum host_point at, const void *p)
{
	if (at != HOST_BEFORE_LOCK || p != &st->lock) {
		host_point_fn = a_moves;
		return;
	}
	elsewhere(move_a);
}

/* The holder of the new A was there when C was. */
TEST(match_does_not_miss_what_came_before_a_recycled_block)
{
	struct kvbm_hash keys[] = { low_zero(1), apart(0) };
	u32 ids[2] = { KVBM_NIL, KVBM_NIL }, n, spare[6], i;

	store("lru", 8, false);
	for (i = 0; i < 6; i++)
		spare[i] = fill(other, low_zero(10 + i));
	slot_a = fill(other, low_zero(1));
	fill(other, low_zero(20));
	release(other, slot_a);
	release(other, spare[0]);
	host_point_fn = a_moves;
	n = match(reader, keys, 2, ids);
	host_point_fn = NULL;
	EXPECT_EQ(1, fired);
	/* One alone can only be the old one, from before C. */
	EXPECT_TRUE(n != 1 || ids[0] == slot_a);
	store_end();
}

#endif

TEST_HARNESS_MAIN
