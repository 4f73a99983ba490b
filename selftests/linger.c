// SPDX-License-Identifier: MIT
/*
 * linger_ms: blocks that a session owned when it ended come back that much
 * later; everything else comes back at once.  At every moment, reset +
 * inactive + held + lingering is the total.
 */
#include <liburing.h>
#include <linux/dm-ioctl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/sysmacros.h>
#include <sys/stat.h>
#include "kvbm_modules.h"

#define TOTAL	16
#define MS	1000000ULL
#define LINGER	1500		/* ms; emulated machines are slow */

FIXTURE(linger) {
	int fd;
	struct kvbm_hash h[TOTAL];
	uint32_t ids[TOTAL];
};

FIXTURE_SETUP(linger)
{
	self->fd = kt_store(TOTAL, .policy = "lru", .linger_ms = LINGER);
	ASSERT_GE(self->fd, 0);
	kt_singles(self->h, TOTAL, 40);
}

FIXTURE_TEARDOWN(linger)
{
	kt_check(self->fd);
	close(self->fd);
}

static int revoke_session(int fd, uint64_t id, uint32_t flags, uint64_t *reclaimed)
{
	struct kvbm_session_revoke r = {
		.size = sizeof(r), .flags = flags, .session_id = id,
	};
	int ret = kt_ioctl(fd, KVBM_IOC_SESSION_REVOKE, &r);

	if (reclaimed)
		*reclaimed = r.reclaimed;
	return ret;
}

static bool whole(int fd)
{
	struct kvbm_counts c = kt_counts(fd);

	return c.reset + c.inactive + c.held + c.lingering == c.total;
}

/* A child with two Mutable, one Staged and two registered blocks, killed. */
static pid_t victim(int from, const struct kvbm_hash *h)
{
	struct kt_pipe ready;
	pid_t pid;

	kt_pipe_open(&ready);
	pid = kt_fork();
	if (!pid) {
		int fd = kvbm_session_open(from);
		uint32_t ids[3], held[2];

		KT_MUST(kvbm_alloc(fd, 3, ids, NULL, NULL) == 3);
		KT_MUST(kvbm_stage(fd, 1, ids, h, NULL, NULL) == 1);
		KT_MUST(kt_fill(fd, 2, h + 1, held) == 2);
		kt_tell(&ready, 1);
		for (;;)
			pause();
	}
	KT_MUST(kt_hear(&ready) == 1);
	close(ready.fd[0]);
	close(ready.fd[1]);
	return pid;
}

