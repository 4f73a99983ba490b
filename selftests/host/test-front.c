// SPDX-License-Identifier: MIT
/*
 * What users reach, in user space: devices, sessions, the decoding of user
 * memory. What a call means is the kselftests' to say, on the real kernel;
 * this is about what the sanitizers see, and about failures and races that a
 * test can only provoke here.
 */
#include <linux/kernel.h>
#include <linux/kvbm.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <pthread.h>
#include "host.h"
#include "host_vfs.h"
#include "file.h"

#include "host_harness.h"
#include "../kvbm_ops.h"

#define BLOCKS 256
#ifdef HOST_TSAN
#define OFTEN 3000
#else
#define OFTEN 30000
#endif

/* A hash at position 0: mode 0, the current hash in the 64 bits after that. */
static struct kvbm_hash hash_of(u64 h)
{
	return (struct kvbm_hash){ .hi = h >> 10, .lo = h << 54 };
}

static int control = -1;

static void creation(struct kvbm_store_create *c, const char *name)
{
	*c = (struct kvbm_store_create){
		.size = sizeof(*c), .total_blocks = BLOCKS, .block_size = 16,
		.policy = "lru", .uid = -1, .gid = -1, .monitor_gid = -1,
	};
	strscpy(c->name, name, sizeof(c->name));
}

static long create(const char *name)
{
	struct kvbm_store_create c;
	long ret;

	creation(&c, name);
	ret = host_ioctl(control, KVBM_IOC_STORE_CREATE, &c);
	return ret ?: name[0] ? 0 : c.fd;
}

static long destroy(const char *name, u32 flags)
{
	struct kvbm_store_destroy d = { .size = sizeof(d), .flags = flags };

	strscpy(d.name, name, sizeof(d.name));
	return host_ioctl(control, KVBM_IOC_STORE_DESTROY, &d);
}

static long alloc(int fd, u32 n, u32 *ids, u32 flags, u64 deadline)
{
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = n, .ids = (unsigned long)ids,
		.flags = flags, .deadline_ns = deadline,
	};

	return host_ioctl(fd, KVBM_IOC_ALLOC, &a);
}

static long register_some(int fd, u32 n, const u32 *ids,
			  const struct kvbm_hash *h,
			  struct kvbm_registered *out)
{
	struct kvbm_register r = {
		.size = sizeof(r), .count = n, .ids = (unsigned long)ids,
		.hashes = (unsigned long)h, .results = (unsigned long)out,
	};

	return host_ioctl(fd, KVBM_IOC_REGISTER, &r);
}

static long match(int fd, u32 n, const struct kvbm_hash *h, u32 *ids)
{
	struct kvbm_match m = {
		.size = sizeof(m), .count = n, .hashes = (unsigned long)h,
		.ids = (unsigned long)ids,
	};

	return host_ioctl(fd, KVBM_IOC_MATCH, &m);
}

static long release(int fd, u32 n, const u32 *ids)
{
	struct kvbm_ids r = {
		.size = sizeof(r), .count = n, .ids = (unsigned long)ids,
	};

	return host_ioctl(fd, KVBM_IOC_RELEASE, &r);
}

static struct kvbm_counts counts(int fd)
{
	struct kvbm_counts c = { .size = sizeof(c) };

	BUG_ON(host_ioctl(fd, KVBM_IOC_COUNTS, &c));
	return c;
}

/* Blocks that somebody holds. */
static u32 held(int fd)
{
	struct kvbm_counts c = counts(fd);

	return c.total - c.reset - c.inactive;
}

FIXTURE(front)
{
	struct host_mem before;
	int fd;
	struct kvbm_hash h[BLOCKS];
	struct kvbm_registered out[BLOCKS];
	u32 ids[BLOCKS];
};

FIXTURE_SETUP(front)
{
	int i;

	host_seed(3);
	host_mem_stats(&self->before);
	ASSERT_EQ(0, host_insmod());
	control = host_open("control");
	ASSERT_GE(control, 0);
	ASSERT_EQ(0, create("a"));
	self->fd = host_open("a");
	ASSERT_GE(self->fd, 0);
	for (i = 0; i < BLOCKS; i++)
		self->h[i] = hash_of(i * 1000003ULL);
}

