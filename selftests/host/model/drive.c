// SPDX-License-Identifier: MIT
/*
 * The real core in user space, driven as ioctl.c drives it: chunk by chunk,
 * with preparation between chunks. This is the only file here that is compiled
 * against the stand-ins.
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "batch.h"
#include "index.h"
#include "note.h"
#include "sketch.h"
#include "claim.h"
#include "offer.h"
#include "forget.h"
#include "retain.h"
#include "host.h"

#include "host_take.h"
#include "drive.h"

static_assert(G_MAX > KVBM_CHUNK);
static_assert((int)M_RESET == KVBM_STATE_RESET &&
	      (int)M_INACTIVE == KVBM_STATE_INACTIVE &&
	      (int)M_FORGOTTEN == KVBM_STATE_FORGOTTEN);
static_assert((int)M_KIND_DEDUP == KVBM_KIND_DEDUP);
static_assert((int)M_ABSENT == KVBM_ABSENT && (int)M_ACTIVE == KVBM_ACTIVE &&
	      (int)M_PENDING == KVBM_PENDING);
static_assert((int)M_CLAIMED == KVBM_CLAIMED &&
	      (int)M_CLAIM_PRESENT == KVBM_CLAIM_PRESENT);
static_assert((int)M_RANK_FIRST == KVBM_RANK_FIRST &&
	      (int)M_RANK_KEEP == KVBM_RANK_KEEP &&
	      (int)M_KEPT == KVBM_KEEP_DONE &&
	      (int)M_KEEP_FULL == KVBM_KEEP_FULL);
static_assert(M_NONE == KVBM_NO_BLOCK && M_HOLD_LIMIT == KVBM_MAX_HOLDS);

/* The model's notes are numbers: here each word is made from one. */
#define NOTE_BYTES	20
#define NOTE_WORDS	3

static void put_note(u64 note, u64 *words)
{
	for (u32 i = 0; i < NOTE_WORDS; i++)
		words[i] = note * (2 * i + 1);
}

static u64 get_note(const u64 *words)
{
	u64 want[NOTE_WORDS];

	put_note(words[0], want);
	M_ASSERT(!memcmp(words, want, sizeof(want)));
	return words[0];
}

struct core {
	struct kvbm_store *st;
	struct kvbm_session *ses[M_MAX_SESSIONS];
	struct kvbm_ticket ticket[M_MAX_SESSIONS];	/* of its last offer */
	u64 now_ns;
};

void core_setup(void)
{
	/* One thread, so that a seed repeats and fork() loses nothing. */
	host_work_manual(true);
	host_seed(1);
}

struct core *core_new(const struct m_config *cfg, int *err)
{
	struct kvbm_config c = {
		.total = cfg->total,
		.block_size = cfg->block_size,
		.policy = kvbm_evict_find(m_policy_name[cfg->policy]),
		.reject = cfg->dup == M_DUP_REJECT,
		.reset = cfg->reset,
		.freq_capacity = cfg->frequency,
		.max_sessions = M_MAX_SESSIONS,
		.max_held = cfg->max_held,
		.keep_blocks = cfg->keep_blocks,
		.keep_user_blocks = cfg->keep_user_blocks,
		.note_bytes = cfg->notes ? NOTE_BYTES : 0,
	};
	struct core *core;
	u32 i;

	M_ASSERT(c.policy);
	for (i = 0; i < 3; i++)
		c.thresholds[i] = cfg->thresholds[i];
	*err = kvbm_config_check(&c);
	if (*err)
		return NULL;
	core = kzalloc(sizeof(*core), GFP_KERNEL);
	M_ASSERT(core);
	core->st = kzalloc(sizeof(*core->st), GFP_KERNEL);
	M_ASSERT(core->st);
	core->st->id = 1;
	core->now_ns = M_TIME_BEGIN;
	host_set_time(core->now_ns);
	*err = kvbm_store_init(core->st, &c);
	if (*err) {
		kfree(core->st);
		kfree(core);
		return NULL;
	}
	return core;
}

static void end_session(struct core *c, int s)
{
	kvbm_session_exit(c->ses[s]);
	kvbm_holds_free(c->ses[s]);
	kfree(c->ses[s]);
	c->ses[s] = NULL;
}

void core_free(struct core *c)
{
	int s;

	for (s = 0; s < M_MAX_SESSIONS; s++)
		if (c->ses[s])
			end_session(c, s);
	kvbm_store_exit(c->st);
	kfree(c->st);
	kfree(c);
}

