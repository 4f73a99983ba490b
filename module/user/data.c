// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * data.c - the data path: decode user memory, call the core, encode
 *
 * Each operation goes through its batch chunk by chunk: copy in to the stack,
 * do it, copy out.  While user memory is touched, no lock is held, nor anything
 * that others would have to wait for: a caller may be stuck there for ever, on
 * a page that another process does not provide.  By then a chunk's blocks
 * belong to the session, and go when the session is ended.
 *
 * A chunk that took holds writes how far the batch got (done) before the next
 * one begins; if that or its results cannot be written, its holds are released.
 *
 * Kernels that clear automatic variables would spend more on a chunk's arrays
 * than small batches cost.  So these are __uninitialized: only elements that
 * were filled are read or copied out.
 *
 * ioctl and io_uring both come here.  Hand-over and ranks are in handover.c and
 * keep.c.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "batch.h"
#include "claim.h"
#include "data.h"
#include "note.h"
#include "retain.h"
#include "sketch.h"

/* The result of a batch that has already written its chunks. */
static int stopped(struct kvbm_session *ses, u32 __user *udone, u32 done,
		   u32 hits, int err)
{
	/* Edge-triggered pollers get an edge once there is more. */
	if (err == -EDQUOT)
		kvbm_poll_short(ses, 1);
	if (kvbm_tell_end2(udone, done, hits, err) && !done)
		err = -EFAULT;
	return done ?: err;
}

/*
 * Generations of blocks that the session holds, which do not change.  If it no
 * longer holds them, because another thread released them or it was ended, this
 * is a later generation, which the hash reveals.
 */
static int tell_generations(struct kvbm_store *st, u32 __user *to,
			    const u32 *ids, u32 *gens, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		gens[i] = ids[i] == KVBM_NO_BLOCK ? 0 :
			  kvbm_w_gen(kvbm_slot_word(&st->slots[ids[i]]));
	return kvbm_tell_ids(to, gens, n);
}

/* The caller's array of notes: does the store have notes? */
static inline int check_notes(const struct kvbm_session *ses, u64 notes)
{
	return unlikely(notes) && !ses->store->cfg.note_bytes ? -EINVAL : 0;
}

/*
 * Notes of blocks that the session holds, or KVBM_NO_BLOCK.  Zeroes if it no
 * longer holds the block, as above, and the block has another hash by now.
 */
static noinline_for_stack int
tell_notes(struct kvbm_store *st, u8 __user *to, const struct kvbm_chunk *c,
	   u32 n)
{
	u64 note[KVBM_NOTE_WORDS] __uninitialized;
	u8 some[KVBM_MAX_NOTE_BYTES] __uninitialized;
	u32 i, size = st->cfg.note_bytes, filled = 0;

	for (i = 0; i < n; i++) {
		if (c->ids[i] == KVBM_NO_BLOCK)
			memset(note, 0, size);
		else
			kvbm_note_read(st, c->ids[i], &c->keys[i], note);
		memcpy(some + filled, note, size);
		filled += size;
		if (i + 1 < n && filled + size <= sizeof(some))
			continue;
		if (copy_to_user(to, some, filled))
			return -EFAULT;
		to += filled;
		filled = 0;
	}
	return 0;
}

/* Memory for a chunk's new notes; NULL: none are given. */
static noinline int alloc_notes_buffer(const struct kvbm_session *ses, u64 notes,
				       u32 n, u64 **room)
{
	int err = check_notes(ses, notes);

	if (err)
		return err;
	*room = kmalloc_array(n, kvbm_note_words(ses->store->cfg.note_bytes) *
			      sizeof(**room), GFP_KERNEL_ACCOUNT);
	return *room ? 0 : -ENOMEM;
}

static inline int notes_buffer(const struct kvbm_session *ses, u64 notes, u32 n,
			       u64 **room)
{
	*room = NULL;
	return unlikely(notes) ? alloc_notes_buffer(ses, notes, n, room) : 0;
}

static noinline_for_stack int
fetch_notes(const struct kvbm_store *st, u64 *to, const u8 __user *from, u32 n)
{
	u32 size = st->cfg.note_bytes, words = kvbm_note_words(size);

	if (!(size % sizeof(*to)))
		return copy_from_user(to, from, n * size) ? -EFAULT : 0;
	for (; n--; to += words, from += size) {
		to[words - 1] = 0;
		if (copy_from_user(to, from, size))
			return -EFAULT;
	}
	return 0;
}