FIXTURE_TEARDOWN(front)
{
	struct host_mem after;
	u32 still;

	if (self->fd >= 0) {
		int other = host_open("a");

		EXPECT_EQ(0, host_close(self->fd));
		if (other >= 0) {
			still = held(other);
			EXPECT_EQ(0, still);
			EXPECT_EQ(0, host_close(other));
		}
	}
	destroy("a", 0);
	EXPECT_EQ(0, host_close(control));
	EXPECT_EQ(0, host_rmmod());
	host_drain();
	host_mem_stats(&after);
	EXPECT_EQ(self->before.objects, after.objects);
	EXPECT_EQ(self->before.bytes, after.bytes);
}

/* Registers and gives back the first @n hashes. */
static void fill(int fd, u32 n, struct kvbm_hash *h)
{
	static struct kvbm_registered out[BLOCKS];
	static u32 ids[BLOCKS];

	BUG_ON(alloc(fd, n, ids, 0, 0) != n);
	BUG_ON(register_some(fd, n, ids, h, out) != n);
	BUG_ON(release(fd, n, ids) != n);
}

TEST_F(front, round_trip)
{
	char page[4096];

	EXPECT_EQ(8, alloc(self->fd, 8, self->ids, 0, 0));
	EXPECT_EQ(8, held(self->fd));
	EXPECT_EQ(8, register_some(self->fd, 8, self->ids, self->h, self->out));
	EXPECT_EQ(8, release(self->fd, 8, self->ids));
	EXPECT_EQ(8, match(self->fd, 9, self->h, self->ids));
	EXPECT_EQ(-EBUSY, destroy("a", 0));
	EXPECT_EQ(-EBUSY, host_rmmod());
	EXPECT_GT(host_sysfs_read("kvbm-a", NULL, "policy", page), 0);
	EXPECT_STREQ(page, "lru\n");
	EXPECT_GT(host_sysfs_read("kvbm-a", "stats", "match_blocks_returned", page),
		  0);
	EXPECT_STREQ(page, "8\n");
	/* Held blocks come back at close: the fixture looks. */
}

TEST_F(front, uring)
{
	struct kvbm_alloc a = {
		.size = sizeof(a), .count = BLOCKS,
		.ids = (unsigned long)self->ids,
	};
	struct kvbm_uring_cmd c = {
		.args = (unsigned long)&a, .size = sizeof(a),
	};

	EXPECT_EQ(BLOCKS, host_uring(self->fd, KVBM_OP_ALLOC, &c, true));
	EXPECT_EQ(-ENOSPC, host_uring(self->fd, KVBM_OP_ALLOC, &c, true));
	a.flags = KVBM_ALLOC_WAIT;
	a.deadline_ns = ktime_get_ns() + 20 * NSEC_PER_MSEC;
	EXPECT_EQ(-EAGAIN, host_uring(self->fd, KVBM_OP_ALLOC, &c, true));
	EXPECT_EQ(-ETIMEDOUT, host_uring(self->fd, KVBM_OP_ALLOC, &c, false));
	EXPECT_EQ(-ENOTTY, host_uring(self->fd, 0x7f, &c, true));
}

TEST_F(front, dup_shares_the_session)
{
	int dup = host_dup(self->fd);

	EXPECT_EQ(4, alloc(self->fd, 4, self->ids, 0, 0));
	EXPECT_EQ(0, host_close(self->fd));
	EXPECT_EQ(4, held(dup));
	EXPECT_EQ(4, release(dup, 4, self->ids));
	self->fd = dup;
}

