// SPDX-License-Identifier: MIT
/*
 * Does a client that only reads events know what is registered, whatever dies,
 * and whatever it was too slow for?
 *
 * Workers match, allocate, claim, stage, register and release prompts in a
 * pool that is too small.  They are killed, their sessions are revoked, and
 * the owner resets and invalidates.  A mirror follows the events of a ring
 * that is much too short for it.  When events are lost, it exports what is
 * registered, in parts, while the others go on.  Whenever all of them are
 * dead, the mirror must equal the store, hash by hash.  Until then, no stored
 * event may name a hash that is there, and no removed event one that is not.
 *
 * Three faulty mirrors must differ, or the comparison would prove nothing: one
 * overlooks one event in a thousand, one goes on after a loss as if nothing
 * had happened, and one takes an export for newer than the events that
 * followed it.
 */
#include "torture.h"

#define BLOCKS		192U
#define PROMPTS		48U
#define LENGTH		12U		/* blocks of a prompt */
#define HASHES		(PROMPTS * LENGTH)
#define WORKERS		4U
#define RECORDS		512U
#define PART		7U		/* blocks of one export */
#define QUIET_MS	120U

enum mistake { NONE, MISSES, KEEPS, STALE, N_MISTAKES };

static const char *const mistakes[] = {
	[NONE] = "",
	[MISSES] = "misses some events",
	[KEEPS] = "keeps all after a loss",
	[STALE] = "takes an export for the last word",
};

/* The mirror's record of a hash. */
struct known {
	struct kvbm_hash hash;
	uint64_t sequence;	/* the event, or the export, that reported it */
	bool there;
	bool sure;		/* since the last loss it was heard of */
};

struct mirror {
	struct known known[HASHES];
	uint32_t n;
	enum mistake mistake;
	struct rng r;
	uint64_t events, lost, exports, twice;
	uint64_t reasons[8];
};

static int by_hash(const void *a, const void *b)
{
	return kt_by_hash(&((const struct known *)a)->hash,
			  &((const struct known *)b)->hash);
}

static void mirror_init(struct mirror *m, enum mistake mistake, uint64_t seed)
{
	uint32_t k, p;

	memset(m, 0, sizeof(*m));
	m->mistake = mistake;
	m->r.s = seed;
	for (k = 0; k < PROMPTS; k++)
		for (p = 0; p < LENGTH; p++)
			m->known[m->n++].hash = prompt(k, p);
	qsort(m->known, m->n, sizeof(m->known[0]), by_hash);
	/* Prompts of a group begin alike. */
	for (k = p = 0; k < m->n; k++)
		if (!k || by_hash(&m->known[k], &m->known[p - 1]))
			m->known[p++] = m->known[k];
	m->n = p;
	/* It begins before the first event. */
	for (k = 0; k < m->n; k++)
		m->known[k].sure = true;
}

static struct known *known_of(struct mirror *m, struct kvbm_hash hash)
{
	struct known key = { .hash = hash };

	return bsearch(&key, m->known, m->n, sizeof(key), by_hash);
}

static void resynchronise(struct mirror *m, int fd, uint64_t since)
{
	struct kvbm_export_entry part[PART];
	uint64_t cursor = 0;
	struct known *k;
	uint32_t i;
	int got;

	m->exports++;
	for (i = 0; i < m->n; i++) {
		m->known[i].there = false;
		m->known[i].sure = false;
		m->known[i].sequence = since;
	}
	do {
		got = kvbm_export(fd, NULL, &cursor, PART, part, NULL);
		for (i = 0; got > 0 && i < (uint32_t)got; i++) {
			k = known_of(m, part[i].hash);
			if (!k || part[i].sequence < k->sequence)
				continue;
			k->there = true;
			k->sure = true;
			k->sequence = m->mistake == STALE ? ~0ULL :
				      part[i].sequence;
		}
	} while (got == PART);
}

static void one_event(struct mirror *m, int fd, const struct kvbm_event *e)
{
	struct known *k;
	bool stored;

	m->events++;
	if (e->type == KVBM_EVENT_LOST) {
		m->lost += e->count;
		if (m->mistake != KEEPS)
			resynchronise(m, fd, e->seq);
		return;
	}
	m->reasons[e->reason & 7]++;
	if (m->mistake == MISSES && chance(&m->r, 1000))
		return;
	k = known_of(m, e->hash);
	if (!k) {
		m->twice++;
		return;
	}
	/* The export was taken later. */
	if (e->seq <= k->sequence)
		return;
	stored = e->type == KVBM_EVENT_STORED;
	/* One that the export does not list may have been there when it was lost. */
	if (k->sure && k->there == stored)
		m->twice++;
	k->there = stored;
	k->sure = true;
	k->sequence = e->seq;
}

