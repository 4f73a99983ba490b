/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * compat.h - the only file that depends on kernel versions; 6.1 and later
 */
#ifndef KVBM_COMPAT_H
#define KVBM_COMPAT_H

#include <linux/device.h>
#include <linux/version.h>
#include <linux/kvbm.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
#include <linux/io_uring.h>
#else
#include <linux/io_uring/cmd.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define kvbm_class_create(name)	class_create(THIS_MODULE, name)
#else
#define kvbm_class_create(name)	class_create(name)
#endif

/* The argument of a device_type's devnode(). */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define kvbm_devnode_device	struct device
#else
#define kvbm_devnode_device	const struct device
#endif

/* The 16 bytes of payload of a uring command. */
static inline const struct kvbm_uring_cmd *
kvbm_uring_payload(struct io_uring_cmd *cmd)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	return cmd->cmd;
#elif LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	return io_uring_sqe_cmd(cmd->sqe);
#else
	return io_uring_sqe_cmd(cmd->sqe, struct kvbm_uring_cmd);
#endif
}

static inline void kvbm_uring_done(struct io_uring_cmd *cmd, int ret,
				   unsigned int issue_flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	io_uring_cmd_done(cmd, ret, 0, issue_flags);
#else
	io_uring_cmd_done(cmd, ret, issue_flags);
#endif
}

#endif /* KVBM_COMPAT_H */
