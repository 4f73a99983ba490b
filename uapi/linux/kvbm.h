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
 *   KVBM_SESSION_OPEN.  All data operations are a session's.
 *
 * Every structure begins with @size, which the caller sets to
 * sizeof(struct ...) as it knows it.  A shorter structure than the first
 * published one is -EINVAL; a longer one is accepted when what the kernel does
 * not know is zero, and is -E2BIG otherwise.  Unknown bits in @flags and
 * non-zero reserved fields are -EOPNOTSUPP.  An unknown request is -ENOTTY.
 *
 * Batches are arrays.  A batch is a sequence of atomic steps in the order
 * given.  One that stops at element k leaves the elements before k done,
 * changes nothing for k and skips the rest; @done is k and @error the errno, as
 * a positive number.  It returns k, a short count as of read(2), or the negative
 * errno if k is 0.  A batch that does not stop early returns @done, and @error
 * is 0.  Every other request returns 0.
 *
 * Errnos that any request can return: EFAULT (a bad pointer), EINVAL,
 * EOPNOTSUPP, E2BIG, ENOTTY as above, EINTR (a fatal signal ended a long
 * batch), ENODEV (the store was destroyed), ESHUTDOWN (the session was
 * revoked), EBADF (the descriptor cannot be written, see below).  Each request
 * lists its own besides.
 *
 * A descriptor that was not opened for writing takes FEATURES, STORE_LIST,
 * STORE_INFO, SESSION_LIST, SESSION_OPEN, COUNTS, STATS, BLOCK_INFO, HOLDS,
 * EXPORT, EVENTS, PRESENCE and FREQUENCY; all else is EBADF, through io_uring too.
 *
 * A bad input pointer changes nothing of its chunk (at most KVBM_CHUNK
 * elements).  A bad output pointer gives back the holds that its chunk took, and
 * the chunk does not count as done; evictions, registrations and counts stand.
 *
 * The same structures travel through io_uring: see struct kvbm_uring_cmd.
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
#define KVBM_CHUNK		64U		/* elements in one atomic stretch */
#define KVBM_MAX_TICKETS	64U		/* waiting calls and places kept, a session */
#define KVBM_MAX_CLAIMS		65536U		/* of one session */
#define KVBM_MAX_WATCHED	64U		/* hashes that a call waits for, or poll watches */
#define KVBM_MAX_OFFERS		64U		/* of one session, at once */
#define KVBM_MAX_OFFERED	(1U << 18)	/* holds in all of them together */
#define KVBM_NAME_LEN		32		/* with the final NUL */
#define KVBM_POLICY_LEN		16		/* with the final NUL */
#define KVBM_LABEL_LEN		64		/* with the final NUL */
#define KVBM_DIGEST_BYTES	32
#define KVBM_MAX_NOTE_BYTES	256U
#define KVBM_MIN_BLOCK_BYTES	4096U		/* and a block has a multiple of it */
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
	 * session: about the store and its sessions; control: all but
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
 * @chunk: out: most elements handled in one atomic stretch
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
#define KVBM_FEATURE_URING	(1ULL << 2)	/* the data path by io_uring */
#define KVBM_FEATURE_REVOKE	(1ULL << 3)	/* session list and revoke */
#define KVBM_FEATURE_PAYLOAD	(1ULL << 4)	/* a store's blocks have bytes */
#define KVBM_FEATURE_LINGER	(1ULL << 5)	/* linger_ms */
#define KVBM_FEATURE_EXPORT	(1ULL << 6)	/* all registered blocks */
#define KVBM_FEATURE_EVENTS	(1ULL << 7)	/* event_records */
#define KVBM_FEATURE_INVALIDATE	(1ULL << 9)	/* KVBM_IOC_INVALIDATE */
#define KVBM_FEATURE_CLAIMS	(1ULL << 8)	/* KVBM_STAGE_CLAIM and what goes with it */
#define KVBM_FEATURE_RETENTION	(1ULL << 10)	/* KVBM_CREATE_RETENTION, KVBM_TOUCH_NEWEST */
#define KVBM_FEATURE_OFFERS	(1ULL << 11)	/* KVBM_IOC_OFFER and what goes with it */
#define KVBM_FEATURE_NOTES	(1ULL << 12)	/* note_bytes */

/*
 * Requests about a store carry @store_id and @name.  On a session both are 0 and
 * empty: it is about the session's own store.  On control exactly one is given;
 * by @store_id every store is reached, anonymous ones and destroyed ones that
 * somebody still has open too, by @name the one that /dev/kvbm/<name> is.
 * Anything else is EINVAL.  ENOENT: there is no such store.
 */

