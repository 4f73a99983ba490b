/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_MODULE_H
#define HOST_LINUX_MODULE_H

#include <linux/export.h>
#include <linux/moduleparam.h>
#include <linux/list.h>
#define MODULE_LICENSE(x) HOST_EMPTY_DECL(info, x)
#define MODULE_AUTHOR(x) HOST_EMPTY_DECL(info, x)
#define MODULE_DESCRIPTION(x) HOST_EMPTY_DECL(info, x)
#define MODULE_VERSION(x) HOST_EMPTY_DECL(info, x)
#define MODULE_ALIAS(x) HOST_EMPTY_DECL(info, x)
#define MODULE_IMPORT_NS(x) HOST_EMPTY_DECL(info, x)
#define MODULE_SOFTDEP(x) HOST_EMPTY_DECL(info, x)
struct module;
static inline bool try_module_get(struct module *m) { return true; }
static inline void __module_get(struct module *m) { }
static inline void module_put(struct module *m) { }

#endif
