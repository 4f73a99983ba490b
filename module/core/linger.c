// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * linger.c - blocks that outlive their session
 *
 * Blocks that a session owned when it ended may still be written to: by a
 * device that a live process shares, or by a request of io_uring that outlives
 * the process.  If the store is configured so, such blocks are LINGERING for a
 * while: in no hold table, in no list, and nobody owns them.  They are on a
 * chain that the task that ended the session keeps, and that uses none of the
 * session's memory.
 *
 * A lingering block was Mutable or Staged, so no hash leads to it.
 */
#include "leave.h"
#include "locked.h"

/**
 * kvbm_linger_add() - make a block that left its session linger
 * @st: the store, locked
 * @c: the chain
 * @id: the block, Mutable or Staged, in no hold table any more
 */
void kvbm_linger_add(struct kvbm_store *st, struct kvbm_chain *c, u32 id)
{
	struct kvbm_slot *s = &st->slots[id];

	lockdep_assert_held(&st->lock);
	atomic64_set(&s->word, kvbm_w_make(kvbm_w_gen(kvbm_slot_word(s)),
					   KVBM_STATE_LINGERING, false, 0));
	kvbm_chain_add(st, c, id);
	st->nr_lingering++;
}

/**
 * kvbm_linger_return() - move the next blocks of a chain to Reset
 * @st: the store
 * @c: the chain, no longer shared
 *
 * Return: how many, at most KVBM_CHUNK; 0: there are no more.
 */
u32 kvbm_linger_return(struct kvbm_store *st, struct kvbm_chain *c)
{
	struct kvbm_locked l = KVBM_LOCKED_INIT(st);
	u32 n = 0;

	if (!c->len)
		return 0;
	kvbm_lock_store(&l);
	for (; c->len && n < KVBM_CHUNK; n++) {
		u32 id = kvbm_chain_pop(st, c);

		st->nr_lingering--;
		kvbm_to_reset(st, id,
			      kvbm_w_gen(kvbm_slot_word(&st->slots[id])));
	}
	kvbm_unlock_notify(&l);
	return n;
}