/* A fault at each element in turn: what the call took is given back. */
TEST_F(front, faults_everywhere)
{
	long done;
	u32 i;

	fill(self->fd, 200, self->h);
	for (i = 0; i < 200; i++) {
		/* Earlier chunks stand; the caller was told of them. */
		done = i < KVBM_CHUNK ? -EFAULT : (long)(i - i % KVBM_CHUNK);
		host_fault_range(&self->h[i], 1, HOST_FAULT_READ);
		EXPECT_EQ(done, match(self->fd, 200, self->h, self->ids));
		host_fault_clear();
		EXPECT_EQ(i / KVBM_CHUNK * KVBM_CHUNK, held(self->fd));
		EXPECT_EQ(held(self->fd), release(self->fd, held(self->fd),
						  self->ids));

		host_fault_range(&self->ids[i], 1, HOST_FAULT_WRITE);
		EXPECT_EQ(done, match(self->fd, 200, self->h, self->ids));
		host_fault_clear();
		EXPECT_EQ(i / KVBM_CHUNK * KVBM_CHUNK, held(self->fd));
		EXPECT_EQ(held(self->fd), release(self->fd, held(self->fd),
						  self->ids));

		host_fault_range(&self->ids[i], 1, HOST_FAULT_WRITE);
		EXPECT_EQ(i ? (long)i : -EFAULT,
			  alloc(self->fd, 200, self->ids, 0, 0));
		host_fault_clear();
		/* Those whose ids were written. */
		EXPECT_EQ(i, held(self->fd));
		EXPECT_EQ(i, release(self->fd, i, self->ids));
		if (counts(self->fd).inactive < 200) {
			struct kvbm_reset_inactive r = { .size = sizeof(r) };

			EXPECT_EQ(0, host_ioctl(self->fd,
						KVBM_IOC_RESET_INACTIVE, &r));
			fill(self->fd, 200, self->h);
		}
	}
}

/* Each copy in turn fails, of every request; then the call succeeds. */
TEST_F(front, user_copies_fail_in_turn)
{
	unsigned long nth;
	long ret;

	fill(self->fd, 100, self->h);
	for (nth = 1; nth < 1000; nth++) {
		host_fail_usercopy_nth(nth);
		ret = match(self->fd, 100, self->h, self->ids);
		host_fail_usercopy_nth(0);
		if (ret == 100)
			break;
		EXPECT_EQ(held(self->fd) ? (long)held(self->fd) : -EFAULT, ret);
		release(self->fd, held(self->fd), self->ids);
		EXPECT_EQ(0, held(self->fd));
	}
	EXPECT_EQ(100, ret);
	EXPECT_GT(nth, 4);
	EXPECT_EQ(100, release(self->fd, 100, self->ids));
}

/* --- payload -------------------------------------------------------------- */

#define SEALED	(F_SEAL_SHRINK | F_SEAL_SEAL)

static long with_payload(int file, u64 block_bytes, u32 flags)
{
	struct kvbm_store_create c;
	long ret;

	creation(&c, "");
	c.flags = flags;
	c.payload_fd = file;
	c.block_bytes = block_bytes;
	c.linger_ms = 600000;
	ret = host_ioctl(control, KVBM_IOC_STORE_CREATE, &c);
	return ret ?: c.fd;
}

TEST_F(front, payload_files)
{
	static const struct {
		unsigned int seals;
		int open;
		u32 flags;
		u64 size;
		long want;
	} rows[] = {
		{ SEALED, O_RDWR, 0, BLOCKS * 4096ULL, 0 },
		{ SEALED, O_RDONLY, 0, BLOCKS * 4096ULL, -EACCES },
		{ SEALED, O_WRONLY, 0, BLOCKS * 4096ULL, -EACCES },
		{ F_SEAL_SEAL, O_RDWR, 0, BLOCKS * 4096ULL, -EPERM },
		{ F_SEAL_SHRINK, O_RDWR, 0, BLOCKS * 4096ULL, -EPERM },
		{ F_SEAL_SEAL, O_RDWR, KVBM_CREATE_UNSEALED, BLOCKS * 4096ULL,
		  0 },
		{ SEALED | F_SEAL_WRITE, O_RDWR, 0, BLOCKS * 4096ULL,
		  -EACCES },
		{ F_SEAL_FUTURE_WRITE, O_RDWR, KVBM_CREATE_UNSEALED,
		  BLOCKS * 4096ULL, -EACCES },
		{ SEALED, O_RDWR, 0, BLOCKS * 4096ULL - 1, -EFBIG },
	};
	unsigned int i, huge, files = host_open_files();
	struct kvbm_payload p;
	long fd;

	for (i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		int n = i / 2, file;

		huge = i % 2;
		file = host_memory(rows[n].size, rows[n].seals, huge,
				   rows[n].open);
		fd = with_payload(file, 4096, KVBM_CREATE_PAYLOAD |
					      rows[n].flags);
		EXPECT_EQ(rows[n].want, min(fd, 0L))
			TH_LOG("row %d, huge %u", n, huge);
		if (fd >= 0) {
			p = (struct kvbm_payload){ .size = sizeof(p) };
			EXPECT_EQ(0, host_ioctl(fd, KVBM_IOC_PAYLOAD, &p));
			EXPECT_EQ(huge ? 2 << 20 : 4096, p.page_bytes);
			EXPECT_EQ(BLOCKS * 4096ULL, p.bytes);
			host_close(fd);
		}
		host_close(file);
		host_drain();
		EXPECT_EQ(files, host_open_files());
	}
	EXPECT_EQ(-EINVAL, with_payload(self->fd, 4096, KVBM_CREATE_PAYLOAD));
	EXPECT_EQ(-EBADF, with_payload(4000, 4096, KVBM_CREATE_PAYLOAD));
	EXPECT_EQ(-EINVAL, with_payload(4000, 4095, KVBM_CREATE_PAYLOAD));
	EXPECT_EQ(-EINVAL, with_payload(4000, 4096, 0));
	EXPECT_EQ(files, host_open_files());
}

