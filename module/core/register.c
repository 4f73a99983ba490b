// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * register.c - Mutable to Staged to Primary or Duplicate
 *
 * A Mutable or Staged block belongs to its session alone; nobody finds it.
 * Registration looks up and inserts in one step, so of two registrations
 * of one hash only one becomes Primary.
 */
#include <linux/err.h>
#include "claim.h"
#include "leave.h"
#include "note.h"
#include "sketch.h"

/* The slot of a block that the session owns in this state, or NULL. */
static __always_inline struct kvbm_slot *
owned_slot(struct kvbm_session *ses, u32 id, enum kvbm_state state, u32 **cnt)
{
	struct kvbm_slot *s;

	lockdep_assert_held(&ses->lock);
	*cnt = kvbm_count_owned(ses, id);
	if (!*cnt)
		return NULL;
	s = kvbm_slot_at(ses->store, id);
	return kvbm_w_state(kvbm_slot_word(s)) == state ? s : NULL;
}

/* Mutable and Staged slots have no references: nobody else changes the word. */
static void owned_move(struct kvbm_slot *s, enum kvbm_state to, bool reset,
		       u32 refs)
{
	u64 w = kvbm_slot_word(s);

	/* Publishes the key; pairs with the acquire in get_unlocked(). */
	atomic64_set_release(&s->word,
			     kvbm_w_make(kvbm_w_gen(w), to, reset, refs));
}

/* The same; the reset flag stays as it is.  Returns the new word. */
static u64 owned_keep(struct kvbm_slot *s, enum kvbm_state to, u32 refs)
{
	u64 w = kvbm_slot_word(s) & ~(KVBM_W_STATE | KVBM_W_REFS);

	w |= (u64)to << KVBM_W_STATE_SHIFT | refs;
	/* As above. */
	atomic64_set_release(&s->word, w);
	return w;
}

/* New notes; NULL: none are given. */
static __always_inline const u64 *nth_note(const struct kvbm_store *st,
					   const u64 *notes, u32 i)
{
	if (!notes)
		return NULL;
	return notes + i * kvbm_note_words(st->cfg.note_bytes);
}

/* Outside the locks under which they are written. */
static noinline_for_stack void prefetch_notes(const struct kvbm_store *st,
					      const u32 *ids, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (ids[i] < st->cfg.total)
			kvbm_note_prefetchw(st, kvbm_id_nospec(st, ids[i]));
}

/* Staging, with @claiming as far as the hashes can be claimed. */
static __always_inline u32
stage_chunk(struct kvbm_session *ses, const u32 *ids,
	    const struct kvbm_hash *keys, const u32 *tokens, const u64 *notes,
	    u32 n, struct kvbm_claiming *claiming, struct kvbm_step *step)
{
	struct kvbm_store *st = ses->store;
	u32 i = 0, staged = 0;

	if (unlikely(notes))
		prefetch_notes(st, ids, n);
	spin_lock(&ses->lock);
	spin_lock(&st->lock);
	step->err = ses->dead;
	for (; i < n && !step->err; i++) {
		struct kvbm_slot *s;
		u32 *cnt, hash;
		int got;

		s = owned_slot(ses, ids[i], KVBM_STATE_MUTABLE, &cnt);
		if (!s)
			step->err = -EPERM;
		else if (!kvbm_hash_fits(st, &keys[i]) ||
			 (tokens && tokens[i] != st->cfg.block_size))
			step->err = -EINVAL;
		else if (s->at != st->epoch)
			step->err = -ESTALE;
		if (step->err)
			break;
		hash = kvbm_index_key(st, &keys[i]);
		if (claiming) {
			got = kvbm_claim_make(ses, claiming,
					      kvbm_slot_id(st, s), &keys[i],
					      hash);
			if (got < 0) {
				step->err = got;
				break;
			}
			claiming->states[i] = got;
			if (got != KVBM_CLAIMED)
				continue;
		}
		kvbm_slot_set_key(s, &keys[i], hash);
		kvbm_note_stage(st, s, nth_note(st, notes, i));
		owned_keep(s, KVBM_STATE_STAGED, 0);
		staged++;
	}
	spin_unlock(&st->lock);
	ses->staged += staged;
	ses->counters.stagings += staged;
	spin_unlock(&ses->lock);
	return i;
}

