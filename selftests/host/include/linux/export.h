/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_EXPORT_H
#define HOST_LINUX_EXPORT_H

#include <linux/init.h>
#define EXPORT_SYMBOL(sym) HOST_EMPTY_DECL(export, sym)
#define EXPORT_SYMBOL_GPL(sym) HOST_EMPTY_DECL(export, sym)
#define EXPORT_SYMBOL_NS(sym, ns) HOST_EMPTY_DECL(export, sym)
#define EXPORT_SYMBOL_NS_GPL(sym, ns) HOST_EMPTY_DECL(export, sym)
#define THIS_MODULE ((struct module *)0)

#endif
