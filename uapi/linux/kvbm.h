/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * kvbm: a host-wide KV cache, managed by the kernel.
 *
 * Two kinds of descriptor take these ioctls:
 *
 *   the control device, /dev/kvbm/control, which creates, lists and destroys
 *   stores ("control" below), and
 *
 *   a session: one open file description of a store, from open(2) of
 *   /dev/kvbm/<name>, from the creation of an anonymous store or from
 *   KVBM_SESSION_OPEN.  All data operations work on sessions.
 *
 * Every structure begins with @size, which the caller sets to
 * sizeof(struct ...) as it knows it.  A structure shorter than the first
 * published one is -EINVAL; a longer one is accepted if the part that the kernel
 * does not know is zero, and is -E2BIG otherwise.  Unknown bits in @flags and
 * non-zero reserved fields are -EOPNOTSUPP.  An unknown request is -ENOTTY.
 *
 * Batches are arrays.  A batch is a sequence of atomic steps in the order
 * given.  If it stops at element k, the elements before k are done, nothing has
 * changed for k and the rest is skipped; @done is k and @error the errno, as
 * a positive number.  It returns k, a short count as from read(2), or the
 * negative errno if k is 0.  A batch that does not stop early returns @done, and
 * @error is 0.  Every other request returns 0.
 *
 * Errnos that any request can return: EFAULT (a bad pointer), EINVAL,
 * EOPNOTSUPP, E2BIG, ENOTTY as above, EINTR (a fatal signal ended a long
 * batch), ENODEV (the store was destroyed), ESHUTDOWN (the session was
 * revoked), EBADF (the descriptor is not open for writing, see below).  Each
 * request lists its further errnos.
 *
 * A descriptor that was not opened for writing takes FEATURES, STORE_LIST,
 * STORE_INFO, SESSION_LIST, SESSION_OPEN, COUNTS, STATS, BLOCK_INFO, HOLDS,
 * EXPORT, EVENTS, PRESENCE and FREQUENCY; everything else is EBADF, through
 * io_uring too.
 *
 * With a bad input pointer nothing of its chunk (at most KVBM_CHUNK elements)
 * changes.  With a bad output pointer the holds that its chunk took are released,
 * and the chunk does not count as done; evictions, registrations and counts stand.
 *
 * io_uring takes the same structures: see struct kvbm_uring_cmd.
 */
#ifndef _UAPI_LINUX_KVBM_H
#define _UAPI_LINUX_KVBM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KVBM_TYPE		0xBE

/* Limits */
#define KVBM_MAX_BLOCKS		(1U << 24)	/* of one store */
#define KVBM_MAX_BLOCK_SIZE	(1U << 20)	/* tokens in a block */
#define KVBM_MAX_BATCH		(1U << 24)	/* elements in one call */
#define KVBM_MAX_HOLDS		0x000fffffU	/* of one session on one block */
#define KVBM_MAX_DUPLICATES	1023U		/* of one hash, held by one session */
#define KVBM_CHUNK		64U		/* elements in one atomic step */
#define KVBM_MAX_TICKETS	64U		/* waiting calls and tickets of a session */
#define KVBM_MAX_CLAIMS		65536U		/* of one session */
#define KVBM_MAX_WATCHED	64U		/* hashes in one wait or watch */
#define KVBM_MAX_OFFERS		64U		/* open offers of one session */
#define KVBM_MAX_OFFERED	(1U << 18)	/* holds in all of them */
#define KVBM_NAME_LEN		32		/* with the final NUL */
#define KVBM_POLICY_LEN		16		/* with the final NUL */
#define KVBM_LABEL_LEN		64		/* with the final NUL */
#define KVBM_DIGEST_BYTES	32
#define KVBM_MAX_NOTE_BYTES	256U
#define KVBM_MIN_BLOCK_BYTES	4096U		/* blocks have a multiple of this */
#define KVBM_MAX_BLOCK_BYTES	(1U << 30)
#define KVBM_MAX_LINGER_MS	600000U
#define KVBM_WAIT_BUCKETS	24		/* of struct kvbm_stats */
#define KVBM_WAIT_SHIFT		12		/* the first is below 4096 ns */
#define KVBM_IDLE_BUCKETS	33		/* of struct kvbm_stats */
#define KVBM_IDLE_BUCKET_SHIFT	24		/* the first is below 17 ms */
#define KVBM_MIN_EVENT_RECORDS	64U
#define KVBM_MAX_EVENT_RECORDS	(1U << 20)
#define KVBM_MAX_READERS	64U		/* of the events of one store */
#define KVBM_FREQ_SMALL		(1U << 18)	/* the usual sketch capacities */
#define KVBM_FREQ_DEFAULT	(1U << 21)
#define KVBM_FREQ_LARGE		(1U << 24)

/* A block id that names no block. */
#define KVBM_NO_BLOCK		0xffffffffU

/* Request numbers, shared by ioctl (KVBM_IOC_*) and io_uring (cmd_op). */
enum kvbm_op {
	KVBM_OP_FEATURES = 0x00,
	/* control */
	KVBM_OP_STORE_CREATE = 0x01,
	KVBM_OP_STORE_DESTROY = 0x02,
	KVBM_OP_STORE_LIST = 0x03,
	KVBM_OP_STORE_ACCESS = 0x04,
	/*
	 * session: about the store and its sessions; control: all except
	 * SESSION_OPEN, SESSION_CONFIG, BLOCK_INFO, HOLDS and PAYLOAD
	 */
	KVBM_OP_STORE_INFO = 0x10,
	KVBM_OP_SESSION_OPEN = 0x11,
	KVBM_OP_SESSION_CONFIG = 0x12,
	KVBM_OP_SESSION_LIST = 0x13,
	KVBM_OP_SESSION_REVOKE = 0x14,
	KVBM_OP_COUNTS = 0x15,
	KVBM_OP_STATS = 0x16,
	KVBM_OP_BLOCK_INFO = 0x17,
	KVBM_OP_RESET_INACTIVE = 0x18,
	KVBM_OP_HOLDS = 0x19,
	KVBM_OP_PAYLOAD = 0x1a,
	KVBM_OP_EXPORT = 0x1b,
	KVBM_OP_EVENTS = 0x1d,
	KVBM_OP_INVALIDATE = 0x1e,
	/* session: data path, through io_uring too */
	KVBM_OP_ALLOC = 0x20,
	KVBM_OP_STAGE = 0x21,
	KVBM_OP_UNSTAGE = 0x22,
	KVBM_OP_REGISTER = 0x23,
	KVBM_OP_MATCH = 0x24,
	KVBM_OP_SCAN = 0x25,
	KVBM_OP_RELEASE = 0x26,
	KVBM_OP_RETAIN = 0x27,
	KVBM_OP_SET_RESET = 0x28,
	KVBM_OP_UPGRADE = 0x29,
	KVBM_OP_PRESENCE = 0x2a,
	KVBM_OP_FREQUENCY = 0x2b,
	KVBM_OP_TOUCH = 0x2c,
	KVBM_OP_WAIT = 0x2d,
	KVBM_OP_WATCH = 0x2e,
	KVBM_OP_KEEP = 0x2f,
	KVBM_OP_OFFER = 0x30,
	KVBM_OP_ACCEPT = 0x31,
	KVBM_OP_WITHDRAW = 0x32,
};

/**
 * struct kvbm_hash - a sequence hash: 128 bits naming a block's content and
 *	its whole prefix (Dynamo's PositionalLineageHash)
 * @hi: the upper 64 bits
 * @lo: the lower 64 bits
 *
 * From the top: mode (2 bits), position in blocks (8, 16 or 24 bits for mode
 * 0, 1, 2), the sequence hash of this block (64), the low bits of the
 * parent's sequence hash (54, 46 or 38).  The smallest mode that fits the
 * position is the valid one.
 */
struct kvbm_hash {
	__aligned_u64 hi;
	__aligned_u64 lo;
};

/**
 * struct kvbm_features - KVBM_IOC_FEATURES, on control and sessions
 * @size: sizeof(struct kvbm_features)
 * @flags: must be 0
 * @features: out: KVBM_FEATURE_* bits
 * @max_blocks: out: largest store, in blocks
 * @max_batch: out: most elements in one call
 * @max_holds: out: most holds of one session on one block
 * @chunk: out: most elements handled in one atomic step
 * @max_block_size: out: most tokens in a block
 * @reserved32: out: 0
 * @reserved: out: 0
 */
struct kvbm_features {
	__u32 size;
	__u32 flags;
	__aligned_u64 features;
	__u32 max_blocks;
	__u32 max_batch;
	__u32 max_holds;
	__u32 chunk;
	__u32 max_block_size;
	__u32 reserved32;
	__aligned_u64 reserved[2];
};

#define KVBM_FEATURE_STORE	(1ULL << 0)	/* everything of the first release */
#define KVBM_FEATURE_WAIT	(1ULL << 1)	/* KVBM_ALLOC_WAIT and poll */
#define KVBM_FEATURE_URING	(1ULL << 2)	/* the data path through io_uring */
#define KVBM_FEATURE_REVOKE	(1ULL << 3)	/* session list and revoke */
#define KVBM_FEATURE_PAYLOAD	(1ULL << 4)	/* a store's blocks can have bytes */
#define KVBM_FEATURE_LINGER	(1ULL << 5)	/* linger_ms */
#define KVBM_FEATURE_EXPORT	(1ULL << 6)	/* all registered blocks */
#define KVBM_FEATURE_EVENTS	(1ULL << 7)	/* event_records */
#define KVBM_FEATURE_INVALIDATE	(1ULL << 9)	/* KVBM_IOC_INVALIDATE */
#define KVBM_FEATURE_CLAIMS	(1ULL << 8)	/* KVBM_STAGE_CLAIM and related requests */
#define KVBM_FEATURE_RETENTION	(1ULL << 10)	/* KVBM_CREATE_RETENTION, KVBM_TOUCH_NEWEST */
#define KVBM_FEATURE_OFFERS	(1ULL << 11)	/* KVBM_IOC_OFFER and related requests */
#define KVBM_FEATURE_NOTES	(1ULL << 12)	/* note_bytes */

/*
 * Requests about a store carry @store_id and @name.  On a session @store_id is 0
 * and @name empty: the request is about the session's own store.  On control,
 * exactly one is given.  @store_id reaches every store, including anonymous ones
 * and destroyed ones that are still open; @name reaches /dev/kvbm/<name>.
 * Anything else is EINVAL.  ENOENT: there is no such store.
 */

