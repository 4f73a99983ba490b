// SPDX-License-Identifier: MIT
/*
 * Script operations on blocks and guards, as the current session.
 *
 * The printed results are the store's. The script's own records only translate
 * guards into block ids; where both know a thing, the two are compared.
 */
#include <errno.h>

#include "script_engine.h"

int script_fd(struct script *s)
{
	return s->current->fd;
}

static void put_id(struct script *s, bool *any, uint32_t id)
{
	script_put(s, *any ? ",%u" : "%u", id);
	*any = true;
}

void script_put_end(struct script *s, bool any)
{
	if (!any)
		script_put(s, "-");
}

void script_put_ids(struct script *s, uint32_t n)
{
	bool any = false;

	for (uint32_t i = 0; i < n; i++)
		put_id(s, &any, s->ids[i]);
	script_put_end(s, any);
}

static void put_bytes(struct script *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		script_put(s, i ? ",%u" : "%u", s->bytes[i]);
	script_put_end(s, n);
}

/* Writes down a hold on @block; *@guard is its number. */
static int add_guard(struct script *s, uint32_t block, uint64_t *guard)
{
	if (books_add_guard(&s->books, s->current, block, guard))
		return script_nomem(s);
	return 0;
}

static int own(struct script *s, uint32_t id, bool staged)
{
	return books_own(s->current, id, staged) ? script_nomem(s) : 0;
}

int script_short_of(int done, uint32_t error)
{
	return done < 0 ? done : -(int)error;
}

static int put_alloc(struct script *s, uint32_t n, uint32_t evicted)
{
	for (uint32_t i = 0; i < n; i++) {
		int err = own(s, s->ids[i], false);

		if (err)
			return err;
	}
	script_put(s, "ids=");
	script_put_ids(s, n);
	script_put(s, " evicted=");
	for (uint32_t i = 0; i < evicted; i++) {
		if (i)
			script_put(s, ",");
		script_put_hash(s, &s->evicted[i].hash);
	}
	script_put_end(s, evicted);
	return 0;
}

int script_op_alloc(struct script *s, const struct script_cmd *cmd)
{
	uint32_t evicted = 0;
	int n;

	if (cmd->number > s->total) {
		script_put(s, "none");
		return 0;
	}
	if (script_room(s, cmd->number))
		return -ENOMEM;
	n = s->backend->alloc(script_fd(s), cmd->number, s->ids, s->evicted,
			      &evicted);
	if (n == -ENOSPC) {
		script_put(s, "none");
		return 0;
	}
	return n < 0 ? n : put_alloc(s, n, evicted);
}

int script_op_alloc_reset(struct script *s, const struct script_cmd *cmd)
{
	uint32_t want = cmd->number > s->total ? s->total : cmd->number;
	int n;

	if (script_room(s, want))
		return -ENOMEM;
	n = s->backend->alloc_reset(script_fd(s), want, s->ids);
	return n < 0 ? n : put_alloc(s, n, 0);
}

int script_op_stage(struct script *s, const struct script_cmd *cmd)
{
	uint32_t tokens = cmd->number;
	int err;

	if (cmd->has_note) {
		err = script_fetch_note(s, cmd);
		if (!err)
			err = s->backend->stage_notes(script_fd(s), 1, cmd->ids,
						      cmd->hashes, s->notes,
						      NULL);
	} else {
		err = s->backend->stage(script_fd(s), 1, cmd->ids, cmd->hashes,
					cmd->has_number ? &tokens : NULL, NULL);
	}
	if (err < 0)
		return err;
	script_put(s, "ok");
	return own(s, cmd->ids[0], true);
}

int script_op_unstage(struct script *s, const struct script_cmd *cmd)
{
	int err = s->backend->unstage(script_fd(s), 1, cmd->ids, NULL);

	if (err < 0)
		return err;
	script_put(s, "ok");
	return own(s, cmd->ids[0], false);
}

