// SPDX-License-Identifier: MIT
/*
 * The binary interface: sizes, flags, reserved fields, unknown requests, and
 * pointers that are bad as a whole.  abi_faults.c tests pointers that go bad
 * within a batch.
 */
#include "kvbm_layout.h"
#include "kvbm_ops.h"
#include "kvbm_test.h"

/* A request: what it takes, and what a call without harm comes to. */
struct request {
	const char *name;
	unsigned int op;
	bool control;
	bool session;
	size_t size;
	uint32_t flags;			/* that are known */
	uint32_t needy;			/* known, but not alone */
	long result;			/* of the plain call below */
	size_t reserved[4];		/* offsets of reserved 32-bit words */
	size_t reserved64[10];		/* ends of reserved 64-bit fields */
	bool out;			/* writes to its structure */
	bool about;			/* names a store on control */
};

#define OFF(type, field)	offsetof(struct type, field)
#define BOTH			.control = true, .session = true
#define CONTROL			.control = true
#define SESSION			.session = true
#define BOTH_ABOUT		BOTH, .about = true
#define REQ(_op, _type)							\
	.name = #_op, .op = KVBM_OP_##_op, .size = sizeof(struct _type)

static const struct request requests[] = {
	{ REQ(FEATURES, kvbm_features), BOTH, .out = true },
	{ REQ(STORE_CREATE, kvbm_store_create), CONTROL, .out = true,
	  .flags = KVBM_CREATE_REJECT | KVBM_CREATE_RESET | KVBM_CREATE_OPAQUE |
		   KVBM_CREATE_RETENTION,
	  .needy = KVBM_CREATE_PAYLOAD | KVBM_CREATE_UNSEALED,
	  .reserved64 = {
			  OFF(kvbm_store_create, reserved[0]),
			  OFF(kvbm_store_create, reserved[1]),
			  OFF(kvbm_store_create, reserved[2]) } },
	{ REQ(STORE_DESTROY, kvbm_store_destroy), CONTROL,
	  .flags = KVBM_DESTROY_FORCE, .result = -ENOENT },
	{ REQ(STORE_LIST, kvbm_store_list), CONTROL, .out = true },
	{ REQ(STORE_ACCESS, kvbm_store_access), CONTROL,
	  .flags = KVBM_ACCESS_UID | KVBM_ACCESS_GID | KVBM_ACCESS_MODE |
		   KVBM_ACCESS_MONITOR,
	  .reserved64 = { OFF(kvbm_store_access, reserved[0]),
			  OFF(kvbm_store_access, reserved[1]) } },
	{ REQ(STORE_INFO, kvbm_store_info), BOTH_ABOUT, .out = true },
	{ REQ(SESSION_OPEN, kvbm_session_open), SESSION, .out = true,
	  .reserved = { OFF(kvbm_session_open, reserved) } },
	{ REQ(SESSION_CONFIG, kvbm_session_config), SESSION,
	  .reserved = { OFF(kvbm_session_config, reserved) } },
	{ REQ(SESSION_LIST, kvbm_session_list), BOTH_ABOUT, .out = true },
	{ REQ(SESSION_REVOKE, kvbm_session_revoke), BOTH_ABOUT,
	  .flags = KVBM_REVOKE_UID | KVBM_REVOKE_PID,
	  .needy = KVBM_REVOKE_NOW, .result = -ENOENT,
	  .reserved = { OFF(kvbm_session_revoke, reserved32) },
	  .reserved64 = { OFF(kvbm_session_revoke, reserved) } },
	{ REQ(COUNTS, kvbm_counts), BOTH_ABOUT, .out = true },
	{ REQ(STATS, kvbm_stats), BOTH_ABOUT, .out = true },
	{ REQ(BLOCK_INFO, kvbm_block_info), SESSION, .out = true,
	  .flags = KVBM_BLOCK_OWN },
	{ REQ(RESET_INACTIVE, kvbm_reset_inactive), BOTH_ABOUT, .out = true,
	  .reserved = { OFF(kvbm_reset_inactive, reserved) } },
	{ REQ(INVALIDATE, kvbm_invalidate), BOTH_ABOUT, .out = true,
	  .flags = KVBM_INVALIDATE_PREFIX | KVBM_INVALIDATE_ALL,
	  .reserved64 = { OFF(kvbm_invalidate, reserved) } },
	{ REQ(HOLDS, kvbm_holds), SESSION, .out = true },
	{ REQ(PAYLOAD, kvbm_payload), SESSION,
	  .flags = KVBM_PAYLOAD_FD, .needy = KVBM_PAYLOAD_RDONLY,
	  .reserved = { OFF(kvbm_payload, reserved) }, .result = -ENODATA },
	{ REQ(EXPORT, kvbm_export), BOTH_ABOUT, .out = true },
	{ REQ(EVENTS, kvbm_events), BOTH_ABOUT,
	  .flags = KVBM_EVENTS_NONBLOCK | KVBM_EVENTS_NOTES,
	  .reserved = { OFF(kvbm_events, fd), OFF(kvbm_events, records),
			OFF(kvbm_events, record_size) },
	  .reserved64 = { OFF(kvbm_events, reserved[0]),
			  OFF(kvbm_events, reserved[1]) }, .result = -ENODATA },
	{ REQ(ALLOC, kvbm_alloc), SESSION, .out = true,
	  .flags = KVBM_ALLOC_RESET_ONLY | KVBM_ALLOC_WAIT | KVBM_ALLOC_GIVE_UP,
	  .reserved64 = { OFF(kvbm_alloc, reserved[0]),
			  OFF(kvbm_alloc, reserved[1]) } },
	{ REQ(STAGE, kvbm_stage), SESSION, .out = true,
	  .reserved = { OFF(kvbm_stage, reserved32) },
	  .needy = KVBM_STAGE_CLAIM,
	  .reserved64 = { OFF(kvbm_stage, reserved) } },
	{ REQ(UNSTAGE, kvbm_ids), SESSION, .out = true,
	  .reserved = { OFF(kvbm_ids, reserved32) },
	  .reserved64 = { OFF(kvbm_ids, reserved) } },
	{ REQ(REGISTER, kvbm_register), SESSION, .out = true,
	  .flags = KVBM_REGISTER_ALLOW | KVBM_REGISTER_REJECT,
	  .reserved = { OFF(kvbm_register, reserved32) },
	  .reserved64 = { OFF(kvbm_register, reserved[0]),
			  OFF(kvbm_register, reserved[1]) } },
	{ REQ(MATCH, kvbm_match), SESSION, .out = true,
	  .flags = KVBM_MATCH_PENDING,
	  .reserved = { OFF(kvbm_match, pending), OFF(kvbm_match, reserved32) },
	  .reserved64 = { OFF(kvbm_match, reserved) } },
	{ REQ(SCAN, kvbm_match), SESSION, .out = true,
	  .flags = KVBM_SCAN_TOUCH,
	  .reserved = { OFF(kvbm_match, pending), OFF(kvbm_match, reserved32) },
	  .reserved64 = { OFF(kvbm_match, reserved) } },
	{ REQ(RELEASE, kvbm_ids), SESSION, .out = true,
	  .flags = KVBM_RELEASE_MUTABLE | KVBM_RELEASE_STAGED |
		   KVBM_RELEASE_REGISTERED,
	  .reserved = { OFF(kvbm_ids, reserved32) },
	  .reserved64 = { OFF(kvbm_ids, reserved) } },
	{ REQ(RETAIN, kvbm_ids), SESSION, .out = true,
	  .reserved = { OFF(kvbm_ids, reserved32) },
	  .reserved64 = { OFF(kvbm_ids, reserved) } },
	{ REQ(SET_RESET, kvbm_ids), SESSION, .out = true,
	  .flags = KVBM_SET_RESET_ON,
	  .reserved = { OFF(kvbm_ids, reserved32) },
	  .reserved64 = { OFF(kvbm_ids, reserved) } },
	{ REQ(UPGRADE, kvbm_upgrade), SESSION, .out = true,
	  .reserved64 = { OFF(kvbm_upgrade, reserved) } },
	{ REQ(PRESENCE, kvbm_query), SESSION, .out = true,
	  .flags = KVBM_PRESENCE_PENDING,
	  .reserved = { OFF(kvbm_query, reserved32) },
	  .reserved64 = { OFF(kvbm_query, reserved) } },
	{ REQ(FREQUENCY, kvbm_query), SESSION, .out = true,
	  .reserved = { OFF(kvbm_query, reserved32) },
	  .reserved64 = { OFF(kvbm_query, reserved) } },
	{ REQ(TOUCH, kvbm_query), SESSION, .out = true,
	  .flags = KVBM_TOUCH_NEWEST,
	  .reserved = { OFF(kvbm_query, reserved32) },
	  .reserved64 = { OFF(kvbm_query, reserved), OFF(kvbm_query, out) } },
	{ REQ(WAIT, kvbm_wait), SESSION, .out = true,
	  .reserved = { OFF(kvbm_wait, reserved32) },
	  .reserved64 = { OFF(kvbm_wait, reserved[0]),
			  OFF(kvbm_wait, reserved[1]) } },
	{ REQ(WATCH, kvbm_watch), SESSION, .out = true,
	  .reserved64 = { OFF(kvbm_watch, reserved[0]),
			  OFF(kvbm_watch, reserved[1]) } },
	{ REQ(KEEP, kvbm_keep), SESSION, .out = true,
	  .needy = KVBM_KEEP_RELATIVE,
	  .reserved64 = { OFF(kvbm_keep, reserved[0]),
			  OFF(kvbm_keep, reserved[1]) } },
	{ REQ(OFFER, kvbm_offer), SESSION, .flags = KVBM_OFFER_DIRECT,
	  .reserved64 = { OFF(kvbm_offer, reserved[0]),
			  OFF(kvbm_offer, reserved[1]) }, .result = -EINVAL },
	{ REQ(ACCEPT, kvbm_accept), SESSION, .flags = KVBM_ACCEPT_DIRECT,
	  .reserved64 = { OFF(kvbm_accept, reserved[0]),
			  OFF(kvbm_accept, reserved[1]) }, .result = -ENOENT },
	{ REQ(WITHDRAW, kvbm_withdraw), SESSION, .out = true,
	  .reserved = { OFF(kvbm_withdraw, reserved32) },
	  .reserved64 = { OFF(kvbm_withdraw, reserved[0]),
			  OFF(kvbm_withdraw, reserved[1]) }, .result = -ENOENT },
};

