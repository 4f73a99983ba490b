/* SPDX-License-Identifier: MIT */
/*
 * Arguments for calls that no sane program makes: memory that is unmapped, not
 * writable, or changes meanwhile, holding structures that are nearly right, or
 * not at all.
 */
#ifndef KVBM_SYSFUZZ_ARGS_H
#define KVBM_SYSFUZZ_ARGS_H

#include <pthread.h>
#include "torture.h"
#include "../kvbm_ops.h"

#define REGION		(64 << 10)
#define GAP		(1ULL << 30)	/* more than any batch reaches */
#define TOTAL		256
#define MAX_OP		0x33
#define FIRST_FD	200		/* ours are below */
#define HOT_PAGES	4		/* of R_PLAIN, with sense in them */
#define WEAKS		(7 * 4096)	/* in R_PLAIN */

enum region { R_PLAIN, R_READONLY, R_NONE, R_FLIPPING, R_CHANGING, N_REGIONS };

static unsigned char *region[N_REGIONS];	/* as passed to the kernel */
static unsigned char *alias[N_REGIONS];		/* where we can write */
static bool stop_disturbing;
static struct rng r;
static uint64_t session_ids[8];			/* who could be revoked */
static struct kvbm_ticket tickets[8];		/* what offers left */
static uint32_t taken_over[64];			/* what was accepted */
static bool ticket_half;
static unsigned int ticket_nth;
static const char *const store_names[] = { "a", "b", "sysfuzz" };

/* Each with a second mapping, amid a desert. */
static void make_regions(void)
{
	unsigned int i;

	for (i = 0; i < N_REGIONS; i++) {
		unsigned char *desert = mmap(NULL, GAP, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				-1, 0);
		int fd = memfd_create("region", MFD_CLOEXEC);

		if (desert == MAP_FAILED || fd < 0 || ftruncate(fd, REGION))
			ksft_exit_fail_msg("no memory\n");
		region[i] = mmap(desert + (1 << 20), REGION,
				 i == R_NONE ? PROT_NONE : i == R_READONLY ?
				 PROT_READ : PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, fd, 0);
		alias[i] = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0);
		if (region[i] == MAP_FAILED || alias[i] == MAP_FAILED)
			ksft_exit_fail_msg("no memory\n");
		/* The descriptor stays, to map it again. */
		if (i == R_FLIPPING)
			dup2(fd, FIRST_FD - 1);
		close(fd);
	}
}

/* Maps, takes away and protects one region, writes into another, all the time. */
static void *disturb(void *arg)
{
	struct rng mine = rng_of(*(uint64_t *)arg, 77, 0, 0);
	struct timespec t = { 0, 20000 };
	unsigned int i;

	while (!__atomic_load_n(&stop_disturbing, __ATOMIC_RELAXED)) {
		switch (rnd(&mine, 6)) {
		case 0:
			/* A hole that nobody else's mapping may get. */
			mmap(region[R_FLIPPING], REGION / 2, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
			     MAP_NORESERVE, -1, 0);
			break;
		case 1:
			mprotect(region[R_FLIPPING], REGION, PROT_NONE);
			break;
		case 2:
			mprotect(region[R_FLIPPING] + 4096, 8192, PROT_READ);
			break;
		case 3:
			madvise(region[R_FLIPPING], REGION, MADV_DONTNEED);
			break;
		default:
			mmap(region[R_FLIPPING], REGION, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, FIRST_FD - 1, 0);
		}
		for (i = 0; i < 64; i++)
			alias[R_CHANGING][rnd(&mine, 4096)] = rnd64(&mine);
		nanosleep(&t, NULL);
	}
	return NULL;
}

/* A page of sense: 64 hashes; from its middle on, 512 block ids. */
static void fill_page(const struct kvbm_hash *universe, unsigned int n)
{
	unsigned char *page = alias[R_PLAIN] + rnd(&r, HOT_PAGES) * 4096;
	unsigned int k, from = rnd(&r, n), step = rnd(&r, 2);
	struct kvbm_weak weak;
	uint32_t id;

	for (k = 0; k < 64; k++) {
		weak.hash = universe[(from + k * step) % n];
		weak.block = rnd(&r, TOTAL);
		weak.generation = rnd(&r, 64);
		memcpy(page + k * 16, &weak.hash, 16);
		memcpy(alias[R_PLAIN] + WEAKS + k * sizeof(weak), &weak,
		       sizeof(weak));
	}
	/* Mostly those stay that an allocation put there. */
	if (!chance(&r, 4))
		return;
	for (k = 0; k < 512; k++) {
		id = rnd(&r, TOTAL + 8);
		memcpy(page + 2048 + k * 4, &id, 4);
	}
}

