// SPDX-License-Identifier: MIT
/* Opening descriptors, and the requests of the control device. */
#include <fcntl.h>
#include <unistd.h>

#include "internal.h"

static int open_node(const char *path, int how)
{
	int fd = open(path, how | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static bool name_char(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return true;
	return !first && (c == '_' || c == '.' || c == '-');
}

size_t kvbm_name_len(const char *name)
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
	return open_node(KVBM_CONTROL_PATH, O_RDWR);
}

static int open_store(const char *name, int how)
{
	char path[sizeof(KVBM_DEV_DIR "/") + KVBM_NAME_LEN] = KVBM_DEV_DIR "/";
	size_t len;

	if (!name)
		return -EINVAL;
	if (name[0] == '/')
		return open_node(name, how);

	len = kvbm_name_len(name);
	if (!len)
		return -EINVAL;
	memcpy(path + sizeof(KVBM_DEV_DIR "/") - 1, name, len + 1);
	return open_node(path, how);
}

int kvbm_open(const char *name)
{
	return open_store(name, O_RDWR);
}

/* KVBM_EXPECT_* of everything that differs. */
static uint32_t differences(const struct kvbm_store_info *info,
			    const struct kvbm_expect *e)
{
	uint32_t d = 0;

	if (info->uid != e->uid)
		d |= KVBM_EXPECT_UID;
	if (info->store_id != e->store_id)
		d |= KVBM_EXPECT_ID;
	if (info->block_bytes != e->block_bytes)
		d |= KVBM_EXPECT_BLOCK_BYTES;
	if (info->block_size != e->block_size)
		d |= KVBM_EXPECT_BLOCK_SIZE;
	if (memcmp(info->digest, e->digest, sizeof(e->digest)))
		d |= KVBM_EXPECT_DIGEST;
	return d & e->flags;
}

int kvbm_open_expect(const char *name, struct kvbm_expect *expect)
{
	const uint32_t known = KVBM_EXPECT_UID | KVBM_EXPECT_ID |
			       KVBM_EXPECT_READONLY | KVBM_EXPECT_DIGEST |
			       KVBM_EXPECT_BLOCK_BYTES | KVBM_EXPECT_BLOCK_SIZE;
	struct kvbm_store_info info;
	int fd, err;

	expect->differs = 0;
	if (expect->flags & ~known)
		return -EINVAL;
	fd = open_store(name, expect->flags & KVBM_EXPECT_READONLY ? O_RDONLY :
								     O_RDWR);
	if (fd < 0)
		return fd;
	err = kvbm_store_info(fd, &info);
	if (!err) {
		expect->differs = differences(&info, expect);
		if (!expect->differs)
			return fd;
		err = -ESTALE;
	}
	close(fd);
	return err;
}

int kvbm_fill_ref(const struct kvbm_store_ref *ref, __u64 *id, char *name)
{
	size_t len = 0;

	memset(name, 0, KVBM_NAME_LEN);
	*id = ref ? ref->id : 0;
	if (!ref || !ref->name)
		return 0;
	len = kvbm_name_len(ref->name);
	if (!len)
		return -EINVAL;
	memcpy(name, ref->name, len);
	return 0;
}

int kvbm_store_create_init(struct kvbm_store_create *create, const char *name,
			   uint32_t total_blocks)
{
	size_t len = 0;

	if (name) {
		len = kvbm_name_len(name);
		if (!len)
			return -EINVAL;
	}

	memset(create, 0, sizeof(*create));
	create->size = sizeof(*create);
	create->total_blocks = total_blocks;
	create->uid = UINT32_MAX;
	create->gid = UINT32_MAX;
	create->monitor_gid = UINT32_MAX;
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
	create->need = 0;
	return kvbm_ioctl(control, KVBM_IOC_STORE_CREATE, create);
}

int kvbm_store_destroy_of(int control, const struct kvbm_store_ref *ref,
			  uint32_t flags)
{
	struct kvbm_store_destroy args = {
		.size = sizeof(args),
		.flags = flags,
	};
	int err = kvbm_fill_ref(ref, &args.store_id, args.name);

	return err ? err : kvbm_ioctl(control, KVBM_IOC_STORE_DESTROY, &args);
}

int kvbm_store_destroy(int control, const char *name, uint32_t flags)
{
	struct kvbm_store_ref ref = { .name = name };

	return name ? kvbm_store_destroy_of(control, &ref, flags) : -EINVAL;
}

int kvbm_store_access(int control, const struct kvbm_store_ref *ref,
		      struct kvbm_store_access *access)
{
	int err = kvbm_fill_ref(ref, &access->store_id, access->name);

	access->size = sizeof(*access);
	memset(access->reserved, 0, sizeof(access->reserved));
	return err ? err : kvbm_ioctl(control, KVBM_IOC_STORE_ACCESS, access);
}

int kvbm_store_list_from(int control, uint64_t *cursor, uint32_t count,
			 struct kvbm_store_entry *entries, uint32_t *total)
{
	struct kvbm_store_list args = {
		.size = sizeof(args),
		.count = count,
		.entry_size = sizeof(*entries),
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
	};
	int ret = kvbm_ioctl(control, KVBM_IOC_STORE_LIST, &args);

	return listed(ret, args.done, total, args.total, cursor, args.cursor);
}

int kvbm_store_list(int control, uint32_t count,
		    struct kvbm_store_entry *entries, uint32_t *total)
{
	uint64_t cursor = 0;

	return kvbm_store_list_from(control, &cursor, count, entries, total);
}
