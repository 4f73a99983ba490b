/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * offer.h - handing holds from one session to another; see offer.c
 */
#ifndef KVBM_OFFER_H
#define KVBM_OFFER_H

#include <linux/refcount.h>
#include "core.h"

/**
 * enum kvbm_offer_state - state of an offer; under the store's offers_lock
 * @KVBM_OFFER_NEW: nobody finds it yet
 * @KVBM_OFFER_OPEN: can be accepted or withdrawn
 * @KVBM_OFFER_MOVING: somebody has accepted, its holds move
 * @KVBM_OFFER_UNDOING: the remaining ones become ordinary again
 * @KVBM_OFFER_DONE: neither session has it any more
 */
enum kvbm_offer_state {
	KVBM_OFFER_NEW,
	KVBM_OFFER_OPEN,
	KVBM_OFFER_MOVING,
	KVBM_OFFER_UNDOING,
	KVBM_OFFER_DONE,
};

/**
 * struct kvbm_offered - one offered hold
 * @id: block
 * @kept: for a Duplicate: the Primary that it keeps alive; else KVBM_NIL
 */
struct kvbm_offered {
	u32 id;
	u32 kept;
};

/**
 * struct kvbm_handover - an offer of holds
 * @node: in store->offers, by @ticket, while OPEN
 * @link: among its giver's, until it is DONE
 * @to_link: among those to @to while OPEN and @direct; among those that @to is
 *	accepting while MOVING
 * @ref: its giver's, and one for each call that uses it
 * @ticket: names it
 * @giver: session that offers; not dereferenced once it is DONE
 * @to: session that accepts, or is the only one that may; NULL: none
 * @from: number of @giver
 * @direct: only @to may accept
 * @state: enum kvbm_offer_state
 * @n: holds; does not change, nor does @holds
 * @at: up to here they have moved, or are ordinary ones again
 * @moved: how many have moved
 * @err: why not all moved, once somebody has accepted
 * @need: the most further blocks that @to will hold, less those that it holds
 *	since it accepted; 0 if nobody has a limit
 * @holds: the holds
 */
struct kvbm_handover {
	struct rb_node node;
	struct list_head link;
	struct list_head to_link;
	refcount_t ref;
	struct kvbm_ticket ticket;
	struct kvbm_session *giver;
	struct kvbm_session *to;
	u64 from;
	bool direct;
	enum kvbm_offer_state state;
	u32 n;
	u32 at;
	u32 moved;
	int err;
	u32 need;
	struct kvbm_offered holds[];
};

struct kvbm_handover *kvbm_offer_new(struct kvbm_session *ses, u32 n);
void kvbm_offer_put(struct kvbm_handover *o);
int kvbm_offer_begin(struct kvbm_handover *o, struct kvbm_session *to);
struct kvbm_handover *kvbm_offer_find(struct kvbm_session *ses,
				      const struct kvbm_ticket *ticket);
int kvbm_offer_accept(struct kvbm_handover *o, struct kvbm_session *ses,
		      u32 *done);
int kvbm_offer_withdraw(struct kvbm_session *ses,
			const struct kvbm_ticket *ticket, u32 *done);
void kvbm_offers_end(struct kvbm_session *ses);

#endif /* KVBM_OFFER_H */
