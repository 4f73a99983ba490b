// SPDX-License-Identifier: MIT
/*
 * Events: which events each change of a hash makes, who gets them, and what a
 * reader sees that is slow, sleeps, polls, or outlives the store.
 */
#include <liburing.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include "kvbm_test.h"

#define RECORDS	1024
#define ALL	(1U << KVBM_EVENT_STORED | 1U << KVBM_EVENT_REMOVED |	\
		 1U << KVBM_EVENT_DUPLICATE | 1U << KVBM_EVENT_DUPLICATE_GONE)
#define TENANT	4711
#define MONITOR	4799

#define make(n, ...)	kt_store(n, .event_records = RECORDS, ##__VA_ARGS__)

static int events(int fd, uint64_t next, uint32_t types, uint32_t flags)
{
	struct kvbm_events e = { .next = next, .types = types, .flags = flags };

	return kvbm_events_open(fd, &e);
}

static int events_named(const char *name, uint64_t next, uint32_t types)
{
	struct kvbm_events e = { .next = next, .types = types,
				 .flags = KVBM_EVENTS_NONBLOCK };
	struct kvbm_store_ref ref = { .name = name };
	int control = kvbm_control_open(), ret;

	if (control < 0)
		return control;
	ret = kvbm_events_open_of(control, &ref, &e);
	close(control);
	return ret;
}

static uint64_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* The next event; its type, or -errno, or 0 at the end. */
static int next_event(int fd, struct kvbm_event *e)
{
	int got;

	kt_poison(*e);
	got = kvbm_events_read(fd, e, 1);
	return got < 1 ? got : e->type;
}

#define EXPECT_EVENT(fd, _type, _reason, _block, _hash, _session) ({	\
	struct kvbm_event __e;						\
	EXPECT_EQ(_type, next_event(fd, &__e));				\
	EXPECT_EQ(_reason, __e.reason);					\
	EXPECT_EQ(_block, __e.block);					\
	EXPECT_TRUE(kt_same(_hash, __e.hash));				\
	EXPECT_EQ(_session, __e.session);				\
	EXPECT_EQ(0, __e.noted);						\
	EXPECT_EQ(0, __e.count);					\
	__e; })

#define EXPECT_NOTHING(fd) ({						\
	struct kvbm_event __e;						\
	EXPECT_EQ(-EAGAIN, next_event(fd, &__e)); })

TEST(creation)
{
	struct kvbm_store_info info;
	int fd;

	EXPECT_EQ(-EINVAL, kt_store(8, .event_records = 1));
	EXPECT_EQ(-EINVAL, kt_store(8, .event_records =
				       KVBM_MIN_EVENT_RECORDS / 2));
	EXPECT_EQ(-EINVAL, kt_store(8, .event_records = 1000));
	EXPECT_EQ(-EINVAL, kt_store(8, .event_records =
				       2 * KVBM_MAX_EVENT_RECORDS));
	fd = kt_store(8);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(-ENODATA, events(fd, 0, 0, 0));
	EXPECT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(0, info.event_records);
	close(fd);
	fd = kt_store(8, .event_records = KVBM_MIN_EVENT_RECORDS);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(KVBM_MIN_EVENT_RECORDS, info.event_records);
	EXPECT_GE(info.need, info.memory);
	close(fd);
	/* Memory that is kept is charged. */
	fd = kt_store(8, .event_records = 1U << 16);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_GE(info.memory, 64ULL << 16);
	EXPECT_GE(info.need, info.memory);
	close(fd);
}

