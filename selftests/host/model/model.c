// SPDX-License-Identifier: MIT
/*
 * The store: slots, sessions, holds, operations, counters.  model.h says what
 * every function promises; the rules are the contract's.
 */
#include <errno.h>
#include <stdlib.h>

#include "model.h"

_Noreturn void m_broken(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: model broken: %s\n", file, line, what);
	abort();
}

/* ---- making and ending ---- */

static bool config_good(const struct m_config *c)
{
	const uint8_t *t = c->thresholds;

	if (!c->total || c->total > M_TOTAL_MAX)
		return false;
	if (!c->block_size || c->block_size > M_BLOCK_SIZE_MAX)
		return false;
	if (c->policy >= M_POLICIES)
		return false;
	if (c->policy != M_multi_lru)
		return true;
	return c->frequency && t[0] >= 1 && t[0] < t[1] && t[1] < t[2] &&
	       t[2] <= 15;
}

/* ---- ranks ---- */

/* A hash leaves its block, and its rank with it. */
static void unranked(struct model *m, uint32_t id)
{
	m->slot[id].rank = M_RANK_NORMAL;
	m->slot[id].until = 0;
	m->slot[id].payer = -1;
}

/* Times count in units of 2^20 ns: rounded up when they are given. */
static uint64_t units(uint64_t ns)
{
	return (ns >> 20) + !!(ns & ((1u << 20) - 1));
}

/* The time of a rank has come: from then on it is as if there were none. */
static void look_at_clock(struct model *m, uint32_t id)
{
	if (m->slot[id].until && m->slot[id].until <= m->now_ns >> 20)
		unranked(m, id);
}

static void look_at_clocks(struct model *m)
{
	for (uint32_t i = 0; i < m->cfg.total; i++)
		look_at_clock(m, i);
}

static uint32_t pop(struct model *m)
{
	look_at_clocks(m);
	for (uint32_t i = 0; i < m->cfg.total; i++)
		m->rank[i] = m->slot[i].rank;
	return m_index_pop(&m->index, m->rank);
}

static void put_free(struct model *m, uint32_t id)
{
	unranked(m, id);
	m->slot[id].state = M_RESET;
	m->slot[id].hash = (struct m_hash){ 0 };
	m->free[m->n_free++] = id;
}

static uint32_t take_free(struct model *m)
{
	uint32_t id = m->free[0];

	m->n_free--;
	for (uint32_t i = 0; i < m->n_free; i++)
		m->free[i] = m->free[i + 1];
	return id;
}

struct model *model_new(const struct m_config *cfg, int *err)
{
	struct m_config c = *cfg;
	struct model *m;

	if (!c.thresholds[0] && !c.thresholds[1] && !c.thresholds[2]) {
		c.thresholds[0] = 3;
		c.thresholds[1] = 8;
		c.thresholds[2] = 15;
	}
	if (c.dup == M_DUP_DEFAULT)
		c.dup = M_DUP_ALLOW;
	if (!c.hold_limit)
		c.hold_limit = M_HOLD_LIMIT;
	if (!config_good(&c)) {
		*err = -EINVAL;
		return NULL;
	}
	m = calloc(1, sizeof(*m));
	M_ASSERT(m);
	m->cfg = c;
	m->slot = calloc(c.total, sizeof(*m->slot));
	m->free = calloc(c.total, sizeof(*m->free));
	m->rank = calloc(c.total, sizeof(*m->rank));
	M_ASSERT(m->slot && m->free && m->rank);
	m->now_ns = M_TIME_BEGIN;
	for (uint32_t i = 0; i < c.total; i++)
		put_free(m, i);
	m_index_init(&m->index, c.policy, c.total);
	m_sketch_init(&m->sketch, c.frequency);
	*err = 0;
	return m;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	m_index_exit(&m->index);
	m_sketch_exit(&m->sketch);
	for (uint32_t i = 0; i < m->n_offers; i++)
		free(m->offer[i].ids);
	free(m->offer);
	free(m->rank);
	free(m->free);
	free(m->slot);
	free(m);
}

/* ---- questions ---- */

bool m_owns(const struct model *m, int s, uint32_t id, enum m_state state)
{
	M_ASSERT(state == M_MUTABLE || state == M_STAGED);
	return id < m->cfg.total && m->slot[id].state == state &&
	       m->slot[id].owner == s;
}

