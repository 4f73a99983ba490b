#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Hashes of prompts, told once more, in Python.

Written from the rule, not from hash.c: xxhash.xxh3_64_intdigest() hashes,
int.to_bytes() lays out, and packed hashes are 128-bit integers.  Needs
Debian's python3-xxhash, or xxhash from PyPI.

	oracle.py cases SEED N	print N random cases, one a line
	oracle.py <cases	print what each comes to, as hash_cases.c does
	oracle.py vectors	the constants that test_hash.c expects

A case is one of these, lists being joined by commas and bytes hexadecimal
("-": none, of bytes or of anything else):

	chain LORA SALT BLOCK_SIZE FROM TOKENS	FROM: the blocks of a first call
	opaque DIGEST KEY GROUP
	pack CURRENT PARENT POSITION
	unpack HASH
"""
import array
import random
import sys

import xxhash

SEED = 1337
WIDTHS = ((8, 54), (16, 46), (24, 38))


def le(value, size):
    return (value % 2 ** (8 * size)).to_bytes(size, "little")


def xxh3(data, seed=SEED):
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def salt_hash(lora, salt):
    total = SEED
    if lora:
        total += xxh3(lora, 0)
    if salt:
        total += xxh3(salt, 1)
    return total % 2**64


def block_hash(tokens, salt):
    return xxh3(b"".join(le(t, 4) for t in tokens), salt)


def mode_of(position):
    return next((m for m, (bits, _) in enumerate(WIDTHS)
                 if position < 2**bits), None)


def pack(current, parent, position):
    mode = mode_of(position)
    if mode is None:
        return None
    positions, parents = WIDTHS[mode]
    h = mode
    h = h * 2**positions + position
    h = h * 2**64 + current
    return h * 2**parents + parent % 2**parents


def unpack(h):
    mode = h // 2**126
    if mode > 2:
        return None
    positions, parents = WIDTHS[mode]
    position = h // 2 ** (64 + parents) % 2**positions
    if mode_of(position) != mode:
        return None
    return (mode, position, h // 2**parents % 2**64, h % 2**parents, parents)


def chain(tokens, size, salt):
    out, parent = [], 0
    for position in range(len(tokens) // size):
        block = block_hash(tokens[position * size:(position + 1) * size], salt)
        current = xxh3(le(parent, 8) + le(block, 8)) if position else block
        out.append(pack(current, parent, position))
        parent = current
    return out


def opaque(digest, key, group):
    if not key:
        return None
    rest = xxh3(key, xxh3((digest or bytes(32)) + le(group, 4))) // 4
    current = int.from_bytes(key, "big") % 2**64
    return rest // 2**54 * 2**118 + current * 2**54 + rest % 2**54


def text(h):
    if h is None:
        return "invalid"
    return "%016x:%016x" % (h // 2**64, h % 2**64)


def octets(word):
    return b"" if word == "-" else bytes.fromhex(word)


def answer(words):
    kind, args = words[0], words[1:]
    if kind == "chain":
        salt = salt_hash(octets(args[0]), octets(args[1]))
        tokens = [] if args[4] == "-" else list(map(int, args[4].split(",")))
        hashes = chain(tokens, int(args[2]), salt)
        return " ".join(["%016x" % salt] + [text(h) for h in hashes])
    if kind == "opaque":
        return text(opaque(octets(args[0]), octets(args[1]), int(args[2])))
    if kind == "pack":
        return text(pack(int(args[0]), int(args[1]), int(args[2])))
    fields = unpack(int(args[0].replace(":", ""), 16))
    return " ".join(map(str, fields)) if fields else "invalid"


# Names as people and programs give them: some look empty and are not.
NAMES = ("", "a", "abc", "llama-3-70b/lora-7", "été", "模型-7b", "🦙🦙", " ",
         "\0", "a\0b", "a\0c", "\u202etxt", "e\u0301", "\xe9", "x" * 16,
         "x" * 17, "x" * 128, "x" * 129, "x" * 240, "x" * 241, "x" * 5000)


def hexadecimal(data):
    return data.hex() or "-"


def random_name(r):
    if r.random() < 0.5:
        return r.choice(NAMES).encode()
    return "".join(chr(r.choice((r.randrange(0x20, 0x7f),
                                 r.randrange(0xa0, 0xd800),
                                 r.randrange(0x10000, 0x110000))))
                   for _ in range(r.randrange(300))).encode()


def random_word(r, bits):
    return r.choice((r.getrandbits(bits), r.getrandbits(r.randrange(1, bits)),
                     0, 1, 2**bits - 1, 2 ** (bits - 1),
                     2 ** r.randrange(bits), 2 ** r.randrange(bits) - 1))


def random_case(r):
    kind = r.choice(("chain", "chain", "opaque", "pack", "unpack"))
    if kind == "chain":
        size = r.choice((1, 2, 3, 4, 5, 7, 16, 32, 48, 64, 100, 528, 1024))
        count = r.randrange(size * r.choice((1, 3, 40)) + 2)
        if r.random() < 0.01:
            count = 70000
        tokens = array.array("I", r.randbytes(4 * count))
        for i in range(0, count, 50):
            tokens[i] = random_word(r, 32)
        return "chain %s %s %d %d %s" % (
            hexadecimal(random_name(r)), hexadecimal(random_name(r)), size,
            r.randrange(count // size + 1), ",".join(map(str, tokens)) or "-")
    if kind == "opaque":
        digest = r.choice((b"", r.randbytes(32)))
        key = r.randbytes(r.choice((0, 1, 7, 8, 9, 16, 20, 32, 64, 300)))
        return "opaque %s %s %d" % (hexadecimal(digest), hexadecimal(key),
                                    random_word(r, 32))
    position = r.choice((random_word(r, 24), random_word(r, 25)))
    if kind == "pack":
        return "pack %d %d %d" % (random_word(r, 64), random_word(r, 64),
                                  position)
    h = r.getrandbits(128)
    if r.random() < 0.8:
        h = pack(random_word(r, 64), random_word(r, 64), position % 2**24)
    return "unpack " + text(h)


def vectors():
    many = [i * 2654435761 % 2**32 for i in range(1024)]
    twelve = list(range(1, 13))
    named = {
        "salt: none": salt_hash(b"", b""),
        "salt: adapter a": salt_hash(b"a", b""),
        "salt: salt a": salt_hash(b"", b"a"),
        "salt: both": salt_hash(b"llama-3-70b/lora-7", b"tenant 42"),
        "salt: adapter in Chinese": salt_hash("模型-7b".encode(), b""),
        "salt: embedded NUL": salt_hash(b"", b"a\0b"),
        "block 1..4 salt 0": block_hash([1, 2, 3, 4], 0),
        "block extreme": block_hash([0, 2**32 - 1, 2**31, 0x01020304],
                                    2**64 - 1),
        "block one token": block_hash([1], SEED),
        "block 16 tokens": block_hash(many[:16], SEED),
        "block 1024 tokens": block_hash(many, SEED),
        "block no tokens": block_hash([], SEED),
    }
    for i, h in enumerate(chain(twelve, 4, SEED)):
        named["sequence, block %d" % i] = unpack(h)[2]
        named["block %d" % i] = block_hash(twelve[4 * i:4 * i + 4], SEED)
    for name, value in named.items():
        print("%-26s 0x%016xULL %dULL" % (name, value, value))
    sha = bytes(range(32))
    print("opaque, no digest          %s" % text(opaque(b"", sha, 0)))
    print("opaque, digest, group 7    %s" % text(opaque(sha, sha[::-1], 7)))
    print("opaque, 3 bytes            %s" % text(opaque(b"", sha[1:4], 0)))


def main():
    if sys.argv[1:2] == ["cases"]:
        r = random.Random(int(sys.argv[2]))
        for _ in range(int(sys.argv[3])):
            print(random_case(r))
    elif sys.argv[1:] == ["vectors"]:
        vectors()
    else:
        for line in sys.stdin:
            print(answer(line.split()))


if __name__ == "__main__":
    main()
