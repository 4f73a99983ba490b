// SPDX-License-Identifier: MIT
/*
 * The control device: stores created, listed, destroyed, and who may; the
 * module's limits; attributes; the module's removal.
 */
#include <dirent.h>
#include <grp.h>
#include <sched.h>
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
		.uid = -1, .gid = -1, .monitor_gid = -1,
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

/* What the blocks depend on, and a text: kept, and told everywhere. */
TEST_F(control, digest_and_label)
{
	static const char bad[][4] = { "a\n", "\x7f", "\xc3\xa4", "a\0b" };
	struct kvbm_store_create c;
	struct kvbm_store_info info;
	struct kvbm_expect e = {
		.flags = KVBM_EXPECT_DIGEST | KVBM_EXPECT_BLOCK_BYTES,
	};
	char path[128], line[128] = "";
	int fd, i;
	FILE *f;

	kvbm_store_create_init(&c, "kt-digest", 4);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(c.label, 0, sizeof(c.label));
		memcpy(c.label, bad[i], sizeof(bad[i]));
		EXPECT_EQ(-EINVAL, kvbm_store_create(self->fd, &c)) {
			TH_LOG("label %d", i);
		}
	}
	memset(c.label, 'x', sizeof(c.label));
	EXPECT_EQ(-EINVAL, kvbm_store_create(self->fd, &c));
	c.label[KVBM_LABEL_LEN - 1] = 0;
	for (i = 0; i < KVBM_DIGEST_BYTES; i++)
		c.digest[i] = e.digest[i] = 3 * i + 1;
	ASSERT_EQ(0, kvbm_store_create(self->fd, &c));
	fd = kvbm_open_expect("kt-digest", &e);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(0, memcmp(info.digest, c.digest, sizeof(c.digest)));
	EXPECT_EQ(0, memcmp(info.label, c.label, sizeof(c.label)));
	close(fd);
	e.digest[31]++;
	EXPECT_EQ(-ESTALE, kvbm_open_expect("kt-digest", &e));
	EXPECT_EQ(KVBM_EXPECT_DIGEST, e.differs);

	snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-kt-digest/digest");
	f = fopen(path, "r");
	ASSERT_TRUE(f);
	EXPECT_TRUE(fgets(line, sizeof(line), f));
	fclose(f);
	EXPECT_EQ(0, strncmp(line, "0104070a", 8));
	EXPECT_EQ(2 * KVBM_DIGEST_BYTES + 1, strlen(line));
	snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-kt-digest/label");
	f = fopen(path, "r");
	ASSERT_TRUE(f);
	EXPECT_TRUE(fgets(line, sizeof(line), f));
	fclose(f);
	EXPECT_EQ(KVBM_LABEL_LEN, strlen(line));
	EXPECT_EQ(0, kt_destroy("kt-digest", 0));
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
					.uid = -1, .gid = -1, .monitor_gid = -1 };
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
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
	memset(d.name, 0, sizeof(d.name));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
	memset(d.name, 'a', sizeof(d.name));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
}

TEST_F(control, bad_configurations)
{
	EXPECT_EQ(-EINVAL, kt_store(0));
	EXPECT_EQ(-EINVAL, kt_store(KVBM_MAX_BLOCKS + 1));
	EXPECT_EQ(-EINVAL, kt_store(~0U));
	EXPECT_EQ(-EINVAL, kt_store(1, .block_size = (1U << 20) + 1));
	EXPECT_EQ(-EINVAL, kt_store(1, .block_size = 1U << 31));
	EXPECT_EQ(-EINVAL, kt_store(1, .freq_capacity = KVBM_FREQ_LARGE + 1));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0661));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0700));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0666));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 04600));
	EXPECT_EQ(-EOPNOTSUPP, kt_store(1, .rights = 4));
	EXPECT_EQ(-EINVAL, kt_store(1, .flags = KVBM_CREATE_OPAQUE,
				    .policy = "lineage_tick"));
	EXPECT_EQ(-EINVAL, kt_store(1, .flags = KVBM_CREATE_OPAQUE,
				    .policy = "lineage_fifo"));
}

