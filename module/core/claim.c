// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * claim.c - single flight: which session has announced that it computes which
 * hash
 *
 * A claim belongs to a Staged block of a session.  A hash has at most one
 * claim, and none while it is present.  A claim ends when anybody registers the
 * hash, or when its block is no longer Staged.  Slots and the index do not know
 * about claims; code that does not use them checks a count.
 *
 * Claims are in trees, by key; the index's hash of the key chooses the tree.
 * With 64 blocks per tree there is a handful of claims in each.  Somebody who
 * knows the index's secrets can put all of his into one tree, whose depth is
 * then the logarithm of their number: no table has to grow, and no key is worse
 * than others.
 *
 * If somebody waits for a claim that ends, it moves to a list.  The task that
 * ended it wakes up to KVBM_CHUNK waiters once it holds no lock, and a work
 * item wakes the rest.  Each wait counts the claims that it waits for, and is
 * over when none of them is left; a new claim of the same hash is another
 * claim.
 *
 * All of this is under the store's lock, but the count of claims is also read
 * without it: a reader sees 0 only at a moment when there was none.
 *
 * Sleepers look at ->over, and pair with kvbm_claims_tell() and
 * kvbm_claim_waits_end() as sleep_until() in wait.c says.
 */
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include "claim.h"
#include "index.h"
#include "trace.h"

/* Blocks per tree, and limits on the number of trees. */
#define TREE_BLOCKS	64
#define TREES_MIN	16U
#define TREES_MAX	65536U

/**
 * struct kvbm_claim - a hash that somebody computes
 * @node: in its tree, until it ends
 * @link: among spare ones, or ended ones with waiters
 * @waits: links of its waiters and watches
 * @key: the hash
 * @ses: the session; not dereferenced once the claim has ended
 * @block: the Staged block
 */
struct kvbm_claim {
	struct rb_node node;
	struct list_head link;
	struct list_head waits;
	struct kvbm_hash key;
	struct kvbm_session *ses;
	u32 block;
};

static u32 nr_trees(const struct kvbm_config *cfg)
{
	return clamp(cfg->total / TREE_BLOCKS, TREES_MIN, TREES_MAX);
}

/**
 * kvbm_claims_need() - the most bytes that kvbm_claims_init() allocates
 * @cfg: the store's configuration
 */
u64 kvbm_claims_need(const struct kvbm_config *cfg)
{
	return kvbm_array_need(nr_trees(cfg), sizeof(struct rb_root));
}

static void tell_work(struct work_struct *work)
{
	kvbm_claims_tell(container_of(work, struct kvbm_store, claims.work));
}

/**
 * kvbm_claims_init() - prepare a store for claims
 * @st: the store
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_claims_init(struct kvbm_store *st)
{
	struct kvbm_claims *cs = &st->claims;

	/* All zeroes is an empty tree. */
	cs->nr_trees = nr_trees(&st->cfg);
	cs->trees = kvbm_array_alloc(st, cs->nr_trees, sizeof(*cs->trees));
	if (!cs->trees)
		return -ENOMEM;
	INIT_LIST_HEAD(&cs->ended);
	INIT_LIST_HEAD(&cs->gone);
	INIT_WORK(&cs->work, tell_work);
	return 0;
}

/**
 * kvbm_claims_exit() - free a store's claims
 * @st: it has no session any more
 */
void kvbm_claims_exit(struct kvbm_store *st)
{
	struct kvbm_claims *cs = &st->claims;

	cancel_work_sync(&cs->work);
	WARN_ON_ONCE(cs->nr);
	/* Nobody waits any more; the last waiters left some claims here. */
	while (!list_empty(&cs->ended) || !list_empty(&cs->gone)) {
		kvbm_claims_tell(st);
		cancel_work_sync(&cs->work);
	}
	kvbm_array_free(cs->trees);
}

static struct rb_root *tree_of(const struct kvbm_store *st, u32 hash)
{
	return &st->claims.trees[(u64)hash * st->claims.nr_trees >> 32];
}

static int compare(const struct kvbm_hash *a, const struct kvbm_hash *b)
{
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return a->hi < b->hi ? -1 : a->hi > b->hi;
}

