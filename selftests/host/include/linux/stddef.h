/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_STDDEF_H
#define HOST_LINUX_STDDEF_H

#include <linux/types.h>
#include_next <linux/stddef.h>
#include <stddef.h>
#define sizeof_field(TYPE, MEMBER) sizeof((((TYPE *)0)->MEMBER))
#define offsetofend(TYPE, MEMBER) \
	(offsetof(TYPE, MEMBER) + sizeof_field(TYPE, MEMBER))
#define struct_group(NAME, MEMBERS...) union { struct { MEMBERS }; \
	struct { MEMBERS } NAME; }

#endif
