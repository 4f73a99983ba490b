// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * data.c - the data path: decode user memory, call the core, encode
 *
 * Each operation goes through its batch chunk by chunk: copy in to the stack,
 * do it, copy out.  No lock is held while user memory is touched, and nothing
 * that anybody would have to wait for: a caller may be stuck there for ever, in
 * a page that another process does not provide.  What a chunk took is the
 * session's by then, and goes when that is ended.
 *
 * A chunk that took holds tells how far the batch got (done) before the next one
 * begins; if that or its results cannot be written, its holds are given back.
 *
 * Kernels that clear automatic variables would spend more on a chunk's arrays
 * than small batches cost.  They are __uninitialized: of each, only elements
 * that were filled are read or told.
 *
 * ioctl and io_uring both come here.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "usercopy.h"
#include "claim.h"
#include "file.h"
#include "ops.h"
#include "sketch.h"

/*
 * The handler of the operations whose line in ops.def has its name.
 * @ses: the session
 * @op: enum kvbm_op
 * @known: the flags that it may have
 * @uarg: its structure
 * @usize: as much of it as the caller knows
 * @may_wait, @file: as kvbm_data_op() has them
 */
#define DATA_OP(_handler)						\
static noinline_for_stack int						\
op_##_handler(struct kvbm_session *ses, unsigned int op, u32 known,	\
	      void __user *uarg, u32 usize, bool may_wait, struct file *file)

/* Between chunks: a killed process goes, others get their turn. */
static inline int next_chunk(void)
{
	if (unlikely(fatal_signal_pending(current)))
		return -EINTR;
	cond_resched();
	return 0;
}

static inline int check_batch(u32 flags, u32 known, u32 count, u64 reserved)
{
	if (unlikely(flags & ~known || reserved))
		return -EOPNOTSUPP;
	return unlikely(count > KVBM_MAX_BATCH) ? -EINVAL : 0;
}

/* @reserved: all of the structure's fields that must be 0, or'ed. */
#define fetch_batch(args, uarg, usize, known, reserved)			\
	(kvbm_fetch_args(args, uarg, usize) ?:				\
	 check_batch((args)->flags, known, (args)->count, reserved))

/*
 * The end of a batch: the elements done, or if there are none, why.  What is
 * done stays so if that cannot be written: the caller has it as the result.
 */
static inline int end_batch(u32 __user *udone, u32 done, int err)
{
	if (kvbm_tell_end(udone, done, err) && !done)
		err = -EFAULT;
	return done ?: err;
}

/* Of a batch that has told its chunks already. */
static int stopped(struct kvbm_session *ses, u32 __user *udone, u32 done,
		   u32 hits, int err)
{
	/* Who polls for edges gets one when there is more. */
	if (err == -EDQUOT)
		kvbm_poll_short(ses, 1);
	if (kvbm_tell_end2(udone, done, hits, err) && !done)
		err = -EFAULT;
	return done ?: err;
}

/*
 * Of blocks that the session holds: their generation does not change.  If it
 * holds them no more, as another thread released them or it was ended, this is
 * of some later life, in which the hash tells.
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

/* After a chunk: fewer elements than asked for, and no reason to stop? */
static inline int after_chunk(struct kvbm_session *ses, bool partial,
			      struct kvbm_step *step)
{
	if (step->err)
		return step->err;
	if (unlikely(partial))
		return kvbm_session_ready(ses, step);
	return next_chunk();
}

/*
 * What a chunk of holds came to.  -EFAULT: it was given back, or had nothing to
 * tell.
 */
static __always_inline int
tell_holds(struct kvbm_session *ses, const struct kvbm_match *args,
	   struct kvbm_match __user *u, struct kvbm_chunk *c, u32 done, u32 got,
	   u32 hits)
{
	u32 __user *ugens = u64_to_user_ptr(args->generations);
	u32 __user *uids = u64_to_user_ptr(args->ids);

	if (likely(!kvbm_tell_ids(uids + done, c->ids, got) &&
		   !(args->generations &&
		     tell_generations(ses->store, ugens + done, c->ids,
				      c->generation, got)) &&
		   !kvbm_tell_end2(&u->done, done + got, hits, 0)))
		return 0;
	kvbm_unhold(ses, c->ids, got);
	return -EFAULT;
}

