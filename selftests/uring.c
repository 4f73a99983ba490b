// SPDX-License-Identifier: MIT
/*
 * The data path through io_uring: the same operations with the same results,
 * links, waiting allocations and everything that may end them, hostile
 * commands.
 */
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <kvbm_uring.h>
#include "kvbm_ops.h"
#include "kvbm_test.h"

#define TOTAL	64

FIXTURE(uring) {
	int fd;				/* the watcher */
	int ses;			/* what the commands go to */
	struct io_uring ring;
	bool ended;
	struct kvbm_hash h[TOTAL];
	uint32_t ids[TOTAL];
};

FIXTURE_VARIANT(uring) {
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring, plain) { 0 };
FIXTURE_VARIANT_ADD(uring, sqpoll) { IORING_SETUP_SQPOLL };

FIXTURE_SETUP(uring)
{
	struct io_uring_params p = { .flags = variant->flags,
				     .sq_thread_idle = 50 };
	int ret;

	ret = io_uring_queue_init_params(128, &self->ring, &p);
	if (ret == -ENOSYS)
		SKIP(exit(255), "this kernel has no io_uring");
	ASSERT_EQ(0, ret);
	self->fd = kt_store(TOTAL, .policy = "lru", .freq_capacity = 4096);
	ASSERT_GE(self->fd, 0);
	self->ses = kvbm_session_open(self->fd);
	ASSERT_GE(self->ses, 0);
	kt_singles(self->h, TOTAL, 70);
	kt_poison(self->ids);
}

FIXTURE_TEARDOWN(uring)
{
	if (!self->ended)
		io_uring_queue_exit(&self->ring);
	close(self->ses);
	/* Work that the ring's end leaves to workers takes a moment. */
	EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 1));
	EXPECT_EQ(TOTAL, kt_counts(self->fd).available);
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	kt_check(self->fd);
	close(self->fd);
}

/*
 * io_uring_submit() returns what it submitted; with a polling thread that may be
 * 0, for liburing counts what the thread has not taken yet.
 */

/* Submits what was prepared last and waits for its completion. */
static int run1(struct io_uring *ring)
{
	struct __kernel_timespec limit = { .tv_sec = 60 };
	struct io_uring_cqe *cqe;
	int ret;

	ret = io_uring_submit(ring);
	if (ret < 0)
		return ret;
	ret = io_uring_wait_cqe_timeout(ring, &cqe, &limit);
	if (ret)
		return -EBADE;
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

/* The next completion; its tag in *tag. */
static int next(struct io_uring *ring, uint64_t *tag)
{
	struct __kernel_timespec limit = { .tv_sec = 60 };
	struct io_uring_cqe *cqe;
	int ret;

	if (io_uring_wait_cqe_timeout(ring, &cqe, &limit))
		return -EBADE;
	ret = cqe->res;
	if (tag)
		*tag = cqe->user_data;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

static bool completed(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	return !io_uring_peek_cqe(ring, &cqe);
}

/* Every operation */

#define RUN(kind, args) ({						\
	kvbm_prep_##kind(io_uring_get_sqe(&self->ring), self->ses, args); \
	run1(&self->ring);						\
})

TEST_F(uring, every_operation)
{
	struct kvbm_registered res[4];
	struct kvbm_register re;
	struct kvbm_upgrade up;
	struct kvbm_weak w[2];
	struct kvbm_match m;
	struct kvbm_alloc al;
	struct kvbm_stage st;
	struct kvbm_query q;
	struct kvbm_keep k;
	struct kvbm_ids i;
	uint32_t out[4];
	uint8_t f[4];

	kvbm_args_alloc(&al, 0, 4, self->ids, NULL, 0);
	EXPECT_EQ(4, RUN(alloc, &al));
	EXPECT_EQ(4, al.done);
	EXPECT_EQ(3, self->ids[3]);
	kvbm_args_stage(&st, 2, self->ids, self->h, NULL);
	EXPECT_EQ(2, RUN(stage, &st));
	EXPECT_EQ(2, st.done);
	kvbm_args_ids(&i, 0, 1, self->ids + 1);
	EXPECT_EQ(1, RUN(unstage, &i));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, 1));
	kt_poison(res);
	kvbm_args_register(&re, 0, 1, self->ids, NULL, res);
	EXPECT_EQ(1, RUN(register, &re));
	kvbm_args_register(&re, 0, 3, self->ids + 1, self->h + 1, res + 1);
	EXPECT_EQ(3, RUN(register, &re));
	EXPECT_EQ(KVBM_KIND_PRIMARY, res[3].kind);
	EXPECT_EQ(3, res[3].block);
	kvbm_args_match(&m, 0, 6, self->h, out);
	EXPECT_EQ(4, RUN(match, &m));
	EXPECT_EQ(4, m.hits);
	EXPECT_EQ(2, out[2]);
	kvbm_args_match(&m, KVBM_SCAN_TOUCH, 2, self->h + 3, out);
	EXPECT_EQ(2, RUN(scan, &m));
	EXPECT_EQ(1, m.hits);
	EXPECT_EQ(3, out[0]);
	EXPECT_EQ(KVBM_NO_BLOCK, out[1]);
	kvbm_args_ids(&i, 0, 4, self->ids);
	EXPECT_EQ(4, RUN(retain, &i));
	EXPECT_EQ(3, kt_info(self->ses, 0).own_holds);
	EXPECT_EQ(4, kt_info(self->ses, 3).own_holds);
	kvbm_args_ids(&i, KVBM_SET_RESET_ON, 1, self->ids);
	EXPECT_EQ(1, RUN(set_reset, &i));
	EXPECT_EQ(1, kt_info(self->ses, 0).reset_on_release);
	w[0] = (struct kvbm_weak){ .block = 2, .hash = self->h[2] };
	w[1] = (struct kvbm_weak){ .block = 2, .hash = self->h[9] };
	kvbm_args_upgrade(&up, 2, w, out);
	EXPECT_EQ(2, RUN(upgrade, &up));
	EXPECT_EQ(1, up.hits);
	EXPECT_EQ(2, out[0]);
	EXPECT_EQ(KVBM_NO_BLOCK, out[1]);
	memset(f, 0xa5, sizeof(f));
	kvbm_args_query(&q, 2, self->h + 3, f);
	EXPECT_EQ(2, RUN(presence, &q));
	EXPECT_EQ(KVBM_ACTIVE, f[0]);
	EXPECT_EQ(KVBM_ABSENT, f[1]);
	kvbm_args_query(&q, 1, self->h + 9, NULL);
	EXPECT_EQ(1, RUN(touch, &q));
	/* The store has no ranks. */
	kvbm_args_keep(&k, 1, self->ids, NULL, KVBM_RANK_KEEP, 0);
	EXPECT_EQ(-EOPNOTSUPP, RUN(keep, &k));
	kvbm_args_query(&q, 2, self->h + 9, f);
	EXPECT_EQ(2, RUN(frequency, &q));
	EXPECT_EQ(1, f[0]);
	EXPECT_EQ(0, f[1]);
	kvbm_args_ids(&i, 0, 4, self->ids);
	EXPECT_EQ(4, RUN(release, &i));
	EXPECT_EQ(4, RUN(release, &i));
	/* The third of all but one is the last. */
	EXPECT_EQ(4, RUN(release, &i));
	EXPECT_EQ(-EPERM, RUN(release, &i));
	EXPECT_EQ(0, i.done);
	EXPECT_EQ(EPERM, i.error);
	EXPECT_EQ(2, kt_self(self->ses).held);
	EXPECT_EQ(1, kt_info(self->ses, 2).own_holds);
	EXPECT_EQ(1, kt_info(self->ses, 3).own_holds);
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->fd, 0));
}

