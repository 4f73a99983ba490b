// SPDX-License-Identifier: MIT
/*
 * One system call for a whole request: release the last request's blocks,
 * match the next prompt, and wait for a block, as three linked
 * commands of a ring; the wait has a timeout linked to it.
 *
 *	uring STORE [ROUNDS]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kvbm.h>
#include <kvbm_uring.h>

#define BLOCKS	8
#define BLOCK	16

enum { RELEASE, MATCH, ALLOC, TIMEOUT, COMMANDS };

static const char *const names[] = { "release", "match", "alloc", "timeout" };

static int fail(const char *what, int err)
{
	fprintf(stderr, "uring: %s: %s\n", what, strerror(-err));
	return 1;
}

/* Submit the four commands and collect their results. */
static int round_trip(struct io_uring *ring, int session,
		      struct kvbm_ids *release, struct kvbm_match *match,
		      struct kvbm_alloc *alloc, int res[COMMANDS])
{
	struct __kernel_timespec timeout = { .tv_sec = 1 };
	struct io_uring_sqe *sqe[COMMANDS];
	struct io_uring_cqe *cqe;
	int i, ret;

	for (i = 0; i < COMMANDS; i++)
		sqe[i] = io_uring_get_sqe(ring);

	kvbm_prep_release(sqe[RELEASE], session, release);
	kvbm_prep_match(sqe[MATCH], session, match);
	kvbm_prep_alloc(sqe[ALLOC], session, alloc);
	io_uring_prep_link_timeout(sqe[TIMEOUT], &timeout, 0);
	for (i = 0; i < COMMANDS; i++) {
		io_uring_sqe_set_data64(sqe[i], i);
		if (i < TIMEOUT)
			sqe[i]->flags |= IOSQE_IO_LINK;
	}

	ret = io_uring_submit_and_wait(ring, COMMANDS);
	if (ret < 0)
		return ret;
	for (i = 0; i < COMMANDS; i++) {
		ret = io_uring_wait_cqe(ring, &cqe);
		if (ret < 0)
			return ret;
		res[io_uring_cqe_get_data64(cqe)] = cqe->res;
		io_uring_cqe_seen(ring, cqe);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 10;
	struct kvbm_hash chain[BLOCKS], fresh;
	uint32_t tokens[BLOCKS * BLOCK], held[BLOCKS], ids[BLOCKS], id;
	int res[COMMANDS], session, i, ret;
	struct kvbm_registered now;
	struct kvbm_ids release;
	struct kvbm_match match;
	struct kvbm_alloc alloc;
	struct io_uring ring;
	uint32_t nr_held = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: uring STORE [ROUNDS]\n");
		return 2;
	}
	session = kvbm_open(argv[1]);
	if (session < 0)
		return fail(argv[1], session);
	ret = io_uring_queue_init(8, &ring, 0);
	if (ret < 0)
		return fail("ring", ret);

	for (i = 0; i < BLOCKS * BLOCK; i++)
		tokens[i] = i;
	ret = kvbm_chain(tokens, BLOCKS * BLOCK, BLOCK, KVBM_NO_SALT, chain);
	if (ret < 0)
		return fail("chain", ret);

	/* Each round finds one block more of the prompt, and adds one. */
	while (rounds--) {
		kvbm_args_ids(&release, 0, nr_held, held);
		kvbm_args_match(&match, 0, BLOCKS, chain, ids);
		kvbm_args_alloc(&alloc, KVBM_ALLOC_WAIT, 1, &id, NULL,
				KVBM_NO_DEADLINE);
		ret = round_trip(&ring, session, &release, &match, &alloc, res);
		if (ret < 0)
			return fail("ring", ret);
		for (i = 0; i < TIMEOUT; i++) {
			if (res[i] < 0)
				return fail(names[i], res[i]);
		}
		printf("released %d, matched %d, allocated %d\n", res[RELEASE],
		       res[MATCH], res[ALLOC]);

		/* Matched blocks, and the new one, are held until then. */
		nr_held = res[MATCH];
		memcpy(held, ids, nr_held * sizeof(*held));
		if (nr_held == BLOCKS) {
			kvbm_release(session, 1, &id, 0, NULL);
			continue;
		}
		fresh = chain[nr_held];
		ret = kvbm_stage_register(session, 1, &id, &fresh, &now, 0,
					  NULL);
		if (ret < 0)
			return fail("register", ret);
		held[nr_held++] = now.block;
	}
	io_uring_queue_exit(&ring);
	return 0;
}
