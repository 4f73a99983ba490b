/* SPDX-License-Identifier: MIT */
#ifndef HOST_HARNESS_H
#define HOST_HARNESS_H

/*
 * The kernel's kselftest_harness.h, for tests of code that includes the
 * stand-ins. To be included after them. Every TEST() runs in a process of its
 * own and so starts with the hooks of host.h as they are at first.
 */
#ifdef HOST_COV	/* what such a process counted goes to gcov's files */
#include <unistd.h>
void __gcov_dump(void);
#define _exit(status) (__gcov_dump(), _exit(status))
#endif
#undef is_signed_type	/* the harness has one that takes types as well */
#include "kselftest_harness.h"

#endif
