// SPDX-License-Identifier: MIT
/*
 * The control device: stores created, listed, destroyed, and who may; the
 * module's limits; attributes; the module's removal.
 */
#include <dirent.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include "kvbm_test.h"

#define USER	1000
#define OTHER	1001

static int read_text(const char *path, char *out, size_t size)
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

static int write_text(const char *path, const char *text)
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
static int param(const char *name, const char *value, char *old)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/kvbm/parameters/%s", name);
	if (old && read_text(path, old, 32) < 0)
		return -EIO;
	return write_text(path, value);
}

static int named(const char *name, uint32_t total)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = total,
		.uid = -1, .gid = -1,
	};

	memcpy(c.name, name, strnlen(name, sizeof(c.name)));
	return kt_store_make(&c);
}

/* In a child without privileges: the value of fn. */
static int as_user(uid_t uid, gid_t gid, int (*fn)(void *), void *arg)
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

	/* What a test that failed left behind. */
	for (i = 0; i < n; i++)
		if (list[i].name[0])
			kt_destroy(list[i].name, KVBM_DESTROY_FORCE);
	close(self->fd);
}

static bool listed(int control, const char *name, struct kvbm_store_entry *out)
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

TEST_F(control, create_and_destroy)
{
	struct kvbm_store_entry e;
	struct kvbm_store_info info;
	struct stat st;
	int fd, two;

	EXPECT_EQ(-1, named("pool", 100));
	ASSERT_EQ(0, stat("/dev/kvbm/pool", &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
	kt_poison(e);
	ASSERT_TRUE(listed(self->fd, "pool", &e));
	EXPECT_NE(0, e.store_id);
	EXPECT_EQ(100, e.total_blocks);
	EXPECT_EQ(0, e.sessions);
	EXPECT_EQ(0, e.uid);
	EXPECT_EQ(0600, e.mode);
	EXPECT_EQ(0, e.flags);

	fd = kvbm_open("pool");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(e.store_id, info.store_id);
	EXPECT_STREQ("pool", info.name);
	EXPECT_EQ(1, info.sessions);
	two = kvbm_open("/dev/kvbm/pool");
	ASSERT_GE(two, 0);
	ASSERT_TRUE(listed(self->fd, "pool", &e));
	EXPECT_EQ(2, e.sessions);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));

	/* It lives without sessions, and is the same. */
	close(fd);
	close(two);
	fd = kvbm_open("pool");
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(e.store_id, info.store_id);
	EXPECT_EQ(-EBUSY, kt_destroy("pool", 0));
	close(fd);
	EXPECT_EQ(0, kt_destroy("pool", 0));
	EXPECT_EQ(-1, stat("/dev/kvbm/pool", &st));
	EXPECT_EQ(-ENOENT, kt_destroy("pool", 0));
	EXPECT_EQ(-ENOENT, kvbm_open("pool"));
	EXPECT_FALSE(listed(self->fd, "pool", NULL));

	/* A new one of the same name is another one. */
	EXPECT_EQ(-1, named("pool", 100));
	ASSERT_TRUE(listed(self->fd, "pool", &e));
	EXPECT_NE(info.store_id, e.store_id);
	EXPECT_EQ(0, kt_destroy("pool", 0));
}

