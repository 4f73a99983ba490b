/* SPDX-License-Identifier: MIT */
/*
 * kvbm-replay: a request trace, replayed by several processes against one
 * store.
 *
 *   main.c	options			trace.c, generate.c	the requests
 *   replay.c	the parent: stores, workers, the kill, the final accounts
 *   worker.c	one worker: what an engine does with each request
 *   bytes.c	the bytes that it writes, and their check
 *   claims.c	waiters and successors of a killed claimant
 *   report.c	the summary		hist.c			latencies
 *   wakeup.c	--show-wakeup		memory.c	memory checks
 */
#ifndef REPLAY_H
#define REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <kvbm.h>

#include "bytes.h"
#include "hist.h"
#include "memory.h"
#include "trace.h"

#define MAX_WORKERS	64U

/* Properties that the user gave; an existing store must match. */
#define ASKED_BLOCKS		0x1U
#define ASKED_POLICY		0x2U
#define ASKED_THRESHOLDS	0x4U
#define ASKED_FREQUENCY		0x8U
#define ASKED_BYTES		0x10U

/**
 * struct options - the user's options
 * @trace: path of the trace, "-" for standard input, NULL to generate one
 * @store: name of an existing store, NULL to create an anonymous one
 * @generator: the trace to generate
 * @create: the store to create; @create.total_blocks for all pools together
 * @asked: ASKED_*: which fields of @create the user gave
 * @block_bytes: bytes of a block, which the workers write and check; 0: none
 * @early: workers register blocks before they write them, which is wrong
 * @single_flight: workers claim what they compute, and wait for others' claims
 * @impatient: they do not wait, which is wrong
 * @prefill_rate: tokens a second that a worker computes, 0: no time passes
 * @group: samples of each request, which arrive together
 * @limit: requests to replay, 0 for all
 * @workers: processes
 * @inflight: requests whose blocks a worker holds at once
 * @register_flags: KVBM_REGISTER_ALLOW or KVBM_REGISTER_REJECT
 * @speed: 1 for the trace's own, 10 for ten times as fast, 0 for no pauses
 * @kill_at: kill a worker at this request (from 1), 0 for no kill or a percentage
 * @kill_percent: the same in percent of the trace, or negative
 * @private_pools: give each worker its own pool
 * @json: summary as JSON
 * @brief: summary in one line
 * @quiet: no progress
 * @making: an option of the generator was given
 * @emit_trace: write the trace and stop
 * @show_wakeup: show a waiting allocation and stop
 */
struct options {
	const char *trace;
	const char *store;
	struct generator generator;
	struct kvbm_store_create create;
	uint32_t asked;
	uint64_t block_bytes;
	bool early;
	bool single_flight;
	bool impatient;
	double prefill_rate;
	uint32_t group;
	size_t limit;
	uint32_t workers;
	uint32_t inflight;
	uint32_t register_flags;
	double speed;
	size_t kill_at;
	double kill_percent;
	bool private_pools;
	bool json;
	bool brief;
	bool quiet;
	bool making;
	bool emit_trace;
	bool show_wakeup;
};

/* Owner of a request: nobody, worker n (n + 1), or done. */
#define STATE_FREE	0U
#define STATE_DONE	0x80000000U

/**
 * struct outcome - result of a request; the process that took it writes it
 * @state: STATE_FREE, the worker plus 1, or STATE_DONE
 * @worker: the worker that finished it
 * @hits: blocks of the longest cached prefix
 * @reused: cached blocks behind a hole
 * @allocated: blocks allocated
 * @evicted: how many of these by evicting, as the allocation reported
 * @trimmed: blocks left out because the pool is smaller than the request
 * @dedup: registrations that returned somebody else's block
 * @duplicates: registrations that made a Duplicate
 * @computed: blocks that were computed
 * @awaited: blocks that others computed while this request waited for them
 * @timeouts: waits that the deadline ended
 * @retries: allocations that found too few blocks
 * @skipped: given up: too few blocks
 */
struct outcome {
	_Atomic uint32_t state;
	uint32_t worker;
	uint32_t hits;
	uint32_t reused;
	uint32_t allocated;
	uint32_t evicted;
	uint32_t trimmed;
	uint32_t dedup;
	uint32_t duplicates;
	uint32_t computed;
	uint32_t awaited;
	uint32_t timeouts;
	uint32_t retries;
	uint32_t skipped;
};

