// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * match.c - references to registered blocks: match, scan, upgrade, retain
 *
 * A session has one reference to a block, however many holds it has: its second
 * hold increments a count in its own table.  The first takes a reference on the
 * slot:
 *
 *	without the store's lock, if others hold the block already (PRIMARY,
 *	refs > 0): look up, read the word, compare the key, change the
 *	word to refs + 1.  If that succeeds from the generation that was
 *	read, in state PRIMARY, before the key was compared, it is the right
 *	block: the key of a registered generation does not change.
 *
 *	under the lock otherwise: an inactive block leaves the eviction index.
 *
 * The session's lock is held throughout, so a count above zero means that
 * the block stays registered: it needs no second look.
 */
#include "index.h"
#include "locked.h"
#include "sketch.h"
#include "trace.h"

/**
 * kvbm_get_locked() - take a reference on a registered block
 * @st: the store, locked
 * @s: a PRIMARY or DUPLICATE slot
 *
 * Return: false if it is inactive and promised to an allocation, thus gone.
 */
bool kvbm_get_locked(struct kvbm_store *st, struct kvbm_slot *s)
{
	u64 w = kvbm_slot_word(s);

	lockdep_assert_held(&st->lock);
	if (kvbm_w_refs(w)) {
		/* Others change refs meanwhile, but 1 -> 0 needs the lock. */
		atomic64_inc(&s->word);
		return true;
	}
	if (kvbm_all_reserved(st))
		return false;
	st->cfg.policy->remove(st, kvbm_slot_id(st, s));
	st->nr_inactive--;
	kvbm_index_busy(st, s);
	st->nr_held++;
	/* Only the lock's holder changes it from 0. */
	atomic64_set(&s->word, w + 1);
	return true;
}

/*
 * Take a reference on an active block without the lock, if it still has the
 * generation and state of @w; pairs with put_unlocked.
 */
static __always_inline bool get_unlocked(struct kvbm_slot *s, u64 w)
{
	const u64 was = w;

	do {
		/* If it did not change, one comparison less. */
		if (unlikely(!kvbm_w_active(w) ||
			     (w != was && kvbm_w_tag(w) != kvbm_w_tag(was))))
			return false;
	} while (unlikely(!atomic64_try_cmpxchg_acquire(&s->word, &w, w + 1)));
	return true;
}

/**
 * struct holding - how far a chunk of holds got
 * @i: the next element
 * @fresh: first holds of the session among the elements before
 * @missed: misses among the elements before (scan)
 */
struct holding {
	u32 i;
	u32 fresh;
	u32 missed;
};

/* If one block of a chunk is inactive, the others mostly are. */
static void prefetch_idle(struct kvbm_store *st, const struct kvbm_chunk *c, u32 i,
			  u32 n)
{
	u32 ids[KVBM_CHUNK] __uninitialized;
	u32 idle = 0;

	if (!st->cfg.policy->prefetch_for)
		return;
	for (; i < n; i++)
		if (c->ids[i] < KVBM_FIND_MORE &&
		    !kvbm_w_refs(kvbm_slot_word(&st->slots[c->ids[i]])))
			ids[idle++] = c->ids[i];
	st->cfg.policy->prefetch_for(st, ids, idle, KVBM_PREFETCH_REMOVE);
}

/* The slot of an element of a prepared chunk; under the lock it is exact. */
static struct kvbm_slot *find_locked(struct kvbm_store *st,
				     const struct kvbm_chunk *c, u32 i,
				     const bool scan)
{
	struct kvbm_slot *s;

	lockdep_assert_held(&st->lock);
	if (likely(c->ids[i] < KVBM_FIND_MORE)) {
		s = &st->slots[c->ids[i]];
		if (likely(kvbm_w_state(kvbm_slot_word(s)) ==
			   KVBM_STATE_PRIMARY && kvbm_slot_is(s, &c->keys[i])))
			return s;
	} else if (scan && c->ids[i] == KVBM_FIND_NONE) {
		return NULL;
	}
	return kvbm_index_find(st, &c->keys[i], c->hash[i]);
}

