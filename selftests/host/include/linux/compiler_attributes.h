/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_COMPILER_ATTRIBUTES_H
#define HOST_LINUX_COMPILER_ATTRIBUTES_H

#include <linux/compiler.h>

#endif