/**
 * struct kvbm_store_create - KVBM_IOC_STORE_CREATE, on control
 * @size: sizeof(struct kvbm_store_create)
 * @flags: KVBM_CREATE_*
 * @total_blocks: blocks in the pool, 1 to KVBM_MAX_BLOCKS
 * @block_size: tokens in a block, 1 to KVBM_MAX_BLOCK_SIZE; 0 means 16
 * @policy: eviction policy: "fifo", "lru", "multi_lru", "lineage_tick" or
 *	"lineage_fifo"; empty means "lineage_tick"; "multi_lru" needs
 *	@freq_capacity.  With KVBM_CREATE_OPAQUE empty means "lru", and the
 *	lineage ones are EINVAL
 * @thresholds: of multi_lru: strictly ascending, first >= 1, last <= 15; all
 *	0 means 3, 8, 15; must be 0 for other policies
 * @mode: permissions of the store, within 0660; 0 means 0600
 * @freq_capacity: capacity of the frequency sketch; 0 means no tracking; at
 *	most KVBM_FREQ_LARGE
 * @uid: owner, in the caller's user namespace; -1 means the caller's
 *	effective uid
 * @gid: group, likewise
 * @monitor_gid: group that may read statistics, and nothing else; -1: none
 * @max_sessions: sessions that may be open at once; 0 means the module's limit
 * @max_held: blocks that one session may hold at once, including those that
 *	only its Duplicates keep alive; 0 means no limit
 * @rights: KVBM_RIGHT_*: what sessions may do that neither the owner nor an
 *	administrator opened
 * @fd: out: anonymous stores: the first session's descriptor (close-on-exec);
 *	-1 for named ones
 * @store_id: out: identity of the store: 64 random bits, never 0
 * @need: out, even if the call fails with ENOMEM or EDQUOT: most bytes of memory
 *	that the store takes
 * @name: name of the store, ``[a-z0-9][a-z0-9_.-]*``, NUL-padded; empty makes an
 *	anonymous store
 * @block_bytes: with KVBM_CREATE_PAYLOAD: bytes of a block, a multiple of
 *	KVBM_MIN_BLOCK_BYTES up to KVBM_MAX_BLOCK_BYTES; otherwise 0
 * @payload_fd: with KVBM_CREATE_PAYLOAD: the file with the bytes; otherwise 0
 * @linger_ms: how long after a session's end its Mutable and Staged blocks
 *	linger, 0 to KVBM_MAX_LINGER_MS; 0: they are free with its end
 * @digest: stands for everything that the blocks' bytes depend on besides the
 *	tokens: weights, layout, data types; all 0: not given.  Users compare it
 * @label: printable ASCII for people, NUL-padded, ends with NUL; may be empty
 * @note_bytes: bytes of a block's note, up to KVBM_MAX_NOTE_BYTES; 0: no notes.
 *	For each block the store takes them, rounded up to a multiple of 8, and 8
 *	more
 * @event_records: how many of its last events the store keeps for readers, 64
 *	bytes each: a power of two, KVBM_MIN_EVENT_RECORDS to
 *	KVBM_MAX_EVENT_RECORDS; 0: no events
 * @keep_blocks: with KVBM_CREATE_RETENTION: blocks that may have a rank above
 *	KVBM_RANK_NORMAL at once, at most @total_blocks; 0 means half of those.
 *	Otherwise 0
 * @keep_user_blocks: with KVBM_CREATE_RETENTION: how many of these one user may
 *	have raised who is neither owner nor administrator, at most
 *	@keep_blocks; 0 means half of those.  Otherwise 0
 * @reserved: must be 0
 *
 * A named store lives until it is destroyed; its node is /dev/kvbm/<name>.
 * An anonymous store lives as long as any of its sessions.
 *
 * The caller may set @uid, @gid and @monitor_gid as chown(2) would allow.  A
 * named store needs CAP_SYS_ADMIN or the group of the module's parameter
 * named_gid.  Fields that must be 0 are EOPNOTSUPP if they are not.
 *
 * A note is what users attach to a block: its parent, its tokens.  It is given
 * with the hash, to KVBM_IOC_STAGE or KVBM_IOC_REGISTER, and is zeroes otherwise.
 * It belongs to this one registration of the hash: while that lasts it does not
 * change, and no other registration shows it.  A registered hash keeps its note:
 * a note given with a Duplicate, or with a registration that returns the existing
 * block, is dropped.  The kernel does not look into it.  In a store without notes,
 * giving or asking for them is EINVAL.
 *
 * Lingering is for blocks whose bytes may be written after the process is gone,
 * as by io_uring with O_DIRECT.  Registered holds, and the session's place and
 * memory, are released at once.  A session may hold less than @max_held by what
 * lingers of its user's sessions that ended before it was opened.
 *
 * The payload is a memory file, open for reading and writing, of at least
 * @total_blocks * @block_bytes bytes: a memfd, with or without huge pages, sealed
 * with F_SEAL_SHRINK and F_SEAL_SEAL; or, with KVBM_CREATE_UNSEALED, any file of
 * tmpfs or hugetlbfs, which nobody must shorten: touching the missing part raises
 * SIGBUS.  Block id's bytes are at id * @block_bytes.  The store keeps the
 * file until it is freed, see KVBM_IOC_PAYLOAD.  The kernel neither maps nor
 * writes it.  Errnos, in this order: EINVAL (@block_bytes, or one of these
 * without KVBM_CREATE_PAYLOAD), EBADF (no such descriptor), EACCES (not open for
 * both), EINVAL (not a memory file), EPERM (not sealed), EACCES (sealed against
 * writing), EFBIG (too short).
 *
 * Errnos: EEXIST (name taken, maybe by a store under construction), EPERM
 * (owner or group not permitted, or no right to named stores), ENOMEM (the store
 * does not fit into memory), EDQUOT (the module's limits on stores and blocks,
 * or those of the user), EMFILE, ENFILE (no descriptor left), EINTR (killed
 * meanwhile), EINVAL.
 */
struct kvbm_store_create {
	__u32 size;
	__u32 flags;
	__u32 total_blocks;
	__u32 block_size;
	char policy[KVBM_POLICY_LEN];
	__u32 thresholds[3];
	__u32 mode;
	__u32 freq_capacity;
	__u32 uid;
	__u32 gid;
	__u32 monitor_gid;
	__u32 max_sessions;
	__u32 max_held;
	__u32 rights;
	__s32 fd;
	__aligned_u64 store_id;
	__aligned_u64 need;
	char name[KVBM_NAME_LEN];
	__aligned_u64 block_bytes;
	__s32 payload_fd;
	__u32 linger_ms;
	__u8 digest[KVBM_DIGEST_BYTES];
	char label[KVBM_LABEL_LEN];
	__u32 note_bytes;
	__u32 event_records;
	__u32 keep_blocks;
	__u32 keep_user_blocks;
	__aligned_u64 reserved[3];
};

#define KVBM_CREATE_REJECT	(1U << 0)	/* default duplicate policy: reject */
#define KVBM_CREATE_RESET	(1U << 1)	/* slots reset on last release by default */
#define KVBM_CREATE_OPAQUE	(1U << 2)	/* no lineage: mode 0, any other bits */
#define KVBM_CREATE_PAYLOAD	(1U << 3)	/* payload_fd and block_bytes are given */
#define KVBM_CREATE_UNSEALED	(1U << 4)	/* the file may have no seals */
#define KVBM_CREATE_RETENTION	(1U << 5)	/* blocks have ranks: KVBM_IOC_KEEP */

#define KVBM_RIGHT_RESET_INACTIVE (1U << 0)	/* KVBM_IOC_RESET_INACTIVE */
#define KVBM_RIGHT_SET_RESET	(1U << 1)	/* KVBM_IOC_SET_RESET */

/**
 * struct kvbm_store_destroy - KVBM_IOC_STORE_DESTROY, on control
 * @size: sizeof(struct kvbm_store_destroy)
 * @flags: KVBM_DESTROY_FORCE
 * @store_id: the store, or 0
 * @name: the store, or empty
 *
 * Needs the store's owner or CAP_SYS_ADMIN.  With sessions open (revoked ones do
 * not count) it fails with -EBUSY.  With force it first revokes every session
 * (their calls return -ENODEV) and releases all holds.  An anonymous store always
 * has sessions.  With force on a store that was destroyed before, it waits until
 * the store's sessions have lost everything they held.
 *
 * See KVBM_IOC_SESSION_REVOKE for what a revocation does not do.
 *
 * Errnos: ENOENT, EPERM, EBUSY, EINTR (killed while it waited).
 */
struct kvbm_store_destroy {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
};

#define KVBM_DESTROY_FORCE	(1U << 0)

/**
 * struct kvbm_store_access - KVBM_IOC_STORE_ACCESS, on control: change who may
 *	open and administer a store
 * @size: sizeof(struct kvbm_store_access)
 * @flags: KVBM_ACCESS_*: what to change
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @uid: with KVBM_ACCESS_UID: owner, in the caller's user namespace
 * @gid: with KVBM_ACCESS_GID: group
 * @mode: with KVBM_ACCESS_MODE: permissions, within 0660
 * @monitor_gid: with KVBM_ACCESS_MONITOR: group that may read statistics; -1:
 *	none
 * @reserved: must be 0
 *
 * Fields not selected by @flags must be 0.  Needs the store's owner or
 * CAP_SYS_ADMIN.  Setting another owner, or a group of which the caller is no
 * member, needs CAP_CHOWN.  Open sessions keep what they have.  The attributes in
 * sysfs change too; /dev/kvbm/<name> keeps its own permissions, which can only
 * narrow (udev gets an event).
 *
 * Errnos: ENOENT, EPERM, EINVAL, ENOMEM (attributes may not have changed).
 */
struct kvbm_store_access {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 uid;
	__u32 gid;
	__u32 mode;
	__u32 monitor_gid;
	__aligned_u64 reserved[2];
};

#define KVBM_ACCESS_UID		(1U << 0)
#define KVBM_ACCESS_GID		(1U << 1)
#define KVBM_ACCESS_MODE	(1U << 2)
#define KVBM_ACCESS_MONITOR	(1U << 3)

/**
 * struct kvbm_store_entry - one store in a listing
 * @store_id: identity
 * @name: name, NUL-padded; empty for an anonymous store
 * @total_blocks: blocks
 * @sessions: open sessions, without revoked ones
 * @uid: owner, in the caller's user namespace
 * @gid: group
 * @mode: permissions
 * @monitor_gid: group that may read statistics; -1: none
 * @flags: KVBM_STORE_*
 * @charged_uid: user against whose limits the store counts
 * @memory: bytes of memory that it takes, without hold tables
 * @created_ns: CLOCK_BOOTTIME at creation, ns
 */
struct kvbm_store_entry {
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 total_blocks;
	__u32 sessions;
	__u32 uid;
	__u32 gid;
	__u32 mode;
	__u32 monitor_gid;
	__u32 flags;
	__u32 charged_uid;
	__aligned_u64 memory;
	__aligned_u64 created_ns;
};

#define KVBM_STORE_DYING	(1U << 0)	/* destroyed, but still open */

/**
 * struct kvbm_store_list - KVBM_IOC_STORE_LIST, on control
 * @size: sizeof(struct kvbm_store_list)
 * @flags: must be 0
 * @count: size of @entries, in entries
 * @done: out: entries written
 * @total: out: stores that can be listed
 * @entry_size: bytes from one entry to the next, a multiple of 8, at most 4096:
 *	sizeof(struct kvbm_store_entry) as the caller knows it.  The kernel writes
 *	as much of its own entry as fits, and zeroes the rest.
 * @cursor: in: 0 to begin, else the value from the last call; out: where to
 *	continue.  If @done is less than @count, the listing is complete.
 * @entries: pointer to @count entries
 *
 * A store that exists throughout is listed once, whatever comes and goes.
 * Only their owners and CAP_SYS_ADMIN see anonymous and destroyed stores.
 *
 * Errnos: ENOMEM, EINTR (killed).
 */
