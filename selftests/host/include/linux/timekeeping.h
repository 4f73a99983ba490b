/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_TIMEKEEPING_H
#define HOST_LINUX_TIMEKEEPING_H

#include <linux/ktime.h>

#endif