/**
 * struct kvbm_store_create - KVBM_IOC_STORE_CREATE, on control
 * @size: sizeof(struct kvbm_store_create)
 * @flags: KVBM_CREATE_*
 * @total_blocks: blocks in the pool, 1 to KVBM_MAX_BLOCKS
 * @block_size: tokens in a block, 1 to KVBM_MAX_BLOCK_SIZE; 0 means 16
 * @policy: eviction index: "fifo", "lru", "multi_lru", "lineage_tick" or
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
 * @max_held: blocks that one session may hold at once, those counted that
 *	only its Duplicates keep alive; 0 means no limit
 * @rights: KVBM_RIGHT_*: what sessions may do that neither the owner nor an
 *	administrator opened
 * @fd: out: anonymous stores: the first session's descriptor (close-on-exec);
 *	-1 for named ones
 * @store_id: out: identity of the store: 64 random bits, never 0
 * @need: out, also when the call fails with ENOMEM or EDQUOT: bytes of memory
 *	that the store takes at most
 * @name: name of the store, ``[a-z0-9][a-z0-9_.-]*``, NUL-padded; empty makes an
 *	anonymous store
 * @block_bytes: with KVBM_CREATE_PAYLOAD: bytes of a block, a multiple of
 *	KVBM_MIN_BLOCK_BYTES up to KVBM_MAX_BLOCK_BYTES; otherwise 0
 * @payload_fd: with KVBM_CREATE_PAYLOAD: the file that they are in; otherwise 0
 * @linger_ms: how long the Mutable and Staged blocks of a session that ended
 *	stay away, 0 to KVBM_MAX_LINGER_MS; 0: they come back with its end
 * @digest: stands for all that the blocks' bytes depend on besides the tokens:
 *	weights, layout, data types; all 0: not told.  Users compare it
 * @label: printable ASCII for people, NUL-padded, ends with NUL; may be empty
 * @note_bytes: bytes of a block's note, up to KVBM_MAX_NOTE_BYTES; 0: there are
 *	none.  The store takes them rounded up to a multiple of 8, and 8 more, for
 *	each block
 * @event_records: how many of the store's last events are kept for who reads
 *	them, 64 bytes each: a power of two, KVBM_MIN_EVENT_RECORDS to
 *	KVBM_MAX_EVENT_RECORDS; 0: there are no events
 * @keep_blocks: with KVBM_CREATE_RETENTION: blocks that may have a rank above
 *	KVBM_RANK_NORMAL at once, at most @total_blocks; 0 means half of those.
 *	Otherwise 0
 * @keep_user_blocks: with KVBM_CREATE_RETENTION: of these, as many as one user
 *	may have raised who is neither owner nor administrator, at most
 *	@keep_blocks; 0 means half of those.  Otherwise 0
 * @reserved: must be 0
 *
 * A named store lives until it is destroyed; its node is /dev/kvbm/<name>.
 * An anonymous store lives as long as a session of it does.
 *
 * The caller may give @uid, @gid and @monitor_gid as chown(2) would let it.  A
 * named store needs CAP_SYS_ADMIN or the group of the module's parameter
 * named_gid.  Fields that must be 0 are EOPNOTSUPP if they are not.
 *
 * A note is what users want to say of a block: its parent, its tokens.  It is given
 * with the hash, at KVBM_IOC_STAGE or KVBM_IOC_REGISTER, and zeroes if it is not
 * given.  It belongs to this one registration of the hash: while that is there it
 * does not change, and no other one shows it.  A hash that is registered keeps
 * its note: what comes with Duplicates, and with what is answered with the existing
 * block, is not kept.  The kernel does not look into it.  In a store without notes
 * asking for them or giving them is EINVAL.
 *
 * Blocks linger for those whose bytes may be written to after the process is
 * gone, as by io_uring with O_DIRECT.  Registered holds come back at once, and the
 * session's place and memory.  A session may hold less than @max_held by what
 * lingers of those of its user's sessions that ended before it was opened.
 *
 * The payload is a file of memory, open for reading and writing, of at least
 * @total_blocks * @block_bytes bytes: a memfd, also with huge pages, sealed with
 * F_SEAL_SHRINK and F_SEAL_SEAL; or, with KVBM_CREATE_UNSEALED, any file of tmpfs
 * or hugetlbfs, which nobody must make shorter: who then touches what is gone
 * gets SIGBUS.  Block id's bytes are at id * @block_bytes.  The store keeps the
 * file until it is freed, see KVBM_IOC_PAYLOAD.  The kernel neither maps nor
 * writes it.  Errnos, in this order: EINVAL (@block_bytes, or one of these
 * without KVBM_CREATE_PAYLOAD), EBADF (no such descriptor), EACCES (not open for
 * both), EINVAL (no file of memory), EPERM (not sealed), EACCES (sealed against
 * writing), EFBIG (too short).
 *
 * Errnos: EEXIST (name taken, maybe by a store that is just being made), EPERM
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
#define KVBM_CREATE_OPAQUE	(1U << 2)	/* hashes have no lineage: mode 0, else any bits */
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
 * not count) it is -EBUSY; forced, every session is revoked first (their calls
 * return -ENODEV) and all holds come back.  An anonymous store always has
 * sessions.  Forced on a store that was destroyed before, it waits until its
 * sessions have lost all they held.
 *
 * What a revocation does not do is told with KVBM_IOC_SESSION_REVOKE.
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
 * Fields that are not to change must be 0.  Needs the store's owner or
 * CAP_SYS_ADMIN; another owner CAP_CHOWN, a group of which the caller is no
 * member likewise.  Open sessions keep what they have.  Attributes follow;
 * /dev/kvbm/<name> keeps its own permissions, which can only narrow (udev is
 * told of the change).
 *
 * Errnos: ENOENT, EPERM, EINVAL, ENOMEM (attributes may not have followed).
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
 * @sessions: open sessions, revoked ones not counted
 * @uid: owner, in the caller's user namespace
 * @gid: group
 * @mode: permissions
 * @monitor_gid: group that may read statistics; -1: none
 * @flags: KVBM_STORE_*
 * @charged_uid: user against whose limits the store counts
 * @memory: bytes of memory that it takes, hold tables not counted
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

#define KVBM_STORE_DYING	(1U << 0)	/* destroyed, but somebody has it open */