struct kvbm_store_list {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 total;
	__u32 entry_size;
	__aligned_u64 cursor;
	__aligned_u64 entries;
};

/**
 * struct kvbm_store_info - KVBM_IOC_STORE_INFO, on control and sessions
 * @size: sizeof(struct kvbm_store_info)
 * @flags: in: must be 0; out: the KVBM_CREATE_* flags of the store
 * @store_id: in: the store, or 0; out: identity
 * @name: in: the store, or empty; out: name, NUL-padded; empty for an anonymous
 *	store
 * @total_blocks: out: blocks
 * @block_size: out: tokens in a block
 * @freq_capacity: out: sketch capacity, 0 without tracking
 * @thresholds: out: of multi_lru, else 0
 * @max_sessions: out: limit on sessions
 * @max_held: out: limit on blocks held by one session, 0 = none
 * @sessions: out: sessions open now, without revoked ones
 * @revoked: out: revoked sessions whose file is still open
 * @chunk: out: KVBM_CHUNK of the running module
 * @status: out: KVBM_STORE_*
 * @uid: out: owner, in the caller's user namespace
 * @gid: out: group
 * @mode: out: permissions
 * @monitor_gid: out: group that may read statistics; -1: none
 * @rights: out: KVBM_RIGHT_*
 * @charged_uid: out: user against whose limits the store counts
 * @policy: out: eviction policy, NUL-padded
 * @memory: out: bytes of memory that the store takes, without hold tables
 * @need: out: bytes that its creation reserved
 * @created_ns: out: CLOCK_BOOTTIME at creation, ns
 * @session_memory: out: bytes of the calling session's hold table; 0 on control
 * @session_id: out: the calling session's number in KVBM_IOC_SESSION_LIST; 0 on
 *	control
 * @block_bytes: out: bytes of a block, 0 without a payload
 * @linger_ms: out: how long the blocks of an ended session linger
 * @note_bytes: out: bytes of a block's note, 0: no notes
 * @event_records: out: events that the store keeps, 0: none
 * @reserved32: out: 0
 * @digest: out: as at creation
 * @label: out: likewise, NUL-padded
 * @page_bytes: out: as in struct kvbm_payload, 0 without a payload
 * @resident: out: likewise
 * @keep_blocks: out: blocks that may be above KVBM_RANK_NORMAL at once; 0 without
 *	retention
 * @keep_user_blocks: out: how many of these one user may raise
 * @reserved: out: 0
 *
 * On control this needs permission to read the statistics: that of the owner,
 * CAP_SYS_ADMIN, the monitoring group, or to open the store for reading.
 *
 * Errnos: on control ENOENT, EPERM.
 */
struct kvbm_store_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 total_blocks;
	__u32 block_size;
	__u32 freq_capacity;
	__u32 thresholds[3];
	__u32 max_sessions;
	__u32 max_held;
	__u32 sessions;
	__u32 revoked;
	__u32 chunk;
	__u32 status;
	__u32 uid;
	__u32 gid;
	__u32 mode;
	__u32 monitor_gid;
	__u32 rights;
	__u32 charged_uid;
	char policy[KVBM_POLICY_LEN];
	__aligned_u64 memory;
	__aligned_u64 need;
	__aligned_u64 created_ns;
	__aligned_u64 session_memory;
	__aligned_u64 session_id;
	__aligned_u64 block_bytes;
	__u32 linger_ms;
	__u32 note_bytes;
	__u32 event_records;
	__u32 reserved32;
	__u8 digest[KVBM_DIGEST_BYTES];
	char label[KVBM_LABEL_LEN];
	__aligned_u64 page_bytes;
	__aligned_u64 resident;
	__u32 keep_blocks;
	__u32 keep_user_blocks;
	__aligned_u64 reserved;
};

/**
 * struct kvbm_session_open - KVBM_IOC_SESSION_OPEN, on a session: another
 *	session of the same store
 * @size: sizeof(struct kvbm_session_open)
 * @flags: must be 0
 * @fd: out: the new session's descriptor (close-on-exec)
 * @reserved: must be 0
 *
 * The new descriptor has the access mode of the one that opened it.
 *
 * Errnos: EUSERS (limit on sessions), EMFILE, ENFILE, ENOMEM.
 */
struct kvbm_session_open {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 reserved;
};

/**
 * struct kvbm_session_config - KVBM_IOC_SESSION_CONFIG, on a session
 * @size: sizeof(struct kvbm_session_config)
 * @flags: must be 0
 * @low_watermark: poll(2) reports writable when an allocation of this many blocks
 *	could succeed; 1 at open; 1 to total_blocks, and to max_held
 * @reserved: must be 0
 */
struct kvbm_session_config {
	__u32 size;
	__u32 flags;
	__u32 low_watermark;
	__u32 reserved;
};

/**
 * struct kvbm_session_entry - one session in a listing
 * @session_id: the session's number within its store
 * @opened_ns: CLOCK_BOOTTIME at open, ns
 * @last_call_ns: CLOCK_BOOTTIME of its last request, ns, within a tick; time
 *	during which the machine was suspended since then is not counted
 * @waiting_since_ns: CLOCK_BOOTTIME at which its longest waiting allocation
 *	began to wait, ns; 0: none waits
 * @holds: holds on registered blocks
 * @memory: bytes of its hold table
 * @held: blocks held (each counted once, Mutable and Staged too, and Primaries
 *	that the session's Duplicates keep alive)
 * @mutable_blocks: Mutable blocks owned
 * @staged_blocks: Staged blocks owned
 * @allocating: blocks of allocations in progress, including waiting ones, and of
 *	offers that it is accepting
 * @waiting: blocks that its waiting allocations request
 * @pid: process that opened it, in the caller's pid namespace; 0 if it has
 *	no number there
 * @uid: that process's uid, in the caller's user namespace
 * @flags: KVBM_SESSION_*
 * @comm: name of the process that opened it
 * @match_hashes_requested: as in struct kvbm_stats, for this session alone, like
 *	the fields that follow
 * @match_blocks_returned: likewise
 * @registrations: likewise
 * @allocations: likewise
 * @evictions: how many of these evicted an inactive block
 * @alloc_failures: allocations that failed with ENOSPC, EDQUOT or ETIMEDOUT
 * @offered: how many of @holds are offered
 * @offers: its open offers
 * @offers_to: open offers to it, see KVBM_OFFER_DIRECT
 * @reserved: 0
 */
struct kvbm_session_entry {
	__aligned_u64 session_id;
	__aligned_u64 opened_ns;
	__aligned_u64 last_call_ns;
	__aligned_u64 waiting_since_ns;
	__aligned_u64 holds;
	__aligned_u64 memory;
	__u32 held;
	__u32 mutable_blocks;
	__u32 staged_blocks;
	__u32 allocating;
	__u32 waiting;
	__u32 pid;
	__u32 uid;
	__u32 flags;
	char comm[16];
	__aligned_u64 match_hashes_requested;
	__aligned_u64 match_blocks_returned;
	__aligned_u64 registrations;
	__aligned_u64 allocations;
	__aligned_u64 evictions;
	__aligned_u64 alloc_failures;
	__u32 offered;
	__u32 offers;
	__u32 offers_to;
	__u32 reserved;
};

#define KVBM_SESSION_REVOKED	(1U << 0)
#define KVBM_SESSION_READONLY	(1U << 1)	/* not opened for writing */
#define KVBM_SESSION_LINGERS	(1U << 2)	/* @mutable_blocks become free later */
#define KVBM_SESSION_ENDED	(1U << 3)	/* nothing else is left of it */

/**
 * struct kvbm_session_list - KVBM_IOC_SESSION_LIST, on control and sessions
 * @size: sizeof(struct kvbm_session_list)
 * @flags: must be 0
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @count: size of @entries, in entries
 * @done: out: entries written
 * @total: out: sessions that exist, including revoked ones that are open
 * @entry_size: as for struct kvbm_store_list
 * @cursor: likewise
 * @entries: pointer to @count entries
 *
 * Needs the store's owner (an anonymous store's creator) or CAP_SYS_ADMIN.
 *
 * Errnos: EPERM, ENOENT, ENOMEM, EINTR (killed).
 */
struct kvbm_session_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 count;
	__u32 done;
	__u32 total;
	__u32 entry_size;
	__aligned_u64 cursor;
	__aligned_u64 entries;
};

/**
 * struct kvbm_session_revoke - KVBM_IOC_SESSION_REVOKE, on control and sessions
 * @size: sizeof(struct kvbm_session_revoke)
 * @flags: KVBM_REVOKE_*; without _UID and _PID: the session @session_id
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @session_id: the session to end; must be 0 with _UID or _PID
 * @uid: with KVBM_REVOKE_UID: all sessions that this user opened, in the caller's
 *	user namespace; must be 0 otherwise
 * @pid: with KVBM_REVOKE_PID: all sessions that this process opened, in the
 *	caller's pid namespace; must be 0 otherwise
 * @sessions: out: sessions that this call ended
 * @reserved32: must be 0
 * @reclaimed: out: holds and owned blocks that it reclaimed
 * @reserved: must be 0
 *
 * Takes every hold from the sessions and makes their calls fail with ESHUTDOWN.
 * It waits for none of them; when it returns, all is back, including what another
 * caller's revocation has begun to take.  With both flags sessions must match
 * both.  Sessions opened meanwhile are not affected.  Permission as for
 * KVBM_IOC_SESSION_LIST.
 *
 * It takes the store's records, not the process's mappings or devices: a process
 * that had a block can still write to its bytes.  So in a store with linger_ms the
 * blocks that a session owned linger; with KVBM_REVOKE_NOW they are free at
 * once: kill the process first.  Blocks that linger from earlier sessions become
 * free with KVBM_REVOKE_NOW, and when @session_id names the session.
 *
 * Errnos: EPERM, ENOENT (no such session), EINTR (killed: the sessions are dead,
 * but not all may be back yet).
 */
struct kvbm_session_revoke {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__aligned_u64 session_id;
	__u32 uid;
	__u32 pid;
	__u32 sessions;
	__u32 reserved32;
	__aligned_u64 reclaimed;
	__aligned_u64 reserved;
};

#define KVBM_REVOKE_UID		(1U << 0)
#define KVBM_REVOKE_PID		(1U << 1)
#define KVBM_REVOKE_NOW		(1U << 2)	/* nothing lingers */

/**
 * struct kvbm_counts - KVBM_IOC_COUNTS, on control and sessions: a consistent
 *	snapshot
 * @size: sizeof(struct kvbm_counts)
 * @flags: must be 0
 * @store_id: in: the store, or 0; out: identity
 * @name: the store, or empty
 * @total: out: blocks of the store
 * @reset: out: blocks in the free list
 * @inactive: out: Inactive blocks
 * @available: out: @reset + @inactive
 * @registered: out: distinct hashes present
 * @reserved_blocks: out: how many of @available are promised to allocations in
 *	progress
 * @waiters: out: allocations waiting
 * @held: out: Mutable, Staged and held registered blocks, including those that
 *	allocations in progress have taken already
 * @lingering: out: blocks of ended sessions that become free later: see
 *	linger_ms of struct kvbm_store_create
 * @reserved: out: 0
 *
 * @reset + @inactive + @held + @lingering is @total at every moment.  @held is
 * counted separately, not computed from the others.
 *
 * Permission on control as for KVBM_IOC_STORE_INFO.
 *
 * Errnos: on control ENOENT, EPERM.
 */
