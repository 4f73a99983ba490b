/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * trace.h - tracepoints: changes of state only, never the hot path
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvbm

#if !defined(KVBM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVBM_TRACE_H

#include <linux/tracepoint.h>
#include "core.h"

DECLARE_EVENT_CLASS(kvbm_block,
	TP_PROTO(const struct kvbm_store *st, u32 block,
		 const struct kvbm_hash *key),
	TP_ARGS(st, block, key),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, hi)
		__field(u64, lo)
		__field(u32, block)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->hi = key->hi;
		__entry->lo = key->lo;
		__entry->block = block;
	),
	TP_printk("store=%llx block=%u hash=%016llx:%016llx", __entry->store,
		  __entry->block, __entry->hi, __entry->lo)
);

/* An idle block is evicted for an allocation. */
DEFINE_EVENT(kvbm_block, kvbm_evict,
	TP_PROTO(const struct kvbm_store *st, u32 block,
		 const struct kvbm_hash *key),
	TP_ARGS(st, block, key)
);

/* A registered block goes to Reset without an allocation. */
DEFINE_EVENT(kvbm_block, kvbm_reset,
	TP_PROTO(const struct kvbm_store *st, u32 block,
		 const struct kvbm_hash *key),
	TP_ARGS(st, block, key)
);

/* A hash is claimed, for a Staged block. */
DEFINE_EVENT(kvbm_block, kvbm_claim,
	TP_PROTO(const struct kvbm_store *st, u32 block,
		 const struct kvbm_hash *key),
	TP_ARGS(st, block, key)
);

/* The claim ends, whatever ends it. */
DEFINE_EVENT(kvbm_block, kvbm_claim_end,
	TP_PROTO(const struct kvbm_store *st, u32 block,
		 const struct kvbm_hash *key),
	TP_ARGS(st, block, key)
);

/* A registration; kind is enum kvbm_kind. */
TRACE_EVENT(kvbm_register,
	TP_PROTO(const struct kvbm_store *st, u32 block,
		 const struct kvbm_hash *key, u32 kind),
	TP_ARGS(st, block, key, kind),
	TP_STRUCT__entry(
		__field(u64, store)
		__field(u64, hi)
		__field(u64, lo)
		__field(u32, block)
		__field(u32, kind)
	),
	TP_fast_assign(
		__entry->store = st->id;
		__entry->hi = key->hi;
		__entry->lo = key->lo;
		__entry->block = block;
		__entry->kind = kind;
	),
	TP_printk("store=%llx block=%u hash=%016llx:%016llx kind=%u",
		  __entry->store, __entry->block, __entry->hi, __entry->lo,
		  __entry->kind)
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
