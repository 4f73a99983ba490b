// SPDX-License-Identifier: MIT
/*
 * Hand-over: holds pass from one session to another. They belong to the giver
 * until they are accepted, all of them or none. Whoever dies or is revoked
 * meanwhile, no hold is lost and none is duplicated.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include "kvbm_test.h"

#define TOTAL	4096
#define N	200			/* more than three chunks */

FIXTURE(offer) {
	int a, b, c;			/* sessions of one store; a gives */
	struct kvbm_hash h[TOTAL];
	uint32_t ids[TOTAL];
	uint32_t got[TOTAL];
	struct kvbm_ticket t;
};

FIXTURE_SETUP(offer)
{
	kt_chain(self->h, TOTAL, 7);
	self->a = kt_store(TOTAL);
	ASSERT_GE(self->a, 0);
	self->b = kvbm_session_open(self->a);
	self->c = kvbm_session_open(self->a);
	ASSERT_EQ(N, kt_fill(self->a, N, self->h, self->ids));
	kt_poison(self->got);
	kt_poison(self->t);
}

FIXTURE_TEARDOWN(offer)
{
	close(self->a);
	close(self->b);
	EXPECT_EQ(0, kt_stats(self->c).offered);
	kt_check(self->c);
	close(self->c);
}

static uint64_t holds(int fd)
{
	return kt_self(fd).holds;
}

static int64_t offered(int fd)
{
	return kt_self(fd).offered;
}

static int release1(int fd, uint32_t id)
{
	return kvbm_release(fd, 1, &id, 0, NULL);
}

/* Whether they are the session's alone: one hold each. */
#define own_all(fd, n, ids) ({						\
	uint32_t __i, __n = 0;						\
	for (__i = 0; __i < (n); __i++) {				\
		struct kvbm_block_info __b = kt_info(fd, (ids)[__i]);	\
		__n += __b.holds == 1 && __b.own_holds == 1;		\
	}								\
	__n;								\
})

TEST_F(offer, ticket)
{
	uint32_t total = 7, i;

	ASSERT_EQ(0, kvbm_offer(self->a, N, self->ids, &self->t));
	EXPECT_TRUE(self->t.hi || self->t.lo);
	/* Until they are accepted they are the giver's. */
	EXPECT_EQ(N, own_all(self->a, N, self->ids));
	EXPECT_EQ(N, offered(self->a));
	EXPECT_EQ(1, kt_self(self->a).offers);
	EXPECT_EQ(0, holds(self->b));

	EXPECT_EQ(-EMSGSIZE, kvbm_accept(self->b, &self->t, N - 1, self->got,
					 &total));
	EXPECT_EQ(N, total);
	EXPECT_EQ(0, holds(self->b));
	EXPECT_EQ(N, kvbm_accept(self->b, &self->t, TOTAL, self->got, &total));
	EXPECT_EQ(N, total);
	for (i = 0; i < N; i++)
		EXPECT_EQ(self->ids[i], self->got[i]);
	EXPECT_EQ(KT_POISON, self->got[N]);
	EXPECT_EQ(N, own_all(self->b, N, self->ids));
	EXPECT_EQ(0, holds(self->a));
	EXPECT_EQ(0, kt_self(self->a).held);
	EXPECT_EQ(N, kt_self(self->b).held);
	EXPECT_EQ(0, offered(self->a));
	EXPECT_EQ(0, kt_self(self->a).offers);
	EXPECT_EQ(0, kt_self(self->b).allocating);
	EXPECT_EQ(-EPERM, release1(self->a, self->ids[0]));

	/* It names nothing any more, to nobody. */
	EXPECT_EQ(-ENOENT, kvbm_accept(self->b, &self->t, N, self->got, NULL));
	EXPECT_EQ(-ENOENT, kvbm_accept(self->c, &self->t, N, self->got, NULL));
	EXPECT_EQ(-ENOENT, kvbm_withdraw(self->a, &self->t));
	EXPECT_EQ(1, kt_stats(self->c).offers);
	EXPECT_EQ(1, kt_stats(self->c).offers_accepted);
	EXPECT_EQ(N, kt_stats(self->c).handed_over);
	kt_check(self->c);
	EXPECT_EQ(N, kvbm_release(self->b, N, self->got, 0, NULL));
}

TEST_F(offer, tickets_differ)
{
	struct kvbm_ticket t[KVBM_MAX_OFFERS];
	unsigned int i, k;

	for (i = 0; i < KVBM_MAX_OFFERS; i++)
		ASSERT_EQ(0, kvbm_offer(self->a, 1, &self->ids[i], &t[i]));
	for (i = 0; i < KVBM_MAX_OFFERS; i++)
		for (k = 0; k < i; k++)
			EXPECT_TRUE(t[i].hi != t[k].hi && t[i].lo != t[k].lo);
	/* So many at once. */
	EXPECT_EQ(-EDQUOT, kvbm_offer(self->a, 1, &self->ids[i], &self->t));
	EXPECT_EQ(KVBM_MAX_OFFERS, offered(self->a));
	EXPECT_EQ(1, release1(self->a, self->ids[i]));
	EXPECT_EQ(1, kvbm_withdraw(self->a, &t[5]));
	EXPECT_EQ(0, kvbm_offer(self->a, 1, &self->ids[5], &t[5]));
	/* One that is nearly right is none. */
	t[5].lo ^= 1;
	EXPECT_EQ(-ENOENT, kvbm_accept(self->b, &t[5], 1, self->got, NULL));
	memset(&t[5], 0, sizeof(t[5]));
	EXPECT_EQ(-ENOENT, kvbm_accept(self->b, &t[5], 1, self->got, NULL));
	EXPECT_EQ(-ENOENT, kvbm_withdraw(self->a, &t[5]));
}