/*
 * The rest of a prepared chunk, starting with a block that is inactive, or was
 * recycled since the lookup.
 */
static noinline_for_stack void
hold_locked(struct kvbm_session *ses, struct kvbm_chunk *c, u32 n, u32 room,
	    const bool scan, struct holding *h, struct kvbm_step *step)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_store *st = ses->store;

	prefetch_idle(st, c, h->i, n);
	for (; h->i < n && kvbm_lock_store(&l); h->i++) {
		struct kvbm_slot *s = find_locked(st, c, h->i, scan);
		u32 id, *cnt;

		if (!s)
			goto miss;
		id = kvbm_slot_id(st, s);
		c->ids[h->i] = id;
		cnt = kvbm_count(ses, id);
		if (unlikely(!cnt)) {
			step->page_of = id;
			break;
		}
		if (kvbm_count_holds(*cnt)) {
			if (kvbm_count_holds(*cnt) == KVBM_MAX_HOLDS) {
				step->err = -EOVERFLOW;
				break;
			}
			++*cnt;
			continue;
		}
		if (unlikely(h->fresh == room && !*cnt)) {
			step->err = -EDQUOT;
			break;
		}
		if (likely(kvbm_get_locked(st, s))) {
			h->fresh += !*cnt;
			++*cnt;
			continue;
		}
miss:
		if (!scan) {
			step->stop = true;
			break;
		}
		c->ids[h->i] = KVBM_NO_BLOCK;
		h->missed++;
	}
	kvbm_unlock_store(&l);
	step->prune = l.prune;
}

/*
 * A chunk is looked up in overlapping steps: while the elements of one group
 * are compared, the slots of the next group and the lines of the one after that
 * are being prefetched.  A call that misses at once should not pay for that: it
 * begins after the first FIRST_LINES lines were checked.
 */
#define FIND_GROUP	16
#define FIRST_LINES	8

/* How far the steps have got. */
struct looking {
	u32 lines;
	u32 slots;
};

static __always_inline void find_upto(const struct kvbm_finding *f,
				      struct kvbm_chunk *c, u32 lines,
				      u32 slots, struct looking *at)
{
	for (; at->lines < lines; at->lines++)
		kvbm_find_line(f, c, at->lines);
	for (; at->slots < slots; at->slots++)
		kvbm_find_slot(f, c, at->slots);
}

/* Begin; false: an early miss, where the match probably ends. */
static __always_inline bool find_first(const struct kvbm_finding *f,
				       struct kvbm_chunk *c, u32 n,
				       const bool scan, struct looking *at)
{
	u32 i, first = min_t(u32, n, FIRST_LINES);

	find_upto(f, c, first, first, at);
	for (i = 0; i < first && !scan; i++)
		if (unlikely(c->ids[i] == KVBM_FIND_NONE))
			return false;
	return true;
}

/* How the lock-free part of a chunk ends. */
enum held { HELD_ALL, HELD_MISS, HELD_NO_PAGE, HELD_SLOW };

/*
 * Hold elements [h->i, @end) of a chunk as far as no lock is needed.
 *
 * Each is held before the next one is compared with its key, so when a match
 * stops, all blocks before are held: it stops at the first miss of one moment.
 * A line may have been checked before that moment, so a key that had no
 * candidate there is looked up again.
 */
static __always_inline enum held
hold_unlocked(struct kvbm_store *st, const struct kvbm_finding *f,
	      struct kvbm_chunk *c, u32 end, const bool scan, struct holding *h)
{
	const struct kvbm_hash *key = &c->keys[h->i];
	struct kvbm_slot *slots = f->slots;
	enum held how = HELD_ALL;
	u32 fresh = h->fresh;
	u32 i;

