// SPDX-License-Identifier: MIT
/*
 * Several callers at once, on the same blocks. Bounded by iterations, not by
 * time. At the end of each test the invariants hold, block by block.
 */
#include <pthread.h>
#include "kvbm_test.h"

#define THREADS	4

struct racer {
	int fd;
	int n;				/* its number */
	unsigned int rounds;
	const struct kvbm_hash *h;
	uint32_t nr_h;
	pthread_barrier_t *barrier;
	int bad;			/* what must not happen */
	uint64_t good;			/* what shows that the race was one */
	volatile bool *stop;
};

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void run(struct __test_metadata *_metadata, struct racer *r, int n,
		void *(*fn)(void *))
{
	pthread_barrier_t b;
	pthread_t t[THREADS];
	int i;

	pthread_barrier_init(&b, NULL, n);
	for (i = 0; i < n; i++) {
		r[i].n = i;
		r[i].barrier = &b;
		ASSERT_EQ(0, pthread_create(&t[i], NULL, fn, &r[i]));
	}
	for (i = 0; i < n; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, r[i].bad) {
			TH_LOG("racer %d: %d", i, r[i].bad);
		}
	}
	pthread_barrier_destroy(&b);
}

/* Registrations of one hash: exactly one becomes Primary. */

static struct kvbm_registered outcome[THREADS];

static void *register_same(void *arg)
{
	struct racer *r = arg;
	unsigned int i;
	uint32_t id;

	for (i = 0; i < r->rounds; i++) {
		struct kvbm_hash h = kt_single(i);

		if (kvbm_alloc(r->fd, 1, &id, NULL, NULL) != 1 ||
		    kvbm_stage(r->fd, 1, &id, &h, NULL, NULL) != 1)
			r->bad++;
		pthread_barrier_wait(r->barrier);
		if (kvbm_register(r->fd, 1, &id, &outcome[r->n],
				  r->n & 1 ? KVBM_REGISTER_REJECT :
					     KVBM_REGISTER_ALLOW, NULL) != 1)
			r->bad++;
		pthread_barrier_wait(r->barrier);
		if (r->n == 0) {
			int k, primaries = 0;

			for (k = 0; k < THREADS; k++) {
				primaries += outcome[k].kind ==
					     KVBM_KIND_PRIMARY;
				if (k & 1 && outcome[k].kind ==
					     KVBM_KIND_DUPLICATE)
					r->bad++;
				if (!(k & 1) && outcome[k].kind ==
						KVBM_KIND_DEDUP)
					r->bad++;
				if (outcome[k].kind == KVBM_KIND_PRIMARY)
					r->good += k == 0;
			}
			if (primaries != 1)
				r->bad++;
		}
		pthread_barrier_wait(r->barrier);
		if (kvbm_release(r->fd, 1, &outcome[r->n].block, 0, NULL) != 1)
			r->bad++;
	}
	return NULL;
}

TEST(register_one_hash)
{
	struct racer r[THREADS] = {};
	int fd, i;

	fd = kt_store(16);
	ASSERT_GE(fd, 0);
	for (i = 0; i < THREADS; i++) {
		r[i].fd = kvbm_session_open(fd);
		r[i].rounds = 300;
	}
	run(_metadata, r, THREADS, register_same);
	for (i = 0; i < THREADS; i++)
		close(r[i].fd);
	EXPECT_EQ(16, kt_counts(fd).available);
	kt_check(fd);
}

/* Last releases, matches and evictions of the same few blocks. */

static void *match_release(void *arg)
{
	struct racer *r = arg;
	uint32_t seed = r->n + 1, ids[4], k;
	unsigned int i;
	int n;

	for (i = 0; i < r->rounds; i++) {
		k = rnd(&seed) % (r->nr_h - 3);
		n = kvbm_match(r->fd, 4, r->h + k, ids, NULL);
		if (n < 0) {
			r->bad++;
			continue;
		}
		r->good += n;
		if (n && kvbm_release(r->fd, n, ids, 0, NULL) != n)
			r->bad++;
	}
	return NULL;
}

