// SPDX-License-Identifier: MIT
/*
 * Every fault once: each request, each io_uring command, open, creation and
 * close is repeated with its first, second, ... point of failure failing (an
 * allocation, an access to user memory), until it goes through without.  Each
 * time the errno must be a documented one.  The store's counts and blocks must
 * be those of before, or those of success, or (EFAULT) those of success with
 * what was taken given back.
 */
#include <liburing.h>
#include <kvbm_uring.h>
#include "torture.h"

#define TOTAL		160
#define NOTE		100		/* bytes of a block's note */
#define MANY		100		/* more than a chunk */
#define NAME		"failnth"
#define MAX_POINTS	4000
#define LARGE		(1 << 16)	/* blocks */

static int nth_fd = -1;
static unsigned long injected;
static int watcher;
static int control;
static int memory;		/* a file for payloads */
static struct io_uring ring;
static bool have_ring;
static struct kvbm_hash h[TOTAL];
static unsigned int left_nodes;

struct ctx {
	int ses;
	int out_fd;			/* a descriptor the operation made */
	bool by_ring;
	uint32_t n;
	const char *policy;
	uint32_t ids[TOTAL];
	struct kvbm_hash hashes[TOTAL];
	struct kvbm_evicted evicted[TOTAL];
	struct kvbm_registered res[TOTAL];
	struct kvbm_weak weaks[TOTAL];
	uint8_t bytes[TOTAL];
	uint8_t notes[TOTAL * NOTE];
	struct kvbm_export_entry entries[TOTAL];
	uint64_t number;
	struct kvbm_session_entry list[4];
	struct kvbm_store_entry stores[4];
	struct kvbm_store_create create;
	struct kvbm_ticket ticket;
	struct kvbm_hold_entry held[4];
	struct kvbm_event events[64];
};

/* The store's state, as far as it is numbers. */
struct books {
	uint32_t reset, inactive, registered;
	uint64_t mutables, immutable, staged, sessions;
};

static struct books books(void)
{
	struct kvbm_counts c = kt_counts(watcher);
	struct kvbm_stats s = kt_stats(watcher);

	return (struct books) { c.reset, c.inactive, c.registered,
				s.inflight_mutable, s.inflight_immutable,
				s.staged, s.sessions };
}

static bool same_books(const struct books *a, const struct books *b)
{
	return a->reset == b->reset && a->inactive == b->inactive &&
	       a->registered == b->registered && a->mutables == b->mutables &&
	       a->immutable == b->immutable && a->staged == b->staged &&
	       a->sessions == b->sessions;
}

/* Faults */

static int knob(const char *dir, const char *file, const char *value)
{
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, file);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static bool faults_possible(void)
{
	static const char *const dirs[] = {
		"failslab", "fail_page_alloc", "fail_usercopy",
	};
	unsigned int i;

	nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		return false;
	for (i = 0; i < 3; i++) {
		knob(dirs[i], "verbose", "0");
		knob(dirs[i], "task-filter", "N");
	}
	/* Allocations that may sleep fail, too, and so do single pages. */
	return !knob("failslab", "ignore-gfp-wait", "N") &&
	       !knob("fail_page_alloc", "ignore-gfp-wait", "N") &&
	       !knob("fail_page_alloc", "min-order", "0") &&
	       access("/sys/kernel/debug/fail_usercopy", F_OK) == 0;
}

static void arm(unsigned int n)
{
	char buf[16];
	int len = snprintf(buf, sizeof(buf), "%u", n);

	if (pwrite(nth_fd, buf, len, 0) != len) {
		printf("# cannot write fail-nth: %d\n", errno);
		exit(1);
	}
}

/* Did the fault come?  The reading has points of failure of its own. */
static bool disarm(void)
{
	char buf[16] = {};
	bool hit;

	if (pread(nth_fd, buf, sizeof(buf) - 1, 0) < 0)
		hit = false;
	else
		hit = atoi(buf) == 0;
	while (pwrite(nth_fd, "0", 1, 0) != 1)
		;
	return hit;
}

/* The setup of an operation, on a session of its own. */

static int with_nothing(struct ctx *x)
{
	return 0;
}

static int with_mutable(struct ctx *x)
{
	return kvbm_alloc(x->ses, x->n, x->ids, NULL, NULL);
}

static int with_staged(struct ctx *x)
{
	return with_mutable(x) < 0 ? -1 :
	       kvbm_stage(x->ses, x->n, x->ids, h, NULL, NULL);
}

