/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * claim.h - which session computes which hash; see claim.c
 */
#ifndef KVBM_CLAIM_H
#define KVBM_CLAIM_H

#include "locked.h"

/**
 * struct kvbm_claiming - preallocated claims of a batch
 * @spare: claims not used yet
 * @nr: how many
 * @states: out: enum kvbm_claim_state of the chunk's elements
 */
struct kvbm_claiming {
	struct list_head spare;
	u32 nr;
	u8 states[KVBM_CHUNK];
};

void kvbm_claiming_begin(struct kvbm_claiming *c);
int kvbm_claiming_ready(struct kvbm_claiming *c, u32 n);
void kvbm_claiming_end(struct kvbm_claiming *c);

int kvbm_claim_make(struct kvbm_session *ses, struct kvbm_claiming *c, u32 id,
		    const struct kvbm_hash *key, u32 hash);
void kvbm_claim_registered(struct kvbm_store *st, const struct kvbm_slot *s);
void kvbm_claim_forgotten(struct kvbm_store *st, const struct kvbm_hash *key,
			  u32 hash);
void kvbm_claim_dropped(struct kvbm_session *ses, const struct kvbm_slot *s);
void kvbm_claims_tell(struct kvbm_store *st);

u64 kvbm_claims_need(const struct kvbm_config *cfg);
int kvbm_claims_init(struct kvbm_store *st);
void kvbm_claims_exit(struct kvbm_store *st);

void kvbm_claims_seen(struct kvbm_store *st, const struct kvbm_chunk *c, u32 n,
		      u8 *out);
u32 kvbm_claims_first(struct kvbm_store *st, const struct kvbm_hash *keys,
		      u32 n);

/**
 * struct kvbm_claim_link - one hash of a wait or watch
 * @link: in its claim's list, until that ends; under the store's lock
 * @wait: the wait or watch
 */
struct kvbm_claim_link {
	struct list_head link;
	struct kvbm_claim_wait *wait;
};

/**
 * struct kvbm_claim_wait - a wait for claims to end, or a watch of them
 * @ses: the session
 * @link: in its list, while it waits
 * @task: the sleeper; NULL: the session's watch
 * @left: claims that have not ended
 * @over: nothing is left, or the session is dead: the sleeper continues
 * @nr: links
 * @links: one per hash
 *
 * Under the store's lock; the sleeper reads @over without it.
 */
struct kvbm_claim_wait {
	struct kvbm_session *ses;
	struct list_head link;
	struct task_struct *task;
	u32 left;
	bool over;
	u32 nr;
	struct kvbm_claim_link links[];
};

int kvbm_claim_wait_begin(struct kvbm_session *ses,
			  const struct kvbm_hash *keys, u32 n,
			  struct kvbm_claim_wait **wp);
int kvbm_claim_wait_end(struct kvbm_claim_wait *w, int err, u32 *left);
void kvbm_claim_waits_end(struct kvbm_session *ses);
int kvbm_claim_watch(struct kvbm_session *ses, const struct kvbm_hash *keys,
		     u32 n, u8 *states, u32 *pending);
void kvbm_claim_unwatch(struct kvbm_session *ses);

/* A block was registered under its hash: end the claim. */
static inline void kvbm_claim_after_register(struct kvbm_store *st,
					     const struct kvbm_slot *s)
{
	lockdep_assert_held(&st->lock);
	if (unlikely(st->claims.nr))
		kvbm_claim_registered(st, s);
}

/* A block of the session is no longer Staged, and was not registered. */
static inline void kvbm_claim_after_drop(struct kvbm_session *ses,
					 const struct kvbm_slot *s)
{
	lockdep_assert_held(&ses->store->lock);
	if (unlikely(ses->nr_claims))
		kvbm_claim_dropped(ses, s);
}

/* The end of a chunk that may have ended claims; no lock is held. */
static inline void kvbm_claims_notify(struct kvbm_store *st)
{
	/* It sees the claims that it ended itself; others handle theirs. */
	bool none = data_race(list_empty(&st->claims.ended) &&
			      list_empty(&st->claims.gone));

	if (unlikely(!none))
		kvbm_claims_tell(st);
}

#endif /* KVBM_CLAIM_H */
