/* SPDX-License-Identifier: MIT */
/*
 * Reference model of a store: the contract, written down as plainly as
 * possible. Single-threaded, arrays and linear scans only. It shares no code
 * and no header with the module, so that one reading of the contract checks
 * another.
 *
 * Functions work on one block each, unless they say otherwise, and return 0 or
 * a negative errno. A call that fails has changed nothing.
 */
#ifndef KVBM_MODEL_H
#define KVBM_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define M_MAX_SESSIONS	16
#define M_HOLD_LIMIT	1048575u	/* holds of one block by one session */
#define M_POSITION_MAX	((1u << 24) - 1)
#define M_TOTAL_MAX	(16u << 20)
#define M_BLOCK_SIZE_MAX	(1u << 20)	/* tokens */
#define M_NONE		UINT32_MAX	/* no block */
#define M_TIME_BEGIN	(1ull << 40)	/* where the clock begins, ns */

/* ---- hashes (model_hash.c) ---- */

struct m_hash {
	uint64_t hi, lo;
};

/* What children call a block: its position and the low bits of its hash. */
struct m_key {
	uint32_t position;
	uint64_t fragment;
};

struct m_hash m_hash_pack(uint64_t current, uint64_t parent, uint32_t position);
bool m_hash_valid(struct m_hash h);
bool m_hash_equal(struct m_hash a, struct m_hash b);
uint32_t m_hash_position(struct m_hash h);
uint64_t m_hash_current(struct m_hash h);
uint64_t m_hash_parent(struct m_hash h);
unsigned int m_parent_width(uint32_t position);
struct m_key m_hash_node_key(struct m_hash h);
bool m_hash_parent_key(struct m_hash h, struct m_key *key);
bool m_key_equal(struct m_key a, struct m_key b);

/* ---- frequency (model_sketch.c) ---- */

struct m_count {
	struct m_hash hash;
	uint8_t count;		/* 0: entry not used */
};

struct m_sketch {
	uint64_t capacity;	/* 0: no tracking */
	uint64_t counted;
	struct m_count *table;	/* open addressing, a power of two */
	uint32_t size, used;
};

void m_sketch_init(struct m_sketch *k, uint64_t capacity);
void m_sketch_exit(struct m_sketch *k);
void m_sketch_touch(struct m_sketch *k, struct m_hash h);
unsigned int m_sketch_read(const struct m_sketch *k, struct m_hash h);

/* ---- eviction indexes (model_evict.c) ---- */

enum m_policy {
#define KVBM_POLICY(name)	M_##name,
#include "policies.def"
	M_POLICIES
};

extern const char *const m_policy_name[M_POLICIES];

/* An idle block of the three policies without a tree. */
struct m_idle {
	bool in;
	unsigned int list;	/* multi_lru: 0..3, else 0 */
	uint64_t seq;		/* when it became inactive */
};

/* A node of the tree: an idle block, or a placeholder. */
struct m_node {
	bool used;
	bool twin;		/* the key's children hang under another node */
	bool leaf;
	uint32_t block;		/* M_NONE: placeholder */
	uint32_t stands_for;	/* placeholder: the block it came from or M_NONE */
	struct m_key key;
	int parent;		/* upward link: node number or -1 */
	uint32_t children;
	uint64_t tick;		/* when the block became inactive */
	uint64_t leaf_seq;	/* when it last became a leaf */
};

struct m_index {
	enum m_policy policy;
	uint32_t total, len;
	uint64_t seq;
	struct m_idle *idle;
	struct m_node *node;
	int n_nodes;
};

void m_index_init(struct m_index *x, enum m_policy policy, uint32_t total);
void m_index_exit(struct m_index *x);
/* A block becomes inactive. list: for multi_lru. */
void m_index_insert(struct m_index *x, uint32_t block, struct m_hash h,
		    unsigned int list);
/* An inactive block is held again. */
void m_index_remove(struct m_index *x, uint32_t block);
/* An inactive block becomes the newest; the tree stays as it is. */
void m_index_touch(struct m_index *x, uint32_t block, unsigned int list);
/* The block that goes next leaves the index for good. rank: of each block. */
uint32_t m_index_pop(struct m_index *x, const uint8_t *rank);
/* The hash of a block that is not inactive leaves the store. */
void m_index_forget(struct m_index *x, uint32_t block);
bool m_index_has(const struct m_index *x, uint32_t block);
void m_index_check(const struct m_index *x);
void m_index_dump(const struct m_index *x, FILE *out);

