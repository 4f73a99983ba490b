// SPDX-License-Identifier: MIT
/*
 * Sequence hashes and chains against values that this library did not make.
 *
 * The packed hashes are shifted and added here with 128-bit arithmetic, field
 * by field, where the library works on two words.  The XXH3 values are those of
 * "tests/oracle.py vectors", which shares nothing with the library; the hashes
 * of the tokens 1 to 12 are constants in the unit tests of Dynamo's lib/tokens,
 * too.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <kvbm.h>

#include "tap.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* The whole layout, told once more: bits from the top are 2, pos, 64, parent. */
static struct kvbm_hash by_hand(unsigned int mode, uint32_t position,
				uint64_t current, uint64_t parent)
{
	static const unsigned int position_bits[] = { 8, 16, 24, 31 };
	static const unsigned int parent_bits[] = { 54, 46, 38, 31 };
	unsigned char bits[128];
	struct kvbm_hash h = { 0, 0 };
	unsigned int n = 0, i;

	for (i = 2; i--; )
		bits[n++] = mode >> i & 1;
	for (i = position_bits[mode]; i--; )
		bits[n++] = position >> i & 1;
	for (i = 64; i--; )
		bits[n++] = current >> i & 1;
	for (i = parent_bits[mode]; i--; )
		bits[n++] = parent >> i & 1;
	for (i = 0; i < 64; i++) {
		h.hi = h.hi << 1 | bits[i];
		h.lo = h.lo << 1 | bits[64 + i];
	}
	return h;
}

static bool same(const struct kvbm_hash *a, const struct kvbm_hash *b)
{
	return a->hi == b->hi && a->lo == b->lo;
}

static const uint64_t values[] = {
	0, 1, UINT64_MAX, 1ULL << 63, 0x0123456789abcdefULL,
	0xfedcba9876543210ULL, 0x8000000000000001ULL, (1ULL << 54) - 1,
	1ULL << 54, (1ULL << 46) - 1, 1ULL << 46, (1ULL << 38) - 1, 1ULL << 38,
};

static const struct {
	uint32_t position;
	unsigned int mode;
	unsigned int parent_bits;
} positions[] = {
	{ 0, 0, 54 }, { 1, 0, 54 }, { 254, 0, 54 }, { 255, 0, 54 },
	{ 256, 1, 46 }, { 257, 1, 46 }, { 65534, 1, 46 }, { 65535, 1, 46 },
	{ 65536, 2, 38 }, { 65537, 2, 38 }, { (1U << 24) - 2, 2, 38 },
	{ (1U << 24) - 1, 2, 38 },
};

static void test_pack(void)
{
	struct kvbm_hash_fields f;
	struct kvbm_hash h, want;
	unsigned int p, c, r;

	for (p = 0; p < ARRAY_SIZE(positions); p++) {
		unsigned int mode = positions[p].mode;
		uint32_t position = positions[p].position;
		uint64_t mask = (1ULL << positions[p].parent_bits) - 1;
		bool packed = true, unpacked = true;

		for (c = 0; c < ARRAY_SIZE(values); c++) {
			for (r = 0; r < ARRAY_SIZE(values); r++) {
				memset(&h, 0x5a, sizeof(h));
				memset(&f, 0x5a, sizeof(f));
				want = by_hand(mode, position, values[c],
					       values[r]);
				packed = packed &&
					 !kvbm_hash_pack(values[c], values[r],
							 position, &h) &&
					 same(&h, &want) && kvbm_hash_valid(&h);
				unpacked = unpacked &&
					   !kvbm_hash_unpack(&want, &f) &&
					   f.current == values[c] &&
					   f.parent == (values[r] & mask) &&
					   f.position == position &&
					   f.mode == mode &&
					   f.parent_bits ==
						   positions[p].parent_bits;
			}
		}
		ok(packed, "pack: position %u, mode %u", position, mode);
		ok(unpacked, "unpack: position %u, mode %u", position, mode);
	}

	kvbm_hash_pack(1, 0, 0, &h);
	ok(h.hi == 0 && h.lo == 0x0040000000000000ULL,
	   "pack: the documented example");
	memset(&h, 0x5a, sizeof(h));
	want = h;
	ok(kvbm_hash_pack(1, 2, 1U << 24, &h) == -EINVAL && same(&h, &want),
	   "pack: position 2^24 is refused, nothing is written");
	ok(kvbm_hash_pack(1, 2, UINT32_MAX, &h) == -EINVAL,
	   "pack: position 2^32-1 is refused");
}

