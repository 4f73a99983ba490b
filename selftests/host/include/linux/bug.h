/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_BUG_H
#define HOST_LINUX_BUG_H

#include <linux/compiler.h>
#include <linux/build_bug.h>

/*
 * A warning ends the process, with a backtrace, unless the test has said
 * with host_warn_expect() that it provokes one.
 */
void host_warn(const char *file, int line, const char *what) __cold;
void host_printk(const char *fmt, ...) __printf(1, 2) __cold;
void host_bug(const char *file, int line, const char *what) __cold __noreturn;

#define BUG() host_bug(__FILE__, __LINE__, "BUG()")
#define BUG_ON(cond)                                               \
	do {                                                       \
		if (unlikely(cond))                                \
			host_bug(__FILE__, __LINE__, #cond);       \
	} while (0)
#define WARN_ON(cond) ({                                           \
	bool __host_w = !!(cond);                                  \
	if (unlikely(__host_w))                                    \
		host_warn(__FILE__, __LINE__, #cond);              \
	unlikely(__host_w); })
#define WARN(cond, fmt...) ({                                      \
	bool __host_w = !!(cond);                                  \
	if (unlikely(__host_w)) {                                  \
		host_printk(fmt);                                  \
		host_warn(__FILE__, __LINE__, #cond);              \
	}                                                          \
	unlikely(__host_w); })
#define WARN_ON_ONCE(cond) WARN_ON(cond)
#define WARN_ONCE(cond, fmt...) WARN(cond, fmt)
#define VM_BUG_ON(cond) BUG_ON(cond)
#define VM_WARN_ON_ONCE(cond) WARN_ON(cond)

#endif