TEST_F(linger, owned_only)
{
	pid_t pid = victim(self->fd, self->h);
	struct kvbm_counts c = kt_counts(self->fd);
	uint32_t id, lingering = 0;
	uint64_t begin;

	EXPECT_EQ(5, c.held);
	EXPECT_EQ(0, c.lingering);
	/* The session ends after this, and may long before it is reaped. */
	begin = kt_now();
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	c = kt_counts(self->fd);
	EXPECT_EQ(3, c.lingering);
	EXPECT_EQ(0, c.held);
	EXPECT_EQ(2, c.inactive);
	EXPECT_EQ(TOTAL - 5, c.reset);
	EXPECT_EQ(TOTAL - 3, c.available);
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
	EXPECT_EQ(3, kt_stats(self->fd).lingering);
	EXPECT_EQ(0, kt_stats(self->fd).inflight_mutable);
	EXPECT_EQ(2, kt_stats(self->fd).reclaimed_holds);
	EXPECT_EQ(0, kt_stats(self->fd).reclaimed_owned);
	for (id = 0; id < TOTAL; id++) {
		struct kvbm_block_info i = kt_info(self->fd, id);

		if (i.state != KVBM_STATE_LINGERING)
			continue;
		lingering++;
		EXPECT_EQ(0, i.holds);
		EXPECT_EQ(0, i.hash.hi | i.hash.lo);
		/* Nobody's, so nobody can do a thing with it. */
		EXPECT_EQ(-EPERM, kvbm_release(self->fd, 1, &id, 0, NULL));
		EXPECT_EQ(-EPERM, kvbm_stage(self->fd, 1, &id, self->h, NULL,
					     NULL));
	}
	EXPECT_EQ(3, lingering);
	EXPECT_EQ(KVBM_ABSENT, kt_presence(self->fd, self->h[0]));
	EXPECT_EQ(KVBM_INACTIVE, kt_presence(self->fd, self->h[1]));
	/* The rest can be had, no more; who waits has it all in time. */
	EXPECT_EQ(-ENOSPC, kvbm_alloc(self->fd, TOTAL - 2, self->ids, NULL,
				      NULL));
	ASSERT_EQ(TOTAL, kvbm_alloc_wait(self->fd, TOTAL, self->ids, NULL, NULL,
					 begin + 60000 * MS));
	EXPECT_GE(kt_now() - begin, LINGER * MS);
	/* Counted when all are back, which may be after the grant. */
	EXPECT_TRUE(kt_until(kt_stats(self->fd).reclaimed_owned == 3));
	EXPECT_EQ(0, kt_counts(self->fd).lingering);
	EXPECT_EQ(TOTAL, kt_counts(self->fd).held);
	EXPECT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

/* Blocks given back by a call, or only held, do not linger. */
TEST_F(linger, nothing_owned)
{
	int fd = kvbm_session_open(self->fd);

	ASSERT_EQ(4, kvbm_alloc(fd, 4, self->ids, NULL, NULL));
	EXPECT_EQ(4, kvbm_release(fd, 4, self->ids, 0, NULL));
	ASSERT_EQ(4, kt_fill(fd, 4, self->h, self->ids));
	close(fd);
	EXPECT_EQ(0, kt_counts(self->fd).lingering);
	EXPECT_EQ(TOTAL, kt_counts(self->fd).available);
}

TEST_F(linger, poll_is_told)
{
	struct pollfd p = { .fd = self->fd, .events = POLLOUT };
	pid_t pid;

	ASSERT_EQ(0, kvbm_session_config(self->fd, TOTAL));
	pid = victim(self->fd, self->h);
	EXPECT_EQ(0, poll(&p, 1, 0));
	kt_kill(pid);
	EXPECT_EQ(0, poll(&p, 1, 0));
	EXPECT_EQ(1, poll(&p, 1, 60000));
	EXPECT_EQ(0, kt_counts(self->fd).lingering);
}

static int find(int fd, uint64_t id, struct kvbm_session_entry *out)
{
	struct kvbm_session_entry list[8] = {};
	int i, n = kvbm_session_list(fd, 8, list, NULL);

	for (i = 0; i < n; i++) {
		if (list[i].session_id != id)
			continue;
		*out = list[i];
		return 1;
	}
	return 0;
}

TEST_F(linger, listed_and_revoked)
{
	struct kvbm_session_entry e;
	int fd = kvbm_session_open(self->fd);
	uint64_t id = kt_session_id(fd), n = 0;

	ASSERT_EQ(3, kvbm_alloc(fd, 3, self->ids, NULL, NULL));
	ASSERT_EQ(1, find(self->fd, id, &e));
	EXPECT_EQ(0, e.flags);
	close(fd);
	ASSERT_EQ(1, find(self->fd, id, &e));
	EXPECT_EQ(KVBM_SESSION_LINGERS | KVBM_SESSION_ENDED, e.flags);
	EXPECT_EQ(3, e.mutable_blocks);
	EXPECT_EQ(getpid(), e.pid);
	EXPECT_EQ(0, e.uid);
	/* At once, and once. */
	EXPECT_EQ(0, revoke_session(self->fd, id, 0, &n));
	EXPECT_EQ(3, n);
	EXPECT_EQ(TOTAL, kt_counts(self->fd).available);
	EXPECT_EQ(-ENOENT, revoke_session(self->fd, id, 0, NULL));
	EXPECT_EQ(-ENOENT, revoke_session(self->fd, id, KVBM_REVOKE_NOW, NULL));
	EXPECT_EQ(0, find(self->fd, id, &e));
}

/* A revocation takes records, not the process's devices. */
TEST_F(linger, revoke_of_a_live_one)
{
	struct kvbm_session_entry e;
	int fd = kvbm_session_open(self->fd);
	uint64_t id = kt_session_id(fd), n = 0;

	ASSERT_EQ(3, kvbm_alloc(fd, 3, self->ids, NULL, NULL));
	ASSERT_EQ(2, kt_fill(fd, 2, self->h, self->ids + 3));
	EXPECT_EQ(0, revoke_session(self->fd, id, 0, &n));
	EXPECT_EQ(2, n);
	EXPECT_EQ(3, kt_counts(self->fd).lingering);
	EXPECT_EQ(-ESHUTDOWN, kvbm_release(fd, 3, self->ids, 0, NULL));
	/* The process may still write: only NOW ends it. */
	EXPECT_EQ(0, revoke_session(self->fd, id, 0, &n));
	EXPECT_EQ(0, n);
	EXPECT_EQ(3, kt_counts(self->fd).lingering);
	ASSERT_EQ(1, find(self->fd, id, &e));
	EXPECT_EQ(KVBM_SESSION_REVOKED | KVBM_SESSION_LINGERS, e.flags);
	EXPECT_EQ(3, e.mutable_blocks);
	EXPECT_EQ(0, revoke_session(self->fd, id, KVBM_REVOKE_NOW, &n));
	EXPECT_EQ(3, n);
	EXPECT_EQ(0, kt_counts(self->fd).lingering);
	EXPECT_EQ(0, revoke_session(self->fd, id, KVBM_REVOKE_NOW, &n));
	EXPECT_EQ(0, n);
	close(fd);
	EXPECT_EQ(0, find(self->fd, id, &e));

	fd = kvbm_session_open(self->fd);
	id = kt_session_id(fd);
	ASSERT_EQ(3, kvbm_alloc(fd, 3, self->ids, NULL, NULL));
	EXPECT_EQ(0, revoke_session(self->fd, id, KVBM_REVOKE_NOW, &n));
	EXPECT_EQ(3, n);
	EXPECT_EQ(0, kt_counts(self->fd).lingering);
	close(fd);

	/* Revoked, closed, and what lingers ended by anybody's next one. */
	fd = kvbm_session_open(self->fd);
	id = kt_session_id(fd);
	ASSERT_EQ(3, kvbm_alloc(fd, 3, self->ids, NULL, NULL));
	EXPECT_EQ(0, revoke_session(self->fd, id, 0, &n));
	close(fd);
	EXPECT_EQ(3, kt_counts(self->fd).lingering);
	EXPECT_EQ(0, revoke_session(self->fd, id, 0, &n));
	EXPECT_EQ(0, kt_counts(self->fd).lingering);
}

/* By user: those that ended linger on, but for NOW. */
TEST_F(linger, revoked_by_user)
{
	struct kvbm_session_revoke r = {
		.size = sizeof(r), .flags = KVBM_REVOKE_UID, .uid = 1000,
	};
	pid_t pid = kt_fork();

	if (!pid) {
		int fd;

		KT_MUST(!setgid(1000) && !setuid(1000));
		fd = kvbm_session_open(self->fd);
		KT_MUST(kvbm_alloc(fd, 3, self->ids, NULL, NULL) == 3);
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(3, kt_counts(self->fd).lingering);
	EXPECT_EQ(-ENOENT, kt_ioctl(self->fd, KVBM_IOC_SESSION_REVOKE, &r));
	EXPECT_EQ(3, kt_counts(self->fd).lingering);
	r.flags |= KVBM_REVOKE_NOW;
	EXPECT_EQ(0, kt_ioctl(self->fd, KVBM_IOC_SESSION_REVOKE, &r));
	EXPECT_EQ(3, r.reclaimed);
	EXPECT_EQ(0, r.sessions);
	EXPECT_EQ(0, kt_counts(self->fd).lingering);
}

/* Counts are one snapshot, whatever else runs. */
struct storm {
	int fd;
	int stop;
	const struct kvbm_hash *h;
};

static void *storm(void *arg)
{
	struct storm *s = arg;
	unsigned int seed = 7;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		int fd = kvbm_session_open(s->fd);
		uint32_t ids[4];

		if (kvbm_alloc(fd, 1 + rand_r(&seed) % 4, ids, NULL, NULL) > 1)
			kvbm_stage_register(fd, 1, ids,
					    &s->h[rand_r(&seed) % TOTAL],
					    (struct kvbm_registered[1]) {}, 0,
					    NULL);
		kvbm_match(fd, 2, &s->h[rand_r(&seed) % (TOTAL - 1)], ids,
			   NULL);
		if (rand_r(&seed) % 3 == 0)
			revoke_session(s->fd, kt_session_id(fd),
			       rand_r(&seed) % 2 ? KVBM_REVOKE_NOW : 0, NULL);
		close(fd);
	}
	return NULL;
}

TEST(sums_at_every_moment)
{
	int fd = kt_store(TOTAL, .policy = "lru", .linger_ms = 5);
	struct kvbm_hash h[TOTAL];
	struct storm s = { .fd = fd, .h = h };
	uint64_t end = kt_now() + 2000 * MS;
	uint32_t looks = 0, lingering = 0, held = 0, wrong = 0;
	pthread_t t[3];
	int i;

	ASSERT_GE(fd, 0);
	kt_singles(h, TOTAL, 40);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, storm, &s));
	while (kt_now() < end) {
		struct kvbm_counts c = kt_counts(fd);

		looks++;
		lingering += !!c.lingering;
		held += !!c.held;
		wrong += c.reset + c.inactive + c.held + c.lingering != c.total;
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	EXPECT_EQ(0, wrong);
	EXPECT_GT(lingering, 0);
	EXPECT_GT(held, 0);
	EXPECT_TRUE(kt_until(!kt_counts(fd).lingering));
	kt_check(fd);
	close(fd);
}

