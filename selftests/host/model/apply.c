// SPDX-License-Identifier: MIT
/* Runs operations on the model, compares and prints them and their results. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "gen.h"

const char *const g_kind_name[G_KINDS] = {
	[G_OPEN] = "open",
	[G_CLOSE] = "close",
	[G_ALLOC] = "alloc",
	[G_ALLOC_RESET] = "alloc_reset",
	[G_STAGE] = "stage",
	[G_CLAIM] = "claim",
	[G_UNSTAGE] = "unstage",
	[G_REGISTER] = "register",
	[G_STAGE_REGISTER] = "stage_register",
	[G_MATCH] = "match",
	[G_SCAN] = "scan",
	[G_SCAN_TOUCH] = "scan_touch",
	[G_RELEASE] = "release",
	[G_RETAIN] = "retain",
	[G_SET_RESET] = "set_reset",
	[G_OFFER] = "offer",
	[G_ACCEPT] = "accept",
	[G_WITHDRAW] = "withdraw",
	[G_UPGRADE] = "upgrade",
	[G_INVALIDATE] = "invalidate",
	[G_INVALIDATE_ALL] = "invalidate_all",
	[G_RESET_INACTIVE] = "reset_inactive",
	[G_COUNTS] = "counts",
	[G_PRESENCE] = "presence",
	[G_PENDING] = "pending",
	[G_INFO] = "info",
	[G_TOUCH] = "touch",
	[G_NEWEST] = "newest",
	[G_KEEP] = "keep",
	[G_KEEP_HASHES] = "keep_hashes",
	[G_TIME] = "time",
	[G_FREQ] = "freq",
};

/* An element of a registration: the first of a hash gives it its note. */
static void registered(struct model *m, const struct g_op *op,
		       struct g_res *res, int err, enum m_kind kind)
{
	uint32_t i = res->done;

	if (err)
		return;
	res->val[i] = kind;
	if (op->noted && kind == M_KIND_PRIMARY)
		m_give_note(m, op->ids[i], op->note[i]);
}

/* The notes of what was found. */
static void tell_notes(const struct model *m, struct g_res *res)
{
	for (uint32_t i = 0; i < res->done; i++)
		if (res->ids[i] != M_NONE)
			res->note[i] = m->slot[res->ids[i]].note;
}

/* One element of a batch; res->done is its number. */
static int apply_one(struct model *m, const struct g_op *op, struct g_res *res)
{
	uint32_t i = res->done;
	int s = op->session;
	struct m_weak w;
	enum m_claim claim;
	enum m_kept kept;
	enum m_kind kind = M_KIND_PRIMARY;
	int err = 0;

	switch (op->kind) {
	case G_STAGE:
		err = m_stage(m, s, op->ids[i], op->hash[i], op->tokens);
		if (!err && op->noted)
			m_give_note(m, op->ids[i], op->note[i]);
		return err;
	case G_CLAIM:
		err = m_claim(m, s, op->ids[i], op->hash[i], &claim);
		if (!err)
			res->val[i] = claim;
		if (!err && claim == M_CLAIMED && op->noted)
			m_give_note(m, op->ids[i], op->note[i]);
		return err;
	case G_UNSTAGE:
		return m_unstage(m, s, op->ids[i]);
	case G_REGISTER:
		err = m_register(m, s, op->ids[i], op->dup, &kind, &res->ids[i]);
		registered(m, op, res, err, kind);
		return err;
	case G_STAGE_REGISTER:
		err = m_stage_register(m, s, op->ids[i], op->hash[i], op->dup,
				       &kind, &res->ids[i]);
		registered(m, op, res, err, kind);
		return err;
	case G_RELEASE:
		return m_release(m, s, op->ids[i]);
	case G_RETAIN:
		return m_retain(m, s, op->ids[i]);
	case G_SET_RESET:
		return m_set_reset(m, s, op->ids[i], op->flag);
	case G_UPGRADE:
		w = (struct m_weak){
			.id = op->ids[i],
			.generation = op->generation[i],
			.hash = op->hash[i],
		};
		return m_upgrade(m, s, &w, &res->ids[i]);
	case G_PRESENCE:
		res->val[i] = m_presence(m, op->hash[i]);
		return 0;
	case G_PENDING:
		res->val[i] = m_pending(m, op->hash[i]);
		return 0;
	case G_TOUCH:
		m_touch(m, op->hash[i]);
		return 0;
	case G_NEWEST:
		m_newest(m, op->hash[i]);
		return 0;
	case G_KEEP:
		err = m_keep_id(m, s, op->ids[i], op->rank, op->ns, &kept);
		if (!err)
			res->val[i] = kept;
		return err;
	case G_KEEP_HASHES:
		m_keep_hash(m, s, op->hash[i], op->rank, op->ns, &kept);
		res->val[i] = kept;
		return 0;
	case G_INVALIDATE:
		if (op->flag)
			return m_invalidate_prefix(m, op->hash[i],
						   &res->forgotten);
		m_invalidate(m, op->hash[i], &res->forgotten);
		return 0;
	case G_FREQ:
		res->val[i] = m_frequency(m, op->hash[i]);
		return 0;
	default:
		M_ASSERT(!"not a batch");
		return 0;
	}
}

