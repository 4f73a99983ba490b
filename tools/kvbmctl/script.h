/* SPDX-License-Identifier: MIT */
/*
 * The script language of "kvbmctl exec", in parts:
 *
 *	script_parse.c	a line of text -> struct script_cmd
 *	script_books.c	what a script has made: sessions, blocks owned, guards
 *	script_run.c	runs a command against a backend and prints its line;
 *			script_{ops,share,note,sessions}.c are its operations
 *	script_file.c	runs a file of them
 *	script_kernel.c	the backend of kvbmctl, with script_kill.c
 *
 * The store is reached through struct script_backend only. Of the others one
 * is the reference model (selftests/host/model/script_model.c), whose answers
 * the kernel's are compared with, and one fails on purpose.
 */
#ifndef KVBMCTL_SCRIPT_H
#define KVBMCTL_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <linux/kvbm.h>

enum script_op {
	SCRIPT_NEW,
	SCRIPT_ALLOC,
	SCRIPT_ALLOC_RESET,
	SCRIPT_STAGE,
	SCRIPT_UNSTAGE,
	SCRIPT_REGISTER,
	SCRIPT_MATCH,
	SCRIPT_SCAN,
	SCRIPT_SCAN_TOUCH,
	SCRIPT_RELEASE,
	SCRIPT_RELEASE_VEC,
	SCRIPT_RELEASE_ALL,
	SCRIPT_CLONE,
	SCRIPT_USE,
	SCRIPT_WEAK,
	SCRIPT_UPGRADE,
	SCRIPT_DROP_MUTABLE,
	SCRIPT_DROP_STAGED,
	SCRIPT_SET_RESET,
	SCRIPT_RESET_INACTIVE,
	SCRIPT_COUNTS,
	SCRIPT_PRESENCE,
	SCRIPT_HAS_INACTIVE,
	SCRIPT_FREQ,
	SCRIPT_TOUCH,
	SCRIPT_TOUCH_NEWEST,
	SCRIPT_CLAIM,
	SCRIPT_PENDING,
	SCRIPT_REGISTER_NOTE,
	SCRIPT_MATCH_NOTES,
	SCRIPT_SCAN_NOTES,
	SCRIPT_NOTE,
	SCRIPT_INVALIDATE,
	SCRIPT_INVALIDATE_PREFIX,
	SCRIPT_INVALIDATE_ALL,
	SCRIPT_SLEEP,
	SCRIPT_OFFER,
	SCRIPT_ACCEPT,
	SCRIPT_WITHDRAW,
	SCRIPT_KEEP,
	SCRIPT_KEEP_HELD,
	SCRIPT_RANK,
	SCRIPT_HELD,
	SCRIPT_PLH,
	SCRIPT_SESSION,
	SCRIPT_CLOSE,
	SCRIPT_KILL,
};

/**
 * struct script_new - the arguments of "new"; numbers as written, cut to 32
 *	bits by saturation, so that none of them turns into a valid one
 */
struct script_new {
	uint32_t total;
	uint32_t block_size;
	uint32_t freq;
	uint32_t thresholds[3];
	const char *policy;
	uint32_t keep;
	uint32_t note;
	bool has_thresholds;
	bool has_keep;
	bool has_note;
	bool reject;
	bool reset;
};

/**
 * struct script_cmd - one parsed line; its arrays are reused from line to line
 * @op: the operation
 * @config: of new
 * @ids: block ids, in the order given; saturated, so that an id that does not
 *	fit becomes KVBM_NO_BLOCK
 * @refs: numbers of guards, weak references or offers, saturated to UINT64_MAX
 * @hashes: sequence hashes
 * @number: COUNT of alloc, TOKENS of stage, POSITION of plh, MS of sleep;
 *	saturated; RANK of keep
 * @ms: MS of keep, saturated
 * @note: what is to be said of blocks
 * @note_len: its bytes
 * @words: CUR and PARENT of plh
 * @has_number: TOKENS were given
 * @has_ms: MS was given
 * @has_note: a note was given
 * @has_parent: PARENT was given and is not "-"
 * @flag: of set_reset
 * @name: of session, close and kill; points into the line
 */
struct script_cmd {
	enum script_op op;
	struct script_new config;
	uint32_t *ids;
	size_t n_ids, cap_ids;
	uint64_t *refs;
	size_t n_refs, cap_refs;
	struct kvbm_hash *hashes;
	size_t n_hashes, cap_hashes;
	uint64_t number;
	uint64_t ms;
	uint64_t words[2];
	uint8_t note[KVBM_MAX_NOTE_BYTES];
	uint32_t note_len;
	bool has_number;
	bool has_ms;
	bool has_note;
	bool has_parent;
	bool flag;
	const char *name;
};

/**
 * script_parse() - take a line apart
 * @cmd: out: the command; zeroed before the first use
 * @line: the line, NUL-terminated; is written to and must outlive @cmd's use
 * @why: out: what is wrong with the line
 *
 * Return: 1 with a command, 0 for a blank line, -EINVAL for a line that is not
 * in the language (@why is set), -ENOMEM.
 */