static int register_one(struct script *s, uint32_t id, bool noted)
{
	static const char * const kinds[] = {
		[KVBM_KIND_PRIMARY] = "primary",
		[KVBM_KIND_DUPLICATE] = "dup",
		[KVBM_KIND_DEDUP] = "dedup",
	};
	struct kvbm_registered result;
	struct kvbm_block_info info;
	uint64_t guard;
	int err;

	if (noted)
		err = s->backend->register_notes(script_fd(s), 1, &id, NULL,
						 s->notes, &result, 0, NULL);
	else
		err = s->backend->reg(script_fd(s), 1, &id, &result, 0, NULL);
	if (err < 0)
		return err;
	books_disown(s->current, id);
	if (add_guard(s, result.block, &guard))
		return -ENOMEM;
	err = s->backend->block_info(script_fd(s), result.block, &info);
	if (err < 0)
		return err;
	if (result.kind > KVBM_KIND_DEDUP)
		return -EPROTO;
	script_put(s, "g%llu id=%u kind=%s use=%llu",
		   (unsigned long long)guard, result.block, kinds[result.kind],
		   (unsigned long long)info.holds);
	return 0;
}

/* register, register_note */
int script_op_register(struct script *s, const struct script_cmd *cmd)
{
	int err;

	if (cmd->has_note) {
		err = script_fetch_note(s, cmd);
		if (err)
			return err;
	}
	for (size_t i = 0; i < cmd->n_ids; i++) {
		if (i)
			script_put(s, " ; ");
		err = register_one(s, cmd->ids[i], cmd->has_note);
		if (err)
			return err;
	}
	script_put_end(s, cmd->n_ids);
	return 0;
}

int64_t script_add_guards(struct script *s, uint32_t n, uint64_t *first)
{
	int64_t made = 0;
	uint64_t guard;

	for (uint32_t i = 0; i < n; i++) {
		if (s->ids[i] == KVBM_NO_BLOCK)
			continue;
		if (add_guard(s, s->ids[i], &guard))
			return -ENOMEM;
		if (!made++)
			*first = guard;
	}
	return made;
}

void script_put_guards(struct script *s, uint64_t first, int64_t n)
{
	script_put(s, " guards=");
	for (int64_t i = 0; i < n; i++)
		script_put(s, i ? ",g%llu" : "g%llu",
			   (unsigned long long)(first + i));
	script_put_end(s, n);
}

/* match, match_notes */
int script_op_match(struct script *s, const struct script_cmd *cmd)
{
	bool noted = cmd->op == SCRIPT_MATCH_NOTES;
	uint32_t error = 0;
	uint64_t first = 0;
	int64_t guards;
	int done, err;

	if (script_room(s, cmd->n_hashes) ||
	    (noted && script_note_room(s, cmd->n_hashes)))
		return -ENOMEM;
	if (noted)
		done = s->backend->match_notes(script_fd(s), cmd->n_hashes,
					       cmd->hashes, s->ids, s->notes,
					       &error);
	else
		done = s->backend->match(script_fd(s), cmd->n_hashes,
					 cmd->hashes, s->ids, &error);
	err = script_short_of(done, error);
	guards = script_add_guards(s, done < 0 ? 0 : done, &first);
	if (guards < 0 || err)
		return err ? err : -ENOMEM;
	script_put(s, "ids=");
	script_put_ids(s, done);
	script_put_guards(s, first, guards);
	if (noted)
		script_put_notes(s, done);
	return 0;
}

/* scan, scan_touch, scan_notes */
int script_op_scan(struct script *s, const struct script_cmd *cmd)
{
	bool noted = cmd->op == SCRIPT_SCAN_NOTES;
	uint32_t flags = cmd->op == SCRIPT_SCAN_TOUCH ? KVBM_SCAN_TOUCH : 0;
	uint32_t error = 0, hits = 0;
	bool any = false;
	uint64_t first = 0;
	int64_t guards;
	int done, err;

	if (script_room(s, cmd->n_hashes) ||
	    (noted && script_note_room(s, cmd->n_hashes)))
		return -ENOMEM;
	if (noted)
		done = s->backend->scan_notes(script_fd(s), cmd->n_hashes,
					      cmd->hashes, s->ids, s->notes,
					      flags, &hits, &error);
	else
		done = s->backend->scan(script_fd(s), cmd->n_hashes,
					cmd->hashes, s->ids, flags, &hits,
					&error);
	err = script_short_of(done, error);
	guards = script_add_guards(s, done < 0 ? 0 : done, &first);
	if (guards < 0 || err)
		return err ? err : -ENOMEM;
	if (guards != hits)
		script_complain(s, "the store counted %u hits and gave %lld",
				hits, (long long)guards);
	script_put(s, "found=");
	for (int i = 0; i < done; i++) {
		if (s->ids[i] == KVBM_NO_BLOCK)
			continue;
		if (any)
			script_put(s, ",");
		script_put_hash(s, &cmd->hashes[i]);
		script_put(s, "=%u", s->ids[i]);
		any = true;
	}
	script_put_end(s, any);
	script_put_guards(s, first, guards);
	if (noted)
		script_put_notes(s, done);
	return 0;
}

