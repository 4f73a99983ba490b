// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * offer.c - handing holds from one session to another
 *
 * An offer names its giver's holds on registered blocks.  They stay the
 * giver's, in its hold table, where a bit of the count says that some of the
 * holds on that block are offered.  A second table, which only sessions with
 * offers have, says how many.  So matches and releases see the bit where they
 * leave the fast path anyway, and nobody else pays.
 *
 * The accepting session first does everything that can fail: it adds pages to
 * its hold table, checks its limits and reserves what it will hold.  Then, in
 * one hold of offers_lock, the offer becomes MOVING, and from there it always
 * completes.  Holds move up to KVBM_CHUNK at a time, under the locks of both
 * sessions: under either session's lock, each hold is in exactly one of the
 * two.
 *
 * Whoever ends one of the two sessions moves what is left before it takes
 * anything from it, concurrently with the accepting session: each step is
 * one hold of offers_lock, from where the last one ended.  A step needs no memory.
 * So no death leaves a hand-over half done, and nobody waits for anybody.
 *
 * offers_lock is the outermost spinlock.  It guards all offers of a store, and
 * allows locking two sessions, in any order.  An offer that is not DONE does
 * not keep its sessions alive: they detach from it in kvbm_offers_end().
 *
 * References: a session with holds on a block has one reference on its slot.
 * If the giver loses its last hold as the receiver gets its first one, the
 * reference passes; otherwise one is taken or dropped.  This is never the last
 * one, because the other session has one.  So no step needs the store's lock.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "locked.h"
#include "offer.h"
#include "trace.h"