static bool registered(const struct m_slot *b)
{
	return b->state == M_PRIMARY || b->state == M_DUPLICATE ||
	       b->state == M_INACTIVE || b->state == M_FORGOTTEN;
}

/* This session has at least one hold on a registered block. */
static bool holding(const struct model *m, int s, uint32_t id)
{
	return id < m->cfg.total && m->slot[id].holds[s] > 0;
}

uint64_t m_holds(const struct model *m, uint32_t id)
{
	const struct m_slot *b = &m->slot[id];
	uint64_t sum = b->keepalives;

	if (b->state == M_MUTABLE || b->state == M_STAGED)
		return 1;
	for (int s = 0; s < M_MAX_SESSIONS; s++)
		sum += b->holds[s];
	return sum;
}

/* Owned, held, or kept alive by a Duplicate that the session holds. */
static bool keeps(const struct model *m, int s, uint32_t id)
{
	if (m_owns(m, s, id, M_MUTABLE) || m_owns(m, s, id, M_STAGED) ||
	    holding(m, s, id))
		return true;
	for (uint32_t i = 0; i < m->cfg.total; i++)
		if (m->slot[i].state == M_DUPLICATE &&
		    m->slot[i].primary == id && holding(m, s, i))
			return true;
	return false;
}

uint32_t m_kept(const struct model *m, int s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->cfg.total; i++)
		n += keeps(m, s, i);
	return n;
}

/* How many blocks more it may keep. */
static uint32_t quota(const struct model *m, int s)
{
	return m->cfg.max_held ? m->cfg.max_held - m_kept(m, s) : UINT32_MAX;
}

/* The registered block of a hash: Primary or Inactive. */
static uint32_t lookup(const struct model *m, struct m_hash h)
{
	if (!m_hash_valid(h))
		return M_NONE;
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		const struct m_slot *b = &m->slot[i];

		if ((b->state == M_PRIMARY || b->state == M_INACTIVE) &&
		    m_hash_equal(b->hash, h))
			return i;
	}
	return M_NONE;
}

uint32_t m_registered(const struct model *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->cfg.total; i++)
		n += m->slot[i].state == M_PRIMARY ||
		     m->slot[i].state == M_INACTIVE;
	return n;
}

/* ---- transitions ---- */

static void become_mutable(struct model *m, int s, uint32_t id)
{
	unranked(m, id);
	m->slot[id].state = M_MUTABLE;
	m->slot[id].hash = (struct m_hash){ 0 };
	m->slot[id].owner = s;
	m->slot[id].reset = m->cfg.reset;
}

/* Of multi_lru, by the block's frequency now. */
static unsigned int list_of(const struct model *m, uint32_t id)
{
	unsigned int list = 0;

	for (int i = 0; i < 3; i++)
		list += m->cfg.thresholds[i] <=
			m_sketch_read(&m->sketch, m->slot[id].hash);
	return list;
}

static void become_inactive(struct model *m, uint32_t id)
{
	struct m_slot *b = &m->slot[id];

	b->state = M_INACTIVE;
	m_index_insert(&m->index, id, b->hash, list_of(m, id));
}

/* A registered slot leaves for good. */
static void unregister(struct model *m, uint32_t id)
{
	m->slot[id].generation++;
	put_free(m, id);
}

/* The last hold or keep-alive of a Primary is gone. */
static void idle_primary(struct model *m, uint32_t id)
{
	if (m->slot[id].state == M_FORGOTTEN) {
		unregister(m, id);
	} else if (m->slot[id].reset) {
		m_index_forget(&m->index, id);
		unregister(m, id);
	} else {
		become_inactive(m, id);
	}
}

static void release_registered(struct model *m, int s, uint32_t id)
{
	struct m_slot *b = &m->slot[id];
	uint32_t primary = b->primary;

	b->holds[s]--;
	if (m_holds(m, id))
		return;
	if (b->state == M_PRIMARY || b->state == M_FORGOTTEN) {
		idle_primary(m, id);
		return;
	}
	M_ASSERT(b->state == M_DUPLICATE);
	unregister(m, id);
	m->slot[primary].keepalives--;
	if (!m_holds(m, primary))
		idle_primary(m, primary);
}

/* An inactive block leaves the index to be held again. */
static void activate(struct model *m, uint32_t id)
{
	if (m->slot[id].state != M_INACTIVE)
		return;
	m_index_remove(&m->index, id);
	m->slot[id].state = M_PRIMARY;
}