	for (i = h->i; i < end; i++, key++) {
		u32 id = c->ids[i], count, *cnt;
		u64 w;

		if (unlikely(!kvbm_index_is_at(slots, key, id, &w))) {
			if ((id == KVBM_FIND_NONE && (scan || !i)) ||
			    !kvbm_index_find_again(st, c, i, !scan && i, &id,
						   &w)) {
				if (!scan) {
					how = HELD_MISS;
					break;
				}
				c->ids[i] = KVBM_NO_BLOCK;
				h->missed++;
				continue;
			}
			c->ids[i] = id;
		}
		cnt = f->table[id / KVBM_PAGE_COUNTS];
		if (unlikely(!cnt)) {
			how = HELD_NO_PAGE;
			break;
		}
		cnt += id % KVBM_PAGE_COUNTS;
		count = *cnt;
		/* Held throughout, so registered while the key was compared. */
		if (count - 1 < KVBM_MAX_HOLDS - 1) {
			*cnt = count + 1;
			continue;
		}
		if (unlikely(count || !get_unlocked(&slots[id], w))) {
			how = HELD_SLOW;
			break;
		}
		*cnt = 1;
		fresh++;
	}
	h->i = i;
	h->fresh = fresh;
	return how;
}

/* The same for the whole chunk; HELD_SLOW: all of it has been looked up. */
static __always_inline enum held
hold_groups(struct kvbm_store *st, const struct kvbm_finding *f,
	    struct kvbm_chunk *c, u32 n, const bool scan, const bool slow,
	    struct holding *h)
{
	enum held how = slow ? HELD_SLOW : HELD_ALL;
	struct looking at = {};
	bool go_on;

	go_on = find_first(f, c, n, scan, &at);
	while (how == HELD_ALL && h->i < n) {
		u32 end = h->i + FIND_GROUP;

		if (likely(go_on))
			find_upto(f, c, min(n, end + 2 * FIND_GROUP),
				  min(n, end + FIND_GROUP), &at);
		go_on = true;
		how = hold_unlocked(st, f, c, min(at.slots, end), scan, h);
	}
	if (how == HELD_SLOW)
		find_upto(f, c, n, n, &at);
	return how;
}

/*
 * hold_unlocked() stops at a block that the session's own Duplicates keep
 * alive, so its key did not change since the comparison: hold it, and continue.
 */
static noinline_for_stack enum held
hold_kept(struct kvbm_session *ses, struct kvbm_chunk *c, u32 end,
	  const bool scan, struct holding *h)
{
	const struct kvbm_finding f =
		kvbm_finding_init(ses->store, ses->table);
	struct kvbm_store *st = ses->store;
	enum held how = HELD_SLOW;

	lockdep_assert_held(&ses->lock);
	while (how == HELD_SLOW) {
		u32 id = c->ids[h->i], count, *cnt;

		cnt = kvbm_count(ses, id);
		count = *cnt;
		if (!(count & KVBM_COUNT_KEPT_MASK) ||
		    kvbm_count_holds(count) == KVBM_MAX_HOLDS)
			break;
		if (!kvbm_count_holds(count) &&
		    !get_unlocked(&st->slots[id],
				  kvbm_slot_word(&st->slots[id])))
			break;
		*cnt = count + 1;
		h->i++;
		how = hold_unlocked(st, &f, c, end, scan, h);
	}
	return how;
}

static __always_inline u32 hold_chunk(struct kvbm_session *ses,
				      struct kvbm_chunk *c, u32 n,
				      const bool scan, u32 *hits,
				      struct kvbm_step *step)
{
	const struct kvbm_finding f =
		kvbm_finding_init(ses->store, ses->table);
	struct holding h = {};
	enum held how;
	u32 room;

	lockdep_assert_held(&ses->lock);
	room = kvbm_quota(ses);
	/* Near the session's limit, check each one under the lock. */
	how = hold_groups(ses->store, &f, c, n, scan, room < n, &h);
	if (unlikely(how == HELD_SLOW) && room >= n)
		how = hold_kept(ses, c, n, scan, &h);
	if (how == HELD_SLOW)
		hold_locked(ses, c, n, room, scan, &h, step);
	else if (how == HELD_MISS)
		step->stop = true;
	else if (how == HELD_NO_PAGE)
		step->page_of = c->ids[h.i];
	ses->held += h.fresh;
	ses->holds += h.i - h.missed;
	*hits = h.i - h.missed;
	return h.i;
}

