// SPDX-License-Identifier: MIT
/*
 * ioctl against io_uring: the ring is filled with match and release commands,
 * which are submitted at once and reaped together.
 */
#include <kvbm_uring.h>
#include <unistd.h>
#include "vmbench.h"

#define POOL		16384U
#define FLIGHT_MAX	64

struct flight {
	struct kvbm_match match;
	struct kvbm_ids release;
	uint32_t ids[PROMPT];
};

struct ring {
	struct io_uring ring;
	int session;
	uint32_t n;		/* blocks in a batch */
	uint32_t depth;		/* commands in flight */
	struct kvbm_hash keys[PROMPT];
	struct flight flight[FLIGHT_MAX];
};

static void reap(struct ring *r)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	CHECK(io_uring_submit_and_wait(&r->ring, r->depth) == (int)r->depth);
	io_uring_for_each_cqe(&r->ring, head, cqe) {
		CHECK(cqe->res == (int)r->n);
		seen++;
	}
	CHECK(seen == r->depth);
	io_uring_cq_advance(&r->ring, seen);
}

static void uring_match(void *arg)
{
	struct ring *r = arg;
	uint32_t i;

	for (i = 0; i < r->depth; i++) {
		struct flight *f = &r->flight[i];

		kvbm_args_match(&f->match, 0, r->n, r->keys, f->ids);
		kvbm_prep_match(io_uring_get_sqe(&r->ring), r->session,
				&f->match);
	}
	reap(r);
}

static void uring_release(void *arg)
{
	struct ring *r = arg;
	uint32_t i;

	for (i = 0; i < r->depth; i++) {
		struct flight *f = &r->flight[i];

		kvbm_args_ids(&f->release, 0, r->n, f->ids);
		kvbm_prep_release(io_uring_get_sqe(&r->ring), r->session,
				  &f->release);
	}
	reap(r);
}

static void ioctl_match(void *arg)
{
	struct ring *r = arg;
	uint32_t i;

	for (i = 0; i < r->depth; i++)
		CHECK(kvbm_match(r->session, r->n, r->keys, r->flight[i].ids,
				 NULL) == (int)r->n);
}

static void ioctl_release(void *arg)
{
	struct ring *r = arg;
	uint32_t i;

	for (i = 0; i < r->depth; i++)
		CHECK(kvbm_release(r->session, r->n, r->flight[i].ids, 0,
				   NULL) == (int)r->n);
}

static void measure(struct ring *r, const char *mode, bool uring)
{
	struct figure f = { .name = "uring-match", .mode = mode,
			    .n = r->n, .per = r->depth };
	struct work w = { .op = uring ? uring_match : ioctl_match,
			  .finish = ioctl_release, .arg = r };

	run(&f, &w);
	f.name = "uring-release";
	w.prepare = ioctl_match;
	w.op = uring ? uring_release : ioctl_release;
	w.finish = NULL;
	run(&f, &w);
}

void bench_uring(void)
{
	static const uint32_t depths[] = { 1, 4, 16, 64 };
	static const uint32_t sizes[] = { 1, 32, 128 };
	struct kvbm_registered out[PROMPT];
	struct ring *r = calloc(1, sizeof(*r));
	struct kvbm_store_create c;
	uint32_t i, k, ids[PROMPT];
	int control = kvbm_control_open();
	char mode[32];

	CHECK(r && control >= 0);
	CHECK(!kvbm_store_create_init(&c, NULL, POOL));
	CHECK(!kvbm_store_create(control, &c));
	r->session = kvbm_session_open(c.fd);
	CHECK(r->session >= 0);
	CHECK(!io_uring_queue_init(FLIGHT_MAX, &r->ring, 0));

	prompt_keys(1, r->keys);
	CHECK(kvbm_alloc(c.fd, PROMPT, ids, NULL, NULL) == PROMPT);
	CHECK(kvbm_stage_register(c.fd, PROMPT, ids, r->keys, out, 0, NULL) ==
	      PROMPT);
	for (i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			r->depth = depths[i];
			r->n = sizes[k];
			snprintf(mode, sizeof(mode), "ioctl,in-flight-%u",
				 r->depth);
			measure(r, mode, false);
			snprintf(mode, sizeof(mode), "io_uring,in-flight-%u",
				 r->depth);
			measure(r, mode, true);
		}
	}
	io_uring_queue_exit(&r->ring);
	close(r->session);
	close(c.fd);
	close(control);
	free(r);
}