void g_apply(struct model *m, const struct g_op *op, struct g_res *res)
{
	int s = op->session;
	uint32_t offer;

	memset(res, 0, sizeof(*res));
	M_ASSERT(op->n <= G_MAX);
	if (op->kind == G_OPEN) {
		res->err = m_session_open(m, s);
		return;
	}
	if (!m->open[s]) {
		res->err = -EBADF;
		return;
	}
	switch (op->kind) {
	case G_CLOSE:
		res->done = (uint32_t)m_session_close(m, s);
		return;
	case G_ALLOC:
		res->err = m_allocate(m, s, op->n, res->ids, res->evicted,
				      &res->n_evicted);
		res->done = res->err ? 0 : op->n;
		return;
	case G_ALLOC_RESET:
		res->done = m_allocate_reset(m, s, op->n, res->ids);
		return;
	case G_MATCH:
		res->err = m_match(m, s, op->hash, op->n, res->ids, &res->done);
		tell_notes(m, res);
		return;
	case G_SCAN:
	case G_SCAN_TOUCH:
		res->err = m_scan(m, s, op->hash, op->n,
				  op->kind == G_SCAN_TOUCH, res->ids,
				  &res->done);
		tell_notes(m, res);
		return;
	case G_OFFER:
		/* One at a time: it goes by its giver. */
		res->err = m_open_offer(m, s) != M_NONE ? -EALREADY :
			   m_offer(m, s, op->ids, op->n, &offer);
		res->done = res->err ? 0 : op->n;
		return;
	case G_ACCEPT:
		offer = m_open_offer(m, (int)op->generation[0]);
		res->err = m_accept(m, s, offer, res->ids, &res->done);
		return;
	case G_WITHDRAW:
		offer = m_open_offer(m, s);
		res->err = m_withdraw(m, s, offer, &res->done);
		return;
	case G_INVALIDATE_ALL:
		m_invalidate_all(m, &res->forgotten);
		return;
	case G_TIME:
		m->now_ns += op->ns;
		return;
	case G_RESET_INACTIVE:
		res->done = m_reset_inactive(m, &res->flag);
		return;
	case G_COUNTS:
		m_get_stats(m, &res->stats);
		return;
	case G_INFO:
		res->err = m_get_info(m, s, op->ids[0], &res->info);
		return;
	default:
		break;
	}
	for (; res->done < op->n; res->done++) {
		res->err = apply_one(m, op, res);
		if (res->err)
			return;
	}
}

static bool has_result_ids(enum g_kind kind)
{
	switch (kind) {
	case G_ALLOC:
	case G_ALLOC_RESET:
	case G_REGISTER:
	case G_STAGE_REGISTER:
	case G_MATCH:
	case G_SCAN:
	case G_SCAN_TOUCH:
	case G_ACCEPT:
	case G_UPGRADE:
		return true;
	default:
		return false;
	}
}

static bool has_result_val(enum g_kind kind)
{
	return kind == G_REGISTER || kind == G_STAGE_REGISTER ||
	       kind == G_PRESENCE || kind == G_FREQ || kind == G_CLAIM ||
	       kind == G_PENDING || kind == G_KEEP || kind == G_KEEP_HASHES;
}

/* The flag of a slot that is not Primary or Inactive matters to nobody. */
static const char *compare_info(const struct m_info *a, const struct m_info *b)
{
	if (a->state != b->state)
		return "state";
	if (!m_hash_equal(a->hash, b->hash))
		return "hash";
	if (a->generation != b->generation)
		return "generation";
	if ((a->state == M_PRIMARY || a->state == M_INACTIVE) &&
	    a->reset != b->reset)
		return "reset-on-release flag";
	if (a->holds != b->holds)
		return "holds";
	if (a->own != b->own)
		return "own holds";
	if (a->rank != b->rank)
		return "rank";
	if (a->until_ns != b->until_ns)
		return "when the rank ends";
	if (a->note != b->note)
		return "note";
	return NULL;
}

const char *g_compare(const struct g_op *op, const struct g_res *a,
		      const struct g_res *b)
{
	if (a->err != b->err)
		return "error";
	if (a->done != b->done)
		return "count";
	if (has_result_ids(op->kind) &&
	    memcmp(a->ids, b->ids, a->done * sizeof(a->ids[0])))
		return "block ids";
	if (has_result_val(op->kind) &&
	    memcmp(a->val, b->val, a->done * sizeof(a->val[0])))
		return "values";
	if (memcmp(a->note, b->note, sizeof(a->note)))
		return "notes";
	if (a->n_evicted != b->n_evicted)
		return "number of evicted hashes";
	for (uint32_t i = 0; i < a->n_evicted; i++) {
		if (!m_hash_equal(a->evicted[i], b->evicted[i]))
			return "evicted hashes";
	}
	if (a->flag != b->flag)
		return "flag";
	if (a->forgotten.idle != b->forgotten.idle ||
	    a->forgotten.held != b->forgotten.held)
		return "blocks forgotten";
	if (op->kind == G_INFO && !a->err)
		return compare_info(&a->info, &b->info);
	if (op->kind == G_COUNTS) {
#define KVBM_STATS_CONTRACT
#define KVBM_STAT(name, help) \
		if (a->stats.name != b->stats.name) \
			return #name;
#include "stats.def"
	}
	return NULL;
}