/*
 * Another hold on a registered block. What the session does not keep yet
 * counts: the block, and the Primary of a Duplicate.
 */
static int hold(struct model *m, int s, uint32_t id)
{
	uint32_t more = 0;

	if (m->slot[id].holds[s] == m->cfg.hold_limit)
		return -EOVERFLOW;
	if (m->cfg.max_held && !holding(m, s, id)) {
		more = !keeps(m, s, id);
		if (m->slot[id].state == M_DUPLICATE)
			more += !keeps(m, s, m->slot[id].primary);
		if (more > quota(m, s))
			return -EDQUOT;
	}
	activate(m, id);
	m->slot[id].holds[s]++;
	return 0;
}

/* ---- sessions ---- */

int m_session_open(struct model *m, int s)
{
	M_ASSERT(s >= 0 && s < M_MAX_SESSIONS);
	if (m->open[s])
		return -EBUSY;
	m->open[s] = true;
	return 0;
}

/* Its holds are not bound by it any more. */
static void end_offer(struct model *m, struct m_offer *o)
{
	while (o->n)
		m->slot[o->ids[--o->n]].offered[o->giver]--;
	free(o->ids);
	for (m->n_offers--; o < &m->offer[m->n_offers]; o++)
		o[0] = o[1];
}

uint64_t m_session_close(struct model *m, int s)
{
	uint64_t n = 0;

	M_ASSERT(m->open[s]);
	for (uint32_t i = m->n_offers; i-- > 0;)
		if (m->offer[i].giver == s)
			end_offer(m, &m->offer[i]);
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		if (m_owns(m, s, i, M_MUTABLE) || m_owns(m, s, i, M_STAGED)) {
			put_free(m, i);
			n++;
		}
	}
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		while (holding(m, s, i)) {
			release_registered(m, s, i);
			n++;
		}
	}
	m->open[s] = false;
	return n;
}

/* ---- operations ---- */

int m_allocate(struct model *m, int s, uint32_t n, uint32_t *ids,
	       struct m_hash *evicted, uint32_t *n_evicted)
{
	*n_evicted = 0;
	if (n > m->cfg.total)
		return -EINVAL;
	if (n > quota(m, s))
		return -EDQUOT;
	if (n > m->n_free + m->index.len)
		return -ENOSPC;
	for (uint32_t i = 0; i < n; i++) {
		if (m->n_free) {
			ids[i] = take_free(m);
			m->count.allocations_from_reset++;
		} else {
			ids[i] = pop(m);
			evicted[(*n_evicted)++] = m->slot[ids[i]].hash;
			m->slot[ids[i]].generation++;
			m->count.evictions++;
		}
		become_mutable(m, s, ids[i]);
		m->slot[ids[i]].epoch = m->epoch;
		m->count.allocations++;
	}
	return 0;
}

uint32_t m_allocate_reset(struct model *m, int s, uint32_t n, uint32_t *ids)
{
	uint32_t i, most = quota(m, s);

	for (i = 0; i < n && i < most && m->n_free; i++) {
		ids[i] = take_free(m);
		become_mutable(m, s, ids[i]);
		m->slot[ids[i]].epoch = m->epoch;
		m->count.allocations_from_reset++;
		m->count.allocations++;
	}
	return i;
}

/* Allocated before everything was forgotten: fit to be given back only. */
static bool stale(const struct model *m, uint32_t id)
{
	return m->slot[id].epoch != m->epoch;
}

int m_stage(struct model *m, int s, uint32_t id, struct m_hash h,
	    uint32_t tokens)
{
	if (!m_owns(m, s, id, M_MUTABLE))
		return -EPERM;
	if (!m_hash_valid(h))
		return -EINVAL;
	if (tokens != M_TOKENS_NONE && tokens != m->cfg.block_size)
		return -EINVAL;
	if (stale(m, id))
		return -ESTALE;
	m->slot[id].state = M_STAGED;
	m->slot[id].hash = h;
	m->slot[id].claimed = false;
	m->slot[id].note = 0;
	m->count.stagings++;
	return 0;
}

void m_give_note(struct model *m, uint32_t id, uint64_t note)
{
	M_ASSERT(m->slot[id].state == M_STAGED ||
		 m->slot[id].state == M_PRIMARY);
	m->slot[id].note = note;
}