TEST(arguments)
{
	struct kvbm_events e;
	int fd = make(8);

	ASSERT_GE(fd, 0);
#define ARGS(...) (e = (struct kvbm_events){ .size = sizeof(e), ##__VA_ARGS__ }, \
		   kt_ioctl(fd, KVBM_IOC_EVENTS, &e))
	EXPECT_EQ(-EOPNOTSUPP, ARGS(.flags = 4));
	EXPECT_EQ(-EINVAL, ARGS(.flags = KVBM_EVENTS_NOTES));
	EXPECT_EQ(-EOPNOTSUPP, ARGS(.reserved = { 0, 1 }));
	EXPECT_EQ(-EOPNOTSUPP, ARGS(.records = 1));
	EXPECT_EQ(-EINVAL, ARGS(.types = 1));
	EXPECT_EQ(-EINVAL, ARGS(.types = 1U << 7));
	EXPECT_EQ(-EINVAL, ARGS(.types = 1U << 31));
	EXPECT_EQ(-EINVAL, ARGS(.next = 2));
	EXPECT_EQ(-EINVAL, ARGS(.next = ~0ULL));
	EXPECT_EQ(-EINVAL, ARGS(.name = "x"));
	EXPECT_EQ(-EINVAL, ARGS(.store_id = 1));
	EXPECT_EQ(0, ARGS(.next = 1, .flags = KVBM_EVENTS_NONBLOCK));
	EXPECT_EQ(1, e.next);
	EXPECT_EQ(RECORDS, e.records);
	EXPECT_EQ(sizeof(struct kvbm_event), e.record_size);
	EXPECT_EQ(kt_store_id(fd), e.store_id);
	EXPECT_TRUE(fcntl(e.fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_TRUE(fcntl(e.fd, F_GETFL) & O_NONBLOCK);
	/* It is no session, and it cannot be written. */
	EXPECT_EQ(-ENOTTY, kt_ioctl(e.fd, KVBM_IOC_EVENTS, &e));
	EXPECT_EQ(-1, write(e.fd, &e, sizeof(e)));
	EXPECT_EQ(-1, lseek(e.fd, 0, SEEK_SET));
	EXPECT_EQ(-1, read(e.fd, &e, sizeof(struct kvbm_event) - 1));
	EXPECT_EQ(EINVAL, errno);
	close(e.fd);
	close(fd);
}

TEST(each_way)
{
	struct kvbm_hash h[4], other = kt_single(99), none = {};
	uint64_t session, before = boottime();
	struct kvbm_registered reg;
	struct kvbm_event first, e;
	uint32_t ids[4], id;
	int fd, ev;

	fd = make(4, .policy = "lru", .name = "events");
	ASSERT_EQ(-1, fd);
	fd = kvbm_open("events");
	ASSERT_GE(fd, 0);
	ev = events(fd, 0, ALL, KVBM_EVENTS_NONBLOCK);
	ASSERT_GE(ev, 0);
	session = kt_session_id(fd);
	kt_singles(h, 4, 1);
	EXPECT_NOTHING(ev);

	/* Staging is nothing to tell. */
	ASSERT_EQ(4, kvbm_alloc(fd, 4, ids, NULL, NULL));
	EXPECT_EQ(1, kvbm_stage(fd, 1, ids, h, NULL, NULL));
	EXPECT_EQ(1, kvbm_unstage(fd, 1, ids, NULL));
	EXPECT_EQ(4, kvbm_release(fd, 4, ids, 0, NULL));
	EXPECT_NOTHING(ev);

	ASSERT_EQ(4, kt_fill(fd, 4, h, ids));
	first = EXPECT_EVENT(ev, KVBM_EVENT_STORED, 0, ids[0], h[0], session);
	EXPECT_EQ(1, first.seq);
	EXPECT_GE(first.time_ns, before);
	EXPECT_LE(first.time_ns, boottime());
	EXPECT_EQ(kt_info(fd, ids[0]).generation, first.generation);
	e = EXPECT_EVENT(ev, KVBM_EVENT_STORED, 0, ids[1], h[1], session);
	EXPECT_EQ(2, e.seq);
	EXPECT_EVENT(ev, KVBM_EVENT_STORED, 0, ids[2], h[2], session);
	EXPECT_EVENT(ev, KVBM_EVENT_STORED, 0, ids[3], h[3], session);
	/* To become idle, and to be held again, is not. */
	EXPECT_EQ(2, kvbm_release(fd, 2, ids, 0, NULL));
	EXPECT_NOTHING(ev);

	/* The oldest goes for an allocation; its slot is the new hash's. */
	ASSERT_EQ(1, kt_fill(fd, 1, &other, &id));
	EXPECT_EQ(ids[0], id);
	e = EXPECT_EVENT(ev, KVBM_EVENT_REMOVED, KVBM_REASON_EVICTED, id, h[0],
			 session);
	EXPECT_EQ(first.generation, e.generation);
	e = EXPECT_EVENT(ev, KVBM_EVENT_STORED, 0, id, other, session);
	EXPECT_EQ(first.generation + 1, e.generation);

	/* A Duplicate takes no hash in, and none away. */
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EVENT(ev, KVBM_EVENT_REMOVED, KVBM_REASON_EVICTED, id, h[1],
		     session);
	ASSERT_EQ(1, kvbm_stage_register(fd, 1, &id, &other, &reg,
					 KVBM_REGISTER_ALLOW, NULL));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, reg.kind);
	EXPECT_EVENT(ev, KVBM_EVENT_DUPLICATE, 0, id, other, session);
	EXPECT_EQ(1, kvbm_release(fd, 1, &id, 0, NULL));
	EXPECT_EVENT(ev, KVBM_EVENT_DUPLICATE_GONE, 0, id, other, session);
	EXPECT_NOTHING(ev);

	/* By its last release. */
	EXPECT_EQ(1, kvbm_set_reset(fd, 1, &ids[2], true, NULL));
	EXPECT_EQ(1, kvbm_release(fd, 1, &ids[2], 0, NULL));
	EXPECT_EVENT(ev, KVBM_EVENT_REMOVED, KVBM_REASON_RELEASED, ids[2], h[2],
		     session);
	/* By an administrator. */
	EXPECT_EQ(1, kvbm_release(fd, 1, &ids[3], 0, NULL));
	EXPECT_EQ(1, kvbm_reset_inactive(fd, NULL, NULL));
	EXPECT_EVENT(ev, KVBM_EVENT_REMOVED, KVBM_REASON_RESET, ids[3], h[3],
		     0);
	/* By the end of its session. */
	EXPECT_EQ(1, kvbm_set_reset(fd, 1, &ids[0], true, NULL));
	close(fd);
	EXPECT_EVENT(ev, KVBM_EVENT_REMOVED, KVBM_REASON_RECLAIMED, ids[0],
		     other, session);
	EXPECT_NOTHING(ev);
	EXPECT_EQ(0, kt_destroy("events", 0));
	EXPECT_EVENT(ev, KVBM_EVENT_CLEARED, KVBM_REASON_DESTROYED,
		     KVBM_NO_BLOCK, none, 0);
	EXPECT_EQ(0, next_event(ev, &e));
	EXPECT_EQ(0, next_event(ev, &e));
	close(ev);
}