static void open_session(struct core *c, int s, struct g_res *res)
{
	if (c->ses[s]) {
		res->err = -EBUSY;
		return;
	}
	c->ses[s] = kzalloc(sizeof(*c->ses[s]), GFP_KERNEL);
	M_ASSERT(c->ses[s]);
	c->ses[s]->uid = m_user(s);
	c->ses[s]->may_lower = m_admin(s);
	res->err = kvbm_session_init(c->ses[s], c->st);
	M_ASSERT(!res->err);
}

static void allocate(struct core *c, const struct g_op *op, struct g_res *res)
{
	bool reset_only = op->kind == G_ALLOC_RESET;
	struct kvbm_hash *keys = calloc(op->n + 1, sizeof(*keys));
	struct host_took took;
	u32 i;

	M_ASSERT(keys);
	/* Checks that are up to the caller. */
	if (!reset_only && op->n > c->st->cfg.total)
		res->err = -EINVAL;
	else
		res->err = host_take(c->ses[op->session], op->n, reset_only,
				     res->ids, keys, &took);
	if (!res->err) {
		res->done = took.got;
		res->n_evicted = took.evicted;
		for (i = 0; i < took.evicted; i++)
			res->evicted[i] = (struct m_hash){
				.hi = keys[i].hi,
				.lo = keys[i].lo,
			};
	}
	free(keys);
}

/* The notes of what was found. */
static void tell_notes(struct core *c, const struct kvbm_hash *keys,
		       const u32 *ids, u32 n, uint64_t *notes)
{
	u64 words[NOTE_WORDS];

	for (u32 i = 0; c->st->notes && i < n; i++) {
		if (ids[i] == KVBM_NO_BLOCK)
			continue;
		M_ASSERT(kvbm_note_read(c->st, ids[i], &keys[i], words));
		notes[i] = get_note(words);
	}
}