/*
 * The claim of a hash, or NULL; then, on request, the place in the tree
 * where it would be.
 */
static struct kvbm_claim *find(const struct kvbm_store *st,
			       const struct kvbm_hash *key, u32 hash,
			       struct rb_node **parent, struct rb_node ***place)
{
	struct rb_node **link = &tree_of(st, hash)->rb_node, *above = NULL;

	lockdep_assert_held(&st->lock);
	while (*link) {
		struct kvbm_claim *c = rb_entry(*link, struct kvbm_claim, node);
		int order = compare(key, &c->key);

		if (!order)
			return c;
		above = *link;
		link = order < 0 ? &above->rb_left : &above->rb_right;
	}
	if (parent) {
		*parent = above;
		*place = link;
	}
	return NULL;
}

static struct kvbm_claim *find_key(const struct kvbm_store *st,
				   const struct kvbm_hash *key)
{
	return find(st, key, kvbm_index_key(st, key), NULL, NULL);
}

/**
 * kvbm_claiming_begin() - before a batch of claims
 * @c: cleared
 */
void kvbm_claiming_begin(struct kvbm_claiming *c)
{
	INIT_LIST_HEAD(&c->spare);
	c->nr = 0;
}

/**
 * kvbm_claiming_ready() - preallocate claims for a chunk, without locks
 * @c: the batch's
 * @n: elements, at most KVBM_CHUNK
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_claiming_ready(struct kvbm_claiming *c, u32 n)
{
	for (; c->nr < n; c->nr++) {
		struct kvbm_claim *one;

		one = kmalloc(sizeof(*one), GFP_KERNEL_ACCOUNT);
		if (!one)
			return -ENOMEM;
		list_add(&one->link, &c->spare);
	}
	return 0;
}

/**
 * kvbm_claiming_end() - after a batch of claims
 * @c: the batch's; unused claims are freed
 */
void kvbm_claiming_end(struct kvbm_claiming *c)
{
	struct kvbm_claim *one, *next;

	list_for_each_entry_safe(one, next, &c->spare, link)
		kfree(one);
}

/**
 * kvbm_claim_make() - claim a hash for a block that is about to be Staged
 * @ses: the session, locked, and its store
 * @c: has a spare claim
 * @id: the block
 * @key: the hash
 * @hash: its kvbm_index_key()
 *
 * Return: enum kvbm_claim_state; or -EDQUOT.
 */
int kvbm_claim_make(struct kvbm_session *ses, struct kvbm_claiming *c, u32 id,
		    const struct kvbm_hash *key, u32 hash)
{
	struct kvbm_store *st = ses->store;
	struct rb_node *parent, **place;
	struct kvbm_claim *one;

	lockdep_assert_held(&ses->lock);
	lockdep_assert_held(&st->lock);
	if (kvbm_presence_of(st, key, hash) != KVBM_ABSENT) {
		st->claims.refused_present++;
		return KVBM_CLAIM_PRESENT;
	}
	if (find(st, key, hash, &parent, &place)) {
		st->claims.refused_pending++;
		return KVBM_CLAIM_PENDING;
	}
	if (ses->nr_claims >= KVBM_MAX_CLAIMS)
		return -EDQUOT;
	one = list_first_entry(&c->spare, struct kvbm_claim, link);
	list_del(&one->link);
	c->nr--;
	INIT_LIST_HEAD(&one->waits);
	one->key = *key;
	one->ses = ses;
	one->block = id;
	rb_link_node(&one->node, parent, place);
	rb_insert_color(&one->node, tree_of(st, hash));
	ses->nr_claims++;
	WRITE_ONCE(st->claims.nr, st->claims.nr + 1);
	st->claims.made++;
	trace_kvbm_claim(st, ses->number, id, key, 0);
	return KVBM_CLAIMED;
}