#define NR_REQUESTS	ARRAY_SIZE(requests)

static const struct request *find(unsigned int op)
{
	unsigned int i;

	for (i = 0; i < NR_REQUESTS; i++)
		if (requests[i].op == op)
			return &requests[i];
	return NULL;
}

union args {
	uint32_t size;
	struct {
		uint32_t size, flags;
	} head;
	struct {
		uint32_t size, flags;
		uint64_t store_id;
		char name[KVBM_NAME_LEN];
	} about;
	struct kvbm_store_create create;
	struct kvbm_store_destroy destroy;
	struct kvbm_store_access access;
	struct kvbm_session_list sessions;
	struct kvbm_session_open open;
	struct kvbm_session_config config;
	struct kvbm_session_revoke revoke;
	struct kvbm_match match;
	struct kvbm_ids ids;
	struct kvbm_query query;
	struct kvbm_counts counts;
	struct kvbm_block_info info;
	struct kvbm_alloc alloc;
	struct kvbm_keep keep;
	unsigned char bytes[8192];
	uint32_t words[2048];
};

/* The store of the fixture: what requests on the control device are about. */
static uint64_t store_id;

/* Makes the call on the control device what it is on a session. */
static void name_store(const struct request *r, bool control, union args *a)
{
	if (r->about && control)
		a->about.store_id = store_id;
}

