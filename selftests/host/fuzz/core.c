// SPDX-License-Identifier: MIT
/*
 * core.c - libFuzzer on the core: bytes to operations
 *
 * Four bytes choose the store; then each operation takes a byte for what it is
 * and some for what it is about. Three sessions work on one store. Allocations
 * and waits are taken apart, so that everything else can happen between their
 * steps; left-over work of the policy is left over between calls. Ids may be
 * anybody's, or nobody's. Every result is checked for what it claims, and
 * whenever no allocation is under way the whole store is walked.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "event.h"
#include "evict.h"
#include "retain.h"
#include "walk.h"
#include "host_take.h"
#include "sketch.h"

#define SESSIONS	3
#define ALLOCATIONS		4
#define BATCH		9

struct allocation {
	bool used, waits;
	struct kvbm_alloc_ctx t;
	struct kvbm_waiter *w;
	u32 session, n, got, *ids;
};

struct world {
	const u8 *in;
	size_t left;
	struct kvbm_store *st;
	struct kvbm_session *ses[SESSIONS];
	struct allocation allocation[ALLOCATIONS];
	u32 ticket[SESSIONS];		/* left last */
	u32 nr_keys;
	u64 now_ns;
	struct kvbm_ring ring;
	struct kvbm_cursor cursor;
	struct kvbm_event mirror[64];	/* by block: as events say */
};

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static u8 next(struct world *w)
{
	if (!w->left)
		return 0;
	w->left--;
	return *w->in++;
}

/* Two users, and an administrator. */
static struct kvbm_session *session_new(struct kvbm_store *st, u32 uid)
{
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);

	ses->uid = uid;
	ses->may_lower = !uid;
	WALK_CHECK(!kvbm_session_init(ses, st), "no session");
	return ses;
}

static void session_end(struct kvbm_session *ses)
{
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
}

static struct kvbm_hash pick_key(struct world *w)
{
	u8 b = next(w);

	if (b == 255)
		return (struct kvbm_hash){ .hi = ~0ULL, .lo = b };
	if (b == 254)	/* mode 1 for a position of mode 0 */
		return (struct kvbm_hash){ .hi = 1ULL << 62, .lo = b };
	return walk_nth_hash(b % w->nr_keys);
}

/* In range mostly; two beyond it. */
static u32 pick_id(struct world *w)
{
	u32 id = next(w) % (w->st->cfg.total + 2);

	return id == w->st->cfg.total + 1 ? KVBM_NO_BLOCK : id;
}

static void pick_ids(struct world *w, u32 *ids, u32 n)
{
	while (n--)
		*ids++ = pick_id(w);
}

/* An element that failed says why, and the reason is a documented one. */
static void check_step(const struct kvbm_session *ses, u32 done, u32 n,
		       const struct kvbm_step *step, u32 errnos)
{
	static const int all[] = {
		-EPERM, -EINVAL, -EOVERFLOW, -EDQUOT, -ENOMEM,
	};
	u32 i;

	WALK_CHECK(done <= n, "%u of %u", done, n);
	if (!step->err)
		return;
	WALK_CHECK(done < n, "all done, errno %d", step->err);
	if (ses->dead) {
		WALK_CHECK(step->err == ses->dead, "errno %d", step->err);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(all); i++)
		if (errnos & BIT(i) && step->err == all[i])
			return;
	WALK_CHECK(0, "errno %d", step->err);
}

#define E_PERM		BIT(0)
#define E_INVAL		BIT(1)
#define E_OVERFLOW	BIT(2)
#define E_DQUOT		BIT(3)
#define E_NOMEM		BIT(4)

static void check_held(struct world *w, struct kvbm_session *ses, u32 id,
		       const struct kvbm_hash *key)
{
	const struct kvbm_slot *s;

	WALK_CHECK(id < w->st->cfg.total, "block %u", id);
	s = &w->st->slots[id];
	WALK_CHECK((walk_state(s) == KVBM_STATE_PRIMARY ||
		    walk_state(s) == KVBM_STATE_DUPLICATE) &&
		   kvbm_slot_is(s, key) && kvbm_count_held(ses, id),
		   "block %u is not what it should be", id);
}