int script_parse(struct script_cmd *cmd, char *line, const char **why);

/* Frees what @cmd points to. */
void script_cmd_free(struct script_cmd *cmd);

/**
 * struct script_backend - a store as the engine sees it
 *
 * Calls return as those of libkvbm do, whose functions most of these are.
 */
struct script_backend {
	/* The first session of a new anonymous store, or -errno. */
	int (*create)(const struct script_new *config);
	int (*session_open)(int session);
	void (*session_close)(int session);
	/* The same, as the death of its owner; 0, or -errno: it is still open. */
	int (*session_kill)(int session);

	int (*alloc)(int session, uint32_t n, uint32_t *ids,
		     struct kvbm_evicted *evicted, uint32_t *nr_evicted);
	int (*alloc_reset)(int session, uint32_t n, uint32_t *ids);
	int (*stage)(int session, uint32_t n, const uint32_t *ids,
		     const struct kvbm_hash *hashes, const uint32_t *tokens,
		     uint32_t *error);
	int (*claim)(int session, uint32_t n, const uint32_t *ids,
		     const struct kvbm_hash *hashes, uint8_t *states,
		     uint32_t *error);
	int (*stage_notes)(int session, uint32_t n, const uint32_t *ids,
			   const struct kvbm_hash *hashes, const void *notes,
			   uint32_t *error);
	int (*claim_notes)(int session, uint32_t n, const uint32_t *ids,
			   const struct kvbm_hash *hashes, const void *notes,
			   uint8_t *states, uint32_t *error);
	int (*unstage)(int session, uint32_t n, const uint32_t *ids,
		       uint32_t *error);
	int (*reg)(int session, uint32_t n, const uint32_t *ids,
		   struct kvbm_registered *results, uint32_t flags,
		   uint32_t *error);
	int (*register_notes)(int session, uint32_t n, const uint32_t *ids,
			      const struct kvbm_hash *hashes,
			      const void *notes,
			      struct kvbm_registered *results, uint32_t flags,
			      uint32_t *error);
	int (*match)(int session, uint32_t n, const struct kvbm_hash *hashes,
		     uint32_t *ids, uint32_t *error);
	int (*scan)(int session, uint32_t n, const struct kvbm_hash *hashes,
		    uint32_t *ids, uint32_t flags, uint32_t *hits,
		    uint32_t *error);
	int (*match_notes)(int session, uint32_t n,
			   const struct kvbm_hash *hashes, uint32_t *ids,
			   void *notes, uint32_t *error);
	int (*scan_notes)(int session, uint32_t n,
			  const struct kvbm_hash *hashes, uint32_t *ids,
			  void *notes, uint32_t flags, uint32_t *hits,
			  uint32_t *error);
	int (*release)(int session, uint32_t n, const uint32_t *ids,
		       uint32_t flags, uint32_t *error);
	int (*retain)(int session, uint32_t n, const uint32_t *ids,
		      uint32_t *error);
	int (*set_reset)(int session, uint32_t n, const uint32_t *ids, bool on,
			 uint32_t *error);
	int (*offer)(int session, uint32_t n, const uint32_t *ids,
		     struct kvbm_ticket *ticket);
	int (*accept)(int session, const struct kvbm_ticket *ticket,
		      uint32_t room, uint32_t *ids, uint32_t *total);
	int (*withdraw)(int session, const struct kvbm_ticket *ticket);
	int (*keep)(int session, uint32_t n, const uint32_t *ids, uint32_t rank,
		    uint64_t until_ns, uint32_t flags, uint8_t *results,
		    uint32_t *error);
	int (*keep_hashes)(int session, uint32_t n,
			   const struct kvbm_hash *hashes, uint32_t rank,
			   uint64_t until_ns, uint32_t flags, uint8_t *results,
			   uint32_t *error);
	int (*weak)(int session, uint32_t block, struct kvbm_weak *weak);
	int (*upgrade)(int session, uint32_t n, const struct kvbm_weak *weaks,
		       uint32_t *ids, uint32_t *hits, uint32_t *error);
	int (*reset_inactive)(int session, bool *whole, uint32_t *done);
	int (*invalidate)(int session, uint32_t n,
			  const struct kvbm_hash *hashes, uint32_t flags,
			  uint32_t *idle, uint32_t *held);
	/* So many milliseconds pass for the store, or some more. */
	int (*sleep)(int session, uint64_t ms);

	int (*presence)(int session, uint32_t n, const struct kvbm_hash *hashes,
			uint8_t *out, uint32_t *error);
	int (*pending)(int session, uint32_t n, const struct kvbm_hash *hashes,
		       uint8_t *out, uint32_t *error);
	int (*frequency)(int session, uint32_t n,
			 const struct kvbm_hash *hashes, uint8_t *out,
			 uint32_t *error);
	int (*touch)(int session, uint32_t n, const struct kvbm_hash *hashes,
		     uint32_t *error);
	int (*touch_newest)(int session, uint32_t n,
			    const struct kvbm_hash *hashes, uint32_t *error);
	int (*counts)(int session, struct kvbm_counts *counts);
	int (*stats)(int session, struct kvbm_stats *stats);
	int (*block_info)(int session, uint32_t block,
			  struct kvbm_block_info *info);
	int (*block_note)(int session, uint32_t block,
			  struct kvbm_block_info *info, void *note);
	int (*hash_pack)(uint64_t current, uint64_t parent, uint32_t position,
			 struct kvbm_hash *out);
};

