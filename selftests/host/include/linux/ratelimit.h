/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_RATELIMIT_H
#define HOST_LINUX_RATELIMIT_H

#include <linux/printk.h>

#endif
