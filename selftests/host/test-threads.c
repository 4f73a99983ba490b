// SPDX-License-Identifier: MIT
/*
 * Real threads on one store: several sessions, some shared by threads, every
 * operation of the core, and sessions revoked and replaced all the time.
 *
 * Each thread knows what it holds and checks it again and again: a held block
 * is registered, under the hash and the generation it was held by, and a match
 * of its hash finds it. After every phase all threads stop, and the whole
 * store is walked (fuzz/walk.h).
 *
 *	test-threads			a few seconds
 *	test-threads --seconds 600	new seeds until the time is over
 *	test-threads --seed N --only POLICY	one round again
 */
#include <getopt.h>
#include <pthread.h>
#include <time.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "evict.h"
#include "fuzz/walk.h"
#include "retain.h"
#include "sketch.h"
#include "kselftest.h"

#define THREADS		4
#define SESSIONS	3
#define PHASES		4
#define LIST_MAX	96	/* holds, and as many owned blocks, of a thread */
#define BATCH		24
#define WEAKS		16

static u32 nr_steps = 4000;	/* of a thread, in a phase */

/* A session is used by several: the last one ends it, as with an open file. */
struct handle {
	struct kvbm_session ses;
	u32 users;		/* under table_lock */
	bool left;		/* somebody went and left holds behind */
};

struct hold {
	u32 id;
	u32 gen;
	enum kvbm_state state;	/* PRIMARY or DUPLICATE */
	struct kvbm_hash key;
	u64 nonce;		/* of its note; 0: none */
};

struct thread {
	pthread_t tid;
	struct world *world;
	u32 nr;
	u64 rng;
	u64 steps;
	struct handle *h;
	u32 nr_holds, nr_owned, nr_weaks;
	u32 ticket;			/* of some session */
	struct hold hold[LIST_MAX];
	u32 owned[LIST_MAX];
	bool staged[LIST_MAX];
	struct kvbm_weak weak[WEAKS];
};

struct world {
	struct kvbm_store *st;
	u32 nr_keys;
	u32 sessions;			/* made so far */
	pthread_mutex_t table_lock;
	struct handle *table[SESSIONS];
	pthread_barrier_t barrier;
	struct thread thread[THREADS];
};

static u32 rnd(struct thread *t, u32 below)
{
	t->rng = t->rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (t->rng >> 33) % below;
}

/* --- sessions ----------------------------------------------------------- */

static struct handle *handle_new(struct world *w)
{
	struct handle *h = kzalloc(sizeof(*h), GFP_KERNEL);

	/* Three users; sessions of one may do what they like. */
	h->ses.uid = __atomic_fetch_add(&w->sessions, 1, __ATOMIC_RELAXED) % 3;
	h->ses.may_lower = !h->ses.uid;
	WALK_CHECK(h && !kvbm_session_init(&h->ses, w->st), "no session");
	h->users = 1;
	return h;
}

static void handle_put(struct world *w, struct handle *h)
{
	bool last;

	pthread_mutex_lock(&w->table_lock);
	last = !--h->users;
	pthread_mutex_unlock(&w->table_lock);
	if (!last)
		return;
	kvbm_session_exit(&h->ses);
	kvbm_holds_free(&h->ses);
	kfree(h);
}

static struct handle *handle_get(struct world *w, u32 slot)
{
	struct handle *h;

	pthread_mutex_lock(&w->table_lock);
	h = w->table[slot];
	h->users++;
	pthread_mutex_unlock(&w->table_lock);
	return h;
}

/* The thread's own view ends; its holds stay in the session. */
static void forget(struct thread *t)
{
	if (t->nr_holds || t->nr_owned)
		WRITE_ONCE(t->h->left, true);
	t->nr_holds = 0;
	t->nr_owned = 0;
	handle_put(t->world, t->h);
	t->h = handle_get(t->world, rnd(t, SESSIONS));
}

