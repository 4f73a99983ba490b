// SPDX-License-Identifier: MIT
/*
 * kvbmctl save, restore: keep a store's registered blocks across a reload of
 * the module.
 *
 * The blocks' bytes are in the store's memory file, which outlives the module.
 * This saves which block has which hash, and the eviction order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "export.h"
#include "payload.h"
#include "savefile.h"

enum {
	KEY_DESTROY = 256,
	KEY_OTHER_FILE,
};

struct save_args {
	const char *name;
	const char *path;
	bool destroy;
	bool other_file;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct save_args *args = state->input;

	switch (key) {
	case KEY_DESTROY:
		args->destroy = true;
		return 0;
	case KEY_OTHER_FILE:
		args->other_file = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			args->name = arg;
		else if (state->arg_num == 1)
			args->path = arg;
		else
			argp_error(state, "a store and a file expected");
		return 0;
	case ARGP_KEY_END:
		if (!args->path)
			argp_error(state, "a store and a file expected");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* The file with the blocks' bytes. */
static int payload_identity(int session, struct save_header *h)
{
	struct stat stat;
	int err = payload_stat(session, &stat);

	if (!err) {
		h->payload_dev = stat.st_dev;
		h->payload_ino = stat.st_ino;
	}
	return err;
}

/* Sessions other than this program's, lingering blocks, activity so far. */
struct quiet {
	uint64_t others;
	uint64_t lingering;
	uint64_t done;
};

static int look(const struct target *t, uint32_t ours, struct quiet *q)
{
	struct kvbm_stats stats;
	int err = kvbm_stats_of(t->fd, t->ref, &stats);

	if (err < 0)
		return err;
	q->others = stats.sessions + stats.revoked_sessions - ours;
	q->lingering = stats.lingering;
	q->done = stats.allocations + stats.evictions + stats.registrations +
		  stats.match_hashes_requested + stats.scan_hashes_requested;
	return 0;
}

static int in_use(const char *name, const struct quiet *q)
{
	if (q->others)
		return fail("store '%s' has %llu sessions: end them first, or the file will not include what they do from now on",
			    name, (unsigned long long)q->others);
	return fail("store '%s': %llu blocks linger: wait for them", name,
		    (unsigned long long)q->lingering);
}

static void fill_header(struct save_header *h,
			const struct kvbm_store_info *info)
{
	h->opaque = !!(info->flags & KVBM_CREATE_OPAQUE);
	h->total_blocks = info->total_blocks;
	h->block_size = info->block_size;
	h->block_bytes = info->block_bytes;
	h->note_bytes = info->note_bytes;
	memcpy(h->policy, info->policy, sizeof(h->policy));
	memcpy(h->thresholds, info->thresholds, sizeof(h->thresholds));
	h->store_id = info->store_id;
	h->time = time(NULL);
}

static uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/* The entries of a file, in order. */
static struct save_entry *to_save(struct kvbm_export_entry *e, uint32_t n)
{
	struct save_entry *s = calloc(n + !n, sizeof(*s));
	uint64_t now = boottime_ns();

	qsort(e, n, sizeof(*e), export_by_order);
	for (uint32_t i = 0; s && i < n; i++) {
		s[i].hash = e[i].hash;
		s[i].block = e[i].block;
		s[i].rank = e[i].rank;
		s[i].order = i;
		s[i].keep_rank = e[i].keep_rank;
		if (!e[i].keep_until_ns)
			continue;
		if (e[i].keep_until_ns > now)
			s[i].keep_ns = e[i].keep_until_ns - now;
		else
			s[i].keep_rank = KVBM_RANK_NORMAL;
	}
	return s;
}

/* Their notes, in the order of the entries; NULL: no memory. */
static uint8_t *notes_of(const struct exported *x)
{
	uint8_t *notes = malloc((size_t)x->n * x->note_bytes + 1);

	for (uint32_t i = 0; notes && x->note_bytes && i < x->n; i++)
		memcpy(notes + (size_t)i * x->note_bytes,
		       export_note(x, x->entries[i].block), x->note_bytes);
	return notes;
}

