// SPDX-License-Identifier: MIT
/*
 * Notes: a note belongs to one registration of a block and is returned whole;
 * lockless readers never see the note of another registration.
 */
#include <pthread.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include "event.h"
#include "fuzz/walk.h"
#include "host_take.h"
#include "kselftest.h"

#define TOTAL	12
#define KEYS	24
#define WRITERS	3
#ifdef HOST_TSAN
#define ROUNDS	4000
#else
#define ROUNDS	20000
#endif

/*
 * On top of what walk.h makes of the hash, the first word says which block in
 * which generation has it.
 */
static u64 nonce_of(u32 id, u32 generation)
{
	return (u64)(id + 1) << 32 | generation;
}

struct world {
	struct kvbm_store st;
	struct kvbm_ring ring;
	bool stop;
	atomic_t seed;
	u64 seen, given, followed;
};

static void ring_wake(struct kvbm_ring *ring)
{
}

static struct world *world_new_of(const char *policy, u32 note_bytes,
				  u32 total)
{
	struct kvbm_config cfg = {
		.total = total,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 16,
		.freq_capacity = 64,
		.event_records = 64,
		.note_bytes = note_bytes,
	};
	struct world *w = kzalloc(sizeof(*w), GFP_KERNEL);

	WALK_CHECK(!kvbm_config_check(&cfg) && !kvbm_store_init(&w->st, &cfg),
		   "no store");
	w->ring.wake = ring_wake;
	WALK_CHECK(!kvbm_ring_init(&w->st, &w->ring, 64), "no ring");
	return w;
}

static struct world *world_new(const char *policy, u32 note_bytes)
{
	return world_new_of(policy, note_bytes, TOTAL);
}

static struct kvbm_session *session_new(struct world *w)
{
	struct kvbm_session *ses = kzalloc(sizeof(*ses), GFP_KERNEL);

	WALK_CHECK(!kvbm_session_init(ses, &w->st), "no session");
	return ses;
}

static void session_end(struct kvbm_session *ses)
{
	kvbm_session_exit(ses);
	kvbm_holds_free(ses);
	kfree(ses);
}

static void world_end(struct world *w)
{
	struct walk_counts c;

	walk_store(&w->st, &c);
	kvbm_ring_detach(&w->st);
	kvbm_store_exit(&w->st);
	kvbm_ring_exit(&w->ring);
	kfree(w);
}

/* --- one after the other ------------------------------------------------- */

