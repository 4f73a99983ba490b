// SPDX-License-Identifier: MIT
/*
 * The model as a backend of the script engine. All results come from the
 * model; this file only translates terms from model.h to the library's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "script_model.h"

static struct model *m;
static uint64_t reclaimed_owned, reclaimed_holds;

/* To the model a note is a number; here is what it stands for. 0: zeroes. */
static uint8_t (*note)[KVBM_MAX_NOTE_BYTES];
static uint64_t n_notes;
static uint32_t note_bytes;

const struct model *script_model_store(void)
{
	return m;
}

static struct m_hash from_hash(const struct kvbm_hash *h)
{
	return (struct m_hash){ .hi = h->hi, .lo = h->lo };
}

static struct kvbm_hash to_hash(struct m_hash h)
{
	return (struct kvbm_hash){ .hi = h.hi, .lo = h.lo };
}

static struct m_hash *from_hashes(const struct kvbm_hash *hashes, uint32_t n)
{
	struct m_hash *h = calloc(n + 1, sizeof(*h));

	M_ASSERT(h);
	for (uint32_t i = 0; i < n; i++)
		h[i] = from_hash(&hashes[i]);
	return h;
}

/* The return value of a call whose element @done failed, or none did. */
static int ended(uint32_t done, int err, uint32_t *error)
{
	if (error)
		*error = -err;
	return done || !err ? (int)done : err;
}

/* Returns the number of one more; NULL: zeroes. */
static uint64_t new_note(const void *bytes)
{
	note = realloc(note, (n_notes + 1) * sizeof(*note));
	M_ASSERT(note);
	memset(note[n_notes], 0, sizeof(*note));
	if (bytes)
		memcpy(note[n_notes], bytes, note_bytes);
	return n_notes++;
}

static void tell_note(uint64_t number, void *notes, uint32_t i)
{
	M_ASSERT(number < n_notes);
	memcpy((uint8_t *)notes + (size_t)i * note_bytes, note[number],
	       note_bytes);
}

static const void *nth(const void *notes, uint32_t i)
{
	return (const uint8_t *)notes + (size_t)i * note_bytes;
}

/* ---- stores and sessions ---- */

static int create(const struct script_new *config)
{
	struct m_config c = {
		.total = config->total,
		.block_size = config->block_size,
		.policy = M_POLICIES,
		.dup = config->reject ? M_DUP_REJECT : M_DUP_ALLOW,
		.reset = config->reset,
		.frequency = config->freq == 1 ? 1u << 21 : config->freq,
		.keep_blocks = config->has_keep ? config->keep : 0,
		.notes = config->has_note,
		.one_owner = true,
	};
	int err;

	M_ASSERT(!m);
	for (int i = 0; i < M_POLICIES; i++)
		if (!strcmp(config->policy, m_policy_name[i]))
			c.policy = i;
	for (int i = 0; i < 3; i++)
		c.thresholds[i] = config->thresholds[i] > 15 ?
				  16 : config->thresholds[i];
	if (c.keep_blocks > c.total || config->note > KVBM_MAX_NOTE_BYTES)
		return -EINVAL;
	m = model_new(&c, &err);
	if (!m)
		return err;
	M_ASSERT(!m_session_open(m, 0));
	reclaimed_owned = 0;
	reclaimed_holds = 0;
	note_bytes = config->note;
	new_note(NULL);
	return 0;
}

static int session_open(int session)
{
	M_ASSERT(m->open[session]);
	for (int s = 0; s < M_MAX_SESSIONS; s++)
		if (!m_session_open(m, s))
			return s;
	return -EMFILE;
}

static uint32_t owned(int session)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->cfg.total; i++)
		n += m_owns(m, session, i, M_MUTABLE) ||
		     m_owns(m, session, i, M_STAGED);
	return n;
}

