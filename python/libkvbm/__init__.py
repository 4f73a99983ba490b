# SPDX-License-Identifier: MIT
"""One KV-cache pool for all inference engines of a host.

The kernel records which hash each block has, which sessions hold it, and which
inactive block to evict next. However a process exits, the kernel releases what
it held.

    import libkvbm

    with libkvbm.Session("pool") as session:
        hashes = libkvbm.chain(tokens, 16)
        with session.match(hashes) as held:
            rest = hashes[len(held):]
            with session.alloc(len(rest)) as blocks:
                ...                       # compute into blocks.view(i)
                with blocks.register(rest) as registered:
                    ...

Needs libkvbm.so (kvbm's C library) and, for sessions, the module.
"""

from .errors import (
    ClosedSession,
    Denied,
    ForkedSession,
    KvbmError,
    NoModule,
    NoSpace,
    NotHeld,
    OverQuota,
    Revoked,
    StoreGone,
    TimedOut,
)
from .events import Change, Event, EventReader, Reason
from .hashes import (
    DIGEST_LEN,
    HASH,
    NO_SALT,
    Fields,
    block_hash,
    chain,
    chain_blocks,
    empty,
    from_ints,
    opaque,
    pack,
    salt_hash,
    sequence_hash,
    to_ints,
    unpack,
)
from .holds import Blocks, Holds
from .payload import Payload, Window
from .probe import Probe
from .records import (
    EVICTED,
    NO_BLOCK,
    REGISTERED,
    WEAK,
    BlockInfo,
    Claim,
    Counts,
    Forgotten,
    Kept,
    Kind,
    Presence,
    Rank,
    SessionEntry,
    State,
    StoreInfo,
)
from .session import Session
from .store import (
    Features,
    Store,
    StoreEntry,
    features,
    policies,
    version,
)

__version__ = "0.1.0"

__all__ = [
    "DIGEST_LEN",
    "HASH",
    "NO_BLOCK",
    "NO_SALT",
    "EVICTED",
    "REGISTERED",
    "WEAK",
    "BlockInfo",
    "Blocks",
    "Change",
    "Claim",
    "ClosedSession",
    "Counts",
    "Denied",
    "Event",
    "EventReader",
    "Features",
    "Fields",
    "ForkedSession",
    "Forgotten",
    "Holds",
    "Kept",
    "Kind",
    "KvbmError",
    "NoModule",
    "NoSpace",
    "NotHeld",
    "OverQuota",
    "Payload",
    "Presence",
    "Probe",
    "Rank",
    "Reason",
    "Revoked",
    "Session",
    "SessionEntry",
    "State",
    "Store",
    "StoreEntry",
    "StoreGone",
    "StoreInfo",
    "TimedOut",
    "Window",
    "block_hash",
    "chain",
    "chain_blocks",
    "empty",
    "features",
    "from_ints",
    "opaque",
    "pack",
    "policies",
    "salt_hash",
    "sequence_hash",
    "to_ints",
    "unpack",
    "version",
]
