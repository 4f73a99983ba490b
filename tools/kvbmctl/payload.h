/* SPDX-License-Identifier: MIT */
/* kvbmctl create: memory for the blocks' bytes */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <kvbm.h>

/**
 * struct payload_args - what the command line says of it
 * @block_bytes: of a block; 0: no payload
 * @path: a file of memory that is there, or NULL
 * @given: something was said of how to make one
 * @memory: how
 */
struct payload_args {
	uint64_t block_bytes;
	const char *path;
	bool given;
	struct kvbm_payload_options memory;
};

bool parse_bytes(const char *arg, uint64_t *bytes);
bool parse_time_ms(const char *arg, uint64_t max, uint32_t *ms);
void payload_pages(struct argp_state *state, const char *arg,
		   struct payload_args *p);
void payload_numa(struct argp_state *state, const char *arg,
		  struct payload_args *p);
void payload_check(struct argp_state *state, const struct payload_args *p);
int payload_make(struct payload_args *p, const char *name,
		 struct kvbm_store_create *c);

#endif /* PAYLOAD_H */
