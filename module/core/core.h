/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * core.h - the core: stores, sessions and the operations on them
 *
 * The core sees kernel pointers only: no __user, no struct file.  It builds in
 * user space too (selftests/host).
 *
 * Locks, outermost first:
 *
 *	store->stats_lock (mutex)	one sum over the sessions at a time
 *	store->sessions_lock (mutex)	list of sessions; one hold walks at most
 *					KVBM_CHUNK of them
 *	store->offers_lock (spinlock)	offers; KVBM_CHUNK holds move
 *	session->lock (spinlock)	the session's hold table, counters, waiters
 *	store->lock (spinlock)		slot states, keys, lists, reservations,
 *					the queue, claims, pollers
 *	overflow bucket, sketch->lock	leaves
 *
 * Two sessions' locks are held together only under offers_lock.  No lock is
 * held for more than KVBM_CHUNK elements.  Only two things are lockless:
 * looking up a block, and moving a slot's references between non-zero values
 * (slot.h).
 */
#ifndef KVBM_CORE_H
#define KVBM_CORE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/prefetch.h>
#include <linux/rbtree.h>
#include <linux/siphash.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include "slot.h"

struct kvbm_config;
struct kvbm_store;
struct kvbm_session;
struct kvbm_sketch;
struct kvbm_over_node;
struct kvbm_ring;
struct rhashtable;
struct kvbm_retention;
struct kvbm_keeper;

/* What an eviction index can prefetch for. */
enum kvbm_prefetch {
	KVBM_PREFETCH_INSERT,
	KVBM_PREFETCH_REMOVE,
	KVBM_PREFETCH_POP,
};

/**
 * struct kvbm_evict_ops - an eviction index
 * @name: as users choose it
 * @needs_frequency: creation without tracking is refused
 * @has_thresholds: takes thresholds
 * @needs_lineage: refuses opaque hashes, which have none
 * @need: the most bytes that @init allocates
 * @init: build the index; 0 or -errno
 * @exit: free it
 * @insert: a block became inactive; must not fail
 * @remove: take out a given inactive block
 * @pop: take out the next block to evict; one is inactive.  KVBM_NIL: the
 *	victim depends on unfinished prunes, of which this call did up to
 *	@budget steps; call again, after others had the lock
 * @forget: optional: a registered, held block's hash leaves the store
 * @prune: optional: up to @budget steps of the prune that has reached @from;
 *	KVBM_NIL: of any. Returns where it has got to, KVBM_NIL if it is
 *	finished
 * @order: an inactive block's place in the eviction order, from 1 on; later
 *	victims have higher numbers. 0: none, because others have to go first.
 *	Only blocks of one rank can be compared
 * @rerank: change an inactive block's rank; its place stays (retain.c)
 * @peek: the probable next victims; a hint, for prefetching
 * @prefetch_for: optional: prefetch what slots, at most KVBM_CHUNK, will need
 *	besides themselves; a hint
 *
 * All but @prefetch_for are called with the store's lock held.  Each does a
 * bounded amount of work.  What remains to do after a remove, pop or forget is
 * a prune: the call stores in st->pruning where it begins.  An index with
 * unfinished prunes is consistent: every call may come between two steps of
 * one, and only the eviction order depends on how far it has got.  The task
 * that causes a prune finishes it (locked.h): some steps at once, the rest
 * after its chunk, 64 per hold of the lock; if a fatal signal stops that, a
 * work item does the rest.  Nobody else waits for it, except a pop that finds
 * no victim before it has got further.  So a task that is alone sees the order
 * that an unbounded prune would give.
 */
struct kvbm_evict_ops {
	const char *name;
	bool needs_frequency;
	bool has_thresholds;
	bool needs_lineage;
	u64 (*need)(const struct kvbm_config *cfg);
	int (*init)(struct kvbm_store *st);
	void (*exit)(struct kvbm_store *st);
	void (*insert)(struct kvbm_store *st, u32 id);
	void (*remove)(struct kvbm_store *st, u32 id);
	u32 (*pop)(struct kvbm_store *st, u32 *budget);
	void (*forget)(struct kvbm_store *st, u32 id);
	u32 (*prune)(struct kvbm_store *st, u32 from, u32 *budget);
	u32 (*order)(struct kvbm_store *st, u32 id);
	void (*rerank)(struct kvbm_store *st, u32 id, u32 old, u32 rank);
	u32 (*peek)(struct kvbm_store *st, u32 *ids, u32 max);
	void (*prefetch_for)(struct kvbm_store *st, const u32 *ids, u32 n,
			     enum kvbm_prefetch what);
};

