// SPDX-License-Identifier: MIT
/*
 * Holds that pass among threads whose sessions end at any moment.
 *
 * A fixed number of holds goes round: a thread that has some offers them, and
 * a thread that finds a ticket accepts. When a session is ended, its holds are
 * matched again. Counts must add up at the end. While no session is being
 * ended, each hold always belongs to exactly one session.
 */
#include <linux/kernel.h>
#include <linux/kvbm.h>
#include <linux/ktime.h>
#include <linux/random.h>
#include <pthread.h>
#include "host.h"
#include "host_vfs.h"

#include "host_harness.h"

#define BLOCKS		256
#define HELD		160		/* holds that go round, one a block */
#define THREADS		5
#define SLOTS		6		/* tickets that wait for somebody */

#ifdef HOST_WEAK
#define SECONDS		4
#else
#define SECONDS		2
#endif

static int control;
static pthread_mutex_t board_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kvbm_ticket board[SLOTS];
static atomic64_t accepted, withdrawn, late, ended, busy;
static bool wild;			/* sessions are ended */

static bool over(u64 start)
{
	return ktime_get_ns() - start > SECONDS * NSEC_PER_SEC;
}

static struct kvbm_hash hash_of(u32 i)
{
	/* Position 0. */
	return (struct kvbm_hash) { .hi = i + 1, .lo = 7 };
}

static long ids_op(int fd, unsigned int cmd, const u32 *ids, u32 n)
{
	struct kvbm_ids r = {
		.size = sizeof(r), .count = n, .ids = (unsigned long)ids,
	};

	return host_ioctl(fd, cmd, &r);
}

static long offer(int fd, const u32 *ids, u32 n, struct kvbm_ticket *t)
{
	struct kvbm_offer o = {
		.size = sizeof(o), .count = n, .ids = (unsigned long)ids,
	};
	long ret = host_ioctl(fd, KVBM_IOC_OFFER, &o);

	*t = o.ticket;
	return ret;
}

static long accept_it(int fd, const struct kvbm_ticket *t, u32 *ids, u32 room)
{
	struct kvbm_accept a = {
		.size = sizeof(a), .count = room, .ids = (unsigned long)ids,
		.ticket = *t,
	};

	return host_ioctl(fd, KVBM_IOC_ACCEPT, &a);
}

static long withdraw(int fd, const struct kvbm_ticket *t)
{
	struct kvbm_withdraw w = { .size = sizeof(w), .ticket = *t };
	long ret = host_ioctl(fd, KVBM_IOC_WITHDRAW, &w);

	return ret < 0 ? ret : w.done;
}

static u32 held_by(int fd, u32 *ids)
{
	struct kvbm_hold_entry e[BLOCKS];
	struct kvbm_holds h = {
		.size = sizeof(h), .count = BLOCKS, .entry_size = sizeof(e[0]),
		.entries = (unsigned long)e,
	};
	u32 i;

	if (host_ioctl(fd, KVBM_IOC_HOLDS, &h))
		return 0;
	for (i = 0; i < h.done; i++)
		ids[i] = e[i].block;
	return h.done;
}

static int open_a(void)
{
	int fd = host_open("a");

	BUG_ON(fd < 0);
	return fd;
}

/* Puts a ticket on the board, or takes one from it, which may be used already. */
static void pin(struct kvbm_ticket *t, u64 r, bool put)
{
	pthread_mutex_lock(&board_lock);
	if (put)
		board[r % SLOTS] = *t;
	else
		*t = board[r % SLOTS];
	pthread_mutex_unlock(&board_lock);
}

/*
 * A session's other thread may accept what this one has just offered, from who
 * accepted it: not while this one tries to release it.
 */
static pthread_rwlock_t back[64] = {
	[0 ... 63] = PTHREAD_RWLOCK_INITIALIZER,
};

