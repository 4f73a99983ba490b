/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PANIC_H
#define HOST_LINUX_PANIC_H

#include <linux/kernel.h>

#endif
