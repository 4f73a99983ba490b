/* SPDX-License-Identifier: MIT */
/*
 * libkvbm: a host-wide KV cache, managed by the kernel.
 *
 * A store is a pool of blocks.  The control device, /dev/kvbm/control, creates,
 * lists and destroys stores.  A session is one open file description of a
 * store; it owns the holds that it takes, and closing its last descriptor
 * releases all of them.  Both are plain file descriptors here: poll(2),
 * dup(2), fork(2) and SCM_RIGHTS work as usual, and close(2) ends
 * them.  The library opens them close-on-exec.
 *
 * Every function that can fail returns >= 0 on success and -errno on failure;
 * errno itself is not part of the interface.  The library keeps no state:
 * any thread may call any function at any time, several threads
 * may share a session, and nothing has to be initialised.  No function
 * allocates memory.
 *
 * Batches.  Functions that take @n elements do them in order, each one
 * atomically.  A failure at element k leaves the elements before k done, changes
 * nothing for k and skips the rest; k is stored in *@done, which may be NULL.
 * On success the number of elements done is returned and stored.  @n is at most
 * KVBM_MAX_BATCH; n = 0 succeeds.
 *
 * Errors that any function with a descriptor can return:
 *
 *   -EBADF		not a descriptor
 *   -ENOTTY		not a descriptor of kvbm, or not of the right kind, or
 *			the running module does not know the request
 *   -EFAULT		a bad pointer
 *   -EINVAL		an argument out of its documented range
 *   -EOPNOTSUPP	a flag that the running module does not know
 *   -E2BIG		a field that the running module does not know
 *   -EINTR		a signal (a fatal one, except where a call waits)
 *   -ENODEV		the store was destroyed
 *   -ESHUTDOWN		the session was revoked
 *
 * A read-only descriptor allows queries only: features, info, counts, statistics,
 * listings, holds, presence, frequency, and opening further sessions like it.
 * Everything else is -EBADF.
 *
 * Each function lists its further errors.
 *
 * The structures, flags and limits come from <linux/kvbm.h>.  The library sets
 * their size fields, and clears output structures before the call,
 * so that fields unknown to an older module read as 0.  A structure that grows
 * in a later release gets a new symbol version: programs keep working with the
 * structure they were compiled with.
 */
#ifndef KVBM_H
#define KVBM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvbm.h>

/*
 * Functions and structures share some names, as stat(2) and struct stat do: in
 * C++, too, say "struct kvbm_match" for the structure.
 */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#endif

/* The directory of the nodes. */
#define KVBM_DEV_DIR		"/dev/kvbm"
#define KVBM_CONTROL_PATH	KVBM_DEV_DIR "/control"

/* No deadline. */
#define KVBM_NO_DEADLINE	UINT64_MAX

/* A sequence hash can have positions below this one. */
#define KVBM_MAX_POSITIONS	(1U << 24)

/* The salt hash of a prompt without adapter and salt, see kvbm_salt_hash(). */
#define KVBM_NO_SALT		UINT64_C(1337)

/* Bytes of the digest for kvbm_hash_opaque(). */
#define KVBM_DIGEST_LEN		32

/*
 * Descriptors
 */

/**
 * kvbm_control_open() - open the control device
 *
 * Return: a descriptor, or -errno: -ENOENT (the module is not loaded), -EACCES
 * (no permission), -EMFILE, -ENFILE.
 */
int kvbm_control_open(void);

/**
 * kvbm_open() - open a new session of a named store
 * @name: the store's name, or an absolute path to its node
 *
 * A session starts without holds, with a low watermark of 1.
 *
 * Anybody who may create named stores may have taken the name: kvbm_open_expect()
 * checks whose store it is.
 *
 * Return: the session's descriptor, or -errno: -ENOENT (no such store),
 * -EACCES (no permission), -EINVAL (@name cannot be a store's name), -EUSERS
 * (the store's limit on sessions), -ENODEV (the store is going away), -ENXIO
 * (the node's store is gone), -EMFILE, -ENFILE, -ENOMEM.
 */
int kvbm_open(const char *name);

/**
 * struct kvbm_expect - the store that a caller expects to open
 * @flags: KVBM_EXPECT_*
 * @uid: with KVBM_EXPECT_UID: its owner
 * @store_id: with KVBM_EXPECT_ID: its identity
 * @block_bytes: with KVBM_EXPECT_BLOCK_BYTES: bytes of a block, 0: it has none
 * @block_size: with KVBM_EXPECT_BLOCK_SIZE: tokens in a block
 * @differs: out: KVBM_EXPECT_* of everything that differs
 * @digest: with KVBM_EXPECT_DIGEST: the digest given at its creation
 */
struct kvbm_expect {
	uint32_t flags;
	uint32_t uid;
	uint64_t store_id;
	uint64_t block_bytes;
	uint32_t block_size;
	uint32_t differs;
	uint8_t digest[32];
};

#define KVBM_EXPECT_UID		(1U << 0)
#define KVBM_EXPECT_ID		(1U << 1)
#define KVBM_EXPECT_READONLY	(1U << 2)	/* open read-only */
#define KVBM_EXPECT_DIGEST	(1U << 3)
#define KVBM_EXPECT_BLOCK_BYTES	(1U << 4)
#define KVBM_EXPECT_BLOCK_SIZE	(1U << 5)

/**
 * kvbm_open_expect() - open a new session of a store if it is the right one
 * @name: as for kvbm_open()
 * @expect: the expected store; out: ->differs
 *
 * Return: as kvbm_open(), and -ESTALE (it is another store; see ->differs),
 * -EINVAL (an unknown flag).
 */
int kvbm_open_expect(const char *name, struct kvbm_expect *expect);

/**
 * kvbm_session_open() - open another session of a session's store
 * @session: a session, of a named or an anonymous store
 *
 * The new session shares only the store with @session.  It has the access mode of
 * @session.
 *
 * Return: the new session's descriptor, or -errno: -EUSERS (limit on sessions),
 * -EMFILE, -ENFILE, -ENOMEM.
 */
int kvbm_session_open(int session);

/**
 * kvbm_features() - what the running module can do
 * @fd: the control device or a session
 * @features: out
 *
 * Return: 0 or -errno.
 */
int kvbm_features(int fd, struct kvbm_features *features);

/*
 * Stores
 *
 * Functions that end in _of() refer to a store by reference, and need the
 * control device but no session: administration needs neither a free place for a
 * session nor permission to open the store.  On a session, with a NULL reference,
 * they refer to its own store.
 */

/**
 * struct kvbm_store_ref - names a store by exactly one of these
 * @id: its identity; reaches anonymous and destroyed stores too; or 0
 * @name: its name; or NULL
 */
struct kvbm_store_ref {
	uint64_t id;
	const char *name;
};

/**
 * kvbm_store_create_init() - fill in the defaults of a store to create
 * @create: out: a store of @total_blocks blocks of 16 tokens, policy
 *	"lineage_tick", no frequency tracking, duplicates allowed, owned by the
 *	caller, mode 0600
 * @name: [a-z0-9][a-z0-9_.-]*, at most 31 bytes; NULL for an anonymous store
 * @total_blocks: blocks in the pool, 1 to KVBM_MAX_BLOCKS
 *
 * The caller may change fields, and then calls kvbm_store_create();
 * kvbm_store_create_policy() sets the policy.
 *
 * Return: 0, or -EINVAL if @name cannot be a store's name.
 */
int kvbm_store_create_init(struct kvbm_store_create *create, const char *name,
			   uint32_t total_blocks);

/**
 * kvbm_store_create_policy() - choose the eviction policy of a store to create
 * @create: filled by kvbm_store_create_init()
 * @policy: "fifo", "lru", "multi_lru", "lineage_tick", "lineage_fifo", or another
 *	one that the module has; NULL or "" means the default
 *
 * multi_lru needs frequency tracking: if @create has none, this sets
 * KVBM_FREQ_DEFAULT.
 *
 * Return: 0, or -EINVAL if @policy is too long to be a policy's name.
 */
