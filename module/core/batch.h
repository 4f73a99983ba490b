/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * batch.h - the one loop over a batch's chunks
 *
 * The caller passes a function that copies a chunk's arguments to memory that
 * the core may read, calls the core's function for the chunk, and copies the
 * results out.  System calls copy user memory; the model and the benchmarks
 * copy their own.
 */
#ifndef KVBM_BATCH_H
#define KVBM_BATCH_H

#include <linux/sched.h>
#include <linux/sched/signal.h>
#include "core.h"

/**
 * struct kvbm_batch - a batch in progress; kvbm_batch_run() fills it in
 * @ses: the session
 * @done: elements done
 *
 * Embedded in the data of the chunks' function.  If that has pointers to
 * arrays, not arrays, compilers keep all of it in registers.
 */
struct kvbm_batch {
	struct kvbm_session *ses;
	u32 done;
};

/**
 * kvbm_batch_pause() - between chunks: stop if killed, let others run
 *
 * Return: 0 or -EINTR.
 */
static inline int kvbm_batch_pause(void)
{
	if (unlikely(fatal_signal_pending(current)))
		return -EINTR;
	cond_resched();
	return 0;
}

/**
 * kvbm_batch_run() - all chunks of a batch, one after the other
 * @b: out
 * @ses: the session
 * @count: elements of the batch
 * @chunk: elements of a chunk, at most KVBM_CHUNK
 * @one: does n elements from @b->done on; returns how many, or -errno if the
 *	chunk does not count.  A constant, so that it is inlined
 *
 * Nothing is held between two chunks.  An empty batch has one empty chunk.
 *
 * Return: 0 if everything is done or the step said stop, else -errno; @b->done
 * are done.
 */
static __always_inline int
kvbm_batch_run(struct kvbm_batch *b, struct kvbm_session *ses, u32 count,
	       u32 chunk,
	       int (*one)(struct kvbm_batch *b, u32 n, struct kvbm_step *step))
{
	int got, err;
	u32 n;

	b->ses = ses;
	b->done = 0;
	do {
		struct kvbm_step step = KVBM_STEP_INIT;

		n = min(count - b->done, chunk);
		got = one(b, n, &step);
		if (unlikely(got < 0))
			return got;
		b->done += got;
		if (step.stop)
			return 0;
		if (step.err)
			return step.err;
		err = unlikely(got < n) ? kvbm_session_ready(ses, &step) :
					  kvbm_batch_pause();
	} while (!err && b->done < count);
	return err;
}

#endif /* KVBM_BATCH_H */
