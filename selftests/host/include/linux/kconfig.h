/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_KCONFIG_H
#define HOST_LINUX_KCONFIG_H

/*
 * The configuration that the core is built for in user space: what Debian's
 * amd64 kernel has, where the core or the borrowed kernel sources look at it.
 */
#define CONFIG_64BIT 1
#define CONFIG_SMP 1
#define CONFIG_MMU 1
#define CONFIG_HZ 250

/* Variants with checks are told so by the Makefile, with -DHOST_DEBUG. */
#ifdef HOST_DEBUG
#define CONFIG_DEBUG_SPINLOCK 1
#define CONFIG_KASAN 1
#endif

#define __ARG_PLACEHOLDER_1 0,
#define __take_second_arg(__ignored, val, ...) val
#define ____host_defined(arg1_or_junk) __take_second_arg(arg1_or_junk 1, 0)
#define ___host_defined(val) ____host_defined(__ARG_PLACEHOLDER_##val)
#define __host_defined(x) ___host_defined(x)
#define IS_BUILTIN(option) __host_defined(option)
#define IS_MODULE(option) __host_defined(option##_MODULE)
#define IS_ENABLED(option) (IS_BUILTIN(option) || IS_MODULE(option))
#define IS_REACHABLE(option) IS_ENABLED(option)

#ifndef KBUILD_MODNAME
#define KBUILD_MODNAME "kvbm"
#endif

#endif
