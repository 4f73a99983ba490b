/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_IO_URING_H
#define HOST_LINUX_IO_URING_H

#include <linux/fs.h>
enum io_uring_cmd_flags {
	IO_URING_F_COMPLETE_DEFER = 1,
	IO_URING_F_UNLOCKED = 2,
	IO_URING_F_NONBLOCK = (int)0x80000000,
};

struct io_uring_cmd {
	struct file *file;
	const void *cmd;
	u32 cmd_op;
	ssize_t result;		/* what io_uring_cmd_done() was told */
	bool done;
};

static inline void io_uring_cmd_done(struct io_uring_cmd *cmd, ssize_t ret,
				     ssize_t res2, unsigned int issue_flags)
{
	cmd->result = ret;
	cmd->done = true;
}

#endif
