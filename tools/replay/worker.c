// SPDX-License-Identifier: MIT
/*
 * One worker: a process with its own session that handles each request as an
 * inference engine does: hold the longest cached prefix,
 * allocate the rest, compute and register it, and release everything some
 * requests later, tail first.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay.h"

/* How long to wait for blocks before a request is given up. */
#define GIVE_UP_NS	(10ULL * 1000 * 1000 * 1000)

/* The longest wait for the next request: 30 years. */
#define FOREVER_NS	1000000000000000000ULL

/**
 * struct flight - a request whose blocks are held
 * @n: blocks
 * @ids: block ids, in the order of the chain; NULL if unused
 * @chain: their hashes
 * @late: with --plant early: blocks that are registered and not yet written
 */
struct flight {
	uint32_t n;
	uint32_t *ids;
	const struct kvbm_hash *chain;
	bool *late;
};

/**
 * struct worker - a worker
 * @replay: the replay
 * @number: which worker this is, from 0
 * @session: its session
 * @pool_blocks: blocks of its pool: longer requests are trimmed
 * @flights: ring of requests in flight
 * @oldest: index of the oldest one
 * @flying: how many
 * @where: for each missing block of the current request, its place in the chain
 * @missing: hashes of the missing blocks
 * @fresh: ids of the allocated blocks
 * @registered: results of their registration
 * @reversed: ids in the order of release
 * @evicted: hashes that an allocation evicted
 * @cursor: with private pools, the next request of this worker
 * @calls: latencies
 * @map: the blocks' bytes; its base is NULL when they have none
 * @bytes: this worker's counts of bytes
 * @request: the current request
 * @scanned: missing blocks that another worker has computed
 * @later_where: places of missing blocks that are not computed now
 * @later_fresh: and the ids allocated for them
 * @states: result of claiming each missing block
 */
struct worker {
	const struct replay *replay;
	uint32_t number;
	int session;
	uint32_t pool_blocks;
	struct flight *flights;
	uint32_t oldest;
	uint32_t flying;
	uint32_t *where;
	struct kvbm_hash *missing;
	uint32_t *fresh;
	struct kvbm_registered *registered;
	uint32_t *reversed;
	struct kvbm_evicted *evicted;
	size_t cursor;
	struct hist *calls;
	struct kvbm_payload_map map;
	struct bytes *bytes;
	size_t request;
	uint32_t *scanned;
	uint32_t *later_where;
	uint32_t *later_fresh;
	uint8_t *states;
};

#define TIMED(w, call, n, expression) ({				\
	uint64_t start_ = now_ns();					\
	int ret_ = (expression);					\
									\
	hist_add(&(w)->calls[call], now_ns() - start_, n);		\
	ret_;								\
})

uint64_t worker_memory(const struct options *options, uint32_t max)
{
	const struct worker *w = NULL;

	return (uint64_t)options->inflight * sizeof(*w->flights) +
	       (uint64_t)max * (sizeof(*w->where) + sizeof(*w->missing) +
				sizeof(*w->fresh) + sizeof(*w->registered) +
				sizeof(*w->reversed) + sizeof(*w->evicted) +
				sizeof(*w->scanned) + sizeof(*w->later_where) +
				sizeof(*w->later_fresh) + sizeof(*w->states));
}

