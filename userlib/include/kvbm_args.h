/* SPDX-License-Identifier: MIT */
/*
 * Filling in the argument structures of the data path, for programs that submit
 * them directly: through io_uring (kvbm_uring.h) or ioctl(2).  Programs that
 * call the functions of kvbm.h do not need this.
 *
 * Each function clears *@a, sets its size and stores its arguments.  The
 * arrays are not copied: like *@a they must stay valid until the operation has
 * completed.  The function of the same name in kvbm.h describes what an operation
 * does with them, and what NULL means.
 */
#ifndef KVBM_ARGS_H
#define KVBM_ARGS_H

#include <stdint.h>
#include <string.h>
#include <linux/kvbm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A pointer as the kernel takes it, on 32-bit machines too. */
static inline uint64_t kvbm_args_ptr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/**
 * kvbm_args_alloc() - arguments of KVBM_OP_ALLOC
 * @a: out
 * @flags: KVBM_ALLOC_*
 * @n: blocks wanted
 * @ids: array of @n block ids
 * @evicted: array of @n, or NULL; @a->evicted is how many
 * @deadline_ns: with KVBM_ALLOC_WAIT, else 0
 *
 * With KVBM_ALLOC_WAIT, @a->clock may also be set.  @a->ticket is 0; leave it as it
 * is to repeat a call that a signal ended.
 */
static inline void kvbm_args_alloc(struct kvbm_alloc *a, uint32_t flags,
				   uint32_t n, uint32_t *ids,
				   struct kvbm_evicted *evicted,
				   uint64_t deadline_ns)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->flags = flags;
	a->count = n;
	a->ids = kvbm_args_ptr(ids);
	a->evictions = kvbm_args_ptr(evicted);
	a->deadline_ns = deadline_ns;
}

/**
 * kvbm_args_stage() - arguments of KVBM_OP_STAGE
 * @a: out
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each
 * @tokens: tokens in each, or NULL
 *
 * To claim the hashes, set KVBM_STAGE_CLAIM in @a->flags and point @a->states to
 * an array of @n bytes (kvbm_args_ptr()).  @a->notes may point to the blocks'
 * notes.
 */
static inline void kvbm_args_stage(struct kvbm_stage *a, uint32_t n,
				   const uint32_t *ids,
				   const struct kvbm_hash *hashes,
				   const uint32_t *tokens)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = n;
	a->ids = kvbm_args_ptr(ids);
	a->hashes = kvbm_args_ptr(hashes);
	a->tokens = kvbm_args_ptr(tokens);
}

/**
 * kvbm_args_ids() - arguments of KVBM_OP_UNSTAGE, _RELEASE, _RETAIN, _SET_RESET
 * @a: out
 * @flags: KVBM_RELEASE_* or KVBM_SET_RESET_ON, else 0
 * @n: elements
 * @ids: block ids
 */
static inline void kvbm_args_ids(struct kvbm_ids *a, uint32_t flags, uint32_t n,
				 const uint32_t *ids)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->flags = flags;
	a->count = n;
	a->ids = kvbm_args_ptr(ids);
}

/**
 * kvbm_args_register() - arguments of KVBM_OP_REGISTER
 * @a: out
 * @flags: KVBM_REGISTER_*, or 0
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each Mutable block, or NULL: the blocks are Staged
 * @results: array of @n results
 *
 * @a->notes may point to the blocks' notes (kvbm_args_ptr()).
 */
static inline void kvbm_args_register(struct kvbm_register *a, uint32_t flags,
				      uint32_t n, const uint32_t *ids,
				      const struct kvbm_hash *hashes,
				      struct kvbm_registered *results)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->flags = flags;
	a->count = n;
	a->ids = kvbm_args_ptr(ids);
	a->hashes = kvbm_args_ptr(hashes);
	a->results = kvbm_args_ptr(results);
}

/**
 * kvbm_args_match() - arguments of KVBM_OP_MATCH and KVBM_OP_SCAN
 * @a: out
 * @flags: KVBM_SCAN_TOUCH for a scan, KVBM_MATCH_PENDING for a match, else 0
 * @n: hashes
 * @hashes: the hashes
 * @ids: array of @n block ids
 *
 * @a->generations may point to an array of @n numbers, and @a->notes to one of
 * @n notes (kvbm_args_ptr()).
 */
static inline void kvbm_args_match(struct kvbm_match *a, uint32_t flags,
				   uint32_t n, const struct kvbm_hash *hashes,
				   uint32_t *ids)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->flags = flags;
	a->count = n;
	a->hashes = kvbm_args_ptr(hashes);
	a->ids = kvbm_args_ptr(ids);
}

