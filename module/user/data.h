/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * data.h - shared by the handlers of the data path; see data.c
 */
#ifndef KVBM_DATA_H
#define KVBM_DATA_H

#include "file.h"
#include "ops.h"
#include "usercopy.h"

/*
 * KVBM_DATA_OP() - handler of the operations that name it in ops.def
 * @ses: the session
 * @op: enum kvbm_op
 * @known: the flags that it may have
 * @uarg: its structure
 * @usize: its size as the caller knows it
 * @may_wait, @file: as in kvbm_data_op()
 */
#define KVBM_DATA_OP(_handler)						\
noinline_for_stack int							\
kvbm_op_##_handler(struct kvbm_session *ses, unsigned int op, u32 known, \
		   void __user *uarg, u32 usize, bool may_wait, struct file *file)

#define KVBM_DATA(_op, _handler, ...)	KVBM_DATA_OP(_handler);
#include "ops.def"

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
 * The end of a batch: the elements done, or if there are none, the errno.  What
 * is done stays done if this cannot be written: the caller has it as the
 * result.
 */
static inline int end_batch(u32 __user *udone, u32 done, int err)
{
	if (kvbm_tell_end(udone, done, err) && !done)
		err = -EFAULT;
	return done ?: err;
}

#endif /* KVBM_DATA_H */
