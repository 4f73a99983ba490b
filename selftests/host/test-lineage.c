// SPDX-License-Identifier: MIT
/*
 * The lineage index under attack.
 *
 * Unfinished prunes: all other operations go on, in any order, and only those
 * that need the outcome wait. The first part calls the index itself, with
 * operations between the steps of prunes, and walks the whole forest after
 * each. The second goes through the core, with a chain so long that a prune of
 * it can be left half-way.
 *
 * The table of families: keys chosen by somebody who knows its secret.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include "evict.h"
#include "fuzz/walk.h"
#include "host_take.h"
#include "host_harness.h"

/* One thread: ThreadSanitizer sees nothing here, and takes long. */
#ifdef HOST_TSAN
#define SEEDS	60
#define LONG	(1U << 16)
#else
#define SEEDS	200
#define LONG	(1U << 20)
#endif

static struct kvbm_store *store_new(u32 total, const char *policy)
{
	struct kvbm_config cfg = {
		.total = total,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 4,
	};
	struct kvbm_store *st = kzalloc(sizeof(*st), GFP_KERNEL);

	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(st, &cfg),
		   "no store");
	return st;
}

/* Seconds of work, which take longer on a machine that has other work. */
FIXTURE(lineage) {
	int unused;
};

FIXTURE_SETUP(lineage)
{
}

FIXTURE_TEARDOWN(lineage)
{
}

/* --- the index alone ------------------------------------------------------ */

#define SLOTS	26
#define KEYS	32

/* A world of keys: KEYS of them, some the same as another's but for a bit. */
struct forest {
	struct kvbm_store *st;
	struct kvbm_hash key[KEYS];
	u32 key_of[SLOTS];	/* KEYS: not registered */
	u32 cursor[4];		/* where prunes were left, maybe long ago */
	u64 seed, prunes, waited, midway;
	u32 mood;
};

static u32 rnd(struct forest *f, u32 n)
{
	return walk_mix(f->seed++) % n;
}

/* Two long chains with side branches and twins; or walk.h's small groups. */
static void make_keys(struct forest *f)
{
	u64 h[KEYS];
	u32 i, up, pos;

	if (!rnd(f, 3)) {
		for (i = 0; i < KEYS; i++)
			f->key[i] = walk_nth_hash(i);
		return;
	}
	for (i = 0; i < KEYS; i++) {
		pos = i / 2;
		up = i - 2;
		h[i] = walk_mix(f->seed + i);
		/* A twin of its neighbour, or under another chain's block. */
		if (pos && !rnd(f, 8))
			h[i] = h[i - 1] ^ 1ULL << 63;
		if (pos && !rnd(f, 8))
			up = pos * 2 - 1 - rnd(f, 2);
		f->key[i] = walk_hash(pos + 250, h[i], pos ? h[up] : i);
	}
	f->seed += KEYS;
}

static void set_word(struct forest *f, u32 id, enum kvbm_state state, u32 refs)
{
	atomic64_set(&f->st->slots[id].word,
		     kvbm_w_make(1, state, false, refs));
}

static bool key_used(struct forest *f, u32 key)
{
	u32 id;

	for (id = 0; id < SLOTS; id++)
		if (f->key_of[id] == key)
			return true;
	return false;
}

/* A prune that a call left in ->pruning: others may finish it some time. */
static void note_prune(struct forest *f)
{
	if (f->st->pruning == KVBM_NIL)
		return;
	f->cursor[rnd(f, ARRAY_SIZE(f->cursor))] = f->st->pruning;
	f->st->pruning = KVBM_NIL;
	f->prunes++;
}

static void gone(struct forest *f, u32 id)
{
	set_word(f, id, KVBM_STATE_RESET, 0);
	f->key_of[id] = KEYS;
}

