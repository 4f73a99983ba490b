// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * export.c - all registered blocks, in parts
 */
#include <linux/prefetch.h>
#include "event.h"
#include "order.h"
#include "retain.h"
#include "note.h"

/**
 * kvbm_export_chunk() - the next registered blocks, in order of block id
 * @st: the store
 * @from: in and out: block id to continue from; the store's total: no more
 * @out: array of @max entries
 * @notes: NULL, or kvbm_note_words() of memory for each
 * @max: at most this many
 *
 * Looks at no more than KVBM_CHUNK slots, all in one hold of the lock, so its
 * entries are consistent, and 0 does not mean the end.
 *
 * Return: entries filled in.
 */
u32 kvbm_export_chunk(struct kvbm_store *st, u32 *from,
		      struct kvbm_export_entry *out, u64 *notes, u32 max)
{
	u32 words = kvbm_note_words(st->cfg.note_bytes);
	u32 id, end, n = 0;
	u64 seq;

	if (*from >= st->cfg.total)
		return 0;
	id = kvbm_id_nospec(st, *from);
	end = min(st->cfg.total - id, KVBM_CHUNK) + id;
	for (; id < end; id++)
		prefetch(&st->slots[id]);

	spin_lock(&st->lock);
	seq = st->ring ? st->ring->head - 1 : 0;
	for (id = kvbm_id_nospec(st, *from); id < end && n < max; id++) {
		const struct kvbm_slot *s = &st->slots[id];
		/* Whether refs is 0 does not change under the lock. */
		u64 w = kvbm_slot_word(s);
		bool idle = !kvbm_w_refs(w);
		u64 until_ns;
		u32 rank;

		if (kvbm_w_state(w) != KVBM_STATE_PRIMARY)
			continue;
		rank = kvbm_rank_of(st, id, &until_ns);
		if (notes)
			kvbm_note_read_locked(st, id, notes + n * words);
		out[n++] = (struct kvbm_export_entry) {
			.hash = s->key,
			.block = id,
			.generation = kvbm_w_gen(w),
			.state = idle ? KVBM_STATE_INACTIVE :
					KVBM_STATE_PRIMARY,
			.rank = idle && st->cfg.policy->has_thresholds ?
				s->rank % KVBM_ORDER_LISTS : 0,
			.keep_rank = rank,
			.keep_until_ns = until_ns,
			.sequence = seq,
			.order = idle ? st->cfg.policy->order(st, id) : 0,
		};
	}
	spin_unlock(&st->lock);
	*from = id;
	return n;
}