/* A reader that does not ask gets no Duplicates, but no wrong end either. */
TEST(types)
{
	struct kvbm_hash h = kt_single(1);
	struct kvbm_registered reg;
	int fd, ev, removed, only;
	struct kvbm_event e;
	uint32_t id, copy;

	fd = make(4);
	ASSERT_GE(fd, 0);
	ev = events(fd, 0, 0, KVBM_EVENTS_NONBLOCK);
	removed = events(fd, 0, 1U << KVBM_EVENT_REMOVED,
			 KVBM_EVENTS_NONBLOCK);
	only = events(fd, 0, 1U << KVBM_EVENT_DUPLICATE, KVBM_EVENTS_NONBLOCK);
	ASSERT_EQ(1, kt_fill(fd, 1, &h, &id));
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &copy, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(fd, 1, &copy, &h, &reg,
					 KVBM_REGISTER_ALLOW, NULL));
	EXPECT_EQ(1, kvbm_release(fd, 1, &copy, 0, NULL));
	EXPECT_EQ(1, kvbm_release(fd, 1, &id, 0, NULL));
	EXPECT_EQ(1, kvbm_reset_inactive(fd, NULL, NULL));
	EXPECT_EQ(KVBM_EVENT_STORED, next_event(ev, &e));
	EXPECT_EQ(1, e.seq);
	EXPECT_EQ(KVBM_EVENT_REMOVED, next_event(ev, &e));
	EXPECT_EQ(4, e.seq);
	EXPECT_EQ(KVBM_EVENT_REMOVED, next_event(removed, &e));
	EXPECT_EQ(KVBM_EVENT_DUPLICATE, next_event(only, &e));
	EXPECT_EQ(2, e.seq);
	EXPECT_NOTHING(ev);
	EXPECT_NOTHING(removed);
	EXPECT_NOTHING(only);
	close(fd);
	/* That was the store's only session. */
	EXPECT_EQ(KVBM_EVENT_CLEARED, next_event(only, &e));
	EXPECT_EQ(0, next_event(only, &e));
	close(only);
	close(removed);
	close(ev);
}