struct kvbm_counts {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 total;
	__u32 reset;
	__u32 inactive;
	__u32 available;
	__u32 registered;
	__u32 reserved_blocks;
	__u32 waiters;
	__u32 held;
	__u32 lingering;
	__u32 reserved;
};

/**
 * struct kvbm_stats - KVBM_IOC_STATS, on control and sessions: counters since
 *	creation and gauges, summed over all sessions
 * @size: sizeof(struct kvbm_stats)
 * @flags: must be 0
 * @store_id: in: the store, or 0; out: identity
 * @name: the store, or empty
 * @allocations: blocks allocated
 * @allocations_from_reset: how many of these came from the free list
 * @evictions: how many of these evicted a block
 * @registrations: registrations, duplicates and dedups included
 * @duplicate_blocks: registrations that made a Duplicate
 * @registration_dedup: registrations that returned the existing block
 * @stagings: blocks staged
 * @match_hashes_requested: hashes in match queries
 * @match_blocks_returned: holds that matches returned
 * @scan_hashes_requested: hashes in scan queries
 * @scan_blocks_returned: holds that scans returned
 * @inflight_mutable: gauge: Mutable blocks
 * @inflight_immutable: gauge: holds on registered blocks, without keep-alives
 * @reset_pool_size: gauge: blocks in the free list
 * @inactive_pool_size: gauge: Inactive blocks
 * @staged: gauge: Staged blocks
 * @sessions: gauge: open sessions, without revoked ones
 * @revoked_sessions: gauge: revoked sessions whose file is still open
 * @reclaimed_sessions: sessions that ended while holding something
 * @reclaimed_owned: Mutable and Staged blocks reclaimed from such sessions
 * @reclaimed_holds: holds on registered blocks reclaimed from such sessions
 * @reclaim_last_ns: duration of the last such end, ns
 * @reclaim_max_ns: longest such duration, ns
 * @waits: allocations that had to wait
 * @wait_grants: how many of these were granted
 * @wait_wakeups: wake-ups sent to waiting allocations
 * @index_evictions: inactive blocks reset because a registration found the index
 *	full; not in @evictions
 * @held: gauge: as in struct kvbm_counts
 * @lingering: gauge: likewise
 * @claims: claims made
 * @claims_pending: claims refused because the hash was claimed already
 * @claims_present: claims refused because the hash was present
 * @claim_waits: calls that had to wait for claims to end
 * @pending: gauge: hashes that are claimed
 * @alloc_nospace: allocations that failed with ENOSPC
 * @alloc_quota: allocations that failed with EDQUOT
 * @alloc_timeouts: allocations that waited, and failed with ETIMEDOUT
 * @offers: offers made
 * @offers_accepted: how many of these were accepted
 * @handed_over: holds that passed from one session to another that way
 * @offered: gauge: holds that are offered
 * @wait_ns: time that granted allocations had waited, ns
 * @evicted_idle_ns: time that blocks in @evictions had been inactive, ns
 * @rank_first: gauge: blocks of KVBM_RANK_FIRST; an expired rank may count for
 *	another second, here and in the next two
 * @rank_high: gauge: blocks of KVBM_RANK_HIGH
 * @rank_keep: gauge: blocks of KVBM_RANK_KEEP
 * @evicted_first: blocks of KVBM_RANK_FIRST that left with KVBM_REASON_EVICTED
 * @evicted_high: likewise of KVBM_RANK_HIGH
 * @evicted_keep: likewise of KVBM_RANK_KEEP
 * @rank_expired: blocks whose rank expired, and became KVBM_RANK_NORMAL
 * @wait_histogram: granted allocations by the time they had waited: [i] counts
 *	those of less than 2^(i + KVBM_WAIT_SHIFT) ns that are not in [i - 1], the
 *	last one all others
 * @evicted_idle_histogram: blocks in @evictions by the time they had been inactive:
 *	[i] counts those of less than 2^(i + KVBM_IDLE_BUCKET_SHIFT) ns that are not
 *	in [i - 1], the last one all others; by a clock that ticks every 8 to 16 ms
 *
 * Permission on control as for KVBM_IOC_STORE_INFO.
 *
 * Errnos: EINTR (killed), on control ENOENT, EPERM.
 */
struct kvbm_stats {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__aligned_u64 allocations;
	__aligned_u64 allocations_from_reset;
	__aligned_u64 evictions;
	__aligned_u64 registrations;
	__aligned_u64 duplicate_blocks;
	__aligned_u64 registration_dedup;
	__aligned_u64 stagings;
	__aligned_u64 match_hashes_requested;
	__aligned_u64 match_blocks_returned;
	__aligned_u64 scan_hashes_requested;
	__aligned_u64 scan_blocks_returned;
	__aligned_u64 inflight_mutable;
	__aligned_u64 inflight_immutable;
	__aligned_u64 reset_pool_size;
	__aligned_u64 inactive_pool_size;
	__aligned_u64 staged;
	__aligned_u64 sessions;
	__aligned_u64 revoked_sessions;
	__aligned_u64 reclaimed_sessions;
	__aligned_u64 reclaimed_owned;
	__aligned_u64 reclaimed_holds;
	__aligned_u64 reclaim_last_ns;
	__aligned_u64 reclaim_max_ns;
	__aligned_u64 waits;
	__aligned_u64 wait_grants;
	__aligned_u64 wait_wakeups;
	__aligned_u64 index_evictions;
	__aligned_u64 held;
	__aligned_u64 lingering;
	__aligned_u64 claims;
	__aligned_u64 claims_pending;
	__aligned_u64 claims_present;
	__aligned_u64 claim_waits;
	__aligned_u64 pending;
	__aligned_u64 alloc_nospace;
	__aligned_u64 alloc_quota;
	__aligned_u64 alloc_timeouts;
	__aligned_u64 offers;
	__aligned_u64 offers_accepted;
	__aligned_u64 handed_over;
	__aligned_u64 offered;
	__aligned_u64 wait_ns;
	__aligned_u64 evicted_idle_ns;
	__aligned_u64 rank_first;
	__aligned_u64 rank_high;
	__aligned_u64 rank_keep;
	__aligned_u64 evicted_first;
	__aligned_u64 evicted_high;
	__aligned_u64 evicted_keep;
	__aligned_u64 rank_expired;
	__aligned_u64 wait_histogram[KVBM_WAIT_BUCKETS];
	__aligned_u64 evicted_idle_histogram[KVBM_IDLE_BUCKETS];
};

/* Slot states, as KVBM_IOC_BLOCK_INFO reports them. */
enum kvbm_state {
	KVBM_STATE_RESET = 0,
	KVBM_STATE_MUTABLE = 1,
	KVBM_STATE_STAGED = 2,
	KVBM_STATE_PRIMARY = 3,
	KVBM_STATE_DUPLICATE = 4,
	KVBM_STATE_INACTIVE = 5,
	KVBM_STATE_LINGERING = 6,	/* was Mutable or Staged, of an ended session */
	KVBM_STATE_FORGOTTEN = 7,	/* was Primary, is held; no lookup finds it */
};

/**
 * struct kvbm_block_info - KVBM_IOC_BLOCK_INFO, on a session
 * @size: sizeof(struct kvbm_block_info)
 * @flags: KVBM_BLOCK_OWN or 0
 * @block: in: block id
 * @state: out: enum kvbm_state
 * @generation: out: generation of the slot
 * @reset_on_release: out: the slot's flag, 0 or 1
 * @holds: out: holds in the whole store, including keep-alives of Duplicates; 1
 *	for a Mutable or Staged block; with KVBM_BLOCK_OWN 0.  Visits every
 *	session: slow
 * @own_holds: out: the calling session's holds
 * @sessions: out: sessions that hold it, and Duplicates that keep it alive
 * @hash: out: sequence hash; zero for Reset and Mutable, and for a block that
 *	is Staged by another session
 * @keep_rank: out: enum kvbm_rank of a Primary or Inactive block, a Duplicate has
 *	its Primary's; KVBM_RANK_NORMAL for all others, and without retention
 * @reserved32: out: 0
 * @keep_until_ns: out: CLOCK_BOOTTIME of the caller's time namespace at which the
 *	rank expires, ns; 0: never
 * @note: pointer to __u8[note_bytes] or 0, out: the block's note; a Duplicate has
 *	its Primary's; zeroes where @hash is zero
 *
 * A descriptor not opened for writing can query only blocks that its session
 * holds.
 *
 * Errnos: EINVAL (no such block id; @note, and the store has no notes), EPERM (see
 * above), EINTR (killed).
 */
struct kvbm_block_info {
	__u32 size;
	__u32 flags;
	__u32 block;
	__u32 state;
	__u32 generation;
	__u32 reset_on_release;
	__aligned_u64 holds;
	__u32 own_holds;
	__u32 sessions;
	struct kvbm_hash hash;
	__u32 keep_rank;
	__u32 reserved32;
	__aligned_u64 keep_until_ns;
	__aligned_u64 note;
};

#define KVBM_BLOCK_OWN		(1U << 0)	/* do not visit all sessions */

/**
 * struct kvbm_hold_entry - one block that a session holds
 * @block: block id
 * @state: enum kvbm_state: Mutable, Staged, Primary, Duplicate or Forgotten
 * @holds: the session's holds; 1 for a Mutable or Staged block; 0 for a Primary
 *	that only the session's Duplicates keep alive
 * @generation: generation of the slot
 * @hash: sequence hash; zero for a Mutable block
 */
struct kvbm_hold_entry {
	__u32 block;
	__u32 state;
	__u32 holds;
	__u32 generation;
	struct kvbm_hash hash;
};

/**
 * struct kvbm_holds - KVBM_IOC_HOLDS, on a session: what it holds
 * @size: sizeof(struct kvbm_holds)
 * @flags: must be 0
 * @count: size of @entries, in entries
 * @done: out: entries written
 * @total: out: blocks that the session holds, as @held of struct
 *	kvbm_session_entry
 * @entry_size: as for struct kvbm_store_list
 * @cursor: likewise; blocks come in ascending order of their ids
 * @entries: pointer to @count entries
 *
 * Errnos: ENOMEM, EINTR (killed).
 */
struct kvbm_holds {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 total;
	__u32 entry_size;
	__aligned_u64 cursor;
	__aligned_u64 entries;
};

/**
 * struct kvbm_reset_inactive - KVBM_IOC_RESET_INACTIVE, on control and sessions
 * @size: sizeof(struct kvbm_reset_inactive)
 * @flags: in: must be 0; out: KVBM_RESET_WHOLE if the whole store is Reset
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @done: out: blocks reset
 * @reserved: must be 0
 *
 * Resets the blocks that were inactive at the start, in eviction order; other
 * operations may run between chunks.  On control it needs the store's owner or
 * CAP_SYS_ADMIN; on a session, that one of these opened it, or
 * KVBM_RIGHT_RESET_INACTIVE.
 *
 * Errnos: EPERM, on control ENOENT.
 */