static int save(const struct save_args *args, const struct target *t,
		int session)
{
	uint32_t ours = (session >= 0) + !t->ref, n = 0;
	struct exported x = { 0 };
	struct save_header h = { .note_bytes = 0 };
	struct save_entry *entries = NULL;
	struct kvbm_store_info info;
	struct quiet before, after;
	uint8_t *notes = NULL;
	int err, status;

	err = kvbm_store_info_of(t->fd, t->ref, &info);
	if (!err)
		err = look(t, ours, &before);
	if (!err && (before.others || before.lingering))
		return in_use(args->name, &before);
	fill_header(&h, &info);
	if (!err && session >= 0)
		err = payload_identity(session, &h);
	if (!err)
		err = export_all(t, &x);
	if (!err)
		err = look(t, ours, &after);
	n = x.n;
	if (!err) {
		entries = to_save(x.entries, n);
		notes = notes_of(&x);
		err = entries && notes ? 0 : -ENOMEM;
	}
	export_free(&x);
	h.count = n;
	if (err)
		status = fail_request(args->name, err, "store '%s'",
				      args->name);
	else if (after.others || after.done != before.done)
		status = fail("store '%s' was used meanwhile", args->name);
	else
		status = savefile_write(args->path, &h, entries, notes);
	free(entries);
	free(notes);
	if (!status)
		printf("%u blocks saved\n", n);
	return status;
}

int cmd_save(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "destroy", KEY_DESTROY, NULL, 0, "Destroy the store once the file is written, so that nobody uses it any more", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "NAME FILE",
		.doc = "Save which blocks a store has registered, and their eviction order.",
	};
	struct save_args args = { 0 };
	struct kvbm_store_info info;
	struct target t;
	int session = -1, status, err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (open_target(&t, args.name))
		return STATUS_FAILED;
	err = kvbm_store_info_of(t.fd, t.ref, &info);
	if (err) {
		status = fail_request(args.name, err, "store '%s'", args.name);
		goto close;
	}
	/* Only a session can find out where the bytes are. */
	if (info.block_bytes) {
		session = open_store(args.name);
		if (session < 0) {
			status = STATUS_FAILED;
			goto close;
		}
	}
	status = save(&args, &t, session);
	if (session >= 0)
		close(session);
	if (!status && args.destroy) {
		err = t.ref ? kvbm_store_destroy_of(t.fd, t.ref, 0) : -EPERM;
		if (err) {
			/* Any use of the store makes the file out of date. */
			unlink(args.path);
			status = fail_request(args.name, err,
					      "cannot destroy store '%s', so nothing is saved",
					      args.name);
		}
	}
close:
	close(t.fd);
	return status;
}

/**
 * struct restoring - a restore in progress
 * @name: of the store
 * @h: what the file says of it
 * @entries: in the order in which they must become inactive
 * @notes: their notes, likewise
 * @sessions: hold all blocks, each as many as it may
 * @nr_sessions: how many
 * @of: for each block, its session
 * @started: seconds since 1970
 */
struct restoring {
	const char *name;
	struct save_header h;
	struct save_entry *entries;
	uint8_t *notes;
	int *sessions;
	uint32_t nr_sessions;
	uint32_t *of;
	uint64_t started;
};

/* In what the store differs from the saved one; NULL: in nothing. */
static const char *difference(const struct save_header *h,
			      const struct kvbm_store_info *info)
{
	if (h->total_blocks != info->total_blocks)
		return "number of blocks";
	if (h->block_size != info->block_size)
		return "block size";
	if (h->block_bytes != info->block_bytes)
		return "number of bytes in a block";
	if (h->opaque != !!(info->flags & KVBM_CREATE_OPAQUE))
		return "kind of hashes";
	if (strncmp(h->policy, info->policy, sizeof(h->policy)))
		return "policy";
	if (h->note_bytes != info->note_bytes)
		return "size of notes";
	if (memcmp(h->thresholds, info->thresholds, sizeof(h->thresholds)))
		return "set of thresholds";
	return NULL;
}