/* Register 64 hashes and take them away again, so many times. */
static int churn(int fd, unsigned int times)
{
	struct kvbm_hash h[64];
	uint32_t ids[64];

	kt_chain(h, 64, 1);
	while (times--)
		if (kt_idle(fd, 64, h, ids) < 0 ||
		    kvbm_reset_inactive(fd, NULL, NULL) != 64)
			return -EIO;
	return 0;
}

/* Parents first; who comes later finds what is kept, who is slow what is lost. */
TEST(lost)
{
	struct kvbm_event e, page[70];
	struct kvbm_hash chain[64];
	int fd, ev, late, i, got;
	uint64_t next = 1;

	fd = make(64, .policy = "lineage_tick");
	ASSERT_GE(fd, 0);
	ev = events(fd, 0, 0, KVBM_EVENTS_NONBLOCK);
	ASSERT_EQ(0, churn(fd, 1));
	late = events(fd, 1, 0, KVBM_EVENTS_NONBLOCK);
	ASSERT_GE(late, 0);
	/* More than a page in one read. */
	kt_chain(chain, 64, 1);
	got = kvbm_events_read(ev, page, 70);
	ASSERT_EQ(70, got);
	for (i = 0; i < 64; i++) {
		EXPECT_EQ(KVBM_EVENT_STORED, page[i].type);
		EXPECT_EQ(next++, page[i].seq);
		EXPECT_TRUE(kt_same(chain[i], page[i].hash));
	}
	/* Leaves go first. */
	EXPECT_EQ(KVBM_EVENT_REMOVED, page[64].type);
	EXPECT_TRUE(kt_same(page[63].hash, page[64].hash));
	EXPECT_EQ(58, kvbm_events_read(ev, page, 70));
	EXPECT_EQ(KVBM_EVENT_STORED, next_event(late, &e));
	EXPECT_EQ(1, e.seq);

	/* 2560 more than it has read, of which 1023 are kept. */
	ASSERT_EQ(0, churn(fd, 20));
	EXPECT_EQ(KVBM_EVENT_LOST, next_event(ev, &e));
	EXPECT_EQ(KVBM_NO_BLOCK, e.block);
	EXPECT_GE(e.count, 2560 - RECORDS);
	EXPECT_LT(e.count, 2560);
	EXPECT_EQ(129 + e.count - 1, e.seq);
	next = e.seq + 1;
	while (next_event(ev, &e) > 0)
		EXPECT_EQ(next++, e.seq);
	EXPECT_EQ(129 + 2560, next);
	/* One that begins with what is not kept any more. */
	close(late);
	late = events(fd, 5, 0, KVBM_EVENTS_NONBLOCK);
	EXPECT_EQ(KVBM_EVENT_LOST, next_event(late, &e));
	EXPECT_EQ(5 + e.count - 1, e.seq);
	close(late);
	close(ev);
	close(fd);
}

TEST(bad_room)
{
	struct kvbm_event e;
	int fd = make(64);
	int ev = events(fd, 0, 0, KVBM_EVENTS_NONBLOCK);

	ASSERT_GE(ev, 0);
	ASSERT_EQ(0, churn(fd, 1));
	EXPECT_EQ(-EFAULT, kvbm_events_read(ev, (void *)8, 1));
	EXPECT_EQ(-EFAULT, kvbm_events_read(ev, NULL, 64));
	/* Nothing was lost by that. */
	EXPECT_EQ(KVBM_EVENT_STORED, next_event(ev, &e));
	EXPECT_EQ(1, e.seq);
	close(ev);
	close(fd);
}

