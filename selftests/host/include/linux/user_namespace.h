/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_USER_NAMESPACE_H
#define HOST_LINUX_USER_NAMESPACE_H

#include <linux/cred.h>

#endif
