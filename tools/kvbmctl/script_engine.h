/* SPDX-License-Identifier: MIT */
/* Shared by the files of the script engine. */
#ifndef KVBMCTL_SCRIPT_ENGINE_H
#define KVBMCTL_SCRIPT_ENGINE_H

#include "script.h"

struct script {
	const struct script_backend *backend;
	void (*complain)(const char *text);
	struct script_books books;
	struct script_session *current;	/* NULL: there is no store */
	uint32_t total;
	uint32_t note_bytes;		/* of a block; 0: there are no notes */

	/* The line being made: printed whole, or not at all. */
	FILE *line;
	char *text;
	size_t len;

	/* Room for the ids and evicted hashes of one operation. */
	uint32_t *ids;
	size_t cap_ids;
	struct kvbm_evicted *evicted;
	size_t cap_evicted;
	uint8_t *bytes;
	size_t cap_bytes;
	uint8_t *notes;
	size_t cap_notes;

	/* Set when the script cannot go on: an errno, not an operation's. */
	int fatal;
};

/*
 * Operations print to s->line and return 0 or the -errno to print instead.
 * Those that run out of memory for the script's own records set s->fatal.
 */
typedef int script_fn(struct script *s, const struct script_cmd *cmd);

script_fn script_op_new, script_op_session, script_op_close, script_op_kill;

script_fn script_op_alloc, script_op_alloc_reset, script_op_stage,
	script_op_unstage, script_op_register, script_op_match, script_op_scan,
	script_op_release, script_op_release_vec, script_op_release_all,
	script_op_clone, script_op_use, script_op_weak, script_op_upgrade,
	script_op_drop, script_op_set_reset, script_op_reset_inactive,
	script_op_counts, script_op_presence, script_op_freq, script_op_touch,
	script_op_held, script_op_plh;

script_fn script_op_claim, script_op_pending, script_op_offer, script_op_accept,
	script_op_withdraw, script_op_keep, script_op_keep_held, script_op_rank,
	script_op_sleep, script_op_note, script_op_invalidate,
	script_op_invalidate_all;

__attribute__((format(printf, 2, 3)))
void script_put(struct script *s, const char *format, ...);
__attribute__((format(printf, 2, 3)))
void script_complain(struct script *s, const char *format, ...);
void script_put_hash(struct script *s, const struct kvbm_hash *hash);
/* "-" for an empty list. */
void script_put_end(struct script *s, bool any);
/* The first @n of s->ids. */
void script_put_ids(struct script *s, uint32_t n);
/* The word for each of the first @n of s->bytes. */
void script_put_words(struct script *s, const char * const *words,
		      size_t n_words, uint32_t n);
/* " guards=", @n of them with consecutive numbers. */
void script_put_guards(struct script *s, uint64_t first, int64_t n);

/* The current session's descriptor. */
int script_fd(struct script *s);
/* The result of a batch that may have been done in part. */
int script_short_of(int done, uint32_t error);
/*
 * A guard for each of the first @n of s->ids that is a block. They get
 * consecutive numbers, from *@first on; returns how many, or -ENOMEM.
 */
int64_t script_add_guards(struct script *s, uint32_t n, uint64_t *first);

/*
 * The command's note, as long as the store's are, in s->notes. -EINVAL: it is
 * longer. A store without notes is asked all the same, and refuses.
 */
int script_fetch_note(struct script *s, const struct script_cmd *cmd);
/* Room for @n notes in s->notes; -ENOMEM is fatal. */
int script_note_room(struct script *s, size_t n);
/* " notes=", those of s->ids that are blocks. */
void script_put_notes(struct script *s, uint32_t n);

/* Room for @n elements in s->ids, s->evicted, s->bytes; -ENOMEM is fatal. */
int script_room(struct script *s, size_t n);
int script_nomem(struct script *s);

/* Closes all sessions and forgets them. */
void script_drop_store(struct script *s);

#endif /* KVBMCTL_SCRIPT_ENGINE_H */
