/* SPDX-License-Identifier: MIT */
/* Nothing to define: trace events are empty, see linux/tracepoint.h. */
