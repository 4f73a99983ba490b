/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_INIT_H
#define HOST_LINUX_INIT_H

#include <linux/compiler.h>
#define __init
#define __exit
#define __initdata
#define __initconst
#define __exitdata
#define HOST_EMPTY_DECL(what, x) _Static_assert(1, #what)
/* One module a program: what insmod and rmmod would call. */
extern int (*const host_module_init)(void);
extern void (*const host_module_exit)(void);
#define module_init(fn) int (*const host_module_init)(void) = (fn)
#define module_exit(fn) void (*const host_module_exit)(void) = (fn)
#define late_initcall(fn) HOST_EMPTY_DECL(init, fn)

#endif