/* An offered hold cannot be released or offered; other holds can. */
TEST_F(offer, busy)
{
	uint32_t id = self->ids[0], two[2] = { id, id }, error;
	struct kvbm_ticket t2;

	ASSERT_EQ(0, kvbm_offer(self->a, 2, self->ids, &self->t));
	EXPECT_EQ(-EBUSY, release1(self->a, id));
	EXPECT_EQ(-EBUSY, kvbm_release(self->a, 1, &id,
				       KVBM_RELEASE_REGISTERED, NULL));
	EXPECT_EQ(-EPERM, kvbm_release(self->a, 1, &id, KVBM_RELEASE_MUTABLE,
				       NULL));
	/* A batch stops there. */
	EXPECT_EQ(2, kvbm_release(self->a, 3, (uint32_t[]){ self->ids[3],
				  self->ids[2], id }, 0, &error));
	EXPECT_EQ(EBUSY, error);
	EXPECT_EQ(-EBUSY, kvbm_offer(self->a, 1, &id, &t2));
	/* All or nothing: the first one is not offered by that. */
	EXPECT_EQ(-EBUSY, kvbm_offer(self->a, 2, (uint32_t[]){ self->ids[5],
				     id }, &t2));
	EXPECT_EQ(-EBUSY, kvbm_offer(self->a, 2, (uint32_t[]){ self->ids[5],
				     self->ids[5] }, &t2));
	EXPECT_EQ(2, offered(self->a));
	EXPECT_EQ(1, release1(self->a, self->ids[5]));

	/* Another hold is an ordinary one. */
	EXPECT_EQ(1, kvbm_retain(self->a, 1, &id, NULL));
	EXPECT_EQ(1, release1(self->a, id));
	EXPECT_EQ(-EBUSY, release1(self->a, id));
	EXPECT_EQ(1, kvbm_match(self->a, 1, self->h, self->got, NULL));
	EXPECT_EQ(id, self->got[0]);
	EXPECT_EQ(0, kvbm_offer(self->a, 1, &id, &t2));
	EXPECT_EQ(-EBUSY, release1(self->a, id));
	EXPECT_EQ(-EBUSY, kvbm_offer(self->a, 1, &id, &self->t));
	EXPECT_EQ(1, kvbm_set_reset(self->a, 1, &id, 0, NULL));
	EXPECT_EQ(2, kt_info(self->a, id).own_holds);
	EXPECT_EQ(1, kvbm_withdraw(self->a, &t2));
	EXPECT_EQ(1, release1(self->a, id));
	EXPECT_EQ(-EBUSY, release1(self->a, id));
	EXPECT_EQ(2, kvbm_withdraw(self->a, &self->t));
	EXPECT_EQ(-ENOENT, kvbm_accept(self->b, &self->t, 2, self->got, NULL));
	EXPECT_EQ(1, release1(self->a, id));
	EXPECT_EQ(-EPERM, kvbm_offer(self->a, 1, &id, &t2));

	/* Two holds on one block pass together. */
	EXPECT_EQ(2, kvbm_retain(self->a, 2, (uint32_t[]){ self->ids[1],
				 self->ids[1] }, NULL));
	two[0] = two[1] = self->ids[1];
	ASSERT_EQ(0, kvbm_offer(self->a, 2, two, &self->t));
	EXPECT_EQ(2, kvbm_accept(self->b, &self->t, 2, self->got, NULL));
	EXPECT_EQ(2, kt_info(self->b, self->ids[1]).own_holds);
	EXPECT_EQ(1, kt_info(self->a, self->ids[1]).own_holds);
	EXPECT_EQ(2, kt_info(self->a, self->ids[1]).sessions);
}

TEST_F(offer, refused)
{
	uint32_t m[2], huge = TOTAL;
	struct kvbm_offer o;
	struct kvbm_ticket t2;

	ASSERT_EQ(2, kvbm_alloc(self->a, 2, m, NULL, NULL));
	EXPECT_EQ(-EINVAL, kvbm_offer(self->a, 1, m, &t2));
	ASSERT_EQ(1, kvbm_stage(self->a, 1, m, &self->h[N], NULL, NULL));
	EXPECT_EQ(-EINVAL, kvbm_offer(self->a, 1, m, &t2));
	EXPECT_EQ(-EPERM, kvbm_offer(self->b, 1, self->ids, &t2));
	EXPECT_EQ(-EPERM, kvbm_offer(self->a, 1, &huge, &t2));
	huge = ~0U;
	EXPECT_EQ(-EPERM, kvbm_offer(self->a, 1, &huge, &t2));
	EXPECT_EQ(-EINVAL, kvbm_offer(self->a, 0, NULL, &t2));
	EXPECT_EQ(-EINVAL, kvbm_offer(self->a, KVBM_MAX_OFFERED + 1, self->ids,
				      &t2));
	EXPECT_EQ(-EFAULT, kvbm_offer(self->a, 1, NULL, &t2));
	/* The last one fails: none is offered. */
	self->ids[N] = m[0];
	EXPECT_EQ(-EINVAL, kvbm_offer(self->a, N + 1, self->ids, &t2));
	EXPECT_EQ(0, offered(self->a));
	kvbm_args_offer(&o, 1, self->ids);
	o.fd = self->b;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->a, KVBM_IOC_OFFER, &o));

	ASSERT_EQ(0, kvbm_offer(self->a, 1, self->ids, &self->t));
	EXPECT_EQ(-EINVAL, kvbm_accept(self->a, &self->t, 1, self->got, NULL));
	EXPECT_EQ(-EFAULT, kvbm_accept(self->b, &self->t, 1, NULL, NULL));
	/* Only the giver withdraws. */
	EXPECT_EQ(-ENOENT, kvbm_withdraw(self->b, &self->t));
	EXPECT_EQ(1, own_all(self->a, 1, self->ids));
	EXPECT_EQ(1, kvbm_accept(self->b, &self->t, 1, self->got, NULL));
}