/* What a call could not do under its locks, now or some other time. */
static void maybe_ready(struct world *w, struct kvbm_session *ses,
			struct kvbm_step *step, u8 how)
{
	host_set_signal(false, false);
	if (how & 64 || step->page_of != KVBM_NIL)
		WALK_CHECK(!kvbm_session_ready(ses, step), "not ready");
}

static void do_hold(struct world *w, struct kvbm_session *ses, u8 how,
		    bool scan)
{
	u32 n = 1 + how % BATCH, i, done, hits;
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_hash keys[BATCH];
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_chunk c;

	for (i = 0; i < n; i++) {
		keys[i] = pick_key(w);
		c.keys[i] = keys[i];
	}
	if (scan)
		done = kvbm_scan_chunk(ses, &c, n, n, how & 128, &hits, &step);
	else
		done = kvbm_match_chunk(ses, &c, n, n, &step);
	check_step(ses, done, n, &step, E_DQUOT | E_OVERFLOW);
	for (i = 0; i < done; i++) {
		if (scan && c.ids[i] == KVBM_NO_BLOCK)
			continue;
		check_held(w, ses, c.ids[i], &keys[i]);
		if (w->st->notes)
			WALK_CHECK(kvbm_note_read(w->st, c.ids[i], &keys[i],
						  note) &&
				   walk_is_note(w->st, &keys[i], note),
				   "block %u has another's note", c.ids[i]);
	}
	maybe_ready(w, ses, &step, how);
}

static void do_upgrade(struct world *w, struct kvbm_session *ses, u8 how)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	u32 ids[BATCH], n = 1 + how % BATCH, i, done, hits;
	struct kvbm_weak weak[BATCH];

	for (i = 0; i < n; i++) {
		u32 id = pick_id(w);

		weak[i].block = id;
		weak[i].generation = 0;
		weak[i].hash = pick_key(w);
		if (id < w->st->cfg.total && next(w) & 1) {
			weak[i].generation =
				kvbm_w_gen(kvbm_slot_word(&w->st->slots[id]));
			weak[i].hash = w->st->slots[id].key;
		}
	}
	done = kvbm_upgrade_chunk(ses, weak, ids, n, &hits, &step);
	check_step(ses, done, n, &step, E_DQUOT | E_OVERFLOW);
	for (i = 0; i < done; i++)
		if (ids[i] != KVBM_NO_BLOCK)
			check_held(w, ses, ids[i], &weak[i].hash);
	maybe_ready(w, ses, &step, how);
}

static void do_ids(struct world *w, struct kvbm_session *ses, u8 op, u8 how)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	u32 ids[BATCH], n = 1 + how % BATCH, done;

	pick_ids(w, ids, n);
	switch (op) {
	case 0:
		done = kvbm_release_chunk(ses, ids, n, next(w) % 8, &step);
		check_step(ses, done, n, &step, E_PERM);
		break;
	case 1:
		done = kvbm_retain_chunk(ses, ids, n, &step);
		check_step(ses, done, n, &step, E_PERM | E_INVAL | E_OVERFLOW);
		break;
	case 2:
		done = kvbm_set_reset_chunk(ses, ids, n, how & 128, &step);
		check_step(ses, done, n, &step, E_PERM);
		break;
	default:
		done = kvbm_unstage_chunk(ses, ids, n, &step);
		check_step(ses, done, n, &step, E_PERM);
	}
	maybe_ready(w, ses, &step, how);
}

/* Ids of what the session owns, mostly, so that the call gets anywhere. */
static void pick_owned(struct world *w, struct kvbm_session *ses, u32 *ids,
		       u32 n)
{
	u32 i, id = next(w) % w->st->cfg.total, tries;

	for (i = 0; i < n; i++) {
		for (tries = 0; tries < w->st->cfg.total; tries++) {
			if (kvbm_count_owned(ses, id))
				break;
			id = (id + 1) % w->st->cfg.total;
		}
		ids[i] = id;
		id = (id + 1) % w->st->cfg.total;
	}
}

