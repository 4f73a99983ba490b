// SPDX-License-Identifier: MIT
/*
 * Sessions that end while the blocks of others, or their own, come back from
 * lingering.
 */
#include <linux/kernel.h>
#include <linux/kvbm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <pthread.h>
#include "host.h"
#include "host_vfs.h"

#include "host_harness.h"

#define LONG_MS 600000

#ifdef HOST_TSAN
#define ROUNDS 100
#else
#define ROUNDS 300
#endif

static int control = -1;

static int create(u32 blocks, u32 max_held)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = blocks, .block_size = 16,
		.policy = "lru", .name = "a", .uid = -1, .gid = -1,
		.monitor_gid = -1, .max_held = max_held, .linger_ms = LONG_MS,
	};

	return host_ioctl(control, KVBM_IOC_STORE_CREATE, &c);
}

static int destroy(void)
{
	struct kvbm_store_destroy d = {
		.size = sizeof(d), .flags = KVBM_DESTROY_FORCE, .name = "a",
	};

	return host_ioctl(control, KVBM_IOC_STORE_DESTROY, &d);
}

static long alloc(int fd, u32 n, u32 *ids, u32 flags)
{
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = n, .ids = (unsigned long)ids,
		.flags = flags, .deadline_ns = flags ? ~0ULL : 0,
	};

	return host_ioctl(fd, KVBM_IOC_ALLOC, &a);
}

static u64 number_of(int fd)
{
	struct kvbm_store_info info = { .size = sizeof(info) };

	BUG_ON(host_ioctl(fd, KVBM_IOC_STORE_INFO, &info));
	return info.session_id;
}

static int end_session(int fd, u64 session, u32 flags)
{
	struct kvbm_session_revoke r = {
		.size = sizeof(r), .session_id = session, .flags = flags,
	};

	return host_ioctl(fd, KVBM_IOC_SESSION_REVOKE, &r);
}

static struct kvbm_counts counts(int fd)
{
	struct kvbm_counts c = { .size = sizeof(c) };

	BUG_ON(host_ioctl(fd, KVBM_IOC_COUNTS, &c));
	return c;
}

FIXTURE(linger) {
	struct host_mem before;
};

FIXTURE_SETUP(linger)
{
	host_mem_stats(&self->before);
	ASSERT_EQ(0, host_insmod());
	control = host_open("control");
	ASSERT_GE(control, 0);
}

FIXTURE_TEARDOWN(linger)
{
	struct host_mem after;

	host_delays(0);
	EXPECT_EQ(0, host_close(control));
	EXPECT_EQ(0, host_rmmod());
	host_drain();
	host_mem_stats(&after);
	EXPECT_EQ(self->before.objects, after.objects);
	EXPECT_EQ(self->before.bytes, after.bytes);
}

#define HELD	8
#define DEBTORS	24

struct waiting {
	pthread_t t;
	int fd;
};

static void *wait_for_blocks(void *arg)
{
	struct waiting *w = arg;
	u32 ids[HELD];

	alloc(w->fd, HELD, ids, KVBM_ALLOC_WAIT);
	return NULL;
}

static void *close_all(void *arg)
{
	int *fds = arg;
	u32 i;

	for (i = 0; i < DEBTORS; i++)
		host_close(fds[i]);
	return NULL;
}

/*
 * Sessions that may hold nothing, as all that their user may have lingers, and
 * that are polled, are told when it comes back. Meanwhile they are closed, and
 * others wait for blocks, so that nobody who polls is told just yet.
 */
TEST_F_TIMEOUT(linger, who_closes_is_told_of_nothing, 120)
{
	u32 ids[HELD], round, i;

	host_delays(6);
	for (round = 0; round < ROUNDS; round++) {
		int holders[2], debtors[DEBTORS], ended;
		struct waiting waiting[2];
		pthread_t closer;
		u64 number;

		ASSERT_EQ(0, create(3 * HELD, HELD));
		for (i = 0; i < 2; i++) {
			holders[i] = host_open("a");
			ASSERT_EQ(HELD, alloc(holders[i], HELD, ids, 0));
			waiting[i].fd = host_open("a");
			ASSERT_GE(waiting[i].fd, 0);
		}
		ended = host_open("a");
		ASSERT_EQ(HELD, alloc(ended, HELD, ids, 0));
		number = number_of(ended);
		ASSERT_EQ(0, host_close(ended));
		ASSERT_EQ(HELD, counts(holders[0]).lingering);

		for (i = 0; i < DEBTORS; i++) {
			debtors[i] = host_open("a");
			ASSERT_EQ(0, host_poll(debtors[i]));
		}
		for (i = 0; i < 2; i++)
			pthread_create(&waiting[i].t, NULL, wait_for_blocks,
				       &waiting[i]);
		while (counts(holders[0]).waiters < 2)
			sched_yield();

		pthread_create(&closer, NULL, close_all, debtors);
		EXPECT_EQ(0, end_session(holders[0], number, 0));
		pthread_join(closer, NULL);

		EXPECT_EQ(0, destroy());
		for (i = 0; i < 2; i++) {
			pthread_join(waiting[i].t, NULL);
			host_close(waiting[i].fd);
			host_close(holders[i]);
		}
	}
}

TEST_HARNESS_MAIN
