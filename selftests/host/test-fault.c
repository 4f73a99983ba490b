// SPDX-License-Identifier: MIT
/*
 * Every allocation fails once: creating a store, opening a session, and every
 * operation run with the n-th allocation failing, for n = 1, 2, ... until none
 * is left to fail. Each time, the errno is the documented one, the counts are
 * unchanged, the call succeeds once memory is back, and no memory leaks.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "evict.h"
#include "fuzz/walk.h"
#include "host_take.h"
#include "kselftest.h"

#define TOTAL	2048	/* four pages of a hold table */
#define N	40

struct setup {
	struct kvbm_store *st;
	struct kvbm_session *ses, *other;
	u32 ids[N];		/* registered, held by @other, far apart */
	u32 owned[N];		/* Mutable, of @ses */
	struct kvbm_weak weak[N];
};

static struct kvbm_config config(const struct kvbm_evict_ops *policy)
{
	struct kvbm_config cfg = {
		.total = TOTAL,
		.policy = policy,
		.freq_capacity = 4096,
		.max_sessions = 10,
	};

	WALK_CHECK(!kvbm_config_check(&cfg), "not a config");
	return cfg;
}

static struct kvbm_store *store_new(const struct kvbm_evict_ops *policy,
				    int *err)
{
	struct kvbm_store *st = kzalloc(sizeof(*st), GFP_KERNEL | __GFP_NOFAIL);
	struct kvbm_config cfg = config(policy);

	*err = kvbm_store_init(st, &cfg);
	if (!*err)
		return st;
	kfree(st);
	return NULL;
}

static void store_end(struct kvbm_store *st)
{
	kvbm_store_exit(st);
	kfree(st);
	host_drain();
}

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

static size_t live_objects(void)
{
	struct host_mem m;

	host_drain();
	host_mem_stats(&m);
	return m.objects;
}

/* --- operations on a prepared store ------------------------------------- */

static int get_ready(struct kvbm_session *ses, struct kvbm_step *step)
{
	return step->err ?: kvbm_session_ready(ses, step);
}

static int alloc_blocks(struct kvbm_session *ses, u32 n, u32 *ids)
{
	return host_take(ses, n, false, ids, NULL, NULL);
}

static int register_blocks(struct kvbm_session *ses, const u32 *ids, u32 n,
			   u32 first_key, bool reject, u32 *done)
{
	struct kvbm_registered out[N];
	struct kvbm_hash keys[N];
	u32 i;

	for (i = 0; i < n; i++)
		keys[i] = walk_nth_hash(first_key + i);
	for (*done = 0; *done < n;) {
		struct kvbm_step step = KVBM_STEP_INIT;
		int err;

		*done += kvbm_register_chunk(ses, ids + *done, keys + *done,
					     NULL, n - *done, reject,
					     out + *done, &step);
		if (*done == n)
			break;
		err = get_ready(ses, &step);
		if (err)
			return err;
	}
	return 0;
}

/* Blocks of all four pages, so that a session needs several allocations. */
static void fill(struct setup *s, const struct kvbm_evict_ops *policy)
{
	u32 all[TOTAL], i, done;
	int err;

	memset(s, 0, sizeof(*s));
	s->st = store_new(policy, &err);
	WALK_CHECK(s->st, "errno %d", err);
	s->ses = session_new(s->st);
	s->other = session_new(s->st);
	WALK_CHECK(!alloc_blocks(s->other, TOTAL, all), "no blocks");
	for (i = 0; i < N; i++)
		s->ids[i] = all[i * (TOTAL / N)];
	WALK_CHECK(!register_blocks(s->other, s->ids, N, 0, false, &done),
		   "not registered");
	for (i = 0; i < N; i++)
		s->weak[i] = (struct kvbm_weak) {
			.block = s->ids[i],
			.hash = walk_nth_hash(i),
		};
	for (i = 0; i < TOTAL; i++) {
		struct kvbm_step step = KVBM_STEP_INIT;

		kvbm_release_chunk(s->other, &all[i], 1,
				   KVBM_RELEASE_MUTABLE, &step);
	}
}

static void empty(struct setup *s)
{
	struct walk_counts c;

	session_end(s->ses);
	session_end(s->other);
	walk_store(s->st, &c);
	store_end(s->st);
}

