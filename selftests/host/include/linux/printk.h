/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_PRINTK_H
#define HOST_LINUX_PRINTK_H

#include <linux/compiler.h>

/* To standard error; the test may switch it off, see host.h. */
void host_printk(const char *fmt, ...) __printf(1, 2) __cold;

#define KERN_EMERG ""
#define KERN_ALERT ""
#define KERN_CRIT ""
#define KERN_ERR ""
#define KERN_WARNING ""
#define KERN_NOTICE ""
#define KERN_INFO ""
#define KERN_DEBUG ""
#define KERN_CONT ""
#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif
#define printk(fmt, ...) host_printk(fmt, ##__VA_ARGS__)
#define pr_emerg(fmt, ...) host_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_alert(fmt, ...) host_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_crit(fmt, ...) host_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_err(fmt, ...) host_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn(fmt, ...) host_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_notice(fmt, ...) host_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_info(fmt, ...) host_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_cont(fmt, ...) host_printk(fmt, ##__VA_ARGS__)
#define pr_debug(fmt, ...)                                          \
	do {                                                        \
		if (0)                                              \
			host_printk(pr_fmt(fmt), ##__VA_ARGS__);    \
	} while (0)

/* Ten each for the life of the process. */
#define host_ratelimited(fn, fmt, ...)                                       \
	do {                                                                 \
		static unsigned int __n;                                     \
		if (__atomic_fetch_add(&__n, 1, __ATOMIC_RELAXED) < 10)      \
			fn(fmt, ##__VA_ARGS__);                              \
	} while (0)
#define host_once(fn, fmt, ...)                                              \
	do {                                                                 \
		static unsigned int __n;                                     \
		if (!__atomic_fetch_or(&__n, 1, __ATOMIC_RELAXED))           \
			fn(fmt, ##__VA_ARGS__);                              \
	} while (0)
#define pr_err_ratelimited(fmt, ...) \
	host_ratelimited(pr_err, fmt, ##__VA_ARGS__)
#define pr_warn_ratelimited(fmt, ...) \
	host_ratelimited(pr_warn, fmt, ##__VA_ARGS__)
#define pr_notice_ratelimited(fmt, ...) \
	host_ratelimited(pr_notice, fmt, ##__VA_ARGS__)
#define pr_info_ratelimited(fmt, ...) \
	host_ratelimited(pr_info, fmt, ##__VA_ARGS__)
#define pr_debug_ratelimited(fmt, ...) pr_debug(fmt, ##__VA_ARGS__)
#define printk_ratelimited(fmt, ...) \
	host_ratelimited(printk, fmt, ##__VA_ARGS__)
#define pr_err_once(fmt, ...) host_once(pr_err, fmt, ##__VA_ARGS__)
#define pr_warn_once(fmt, ...) host_once(pr_warn, fmt, ##__VA_ARGS__)
#define pr_info_once(fmt, ...) host_once(pr_info, fmt, ##__VA_ARGS__)

#endif