/**
 * kvbm_match_chunk() - hold a prefix, up to the first miss
 * @ses: the session
 * @c: keys in, ids out
 * @n: elements, at most KVBM_CHUNK
 * @requested: hashes to add to the counter: the whole query's, once
 * @step: how it ended; ->stop after a miss
 *
 * Return: blocks held.
 */
u32 kvbm_match_chunk(struct kvbm_session *ses, struct kvbm_chunk *c, u32 n,
		     u32 requested, struct kvbm_step *step)
{
	u32 hits, done;

	spin_lock(&ses->lock);
	if (unlikely(ses->dead)) {
		step->err = ses->dead;
		spin_unlock(&ses->lock);
		return 0;
	}
	done = hold_chunk(ses, c, n, false, &hits, step);
	ses->counters.match_hashes_requested += requested;
	ses->counters.match_blocks_returned += done;
	kvbm_unlock_grown(ses);
	kvbm_prune_end(ses->store, step->prune);
	trace_kvbm_match(ses->store, ses->number, n, done);
	if (ses->store->sketch)
		kvbm_sketch_touch_hashes(ses->store->sketch, c->hash, done);
	return done;
}

/**
 * kvbm_scan_chunk() - hold every hash that is present
 * @ses: the session
 * @c: keys in, ids out, KVBM_NO_BLOCK for a miss
 * @n: elements, at most KVBM_CHUNK
 * @requested: hashes to add to the counter
 * @touch: count the hits in the sketch
 * @hits: out: blocks held
 * @step: how it ended
 *
 * Return: hashes looked up.
 */
u32 kvbm_scan_chunk(struct kvbm_session *ses, struct kvbm_chunk *c, u32 n,
		    u32 requested, bool touch, u32 *hits,
		    struct kvbm_step *step)
{
	struct kvbm_sketch *sk = ses->store->sketch;
	u32 i, done;

	*hits = 0;
	spin_lock(&ses->lock);
	if (unlikely(ses->dead)) {
		step->err = ses->dead;
		spin_unlock(&ses->lock);
		return 0;
	}
	done = hold_chunk(ses, c, n, true, hits, step);
	ses->counters.scan_hashes_requested += requested;
	ses->counters.scan_blocks_returned += *hits;
	kvbm_unlock_grown(ses);
	kvbm_prune_end(ses->store, step->prune);
	trace_kvbm_scan(ses->store, ses->number, done, *hits);
	if (touch && sk)
		for (i = 0; i < done; i++)
			if (c->ids[i] != KVBM_NO_BLOCK)
				kvbm_sketch_touch_hashes(sk, &c->hash[i], 1);
	return done;
}

static bool is_forgotten(const struct kvbm_slot *s)
{
	return kvbm_w_state(kvbm_slot_word(s)) == KVBM_STATE_FORGOTTEN;
}

/* The slot that a weak reference now leads to, or NULL. */
static struct kvbm_slot *weak_target(struct kvbm_store *st,
				     const struct kvbm_weak *weak)
{
	lockdep_assert_held(&st->lock);
	if (weak->block < st->cfg.total) {
		struct kvbm_slot *s = kvbm_slot_at(st, weak->block);
		u64 w = kvbm_slot_word(s);

		if (kvbm_w_gen(w) == weak->generation &&
		    (kvbm_w_state(w) == KVBM_STATE_PRIMARY ||
		     (kvbm_w_state(w) == KVBM_STATE_DUPLICATE &&
		      !is_forgotten(&st->slots[s->child]))) &&
		    kvbm_slot_is(s, &weak->hash))
			return s;
	}
	return kvbm_index_lookup(st, &weak->hash);
}