/* Holds pass to another session: by a ticket, and to it alone in one submit. */
TEST_F(uring, hand_over)
{
	int other = kvbm_session_open(self->fd);
	struct kvbm_offer of, again;
	struct kvbm_withdraw wi;
	struct kvbm_accept ac;
	uint32_t got[TOTAL];
	uint64_t tag;
	int i;

	ASSERT_GE(other, 0);
	ASSERT_EQ(4, kt_fill(self->ses, 4, self->h, self->ids));
	kvbm_args_offer(&of, 4, self->ids);
	EXPECT_EQ(0, RUN(offer, &of));
	EXPECT_TRUE(of.ticket.hi || of.ticket.lo);
	EXPECT_EQ(4, kt_self(self->ses).offered);
	kvbm_args_offer(&again, 1, self->ids);
	EXPECT_EQ(-EBUSY, RUN(offer, &again));
	kvbm_args_withdraw(&wi, &of.ticket);
	EXPECT_EQ(0, RUN(withdraw, &wi));
	EXPECT_EQ(4, wi.done);
	EXPECT_EQ(-ENOENT, RUN(withdraw, &wi));

	EXPECT_EQ(0, RUN(offer, &of));
	kvbm_args_accept(&ac, &of.ticket, 3, got);
	kvbm_prep_accept(io_uring_get_sqe(&self->ring), other, &ac);
	EXPECT_EQ(-EMSGSIZE, run1(&self->ring));
	EXPECT_EQ(4, ac.total);
	kt_poison(got);
	kvbm_args_accept(&ac, &of.ticket, TOTAL, got);
	kvbm_prep_accept(io_uring_get_sqe(&self->ring), other, &ac);
	EXPECT_EQ(4, run1(&self->ring));
	EXPECT_EQ(4, ac.done);
	EXPECT_EQ(kt_session_id(self->ses), ac.session);
	EXPECT_EQ(KT_POISON, got[4]);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(self->ids[i], got[i]);
		EXPECT_EQ(1, kt_info(other, got[i]).own_holds);
		EXPECT_EQ(1, kt_info(other, got[i]).holds);
	}
	EXPECT_EQ(0, kt_self(self->ses).held);

	/* And back, to this session alone: the second waits for the first. */
	kvbm_args_offer(&of, 4, got);
	of.flags = KVBM_OFFER_DIRECT;
	of.fd = self->ses;
	kvbm_args_accept(&ac, NULL, TOTAL, self->ids);
	for (i = 0; i < 2; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

		if (i)
			kvbm_prep_accept(sqe, self->ses, &ac);
		else
			kvbm_prep_offer(sqe, other, &of);
		sqe->flags |= i ? 0 : IOSQE_IO_LINK;
		io_uring_sqe_set_data64(sqe, i);
	}
	ASSERT_LE(0, io_uring_submit(&self->ring));
	EXPECT_EQ(0, next(&self->ring, &tag));
	EXPECT_EQ(0, tag);
	EXPECT_EQ(4, next(&self->ring, &tag));
	EXPECT_EQ(1, tag);
	EXPECT_EQ(0, kt_self(other).held);
	EXPECT_EQ(4, kt_self(self->ses).held);
	EXPECT_EQ(2, kt_stats(self->fd).offers_accepted);
	EXPECT_EQ(8, kt_stats(self->fd).handed_over);
	EXPECT_EQ(4, kvbm_release(self->ses, 4, self->ids, 0, NULL));
	close(other);
}