/* --- allocations fail in turn ------------------------------------------- */

/* With all that a session of such a store needs for its end. */
static long do_payload_and_linger(void)
{
	int file = host_memory(BLOCKS * 4096ULL, SEALED, false, O_RDWR);
	struct kvbm_payload p = {
		.size = sizeof(p), .flags = KVBM_PAYLOAD_FD | KVBM_PAYLOAD_RDONLY,
	};
	u32 ids[100];
	long fd, ret;

	if (file < 0)
		return file;
	fd = with_payload(file, 4096, KVBM_CREATE_PAYLOAD);
	host_close(file);
	if (fd < 0)
		return fd;
	ret = host_ioctl(fd, KVBM_IOC_PAYLOAD, &p);
	if (!ret)
		host_close(p.fd);
	if (!ret && alloc(fd, 100, ids, 0, 0) != 100)
		ret = -ENOMEM;
	host_close(fd);
	return ret;
}

static long do_create_named(void)
{
	long ret = create("b");

	return ret ?: destroy("b", 0);
}

static long do_create_anonymous(void)
{
	long fd = create("");

	return fd < 0 ? fd : host_close(fd);
}

static long do_open(void)
{
	int fd = host_open("a");

	return fd < 0 ? fd : host_close(fd);
}

static int session;

static long do_session_open(void)
{
	struct kvbm_session_open o = { .size = sizeof(o) };
	long ret = host_ioctl(session, KVBM_IOC_SESSION_OPEN, &o);

	return ret ?: host_close(o.fd);
}

static long do_work(void)
{
	static struct kvbm_registered out[BLOCKS];
	static struct kvbm_hash h[BLOCKS];
	static u32 ids[BLOCKS];
	int fd = host_open("a");
	long ret, i;

	if (fd < 0)
		return fd;
	for (i = 0; i < BLOCKS; i++)
		h[i] = hash_of(i + 77);
	ret = alloc(fd, 100, ids, 0, 0);
	if (ret == 100)
		ret = register_some(fd, 100, ids, h, out);
	if (ret == 100)
		ret = match(fd, 100, h, ids);
	host_close(fd);
	return ret == 100 ? 0 : ret < 0 ? ret : -ENOMEM;
}

static long do_list(void)
{
	struct kvbm_session_entry e[4];
	struct kvbm_session_list l = {
		.size = sizeof(l), .count = 4, .entries = (unsigned long)e,
		.entry_size = sizeof(e[0]),
	};

	return host_ioctl(session, KVBM_IOC_SESSION_LIST, &l);
}

static const struct {
	const char *name;
	long (*fn)(void);
} sweeps[] = {
	{ "create named", do_create_named },
	{ "create anonymous", do_create_anonymous },
	{ "open", do_open },
	{ "session open", do_session_open },
	{ "work", do_work },
	{ "payload and linger", do_payload_and_linger },
	{ "list", do_list },
};

