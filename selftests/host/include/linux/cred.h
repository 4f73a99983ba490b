/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_CRED_H
#define HOST_LINUX_CRED_H

#include <linux/capability.h>
#include <linux/uidgid.h>
/* The effective ones, or the test's; see host.h. */
kuid_t current_fsuid(void);
kgid_t current_fsgid(void);
bool in_group_p(kgid_t gid);
#define current_uid() current_fsuid()
#define current_gid() current_fsgid()
struct cred;
#define current_cred() ((const struct cred *)NULL)
#define current_euid() current_fsuid()
#define current_egid() current_fsgid()
struct user_namespace {
	struct user_namespace *parent;
	kuid_t owner;
};
extern struct user_namespace init_user_ns;
#define current_user_ns() (&init_user_ns)

#endif