/* Evicts all that it can, registers it again, releases it. */
static void *evict_register(void *arg)
{
	struct racer *r = arg;
	uint32_t seed = 77 + r->n, id, k, nr;
	struct kvbm_registered res;
	unsigned int i;
	int ret;

	for (i = 0; i < r->rounds; i++) {
		k = rnd(&seed) % r->nr_h;
		ret = kvbm_alloc(r->fd, 1, &id, NULL, &nr);
		if (ret == -ENOSPC)
			continue;
		if (ret != 1) {
			r->bad++;
			continue;
		}
		r->good += nr;
		ret = kvbm_stage_register(r->fd, 1, &id, &r->h[k], &res,
					  rnd(&seed) & 1 ?
					  KVBM_REGISTER_REJECT :
					  KVBM_REGISTER_ALLOW, NULL);
		if (ret != 1 ||
		    kvbm_release(r->fd, 1, &res.block, 0, NULL) != 1)
			r->bad++;
	}
	return NULL;
}

static void *scan_release(void *arg)
{
	struct racer *r = arg;
	uint32_t ids[64], hits, i, k;
	int n;

	for (i = 0; i < r->rounds; i++) {
		n = kvbm_scan(r->fd, r->nr_h, r->h, ids, 0, &hits, NULL);
		if (n != r->nr_h)
			r->bad++;
		r->good += hits;
		for (k = 0; k < n; k++)
			if (ids[k] != KVBM_NO_BLOCK &&
			    kvbm_release(r->fd, 1, &ids[k], 0, NULL) != 1)
				r->bad++;
	}
	return NULL;
}

static void *reset_idle(void *arg)
{
	struct racer *r = arg;
	unsigned int i;

	for (i = 0; i < r->rounds / 50; i++) {
		int n = kvbm_reset_inactive(r->fd, NULL, NULL);

		if (n < 0)
			r->bad++;
		else
			r->good += n;
		sched_yield();
	}
	return NULL;
}

static void *(* const mixed[])(void *) = {
	match_release, evict_register, scan_release, reset_idle,
};

static void *any(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->barrier);
	return mixed[r->n](arg);
}

static void *two_kinds(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->barrier);
	return r->n & 1 ? evict_register(arg) : match_release(arg);
}

FIXTURE(churn) {
	int fd;
	struct kvbm_hash h[16];
};

FIXTURE_VARIANT(churn) {
	const char *policy;
};

#define KVBM_POLICY(name)	FIXTURE_VARIANT_ADD(churn, name) { #name };
#include "policies.def"

FIXTURE_SETUP(churn)
{
	struct kvbm_store_create c;

	kvbm_store_create_init(&c, NULL, 8);
	kvbm_store_create_policy(&c, variant->policy);
	self->fd = kt_store_make(&c);
	ASSERT_GE(self->fd, 0);
	kt_chain(self->h, 16, 1);
}

FIXTURE_TEARDOWN(churn)
{
	EXPECT_EQ(8, kt_counts(self->fd).available);
	EXPECT_EQ(0, kt_stats(self->fd).inflight_immutable);
	kt_check(self->fd);
	close(self->fd);
}

static void sessions(struct racer *r, int fd, const struct kvbm_hash *h,
		     unsigned int rounds)
{
	int i;

	for (i = 0; i < THREADS; i++)
		r[i] = (struct racer) {
			.fd = kvbm_session_open(fd), .rounds = rounds,
			.h = h, .nr_h = 16,
		};
}

static void done(struct racer *r)
{
	int i;

	for (i = 0; i < THREADS; i++)
		close(r[i].fd);
}

TEST_F(churn, match_and_evict)
{
	struct racer r[THREADS];

	sessions(r, self->fd, self->h, 2000);
	run(_metadata, r, THREADS, two_kinds);
	/* On a busy machine one kind may be done before the other begins. */
	EXPECT_GT(r[0].good + r[1].good, 0);
	done(r);
}

TEST_F(churn, everything)
{
	struct racer r[THREADS];
	uint32_t ids[8];

	/* The first to come finds something, even if the others are late. */
	ASSERT_EQ(8, kt_idle(self->fd, 8, self->h, ids));
	sessions(r, self->fd, self->h, 500);
	run(_metadata, r, THREADS, any);
	EXPECT_GT(r[0].good + r[2].good + r[3].good, 0);
	done(r);
}

