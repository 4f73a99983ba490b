// SPDX-License-Identifier: MIT
/*
 * Every function on descriptors that are not kvbm's: -EBADF and -ENOTTY,
 * nothing done, errors from the kernel itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <kvbm.h>

#include "tap.h"

static uint32_t ids[1], total, hits, evicted;
static uint32_t done, error;
static uint64_t reclaimed;
static uint8_t byte;
static bool whole;
static struct kvbm_hash hash;
static struct kvbm_evicted gone;
static struct kvbm_registered result;
static struct kvbm_weak weak;
static struct kvbm_features features;
static struct kvbm_store_create create;
static struct kvbm_store_entry store;
static struct kvbm_store_info info;
static struct kvbm_counts counts;
static struct kvbm_stats stats;
static struct kvbm_session_entry session;
static struct kvbm_block_info block;

static void all(int fd, int want, const char *what)
{
#define FAILS(call)							\
	do {								\
		done = 99;						\
		ok((call) == want, "%s: %s", what, #call);		\
	} while (0)
#define BATCH_FAILS(call)						\
	do {								\
		error = 99;						\
		ok((call) == want && error == -want, "%s: %s", what,	\
		   #call);						\
	} while (0)

	FAILS(kvbm_features(fd, &features));
	FAILS(kvbm_store_create(fd, &create));
	FAILS(kvbm_store_destroy(fd, "pool", 0));
	FAILS(kvbm_store_list(fd, 1, &store, &total));
	FAILS(kvbm_store_info(fd, &info));
	FAILS(kvbm_counts(fd, &counts));
	FAILS(kvbm_stats(fd, &stats));
	FAILS(kvbm_reset_inactive(fd, &whole, &done));
	FAILS(kvbm_session_open(fd));
	FAILS(kvbm_session_config(fd, 1));
	FAILS(kvbm_session_list(fd, 1, &session, &total));
	FAILS(kvbm_session_revoke(fd, 1, &reclaimed));
	FAILS(kvbm_alloc(fd, 1, ids, &gone, &evicted));
	FAILS(kvbm_alloc_reset(fd, 1, ids));
	FAILS(kvbm_alloc_wait(fd, 1, ids, &gone, &evicted, 0));
	FAILS(kvbm_alloc_wait_at(fd, 1, ids, &gone, &evicted, 0, &total));
	FAILS(kvbm_ticket_give_up(fd, 1));
	BATCH_FAILS(kvbm_stage(fd, 1, ids, &hash, NULL, &error));
	BATCH_FAILS(kvbm_unstage(fd, 1, ids, &error));
	BATCH_FAILS(kvbm_register(fd, 1, ids, &result, 0, &error));
	BATCH_FAILS(kvbm_stage_register(fd, 1, ids, &hash, &result, 0, &error));
	BATCH_FAILS(kvbm_match(fd, 1, &hash, ids, &error));
	BATCH_FAILS(kvbm_scan(fd, 1, &hash, ids, 0, &hits, &error));
	BATCH_FAILS(kvbm_release(fd, 1, ids, 0, &error));
	BATCH_FAILS(kvbm_retain(fd, 1, ids, &error));
	BATCH_FAILS(kvbm_set_reset(fd, 1, ids, true, &error));
	FAILS(kvbm_block_info(fd, 0, &block));
	FAILS(kvbm_weak(fd, 0, &weak));
	BATCH_FAILS(kvbm_upgrade(fd, 1, &weak, ids, &hits, &error));
	BATCH_FAILS(kvbm_presence(fd, 1, &hash, &byte, &error));
	BATCH_FAILS(kvbm_frequency(fd, 1, &hash, &byte, &error));
	BATCH_FAILS(kvbm_touch(fd, 1, &hash, &error));
}

static void names(void)
{
	unsigned int i;

	ok(!strcmp(kvbm_policy_name(0), "lineage_tick"), "the default policy");
	for (i = 1; kvbm_policy_name(i); i++)
		ok(strcmp(kvbm_policy_name(i), kvbm_policy_name(i - 1)) &&
		   strlen(kvbm_policy_name(i)) < KVBM_POLICY_LEN, "policy %s",
		   kvbm_policy_name(i));
	ok(!kvbm_policy_name(-1U), "policy: no more");
	ok(!strcmp(kvbm_state_name(KVBM_STATE_RESET), "reset") &&
	   !strcmp(kvbm_state_name(KVBM_STATE_MUTABLE), "mutable") &&
	   !strcmp(kvbm_state_name(KVBM_STATE_STAGED), "staged") &&
	   !strcmp(kvbm_state_name(KVBM_STATE_PRIMARY), "primary") &&
	   !strcmp(kvbm_state_name(KVBM_STATE_DUPLICATE), "duplicate") &&
	   !strcmp(kvbm_state_name(KVBM_STATE_INACTIVE), "inactive") &&
	   !strcmp(kvbm_state_name(KVBM_STATE_LINGERING), "lingering") &&
	   !strcmp(kvbm_state_name(KVBM_STATE_FORGOTTEN), "forgotten") &&
	   !strcmp(kvbm_state_name(8), "unknown"), "state names");
	ok(!strcmp(kvbm_kind_name(KVBM_KIND_PRIMARY), "primary") &&
	   !strcmp(kvbm_kind_name(KVBM_KIND_DUPLICATE), "duplicate") &&
	   !strcmp(kvbm_kind_name(KVBM_KIND_DEDUP), "dedup") &&
	   !strcmp(kvbm_kind_name(3), "unknown"), "kind names");
	ok(!strcmp(kvbm_version(), KVBM_VERSION), "version %s", KVBM_VERSION);
}

int main(void)
{
	int fd;

	all(-1, -EBADF, "no descriptor");
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	all(fd, -ENOTTY, "/dev/null");
	close(fd);
	all(fd, -EBADF, "closed descriptor");
	ok(kvbm_open("/dev/kvbm-no-such-node") == -ENOENT, "open: no node");
	ok(kvbm_open("no-such-store") == -ENOENT, "open: no store");
	names();
	return tap_end();
}