/* Up to a chunk of a batch, from element res->done on; returns how many. */
static u32 one_chunk(struct core *c, const struct g_op *op, struct g_res *res,
		     u32 n, u32 requested, struct kvbm_step *step)
{
	struct kvbm_session *ses = c->ses[op->session];
	struct kvbm_registered reg[KVBM_CHUNK];
	u32 tokens[KVBM_CHUNK], out[KVBM_CHUNK];
	struct kvbm_weak weak[KVBM_CHUNK];
	struct kvbm_forgotten forgotten = {};
	struct kvbm_claiming claiming;
	u64 words[KVBM_CHUNK * NOTE_WORDS];
	const u64 *notes = op->noted ? words : NULL;
	u32 at = res->done, i, k, hits;
	const u32 *ids = op->ids + at;
	struct kvbm_chunk chunk;
	u8 presence[KVBM_CHUNK];
	struct kvbm_keep_to to;
	bool reject;

	for (i = 0; i < n; i++) {
		chunk.keys[i].hi = op->hash[at + i].hi;
		chunk.keys[i].lo = op->hash[at + i].lo;
		tokens[i] = op->tokens;
		put_note(op->note[at + i], words + i * NOTE_WORDS);
		weak[i].block = ids[i];
		weak[i].generation = op->generation[at + i];
		weak[i].hash = chunk.keys[i];
	}
	reject = op->dup == M_DUP_DEFAULT ? c->st->cfg.reject :
					    op->dup == M_DUP_REJECT;
	switch (op->kind) {
	case G_STAGE:
		return kvbm_stage_chunk(ses, ids, chunk.keys,
					op->tokens == M_TOKENS_NONE ? NULL :
								      tokens,
					notes, n, step);
	case G_CLAIM:
		kvbm_claiming_begin(&claiming);
		k = kvbm_claim_chunk(ses, ids, chunk.keys, NULL, notes, n,
				     &claiming, step);
		kvbm_claiming_end(&claiming);
		for (i = 0; i < k; i++)
			res->val[at + i] = claiming.states[i];
		return k;
	case G_UNSTAGE:
		return kvbm_unstage_chunk(ses, ids, n, step);
	case G_REGISTER:
	case G_STAGE_REGISTER:
		k = kvbm_register_chunk(ses, ids, op->kind == G_REGISTER ?
					NULL : chunk.keys, notes, n, reject,
					reg, step);
		for (i = 0; i < k; i++) {
			res->ids[at + i] = reg[i].block;
			res->val[at + i] = reg[i].kind;
		}
		return k;
	case G_MATCH:
		k = kvbm_match_chunk(ses, &chunk, n, requested, step);
		memcpy(res->ids + at, chunk.ids, k * sizeof(u32));
		tell_notes(c, chunk.keys, chunk.ids, k, res->note + at);
		return k;
	case G_SCAN:
	case G_SCAN_TOUCH:
		k = kvbm_scan_chunk(ses, &chunk, n, requested,
				    op->kind == G_SCAN_TOUCH, &hits, step);
		memcpy(res->ids + at, chunk.ids, k * sizeof(u32));
		tell_notes(c, chunk.keys, chunk.ids, k, res->note + at);
		return k;
	case G_RELEASE:
		return kvbm_release_chunk(ses, ids, n, 0, step);
	case G_RETAIN:
		return kvbm_retain_chunk(ses, ids, n, step);
	case G_SET_RESET:
		return kvbm_set_reset_chunk(ses, ids, n, op->flag, step);
	case G_UPGRADE:
		k = kvbm_upgrade_chunk(ses, weak, out, n, &hits, step);
		memcpy(res->ids + at, out, k * sizeof(u32));
		return k;
	case G_PRESENCE:
	case G_PENDING:
		kvbm_presence(c->st, &chunk, n, presence);
		if (op->kind == G_PENDING)
			kvbm_claims_seen(c->st, &chunk, n, presence);
		for (i = 0; i < n; i++)
			res->val[at + i] = presence[i];
		return n;
	case G_INVALIDATE:
		if (op->flag) {
			M_ASSERT(n == 1);
			M_ASSERT(!kvbm_forget_prefix(c->st, chunk.keys,
						     &forgotten));
			k = 1;
		} else {
			k = kvbm_forget_chunk(c->st, chunk.keys, n, &forgotten);
		}
		res->forgotten.idle += forgotten.idle;
		res->forgotten.held += forgotten.held;
		return k;
	case G_TOUCH:
		if (c->st->sketch)
			kvbm_sketch_touch(c->st->sketch, chunk.keys, n);
		return n;
	case G_NEWEST:
		if (c->st->sketch)
			kvbm_sketch_touch(c->st->sketch, chunk.keys, n);
		for (k = 0; k < n;)
			k += kvbm_newest_chunk(c->st, &chunk.keys[k], n - k);
		return n;
	case G_KEEP:
	case G_KEEP_HASHES:
		to.rank = op->rank;
		to.until = kvbm_keep_until(op->ns);
		k = kvbm_keep_chunk(ses, op->kind == G_KEEP ? ids : NULL,
				    chunk.keys, n, &to, presence, step);
		for (i = 0; i < k; i++)
			res->val[at + i] = presence[i];
		return k;
	case G_FREQ:
		for (i = 0; i < n; i++)
			res->val[at + i] = kvbm_sketch_read(c->st->sketch,
							    &chunk.keys[i]);
		return n;
	default:
		M_ASSERT(!"not a batch");
		return 0;
	}
}

struct batch {
	struct kvbm_batch b;
	struct core *c;
	const struct g_op *op;
	struct g_res *res;
	u32 requested;
};

static int batch_one(struct kvbm_batch *b, u32 n, struct kvbm_step *step)
{
	struct batch *m = container_of(b, struct batch, b);
	u32 k;

	m->res->done = b->done;
	k = one_chunk(m->c, m->op, m->res, n, m->requested, step);
	m->requested = 0;
	M_ASSERT(k <= n);
	M_ASSERT(k < n || !(step->err || step->stop));
	return k;
}

static void batch(struct core *c, const struct g_op *op, struct g_res *res)
{
	struct batch m = {
		.c = c, .op = op, .res = res, .requested = op->n,
	};

	if (!op->n)
		return;
	res->err = kvbm_batch_run(&m.b, c->ses[op->session], op->n, KVBM_CHUNK,
				  batch_one);
	res->done = m.b.done;
}

static void reset_inactive(struct core *c, struct g_res *res)
{
	struct kvbm_counts counts = {};
	u32 n;

	kvbm_store_counts(c->st, &counts);
	do {
		n = kvbm_reset_inactive_chunk(c->st,
					      counts.inactive - res->done);
		res->done += n;
	} while (n);
	res->flag = kvbm_store_is_reset(c->st);
}

static void invalidate_all(struct core *c, struct g_res *res)
{
	struct kvbm_forgotten f = {};
	u32 from = 0;

	kvbm_forget_epoch(c->st);
	while (kvbm_forget_some(c->st, &from, &f))
		;
	res->forgotten.idle = f.idle;
	res->forgotten.held = f.held;
}