static void give_some(int fd, u64 r, bool release)
{
	u32 ids[BLOCKS], n = held_by(fd, ids), from;
	struct kvbm_ticket t;
	long ret;

	if (!n)
		return;
	from = r % n;
	ret = offer(fd, ids + from, 1 + (r >> 8) % (n - from), &t);
	/* Some of them may be offered, or others' by now. */
	if (ret) {
		BUG_ON(!wild && ret != -EBUSY && ret != -EPERM &&
		       ret != -EDQUOT);
		return;
	}
	pin(&t, r >> 24, true);
	if (!release)
		return;
	/* Releasing what is offered fails; or it is somebody else's. */
	ret = ids_op(fd, KVBM_IOC_RELEASE, ids + from, 1);
	if (!wild)
		BUG_ON(ret != -EBUSY && ret != -EPERM);
	atomic64_add(ret == -EBUSY, &busy);
	ret = withdraw(fd, &t);
	BUG_ON(!wild && ret <= 0 && ret != -ENOENT);
	atomic64_add(ret > 0, &withdrawn);
	atomic64_add(ret == -ENOENT, &late);
}

static void give(int fd, u64 r)
{
	bool release = !(r >> 32 & 3);

	BUG_ON(fd >= (int)ARRAY_SIZE(back));
	if (release && !wild)
		pthread_rwlock_wrlock(&back[fd]);
	give_some(fd, r, release);
	if (release && !wild)
		pthread_rwlock_unlock(&back[fd]);
}

static void take(int fd, u64 r)
{
	struct kvbm_ticket t;
	u32 ids[BLOCKS];
	long ret;

	pin(&t, r, false);
	BUG_ON(fd >= (int)ARRAY_SIZE(back));
	if (!wild)
		pthread_rwlock_rdlock(&back[fd]);
	ret = accept_it(fd, &t, ids, BLOCKS);
	if (!wild)
		pthread_rwlock_unlock(&back[fd]);
	BUG_ON(!wild && ret <= 0 && ret != -ENOENT && ret != -EINVAL);
	atomic64_add(ret > 0, &accepted);
}

/* One hold on each block that nobody has: what went with a session. */
static void hold_again(int fd)
{
	struct kvbm_hash h[HELD];
	u32 ids[HELD], i;
	u8 there[HELD];
	struct kvbm_query q = {
		.size = sizeof(q), .count = HELD, .hashes = (unsigned long)h,
		.out = (unsigned long)there,
	};

	for (i = 0; i < HELD; i++)
		h[i] = hash_of(i);
	if (host_ioctl(fd, KVBM_IOC_PRESENCE, &q) < 0)
		return;
	for (i = 0; i < HELD; i++) {
		struct kvbm_match m = {
			.size = sizeof(m), .count = 1,
			.hashes = (unsigned long)&h[i],
			.ids = (unsigned long)&ids[i],
		};

		if (there[i] == KVBM_INACTIVE)
			host_ioctl(fd, KVBM_IOC_MATCH, &m);
	}
}

static void *worker(void *arg)
{
	int *fd = arg;
	u64 start = ktime_get_ns();

	while (!over(start)) {
		u64 r = get_random_u64();

		switch (r & 7) {
		case 0 ... 2:
			give(*fd, r >> 8);
			break;
		case 3:
			if (!wild)
				break;
			if (r >> 8 & 7) {
				hold_again(*fd);
				break;
			}
			host_close(*fd);
			*fd = open_a();
			atomic64_inc(&ended);
			break;
		default:
			take(*fd, r >> 8);
		}
	}
	return NULL;
}

/* Ends others' sessions. */
static void *rogue(void *arg)
{
	u64 start = ktime_get_ns();

	while (!over(start)) {
		struct kvbm_session_entry e[32];
		struct kvbm_session_list l = {
			.size = sizeof(l), .count = ARRAY_SIZE(e),
			.entry_size = sizeof(e[0]),
			.entries = (unsigned long)e, .name = "a",
		};
		struct kvbm_session_revoke k = { .size = sizeof(k), .name = "a" };

		usleep(300);
		host_ioctl(control, KVBM_IOC_SESSION_LIST, &l);
		if (l.done < 2)
			continue;
		/* The first one is the fixture's. */
		k.session_id = e[1 + get_random_u32() % (l.done - 1)].session_id;
		if (!host_ioctl(control, KVBM_IOC_SESSION_REVOKE, &k))
			atomic64_inc(&ended);
	}
	return NULL;
}

FIXTURE(offers) {
	int fd;
	int fds[THREADS];
	u32 ids[BLOCKS];
};

