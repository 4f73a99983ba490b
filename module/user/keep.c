// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * keep.c - KEEP: ranks for blocks, in batches like data.c
 */
#include <linux/ktime.h>
#include "batch.h"
#include "data.h"
#include "retain.h"

/* Each may take some steps in the heap of times: smaller chunks. */
#define KEEP_CHUNK	(KVBM_CHUNK / 2)

struct keeping {
	struct kvbm_batch b;
	const struct kvbm_keep *args;
	struct kvbm_keep_to to;
	struct kvbm_hash *keys;
	u32 *ids;
	u8 *results;
};

static __always_inline int keep_one(struct kvbm_batch *b, u32 n,
				    struct kvbm_step *step)
{
	struct keeping *k = container_of(b, struct keeping, b);
	struct kvbm_hash __user *uhashes = u64_to_user_ptr(k->args->hashes);
	u8 __user *uresults = u64_to_user_ptr(k->args->results);
	u32 __user *uids = u64_to_user_ptr(k->args->ids);
	u32 got;
	int err;

	err = uids ? kvbm_fetch_ids(k->ids, uids + b->done, n) :
		     kvbm_fetch_hashes(k->keys, uhashes + b->done, n);
	if (err)
		return err;
	got = kvbm_keep_chunk(b->ses, uids ? k->ids : NULL, k->keys, n, &k->to,
			      k->results, step);
	if (uresults && copy_to_user(uresults + b->done, k->results, got))
		return -EFAULT;
	return got;
}

/* The requested rank, with its expiry time on the kernel's clock. */
static int keep_to(const struct kvbm_keep *args, struct kvbm_keep_to *to)
{
	u64 ns = args->until_ns, now;

	if (args->rank > KVBM_RANK_KEEP ||
	    (ns && args->rank == KVBM_RANK_NORMAL) ||
	    (!ns && args->flags & KVBM_KEEP_RELATIVE))
		return -EINVAL;
	to->rank = args->rank;
	if (ns && args->flags & KVBM_KEEP_RELATIVE) {
		now = ktime_get_boottime_ns();
		ns = ns > U64_MAX - now ? U64_MAX : ns + now;
	} else if (ns) {
		/* 0 means never; a time before boot has passed. */
		ns = kvbm_kernel_ns(ns, KVBM_CLOCK_BOOTTIME) ?: 1;
	}
	to->until = kvbm_keep_until(ns);
	return 0;
}

KVBM_DATA_OP(keep)
{
	struct kvbm_hash keys[KEEP_CHUNK] __uninitialized;
	u8 results[KEEP_CHUNK] __uninitialized;
	u32 ids[KEEP_CHUNK] __uninitialized;
	struct kvbm_keep __user *u = uarg;
	struct kvbm_keep args;
	struct keeping k;
	int err;

	err = fetch_batch(&args, uarg, usize, known,
			  args.reserved[0] | args.reserved[1]);
	if (err)
		return err;
	if (!ses->store->retention)
		return -EOPNOTSUPP;
	if (!args.ids == !args.hashes)
		return -EINVAL;
	err = keep_to(&args, &k.to);
	if (err)
		return err;
	k.args = &args;
	k.keys = keys;
	k.ids = ids;
	k.results = results;
	err = kvbm_batch_run(&k.b, ses, args.count, KEEP_CHUNK, keep_one);
	return end_batch(&u->done, k.b.done, err);
}
