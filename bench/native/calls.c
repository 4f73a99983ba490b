// SPDX-License-Identifier: MIT
/*
 * Operations as module/user/data.c does them for a system call: chunk by chunk, the
 * arguments copied to the stack and the results copied out, with the string
 * instruction that the kernel copies user memory with on CPUs of today. What
 * this leaves out is the way into the kernel and back, and finding the driver:
 * measure_syscalls() times that with a real ioctl that, like kvbm's, reaches a
 * driver, takes a lock and writes a word to the caller (FIONREAD on a pipe).
 */
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <string.h>
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

static void ready(struct kvbm_session *ses, struct kvbm_step *step)
{
	CHECK(!step->err);
	CHECK(!kvbm_session_ready(ses, step));
}

u32 call_match(struct kvbm_session *ses, const struct kvbm_hash *hashes, u32 n,
	       u32 *ids)
{
	struct kvbm_chunk c;
	u32 done = 0, asked = n;

	do {
		u32 got, want = min(n - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		copy_user(c.keys, hashes + done, want * sizeof(c.keys[0]));
		got = kvbm_match_chunk(ses, &c, want, asked, &step);
		asked = 0;
		copy_user(ids + done, c.ids, got * sizeof(c.ids[0]));
		done += got;
		if (step.stop)
			break;
		if (unlikely(got < want || step.err))
			ready(ses, &step);
	} while (done < n);
	return done;
}

u32 call_scan(struct kvbm_session *ses, const struct kvbm_hash *hashes, u32 n,
	      u32 *ids)
{
	struct kvbm_chunk c;
	u32 done = 0, hits = 0, asked = n;

	do {
		u32 got, hit, want = min(n - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		copy_user(c.keys, hashes + done, want * sizeof(c.keys[0]));
		got = kvbm_scan_chunk(ses, &c, want, asked, false, &hit, &step);
		asked = 0;
		copy_user(ids + done, c.ids, got * sizeof(c.ids[0]));
		done += got;
		hits += hit;
		if (unlikely(got < want || step.err))
			ready(ses, &step);
	} while (done < n);
	return hits;
}

void call_release(struct kvbm_session *ses, const u32 *uids, u32 n)
{
	u32 ids[KVBM_CHUNK];
	u32 done = 0;

	while (done < n) {
		u32 got, want = min(n - done, KVBM_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		copy_user(ids, uids + done, want * sizeof(ids[0]));
		got = kvbm_release_chunk(ses, ids, want, 0, &step);
		done += got;
		if (unlikely(got < want || step.err))
			ready(ses, &step);
	}
}

void call_alloc(struct kvbm_session *ses, u32 n, u32 *ids,
		struct kvbm_hash *evicted)
{
	struct kvbm_taking t;
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

void call_register(struct kvbm_session *ses, const struct kvbm_hash *hashes,
		   u32 n, const u32 *uids, struct kvbm_registered *uout)
{
	struct kvbm_registered out[REGISTER_CHUNK];
	struct kvbm_hash keys[REGISTER_CHUNK];
	u32 ids[REGISTER_CHUNK];
	u32 done = 0;

	while (done < n) {
		u32 got, want = min_t(u32, n - done, REGISTER_CHUNK);
		struct kvbm_step step = KVBM_STEP_INIT;

		copy_user(ids, uids + done, want * sizeof(ids[0]));
		copy_user(keys, hashes + done, want * sizeof(keys[0]));
		got = kvbm_register_chunk(ses, ids, keys, want, false, out,
					  &step);
		copy_user(uout + done, out, got * sizeof(out[0]));
		done += got;
		if (unlikely(got < want || step.err))
			ready(ses, &step);
	}
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
