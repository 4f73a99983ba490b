// SPDX-License-Identifier: MIT
/* The data path: each function is one request. */
#include <time.h>

#include "internal.h"
#include "kvbm_args.h"

static int alloc(int session, uint32_t flags, uint32_t n, uint32_t *ids,
		 struct kvbm_hash *evicted, uint32_t *nr_evicted,
		 uint64_t deadline_ns)
{
	struct kvbm_alloc args;
	int ret;

	kvbm_args_alloc(&args, flags, n, ids, evicted, deadline_ns);
	ret = kvbm_ioctl(session, KVBM_IOC_ALLOC, &args);
	kvbm_put(nr_evicted, ret < 0 ? 0 : args.evicted);
	return ret;
}

int kvbm_alloc(int session, uint32_t n, uint32_t *ids,
	       struct kvbm_hash *evicted, uint32_t *nr_evicted)
{
	return alloc(session, 0, n, ids, evicted, nr_evicted, 0);
}

int kvbm_alloc_reset(int session, uint32_t n, uint32_t *ids)
{
	return alloc(session, KVBM_ALLOC_RESET_ONLY, n, ids, NULL, NULL, 0);
}

int kvbm_alloc_wait(int session, uint32_t n, uint32_t *ids,
		    struct kvbm_hash *evicted, uint32_t *nr_evicted,
		    uint64_t deadline_ns)
{
	return alloc(session, KVBM_ALLOC_WAIT, n, ids, evicted, nr_evicted,
		     deadline_ns);
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
	       uint32_t *done)
{
	struct kvbm_stage args;
	int ret;

	kvbm_args_stage(&args, n, ids, hashes, tokens);
	ret = kvbm_ioctl(session, KVBM_IOC_STAGE, &args);
	kvbm_put(done, args.done);
	return ret;
}

static int ids_request(int session, unsigned long request, uint32_t flags,
		       uint32_t n, const uint32_t *ids, uint32_t *done)
{
	struct kvbm_ids args;
	int ret;

	kvbm_args_ids(&args, flags, n, ids);
	ret = kvbm_ioctl(session, request, &args);
	kvbm_put(done, args.done);
	return ret;
}

int kvbm_unstage(int session, uint32_t n, const uint32_t *ids, uint32_t *done)
{
	return ids_request(session, KVBM_IOC_UNSTAGE, 0, n, ids, done);
}

int kvbm_release(int session, uint32_t n, const uint32_t *ids, uint32_t flags,
		 uint32_t *done)
{
	return ids_request(session, KVBM_IOC_RELEASE, flags, n, ids, done);
}

int kvbm_retain(int session, uint32_t n, const uint32_t *ids, uint32_t *done)
{
	return ids_request(session, KVBM_IOC_RETAIN, 0, n, ids, done);
}

int kvbm_set_reset(int session, uint32_t n, const uint32_t *ids, bool on,
		   uint32_t *done)
{
	return ids_request(session, KVBM_IOC_SET_RESET,
			   on ? KVBM_SET_RESET_ON : 0, n, ids, done);
}

static int register_request(int session, uint32_t n, const uint32_t *ids,
			    const struct kvbm_hash *hashes,
			    struct kvbm_registered *results, uint32_t flags,
			    uint32_t *done)
{
	struct kvbm_register args;
	int ret;

	kvbm_args_register(&args, flags, n, ids, hashes, results);
	ret = kvbm_ioctl(session, KVBM_IOC_REGISTER, &args);
	kvbm_put(done, args.done);
	return ret;
}

int kvbm_register(int session, uint32_t n, const uint32_t *ids,
		  struct kvbm_registered *results, uint32_t flags,
		  uint32_t *done)
{
	return register_request(session, n, ids, NULL, results, flags, done);
}

int kvbm_stage_register(int session, uint32_t n, const uint32_t *ids,
			const struct kvbm_hash *hashes,
			struct kvbm_registered *results, uint32_t flags,
			uint32_t *done)
{
	/* To the kernel no hashes means that the blocks are Staged. */
	if (n && !hashes) {
		kvbm_put(done, 0);
		return -EFAULT;
	}
	return register_request(session, n, ids, hashes, results, flags, done);
}

int kvbm_match(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint32_t *ids, uint32_t *done)
{
	struct kvbm_match args;
	int ret;

	kvbm_args_match(&args, 0, n, hashes, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_MATCH, &args);
	kvbm_put(done, args.done);
	return ret;
}

int kvbm_scan(int session, uint32_t n, const struct kvbm_hash *hashes,
	      uint32_t *ids, uint32_t flags, uint32_t *hits, uint32_t *done)
{
	struct kvbm_match args;
	int ret;

	kvbm_args_match(&args, flags, n, hashes, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_SCAN, &args);
	kvbm_put(hits, args.hits);
	kvbm_put(done, args.done);
	return ret;
}

int kvbm_upgrade(int session, uint32_t n, const struct kvbm_weak *weaks,
		 uint32_t *ids, uint32_t *hits, uint32_t *done)
{
	struct kvbm_upgrade args;
	int ret;

	kvbm_args_upgrade(&args, n, weaks, ids);
	ret = kvbm_ioctl(session, KVBM_IOC_UPGRADE, &args);
	kvbm_put(hits, args.hits);
	kvbm_put(done, args.done);
	return ret;
}

static int query(int session, unsigned long request, uint32_t n,
		 const struct kvbm_hash *hashes, uint8_t *out, uint32_t *done)
{
	struct kvbm_query args;
	int ret;

	kvbm_args_query(&args, n, hashes, out);
	ret = kvbm_ioctl(session, request, &args);
	kvbm_put(done, args.done);
	return ret;
}

int kvbm_presence(int session, uint32_t n, const struct kvbm_hash *hashes,
		  uint8_t *out, uint32_t *done)
{
	return query(session, KVBM_IOC_PRESENCE, n, hashes, out, done);
}

int kvbm_frequency(int session, uint32_t n, const struct kvbm_hash *hashes,
		   uint8_t *out, uint32_t *done)
{
	return query(session, KVBM_IOC_FREQUENCY, n, hashes, out, done);
}

int kvbm_touch(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint32_t *done)
{
	return query(session, KVBM_IOC_TOUCH, n, hashes, NULL, done);
}