TEST_F(control, names)
{
	static const char * const good[] = {
		"a", "0", "a.b", "a-b_c.d", "0123456789012345678901234567890",
		"z..", "control2", "controll",
	};
	static const char * const bad[] = {
		"control", "A", "aB", "a/b", "../a", ".a", "-a", "_a", "a b",
		"a\n", "\x80", "a\xff", "/", "a:b", "a%sb",
	};
	struct kvbm_store_destroy d = { .size = sizeof(d),
					.flags = KVBM_DESTROY_FORCE };
	struct kvbm_store_create c;
	struct stat st;
	char path[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(-1, named(good[i], 1)) {
			TH_LOG("name %s", good[i]);
		}
		snprintf(path, sizeof(path), "/dev/kvbm/%s", good[i]);
		EXPECT_EQ(0, stat(path, &st));
		EXPECT_EQ(-EEXIST, named(good[i], 2));
		EXPECT_TRUE(listed(self->fd, good[i], NULL));
	}
	for (i = 0; i < ARRAY_SIZE(good); i++)
		EXPECT_EQ(0, kt_destroy(good[i], 0));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, named(bad[i], 1)) {
			TH_LOG("name %u", i);
		}
	/* 32 bytes without an end; something after the end. */
	c = (struct kvbm_store_create){ .size = sizeof(c), .total_blocks = 1,
					.uid = -1, .gid = -1 };
	memset(c.name, 'a', sizeof(c.name));
	EXPECT_EQ(-EINVAL, kt_store_make(&c));
	memset(c.name, 0, sizeof(c.name));
	strcpy(c.name, "a");
	c.name[2] = 'b';
	EXPECT_EQ(-EINVAL, kt_store_make(&c));
	memset(c.name, 0, sizeof(c.name));
	c.name[31] = 'b';
	EXPECT_EQ(-EINVAL, kt_store_make(&c));
	/* Control is no store. */
	strcpy(d.name, "control");
	EXPECT_EQ(-ENOENT, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
	memset(d.name, 0, sizeof(d.name));
	EXPECT_EQ(-ENOENT, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
	memset(d.name, 'a', sizeof(d.name));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
}

TEST_F(control, bad_configurations)
{
	unsigned int i;

	EXPECT_EQ(-EINVAL, kt_store(0));
	EXPECT_EQ(-EINVAL, kt_store(KVBM_MAX_BLOCKS + 1));
	EXPECT_EQ(-EINVAL, kt_store(~0U));
	for (i = 1; i < 40; i++)
		if (i & (i - 1))
			EXPECT_EQ(-EINVAL, kt_store(1, .block_size = i));
	EXPECT_EQ(-EINVAL, kt_store(1, .block_size = 2048));
	EXPECT_EQ(-EINVAL, kt_store(1, .block_size = 1U << 31));
	EXPECT_EQ(-EINVAL, kt_store(1, .freq_capacity = KVBM_FREQ_LARGE + 1));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0661));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0700));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0666));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 04600));
	for (i = 1; i <= 1024; i *= 2) {
		int fd = kt_store(1, .block_size = i);

		EXPECT_GE(fd, 0);
		close(fd);
	}
}

static int try_open(void *name)
{
	int fd = kvbm_open(name);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int try_list(void *name)
{
	int fd = kvbm_open(name), ret;
	uint32_t total;

	if (fd < 0)
		return -EBADF;
	ret = kvbm_session_list(fd, 0, NULL, &total);
	close(fd);
	return ret;
}

TEST_F(control, who_may_open)
{
	static const struct {
		uint32_t uid, gid, mode;
		int user, group, other;
	} cases[] = {
		{ 0, 0, 0600, -EACCES, -EACCES, -EACCES },
		{ USER, 0, 0600, 0, -EACCES, -EACCES },
		{ USER, OTHER, 0600, 0, -EACCES, -EACCES },
		{ USER, OTHER, 0660, 0, 0, -EACCES },
		{ 0, OTHER, 0060, -EACCES, 0, -EACCES },
	};
	struct kvbm_store_create c;
	struct stat st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		c = (struct kvbm_store_create) {
			.size = sizeof(c), .total_blocks = 4, .name = "shared",
			.uid = cases[i].uid, .gid = cases[i].gid,
			.mode = cases[i].mode,
		};
		ASSERT_EQ(-1, kt_store_make(&c));
		ASSERT_EQ(0, stat("/dev/kvbm/shared", &st));
		EXPECT_EQ(cases[i].uid, st.st_uid);
		EXPECT_EQ(cases[i].gid, st.st_gid);
		EXPECT_EQ(cases[i].mode, st.st_mode & 07777);
		EXPECT_EQ(cases[i].user, as_user(USER, USER, try_open,
						 "shared")) {
			TH_LOG("case %u", i);
		}
		EXPECT_EQ(cases[i].group, as_user(OTHER, OTHER, try_open,
						  "shared")) {
			TH_LOG("case %u", i);
		}
		EXPECT_EQ(cases[i].other, as_user(65534, 65534, try_open,
						  "shared")) {
			TH_LOG("case %u", i);
		}
		/* Sessions are the owner's to see, not everybody's. */
		if (cases[i].uid == USER)
			EXPECT_EQ(0, as_user(USER, USER, try_list, "shared"));
		if (!cases[i].group)
			EXPECT_EQ(-EPERM, as_user(OTHER, OTHER, try_list,
						  "shared"));
		EXPECT_EQ(0, kt_destroy("shared", 0));
	}
	EXPECT_EQ(-EACCES, as_user(USER, USER, try_open,
				   "/dev/kvbm/control"));
}