/* The store goes with its last session. */
static void session_close(int session)
{
	uint32_t blocks = owned(session);

	reclaimed_owned += blocks;
	reclaimed_holds += m_session_close(m, session) - blocks;
	model_check(m);
	for (int s = 0; s < M_MAX_SESSIONS; s++)
		if (m->open[s])
			return;
	model_free(m);
	m = NULL;
	free(note);
	note = NULL;
	n_notes = 0;
}

/* It makes no difference here who has the session last. */
static int session_kill(int session)
{
	session_close(session);
	return 0;
}

/* ---- blocks ---- */

static int alloc(int session, uint32_t n, uint32_t *ids,
		 struct kvbm_evicted *evicted, uint32_t *nr_evicted)
{
	struct m_hash *hash = calloc(n + 1, sizeof(*hash));
	int err;

	M_ASSERT(hash);
	err = m_allocate(m, session, n, ids, hash, nr_evicted);
	for (uint32_t i = 0; i < *nr_evicted; i++)
		evicted[i].hash = to_hash(hash[i]);
	free(hash);
	return err ? err : (int)n;
}

static int alloc_reset(int session, uint32_t n, uint32_t *ids)
{
	return (int)m_allocate_reset(m, session, n, ids);
}

static int stage(int session, uint32_t n, const uint32_t *ids,
		 const struct kvbm_hash *hashes, const uint32_t *tokens,
		 uint32_t *error)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < n; i++) {
		err = m_stage(m, session, ids[i], from_hash(&hashes[i]),
			      tokens ? tokens[i] : M_TOKENS_NONE);
		if (err)
			break;
	}
	return ended(i, err, error);
}

static int claim(int session, uint32_t n, const uint32_t *ids,
		 const struct kvbm_hash *hashes, uint8_t *states,
		 uint32_t *error)
{
	static const uint8_t state[] = {
		[M_CLAIMED] = KVBM_CLAIMED,
		[M_CLAIM_PENDING] = KVBM_CLAIM_PENDING,
		[M_CLAIM_PRESENT] = KVBM_CLAIM_PRESENT,
	};
	enum m_claim what;
	uint32_t i;
	int err = 0;

	for (i = 0; i < n; i++) {
		err = m_claim(m, session, ids[i], from_hash(&hashes[i]), &what);
		if (err)
			break;
		states[i] = state[what];
	}
	return ended(i, err, error);
}

static int stage_notes(int session, uint32_t n, const uint32_t *ids,
		       const struct kvbm_hash *hashes, const void *notes,
		       uint32_t *error)
{
	uint32_t i;
	int err = 0;

	if (!m->cfg.notes)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		err = m_stage(m, session, ids[i], from_hash(&hashes[i]),
			      M_TOKENS_NONE);
		if (err)
			break;
		m_give_note(m, ids[i], new_note(nth(notes, i)));
	}
	return ended(i, err, error);
}

static int claim_notes(int session, uint32_t n, const uint32_t *ids,
		       const struct kvbm_hash *hashes, const void *notes,
		       uint8_t *states, uint32_t *error)
{
	int done;

	if (!m->cfg.notes)
		return -EINVAL;
	done = claim(session, n, ids, hashes, states, error);
	for (int i = 0; i < done; i++)
		if (states[i] == KVBM_CLAIMED)
			m_give_note(m, ids[i], new_note(nth(notes, i)));
	return done;
}

static int unstage(int session, uint32_t n, const uint32_t *ids,
		   uint32_t *error)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < n; i++) {
		err = m_unstage(m, session, ids[i]);
		if (err)
			break;
	}
	return ended(i, err, error);
}

static int reg(int session, uint32_t n, const uint32_t *ids,
	       struct kvbm_registered *results, uint32_t flags, uint32_t *error)
{
	static const uint32_t kinds[] = {
		[M_KIND_PRIMARY] = KVBM_KIND_PRIMARY,
		[M_KIND_DUP] = KVBM_KIND_DUPLICATE,
		[M_KIND_DEDUP] = KVBM_KIND_DEDUP,
	};
	enum m_kind kind;
	uint32_t i;
	int err = 0;