int kvbm_store_create_policy(struct kvbm_store_create *create,
			     const char *policy);

/**
 * kvbm_store_create() - create a store
 * @control: the control device
 * @create: what to create; out: @store_id, @need: most bytes that the store takes,
 *	set even if it fails for lack of memory, and @fd: the first session
 *	of an anonymous store, or -1 for a named one
 *
 * A named store lives until it is destroyed; kvbm_open() opens it.
 * An anonymous store lives as long as any of its sessions; further sessions
 * come from kvbm_session_open() or from passing descriptors.
 *
 * Return: 0 or -errno: -EEXIST (the name is taken), -EPERM (owner or group not
 * permitted, or no right to create named stores), -ENOMEM (the store does not fit
 * into memory), -EDQUOT (the module's limits, or the user's), -EMFILE, -ENFILE,
 * -EINVAL.
 */
int kvbm_store_create(int control, struct kvbm_store_create *create);

/**
 * kvbm_store_destroy() - destroy a named store
 * @control: the control device
 * @name: the store's name
 * @flags: 0 or KVBM_DESTROY_FORCE: revoke open sessions first; their calls
 *	return -ENODEV from then on
 *
 * Return: 0 or -errno: -ENOENT (no such store), -EPERM (neither owner nor
 * CAP_SYS_ADMIN), -EBUSY (sessions are open), -EINVAL.
 */
int kvbm_store_destroy(int control, const char *name, uint32_t flags);

/**
 * kvbm_store_destroy_of() - destroy a store
 * @control: the control device
 * @ref: the store
 * @flags: as for kvbm_store_destroy()
 *
 * An anonymous store always has sessions, so destroying it takes
 * KVBM_DESTROY_FORCE.
 *
 * Return: as kvbm_store_destroy(), and -EINTR (killed while waiting).
 */
int kvbm_store_destroy_of(int control, const struct kvbm_store_ref *ref,
			  uint32_t flags);

/**
 * kvbm_store_access() - change who may open and administer a store
 * @control: the control device
 * @ref: the store
 * @access: KVBM_ACCESS_* in @flags and the fields that they select; the library
 *	fills in the rest
 *
 * The permissions of /dev/kvbm/NAME do not change; they can only narrow access.
 *
 * Return: 0 or -errno: -ENOENT, -EPERM (neither owner nor CAP_SYS_ADMIN, or
 * chown(2) would not permit it), -EINVAL, -ENOMEM.
 */
int kvbm_store_access(int control, const struct kvbm_store_ref *ref,
		      struct kvbm_store_access *access);

/**
 * kvbm_store_list() - list stores
 * @control: the control device
 * @count: size of @entries, in entries; may be 0
 * @entries: out: one for each store
 * @total: out, or NULL: stores that can be listed; more than @count means
 *	that @entries was too small
 *
 * Only their owners and CAP_SYS_ADMIN see anonymous stores, and destroyed ones
 * that are still open.
 *
 * Return: entries written, or -errno.
 */
int kvbm_store_list(int control, uint32_t count,
		    struct kvbm_store_entry *entries, uint32_t *total);

/**
 * kvbm_store_list_from() - list stores in parts
 * @control: the control device
 * @cursor: in: 0 to begin, else the value from the last call; out: where to
 *	continue
 * @count: as for kvbm_store_list()
 * @entries: likewise
 * @total: likewise
 *
 * Return: entries written, fewer than @count if these were the last, or
 * -errno.
 */
int kvbm_store_list_from(int control, uint64_t *cursor, uint32_t count,
			 struct kvbm_store_entry *entries, uint32_t *total);

/**
 * kvbm_store_info() - properties of a store
 * @session: a session of the store
 * @info: out
 *
 * Return: 0 or -errno.
 */
int kvbm_store_info(int session, struct kvbm_store_info *info);

/**
 * kvbm_store_info_of() - properties of a store, without a session
 * @control: the control device
 * @ref: the store
 * @info: out
 *
 * Return: 0 or -errno: -ENOENT, -EPERM (statistics are for the owner,
 * CAP_SYS_ADMIN, the monitoring group, and anyone who may open the store to read).
 */
int kvbm_store_info_of(int control, const struct kvbm_store_ref *ref,
		       struct kvbm_store_info *info);

/**
 * kvbm_counts() - free, inactive and available blocks, in one snapshot
 * @session: a session of the store
 * @counts: out
 *
 * Return: 0 or -errno.
 */
int kvbm_counts(int session, struct kvbm_counts *counts);

/**
 * kvbm_counts_of() - the same, without a session
 * @control: the control device
 * @ref: the store
 * @counts: out
 *
 * Return: as kvbm_store_info_of().
 */
int kvbm_counts_of(int control, const struct kvbm_store_ref *ref,
		   struct kvbm_counts *counts);

/**
 * kvbm_stats() - counters since creation, and gauges, over all sessions
 * @session: a session of the store
 * @stats: out
 *
 * Return: 0 or -errno.
 */
int kvbm_stats(int session, struct kvbm_stats *stats);

/**
 * kvbm_stats_of() - the same, without a session
 * @control: the control device
 * @ref: the store
 * @stats: out
 *
 * Return: as kvbm_store_info_of().
 */
int kvbm_stats_of(int control, const struct kvbm_store_ref *ref,
		  struct kvbm_stats *stats);

/**
 * kvbm_reset_inactive() - reset all inactive blocks
 * @session: a session of the store
 * @whole: out, or NULL: whether the whole store is now Reset
 * @done: out, or NULL: blocks reset
 *
 * Resets the blocks that were inactive at the start, in eviction order.  Other
 * sessions may work in between.
 *
 * Return: blocks reset, or -errno: -EPERM (neither the store's owner nor an
 * administrator opened the session, and the store does not give others the
 * right).
 */
int kvbm_reset_inactive(int session, bool *whole, uint32_t *done);

/**
 * kvbm_reset_inactive_of() - the same, without a session
 * @control: the control device
 * @ref: the store
 * @whole: out, or NULL
 * @done: out, or NULL
 *
 * Return: blocks reset, or -errno: -ENOENT, -EPERM (neither owner nor
 * CAP_SYS_ADMIN).
 */
int kvbm_reset_inactive_of(int control, const struct kvbm_store_ref *ref,
			   bool *whole, uint32_t *done);

/**
 * kvbm_invalidate() - forget hashes, including held ones
 * @session: a session of the store
 * @n: hashes; 0 with KVBM_INVALIDATE_ALL
 * @hashes: in any order
 * @flags: 0, KVBM_INVALIDATE_PREFIX: and all their descendants, or
 *	KVBM_INVALIDATE_ALL: everything
 * @idle: out, or NULL: blocks that went to Reset
 * @held: out, or NULL: blocks that stay with their holders until the last release
 *
 * When it returns, no call finds these hashes.  After KVBM_INVALIDATE_ALL, blocks
 * allocated before it cannot be registered (-ESTALE).
 *
 * Return: 0 or -errno: -EPERM (neither the store's owner nor an administrator),
 * -EINVAL (an invalid hash as a prefix; both flags), -EOPNOTSUPP (a prefix of
 * opaque hashes), -ENOMEM, -EINTR.
 */
int kvbm_invalidate(int session, uint32_t n, const struct kvbm_hash *hashes,
		    uint32_t flags, uint32_t *idle, uint32_t *held);

/**
 * kvbm_invalidate_of() - the same, without a session
 * @control: the control device
 * @ref: the store
 * @n: hashes; 0 with KVBM_INVALIDATE_ALL
 * @hashes: in any order
 * @flags: as for kvbm_invalidate()
 * @idle: out, or NULL
 * @held: out, or NULL
 *
 * Return: as kvbm_invalidate(), and -ENOENT.
 */
