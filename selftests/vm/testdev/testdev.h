/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What selftests/vm/testdev takes. */
#ifndef TESTDEV_H
#define TESTDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct testdev_start - pin memory and write into it
 * @address: of whole pages
 * @bytes: how much
 * @teardown_ms: how long it goes on after the last close
 * @flags: TESTDEV_*
 * @byte: what it writes
 */
struct testdev_start {
	__u64 address;
	__u64 bytes;
	__u32 teardown_ms;
	__u32 flags;
	__u32 byte;
	__u32 reserved;
};

#define TESTDEV_PIN_ONLY	1

#define TESTDEV_START	_IOW('t', 1, struct testdev_start)

#endif /* TESTDEV_H */
