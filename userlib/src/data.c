// SPDX-License-Identifier: MIT
/* The data path: each function is one request. */
#include <time.h>

#include "internal.h"
#include "kvbm_args.h"

static int alloc(int session, uint32_t flags, uint32_t n, uint32_t *ids,
		 struct kvbm_evicted *evicted, uint32_t *nr_evicted,
		 uint64_t deadline_ns, uint32_t *ticket)
{
	struct kvbm_alloc args;
	int ret;

	kvbm_args_alloc(&args, flags, n, ids, evicted, deadline_ns);
	args.ticket = *ticket;
	ret = kvbm_ioctl(session, KVBM_IOC_ALLOC, &args);
	*ticket = args.ticket;
	kvbm_put(nr_evicted, args.evicted);
	/* Not all ids could be written: all or nothing. */
	if (ret >= 0 && args.error && !(flags & KVBM_ALLOC_RESET_ONLY)) {
		kvbm_release(session, (uint32_t)ret, ids, KVBM_RELEASE_MUTABLE,
			     NULL);
		ret = -(int)args.error;
	}
	return ret;
}

int kvbm_alloc(int session, uint32_t n, uint32_t *ids,
	       struct kvbm_evicted *evicted, uint32_t *nr_evicted)
{
	uint32_t ticket = 0;

	return alloc(session, 0, n, ids, evicted, nr_evicted, 0, &ticket);
}

int kvbm_alloc_reset(int session, uint32_t n, uint32_t *ids)
{
	uint32_t ticket = 0;

	return alloc(session, KVBM_ALLOC_RESET_ONLY, n, ids, NULL, NULL, 0,
		     &ticket);
}

int kvbm_alloc_wait_at(int session, uint32_t n, uint32_t *ids,
		       struct kvbm_evicted *evicted, uint32_t *nr_evicted,
		       uint64_t deadline_ns, uint32_t *ticket)
{
	return alloc(session, KVBM_ALLOC_WAIT, n, ids, evicted, nr_evicted,
		     deadline_ns, ticket);
}

int kvbm_alloc_wait(int session, uint32_t n, uint32_t *ids,
		    struct kvbm_evicted *evicted, uint32_t *nr_evicted,
		    uint64_t deadline_ns)
{
	uint32_t ticket = 0;
	int ret;

	ret = alloc(session, KVBM_ALLOC_WAIT, n, ids, evicted, nr_evicted,
		    deadline_ns, &ticket);
	if (ticket)
		kvbm_ticket_give_up(session, ticket);
	return ret;
}

int kvbm_ticket_give_up(int session, uint32_t ticket)
{
	struct kvbm_alloc args;

	kvbm_args_alloc(&args, KVBM_ALLOC_GIVE_UP, 0, NULL, NULL, 0);
	args.ticket = ticket;
	return kvbm_ioctl(session, KVBM_IOC_ALLOC, &args);
}

uint64_t kvbm_deadline(uint64_t timeout_ns)
{
	struct timespec now;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	return timeout_ns > KVBM_NO_DEADLINE - ns ? KVBM_NO_DEADLINE :
						    ns + timeout_ns;
}

int kvbm_stage(int session, uint32_t n, const uint32_t *ids,
	       const struct kvbm_hash *hashes, const uint32_t *tokens,
	       uint32_t *error)
{
	struct kvbm_stage args;
	int ret;

	kvbm_args_stage(&args, n, ids, hashes, tokens);
	ret = kvbm_ioctl(session, KVBM_IOC_STAGE, &args);
	return ended(ret, error, args.error);
}

int kvbm_claim(int session, uint32_t n, const uint32_t *ids,
	       const struct kvbm_hash *hashes, uint8_t *states,
	       uint32_t *error)
{
	struct kvbm_stage args;
	int ret;

	kvbm_args_stage(&args, n, ids, hashes, NULL);
	args.flags = KVBM_STAGE_CLAIM;
	args.states = kvbm_args_ptr(states);
	ret = kvbm_ioctl(session, KVBM_IOC_STAGE, &args);
	return ended(ret, error, args.error);
}

int kvbm_wait(int session, uint32_t n, const struct kvbm_hash *hashes,
	      uint64_t deadline_ns, uint32_t *pending)
{
	struct kvbm_wait args;
	int ret;

	kvbm_args_wait(&args, n, hashes, deadline_ns);
	ret = kvbm_ioctl(session, KVBM_IOC_WAIT, &args);
	kvbm_put(pending, args.pending);
	return ret;
}

