/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_CAPABILITY_H
#define HOST_LINUX_CAPABILITY_H

#include_next <linux/capability.h>
#include <linux/types.h>
bool capable(int cap);
#define ns_capable(ns, cap) capable(cap)
#define ns_capable_noaudit(ns, cap) ((void)(ns), capable(cap))

#endif
