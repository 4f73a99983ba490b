// SPDX-License-Identifier: MIT
/*
 * Operations as module/user/data.c does them for a system call: with the same
 * loop. Arguments are copied to the stack and results are copied out, with the
 * string instruction that the kernel uses for user memory on current CPUs.
 *
 * This leaves out the way into the kernel and back, and finding the driver.
 * measure_syscalls() times that with a real ioctl that, like kvbm's, reaches a
 * driver, takes a lock and writes a word to the caller (FIONREAD on a pipe).
 */
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <string.h>
#include "batch.h"
#include "bench.h"

double syscall_ns;

static __always_inline void copy_user(void *to, const void *from, size_t n)
{
	if (n < 64) {
		memcpy(to, from, n);
		return;
	}
	asm volatile("rep movsb" : "+D" (to), "+S" (from), "+c" (n) : :
		     "memory");
}

struct call {
	struct kvbm_batch b;
	const struct kvbm_hash *hashes;
	const u32 *in;
	u32 *out;
	u32 asked;
	u32 hits;
	struct kvbm_chunk c;
};

static __always_inline int match_one(struct kvbm_batch *b, u32 n,
				     struct kvbm_step *step)
{
	struct call *k = container_of(b, struct call, b);
	u32 got;

	copy_user(k->c.keys, k->hashes + b->done, n * sizeof(k->c.keys[0]));
	got = kvbm_match_chunk(b->ses, &k->c, n, k->asked, step);
	k->asked = 0;
	copy_user(k->out + b->done, k->c.ids, got * sizeof(k->c.ids[0]));
	return got;
}

u32 call_match(struct kvbm_session *ses, const struct kvbm_hash *hashes, u32 n,
	       u32 *ids)
{
	struct call k;

	k.hashes = hashes;
	k.out = ids;
	k.asked = n;
	CHECK(!kvbm_batch_run(&k.b, ses, n, KVBM_CHUNK, match_one));
	return k.b.done;
}

static __always_inline int scan_one(struct kvbm_batch *b, u32 n,
				    struct kvbm_step *step)
{
	struct call *k = container_of(b, struct call, b);
	u32 got, hit;

	copy_user(k->c.keys, k->hashes + b->done, n * sizeof(k->c.keys[0]));
	got = kvbm_scan_chunk(b->ses, &k->c, n, k->asked, false, &hit, step);
	k->asked = 0;
	k->hits += hit;
	copy_user(k->out + b->done, k->c.ids, got * sizeof(k->c.ids[0]));
	return got;
}

u32 call_scan(struct kvbm_session *ses, const struct kvbm_hash *hashes, u32 n,
	      u32 *ids)
{
	struct call k;

	k.hashes = hashes;
	k.out = ids;
	k.asked = n;
	k.hits = 0;
	CHECK(!kvbm_batch_run(&k.b, ses, n, KVBM_CHUNK, scan_one));
	return k.hits;
}

u32 call_presence(struct kvbm_session *ses, const struct kvbm_hash *hashes,
		  u32 n)
{
	u8 out[KVBM_CHUNK], told[BATCH_MAX];
	struct kvbm_chunk c;
	u32 i, some, here = 0;

	for (i = 0; i < n; i += some) {
		some = min_t(u32, n - i, KVBM_CHUNK);
		copy_user(c.keys, hashes + i, some * sizeof(c.keys[0]));
		kvbm_presence(ses->store, &c, some, out);
		copy_user(told + i, out, some);
	}
	for (i = 0; i < n; i++)
		here += told[i] != KVBM_ABSENT;
	return here;
}

static __always_inline int release_one(struct kvbm_batch *b, u32 n,
				       struct kvbm_step *step)
{
	struct call *k = container_of(b, struct call, b);

	copy_user(k->c.ids, k->in + b->done, n * sizeof(k->c.ids[0]));
	return kvbm_release_chunk(b->ses, k->c.ids, n, 0, step);
}

void call_release(struct kvbm_session *ses, const u32 *uids, u32 n)
{
	struct call k;

	k.in = uids;
	CHECK(!kvbm_batch_run(&k.b, ses, n, KVBM_CHUNK, release_one));
}

void call_alloc(struct kvbm_session *ses, u32 n, u32 *ids,
		struct kvbm_hash *evicted)
{
	struct kvbm_alloc_ctx t;
	struct kvbm_chunk c;
	u32 i, done = 0, gone = 0;

	CHECK(!kvbm_alloc_begin(&t, ses, n, false));
	while (t.left) {
		t.n = 0;
		CHECK(!kvbm_alloc_chunk(&t, &c));
		copy_user(ids + done, c.ids, t.n * sizeof(c.ids[0]));
		done += t.n;
		for (i = 0; evicted && i < t.n; i++)
			if (t.evicted & BIT_ULL(i))
				copy_user(&evicted[gone++], &c.keys[i],
					  sizeof(c.keys[0]));
	}
}

#define REGISTER_CHUNK	(KVBM_CHUNK / 2)	/* as in module/user/data.c */

struct registering {
	struct kvbm_batch b;
	const struct kvbm_hash *uhashes;
	const u32 *uids;
	struct kvbm_registered *uout;
	struct kvbm_registered out[REGISTER_CHUNK];
	struct kvbm_hash keys[REGISTER_CHUNK];
	u32 ids[REGISTER_CHUNK];
};

static __always_inline int register_one(struct kvbm_batch *b, u32 n,
					struct kvbm_step *step)
{
	struct registering *r = container_of(b, struct registering, b);
	u32 got;

	copy_user(r->ids, r->uids + b->done, n * sizeof(r->ids[0]));
	copy_user(r->keys, r->uhashes + b->done, n * sizeof(r->keys[0]));
	got = kvbm_register_chunk(b->ses, r->ids, r->keys, NULL, n, false,
				  r->out, step);
	copy_user(r->uout + b->done, r->out, got * sizeof(r->out[0]));
	return got;
}

void call_register(struct kvbm_session *ses, const struct kvbm_hash *hashes,
		   u32 n, const u32 *uids, struct kvbm_registered *uout)
{
	struct registering r;

	r.uhashes = hashes;
	r.uids = uids;
	r.uout = uout;
	CHECK(!kvbm_batch_run(&r.b, ses, n, REGISTER_CHUNK, register_one));
}

static void do_getppid(void *arg)
{
	syscall(SYS_getppid);
}

static void do_ioctl(void *arg)
{
	int *fd = arg, n;

	ioctl(*fd, FIONREAD, &n);
}

static void do_copies(void *arg)
{
	static char from[128 * 16], to[128 * 16];

	copy_user(to, from, 64 * 16);
	copy_user(to + 64 * 16, from + 64 * 16, 64 * 16);
	copy_user(from, to, 64 * 4);
	copy_user(from + 64 * 4, to + 64 * 4, 64 * 4);
}

void measure_syscalls(void)
{
	struct work w = { .op = do_getppid, .n = 1 };
	struct figure f = { .name = "syscall", .mode = "getppid" };
	struct timing t;
	int fds[2];

	if (opt.count)
		return;
	CHECK(!pipe(fds));
	t = measure(&f, &w);
	report(&f, &t);
	f.mode = "ioctl";
	w.op = do_ioctl;
	w.arg = fds;
	t = measure(&f, &w);
	report(&f, &t);
	syscall_ns = t.low;
	f.mode = "copies-match-128";
	w.op = do_copies;
	t = measure(&f, &w);
	report(&f, &t);
	close(fds[0]);
	close(fds[1]);
}