/* Waits, and is woken by the event, the end of the store, and signals. */
TEST(blocking)
{
	struct kvbm_event e;
	struct kt_pipe p;
	int fd, ev, i;
	pid_t pid;

	fd = make(64, .name = "events");
	ASSERT_EQ(-1, fd);
	fd = kvbm_open("events");
	ev = events(fd, 0, 0, 0);
	ASSERT_GE(ev, 0);
	kt_pipe_open(&p);
	pid = kt_fork();
	if (!pid) {
		for (i = 0; i < 2; i++) {
			KT_MUST(next_event(ev, &e) == KVBM_EVENT_STORED);
			kt_tell(&p, 1);
			while (e.type != KVBM_EVENT_REMOVED || e.seq % 128)
				KT_MUST(next_event(ev, &e) > 0);
			kt_tell(&p, 2);
		}
		KT_MUST(next_event(ev, &e) == KVBM_EVENT_CLEARED);
		KT_MUST(next_event(ev, &e) == 0);
		_exit(0);
	}
	for (i = 0; i < 2; i++) {
		kt_sleep_ms(20);
		ASSERT_EQ(0, churn(fd, 1));
		EXPECT_EQ(1, kt_hear(&p));
		EXPECT_EQ(2, kt_hear(&p));
	}
	close(fd);
	/* The child has the session open too. */
	EXPECT_EQ(0, kt_destroy("events", KVBM_DESTROY_FORCE));
	EXPECT_EQ(0, kt_reap(pid));
	close(ev);

	fd = make(4);
	ev = events(fd, 0, 0, 0);
	pid = kt_fork();
	if (!pid) {
		next_event(ev, &e);
		_exit(1);
	}
	kt_sleep_ms(20);
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	close(ev);
	close(fd);
}

TEST(polling)
{
	struct epoll_event in = { .events = EPOLLIN | EPOLLET }, out;
	struct pollfd p = { .events = POLLIN };
	struct kvbm_event e[64];
	int fd, ev, ep, i;

	fd = make(64);
	ASSERT_GE(fd, 0);
	ev = events(fd, 0, 0, KVBM_EVENTS_NONBLOCK);
	p.fd = ev;
	EXPECT_EQ(0, poll(&p, 1, 0));
	ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, ev, &in));
	EXPECT_EQ(0, epoll_wait(ep, &out, 1, 0));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, churn(fd, 1));
		EXPECT_EQ(1, poll(&p, 1, 10000));
		EXPECT_EQ(POLLIN, p.revents);
		/* An edge each time, after EAGAIN. */
		EXPECT_EQ(1, epoll_wait(ep, &out, 1, 10000));
		EXPECT_EQ(64, kvbm_events_read(ev, e, 64));
		EXPECT_EQ(1, poll(&p, 1, 0));
		EXPECT_EQ(64, kvbm_events_read(ev, e, 64));
		EXPECT_EQ(-EAGAIN, kvbm_events_read(ev, e, 64));
		/* The work item may wake once more than it must. */
		epoll_wait(ep, &out, 1, 50);
		EXPECT_EQ(0, poll(&p, 1, 0));
	}
	close(fd);
	EXPECT_EQ(1, epoll_wait(ep, &out, 1, 10000));
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLIN | POLLHUP, p.revents);
	EXPECT_EQ(1, kvbm_events_read(ev, e, 64));
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(0, kvbm_events_read(ev, e, 64));
	close(ep);
	close(ev);
}

TEST(uring)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct kvbm_event e[64];
	struct io_uring ring;
	int fd, ev;

	if (io_uring_queue_init(8, &ring, 0))
		SKIP(return, "this kernel has no io_uring");
	fd = make(64);
	ev = events(fd, 0, 0, 0);
	ASSERT_GE(ev, 0);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, ev, e, sizeof(e), 0);
	EXPECT_EQ(1, io_uring_submit(&ring));
	EXPECT_EQ(-EAGAIN, io_uring_peek_cqe(&ring, &cqe));
	ASSERT_EQ(0, churn(fd, 1));
	ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
	EXPECT_GE(cqe->res, (int)sizeof(e[0]));
	EXPECT_EQ(0, cqe->res % sizeof(e[0]));
	EXPECT_EQ(1, e[0].seq);
	io_uring_cqe_seen(&ring, cqe);
	io_uring_queue_exit(&ring);
	close(ev);
	close(fd);
}