/* A ticket that cannot be written is no offer. */
TEST_F(offer, bad_memory)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvbm_accept acc;
	struct kvbm_offer *o;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mprotect(map + page, page, PROT_NONE));
	o = (void *)map;
	kvbm_args_offer(o, N, self->ids);
	ASSERT_EQ(0, mprotect(map, page, PROT_READ));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->a, KVBM_IOC_OFFER, o));
	EXPECT_EQ(0, offered(self->a));
	ASSERT_EQ(0, mprotect(map, page, PROT_READ | PROT_WRITE));

	/* Room for all but the last id: nothing moves. */
	ASSERT_EQ(0, kvbm_offer(self->a, N, self->ids, &self->t));
	kvbm_args_accept(&acc, &self->t, N,
			 (void *)(map + page - (N - 1) * 4));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->b, KVBM_IOC_ACCEPT, &acc));
	EXPECT_EQ(N, own_all(self->a, N, self->ids));
	EXPECT_EQ(0, holds(self->b));
	kvbm_args_accept(&acc, &self->t, N, (void *)(map + page - N * 4));
	EXPECT_EQ(N, kt_ioctl(self->b, KVBM_IOC_ACCEPT, &acc));
	EXPECT_EQ(N, acc.done);
	EXPECT_EQ(0, acc.error);
	EXPECT_EQ(kt_session_id(self->a), acc.session);
	munmap(map, 2 * page);
}

static short events(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

/* To one session alone, which poll reports. */
TEST_F(offer, direct)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	struct kvbm_ticket t2;
	int ep;

	EXPECT_EQ(0, events(self->b));
	ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->b, &e));
	EXPECT_EQ(0, epoll_wait(ep, &e, 1, 0));
	EXPECT_EQ(-ENOENT, kvbm_accept_direct(self->b, N, self->got, NULL,
					      NULL));
	ASSERT_EQ(0, kvbm_offer_to(self->a, self->b, 10, self->ids, &self->t));
	EXPECT_EQ(1, epoll_wait(ep, &e, 1, 10000));
	ASSERT_EQ(0, kvbm_offer_to(self->a, self->b, 5, self->ids + 10, NULL));
	EXPECT_EQ(1, epoll_wait(ep, &e, 1, 10000));
	EXPECT_EQ(POLLIN, events(self->b));
	EXPECT_EQ(0, events(self->c));
	EXPECT_EQ(0, events(self->a));
	EXPECT_EQ(2, kt_self(self->b).offers_to);
	/* Nobody else, whatever they know. */
	EXPECT_EQ(-ENOENT, kvbm_accept(self->c, &self->t, N, self->got, NULL));
	EXPECT_EQ(-ENOENT, kvbm_accept_direct(self->c, N, self->got, NULL,
					      NULL));
	/* The oldest first. */
	EXPECT_EQ(10, kvbm_accept_direct(self->b, N, self->got, &t2, NULL));
	EXPECT_EQ(0, memcmp(&t2, &self->t, sizeof(t2)));
	EXPECT_EQ(POLLIN, events(self->b));
	EXPECT_EQ(5, kvbm_accept_direct(self->b, N, self->got, NULL, NULL));
	EXPECT_EQ(self->ids[10], self->got[0]);
	EXPECT_EQ(0, events(self->b));
	/* Withdrawn, it is none. */
	ASSERT_EQ(0, kvbm_offer_to(self->a, self->b, 10, self->ids + 20,
				   &self->t));
	EXPECT_EQ(10, kvbm_withdraw(self->a, &self->t));
	EXPECT_EQ(0, events(self->b));
	/* With the ticket, too. */
	ASSERT_EQ(0, kvbm_offer_to(self->a, self->b, 10, self->ids + 20,
				   &self->t));
	EXPECT_EQ(10, kvbm_accept(self->b, &self->t, N, self->got, NULL));
	close(ep);
}

TEST_F(offer, direct_refused)
{
	int other = kt_store(4), pipes[2], gone, dup_a, none;
	struct kvbm_offer o;

	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EXDEV, kvbm_offer_to(self->a, other, 1, self->ids, NULL));
	EXPECT_EQ(-EINVAL, kvbm_offer_to(self->a, self->a, 1, self->ids, NULL));
	dup_a = dup(self->a);
	EXPECT_EQ(-EINVAL, kvbm_offer_to(self->a, dup_a, 1, self->ids, NULL));
	EXPECT_EQ(-EBADF, kvbm_offer_to(self->a, pipes[0], 1, self->ids, NULL));
	EXPECT_EQ(-EBADF, kvbm_offer_to(self->a, -1, 1, self->ids, NULL));
	EXPECT_EQ(-EBADF, kvbm_offer_to(self->a, 1000, 1, self->ids, NULL));
	none = kvbm_control_open();
	EXPECT_EQ(-EBADF, kvbm_offer_to(self->a, none, 1, self->ids, NULL));
	close(none);
	/* A session that has ended. */
	gone = kvbm_session_open(self->a);
	ASSERT_EQ(0, kvbm_session_revoke(self->a, kt_session_id(gone), NULL));
	EXPECT_EQ(-ENOENT, kvbm_offer_to(self->a, gone, 1, self->ids, NULL));
	/* A ticket of this store is none of another's. */
	ASSERT_EQ(0, kvbm_offer(self->a, 1, self->ids, &self->t));
	EXPECT_EQ(-ENOENT, kvbm_accept(other, &self->t, 1, self->got, NULL));
	EXPECT_EQ(-ENOENT, kvbm_withdraw(other, &self->t));
	kvbm_args_offer(&o, 1, self->ids + 1);
	o.flags = 2;
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(self->a, KVBM_IOC_OFFER, &o));
	EXPECT_EQ(1, offered(self->a));
	close(gone);
	close(dup_a);
	close(other);
	close(pipes[0]);
	close(pipes[1]);
}