/* ---- the store (model.c) ---- */

enum m_state {
	M_RESET,
	M_MUTABLE,
	M_STAGED,
	M_PRIMARY,
	M_DUPLICATE,
	M_INACTIVE,
	M_FORGOTTEN = 7		/* held, and found by nobody */
};

enum m_dup {
	M_DUP_DEFAULT,		/* what the store says */
	M_DUP_ALLOW,
	M_DUP_REJECT
};

enum m_kind {
	M_KIND_PRIMARY,
	M_KIND_DUP,
	M_KIND_DEDUP
};

enum m_presence {
	M_ABSENT,
	M_IDLE,
	M_ACTIVE,
	M_PENDING
};

enum m_rank {
	M_RANK_FIRST,
	M_RANK_NORMAL,
	M_RANK_HIGH,
	M_RANK_KEEP
};

enum m_kept {
	M_KEPT,
	M_KEEP_ABSENT,
	M_KEEP_DENIED,
	M_KEEP_FULL
};

enum m_claim {
	M_CLAIMED,
	M_CLAIM_PENDING,
	M_CLAIM_PRESENT
};

struct m_config {
	uint32_t total;
	uint32_t block_size;
	enum m_policy policy;
	enum m_dup dup;			/* M_DUP_DEFAULT means allow */
	bool reset;			/* default of the reset-on-release flag */
	uint64_t frequency;		/* capacity, 0: no tracking */
	uint8_t thresholds[3];		/* all 0: 3/8/15 */
	uint32_t hold_limit;		/* 0: M_HOLD_LIMIT */
	uint32_t max_held;		/* blocks a session may keep, 0: any */
	uint32_t keep_blocks;		/* raised at once; 0: no ranks */
	uint32_t keep_user_blocks;	/* by one user */
	bool one_owner;			/* all sessions are the owner's */
	bool notes;			/* blocks have notes */
};

struct m_slot {
	enum m_state state;
	struct m_hash hash;		/* Staged and registered */
	uint32_t generation;
	bool reset;
	int owner;			/* Mutable, Staged: session */
	uint32_t epoch;			/* Mutable, Staged: when allocated */
	bool claimed;			/* Staged: its hash, by this block */
	uint64_t note;			/* Staged and Primary: 0 if not given */
	uint32_t primary;		/* Duplicate: whom it keeps alive */
	uint32_t keepalives;		/* Primary: its Duplicates */
	uint32_t holds[M_MAX_SESSIONS];
	uint32_t offered[M_MAX_SESSIONS];	/* of these, in the session's offer */
	enum m_rank rank;
	uint64_t until;			/* of the rank, units; 0: for good */
	int payer;			/* user, or -1 */
};

struct m_offer {
	uint32_t number;
	int giver;
	uint32_t n;			/* holds */
	uint32_t *ids;
};

struct m_stats {
#define KVBM_STATS_CONTRACT
#define KVBM_STAT(name, help) uint64_t name;
#include "stats.def"
};

struct m_forgotten {
	uint32_t idle, held;
};

struct m_weak {
	uint32_t id;
	uint32_t generation;
	struct m_hash hash;
};

struct m_info {
	enum m_state state;
	struct m_hash hash;	/* zero: Reset, Mutable, another's Staged */
	uint32_t generation;
	bool reset;
	uint64_t holds;		/* all sessions and keep-alives; an owner is one */
	uint64_t own;
	enum m_rank rank;
	uint64_t until_ns;	/* 0: for good */
	uint64_t note;		/* a Duplicate has its Primary's */
};

struct model {
	struct m_config cfg;
	struct m_slot *slot;
	uint32_t *free;		/* free list, head first */
	uint32_t n_free;
	struct m_index index;
	struct m_sketch sketch;
	struct m_stats count;	/* the gauges in here stay 0 */
	uint32_t epoch;		/* all was forgotten so many times */
	bool open[M_MAX_SESSIONS];
	struct m_offer *offer;	/* those that are open, in order */
	uint32_t n_offers, offers_made;
	uint64_t now_ns;	/* moved by the model's user */
	uint8_t *rank;		/* for a pop */
};

#define M_TOKENS_NONE	UINT32_MAX	/* stage: no token count carried */

struct model *model_new(const struct m_config *cfg, int *err);
void model_free(struct model *m);

/* Sessions have numbers below M_MAX_SESSIONS, which the caller chooses. */
int m_session_open(struct model *m, int s);
/* Gives back all it holds; returns how many holds that were. */
uint64_t m_session_close(struct model *m, int s);

