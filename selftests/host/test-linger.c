// SPDX-License-Identifier: MIT
/*
 * Sessions that end while blocks, their own or those of others, come back from
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
		.mode = 0660,
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

struct ender {
	int fd;
	u64 session;
};

static void *end_later(void *arg)
{
	struct ender *e = arg;

	usleep(20000);
	return (void *)(long)end_session(e->fd, e->session, 0);
}

/* A limit that lingering blocks lower is worth waiting for. */
TEST_F(linger, waits_for_its_limit)
{
	struct kvbm_session_config four = { .size = sizeof(four),
					    .low_watermark = 4 };
	struct ender e;
	pthread_t t;
	u32 ids[8];
	void *ret;
	int fd;

	ASSERT_EQ(0, create(64, 4));
	e.fd = host_open("a");
	fd = host_open("a");
	e.session = number_of(fd);
	ASSERT_EQ(4, alloc(fd, 4, ids, 0));
	EXPECT_EQ(0, host_close(fd));
	fd = host_open("a");
	EXPECT_EQ(0, host_ioctl(fd, KVBM_IOC_SESSION_CONFIG, &four));
	host_set_alone(true);
	EXPECT_EQ(-EDQUOT, alloc(fd, 1, ids, 0));
	EXPECT_EQ(-EDQUOT, alloc(fd, 5, ids, KVBM_ALLOC_WAIT));
	ASSERT_EQ(0, pthread_create(&t, NULL, end_later, &e));
	EXPECT_EQ(3, alloc(fd, 3, ids, KVBM_ALLOC_WAIT));
	pthread_join(t, &ret);
	EXPECT_EQ(0, (long)ret);
	EXPECT_EQ(-EDEADLK, alloc(fd, 2, ids, KVBM_ALLOC_WAIT));
	host_set_alone(false);
	EXPECT_EQ(0, host_close(fd));
	EXPECT_EQ(0, host_close(e.fd));
	EXPECT_EQ(0, destroy());
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

#define CROWD		16
#define USER_MAX	4096	/* sessions of a user that linger */
#define USER_SHARE	64	/* where 65,536 linger */
#define TENANTS		1000
#define GROUP		5
#define OWNER		999

/* Opens, takes a block and leaves it behind. Returns 0 or -errno of open. */
static int leave_one(u32 uid)
{
	u32 id;
	int fd;

	host_set_user(uid, GROUP);
	fd = host_open("a");
	if (fd < 0)
		return fd;
	BUG_ON(alloc(fd, 1, &id, 0) != 1);
	BUG_ON(host_close(fd));
	return 0;
}

/*
 * As many users as it takes to fill a store's records keep out nobody else:
 * neither root, nor the owner, nor who comes for the first time.
 */
TEST_F_TIMEOUT(linger, crowd_keeps_nobody_out, 600)
{
	static const u32 others[] = { 0, OWNER, TENANTS + CROWD };
	struct kvbm_session_revoke all = {
		.size = sizeof(all), .name = "a", .uid = TENANTS + CROWD,
		.flags = KVBM_REVOKE_UID | KVBM_REVOKE_NOW,
	};
	u32 uid, i, n;
	int fd;

	host_set_user(OWNER, GROUP);
	ASSERT_EQ(0, create(CROWD * USER_MAX + 4 * USER_SHARE, 0));
	for (uid = TENANTS; uid < TENANTS + CROWD; uid++)
		for (i = 0; i < USER_MAX; i++)
			ASSERT_EQ(0, leave_one(uid));
	for (uid = TENANTS; uid < TENANTS + CROWD; uid++)
		EXPECT_EQ(-EDQUOT, leave_one(uid));

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		for (n = 0; n < USER_SHARE; n++)
			ASSERT_EQ(0, leave_one(others[i]));
		EXPECT_EQ(-EDQUOT, leave_one(others[i]));
	}

	/* A user below the limit again may open again. */
	host_set_user(OWNER, GROUP);
	EXPECT_EQ(0, host_ioctl(control, KVBM_IOC_SESSION_REVOKE, &all));
	fd = host_open("a");
	EXPECT_EQ(-EDQUOT, fd);
	EXPECT_EQ(0, leave_one(TENANTS + CROWD));
	host_set_user(TENANTS + CROWD + 1, GROUP);
	fd = host_open("a");
	ASSERT_GE(fd, 0);
	EXPECT_EQ(CROWD * USER_MAX + 2 * USER_SHARE + 1, counts(fd).lingering);
	ASSERT_EQ(0, host_close(fd));

	host_set_user(OWNER, GROUP);
	ASSERT_EQ(0, destroy());
	host_set_user(-1, -1);
}

TEST_HARNESS_MAIN
