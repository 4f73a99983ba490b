// SPDX-License-Identifier: MIT
/*
 * Claims among threads: a hash has at most one claim, and every wait ends.
 *
 * Threads compute the hashes of a small set, each once.  A thread that finds a
 * claim pending waits without a deadline, so a lost wake-up stops the test.
 */
#include <linux/kernel.h>
#include <linux/kvbm.h>
#include <linux/ktime.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <pthread.h>
#include "host.h"
#include "host_vfs.h"
#include "watchdog.h"

#include "host_harness.h"

#define BLOCKS		64
#define HASHES		6
#define THREADS		6

#ifdef HOST_WEAK
#define SECONDS		4
#else
#define SECONDS		2
#endif

static atomic_t busy[HASHES];		/* who computes a hash now */
static atomic64_t computed, waits, deaths;
static bool wild;			/* others do not ask, or end sessions */
static int control;

static bool over(u64 start)
{
	return ktime_get_ns() - start > SECONDS * NSEC_PER_SEC;
}

static struct kvbm_hash hash_of(u32 i)
{
	/* Position 0. */
	return (struct kvbm_hash) { .hi = i + 1, .lo = 7 };
}

static long alloc1(int fd, u32 *id)
{
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = 1, .ids = (unsigned long)id,
	};

	return host_ioctl(fd, KVBM_IOC_ALLOC, &a);
}

static long ids1(int fd, unsigned int cmd, u32 id)
{
	struct kvbm_ids r = {
		.size = sizeof(r), .count = 1, .ids = (unsigned long)&id,
	};

	return host_ioctl(fd, cmd, &r);
}

/* enum kvbm_claim_state, or -errno. */
static long claim1(int fd, u32 id, const struct kvbm_hash *h)
{
	u8 state = 0xa5;
	struct kvbm_stage s = {
		.size = sizeof(s), .count = 1, .flags = KVBM_STAGE_CLAIM,
		.ids = (unsigned long)&id, .hashes = (unsigned long)h,
		.states = (unsigned long)&state,
	};
	long ret = host_ioctl(fd, KVBM_IOC_STAGE, &s);

	return ret < 0 ? ret : state;
}

static long register1(int fd, u32 id, const struct kvbm_hash *h)
{
	struct kvbm_registered out;
	struct kvbm_register r = {
		.size = sizeof(r), .count = 1, .ids = (unsigned long)&id,
		.hashes = (unsigned long)h, .results = (unsigned long)&out,
		.flags = KVBM_REGISTER_REJECT,
	};
	long ret = host_ioctl(fd, KVBM_IOC_REGISTER, &r);

	return ret < 0 ? ret : out.block;
}

/* The block and KVBM_NO_BLOCK if there is none. */
static long match1(int fd, const struct kvbm_hash *h, u32 *id, u32 *pending)
{
	struct kvbm_match m = {
		.size = sizeof(m), .count = 1, .flags = KVBM_MATCH_PENDING,
		.hashes = (unsigned long)h, .ids = (unsigned long)id,
	};
	long ret = host_ioctl(fd, KVBM_IOC_MATCH, &m);

	*pending = m.pending;
	return ret;
}

static long wait_for(int fd, const struct kvbm_hash *h, u32 n)
{
	struct kvbm_wait w = {
		.size = sizeof(w), .count = n, .hashes = (unsigned long)h,
		.deadline_ns = ~0ULL,
	};

	return host_ioctl(fd, KVBM_IOC_WAIT, &w);
}

static long watch_for(int fd, const struct kvbm_hash *h)
{
	struct kvbm_watch w = {
		.size = sizeof(w), .count = 1, .hashes = (unsigned long)h,
	};
	long ret = host_ioctl(fd, KVBM_IOC_WATCH, &w);

	return ret < 0 ? ret : w.pending;
}

static int reopen(int fd)
{
	host_close(fd);
	fd = host_open("a");
	BUG_ON(fd < 0);
	return fd;
}