static int worker_init(struct worker *w, const struct replay *r, uint32_t number)
{
	uint32_t pool = r->nr_pools > 1 ? number : 0;
	uint32_t max, i;

	memset(w, 0, sizeof(*w));
	w->replay = r;
	w->number = number;
	w->pool_blocks = r->pool_blocks[pool];
	w->calls = r->shared->calls[number];
	w->bytes = &r->shared->bytes[number];
	w->cursor = number;

	max = r->trace->max_blocks < w->pool_blocks ? r->trace->max_blocks :
						      w->pool_blocks;
	max += !max;
	w->flights = calloc(r->options->inflight, sizeof(*w->flights));
	w->where = calloc(max, sizeof(*w->where));
	w->missing = calloc(max, sizeof(*w->missing));
	w->fresh = calloc(max, sizeof(*w->fresh));
	w->registered = calloc(max, sizeof(*w->registered));
	w->reversed = calloc(max, sizeof(*w->reversed));
	w->evicted = calloc(max, sizeof(*w->evicted));
	w->scanned = calloc(max, sizeof(*w->scanned));
	w->later_where = calloc(max, sizeof(*w->later_where));
	w->later_fresh = calloc(max, sizeof(*w->later_fresh));
	w->states = calloc(max, sizeof(*w->states));
	if (!w->flights || !w->where || !w->missing || !w->fresh ||
	    !w->registered || !w->reversed || !w->evicted || !w->scanned ||
	    !w->later_where || !w->later_fresh || !w->states)
		return complain("worker", -ENOMEM);

	w->session = kvbm_session_open(r->pools[pool]);
	if (w->session < 0)
		return complain("cannot open a session", w->session);
	if (r->options->block_bytes) {
		int ret = kvbm_payload_map(w->session, PROT_READ | PROT_WRITE,
					   &w->map);

		if (ret < 0)
			return complain("cannot map the blocks' bytes", ret);
	}
	/* The parent keeps its own sessions. */
	for (i = 0; i < r->nr_pools; i++)
		close(r->pools[i]);
	return 0;
}

/* Releases a request's blocks, tail first; holes in @ids are skipped. */
static int release_chain(struct worker *w, struct flight *f)
{
	uint32_t i, n = 0, error = 0;

	for (i = f->n; i-- > 0;)
		if (f->ids[i] != KVBM_NO_BLOCK)
			w->reversed[n++] = f->ids[i];
	f->n = 0;
	if (!n)
		return 0;
	TIMED(w, CALL_RELEASE, n,
	      kvbm_release(w->session, n, w->reversed, 0, &error));
	return error ? complain("release", -(int)error) : 0;
}

static void drop_flight(struct flight *f)
{
	free(f->ids);
	free(f->late);
	f->ids = NULL;
	f->late = NULL;
}

/* Check the bytes of all held blocks of a request. */
static void check_bytes(struct worker *w, const struct flight *f,
			const char *when)
{
	uint32_t i;

	if (!w->map.base)
		return;
	for (i = 0; i < f->n; i++)
		if (f->ids[i] != KVBM_NO_BLOCK)
			bytes_check(w->bytes, &w->map, f->ids[i], &f->chain[i],
				    when);
}

static int release_oldest(struct worker *w)
{
	struct flight *f = &w->flights[w->oldest];
	uint32_t i;
	int ret;

	w->oldest = (w->oldest + 1) % w->replay->options->inflight;
	w->flying--;
	for (i = 0; f->late && i < f->n; i++)
		if (f->late[i])
			bytes_write(w->bytes, &w->map, f->ids[i], &f->chain[i]);
	/* Nobody may have written to blocks that this worker held. */
	check_bytes(w, f, "before its release");
	ret = release_chain(w, f);
	drop_flight(f);
	return ret;
}

/*
 * Hold the cached blocks of the chain.  Misses become KVBM_NO_BLOCK in f->ids,
 * and their places go to w->where.  Returns how many misses there are, or
 * -errno.
 */
static int look_up(struct worker *w, const struct kvbm_hash *chain, uint32_t n,
		   struct flight *f, struct outcome *o)
{
	uint32_t i, missing = 0, error = 0;
	int ret;

