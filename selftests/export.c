// SPDX-License-Identifier: MIT
/*
 * Export: which blocks are registered, their eviction order, and who may ask.
 */
#include <grp.h>
#include <pthread.h>
#include "kvbm_test.h"

#define TOTAL	200U

#define USER	4000U
#define OTHER	4001U
#define MONITOR	4002U

FIXTURE(export) {
	int fd;
	int control;
	struct kvbm_hash h[TOTAL];
	uint32_t ids[TOTAL];
	struct kvbm_export_entry e[TOTAL + 8];
};

FIXTURE_SETUP(export)
{
	self->control = kvbm_control_open();
	ASSERT_GE(self->control, 0);
	self->fd = kt_store(TOTAL, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	kt_singles(self->h, TOTAL, 1000);
}

FIXTURE_TEARDOWN(export)
{
	close(self->fd);
	close(self->control);
}

/* Everything, in parts of @most; the entries, or -errno. */
static int all(int fd, struct kvbm_export_entry *e, uint32_t most,
	       uint32_t *total)
{
	uint64_t cursor = 0;
	int n = 0, got;

	do {
		got = kvbm_export(fd, NULL, &cursor, most, e + n, total);
		n += got > 0 ? got : 0;
	} while (got == (int)most);
	return got < 0 ? got : n;
}

static int by_order(const void *a, const void *b)
{
	const struct kvbm_export_entry *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

TEST_F(export, states)
{
	struct kvbm_export_entry *e = self->e;
	struct kvbm_registered dup;
	uint32_t id, total, i;
	uint64_t cursor = 0;

	kt_poison(self->e);
	EXPECT_EQ(0, all(self->fd, e, TOTAL, &total));
	EXPECT_EQ(0, total);
	EXPECT_EQ(KT_POISON, e[0].block);

	ASSERT_EQ(100, kt_fill(self->fd, 100, self->h, self->ids));
	/* Mutable, Staged, Duplicate: not listed. */
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, &id, self->h, &dup, 0,
					 NULL));
	ASSERT_EQ(KVBM_KIND_DUPLICATE, dup.kind);
	ASSERT_EQ(2, kvbm_alloc(self->fd, 2, &self->ids[150], NULL, NULL));
	ASSERT_EQ(1, kvbm_stage(self->fd, 1, &self->ids[150], &self->h[150],
				NULL, NULL));
	/* The last ones go first. */
	for (i = 59; i >= 50; i--)
		ASSERT_EQ(1, kvbm_release(self->fd, 1, &self->ids[i], 0, NULL));

	ASSERT_EQ(100, all(self->fd, e, TOTAL, &total));
	EXPECT_EQ(100, total);
	for (i = 0; i < 100; i++) {
		bool idle = i >= 50 && i < 60;
		struct kvbm_block_info info = kt_info(self->fd, e[i].block);

		EXPECT_EQ(self->ids[i], e[i].block);
		EXPECT_TRUE(kt_same(self->h[i], e[i].hash));
		EXPECT_EQ(info.state, e[i].state);
		EXPECT_EQ(idle ? KVBM_STATE_INACTIVE : KVBM_STATE_PRIMARY,
			  e[i].state);
		EXPECT_EQ(info.generation, e[i].generation);
		EXPECT_EQ(idle, e[i].order != 0);
		EXPECT_EQ(0, e[i].rank);
		EXPECT_EQ(KVBM_RANK_NORMAL, e[i].keep_rank);
		EXPECT_EQ(0, e[i].keep_until_ns);
		EXPECT_EQ(0, e[i].sequence);
	}
	for (i = 51; i < 60; i++)
		EXPECT_LT(e[i].order, e[i - 1].order);
	/* A buffer of no entries asks for the sum. */
	EXPECT_EQ(0, kvbm_export(self->fd, NULL, &cursor, 0, NULL, &total));
	EXPECT_EQ(100, total);
}