/* The claim is ours: compute, and end it in one of the ways there are. */
static int compute(int fd, u32 id, u32 which, u64 r)
{
	long ret;

	if (!wild)
		BUG_ON(atomic_inc_return(&busy[which]) != 1);
	if (r & 3)
		usleep(r >> 8 & 31);
	if (!wild)
		atomic_dec(&busy[which]);
	switch (r >> 16 & 7) {
	case 0:
		atomic64_inc(&deaths);
		return reopen(fd);
	case 1:
		ids1(fd, KVBM_IOC_UNSTAGE, id);
		ids1(fd, KVBM_IOC_RELEASE, id);
		break;
	case 2:
		ids1(fd, KVBM_IOC_RELEASE, id);
		break;
	default:
		atomic64_inc(&computed);
		ret = register1(fd, id, NULL);
		BUG_ON(ret < 0 && !wild);
		if (ret >= 0)
			ids1(fd, KVBM_IOC_RELEASE, ret);
	}
	return fd;
}

static void await(int fd, const struct kvbm_hash *h, u64 r)
{
	struct kvbm_hash more[3] = { *h, hash_of(r >> 8 & 7), *h };
	long ret;

	atomic64_inc(&waits);
	if (r & 1) {
		ret = wait_for(fd, more, 1 + (r >> 4) % 3);
		BUG_ON(ret && !wild);
		return;
	}
	ret = watch_for(fd, h);
	BUG_ON(ret < 0 && !wild);
	if (ret > 0)
		BUG_ON(host_poll_wait(fd, EPOLLPRI | EPOLLERR | EPOLLHUP,
				      3600 * NSEC_PER_SEC) < 0);
}

static void *worker(void *arg)
{
	u64 start = ktime_get_ns();
	int fd = host_open("a");

	BUG_ON(fd < 0);
	while (!over(start)) {
		u64 r = get_random_u64();
		u32 which = r % HASHES, id, pending;
		struct kvbm_hash h = hash_of(which);
		long ret;

		step();
		r >>= 8;
		ret = match1(fd, &h, &id, &pending);
		if (ret == 1) {
			ids1(fd, KVBM_IOC_RELEASE, id);
			continue;
		}
		if (ret == 0 && !pending && r & 1) {
			await(fd, &h, r >> 1);
			continue;
		}
		if (ret == 0)
			ret = alloc1(fd, &id);
		if (ret == 1) {
			ret = claim1(fd, id, &h);
			if (ret == KVBM_CLAIMED) {
				fd = compute(fd, id, which, r);
				continue;
			}
			if (ret >= 0)
				ids1(fd, KVBM_IOC_RELEASE, id);
			if (ret == KVBM_CLAIM_PENDING)
				await(fd, &h, r >> 1);
		}
		BUG_ON(ret < 0 && !wild);
		if (ret < 0)
			fd = reopen(fd);
	}
	host_close(fd);
	return NULL;
}

/* Makes hashes go again: the store is small, and they are idle at times. */
static void *forgetter(void *arg)
{
	u64 start = ktime_get_ns();

	while (!over(start)) {
		struct kvbm_reset_inactive r = {
			.size = sizeof(r), .name = "a",
		};

		host_ioctl(control, KVBM_IOC_RESET_INACTIVE, &r);
		usleep(50);
	}
	return NULL;
}

/* Registers what others have claimed, and ends their sessions. */
static void *rogue(void *arg)
{
	u64 start = ktime_get_ns();
	int fd = host_open("a");

	while (!over(start)) {
		struct kvbm_session_entry e[32];
		struct kvbm_session_list l = {
			.size = sizeof(l), .count = ARRAY_SIZE(e),
			.entry_size = sizeof(e[0]),
			.entries = (unsigned long)e, .name = "a",
		};
		struct kvbm_session_revoke k = { .size = sizeof(k), .name = "a" };
		u64 r = get_random_u64();
		struct kvbm_hash h = hash_of(r % HASHES);
		u32 id;

		if (alloc1(fd, &id) == 1) {
			long got = register1(fd, id, &h);

			if (got >= 0)
				ids1(fd, KVBM_IOC_RELEASE, got);
		}
		usleep(100);
		if (r >> 32 & 3)
			continue;
		host_ioctl(control, KVBM_IOC_SESSION_LIST, &l);
		if (l.done < 2)
			continue;
		k.session_id = e[1 + (r >> 40) % (l.done - 1)].session_id;
		host_ioctl(control, KVBM_IOC_SESSION_REVOKE, &k);
		/* It may have been this one. */
		fd = reopen(fd);
	}
	host_close(fd);
	return NULL;
}

