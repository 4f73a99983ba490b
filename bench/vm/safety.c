// SPDX-License-Identifier: MIT
/*
 * The cost of safety: a few operations.  The script "safety" counts them on
 * several modules.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "vmbench.h"

#define POOL	16384U
#define NAME	"safety"

struct safety {
	int fd;			/* the session measured */
	int other;		/* it holds one prompt */
	int control;
	uint32_t n;
	uint64_t fresh;
	struct kvbm_hash keys[BATCH_MAX];
	struct kvbm_evicted evicted[BATCH_MAX];
	struct kvbm_registered out[BATCH_MAX];
	uint8_t bytes[BATCH_MAX];
	uint32_t ids[BATCH_MAX];
};

static void op_empty(void *arg)
{
	struct safety *s = arg;

	CHECK(!kvbm_match(s->fd, 0, NULL, NULL, NULL));
}

static void op_match(void *arg)
{
	struct safety *s = arg;

	CHECK(kvbm_match(s->fd, s->n, s->keys, s->ids, NULL) == (int)s->n);
}

static void op_retain(void *arg)
{
	struct safety *s = arg;

	CHECK(kvbm_retain(s->fd, s->n, s->ids, NULL) == (int)s->n);
}

static void op_presence(void *arg)
{
	struct safety *s = arg;

	CHECK(kvbm_presence(s->fd, s->n, s->keys, s->bytes, NULL) ==
	      (int)s->n);
}

static void op_alloc(void *arg)
{
	struct safety *s = arg;

	CHECK(kvbm_alloc(s->fd, s->n, s->ids, s->evicted, NULL) ==
	      (int)s->n);
}

static void op_alloc_quiet(void *arg)
{
	struct safety *s = arg;

	CHECK(kvbm_alloc(s->fd, s->n, s->ids, NULL, NULL) == (int)s->n);
}

static void op_register(void *arg)
{
	struct safety *s = arg;

	CHECK(kvbm_stage_register(s->fd, s->n, s->ids, s->keys, s->out, 0,
				  NULL) == (int)s->n);
}

/* Tails first. */
static void op_release(void *arg)
{
	struct safety *s = arg;

	reverse(s->ids, s->n);
	CHECK(kvbm_release(s->fd, s->n, s->ids, 0, NULL) == (int)s->n);
}

static void new_keys(void *arg)
{
	struct safety *s = arg;
	uint32_t i, n;

	for (i = 0; i < s->n; i += n) {
		n = s->n - i < PROMPT ? s->n - i : PROMPT;
		fresh_keys(s->fresh++, 0, n, &s->keys[i]);
	}
}

static void op_cycle(void *arg)
{
	op_alloc(arg);
	op_register(arg);
	op_release(arg);
}

static void keys_alloc(void *arg)
{
	new_keys(arg);
	op_alloc(arg);
}

static void keys_alloc_register(void *arg)
{
	keys_alloc(arg);
	op_register(arg);
}

static void register_release(void *arg)
{
	op_register(arg);
	op_release(arg);
}

static void op_open(void *arg)
{
	int fd = open("/dev/kvbm/" NAME, O_RDWR | O_CLOEXEC);

	(void)arg;
	CHECK(fd >= 0);
	close(fd);
}

static int create(struct safety *s, const char *name, const char *policy,
		  uint32_t total)
{
	struct kvbm_store_create c;

	CHECK(!kvbm_store_create_init(&c, name, total));
	CHECK(!kvbm_store_create_policy(&c, policy));
	CHECK(!kvbm_store_create(s->control, &c));
	return c.fd;
}

static void op_create(void *arg)
{
	close(create(arg, NULL, "lru", 1024));
}

static void count(struct safety *s, const char *name, const char *policy,
		  void (*prepare)(void *), void (*op)(void *),
		  void (*finish)(void *))
{
	struct figure f = { .name = name, .policy = policy, .pool = POOL,
			    .n = s->n };
	struct work w = { .prepare = prepare, .op = op, .finish = finish,
			  .arg = s };

	run(&f, &w);
}

static void registered(struct safety *s)
{
	static const uint32_t sizes[] = { 1, 128 };
	unsigned int i;

	s->n = 0;
	count(s, "empty", NULL, NULL, op_empty, NULL);
	for (i = 0; i < 2; i++) {
		s->n = sizes[i];
		fresh_keys(0, 0, s->n, s->keys);
		count(s, "match", NULL, NULL, op_match, op_release);
		count(s, "release", NULL, op_match, op_release, NULL);
		count(s, "presence", NULL, NULL, op_presence, NULL);
		op_match(s);
		count(s, "retain", NULL, NULL, op_retain, op_release);
		op_release(s);
	}
}

static void evicting(struct safety *s, const char *policy)
{
	static const uint32_t sizes[] = { 1, 64, 128, 1024 };
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		s->n = sizes[i];
		count(s, "cycle", policy, new_keys, op_cycle, NULL);
		count(s, "allocate", policy, new_keys, op_alloc,
		      register_release);
		count(s, "allocate, untold", policy, new_keys, op_alloc_quiet,
		      register_release);
		count(s, "register", policy, keys_alloc, op_register,
		      op_release);
		count(s, "give back", policy, keys_alloc_register, op_release,
		      NULL);
	}
}

void bench_safety(void)
{
	static const char * const policies[] = { "lru", "lineage_tick" };
	struct safety *s = calloc(1, sizeof(*s));
	unsigned int i, k;

	CHECK(s);
	s->control = kvbm_control_open();
	CHECK(s->control >= 0);
	for (i = 0; i < 2; i++) {
		s->fd = create(s, i ? NULL : NAME, policies[i], POOL);
		if (!i)
			s->fd = kvbm_open(NAME);
		CHECK(s->fd >= 0);
		s->other = kvbm_session_open(s->fd);
		CHECK(s->other >= 0);
		s->n = PROMPT;
		s->fresh = 0;
		for (k = 0; k < POOL / PROMPT; k++) {
			new_keys(s);
			CHECK(kvbm_alloc(s->fd, s->n, s->ids, NULL, NULL) ==
			      PROMPT);
			register_release(s);
		}
		if (!i) {
			fresh_keys(0, 0, PROMPT, s->keys);
			CHECK(kvbm_match(s->other, PROMPT, s->keys, s->ids,
					 NULL) == PROMPT);
			registered(s);
		}
		evicting(s, policies[i]);
		s->n = 0;
		if (!i) {
			count(s, "open", NULL, NULL, op_open, NULL);
			count(s, "create", NULL, NULL, op_create, NULL);
		}
		close(s->other);
		close(s->fd);
		CHECK(i || !kvbm_store_destroy(s->control, NAME, 0));
	}
	close(s->control);
	free(s);
}