enum call {
	CALL_MATCH,
	CALL_SCAN,
	CALL_ALLOC,
	CALL_REGISTER,
	CALL_RELEASE,
	CALL_CLAIM,
	CALL_WAIT,
	NR_CALLS,
};

/* State of a place in the chain of a killed claimant's request. */
enum orphan {
	ORPHAN_NOT,		/* it had not claimed it */
	ORPHAN_CLAIMED,
	ORPHAN_COMPUTED,	/* by somebody else, after its end */
};

/**
 * struct shared - shared by parent and workers
 * @start_ns: when the replay began, CLOCK_MONOTONIC
 * @next: no request before this one is free
 * @redo: 1 + a request that a killed worker left unfinished, or 0
 * @kill_pending: a worker will still be killed: nobody exits
 * @failed: a worker met an error: stop
 * @stop_claimant: the first one with claims that others wait for stops itself
 * @victim: 1 + the worker that did, or 0
 * @victim_request: what it was computing
 * @waits_for: the claim that each worker waits for, or 0
 * @bereft: mask of the workers that waited for the victim's claims
 * @woke_ns: when each of these woke
 * @heir: 1 + the first worker that claimed one of the victim's hashes, or 0
 * @heir_ns: when; @heir's own
 * @finished_ns: when each worker was done
 * @calls: latencies of each worker
 * @bytes: what each worker wrote and read
 */
struct shared {
	uint64_t start_ns;
	_Atomic size_t next;
	_Atomic size_t redo;
	_Atomic bool kill_pending;
	_Atomic bool failed;
	_Atomic bool stop_claimant;
	_Atomic uint32_t victim;
	size_t victim_request;
	_Atomic uint64_t waits_for[MAX_WORKERS];
	_Atomic uint64_t bereft;
	_Atomic uint64_t woke_ns[MAX_WORKERS];
	_Atomic uint32_t heir;
	uint64_t heir_ns;
	uint64_t finished_ns[MAX_WORKERS];
	struct hist calls[MAX_WORKERS][NR_CALLS];
	struct bytes bytes[MAX_WORKERS];
};

/**
 * struct replay - one replay, as parent and workers see it
 * @options: the user's options
 * @trace: the requests
 * @hashes: the sequence hash of each of the trace's ids
 * @outcomes: shared: one for each request
 * @orphans: shared: enum orphan of each place of the victim's chain
 * @shared: shared: everything else
 * @nr_pools: 1, or one for each worker
 * @pools: a session of each pool, the parent's
 * @pool_blocks: blocks of each pool
 * @kill_at: kill a worker at this request (from 1), 0 for no kill
 * @kill_pipe: written to when it is time to kill a worker
 */
struct replay {
	const struct options *options;
	const struct trace *trace;
	const struct kvbm_hash *hashes;
	struct outcome *outcomes;
	_Atomic uint32_t *orphans;
	struct shared *shared;
	uint32_t nr_pools;
	int pools[MAX_WORKERS];
	uint32_t pool_blocks[MAX_WORKERS];
	size_t kill_at;
	int kill_pipe[2];
};

/**
 * struct killed - result of a kill
 * @done: it happened
 * @worker: the victim
 * @pid: its process
 * @at: requests that had been taken by then
 * @writing: 1 + the block that it was writing, or 0
 * @held: blocks that it held when stopped, each counted once
 * @holds: holds on registered blocks that it had
 * @owned: Mutable and Staged blocks that it had
 * @reclaimed_holds: holds that the kernel reclaimed
 * @reclaimed_owned: Mutable and Staged blocks that the kernel reclaimed
 * @reclaim_ns: how long that took in the kernel
 * @killed_ns: when the signal was sent, CLOCK_MONOTONIC
 * @reaped_ns: from sending the signal to having reaped the process
 * @claimed: with --single-flight: blocks that it had claimed
 * @taken_over: how many of these others computed later
 * @bereft: workers that waited for its claims
 * @woken: how many of these its end woke
 * @first_woke_ns: from the signal to the first that woke
 * @last_woke_ns: to the last
 * @heir: 1 + the first that claimed one of its hashes, or 0
 * @heir_ns: from the signal to that
 */
