/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * claim.h - who has announced that he computes which hash; see claim.c
 */
#ifndef KVBM_CLAIM_H
#define KVBM_CLAIM_H

#include "locked.h"

/**
 * struct kvbm_claiming - what a batch of claims has ready before it locks
 * @spare: claims made and not used yet
 * @nr: how many
 * @states: out: of the chunk's elements, enum kvbm_claim_state
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
 * struct kvbm_claim_link - one hash that is waited for, or watched
 * @link: among those of its claim, until that ends; under the store's lock
 * @wait: whose
 */
struct kvbm_claim_link {
	struct list_head link;
	struct kvbm_claim_wait *wait;
};

/**
 * struct kvbm_claim_wait - who waits for the ends of claims, or watches them
 * @ses: the session
 * @link: in its list, while it waits
 * @task: who sleeps; NULL: what the session watches
 * @left: claims that have not ended
 * @over: nothing is left, or the session is dead: the sleeper goes on
 * @nr: links
 * @links: a hash each
 *
 * Under the store's lock; the sleeper looks at @over without.
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

/* A block was registered under its hash: nobody need compute that any more. */
static inline void kvbm_claim_after_register(struct kvbm_store *st,
					     const struct kvbm_slot *s)
{
	lockdep_assert_held(&st->lock);
	if (unlikely(st->claims.nr))
		kvbm_claim_registered(st, s);
}

/* A Staged block of the session's is not any more, nor was it registered. */
static inline void kvbm_claim_after_drop(struct kvbm_session *ses,
					 const struct kvbm_slot *s)
{
	lockdep_assert_held(&ses->store->lock);
	if (unlikely(ses->nr_claims))
		kvbm_claim_dropped(ses, s);
}

/* The last of a chunk that may have ended claims; no lock is held. */
static inline void kvbm_claims_notify(struct kvbm_store *st)
{
	/* What this chunk ended, it sees; others tell of theirs. */
	if (unlikely(!data_race(list_empty(&st->claims.ended))))
		kvbm_claims_tell(st);
}

#endif /* KVBM_CLAIM_H */