/* After a match that held @done: where is the first hash that is pending? */
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
		err = next_chunk();
	}
	return err;
}

DATA_OP(match)
{
	struct kvbm_match __user *u = uarg;
	struct kvbm_hash __user *uhashes;
	struct kvbm_match args;
	struct kvbm_chunk c __uninitialized;
	u32 done = 0, asked;	/* by the query, counted once */
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.notes | args.pending | args.reserved32 |
			  args.reserved);
	if (err)
		return err;
	/* Nothing has happened yet: a structure that cannot be written is known. */
	if (unlikely(args.flags) && put_user(args.count, &u->pending))
		return -EFAULT;
	uhashes = u64_to_user_ptr(args.hashes);
	asked = args.count;

	do {
		u32 got, n = min(args.count - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		err = kvbm_fetch_hashes(c.keys, uhashes + done, n);
		if (err)
			break;
		got = kvbm_match_chunk(ses, &c, n, asked, &step);
		asked = 0;
		err = tell_holds(ses, &args, u, &c, done, got, done + got);
		if (err)
			break;
		done += got;
		if (step.stop) {
			/* What is held is told already: it stands. */
			if (unlikely(args.flags))
				tell_pending(ses, &args, u, done);
			return done;
		}
		err = after_chunk(ses, got < n, &step);
	} while (!err && done < args.count);
	if (unlikely(err))
		return stopped(ses, &u->done, done, done, err);
	return done;
}

DATA_OP(scan)
{
	struct kvbm_match __user *u = uarg;
	struct kvbm_hash __user *uhashes;
	struct kvbm_match args;
	struct kvbm_chunk c __uninitialized;
	u32 done = 0, hits = 0, asked;	/* by the query, counted once */
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.notes | args.pending | args.reserved32 |
			  args.reserved);
	if (err)
		return err;
	uhashes = u64_to_user_ptr(args.hashes);
	asked = args.count;

	do {
		u32 got, hit, n = min(args.count - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		err = kvbm_fetch_hashes(c.keys, uhashes + done, n);
		if (err)
			break;
		got = kvbm_scan_chunk(ses, &c, n, asked,
				      args.flags & KVBM_SCAN_TOUCH, &hit,
				      &step);
		asked = 0;
		err = tell_holds(ses, &args, u, &c, done, got, hits + hit);
		if (err)
			break;
		done += got;
		hits += hit;
		err = after_chunk(ses, got < n, &step);
	} while (!err && done < args.count);
	if (unlikely(err))
		return stopped(ses, &u->done, done, hits, err);
	return done;
}

/* A weak reference is longer than a hash: smaller chunks. */
#define UPGRADE_CHUNK	(KVBM_CHUNK / 2)