/* Replaces a session; true: its end is forced. */
static void replace(struct thread *t, bool force)
{
	struct world *w = t->world;
	struct handle *fresh = handle_new(w), *old;
	u32 slot = rnd(t, SESSIONS);

	pthread_mutex_lock(&w->table_lock);
	old = w->table[slot];
	w->table[slot] = fresh;
	pthread_mutex_unlock(&w->table_lock);
	if (force)
		kvbm_session_kill(&old->ses, -ESHUTDOWN);
	handle_put(w, old);
}

static bool dead(struct thread *t)
{
	return READ_ONCE(t->h->ses.dead);
}

/* --- what a thread holds ------------------------------------------------ */

/* A Primary's note: whole, of this hash, and as long as it is held the same. */
static u64 note_of(struct thread *t, const struct hold *h)
{
	struct kvbm_store *st = t->world->st;
	u64 note[KVBM_NOTE_WORDS] = {};

	if (!st->notes || h->state != KVBM_STATE_PRIMARY)
		return 0;
	WALK_CHECK(kvbm_note_read(st, h->id, &h->key, note) || dead(t),
		   "held block %u has no note", h->id);
	WALK_CHECK(walk_is_note(st, &h->key, note),
		   "block %u has another's note", h->id);
	return note[0];
}

static void check_hold(struct thread *t, const struct hold *h)
{
	struct kvbm_slot *s = &t->world->st->slots[h->id];
	u64 w = atomic64_read_acquire(&s->word);
	bool same = kvbm_slot_is(s, &h->key);

	if (kvbm_w_state(w) == h->state && kvbm_w_refs(w) &&
	    kvbm_w_gen(w) == h->gen && same) {
		WALK_CHECK(note_of(t, h) == h->nonce || dead(t),
			   "block %u has another note", h->id);
		return;
	}
	WALK_CHECK(dead(t), "thread %u holds %u: state %u refs %u generation %u, was %u; key %s",
		   t->nr, h->id, kvbm_w_state(w), kvbm_w_refs(w),
		   kvbm_w_gen(w), h->gen, same ? "same" : "other");
}

static void add_hold(struct thread *t, u32 id, const struct kvbm_hash *key,
		     enum kvbm_state state)
{
	struct kvbm_slot *s = &t->world->st->slots[id];
	struct hold *h = &t->hold[t->nr_holds];

	WALK_CHECK(id < t->world->st->cfg.total && t->nr_holds < LIST_MAX,
		   "block %u, hold %u", id, t->nr_holds);
	*h = (struct hold) {
		.id = id,
		.gen = kvbm_w_gen(atomic64_read_acquire(&s->word)),
		.state = state,
		.key = *key,
	};
	h->nonce = note_of(t, h);
	check_hold(t, h);
	t->nr_holds++;
	if (!rnd(t, 4))
		t->weak[t->nr_weaks++ % WEAKS] = (struct kvbm_weak) {
			.block = id,
			.generation = h->gen,
			.hash = *key,
		};
}

static void drop_owned_block(struct thread *t, u32 i)
{
	t->nr_owned--;
	t->owned[i] = t->owned[t->nr_owned];
	t->staged[i] = t->staged[t->nr_owned];
}

/* --- operations --------------------------------------------------------- */

/* The errors that may always come. Returns whether the call may go on. */
static bool go_on(struct thread *t, struct kvbm_step *step, bool partial)
{
	if (step->err == -ESHUTDOWN) {
		WALK_CHECK(dead(t), "-ESHUTDOWN of a live session");
		return false;
	}
	if (step->err == -EDQUOT) {
		WALK_CHECK(t->world->st->cfg.max_held, "no quota");
		return false;
	}
	WALK_CHECK(!step->err, "errno %d", step->err);
	if (partial)
		WALK_CHECK(!kvbm_session_ready(&t->h->ses, step), "not ready");
	return true;
}