/**
 * struct holding - a match or scan in progress
 * @b: the batch
 * @args: our copy of the caller's structure
 * @u: the caller's structure
 * @c: the chunk
 * @asked: hashes of the query that are not counted yet
 * @hits: holds returned; unused by match, where all elements done are hits
 */
struct holding {
	struct kvbm_batch b;
	const struct kvbm_match *args;
	struct kvbm_match __user *u;
	struct kvbm_chunk *c;
	u32 asked;
	u32 hits;
};

/*
 * Write the results of a chunk of holds. -EFAULT: it was undone, or had nothing
 * to write.
 */
static __always_inline int tell_holds(struct holding *h, u32 got, u32 hits)
{
	u32 __user *ugens = u64_to_user_ptr(h->args->generations);
	u8 __user *unotes = u64_to_user_ptr(h->args->notes);
	u32 __user *uids = u64_to_user_ptr(h->args->ids);
	struct kvbm_session *ses = h->b.ses;
	u32 done = h->b.done;

	if (likely(!kvbm_tell_ids(uids + done, h->c->ids, got) &&
		   !(h->args->generations &&
		     tell_generations(ses->store, ugens + done, h->c->ids,
				      h->c->generation, got)) &&
		   !(unlikely(h->args->notes) &&
		     tell_notes(ses->store, unotes + (u64)done *
				ses->store->cfg.note_bytes, h->c, got)) &&
		   !kvbm_tell_end2(&h->u->done, done + got, hits, 0)))
		return got;
	kvbm_unhold(ses, h->c->ids, got);
	return -EFAULT;
}

static __always_inline int match_one(struct kvbm_batch *b, u32 n,
				     struct kvbm_step *step)
{
	struct holding *h = container_of(b, struct holding, b);
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(h->args->hashes);
	int err = kvbm_fetch_hashes(h->c->keys, uhashes + b->done, n);
	u32 got;

	if (err)
		return err;
	got = kvbm_match_chunk(b->ses, h->c, n, h->asked, step);
	h->asked = 0;
	return tell_holds(h, got, b->done + got);
}

static __always_inline int scan_one(struct kvbm_batch *b, u32 n,
				    struct kvbm_step *step)
{
	struct holding *h = container_of(b, struct holding, b);
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(h->args->hashes);
	int err = kvbm_fetch_hashes(h->c->keys, uhashes + b->done, n);
	u32 got, hit;

	if (err)
		return err;
	got = kvbm_scan_chunk(b->ses, h->c, n, h->asked,
			      h->args->flags & KVBM_SCAN_TOUCH, &hit, step);
	h->asked = 0;
	err = tell_holds(h, got, h->hits + hit);
	if (err >= 0)
		h->hits += hit;
	return err;
}

/* After a match that held @done: find the first pending hash. */
static noinline_for_stack int
tell_pending(struct kvbm_session *ses, const struct kvbm_match *args,
	     struct kvbm_match __user *u, u32 done)
{
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(args->hashes);
	struct kvbm_hash keys[KVBM_CHUNK] __uninitialized;
	u32 at = done, n, first;
	int err = 0;

	while (at < args->count && !err) {
		if (!READ_ONCE(ses->store->claims.nr))
			return 0;
		n = min(args->count - at, KVBM_CHUNK);
		err = kvbm_fetch_hashes(keys, uhashes + at, n);
		if (err)
			break;
		first = kvbm_claims_first(ses->store, keys, n);
		if (first < n)
			return put_user(at + first, &u->pending);
		at += n;
		err = kvbm_batch_pause();
	}
	return err;
}

KVBM_DATA_OP(match)
{
	struct kvbm_match args;
	struct kvbm_chunk c __uninitialized;
	struct holding h;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.pending | args.reserved32 | args.reserved) ?:
	      check_notes(ses, args.notes);
	if (err)
		return err;
	/* Before anything happens: can the structure be written? */
	h.u = uarg;
	if (unlikely(args.flags) && put_user(args.count, &h.u->pending))
		return -EFAULT;
	h.args = &args;
	h.c = &c;
	h.asked = args.count;
	err = kvbm_batch_run(&h.b, ses, args.count, KVBM_CHUNK, match_one);
	if (unlikely(err))
		return stopped(ses, &h.u->done, h.b.done, h.b.done, err);
	/* The holds are written already: they stand. */
	if (unlikely(args.flags && h.b.done < args.count))
		tell_pending(ses, &args, h.u, h.b.done);
	return h.b.done;
}

