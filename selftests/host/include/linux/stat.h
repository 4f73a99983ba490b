/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_STAT_H
#define HOST_LINUX_STAT_H

#include <sys/stat.h>

#endif