/**
 * kvbm_stage_chunk() - Mutable to Staged
 * @ses: the session
 * @ids: its Mutable blocks
 * @keys: their hashes
 * @tokens: tokens in each, or NULL
 * @notes: kvbm_note_words() of each, or NULL
 * @n: elements, at most KVBM_CHUNK
 * @step: how it ended
 *
 * Return: elements done.
 */
u32 kvbm_stage_chunk(struct kvbm_session *ses, const u32 *ids,
		     const struct kvbm_hash *keys, const u32 *tokens,
		     const u64 *notes, u32 n, struct kvbm_step *step)
{
	return stage_chunk(ses, ids, keys, tokens, notes, n, NULL, step);
}

/**
 * kvbm_claim_chunk() - Mutable to Staged, and claim the hashes
 * @ses: the session
 * @ids: its Mutable blocks
 * @keys: their hashes
 * @tokens: tokens in each, or NULL
 * @notes: kvbm_note_words() of each, or NULL
 * @n: elements, at most KVBM_CHUNK
 * @claiming: the batch's; out: the result of each element
 * @step: how it ended
 *
 * A block whose hash is pending or present stays Mutable.
 *
 * Return: elements done.
 */
u32 kvbm_claim_chunk(struct kvbm_session *ses, const u32 *ids,
		     const struct kvbm_hash *keys, const u32 *tokens,
		     const u64 *notes, u32 n, struct kvbm_claiming *claiming,
		     struct kvbm_step *step)
{
	step->err = kvbm_claiming_ready(claiming, n);
	if (step->err)
		return 0;
	return stage_chunk(ses, ids, keys, tokens, notes, n, claiming, step);
}

/**
 * kvbm_unstage_chunk() - Staged to Mutable
 * @ses: the session
 * @ids: its Staged blocks
 * @n: elements, at most KVBM_CHUNK
 * @step: how it ended
 *
 * Return: elements done.
 */
u32 kvbm_unstage_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
		       struct kvbm_step *step)
{
	struct kvbm_store *st = ses->store;
	u32 i = 0;

	spin_lock(&ses->lock);
	spin_lock(&st->lock);
	step->err = ses->dead;
	for (; i < n && !step->err; i++) {
		struct kvbm_slot *s;
		u32 *cnt;

		s = owned_slot(ses, ids[i], KVBM_STATE_STAGED, &cnt);
		if (!s) {
			step->err = -EPERM;
			break;
		}
		kvbm_claim_after_drop(ses, s);
		kvbm_note_unstage(st, s);
		owned_move(s, KVBM_STATE_MUTABLE, st->cfg.reset, 0);
	}
	spin_unlock(&st->lock);
	ses->staged -= i;
	spin_unlock(&ses->lock);
	kvbm_claims_notify(st);
	return i;
}

/*
 * Evict an inactive block: it is promised to an allocation and gives up its
 * hash, or the index is full for another one.
 */
static void evict_idle(struct kvbm_session *ses, struct kvbm_slot *s,
		       enum kvbm_reason reason)
{
	struct kvbm_store *st = ses->store;
	u32 gen = kvbm_w_gen(kvbm_slot_word(s));
	u32 id = kvbm_slot_id(st, s);

	lockdep_assert_held(&st->lock);
	st->cfg.policy->remove(st, id);
	if (st->cfg.policy->forget)
		st->cfg.policy->forget(st, id);
	st->nr_inactive--;
	kvbm_hash_leaves(st, s, gen, reason, ses->number);
	kvbm_to_reset(st, id, gen + 1);
}

/*
 * Insert a block into the index.  This evicts what is in its way: at most one
 * block that is promised to an allocation, and at most one of a full overflow
 * table.
 *
 * Return: NULL: it is in; the slot that has its key; or ERR_PTR(): -ENOBUFS:
 * the index is full and all possible victims are held; -EAGAIN: a prune comes
 * first.
 */
static struct kvbm_slot *insert_or_evict(struct kvbm_session *ses,
					 struct kvbm_slot *s)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *old;
	u32 victim;

	lockdep_assert_held(&st->lock);
	old = kvbm_index_insert(st, s);
	if (likely(!old))
		return NULL;
	if (!IS_ERR(old)) {
		if (kvbm_w_refs(kvbm_slot_word(old)) || !kvbm_all_reserved(st))
			return old;
		evict_idle(ses, old, KVBM_REASON_EVICTED);
		old = kvbm_index_insert(st, s);
		if (!old)
			return NULL;
		/* Another eviction can begin another prune. */
		if (st->pruning != KVBM_NIL)
			return ERR_PTR(-EAGAIN);
	}
	/* The overflow table is full, and so is the line. */
	victim = kvbm_index_over_victim(st);
	if (victim == KVBM_NIL)
		return ERR_PTR(-ENOBUFS);
	evict_idle(ses, &st->slots[victim], KVBM_REASON_DISPLACED);
	st->overflow.evictions++;
	return kvbm_index_insert(st, s);
}