/* The plain call: valid, empty, without harm. */
static void plain_session(const struct request *r, union args *a)
{
	memset(a, 0, sizeof(*a));
	a->size = r->size;
	switch (r->op) {
	case KVBM_OP_STORE_CREATE:
		a->create.total_blocks = 1;
		a->create.uid = -1;
		a->create.gid = -1;
		a->create.monitor_gid = -1;
		a->create.fd = -1;
		break;
	case KVBM_OP_STORE_DESTROY:
		strcpy(a->destroy.name, "not-there");
		break;
	case KVBM_OP_STORE_ACCESS:
		a->access.store_id = store_id;
		break;
	case KVBM_OP_SESSION_OPEN:
		a->open.fd = -1;
		break;
	case KVBM_OP_SESSION_CONFIG:
		a->config.low_watermark = 1;
		break;
	case KVBM_OP_SESSION_REVOKE:
		a->revoke.session_id = ~0ULL;
		break;
	case KVBM_OP_KEEP:
		a->keep.hashes = 8;	/* of which none is read */
		break;
	}
}

static int control_fd = -1;

/* As it is to be made on @fd. */
static void plain_on(int fd, const struct request *r, union args *a)
{
	plain_session(r, a);
	name_store(r, fd == control_fd, a);
}

/* Makes the call, and closes what it opened. */
static long call(int fd, const struct request *r, void *arg)
{
	long ret = kt_ioctl(fd, KVBM_IO(r->op), arg);
	union args *a = arg;

	if (!ret && r->op == KVBM_OP_STORE_CREATE)
		close(a->create.fd);
	if (!ret && r->op == KVBM_OP_SESSION_OPEN)
		close(a->open.fd);
	return ret;
}

FIXTURE(abi) {
	int control;
	int session;
	union args *a;
};

FIXTURE_SETUP(abi)
{
	self->control = kvbm_control_open();
	ASSERT_GE(self->control, 0);
	self->session = kt_store(4, .flags = KVBM_CREATE_RETENTION);
	ASSERT_GE(self->session, 0);
	control_fd = self->control;
	store_id = kt_store_id(self->session);
	self->a = calloc(1, sizeof(*self->a));
}

FIXTURE_TEARDOWN(abi)
{
	close(self->session);
	close(self->control);
	free(self->a);
}

#define for_each_request(r, fd)						\
	for ((r) = requests; (r) < requests + NR_REQUESTS; (r)++)	\
		for ((fd) = (r)->session ? self->session : self->control; \
		     (fd) >= 0;						\
		     (fd) = (fd) == self->session && (r)->control ?	\
			    self->control : -1)