static void stats(struct core *c, struct g_res *res)
{
	struct kvbm_stats st = {};

	kvbm_store_stats(c->st, &st);
#define KVBM_STATS_CONTRACT
#define KVBM_STAT(name, help) res->stats.name = st.name;
#include "stats.def"
}

static void info(struct core *c, const struct g_op *op, struct g_res *res)
{
	struct kvbm_block_info b = {};
	u64 words[NOTE_WORDS] = {};

	res->err = kvbm_block_info(c->ses[op->session], op->ids[0], false, &b,
				   c->st->notes ? words : NULL);
	if (res->err)
		return;
	res->info = (struct m_info){
		.state = (enum m_state)b.state,
		.hash = { .hi = b.hash.hi, .lo = b.hash.lo },
		.generation = b.generation,
		.reset = b.reset_on_release,
		.holds = b.holds,
		.own = b.own_holds,
		.rank = (enum m_rank)b.keep_rank,
		.until_ns = b.keep_until_ns,
		.note = get_note(words),
	};
}

/* One for each session: the model remembers no more. */
static void offer(struct core *c, const struct g_op *op, struct g_res *res)
{
	struct kvbm_session *ses = c->ses[op->session];
	struct kvbm_handover *o;
	u32 i;

	if (ses->nr_offers) {
		res->err = -EALREADY;
		return;
	}
	/* Checks that are up to the caller. */
	if (!op->n) {
		res->err = -EINVAL;
		return;
	}
	o = kvbm_offer_new(ses, op->n);
	M_ASSERT(o);
	for (i = 0; i < op->n; i++)
		o->holds[i].id = op->ids[i];
	res->err = kvbm_offer_begin(o, NULL);
	if (!res->err) {
		c->ticket[op->session] = o->ticket;
		res->done = op->n;
	}
	kvbm_offer_put(o);
}

static void accept_offer(struct core *c, const struct g_op *op,
			 struct g_res *res)
{
	struct kvbm_session *ses = c->ses[op->session];
	struct kvbm_handover *o;
	u32 i;

	o = kvbm_offer_find(ses, &c->ticket[op->generation[0]]);
	if (IS_ERR(o)) {
		res->err = PTR_ERR(o);
		return;
	}
	for (i = 0; i < o->n; i++)
		res->ids[i] = o->holds[i].id;
	res->err = kvbm_offer_accept(o, ses, &res->done);
	kvbm_offer_put(o);
}

void core_apply(struct core *c, const struct g_op *op, struct g_res *res)
{
	memset(res, 0, sizeof(*res));
	if (op->kind == G_OPEN) {
		open_session(c, op->session, res);
		return;
	}
	if (!c->ses[op->session]) {
		res->err = -EBADF;
		return;
	}
	switch (op->kind) {
	case G_CLOSE:
		res->done = kvbm_session_kill(c->ses[op->session], -ESHUTDOWN);
		end_session(c, op->session);
		break;
	case G_ALLOC:
	case G_ALLOC_RESET:
		allocate(c, op, res);
		break;
	case G_OFFER:
		offer(c, op, res);
		break;
	case G_ACCEPT:
		accept_offer(c, op, res);
		break;
	case G_WITHDRAW:
		res->err = kvbm_offer_withdraw(c->ses[op->session],
					       &c->ticket[op->session],
					       &res->done);
		break;
	case G_RESET_INACTIVE:
		reset_inactive(c, res);
		break;
	case G_INVALIDATE_ALL:
		invalidate_all(c, res);
		break;
	case G_COUNTS:
		stats(c, res);
		break;
	case G_TIME:
		c->now_ns += op->ns;
		host_set_time(c->now_ns);
		if (!op->flag)
			host_run_work();
		break;
	case G_INFO:
		info(c, op, res);
		break;
	default:
		batch(c, op, res);
		break;
	}
}

uint32_t core_registered(struct core *c)
{
	struct kvbm_counts counts = {};

	kvbm_store_counts(c->st, &counts);
	return counts.registered;
}

uint32_t core_free_list(struct core *c, uint32_t *ids, uint32_t max)
{
	u32 id = c->st->free.head, n;

	for (n = 0; n < c->st->free.len && n < max; n++) {
		ids[n] = id;
		id = c->st->slots[id].next;
	}
	return n;
}
