/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_COMPILER_TYPES_H
#define HOST_LINUX_COMPILER_TYPES_H

#include <linux/compiler.h>

#endif
