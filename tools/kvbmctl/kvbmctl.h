/* SPDX-License-Identifier: MIT */
/* Shared by the commands of kvbmctl. */
#ifndef KVBMCTL_H
#define KVBMCTL_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <json-c/json.h>
#include <kvbm.h>

#include "../common/parse.h"

/* Exit statuses, see the man page. */
enum {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
};

/* A command gets its own arguments; argv[0] is "kvbmctl COMMAND". */
typedef int command_fn(int argc, char **argv);

command_fn cmd_create, cmd_destroy, cmd_list, cmd_show, cmd_stats, cmd_top,
	cmd_sessions, cmd_revoke, cmd_block, cmd_features, cmd_hash, cmd_match,
	cmd_presence, cmd_reset, cmd_exec, cmd_access, cmd_export, cmd_save,
	cmd_restore, cmd_events, cmd_invalidate, cmd_pending, cmd_evictions,
	cmd_metrics, cmd_keep;

/*
 * Messages. Each prints one line to stderr and returns STATUS_FAILED, so that
 * a command can return it.
 */
__attribute__((format(printf, 1, 2)))
int fail(const char *format, ...);
/* @err: of a request on @name, or on the control device when NULL */
__attribute__((format(printf, 3, 4)))
int fail_request(const char *name, int err, const char *format, ...);

/* On failure these print why and return -1. */
int open_control(void);
int open_store(const char *name);

/*
 * A store to query. Through the control device, which needs neither a session
 * nor permission to open the store; a caller who may not open that device uses
 * a session, if he may open one.
 */
struct target {
	int fd;
	struct kvbm_store_ref store;
	const struct kvbm_store_ref *ref;	/* NULL: a session */
	char path[KVBM_NAME_LEN];
};

/* @word: a name, a node's path, or @ and a store's id. */
int open_target(struct target *t, const char *word);
bool parse_ref(const char *word, struct kvbm_store_ref *ref,
	       char name[KVBM_NAME_LEN]);

/*
 * Arguments.
 */

/* HI:LO */
bool parse_hash(const char *s, struct kvbm_hash *hash);

/* Hashes among @argc words: HI:LO, or HI and LO, or with commas. */
struct hash_list {
	struct kvbm_hash *hashes;
	size_t n, cap;
	bool half;		/* a HI waits for its LO */
	uint64_t hi;
};

/* False: @s is not a hash, or there is no memory. */
bool hash_list_add(struct hash_list *list, const char *s);

struct payload_args;

/*
 * Makes sure that there is a store of that name as @c and @p say: the one that is
 * there, or else a new one, for which @p's memory is made only then; @memory is
 * its descriptor, or 0. Returns 0 and the store's id in @c, an exit status and has
 * told why, or -errno.
 */
int ensure_store(int control, const char *name, struct kvbm_store_create *c,
		 struct payload_args *p, int *memory);

/* A user's or group's name or number, of an option; permissions. */
uint32_t user_id(struct argp_state *state, const char *option,
		 const char *arg);
uint32_t group_id(struct argp_state *state, const char *option,
		  const char *arg);
uint32_t mode_bits(struct argp_state *state, const char *arg);

/* Arguments of most commands. */
struct common {
	char **names;
	int n;
	bool json, no_headings, prometheus;
};

/* A block's note in hexadecimal; @text has two characters a byte, and one more. */
const char *note_text(const uint8_t *note, uint32_t bytes, char *text);

/* The hashes after the store's name; prints what is wrong with them. */
bool read_hashes(const struct common *args, const char *command,
		 struct hash_list *list);

enum {
	KEY_JSON = 'J',
	KEY_NO_HEADINGS = 'n',
	KEY_PROMETHEUS = 'P',
	KEY_MONITOR = 'M',
};

/* An argp parser of struct common. */
error_t parse_common(int key, char *arg, struct argp_state *state);

#define OPTION_JSON \
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 }
#define OPTION_NO_HEADINGS \
	{ "noheadings", KEY_NO_HEADINGS, NULL, 0, "Print no line of headings", 0 }

/*
 * Output.
 */

/* Prints and frees @object. */
int print_json(struct json_object *object);
void json_u64(struct json_object *object, const char *key, uint64_t value);
void json_str(struct json_object *object, const char *key, const char *value);
/* @value with up to @size bytes, perhaps without a NUL */
void json_chars(struct json_object *object, const char *key, const char *value,
		size_t size);
void json_store_id(struct json_object *object, uint64_t id);
struct json_object *counts_json(const struct kvbm_counts *c);
void print_stats(const struct kvbm_stats *stats);
/* A table of sessions; returns an exit status. */
int print_sessions(FILE *out, const struct kvbm_session_entry *entries,
		   uint32_t n, const struct common *args);
void format_hash(const struct kvbm_hash *hash, char text[34]);
void format_age(uint64_t since_ns, char text[16]);

/* All stores that the caller may list; the array is the caller's. */
int list_stores(int control, struct kvbm_store_entry **entries, uint32_t *n);
/* The store's sessions without our own. */
int list_sessions(const struct target *t, struct kvbm_session_entry **entries,
		  uint32_t *n);

/*
 * Statistics by name.
 */

struct stat_field {
	const char *name;
	size_t offset;		/* in struct kvbm_stats */
	bool gauge;
	const char *help;
};

extern const struct stat_field stat_fields[];
extern const size_t n_stat_fields;

struct stat_histogram {
	const char *name;
	size_t offset;		/* in struct kvbm_stats */
	unsigned int buckets;
	unsigned int shift;	/* [i] has what is below 2^(i + shift) ns */
	const char *metric;	/* for Prometheus */
	const char *sum;	/* the field with the sum */
	const char *help;
};

extern const struct stat_histogram stat_histograms[];
extern const size_t n_stat_histograms;

const __u64 *histogram_of(const struct kvbm_stats *stats,
			  const struct stat_histogram *histogram);
/* The sum of its times, ns. */
uint64_t histogram_sum(const struct kvbm_stats *stats,
		       const struct stat_histogram *histogram);
uint64_t stat_value(const struct kvbm_stats *stats,
		    const struct stat_field *field);
/* The store's statistics without our own session. */
int read_stats(const struct target *t, struct kvbm_stats *stats);
struct json_object *stats_json(const struct kvbm_stats *stats);

#endif /* KVBMCTL_H */