TEST_F(front, allocations_fail_in_turn)
{
	struct host_mem before, after;
	unsigned long nth, i;
	long ret;

	session = self->fd;
	for (i = 0; i < ARRAY_SIZE(sweeps); i++) {
		/* Once, for what stays. */
		ASSERT_EQ(0, sweeps[i].fn());
		host_drain();
		host_mem_stats(&before);
		for (nth = 1; nth < 1000; nth++) {
			bool fired;

			host_fail_nth(nth);
			ret = sweeps[i].fn();
			fired = host_fail_fired();
			host_drain();
			host_mem_stats(&after);
			EXPECT_EQ(before.objects, after.objects);
			EXPECT_EQ(0, held(self->fd));
			if (!fired)
				break;
			/* Some do without what they could not have. */
			EXPECT_TRUE(!ret || ret == -ENOMEM || ret == -ENFILE)
				TH_LOG("%s: %ld", sweeps[i].name, ret);
		}
		EXPECT_EQ(0, ret);
		EXPECT_LT(nth, 1000);
		TH_LOG("%s: %lu points", sweeps[i].name, nth - 1);
	}
}

/* With events, whose ring is allocated after all else. */
static long do_create_events(void)
{
	struct kvbm_store_create c;
	long ret;

	creation(&c, "");
	c.event_records = 64;
	ret = host_ioctl(control, KVBM_IOC_STORE_CREATE, &c);
	return ret ?: host_close(c.fd);
}

/* What a failed creation would keep would add up until nothing fits. */
TEST_F(front, creation_that_fails_reserves_nothing)
{
	unsigned long nth, round;
	bool fired;

	/* The margin, and some stores of this size. */
	host_mem_available((1ULL << 30) + (1ULL << 20));
	EXPECT_EQ(0, do_create_events());
	for (round = 0; round < 100; round++)
		for (nth = 1; nth < 1000; nth++) {
			host_fail_nth(nth);
			do_create_events();
			fired = host_fail_fired();
			host_drain();
			if (!fired)
				break;
		}
	EXPECT_EQ(0, do_create_events());
	host_mem_available(0);
}

/* --- hostile structures ------------------------------------------------- */

static u8 arena[16384] __aligned(8);

/* Numbers that are likely to matter. */
static u64 odd_number(void)
{
	static const u64 odd[] = {
		0, 1, 2, 63, 64, 65, 255, 256, 257, 0x7fffffff, 0x80000000,
		0xffffffff, 1ULL << 32, ~0ULL, ~0ULL >> 1, 4096, 1 << 24,
		(1 << 24) + 1,
	};
	u64 r = get_random_u64();

	switch (r % 4) {
	case 0:
		return odd[(r >> 8) % ARRAY_SIZE(odd)];
	case 1:
		return (unsigned long)arena + (r >> 8) % sizeof(arena);
	case 2:
		return (r >> 8) % (2 * BLOCKS);
	default:
		return r >> (r >> 8) % 64;
	}
}

static void scribble(size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes / 8; i++)
		((u64 *)arena)[i] = odd_number();
	for (i = 0; i < bytes / 8; i++)
		if (get_random_u32() % 2)
			((u64 *)arena)[i] = 0;
}

/* The caller's memory is written by others while it is read. */
static void scribble_on_use(const void *p, size_t len, int what)
{
	if (get_random_u32() % 4 == 0)
		((u64 *)arena)[get_random_u32() % 16] = odd_number();
}