#define NODE	"/tmp/kvbm-node"

/* Who may make nodes gets no further than the store's record lets him. */
TEST_F(control, nodes_of_others)
{
	struct stat st;
	int fd;

	ASSERT_EQ(-1, named("guarded", 4));
	ASSERT_EQ(0, stat("/dev/kvbm/guarded", &st));
	unlink(NODE);
	ASSERT_EQ(0, mknod(NODE, S_IFCHR, st.st_rdev));
	ASSERT_EQ(0, chmod(NODE, 0666));
	EXPECT_EQ(-EACCES, as_user(USER, USER, try_open, NODE));
	ASSERT_EQ(0, chown(NODE, USER, USER));
	EXPECT_EQ(-EACCES, as_user(USER, USER, try_open, NODE));
	/* Nor by wider permissions of the store's own node. */
	ASSERT_EQ(0, chmod("/dev/kvbm/guarded", 0666));
	EXPECT_EQ(-EACCES, as_user(USER, USER, try_open, "guarded"));
	/* Narrower ones count. */
	EXPECT_EQ(0, kt_destroy("guarded", 0));
	ASSERT_GE(kt_store(4, .name = "guarded", .uid = USER, .gid = USER), -1);
	EXPECT_EQ(0, as_user(USER, USER, try_open, "guarded"));
	ASSERT_EQ(0, chmod("/dev/kvbm/guarded", 0));
	EXPECT_EQ(-EACCES, as_user(USER, USER, try_open, "guarded"));
	/* Root gets in, through any node of it. */
	ASSERT_EQ(0, stat("/dev/kvbm/guarded", &st));
	unlink(NODE);
	ASSERT_EQ(0, mknod(NODE, S_IFCHR | 0600, st.st_rdev));
	fd = kvbm_open(NODE);
	EXPECT_GE(fd, 0);
	close(fd);
	unlink(NODE);
	EXPECT_EQ(0, kt_destroy("guarded", 0));
}

static int try_open_only(void *name)
{
	/* Neither to read nor to write: for requests. */
	int fd = open(name, O_ACCMODE);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? -errno : 0;
}

TEST_F(control, record_has_modes)
{
	static const struct {
		uint32_t mode;
		int want[3];		/* O_RDONLY, O_WRONLY, O_RDWR */
		int neither;
	} cases[] = {
		{ 0640, { 0, -EACCES, -EACCES }, -EACCES },
		{ 0620, { -EACCES, 0, -EACCES }, -EACCES },
		{ 0660, { 0, 0, 0 }, 0 },
		{ 0600, { -EACCES, -EACCES, -EACCES }, -EACCES },
	};
	struct stat st;
	unsigned int i;
	int how;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(-1, kt_store(4, .name = "modes", .gid = OTHER,
				       .mode = cases[i].mode));
		ASSERT_EQ(0, stat("/dev/kvbm/modes", &st));
		unlink(NODE);
		ASSERT_EQ(0, mknod(NODE, S_IFCHR, st.st_rdev));
		ASSERT_EQ(0, chmod(NODE, 0666));
		for (how = O_RDONLY; how <= O_RDWR; how++) {
			pid_t pid = kt_fork();
			int ret;

			if (!pid) {
				if (setgroups(0, NULL) ||
				    setresgid(OTHER, OTHER, OTHER) ||
				    setresuid(OTHER, OTHER, OTHER))
					_exit(125);
				_exit(open(NODE, how) < 0 ? errno : 0);
			}
			ret = kt_reap(pid);
			EXPECT_EQ(cases[i].want[how], -ret) {
				TH_LOG("mode %o, flags %d", cases[i].mode, how);
			}
		}
		EXPECT_EQ(cases[i].neither, as_user(OTHER, OTHER,
						    try_open_only, NODE)) {
			TH_LOG("mode %o", cases[i].mode);
		}
		unlink(NODE);
		EXPECT_EQ(0, kt_destroy("modes", 0));
	}
}

