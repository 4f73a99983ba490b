/* SPDX-License-Identifier: MIT */
/* Shared by the tests of the control device: users, parameters, stores. */
#ifndef KVBM_CONTROL_TEST_H
#define KVBM_CONTROL_TEST_H

#include <grp.h>
#include "kvbm_test.h"

#define USER	1000
#define OTHER	1001

static inline int read_text(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	out[n] = 0;
	if (n && out[n - 1] == '\n')
		out[n - 1] = 0;
	return n;
}

static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	int ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* A parameter of the module; the text that was there in @old. */
static inline int param(const char *name, const char *value, char *old)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/kvbm/parameters/%s", name);
	if (old && read_text(path, old, 32) < 0)
		return -EIO;
	return write_text(path, value);
}

static inline int named(const char *name, uint32_t total)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = total,
		.uid = -1, .gid = -1, .monitor_gid = -1,
	};

	memcpy(c.name, name, strnlen(name, sizeof(c.name)));
	return kt_store_make(&c);
}

/* In a child without privileges: the value of fn. */
static inline int as_user(uid_t uid, gid_t gid, int (*fn)(void *), void *arg)
{
	pid_t pid = kt_fork();
	int ret;

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) ||
		    setresuid(uid, uid, uid))
			_exit(125);
		_exit(-fn(arg));
	}
	ret = kt_reap(pid);
	return ret < 256 ? -ret : -EIO;
}

/* For processes that were given the control device. */
static int control_fd;

FIXTURE(control) {
	int fd;
};

FIXTURE_SETUP(control)
{
	self->fd = kvbm_control_open();
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(control)
{
	struct kvbm_store_entry list[64];
	int i, n = kvbm_store_list(self->fd, 64, list, NULL);

	/* Removes what a failed test left behind. */
	for (i = 0; i < n; i++)
		if (list[i].name[0])
			kt_destroy(list[i].name, KVBM_DESTROY_FORCE);
	close(self->fd);
}

static inline bool listed(int control, const char *name,
			  struct kvbm_store_entry *out)
{
	struct kvbm_store_entry list[64];
	int i, n = kvbm_store_list(control, 64, list, NULL);

	for (i = 0; i < n; i++)
		if (!strcmp(list[i].name, name)) {
			if (out)
				*out = list[i];
			return true;
		}
	return false;
}

#define NODE	"/tmp/kvbm-node"

static inline int make_owned(void *arg)
{
	struct kvbm_store_create *c = arg;
	int ret = kt_ioctl(control_fd, KVBM_IOC_STORE_CREATE, c);

	if (!ret && c->fd >= 0)
		close(c->fd);
	return ret;
}

static inline int destroy_it(void *name)
{
	return kvbm_store_destroy(control_fd, name, KVBM_DESTROY_FORCE);
}

#endif /* KVBM_CONTROL_TEST_H */
