/* SPDX-License-Identifier: MIT */
#ifndef HOST_HARNESS_H
#define HOST_HARNESS_H

/*
 * The kernel's kselftest_harness.h, for tests of code that includes the
 * stand-ins. To be included after them. Every TEST() runs in a process of its
 * own and so starts with the hooks of host.h as they are at first.
 */
#undef is_signed_type	/* the harness has one that takes types as well */
#include "kselftest_harness.h"

#endif
