// SPDX-License-Identifier: MIT
/*
 * Events: a reader that follows them knows what is registered, whatever else
 * runs; a reader that was too slow learns how many it lost; a sleeping reader
 * is woken.
 */
#include <linux/file.h>
#include <linux/kernel.h>
#include <linux/kvbm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <pthread.h>
#include "host.h"
#include "host_vfs.h"
#include "watchdog.h"

#include "host_harness.h"

#define BLOCKS	48
#define KEYS	96
#define WORKERS	3
#define ALL	0x7eU			/* types of events */

#ifdef HOST_WEAK
#define ROUNDS	4000
#else
#define ROUNDS	1500
#endif

static int control = -1;

static int create(const char *policy, u32 records, u32 flags)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = BLOCKS, .block_size = 16,
		.flags = flags, .name = "a", .uid = -1, .gid = -1,
		.freq_capacity = 64, .event_records = records,
	};

	strscpy(c.policy, policy, sizeof(c.policy));
	return host_ioctl(control, KVBM_IOC_STORE_CREATE, &c);
}

static int destroy(void)
{
	struct kvbm_store_destroy d = {
		.size = sizeof(d), .flags = KVBM_DESTROY_FORCE, .name = "a",
	};

	return host_ioctl(control, KVBM_IOC_STORE_DESTROY, &d);
}

static int events_of(int fd, u64 next, u32 types, u32 flags)
{
	struct kvbm_events e = {
		.size = sizeof(e), .next = next, .types = types,
		.flags = flags,
	};
	int err = host_ioctl(fd, KVBM_IOC_EVENTS, &e);

	return err ?: e.fd;
}

static struct kvbm_hash nth_key(u32 n)
{
	/* Chains of eight. */
	u32 position = n % 8;

	return (struct kvbm_hash){
		.hi = (u64)position << 54 | (0x1000ULL + n) >> 10,
		.lo = (0x1000ULL + n) << 54 |
		      (position ? 0x1000ULL + n - 1 : 0),
	};
}

/* Takes blocks, registers them, looks some up, gives all back. */
static void one_round(int fd, u64 *seed)
{
	struct kvbm_registered out[4];
	struct kvbm_hash keys[4];
	u32 ids[8], held[4], i, n = 1 + (*seed >> 33) % 4;
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = n, .ids = (unsigned long)ids,
	};
	struct kvbm_register r = {
		.size = sizeof(r), .ids = (unsigned long)ids,
		.hashes = (unsigned long)keys, .results = (unsigned long)out,
	};
	struct kvbm_match m = {
		.size = sizeof(m), .count = 4, .hashes = (unsigned long)keys,
		.ids = (unsigned long)held,
	};
	struct kvbm_ids back = {
		.size = sizeof(back), .ids = (unsigned long)ids,
	};
	long got;

	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	for (i = 0; i < 4; i++)
		keys[i] = nth_key(((*seed >> 40) + i) % KEYS);
	got = host_ioctl(fd, KVBM_IOC_ALLOC, &a);
	if (got > 0) {
		r.count = got;
		got = host_ioctl(fd, KVBM_IOC_REGISTER, &r);
		for (i = 0; i < got; i++)
			ids[i] = out[i].block;
		back.count = r.count;
		host_ioctl(fd, KVBM_IOC_RELEASE, &back);
	}
	got = host_ioctl(fd, KVBM_IOC_SCAN, &m);
	for (i = 0, n = 0; i < got; i++)
		if (held[i] != KVBM_NO_BLOCK)
			ids[n++] = held[i];
	back.count = n;
	if (*seed >> 60 == 1) {
		/* This one goes with its last release. */
		back.flags = KVBM_SET_RESET_ON;
		host_ioctl(fd, KVBM_IOC_SET_RESET, &back);
		back.flags = 0;
	}
	host_ioctl(fd, KVBM_IOC_RELEASE, &back);
}

static void *worker(void *arg)
{
	u64 seed = (unsigned long)arg;
	u32 i;

	for (i = 0; i < ROUNDS; i++) {
		int fd = i % 64 ? -1 : host_open("a");
		static __thread int mine = -1;

		if (fd >= 0) {
			if (mine >= 0)
				host_close(mine);
			mine = fd;
		}
		one_round(mine, &seed);
		if (i == ROUNDS - 1)
			host_close(mine);
	}
	return NULL;
}