	f->n = 0;
	ret = TIMED(w, CALL_MATCH, n,
		    kvbm_match(w->session, n, chain, f->ids, &error));
	f->n = ret < 0 ? 0 : ret;
	if (error)
		return -(int)error;
	o->hits = f->n;
	if (f->n < n) {
		uint32_t rest = n - f->n, hits = 0;

		ret = TIMED(w, CALL_SCAN, rest,
			    kvbm_scan(w->session, rest, chain + f->n,
				      f->ids + f->n, 0, &hits, &error));
		f->n += ret < 0 ? 0 : ret;
		o->reused = hits;
		if (error)
			return -(int)error;
	}
	check_bytes(w, f, "matched");
	for (i = o->hits; i < n; i++)
		if (f->ids[i] == KVBM_NO_BLOCK)
			w->where[missing++] = i;
	return missing;
}

static int allocate(struct worker *w, uint32_t n, bool wait, struct outcome *o)
{
	uint32_t evicted = 0;
	int ret;

	if (wait)
		ret = kvbm_alloc_wait(w->session, n, w->fresh, w->evicted,
				      &evicted, kvbm_deadline(GIVE_UP_NS));
	else
		ret = TIMED(w, CALL_ALLOC, n,
			    kvbm_alloc(w->session, n, w->fresh, w->evicted,
				       &evicted));
	if (ret >= 0) {
		o->allocated += n;
		o->evicted += evicted;
	}
	return ret;
}

static bool shortage(int ret)
{
	return ret == -ENOSPC || ret == -EDQUOT;
}

/*
 * Hold the chain, with Mutable blocks in w->fresh for missing ones.
 * Returns how many are missing, or -errno with nothing of this request held.
 *
 * If there are too few blocks, the worker first releases what it has in
 * flight.  If that is not enough it waits, but holds nothing meanwhile: workers
 * that wait for each other's prefixes would wait for ever.
 */
static int acquire(struct worker *w, const struct kvbm_hash *chain, uint32_t n,
		   struct flight *f, struct outcome *o)
{
	int ret, missing;

	for (;;) {
		missing = look_up(w, chain, n, f, o);
		ret = missing;
		if (missing > 0)
			ret = allocate(w, missing, false, o);
		if (!shortage(ret))
			break;
		o->retries++;
		if (release_chain(w, f))
			return -EIO;
		if (!w->flying)
			goto wait;
		if (release_oldest(w))
			return -EIO;
	}
	if (ret < 0) {
		release_chain(w, f);
		return complain("match and allocate", ret);
	}
	return missing;

wait:
	do {
		ret = allocate(w, n, true, o);
	} while (ret == -EINTR);
	if (ret < 0)
		return ret == -ETIMEDOUT || shortage(ret) ? ret :
		       complain("wait for blocks", ret);
	/* Now there are enough; some of the chain may be cached as well. */
	missing = look_up(w, chain, n, f, o);
	if (missing >= 0 && (uint32_t)missing < n) {
		uint32_t error = 0;

		kvbm_release(w->session, n - missing, w->fresh + missing,
			     KVBM_RELEASE_MUTABLE, &error);
		if (error)
			missing = -(int)error;
	}
	if (missing < 0) {
		release_chain(w, f);
		kvbm_release(w->session, n, w->fresh, KVBM_RELEASE_MUTABLE,
			     NULL);
		return complain("match after a wait", missing);
	}
	return missing;
}

/* Computing is sleeping: prefill does not use the processor. */
static void prefill(const struct worker *w, uint32_t blocks)
{
	double rate = w->replay->options->prefill_rate;
	struct timespec ts;
	uint64_t when;

	if (rate <= 0)
		return;
	when = now_ns() + (uint64_t)(1e9 * TRACE_BLOCK_TOKENS * blocks / rate);
	ts.tv_sec = when / 1000000000;
	ts.tv_nsec = when % 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
	       EINTR)
		;
}

/*
 * Compute like an engine: write all of a block before registering it.
 * With --plant early, write it last, when others may have matched it.
 */