/* kvbm_claims_tell() wakes its waiters, and frees it without the lock. */
static void end(struct kvbm_store *st, struct kvbm_claim *c, u32 hash)
{
	lockdep_assert_held(&st->lock);
	rb_erase(&c->node, tree_of(st, hash));
	c->ses->nr_claims--;
	WRITE_ONCE(st->claims.nr, st->claims.nr - 1);
	trace_kvbm_claim_end(st, c->ses->number, c->block, &c->key, 0);
	list_add_tail(&c->link, list_empty(&c->waits) ? &st->claims.gone :
							&st->claims.ended);
}

/* kvbm_claim_after_register(), if there are claims. */
void kvbm_claim_registered(struct kvbm_store *st, const struct kvbm_slot *s)
{
	struct kvbm_claim *c = find(st, &s->key, s->hash, NULL, NULL);

	lockdep_assert_held(&st->lock);
	if (c)
		end(st, c, s->hash);
}

/* End a claim: nobody computes the hash for its waiters any more. */
void kvbm_claim_forgotten(struct kvbm_store *st, const struct kvbm_hash *key,
			  u32 hash)
{
	struct kvbm_claim *c = find(st, key, hash, NULL, NULL);

	lockdep_assert_held(&st->lock);
	if (c)
		end(st, c, hash);
}

/* kvbm_claim_after_drop(), if the session has claims. */
void kvbm_claim_dropped(struct kvbm_session *ses, const struct kvbm_slot *s)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_claim *c = find(st, &s->key, s->hash, NULL, NULL);

	lockdep_assert_held(&st->lock);
	/* It may be another block's, or another session's. */
	if (c && c->ses == ses && c->block == kvbm_slot_id(st, s))
		end(st, c, s->hash);
}

/* Take a waiter from the next ended claim: returns the one to wake. */
static struct kvbm_claim_wait *next_to_notify(struct kvbm_claim *c)
{
	struct kvbm_claim_link *l;
	struct kvbm_claim_wait *w;

	l = list_first_entry(&c->waits, struct kvbm_claim_link, link);
	list_del_init(&l->link);
	w = l->wait;
	w->left--;
	if (!w->task) {
		/* Once is enough until the next watch. */
		if (w->ses->claim_ended)
			return NULL;
		/* kvbm_session_poll() looks without the lock. */
		WRITE_ONCE(w->ses->claim_ended, true);
		return w;
	}
	return w->left ? NULL : w;
}

/**
 * kvbm_claims_tell() - wake waiters of claims that have ended, and free these
 * @st: the store, not locked
 *
 * Handles up to KVBM_CHUNK waits; a work item does the rest.  Claims without
 * waiters are all freed: each chunk leaves at most KVBM_CHUNK, then comes here.
 */
noinline void kvbm_claims_tell(struct kvbm_store *st)
{
	struct task_struct *tasks[KVBM_CHUNK] __uninitialized;
	struct kvbm_session *due[KVBM_CHUNK] __uninitialized;
	u32 i, nr_tasks = 0, nr_due = 0, budget = KVBM_CHUNK;
	struct list_head *ended = &st->claims.ended;
	struct kvbm_claim *one, *next;
	LIST_HEAD(gone);

	spin_lock(&st->lock);
	list_splice_init(&st->claims.gone, &gone);
	for (; budget && !list_empty(ended); budget--) {
		struct kvbm_claim_wait *w = NULL;
		struct kvbm_claim *c;

		c = list_first_entry(ended, struct kvbm_claim, link);
		/* The last waiter may have given up. */
		if (!list_empty(&c->waits))
			w = next_to_notify(c);
		if (list_empty(&c->waits))
			list_move_tail(&c->link, &gone);
		if (!w)
			continue;
		if (w->task) {
			/* From here on the wait may go; its task stays. */
			tasks[nr_tasks++] = get_task_struct(w->task);
			WRITE_ONCE(w->over, true);
		} else if (st->poll) {
			/* It watches, so its file exists. */
			st->poll->get(w->ses);
			due[nr_due++] = w->ses;
		}
	}
	if (!list_empty(ended))
		schedule_work(&st->claims.work);

	spin_unlock(&st->lock);
	list_for_each_entry_safe(one, next, &gone, link)
		kfree(one);
	for (i = 0; i < nr_tasks; i++) {
		wake_up_process(tasks[i]);
		put_task_struct(tasks[i]);
	}
	for (i = 0, budget = KVBM_CHUNK; i < nr_due; i++)
		budget -= min(budget, st->poll->wake(due[i], budget));
}