static int with_held(struct ctx *x)
{
	return kt_fill(x->ses, x->n, h, x->ids);
}

/* By another session: the operation's own has no memory for holds yet. */
static int idle(struct ctx *x, uint32_t n)
{
	int fd = kvbm_session_open(watcher);
	int ret = fd < 0 ? fd : kt_idle(fd, n, h, x->ids);

	close(fd);
	return ret;
}

static int with_idle(struct ctx *x)
{
	return idle(x, x->n);
}

/* All idle: an allocation evicts. */
static int with_full(struct ctx *x)
{
	return idle(x, TOTAL);
}

static int with_weaks(struct ctx *x)
{
	int i, ret = idle(x, x->n);

	for (i = 0; ret >= 0 && i < x->n; i++) {
		struct kvbm_block_info info = kt_info(watcher, x->ids[i]);

		x->weaks[i] = (struct kvbm_weak) { x->ids[i], info.generation,
						   info.hash };
	}
	return ret;
}

static int with_other(struct ctx *x)
{
	int ret = with_held(x);

	x->out_fd = kvbm_session_open(x->ses);
	x->number = kt_session_id(x->ses);
	return x->out_fd < 0 ? x->out_fd : ret;
}

static int with_named(struct ctx *x)
{
	struct kvbm_store_create c;

	kvbm_store_create_init(&c, NAME, TOTAL);
	return kvbm_store_create(control, &c);
}

static int with_named_open(struct ctx *x)
{
	int ret = with_named(x);

	if (ret < 0)
		return ret;
	x->out_fd = kvbm_open(NAME);
	return x->out_fd < 0 ? x->out_fd :
	       kt_fill(x->out_fd, x->n, h, x->ids);
}

static int with_create(struct ctx *x)
{
	kvbm_store_create_init(&x->create, NAME, TOTAL);
	strcpy(x->create.policy, x->policy);
	x->create.freq_capacity = 512;
	return 0;
}

static int with_create_notes(struct ctx *x)
{
	with_create(x);
	x->create.note_bytes = NOTE;
	return 0;
}

/* All that a store can have, so that all of it is allocated. */
static int with_create_whole(struct ctx *x)
{
	with_create(x);
	x->create.flags = KVBM_CREATE_PAYLOAD | KVBM_CREATE_RETENTION;
	x->create.payload_fd = memory;
	x->create.block_bytes = KVBM_MIN_BLOCK_BYTES;
	x->create.linger_ms = 1;
	x->create.event_records = 64;
	x->create.note_bytes = NOTE;
	return 0;
}

static int with_create_whole_anon(struct ctx *x)
{
	with_create_whole(x);
	memset(x->create.name, 0, sizeof(x->create.name));
	return 0;
}

static int with_claim(struct ctx *x)
{
	int ret = with_mutable(x);

	if (ret < 0)
		return ret;
	/* Another session computes what this one waits for. */
	x->out_fd = x->ses;
	ret = kvbm_claim(x->ses, x->n, x->ids, h, x->bytes, NULL);
	x->ses = kvbm_session_open(watcher);
	return x->ses < 0 ? x->ses : ret;
}

static int with_offer(struct ctx *x)
{
	int ret = with_held(x);

	return ret < 0 ? ret : kvbm_offer(x->ses, x->n, x->ids, &x->ticket);
}

static int with_offer_of_others(struct ctx *x)
{
	int ret = with_offer(x);

	x->out_fd = x->ses;
	x->ses = kvbm_session_open(watcher);
	return x->ses < 0 ? x->ses : ret;
}

static int with_held_and_other(struct ctx *x)
{
	int ret = with_held(x);

	x->out_fd = kvbm_session_open(watcher);
	return x->out_fd < 0 ? x->out_fd : ret;
}

static int with_events(struct ctx *x)
{
	struct kvbm_events e = {
		.size = sizeof(e),
		.flags = KVBM_EVENTS_NONBLOCK | KVBM_EVENTS_NOTES,
	};
	int ret = kt_ioctl(watcher, KVBM_IOC_EVENTS, &e);

	x->out_fd = ret < 0 ? -1 : e.fd;
	return ret < 0 ? ret : with_idle(x);
}

static int with_create_anon(struct ctx *x)
{
	with_create(x);
	memset(x->create.name, 0, sizeof(x->create.name));
	return 0;
}

/* The operations.  Nothing but one system call, for all that can fail. */