int kvbm_invalidate_of(int control, const struct kvbm_store_ref *ref,
		       uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t flags, uint32_t *idle, uint32_t *held);

/*
 * Sessions
 */

/**
 * kvbm_session_config() - set a session's low watermark
 * @session: the session
 * @low_watermark: 1 to the store's total_blocks; poll(2) reports POLLOUT when
 *	an allocation of this many blocks could succeed
 *
 * Return: 0 or -errno.
 */
int kvbm_session_config(int session, uint32_t low_watermark);

/**
 * kvbm_session_list() - list the sessions of a store
 * @session: a session of the store
 * @count: size of @entries, in entries; may be 0
 * @entries: out: one for each session
 * @total: out, or NULL: sessions that exist
 *
 * Return: entries written, or -errno: -EPERM (neither the store's owner nor
 * CAP_SYS_ADMIN).
 */
int kvbm_session_list(int session, uint32_t count,
		      struct kvbm_session_entry *entries, uint32_t *total);

/**
 * kvbm_session_list_of() - list the sessions of a store in parts
 * @fd: the control device, or a session with @ref NULL
 * @ref: the store
 * @cursor: in: 0 to begin, else the value from the last call; out: where to
 *	continue
 * @count: size of @entries, in entries; may be 0
 * @entries: out: one for each session
 * @total: out, or NULL: sessions that exist
 *
 * Return: entries written, fewer than @count if these were the last, or
 * -errno: -ENOENT, -EPERM.
 */
int kvbm_session_list_of(int fd, const struct kvbm_store_ref *ref,
			 uint64_t *cursor, uint32_t count,
			 struct kvbm_session_entry *entries, uint32_t *total);

/**
 * kvbm_session_revoke() - take everything from a session and end it
 * @session: a session of the store
 * @session_id: the session to end, from kvbm_session_list()
 * @reclaimed: out, or NULL: reclaimed holds and owned blocks
 *
 * The session's calls return -ESHUTDOWN from then on.  This takes the store's
 * records: the process and its devices can still write to the blocks' bytes.
 *
 * Return: 0 or -errno: -EPERM (as for kvbm_session_list()), -ENOENT (no such
 * session), -EINTR (killed while waiting).
 */
int kvbm_session_revoke(int session, uint64_t session_id, uint64_t *reclaimed);

/**
 * kvbm_revoke_of() - the same for one or many sessions of a store
 * @fd: the control device, or a session with @ref NULL
 * @ref: the store
 * @revoke: @flags and the fields that they select, or @session_id; the library
 *	fills in the rest; out: @sessions, @reclaimed
 *
 * Return: 0 or -errno: -ENOENT, -EPERM, -EINVAL, -EINTR.
 */
int kvbm_revoke_of(int fd, const struct kvbm_store_ref *ref,
		   struct kvbm_session_revoke *revoke);

/**
 * kvbm_holds() - list what a session holds
 * @session: the session
 * @cursor: in: 0 to begin, else the value from the last call; out: where to
 *	continue
 * @count: size of @entries, in entries; may be 0
 * @entries: out: one for each block, in ascending order of block ids
 * @total: out, or NULL: blocks that the session holds, including those that only
 *	its Duplicates keep alive (listed with 0 holds)
 *
 * Return: entries written, fewer than @count if these were the last, or
 * -errno.
 */
int kvbm_holds(int session, uint64_t *cursor, uint32_t count,
	       struct kvbm_hold_entry *entries, uint32_t *total);

/**
 * kvbm_export() - list the registered blocks of a store
 * @fd: the control device, or a session, open for reading, with @ref NULL
 * @ref: the store
 * @cursor: in: 0 to begin, else the value from the last call; out: where to
 *	continue
 * @count: size of @entries, in entries; may be 0
 * @entries: out: one for each registered block, in ascending order of block ids;
 *	Duplicates are not listed
 * @total: out, or NULL: distinct hashes present
 *
 * This is no snapshot while others use the store: see struct kvbm_export.
 *
 * Return: entries written, fewer than @count if these were the last, or
 * -errno: -EPERM (not for the monitoring group), -EBADF (not open for reading),
 * -ENOENT, -EINTR.
 */
int kvbm_export(int fd, const struct kvbm_store_ref *ref, uint64_t *cursor,
		uint32_t count, struct kvbm_export_entry *entries,
		uint32_t *total);

/**
 * kvbm_export_notes() - the same, with the blocks' notes
 * @fd: as for kvbm_export()
 * @ref: likewise
 * @cursor: likewise
 * @count: likewise
 * @entries: likewise
 * @notes: out: an array of the notes, of the store's note_bytes each
 * @total: likewise
 *
 * Return: as kvbm_export(), and -EINVAL (the store has no notes).
 */
int kvbm_export_notes(int fd, const struct kvbm_store_ref *ref,
		      uint64_t *cursor, uint32_t count,
		      struct kvbm_export_entry *entries, void *notes,
		      uint32_t *total);

/*
 * Allocation.  The new blocks are Mutable, owned by the session: free ones first,
 * in the order in which they became free, then evicted ones in the policy's
 * order.  All or nothing.
 */

/**
 * kvbm_alloc() - allocate blocks, do not wait
 * @session: the session
 * @n: blocks wanted, 0 to total_blocks
 * @ids: out: array of @n block ids
 * @evicted: out, or NULL: array of @n; each hash that was evicted for this,
 *	with the block that it left and its generation there
 * @nr_evicted: out, or NULL: how many; set even if the call fails, because
 *	hashes evicted by then are gone
 *
 * Return: @n or -errno: -ENOSPC (fewer than @n blocks are free or inactive, or
 * somebody is waiting; nothing has changed), -EDQUOT (the session's limit on
 * held blocks), -ENOMEM.
 */
int kvbm_alloc(int session, uint32_t n, uint32_t *ids,
	       struct kvbm_evicted *evicted, uint32_t *nr_evicted);

/**
 * kvbm_alloc_reset() - allocate up to @n free blocks, evict none
 * @session: the session
 * @n: most blocks wanted, 0 to total_blocks
 * @ids: out: array of @n block ids
 *
 * Return: blocks allocated, which may be 0, or -errno: -EDQUOT, -ENOMEM.
 */
int kvbm_alloc_reset(int session, uint32_t n, uint32_t *ids);

/**
 * kvbm_alloc_wait() - allocate blocks, wait for them if necessary
 * @session: the session
 * @n: blocks wanted, 0 to total_blocks
 * @ids: out: array of @n block ids
 * @evicted: out, or NULL: as for kvbm_alloc()
 * @nr_evicted: out, or NULL: as for kvbm_alloc()
 * @deadline_ns: absolute time of CLOCK_MONOTONIC in ns (kvbm_deadline() makes
 *	one), or KVBM_NO_DEADLINE
 *
 * Waiting calls are served strictly first come first served, except those that
 * only their own session's releases could serve: these do not hold up
 * others.  A call that a signal ends with -EINTR loses its place; see
 * kvbm_alloc_wait_at().
 *
 * Return: @n or -errno: -ETIMEDOUT (the deadline passed), -EINTR (a signal),
 * -EDEADLK (the session holds so much that the wait could not end, and only
 * the caller could release some), -EDQUOT (@n is above the session's limit on
 * held blocks), -EMLINK (KVBM_MAX_TICKETS calls of the session wait already),
 * -ENOMEM.
 */
int kvbm_alloc_wait(int session, uint32_t n, uint32_t *ids,
		    struct kvbm_evicted *evicted, uint32_t *nr_evicted,
		    uint64_t deadline_ns);