static int compute(struct worker *w, uint32_t n, struct flight *f, bool claimed)
{
	uint32_t i;

	prefill(w, n);
	if (claimed && claims_victim(w->replay, w->number, w->request, w->where,
				     n)) {
		/* With bytes, in the middle of the first of these blocks. */
		if (w->map.base)
			atomic_store(&w->bytes->stop, true);
		else
			raise(SIGSTOP);
	}
	if (!w->map.base)
		return 0;
	if (w->replay->options->early) {
		if (!f->late)
			f->late = calloc(f->n + !f->n, sizeof(*f->late));
		return f->late ? 0 : complain("worker", -ENOMEM);
	}
	for (i = 0; i < n; i++)
		bytes_write(w->bytes, &w->map, w->fresh[i], &w->missing[i]);
	return 0;
}

/* The hashes of the first @n missing blocks. */
static void name_missing(struct worker *w, uint32_t n, const struct flight *f)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		w->missing[i] = f->chain[w->where[i]];
}

/* Computes and registers the first @n missing blocks, which may be claimed. */
static int publish(struct worker *w, uint32_t n, struct flight *f, bool claimed,
		   struct outcome *o)
{
	uint32_t flags = w->replay->options->register_flags;
	uint32_t i, error = 0;

	name_missing(w, n, f);
	if (compute(w, n, f, claimed))
		return -EIO;
	o->computed += n;
	TIMED(w, CALL_REGISTER, n,
	      claimed ? kvbm_register(w->session, n, w->fresh, w->registered,
				      flags, &error) :
			kvbm_stage_register(w->session, n, w->fresh, w->missing,
					    w->registered, flags, &error));
	if (error)
		return complain("register", -(int)error);
	for (i = 0; i < n; i++) {
		f->ids[w->where[i]] = w->registered[i].block;
		if (f->late)
			f->late[w->where[i]] =
				w->registered[i].kind != KVBM_KIND_DEDUP;
		o->dedup += w->registered[i].kind == KVBM_KIND_DEDUP;
		o->duplicates += w->registered[i].kind == KVBM_KIND_DUPLICATE;
	}
	claims_registered(w->replay, w->request, w->where, n);
	return 0;
}

/* The first @gone of @n missing blocks are no longer missing. */
static uint32_t advance(struct worker *w, uint32_t n, uint32_t gone)
{
	n -= gone;
	memmove(w->where, w->where + gone, n * sizeof(*w->where));
	memmove(w->fresh, w->fresh + gone, n * sizeof(*w->fresh));
	return n;
}

/*
 * Claim the missing blocks from left to right, and give up those to the right
 * of one that another worker computes: nobody waits while it has a claim, so no
 * two wait for each other.  Puts the claimed ones first; returns how many, or
 * -errno.  The places to wait for go to @pending.
 */
static int claim(struct worker *w, uint32_t n, struct flight *f,
		 uint32_t *pending, uint32_t *nr_pending)
{
	uint32_t i, mine = 0, rest = 0, unclaim = 0, error = 0;
	uint32_t some = n < KVBM_MAX_CLAIMS ? n : KVBM_MAX_CLAIMS;

	*nr_pending = 0;
	name_missing(w, some, f);
	TIMED(w, CALL_CLAIM, some,
	      kvbm_claim(w->session, some, w->fresh, w->missing, w->states,
			 &error));
	if (error)
		return complain("claim", -(int)error);
	for (i = 0; i < some; i++) {
		uint32_t place = w->where[i], id = w->fresh[i];

		if (w->states[i] == KVBM_CLAIM_PENDING &&
		    *nr_pending < KVBM_MAX_WATCHED)
			pending[(*nr_pending)++] = place;
		if (w->states[i] == KVBM_CLAIMED && !*nr_pending) {
			w->where[mine] = place;
			w->fresh[mine++] = id;
			continue;
		}
		if (w->states[i] == KVBM_CLAIMED)
			w->reversed[unclaim++] = id;
		w->later_fresh[rest] = id;
		w->later_where[rest++] = place;
	}
	memcpy(w->fresh + mine, w->later_fresh, rest * sizeof(*w->fresh));
	memcpy(w->where + mine, w->later_where, rest * sizeof(*w->where));
	if (unclaim)
		kvbm_unstage(w->session, unclaim, w->reversed, &error);
	if (error)
		return complain("unstage", -(int)error);
	claims_made(w->replay, w->number, w->request, w->where, mine);
	return mine;
}