/* A user does not get around max_held by leaving and coming back. */
TEST(charged_to_the_user)
{
	int fd = kt_store(64, .linger_ms = 600, .max_held = 4);
	int early, loop, late;
	uint32_t ids[8];
	pid_t pid;

	ASSERT_GE(fd, 0);
	early = kvbm_session_open(fd);
	loop = kvbm_session_open(fd);
	ASSERT_EQ(4, kvbm_alloc(loop, 4, ids, NULL, NULL));
	close(loop);
	/* Opened since: charged with what lingers. */
	late = kvbm_session_open(fd);
	ASSERT_GE(late, 0);
	EXPECT_EQ(-EDQUOT, kvbm_alloc(late, 1, ids, NULL, NULL));
	/* Another worker of the user, opened before: it goes on. */
	EXPECT_EQ(4, kvbm_alloc(early, 4, ids, NULL, NULL));
	/* Another user too. */
	pid = kt_fork();
	if (!pid) {
		KT_MUST(!setgid(1000) && !setuid(1000));
		loop = kvbm_session_open(fd);
		KT_MUST(kvbm_alloc(loop, 4, ids, NULL, NULL) == 4);
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(8, kt_counts(fd).lingering);
	/* As it comes back, so does the limit, in sessions that are open. */
	EXPECT_TRUE(kt_until(({
		uint32_t more[4];

		kvbm_alloc(late, 4, more, NULL, NULL) == 4 ||
		kt_self(late).mutable_blocks == 4;
	})));
	EXPECT_LE(kt_counts(fd).lingering, 4);
	close(late);
	close(early);
	EXPECT_TRUE(kt_until(!kt_counts(fd).lingering));
	close(fd);
}

static void leave(int fd, uint32_t n)
{
	int loop = kvbm_session_open(fd);
	uint32_t ids[8];

	KT_MUST(kvbm_alloc(loop, n, ids, NULL, NULL) == n);
	close(loop);
}

/* A limit that lingering blocks lower is worth waiting for, alone too. */
TEST(wait_for_the_limit)
{
	int fd = kt_store(64, .linger_ms = 600, .max_held = 4), late;
	uint32_t ids[8];

	ASSERT_GE(fd, 0);
	leave(fd, 4);
	late = kvbm_session_open(fd);
	EXPECT_EQ(-EDQUOT, kvbm_alloc(late, 1, ids, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_alloc_wait(late, 5, ids, NULL, NULL,
					   KVBM_NO_DEADLINE));
	EXPECT_EQ(-EINVAL, kvbm_session_config(late, 5));
	EXPECT_EQ(0, kvbm_session_config(late, 4));
	EXPECT_EQ(3, kvbm_alloc_wait(late, 3, ids, NULL, NULL,
				     kvbm_deadline(60000 * MS)));
	EXPECT_EQ(1, kvbm_alloc_wait(late, 1, ids, NULL, NULL,
				     kvbm_deadline(60000 * MS)));
	/* All is back: nobody but itself could end this one. */
	EXPECT_EQ(0, kt_counts(fd).lingering);
	EXPECT_EQ(-EDEADLK, kvbm_alloc_wait(late, 1, ids, NULL, NULL,
					    KVBM_NO_DEADLINE));
	close(late);
	close(fd);
}

/* Each shortage is followed by an edge, though it was above the limit of then. */
TEST(edges_of_the_limit)
{
	struct epoll_event e = { .events = EPOLLOUT | EPOLLET };
	int fd = kt_store(64, .linger_ms = LINGER, .max_held = 4);
	int late, ep = epoll_create1(EPOLL_CLOEXEC), got = -EDQUOT, i;
	uint32_t ids[8];

	ASSERT_GE(fd, 0);
	leave(fd, 2);
	kt_sleep_ms(LINGER / 2);
	leave(fd, 2);
	late = kvbm_session_open(fd);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, late, &e));
	for (i = 0; i < 8 && got < 0; i++) {
		got = kvbm_alloc(late, 3, ids, NULL, NULL);
		if (got == -EDQUOT)
			ASSERT_EQ(1, epoll_wait(ep, &e, 1, 20000));
	}
	EXPECT_EQ(3, got);
	close(ep);
	close(late);
	close(fd);
}

