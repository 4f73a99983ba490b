/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PROCESSOR_H
#define HOST_LINUX_PROCESSOR_H

#include <asm/processor.h>

#endif
