/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_IRQFLAGS_H
#define HOST_LINUX_IRQFLAGS_H

#include <linux/preempt.h>

#endif
