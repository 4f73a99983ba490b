// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * uring.c - the data path as io_uring commands
 *
 * Commands complete inline.  An allocation that has to wait is never parked
 * with -EIOCBQUEUED: on 6.1 such a command cannot be cancelled and would pin a
 * dead process's session.  If it may not block it returns -EAGAIN, so that
 * a worker of the ring takes it and sleeps there, interruptibly: cancellation,
 * timeouts, the ring's end and the process's death then end it.
 */
#include "compat.h"
#include "file.h"
#include "ops.h"

/**
 * kvbm_uring_cmd() - one IORING_OP_URING_CMD on a session's descriptor
 * @cmd: the command; its payload is struct kvbm_uring_cmd
 * @issue_flags: IO_URING_F_*
 *
 * kvbm_uring_done() delivers the result: 6.1 treats a positive return
 * value as a failure, which would break a chain of linked commands.
 */
int kvbm_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct kvbm_uring_cmd *payload = kvbm_uring_payload(cmd);
	struct kvbm_file *f = cmd->file->private_data;
	/* The entry may be shared with user space: read each field once. */
	u64 args = READ_ONCE(payload->args);
	u32 size = READ_ONCE(payload->size);
	u32 flags = READ_ONCE(payload->flags);
	u32 op = cmd->cmd_op;
	int ret;

	if (!kvbm_is_data_op(op))
		return -ENOTTY;
	if (flags)
		return -EOPNOTSUPP;
	ret = kvbm_file_enter(f, op);
	if (ret)
		return ret;
	ret = kvbm_data_op(&f->ses, op, u64_to_user_ptr(args), size,
			   !(issue_flags & IO_URING_F_NONBLOCK), NULL);
	if (ret == -EAGAIN)
		return ret;
	/* A worker of the ring has no system call to restart. */
	if (ret == -ERESTARTSYS)
		ret = -EINTR;
	if (ret <= 0)
		return ret;
	kvbm_uring_done(cmd, ret, issue_flags);
	return -EIOCBQUEUED;
}
