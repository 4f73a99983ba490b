/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_BOTTOM_HALF_H
#define HOST_LINUX_BOTTOM_HALF_H

#include <linux/preempt.h>

#endif
