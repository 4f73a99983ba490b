// SPDX-License-Identifier: MIT
/* Limits for one user, one namespace, and all together. */
#include <sched.h>
#include "kvbm_control.h"

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

/* The administrator and the owner get in, whoever took all the sessions. */
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
	/* All of the tenant's; then others fit, though their files are open. */
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

/* Memory pinned by an exited user's stores counts against that user. */
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

/* The largest store leaves space; a larger one fails and reports its need. */
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
	if (!system("grep -q ' kmsan_report$' /proc/kallsyms"))
		SKIP(return, "KMSAN takes minutes to fill memory a dozen times");
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

TEST_HARNESS_MAIN
