// SPDX-License-Identifier: MIT
/*
 * What each function hands to ioctl(2), and what it makes of the answer.
 *
 * ioctl() and open() are wrapped by the linker: the stand-in copies the request
 * and its structure, byte for byte, then answers as it was told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <kvbm.h>
#include <kvbm_uring.h>

#include "tap.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define FD		77
#define PTR(p)		((uint64_t)(uintptr_t)(p))

/* What was seen. */
static int calls, seen_fd;
static unsigned long seen_request;
static union {
	struct kvbm_stats stats;
	struct kvbm_store_info info;
	struct kvbm_store_create create;
	struct kvbm_store_destroy destroy;
	struct kvbm_store_list store_list;
	struct kvbm_session_open session_open;
	struct kvbm_session_config config;
	struct kvbm_session_list session_list;
	struct kvbm_session_revoke revoke;
	struct kvbm_block_info block_info;
	struct kvbm_reset_inactive reset_inactive;
	struct kvbm_alloc alloc;
	struct kvbm_stage stage;
	struct kvbm_ids ids;
	struct kvbm_register reg;
	struct kvbm_match match;
	struct kvbm_upgrade upgrade;
	struct kvbm_query query;
} seen;

/* What to answer: a result or -errno, and a structure to copy out. */
static int answer;
static const void *answer_bytes;

static char opened[256];
static int open_flags;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	uint32_t size;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);

	calls++;
	seen_fd = fd;
	seen_request = request;
	memset(&seen, 0xee, sizeof(seen));
	memcpy(&size, arg, sizeof(size));
	if (size > sizeof(seen))
		abort();
	memcpy(&seen, arg, size);
	if (answer_bytes)
		memcpy(arg, answer_bytes, size);
	errno = answer < 0 ? -answer : 0;
	return answer < 0 ? -1 : answer;
}

static int closed;

int __wrap_close(int fd);

int __wrap_close(int fd)
{
	closed = fd;
	return 0;
}

int __wrap_open(const char *path, int flags, ...)
{
	snprintf(opened, sizeof(opened), "%s", path);
	open_flags = flags;
	errno = answer < 0 ? -answer : 0;
	return answer < 0 ? -1 : answer;
}

static void will(int ret, const void *bytes)
{
	answer = ret;
	answer_bytes = bytes;
	calls = 0;
}

/* @n calls, the last of @request on FD, with exactly this structure. */
static bool saw(int n, unsigned long request, const void *want, size_t size)
{
	return calls == n && seen_fd == FD && seen_request == request &&
	       !memcmp(&seen, want, size);
}

/* Whatever the number of calls. */
#define SAW_LAST(want)	(!memcmp(&seen, &(want), sizeof(want)))
#define SAW(request, want)	saw(1, (request), &(want), sizeof(want))
#define SAW_SECOND(request, want)					\
	saw(2, (request), &(want), sizeof(want))

/* Arrays to point at; nobody looks inside. */
static uint32_t ids[4], tokens[4];
static struct kvbm_hash hashes[4];
static struct kvbm_evicted gone[4];
static struct kvbm_registered results[4];
static struct kvbm_weak weaks[4];
static uint8_t bytes[4];

static void test_open(void)
{
	static const char *const bad[] = {
		"", "control", "Pool", "-pool", ".pool", "_pool", "po/ol",
		"../mem", "po ol", "pool\n", "p\xc3\xb6l",
		"a1234567890123456789012345678901",
	};
	static const char *const good[] = {
		"p", "0", "pool", "a.b_c-d", "controls", "contro",
		"a123456789012345678901234567890",
	};
	char path[64];
	unsigned int i;

	will(5, NULL);
	ok(kvbm_control_open() == 5 && !strcmp(opened, "/dev/kvbm/control") &&
	   open_flags == (O_RDWR | O_CLOEXEC), "control_open");
	will(-ENOENT, NULL);
	ok(kvbm_control_open() == -ENOENT, "control_open: no module");
	will(6, NULL);
	ok(kvbm_open("/some/where") == 6 && !strcmp(opened, "/some/where") &&
	   open_flags == (O_RDWR | O_CLOEXEC), "open: an absolute path");
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(path, sizeof(path), "/dev/kvbm/%s", good[i]);
		ok(kvbm_open(good[i]) == 6 && !strcmp(opened, path),
		   "open: name %s", good[i]);
	}
	opened[0] = 0;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ok(kvbm_open(bad[i]) == -EINVAL && !opened[0],
		   "open: bad name %u", i);
	ok(kvbm_open(NULL) == -EINVAL, "open: NULL");
	will(-EACCES, NULL);
	ok(kvbm_open("pool") == -EACCES, "open: no permission");
}

static void test_create(void)
{
	struct kvbm_store_create want, got, out;

	memset(&want, 0, sizeof(want));
	want.size = sizeof(want);
	want.total_blocks = 1000;
	want.uid = UINT32_MAX;
	want.gid = UINT32_MAX;
	want.monitor_gid = UINT32_MAX;
	want.fd = -1;
	memset(&got, 0x5a, sizeof(got));
	ok(!kvbm_store_create_init(&got, NULL, 1000) &&
	   !memcmp(&got, &want, sizeof(got)), "create_init: anonymous");
	strcpy(want.name, "a123456789012345678901234567890");
	memset(&got, 0x5a, sizeof(got));
	ok(!kvbm_store_create_init(&got, want.name, 1000) &&
	   !memcmp(&got, &want, sizeof(got)), "create_init: longest name");
	ok(kvbm_store_create_init(&got, "Pool", 1) == -EINVAL &&
	   kvbm_store_create_init(&got, "control", 1) == -EINVAL &&
	   kvbm_store_create_init(&got, "", 1) == -EINVAL,
	   "create_init: bad names");

	strcpy(want.policy, "lru");
	ok(!kvbm_store_create_policy(&got, "lineage_fifo") &&
	   !kvbm_store_create_policy(&got, "lru") &&
	   !memcmp(&got, &want, sizeof(got)), "create_policy: lru");
	ok(kvbm_store_create_policy(&got, "a2345678901234567") == -EINVAL &&
	   kvbm_store_create_policy(&got, "a234567890123456") == -EINVAL &&
	   !memcmp(&got, &want, sizeof(got)), "create_policy: too long");
	ok(!kvbm_store_create_policy(&got, "a23456789012345") &&
	   !got.policy[15], "create_policy: longest");
	memset(want.policy, 0, sizeof(want.policy));
	ok(!kvbm_store_create_policy(&got, NULL) &&
	   !memcmp(&got, &want, sizeof(got)), "create_policy: the default");
	strcpy(want.policy, "multi_lru");
	want.freq_capacity = KVBM_FREQ_DEFAULT;
	ok(!kvbm_store_create_policy(&got, "multi_lru") &&
	   !memcmp(&got, &want, sizeof(got)),
	   "create_policy: multi_lru turns tracking on");
	got.freq_capacity = 4096;
	ok(!kvbm_store_create_policy(&got, "multi_lru") &&
	   got.freq_capacity == 4096,
	   "create_policy: multi_lru leaves a capacity alone");

	out = want;
	out.store_id = 99;
	out.fd = 8;
	got = want;
	got.size = 0;
	got.fd = 3;
	got.store_id = 4;
	got.need = 5;
	will(0, &out);
	ok(kvbm_store_create(FD, &got) == 0 &&
	   SAW(KVBM_IOC_STORE_CREATE, want) && got.fd == 8 &&
	   got.store_id == 99, "store_create");
	will(-EEXIST, NULL);
	ok(kvbm_store_create(FD, &got) == -EEXIST, "store_create: taken");
}