/* Allocate all blocks of the free store, over several sessions. */
static int take_all(struct restoring *r, int first,
		    const struct kvbm_store_info *info)
{
	uint32_t total = info->total_blocks, share = total, taken = 0, n;
	uint32_t *ids = calloc(total, sizeof(*ids));
	int err = 0;

	if (info->max_held && info->max_held < share)
		share = info->max_held;
	n = (total + share - 1) / share;
	r->sessions = calloc(n, sizeof(*r->sessions));
	r->of = calloc(total, sizeof(*r->of));
	if (!ids || !r->sessions || !r->of)
		err = -ENOMEM;
	while (!err && taken < total) {
		uint32_t some = total - taken < share ? total - taken : share;
		int s = r->nr_sessions ? kvbm_session_open(first) : first;

		if (s < 0) {
			err = s;
			break;
		}
		r->sessions[r->nr_sessions] = s;
		err = kvbm_alloc(s, some, ids, NULL, NULL);
		err = err < 0 ? err : 0;
		for (uint32_t i = 0; !err && i < some; i++)
			r->of[ids[i]] = r->nr_sessions;
		r->nr_sessions++;
		taken += some;
	}
	free(ids);
	return err;
}

/* How many of the entries from @i on have blocks of one session. */
static uint32_t run_of(const struct restoring *r, const struct save_entry *e,
		       uint32_t i)
{
	uint32_t n = 1;

	while (i + n < r->h.count &&
	       r->of[e[i + n].block] == r->of[e[i].block])
		n++;
	return n;
}