/**
 * kvbm_alloc_wait_at() - allocate blocks, wait, and keep the place in the queue
 * @session: the session
 * @n: blocks wanted, 0 to total_blocks
 * @ids: out: array of @n block ids
 * @evicted: out, or NULL: as for kvbm_alloc()
 * @nr_evicted: out, or NULL: as for kvbm_alloc()
 * @deadline_ns: as for kvbm_alloc_wait()
 * @ticket: in: 0, or the ticket that an earlier call for @n blocks left here; out:
 *	a place in the queue if a signal ended the call (-EINTR), else 0
 *
 * While no call waits with a ticket, the queue skips it and it keeps its place.  It
 * ends with its session or kvbm_ticket_give_up(); a session that has
 * KVBM_MAX_TICKETS tickets and waiting calls loses the oldest ticket.
 *
 * Return: as kvbm_alloc_wait(); -EBUSY: another call waits with this ticket.
 */
int kvbm_alloc_wait_at(int session, uint32_t n, uint32_t *ids,
		       struct kvbm_evicted *evicted, uint32_t *nr_evicted,
		       uint64_t deadline_ns, uint32_t *ticket);

/**
 * kvbm_ticket_give_up() - give up a place in the queue
 * @session: the session
 * @ticket: from kvbm_alloc_wait_at()
 *
 * Return: 0 or -errno: -ENOENT (there is no such ticket), -EBUSY (a call waits
 * with it).
 */
int kvbm_ticket_give_up(int session, uint32_t ticket);

/**
 * kvbm_deadline() - turn a timeout into a deadline
 * @timeout_ns: ns from now
 *
 * Correct in time namespaces too: deadlines use the caller's clock.
 *
 * Return: CLOCK_MONOTONIC's now + @timeout_ns, at most KVBM_NO_DEADLINE.
 */
uint64_t kvbm_deadline(uint64_t timeout_ns);

/*
 * The data path.  Block ids name blocks.
 *
 * Each call is a sequence of steps, one per element.  It stops at the first that
 * fails; what is done stays done.  It returns how many were done, like read(2),
 * and *@error is the errno that stopped it, as a positive number, or 0 if nothing
 * did.  If none was done it returns that errno as a negative number.
 */

/**
 * kvbm_stage() - give Mutable blocks their hashes
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each
 * @tokens: tokens in each, or NULL; any other than the store's block size is
 *	-EINVAL
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: elements done, or -errno: -EPERM (not Mutable or not this session's),
 * -EINVAL (an invalid hash, a wrong token count).
 */
int kvbm_stage(int session, uint32_t n, const uint32_t *ids,
	       const struct kvbm_hash *hashes, const uint32_t *tokens,
	       uint32_t *error);

/**
 * kvbm_claim() - kvbm_stage(), and announce that this session computes the hashes
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each
 * @states: out: array of @n: KVBM_CLAIMED: the block is Staged, and the hash
 *	claimed; KVBM_CLAIM_PENDING: somebody has claimed the hash already;
 *	KVBM_CLAIM_PRESENT: it is registered already; in both cases the block stays
 *	Mutable
 * @error: out, or NULL: why it stopped early, or 0
 *
 * A hash has at most one claim.  It ends when anybody registers the hash, when its
 * block is unstaged or released, and when its session ends; kvbm_wait() waits for
 * that.  A claim binds only those who claim too.
 *
 * Return: elements done, or -errno: as kvbm_stage(), and -EDQUOT
 * (KVBM_MAX_CLAIMS), -ENOMEM.
 */
int kvbm_claim(int session, uint32_t n, const uint32_t *ids,
	       const struct kvbm_hash *hashes, uint8_t *states,
	       uint32_t *error);

/**
 * kvbm_wait() - wait until others have computed what they claimed
 * @session: the session
 * @n: hashes, at most KVBM_MAX_WATCHED
 * @hashes: in any order
 * @deadline_ns: absolute time of CLOCK_MONOTONIC in ns (kvbm_deadline() makes
 *	one), or KVBM_NO_DEADLINE
 * @pending: out, or NULL: claims that had not ended
 *
 * Waits for the end of all claims that exist when it begins, however they end:
 * match again afterwards, and claim what is still missing.  Two sessions can wait
 * for each other: a session should register, or release, its own claims before it
 * waits.
 *
 * Return: 0 or -errno: -ETIMEDOUT (the deadline passed), -EINTR (a signal),
 * -EDEADLK (the session itself has claimed one of them), -EMLINK
 * (KVBM_MAX_TICKETS calls of the session wait already), -EINVAL (@n), -ENOMEM.
 */
int kvbm_wait(int session, uint32_t n, const struct kvbm_hash *hashes,
	      uint64_t deadline_ns, uint32_t *pending);

/**
 * kvbm_watch() - make poll(2) report the end of claims
 * @session: the session
 * @n: hashes, at most KVBM_MAX_WATCHED; 0: none
 * @hashes: in any order
 * @states: out, or NULL: array of @n: KVBM_PENDING for those that are claimed
 *	and now watched, KVBM_ABSENT for others, registered or not
 *
 * Replaces what the session watched before.  Once one of the watched claims has
 * ended, poll reports POLLPRI until the next call.
 *
 * Return: how many are pending, or -errno: -EINVAL (@n), -ENOMEM.
 */
int kvbm_watch(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint8_t *states);

/**
 * kvbm_offer() - offer holds to anyone with the ticket
 * @session: the session that has them
 * @n: holds, 1 to KVBM_MAX_OFFERED
 * @ids: block ids, one for each hold; the blocks are registered
 * @ticket: out: pass it to whoever should accept, and to nobody else
 *
 * All are offered, or none.  They stay the session's until another session of
 * the store accepts them: meanwhile they cannot be released (-EBUSY), and
 * if the session ends, they are released with it.
 *
 * Return: 0 or -errno: -EPERM (not held), -EINVAL (Mutable or Staged; @n), -EBUSY
 * (named more often than there are holds not offered yet), -EDQUOT
 * (KVBM_MAX_OFFERS or KVBM_MAX_OFFERED of the session), -ENOMEM.
 */
int kvbm_offer(int session, uint32_t n, const uint32_t *ids,
	       struct kvbm_ticket *ticket);

/**
 * kvbm_offer_to() - offer holds to one session only
 * @session: the session that has them
 * @to: a descriptor of the session that may accept
 * @n: holds
 * @ids: block ids
 * @ticket: out, or NULL: for kvbm_withdraw()
 *
 * poll(2) reports POLLIN on @to until the offer is accepted or withdrawn.
 *
 * Return: as kvbm_offer(), and -EBADF (@to is no session, or is read-only),
 * -EXDEV (it is of another store), -ENOENT (it has ended), -EINVAL (it is
 * @session).
 */
int kvbm_offer_to(int session, int to, uint32_t n, const uint32_t *ids,
		  struct kvbm_ticket *ticket);

/**
 * kvbm_accept() - take over offered holds
 * @session: the session that gets the holds
 * @ticket: names the offer
 * @room: size of @ids
 * @ids: out: block ids, in the order in which they were offered; valid only
 *	if the call succeeds
 * @total: out, or NULL: holds of the offer, even with -EMSGSIZE
 *
 * All or nothing.  At every moment each hold belongs to one session, whoever dies.
 *
 * Return: how many, or -errno: -ENOENT (no such offer: accepted, withdrawn, its
 * session ended, for another session, of another store), -EMSGSIZE (@room is less
 * than the offer has), -EDQUOT (the session's limit on held blocks), -EOVERFLOW
 * (more than KVBM_MAX_HOLDS of one block), -EINVAL (its own offer), -ENOMEM.
 */
int kvbm_accept(int session, const struct kvbm_ticket *ticket, uint32_t room,
		uint32_t *ids, uint32_t *total);

/**
 * kvbm_accept_direct() - take over the oldest offer to this session only
 * @session: the session that gets the holds
 * @room: size of @ids
 * @ids: out: block ids, as for kvbm_accept()
 * @ticket: out, or NULL: of the offer
 * @total: out, or NULL: holds of the offer, even with -EMSGSIZE
 *
 * Return: as kvbm_accept(); -ENOENT: there is none.
 */
