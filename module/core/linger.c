// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * linger.c - blocks that outlive their session
 *
 * What a session owned when it ended may still be written to: by a device that
 * a live process shares, or by a request of io_uring that outlives the process.
 * Where the store asks for it, such blocks are LINGERING for a while: in no hold
 * table, in no list, nobody's.  They hang on a chain that whoever ended the
 * session keeps, and that takes nothing of the session's memory.
 *
 * A lingering block was Mutable or Staged, so no hash leads to it.
 */
#include "leave.h"
#include "locked.h"

/**
 * kvbm_linger_add() - a block that left its session begins to linger
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
 * kvbm_linger_return() - the next blocks of a chain become Reset
 * @st: the store
 * @c: the chain, nobody else's any more
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