static void one_change(struct forest *f, u32 id)
{
	const struct kvbm_evict_ops *ops = f->st->cfg.policy;
	struct kvbm_store *st = f->st;
	struct kvbm_slot *s = &st->slots[id];
	u32 key = rnd(f, KEYS);

	/* Much becomes idle; then it is held from the middle, and some pop. */
	if ((f->mood == 1 && walk_state(s) == KVBM_STATE_INACTIVE) ||
	    (f->mood == 2 && (walk_state(s) != KVBM_STATE_INACTIVE ||
			      !has_child(s) || st->nr_inactive < 3)))
		return;
	if (is_prunable(s))
		f->midway++;
	switch (walk_state(s)) {
	case KVBM_STATE_RESET:
		if (key_used(f, key))
			return;
		/* No index here, and so no hash. */
		kvbm_slot_set_key(s, &f->key[key], 0);
		f->key_of[id] = key;
		set_word(f, id, KVBM_STATE_PRIMARY, 1);
		break;
	case KVBM_STATE_PRIMARY:
		if (!rnd(f, 8)) {
			ops->forget(st, id);
			gone(f, id);
			break;
		}
		set_word(f, id, KVBM_STATE_PRIMARY, 0);
		st->nr_inactive++;
		kvbm_evict_insert(st, &st->slots[id], id);
		break;
	default:
		ops->remove(st, id);
		st->nr_inactive--;
		set_word(f, id, KVBM_STATE_PRIMARY, 1);
		/* As an idle block is evicted by name when all are reserved. */
		if (!rnd(f, 16)) {
			ops->forget(st, id);
			gone(f, id);
		}
	}
}

static void one_pop(struct forest *f)
{
	struct kvbm_store *st = f->st;
	struct lineage *ln = st->evict;
	u32 budget = rnd(f, 3), id;

	if (!st->nr_inactive)
		return;
	id = st->cfg.policy->pop(st, &budget);
	if (id == KVBM_NIL) {
		WALK_CHECK(!budget && ln->prunable != KVBM_NIL &&
			   kvbm_order_none(&ln->order, 0),
			   "none popped, budget %u", budget);
		f->waited++;
		return;
	}
	WALK_CHECK(walk_state(&st->slots[id]) == KVBM_STATE_INACTIVE,
		   "popped %u", id);
	st->nr_inactive--;
	gone(f, id);
}

static void one_step(struct forest *f)
{
	u32 *cursor = &f->cursor[rnd(f, ARRAY_SIZE(f->cursor))];
	u32 budget = rnd(f, 3), any = KVBM_NIL;

	if (!rnd(f, 4))
		cursor = &any;
	*cursor = f->st->cfg.policy->prune(f->st, *cursor, &budget);
	WALK_CHECK(*cursor == KVBM_NIL || !budget, "stopped early");
}

static u32 count_prunable(struct kvbm_store *st)
{
	u32 id, n = 0;

	for (id = 0; id < st->cfg.total; id++)
		n += is_prunable(&st->slots[id]);
	return n;
}

static void check_forest(struct forest *f)
{
	walk_lineage(f->st);
}

/* At most so many steps until there is a leaf, and until nothing is prunable. */
static void finish(struct forest *f)
{
	struct kvbm_store *st = f->st;
	u32 budget = SLOTS;

	WALK_CHECK(st->cfg.policy->prune(st, KVBM_NIL, &budget) == KVBM_NIL,
		   "%u fade", count_prunable(st));
	check_forest(f);
	WALK_CHECK(!count_prunable(st), "some fade");
	while (st->nr_inactive) {
		u32 id;

		budget = SLOTS;
		id = st->cfg.policy->pop(st, &budget);
		WALK_CHECK(id != KVBM_NIL, "%u idle, none popped",
			   st->nr_inactive);
		st->nr_inactive--;
		gone(f, id);
		note_prune(f);
		check_forest(f);
	}
}

