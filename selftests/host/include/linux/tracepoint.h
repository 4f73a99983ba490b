/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_TRACEPOINT_H
#define HOST_LINUX_TRACEPOINT_H

/* Trace events are calls of empty functions. */
#include <linux/types.h>
#define TP_PROTO(args...) args
#define TP_ARGS(args...) args
#define TP_CONDITION(args...) args
#define TP_STRUCT__entry(args...)
#define TP_fast_assign(args...)
#define TP_printk(args...)
#define HOST_TRACE(name, proto)                                       \
	static inline void trace_##name(proto) { }                    \
	static inline bool trace_##name##_enabled(void) { return false; }
#define TRACE_EVENT(name, proto, args...) HOST_TRACE(name, PARAMS(proto))
#define TRACE_EVENT_CONDITION(name, proto, args...) \
	HOST_TRACE(name, PARAMS(proto))
#define TRACE_EVENT_FN(name, proto, args...) HOST_TRACE(name, PARAMS(proto))
#define DECLARE_TRACE(name, proto, args...) HOST_TRACE(name, PARAMS(proto))
#define DECLARE_EVENT_CLASS(name, args...)
#define DEFINE_EVENT(cls, name, proto, args...) HOST_TRACE(name, PARAMS(proto))
#define DEFINE_EVENT_PRINT(cls, name, proto, args...) \
	HOST_TRACE(name, PARAMS(proto))
#define TRACE_DEFINE_ENUM(x)
#define PARAMS(args...) args
#define EXPORT_TRACEPOINT_SYMBOL_GPL(x)

#endif
