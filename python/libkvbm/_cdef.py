# SPDX-License-Identifier: MIT
"""The part of libkvbm's interface that this package uses, for cffi.

The one place that repeats kvbm.h and linux/kvbm.h. tests/test_header.py
compares it with the headers: structures field by field, functions, enumerators
and constants; and wants each exported function to be here or in UNUSED.
"""

# The soname that has these declarations.
SONAME = "libkvbm.so.0"

# Exported functions that have no use here, each with the reason.
UNUSED = {
    "kvbm_event_name": "Change is an IntEnum",
    "kvbm_reason_name": "Reason is an IntEnum",
    "kvbm_events_open_of": "a session is at hand",
    "kvbm_kind_name": "Kind is an IntEnum",
    "kvbm_rank_name": "Rank is an IntEnum",
    "kvbm_state_name": "State is an IntEnum",
    "kvbm_claim": "kvbm_claim_notes does the same",
    "kvbm_events_read": "kvbm_events_read_notes does the same",
    "kvbm_export_notes": "snapshot() is of hashes alone",
    "kvbm_register": "kvbm_register_notes does the same",
    "kvbm_stage_register": "likewise",
    "kvbm_hash_valid": "kvbm_hash_unpack tells the same",
    "kvbm_payload_map": "mmap.mmap knows who still uses a mapping",
    "kvbm_payload_unmap": "likewise",
    "kvbm_payload_segment": "Payload.address(), in parts",
}