static void random_forest(struct kvbm_store *st, u64 seed, u64 *sum)
{
	struct forest f = { .st = st, .seed = seed };
	u32 i, ops = 400, steps;

	for (i = 0; i < SLOTS; i++)
		f.key_of[i] = KEYS;
	for (i = 0; i < ARRAY_SIZE(f.cursor); i++)
		f.cursor[i] = KVBM_NIL;
	make_keys(&f);
	/* From prunes that are over at once to those that never end. */
	steps = rnd(&f, 4);
	spin_lock(&f.st->lock);
	while (ops--) {
		if (!(ops % 40))
			f.mood = rnd(&f, 3);
		if (!rnd(&f, f.mood == 2 ? 3 : 10))
			one_pop(&f);
		else
			one_change(&f, rnd(&f, SLOTS));
		note_prune(&f);
		check_forest(&f);
		for (i = steps; i--;) {
			one_step(&f);
			check_forest(&f);
		}
	}
	finish(&f);
	for (i = 0; i < SLOTS; i++) {
		if (f.key_of[i] == KEYS)
			continue;
		st->cfg.policy->forget(st, i);
		gone(&f, i);
		note_prune(&f);
		check_forest(&f);
	}
	WALK_CHECK(!count_prunable(st), "of nothing, something is prunable");
	spin_unlock(&f.st->lock);
	sum[0] += f.prunes;
	sum[1] += f.waited;
	sum[2] += f.midway;
}

/* @crowded: one line for all families, and two chains behind it. */
static void random_forests(const char *policy, bool crowded, u64 *sum)
{
	struct kvbm_store *st = store_new(SLOTS, policy);
	struct lineage *ln = st->evict;
	u64 seed;

	if (crowded) {
		ln->families.nr_lines = 1;
		ln->families.nr_heads = 2;
	}
	memset(sum, 0, 3 * sizeof(*sum));
	for (seed = 1; seed <= SEEDS; seed++)
		random_forest(st, seed << 32, sum);
	printf("# %s: %llu prunes, %llu pops had to wait, %llu changes of what faded\n",
	       policy, (unsigned long long)sum[0], (unsigned long long)sum[1],
	       (unsigned long long)sum[2]);
	fflush(stdout);
	/* The free list never was in use. */
	kvbm_store_exit(st);
	kfree(st);
}

TEST_F_TIMEOUT(lineage, between_steps_tick, 300)
{
	u64 sum[3];

	random_forests("lineage_tick", false, sum);
	EXPECT_GT(sum[0], 2 * SEEDS);
	EXPECT_GE(sum[1], SEEDS / 60);
	EXPECT_GT(sum[2], SEEDS / 5);
}

TEST_F_TIMEOUT(lineage, between_steps_fifo, 300)
{
	u64 sum[3];

	random_forests("lineage_fifo", false, sum);
	EXPECT_GT(sum[0], 2 * SEEDS);
	EXPECT_GE(sum[1], SEEDS / 60);
	EXPECT_GT(sum[2], SEEDS / 5);
}

TEST_F_TIMEOUT(lineage, crowded_tick, 300)
{
	u64 sum[3];

	random_forests("lineage_tick", true, sum);
	EXPECT_GT(sum[0], 2 * SEEDS);
}

TEST_F_TIMEOUT(lineage, crowded_fifo, 300)
{
	u64 sum[3];

	random_forests("lineage_fifo", true, sum);
	EXPECT_GT(sum[0], 2 * SEEDS);
}

/* --- families in one line ------------------------------------------------- */

#define FAMILIES	16384U

struct crowd {
	u32 lines;	/* with entries behind them */
	u32 chained;
	u32 longest;	/* chain */
	u64 steps;	/* to find each of the chained ones once */
};

static void look_at(struct kvbm_store *st, struct crowd *c)
{
	struct lineage *ln = st->evict;
	struct kvbm_families *f = &ln->families;
	u32 i, e, len;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < f->nr_lines; i++)
		c->lines += !!f->lines[i].chained;
	for (i = 0; i < f->nr_heads; i++) {
		len = 0;
		for (e = f->heads[i]; e != FAMILY_END;
		     e = *kvbm_family_place(st, e) & FAMILY_END)
			c->steps += ++len;
		c->chained += len;
		c->longest = max(c->longest, len);
	}
}

/*
 * An attacker who knows the secret puts a family for each block into one line.
 * All but twelve are looked up in chains, and no chain is long. Other lines do
 * not notice.
 */