/* The block that has the hash claimed, or M_NONE. */
static uint32_t claimant(const struct model *m, struct m_hash h)
{
	for (uint32_t i = 0; i < m->cfg.total; i++)
		if (m->slot[i].state == M_STAGED && m->slot[i].claimed &&
		    m_hash_equal(m->slot[i].hash, h))
			return i;
	return M_NONE;
}

int m_claim(struct model *m, int s, uint32_t id, struct m_hash h,
	    enum m_claim *what)
{
	if (!m_owns(m, s, id, M_MUTABLE))
		return -EPERM;
	if (!m_hash_valid(h))
		return -EINVAL;
	if (stale(m, id))
		return -ESTALE;
	if (lookup(m, h) != M_NONE) {
		*what = M_CLAIM_PRESENT;
	} else if (claimant(m, h) != M_NONE) {
		*what = M_CLAIM_PENDING;
	} else {
		M_ASSERT(!m_stage(m, s, id, h, M_TOKENS_NONE));
		m->slot[id].claimed = true;
		*what = M_CLAIMED;
	}
	return 0;
}

int m_unstage(struct model *m, int s, uint32_t id)
{
	if (!m_owns(m, s, id, M_STAGED))
		return -EPERM;
	become_mutable(m, s, id);
	return 0;
}

int m_register(struct model *m, int s, uint32_t id, enum m_dup dup,
	       enum m_kind *kind, uint32_t *held)
{
	struct m_slot *b;
	struct m_hash h;
	uint32_t primary;

	if (!m_owns(m, s, id, M_STAGED))
		return -EPERM;
	if (stale(m, id))
		return -ESTALE;
	b = &m->slot[id];
	h = b->hash;
	primary = lookup(m, h);
	if (dup == M_DUP_DEFAULT)
		dup = m->cfg.dup;
	if (primary == M_NONE) {
		b->state = M_PRIMARY;
		b->keepalives = 0;
		b->holds[s] = 1;
		m_sketch_touch(&m->sketch, b->hash);
		*kind = M_KIND_PRIMARY;
		*held = id;
	} else if (dup == M_DUP_ALLOW) {
		if (m->cfg.max_held && !keeps(m, s, primary) && !quota(m, s))
			return -EDQUOT;
		activate(m, primary);
		m->slot[primary].keepalives++;
		b->state = M_DUPLICATE;
		b->primary = primary;
		b->keepalives = 0;
		b->holds[s] = 1;
		m->count.duplicate_blocks++;
		*kind = M_KIND_DUP;
		*held = id;
	} else {
		int err;

		/* A block for a block: the own one is given back. */
		m->slot[id].owner = -1;
		err = hold(m, s, primary);
		m->slot[id].owner = s;
		if (err)
			return err;
		put_free(m, id);
		m->count.registration_dedup++;
		*kind = M_KIND_DEDUP;
		*held = primary;
	}
	m->count.registrations++;
	/* It is there, no matter who has claimed it. */
	id = claimant(m, h);
	if (id != M_NONE)
		m->slot[id].claimed = false;
	return 0;
}

int m_stage_register(struct model *m, int s, uint32_t id, struct m_hash h,
		     enum m_dup dup, enum m_kind *kind, uint32_t *held)
{
	int err;

	/* Of registering: before the hash is looked at. */
	if (m_owns(m, s, id, M_MUTABLE) && stale(m, id))
		return -ESTALE;
	err = m_stage(m, s, id, h, M_TOKENS_NONE);
	if (err)
		return err;
	err = m_register(m, s, id, dup, kind, held);
	if (err) {
		/* One call: it changes nothing when either half fails. */
		m_unstage(m, s, id);
		m->count.stagings--;
	}
	return err;
}

int m_match(struct model *m, int s, const struct m_hash *h, uint32_t n,
	    uint32_t *ids, uint32_t *done)
{
	m->count.match_hashes_requested += n;
	for (*done = 0; *done < n; ++*done) {
		uint32_t id = lookup(m, h[*done]);
		int err;

		if (id == M_NONE)
			break;
		err = hold(m, s, id);
		if (err)
			return err;
		m_sketch_touch(&m->sketch, h[*done]);
		m->count.match_blocks_returned++;
		ids[*done] = id;
	}
	return 0;
}