static void test_invalid(void)
{
	static const struct {
		unsigned int mode;
		uint32_t position;
		const char *why;
	} bad[] = {
		{ 1, 0, "mode 1 for position 0" },
		{ 1, 255, "mode 1 for position 255" },
		{ 2, 0, "mode 2 for position 0" },
		{ 2, 255, "mode 2 for position 255" },
		{ 2, 256, "mode 2 for position 256" },
		{ 2, 65535, "mode 2 for position 65535" },
		{ 3, 0, "mode 3" },
		{ 3, 1U << 24, "mode 3 for position 2^24" },
		{ 3, 0x7fffffff, "mode 3 for position 2^31-1" },
	};
	struct kvbm_hash_fields f, before;
	struct kvbm_hash h;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		h = by_hand(bad[i].mode, bad[i].position, 7, 8);
		memset(&f, 0x5a, sizeof(f));
		before = f;
		ok(!kvbm_hash_valid(&h) &&
		   kvbm_hash_unpack(&h, &f) == -EINVAL &&
		   !memcmp(&f, &before, sizeof(f)),
		   "invalid: %s", bad[i].why);
	}

	h = by_hand(0, 0, 7, UINT64_MAX);
	ok(kvbm_hash_valid(&h), "valid: parent bits at position 0");
}

static void test_xxh3(void)
{
	static const uint32_t tokens[4][4] = {
		{ 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9, 10, 11, 12 },
		{ 0, UINT32_MAX, 0x80000000, 0x01020304 },
	};
	uint32_t many[1024];
	unsigned int i;

	for (i = 0; i < 1024; i++)
		many[i] = i * 2654435761U;

	ok(KVBM_NO_SALT == 1337, "salt: KVBM_NO_SALT is 1337");
	ok(kvbm_salt_hash(NULL, 0, NULL, 0) == KVBM_NO_SALT, "salt: none");
	ok(kvbm_salt_hash("", 0, "", 0) == KVBM_NO_SALT,
	   "salt: what is empty is not given");
	ok(kvbm_salt_hash("a", 1, NULL, 0) == 0xe6c632b61e965358ULL,
	   "salt: an adapter");
	ok(kvbm_salt_hash(NULL, 0, "a", 1) == 0xd2f6d0996f37ac59ULL,
	   "salt: a salt of the same name");
	ok(kvbm_salt_hash("llama-3-70b/lora-7", 18, "tenant 42", 9) ==
	   0xf8571aed496a5269ULL, "salt: both");
	ok(kvbm_salt_hash("\xe6\xa8\xa1\xe5\x9e\x8b-7b", 9, NULL, 0) ==
	   0x388754dfb9f1f69aULL, "salt: an adapter's name in UTF-8");
	ok(kvbm_salt_hash(NULL, 0, "a\0b", 3) == 0x8ebed4bebe440119ULL,
	   "salt: goes on after a NUL");

	ok(kvbm_block_hash(tokens[0], 4, 1337) == 14643705804678351452ULL,
	   "block: 1 2 3 4, salt 1337");
	ok(kvbm_block_hash(tokens[1], 4, 1337) == 16777012769546811212ULL,
	   "block: 5 6 7 8, salt 1337");
	ok(kvbm_block_hash(tokens[2], 4, 1337) == 483935686894639516ULL,
	   "block: 9 10 11 12, salt 1337");
	ok(kvbm_block_hash(tokens[0], 4, 0) == 0x6fc1ebd4f4d6ea31ULL,
	   "block: 1 2 3 4, salt 0");
	ok(kvbm_block_hash(tokens[3], 4, UINT64_MAX) == 0xa188854b99d4be04ULL,
	   "block: extreme tokens, salt 2^64-1");
	ok(kvbm_block_hash(tokens[0], 1, 1337) == 0xc8355da0879e060dULL,
	   "block: one token");
	ok(kvbm_block_hash(many, 16, 1337) == 0xbd36523452b8f14aULL,
	   "block: 16 tokens");
	ok(kvbm_block_hash(many, 1024, 1337) == 0xe1f72d95162d3d57ULL,
	   "block: 1024 tokens");
	ok(kvbm_block_hash(NULL, 0, 1337) == 0xd1f3e77444430ab9ULL,
	   "block: no tokens");

	ok(kvbm_sequence_hash(14643705804678351452ULL,
			      16777012769546811212ULL) ==
	   4945711292740353085ULL, "sequence: second block");
	ok(kvbm_sequence_hash(4945711292740353085ULL,
			      483935686894639516ULL) ==
	   12583592247330656132ULL, "sequence: third block");
	ok(kvbm_sequence_hash(1, 2) != kvbm_sequence_hash(2, 1),
	   "sequence: order counts");
}

