/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_KSTRTOX_H
#define HOST_LINUX_KSTRTOX_H

#include <linux/kernel.h>

#endif