	M_ASSERT(!flags);
	for (i = 0; i < n; i++) {
		err = m_register(m, session, ids[i], M_DUP_DEFAULT, &kind,
				 &results[i].block);
		if (err)
			break;
		results[i].kind = kinds[kind];
	}
	return ended(i, err, error);
}

/* A hash has one note: the first registration's. */
static int register_notes(int session, uint32_t n, const uint32_t *ids,
			  const struct kvbm_hash *hashes, const void *notes,
			  struct kvbm_registered *results, uint32_t flags,
			  uint32_t *error)
{
	int done;

	M_ASSERT(!hashes);
	if (!m->cfg.notes)
		return -EINVAL;
	done = reg(session, n, ids, results, flags, error);
	for (int i = 0; i < done; i++)
		if (results[i].kind == KVBM_KIND_PRIMARY)
			m_give_note(m, ids[i], new_note(nth(notes, i)));
	return done;
}

static int match(int session, uint32_t n, const struct kvbm_hash *hashes,
		 uint32_t *ids, uint32_t *error)
{
	struct m_hash *h = from_hashes(hashes, n);
	uint32_t done;
	int err = m_match(m, session, h, n, ids, &done);

	free(h);
	return ended(done, err, error);
}

static int scan(int session, uint32_t n, const struct kvbm_hash *hashes,
		uint32_t *ids, uint32_t flags, uint32_t *hits, uint32_t *error)
{
	struct m_hash *h = from_hashes(hashes, n);
	uint32_t done;
	int err = m_scan(m, session, h, n, flags & KVBM_SCAN_TOUCH, ids, &done);

	free(h);
	*hits = 0;
	for (uint32_t i = 0; i < done; i++) {
		*hits += ids[i] != M_NONE;
		if (ids[i] == M_NONE)
			ids[i] = KVBM_NO_BLOCK;
	}
	return ended(done, err, error);
}

static void tell_notes(const uint32_t *ids, int n, void *notes)
{
	for (int i = 0; i < n; i++)
		tell_note(ids[i] == KVBM_NO_BLOCK ? 0 : m->slot[ids[i]].note,
			  notes, i);
}

static int match_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t *ids, void *notes, uint32_t *error)
{
	int done;

	if (!m->cfg.notes)
		return -EINVAL;
	done = match(session, n, hashes, ids, error);
	tell_notes(ids, done, notes);
	return done;
}

static int scan_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		      uint32_t *ids, void *notes, uint32_t flags,
		      uint32_t *hits, uint32_t *error)
{
	int done;

	if (!m->cfg.notes)
		return -EINVAL;
	done = scan(session, n, hashes, ids, flags, hits, error);
	tell_notes(ids, done, notes);
	return done;
}

/* One of those kinds that the flags ask for? */
static bool of_kind(int session, uint32_t id, uint32_t flags)
{
	if (m_owns(m, session, id, M_MUTABLE))
		return flags & KVBM_RELEASE_MUTABLE;
	if (m_owns(m, session, id, M_STAGED))
		return flags & KVBM_RELEASE_STAGED;
	return flags & KVBM_RELEASE_REGISTERED;
}

static int release(int session, uint32_t n, const uint32_t *ids, uint32_t flags,
		   uint32_t *error)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < n; i++) {
		err = of_kind(session, ids[i], flags) ?
		      m_release(m, session, ids[i]) : -EPERM;
		if (err)
			break;
	}
	return ended(i, err, error);
}

static int retain(int session, uint32_t n, const uint32_t *ids, uint32_t *error)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < n; i++) {
		err = m_retain(m, session, ids[i]);
		if (err)
			break;
	}
	return ended(i, err, error);
}