/* A device number leads to one store, ever. */
TEST_F(control, numbers_once)
{
	static dev_t seen[300];
	struct stat st;
	int i, k;

	for (i = 0; i < 300; i++) {
		ASSERT_EQ(-1, named("again", 1));
		ASSERT_EQ(0, stat("/dev/kvbm/again", &st));
		seen[i] = st.st_rdev;
		for (k = 0; k < i; k++)
			ASSERT_NE(seen[k], seen[i]);
		ASSERT_EQ(0, kt_destroy("again", 0));
		unlink(NODE);
		ASSERT_EQ(0, mknod(NODE, S_IFCHR | 0600, st.st_rdev));
		EXPECT_EQ(-ENXIO, kvbm_open(NODE));
	}
	unlink(NODE);
}

/* Nobody can tell from one how many others there are. */
TEST_F(control, ids_at_random)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 1, .uid = -1, .gid = -1,
	};
	uint64_t last = 0, bits = 0;
	int i;

	for (i = 0; i < 64; i++) {
		ASSERT_GE(kt_store_make(&c), 0);
		close(c.fd);
		EXPECT_NE(0, c.store_id);
		EXPECT_GT(c.store_id - last, 1000);
		EXPECT_GT(last - c.store_id, 1000);
		bits |= c.store_id ^ last;
		last = c.store_id;
	}
	EXPECT_EQ(~0ULL, bits);
}

static int read_attr(void *path)
{
	char text[64];
	int ret = read_text(path, text, sizeof(text));

	return ret < 0 ? ret : 0;
}

/* Counters are the owner's and the group's to read. */
TEST_F(control, attributes_of_others)
{
	static const char *const paths[] = {
		"/sys/class/kvbm/kvbm-quiet/stats/match_hashes_requested",
		"/sys/class/kvbm/kvbm-quiet/store_id",
		"/sys/class/kvbm/kvbm-quiet/memory_bytes",
	};
	unsigned int i;

	ASSERT_EQ(-1, kt_store(4, .name = "quiet", .uid = USER, .gid = OTHER));
	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		void *path = (void *)paths[i];

		EXPECT_EQ(0, as_user(USER, USER, read_attr, path));
		EXPECT_EQ(0, as_user(OTHER, OTHER, read_attr, path));
		EXPECT_EQ(-EACCES, as_user(65534, 65534, read_attr, path)) {
			TH_LOG("%s", paths[i]);
		}
	}
	/* Nothing else there became the owner's. */
	EXPECT_EQ(-EACCES, as_user(USER, USER, try_open_only,
				   "/sys/class/kvbm/kvbm-quiet/uevent"));
	EXPECT_EQ(0, kt_destroy("quiet", 0));
}

/* What an ordinary process may do that was given the control device. */
static int control_fd;

static int make_owned(void *arg)
{
	struct kvbm_store_create *c = arg;
	int ret = kt_ioctl(control_fd, KVBM_IOC_STORE_CREATE, c);

	if (!ret && c->fd >= 0)
		close(c->fd);
	return ret;
}

static int destroy_it(void *name)
{
	return kvbm_store_destroy(control_fd, name, KVBM_DESTROY_FORCE);
}

/* 1 + how many stores of the one's and how many at all: a small number */
static int count_listed(void *arg)
{
	uint32_t total = KT_POISON;

	kvbm_store_list(control_fd, 0, NULL, &total);
	return -(int)total;
}

