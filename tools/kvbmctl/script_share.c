// SPDX-License-Identifier: MIT
/*
 * Script operations on what sessions share beyond blocks: claims, offers,
 * ranks, and invalidation.
 */
#include <errno.h>

#include "script_engine.h"

#define WORDS(words)	(words), sizeof(words) / sizeof((words)[0])

static const char * const ranks[] = {
	[KVBM_RANK_FIRST] = "first",
	[KVBM_RANK_NORMAL] = "normal",
	[KVBM_RANK_HIGH] = "high",
	[KVBM_RANK_KEEP] = "keep",
};

int script_op_claim(struct script *s, const struct script_cmd *cmd)
{
	static const char * const words[] = {
		[KVBM_CLAIMED] = "claimed",
		[KVBM_CLAIM_PENDING] = "pending",
		[KVBM_CLAIM_PRESENT] = "present",
	};
	int err;

	if (script_room(s, 1))
		return -ENOMEM;
	if (cmd->has_note) {
		err = script_fetch_note(s, cmd);
		if (!err)
			err = s->backend->claim_notes(script_fd(s), 1, cmd->ids,
						      cmd->hashes, s->notes,
						      s->bytes, NULL);
	} else {
		err = s->backend->claim(script_fd(s), 1, cmd->ids, cmd->hashes,
					s->bytes, NULL);
	}
	if (err < 0)
		return err;
	script_put_words(s, WORDS(words), 1);
	if (s->bytes[0] == KVBM_CLAIMED &&
	    books_own(s->current, cmd->ids[0], true))
		return script_nomem(s);
	return 0;
}

int script_op_pending(struct script *s, const struct script_cmd *cmd)
{
	static const char * const words[] = { "0", "1" };
	uint32_t error = 0;
	int err;

	if (script_room(s, cmd->n_hashes))
		return -ENOMEM;
	err = s->backend->pending(script_fd(s), cmd->n_hashes, cmd->hashes,
				  s->bytes, &error);
	err = script_short_of(err, error);
	if (err)
		return err;
	for (size_t i = 0; i < cmd->n_hashes; i++)
		s->bytes[i] = s->bytes[i] == KVBM_PENDING;
	script_put_words(s, WORDS(words), cmd->n_hashes);
	return 0;
}

/* All or nothing. A guard is offered once. */
int script_op_offer(struct script *s, const struct script_cmd *cmd)
{
	struct script_guard *guards = s->books.guards;
	struct kvbm_ticket ticket;
	uint64_t offer;
	int err = 0;
	size_t n;

	if (script_room(s, cmd->n_refs))
		return -ENOMEM;
	for (n = 0; n < cmd->n_refs; n++) {
		err = books_free_guard(&s->books, s->current, cmd->refs[n],
				       &s->ids[n]);
		if (!err && guards[cmd->refs[n]].in_batch)
			err = -EBUSY;
		if (err)
			break;
		guards[cmd->refs[n]].in_batch = true;
	}
	for (size_t i = 0; i < n; i++)
		guards[cmd->refs[i]].in_batch = false;
	if (!err)
		err = s->backend->offer(script_fd(s), n, s->ids, &ticket);
	if (err < 0)
		return err;
	if (books_add_offer(&s->books, &ticket, cmd->refs, n, &offer))
		return script_nomem(s);
	script_put(s, "o%llu", (unsigned long long)offer);
	return 0;
}

/* The offered blocks come back as new guards, in the offer's order. */
int script_op_accept(struct script *s, const struct script_cmd *cmd)
{
	const struct script_offer *o;
	uint32_t total = 0;
	uint64_t first = 0;
	int64_t guards;
	int done;

	if (cmd->refs[0] >= s->books.n_offers)
		return -ENOENT;
	o = &s->books.offers[cmd->refs[0]];
	if (script_room(s, o->n))
		return -ENOMEM;
	done = s->backend->accept(script_fd(s), &o->ticket, o->n, s->ids,
				  &total);
	if (done < 0)
		return done;
	if ((size_t)done != o->n || total != o->n)
		script_complain(s, "the store handed over %d of %zu holds",
				done, o->n);
	for (int i = 0; i < done && (size_t)i < o->n; i++)
		if (s->ids[i] != s->books.guards[o->guards[i]].block)
			script_complain(s, "the store handed over block %u, the script offered %u",
					s->ids[i],
					s->books.guards[o->guards[i]].block);
	books_end_offer(&s->books, cmd->refs[0], true);
	guards = script_add_guards(s, done, &first);
	if (guards < 0)
		return -ENOMEM;
	script_put(s, "ids=");
	script_put_ids(s, done);
	script_put_guards(s, first, guards);
	return 0;
}