/* A step of one element that must succeed. */
#define ONE(ses, call) ({						\
	struct kvbm_step step = KVBM_STEP_INIT;				\
	u32 done = (call);						\
									\
	if (!done && step.page_of != KVBM_NIL) {			\
		WALK_CHECK(!kvbm_session_ready(ses, &step), "not ready"); \
		step = (struct kvbm_step)KVBM_STEP_INIT;		\
		done = (call);						\
	}								\
	WALK_CHECK(done == 1 && !step.err, "%s: %d", #call, step.err); })

static u64 note_of(struct world *w, struct kvbm_session *ses, u32 id)
{
	struct kvbm_block_info info = {};
	u64 note[KVBM_NOTE_WORDS];

	WALK_CHECK(!kvbm_block_info(ses, id, true, &info, note), "no info");
	WALK_CHECK(walk_is_note(&w->st, &info.hash, note), "another's note");
	return note[0];
}

/* All ways in which a Staged block ends without being registered. */
static void staged(struct world *w)
{
	struct kvbm_session *ses = session_new(w), *other = session_new(w);
	const struct kvbm_hash a = walk_nth_hash(0), b = walk_nth_hash(8);
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_registered out;
	struct kvbm_chain linger = {};
	u32 way, id, first;

	/* One for which there is another already. */
	WALK_CHECK(!host_take(other, 1, false, &first, NULL, NULL), "no block");
	walk_note(&w->st, &b, 7, note);
	ONE(other, kvbm_register_chunk(other, &first, &b, note, 1, false, &out,
				       &step));
	for (way = 0; way < 5; way++) {
		WALK_CHECK(!host_take(ses, 1, false, &id, NULL, NULL),
			   "no block");
		walk_note(&w->st, way == 2 ? &b : &a, 9, note);
		ONE(ses, kvbm_stage_chunk(ses, &id, way == 2 ? &b : &a, NULL,
					  note, 1, &step));
		WALK_CHECK(note_of(w, ses, id) == 9, "not what was staged");
		WALK_CHECK(!note_of(w, other, id), "another session's");
		switch (way) {
		case 0:
			ONE(ses, kvbm_unstage_chunk(ses, &id, 1, &step));
			break;
		case 1:
			ONE(ses, kvbm_release_chunk(ses, &id, 1, 0, &step));
			break;
		case 2:
			ONE(ses, kvbm_register_chunk(ses, &id, NULL, NULL, 1,
						     true, &out, &step));
			WALK_CHECK(out.kind == KVBM_KIND_DEDUP &&
				   out.block == first &&
				   note_of(w, ses, first) == 7, "kind %u",
				   out.kind);
			ONE(ses, kvbm_release_chunk(ses, &first, 1, 0, &step));
			break;
		default:
			kvbm_session_retire(ses, -ESHUTDOWN,
					    way == 3 ? &linger : NULL);
			session_end(ses);
			ses = session_new(w);
			if (way == 3)
				kvbm_linger_return(&w->st, &linger);
		}
		/* The same block, in the same generation, without a note. */
		if (way) {
			u32 got;

			do {
				WALK_CHECK(!host_take(ses, 1, false, &got, NULL,
						      NULL), "no block");
			} while (got != id);
		}
		WALK_CHECK(!note_of(w, ses, id), "a Mutable block has a note");
		ONE(ses, kvbm_register_chunk(ses, &id, &a, NULL, 1, false, &out,
					     &step));
		WALK_CHECK(!note_of(w, ses, id), "way %u: a note is left", way);
		session_end(ses);
		ses = session_new(w);
		kvbm_reset_inactive_chunk(&w->st, TOTAL);
	}
	session_end(ses);
	session_end(other);
}

/* The first registration's note stays; a Duplicate has its Primary's. */
static void duplicates(struct world *w)
{
	struct kvbm_session *ses = session_new(w);
	const struct kvbm_hash a = walk_nth_hash(0);
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_registered out;
	u32 ids[3], i;

	WALK_CHECK(!host_take(ses, 3, false, ids, NULL, NULL), "no blocks");
	for (i = 0; i < 3; i++) {
		walk_note(&w->st, &a, 5 + i, note);
		ONE(ses, kvbm_register_chunk(ses, &ids[i], &a, note, 1, i == 2,
					     &out, &step));
		WALK_CHECK(out.kind == i, "kind %u", out.kind);
		WALK_CHECK(note_of(w, ses, out.block) == 5, "note %u", i);
	}
	session_end(ses);
	kvbm_reset_inactive_chunk(&w->st, TOTAL);
}

/* A note that is given for a Staged block takes the place of the other. */
static void replaced(struct world *w)
{
	struct kvbm_session *ses = session_new(w);
	const struct kvbm_hash a = walk_nth_hash(0);
	u64 note[KVBM_NOTE_WORDS];
	struct kvbm_registered out;
	u32 id, with;

	for (with = 0; with < 2; with++) {
		WALK_CHECK(!host_take(ses, 1, false, &id, NULL, NULL),
			   "no block");
		walk_note(&w->st, &a, 5, note);
		ONE(ses, kvbm_stage_chunk(ses, &id, &a, NULL, note, 1, &step));
		walk_note(&w->st, &a, 6, note);
		ONE(ses, kvbm_register_chunk(ses, &id, NULL, with ? note : NULL,
					     1, false, &out, &step));
		WALK_CHECK(out.kind == KVBM_KIND_PRIMARY &&
			   note_of(w, ses, id) == 5 + with, "with %u", with);
		ONE(ses, kvbm_release_chunk(ses, &id, 1, 0, &step));
		kvbm_reset_inactive_chunk(&w->st, 1);
		WALK_CHECK(!note_of(w, ses, id), "a Reset block has a note");
	}
	session_end(ses);
}

static void in_order(const char *policy, u32 note_bytes)
{
	struct world *w = world_new(policy, note_bytes);

	staged(w);
	duplicates(w);
	replaced(w);
	world_end(w);
}

/* --- at the same time ---------------------------------------------------- */

static u32 rnd(u64 *seed, u32 n)
{
	return walk_mix((*seed)++) % n;
}

/* Registers, evicts, stages and lets go, all the time. */
static void *write_notes(void *arg)
{
	struct world *w = arg;
	struct kvbm_session *ses = session_new(w);
	u64 seed = (u64)atomic_inc_return(&w->seed) << 32, given = 0;
	u64 note[KVBM_NOTE_WORDS];
	u32 round, id;

	for (round = 0; round < ROUNDS; round++) {
		struct kvbm_hash key = walk_nth_hash(rnd(&seed, KEYS));
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 how = rnd(&seed, 8), got;
		struct kvbm_registered out;

		if (host_take(ses, 1, false, &id, NULL, NULL))
			continue;
		walk_note(&w->st, &key, nonce_of(id,
			  kvbm_w_gen(kvbm_slot_word(&w->st.slots[id]))), note);
		if (how < 4)
			kvbm_stage_chunk(ses, &id, &key, NULL,
					 how & 1 ? note : NULL, 1, &step);
		if (how == 1) {
			kvbm_release_chunk(ses, &id, 1, 0, &step);
			continue;
		}
		got = kvbm_register_chunk(ses, &id, how < 4 ? NULL : &key,
					  how & 2 ? note : NULL, 1, true, &out,
					  &step);
		if (!got) {
			WALK_CHECK(!step.err &&
				   !kvbm_session_ready(ses, &step), "errno %d",
				   step.err);
			kvbm_release_chunk(ses, &id, 1, 0, &step);
			continue;
		}
		given += how & 2 && out.kind == KVBM_KIND_PRIMARY;
		/* Held by this session: it does not change. */
		WALK_CHECK(kvbm_note_read(&w->st, out.block, &key, note),
			   "block %u has no note", out.block);
		id = out.block;
		WALK_CHECK(walk_is_note(&w->st, &key, note) &&
			   (!note[0] || note[0] == nonce_of(id, out.generation)),
			   "block %u has another's note", id);
		kvbm_release_chunk(ses, &id, 1, 0, &step);
		if (!rnd(&seed, 16))
			kvbm_reset_inactive_chunk(&w->st, 1);
	}
	__atomic_fetch_add(&w->given, given, __ATOMIC_RELAXED);
	session_end(ses);
	return NULL;
}

/* Looks at any block, without lock or hold. */
static void *read_notes(void *arg)
{
	struct world *w = arg;
	u64 seed = (u64)atomic_inc_return(&w->seed) << 32, seen = 0;
	u64 note[KVBM_NOTE_WORDS];

	while (!READ_ONCE(w->stop)) {
		u32 id = rnd(&seed, TOTAL), gen;
		struct kvbm_slot *s = &w->st.slots[id];
		struct kvbm_hash key = kvbm_slot_peek_key(s);

		if (kvbm_note_read(&w->st, id, &key, note)) {
			WALK_CHECK(walk_is_note(&w->st, &key, note),
				   "block %u has another's note", id);
			seen += !!note[0];
		} else {
			WALK_CHECK(!note[0], "no note, but not zeroed");
		}
		gen = kvbm_w_gen(kvbm_slot_word(s));
		if (!kvbm_note_read_gen(&w->st, id, gen, note))
			continue;
		WALK_CHECK(!note[0] || note[0] == nonce_of(id, gen),
			   "block %u generation %u has that of %llx", id, gen,
			   (unsigned long long)note[0]);
		key = kvbm_slot_peek_key(s);
		smp_rmb();
		/* Still in that generation: so that was its key. */
		if (kvbm_w_gen(kvbm_slot_word(s)) == gen)
			WALK_CHECK(walk_is_note(&w->st, &key, note),
				   "block %u generation %u: torn", id, gen);
	}
	__atomic_fetch_add(&w->seen, seen, __ATOMIC_RELAXED);
	return NULL;
}

/* Follows the events, with notes. */
static void *follow(void *arg)
{
	struct world *w = arg;
	u32 words = kvbm_note_words(w->st.cfg.note_bytes);
	struct kvbm_cursor c = { .next = 1, .types = ~0U };
	size_t size = sizeof(struct kvbm_event) + words * sizeof(u64);
	struct kvbm_event e[8];
	u64 followed = 0;
	u32 i, n;

	void *out = kzalloc(8 * size, GFP_KERNEL);

	while (!READ_ONCE(w->stop)) {
		n = kvbm_ring_read(&w->ring, &c, e, 8);
		kvbm_ring_notes(&w->ring, w->st.cfg.note_bytes, e, n, out);
		for (i = 0; i < n; i++) {
			const struct kvbm_event *got = out + i * size;
			const u64 *note = (const void *)(got + 1);

			WALK_CHECK(got->seq == e[i].seq, "event %llu", got->seq);
			WALK_CHECK(walk_is_note(&w->st, &got->hash, note) &&
				   (!note[0] ||
				    note[0] == nonce_of(got->block,
							got->generation)),
				   "event %llu: another's note", got->seq);
			WALK_CHECK(got->noted || !note[0], "not zeroed");
			WALK_CHECK(!got->noted ||
				   got->type == KVBM_EVENT_STORED ||
				   got->type == KVBM_EVENT_REMOVED,
				   "type %u has a note", got->type);
			followed += got->noted && note[0];
		}
	}
	__atomic_fetch_add(&w->followed, followed, __ATOMIC_RELAXED);
	kfree(out);
	return NULL;
}

/* --- whose a Staged block is --------------------------------------------- */

struct asked {
	struct world *w;
	struct kvbm_session *ses;
	bool stop;
	u64 staged;
};

/*
 * Asks about a block that its session allocates and gives back, and another one
 * stages: what that is to be is told of nobody's Staged block but one's own.
 */
static void *ask(void *arg)
{
	struct asked *a = arg;
	u32 words = kvbm_note_words(a->w->st.cfg.note_bytes), i;
	u64 note[KVBM_NOTE_WORDS], staged = 0;
	bool own = true;

	for (; !READ_ONCE(a->stop); own = !own) {
		struct kvbm_block_info info = {};

		WALK_CHECK(!kvbm_block_info(a->ses, 0, own, &info, note),
			   "no info");
		if (info.state != KVBM_STATE_STAGED)
			continue;
		staged++;
		WALK_CHECK(!info.hash.hi && !info.hash.lo, "another's hash");
		for (i = 0; i < words; i++)
			WALK_CHECK(!note[i], "another's note");
		WALK_CHECK(!info.own_holds, "it has staged none");
	}
	a->staged = staged;
	return NULL;
}

static u64 others(void)
{
	struct world *w = world_new_of("lru", 8, 1);
	struct kvbm_session *ses = session_new(w), *other = session_new(w);
	const struct kvbm_hash a = walk_nth_hash(0);
	struct asked asked = { .w = w, .ses = ses };
	u64 note[KVBM_NOTE_WORDS];
	pthread_t asker;
	u32 round, id;

	walk_note(&w->st, &a, 9, note);
	host_delays(6);
	pthread_create(&asker, NULL, ask, &asked);
	for (round = 0; round < 4 * ROUNDS; round++) {
		WALK_CHECK(!host_take(ses, 1, false, &id, NULL, NULL),
			   "no block");
		ONE(ses, kvbm_release_chunk(ses, &id, 1, 0, &step));
		WALK_CHECK(!host_take(other, 1, false, &id, NULL, NULL),
			   "no block");
		ONE(other, kvbm_stage_chunk(other, &id, &a, NULL, note, 1,
					    &step));
		ONE(other, kvbm_release_chunk(other, &id, 1, 0, &step));
	}
	WRITE_ONCE(asked.stop, true);
	pthread_join(asker, NULL);
	host_delays(0);
	session_end(ses);
	session_end(other);
	world_end(w);
	return asked.staged;
}

static void at_once(const char *policy, u32 note_bytes, u64 *seen, u64 *given,
		    u64 *followed)
{
	struct world *w = world_new(policy, note_bytes);
	pthread_t writer[WRITERS], reader, follower;
	u32 i;

	pthread_create(&reader, NULL, read_notes, w);
	pthread_create(&follower, NULL, follow, w);
	for (i = 0; i < WRITERS; i++)
		pthread_create(&writer[i], NULL, write_notes, w);
	for (i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	WRITE_ONCE(w->stop, true);
	pthread_join(reader, NULL);
	pthread_join(follower, NULL);
	*seen += w->seen;
	*given += w->given;
	*followed += w->followed;
	world_end(w);
}

int main(void)
{
	static const u32 sizes[] = { 1, 8, 60, 256 };
	const struct kvbm_evict_ops *policy;
	u64 seen, given, followed;
	u32 p, i;

	ksft_print_header();
	ksft_set_plan(2 * KVBM_NR_POLICIES + 1);
	for (p = 0; (policy = kvbm_evict_nth(p)); p++) {
		seen = 0;
		given = 0;
		followed = 0;
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			in_order(policy->name, sizes[i]);
		ksft_test_result_pass("%s: notes end with their registration\n",
				      policy->name);
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			at_once(policy->name, sizes[i], &seen, &given,
				&followed);
		ksft_test_result(given && seen,
				 "%s: %llu notes given, %llu seen without a lock, %llu with events\n",
				 policy->name, (unsigned long long)given,
				 (unsigned long long)seen,
				 (unsigned long long)followed);
	}
	ksft_test_result_pass("%llu looks at another's Staged block\n",
			      (unsigned long long)others());
	ksft_finished();
}