struct kvbm_reset_inactive {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 done;
	__u32 reserved;
};

#define KVBM_RESET_WHOLE	(1U << 0)

/**
 * struct kvbm_invalidate - KVBM_IOC_INVALIDATE, on control and sessions: forget
 *	hashes
 * @size: sizeof(struct kvbm_invalidate)
 * @flags: KVBM_INVALIDATE_*
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @count: hashes, up to KVBM_MAX_BATCH; 0 with KVBM_INVALIDATE_ALL
 * @done: out: hashes done
 * @hashes: pointer to struct kvbm_hash[@count]
 * @idle: out: blocks that went to Reset
 * @held: out: blocks that stay with their holders
 * @reserved: must be 0
 *
 * When it returns, no match, scan, upgrade or presence finds the blocks that were
 * registered under these hashes when it began.  Inactive blocks go to Reset.  Held
 * ones are KVBM_STATE_FORGOTTEN: they stay valid for their holders, and go to Reset
 * with the last hold.  Claims of the hashes end.  A hash may be registered again.
 *
 * With KVBM_INVALIDATE_PREFIX each hash stands for itself and for all its registered
 * descendants, parent by parent; descendants of a parent that is not registered
 * are not found.  While it runs it takes up to 48 bytes of memory for each block
 * behind the prefix's position.  Opaque hashes have no parents: EOPNOTSUPP.
 *
 * With KVBM_INVALIDATE_ALL everything is forgotten, including what is registered
 * while it runs, and blocks allocated before can no longer be staged or registered
 * (ESTALE): release them.
 *
 * Needs the store's owner or CAP_SYS_ADMIN, on control and on a session.
 *
 * Errnos: EPERM, ENOMEM (prefix), EINTR (killed; some may be forgotten), EINVAL
 * (an invalid hash as a prefix; both flags; @count), on control ENOENT.
 */
struct kvbm_invalidate {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 count;
	__u32 done;
	__aligned_u64 hashes;
	__u32 idle;
	__u32 held;
	__aligned_u64 reserved;
};

#define KVBM_INVALIDATE_PREFIX	(1U << 0)	/* and all their descendants */
#define KVBM_INVALIDATE_ALL	(1U << 1)	/* everything: @count is 0 */

/**
 * struct kvbm_payload - KVBM_IOC_PAYLOAD, on a session: the blocks' bytes
 * @size: sizeof(struct kvbm_payload)
 * @flags: KVBM_PAYLOAD_*
 * @block_bytes: out: bytes of a block; block id's are at id * @block_bytes
 * @bytes: out: of all blocks
 * @page_bytes: out: 4096, or the size of the file's huge pages: lengths and
 *	offsets of mappings are multiples of it
 * @resident: out: bytes that have memory already
 * @fd: out: with KVBM_PAYLOAD_FD: a descriptor of the file (close-on-exec); -1
 *	otherwise
 * @reserved: must be 0
 *
 * The descriptor is a separate open file description: nobody else shares its
 * offset, flags and locks.  It and its mappings stay valid after the
 * session, the store and the module; they keep none of these alive.  With
 * KVBM_PAYLOAD_RDONLY it cannot be written to or mapped writable, which protects
 * from accidents: a process that may open the file itself can reopen it through
 * /proc/self/fd.
 *
 * Errnos: EBADF (the session is not open for writing), ENODATA (the store has no
 * payload), EINVAL (KVBM_PAYLOAD_RDONLY alone), EMFILE, ENFILE, ENOMEM.
 */
struct kvbm_payload {
	__u32 size;
	__u32 flags;
	__aligned_u64 block_bytes;
	__aligned_u64 bytes;
	__aligned_u64 page_bytes;
	__aligned_u64 resident;
	__s32 fd;
	__u32 reserved;
};

#define KVBM_PAYLOAD_FD		(1U << 0)	/* open a descriptor */
#define KVBM_PAYLOAD_RDONLY	(1U << 1)	/* for reading only */

/**
 * struct kvbm_events - KVBM_IOC_EVENTS, on control and sessions: a descriptor to
 *	read the store's events from
 * @size: sizeof(struct kvbm_events)
 * @flags: KVBM_EVENTS_*
 * @store_id: in: the store, or 0; out: identity
 * @name: the store, or empty
 * @types: bit (1 << enum kvbm_event_type) for each type to read; 0: STORED
 *	and REMOVED.  CLEARED and LOST always come
 * @fd: out: the descriptor (close-on-exec)
 * @next: in: number of the first event to read, from an earlier read; 0: the next
 *	that happens; out: number of the first event that will be read
 * @records: out: events that the store keeps
 * @record_size: out: bytes of each event from read(2): sizeof(struct kvbm_event);
 *	with KVBM_EVENTS_NOTES note_bytes more, rounded up to a multiple of 8
 * @reserved: must be 0
 *
 * read(2) of the descriptor returns as many struct kvbm_event as there are and fit,
 * in order; a buffer for less than one is EINVAL.  If there is none it waits,
 * or fails with EAGAIN; after the store's end, and the event that reports it, it
 * returns 0.  poll(2) reports readable when there is one, and EPOLLHUP when the
 * store has ended.  Events happened in this order, also for each hash: it is STORED
 * once, then REMOVED once, however many blocks have it.
 *
 * With KVBM_EVENTS_NOTES the note of its block follows each event.  @noted says
 * whether there is one: when the event is read, the block must still be registered
 * under the event's generation, held, inactive or invalidated; otherwise the note
 * is zeroes.  So an evicted block has no note, nor has anything once the store is
 * gone.
 *
 * Nobody waits for a reader.  One that is too slow gets a LOST event in place of
 * events that are no longer kept.  Other gaps in the numbers are events of types
 * that it did not select.
 *
 * The descriptor is no session.  It keeps the events alive, but not the store.
 *
 * Tenants must not learn each other's hashes.  So this needs permission to open the
 * store for reading, which the monitoring group does not have: on a session the
 * descriptor must be open for reading.
 *
 * Errnos: EBADF (not open for reading), ENODATA (the store keeps no events),
 * EINVAL (@next is too far ahead, unknown @types, or KVBM_EVENTS_NOTES and the
 * store has no notes), EUSERS (limit on readers: one user, with all uids of his user
 * namespaces, has a quarter of the places at most, and an eighth is for the owner
 * and CAP_SYS_ADMIN), EMFILE, ENFILE, ENOMEM; on control ENOENT, EPERM.
 */
struct kvbm_events {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 types;
	__s32 fd;
	__aligned_u64 next;
	__u32 records;
	__u32 record_size;
	__aligned_u64 reserved[2];
};

#define KVBM_EVENTS_NONBLOCK	(1U << 0)	/* like O_NONBLOCK; fcntl(2) changes it */
#define KVBM_EVENTS_NOTES	(1U << 1)	/* a note behind each event */

enum kvbm_event_type {
	KVBM_EVENT_STORED = 1,		/* the hash is now present */
	KVBM_EVENT_REMOVED = 2,		/* it is no longer present */
	KVBM_EVENT_DUPLICATE = 3,	/* a Duplicate of it was registered */
	KVBM_EVENT_DUPLICATE_GONE = 4,	/* a Duplicate of it is gone */
	KVBM_EVENT_CLEARED = 5,		/* no hash is present any more */
	KVBM_EVENT_LOST = 6,		/* events are missing here */
};

enum kvbm_reason {
	KVBM_REASON_NONE = 0,
	KVBM_REASON_EVICTED = 1,	/* for an allocation */
	KVBM_REASON_RELEASED = 2,	/* reset on its last release */
	KVBM_REASON_RECLAIMED = 3,	/* the same, because its session ended */
	KVBM_REASON_RESET = 4,		/* KVBM_IOC_RESET_INACTIVE */
	KVBM_REASON_DISPLACED = 5,	/* the index was full for another hash */
	KVBM_REASON_DESTROYED = 6,	/* the store was destroyed */
	KVBM_REASON_INVALIDATED = 7,	/* KVBM_IOC_INVALIDATE */
};

/**
 * struct kvbm_event - what happened to a hash
 * @seq: number of the event; the store's first one is 1
 * @time_ns: CLOCK_BOOTTIME, ns; of up to KVBM_CHUNK events together
 * @session: number of the session that did it, see KVBM_IOC_SESSION_LIST; 0: none
 * @hash: sequence hash
 * @block: block id
 * @generation: of its slot, while it had the hash
 * @type: enum kvbm_event_type
 * @reason: enum kvbm_reason: why it was removed
 * @noted: with KVBM_EVENTS_NOTES: 1 if the block's note follows; otherwise 0
 * @count: with KVBM_EVENT_LOST: how many are missing; @seq is that of the last
 */
struct kvbm_event {
	__aligned_u64 seq;
	__aligned_u64 time_ns;
	__aligned_u64 session;
	struct kvbm_hash hash;
	__u32 block;
	__u32 generation;
	__u16 type;
	__u16 reason;
	__u32 noted;
	__aligned_u64 count;
};

/**
 * struct kvbm_evicted - a hash that an allocation evicted
 * @hash: the hash, which is no longer present
 * @block: the block that it was in, one of those allocated
 * @generation: the slot's generation while the hash was there
 */
struct kvbm_evicted {
	struct kvbm_hash hash;
	__u32 block;
	__u32 generation;
};

/**
 * struct kvbm_export_entry - one registered block
 * @hash: its sequence hash
 * @block: block id
 * @generation: generation of the slot
 * @state: KVBM_STATE_INACTIVE, or KVBM_STATE_PRIMARY (held)
 * @rank: multi_lru: an inactive block's list, 0 to 3; 0 is evicted first
 * @order: an inactive block's place in its list of the eviction order; lower goes
 *	first, except that the lineage policies evict only leaves. 0: none, because
 *	the block is held, or is no leaf under lineage_fifo
 * @keep_rank: enum kvbm_rank; KVBM_RANK_NORMAL without retention
 * @sequence: number of the store's last event at that moment; 0 without events
 * @keep_until_ns: CLOCK_BOOTTIME of the caller's time namespace at which the rank
 *	expires, ns; 0: never
 *
 * Of two inactive blocks, the one with the lower @keep_rank is evicted first; @rank
 * and @order apply within it.  To get the same eviction order in another store of
 * the same policy, register the same blocks there, each with a frequency that leads
 * to its @rank, release those without @order first, then the others in ascending
 * @order, and set the same @keep_rank.
 */
struct kvbm_export_entry {
	struct kvbm_hash hash;
	__u32 block;
	__u32 generation;
	__u32 state;
	__u32 rank;
	__u32 order;
	__u32 keep_rank;
	__aligned_u64 sequence;
	__aligned_u64 keep_until_ns;
};

