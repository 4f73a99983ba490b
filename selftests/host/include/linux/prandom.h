/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PRANDOM_H
#define HOST_LINUX_PRANDOM_H

#include <linux/random.h>

#endif
