/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_MODULEPARAM_H
#define HOST_LINUX_MODULEPARAM_H

#include <linux/init.h>
#include <linux/kernel.h>

#define module_param_named(name, value, type, perm) HOST_EMPTY_DECL(param, name)
#define module_param(name, type, perm) HOST_EMPTY_DECL(param, name)
#define module_param_array(name, type, nump, perm) HOST_EMPTY_DECL(param, name)
#define MODULE_PARM_DESC(parm, desc) HOST_EMPTY_DECL(desc, parm)

#endif