int script_op_release(struct script *s, const struct script_cmd *cmd)
{
	uint32_t id;
	int err;

	for (size_t i = 0; i < cmd->n_refs; i++) {
		err = books_free_guard(&s->books, s->current, cmd->refs[i],
				       &id);
		if (!err)
			err = s->backend->release(script_fd(s), 1, &id,
						  KVBM_RELEASE_REGISTERED,
						  NULL);
		if (err < 0)
			return err;
		books_drop_guard(&s->books, cmd->refs[i]);
	}
	script_put(s, "ok %zu", cmd->n_refs);
	return 0;
}

/*
 * The first guard that cannot be released ends the batch before it; a guard
 * named twice is gone by its second place.
 */
int script_op_release_vec(struct script *s, const struct script_cmd *cmd)
{
	struct script_guard *guards = s->books.guards;
	uint32_t error = 0;
	int bad = 0, err, done;
	size_t n;

	if (script_room(s, cmd->n_refs))
		return -ENOMEM;
	for (n = 0; n < cmd->n_refs; n++) {
		bad = books_free_guard(&s->books, s->current, cmd->refs[n],
				       &s->ids[n]);
		if (!bad && guards[cmd->refs[n]].in_batch)
			bad = -ENOENT;
		if (bad)
			break;
		guards[cmd->refs[n]].in_batch = true;
	}
	done = s->backend->release(script_fd(s), n, s->ids, KVBM_RELEASE_REGISTERED,
				   &error);
	err = script_short_of(done, error);
	for (size_t i = 0; i < n; i++) {
		guards[cmd->refs[i]].in_batch = false;
		if (done > 0 && i < (size_t)done)
			books_drop_guard(&s->books, cmd->refs[i]);
	}
	if (err || bad)
		return err ? err : bad;
	script_put(s, "ok %zu", n);
	return 0;
}

int script_op_release_all(struct script *s, const struct script_cmd *cmd)
{
	struct script_session *session = s->current;
	uint64_t n = 0, guard, next;
	uint32_t error = 0;
	int done, err;

	if (script_room(s, session->n_guards))
		return -ENOMEM;
	for (guard = session->first; guard != SCRIPT_NO_GUARD;
	     guard = s->books.guards[guard].next)
		if (!s->books.guards[guard].offered)
			s->ids[n++] = s->books.guards[guard].block;
	done = s->backend->release(script_fd(s), n, s->ids, KVBM_RELEASE_REGISTERED,
				   &error);
	guard = session->first;
	for (int i = 0; i < done; guard = next) {
		next = s->books.guards[guard].next;
		if (s->books.guards[guard].offered)
			continue;
		books_drop_guard(&s->books, guard);
		i++;
	}
	err = script_short_of(done, error);
	if (err)
		return err;
	script_put(s, "ok %llu", (unsigned long long)n);
	return 0;
}

int script_op_clone(struct script *s, const struct script_cmd *cmd)
{
	uint64_t guard;
	uint32_t id;
	int err;

	err = books_guard(&s->books, s->current, cmd->refs[0], &id);
	if (!err)
		err = s->backend->retain(script_fd(s), 1, &id, NULL);
	if (err < 0)
		return err;
	if (add_guard(s, id, &guard))
		return -ENOMEM;
	script_put(s, "g%llu", (unsigned long long)guard);
	return 0;
}

int script_op_use(struct script *s, const struct script_cmd *cmd)
{
	struct kvbm_block_info info;
	uint32_t id;
	int err;

	err = books_guard(&s->books, s->current, cmd->refs[0], &id);
	if (err)
		return err;
	err = s->backend->block_info(script_fd(s), id, &info);
	if (err < 0)
		return err;
	script_put(s, "%llu", (unsigned long long)info.holds);
	return 0;
}