static int do_match(struct setup *s, u32 *done)
{
	struct kvbm_chunk c;

	for (*done = 0; *done < N;) {
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 i;
		int err;

		for (i = *done; i < N; i++)
			c.keys[i - *done] = walk_nth_hash(i);
		*done += kvbm_match_chunk(s->ses, &c, N - *done, N, &step);
		WALK_CHECK(!step.stop, "a miss at %u", *done);
		if (*done == N)
			break;
		err = get_ready(s->ses, &step);
		if (err)
			return err;
	}
	return 0;
}

static int do_scan(struct setup *s, u32 *done)
{
	struct kvbm_chunk c;
	u32 hits;

	for (*done = 0; *done < N;) {
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 i;
		int err;

		for (i = *done; i < N; i++)
			c.keys[i - *done] = walk_nth_hash(i);
		*done += kvbm_scan_chunk(s->ses, &c, N - *done, N, true, &hits,
					 &step);
		if (*done == N)
			break;
		err = get_ready(s->ses, &step);
		if (err)
			return err;
	}
	return 0;
}

static int do_upgrade(struct setup *s, u32 *done)
{
	u32 ids[N], hits;

	for (*done = 0; *done < N;) {
		struct kvbm_step step = KVBM_STEP_INIT;
		int err;

		*done += kvbm_upgrade_chunk(s->ses, s->weak + *done, ids,
					    N - *done, &hits, &step);
		if (*done == N)
			break;
		err = get_ready(s->ses, &step);
		if (err)
			return err;
	}
	return 0;
}

/* All or nothing: the number done is 0 or all. */
static int do_alloc(struct setup *s, u32 *done)
{
	u32 ids[TOTAL];
	int err = alloc_blocks(s->ses, TOTAL - N, ids);

	*done = err ? 0 : TOTAL - N;
	return err;
}

static int do_alloc_reset(struct setup *s, u32 *done)
{
	struct host_took took;
	u32 ids[TOTAL];
	int err = host_take(s->ses, TOTAL - N, true, ids, NULL, &took);

	/* Whatever needed no memory stays done. */
	*done = took.got;
	return err;
}

/* A deduplicated registration needs space for another block's count. */
static int do_register_reject(struct setup *s, u32 *done)
{
	return register_blocks(s->ses, s->owned, N, 0, true, done);
}

static int do_register_allow(struct setup *s, u32 *done)
{
	return register_blocks(s->ses, s->owned, N, 0, false, done);
}

static int do_register_new(struct setup *s, u32 *done)
{
	return register_blocks(s->ses, s->owned, N, 1000, false, done);
}

static int do_quiet(struct setup *s, u32 *done)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_hash keys[N];
	struct kvbm_counts counts = {};
	struct kvbm_block_info info = {};
	struct kvbm_stats stats = {};
	struct kvbm_chunk c;
	u8 out[KVBM_CHUNK];
	u32 i;

	for (i = 0; i < N; i++)
		keys[i] = walk_nth_hash(2000 + i);
	memcpy(c.keys, keys, sizeof(keys));
	kvbm_presence(s->st, &c, N, out);
	kvbm_store_counts(s->st, &counts);
	kvbm_store_stats(s->st, &stats);
	kvbm_block_info(s->ses, s->ids[0], false, &info, NULL);
	kvbm_poll_available(s->ses);
	kvbm_stage_chunk(s->ses, s->owned, keys, NULL, NULL, N, &step);
	kvbm_unstage_chunk(s->ses, s->owned, N, &step);
	kvbm_retain_chunk(s->other, s->ids, N, &step);
	kvbm_set_reset_chunk(s->other, s->ids, N, true, &step);
	kvbm_release_chunk(s->other, s->ids, N, 0, &step);
	kvbm_release_chunk(s->other, s->ids, N, 0, &step);
	kvbm_release_chunk(s->ses, s->owned, N, 0, &step);
	WALK_CHECK(!step.err, "errno %d", step.err);
	while (kvbm_reset_inactive_chunk(s->st, KVBM_CHUNK))
		;
	kvbm_session_kill(s->ses, -ESHUTDOWN);
	*done = 0;
	return 0;
}