/**
 * kvbm_args_upgrade() - arguments of KVBM_OP_UPGRADE
 * @a: out
 * @n: weak references
 * @weaks: the references
 * @ids: array of @n block ids
 *
 * @a->generations may point to an array of @n numbers (kvbm_args_ptr()).
 */
static inline void kvbm_args_upgrade(struct kvbm_upgrade *a, uint32_t n,
				     const struct kvbm_weak *weaks,
				     uint32_t *ids)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = n;
	a->weaks = kvbm_args_ptr(weaks);
	a->ids = kvbm_args_ptr(ids);
}

/**
 * kvbm_args_query() - arguments of KVBM_OP_PRESENCE, _FREQUENCY and _TOUCH
 * @a: out
 * @n: hashes
 * @hashes: the hashes
 * @out: array of @n bytes; NULL for touch
 *
 * For presence @a->flags may be KVBM_PRESENCE_PENDING, for touch
 * KVBM_TOUCH_NEWEST.
 */
static inline void kvbm_args_query(struct kvbm_query *a, uint32_t n,
				   const struct kvbm_hash *hashes, uint8_t *out)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = n;
	a->hashes = kvbm_args_ptr(hashes);
	a->out = kvbm_args_ptr(out);
}

/**
 * kvbm_args_wait() - arguments of KVBM_OP_WAIT
 * @a: out
 * @n: hashes
 * @hashes: the hashes
 * @deadline_ns: absolute, or ~0
 *
 * @a->clock may also be set.
 */
static inline void kvbm_args_wait(struct kvbm_wait *a, uint32_t n,
				  const struct kvbm_hash *hashes,
				  uint64_t deadline_ns)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = n;
	a->hashes = kvbm_args_ptr(hashes);
	a->deadline_ns = deadline_ns;
}

/**
 * kvbm_args_watch() - arguments of KVBM_OP_WATCH
 * @a: out
 * @n: hashes
 * @hashes: the hashes
 * @states: array of @n bytes, or NULL
 */
static inline void kvbm_args_watch(struct kvbm_watch *a, uint32_t n,
				   const struct kvbm_hash *hashes,
				   uint8_t *states)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = n;
	a->hashes = kvbm_args_ptr(hashes);
	a->states = kvbm_args_ptr(states);
}

/**
 * kvbm_args_offer() - arguments of KVBM_OP_OFFER
 * @a: out
 * @n: holds
 * @ids: block ids
 *
 * @a->flags may be KVBM_OFFER_DIRECT, with @a->fd.  The ticket is returned in
 * @a->ticket.
 */
static inline void kvbm_args_offer(struct kvbm_offer *a, uint32_t n,
				   const uint32_t *ids)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = n;
	a->ids = kvbm_args_ptr(ids);
}

/**
 * kvbm_args_accept() - arguments of KVBM_OP_ACCEPT
 * @a: out
 * @ticket: the offer; NULL: the oldest one to this session only
 * @room: size of @ids
 * @ids: array of block ids
 */
static inline void kvbm_args_accept(struct kvbm_accept *a,
				    const struct kvbm_ticket *ticket,
				    uint32_t room, uint32_t *ids)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->flags = ticket ? 0 : KVBM_ACCEPT_DIRECT;
	a->count = room;
	a->ids = kvbm_args_ptr(ids);
	if (ticket)
		a->ticket = *ticket;
}

/**
 * kvbm_args_withdraw() - arguments of KVBM_OP_WITHDRAW
 * @a: out
 * @ticket: the offer
 */
static inline void kvbm_args_withdraw(struct kvbm_withdraw *a,
				      const struct kvbm_ticket *ticket)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->ticket = *ticket;
}

/**
 * kvbm_args_keep() - arguments of KVBM_OP_KEEP
 * @a: out
 * @n: blocks
 * @ids: the blocks, which the session holds; or NULL
 * @hashes: or their hashes
 * @rank: enum kvbm_rank
 * @until_ns: when it expires, CLOCK_BOOTTIME; 0: never
 *
 * @a->flags may be KVBM_KEEP_RELATIVE, and @a->results may also be set
 * (kvbm_args_ptr()).
 */
static inline void kvbm_args_keep(struct kvbm_keep *a, uint32_t n,
				  const uint32_t *ids,
				  const struct kvbm_hash *hashes,
				  uint32_t rank, uint64_t until_ns)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = n;
	a->rank = rank;
	a->ids = kvbm_args_ptr(ids);
	a->hashes = kvbm_args_ptr(hashes);
	a->until_ns = until_ns;
}

#ifdef __cplusplus
}
#endif

#endif /* KVBM_ARGS_H */