/* Ranks, where the store has them. */
TEST_F(uring, ranks)
{
	struct kvbm_store_create c;
	struct kvbm_hash gone[4];
	uint8_t results[2];
	struct kvbm_keep k;
	int fd;

	kvbm_store_create_init(&c, NULL, 4);
	kvbm_store_create_policy(&c, "lru");
	c.flags |= KVBM_CREATE_RETENTION;
	fd = kt_store_make(&c);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(4, kt_idle(fd, 4, self->h, self->ids));
	memcpy(gone, self->h + 3, 2 * sizeof(*gone));
	memset(results, 0xa5, sizeof(results));
	kvbm_args_keep(&k, 2, NULL, gone, KVBM_RANK_FIRST, 0);
	k.results = kvbm_args_ptr(results);
	kvbm_prep_keep(io_uring_get_sqe(&self->ring), fd, &k);
	EXPECT_EQ(2, run1(&self->ring));
	EXPECT_EQ(2, k.done);
	EXPECT_EQ(KVBM_KEEP_DONE, results[0]);
	EXPECT_EQ(KVBM_KEEP_ABSENT, results[1]);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, self->ids, NULL, NULL));
	EXPECT_EQ(KVBM_ABSENT, kt_presence(fd, self->h[3]));
	kvbm_args_keep(&k, 1, self->ids, NULL, KVBM_RANK_HIGH, 0);
	kvbm_prep_keep(io_uring_get_sqe(&self->ring), fd, &k);
	EXPECT_EQ(-EPERM, run1(&self->ring));
	close(fd);
}

/* Failures are the ioctl's. */
TEST_F(uring, errors)
{
	uint32_t bad[3] = { 0, TOTAL, 1 };
	struct kvbm_match m;
	struct kvbm_alloc al;
	struct kvbm_ids i;

	kvbm_args_alloc(&al, 0, TOTAL + 1, self->ids, NULL, 0);
	EXPECT_EQ(-EINVAL, RUN(alloc, &al));
	kvbm_args_alloc(&al, 0, TOTAL, self->ids, NULL, 0);
	EXPECT_EQ(TOTAL, RUN(alloc, &al));
	kvbm_args_alloc(&al, 0, 1, bad, NULL, 0);
	EXPECT_EQ(-ENOSPC, RUN(alloc, &al));
	kvbm_args_alloc(&al, KVBM_ALLOC_WAIT, 1, bad, NULL, 1);
	EXPECT_EQ(-ETIMEDOUT, RUN(alloc, &al));
	kvbm_args_ids(&i, 0, 3, bad);
	EXPECT_EQ(1, RUN(release, &i));
	EXPECT_EQ(1, i.done);
	EXPECT_EQ(EPERM, i.error);
	i.reserved = 1;
	EXPECT_EQ(-EOPNOTSUPP, RUN(release, &i));
	kvbm_args_match(&m, KVBM_MATCH_PENDING << 1, 1, self->h, bad);
	EXPECT_EQ(-EOPNOTSUPP, RUN(match, &m));
	kvbm_args_match(&m, 0, KVBM_MAX_BATCH + 1, self->h, bad);
	EXPECT_EQ(-EINVAL, RUN(match, &m));
	kvbm_args_match(&m, 0, 0, self->h, bad);
	EXPECT_EQ(0, RUN(match, &m));
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(self->ses),
					 NULL));
	kvbm_args_match(&m, 0, 1, self->h, bad);
	EXPECT_EQ(-ESHUTDOWN, RUN(match, &m));
	kvbm_args_alloc(&al, KVBM_ALLOC_WAIT, 1, bad, NULL, ~0ULL);
	EXPECT_EQ(-ESHUTDOWN, RUN(alloc, &al));
}

/* A command that tries to be something else. */
static int raw(struct io_uring *ring, int fd, uint32_t op, uint64_t args,
	       uint32_t size, uint32_t flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct kvbm_uring_cmd cmd = { args, size, flags };

	kvbm_prep_op(sqe, fd, op, NULL, 0);
	memcpy((char *)sqe + offsetof(struct io_uring_sqe, cmd), &cmd,
	       sizeof(cmd));
	return run1(ring);
}

TEST_F(uring, hostile_commands)
{
	static const uint64_t nowhere[] = {
		0, 1, 8, 0x1000, ~0ULL, ~0ULL - 63, 1ULL << 63,
		0xffffffff81000000ULL, 0xffff888000000000ULL,
		0x00007ffffffff000ULL,
	};
	struct kvbm_match m;
	uint32_t op, bit, out;
	unsigned int i;

	kvbm_args_match(&m, 0, 1, self->h, &out);
	/* Operations outside the data path. */
	for (op = 0; op < 256; op++)
		if (!kt_op(op) || !kt_op(op)->data)
			EXPECT_EQ(-ENOTTY, raw(&self->ring, self->ses, op,
					       (uintptr_t)&m, m.size, 0)) {
				TH_LOG("op %#x", op);
			}
	EXPECT_EQ(-ENOTTY, raw(&self->ring, self->ses, KVBM_IOC_MATCH,
			       (uintptr_t)&m, m.size, 0));
	EXPECT_EQ(-ENOTTY, raw(&self->ring, self->ses, ~0U, (uintptr_t)&m,
			       m.size, 0));
	for (bit = 0; bit < 32; bit++)
		EXPECT_EQ(-EOPNOTSUPP, raw(&self->ring, self->ses,
					   KVBM_OP_MATCH, (uintptr_t)&m,
					   m.size, 1U << bit));
	for (op = KVBM_OP_ALLOC; op <= KVBM_OP_WITHDRAW; op++) {
		if (!kt_op(op))
			continue;
		for (i = 0; i < ARRAY_SIZE(nowhere); i++)
			EXPECT_EQ(-EFAULT, raw(&self->ring, self->ses, op,
					       nowhere[i], 80, 0)) {
				TH_LOG("op %#x at %#llx", op,
				       (unsigned long long)nowhere[i]);
			}
		EXPECT_EQ(-EINVAL, raw(&self->ring, self->ses, op,
				       (uintptr_t)&m, 0, 0));
		EXPECT_EQ(-EINVAL, raw(&self->ring, self->ses, op,
				       (uintptr_t)&m, 31, 0));
		EXPECT_EQ(-E2BIG, raw(&self->ring, self->ses, op,
				      (uintptr_t)&m, ~0U, 0));
	}
	/* The control device has no data path. */
	int control = kvbm_control_open();

	EXPECT_EQ(-EOPNOTSUPP, raw(&self->ring, control, KVBM_OP_MATCH,
				   (uintptr_t)&m, m.size, 0));
	close(control);
	EXPECT_EQ(0, kt_self(self->ses).held);
}