/* All or nothing; ids and evicted have n entries. */
int m_allocate(struct model *m, int s, uint32_t n, uint32_t *ids,
	       struct m_hash *evicted, uint32_t *n_evicted);
uint32_t m_allocate_reset(struct model *m, int s, uint32_t n, uint32_t *ids);
int m_stage(struct model *m, int s, uint32_t id, struct m_hash h,
	    uint32_t tokens);
int m_claim(struct model *m, int s, uint32_t id, struct m_hash h,
	    enum m_claim *what);
int m_unstage(struct model *m, int s, uint32_t id);
/* Of a block that was just staged, or became Primary. */
void m_give_note(struct model *m, uint32_t id, uint64_t note);
int m_register(struct model *m, int s, uint32_t id, enum m_dup dup,
	       enum m_kind *kind, uint32_t *held);
int m_stage_register(struct model *m, int s, uint32_t id, struct m_hash h,
		     enum m_dup dup, enum m_kind *kind, uint32_t *held);
/* Whole queries; *done is how many blocks are held, also on error. */
int m_match(struct model *m, int s, const struct m_hash *h, uint32_t n,
	    uint32_t *ids, uint32_t *done);
/* ids[i] = M_NONE for a miss; *done is how many hashes were looked at. */
int m_scan(struct model *m, int s, const struct m_hash *h, uint32_t n,
	   bool touch, uint32_t *ids, uint32_t *done);
int m_release(struct model *m, int s, uint32_t id);
int m_retain(struct model *m, int s, uint32_t id);
/* All or nothing. Offers have numbers, which are never used again. */
int m_offer(struct model *m, int s, const uint32_t *ids, uint32_t n,
	    uint32_t *offer);
/* All or nothing; ids has an entry for each offered hold. */
int m_accept(struct model *m, int s, uint32_t offer, uint32_t *ids,
	     uint32_t *done);
int m_withdraw(struct model *m, int s, uint32_t offer, uint32_t *done);
/* The newest of the session's that is open, or M_NONE. */
uint32_t m_open_offer(const struct model *m, int s);
int m_set_reset(struct model *m, int s, uint32_t id, bool on);
int m_weak(const struct model *m, int s, uint32_t id, struct m_weak *w);
/* *id = M_NONE when nothing is left to hold. */
int m_upgrade(struct model *m, int s, const struct m_weak *w, uint32_t *id);
uint32_t m_reset_inactive(struct model *m, bool *all);
/* Adds the forgotten blocks to *f. */
void m_invalidate(struct model *m, struct m_hash h, struct m_forgotten *f);
/* And all that descends from it. */
int m_invalidate_prefix(struct model *m, struct m_hash h,
			struct m_forgotten *f);
/* Everything; what is allocated cannot be staged or registered any more. */
void m_invalidate_all(struct model *m, struct m_forgotten *f);
enum m_presence m_presence(const struct model *m, struct m_hash h);
enum m_presence m_pending(const struct model *m, struct m_hash h);
int m_get_info(const struct model *m, int s, uint32_t id, struct m_info *info);
void m_touch(struct model *m, struct m_hash h);
/* The same, and what is idle becomes the newest. */
void m_newest(struct model *m, struct m_hash h);
/* Who sessions are: a few users; the first session is an administrator's. */
int m_user(int s);
bool m_admin(int s);
/* Ranks: until_ns 0 is for good. */
int m_keep_id(struct model *m, int s, uint32_t id, enum m_rank rank,
	      uint64_t until_ns, enum m_kept *what);
void m_keep_hash(struct model *m, int s, struct m_hash h, enum m_rank rank,
		 uint64_t until_ns, enum m_kept *what);
unsigned int m_frequency(const struct model *m, struct m_hash h);
void m_get_stats(const struct model *m, struct m_stats *st);
uint32_t m_registered(const struct model *m);

uint64_t m_holds(const struct model *m, uint32_t id);
bool m_owns(const struct model *m, int s, uint32_t id, enum m_state state);
/* Blocks that a session keeps from others, each once. */
uint32_t m_kept(const struct model *m, int s);
/* Aborts when an invariant of the contract does not hold. */
void model_check(const struct model *m);

/* Like assert(), but never compiled out. */
#define M_ASSERT(cond) \
	do { \
		if (!(cond)) \
			m_broken(__FILE__, __LINE__, #cond); \
	} while (0)
_Noreturn void m_broken(const char *file, int line, const char *what);

#endif