/* In parts of any size; entries of another size. */
TEST_F(export, pages)
{
	static const uint32_t parts[] = { 1, 7, 16, 17, 64, 65, TOTAL + 8 };
	struct kvbm_export_entry *e = self->e, whole[TOTAL];
	struct kvbm_export args = {
		.size = sizeof(args), .count = 3, .entry_size = 80,
	};
	char wide[3][80];
	unsigned int p;
	uint32_t i;

	ASSERT_EQ(TOTAL, kt_fill(self->fd, TOTAL, self->h, self->ids));
	/* Holes: every third is free. */
	for (i = 0; i < TOTAL; i += 3) {
		ASSERT_EQ(1, kvbm_set_reset(self->fd, 1, &self->ids[i], true,
					    NULL));
		ASSERT_EQ(1, kvbm_release(self->fd, 1, &self->ids[i], 0, NULL));
	}
	for (p = 0; p < ARRAY_SIZE(parts); p++) {
		kt_poison(self->e);
		ASSERT_EQ(TOTAL - (TOTAL + 2) / 3,
			  all(self->fd, e, parts[p], NULL));
		if (!p)
			memcpy(whole, e, sizeof(whole));
		EXPECT_EQ(0, memcmp(whole, e, 133 * sizeof(*e)));
		EXPECT_EQ(KT_POISON, e[133].block);
	}
	/* A longer entry is filled with zeroes, a shorter one gets less. */
	memset(wide, 0x5a, sizeof(wide));
	args.entries = (uintptr_t)wide;
	ASSERT_EQ(0, kt_ioctl(self->fd, KVBM_IOC_EXPORT, &args));
	EXPECT_EQ(3, args.done);
	EXPECT_EQ(0, args.sequence);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, memcmp(wide[i], &whole[i], sizeof(*whole)));
		EXPECT_EQ(0, wide[i][sizeof(*whole)]);
		EXPECT_EQ(0, wide[i][79]);
	}
	args.entry_size = 24;
	args.cursor = 0;
	ASSERT_EQ(0, kt_ioctl(self->fd, KVBM_IOC_EXPORT, &args));
	EXPECT_EQ(0, memcmp(&wide[0][24], &whole[1], 24));
	/* Past the end, and far past it. */
	args.cursor = TOTAL;
	ASSERT_EQ(0, kt_ioctl(self->fd, KVBM_IOC_EXPORT, &args));
	EXPECT_EQ(0, args.done);
	args.cursor = ~0ULL;
	ASSERT_EQ(0, kt_ioctl(self->fd, KVBM_IOC_EXPORT, &args));
	EXPECT_EQ(0, args.done);
	args.cursor = 1ULL << 32;
	ASSERT_EQ(0, kt_ioctl(self->fd, KVBM_IOC_EXPORT, &args));
	EXPECT_EQ(0, args.done);
	args.cursor = 0;
	args.entry_size = 12;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_EXPORT, &args));
	args.entry_size = 48;
	args.entries = 8;
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KVBM_IOC_EXPORT, &args));
}

/* Blocks reported first are evicted first. */
TEST_F(export, order)
{
	static const char *const names[] = { "fifo", "lru", "multi_lru" };
	struct kvbm_evicted evicted[TOTAL];
	struct kvbm_export_entry *e = self->e;
	uint32_t i, n, nr;
	unsigned int p;
	int fd;

	for (p = 0; p < ARRAY_SIZE(names); p++) {
		struct kvbm_store_create c = {
			.size = sizeof(c), .total_blocks = TOTAL, .uid = -1,
			.gid = -1, .monitor_gid = -1, .freq_capacity = 2048,
		};

		strcpy(c.policy, names[p]);
		fd = kt_store_make(&c);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(TOTAL, kt_fill(fd, TOTAL, self->h, self->ids));
		/* Some were used often, so that multi_lru has several lists. */
		for (i = 0; i < TOTAL; i++)
			for (n = 0; n < i % 5 * 2; n++)
				ASSERT_EQ(1, kvbm_touch(fd, 1, &self->h[i],
							NULL));
		for (i = 0; i < TOTAL; i++)
			ASSERT_EQ(1, kvbm_release(fd, 1,
						  &self->ids[i * 7 % TOTAL], 0,
						  NULL));
		ASSERT_EQ(TOTAL, all(fd, e, 50, NULL));
		qsort(e, TOTAL, sizeof(*e), by_order);
		EXPECT_EQ(1, e[0].order);
		ASSERT_EQ(TOTAL, kvbm_alloc(fd, TOTAL, self->ids, evicted,
					    &nr));
		ASSERT_EQ(TOTAL, nr);
		/* List by list, each in its order. */
		for (i = 0, n = 0; n < 4; n++) {
			uint32_t k;

			for (k = 0; k < TOTAL; k++) {
				if (e[k].rank != n)
					continue;
				EXPECT_EQ(e[k].block, evicted[i].block);
				EXPECT_TRUE(kt_same(e[k].hash,
						    evicted[i].hash));
				EXPECT_EQ(e[k].generation,
					  evicted[i].generation);
				i++;
			}
		}
		EXPECT_EQ(TOTAL, i);
		EXPECT_EQ(p == 2, e[TOTAL - 1].rank + e[TOTAL - 2].rank +
				  e[TOTAL - 3].rank + e[TOTAL - 4].rank > 0);
		close(fd);
	}
}

static int control_fd;

static int ask(void *name)
{
	struct kvbm_store_ref ref = { .name = name };
	struct kvbm_export_entry e;
	uint64_t cursor = 0;

	return kvbm_export(control_fd, &ref, &cursor, 1, &e, NULL);
}

