// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * event.c - a ring of a store's last events
 *
 * Every change of what is registered appends to the ring, under the store's
 * lock.  Readers take no lock, and nobody waits for them: a reader copies
 * records, then checks whether the writer has overwritten them meanwhile.  The
 * next record may be half written at any time, so one of the ring's
 * records is never read.
 *
 * A reader arms the ring before it sleeps.  The writer checks that after it has
 * dropped the store's lock, so an event costs no barrier:
 *
 *	reader				writer
 *	armed = true			head = n + 1
 *	smp_mb()			smp_mb()
 *	head: sleep if none		armed: wake
 *
 * A writer that finds the ring armed disarms it, then wakes all readers;
 * readers that find nothing arm it again.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include "event.h"
#include "note.h"

static_assert(sizeof(struct kvbm_record) == 64);

/* The most bytes that kvbm_ring_init() allocates. */
u64 kvbm_ring_need(u32 records)
{
	return records ? kvbm_array_need(records, sizeof(struct kvbm_record)) +
			 PAGE_SIZE : 0;
}

/**
 * kvbm_ring_init() - create a ring for a store
 * @st: the store
 * @ring: zeroed; the caller sets ->wake
 * @records: a power of two
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_ring_init(struct kvbm_store *st, struct kvbm_ring *ring, u32 records)
{
	ring->records = kvbm_array_alloc(st, records, sizeof(*ring->records));
	if (!ring->records)
		return -ENOMEM;
	ring->mask = records - 1;
	ring->head = 1;
	kref_init(&ring->ref);
	if (st->notes)
		rcu_assign_pointer(ring->store, st);
	st->ring = ring;
	return 0;
}

void kvbm_ring_exit(struct kvbm_ring *ring)
{
	kvbm_array_free(ring->records);
}

/*
 * The first event of a lock hold: the time for all of it; 0: no ring any more.
 */
u64 kvbm_ring_begin(struct kvbm_ring *ring)
{
	if (!ring->ended)
		ring->now = ktime_get_boottime_ns();
	return ring->now;
}

/**
 * kvbm_ring_unlock() - unlock a store that has a ring
 * @st: the store
 *
 * If there were events, this wakes readers that wait for them.
 */
void kvbm_ring_unlock(struct kvbm_store *st)
	__releases(&st->lock)
{
	struct kvbm_ring *ring = st->ring;
	bool events = ring->now;

	ring->now = 0;
	spin_unlock(&st->lock);
	if (!events)
		return;
	/* Pairs with the one in kvbm_ring_ready(). */
	smp_mb();
	if (likely(!READ_ONCE(ring->armed)))
		return;
	WRITE_ONCE(ring->armed, false);
	ring->wake(ring);
}

/**
 * kvbm_ring_end() - the store is destroyed: the last event
 * @st: the store
 */
void kvbm_ring_end(struct kvbm_store *st)
{
	const struct kvbm_hash none = {};

	if (!st->ring)
		return;
	spin_lock(&st->lock);
	kvbm_event(st, KVBM_EVENT_CLEARED, KVBM_REASON_DESTROYED, KVBM_NO_BLOCK,
		   0, &none, 0);
	/* After the event: a reader that sees this sees the event. */
	smp_store_release(&st->ring->ended, true);
	kvbm_ring_unlock(st);
}

/**
 * kvbm_ring_detach() - stop looking for notes
 * @st: the store, which is about to be freed
 */
void kvbm_ring_detach(struct kvbm_store *st)
{
	if (!st->ring || !rcu_access_pointer(st->ring->store))
		return;
	RCU_INIT_POINTER(st->ring->store, NULL);
	synchronize_rcu();
}

static void copy_record(struct kvbm_event *to, const struct kvbm_record *from,
			u64 seq)
{
	u32 what = READ_ONCE(from->what);

	to->seq = seq;
	to->time_ns = READ_ONCE(from->time_ns);
	to->session = READ_ONCE(from->session);
	to->hash.hi = READ_ONCE(from->hash.hi);
	to->hash.lo = READ_ONCE(from->hash.lo);
	to->block = READ_ONCE(from->block);
	to->generation = READ_ONCE(from->generation);
	to->type = KVBM_WHAT_TYPE(what);
	to->reason = KVBM_WHAT_REASON(what);
	to->noted = 0;
	to->count = 0;
}

