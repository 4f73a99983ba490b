/* SPDX-License-Identifier: MIT */
/*
 * The data path through io_uring, with liburing.
 *
 * Everything here is inline: a program that uses it links liburing (for its
 * rings) and, for the rest of kvbm.h, libkvbm; libkvbm itself does not depend on
 * liburing.
 *
 *	struct kvbm_match args;
 *
 *	kvbm_args_match(&args, 0, n, hashes, ids);
 *	sqe = io_uring_get_sqe(&ring);
 *	kvbm_prep_match(sqe, session, &args);
 *	io_uring_sqe_set_data(sqe, &args);
 *	io_uring_submit(&ring);
 *
 * The completion's res is what the function of kvbm.h would return: >= 0 or
 * -errno; args.done and the other outputs are filled in by then.  The structure
 * and its arrays must stay valid and untouched until the completion.
 *
 * @fd is a session, or the index of one among the ring's registered files when
 * the caller then sets IOSQE_FIXED_FILE.  The rings are ordinary ones
 * (64-byte SQEs).  An allocation with KVBM_ALLOC_WAIT that has to wait does so
 * in one of the ring's workers, and can be cancelled and linked to a timeout
 * like any other request; it then completes with -EINTR or -ECANCELED.
 *
 * Links run one after the other, which makes them a transaction of one system
 * call.  A request that fails breaks the link; note that a match that finds
 * nothing does not fail.
 */
#ifndef KVBM_URING_H
#define KVBM_URING_H

#include <stddef.h>
#include <liburing.h>
#include <kvbm_args.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * kvbm_prep_op() - fill in an SQE for any operation of the data path
 * @sqe: out; user_data is left alone, as by liburing's own functions
 * @fd: a session
 * @op: enum kvbm_op
 * @args: the operation's structure
 * @size: its size, as in its first field
 */
static inline void kvbm_prep_op(struct io_uring_sqe *sqe, int fd, uint32_t op,
				const void *args, uint32_t size)
{
	struct kvbm_uring_cmd cmd;

	cmd.args = kvbm_args_ptr(args);
	cmd.size = size;
	cmd.flags = 0;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->cmd_op = op;
	/* Not sqe->cmd: its declared length is 0. */
	memcpy((char *)sqe + offsetof(struct io_uring_sqe, cmd), &cmd,
	       sizeof(cmd));
}

/*
 * kvbm_prep_*() - fill in an SQE
 * @sqe: out; user_data is left alone
 * @fd: a session
 * @args: filled in by the kvbm_args_*() function for it
 *
 * kvbm_prep_register() with hashes in @args stages and registers.
 */
static inline void kvbm_prep_alloc(struct io_uring_sqe *sqe, int fd,
				   struct kvbm_alloc *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_ALLOC, args, args->size);
}

static inline void kvbm_prep_stage(struct io_uring_sqe *sqe, int fd,
				   struct kvbm_stage *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_STAGE, args, args->size);
}

static inline void kvbm_prep_unstage(struct io_uring_sqe *sqe, int fd,
				     struct kvbm_ids *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_UNSTAGE, args, args->size);
}

static inline void kvbm_prep_register(struct io_uring_sqe *sqe, int fd,
				      struct kvbm_register *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_REGISTER, args, args->size);
}

static inline void kvbm_prep_match(struct io_uring_sqe *sqe, int fd,
				   struct kvbm_match *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_MATCH, args, args->size);
}

static inline void kvbm_prep_scan(struct io_uring_sqe *sqe, int fd,
				  struct kvbm_match *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_SCAN, args, args->size);
}

static inline void kvbm_prep_release(struct io_uring_sqe *sqe, int fd,
				     struct kvbm_ids *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_RELEASE, args, args->size);
}

static inline void kvbm_prep_retain(struct io_uring_sqe *sqe, int fd,
				    struct kvbm_ids *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_RETAIN, args, args->size);
}

static inline void kvbm_prep_set_reset(struct io_uring_sqe *sqe, int fd,
				       struct kvbm_ids *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_SET_RESET, args, args->size);
}

static inline void kvbm_prep_upgrade(struct io_uring_sqe *sqe, int fd,
				     struct kvbm_upgrade *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_UPGRADE, args, args->size);
}

static inline void kvbm_prep_presence(struct io_uring_sqe *sqe, int fd,
				      struct kvbm_query *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_PRESENCE, args, args->size);
}

static inline void kvbm_prep_frequency(struct io_uring_sqe *sqe, int fd,
				       struct kvbm_query *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_FREQUENCY, args, args->size);
}

static inline void kvbm_prep_touch(struct io_uring_sqe *sqe, int fd,
				   struct kvbm_query *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_TOUCH, args, args->size);
}

static inline void kvbm_prep_wait(struct io_uring_sqe *sqe, int fd,
				  struct kvbm_wait *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_WAIT, args, args->size);
}

static inline void kvbm_prep_watch(struct io_uring_sqe *sqe, int fd,
				   struct kvbm_watch *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_WATCH, args, args->size);
}

static inline void kvbm_prep_offer(struct io_uring_sqe *sqe, int fd,
				   struct kvbm_offer *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_OFFER, args, args->size);
}

static inline void kvbm_prep_accept(struct io_uring_sqe *sqe, int fd,
				    struct kvbm_accept *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_ACCEPT, args, args->size);
}

static inline void kvbm_prep_withdraw(struct io_uring_sqe *sqe, int fd,
				      struct kvbm_withdraw *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_WITHDRAW, args, args->size);
}

static inline void kvbm_prep_keep(struct io_uring_sqe *sqe, int fd,
				  struct kvbm_keep *args)
{
	kvbm_prep_op(sqe, fd, KVBM_OP_KEEP, args, args->size);
}

#ifdef __cplusplus
}
#endif

#endif /* KVBM_URING_H */