/* In a child, as another user: what opening a store's events by name gives. */
static int as(uid_t uid, gid_t gid, const char *name)
{
	pid_t pid = kt_fork();
	int ret;

	if (!pid) {
		int control = kvbm_control_open();
		struct kvbm_events e = {};
		struct kvbm_store_ref ref = { .name = name };

		KT_MUST(control >= 0);
		KT_MUST(!setgroups(1, &gid) && !setgid(gid) && !setuid(uid));
		ret = kvbm_events_open_of(control, &ref, &e);
		_exit(ret < 0 ? -ret : 0);
	}
	return -kt_reap(pid);
}

TEST(rights)
{
	int fd, ev, other;

	fd = make(8, .name = "events", .mode = 0640, .uid = TENANT,
		  .gid = TENANT + 1, .monitor_gid = MONITOR);
	ASSERT_EQ(-1, fd);
	ev = events_named("events", 0, 0);
	EXPECT_GE(ev, 0);
	close(ev);
	EXPECT_EQ(0, as(TENANT, TENANT, "events"));
	EXPECT_EQ(0, as(TENANT + 9, TENANT + 1, "events"));
	/* Hashes are not for who only watches. */
	EXPECT_EQ(-EPERM, as(TENANT + 9, MONITOR, "events"));
	EXPECT_EQ(-EPERM, as(TENANT + 9, TENANT + 9, "events"));
	EXPECT_EQ(-ENOENT, events_named("nothing", 0, 0));

	/* A session gives what it has. */
	other = open("/dev/kvbm/events", O_WRONLY | O_CLOEXEC);
	EXPECT_GE(other, 0);
	EXPECT_EQ(-EBADF, events(other, 0, 0, 0));
	close(other);
	other = open("/dev/kvbm/events", O_RDONLY | O_CLOEXEC);
	EXPECT_GE(other, 0);
	ev = events(other, 0, 0, 0);
	EXPECT_GE(ev, 0);
	close(ev);
	close(other);
	EXPECT_EQ(0, kt_destroy("events", 0));
}