/* Engines have blocks of any size, not only powers of two. */
TEST_F(control, block_sizes)
{
	static const uint32_t sizes[] = {
		1, 2, 3, 15, 17, 48, 100, 784, 1024, 1056, 2096, 65535,
		1U << 20,
	};
	uint32_t id, tokens, none;
	struct kvbm_store_info info;
	struct kvbm_hash h = kt_single(1);
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fd = kt_store(1, .block_size = sizes[i]);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, kvbm_store_info(fd, &info));
		EXPECT_EQ(sizes[i], info.block_size);
		ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
		tokens = sizes[i] - 1;
		EXPECT_EQ(-EINVAL, kvbm_stage(fd, 1, &id, &h, &tokens, &none));
		tokens = sizes[i];
		EXPECT_EQ(1, kvbm_stage(fd, 1, &id, &h, &tokens, NULL));
		close(fd);
	}
	fd = kt_store(1);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(16, info.block_size);
	close(fd);
}

/* An engine's own keys: any 126 bits, no lineage. */
TEST_F(control, opaque)
{
	struct kvbm_hash h = { .hi = ~0ULL >> 2, .lo = ~0ULL }, wide;
	struct kvbm_store_info info;
	struct kvbm_registered r;
	uint32_t id;
	int fd;

	fd = kt_store(4, .flags = KVBM_CREATE_OPAQUE);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(KVBM_CREATE_OPAQUE, info.flags);
	EXPECT_STREQ("lru", info.policy);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	/* A lineage hash at position 256: mode 1. */
	wide = kt_hash(7, 6, 256);
	EXPECT_EQ(-EINVAL, kvbm_stage(fd, 1, &id, &wide, NULL, NULL));
	EXPECT_EQ(-EINVAL, kvbm_stage_register(fd, 1, &id, &wide, &r, 0, NULL));
	EXPECT_EQ(1, kvbm_stage_register(fd, 1, &id, &h, &r, 0, NULL));
	EXPECT_EQ(KVBM_ACTIVE, kt_presence(fd, h));
	EXPECT_EQ(1, kvbm_match(fd, 1, &h, &id, NULL));
	close(fd);
	fd = kt_store(4, .flags = KVBM_CREATE_OPAQUE, .policy = "multi_lru",
		      .freq_capacity = 64);
	EXPECT_GE(fd, 0);
	close(fd);
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
		.size = sizeof(c), .total_blocks = 1, .uid = -1, .gid = -1, .monitor_gid = -1,
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
		.monitor_gid = -1,
	};
	struct kvbm_store_entry e;
	char old[32];
	int anonymous;

	control_fd = self->fd;
	/* A name is taken from all others: that needs a right of its own. */
	c.uid = -1;
	c.gid = -1;
	EXPECT_EQ(-EPERM, as_user(USER, USER, make_owned, &c));
	EXPECT_FALSE(listed(self->fd, "mine", NULL));
	memset(c.name, 0, sizeof(c.name));
	EXPECT_EQ(0, as_user(USER, USER, make_owned, &c));
	strcpy(c.name, "mine");
	ASSERT_EQ(0, param("named_gid", "1001", old));
	EXPECT_EQ(-EPERM, as_user(USER, USER, make_owned, &c));
	EXPECT_EQ(0, as_user(USER, OTHER, make_owned, &c));
	EXPECT_EQ(0, kt_destroy("mine", 0));
	ASSERT_EQ(0, param("named_gid", "1000", NULL));
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
	ASSERT_EQ(0, param("named_gid", "1001", NULL));
	EXPECT_EQ(0, as_user(USER, OTHER, make_owned, &c));
	ASSERT_EQ(0, param("named_gid", old, NULL));
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
	EXPECT_EQ(-EDQUOT, kt_store(1));
	EXPECT_EQ(-EDQUOT, named("third", 1));
	EXPECT_EQ(-1, access("/dev/kvbm/third", F_OK));
	EXPECT_EQ(0, kt_destroy("second", 0));
	b = kt_store(1);
	EXPECT_GE(b, 0);
	close(a);
	close(b);
	EXPECT_EQ(0, param("max_stores", "0", NULL));
	EXPECT_EQ(-EDQUOT, kt_store(1));
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
	int fds[5], i;

	/* Root, the owner here, has a reserve session as either. */
	fds[0] = kt_store(1, .max_sessions = 2);
	ASSERT_GE(fds[0], 0);
	for (i = 1; i < 4; i++) {
		fds[i] = kvbm_session_open(fds[0]);
		EXPECT_GE(fds[i], 0);
	}
	EXPECT_EQ(-EUSERS, kvbm_session_open(fds[0]));
	close(fds[2]);
	fds[2] = kvbm_session_open(fds[0]);
	EXPECT_GE(fds[2], 0);
	EXPECT_EQ(-EUSERS, kvbm_session_open(fds[2]));
	for (i = 3; i >= 0; i--)
		close(fds[i]);
	/* The module's, at creation, for named ones too. */
	ASSERT_EQ(0, param("max_sessions", "2", old));
	EXPECT_EQ(-1, named("few", 1));
	ASSERT_EQ(0, param("max_sessions", old, NULL));
	for (i = 0; i < 4; i++) {
		fds[i] = kvbm_open("few");
		EXPECT_GE(fds[i], 0);
	}
	EXPECT_EQ(-EUSERS, kvbm_open("few"));
	EXPECT_EQ(-EUSERS, kvbm_session_open(fds[0]));
	close(fds[0]);
	fds[0] = kvbm_open("few");
	EXPECT_GE(fds[0], 0);
	for (i = 0; i < 4; i++)
		close(fds[i]);
	EXPECT_EQ(0, kt_destroy("few", 0));
}