static int wait_for(struct worker *w, const uint32_t *pending, uint32_t n,
		    const struct flight *f, uint64_t deadline)
{
	struct kvbm_hash hashes[KVBM_MAX_WATCHED];
	uint32_t i;
	int ret;

	for (i = 0; i < n; i++)
		hashes[i] = f->chain[pending[i]];
	claims_wait_begin(w->replay, w->number, w->request, pending[0]);
	do {
		ret = TIMED(w, CALL_WAIT, n,
			    kvbm_wait(w->session, n, hashes, deadline, NULL));
	} while (ret == -EINTR);
	claims_wait_end(w->replay, w->number, ret);
	return ret;
}

/* Hold what others have computed; returns how many are missing, or -errno. */
static int look_again(struct worker *w, uint32_t n, struct flight *f,
		      struct outcome *o)
{
	uint32_t i, missing = 0, got = 0, hits = 0, error = 0;

	name_missing(w, n, f);
	TIMED(w, CALL_SCAN, n,
	      kvbm_scan(w->session, n, w->missing, w->scanned, 0, &hits,
			&error));
	if (error)
		return complain("scan after a wait", -(int)error);
	for (i = 0; i < n; i++) {
		if (w->scanned[i] == KVBM_NO_BLOCK) {
			w->where[missing] = w->where[i];
			w->fresh[missing++] = w->fresh[i];
			continue;
		}
		f->ids[w->where[i]] = w->scanned[i];
		if (w->map.base)
			bytes_check(w->bytes, &w->map, w->scanned[i],
				    &w->missing[i], "computed by another");
		w->reversed[got++] = w->fresh[i];
	}
	o->awaited += got;
	if (got)
		kvbm_release(w->session, got, w->reversed, KVBM_RELEASE_MUTABLE,
			     &error);
	return error ? complain("release what another has computed",
				-(int)error) : (int)missing;
}

/*
 * The first to claim a missing block computes it; the others wait for that
 * until the request's deadline, then compute it themselves.  They hold blocks
 * meanwhile, but a worker with a claim has all the blocks that it needs.
 */
static int fly_singly(struct worker *w, uint32_t missing, struct flight *f,
		      struct outcome *o)
{
	uint64_t deadline = kvbm_deadline(GIVE_UP_NS);
	uint32_t pending[KVBM_MAX_WATCHED], nr_pending;
	int mine, ret, n = missing;

	while (n > 0) {
		mine = claim(w, n, f, pending, &nr_pending);
		if (mine < 0)
			return mine;
		if (mine && publish(w, mine, f, true, o))
			return -EIO;
		n = advance(w, n, mine);
		if (!n)
			break;
		if (nr_pending && w->replay->options->impatient)
			return publish(w, n, f, false, o);
		ret = nr_pending ? wait_for(w, pending, nr_pending, f, deadline) :
				   0;
		if (ret && ret != -ETIMEDOUT)
			return complain("wait for a claim", ret);
		n = look_again(w, n, f, o);
		if (ret && n > 0) {
			o->timeouts++;
			return publish(w, n, f, false, o);
		}
	}
	return n;
}