static u32 pick_keys(struct thread *t, struct kvbm_hash *keys)
{
	u32 i, n = 1 + rnd(t, BATCH), first = rnd(t, t->world->nr_keys);
	bool run = rnd(t, 2);

	n = min(n, LIST_MAX - t->nr_holds);
	for (i = 0; i < n; i++)
		keys[i] = walk_nth_hash(run ? (first + i) % t->world->nr_keys :
					      rnd(t, t->world->nr_keys));
	return n;
}

static void op_match(struct thread *t, bool scan)
{
	struct kvbm_hash keys[BATCH];
	u32 done = 0, i, k, hits, n = pick_keys(t, keys);
	u32 known = t->nr_holds ? rnd(t, t->nr_holds) : 0;
	bool must = false;
	struct hold was = {};

	/* A held block must be found, and nothing else under its hash. */
	if (t->nr_holds && n && rnd(t, 2)) {
		was = t->hold[known];
		keys[0] = was.key;
		must = true;
	}
	while (done < n) {
		struct kvbm_step step = KVBM_STEP_INIT;
		struct kvbm_chunk c;

		memcpy(c.keys, keys + done, (n - done) * sizeof(keys[0]));
		if (scan)
			k = kvbm_scan_chunk(&t->h->ses, &c, n - done, n, true,
					    &hits, &step);
		else
			k = kvbm_match_chunk(&t->h->ses, &c, n - done, n,
					     &step);
		for (i = 0; i < k; i++) {
			if (scan && c.ids[i] == KVBM_NO_BLOCK) {
				WALK_CHECK(!must || done + i || dead(t),
					   "held block %u is a miss", was.id);
				continue;
			}
			if (must && !(done + i) && was.state == KVBM_STATE_PRIMARY)
				WALK_CHECK(c.ids[i] == was.id || dead(t),
					   "found %u, holds %u", c.ids[i],
					   was.id);
			add_hold(t, c.ids[i], &keys[done + i],
				 KVBM_STATE_PRIMARY);
		}
		done += k;
		if (step.stop) {
			WALK_CHECK(!must || done || dead(t),
				   "held block %u is a miss", was.id);
			break;
		}
		if (!go_on(t, &step, done < n))
			break;
	}
}

static void op_upgrade(struct thread *t)
{
	u32 n = min_t(u32, t->nr_weaks, WEAKS), i, k, hits, done = 0;
	struct kvbm_weak weak[WEAKS];
	u32 ids[WEAKS];

	/* Every hold may replace one that the thread remembers. */
	memcpy(weak, t->weak, sizeof(weak));
	n = min(n, LIST_MAX - t->nr_holds);
	while (done < n) {
		struct kvbm_step step = KVBM_STEP_INIT;

		k = kvbm_upgrade_chunk(&t->h->ses, weak + done, ids,
				       n - done, &hits, &step);
		for (i = 0; i < k; i++) {
			const struct kvbm_weak *wk = &weak[done + i];
			struct kvbm_slot *s;

			if (ids[i] == KVBM_NO_BLOCK)
				continue;
			s = &t->world->st->slots[ids[i]];
			add_hold(t, ids[i], &wk->hash,
				 kvbm_w_state(kvbm_slot_word(s)) ==
				 KVBM_STATE_DUPLICATE ? KVBM_STATE_DUPLICATE :
							KVBM_STATE_PRIMARY);
		}
		done += k;
		if (!go_on(t, &step, done < n))
			break;
	}
}

static void op_release(struct thread *t, u32 most)
{
	u32 n = min(most, t->nr_holds), i, k, at;
	u32 ids[LIST_MAX];

	if (!n)
		return;
	/* From the tail, or a stretch somewhere. */
	at = rnd(t, 2) ? t->nr_holds - n : rnd(t, t->nr_holds - n + 1);
	for (i = 0; i < n; i++) {
		check_hold(t, &t->hold[at + i]);
		ids[i] = t->hold[at + i].id;
	}
	for (k = 0; k < n;) {
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 m = min(n - k, KVBM_CHUNK);
		u32 got = kvbm_release_chunk(&t->h->ses, ids + k, m,
					     rnd(t, 2) ?
					     KVBM_RELEASE_REGISTERED : 0,
					     &step);

		k += got;
		if (!go_on(t, &step, got < m))
			break;
	}
	memmove(t->hold + at, t->hold + at + k,
		(t->nr_holds - at - k) * sizeof(t->hold[0]));
	t->nr_holds -= k;
}