/* Notes for these hashes, or none. */
static const u64 *some_notes(struct world *w, const struct kvbm_hash *keys,
			     u32 n, u64 *notes)
{
	u32 i;

	if (!w->st->notes || next(w) & 1)
		return NULL;
	for (i = 0; i < n; i++)
		walk_note(w->st, &keys[i], 1 + next(w), notes + i *
			  kvbm_note_words(w->st->cfg.note_bytes));
	return notes;
}

static void do_stage(struct world *w, struct kvbm_session *ses, u8 how)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	u32 ids[BATCH], tokens[BATCH], n = 1 + how % BATCH, i, done;
	u64 notes[BATCH * KVBM_NOTE_WORDS];
	struct kvbm_hash keys[BATCH];

	pick_owned(w, ses, ids, n);
	for (i = 0; i < n; i++) {
		keys[i] = pick_key(w);
		tokens[i] = how & 128 ? next(w) % 4 ? 16 : 15 : 16;
	}
	done = kvbm_stage_chunk(ses, ids, keys, how & 32 ? tokens : NULL,
				some_notes(w, keys, n, notes), n, &step);
	check_step(ses, done, n, &step, E_PERM | E_INVAL);
	maybe_ready(w, ses, &step, how);
}

static void do_register(struct world *w, struct kvbm_session *ses, u8 how)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_registered out[BATCH];
	struct kvbm_hash keys[BATCH];
	u32 ids[BATCH], n = 1 + how % BATCH, i, done;
	u64 notes[BATCH * KVBM_NOTE_WORDS];
	bool staged = how & 32;

	pick_owned(w, ses, ids, n);
	for (i = 0; i < n; i++) {
		keys[i] = pick_key(w);
		if (staged && ids[i] < w->st->cfg.total)
			keys[i] = w->st->slots[ids[i]].key;
	}
	done = kvbm_register_chunk(ses, ids, staged ? NULL : keys,
				   some_notes(w, keys, n, notes), n,
				   how & 128, out, &step);
	check_step(ses, done, n, &step, E_PERM | E_INVAL | E_OVERFLOW | E_DQUOT);
	for (i = 0; i < done; i++) {
		WALK_CHECK(out[i].kind <= KVBM_KIND_DEDUP, "kind %u",
			   out[i].kind);
		WALK_CHECK((out[i].kind == KVBM_KIND_DEDUP) ==
			   (out[i].block != ids[i]), "kind %u, block %u",
			   out[i].kind, out[i].block);
		check_held(w, ses, out[i].block, &keys[i]);
	}
	maybe_ready(w, ses, &step, how);
}

/* --- allocations, in pieces --------------------------------------------- */

static void end_allocation(struct world *w, struct allocation *tk, bool keep)
{
	struct kvbm_session *ses = w->ses[tk->session];
	u32 i;

	kvbm_alloc_abort(&tk->t);
	for (i = 0; !keep && i < tk->got; i += KVBM_CHUNK)
		kvbm_alloc_undo(ses, tk->ids + i, min(tk->got - i, KVBM_CHUNK),
				0);
	free(tk->ids);
	tk->used = false;
}

static void allocate_some(struct world *w, struct allocation *tk)
{
	struct kvbm_session *ses = w->ses[tk->session];
	struct kvbm_chunk c;
	u32 i;
	int err;

	tk->t.n = 0;
	err = kvbm_alloc_chunk(&tk->t, &c);
	WALK_CHECK(err == ses->dead, "errno %d", err);
	for (i = 0; i < tk->t.n; i++) {
		WALK_CHECK(err || kvbm_count_owned(ses, c.ids[i]), "block %u",
			   c.ids[i]);
		tk->ids[tk->got++] = c.ids[i];
	}
	if (err)
		end_allocation(w, tk, false);
	else if (!tk->t.left && !tk->t.reset_only)
		WALK_CHECK(tk->got == tk->n, "%u of %u", tk->got, tk->n);
}