static int set_reset(int session, uint32_t n, const uint32_t *ids, bool on,
		     uint32_t *error)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < n; i++) {
		err = m_set_reset(m, session, ids[i], on);
		if (err)
			break;
	}
	return ended(i, err, error);
}

/* ---- offers: a ticket has the offer's number ---- */

#define TICKET	0x6b76626d00000000ull

static int offer(int session, uint32_t n, const uint32_t *ids,
		 struct kvbm_ticket *ticket)
{
	uint32_t number;
	int err = m_offer(m, session, ids, n, &number);

	if (!err)
		*ticket = (struct kvbm_ticket){ .hi = TICKET, .lo = number };
	return err;
}

static int accept_offer(int session, const struct kvbm_ticket *ticket,
			uint32_t room, uint32_t *ids, uint32_t *total)
{
	int err;

	/*
	 * One that is over is not looked up: its guards are gone, so there is
	 * no room for what it had.
	 */
	M_ASSERT(ticket->hi == TICKET);
	for (uint32_t i = 0; i < m->n_offers; i++)
		M_ASSERT(m->offer[i].number != ticket->lo ||
			 m->offer[i].n <= room);
	err = m_accept(m, session, ticket->lo, ids, total);
	return err ? err : (int)*total;
}

static int withdraw(int session, const struct kvbm_ticket *ticket)
{
	uint32_t done;
	int err;

	M_ASSERT(ticket->hi == TICKET);
	err = m_withdraw(m, session, ticket->lo, &done);
	return err ? err : (int)done;
}

/* ---- ranks ---- */

static const enum m_rank ranks[] = {
	[KVBM_RANK_FIRST] = M_RANK_FIRST,
	[KVBM_RANK_NORMAL] = M_RANK_NORMAL,
	[KVBM_RANK_HIGH] = M_RANK_HIGH,
	[KVBM_RANK_KEEP] = M_RANK_KEEP,
};

static const uint8_t kept[] = {
	[M_KEPT] = KVBM_KEEP_DONE,
	[M_KEEP_ABSENT] = KVBM_KEEP_ABSENT,
	[M_KEEP_DENIED] = KVBM_KEEP_DENIED,
	[M_KEEP_FULL] = KVBM_KEEP_FULL,
};

/* Whether there is such a rank to give, and when it ends. */
static int until(uint32_t rank, uint64_t ns, uint32_t flags, uint64_t *until_ns)
{
	if (!m->cfg.keep_blocks)
		return -EOPNOTSUPP;
	*until_ns = 0;
	if (!flags)
		return ns ? -EINVAL : 0;
	M_ASSERT(flags == KVBM_KEEP_RELATIVE);
	*until_ns = m->now_ns + ns;
	return !ns || ranks[rank] == M_RANK_NORMAL ? -EINVAL : 0;
}

static int keep(int session, uint32_t n, const uint32_t *ids, uint32_t rank,
		uint64_t until_ns, uint32_t flags, uint8_t *results,
		uint32_t *error)
{
	enum m_kept what;
	uint32_t i;
	int err = until(rank, until_ns, flags, &until_ns);

	if (err)
		return err;
	for (i = 0; i < n; i++) {
		err = m_keep_id(m, session, ids[i], ranks[rank], until_ns,
				&what);
		if (err)
			break;
		results[i] = kept[what];
	}
	return ended(i, err, error);
}

static int keep_hashes(int session, uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t rank, uint64_t until_ns, uint32_t flags,
		       uint8_t *results, uint32_t *error)
{
	enum m_kept what;
	int err = until(rank, until_ns, flags, &until_ns);

	if (err)
		return err;
	for (uint32_t i = 0; i < n; i++) {
		m_keep_hash(m, session, from_hash(&hashes[i]), ranks[rank],
			    until_ns, &what);
		results[i] = kept[what];
	}
	return ended(n, 0, error);
}

/* ---- weak references ---- */