static void test_chain(void)
{
	static const uint32_t tokens[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
					   12, 13, 14, 15 };
	static const uint64_t seq[] = {
		14643705804678351452ULL, 4945711292740353085ULL,
		12583592247330656132ULL,
	};
	static const uint64_t blocks[] = {
		14643705804678351452ULL, 16777012769546811212ULL,
		483935686894639516ULL,
	};
	struct kvbm_hash out[16], want[3], again[3];
	unsigned int i, split;

	for (i = 0; i < 3; i++)
		want[i] = by_hand(0, i, seq[i], i ? seq[i - 1] : 0);

	memset(out, 0x5a, sizeof(out));
	ok(kvbm_chain(tokens, 15, 4, 1337, out) == 3 &&
	   !memcmp(out, want, sizeof(want)) &&
	   out[3].hi == 0x5a5a5a5a5a5a5a5aULL,
	   "chain: three blocks of four, a rest of three left out");
	ok(kvbm_chain(tokens, 3, 4, 1337, out) == 0, "chain: no full block");
	ok(kvbm_chain(NULL, 0, 4, 1337, NULL) == 0, "chain: no tokens");

	for (split = 0; split <= 3; split++) {
		bool good;

		memset(again, 0x5a, sizeof(again));
		good = kvbm_chain(tokens, 4 * split, 4, 1337, again) ==
		       (int)split;
		good = good &&
		       kvbm_chain_append(split ? &again[split - 1] : NULL,
					 tokens + 4 * split, 4 * (3 - split), 4,
					 1337, again + split) == (int)(3 - split);
		ok(good && !memcmp(again, want, sizeof(want)),
		   "chain: in two parts, %u and %u", split, 3 - split);
	}

	again[0] = want[1];
	ok(kvbm_chain_append(&again[0], tokens + 8, 4, 4, 1337, &again[0]) ==
	   1 && same(&again[0], &want[2]), "chain: output over the parent");

	ok(kvbm_chain_blocks(NULL, blocks, 3, again) == 3 &&
	   !memcmp(again, want, sizeof(want)), "chain: from block hashes");
	ok(kvbm_chain_blocks(&want[0], blocks + 1, 2, again) == 2 &&
	   !memcmp(again, want + 1, 2 * sizeof(*want)),
	   "chain: from block hashes, after a parent");

	ok(kvbm_chain(tokens, 15, 1, 1337, out) == 15, "chain: block size 1");
	ok(kvbm_chain(tokens, 15, 0, 1337, out) == -EINVAL, "chain: size 0");
	ok(kvbm_chain(tokens, 15, 7, 1337, out) == 2, "chain: block size 7");
	ok(kvbm_chain(NULL, 0, KVBM_MAX_BLOCK_SIZE, 1337, out) == 0,
	   "chain: the largest block size");
	ok(kvbm_chain(NULL, 0, KVBM_MAX_BLOCK_SIZE + 1, 1337, out) == -EINVAL,
	   "chain: a block size above it");
	again[0] = by_hand(3, 0, 1, 2);
	ok(kvbm_chain_append(&again[0], tokens, 4, 4, 0, out) == -EINVAL,
	   "chain: an invalid parent");
	ok(kvbm_chain(tokens, (size_t)KVBM_MAX_POSITIONS + 1, 1, 0, out) ==
	   -EINVAL, "chain: 2^24 + 1 blocks are refused unread");
}