const struct kvbm_evict_ops *kvbm_evict_find(const char *name);
const struct kvbm_evict_ops *kvbm_evict_nth(unsigned int n);

/**
 * struct kvbm_config - properties of a store
 * @total: blocks
 * @block_size: tokens in a block
 * @policy: eviction index
 * @reject: default duplicate policy is reject
 * @reset: slots reset on last release by default
 * @opaque: hashes have no lineage: mode 0, and any other bits
 * @freq_capacity: sketch capacity, 0 without tracking
 * @thresholds: of multi_lru
 * @max_sessions: limit on sessions
 * @max_held: limit on blocks held by one session, 0 = none
 * @event_records: events that the store keeps, 0 = none
 * @keep_blocks: blocks that may have a rank above the normal one; 0: no ranks
 * @keep_user_blocks: how many of these one user may raise
 * @note_bytes: bytes of a block's note, 0 = no notes
 */
struct kvbm_config {
	u32 total;
	u32 block_size;
	const struct kvbm_evict_ops *policy;
	bool reject;
	bool reset;
	bool opaque;
	u32 freq_capacity;
	u32 thresholds[3];
	u32 max_sessions;
	u32 max_held;
	u32 event_records;
	u32 keep_blocks;
	u32 keep_user_blocks;
	u32 note_bytes;
};

int kvbm_config_check(struct kvbm_config *cfg);

/* A session's counters, under its lock; summed on read. */
struct kvbm_counters {
#define KVBM_SESSION_COUNTER(_name, _help)	u64 _name;
#include "stats.def"
};

/**
 * struct kvbm_summing - a sum over sessions in progress
 * @sum: the sum so far
 * @upto: it includes sessions up to this number
 */
struct kvbm_summing {
	struct kvbm_counters sum;
	u64 upto;
};

/* What ended sessions released, under store->sessions_lock. */
struct kvbm_reclaimed {
	u64 sessions;
	u64 owned;
	u64 holds;
	u64 last_ns;
	u64 max_ns;
};

/* A chain of slots through ->next, in order. */
struct kvbm_chain {
	u32 head;
	u32 tail;
	u32 len;
};

/**
 * enum kvbm_wait_state - where a waiter is
 * @KVBM_WAIT_IDLE: beside the queue: no call waits, it is a ticket
 * @KVBM_WAIT_PARKED: beside the queue: only its own session's releases could
 *	serve it
 * @KVBM_WAIT_QUEUED: in the queue
 * @KVBM_WAIT_GRANTED: its blocks are reserved
 * @KVBM_WAIT_DEAD: its session died
 */
enum kvbm_wait_state {
	KVBM_WAIT_IDLE,
	KVBM_WAIT_PARKED,
	KVBM_WAIT_QUEUED,
	KVBM_WAIT_GRANTED,
	KVBM_WAIT_DEAD,
};

/**
 * struct kvbm_waiter - a waiting allocation, or its place
 * @node: in store->waiters, by @place, while QUEUED; under the store's lock
 * @link: in its session's, by @place, under the session's lock
 * @ses: the session
 * @task: the sleeper; NULL while IDLE
 * @place: first come, first served
 * @n: blocks wanted
 * @since_ns: CLOCK_BOOTTIME when it began to wait
 * @ticket: names it to its session
 * @state: enum kvbm_wait_state: moves to GRANTED under the store's lock, otherwise
 *	under the session's and the store's
 */
struct kvbm_waiter {
	struct rb_node node;
	struct list_head link;
	struct kvbm_session *ses;
	struct task_struct *task;
	u64 place;
	u32 n;
	u64 since_ns;
	u32 ticket;
	enum kvbm_wait_state state;
};

/**
 * struct kvbm_poll_ops - how to wake pollers of a session
 * @get: keep the session until @wake; called under the store's lock
 * @wake: wake up to @budget of its pollers, and drop the session; returns how
 *	many were woken.  The rest are woken later.  Called without locks.
 */
struct kvbm_poll_ops {
	void (*get)(struct kvbm_session *ses);
	u32 (*wake)(struct kvbm_session *ses, u32 budget);
};