TEST(readers_are_limited)
{
	int evs[KVBM_MAX_READERS + 1], i, fd;
	uint32_t usual = KVBM_MAX_READERS / 8 * 7, one = KVBM_MAX_READERS / 4;
	pid_t pid;

	fd = make(8, .uid = TENANT);
	ASSERT_GE(fd, 0);
	/* Somebody who neither owns the store nor administers it, and others. */
	pid = kt_fork();
	if (!pid) {
		for (i = 0; i < (int)usual; i++) {
			if (i % one == 0)
				KT_MUST(!setresuid(TENANT + 9 + i / one,
						   TENANT + 9 + i / one, 0));
			KT_MUST(events(fd, 0, 0, 0) >= 0);
			if (i % one == one - 1) {
				KT_MUST(events(fd, 0, 0, 0) == -EUSERS);
				KT_MUST(!seteuid(0));
			}
		}
		KT_MUST(events(fd, 0, 0, 0) == -EUSERS);
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	for (i = 0; i < (int)KVBM_MAX_READERS; i++) {
		evs[i] = events(fd, 0, 0, 0);
		EXPECT_GE(evs[i], 0);
	}
	EXPECT_EQ(-EUSERS, events(fd, 0, 0, 0));
	close(evs[0]);
	evs[0] = events(fd, 0, 0, 0);
	EXPECT_GE(evs[0], 0);
	while (i--)
		close(evs[i]);
	close(fd);
}

/* All uids of a user's namespace count as one user, with one quarter. */
TEST(readers_in_namespaces)
{
	int fd = make(8), i, map;
	struct kt_pipe up, down;
	char path[64];
	pid_t pid;

	ASSERT_GE(fd, 0);
	kt_pipe_open(&up);
	kt_pipe_open(&down);
	pid = kt_fork();
	if (!pid) {
		KT_MUST(!setresgid(TENANT, TENANT, TENANT));
		KT_MUST(!setresuid(TENANT, TENANT, TENANT));
		/* Or its map cannot be written. */
		prctl(PR_SET_DUMPABLE, 1);
		if (unshare(CLONE_NEWUSER)) {
			kt_tell(&up, -errno);
			_exit(0);
		}
		kt_tell(&up, 1);
		KT_MUST(kt_hear(&down) == 1);
		KT_MUST(!setresuid(0, 0, 0));
		for (i = 0; i < (int)KVBM_MAX_READERS / 4; i++)
			KT_MUST(events(fd, 0, 0, 0) >= 0);
		KT_MUST(events(fd, 0, 0, 0) == -EUSERS);
		KT_MUST(!setresuid(1, 1, 0));
		KT_MUST(events(fd, 0, 0, 0) == -EUSERS);
		_exit(0);
	}
	i = kt_hear(&up);
	if (i != 1) {
		kt_kill(pid);
		SKIP(return, "no user namespaces: %d", i);
	}
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	map = open(path, O_WRONLY);
	ASSERT_EQ(15, write(map, "0 100000 65536\n", 15));
	close(map);
	kt_tell(&down, 1);
	EXPECT_EQ(0, kt_reap(pid));
	close(fd);
}

/* The reader keeps its events, but neither the store nor a place in it. */
TEST(outlives_the_store)
{
	struct kvbm_store_list l = { .size = sizeof(l) };
	int fd, ev, control = kvbm_control_open();
	struct kvbm_event e;
	uint32_t before, i;

	ioctl(control, KVBM_IOC_STORE_LIST, &l);
	before = l.total;
	fd = make(64, .max_sessions = 1);
	ASSERT_GE(fd, 0);
	ev = events(fd, 0, 0, 0);
	ASSERT_GE(ev, 0);
	ASSERT_EQ(0, churn(fd, 1));
	close(fd);
	l = (struct kvbm_store_list){ .size = sizeof(l) };
	ioctl(control, KVBM_IOC_STORE_LIST, &l);
	EXPECT_EQ(before, l.total);
	close(control);
	for (i = 1; i <= 128; i++) {
		EXPECT_LT(0, next_event(ev, &e));
		EXPECT_EQ(i, e.seq);
	}
	EXPECT_EQ(KVBM_EVENT_CLEARED, next_event(ev, &e));
	EXPECT_EQ(0, next_event(ev, &e));
	close(ev);
}

/* Random work until it is killed. */
static void work(unsigned int seed)
{
	int fd = kvbm_open("events");

	KT_MUST(fd >= 0);
	srand(seed);
	for (;;) {
		struct kvbm_hash h[8];
		uint32_t ids[8], n = 1 + rand() % 8;
		int got;

		kt_chain(h, 8, 1 + 8 * (rand() % 32));
		got = kvbm_match(fd, 8, h, ids, NULL);
		if (got > 0 && !(rand() % 8))
			kvbm_set_reset(fd, got, ids, true, NULL);
		if (got > 0 && rand() % 8)
			kvbm_release(fd, got, ids, 0, NULL);
		if (kt_fill(fd, n, h, ids) > 0 && rand() % 8)
			kvbm_release(fd, n, ids, 0, NULL);
	}
}

static void mirror_after_kills(struct __test_metadata *_metadata,
			       const char *policy)
{
	struct kvbm_hash there[256];
	uint64_t end = kt_now() + 1000000000ULL, events_seen = 0;
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 96, .uid = -1, .gid = -1,
		.monitor_gid = -1, .name = "events", .freq_capacity = 1024,
		.event_records = 1U << 19,
	};
	uint32_t i, n = 0, run_ms = 50;
	struct kvbm_event e[64];
	int fd, ev, got, round;
	uint64_t before;
	pid_t pid[3];

	snprintf(c.policy, sizeof(c.policy), "%s", policy);
	ASSERT_EQ(-1, kt_store_make(&c));
	fd = kvbm_open("events");
	ev = events(fd, 0, 0, KVBM_EVENTS_NONBLOCK);
	ASSERT_GE(ev, 0);
	for (round = 0; kt_now() < end || (events_seen <= 100 && run_ms < 5000);
	     round++) {
		before = events_seen;
		for (i = 0; i < 3; i++) {
			pid[i] = kt_fork();
			if (!pid[i])
				work(round * 3 + i + 1);
		}
		kt_sleep_ms(run_ms);
		for (i = 0; i < 3; i++)
			EXPECT_EQ(256 + SIGKILL, kt_kill(pid[i]));
		if (round % 2)
			kvbm_reset_inactive(fd, NULL, NULL);
		while ((got = kvbm_events_read(ev, e, 64)) > 0) {
			events_seen += got;
			for (i = 0; i < (uint32_t)got; i++) {
				uint32_t k;

				EXPECT_NE(KVBM_EVENT_LOST, e[i].type);
				for (k = 0; k < n; k++)
					if (kt_same(there[k], e[i].hash))
						break;
				if (e[i].type == KVBM_EVENT_STORED) {
					ASSERT_EQ(n, k);
					ASSERT_LT(n, 256);
					there[n++] = e[i].hash;
				} else {
					ASSERT_LT(k, n);
					there[k] = there[--n];
				}
			}
		}
		EXPECT_EQ(kt_counts(fd).registered, n);
		for (i = 0; i < n; i++)
			EXPECT_NE(KVBM_ABSENT, kt_presence(fd, there[i]));
		/* On a slow machine they were killed before they did anything. */
		if (events_seen == before)
			run_ms *= 2;
	}
	EXPECT_GT(events_seen, 100);
	close(ev);
	close(fd);
	EXPECT_EQ(0, kt_destroy("events", 0));
}