/* A descriptor that cannot be written neither gives nor takes. */
TEST_F(offer, read_only)
{
	char path[64] = "/dev/kvbm/kt-offer";
	int fd, ro, rw, i;

	EXPECT_EQ(-1, kt_store(64, .name = "kt-offer"));
	for (i = 0; i < 1000 && access(path, F_OK); i++)
		kt_sleep_ms(10);
	rw = open(path, O_RDWR | O_CLOEXEC);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(rw, 0);
	ASSERT_GE(ro, 0);
	ASSERT_EQ(4, kt_fill(rw, 4, self->h, self->ids));
	ASSERT_EQ(0, kvbm_offer(rw, 4, self->ids, &self->t));
	EXPECT_EQ(-EBADF, kvbm_accept(ro, &self->t, 4, self->got, NULL));
	EXPECT_EQ(-EBADF, kvbm_offer(ro, 4, self->ids, &self->t));
	EXPECT_EQ(-EBADF, kvbm_withdraw(ro, &self->t));
	EXPECT_EQ(4, kvbm_withdraw(rw, &self->t));
	EXPECT_EQ(-EBADF, kvbm_offer_to(rw, ro, 4, self->ids, NULL));
	fd = kvbm_session_open(rw);
	EXPECT_EQ(0, kvbm_offer_to(rw, fd, 4, self->ids, NULL));
	EXPECT_EQ(4, kvbm_accept_direct(fd, 4, self->got, NULL, NULL));
	kt_check(rw);
	close(fd);
	close(ro);
	close(rw);
	EXPECT_EQ(0, kt_destroy("kt-offer", 0));
}

/* All or nothing within the other's limit. */
TEST(limits)
{
	int a = kt_store(64, .max_held = 10), b = kvbm_session_open(a);
	struct kvbm_registered r[2];
	struct kvbm_hash h[20];
	uint32_t ids[20], got[20], twice[20], i;
	struct kvbm_ticket t;

	kt_chain(h, 20, 3);
	ASSERT_EQ(10, kt_fill(a, 10, h, ids));
	ASSERT_EQ(1, kvbm_match(b, 1, h, got, NULL));
	ASSERT_EQ(1, kt_fill(b, 1, h + 12, got));
	ASSERT_EQ(0, kvbm_offer(a, 9, ids, &t));
	/* A block of the offer counts, also the one that it has. */
	EXPECT_EQ(-EDQUOT, kvbm_accept(b, &t, 20, got, NULL));
	EXPECT_EQ(9, own_all(a, 10, ids));
	EXPECT_EQ(9, kt_self(a).offered);
	EXPECT_EQ(2, holds(b));
	EXPECT_EQ(0, kt_self(b).allocating);
	EXPECT_EQ(9, kvbm_withdraw(a, &t));
	ASSERT_EQ(0, kvbm_offer(a, 8, ids, &t));
	EXPECT_EQ(8, kvbm_accept(b, &t, 20, got, NULL));
	EXPECT_EQ(9, kt_self(b).held);
	EXPECT_EQ(10, holds(b));
	EXPECT_EQ(0, kt_self(b).allocating);
	EXPECT_EQ(2, kt_self(a).held);

	/* Two holds on a block are one block. */
	EXPECT_EQ(1, kvbm_retain(a, 1, &ids[9], NULL));
	twice[0] = twice[1] = ids[9];
	ASSERT_EQ(0, kvbm_offer(a, 2, twice, &t));
	EXPECT_EQ(2, kvbm_accept(b, &t, 20, got, NULL));
	EXPECT_EQ(10, kt_self(b).held);
	EXPECT_EQ(-EDQUOT, kvbm_match(b, 1, &h[8], got, NULL));
	/* A Duplicate counts with what it keeps alive. */
	for (i = 0; i < 9; i++)
		EXPECT_EQ(1, kvbm_match(a, 1, &h[8], got, NULL));
	EXPECT_EQ(1, kvbm_alloc(a, 1, got, NULL, NULL));
	EXPECT_EQ(1, kvbm_stage_register(a, 1, got, h, r, 0, NULL));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, r[0].kind);
	ASSERT_EQ(0, kvbm_offer(a, 1, got, &t));
	EXPECT_EQ(1, kvbm_release(b, 1, &ids[9], 0, NULL));
	EXPECT_EQ(1, kvbm_release(b, 1, &ids[9], 0, NULL));
	EXPECT_EQ(-EDQUOT, kvbm_accept(b, &t, 20, got, NULL));
	EXPECT_EQ(1, kvbm_release(b, 1, &ids[7], 0, NULL));
	EXPECT_EQ(1, kvbm_accept(b, &t, 20, got, NULL));
	kt_check(a);
	close(b);
	kt_check(a);
	close(a);
}

/* A Duplicate passes with what it keeps alive. */
TEST_F(offer, duplicates)
{
	struct kvbm_registered r[2];
	uint32_t d[2], primary = self->ids[0];

	ASSERT_EQ(2, kvbm_alloc(self->a, 2, d, NULL, NULL));
	ASSERT_EQ(2, kvbm_stage_register(self->a, 2, d, (struct kvbm_hash[]){
				self->h[0], self->h[0] }, r, 0, NULL));
	ASSERT_EQ(KVBM_KIND_DUPLICATE, r[1].kind);
	EXPECT_EQ(1, release1(self->a, primary));
	/* The session has N - 1 Primaries, two copies, and what these keep. */
	EXPECT_EQ(N + 2, kt_self(self->a).held);
	ASSERT_EQ(0, kvbm_offer(self->a, 1, d, &self->t));
	EXPECT_EQ(-EBUSY, release1(self->a, d[0]));
	EXPECT_EQ(1, kvbm_accept(self->b, &self->t, 1, self->got, NULL));
	EXPECT_EQ(2, kt_self(self->b).held);
	EXPECT_EQ(N + 1, kt_self(self->a).held);
	kt_check(self->c);
	ASSERT_EQ(0, kvbm_offer(self->a, 1, d + 1, &self->t));
	EXPECT_EQ(1, kvbm_accept(self->b, &self->t, 1, self->got, NULL));
	EXPECT_EQ(3, kt_self(self->b).held);
	EXPECT_EQ(N - 1, kt_self(self->a).held);
	EXPECT_EQ(KVBM_STATE_PRIMARY, kt_state(self->c, primary));
	kt_check(self->c);
	EXPECT_EQ(2, kvbm_release(self->b, 2, d, 0, NULL));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->c, primary));
	EXPECT_EQ(0, kt_self(self->b).held);
}

