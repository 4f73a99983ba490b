/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_ARGS_H
#define HOST_LINUX_ARGS_H

#include <linux/compiler.h>

#endif