/* The state that an export reported, as changed by events. */
struct known {
	struct kvbm_hash hash;
	uint64_t sequence;
	bool there;
};

static struct known *known_of(struct known *k, uint32_t *n,
			      struct kvbm_hash hash)
{
	uint32_t i;

	for (i = 0; i < *n; i++)
		if (kt_same(k[i].hash, hash))
			return &k[i];
	k[*n] = (struct known){ .hash = hash };
	return &k[(*n)++];
}

/*
 * A reader that begins while others work: events from the moment of its opening,
 * and then an export, taken in small parts, which is no snapshot.
 */
TEST(export_and_events)
{
	struct kvbm_store_ref *ref = NULL;
	struct kvbm_export_entry part[5];
	struct known *k = calloc(512, sizeof(*k)), *one;
	uint32_t n, i, there, round;
	struct kvbm_event e[64];
	uint64_t cursor, last;
	int fd, ev, got;
	pid_t pid[3];

	ASSERT_EQ(-1, kt_store(96, .name = "events", .policy = "lineage_tick",
			       .event_records = 1U << 19));
	fd = kvbm_open("events");
	for (round = 0; round < 8; round++) {
		for (i = 0; i < 3; i++) {
			pid[i] = kt_fork();
			if (!pid[i])
				work(100 + round * 3 + i);
		}
		kt_sleep_ms(30);
		n = 0;
		ev = events(fd, 0, 0, KVBM_EVENTS_NONBLOCK);
		ASSERT_GE(ev, 0);
		cursor = 0;
		do {
			got = kvbm_export(fd, ref, &cursor, 5, part, NULL);
			ASSERT_GE(got, 0);
			for (i = 0; i < (uint32_t)got; i++) {
				one = known_of(k, &n, part[i].hash);
				if (part[i].sequence >= one->sequence) {
					one->sequence = part[i].sequence;
					one->there = true;
				}
			}
			kt_sleep_ms(1);
		} while (got == 5);
		kt_sleep_ms(20);
		for (i = 0; i < 3; i++)
			EXPECT_EQ(256 + SIGKILL, kt_kill(pid[i]));
		last = 0;
		while ((got = kvbm_events_read(ev, e, 64)) > 0)
			for (i = 0; i < (uint32_t)got; i++) {
				last = e[i].seq;
				one = known_of(k, &n, e[i].hash);
				if (e[i].seq > one->sequence)
					one->there = e[i].type ==
						     KVBM_EVENT_STORED;
			}
		EXPECT_GT(last, 0);
		for (there = 0, i = 0; i < n; i++) {
			there += k[i].there;
			EXPECT_EQ(k[i].there, kt_presence(fd, k[i].hash) !=
					      KVBM_ABSENT);
		}
		EXPECT_EQ(kt_counts(fd).registered, there);
		close(ev);
	}
	free(k);
	close(fd);
	EXPECT_EQ(0, kt_destroy("events", 0));
}

TEST(mirror_of_each_policy)
{
	const char *policy;
	unsigned int i;

	for (i = 0; (policy = kvbm_policy_name(i)); i++)
		mirror_after_kills(_metadata, policy);
}

TEST_HARNESS_MAIN