int m_scan(struct model *m, int s, const struct m_hash *h, uint32_t n,
	   bool touch, uint32_t *ids, uint32_t *done)
{
	m->count.scan_hashes_requested += n;
	for (*done = 0; *done < n; ++*done) {
		uint32_t id = lookup(m, h[*done]);
		int err;

		ids[*done] = id;
		if (id == M_NONE)
			continue;
		err = hold(m, s, id);
		if (err)
			return err;
		if (touch)
			m_sketch_touch(&m->sketch, h[*done]);
		m->count.scan_blocks_returned++;
	}
	return 0;
}

int m_release(struct model *m, int s, uint32_t id)
{
	if (m_owns(m, s, id, M_MUTABLE) || m_owns(m, s, id, M_STAGED)) {
		put_free(m, id);
		return 0;
	}
	if (!holding(m, s, id))
		return -EPERM;
	if (m->slot[id].holds[s] == m->slot[id].offered[s])
		return -EBUSY;
	release_registered(m, s, id);
	return 0;
}

/* Whether the session may offer one hold on the block. */
static int offerable(const struct model *m, int s, uint32_t id)
{
	if (m_owns(m, s, id, M_MUTABLE) || m_owns(m, s, id, M_STAGED))
		return -EINVAL;
	if (!holding(m, s, id))
		return -EPERM;
	return m->slot[id].holds[s] == m->slot[id].offered[s] ? -EBUSY : 0;
}

int m_offer(struct model *m, int s, const uint32_t *ids, uint32_t n,
	    uint32_t *offer)
{
	struct m_offer *o;
	int err = 0;

	if (!n)
		return -EINVAL;
	/* Invalid ids are reported before any block is looked at. */
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] >= m->cfg.total)
			return -EPERM;
	m->offer = realloc(m->offer, (m->n_offers + 1) * sizeof(*m->offer));
	M_ASSERT(m->offer);
	o = &m->offer[m->n_offers++];
	*o = (struct m_offer){
		.number = m->offers_made,
		.giver = s,
		.ids = malloc(n * sizeof(*o->ids)),
	};
	M_ASSERT(o->ids);
	while (o->n < n && !err) {
		err = offerable(m, s, ids[o->n]);
		if (err)
			break;
		m->slot[ids[o->n]].offered[s]++;
		o->ids[o->n] = ids[o->n];
		o->n++;
	}
	if (err) {
		end_offer(m, o);
		return err;
	}
	*offer = m->offers_made++;
	return 0;
}

/* One that is open, or NULL. */
static struct m_offer *find_offer(const struct model *m, uint32_t offer)
{
	for (uint32_t i = 0; i < m->n_offers; i++)
		if (m->offer[i].number == offer)
			return &m->offer[i];
	return NULL;
}

int m_accept(struct model *m, int s, uint32_t offer, uint32_t *ids,
	     uint32_t *done)
{
	struct m_offer *o = find_offer(m, offer);
	uint32_t i, k, need = 0;

	if (!o)
		return -ENOENT;
	if (o->giver == s)
		return -EINVAL;
	/* Each block once, no matter who has it; a copy with its Primary. */
	for (i = 0; i < o->n; i++) {
		for (k = 0; k < i && o->ids[k] != o->ids[i]; k++)
			;
		if (k == i)
			need += 1 + (m->slot[o->ids[i]].state == M_DUPLICATE);
	}
	if (m->cfg.max_held && need > quota(m, s))
		return -EDQUOT;
	for (i = 0; i < o->n; i++) {
		m->slot[o->ids[i]].holds[o->giver]--;
		m->slot[o->ids[i]].holds[s]++;
		ids[i] = o->ids[i];
	}
	*done = o->n;
	end_offer(m, o);
	return 0;
}

int m_withdraw(struct model *m, int s, uint32_t offer, uint32_t *done)
{
	struct m_offer *o = find_offer(m, offer);

	if (!o || o->giver != s)
		return -ENOENT;
	*done = o->n;
	end_offer(m, o);
	return 0;
}

uint32_t m_open_offer(const struct model *m, int s)
{
	for (uint32_t i = m->n_offers; i-- > 0;)
		if (m->offer[i].giver == s)
			return m->offer[i].number;
	return M_NONE;
}

int m_retain(struct model *m, int s, uint32_t id)
{
	if (m_owns(m, s, id, M_MUTABLE) || m_owns(m, s, id, M_STAGED))
		return -EINVAL;
	if (!holding(m, s, id))
		return -EPERM;
	return hold(m, s, id);
}

int m_set_reset(struct model *m, int s, uint32_t id, bool on)
{
	if (!holding(m, s, id))
		return -EPERM;
	m->slot[id].reset = on;
	return 0;
}