/* All that there is, now and then more slowly than it comes. */
static bool follow(struct mirror *m, int fd, int ev, bool slowly)
{
	struct kvbm_event e[64];
	int got, i;

	while ((got = kvbm_events_read(ev, e, ARRAY_SIZE(e))) > 0) {
		for (i = 0; i < got; i++)
			one_event(m, fd, &e[i]);
		if (slowly && chance(&m->r, 4))
			usleep(rnd(&m->r, 20000));
		if (slowly && chance(&m->r, 50))
			return true;
	}
	return got == -EAGAIN;
}

/* Hashes of which it says the wrong thing. */
static uint32_t differs(struct mirror *m, int fd)
{
	uint32_t i, n = 0;

	for (i = 0; i < m->n; i++)
		n += m->known[i].there !=
		     (kt_presence(fd, m->known[i].hash) != KVBM_ABSENT);
	return n;
}

static void fill_rest(int fd, struct rng *r, const struct kvbm_hash *h,
		      uint32_t n)
{
	struct kvbm_registered res[LENGTH];
	uint32_t ids[LENGTH], i;

	if (kvbm_alloc(fd, n, ids, NULL, NULL) < 0)
		return;
	if (chance(r, 3)) {
		/* In two steps; some never come to the second. */
		if (kvbm_stage(fd, n, ids, h, 0, NULL) < (int)n || chance(r, 4) ||
		    kvbm_register(fd, n, ids, res, 0, NULL) < (int)n) {
			kvbm_release(fd, n, ids, 0, NULL);
			return;
		}
	} else if (kvbm_stage_register(fd, n, ids, h, res, 0, NULL) < (int)n) {
		kvbm_release(fd, n, ids, 0, NULL);
		return;
	}
	for (i = 0; i < n; i++)
		ids[i] = res[i].block;
	if (chance(r, 8))
		kvbm_set_reset(fd, n, ids, true, NULL);
	if (!chance(r, 20))
		kvbm_release(fd, n, ids, 0, NULL);
}

static void work(struct rng r, const char *name)
{
	int fd = -1;

	for (;;) {
		uint32_t k = rnd(&r, PROMPTS), p, n = 1 + rnd(&r, LENGTH);
		struct kvbm_hash h[LENGTH];
		uint32_t ids[LENGTH];
		int got;

		if (fd < 0)
			fd = kvbm_open(name);
		if (fd < 0) {
			usleep(1000);
			continue;
		}
		for (p = 0; p < n; p++)
			h[p] = prompt(k, p);
		got = kvbm_match(fd, n, h, ids, NULL);
		if (got < 0 || chance(&r, 500)) {
			/* Revoked, or it has had enough. */
			close(fd);
			fd = -1;
			continue;
		}
		if ((uint32_t)got < n)
			fill_rest(fd, &r, h + got, n - got);
		if (got > 0 && !chance(&r, 20))
			kvbm_release(fd, got, ids, 0, NULL);
	}
}

/* What else the owner may do. */
static void disturb(int fd, struct rng *r)
{
	struct kvbm_session_entry s[16];
	uint64_t own = kt_session_id(fd);
	struct kvbm_hash h = prompt(rnd(r, PROMPTS), rnd(r, LENGTH));
	uint32_t one;
	int n;

	switch (rnd(r, 12)) {
	case 0:
		kvbm_reset_inactive(fd, NULL, NULL);
		return;
	case 1:
		kvbm_invalidate(fd, 0, NULL, KVBM_INVALIDATE_ALL, NULL, NULL);
		return;
	case 2: case 3:
		kvbm_invalidate(fd, 1, &h, KVBM_INVALIDATE_PREFIX, NULL, NULL);
		return;
	case 4: case 5: case 6:
		kvbm_invalidate(fd, 1, &h, 0, NULL, NULL);
		return;
	default:
		n = kvbm_session_list(fd, 16, s, NULL);
		if (n <= 0)
			return;
		one = rnd(r, n);
		if (s[one].session_id != own)
			kvbm_session_revoke(fd, s[one].session_id, NULL);
	}
}

