// SPDX-License-Identifier: MIT
/*
 * ioctl.c - libFuzzer on everything that reads and writes user memory
 *
 * The whole module, on stand-ins for files and devices. Bytes become requests:
 * a structure that is right for its request first, in which some fields are
 * then overwritten: sizes, flags, counts, pointers to nowhere, to each other, to
 * the last bytes that exist. Memory may change while the module reads it, copies
 * may fault, allocations may fail. All user memory is one array; whatever the
 * module touches outside of it faults.
 *
 * Every answer must be one of the documented ones; what the module wrote must
 * have been initialised (when built with MemorySanitizer); in the end all
 * blocks must have come back and no memory may be lost.
 */
#include <linux/kernel.h>
#include <linux/kvbm.h>
#include <linux/slab.h>
#include "host.h"
#include "host_vfs.h"
#include "evict.h"
#include "index.h"
#include "file.h"
#include "walk.h"
#include "../../kvbm_ops.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define HOST_MSAN
#endif
#endif

#define FDS		8
#define TICKETS		4
#define ARENA		32768
#define ARGS		256
#define IDS		2048
#define HASHES		4096
#define OUT		16384

struct world {
	const u8 *in;
	size_t left;
	int fd[FDS];
	struct kvbm_ticket ticket[TICKETS];	/* of the last offers */
};

static u8 arena[ARENA] __aligned(4096);
static u32 change_at;	/* copies until memory changes; 0: it does not */
static u32 change_what;

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static u8 next(struct world *w)
{
	if (!w->left)
		return 0;
	w->left--;
	return *w->in++;
}

/* Another thread of the process writes while the module reads. */
static void copy_hook(const void *p, size_t len, int what)
{
	if (change_at && !--change_at)
		arena[change_what % ARENA] ^= 1 + change_what / ARENA % 255;
}

static u64 user(u32 offset)
{
	return (unsigned long)arena + offset;
}

/* Where nothing good can come from, or just not what was meant. */
static u64 odd_value(struct world *w)
{
	u8 b = next(w);

	switch (b % 16) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return ~0ULL;
	case 3:
		return 0xffffffff;
	case 4:
		return user(ARENA - 1 - b / 16);
	case 5:
		return user(ARENA);
	case 6:
		return user(ARGS);
	case 7:
		return user(b / 16 * 1024 + 4);
	case 8:
		return 0xffff888000000000ULL + b;
	case 9:
		return ~0ULL - 64;
	case 10:
		return 1U << (b / 16 * 2);
	case 11:
		return 1U << 24;
	case 12:
		return (1U << 24) + 1;
	default:
		return next(w);
	}
}

static u32 sizes(u32 op)
{
	const struct kt_op *known = kt_op(op);

	return known ? known->size : sizeof(struct kvbm_ids);
}