/*
 * The hash is present already, under @old: allow makes the slot a Duplicate
 * that keeps @old alive; reject gives the session a hold on @old instead.  The
 * hash keeps its note.
 */
static int register_present(struct kvbm_session *ses, u32 id, u32 *cnt,
			    struct kvbm_slot *old, bool reject,
			    struct kvbm_registered *out, struct kvbm_step *step)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *s = kvbm_slot_at(st, id);
	u32 old_id = kvbm_slot_id(st, old);
	u32 *old_cnt;

	lockdep_assert_held(&st->lock);
	old_cnt = kvbm_count(ses, old_id);
	if (!old_cnt) {
		step->page_of = old_id;
		return -EAGAIN;
	}
	if (!reject) {
		if (kvbm_count_kept_full(*old_cnt))
			return -EOVERFLOW;
		/* It now keeps two blocks from others. */
		if (!*old_cnt && !kvbm_quota(ses))
			return -EDQUOT;
		kvbm_get_locked(st, old);
		kvbm_count_keep(ses, old_cnt);
		s->child = old_id;
		owned_keep(s, KVBM_STATE_DUPLICATE, 1);
		*cnt = KVBM_COUNT_COPY | 1;
		kvbm_event(st, KVBM_EVENT_DUPLICATE, KVBM_REASON_NONE, id,
			   kvbm_w_gen(kvbm_slot_word(s)), &s->key, ses->number);
		out->block = id;
		out->kind = KVBM_KIND_DUPLICATE;
		ses->counters.duplicate_blocks++;
		return 0;
	}

	if (kvbm_count_holds(*old_cnt) == KVBM_MAX_HOLDS)
		return -EOVERFLOW;
	if (!kvbm_count_holds(*old_cnt))
		kvbm_get_locked(st, old);
	if (!*old_cnt)
		kvbm_count_first(ses, old_cnt, 0);
	++*old_cnt;
	kvbm_count_last(ses, cnt);
	st->nr_held--;
	if (kvbm_w_state(kvbm_slot_word(s)) == KVBM_STATE_STAGED)
		kvbm_note_unstage(st, s);
	kvbm_to_reset(st, id, kvbm_w_gen(kvbm_slot_word(s)));
	out->block = old_id;
	out->kind = KVBM_KIND_DEDUP;
	ses->counters.registration_dedup++;
	return 0;
}

/* New notes: those of a chunk whose first result is @first. */
struct noting {
	const u64 *notes;
	const struct kvbm_registered *first;
};

/* Separate, so stores without notes spend no registers on it. */
static noinline void note_primary(struct kvbm_store *st, struct kvbm_slot *s,
				  const struct noting *nt,
				  const struct kvbm_registered *out)
{
	const u64 *note = nth_note(st, nt->notes, out - nt->first);

	if (note)
		kvbm_note_write(st, kvbm_slot_id(st, s), note);
}

/* -EAGAIN: the chunk ends here, not the batch. */
static int register_one(struct kvbm_session *ses, u32 id,
			const struct kvbm_hash *key, u32 hash, bool reject,
			const struct noting *nt, struct kvbm_registered *out,
			struct kvbm_step *step)
{
	enum kvbm_state from = key ? KVBM_STATE_MUTABLE : KVBM_STATE_STAGED;
	struct kvbm_store *st = ses->store;
	struct kvbm_slot *s, *old;
	u32 *cnt, gen;
	int err;

	lockdep_assert_held(&st->lock);
	s = owned_slot(ses, id, from, &cnt);
	if (!s)
		return -EPERM;
	if (unlikely(s->at != st->epoch))
		return -ESTALE;
	if (key) {
		if (!kvbm_hash_fits(st, key))
			return -EINVAL;
		kvbm_slot_set_key(s, key, hash);
	}