/* Invalidated blocks pass too; nothing finds them afterwards either. */
TEST_F(offer, invalidated)
{
	ASSERT_EQ(0, kvbm_offer(self->a, 4, self->ids, &self->t));
	ASSERT_EQ(0, kvbm_invalidate(self->a, 2, self->h, 0, NULL, NULL));
	EXPECT_EQ(4, kvbm_accept(self->b, &self->t, 4, self->got, NULL));
	EXPECT_EQ(KVBM_STATE_FORGOTTEN, kt_state(self->b, self->ids[0]));
	EXPECT_EQ(4, own_all(self->b, 4, self->ids));
	EXPECT_EQ(0, kvbm_match(self->c, 1, self->h, self->got, NULL));
	EXPECT_EQ(4, kvbm_release(self->b, 4, self->ids, 0, NULL));
	EXPECT_EQ(KVBM_STATE_RESET, kt_state(self->b, self->ids[0]));
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->b, self->ids[2]));
}

/* The giver dies before anybody accepts: its offers go, and its holds. */
TEST_F(offer, giver_killed)
{
	struct kvbm_ticket *t = kt_shared(sizeof(*t));
	struct kt_pipe p;
	pid_t pid;

	kt_pipe_open(&p);
	pid = kt_fork();
	if (!pid) {
		int fd = kvbm_session_open(self->c);

		close(self->a);
		KT_MUST(fd >= 0);
		KT_MUST(kvbm_match(fd, N, self->h, self->got, NULL) == N);
		KT_MUST(!kvbm_offer(fd, N, self->got, t));
		kt_tell(&p, 1);
		pause();
		_exit(0);
	}
	ASSERT_EQ(1, kt_hear(&p));
	EXPECT_EQ(2, kt_info(self->c, self->ids[0]).sessions);
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
	EXPECT_EQ(-ENOENT, kvbm_accept(self->b, t, N, self->got, NULL));
	EXPECT_EQ(N, own_all(self->a, N, self->ids));
	EXPECT_EQ(0, kt_stats(self->c).offered);
}

