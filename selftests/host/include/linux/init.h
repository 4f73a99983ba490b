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
#define module_init(fn) HOST_EMPTY_DECL(init, fn)
#define module_exit(fn) HOST_EMPTY_DECL(exit, fn)
#define late_initcall(fn) HOST_EMPTY_DECL(init, fn)

#endif