/**
 * struct kvbm_line - up to twelve entries of the index
 * @tags: of entries 0 to 7, a byte each, 0 for a free one
 * @rest: of entries 8 to 11; above them, what overflowed: see index.h
 * @entry: slot numbers, with more of the tag above them
 */
struct kvbm_line {
	u64 tags;
	u64 rest;
	u32 entry[12];
} __aligned(64);

/**
 * struct kvbm_index - sequence hash -> registered slot; see index.h
 * @lines: through which most blocks are found
 * @nr_lines: how many
 * @secret: of the hash that chooses lines and tags; the last one is odd
 * @second: of the hash that chooses second lines; odd
 * @nr_tables: a power of two
 * @tables: the overflow
 * @over: their nodes
 * @over_capacity: how many there are
 * @sip_key: of the hash that finds them
 */
struct kvbm_index {
	struct kvbm_line *lines;
	u32 nr_lines;
	u32 nr_tables;
	u64 secret[3];
	u32 second;
	struct rhashtable *tables;
	struct kvbm_over_node *over;
	u32 over_capacity;
	hsiphash_key_t sip_key;
};

/**
 * struct kvbm_claims - which session computes which hash; see claim.c
 * @trees: claims by key; a hash of the key chooses the tree.  Does not change
 *	after creation, nor does @nr_trees
 * @nr_trees: how many
 * @nr: claims in them
 * @ended: ended claims that still have to wake somebody
 * @gone: ended claims that nobody waits for; to be freed without the lock
 * @work: wakes them
 * @made: statistics, as are the following
 * @refused_pending: the hash was claimed already
 * @refused_present: it was registered already
 * @waits: calls that had to wait
 */
struct kvbm_claims {
	struct rb_root *trees;
	u32 nr_trees;
	u32 nr;
	struct list_head ended;
	struct list_head gone;
	struct work_struct work;
	u64 made;
	u64 refused_pending;
	u64 refused_present;
	u64 waits;
};

/* The overflow's nodes: free ones, and inactive blocks', oldest first. */
struct kvbm_overflow {
	u32 free;
	u32 fresh;			/* never used from here on */
	u32 used;
	u32 first;
	u32 last;
	u64 evictions;
};

/**
 * struct kvbm_store - a pool of blocks
 *
 * The upper part does not change after creation; @lock guards what follows it,
 * except for fields that name another lock.
 */
struct kvbm_store {
	struct kvbm_slot *slots;
	struct kvbm_index index;
	struct kvbm_config cfg;
	struct kvbm_sketch *sketch;
	void *evict;			/* the policy's own */
	struct kvbm_ring *ring;		/* of events, or NULL */
	struct kvbm_retention *retention;	/* ranks, or NULL */
	void *notes;			/* by block, or NULL; see note.h */
	u64 id;
	u64 memory;			/* bytes, without hold tables */

	/* Slot states, keys, the free list, reservations: all from here on. */
	spinlock_t lock ____cacheline_aligned_in_smp; /* all below */
	u32 nr_inactive;
	u32 nr_held;			/* counted separately */
	u32 nr_lingering;
	u32 nr_registered;
	u32 reserved;			/* of free + inactive */
	u32 pruning;			/* NIL unless a chunk has the lock */
	u32 epoch;			/* how often everything was forgotten */
	struct kvbm_chain free;
	struct rb_root_cached waiters;	/* the queue, by place */
	struct rb_root_cached pollers;	/* sessions to wake, by mark */
	u32 nr_waiters;			/* in the queue */
	u64 next_place;
	u64 evicted_idle_ns;
	u64 evicted_idle_histogram[KVBM_IDLE_BUCKETS];
	struct kvbm_overflow overflow;
	struct kvbm_claims claims;
	u64 waits;
	u64 wait_grants;
	u64 wait_wakeups;
	u64 wait_ns;
	u64 wait_histogram[KVBM_WAIT_BUCKETS];
	struct work_struct notify_work;
	struct work_struct prune_work;	/* prunes left by killed tasks */
	const struct kvbm_poll_ops *poll;	/* NULL: nobody polls */