/**
 * struct kvbm_store_list - KVBM_IOC_STORE_LIST, on control
 * @size: sizeof(struct kvbm_store_list)
 * @flags: must be 0
 * @count: room at @entries, in entries
 * @done: out: entries written
 * @total: out: stores there are to list
 * @entry_size: bytes from one entry to the next, a multiple of 8, at most 4096:
 *	sizeof(struct kvbm_store_entry) as the caller knows it.  Of what the
 *	kernel knows it writes as much as fits, and zeroes behind that.
 * @cursor: in: 0 to begin, else what the last call left; out: where to go on.
 *	Fewer than @count: that was all.
 * @entries: pointer to @count entries
 *
 * A store that is there all the while is listed once, whatever comes and goes.
 * Anonymous and destroyed stores are listed to their owners and to
 * CAP_SYS_ADMIN.
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
 * @sessions: out: sessions open now, revoked ones not counted
 * @revoked: out: sessions that were revoked but whose file is still open
 * @chunk: out: KVBM_CHUNK of the running module
 * @status: out: KVBM_STORE_*
 * @uid: out: owner, in the caller's user namespace
 * @gid: out: group
 * @mode: out: permissions
 * @monitor_gid: out: group that may read statistics; -1: none
 * @rights: out: KVBM_RIGHT_*
 * @charged_uid: out: user against whose limits the store counts
 * @policy: out: eviction index, NUL-padded
 * @memory: out: bytes of memory that the store takes, hold tables not counted
 * @need: out: bytes that its creation allowed for
 * @created_ns: out: CLOCK_BOOTTIME at creation, ns
 * @session_memory: out: bytes of the calling session's hold table; 0 on control
 * @session_id: out: the calling session, as KVBM_IOC_SESSION_LIST names it; 0 on
 *	control
 * @block_bytes: out: bytes of a block, 0 without a payload
 * @linger_ms: out: how long the blocks of a session that ended stay away
 * @note_bytes: out: bytes of a block's note, 0: there are none
 * @event_records: out: events that are kept, 0: there are none
 * @reserved32: out: 0
 * @digest: out: as at creation
 * @label: out: likewise, NUL-padded
 * @page_bytes: out: as of struct kvbm_payload, 0 without a payload
 * @resident: out: likewise
 * @keep_blocks: out: blocks that may be above KVBM_RANK_NORMAL at once; 0 without
 *	retention
 * @keep_user_blocks: out: of these, raised by one user
 * @reserved: out: 0
 *
 * On control for who may read the statistics: the owner, CAP_SYS_ADMIN, who may
 * open the store to read, the monitoring group.
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
 * The new descriptor can be read and written as the one that asked can.
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
 * @low_watermark: poll(2) says writable when an allocation of this many blocks
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
 * @session_id: names the session among those of its store
 * @opened_ns: CLOCK_BOOTTIME at open, ns
 * @last_call_ns: CLOCK_BOOTTIME of its last request, ns, within a tick; a time
 *	of which the machine was suspended since is not counted
 * @waiting_since_ns: CLOCK_BOOTTIME at which its longest waiting allocation
 *	began to wait, ns; 0: none waits
 * @holds: holds on registered blocks
 * @memory: bytes of its hold table
 * @held: blocks held (each counted once, Mutable and Staged too, and Primaries
 *	that a Duplicate of the session's keeps alive)
 * @mutable_blocks: Mutable blocks owned
 * @staged_blocks: Staged blocks owned
 * @allocating: blocks of allocations under way, waiting ones too, and of offers that
 *	it is accepting
 * @waiting: blocks that its waiting allocations want
 * @pid: process that opened it, in the caller's pid namespace; 0 when it has
 *	no number there
 * @uid: that process's uid, in the caller's user namespace
 * @flags: KVBM_SESSION_*
 * @comm: name of the process that opened it
 * @match_hashes_requested: as in struct kvbm_stats, of this session alone, as all
 *	that follow
 * @match_blocks_returned: likewise
 * @registrations: likewise
 * @allocations: likewise
 * @evictions: of these, those that evicted somebody's idle block
 * @alloc_failures: allocations that failed with ENOSPC, EDQUOT or ETIMEDOUT
 * @offered: of @holds, those that are offered
 * @offers: its offers that nobody has accepted yet
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
#define KVBM_SESSION_READONLY	(1U << 1)	/* it cannot be written */
#define KVBM_SESSION_LINGERS	(1U << 2)	/* @mutable_blocks come back later */
#define KVBM_SESSION_ENDED	(1U << 3)	/* and that is all there is of it */

/**
 * struct kvbm_session_list - KVBM_IOC_SESSION_LIST, on control and sessions
 * @size: sizeof(struct kvbm_session_list)
 * @flags: must be 0
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @count: room at @entries, in entries
 * @done: out: entries written
 * @total: out: sessions there are, revoked ones that are open too
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
 * @reclaimed: out: holds and owned blocks that it took back
 * @reserved: must be 0
 *
 * Takes every hold from the sessions and makes their calls fail with ESHUTDOWN.
 * It waits for none of them; when it returns, all is back, also what somebody
 * else's revocation has begun to take.  With both flags sessions must fit both.
 * Sessions that are opened meanwhile are not meant.  Permission as for
 * KVBM_IOC_SESSION_LIST.
 *
 * It takes the store's records, not the process's mappings or devices: who had a
 * block can go on to write where it lies.  So in a store with linger_ms the
 * blocks that a session owned linger; with KVBM_REVOKE_NOW they come back at
 * once: kill the process first.  What lingers of sessions that ended before comes
 * back with KVBM_REVOKE_NOW, and when @session_id names it.
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
 * struct kvbm_counts - KVBM_IOC_COUNTS, on control and sessions: one snapshot
 *	that really existed
 * @size: sizeof(struct kvbm_counts)
 * @flags: must be 0
 * @store_id: in: the store, or 0; out: identity
 * @name: the store, or empty
 * @total: out: blocks of the store
 * @reset: out: blocks in the free list
 * @inactive: out: registered idle blocks
 * @available: out: @reset + @inactive
 * @registered: out: distinct hashes present
 * @reserved_blocks: out: of @available, promised to allocations under way
 * @waiters: out: allocations waiting
 * @held: out: Mutable, Staged and held registered blocks, with those that
 *	allocations under way have taken already
 * @lingering: out: blocks of sessions that ended, which come back later: see
 *	linger_ms of struct kvbm_store_create
 * @reserved: out: 0
 *
 * @reset + @inactive + @held + @lingering is @total at every moment.  @held is
 * counted on its own, not taken from the others.
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
 * @allocations_from_reset: of these, from the free list
 * @evictions: of these, by evicting
 * @registrations: registrations, duplicates and dedups included
 * @duplicate_blocks: registrations that made a Duplicate
 * @registration_dedup: registrations answered with the existing block
 * @stagings: blocks staged
 * @match_hashes_requested: hashes in match queries
 * @match_blocks_returned: holds that matches gave
 * @scan_hashes_requested: hashes in scan queries
 * @scan_blocks_returned: holds that scans gave
 * @inflight_mutable: gauge: Mutable blocks
 * @inflight_immutable: gauge: holds on registered blocks, without keep-alives
 * @reset_pool_size: gauge: blocks in the free list
 * @inactive_pool_size: gauge: registered idle blocks
 * @staged: gauge: Staged blocks
 * @sessions: gauge: open sessions, revoked ones not counted
 * @revoked_sessions: gauge: revoked sessions whose file is still open
 * @reclaimed_sessions: sessions that ended while holding something
 * @reclaimed_owned: Mutable and Staged blocks that such ends gave back
 * @reclaimed_holds: holds on registered blocks that such ends gave back
 * @reclaim_last_ns: duration of the last such end, ns
 * @reclaim_max_ns: longest such duration, ns
 * @waits: allocations that had to wait
 * @wait_grants: of these, granted
 * @wait_wakeups: wake-ups sent to waiting allocations
 * @index_evictions: idle blocks that went to Reset since a registration found
 *	no room in the index; not in @evictions
 * @held: gauge: as in struct kvbm_counts
 * @lingering: gauge: likewise
 * @claims: claims made
 * @claims_pending: claims refused, as somebody had the hash claimed
 * @claims_present: claims refused, as the hash was present
 * @claim_waits: calls that had to wait for the ends of claims
 * @pending: gauge: hashes that are claimed
 * @alloc_nospace: allocations that failed with ENOSPC
 * @alloc_quota: allocations that failed with EDQUOT
 * @alloc_timeouts: allocations that waited, and failed with ETIMEDOUT
 * @offers: offers made
 * @offers_accepted: of these, those that were accepted
 * @handed_over: holds that passed from one session to another by that
 * @offered: gauge: holds that are offered
 * @wait_ns: time that granted allocations had waited, ns
 * @evicted_idle_ns: time that blocks in @evictions had been idle, ns
 * @rank_first: gauge: blocks of KVBM_RANK_FIRST; one whose time has come may be
 *	counted for another second, in the next two as well
 * @rank_high: gauge: blocks of KVBM_RANK_HIGH
 * @rank_keep: gauge: blocks of KVBM_RANK_KEEP
 * @evicted_first: blocks of KVBM_RANK_FIRST that left with KVBM_REASON_EVICTED
 * @evicted_high: likewise of KVBM_RANK_HIGH
 * @evicted_keep: likewise of KVBM_RANK_KEEP
 * @rank_expired: blocks that went to KVBM_RANK_NORMAL as their time had come
 * @wait_histogram: granted allocations by the time that they had waited: [i] those
 *	of less than 2^(i + KVBM_WAIT_SHIFT) ns that are not in the one before, the
 *	last one all others
 * @evicted_idle_histogram: blocks in @evictions by the time that they had been idle:
 *	[i] those of less than 2^(i + KVBM_IDLE_BUCKET_SHIFT) ns that are not in the
 *	one before, the last one all others; by a clock that ticks every 8 to 16 ms
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

/* Slot states, as KVBM_IOC_BLOCK_INFO tells them. */
enum kvbm_state {
	KVBM_STATE_RESET = 0,
	KVBM_STATE_MUTABLE = 1,
	KVBM_STATE_STAGED = 2,
	KVBM_STATE_PRIMARY = 3,
	KVBM_STATE_DUPLICATE = 4,
	KVBM_STATE_INACTIVE = 5,
	KVBM_STATE_LINGERING = 6,	/* was Mutable or Staged, of a session that ended */
	KVBM_STATE_FORGOTTEN = 7,	/* was Primary, and is held; no look-up finds it */
};