/*
 * A hold on a registered block; on a Duplicate, which keeps its Primary alive for
 * this session too.  -ENOENT: it is promised to an allocation, thus gone.
 * -EAGAIN: the hold table lacks a page.
 */
static int upgrade_one(struct kvbm_session *ses, struct kvbm_slot *s,
		       struct kvbm_step *step)
{
	struct kvbm_store *st = ses->store;
	u32 id = kvbm_slot_id(st, s), need, *cnt, *kept = NULL;

	lockdep_assert_held(&st->lock);
	cnt = kvbm_count(ses, id);
	if (!cnt) {
		step->page_of = id;
		return -EAGAIN;
	}
	if (kvbm_count_holds(*cnt)) {
		if (kvbm_count_holds(*cnt) == KVBM_MAX_HOLDS)
			return -EOVERFLOW;
		++*cnt;
		return 0;
	}
	need = !*cnt;
	if (kvbm_w_state(kvbm_slot_word(s)) == KVBM_STATE_DUPLICATE) {
		kept = kvbm_count(ses, s->child);
		if (!kept) {
			step->page_of = s->child;
			return -EAGAIN;
		}
		if (kvbm_count_kept_full(*kept))
			return -EOVERFLOW;
		need += !*kept;
	}
	if (kvbm_quota(ses) < need)
		return -EDQUOT;
	if (!kvbm_get_locked(st, s))
		return -ENOENT;
	if (!*cnt)
		kvbm_count_first(ses, cnt, kept ? KVBM_COUNT_COPY : 0);
	++*cnt;
	if (kept)
		kvbm_count_keep(ses, kept);
	return 0;
}

/**
 * kvbm_upgrade_chunk() - turn weak references into holds
 * @ses: the session
 * @weak: references
 * @ids: out: block ids, KVBM_NO_BLOCK for none
 * @n: elements, at most KVBM_CHUNK
 * @hits: out: holds returned
 * @step: how it ended
 *
 * Return: elements done.
 */
u32 kvbm_upgrade_chunk(struct kvbm_session *ses, const struct kvbm_weak *weak,
		       u32 *ids, u32 n, u32 *hits, struct kvbm_step *step)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(ses->store);
	struct kvbm_store *st = ses->store;
	int err;
	u32 i;

	*hits = 0;
	spin_lock(&ses->lock);
	if (unlikely(ses->dead)) {
		step->err = ses->dead;
		spin_unlock(&ses->lock);
		return 0;
	}
	for (i = 0; i < n && kvbm_lock_store(&l); i++) {
		struct kvbm_slot *s = weak_target(st, &weak[i]);

		ids[i] = KVBM_NO_BLOCK;
		if (!s)
			continue;
		err = upgrade_one(ses, s, step);
		if (err == -ENOENT)
			continue;
		if (err) {
			if (err != -EAGAIN)
				step->err = err;
			break;
		}
		ses->holds++;
		++*hits;
		ids[i] = kvbm_slot_id(st, s);
	}
	kvbm_unlock_store(&l);
	kvbm_unlock_grown(ses);
	kvbm_prune_end(st, l.prune);
	return i;
}

/**
 * kvbm_retain_chunk() - add a hold on blocks that the session holds
 * @ses: the session
 * @ids: blocks
 * @n: elements, at most KVBM_CHUNK
 * @step: how it ended
 *
 * Return: elements done.
 */
u32 kvbm_retain_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
		      struct kvbm_step *step)
{
	u32 i = 0;

	spin_lock(&ses->lock);
	step->err = ses->dead;
	for (; i < n && !step->err; i++) {
		u32 *cnt = kvbm_count_held(ses, ids[i]);

		if (!cnt)
			step->err = kvbm_count_owned(ses, ids[i]) ? -EINVAL :
								    -EPERM;
		else if (kvbm_count_holds(*cnt) == KVBM_MAX_HOLDS)
			step->err = -EOVERFLOW;
		if (step->err)
			break;
		++*cnt;
		ses->holds++;
	}
	spin_unlock(&ses->lock);
	return i;
}