/* The administrator gets in, and the owner, whoever took all the sessions. */
static pid_t hold_session(uid_t uid, gid_t gid, const char *name,
			  struct kt_pipe *p)
{
	pid_t pid = kt_fork();
	int fd;

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) ||
		    setresuid(uid, uid, uid))
			_exit(125);
		fd = kvbm_open(name);
		kt_tell(p, fd < 0 ? fd : 0);
		if (fd >= 0)
			pause();
		_exit(0);
	}
	return pid;
}

TEST_F(control, sessions_all_taken)
{
	static const struct kvbm_store_ref ref = { .name = "full" };
	struct kvbm_session_revoke rv = { .flags = KVBM_REVOKE_UID,
					  .uid = OTHER };
	pid_t tenant[5], owner[2], root[2];
	struct kvbm_session_entry e[16];
	struct kvbm_store_info info;
	struct kvbm_stats stats;
	struct kt_pipe p;
	uint64_t cursor = 0;
	int i;

	kt_pipe_open(&p);
	ASSERT_EQ(-1, kt_store(4, .name = "full", .uid = USER, .gid = OTHER,
			       .mode = 0660, .max_sessions = 4));
	for (i = 0; i < 5; i++) {
		tenant[i] = hold_session(OTHER, OTHER, "full", &p);
		EXPECT_EQ(i < 4 ? 0 : -EUSERS, kt_hear(&p));
	}
	/* One more for the owner, one for root, and no third. */
	for (i = 0; i < 2; i++) {
		owner[i] = hold_session(USER, USER, "full", &p);
		EXPECT_EQ(i ? -EUSERS : 0, kt_hear(&p));
	}
	for (i = 0; i < 2; i++) {
		root[i] = hold_session(0, 0, "full", &p);
		EXPECT_EQ(i ? -EUSERS : 0, kt_hear(&p));
	}
	/* All without a session of one's own. */
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &ref, &info));
	EXPECT_EQ(6, info.sessions);
	EXPECT_EQ(0, info.revoked);
	EXPECT_EQ(USER, info.uid);
	EXPECT_EQ(OTHER, info.gid);
	EXPECT_EQ(0660, info.mode);
	EXPECT_EQ(-1U, info.monitor_gid);
	EXPECT_EQ(0, info.session_id);
	EXPECT_EQ(0, info.status);
	EXPECT_GE(info.need, info.memory);
	ASSERT_EQ(0, kvbm_stats_of(self->fd, &ref, &stats));
	EXPECT_EQ(6, stats.sessions);
	EXPECT_EQ(6, kvbm_session_list_of(self->fd, &ref, &cursor, 16, e,
					  NULL));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(OTHER, e[i].uid);
	/* All of the tenant's; then there is room, though their files are open. */
	ASSERT_EQ(0, kvbm_revoke_of(self->fd, &ref, &rv));
	EXPECT_EQ(4, rv.sessions);
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &ref, &info));
	EXPECT_EQ(2, info.sessions);
	EXPECT_EQ(4, info.revoked);
	kill(owner[1], SIGKILL);
	kt_reap(owner[1]);
	owner[1] = hold_session(USER, USER, "full", &p);
	EXPECT_EQ(0, kt_hear(&p));
	/* Once more: nothing to end, and no error either. */
	ASSERT_EQ(0, kvbm_revoke_of(self->fd, &ref, &rv));
	EXPECT_EQ(0, rv.sessions);
	rv.uid = 4711;
	EXPECT_EQ(-ENOENT, kvbm_revoke_of(self->fd, &ref, &rv));
	rv = (struct kvbm_session_revoke) { .flags = KVBM_REVOKE_PID,
					    .pid = owner[0] };
	EXPECT_EQ(0, kvbm_revoke_of(self->fd, &ref, &rv));
	EXPECT_EQ(1, rv.sessions);
	rv.flags |= KVBM_REVOKE_UID;
	rv.uid = OTHER;
	EXPECT_EQ(-ENOENT, kvbm_revoke_of(self->fd, &ref, &rv));
	rv.session_id = 1;
	EXPECT_EQ(-EINVAL, kvbm_revoke_of(self->fd, &ref, &rv));
	for (i = 0; i < 5; i++)
		kt_kill(tenant[i]);
	for (i = 0; i < 2; i++) {
		kt_kill(owner[i]);
		kt_kill(root[i]);
	}
	EXPECT_EQ(0, kt_destroy("full", 0));
}

