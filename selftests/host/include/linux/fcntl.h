/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_FCNTL_H
#define HOST_LINUX_FCNTL_H

#include <fcntl.h>

#endif