/* A place in one of the regions, and where we may write what it says. */
static uint64_t place(unsigned char **writable, uint32_t room)
{
	unsigned int k = chance(&r, 2) ? R_PLAIN : rnd(&r, N_REGIONS);
	uint32_t at = rnd(&r, REGION - room);

	if (chance(&r, 10))		/* at the brink */
		at = REGION - rnd(&r, 64) - 1;
	else if (!chance(&r, 4))
		at &= ~7U;
	if (k == R_CHANGING)
		at &= 4095;
	if (writable)
		*writable = at + room <= REGION ? alias[k] + at : NULL;
	return (uintptr_t)region[k] + at;
}

static uint64_t wild_pointer(void)
{
	switch (rnd(&r, 16)) {
	case 0:
		return 0;
	case 1:
		return 0xffff800000000000ULL | rnd64(&r);	/* the kernel's */
	case 2:
		return 0x00007ffffffff000ULL - rnd(&r, 64);
	case 3:
		return -(uint64_t)rnd(&r, 64);
	case 4:
		return 0x10000 + rnd(&r, 65536);	/* never mapped */
	default:
		return place(NULL, 4096);
	}
}

static uint32_t number(void)
{
	switch (rnd(&r, 6)) {
	case 0:
		return rnd64(&r);
	case 1:
		return 1U << rnd(&r, 32);
	case 2:
		return 0;
	default:
		return rnd(&r, 200);
	}
}

/*
 * A structure: where its 64-bit words begin, and what each of these is: h
 * hashes, i block ids, o output, T output or nothing, t token counts, w weak
 * references, d deadline, s session, K half a ticket that an offer left, 0 reserved
 * or output.  An operation of a structure that is not here
 * does not compile.
 */
struct shape {
	uint32_t head;
	const char *words;
};

#define SHAPE(structure, head, words)					\
	static const struct shape shape_##structure = { head, words }

SHAPE(features, 8, "000");
SHAPE(store_create, 8, "");
SHAPE(store_destroy, 48, "");
SHAPE(store_list, 24, "0o");
SHAPE(store_access, 64, "00");
SHAPE(store_info, 8, "");
SHAPE(session_open, 16, "");
SHAPE(session_config, 16, "");
SHAPE(session_list, 64, "0o");
SHAPE(session_revoke, 48, "s000");
SHAPE(counts, 8, "");
SHAPE(stats, 8, "");
SHAPE(block_info, 72, "T");
SHAPE(reset_inactive, 8, "");
SHAPE(invalidate, 56, "h00");
SHAPE(holds, 24, "0o");
SHAPE(payload, 48, "");
SHAPE(export, 64, "0o0T");
SHAPE(events, 56, "000");
SHAPE(alloc, 24, "iod000");
SHAPE(stage, 24, "ihtTT0");
SHAPE(ids, 24, "i0");
SHAPE(register, 24, "iHoT00");
SHAPE(match, 24, "hitT00");
SHAPE(upgrade, 24, "wit0");
SHAPE(query, 24, "ho0");
SHAPE(wait, 16, "hd000");
SHAPE(watch, 16, "ho00");
SHAPE(keep, 24, "ih0o00");
SHAPE(offer, 16, "i0000");
SHAPE(accept, 24, "iKK000");
SHAPE(withdraw, 8, "KK000");