/* Each is revoked in turn. */
TEST_F(offer, revoked)
{
	uint64_t back = 7;
	int d = kvbm_session_open(self->c);

	/* The receiver of a direct one: the giver has all, and withdraws. */
	ASSERT_EQ(0, kvbm_offer_to(self->a, self->b, N, self->ids, &self->t));
	ASSERT_EQ(0, kvbm_session_revoke(self->c, kt_session_id(self->b),
					 NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_accept_direct(self->b, N, self->got, NULL,
						 NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_accept(self->b, &self->t, N, self->got,
					  NULL));
	EXPECT_EQ(-ENOENT, kvbm_accept(d, &self->t, N, self->got, NULL));
	EXPECT_EQ(N, own_all(self->a, N, self->ids));
	EXPECT_EQ(-EBUSY, release1(self->a, self->ids[0]));
	EXPECT_EQ(N, kvbm_withdraw(self->a, &self->t));
	EXPECT_EQ(0, offered(self->a));

	/* The giver: all comes back, and the ticket is none. */
	ASSERT_EQ(0, kvbm_offer(self->a, N, self->ids, &self->t));
	ASSERT_EQ(0, kvbm_session_revoke(self->c, kt_session_id(self->a),
					 &back));
	EXPECT_EQ(N, back);
	EXPECT_EQ(-ENOENT, kvbm_accept(d, &self->t, N, self->got, NULL));
	EXPECT_EQ(-ESHUTDOWN, kvbm_withdraw(self->a, &self->t));
	EXPECT_EQ(0, kt_counts(self->c).held);
	EXPECT_EQ(N, kt_counts(self->c).inactive);

	/* The receiver after it accepted. */
	ASSERT_EQ(N, kvbm_match(self->c, N, self->h, self->ids, NULL));
	ASSERT_EQ(0, kvbm_offer(self->c, N, self->ids, &self->t));
	ASSERT_EQ(N, kvbm_accept(d, &self->t, N, self->got, NULL));
	ASSERT_EQ(0, kvbm_session_revoke(self->c, kt_session_id(d), &back));
	EXPECT_EQ(N, back);
	EXPECT_EQ(0, kt_counts(self->c).held);
	kt_check(self->c);
	close(d);
}

/* A session that ends as such: closed, with what it offers and is offered. */
TEST_F(offer, closed)
{
	int d = kvbm_session_open(self->c);

	ASSERT_EQ(N, kvbm_match(d, N, self->h, self->got, NULL));
	ASSERT_EQ(0, kvbm_offer_to(d, self->b, N, self->got, &self->t));
	ASSERT_EQ(0, kvbm_offer_to(self->a, d, N, self->ids, NULL));
	EXPECT_EQ(POLLIN, events(self->b));
	close(d);
	EXPECT_EQ(0, events(self->b));
	EXPECT_EQ(-ENOENT, kvbm_accept_direct(self->b, N, self->got, NULL,
					      NULL));
	EXPECT_EQ(N, offered(self->a));
	EXPECT_EQ(N, own_all(self->a, N, self->ids));
	kt_check(self->c);
}

/* With a forced destruction in between nobody has anything. */
TEST(destroyed)
{
	char path[] = "/dev/kvbm/kt-offer2";
	struct kvbm_ticket t;
	struct kvbm_hash h[N];
	uint32_t ids[N];
	int a, b, i;

	kt_chain(h, N, 3);
	EXPECT_EQ(-1, kt_store(TOTAL, .name = "kt-offer2"));
	for (i = 0; i < 1000 && access(path, F_OK); i++)
		kt_sleep_ms(10);
	a = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_GE(a, 0);
	b = kvbm_session_open(a);
	ASSERT_EQ(N, kt_fill(a, N, h, ids));
	ASSERT_EQ(0, kvbm_offer_to(a, b, N, ids, &t));
	EXPECT_EQ(0, kt_destroy("kt-offer2", KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENODEV, kvbm_accept(b, &t, N, ids, NULL));
	EXPECT_EQ(-ENODEV, kvbm_accept_direct(b, N, ids, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_withdraw(a, &t));
	EXPECT_EQ(-ENODEV, kvbm_offer(a, N, ids, &t));
	close(b);
	close(a);
}

/* A mutable block's linger is no affair of what was offered. */
TEST(linger)
{
	int a = kt_store(64, .linger_ms = 600000), b = kvbm_session_open(a);
	struct kvbm_ticket t;
	struct kvbm_hash h[8];
	uint32_t ids[8], m[2];

	kt_chain(h, 8, 3);
	ASSERT_EQ(8, kt_fill(a, 8, h, ids));
	ASSERT_EQ(2, kvbm_alloc(a, 2, m, NULL, NULL));
	ASSERT_EQ(0, kvbm_offer(a, 8, ids, &t));
	close(a);
	EXPECT_EQ(2, kt_counts(b).lingering);
	EXPECT_EQ(8, kt_counts(b).inactive);
	EXPECT_EQ(-ENOENT, kvbm_accept(b, &t, 8, ids, NULL));
	kt_check(b);
	close(b);
}

/* Races.  Chance decides who accepts, who ends whom, and when. */

#define ROUNDS	60

struct racer {
	pthread_t thread;
	int fd, other;
	const struct kvbm_ticket *t;
	uint64_t session;
	uint32_t ids[N];
	volatile int *go;
	int ret;
	int (*run)(struct racer *r);
};

static void *race_thread(void *arg)
{
	struct racer *r = arg;

	__atomic_sub_fetch(r->go, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(r->go, __ATOMIC_SEQ_CST))
		;
	r->ret = r->run(r);
	return NULL;
}

static void race(struct racer *r, int n)
{
	volatile int go = n;
	int i;

	for (i = 0; i < n; i++) {
		r[i].go = &go;
		pthread_create(&r[i].thread, NULL, race_thread, &r[i]);
	}
	for (i = 0; i < n; i++)
		pthread_join(r[i].thread, NULL);
}

static int run_accept(struct racer *r)
{
	return kvbm_accept(r->fd, r->t, N, r->ids, NULL);
}

static int run_withdraw(struct racer *r)
{
	return kvbm_withdraw(r->fd, r->t);
}

static int run_revoke(struct racer *r)
{
	return kvbm_session_revoke(r->other, r->session, NULL);
}

static int run_release(struct racer *r)
{
	int i, n = 0;

	/* As often as it takes until they are somebody else's. */
	for (i = 0; i < N; i++)
		n += release1(r->fd, r->ids[i]) == 1;
	return n;
}

static int run_close(struct racer *r)
{
	return close(r->fd);
}

/* Two accept one ticket: one has all, the other nothing. */
TEST_F(offer, two_accept)
{
	int round, i, wins[2] = {};

	for (round = 0; round < ROUNDS; round++) {
		struct racer r[2] = {
			{ .fd = self->b, .t = &self->t, .run = run_accept },
			{ .fd = self->c, .t = &self->t, .run = run_accept },
		};

		ASSERT_EQ(0, kvbm_offer(self->a, N, self->ids, &self->t));
		race(r, 2);
		ASSERT_TRUE((r[0].ret == N && r[1].ret == -ENOENT) ||
			    (r[1].ret == N && r[0].ret == -ENOENT)) {
			TH_LOG("%d and %d", r[0].ret, r[1].ret);
		}
		i = r[1].ret == N;
		wins[i]++;
		ASSERT_EQ(N, own_all(r[i].fd, N, self->ids));
		ASSERT_EQ(0, holds(r[!i].fd));
		ASSERT_EQ(0, holds(self->a));
		/* And back. */
		ASSERT_EQ(0, kvbm_offer(r[i].fd, N, self->ids, &self->t));
		ASSERT_EQ(N, kvbm_accept(self->a, &self->t, N, self->got, NULL));
	}
	TH_LOG("first %d, second %d", wins[0], wins[1]);
}

/* One accepts, the giver withdraws or releases. */
TEST_F(offer, accept_and_giver)
{
	int round, taken = 0;

	for (round = 0; round < ROUNDS; round++) {
		struct racer r[3] = {
			{ .fd = self->b, .t = &self->t, .run = run_accept },
			{ .fd = self->a, .t = &self->t, .run = run_withdraw },
			{ .fd = self->a, .run = run_release },
		};
		uint64_t mine, others;

		memcpy(r[2].ids, self->ids, sizeof(r[2].ids));
		ASSERT_EQ(0, kvbm_offer(self->a, N, self->ids, &self->t));
		race(r, 3);
		mine = holds(self->a);
		others = holds(self->b);
		if (r[0].ret == N) {
			taken++;
			ASSERT_EQ(-ENOENT, r[1].ret);
			/* Offered holds could not be released. */
			ASSERT_EQ(0, r[2].ret);
			ASSERT_EQ(N, others);
			ASSERT_EQ(N, own_all(self->b, N, self->ids));
			ASSERT_EQ(N, kvbm_release(self->b, N, self->ids, 0,
						  NULL));
		} else {
			ASSERT_EQ(-ENOENT, r[0].ret);
			ASSERT_EQ(N, r[1].ret);
			ASSERT_EQ(0, others);
			ASSERT_EQ(N, mine + r[2].ret);
			while (mine) {
				struct kvbm_hold_entry e[64];
				uint64_t at = 0;
				int k, n = kvbm_holds(self->a, &at, 64, e,
						      NULL);

				ASSERT_GT(n, 0);
				for (k = 0; k < n; k++)
					ASSERT_EQ(1, release1(self->a,
							      e[k].block));
				mine -= n;
			}
		}
		ASSERT_EQ(0, kt_counts(self->c).held);
		ASSERT_EQ(N, kvbm_match(self->a, N, self->h, self->ids, NULL));
	}
	TH_LOG("accepted %d of %d", taken, round);
}

/* While one accepts, one of the two is ended: all or nothing has moved. */
static void end_meanwhile(struct __test_metadata *_metadata,
			  FIXTURE_DATA(offer) *self, bool giver, bool close_it)
{
	int round, taken = 0;

	for (round = 0; round < ROUNDS; round++) {
		int g = kvbm_session_open(self->c);
		int t = kvbm_session_open(self->c);
		int ended = giver ? g : t, n;
		struct racer r[2] = {
			{ .fd = t, .t = &self->t, .run = run_accept },
			{ .fd = ended, .other = self->c,
			  .session = kt_session_id(ended),
			  .run = close_it ? run_close : run_revoke },
		};

		ASSERT_EQ(N, kvbm_match(g, N, self->h, self->got, NULL));
		ASSERT_EQ(0, kvbm_offer(g, N, self->got, &self->t));
		race(r, 2);
		ASSERT_EQ(0, r[1].ret);
		if (giver) {
			n = holds(t);
			ASSERT_EQ(r[0].ret == N ? N : 0, n);
			ASSERT_TRUE(r[0].ret == N || r[0].ret == -ENOENT);
		} else {
			/* Moved holds went with it, the giver has the rest. */
			n = N - holds(g);
			ASSERT_TRUE(n == N || n == 0);
			ASSERT_EQ(n == N ? -ENOENT : N,
				  kvbm_withdraw(g, &self->t));
		}
		taken += n == N;
		ASSERT_EQ(N, kt_stats(self->c).inflight_immutable -
			     (giver ? n : N - n));
		if (!close_it || !giver)
			close(g);
		if (!close_it || giver)
			close(t);
		ASSERT_EQ(N, own_all(self->a, N, self->ids));
		ASSERT_EQ(N, kt_counts(self->c).held);
	}
	TH_LOG("accepted %d of %d", taken, round);
	kt_check(self->c);
}

TEST_F(offer, giver_revoked_meanwhile)
{
	end_meanwhile(_metadata, self, true, false);
}

TEST_F(offer, receiver_revoked_meanwhile)
{
	end_meanwhile(_metadata, self, false, false);
}

TEST_F(offer, giver_closes_meanwhile)
{
	end_meanwhile(_metadata, self, true, true);
}

/* Processes: the one that accepts, or gives, is killed at any moment. */
static void kill_meanwhile(struct __test_metadata *_metadata,
			   FIXTURE_DATA(offer) *self, bool giver)
{
	struct kvbm_ticket *t = kt_shared(sizeof(*t));
	int round, taken = 0, n;

	/* Only holds of the sessions that play. */
	ASSERT_EQ(N, kvbm_release(self->a, N, self->ids, 0, NULL));
	for (round = 0; round < ROUNDS / 2; round++) {
		struct kt_pipe up, down;
		pid_t pid;

		kt_pipe_open(&up);
		kt_pipe_open(&down);
		pid = kt_fork();
		if (!pid) {
			int fd = kvbm_session_open(self->c);

			close(self->a);
			close(self->b);
			KT_MUST(fd >= 0);
			if (giver) {
				KT_MUST(kvbm_match(fd, N, self->h, self->got,
						   NULL) == N);
				KT_MUST(!kvbm_offer(fd, N, self->got, t));
			}
			kt_tell(&up, 1);
			if (giver)
				pause();
			KT_MUST(kt_hear(&down) == 2);
			kvbm_accept(fd, t, N, self->got, NULL);
			pause();
			_exit(0);
		}
		if (!giver) {
			ASSERT_EQ(N, kvbm_match(self->a, N, self->h, self->ids,
						NULL));
			ASSERT_EQ(0, kvbm_offer(self->a, N, self->ids, t));
		}
		ASSERT_EQ(1, kt_hear(&up));
		if (giver) {
			kill(pid, SIGKILL);
			for (n = round * 10; n; n--)
				sched_yield();
			n = kvbm_accept(self->b, t, N, self->got, NULL);
			ASSERT_EQ(256 + SIGKILL, kt_reap(pid));
			ASSERT_TRUE(n == N || n == -ENOENT);
			ASSERT_EQ(n == N ? N : 0, holds(self->b));
			if (n == N)
				ASSERT_EQ(N, kvbm_release(self->b, N,
							  self->got, 0, NULL));
		} else {
			kt_tell(&down, 2);
			usleep(round * 300);
			ASSERT_EQ(256 + SIGKILL, kt_kill(pid));
			n = N - holds(self->a);
			ASSERT_TRUE(n == N || n == 0);
			ASSERT_EQ(n == N ? -ENOENT : N,
				  kvbm_withdraw(self->a, t));
			if (!n)
				ASSERT_EQ(N, kvbm_release(self->a, N,
							  self->ids, 0, NULL));
		}
		taken += n == N;
		ASSERT_EQ(0, kt_counts(self->c).held);
		ASSERT_EQ(N, kt_counts(self->c).inactive);
		close(up.fd[0]);
		close(up.fd[1]);
		close(down.fd[0]);
		close(down.fd[1]);
	}
	TH_LOG("accepted %d of %d", taken, round);
	kt_check(self->c);
}

TEST_F(offer, giver_killed_meanwhile)
{
	kill_meanwhile(_metadata, self, true);
}

TEST_F(offer, receiver_killed_meanwhile)
{
	kill_meanwhile(_metadata, self, false);
}

/* Two sessions give to each other at once: no order of locks matters. */
struct swapper {
	pthread_t thread;
	int fd, other;
	uint32_t ids[N];
	uint64_t done, rounds;
	volatile bool *stop;
};

static void *swap_thread(void *arg)
{
	struct swapper *s = arg;
	struct kvbm_ticket t;
	int n;

	while (!*s->stop) {
		n = kvbm_accept_direct(s->fd, N, s->ids, NULL, NULL);
		if (n > 0) {
			s->done += n;
			/* EPERM cannot be: it has just got them. */
			if (kvbm_offer_to(s->fd, s->other, n, s->ids, &t))
				return (void *)1;
		} else if (n != -ENOENT) {
			return (void *)2;
		}
		s->rounds++;
	}
	return NULL;
}

TEST_F(offer, swap)
{
	volatile bool stop = false;
	struct swapper s[2] = {
		{ .fd = self->a, .other = self->b, .stop = &stop },
		{ .fd = self->b, .other = self->a, .stop = &stop },
	};
	uint64_t end = kt_now() + 3000000000ULL;
	void *bad;
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, kvbm_offer_to(self->a, self->b, N / 10,
					   self->ids + i * (N / 10), NULL));
	for (i = 0; i < 2; i++)
		pthread_create(&s[i].thread, NULL, swap_thread, &s[i]);
	while (kt_now() < end)
		kt_sleep_ms(10);
	stop = true;
	for (i = 0; i < 2; i++) {
		pthread_join(s[i].thread, &bad);
		EXPECT_EQ(NULL, bad);
		EXPECT_GT(s[i].done, 0);
	}
	EXPECT_EQ(N, holds(self->a) + holds(self->b));
	EXPECT_EQ(N, kt_counts(self->c).held);
	EXPECT_EQ(N, offered(self->a) + offered(self->b));
	kt_check(self->c);
}

/* A large one, of many offers' worth, and the limit of all together. */
TEST(many)
{
	uint32_t n = KVBM_MAX_OFFERED, i, id, one;
	int a = kt_store(64), b = kvbm_session_open(a);
	uint32_t *ids = malloc(n * 4), *got = malloc(n * 4);
	struct kvbm_hash h = kt_single(5);
	struct kvbm_ticket t, t2;

	ASSERT_EQ(1, kt_fill(a, 1, &h, &id));
	for (i = 0; i < n; i++)
		ids[i] = id;
	ASSERT_EQ(n, kvbm_retain(a, n, ids, NULL));
	ASSERT_EQ(0, kvbm_offer(a, n, ids, &t));
	EXPECT_EQ(-EDQUOT, kvbm_offer(a, 1, ids, &t2));
	EXPECT_EQ(n + 1, kt_info(a, id).own_holds);
	EXPECT_EQ(n, kvbm_accept(b, &t, n, got, NULL));
	EXPECT_EQ(n, kt_info(b, id).own_holds);
	EXPECT_EQ(1, kt_info(a, id).own_holds);
	EXPECT_EQ(1, kt_self(b).held);
	/* More holds on a block than a session may have: nothing moves. */
	for (i = n; i + n <= KVBM_MAX_HOLDS; i += n)
		ASSERT_EQ(n, kvbm_retain(b, n, ids, NULL));
	ASSERT_EQ(KVBM_MAX_HOLDS - i, kvbm_retain(b, KVBM_MAX_HOLDS - i, ids,
						  NULL));
	ASSERT_EQ(0, kvbm_offer(a, 1, &id, &t));
	EXPECT_EQ(-EOVERFLOW, kvbm_accept(b, &t, 1, &one, NULL));
	EXPECT_EQ(1, kt_self(a).offered);
	EXPECT_EQ(1, release1(b, id));
	EXPECT_EQ(1, kvbm_accept(b, &t, 1, &one, NULL));
	EXPECT_EQ(KVBM_MAX_HOLDS, kt_info(b, id).own_holds);
	kt_check(a);
	close(a);
	kt_check(b);
	close(b);
	free(ids);
	free(got);
}

/* Room that a hand-over makes for who waits at its session's limit. */
static void *wait_alloc(void *arg)
{
	uint32_t id;

	return (void *)(long)kvbm_alloc_wait(*(int *)arg, 1, &id, NULL, NULL,
					     KVBM_NO_DEADLINE);
}

TEST(wakes)
{
	int a = kt_store(64, .max_held = 8), b = kvbm_session_open(a);
	struct kvbm_hash h[8];
	uint32_t ids[8], got[8];
	struct kvbm_ticket t;
	pthread_t thread;
	void *ret;

	kt_chain(h, 8, 3);
	ASSERT_EQ(8, kt_fill(a, 8, h, ids));
	ASSERT_EQ(0, kvbm_offer(a, 1, ids, &t));
	pthread_create(&thread, NULL, wait_alloc, &a);
	ASSERT_TRUE(kt_until(kt_self(a).waiting == 1));
	EXPECT_EQ(1, kvbm_accept(b, &t, 8, got, NULL));
	pthread_join(thread, &ret);
	EXPECT_EQ(1, (long)ret);
	kt_check(b);
	close(a);
	close(b);
}

TEST_HARNESS_MAIN
