// SPDX-License-Identifier: MIT
/*
 * opaque.c - calls that also compute the hash: separate, because programs that
 * only make calls, or only compute hashes, do not need the other part
 */
#include "internal.h"

int kvbm_match_opaque(int session, const void *digest, const void *key,
		      size_t key_len, uint32_t group, uint32_t *id,
		      bool *pending)
{
	struct kvbm_hash hash;
	uint32_t claimed, error;
	int ret;

	ret = kvbm_hash_opaque(digest, key, key_len, group, &hash);
	if (ret < 0)
		return ret;
	ret = kvbm_match_pending(session, 1, &hash, id, &claimed, &error);
	kvbm_put(pending, !ret && !error && !claimed);
	return ret || !error ? ret : -(int)error;
}
