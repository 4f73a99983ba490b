# SPDX-License-Identifier: MIT
"""Sequence hashes: arrays of 128-bit keys, and functions to make them.

An array of hashes is any C-contiguous buffer with 16 bytes per hash: two
native 64-bit words, ``hi`` and ``lo``. The functions here return numpy arrays
of dtype HASH, which has this layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._native import NULL, ffi, lib
from .errors import error

# One hash.
HASH = np.dtype([("hi", np.uint64), ("lo", np.uint64)])

Hashes = npt.NDArray[Any]

# The salt hash of a prompt without adapter and salt.
NO_SALT: int = lib.KVBM_NO_SALT

# Bytes of a digest for opaque().
DIGEST_LEN: int = lib.KVBM_DIGEST_LEN

_HASHES = ffi.typeof("struct kvbm_hash[]")
_TOKENS = ffi.typeof("uint32_t[]")
_WORDS = ffi.typeof("uint64_t[]")


class Fields(NamedTuple):
    """The fields of a sequence hash.

    current: the block's own 64-bit sequence hash
    parent: the low ``parent_bits`` bits of the parent's
    position: in blocks, from 0
    mode: 0, 1 or 2
    """

    current: int
    parent: int
    position: int
    mode: int
    parent_bits: int


def empty(n: int) -> Hashes:
    """An uninitialised array of n hashes."""
    return np.empty(n, HASH)


def from_ints(values: Iterable[int]) -> Hashes:
    """An array of hashes from 128-bit integers. Slow: for tests and tools."""
    mask = (1 << 64) - 1
    return np.array([(v >> 64, v & mask) for v in values], HASH)


def to_ints(hashes: Hashes) -> list[int]:
    """The 128-bit integers of an array of hashes."""
    return [(int(h["hi"]) << 64) | int(h["lo"]) for h in hashes]


def pack(current: int, parent: int, position: int) -> Hashes:
    """One hash from its fields, in the smallest mode that fits the position.

    parent is the parent's whole 64-bit sequence hash, 0 at position 0. Raises
    KvbmError EINVAL for a position of 2^24 or more.
    """
    out = empty(1)
    ret = lib.kvbm_hash_pack(
        current, parent, position, ffi.from_buffer(_HASHES, out)
    )
    if ret < 0:
        raise error(ret, "pack")
    return out


def unpack(hashes: Any) -> Fields:
    """The fields of the first hash of a buffer; EINVAL if it is not valid."""
    out = ffi.new("struct kvbm_hash_fields *")
    ret = lib.kvbm_hash_unpack(ffi.from_buffer(_HASHES, hashes), out)
    if ret < 0:
        raise error(ret, "unpack")
    return Fields(
        out.current, out.parent, out.position, out.mode, out.parent_bits
    )


def salt_hash(lora: str = "", salt: str = "") -> int:
    """The seed that separates equal tokens, by Dynamo's rule.

    lora: name of the LoRA adapter; salt: such as a tenant's. Empty: none.
    """
    a, b = lora.encode(), salt.encode()
    return int(lib.kvbm_salt_hash(a, len(a), b, len(b)))


def opaque(
    digest: bytes | None, key: bytes, group: int = 0, out: Any = None
) -> Hashes:
    """The hash of a block from an engine's own key.

    digest: DIGEST_LEN bytes for everything that the key leaves out and that
        must be equal for blocks to be shared (weights, data type, layout);
        None: zeroes
    key: such as a SHA-256, at least a byte
    group: of layers, below 2^32
    out: a writable buffer for one hash, instead of a new array

    For stores of opaque hashes, with policy lru, fifo or multi_lru. Raises
    KvbmError EINVAL for an empty key, ValueError for a digest too short.
    """
    if digest is not None and len(digest) < DIGEST_LEN:
        raise ValueError(f"a digest has {DIGEST_LEN} bytes")
    h: Hashes = empty(1) if out is None else out
    ret = lib.kvbm_hash_opaque(
        NULL if digest is None else digest,
        key,
        len(key),
        group,
        ffi.from_buffer(_HASHES, h, True),
    )
    if ret < 0:
        raise error(ret, "opaque")
    return h


def block_hash(tokens: Any, salt_hash: int = NO_SALT) -> int:
    """XXH3-64 of tokens (a buffer of uint32) with the salt hash as seed."""
    p = ffi.from_buffer(_TOKENS, tokens)
    return int(lib.kvbm_block_hash(p, len(p), salt_hash))


def sequence_hash(parent: int, block: int) -> int:
    """The 64-bit sequence hash of a block, from its parent's."""
    return int(lib.kvbm_sequence_hash(parent, block))


def chain(
    tokens: Any,
    block_size: int,
    salt_hash: int = NO_SALT,
    *,
    after: Any = None,
) -> Hashes:
    """The sequence hashes of a prompt's full blocks.

    tokens: a buffer of uint32
    block_size: tokens in a block, as the store has it
    salt_hash: from salt_hash()
    after: the last hash so far, if the tokens continue a chain

    Raises KvbmError EINVAL: a bad block size, or 2^24 blocks or more.
    """
    p = ffi.from_buffer(_TOKENS, tokens)
    n = len(p)
    out = empty(n // block_size if block_size > 0 else 0)
    if after is None:
        ret = lib.kvbm_chain(
            p, n, block_size, salt_hash, ffi.from_buffer(_HASHES, out)
        )
    else:
        ret = lib.kvbm_chain_append(
            ffi.from_buffer(_HASHES, after),
            p,
            n,
            block_size,
            salt_hash,
            ffi.from_buffer(_HASHES, out),
        )
    if ret < 0:
        raise error(ret, "chain")
    return out[:ret]


def chain_blocks(block_hashes: Any, *, after: Any = None) -> Hashes:
    """A chain from existing 64-bit block hashes (a buffer of uint64)."""
    p = ffi.from_buffer(_WORDS, block_hashes)
    out = empty(len(p))
    ret = lib.kvbm_chain_blocks(
        NULL if after is None else ffi.from_buffer(_HASHES, after),
        p,
        len(p),
        ffi.from_buffer(_HASHES, out),
    )
    if ret < 0:
        raise error(ret, "chain_blocks")
    return out