/* Destroyed, but open: seen, counted, and reached by its id. */
TEST_F(control, dying_stores)
{
	struct kvbm_store_ref by_name = { .name = "ghost" }, by_id = {};
	struct kvbm_store_info info;
	struct kvbm_store_entry e[8];
	uint64_t cursor = 0;
	int fd, i, n;

	ASSERT_EQ(-1, named("ghost", 8));
	fd = kvbm_open("ghost");
	ASSERT_GE(fd, 0);
	by_id.id = kt_store_id(fd);
	ASSERT_EQ(0, kt_destroy("ghost", KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENOENT, kvbm_store_info_of(self->fd, &by_name, &info));
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &by_id, &info));
	EXPECT_EQ(KVBM_STORE_DYING, info.status);
	EXPECT_STREQ("ghost", info.name);
	EXPECT_EQ(0, info.sessions);
	EXPECT_EQ(1, info.revoked);
	n = kvbm_store_list_from(self->fd, &cursor, 8, e, NULL);
	for (i = 0; i < n && e[i].store_id != by_id.id; i++)
		;
	ASSERT_LT(i, n);
	EXPECT_EQ(KVBM_STORE_DYING, e[i].flags);
	EXPECT_EQ(8, e[i].total_blocks);
	EXPECT_EQ(0, e[i].charged_uid);
	EXPECT_NE(0, e[i].memory);
	EXPECT_NE(0, e[i].created_ns);
	/* Its name is free, and means another store now. */
	ASSERT_EQ(-1, named("ghost", 9));
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &by_name, &info));
	EXPECT_EQ(9, info.total_blocks);
	EXPECT_EQ(0, kt_destroy("ghost", 0));
	/* Again: it is gone already. */
	EXPECT_EQ(0, kvbm_store_destroy_of(self->fd, &by_id,
					   KVBM_DESTROY_FORCE));
	close(fd);
	EXPECT_EQ(-ENOENT, kvbm_store_info_of(self->fd, &by_id, &info));
}

/* Anonymous ones can be administrated, too, and ended. */
TEST_F(control, anonymous_stores)
{
	struct kvbm_store_ref ref = {};
	struct kvbm_session_entry e;
	struct kvbm_store_info info;
	struct kvbm_counts counts;
	uint64_t cursor = 0;
	struct kvbm_hash h;
	uint32_t id;
	int fd = kt_store(8);

	ASSERT_GE(fd, 0);
	ref.id = kt_store_id(fd);
	h = kt_single(9);
	ASSERT_EQ(1, kt_idle(fd, 1, &h, &id));
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &ref, &info));
	EXPECT_STREQ("", info.name);
	ASSERT_EQ(0, kvbm_counts_of(self->fd, &ref, &counts));
	EXPECT_EQ(1, counts.inactive);
	EXPECT_EQ(ref.id, counts.store_id);
	EXPECT_EQ(1, kvbm_reset_inactive_of(self->fd, &ref, NULL, NULL));
	EXPECT_EQ(1, kvbm_session_list_of(self->fd, &ref, &cursor, 1, &e,
					  NULL));
	EXPECT_EQ(-EBUSY, kvbm_store_destroy_of(self->fd, &ref, 0));
	EXPECT_EQ(0, kvbm_store_destroy_of(self->fd, &ref,
					   KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENODEV, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_session_open(fd));
	close(fd);
	EXPECT_EQ(-ENOENT, kvbm_store_info_of(self->fd, &ref, &info));
}

/* Who may ask what through the control device. */
struct asked {
	struct kvbm_store_ref ref;
	int info, stats, sessions, revoke, reset, access, destroy;
};

