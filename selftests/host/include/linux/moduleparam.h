/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_MODULEPARAM_H
#define HOST_LINUX_MODULEPARAM_H

#include <linux/init.h>
#include <linux/kernel.h>

/* A parameter, for host_set_param(): in a section, as the kernel has them. */
struct host_param {
	const char *name;
	void *value;
	size_t size;
};

#define module_param_named(_name, _value, type, perm)			\
	static const struct host_param host_param_##_name		\
	__attribute__((used, section("host_params"))) = {		\
		#_name, &(_value), sizeof(_value)			\
	}
#define module_param(name, type, perm)	module_param_named(name, name, type, perm)
#define module_param_array(name, type, nump, perm) HOST_EMPTY_DECL(param, name)
#define MODULE_PARM_DESC(parm, desc) HOST_EMPTY_DECL(desc, parm)

#endif