int kvbm_accept_direct(int session, uint32_t room, uint32_t *ids,
		       struct kvbm_ticket *ticket, uint32_t *total);

/**
 * kvbm_withdraw() - withdraw an offer
 * @session: the session that made it
 * @ticket: names it
 *
 * Return: how many holds are ordinary again, or -errno: -ENOENT (there is no such
 * offer, or all of it has been accepted).
 */
int kvbm_withdraw(int session, const struct kvbm_ticket *ticket);

/**
 * kvbm_unstage() - make Staged blocks Mutable again
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Claims of their hashes end.
 *
 * Return: elements done, or -errno: -EPERM (not Staged or not this session's).
 */
int kvbm_unstage(int session, uint32_t n, const uint32_t *ids, uint32_t *error);

/**
 * kvbm_register() - make Staged blocks visible under their hashes
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @results: out: array of @n: the block that the session now holds, and enum
 *	kvbm_kind: whether it is the Primary of its hash, a Duplicate, or the
 *	existing block instead of the own one, which went back to Reset (dedup)
 * @flags: 0 (the store's duplicate policy), KVBM_REGISTER_ALLOW or
 *	KVBM_REGISTER_REJECT
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: elements done, or -errno: -EPERM (not Staged or not this session's),
 * -ENOMEM, -ENOBUFS (the index cannot take the hash beside others that are
 * held: only if somebody who knows its secrets chose hashes), -EDQUOT (a
 * Duplicate would keep one block more alive than the session's limit allows),
 * -EOVERFLOW (more than KVBM_MAX_HOLDS of the existing block, or
 * KVBM_MAX_DUPLICATES of it).
 */
int kvbm_register(int session, uint32_t n, const uint32_t *ids,
		  struct kvbm_registered *results, uint32_t flags,
		  uint32_t *error);

/**
 * kvbm_stage_register() - stage Mutable blocks and register them in one step
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each
 * @results: out: as for kvbm_register()
 * @flags: as for kvbm_register()
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: as kvbm_register(), and -EINVAL (an invalid hash).
 */
int kvbm_stage_register(int session, uint32_t n, const uint32_t *ids,
			const struct kvbm_hash *hashes,
			struct kvbm_registered *results, uint32_t flags,
			uint32_t *error);

/**
 * kvbm_stage_notes() - kvbm_stage(), with notes for the blocks
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each
 * @notes: an array of the notes, of the store's note_bytes each
 * @error: out, or NULL: why it stopped early, or 0
 *
 * The block keeps its note until it is unstaged or released; once registered, as
 * long as the hash is present.  A block staged without a note has zeroes.
 *
 * Return: as kvbm_stage(), and -EINVAL (the store has no notes), -ENOMEM.
 */
int kvbm_stage_notes(int session, uint32_t n, const uint32_t *ids,
		     const struct kvbm_hash *hashes, const void *notes,
		     uint32_t *error);

/**
 * kvbm_claim_notes() - kvbm_claim(), with notes for the blocks
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each
 * @notes: the note of each; dropped if the hash is not claimed
 * @states: out: as for kvbm_claim()
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: as kvbm_claim(), and -EINVAL (the store has no notes).
 */
int kvbm_claim_notes(int session, uint32_t n, const uint32_t *ids,
		     const struct kvbm_hash *hashes, const void *notes,
		     uint8_t *states, uint32_t *error);

/**
 * kvbm_register_notes() - register blocks with notes
 * @session: the session that owns the blocks
 * @n: blocks
 * @ids: block ids
 * @hashes: the hash of each Mutable block, or NULL: the blocks are Staged
 * @notes: an array of the notes, of the store's note_bytes each.
 *	NULL: the notes they were staged with, or zeroes
 * @results: out: as for kvbm_register()
 * @flags: likewise
 * @error: out, or NULL: why it stopped early, or 0
 *
 * A hash has one note, that of its Primary: the note of a block that becomes a
 * Duplicate, or that gives way to an existing one, is dropped.
 *
 * Return: as kvbm_stage_register(), and -EINVAL (the store has no notes).
 */
int kvbm_register_notes(int session, uint32_t n, const uint32_t *ids,
			const struct kvbm_hash *hashes, const void *notes,
			struct kvbm_registered *results, uint32_t flags,
			uint32_t *error);

/**
 * kvbm_match() - hold the longest cached prefix
 * @session: the session that gets the holds
 * @n: hashes
 * @hashes: a prompt's chain, first block first
 * @ids: out: array of @n block ids; not written past the match
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: blocks held, or -errno: -ENOMEM, -EDQUOT (the session's limit on held
 * blocks), -EOVERFLOW (more than KVBM_MAX_HOLDS of one block).
 */
int kvbm_match(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint32_t *ids, uint32_t *error);

/**
 * kvbm_match_pending() - kvbm_match(), and find the next claimed hash
 * @session: the session that gets the holds
 * @n: hashes
 * @hashes: a prompt's chain, first block first
 * @ids: out: array of @n block ids; not written past the match
 * @pending: out: index of the first hash past the match that somebody has
 *	claimed (kvbm_claim()), or @n
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: as kvbm_match().
 */
int kvbm_match_pending(int session, uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t *ids, uint32_t *pending, uint32_t *error);

/**
 * kvbm_match_notes() - kvbm_match(), with the blocks' notes
 * @session: the session that gets the holds
 * @n: hashes
 * @hashes: a prompt's chain, first block first
 * @ids: out: array of @n block ids; not written past the match
 * @notes: out: array of @n notes of the store's note_bytes; likewise
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: as kvbm_match(), and -EINVAL (the store has no notes).
 */
int kvbm_match_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		     uint32_t *ids, void *notes, uint32_t *error);

/**
 * kvbm_scan_notes() - kvbm_scan(), with the blocks' notes
 * @session: the session that gets the holds
 * @n: hashes
 * @hashes: in any order
 * @ids: out: array of @n block ids; KVBM_NO_BLOCK for a miss
 * @notes: out: array of @n notes; zeroes for a miss
 * @flags: as for kvbm_scan()
 * @hits: out, or NULL: holds returned
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: as kvbm_scan(), and -EINVAL (the store has no notes).
 */
int kvbm_scan_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		    uint32_t *ids, void *notes, uint32_t flags, uint32_t *hits,
		    uint32_t *error);

/**
 * kvbm_match_opaque() - hold the block of an engine's own key
 * @session: the session that gets the hold
 * @digest: as for kvbm_hash_opaque()
 * @key: likewise
 * @key_len: bytes of @key
 * @group: likewise
 * @id: out: the block, if there is one; otherwise left alone
 * @pending: out, or NULL: whether there is none, and somebody has claimed it
 *
 * kvbm_hash_opaque() and kvbm_match_pending() in one, for callers whose keys come
 * one by one and for whom a call is expensive.
 *
 * Return: 1, 0 (absent) or -errno: as these two.
 */
int kvbm_match_opaque(int session, const void *digest, const void *key,
		      size_t key_len, uint32_t group, uint32_t *id,
		      bool *pending);

/**
 * kvbm_scan() - hold every block that is present
 * @session: the session that gets the holds
 * @n: hashes
 * @hashes: in any order
 * @ids: out: array of @n block ids; KVBM_NO_BLOCK for a miss
 * @flags: 0 or KVBM_SCAN_TOUCH: count each hit in the frequency sketch
 * @hits: out, or NULL: holds returned
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: elements done, or -errno: as kvbm_match().
 */
int kvbm_scan(int session, uint32_t n, const struct kvbm_hash *hashes,
	      uint32_t *ids, uint32_t flags, uint32_t *hits, uint32_t *error);

/**
 * kvbm_release() - release one hold for each element
 * @session: the session that has the holds
 * @n: holds
 * @ids: block ids, in the order of release
 * @flags: 0, or KVBM_RELEASE_* bits: release only holds of these kinds
 * @error: out, or NULL: why it stopped early, or 0
 *
 * A Mutable or Staged block goes to Reset.  With its last release, a registered one
 * becomes Inactive, or Reset if its reset-on-release flag is set or it is a
 * Duplicate.
 *
 * Return: elements done, or -errno: -EPERM (not held, or not of a selected kind).
 */