static int ask_all(void *arg)
{
	struct asked *a = arg;
	struct kvbm_store_access acc = { .flags = KVBM_ACCESS_MODE,
					 .mode = 0640 };
	struct kvbm_session_revoke rv = { .session_id = ~0ULL };
	struct kvbm_store_info info;
	struct kvbm_stats stats;
	uint64_t cursor = 0;

	a->info = kvbm_store_info_of(control_fd, &a->ref, &info);
	a->stats = kvbm_stats_of(control_fd, &a->ref, &stats);
	a->sessions = kvbm_session_list_of(control_fd, &a->ref, &cursor, 0,
					   NULL, NULL);
	a->revoke = kvbm_revoke_of(control_fd, &a->ref, &rv);
	a->reset = kvbm_reset_inactive_of(control_fd, &a->ref, NULL, NULL);
	a->access = kvbm_store_access(control_fd, &a->ref, &acc);
	a->destroy = kvbm_store_destroy_of(control_fd, &a->ref, 0);
	return 0;
}

#define MONITOR	1002

TEST_F(control, who_may_ask)
{
	static const struct {
		uid_t uid;
		gid_t gid;
		int read, admin;
	} cases[] = {
		{ USER, USER, 0, 0 },			/* the owner */
		{ 65534, OTHER, 0, -EPERM },		/* who may open it */
		{ 65534, MONITOR, 0, -EPERM },		/* who may read only */
		{ 65534, 65534, -EPERM, -EPERM },
	};
	struct kvbm_store_access acc = { .flags = KVBM_ACCESS_MODE,
					 .mode = 0600 };
	struct asked *a = kt_shared(sizeof(*a));
	unsigned int i;
	int fd;

	control_fd = self->fd;
	ASSERT_EQ(-1, kt_store(4, .name = "asked", .uid = USER, .gid = OTHER,
			       .mode = 0640, .monitor_gid = MONITOR));
	fd = kvbm_open("asked");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(a, 0, sizeof(*a));
		a->ref.name = "asked";
		ASSERT_EQ(0, as_user(cases[i].uid, cases[i].gid, ask_all, a));
		EXPECT_EQ(cases[i].read, a->info) {
			TH_LOG("case %u", i);
		}
		EXPECT_EQ(cases[i].read, a->stats);
		EXPECT_EQ(cases[i].admin, a->sessions);
		EXPECT_EQ(cases[i].admin ?: -ENOENT, a->revoke);
		EXPECT_EQ(cases[i].admin, a->reset);
		EXPECT_EQ(cases[i].admin, a->access);
		EXPECT_EQ(cases[i].admin ?: -EBUSY, a->destroy);
	}
	/* The monitoring group reads attributes, and does not get in. */
	EXPECT_EQ(0, as_user(65534, MONITOR, read_attr,
			     "/sys/class/kvbm/kvbm-asked/stats/evictions"));
	EXPECT_EQ(-EACCES, as_user(65534, OTHER, read_attr,
				   "/sys/class/kvbm/kvbm-asked/stats/evictions"));
	EXPECT_EQ(-EACCES, as_user(65534, MONITOR, try_open, "asked"));
	/* By the mode alone: nobody of the group may read any more. */
	a->ref.name = "asked";
	ASSERT_EQ(0, kvbm_store_access(self->fd, &a->ref, &acc));
	ASSERT_EQ(0, as_user(65534, OTHER, ask_all, a));
	EXPECT_EQ(-EPERM, a->info);
	close(fd);
	EXPECT_EQ(0, kt_destroy("asked", 0));
}

static struct kvbm_store_access change;

static int change_it(void *name)
{
	struct kvbm_store_ref ref = { .name = name };

	return kvbm_store_access(control_fd, &ref, &change);
}

