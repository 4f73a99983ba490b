// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * data.c - the data path: decode user memory, call the core, encode
 *
 * Each operation goes through its batch chunk by chunk: copy in to the stack,
 * do it, copy out.  No lock is held while user memory is touched.  A chunk that
 * took holds tells how far the batch got (done) before the next one begins; if
 * that or its results cannot be written, its holds are given back.
 *
 * Kernels that clear automatic variables would spend more on a chunk's arrays
 * than small batches cost.  They are __uninitialized: of each, only elements
 * that were filled are read or told.
 *
 * ioctl and io_uring both come here.
 */
#include <linux/sched/signal.h>
#include <linux/wait_bit.h>
#include "usercopy.h"
#include "file.h"
#include "sketch.h"

/* Between chunks: a killed process goes, others get their turn. */
static inline int next_chunk(void)
{
	if (unlikely(fatal_signal_pending(current)))
		return -EINTR;
	cond_resched();
	return 0;
}

/* A batch that ends before its chunk began says so too. */
static int fail_at(u32 done, u32 __user *udone, int err)
{
	return put_user(done, udone) ? -EFAULT : err;
}

static inline int check_batch(u32 flags, u32 known, u32 count, u64 reserved)
{
	if (unlikely(flags & ~known || reserved))
		return -EOPNOTSUPP;
	return unlikely(count > KVBM_MAX_BATCH) ? -EINVAL : 0;
}

/* Most operations are such. */
#define fetch_batch(args, uarg, usize, known)				\
	(kvbm_fetch_args(args, uarg, usize) ?:				\
	 check_batch((args)->flags, known, (args)->count, (args)->reserved))

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

