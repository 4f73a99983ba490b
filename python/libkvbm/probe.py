# SPDX-License-Identifier: MIT
"""Opaque keys that come one by one."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ._native import ffi, lib
from .errors import error

if TYPE_CHECKING:
    from .session import Session

_ID = ffi.typeof("uint32_t *")
_new = ffi.new
_match_opaque = lib.kvbm_match_opaque


class Probe:
    """Looks up opaque keys that come one by one, in preallocated memory.

    digest: as for libkvbm.opaque(), at least DIGEST_LEN bytes
    group_bytes: how many bytes at a key's end are the number of its
        group, big-endian; at most 4

    One thread at a time. It does not keep the session open.
    """

    __slots__ = (
        "_digest",
        "_group_bytes",
        "_groups",
        "_id",
        "_pending",
        "_session",
    )

    # What find() returns for absent keys, the second for claimed ones.
    ABSENT = -1
    PENDING = -2

    # Group numbers that are cached as integers.
    MAX_GROUPS = 1024

    def __init__(
        self, session: Session, digest: bytes, group_bytes: int = 0
    ) -> None:
        if len(digest) < lib.KVBM_DIGEST_LEN:
            raise ValueError(f"a digest has {lib.KVBM_DIGEST_LEN} bytes")
        if not 0 <= group_bytes <= 4:
            raise ValueError("a group has at most 4 bytes")
        self._session = session
        self._digest = _new("uint8_t[]", digest)
        self._group_bytes = group_bytes
        self._groups: dict[bytes, int] = {}
        self._id = _new(_ID)
        self._pending = _new("bool *")

    def find(self, key: bytes) -> int:
        """The block, which the caller now holds; or ABSENT or PENDING.

        Raises as Session.match(), and KvbmError EINVAL if the key has only
        a group.
        """
        n = len(key) - self._group_bytes
        if n < 0:
            raise error(-errno.EINVAL, "a key without a group")
        end = key[n:]
        group = self._groups.get(end)
        if group is None:
            group = self._new_group(end)
        found: int = _match_opaque(
            self._session._fd,
            self._digest,
            key,
            n,
            group,
            self._id,
            self._pending,
        )
        if found > 0:
            return self._id[0]  # type: ignore[no-any-return]
        if found < 0:
            raise self._session._error(found, "match", 0)
        return self.PENDING if self._pending[0] else self.ABSENT

    def _new_group(self, end: bytes) -> int:
        if len(self._groups) >= self.MAX_GROUPS:
            self._groups.clear()
        group = self._groups[end] = int.from_bytes(end, "big")
        return group