/**
 * struct kvbm_block_info - KVBM_IOC_BLOCK_INFO, on a session
 * @size: sizeof(struct kvbm_block_info)
 * @flags: KVBM_BLOCK_OWN or 0
 * @block: in: block id
 * @state: out: enum kvbm_state
 * @generation: out: generation of the slot
 * @reset_on_release: out: the slot's flag, 0 or 1
 * @holds: out: holds in the whole store, keep-alives of Duplicates included; 1
 *	for a Mutable or Staged block; with KVBM_BLOCK_OWN 0.  Visits every
 *	session: slow
 * @own_holds: out: the calling session's
 * @sessions: out: sessions that hold it, and Duplicates that keep it alive
 * @hash: out: sequence hash; zero for Reset and Mutable, and for a block that
 *	is Staged by another session
 * @keep_rank: out: enum kvbm_rank of a Primary or idle block, a Duplicate has its
 *	Primary's; KVBM_RANK_NORMAL for all others, and without retention
 * @reserved32: out: 0
 * @keep_until_ns: out: CLOCK_BOOTTIME of the caller's time namespace at which it
 *	becomes KVBM_RANK_NORMAL, ns; 0: it stays
 * @note: pointer to __u8[note_bytes] or 0, out: the block's note; a Duplicate has
 *	its Primary's; zeroes where @hash is zero
 *
 * A descriptor that cannot be written is told of blocks only that its session
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

#define KVBM_BLOCK_OWN		(1U << 0)	/* do not ask all sessions */

/**
 * struct kvbm_hold_entry - one block that a session holds
 * @block: block id
 * @state: enum kvbm_state: Mutable, Staged, Primary, Duplicate or Forgotten
 * @holds: the session's holds; 1 for a Mutable or Staged block; 0 for a Primary
 *	that only a Duplicate of the session's keeps alive
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
 * @count: room at @entries, in entries
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
 * @flags: in: must be 0; out: KVBM_RESET_WHOLE when the whole store is Reset
 * @store_id: the store, or 0
 * @name: the store, or empty
 * @done: out: blocks reset
 * @reserved: must be 0
 *
 * Resets what was inactive at the start, in eviction order; other operations
 * may run between chunks.  On control for the store's owner and CAP_SYS_ADMIN;
 * on a session for who opened it as one of these, or KVBM_RIGHT_RESET_INACTIVE.
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
 * @held: out: blocks that their holders keep
 * @reserved: must be 0
 *
 * When it returns, no match, scan, upgrade or presence finds what was registered
 * under these hashes when it began.  Idle blocks go to Reset.  Held ones are
 * KVBM_STATE_FORGOTTEN: they stay valid for their holders, and go to Reset with
 * the last hold.  Claims of the hashes end.  A hash may be registered anew.
 *
 * With KVBM_INVALIDATE_PREFIX each hash stands for itself and for all registered
 * ones that descend from it, parent by parent; what is behind a parent that is
 * not registered is not found.  It takes up to 48 bytes of memory for each block
 * behind the prefix's position, while it runs.  Opaque hashes have no parents:
 * EOPNOTSUPP.
 *
 * With KVBM_INVALIDATE_ALL everything is forgotten, also what is registered while
 * it runs, and blocks that were allocated before can be staged and registered no
 * more (ESTALE): release them.
 *
 * On control for the store's owner and CAP_SYS_ADMIN; on a session likewise.
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

#define KVBM_INVALIDATE_PREFIX	(1U << 0)	/* and all that descends from them */
#define KVBM_INVALIDATE_ALL	(1U << 1)	/* everything: @count is 0 */

