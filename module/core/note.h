/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * note.h - notes that users attach to blocks: up to KVBM_MAX_NOTE_BYTES
 *
 * Notes are in an array of their own, by block id, each with the generation of
 * the registration it belongs to; in any other generation the block has no
 * note. So sessions that give no notes touch nothing there, and a note ends by
 * itself when its block leaves.
 *
 * A note is written under the store's lock, while its block is Mutable or
 * Staged, before the word says that it is registered.  Then it does not change
 * any more.  Readers need no lock: they read the word, copy, and read the word
 * again.
 *
 *	writer				reader
 *	word: next generation		word: registered (acquire)
 *	unlock, lock			copy
 *	note				smp_rmb()
 *	word: registered (release)	word: the same generation?
 *
 * Releasing a Staged block does not use up its generation.  So staging records
 * in ->place, which has another use only in registered blocks, whether there is
 * a note; if so, the note ends with that stage.
 */
#ifndef KVBM_NOTE_H
#define KVBM_NOTE_H

#include <linux/kernel.h>
#include <linux/prefetch.h>
#include "core.h"

#define KVBM_NOTE_WORDS		(KVBM_MAX_NOTE_BYTES / sizeof(u64))

/* Values of ->place in a Staged block. */
#define KVBM_NOTE_NONE		0U
#define KVBM_NOTE_GIVEN		1U

/**
 * struct kvbm_note - a note in the store
 * @generation: the block's generation that has this note
 * @words: the bytes, then zeroes
 */
struct kvbm_note {
	u32 generation;
	u32 unused;
	u64 words[];
};

/* A note takes whole words, in the store and on the way to it. */
static inline u32 kvbm_note_words(u32 note_bytes)
{
	return DIV_ROUND_UP(note_bytes, sizeof(u64));
}

static inline size_t kvbm_note_size(u32 note_bytes)
{
	return note_bytes ? sizeof(struct kvbm_note) +
			    kvbm_note_words(note_bytes) * sizeof(u64) : 0;
}

static inline struct kvbm_note *kvbm_note_at(const struct kvbm_store *st,
					     u32 id)
{
	return st->notes + (size_t)id * kvbm_note_size(st->cfg.note_bytes);
}

/* Prefetch what is about to be written; a hint. */
static inline void kvbm_note_prefetchw(const struct kvbm_store *st, u32 id)
{
	const void *p = kvbm_note_at(st, id);
	const void *end = p + kvbm_note_size(st->cfg.note_bytes);

	for (; p < end; p += 64)
		prefetchw(p);
	prefetchw(end - 1);
}

u64 kvbm_notes_need(const struct kvbm_config *cfg);
int kvbm_notes_init(struct kvbm_store *st);
void kvbm_notes_exit(struct kvbm_store *st);
void kvbm_note_write(struct kvbm_store *st, u32 id, const u64 *words);
void kvbm_note_end(struct kvbm_store *st, u32 id);
void kvbm_note_read_locked(struct kvbm_store *st, u32 id, u64 *words);
bool kvbm_note_read(struct kvbm_store *st, u32 id, const struct kvbm_hash *key,
		    u64 *words);
bool kvbm_note_read_gen(struct kvbm_store *st, u32 id, u32 generation,
			u64 *words);

/* A block is staged, with the note @words, or NULL. */
static inline void kvbm_note_stage(struct kvbm_store *st, struct kvbm_slot *s,
				   const u64 *words)
{
	lockdep_assert_held(&st->lock);
	if (likely(!st->notes))
		return;
	WRITE_ONCE(s->place, words ? KVBM_NOTE_GIVEN : KVBM_NOTE_NONE);
	if (words)
		kvbm_note_write(st, kvbm_slot_id(st, s), words);
}

/* A block is no longer Staged, and was not registered. */
static inline void kvbm_note_unstage(struct kvbm_store *st,
				     const struct kvbm_slot *s)
{
	lockdep_assert_held(&st->lock);
	if (unlikely(st->notes && s->place == KVBM_NOTE_GIVEN))
		kvbm_note_end(st, kvbm_slot_id(st, s));
}

#endif /* KVBM_NOTE_H */
