// SPDX-License-Identifier: MIT
/* Who may do what with a store, its node and its attributes. */
#include <sys/stat.h>
#include "kvbm_control.h"

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

/* The right to make nodes gives no access that the store's record denies. */
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

/* Permissions for requests on the control device. */
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
	/* The present owner may destroy it; the former owner may not. */
	change = (struct kvbm_store_access) {
		.flags = KVBM_ACCESS_UID, .uid = OTHER };
	ASSERT_EQ(0, change_it("moved"));
	EXPECT_EQ(-EPERM, as_user(USER, USER, destroy_it, "moved"));
	EXPECT_EQ(0, as_user(OTHER, OTHER, destroy_it, "moved"));
}

/* The store decides what sessions of users other than the owner may do. */
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

TEST_HARNESS_MAIN
