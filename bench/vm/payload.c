// SPDX-License-Identifier: MIT
/*
 * The cost of a payload: opening and ending a session, getting the descriptor
 * of the bytes, and the data path, which must cost the same with and without
 * one.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vmbench.h"

#define POOL	16384U
#define N	128U

struct side {
	int own;
	int other;
	uint64_t fresh;
	struct kvbm_hash keys[N];
	struct kvbm_hash new_keys[N];
	struct kvbm_evicted evicted[N];
	struct kvbm_registered out[N];
	uint32_t ids[N];
};

static void open_side(struct side *s, bool payload)
{
	struct kvbm_payload_options memory = {
		.bytes = POOL * 4096ULL, .flags = KVBM_MEMORY_LAZY,
	};
	struct kvbm_store_create c;
	int control = kvbm_control_open(), file = -1;

	CHECK(control >= 0);
	CHECK(!kvbm_store_create_init(&c, NULL, POOL));
	CHECK(!kvbm_store_create_policy(&c, "lru"));
	if (payload) {
		file = kvbm_payload_create(&memory);
		CHECK(file >= 0);
		CHECK(!kvbm_store_create_payload(&c, file, 4096));
	}
	CHECK(!kvbm_store_create(control, &c));
	if (payload)
		close(file);
	close(control);
	s->own = c.fd;
	s->other = kvbm_session_open(c.fd);
	CHECK(s->other >= 0);
}

static void fill(struct side *s, int session, const struct kvbm_hash *keys)
{
	CHECK(kvbm_alloc(session, N, s->ids, s->evicted, NULL) == (int)N);
	CHECK(kvbm_stage_register(session, N, s->ids, keys, s->out, 0, NULL) ==
	      (int)N);
}

static void op_match(void *arg)
{
	struct side *s = arg;

	CHECK(kvbm_match(s->own, N, s->keys, s->ids, NULL) == (int)N);
}

static void op_release(void *arg)
{
	struct side *s = arg;

	reverse(s->ids, N);
	CHECK(kvbm_release(s->own, N, s->ids, 0, NULL) == (int)N);
}

static void next_keys(void *arg)
{
	struct side *s = arg;

	fresh_keys(s->fresh++, 0, N, s->new_keys);
}

static void op_cycle(void *arg)
{
	struct side *s = arg;

	fill(s, s->own, s->new_keys);
	op_release(s);
}

static void data_path(struct side *s, bool payload)
{
	const char *mode = payload ? "payload" : "no payload";
	struct figure f = { .pool = POOL, .n = N, .mode = mode };
	struct work w = { .arg = s };
	uint32_t i;

	open_side(s, payload);
	/* Another session holds what is matched; the rest is idle. */
	next_keys(s);
	for (i = 0; i < N; i++)
		s->keys[i] = s->new_keys[i];
	fill(s, s->other, s->keys);
	for (i = N; i < POOL; i += N) {
		next_keys(s);
		op_cycle(s);
	}
	f.name = "match";
	w.op = op_match;
	w.finish = op_release;
	run(&f, &w);
	f.name = "release";
	w = (struct work){ op_match, op_release, NULL, s };
	run(&f, &w);
	f.name = "evict-cycle";
	f.policy = "lru";
	w = (struct work){ next_keys, op_cycle, NULL, s };
	run(&f, &w);
	close(s->own);
	close(s->other);
}

static void op_eventfd(void *arg)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)arg;
	CHECK(fd >= 0);
	close(fd);
}

static void op_session(void *arg)
{
	struct side *s = arg;
	int fd = kvbm_session_open(s->own);

	CHECK(fd >= 0);
	close(fd);
}

static void payload_fd(struct side *s, uint32_t flags)
{
	struct kvbm_payload p;

	CHECK(!kvbm_payload(s->own, flags, &p));
	close(p.fd);
}

static void op_payload(void *arg)
{
	payload_fd(arg, KVBM_PAYLOAD_FD);
}

static void op_payload_rdonly(void *arg)
{
	payload_fd(arg, KVBM_PAYLOAD_FD | KVBM_PAYLOAD_RDONLY);
}

void bench_payload(void)
{
	static const struct {
		const char *name;
		void (*op)(void *arg);
	} calls[] = {
		{ "eventfd, close", op_eventfd },
		{ "session, close", op_session },
		{ "payload, close", op_payload },
		{ "payload read-only, close", op_payload_rdonly },
	};
	struct side *s = calloc(1, sizeof(*s));
	unsigned int i;

	CHECK(s);
	data_path(s, false);
	data_path(s, true);
	open_side(s, true);
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct figure f = { .name = calls[i].name };
		struct work w = { .op = calls[i].op, .arg = s };

		run(&f, &w);
	}
	close(s->own);
	close(s->other);
	free(s);
}