/* The record changes; nodes can only narrow it. */
TEST_F(control, access)
{
	static const char *const path =
		"/sys/class/kvbm/kvbm-moved/stats/evictions";
	struct kvbm_store_entry e;
	struct stat st;

	control_fd = self->fd;
	ASSERT_EQ(-1, named("moved", 4));
	ASSERT_EQ(0, chmod("/dev/kvbm/moved", 0666));
	EXPECT_EQ(-EACCES, as_user(USER, USER, try_open, "moved"));
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_UID | KVBM_ACCESS_GID, .uid = USER,
		.gid = OTHER,
	};
	EXPECT_EQ(-EPERM, as_user(USER, USER, change_it, "moved"));
	ASSERT_EQ(0, change_it("moved"));
	EXPECT_EQ(0, as_user(USER, USER, try_open, "moved"));
	EXPECT_EQ(-EACCES, as_user(OTHER, OTHER, try_open, "moved"));
	ASSERT_TRUE(listed(self->fd, "moved", &e));
	EXPECT_EQ(USER, e.uid);
	EXPECT_EQ(OTHER, e.gid);
	EXPECT_EQ(0600, e.mode);
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(USER, st.st_uid);
	EXPECT_EQ(OTHER, st.st_gid);
	/* The owner gives to its own groups, not away. */
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_UID, .uid = OTHER };
	EXPECT_EQ(-EPERM, as_user(USER, USER, change_it, "moved"));
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_MONITOR, .monitor_gid = MONITOR };
	EXPECT_EQ(-EPERM, as_user(USER, USER, change_it, "moved"));
	EXPECT_EQ(0, as_user(USER, MONITOR, change_it, "moved"));
	EXPECT_EQ(0, as_user(65534, MONITOR, read_attr, (void *)path));
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_MODE, .mode = 0660 };
	EXPECT_EQ(0, as_user(USER, USER, change_it, "moved"));
	EXPECT_EQ(0, as_user(OTHER, OTHER, try_open, "moved"));
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_MONITOR, .monitor_gid = -1 };
	EXPECT_EQ(0, as_user(USER, USER, change_it, "moved"));
	EXPECT_EQ(-EACCES, as_user(65534, MONITOR, read_attr, (void *)path));
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_MODE, .mode = 0661 };
	EXPECT_EQ(-EINVAL, change_it("moved"));
	change = (struct kvbm_store_access) { .uid = 1 };
	EXPECT_EQ(-EINVAL, change_it("moved"));
	change = (struct kvbm_store_access) {};
	EXPECT_EQ(-ENOENT, change_it("not-there"));
	/* Whoever is owner now may destroy it, and who was may not. */
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_UID, .uid = OTHER };
	ASSERT_EQ(0, change_it("moved"));
	EXPECT_EQ(-EPERM, as_user(USER, USER, destroy_it, "moved"));
	EXPECT_EQ(0, as_user(OTHER, OTHER, destroy_it, "moved"));
}

/* What an exited user's stores pin counts against him. */
static int make_many(void *arg)
{
	struct kvbm_store_create c = *(struct kvbm_store_create *)arg;
	int n, ret = 0;

	for (n = 0; n < 10; n++) {
		snprintf(c.name, sizeof(c.name), "pin%d", n);
		ret = kt_ioctl(control_fd, KVBM_IOC_STORE_CREATE, &c);
		if (ret)
			break;
	}
	return ret == -EDQUOT ? -n : -99;
}

TEST_F(control, limits_on_users)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 100, .uid = -1, .gid = -1,
		.monitor_gid = -1,
	};
	char gid[32], stores[32], blocks[32], bytes[32], name[16], text[32];
	struct kvbm_store_entry e;
	struct kvbm_store_create one = c;
	unsigned int round;
	int i;

	control_fd = self->fd;
	ASSERT_EQ(0, param("named_gid", "1000", gid));
	ASSERT_EQ(0, param("user_stores", "3", stores));
	ASSERT_EQ(0, param("user_blocks", "0", blocks));
	ASSERT_EQ(0, param("user_bytes", "0", bytes));
	one.fd = kt_store(100);
	ASSERT_GE(one.fd, 0);
	close(one.fd);
	/* How much one takes, to have a limit of two and a half. */
	ASSERT_EQ(0, kt_ioctl(self->fd, KVBM_IOC_STORE_CREATE, &one));
	close(one.fd);
	ASSERT_GT(one.need, 100 * 64);
	snprintf(text, sizeof(text), "%llu",
		 (unsigned long long)one.need * 5 / 2);
	for (round = 0; round < 3; round++) {
		static const int fit[] = { 3, 4, 2 };

		if (round == 1) {
			ASSERT_EQ(0, param("user_stores", "0", NULL));
			ASSERT_EQ(0, param("user_blocks", "450", NULL));
		} else if (round == 2) {
			ASSERT_EQ(0, param("user_blocks", "0", NULL));
			ASSERT_EQ(0, param("user_bytes", text, NULL));
		}
		EXPECT_EQ(-fit[round], as_user(USER, USER, make_many, &c)) {
			TH_LOG("round %u", round);
		}
		/* Its process is gone; it is still charged. Others are not. */
		ASSERT_TRUE(listed(self->fd, "pin0", &e));
		EXPECT_EQ(USER, e.charged_uid);
		strcpy(c.name, "pin0");
		EXPECT_EQ(-EEXIST, as_user(USER, USER, make_owned, &c));
		strcpy(c.name, "more");
		EXPECT_EQ(-EDQUOT, as_user(USER, USER, make_owned, &c));
		EXPECT_EQ(0, as_user(OTHER, USER, make_owned, &c));
		EXPECT_EQ(0, kt_destroy("more", 0));
		/* Root does not pay. */
		ASSERT_EQ(-1, named("roots", 100000));
		EXPECT_EQ(0, kt_destroy("roots", 0));
		/* One less, one more. */
		EXPECT_EQ(0, as_user(USER, USER, destroy_it, "pin0"));
		EXPECT_EQ(0, as_user(USER, USER, make_owned, &c));
		EXPECT_EQ(0, kt_destroy("more", 0));
		for (i = 1; i < fit[round]; i++) {
			snprintf(name, sizeof(name), "pin%d", i);
			EXPECT_EQ(0, kt_destroy(name, 0));
		}
	}
	param("named_gid", gid, NULL);
	param("user_stores", stores, NULL);
	param("user_blocks", blocks, NULL);
	param("user_bytes", bytes, NULL);
}