TEST_F(control, owners)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 1, .name = "mine",
	};
	struct kvbm_store_entry e;
	int anonymous;

	control_fd = self->fd;
	/* As chown(2): nobody gives away, or takes another's group. */
	c.uid = OTHER;
	c.gid = -1;
	EXPECT_EQ(-EPERM, as_user(USER, USER, make_owned, &c));
	c.uid = 0;
	EXPECT_EQ(-EPERM, as_user(USER, USER, make_owned, &c));
	c.uid = -1;
	c.gid = OTHER;
	EXPECT_EQ(-EPERM, as_user(USER, USER, make_owned, &c));
	c.gid = 0;
	EXPECT_EQ(-EPERM, as_user(USER, USER, make_owned, &c));
	EXPECT_FALSE(listed(self->fd, "mine", NULL));
	c.uid = USER;
	c.gid = USER;
	EXPECT_EQ(0, as_user(USER, USER, make_owned, &c));
	ASSERT_TRUE(listed(self->fd, "mine", &e));
	EXPECT_EQ(USER, e.uid);
	EXPECT_EQ(USER, e.gid);
	/* Its owner may destroy it, and others may not. */
	EXPECT_EQ(-EPERM, as_user(OTHER, OTHER, destroy_it, "mine"));
	EXPECT_EQ(0, as_user(USER, USER, destroy_it, "mine"));
	EXPECT_EQ(-ENOENT, as_user(USER, USER, destroy_it, "mine"));
	c.uid = -1;
	c.gid = -1;
	EXPECT_EQ(0, as_user(USER, OTHER, make_owned, &c));
	ASSERT_TRUE(listed(self->fd, "mine", &e));
	EXPECT_EQ(USER, e.uid);
	EXPECT_EQ(OTHER, e.gid);
	/* Root gives to whom it likes. */
	EXPECT_EQ(0, kt_destroy("mine", 0));

	/* Anonymous stores are listed for the administrator only. */
	ASSERT_EQ(-1, named("seen", 1));
	anonymous = kt_store(1);
	ASSERT_GE(anonymous, 0);
	EXPECT_EQ(-2, count_listed(NULL));
	EXPECT_EQ(-1, as_user(USER, USER, count_listed, NULL));
	close(anonymous);
	EXPECT_EQ(-1, count_listed(NULL));
	EXPECT_EQ(0, kt_destroy("seen", 0));
}

TEST_F(control, limit_on_stores)
{
	char old[32];
	int a, b;

	a = kt_store(1);
	ASSERT_EQ(0, param("max_stores", "2", old));
	EXPECT_EQ(-1, named("second", 1));
	EXPECT_EQ(-ENFILE, kt_store(1));
	EXPECT_EQ(-ENFILE, named("third", 1));
	EXPECT_EQ(-1, access("/dev/kvbm/third", F_OK));
	EXPECT_EQ(0, kt_destroy("second", 0));
	b = kt_store(1);
	EXPECT_GE(b, 0);
	close(a);
	close(b);
	EXPECT_EQ(0, param("max_stores", "0", NULL));
	EXPECT_EQ(-ENFILE, kt_store(1));
	EXPECT_EQ(0, param("max_stores", old, NULL));
}

TEST_F(control, limit_on_blocks)
{
	char old[32];
	int a, b;

	ASSERT_EQ(0, param("max_blocks", "100", old));
	a = kt_store(60);
	EXPECT_GE(a, 0);
	EXPECT_EQ(-EDQUOT, kt_store(41));
	b = kt_store(40);
	EXPECT_GE(b, 0);
	EXPECT_EQ(-EDQUOT, kt_store(1));
	close(a);
	a = kt_store(60);
	EXPECT_GE(a, 0);
	close(a);
	close(b);
	EXPECT_EQ(0, param("max_blocks", old, NULL));
}

TEST_F(control, limit_on_sessions)
{
	char old[32];
	int a, b, c;

	/* The store's own. */
	a = kt_store(1, .max_sessions = 2);
	ASSERT_GE(a, 0);
	b = kvbm_session_open(a);
	EXPECT_GE(b, 0);
	EXPECT_EQ(-EUSERS, kvbm_session_open(a));
	close(b);
	b = kvbm_session_open(a);
	EXPECT_GE(b, 0);
	close(b);
	close(a);
	/* The module's, at creation, for named ones too. */
	ASSERT_EQ(0, param("max_sessions", "2", old));
	EXPECT_EQ(-1, named("few", 1));
	ASSERT_EQ(0, param("max_sessions", old, NULL));
	a = kvbm_open("few");
	b = kvbm_open("few");
	EXPECT_GE(a, 0);
	EXPECT_GE(b, 0);
	EXPECT_EQ(-EUSERS, kvbm_open("few"));
	EXPECT_EQ(-EUSERS, kvbm_session_open(a));
	close(a);
	c = kvbm_open("few");
	EXPECT_GE(c, 0);
	close(b);
	close(c);
	EXPECT_EQ(0, kt_destroy("few", 0));
}

