/* SPDX-License-Identifier: MIT */
#ifndef HOST_TAKE_H
#define HOST_TAKE_H

#include "core.h"

/* A whole allocation, as module/user/data.c does one. */
struct host_took {
	u32 got;			/* blocks, in @ids */
	u32 evicted;			/* of these; their hashes in order */
	u32 chunks;
};

/*
 * @ids and @keys (or NULL) have room for @n. All or nothing, but for
 * @reset_only.
 */
static inline int host_take(struct kvbm_session *ses, u32 n, bool reset_only,
			    u32 *ids, struct kvbm_hash *keys,
			    struct host_took *out)
{
	struct host_took none;
	struct kvbm_alloc_ctx t;
	struct kvbm_chunk c;
	int err;
	u32 i;

	out = out ?: &none;
	*out = (struct host_took) {};
	err = kvbm_alloc_begin(&t, ses, n, reset_only);
	while (!err && t.left) {
		t.n = 0;
		err = kvbm_alloc_chunk(&t, &c);
		for (i = 0; i < t.n; i++) {
			bool gone = t.evicted & BIT_ULL(i);

			if (gone && keys)
				keys[out->evicted] = c.keys[i];
			out->evicted += gone;
			ids[out->got++] = t.lost & BIT_ULL(i) ? KVBM_NO_BLOCK :
								c.ids[i];
		}
		out->chunks++;
		if (!err)
			continue;
		kvbm_alloc_abort(&t);
		if (reset_only)
			break;
		/* Evicted ones are not told from others here: few tests look. */
		for (i = 0; i < out->got; i += KVBM_CHUNK)
			kvbm_alloc_undo(ses, ids + i,
					min(out->got - i, KVBM_CHUNK), 0);
		out->got = 0;
	}
	return err;
}

#endif
