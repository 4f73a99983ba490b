/* SPDX-License-Identifier: MIT */
/*
 * Shared by the programs that try to break the module: random numbers, and the
 * consistency check of a store that nobody is using.
 */
#ifndef KVBM_TORTURE_H
#define KVBM_TORTURE_H

#include <stdarg.h>
#include <stdio.h>
#include "../kvbm_test.h"

static const char *const policies[] = {
#define KVBM_POLICY(name)	#name,
#include "policies.def"
};

#define N_POLICIES	(sizeof(policies) / sizeof(policies[0]))

/* splitmix64: any seed is a good one. */
struct rng {
	uint64_t s;
};

static inline uint64_t rnd64(struct rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15ULL);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline uint32_t rnd(struct rng *r, uint32_t below)
{
	return below ? (rnd64(r) >> 32) % below : 0;
}

static inline bool chance(struct rng *r, uint32_t one_in)
{
	return !rnd(r, one_in);
}

static inline struct rng rng_of(uint64_t seed, uint64_t a, uint64_t b,
				uint64_t c)
{
	struct rng r = { seed };

	r.s = rnd64(&r) ^ a;
	r.s = rnd64(&r) ^ b;
	r.s = rnd64(&r) ^ c;
	return r;
}

/* Prompts with common beginnings: position p of prompt k. */
static inline struct kvbm_hash prompt(uint32_t k, uint32_t p)
{
	/* The first four blocks belong to groups of eight prompts. */
	uint64_t own = p < 4 ? 0x10000 + k / 8 : 0x20000 + k;
	uint64_t parent = p <= 4 ? 0x10000 + k / 8 : 0x20000 + k;

	return kt_hash(own << 16 | p, p ? parent << 16 | (p - 1) : 0, p);
}

/* Faults that a store can show at a quiet point. */
enum wrong {
	WRONG_SUMS,		/* states and counts disagree */
	WRONG_HASHES,		/* two Primaries, or presence disagrees */
	WRONG_HOLDS,		/* something survived its session */
	WRONG_WAITERS,		/* somebody waits, something is reserved */
	WRONG_CALL,		/* a call that cannot fail failed */
	N_WRONG
};

struct wrongs {
	unsigned int n[N_WRONG];
	const char *where;
};

static inline __attribute__((format(printf, 3, 4)))
void wrong(struct wrongs *w, enum wrong kind, const char *fmt, ...)
{
	va_list ap;

	if (w->n[kind]++ > 20)
		return;
	printf("# %s: ", w->where ? w->where : "");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

#define same_or(w, kind, a, b) do {					\
	unsigned long long __a = (a), __b = (b);			\
	if (__a != __b)							\
		wrong(w, kind, "%s is %llu, %s is %llu",		\
		      #a, __a, #b, __b);				\
} while (0)

static inline int find_hash(const struct kvbm_hash *list, uint32_t n,
			    struct kvbm_hash h)
{
	return !!bsearch(&h, list, n, sizeof(h), kt_by_hash);
}

/*
 * Everything that must be true of a store whose only session is @fd, which
 * holds nothing.  @universe: hashes that may have been registered.
 */
static inline void look(struct wrongs *w, int fd,
			const struct kvbm_hash *universe, uint32_t n_universe)
{
	struct kvbm_counts c = kt_counts(fd);
	struct kvbm_stats s = kt_stats(fd);
	struct kvbm_hash *present;
	uint32_t in[8] = {}, id, n = 0;
	uint8_t presence;

	if (c.total == KT_POISON || s.sessions == 0xa5a5a5a5a5a5a5a5ULL) {
		wrong(w, WRONG_CALL, "no counts");
		return;
	}
	present = calloc(c.total, sizeof(*present));
	for (id = 0; id < c.total; id++) {
		struct kvbm_block_info i = kt_info(fd, id);

		if (i.state > KVBM_STATE_INACTIVE) {
			wrong(w, WRONG_SUMS, "block %u: state %u", id, i.state);
			continue;
		}
		in[i.state]++;
		if (i.holds || i.own_holds)
			wrong(w, WRONG_HOLDS, "block %u in state %u: %llu holds",
			      id, i.state, (unsigned long long)i.holds);
		if (i.state == KVBM_STATE_PRIMARY ||
		    i.state == KVBM_STATE_INACTIVE)
			present[n++] = i.hash;
	}
	same_or(w, WRONG_SUMS, c.reset, in[KVBM_STATE_RESET]);
	same_or(w, WRONG_SUMS, c.inactive, in[KVBM_STATE_INACTIVE]);
	same_or(w, WRONG_SUMS, c.available, c.reset + c.inactive);
	same_or(w, WRONG_SUMS, c.registered, n);
	same_or(w, WRONG_SUMS, s.reset_pool_size, c.reset);
	same_or(w, WRONG_SUMS, s.inactive_pool_size, c.inactive);
	/* reset + inactive + held = total, and nobody holds anything. */
	same_or(w, WRONG_HOLDS, c.reset + c.inactive, c.total);
	same_or(w, WRONG_HOLDS, in[KVBM_STATE_MUTABLE], 0);
	same_or(w, WRONG_HOLDS, in[KVBM_STATE_STAGED], 0);
	same_or(w, WRONG_HOLDS, in[KVBM_STATE_PRIMARY], 0);
	same_or(w, WRONG_HOLDS, in[KVBM_STATE_DUPLICATE], 0);
	same_or(w, WRONG_HOLDS, s.inflight_mutable, 0);
	same_or(w, WRONG_HOLDS, s.inflight_immutable, 0);
	same_or(w, WRONG_HOLDS, s.staged, 0);
	same_or(w, WRONG_HOLDS, s.sessions, 1);
	same_or(w, WRONG_WAITERS, c.waiters, 0);
	same_or(w, WRONG_WAITERS, c.reserved_blocks, 0);
	qsort(present, n, sizeof(*present), kt_by_hash);
	for (id = 1; id < n; id++)
		if (!kt_by_hash(&present[id - 1], &present[id]))
			wrong(w, WRONG_HASHES, "two blocks have hash %llx %llx",
			      (unsigned long long)present[id].hi,
			      (unsigned long long)present[id].lo);
	for (id = 0; id < n; id++)
		if (kt_presence(fd, present[id]) != KVBM_INACTIVE)
			wrong(w, WRONG_HASHES, "an idle block's hash is not");
	for (id = 0; id < n_universe; id++) {
		presence = kt_presence(fd, universe[id]);
		if (presence != (find_hash(present, n, universe[id]) ?
				 KVBM_INACTIVE : KVBM_ABSENT))
			wrong(w, WRONG_HASHES, "hash %u: presence %u", id,
			      presence);
	}
	free(present);
}

/* Numeric options of the form --name VALUE. */
static inline uint64_t option(int argc, char **argv, const char *name,
			      uint64_t otherwise)
{
	int i;

	for (i = 1; i + 1 < argc; i++)
		if (!strncmp(argv[i], "--", 2) && !strcmp(argv[i] + 2, name))
			return strtoull(argv[i + 1], NULL, 0);
	return otherwise;
}

static inline bool flag(int argc, char **argv, const char *name)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strncmp(argv[i], "--", 2) && !strcmp(argv[i] + 2, name))
			return true;
	return false;
}

#endif /* KVBM_TORTURE_H */