/**
 * struct kvbm_export - KVBM_IOC_EXPORT, on control and sessions: what is
 *	registered
 * @size: sizeof(struct kvbm_export)
 * @flags: must be 0
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @count: size of @entries, in entries
 * @done: out: entries written
 * @total: out: distinct hashes present
 * @entry_size: as for struct kvbm_store_list
 * @cursor: likewise; blocks come in ascending order of their ids
 * @entries: pointer to @count entries
 * @sequence: out: number of the store's last event at the end of the call; 0
 *	without events
 * @notes: pointer to __u8[@count][note_bytes] or 0, out: the notes of @entries,
 *	each consistent with its entry
 *
 * Duplicates are not listed.  The call looks at up to KVBM_CHUNK blocks at a time;
 * the entries of one such part are consistent.  The whole is no snapshot if the
 * store is in use: blocks registered behind the cursor are missing, and blocks that
 * left meanwhile may be there; @order values are comparable only if no block became
 * inactive meanwhile.
 *
 * With the store's events it is exact.  Open them, then export everything, keeping
 * the highest @sequence for each hash.  Then apply the events, but for an exported
 * hash skip those up to its @sequence.  From @sequence of the last call on, the
 * result is what is registered.
 *
 * Needs permission to open the store for reading, which the monitoring group does
 * not have, since hashes show what others requested.  It needs neither a session
 * nor write access.
 *
 * Errnos: EPERM, ENOMEM, EINTR (killed), EINVAL (@notes, and the store has none),
 * on control ENOENT.
 */
struct kvbm_export {
	__u32 size;
	__u32 flags;
	__aligned_u64 store_id;
	char name[KVBM_NAME_LEN];
	__u32 count;
	__u32 done;
	__u32 total;
	__u32 entry_size;
	__aligned_u64 cursor;
	__aligned_u64 entries;
	__aligned_u64 sequence;
	__aligned_u64 notes;
};

/**
 * struct kvbm_alloc - KVBM_IOC_ALLOC: take blocks, all or nothing
 * @size: sizeof(struct kvbm_alloc)
 * @flags: KVBM_ALLOC_*
 * @count: blocks wanted, 0 to total_blocks (-EINVAL above)
 * @done: out: blocks allocated
 * @evicted: out: how many blocks were evicted for this; with @evictions, how many
 *	of them are listed there.  Valid even if the call fails
 * @error: out: errno that ended the call, or 0
 * @ids: pointer to __u32[@count], out: block ids, free ones first
 * @evictions: pointer to struct kvbm_evicted[@count] or 0, out: @evicted
 *	entries, each a hash and the block that it left
 * @deadline_ns: with KVBM_ALLOC_WAIT: absolute time of @clock, ns; ~0 means no
 *	deadline; must be 0 otherwise
 * @ticket: with KVBM_ALLOC_WAIT: in: 0, or the ticket that an earlier call
 *	left; out: the ticket that this call leaves, or 0
 * @clock: KVBM_CLOCK_*, of the caller's time namespace; 0 without
 *	KVBM_ALLOC_WAIT
 * @reserved: must be 0
 *
 * Without KVBM_ALLOC_WAIT a shortage, or another caller waiting, is -ENOSPC.
 * With it, calls are served strictly first come first served, except those
 * that only their own session's releases could serve: they wait beside the
 * queue and take their place in it once that changes.  The allocated blocks are
 * Mutable, owned by the session.
 *
 * An allocation does not stop half-way for lack of blocks.  If @ids or
 * @evictions cannot be written, the blocks whose ids were not written at all
 * are released, and @done counts the others.
 *
 * A signal that ends the wait leaves its place in the queue as a ticket: a call
 * with the same structure continues there, as a call that the kernel restarts
 * does.  While no call waits with a ticket, the queue skips it and it keeps
 * its place.  A session has up to KVBM_MAX_TICKETS waiting calls and tickets; a
 * further one discards the oldest ticket with which no call waits.  A ticket that
 * is unknown, or no longer known, or had another @count, counts as 0.  Tickets end
 * with their session, when they are used, and with KVBM_ALLOC_GIVE_UP.
 *
 * Errnos: ENOSPC, EDQUOT (the session's limit on held blocks; with
 * KVBM_ALLOC_WAIT: @count is above max_held), ENOMEM, ETIMEDOUT, EINTR, EDEADLK
 * (the caller is the only user of the session, which holds so much that the wait
 * could not end; none of that is offered, and lingering blocks do not lower its
 * limit), EBUSY (a call waits with @ticket), EMLINK (KVBM_MAX_TICKETS calls of
 * the session wait), ENOENT (KVBM_ALLOC_GIVE_UP: no such ticket).
 */
struct kvbm_alloc {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 evicted;
	__u32 error;
	__aligned_u64 ids;
	__aligned_u64 evictions;
	__aligned_u64 deadline_ns;
	__u32 ticket;
	__u32 clock;
	__aligned_u64 reserved[2];
};

#define KVBM_ALLOC_RESET_ONLY	(1U << 0)	/* up to @count, free list only */
#define KVBM_ALLOC_WAIT		(1U << 1)	/* wait until @deadline_ns */
#define KVBM_ALLOC_GIVE_UP	(1U << 2)	/* only drop @ticket; @count 0 */

#define KVBM_CLOCK_MONOTONIC	0
#define KVBM_CLOCK_BOOTTIME	1	/* continues while the machine sleeps */

/**
 * struct kvbm_stage - KVBM_IOC_STAGE: give Mutable blocks their hashes
 * @size: sizeof(struct kvbm_stage)
 * @flags: KVBM_STAGE_CLAIM or 0
 * @count: elements
 * @done: out: elements done
 * @error: out: errno of the element after those, or 0
 * @reserved32: must be 0
 * @ids: pointer to __u32[@count]
 * @hashes: pointer to struct kvbm_hash[@count]
 * @tokens: pointer to __u32[@count] or 0: tokens in each block; any other than
 *	the store's block size is -EINVAL
 * @notes: pointer to __u8[@count][note_bytes] or 0: the blocks' notes; 0: zeroes
 * @states: with KVBM_STAGE_CLAIM: pointer to __u8[@count], out: enum
 *	kvbm_claim_state; otherwise 0
 * @reserved: must be 0
 *
 * KVBM_STAGE_CLAIM claims the hashes: it announces that somebody computes them.
 * A hash has at most one claim.  If the hash is claimed or registered already,
 * @states says so, the block stays Mutable, for another hash, and the batch
 * continues.
 *
 * A claim ends when anybody registers the hash, when its block is unstaged
 * or released, and when its session ends, even if the block lingers.  It binds
 * nobody: a call without KVBM_STAGE_CLAIM may stage and register what others have
 * claimed.  The end wakes those who wait for it (KVBM_IOC_WAIT) or watch it
 * (KVBM_IOC_WATCH), and the first to come may claim next.
 *
 * If @states cannot be written, the blocks that this chunk staged are Mutable
 * again, and their claims end.
 *
 * Errnos: EPERM (not Mutable, or not this session's), EINVAL (an invalid
 * hash or token count; @states without KVBM_STAGE_CLAIM, or the other way
 * round; @notes, and the store has none), ESTALE (allocated before
 * KVBM_INVALIDATE_ALL), ENOMEM (with @notes or KVBM_STAGE_CLAIM), with
 * KVBM_STAGE_CLAIM EDQUOT (KVBM_MAX_CLAIMS).
 */
struct kvbm_stage {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 error;
	__u32 reserved32;
	__aligned_u64 ids;
	__aligned_u64 hashes;
	__aligned_u64 tokens;
	__aligned_u64 notes;
	__aligned_u64 states;
	__aligned_u64 reserved;
};

#define KVBM_STAGE_CLAIM	(1U << 0)	/* announce the hashes */

enum kvbm_claim_state {
	KVBM_CLAIMED = 0,		/* staged; this session has the claim */
	KVBM_CLAIM_PENDING = 1,		/* claimed already, maybe by this session */
	KVBM_CLAIM_PRESENT = 2,		/* registered already */
};

/**
 * struct kvbm_ids - KVBM_IOC_UNSTAGE, _RELEASE, _RETAIN and _SET_RESET
 * @size: sizeof(struct kvbm_ids)
 * @flags: KVBM_RELEASE_* for release, KVBM_SET_RESET_ON for set_reset
 * @count: elements
 * @done: out: elements done
 * @error: out: errno of the element after those, or 0
 * @reserved32: must be 0
 * @ids: pointer to __u32[@count]: block ids
 * @reserved: must be 0
 *
 * unstage: Staged -> Mutable; the slot's reset-on-release flag returns to the
 * store's default, and a claim of its hash ends.  Errnos: EPERM.
 *
 * release: drops one hold per element, in order.  A Mutable or Staged
 * block goes to Reset.  With KVBM_RELEASE_* bits only holds of those kinds are
 * released.  Errnos: EPERM (not held, or not of a selected kind), EBUSY (all
 * holds on it are offered, see KVBM_IOC_OFFER).
 *
 * retain: adds one hold on a registered block that this session holds.
 * Errnos: EPERM (not held), EINVAL (Mutable or Staged), EOVERFLOW (more than
 * KVBM_MAX_HOLDS).
 *
 * set_reset: sets or clears the slot's reset-on-release flag.  Errnos: EPERM
 * (not held, or not registered).
 *
 * A block id is checked by ownership alone: nobody holds one that is out of
 * range, thus EPERM.
 */
struct kvbm_ids {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 error;
	__u32 reserved32;
	__aligned_u64 ids;
	__aligned_u64 reserved;
};

#define KVBM_RELEASE_MUTABLE	(1U << 0)
#define KVBM_RELEASE_STAGED	(1U << 1)
#define KVBM_RELEASE_REGISTERED	(1U << 2)
#define KVBM_SET_RESET_ON	(1U << 0)

/**
 * struct kvbm_registered - the result of a registration
 * @block: block id that the session now holds
 * @kind: enum kvbm_kind
 * @generation: generation of its slot: with @block and the hash, a weak
 *	reference
 * @reserved: 0
 */
struct kvbm_registered {
	__u32 block;
	__u32 kind;
	__u32 generation;
	__u32 reserved;
};

enum kvbm_kind {
	KVBM_KIND_PRIMARY = 0,		/* the hash was not present */
	KVBM_KIND_DUPLICATE = 1,	/* it was: the own block, a copy (allow) */
	KVBM_KIND_DEDUP = 2,		/* it was: the existing block (reject) */
};

/**
 * struct kvbm_register - KVBM_IOC_REGISTER: make blocks visible
 * @size: sizeof(struct kvbm_register)
 * @flags: KVBM_REGISTER_*
 * @count: elements
 * @done: out: elements done
 * @error: out: errno of the element after those, or 0
 * @reserved32: must be 0
 * @ids: pointer to __u32[@count]: blocks
 * @hashes: pointer to struct kvbm_hash[@count]: stage each Mutable block under
 *	this hash and register it in one step; or 0: the blocks are Staged
 * @results: pointer to struct kvbm_registered[@count], out
 * @notes: pointer to __u8[@count][note_bytes] or 0: the blocks' notes.  0: Staged
 *	blocks keep the notes they were staged with, Mutable ones get zeroes.  A block
 *	that does not become a Primary has no note of its own
 * @reserved: must be 0
 *
 * Errnos: EPERM (not this session's, or not Mutable / Staged), EINVAL (an
 * invalid hash; @notes, and the store has none), ESTALE (allocated before
 * KVBM_INVALIDATE_ALL), ENOMEM (no memory for the hold table, or for @notes),
 * ENOBUFS (the index cannot take the hash beside others that are held: never,
 * unless somebody who knows the index's secrets chooses hashes), EDQUOT (a Duplicate
 * would keep one block more alive than max_held allows), EOVERFLOW (more than
 * KVBM_MAX_HOLDS of the existing block, or KVBM_MAX_DUPLICATES of it); the block
 * stays as it was.
 */
