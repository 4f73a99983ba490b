// SPDX-License-Identifier: MIT
/*
 * The eviction order by itself: a ring, marks, and holes that are closed.
 * Compared with a list that is searched from its start.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include "fuzz/walk.h"
#include "host_harness.h"

struct ring {
	struct kvbm_store *st;
	struct kvbm_order *o;
	u64 *arrived;		/* 0: it is not there */
	u32 *rank;		/* KVBM_ORDER_RANKS: unmarked */
	u64 now, seed, moves, wraps;
	u32 total, there;
};

static u32 rnd(struct ring *r, u32 n)
{
	return walk_mix(r->seed++) % n;
}

static void arrive(struct ring *r, u32 id)
{
	u32 tail = r->o->tail, place;

	place = kvbm_order_add(r->st, r->o, id);
	r->wraps += place < tail && !r->o->sliding && place < 64;
	r->arrived[id] = ++r->now;
	r->rank[id] = KVBM_ORDER_RANKS;
	r->there++;
}

static void mark(struct ring *r, u32 id, u32 rank, bool last)
{
	if (last)
		kvbm_order_mark_last(r->o, rank, r->st->slots[id].place);
	else
		kvbm_order_mark(r->o, rank, r->st->slots[id].place);
	r->rank[id] = rank;
}

static void unmark(struct ring *r, u32 id)
{
	if (r->rank[id] < KVBM_ORDER_RANKS)
		kvbm_order_unmark(r->o, r->rank[id], r->st->slots[id].place);
	r->rank[id] = KVBM_ORDER_RANKS;
}

static void go(struct ring *r, u32 id)
{
	unmark(r, id);
	kvbm_order_del(r->st, r->o, id);
	r->arrived[id] = 0;
	r->there--;
}

static u32 first(struct ring *r, u32 rank)
{
	u32 id, best = KVBM_NIL;

	for (id = 0; id < r->total; id++)
		if (r->arrived[id] && r->rank[id] == rank &&
		    (best == KVBM_NIL || r->arrived[id] < r->arrived[best]))
			best = id;
	return best;
}

static void check(struct ring *r)
{
	const struct kvbm_order *o = r->o;
	u32 rank, id;

	WALK_CHECK(o->span <= o->places - 64, "span %u of %u", o->span,
		   o->places);
	for (rank = 0; rank < o->ranks; rank++) {
		id = kvbm_order_first(r->o, rank);
		WALK_CHECK(id == first(r, rank), "rank %u: %u, not %u", rank,
			   id, first(r, rank));
		WALK_CHECK(kvbm_order_none(o, rank) == (id == KVBM_NIL),
			   "none of rank %u", rank);
	}
	for (id = 0; id < r->total; id++)
		WALK_CHECK(!r->arrived[id] ||
			   o->line[r->st->slots[id].place] == id, "%u is lost",
			   id);
}

/* Between where sliding puts and where it looks, no place is taken. */
static void slides(struct ring *r)
{
	const struct kvbm_order *o = r->o;
	u32 place, end = o->from;

	WALK_CHECK((o->from + o->left) % o->places == o->tail,
		   "%u places left from %u, tail %u", o->left, o->from,
		   o->tail);
	for (place = o->to; place != end; place = kvbm_order_next(o, place))
		WALK_CHECK(o->line[place] == KVBM_NIL, "place %u left behind",
			   place);
}

/*
 * Moods: anyone leaves; the first one leaves first, as in a cycle of evictions;
 * one comes and goes while all others stay; every other one leaves.
 */
static void churn(struct ring *r, u32 mood, u32 ops)
{
	u32 id, i, away = KVBM_NIL;

	for (i = 0; i < ops; i++) {
		id = rnd(r, r->total);
		if (mood == 1 && r->there == r->total)
			id = first(r, 0) == KVBM_NIL ? id : first(r, 0);
		if (mood == 2 && away != KVBM_NIL)
			id = away;
		if (mood == 3)
			id = i % 2 ? id | 1 : id;
		if (id >= r->total)
			continue;
		if (!r->arrived[id]) {
			arrive(r, id);
			if (mood == 1 || rnd(r, 4))
				mark(r, id, mood == 1 ? 0 :
				     rnd(r, r->o->ranks), true);
		} else if (mood != 1 && !rnd(r, 3)) {
			unmark(r, id);
			if (rnd(r, 2))
				mark(r, id, rnd(r, r->o->ranks), false);
		} else {
			go(r, id);
			away = id;
		}
		if (!(i % 7))
			check(r);
		/* Sliding: what has not slid yet is in the last @left places. */
		if (r->o->sliding)
			slides(r);
	}
}

static void one_ring(u32 total, const char *policy, u64 seed, u64 *wraps)
{
	struct kvbm_config cfg = {
		.total = total,
		.policy = kvbm_evict_find(policy),
		.freq_capacity = 64,
		.max_sessions = 1,
	};
	struct kvbm_store *st = kzalloc(sizeof(*st), GFP_KERNEL);
	struct ring r = { .st = st, .total = total, .seed = seed << 32 };
	u32 i;

	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(st, &cfg),
		   "no store");
	r.o = st->evict;
	r.arrived = kcalloc(total, sizeof(*r.arrived), GFP_KERNEL);
	r.rank = kcalloc(total, sizeof(*r.rank), GFP_KERNEL);
	spin_lock(&st->lock);
	for (i = 0; i < 48; i++) {
		churn(&r, rnd(&r, 4), total * 4 + 50);
		check(&r);
	}
	spin_unlock(&st->lock);
	*wraps += r.wraps;
	kfree(r.arrived);
	kfree(r.rank);
	kvbm_store_exit(st);
	kfree(st);
}

static void rings(const char *policy, u64 *wraps)
{
	static const u32 totals[] = { 1, 2, 31, 64, 97, 250 };
	u32 i, seed;

	*wraps = 0;
	for (i = 0; i < ARRAY_SIZE(totals); i++)
		for (seed = 0; seed < 4; seed++)
			one_ring(totals[i], policy, i * 100 + seed, wraps);
}

TEST(one_kind)
{
	u64 wraps;

	rings("lru", &wraps);
	EXPECT_GT(wraps, 10);
}

TEST(four_kinds)
{
	u64 wraps;

	rings("multi_lru", &wraps);
	EXPECT_GT(wraps, 10);
}

/* Memory: with one kind of mark, and as large pages have it, 8.5 bytes a block. */
TEST(size)
{
	struct kvbm_config cfg = { .total = 1U << 20 };

	EXPECT_LE(kvbm_order_need(&cfg, 1), 17ULL << 19);
}

TEST_HARNESS_MAIN