/* At the two places where the parent's field gets narrower, and at the end. */
static void test_chain_boundaries(void)
{
	static const uint32_t at[] = { 255, 65535, (1U << 24) - 2 };
	struct kvbm_hash parent, out[2], want;
	uint64_t current = 0xfedcba9876543210ULL, block = 42, next;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		next = kvbm_sequence_hash(current, block);
		kvbm_hash_pack(current, 9, at[i], &parent);
		want = by_hand(i == 0 ? 1 : 2, at[i] + 1, next, current);
		ok(kvbm_chain_blocks(&parent, &block, 1, out) == 1 &&
		   same(out, &want), "chain: from %u to %u", at[i], at[i] + 1);
	}
	ok(kvbm_chain_blocks(&want, &block, 1, out) == -EINVAL,
	   "chain: nothing after position 2^24-1");
	ok(kvbm_chain_blocks(&want, NULL, 0, out) == 0,
	   "chain: nothing is nothing after position 2^24-1");
	kvbm_hash_pack(current, 9, (1U << 24) - 2, &parent);
	ok(kvbm_chain_blocks(&parent, (uint64_t[]){ 1, 2 }, 2, out) == -EINVAL,
	   "chain: two blocks where one fits");
}

/* Values of tests/oracle.py. */
static void test_opaque(void)
{
	struct kvbm_hash h, want = { 0x1346064686c70747, 0x87cef9ce78a52d5b };
	static const unsigned char zeroes[32];
	unsigned char up[32], down[32];
	struct kvbm_hash_fields f;
	unsigned int i;

	for (i = 0; i < 32; i++) {
		up[i] = i;
		down[i] = 31 - i;
	}
	ok(!kvbm_hash_opaque(NULL, up, 32, 0, &h) && same(&h, &want),
	   "opaque: a key of 32 bytes");
	ok(!kvbm_hash_unpack(&h, &f) && f.mode == 0 &&
	   f.current == 0x18191a1b1c1d1e1fULL,
	   "opaque: the key's last 8 bytes can be read");
	ok(!kvbm_hash_opaque(zeroes, up, 32, 0, &h) &&
	   same(&h, &want), "opaque: no digest is one of zeroes");

	want = (struct kvbm_hash){ 0x3881c1814100c080, 0x403bf9308985a99e };
	ok(!kvbm_hash_opaque(up, down, 32, 7, &h) && same(&h, &want),
	   "opaque: with a digest and a group");
	want = (struct kvbm_hash){ 0x3180000000000040, 0x80ccda18e05c7493 };
	ok(!kvbm_hash_opaque(NULL, up + 1, 3, 0, &h) && same(&h, &want),
	   "opaque: a short key");

	memset(&h, 0x5a, sizeof(h));
	want = h;
	ok(kvbm_hash_opaque(NULL, up, 0, 0, &h) == -EINVAL && same(&h, &want),
	   "opaque: an empty key is refused, nothing is written");
}

int main(void)
{
	test_pack();
	test_invalid();
	test_xxh3();
	test_chain();
	test_chain_boundaries();
	test_opaque();
	return tap_end();
}
