// SPDX-License-Identifier: MIT
/*
 * A 32-bit program gets the same structures and the same results. The compiler
 * checks that sizes and offsets are those of 64-bit programs; the rest goes
 * through the compat ioctl.
 */
#include "kvbm_layout.h"
#include "kvbm_test.h"

_Static_assert(sizeof(void *) == 4, "this is the 32-bit test");

/* kt_hash() needs 128-bit integers, which this machine has not. */
static struct kvbm_hash plain(uint64_t n)
{
	return (struct kvbm_hash){ .hi = n >> 10, .lo = n << 54 };
}

FIXTURE(compat) {
	int fd;
	uint32_t ids[8];
	struct kvbm_hash h[8];
};

FIXTURE_SETUP(compat)
{
	int i;

	self->fd = kt_store(8, .policy = "lru", .freq_capacity = 1024);
	ASSERT_GE(self->fd, 0);
	for (i = 0; i < 8; i++)
		self->h[i] = plain(0x123456789abc0000ULL + i);
	kt_poison(self->ids);
}

FIXTURE_TEARDOWN(compat)
{
	kt_check(self->fd);
	close(self->fd);
}

TEST_F(compat, control)
{
	struct kvbm_features f;
	struct kvbm_store_entry e[4];
	struct kvbm_store_info i;
	int control = kvbm_control_open();
	uint32_t total = 0;
	int fd;

	ASSERT_GE(control, 0);
	EXPECT_EQ(0, kvbm_features(control, &f));
	EXPECT_EQ(KVBM_MAX_BATCH, f.max_batch);
	EXPECT_EQ(-1, kt_store(4, .name = "narrow"));
	fd = kvbm_open("narrow");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &i));
	EXPECT_STREQ("narrow", i.name);
	EXPECT_STREQ("lineage_tick", i.policy);
	EXPECT_EQ(4, i.total_blocks);
	EXPECT_EQ(2, kvbm_store_list(control, 4, e, &total));
	EXPECT_EQ(2, total);
	EXPECT_EQ(i.store_id, strcmp(e[0].name, "narrow") ? e[1].store_id :
							    e[0].store_id);
	EXPECT_EQ(-EBUSY, kt_destroy("narrow", 0));
	close(fd);
	EXPECT_EQ(0, kt_destroy("narrow", 0));
	close(control);
}