/* The registered hashes, according to events. */
struct mirror {
	int fd;
	bool whole;			/* nothing may be missing */
	u64 next, lost, seen;
	bool cleared;
	u32 there[KEYS];
	const char *wrong;
};

static void mirror_one(struct mirror *m, const struct kvbm_event *e)
{
	u32 k;

	if (e->type == KVBM_EVENT_LOST) {
		m->lost += e->count;
		if (m->whole || e->seq != m->next + e->count - 1)
			m->wrong = "lost";
		WRITE_ONCE(m->next, e->seq + 1);
		return;
	}
	if (e->seq < m->next || (m->whole && e->seq != m->next))
		m->wrong = "order";
	WRITE_ONCE(m->next, e->seq + 1);
	m->seen++;
	if (e->type == KVBM_EVENT_CLEARED) {
		m->cleared = true;
		return;
	}
	for (k = 0; k < KEYS; k++) {
		struct kvbm_hash key = nth_key(k);

		if (key.hi == e->hash.hi && key.lo == e->hash.lo)
			break;
	}
	if (k == KEYS)
		m->wrong = "hash";
	else if (m->whole && e->type == KVBM_EVENT_STORED && m->there[k]++)
		m->wrong = "stored twice";
	else if (m->whole && e->type == KVBM_EVENT_REMOVED && !m->there[k]--)
		m->wrong = "removed twice";
}

static void *follow(void *arg)
{
	struct mirror *m = arg;
	struct kvbm_event e[5];
	ssize_t got;
	u32 i;

	while ((got = host_read(m->fd, e, sizeof(e), false)) > 0) {
		for (i = 0; i < got / sizeof(e[0]); i++)
			mirror_one(m, &e[i]);
		step();
	}
	if (got)
		m->wrong = "read";
	return NULL;
}

FIXTURE(events) {
	int fd;
};

FIXTURE_SETUP(events)
{
	ASSERT_EQ(0, host_insmod());
	control = host_open("control");
	ASSERT_GE(control, 0);
}

FIXTURE_TEARDOWN(events)
{
	host_delays(0);
	host_close(control);
	EXPECT_EQ(0, host_rmmod());
}

static void mirror_while_all_run(struct __test_metadata *_metadata,
				 const char *policy, u32 flags)
{
	struct mirror all = { .whole = true, .next = 1 };
	struct mirror slow = { .next = 1 };
	struct kvbm_query q = { .size = sizeof(q), .count = KEYS };
	pthread_t t[WORKERS], reader[2];
	struct kvbm_hash keys[KEYS];
	u8 presence[KEYS];
	u32 i;
	int fd;

	ASSERT_EQ(0, create(policy, 1 << 17, flags));
	fd = host_open("a");
	all.fd = events_of(fd, 1, ALL, 0);
	slow.fd = events_of(fd, 1, ALL, 0);
	ASSERT_GE(all.fd, 0);
	ASSERT_GE(slow.fd, 0);
	pthread_create(&reader[0], NULL, follow, &all);
	for (i = 0; i < WORKERS; i++)
		pthread_create(&t[i], NULL, worker, (void *)(i + 1UL));
	for (i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < KEYS; i++)
		keys[i] = nth_key(i);
	q.hashes = (unsigned long)keys;
	q.out = (unsigned long)presence;
	EXPECT_EQ(KEYS, host_ioctl(fd, KVBM_IOC_PRESENCE, &q));
	/* Ends both readers, once they have read everything. */
	EXPECT_EQ(0, destroy());
	pthread_create(&reader[1], NULL, follow, &slow);
	pthread_join(reader[0], NULL);
	pthread_join(reader[1], NULL);
	EXPECT_EQ(NULL, all.wrong) TH_LOG("%s at %llu", all.wrong, all.next);
	EXPECT_EQ(NULL, slow.wrong) TH_LOG("%s at %llu", slow.wrong, slow.next);
	EXPECT_TRUE(all.cleared && slow.cleared);
	EXPECT_EQ(all.next, slow.next);
	EXPECT_EQ(0, all.lost);
	EXPECT_GT(all.seen, 2 * KEYS);
	for (i = 0; i < KEYS; i++)
		EXPECT_EQ(presence[i] != KVBM_ABSENT, all.there[i]);
	host_close(all.fd);
	host_close(slow.fd);
	host_close(fd);
}

TEST_F_TIMEOUT(events, mirror_lru, 120)
{
	watch_over("readers of events");
	mirror_while_all_run(_metadata, "lru", 0);
}

