// SPDX-License-Identifier: MIT
/* The scripts' store: an anonymous store of the kernel, through libkvbm. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <kvbm.h>

#include "script.h"

static int create(const struct script_new *config)
{
	struct kvbm_store_create c;
	int control, err;

	err = kvbm_store_create_init(&c, NULL, config->total);
	if (err)
		return err;
	c.block_size = config->block_size;
	c.freq_capacity = config->freq == 1 ? KVBM_FREQ_DEFAULT : config->freq;
	if (config->reject)
		c.flags |= KVBM_CREATE_REJECT;
	if (config->has_keep) {
		c.flags |= KVBM_CREATE_RETENTION;
		c.keep_blocks = config->keep;
	}
	if (config->reset)
		c.flags |= KVBM_CREATE_RESET;
	if (config->has_note)
		c.note_bytes = config->note;
	/* kvbm_store_create_policy() would add tracking to multi_lru. */
	memset(c.policy, 0, sizeof(c.policy));
	memcpy(c.policy, config->policy,
	       strnlen(config->policy, sizeof(c.policy) - 1));
	memcpy(c.thresholds, config->thresholds, sizeof(c.thresholds));

	control = kvbm_control_open();
	if (control < 0)
		return control;
	err = kvbm_store_create(control, &c);
	close(control);
	return err ? err : c.fd;
}

static void session_close(int session)
{
	close(session);
}

static int sleep_ms(int session, uint64_t ms)
{
	struct timespec t = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000,
	};
	int err;

	do
		err = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t);
	while (err == EINTR);
	return -err;
}

const struct script_backend script_kernel = {
	.create = create,
	.session_open = kvbm_session_open,
	.session_close = session_close,
	.session_kill = script_kill_owner,
	.alloc = kvbm_alloc,
	.alloc_reset = kvbm_alloc_reset,
	.stage = kvbm_stage,
	.claim = kvbm_claim,
	.stage_notes = kvbm_stage_notes,
	.claim_notes = kvbm_claim_notes,
	.unstage = kvbm_unstage,
	.reg = kvbm_register,
	.register_notes = kvbm_register_notes,
	.match = kvbm_match,
	.scan = kvbm_scan,
	.match_notes = kvbm_match_notes,
	.scan_notes = kvbm_scan_notes,
	.release = kvbm_release,
	.retain = kvbm_retain,
	.set_reset = kvbm_set_reset,
	.offer = kvbm_offer,
	.accept = kvbm_accept,
	.withdraw = kvbm_withdraw,
	.keep = kvbm_keep,
	.keep_hashes = kvbm_keep_hashes,
	.weak = kvbm_weak,
	.upgrade = kvbm_upgrade,
	.reset_inactive = kvbm_reset_inactive,
	.invalidate = kvbm_invalidate,
	.sleep = sleep_ms,
	.presence = kvbm_presence,
	.pending = kvbm_presence_pending,
	.frequency = kvbm_frequency,
	.touch = kvbm_touch,
	.touch_newest = kvbm_touch_newest,
	.counts = kvbm_counts,
	.stats = kvbm_stats,
	.block_info = kvbm_block_info,
	.block_note = kvbm_block_note,
	.hash_pack = kvbm_hash_pack,
};
