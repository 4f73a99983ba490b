/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_CONST_H
#define HOST_LINUX_CONST_H

#include <linux/compiler.h>
#include_next <linux/const.h>
#define UL(x) (_UL(x))
#define ULL(x) (_ULL(x))

#endif
