// SPDX-License-Identifier: MIT
/*
 * Export: it reports registered blocks and their eviction order, well enough
 * to build the same store again.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include "fuzz/walk.h"
#include "host_take.h"
#include "sketch.h"
#include "host_harness.h"

#define TOTAL	160
#define KEYS	240
#ifdef HOST_TSAN
#define SEEDS	4
#else
#define SEEDS	40
#endif

struct world {
	struct kvbm_store st;
	struct kvbm_session ses[2];
	u64 seed;
};

static u32 rnd(struct world *w, u32 n)
{
	return walk_mix(w->seed++) % n;
}

/* No twins: export does not say which block of a node key is the leaf. */
static struct kvbm_hash nth_key(u32 i)
{
	static const u32 kind[] = { 0, 1, 2, 3, 4, 7 };

	return walk_nth_hash(i / 6 * 8 + kind[i % 6]);
}

static void world_new(struct world *w, const char *policy, u64 seed)
{
	struct kvbm_config cfg = {
		.total = TOTAL,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 4,
	};
	u32 i;

	memset(w, 0, sizeof(*w));
	w->seed = seed << 32;
	if (cfg.policy->needs_frequency) {
		cfg.freq_capacity = KVBM_FREQ_SMALL;
		cfg.thresholds[0] = 2;
		cfg.thresholds[1] = 3;
		cfg.thresholds[2] = 6;
	}
	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(&w->st, &cfg),
		   "no store");
	for (i = 0; i < 2; i++)
		WALK_CHECK(!kvbm_session_init(&w->ses[i], &w->st), "no session");
}

static void world_end(struct world *w)
{
	u32 i;

	for (i = 0; i < 2; i++) {
		kvbm_session_exit(&w->ses[i]);
		kvbm_holds_free(&w->ses[i]);
	}
	kvbm_store_exit(&w->st);
}

static u32 enlist(struct kvbm_session *ses, const u32 *ids,
		  const struct kvbm_hash *keys, u32 n,
		  struct kvbm_registered *out)
{
	struct kvbm_step step;
	u32 done = 0;

	while (done < n) {
		step = (struct kvbm_step) KVBM_STEP_INIT;
		done += kvbm_register_chunk(ses, ids + done, keys + done,
					    NULL, min(n - done, KVBM_CHUNK),
					    true, out + done, &step);
		WALK_CHECK(!step.err, "errno %d", step.err);
		WALK_CHECK(!kvbm_session_ready(ses, &step), "not ready");
	}
	return done;
}

static void give(struct kvbm_session *ses, const u32 *ids, u32 n)
{
	struct kvbm_step step;
	u32 done = 0;

	while (done < n) {
		step = (struct kvbm_step) KVBM_STEP_INIT;
		done += kvbm_release_chunk(ses, ids + done,
					   min(n - done, KVBM_CHUNK), 0, &step);
		WALK_CHECK(!step.err, "errno %d", step.err);
	}
}

/* Registers, matches and releases this and that. */
static void live(struct world *w, u32 rounds)
{
	struct kvbm_registered out[8];
	u32 ids[8], n, i, hits;
	struct kvbm_chunk c;

	for (; rounds; rounds--) {
		struct kvbm_session *ses = &w->ses[rnd(w, 2)];
		struct kvbm_step step = KVBM_STEP_INIT;

		n = 1 + rnd(w, 8);
		for (i = 0; i < n; i++)
			c.keys[i] = nth_key(rnd(w, KEYS));
		if (rnd(w, 2)) {
			n = kvbm_scan_chunk(ses, &c, n, n, true, &hits, &step);
			memcpy(ids, c.ids, sizeof(ids));
		} else if (host_take(ses, n, false, ids, NULL, NULL)) {
			n = 0;
		} else {
			enlist(ses, ids, c.keys, n, out);
			for (i = 0; i < n; i++)
				ids[i] = out[i].block;
		}
		for (i = 0; i < n; i++)
			if (ids[i] != KVBM_NO_BLOCK && rnd(w, 8))
				give(ses, &ids[i], 1);
		/* Now and then everything, head first or tail first. */
		if (rnd(w, 16))
			continue;
		for (i = 0; i < TOTAL; i++) {
			u32 id = rnd(w, 2) ? i : TOTAL - 1 - i;
			u32 *cnt = kvbm_count_held(ses, id);

			while (cnt && *cnt)
				give(ses, &id, 1);
		}
	}
}

static void drop_all(struct world *w)
{
	u32 s, i;

	for (s = 0; s < 2; s++)
		for (i = 0; i < TOTAL; i++) {
			u32 *cnt = kvbm_count_held(&w->ses[s], i);

			while (cnt && *cnt)
				give(&w->ses[s], &i, 1);
		}
}

/* Everything, in parts of @most. */
static u32 export(struct world *w, struct kvbm_export_entry *e, u32 most)
{
	u32 from = 0, n = 0, before, got;

	while (from < TOTAL) {
		before = from;
		got = kvbm_export_chunk(&w->st, &from, e + n, NULL, most);
		WALK_CHECK(got <= most && from > before &&
			   from - before <= KVBM_CHUNK,
			   "%u entries, from %u to %u", got, before, from);
		n += got;
	}
	WALK_CHECK(!kvbm_export_chunk(&w->st, &from, e, NULL, most) && from == TOTAL,
		   "more than all");
	return n;
}