static void op_retain(struct thread *t)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct hold *h;

	if (!t->nr_holds || t->nr_holds == LIST_MAX)
		return;
	h = &t->hold[rnd(t, t->nr_holds)];
	if (kvbm_retain_chunk(&t->h->ses, &h->id, 1, &step))
		t->hold[t->nr_holds++] = *h;
	go_on(t, &step, false);
}

static void op_set_reset(struct thread *t)
{
	struct kvbm_step step = KVBM_STEP_INIT;

	if (!t->nr_holds)
		return;
	kvbm_set_reset_chunk(&t->h->ses, &t->hold[rnd(t, t->nr_holds)].id, 1,
			     rnd(t, 2), &step);
	go_on(t, &step, false);
}

/* As wait.c; a deadline comes soon. */
static int wait_alloc(struct thread *t, struct kvbm_alloc_ctx *take, u32 n)
{
	u64 end = ktime_get_ns() + 20000 * (1 + rnd(t, 20));
	struct kvbm_session *ses = &t->h->ses;
	struct kvbm_store *st = t->world->st;
	struct kvbm_waiter *w;
	bool keep = rnd(t, 2);
	int err;

	err = kvbm_wait_begin(take, ses, n, t->ticket, false, &w);
	if (err)
		return err;
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (READ_ONCE(w->state) >= KVBM_WAIT_GRANTED)
			break;
		if (!host_schedule(end)) {
			err = -ETIMEDOUT;
			break;
		}
	}
	__set_current_state(TASK_RUNNING);
	/* The first in the queue never waits while there is enough. */
	spin_lock(&st->lock);
	WALK_CHECK(rb_first_cached(&st->waiters) != &w->node ||
		   w->state != KVBM_WAIT_QUEUED || n > kvbm_available(st),
		   "%u wanted, room for %u", n, kvbm_available(st));
	spin_unlock(&st->lock);
	err = kvbm_wait_end(take, w, err, keep, dead(t), &t->ticket);
	WALK_CHECK(take->left == (err ? 0 : n), "errno %d, %u left", err,
		   take->left);
	return err;
}

static void op_alloc(struct thread *t)
{
	struct kvbm_store *st = t->world->st;
	u32 i, n = rnd(t, BATCH), how = rnd(t, 4);
	struct kvbm_session *ses = &t->h->ses;
	u32 total = 0, ids[2 * BATCH];
	struct kvbm_alloc_ctx take;
	int err;

	n = min3(n, st->cfg.total, LIST_MAX - t->nr_owned);
	if (how == 1 && n)
		err = wait_alloc(t, &take, n);
	else
		err = kvbm_alloc_begin(&take, ses, n, how == 0);
	if (err) {
		WALK_CHECK(err == -ENOSPC || err == -ETIMEDOUT ||
			   (err == -ESHUTDOWN && dead(t)) || err == -EMLINK ||
			   (err == -EBUSY && how == 1) ||
			   (err == -EDQUOT && st->cfg.max_held), "errno %d",
			   err);
		return;
	}
	while (take.left) {
		struct kvbm_chunk c;

		take.n = 0;
		err = kvbm_alloc_chunk(&take, &c);
		if (err) {
			WALK_CHECK(err == -ESHUTDOWN && dead(t), "errno %d",
				   err);
			kvbm_alloc_abort(&take);
			return;
		}
		for (i = 0; i < take.n; i++)
			ids[total++] = c.ids[i];
		/* Given up half-way. */
		if (!rnd(t, 16)) {
			kvbm_alloc_abort(&take);
			kvbm_alloc_undo(ses, ids, total, 0);
			return;
		}
	}
	WALK_CHECK(how == 0 ? total <= n : total == n, "%u of %u", total, n);
	if (!rnd(t, 8)) {
		kvbm_alloc_undo(ses, ids, total, 0);
		return;
	}
	for (i = 0; i < total; i++) {
		t->staged[t->nr_owned] = false;
		t->owned[t->nr_owned++] = ids[i];
	}
}