	/* The insertion comes first, because it can fail. */
	old = insert_or_evict(ses, s);
	if (IS_ERR(old))
		return PTR_ERR(old);
	if (old) {
		err = register_present(ses, id, cnt, old, reject, out, step);
		if (err)
			return err;
		s = &st->slots[out->block];
		gen = kvbm_w_gen(kvbm_slot_word(s));
	} else {
		if (unlikely(st->notes))
			note_primary(st, s, nt, out);
		gen = kvbm_w_gen(owned_keep(s, KVBM_STATE_PRIMARY, 1));
		*cnt = 1;
		kvbm_event(st, KVBM_EVENT_STORED, KVBM_REASON_NONE, id, gen,
			   &s->key, ses->number);
		out->block = id;
		out->kind = KVBM_KIND_PRIMARY;
	}
	out->generation = gen;
	out->reserved = 0;
	kvbm_claim_after_register(st, s);
	trace_kvbm_register(st, ses->number, out->block, &s->key, out->kind);
	return 0;
}

/* Hash the keys; prefetch slots, counts and the index's lines. */
static void prefetch_register(struct kvbm_session *ses, const u32 *ids,
			      const struct kvbm_hash *keys, u32 *hash, u32 n)
{
	struct kvbm_store *st = ses->store;
	u32 i;

	for (i = 0; i < n; i++) {
		u32 id = ids[i];

		if (id < st->cfg.total) {
			id = kvbm_id_nospec(st, id);
			prefetchw(&st->slots[id]);
			kvbm_count_prefetch(ses->table, id);
		}
	}
	if (!keys)
		return;
	for (i = 0; i < n; i++) {
		hash[i] = kvbm_index_key(st, &keys[i]);
		kvbm_index_prefetchw(st, hash[i]);
	}
}

/* Count the new hashes; the session's lock keeps the blocks' states. */
static void touch_registered(struct kvbm_session *ses,
			     const struct kvbm_registered *out, u32 n)
{
	u32 hash[KVBM_CHUNK] __uninitialized;
	struct kvbm_store *st = ses->store;
	u32 i, nr = 0;

	lockdep_assert_held(&ses->lock);
	for (i = 0; i < n; i++)
		if (out[i].kind == KVBM_KIND_PRIMARY)
			hash[nr++] = st->slots[out[i].block].hash;
	kvbm_sketch_touch_hashes(st->sketch, hash, nr);
}

/**
 * kvbm_register_chunk() - make blocks visible under their hashes
 * @ses: the session
 * @ids: its Staged blocks, or Mutable ones when @keys is given
 * @keys: hashes to stage them under, or NULL
 * @notes: kvbm_note_words() of each; NULL: those they were staged with
 * @n: elements, at most KVBM_CHUNK
 * @reject: duplicate policy
 * @out: the result of each
 * @step: how it ended
 *
 * Return: elements done.
 */
u32 kvbm_register_chunk(struct kvbm_session *ses, const u32 *ids,
			const struct kvbm_hash *keys, const u64 *notes, u32 n,
			bool reject, struct kvbm_registered *out,
			struct kvbm_step *step)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_store *st = ses->store;
	const struct noting nt = { .notes = notes, .first = out };
	u32 hash[KVBM_CHUNK] __uninitialized;
	u32 i = 0;
	int err;

	prefetch_register(ses, ids, keys, hash, n);
	if (unlikely(notes))
		prefetch_notes(st, ids, n);
	spin_lock(&ses->lock);
	step->err = ses->dead;
	for (; i < n && !step->err; i++) {
		if (!kvbm_lock_store(&l))
			break;
		err = register_one(ses, ids[i], keys ? &keys[i] : NULL,
				   keys ? hash[i] : 0, reject, &nt, &out[i],
				   step);
		if (err == -EAGAIN)
			break;
		if (err) {
			step->err = err;
			break;
		}
	}
	if (keys)
		ses->counters.stagings += i;
	else
		ses->staged -= i;
	ses->owned -= i;
	ses->holds += i;
	ses->counters.registrations += i;
	if (st->sketch) {
		/*
		 * A block that was not needed is free now: unlocking must
		 * notify.
		 */
		if (!kvbm_has_waiters(&l))
			kvbm_unlock_store(&l);
		touch_registered(ses, out, i);
	}
	if (unlikely(ses->watched))
		kvbm_session_look(ses, &l);
	spin_unlock(&ses->lock);
	kvbm_unlock_notify(&l);
	kvbm_claims_notify(st);
	kvbm_prune_end(st, l.prune);
	return i;
}