TEST_F_TIMEOUT(events, mirror_multi_lru_reject, 120)
{
	watch_over("readers of events");
	mirror_while_all_run(_metadata, "multi_lru", KVBM_CREATE_REJECT);
}

TEST_F_TIMEOUT(events, mirror_lineage_reset, 120)
{
	watch_over("readers of events");
	mirror_while_all_run(_metadata, "lineage_tick", KVBM_CREATE_RESET);
}

/* A ring of 64 is overtaken; what is missing is counted, and no order is lost. */
TEST_F_TIMEOUT(events, overtaken, 120)
{
	struct mirror m = { .next = 1 };
	pthread_t t[WORKERS], reader;
	u32 i;
	int fd;

	watch_over("readers of events");
	ASSERT_EQ(0, create("lru", KVBM_MIN_EVENT_RECORDS, 0));
	fd = host_open("a");
	m.fd = events_of(fd, 1, ALL, 0);
	ASSERT_GE(m.fd, 0);
	for (i = 0; i < WORKERS; i++)
		pthread_create(&t[i], NULL, worker, (void *)(i + 1UL));
	pthread_create(&reader, NULL, follow, &m);
	for (i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	EXPECT_EQ(0, destroy());
	pthread_join(reader, NULL);
	EXPECT_EQ(NULL, m.wrong) TH_LOG("%s at %llu", m.wrong, m.next);
	EXPECT_TRUE(m.cleared);
	EXPECT_GT(m.lost, 0);
	TH_LOG("%llu read, %llu lost", m.seen, m.lost);
	host_close(m.fd);
	host_close(fd);
}

static void *poll_and_read(void *arg)
{
	struct mirror *m = arg;
	struct kvbm_event e[5];
	ssize_t got;
	u32 i;

	for (;;) {
		host_poll_wait(m->fd, EPOLLIN, ~0ULL >> 2);
		got = host_read(m->fd, e, sizeof(e), true);
		if (!got)
			return NULL;
		for (i = 0; got > 0 && i < got / sizeof(e[0]); i++)
			mirror_one(m, &e[i]);
		step();
	}
}

/* Nothing but the one event can wake the readers: none may be lost. */
TEST_F_TIMEOUT(events, each_one_wakes, 120)
{
	struct mirror m[2] = { { .whole = true, .next = 1 },
			       { .whole = true, .next = 1 } };
	struct kvbm_reset_inactive reset = { .size = sizeof(reset) };
	pthread_t t[2];
	u32 i, round;
	int fd;

	watch_over("readers of events");
	ASSERT_EQ(0, create("lru", 1024, 0));
	fd = host_open("a");
	for (i = 0; i < 2; i++) {
		m[i].fd = events_of(fd, 1, ALL, 0);
		ASSERT_GE(m[i].fd, 0);
		pthread_create(&t[i], NULL, i ? poll_and_read : follow, &m[i]);
	}
	for (round = 0; round < ROUNDS; round++) {
		u32 id;
		struct kvbm_hash key = nth_key(round % KEYS);
		struct kvbm_registered out;
		struct kvbm_alloc a = {
			.size = sizeof(a), .count = 1,
			.ids = (unsigned long)&id,
		};
		struct kvbm_register r = {
			.size = sizeof(r), .count = 1,
			.ids = (unsigned long)&id,
			.hashes = (unsigned long)&key,
			.results = (unsigned long)&out,
		};
		struct kvbm_ids back = {
			.size = sizeof(back), .count = 1,
			.ids = (unsigned long)&id,
		};

		ASSERT_EQ(1, host_ioctl(fd, KVBM_IOC_ALLOC, &a));
		ASSERT_EQ(1, host_ioctl(fd, KVBM_IOC_REGISTER, &r));
		for (i = 0; i < 2; i++)
			while (READ_ONCE(m[i].next) < 2 * round + 2)
				sched_yield();
		ASSERT_EQ(1, host_ioctl(fd, KVBM_IOC_RELEASE, &back));
		ASSERT_EQ(0, host_ioctl(fd, KVBM_IOC_RESET_INACTIVE, &reset));
		reset.flags = 0;
		reset.done = 0;
		for (i = 0; i < 2; i++)
			while (READ_ONCE(m[i].next) < 2 * round + 3)
				sched_yield();
	}
	EXPECT_EQ(0, destroy());
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(NULL, m[i].wrong) TH_LOG("%s", m[i].wrong);
		host_close(m[i].fd);
	}
	host_close(fd);
}