FIXTURE_SETUP(offers)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = BLOCKS, .block_size = 16,
		.policy = "lru", .name = "a", .uid = -1, .gid = -1,
		.monitor_gid = -1, .max_held = BLOCKS,
	};
	struct kvbm_registered out[HELD];
	struct kvbm_hash h[HELD];
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = HELD,
		.ids = (unsigned long)self->ids,
	};
	struct kvbm_register r = {
		.size = sizeof(r), .count = HELD,
		.ids = (unsigned long)self->ids, .hashes = (unsigned long)h,
		.results = (unsigned long)out,
	};
	u32 i;

	ASSERT_EQ(0, host_insmod());
	control = host_open("control");
	ASSERT_GE(control, 0);
	ASSERT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_CREATE, &c));
	self->fd = open_a();
	for (i = 0; i < THREADS; i++)
		self->fds[i] = open_a();
	for (i = 0; i < HELD; i++)
		h[i] = hash_of(i);
	ASSERT_EQ(HELD, host_ioctl(self->fds[0], KVBM_IOC_ALLOC, &a));
	ASSERT_EQ(HELD, host_ioctl(self->fds[0], KVBM_IOC_REGISTER, &r));
	memset(board, 0, sizeof(board));
	wild = false;
}

FIXTURE_TEARDOWN(offers)
{
	struct kvbm_store_destroy d = {
		.size = sizeof(d), .flags = KVBM_DESTROY_FORCE, .name = "a",
	};
	struct kvbm_stats s = { .size = sizeof(s) };
	u32 i;

	host_delays(0);
	for (i = 0; i < THREADS; i++)
		host_close(self->fds[i]);
	EXPECT_EQ(0, host_ioctl(self->fd, KVBM_IOC_STATS, &s));
	EXPECT_EQ(0, s.offered);
	EXPECT_EQ(0, s.held);
	EXPECT_EQ(0, s.inflight_immutable);
	EXPECT_EQ(BLOCKS, s.reset_pool_size + s.inactive_pool_size);
	EXPECT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_DESTROY, &d));
	host_close(self->fd);
	host_close(control);
	EXPECT_EQ(0, host_rmmod());
}

static void together(int *fds, bool with_rogue)
{
	pthread_t t[THREADS * 2 + 1];
	u32 i, n = 0;

	wild = with_rogue;
	host_delays(6);
	/* Two threads of each session where none is ended. */
	for (i = 0; i < (wild ? THREADS : THREADS * 2); i++)
		BUG_ON(pthread_create(&t[n++], NULL, worker,
				      &fds[i % THREADS]));
	if (wild)
		BUG_ON(pthread_create(&t[n++], NULL, rogue, NULL));
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

TEST_F_TIMEOUT(offers, one_owner, 120)
{
	u32 owners[BLOCKS] = {}, ids[BLOCKS], i, k, n, sum = 0;
	struct kvbm_stats s = { .size = sizeof(s) };

	together(self->fds, false);
	for (i = 0; i < THREADS; i++) {
		n = held_by(self->fds[i], ids);
		for (k = 0; k < n; k++)
			owners[ids[k]]++;
		sum += n;
	}
	EXPECT_EQ(HELD, sum);
	for (i = 0; i < HELD; i++)
		EXPECT_EQ(1, owners[self->ids[i]]);
	EXPECT_EQ(0, host_ioctl(self->fd, KVBM_IOC_STATS, &s));
	EXPECT_EQ(HELD, s.inflight_immutable);
	EXPECT_EQ(HELD, s.held);
	TH_LOG("accepted %lld, withdrawn %lld, too late %lld, busy %lld",
	       (long long)atomic64_read(&accepted),
	       (long long)atomic64_read(&withdrawn),
	       (long long)atomic64_read(&late),
	       (long long)atomic64_read(&busy));
	EXPECT_GT(atomic64_read(&accepted), 10);
	EXPECT_GT(atomic64_read(&withdrawn), 10);
	EXPECT_GT(atomic64_read(&busy), 10);
}

TEST_F_TIMEOUT(offers, with_deaths, 120)
{
	together(self->fds, true);
	TH_LOG("accepted %lld, ended %lld",
	       (long long)atomic64_read(&accepted),
	       (long long)atomic64_read(&ended));
	EXPECT_GT(atomic64_read(&accepted), 10);
	EXPECT_GT(atomic64_read(&ended), 10);
}

/* Accepting frees part of the giver's limit: that is worth waiting for. */
TEST_F(offers, no_deadlock)
{
	struct kvbm_ticket t;
	u32 ids[BLOCKS];
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = BLOCKS - HELD + 1,
		.ids = (unsigned long)ids, .flags = KVBM_ALLOC_WAIT,
	};

	host_set_alone(true);
	EXPECT_EQ(-EDEADLK, host_ioctl(self->fds[0], KVBM_IOC_ALLOC, &a));
	ASSERT_EQ(0, offer(self->fds[0], self->ids, HELD, &t));
	EXPECT_EQ(-ETIMEDOUT, host_ioctl(self->fds[0], KVBM_IOC_ALLOC, &a));
	EXPECT_EQ(HELD, withdraw(self->fds[0], &t));
	EXPECT_EQ(-EDEADLK, host_ioctl(self->fds[0], KVBM_IOC_ALLOC, &a));
	host_set_alone(false);
}