struct kvbm_register {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 error;
	__u32 reserved32;
	__aligned_u64 ids;
	__aligned_u64 hashes;
	__aligned_u64 results;
	__aligned_u64 notes;
	__aligned_u64 reserved[2];
};

#define KVBM_REGISTER_ALLOW	(1U << 0)	/* overrides the store's duplicate policy */
#define KVBM_REGISTER_REJECT	(1U << 1)

/**
 * struct kvbm_match - KVBM_IOC_MATCH and KVBM_IOC_SCAN
 * @size: sizeof(struct kvbm_match)
 * @flags: KVBM_SCAN_TOUCH for scan; KVBM_MATCH_PENDING or 0 for match
 * @count: hashes
 * @done: out: match: blocks held; scan: hashes looked up
 * @hits: out: holds returned
 * @error: out: errno of the element after those done, or 0
 * @hashes: pointer to struct kvbm_hash[@count]
 * @ids: pointer to __u32[@count], out: block ids; for scan a miss is
 *	KVBM_NO_BLOCK
 * @generations: pointer to __u32[@count] or 0, out: generation of each block's
 *	slot; 0 for a miss.  With block and hash, a weak reference
 * @notes: pointer to __u8[@count][note_bytes] or 0, out: the blocks' notes; zeroes
 *	for a miss
 * @pending: with KVBM_MATCH_PENDING: in: 0; out: index of the first hash, from
 *	@done on, that is claimed (KVBM_STAGE_CLAIM); @count if none is, or
 *	if the call fails.  Otherwise 0
 * @reserved32: must be 0
 * @reserved: must be 0
 *
 * match holds the longest prefix, left to right, and stops at the first miss;
 * it does not write entries of @ids, @generations and @notes past @done.  scan
 * does not stop.
 *
 * @pending is determined after the match: a hash that was missing may be
 * registered by then, and is no longer pending.
 *
 * Errnos: ENOMEM (hold table), EDQUOT (limit on held blocks), EOVERFLOW (more
 * than KVBM_MAX_HOLDS of one block), EINVAL (@notes, and the store has none).
 */
struct kvbm_match {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 hits;
	__u32 error;
	__aligned_u64 hashes;
	__aligned_u64 ids;
	__aligned_u64 generations;
	__aligned_u64 notes;
	__u32 pending;
	__u32 reserved32;
	__aligned_u64 reserved;
};

#define KVBM_MATCH_PENDING	(1U << 0)	/* set @pending */
#define KVBM_SCAN_TOUCH		(1U << 0)	/* count each hit in the sketch */

/**
 * struct kvbm_weak - a weak reference: no hold
 * @block: block id
 * @generation: generation of the slot
 * @hash: sequence hash
 */
struct kvbm_weak {
	__u32 block;
	__u32 generation;
	struct kvbm_hash hash;
};

/**
 * struct kvbm_upgrade - KVBM_IOC_UPGRADE: turn weak references into holds
 * @size: sizeof(struct kvbm_upgrade)
 * @flags: must be 0
 * @count: elements
 * @done: out: elements done
 * @hits: out: holds returned
 * @error: out: errno of the element after those done, or 0
 * @weaks: pointer to struct kvbm_weak[@count]
 * @ids: pointer to __u32[@count], out: the block now held, or KVBM_NO_BLOCK
 * @generations: pointer to __u32[@count] or 0, out: generation of each block's
 *	slot; 0 for none
 * @reserved: must be 0
 *
 * Returns the same block if its slot is still registered under that generation
 * and hash, else the block now registered under the hash, else none.
 *
 * A hold on a Duplicate keeps its Primary alive for this session too, and counts
 * as two blocks, unless it has the Primary already.
 *
 * Errnos: ENOMEM, EDQUOT, EOVERFLOW as for match and register.
 */
struct kvbm_upgrade {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 hits;
	__u32 error;
	__aligned_u64 weaks;
	__aligned_u64 ids;
	__aligned_u64 generations;
	__aligned_u64 reserved;
};

/**
 * struct kvbm_query - KVBM_IOC_PRESENCE, _FREQUENCY and _TOUCH: no holds
 * @size: sizeof(struct kvbm_query)
 * @flags: KVBM_PRESENCE_PENDING for presence, KVBM_TOUCH_NEWEST for touch,
 *	otherwise 0
 * @count: hashes
 * @done: out: hashes done
 * @error: out: errno of the hash after those, or 0
 * @reserved32: must be 0
 * @hashes: pointer to struct kvbm_hash[@count]
 * @out: pointer to __u8[@count], out: presence: enum kvbm_presence;
 *	frequency: count, 0 to 15, 0 without tracking; touch: must be 0
 * @reserved: must be 0
 *
 * touch counts each hash in the sketch.  With KVBM_TOUCH_NEWEST an inactive block
 * of that hash becomes the newest, as if it had been held and released just now; in
 * every store, with or without retention.
 */
struct kvbm_query {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 error;
	__u32 reserved32;
	__aligned_u64 hashes;
	__aligned_u64 out;
	__aligned_u64 reserved;
};

enum kvbm_presence {
	KVBM_ABSENT = 0,
	KVBM_INACTIVE = 1,
	KVBM_ACTIVE = 2,
	KVBM_PENDING = 3,	/* absent, and claimed; with KVBM_PRESENCE_PENDING */
};

#define KVBM_PRESENCE_PENDING	(1U << 0)	/* distinguish claimed hashes */
#define KVBM_TOUCH_NEWEST	(1U << 0)	/* inactive blocks become the newest */

/**
 * struct kvbm_keep - KVBM_IOC_KEEP: change which blocks are evicted first or last
 * @size: sizeof(struct kvbm_keep)
 * @flags: KVBM_KEEP_RELATIVE or 0
 * @count: elements
 * @done: out: elements done
 * @error: out: errno of the element after those, or 0
 * @rank: enum kvbm_rank: the blocks' new rank
 * @ids: pointer to __u32[@count]: blocks that the session holds; or 0
 * @hashes: pointer to struct kvbm_hash[@count]: registered blocks, held by
 *	anybody or inactive; or 0.  Exactly one of the two is given
 * @until_ns: CLOCK_BOOTTIME of the caller's time namespace at which the rank
 *	expires, ns; with KVBM_KEEP_RELATIVE: the time from now to then; 0: never.
 *	Rounded up to a multiple of 2^20 ns; 2^60 ns or more mean never.  Must be 0
 *	with KVBM_RANK_NORMAL
 * @results: pointer to __u8[@count] or 0, out: enum kvbm_keep_result
 * @reserved: must be 0
 *
 * Needs a store created with KVBM_CREATE_RETENTION.  An allocation evicts inactive
 * blocks of the lowest rank there is, each rank in the order of the store's
 * policy.  So it never fails because of ranks: if only KVBM_RANK_KEEP is left, it
 * evicts that.  A rank belongs to the hash, held or inactive, and ends when the hash
 * leaves the store.  Changing it moves no block within the order.
 *
 * The lineage policies evict only leaves, whatever their ranks: a kept leaf keeps
 * all its ancestors as long as it is there itself, and an ancestor's rank counts
 * once it is a leaf.
 *
 * When a rank expires, the block counts as KVBM_RANK_NORMAL for everything described
 * here; for allocations within a second, if more than KVBM_CHUNK expire together.
 *
 * A session may give any rank to a block that it holds.  Without a hold it may only
 * raise the rank: set one that is not lower and, if it is above KVBM_RANK_NORMAL
 * already, for no shorter a time (below it: no longer).  Everything else needs the
 * owner or an administrator.
 *
 * keep_blocks and keep_user_blocks of struct kvbm_store_create bound the ranks above
 * KVBM_RANK_NORMAL.  The user who last gave a block such a rank is charged for it
 * until the block loses it; in a user namespace, that is the namespace's owner.
 *
 * If results cannot be written, what is done stands.
 *
 * Errnos: EOPNOTSUPP (the store has no retention), EINVAL (no such rank;
 * @until_ns; not exactly one of @ids and @hashes), EPERM (for @ids: the session
 * holds no registered block of this id).
 */
struct kvbm_keep {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 error;
	__u32 rank;
	__aligned_u64 ids;
	__aligned_u64 hashes;
	__aligned_u64 until_ns;
	__aligned_u64 results;
	__aligned_u64 reserved[2];
};

#define KVBM_KEEP_RELATIVE	(1U << 0)	/* @until_ns is from now on */

enum kvbm_rank {
	KVBM_RANK_FIRST = 0,		/* evicted before all others */
	KVBM_RANK_NORMAL = 1,		/* the initial rank of every block */
	KVBM_RANK_HIGH = 2,
	KVBM_RANK_KEEP = 3,		/* evicted when nothing else is left */
};

enum kvbm_keep_result {
	KVBM_KEEP_DONE = 0,
	KVBM_KEEP_ABSENT = 1,		/* no such hash is registered */
	KVBM_KEEP_DENIED = 2,		/* would lower the rank, without a hold */
	KVBM_KEEP_FULL = 3,		/* too many blocks are raised already */
};

/**
 * struct kvbm_wait - KVBM_IOC_WAIT: wait for others to compute
 * @size: sizeof(struct kvbm_wait)
 * @flags: must be 0
 * @count: hashes, at most KVBM_MAX_WATCHED
 * @clock: KVBM_CLOCK_*, of the caller's time namespace
 * @hashes: pointer to struct kvbm_hash[@count]
 * @deadline_ns: absolute time of @clock, ns; ~0 means no deadline
 * @pending: out: claims that had not ended, 0 if the call succeeds
 * @reserved32: must be 0
 * @reserved: must be 0
 *
 * Sleeps until all claims of these hashes that existed when it began have ended;
 * see KVBM_STAGE_CLAIM for what ends one.  A new claim of a hash does not prolong
 * the wait.  All waiters of a claim wake; only claiming shows which of them claims
 * next.
 *
 * Two sessions can wait for each other's claims; then only the deadlines end the
 * wait.  This cannot happen if all register or give up their own claims before they
 * wait; nor if they wait only for hashes at higher positions than everything they
 * have claimed: claim from left to right, and unstage what is to the right of the
 * hash that you wait for.
 *
 * Errnos: ETIMEDOUT, EINTR, EDEADLK (the session itself has claimed one of the
 * hashes), EMLINK (KVBM_MAX_TICKETS calls of the session wait), ENOMEM.
 */
struct kvbm_wait {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 clock;
	__aligned_u64 hashes;
	__aligned_u64 deadline_ns;
	__u32 pending;
	__u32 reserved32;
	__aligned_u64 reserved[2];
};

