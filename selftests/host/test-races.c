// SPDX-License-Identifier: MIT
/*
 * Two threads, one race each: races that threads with random operations
 * (test-threads) hit too seldom.
 */
#include <pthread.h>
#include <sched.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include "fuzz/walk.h"
#include "host_take.h"
#include "sketch.h"
#include "kselftest.h"

/* --- close against revoke ----------------------------------------------- */

static void *kill_one(void *arg)
{
	kvbm_session_kill(arg, -ESHUTDOWN);
	return NULL;
}

/*
 * A file is closed while it is being revoked: the session ends twice at once.
 * Its memory goes when both are through.
 */
static void close_and_revoke(void)
{
	struct kvbm_config cfg = {
		.total = 4096,
		.policy = kvbm_evict_find("lineage_tick"),
		.max_sessions = 4,
	};
	struct kvbm_store *st = kzalloc(sizeof(*st), GFP_KERNEL);
	u32 rounds = 200, ids[2048];
	pthread_t tid;

	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(st, &cfg),
		   "no store");
	while (rounds--) {
		struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);

		WALK_CHECK(!kvbm_session_init(ses, st), "no session");
		WALK_CHECK(!host_take(ses, cfg.total / 2, false, ids, NULL,
				      NULL), "no blocks");
		pthread_create(&tid, NULL, kill_one, ses);
		kvbm_session_exit(ses);
		pthread_join(tid, NULL);
		kvbm_holds_free(ses);
		kfree(ses);
		WALK_CHECK(kvbm_store_is_reset(st), "blocks are missing");
	}
	kvbm_store_exit(st);
	kfree(st);
}

/* --- the last reference ------------------------------------------------- */

struct last {
	struct kvbm_store *st;
	struct kvbm_hash key;
	u32 id;
	int phase;
};

/* Orders nothing: the references themselves must. */
static void wait_phase(struct last *l, int phase)
{
	while (READ_ONCE(l->phase) != phase)
		sched_yield();
}

static void *last_holder(void *arg)
{
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);
	struct kvbm_step step = KVBM_STEP_INIT;
	struct last *l = arg;
	struct kvbm_chunk c;

	WALK_CHECK(!kvbm_session_init(ses, l->st) &&
		   !kvbm_holds_add_page(ses, l->id), "no session");
	WRITE_ONCE(l->phase, 1);
	wait_phase(l, 2);
	c.keys[0] = l->key;
	WALK_CHECK(kvbm_match_chunk(ses, &c, 1, 1, &step) == 1, "no hold");
	WRITE_ONCE(l->phase, 3);
	wait_phase(l, 4);
	WALK_CHECK(kvbm_release_chunk(ses, &l->id, 1, 0, &step) == 1, "held");
	c.keys[0] = walk_nth_hash(1);
	spin_lock(&l->st->lock);
	kvbm_slot_set_key(&l->st->slots[l->id], &c.keys[0],
			  kvbm_index_key(l->st, &c.keys[0]));
	spin_unlock(&l->st->lock);
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
	return NULL;
}

/*
 * The thread that registered a block looks at its key again and gives it back,
 * both without the store's lock. Another takes the last reference away and
 * writes a new key. ThreadSanitizer sees whether one comes before the other.
 */
static void last_reference(void)
{
	struct kvbm_config cfg = {
		.total = 8,
		.policy = kvbm_evict_find("lru"),
		.reset = true,
		.freq_capacity = 64,
		.max_sessions = 4,
	};
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);
	struct last l = { .key = walk_nth_hash(0) };
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_registered out;
	pthread_t tid;
	u32 i;

	l.st = kzalloc(sizeof(*l.st), GFP_KERNEL);
	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(l.st, &cfg),
		   "no store");
	WALK_CHECK(!kvbm_session_init(ses, l.st), "no session");
	/* A saturated counter is not locked. */
	for (i = 0; i < 15; i++)
		kvbm_sketch_touch(l.st->sketch, &l.key, 1);
	WALK_CHECK(!host_take(ses, 1, false, &l.id, NULL, NULL), "no block");
	pthread_create(&tid, NULL, last_holder, &l);
	wait_phase(&l, 1);
	WALK_CHECK(kvbm_register_chunk(ses, &l.id, &l.key, NULL, 1, false, &out,
				       &step) == 1, "not registered");
	WRITE_ONCE(l.phase, 2);
	wait_phase(&l, 3);
	WALK_CHECK(kvbm_release_chunk(ses, &l.id, 1, 0, &step) == 1, "held");
	WRITE_ONCE(l.phase, 4);
	pthread_join(tid, NULL);
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
	kvbm_store_exit(l.st);
	kfree(l.st);
}

int main(void)
{
	ksft_print_header();
	ksft_set_plan(2);
	close_and_revoke();
	ksft_test_result_pass("close against revoke\n");
	last_reference();
	ksft_test_result_pass("the last reference\n");
	ksft_finished();
}
