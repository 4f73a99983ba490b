// SPDX-License-Identifier: MIT
/* Match the cached prefix of a prompt, compute the rest, share it. */
#include <stdio.h>
#include <kvbm.h>

int main(int argc, char **argv)
{
	int s = kvbm_open(argc > 1 ? argv[1] : "pool"), n, hit;
	uint32_t tokens[64] = { 1, 2, 3 }, ids[4];
	struct kvbm_registered now[4];
	struct kvbm_hash chain[4];

	n = kvbm_chain(tokens, 64, 16, KVBM_NO_SALT, chain);
	hit = kvbm_match(s, n, chain, ids, NULL);
	if (hit < 0 || kvbm_alloc(s, n - hit, ids + hit, NULL, NULL) < 0)
		return 1;
	/* ... compute blocks hit to n - 1 here, into slots ids[hit] ... */
	if (kvbm_stage_register(s, n - hit, ids + hit, chain + hit, now, 0,
				NULL) < 0)
		return 1;
	printf("%d of %d blocks were cached\n", hit, n);
	return 0;	/* closing the session releases every hold */
}