/* The same by threads that share one session. */
TEST_F(churn, one_session)
{
	struct racer r[THREADS];
	int i;

	sessions(r, self->fd, self->h, 1000);
	for (i = 1; i < THREADS; i++) {
		close(r[i].fd);
		r[i].fd = r[0].fd;
	}
	run(_metadata, r, THREADS, two_kinds);
	EXPECT_EQ(0, kt_self(r[0].fd).held);
	close(r[0].fd);
}

/* Revocations of sessions that are in the midst of everything. */

static void *until_revoked(void *arg)
{
	struct racer *r = arg;
	uint32_t seed = r->n + 5, ids[8], id, n;
	struct kvbm_registered res;
	int ret;

	for (;;) {
		ret = kvbm_match(r->fd, 4, r->h + rnd(&seed) % 12, ids, &n);
		if (ret == -ESHUTDOWN)
			break;
		ret = kvbm_alloc(r->fd, 1, &id, NULL, NULL);
		if (ret == -ESHUTDOWN)
			break;
		if (ret == 1) {
			ret = kvbm_stage_register(r->fd, 1, &id,
						  &r->h[rnd(&seed) % 16], &res,
						  0, NULL);
			if (ret == -ESHUTDOWN)
				break;
			if (ret != 1)
				r->bad++;
		} else if (ret != -ENOSPC) {
			r->bad++;
		}
		if (n && rnd(&seed) & 1) {
			ret = kvbm_release(r->fd, n, ids, 0, NULL);
			if (ret == -ESHUTDOWN)
				break;
			if (ret != (int)n)
				r->bad++;
		}
		/* A waiting one, at times; somebody else gives back. */
		if (!(rnd(&seed) % 16)) {
			ret = kvbm_alloc_wait(r->fd, 4, ids, NULL, NULL,
					      kvbm_deadline(2000000));
			if (ret == -ESHUTDOWN)
				break;
			if (ret != 4 && ret != -ETIMEDOUT)
				r->bad++;
		}
		r->good++;
	}
	return NULL;
}

TEST_F(churn, revoke)
{
	enum { ROUNDS = 40 };
	struct racer r[2];
	pthread_t t[2];
	int i, k;

	for (i = 0; i < ROUNDS; i++) {
		for (k = 0; k < 2; k++) {
			r[k] = (struct racer) {
				.fd = kvbm_session_open(self->fd), .n = k,
				.h = self->h, .nr_h = 16,
			};
			ASSERT_EQ(0, pthread_create(&t[k], NULL, until_revoked,
						    &r[k]));
		}
		kt_sleep_ms(i % 7);
		for (k = 0; k < 2; k++) {
			uint64_t id = kt_session_id(r[k].fd);

			EXPECT_EQ(0, kvbm_session_revoke(self->fd, id, NULL));
			/* All is back when it returns. */
			EXPECT_EQ(0, kt_session(self->fd, id).held);
		}
		EXPECT_EQ(8, kt_counts(self->fd).available) {
			TH_LOG("round %d", i);
		}
		for (k = 0; k < 2; k++) {
			pthread_join(t[k], NULL);
			EXPECT_EQ(0, r[k].bad);
			close(r[k].fd);
		}
	}
	EXPECT_EQ(1, kt_stats(self->fd).sessions);
}

/* Processes killed in the midst of everything. */
TEST_F(churn, kill)
{
	enum { ROUNDS = 40 };
	pid_t pid[2];
	int i, k;

	for (i = 0; i < ROUNDS; i++) {
		for (k = 0; k < 2; k++) {
			pid[k] = kt_fork();
			if (!pid[k]) {
				struct racer r = {
					.fd = kvbm_session_open(self->fd),
					.n = k + i, .h = self->h, .nr_h = 16,
				};
				until_revoked(&r);
				_exit(1);
			}
		}
		kt_sleep_ms(i % 7);
		for (k = 0; k < 2; k++)
			EXPECT_EQ(256 + SIGKILL, kt_kill(pid[k]));
		EXPECT_EQ(8, kt_counts(self->fd).available) {
			TH_LOG("round %d", i);
		}
		EXPECT_EQ(1, kt_stats(self->fd).sessions);
	}
}