/* This list of requests has all operations of the module's, no others. */
TEST_F(abi, every_operation)
{
	const struct request *r;
	const struct kt_op *o;

	EXPECT_EQ(KT_NR_OPS, NR_REQUESTS);
	for (o = kt_ops; o < kt_ops + KT_NR_OPS; o++) {
		r = find(o->op);
		ASSERT_NE(NULL, r) {
			TH_LOG("%s", o->name);
		}
		EXPECT_EQ(r->size, o->size) {
			TH_LOG("%s", o->name);
		}
		EXPECT_EQ(r->flags | r->needy, o->flags) {
			TH_LOG("%s", o->name);
		}
		EXPECT_EQ(r->control, o->control != KT_NO) {
			TH_LOG("%s", o->name);
		}
		EXPECT_EQ(r->session, o->session) {
			TH_LOG("%s", o->name);
		}
	}
}

TEST_F(abi, plain_calls)
{
	const struct request *r;
	int fd;

	for_each_request(r, fd) {
		plain_on(fd, r, self->a);
		EXPECT_EQ(r->result, call(fd, r, self->a)) {
			TH_LOG("%s", r->name);
		}
		EXPECT_EQ(r->size, self->a->size) {
			TH_LOG("%s changed @size", r->name);
		}
	}
	kt_check(self->session);
}

TEST_F(abi, short_structures)
{
	const struct request *r;
	uint32_t size;
	int fd;

	for_each_request(r, fd)
		for (size = 0; size < r->size; size++) {
			plain_on(fd, r, self->a);
			self->a->size = size;
			EXPECT_EQ(-EINVAL, call(fd, r, self->a)) {
				TH_LOG("%s of %u bytes", r->name, size);
			}
		}
}

TEST_F(abi, long_structures)
{
	const struct request *r;
	size_t at;
	int fd;

	for_each_request(r, fd) {
		plain_on(fd, r, self->a);
		self->a->size = r->size + 64;
		EXPECT_EQ(r->result, call(fd, r, self->a)) {
			TH_LOG("%s, longer, zero", r->name);
		}
		for (at = r->size; at < r->size + 64; at++) {
			plain_on(fd, r, self->a);
			self->a->size = r->size + 64;
			self->a->bytes[at] = 1;
			EXPECT_EQ(-E2BIG, call(fd, r, self->a)) {
				TH_LOG("%s, byte %zu set", r->name, at);
			}
		}
		plain_on(fd, r, self->a);
		self->a->size = ~0U;
		EXPECT_EQ(-E2BIG, call(fd, r, self->a)) {
			TH_LOG("%s, size ~0", r->name);
		}
	}
	kt_check(self->session);
}

TEST_F(abi, unknown_flags)
{
	const struct request *r;
	int fd, bit;

	for_each_request(r, fd)
		for (bit = 0; bit < 32; bit++) {
			if ((r->flags | r->needy) & 1U << bit)
				continue;
			plain_on(fd, r, self->a);
			self->a->head.flags = 1U << bit;
			EXPECT_EQ(-EOPNOTSUPP, call(fd, r, self->a)) {
				TH_LOG("%s, flag %d", r->name, bit);
			}
		}
	/* Nothing was created or opened. */
	EXPECT_EQ(1, kt_stats(self->session).sessions);
}