/* A descriptor that cannot be written takes what an ioctl on it may. */
TEST_F(uring, read_only)
{
	struct kvbm_hash h = kt_single(1);
	struct kvbm_query q;
	struct kvbm_alloc al;
	struct kvbm_match m;
	uint32_t out, op;
	uint8_t there;
	int fd;

	ASSERT_EQ(-1, kt_store(4, .name = "ringlook"));
	fd = open("/dev/kvbm/ringlook", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	kvbm_args_alloc(&al, 0, 1, &out, NULL, 0);
	kvbm_prep_alloc(io_uring_get_sqe(&self->ring), fd, &al);
	EXPECT_EQ(-EBADF, run1(&self->ring));
	kvbm_args_match(&m, 0, 1, &h, &out);
	kvbm_prep_match(io_uring_get_sqe(&self->ring), fd, &m);
	EXPECT_EQ(-EBADF, run1(&self->ring));
	for (op = KVBM_OP_ALLOC; op <= KVBM_OP_TOUCH; op++) {
		if (op == KVBM_OP_PRESENCE || op == KVBM_OP_FREQUENCY)
			continue;
		EXPECT_EQ(-EBADF, raw(&self->ring, fd, op, 0, 0, 0)) {
			TH_LOG("request %#x", op);
		}
	}
	kvbm_args_query(&q, 1, &h, &there);
	kvbm_prep_presence(io_uring_get_sqe(&self->ring), fd, &q);
	EXPECT_EQ(1, run1(&self->ring));
	EXPECT_EQ(KVBM_ABSENT, there);
	close(fd);
	EXPECT_EQ(0, kt_destroy("ringlook", KVBM_DESTROY_FORCE));
}

/* Outputs that cannot be written, as for the ioctl. */
TEST_F(uring, bad_outputs)
{
	struct kvbm_register re;
	struct kvbm_match m;
	struct kvbm_alloc al;

	ASSERT_EQ(8, kt_idle(self->fd, 8, self->h, self->ids));
	kvbm_args_match(&m, 0, 8, self->h, NULL);
	EXPECT_EQ(-EFAULT, RUN(match, &m));
	EXPECT_EQ(-EFAULT, RUN(scan, &m));
	EXPECT_EQ(0, kt_self(self->ses).held);
	kvbm_args_alloc(&al, 0, 1, NULL, NULL, 0);
	EXPECT_EQ(-EFAULT, RUN(alloc, &al));
	EXPECT_EQ(0, kt_self(self->ses).held);
	ASSERT_EQ(1, kvbm_alloc(self->ses, 1, self->ids, NULL, NULL));
	kvbm_args_register(&re, 0, 1, self->ids, self->h + 9, NULL);
	EXPECT_EQ(-EFAULT, RUN(register, &re));
	EXPECT_EQ(0, kt_self(self->ses).held);
	EXPECT_EQ(9, kt_counts(self->fd).inactive);
}

/* Batches of commands, registered files, links */

TEST_F(uring, many_in_one_submit)
{
	struct kvbm_match m[64];
	uint32_t out[64], seen = 0;
	uint64_t tag;
	int i;

	ASSERT_EQ(TOTAL, kt_idle(self->fd, TOTAL, self->h, self->ids));
	kt_poison(out);
	for (i = 0; i < 64; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

		kvbm_args_match(&m[i], 0, 1, &self->h[i], &out[i]);
		kvbm_prep_match(sqe, self->ses, &m[i]);
		io_uring_sqe_set_data64(sqe, i);
	}
	ASSERT_LE(0, io_uring_submit(&self->ring));
	for (i = 0; i < 64; i++) {
		EXPECT_EQ(1, next(&self->ring, &tag));
		seen += tag;
	}
	EXPECT_EQ(63 * 64 / 2, seen);
	for (i = 0; i < 64; i++)
		EXPECT_EQ(self->ids[i], out[i]);
	EXPECT_EQ(64, kvbm_release(self->ses, 64, out, 0, NULL));
}

TEST_F(uring, registered_file)
{
	struct io_uring_sqe *sqe;
	struct kvbm_alloc al;

	ASSERT_EQ(0, io_uring_register_files(&self->ring, &self->ses, 1));
	kvbm_args_alloc(&al, 0, 3, self->ids, NULL, 0);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_alloc(sqe, 0, &al);
	sqe->flags |= IOSQE_FIXED_FILE;
	EXPECT_EQ(3, run1(&self->ring));
	EXPECT_EQ(3, kt_self(self->ses).held);
	/* The ring is a reference too: the session goes on without us. */
	close(self->ses);
	EXPECT_EQ(2, kt_stats(self->fd).sessions);
	kvbm_args_alloc(&al, 0, 3, self->ids, NULL, 0);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_alloc(sqe, 0, &al);
	sqe->flags |= IOSQE_FIXED_FILE;
	EXPECT_EQ(3, run1(&self->ring));
	EXPECT_EQ(6, kt_stats(self->fd).inflight_mutable);
	EXPECT_EQ(0, io_uring_unregister_files(&self->ring));
	EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 1));
	EXPECT_EQ(0, kt_stats(self->fd).inflight_mutable);
	self->ses = kvbm_session_open(self->fd);
}