int m_weak(const struct model *m, int s, uint32_t id, struct m_weak *w)
{
	if (!holding(m, s, id))
		return -EPERM;
	*w = (struct m_weak){
		.id = id,
		.generation = m->slot[id].generation,
		.hash = m->slot[id].hash,
	};
	return 0;
}

/*
 * A reference whose hash is not the block's was made up: it must not give a
 * hold on a block whose hash the caller does not know.
 */
/* Not found by anything: its own hash is forgotten, or its Primary's. */
static bool gone(const struct model *m, const struct m_slot *b)
{
	return b->state == M_FORGOTTEN ||
	       (b->state == M_DUPLICATE &&
		m->slot[b->primary].state == M_FORGOTTEN);
}

int m_upgrade(struct model *m, int s, const struct m_weak *w, uint32_t *id)
{
	const struct m_slot *b = w->id < m->cfg.total ? &m->slot[w->id] : NULL;

	if (b && registered(b) && !gone(m, b) && b->generation == w->generation &&
	    m_hash_equal(b->hash, w->hash))
		*id = w->id;
	else
		*id = lookup(m, w->hash);
	return *id == M_NONE ? 0 : hold(m, s, *id);
}

uint32_t m_reset_inactive(struct model *m, bool *all)
{
	uint32_t n = m->index.len;

	for (uint32_t i = 0; i < n; i++)
		unregister(m, pop(m));
	*all = m->n_free == m->cfg.total;
	return n;
}

static void forget_claim(struct model *m, struct m_hash h)
{
	uint32_t id = claimant(m, h);

	if (id != M_NONE)
		m->slot[id].claimed = false;
}

static void forget_block(struct model *m, uint32_t id, struct m_forgotten *f)
{
	bool idle = m->slot[id].state == M_INACTIVE;

	activate(m, id);
	m_index_forget(&m->index, id);
	if (idle)
		unregister(m, id);
	else
		m->slot[id].state = M_FORGOTTEN;
	unranked(m, id);
	f->idle += idle;
	f->held += !idle;
}

void m_invalidate(struct model *m, struct m_hash h, struct m_forgotten *f)
{
	uint32_t id = lookup(m, h);

	if (id != M_NONE)
		forget_block(m, id, f);
	forget_claim(m, h);
}

void m_invalidate_all(struct model *m, struct m_forgotten *f)
{
	m->epoch++;
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		struct m_slot *b = &m->slot[i];

		if (b->state == M_PRIMARY || b->state == M_INACTIVE)
			forget_block(m, i, f);
		else if (b->state == M_STAGED)
			b->claimed = false;
	}
}

/* Does the one name the other as its parent? */
static bool child_of(struct m_hash child, struct m_hash parent)
{
	struct m_key key;

	return m_hash_parent_key(child, &key) &&
	       m_hash_position(parent) < M_POSITION_MAX &&
	       m_key_equal(key, m_hash_node_key(parent));
}

/* Registered and Staged blocks, by position, then by block. */
int m_invalidate_prefix(struct model *m, struct m_hash h,
			struct m_forgotten *f)
{
	uint32_t n = 0, last;
	struct m_hash *set;

	if (!m_hash_valid(h))
		return -EINVAL;
	last = m_hash_position(h);
	set = calloc(m->cfg.total + 1, sizeof(*set));
	M_ASSERT(set);
	m_invalidate(m, h, f);
	set[n++] = h;
	for (;;) {
		uint32_t at = M_NONE;

		for (uint32_t i = 0; i < m->cfg.total; i++) {
			const struct m_slot *b = &m->slot[i];
			uint32_t p = m_hash_position(b->hash);

			if ((b->state == M_PRIMARY || b->state == M_INACTIVE ||
			     b->state == M_STAGED) && p > last && p < at)
				at = p;
		}
		if (at == M_NONE)
			break;
		last = at;
		for (uint32_t i = 0; i < m->cfg.total; i++) {
			struct m_slot *b = &m->slot[i];
			struct m_hash own = b->hash;
			bool under = false;

			if ((b->state != M_PRIMARY && b->state != M_INACTIVE &&
			     b->state != M_STAGED) ||
			    m_hash_position(own) != at)
				continue;
			for (uint32_t k = 0; k < n && !under; k++)
				under = child_of(own, set[k]);
			if (!under)
				continue;
			set[n++] = own;
			if (b->state != M_STAGED)
				forget_block(m, i, f);
			forget_claim(m, own);
		}
	}
	free(set);
	return 0;
}