static long data(struct ctx *x, unsigned int op, void *args, uint32_t size)
{
	struct io_uring_cqe *cqe;
	int ret;

	if (!x->by_ring)
		return kt_ioctl(x->ses, KVBM_IO(op), args);
	kvbm_prep_op(io_uring_get_sqe(&ring), x->ses, op, args, size);
	ret = io_uring_submit(&ring);
	if (ret < 1) {
		/* It was not accepted: the fault was the ring's. */
		disarm();
		injected++;
		if (io_uring_submit(&ring) < 1)
			return -EBADE;
	}
	ret = io_uring_wait_cqe(&ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return ret;
}

#define DATA(op, a) data(x, KVBM_OP_##op, &(a), sizeof(a))

static long op_alloc(struct ctx *x)
{
	struct kvbm_alloc a;

	kvbm_args_alloc(&a, 0, x->n, x->ids, x->evicted, 0);
	return DATA(ALLOC, a);
}

static long op_alloc_wait(struct ctx *x)
{
	struct kvbm_alloc a;

	kvbm_args_alloc(&a, KVBM_ALLOC_WAIT, TOTAL, x->ids, NULL,
			kt_now() + 2000000);
	return DATA(ALLOC, a);
}

static long op_stage(struct ctx *x)
{
	struct kvbm_stage a;

	kvbm_args_stage(&a, x->n, x->ids, h, NULL);
	return DATA(STAGE, a);
}

static long op_stage_notes(struct ctx *x)
{
	struct kvbm_stage a;

	kvbm_args_stage(&a, x->n, x->ids, h, NULL);
	a.notes = kvbm_args_ptr(x->notes);
	return DATA(STAGE, a);
}

static long op_claim_notes(struct ctx *x)
{
	struct kvbm_stage a;

	kvbm_args_stage(&a, x->n, x->ids, h, NULL);
	a.flags = KVBM_STAGE_CLAIM;
	a.states = kvbm_args_ptr(x->bytes);
	a.notes = kvbm_args_ptr(x->notes);
	return DATA(STAGE, a);
}

static long ids_op(struct ctx *x, unsigned int op)
{
	struct kvbm_ids a;

	kvbm_args_ids(&a, 0, x->n, x->ids);
	return data(x, op, &a, sizeof(a));
}

static long op_unstage(struct ctx *x)
{
	return ids_op(x, KVBM_OP_UNSTAGE);
}

static long op_release(struct ctx *x)
{
	return ids_op(x, KVBM_OP_RELEASE);
}

static long op_retain(struct ctx *x)
{
	return ids_op(x, KVBM_OP_RETAIN);
}

static long op_set_reset(struct ctx *x)
{
	return ids_op(x, KVBM_OP_SET_RESET);
}

static long op_register(struct ctx *x)
{
	struct kvbm_register a;

	kvbm_args_register(&a, 0, x->n, x->ids, NULL, x->res);
	return DATA(REGISTER, a);
}

static long op_stage_register(struct ctx *x)
{
	struct kvbm_register a;

	kvbm_args_register(&a, 0, x->n, x->ids, h, x->res);
	return DATA(REGISTER, a);
}

static long op_register_notes(struct ctx *x)
{
	struct kvbm_register a;

	kvbm_args_register(&a, 0, x->n, x->ids, h, x->res);
	a.notes = kvbm_args_ptr(x->notes);
	return DATA(REGISTER, a);
}

static long op_match_notes(struct ctx *x)
{
	struct kvbm_match a;

	kvbm_args_match(&a, 0, x->n, h, x->ids);
	a.notes = kvbm_args_ptr(x->notes);
	return DATA(MATCH, a);
}

static long op_scan_notes(struct ctx *x)
{
	struct kvbm_match a;

	kvbm_args_match(&a, 0, x->n, h, x->ids);
	a.notes = kvbm_args_ptr(x->notes);
	return DATA(SCAN, a);
}

static long op_match(struct ctx *x)
{
	struct kvbm_match a;

	kvbm_args_match(&a, 0, x->n, h, x->ids);
	return DATA(MATCH, a);
}

static long op_scan(struct ctx *x)
{
	struct kvbm_match a;

	kvbm_args_match(&a, KVBM_SCAN_TOUCH, x->n, h, x->ids);
	return DATA(SCAN, a);
}

static long op_upgrade(struct ctx *x)
{
	struct kvbm_upgrade a;

	kvbm_args_upgrade(&a, x->n, x->weaks, x->ids);
	return DATA(UPGRADE, a);
}

static long query_op(struct ctx *x, unsigned int op)
{
	struct kvbm_query a;

	kvbm_args_query(&a, x->n, h, op == KVBM_OP_TOUCH ? NULL : x->bytes);
	return data(x, op, &a, sizeof(a));
}

static long op_presence(struct ctx *x)
{
	return query_op(x, KVBM_OP_PRESENCE);
}

static long op_frequency(struct ctx *x)
{
	return query_op(x, KVBM_OP_FREQUENCY);
}

static long op_touch(struct ctx *x)
{
	return query_op(x, KVBM_OP_TOUCH);
}

static long op_keep(struct ctx *x)
{
	struct kvbm_keep a;

	kvbm_args_keep(&a, x->n, NULL, h, KVBM_RANK_KEEP, 0);
	a.results = kvbm_args_ptr(x->bytes);
	return DATA(KEEP, a);
}

static long op_wait(struct ctx *x)
{
	struct kvbm_wait a;

	kvbm_args_wait(&a, x->n, h, kt_now() + 2000000);
	return DATA(WAIT, a);
}

static long op_watch(struct ctx *x)
{
	struct kvbm_watch a;

	kvbm_args_watch(&a, x->n, h, x->bytes);
	return DATA(WATCH, a);
}

static long op_offer(struct ctx *x)
{
	struct kvbm_offer a;

	kvbm_args_offer(&a, x->n, x->ids);
	return DATA(OFFER, a);
}

static long op_offer_direct(struct ctx *x)
{
	struct kvbm_offer a;

	kvbm_args_offer(&a, x->n, x->ids);
	a.flags = KVBM_OFFER_DIRECT;
	a.fd = x->out_fd;
	return DATA(OFFER, a);
}

static long op_accept(struct ctx *x)
{
	struct kvbm_accept a;

	kvbm_args_accept(&a, &x->ticket, x->n, x->ids);
	return DATA(ACCEPT, a);
}

static long op_withdraw(struct ctx *x)
{
	struct kvbm_withdraw a;

	kvbm_args_withdraw(&a, &x->ticket);
	return DATA(WITHDRAW, a);
}

#define SIMPLE(fn, where, type, ioc, ...)				\
static long op_##fn(struct ctx *x)					\
{									\
	struct type a = { .size = sizeof(a), ##__VA_ARGS__ };		\
									\
	return kt_ioctl(where, KVBM_IOC_##ioc, &a);			\
}

SIMPLE(features, x->ses, kvbm_features, FEATURES)
SIMPLE(features_control, control, kvbm_features, FEATURES)
SIMPLE(counts, x->ses, kvbm_counts, COUNTS)
SIMPLE(stats, x->ses, kvbm_stats, STATS)
SIMPLE(info, x->ses, kvbm_store_info, STORE_INFO)
SIMPLE(block_info, x->ses, kvbm_block_info, BLOCK_INFO)
SIMPLE(block_note, x->ses, kvbm_block_info, BLOCK_INFO, .block = x->ids[0],
       .note = kvbm_args_ptr(x->notes))
SIMPLE(export, x->ses, kvbm_export, EXPORT, .count = TOTAL,
       .entry_size = sizeof(x->entries[0]),
       .entries = kvbm_args_ptr(x->entries))
SIMPLE(export_notes, x->ses, kvbm_export, EXPORT, .count = TOTAL,
       .entry_size = sizeof(x->entries[0]),
       .entries = kvbm_args_ptr(x->entries),
       .notes = kvbm_args_ptr(x->notes))
SIMPLE(config, x->ses, kvbm_session_config, SESSION_CONFIG, .low_watermark = 3)
SIMPLE(reset_inactive, x->ses, kvbm_reset_inactive, RESET_INACTIVE)
SIMPLE(revoke, x->out_fd, kvbm_session_revoke, SESSION_REVOKE,
       .session_id = x->number)
SIMPLE(session_list, x->ses, kvbm_session_list, SESSION_LIST, .count = 4,
       .entry_size = sizeof(x->list[0]),
       .entries = kvbm_args_ptr(x->list))
SIMPLE(store_list, control, kvbm_store_list, STORE_LIST, .count = 4,
       .entry_size = sizeof(x->stores[0]),
       .entries = kvbm_args_ptr(x->stores))
SIMPLE(destroy, control, kvbm_store_destroy, STORE_DESTROY,
       .flags = KVBM_DESTROY_FORCE, .name = NAME)

SIMPLE(holds, x->ses, kvbm_holds, HOLDS, .count = 4,
       .entry_size = sizeof(x->held[0]), .entries = kvbm_args_ptr(x->held))
SIMPLE(invalidate, x->ses, kvbm_invalidate, INVALIDATE, .count = x->n,
       .hashes = kvbm_args_ptr(h))
SIMPLE(invalidate_prefix, x->ses, kvbm_invalidate, INVALIDATE,
       .flags = KVBM_INVALIDATE_PREFIX, .count = x->n,
       .hashes = kvbm_args_ptr(h))
SIMPLE(invalidate_all, x->ses, kvbm_invalidate, INVALIDATE,
       .flags = KVBM_INVALIDATE_ALL)
SIMPLE(access, control, kvbm_store_access, STORE_ACCESS,
       .flags = KVBM_ACCESS_MODE, .mode = 0640, .name = NAME)

static long op_payload(struct ctx *x)
{
	struct kvbm_payload a = { .size = sizeof(a), .flags = KVBM_PAYLOAD_FD };
	long ret = kt_ioctl(x->ses, KVBM_IOC_PAYLOAD, &a);

	if (ret >= 0)
		x->out_fd = a.fd;
	return ret;
}

static long op_events(struct ctx *x)
{
	struct kvbm_events a = { .size = sizeof(a), .flags = KVBM_EVENTS_NOTES };
	long ret = kt_ioctl(x->ses, KVBM_IOC_EVENTS, &a);

	if (ret >= 0)
		x->out_fd = a.fd;
	return ret;
}

static long op_read_events(struct ctx *x)
{
	long ret = read(x->out_fd, x->events, sizeof(x->events));

	return ret < 0 ? -errno : ret;
}

static long op_session_open(struct ctx *x)
{
	struct kvbm_session_open a = { .size = sizeof(a) };
	long ret = kt_ioctl(x->ses, KVBM_IOC_SESSION_OPEN, &a);

	if (ret >= 0)
		x->out_fd = a.fd;
	return ret;
}

static long op_open(struct ctx *x)
{
	int fd = open(KVBM_DEV_DIR "/" NAME, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	x->out_fd = fd;
	return 0;
}

static long op_open_control(struct ctx *x)
{
	int fd = open(KVBM_CONTROL_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	x->out_fd = fd;
	return 0;
}

static long op_create(struct ctx *x)
{
	long ret = kt_ioctl(control, KVBM_IOC_STORE_CREATE, &x->create);

	if (ret >= 0 && !x->create.name[0])
		x->out_fd = x->create.fd;
	return ret;
}

static long op_close(struct ctx *x)
{
	int fd = x->ses;

	x->ses = -1;
	return close(fd) ? -errno : 0;
}

#define CREATED		1	/* leaves or needs a named store */
#define RING		2	/* goes by io_uring, too */

static const struct op {
	const char *name;
	int (*with)(struct ctx *x);
	long (*op)(struct ctx *x);
	unsigned int flags;
	const char *policy;
} ops[] = {
	{ "alloc", with_nothing, op_alloc, RING },
	{ "alloc-evicting", with_full, op_alloc, RING },
	{ "alloc-wait", with_mutable, op_alloc_wait, RING },
	{ "stage", with_mutable, op_stage, RING },
	{ "stage-notes", with_mutable, op_stage_notes, RING },
	{ "claim-notes", with_mutable, op_claim_notes, RING },
	{ "unstage", with_staged, op_unstage, RING },
	{ "register", with_staged, op_register, RING },
	{ "stage-register", with_mutable, op_stage_register, RING },
	{ "register-notes", with_mutable, op_register_notes, RING },
	{ "match", with_idle, op_match, RING },
	{ "match-notes", with_idle, op_match_notes, RING },
	{ "scan", with_idle, op_scan, RING },
	{ "scan-notes", with_idle, op_scan_notes, RING },
	{ "release", with_held, op_release, RING },
	{ "release-mutable", with_mutable, op_release, RING },
	{ "retain", with_held, op_retain, RING },
	{ "set-reset", with_held, op_set_reset, RING },
	{ "upgrade", with_weaks, op_upgrade, RING },
	{ "presence", with_idle, op_presence, RING },
	{ "frequency", with_nothing, op_frequency, RING },
	{ "touch", with_nothing, op_touch, RING },
	{ "keep", with_idle, op_keep, RING },
	{ "wait", with_claim, op_wait, RING },
	{ "watch", with_claim, op_watch, RING },
	{ "offer", with_held, op_offer, RING },
	{ "offer-direct", with_held_and_other, op_offer_direct, RING },
	{ "accept", with_offer_of_others, op_accept, RING },
	{ "withdraw", with_offer, op_withdraw, RING },
	{ "close-holding", with_held, op_close },
	{ "close-offering", with_offer, op_close },
	{ "holds", with_held, op_holds },
	{ "invalidate", with_idle, op_invalidate },
	{ "invalidate-prefix", with_idle, op_invalidate_prefix },
	{ "invalidate-all", with_idle, op_invalidate_all },
	{ "payload", with_nothing, op_payload },
	{ "events", with_nothing, op_events },
	{ "read-events", with_events, op_read_events },
	{ "features", with_nothing, op_features },
	{ "features-control", with_nothing, op_features_control },
	{ "counts", with_nothing, op_counts },
	{ "stats", with_nothing, op_stats },
	{ "info", with_nothing, op_info },
	{ "block-info", with_held, op_block_info },
	{ "block-note", with_held, op_block_note },
	{ "export", with_idle, op_export },
	{ "export-notes", with_idle, op_export_notes },
	{ "config", with_nothing, op_config },
	{ "reset-inactive", with_idle, op_reset_inactive },
	{ "session-list", with_nothing, op_session_list },
	{ "session-open", with_nothing, op_session_open },
	{ "revoke", with_other, op_revoke },
	{ "store-list", with_nothing, op_store_list },
	{ "open", with_named, op_open, CREATED },
	{ "open-control", with_nothing, op_open_control },
	{ "access", with_named, op_access, CREATED },
	{ "create-whole", with_create_whole, op_create, CREATED, "lineage_tick" },
	{ "create-whole-anonymous", with_create_whole_anon, op_create, 0,
	  "lineage_tick" },
	{ "destroy", with_named, op_destroy, CREATED },
	{ "destroy-forced", with_named_open, op_destroy, CREATED },
	{ "create-notes", with_create_notes, op_create, CREATED, "lru" },
#define KVBM_POLICY(p)							\
	{ "create-" #p, with_create, op_create, CREATED, #p },		\
	{ "create-anonymous-" #p, with_create_anon, op_create, 0, #p },
#include "policies.def"
};

#define N_OPS	(sizeof(ops) / sizeof(ops[0]))

/* The number that the next descriptor would get: reveals lost ones. */
static int next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static uint32_t stores(void)
{
	uint32_t total = KT_POISON;

	kvbm_store_list(control, 0, NULL, &total);
	return total;
}

struct outcome {
	long ret;
	bool hit;
	struct books before, after, closed;
};

/* Once, with the n-th fault; 0: with none. */
static int once(const struct op *o, uint32_t n, bool by_ring, unsigned int nth,
		struct outcome *out)
{
	static struct ctx x;
	uint32_t had_stores = stores();
	int fd = next_fd(), ret;
	unsigned int i;

	memset(&x, 0, sizeof(x));
	x.out_fd = -1;
	x.n = n;
	x.by_ring = by_ring;
	x.policy = o->policy;
	x.ses = kvbm_session_open(watcher);
	ret = x.ses < 0 ? x.ses : o->with(&x);
	if (ret < 0) {
		printf("# %s: cannot be prepared: %d\n", o->name, ret);
		close(x.ses);
		close(x.out_fd);
		kt_destroy(NAME, KVBM_DESTROY_FORCE);
		return ret;
	}
	out->before = books();
	if (nth)
		arm(nth);
	out->ret = o->op(&x);
	out->hit = nth && disarm();
	out->after = books();
	if (x.ses >= 0)
		close(x.ses);
	if (x.out_fd >= 0)
		close(x.out_fd);
	out->closed = books();
	if (o->flags & CREATED) {
		for (i = 0; i < 2; i++)
			ret = kt_destroy(NAME, KVBM_DESTROY_FORCE);
		if (ret != -ENOENT)
			return -EBUSY;
		/*
		 * devtmpfs keeps the node when it gets no memory for its name;
		 * no driver learns of that.
		 */
		if (!unlink(KVBM_DEV_DIR "/" NAME))
			left_nodes++;
	}
	/* A ring's worker lets go of the file after the completion. */
	kt_until(kt_stats(watcher).sessions == 1);
	/* All must be as if nothing had been. */
	kvbm_reset_inactive(watcher, NULL, NULL);
	if (kt_counts(watcher).reset != TOTAL ||
	    kt_stats(watcher).sessions != 1 || stores() != had_stores ||
	    next_fd() != fd) {
		printf("# %s, fault %u: left over: %u of %d blocks, %llu sessions, %u stores (%u before), next descriptor %d (%d)\n",
		       o->name, nth, kt_counts(watcher).reset, TOTAL,
		       (unsigned long long)kt_stats(watcher).sessions,
		       stores(), had_stores, next_fd(), fd);
		return -EBUSY;
	}
	return 0;
}

static void print_books(const char *when, const struct books *b)
{
	printf("#   %s: reset %u inactive %u registered %u mutable %llu immutable %llu staged %llu sessions %llu\n",
	       when, b->reset, b->inactive, b->registered,
	       (unsigned long long)b->mutables,
	       (unsigned long long)b->immutable,
	       (unsigned long long)b->staged, (unsigned long long)b->sessions);
}

static bool fine(const struct op *o, uint32_t n, const struct outcome *x,
		 const struct outcome *well)
{
	if (x->ret == well->ret)
		return same_books(&x->after, &well->after);
	/* A command that a ring could not even begin may end with any errno. */
	if (x->ret != -ENOMEM && x->ret != -EFAULT &&
	    (x->ret < 0 || x->ret > well->ret))
		return false;
	/* In chunks, some of them may be done: that all comes back is seen. */
	if (n > 1)
		return o->op != op_alloc ||
		       x->after.mutables == x->before.mutables +
					    (x->ret > 0 ? x->ret : 0);
	if (same_books(&x->after, &x->before))
		return true;
	return x->ret == -EFAULT && (same_books(&x->after, &well->after) ||
				     same_books(&x->after, &well->closed) ||
				     (x->after.reset == well->closed.reset &&
				      x->after.inactive ==
				      well->closed.inactive));
}

static void sweep(const struct op *o, uint32_t n, bool by_ring)
{
	unsigned long had = injected;
	struct outcome well, x;
	unsigned int nth, failures = 0, enomem = 0, efault = 0;

	if (once(o, n, by_ring, 0, &well)) {
		failures++;
		goto out;
	}
	for (nth = 1; nth < MAX_POINTS && failures < 5; nth++) {
		if (once(o, n, by_ring, nth, &x))
			failures++;
		injected += x.hit;
		enomem += x.hit && x.ret == -ENOMEM;
		efault += x.hit && x.ret == -EFAULT;
		if (!fine(o, n, &x, &well)) {
			failures++;
			printf("# %s, fault %u (%s): returned %ld, else %ld\n",
			       o->name, nth, x.hit ? "hit" : "not hit", x.ret,
			       well.ret);
			print_books("before", &x.before);
			print_books("after", &x.after);
			print_books("well", &well.after);
		}
		if (!x.hit)
			break;
	}
	if (nth == MAX_POINTS)
		failures++;
out:
	/* Closing has nothing that could fail. */
	ksft_test_result(!failures && (injected > had || o->op == op_close),
			 "%s%s of %u: %lu faults, %u ENOMEM, %u EFAULT\n",
			 o->name, by_ring ? " by io_uring" : "", n,
			 injected - had, enomem, efault);
}

static uint64_t available_bytes(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

/* A large store with events, which goes at once. */
static long create_large(unsigned int nth, bool *hit, uint64_t *need)
{
	struct kvbm_store_create c;
	long ret;

	kvbm_store_create_init(&c, NULL, LARGE);
	c.event_records = 64;
	if (nth)
		arm(nth);
	ret = kt_ioctl(control, KVBM_IOC_STORE_CREATE, &c);
	*hit = nth && disarm();
	*need = c.need;
	if (ret >= 0)
		close(c.fd);
	return ret;
}

/*
 * Memory for stores is reserved before they are made.  Here a few more fit: when
 * a creation fails in its end, where all has been made, again and again, the next
 * one must succeed.  What has gone may come back a little later.
 */
static void reserves_nothing(void)
{
	uint64_t need, kept, few, ram = sysconf(_SC_PHYS_PAGES) * getpagesize();
	unsigned int last = 1, first, step, nth, i, failures = 0;
	size_t size;
	char *ballast;
	bool hit;

	do
		create_large(last *= 2, &hit, &need);
	while (hit);
	for (step = last / 2; step; step /= 2) {
		create_large(last - step, &hit, &need);
		last -= hit ? 0 : step;
	}
	first = last > 20 ? last - 20 : last;
	/* Memory that nobody gets, see fits() in module/user/dev.c. */
	kept = ram / 16;
	few = need * 5;
	size = available_bytes() - kept - few;
	ballast = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	for (nth = first; nth < last && !failures; nth++) {
		for (i = 0; i < 8; i++) {
			create_large(nth, &hit, &need);
			injected += hit;
		}
		failures = !kt_until(!create_large(0, &hit, &need));
	}
	munmap(ballast, size);
	printf("# points %u to %u of %u, %llu MiB of %llu\n", first, nth - 1,
	       last - 1, (unsigned long long)need >> 20,
	       (unsigned long long)few >> 20);
	ksft_test_result(ballast != MAP_FAILED && first < last && !failures,
			 "%s\n", "creation that fails reserves nothing");
}

/*
 * Some allocations are tried again at once, with the lock given up, so that one
 * fault does no harm.  Here two fail in succession, after ever more bytes.
 */
static void two_in_succession(void)
{
	unsigned int space, failures = 0, refused = 0, tried = 0;
	int me = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	uint32_t had_stores = stores();
	struct kvbm_store_create c;
	long ret = -1;

	knob("failslab", "task-filter", "Y");
	for (space = 0; space < 1 << 16; space += 64, tried++) {
		char text[16];

		kvbm_store_create_init(&c, NAME, TOTAL);
		snprintf(text, sizeof(text), "%u", space);
		knob("failslab", "space", text);
		knob("failslab", "times", "2");
		knob("failslab", "probability", "100");
		failures += pwrite(me, "1", 1, 0) != 1;
		ret = kt_ioctl(control, KVBM_IOC_STORE_CREATE, &c);
		failures += pwrite(me, "0", 1, 0) != 1;
		knob("failslab", "probability", "0");
		refused += ret < 0;
		/* Or else some did without what they could not have. */
		failures += ret < 0 && ret != -ENOMEM;
		kt_destroy(NAME, KVBM_DESTROY_FORCE);
		unlink(KVBM_DEV_DIR "/" NAME);
		failures += stores() != had_stores;
	}
	close(me);
	knob("failslab", "times", "-1");
	knob("failslab", "space", "0");
	knob("failslab", "task-filter", "N");
	printf("# %u of %u creations refused\n", refused, tried);
	ksft_test_result(!failures && refused > 10 && ret >= 0,
			 "creation with two faults in succession\n");
}

int main(int argc, char **argv)
{
	unsigned int i, plan = 0;
	struct wrongs w = { .where = "at the end" };

	setvbuf(stdout, NULL, _IOLBF, 4096);
	ksft_print_header();
	if (!faults_possible())
		ksft_exit_skip("this kernel injects no faults (fail-nth)\n");
	have_ring = !io_uring_queue_init(8, &ring, 0);
	control = kvbm_control_open();
	memory = memfd_create("failnth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory < 0 || ftruncate(memory, TOTAL * KVBM_MIN_BLOCK_BYTES) ||
	    fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL))
		ksft_exit_fail_msg("no payload\n");
	watcher = kt_store(TOTAL, .policy = "lineage_tick",
			   .freq_capacity = 4096, .event_records = 64,
			   .flags = KVBM_CREATE_PAYLOAD, .payload_fd = memory,
			   .block_bytes = KVBM_MIN_BLOCK_BYTES,
			   .note_bytes = NOTE);
	if (watcher < 0 || control < 0)
		ksft_exit_fail_msg("no store: %d\n", watcher);
	for (i = 0; i < TOTAL; i++)
		h[i] = prompt(i / 16, i % 16);
	for (i = 0; i < N_OPS; i++)
		plan += ops[i].flags & RING ? have_ring ? 3 : 2 : 1;
	ksft_set_plan(plan + 4);
	for (i = 0; i < N_OPS; i++) {
		sweep(&ops[i], 1, false);
		if (!(ops[i].flags & RING))
			continue;
		sweep(&ops[i], MANY, false);
		if (have_ring)
			sweep(&ops[i], 1, true);
	}
	two_in_succession();
	reserves_nothing();
	look(&w, watcher, h, TOTAL);
	for (i = 0, plan = 0; i < N_WRONG; i++)
		plan += w.n[i];
	printf("# failnth: %lu faults injected, %u nodes left behind by devtmpfs\n",
	       injected, left_nodes);
	ksft_test_result(!plan, "the store's books agree at the end\n");
	ksft_test_result(injected > 500, "faults were injected: %lu\n",
			 injected);
	ksft_finished();
}