/* One event: a hash is stored. */
static void store_one(int fd, u32 n)
{
	struct kvbm_hash key = nth_key(n);
	struct kvbm_registered out;
	u32 id;
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = 1, .ids = (unsigned long)&id,
	};
	struct kvbm_register r = {
		.size = sizeof(r), .count = 1, .ids = (unsigned long)&id,
		.hashes = (unsigned long)&key, .results = (unsigned long)&out,
	};

	BUG_ON(host_ioctl(fd, KVBM_IOC_ALLOC, &a) != 1);
	BUG_ON(host_ioctl(fd, KVBM_IOC_REGISTER, &r) != 1);
}

#define WATCHES 4096

/* Watches of two descriptors: who has many, and who has one. */
static struct {
	int fd, crowd_fd, one_fd;
	atomic_t again;			/* 1: make an event; 2: it is made */
	u32 calls;			/* of the many, since then */
	u32 waited;			/* that many, before the one's next */
} fair;

struct watched {
	poll_table table;
	struct wait_queue_entry wqe;
	wait_queue_head_t *wq;
};

static void watched_queue(struct file *file, wait_queue_head_t *wq,
			  poll_table *table)
{
	struct watched *w = container_of(table, struct watched, table);

	w->wq = wq;
	add_wait_queue(wq, &w->wqe);
}

static void watch_fd(struct watched *w, int fd, wait_queue_func_t func)
{
	struct file *file = fget(fd);

	*w = (struct watched){ .table = { ._qproc = watched_queue, ._key = ~0 } };
	init_waitqueue_func_entry(&w->wqe, func);
	BUG_ON(!file);
	file->f_op->poll(file, &w->table);
	fput(file);
}

static void unwatch(struct watched *w)
{
	remove_wait_queue(w->wq, &w->wqe);
}

static int crowd_woken(struct wait_queue_entry *wqe, unsigned int mode,
		       int flags, void *key)
{
	if (!atomic_cmpxchg(&fair.again, 0, 1))
		while (atomic_read_acquire(&fair.again) < 2)
			sched_yield();
	fair.calls++;
	return 1;
}

static int one_woken(struct wait_queue_entry *wqe, unsigned int mode,
		     int flags, void *key)
{
	if (atomic_read(&fair.again) == 2 && !fair.waited)
		fair.waited = fair.calls + 1;
	return 1;
}

/* The one has read everything, waits again, and something happens. */
static void *happen_again(void *arg)
{
	struct kvbm_event e[8];

	while (atomic_read_acquire(&fair.again) < 1)
		sched_yield();
	while (host_read(fair.one_fd, e, sizeof(e), true) != -EAGAIN)
		;
	store_one(fair.fd, 2);
	atomic_set_release(&fair.again, 2);
	return NULL;
}

/* A thousand watches on a descriptor do not delay other readers. */
TEST_F_TIMEOUT(events, a_crowd_delays_nobody_else, 120)
{
	static struct watched crowd[WATCHES], one;
	struct kvbm_event e[8];
	pthread_t t;
	u32 i;

	ASSERT_EQ(0, create("lru", 1 << 10, 0));
	fair.fd = host_open("a");
	fair.crowd_fd = events_of(fair.fd, 0, ALL, 0);
	fair.one_fd = events_of(fair.fd, 0, ALL, 0);
	host_work_manual(true);
	for (i = 0; i < WATCHES; i++)
		watch_fd(&crowd[i], fair.crowd_fd, crowd_woken);
	watch_fd(&one, fair.one_fd, one_woken);
	ASSERT_EQ(-EAGAIN, host_read(fair.one_fd, e, sizeof(e), true));

	pthread_create(&t, NULL, happen_again, NULL);
	store_one(fair.fd, 1);
	host_run_work();
	pthread_join(t, NULL);
	host_run_work();
	/* All were woken, but the one did not wait for the others. */
	EXPECT_GE(fair.calls, WATCHES);
	EXPECT_GT(fair.waited, 0);
	EXPECT_LE(fair.waited, 4 * KVBM_CHUNK);

	for (i = 0; i < WATCHES; i++)
		unwatch(&crowd[i]);
	unwatch(&one);
	host_close(fair.crowd_fd);
	host_close(fair.one_fd);
	EXPECT_EQ(0, destroy());
	host_close(fair.fd);
	host_work_manual(false);
}

TEST_HARNESS_MAIN