static int by_depth(const void *a, const void *b)
{
	const struct save_entry *x = a, *y = b;
	uint32_t dx = hash_depth(&x->hash), dy = hash_depth(&y->hash);

	if (dx != dy)
		return dx < dy ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

struct work {
	struct save_entry *by_depth;
	uint32_t *ids;
	struct kvbm_hash *hashes;
	struct kvbm_registered *registered;
	uint8_t *frequencies;
	uint8_t *notes;
};

/* Parents before children, as readers of events expect. */
static int register_all(struct restoring *r, struct work *w)
{
	uint32_t i, n, k, error = 0, bytes = r->h.note_bytes;
	struct save_entry *e = w->by_depth;

	memcpy(e, r->entries, r->h.count * sizeof(*e));
	qsort(e, r->h.count, sizeof(*e), by_depth);
	for (i = 0; i < r->h.count; i += n) {
		n = run_of(r, e, i);
		for (k = 0; k < n; k++) {
			w->ids[k] = e[i + k].block;
			w->hashes[k] = e[i + k].hash;
			memcpy(w->notes + (size_t)k * bytes,
			       r->notes + (size_t)e[i + k].order * bytes,
			       bytes);
		}
		kvbm_register_notes(r->sessions[r->of[w->ids[0]]], n, w->ids,
				    w->hashes, bytes ? w->notes : NULL,
				    w->registered, KVBM_REGISTER_REJECT,
				    &error);
		if (error)
			return -(int)error;
		for (k = 0; k < n; k++)
			if (w->registered[k].kind != KVBM_KIND_PRIMARY)
				return -EEXIST;
	}
	return 0;
}

/* multi_lru chooses a block's list by its frequency: count up to it. */
static int count_up(struct restoring *r, struct work *w)
{
	uint32_t i, n, round, error = 0;

	if (!r->h.thresholds[0])
		return 0;
	for (round = 0; round < 16; round++) {
		for (i = 0; i < r->h.count; i++)
			w->hashes[i] = r->entries[i].hash;
		kvbm_frequency(r->sessions[0], r->h.count, w->hashes,
			       w->frequencies, &error);
		if (error)
			return -(int)error;
		for (i = 0, n = 0; i < r->h.count; i++) {
			uint32_t rank = r->entries[i].rank;

			if (rank && w->frequencies[i] <
				    r->h.thresholds[rank - 1])
				w->hashes[n++] = r->entries[i].hash;
		}
		if (!n)
			break;
		kvbm_touch(r->sessions[0], n, w->hashes, &error);
		if (error)
			return -(int)error;
	}
	return 0;
}

static int release_all(struct restoring *r, struct work *w)
{
	uint32_t i, n, k, error = 0;
	uint8_t *kept = calloc(r->h.total_blocks, 1);

	if (!kept)
		return -ENOMEM;
	for (i = 0; i < r->h.count && !error; i += n) {
		n = run_of(r, r->entries, i);
		for (k = 0; k < n; k++) {
			w->ids[k] = r->entries[i + k].block;
			kept[w->ids[k]] = 1;
		}
		kvbm_release(r->sessions[r->of[w->ids[0]]], n, w->ids,
			     KVBM_RELEASE_REGISTERED, &error);
	}
	/* Free the others, in order. */
	for (i = 0; i < r->h.total_blocks && !error; i++)
		if (!kept[i])
			kvbm_release(r->sessions[r->of[i]], 1, &i,
				     KVBM_RELEASE_MUTABLE, &error);
	free(kept);
	return -(int)error;
}

/* How long the rank of an entry still lasts; 0: for ever, or it expired. */
static uint64_t left_of(const struct restoring *r, const struct save_entry *e)
{
	uint64_t gone = r->started > r->h.time ? r->started - r->h.time : 0;

	gone *= UINT64_C(1000000000);
	return e->keep_ns > gone ? e->keep_ns - gone : 0;
}

/* Set ranks last, since they move nothing. How many failed, or -errno. */
static int rank_all(struct restoring *r, struct work *w)
{
	uint32_t i, n, k, error = 0, refused = 0;

	for (i = 0; i < r->h.count && !error; i += n) {
		const struct save_entry *e = &r->entries[i];
		uint64_t left = left_of(r, e);

		n = 1;
		if (e->keep_rank == KVBM_RANK_NORMAL || (e->keep_ns && !left))
			continue;
		/* All that have the same one. */
		while (i + n < r->h.count &&
		       e[n].keep_rank == e->keep_rank &&
		       e[n].keep_ns == e->keep_ns)
			n++;
		for (k = 0; k < n; k++)
			w->hashes[k] = e[k].hash;
		kvbm_keep_hashes(r->sessions[0], n, w->hashes, e->keep_rank,
				 left, left ? KVBM_KEEP_RELATIVE : 0,
				 w->frequencies, &error);
		for (k = 0; k < n && !error; k++)
			refused += w->frequencies[k] != KVBM_KEEP_DONE;
	}
	if (!error && refused)
		fail("store '%s': %u blocks lost their rank: too many are raised",
		     r->name, refused);
	return -(int)error;
}

static int put_back(struct restoring *r)
{
	size_t n = r->h.count + !r->h.count;
	struct work w = {
		.by_depth = calloc(n, sizeof(*w.by_depth)),
		.ids = calloc(n, sizeof(*w.ids)),
		.hashes = calloc(n, sizeof(*w.hashes)),
		.registered = calloc(n, sizeof(*w.registered)),
		.frequencies = calloc(n, 1),
		.notes = malloc(n * r->h.note_bytes + 1),
	};
	int err = -ENOMEM;

	if (w.by_depth && w.ids && w.hashes && w.registered &&
	    w.frequencies && w.notes)
		err = register_all(r, &w);
	if (!err)
		err = count_up(r, &w);
	if (!err)
		err = release_all(r, &w);
	if (!err)
		err = rank_all(r, &w);
	free(w.by_depth);
	free(w.ids);
	free(w.hashes);
	free(w.registered);
	free(w.frequencies);
	free(w.notes);
	return err;
}

/* Compare the store with the file. */
static int verify(const struct restoring *r)
{
	struct target t = { .fd = r->sessions[0] };
	uint32_t n, i, missing = 0, moved = 0, lists = 0, noted = 0;
	struct kvbm_export_entry *now;
	struct exported x;
	int err = export_all(&t, &x);

	if (err) {
		export_free(&x);
		return fail_request(r->name, err, "store '%s'", r->name);
	}
	now = x.entries;
	n = x.n;
	qsort(now, n, sizeof(*now), export_by_order);
	missing = r->h.count > n ? r->h.count - n : 0;
	for (i = 0; i < n && i < r->h.count; i++) {
		const struct save_entry *e = &r->entries[i];

		moved += now[i].block != e->block ||
			 now[i].hash.hi != e->hash.hi ||
			 now[i].hash.lo != e->hash.lo;
		lists += now[i].rank != e->rank;
		if (x.note_bytes && now[i].block == e->block)
			noted += !!memcmp(export_note(&x, e->block), r->notes +
					  (size_t)i * x.note_bytes,
					  x.note_bytes);
	}
	export_free(&x);
	printf("%u blocks restored, %u missing, %u at another place in the order of eviction\n",
	       n, missing, moved + lists);
	if (noted)
		return fail("store '%s': %u blocks have another note than the saved one",
			    r->name, noted);
	/*
	 * A sketch can overestimate; it matters more that the block is there.
	 */
	return missing ? STATUS_FAILED : STATUS_OK;
}

static bool has_ranks(const struct restoring *r)
{
	for (uint64_t i = 0; i < r->h.count; i++)
		if (r->entries[i].keep_rank != KVBM_RANK_NORMAL)
			return true;
	return false;
}

/* Can the file be restored into this store? */
static int check_store(struct restoring *r, int session,
		       const struct kvbm_store_info *info,
		       const struct save_args *args)
{
	struct save_header now = { .note_bytes = 0 };
	const char *what = difference(&r->h, info);
	struct kvbm_counts counts;
	int err;

	if (what)
		return fail("store '%s' has another %s than the saved one",
			    r->name, what);
	if (!(info->flags & KVBM_CREATE_RETENTION) && has_ranks(r))
		return fail("store '%s' was created without --retention, but saved blocks have ranks",
			    r->name);
	err = kvbm_counts(session, &counts);
	if (!err && info->block_bytes)
		err = payload_identity(session, &now);
	if (err)
		return fail_request(r->name, err, "store '%s'", r->name);
	if (counts.reset != counts.total || info->sessions > 1)
		return fail("store '%s' is not new: it has blocks, or sessions",
			    r->name);
	if (info->block_bytes && !args->other_file &&
	    (now.payload_dev != r->h.payload_dev ||
	     now.payload_ino != r->h.payload_ino))
		return fail("store '%s' has its bytes in another file than the saved one (--other-file if that is a copy)",
			    r->name);
	return STATUS_OK;
}

int cmd_restore(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "other-file", KEY_OTHER_FILE, NULL, 0, "The blocks' bytes were copied to another file", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "NAME FILE",
		.doc = "Register the blocks saved from another store in a new one.",
	};
	struct save_args args = { 0 };
	struct kvbm_store_info info;
	struct restoring r = { 0 };
	int session, status, err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	r.name = args.name;
	r.started = time(NULL);
	status = savefile_read(args.path, &r.h, &r.entries, &r.notes);
	if (status)
		return status;
	session = open_store(args.name);
	if (session < 0) {
		status = STATUS_FAILED;
		goto free;
	}
	err = kvbm_store_info(session, &info);
	if (err)
		status = fail_request(args.name, err, "store '%s'", args.name);
	else
		status = check_store(&r, session, &info, &args);
	if (!status) {
		err = take_all(&r, session, &info);
		if (!err)
			err = put_back(&r);
		if (err)
			status = fail_request(args.name, err,
					      "cannot restore store '%s'",
					      args.name);
		else
			status = verify(&r);
	}
	/* Release whatever they still have. */
	for (uint32_t i = 1; i < r.nr_sessions; i++)
		close(r.sessions[i]);
	close(session);
	free(r.sessions);
	free(r.of);
free:
	free(r.entries);
	free(r.notes);
	return status;
}