enum m_presence m_presence(const struct model *m, struct m_hash h)
{
	uint32_t id = lookup(m, h);

	if (id == M_NONE)
		return M_ABSENT;
	return m->slot[id].state == M_INACTIVE ? M_IDLE : M_ACTIVE;
}

enum m_presence m_pending(const struct model *m, struct m_hash h)
{
	enum m_presence p = m_presence(m, h);

	return p == M_ABSENT && claimant(m, h) != M_NONE ? M_PENDING : p;
}

int m_get_info(const struct model *m, int s, uint32_t id, struct m_info *info)
{
	const struct m_slot *b;

	if (id >= m->cfg.total)
		return -EINVAL;
	b = &m->slot[id];
	*info = (struct m_info){
		.state = b->state,
		.hash = b->hash,
		.generation = b->generation,
		.reset = b->reset,
		.holds = m_holds(m, id),
		.own = b->holds[s],
	};
	if (b->state == M_DUPLICATE)
		b = &m->slot[b->primary];
	info->rank = b->rank;
	info->until_ns = b->until << 20;
	if (b->until && b->until <= m->now_ns >> 20) {
		info->rank = M_RANK_NORMAL;
		info->until_ns = 0;
	}
	b = &m->slot[id];
	if (m_owns(m, s, id, M_MUTABLE) || m_owns(m, s, id, M_STAGED))
		info->own = 1;
	else if (b->state == M_STAGED)
		info->hash = (struct m_hash){ 0 };
	if (registered(b) || m_owns(m, s, id, M_STAGED))
		info->note = b->note;
	if (b->state == M_DUPLICATE)
		info->note = m->slot[b->primary].note;
	return 0;
}

/* A hash that nothing can carry is a miss here too: not counted, always 0. */
void m_touch(struct model *m, struct m_hash h)
{
	if (m_hash_valid(h))
		m_sketch_touch(&m->sketch, h);
}

void m_newest(struct model *m, struct m_hash h)
{
	uint32_t id = lookup(m, h);

	m_touch(m, h);
	if (id == M_NONE || m->slot[id].state != M_INACTIVE)
		return;
	m_index_touch(&m->index, id, list_of(m, id));
}

int m_user(int s)
{
	return s % 3;
}

bool m_admin(int s)
{
	return !s;
}

/* Blocks above the normal rank, of one user or of all (-1). */
static uint32_t raised(struct model *m, int user)
{
	uint32_t n = 0;

	look_at_clocks(m);
	for (uint32_t i = 0; i < m->cfg.total; i++)
		n += m->slot[i].rank > M_RANK_NORMAL &&
		     (user < 0 || m->slot[i].payer == user);
	return n;
}

/* For good comes after all times. */
static bool longer(uint64_t a, uint64_t b)
{
	return b && (!a || a > b);
}

static bool owner(const struct model *m, int s)
{
	return m->cfg.one_owner || m_admin(s);
}

static int user(const struct model *m, int s)
{
	return m->cfg.one_owner ? 0 : m_user(s);
}

static enum m_kept keep(struct model *m, int s, uint32_t id, bool held,
			enum m_rank rank, uint64_t until)
{
	struct m_slot *b = &m->slot[id];
	bool raise;

	look_at_clock(m, id);
	if (until && until <= m->now_ns >> 20) {
		rank = M_RANK_NORMAL;
		until = 0;
	}
	raise = rank >= b->rank;
	if (b->rank > M_RANK_NORMAL && longer(b->until, until))
		raise = false;
	if (rank == M_RANK_FIRST && b->rank == M_RANK_FIRST &&
	    longer(until, b->until))
		raise = false;
	if (!held && !owner(m, s) && !raise)
		return M_KEEP_DENIED;
	if (rank == b->rank && until == b->until)
		return M_KEPT;
	if (rank <= M_RANK_NORMAL) {
		b->payer = -1;
	} else if (b->payer != user(m, s)) {
		if (b->payer < 0 && raised(m, -1) >= m->cfg.keep_blocks)
			return M_KEEP_FULL;
		if (!owner(m, s) &&
		    raised(m, user(m, s)) >= m->cfg.keep_user_blocks)
			return M_KEEP_FULL;
		b->payer = user(m, s);
	}
	b->rank = rank;
	b->until = until;
	return M_KEPT;
}