/**
 * struct kvbm_payload - KVBM_IOC_PAYLOAD, on a session: the blocks' bytes
 * @size: sizeof(struct kvbm_payload)
 * @flags: KVBM_PAYLOAD_*
 * @block_bytes: out: bytes of a block; block id's are at id * @block_bytes
 * @bytes: out: of all blocks
 * @page_bytes: out: 4096, or the size of the file's huge pages: lengths and
 *	offsets of mappings are multiples of it
 * @resident: out: bytes for which there is memory already
 * @fd: out: with KVBM_PAYLOAD_FD: a descriptor of the file (close-on-exec); -1
 *	otherwise
 * @reserved: must be 0
 *
 * The descriptor is an open file description of its own: nobody else has its
 * offset, flags and locks.  It, and what is mapped through it, stay good after the
 * session, the store and the module; they keep neither alive.  With
 * KVBM_PAYLOAD_RDONLY it cannot be written to or mapped writable, which protects
 * from accidents: who may open the file itself can open it anew through
 * /proc/self/fd.
 *
 * Errnos: EBADF (the session cannot be written), ENODATA (the store has no
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

#define KVBM_PAYLOAD_FD		(1U << 0)	/* give a descriptor */
#define KVBM_PAYLOAD_RDONLY	(1U << 1)	/* for reading only */

/**
 * struct kvbm_events - KVBM_IOC_EVENTS, on control and sessions: a descriptor to
 *	read the store's events from
 * @size: sizeof(struct kvbm_events)
 * @flags: KVBM_EVENTS_*
 * @store_id: in: the store, or 0; out: identity
 * @name: the store, or empty
 * @types: bit (1 << enum kvbm_event_type) for each type that is wanted; 0: STORED
 *	and REMOVED.  CLEARED and LOST always come
 * @fd: out: the descriptor (close-on-exec)
 * @next: in: number of the first event to read, as of one read before; 0: the next
 *	that happens; out: number of the first event that will be read
 * @records: out: events that are kept
 * @record_size: out: bytes of each that read(2) gives: sizeof(struct kvbm_event);
 *	with KVBM_EVENTS_NOTES note_bytes more, rounded up to a multiple of 8
 * @reserved: must be 0
 *
 * read(2) of the descriptor gives as many struct kvbm_event as there are and fit,
 * in order; with room for less than one it is EINVAL.  If there is none it waits,
 * or is EAGAIN; after the store's end, and the event that tells of it, it is 0.
 * poll(2) says readable when there is one, and EPOLLHUP when the store has ended.
 * Events happened in this order, and to each hash in this order: it is STORED
 * once, then REMOVED once, however many blocks have it.
 *
 * With KVBM_EVENTS_NOTES each is followed by the note of its block, if @noted
 * says so: when it is read, the block must still be registered under the event's
 * generation, held or idle or invalidated; else there are zeroes.  So what has left
 * has no note any more, nor has anything once the store is gone.
 *
 * Nobody waits for a reader.  One that is too slow gets a LOST event in place of
 * what is not kept any more.  Numbers that are skipped otherwise are of events of
 * types that it did not want.
 *
 * The descriptor is no session.  It keeps the events, but not the store.
 *
 * Hashes are what tenants must not learn of each other.  So this is for who may
 * open the store to read, not for the monitoring group: on a session the
 * descriptor must be open for reading.
 *
 * Errnos: EBADF (not open for reading), ENODATA (the store keeps no events),
 * EINVAL (@next is not yet to come, unknown @types, or KVBM_EVENTS_NOTES and the
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

#define KVBM_EVENTS_NONBLOCK	(1U << 0)	/* as O_NONBLOCK; fcntl(2) changes it */
#define KVBM_EVENTS_NOTES	(1U << 1)	/* a note behind each event */

enum kvbm_event_type {
	KVBM_EVENT_STORED = 1,		/* the hash is present now */
	KVBM_EVENT_REMOVED = 2,		/* it is not any more */
	KVBM_EVENT_DUPLICATE = 3,	/* a Duplicate of it was made */
	KVBM_EVENT_DUPLICATE_GONE = 4,	/* and is gone */
	KVBM_EVENT_CLEARED = 5,		/* none is present any more */
	KVBM_EVENT_LOST = 6,		/* events are missing here */
};

enum kvbm_reason {
	KVBM_REASON_NONE = 0,
	KVBM_REASON_EVICTED = 1,	/* for an allocation */
	KVBM_REASON_RELEASED = 2,	/* reset on its last release */
	KVBM_REASON_RECLAIMED = 3,	/* the same, as its session ended */
	KVBM_REASON_RESET = 4,		/* KVBM_IOC_RESET_INACTIVE */
	KVBM_REASON_DISPLACED = 5,	/* the index had no room for it and another */
	KVBM_REASON_DESTROYED = 6,	/* the store was */
	KVBM_REASON_INVALIDATED = 7,	/* KVBM_IOC_INVALIDATE */
};