/* release, allocate, register in one system call. */
TEST_F(uring, linked)
{
	struct kvbm_registered res[4];
	struct io_uring_sqe *sqe;
	struct kvbm_register re;
	struct kvbm_alloc al;
	struct kvbm_ids rel;
	uint32_t got[4];
	uint64_t tag;
	int i;

	ASSERT_EQ(TOTAL, kt_fill(self->ses, TOTAL, self->h, self->ids));
	kt_poison(got);
	kvbm_args_ids(&rel, 0, 4, self->ids);
	kvbm_args_alloc(&al, 0, 4, got, NULL, 0);
	struct kvbm_hash fresh[4];

	kt_singles(fresh, 4, 9000);
	kvbm_args_register(&re, 0, 4, got, fresh, res);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_release(sqe, self->ses, &rel);
	sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, 0);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_alloc(sqe, self->ses, &al);
	sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, 1);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_register(sqe, self->ses, &re);
	io_uring_sqe_set_data64(sqe, 2);
	ASSERT_LE(0, io_uring_submit(&self->ring));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(4, next(&self->ring, &tag));
		EXPECT_EQ(i, tag);
	}
	EXPECT_EQ(self->ids[0], got[0]);
	EXPECT_EQ(KVBM_KIND_PRIMARY, res[3].kind);
	EXPECT_EQ(KVBM_ACTIVE, kt_presence(self->fd, fresh[3]));

	/* A failure breaks the chain. */
	rel.ids = (uintptr_t)&(uint32_t){ TOTAL };
	rel.count = 1;
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_release(sqe, self->ses, &rel);
	sqe->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_alloc(sqe, self->ses, &al);
	ASSERT_LE(0, io_uring_submit(&self->ring));
	EXPECT_EQ(-EPERM, next(&self->ring, NULL));
	EXPECT_EQ(-ECANCELED, next(&self->ring, NULL));
	EXPECT_EQ(TOTAL, kt_self(self->ses).held);
}

/* Waiting */

static void submit_wait(struct io_uring *ring, int fd, struct kvbm_alloc *al,
			uint32_t n, uint32_t *ids, uint64_t tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	kvbm_args_alloc(al, KVBM_ALLOC_WAIT, n, ids, NULL, KVBM_NO_DEADLINE);
	kvbm_prep_alloc(sqe, fd, al);
	io_uring_sqe_set_data64(sqe, tag);
	io_uring_submit(ring);
}

#define until_waiting(n) \
	ASSERT_TRUE(kt_until(kt_counts(self->fd).waiters == (n)))

TEST_F(uring, waits_and_is_granted)
{
	uint32_t got[8], one;
	struct kvbm_alloc al;
	struct kvbm_match m;
	struct io_uring_sqe *sqe;
	uint64_t tag;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	submit_wait(&self->ring, self->ses, &al, 8, got, 1);
	until_waiting(1);
	EXPECT_FALSE(completed(&self->ring));
	/* The ring works on meanwhile, on the same session. */
	kvbm_args_match(&m, 0, 1, self->h, &one);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_match(sqe, self->ses, &m);
	io_uring_sqe_set_data64(sqe, 2);
	ASSERT_LE(0, io_uring_submit(&self->ring));
	EXPECT_EQ(0, next(&self->ring, &tag));
	EXPECT_EQ(2, tag);
	ASSERT_EQ(8, kvbm_release(self->fd, 8, self->ids, 0, NULL));
	EXPECT_EQ(8, next(&self->ring, &tag));
	EXPECT_EQ(1, tag);
	EXPECT_EQ(8, al.done);
	EXPECT_EQ(8, kt_self(self->ses).mutable_blocks);
	EXPECT_EQ(1, kt_stats(self->fd).wait_wakeups);
	ASSERT_EQ(TOTAL - 8, kvbm_release(self->fd, TOTAL - 8, self->ids + 8, 0,
					  NULL));
}

/* A wait for others' claims completes when they end, or is cancelled. */
TEST_F(uring, waits_for_claims)
{
	struct io_uring_sqe *sqe;
	struct kvbm_watch watch;
	struct kvbm_wait w[2];
	uint64_t tag;
	uint8_t state;
	uint32_t id;
	int i;

	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_claim(self->fd, 1, &id, self->h, &state, NULL));
	ASSERT_EQ(KVBM_CLAIMED, state);
	kvbm_args_watch(&watch, 2, self->h, NULL);
	EXPECT_EQ(0, RUN(watch, &watch));
	EXPECT_EQ(1, watch.pending);
	kvbm_args_wait(&w[0], 1, self->h, 1);
	EXPECT_EQ(-ETIMEDOUT, RUN(wait, &w[0]));
	EXPECT_EQ(1, w[0].pending);
	kvbm_args_wait(&w[0], 1, self->h + 1, 1);
	EXPECT_EQ(0, RUN(wait, &w[0]));
	for (i = 0; i < 2; i++) {
		uint64_t before = kt_stats(self->fd).claim_waits;

		kvbm_args_wait(&w[i], 1, self->h, ~0ULL);
		sqe = io_uring_get_sqe(&self->ring);
		kvbm_prep_wait(sqe, self->ses, &w[i]);
		io_uring_sqe_set_data64(sqe, 10 + i);
		ASSERT_LE(0, io_uring_submit(&self->ring));
		/* Once where it may not sleep, once where it does. */
		ASSERT_TRUE(kt_until(kt_stats(self->fd).claim_waits >=
				     before + 2));
	}
	EXPECT_FALSE(completed(&self->ring));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 10, 0);
	io_uring_sqe_set_data64(sqe, 1);
	ASSERT_LE(0, io_uring_submit(&self->ring));
	for (i = 0; i < 2; i++) {
		int ret = next(&self->ring, &tag);

		EXPECT_TRUE(tag == 10 ? ret == -EINTR : tag == 1);
	}
	EXPECT_FALSE(completed(&self->ring));
	ASSERT_EQ(1, kvbm_unstage(self->fd, 1, &id, NULL));
	EXPECT_EQ(0, next(&self->ring, &tag));
	EXPECT_EQ(11, tag);
	ASSERT_EQ(1, kvbm_release(self->fd, 1, &id, 0, NULL));
}