	struct mutex sessions_lock ____cacheline_aligned_in_smp;
	struct list_head sessions;	/* by number, ascending */
	struct rb_root by_number;
	u32 nr_listed;
	u32 nr_sessions;		/* those not revoked */
	u8 reserves;			/* KVBM_RESERVE_* in use */
	u64 next_session;
	bool closing;			/* destroyed: no new sessions */
	struct kvbm_counters ended;	/* of sessions that ended */
	struct kvbm_summing *summing;	/* in progress */
	struct kvbm_reclaimed reclaimed;

	spinlock_t offers_lock;		/* offers; locking two sessions */
	struct rb_root offers;		/* open offers, by ticket */
	u64 handed_over;		/* holds moved so far */

	struct mutex stats_lock;	/* outside of sessions_lock */
};

/* One session each, when the common places are taken. */
#define KVBM_RESERVE_OWNER	BIT(0)
#define KVBM_RESERVE_ADMIN	BIT(1)

/* The hold table: pages of counts, by block id; see hold_table.c. */
#define KVBM_PAGE_COUNTS	512

/*
 * A count, 0 if the session has nothing to do with the block: its holds, below
 * KVBM_COUNT_KEPT; and for a Primary, how many Duplicates of it the session
 * holds, which keep it alive too.  So each block that the session alone can
 * keep from others has a count above 0, and ->held is the number of these
 * blocks.
 *
 * Some of the holds may be offered; how many is in the session's ->offered.
 */
#define KVBM_COUNT_OWNED	0x80000000U	/* its Mutable or Staged block */
#define KVBM_COUNT_OFFERED	0x80000000U	/* some holds are offered */
#define KVBM_COUNT_COPY		0x40000000U	/* the block is a Duplicate */
#define KVBM_COUNT_KEPT		0x00100000U	/* one Duplicate keeps it */
#define KVBM_COUNT_KEPT_MASK	(KVBM_COUNT_COPY - KVBM_COUNT_KEPT)

static_assert((KVBM_COUNT_KEPT - 1) == KVBM_MAX_HOLDS);
static_assert((KVBM_COUNT_KEPT_MASK / KVBM_COUNT_KEPT) ==
	      KVBM_MAX_DUPLICATES);

/**
 * struct kvbm_session - an open file description of a store
 * @store: the store
 * @lock: guards all but @store, and what sessions_lock does
 * @dead: 0, or the errno of a revoked session
 * @max_held: limit on @held + @allocating
 * @held: blocks with a non-zero count: those that it holds, and those that its
 *	Duplicates keep alive
 * @allocating: blocks that its allocations in progress will add to @held: those
 *	in the queue, and those reserved for it.  From @dead on, the task that
 *	ends the session releases all of these, not the allocation
 * @reserved: its part of the store's reserved; under the store's lock
 * @allocs: allocations in progress with blocks in no hold table yet
 * @owned: Mutable and Staged blocks in the table
 * @staged: how many of these are Staged
 * @holds: sum of the counts of registered blocks
 * @counters: statistics
 * @waiters: its waiting allocations and tickets, by place
 * @nr_waiters: how many; at most KVBM_MAX_TICKETS
 * @nr_parked: how many are PARKED
 * @nr_queued: how many are QUEUED or GRANTED
 * @last_ticket: the latest ticket
 * @watched: look at waiters and pollers when @held or @allocating changes
 * @polled: somebody polled it once
 * @quota_mark: wake pollers when it may take this many more; 0: nobody waits
 * @poll_mark: wake pollers when the store has this many; under its lock
 * @poll_node: in store->pollers, or empty; under its lock
 * @low_watermark: poll reports whether this many could be allocated
 * @pages: pages in the table
 * @nr_claims: hashes that it has claimed; under the store's lock, as are the
 *	following
 * @nr_claim_waits: calls that wait for other claims to end; at most
 *	KVBM_MAX_TICKETS
 * @claim_waits: these calls
 * @watch: claims whose end poll reports, or NULL
 * @claim_ended: one of them has ended
 * @offered: how many holds of each count are offered: pages as in @table; NULL
 *	before the first offer
 * @nr_offered: their sum; at most KVBM_MAX_OFFERED
 * @offers: its offers that are not DONE, oldest first; under the store's
 *	offers_lock, as are the following
 * @nr_offers: how many; at most KVBM_MAX_OFFERS
 * @nr_offers_to: open offers to it only
 * @offers_to: these, oldest first
 * @accepting: offers whose holds move to it
 * @link: in store->sessions, under its sessions_lock
 * @node: in store->by_number, likewise
 * @keeper: account charged for the ranks that it raises, or NULL; see retain.c
 * @uid: the account's user
 * @may_lower: may lower ranks without a hold; no user's limit applies
 * @reserve: KVBM_RESERVE_* that it may use; then the one that it uses
 * @counted: in store->nr_sessions, under its sessions_lock
 * @number: the session's number in its store
 * @table: the hold table: pages of counts by block id, NULL until a block of
 *	the page is held; pages stay until the session ends
 */
