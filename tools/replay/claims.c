// SPDX-License-Identifier: MIT
/*
 * --single-flight and a kill: which workers wait for the claimant, when they
 * wake, and which one then computes its blocks.  All of it is in memory that
 * the workers share, since the victim cannot report any more.
 */
#include <signal.h>

#include "replay.h"

/* A request and a place in its chain, as one number; 0: nothing. */
#define PLACE_BITS	24

static bool same(const struct kvbm_hash *a, const struct kvbm_hash *b)
{
	return a->lo == b->lo && a->hi == b->hi;
}

static const struct kvbm_hash *chain_of(const struct replay *r, size_t request)
{
	return r->hashes + r->trace->requests[request].first;
}

void claims_wait_begin(const struct replay *r, uint32_t worker, size_t request,
		       uint32_t place)
{
	atomic_store(&r->shared->waits_for[worker],
		     (uint64_t)(request + 1) << PLACE_BITS | place);
}

void claims_wait_end(const struct replay *r, uint32_t worker, int ret)
{
	struct shared *s = r->shared;

	/* Called only for the victim's waiters, and the wait that it ended. */
	if (!ret && atomic_load(&s->bereft) >> worker & 1 &&
	    !atomic_load(&s->woke_ns[worker]))
		atomic_store(&s->woke_ns[worker], now_ns());
	atomic_store(&s->waits_for[worker], 0);
}

/* Does @worker wait for one of these @n places of the chain of @request? */
static bool waits_for(const struct replay *r, uint32_t worker, size_t request,
		      const uint32_t *where, uint32_t n)
{
	uint64_t what = atomic_load(&r->shared->waits_for[worker]);
	uint32_t i, place = what & ((1U << PLACE_BITS) - 1);

	if (!what)
		return false;
	what = (what >> PLACE_BITS) - 1;
	for (i = 0; i < n; i++)
		if (where[i] == place)
			return same(chain_of(r, what) + place,
				    chain_of(r, request) + place);
	return false;
}

bool claims_victim(const struct replay *r, uint32_t worker, size_t request,
		   const uint32_t *where, uint32_t n)
{
	struct shared *s = r->shared;
	uint32_t i;

	if (!atomic_load(&s->stop_claimant))
		return false;
	for (i = 0; i < r->options->workers; i++)
		if (i != worker && waits_for(r, i, request, where, n))
			break;
	if (i == r->options->workers ||
	    !atomic_exchange(&s->stop_claimant, false))
		return false;
	for (i = 0; i < n; i++)
		atomic_store(&r->orphans[where[i]], ORPHAN_CLAIMED);
	s->victim_request = request;
	atomic_store(&s->victim, worker + 1);
	return true;
}

uint64_t claims_bereave(const struct replay *r)
{
	struct shared *s = r->shared;
	uint32_t place, i;
	uint64_t mask = 0;

	for (place = 0; place < r->trace->max_blocks; place++) {
		if (atomic_load(&r->orphans[place]) != ORPHAN_CLAIMED)
			continue;
		for (i = 0; i < r->options->workers; i++)
			if (i + 1 != atomic_load(&s->victim) &&
			    waits_for(r, i, s->victim_request, &place, 1))
				mask |= UINT64_C(1) << i;
	}
	atomic_store(&s->bereft, mask);
	return mask;
}

/* Had the victim claimed this, and is it dead? */
static bool orphaned(const struct replay *r, size_t request, uint32_t place)
{
	return atomic_load(&r->shared->bereft) &&
	       atomic_load(&r->orphans[place]) == ORPHAN_CLAIMED &&
	       same(chain_of(r, request) + place,
		    chain_of(r, r->shared->victim_request) + place);
}

void claims_made(const struct replay *r, uint32_t worker, size_t request,
		 const uint32_t *where, uint32_t n)
{
	struct shared *s = r->shared;
	uint32_t i, nobody = 0;

	for (i = 0; i < n; i++)
		if (orphaned(r, request, where[i]))
			break;
	if (i < n && atomic_compare_exchange_strong(&s->heir, &nobody,
						    worker + 1))
		s->heir_ns = now_ns();
}

void claims_registered(const struct replay *r, size_t request,
		       const uint32_t *where, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (orphaned(r, request, where[i]))
			atomic_store(&r->orphans[where[i]], ORPHAN_COMPUTED);
}

void claims_settle(const struct replay *r, struct killed *k)
{
	const struct shared *s = r->shared;
	uint32_t i;

	for (i = 0; i < r->trace->max_blocks; i++) {
		uint32_t state = atomic_load(&r->orphans[i]);

		k->claimed += state != ORPHAN_NOT;
		k->taken_over += state == ORPHAN_COMPUTED;
	}
	for (i = 0; i < r->options->workers; i++) {
		uint64_t woke = atomic_load(&s->woke_ns[i]);

		k->bereft += atomic_load(&s->bereft) >> i & 1;
		if (!woke)
			continue;
		woke -= k->killed_ns;
		k->woken++;
		if (k->woken == 1 || woke < k->first_woke_ns)
			k->first_woke_ns = woke;
		if (woke > k->last_woke_ns)
			k->last_woke_ns = woke;
	}
	k->heir = atomic_load(&s->heir);
	if (k->heir)
		k->heir_ns = s->heir_ns - k->killed_ns;
}