static void print_ids(const char *name, const uint32_t *ids, uint32_t n,
		      FILE *out)
{
	fprintf(out, " %s", name);
	for (uint32_t i = 0; i < n; i++) {
		if (ids[i] == M_NONE)
			fprintf(out, "%cnone", i ? ',' : '=');
		else
			fprintf(out, "%c%" PRIu32, i ? ',' : '=', ids[i]);
	}
}

static void print_hashes(const char *name, const struct m_hash *h, uint32_t n,
			 FILE *out)
{
	fprintf(out, " %s", name);
	for (uint32_t i = 0; i < n; i++)
		fprintf(out, "%c%016" PRIx64 ":%016" PRIx64, i ? ',' : '=',
			h[i].hi, h[i].lo);
}

void g_print_op(const struct g_op *op, FILE *out)
{
	static const char *const dup[] = { "", " allow", " reject" };

	fprintf(out, "s%d %s n=%" PRIu32, op->session, g_kind_name[op->kind],
		op->n);
	switch (op->kind) {
	case G_STAGE:
	case G_CLAIM:
	case G_STAGE_REGISTER:
	case G_UPGRADE:
		print_ids("ids", op->ids, op->n, out);
		if (op->kind == G_UPGRADE)
			print_ids("generations", op->generation, op->n, out);
		print_hashes("hashes", op->hash, op->n, out);
		break;
	case G_MATCH:
	case G_SCAN:
	case G_SCAN_TOUCH:
	case G_PRESENCE:
	case G_PENDING:
	case G_TOUCH:
	case G_NEWEST:
	case G_KEEP_HASHES:
	case G_FREQ:
	case G_INVALIDATE:
		print_hashes("hashes", op->hash, op->n, out);
		break;
	case G_UNSTAGE:
	case G_KEEP:
	case G_REGISTER:
	case G_RELEASE:
	case G_RETAIN:
	case G_SET_RESET:
	case G_OFFER:
	case G_INFO:
		print_ids("ids", op->ids, op->n, out);
		break;
	case G_ACCEPT:
		fprintf(out, " of s%" PRIu32, op->generation[0]);
		break;
	default:
		break;
	}
	if (op->kind == G_KEEP || op->kind == G_KEEP_HASHES)
		fprintf(out, " rank=%d", op->rank);
	if (op->kind == G_KEEP || op->kind == G_KEEP_HASHES ||
	    op->kind == G_TIME)
		fprintf(out, " ns=%" PRIu64, op->ns);
	if (op->kind == G_SET_RESET)
		fprintf(out, " flag=%d", op->flag);
	if (op->kind == G_STAGE && op->tokens != M_TOKENS_NONE)
		fprintf(out, " tokens=%" PRIu32, op->tokens);
	if (op->kind == G_REGISTER || op->kind == G_STAGE_REGISTER)
		fputs(dup[op->dup], out);
	for (uint32_t i = 0; op->noted && i < op->n; i++)
		fprintf(out, "%s%" PRIx64, i ? "," : " notes=", op->note[i]);
	fputc('\n', out);
}

void g_print_res(const struct g_op *op, const struct g_res *res, FILE *out)
{
	fprintf(out, "err=%d done=%" PRIu32 " flag=%d", res->err, res->done,
		res->flag);
	if (has_result_ids(op->kind))
		print_ids("ids", res->ids, res->done, out);
	if (has_result_val(op->kind))
		print_ids("val", res->val, res->done, out);
	for (uint32_t i = 0; i < res->done && i < G_MAX; i++)
		if (res->note[i])
			fprintf(out, " note[%" PRIu32 "]=%" PRIx64, i,
				res->note[i]);
	if (res->forgotten.idle || res->forgotten.held)
		fprintf(out, " forgotten=%" PRIu32 "+%" PRIu32,
			res->forgotten.idle, res->forgotten.held);
	if (res->n_evicted)
		print_hashes("evicted", res->evicted, res->n_evicted, out);
	if (op->kind == G_INFO && !res->err)
		fprintf(out, " state=%d hash=%016" PRIx64 ":%016" PRIx64
			" generation=%" PRIu32 " reset=%d holds=%" PRIu64
			" own=%" PRIu64 " rank=%d until=%" PRIu64
			" note=%" PRIx64,
			res->info.state, res->info.hash.hi,
			res->info.hash.lo, res->info.generation,
			res->info.reset, res->info.holds, res->info.own,
			res->info.rank, res->info.until_ns, res->info.note);
	if (op->kind == G_COUNTS) {
#define KVBM_STATS_CONTRACT
#define KVBM_STAT(name, help) \
		fprintf(out, " " #name "=%" PRIu64, res->stats.name);
#include "stats.def"
	}
	fputc('\n', out);
}
