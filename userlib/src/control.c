// SPDX-License-Identifier: MIT
/* Opening descriptors, and the requests of the control device. */
#include <fcntl.h>

#include "internal.h"

static int open_node(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static bool name_char(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return true;
	return !first && (c == '_' || c == '.' || c == '-');
}

/* Length of a store's name, or 0 if no store can have it. */
static size_t name_len(const char *name)
{
	size_t len;

	for (len = 0; name[len]; len++) {
		if (len == KVBM_NAME_LEN - 1 || !name_char(name[len], len == 0))
			return 0;
	}
	if (!strcmp(name, "control"))
		return 0;
	return len;
}

int kvbm_control_open(void)
{
	return open_node(KVBM_CONTROL_PATH);
}

int kvbm_open(const char *name)
{
	char path[sizeof(KVBM_DEV_DIR "/") + KVBM_NAME_LEN] = KVBM_DEV_DIR "/";
	size_t len;

	if (!name)
		return -EINVAL;
	if (name[0] == '/')
		return open_node(name);

	len = name_len(name);
	if (!len)
		return -EINVAL;
	memcpy(path + sizeof(KVBM_DEV_DIR "/") - 1, name, len + 1);
	return open_node(path);
}

int kvbm_store_create_init(struct kvbm_store_create *create, const char *name,
			   uint32_t total_blocks)
{
	size_t len = 0;

	if (name) {
		len = name_len(name);
		if (!len)
			return -EINVAL;
	}

	memset(create, 0, sizeof(*create));
	create->size = sizeof(*create);
	create->total_blocks = total_blocks;
	create->uid = UINT32_MAX;
	create->gid = UINT32_MAX;
	create->fd = -1;
	if (name)
		memcpy(create->name, name, len);
	return 0;
}

int kvbm_store_create_policy(struct kvbm_store_create *create,
			     const char *policy)
{
	size_t len = policy ? strlen(policy) : 0;

	if (len >= sizeof(create->policy))
		return -EINVAL;

	memset(create->policy, 0, sizeof(create->policy));
	if (len)
		memcpy(create->policy, policy, len);
	if (!strcmp(create->policy, "multi_lru") && !create->freq_capacity)
		create->freq_capacity = KVBM_FREQ_DEFAULT;
	return 0;
}

int kvbm_store_create(int control, struct kvbm_store_create *create)
{
	create->size = sizeof(*create);
	create->fd = -1;
	create->store_id = 0;
	return kvbm_ioctl(control, KVBM_IOC_STORE_CREATE, create);
}

int kvbm_store_destroy(int control, const char *name, uint32_t flags)
{
	struct kvbm_store_destroy args = {
		.size = sizeof(args),
		.flags = flags,
	};
	size_t len = name ? name_len(name) : 0;

	if (!len)
		return -EINVAL;
	memcpy(args.name, name, len);
	return kvbm_ioctl(control, KVBM_IOC_STORE_DESTROY, &args);
}

int kvbm_store_list(int control, uint32_t count,
		    struct kvbm_store_entry *entries, uint32_t *total)
{
	struct kvbm_store_list args = {
		.size = sizeof(args),
		.count = count,
		.entries = (uintptr_t)entries,
	};
	int ret = kvbm_ioctl(control, KVBM_IOC_STORE_LIST, &args);

	kvbm_put(total, args.total);
	return ret < 0 ? ret : (int)args.done;
}