KVBM_DATA_OP(scan)
{
	struct kvbm_match args;
	struct kvbm_chunk c __uninitialized;
	struct holding h;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.pending | args.reserved32 | args.reserved) ?:
	      check_notes(ses, args.notes);
	if (err)
		return err;
	h.args = &args;
	h.u = uarg;
	h.c = &c;
	h.asked = args.count;
	h.hits = 0;
	err = kvbm_batch_run(&h.b, ses, args.count, KVBM_CHUNK, scan_one);
	if (unlikely(err))
		return stopped(ses, &h.u->done, h.b.done, h.hits, err);
	return h.b.done;
}

/* A weak reference is longer than a hash: smaller chunks. */
#define UPGRADE_CHUNK	(KVBM_CHUNK / 2)

struct upgrading {
	struct kvbm_batch b;
	const struct kvbm_upgrade *args;
	struct kvbm_upgrade __user *u;
	u32 hits;
	struct kvbm_weak *weak;
	u32 *gens;
	u32 *ids;
};

static __always_inline int upgrade_one(struct kvbm_batch *b, u32 n,
				       struct kvbm_step *step)
{
	struct upgrading *up = container_of(b, struct upgrading, b);
	struct kvbm_weak __user *uweaks = u64_to_user_ptr(up->args->weaks);
	u32 __user *ugens = u64_to_user_ptr(up->args->generations);
	u32 __user *uids = u64_to_user_ptr(up->args->ids);
	struct kvbm_session *ses = b->ses;
	u32 got, hit;

	if (copy_from_user(up->weak, uweaks + b->done, n * sizeof(up->weak[0])))
		return -EFAULT;
	got = kvbm_upgrade_chunk(ses, up->weak, up->ids, n, &hit, step);
	if ((got && copy_to_user(uids + b->done, up->ids,
				 got * sizeof(up->ids[0]))) ||
	    (ugens && tell_generations(ses->store, ugens + b->done, up->ids,
				       up->gens, got)) ||
	    kvbm_tell_end2(&up->u->done, b->done + got, up->hits + hit, 0)) {
		kvbm_unhold(ses, up->ids, got);
		return -EFAULT;
	}
	up->hits += hit;
	return got;
}

KVBM_DATA_OP(upgrade)
{
	struct kvbm_weak weak[UPGRADE_CHUNK] __uninitialized;
	u32 gens[UPGRADE_CHUNK] __uninitialized;
	u32 ids[UPGRADE_CHUNK] __uninitialized;
	struct upgrading up;
	struct kvbm_upgrade args;
	int err;

	err = fetch_batch(&args, uarg, usize, known, args.reserved);
	if (err)
		return err;
	up.args = &args;
	up.u = uarg;
	up.hits = 0;
	up.weak = weak;
	up.gens = gens;
	up.ids = ids;
	err = kvbm_batch_run(&up.b, ses, args.count, UPGRADE_CHUNK,
			     upgrade_one);
	if (unlikely(err))
		return stopped(ses, &up.u->done, up.b.done, up.hits, err);
	return up.b.done;
}

/* Operations that take only ids. */
static u32 ids_chunk(struct kvbm_session *ses, unsigned int op, u32 flags,
		     const u32 *ids, u32 n, struct kvbm_step *step)
{
	switch (op) {
	case KVBM_OP_RELEASE:
		return kvbm_release_chunk(ses, ids, n, flags, step);
	case KVBM_OP_RETAIN:
		return kvbm_retain_chunk(ses, ids, n, step);
	case KVBM_OP_UNSTAGE:
		return kvbm_unstage_chunk(ses, ids, n, step);
	default:
		return kvbm_set_reset_chunk(ses, ids, n,
					    flags & KVBM_SET_RESET_ON, step);
	}
}

struct naming {
	struct kvbm_batch b;
	const struct kvbm_ids *args;
	unsigned int op;
	u32 *ids;
};

static __always_inline int ids_one(struct kvbm_batch *b, u32 n,
				   struct kvbm_step *step)
{
	struct naming *nm = container_of(b, struct naming, b);
	u32 __user *uids = u64_to_user_ptr(nm->args->ids);
	int err = kvbm_fetch_ids(nm->ids, uids + b->done, n);