TEST_F(abi, known_flags)
{
	const struct request *r;
	int fd, bit;
	long want;

	for_each_request(r, fd)
		for (bit = 0; bit < 32; bit++) {
			if (!(r->flags & 1U << bit))
				continue;
			plain_on(fd, r, self->a);
			self->a->head.flags = 1U << bit;
			want = r->result;
			/* By user or by session: not both. */
			if (r->op == KVBM_OP_SESSION_REVOKE)
				want = -EINVAL;
			/* There is no place to give up. */
			if (r->op == KVBM_OP_ALLOC &&
			    self->a->head.flags == KVBM_ALLOC_GIVE_UP)
				want = -ENOENT;
			EXPECT_EQ(want, call(fd, r, self->a)) {
				TH_LOG("%s, flag %d", r->name, bit);
			}
		}
	/* Those that mean nothing without something else. */
	for_each_request(r, fd)
		for (bit = 0; bit < 32; bit++) {
			if (!(r->needy & 1U << bit))
				continue;
			plain_on(fd, r, self->a);
			self->a->head.flags = 1U << bit;
			if (r->op == KVBM_OP_SESSION_REVOKE)
				self->a->revoke.session_id = 0;
			EXPECT_EQ(-EINVAL, call(fd, r, self->a)) {
				TH_LOG("%s, flag %d", r->name, bit);
			}
		}
	/* Flags that contradict each other. */
	plain_session(find(KVBM_OP_REGISTER), self->a);
	self->a->head.flags = KVBM_REGISTER_ALLOW | KVBM_REGISTER_REJECT;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_REGISTER, self->a));
	plain_session(find(KVBM_OP_ALLOC), self->a);
	self->a->head.flags = KVBM_ALLOC_RESET_ONLY | KVBM_ALLOC_WAIT;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	/* A deadline, a clock or a place of one who does not wait. */
	plain_session(find(KVBM_OP_ALLOC), self->a);
	self->a->alloc.deadline_ns = 1;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	plain_session(find(KVBM_OP_ALLOC), self->a);
	self->a->alloc.clock = KVBM_CLOCK_BOOTTIME;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	plain_session(find(KVBM_OP_ALLOC), self->a);
	self->a->alloc.ticket = 1;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	/* A clock that there is not. */
	plain_session(find(KVBM_OP_ALLOC), self->a);
	self->a->head.flags = KVBM_ALLOC_WAIT;
	self->a->alloc.clock = KVBM_CLOCK_BOOTTIME + 1;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	/* A place that there is not, and more than to give it up. */
	plain_session(find(KVBM_OP_ALLOC), self->a);
	self->a->head.flags = KVBM_ALLOC_GIVE_UP;
	self->a->alloc.count = 0;
	EXPECT_EQ(-ENOENT, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	self->a->alloc.ticket = 1;
	EXPECT_EQ(-ENOENT, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	self->a->alloc.count = 1;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	self->a->alloc.count = 0;
	self->a->head.flags = KVBM_ALLOC_GIVE_UP | KVBM_ALLOC_WAIT;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
}

TEST_F(abi, reserved_fields)
{
	const struct request *r;
	unsigned int i, bit, nr = 0;
	int fd;

	for_each_request(r, fd) {
		for (i = 0; i < ARRAY_SIZE(r->reserved) && r->reserved[i]; i++)
			for (bit = 0; bit < 32; bit++, nr++) {
				plain_on(fd, r, self->a);
				self->a->words[r->reserved[i] / 4] = 1U << bit;
				EXPECT_EQ(-EOPNOTSUPP, call(fd, r, self->a)) {
					TH_LOG("%s, reserved %u bit %u",
					       r->name, i, bit);
				}
			}
		for (i = 0; i < ARRAY_SIZE(r->reserved64) && r->reserved64[i];
		     i++)
			for (bit = 0; bit < 64; bit++, nr++) {
				plain_on(fd, r, self->a);
				self->a->bytes[r->reserved64[i] + bit / 8] =
					1U << bit % 8;
				EXPECT_EQ(-EOPNOTSUPP, call(fd, r, self->a)) {
					TH_LOG("%s, reserved64 %u bit %u",
					       r->name, i, bit);
				}
			}
	}
	EXPECT_GT(nr, 500);
	/* Those that only go out need not be zero, but come back zero. */
	memset(self->a, 0xa5, sizeof(*self->a));
	memset(&self->a->about, 0, sizeof(self->a->about));
	self->a->head.size = sizeof(struct kvbm_counts);
	EXPECT_EQ(0, kt_ioctl(self->session, KVBM_IOC_COUNTS, self->a));
	EXPECT_EQ(0, self->a->counts.reserved);
}

/* All outputs are written: no byte of a poisoned structure stays. */
TEST_F(abi, no_poison_left)
{
	static const unsigned int ops[] = {
		KVBM_OP_STORE_INFO, KVBM_OP_COUNTS, KVBM_OP_STATS,
	};
	unsigned int i, at;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		const struct request *r = find(ops[i]);
		unsigned char first[1024];

		memset(self->a, 0xa5, sizeof(*self->a));
		memset(&self->a->about, 0, sizeof(self->a->about));
		self->a->head.size = r->size;
		ASSERT_EQ(0, call(self->session, r, self->a));
		memcpy(first, self->a, r->size);
		memset(self->a, 0x5a, sizeof(*self->a));
		memset(&self->a->about, 0, sizeof(self->a->about));
		self->a->head.size = r->size;
		ASSERT_EQ(0, call(self->session, r, self->a));
		for (at = 0; at < r->size; at++)
			EXPECT_FALSE(first[at] == 0xa5 &&
				     self->a->bytes[at] == 0x5a) {
				TH_LOG("%s leaves byte %u", r->name, at);
			}
		EXPECT_EQ(0x5a, self->a->bytes[r->size]) {
			TH_LOG("%s writes past its end", r->name);
		}
	}
}

TEST_F(abi, unknown_requests)
{
	unsigned int nr, type;

	for (nr = 0; nr < 256; nr++) {
		const struct request *r = find(nr);

		plain_session(&requests[0], self->a);
		if (!r || !r->control)
			EXPECT_EQ(-ENOTTY, kt_ioctl(self->control, KVBM_IO(nr),
						    self->a)) {
				TH_LOG("control, %#x", nr);
			}
		if (!r || !r->session)
			EXPECT_EQ(-ENOTTY, kt_ioctl(self->session, KVBM_IO(nr),
						    self->a)) {
				TH_LOG("session, %#x", nr);
			}
		/* Encodings that only look like ours. */
		EXPECT_EQ(-ENOTTY, kt_ioctl(self->control,
					    _IOR(KVBM_TYPE, nr, int), self->a));
		EXPECT_EQ(-ENOTTY, kt_ioctl(self->session,
					    _IOWR(KVBM_TYPE, nr, long),
					    self->a));
	}
	for (type = 0; type < 256; type++) {
		/* The type of FIOCLEX and other requests of every file. */
		if (type == KVBM_TYPE || type == 'T' || type == 'f' ||
		    type == 'X' || type == 0 || type == 0x12 || type == 'v')
			continue;
		for (nr = 0; nr < 0x30; nr++) {
			plain_session(&requests[0], self->a);
			EXPECT_EQ(-ENOTTY, kt_ioctl(self->session,
						    _IO(type, nr), self->a)) {
				TH_LOG("type %#x nr %#x", type, nr);
			}
			EXPECT_EQ(-ENOTTY, kt_ioctl(self->control,
						    _IO(type, nr), self->a)) {
				TH_LOG("type %#x nr %#x", type, nr);
			}
		}
	}
}

