// SPDX-License-Identifier: MIT
/*
 * How long evicted blocks had been idle: each eviction is counted by the time
 * since the last hold was released, whatever happened before that.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include "fuzz/walk.h"
#include "host.h"
#include "host_take.h"
#include "sketch.h"
#include "host_harness.h"

#define TOTAL	48
#define KEYS	160
#define ROUNDS	4000

struct world {
	struct kvbm_store st;
	struct kvbm_session ses;
	u64 seed;
	u64 now;
	bool idle[TOTAL];
	u64 since[TOTAL];
	u64 ns;
	u64 histogram[KVBM_IDLE_BUCKETS];
};

static u32 rnd(struct world *w, u32 n)
{
	return walk_mix(w->seed++) % n;
}

static void world_new(struct world *w, const char *policy, u64 seed)
{
	struct kvbm_config cfg = {
		.total = TOTAL,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 4,
	};

	memset(w, 0, sizeof(*w));
	w->seed = seed << 32;
	w->now = 3600 * NSEC_PER_SEC;
	host_set_time(w->now);
	if (cfg.policy->needs_frequency) {
		cfg.freq_capacity = KVBM_FREQ_SMALL;
		cfg.thresholds[0] = 2;
		cfg.thresholds[1] = 3;
		cfg.thresholds[2] = 6;
	}
	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(&w->st, &cfg),
		   "no store");
	WALK_CHECK(!kvbm_session_init(&w->ses, &w->st), "no session");
}

static void world_end(struct world *w)
{
	struct walk_counts counts;

	walk_store(&w->st, &counts);
	kvbm_session_kill(&w->ses, -ESHUTDOWN);
	kvbm_session_exit(&w->ses);
	kvbm_holds_free(&w->ses);
	kvbm_store_exit(&w->st);
	host_set_time(0);
}

/* An instant to weeks; most are short. */
static void pass(struct world *w)
{
	w->now += walk_mix(w->seed++) >> (14 + rnd(w, 50));
	host_set_time(w->now);
}

/* Ticks of the clock between two times; it wraps at 2^32. */
static u64 between(u64 since, u64 now)
{
	const u64 tick = 2 * TICK_NSEC;

	static_assert(HZ == 250);
	return (u32)(now / tick - since / tick) * tick;
}

static void expect_evicted(struct world *w, u32 id)
{
	u64 ns = between(w->since[id], w->now);
	u32 i = 0;

	WALK_CHECK(w->idle[id], "block %u was not idle", id);
	while (i < KVBM_IDLE_BUCKETS - 1 &&
	       ns >= 1ULL << (i + KVBM_IDLE_BUCKET_SHIFT))
		i++;
	w->histogram[i]++;
	w->ns += ns;
}

/* After an operation at one point in time. */
static void look(struct world *w, bool allocated)
{
	u32 id;

	for (id = 0; id < TOTAL; id++) {
		enum kvbm_state state = walk_state(&w->st.slots[id]);
		bool idle = state == KVBM_STATE_INACTIVE;

		if (w->idle[id] && allocated && state == KVBM_STATE_MUTABLE)
			expect_evicted(w, id);
		if (idle && !w->idle[id])
			w->since[id] = w->now;
		w->idle[id] = idle;
	}
}

static void give(struct world *w, u32 id)
{
	struct kvbm_step step = KVBM_STEP_INIT;

	kvbm_release_chunk(&w->ses, &id, 1, 0, &step);
	WALK_CHECK(!step.err, "errno %d", step.err);
}

static void give_some(struct world *w)
{
	u32 id;

	for (id = 0; id < TOTAL; id++) {
		if (!kvbm_count_owned(&w->ses, id) &&
		    !kvbm_count_held(&w->ses, id))
			continue;
		if (rnd(w, 2))
			give(w, id);
	}
}

static void fill(struct world *w)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_registered out[8];
	struct kvbm_hash keys[8];
	u32 ids[8], i, n = 1 + rnd(w, 8);

	if (host_take(&w->ses, n, false, ids, NULL, NULL))
		return;
	look(w, true);
	for (i = 0; i < n; i++)
		keys[i] = walk_nth_hash(rnd(w, KEYS));
	kvbm_register_chunk(&w->ses, ids, keys, NULL, n, false, out, &step);
}

static void live(struct world *w)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_chunk c;
	u32 n, i, hits;

	switch (rnd(w, 8)) {
	case 0:
		n = 1 + rnd(w, 8);
		for (i = 0; i < n; i++)
			c.keys[i] = walk_nth_hash(rnd(w, KEYS));
		kvbm_scan_chunk(&w->ses, &c, n, n, true, &hits, &step);
		break;
	case 1:
		/* A reset block does not count as evicted. */
		if (!rnd(w, 8))
			kvbm_reset_inactive_chunk(&w->st, 1 + rnd(w, 8));
		break;
	case 2:
	case 3:
	case 4:
		give_some(w);
		break;
	default:
		fill(w);
	}
	look(w, false);
	pass(w);
}

TEST(each_eviction_by_its_age)
{
	const struct kvbm_evict_ops *policy;
	struct kvbm_stats stats;
	struct world *w = kzalloc(sizeof(*w), GFP_KERNEL);
	u32 p, i, used;

	for (p = 0; (policy = kvbm_evict_nth(p)); p++) {
		world_new(w, policy->name, p + 1);
		for (i = 0; i < ROUNDS; i++)
			live(w);
		stats = (struct kvbm_stats) {};
		ASSERT_EQ(0, kvbm_store_stats(&w->st, &stats));
		used = 0;
		for (i = 0; i < KVBM_IDLE_BUCKETS; i++) {
			used += !!w->histogram[i];
			EXPECT_EQ(w->histogram[i],
				  stats.evicted_idle_histogram[i]) {
				TH_LOG("%s: bucket %u", policy->name, i);
			}
		}
		EXPECT_EQ(w->ns, stats.evicted_idle_ns);
		EXPECT_GT(stats.evictions, ROUNDS / 4);
		/* The times were of all kinds. */
		EXPECT_GT(used, KVBM_IDLE_BUCKETS / 2);
		world_end(w);
	}
	kfree(w);
}

TEST_HARNESS_MAIN