/* Counts are a snapshot that existed. */

static void *look(void *arg)
{
	struct racer *r = arg;
	struct kvbm_counts c;

	while (!*r->stop) {
		if (kvbm_counts(r->fd, &c) || c.total != 8 ||
		    c.available != c.reset + c.inactive ||
		    c.available > c.total || c.inactive > c.registered ||
		    c.reserved_blocks > c.available)
			r->bad++;
		r->good++;
	}
	return NULL;
}

TEST_F(churn, snapshots)
{
	volatile bool stop = false;
	struct racer r[THREADS], watcher = { .fd = self->fd, .stop = &stop };
	pthread_t t;

	ASSERT_EQ(0, pthread_create(&t, NULL, look, &watcher));
	sessions(r, self->fd, self->h, 500);
	run(_metadata, r, THREADS, two_kinds);
	stop = true;
	pthread_join(t, NULL);
	EXPECT_EQ(0, watcher.bad);
	EXPECT_GT(watcher.good, 0);
	done(r);
}

/* Stores that come and go under those who open them. */

static void *open_by_name(void *arg)
{
	struct racer *r = arg;
	uint32_t id;

	while (!*r->stop) {
		int fd = kvbm_open("fleeting");
		int ret;

		if (fd < 0) {
			if (fd != -ENOENT && fd != -ENODEV && fd != -ENXIO)
				r->bad++;
			continue;
		}
		r->good++;
		ret = kvbm_alloc(fd, 1, &id, NULL, NULL);
		if (ret != 1 && ret != -ENODEV && ret != -ENOSPC)
			r->bad++;
		close(fd);
	}
	return NULL;
}

TEST(create_open_destroy)
{
	volatile bool stop = false;
	struct racer r[2] = { { .stop = &stop }, { .stop = &stop } };
	pthread_t t[2];
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, open_by_name, &r[i]));
	for (i = 0; i < 200; i++) {
		EXPECT_EQ(-1, kt_store(4, .name = "fleeting"));
		kt_sleep_ms(i % 3);
		EXPECT_EQ(0, kt_destroy("fleeting", KVBM_DESTROY_FORCE));
	}
	stop = true;
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, r[i].bad);
	}
	EXPECT_GT(r[0].good + r[1].good, 0);
}

static void *destroy_by_name(void *arg)
{
	struct racer *r = arg;
	int ret;

	while (!*r->stop) {
		ret = kt_destroy("contested", KVBM_DESTROY_FORCE);
		if (!ret)
			r->good++;
		else if (ret != -ENOENT)
			r->bad++;
	}
	return NULL;
}

/* A store is found before its node is made: who destroys it then leaves none. */
TEST(destroy_while_made)
{
	volatile bool stop = false;
	struct racer r = { .stop = &stop };
	pthread_t t;
	int i, ret;

	ASSERT_EQ(0, pthread_create(&t, NULL, destroy_by_name, &r));
	for (i = 0; i < 400; i++) {
		/* The old name may not be free yet. */
		ret = kt_store(4, .name = "contested");
		EXPECT_TRUE(ret == -1 || ret == -EEXIST) {
			TH_LOG("errno %d", -ret);
		}
	}
	kt_until(r.good);
	stop = true;
	pthread_join(t, NULL);
	EXPECT_EQ(0, r.bad);
	EXPECT_GT(r.good, 0);
	ret = kt_destroy("contested", KVBM_DESTROY_FORCE);
	EXPECT_TRUE(!ret || ret == -ENOENT);
	EXPECT_EQ(-1, access("/dev/kvbm/contested", F_OK));
	EXPECT_EQ(-1, access("/sys/class/kvbm/kvbm-contested", F_OK));
	/* And the name is free. */
	EXPECT_EQ(-1, kt_store(4, .name = "contested"));
	EXPECT_EQ(0, kt_destroy("contested", 0));
}

TEST_HARNESS_MAIN