/* Half of the blocks get a note, where there are such. */
static const u64 *some_note(struct thread *t, const struct kvbm_hash *key,
			    u64 *note)
{
	if (!t->world->st->notes || rnd(t, 2))
		return NULL;
	walk_note(t->world->st, key, 1 + t->rng, note);
	return note;
}

static void op_stage(struct thread *t)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_hash key;
	u32 i, tokens = 16;

	if (!t->nr_owned)
		return;
	i = rnd(t, t->nr_owned);
	key = walk_nth_hash(rnd(t, t->world->nr_keys));
	if (t->staged[i]) {
		if (kvbm_unstage_chunk(&t->h->ses, &t->owned[i], 1, &step))
			t->staged[i] = false;
	} else if (kvbm_stage_chunk(&t->h->ses, &t->owned[i], &key,
				    rnd(t, 2) ? &tokens : NULL,
				    some_note(t, &key, note), 1, &step)) {
		t->staged[i] = true;
	}
	go_on(t, &step, false);
}

static void op_register(struct thread *t)
{
	struct kvbm_store *st = t->world->st;
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_registered out;
	struct kvbm_hash key;
	u32 i, n, tries = 1 + rnd(t, BATCH);

	while (tries-- && t->nr_owned && t->nr_holds < LIST_MAX) {
		struct kvbm_step step = KVBM_STEP_INIT;

		i = t->nr_owned - 1;
		key = walk_nth_hash(rnd(t, t->world->nr_keys));
		/* Nobody else touches a Staged block, but a revocation. */
		if (t->staged[i]) {
			spin_lock(&st->lock);
			key = st->slots[t->owned[i]].key;
			spin_unlock(&st->lock);
		}
		n = kvbm_register_chunk(&t->h->ses, &t->owned[i],
					t->staged[i] ? NULL : &key,
					some_note(t, &key, note), 1, rnd(t, 2),
					&out, &step);
		if (!n) {
			if (!go_on(t, &step, true))
				return;
			continue;
		}
		WALK_CHECK(out.kind == KVBM_KIND_DEDUP ||
			   out.block == t->owned[i], "kind %u", out.kind);
		drop_owned_block(t, i);
		add_hold(t, out.block, &key, out.kind == KVBM_KIND_DUPLICATE ?
			 KVBM_STATE_DUPLICATE : KVBM_STATE_PRIMARY);
	}
}

static void op_release_owned(struct thread *t)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	u32 i;

	if (!t->nr_owned)
		return;
	i = rnd(t, t->nr_owned);
	if (kvbm_release_chunk(&t->h->ses, &t->owned[i], 1,
			       KVBM_RELEASE_MUTABLE | KVBM_RELEASE_STAGED,
			       &step))
		drop_owned_block(t, i);
	go_on(t, &step, false);
}

/* Calls that must be refused, and change nothing. */
static void op_invalid(struct thread *t)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_session *ses = &t->h->ses;
	u32 none = t->world->st->cfg.total + rnd(t, 3);
	struct kvbm_hash bad = { .hi = ~0ULL };
	int want = -EPERM;

	switch (rnd(t, 5)) {
	case 0:
		kvbm_release_chunk(ses, &none, 1, 0, &step);
		break;
	case 1:
		kvbm_retain_chunk(ses, &none, 1, &step);
		break;
	case 2:
		if (!t->nr_owned)
			return;
		kvbm_release_chunk(ses, &t->owned[0], 1,
				   KVBM_RELEASE_REGISTERED, &step);
		break;
	case 3:
		if (!t->nr_holds)
			return;
		kvbm_release_chunk(ses, &t->hold[0].id, 1, KVBM_RELEASE_STAGED,
				   &step);
		break;
	default:
		if (!t->nr_owned || t->staged[0])
			return;
		kvbm_stage_chunk(ses, &t->owned[0], &bad, NULL, NULL, 1, &step);
		want = -EINVAL;
	}
	WALK_CHECK(step.err == want || (step.err == -ESHUTDOWN && dead(t)),
		   "errno %d, not %d", step.err, want);
}

