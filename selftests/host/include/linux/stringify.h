/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_STRINGIFY_H
#define HOST_LINUX_STRINGIFY_H

#include <linux/compiler.h>

#endif