TEST_F(front, hostile_structures)
{
	static const size_t sizes[] = { 0, 3, 4, 8, 16, 24, 32, 40, 48, 56, 64,
					72, 80, 88, 160,
					256, 280, 328, 4096, 4097 };
	const struct kt_op *known;
	unsigned long done = 0, i;
	u32 op, size;
	long ret;

	fill(self->fd, 200, self->h);
	host_user_only(arena, sizeof(arena), HOST_FAULT_READ | HOST_FAULT_WRITE);
	for (i = 0; i < 3 * OFTEN; i++) {
		host_user_hook(i % 3 ? NULL : scribble_on_use);
		scribble(512);
		op = get_random_u32() % 0x30;
		known = kt_op(op);
		size = known && get_random_u32() % 4 ? known->size :
		       sizes[get_random_u32() % ARRAY_SIZE(sizes)];
		*(u32 *)arena = i % 16 ? size : odd_number();
		/* A batch of a size that ends. */
		if (known && known->data && i % 8)
			((u32 *)arena)[2] %= 2 * BLOCKS;
		/* Fields that must be 0 mostly are. */
		if (known && known->data && i % 4) {
			((u32 *)arena)[5] = 0;
			memset(arena + 48, 0, 32);
		}
		/* Sessions that nobody would close again. */
		if (op == KVBM_OP_SESSION_OPEN || op == KVBM_OP_STORE_CREATE)
			continue;
		if (op == KVBM_OP_SESSION_REVOKE)
			continue;
		/* Nobody would wake it. */
		if (op == KVBM_OP_ALLOC)
			((u32 *)arena)[1] &= ~KVBM_ALLOC_WAIT;
		if (op == KVBM_OP_WAIT)
			((u64 *)arena)[3] = 1;
		host_user_hook(op == KVBM_OP_ALLOC || i % 3 ? NULL :
			       scribble_on_use);
		ret = host_ioctl(i % 10 ? self->fd : control, KVBM_IO(op),
				 arena + (i % 100 == 0 ? 4 : 0));
		done += ret >= 0;
		if (i % 1000 == 0) {
			host_user_hook(NULL);
			host_fault_clear();
			host_close(self->fd);
			self->fd = host_open("a");
			EXPECT_EQ(0, held(self->fd));
			host_user_only(arena, sizeof(arena),
				       HOST_FAULT_READ | HOST_FAULT_WRITE);
		}
	}
	host_user_hook(NULL);
	host_fault_clear();
	TH_LOG("%lu of %lu requests had an effect", done, i);
	EXPECT_GT(done, i / 20);
}

/* --- threads ------------------------------------------------------------ */

static atomic_t stop;
static atomic64_t calls, refused, waited;

static void *user(void *arg)
{
	u64 r, me = (unsigned long)arg;
	struct kvbm_registered out[32];
	struct kvbm_hash h[32];
	u32 ids[32], i, n;
	int fd = -1;
	long ret;

	for (r = me; !atomic_read(&stop); r = get_random_u64()) {
		if (fd < 0) {
			fd = host_open("a");
			if (fd < 0) {
				sched_yield();
				continue;
			}
		}
		n = 1 + r % 32;
		for (i = 0; i < n; i++)
			h[i] = hash_of((r >> 8) % 1024 + i);
		ret = match(fd, n, h, ids);
		if (ret >= 0) {
			u32 hits = ret;

			ret = alloc(fd, n - hits, ids + hits,
				    r >> 63 ? 0 : KVBM_ALLOC_WAIT,
				    r >> 63 ? 0 : ktime_get_ns() + 1000000);
			if (ret < 0)
				release(fd, hits, ids);
			else
				ret = register_some(fd, n - hits, ids + hits,
						    h + hits, out);
			/* Some is kept until the session ends. */
			if (ret >= 0 && r >> 40 & 3)
				release(fd, n, ids);
			if (ret == -ETIMEDOUT)
				atomic64_inc(&waited);
		}
		atomic64_inc(&calls);
		if (ret < 0)
			atomic64_inc(&refused);
		/* Revoked, or just so: holding things, with luck. */
		if (ret == -ESHUTDOWN || ret == -ENODEV || !(r >> 20 & 0xf)) {
			host_close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		host_close(fd);
	return NULL;
}

static void *administrator(void *arg)
{
	struct kvbm_session_entry e[16];
	char page[4096];
	int i;

	for (i = 0; !atomic_read(&stop); i++) {
		struct kvbm_session_list l = {
			.size = sizeof(l), .count = 16,
			.entries = (unsigned long)e,
			.entry_size = sizeof(e[0]),
		};
		struct kvbm_session_revoke r = { .size = sizeof(r) };
		int fd = host_open("a");

		if (fd >= 0) {
			host_poll(fd);
			if (!host_ioctl(fd, KVBM_IOC_SESSION_LIST, &l) &&
			    l.done && i % 4 == 0) {
				r.session_id = e[i % l.done].session_id;
				host_ioctl(fd, KVBM_IOC_SESSION_REVOKE, &r);
			}
			host_close(fd);
		}
		host_sysfs_read("kvbm-a", "stats", "evictions", page);
		usleep(1000);
		if (i % 16 == 15) {
			destroy("a", KVBM_DESTROY_FORCE);
			create("a");
		}
	}
	return NULL;
}

TEST_F(front, users_and_administrator)
{
	pthread_t u[4], a;
	u64 i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&u[i], NULL, user, (void *)i));
	ASSERT_EQ(0, pthread_create(&a, NULL, administrator, NULL));
	usleep(2000000);
	atomic_set(&stop, 1);
	for (i = 0; i < 4; i++)
		pthread_join(u[i], NULL);
	pthread_join(a, NULL);
	/* The store that the fixture opened is gone; so are all its holds. */
	EXPECT_EQ(0, host_close(self->fd));
	self->fd = host_open("a");
	ASSERT_GE(self->fd, 0);
	EXPECT_EQ(0, held(self->fd));
	TH_LOG("%lld rounds, %lld refused, %lld timed out",
	       atomic64_read(&calls), atomic64_read(&refused),
	       atomic64_read(&waited));
	EXPECT_GT(atomic64_read(&calls), 100);
	EXPECT_GT(atomic64_read(&waited), 0);
	EXPECT_GT(atomic64_read(&refused), atomic64_read(&waited));
}