/* The writer has overtaken the reader: continue half a ring behind it. */
static u32 lost(struct kvbm_ring *ring, struct kvbm_cursor *c, u64 head,
		struct kvbm_event *out)
{
	u64 next = head - ring->mask / 2;

	*out = (struct kvbm_event) {
		.seq = next - 1,
		.time_ns = ktime_get_boottime_ns(),
		.block = KVBM_NO_BLOCK,
		.type = KVBM_EVENT_LOST,
		.count = next - c->next,
	};
	WRITE_ONCE(c->next, next);
	return 1;
}

/**
 * kvbm_ring_read() - read events
 * @ring: the ring
 * @c: the reader's cursor, which advances; not shared meanwhile
 * @out: array of @max
 * @max: at least 1
 *
 * Looks at no more than @max records, including types that the reader did not
 * select.
 *
 * Return: how many; 0: none of the selected types among them.
 */
u32 kvbm_ring_read(struct kvbm_ring *ring, struct kvbm_cursor *c,
		   struct kvbm_event *out, u32 max)
{
	/* Pairs with the release in kvbm_ring_append(). */
	u64 head = smp_load_acquire(&ring->head);
	u64 from = c->next, upto = min(head, from + max);
	u32 n = 0;

	if (from + ring->mask < head)
		return lost(ring, c, head, out);
	for (; from < upto; from++) {
		copy_record(&out[n], &ring->records[from & ring->mask], from);
		if (c->types & BIT(out[n].type))
			n++;
	}
	/* Pairs with smp_wmb() in kvbm_ring_append(). */
	smp_rmb();
	head = READ_ONCE(ring->head);
	if (c->next + ring->mask < head)
		return lost(ring, c, head, out);
	WRITE_ONCE(c->next, from);
	return n;
}

/* Is the block still registered under the event's generation? */
static bool note_of(struct kvbm_store *st, const struct kvbm_event *e,
		    u64 *words)
{
	return st && e->block < st->cfg.total &&
	       kvbm_note_read_gen(st, kvbm_id_nospec(st, e->block),
				  e->generation, words);
}

/**
 * kvbm_ring_notes() - append its block's note to each event
 * @ring: the ring
 * @note_bytes: of the store
 * @events: as they were read
 * @n: how many
 * @out: as many, each followed by whole words of a note
 *
 * A block has its note while it is registered under the event's generation; a
 * block that has left the store has none.
 */
void kvbm_ring_notes(struct kvbm_ring *ring, u32 note_bytes,
		     const struct kvbm_event *events, u32 n, void *out)
{
	u32 words = kvbm_note_words(note_bytes);
	const struct kvbm_event *end = events + n;
	struct kvbm_store *st;

	/* Bounded: a page of events.  Pairs with kvbm_ring_detach(). */
	rcu_read_lock();
	st = rcu_dereference(ring->store);
	for (; events < end; events++) {
		struct kvbm_event *e = out;
		u64 *note = out + sizeof(*e);

		*e = *events;
		e->noted = note_of(st, e, note);
		if (!e->noted)
			memset(note, 0, words * sizeof(*note));
		out = note + words;
	}
	rcu_read_unlock();
}

/**
 * kvbm_ring_ready() - is there anything to read?
 * @ring: the ring
 * @c: the reader's cursor
 *
 * If not, ->wake is called once there is, or may be.
 */
bool kvbm_ring_ready(struct kvbm_ring *ring, struct kvbm_cursor *c)
{
	u64 next = READ_ONCE(c->next);

	if (READ_ONCE(ring->head) > next)
		return true;
	WRITE_ONCE(ring->armed, true);
	/* Pairs with the one in kvbm_ring_unlock(). */
	smp_mb();
	if (READ_ONCE(ring->head) > next)
		return true;
	/* Pairs with the release in kvbm_ring_end(). */
	return smp_load_acquire(&ring->ended);
}