int kvbm_release(int session, uint32_t n, const uint32_t *ids, uint32_t flags,
		 uint32_t *error);

/**
 * kvbm_retain() - add one hold on each registered block
 * @session: a session that holds the blocks
 * @n: blocks
 * @ids: block ids
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: elements done, or -errno: -EPERM (not held), -EINVAL (Mutable or Staged),
 * -EOVERFLOW (more than KVBM_MAX_HOLDS of one block).
 */
int kvbm_retain(int session, uint32_t n, const uint32_t *ids, uint32_t *error);

/**
 * kvbm_set_reset() - set or clear blocks' reset-on-release flag
 * @session: a session that holds the blocks
 * @n: blocks
 * @ids: block ids
 * @on: the flag
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: elements done, or -errno: -EPERM (not held, or not registered).
 */
int kvbm_set_reset(int session, uint32_t n, const uint32_t *ids, bool on,
		   uint32_t *error);

/**
 * kvbm_block_info() - everything about a block; may be slow
 * @session: a session of the store
 * @block: block id
 * @info: out
 *
 * Return: 0 or -errno: -EINVAL (no such block id).
 */
int kvbm_block_info(int session, uint32_t block, struct kvbm_block_info *info);

/**
 * kvbm_block_note() - the same, with the block's note
 * @session: a session of the store
 * @block: block id
 * @info: out
 * @note: out: the store's note_bytes; zeroes where @info has no hash
 *
 * A Duplicate has its Primary's note.
 *
 * Return: 0 or -errno: -EINVAL (no such block id; the store has no notes).
 */
int kvbm_block_note(int session, uint32_t block, struct kvbm_block_info *info,
		    void *note);

/**
 * kvbm_weak() - get a weak reference to a registered block that the session holds
 * @session: the session
 * @block: block id
 * @weak: out
 *
 * A weak reference is no hold.  It is data: it may be kept, copied and sent to
 * other processes, and costs the store nothing.  That of a block whose hash was
 * forgotten leads to the block that has the hash next.
 *
 * Return: 0 or -errno: -EPERM (the session does not hold the block), -EINVAL (no
 * such block id; Mutable or Staged).
 */
int kvbm_weak(int session, uint32_t block, struct kvbm_weak *weak);

/**
 * kvbm_upgrade() - turn weak references into holds
 * @session: the session that gets the holds
 * @n: weak references
 * @weaks: the references
 * @ids: out: array of @n block ids: the same block if it is still registered as
 *	it was, else the block now registered under the hash, else KVBM_NO_BLOCK
 * @hits: out, or NULL: holds returned
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: elements done, or -errno: as kvbm_match().
 */
int kvbm_upgrade(int session, uint32_t n, const struct kvbm_weak *weaks,
		 uint32_t *ids, uint32_t *hits, uint32_t *error);

/**
 * kvbm_presence() - query which hashes are present, without holds
 * @session: a session of the store
 * @n: hashes
 * @hashes: in any order
 * @out: out: array of @n: KVBM_ABSENT, KVBM_INACTIVE or KVBM_ACTIVE
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: hashes done, or -errno.
 */
int kvbm_presence(int session, uint32_t n, const struct kvbm_hash *hashes,
		  uint8_t *out, uint32_t *error);

/**
 * kvbm_presence_pending() - kvbm_presence(), and which hashes are claimed
 * @session: a session of the store
 * @n: hashes
 * @hashes: in any order
 * @out: out: as for kvbm_presence(), or KVBM_PENDING: absent and claimed
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: hashes done, or -errno.
 */
int kvbm_presence_pending(int session, uint32_t n,
			  const struct kvbm_hash *hashes, uint8_t *out,
			  uint32_t *error);

/**
 * kvbm_frequency() - how often hashes were seen, by the store's sketch
 * @session: a session of the store
 * @n: hashes
 * @hashes: in any order
 * @out: out: array of @n: estimates, 0 to 15; 0 without frequency tracking
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: hashes done, or -errno.
 */
int kvbm_frequency(int session, uint32_t n, const struct kvbm_hash *hashes,
		   uint8_t *out, uint32_t *error);

/**
 * kvbm_touch() - count hashes once each in the store's sketch
 * @session: a session of the store
 * @n: hashes
 * @hashes: in any order
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Return: hashes done, or -errno.
 */
int kvbm_touch(int session, uint32_t n, const struct kvbm_hash *hashes,
	       uint32_t *error);

/**
 * kvbm_touch_newest() - kvbm_touch(), and make inactive blocks the newest
 * @session: a session of the store
 * @n: hashes
 * @hashes: in any order
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Takes no hold: an inactive block moves to the end of the eviction order of its
 * rank.  Works in any store.
 *
 * Return: hashes done, or -errno.
 */
int kvbm_touch_newest(int session, uint32_t n, const struct kvbm_hash *hashes,
		      uint32_t *error);

/**
 * kvbm_keep() - change the eviction rank of held blocks
 * @session: the session that holds the blocks
 * @n: blocks
 * @ids: block ids
 * @rank: enum kvbm_rank
 * @until_ns: CLOCK_BOOTTIME at which the rank expires, ns; with KVBM_KEEP_RELATIVE
 *	the time from now to then; 0: never
 * @flags: KVBM_KEEP_RELATIVE or 0
 * @results: out, or NULL: array of @n: enum kvbm_keep_result
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Inactive blocks of the lowest rank are evicted first.  A rank stays with the
 * block's hash, held or inactive, until it expires, is changed, or the hash leaves
 * the store.  It is soft: no allocation fails because of it.
 *
 * Return: elements done, including KVBM_KEEP_FULL ones, or -errno: -EOPNOTSUPP (the
 * store was created without KVBM_CREATE_RETENTION), -EPERM (not held), -EINVAL.
 */
int kvbm_keep(int session, uint32_t n, const uint32_t *ids, uint32_t rank,
	      uint64_t until_ns, uint32_t flags, uint8_t *results,
	      uint32_t *error);

/**
 * kvbm_keep_hashes() - change the eviction rank of registered hashes, held or not
 * @session: a session of the store
 * @n: hashes
 * @hashes: in any order
 * @rank: enum kvbm_rank
 * @until_ns: as for kvbm_keep()
 * @flags: KVBM_KEEP_RELATIVE or 0
 * @results: out, or NULL: array of @n: enum kvbm_keep_result
 * @error: out, or NULL: why it stopped early, or 0
 *
 * Without a hold the session may only raise a rank, unless the store's owner or
 * an administrator opened it: otherwise KVBM_KEEP_DENIED.
 *
 * Return: elements done, whatever their results, or -errno: -EOPNOTSUPP (the
 * store was created without KVBM_CREATE_RETENTION), -EINVAL.
 */
int kvbm_keep_hashes(int session, uint32_t n, const struct kvbm_hash *hashes,
		     uint32_t rank, uint64_t until_ns, uint32_t flags,
		     uint8_t *results, uint32_t *error);

/*
 * Hashes.  A sequence hash (struct kvbm_hash) packs, from the top: mode (2
 * bits), position in blocks (8, 16 or 24 bits in mode 0, 1, 2), this block's
 * 64-bit sequence hash, and the low bits of the parent's 64-bit sequence hash
 * (54, 46 or 38).
 */

/**
 * struct kvbm_hash_fields - the fields of a sequence hash
 * @current: the block's own 64-bit sequence hash
 * @parent: low bits of the parent's 64-bit sequence hash
 * @position: position in blocks, from 0
 * @mode: 0, 1 or 2
 * @parent_bits: how many bits @parent has: 54, 46 or 38
 */