/**
 * kvbm_claims_seen() - find which absent hashes are pending
 * @st: the store
 * @c: keys; ->hash is filled
 * @n: elements, at most KVBM_CHUNK
 * @out: in and out: enum kvbm_presence
 *
 * They were absent some moments ago: those without a claim now are looked up
 * again, since they may have been registered in between.
 */
void kvbm_claims_seen(struct kvbm_store *st, const struct kvbm_chunk *c, u32 n,
		      u8 *out)
{
	u32 i;

	if (!READ_ONCE(st->claims.nr) || !memchr(out, KVBM_ABSENT, n))
		return;
	spin_lock(&st->lock);
	for (i = 0; i < n; i++) {
		const struct kvbm_hash *key = &c->keys[i];

		if (out[i] != KVBM_ABSENT)
			continue;
		if (find(st, key, c->hash[i], NULL, NULL))
			out[i] = KVBM_PENDING;
		else
			out[i] = kvbm_presence_of(st, key, c->hash[i]);
	}
	spin_unlock(&st->lock);
}

/**
 * kvbm_claims_first() - the first pending hash of several
 * @st: the store
 * @keys: hashes
 * @n: elements, at most KVBM_CHUNK
 *
 * Return: its index, or @n.
 */
u32 kvbm_claims_first(struct kvbm_store *st, const struct kvbm_hash *keys,
		      u32 n)
{
	u32 i;

	if (!READ_ONCE(st->claims.nr))
		return n;
	spin_lock(&st->lock);
	for (i = 0; i < n; i++)
		if (find_key(st, &keys[i]))
			break;
	spin_unlock(&st->lock);
	return i;
}

static struct kvbm_claim_wait *new_wait(struct kvbm_session *ses, u32 n)
{
	struct kvbm_claim_wait *w;
	u32 i;

	w = kzalloc(struct_size(w, links, n), GFP_KERNEL_ACCOUNT);
	if (!w)
		return NULL;
	w->ses = ses;
	w->nr = n;
	for (i = 0; i < n; i++) {
		INIT_LIST_HEAD(&w->links[i].link);
		w->links[i].wait = w;
	}
	INIT_LIST_HEAD(&w->link);
	return w;
}

/* Out of all lists; ended claims may remain without waiters. */
static void unlink_wait(struct kvbm_claim_wait *w)
{
	u32 i;

	lockdep_assert_held(&w->ses->store->lock);
	for (i = 0; i < w->nr; i++)
		list_del_init(&w->links[i].link);
	list_del_init(&w->link);
}

/**
 * kvbm_claim_wait_begin() - begin to wait for claims to end
 * @ses: the session
 * @keys: hashes
 * @n: how many, at most KVBM_MAX_WATCHED
 * @wp: out: the wait, or NULL: none of them is pending
 *
 * Return: 0: sleep until ->over, then call kvbm_claim_wait_end(); -EDEADLK,
 * -EMLINK, -ENOMEM as in struct kvbm_wait, or the session's end.
 */
int kvbm_claim_wait_begin(struct kvbm_session *ses,
			  const struct kvbm_hash *keys, u32 n,
			  struct kvbm_claim_wait **wp)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_claim_wait *w;
	int err;
	u32 i;

	*wp = NULL;
	err = READ_ONCE(ses->dead);
	if (err || !READ_ONCE(st->claims.nr))
		return err;
	w = new_wait(ses, n);
	if (!w)
		return -ENOMEM;
	w->task = current;

	spin_lock(&st->lock);
	/* Either the end of the session sees the wait, or we see the end. */
	err = READ_ONCE(ses->dead);
	for (i = 0; i < n && !err; i++) {
		struct kvbm_claim *c = find_key(st, &keys[i]);

		if (!c)
			continue;
		if (c->ses == ses)
			err = -EDEADLK;
		list_add_tail(&w->links[i].link, &c->waits);
		w->left++;
	}
	if (!err && w->left && ses->nr_claim_waits == KVBM_MAX_TICKETS)
		err = -EMLINK;
	if (err || !w->left) {
		unlink_wait(w);
	} else {
		list_add(&w->link, &ses->claim_waits);
		ses->nr_claim_waits++;
		st->claims.waits++;
		*wp = w;
	}
	spin_unlock(&st->lock);
	if (!*wp)
		kfree(w);
	return err;
}

