/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * event.h - a ring of a store's last events
 */
#ifndef KVBM_EVENT_H
#define KVBM_EVENT_H

#include <linux/kref.h>
#include "core.h"

/* An event in the ring: a cache line.  Its position gives its number. */
struct kvbm_record {
	u64 time_ns;
	u64 session;
	struct kvbm_hash hash;
	u32 block;
	u32 generation;
	u32 what;			/* KVBM_EVENT_WHAT() */
} __aligned(64);

/**
 * struct kvbm_ring - a store's last events
 * @records: event n is at n & @mask
 * @mask: records, less one
 * @head: the next event's number; written under the store's lock
 * @now: time of this lock hold's events, 0: none yet; under the store's lock
 * @armed: a reader waits for the next event
 * @ended: the store is destroyed, there are no further events
 * @store: the store with the notes; NULL: it is gone, or has none
 * @ref: the store's, and one per reader: a reader does not keep the store
 * @wake: there are events, and a reader waits; called without locks
 */
struct kvbm_ring {
	struct kvbm_record *records;
	u64 mask;
	u64 head;
	u64 now;
	bool armed;
	bool ended;
	struct kvbm_store __rcu *store;
	struct kref ref;
	void (*wake)(struct kvbm_ring *ring);
};

/**
 * struct kvbm_cursor - a reader's position
 * @next: number of the next event to read
 * @types: bit KVBM_EVENT_*: the types it selected
 */
struct kvbm_cursor {
	u64 next;
	u32 types;
};

u64 kvbm_ring_need(u32 records);
int kvbm_ring_init(struct kvbm_store *st, struct kvbm_ring *ring, u32 records);
void kvbm_ring_exit(struct kvbm_ring *ring);
void kvbm_ring_end(struct kvbm_store *st);
void kvbm_ring_detach(struct kvbm_store *st);
void kvbm_ring_notes(struct kvbm_ring *ring, u32 note_bytes,
		     const struct kvbm_event *events, u32 n, void *out);
u32 kvbm_ring_read(struct kvbm_ring *ring, struct kvbm_cursor *c,
		   struct kvbm_event *out, u32 max);
bool kvbm_ring_ready(struct kvbm_ring *ring, struct kvbm_cursor *c);
u64 kvbm_ring_begin(struct kvbm_ring *ring);

#define KVBM_EVENT_WHAT(type, reason)	((type) | (u32)(reason) << 16)
#define KVBM_WHAT_TYPE(what)		((what) & 0xffff)
#define KVBM_WHAT_REASON(what)		((what) >> 16)

/**
 * kvbm_ring_append() - append an event
 * @st: the store, locked
 * @ring: its ring
 * @what: KVBM_EVENT_WHAT(enum kvbm_event_type, enum kvbm_reason)
 * @id: block
 * @gen: its generation
 * @key: its hash
 * @session: number of the session that did it, or 0
 *
 * Inline: a call would double what an event costs.
 */
static inline void kvbm_ring_append(struct kvbm_store *st,
				    struct kvbm_ring *ring, u32 what, u32 id,
				    u32 gen, const struct kvbm_hash *key,
				    u64 session)
{
	struct kvbm_record *e;
	u64 n, now = ring->now;

	lockdep_assert_held(&st->lock);
	if (unlikely(!now)) {
		now = kvbm_ring_begin(ring);
		if (!now)
			return;
	}
	n = ring->head;
	e = &ring->records[n & ring->mask];
	/* Pairs with smp_rmb() in kvbm_ring_read(): @head comes before this. */
	smp_wmb();
	WRITE_ONCE(e->time_ns, now);
	WRITE_ONCE(e->session, session);
	WRITE_ONCE(e->hash.hi, key->hi);
	WRITE_ONCE(e->hash.lo, key->lo);
	WRITE_ONCE(e->block, id);
	WRITE_ONCE(e->generation, gen);
	WRITE_ONCE(e->what, what);
	/* Pairs with the acquire in kvbm_ring_read(). */
	smp_store_release(&ring->head, n + 1);
}

/* Report an event of a block, under the store's lock. */
static inline void kvbm_event(struct kvbm_store *st, enum kvbm_event_type type,
			      enum kvbm_reason reason, u32 id, u32 gen,
			      const struct kvbm_hash *key, u64 session)
{
	struct kvbm_ring *ring = st->ring;

	if (likely(!ring))
		return;
	kvbm_ring_append(st, ring, KVBM_EVENT_WHAT(type, reason), id,
			 gen, key, session);
	/* Otherwise gcc makes stores without events pay for its registers. */
	barrier();
}

#endif /* KVBM_EVENT_H */