struct kvbm_hash_fields {
	uint64_t current;
	uint64_t parent;
	uint32_t position;
	uint8_t mode;
	uint8_t parent_bits;
};

/**
 * kvbm_hash_pack() - make a sequence hash from its fields
 * @current: the block's own 64-bit sequence hash
 * @parent: the parent block's 64-bit sequence hash, whole; 0 at position 0
 * @position: position in blocks, below KVBM_MAX_POSITIONS
 * @out: out, in the smallest mode that fits @position
 *
 * Return: 0, or -EINVAL if @position is too large.
 */
int kvbm_hash_pack(uint64_t current, uint64_t parent, uint32_t position,
		   struct kvbm_hash *out);

/**
 * kvbm_hash_unpack() - split a sequence hash into its fields
 * @hash: the hash
 * @out: out
 *
 * Return: 0, or -EINVAL if the hash is not valid.
 */
int kvbm_hash_unpack(const struct kvbm_hash *hash,
		     struct kvbm_hash_fields *out);

/**
 * kvbm_hash_valid() - check whether a block can have this hash
 * @hash: the hash
 *
 * Return: whether its mode is the smallest one that fits its position.
 */
bool kvbm_hash_valid(const struct kvbm_hash *hash);

/**
 * kvbm_hash_opaque() - make the hash of a block from an engine's own key
 * @digest: KVBM_DIGEST_LEN bytes that stand for everything that the key leaves out
 *	and that must be equal for blocks to be shared (weights, data type, layout);
 *	NULL: zeroes
 * @key: the key's bytes, such as a SHA-256
 * @key_len: how many, at least 1
 * @group: number of the key's group of layers, 0 if there is only one
 * @out: out: a hash of mode 0, for stores created with KVBM_CREATE_OPAQUE
 *
 * The field current is the key's last 8 bytes as a big-endian number, which is
 * what vLLM and llm-d send to routers for a key: from an evicted hash,
 * kvbm_hash_unpack() returns that number.  The position (8 bits) and parent
 * (54 bits) are the upper 62 bits of XXH3-64 of the key, whose seed is XXH3-64
 * of the digest and the group (a little-endian 32-bit word), seed 1337.  An
 * opaque hash has no lineage.
 *
 * Return: 0, or -EINVAL: the key is empty.
 */
int kvbm_hash_opaque(const void *digest, const void *key, size_t key_len,
		     uint32_t group, struct kvbm_hash *out);

/**
 * kvbm_salt_hash() - hash of what separates equal tokens
 * @lora: name of the LoRA adapter, UTF-8; may be NULL when @lora_len is 0
 * @lora_len: its length in bytes; 0: no adapter
 * @salt: a salt, such as a tenant's; may be NULL when @salt_len is 0
 * @salt_len: its length in bytes; 0: no salt
 *
 * Neither is needed if all prompts of a store use one model and may share:
 * then this function returns KVBM_NO_SALT.
 *
 * Return: KVBM_NO_SALT, plus XXH3-64 of the adapter's name, seed 0, if there
 * is one, plus XXH3-64 of the salt, seed 1, if there is one; modulo 2^64.
 */
uint64_t kvbm_salt_hash(const void *lora, size_t lora_len, const void *salt,
			size_t salt_len);

/**
 * kvbm_block_hash() - hash of one block's tokens alone
 * @tokens: the tokens
 * @n: how many
 * @salt_hash: from kvbm_salt_hash(), or KVBM_NO_SALT
 *
 * Return: XXH3-64 of the tokens as little-endian 32-bit words, seed @salt_hash.
 */
uint64_t kvbm_block_hash(const uint32_t *tokens, size_t n, uint64_t salt_hash);

/**
 * kvbm_sequence_hash() - 64-bit sequence hash of a block that has a parent
 * @parent: the parent's 64-bit sequence hash
 * @block_hash: from kvbm_block_hash()
 *
 * A prompt's first block has no parent: its sequence hash is its block hash.
 *
 * Return: XXH3-64 of the two as little-endian 64-bit words, seed 1337, whatever
 * the salt is.
 */
uint64_t kvbm_sequence_hash(uint64_t parent, uint64_t block_hash);

/**
 * kvbm_chain() - the sequence hashes of a prompt
 * @tokens: the prompt
 * @n_tokens: its length
 * @block_size: tokens in a block: 1 to KVBM_MAX_BLOCK_SIZE
 * @salt_hash: from kvbm_salt_hash(), or KVBM_NO_SALT
 * @out: out: array of @n_tokens / @block_size hashes
 *
 * Only full blocks have a hash; the rest of the prompt is ignored.
 *
 * These are the hashes that Dynamo computes (the crates dynamo-tokens since 1.4
 * and dynamo-kv-hashing since 1.3) for a prompt of tokens alone.  Where a block
 * has slots of images, hash its content as Dynamo does and pass the hashes to
 * kvbm_chain_blocks().
 *
 * These hashes include neither the model nor the layout of its blocks: put what
 * must not be shared into different stores, or into the salt.
 *
 * Return: how many hashes, or -EINVAL: a bad @block_size, or more than
 * KVBM_MAX_POSITIONS blocks.
 */
int kvbm_chain(const uint32_t *tokens, size_t n_tokens, uint32_t block_size,
	       uint64_t salt_hash, struct kvbm_hash *out);

/**
 * kvbm_chain_append() - continue a chain
 * @parent: the last hash so far; NULL starts a chain
 * @tokens: the tokens after it
 * @n_tokens: how many
 * @block_size: as for kvbm_chain()
 * @salt_hash: as for kvbm_chain()
 * @out: out: array of @n_tokens / @block_size hashes; may overlap @parent
 *
 * Return: how many hashes, or -EINVAL: as kvbm_chain(), or @parent is invalid.
 */
int kvbm_chain_append(const struct kvbm_hash *parent, const uint32_t *tokens,
		      size_t n_tokens, uint32_t block_size, uint64_t salt_hash,
		      struct kvbm_hash *out);

/**
 * kvbm_chain_blocks() - make a chain from block hashes that the caller already has
 * @parent: the last hash so far; NULL starts a chain
 * @block_hashes: hashes of the blocks' own content
 * @n: how many
 * @out: out: array of @n hashes; may overlap @parent
 *
 * Return: @n, or -EINVAL: @parent is invalid, or more than KVBM_MAX_POSITIONS
 * blocks.
 */
int kvbm_chain_blocks(const struct kvbm_hash *parent,
		      const uint64_t *block_hashes, size_t n,
		      struct kvbm_hash *out);

/*
 * Payload: the blocks' bytes
 */

#define KVBM_MEMORY_THP	(1U << 0)	/* ask for transparent huge pages */
#define KVBM_MEMORY_INTERLEAVE	(1U << 1)	/* pages in turn on @nodes */
#define KVBM_MEMORY_BIND	(1U << 2)	/* pages on @nodes only */
#define KVBM_MEMORY_LAZY	(1U << 3)	/* allocate memory on first touch */

/* The most that a GPU's driver should register at once. */
#define KVBM_PAYLOAD_SEGMENT	(UINT64_C(128) << 30)

/**
 * struct kvbm_payload_options - options of kvbm_payload_create()
 * @bytes: size; rounded up to whole pages
 * @page_bytes: 0 or 4096; 2 MiB or 1 GiB, or another size that the machine has
 * @flags: KVBM_MEMORY_*
 * @threads: threads that populate, at most 64; 0: one per processor
 * @nodes: NUMA nodes, a bit each; with KVBM_MEMORY_INTERLEAVE 0 means all
 * @progress: NULL, or a function that the calling thread calls now and then, and at
 *	the end
 * @arg: first argument of @progress
 * @need: out: bytes that it takes
 * @available: out: bytes that were available: MemAvailable, or huge pages of the
 *	size that are free and not reserved, with those that
 *	vm.nr_overcommit_hugepages lets the system make from MemAvailable
 * @reserved: 0
 */
