/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SWAP_H
#define HOST_LINUX_SWAP_H

#include <linux/mm.h>

#endif