/* A request as a good client would make it. */
static void fill(struct world *w, u32 op, bool about, void *args)
{
	u32 count = next(w) % 150, at = next(w);
	u64 ids = user(IDS + at % 64 * 4), hashes = user(HASHES + at * 16);
	union {
		struct kvbm_store_create create;
		struct kvbm_store_destroy destroy;
		struct kvbm_store_list list;
		struct kvbm_session_list sessions;
		struct kvbm_holds holds;
		struct kvbm_export export;
		struct kvbm_store_access access;
		struct {
			u32 size;
			u32 flags;
			u64 store_id;
			char name[KVBM_NAME_LEN];
		} about;
		struct kvbm_session_config config;
		struct kvbm_session_revoke revoke;
		struct kvbm_block_info info;
		struct kvbm_payload payload;
		struct kvbm_events events;
		struct kvbm_alloc alloc;
		struct kvbm_stage stage;
		struct kvbm_register reg;
		struct kvbm_match match;
		struct kvbm_upgrade upgrade;
		struct kvbm_query query;
		struct kvbm_wait wait;
		struct kvbm_watch watch;
		struct kvbm_offer offer;
		struct kvbm_accept accept;
		struct kvbm_withdraw withdraw;
		struct kvbm_keep keep;
		struct kvbm_invalidate invalidate;
		struct kvbm_ids ids;
		u32 size;
	} u;
	const struct kt_op *known = kt_op(op);

	memset(&u, 0, sizeof(u));
	u.size = sizes(op);
	/* The compiler knows of each number that it is told here. */
	switch ((enum kvbm_op)op) {
	case KVBM_OP_FEATURES:
	case KVBM_OP_STORE_INFO:
	case KVBM_OP_SESSION_OPEN:
	case KVBM_OP_COUNTS:
	case KVBM_OP_STATS:
	case KVBM_OP_RESET_INACTIVE:
		break;
	case KVBM_OP_INVALIDATE:
		u.invalidate.flags = at % 3;
		u.invalidate.count = at % 3 == 2 ? 0 : count;
		u.invalidate.hashes = hashes;
		break;
	case KVBM_OP_PAYLOAD:
		u.payload.flags = at & 1;
		break;
	case KVBM_OP_EVENTS:
		u.events.flags = KVBM_EVENTS_NONBLOCK |
				 (at & 1 ? KVBM_EVENTS_NOTES : 0);
		u.events.types = at & 0x7e;
		u.events.next = at >> 7;
		break;
	case KVBM_OP_STORE_CREATE:
		u.create.event_records = at & 64 ? 64 : 0;
		u.create.note_bytes = at & 1 ? 0 : 1 + at;
		u.create.total_blocks = 1 + count;
		u.create.uid = -1;
		u.create.gid = -1;
		u.create.monitor_gid = -1;
		u.create.flags = (at & 3) |
				 (at & 128 ? KVBM_CREATE_RETENTION : 0);
		u.create.rights = at >> 3 & 3;
		strscpy(u.create.policy, kvbm_evict_nth(at % KVBM_NR_POLICIES)->name,
			KVBM_POLICY_LEN);
		u.create.freq_capacity = at % KVBM_NR_POLICIES == KVBM_POLICY_multi_lru || at & 4 ?
					 64 : 0;
		u.create.max_held = at & 8 ? 20 : 0;
		u.create.max_sessions = at & 16 ? 2 : 0;
		u.create.name[0] = at & 32 ? 'a' + (at >> 6) : 0;
		break;
	case KVBM_OP_STORE_DESTROY:
		u.destroy.flags = at & 1;
		u.destroy.name[0] = 'a' + (at >> 6);
		break;
	case KVBM_OP_STORE_LIST:
		u.list.count = count;
		u.list.entry_size = 8 + at % 16 * 8;
		u.list.cursor = at / 16;
		u.list.entries = user(OUT);
		break;
	case KVBM_OP_SESSION_LIST:
		u.sessions.count = count;
		u.sessions.entry_size = 8 + at % 16 * 8;
		u.sessions.cursor = at / 16;
		u.sessions.entries = user(OUT);
		break;
	case KVBM_OP_HOLDS:
		u.holds.count = count;
		u.holds.entry_size = 8 + at % 8 * 8;
		u.holds.cursor = at / 16;
		u.holds.entries = user(OUT);
		break;
	case KVBM_OP_EXPORT:
		u.export.count = count;
		u.export.entry_size = 8 + at % 8 * 8;
		u.export.cursor = at / 16;
		u.export.entries = user(OUT);
		u.export.notes = at & 1 ? user(OUT + 4096) : 0;
		break;
	case KVBM_OP_STORE_ACCESS:
		u.access.flags = at & 15;
		u.access.mode = at & 4 ? 0640 : 0;
		u.access.name[0] = 'a' + (at >> 6);
		break;
	case KVBM_OP_SESSION_CONFIG:
		u.config.low_watermark = 1 + at % 64;
		break;
	case KVBM_OP_SESSION_REVOKE:
		u.revoke.flags = at >> 4 & 3;
		u.revoke.session_id = u.revoke.flags ? 0 : 1 + at % 6;
		u.revoke.pid = u.revoke.flags & KVBM_REVOKE_PID ? 1 : 0;
		break;
	case KVBM_OP_BLOCK_INFO:
		u.info.block = at % 160;
		u.info.flags = at / 160;
		u.info.note = at & 1 ? user(OUT) : 0;
		break;
	case KVBM_OP_ALLOC:
		u.alloc.count = count % 100;
		u.alloc.ids = ids;
		u.alloc.evictions = at & 1 ? user(OUT) : 0;
		u.alloc.flags = at & 2 ? KVBM_ALLOC_RESET_ONLY :
				at & 4 ? KVBM_ALLOC_WAIT : 0;
		u.alloc.deadline_ns = u.alloc.flags & KVBM_ALLOC_WAIT ? 1 : 0;
		break;
	case KVBM_OP_STAGE:
		u.stage.count = count;
		u.stage.ids = ids;
		u.stage.hashes = hashes;
		u.stage.notes = at & 2 ? user(OUT) : 0;
		if (at & 1) {
			u.stage.flags = KVBM_STAGE_CLAIM;
			u.stage.states = user(OUT + 8192);
		}
		break;
	case KVBM_OP_REGISTER:
		u.reg.count = count;
		u.reg.ids = ids;
		u.reg.hashes = at & 1 ? hashes : 0;
		u.reg.results = user(OUT + 4096);
		u.reg.flags = at >> 1 & 3;
		u.reg.notes = at & 8 ? user(OUT) : 0;
		break;
	case KVBM_OP_MATCH:
	case KVBM_OP_SCAN:
		u.match.count = count;
		u.match.hashes = hashes;
		u.match.ids = ids;
		u.match.generations = at & 1 ? user(OUT) : 0;
		u.match.flags = op == KVBM_OP_MATCH && at & 2 ?
				KVBM_MATCH_PENDING : 0;
		u.match.notes = at & 4 ? user(OUT + 4096) : 0;
		break;
	case KVBM_OP_UPGRADE:
		u.upgrade.count = count;
		u.upgrade.weaks = user(HASHES - 8 + at / 4 * 16);
		u.upgrade.ids = ids;
		break;
	case KVBM_OP_PRESENCE:
	case KVBM_OP_FREQUENCY:
	case KVBM_OP_TOUCH:
		u.query.count = count;
		u.query.hashes = hashes;
		u.query.out = op == KVBM_OP_TOUCH ? 0 : user(OUT + 8192);
		u.query.flags = op != KVBM_OP_FREQUENCY && at & 1 ?
				KVBM_PRESENCE_PENDING : 0;
		static_assert(KVBM_PRESENCE_PENDING == KVBM_TOUCH_NEWEST);
		break;
	case KVBM_OP_WAIT:
		u.wait.count = count % 70;
		u.wait.hashes = hashes;
		u.wait.deadline_ns = 1;
		break;
	case KVBM_OP_WATCH:
		u.watch.count = count % 70;
		u.watch.hashes = hashes;
		u.watch.states = at & 1 ? user(OUT + 8192) : 0;
		break;
	case KVBM_OP_OFFER:
		u.offer.count = count % 100;
		u.offer.ids = ids;
		u.offer.flags = at & 1;
		u.offer.fd = at & 1 ? w->fd[1 + at / 2 % (FDS - 1)] : 0;
		break;
	case KVBM_OP_ACCEPT:
		u.accept.count = count;
		u.accept.ids = user(OUT);
		if (at & 1)
			u.accept.flags = KVBM_ACCEPT_DIRECT;
		else
			u.accept.ticket = w->ticket[at / 2 % TICKETS];
		break;
	case KVBM_OP_WITHDRAW:
		u.withdraw.ticket = w->ticket[at % TICKETS];
		break;
	case KVBM_OP_KEEP:
		u.keep.count = count;
		u.keep.rank = at & 3;
		u.keep.ids = at & 4 ? ids : 0;
		u.keep.hashes = at & 4 ? 0 : hashes;
		u.keep.flags = at & 8 ? KVBM_KEEP_RELATIVE : 0;
		u.keep.until_ns = at & 8 ? at << 16 : 0;
		u.keep.results = at & 16 ? user(OUT + 8192) : 0;
		break;
	case KVBM_OP_UNSTAGE:
	case KVBM_OP_RELEASE:
	case KVBM_OP_RETAIN:
	case KVBM_OP_SET_RESET:
		u.ids.count = count;
		u.ids.ids = ids;
		u.ids.flags = op == KVBM_OP_RELEASE || op == KVBM_OP_SET_RESET ?
			      at & 1 : 0;
		break;
	}
	/* On the control device, and elsewhere refused. */
	if (known && known->control == KT_STORE && known->session && about)
		u.about.name[0] = 'a' + (at >> 6);
	memcpy(args, &u, min_t(size_t, sizeof(u), sizes(op)));
}

