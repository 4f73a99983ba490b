/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SMP_H
#define HOST_LINUX_SMP_H

#include <linux/sched.h>

#endif