/* Not even an unknown request with a bad pointer is anything else. */
TEST_F(abi, unknown_request_bad_pointer)
{
	EXPECT_EQ(-ENOTTY, kt_ioctl(self->session, KVBM_IO(0xff), NULL));
	EXPECT_EQ(-ENOTTY, kt_ioctl(self->control, KVBM_IO(0xff), NULL));
	EXPECT_EQ(-ENOTTY, kt_ioctl(self->control, KVBM_IOC_MATCH, NULL));
	EXPECT_EQ(-ENOTTY, kt_ioctl(self->session, KVBM_IOC_STORE_LIST, NULL));
}

/* The structure itself: nowhere, half there, in the kernel's half. */
TEST_F(abi, bad_structure)
{
	size_t page = sysconf(_SC_PAGESIZE);
	const struct request *r;
	unsigned char *map;
	size_t n;
	int fd;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, mprotect(map + page, page, PROT_NONE));

	for_each_request(r, fd) {
		EXPECT_EQ(-EFAULT, call(fd, r, NULL)) {
			TH_LOG("%s, NULL", r->name);
		}
		EXPECT_EQ(-EFAULT, call(fd, r, map + page)) {
			TH_LOG("%s, no access", r->name);
		}
		EXPECT_EQ(-EFAULT, call(fd, r, (void *)-4096UL)) {
			TH_LOG("%s, at the end", r->name);
		}
		EXPECT_EQ(-EFAULT, call(fd, r,
					(void *)0xffff888000000000UL)) {
			TH_LOG("%s, kernel's", r->name);
		}
		EXPECT_EQ(-EFAULT, call(fd, r,
					(void *)0x8000000000000000UL)) {
			TH_LOG("%s, not canonical", r->name);
		}
		for (n = 4; n < r->size; n += 4) {
			plain_on(fd, r, self->a);
			memcpy(map + page - n, self->a, n);
			EXPECT_EQ(-EFAULT, call(fd, r, map + page - n)) {
				TH_LOG("%s, %zu bytes there", r->name, n);
			}
		}
		/* To the last byte it works, and unaligned too. */
		plain_on(fd, r, self->a);
		memcpy(map + page - r->size, self->a, r->size);
		EXPECT_EQ(r->result, call(fd, r, map + page - r->size));
		memcpy(map + page - r->size - 1, self->a, r->size);
		EXPECT_EQ(r->result, call(fd, r, map + page - r->size - 1));
	}
	EXPECT_EQ(1, kt_stats(self->session).sessions);
	kt_check(self->session);
	munmap(map, 2 * page);
}

/* The structure cannot be written: no unreported block is kept. */
TEST_F(abi, read_only_structure)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct kvbm_store_list before, after;
	const struct request *r;
	int fd, fds = 0, i;
	union args *map;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);

	before = (struct kvbm_store_list){ .size = sizeof(before) };
	ASSERT_EQ(0, kt_ioctl(self->control, KVBM_IOC_STORE_LIST, &before));
	for_each_request(r, fd) {
		if (!r->out)
			continue;
		ASSERT_EQ(0, mprotect(map, 2 * page, PROT_READ | PROT_WRITE));
		plain_on(fd, r, map);
		ASSERT_EQ(0, mprotect(map, 2 * page, PROT_READ));
		EXPECT_EQ(-EFAULT, kt_ioctl(fd, KVBM_IO(r->op), map)) {
			TH_LOG("%s", r->name);
		}
	}
	after = (struct kvbm_store_list){ .size = sizeof(after) };
	ASSERT_EQ(0, kt_ioctl(self->control, KVBM_IOC_STORE_LIST, &after));
	EXPECT_EQ(before.total, after.total);
	EXPECT_EQ(1, kt_stats(self->session).sessions);
	for (i = 0; i < 64; i++)
		fds += fcntl(i, F_GETFD) >= 0;
	/* 0, 1, 2, control, session, and nothing that leaked. */
	EXPECT_LE(fds, 7);

	/* A named store that cannot be reported does not stay. */
	ASSERT_EQ(0, mprotect(map, 2 * page, PROT_READ | PROT_WRITE));
	plain_session(find(KVBM_OP_STORE_CREATE), map);
	strcpy(map->create.name, "untold");
	ASSERT_EQ(0, mprotect(map, 2 * page, PROT_READ));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->control, KVBM_IOC_STORE_CREATE, map));
	EXPECT_EQ(-1, access("/dev/kvbm/untold", F_OK));
	EXPECT_EQ(-ENOENT, kt_destroy("untold", 0));
	kt_check(self->session);
	munmap(map, 2 * page);
}

