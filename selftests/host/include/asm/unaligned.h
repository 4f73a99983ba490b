/* SPDX-License-Identifier: MIT */
#ifndef HOST_ASM_UNALIGNED_H
#define HOST_ASM_UNALIGNED_H

#include <linux/unaligned.h>

#endif
