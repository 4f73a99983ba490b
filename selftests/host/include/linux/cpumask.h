/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_CPUMASK_H
#define HOST_LINUX_CPUMASK_H

#include <linux/percpu.h>

#endif