static uint64_t meminfo(const char *what)
{
	char line[128];
	uint64_t kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, what, strlen(what)))
			kib = strtoull(line + strlen(what), NULL, 10);
	if (f)
		fclose(f);
	return kib * 1024;
}

/* The largest store that is made leaves room; a larger one is told its need. */
TEST_F_TIMEOUT(control, margin, 300)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .uid = -1, .gid = -1, .monitor_gid = -1,
	};
	uint32_t low = 1, high = KVBM_MAX_BLOCKS;
	uint64_t left, total = meminfo("MemTotal:");
	struct kvbm_store_info info;
	pid_t pid;

	if (!system("grep -q ' kasan_report$' /proc/kallsyms"))
		SKIP(return, "KASAN's shadow of a store is not in its need");
	pid = kt_fork();
	if (!pid) {
		write_text("/proc/self/oom_score_adj", "1000");
		pause();
	}
	/* Near enough, and few: each makes a store of most of the memory. */
	while (high - low > high / 8) {
		int ret;

		c.total_blocks = low + (high - low) / 2;
		c.need = 0;
		ret = kt_ioctl(self->fd, KVBM_IOC_STORE_CREATE, &c);
		EXPECT_GT(c.need, c.total_blocks * 64ULL);
		if (ret) {
			ASSERT_EQ(-ENOMEM, ret);
			high = c.total_blocks;
			continue;
		}
		low = c.total_blocks;
		ASSERT_EQ(0, kvbm_store_info(c.fd, &info));
		EXPECT_EQ(c.need, info.need);
		EXPECT_LE(info.memory, info.need);
		left = meminfo("MemAvailable:");
		close(c.fd);
	}
	EXPECT_GT(left, total / 32) {
		TH_LOG("%u blocks leave %llu of %llu MiB", low,
		       (unsigned long long)left >> 20,
		       (unsigned long long)total >> 20);
	}
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	kt_kill(pid);
}

static int put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* All uids of a user's namespace are one. */
TEST_F(control, limits_on_namespaces)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 1, .uid = -1, .gid = -1,
		.monitor_gid = -1,
	};
	struct kvbm_store_entry e[8];
	struct kt_pipe up, down;
	char path[64], stores[32];
	int i, n, seen = 0;
	pid_t pid;

	control_fd = self->fd;
	kt_pipe_open(&up);
	kt_pipe_open(&down);
	ASSERT_EQ(0, param("user_stores", "2", stores));
	pid = kt_fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(USER, USER, USER) ||
		    setresuid(USER, USER, USER))
			_exit(125);
		/* Or its map cannot be written. */
		prctl(PR_SET_DUMPABLE, 1);
		if (unshare(CLONE_NEWUSER)) {
			kt_tell(&up, -errno);
			_exit(0);
		}
		kt_tell(&up, 1);
		KT_MUST(kt_hear(&down) == 1);
		KT_MUST(!setresuid(0, 0, 0));
		for (i = 0; i < 3; i++) {
			int fd;

			/* Another uid each time. */
			KT_MUST(!setresuid(-1, 0, -1));
			KT_MUST(!setresuid(-1, i + 1, -1));
			fd = kt_ioctl(control_fd, KVBM_IOC_STORE_CREATE, &c);
			kt_tell(&up, fd);
		}
		KT_MUST(kt_hear(&down) == 2);
		_exit(0);
	}
	i = kt_hear(&up);
	if (i != 1) {
		kt_kill(pid);
		param("user_stores", stores, NULL);
		SKIP(return, "no user namespaces: %d", i);
	}
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	ASSERT_EQ(0, put_file(path, "0 100000 65536\n"));
	kt_tell(&down, 1);
	EXPECT_EQ(0, kt_hear(&up));
	EXPECT_EQ(0, kt_hear(&up));
	EXPECT_EQ(-EDQUOT, kt_hear(&up));
	n = kvbm_store_list(self->fd, 8, e, NULL);
	for (i = 0; i < n; i++)
		if (e[i].uid > 100000) {
			EXPECT_EQ(USER, e[i].charged_uid);
			seen++;
		}
	EXPECT_EQ(2, seen);
	kt_tell(&down, 2);
	EXPECT_EQ(0, kt_reap(pid));
	param("user_stores", stores, NULL);
}