TEST_F_TIMEOUT(lineage, families_in_one_line, 300)
{
	struct kvbm_store *st = store_new(FAMILIES, "lineage_tick");
	const struct kvbm_evict_ops *ops = st->cfg.policy;
	struct lineage *ln = st->evict;
	struct kvbm_families *f = &ln->families;
	struct crowd c;
	u64 up = 0;
	u32 id;

	spin_lock(&st->lock);
	for (id = 0; id < FAMILIES; id++) {
		struct kvbm_slot *s = &st->slots[id];

		do
			s->key = walk_hash(1, walk_mix(id), ++up);
		while (kvbm_family_hash(f, kvbm_parent_key(&s->key)).line != 7);
		kvbm_evict_insert(st, &st->slots[id], id);
	}
	look_at(st, &c);
	printf("# %u chained behind %u lines, the longest of %u chains %u, %llu steps\n",
	       c.chained, c.lines, f->nr_heads, c.longest,
	       (unsigned long long)c.steps);
	fflush(stdout);
	/* And the blocks' own entries, which are where chance puts them. */
	EXPECT_GE(c.chained, FAMILIES - FAMILY_WIDTH);
	EXPECT_LE(c.chained, FAMILIES + FAMILIES / 8);
	EXPECT_LE(c.lines, f->nr_lines / 3);
	/* Four on average: Poisson. */
	EXPECT_LE(c.longest, 24);
	EXPECT_LE(c.steps, 4ULL * c.chained);

	/* All siblings of one family, whose first ones leave first. */
	for (id = 0; id < FAMILIES; id++)
		ops->remove(st, id);
	for (id = 0; id < FAMILIES; id++)
		ops->forget(st, id);
	look_at(st, &c);
	EXPECT_EQ(c.chained, 0);
	EXPECT_EQ(c.lines, 0);
	spin_unlock(&st->lock);
	kvbm_store_exit(st);
	kfree(st);
}

/* --- a long chain --------------------------------------------------------- */


struct chain {
	struct kvbm_store *st;
	struct kvbm_session *holder, *other;
	struct kvbm_hash *key;
	u32 *id, n;
};

static struct kvbm_session *session_new(struct kvbm_store *st)
{
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);

	WALK_CHECK(!kvbm_session_init(ses, st), "no session");
	return ses;
}

static void session_end(struct kvbm_session *ses)
{
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
}

/* Blocks for a session; where @calls, how many chunks that took. */
static void take(struct kvbm_session *ses, u32 n, u32 *ids,
		 struct kvbm_hash *evicted, u32 *calls)
{
	struct kvbm_hash *keys = calloc(n, sizeof(*keys));
	struct host_took took;

	WALK_CHECK(!host_take(ses, n, false, ids, keys, &took), "no blocks");
	if (took.evicted && evicted)
		*evicted = keys[took.evicted - 1];
	if (calls)
		*calls += took.chunks;
	free(keys);
}

static void enlist(struct kvbm_session *ses, const u32 *ids,
		   const struct kvbm_hash *keys, u32 n)
{
	struct kvbm_registered out[KVBM_CHUNK];
	u32 done, i;

	for (done = 0; done < n; done += i) {
		struct kvbm_step step = KVBM_STEP_INIT;

		i = kvbm_register_chunk(ses, ids + done, keys + done, NULL,
					min(n - done, KVBM_CHUNK), false, out,
					&step);
		WALK_CHECK(i && !step.err, "errno %d", step.err);
	}
}

static void give(struct kvbm_session *ses, const u32 *ids, u32 n)
{
	u32 done, i;

	for (done = 0; done < n; done += i) {
		struct kvbm_step step = KVBM_STEP_INIT;

		i = kvbm_release_chunk(ses, ids + done, min(n - done, KVBM_CHUNK),
				       0, &step);
		WALK_CHECK(i && !step.err, "errno %d", step.err);
	}
}