	return err ?: ids_chunk(b->ses, nm->op, nm->args->flags, nm->ids, n,
				step);
}

KVBM_DATA_OP(ids)
{
	struct kvbm_ids __user *u = uarg;
	u32 ids[KVBM_CHUNK] __uninitialized;
	struct kvbm_ids args;
	struct naming nm;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.reserved);
	if (err)
		return err;
	nm.args = &args;
	nm.op = op;
	nm.ids = ids;
	err = kvbm_batch_run(&nm.b, ses, args.count, KVBM_CHUNK, ids_one);
	return end_batch(&u->done, nm.b.done, err);
}

/*
 * Undo claims whose results could not be written.  Blocks that another thread
 * of the session has used meanwhile are skipped.
 */
static void unclaim(struct kvbm_session *ses, const struct kvbm_claiming *c,
		    const u32 *ids, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		struct kvbm_step step = KVBM_STEP_INIT;

		if (c->states[i] == KVBM_CLAIMED)
			kvbm_unstage_chunk(ses, &ids[i], 1, &step);
	}
}

/* With notes: smaller chunks. */
#define NOTED_CHUNK	(KVBM_CHUNK / 2)

struct staging {
	struct kvbm_batch b;
	const struct kvbm_stage *args;
	struct kvbm_claiming *claiming;
	struct kvbm_chunk *c;
	u64 *notes;
};

static __always_inline int stage_one(struct kvbm_batch *b, u32 n,
				     struct kvbm_step *step)
{
	struct staging *s = container_of(b, struct staging, b);
	const struct kvbm_stage *args = s->args;
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(args->hashes);
	u32 __user *utokens = u64_to_user_ptr(args->tokens);
	u8 __user *ustates = u64_to_user_ptr(args->states);
	u8 __user *unotes = u64_to_user_ptr(args->notes);
	u32 __user *uids = u64_to_user_ptr(args->ids);
	const u32 *tokens = args->tokens ? s->c->tokens : NULL;
	u32 got;

	if (copy_from_user(s->c->ids, uids + b->done, n * sizeof(*uids)) ||
	    copy_from_user(s->c->keys, uhashes + b->done,
			   n * sizeof(*uhashes)) ||
	    (tokens && copy_from_user(s->c->tokens, utokens + b->done,
				      n * sizeof(*utokens))) ||
	    (s->notes && fetch_notes(b->ses->store, s->notes, unotes +
				     (u64)b->done *
				     b->ses->store->cfg.note_bytes, n)))
		return -EFAULT;
	if (!(args->flags & KVBM_STAGE_CLAIM))
		return kvbm_stage_chunk(b->ses, s->c->ids, s->c->keys, tokens,
					s->notes, n, step);
	got = kvbm_claim_chunk(b->ses, s->c->ids, s->c->keys, tokens, s->notes,
			       n, s->claiming, step);
	if (!copy_to_user(ustates + b->done, s->claiming->states, got))
		return got;
	unclaim(b->ses, s->claiming, s->c->ids, got);
	return -EFAULT;
}

KVBM_DATA_OP(stage)
{
	struct kvbm_stage __user *u = uarg;
	struct kvbm_chunk c __uninitialized;
	struct kvbm_claiming claiming;
	struct kvbm_stage args;
	struct staging s;
	bool claim;
	u32 chunk;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.reserved);
	if (err)
		return err;
	claim = args.flags & KVBM_STAGE_CLAIM;
	if (claim != !!args.states)
		return -EINVAL;
	s.args = &args;
	s.claiming = &claiming;
	s.c = &c;
	/* Also bounds the bytes written under the lock. */
	chunk = args.notes ? NOTED_CHUNK : KVBM_CHUNK;
	err = notes_buffer(ses, args.notes, min(args.count, chunk), &s.notes);
	if (err)
		return err;
	kvbm_claiming_begin(&claiming);
	err = kvbm_batch_run(&s.b, ses, args.count, chunk, stage_one);
	kvbm_claiming_end(&claiming);
	if (unlikely(s.notes))
		kfree(s.notes);
	return end_batch(&u->done, s.b.done, err);
}

/* Hashes in and results out, not just ids: smaller chunks. */
#define REGISTER_CHUNK	(KVBM_CHUNK / 2)

