# SPDX-License-Identifier: MIT
"""What calls return: states, tuples, and arrays of records."""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ._native import ffi, lib
from .hashes import HASH, Hashes

Ids = npt.NDArray[np.uint32]

# No block: what a scan returns for a miss.
NO_BLOCK: int = lib.KVBM_NO_BLOCK

# The result of a registration, an evicted hash with the block that it left, and
# a weak reference, as arrays have them.
REGISTERED = np.dtype(
    {
        "names": ["block", "kind", "generation"],
        "formats": [np.uint32, np.uint32, np.uint32],
        "offsets": [
            ffi.offsetof("struct kvbm_registered", "block"),
            ffi.offsetof("struct kvbm_registered", "kind"),
            ffi.offsetof("struct kvbm_registered", "generation"),
        ],
        "itemsize": ffi.sizeof("struct kvbm_registered"),
    }
)
EVICTED = np.dtype(
    [("hash", HASH), ("block", np.uint32), ("generation", np.uint32)]
)
WEAK = np.dtype(
    [("block", np.uint32), ("generation", np.uint32), ("hash", HASH)]
)


class State(enum.IntEnum):
    """The state of a block."""

    RESET = lib.KVBM_STATE_RESET
    MUTABLE = lib.KVBM_STATE_MUTABLE
    STAGED = lib.KVBM_STATE_STAGED
    PRIMARY = lib.KVBM_STATE_PRIMARY
    DUPLICATE = lib.KVBM_STATE_DUPLICATE
    INACTIVE = lib.KVBM_STATE_INACTIVE
    LINGERING = lib.KVBM_STATE_LINGERING
    FORGOTTEN = lib.KVBM_STATE_FORGOTTEN


class Kind(enum.IntEnum):
    """The result of a registration."""

    PRIMARY = lib.KVBM_KIND_PRIMARY
    DUPLICATE = lib.KVBM_KIND_DUPLICATE
    DEDUP = lib.KVBM_KIND_DEDUP


class Presence(enum.IntEnum):
    """Whether a hash is present; PENDING: it is absent and claimed."""

    ABSENT = lib.KVBM_ABSENT
    INACTIVE = lib.KVBM_INACTIVE
    ACTIVE = lib.KVBM_ACTIVE
    PENDING = lib.KVBM_PENDING


class Claim(enum.IntEnum):
    """The result of a claim: whether this session computes the hash."""

    CLAIMED = lib.KVBM_CLAIMED
    PENDING = lib.KVBM_CLAIM_PENDING
    PRESENT = lib.KVBM_CLAIM_PRESENT


class Rank(enum.IntEnum):
    """The eviction rank: inactive blocks of the lowest one go first."""

    FIRST = lib.KVBM_RANK_FIRST
    NORMAL = lib.KVBM_RANK_NORMAL
    HIGH = lib.KVBM_RANK_HIGH
    KEEP = lib.KVBM_RANK_KEEP


class Kept(enum.IntEnum):
    """The result of a change of rank.

    DENIED: it would lower the rank, and this session does not hold the block
    FULL: too many blocks are raised already
    """

    DONE = lib.KVBM_KEEP_DONE
    ABSENT = lib.KVBM_KEEP_ABSENT
    DENIED = lib.KVBM_KEEP_DENIED
    FULL = lib.KVBM_KEEP_FULL


class Counts(NamedTuple):
    """A snapshot of a store, in blocks.

    total: all
    reset: free
    inactive: registered and not held
    available: reset + inactive
    registered: registered, held or inactive
    waiters: allocations that wait
    """

    total: int
    reset: int
    inactive: int
    available: int
    registered: int
    waiters: int


class Forgotten(NamedTuple):
    """Blocks whose hashes were forgotten.

    idle: blocks that are now free
    held: blocks that stay with their holders until the last release
    """

    idle: int
    held: int


class BlockInfo(NamedTuple):
    """Everything about a block.

    holds: of all sessions; own_holds: of the calling one
    hash: an array of one hash; meaningful for registered and staged blocks
    rank: NORMAL in a store without retention
    keep_until_ns: CLOCK_BOOTTIME at which the rank expires, 0: never
    """

    block: int
    state: State
    generation: int
    reset_on_release: bool
    holds: int
    own_holds: int
    hash: Hashes
    rank: Rank
    keep_until_ns: int


class StoreInfo(NamedTuple):
    """Properties of a store.

    block_size: tokens in a block
    max_held: blocks that one session may hold, 0: no limit
    memory: bytes of kernel memory, without hold tables
    session_id: the calling session
    block_bytes: of a block's payload, 0: the store has none
    note_bytes: of a block's note, 0: likewise
    """

    store_id: int
    name: str
    policy: str
    total_blocks: int
    block_size: int
    freq_capacity: int
    thresholds: tuple[int, int, int]
    flags: int
    max_sessions: int
    max_held: int
    sessions: int
    memory: int
    session_memory: int
    session_id: int
    block_bytes: int
    note_bytes: int


class SessionEntry(NamedTuple):
    """A session in a listing.

    opened_ns: CLOCK_BOOTTIME
    holds: on registered blocks; held: blocks held in any state
    pid: of the opener, 0 if it has no number here
    """

    session_id: int
    opened_ns: int
    holds: int
    held: int
    mutable_blocks: int
    staged_blocks: int
    pid: int
    uid: int
    revoked: bool
    comm: str