int script_op_weak(struct script *s, const struct script_cmd *cmd)
{
	struct kvbm_weak weak;
	uint64_t number;
	uint32_t id;
	int err;

	err = books_guard(&s->books, s->current, cmd->refs[0], &id);
	if (!err)
		err = s->backend->weak(script_fd(s), id, &weak);
	if (err < 0)
		return err;
	if (books_add_weak(&s->books, &weak, &number))
		return script_nomem(s);
	script_put(s, "w%llu", (unsigned long long)number);
	return 0;
}

int script_op_upgrade(struct script *s, const struct script_cmd *cmd)
{
	uint64_t guard;
	uint32_t id;
	int err;

	if (cmd->refs[0] >= s->books.n_weaks)
		return -ENOENT;
	err = s->backend->upgrade(script_fd(s), 1, &s->books.weaks[cmd->refs[0]], &id,
				  NULL, NULL);
	if (err < 0)
		return err;
	if (id == KVBM_NO_BLOCK) {
		script_put(s, "none");
		return 0;
	}
	if (add_guard(s, id, &guard))
		return -ENOMEM;
	script_put(s, "id=%u g%llu", id, (unsigned long long)guard);
	return 0;
}

int script_op_drop(struct script *s, const struct script_cmd *cmd)
{
	uint32_t kind = cmd->op == SCRIPT_DROP_STAGED ? KVBM_RELEASE_STAGED :
							KVBM_RELEASE_MUTABLE;
	uint32_t error = 0;
	int done, err;

	done = s->backend->release(script_fd(s), cmd->n_ids, cmd->ids, kind, &error);
	for (int i = 0; i < done; i++)
		books_disown(s->current, cmd->ids[i]);
	err = script_short_of(done, error);
	if (err)
		return err;
	script_put(s, "ok");
	return 0;
}

int script_op_set_reset(struct script *s, const struct script_cmd *cmd)
{
	int err = s->backend->set_reset(script_fd(s), 1, cmd->ids, cmd->flag, NULL);

	if (err < 0)
		return err;
	script_put(s, "ok");
	return 0;
}

int script_op_reset_inactive(struct script *s, const struct script_cmd *cmd)
{
	struct kvbm_counts counts;
	bool whole;
	int err;

	err = s->backend->reset_inactive(script_fd(s), &whole, NULL);
	if (err >= 0)
		err = s->backend->counts(script_fd(s), &counts);
	if (err < 0)
		return err;
	if (whole != (counts.reset == counts.total))
		script_complain(s, "the store says it is%s wholly reset, with %u of %u blocks",
				whole ? "" : " not", counts.reset,
				counts.total);
	if (whole)
		script_put(s, "ok");
	else
		script_put(s, "partial reset=%u total=%u", counts.reset,
			   counts.total);
	return 0;
}

/* Nobody but the script uses the store, so its gauges are the script's. */
static void check_gauges(struct script *s, const struct kvbm_counts *counts,
			 const struct kvbm_stats *stats)
{
	uint64_t mutables = 0, staged = 0, guards = 0, sessions = 0;
	struct script_session *session;

	for (session = s->books.sessions; session; session = session->next) {
		mutables += session->n_mutable;
		staged += session->n_staged;
		guards += session->n_guards;
		sessions++;
	}
	if (stats->inflight_mutable != mutables || stats->staged != staged ||
	    stats->inflight_immutable != guards || stats->sessions != sessions)
		script_complain(s, "the store counts %llu Mutable, %llu Staged, %llu holds, %llu sessions; the script has %llu, %llu, %llu, %llu",
				(unsigned long long)stats->inflight_mutable,
				(unsigned long long)stats->staged,
				(unsigned long long)stats->inflight_immutable,
				(unsigned long long)stats->sessions,
				(unsigned long long)mutables,
				(unsigned long long)staged,
				(unsigned long long)guards,
				(unsigned long long)sessions);
	if (stats->reset_pool_size != counts->reset ||
	    stats->inactive_pool_size != counts->inactive ||
	    counts->available != counts->reset + counts->inactive)
		script_complain(s, "the store's gauges and counts differ");
}

