/* SPDX-License-Identifier: MIT */
/*
 * Request traces: JSON lines with timestamp (ms), input_length, output_length
 * (tokens) and hash_ids, one id for each block of TRACE_BLOCK_TOKENS tokens of
 * the input.  An id stands for a block and its whole prefix.
 */
#ifndef REPLAY_TRACE_H
#define REPLAY_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TRACE_BLOCK_TOKENS	512U

/**
 * struct request - one request of a trace
 * @timestamp: arrival in ms, from the trace's own start
 * @first: index of its first id in the trace's @ids
 * @blocks: how many ids
 * @input_length: tokens
 * @output_length: tokens
 */
struct request {
	uint64_t timestamp;
	size_t first;
	uint32_t blocks;
	uint32_t input_length;
	uint32_t output_length;
};

/**
 * struct trace - requests in order of arrival
 * @requests: the requests
 * @ids: the block ids of all requests, one after the other
 * @nr_requests: how many requests
 * @nr_ids: how many ids; without groups the number of block accesses
 * @max_blocks: ids of the longest request
 */
struct trace {
	struct request *requests;
	uint64_t *ids;
	size_t nr_requests;
	size_t nr_ids;
	uint32_t max_blocks;
};

/**
 * struct generator - properties of a generated trace; generate.c has the
 *	sources
 * @seed: same seed, same trace
 * @requests: how many
 * @rate: requests a second, in the long run; 0: the default of @like
 * @like: "conversation" or "toolagent"; NULL is the first
 * @prompts: number of system prompts that requests share
 * @zipf: exponent of the popularity of prompts and documents
 */
struct generator {
	uint64_t seed;
	size_t requests;
	double rate;
	uint32_t prompts;
	double zipf;
	const char *like;
};

#define GENERATOR_DEFAULTS \
	{ .seed = 1, .requests = 12000, .prompts = 32, .zipf = 1.0 }

/*
 * Both return 0, or -errno; trace_load() prints what is wrong with
 * the file.  @path "-" is standard input, @limit 0 means all requests.
 */
int trace_load(struct trace *trace, const char *path, size_t limit);
int trace_generate(struct trace *trace, const struct generator *gen);

/* Is it a valid @like of a generator? */
bool trace_is_shape(const char *name);

/* Both return 0 or -ENOMEM. */
int trace_add_request(struct trace *trace, const struct request *request);
int trace_add_id(struct trace *trace, uint64_t id);

/*
 * Repeat each request @times times in a row, with the same ids: 0 or -ENOMEM.
 */
int trace_repeat(struct trace *trace, uint32_t times);

int trace_write(const struct trace *trace, FILE *f);
void trace_free(struct trace *trace);

#endif /* REPLAY_TRACE_H */
