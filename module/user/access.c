// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * access.c - permission checks: the caller against a store's record of owner,
 * group and mode
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/sched.h>
#include <linux/user_namespace.h>
#include "file.h"

/**
 * kvbm_access_allows() - like inode_permission(), with this record
 * @a: the store's record
 * @want: 4 to read, 2 to write
 */
bool kvbm_access_allows(const struct kvbm_access *a, umode_t want)
{
	umode_t mode = a->mode;

	if (uid_eq(current_fsuid(), a->uid))
		mode >>= 6;
	else if (in_group_p(a->gid))
		mode >>= 3;
	return !(want & ~mode);
}

/* Not logged by audit: most callers do not need the capability. */
bool kvbm_capable(int cap)
{
	return ns_capable_noaudit(&init_user_ns, cap);
}

/**
 * kvbm_access_admin() - may the caller see and end others' sessions?
 * @a: the store's record
 */
bool kvbm_access_admin(const struct kvbm_access *a)
{
	return uid_eq(current_fsuid(), a->uid) || capable(CAP_SYS_ADMIN);
}

/**
 * kvbm_access_open() - may the caller learn the store's contents?
 * @a: the store's record
 */
bool kvbm_access_open(const struct kvbm_access *a)
{
	return uid_eq(current_fsuid(), a->uid) || kvbm_access_allows(a, 4) ||
	       capable(CAP_SYS_ADMIN);
}

/**
 * kvbm_access_read() - may the caller read statistics?
 * @a: the store's record
 */
bool kvbm_access_read(const struct kvbm_access *a)
{
	return uid_eq(current_fsuid(), a->uid) || kvbm_access_allows(a, 4) ||
	       (gid_valid(a->monitor) && in_group_p(a->monitor)) ||
	       capable(CAP_SYS_ADMIN);
}

/**
 * kvbm_payer_uid() - the user to charge for the caller's stores
 *
 * The owner of the outermost user namespace below the initial one, so all uids
 * available there count as one; but root is not charged for namespaces that he
 * gives to others.
 */
kuid_t kvbm_payer_uid(void)
{
	struct user_namespace *ns = current_user_ns();

	if (ns == &init_user_ns)
		return current_fsuid();
	while (ns->parent != &init_user_ns)
		ns = ns->parent;
	return uid_eq(ns->owner, GLOBAL_ROOT_UID) ? current_fsuid() :
						    ns->owner;
}