static void hold(struct kvbm_session *ses, const struct kvbm_hash *keys, u32 n)
{
	struct kvbm_chunk c;
	u32 done, i, hits;

	for (done = 0; done < n; done += i) {
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 some = min(n - done, KVBM_CHUNK);

		memcpy(c.keys, keys + done, some * sizeof(*keys));
		i = kvbm_scan_chunk(ses, &c, some, some, false, &hits, &step);
		WALK_CHECK(i == hits && !step.err &&
			   !kvbm_session_ready(ses, &step), "errno %d",
			   step.err);
	}
}

/*
 * A pool that is one chain, of which only both ends are idle; the holder has
 * all in between.
 */
static void chain_new(struct chain *c, u32 n, const char *policy)
{
	u64 h, up = 0;
	u32 i;

	host_work_manual(true);
	c->n = n;
	c->st = store_new(n, policy);
	c->holder = session_new(c->st);
	c->other = session_new(c->st);
	c->id = malloc(n * sizeof(*c->id));
	c->key = malloc(n * sizeof(*c->key));
	for (i = 0; i < n; i++, up = h) {
		h = walk_mix(i);
		c->key[i] = walk_hash(i, h, up);
	}
	take(c->holder, n, c->id, NULL, NULL);
	enlist(c->holder, c->id, c->key, n);
	give(c->holder, c->id, n);
	hold(c->holder, c->key + 1, n - 2);
	WALK_CHECK(c->st->nr_inactive == 2, "%u idle", c->st->nr_inactive);
}

static void chain_end(struct chain *c)
{
	session_end(c->other);
	session_end(c->holder);
	kvbm_store_exit(c->st);
	kfree(c->st);
	free(c->id);
	free(c->key);
}

/* Placeholders that prunes have not reached. */
static u32 linked(struct chain *c)
{
	u32 id, n = 0;

	for (id = 0; id < c->n; id++)
		n += (c->st->slots[id].flags & (LIN_IDLE | LIN_LINKED)) ==
		     LIN_LINKED;
	return n;
}

/* The leaf at the chain's end is evicted by who is killed right then. */
static u32 evict_tail_and_die(struct chain *c)
{
	struct kvbm_hash evicted;
	u32 id;

	host_fatal_after(3);
	take(c->other, 1, &id, &evicted, NULL);
	host_set_signal(false, false);
	WALK_CHECK(evicted.lo == c->key[c->n - 1].lo, "not the tail");
	return id;
}

/* Nobody waits for another's prune, and none of it is his to do. */
static void others_go_on(const char *policy)
{
	struct kvbm_hash keys[2] = {
		walk_hash(0, walk_mix(1ULL << 40), 0),
		walk_hash(1, walk_mix(1ULL << 41), walk_mix(1ULL << 40)),
	};
	struct kvbm_session *third;
	struct chain c;
	u32 id, left;

	chain_new(&c, LONG, policy);
	WALK_CHECK(linked(&c) == LONG - 2, "%u linked", linked(&c));
	id = evict_tail_and_die(&c);
	left = linked(&c);
	/* A chunk's worth inside, and two more before the signal. */
	WALK_CHECK(left == LONG - 2 - 3 * KVBM_CHUNK, "%u left", left);

	enlist(c.other, &id, &keys[0], 1);
	third = session_new(c.st);
	hold(third, &keys[0], 1);
	give(c.other, &id, 1);
	hold(c.other, c.key + 5, 3);
	give(third, &id, 1);
	hold(third, &keys[0], 1);
	session_end(third);
	WALK_CHECK(linked(&c) == left, "%u of %u left", linked(&c), left);

	/* Bounded runs of the work item do the rest. */
	host_run_work();
	WALK_CHECK(!linked(&c), "%u left", linked(&c));
	chain_end(&c);
}

TEST_F_TIMEOUT(lineage, others_go_on_tick, 300)
{
	others_go_on("lineage_tick");
}

TEST_F_TIMEOUT(lineage, others_go_on_fifo, 300)
{
	others_go_on("lineage_fifo");
}