/* The real thing: a store of the kernel's, through libkvbm. */
extern const struct script_backend script_kernel;

/*
 * script_kill_owner() - session_kill() of sessions that are descriptors
 *
 * Makes a child process the only owner of @fd and kills it. When the child can
 * be reaped, what the session held is back.
 */
int script_kill_owner(int fd);

struct script;

/**
 * script_start() - a script that has not run anything yet
 * @backend: the store
 * @complain: called with a text when the store and the script's own books
 *	disagree, which no script should be able to bring about
 *
 * Return: the script, or NULL without memory.
 */
struct script *script_start(const struct script_backend *backend,
			    void (*complain)(const char *text));

/**
 * script_run() - run one command and print its line to @out
 *
 * Return: 0, also when the operation failed and "err NAME" was printed;
 * -errno when the script cannot go on.
 */
int script_run(struct script *s, const struct script_cmd *cmd, FILE *out);

/**
 * script_run_file() - run the lines of a file, until one ends the script
 * @s: the script, or NULL: the lines are only parsed
 * @in: the file
 * @out: where their answers go
 * @line: out: number of the line that is being run, for @complain
 * @complain: called with what is wrong with it
 *
 * Return: 0, or -errno: -EINVAL when a line is not in the language.
 */
int script_run_file(struct script *s, FILE *in, FILE *out, unsigned long *line,
		    void (*complain)(const char *text));

/* Gives back everything and frees the script. */
void script_end(struct script *s);

/*
 * The books.
 */

struct script_session;

/* A block that a session owns. */
struct script_owned {
	uint32_t id;
	bool staged;
};

/* A hold on a registered block; one that was given back has no session. */
struct script_guard {
	struct script_session *session;
	uint64_t prev, next;	/* the session's guards, ascending */
	uint32_t block;
	bool in_batch;		/* of the list that is being put together */
	bool offered;
};

#define SCRIPT_NO_GUARD	UINT64_MAX

struct script_session {
	struct script_session *next;
	char *name;
	int fd;
	void *owned;		/* tsearch(3) tree of struct script_owned */
	uint64_t n_mutable, n_staged, n_guards;
	uint64_t first, last;	/* guards */
};

/* Guards that were offered together; none once they are not any more. */
struct script_offer {
	struct kvbm_ticket ticket;
	uint64_t *guards;
	size_t n;
};

struct script_books {
	struct script_session *sessions;	/* main is always the first */
	struct script_guard *guards;
	size_t n_guards, cap_guards;
	struct kvbm_weak *weaks;
	size_t n_weaks, cap_weaks;
	struct script_offer *offers;
	size_t n_offers, cap_offers;
};

/* Makes room for @more elements of @size bytes after @n. -ENOMEM. */
int script_grow(void *array, size_t *cap, size_t n, size_t more, size_t size);

struct script_session *books_session(struct script_books *b, const char *name);
/* -ENOMEM */
int books_add_session(struct script_books *b, const char *name, int fd,
		      struct script_session **session);
/* Also forgets the session's guards. */
void books_remove_session(struct script_books *b,
			  struct script_session *session);

struct script_owned *books_owned(struct script_session *session, uint32_t id);
/* -ENOMEM; a block that is owned already just changes its state. */
int books_own(struct script_session *session, uint32_t id, bool staged);
void books_disown(struct script_session *session, uint32_t id);
/* Calls @fn for each block that is owned in this state, ascending. */
void books_each_owned(struct script_session *session, bool staged,
		      void (*fn)(uint32_t id, void *arg), void *arg);

/* -ENOMEM; *@guard is the number. */
int books_add_guard(struct script_books *b, struct script_session *session,
		    uint32_t block, uint64_t *guard);
void books_drop_guard(struct script_books *b, uint64_t guard);
/* -ENOENT, -EPERM when it is another session's */
int books_guard(struct script_books *b, struct script_session *session,
		uint64_t guard, uint32_t *block);
/* The same of one that is not offered: -EBUSY. */
int books_free_guard(struct script_books *b, struct script_session *session,
		     uint64_t guard, uint32_t *block);
/* The guards are offered from now on; -ENOMEM, *@offer is the number. */
int books_add_offer(struct script_books *b, const struct kvbm_ticket *ticket,
		    const uint64_t *guards, size_t n, uint64_t *offer);
/* They are not any more: the session's again, or dropped. */
void books_end_offer(struct script_books *b, uint64_t offer, bool drop);
int books_add_weak(struct script_books *b, const struct kvbm_weak *weak,
		   uint64_t *number);
/* Forgets everything; does not close the sessions' descriptors. */
void books_clear(struct script_books *b);

#endif /* KVBMCTL_SCRIPT_H */