static int as_user(uint32_t uid, uint32_t gid, char *name)
{
	pid_t pid = kt_fork();

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) ||
		    setresuid(uid, uid, uid))
			_exit(199);
		_exit(-ask(name) + 1);
	}
	return 1 - kt_reap(pid);
}

/* The right to read, which the monitoring group has not. */
TEST_F(export, rights)
{
	struct kvbm_export_entry e;
	uint64_t cursor = 0;
	char name[] = "told";
	int fd;

	control_fd = self->control;
	ASSERT_EQ(-1, kt_store(4, .name = "told", .uid = USER, .gid = OTHER,
			       .mode = 0640, .monitor_gid = MONITOR));
	fd = kvbm_open("told");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, kt_fill(fd, 1, self->h, self->ids));
	close(fd);
	EXPECT_EQ(1, ask(name));
	EXPECT_EQ(-ENOENT, ask("nobody"));
	EXPECT_EQ(1, as_user(USER, USER, name));
	EXPECT_EQ(1, as_user(65534, OTHER, name));
	EXPECT_EQ(-EPERM, as_user(65534, MONITOR, name));
	EXPECT_EQ(-EPERM, as_user(65534, 65534, name));

	fd = open("/dev/kvbm/told", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(1, kvbm_export(fd, NULL, &cursor, 1, &e, NULL));
	close(fd);
	cursor = 0;
	fd = open("/dev/kvbm/told", O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(-EBADF, kvbm_export(fd, NULL, &cursor, 1, &e, NULL));
	/* All else goes on there. */
	EXPECT_EQ(1, kvbm_match(fd, 1, self->h, self->ids, NULL));
	close(fd);
	fd = kvbm_open("told");
	ASSERT_EQ(0, kvbm_session_revoke(fd, kt_session_id(fd), NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_export(fd, NULL, &cursor, 1, &e, NULL));
	close(fd);
	EXPECT_EQ(0, kt_destroy("told", 0));
}

struct churn {
	int fd;
	bool stop;
	uint64_t rounds;
	struct kvbm_hash *h;
};

static void *churn(void *arg)
{
	struct churn *c = arg;
	uint32_t ids[16], n;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		n = c->rounds % (TOTAL - 16);
		if (kt_fill(c->fd, 16, c->h + n, ids) < 0)
			break;
		kvbm_release(c->fd, 16, ids, 0, NULL);
		__atomic_fetch_add(&c->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* While blocks come and go: ascending, whole entries, never two of a part. */
TEST_F(export, busy)
{
	struct churn c = { .h = self->h };
	uint32_t i, k, seen = 0, walks = 0;
	pthread_t thread;
	int n;

	c.fd = kt_store(64, .policy = "lineage_fifo");
	ASSERT_GE(c.fd, 0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &c));
	while (walks++ < 200 || (!seen && walks < 100000)) {
		n = all(c.fd, self->e, 9, NULL);
		ASSERT_GE(n, 0);
		for (i = 0; i < n; i++) {
			struct kvbm_export_entry *e = &self->e[i];

			ASSERT_TRUE(!i || e->block > e[-1].block);
			ASSERT_LT(e->block, 64);
			for (k = 0; k < TOTAL; k++)
				if (kt_same(self->h[k], e->hash))
					break;
			ASSERT_LT(k, TOTAL);
			ASSERT_TRUE(e->state == KVBM_STATE_PRIMARY ||
				    e->state == KVBM_STATE_INACTIVE);
		}
		seen += n;
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_GT(seen, 0);
	EXPECT_GT(c.rounds, 0);
	close(c.fd);
}

/* A call under way ends with its session, wherever it is. */
TEST(revoked_meanwhile)
{
	int fd = kt_store(1U << 19, .policy = "lru"), round;
	struct kvbm_export_entry e;
	int32_t *ret = kt_shared(4096);

	ASSERT_GE(fd, 0);
	for (round = 0; round < 4; round++) {
		int s = kvbm_session_open(fd);
		uint64_t id = kt_session_id(s);
		pid_t pid = kt_fork();

		if (!pid) {
			uint64_t cursor;

			do {
				cursor = 0;
				*ret = kvbm_export(s, NULL, &cursor, 1, &e, NULL);
			} while (!*ret);
			_exit(0);
		}
		kt_sleep_ms(20 + round);
		EXPECT_EQ(0, kvbm_session_revoke(fd, id, NULL));
		if (!kt_until(__atomic_load_n(ret, __ATOMIC_SEQ_CST)))
			kt_kill(pid);
		else
			EXPECT_EQ(0, kt_reap(pid));
		EXPECT_EQ(-ESHUTDOWN, *ret);
		close(s);
		*ret = 0;
	}
	close(fd);
}

TEST_HARNESS_MAIN