static int serve(struct worker *w, size_t request)
{
	const struct replay *r = w->replay;
	const struct request *req = &r->trace->requests[request];
	const struct kvbm_hash *chain = r->hashes + req->first;
	struct outcome *shared = &r->outcomes[request];
	struct outcome o = { .worker = w->number };
	uint32_t n = req->blocks;
	struct flight *f;
	int ret;

	if (n > w->pool_blocks) {
		o.trimmed = n - w->pool_blocks;
		n = w->pool_blocks;
	}
	if (w->flying == r->options->inflight) {
		ret = release_oldest(w);
		if (ret)
			return ret;
	}

	/* The ring is not full: the w->flying before this one are in flight. */
	f = &w->flights[(w->oldest + w->flying) % r->options->inflight];
	f->ids = calloc(n + !n, sizeof(*f->ids));
	if (!f->ids)
		return complain("worker", -ENOMEM);
	f->chain = chain;
	w->request = request;
	ret = acquire(w, chain, n, f, &o);
	if (ret > 0)
		ret = r->options->single_flight ?
		      fly_singly(w, ret, f, &o) : publish(w, ret, f, false, &o);
	if (ret >= 0) {
		w->flying++;
	} else if (ret == -ETIMEDOUT || shortage(ret)) {
		drop_flight(f);
		o.hits = 0;
		o.reused = 0;
		o.skipped = 1;
	} else {
		return ret;
	}

	memcpy((char *)shared + sizeof(shared->state),
	       (char *)&o + sizeof(o.state), sizeof(o) - sizeof(o.state));
	atomic_store(&shared->state, STATE_DONE);
	return 0;
}

/* Takes the next free request; false when there are no more. */
static bool take_shared(struct worker *w, size_t *request)
{
	const struct replay *r = w->replay;
	struct shared *shared = r->shared;
	size_t nr = r->trace->nr_requests;

	for (;;) {
		size_t redo = atomic_exchange(&shared->redo, 0);
		size_t i = atomic_load(&shared->next);
		uint32_t state = STATE_FREE;
		bool mine;

		if (redo) {
			*request = redo - 1;
			atomic_store(&r->outcomes[*request].state,
				     w->number + 1);
			return true;
		}
		if (i >= nr) {
			if (!atomic_load(&shared->kill_pending))
				return false;
			usleep(1000);
			continue;
		}
		/* Seeing a request taken, advance next for the taker. */
		mine = atomic_compare_exchange_strong(&r->outcomes[i].state,
						      &state, w->number + 1);
		*request = i;
		atomic_compare_exchange_strong(&shared->next, &i, i + 1);
		if (mine)
			return true;
	}
}

static bool take(struct worker *w, size_t *request)
{
	const struct replay *r = w->replay;

	if (atomic_load(&r->shared->failed))
		return false;
	if (r->nr_pools == 1)
		return take_shared(w, request);
	/* Private pools: in turn, so that a replay is repeatable. */
	*request = w->cursor;
	w->cursor += r->nr_pools;
	return *request < r->trace->nr_requests;
}

static void pace(const struct worker *w, size_t request)
{
	const struct replay *r = w->replay;
	uint64_t first = r->trace->requests[0].timestamp;
	uint64_t own = r->trace->requests[request].timestamp;
	double speed = r->options->speed;
	uint64_t when = FOREVER_NS;
	struct timespec ts;
	double ns;

	/* A request that came before the first is already late. */
	if (speed <= 0 || own <= first)
		return;
	ns = (own - first) * (1e6 / speed);
	if (ns < FOREVER_NS)
		when = ns;
	when += r->shared->start_ns;
	ts.tv_sec = when / 1000000000;
	ts.tv_nsec = when % 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
	       EINTR)
		;
}

int worker_main(const struct replay *replay, uint32_t number)
{
	struct worker w;
	size_t request;
	int ret;

	ret = worker_init(&w, replay, number);
	while (!ret && take(&w, &request)) {
		if (request + 1 == replay->kill_at &&
		    write(replay->kill_pipe[1], "", 1) != 1)
			ret = complain("kill pipe", -errno);
		pace(&w, request);
		if (!ret)
			ret = serve(&w, request);
	}
	while (!ret && w.flying)
		ret = release_oldest(&w);
	if (ret)
		atomic_store(&replay->shared->failed, true);
	replay->shared->finished_ns[number] = now_ns();
	return ret ? 1 : 0;
}