struct registering {
	struct kvbm_batch b;
	const struct kvbm_register *args;
	struct kvbm_register __user *u;
	bool reject;
	struct kvbm_registered *out;
	struct kvbm_hash *keys;
	u32 *ids;
	u64 *notes;
};

static __always_inline int register_one(struct kvbm_batch *b, u32 n,
					struct kvbm_step *step)
{
	struct registering *r = container_of(b, struct registering, b);
	const struct kvbm_register *args = r->args;
	struct kvbm_registered __user *uout = u64_to_user_ptr(args->results);
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(args->hashes);
	u8 __user *unotes = u64_to_user_ptr(args->notes);
	u32 __user *uids = u64_to_user_ptr(args->ids);
	u32 got, i;

	if (copy_from_user(r->ids, uids + b->done, n * sizeof(*uids)) ||
	    (args->hashes && copy_from_user(r->keys, uhashes + b->done,
					    n * sizeof(*uhashes))) ||
	    (unlikely(r->notes) &&
	     fetch_notes(b->ses->store, r->notes, unotes + (u64)b->done *
			 b->ses->store->cfg.note_bytes, n)))
		return -EFAULT;
	got = kvbm_register_chunk(b->ses, r->ids, args->hashes ? r->keys : NULL,
				  r->notes, n, r->reject, r->out, step);
	if (!(got && copy_to_user(uout + b->done, r->out,
				  got * sizeof(*uout))) &&
	    !kvbm_tell_end(&r->u->done, b->done + got, 0))
		return got;
	for (i = 0; i < got; i++)
		r->ids[i] = r->out[i].block;
	kvbm_unhold(b->ses, r->ids, got);
	return -EFAULT;
}

KVBM_DATA_OP(register)
{
	struct kvbm_register __user *u = uarg;
	struct kvbm_registered out[REGISTER_CHUNK] __uninitialized;
	struct kvbm_hash keys[REGISTER_CHUNK] __uninitialized;
	u32 ids[REGISTER_CHUNK] __uninitialized;
	struct kvbm_register args;
	struct registering r;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.reserved[0] |
			  args.reserved[1]);
	if (err)
		return err;
	switch (args.flags) {
	case 0:
		r.reject = ses->store->cfg.reject;
		break;
	case KVBM_REGISTER_ALLOW:
		r.reject = false;
		break;
	case KVBM_REGISTER_REJECT:
		r.reject = true;
		break;
	default:
		return -EINVAL;
	}

	r.args = &args;
	r.u = u;
	r.out = out;
	r.keys = keys;
	r.ids = ids;
	err = notes_buffer(ses, args.notes,
			   min_t(u32, args.count, REGISTER_CHUNK), &r.notes);
	if (err)
		return err;
	err = kvbm_batch_run(&r.b, ses, args.count, REGISTER_CHUNK,
			     register_one);
	if (unlikely(r.notes))
		kfree(r.notes);
	if (unlikely(err)) {
		/* Edge-triggered pollers get an edge once there is more. */
		if (err == -EDQUOT)
			kvbm_poll_short(ses, 1);
		return end_batch(&u->done, r.b.done, err);
	}
	return r.b.done;
}

/**
 * struct alloc_answer - output of an allocation's results
 * @ses: the session
 * @ids: the caller's array of ids
 * @evictions: the caller's array of evicted hashes, or NULL
 * @done: ids written
 * @evicted: evictions written, or counted if there is no array
 * @deaf: evictions cannot be written
 * @err: why no more ids are written
 */
struct alloc_answer {
	struct kvbm_session *ses;
	u32 __user *ids;
	struct kvbm_evicted __user *evictions;
	u32 done;
	u32 evicted;
	bool deaf;
	int err;
};

static void answer_evictions(struct alloc_answer *t, const struct kvbm_chunk *c, u32 n,
			     u64 evicted)
{
	u32 i;

	for (i = 0; i < n && !t->deaf; i++) {
		struct kvbm_evicted e;

		if (!(evicted & BIT_ULL(i)))
			continue;
		e = (struct kvbm_evicted) {
			.hash = c->keys[i],
			.block = c->ids[i],
			.generation = c->generation[i],
		};
		if (t->evictions && copy_to_user(&t->evictions[t->evicted], &e,
						 sizeof(e))) {
			t->deaf = true;
			t->err = t->err ?: -EFAULT;
			break;
		}
		t->evicted++;
	}
}