struct kvbm_session {
	struct kvbm_store *store;
	spinlock_t lock;		/* all but @store, @link and so on */
	int dead;
	u32 max_held;
	u32 held;
	u32 allocating;
	u32 reserved;
	u32 owned;
	u32 staged;
	bool watched;
	bool polled;
	u64 holds;
	struct kvbm_counters counters;
	struct list_head allocs;
	struct list_head waiters;
	u32 nr_waiters;
	u32 nr_parked;
	u32 nr_queued;
	u32 last_ticket;
	u32 quota_mark;
	u32 poll_mark;
	struct rb_node poll_node;
	u32 pages;
	u32 low_watermark;
	u32 nr_claims;
	u32 nr_claim_waits;
	struct list_head claim_waits;
	struct kvbm_claim_wait *watch;
	bool claim_ended;
	u32 **offered;
	u32 nr_offered;
	u32 nr_offers;
	u32 nr_offers_to;
	struct list_head offers;
	struct list_head offers_to;
	struct list_head accepting;
	struct list_head link;
	struct rb_node node;
	struct kvbm_keeper *keeper;
	u32 uid;
	bool may_lower;
	u8 reserve;
	bool counted;
	u64 number;
	u32 **table;
};

/**
 * struct kvbm_chunk - working memory of one atomic step, on the caller's
 *	stack
 * @keys: sequence hashes in, or evicted ones out
 * @hash: kvbm_index_hash() of them
 * @generation: of the slots, or of the blocks evicted from them
 * @tokens: tokens in each block (stage)
 * @ids: block ids in or out; candidates until they are known
 */
struct kvbm_chunk {
	struct kvbm_hash keys[KVBM_CHUNK];
	union {
		u32 hash[KVBM_CHUNK];
		u32 generation[KVBM_CHUNK];
		u32 tokens[KVBM_CHUNK];
	};
	u32 ids[KVBM_CHUNK];
};

/* array.c: the memory of a store's arrays */
u64 kvbm_array_need(u64 n, u64 size);
void *kvbm_array_alloc(struct kvbm_store *st, size_t n, size_t size);
void kvbm_array_free(void *p);

/* store.c: life, snapshots */
u64 kvbm_store_need(const struct kvbm_config *cfg);
int kvbm_store_init(struct kvbm_store *st, const struct kvbm_config *cfg);
void kvbm_store_exit(struct kvbm_store *st);
void kvbm_store_counts(struct kvbm_store *st, struct kvbm_counts *out);
u32 kvbm_reset_inactive_chunk(struct kvbm_store *st, u32 max);
bool kvbm_store_is_reset(struct kvbm_store *st);

/* sessions.c: the sessions of a store, and sums over them */
int kvbm_session_init(struct kvbm_session *ses, struct kvbm_store *st);
void kvbm_session_exit(struct kvbm_session *ses);
void kvbm_session_uncount(struct kvbm_session *ses);
struct kvbm_session *kvbm_session_after(struct kvbm_store *st, u64 number);
void kvbm_session_waits(struct kvbm_session *ses, u32 *blocks, u64 *since_ns);
int kvbm_store_stats(struct kvbm_store *st, struct kvbm_stats *out);
int kvbm_block_info(struct kvbm_session *ses, u32 id, bool own,
		    struct kvbm_block_info *out, u64 *note);
u32 kvbm_holds_entries(struct kvbm_session *ses, u32 *from,
		       struct kvbm_hold_entry *out, u32 max);

/**
 * struct kvbm_step - how a chunk operation ended
 * @err: errno of the element after the last one done; 0: none
 * @stop: the batch ends here, without error
 * @page_of: the hold table lacks a page for this id; KVBM_NIL: it does not
 * @prune: the chunk's own: the prune to finish once it holds no lock
 *
 * A chunk operation does up to n (<= KVBM_CHUNK) elements and returns how many
 * it did.  Fewer than n with neither @err nor @stop: call
 * kvbm_session_ready(), then again for the rest.
 */