static void stop_waiting(struct world *w, struct allocation *tk, u8 how)
{
	struct kvbm_session *ses = w->ses[tk->session];
	bool granted = tk->w->state == KVBM_WAIT_GRANTED, fatal = how & 2;
	int err, why = 0;
	u32 ticket;

	if (!granted || how & 1)
		why = -ETIMEDOUT;
	err = kvbm_wait_end(&tk->t, tk->w, why, how & 4, fatal, &ticket);
	tk->waits = false;
	if (ses->dead)
		WALK_CHECK(err == ses->dead && !ticket, "errno %d", err);
	else if (granted && !(why && fatal))
		WALK_CHECK(!err && !ticket, "a grant ended in errno %d", err);
	else
		WALK_CHECK(err == why && err && !ticket == (fatal || !(how & 4)),
			   "errno %d, not %d", err, why);
	if (ticket)
		w->ticket[tk->session] = ticket;
	if (err)
		end_allocation(w, tk, false);
}

static void do_begin(struct world *w, u32 s, u8 how)
{
	struct kvbm_session *ses = w->ses[s];
	bool others = w->st->nr_waiters;
	struct allocation *tk = NULL;
	u32 i, n = how % (w->st->cfg.total + 1);
	u8 kind = next(w) % 3;
	int err;

	for (i = 0; i < ALLOCATIONS; i++)
		if (!w->allocation[i].used)
			tk = &w->allocation[i];
	if (!tk)
		return;
	memset(tk, 0, sizeof(*tk));
	tk->session = s;
	tk->n = n;
	if (kind == 1 && n)
		err = kvbm_wait_begin(&tk->t, ses, n,
				      how & 1 ? w->ticket[s] : 0, how & 2,
				      &tk->w) ?: -EINPROGRESS;
	else
		err = kvbm_alloc_begin(&tk->t, ses, n, kind == 0);
	tk->used = !err || err == -EINPROGRESS;
	tk->waits = err == -EINPROGRESS;
	if (tk->used)
		tk->ids = calloc(n + 1, sizeof(*tk->ids));
	if (!err && n && kind)
		WALK_CHECK(!others, "overtook %u", w->st->nr_waiters);
	if (err)
		WALK_CHECK(err == ses->dead ||
			   ((err == -EINPROGRESS || err == -EBUSY ||
			     err == -EDEADLK) && kind == 1) ||
			   (err == -ENOSPC && kind == 2) ||
			   (err == -EDQUOT && w->st->cfg.max_held),
			   "errno %d", err);
	if (err == -EDEADLK)
		WALK_CHECK(ses->held + ses->allocating + n > w->st->cfg.total ||
			   n > ses->max_held - ses->held - ses->allocating,
			   "could be served");
}

static void do_go_on(struct world *w, u8 how)
{
	struct allocation *tk = &w->allocation[how % ALLOCATIONS];

	if (!tk->used)
		return;
	if (tk->waits)
		stop_waiting(w, tk, how / ALLOCATIONS);
	else if (tk->t.left)
		allocate_some(w, tk);
	else
		end_allocation(w, tk, true);
}

static void do_abort(struct world *w, u8 how)
{
	struct allocation *tk = &w->allocation[how % ALLOCATIONS];

	if (tk->used && !tk->waits)
		end_allocation(w, tk, false);
}

/* All the way: allocate, register, and perhaps release, last one first. */
static void do_cycle(struct world *w, u32 s, u8 how)
{
	struct kvbm_session *ses = w->ses[s];
	u32 n = 1 + how % BATCH, i, at = 0;
	struct kvbm_registered out[BATCH];
	struct kvbm_hash keys[BATCH];
	u32 ids[BATCH], first = next(w);

	n = min(n, w->st->cfg.total);
	if (host_take(ses, n, false, ids, NULL, NULL))
		return;
	for (i = 0; i < n; i++)
		keys[i] = walk_nth_hash((first + i) % w->nr_keys);
	host_set_signal(false, false);
	for (at = 0; at < n;) {
		struct kvbm_step step = KVBM_STEP_INIT;

		at += kvbm_register_chunk(ses, ids + at, keys + at, NULL,
					  n - at, how & 128, out + at, &step);
		check_step(ses, at, n, &step, E_OVERFLOW | E_DQUOT);
		if (step.err)
			break;
		WALK_CHECK(!kvbm_session_ready(ses, &step), "not ready");
	}
	if (how & 64)
		return;
	while (at--) {
		struct kvbm_step step = KVBM_STEP_INIT;

		kvbm_release_chunk(ses, &out[at].block, 1,
				   KVBM_RELEASE_REGISTERED, &step);
		check_step(ses, 0, 1, &step, 0);
	}
}