/* The name is looked at first: nothing is built to be thrown away. */
TEST_F(control, exists_before_work)
{
	uint64_t begin, made, refused;
	int i;

	begin = kt_now();
	ASSERT_EQ(-1, named("slow", 1U << 20));
	made = kt_now() - begin;
	begin = kt_now();
	for (i = 0; i < 10; i++)
		EXPECT_EQ(-EEXIST, named("slow", 1U << 20));
	refused = kt_now() - begin;
	EXPECT_LT(refused, made) {
		TH_LOG("made in %llu us, refused ten times in %llu us",
		       (unsigned long long)made / 1000,
		       (unsigned long long)refused / 1000);
	}
	EXPECT_EQ(0, kt_destroy("slow", 0));
}

/* What sessions of others than the owner may do is the store's property. */
static int rights_of(void *arg)
{
	uint32_t id = 0, *flags = arg;
	int fd = kvbm_open("rights"), ret;

	if (fd < 0)
		return fd;
	ret = kvbm_set_reset(fd, 1, &id, true, NULL);
	if (ret != -EPERM)
		return -90;
	ret = kvbm_alloc(fd, 1, &id, NULL, NULL);
	if (ret != 1)
		return -91;
	if (kvbm_stage_register(fd, 1, &id, &(struct kvbm_hash){ 1, 1 },
				&(struct kvbm_registered){}, 0, NULL) != 1)
		return -92;
	ret = kvbm_set_reset(fd, 1, &id, true, NULL);
	if (ret != (*flags & KVBM_RIGHT_SET_RESET ? 1 : -EPERM))
		return -93;
	ret = kvbm_reset_inactive(fd, NULL, NULL);
	if (ret != (*flags & KVBM_RIGHT_RESET_INACTIVE ? 0 : -EPERM))
		return -94;
	close(fd);
	return 0;
}

TEST_F(control, rights)
{
	struct kvbm_store_info info;
	uint32_t *rights = kt_shared(4), all = KVBM_RIGHT_RESET_INACTIVE |
					      KVBM_RIGHT_SET_RESET;
	int fd;

	for (*rights = 0; *rights <= all; ++*rights) {
		ASSERT_EQ(-1, kt_store(4, .name = "rights", .uid = USER,
				       .gid = OTHER, .mode = 0660,
				       .rights = *rights));
		fd = kvbm_open("rights");
		ASSERT_EQ(0, kvbm_store_info(fd, &info));
		EXPECT_EQ(*rights, info.rights);
		close(fd);
		EXPECT_EQ(0, as_user(OTHER, OTHER, rights_of, rights)) {
			TH_LOG("rights %u", *rights);
		}
		/* Owner and root have them in any case. */
		EXPECT_EQ(0, as_user(USER, USER, rights_of, &all));
		EXPECT_EQ(0, -as_user(0, 0, rights_of, &all));
		EXPECT_EQ(0, kt_destroy("rights", 0));
	}
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
					.uid = -1, .gid = -1, .monitor_gid = -1 }));
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
		.freq_capacity = 2048, .uid = -1, .gid = -1, .monitor_gid = -1, .mode = 0640,
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

#define KVBM_STAT(name, help)	EXPECT_EQ(s.name, attr("stats/" #name));
#include "stats.def"
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
	/* One for each field, and one for all of each histogram. */
	EXPECT_EQ((offsetof(struct kvbm_stats, wait_histogram) -
		   offsetof(struct kvbm_stats, allocations)) / 8 + 2,
		  seen);
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
	EXPECT_EQ(-EDQUOT, kt_store(1));
	close(fd);
	ASSERT_EQ(0, unload());
	ASSERT_EQ(0, load(""));
}

TEST_HARNESS_MAIN
