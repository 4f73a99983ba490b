/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_CRED_H
#define HOST_LINUX_CRED_H

#include <unistd.h>
#include <linux/capability.h>
#include <linux/uidgid.h>
#define current_uid() KUIDT_INIT(getuid())
#define current_gid() KGIDT_INIT(getgid())
#define current_euid() KUIDT_INIT(geteuid())
#define current_egid() KGIDT_INIT(getegid())
#define current_fsuid() current_euid()
#define current_fsgid() current_egid()
#define current_user_ns() ((void *)0)

#endif