/* First come first served, whichever way they came. */
TEST_F(uring, order_of_grants)
{
	struct kvbm_alloc al[8];
	uint32_t got[8][2];
	uint64_t tag;
	int i;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	for (i = 0; i < 8; i++) {
		submit_wait(&self->ring, self->ses, &al[i], 2, got[i], i);
		until_waiting(i + 1);
	}
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids + 2 * i, 0,
					  NULL));
		EXPECT_EQ(8 - i, kt_counts(self->fd).waiters);
		ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids + 2 * i + 1,
					  0, NULL));
		EXPECT_EQ(2, next(&self->ring, &tag));
		EXPECT_EQ(i, tag);
	}
	EXPECT_EQ(8, kt_stats(self->fd).wait_wakeups);
	ASSERT_EQ(TOTAL - 16, kvbm_release(self->fd, TOTAL - 16,
					   self->ids + 16, 0, NULL));
}

TEST_F(uring, deadline)
{
	struct io_uring_sqe *sqe;
	struct kvbm_alloc al;
	uint64_t begin;
	uint32_t got;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	begin = kt_now();
	kvbm_args_alloc(&al, KVBM_ALLOC_WAIT, 1, &got, NULL,
			begin + 100000000);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_alloc(sqe, self->ses, &al);
	EXPECT_EQ(-ETIMEDOUT, run1(&self->ring));
	EXPECT_GE(kt_now() - begin, 100000000);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

static bool ended_early(int res)
{
	return res == -EINTR || res == -ECANCELED;
}

TEST_F(uring, cancelled)
{
	struct io_uring_sqe *sqe;
	struct kvbm_alloc al;
	uint32_t got[2];
	uint64_t tag;
	int i, res;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	for (i = 0; i < 20; i++) {
		submit_wait(&self->ring, self->ses, &al, 2, got, 1);
		until_waiting(1);
		sqe = io_uring_get_sqe(&self->ring);
		io_uring_prep_cancel64(sqe, 1, 0);
		io_uring_sqe_set_data64(sqe, 2);
		ASSERT_LE(0, io_uring_submit(&self->ring));
		for (int k = 0; k < 2; k++) {
			res = next(&self->ring, &tag);
			/* Some kernels look a second time, and find it gone. */
			EXPECT_TRUE(tag == 1 ? ended_early(res) :
				    !res || res == -EALREADY ||
				    res == -ENOENT) {
				TH_LOG("%d: %d", (int)tag, res);
			}
		}
		EXPECT_EQ(0, kt_counts(self->fd).waiters);
		EXPECT_EQ(0, kt_self(self->ses).held);
	}
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

/* Cancelled at the moment of the grant: one or the other, nothing lost. */
TEST_F(uring, cancel_races)
{
	struct io_uring_sqe *sqe;
	struct kvbm_alloc al;
	int i, res, granted = 0;
	uint32_t got[2];
	uint64_t tag;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	for (i = 0; i < 60; i++) {
		submit_wait(&self->ring, self->ses, &al, 2, got, 1);
		if (i & 1)
			until_waiting(1);
		sqe = io_uring_get_sqe(&self->ring);
		io_uring_prep_cancel64(sqe, 1, 0);
		io_uring_sqe_set_data64(sqe, 2);
		if (i & 2) {
			ASSERT_LE(0, io_uring_submit(&self->ring));
			ASSERT_EQ(2, kvbm_release(self->fd, 2, self->ids, 0,
						  NULL));
		} else {
			ASSERT_EQ(2, kvbm_release(self->fd, 2, self->ids, 0,
						  NULL));
			ASSERT_LE(0, io_uring_submit(&self->ring));
		}
		for (int k = 0; k < 2; k++) {
			res = next(&self->ring, &tag);
			if (tag != 1)
				continue;
			if (res == 2) {
				granted++;
				EXPECT_EQ(2, kvbm_release(self->ses, 2, got, 0,
							  NULL));
			} else {
				EXPECT_TRUE(ended_early(res)) {
					TH_LOG("%d", res);
				}
			}
		}
		EXPECT_EQ(0, kt_self(self->ses).held);
		EXPECT_EQ(0, kt_counts(self->fd).waiters);
		ASSERT_EQ(2, kvbm_alloc(self->fd, 2, self->ids, NULL, NULL));
	}
	TH_LOG("%d of 60 granted", granted);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

TEST_F(uring, link_timeout)
{
	struct __kernel_timespec soon = { .tv_nsec = 100000000 };
	struct io_uring_sqe *sqe;
	struct kvbm_alloc al;
	uint32_t got[2];
	uint64_t tag;
	int i, res;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	kvbm_args_alloc(&al, KVBM_ALLOC_WAIT, 2, got, NULL, KVBM_NO_DEADLINE);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_alloc(sqe, self->ses, &al);
	sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, 1);
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_link_timeout(sqe, &soon, 0);
	io_uring_sqe_set_data64(sqe, 2);
	ASSERT_LE(0, io_uring_submit(&self->ring));
	for (i = 0; i < 2; i++) {
		res = next(&self->ring, &tag);
		/* Kernels to 7.3 say ENOENT where a worker had it. */
		EXPECT_TRUE(tag == 1 ? ended_early(res) :
			    res == -ETIME || res == -EALREADY ||
			    res == -ENOENT) {
			TH_LOG("%d: %d", (int)tag, res);
		}
	}
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	EXPECT_EQ(0, kt_self(self->ses).held);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

/* A chain whose middle waits: what frees the blocks comes from outside. */
TEST_F(uring, linked_wait)
{
	struct kvbm_registered res[2];
	struct io_uring_sqe *sqe;
	struct kvbm_register re;
	struct kvbm_alloc al;
	uint32_t got[2];

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	kvbm_args_alloc(&al, KVBM_ALLOC_WAIT, 2, got, NULL, KVBM_NO_DEADLINE);
	kvbm_args_register(&re, 0, 2, got, self->h, res);
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_alloc(sqe, self->ses, &al);
	sqe->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&self->ring);
	kvbm_prep_register(sqe, self->ses, &re);
	ASSERT_LE(0, io_uring_submit(&self->ring));
	until_waiting(1);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
	EXPECT_EQ(2, next(&self->ring, NULL));
	EXPECT_EQ(2, next(&self->ring, NULL));
	EXPECT_EQ(KVBM_ACTIVE, kt_presence(self->fd, self->h[1]));
}

/* The ring ends, with commands that wait. */
TEST_F(uring, ring_exit)
{
	struct kvbm_alloc al[4];
	uint32_t got[4][2];
	int i;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	for (i = 0; i < 4; i++)
		submit_wait(&self->ring, self->ses, &al[i], 2, got[i], i);
	until_waiting(4);
	io_uring_queue_exit(&self->ring);
	self->ended = true;
	EXPECT_TRUE(kt_until(kt_counts(self->fd).waiters == 0));
	EXPECT_EQ(0, kt_self(self->ses).held);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
	EXPECT_EQ(TOTAL, kt_counts(self->fd).available);
}

/* The session's descriptor is closed under a command that waits. */
TEST_F(uring, closed_while_waiting)
{
	struct kvbm_alloc al;
	uint32_t got[2];

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	submit_wait(&self->ring, self->ses, &al, 2, got, 1);
	until_waiting(1);
	close(self->ses);
	EXPECT_EQ(2, kt_stats(self->fd).sessions);
	ASSERT_EQ(2, kvbm_release(self->fd, 2, self->ids, 0, NULL));
	EXPECT_EQ(2, next(&self->ring, NULL));
	/* Its end was the session's. */
	EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 1));
	EXPECT_EQ(2, kt_counts(self->fd).available);
	ASSERT_EQ(TOTAL - 2, kvbm_release(self->fd, TOTAL - 2, self->ids + 2,
					  0, NULL));
	self->ses = kvbm_session_open(self->fd);
}

