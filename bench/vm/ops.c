// SPDX-License-Identifier: MIT
/* Every operation of the data path by ioctl, and the cost of a bare call. */
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "vmbench.h"

#define POOL	16384U

struct ops {
	int own;		/* the session measured */
	int other;
	uint32_t n;
	uint64_t fresh;
	uint32_t at;
	uint64_t rng;
	uint32_t prompts;
	bool random;
	struct kvbm_hash keys[BATCH_MAX];
	struct kvbm_evicted evicted[BATCH_MAX];
	struct kvbm_registered out[BATCH_MAX];
	struct kvbm_weak weak[BATCH_MAX];
	uint8_t bytes[BATCH_MAX];
	uint32_t ids[BATCH_MAX];
};

static void add(int session, const struct kvbm_hash *keys, uint32_t n,
		bool keep)
{
	struct kvbm_registered out[PROMPT];
	uint32_t ids[PROMPT];

	CHECK(kvbm_alloc(session, n, ids, NULL, NULL) == (int)n);
	CHECK(kvbm_stage_register(session, n, ids, keys, out, 0, NULL) ==
	      (int)n);
	reverse(ids, n);
	if (!keep)
		CHECK(kvbm_release(session, n, ids, 0, NULL) == (int)n);
}

static void populate(struct ops *o, bool keep)
{
	struct kvbm_hash keys[PROMPT];
	uint32_t i, n, left;

	o->prompts = POOL / FAMILY_BLOCKS * FAMILY;
	for (i = 0; i < o->prompts; i++) {
		prompt_keys(i, keys);
		if (i % FAMILY)
			add(o->other, keys + PREFIX, PROMPT - PREFIX, keep);
		else
			add(o->other, keys, PROMPT, keep);
	}
	for (left = POOL - POOL / FAMILY_BLOCKS * FAMILY_BLOCKS; left;
	     left -= n) {
		n = left < PROMPT ? left : PROMPT;
		fresh_keys(o->fresh++, 0, n, keys);
		add(o->other, keys, n, keep);
	}
}

static void open_store(struct ops *o, const char *policy, bool frequency)
{
	struct kvbm_store_create c;
	int control = kvbm_control_open();

	CHECK(control >= 0);
	CHECK(!kvbm_store_create_init(&c, NULL, POOL));
	CHECK(!kvbm_store_create_policy(&c, policy));
	if (frequency)
		c.freq_capacity = KVBM_FREQ_SMALL;
	CHECK(!kvbm_store_create(control, &c));
	close(control);
	o->own = c.fd;
	o->other = kvbm_session_open(c.fd);
	CHECK(o->other >= 0);
}

static void close_store(struct ops *o)
{
	close(o->own);
	close(o->other);
}

static void choose(void *arg)
{
	struct ops *o = arg;
	struct kvbm_hash keys[PROMPT];
	uint32_t i;

	if (o->n < PROMPT) {
		prompt_keys(o->random ? rnd(&o->rng) % o->prompts : 1, keys);
		for (i = 0; i < o->n; i++)
			o->keys[i] = keys[i];
		return;
	}
	for (i = 0; i < o->n; i += PROMPT)
		prompt_keys(o->random ? rnd(&o->rng) % o->prompts :
					1 + i / PROMPT, &o->keys[i]);
}

static void new_keys(void *arg)
{
	struct ops *o = arg;
	uint32_t i, n;

	for (i = 0; i < o->n; i += n) {
		n = PROMPT - o->at;
		if (n > o->n - i)
			n = o->n - i;
		fresh_keys(o->fresh, o->at, n, &o->keys[i]);
		o->at += n;
		if (o->at < PROMPT)
			continue;
		o->at = 0;
		o->fresh++;
	}
}

static void op_match(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_match(o->own, o->n, o->keys, o->ids, NULL) == (int)o->n);
}

static void op_scan(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_scan(o->own, o->n, o->keys, o->ids, 0, NULL, NULL) ==
	      (int)o->n);
}

static void op_release(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_release(o->own, o->n, o->ids, 0, NULL) == (int)o->n);
}

static void op_retain(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_retain(o->own, o->n, o->ids, NULL) == (int)o->n);
}

static void op_upgrade(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_upgrade(o->own, o->n, o->weak, o->ids, NULL, NULL) ==
	      (int)o->n);
}

static void op_presence(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_presence(o->own, o->n, o->keys, o->bytes, NULL) ==
	      (int)o->n);
}

static void op_touch(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_touch(o->own, o->n, o->keys, NULL) == (int)o->n);
}

static void op_alloc(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_alloc(o->own, o->n, o->ids, o->evicted, NULL) ==
	      (int)o->n);
}

static void op_register(void *arg)
{
	struct ops *o = arg;

	CHECK(kvbm_stage_register(o->own, o->n, o->ids, o->keys, o->out, 0,
				  NULL) == (int)o->n);
}

static void reverse_release(void *arg)
{
	struct ops *o = arg;

	reverse(o->ids, o->n);
	op_release(arg);
}

static void op_pair(void *arg)
{
	op_match(arg);
	reverse_release(arg);
}

static void op_cycle(void *arg)
{
	op_alloc(arg);
	op_register(arg);
	reverse_release(arg);
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
	reverse_release(arg);
}

static void op_getpid(void *arg)
{
	(void)arg;
	syscall(SYS_getpid);
}

