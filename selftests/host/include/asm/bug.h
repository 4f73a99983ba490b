/* SPDX-License-Identifier: MIT */
#ifndef HOST_ASM_BUG_H
#define HOST_ASM_BUG_H

#include <linux/bug.h>

#endif