struct op {
	const char *name;
	int (*run)(struct setup *s, u32 *done);
	bool owned;	/* wants Mutable blocks */
	bool idle;	/* the registered blocks are idle, not held */
	u32 allocations;	/* at least so many can fail */
};

static const struct op ops[] = {
	{ "match, held blocks", do_match, .allocations = 4 },
	{ "match, idle blocks", do_match, .idle = true, .allocations = 4 },
	{ "scan", do_scan, .allocations = 4 },
	{ "upgrade", do_upgrade, .idle = true, .allocations = 4 },
	{ "allocate, evicting", do_alloc, .idle = true, .allocations = 4 },
	{ "allocate, free ones only", do_alloc_reset, .allocations = 4 },
	{ "register, reject", do_register_reject, .owned = true,
	  .allocations = 3 },
	{ "register, allow", do_register_allow, .owned = true },
	{ "register, new hashes", do_register_new, .owned = true },
	{ "what needs no memory", do_quiet, .owned = true },
};

static void prepare(struct setup *s, const struct op *op,
		    const struct kvbm_evict_ops *policy)
{
	fill(s, policy);
	if (op->owned)
		WALK_CHECK(!alloc_blocks(s->ses, N, s->owned), "no blocks");
	if (op->idle) {
		struct kvbm_step step = KVBM_STEP_INIT;

		WALK_CHECK(kvbm_release_chunk(s->other, s->ids, N, 0,
					      &step) == N, "not released");
	}
}

/* Returns how many allocations there were to fail. */
static u32 sweep(const struct op *op, const struct kvbm_evict_ops *policy)
{
	size_t before = live_objects();
	u32 nth;

	for (nth = 1;; nth++) {
		struct walk_counts was, now;
		struct setup s;
		bool fired;
		u32 done;
		int err;

		prepare(&s, op, policy);
		walk_store(s.st, &was);
		host_fail_nth(nth);
		err = op->run(&s, &done);
		fired = host_fail_fired();
		WALK_CHECK(err == (fired ? -ENOMEM : 0),
			   "%s: allocation %u: errno %d", op->name, nth, err);
		walk_store(s.st, &now);
		if (fired && !done)
			WALK_CHECK(now.state[KVBM_STATE_MUTABLE] ==
				   was.state[KVBM_STATE_MUTABLE] &&
				   now.state[KVBM_STATE_PRIMARY] ==
				   was.state[KVBM_STATE_PRIMARY] &&
				   now.state[KVBM_STATE_RESET] +
				   now.state[KVBM_STATE_INACTIVE] ==
				   was.state[KVBM_STATE_RESET] +
				   was.state[KVBM_STATE_INACTIVE],
				   "%s: allocation %u changed something",
				   op->name, nth);
		if (fired) {
			/* Blocks held before the failure may stay held. */
			if (op->run == do_match || op->run == do_scan ||
			    op->run == do_upgrade)
				WALK_CHECK(s.ses->holds == done,
					   "%llu holds, %u done",
					   (unsigned long long)s.ses->holds,
					   done);
			if (op->run == do_register_reject)
				WALK_CHECK(s.ses->owned == N - done,
					   "%u owned, %u done", s.ses->owned,
					   done);
			/* Again, now that there is memory. */
			if (!op->owned)
				WALK_CHECK(!op->run(&s, &done),
					   "%s fails without a reason",
					   op->name);
		}
		empty(&s);
		WALK_CHECK(live_objects() == before, "%s: allocation %u leaks",
			   op->name, nth);
		if (!fired)
			return nth - 1;
	}
}

/* --- creation ----------------------------------------------------------- */

static u32 sweep_create(const struct kvbm_evict_ops *policy, u32 *survived)
{
	size_t before = live_objects();
	u32 nth;

	*survived = 0;
	for (nth = 1;; nth++) {
		struct kvbm_store *st;
		bool fired;
		int err;

		host_fail_nth(nth);
		st = store_new(policy, &err);
		fired = host_fail_fired();
		WALK_CHECK(!err || (fired && err == -ENOMEM),
			   "creation: allocation %u: errno %d", nth, err);
		if (st) {
			struct walk_counts c;

			walk_store(st, &c);
			WALK_CHECK(c.state[KVBM_STATE_RESET] == TOTAL,
				   "%u Reset", c.state[KVBM_STATE_RESET]);
			*survived += fired;
			store_end(st);
		}
		WALK_CHECK(live_objects() == before, "allocation %u leaks",
			   nth);
		if (!fired)
			return nth - 1;
	}
}

