// SPDX-License-Identifier: MIT
/*
 * The script engine: one command in, one line out.
 *
 * The line is built in memory, since an operation that fails half-way prints
 * only its error.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "script_engine.h"

static script_fn * const operations[] = {
	[SCRIPT_NEW] = script_op_new,
	[SCRIPT_ALLOC] = script_op_alloc,
	[SCRIPT_ALLOC_RESET] = script_op_alloc_reset,
	[SCRIPT_STAGE] = script_op_stage,
	[SCRIPT_UNSTAGE] = script_op_unstage,
	[SCRIPT_REGISTER] = script_op_register,
	[SCRIPT_MATCH] = script_op_match,
	[SCRIPT_SCAN] = script_op_scan,
	[SCRIPT_SCAN_TOUCH] = script_op_scan,
	[SCRIPT_RELEASE] = script_op_release,
	[SCRIPT_RELEASE_VEC] = script_op_release_vec,
	[SCRIPT_RELEASE_ALL] = script_op_release_all,
	[SCRIPT_CLONE] = script_op_clone,
	[SCRIPT_USE] = script_op_use,
	[SCRIPT_WEAK] = script_op_weak,
	[SCRIPT_UPGRADE] = script_op_upgrade,
	[SCRIPT_DROP_MUTABLE] = script_op_drop,
	[SCRIPT_DROP_STAGED] = script_op_drop,
	[SCRIPT_SET_RESET] = script_op_set_reset,
	[SCRIPT_RESET_INACTIVE] = script_op_reset_inactive,
	[SCRIPT_COUNTS] = script_op_counts,
	[SCRIPT_PRESENCE] = script_op_presence,
	[SCRIPT_HAS_INACTIVE] = script_op_presence,
	[SCRIPT_FREQ] = script_op_freq,
	[SCRIPT_TOUCH] = script_op_touch,
	[SCRIPT_TOUCH_NEWEST] = script_op_touch,
	[SCRIPT_CLAIM] = script_op_claim,
	[SCRIPT_PENDING] = script_op_pending,
	[SCRIPT_REGISTER_NOTE] = script_op_register,
	[SCRIPT_MATCH_NOTES] = script_op_match,
	[SCRIPT_SCAN_NOTES] = script_op_scan,
	[SCRIPT_NOTE] = script_op_note,
	[SCRIPT_INVALIDATE] = script_op_invalidate,
	[SCRIPT_INVALIDATE_PREFIX] = script_op_invalidate,
	[SCRIPT_INVALIDATE_ALL] = script_op_invalidate_all,
	[SCRIPT_SLEEP] = script_op_sleep,
	[SCRIPT_OFFER] = script_op_offer,
	[SCRIPT_ACCEPT] = script_op_accept,
	[SCRIPT_WITHDRAW] = script_op_withdraw,
	[SCRIPT_KEEP] = script_op_keep,
	[SCRIPT_KEEP_HELD] = script_op_keep_held,
	[SCRIPT_RANK] = script_op_rank,
	[SCRIPT_HELD] = script_op_held,
	[SCRIPT_PLH] = script_op_plh,
	[SCRIPT_SESSION] = script_op_session,
	[SCRIPT_CLOSE] = script_op_close,
	[SCRIPT_KILL] = script_op_kill,
};

void script_put(struct script *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vfprintf(s->line, format, args) < 0)
		script_nomem(s);
	va_end(args);
}

void script_put_hash(struct script *s, const struct kvbm_hash *hash)
{
	script_put(s, "%016llx:%016llx", (unsigned long long)hash->hi,
		   (unsigned long long)hash->lo);
}

void script_put_words(struct script *s, const char * const *words,
		      size_t n_words, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const char *word = s->bytes[i] < n_words ?
				   words[s->bytes[i]] : NULL;

		if (word)
			script_put(s, i ? ",%s" : "%s", word);
		else
			script_complain(s, "the store answered %u",
					s->bytes[i]);
	}
	script_put_end(s, n);
}

void script_complain(struct script *s, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->complain(text);
}

int script_nomem(struct script *s)
{
	s->fatal = -ENOMEM;
	return -ENOMEM;
}

int script_room(struct script *s, size_t n)
{
	if (script_grow(&s->ids, &s->cap_ids, 0, n, sizeof(*s->ids)) ||
	    script_grow(&s->evicted, &s->cap_evicted, 0, n,
			sizeof(*s->evicted)) ||
	    script_grow(&s->bytes, &s->cap_bytes, 0, n, sizeof(*s->bytes)))
		return script_nomem(s);
	return 0;
}

void script_drop_store(struct script *s)
{
	struct script_session *session;

	for (session = s->books.sessions; session; session = session->next)
		s->backend->session_close(session->fd);
	books_clear(&s->books);
	s->current = NULL;
	s->total = 0;
	s->note_bytes = 0;
}

struct script *script_start(const struct script_backend *backend,
			    void (*complain)(const char *text))
{
	struct script *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->backend = backend;
	s->complain = complain;
	s->line = open_memstream(&s->text, &s->len);
	if (!s->line) {
		free(s);
		return NULL;
	}
	return s;
}

int script_run(struct script *s, const struct script_cmd *cmd, FILE *out)
{
	const char *name;
	int err;

	rewind(s->line);
	if (cmd->op != SCRIPT_NEW && !s->current)
		err = -ENXIO;
	else
		err = operations[cmd->op](s, cmd);
	if (s->fatal)
		return s->fatal;

	if (err < 0) {
		name = strerrorname_np(-err);
		if (name)
			fprintf(out, "err %s\n", name);
		else
			fprintf(out, "err %d\n", -err);
	} else {
		fputc('\n', s->line);
		if (fflush(s->line))
			return -ENOMEM;
		fwrite(s->text, 1, s->len, out);
	}
	return ferror(out) ? -EIO : 0;
}

void script_end(struct script *s)
{
	script_drop_store(s);
	fclose(s->line);
	free(s->text);
	free(s->ids);
	free(s->evicted);
	free(s->bytes);
	free(s->notes);
	free(s);
}
