// SPDX-License-Identifier: MIT
/*
 * kvbmctl create --ensure: handle an existing store.
 *
 * A store that matches the options stays. One that does not, and that nobody
 * uses, is replaced. A store of another owner is never accepted: anyone who may
 * create stores can take a name first, and would read what is put there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "payload.h"

/* The properties in which a store differs from the request. */
struct difference {
	const char *what;
	bool foreign;		/* its owner */
};

static bool differs(struct difference *d, bool is, const char *what)
{
	if (is && !d->what)
		d->what = what;
	return is;
}

static void compare_record(const struct kvbm_store_create *c,
			   const struct kvbm_store_info *info,
			   struct difference *d)
{
	uint32_t uid = c->uid == (uint32_t)-1 ? geteuid() : c->uid;
	uint32_t gid = c->gid == (uint32_t)-1 ? getegid() : c->gid;

	d->foreign = differs(d, info->uid != uid, "owner");
	differs(d, info->gid != gid, "group");
	differs(d, info->mode != (c->mode ? c->mode : 0600), "mode");
	differs(d, info->monitor_gid != c->monitor_gid, "monitoring group");
	differs(d, info->rights != c->rights, "set of rights");
}

static void compare_info(const struct kvbm_store_create *c,
			 const struct kvbm_store_info *info,
			 struct difference *d)
{
	const char *policy = *c->policy ? c->policy :
			     c->flags & KVBM_CREATE_OPAQUE ? "lru" :
			     kvbm_policy_name(0);

	differs(d, info->total_blocks != c->total_blocks, "number of blocks");
	differs(d, info->block_size != (c->block_size ? c->block_size : 16),
		"block size");
	differs(d, strncmp(info->policy, policy, sizeof(info->policy)),
		"policy");
	/* A store does not record how its memory was checked. */
	differs(d, info->flags != (c->flags & ~KVBM_CREATE_UNSEALED),
		"set of flags");
	differs(d, info->block_bytes != c->block_bytes,
		"number of bytes in a block");
	differs(d, info->freq_capacity != c->freq_capacity,
		"frequency tracking");
	differs(d, c->thresholds[0] &&
		memcmp(info->thresholds, c->thresholds, sizeof(c->thresholds)),
		"set of thresholds");
	differs(d, c->max_sessions && info->max_sessions != c->max_sessions,
		"limit on sessions");
	differs(d, info->max_held != c->max_held, "limit on held blocks");
	differs(d, info->linger_ms != c->linger_ms, "time to linger");
	differs(d, memcmp(info->digest, c->digest, sizeof(c->digest)),
		"digest");
	differs(d, memcmp(info->label, c->label, sizeof(c->label)), "label");
	differs(d, info->event_records != c->event_records,
		"number of events that are kept");
	differs(d, info->note_bytes != c->note_bytes, "size of notes");
	differs(d, (c->keep_blocks && info->keep_blocks != c->keep_blocks) ||
		(c->keep_user_blocks &&
		 info->keep_user_blocks != c->keep_user_blocks),
		"limit on raised blocks");
}

/* Is the payload another file than the given one? */
static int compare_file(const char *name, const char *path,
			struct difference *d)
{
	int session = kvbm_open(name), err;
	struct stat is, wanted;

	if (session < 0)
		return session;
	err = payload_stat(session, &is);
	close(session);
	if (!err && stat(path, &wanted))
		err = -errno;
	if (!err)
		differs(d, is.st_dev != wanted.st_dev ||
			is.st_ino != wanted.st_ino, "payload");
	return err;
}

/* Fills in @d; 0, or -errno: -ENOENT if the store has gone meanwhile. */
static int compare(int control, const char *name,
		   const struct kvbm_store_create *c,
		   const struct payload_args *p, struct difference *d,
		   uint64_t *id)
{
	struct kvbm_store_ref ref = { .name = name };
	struct kvbm_store_info info;
	int err = kvbm_store_info_of(control, &ref, &info);

	memset(d, 0, sizeof(*d));
	/* A caller who may not even look is not its owner. */
	d->foreign = err == -EPERM;
	if (d->foreign)
		d->what = "owner";
	if (err)
		return d->foreign ? 0 : err;
	*id = info.store_id;
	compare_record(c, &info, d);
	if (!d->foreign)
		compare_info(c, &info, d);
	if (p->path && !d->what)
		return compare_file(name, p->path, d);
	return 0;
}

/* 0: no store is in the way; an exit status after a message; or -errno. */
static int make_way(int control, const char *name, const struct difference *d)
{
	int err;

	if (d->foreign)
		return fail("store '%s' exists already and has another owner",
			    name);
	err = kvbm_store_destroy(control, name, 0);
	if (err == -EBUSY)
		return fail("store '%s' is in use and has another %s", name,
			    d->what);
	return err == -ENOENT ? 0 : err;
}

int ensure_store(int control, const char *name, struct kvbm_store_create *c,
		 struct payload_args *p, int *memory)
{
	struct difference d = { 0 };
	uint64_t id = 0;
	int err;

	*memory = 0;
	if (p->block_bytes) {
		c->flags |= KVBM_CREATE_PAYLOAD;
		c->block_bytes = p->block_bytes;
	}
	/* Others may create and destroy meanwhile, but not for ever. */
	for (int tries = 0; tries < 100; tries++) {
		struct kvbm_store_create fresh;

		err = compare(control, name, c, p, &d, &id);
		if (!err && !d.what) {
			c->store_id = id;
			return STATUS_OK;
		}
		if (!err)
			err = make_way(control, name, &d);
		if (err && err != -ENOENT && err != -ENODEV && err != -ENXIO)
			return err;
		if (p->block_bytes && !*memory) {
			*memory = payload_make(p, name, c);
			if (*memory < 0)
				return STATUS_FAILED;
		}
		fresh = *c;
		err = kvbm_store_create(control, &fresh);
		if (err == -EEXIST)
			continue;
		c->need = fresh.need;
		c->store_id = fresh.store_id;
		return err;
	}
	return -EEXIST;
}