struct outcome {
	uint64_t quiet;		/* times that it was compared */
	uint64_t wrong;		/* hashes, in all */
	uint64_t kills;
};

static int run(struct mirror *m, const char *policy, uint64_t seed, uint64_t ns,
	       struct outcome *o)
{
	struct kvbm_store_create c;
	struct rng r = rng_of(seed, m->mistake, 3, 5);
	uint64_t end = kt_now() + ns, life = 0, quiet;
	pid_t pid[WORKERS] = {};
	struct kvbm_events how = { .flags = KVBM_EVENTS_NONBLOCK };
	uint32_t i;
	int fd, ev;

	memset(o, 0, sizeof(*o));
	kvbm_store_create_init(&c, "mirror", BLOCKS);
	kvbm_store_create_policy(&c, policy);
	c.event_records = RECORDS;
	c.freq_capacity = 1024;
	fd = kt_store_make(&c);
	if (fd < -1)
		return fd;
	fd = kvbm_open("mirror");
	if (fd < 0)
		return fd;
	ev = kvbm_events_open(fd, &how);
	while (ev >= 0 && kt_now() < end &&
	       (!m->mistake || (!o->wrong && !m->twice))) {
		for (quiet = kt_now() + QUIET_MS * 1000000ULL;
		     kt_now() < quiet;) {
			i = rnd(&r, WORKERS);
			if (pid[i] && chance(&r, 3)) {
				kt_kill(pid[i]);
				pid[i] = 0;
				o->kills++;
			}
			for (i = 0; i < WORKERS; i++)
				if (!pid[i]) {
					pid[i] = kt_fork();
					if (!pid[i])
						work(rng_of(seed, life, i, 9),
						     "mirror");
					life++;
				}
			follow(m, fd, ev, true);
			disturb(fd, &r);
		}
		for (i = 0; i < WORKERS; i++) {
			kt_kill(pid[i]);
			pid[i] = 0;
			o->kills++;
		}
		if (!follow(m, fd, ev, false))
			break;
		o->quiet++;
		o->wrong += differs(m, fd);
	}
	close(ev);
	close(fd);
	i = kt_destroy("mirror", 0);
	return ev < 0 ? ev : (int)i;
}

int main(int argc, char **argv)
{
	uint64_t seed = option(argc, argv, "seed", 1);
	uint64_t seconds = option(argc, argv, "at-most", 15);
	unsigned int i, p, n = N_POLICIES + N_MISTAKES - 1;
	uint64_t ns = seconds * 1000000000ULL / n;
	static struct mirror m;
	struct outcome o;
	int err;

	setvbuf(stdout, NULL, _IOLBF, 4096);
	ksft_print_header();
	ksft_set_plan(n);
	printf("# seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < n; i++) {
		enum mistake mistake = i < N_POLICIES ? NONE :
				       i - N_POLICIES + 1;
		const char *policy = policies[i % N_POLICIES];
		bool good;

		mirror_init(&m, mistake, seed + i);
		/* A mirror with a mistake stops at the first difference. */
		err = run(&m, policy, seed + i, mistake ? 20 * ns : ns, &o);
		good = !err && o.quiet && m.lost && m.exports + (mistake == KEEPS);
		if (mistake)
			good &= o.wrong || m.twice;
		else
			good &= !o.wrong && !m.twice;
		printf("# %s: %llu events read, %llu lost, %llu exports, %llu kills; removed:",
		       policy, (unsigned long long)m.events,
		       (unsigned long long)m.lost,
		       (unsigned long long)m.exports,
		       (unsigned long long)o.kills);
		for (p = 1; p < 8; p++)
			printf(" %llu", (unsigned long long)m.reasons[p]);
		printf(" (by reason); compared %llu times, %llu hashes wrong, %llu events out of turn, error %d\n",
		       (unsigned long long)o.quiet, (unsigned long long)o.wrong,
		       (unsigned long long)m.twice, err);
		if (mistake)
			ksft_test_result(good, "a mirror that %s differs\n",
					 mistakes[mistake]);
		else
			ksft_test_result(good, "%s: the mirror is the store\n",
					 policy);
	}
	ksft_finished();
}
