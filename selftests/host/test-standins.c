// SPDX-License-Identifier: MIT
/*
 * The stand-ins return what the kernel's functions do: bits, memory, time,
 * text. test-sync.c tests those that threads meet in; test-rhashtable.c tests
 * rhashtable, which is built on all of them.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/random.h>
#include "host.h"

#include "host_harness.h"

/* --- bits --------------------------------------------------------------- */

TEST(bits_against_loops)
{
	const unsigned int n = 200;
	unsigned int round, i, j;

	host_seed(1);
	for (round = 0; round < 300; round++) {
		unsigned long *map = bitmap_zalloc(n, GFP_KERNEL);
		unsigned int set = 0, last = n;

		ASSERT_NE(map, NULL);
		for (i = 0; i < round % 40; i++)
			__set_bit(get_random_u32_below(n), map);
		for (i = 0; i < n; i++) {
			if (!test_bit(i, map))
				continue;
			set++;
			last = i;
		}
		EXPECT_EQ(bitmap_weight(map, n), set);
		EXPECT_EQ(find_last_bit(map, n), last);
		EXPECT_EQ(bitmap_empty(map, n), !set);
		for (i = 0; i <= n; i++) {
			for (j = i; j < n && !test_bit(j, map); j++)
				;
			EXPECT_EQ(find_next_bit(map, n, i), j);
			for (j = i; j < n && test_bit(j, map); j++)
				;
			EXPECT_EQ(find_next_zero_bit(map, n, i), j);
		}
		j = 0;
		for_each_set_bit(i, map, n)
			j++;
		EXPECT_EQ(j, set);
		bitmap_free(map);
	}
	EXPECT_EQ(fls(0), 0);
	EXPECT_EQ(fls(1), 1);
	EXPECT_EQ(fls(0x80000000), 32);
	EXPECT_EQ(fls64(1ULL << 63), 64);
	EXPECT_EQ(__fls(6), 2);
	EXPECT_EQ(__ffs(6), 1);
	EXPECT_EQ(ffz(7), 3);
	EXPECT_EQ(roundup_pow_of_two(33), 64);
	EXPECT_EQ(ilog2(1ULL << 40), 40);
	EXPECT_EQ(rol64(1ULL << 63 | 1, 1), 3);
	EXPECT_EQ(GENMASK_ULL(39, 36), 0xf000000000);
}

/* --- allocation --------------------------------------------------------- */

TEST(alloc_like_the_kernel)
{
	unsigned char *p, *q;
	struct host_mem before, after;
	size_t i;

	host_mem_stats(&before);
	for (i = 8; i <= PAGE_SIZE; i *= 2) {
		p = kmalloc(i, GFP_KERNEL);
		EXPECT_EQ((unsigned long)p & (i - 1) & ~7UL, 0);
		kfree(p);
	}
	p = kzalloc(100, GFP_KERNEL);
	EXPECT_EQ(memchr_inv(p, 0, 100), NULL);
	kfree(p);
	p = kmalloc(0, GFP_KERNEL);
	EXPECT_TRUE(ZERO_OR_NULL_PTR(p));
	kfree(p);
	kfree(NULL);
	kvfree(NULL);

	p = kvzalloc(5 << 20, GFP_KERNEL);
	ASSERT_NE(p, NULL);
	EXPECT_TRUE(is_vmalloc_addr(p + 12345));
	EXPECT_EQ(memchr_inv(p, 0, 5 << 20), NULL);
	q = vmalloc_huge(100, GFP_KERNEL | __GFP_ZERO);
	EXPECT_EQ((unsigned long)q & ~PAGE_MASK, 0);
	kvfree(q);
	kvfree(p);
	EXPECT_EQ(kmalloc(KMALLOC_MAX_SIZE + 1, GFP_KERNEL | __GFP_NOWARN),
		  NULL);
	EXPECT_EQ(kvmalloc(1UL << 31, GFP_KERNEL | __GFP_NOWARN), NULL);
	EXPECT_EQ(vmalloc(1UL << 62), NULL);
	EXPECT_EQ(kvcalloc(1UL << 40, 1UL << 40, GFP_KERNEL), NULL);
	/* Too much for one piece, and not allowed to sleep for several. */
	EXPECT_EQ(kvmalloc(8 << 20, GFP_ATOMIC), NULL);
	host_warn_expect(true);
	EXPECT_EQ(kvmalloc(1UL << 31, GFP_KERNEL), NULL);
	EXPECT_EQ(host_warn_expect(false), 1);
	host_mem_stats(&after);
	EXPECT_EQ(before.bytes, after.bytes);
	EXPECT_EQ(before.objects, after.objects);
}

