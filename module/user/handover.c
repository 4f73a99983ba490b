// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * handover.c - OFFER, ACCEPT and WITHDRAW
 *
 * They follow the rules of data.c: no lock is held while user memory is
 * touched.
 */
#include <linux/file.h>
#include "batch.h"
#include "data.h"
#include "offer.h"

/* The ids of the holds to offer. */
static noinline_for_stack int
fetch_offered(struct kvbm_handover *o, const u32 __user *uids)
{
	u32 ids[KVBM_CHUNK] __uninitialized;
	u32 at, i, n;
	int err;

	for (at = 0; at < o->n; at += n) {
		n = min(o->n - at, KVBM_CHUNK);
		if (kvbm_fetch_ids(ids, uids + at, n))
			return -EFAULT;
		for (i = 0; i < n; i++)
			o->holds[at + i].id = ids[i];
		err = kvbm_batch_pause();
		if (err)
			return err;
	}
	return 0;
}

/* The only receiver: a session of the store that can accept. */
static int offer_to(struct kvbm_session *ses, struct file *file,
		    struct kvbm_file **to)
{
	*to = kvbm_file_of(file);
	if (!*to || !(*to)->writable)
		return -EBADF;
	if ((*to)->ses.store != ses->store)
		return -EXDEV;
	return &(*to)->ses == ses ? -EINVAL : 0;
}

static int offer(struct kvbm_session *ses, const struct kvbm_offer *args,
		 struct kvbm_offer __user *u, struct kvbm_file *to)
{
	struct kvbm_handover *o = kvbm_offer_new(ses, args->count);
	int err;

	if (!o)
		return -ENOMEM;
	/*
	 * Write the ticket before publishing: no offer exists that nobody
	 * knows.
	 */
	err = fetch_offered(o, u64_to_user_ptr(args->ids));
	if (!err && copy_to_user(&u->ticket, &o->ticket, sizeof(o->ticket)))
		err = -EFAULT;
	if (!err)
		err = kvbm_offer_begin(o, to ? &to->ses : NULL);
	kvbm_offer_put(o);
	if (!err && to)
		kvbm_poll_wake(to, KVBM_CHUNK);
	return err;
}

KVBM_DATA_OP(offer)
{
	struct kvbm_file *to = NULL;
	struct file *target = NULL;
	struct kvbm_offer args;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags & ~known || args.reserved[0] || args.reserved[1])
		return -EOPNOTSUPP;
	if (!args.count || args.count > KVBM_MAX_OFFERED)
		return -EINVAL;
	if (args.flags & KVBM_OFFER_DIRECT) {
		target = fget(args.fd);
		if (!target)
			return -EBADF;
		err = offer_to(ses, target, &to);
	} else if (args.fd) {
		err = -EINVAL;
	}
	if (!err)
		err = offer(ses, &args, uarg, to);
	if (target)
		fput(target);
	return err;
}

/* Before anything moves: without the ids the caller does not get the holds. */
static noinline_for_stack int
tell_offered(const struct kvbm_handover *o, const struct kvbm_accept *args,
	     struct kvbm_accept __user *u)
{
	u32 __user *uids = u64_to_user_ptr(args->ids);
	u32 ids[KVBM_CHUNK] __uninitialized;
	u32 at, i, n;
	int err;

	if (copy_to_user(&u->ticket, &o->ticket, sizeof(o->ticket)) ||
	    put_user(o->from, &u->session) || put_user(o->n, &u->total))
		return -EFAULT;
	if (args->count < o->n)
		return -EMSGSIZE;
	for (at = 0; at < o->n; at += n) {
		n = min(o->n - at, KVBM_CHUNK);
		for (i = 0; i < n; i++)
			ids[i] = o->holds[at + i].id;
		if (kvbm_tell_ids(uids + at, ids, n))
			return -EFAULT;
		err = kvbm_batch_pause();
		if (err)
			return err;
	}
	return 0;
}

KVBM_DATA_OP(accept)
{
	struct kvbm_accept __user *u = uarg;
	struct kvbm_handover *o;
	struct kvbm_accept args;
	u32 done = 0, total;
	bool direct;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags & ~known || args.reserved[0] || args.reserved[1])
		return -EOPNOTSUPP;
	direct = args.flags & KVBM_ACCEPT_DIRECT;
	if (args.count > KVBM_MAX_BATCH)
		return -EINVAL;
	if (direct && (args.ticket.hi || args.ticket.lo))
		return -EINVAL;
	err = READ_ONCE(ses->dead);
	if (err)
		return err;
	o = kvbm_offer_find(ses, direct ? NULL : &args.ticket);
	if (IS_ERR(o))
		return PTR_ERR(o);
	err = tell_offered(o, &args, u);
	if (!err)
		err = kvbm_offer_accept(o, ses, &done);
	/* Edge-triggered pollers get an edge once there is more. */
	if (err == -EDQUOT)
		kvbm_poll_short(ses, 1);
	total = o->n;
	kvbm_offer_put(o);
	/* Moved holds stay moved if this cannot be written. */
	if ((put_user(done, &u->done) || put_user(total, &u->total) ||
	     put_user(-err, &u->error)) && !done)
		err = -EFAULT;
	return done ?: err;
}

KVBM_DATA_OP(withdraw)
{
	struct kvbm_withdraw __user *u = uarg;
	struct kvbm_withdraw args;
	u32 done;
	int err;

	err = kvbm_fetch_args(&args, uarg, usize);
	if (err)
		return err;
	if (args.flags & ~known || args.reserved32 || args.reserved[0] ||
	    args.reserved[1])
		return -EOPNOTSUPP;
	/* Before anything happens: can the structure be written? */
	if (put_user(0, &u->done))
		return -EFAULT;
	err = kvbm_offer_withdraw(ses, &args.ticket, &done);
	if (!err && put_user(done, &u->done))
		err = -EFAULT;
	return err;
}