TEST_F(compat, data_path)
{
	struct kvbm_evicted evicted[8];
	struct kvbm_registered r[4];
	uint32_t got[8], n = KT_POISON, hits, error = KT_POISON;
	struct kvbm_block_info i;
	struct kvbm_stats s;
	struct kvbm_weak w;
	uint8_t p[4];
	int other;

	EXPECT_EQ(4, kvbm_alloc(self->fd, 4, self->ids, NULL, NULL));
	EXPECT_EQ(3, self->ids[3]);
	EXPECT_EQ(KT_POISON, self->ids[4]);
	EXPECT_EQ(2, kvbm_stage(self->fd, 2, self->ids, self->h, NULL, NULL));
	EXPECT_EQ(1, kvbm_unstage(self->fd, 1, self->ids + 1, NULL));
	EXPECT_EQ(1, kvbm_register(self->fd, 1, self->ids, r, 0, NULL));
	EXPECT_EQ(3, kvbm_stage_register(self->fd, 3, self->ids + 1,
					 self->h + 1, r + 1, 0, NULL));
	EXPECT_EQ(3, r[3].block);
	EXPECT_EQ(4, kvbm_match(self->fd, 6, self->h, got, &error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(3, got[3]);
	EXPECT_EQ(3, kvbm_scan(self->fd, 3, self->h + 2, got, 0, &hits, NULL));
	EXPECT_EQ(2, hits);
	EXPECT_EQ(KVBM_NO_BLOCK, got[2]);
	EXPECT_EQ(1, kvbm_retain(self->fd, 1, self->ids, NULL));
	i = kt_info(self->fd, 0);
	EXPECT_EQ(KVBM_STATE_PRIMARY, i.state);
	EXPECT_EQ(3, i.own_holds);
	EXPECT_EQ(3, i.holds);
	EXPECT_TRUE(kt_same(self->h[0], i.hash));
	EXPECT_EQ(1, kvbm_set_reset(self->fd, 1, self->ids, true, NULL));
	EXPECT_EQ(1, kt_info(self->fd, 0).reset_on_release);
	w = (struct kvbm_weak){ .block = 1, .hash = self->h[1] };
	EXPECT_EQ(1, kvbm_upgrade(self->fd, 1, &w, got, &hits, NULL));
	EXPECT_EQ(1, got[0]);
	EXPECT_EQ(2, kvbm_presence(self->fd, 2, self->h + 3, p, NULL));
	EXPECT_EQ(KVBM_ACTIVE, p[0]);
	EXPECT_EQ(KVBM_ABSENT, p[1]);
	EXPECT_EQ(1, kvbm_touch(self->fd, 1, self->h + 6, NULL));
	EXPECT_EQ(1, kvbm_frequency(self->fd, 1, self->h + 6, p, NULL));
	EXPECT_EQ(1, p[0]);
	s = kt_stats(self->fd);
	EXPECT_EQ(4, s.allocations);
	EXPECT_EQ(4, s.registrations);
	EXPECT_EQ(4 + 4 + 2 + 1 + 1, s.inflight_immutable);
	EXPECT_EQ(1, s.sessions);
	EXPECT_EQ(12, kt_self(self->fd).holds);
	/* All of them back; the flagged one goes to Reset. */
	while (kvbm_release(self->fd, 1, self->ids, 0, NULL) == 1)
		;
	for (n = 1; n < 4; n++)
		while (kvbm_release(self->fd, 1, self->ids + n, 0, NULL) == 1)
			;
	EXPECT_EQ(3, kt_counts(self->fd).inactive);
	EXPECT_EQ(8, kvbm_alloc(self->fd, 8, got, evicted, &n));
	EXPECT_EQ(3, n);
	EXPECT_TRUE(kt_same(self->h[1], evicted[0].hash));
	EXPECT_EQ(1, evicted[0].block);
	EXPECT_EQ(-ENOSPC, kvbm_alloc(self->fd, 1, got, NULL, NULL));
	other = kvbm_session_open(self->fd);
	EXPECT_EQ(-ETIMEDOUT, kvbm_alloc_wait(other, 1, got, NULL, NULL,
					      kvbm_deadline(20000000)));
	close(other);
}

/* The upper half of a pointer counts, though nobody here has one. */
TEST_F(compat, wide_pointers)
{
	struct kvbm_match m;
	uint32_t out;

	ASSERT_EQ(1, kt_idle(self->fd, 1, self->h, self->ids));
	kvbm_args_match(&m, 0, 1, self->h, &out);
	EXPECT_EQ(1, kt_ioctl(self->fd, KVBM_IOC_MATCH, &m));
	m.ids |= 1ULL << 40;
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KVBM_IOC_MATCH, &m));
	EXPECT_EQ(1, kt_self(self->fd).holds);
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KVBM_IOC_MATCH, NULL));
	EXPECT_EQ(-ENOTTY, kt_ioctl(self->fd, KVBM_IO(0xff), &m));
	m.size--;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_MATCH, &m));
}

TEST_F(compat, revoke)
{
	int other = kvbm_session_open(self->fd);
	uint64_t back = KT_POISON;
	uint32_t got;

	ASSERT_EQ(2, kt_fill(other, 2, self->h, self->ids));
	EXPECT_EQ(0, kvbm_session_config(other, 3));
	EXPECT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(other),
					 &back));
	EXPECT_EQ(2, back);
	EXPECT_EQ(-ESHUTDOWN, kvbm_match(other, 1, self->h, &got, NULL));
	EXPECT_EQ(2, kvbm_reset_inactive(self->fd, NULL, NULL));
	close(other);
}

TEST_HARNESS_MAIN
