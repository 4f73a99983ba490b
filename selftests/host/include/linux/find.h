/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_FIND_H
#define HOST_LINUX_FIND_H

#include <linux/bits.h>
#include <linux/minmax.h>

#define BITMAP_FIRST_WORD_MASK(start) (~0UL << ((start) & (BITS_PER_LONG - 1)))
#define BITMAP_LAST_WORD_MASK(nbits) (~0UL >> (-(nbits) & (BITS_PER_LONG - 1)))

static inline unsigned long host_find_next(const unsigned long *addr,
					   unsigned long size,
					   unsigned long start,
					   unsigned long invert)
{
	unsigned long idx, word;

	if (unlikely(start >= size))
		return size;
	idx = start / BITS_PER_LONG;
	word = (READ_ONCE(addr[idx]) ^ invert) & BITMAP_FIRST_WORD_MASK(start);
	while (!word) {
		if (++idx * BITS_PER_LONG >= size)
			return size;
		word = READ_ONCE(addr[idx]) ^ invert;
	}
	return min(idx * BITS_PER_LONG + __builtin_ctzl(word), size);
}

static inline unsigned long find_next_bit(const unsigned long *addr,
					  unsigned long size,
					  unsigned long offset)
{
	return host_find_next(addr, size, offset, 0);
}

static inline unsigned long find_next_zero_bit(const unsigned long *addr,
					       unsigned long size,
					       unsigned long offset)
{
	return host_find_next(addr, size, offset, ~0UL);
}

static inline unsigned long find_first_bit(const unsigned long *addr,
					   unsigned long size)
{
	return host_find_next(addr, size, 0, 0);
}

static inline unsigned long find_first_zero_bit(const unsigned long *addr,
						unsigned long size)
{
	return host_find_next(addr, size, 0, ~0UL);
}

static inline unsigned long find_last_bit(const unsigned long *addr,
					  unsigned long size)
{
	unsigned long idx, word;

	if (!size)
		return 0;
	word = BITMAP_LAST_WORD_MASK(size);
	for (idx = (size - 1) / BITS_PER_LONG;; idx--) {
		word &= READ_ONCE(addr[idx]);
		if (word)
			return idx * BITS_PER_LONG + BITS_PER_LONG - 1 -
			       __builtin_clzl(word);
		if (!idx)
			return size;
		word = ~0UL;
	}
}

#define for_each_set_bit(bit, addr, size)                           \
	for ((bit) = 0;                                             \
	     (bit) = find_next_bit((addr), (size), (bit)), (bit) < (size); \
	     (bit)++)
#define for_each_clear_bit(bit, addr, size)                         \
	for ((bit) = 0;                                             \
	     (bit) = find_next_zero_bit((addr), (size), (bit)),     \
	     (bit) < (size);                                        \
	     (bit)++)

#endif