/**
 * kvbm_claim_wait_end() - stop waiting
 * @w: from kvbm_claim_wait_begin(); it is gone afterwards
 * @err: why it stops, or 0
 * @left: out: claims that have not ended
 *
 * Return: 0 if none is left, else @err or the session's end.
 */
int kvbm_claim_wait_end(struct kvbm_claim_wait *w, int err, u32 *left)
{
	struct kvbm_session *ses = w->ses;
	struct kvbm_store *st = ses->store;

	spin_lock(&st->lock);
	*left = w->left;
	/* The end of the session took it out of the list. */
	if (!list_empty(&w->link))
		ses->nr_claim_waits--;
	unlink_wait(w);
	spin_unlock(&st->lock);
	kfree(w);
	return *left ? READ_ONCE(ses->dead) ?: err : 0;
}

/**
 * kvbm_claim_waits_end() - wake a session's waits at its end
 * @ses: the session, dead
 */
void kvbm_claim_waits_end(struct kvbm_session *ses)
{
	struct task_struct *tasks[KVBM_MAX_TICKETS] __uninitialized;
	struct kvbm_claim_wait *w, *next;
	u32 i, n = 0;

	spin_lock(&ses->store->lock);
	list_for_each_entry_safe(w, next, &ses->claim_waits, link) {
		list_del_init(&w->link);
		/* The sleeper frees it, once it has had the lock. */
		tasks[n++] = get_task_struct(w->task);
		WRITE_ONCE(w->over, true);
	}
	ses->nr_claim_waits = 0;
	spin_unlock(&ses->store->lock);
	for (i = 0; i < n; i++) {
		wake_up_process(tasks[i]);
		put_task_struct(tasks[i]);
	}
	kvbm_claim_unwatch(ses);
}

/**
 * kvbm_claim_watch() - set the claims whose end poll reports
 * @ses: the session
 * @keys: hashes
 * @n: how many, at most KVBM_MAX_WATCHED
 * @states: out: KVBM_PENDING or KVBM_ABSENT for each
 * @pending: out: how many are pending
 *
 * Return: 0, -ENOMEM, or the session's end.
 */
int kvbm_claim_watch(struct kvbm_session *ses, const struct kvbm_hash *keys,
		     u32 n, u8 *states, u32 *pending)
{
	struct kvbm_claim_wait *old, *w = NULL;
	struct kvbm_store *st = ses->store;
	int err;
	u32 i;

	*pending = 0;
	if (n) {
		w = new_wait(ses, n);
		if (!w)
			return -ENOMEM;
	}
	spin_lock(&st->lock);
	err = READ_ONCE(ses->dead);
	if (err) {
		spin_unlock(&st->lock);
		kfree(w);
		return err;
	}
	old = ses->watch;
	if (old)
		unlink_wait(old);
	WRITE_ONCE(ses->claim_ended, false);
	for (i = 0; i < n; i++) {
		struct kvbm_claim *c = find_key(st, &keys[i]);

		states[i] = c ? KVBM_PENDING : KVBM_ABSENT;
		if (!c)
			continue;
		list_add_tail(&w->links[i].link, &c->waits);
		++*pending;
	}
	if (w)
		w->left = *pending;
	ses->watch = w;
	spin_unlock(&st->lock);
	kfree(old);
	return 0;
}

/* The session no longer watches anything. */
void kvbm_claim_unwatch(struct kvbm_session *ses)
{
	struct kvbm_store *st = ses->store;
	struct kvbm_claim_wait *w;

	spin_lock(&st->lock);
	w = ses->watch;
	if (w) {
		unlink_wait(w);
		ses->watch = NULL;
	}
	spin_unlock(&st->lock);
	kfree(w);
}