/* A queue whose head could be served is a lost wake-up. */
static void check_queue(struct world *w)
{
	struct rb_node *node = rb_first_cached(&w->st->waiters);
	struct kvbm_waiter *first;

	spin_lock(&w->st->lock);
	if (node) {
		first = rb_entry(node, struct kvbm_waiter, node);
		WALK_CHECK(first->n > kvbm_available(w->st), "%u wanted, room %u",
			   first->n, kvbm_available(w->st));
	}
	WALK_CHECK(w->st->reserved <= w->st->free.len + w->st->nr_inactive,
		   "%u reserved", w->st->reserved);
	spin_unlock(&w->st->lock);
}

static bool quiet(struct world *w)
{
	u32 i;

	for (i = 0; i < ALLOCATIONS; i++)
		if (w->allocation[i].used)
			return false;
	return true;
}

static void finish_all(struct world *w, u32 session)
{
	u32 i;

	for (i = 0; i < ALLOCATIONS; i++) {
		struct allocation *tk = &w->allocation[i];

		if (!tk->used || tk->session != session)
			continue;
		if (tk->waits)
			stop_waiting(w, tk, 3);
		if (tk->used)
			end_allocation(w, tk, false);
	}
}

/* --- the rest ----------------------------------------------------------- */

static void do_look(struct world *w, struct kvbm_session *ses, u8 how)
{
	struct kvbm_block_info info = {};
	struct kvbm_counts counts = {};
	struct kvbm_stats stats = {};
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_chunk c;
	struct kvbm_slot *s;
	u32 id = pick_id(w);
	u8 out[KVBM_CHUNK];
	int err;

	host_set_signal(false, false);
	kvbm_store_counts(w->st, &counts);
	WALK_CHECK(counts.available == counts.reset + counts.inactive,
		   "%u", counts.available);
	kvbm_store_stats(w->st, &stats);
	WALK_CHECK(stats.allocations >= stats.allocations_from_reset &&
		   stats.registrations >= stats.duplicate_blocks +
		   stats.registration_dedup, "counters");
	kvbm_poll_available(ses);
	err = kvbm_block_info(ses, id, false, &info,
			      w->st->notes ? note : NULL);
	WALK_CHECK(err == (id < w->st->cfg.total ? 0 : -EINVAL), "errno %d",
		   err);
	WALK_CHECK(err || !w->st->notes ||
		   walk_is_note(w->st, &info.hash, note),
		   "block %u has another's note", id);
	c.keys[0] = pick_key(w);
	c.keys[1] = c.keys[0];
	kvbm_presence(w->st, &c, 1, out);
	s = kvbm_index_lookup(w->st, &c.keys[1]);
	if (!s)
		WALK_CHECK(out[0] == KVBM_ABSENT, "presence %u", out[0]);
	else if (walk_state(s) == KVBM_STATE_PRIMARY)
		WALK_CHECK(out[0] == KVBM_ACTIVE, "presence %u", out[0]);
	else
		WALK_CHECK(out[0] == KVBM_INACTIVE ||
			   (out[0] == KVBM_ABSENT && w->st->reserved),
			   "presence %u", out[0]);
	if (!w->st->sketch)
		return;
	c.keys[0] = c.keys[1];
	kvbm_sketch_touch(w->st->sketch, c.keys, 1);
	WALK_CHECK(kvbm_sketch_read(w->st->sketch, c.keys) <= 15, "count");
}

