// SPDX-License-Identifier: MIT
/*
 * A worker whose blocks have bytes, in a store created with
 *
 *	kvbmctl create pool --blocks 1k --block-bytes 64k
 *
 * It registers the pool with the device that fills it, in parts, when a
 * block of a part is first used.  With -DUSE_CUDA and -lcudart the device is a
 * GPU; without, it is the processor, and the pages are pinned in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <kvbm.h>

#ifdef USE_CUDA
#include <cuda_runtime.h>
#endif

static struct kvbm_payload_map map;
static bool *registered;

/* Register the part with this block, if it is not registered yet. */
static int prepare(uint32_t block)
{
	char *at = kvbm_block(&map, block);
	uint64_t i, bytes;
	void *base;

	for (i = 0; kvbm_payload_segment(&map, KVBM_PAYLOAD_SEGMENT, i, &base,
					 &bytes); i++)
		if (at >= (char *)base && at < (char *)base + bytes)
			break;
	if (registered[i])
		return 0;
#ifdef USE_CUDA
	/* One part at a time: each call pins all of its pages. */
	if (cudaHostRegister(base, bytes, cudaHostRegisterPortable))
		return -1;
#else
	if (mlock(base, bytes))
		return -1;
#endif
	registered[i] = true;
	return 0;
}

/* Compute a block; all of its bytes are written when this returns. */
static int compute(uint32_t block, uint32_t what)
{
	void *to = kvbm_block(&map, block);

	if (prepare(block))
		return -1;
#ifdef USE_CUDA
	static void *on_gpu;
	static cudaStream_t stream;
	cudaEvent_t copied;
	int err;

	if (!on_gpu && (cudaMalloc(&on_gpu, map.block_bytes) ||
			cudaStreamCreate(&stream)))
		return -1;
	cudaMemsetAsync(on_gpu, (int)what, map.block_bytes, stream);
	cudaMemcpyAsync(to, on_gpu, map.block_bytes, cudaMemcpyDeviceToHost,
			stream);
	/*
	 * Other sessions may read the block at once: the copy must have
	 * finished.
	 */
	err = cudaEventCreateWithFlags(&copied, cudaEventDisableTiming);
	if (!err)
		err = cudaEventRecord(copied, stream);
	if (!err)
		err = cudaEventSynchronize(copied);
	cudaEventDestroy(copied);
	return err ? -1 : 0;
#else
	memset(to, (int)what, map.block_bytes);
	return 0;
#endif
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "pool";
	uint32_t tokens[64] = { 1, 2, 3 }, ids[4];
	struct kvbm_registered now[4];
	struct kvbm_hash chain[4];
	int s, n, hit, i, err;

	/*
	 * The device first, then the store.  On exit kvbm ends a session after
	 * all other files of the process, but do not rely on that.
	 */
	s = kvbm_open(name);
	if (s < 0) {
		fprintf(stderr, "%s: %s\n", name, strerror(-s));
		return 1;
	}
	err = kvbm_payload_map(s, PROT_READ | PROT_WRITE, &map);
	if (err) {
		fprintf(stderr, "%s: no bytes: %s\n", name, strerror(-err));
		return 1;
	}
	registered = calloc(map.mapped / KVBM_PAYLOAD_SEGMENT + 1,
			    sizeof(*registered));
	if (!registered)
		return 1;

	n = kvbm_chain(tokens, 64, 16, KVBM_NO_SALT, chain);
	hit = kvbm_match(s, n, chain, ids, NULL);
	if (hit < 0 || kvbm_alloc(s, n - hit, ids + hit, NULL, NULL) < 0)
		return 1;
	/* Matched blocks can be read as long as they are held. */
	for (i = 0; i < hit; i++)
		printf("block %d is there: %d\n", i,
		       *(unsigned char *)kvbm_block(&map, ids[i]));
	for (i = hit; i < n; i++)
		if (compute(ids[i], 'a' + i))
			return 1;
	/* Only now: from here on others may read them. */
	if (kvbm_stage_register(s, n - hit, ids + hit, chain + hit, now, 0,
				NULL) < 0)
		return 1;
	printf("%d blocks computed\n", n - hit);
	/*
	 * Hold blocks as long as something reads them, such as a copy to the
	 * GPU.
	 */
	return kvbm_release(s, n, ids, 0, NULL) == n ? 0 : 1;
}