/**
 * kvbm_set_reset_chunk() - set or clear the reset-on-release flag
 * @ses: the session
 * @ids: blocks that it holds
 * @n: elements, at most KVBM_CHUNK
 * @on: the flag
 * @step: how it ended
 *
 * Return: elements done.
 */
u32 kvbm_set_reset_chunk(struct kvbm_session *ses, const u32 *ids, u32 n,
			 bool on, struct kvbm_step *step)
{
	u32 i = 0;

	spin_lock(&ses->lock);
	step->err = ses->dead;
	for (; i < n && !step->err; i++) {
		struct kvbm_slot *s;

		if (!kvbm_count_held(ses, ids[i])) {
			step->err = -EPERM;
			break;
		}
		/* The session's reference keeps state and generation. */
		s = kvbm_slot_at(ses->store, ids[i]);
		if (on)
			atomic64_or(KVBM_W_RESET, &s->word);
		else
			atomic64_andnot(KVBM_W_RESET, &s->word);
	}
	spin_unlock(&ses->lock);
	return i;
}

/**
 * kvbm_presence_of() - is a hash present, exactly?
 * @st: the store, locked
 * @key: the hash
 * @hash: its kvbm_index_key()
 *
 * Return: enum kvbm_presence.
 */
u8 kvbm_presence_of(struct kvbm_store *st, const struct kvbm_hash *key,
		    u32 hash)
{
	struct kvbm_slot *s;

	lockdep_assert_held(&st->lock);
	s = kvbm_index_find(st, key, hash);
	if (s && kvbm_w_refs(kvbm_slot_word(s)))
		return KVBM_ACTIVE;
	/* Blocks promised to an allocation count as evicted. */
	return s && !kvbm_all_reserved(st) ? KVBM_INACTIVE : KVBM_ABSENT;
}

/*
 * For when the lockless lookup met a slot that was changing, or an inactive one
 * that may be promised to an allocation in progress.
 */
static u8 presence_locked(struct kvbm_store *st, const struct kvbm_chunk *c,
			  u32 i)
{
	u8 result;

	spin_lock(&st->lock);
	result = kvbm_presence_of(st, &c->keys[i], c->hash[i]);
	spin_unlock(&st->lock);
	return result;
}

/**
 * kvbm_presence() - are hashes present? No hold, no count.
 * @st: the store
 * @c: keys
 * @n: elements, at most KVBM_CHUNK
 * @out: enum kvbm_presence for each
 */
void kvbm_presence(struct kvbm_store *st, struct kvbm_chunk *c, u32 n, u8 *out)
{
	const struct kvbm_finding f = kvbm_finding_init(st, NULL);
	u32 i;

	for (i = 0; i < n; i++)
		kvbm_find_line(&f, c, i);
	for (i = 0; i < n; i++)
		kvbm_find_slot(&f, c, i);
	for (i = 0; i < n; i++) {
		u32 id = c->ids[i];
		u64 w, now;

		out[i] = KVBM_ABSENT;
		if (!kvbm_index_is_at(st->slots, &c->keys[i], id, &w) &&
		    (id == KVBM_FIND_NONE ||
		     !kvbm_index_find_again(st, c, i, false, &id, &w)))
			continue;
		/*
		 * Same generation and state before and after the comparison:
		 * the key belongs to it.  Pairs with the release in
		 * owned_move().
		 */
		smp_rmb();
		now = kvbm_slot_word(&st->slots[id]);
		if (kvbm_w_state(w) != KVBM_STATE_PRIMARY ||
		    kvbm_w_tag(w) != kvbm_w_tag(now))
			out[i] = presence_locked(st, c, i);
		else if (kvbm_w_refs(now))
			out[i] = KVBM_ACTIVE;
		/* Inactive now: matters only if some are promised. */
		else if (!data_race(st->reserved))
			out[i] = KVBM_INACTIVE;
		else
			out[i] = presence_locked(st, c, i);
	}
}
