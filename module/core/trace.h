/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * trace.h - tracepoints: each change of state, and a summary of each chunk
 *
 * session: its number in KVBM_IOC_SESSION_LIST, 0: none.  The tracer records
 * the running process itself.  Hashes are tenants' secrets; users who may trace
 * may read the memory that they are in.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvbm

#if !defined(KVBM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVBM_TRACE_H

#include <linux/tracepoint.h>
#include "core.h"

DECLARE_EVENT_CLASS(kvbm_block,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 block,
		 const struct kvbm_hash *key, u32 why),
	TP_ARGS(st, session, block, key, why),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, session)
		__field(u64, hi)
		__field(u64, lo)
		__field(u32, block)
		__field(u32, why)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->session = session;
		__entry->hi = key->hi;
		__entry->lo = key->lo;
		__entry->block = block;
		__entry->why = why;
	),
	TP_printk("store=%llx session=%llu block=%u hash=%016llx:%016llx why=%u",
		  __entry->store, __entry->session, __entry->block,
		  __entry->hi, __entry->lo, __entry->why)
);

/* A registration; why is enum kvbm_kind. */
DEFINE_EVENT(kvbm_block, kvbm_register,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 block,
		 const struct kvbm_hash *key, u32 why),
	TP_ARGS(st, session, block, key, why)
);

/* A hash leaves the store: session took its block; why is enum kvbm_reason. */
DEFINE_EVENT(kvbm_block, kvbm_remove,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 block,
		 const struct kvbm_hash *key, u32 why),
	TP_ARGS(st, session, block, key, why)
);

/* A hash is claimed, for a Staged block; why is 0. */
DEFINE_EVENT(kvbm_block, kvbm_claim,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 block,
		 const struct kvbm_hash *key, u32 why),
	TP_ARGS(st, session, block, key, why)
);

/* The claim ends, whatever ends it; why is 0. */
DEFINE_EVENT(kvbm_block, kvbm_claim_end,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 block,
		 const struct kvbm_hash *key, u32 why),
	TP_ARGS(st, session, block, key, why)
);

/*
 * A block's rank changes: why is enum kvbm_rank.  session set it; 0: the rank
 * expired.
 */
DEFINE_EVENT(kvbm_block, kvbm_keep,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 block,
		 const struct kvbm_hash *key, u32 why),
	TP_ARGS(st, session, block, key, why)
);

DECLARE_EVENT_CLASS(kvbm_chunk,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 asked, u32 had),
	TP_ARGS(st, session, asked, had),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, session)
		__field(u32, asked)
		__field(u32, had)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->session = session;
		__entry->asked = asked;
		__entry->had = had;
	),
	TP_printk("store=%llx session=%llu asked=%u had=%u", __entry->store,
		  __entry->session, __entry->asked, __entry->had)
);

/*
 * Up to KVBM_CHUNK hashes of a match, and how many of these it held.  The first
 * chunk with fewer ends the match.
 */
DEFINE_EVENT(kvbm_chunk, kvbm_match,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 asked, u32 had),
	TP_ARGS(st, session, asked, had)
);

/* Likewise for a scan. */
DEFINE_EVENT(kvbm_chunk, kvbm_scan,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 asked, u32 had),
	TP_ARGS(st, session, asked, had)
);

/* Up to KVBM_CHUNK holds of a release, and how many of these it released. */
DEFINE_EVENT(kvbm_chunk, kvbm_release,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 asked, u32 had),
	TP_ARGS(st, session, asked, had)
);

DECLARE_EVENT_CLASS(kvbm_handover,
	TP_PROTO(const struct kvbm_store *st, u64 session, u64 other, u32 holds),
	TP_ARGS(st, session, other, holds),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, session)
		__field(u64, other)
		__field(u32, holds)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->session = session;
		__entry->other = other;
		__entry->holds = holds;
	),
	TP_printk("store=%llx session=%llu other=%llu holds=%u", __entry->store,
		  __entry->session, __entry->other, __entry->holds)
);

/*
 * A session offers holds; other: the only receiver, 0: anyone with the ticket.
 */