/* Ranks, for good or a while; time goes on. */
static void do_keep(struct world *w, struct kvbm_session *ses, u8 how)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	u32 i, id, n = 1 + next(w) % BATCH, done;
	struct kvbm_hash keys[BATCH];
	struct kvbm_keep_to to;
	u8 results[BATCH];
	u32 ids[BATCH];
	u64 until;

	if (!w->st->retention)
		return;
	w->now_ns += next(w) << 18;
	host_set_time(w->now_ns);
	to.rank = how & 3;
	to.until = kvbm_keep_until(how & 4 && to.rank != KVBM_RANK_NORMAL ?
				   w->now_ns + (next(w) << 18) : 0);
	for (i = 0; i < n; i++)
		keys[i] = pick_key(w);
	pick_ids(w, ids, n);
	done = kvbm_keep_chunk(ses, next(w) & 1 ? ids : NULL, keys, n, &to,
			       results, &step);
	check_step(ses, done, n, &step, E_PERM);
	for (i = 0; i < done; i++)
		WALK_CHECK(results[i] <= KVBM_KEEP_FULL, "result %u",
			   results[i]);
	id = ids[0];
	if (id >= w->st->cfg.total)
		return;
	spin_lock(&w->st->lock);
	i = kvbm_rank_of(w->st, id, &until);
	WALK_CHECK(i <= KVBM_RANK_KEEP && (!until || until > w->now_ns),
		   "rank %u until %llu", i, (unsigned long long)until);
	spin_unlock(&w->st->lock);
}

static void do_newest(struct world *w)
{
	u32 i, n = 1 + next(w) % BATCH, inactive = w->st->nr_inactive;
	struct kvbm_hash keys[BATCH];

	for (i = 0; i < n; i++)
		keys[i] = pick_key(w);
	for (i = 0; i < n;) {
		u32 done = kvbm_newest_chunk(w->st, &keys[i], n - i);

		WALK_CHECK(done && done <= n - i, "%u of %u", done, n - i);
		i += done;
	}
	WALK_CHECK(w->st->nr_inactive == inactive, "%u idle, not %u",
		   w->st->nr_inactive, inactive);
}

static void one_op(struct world *w)
{
	u8 what = next(w), how = next(w);
	u32 s = how / 8 % SESSIONS;
	struct kvbm_session *ses = w->ses[s];

	/* Of a killed one, prunes are left over. */
	host_set_signal(what >= 160, what >= 160);

	switch (what % 22) {
	case 0:
	case 1:
		do_hold(w, ses, how, false);
		break;
	case 2:
		do_hold(w, ses, how, true);
		break;
	case 3:
		do_upgrade(w, ses, how);
		break;
	case 4:
	case 5:
		do_ids(w, ses, 0, how);
		break;
	case 6:
		do_ids(w, ses, 1 + next(w) % 3, how);
		break;
	case 7:
		do_stage(w, ses, how);
		break;
	case 8:
	case 9:
		do_register(w, ses, how);
		break;
	case 10:
		do_begin(w, s, how);
		break;
	case 11:
	case 12:
		do_go_on(w, how);
		break;
	case 13:
		do_abort(w, how);
		break;
	case 14:
		do_look(w, ses, how);
		break;
	case 15:
		kvbm_reset_inactive_chunk(w->st, 1 + how % 8);
		break;
	case 16:
	case 17:
	case 18:
		do_cycle(w, s, how);
		break;
	case 19:
		do_keep(w, ses, how);
		break;
	case 20:
		do_newest(w);
		break;
	default:
		if (how & 1) {
			kvbm_session_kill(ses, -ESHUTDOWN);
			break;
		}
		finish_all(w, s);
		session_end(ses);
		w->ses[s] = session_new(w->st, s);
	}
}

static void ring_wake(struct kvbm_ring *ring)
{
}

/* What is registered, as events alone tell it. */
static void mirror_event(struct world *w, const struct kvbm_event *e)
{
	struct kvbm_event *m = &w->mirror[e->block];
	bool copy = e->type == KVBM_EVENT_DUPLICATE ||
		    e->type == KVBM_EVENT_DUPLICATE_GONE;

	WALK_CHECK(e->block < w->st->cfg.total, "event %llu: block %u", e->seq,
		   e->block);
	if (e->type == KVBM_EVENT_STORED || e->type == KVBM_EVENT_DUPLICATE) {
		WALK_CHECK(!m->type, "event %llu: %u is there", e->seq,
			   e->block);
		*m = *e;
		return;
	}
	WALK_CHECK(e->type == KVBM_EVENT_REMOVED || copy, "type %u", e->type);
	WALK_CHECK(m->type == (copy ? KVBM_EVENT_DUPLICATE : KVBM_EVENT_STORED) &&
		   m->generation == e->generation &&
		   !memcmp(&m->hash, &e->hash, sizeof(m->hash)),
		   "event %llu: %u is not what goes", e->seq, e->block);
	m->type = 0;
}

