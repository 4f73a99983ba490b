// SPDX-License-Identifier: MIT
/*
 * The index of a store's registered blocks, and what a store needs in memory.
 */
#include <linux/mm.h>
#include "evict.h"
#include "host.h"
#include "core.h"

#include "host_harness.h"

static struct kvbm_config config(const char *policy, u32 total)
{
	struct kvbm_config cfg = {
		.total = total,
		.policy = kvbm_evict_find(policy),
		.max_sessions = 64,
	};

	return cfg;
}

/*
 * What creation takes is known before: never more, and not much less (large
 * pages, which the stand-in does not use, account for the difference).
 */
TEST(need_is_an_upper_bound)
{
	static const u32 totals[] = { 1, 1000, 65536, 300001 };
	const struct kvbm_evict_ops *policy;
	struct host_mem before, after;
	u32 i, p;

	for (p = 0; (policy = kvbm_evict_nth(p)); p++) {
		for (i = 0; i < ARRAY_SIZE(totals); i++) {
			struct kvbm_config cfg = config(policy->name,
							totals[i]);
			struct kvbm_store *st;
			u64 need, used;

			cfg.freq_capacity = KVBM_FREQ_LARGE / 64;
			ASSERT_EQ(0, kvbm_config_check(&cfg));
			need = kvbm_store_need(&cfg);
			host_mem_stats(&before);
			st = kzalloc(sizeof(*st), GFP_KERNEL);
			ASSERT_EQ(0, kvbm_store_init(st, &cfg));
			host_mem_stats(&after);
			used = after.bytes - before.bytes;
			EXPECT_LE(used, need);
			EXPECT_LE(st->memory, need);
			EXPECT_LE(need, used + (16 << 20));
			kvbm_store_exit(st);
			kfree(st);
		}
	}
}

TEST_HARNESS_MAIN