struct kvbm_payload_options {
	uint64_t bytes;
	uint64_t page_bytes;
	uint32_t flags;
	uint32_t threads;
	uint64_t nodes;
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	uint64_t need;
	uint64_t available;
	uint64_t reserved[4];
};

/**
 * struct kvbm_payload_map - a store's payload in memory
 * @base: where block 0 is
 * @bytes: of all blocks
 * @mapped: bytes that are mapped: whole pages
 * @block_bytes: of a block
 * @page_bytes: of a page of the file
 * @reserved: 0
 */
struct kvbm_payload_map {
	void *base;
	uint64_t bytes;
	uint64_t mapped;
	uint64_t block_bytes;
	uint64_t page_bytes;
	uint64_t reserved[3];
};

/**
 * kvbm_payload_create() - create a memory file for a store's payload
 * @options: options; out: @need and @available
 *
 * Returns a memfd of mode 0600 whose size is sealed, with all of its memory
 * allocated, unless KVBM_MEMORY_LAZY is set.  A size that does not fit is refused
 * before any memory is touched.
 *
 * Return: a descriptor (close-on-exec) or -errno: -ENOMEM (@need is more than
 * @available, or memory ran out meanwhile), -EINVAL, -EMFILE, -ENFILE, errors of
 * mbind(2).
 */
int kvbm_payload_create(struct kvbm_payload_options *options);

/**
 * kvbm_store_create_payload() - set the payload of a store to create
 * @create: filled by kvbm_store_create_init()
 * @fd: a memory file; the caller keeps the descriptor
 * @block_bytes: bytes of a block
 *
 * The file may be unsealed, like those of tmpfs and hugetlbfs: then nobody must
 * shorten it.
 *
 * Return: 0 or -errno: -EBADF, -EINVAL (not a memory file).
 */
int kvbm_store_create_payload(struct kvbm_store_create *create, int fd,
			      uint64_t block_bytes);

/**
 * kvbm_payload() - get a store's payload
 * @session: the session, open for writing
 * @flags: KVBM_PAYLOAD_FD for a descriptor, with KVBM_PAYLOAD_RDONLY for a
 *	read-only one; 0 for information only
 * @payload: out
 *
 * Return: 0 or -errno: -ENODATA (the store has none), -EBADF, -EMFILE, -ENFILE,
 * -ENOMEM, -EINVAL.
 */
int kvbm_payload(int session, uint32_t flags, struct kvbm_payload *payload);

/**
 * kvbm_payload_map() - map a store's payload
 * @session: the session, open for writing
 * @prot: PROT_READ, or PROT_READ | PROT_WRITE
 * @map: out
 *
 * The mapping stays valid after the session and the store, and children share it.
 * It is not in core dumps.
 *
 * Return: 0 or -errno: as kvbm_payload() and mmap(2).
 */
int kvbm_payload_map(int session, int prot, struct kvbm_payload_map *map);

/**
 * kvbm_payload_unmap() - unmap a store's payload
 * @map: from kvbm_payload_map()
 */
void kvbm_payload_unmap(struct kvbm_payload_map *map);

/**
 * kvbm_payload_segment() - the parts that a device's driver should register
 * @map: the mapping
 * @most: bytes of one, such as KVBM_PAYLOAD_SEGMENT; the part has whole blocks
 *	and whole pages, at least one of each
 * @i: 0, 1, ...
 * @base: out: where it begins
 * @bytes: out: how long it is
 *
 * Return: false if there is no such part.
 */
bool kvbm_payload_segment(const struct kvbm_payload_map *map, uint64_t most,
			  uint64_t i, void **base, uint64_t *bytes);

/**
 * kvbm_block() - where a block's bytes are
 * @map: the mapping
 * @id: block id of the store
 *
 * Return: their address.
 */
static inline void *kvbm_block(const struct kvbm_payload_map *map, uint32_t id)
{
	return (char *)map->base + id * map->block_bytes;
}

/*
 * Names
 */

/**
 * kvbm_policy_name() - the eviction policies that this library knows
 * @i: 0, 1, ...
 *
 * The module may have others.
 *
 * Return: a name, or NULL past the last one.
 */
const char *kvbm_policy_name(unsigned int i);

/**
 * kvbm_state_name() - a slot state in words
 * @state: enum kvbm_state
 *
 * Return: "reset", "mutable", "staged", "primary", "duplicate", "inactive",
 * "lingering", or "unknown".
 */
const char *kvbm_state_name(unsigned int state);

/*
 * Events
 */

/**
 * kvbm_events_open() - a descriptor to read a store's events from
 * @session: a session of the store, open for reading
 * @events: in: KVBM_EVENTS_* in ->flags, ->types, ->next, which may all be 0; out:
 *	the rest
 *
 * Return: a descriptor (close-on-exec), which is no session, for
 * kvbm_events_read() and poll(2); or -errno: -EBADF (not open for reading),
 * -ENODATA (the store was created without event_records), -EINVAL (->next is too
 * far ahead, or unknown types), -EUSERS (too many readers), -EMFILE,
 * -ENFILE, -ENOMEM.
 */
int kvbm_events_open(int session, struct kvbm_events *events);

/**
 * kvbm_events_open_of() - the same through the control device, without a session
 * @control: the control device, or a session with @ref NULL
 * @ref: the store
 * @events: as for kvbm_events_open()
 *
 * Return: as kvbm_events_open(), and -ENOENT, -EPERM (the caller may not open
 * the store for reading).
 */
int kvbm_events_open_of(int control, const struct kvbm_store_ref *ref,
			struct kvbm_events *events);

/**
 * kvbm_events_read() - read events
 * @fd: of kvbm_events_open()
 * @out: out: array of @count
 * @count: at least 1
 *
 * Waits until there is one, unless the descriptor is non-blocking.
 *
 * Return: how many; 0: the store is gone and everything was read; or -errno:
 * -EAGAIN, -EINTR, -EINVAL (@count is 0).
 */
int kvbm_events_read(int fd, struct kvbm_event *out, uint32_t count);

/**
 * kvbm_events_read_notes() - read events with their blocks' notes
 * @fd: of kvbm_events_open() with KVBM_EVENTS_NOTES
 * @out: out: array of @count records: each a struct kvbm_event, and behind it the
 *	note, if ->noted is set
 * @record_size: bytes of a record, ->record_size from kvbm_events_open()
 * @count: at least 1
 *
 * A block that has left the store by the time its event is read has no note.
 *
 * Return: as kvbm_events_read().
 */
int kvbm_events_read_notes(int fd, void *out, uint32_t record_size,
			   uint32_t count);

/**
 * kvbm_event_name() - an event's type in words
 * @type: enum kvbm_event_type
 *
 * Return: a word in lower case; "unknown" for others.
 */
const char *kvbm_event_name(unsigned int type);

/**
 * kvbm_reason_name() - the reason of a removal in words
 * @reason: enum kvbm_reason
 *
 * Return: a word in lower case; "none" for KVBM_REASON_NONE, "unknown" for others.
 */
const char *kvbm_reason_name(unsigned int reason);

/**
 * kvbm_rank_name() - a block's rank as a word
 * @rank: enum kvbm_rank
 *
 * Return: "first", "normal", "high", "keep", or "unknown".
 */
const char *kvbm_rank_name(unsigned int rank);

/**
 * kvbm_kind_name() - the outcome of a registration in words
 * @kind: enum kvbm_kind
 *
 * Return: "primary", "duplicate", "dedup", or "unknown".
 */
const char *kvbm_kind_name(unsigned int kind);

/**
 * kvbm_version() - the version of the running library
 *
 * Library, module, tools and packages of one release share one version. The
 * module's is in /sys/module/kvbm/version; "pkg-config --modversion libkvbm"
 * prints the one that programs are compiled with.  kvbm_features() returns what the
 * running module can do.
 *
 * Return: "major.minor.patch".
 */
const char *kvbm_version(void);

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif /* KVBM_H */