/* Release blocks from element @at on, except those lost already. */
static noinline_for_stack void undo(struct alloc_answer *t,
				    const struct kvbm_chunk *c, u32 at, u32 n,
				    u64 evicted, u64 lost)
{
	u32 ids[KVBM_CHUNK] __uninitialized;
	u32 i;

	for (i = at; i < n; i++)
		ids[i - at] = lost & BIT_ULL(i) ? KVBM_NO_BLOCK : c->ids[i];
	if (at < n)
		kvbm_alloc_undo(t->ses, ids, n - at, evicted >> at);
}

/*
 * Write up to a chunk of the session's blocks.  Those whose ids were not even
 * written in part are released; once the call has failed, all are, before their
 * evicted hashes are written.
 */
static void answer_blocks(struct alloc_answer *t, const struct kvbm_chunk *c, u32 n,
			  u64 evicted, u64 lost)
{
	u32 known = 0;

	if (unlikely(t->err)) {
		undo(t, c, 0, n, evicted, lost);
		answer_evictions(t, c, n, evicted);
		return;
	}
	if (evicted)
		answer_evictions(t, c, n, evicted);
	if (likely(!t->err)) {
		known = n;
		if (unlikely(kvbm_tell_ids(t->ids + t->done, c->ids, n))) {
			size_t left = copy_to_user(t->ids + t->done, c->ids,
						   n * sizeof(*c->ids));

			known -= left / sizeof(*c->ids);
			t->err = -EFAULT;
		}
		t->done += known;
	}
	if (unlikely(known < n))
		undo(t, c, known, n, evicted, lost);
}

/*
 * Take all blocks, then write the results.  @taken: ids of more than a chunk; a
 * single chunk keeps the evicted hashes itself.
 */
static noinline_for_stack void
alloc_take(struct kvbm_alloc_ctx *t, struct alloc_answer *out, u32 *taken)
{
	struct kvbm_chunk c __uninitialized;
	u32 i, at, m, n = 0;
	bool failed;
	int err;

	do {
		if (taken)
			t->n = 0;
		err = kvbm_alloc_chunk(t, &c);
		failed = err && !t->reset_only;
		for (i = 0; taken && !failed && i < t->n; i++)
			taken[n++] = c.ids[i] | (t->evicted & BIT_ULL(i) ?
						 KVBM_TAKEN_EVICTED : 0);
		if (!err && t->left)
			err = kvbm_batch_pause();
	} while (!err && t->left);
	if (unlikely(err)) {
		kvbm_alloc_abort(t);
		/* Blocks from the free list alone: however many there are. */
		if (!t->reset_only)
			out->err = err;
	}
	if (!taken || failed)
		answer_blocks(out, &c, t->n, t->evicted, t->lost);
	for (at = 0; at < n; at += m) {
		u64 evicted;
		int gone;

		m = min(n - at, KVBM_CHUNK);
		gone = kvbm_alloc_results(t->ses, &taken[at], m, &c, &evicted);
		if (gone) {
			out->err = out->err ?: gone;
			break;
		}
		answer_blocks(out, &c, m, evicted, 0);
		cond_resched();
	}
	out->err = out->err ?: err;
}

/* 0: reserved, continue; -EAGAIN: it would have to wait, and may not. */
static int alloc_reserve(struct kvbm_alloc_ctx *t, struct kvbm_session *ses,
			 const struct kvbm_alloc *args, bool may_wait,
			 struct file *file, u32 *ticket)
{
	int err = -ENOSPC;

	/* A call with a place in the queue goes there. */
	if (!args->ticket)
		err = kvbm_alloc_begin(t, ses, args->count,
				       args->flags & KVBM_ALLOC_RESET_ONLY);
	if (!(args->flags & KVBM_ALLOC_WAIT) ||
	    (err != -ENOSPC && err != -EDQUOT))
		return err;
	/* If it may not sleep, the ring's worker tries again. */
	if (!may_wait)
		return -EAGAIN;
	return kvbm_alloc_wait(t, ses, args, file, ticket);
}