static int weak(int session, uint32_t block, struct kvbm_weak *w)
{
	struct m_weak mine;
	int err = m_weak(m, session, block, &mine);

	if (!err)
		*w = (struct kvbm_weak){
			.block = mine.id,
			.generation = mine.generation,
			.hash = to_hash(mine.hash),
		};
	return err;
}

static int upgrade(int session, uint32_t n, const struct kvbm_weak *weaks,
		   uint32_t *ids, uint32_t *hits, uint32_t *error)
{
	uint32_t i;
	int err = 0;

	M_ASSERT(!hits);
	for (i = 0; i < n; i++) {
		struct m_weak w = {
			.id = weaks[i].block,
			.generation = weaks[i].generation,
			.hash = from_hash(&weaks[i].hash),
		};

		err = m_upgrade(m, session, &w, &ids[i]);
		if (err)
			break;
		if (ids[i] == M_NONE)
			ids[i] = KVBM_NO_BLOCK;
	}
	return ended(i, err, error);
}

/* ---- the whole store ---- */

static int reset_inactive(int session, bool *whole, uint32_t *done)
{
	uint32_t n = m_reset_inactive(m, whole);

	if (done)
		*done = n;
	return (int)n;
}

static int invalidate(int session, uint32_t n, const struct kvbm_hash *hashes,
		      uint32_t flags, uint32_t *idle, uint32_t *held)
{
	struct m_forgotten f = { 0 };
	int err = 0;

	if (flags == KVBM_INVALIDATE_ALL)
		m_invalidate_all(m, &f);
	for (uint32_t i = 0; i < n && !err; i++) {
		if (flags == KVBM_INVALIDATE_PREFIX)
			err = m_invalidate_prefix(m, from_hash(&hashes[i]), &f);
		else
			m_invalidate(m, from_hash(&hashes[i]), &f);
	}
	*idle = f.idle;
	*held = f.held;
	return err;
}

/* Here time is what scripts say that it is. */
static int sleep_ms(int session, uint64_t ms)
{
	m->now_ns += ms * 1000000;
	return 0;
}

static int counts(int session, struct kvbm_counts *c)
{
	*c = (struct kvbm_counts){
		.total = m->cfg.total,
		.reset = m->n_free,
		.inactive = m->index.len,
		.available = m->n_free + m->index.len,
		.registered = m_registered(m),
	};
	return 0;
}

static int stats(int session, struct kvbm_stats *st)
{
	struct m_stats mine;

	m_get_stats(m, &mine);
	*st = (struct kvbm_stats){
		.reclaimed_owned = reclaimed_owned,
		.reclaimed_holds = reclaimed_holds,
	};
#define KVBM_STATS_CONTRACT
#define KVBM_STAT(name, help)	st->name = mine.name;
#include "stats.def"
	for (uint32_t i = 0; i < m->cfg.total; i++)
		st->staged += m->slot[i].state == M_STAGED;
	for (int s = 0; s < M_MAX_SESSIONS; s++)
		st->sessions += m->open[s];
	return 0;
}

static int block_info(int session, uint32_t block, struct kvbm_block_info *info)
{
	static const uint32_t states[] = {
		[M_RESET] = KVBM_STATE_RESET,
		[M_MUTABLE] = KVBM_STATE_MUTABLE,
		[M_STAGED] = KVBM_STATE_STAGED,
		[M_PRIMARY] = KVBM_STATE_PRIMARY,
		[M_DUPLICATE] = KVBM_STATE_DUPLICATE,
		[M_INACTIVE] = KVBM_STATE_INACTIVE,
		[M_FORGOTTEN] = KVBM_STATE_FORGOTTEN,
	};
	static const uint32_t rank[] = {
		[M_RANK_FIRST] = KVBM_RANK_FIRST,
		[M_RANK_NORMAL] = KVBM_RANK_NORMAL,
		[M_RANK_HIGH] = KVBM_RANK_HIGH,
		[M_RANK_KEEP] = KVBM_RANK_KEEP,
	};
	struct m_info mine;
	int err = m_get_info(m, session, block, &mine);

	if (err)
		return err;
	*info = (struct kvbm_block_info){
		.block = block,
		.state = states[mine.state],
		.generation = mine.generation,
		.reset_on_release = mine.reset,
		.holds = mine.holds,
		.own_holds = mine.own,
		.hash = to_hash(mine.hash),
		.keep_rank = rank[mine.rank],
		.keep_until_ns = mine.until_ns,
	};
	return 0;
}