static void op_look(struct thread *t)
{
	struct kvbm_store *st = t->world->st;
	struct kvbm_block_info info = {};
	struct kvbm_counts counts = {};
	struct kvbm_stats stats = {};
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_chunk c;
	u8 out[KVBM_CHUNK];
	struct hold *h;

	switch (rnd(t, 6)) {
	case 0:
		kvbm_store_counts(st, &counts);
		WALK_CHECK(counts.available == counts.reset + counts.inactive &&
			   counts.available <= counts.total &&
			   counts.reserved_blocks <= counts.available,
			   "%u + %u, %u reserved", counts.reset,
			   counts.inactive, counts.reserved_blocks);
		break;
	case 1:
		kvbm_store_stats(st, &stats);
		WALK_CHECK(stats.match_blocks_returned <=
			   stats.match_hashes_requested, "match counters");
		break;
	case 2:
		WALK_CHECK(!kvbm_block_info(&t->h->ses,
					    rnd(t, st->cfg.total), false, &info,
					    st->notes ? note : NULL),
			   "no info");
		WALK_CHECK(info.state <= KVBM_STATE_INACTIVE, "state %u",
			   info.state);
		WALK_CHECK(!st->notes || walk_is_note(st, &info.hash, note),
			   "another's note");
		break;
	case 3:
		if (!t->nr_holds)
			break;
		h = &t->hold[rnd(t, t->nr_holds)];
		c.keys[0] = h->key;
		kvbm_presence(st, &c, 1, out);
		WALK_CHECK(out[0] == KVBM_ACTIVE || dead(t),
			   "held block %u has presence %u", h->id, out[0]);
		break;
	case 4:
		kvbm_poll_available(&t->h->ses);
		break;
	default:
		c.keys[0] = walk_nth_hash(rnd(t, t->world->nr_keys));
		if (st->sketch) {
			kvbm_sketch_touch(st->sketch, c.keys, 1);
			WALK_CHECK(kvbm_sketch_read(st->sketch, c.keys) <= 15,
				   "more than 15");
		}
		kvbm_presence(st, &c, 1, out);
		WALK_CHECK(out[0] <= KVBM_ACTIVE, "presence %u", out[0]);
	}
}

/* Ranks of what it holds, and of others' blocks; mostly for some ms. */
static void op_keep(struct thread *t)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_store *st = t->world->st;
	struct kvbm_hash keys[BATCH];
	u32 ids[BATCH], i, n, done;
	struct kvbm_keep_to to;
	u8 results[BATCH];
	bool held;

	n = 1 + rnd(t, BATCH);
	for (i = 0; i < n; i++)
		keys[i] = walk_nth_hash(rnd(t, t->world->nr_keys));
	if (rnd(t, 2) || !st->retention) {
		for (i = 0; i < n;)
			i += kvbm_newest_chunk(st, &keys[i], n - i);
		return;
	}
	held = rnd(t, 2) && t->nr_holds;
	for (i = 0; held && i < n; i++)
		ids[i] = t->hold[rnd(t, t->nr_holds)].id;
	to.rank = rnd(t, KVBM_RANKS);
	to.until = kvbm_keep_until(to.rank != KVBM_RANK_NORMAL && rnd(t, 4) ?
				   ktime_get_boottime_ns() +
				   rnd(t, 20) * NSEC_PER_MSEC : 0);
	done = kvbm_keep_chunk(&t->h->ses, held ? ids : NULL, keys, n, &to,
			       results, &step);
	if (dead(t))
		return;
	/* Fewer: too much was raised, and some of that was to end first. */
	WALK_CHECK(done <= n && !step.err, "%u of %u, errno %d", done, n,
		   step.err);
	for (i = 0; i < done; i++)
		WALK_CHECK(results[i] <= KVBM_KEEP_FULL &&
			   !(held && (results[i] == KVBM_KEEP_ABSENT ||
				      results[i] == KVBM_KEEP_DENIED)),
			   "result %u", results[i]);
}

