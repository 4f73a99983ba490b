/* SPDX-License-Identifier: MIT */
#ifndef HOST_ASM_DIV64_H
#define HOST_ASM_DIV64_H

#include <linux/math64.h>

#endif
