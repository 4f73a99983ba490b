#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The XXH3-64 values that test_hash.c expects, computed from the definition.

Debian's python3-xxhash does the hashing; struct does the layout: tokens as
little-endian 32-bit words, the two 64-bit hashes of a chain step as
little-endian 64-bit words.  The block hashes of 1..12 with salt 1337 are also
published, as constants in the unit tests of Dynamo's lib/tokens.  Needed only
to write test_hash.c anew, not to run it.
"""
import struct

import xxhash


def xxh3(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def block(tokens, salt):
    return xxh3(struct.pack("<%dI" % len(tokens), *tokens), salt)


def main():
    many = [i * 2654435761 & 0xFFFFFFFF for i in range(1024)]
    values = {
        "salt empty": xxh3(b""),
        "salt a": xxh3(b"a"),
        "salt abc": xxh3(b"abc"),
        "salt llama-3-70b/lora-7": xxh3(b"llama-3-70b/lora-7"),
        "block 1..4 salt 1337": block([1, 2, 3, 4], 1337),
        "block 5..8 salt 1337": block([5, 6, 7, 8], 1337),
        "block 9..12 salt 1337": block([9, 10, 11, 12], 1337),
        "block 1..4 salt 0": block([1, 2, 3, 4], 0),
        "block extreme": block([0, 0xFFFFFFFF, 0x80000000, 0x01020304], 2**64 - 1),
        "block one token": block([1], 1337),
        "block 16 tokens": block(many[:16], 1337),
        "block 1024 tokens": block(many, 1337),
        "block no tokens": block([], 1337),
    }
    parent = block([1, 2, 3, 4], 1337)
    for first in (5, 9):
        step = struct.pack("<QQ", parent,
                           block(list(range(first, first + 4)), 1337))
        parent = xxh3(step)
        values["sequence, block %d" % (first // 4 + 1)] = parent
    for name, value in values.items():
        print("%-24s 0x%016x %dULL" % (name, value, value))


if __name__ == "__main__":
    main()