static const struct shape *const shapes[MAX_OP] = {
#define KVBM_OP(_name, _structure, ...)					\
	[KVBM_OP_##_name] = &shape_##_structure,
#include "ops.def"
};

static inline bool known_op(unsigned int op)
{
	return op < MAX_OP && shapes[op];
}

static uint64_t word(char kind)
{
	uint64_t hot = (uintptr_t)region[R_PLAIN] + rnd(&r, HOT_PAGES) * 4096;

	switch (kind) {
	case 'h':
		return hot + rnd(&r, 64) * 16;
	case 'H':
		return chance(&r, 3) ? 0 : hot + rnd(&r, 64) * 16;
	case 'i':
		return hot + 2048 + (chance(&r, 2) ? 0 : rnd(&r, 64) * 4);
	case 'o':
		return (uintptr_t)region[R_PLAIN] + HOT_PAGES * 4096 +
		       rnd(&r, 8192);
	case 'T':
		return chance(&r, 2) ? 0 : word('o');
	case 't':
		return chance(&r, 4) ? wild_pointer() : 0;
	case 'w':
		return (uintptr_t)region[R_PLAIN] + WEAKS +
		       rnd(&r, 32) * sizeof(struct kvbm_weak);
	case 'd':	/* nothing, a moment hence, never */
		return chance(&r, 2) ? 0 : chance(&r, 2) ? ~0ULL :
		       kt_now() + rnd(&r, 2000000);
	case 's':
		return session_ids[rnd(&r, 8)];
	case 'K':
		/* Both halves of one, mostly. */
		ticket_half = !ticket_half;
		if (ticket_half)
			ticket_nth = rnd(&r, 8);
		return ticket_half ? tickets[ticket_nth].hi :
				     tickets[ticket_nth].lo;
	default:
		return 0;
	}
}

static void put32(unsigned char *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

/* Those always, others on the control device only. */
static bool names_store(const struct kt_op *o)
{
	return o->control == KT_STORE && (!o->session || chance(&r, 4));
}

/* Sense everywhere but, mostly, in one place. */
static void fill_sane(unsigned char *p, unsigned int op)
{
	const struct shape *s = shapes[op];
	const struct kt_op *o = kt_op(op);
	uint32_t odd = chance(&r, 2) ? rnd(&r, o->size / 4) * 4 : ~0U;
	const char *kind;
	uint32_t at = s->head;
	uint64_t q;

	memset(p, 0, o->size);
	put32(p, o->size);
	if (o->data)
		put32(p + 8, chance(&r, 8) ? rnd(&r, 200) : rnd(&r, 6));
	else if (op == KVBM_OP_HOLDS || op == KVBM_OP_STORE_LIST ||
		 op == KVBM_OP_BLOCK_INFO || op == KVBM_OP_SESSION_CONFIG)
		put32(p + 8, rnd(&r, 16));
	else if (op == KVBM_OP_SESSION_LIST || op == KVBM_OP_EXPORT)
		put32(p + 48, rnd(&r, 16));
	if (op == KVBM_OP_HOLDS || op == KVBM_OP_STORE_LIST)
		put32(p + 20, rnd(&r, 20) * 8);
	else if (op == KVBM_OP_SESSION_LIST || op == KVBM_OP_EXPORT)
		put32(p + 60, rnd(&r, 20) * 8);
	if (chance(&r, 3))
		put32(p + 4, rnd64(&r) & o->flags);
	for (kind = s->words; *kind; kind++, at += 8) {
		q = word(*kind);
		memcpy(p + at, &q, 8);
	}
	/* A claim has a buffer for its results; a wait ends. */
	if (op == KVBM_OP_STAGE) {
		memcpy(&q, p + 56, 8);
		put32(p + 4, q ? KVBM_STAGE_CLAIM : 0);
	} else if (op == KVBM_OP_WAIT) {
		q = kt_now() + rnd(&r, 2000000);
		memcpy(p + 24, &q, 8);
	} else if (op == KVBM_OP_ALLOC && p[4] & KVBM_ALLOC_WAIT) {
		q = kt_now() + rnd(&r, 2000000);
		memcpy(p + 40, &q, 8);
	} else if (op == KVBM_OP_ALLOC) {
		memset(p + 40, 0, 8);
	}
	/* One of two, and a rank; often for a time. */
	if (op == KVBM_OP_KEEP) {
		memset(p + (chance(&r, 2) ? 24 : 32), 0, 8);
		put32(p + 20, rnd(&r, 4));
		q = chance(&r, 2) ? 0 : rnd(&r, 20000000);
		memcpy(p + 40, &q, 8);
	}
	/* To a descriptor of ours; the ticket comes out. */
	if (op == KVBM_OP_OFFER)
		put32(p + 12, p[4] & KVBM_OFFER_DIRECT ?
			      FIRST_FD - 3 - rnd(&r, 8) : 0);
	if (op == KVBM_OP_ACCEPT && p[4] & KVBM_ACCEPT_DIRECT)
		memset(p + 32, 0, 16);
	/* Its output must be nowhere. */
	if (op == KVBM_OP_TOUCH)
		memset(p + offsetof(struct kvbm_query, out), 0, 8);
	/* On the control device; a session has its store. */
	if (op == KVBM_OP_INVALIDATE)
		put32(p + 48, chance(&r, 8) ? rnd(&r, 200) : rnd(&r, 6));
	if (names_store(o))
		strcpy((char *)p + 16, store_names[chance(&r, 8) ? 2 :
						   rnd(&r, 2)]);
	if (odd != ~0U) {
		q = chance(&r, 2) ? number() : wild_pointer();
		memcpy(p + odd, &q, odd + 8 <= o->size && odd % 8 == 0 ? 8 : 4);
	}
}

/* Half sense: words that are numbers, then what is mostly pointers. */
static void fill_wild(unsigned char *p, unsigned int op, uint32_t size)
{
	uint32_t at, head = known_op(op) && shapes[op]->head > 8 ?
			    shapes[op]->head : 24;
	const struct kt_op *o = kt_op(op);
	uint64_t q;

	memset(p, 0, size);
	for (at = 4; at + 4 <= size && at < head; at += 4)
		/* flags, count, done, ...: often as they should be */
		put32(p + at, at == 8 || chance(&r, 12) ? number() :
		      at == 4 && chance(&r, 4) ? rnd(&r, 4) : 0);
	for (at = head; at + 8 <= size; at += 8) {
		q = chance(&r, 3) ? 0 : wild_pointer();
		if (o && !o->data)
			q = chance(&r, 2) ? 0 : rnd64(&r);
		memcpy(p + at, &q, 8);
	}
	put32(p, chance(&r, 12) ? number() : size);
}

static void fill_create(struct kvbm_store_create *c)
{
	memset(c, 0, sizeof(*c));
	c->size = sizeof(*c);
	c->total_blocks = number();
	c->block_size = chance(&r, 4) ? number() : 0;
	strcpy(c->policy, chance(&r, 4) ? "" : policies[rnd(&r, N_POLICIES)]);
	c->mode = chance(&r, 4) ? number() : 0;
	c->freq_capacity = chance(&r, 4) ? rnd(&r, 4096) : 0;
	c->uid = c->gid = c->monitor_gid = -1;
	c->rights = chance(&r, 4) ? number() : 0;
	c->flags = chance(&r, 4) ? KVBM_CREATE_RETENTION : 0;
	c->keep_blocks = chance(&r, 8) ? number() : 0;
	if (chance(&r, 2))
		c->name[0] = "ab/.\xff"[rnd(&r, 5)];
}

/* Somewhere in memory, the structure of an operation, or something else. */
static uint64_t arguments(unsigned int op)
{
	uint32_t size = known_op(op) ? kt_op(op)->size : 64;
	bool sane = known_op(op) && !chance(&r, 4);
	unsigned char *p;
	uint64_t where;

	if (sane && !chance(&r, 8)) {
		uint32_t at = REGION / 2 + rnd(&r, REGION / 4) / 8 * 8;

		p = alias[R_PLAIN] + at;
		where = (uintptr_t)region[R_PLAIN] + at;
	} else {
		where = place(&p, size);
	}
	if (!p || chance(&r, 60))
		return wild_pointer();
	if (sane && op == KVBM_OP_STORE_CREATE)
		fill_create((struct kvbm_store_create *)p);
	else if (sane)
		fill_sane(p, op);
	else
		fill_wild(p, op, size);
	return where;
}

/* A structure whose fields are 0 but for its size, where arguments go. */
static inline void *a_structure(uint32_t size, uint64_t *where)
{
	static unsigned char room[8][256] __attribute__((aligned(8)));
	static unsigned int next;
	unsigned char *p = room[next++ % 8];

	memset(p, 0, sizeof(room[0]));
	put32(p, size);
	*where = (uintptr_t)p;
	return p;
}

#endif /* KVBM_SYSFUZZ_ARGS_H */