static void one_step(struct thread *t)
{
	u32 what = rnd(t, 1000);

	t->steps++;
	if (dead(t))
		forget(t);
	if (what < 260)
		op_match(t, what < 60);
	else if (what < 480)
		op_release(t, 1 + rnd(t, BATCH));
	else if (what < 640)
		op_alloc(t);
	else if (what < 800)
		op_register(t);
	else if (what < 840)
		op_stage(t);
	else if (what < 860)
		op_release_owned(t);
	else if (what < 880)
		op_retain(t);
	else if (what < 900)
		op_set_reset(t);
	else if (what < 925)
		op_upgrade(t);
	else if (what < 960)
		op_look(t);
	else if (what < 980)
		op_keep(t);
	else if (what < 990)
		op_invalid(t);
	else if (what < 993)
		kvbm_reset_inactive_chunk(t->world->st, 1 + rnd(t, 64));
	else if (what < 996)
		forget(t);
	else
		replace(t, what < 999);
}

/* --- phases ------------------------------------------------------------- */

/* Sessions hold what their threads say that they do. */
static void check_lists(struct world *w)
{
	u32 i, k;

	for (i = 0; i < THREADS; i++) {
		struct handle *h = w->thread[i].h;
		u64 holds = 0, owned = 0;

		if (h->left || h->ses.dead)
			continue;
		for (k = 0; k < THREADS; k++) {
			if (w->thread[k].h != h)
				continue;
			holds += w->thread[k].nr_holds;
			owned += w->thread[k].nr_owned;
		}
		WALK_CHECK(h->ses.holds == holds && h->ses.owned == owned,
			   "session holds %llu and %u, threads say %llu and %llu",
			   (unsigned long long)h->ses.holds, h->ses.owned,
			   (unsigned long long)holds,
			   (unsigned long long)owned);
		for (k = 0; k < w->thread[i].nr_holds; k++)
			check_hold(&w->thread[i], &w->thread[i].hold[k]);
	}
}

static void quiet_point(struct world *w)
{
	struct kvbm_store *st = w->st;
	struct walk_counts c;
	struct rb_node *node;

	flush_work(&st->notify_work);
	walk_store(st, &c);
	check_lists(w);
	spin_lock(&st->lock);
	node = rb_first_cached(&st->pollers);
	WALK_CHECK(!node || rb_entry(node, struct kvbm_session,
				     poll_node)->poll_mark > kvbm_available(st),
		   "room for %u, a poller was not told", kvbm_available(st));
	spin_unlock(&st->lock);
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	u32 phase, i;

	t->h = handle_get(t->world, t->nr % SESSIONS);
	for (phase = 0; phase < PHASES; phase++) {
		for (i = 0; i < nr_steps; i++)
			one_step(t);
		pthread_barrier_wait(&t->world->barrier);
		if (!t->nr)
			quiet_point(t->world);
		pthread_barrier_wait(&t->world->barrier);
	}
	if (t->nr % 2 && !dead(t)) {
		while (t->nr_holds && !dead(t))
			op_release(t, LIST_MAX);
		while (t->nr_owned && !dead(t))
			op_release_owned(t);
	}
	handle_put(t->world, t->h);
	return NULL;
}