static int compare(const struct kvbm_ticket *a, const struct kvbm_ticket *b)
{
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* The open offer of a ticket, or NULL; then where it would be. */
static struct kvbm_handover *find(struct kvbm_store *st,
				  const struct kvbm_ticket *ticket,
				  struct rb_node **parent,
				  struct rb_node ***place)
{
	struct rb_node **link = &st->offers.rb_node, *above = NULL;

	lockdep_assert_held(&st->offers_lock);
	while (*link) {
		struct kvbm_handover *o;
		int order;

		o = rb_entry(*link, struct kvbm_handover, node);
		order = compare(ticket, &o->ticket);
		if (!order)
			return o;
		above = *link;
		link = order < 0 ? &above->rb_left : &above->rb_right;
	}
	*parent = above;
	*place = link;
	return NULL;
}

/**
 * kvbm_offer_new() - memory for an offer, and its ticket
 * @ses: the giver
 * @n: holds, 1 to KVBM_MAX_OFFERED
 *
 * The caller fills in the blocks' ids, then calls kvbm_offer_begin().
 *
 * Return: the offer, or NULL.
 */
struct kvbm_handover *kvbm_offer_new(struct kvbm_session *ses, u32 n)
{
	struct kvbm_handover *o;

	o = kvmalloc(struct_size(o, holds, n), GFP_KERNEL_ACCOUNT |
		     __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
	if (!o)
		return NULL;
	*o = (struct kvbm_handover) {
		.ref = REFCOUNT_INIT(1),
		.giver = ses,
		.from = ses->number,
		.n = n,
	};
	INIT_LIST_HEAD(&o->link);
	INIT_LIST_HEAD(&o->to_link);
	do {
		get_random_bytes(&o->ticket, sizeof(o->ticket));
	} while (!o->ticket.hi && !o->ticket.lo);
	return o;
}

void kvbm_offer_put(struct kvbm_handover *o)
{
	if (refcount_dec_and_test(&o->ref))
		kvfree(o);
}

/* Mark one hold as offered. */
static int mark_one(struct kvbm_session *ses, struct kvbm_offered *h)
{
	u32 *cnt, *marks;

	lockdep_assert_held(&ses->lock);
	cnt = kvbm_count_held(ses, h->id);
	if (!cnt)
		return kvbm_count_owned(ses, h->id) ? -EINVAL : -EPERM;
	marks = kvbm_offered_count(ses, h->id);
	if (*marks == kvbm_count_holds(*cnt))
		return -EBUSY;
	if (ses->nr_offered == KVBM_MAX_OFFERED)
		return -EDQUOT;
	++*marks;
	*cnt |= KVBM_COUNT_OFFERED;
	ses->nr_offered++;
	/* The hold pins the block as a Duplicate, and its Primary. */
	h->kept = *cnt & KVBM_COUNT_COPY ?
		  ses->store->slots[h->id].child : KVBM_NIL;
	return 0;
}

static void unmark_one(struct kvbm_session *ses, u32 id)
{
	u32 *marks = kvbm_offered_count(ses, id);

	lockdep_assert_held(&ses->lock);
	if (!--*marks)
		*kvbm_count(ses, id) &= ~KVBM_COUNT_OFFERED;
}

/* Mark the next holds of an offer not yet published; @o->at advances. */
static int mark_some(struct kvbm_handover *o)
{
	u32 end = min(o->n, o->at + KVBM_CHUNK);
	struct kvbm_session *ses = o->giver;
	int err;

	spin_lock(&ses->lock);
	err = ses->dead;
	for (; !err && o->at < end; o->at++) {
		err = mark_one(ses, &o->holds[o->at]);
		if (err)
			break;
	}
	spin_unlock(&ses->lock);
	return err;
}

/* Undo the marks below @o->at of an offer not yet published. */
static void unmark_all(struct kvbm_handover *o)
{
	struct kvbm_session *ses = o->giver;

	while (o->at) {
		u32 n = min(o->at, KVBM_CHUNK);

		spin_lock(&ses->lock);
		ses->nr_offered -= n;
		/* The end of a session ignores marks. */
		for (; n; n--, o->at--)
			if (!ses->dead)
				unmark_one(ses, o->holds[o->at - 1].id);
		spin_unlock(&ses->lock);
		cond_resched();
	}
}

/*
 * How many blocks the receiver can come to hold: each counts once, a Duplicate
 * with its Primary.
 */
static int count_need(struct kvbm_handover *o)
{
	struct kvbm_store *st = o->giver->store;
	unsigned long *seen;
	u32 i;

	if (!st->cfg.max_held)
		return 0;
	seen = kvcalloc(BITS_TO_LONGS(st->cfg.total), sizeof(*seen),
			GFP_KERNEL_ACCOUNT);
	if (!seen)
		return -ENOMEM;
	for (i = 0; i < o->n; i++) {
		const struct kvbm_offered *h = &o->holds[i];

		if (!__test_and_set_bit(h->id, seen))
			o->need += 1 + (h->kept != KVBM_NIL);
		if (!(i % 4096))
			cond_resched();
	}
	kvfree(seen);
	return 0;
}

/* Publish it: from now on it can be accepted. */
static int publish(struct kvbm_handover *o, struct kvbm_session *to)
{
	struct kvbm_session *ses = o->giver;
	struct kvbm_store *st = ses->store;
	struct rb_node *parent, **place;
	int err;

	spin_lock(&st->offers_lock);
	/*
	 * The end of a session sets ->dead, then takes this lock: either we
	 * see that here, or it finds the offer.
	 */
	err = READ_ONCE(ses->dead);
	if (!err && ses->nr_offers == KVBM_MAX_OFFERS)
		err = -EDQUOT;
	if (!err && to && READ_ONCE(to->dead))
		err = -ENOENT;
	/* The same 128 random bits twice: does not happen. */
	if (!err && find(st, &o->ticket, &parent, &place))
		err = -EBUSY;
	if (!err) {
		o->at = 0;
		o->state = KVBM_OFFER_OPEN;
		refcount_inc(&o->ref);
		rb_link_node(&o->node, parent, place);
		rb_insert_color(&o->node, &st->offers);
		list_add_tail(&o->link, &ses->offers);
		WRITE_ONCE(ses->nr_offers, ses->nr_offers + 1);
		if (to) {
			o->direct = true;
			o->to = to;
			list_add_tail(&o->to_link, &to->offers_to);
			/* kvbm_session_poll() looks without the lock. */
			WRITE_ONCE(to->nr_offers_to, to->nr_offers_to + 1);
		}
		spin_lock(&ses->lock);
		ses->counters.offers++;
		spin_unlock(&ses->lock);
	}
	spin_unlock(&st->offers_lock);
	return err;
}

/**
 * kvbm_offer_begin() - offer holds
 * @o: from kvbm_offer_new(), the ids filled in
 * @to: the only session that may accept, or NULL; the caller keeps it alive,
 *	and wakes its pollers
 *
 * Return: 0; -EPERM, -EINVAL, -EBUSY, -EDQUOT, -ENOENT as for KVBM_IOC_OFFER;
 * -ENOMEM; -EINTR after a fatal signal; or the session's end.
 */
int kvbm_offer_begin(struct kvbm_handover *o, struct kvbm_session *to)
{
	struct kvbm_session *ses = o->giver;
	struct kvbm_store *st = ses->store;
	u32 i;
	int err;

	for (i = 0; i < o->n; i++) {
		if (o->holds[i].id >= st->cfg.total)
			return -EPERM;
		o->holds[i].id = kvbm_id_nospec(st, o->holds[i].id);
		err = kvbm_offered_prepare(ses, o->holds[i].id);
		if (err)
			return err;
		if (i % KVBM_CHUNK)
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	do {
		err = mark_some(o);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	} while (!err && o->at < o->n);
	if (!err)
		err = count_need(o);
	if (!err)
		err = publish(o, to);
	if (err)
		unmark_all(o);
	else
		trace_kvbm_offer(st, o->from, to ? to->number : 0, o->n);
	return err;
}

/* Nobody finds it any more. */
static void close_offer(struct kvbm_handover *o)
{
	struct kvbm_store *st = o->giver->store;

	lockdep_assert_held(&st->offers_lock);
	rb_erase(&o->node, &st->offers);
	if (!o->direct || !o->to)
		return;
	list_del_init(&o->to_link);
	WRITE_ONCE(o->to->nr_offers_to, o->to->nr_offers_to - 1);
}

/* The giver no longer has it. */
static void done(struct kvbm_handover *o)
{
	struct kvbm_session *ses = o->giver;

	lockdep_assert_held(&ses->store->offers_lock);
	list_del(&o->link);
	WRITE_ONCE(ses->nr_offers, ses->nr_offers - 1);
	o->state = KVBM_OFFER_DONE;
}

/**
 * kvbm_offer_find() - an offer that a session may accept
 * @ses: the session
 * @ticket: of the offer; NULL: the oldest one to @ses only
 *
 * Return: it, with a reference; ERR_PTR(-ENOENT), or -EINVAL: its own.
 */
struct kvbm_handover *kvbm_offer_find(struct kvbm_session *ses,
				      const struct kvbm_ticket *ticket)
{
	struct kvbm_store *st = ses->store;
	struct rb_node *parent, **place;
	struct kvbm_handover *o;

	spin_lock(&st->offers_lock);
	if (ticket)
		o = find(st, ticket, &parent, &place);
	else
		o = list_first_entry_or_null(&ses->offers_to,
					     struct kvbm_handover, to_link);
	if (!o || (o->direct && o->to != ses && o->giver != ses))
		o = ERR_PTR(-ENOENT);
	else if (o->giver == ses)
		o = ERR_PTR(-EINVAL);
	else
		refcount_inc(&o->ref);
	spin_unlock(&st->offers_lock);
	return o;
}

/* Both sessions' locks, under the one lock that allows it. */
static void lock_both(struct kvbm_session *giver, struct kvbm_session *to)
	__acquires(&giver->lock)
	__acquires(&to->lock)
{
	struct kvbm_store *st = giver->store;

	lockdep_assert_held(&st->offers_lock);
	/* Release both, or lockdep loses count. */
	spin_lock_nest_lock(&giver->lock, &st->offers_lock);
	spin_lock_nest_lock(&to->lock, &st->offers_lock);
}

/*
 * Can these holds be added to what the session has?  Assumes all holds that the
 * giver offers on the block, and all Duplicates that it has of a hash.
 */
static int check_some(struct kvbm_handover *o, struct kvbm_session *ses,
		      u32 from, u32 n)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_session *giver;
	int err = 0;
	u32 i;

	spin_lock(&st->offers_lock);
	if (o->state != KVBM_OFFER_OPEN) {
		spin_unlock(&st->offers_lock);
		return -ENOENT;
	}
	giver = o->giver;
	lock_both(giver, ses);
	for (i = from; i < from + n; i++) {
		const struct kvbm_offered *h = &o->holds[i];
		u32 kept, more;

		if (kvbm_count_holds(*kvbm_count(ses, h->id)) +
		    *kvbm_offered_count(giver, h->id) > KVBM_MAX_HOLDS)
			err = -EOVERFLOW;
		if (h->kept == KVBM_NIL)
			continue;
		kept = *kvbm_count(ses, h->kept) & KVBM_COUNT_KEPT_MASK;
		more = *kvbm_count(giver, h->kept) & KVBM_COUNT_KEPT_MASK;
		if (kept + more > KVBM_COUNT_KEPT_MASK)
			err = -EOVERFLOW;
	}
	spin_unlock(&ses->lock);
	spin_unlock(&giver->lock);
	spin_unlock(&st->offers_lock);
	return err;
}

/* Everything that needs memory or may fail, before anything moves. */
static int ready(struct kvbm_handover *o, struct kvbm_session *ses)
{
	u32 i, n, from;
	int err;

	for (from = 0; from < o->n; from += n) {
		n = min(o->n - from, KVBM_CHUNK);
		for (i = from; i < from + n; i++) {
			err = kvbm_holds_prepare(ses, o->holds[i].id);
			if (!err && o->holds[i].kept != KVBM_NIL)
				err = kvbm_holds_prepare(ses, o->holds[i].kept);
			if (err)
				return err;
		}
		err = check_some(o, ses, from, n);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* If several are ready, the first one gets it. */
static int commit(struct kvbm_handover *o, struct kvbm_session *ses)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_store *st = ses->store;
	int err;

	spin_lock(&st->offers_lock);
	if (o->state != KVBM_OFFER_OPEN || (o->direct && o->to != ses)) {
		spin_unlock(&st->offers_lock);
		return -ENOENT;
	}
	spin_lock(&ses->lock);
	err = ses->dead;
	if (!err && o->need > kvbm_quota(ses))
		err = -EDQUOT;
	if (!err) {
		ses->allocating += o->need;
		ses->counters.offers_accepted++;
		close_offer(o);
		o->to = ses;
		o->state = KVBM_OFFER_MOVING;
		list_add_tail(&o->to_link, &ses->accepting);
		if (unlikely(ses->watched))
			kvbm_session_look(ses, &l);
	}
	spin_unlock(&ses->lock);
	spin_unlock(&st->offers_lock);
	kvbm_unlock_notify(&l);
	return err;
}

/* One hold becomes another session's; both are locked. */
static int move_one(struct kvbm_handover *o, const struct kvbm_offered *h)
{
	struct kvbm_session *giver = o->giver, *to = o->to;
	struct kvbm_slot *s = &giver->store->slots[h->id];
	u32 *old = kvbm_count(giver, h->id);
	u32 *new = kvbm_count(to, h->id);
	bool copy = h->kept != KVBM_NIL;
	bool last = kvbm_count_holds(*old) == 1;
	bool first = !kvbm_count_holds(*new);

	lockdep_assert_held(&giver->lock);
	lockdep_assert_held(&to->lock);
	if (kvbm_count_holds(*new) == KVBM_MAX_HOLDS ||
	    (copy && first && kvbm_count_kept_full(*kvbm_count(to, h->kept))))
		return -EOVERFLOW;

	/*
	 * The other session's reference keeps refs above 0.  What the giver did
	 * under its reference comes before the drop of the last one: its lock
	 * ordered it before this, and a release orders it for later droppers.
	 */
	if (first && !last)
		atomic64_inc(&s->word);
	else if (last && !first)
		atomic64_sub_return_release(1, &s->word);

	unmark_one(giver, h->id);
	--*old;
	if (last && copy) {
		kvbm_count_last(giver, old);
		kvbm_count_unkeep(giver, kvbm_count(giver, h->kept));
	} else if (!*old) {
		giver->held--;
	}
	if (!*new)
		kvbm_count_first(to, new, copy ? KVBM_COUNT_COPY : 0);
	if (first && copy)
		kvbm_count_keep(to, kvbm_count(to, h->kept));
	++*new;
	return 0;
}

/* Nothing moves any more: drop what was reserved for it. */
static void moved(struct kvbm_handover *o)
{
	struct kvbm_session *to = o->to;

	lockdep_assert_held(&to->lock);
	list_del_init(&o->to_link);
	/* From @dead on, that is left to the task that ends it. */
	if (!to->dead)
		to->allocating -= o->need;
}

/* This many more blocks are held: do not count them twice. */
static void got_some(struct kvbm_handover *o, u32 n)
{
	struct kvbm_session *to = o->to;

	lockdep_assert_held(&to->lock);
	n = min(n, o->need);
	o->need -= n;
	if (!to->dead)
		to->allocating -= n;
}

static void move_some(struct kvbm_handover *o, u32 end, struct kvbm_locked *l)
{
	struct kvbm_session *giver = o->giver, *to = o->to;
	struct kvbm_store *st = giver->store;
	u32 from = o->at, i, held;

	lock_both(giver, to);
	held = to->held;
	for (i = from; i < end; i++) {
		kvbm_count_prefetch(giver->table, o->holds[i].id);
		kvbm_count_prefetch(to->table, o->holds[i].id);
	}
	for (; o->at < end; o->at++) {
		o->err = move_one(o, &o->holds[o->at]);
		if (o->err) {
			o->state = KVBM_OFFER_UNDOING;
			break;
		}
	}
	i = o->at - from;
	o->moved += i;
	giver->holds -= i;
	giver->nr_offered -= i;
	to->holds += i;
	got_some(o, to->held - held);
	/* kvbm_block_info() looks without the lock. */
	WRITE_ONCE(st->handed_over, st->handed_over + i);
	if (o->err || o->at == o->n)
		moved(o);
	/* A dead one's waiters are gone. */
	if (unlikely(giver->watched) && !giver->dead)
		kvbm_session_look(giver, l);
	if (unlikely(to->watched) && !to->dead)
		kvbm_session_look(to, l);
	spin_unlock(&to->lock);
	spin_unlock(&giver->lock);
}

static void undo_some(struct kvbm_handover *o, u32 end)
{
	struct kvbm_session *giver = o->giver;

	spin_lock(&giver->lock);
	giver->nr_offered -= end - o->at;
	for (; o->at < end; o->at++)
		if (!giver->dead)
			unmark_one(giver, o->holds[o->at].id);
	spin_unlock(&giver->lock);
}

/* The next step of an offer that is MOVING or UNDOING; it may be DONE then. */
static void go_on(struct kvbm_handover *o, struct kvbm_locked *l)
{
	u32 end = min(o->n, o->at + KVBM_CHUNK);

	lockdep_assert_held(&o->giver->store->offers_lock);
	if (o->state == KVBM_OFFER_MOVING)
		move_some(o, end, l);
	else
		undo_some(o, end);
	if (o->at == o->n)
		done(o);
}

/* One hold of the lock; true: more to do.  The caller has a reference. */
static bool finish_some(struct kvbm_store *st, struct kvbm_handover *o)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	bool was_done;

	spin_lock(&st->offers_lock);
	was_done = o->state == KVBM_OFFER_DONE;
	if (!was_done)
		go_on(o, &l);
	if (!was_done && o->state == KVBM_OFFER_DONE) {
		/* The giver's reference; the caller has another one. */
		kvbm_offer_put(o);
		was_done = true;
	}
	spin_unlock(&st->offers_lock);
	kvbm_unlock_notify(&l);
	return !was_done;
}

/**
 * kvbm_offer_accept() - take over offered holds
 * @o: from kvbm_offer_find()
 * @ses: the session
 * @done: out: holds that are now its own
 *
 * Return: 0: all of @o->n are; or none: -ENOENT, -EDQUOT, -EOVERFLOW, -ENOMEM,
 * -EINTR after a fatal signal, or the session's end.  -EOVERFLOW with @done above
 * 0: that many are, see KVBM_IOC_ACCEPT.
 */
int kvbm_offer_accept(struct kvbm_handover *o, struct kvbm_session *ses,
		      u32 *done)
{
	int err;

	*done = 0;
	err = ready(o, ses);
	if (!err)
		err = commit(o, ses);
	if (err)
		return err;
	/* At most KVBM_MAX_OFFERED, so fatal signals can wait. */
	while (finish_some(ses->store, o))
		cond_resched();
	*done = o->moved;
	trace_kvbm_accept(ses->store, ses->number, o->from, o->moved);
	return o->err;
}

/**
 * kvbm_offer_withdraw() - withdraw an offer
 * @ses: its giver
 * @ticket: names it
 * @done: out: holds that are ordinary ones again
 *
 * Return: 0; -ENOENT: there is none, or all of it has moved; or the
 * session's end.
 */
int kvbm_offer_withdraw(struct kvbm_session *ses,
			const struct kvbm_ticket *ticket, u32 *done)
{
	struct kvbm_handover *o, *found = NULL;
	struct kvbm_store *st = ses->store;
	int err;

	*done = 0;
	spin_lock(&st->offers_lock);
	/* At most KVBM_MAX_OFFERS. */
	list_for_each_entry(o, &ses->offers, link)
		if (!compare(ticket, &o->ticket))
			found = o;
	if (found) {
		refcount_inc(&found->ref);
		if (found->state == KVBM_OFFER_OPEN) {
			close_offer(found);
			found->state = KVBM_OFFER_UNDOING;
		}
	}
	err = READ_ONCE(ses->dead);
	spin_unlock(&st->offers_lock);
	if (!found)
		return err ?: -ENOENT;
	while (finish_some(st, found))
		cond_resched();
	err = READ_ONCE(ses->dead);
	if (!err) {
		*done = found->n - found->moved;
		err = *done ? 0 : -ENOENT;
	}
	if (!err)
		trace_kvbm_withdraw(st, ses->number, 0, *done);
	kvbm_offer_put(found);
	return err;
}

/* The next step for an ending session; false: nothing is left. */
static bool end_some(struct kvbm_session *ses)
{
	struct kvbm_handover *o, *over = NULL;
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_store *st = ses->store;
	bool more = true;

	spin_lock(&st->offers_lock);
	o = list_first_entry_or_null(&ses->accepting, struct kvbm_handover,
				     to_link);
	if (!o)
		o = list_first_entry_or_null(&ses->offers,
					     struct kvbm_handover, link);
	if (o && o->state == KVBM_OFFER_OPEN) {
		close_offer(o);
		spin_lock(&ses->lock);
		ses->nr_offered -= o->n;
		spin_unlock(&ses->lock);
		done(o);
	} else if (o) {
		go_on(o, &l);
	} else {
		o = list_first_entry_or_null(&ses->offers_to,
					     struct kvbm_handover, to_link);
		more = o;
	}
	if (o && o->state == KVBM_OFFER_DONE) {
		over = o;
	} else if (o && o->state == KVBM_OFFER_OPEN) {
		/* Offers to this session: nobody can accept them any more. */
		list_del_init(&o->to_link);
		WRITE_ONCE(ses->nr_offers_to, ses->nr_offers_to - 1);
		o->to = NULL;
	}
	spin_unlock(&st->offers_lock);
	kvbm_unlock_notify(&l);
	if (over)
		kvbm_offer_put(over);
	return more;
}

/**
 * kvbm_offers_end() - end a session's offers, and finish what it is accepting
 * @ses: the session, dead; nothing has been taken from it yet
 */
void kvbm_offers_end(struct kvbm_session *ses)
{
	while (end_some(ses))
		cond_resched();
}