static void *late_release(void *arg)
{
	u32 *ids = arg;

	usleep(20000);
	return (void *)release(session, 10, ids);
}

TEST_F(front, waiting)
{
	pthread_t t;
	u32 more[10];
	u64 start;

	session = self->fd;
	EXPECT_EQ(BLOCKS, alloc(self->fd, BLOCKS, self->ids, 0, 0));
	EXPECT_EQ(0, host_poll(self->fd) & EPOLLOUT);
	start = ktime_get_ns();
	EXPECT_EQ(-ETIMEDOUT, alloc(self->fd, 10, more, KVBM_ALLOC_WAIT,
				    start + 20 * NSEC_PER_MSEC));
	EXPECT_GE(ktime_get_ns() - start, 20 * NSEC_PER_MSEC);
	ASSERT_EQ(0, pthread_create(&t, NULL, late_release, self->ids));
	EXPECT_EQ(10, alloc(self->fd, 10, more, KVBM_ALLOC_WAIT, ~0ULL));
	pthread_join(t, NULL);
	host_set_signal(true, false);
	EXPECT_EQ(-ERESTARTSYS, alloc(self->fd, 10, more, KVBM_ALLOC_WAIT,
				      ~0ULL));
	host_set_signal(true, true);
	EXPECT_EQ(-EINTR, alloc(self->fd, 10, more, KVBM_ALLOC_WAIT, ~0ULL));
	host_set_signal(false, false);
}

/* More stores than a major has minors, and one incarnation after another. */
#define LARGE	(1 << 16)
#define SLEEPERS 16

struct sleeper {
	pthread_t t;
	int fd;
	u32 *ids;
	long ret;
};

static void *sleep_for_blocks(void *arg)
{
	struct sleeper *s = arg;

	s->ret = alloc(s->fd, LARGE, s->ids, KVBM_ALLOC_WAIT, ~0ULL);
	return NULL;
}