/**
 * struct kvbm_watch - KVBM_IOC_WATCH: make poll report the end of claims
 * @size: sizeof(struct kvbm_watch)
 * @flags: must be 0
 * @count: hashes, at most KVBM_MAX_WATCHED; 0: watch nothing
 * @pending: out: hashes that are claimed and now watched
 * @hashes: pointer to struct kvbm_hash[@count]
 * @states: pointer to __u8[@count] or 0, out: KVBM_PENDING for a hash that is
 *	claimed, KVBM_ABSENT for one that is not (registered or not)
 * @reserved: must be 0
 *
 * Replaces what the session watched before.  Once the first of the watched claims
 * ends, poll(2) reports POLLPRI until the next call.  So: watch, handle what is not
 * pending, poll for POLLPRI, repeat.  A session may watch its own claims, too.
 *
 * Errnos: ENOMEM.
 */
struct kvbm_watch {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 pending;
	__aligned_u64 hashes;
	__aligned_u64 states;
	__aligned_u64 reserved[2];
};

/**
 * struct kvbm_ticket - names an offer: 128 random bits, never all 0
 * @hi: the upper 64 bits
 * @lo: the lower 64 bits
 */
struct kvbm_ticket {
	__aligned_u64 hi;
	__aligned_u64 lo;
};

/**
 * struct kvbm_offer - KVBM_IOC_OFFER: offer holds to another session of the store
 * @size: sizeof(struct kvbm_offer)
 * @flags: KVBM_OFFER_DIRECT or 0
 * @count: holds, 1 to KVBM_MAX_OFFERED
 * @fd: with KVBM_OFFER_DIRECT: a descriptor of the only session that may
 *	accept; otherwise 0
 * @ids: pointer to __u32[@count]: block ids, one for each hold
 * @ticket: out: names the offer; pass it to whoever should accept
 * @reserved: must be 0
 *
 * All or nothing: either all holds are offered, or none is.  They are holds on
 * registered blocks, Primary, Duplicate or forgotten; Mutable or Staged blocks
 * cannot be offered.
 *
 * The holds stay the session's until they are accepted.  When the session ends,
 * they are released and its offers end.  Meanwhile they can be neither released nor
 * offered again (EBUSY); other holds on the same blocks can, including those
 * retained or matched later.
 *
 * Anyone with the ticket can accept: any session of the store that is open for
 * writing; with KVBM_OFFER_DIRECT only the session of @fd.  poll(2) then reports
 * POLLIN there while such an offer is open.  If that session ends, nobody can
 * accept, and the offer waits to be withdrawn.
 *
 * Errnos: EPERM (not held), EINVAL (Mutable or Staged; @count; @fd is this session
 * itself), EBUSY (named more often than there are holds not offered yet), EDQUOT
 * (KVBM_MAX_OFFERS or KVBM_MAX_OFFERED of the session), ENOMEM, EBADF (@fd is no
 * session, or is not open for writing), EXDEV (@fd is of another store), ENOENT (the
 * session of @fd has ended).
 */
struct kvbm_offer {
	__u32 size;
	__u32 flags;
	__u32 count;
	__s32 fd;
	__aligned_u64 ids;
	struct kvbm_ticket ticket;
	__aligned_u64 reserved[2];
};

#define KVBM_OFFER_DIRECT	(1U << 0)	/* to the session of @fd */

/**
 * struct kvbm_accept - KVBM_IOC_ACCEPT: take over offered holds
 * @size: sizeof(struct kvbm_accept)
 * @flags: KVBM_ACCEPT_DIRECT or 0
 * @count: size of @ids, up to KVBM_MAX_BATCH
 * @done: out: holds that are now this session's
 * @total: out: holds of the offer, even if the call fails with EMSGSIZE
 * @error: out: errno that ended the call, or 0
 * @ids: pointer to __u32[@count], out: block ids in the order in which they were
 *	offered
 * @ticket: in: the offer; with KVBM_ACCEPT_DIRECT in: 0, out: the ticket of the
 *	oldest open offer to this session, even if the call fails after that
 * @session: out: number of the session that offered, see KVBM_IOC_SESSION_LIST
 * @reserved: must be 0
 *
 * All or nothing: the kernel first writes @ids and checks the session's limits;
 * from then on the call cannot fail, and nobody's death ends it half-way: whoever
 * ends a session moves what is left.  Holds move up to KVBM_CHUNK at a time; at
 * every moment each belongs to one session.  Returns how many.
 *
 * For max_held each block of the offer counts as one that the session does not have
 * yet; a Duplicate as two.
 *
 * Of several calls with one ticket one succeeds.  Until the holds are its own,
 * a call has used nothing: one that is stuck in user memory holds up
 * nobody, and @ids are not valid before it has returned.
 *
 * Errnos: ENOENT (no such offer: accepted, withdrawn, its session ended, for
 * another session, of another store), EMSGSIZE (@count is less than @total),
 * EDQUOT (limit on held blocks), EOVERFLOW (more than KVBM_MAX_HOLDS of one
 * block, or KVBM_MAX_DUPLICATES), EINVAL (the session's own offer), ENOMEM,
 * EINTR (killed; nothing has moved).
 *
 * EOVERFLOW after some have moved is possible only if other threads of this
 * session take as many holds on one of the blocks meanwhile: then @done are this
 * session's, and the rest is the giver's and no longer offered.
 */
struct kvbm_accept {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__u32 total;
	__u32 error;
	__aligned_u64 ids;
	struct kvbm_ticket ticket;
	__aligned_u64 session;
	__aligned_u64 reserved[2];
};

#define KVBM_ACCEPT_DIRECT	(1U << 0)	/* the oldest offer to this session */

/**
 * struct kvbm_withdraw - KVBM_IOC_WITHDRAW: withdraw an offer
 * @size: sizeof(struct kvbm_withdraw)
 * @flags: must be 0
 * @ticket: the offer
 * @done: out: holds that are no longer offered
 * @reserved32: must be 0
 * @reserved: must be 0
 *
 * The holds are ordinary ones again.  If somebody has begun to accept, the call
 * returns when all have moved.
 *
 * Errnos: ENOENT (this session has no such offer: it was accepted, or withdrawn).
 */
struct kvbm_withdraw {
	__u32 size;
	__u32 flags;
	struct kvbm_ticket ticket;
	__u32 done;
	__u32 reserved32;
	__aligned_u64 reserved[2];
};

/**
 * struct kvbm_uring_cmd - payload of IORING_OP_URING_CMD on a session's
 *	descriptor: the 16 bytes of sqe->cmd; sqe->cmd_op is an enum kvbm_op of
 *	the data path
 * @args: pointer to the operation's structure, valid until completion
 * @size: the structure's size, as in its own @size
 * @flags: must be 0
 *
 * The completion's result is what the ioctl would return.  Lack of memory or a
 * wait is never -EAGAIN: see Documentation/userspace-api/kvbm.rst.
 */
struct kvbm_uring_cmd {
	__aligned_u64 args;
	__u32 size;
	__u32 flags;
};

#define KVBM_IO(op)			_IO(KVBM_TYPE, op)
#define KVBM_IOC_FEATURES		KVBM_IO(KVBM_OP_FEATURES)
#define KVBM_IOC_STORE_CREATE		KVBM_IO(KVBM_OP_STORE_CREATE)
#define KVBM_IOC_STORE_DESTROY		KVBM_IO(KVBM_OP_STORE_DESTROY)
#define KVBM_IOC_STORE_LIST		KVBM_IO(KVBM_OP_STORE_LIST)
#define KVBM_IOC_STORE_ACCESS		KVBM_IO(KVBM_OP_STORE_ACCESS)
#define KVBM_IOC_STORE_INFO		KVBM_IO(KVBM_OP_STORE_INFO)
#define KVBM_IOC_SESSION_OPEN		KVBM_IO(KVBM_OP_SESSION_OPEN)
#define KVBM_IOC_SESSION_CONFIG		KVBM_IO(KVBM_OP_SESSION_CONFIG)
#define KVBM_IOC_SESSION_LIST		KVBM_IO(KVBM_OP_SESSION_LIST)
#define KVBM_IOC_SESSION_REVOKE		KVBM_IO(KVBM_OP_SESSION_REVOKE)
#define KVBM_IOC_COUNTS			KVBM_IO(KVBM_OP_COUNTS)
#define KVBM_IOC_STATS			KVBM_IO(KVBM_OP_STATS)
#define KVBM_IOC_BLOCK_INFO		KVBM_IO(KVBM_OP_BLOCK_INFO)
#define KVBM_IOC_RESET_INACTIVE		KVBM_IO(KVBM_OP_RESET_INACTIVE)
#define KVBM_IOC_HOLDS			KVBM_IO(KVBM_OP_HOLDS)
#define KVBM_IOC_PAYLOAD		KVBM_IO(KVBM_OP_PAYLOAD)
#define KVBM_IOC_EXPORT			KVBM_IO(KVBM_OP_EXPORT)
#define KVBM_IOC_INVALIDATE		KVBM_IO(KVBM_OP_INVALIDATE)
#define KVBM_IOC_EVENTS			KVBM_IO(KVBM_OP_EVENTS)
#define KVBM_IOC_ALLOC			KVBM_IO(KVBM_OP_ALLOC)
#define KVBM_IOC_STAGE			KVBM_IO(KVBM_OP_STAGE)
#define KVBM_IOC_UNSTAGE		KVBM_IO(KVBM_OP_UNSTAGE)
#define KVBM_IOC_REGISTER		KVBM_IO(KVBM_OP_REGISTER)
#define KVBM_IOC_MATCH			KVBM_IO(KVBM_OP_MATCH)
#define KVBM_IOC_SCAN			KVBM_IO(KVBM_OP_SCAN)
#define KVBM_IOC_RELEASE		KVBM_IO(KVBM_OP_RELEASE)
#define KVBM_IOC_RETAIN			KVBM_IO(KVBM_OP_RETAIN)
#define KVBM_IOC_SET_RESET		KVBM_IO(KVBM_OP_SET_RESET)
#define KVBM_IOC_UPGRADE		KVBM_IO(KVBM_OP_UPGRADE)
#define KVBM_IOC_PRESENCE		KVBM_IO(KVBM_OP_PRESENCE)
#define KVBM_IOC_FREQUENCY		KVBM_IO(KVBM_OP_FREQUENCY)
#define KVBM_IOC_TOUCH			KVBM_IO(KVBM_OP_TOUCH)
#define KVBM_IOC_WAIT			KVBM_IO(KVBM_OP_WAIT)
#define KVBM_IOC_WATCH			KVBM_IO(KVBM_OP_WATCH)
#define KVBM_IOC_KEEP			KVBM_IO(KVBM_OP_KEEP)
#define KVBM_IOC_OFFER			KVBM_IO(KVBM_OP_OFFER)
#define KVBM_IOC_ACCEPT			KVBM_IO(KVBM_OP_ACCEPT)
#define KVBM_IOC_WITHDRAW		KVBM_IO(KVBM_OP_WITHDRAW)

#endif /* _UAPI_LINUX_KVBM_H */