struct killed {
	bool done;
	uint32_t worker;
	pid_t pid;
	size_t at;
	uint64_t writing;
	uint64_t held;
	uint64_t holds;
	uint64_t owned;
	uint64_t reclaimed_holds;
	uint64_t reclaimed_owned;
	uint64_t reclaim_ns;
	uint64_t killed_ns;
	uint64_t reaped_ns;
	uint64_t claimed;
	uint64_t taken_over;
	uint32_t bereft;
	uint32_t woken;
	uint64_t first_woke_ns;
	uint64_t last_woke_ns;
	uint32_t heir;
	uint64_t heir_ns;
};

/**
 * struct accounts - states of the blocks at the end, over all pools
 * @total: blocks
 * @reset: free
 * @inactive: registered and not held
 * @held: held
 * @lingering: blocks of ended sessions that become free later
 * @holds: holds, Mutable and Staged blocks that the counters still show
 * @others: sessions that are not this replay's
 * @evictions: evictions by the stores' counters during the replay
 * @allocations: allocations, likewise
 */
struct accounts {
	uint64_t total;
	uint64_t reset;
	uint64_t inactive;
	uint64_t held;
	uint64_t lingering;
	uint64_t holds;
	uint64_t others;
	uint64_t evictions;
	uint64_t allocations;
};

/* The summary. */
struct result {
	struct killed killed;
	struct accounts before;
	struct accounts after;
	struct hist calls[NR_CALLS];
	struct bytes bytes;
	size_t requests;
	uint64_t accesses;
	uint64_t hits;
	uint64_t reused;
	uint64_t allocated;
	uint64_t evicted;
	uint64_t trimmed;
	uint64_t trimmed_requests;
	uint64_t dedup;
	uint64_t duplicates;
	uint64_t computed;
	uint64_t awaited;
	uint64_t timeouts;
	uint64_t retries;
	uint64_t skipped;
	uint64_t by_worker[MAX_WORKERS];
	double seconds;
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Print what failed and what to do about it; returns @ret. */
int complain(const char *what, int ret);

/*
 * Create the anonymous store @create, with @block_bytes of memory for each
 * block unless that is 0; returns its first session, or -errno after a message.
 */
int create_store(const struct kvbm_store_create *create, uint64_t block_bytes);

/* Read or generate the trace; 0, or -errno after a message. */
int get_trace(const struct options *options, struct trace *trace);

/* Bytes that a worker allocates before it begins, for requests of up to @max. */
uint64_t worker_memory(const struct options *options, uint32_t max);

/* @worker is about to wait for a claim of this place of its chain, or did. */
void claims_wait_begin(const struct replay *r, uint32_t worker, size_t request,
		       uint32_t place);
void claims_wait_end(const struct replay *r, uint32_t worker, int ret);

/*
 * Whether @worker, which has claimed the @n places @where, is the victim: the
 * first caller while others wait for its claims.
 */
bool claims_victim(const struct replay *r, uint32_t worker, size_t request,
		   const uint32_t *where, uint32_t n);

/* Right before the victim's end: record its waiters, and return the mask. */
uint64_t claims_bereave(const struct replay *r);

/* Blocks of the victim may be among those claimed, or registered. */
void claims_made(const struct replay *r, uint32_t worker, size_t request,
		 const uint32_t *where, uint32_t n);
void claims_registered(const struct replay *r, size_t request,
		       const uint32_t *where, uint32_t n);

/* At the end: the result of a kill. */
void claims_settle(const struct replay *r, struct killed *k);

/* Each returns an exit status. */
int replay_run(const struct options *options);
int worker_main(const struct replay *replay, uint32_t worker);
int show_wakeup(const struct options *options);

/* Whether every block is accounted for and nobody holds anything. */
bool accounts_balance(const struct accounts *accounts);

/* Whether all its waiters woke, and everything that it had claimed is there. */
bool kill_survived(const struct killed *killed);

/* Whether the kernel reclaimed exactly what the killed worker had. */
bool kill_exact(const struct killed *killed);

void report_json(const struct replay *replay, const struct result *result);
void report_text(const struct replay *replay, const struct result *result);
void report_brief(const struct replay *replay, const struct result *result);

#endif /* REPLAY_H */