/* Too large for memory is ENOMEM, and nobody dies of it. */
TEST_F(control, too_large_for_memory)
{
	int fds[64], n = 0, i, err = 0;
	pid_t pid;

	/* Somebody who would be killed first. */
	pid = kt_fork();
	if (!pid) {
		write_text("/proc/self/oom_score_adj", "1000");
		pause();
	}
	while (n < 64) {
		fds[n] = kt_store(KVBM_MAX_BLOCKS);
		if (fds[n] < 0) {
			err = fds[n];
			break;
		}
		n++;
	}
	/* The module's limit on blocks comes after four of them. */
	EXPECT_EQ(-ENOMEM, err) {
		TH_LOG("%d stores of 16 Mi blocks", n);
	}
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	for (i = 0; i < n; i++)
		close(fds[i]);
	/* It was given back. */
	fds[0] = kt_store(1U << 16);
	EXPECT_GE(fds[0], 0);
	close(fds[0]);
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
}

TEST_F(control, no_descriptor_left)
{
	int fds[64], n = 0, spare;
	uint32_t before, after;

	kvbm_store_list(self->fd, 0, NULL, &before);
	while (n < 64 && (fds[n] = dup(0)) >= 0)
		n++;
	spare = fds[--n];
	struct rlimit_pair { uint64_t cur, max; } lim = { spare, 4096 };

	close(spare);
	ASSERT_EQ(0, syscall(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, &lim,
			     NULL));
	EXPECT_EQ(-EMFILE, kt_ioctl(self->fd, KVBM_IOC_STORE_CREATE,
				    &(struct kvbm_store_create){
					.size = sizeof(struct
						       kvbm_store_create),
					.total_blocks = 1,
					.uid = -1, .gid = -1 }));
	kvbm_store_list(self->fd, 0, NULL, &after);
	EXPECT_EQ(before, after);
	lim.cur = 4096;
	syscall(SYS_prlimit64, 0, 7, &lim, NULL);
	while (n)
		close(fds[--n]);
}