static bool begun, over_now;

static void *alloc_meanwhile(void *arg)
{
	int fd = *(int *)arg;
	long ret = 1;
	u32 id;

	while (!READ_ONCE(over_now) && ret == 1) {
		struct kvbm_alloc a = {
			.size = sizeof(a), .count = 1,
			.ids = (unsigned long)&id,
		};

		ret = host_ioctl(fd, KVBM_IOC_ALLOC, &a);
		if (ret == 1)
			ret = ids_op(fd, KVBM_IOC_RELEASE, &id, 1);
		WRITE_ONCE(begun, true);
	}
	return (void *)ret;
}

/* Each takes one of max_held, also while they move: more still fit. */
TEST_F_TIMEOUT(offers, counted_once, 60)
{
	u32 round, ids[BLOCKS];

	host_delays(6);
	for (round = 0; round < 200; round++) {
		int from = self->fds[round % 2], to = self->fds[!(round % 2)];
		struct kvbm_ticket t;
		pthread_t other;
		void *ret;

		ASSERT_EQ(0, offer(from, self->ids, HELD, &t));
		WRITE_ONCE(begun, false);
		WRITE_ONCE(over_now, false);
		ASSERT_EQ(0, pthread_create(&other, NULL, alloc_meanwhile,
					    &to));
		while (!READ_ONCE(begun))
			usleep(10);
		EXPECT_EQ(HELD, accept_it(to, &t, ids, BLOCKS));
		WRITE_ONCE(over_now, true);
		pthread_join(other, &ret);
		ASSERT_EQ(1, (long)ret);
	}
}

/* Faults in every allocation: reported, and nothing has changed. */
TEST_F_TIMEOUT(offers, no_memory, 60)
{
	struct kvbm_stats s = { .size = sizeof(s) };
	unsigned int tried = 0;
	struct kvbm_ticket t;
	u32 ids[BLOCKS];
	long ret;

	for (ret = -ENOMEM; ret == -ENOMEM; tried++) {
		host_fail_nth(1 + tried);
		ret = offer(self->fds[0], self->ids, HELD, &t);
		host_fail_fired();
		s = (struct kvbm_stats) { .size = sizeof(s) };
		EXPECT_EQ(0, host_ioctl(self->fd, KVBM_IOC_STATS, &s));
		EXPECT_EQ(ret ? 0 : HELD, s.offered);
	}
	EXPECT_EQ(0, ret);
	EXPECT_GT(tried, 3);
	for (ret = -ENOMEM, tried = 0; ret == -ENOMEM; tried++) {
		host_fail_nth(1 + tried);
		ret = accept_it(self->fds[1], &t, ids, BLOCKS);
		host_fail_fired();
		EXPECT_EQ(ret == HELD ? HELD : 0, held_by(self->fds[1], ids));
	}
	EXPECT_EQ(HELD, ret);
	EXPECT_GT(tried, 1);
	EXPECT_EQ(0, held_by(self->fds[0], ids));
}

TEST_HARNESS_MAIN