/* A session may allocate when it begins. */
static u32 sweep_open(const struct kvbm_evict_ops *policy)
{
	int err;
	struct kvbm_store *st = store_new(policy, &err);
	size_t before = live_objects();
	u32 nth;

	for (nth = 1;; nth++) {
		struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);
		bool fired;

		host_fail_nth(nth);
		err = kvbm_session_init(ses, st);
		fired = host_fail_fired();
		WALK_CHECK(err == (fired ? -ENOMEM : 0),
			   "open: allocation %u: errno %d", nth, err);
		WALK_CHECK(st->nr_sessions == !err, "%u sessions",
			   st->nr_sessions);
		if (err) {
			kvbm_holds_free(ses);
			kfree(ses);
		} else {
			session_end(ses);
		}
		WALK_CHECK(live_objects() == before, "allocation %u leaks",
			   nth);
		if (!fired)
			break;
	}
	store_end(st);
	return nth - 1;
}

/* Memory that is gone for good, and a machine that says it has none. */
static void create_without_memory(const struct kvbm_evict_ops *policy)
{
	size_t before = live_objects();
	struct host_mem m;
	size_t limit;
	int err;

	host_mem_stats(&m);
	for (limit = 20000; ; limit += limit / 3) {
		struct kvbm_store *st;

		host_mem_limit(m.bytes + limit);
		st = store_new(policy, &err);
		host_mem_limit(0);
		if (st) {
			store_end(st);
			break;
		}
		WALK_CHECK(err == -ENOMEM, "errno %d", err);
		WALK_CHECK(live_objects() == before, "limit %zu leaks", limit);
	}
	host_mem_available(100 << 10);
	WALK_CHECK(!store_new(policy, &err) && err == -ENOMEM, "errno %d",
		   err);
	host_mem_available(0);
	WALK_CHECK(live_objects() == before, "leak");
}

static void create_killed(const struct kvbm_evict_ops *policy)
{
	size_t before = live_objects();
	u32 nth;
	int err;

	for (nth = 1;; nth++) {
		struct kvbm_store *st;

		host_fatal_after(nth);
		st = store_new(policy, &err);
		host_set_signal(false, false);
		if (st) {
			store_end(st);
			break;
		}
		WALK_CHECK(err == -EINTR, "errno %d", err);
		WALK_CHECK(live_objects() == before, "look %u leaks", nth);
	}
}

int main(void)
{
	const struct kvbm_evict_ops *policy;
	size_t before;
	u32 i, p, n, survived, policies = KVBM_NR_POLICIES;

	host_work_manual(true);
	host_seed(1);
	before = live_objects();
	ksft_print_header();
	/* One thread: ThreadSanitizer has nothing to find. */
#ifdef HOST_TSAN
	policies = 1;
#endif
	ksft_set_plan(policies * (4 + ARRAY_SIZE(ops)));
	for (p = 0; p < policies; p++) {
		policy = kvbm_evict_nth(p);
		n = sweep_create(policy, &survived);
		ksft_test_result(n >= 4, "%s: create: %u failures, %u made good\n",
				 policy->name, n, survived);
		n = sweep_open(policy);
		ksft_test_result_pass("%s: open a session: %u failures\n",
				      policy->name, n);
		create_without_memory(policy);
		ksft_test_result_pass("%s: create without memory\n",
				      policy->name);
		create_killed(policy);
		ksft_test_result_pass("%s: create, killed\n", policy->name);
		for (i = 0; i < ARRAY_SIZE(ops); i++) {
			n = sweep(&ops[i], policy);
			ksft_test_result(n >= ops[i].allocations,
					 "%s: %s: %u failures\n",
					 policy->name, ops[i].name, n);
		}
	}
	WALK_CHECK(live_objects() == before, "leak");
	ksft_finished();
}