/* A caller that is not killed has finished its prune when it returns. */
TEST_F_TIMEOUT(lineage, alone_sees_it_through, 300)
{
	struct kvbm_hash evicted;
	struct chain c;
	u32 id, calls = 0;

	chain_new(&c, 1U << 16, "lineage_tick");
	take(c.other, 1, &id, &evicted, &calls);
	WALK_CHECK(calls == 1 && !linked(&c), "%u calls, %u left", calls,
		   linked(&c));
	chain_end(&c);
}

/*
 * The only idle block is above a long prune of which nobody takes care: an
 * allocation gets it, and holds the lock for no more than a chunk at a time.
 */
TEST_F_TIMEOUT(lineage, above_a_prune, 300)
{
	struct kvbm_hash evicted;
	u32 id, left, calls = 0;
	struct chain c;

	chain_new(&c, 1U << 16, "lineage_tick");
	evict_tail_and_die(&c);
	left = linked(&c);
	WALK_CHECK(left, "none left");
	WALK_CHECK(c.st->nr_inactive == 1, "%u idle", c.st->nr_inactive);
	take(c.other, 1, &id, &evicted, &calls);
	EXPECT_EQ(id, c.id[0]);
	EXPECT_EQ(evicted.lo, c.key[0].lo);
	EXPECT_GE(calls, left / KVBM_CHUNK);
	EXPECT_LE(calls, left / KVBM_CHUNK + 2);
	EXPECT_EQ(c.st->reserved, 0);
	host_run_work();
	chain_end(&c);
}

/* Half-way it is given up: the reservation is, too; the rest goes on. */
TEST_F_TIMEOUT(lineage, above_a_prune_given_up, 300)
{
	struct kvbm_alloc_ctx t;
	struct kvbm_chunk chunk;
	u32 left, i;
	struct chain c;

	chain_new(&c, 1U << 16, "lineage_tick");
	evict_tail_and_die(&c);
	left = linked(&c);
	EXPECT_EQ(kvbm_alloc_begin(&t, c.other, 1, false), 0);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(kvbm_alloc_chunk(&t, &chunk), 0);
		EXPECT_EQ(t.n, 0);
		EXPECT_EQ(c.st->reserved, 1);
		EXPECT_EQ(linked(&c), left - (i + 1) * KVBM_CHUNK);
	}
	kvbm_alloc_abort(&t);
	EXPECT_EQ(c.st->reserved, 0);
	EXPECT_EQ(kvbm_reset_inactive_chunk(c.st, 64), 1);
	EXPECT_EQ(linked(&c), 0);
	host_run_work();
	chain_end(&c);
}

/* In the middle, a block comes back: the prune below it ends there. */
TEST_F_TIMEOUT(lineage, a_block_comes_back, 300)
{
	u32 id, calls = 0, mid;
	struct kvbm_hash evicted;
	struct chain c;

	chain_new(&c, 4096, "lineage_tick");
	mid = 2000;
	evict_tail_and_die(&c);
	give(c.holder, &c.id[mid], 1);
	host_run_work();
	EXPECT_EQ(linked(&c), mid - 1);
	/* It is the leaf now, and the rest goes with it. */
	take(c.other, 1, &id, &evicted, &calls);
	EXPECT_EQ(id, c.id[mid]);
	EXPECT_EQ(linked(&c), 0);
	chain_end(&c);
}

/* A hash in the middle leaves the store: what is above it is pruned at once. */
TEST_F_TIMEOUT(lineage, a_hash_leaves, 300)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct chain c;
	u32 mid = 2000;

	chain_new(&c, 4096, "lineage_tick");
	evict_tail_and_die(&c);
	EXPECT_EQ(kvbm_set_reset_chunk(c.holder, &c.id[mid], 1, true, &step), 1);
	give(c.holder, &c.id[mid], 1);
	/* The nodes above it: these were up to the releaser. */
	EXPECT_EQ(linked(&c), 4096 - 2 - 3 * KVBM_CHUNK - mid);
	host_run_work();
	EXPECT_EQ(linked(&c), 0);
	chain_end(&c);
}

TEST_HARNESS_MAIN