/* Destroyed by force while others use it. */
TEST_F(control, destroy_forced)
{
	struct kvbm_hash h[4];
	uint32_t ids[4], got;
	struct kvbm_store_info info;
	int a, b;

	kt_singles(h, 4, 9);
	ASSERT_EQ(-1, named("doomed", 8));
	a = kvbm_open("doomed");
	b = kvbm_open("doomed");
	ASSERT_EQ(4, kt_fill(a, 4, h, ids));
	ASSERT_EQ(1, kvbm_alloc(b, 1, &got, NULL, NULL));
	EXPECT_EQ(-EBUSY, kt_destroy("doomed", 0));
	ASSERT_EQ(0, kt_destroy("doomed", KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENOENT, kvbm_open("doomed"));
	EXPECT_EQ(-1, access("/sys/class/kvbm/kvbm-doomed", F_OK));
	/* Every call of theirs says so. */
	EXPECT_EQ(-ENODEV, kvbm_alloc(a, 1, &got, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_alloc_wait(a, 1, &got, NULL, NULL,
					   KVBM_NO_DEADLINE));
	EXPECT_EQ(-ENODEV, kvbm_alloc_reset(a, 1, &got));
	EXPECT_EQ(-ENODEV, kvbm_match(a, 1, h, &got, NULL));
	EXPECT_EQ(-ENODEV, kvbm_scan(a, 1, h, &got, 0, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_release(a, 1, ids, 0, NULL));
	EXPECT_EQ(-ENODEV, kvbm_release(b, 1, &got, 0, NULL));
	EXPECT_EQ(-ENODEV, kvbm_session_open(a));
	EXPECT_EQ(-ENODEV, kvbm_presence(a, 1, h, (uint8_t *)&got, NULL));
	EXPECT_EQ(-ENODEV, kvbm_reset_inactive(a, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_store_info(a, &info));
	EXPECT_EQ(-ENODEV, kvbm_counts(a, &(struct kvbm_counts){}));
	EXPECT_EQ(-ENODEV, kvbm_stats(a, &(struct kvbm_stats){}));
	EXPECT_EQ(-ENODEV, kvbm_session_list(a, 0, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_session_config(a, 1));
	EXPECT_EQ(-ENODEV, kvbm_session_revoke(a, 1, NULL));
	/* The name is free at once. */
	EXPECT_EQ(-1, named("doomed", 8));
	EXPECT_EQ(-ENODEV, kvbm_match(a, 1, h, &got, NULL));
	EXPECT_EQ(0, kt_destroy("doomed", 0));
	EXPECT_EQ(0, close(a));
	EXPECT_EQ(0, close(b));
}

/* A new name while somebody still has the node of the old one open. */
TEST_F(control, names_and_nodes_again_and_again)
{
	struct kvbm_store_info info;
	uint64_t last = 0;
	char path[64];
	int i, fd;

	for (i = 0; i < 200; i++) {
		ASSERT_EQ(-1, named("again", 1 + i));
		fd = kvbm_open("again");
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, kvbm_store_info(fd, &info));
		EXPECT_EQ(1 + i, info.total_blocks);
		EXPECT_NE(last, info.store_id);
		last = info.store_id;
		snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-again/store_id");
		EXPECT_EQ(0, access(path, R_OK));
		ASSERT_EQ(0, kt_destroy("again", KVBM_DESTROY_FORCE));
		close(fd);
	}
}

/* Attributes */

static uint64_t attr(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-attrs/%s", name);
	if (read_text(path, text, sizeof(text)) < 0)
		return ~0ULL;
	return strtoull(text, NULL, 10);
}

TEST_F(control, attributes)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 32, .block_size = 64,
		.policy = "multi_lru", .thresholds = { 2, 4, 6 },
		.freq_capacity = 2048, .uid = -1, .gid = -1, .mode = 0640,
		.max_sessions = 7, .max_held = 20, .name = "attrs",
		.flags = KVBM_CREATE_REJECT | KVBM_CREATE_RESET,
	};
	char path[320], text[256];
	struct kvbm_store_info info;
	struct kvbm_hash h[5];
	struct kvbm_stats s;
	uint32_t ids[8];
	struct dirent *d;
	int fd, seen = 0;
	DIR *dir;

	ASSERT_EQ(-1, kt_store_make(&c));
	fd = kvbm_open("attrs");
	ASSERT_GE(fd, 0);
	kt_singles(h, 5, 60);
	ASSERT_EQ(5, kt_fill(fd, 5, h, ids));
	ASSERT_EQ(2, kvbm_release(fd, 2, ids, 0, NULL));
	ASSERT_EQ(3, kvbm_alloc(fd, 3, ids, NULL, NULL));
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	s = kt_stats(fd);

	EXPECT_EQ(32, attr("total_blocks"));
	EXPECT_EQ(64, attr("block_size"));
	EXPECT_EQ(2048, attr("frequency_capacity"));
	EXPECT_EQ(7, attr("max_sessions"));
	EXPECT_EQ(20, attr("max_held"));
	EXPECT_EQ(1, attr("reset_on_release"));
	EXPECT_EQ(info.memory, attr("memory_bytes"));
	read_text("/sys/class/kvbm/kvbm-attrs/policy", text, sizeof(text));
	EXPECT_STREQ("multi_lru", text);
	read_text("/sys/class/kvbm/kvbm-attrs/thresholds", text, sizeof(text));
	EXPECT_STREQ("2 4 6", text);
	read_text("/sys/class/kvbm/kvbm-attrs/duplicates", text, sizeof(text));
	EXPECT_STREQ("reject", text);
	read_text("/sys/class/kvbm/kvbm-attrs/store_id", text, sizeof(text));
	EXPECT_EQ(info.store_id, strtoull(text, NULL, 16));

#define STAT(name)	EXPECT_EQ(s.name, attr("stats/" #name))
	STAT(allocations);
	STAT(allocations_from_reset);
	STAT(evictions);
	STAT(registrations);
	STAT(duplicate_blocks);
	STAT(registration_dedup);
	STAT(stagings);
	STAT(match_hashes_requested);
	STAT(match_blocks_returned);
	STAT(scan_hashes_requested);
	STAT(scan_blocks_returned);
	STAT(inflight_mutable);
	STAT(inflight_immutable);
	STAT(reset_pool_size);
	STAT(inactive_pool_size);
	STAT(staged);
	STAT(sessions);
	STAT(reclaimed_sessions);
	STAT(reclaimed_owned);
	STAT(reclaimed_holds);
	STAT(waits);
	STAT(wait_grants);
	STAT(wait_wakeups);
	EXPECT_EQ(3, attr("stats/inflight_mutable"));
	EXPECT_EQ(8, attr("stats/allocations"));

	/* All of them can be read, by owner and group, and none written. */
	dir = opendir("/sys/class/kvbm/kvbm-attrs/stats");
	ASSERT_NE(NULL, dir);
	while ((d = readdir(dir))) {
		struct stat st;

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-attrs/stats/%s",
			 d->d_name);
		EXPECT_GT(read_text(path, text, sizeof(text)), 0);
		ASSERT_EQ(0, stat(path, &st));
		EXPECT_EQ(0440, st.st_mode & 0777);
		/* No address of the kernel's. */
		EXPECT_EQ(NULL, strstr(text, "ffff"));
		seen++;
	}
	closedir(dir);
	EXPECT_EQ((sizeof(s) - 8) / 8, seen);
	close(fd);
	EXPECT_EQ(0, kt_destroy("attrs", 0));
}

/* The module's removal */

static int unload(void)
{
	return syscall(SYS_delete_module, "kvbm", O_NONBLOCK) ? -errno : 0;
}

static int load(const char *args)
{
	const char *file = getenv("KVBM_MODULE");
	int fd = open(file ? file : "/vm/kvbm.ko", O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, args, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static bool in_file(const char *path, const char *word)
{
	char line[512];
	bool found = false;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, word))
			found = true;
	if (f)
		fclose(f);
	return found;
}

TEST(module_removal)
{
	struct kvbm_store_info before, after;
	struct stat st, now;
	int control, fd, i;

	if (access(getenv("KVBM_MODULE") ?: "/vm/kvbm.ko", R_OK))
		SKIP(return, "no module file to load again");
	/* Not while anything is open. */
	control = kvbm_control_open();
	ASSERT_GE(control, 0);
	EXPECT_EQ(-EAGAIN, unload());
	fd = kt_store(16);
	ASSERT_GE(fd, 0);
	close(control);
	EXPECT_EQ(-EAGAIN, unload());
	ASSERT_EQ(0, kvbm_store_info(fd, &before));
	close(fd);
	ASSERT_EQ(-1, named("kept", 16));
	fd = kvbm_open("kept");
	EXPECT_EQ(-EAGAIN, unload());
	close(fd);
	ASSERT_EQ(0, stat("/dev/kvbm/kept", &st));
	unlink(NODE);
	ASSERT_EQ(0, mknod(NODE, S_IFCHR | 0600, st.st_rdev));

	/* A store that nobody has open goes with the module. */
	ASSERT_EQ(0, unload());
	EXPECT_EQ(-1, access("/dev/kvbm", F_OK));
	EXPECT_EQ(-1, access("/sys/class/kvbm", F_OK));
	EXPECT_EQ(-1, access("/sys/module/kvbm", F_OK));
	/* Numbers that nodes may still name stay taken, nothing else. */
	EXPECT_FALSE(in_file("/proc/devices", "kvbm\n"));
	EXPECT_TRUE(in_file("/proc/devices", "kvbm-stores\n"));
	EXPECT_FALSE(in_file("/proc/modules", "kvbm"));
	EXPECT_EQ(-ENXIO, kvbm_open(NODE));

	/* Loaded again: nothing old, no identity twice. */
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, load(""));
		EXPECT_EQ(-1, access("/dev/kvbm/kept", F_OK));
		fd = kt_store(16);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, kvbm_store_info(fd, &after));
		EXPECT_NE(0, after.store_id);
		EXPECT_NE(before.store_id, after.store_id);
		before = after;
		EXPECT_EQ(-EAGAIN, unload());
		close(fd);
		/* The old store's node leads to no new store. */
		ASSERT_EQ(-1, named("kept", 16));
		ASSERT_EQ(0, stat("/dev/kvbm/kept", &now));
		EXPECT_EQ(major(st.st_rdev), major(now.st_rdev));
		EXPECT_NE(st.st_rdev, now.st_rdev);
		EXPECT_EQ(-ENXIO, kvbm_open(NODE));
		ASSERT_EQ(0, unload());
	}
	/* Parameters at load time. */
	ASSERT_EQ(0, load("max_stores=1 max_blocks=10"));
	EXPECT_EQ(-EDQUOT, kt_store(11));
	fd = kt_store(10);
	EXPECT_GE(fd, 0);
	EXPECT_EQ(-ENFILE, kt_store(1));
	close(fd);
	ASSERT_EQ(0, unload());
	ASSERT_EQ(0, load(""));
}

TEST_HARNESS_MAIN
