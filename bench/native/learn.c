// SPDX-License-Identifier: MIT
/*
 * An attacker who knows no secret learns, for a given time, from the results
 * of calls and from how long they take.  Then the calls of others are counted.
 *
 * The attacker draws keys at random and times a miss of each several times.  A
 * miss takes longer where a line overflowed.  The attacker registers the
 * slowest keys and holds them, which makes such lines more common and their
 * misses slower.  Once a quarter of the store is held, the oldest are given
 * back and it goes on.  This attacker has a better clock than an ioctl would
 * leave it, and the machine to itself.
 *
 * "Quiet" is a store in which it holds as many blocks under keys that it did
 * not choose.  Prints TAP.
 */
#include <stdio.h>
#include <stdlib.h>
#include "attack.h"
#include "index.h"

#define BLOCKS		(1U << 18)
#define HIS		(BLOCKS / 4)
#define DRAWN		1024U	/* keys */
#define KEPT		32U	/* of these, the slowest */
#define TIMES		8U	/* each is looked up */

struct learner {
	struct pool *p;
	struct kvbm_session *he;
	u32 *ids;			/* a ring of what he holds */
	u32 first, held;
	u64 refused;
	u64 drawn;
	uint64_t rng;
};

struct probe {
	u64 ticks;
	struct kvbm_hash key;
};

static int slowest_first(const void *a, const void *b)
{
	const struct probe *x = a, *y = b;

	return (x->ticks < y->ticks) - (x->ticks > y->ticks);
}

static u64 time_miss(struct learner *l, const struct kvbm_hash *key)
{
	u64 t, least = ~0ULL;
	u32 i, id;

	for (i = 0; i < TIMES; i++) {
		t = ticks();
		CHECK(!call_match(l->he, key, 1, &id));
		least = min(least, ticks() - t);
	}
	return least;
}

/* Register a key and hold it; in the place of the oldest, when he has enough. */
static void keep(struct learner *l, const struct kvbm_hash *key)
{
	struct kvbm_step step = KVBM_STEP_INIT;
	struct kvbm_registered out;
	u32 id;

	if (l->held == HIS) {
		call_release(l->he, &l->ids[l->first], 1);
		l->first = (l->first + 1) % HIS;
		l->held--;
	}
	call_alloc(l->he, 1, &id, NULL);
	if (!kvbm_register_chunk(l->he, &id, key, NULL, 1, false, &out, &step)) {
		CHECK(step.err == -ENOBUFS);
		l->refused++;
		call_release(l->he, &id, 1);
		return;
	}
	l->ids[(l->first + l->held++) % HIS] = id;
}

static struct kvbm_hash draw(struct learner *l)
{
	l->drawn++;
	return (struct kvbm_hash) { .hi = rnd(&l->rng) >> 10,
				    .lo = rnd(&l->rng) };
}

static void learn_once(struct learner *l)
{
	static struct probe probes[DRAWN];
	u32 i;

	for (i = 0; i < DRAWN; i++) {
		probes[i].key = draw(l);
		probes[i].ticks = time_miss(l, &probes[i].key);
	}
	qsort(probes, DRAWN, sizeof(probes[0]), slowest_first);
	for (i = 0; i < KEPT; i++)
		keep(l, &probes[i].key);
}

/* Of the blocks that he holds, those that are not in their first line. */
static u32 further(const struct learner *l)
{
	u32 i, n = 0;

	for (i = 0; i < l->held; i++) {
		u32 at = l->p->st->slots[l->ids[(l->first + i) % HIS]].at;

		n += !!(at & (KVBM_AT_OVER | KVBM_AT_SECOND));
	}
	return n;
}

/* The others' prompts that are counted stay while he learns. */
static void keep_others(struct pool *p, bool hold)
{
	u32 i, half = p->families * FAMILY / 2;
	struct kvbm_hash keys[PROMPT];
	u32 ids[PROMPT];

	for (i = half; i < 2 * half; i++) {
		prompt_keys(i, keys);
		CHECK(call_match(p->other, keys, PROMPT, ids) == PROMPT);
		if (hold)
			continue;
		call_release(p->other, ids, PROMPT);
		call_release(p->other, ids, PROMPT);
	}
}

#define OTHERS		65536U	/* registrations of others, afterwards */
#define OTHERS_REFUSED	500U	/* of these, one in so many may be refused */

/* Others register what they please: how many are refused? */
static u32 others_refused(struct pool *p)
{
	u32 i, id, n = 0;

	for (i = 0; i < OTHERS; i++) {
		struct kvbm_step step = KVBM_STEP_INIT;
		struct kvbm_registered out;
		struct kvbm_hash key;

		fresh_keys(p->fresh++, 0, 1, &key);
		call_alloc(p->own, 1, &id, NULL);
		if (!kvbm_register_chunk(p->own, &id, &key, NULL, 1, false,
					 &out, &step)) {
			CHECK(step.err == -ENOBUFS);
			n++;
		}
		call_release(p->own, &id, 1);
	}
	return n;
}

int bench_learn(void)
{
	struct learner l = {
		.p = pool_new(BLOCKS, "lru", false, FILL_IDLE),
		.ids = malloc(HIS * sizeof(u32)),
		.rng = 1ULL << 32,
	};
	struct attack a = { .p = l.p };
	double quiet[ATTACK_KINDS], now[ATTACK_KINDS];
	u32 bad, chance, refused;
	u64 end;

	printf("TAP version 13\n1..%u\n", ATTACK_KINDS + 1);
	CHECK(l.ids);
	l.he = session_new(l.p->st);
	session_pages(l.he);
	session_pages(l.p->own);
	while (l.held < HIS) {
		struct kvbm_hash key = draw(&l);

		keep(&l, &key);
	}
	chance = further(&l);
	attack_count(&a, false, quiet);
	keep_others(l.p, true);

	end = now_ns() + opt.seconds * 1e9;
	for (l.drawn = 0; now_ns() < end;)
		learn_once(&l);
	keep_others(l.p, false);
	attack_count(&a, false, now);
	printf("# %llu keys tried in %.0f s; of his %u blocks %u are not in their first line ",
	       (unsigned long long)l.drawn, opt.seconds, l.held, further(&l));
	printf("(%u by chance), %u in the overflow table of %u\n", chance,
	       l.p->st->overflow.used, l.p->st->index.over_capacity);
	bad = attack_compare("lru", "others", quiet, now, OTHERS_PAY);
	refused = others_refused(l.p);
	printf("%s %u others: %u of %u registrations refused (%llu of his)\n",
	       refused <= OTHERS / OTHERS_REFUSED ? "ok" : "not ok",
	       ATTACK_KINDS + 1, refused, OTHERS,
	       (unsigned long long)l.refused);
	bad += refused > OTHERS / OTHERS_REFUSED;
	session_end(l.he);
	pool_free(l.p);
	free(l.ids);
	return !!bad;
}