/**
 * struct kvbm_event - what happened to a hash
 * @seq: number of the event; the store's first one is 1
 * @time_ns: CLOCK_BOOTTIME, ns; of up to KVBM_CHUNK events together
 * @session: session that did it, as KVBM_IOC_SESSION_LIST names it; 0: none did
 * @hash: sequence hash
 * @block: block id
 * @generation: of its slot, while it had the hash
 * @type: enum kvbm_event_type
 * @reason: enum kvbm_reason: why it was removed
 * @noted: with KVBM_EVENTS_NOTES: 1: what follows is the block's note; otherwise 0
 * @count: with KVBM_EVENT_LOST: how many are missing; @seq is the last one's
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
 * @hash: the hash, which is not present any more
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
 * @state: KVBM_STATE_INACTIVE (idle), or KVBM_STATE_PRIMARY (held)
 * @rank: multi_lru: an idle block's list, 0 to 3; 0 is evicted first
 * @order: an idle block's place in the order of eviction, in its list; lower
 *	goes first, but for the lineage policies, of which only leaves go. 0: it
 *	has none: it is held, or under lineage_fifo no leaf
 * @keep_rank: enum kvbm_rank; KVBM_RANK_NORMAL without retention
 * @sequence: number of the store's last event when this was so; 0 without events
 * @keep_until_ns: CLOCK_BOOTTIME of the caller's time namespace at which it becomes
 *	KVBM_RANK_NORMAL, ns; 0: it stays
 *
 * Of two idle blocks, the one with the lower @keep_rank is evicted first; @rank and
 * @order are within it.  Who has the same blocks registered and idle in another
 * store of the policy, those without @order first, the others in ascending @order,
 * each with a frequency that leads to @rank, and of the same @keep_rank, has the
 * same order of eviction.
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
 * @count: room at @entries, in entries
 * @done: out: entries written
 * @total: out: distinct hashes present
 * @entry_size: as for struct kvbm_store_list
 * @cursor: likewise; blocks come in ascending order of their ids
 * @entries: pointer to @count entries
 * @sequence: out: number of the store's last event at the end of the call; 0
 *	without events
 * @notes: pointer to __u8[@count][note_bytes] or 0, out: the notes of @entries,
 *	each as true as its entry
 *
 * Duplicates are not listed.  The call looks at up to KVBM_CHUNK blocks at a time;
 * the entries of one such part were true together.  Of a store that is in use the
 * whole is no snapshot: what is registered behind the cursor is missing, and what
 * left meanwhile may be there; @order can be compared only when no block became
 * idle meanwhile.
 *
 * With the store's events it is exact.  Open these, then export all, keeping for
 * each hash the highest @sequence.  Then apply the events, but for a hash that was
 * exported not those up to its @sequence.  From @sequence of the last call on, what
 * results is what is registered.
 *
 * For who may read the store: the monitoring group may not, since hashes tell what
 * others asked.  It takes no session and no right to write.
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
 * @done: out: blocks given
 * @evicted: out: how many were evicted for this; with @evictions, how many of
 *	them are told there.  Valid when the call fails, too
 * @error: out: errno that ended the call, or 0
 * @ids: pointer to __u32[@count], out: block ids, free ones first
 * @evictions: pointer to struct kvbm_evicted[@count] or 0, out: @evicted
 *	entries, each a hash and the block that it left
 * @deadline_ns: with KVBM_ALLOC_WAIT: absolute time of @clock, ns; ~0 means no
 *	deadline; must be 0 otherwise
 * @ticket: with KVBM_ALLOC_WAIT: in: 0, or a place in the queue that an
 *	earlier call left; out: the place that this call leaves, or 0
 * @clock: KVBM_CLOCK_*, of the caller's time namespace; 0 without
 *	KVBM_ALLOC_WAIT
 * @reserved: must be 0
 *
 * Without KVBM_ALLOC_WAIT a shortage, or another caller waiting, is -ENOSPC.
 * With it, callers are served strictly first come first served, but for those
 * whom only their own session's releases could serve: they wait beside the
 * queue and take their place in it once it is otherwise.  The given blocks are
 * Mutable, owned by the session.
 *
 * An allocation does not stop half-way for lack of blocks.  If @ids or
 * @evictions cannot be written, the blocks whose ids were not written at all
 * are given back, and @done are the others.
 *
 * A signal that ends the wait leaves its place in the queue as a ticket: a call
 * with the same structure goes on there, which is what a call that the kernel
 * restarts does.  While no call waits with it, a ticket is passed over and keeps
 * its place.  A session has up to KVBM_MAX_TICKETS waiting calls and tickets; a
 * further one takes away the oldest ticket on which no call waits.  One that is
 * not known (any more), or was of another @count, is as 0.  Tickets end with
 * their session, when they are used, and with KVBM_ALLOC_GIVE_UP.
 *
 * Errnos: ENOSPC, EDQUOT (the session's limit on held blocks; with
 * KVBM_ALLOC_WAIT: @count is above max_held), ENOMEM, ETIMEDOUT, EINTR, EDEADLK
 * (the caller is the only user of the session, which holds so much that waiting
 * could not end; nothing of it is offered, and its limit is not lowered by what
 * lingers), EBUSY (a call waits with @ticket), EMLINK (KVBM_MAX_TICKETS calls of
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
#define KVBM_ALLOC_GIVE_UP	(1U << 2)	/* only give @ticket up; @count 0 */