int script_op_withdraw(struct script *s, const struct script_cmd *cmd)
{
	const struct script_offer *o;
	int done;

	if (cmd->refs[0] >= s->books.n_offers)
		return -ENOENT;
	o = &s->books.offers[cmd->refs[0]];
	done = s->backend->withdraw(script_fd(s), &o->ticket);
	if (done < 0)
		return done;
	if ((size_t)done != o->n)
		script_complain(s, "the store took back %d of %zu holds", done,
				o->n);
	books_end_offer(&s->books, cmd->refs[0], false);
	script_put(s, "ok %d", done);
	return 0;
}

/* When a rank ends: in so many ns, or 0, and then it does not. */
static uint64_t ends_in(const struct script_cmd *cmd, uint32_t *flags)
{
	*flags = cmd->has_ms ? KVBM_KEEP_RELATIVE : 0;
	return cmd->has_ms ? cmd->ms * 1000000 : 0;
}

static int put_kept(struct script *s, int done, uint32_t error)
{
	static const char * const words[] = {
		[KVBM_KEEP_DONE] = "done",
		[KVBM_KEEP_ABSENT] = "absent",
		[KVBM_KEEP_DENIED] = "denied",
		[KVBM_KEEP_FULL] = "full",
	};
	int err = script_short_of(done, error);

	if (err)
		return err;
	script_put_words(s, WORDS(words), done);
	return 0;
}

int script_op_keep(struct script *s, const struct script_cmd *cmd)
{
	static const struct kvbm_hash none;
	uint32_t error = 0, flags;
	uint64_t ns = ends_in(cmd, &flags);
	int done;

	if (script_room(s, cmd->n_hashes))
		return -ENOMEM;
	done = s->backend->keep_hashes(script_fd(s), cmd->n_hashes,
				       cmd->n_hashes ? cmd->hashes : &none,
				       cmd->number, ns, flags, s->bytes,
				       &error);
	return put_kept(s, done, error);
}

/* The first guard that is not the session's ends the list before it. */
int script_op_keep_held(struct script *s, const struct script_cmd *cmd)
{
	uint32_t error = 0, flags;
	uint64_t ns = ends_in(cmd, &flags);
	int done, bad = 0;
	size_t n;

	if (script_room(s, cmd->n_refs + 1))
		return -ENOMEM;
	for (n = 0; n < cmd->n_refs; n++) {
		bad = books_guard(&s->books, s->current, cmd->refs[n],
				  &s->ids[n]);
		if (bad)
			break;
	}
	done = s->backend->keep(script_fd(s), n, s->ids, cmd->number, ns,
				flags, s->bytes, &error);
	return bad && done >= 0 && !error ? bad : put_kept(s, done, error);
}

int script_op_rank(struct script *s, const struct script_cmd *cmd)
{
	struct kvbm_block_info info;
	int err;

	if (script_room(s, cmd->n_ids))
		return -ENOMEM;
	for (size_t i = 0; i < cmd->n_ids; i++) {
		err = s->backend->block_info(script_fd(s), cmd->ids[i], &info);
		if (err < 0)
			return err;
		s->bytes[i] = info.keep_rank;
	}
	script_put_words(s, WORDS(ranks), cmd->n_ids);
	return 0;
}

int script_op_sleep(struct script *s, const struct script_cmd *cmd)
{
	int err = s->backend->sleep(script_fd(s), cmd->number);

	if (err < 0)
		return err;
	script_put(s, "ok");
	return 0;
}

static int forget(struct script *s, uint32_t n, const struct kvbm_hash *hashes,
		  uint32_t flags)
{
	uint32_t idle, held;
	int err = s->backend->invalidate(script_fd(s), n, hashes, flags, &idle,
					 &held);

	if (err < 0)
		return err;
	script_put(s, "ok idle=%u held=%u", idle, held);
	return 0;
}

/* invalidate, invalidate_prefix */
int script_op_invalidate(struct script *s, const struct script_cmd *cmd)
{
	return forget(s, cmd->n_hashes, cmd->hashes,
		      cmd->op == SCRIPT_INVALIDATE_PREFIX ?
		      KVBM_INVALIDATE_PREFIX : 0);
}

int script_op_invalidate_all(struct script *s, const struct script_cmd *cmd)
{
	return forget(s, 0, NULL, KVBM_INVALIDATE_ALL);
}