DEFINE_EVENT(kvbm_handover, kvbm_offer,
	TP_PROTO(const struct kvbm_store *st, u64 session, u64 other, u32 holds),
	TP_ARGS(st, session, other, holds)
);

/* They pass to another session; other: the giver. */
DEFINE_EVENT(kvbm_handover, kvbm_accept,
	TP_PROTO(const struct kvbm_store *st, u64 session, u64 other, u32 holds),
	TP_ARGS(st, session, other, holds)
);

/* A session's holds are no longer offered; other is 0. */
DEFINE_EVENT(kvbm_handover, kvbm_withdraw,
	TP_PROTO(const struct kvbm_store *st, u64 session, u64 other, u32 holds),
	TP_ARGS(st, session, other, holds)
);

/*
 * An allocation reserves its blocks, or fails: error is 0 or the errno.
 * waited_ns: time since it began to wait; 0: it did not wait.
 */
TRACE_EVENT(kvbm_alloc,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 asked,
		 u64 waited_ns, int error),
	TP_ARGS(st, session, asked, waited_ns, error),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, session)
		__field(u64, waited_ns)
		__field(u32, asked)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->session = session;
		__entry->waited_ns = waited_ns;
		__entry->asked = asked;
		__entry->error = -error;
	),
	TP_printk("store=%llx session=%llu asked=%u waited_ns=%llu error=%d",
		  __entry->store, __entry->session, __entry->asked,
		  __entry->waited_ns, __entry->error)
);

/* A store is created. */
TRACE_EVENT(kvbm_create,
	TP_PROTO(const struct kvbm_store *st),
	TP_ARGS(st),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, memory)
		__field(u32, blocks)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->memory = st->memory;
		__entry->blocks = st->cfg.total;
	),
	TP_printk("store=%llx blocks=%u memory=%llu", __entry->store,
		  __entry->blocks, __entry->memory)
);

DECLARE_EVENT_CLASS(kvbm_session,
	TP_PROTO(const struct kvbm_store *st, u64 session, int error),
	TP_ARGS(st, session, error),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, session)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->session = session;
		__entry->error = -error;
	),
	TP_printk("store=%llx session=%llu error=%d", __entry->store,
		  __entry->session, __entry->error)
);

/* A store is destroyed; session and error are 0. */
DEFINE_EVENT(kvbm_session, kvbm_destroy,
	TP_PROTO(const struct kvbm_store *st, u64 session, int error),
	TP_ARGS(st, session, error)
);

/* A session opens, or fails to: error is the errno. */
DEFINE_EVENT(kvbm_session, kvbm_open,
	TP_PROTO(const struct kvbm_store *st, u64 session, int error),
	TP_ARGS(st, session, error)
);

/* A session is ended by force: error is the errno of its calls. */
DEFINE_EVENT(kvbm_session, kvbm_revoke,
	TP_PROTO(const struct kvbm_store *st, u64 session, int error),
	TP_ARGS(st, session, error)
);

/* Blocks of an ended session begin to linger, for this many ns. */
TRACE_EVENT(kvbm_linger,
	TP_PROTO(const struct kvbm_store *st, u64 session, u32 blocks, u64 ns),
	TP_ARGS(st, session, blocks, ns),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, session)
		__field(u64, ns)
		__field(u32, blocks)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->session = session;
		__entry->ns = ns;
		__entry->blocks = blocks;
	),
	TP_printk("store=%llx session=%llu blocks=%u ns=%llu", __entry->store,
		  __entry->session, __entry->blocks, __entry->ns)
);

/* A session ended, or was ended, while it held something. */
TRACE_EVENT(kvbm_reclaim,
	TP_PROTO(const struct kvbm_store *st, u64 session, u64 owned, u64 holds,
		 u64 ns),
	TP_ARGS(st, session, owned, holds, ns),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, session)
		__field(u64, owned)
		__field(u64, holds)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->session = session;
		__entry->owned = owned;
		__entry->holds = holds;
		__entry->ns = ns;
	),
	TP_printk("store=%llx session=%llu owned=%llu holds=%llu ns=%llu",
		  __entry->store, __entry->session, __entry->owned,
		  __entry->holds, __entry->ns)
);

#endif /* KVBM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