TEST_F(uring, revoked_while_waiting)
{
	struct kvbm_alloc al;
	uint32_t got[2];

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	submit_wait(&self->ring, self->ses, &al, 2, got, 1);
	until_waiting(1);
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(self->ses),
					 NULL));
	EXPECT_EQ(-ESHUTDOWN, next(&self->ring, NULL));
	EXPECT_EQ(0, kt_counts(self->fd).waiters);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

struct revoker {
	int fd;
	uint64_t session;
	pthread_barrier_t *both;
	unsigned int delay;
	long ret;
};

static void *revoke_one(void *arg)
{
	struct revoker *r = arg;
	volatile unsigned int i;

	pthread_barrier_wait(r->both);
	for (i = 0; i < r->delay; i++)
		;
	r->ret = kvbm_session_revoke(r->fd, r->session, NULL);
	return NULL;
}

/*
 * Revoked while the ring tries a command without sleeping, finds too little, and
 * leaves it to a worker, which is busy with another: the revocation waits for
 * neither.
 */
TEST_F(uring, revoke_races)
{
	unsigned int workers[2] = { 1, 1 };
	uint32_t got[2], theirs[2];
	struct kvbm_alloc al, al2;
	pthread_barrier_t both;
	struct revoker r;
	pthread_t t;
	uint64_t tag;
	int i, k, ses, res;

	ASSERT_EQ(0, io_uring_register_iowq_max_workers(&self->ring, workers));
	pthread_barrier_init(&both, NULL, 2);
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	for (i = 0; i < 150; i++) {
		submit_wait(&self->ring, self->ses, &al, 2, got, 1);
		until_waiting(1);
		ses = kvbm_session_open(self->fd);
		r = (struct revoker) { .fd = self->fd, .both = &both,
				       .session = kt_session_id(ses),
				       .delay = i * 37 % 1000 };
		ASSERT_EQ(0, pthread_create(&t, NULL, revoke_one, &r));
		pthread_barrier_wait(&both);
		submit_wait(&self->ring, ses, &al2, 2, theirs, 2);
		pthread_join(t, NULL);
		EXPECT_EQ(0, r.ret);
		ASSERT_EQ(2, kvbm_release(self->fd, 2, self->ids, 0, NULL));
		for (k = 0; k < 2; k++) {
			res = next(&self->ring, &tag);
			EXPECT_EQ(tag == 1 ? 2 : -ESHUTDOWN, res);
		}
		close(ses);
		ASSERT_EQ(2, kvbm_release(self->ses, 2, got, 0, NULL));
		ASSERT_EQ(2, kvbm_alloc(self->fd, 2, self->ids, NULL, NULL));
	}
	pthread_barrier_destroy(&both);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

struct busy_waiter {
	int fd;
	int event;
	struct io_uring ring;
	volatile bool ready;
	volatile bool done;
	long ret;
	struct kvbm_alloc args;
	uint32_t ids[2];
};

/* Waits in a system call, while its ring's completions are work for the task. */
static void *wait_with_ring(void *arg)
{
	struct busy_waiter *w = arg;
	struct io_uring_sqe *sqe;

	if (io_uring_queue_init(64, &w->ring, 0))
		return NULL;
	sqe = io_uring_get_sqe(&w->ring);
	io_uring_prep_poll_multishot(sqe, w->event, POLLIN);
	io_uring_submit(&w->ring);
	__sync_synchronize();
	w->ready = true;
	w->ret = kt_ioctl(w->fd, KVBM_IOC_ALLOC, &w->args);
	__sync_synchronize();
	w->done = true;
	return NULL;
}

/* Such work ends the sleep and restarts the call, which keeps its place. */
TEST_F(uring, task_work_keeps_the_place)
{
	struct busy_waiter first = {};
	struct kvbm_alloc al;
	uint32_t got[2];
	uint64_t one = 1;
	unsigned int i;
	pthread_t t;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	first.fd = kvbm_session_open(self->fd);
	first.event = eventfd(0, EFD_CLOEXEC);
	kvbm_args_alloc(&first.args, KVBM_ALLOC_WAIT, 2, first.ids, NULL,
			KVBM_NO_DEADLINE);
	ASSERT_EQ(0, pthread_create(&t, NULL, wait_with_ring, &first));
	ASSERT_TRUE(kt_until(first.ready));
	until_waiting(1);
	submit_wait(&self->ring, self->ses, &al, 1, got, 1);
	until_waiting(2);
	for (i = 1; i <= 50; i++) {
		ASSERT_EQ(8, write(first.event, &one, 8));
		/* The task itself completes it. */
		ASSERT_TRUE(kt_until(io_uring_cq_ready(&first.ring) >= i));
	}
	until_waiting(2);
	/* Enough for the second, who came later. */
	ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids, 0, NULL));
	kt_sleep_ms(50);
	EXPECT_FALSE(completed(&self->ring));
	EXPECT_FALSE(first.done);
	ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids + 1, 0, NULL));
	pthread_join(t, NULL);
	EXPECT_EQ(2, first.ret);
	EXPECT_FALSE(completed(&self->ring));
	io_uring_queue_exit(&first.ring);
	close(first.event);
	ASSERT_EQ(TOTAL - 2, kvbm_release(self->fd, TOTAL - 2, self->ids + 2,
					  0, NULL));
	EXPECT_EQ(1, next(&self->ring, NULL));
	close(first.fd);
}