TEST(alloc_failures)
{
	struct host_mem m;
	void *p;
	int i, n;

	host_fail_nth(3);
	for (i = 1; i <= 5; i++) {
		p = kmalloc(10, GFP_KERNEL);
		EXPECT_EQ(!p, i == 3);
		kfree(p);
	}
	EXPECT_TRUE(host_fail_fired());
	EXPECT_FALSE(host_fail_fired());
	host_fail_nth(1);
	p = kmalloc(10, GFP_KERNEL | __GFP_NOFAIL);
	EXPECT_NE(p, NULL);
	kfree(p);
	EXPECT_EQ(vmalloc(10), NULL);
	EXPECT_TRUE(host_fail_fired());

	host_fail_rate(500000);
	for (i = n = 0; i < 1000; i++) {
		p = kmalloc(10, GFP_KERNEL);
		n += !p;
		kfree(p);
	}
	host_fail_rate(0);
	EXPECT_GT(n, 350);
	EXPECT_LT(n, 650);

	host_mem_stats(&m);
	host_mem_limit(m.bytes + (1 << 20));
	EXPECT_EQ(vmalloc(2 << 20), NULL);
	p = vmalloc(1 << 19);
	EXPECT_NE(p, NULL);
	vfree(p);
	host_mem_limit(0);

	host_mem_available(10 << 20);
	EXPECT_EQ(si_mem_available(), (10 << 20) / PAGE_SIZE);
	host_mem_available(0);
	EXPECT_GT(si_mem_available(), 0);
}

/* --- the rest ----------------------------------------------------------- */

TEST(random_repeats)
{
	u64 a[8], b[8];

	get_random_bytes(a, sizeof(a));
	get_random_bytes(b, sizeof(b));
	EXPECT_NE(memcmp(a, b, sizeof(a)), 0);
	host_seed(42);
	get_random_bytes(a, sizeof(a));
	host_seed(42);
	get_random_bytes(b, sizeof(b));
	EXPECT_EQ(memcmp(a, b, sizeof(a)), 0);
	host_seed(43);
	get_random_bytes(b, sizeof(b));
	EXPECT_NE(memcmp(a, b, sizeof(a)), 0);
}

TEST(signals)
{
	EXPECT_FALSE(fatal_signal_pending(current));
	host_fatal_after(3);
	EXPECT_FALSE(fatal_signal_pending(current));
	EXPECT_FALSE(fatal_signal_pending(current));
	EXPECT_TRUE(fatal_signal_pending(current));
	EXPECT_TRUE(signal_pending(current));
	host_set_signal(true, false);
	EXPECT_FALSE(fatal_signal_pending(current));
	EXPECT_TRUE(signal_pending(current));
}

TEST(frozen_time)
{
	host_set_time(5 * NSEC_PER_SEC);
	EXPECT_EQ(ktime_get_ns(), 5 * NSEC_PER_SEC);
	EXPECT_EQ(jiffies, 5 * HZ);
	host_set_time(0);
	EXPECT_NE(ktime_get_ns(), 5 * NSEC_PER_SEC);
}

TEST(strings)
{
	char buf[4];

	EXPECT_EQ(strscpy(buf, "abc", 4), 3);
	EXPECT_EQ(strscpy(buf, "abcd", 4), -E2BIG);
	EXPECT_STREQ(buf, "abc");
	EXPECT_EQ(scnprintf(buf, 4, "%d", 123456), 3);
	EXPECT_STREQ(buf, "123");
}

TEST_HARNESS_MAIN