CDEF = r"""
#define KVBM_MAX_BLOCKS		16777216
#define KVBM_MAX_BLOCK_SIZE	1048576
#define KVBM_MAX_BATCH		16777216
#define KVBM_MAX_HOLDS		1048575
#define KVBM_MAX_DUPLICATES	1023
#define KVBM_CHUNK		64
#define KVBM_NO_BLOCK		4294967295
#define KVBM_FREQ_DEFAULT	2097152
#define KVBM_NO_SALT		1337
#define KVBM_DIGEST_LEN		32

#define KVBM_FEATURE_STORE	1
#define KVBM_FEATURE_WAIT	2
#define KVBM_FEATURE_URING	4
#define KVBM_FEATURE_REVOKE	8

#define KVBM_MIN_BLOCK_BYTES	4096
#define KVBM_EVENTS_NONBLOCK	1
#define KVBM_EVENTS_NOTES	2
#define KVBM_MAX_NOTE_BYTES	256
#define KVBM_PAYLOAD_FD		1
#define KVBM_PAYLOAD_RDONLY	2

#define KVBM_CREATE_REJECT	1
#define KVBM_CREATE_RESET	2
#define KVBM_CREATE_OPAQUE	4
#define KVBM_CREATE_RETENTION	32
#define KVBM_KEEP_RELATIVE	1
#define KVBM_DESTROY_FORCE	1
#define KVBM_SESSION_REVOKED	1
#define KVBM_RELEASE_MUTABLE	1
#define KVBM_RELEASE_STAGED	2
#define KVBM_RELEASE_REGISTERED	4
#define KVBM_REGISTER_ALLOW	1
#define KVBM_REGISTER_REJECT	2
#define KVBM_SCAN_TOUCH		1
#define KVBM_INVALIDATE_PREFIX	1
#define KVBM_INVALIDATE_ALL	2

enum kvbm_state {
	KVBM_STATE_RESET = 0,
	KVBM_STATE_MUTABLE = 1,
	KVBM_STATE_STAGED = 2,
	KVBM_STATE_PRIMARY = 3,
	KVBM_STATE_DUPLICATE = 4,
	KVBM_STATE_INACTIVE = 5,
	KVBM_STATE_LINGERING = 6,
	KVBM_STATE_FORGOTTEN = 7,
};

enum kvbm_event_type {
	KVBM_EVENT_STORED = 1,
	KVBM_EVENT_REMOVED = 2,
	KVBM_EVENT_DUPLICATE = 3,
	KVBM_EVENT_DUPLICATE_GONE = 4,
	KVBM_EVENT_CLEARED = 5,
	KVBM_EVENT_LOST = 6,
};

enum kvbm_reason {
	KVBM_REASON_NONE = 0,
	KVBM_REASON_EVICTED = 1,
	KVBM_REASON_RELEASED = 2,
	KVBM_REASON_RECLAIMED = 3,
	KVBM_REASON_RESET = 4,
	KVBM_REASON_DISPLACED = 5,
	KVBM_REASON_DESTROYED = 6,
	KVBM_REASON_INVALIDATED = 7,
};

enum kvbm_kind {
	KVBM_KIND_PRIMARY = 0,
	KVBM_KIND_DUPLICATE = 1,
	KVBM_KIND_DEDUP = 2,
};

enum kvbm_presence {
	KVBM_ABSENT = 0,
	KVBM_INACTIVE = 1,
	KVBM_ACTIVE = 2,
	KVBM_PENDING = 3,
};

enum kvbm_rank {
	KVBM_RANK_FIRST = 0,
	KVBM_RANK_NORMAL = 1,
	KVBM_RANK_HIGH = 2,
	KVBM_RANK_KEEP = 3,
};

enum kvbm_keep_result {
	KVBM_KEEP_DONE = 0,
	KVBM_KEEP_ABSENT = 1,
	KVBM_KEEP_DENIED = 2,
	KVBM_KEEP_FULL = 3,
};

enum kvbm_claim_state {
	KVBM_CLAIMED = 0,
	KVBM_CLAIM_PENDING = 1,
	KVBM_CLAIM_PRESENT = 2,
};

struct kvbm_hash {
	uint64_t hi;
	uint64_t lo;
};

struct kvbm_features {
	uint32_t size;
	uint32_t flags;
	uint64_t features;
	uint32_t max_blocks;
	uint32_t max_batch;
	uint32_t max_holds;
	uint32_t chunk;
	uint32_t max_block_size;
	uint32_t reserved32;
	uint64_t reserved[2];
};

struct kvbm_store_create {
	uint32_t size;
	uint32_t flags;
	uint32_t total_blocks;
	uint32_t block_size;
	char policy[16];
	uint32_t thresholds[3];
	uint32_t mode;
	uint32_t freq_capacity;
	uint32_t uid;
	uint32_t gid;
	uint32_t monitor_gid;
	uint32_t max_sessions;
	uint32_t max_held;
	uint32_t rights;
	int32_t fd;
	uint64_t store_id;
	uint64_t need;
	char name[32];
	uint64_t block_bytes;
	int32_t payload_fd;
	uint32_t linger_ms;
	uint8_t digest[32];
	char label[64];
	uint32_t note_bytes;
	uint32_t event_records;
	uint32_t keep_blocks;
	uint32_t keep_user_blocks;
	uint64_t reserved[3];
};

struct kvbm_store_entry {
	uint64_t store_id;
	char name[32];
	uint32_t total_blocks;
	uint32_t sessions;
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;
	uint32_t monitor_gid;
	uint32_t flags;
	uint32_t charged_uid;
	uint64_t memory;
	uint64_t created_ns;
};

struct kvbm_store_info {
	uint32_t size;
	uint32_t flags;
	uint64_t store_id;
	char name[32];
	uint32_t total_blocks;
	uint32_t block_size;
	uint32_t freq_capacity;
	uint32_t thresholds[3];
	uint32_t max_sessions;
	uint32_t max_held;
	uint32_t sessions;
	uint32_t revoked;
	uint32_t chunk;
	uint32_t status;
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;
	uint32_t monitor_gid;
	uint32_t rights;
	uint32_t charged_uid;
	char policy[16];
	uint64_t memory;
	uint64_t need;
	uint64_t created_ns;
	uint64_t session_memory;
	uint64_t session_id;
	uint64_t block_bytes;
	uint32_t linger_ms;
	uint32_t note_bytes;
	uint32_t event_records;
	uint32_t reserved32;
	uint8_t digest[32];
	char label[64];
	uint64_t page_bytes;
	uint64_t resident;
	uint32_t keep_blocks;
	uint32_t keep_user_blocks;
	uint64_t reserved;
};

struct kvbm_events {
	uint32_t size;
	uint32_t flags;
	uint64_t store_id;
	char name[32];
	uint32_t types;
	int32_t fd;
	uint64_t next;
	uint32_t records;
	uint32_t record_size;
	uint64_t reserved[2];
};

struct kvbm_event {
	uint64_t seq;
	uint64_t time_ns;
	uint64_t session;
	struct kvbm_hash hash;
	uint32_t block;
	uint32_t generation;
	uint16_t type;
	uint16_t reason;
	uint32_t noted;
	uint64_t count;
};

struct kvbm_payload {
	uint32_t size;
	uint32_t flags;
	uint64_t block_bytes;
	uint64_t bytes;
	uint64_t page_bytes;
	uint64_t resident;
	int32_t fd;
	uint32_t reserved;
};

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

struct kvbm_session_entry {
	uint64_t session_id;
	uint64_t opened_ns;
	uint64_t last_call_ns;
	uint64_t waiting_since_ns;
	uint64_t holds;
	uint64_t memory;
	uint32_t held;
	uint32_t mutable_blocks;
	uint32_t staged_blocks;
	uint32_t allocating;
	uint32_t waiting;
	uint32_t pid;
	uint32_t uid;
	uint32_t flags;
	char comm[16];
	uint64_t match_hashes_requested;
	uint64_t match_blocks_returned;
	uint64_t registrations;
	uint64_t allocations;
	uint64_t evictions;
	uint64_t alloc_failures;
	uint32_t offered;
	uint32_t offers;
	uint32_t offers_to;
	uint32_t reserved;
};

struct kvbm_ticket {
	uint64_t hi;
	uint64_t lo;
};

struct kvbm_counts {
	uint32_t size;
	uint32_t flags;
	uint64_t store_id;
	char name[32];
	uint32_t total;
	uint32_t reset;
	uint32_t inactive;
	uint32_t available;
	uint32_t registered;
	uint32_t reserved_blocks;
	uint32_t waiters;
	uint32_t held;
	uint32_t lingering;
	uint32_t reserved;
};

struct kvbm_stats {
	uint32_t size;
	uint32_t flags;
	uint64_t store_id;
	char name[32];
	uint64_t allocations;
	uint64_t allocations_from_reset;
	uint64_t evictions;
	uint64_t registrations;
	uint64_t duplicate_blocks;
	uint64_t registration_dedup;
	uint64_t stagings;
	uint64_t match_hashes_requested;
	uint64_t match_blocks_returned;
	uint64_t scan_hashes_requested;
	uint64_t scan_blocks_returned;
	uint64_t inflight_mutable;
	uint64_t inflight_immutable;
	uint64_t reset_pool_size;
	uint64_t inactive_pool_size;
	uint64_t staged;
	uint64_t sessions;
	uint64_t revoked_sessions;
	uint64_t reclaimed_sessions;
	uint64_t reclaimed_owned;
	uint64_t reclaimed_holds;
	uint64_t reclaim_last_ns;
	uint64_t reclaim_max_ns;
	uint64_t waits;
	uint64_t wait_grants;
	uint64_t wait_wakeups;
	uint64_t index_evictions;
	uint64_t held;
	uint64_t lingering;
	uint64_t claims;
	uint64_t claims_pending;
	uint64_t claims_present;
	uint64_t claim_waits;
	uint64_t pending;
	uint64_t alloc_nospace;
	uint64_t alloc_quota;
	uint64_t alloc_timeouts;
	uint64_t offers;
	uint64_t offers_accepted;
	uint64_t handed_over;
	uint64_t offered;
	uint64_t wait_ns;
	uint64_t evicted_idle_ns;
	uint64_t rank_first;
	uint64_t rank_high;
	uint64_t rank_keep;
	uint64_t evicted_first;
	uint64_t evicted_high;
	uint64_t evicted_keep;
	uint64_t rank_expired;
	uint64_t wait_histogram[24];
	uint64_t evicted_idle_histogram[33];
};

struct kvbm_block_info {
	uint32_t size;
	uint32_t flags;
	uint32_t block;
	uint32_t state;
	uint32_t generation;
	uint32_t reset_on_release;
	uint64_t holds;
	uint32_t own_holds;
	uint32_t sessions;
	struct kvbm_hash hash;
	uint32_t keep_rank;
	uint32_t reserved32;
	uint64_t keep_until_ns;
	uint64_t note;
};

struct kvbm_evicted {
	struct kvbm_hash hash;
	uint32_t block;
	uint32_t generation;
};
struct kvbm_registered {
	uint32_t block;
	uint32_t kind;
	uint32_t generation;
	uint32_t reserved;
};

struct kvbm_weak {
	uint32_t block;
	uint32_t generation;
	struct kvbm_hash hash;
};

struct kvbm_store_access {
	uint32_t size;
	uint32_t flags;
	uint64_t store_id;
	char name[32];
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;
	uint32_t monitor_gid;
	uint64_t reserved[2];
};

struct kvbm_session_revoke {
	uint32_t size;
	uint32_t flags;
	uint64_t store_id;
	char name[32];
	uint64_t session_id;
	uint32_t uid;
	uint32_t pid;
	uint32_t sessions;
	uint32_t reserved32;
	uint64_t reclaimed;
	uint64_t reserved;
};

struct kvbm_hold_entry {
	uint32_t block;
	uint32_t state;
	uint32_t holds;
	uint32_t generation;
	struct kvbm_hash hash;
};

struct kvbm_export_entry {
	struct kvbm_hash hash;
	uint32_t block;
	uint32_t generation;
	uint32_t state;
	uint32_t rank;
	uint32_t order;
	uint32_t keep_rank;
	uint64_t sequence;
	uint64_t keep_until_ns;
};

struct kvbm_store_ref {
	uint64_t id;
	const char *name;
};

struct kvbm_expect {
	uint32_t flags;
	uint32_t uid;
	uint64_t store_id;
	uint64_t block_bytes;
	uint32_t block_size;
	uint32_t differs;
	uint8_t digest[32];
};

struct kvbm_hash_fields {
	uint64_t current;
	uint64_t parent;
	uint32_t position;
	uint8_t mode;
	uint8_t parent_bits;
};

int kvbm_control_open(void);
int kvbm_open(const char *name);
int kvbm_session_open(int session);
int kvbm_features(int fd, struct kvbm_features *features);
int kvbm_store_create_init(struct kvbm_store_create *create, const char *name,
	uint32_t total_blocks);
int kvbm_store_create_policy(struct kvbm_store_create *create, const char
	*policy);
int kvbm_store_create(int control, struct kvbm_store_create *create);
int kvbm_store_destroy(int control, const char *name, uint32_t flags);
int kvbm_store_list(int control, uint32_t count, struct kvbm_store_entry
	*entries, uint32_t *total);
int kvbm_store_info(int session, struct kvbm_store_info *info);
int kvbm_counts(int session, struct kvbm_counts *counts);
int kvbm_stats(int session, struct kvbm_stats *stats);
int kvbm_reset_inactive(int session, bool *whole, uint32_t *done);
int kvbm_session_config(int session, uint32_t low_watermark);
int kvbm_session_list(int session, uint32_t count, struct kvbm_session_entry
	*entries, uint32_t *total);
int kvbm_session_revoke(int session, uint64_t session_id, uint64_t
	*reclaimed);
int kvbm_open_expect(const char *name, struct kvbm_expect *expect);
int kvbm_store_destroy_of(int control, const struct kvbm_store_ref *ref,
	uint32_t flags);
int kvbm_store_access(int control, const struct kvbm_store_ref *ref, struct
	kvbm_store_access *access);
int kvbm_store_list_from(int control, uint64_t *cursor, uint32_t count, struct
	kvbm_store_entry *entries, uint32_t *total);
int kvbm_store_info_of(int control, const struct kvbm_store_ref *ref, struct
	kvbm_store_info *info);
int kvbm_counts_of(int control, const struct kvbm_store_ref *ref, struct
	kvbm_counts *counts);
int kvbm_stats_of(int control, const struct kvbm_store_ref *ref, struct
	kvbm_stats *stats);
int kvbm_reset_inactive_of(int control, const struct kvbm_store_ref *ref, bool
	*whole, uint32_t *done);
int kvbm_invalidate(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t flags, uint32_t *idle, uint32_t *held);
int kvbm_invalidate_of(int control, const struct kvbm_store_ref *ref, uint32_t
	n, const struct kvbm_hash *hashes, uint32_t flags, uint32_t *idle, uint32_t
	*held);
int kvbm_session_list_of(int fd, const struct kvbm_store_ref *ref, uint64_t
	*cursor, uint32_t count, struct kvbm_session_entry *entries, uint32_t
	*total);
int kvbm_revoke_of(int fd, const struct kvbm_store_ref *ref, struct
	kvbm_session_revoke *revoke);
int kvbm_holds(int session, uint64_t *cursor, uint32_t count, struct
	kvbm_hold_entry *entries, uint32_t *total);
int kvbm_export(int fd, const struct kvbm_store_ref *ref, uint64_t *cursor,
	uint32_t count, struct kvbm_export_entry *entries, uint32_t *total);
int kvbm_alloc(int session, uint32_t n, uint32_t *ids, struct
	kvbm_evicted *evicted, uint32_t *nr_evicted);
int kvbm_alloc_reset(int session, uint32_t n, uint32_t *ids);
int kvbm_alloc_wait(int session, uint32_t n, uint32_t *ids, struct
	kvbm_evicted *evicted, uint32_t *nr_evicted, uint64_t deadline_ns);
int kvbm_alloc_wait_at(int session, uint32_t n, uint32_t *ids, struct
	kvbm_evicted *evicted, uint32_t *nr_evicted, uint64_t deadline_ns,
	uint32_t *ticket);
int kvbm_ticket_give_up(int session, uint32_t ticket);
uint64_t kvbm_deadline(uint64_t timeout_ns);
int kvbm_stage(int session, uint32_t n, const uint32_t *ids, const struct
	kvbm_hash *hashes, const uint32_t *tokens, uint32_t *error);
int kvbm_unstage(int session, uint32_t n, const uint32_t *ids,
	uint32_t *error);
int kvbm_match(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t *ids, uint32_t *error);
int kvbm_scan(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t *ids, uint32_t flags, uint32_t *hits, uint32_t *error);
int kvbm_release(int session, uint32_t n, const uint32_t *ids, uint32_t flags,
	uint32_t *error);
int kvbm_retain(int session, uint32_t n, const uint32_t *ids, uint32_t *error);
int kvbm_set_reset(int session, uint32_t n, const uint32_t *ids, bool on,
	uint32_t *error);
int kvbm_block_info(int session, uint32_t block, struct kvbm_block_info
	*info);
int kvbm_weak(int session, uint32_t block, struct kvbm_weak *weak);
int kvbm_upgrade(int session, uint32_t n, const struct kvbm_weak *weaks,
	uint32_t *ids, uint32_t *hits, uint32_t *error);
int kvbm_presence(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint8_t *out, uint32_t *error);
int kvbm_frequency(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint8_t *out, uint32_t *error);
int kvbm_touch(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t *error);
int kvbm_touch_newest(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t *error);
int kvbm_keep(int session, uint32_t n, const uint32_t *ids, uint32_t rank,
	uint64_t until_ns, uint32_t flags, uint8_t *results, uint32_t *error);
int kvbm_keep_hashes(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t rank, uint64_t until_ns, uint32_t flags, uint8_t *results,
	uint32_t *error);
int kvbm_hash_pack(uint64_t current, uint64_t parent, uint32_t position,
	struct kvbm_hash *out);
int kvbm_hash_unpack(const struct kvbm_hash *hash, struct kvbm_hash_fields
	*out);
int kvbm_hash_opaque(const void *digest, const void *key, size_t key_len,
	uint32_t group, struct kvbm_hash *out);
uint64_t kvbm_salt_hash(const void *lora, size_t lora_len, const void *salt,
	size_t salt_len);
uint64_t kvbm_block_hash(const uint32_t *tokens, size_t n, uint64_t
	salt_hash);
uint64_t kvbm_sequence_hash(uint64_t parent, uint64_t block_hash);
int kvbm_chain(const uint32_t *tokens, size_t n_tokens, uint32_t block_size,
	uint64_t salt_hash, struct kvbm_hash *out);
int kvbm_chain_append(const struct kvbm_hash *parent, const uint32_t *tokens,
	size_t n_tokens, uint32_t block_size, uint64_t salt_hash, struct kvbm_hash
	*out);
int kvbm_chain_blocks(const struct kvbm_hash *parent, const uint64_t
	*block_hashes, size_t n, struct kvbm_hash *out);
int kvbm_wait(int session, uint32_t n, const struct kvbm_hash *hashes, uint64_t
	deadline_ns, uint32_t *pending);
int kvbm_watch(int session, uint32_t n, const struct kvbm_hash *hashes, uint8_t
	*states);
int kvbm_offer(int session, uint32_t n, const uint32_t *ids, struct kvbm_ticket
	*ticket);
int kvbm_offer_to(int session, int to, uint32_t n, const uint32_t *ids, struct
	kvbm_ticket *ticket);
int kvbm_accept(int session, const struct kvbm_ticket *ticket, uint32_t room,
	uint32_t *ids, uint32_t *total);
int kvbm_accept_direct(int session, uint32_t room, uint32_t *ids, struct
	kvbm_ticket *ticket, uint32_t *total);
int kvbm_withdraw(int session, const struct kvbm_ticket *ticket);
int kvbm_match_pending(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t *ids, uint32_t *pending, uint32_t *error);
int kvbm_match_opaque(int session, const void *digest, const void *key, size_t
	key_len, uint32_t group, uint32_t *id, bool *pending);
int kvbm_presence_pending(int session, uint32_t n, const struct kvbm_hash
	*hashes, uint8_t *out, uint32_t *error);
int kvbm_events_open(int session, struct kvbm_events *events);
int kvbm_events_read_notes(int fd, void *out, uint32_t record_size,
	uint32_t count);
int kvbm_stage_notes(int session, uint32_t n, const uint32_t *ids,
	const struct kvbm_hash *hashes, const void *notes, uint32_t *error);
int kvbm_claim_notes(int session, uint32_t n, const uint32_t *ids,
	const struct kvbm_hash *hashes, const void *notes, uint8_t *states,
	uint32_t *error);
int kvbm_register_notes(int session, uint32_t n, const uint32_t *ids,
	const struct kvbm_hash *hashes, const void *notes,
	struct kvbm_registered *results, uint32_t flags, uint32_t *error);
int kvbm_match_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t *ids, void *notes, uint32_t *error);
int kvbm_scan_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
	uint32_t *ids, void *notes, uint32_t flags, uint32_t *hits,
	uint32_t *error);
int kvbm_block_note(int session, uint32_t block, struct kvbm_block_info *info,
	void *note);
int kvbm_payload(int session, uint32_t flags, struct kvbm_payload *payload);
int kvbm_payload_create(struct kvbm_payload_options *options);
int kvbm_store_create_payload(struct kvbm_store_create *create, int fd,
	uint64_t block_bytes);
const char *kvbm_policy_name(unsigned int i);
const char *kvbm_version(void);

/* The C library: copies during which other threads of Python run. */
void *memcpy(void *dst, const void *src, size_t n);
"""
