// SPDX-License-Identifier: MIT
/*
 * More stores than a major has minors, and one load of the module after
 * another: a virtual machine would have to create a million stores.
 */
#include <linux/kernel.h>
#include <linux/kdev_t.h>
#include "host.h"
#include "host_vfs.h"
#include "file.h"

#include "host_harness.h"

TEST(device_numbers)
{
	const u32 rows = 2, per_major = (1U << MINORBITS) - 1;
	dev_t first, last = 0, devt;
	u32 i;

	host_forget_numbers();
	ASSERT_EQ(0, host_insmod());
	ASSERT_EQ(0, kvbm_number_new(&first));
	EXPECT_EQ(MKDEV(384, 1), first);
	last = first;
	for (i = 1; i < per_major * rows; i++) {
		ASSERT_EQ(0, kvbm_number_new(&devt));
		ASSERT_GT(devt, last);
		ASSERT_NE(0, MINOR(devt));
		last = devt;
	}
	EXPECT_EQ(MKDEV(385, per_major), last);
	ASSERT_EQ(0, host_rmmod());
	/* Both are used up. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, host_insmod());
		ASSERT_EQ(0, kvbm_number_new(&devt));
		EXPECT_EQ(386, MAJOR(devt));
		EXPECT_EQ(i ? i * 4096 : 1, MINOR(devt));
		ASSERT_EQ(0, host_rmmod());
	}
	/* Nothing given, nothing taken. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, host_insmod());
		ASSERT_EQ(0, host_rmmod());
	}
	ASSERT_EQ(0, host_insmod());
	ASSERT_EQ(0, kvbm_number_new(&devt));
	EXPECT_EQ(MKDEV(386, 3 * 4096), devt);
	ASSERT_EQ(0, host_rmmod());
	host_forget_numbers();
}

TEST_HARNESS_MAIN