int kvbm_watch(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint8_t *states)
{
	struct kvbm_watch args;
	int ret;

	kvbm_args_watch(&args, n, hashes, states);
	ret = kvbm_ioctl(session, KVBM_IOC_WATCH, &args);
	return ret < 0 ? ret : (int)args.pending;
}

static int offer(int session, struct kvbm_offer *args,
		 struct kvbm_ticket *ticket)
{
	int ret = kvbm_ioctl(session, KVBM_IOC_OFFER, args);

	if (!ret && ticket)
		*ticket = args->ticket;
	return ret;
}

int kvbm_offer(int session, uint32_t n, const uint32_t *ids,
	       struct kvbm_ticket *ticket)
{
	struct kvbm_offer args;

	kvbm_args_offer(&args, n, ids);
	return offer(session, &args, ticket);
}

int kvbm_offer_to(int session, int to, uint32_t n, const uint32_t *ids,
		  struct kvbm_ticket *ticket)
{
	struct kvbm_offer args;

	kvbm_args_offer(&args, n, ids);
	args.flags = KVBM_OFFER_DIRECT;
	args.fd = to;
	return offer(session, &args, ticket);
}

int kvbm_accept(int session, const struct kvbm_ticket *ticket, uint32_t room,
		uint32_t *ids, uint32_t *total)
{
	struct kvbm_accept args;
	int ret;

	kvbm_args_accept(&args, ticket, room, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_ACCEPT, &args);
	kvbm_put(total, args.total);
	return ret;
}

int kvbm_accept_direct(int session, uint32_t room, uint32_t *ids,
		       struct kvbm_ticket *ticket, uint32_t *total)
{
	struct kvbm_accept args;
	int ret;

	kvbm_args_accept(&args, NULL, room, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_ACCEPT, &args);
	if (ret >= 0 && ticket)
		*ticket = args.ticket;
	kvbm_put(total, args.total);
	return ret;
}

int kvbm_withdraw(int session, const struct kvbm_ticket *ticket)
{
	struct kvbm_withdraw args;
	int ret;

	kvbm_args_withdraw(&args, ticket);
	ret = kvbm_ioctl(session, KVBM_IOC_WITHDRAW, &args);
	return ret < 0 ? ret : (int)args.done;
}

static int ids_request(int session, unsigned long request, uint32_t flags,
		       uint32_t n, const uint32_t *ids, uint32_t *error)
{
	struct kvbm_ids args;
	int ret;

	kvbm_args_ids(&args, flags, n, ids);
	ret = kvbm_ioctl(session, request, &args);
	return ended(ret, error, args.error);
}

int kvbm_unstage(int session, uint32_t n, const uint32_t *ids, uint32_t *error)
{
	return ids_request(session, KVBM_IOC_UNSTAGE, 0, n, ids, error);
}

int kvbm_release(int session, uint32_t n, const uint32_t *ids, uint32_t flags,
		 uint32_t *error)
{
	return ids_request(session, KVBM_IOC_RELEASE, flags, n, ids, error);
}

int kvbm_retain(int session, uint32_t n, const uint32_t *ids, uint32_t *error)
{
	return ids_request(session, KVBM_IOC_RETAIN, 0, n, ids, error);
}

int kvbm_set_reset(int session, uint32_t n, const uint32_t *ids, bool on,
		   uint32_t *error)
{
	return ids_request(session, KVBM_IOC_SET_RESET,
			   on ? KVBM_SET_RESET_ON : 0, n, ids, error);
}

static int register_request(int session, uint32_t n, const uint32_t *ids,
			    const struct kvbm_hash *hashes,
			    struct kvbm_registered *results, uint32_t flags,
			    uint32_t *error)
{
	struct kvbm_register args;
	int ret;

	kvbm_args_register(&args, flags, n, ids, hashes, results);
	ret = kvbm_ioctl(session, KVBM_IOC_REGISTER, &args);
	return ended(ret, error, args.error);
}

int kvbm_register(int session, uint32_t n, const uint32_t *ids,
		  struct kvbm_registered *results, uint32_t flags,
		  uint32_t *error)
{
	return register_request(session, n, ids, NULL, results, flags, error);
}