/* Does the session keep the block from becoming idle? */
static bool keeps_alive(const struct model *m, int s, uint32_t id)
{
	for (uint32_t i = 0; i < m->cfg.total; i++)
		if (m->slot[i].state == M_DUPLICATE &&
		    m->slot[i].primary == id && holding(m, s, i))
			return true;
	return holding(m, s, id);
}

int m_keep_id(struct model *m, int s, uint32_t id, enum m_rank rank,
	      uint64_t until_ns, enum m_kept *what)
{
	if (!holding(m, s, id))
		return -EPERM;
	if (m->slot[id].state == M_DUPLICATE)
		id = m->slot[id].primary;
	*what = m->slot[id].state == M_FORGOTTEN ? M_KEEP_ABSENT :
		keep(m, s, id, true, rank, units(until_ns));
	return 0;
}

void m_keep_hash(struct model *m, int s, struct m_hash h, enum m_rank rank,
		 uint64_t until_ns, enum m_kept *what)
{
	uint32_t id = lookup(m, h);

	*what = id == M_NONE ? M_KEEP_ABSENT :
		keep(m, s, id, keeps_alive(m, s, id), rank, units(until_ns));
}

unsigned int m_frequency(const struct model *m, struct m_hash h)
{
	return m_hash_valid(h) ? m_sketch_read(&m->sketch, h) : 0;
}

void m_get_stats(const struct model *m, struct m_stats *st)
{
	*st = m->count;
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		const struct m_slot *b = &m->slot[i];

		st->inflight_mutable += b->state == M_MUTABLE;
		if (registered(b))
			st->inflight_immutable += m_holds(m, i) - b->keepalives;
	}
	st->reset_pool_size = m->n_free;
	st->inactive_pool_size = m->index.len;
}

/* ---- invariants ---- */

void model_check(const struct model *m)
{
	uint32_t n[M_FORGOTTEN + 1] = { 0 };
	uint64_t keepalives = 0;

	for (uint32_t i = 0; i < m->cfg.total; i++) {
		const struct m_slot *b = &m->slot[i];

		n[b->state]++;
		if (registered(b)) {
			M_ASSERT(m_hash_valid(b->hash));
			M_ASSERT(!m_holds(m, i) == (b->state == M_INACTIVE));
			keepalives += b->keepalives;
		} else {
			for (int s = 0; s < M_MAX_SESSIONS; s++)
				M_ASSERT(!b->holds[s]);
		}
		for (int s = 0; s < M_MAX_SESSIONS; s++)
			M_ASSERT(m->open[s] || !b->holds[s]);
		if (b->state == M_MUTABLE || b->state == M_STAGED)
			M_ASSERT(m->open[b->owner]);
		/* One Primary a hash; a Duplicate's is the one it names. */
		if (b->state == M_PRIMARY || b->state == M_INACTIVE)
			M_ASSERT(lookup(m, b->hash) == i);
		if (b->state == M_DUPLICATE)
			M_ASSERT(gone(m, b) ||
				 (lookup(m, b->hash) == b->primary &&
				  m->slot[b->primary].state == M_PRIMARY));
		/* And no other: the index has as many as are Inactive. */
		if (b->state == M_INACTIVE)
			M_ASSERT(m_index_has(&m->index, i));
	}
	for (int s = 0; s < M_MAX_SESSIONS && m->cfg.max_held; s++)
		M_ASSERT(m_kept(m, s) <= m->cfg.max_held);
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		const struct m_slot *b = &m->slot[i];

		M_ASSERT(b->rank == M_RANK_NORMAL || b->state == M_PRIMARY ||
			 b->state == M_INACTIVE);
		M_ASSERT((b->payer >= 0) == (b->rank > M_RANK_NORMAL));
		M_ASSERT(!b->until || b->rank != M_RANK_NORMAL);
	}
	M_ASSERT(keepalives == n[M_DUPLICATE]);
	M_ASSERT(n[M_RESET] == m->n_free);
	M_ASSERT(n[M_INACTIVE] == m->index.len);
	for (uint32_t i = 0; i < m->n_free; i++) {
		M_ASSERT(m->slot[m->free[i]].state == M_RESET);
		for (uint32_t k = 0; k < i; k++)
			M_ASSERT(m->free[k] != m->free[i]);
	}
	m_index_check(&m->index);
}
