// SPDX-License-Identifier: MIT
#include "hist.h"

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int power;

	if (ns < HIST_SUB)
		return ns;
	power = 63 - __builtin_clzll(ns);
	return (power - 2) * HIST_SUB + (ns >> (power - 3)) % HIST_SUB;
}

/* The largest duration that falls into the bucket. */
static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < HIST_SUB)
		return bucket;
	shift = bucket / HIST_SUB - 1;
	return ((uint64_t)(HIST_SUB + bucket % HIST_SUB + 1) << shift) - 1;
}

void hist_add(struct hist *hist, uint64_t ns, uint32_t blocks)
{
	hist->calls++;
	hist->blocks += blocks;
	hist->total_ns += ns;
	if (ns > hist->max_ns)
		hist->max_ns = ns;
	hist->bucket[bucket_of(ns)]++;
}

void hist_merge(struct hist *to, const struct hist *from)
{
	unsigned int i;

	to->calls += from->calls;
	to->blocks += from->blocks;
	to->total_ns += from->total_ns;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (i = 0; i < HIST_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
}

uint64_t hist_percentile(const struct hist *hist, double part)
{
	uint64_t below = 0, wanted = part * hist->calls;
	unsigned int i;

	if (wanted >= hist->calls)
		return hist->max_ns;
	for (i = 0; i < HIST_BUCKETS; i++) {
		below += hist->bucket[i];
		if (below > wanted) {
			uint64_t end = bucket_end(i);

			return end < hist->max_ns ? end : hist->max_ns;
		}
	}
	return hist->max_ns;
}