struct kvbm_step {
	int err;
	bool stop;
	u32 page_of;
	u32 prune;
};

#define KVBM_STEP_INIT	{ .page_of = KVBM_NIL, .prune = KVBM_NIL }

int kvbm_session_ready(struct kvbm_session *ses, struct kvbm_step *step);

/* export.c: what is registered */
u32 kvbm_export_chunk(struct kvbm_store *st, u32 *from,
		      struct kvbm_export_entry *out, u64 *notes, u32 max);

/* prune.c: prunes that take longer than a chunk may */
void kvbm_prune_rest(struct kvbm_store *st, u32 from);
void kvbm_prune_work(struct work_struct *work);

/* match.c: references to registered blocks */
u32 kvbm_match_chunk(struct kvbm_session *ses, struct kvbm_chunk *c, u32 n,
		     u32 requested, struct kvbm_step *step);
u32 kvbm_scan_chunk(struct kvbm_session *ses, struct kvbm_chunk *c, u32 n,
		    u32 requested, bool touch, u32 *hits,
		    struct kvbm_step *step);
u32 kvbm_upgrade_chunk(struct kvbm_session *ses, const struct kvbm_weak *weak,
		       u32 *ids, u32 n, u32 *hits, struct kvbm_step *step);
u32 kvbm_retain_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
		      struct kvbm_step *step);
u32 kvbm_set_reset_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
			 bool on, struct kvbm_step *step);
bool kvbm_get_locked(struct kvbm_store *st, struct kvbm_slot *s);
void kvbm_presence(struct kvbm_store *st, struct kvbm_chunk *c, u32 n, u8 *out);
u8 kvbm_presence_of(struct kvbm_store *st, const struct kvbm_hash *key,
		    u32 hash);

/* release.c: releasing holds */
u32 kvbm_release_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
		       u32 kinds, struct kvbm_step *step);
void kvbm_unhold(struct kvbm_session *ses, const u32 *ids, u32 n);
void kvbm_alloc_undo(struct kvbm_session *ses, const u32 *ids, u32 n,
		     u64 evicted);
u64 kvbm_session_retire(struct kvbm_session *ses, int err,
			struct kvbm_chain *linger);
u64 kvbm_session_kill(struct kvbm_session *ses, int err);

/* linger.c: blocks that outlive their session */
void kvbm_linger_add(struct kvbm_store *st, struct kvbm_chain *c, u32 id);
u32 kvbm_linger_return(struct kvbm_store *st, struct kvbm_chain *c);

/* register.c: Mutable to Staged to Primary or Duplicate */
u32 kvbm_stage_chunk(struct kvbm_session *ses, const u32 *ids,
		     const struct kvbm_hash *keys, const u32 *tokens,
		     const u64 *notes, u32 n, struct kvbm_step *step);
struct kvbm_claiming;
u32 kvbm_claim_chunk(struct kvbm_session *ses, const u32 *ids,
		     const struct kvbm_hash *keys, const u32 *tokens,
		     const u64 *notes, u32 n, struct kvbm_claiming *claiming,
		     struct kvbm_step *step);
u32 kvbm_unstage_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
		       struct kvbm_step *step);
u32 kvbm_register_chunk(struct kvbm_session *ses, const u32 *ids,
			const struct kvbm_hash *keys, const u64 *notes, u32 n,
			bool reject, struct kvbm_registered *out,
			struct kvbm_step *step);

/**
 * struct kvbm_alloc_ctx - an allocation in progress
 * @ses: for this session
 * @link: in its allocs, while @chain is not empty
 * @chain: blocks taken: Mutable, in no hold table yet.  Under the session's
 *	lock; whoever ends the session takes them
 * @left: still to take
 * @n: filled elements of the chunk
 * @reset_only: from the free list only, nothing is reserved
 * @evicted: bit mask of those that were evicted
 * @lost: bit mask of those released for lack of a page in the hold table
 */
struct kvbm_alloc_ctx {
	struct kvbm_session *ses;
	struct list_head link;
	struct kvbm_chain chain;
	u32 left;
	u32 n;
	bool reset_only;
	u64 evicted;
	u64 lost;
};

/* What kvbm_alloc_chunk() fills in bit by bit. */
static_assert(KVBM_CHUNK <= 64);