/* Fields that are not what they should be. */
static void spoil(struct world *w, u8 *args, u32 size)
{
	u8 n = next(w) % 8;

	for (n = n < 4 ? 0 : n - 3; n; n--) {
		u8 b = next(w);
		u64 v = odd_value(w);

		if (b & 1)
			memcpy(args + b / 2 % (size / 4 + 2) * 4, &v, 4);
		else
			memcpy(args + b / 2 % (size / 8 + 1) * 8, &v, 8);
	}
}

static void check_errno(u32 op, long ret)
{
	static const int known[] = {
		EFAULT, EINVAL, EOPNOTSUPP, E2BIG, ENOTTY, EINTR, ENODEV,
		ESHUTDOWN, EPERM, ENOENT, EEXIST, ENOMEM, ENFILE, EMFILE,
		EDQUOT, EBUSY, EUSERS, ENXIO, EACCES, ENOSPC, EOVERFLOW, ETIMEDOUT,
		ERESTARTSYS, EBADF, EAGAIN, EDEADLK, EMLINK, ENODATA, EFBIG,
		ENOBUFS, ESTALE, EMSGSIZE, EXDEV,
	};
	u32 i;

	if (ret >= 0) {
		WALK_CHECK(ret <= KVBM_MAX_BATCH, "request %x: %ld", op, ret);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (ret == -known[i])
			return;
	WALK_CHECK(0, "request %x: %ld", op, ret);
}

static void add_fd(struct world *w, int fd)
{
	u32 i;

	for (i = 1; i < FDS && w->fd[i] >= 0; i++)
		;
	if (i < FDS)
		w->fd[i] = fd;
	else
		host_close(fd);
}

/* A store or a session that was made gives its descriptor in the structure. */
static void take_fd(struct world *w, u32 op, const u8 *args, long ret)
{
	struct kvbm_event e[3 + 3 * KVBM_MAX_NOTE_BYTES /
			    sizeof(struct kvbm_event)];
	int fd = -1;

	if (ret)
		return;
	if (op == KVBM_OP_OFFER) {
		memmove(&w->ticket[1], &w->ticket[0],
			sizeof(w->ticket) - sizeof(w->ticket[0]));
		w->ticket[0] = ((const struct kvbm_offer *)args)->ticket;
		return;
	}
	if (op == KVBM_OP_EVENTS) {
		/* It takes no requests: read what there is. */
		fd = ((const struct kvbm_events *)args)->fd;
		while (host_read(fd, e, sizeof(e), true) > 0)
			;
		host_close(fd);
		return;
	}
	if (op == KVBM_OP_STORE_CREATE)
		fd = ((const struct kvbm_store_create *)args)->fd;
	else if (op == KVBM_OP_SESSION_OPEN)
		fd = ((const struct kvbm_session_open *)args)->fd;
	if (fd >= 0)
		add_fd(w, fd);
}

/* @own: the control device for what is its own. */
static void request(struct world *w, u32 i, bool own, u8 b)
{
	/* Some of them more often, and anything. */
	static const u8 more[] = {
		KVBM_OP_ALLOC, KVBM_OP_REGISTER, KVBM_OP_MATCH,
		KVBM_OP_RELEASE,
	};
	u32 nth = b % (KT_NR_OPS + ARRAY_SIZE(more) + 1), at = ARGS;
	u32 op = nth < KT_NR_OPS ? kt_ops[nth].op :
		 nth < KT_NR_OPS + ARRAY_SIZE(more) ? more[nth - KT_NR_OPS] :
		 next(w);
	const struct kt_op *known = kt_op(op);
	int fd = w->fd[known && !known->session && own ? 0 : i];
	u8 how = next(w);
	long ret;

	fill(w, op, fd == w->fd[0], arena + at);
	spoil(w, arena + at, sizes(op));
	if (how & 1 && next(w) % 4 == 0) {
		at = ARENA - sizes(op) - next(w) % 8 + 4;
		memcpy(arena + at, arena + ARGS,
		       min_t(u32, sizes(op), ARENA - at));
	}
	if (how & 2)
		host_fail_usercopy_nth(1 + next(w) % 16);
	if (how & 4) {
		change_at = 1 + next(w) % 8;
		change_what = next(w) % 2 ? ARGS + next(w) :
					    next(w) << 8 | next(w);
		change_what += next(w) * ARENA;
	}
	if (how & 8)
		host_fail_nth(1 + next(w) % 8);
	if ((how & 0x30) == 0x30) {
		struct kvbm_uring_cmd cmd = {
			.args = user(at),
			.size = sizes(op),
			.flags = next(w) == 7,
		};

		ret = host_uring(fd, op, &cmd, how & 0x40);
		WALK_CHECK(ret != -ERESTARTSYS, "a command restarts");
	} else {
		ret = host_ioctl(fd, KVBM_IO(op), (void *)(unsigned long)
				 (next(w) % 64 == 63 ? odd_value(w) :
						       user(at)));
	}
	host_fail_usercopy_nth(0);
	host_fail_fired();
	change_at = 0;
	check_errno(op, ret);
	if (!(how & 4) && at == ARGS)
		take_fd(w, op, arena + at, ret);
#ifdef HOST_MSAN
	WALK_CHECK(__msan_test_shadow(arena, ARENA) < 0,
		   "request %x wrote uninitialised bytes at %ld", op,
		   (long)__msan_test_shadow(arena, ARENA));
#endif
}

/* A good request; its bytes decide about amounts only. */
static long good(struct world *w, int fd, u32 op, u8 count, u8 at)
{
	u8 bytes[] = { count, at };
	struct world from = { .in = bytes, .left = sizeof(bytes) };
	long ret;

	fill(&from, op, false, arena + ARGS);
	ret = host_ioctl(fd, KVBM_IO(op), arena + ARGS);
	check_errno(op, ret);
	take_fd(w, op, arena + ARGS, ret);
	return ret;
}

/*
 * A store with blocks in all states, which chance makes too seldom: more are
 * written than there is room for, so that some are evicted.
 */
static void prologue(struct world *w, u8 how)
{
	u32 i, total = 8 + how % 40, k;

	good(w, w->fd[0], KVBM_OP_STORE_CREATE, total, how);
	if (w->fd[1] < 0) {
		char name[2] = { 'a' + (how >> 6), 0 };
		int fd = host_open(name);

		if (fd < 0)
			return;
		add_fd(w, fd);
	}
	for (i = 0; i < 4; i++) {
		good(w, w->fd[1], KVBM_OP_ALLOC, total / 2, 0);
		/* Twice the ids' place in hashes, so other ones each time. */
		good(w, w->fd[1], KVBM_OP_REGISTER, total / 2, 64 * i + 1);
		for (k = 0; k < 256; k++) {
			u32 id = k;

			memcpy(arena + IDS + k * 4, &id, sizeof(id));
		}
		if (i == 3)
			break;
		for (k = 0; k < total; k++)
			good(w, w->fd[1], KVBM_OP_RELEASE, 1, k);
	}
	good(w, w->fd[1], KVBM_OP_ALLOC, total / 4, 0);
	good(w, w->fd[1], KVBM_OP_STAGE, total / 8, 0);
	good(w, w->fd[1], KVBM_OP_SESSION_OPEN, 0, 0);
}

static void one_call(struct world *w)
{
	u8 b = next(w), c = next(w);
	char name[2] = { 'a' + (c >> 6), 0 };
	u32 i = c % FDS;
	int fd;

	switch (b) {
	case 255:
		if (i && w->fd[i] >= 0) {
			host_close(w->fd[i]);
			w->fd[i] = -1;
		}
		return;
	case 254:
		fd = host_open(name);
		if (fd >= 0)
			add_fd(w, fd);
		return;
	case 253:
		if (w->fd[i] >= 0)
			host_poll(w->fd[i]);
		return;
	case 252:
		if (w->fd[i] >= 0 && i) {
			fd = host_dup(w->fd[i]);
			if (fd >= 0)
				add_fd(w, fd);
		}
		return;
	case 251:
		host_set_capable(c & 1);
		return;
	}
	request(w, i, c & 0xf0, b);
}

/* Good contents for what requests point to. */
static void fill_arena(void)
{
	struct kvbm_hash key;
	u32 i;

	memset(arena, 0, sizeof(arena));
	for (i = 0; i < 256; i++) {
		u32 id = i;

		memcpy(arena + IDS + i * 4, &id, sizeof(id));
	}
	for (i = 0; HASHES + i * sizeof(key) < OUT; i++) {
		key = walk_nth_hash(i % 64);
		memcpy(arena + HASHES + i * sizeof(key), &key, sizeof(key));
	}
}

static void destroy_all(struct world *w)
{
	char name;

	for (name = 'a'; name <= 'd'; name++) {
		struct kvbm_store_destroy d = {
			.size = sizeof(d),
			.flags = KVBM_DESTROY_FORCE,
			.name = { name },
		};

		memcpy(arena + ARGS, &d, sizeof(d));
		host_ioctl(w->fd[0], KVBM_IOC_STORE_DESTROY, arena + ARGS);
	}
}

/* Names that spoiled structures made up. */
static void destroy_rest(struct world *w)
{
	struct kvbm_store_list l = {
		.size = sizeof(l),
		.count = 16,
		.entry_size = sizeof(struct kvbm_store_entry),
		.entries = user(OUT),
	};
	struct kvbm_store_destroy d = {
		.size = sizeof(d),
		.flags = KVBM_DESTROY_FORCE,
	};
	struct kvbm_store_entry e;

	for (;;) {
		memcpy(arena + ARGS, &l, sizeof(l));
		if (host_ioctl(w->fd[0], KVBM_IOC_STORE_LIST,
			       arena + ARGS) <= 0)
			break;
		memcpy(&e, arena + OUT, sizeof(e));
		memcpy(d.name, e.name, sizeof(d.name));
		memcpy(arena + ARGS, &d, sizeof(d));
		WALK_CHECK(!host_ioctl(w->fd[0], KVBM_IOC_STORE_DESTROY,
				       arena + ARGS),
			   "store %.32s cannot be destroyed", d.name);
	}
}

/* A store whose sessions are gone has all its blocks. */
static void check_stores(struct world *w)
{
	char name[2] = "a";

	for (; name[0] <= 'd'; name[0]++) {
		struct kvbm_counts c = { .size = sizeof(c) };
		int fd = host_open(name);

		if (fd < 0)
			continue;
		memcpy(arena + ARGS, &c, sizeof(c));
		WALK_CHECK(!host_ioctl(fd, KVBM_IOC_COUNTS, arena + ARGS),
			   "no counts");
		memcpy(&c, arena + ARGS, sizeof(c));
		WALK_CHECK(c.available == c.total && !c.reserved_blocks &&
			   !c.waiters, "%u of %u, %u reserved", c.available,
			   c.total, c.reserved_blocks);
		host_close(fd);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	host_work_manual(true);
	host_quiet(true);
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct world w = { .in = data, .left = size };
	struct host_mem before, after;
	u32 i, calls = 0;

	host_seed(1);
	host_mem_stats(&before);
	host_set_capable(true);
	host_user_only(arena, ARENA, HOST_FAULT_READ | HOST_FAULT_WRITE);
	host_user_hook(copy_hook);
	/* Nobody sleeps: a signal is always about to come. */
	host_set_signal(true, false);
	host_mem_limit(before.bytes + (64 << 20));
	WALK_CHECK(!host_insmod(), "no module");
	WALK_CHECK(!host_set_param("max_blocks", 4096), "no such parameter");
	for (i = 0; i < FDS; i++)
		w.fd[i] = -1;
	fill_arena();
	w.fd[0] = host_open("control");
	i = next(&w);
	if (i & 7)
		prologue(&w, i);

	while (w.left && calls++ < 300) {
		one_call(&w);
		host_run_work();
	}

	host_set_capable(true);
	for (i = 1; i < FDS; i++)
		if (w.fd[i] >= 0)
			host_close(w.fd[i]);
	/* What slipped through, because memory changed under the answer. */
	for (i = 0; i < 64 && host_open_files() > 1; i++)
		if ((int)i != w.fd[0])
			host_close(i);
	check_stores(&w);
	destroy_all(&w);
	destroy_rest(&w);
	host_close(w.fd[0]);
	WALK_CHECK(!host_rmmod(), "module is in use");
	host_forget_numbers();
	host_mem_limit(0);
	host_fault_clear();
	host_drain();
	host_mem_stats(&after);
	WALK_CHECK(before.objects == after.objects, "%ld objects lost",
		   (long)(after.objects - before.objects));
	return 0;
}