#define KVBM_CLOCK_MONOTONIC	0
#define KVBM_CLOCK_BOOTTIME	1	/* goes on while the machine sleeps */

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
 * @tokens: pointer to __u32[@count] or 0: tokens in each block; one that is
 *	not the store's block size is -EINVAL
 * @notes: pointer to __u8[@count][note_bytes] or 0: the blocks' notes; 0: zeroes
 * @states: with KVBM_STAGE_CLAIM: pointer to __u8[@count], out: enum
 *	kvbm_claim_state; otherwise 0
 * @reserved: must be 0
 *
 * With KVBM_STAGE_CLAIM the hashes are claimed: it is announced that somebody
 * computes them.  A hash has at most one claim.  Who comes second is told so,
 * and who claims what is registered already; the block then stays Mutable, for
 * another hash, and the batch goes on.
 *
 * A claim ends when anybody registers the hash, and when its block is unstaged
 * or released, or its session ends, even if the block lingers.  It binds nobody:
 * who does not ask may stage and register what others have claimed.  Who waits
 * for it (KVBM_IOC_WAIT) or watches it (KVBM_IOC_WATCH) is told, and the first
 * to come may claim next.
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
 * release: gives one hold back per element, in order.  A Mutable or Staged
 * block goes to Reset.  With KVBM_RELEASE_* bits only holds of those kinds are
 * released.  Errnos: EPERM (not held, or not of the kind asked for), EBUSY (all
 * holds on it are offered, see KVBM_IOC_OFFER).
 *
 * retain: one more hold on a registered block that this session holds.
 * Errnos: EPERM (not held), EINVAL (Mutable or Staged), EOVERFLOW (more than
 * KVBM_MAX_HOLDS).
 *
 * set_reset: sets or clears the slot's reset-on-release flag.  Errnos: EPERM
 * (not held, or not registered).
 *
 * A block id is checked by ownership alone: one that is out of range is held
 * by nobody, thus EPERM.
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
 * struct kvbm_registered - what a registration came to
 * @block: block id that the session holds now
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
	KVBM_KIND_DUPLICATE = 1,	/* it was: own block, a copy (allow) */
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
 *	blocks keep what they were staged with, Mutable ones get zeroes.  What does
 *	not become a Primary has no note of its own
 * @reserved: must be 0
 *
 * Errnos: EPERM (not this session's, or not Mutable / Staged), EINVAL (an
 * invalid hash; @notes, and the store has none), ESTALE (allocated before
 * KVBM_INVALIDATE_ALL), ENOMEM (no memory for the hold table, or for @notes),
 * ENOBUFS (the index
 * has no room for the hash beside others that are held: never, unless somebody
 * chooses hashes with knowledge of the index's secrets), EDQUOT (a Duplicate would
 * keep one block more alive than max_held lets the session), EOVERFLOW (more than
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

#define KVBM_REGISTER_ALLOW	(1U << 0)	/* not the store's duplicate policy */
#define KVBM_REGISTER_REJECT	(1U << 1)

/**
 * struct kvbm_match - KVBM_IOC_MATCH and KVBM_IOC_SCAN
 * @size: sizeof(struct kvbm_match)
 * @flags: KVBM_SCAN_TOUCH for scan; KVBM_MATCH_PENDING or 0 for match
 * @count: hashes
 * @done: out: match: blocks held; scan: hashes looked up
 * @hits: out: holds given
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
 *	the call fails.  Otherwise 0
 * @reserved32: must be 0
 * @reserved: must be 0
 *
 * match holds the longest prefix, left to right, and stops at the first miss;
 * entries of @ids past @done are left alone, as are those of @generations and
 * @notes.  scan does not stop.
 *
 * @pending is looked for after the match: a hash that was missing may be
 * registered by then, and is not pending any more.
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

#define KVBM_MATCH_PENDING	(1U << 0)	/* tell @pending */
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
 * struct kvbm_upgrade - KVBM_IOC_UPGRADE: weak references to holds
 * @size: sizeof(struct kvbm_upgrade)
 * @flags: must be 0
 * @count: elements
 * @done: out: elements done
 * @hits: out: holds given
 * @error: out: errno of the element after those done, or 0
 * @weaks: pointer to struct kvbm_weak[@count]
 * @ids: pointer to __u32[@count], out: the block held now, or KVBM_NO_BLOCK
 * @generations: pointer to __u32[@count] or 0, out: generation of each block's
 *	slot; 0 for none
 * @reserved: must be 0
 *
 * Gives the same block if its slot is still registered under that generation
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
 * touch counts each hash in the sketch.  With KVBM_TOUCH_NEWEST an idle block of
 * that hash becomes the newest, as if it had been held and released just now; in
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

#define KVBM_PRESENCE_PENDING	(1U << 0)	/* tell what is claimed from what is not */
#define KVBM_TOUCH_NEWEST	(1U << 0)	/* what is idle becomes the newest */

/**
 * struct kvbm_keep - KVBM_IOC_KEEP: what is evicted first, and what last
 * @size: sizeof(struct kvbm_keep)
 * @flags: KVBM_KEEP_RELATIVE or 0
 * @count: elements
 * @done: out: elements done
 * @error: out: errno of the element after those, or 0
 * @rank: enum kvbm_rank: what the blocks get
 * @ids: pointer to __u32[@count]: blocks that the session holds; or 0
 * @hashes: pointer to struct kvbm_hash[@count]: registered blocks, held by
 *	whomever or idle; or 0.  Exactly one of the two is given
 * @until_ns: CLOCK_BOOTTIME of the caller's time namespace, ns: from then on
 *	the blocks are KVBM_RANK_NORMAL; with KVBM_KEEP_RELATIVE: so much from now;
 *	0 means for good.  Rounded up to a multiple of 2^20 ns; from 2^60 ns on it
 *	means for good.  Must be 0 with KVBM_RANK_NORMAL
 * @results: pointer to __u8[@count] or 0, out: enum kvbm_keep_result
 * @reserved: must be 0
 *
 * In a store that was made with KVBM_CREATE_RETENTION.  An allocation evicts idle
 * blocks of the lowest rank that there is; each rank in the order of the store's
 * policy.  So it never fails for the sake of ranks: when only KVBM_RANK_KEEP is
 * left, that goes.  A rank is the hash's, held or idle, and ends when the hash
 * leaves the store.  Changing it moves no block within the order.
 *
 * With the lineage policies only leaves are evicted, whatever their ranks: a kept
 * leaf keeps all its ancestors, for as long as it is there itself, and the rank
 * of an ancestor counts once it is a leaf.
 *
 * A block whose time has come counts as KVBM_RANK_NORMAL for all that this
 * structure says; for allocations within a second, if more than KVBM_CHUNK come
 * together.
 *
 * Who holds a block may give it any rank.  Who does not may only raise it: to a
 * rank that is not lower, and if that is above KVBM_RANK_NORMAL already, for no
 * shorter a time (below it: no longer).  All else is the owner's and the
 * administrators' right.
 *
 * Ranks above KVBM_RANK_NORMAL are bounded by keep_blocks and keep_user_blocks
 * of struct kvbm_store_create.  The user who gave a block such a rank last is
 * charged with it until it loses that: in a user namespace, its owner.
 *
 * Results that cannot be written change nothing: what is done stands.
 *
 * Errnos: EOPNOTSUPP (the store has no retention), EINVAL (no such rank;
 * @until_ns; not exactly one of @ids and @hashes), EPERM (of @ids: the session
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
	KVBM_RANK_FIRST = 0,		/* goes before all others */
	KVBM_RANK_NORMAL = 1,		/* what every block has at first */
	KVBM_RANK_HIGH = 2,
	KVBM_RANK_KEEP = 3,		/* goes when there is nothing else */
};

enum kvbm_keep_result {
	KVBM_KEEP_DONE = 0,
	KVBM_KEEP_ABSENT = 1,		/* no such hash is registered */
	KVBM_KEEP_DENIED = 2,		/* lowered it would be, and it is not held */
	KVBM_KEEP_FULL = 3,		/* too much is raised already */
};