/* alloc.c: taking blocks */
int kvbm_alloc_begin(struct kvbm_alloc_ctx *t, struct kvbm_session *ses, u32 n,
		     bool reset_only);
void kvbm_alloc_failed(struct kvbm_session *ses, int err);
int kvbm_alloc_chunk(struct kvbm_alloc_ctx *t, struct kvbm_chunk *c);
int kvbm_alloc_results(struct kvbm_session *ses, const u32 *taken, u32 n,
		       struct kvbm_chunk *c, u64 *evicted);
void kvbm_alloc_abort(struct kvbm_alloc_ctx *t);
void kvbm_allocs_end(struct kvbm_session *ses);

/* event.c: drop the store's lock after appending to the ring of events */
void kvbm_ring_unlock(struct kvbm_store *st) __releases(&st->lock);

/* Mark in an allocation's list of blocks: this one was evicted. */
#define KVBM_TAKEN_EVICTED	0x80000000U

/* waiters.c: waiters and pollers for blocks */
int kvbm_wait_begin(struct kvbm_alloc_ctx *t, struct kvbm_session *ses, u32 n,
		    u32 ticket, bool alone, struct kvbm_waiter **wp);
int kvbm_wait_end(struct kvbm_alloc_ctx *t, struct kvbm_waiter *w, int err,
		  bool keep, bool fatal, u32 *ticket);
int kvbm_ticket_give_up(struct kvbm_session *ses, u32 ticket);
void kvbm_waiters_end(struct kvbm_session *ses);
struct kvbm_locked;
void kvbm_wake_waiters(struct kvbm_locked *l);
void kvbm_notify_work(struct work_struct *work);
void kvbm_session_look(struct kvbm_session *ses, struct kvbm_locked *l);
void kvbm_session_grown(struct kvbm_session *ses);
bool kvbm_poll_available(struct kvbm_session *ses);
void kvbm_poll_short(struct kvbm_session *ses, u32 n);
void kvbm_poll_end(struct kvbm_session *ses);
int kvbm_poll_config(struct kvbm_session *ses, u32 low_watermark);

/* hold_table.c: the hold table */
int kvbm_holds_init(struct kvbm_session *ses);
int kvbm_holds_add_page(struct kvbm_session *ses, u32 id);
void kvbm_holds_free(struct kvbm_session *ses);
u32 kvbm_holds_collect(struct kvbm_session *ses, u32 *from, bool owned,
		       u32 *ids, u32 max);
u64 kvbm_holds_memory(const struct kvbm_session *ses);
int kvbm_offered_prepare(struct kvbm_session *ses, u32 id);

/* Add the page for a block's count, unlocked: 0, or -ENOMEM. */
static inline int kvbm_holds_prepare(struct kvbm_session *ses, u32 id)
{
	if (likely(READ_ONCE(ses->table[id / KVBM_PAGE_COUNTS])))
		return 0;
	return kvbm_holds_add_page(ses, id);
}

/* The count of a block, or NULL if the table has no page for it yet. */
static inline u32 *kvbm_count(const struct kvbm_session *ses, u32 id)
{
	u32 *counts = READ_ONCE(ses->table[id / KVBM_PAGE_COUNTS]);

	if (unlikely(!counts))
		return NULL;
	return &counts[id % KVBM_PAGE_COUNTS];
}

/* How many of the holds on a block are offered; after kvbm_offered_prepare(). */
static inline u32 *kvbm_offered_count(const struct kvbm_session *ses, u32 id)
{
	return &ses->offered[id / KVBM_PAGE_COUNTS][id % KVBM_PAGE_COUNTS];
}

/* Prefetch the count of a block; without a page, a harmless hint. */
static inline void kvbm_count_prefetch(u32 *const *table, u32 id)
{
	u32 *counts = READ_ONCE(table[id / KVBM_PAGE_COUNTS]);

	prefetchw(&counts[id % KVBM_PAGE_COUNTS]);
}

/* A count leaves or reaches zero: keep the sum that reclaim uses. */
static inline void kvbm_count_first(struct kvbm_session *ses, u32 *cnt,
				    u32 value)
{
	*cnt = value;
	ses->held++;
}

static inline void kvbm_count_last(struct kvbm_session *ses, u32 *cnt)
{
	*cnt = 0;
	ses->held--;
}