DATA_OP(upgrade)
{
	struct kvbm_upgrade __user *u = uarg;
	struct kvbm_weak weak[UPGRADE_CHUNK] __uninitialized;
	u32 gens[UPGRADE_CHUNK] __uninitialized;
	u32 ids[UPGRADE_CHUNK] __uninitialized;
	struct kvbm_weak __user *uweaks;
	u32 __user *uids, *ugens;
	struct kvbm_upgrade args;
	u32 done = 0, hits = 0;
	int err;

	err = fetch_batch(&args, uarg, usize, known, args.reserved);
	if (err)
		return err;
	uweaks = u64_to_user_ptr(args.weaks);
	uids = u64_to_user_ptr(args.ids);
	ugens = u64_to_user_ptr(args.generations);

	do {
		u32 got, hit, n = min_t(u32, args.count - done, UPGRADE_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		err = -EFAULT;
		if (copy_from_user(weak, uweaks + done, n * sizeof(weak[0])))
			break;
		got = kvbm_upgrade_chunk(ses, weak, ids, n, &hit, &step);
		if ((got && copy_to_user(uids + done, ids,
					 got * sizeof(ids[0]))) ||
		    (ugens && tell_generations(ses->store, ugens + done, ids,
					       gens, got)) ||
		    kvbm_tell_end2(&u->done, done + got, hits + hit, 0)) {
			kvbm_unhold(ses, ids, got);
			break;
		}
		done += got;
		hits += hit;
		err = after_chunk(ses, got < n, &step);
	} while (!err && done < args.count);
	if (unlikely(err))
		return stopped(ses, &u->done, done, hits, err);
	return done;
}

/* What takes nothing but ids. */
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

DATA_OP(ids)
{
	struct kvbm_ids __user *u = uarg;
	u32 ids[KVBM_CHUNK] __uninitialized;
	struct kvbm_ids args;
	u32 __user *uids;
	u32 done = 0;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.reserved);
	if (err)
		return err;
	uids = u64_to_user_ptr(args.ids);

	do {
		u32 got, n = min(args.count - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		err = kvbm_fetch_ids(ids, uids + done, n);
		if (err)
			break;
		got = ids_chunk(ses, op, args.flags, ids, n, &step);
		done += got;
		err = after_chunk(ses, got < n, &step);
	} while (!err && done < args.count);
	return end_batch(&u->done, done, err);
}

/*
 * Claims of which the caller was not told.  What another thread of the session
 * made of its blocks meanwhile is passed over.
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

DATA_OP(stage)
{
	struct kvbm_stage __user *u = uarg;
	struct kvbm_claiming claiming;
	struct kvbm_stage args;
	struct kvbm_chunk c __uninitialized;
	u32 done = 0;
	bool claim;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.notes | args.reserved);
	if (err)
		return err;
	claim = args.flags & KVBM_STAGE_CLAIM;
	if (claim != !!args.states)
		return -EINVAL;
	kvbm_claiming_begin(&claiming);

	do {
		u8 __user *ustates = u64_to_user_ptr(args.states);
		u32 got, n = min(args.count - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;
		u32 __user *uids = u64_to_user_ptr(args.ids);
		u32 __user *utokens = u64_to_user_ptr(args.tokens);
		struct kvbm_hash __user *uhashes;

		uhashes = u64_to_user_ptr(args.hashes);
		if (copy_from_user(c.ids, uids + done, n * sizeof(*uids)) ||
		    copy_from_user(c.keys, uhashes + done,
				   n * sizeof(*uhashes)) ||
		    (args.tokens && copy_from_user(c.tokens, utokens + done,
						   n * sizeof(*utokens)))) {
			err = -EFAULT;
			break;
		}
		if (!claim) {
			got = kvbm_stage_chunk(ses, c.ids, c.keys,
					       args.tokens ? c.tokens : NULL,
					       n, &step);
		} else {
			got = kvbm_claim_chunk(ses, c.ids, c.keys,
					       args.tokens ? c.tokens : NULL,
					       n, &claiming, &step);
			if (copy_to_user(ustates + done, claiming.states,
					 got)) {
				unclaim(ses, &claiming, c.ids, got);
				err = -EFAULT;
				break;
			}
		}
		done += got;
		err = after_chunk(ses, got < n, &step);
	} while (!err && done < args.count);
	kvbm_claiming_end(&claiming);
	return end_batch(&u->done, done, err);
}

/* Hashes in and results out besides the ids: smaller chunks. */
#define REGISTER_CHUNK	(KVBM_CHUNK / 2)

DATA_OP(register)
{
	struct kvbm_register __user *u = uarg;
	struct kvbm_registered out[REGISTER_CHUNK] __uninitialized;
	struct kvbm_hash keys[REGISTER_CHUNK] __uninitialized;
	u32 ids[REGISTER_CHUNK] __uninitialized;
	struct kvbm_register args;
	bool reject;
	u32 done = 0;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.notes | args.reserved[0] |
			  args.reserved[1]);
	if (err)
		return err;
	switch (args.flags) {
	case 0:
		reject = ses->store->cfg.reject;
		break;
	case KVBM_REGISTER_ALLOW:
		reject = false;
		break;
	case KVBM_REGISTER_REJECT:
		reject = true;
		break;
	default:
		return -EINVAL;
	}

	do {
		u32 got, i, n = min_t(u32, args.count - done, REGISTER_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;
		struct kvbm_registered __user *uout;
		struct kvbm_hash __user *uhashes;
		u32 __user *uids;

		uids = u64_to_user_ptr(args.ids);
		uhashes = u64_to_user_ptr(args.hashes);
		uout = u64_to_user_ptr(args.results);
		err = -EFAULT;
		if (copy_from_user(ids, uids + done, n * sizeof(*uids)) ||
		    (args.hashes && copy_from_user(keys, uhashes + done,
						   n * sizeof(*uhashes))))
			break;
		got = kvbm_register_chunk(ses, ids, args.hashes ? keys : NULL,
					  n, reject, out, &step);
		if ((got && copy_to_user(uout + done, out,
					 got * sizeof(*uout))) ||
		    kvbm_tell_end(&u->done, done + got, 0)) {
			for (i = 0; i < got; i++)
				ids[i] = out[i].block;
			kvbm_unhold(ses, ids, got);
			break;
		}
		done += got;
		err = after_chunk(ses, got < n, &step);
	} while (!err && done < args.count);
	if (unlikely(err)) {
		/* Who polls for edges gets one when there is more. */
		if (err == -EDQUOT)
			kvbm_poll_short(ses, 1);
		return end_batch(&u->done, done, err);
	}
	return done;
}

/**
 * struct telling - an allocation's results on their way to the caller
 * @ses: the session
 * @ids: where ids go
 * @evictions: where evicted hashes go; NULL: nowhere
 * @done: ids written
 * @evicted: evictions written, or if they go nowhere, counted
 * @deaf: evictions cannot be written
 * @err: why no more ids are written
 */
struct telling {
	struct kvbm_session *ses;
	u32 __user *ids;
	struct kvbm_evicted __user *evictions;
	u32 done;
	u32 evicted;
	bool deaf;
	int err;
};

static void tell_evictions(struct telling *t, const struct kvbm_chunk *c, u32 n,
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

/* Blocks from element @at on are given back, but for those lost already. */
static noinline_for_stack void undo(struct telling *t,
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
 * Up to a chunk of the session's blocks.  Those whose ids were not even written
 * in part are given back; once the call has failed, all are, before what they
 * held is told.
 */
static void tell_blocks(struct telling *t, const struct kvbm_chunk *c, u32 n,
			u64 evicted, u64 lost)
{
	u32 known = 0;

	if (unlikely(t->err)) {
		undo(t, c, 0, n, evicted, lost);
		tell_evictions(t, c, n, evicted);
		return;
	}
	if (evicted)
		tell_evictions(t, c, n, evicted);
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
 * Take all, then tell.  @taken: room for the ids of more than a chunk; a chunk
 * remembers by itself what its blocks held.
 */
static noinline_for_stack void
alloc_take(struct kvbm_taking *t, struct telling *out, u32 *taken)
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
			err = next_chunk();
	} while (!err && t->left);
	if (unlikely(err)) {
		kvbm_alloc_abort(t);
		/* What came from the free list alone is given as it is. */
		if (!t->reset_only)
			out->err = err;
	}
	if (!taken || failed)
		tell_blocks(out, &c, t->n, t->evicted, t->lost);
	for (at = 0; at < n; at += m) {
		u64 evicted;
		int gone;

		m = min(n - at, KVBM_CHUNK);
		gone = kvbm_alloc_told(t->ses, &taken[at], m, &c, &evicted);
		if (gone) {
			out->err = out->err ?: gone;
			break;
		}
		tell_blocks(out, &c, m, evicted, 0);
		cond_resched();
	}
	out->err = out->err ?: err;
}

/* 0: reserved, go on; -EAGAIN: it would have to wait, and may not. */
static int alloc_reserve(struct kvbm_taking *t, struct kvbm_session *ses,
			 const struct kvbm_alloc *args, bool may_wait,
			 struct file *file, u32 *ticket)
{
	int err = -ENOSPC;

	/* Who has a place in the queue goes there. */
	if (!args->ticket)
		err = kvbm_alloc_begin(t, ses, args->count,
				       args->flags & KVBM_ALLOC_RESET_ONLY);
	if (!(args->flags & KVBM_ALLOC_WAIT) ||
	    (err != -ENOSPC && err != -EDQUOT))
		return err;
	/* Where it may not sleep, the ring's worker tries again. */
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

DATA_OP(alloc)
{
	struct telling out = { .ses = ses };
	struct kvbm_alloc __user *u = uarg;
	struct kvbm_alloc args;
	struct kvbm_taking t;
	u32 *taken = NULL;
	u32 ticket;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize) ?: check_alloc(ses, &args, known);
	if (err)
		return err;
	if (args.flags & KVBM_ALLOC_GIVE_UP)
		return kvbm_ticket_give_up(ses, args.ticket);
	/* Nothing has happened yet: a structure that cannot be written is known. */
	if (kvbm_tell_end2(&u->done, 0, 0, 0))
		return -EFAULT;
	if (args.count > KVBM_CHUNK) {
		taken = kvmalloc_array(args.count, sizeof(*taken),
				       GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
				       __GFP_RETRY_MAYFAIL);
		if (!taken)
			return -ENOMEM;
	}
	ticket = args.ticket;
	err = alloc_reserve(&t, ses, &args, may_wait, file, &ticket);
	if (!err) {
		out.ids = u64_to_user_ptr(args.ids);
		out.evictions = u64_to_user_ptr(args.evictions);
		alloc_take(&t, &out, taken);
		err = out.err;
	}
	kvfree(taken);
	if (err == -EAGAIN)
		return err;
	/* Who polls for edges gets one when there is more. */
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

/* A hash that cannot be registered is a miss here too. */
static void touch_valid(struct kvbm_store *st, struct kvbm_hash *keys, u32 n)
{
	u32 i, valid = 0;

	for (i = 0; i < n; i++)
		if (kvbm_hash_fits(st, &keys[i]))
			keys[valid++] = keys[i];
	kvbm_sketch_touch(st->sketch, keys, valid);
}

DATA_OP(query)
{
	struct kvbm_query __user *u = uarg;
	struct kvbm_store *st = ses->store;
	struct kvbm_query args;
	struct kvbm_chunk c __uninitialized;
	u8 out[KVBM_CHUNK] __uninitialized;
	u32 done = 0;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved32 | args.reserved |
			  (op == KVBM_OP_TOUCH ? args.out : 0));
	if (err)
		return err;

	do {
		u32 i, n = min(args.count - done, KVBM_CHUNK);
		struct kvbm_hash __user *uhashes;
		u8 __user *uout;

		uhashes = u64_to_user_ptr(args.hashes);
		uout = u64_to_user_ptr(args.out);
		err = READ_ONCE(ses->dead);
		if (err)
			break;
		if (copy_from_user(c.keys, uhashes + done,
				   n * sizeof(*uhashes))) {
			err = -EFAULT;
			break;
		}
		if (op == KVBM_OP_PRESENCE)
			kvbm_presence(st, &c, n, out);
		else if (op == KVBM_OP_FREQUENCY)
			for (i = 0; i < n; i++)
				out[i] = kvbm_sketch_read(st->sketch,
							  &c.keys[i]);
		else if (st->sketch)
			touch_valid(st, c.keys, n);
		if (args.flags & KVBM_PRESENCE_PENDING)
			kvbm_claims_seen(st, &c, n, out);
		if (op != KVBM_OP_TOUCH && copy_to_user(uout + done, out, n)) {
			err = -EFAULT;
			break;
		}
		done += n;
		err = next_chunk();
	} while (!err && done < args.count);
	return end_batch(&u->done, done, err);
}

/* Hashes of a call that takes up to KVBM_MAX_WATCHED of them. */
static int fetch_watched(struct kvbm_hash *keys, u64 uhashes, u32 count)
{
	BUILD_BUG_ON(KVBM_MAX_WATCHED > KVBM_CHUNK);
	if (count > KVBM_MAX_WATCHED)
		return -EINVAL;
	return kvbm_fetch_hashes(keys, u64_to_user_ptr(uhashes), count);
}

DATA_OP(wait)
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

DATA_OP(watch)
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
 * @usize: as much of it as the caller knows
 * @may_wait: an allocation, or WAIT, may sleep; otherwise -EAGAIN says that it had to
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
		return op_##_handler(ses, KVBM_OP_##_op, _flags, uarg,	\
				     usize, may_wait, file);
#include "ops.def"
	default:
		return -ENOTTY;
	}
}