TEST_F(abi, counts_too_large)
{
	unsigned int i;

	/* @count is the third word of all of them. */
	for (i = 0; i < KT_NR_OPS; i++) {
		const struct request *r = find(kt_ops[i].op);
		uint32_t max = KVBM_MAX_BATCH;

		if (kt_ops[i].op == KVBM_OP_WAIT ||
		    kt_ops[i].op == KVBM_OP_WATCH)
			max = KVBM_MAX_WATCHED;
		if (kt_ops[i].op == KVBM_OP_OFFER)
			max = KVBM_MAX_OFFERED;
		/* It has none. */
		if (kt_ops[i].op == KVBM_OP_WITHDRAW)
			continue;
		/* An allocation cannot be larger than the store. */
		if (!kt_ops[i].data || kt_ops[i].op == KVBM_OP_ALLOC)
			continue;
		plain_session(r, self->a);
		self->a->words[2] = max + 1;
		EXPECT_EQ(-EINVAL, call(self->session, r, self->a)) {
			TH_LOG("%s", r->name);
		}
		plain_session(r, self->a);
		self->a->words[2] = ~0U;
		EXPECT_EQ(-EINVAL, call(self->session, r, self->a)) {
			TH_LOG("%s", r->name);
		}
		/* There is no offer. */
		if (kt_ops[i].op == KVBM_OP_ACCEPT)
			continue;
		/* The limit itself is no more than a bad pointer here. */
		plain_session(r, self->a);
		self->a->words[2] = max;
		EXPECT_EQ(-EFAULT, call(self->session, r, self->a)) {
			TH_LOG("%s", r->name);
		}
		EXPECT_EQ(0, self->a->words[3]) {
			TH_LOG("%s says it did %u", r->name, self->a->words[3]);
		}
	}
	plain_session(find(KVBM_OP_ALLOC), self->a);
	self->a->alloc.count = 5;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	self->a->alloc.count = ~0U;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_ALLOC, self->a));
	kt_check(self->session);
}

TEST_F(abi, features)
{
	struct kvbm_features f;
	int i;

	for (i = 0; i < 2; i++) {
		kt_poison(f);
		ASSERT_EQ(0, kvbm_features(i ? self->session : self->control,
					   &f));
		EXPECT_EQ(KVBM_FEATURE_STORE | KVBM_FEATURE_WAIT |
			  KVBM_FEATURE_URING | KVBM_FEATURE_REVOKE |
			  KVBM_FEATURE_PAYLOAD | KVBM_FEATURE_LINGER |
			  KVBM_FEATURE_EXPORT | KVBM_FEATURE_EVENTS |
			  KVBM_FEATURE_CLAIMS | KVBM_FEATURE_INVALIDATE |
			  KVBM_FEATURE_OFFERS | KVBM_FEATURE_RETENTION |
			  KVBM_FEATURE_NOTES,
			  f.features);
		EXPECT_EQ(KVBM_MAX_BLOCKS, f.max_blocks);
		EXPECT_EQ(KVBM_MAX_BATCH, f.max_batch);
		EXPECT_EQ(KVBM_MAX_HOLDS, f.max_holds);
		EXPECT_EQ(KVBM_CHUNK, f.chunk);
		EXPECT_EQ(1U << 20, f.max_block_size);
		EXPECT_EQ(0, f.reserved32);
		EXPECT_EQ(0, f.reserved[0]);
		EXPECT_EQ(0, f.reserved[1]);
	}
}

/* Listings: buffers of every size, and no entry written past the end. */
TEST_F(abi, listings)
{
	struct kvbm_session_entry list[64];
	struct kvbm_store_entry stores[8];
	int fds[40], i, n;
	uint32_t total;

	for (i = 0; i < 40; i++)
		fds[i] = kvbm_session_open(self->session);
	ASSERT_GE(fds[39], 0);
	for (n = 0; n <= 64; n++) {
		kt_poison(list);
		total = KT_POISON;
		EXPECT_EQ(n < 41 ? n : 41,
			  kvbm_session_list(self->session, n, list, &total));
		EXPECT_EQ(41, total);
		if (n < 41)
			EXPECT_EQ(KT_POISON, list[n].held);
	}
	for (i = 0; i < 40; i++)
		close(fds[i]);
	kt_poison(stores);
	EXPECT_EQ(1, kvbm_store_list(self->control, 1, stores, &total));
	EXPECT_GE(total, 1);
	EXPECT_EQ(KT_POISON, stores[1].mode);
	EXPECT_EQ(0, kvbm_store_list(self->control, 0, NULL, &total));
	EXPECT_GE(total, 1);
	EXPECT_EQ(-EFAULT, kvbm_store_list(self->control, 1, NULL, &total));
	EXPECT_EQ(-EFAULT, kvbm_session_list(self->session, 1, NULL, &total));
}