/* One of the session's Duplicates keeps the Primary of this count alive. */
static inline bool kvbm_count_kept_full(u32 count)
{
	return (count & KVBM_COUNT_KEPT_MASK) == KVBM_COUNT_KEPT_MASK;
}

static inline void kvbm_count_keep(struct kvbm_session *ses, u32 *cnt)
{
	if (!*cnt)
		ses->held++;
	*cnt += KVBM_COUNT_KEPT;
}

/* The session no longer has a Duplicate. */
static inline void kvbm_count_unkeep(struct kvbm_session *ses, u32 *cnt)
{
	*cnt -= KVBM_COUNT_KEPT;
	if (!*cnt)
		ses->held--;
}

/*
 * A caller's block id after comparison with the total: speculative accesses
 * stay inside the arrays, too.
 */
static inline u32 kvbm_id_nospec(const struct kvbm_store *st, u32 id)
{
	return array_index_nospec(id, st->cfg.total);
}

/* The slot of such an id. */
static inline struct kvbm_slot *kvbm_slot_at(const struct kvbm_store *st,
					     u32 id)
{
	return &st->slots[kvbm_id_nospec(st, id)];
}

/* The count of a block that the session owns (Mutable or Staged), or NULL. */
static inline u32 *kvbm_count_owned(const struct kvbm_session *ses, u32 id)
{
	u32 *cnt;

	if (unlikely(id >= ses->store->cfg.total))
		return NULL;
	cnt = kvbm_count(ses, kvbm_id_nospec(ses->store, id));
	return cnt && *cnt == KVBM_COUNT_OWNED ? cnt : NULL;
}

/* The holds in a count of a registered block; 0 for an owned one. */
static inline u32 kvbm_count_holds(u32 count)
{
	return count & KVBM_MAX_HOLDS;
}

/* The count of a registered block that the session holds, or NULL. */
static inline u32 *kvbm_count_held(const struct kvbm_session *ses, u32 id)
{
	u32 *cnt;

	if (unlikely(id >= ses->store->cfg.total))
		return NULL;
	cnt = kvbm_count(ses, kvbm_id_nospec(ses->store, id));
	return cnt && kvbm_count_holds(*cnt) ? cnt : NULL;
}

/* Chains of slots, under the store's lock unless the chain is private. */
static inline void kvbm_chain_add(struct kvbm_store *st, struct kvbm_chain *c,
				  u32 id)
{
	st->slots[id].next = KVBM_NIL;
	if (c->len++)
		st->slots[c->tail].next = id;
	else
		c->head = id;
	c->tail = id;
}

static inline u32 kvbm_chain_pop(struct kvbm_store *st, struct kvbm_chain *c)
{
	u32 id = c->head;

	c->head = st->slots[id].next;
	c->len--;
	return id;
}

static inline u32 kvbm_slot_id(const struct kvbm_store *st,
			       const struct kvbm_slot *s)
{
	return s - st->slots;
}

/* Can a block of the store have this hash? */
static inline bool kvbm_hash_fits(const struct kvbm_store *st,
				  const struct kvbm_hash *h)
{
	return !kvbm_hash_mode(h) || (!st->cfg.opaque && kvbm_hash_valid(h));
}

/* Free and inactive blocks that are not promised to an allocation. */
static inline u32 kvbm_available(const struct kvbm_store *st)
{
	lockdep_assert_held(&st->lock);
	return st->free.len + st->nr_inactive - st->reserved;
}

/* The end of a call after which a session may hold more than before. */
static inline void kvbm_unlock_grown(struct kvbm_session *ses)
{
	if (unlikely(ses->watched))
		kvbm_session_grown(ses);
	else
		spin_unlock(&ses->lock);
}

/*
 * How many more blocks the session may hold.  The limit is checked wherever it
 * gets some: alloc.c, waiters.c, match.c, register.c, offer.c.  KVBM_MAX_HOLDS
 * is another limit: holds of one session on one block.
 */
static inline u32 kvbm_quota(const struct kvbm_session *ses)
{
	lockdep_assert_held(&ses->lock);
	return ses->max_held - min(ses->max_held, ses->held + ses->allocating);
}

/* While all blocks are promised, inactive ones count as evicted already. */
static inline bool kvbm_all_reserved(const struct kvbm_store *st)
{
	return !kvbm_available(st);
}

#endif /* KVBM_CORE_H */