static int check_alloc(struct kvbm_session *ses, const struct kvbm_alloc *args,
		       u32 known)
{
	bool wait = args->flags & KVBM_ALLOC_WAIT;
	int err;

	err = check_batch(args->flags, known, 0,
			  args->reserved[0] | args->reserved[1]);
	if (err)
		return err;
	if (args->flags & (args->flags - 1) ||
	    args->count > ses->store->cfg.total ||
	    args->clock > KVBM_CLOCK_BOOTTIME ||
	    (!wait && (args->deadline_ns || args->clock)))
		return -EINVAL;
	if (args->flags == KVBM_ALLOC_GIVE_UP)
		return args->count ? -EINVAL : 0;
	return args->ticket && !wait ? -EINVAL : 0;
}

/*
 * Memory for the ids of more than a chunk.  Allocated only now: waiters have no
 * blocks yet, so the store's blocks bound all such memory.
 */
static int alloc_buffer(struct kvbm_alloc_ctx *t, u32 **taken)
{
	/* Nothing is reserved for it. */
	if (t->reset_only)
		t->left = min(t->left, READ_ONCE(t->ses->store->free.len));
	if (t->left <= KVBM_CHUNK)
		return 0;
	*taken = kvmalloc_array(t->left, sizeof(**taken),
				GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
				__GFP_RETRY_MAYFAIL);
	if (*taken)
		return 0;
	kvbm_alloc_abort(t);
	return -ENOMEM;
}

KVBM_DATA_OP(alloc)
{
	struct alloc_answer out = { .ses = ses };
	struct kvbm_alloc __user *u = uarg;
	struct kvbm_alloc args;
	struct kvbm_alloc_ctx t;
	u32 *taken = NULL;
	u32 ticket;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize) ?: check_alloc(ses, &args, known);
	if (err)
		return err;
	if (args.flags & KVBM_ALLOC_GIVE_UP)
		return kvbm_ticket_give_up(ses, args.ticket);
	/* Before anything happens: can the structure be written? */
	if (kvbm_tell_end2(&u->done, 0, 0, 0))
		return -EFAULT;
	ticket = args.ticket;
	err = alloc_reserve(&t, ses, &args, may_wait, file, &ticket);
	if (!err)
		err = alloc_buffer(&t, &taken);
	if (!err) {
		out.ids = u64_to_user_ptr(args.ids);
		out.evictions = u64_to_user_ptr(args.evictions);
		alloc_take(&t, &out, taken);
		err = out.err;
	}
	kvfree(taken);
	if (err == -EAGAIN)
		return err;
	if (unlikely(err))
		kvbm_alloc_failed(ses, err);
	/* Edge-triggered pollers get an edge once there is more. */
	if (err == -ENOSPC || err == -EDQUOT)
		kvbm_poll_short(ses, args.count);
	/* Nothing is reserved any more. */
	if (ticket != args.ticket && put_user(ticket, &u->ticket) && ticket) {
		kvbm_ticket_give_up(ses, ticket);
		err = -EFAULT;
	}
	if ((out.done || out.evicted || err) &&
	    kvbm_tell_end2(&u->done, out.done, out.evicted,
			   err == -ERESTARTSYS ? -EINTR : err) && !out.done)
		err = -EFAULT;
	return out.done ?: err;
}

/* An invalid hash is a miss here too. */
static void touch_valid(struct kvbm_store *st, struct kvbm_hash *keys, u32 n,
			bool newest)
{
	u32 i, valid = 0;

	for (i = 0; i < n; i++)
		if (kvbm_hash_fits(st, &keys[i]))
			keys[valid++] = keys[i];
	if (st->sketch)
		kvbm_sketch_touch(st->sketch, keys, valid);
	/* A long prune ends the chunk. */
	for (i = 0; newest && i < valid;)
		i += kvbm_newest_chunk(st, &keys[i], valid - i);
}

struct asking {
	struct kvbm_batch b;
	const struct kvbm_query *args;
	unsigned int op;
	struct kvbm_chunk *c;
	u8 *out;
};

static __always_inline int query_one(struct kvbm_batch *b, u32 n,
				     struct kvbm_step *step)
{
	struct asking *a = container_of(b, struct asking, b);
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(a->args->hashes);
	u8 __user *uout = u64_to_user_ptr(a->args->out);
	struct kvbm_store *st = b->ses->store;
	int err = READ_ONCE(b->ses->dead);
	u32 i;

