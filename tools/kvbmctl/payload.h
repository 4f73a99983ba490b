/* SPDX-License-Identifier: MIT */
/* kvbmctl create: memory for the blocks' bytes */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <argp.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <kvbm.h>

/**
 * struct payload_args - its options
 * @block_bytes: of a block; 0: no payload
 * @path: an existing memory file, or NULL
 * @given: options for a new one were given
 * @memory: these
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

struct stat;

/* The file of a store's payload, from one of its sessions; 0 or -errno. */
int payload_stat(int session, struct stat *stat);

/**
 * struct payload_nodes - the NUMA nodes of a payload's pages
 * @looked: pages sampled, spread evenly; 0: none could be
 * @on: how many of these are on each node; nodes beyond the last are left out
 */
struct payload_nodes {
	unsigned int looked;
	unsigned int on[64];
};

/* Samples none if the caller cannot open a session. */
void payload_look_at_nodes(const char *name, struct payload_nodes *nodes);
void payload_print_nodes(const struct payload_nodes *nodes);
struct json_object *payload_nodes_json(const struct payload_nodes *nodes);

#endif /* PAYLOAD_H */
