// SPDX-License-Identifier: MIT
/*
 * Expired ranks, of other accounts and of none: however many have expired
 * together, they do not stop a caller from raising blocks.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include "batch.h"
#include "fuzz/walk.h"
#include "host.h"
#include "host_take.h"
#include "kselftest.h"
#include "retain.h"

#define TOTAL	512U
#define MANY	300U		/* more than are ended in some holds of the lock */
#define MINE	4U

#define NOW	(1000ULL << KVBM_KEEP_SHIFT)
#define LATER	(2000ULL << KVBM_KEEP_SHIFT)

static struct kvbm_session *session_new(struct kvbm_store *st, u32 uid)
{
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);

	ses->uid = uid;
	WALK_CHECK(!kvbm_session_init(ses, st), "no session");
	return ses;
}

static void session_end(struct kvbm_session *ses)
{
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
}

struct keeping {
	struct kvbm_batch b;
	const u32 *ids;
	struct kvbm_keep_to to;
	u8 *results;
};

static int keep_one(struct kvbm_batch *b, u32 n, struct kvbm_step *step)
{
	struct keeping *k = container_of(b, struct keeping, b);

	return kvbm_keep_chunk(b->ses, k->ids + b->done, NULL, n, &k->to,
			       k->results + b->done, step);
}

/* All of a user's blocks get a rank; how many did. */
static u32 keep(struct kvbm_session *ses, const u32 *ids, u32 n, u32 rank,
		u64 ns)
{
	u8 results[TOTAL];
	struct keeping k = {
		.ids = ids,
		.to = { .rank = rank, .until = kvbm_keep_until(ns) },
		.results = results,
	};
	u32 i, done = 0;

	WALK_CHECK(!kvbm_batch_run(&k.b, ses, n, KVBM_CHUNK / 2, keep_one),
		   "an errno");
	WALK_CHECK(k.b.done == n, "%u of %u", k.b.done, n);
	for (i = 0; i < n; i++)
		done += results[i] == KVBM_KEEP_DONE;
	return done;
}

static void take(struct kvbm_session *ses, u32 n, u32 from, u32 *ids)
{
	u32 i, got;

	WALK_CHECK(!host_take(ses, n, false, ids, NULL, NULL), "no blocks");
	for (i = 0; i < n; i += got) {
		struct kvbm_hash key = walk_nth_hash(from + i);
		struct kvbm_step step = KVBM_STEP_INIT;
		struct kvbm_registered out;

		got = kvbm_register_chunk(ses, &ids[i], &key, NULL, 1, false,
					  &out, &step);
		WALK_CHECK(!step.err && (!got || out.kind == KVBM_KIND_PRIMARY) &&
			   !kvbm_session_ready(ses, &step), "not registered");
	}
}

/* @rank: of the many whose time comes before that of one's own. */
static void behind(const char *policy, u32 rank, u32 most, u32 user)
{
	struct kvbm_config cfg = {
		.total = TOTAL,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 16,
		.freq_capacity = 64,
		.keep_blocks = most,
		.keep_user_blocks = user,
	};
	struct kvbm_store *st = kzalloc(sizeof(*st), GFP_KERNEL);
	struct kvbm_session *ses, *other;
	u32 many[MANY], mine[MINE + 1];
	struct walk_counts c;

	host_set_time(NOW);
	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(st, &cfg),
		   "no store");
	ses = session_new(st, 1);
	other = session_new(st, 2);
	other->may_lower = true;
	take(other, MANY, 0, many);
	take(ses, MINE + 1, MANY, mine);
	WALK_CHECK(keep(other, many, MANY, rank, LATER - NSEC_PER_SEC) == MANY,
		   "not all");
	WALK_CHECK(keep(ses, mine, MINE + 1, KVBM_RANK_KEEP, LATER) == MINE,
		   "not as many as there may be");
	/* The work item has not come by. */
	host_set_time(LATER);
	WALK_CHECK(keep(ses, &mine[MINE], 1, KVBM_RANK_KEEP, 0) == 1,
		   "what is over is counted");
	/* But no more than what may be. */
	WALK_CHECK(keep(ses, mine, MINE + 1, KVBM_RANK_KEEP, 0) == MINE,
		   "too many, or too few");
	session_end(ses);
	session_end(other);
	walk_store(st, &c);
	kvbm_store_exit(st);
	kfree(st);
}

int main(void)
{
	const struct kvbm_evict_ops *policy;
	u32 p;

	ksft_print_header();
	ksft_set_plan(2 * KVBM_NR_POLICIES);
	host_work_manual(true);
	for (p = 0; (policy = kvbm_evict_nth(p)); p++) {
		behind(policy->name, KVBM_RANK_HIGH, MANY + MINE + 1, MINE);
		ksft_test_result_pass("%s: behind another user's\n",
				      policy->name);
		behind(policy->name, KVBM_RANK_FIRST, MINE, MINE);
		ksft_test_result_pass("%s: behind what nobody is charged with\n",
				      policy->name);
	}
	host_set_time(0);
	ksft_finished();
}