	if (err)
		return err;
	if (copy_from_user(a->c->keys, uhashes + b->done, n * sizeof(*uhashes)))
		return -EFAULT;
	if (a->op == KVBM_OP_PRESENCE)
		kvbm_presence(st, a->c, n, a->out);
	else if (a->op == KVBM_OP_FREQUENCY)
		for (i = 0; i < n; i++)
			a->out[i] = kvbm_sketch_read(st->sketch, &a->c->keys[i]);
	else
		touch_valid(st, a->c->keys, n,
			    a->args->flags & KVBM_TOUCH_NEWEST);
	if (a->op == KVBM_OP_PRESENCE && a->args->flags & KVBM_PRESENCE_PENDING)
		kvbm_claims_seen(st, a->c, n, a->out);
	if (a->op != KVBM_OP_TOUCH && copy_to_user(uout + b->done, a->out, n))
		return -EFAULT;
	return n;
}

KVBM_DATA_OP(query)
{
	struct kvbm_query __user *u = uarg;
	struct kvbm_chunk c __uninitialized;
	u8 out[KVBM_CHUNK] __uninitialized;
	struct kvbm_query args;
	struct asking a;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.reserved |
			  (op == KVBM_OP_TOUCH ? args.out : 0));
	if (err)
		return err;
	a.args = &args;
	a.op = op;
	a.c = &c;
	a.out = out;
	err = kvbm_batch_run(&a.b, ses, args.count, KVBM_CHUNK, query_one);
	return end_batch(&u->done, a.b.done, err);
}

/* Copy in up to KVBM_MAX_WATCHED hashes. */
static int fetch_watched(struct kvbm_hash *keys, u64 uhashes, u32 count)
{
	BUILD_BUG_ON(KVBM_MAX_WATCHED > KVBM_CHUNK);
	if (count > KVBM_MAX_WATCHED)
		return -EINVAL;
	return kvbm_fetch_hashes(keys, u64_to_user_ptr(uhashes), count);
}

KVBM_DATA_OP(wait)
{
	struct kvbm_hash keys[KVBM_MAX_WATCHED] __uninitialized;
	struct kvbm_wait __user *u = uarg;
	struct kvbm_wait args;
	u32 left;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags & ~known || args.reserved32 || args.reserved[0] ||
	    args.reserved[1])
		return -EOPNOTSUPP;
	if (args.clock > KVBM_CLOCK_BOOTTIME)
		return -EINVAL;
	err = fetch_watched(keys, args.hashes, args.count);
	if (err)
		return err;
	err = kvbm_claims_wait(ses, &args, keys, may_wait, &left);
	if (err == -EAGAIN)
		return err;
	return put_user(left, &u->pending) ? -EFAULT : err;
}

KVBM_DATA_OP(watch)
{
	struct kvbm_hash keys[KVBM_MAX_WATCHED] __uninitialized;
	u8 states[KVBM_MAX_WATCHED] __uninitialized;
	struct kvbm_watch __user *u = uarg;
	struct kvbm_watch args;
	u32 pending;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags & ~known || args.reserved[0] || args.reserved[1])
		return -EOPNOTSUPP;
	err = fetch_watched(keys, args.hashes, args.count);
	if (err)
		return err;
	err = kvbm_claim_watch(ses, keys, args.count, states, &pending);
	if (err)
		return err;
	if (put_user(pending, &u->pending) ||
	    (args.states && copy_to_user(u64_to_user_ptr(args.states), states,
					 args.count))) {
		kvbm_claim_unwatch(ses);
		return -EFAULT;
	}
	return 0;
}

/**
 * kvbm_data_op() - one operation of the data path
 * @ses: the session
 * @op: enum kvbm_op, one that kvbm_is_data_op() knows
 * @uarg: its structure
 * @usize: its size as the caller knows it
 * @may_wait: an allocation, or WAIT, may sleep; otherwise -EAGAIN if it would
 *	have to
 * @file: the session's, in a system call on its descriptor; else NULL
 *
 * Return: elements done, or if there are none, -errno or 0.
 */
int kvbm_data_op(struct kvbm_session *ses, unsigned int op, void __user *uarg,
		 u32 usize, bool may_wait, struct file *file)
{
	switch (op) {
#define KVBM_DATA(_op, _handler, _what, _flags, ...)			\
	case KVBM_OP_##_op:						\
		return kvbm_op_##_handler(ses, KVBM_OP_##_op, _flags,	\
					  uarg, usize, may_wait, file);
#include "ops.def"
	default:
		return -ENOTTY;
	}
}