int script_op_counts(struct script *s, const struct script_cmd *cmd)
{
	struct kvbm_counts counts;
	struct kvbm_stats stats;
	int err;

	err = s->backend->counts(script_fd(s), &counts);
	if (err >= 0)
		err = s->backend->stats(script_fd(s), &stats);
	if (err < 0)
		return err;
	check_gauges(s, &counts, &stats);
	script_put(s, "reset_len=%u inactive_len=%u available=%u registered=%u",
		   counts.reset, counts.inactive, counts.available,
		   counts.registered);
#define KVBM_STATS_CONTRACT
#define KVBM_STAT(name, help) \
	script_put(s, " " #name "=%llu", (unsigned long long)stats.name);
#include "stats.def"
	return 0;
}

int script_op_presence(struct script *s, const struct script_cmd *cmd)
{
	uint32_t error = 0;
	int err;

	if (script_room(s, cmd->n_hashes))
		return -ENOMEM;
	err = s->backend->presence(script_fd(s), cmd->n_hashes, cmd->hashes, s->bytes,
				   &error);
	err = script_short_of(err, error);
	if (err)
		return err;
	for (size_t i = 0; i < cmd->n_hashes; i++)
		s->bytes[i] = cmd->op == SCRIPT_HAS_INACTIVE ?
			      s->bytes[i] == KVBM_INACTIVE :
			      s->bytes[i] != KVBM_ABSENT;
	put_bytes(s, cmd->n_hashes);
	return 0;
}

int script_op_freq(struct script *s, const struct script_cmd *cmd)
{
	uint32_t error = 0;
	int err;

	if (script_room(s, cmd->n_hashes))
		return -ENOMEM;
	err = s->backend->frequency(script_fd(s), cmd->n_hashes, cmd->hashes, s->bytes,
				    &error);
	err = script_short_of(err, error);
	if (err)
		return err;
	put_bytes(s, cmd->n_hashes);
	return 0;
}

int script_op_touch(struct script *s, const struct script_cmd *cmd)
{
	uint32_t error = 0;
	int err;

	err = (cmd->op == SCRIPT_TOUCH ? s->backend->touch :
					 s->backend->touch_newest)
		(script_fd(s), cmd->n_hashes, cmd->hashes, &error);
	err = script_short_of(err, error);
	if (err)
		return err;
	script_put(s, "ok");
	return 0;
}

struct held {
	struct script *s;
	bool any;
	enum kvbm_state state;
};

static void put_held(uint32_t id, void *arg)
{
	struct held *h = arg;
	struct kvbm_block_info info;
	int err = h->s->backend->block_info(script_fd(h->s), id, &info);

	if (err < 0 || info.state != h->state || info.own_holds != 1)
		script_complain(h->s, "the store does not know block %u as the script does",
				id);
	put_id(h->s, &h->any, id);
}

int script_op_held(struct script *s, const struct script_cmd *cmd)
{
	struct held h = { .s = s };
	uint64_t guard;
	bool any = false;

	script_put(s, "mutable=");
	h.state = KVBM_STATE_MUTABLE;
	books_each_owned(s->current, false, put_held, &h);
	script_put_end(s, h.any);

	script_put(s, " staged=");
	h.any = false;
	h.state = KVBM_STATE_STAGED;
	books_each_owned(s->current, true, put_held, &h);
	script_put_end(s, h.any);

	script_put(s, " guards=");
	for (guard = s->current->first; guard != SCRIPT_NO_GUARD;
	     guard = s->books.guards[guard].next) {
		script_put(s, any ? ",g%llu:%u" : "g%llu:%u",
			   (unsigned long long)guard,
			   s->books.guards[guard].block);
		any = true;
	}
	script_put_end(s, any);
	return 0;
}

int script_op_plh(struct script *s, const struct script_cmd *cmd)
{
	uint32_t position = cmd->number;
	struct kvbm_hash hash;
	int err;

	if (cmd->number != position)
		return -EINVAL;
	err = s->backend->hash_pack(cmd->words[0],
				    cmd->has_parent ? cmd->words[1] : 0,
				    position, &hash);
	if (err < 0)
		return err;
	script_put_hash(s, &hash);
	return 0;
}