int kvbm_stage_register(int session, uint32_t n, const uint32_t *ids,
			const struct kvbm_hash *hashes,
			struct kvbm_registered *results, uint32_t flags,
			uint32_t *error)
{
	/* For the kernel, no hashes means that the blocks are Staged. */
	if (n && !hashes)
		return ended(-EFAULT, error, 0);
	return register_request(session, n, ids, hashes, results, flags, error);
}

int kvbm_match(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint32_t *ids, uint32_t *error)
{
	struct kvbm_match args;
	int ret;

	kvbm_args_match(&args, 0, n, hashes, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_MATCH, &args);
	return ended(ret, error, args.error);
}

int kvbm_match_pending(int session, uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t *ids, uint32_t *pending, uint32_t *error)
{
	struct kvbm_match args;
	int ret;

	kvbm_args_match(&args, KVBM_MATCH_PENDING, n, hashes, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_MATCH, &args);
	*pending = ret < 0 ? n : args.pending;
	return ended(ret, error, args.error);
}

int kvbm_scan(int session, uint32_t n, const struct kvbm_hash *hashes,
	      uint32_t *ids, uint32_t flags, uint32_t *hits, uint32_t *error)
{
	struct kvbm_match args;
	int ret;

	kvbm_args_match(&args, flags, n, hashes, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_SCAN, &args);
	kvbm_put(hits, args.hits);
	return ended(ret, error, args.error);
}

int kvbm_upgrade(int session, uint32_t n, const struct kvbm_weak *weaks,
		 uint32_t *ids, uint32_t *hits, uint32_t *error)
{
	struct kvbm_upgrade args;
	int ret;

	kvbm_args_upgrade(&args, n, weaks, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_UPGRADE, &args);
	kvbm_put(hits, args.hits);
	return ended(ret, error, args.error);
}

static int query(int session, unsigned long request, uint32_t flags, uint32_t n,
		 const struct kvbm_hash *hashes, uint8_t *out, uint32_t *error)
{
	struct kvbm_query args;
	int ret;

	kvbm_args_query(&args, n, hashes, out);
	args.flags = flags;
	ret = kvbm_ioctl(session, request, &args);
	return ended(ret, error, args.error);
}

int kvbm_presence(int session, uint32_t n, const struct kvbm_hash *hashes,
		  uint8_t *out, uint32_t *error)
{
	return query(session, KVBM_IOC_PRESENCE, 0, n, hashes, out, error);
}

int kvbm_presence_pending(int session, uint32_t n,
			  const struct kvbm_hash *hashes, uint8_t *out,
			  uint32_t *error)
{
	return query(session, KVBM_IOC_PRESENCE, KVBM_PRESENCE_PENDING, n,
		     hashes, out, error);
}

int kvbm_frequency(int session, uint32_t n, const struct kvbm_hash *hashes,
		   uint8_t *out, uint32_t *error)
{
	return query(session, KVBM_IOC_FREQUENCY, 0, n, hashes, out, error);
}

int kvbm_touch(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint32_t *error)
{
	return query(session, KVBM_IOC_TOUCH, 0, n, hashes, NULL, error);
}

int kvbm_touch_newest(int session, uint32_t n, const struct kvbm_hash *hashes,
		      uint32_t *error)
{
	return query(session, KVBM_IOC_TOUCH, KVBM_TOUCH_NEWEST, n, hashes,
		     NULL, error);
}

static int keep(int session, struct kvbm_keep *args, uint32_t flags,
		uint8_t *results, uint32_t *error)
{
	int ret;

	args->flags = flags;
	args->results = kvbm_args_ptr(results);
	ret = kvbm_ioctl(session, KVBM_IOC_KEEP, args);
	return ended(ret, error, args->error);
}

int kvbm_keep(int session, uint32_t n, const uint32_t *ids, uint32_t rank,
	      uint64_t until_ns, uint32_t flags, uint8_t *results,
	      uint32_t *error)
{
	struct kvbm_keep args;

	kvbm_args_keep(&args, n, ids, NULL, rank, until_ns);
	return keep(session, &args, flags, results, error);
}

int kvbm_keep_hashes(int session, uint32_t n, const struct kvbm_hash *hashes,
		     uint32_t rank, uint64_t until_ns, uint32_t flags,
		     uint8_t *results, uint32_t *error)
{
	struct kvbm_keep args;

	kvbm_args_keep(&args, n, NULL, hashes, rank, until_ns);
	return keep(session, &args, flags, results, error);
}