/* An ioctl that the driver knows, with nothing to do: an empty match. */
static void op_empty(void *arg)
{
	struct ops *o = arg;

	kvbm_match(o->own, 0, NULL, NULL, NULL);
}

/* Reaches the driver and goes back: a request that it does not know. */
static void op_unknown(void *arg)
{
	struct ops *o = arg;

	ioctl(o->own, 0, NULL);
}

/* The native benchmarks use this as the cost of kernel entry and exit. */
static void op_fionread(void *arg)
{
	int *fd = arg, n;

	ioctl(*fd, FIONREAD, &n);
}

static void single(struct ops *o, const char *name, const char *mode,
		   void (*prepare)(void *), void (*op)(void *),
		   void (*finish)(void *))
{
	struct figure f = { .name = name, .mode = mode, .pool = POOL,
			    .n = o->n };
	struct work w = { .prepare = prepare, .op = op, .finish = finish,
			  .arg = o };

	run(&f, &w);
}

static void bare(struct ops *o)
{
	struct figure f = { .name = "getpid" };
	struct work w = { .op = op_getpid, .arg = o };
	int fds[2];

	run(&f, &w);
	f.name = "ioctl-null";
	w.op = op_unknown;
	run(&f, &w);
	f.name = "match-empty";
	w.op = op_empty;
	run(&f, &w);
	CHECK(!pipe(fds));
	f.name = "ioctl-fionread";
	w.op = op_fionread;
	w.arg = fds;
	run(&f, &w);
	close(fds[0]);
	close(fds[1]);
}

static const uint32_t sizes[] = { 1, 8, 32, 128, 1024 };
#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void held(struct ops *o)
{
	uint32_t i, k;

	open_store(o, "lru", false);
	populate(o, true);
	bare(o);
	for (i = 0; i < NR_SIZES; i++) {
		o->n = sizes[i];
		choose(o);
		single(o, "match", "others,hot", NULL, op_match, op_release);
		single(o, "release", "others,hot", op_match, op_release, NULL);
		single(o, "scan", "others,hot", NULL, op_scan, op_release);
		single(o, "presence", "active", NULL, op_presence, NULL);
		op_match(o);
		single(o, "match", "own,hot", NULL, op_match, op_release);
		single(o, "release", "own,hot", op_match, op_release, NULL);
		single(o, "retain", "own,hot", NULL, op_retain, op_release);
		for (k = 0; k < o->n; k++)
			CHECK(!kvbm_weak(o->own, o->ids[k], &o->weak[k]));
		op_release(o);
		single(o, "upgrade", "others,hot", NULL, op_upgrade,
		       op_release);
	}
	close_store(o);
}

static void tracked(struct ops *o)
{
	open_store(o, "lru", true);
	populate(o, true);
	o->n = 128;
	choose(o);
	single(o, "match", "others,hot,tracked", NULL, op_match, op_release);
	o->random = true;
	single(o, "match", "others,spread,tracked", choose, op_match,
	       op_release);
	single(o, "touch", "spread", choose, op_touch, NULL);
	o->random = false;
	close_store(o);
}

static void miss(struct ops *o)
{
	struct figure f = { .name = "miss", .mode = "scan,hot", .pool = POOL,
			    .n = 128 };
	struct work w = { .op = op_presence, .arg = o };

	open_store(o, "lru", false);
	populate(o, true);
	o->n = 128;
	o->fresh |= 1ULL << 38;
	new_keys(o);
	f.mode = "presence,hot";
	run(&f, &w);
	close_store(o);
}

static void policy(struct ops *o, const char *name)
{
	struct figure f = { .name = "match+release", .mode = "idle,spread",
			    .pool = POOL, .policy = name };
	struct work w = { .prepare = choose, .op = op_pair, .arg = o };
	uint32_t i;

	open_store(o, name, name[0] == 'm');
	populate(o, false);
	o->random = true;
	for (i = 0; i < NR_SIZES; i++) {
		o->n = sizes[i];
		f.n = o->n;
		f.name = "match+release";
		f.mode = "idle,spread";
		w = (struct work) { choose, op_pair, NULL, o };
		run(&f, &w);
		f.mode = NULL;
		f.name = "evict-cycle";
		w = (struct work) { new_keys, op_cycle, NULL, o };
		run(&f, &w);
		if (o->n != 1 && o->n != 128)
			goto next;
		f.name = "evict-alloc";
		w = (struct work) { new_keys, op_alloc, register_release, o };
		run(&f, &w);
		f.name = "register";
		w = (struct work) { keys_alloc, op_register, reverse_release,
				    o };
		run(&f, &w);
		f.name = "release-last";
		w = (struct work) { keys_alloc_register, reverse_release, NULL,
				    o };
		run(&f, &w);
next:
		/* The first population is needed again. */
		close_store(o);
		open_store(o, name, name[0] == 'm');
		o->at = 0;
		populate(o, false);
	}
	o->random = false;
	close_store(o);
}

void bench_ops(void)
{
	struct ops *o = calloc(1, sizeof(*o));
	const char *name;
	unsigned int i;

	CHECK(o);
	o->rng = 1;
	held(o);
	tracked(o);
	miss(o);
	for (i = 0; (name = kvbm_policy_name(i)); i++)
		policy(o, name);
	free(o);
}