static int block_note(int session, uint32_t block,
		      struct kvbm_block_info *info, void *out)
{
	struct m_info mine;
	int err;

	if (!m->cfg.notes)
		return -EINVAL;
	err = m_get_info(m, session, block, &mine);
	if (!err)
		tell_note(mine.note, out, 0);
	return err ? err : block_info(session, block, info);
}

/* ---- questions about hashes ---- */

static const uint8_t presences[] = {
	[M_ABSENT] = KVBM_ABSENT,
	[M_IDLE] = KVBM_INACTIVE,
	[M_ACTIVE] = KVBM_ACTIVE,
	[M_PENDING] = KVBM_PENDING,
};

static int presence(int session, uint32_t n, const struct kvbm_hash *hashes,
		    uint8_t *out, uint32_t *error)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = presences[m_presence(m, from_hash(&hashes[i]))];
	return ended(n, 0, error);
}

static int pending(int session, uint32_t n, const struct kvbm_hash *hashes,
		   uint8_t *out, uint32_t *error)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = presences[m_pending(m, from_hash(&hashes[i]))];
	return ended(n, 0, error);
}

static int frequency(int session, uint32_t n, const struct kvbm_hash *hashes,
		     uint8_t *out, uint32_t *error)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = m_frequency(m, from_hash(&hashes[i]));
	return ended(n, 0, error);
}

static int touch(int session, uint32_t n, const struct kvbm_hash *hashes,
		 uint32_t *error)
{
	for (uint32_t i = 0; i < n; i++)
		m_touch(m, from_hash(&hashes[i]));
	return ended(n, 0, error);
}

static int touch_newest(int session, uint32_t n, const struct kvbm_hash *hashes,
			uint32_t *error)
{
	for (uint32_t i = 0; i < n; i++)
		m_newest(m, from_hash(&hashes[i]));
	return ended(n, 0, error);
}

static int hash_pack(uint64_t current, uint64_t parent, uint32_t position,
		     struct kvbm_hash *out)
{
	if (position > M_POSITION_MAX)
		return -EINVAL;
	*out = to_hash(m_hash_pack(current, parent, position));
	return 0;
}

const struct script_backend script_model = {
	.create = create,
	.session_open = session_open,
	.session_close = session_close,
	.session_kill = session_kill,
	.alloc = alloc,
	.alloc_reset = alloc_reset,
	.stage = stage,
	.claim = claim,
	.stage_notes = stage_notes,
	.claim_notes = claim_notes,
	.unstage = unstage,
	.reg = reg,
	.register_notes = register_notes,
	.match = match,
	.scan = scan,
	.match_notes = match_notes,
	.scan_notes = scan_notes,
	.release = release,
	.retain = retain,
	.set_reset = set_reset,
	.offer = offer,
	.accept = accept_offer,
	.withdraw = withdraw,
	.keep = keep,
	.keep_hashes = keep_hashes,
	.weak = weak,
	.upgrade = upgrade,
	.reset_inactive = reset_inactive,
	.invalidate = invalidate,
	.sleep = sleep_ms,
	.presence = presence,
	.pending = pending,
	.frequency = frequency,
	.touch = touch,
	.touch_newest = touch_newest,
	.counts = counts,
	.stats = stats,
	.block_info = block_info,
	.block_note = block_note,
	.hash_pack = hash_pack,
};