/* kill -9 with commands that wait, holds and a registered file. */
TEST_F(uring, killed_while_waiting)
{
	int i;

	ASSERT_EQ(TOTAL - 4, kvbm_alloc(self->fd, TOTAL - 4, self->ids, NULL,
					NULL));
	for (i = 0; i < 10; i++) {
		pid_t pid = kt_fork();

		if (!pid) {
			struct kvbm_alloc al[3];
			struct io_uring ring;
			uint32_t got[3][8], k;
			int fd = kvbm_session_open(self->fd);
			struct io_uring_params p = {
				.flags = variant->flags,
				.sq_thread_idle = 50,
			};

			KT_MUST(!io_uring_queue_init_params(8, &ring, &p));
			if (i & 1)
				KT_MUST(!io_uring_register_files(&ring, &fd,
								 1));
			KT_MUST(kvbm_alloc(fd, 4, got[0], NULL, NULL) == 4);
			for (k = 0; k < 3; k++)
				submit_wait(&ring, fd, &al[k], 8, got[k], k);
			for (;;)
				pause();
		}
		until_waiting(3);
		EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
		EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 2)) {
			TH_LOG("round %d", i);
		}
		EXPECT_EQ(0, kt_counts(self->fd).waiters);
		EXPECT_EQ(4, kt_counts(self->fd).available);
	}
	ASSERT_EQ(TOTAL - 4, kvbm_release(self->fd, TOTAL - 4, self->ids, 0,
					  NULL));
}

/* fork with rings: a child's end is not the ring's, nor the session's. */
TEST_F(uring, fork)
{
	struct kvbm_alloc al;
	uint32_t got[2];
	pid_t pid;

	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	submit_wait(&self->ring, self->ses, &al, 2, got, 1);
	until_waiting(1);
	pid = kt_fork();
	if (!pid)
		_exit(0);
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(1, kt_counts(self->fd).waiters);
	EXPECT_FALSE(completed(&self->ring));
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
	EXPECT_EQ(2, next(&self->ring, NULL));
}

/* The waiter dies; a child keeps ring and session open. */
TEST_F(uring, submitter_dies)
{
	struct kt_pipe go, ready;
	pid_t pid, child;

	kt_pipe_open(&go);
	kt_pipe_open(&ready);
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, self->ids, NULL, NULL));
	pid = kt_fork();
	if (!pid) {
		struct io_uring_params p = { .flags = variant->flags,
					     .sq_thread_idle = 50 };
		struct kvbm_alloc al;
		struct io_uring ring;
		uint32_t got[2];
		int fd = kvbm_session_open(self->fd);

		KT_MUST(!io_uring_queue_init_params(8, &ring, &p));
		submit_wait(&ring, fd, &al, 2, got, 1);
		kt_until(kt_counts(self->fd).waiters == 1);
		child = fork();
		if (!child) {
			kt_tell(&ready, getpid());
			kt_hear(&go);
			_exit(0);
		}
		pause();
	}
	child = kt_hear(&ready);
	ASSERT_GT(child, 0);
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	EXPECT_TRUE(kt_until(kt_counts(self->fd).waiters == 0));
	EXPECT_EQ(3, kt_stats(self->fd).sessions);
	kt_tell(&go, 1);
	EXPECT_TRUE(kt_until(kt_stats(self->fd).sessions == 2));
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
}

TEST_HARNESS_MAIN