/* Places are free at once; how many may linger is bounded by user. */
TEST(max_sessions)
{
	int fd = kt_store(4200, .linger_ms = 60000, .max_sessions = 3);
	struct kvbm_session_entry *list;
	uint32_t id, total = 0;
	int i, one, seen = 0;
	pid_t pid;

	ASSERT_GE(fd, 0);
	for (i = 0; i < 4096; i++) {
		one = kvbm_session_open(fd);
		ASSERT_GE(one, 0);
		ASSERT_EQ(1, kvbm_alloc(one, 1, &id, NULL, NULL));
		close(one);
	}
	EXPECT_EQ(1, kt_stats(fd).sessions);
	EXPECT_EQ(4096, kt_counts(fd).lingering);
	EXPECT_EQ(-EDQUOT, kvbm_session_open(fd));
	pid = kt_fork();
	if (!pid) {
		KT_MUST(!setgid(1000) && !setuid(1000));
		KT_MUST(kvbm_session_open(fd) >= 0);
		KT_MUST(kvbm_session_open(fd) >= 0);
		KT_MUST(kvbm_session_open(fd) == -EUSERS);
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	list = calloc(5000, sizeof(*list));
	EXPECT_EQ(4097, kvbm_session_list(fd, 5000, list, &total));
	EXPECT_EQ(4097, total);
	for (i = 0; i < 4097; i++)
		seen += list[i].flags == (KVBM_SESSION_LINGERS |
					  KVBM_SESSION_ENDED);
	EXPECT_EQ(4096, seen);
	/* One that was revoked makes place for one. */
	EXPECT_EQ(0, revoke_session(fd, list[2000].session_id, 0, NULL));
	one = kvbm_session_open(fd);
	EXPECT_GE(one, 0);
	close(one);
	free(list);
	/* The last session goes, and the anonymous store with it: no waiting. */
	close(fd);
}

static uint32_t nr_stores(void)
{
	struct kvbm_store_list l = { .size = sizeof(l) };
	int control = kvbm_control_open();

	ioctl(control, KVBM_IOC_STORE_LIST, &l);
	close(control);
	return l.total;
}

TEST(store_goes_first)
{
	uint32_t before = nr_stores(), ids[4];
	int fd = kt_store(8, .linger_ms = 600000);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(before + 1, nr_stores());
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	close(fd);
	EXPECT_EQ(before, nr_stores());

	/* A named one is not busy for what lingers. */
	ASSERT_EQ(-1, kt_store(8, .linger_ms = 600000, .name = "lingers"));
	fd = kvbm_open("lingers");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	EXPECT_EQ(-EBUSY, kt_destroy("lingers", 0));
	close(fd);
	EXPECT_EQ(0, kt_destroy("lingers", 0));
	EXPECT_EQ(before, nr_stores());

	/* Forced, while it lingers and while others have it open. */
	ASSERT_EQ(-1, kt_store(8, .linger_ms = 600000, .name = "lingers"));
	fd = kvbm_open("lingers");
	ASSERT_EQ(2, kvbm_alloc(fd, 2, ids, NULL, NULL));
	close(fd);
	fd = kvbm_open("lingers");
	ASSERT_EQ(2, kvbm_alloc(fd, 2, ids, NULL, NULL));
	EXPECT_EQ(0, kt_destroy("lingers", KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENODEV, kvbm_alloc(fd, 2, ids, NULL, NULL));
	close(fd);
	EXPECT_EQ(before, nr_stores());
}

TEST(limits)
{
	EXPECT_EQ(-EINVAL, kt_store(8, .linger_ms = KVBM_MAX_LINGER_MS + 1));
}

/* The module goes while blocks linger: its work is ended, not waited for. */
TEST(unload)
{
	const char *ko = getenv("KVBM_MODULE");
	uint64_t begin;
	uint32_t ids[4];
	int fd, ret;

	if (!ko)
		SKIP(return, "KVBM_MODULE does not name the module");
	ASSERT_EQ(-1, kt_store(8, .linger_ms = 600000, .name = "lingers"));
	fd = kvbm_open("lingers");
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	close(fd);
	begin = kt_now();
	do {
		ret = kt_rmmod("kvbm");
		kt_sleep_ms(1);
	} while (ret == -EAGAIN && kt_now() - begin < 10000 * MS);
	EXPECT_EQ(0, ret);
	EXPECT_LT(kt_now() - begin, 10000 * MS);
	fd = open(ko, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, syscall(SYS_finit_module, fd, "", 0));
	close(fd);
}

/*
 * The purpose of linger: an O_DIRECT read that io_uring lets go on after its
 * process was killed and reaped.  The disk answers after DELAY ms.
 */

#define DELAY	400
#define BYTES	65536

static int dm_ioctl(int fd, unsigned long cmd, const char *name, void *more,
		    size_t len, struct dm_ioctl *out)
{
	char buf[1024] = {};
	struct dm_ioctl *d = (void *)buf;

	d->version[0] = 4;
	d->data_size = sizeof(buf);
	d->data_start = sizeof(*d);
	strcpy(d->name, name);
	if (more) {
		memcpy(d + 1, more, len);
		d->target_count = 1;
	}
	if (ioctl(fd, cmd, d))
		return -errno;
	if (out)
		*out = *d;
	return 0;
}

/* A disk whose reads take their time: its node, or -errno. */
static int slow_disk(char *node, size_t size)
{
	struct {
		struct dm_target_spec spec;
		char params[64];
	} table = { .spec = { .length = 8192, .target_type = "delay" } };
	struct dm_ioctl d;
	int fd, err;

	err = kt_insmod("brd", "rd_nr=1 rd_size=4096") ?:
	      kt_insmod("dm-mod", "") ?: kt_insmod("dm-delay", "");
	if (err)
		return err;
	fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(table.params, sizeof(table.params), "/dev/ram0 0 %d", DELAY);
	table.spec.next = sizeof(table);
	err = dm_ioctl(fd, DM_DEV_CREATE, "slow", NULL, 0, &d);
	if (err == -EBUSY)
		err = dm_ioctl(fd, DM_DEV_STATUS, "slow", NULL, 0, &d);
	else
		err = err ?: dm_ioctl(fd, DM_TABLE_LOAD, "slow", &table,
				      sizeof(table), NULL) ?:
			     dm_ioctl(fd, DM_DEV_SUSPEND, "slow", NULL, 0, NULL);
	close(fd);
	if (err)
		return err;
	snprintf(node, size, "/tmp/slow-%d", getpid());
	return mknod(node, S_IFBLK | 0600, d.dev) && errno != EEXIST ? -errno :
								       0;
}

FIXTURE(in_flight) {
	char node[64];
	uint8_t *pool;
};

FIXTURE_VARIANT(in_flight) {
	uint32_t linger_ms;
	bool fixed;		/* a registered buffer */
};

FIXTURE_VARIANT_ADD(in_flight, hazard) { .linger_ms = 0 };
FIXTURE_VARIANT_ADD(in_flight, hazard_fixed) { .linger_ms = 0, .fixed = true };
FIXTURE_VARIANT_ADD(in_flight, lingers) { .linger_ms = 1500 };
FIXTURE_VARIANT_ADD(in_flight, lingers_fixed) {
	.linger_ms = 1500, .fixed = true
};

FIXTURE_SETUP(in_flight)
{
	int err = slow_disk(self->node, sizeof(self->node));

	/* A fixture cannot skip; without a pool the test does. */
	if (err == -ENOENT)
		return;
	ASSERT_EQ(0, err);
	self->pool = kt_shared(BYTES);
	ASSERT_NE(NULL, self->pool);
}

FIXTURE_TEARDOWN(in_flight)
{
	unlink(self->node);
}

TEST_F(in_flight, killed_reader)
{
	struct kt_pipe ready;
	uint64_t begin;
	uint32_t id;
	pid_t pid;
	int fd, i;

	if (!self->pool)
		SKIP(return, "this kernel's brd and dm-delay are not at hand");
	fd = kt_store(1, .linger_ms = variant->linger_ms);
	ASSERT_GE(fd, 0);
	kt_pipe_open(&ready);
	pid = kt_fork();
	if (!pid) {
		int ses = kvbm_session_open(fd);
		int disk = open(self->node, O_RDONLY | O_DIRECT | O_CLOEXEC);
		struct iovec v = { self->pool, BYTES };
		struct io_uring_sqe *sqe;
		struct io_uring ring;

		KT_MUST(ses >= 0 && disk >= 0);
		KT_MUST(kvbm_alloc(ses, 1, &id, NULL, NULL) == 1);
		KT_MUST(!io_uring_queue_init(4, &ring, 0));
		if (variant->fixed)
			KT_MUST(!io_uring_register_buffers(&ring, &v, 1));
		sqe = io_uring_get_sqe(&ring);
		if (variant->fixed)
			io_uring_prep_read_fixed(sqe, disk, self->pool, BYTES,
						 0, 0);
		else
			io_uring_prep_read(sqe, disk, self->pool, BYTES, 0);
		KT_MUST(io_uring_submit(&ring) == 1);
		/* A worker of the ring has to bring it to the disk. */
		kt_sleep_ms(DELAY / 4);
		kt_tell(&ready, 1);
		for (;;)
			pause();
	}
	ASSERT_EQ(1, kt_hear(&ready));
	begin = kt_now();
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	ASSERT_EQ(1, kvbm_alloc_wait(fd, 1, &id, NULL, NULL,
				     begin + 60000 * MS));
	memset(self->pool, 0x11, BYTES);
	EXPECT_GE(kt_now() - begin, variant->linger_ms * MS);
	/* Until the disk has answered. */
	while (kt_now() - begin < 3 * DELAY * MS)
		kt_sleep_ms(10);
	for (i = 0; i < BYTES && self->pool[i] == 0x11; i++)
		;
	/* Without it: the hazard that the documentation describes. */
	EXPECT_EQ(!!variant->linger_ms, i == BYTES);
	close(fd);
}

TEST_HARNESS_MAIN