static u64 run_world(const struct kvbm_evict_ops *policy, u64 seed)
{
	static const u32 totals[] = { 8, 64, 300 };
	static const u32 note_bytes[] = { 0, 72, 256 };
	struct kvbm_config cfg = {
		.total = totals[seed % 3],
		.policy = policy,
		.reject = seed >> 2 & 1,
		.reset = !(seed % 5),
		.freq_capacity = policy->needs_frequency || seed & 1 ? 64 : 0,
		.max_held = seed % 4 == 3 ? totals[seed % 3] / 2 : 0,
		.max_sessions = 1000000,
		.keep_blocks = seed & 8 ? 0 : totals[seed % 3] / 2,
		.keep_user_blocks = seed & 8 ? 0 : totals[seed % 3] / 4,
		.note_bytes = note_bytes[seed % 3],
	};
	struct world *w = calloc(1, sizeof(*w));
	struct kvbm_counts counts = {};
	struct walk_counts c;
	u64 steps = 0;
	u32 i;

	host_seed(seed);
	WALK_CHECK(!kvbm_config_check(&cfg), "bad config");
	w->st = kzalloc(sizeof(*w->st), GFP_KERNEL);
	WALK_CHECK(!kvbm_store_init(w->st, &cfg), "no store");
	w->nr_keys = cfg.total * 3 / 2;
	pthread_mutex_init(&w->table_lock, NULL);
	pthread_barrier_init(&w->barrier, NULL, THREADS);
	for (i = 0; i < SESSIONS; i++)
		w->table[i] = handle_new(w);
	for (i = 0; i < THREADS; i++) {
		struct thread *t = &w->thread[i];

		t->world = w;
		t->nr = i;
		t->rng = walk_mix(seed * THREADS + i);
		pthread_create(&t->tid, NULL, run_thread, t);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(w->thread[i].tid, NULL);
		steps += w->thread[i].steps;
	}
	for (i = 0; i < SESSIONS; i++)
		handle_put(w, w->table[i]);
	walk_store(w->st, &c);
	kvbm_store_counts(w->st, &counts);
	WALK_CHECK(counts.available == cfg.total, "%u of %u came back",
		   counts.available, cfg.total);
	kvbm_store_exit(w->st);
	kfree(w->st);
	pthread_barrier_destroy(&w->barrier);
	free(w);
	return steps;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'S' },
		{ "steps", required_argument, NULL, 'n' },
		{ "only", required_argument, NULL, 'o' },
		{}
	};
	const struct kvbm_evict_ops *policy;
	u64 seed = 1, seeds = 3, steps, s;
	const char *only = NULL;
	u64 begin = ktime_get_ns();
	u32 i, seconds = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			seconds = atoi(optarg);
			break;
		case 'S':
			seed = strtoull(optarg, NULL, 0);
			seeds = 1;
			break;
		case 'n':
			nr_steps = atoi(optarg);
			break;
		case 'o':
			only = optarg;
			break;
		default:
			return KSFT_FAIL;
		}
	}
#if defined(HOST_TSAN) || defined(HOST_ASAN)
	if (!seconds)
		nr_steps = min(nr_steps, 1000U);
#endif
	ksft_print_header();
	ksft_set_plan(only ? 1 : KVBM_NR_POLICIES);
	for (i = 0; (policy = kvbm_evict_nth(i)); i++) {
		u64 end = ktime_get_ns() + seconds * NSEC_PER_SEC / KVBM_NR_POLICIES;

		if (only && strcmp(only, policy->name))
			continue;
		steps = 0;
		for (s = 0; seconds ? ktime_get_ns() < end : s < seeds; s++) {
			/* Says what to repeat should the process end here. */
			if (seconds || only)
				fprintf(stderr, "# %s seed %llu\n",
					policy->name,
					(unsigned long long)(seed + s));
			steps += run_world(policy, seed + s);
		}
		ksft_test_result_pass("threads %s: %llu steps, %llu seeds from %llu\n",
				      policy->name, (unsigned long long)steps,
				      (unsigned long long)s,
				      (unsigned long long)seed);
	}
	ksft_print_msg("%llu ms\n", (unsigned long long)(ktime_get_ns() -
							 begin) / 1000000);
	ksft_finished();
}
