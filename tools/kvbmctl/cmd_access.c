// SPDX-License-Identifier: MIT
/* kvbmctl access: who may open and administer a store */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvbmctl.h"

struct access_args {
	const char *name;
	struct kvbm_store_access change;
};

static error_t parse_access(int key, char *arg, struct argp_state *state)
{
	struct access_args *args = state->input;
	struct kvbm_store_access *c = &args->change;

	switch (key) {
	case 'o':
		c->flags |= KVBM_ACCESS_UID;
		c->uid = user_id(state, "--owner", arg);
		return 0;
	case 'g':
		c->flags |= KVBM_ACCESS_GID;
		c->gid = group_id(state, "--group", arg);
		return 0;
	case 'm':
		c->flags |= KVBM_ACCESS_MODE;
		c->mode = mode_bits(state, arg);
		return 0;
	case KEY_MONITOR:
		c->flags |= KVBM_ACCESS_MONITOR;
		c->monitor_gid = strcmp(arg, "none") ?
				 group_id(state, "--monitor", arg) :
				 (uint32_t)-1;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one store at a time");
		args->name = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->name)
			argp_error(state, "the store's name is missing");
		if (!c->flags)
			argp_error(state, "nothing to change: --owner, --group, --mode or --monitor expected");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* The node has its own permissions: make them match the record. */
static int follow(const struct kvbm_store_info *info)
{
	char path[sizeof(KVBM_DEV_DIR) + KVBM_NAME_LEN];
	struct stat st;

	if (!*info->name || info->status & KVBM_STORE_DYING)
		return 0;
	snprintf(path, sizeof(path), "%s/%.*s", KVBM_DEV_DIR,
		 KVBM_NAME_LEN - 1, info->name);
	if (stat(path, &st))
		return -errno;
	if ((st.st_uid != info->uid || st.st_gid != info->gid) &&
	    chown(path, info->uid, info->gid))
		return -errno;
	if ((st.st_mode & 07777) != info->mode && chmod(path, info->mode))
		return -errno;
	return 0;
}

int cmd_access(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "owner", 'o', "USER", 0, "Owner", 0 },
		{ "group", 'g', "GROUP", 0, "Group", 0 },
		{ "mode", 'm', "OCTAL", 0, "Permissions, within 0660", 0 },
		{ "monitor", KEY_MONITOR, "GROUP", 0,
		  "Group that may read statistics, or none", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_access,
		.args_doc = "NAME",
		.doc = "Change who may open and administer a store: its own record, which decides, and its node, which can only narrow access. Open sessions stay open.",
	};
	struct access_args args = { 0 };
	struct kvbm_store_info info;
	struct kvbm_store_ref ref;
	char name[KVBM_NAME_LEN];
	int control, err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!parse_ref(args.name, &ref, name))
		return fail("'%s' cannot be the name of a store, nor @ and its id",
			    args.name);
	control = open_control();
	if (control < 0)
		return STATUS_FAILED;
	err = kvbm_store_access(control, &ref, &args.change);
	/* After giving the store away the caller may not look any more. */
	if (!err && kvbm_store_info_of(control, &ref, &info))
		memset(&info, 0, sizeof(info));
	close(control);
	if (err == -EPERM)
		return fail("no permission for this change of store '%s': only its owner or root may make it, as chown(2) allows",
			    args.name);
	if (err)
		return fail_request(args.name, err, "cannot change store '%s'",
				    args.name);
	err = follow(&info);
	if (err)
		return fail("store '%s' has changed, but not its node: %s",
			    args.name, strerror(-err));
	return STATUS_OK;
}