static void test_control(void)
{
	struct kvbm_store_destroy destroy = {
		.size = sizeof(destroy), .flags = KVBM_DESTROY_FORCE,
		.name = "pool",
	};
	struct kvbm_store_entry entries[3];
	struct kvbm_store_list list = {
		.size = sizeof(list), .count = 3, .entries = PTR(entries),
		.entry_size = sizeof(entries[0]),
	}, list_out = list;
	struct kvbm_features features, features_out = {
		.size = sizeof(features_out), .features = 7, .chunk = 64,
	}, features_want = { .size = sizeof(features_want) };
	uint32_t total = 5;

	will(0, NULL);
	ok(kvbm_store_destroy(FD, "pool", KVBM_DESTROY_FORCE) == 0 &&
	   SAW(KVBM_IOC_STORE_DESTROY, destroy), "store_destroy");
	will(-EBUSY, NULL);
	ok(kvbm_store_destroy(FD, "pool", 0) == -EBUSY, "store_destroy: busy");
	will(0, NULL);
	ok(kvbm_store_destroy(FD, "no/such", 0) == -EINVAL &&
	   kvbm_store_destroy(FD, NULL, 0) == -EINVAL && !calls,
	   "store_destroy: bad names");

	list_out.done = 3;
	list_out.total = 9;
	will(3, &list_out);
	ok(kvbm_store_list(FD, 3, entries, &total) == 3 && total == 9 &&
	   SAW(KVBM_IOC_STORE_LIST, list), "store_list");
	ok(kvbm_store_list(FD, 3, entries, NULL) == 3, "store_list: no total");
	will(0, &list_out);
	ok(kvbm_store_list(FD, 3, entries, NULL) == 3,
	   "store_list: counted by the structure");
	will(-EFAULT, NULL);
	ok(kvbm_store_list(FD, 3, entries, &total) == -EFAULT && !total,
	   "store_list: failed");

	memset(&features, 0x5a, sizeof(features));
	will(0, &features_out);
	ok(kvbm_features(FD, &features) == 0 &&
	   SAW(KVBM_IOC_FEATURES, features_want) &&
	   !memcmp(&features, &features_out, sizeof(features)), "features");
}