static noinline_for_stack int
op_match(struct kvbm_session *ses, void __user *uarg, u32 usize)
{
	struct kvbm_match __user *u = uarg;
	struct kvbm_hash __user *uhashes;
	u32 __user *uids;
	struct kvbm_match args;
	struct kvbm_chunk c __uninitialized;
	u32 done = 0, asked;	/* by the query, counted once */
	int err;

	err = fetch_batch(&args, uarg, usize, 0);
	if (err)
		return err;
	uhashes = u64_to_user_ptr(args.hashes);
	uids = u64_to_user_ptr(args.ids);
	asked = args.count;

	do {
		u32 got, n = min(args.count - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		if (kvbm_fetch_hashes(c.keys, uhashes + done, n))
			return fail_at(done, &u->done, -EFAULT);
		got = kvbm_match_chunk(ses, &c, n, asked, &step);
		asked = 0;
		if (kvbm_tell_ids(uids + done, c.ids, got) ||
		    put_user(done + got, &u->hits) ||
		    put_user(done + got, &u->done)) {
			kvbm_unhold(ses, c.ids, got);
			return fail_at(done, &u->done, -EFAULT);
		}
		done += got;
		if (step.stop)
			break;
		err = after_chunk(ses, got < n, &step);
		if (err)
			return err;
	} while (done < args.count);
	return done;
}

static noinline_for_stack int
op_scan(struct kvbm_session *ses, void __user *uarg, u32 usize)
{
	struct kvbm_match __user *u = uarg;
	struct kvbm_hash __user *uhashes;
	u32 __user *uids;
	struct kvbm_match args;
	struct kvbm_chunk c __uninitialized;
	u32 done = 0, hits = 0, asked;	/* by the query, counted once */
	int err;

	err = fetch_batch(&args, uarg, usize, KVBM_SCAN_TOUCH);
	if (err)
		return err;
	uhashes = u64_to_user_ptr(args.hashes);
	uids = u64_to_user_ptr(args.ids);
	asked = args.count;

	do {
		u32 got, hit, n = min(args.count - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		if (kvbm_fetch_hashes(c.keys, uhashes + done, n))
			return fail_at(done, &u->done, -EFAULT);
		got = kvbm_scan_chunk(ses, &c, n, asked,
				      args.flags & KVBM_SCAN_TOUCH, &hit,
				      &step);
		asked = 0;
		if (kvbm_tell_ids(uids + done, c.ids, got) ||
		    put_user(hits + hit, &u->hits) ||
		    put_user(done + got, &u->done)) {
			kvbm_unhold(ses, c.ids, got);
			return fail_at(done, &u->done, -EFAULT);
		}
		done += got;
		hits += hit;
		err = after_chunk(ses, got < n, &step);
		if (err)
			return err;
	} while (done < args.count);
	return done;
}

/* A weak reference is longer than a hash: smaller chunks. */
#define UPGRADE_CHUNK	(KVBM_CHUNK / 2)

static noinline_for_stack int
op_upgrade(struct kvbm_session *ses, void __user *uarg, u32 usize)
{
	struct kvbm_upgrade __user *u = uarg;
	struct kvbm_weak weak[UPGRADE_CHUNK] __uninitialized;
	struct kvbm_weak __user *uweaks;
	u32 ids[UPGRADE_CHUNK] __uninitialized;
	u32 __user *uids;
	struct kvbm_upgrade args;
	u32 done = 0, hits = 0;
	int err;

	err = fetch_batch(&args, uarg, usize, 0);
	if (err)
		return err;
	uweaks = u64_to_user_ptr(args.weaks);
	uids = u64_to_user_ptr(args.ids);

	do {
		u32 got, hit, n = min_t(u32, args.count - done, UPGRADE_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		if (copy_from_user(weak, uweaks + done, n * sizeof(weak[0])))
			return fail_at(done, &u->done, -EFAULT);
		got = kvbm_upgrade_chunk(ses, weak, ids, n, &hit, &step);
		if ((got && copy_to_user(uids + done, ids,
					 got * sizeof(ids[0]))) ||
		    put_user(hits + hit, &u->hits) ||
		    put_user(done + got, &u->done)) {
			kvbm_unhold(ses, ids, got);
			return fail_at(done, &u->done, -EFAULT);
		}
		done += got;
		hits += hit;
		err = after_chunk(ses, got < n, &step);
		if (err)
			return err;
	} while (done < args.count);
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

static noinline_for_stack int op_ids(struct kvbm_session *ses, unsigned int op,
				     u32 known, void __user *uarg, u32 usize)
{
	struct kvbm_ids __user *u = uarg;
	u32 ids[KVBM_CHUNK] __uninitialized;
	struct kvbm_ids args;
	u32 __user *uids;
	u32 done = 0;
	int err;

	err = fetch_batch(&args, uarg, usize, known);
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
	if (put_user(done, &u->done))
		return -EFAULT;
	return err ?: done;
}

static noinline_for_stack int
op_stage(struct kvbm_session *ses, void __user *uarg, u32 usize)
{
	struct kvbm_stage __user *u = uarg;
	struct kvbm_stage args;
	struct kvbm_chunk c __uninitialized;
	u32 done = 0;
	int err;

	err = fetch_batch(&args, uarg, usize, 0);
	if (err)
		return err;

	do {
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
		got = kvbm_stage_chunk(ses, c.ids, c.keys,
				       args.tokens ? c.tokens : NULL, n, &step);
		done += got;
		err = after_chunk(ses, got < n, &step);
	} while (!err && done < args.count);
	if (put_user(done, &u->done))
		return -EFAULT;
	return err ?: done;
}

/* Hashes in and results out besides the ids: smaller chunks. */
#define REGISTER_CHUNK	(KVBM_CHUNK / 2)

static noinline_for_stack int
op_register(struct kvbm_session *ses, void __user *uarg, u32 usize)
{
	struct kvbm_register __user *u = uarg;
	struct kvbm_registered out[REGISTER_CHUNK] __uninitialized;
	struct kvbm_hash keys[REGISTER_CHUNK] __uninitialized;
	u32 ids[REGISTER_CHUNK] __uninitialized;
	struct kvbm_register args;
	bool reject;
	u32 done = 0;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	err = check_batch(args.flags,
			  KVBM_REGISTER_ALLOW | KVBM_REGISTER_REJECT,
			  args.count, args.reserved);
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
		if (copy_from_user(ids, uids + done, n * sizeof(*uids)) ||
		    (args.hashes && copy_from_user(keys, uhashes + done,
						   n * sizeof(*uhashes))))
			return fail_at(done, &u->done, -EFAULT);
		got = kvbm_register_chunk(ses, ids, args.hashes ? keys : NULL,
					  n, reject, out, &step);
		if ((got && copy_to_user(uout + done, out,
					 got * sizeof(*uout))) ||
		    put_user(done + got, &u->done)) {
			for (i = 0; i < got; i++)
				ids[i] = out[i].block;
			kvbm_unhold(ses, ids, got);
			return fail_at(done, &u->done, -EFAULT);
		}
		done += got;
		err = after_chunk(ses, got < n, &step);
		if (err)
			return err;
	} while (done < args.count);
	return done;
}

/* Take what was reserved and tell the caller; nothing is its own yet. */
static noinline_for_stack int
alloc_take(struct kvbm_taking *t, const struct kvbm_alloc *args,
	   struct kvbm_alloc __user *u)
{
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(args->hashes);
	u32 __user *uids = u64_to_user_ptr(args->ids);
	u32 done = 0, evicted = 0;
	struct kvbm_chunk c __uninitialized;
	int got, err;
	u32 ev;

	while (t->left) {
		got = kvbm_alloc_chunk(t, &c, &ev);
		if (got < 0)
			return got;
		if (got && copy_to_user(uids + done, c.ids,
					got * sizeof(*uids)))
			return -EFAULT;
		if (ev && args->hashes &&
		    copy_to_user(uhashes + evicted, c.keys,
				 ev * sizeof(*uhashes)))
			return -EFAULT;
		done += got;
		evicted += ev;
		if (!t->left)
			break;
		err = READ_ONCE(t->ses->dead) ?: next_chunk();
		if (err)
			return err;
	}
	if (put_user(done, &u->done) || put_user(evicted, &u->evicted))
		return -EFAULT;
	return done;
}

static noinline_for_stack int
op_alloc(struct kvbm_session *ses, void __user *uarg, u32 usize, bool may_wait)
{
	const u32 known = KVBM_ALLOC_RESET_ONLY | KVBM_ALLOC_WAIT;
	struct kvbm_alloc __user *u = uarg;
	struct kvbm_alloc args;
	struct kvbm_taking t;
	int ret = 0, err;
	bool wait;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	err = check_batch(args.flags, known, 0, args.reserved);
	if (err)
		return err;
	wait = args.flags & KVBM_ALLOC_WAIT;
	if (args.flags == known || args.count > ses->store->cfg.total ||
	    (!wait && args.deadline_ns))
		return -EINVAL;

	err = kvbm_alloc_begin(&t, ses, args.count,
			       args.flags & KVBM_ALLOC_RESET_ONLY, NULL);
	if (err == -ENOSPC && wait) {
		/* Where it may not sleep, the ring's worker tries again. */
		if (!may_wait)
			return -EAGAIN;
		err = kvbm_alloc_wait(&t, ses, args.count, args.deadline_ns);
	}
	if (!err) {
		ret = alloc_take(&t, &args, uarg);
		if (ret < 0) {
			kvbm_alloc_abort(&t);
			err = ret;
		} else {
			err = kvbm_alloc_commit(&t);
		}
	}
	/* A revocation waits until no allocation is under way. */
	if (unlikely(READ_ONCE(ses->dead)))
		wake_up_var(&ses->taking);
	return err ? fail_at(0, &u->done, err) : ret;
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

static noinline_for_stack int
op_query(struct kvbm_session *ses, unsigned int op, void __user *uarg,
	 u32 usize)
{
	struct kvbm_query __user *u = uarg;
	struct kvbm_store *st = ses->store;
	struct kvbm_query args;
	struct kvbm_chunk c __uninitialized;
	u8 out[KVBM_CHUNK] __uninitialized;
	u32 done = 0;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	err = check_batch(args.flags, 0, args.count,
			  op == KVBM_OP_TOUCH ? args.out : 0);
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
		if (op != KVBM_OP_TOUCH && copy_to_user(uout + done, out, n)) {
			err = -EFAULT;
			break;
		}
		done += n;
		err = next_chunk();
	} while (!err && done < args.count);
	if (put_user(done, &u->done))
		return -EFAULT;
	return err ?: done;
}

/**
 * kvbm_is_data_op() - does an operation belong to the data path?
 * @op: enum kvbm_op
 */
bool kvbm_is_data_op(unsigned int op)
{
	return op >= KVBM_OP_ALLOC && op <= KVBM_OP_TOUCH;
}

/**
 * kvbm_data_op() - one operation of the data path
 * @ses: the session
 * @op: enum kvbm_op, one that kvbm_is_data_op() knows
 * @uarg: its structure
 * @usize: as much of it as the caller knows
 * @may_wait: an allocation may sleep; otherwise -EAGAIN says that it had to
 *
 * Return: elements done, or -errno.
 */
int kvbm_data_op(struct kvbm_session *ses, unsigned int op, void __user *uarg,
		 u32 usize, bool may_wait)
{
	switch (op) {
	case KVBM_OP_MATCH:
		return op_match(ses, uarg, usize);
	case KVBM_OP_RELEASE:
		return op_ids(ses, KVBM_OP_RELEASE,
			      KVBM_RELEASE_MUTABLE | KVBM_RELEASE_STAGED |
			      KVBM_RELEASE_REGISTERED, uarg, usize);
	case KVBM_OP_ALLOC:
		return op_alloc(ses, uarg, usize, may_wait);
	case KVBM_OP_REGISTER:
		return op_register(ses, uarg, usize);
	case KVBM_OP_SCAN:
		return op_scan(ses, uarg, usize);
	case KVBM_OP_STAGE:
		return op_stage(ses, uarg, usize);
	case KVBM_OP_UNSTAGE:
		return op_ids(ses, KVBM_OP_UNSTAGE, 0, uarg, usize);
	case KVBM_OP_RETAIN:
		return op_ids(ses, KVBM_OP_RETAIN, 0, uarg, usize);
	case KVBM_OP_SET_RESET:
		return op_ids(ses, KVBM_OP_SET_RESET, KVBM_SET_RESET_ON, uarg,
			      usize);
	case KVBM_OP_UPGRADE:
		return op_upgrade(ses, uarg, usize);
	case KVBM_OP_PRESENCE:
	case KVBM_OP_FREQUENCY:
	case KVBM_OP_TOUCH:
		return op_query(ses, op, uarg, usize);
	default:
		return -ENOTTY;
	}
}
