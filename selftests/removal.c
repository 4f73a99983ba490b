// SPDX-License-Identifier: MIT
/* Unloading the module, and loading it again. */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include "kvbm_control.h"

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