/* Against the slots themselves. */
static void check_export(struct world *w, const struct kvbm_export_entry *e,
			 u32 n)
{
	u32 id, i = 0;

	for (id = 0; id < TOTAL; id++) {
		const struct kvbm_slot *s = &w->st.slots[id];
		enum kvbm_state state = walk_state(s);

		if (state != KVBM_STATE_PRIMARY &&
		    state != KVBM_STATE_INACTIVE)
			continue;
		WALK_CHECK(i < n && e[i].block == id && e[i].state == state,
			   "block %u", id);
		WALK_CHECK(e[i].hash.hi == s->key.hi &&
			   e[i].hash.lo == s->key.lo &&
			   e[i].generation == kvbm_w_gen(kvbm_slot_word(s)) &&
			   e[i].keep_rank == KVBM_RANK_NORMAL &&
			   !e[i].keep_until_ns && !e[i].sequence, "block %u", id);
		WALK_CHECK(state == KVBM_STATE_INACTIVE ||
			   (!e[i].order && !e[i].rank), "held block %u", id);
		i++;
	}
	WALK_CHECK(i == n && n == w->st.nr_registered, "%u of %u", i, n);
}

static int by_order(const void *a, const void *b)
{
	const struct kvbm_export_entry *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

/* The same blocks in another store, as an exported list says. */
static void restore(struct world *w, const struct kvbm_export_entry *e, u32 n)
{
	static struct kvbm_registered out[TOTAL];
	u32 all[TOTAL], ids[TOTAL], i, want;
	struct kvbm_hash keys[TOTAL];

	WALK_CHECK(!host_take(&w->ses[0], TOTAL, false, all, NULL, NULL),
		   "no blocks");
	for (i = 0; i < n; i++) {
		ids[i] = e[i].block;
		keys[i] = e[i].hash;
	}
	enlist(&w->ses[0], ids, keys, n, out);
	for (i = 0; w->st.sketch && i < n; i++) {
		want = e[i].rank ? w->st.cfg.thresholds[e[i].rank - 1] : 0;
		while (kvbm_sketch_read(w->st.sketch, &keys[i]) < want)
			kvbm_sketch_touch(w->st.sketch, &keys[i], 1);
	}
	give(&w->ses[0], ids, n);
	for (i = 0; i < TOTAL; i++)
		if (kvbm_count_owned(&w->ses[0], i))
			give(&w->ses[0], &i, 1);
}

/* All idle blocks' hashes, in the order in which they are evicted. */
static u32 evict_all(struct world *w, struct kvbm_hash *keys)
{
	u32 ids[TOTAL], n = w->st.nr_inactive;
	struct host_took took;

	WALK_CHECK(!host_take(&w->ses[1], TOTAL, false, ids, keys, &took),
		   "no blocks");
	WALK_CHECK(took.evicted == n, "%u of %u", took.evicted, n);
	return n;
}

/* One life of a store; false: the order of eviction is another. */
static bool same_again(const char *policy, u64 seed, bool sorted)
{
	static struct kvbm_export_entry e[TOTAL], again[TOTAL];
	struct kvbm_hash first[TOTAL], second[TOTAL];
	struct world *a = aligned_alloc(64, 2 * sizeof(*a)), *b = a + 1;
	struct walk_counts counts;
	u32 n, i;
	bool same;

	world_new(a, policy, seed);
	world_new(b, policy, seed + 1);
	live(a, 300);
	n = export(a, e, 7);
	check_export(a, e, n);
	drop_all(a);
	n = export(a, e, KVBM_CHUNK);
	check_export(a, e, n);
	if (sorted)
		qsort(e, n, sizeof(*e), by_order);
	restore(b, e, n);
	i = export(b, again, 1);
	check_export(b, again, i);
	WALK_CHECK(i == n, "%u of %u", i, n);
	walk_store(&b->st, &counts);
	WALK_CHECK(evict_all(a, first) == n && evict_all(b, second) == n,
		   "not all");
	same = !memcmp(first, second, n * sizeof(*first));
	world_end(a);
	world_end(b);
	free(a);
	return same;
}

TEST(the_same_store_again)
{
	const struct kvbm_evict_ops *policy;
	u32 p, seed, unsorted;

	for (p = 0; (policy = kvbm_evict_nth(p)); p++) {
		unsorted = 0;
		for (seed = 1; seed <= SEEDS; seed++) {
			EXPECT_TRUE(same_again(policy->name, seed, true)) {
				TH_LOG("%s, seed %u", policy->name, seed);
			}
			unsorted += !same_again(policy->name, seed, false);
		}
		/* It is the order that makes it so. */
		EXPECT_GT(unsorted, SEEDS / 2) {
			TH_LOG("%s: any order does", policy->name);
		}
	}
}

TEST_HARNESS_MAIN
