// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * note.c - notes that users attach to blocks; see note.h
 */
#include <linux/string.h>
#include "note.h"

/* The most bytes that kvbm_notes_init() allocates. */
u64 kvbm_notes_need(const struct kvbm_config *cfg)
{
	return cfg->note_bytes ?
	       kvbm_array_need(cfg->total, kvbm_note_size(cfg->note_bytes)) : 0;
}

/**
 * kvbm_notes_init() - allocate the notes of a store, if its blocks have notes
 * @st: the store
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_notes_init(struct kvbm_store *st)
{
	if (!st->cfg.note_bytes)
		return 0;
	st->notes = kvbm_array_alloc(st, st->cfg.total,
				     kvbm_note_size(st->cfg.note_bytes));
	return st->notes ? 0 : -ENOMEM;
}

void kvbm_notes_exit(struct kvbm_store *st)
{
	kvbm_array_free(st->notes);
}

/**
 * kvbm_note_write() - give a block its note
 * @st: the store, locked
 * @id: a Mutable or Staged block
 * @words: kvbm_note_words()
 */
void kvbm_note_write(struct kvbm_store *st, u32 id, const u64 *words)
{
	u32 i, n = kvbm_note_words(st->cfg.note_bytes);
	struct kvbm_note *note = kvbm_note_at(st, id);

	lockdep_assert_held(&st->lock);
	for (i = 0; i < n; i++)
		WRITE_ONCE(note->words[i], words[i]);
	WRITE_ONCE(note->generation,
		   kvbm_w_gen(kvbm_slot_word(&st->slots[id])));
}

/**
 * kvbm_note_end() - drop a staged note
 * @st: the store, locked
 * @id: the block, which is still Staged
 */
void kvbm_note_end(struct kvbm_store *st, u32 id)
{
	lockdep_assert_held(&st->lock);
	/* A generation that the block has had before. */
	WRITE_ONCE(kvbm_note_at(st, id)->generation,
		   kvbm_w_gen(kvbm_slot_word(&st->slots[id])) - 1);
}

/* The note of the block's given generation: zeroes if it has none. */
static void copy_note(const struct kvbm_store *st, u32 id, u32 generation,
		      u64 *words)
{
	u32 i, n = kvbm_note_words(st->cfg.note_bytes);
	const struct kvbm_note *note = kvbm_note_at(st, id);

	if (READ_ONCE(note->generation) != generation) {
		memset(words, 0, n * sizeof(*words));
		return;
	}
	for (i = 0; i < n; i++)
		words[i] = READ_ONCE(note->words[i]);
}

/**
 * kvbm_note_read_locked() - read a block's note
 * @st: the store, locked, which has notes
 * @id: a Staged or registered block; a Duplicate has its Primary's note
 * @words: out
 */
void kvbm_note_read_locked(struct kvbm_store *st, u32 id, u64 *words)
{
	u64 w = kvbm_slot_word(&st->slots[id]);

	lockdep_assert_held(&st->lock);
	if (kvbm_w_state(w) == KVBM_STATE_DUPLICATE) {
		id = st->slots[id].child;
		w = kvbm_slot_word(&st->slots[id]);
	}
	copy_note(st, id, kvbm_w_gen(w), words);
}

/* PRIMARY or FORGOTTEN: the registration that a note belongs to. */
static bool has_note(u64 w)
{
	return kvbm_w_state(w & ~KVBM_W_FORGOTTEN) == KVBM_STATE_PRIMARY;
}

/**
 * kvbm_note_read() - read the note of a registered block, without the lock
 * @st: the store, which has notes
 * @id: the block
 * @key: the hash that it must have
 * @words: out; zeroes if the block no longer has that hash
 *
 * Return: whether it is the note of one registration of this hash.
 */
bool kvbm_note_read(struct kvbm_store *st, u32 id, const struct kvbm_hash *key,
		    u64 *words)
{
	const struct kvbm_slot *s = &st->slots[id];
	/* Pairs with the release in owned_keep(). */
	u64 w = atomic64_read_acquire(&s->word);

	/* The key of a registered generation does not change, nor does the note. */
	if (has_note(w) && kvbm_slot_is(s, key)) {
		copy_note(st, id, kvbm_w_gen(w), words);
		/* Pairs with the locks between two generations, see note.h. */
		smp_rmb();
		if (kvbm_w_gen(kvbm_slot_word(s)) == kvbm_w_gen(w))
			return true;
	}
	memset(words, 0, kvbm_note_words(st->cfg.note_bytes) * sizeof(*words));
	return false;
}

/**
 * kvbm_note_read_gen() - read the note of one generation, without the lock
 * @st: the store, which has notes
 * @id: the block
 * @generation: the generation that it must have
 * @words: out; zeroes if it has another one, or is not registered
 *
 * Return: whether it is that generation's note.
 */
bool kvbm_note_read_gen(struct kvbm_store *st, u32 id, u32 generation,
			u64 *words)
{
	const struct kvbm_slot *s = &st->slots[id];
	/* As above. */
	u64 w = atomic64_read_acquire(&s->word);

	if (has_note(w) && kvbm_w_gen(w) == generation) {
		copy_note(st, id, generation, words);
		/* As above. */
		smp_rmb();
		if (kvbm_w_gen(kvbm_slot_word(s)) == generation)
			return true;
	}
	memset(words, 0, kvbm_note_words(st->cfg.note_bytes) * sizeof(*words));
	return false;
}