/* Who waits for many blocks has none yet, nor memory to remember them. */
TEST_F(front, waiting_takes_no_memory)
{
	struct sleeper s[SLEEPERS];
	struct kvbm_store_create c;
	struct host_mem before, mem;
	u32 *ids;
	int fd, i;

	ids = calloc(LARGE, sizeof(*ids));
	creation(&c, "large");
	c.total_blocks = LARGE;
	ASSERT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_CREATE, &c));
	fd = host_open("large");
	ASSERT_EQ(LARGE, alloc(fd, LARGE, ids, 0, 0));
	host_mem_stats(&before);
	for (i = 0; i < SLEEPERS; i++) {
		s[i].fd = host_open("large");
		s[i].ids = calloc(LARGE, sizeof(*ids));
		ASSERT_EQ(0, pthread_create(&s[i].t, NULL, sleep_for_blocks,
					    &s[i]));
	}
	while (counts(fd).waiters < SLEEPERS)
		usleep(1000);
	host_mem_stats(&mem);
	EXPECT_LT(mem.bytes - before.bytes, SLEEPERS * LARGE);
	EXPECT_EQ(0, host_close(fd));
	/* One after the other has all of them. */
	for (i = 0; i < SLEEPERS; i++) {
		int n;

		for (n = 0; n < SLEEPERS; n++)
			if (s[n].fd >= 0 && held(s[n].fd) == LARGE &&
			    !pthread_tryjoin_np(s[n].t, NULL))
				break;
		if (n == SLEEPERS) {
			usleep(1000);
			i--;
			continue;
		}
		EXPECT_EQ(LARGE, s[n].ret);
		EXPECT_EQ(0, host_close(s[n].fd));
		s[n].fd = -1;
		free(s[n].ids);
	}
	free(ids);
	EXPECT_EQ(0, destroy("large", 0));
}

static void *export_for_ever(void *arg)
{
	int fd = *(int *)arg;
	long ret;

	do {
		struct kvbm_export_entry entry;
		struct kvbm_export e = {
			.size = sizeof(e), .count = 1,
			.entry_size = sizeof(entry),
			.entries = (unsigned long)&entry,
		};

		ret = host_ioctl(fd, KVBM_IOC_EXPORT, &e);
	} while (!ret);
	return (void *)ret;
}

/* A listing under way ends with its session, wherever it is. */
TEST_F(front, listing_of_a_revoked_session)
{
	struct kvbm_store_create c;
	int round;

	creation(&c, "large");
	c.total_blocks = LARGE;
	ASSERT_EQ(0, host_ioctl(control, KVBM_IOC_STORE_CREATE, &c));
	for (round = 0; round < 8; round++) {
		struct kvbm_session_revoke r = {
			.size = sizeof(r), .session_id = round + 1,
			.name = "large",
		};
		int fd = host_open("large");
		pthread_t t;
		void *ret;

		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, pthread_create(&t, NULL, export_for_ever, &fd));
		usleep(2000 + 100 * round);
		EXPECT_EQ(0, host_ioctl(control, KVBM_IOC_SESSION_REVOKE, &r));
		pthread_join(t, &ret);
		EXPECT_EQ(-ESHUTDOWN, (long)ret);
		EXPECT_EQ(0, host_close(fd));
	}
	EXPECT_EQ(0, destroy("large", 0));
}

TEST(device_numbers)
{
	const u32 rows = 2, per_major = (1U << MINORBITS) - 1;
	dev_t first, last = 0, devt;
	u32 i;

	host_forget_numbers();
	ASSERT_EQ(0, host_insmod());
	ASSERT_EQ(0, kvbm_number_new(&first));
	EXPECT_EQ(MKDEV(384, 1), first);
	last = first;
	for (i = 1; i < per_major * rows; i++) {
		ASSERT_EQ(0, kvbm_number_new(&devt));
		ASSERT_GT(devt, last);
		ASSERT_NE(0, MINOR(devt));
		last = devt;
	}
	EXPECT_EQ(MKDEV(385, per_major), last);
	ASSERT_EQ(0, host_rmmod());
	/* Both are used up. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, host_insmod());
		ASSERT_EQ(0, kvbm_number_new(&devt));
		EXPECT_EQ(386, MAJOR(devt));
		EXPECT_EQ(i ? i * 4096 : 1, MINOR(devt));
		ASSERT_EQ(0, host_rmmod());
	}
	/* Nothing given, nothing taken. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, host_insmod());
		ASSERT_EQ(0, host_rmmod());
	}
	ASSERT_EQ(0, host_insmod());
	ASSERT_EQ(0, kvbm_number_new(&devt));
	EXPECT_EQ(MKDEV(386, 3 * 4096), devt);
	ASSERT_EQ(0, host_rmmod());
	host_forget_numbers();
}

TEST_HARNESS_MAIN