FIXTURE(claims) {
	int fd;
};

FIXTURE_SETUP(claims)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = BLOCKS, .block_size = 16,
		.policy = "lru", .name = "a", .uid = -1, .gid = -1,
		.monitor_gid = -1,
	};

	ASSERT_EQ(0, host_insmod());
	control = host_open("control");
	ASSERT_GE(control, 0);
	ASSERT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_CREATE, &c));
	self->fd = host_open("a");
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(claims)
{
	struct kvbm_store_destroy d = {
		.size = sizeof(d), .flags = KVBM_DESTROY_FORCE, .name = "a",
	};
	struct kvbm_stats s = { .size = sizeof(s) };

	host_delays(0);
	EXPECT_EQ(0, host_ioctl(self->fd, KVBM_IOC_STATS, &s));
	EXPECT_EQ(0, s.pending);
	EXPECT_EQ(0, s.held);
	EXPECT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_DESTROY, &d));
	host_close(self->fd);
	host_close(control);
	EXPECT_EQ(0, host_rmmod());
}

static void together(bool with_rogue)
{
	pthread_t t[THREADS + 2];
	u32 i, n = 0;

	wild = with_rogue;
	watch_over("claims");
	for (i = 0; i < THREADS; i++)
		BUG_ON(pthread_create(&t[n++], NULL, worker, NULL));
	BUG_ON(pthread_create(&t[n++], NULL, forgetter, NULL));
	if (with_rogue)
		BUG_ON(pthread_create(&t[n++], NULL, rogue, NULL));
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

TEST_F_TIMEOUT(claims, computed_once, 120)
{
	together(false);
	TH_LOG("computed %lld, waits %lld, deaths %lld",
	       (long long)atomic64_read(&computed),
	       (long long)atomic64_read(&waits),
	       (long long)atomic64_read(&deaths));
	EXPECT_GT(atomic64_read(&computed), 10);
	EXPECT_GT(atomic64_read(&waits), 10);
}

TEST_F_TIMEOUT(claims, with_others, 120)
{
	together(true);
	TH_LOG("computed %lld, waits %lld",
	       (long long)atomic64_read(&computed),
	       (long long)atomic64_read(&waits));
}

/* Faults in every allocation: reported, and nothing has changed. */
TEST_F_TIMEOUT(claims, no_memory, 60)
{
	struct kvbm_hash h = hash_of(0);
	struct kvbm_stats s = { .size = sizeof(s) };
	int other = host_open("a");
	unsigned int tried = 0;
	u32 id, id2;
	long ret;

	ASSERT_EQ(1, alloc1(self->fd, &id));
	ASSERT_EQ(1, alloc1(other, &id2));
	for (ret = -ENOMEM; ret == -ENOMEM; tried++) {
		host_fail_nth(1 + tried);
		ret = claim1(self->fd, id, &h);
		host_fail_fired();
		s = (struct kvbm_stats) { .size = sizeof(s) };
		EXPECT_EQ(0, host_ioctl(self->fd, KVBM_IOC_STATS, &s));
		EXPECT_EQ(ret == KVBM_CLAIMED, s.pending);
	}
	EXPECT_EQ(KVBM_CLAIMED, ret);
	EXPECT_GT(tried, 1);
	host_fail_nth(1);
	EXPECT_EQ(-ENOMEM, wait_for(other, &h, 1));
	EXPECT_TRUE(host_fail_fired());
	host_fail_nth(1);
	EXPECT_EQ(-ENOMEM, watch_for(other, &h));
	EXPECT_TRUE(host_fail_fired());
	EXPECT_EQ(1, watch_for(other, &h));
	host_close(other);
	ids1(self->fd, KVBM_IOC_RELEASE, id);
}

TEST_HARNESS_MAIN