static void check_mirror(struct world *w)
{
	struct kvbm_event e[7];
	u32 i, n, id;

	do {
		u64 next = w->cursor.next;

		n = kvbm_ring_read(&w->ring, &w->cursor, e, ARRAY_SIZE(e));
		for (i = 0; i < n; i++, next++) {
			WALK_CHECK(e[i].seq == next, "event %llu, not %llu",
				   e[i].seq, next);
			mirror_event(w, &e[i]);
		}
	} while (n);
	for (id = 0; id < w->st->cfg.total; id++) {
		const struct kvbm_slot *s = &w->st->slots[id];
		u32 state = kvbm_w_state(kvbm_slot_word(s));
		u32 type = state == KVBM_STATE_PRIMARY ? KVBM_EVENT_STORED :
			   state == KVBM_STATE_DUPLICATE ?
			   KVBM_EVENT_DUPLICATE : 0;

		WALK_CHECK(w->mirror[id].type == type, "block %u: %u, not %u",
			   id, w->mirror[id].type, type);
		WALK_CHECK(!type ||
			   (kvbm_slot_is(s, &w->mirror[id].hash) &&
			    kvbm_w_gen(kvbm_slot_word(s)) ==
			    w->mirror[id].generation), "block %u", id);
	}
}

static void run(struct world *w)
{
	u8 a = next(w), b = next(w), c = next(w), d = next(w);
	struct kvbm_config cfg = {
		.policy = kvbm_evict_nth(a % KVBM_NR_POLICIES),
		.total = 1 + b % 48,
		.reject = c & 1,
		.reset = (c & 6) == 6,
		.max_held = c & 8 ? 1 + d % 8 : 0,
		.max_sessions = SESSIONS,
		.event_records = 1024,
		.note_bytes = c & 32 ? d : 0,
	};
	struct walk_counts counts;
	u32 i, ops = 0;

	if (cfg.policy->needs_frequency || c & 16)
		cfg.freq_capacity = 1 + d;
	if (c & 32) {
		cfg.keep_blocks = 1 + d % cfg.total;
		cfg.keep_user_blocks = 1 + d % cfg.keep_blocks;
	}
	w->now_ns = 1ULL << 40;
	host_set_time(w->now_ns);
	WALK_CHECK(!kvbm_config_check(&cfg), "not a config");
	w->nr_keys = 8 + d % 64;
	w->st = kzalloc(sizeof(*w->st), GFP_KERNEL);
	WALK_CHECK(!kvbm_store_init(w->st, &cfg), "no store");
	w->ring.wake = ring_wake;
	WALK_CHECK(!kvbm_ring_init(w->st, &w->ring, cfg.event_records),
		   "no ring");
	w->cursor = (struct kvbm_cursor){ .next = w->ring.head, .types = ~0U };
	for (i = 0; i < SESSIONS; i++)
		w->ses[i] = session_new(w->st, i);

	while (w->left && ops++ < 2000) {
		one_op(w);
		host_set_signal(false, false);
		if (next(w) & 3)
			host_run_work();
		check_queue(w);
		check_mirror(w);
		if (quiet(w))
			walk_store(w->st, &counts);
	}

	for (i = 0; i < SESSIONS; i++)
		finish_all(w, i);
	walk_store(w->st, &counts);
	for (i = 0; i < SESSIONS; i++)
		session_end(w->ses[i]);
	walk_store(w->st, &counts);
	WALK_CHECK(counts.state[KVBM_STATE_RESET] +
		   counts.state[KVBM_STATE_INACTIVE] == cfg.total,
		   "not all came back");
	check_mirror(w);
	kvbm_store_exit(w->st);
	kvbm_ring_exit(&w->ring);
	kfree(w->st);
	host_drain();
	host_set_time(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	host_work_manual(true);
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct world w = { .in = data, .left = size };
	struct host_mem before, after;

	/* The same secrets each time: an input repeats. */
	host_seed(1);
	host_mem_stats(&before);
	run(&w);
	host_mem_stats(&after);
	WALK_CHECK(before.objects == after.objects, "%zu objects lost",
		   after.objects - before.objects);
	return 0;
}
