/* SPDX-License-Identifier: MIT */
/* Latency histograms: 8 buckets per power of two, so within 12.5 %. */
#ifndef REPLAY_HIST_H
#define REPLAY_HIST_H

#include <stdint.h>

#define HIST_SUB	8U
#define HIST_BUCKETS	(64 * HIST_SUB)

/**
 * struct hist - durations of one kind of call
 * @calls: calls counted
 * @blocks: blocks (or hashes) in these calls
 * @total_ns: sum of the durations
 * @max_ns: longest
 * @bucket: calls by duration
 */
struct hist {
	uint64_t calls;
	uint64_t blocks;
	uint64_t total_ns;
	uint64_t max_ns;
	uint32_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *hist, uint64_t ns, uint32_t blocks);
void hist_merge(struct hist *to, const struct hist *from);

/* The duration in ns that @part (0 to 1) of the calls did not exceed. */
uint64_t hist_percentile(const struct hist *hist, double part);

#endif /* REPLAY_HIST_H */