/**
 * struct kvbm_wait - KVBM_IOC_WAIT: wait for others to compute
 * @size: sizeof(struct kvbm_wait)
 * @flags: must be 0
 * @count: hashes, at most KVBM_MAX_WATCHED
 * @clock: KVBM_CLOCK_*, of the caller's time namespace
 * @hashes: pointer to struct kvbm_hash[@count]
 * @deadline_ns: absolute time of @clock, ns; ~0 means no deadline
 * @pending: out: claims that had not ended, 0 when the call succeeds
 * @reserved32: must be 0
 * @reserved: must be 0
 *
 * Sleeps until all the claims of these hashes have ended that there were when it
 * began; see KVBM_STAGE_CLAIM for what ends one.  A hash that is claimed anew
 * meanwhile does not prolong it.  All who wait for a claim are woken; which of
 * them claims next is not told here, but by the claim.
 *
 * Two sessions can each wait for what the other has claimed; then only the
 * deadlines end it.  It cannot happen when all register, or give up, what they
 * have claimed before they wait; nor when they wait only for hashes of higher
 * positions than all that they have claimed: claim from left to right, and
 * unstage what stands to the right of the one that is waited for.
 *
 * Errnos: ETIMEDOUT, EINTR, EDEADLK (the session has one of them claimed
 * itself), EMLINK (KVBM_MAX_TICKETS calls of the session wait), ENOMEM.
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
 * struct kvbm_watch - KVBM_IOC_WATCH: have poll tell when claims end
 * @size: sizeof(struct kvbm_watch)
 * @flags: must be 0
 * @count: hashes, at most KVBM_MAX_WATCHED; 0: watch nothing
 * @pending: out: hashes that are claimed, and watched now
 * @hashes: pointer to struct kvbm_hash[@count]
 * @states: pointer to __u8[@count] or 0, out: KVBM_PENDING for a hash that is
 *	claimed, KVBM_ABSENT for one that is not (registered or not)
 * @reserved: must be 0
 *
 * What the session watched before, it watches no more.  From the moment that
 * the first claim of those watched ends, poll(2) says POLLPRI, until the next
 * call.  So: watch, look after what is not pending, poll for POLLPRI, and again.
 * A claim of the session's own may be watched, too.
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
 * @fd: with KVBM_OFFER_DIRECT: a descriptor of the session that alone may
 *	accept; otherwise 0
 * @ids: pointer to __u32[@count]: block ids, one for each hold
 * @ticket: out: names the offer, to be passed on to who is to accept
 * @reserved: must be 0
 *
 * All or nothing: either all holds are offered, or none is.  They are holds on
 * registered blocks, Primary, Duplicate or forgotten; what is Mutable or Staged
 * cannot be offered.
 *
 * The holds stay the session's until they are accepted: they go with it when it
 * ends, and its offers end then.  Meanwhile they can neither be released nor
 * offered again (EBUSY); other holds on the same blocks can, as can what is
 * retained or matched after.
 *
 * Whoever has the ticket can accept: any session of the store that can be
 * written; with KVBM_OFFER_DIRECT only the one that @fd is of.  poll(2) then says
 * POLLIN there while such an offer is open.  If that session ends, nobody can
 * accept, and the offer waits to be withdrawn.
 *
 * Errnos: EPERM (not held), EINVAL (Mutable or Staged; @count; @fd is this session
 * itself), EBUSY (more often than it is held and not offered yet), EDQUOT
 * (KVBM_MAX_OFFERS or KVBM_MAX_OFFERED of the session), ENOMEM, EBADF (@fd is no
 * session, or cannot be written), EXDEV (@fd is of another store), ENOENT (the
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

#define KVBM_OFFER_DIRECT	(1U << 0)	/* @fd says to whom */

/**
 * struct kvbm_accept - KVBM_IOC_ACCEPT: take over what is offered
 * @size: sizeof(struct kvbm_accept)
 * @flags: KVBM_ACCEPT_DIRECT or 0
 * @count: room at @ids, up to KVBM_MAX_BATCH
 * @done: out: holds that are this session's now
 * @total: out: holds of the offer, also when the call fails with EMSGSIZE
 * @error: out: errno that ended the call, or 0
 * @ids: pointer to __u32[@count], out: block ids in the order in which they were
 *	offered
 * @ticket: in: the offer; with KVBM_ACCEPT_DIRECT in: 0, out: the ticket of the
 *	oldest open offer to this session, also when the call fails after that
 * @session: out: who offered, as KVBM_IOC_SESSION_LIST names it
 * @reserved: must be 0
 *
 * All or nothing: @ids are written and the session's limits are looked at first;
 * from then on the call cannot fail, and nobody's death ends it half-way: what is
 * left is moved by who ends a session.  Holds move up to KVBM_CHUNK at a time; at
 * each moment each of them is one session's.  Returns how many.
 *
 * For max_held each block of the offer counts as one that the session has not
 * yet; a Duplicate as two.
 *
 * Of several calls with one ticket one succeeds.  Until the holds are its own,
 * a call has made use of nothing: one that is stuck in user memory holds up
 * nobody, and @ids are not to be believed before it has returned.
 *
 * Errnos: ENOENT (no such offer: accepted, withdrawn, its session ended, to
 * somebody else, of another store), EMSGSIZE (@count is less than @total),
 * EDQUOT (limit on held blocks), EOVERFLOW (more than KVBM_MAX_HOLDS of one
 * block, or KVBM_MAX_DUPLICATES), EINVAL (the session's own offer), ENOMEM,
 * EINTR (killed; nothing has moved).
 *
 * EOVERFLOW after some have moved is possible only if other threads of this
 * session make as many holds on one of the blocks meanwhile: then @done are this
 * session's, and the rest is the giver's and not offered any more.
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
 * struct kvbm_withdraw - KVBM_IOC_WITHDRAW: take an offer back
 * @size: sizeof(struct kvbm_withdraw)
 * @flags: must be 0
 * @ticket: the offer
 * @done: out: holds that are not offered any more
 * @reserved32: must be 0
 * @reserved: must be 0
 *
 * The holds are the session's as before.  If somebody has begun to accept, it
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
 * @args: pointer to the operation's structure, alive until completion
 * @size: the structure's size, as in its own @size
 * @flags: must be 0
 *
 * The completion's result is what the ioctl would return.  A short memory or a
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