/* Entries of any size: fields that fit are written, unknown ones are zero. */
TEST_F(abi, entry_sizes)
{
	static unsigned char room[2 * 4096 + 8];
	struct kvbm_store_entry *e = (void *)room;
	struct kvbm_store_list l;
	unsigned int size, at;

	for (size = 0; size <= 4096 + 8; size += 4) {
		l = (struct kvbm_store_list) {
			.size = sizeof(l), .count = 1, .entry_size = size,
			.entries = (uintptr_t)room,
		};
		memset(room, 0xa5, sizeof(room));
		if (!size || size % 8 || size > 4096) {
			EXPECT_EQ(-EINVAL, kt_ioctl(self->control,
						    KVBM_IOC_STORE_LIST, &l)) {
				TH_LOG("size %u", size);
			}
			continue;
		}
		ASSERT_EQ(0, kt_ioctl(self->control, KVBM_IOC_STORE_LIST, &l));
		EXPECT_EQ(1, l.done);
		EXPECT_EQ(store_id, e->store_id);
		if (size >= sizeof(*e))
			EXPECT_EQ(4, e->total_blocks);
		for (at = sizeof(*e); at < size; at++)
			ASSERT_EQ(0, room[at]);
		ASSERT_EQ(0xa5, room[size]);
	}
}

/* In parts: all of them, none twice, while others come and go. */
TEST_F(abi, cursors)
{
	struct kvbm_session_entry e[5];
	uint64_t cursor = 0, last = 0, first = kt_session_id(self->session);
	int fds[60], i, n, seen = 0;
	uint32_t total;

	for (i = 0; i < 60; i++)
		fds[i] = kvbm_session_open(self->session);
	ASSERT_GE(fds[59], 0);
	do {
		n = kvbm_session_list_of(self->session, NULL, &cursor, 5, e,
					 &total);
		ASSERT_GE(n, 0);
		for (i = 0; i < n; i++) {
			EXPECT_GT(e[i].session_id, last);
			last = e[i].session_id;
			seen += last <= first + 60;
		}
		/* One that was listed goes, one comes. */
		if (seen < 60) {
			close(fds[seen - 2]);
			fds[seen - 2] = kvbm_session_open(self->session);
		}
	} while (n == 5);
	EXPECT_EQ(61, seen);
	EXPECT_EQ(61, total);
	EXPECT_EQ(0, kvbm_session_list_of(self->session, NULL, &cursor, 5, e,
					  NULL));
	for (i = 0; i < 60; i++)
		close(fds[i]);
	cursor = ~0ULL;
	EXPECT_EQ(0, kvbm_session_list_of(self->session, NULL, &cursor, 5, e,
					  NULL));
	EXPECT_EQ(-EFAULT, kvbm_session_list_of(self->session, NULL,
						&(uint64_t){ 0 }, 5, NULL,
						NULL));
}

/* Which store: exactly one way to say it. */
TEST_F(abi, selectors)
{
	struct kvbm_counts c = { .size = sizeof(c) };

	EXPECT_EQ(-EINVAL, kt_ioctl(self->control, KVBM_IOC_COUNTS, &c));
	c.store_id = store_id;
	EXPECT_EQ(0, kt_ioctl(self->control, KVBM_IOC_COUNTS, &c));
	EXPECT_EQ(4, c.total);
	strcpy(c.name, "pool");
	EXPECT_EQ(-EINVAL, kt_ioctl(self->control, KVBM_IOC_COUNTS, &c));
	c.store_id = 0;
	EXPECT_EQ(-ENOENT, kt_ioctl(self->control, KVBM_IOC_COUNTS, &c));
	c.name[KVBM_NAME_LEN - 1] = 'x';
	EXPECT_EQ(-EINVAL, kt_ioctl(self->control, KVBM_IOC_COUNTS, &c));
	memset(c.name, 0, sizeof(c.name));
	c.store_id = store_id + 1;
	EXPECT_EQ(-ENOENT, kt_ioctl(self->control, KVBM_IOC_COUNTS, &c));
	/* A session has its store. */
	c.store_id = store_id;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_COUNTS, &c));
	c.store_id = 0;
	c.name[5] = 'x';
	EXPECT_EQ(-EINVAL, kt_ioctl(self->session, KVBM_IOC_COUNTS, &c));
	c.name[5] = 0;
	EXPECT_EQ(0, kt_ioctl(self->session, KVBM_IOC_COUNTS, &c));
	EXPECT_EQ(store_id, c.store_id);
}

TEST_HARNESS_MAIN