/* Structures that the kernel fills in: sent cleared but for the size. */
#define TEST_OUT(name, request)						\
	do {								\
		struct kvbm_##name got, want, out;			\
									\
		memset(&want, 0, sizeof(want));				\
		want.size = sizeof(want);				\
		memset(&got, 0x5a, sizeof(got));			\
		memset(&out, 0x3c, sizeof(out));			\
		out.size = sizeof(out);					\
		will(0, &out);						\
		ok(kvbm_##name(FD, &got) == 0 && SAW(request, want) &&	\
		   !memcmp(&got, &out, sizeof(got)), #name);		\
		will(-ESHUTDOWN, NULL);					\
		ok(kvbm_##name(FD, &got) == -ESHUTDOWN,			\
		   #name ": failed");					\
	} while (0)

static void test_session(void)
{
	struct kvbm_session_open open_want = {
		.size = sizeof(open_want), .fd = -1,
	}, open_out = open_want;
	struct kvbm_session_config config = {
		.size = sizeof(config), .low_watermark = 17,
	};
	struct kvbm_session_entry entries[2];
	struct kvbm_session_list list = {
		.size = sizeof(list), .count = 2, .entries = PTR(entries),
		.entry_size = sizeof(entries[0]),
	}, list_out = list;
	struct kvbm_session_revoke revoke = {
		.size = sizeof(revoke), .session_id = 1ULL << 40,
	}, revoke_out = revoke;
	struct kvbm_reset_inactive reset = { .size = sizeof(reset) };
	struct kvbm_reset_inactive reset_out = {
		.size = sizeof(reset_out), .flags = KVBM_RESET_WHOLE,
		.done = 12,
	};
	uint64_t reclaimed = 1;
	uint32_t total = 1, done = 1;
	bool whole = false;

	TEST_OUT(store_info, KVBM_IOC_STORE_INFO);
	TEST_OUT(counts, KVBM_IOC_COUNTS);
	TEST_OUT(stats, KVBM_IOC_STATS);

	open_out.fd = 9;
	will(0, &open_out);
	ok(kvbm_session_open(FD) == 9 && SAW(KVBM_IOC_SESSION_OPEN, open_want),
	   "session_open");
	will(-EUSERS, NULL);
	ok(kvbm_session_open(FD) == -EUSERS, "session_open: failed");
	will(0, NULL);
	ok(kvbm_session_config(FD, 17) == 0 &&
	   SAW(KVBM_IOC_SESSION_CONFIG, config), "session_config");

	list_out.done = 2;
	list_out.total = 3;
	will(2, &list_out);
	ok(kvbm_session_list(FD, 2, entries, &total) == 2 && total == 3 &&
	   SAW(KVBM_IOC_SESSION_LIST, list), "session_list");
	will(-EPERM, NULL);
	ok(kvbm_session_list(FD, 2, entries, NULL) == -EPERM,
	   "session_list: failed");

	revoke_out.reclaimed = 1ULL << 33;
	will(0, &revoke_out);
	ok(kvbm_session_revoke(FD, 1ULL << 40, &reclaimed) == 0 &&
	   reclaimed == 1ULL << 33 && SAW(KVBM_IOC_SESSION_REVOKE, revoke),
	   "session_revoke");
	will(-ENOENT, NULL);
	ok(kvbm_session_revoke(FD, 1, NULL) == -ENOENT,
	   "session_revoke: failed");

	will(12, &reset_out);
	ok(kvbm_reset_inactive(FD, &whole, &done) == 12 && whole &&
	   done == 12 && SAW(KVBM_IOC_RESET_INACTIVE, reset),
	   "reset_inactive");
	reset_out.flags = 0;
	will(0, &reset_out);
	ok(kvbm_reset_inactive(FD, &whole, NULL) == 12 && !whole,
	   "reset_inactive: not the whole store");
	will(-EINTR, &reset_out);
	ok(kvbm_reset_inactive(FD, NULL, &done) == -EINTR && done == 12,
	   "reset_inactive: interrupted");
}

/* About a store that is named. */
static void test_of(void)
{
	static const struct kvbm_store_ref by_name = { .name = "pool" };
	static const struct kvbm_store_ref by_id = { .id = 1ULL << 63 | 5 };
	static const struct kvbm_store_ref bad = { .name = "po/ol" };
	struct kvbm_store_entry stores[3];
	struct kvbm_session_entry sessions[2];
	struct kvbm_hold_entry holds[4];
	struct kvbm_export_entry exported[3];
	struct kvbm_store_info info, info_want = {
		.size = sizeof(info_want), .name = "pool",
	}, info_out = info_want;
	struct kvbm_counts counts, counts_want = {
		.size = sizeof(counts_want), .store_id = 1ULL << 63 | 5,
	};
	struct kvbm_stats stats, stats_want = {
		.size = sizeof(stats_want), .name = "pool",
	};
	struct kvbm_reset_inactive reset = {
		.size = sizeof(reset), .name = "pool",
	};
	struct kvbm_store_destroy destroy = {
		.size = sizeof(destroy), .store_id = 1ULL << 63 | 5,
	};
	struct kvbm_store_access access_want = {
		.size = sizeof(access_want), .name = "pool",
		.flags = KVBM_ACCESS_MODE, .mode = 0640,
	}, access;
	struct kvbm_session_revoke revoke_want = {
		.size = sizeof(revoke_want), .name = "pool",
		.flags = KVBM_REVOKE_UID, .uid = 1000,
	}, revoke, revoke_out;
	struct kvbm_store_list list = {
		.size = sizeof(list), .count = 3, .cursor = 7,
		.entry_size = sizeof(stores[0]), .entries = PTR(stores),
	}, list_out = list;
	struct kvbm_session_list ses_list = {
		.size = sizeof(ses_list), .count = 2, .name = "pool",
		.entry_size = sizeof(sessions[0]), .entries = PTR(sessions),
	}, ses_out = ses_list;
	struct kvbm_holds hold_list = {
		.size = sizeof(hold_list), .count = 4, .cursor = 99,
		.entry_size = sizeof(holds[0]), .entries = PTR(holds),
	}, hold_out = hold_list;
	struct kvbm_export export_want = {
		.size = sizeof(export_want), .count = 3, .cursor = 64,
		.name = "pool", .entry_size = sizeof(exported[0]),
		.entries = PTR(exported),
	}, export_out = export_want;
	uint64_t cursor;
	uint32_t total;

	info_out.uid = 4;
	will(0, &info_out);
	ok(!kvbm_store_info_of(FD, &by_name, &info) &&
	   SAW(KVBM_IOC_STORE_INFO, info_want) && info.uid == 4,
	   "store_info_of");
	will(0, NULL);
	ok(!kvbm_counts_of(FD, &by_id, &counts) &&
	   SAW(KVBM_IOC_COUNTS, counts_want), "counts_of");
	will(0, NULL);
	ok(!kvbm_stats_of(FD, &by_name, &stats) &&
	   SAW(KVBM_IOC_STATS, stats_want), "stats_of");
	will(0, NULL);
	ok(!kvbm_reset_inactive_of(FD, &by_name, NULL, NULL) &&
	   SAW(KVBM_IOC_RESET_INACTIVE, reset), "reset_inactive_of");
	will(0, NULL);
	ok(!kvbm_store_destroy_of(FD, &by_id, 0) &&
	   SAW(KVBM_IOC_STORE_DESTROY, destroy), "store_destroy_of");
	memset(&access, 0x5a, sizeof(access));
	access.flags = KVBM_ACCESS_MODE;
	access.mode = 0640;
	access.uid = 0;
	access.gid = 0;
	access.monitor_gid = 0;
	will(0, NULL);
	ok(!kvbm_store_access(FD, &by_name, &access) &&
	   SAW(KVBM_IOC_STORE_ACCESS, access_want), "store_access");
	revoke = revoke_want;
	revoke.sessions = 1;
	revoke.reclaimed = 2;
	revoke_out = revoke_want;
	revoke_out.sessions = 3;
	will(0, &revoke_out);
	ok(!kvbm_revoke_of(FD, &by_name, &revoke) &&
	   SAW(KVBM_IOC_SESSION_REVOKE, revoke_want) && revoke.sessions == 3,
	   "revoke_of");

	cursor = 7;
	list_out.done = 2;
	list_out.total = 9;
	list_out.cursor = 12;
	will(0, &list_out);
	ok(kvbm_store_list_from(FD, &cursor, 3, stores, &total) == 2 &&
	   SAW(KVBM_IOC_STORE_LIST, list) && cursor == 12 && total == 9,
	   "store_list_from");
	will(-EFAULT, NULL);
	ok(kvbm_store_list_from(FD, &cursor, 3, stores, NULL) == -EFAULT &&
	   cursor == 12, "store_list_from: failed");
	cursor = 0;
	ses_out.done = 1;
	ses_out.cursor = 5;
	will(0, &ses_out);
	ok(kvbm_session_list_of(FD, &by_name, &cursor, 2, sessions, NULL) == 1 &&
	   SAW(KVBM_IOC_SESSION_LIST, ses_list) && cursor == 5,
	   "session_list_of");
	cursor = 99;
	hold_out.done = 4;
	hold_out.cursor = 400;
	hold_out.total = 17;
	will(0, &hold_out);
	ok(kvbm_holds(FD, &cursor, 4, holds, &total) == 4 &&
	   SAW(KVBM_IOC_HOLDS, hold_list) && cursor == 400 && total == 17,
	   "holds");
	will(-ESHUTDOWN, NULL);
	ok(kvbm_holds(FD, &cursor, 4, holds, NULL) == -ESHUTDOWN &&
	   cursor == 400, "holds: failed");
	cursor = 64;
	export_out.done = 3;
	export_out.cursor = 70;
	export_out.total = 21;
	will(0, &export_out);
	ok(kvbm_export(FD, &by_name, &cursor, 3, exported, &total) == 3 &&
	   SAW(KVBM_IOC_EXPORT, export_want) && cursor == 70 && total == 21,
	   "export");
	will(-EPERM, NULL);
	ok(kvbm_export(FD, &by_name, &cursor, 3, exported, NULL) == -EPERM &&
	   cursor == 70, "export: failed");

	will(0, NULL);
	ok(kvbm_store_info_of(FD, &bad, &info) == -EINVAL &&
	   kvbm_counts_of(FD, &bad, &counts) == -EINVAL &&
	   kvbm_stats_of(FD, &bad, &stats) == -EINVAL &&
	   kvbm_reset_inactive_of(FD, &bad, NULL, NULL) == -EINVAL &&
	   kvbm_store_destroy_of(FD, &bad, 0) == -EINVAL &&
	   kvbm_store_access(FD, &bad, &access) == -EINVAL &&
	   kvbm_revoke_of(FD, &bad, &revoke) == -EINVAL &&
	   kvbm_session_list_of(FD, &bad, &cursor, 2, sessions,
				NULL) == -EINVAL && !calls,
	   "_of: no store can have that name");
}

/* A store of somebody else's under the name that was meant. */
static void test_expect(void)
{
	struct kvbm_store_info out = {
		.size = sizeof(out), .uid = 12, .store_id = 34,
		.block_bytes = 4096, .block_size = 16, .digest = { 1, 2, 3 },
	};
	static const uint32_t one[] = {
		KVBM_EXPECT_UID, KVBM_EXPECT_ID, KVBM_EXPECT_DIGEST,
		KVBM_EXPECT_BLOCK_BYTES, KVBM_EXPECT_BLOCK_SIZE,
	};
	struct kvbm_expect e = {
		.flags = KVBM_EXPECT_UID, .uid = 12, .store_id = 1,
	};

	/* The answer of open() and ioctl() is the same: 0 serves for both. */
	will(0, &out);
	ok(kvbm_open_expect("pool", &e) == 0 &&
	   open_flags == (O_RDWR | O_CLOEXEC), "open_expect: the owner");
	e.uid = 13;
	will(0, &out);
	closed = -1;
	ok(kvbm_open_expect("pool", &e) == -ESTALE && closed == 0,
	   "open_expect: another owner");
	e.flags = KVBM_EXPECT_ID;
	will(0, &out);
	closed = -1;
	ok(kvbm_open_expect("pool", &e) == -ESTALE && closed == 0,
	   "open_expect: another store");
	e.store_id = 34;
	e.flags |= KVBM_EXPECT_READONLY;
	will(0, &out);
	ok(kvbm_open_expect("pool", &e) == 0 &&
	   open_flags == (O_RDONLY | O_CLOEXEC), "open_expect: to read only");
	/* Each by itself, and which of all. */
	for (size_t i = 0; i < sizeof(one) / sizeof(*one); i++) {
		struct kvbm_expect all = {
			.flags = one[i], .uid = 12, .store_id = 34,
			.block_bytes = 4096, .block_size = 16,
			.digest = { 1, 2, 3 }, .differs = 99,
		};

		will(0, &out);
		ok(kvbm_open_expect("pool", &all) == 0 && !all.differs,
		   "open_expect: as expected");
		all.flags |= KVBM_EXPECT_UID | KVBM_EXPECT_ID |
			     KVBM_EXPECT_DIGEST;
		all.uid += one[i] == KVBM_EXPECT_UID;
		all.store_id += one[i] == KVBM_EXPECT_ID;
		all.block_bytes += one[i] == KVBM_EXPECT_BLOCK_BYTES;
		all.block_size += one[i] == KVBM_EXPECT_BLOCK_SIZE;
		all.digest[31] += one[i] == KVBM_EXPECT_DIGEST;
		will(0, &out);
		ok(kvbm_open_expect("pool", &all) == -ESTALE &&
		   all.differs == one[i], "open_expect: says what differs");
	}
	e.flags = 64;
	ok(kvbm_open_expect("pool", &e) == -EINVAL,
	   "open_expect: an unknown flag");
	e.flags = 0;
	will(-EACCES, NULL);
	ok(kvbm_open_expect("pool", &e) == -EACCES, "open_expect: failed");
	ok(kvbm_open_expect(NULL, &e) == -EINVAL, "open_expect: no name");
}

static void test_block(void)
{
	struct kvbm_block_info want = { .size = sizeof(want), .block = 6 };
	struct kvbm_block_info out = {
		.size = sizeof(out), .block = 6, .state = KVBM_STATE_PRIMARY,
		.generation = 11, .holds = 5, .own_holds = 2,
		.hash = { 0x123, 0x456 },
	}, got;
	struct kvbm_weak weak, before;

	memset(&got, 0x5a, sizeof(got));
	will(0, &out);
	ok(kvbm_block_info(FD, 6, &got) == 0 &&
	   SAW(KVBM_IOC_BLOCK_INFO, want) && !memcmp(&got, &out, sizeof(out)),
	   "block_info");
	want.flags = KVBM_BLOCK_OWN;
	ok(kvbm_weak(FD, 6, &weak) == 0 && SAW_LAST(want) && weak.block == 6 &&
	   weak.generation == 11 && weak.hash.hi == 0x123 &&
	   weak.hash.lo == 0x456, "weak: of a primary");
	out.state = KVBM_STATE_DUPLICATE;
	ok(kvbm_weak(FD, 6, &weak) == 0, "weak: of a duplicate");
	out.state = KVBM_STATE_FORGOTTEN;
	ok(kvbm_weak(FD, 6, &weak) == 0, "weak: of a forgotten block");
	memset(&weak, 0x5a, sizeof(weak));
	before = weak;
	out.state = KVBM_STATE_STAGED;
	ok(kvbm_weak(FD, 6, &weak) == -EINVAL, "weak: of a staged block");
	out.state = KVBM_STATE_MUTABLE;
	ok(kvbm_weak(FD, 6, &weak) == -EINVAL, "weak: of a mutable block");
	out.state = KVBM_STATE_INACTIVE;
	out.own_holds = 0;
	ok(kvbm_weak(FD, 6, &weak) == -EPERM, "weak: of an idle block");
	out.state = KVBM_STATE_PRIMARY;
	ok(kvbm_weak(FD, 6, &weak) == -EPERM, "weak: of another's block");
	will(-EINVAL, NULL);
	ok(kvbm_weak(FD, 6, &weak) == -EINVAL &&
	   !memcmp(&weak, &before, sizeof(weak)), "weak: of no block");
}

static void test_alloc(void)
{
	struct kvbm_alloc want = {
		.size = sizeof(want), .count = 4, .ids = PTR(ids),
		.evictions = PTR(gone),
	}, out, freed;
	struct kvbm_ids back = {
		.size = sizeof(back), .flags = KVBM_RELEASE_MUTABLE,
		.count = 2, .ids = PTR(ids),
	};
	uint32_t evicted = 77, ticket;

	out = want;
	out.done = 4;
	out.evicted = 3;
	will(4, &out);
	ok(kvbm_alloc(FD, 4, ids, gone, &evicted) == 4 && evicted == 3 &&
	   SAW(KVBM_IOC_ALLOC, want), "alloc");
	will(-ENOSPC, &out);
	ok(kvbm_alloc(FD, 4, ids, gone, &evicted) == -ENOSPC &&
	   evicted == 3, "alloc: what a failed one evicted is told");
	out.done = 2;
	out.error = EFAULT;
	will(2, &out);
	ok(kvbm_alloc(FD, 4, ids, gone, &evicted) == -EFAULT &&
	   SAW_SECOND(KVBM_IOC_RELEASE, back), "alloc: gives back what is too little");
	out.error = 0;
	out.done = 4;
	want.flags = KVBM_ALLOC_WAIT;
	want.deadline_ns = 123456789;
	will(4, &out);
	ok(kvbm_alloc_wait(FD, 4, ids, gone, &evicted, 123456789) == 4 &&
	   evicted == 3 && SAW(KVBM_IOC_ALLOC, want), "alloc_wait");
	out.ticket = 9;
	freed = (struct kvbm_alloc) {
		.size = sizeof(freed), .flags = KVBM_ALLOC_GIVE_UP,
		.ticket = 9,
	};
	will(-EINTR, &out);
	ok(kvbm_alloc_wait(FD, 4, ids, gone, &evicted, 123456789) == -EINTR &&
	   SAW_SECOND(KVBM_IOC_ALLOC, freed),
	   "alloc_wait: gives up its place");
	ticket = 5;
	want.ticket = 5;
	will(-EINTR, &out);
	ok(kvbm_alloc_wait_at(FD, 4, ids, gone, &evicted, 123456789, &ticket) ==
	   -EINTR && ticket == 9 && calls == 1 && SAW(KVBM_IOC_ALLOC, want),
	   "alloc_wait_at: from place to place");
	will(0, NULL);
	ok(kvbm_ticket_give_up(FD, 9) == 0 && SAW(KVBM_IOC_ALLOC, freed),
	   "ticket_give_up");
	want.flags = KVBM_ALLOC_RESET_ONLY;
	want.deadline_ns = 0;
	want.ticket = 0;
	want.evictions = 0;
	out.ticket = 0;
	will(2, &out);
	ok(kvbm_alloc_reset(FD, 4, ids) == 2 && SAW(KVBM_IOC_ALLOC, want),
	   "alloc_reset");
	want.flags = 0;
	will(4, NULL);
	ok(kvbm_alloc(FD, 4, ids, NULL, NULL) == 4 && SAW(KVBM_IOC_ALLOC, want),
	   "alloc: hashes not wanted");
	ok(kvbm_deadline(KVBM_NO_DEADLINE) == KVBM_NO_DEADLINE &&
	   kvbm_deadline(KVBM_NO_DEADLINE - 1) == KVBM_NO_DEADLINE,
	   "deadline: saturates");
	ok(kvbm_deadline(0) <= kvbm_deadline(0) &&
	   kvbm_deadline(1000000000) - kvbm_deadline(0) <= 1000000000 &&
	   kvbm_deadline(1000000000) - kvbm_deadline(0) > 0,
	   "deadline: from now");
}

/*
 * A batch: what it sends, its result, and why it stopped after 3 elements, or at
 * once.
 */
#define BATCH(name, request, want, out, call)				\
	do {								\
		uint32_t error = 99;					\
									\
		(out) = (want);						\
		(out).done = 4;						\
		will(4, &(out));					\
		ok((call) == 4 && error == 0 && SAW(request, want), name); \
		(out).done = 3;						\
		(out).error = EPERM;					\
		will(3, &(out));					\
		error = 99;						\
		ok((call) == 3 && error == EPERM, name ": half-way");	\
		will(-EBADF, NULL);					\
		ok((call) == -EBADF && error == EBADF,			\
		   name ": not at all");				\
		(out).error = 0;					\
	} while (0)

static void test_batches(void)
{
	struct kvbm_stage stage = {
		.size = sizeof(stage), .count = 4, .ids = PTR(ids),
		.hashes = PTR(hashes), .tokens = PTR(tokens),
	}, stage_out, claim = stage;
	struct kvbm_ids plain = {
		.size = sizeof(plain), .count = 4, .ids = PTR(ids),
	}, flagged = plain, on = plain, ids_out;
	struct kvbm_register staged = {
		.size = sizeof(staged), .flags = KVBM_REGISTER_REJECT,
		.count = 4, .ids = PTR(ids), .results = PTR(results),
	}, fresh = staged, reg_out;
	struct kvbm_query query = {
		.size = sizeof(query), .count = 4, .hashes = PTR(hashes),
		.out = PTR(bytes),
	}, touch = query, asks = query, query_out;

	claim.flags = KVBM_STAGE_CLAIM;
	claim.tokens = 0;
	claim.states = PTR(bytes);
	asks.flags = KVBM_PRESENCE_PENDING;
	flagged.flags = KVBM_RELEASE_STAGED;
	on.flags = KVBM_SET_RESET_ON;
	fresh.hashes = PTR(hashes);
	touch.out = 0;

	BATCH("stage", KVBM_IOC_STAGE, stage, stage_out,
	      kvbm_stage(FD, 4, ids, hashes, tokens, &error));
	BATCH("claim", KVBM_IOC_STAGE, claim, stage_out,
	      kvbm_claim(FD, 4, ids, hashes, bytes, &error));
	BATCH("unstage", KVBM_IOC_UNSTAGE, plain, ids_out,
	      kvbm_unstage(FD, 4, ids, &error));
	BATCH("release", KVBM_IOC_RELEASE, plain, ids_out,
	      kvbm_release(FD, 4, ids, 0, &error));
	BATCH("release of a kind", KVBM_IOC_RELEASE, flagged, ids_out,
	      kvbm_release(FD, 4, ids, KVBM_RELEASE_STAGED, &error));
	BATCH("retain", KVBM_IOC_RETAIN, plain, ids_out,
	      kvbm_retain(FD, 4, ids, &error));
	BATCH("set_reset on", KVBM_IOC_SET_RESET, on, ids_out,
	      kvbm_set_reset(FD, 4, ids, true, &error));
	BATCH("set_reset off", KVBM_IOC_SET_RESET, plain, ids_out,
	      kvbm_set_reset(FD, 4, ids, false, &error));
	BATCH("register", KVBM_IOC_REGISTER, staged, reg_out,
	      kvbm_register(FD, 4, ids, results, KVBM_REGISTER_REJECT, &error));
	BATCH("stage_register", KVBM_IOC_REGISTER, fresh, reg_out,
	      kvbm_stage_register(FD, 4, ids, hashes, results,
				  KVBM_REGISTER_REJECT, &error));
	BATCH("presence", KVBM_IOC_PRESENCE, query, query_out,
	      kvbm_presence(FD, 4, hashes, bytes, &error));
	BATCH("presence_pending", KVBM_IOC_PRESENCE, asks, query_out,
	      kvbm_presence_pending(FD, 4, hashes, bytes, &error));
	BATCH("frequency", KVBM_IOC_FREQUENCY, query, query_out,
	      kvbm_frequency(FD, 4, hashes, bytes, &error));
	BATCH("touch", KVBM_IOC_TOUCH, touch, query_out,
	      kvbm_touch(FD, 4, hashes, &error));
	touch.flags = KVBM_TOUCH_NEWEST;
	BATCH("touch_newest", KVBM_IOC_TOUCH, touch, query_out,
	      kvbm_touch_newest(FD, 4, hashes, &error));
}

static void test_keep(void)
{
	struct kvbm_keep held = {
		.size = sizeof(held), .count = 4, .rank = KVBM_RANK_KEEP,
		.ids = PTR(ids), .until_ns = 7, .results = PTR(bytes),
		.flags = KVBM_KEEP_RELATIVE,
	}, any = {
		.size = sizeof(any), .count = 4, .rank = KVBM_RANK_FIRST,
		.hashes = PTR(hashes),
	}, keep_out = held;

	BATCH("keep", KVBM_IOC_KEEP, held, keep_out,
	      kvbm_keep(FD, 4, ids, KVBM_RANK_KEEP, 7, KVBM_KEEP_RELATIVE,
			bytes, &error));
	BATCH("keep_hashes", KVBM_IOC_KEEP, any, keep_out,
	      kvbm_keep_hashes(FD, 4, hashes, KVBM_RANK_FIRST, 0, 0, NULL,
			       &error));
}

static void test_notes(void)
{
	static uint8_t notes[64];
	struct kvbm_stage stage = {
		.size = sizeof(stage), .count = 4, .ids = PTR(ids),
		.hashes = PTR(hashes), .notes = PTR(notes),
	}, claim = stage, stage_out;
	struct kvbm_register staged = {
		.size = sizeof(staged), .flags = KVBM_REGISTER_REJECT,
		.count = 4, .ids = PTR(ids), .results = PTR(results),
		.notes = PTR(notes),
	}, fresh = staged, reg_out;
	struct kvbm_match match = {
		.size = sizeof(match), .count = 4, .hashes = PTR(hashes),
		.ids = PTR(ids), .notes = PTR(notes),
	}, scan = match, match_out;
	struct kvbm_block_info info = {
		.size = sizeof(info), .block = 6, .note = PTR(notes),
	}, got;
	struct kvbm_export_entry entries[4];
	struct kvbm_export export = {
		.size = sizeof(export), .store_id = 77, .count = 4,
		.entry_size = sizeof(entries[0]), .cursor = 5,
		.entries = PTR(entries), .notes = PTR(notes),
	}, export_out = export;
	struct kvbm_store_ref ref = { .id = 77 };
	uint32_t hits = 99, total = 99;
	uint64_t cursor = 5;

	claim.flags = KVBM_STAGE_CLAIM;
	claim.states = PTR(bytes);
	fresh.hashes = PTR(hashes);
	scan.flags = KVBM_SCAN_TOUCH;
	BATCH("stage_notes", KVBM_IOC_STAGE, stage, stage_out,
	      kvbm_stage_notes(FD, 4, ids, hashes, notes, &error));
	BATCH("claim_notes", KVBM_IOC_STAGE, claim, stage_out,
	      kvbm_claim_notes(FD, 4, ids, hashes, notes, bytes, &error));
	BATCH("register_notes: Staged", KVBM_IOC_REGISTER, staged, reg_out,
	      kvbm_register_notes(FD, 4, ids, NULL, notes, results,
				  KVBM_REGISTER_REJECT, &error));
	BATCH("register_notes", KVBM_IOC_REGISTER, fresh, reg_out,
	      kvbm_register_notes(FD, 4, ids, hashes, notes, results,
				  KVBM_REGISTER_REJECT, &error));
	BATCH("match_notes", KVBM_IOC_MATCH, match, match_out,
	      kvbm_match_notes(FD, 4, hashes, ids, notes, &error));
	BATCH("scan_notes", KVBM_IOC_SCAN, scan, match_out,
	      kvbm_scan_notes(FD, 4, hashes, ids, notes, KVBM_SCAN_TOUCH, NULL,
			      &error));
	match_out.hits = 2;
	will(4, &match_out);
	ok(kvbm_scan_notes(FD, 4, hashes, ids, notes, 0, &hits, NULL) == 4 &&
	   hits == 2 && SAW(KVBM_IOC_SCAN, match), "scan_notes: hits");
	memset(&got, 0x5a, sizeof(got));
	will(0, &info);
	ok(!kvbm_block_note(FD, 6, &got, notes) &&
	   SAW(KVBM_IOC_BLOCK_INFO, info), "block_note");
	export_out.done = 3;
	export_out.total = 9;
	export_out.cursor = 8;
	will(0, &export_out);
	ok(kvbm_export_notes(FD, &ref, &cursor, 4, entries, notes, &total) ==
	   3 && cursor == 8 && total == 9 && SAW(KVBM_IOC_EXPORT, export),
	   "export_notes");
	will(-EINVAL, NULL);
	ok(kvbm_export_notes(FD, &ref, &cursor, 4, entries, notes, NULL) ==
	   -EINVAL && cursor == 8, "export_notes: fails");
}

static void test_match_opaque(void)
{
	static const char key[] = "an engine's own";
	struct kvbm_match out = { .size = sizeof(out), .pending = 1 };
	uint32_t id = 99;
	bool pending = true;

	will(1, &out);
	ok(kvbm_match_opaque(FD, NULL, key, 15, 3, &id, &pending) == 1 &&
	   !pending && calls == 1, "match_opaque: there");
	will(0, &out);
	ok(!kvbm_match_opaque(FD, NULL, key, 15, 3, &id, &pending) && !pending,
	   "match_opaque: not there");
	out.pending = 0;
	will(0, &out);
	ok(!kvbm_match_opaque(FD, NULL, key, 15, 3, &id, &pending) && pending,
	   "match_opaque: claimed");
	out.error = EDQUOT;
	will(0, &out);
	ok(kvbm_match_opaque(FD, NULL, key, 15, 3, &id, &pending) == -EDQUOT &&
	   !pending, "match_opaque: stopped");
	will(-ESHUTDOWN, NULL);
	ok(kvbm_match_opaque(FD, NULL, key, 15, 3, &id, NULL) == -ESHUTDOWN,
	   "match_opaque: fails");
	will(1, &out);
	ok(kvbm_match_opaque(FD, NULL, key, 0, 3, &id, &pending) == -EINVAL &&
	   !calls, "match_opaque: no key");
}

static void test_invalidate(void)
{
	struct kvbm_store_ref ref = { .id = 77 };
	struct kvbm_invalidate want = {
		.size = sizeof(want), .flags = KVBM_INVALIDATE_PREFIX,
		.count = 4, .hashes = PTR(hashes),
	}, out = want;
	uint32_t idle = 99, held = 99;

	out.idle = 3;
	out.held = 2;
	will(0, &out);
	ok(!kvbm_invalidate(FD, 4, hashes, KVBM_INVALIDATE_PREFIX, &idle,
			    &held) && idle == 3 && held == 2 &&
	   SAW(KVBM_IOC_INVALIDATE, want), "invalidate");
	want.store_id = 77;
	will(-EINTR, &out);
	ok(kvbm_invalidate_of(FD, &ref, 4, hashes, KVBM_INVALIDATE_PREFIX,
			      &idle, NULL) == -EINTR && idle == 3 &&
	   SAW(KVBM_IOC_INVALIDATE, want), "invalidate_of: half-way");
	ref.name = "-";
	will(0, NULL);
	ok(kvbm_invalidate_of(FD, &ref, 0, NULL, KVBM_INVALIDATE_ALL, NULL,
			      NULL) == -EINVAL && !calls,
	   "invalidate_of: no name of a store");
}

static void test_offer(void)
{
	struct kvbm_ticket ticket = { 5, 6 }, got = { 0 };
	struct kvbm_offer offer = {
		.size = sizeof(offer), .count = 4, .ids = PTR(ids),
	}, offer_out = offer;
	struct kvbm_accept accept = {
		.size = sizeof(accept), .count = 4, .ids = PTR(ids),
		.ticket = ticket,
	}, accept_out = accept;
	struct kvbm_withdraw withdraw = {
		.size = sizeof(withdraw), .ticket = ticket,
	}, withdraw_out = withdraw;
	uint32_t total = 99;

	offer_out.ticket = ticket;
	will(0, &offer_out);
	ok(!kvbm_offer(FD, 4, ids, &got) && got.hi == 5 && got.lo == 6 &&
	   SAW(KVBM_IOC_OFFER, offer), "offer");
	got.hi = 1;
	will(-EBUSY, &offer_out);
	ok(kvbm_offer(FD, 4, ids, &got) == -EBUSY && got.hi == 1,
	   "offer: no ticket when it fails");
	offer.flags = KVBM_OFFER_DIRECT;
	offer.fd = 9;
	will(0, &offer_out);
	ok(!kvbm_offer_to(FD, 9, 4, ids, NULL) && SAW(KVBM_IOC_OFFER, offer),
	   "offer_to");
	accept_out.total = 3;
	will(3, &accept_out);
	ok(kvbm_accept(FD, &ticket, 4, ids, &total) == 3 && total == 3 &&
	   SAW(KVBM_IOC_ACCEPT, accept), "accept");
	accept_out.total = 7;
	will(-EMSGSIZE, &accept_out);
	ok(kvbm_accept(FD, &ticket, 4, ids, &total) == -EMSGSIZE && total == 7,
	   "accept: how many there are");
	accept.flags = KVBM_ACCEPT_DIRECT;
	memset(&accept.ticket, 0, sizeof(accept.ticket));
	will(4, &accept_out);
	got.hi = 0;
	ok(kvbm_accept_direct(FD, 4, ids, &got, NULL) == 4 && got.hi == 5 &&
	   SAW(KVBM_IOC_ACCEPT, accept), "accept_direct");
	withdraw_out.done = 4;
	will(0, &withdraw_out);
	ok(kvbm_withdraw(FD, &ticket) == 4 &&
	   SAW(KVBM_IOC_WITHDRAW, withdraw), "withdraw");
	will(-ENOENT, NULL);
	ok(kvbm_withdraw(FD, &ticket) == -ENOENT, "withdraw: too late");
}

static void test_lookups(void)
{
	struct kvbm_match match = {
		.size = sizeof(match), .count = 4, .hashes = PTR(hashes),
		.ids = PTR(ids),
	}, scan = match, asks = match, match_out;
	struct kvbm_wait wait = {
		.size = sizeof(wait), .count = 4, .hashes = PTR(hashes),
		.deadline_ns = 5,
	}, wait_out = wait;
	struct kvbm_watch watch = {
		.size = sizeof(watch), .count = 4, .hashes = PTR(hashes),
		.states = PTR(bytes),
	}, watch_out = watch;
	uint32_t pending = 99;
	struct kvbm_upgrade upgrade = {
		.size = sizeof(upgrade), .count = 4, .weaks = PTR(weaks),
		.ids = PTR(ids),
	}, upgrade_out = upgrade;
	uint32_t hits = 99, none = 99;

	scan.flags = KVBM_SCAN_TOUCH;
	upgrade_out.done = 4;
	upgrade_out.hits = 2;

	BATCH("match", KVBM_IOC_MATCH, match, match_out,
	      kvbm_match(FD, 4, hashes, ids, &error));
	BATCH("scan", KVBM_IOC_SCAN, scan, match_out,
	      kvbm_scan(FD, 4, hashes, ids, KVBM_SCAN_TOUCH, NULL, &error));
	match_out.hits = 2;
	will(4, &match_out);
	ok(kvbm_scan(FD, 4, hashes, ids, 0, &hits, NULL) == 4 && hits == 2 &&
	   SAW(KVBM_IOC_SCAN, match), "scan: hits");
	BATCH("upgrade", KVBM_IOC_UPGRADE, upgrade, upgrade_out,
	      kvbm_upgrade(FD, 4, weaks, ids, NULL, &error));
	upgrade_out.hits = 2;
	will(4, &upgrade_out);
	ok(kvbm_upgrade(FD, 4, weaks, ids, &hits, NULL) == 4 && hits == 2,
	   "upgrade: hits");

	asks.flags = KVBM_MATCH_PENDING;
	BATCH("match_pending", KVBM_IOC_MATCH, asks, match_out,
	      kvbm_match_pending(FD, 4, hashes, ids, &pending, &error));
	ok(pending == 4, "match_pending: none when it fails");
	match_out.pending = 3;
	will(2, &match_out);
	ok(kvbm_match_pending(FD, 4, hashes, ids, &pending, NULL) == 2 &&
	   pending == 3, "match_pending: where");
	test_match_opaque();
	wait_out.pending = 2;
	will(-ETIMEDOUT, &wait_out);
	ok(kvbm_wait(FD, 4, hashes, 5, &pending) == -ETIMEDOUT &&
	   pending == 2 && SAW(KVBM_IOC_WAIT, wait), "wait: not all");
	will(0, &wait);
	ok(!kvbm_wait(FD, 4, hashes, 5, NULL), "wait");
	watch_out.pending = 3;
	will(0, &watch_out);
	ok(kvbm_watch(FD, 4, hashes, bytes) == 3 &&
	   SAW(KVBM_IOC_WATCH, watch), "watch: how many are pending");
	will(-ENOMEM, NULL);
	ok(kvbm_watch(FD, 4, hashes, bytes) == -ENOMEM, "watch: fails");

	test_notes();
	test_offer();
	test_invalidate();
	test_keep();
	will(0, NULL);
	ok(kvbm_stage_register(FD, 1, ids, NULL, results, 0, &none) ==
	   -EFAULT && !calls && none == EFAULT,
	   "stage_register: without hashes is not register");
}

static void test_null_error(void)
{
	will(4, NULL);
	ok(kvbm_stage(FD, 4, ids, hashes, NULL, NULL) == 4 &&
	   !seen.stage.tokens, "stage: no token counts, error not wanted");
	ok(kvbm_unstage(FD, 4, ids, NULL) == 4 &&
	   kvbm_release(FD, 4, ids, 0, NULL) == 4 &&
	   kvbm_retain(FD, 4, ids, NULL) == 4 &&
	   kvbm_set_reset(FD, 4, ids, true, NULL) == 4 &&
	   kvbm_register(FD, 4, ids, results, 0, NULL) == 4 &&
	   kvbm_stage_register(FD, 4, ids, hashes, results, 0, NULL) == 4 &&
	   kvbm_match(FD, 4, hashes, ids, NULL) == 4 &&
	   kvbm_presence(FD, 4, hashes, bytes, NULL) == 4 &&
	   kvbm_frequency(FD, 4, hashes, bytes, NULL) == 4 &&
	   kvbm_touch(FD, 4, hashes, NULL) == 4, "error not wanted");
	ok(kvbm_match(FD, 0, NULL, NULL, NULL) == 4, "empty arrays");
}

/* An SQE as the kernel's documentation draws it, byte by byte. */
static bool sqe_is(const struct io_uring_sqe *sqe, uint32_t op,
		   const void *args, uint32_t size)
{
	unsigned char want[64] = { 0 };
	int32_t fd = FD;
	uint64_t ptr = PTR(args), user_data = 0x1122334455667788ULL;

	want[0] = 46;			/* IORING_OP_URING_CMD */
	memcpy(want + 4, &fd, 4);
	memcpy(want + 8, &op, 4);	/* cmd_op */
	memcpy(want + 32, &user_data, 8);
	memcpy(want + 48, &ptr, 8);	/* cmd: args, size, flags */
	memcpy(want + 56, &size, 4);
	return !memcmp(sqe, want, sizeof(want));
}

#define TEST_PREP(name, args, op)					\
	do {								\
		struct io_uring_sqe sqe;				\
									\
		memset(&sqe, 0x5a, sizeof(sqe));			\
		sqe.user_data = 0x1122334455667788ULL;			\
		kvbm_prep_##name(&sqe, FD, &(args));			\
		ok(sqe_is(&sqe, op, &(args), sizeof(args)),		\
		   "prep_" #name);					\
	} while (0)

static void test_prep(void)
{
	static struct kvbm_alloc alloc;
	static struct kvbm_stage stage;
	static struct kvbm_ids i;
	static struct kvbm_register reg;
	static struct kvbm_match match;
	static struct kvbm_upgrade upgrade;
	static struct kvbm_query query;
	static struct kvbm_keep keep;

	memset(&alloc, 0x5a, sizeof(alloc));
	kvbm_args_alloc(&alloc, KVBM_ALLOC_WAIT, 4, ids, gone, 7);
	kvbm_args_stage(&stage, 4, ids, hashes, tokens);
	kvbm_args_ids(&i, 0, 4, ids);
	kvbm_args_register(&reg, 0, 4, ids, hashes, results);
	kvbm_args_match(&match, 0, 4, hashes, ids);
	kvbm_args_upgrade(&upgrade, 4, weaks, ids);
	kvbm_args_query(&query, 4, hashes, bytes);
	kvbm_args_keep(&keep, 4, ids, NULL, KVBM_RANK_HIGH, 0);

	TEST_PREP(alloc, alloc, 0x20);
	TEST_PREP(stage, stage, 0x21);
	TEST_PREP(unstage, i, 0x22);
	TEST_PREP(register, reg, 0x23);
	TEST_PREP(match, match, 0x24);
	TEST_PREP(scan, match, 0x25);
	TEST_PREP(release, i, 0x26);
	TEST_PREP(retain, i, 0x27);
	TEST_PREP(set_reset, i, 0x28);
	TEST_PREP(upgrade, upgrade, 0x29);
	TEST_PREP(presence, query, 0x2a);
	TEST_PREP(frequency, query, 0x2b);
	TEST_PREP(touch, query, 0x2c);
	TEST_PREP(keep, keep, 0x2f);

	/* The same structure as the function sends. */
	will(4, NULL);
	kvbm_alloc_wait(FD, 4, ids, gone, NULL, 7);
	ok(SAW(KVBM_IOC_ALLOC, alloc), "args_alloc is what alloc_wait sends");
}

int main(void)
{
	test_open();
	test_create();
	test_control();
	test_session();
	test_of();
	test_expect();
	test_block();
	test_alloc();
	test_batches();
	test_lookups();
	test_null_error();
	test_prep();
	return tap_end();
}
