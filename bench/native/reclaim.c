// SPDX-License-Identifier: MIT
/*
 * The end of a session that holds a million blocks: how long it takes, how it
 * slows down another session's matches, and, when built with lock times
 * (variant lat), how long the locks are held.
 */
#include <pthread.h>
#include <stdlib.h>
#include "bench.h"

#define TOTAL	(1U << 20)
#define HELD	1000000U
#define SAMPLES	2000000U

struct watcher {
	struct kvbm_session *ses;
	struct kvbm_hash keys[PROMPT];
	u32 ids[PROMPT];
	bool ready, stop;
	double *ns;
	u32 n;
};

static void *watch(void *arg)
{
	struct watcher *w = arg;

	while (!READ_ONCE(w->stop)) {
		u64 t0 = ticks();

		CHECK(call_match(w->ses, w->keys, PROMPT, w->ids) == PROMPT);
		call_release(w->ses, w->ids, PROMPT);
		if (READ_ONCE(w->ready) && w->n < SAMPLES)
			w->ns[w->n++] = ticks_to_ns(ticks() - t0);
	}
	return NULL;
}

static void tell(const struct figure *f, const char *what, double value)
{
	report_value(f, what, value);
}

static void percentiles(const struct figure *f, struct watcher *w)
{
	if (!w->n)
		return;
	qsort(w->ns, w->n, sizeof(w->ns[0]), cmp_double);
	tell(f, "match_release_128_ns_p50", w->ns[w->n / 2]);
	tell(f, "match_release_128_ns_p99", w->ns[w->n * 99ULL / 100]);
	tell(f, "match_release_128_ns_p999", w->ns[w->n * 999ULL / 1000]);
	tell(f, "match_release_128_ns_max", w->ns[w->n - 1]);
	w->n = 0;
}

#ifdef HOST_LOCK_TIMES
/* Below what power of two a share of the lock holds was. */
static double hist_quantile(const struct host_lock_times *t, double share)
{
	u64 sum = 0, all = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(t->hist); i++)
		all += t->hist[i];
	for (i = 0; i < ARRAY_SIZE(t->hist) - 1; i++) {
		sum += t->hist[i];
		if (sum >= share * all)
			break;
	}
	return 1ULL << i;
}
#endif

static void lock_times(const struct figure *f, struct kvbm_store *st)
{
#ifdef HOST_LOCK_TIMES
	struct host_lock_times t;

	host_lock_times(&st->lock, &t);
	tell(f, "lock_holds", t.count);
	tell(f, "lock_mean_ns", t.count ? (double)t.total_ns / t.count : 0);
	tell(f, "lock_p99_ns", hist_quantile(&t, 0.99));
	tell(f, "lock_p999_ns", hist_quantile(&t, 0.999));
	tell(f, "lock_max_ns", t.max_ns);
	tell(f, "lock_preempted", t.preempted);
#endif
}

/* @idle: the blocks go to the eviction index; else others hold them too. */
static void one(const char *policy, bool idle)
{
	struct pool *p = pool_new(TOTAL, policy, false, FILL_IDLE);
	struct figure f = { .name = "reclaim", .policy = policy,
			    .pool = TOTAL, .n = HELD,
			    .mode = idle ? "to-idle" : "others-hold" };
	struct watcher *w = calloc(1, sizeof(*w));
	u32 ids[PROMPT], i, held;
	pthread_t tid;
	u64 begin, ns;

	CHECK(w);
	w->ns = malloc(SAMPLES * sizeof(w->ns[0]));
	CHECK(w->ns);
	w->ses = session_new(p->st);
	if (!idle)
		pool_hold(p, p->other, HELD, &i);
	held = pool_hold(p, p->own, HELD, &i);
	/* A prompt that the dying session does not hold, held by a third. */
	prompt_keys(i + FAMILY, w->keys);
	CHECK(call_match(p->other, w->keys, PROMPT, ids) == PROMPT);

	pthread_create(&tid, NULL, watch, w);
	w->ready = true;
	for (begin = now_ns(); now_ns() - begin < 100000000;)
		sched_yield();
	w->ready = false;
	f.mode = "before";
	if (idle && policy == policies[0])
		percentiles(&f, w);
	w->n = 0;
	f.mode = idle ? "to-idle" : "others-hold";
#ifdef HOST_LOCK_TIMES
	host_lock_times_reset(&p->st->lock);
#endif
	w->ready = true;
	begin = now_ns();
	kvbm_session_kill(p->own, -ESHUTDOWN);
	ns = now_ns() - begin;
	w->ready = false;
	w->stop = true;
	pthread_join(tid, NULL);

	tell(&f, "total_ms", ns / 1e6);
	tell(&f, "ns_per_block", (double)ns / held);
	lock_times(&f, p->st);
	percentiles(&f, w);
	session_end(w->ses);
	free(w->ns);
	free(w);
	pool_free(p);
}

void bench_reclaim(void)
{
	u32 i;

	if (opt.count || opt.step || !wanted("reclaim"))
		return;
	one("lru", false);
	for (i = 0; i < NR_POLICIES; i++)
		one(policies[i], true);
}
