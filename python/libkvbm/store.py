# SPDX-License-Identifier: MIT
"""Stores: creating, finding and destroying them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from ._native import ffi, lib
from .errors import error
from .payload import create_memory
from .records import Forgotten
from .session import Session, _what_to_forget


class StoreEntry(NamedTuple):
    """A store in a listing; name is empty for an anonymous one."""

    store_id: int
    name: str
    total_blocks: int
    sessions: int
    uid: int
    gid: int
    mode: int


class Features(NamedTuple):
    """Features of the running module; flags are KVBM_FEATURE_* bits."""

    flags: int
    max_blocks: int
    max_batch: int
    max_holds: int
    chunk: int


@contextmanager
def _control() -> Iterator[int]:
    fd = lib.kvbm_control_open()
    if fd < 0:
        raise error(fd, "open the control device")
    try:
        yield fd
    finally:
        os.close(fd)


def _create(
    name: str | None,
    blocks: int,
    block_size: int,
    policy: str | None,
    freq_capacity: int,
    thresholds: Sequence[int] | None,
    duplicates: bool,
    reset: bool,
    opaque: bool,
    mode: int,
    uid: int,
    gid: int,
    max_sessions: int,
    max_held: int,
    block_bytes: int,
    payload: int | str | os.PathLike[str] | None,
    events: int,
    retention: bool,
    keep_blocks: int,
    keep_user_blocks: int,
    note_bytes: int,
) -> Any:
    c = ffi.new("struct kvbm_store_create *")
    ret = lib.kvbm_store_create_init(
        c, ffi.NULL if name is None else name.encode(), blocks
    )
    if ret < 0:
        raise error(ret, f"create {name}")
    c.block_size = block_size
    c.freq_capacity = freq_capacity
    if policy is not None:
        ret = lib.kvbm_store_create_policy(c, policy.encode())
        if ret < 0:
            raise error(ret, f"policy {policy}")
    if thresholds is not None:
        c.thresholds = list(thresholds)
    if not duplicates:
        c.flags |= lib.KVBM_CREATE_REJECT
    if reset:
        c.flags |= lib.KVBM_CREATE_RESET
    if opaque:
        c.flags |= lib.KVBM_CREATE_OPAQUE
    c.mode = mode
    c.uid = uid & 0xFFFFFFFF
    c.gid = gid & 0xFFFFFFFF
    c.max_sessions = max_sessions
    c.max_held = max_held
    c.event_records = events
    if retention:
        c.flags |= lib.KVBM_CREATE_RETENTION
    c.keep_blocks = keep_blocks
    c.keep_user_blocks = keep_user_blocks
    c.note_bytes = note_bytes
    with ExitStack() as files:
        control = files.enter_context(_control())
        if block_bytes:
            if payload is None:
                memory = create_memory(blocks * block_bytes)
                files.callback(os.close, memory)
            elif isinstance(payload, int):
                memory = payload
            else:
                memory = os.open(payload, os.O_RDWR | os.O_CLOEXEC)
                files.callback(os.close, memory)
            ret = lib.kvbm_store_create_payload(c, memory, block_bytes)
            if ret < 0:
                raise error(ret, f"payload of {name or 'an anonymous store'}")
        elif payload is not None:
            raise ValueError("a payload needs block_bytes")
        ret = lib.kvbm_store_create(control, c)
    if ret < 0:
        raise error(ret, f"create {name or 'an anonymous store'}")
    return c


class Store:
    """A named store. As a context manager it is destroyed at the end.

    Store("pool") names a store and does not check that it exists.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Store {self.name}>"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy(force=True)

    @classmethod
    def create(
        cls,
        name: str,
        blocks: int,
        *,
        block_size: int = 16,
        policy: str | None = None,
        freq_capacity: int = 0,
        thresholds: Sequence[int] | None = None,
        duplicates: bool = True,
        reset: bool = False,
        opaque: bool = False,
        mode: int = 0,
        uid: int = -1,
        gid: int = -1,
        max_sessions: int = 0,
        max_held: int = 0,
        block_bytes: int = 0,
        payload: int | str | os.PathLike[str] | None = None,
        events: int = 0,
        retention: bool = False,
        keep_blocks: int = 0,
        keep_user_blocks: int = 0,
        note_bytes: int = 0,
    ) -> Store:
        """Create a store, which lives until it is destroyed.

        name: [a-z0-9][a-z0-9_.-]*, at most 31 bytes
        blocks: 1 to 2^24
        block_size: tokens in a block, 0: 16
        policy: "fifo", "lru", "multi_lru", "lineage_tick" or "lineage_fifo";
            None: "lineage_tick", or "lru" for opaque hashes
        freq_capacity: of the frequency sketch, 0: none (multi_lru: 2^21)
        thresholds: three, for multi_lru
        duplicates: whether a hash may be registered twice by default
        reset: blocks are reset at their last release by default
        opaque: hashes are engines' own keys without lineage, see
            libkvbm.opaque()
        mode: of the node, within 0o660; 0: 0o600
        uid, gid: of the node; -1: the caller's
        max_sessions: open at once, 0: the module's limit
        max_held: blocks that one session may hold, 0: no limit
        block_bytes: bytes of a block in the store's memory, a multiple of
            4096, see Session.payload; 0: no memory
        payload: descriptor or path of a memory file, which must be
            long enough; None: a new one, fully allocated
        events: how many of its last events it keeps, a power of two from 64 to
            2^20; 0: none
        retention: blocks have ranks, see Session.keep()
        keep_blocks: how many blocks may be above NORMAL at once; 0: half
        keep_user_blocks: how many of these one user may raise; 0: half
        note_bytes: bytes of a block's note, given at its registration, up to
            256; 0: no notes

        Raises KvbmError EEXIST, EINVAL, NotHeld (EPERM: owner or group not
        permitted, or no right to named stores), ENOMEM, OverQuota (a limit of
        the module or of the user), NoModule, Denied. For the payload also
        ValueError (no block_bytes), OSError of open(2), KvbmError EFBIG (too
        short a file).
        """
        _create(
            name,
            blocks,
            block_size,
            policy,
            freq_capacity,
            thresholds,
            duplicates,
            reset,
            opaque,
            mode,
            uid,
            gid,
            max_sessions,
            max_held,
            block_bytes,
            payload,
            events,
            retention,
            keep_blocks,
            keep_user_blocks,
            note_bytes,
        )
        return cls(name)

    @staticmethod
    def anonymous(
        blocks: int,
        *,
        block_size: int = 16,
        policy: str | None = None,
        freq_capacity: int = 0,
        thresholds: Sequence[int] | None = None,
        duplicates: bool = True,
        reset: bool = False,
        opaque: bool = False,
        max_sessions: int = 0,
        max_held: int = 0,
        block_bytes: int = 0,
        payload: int | str | os.PathLike[str] | None = None,
        events: int = 0,
        retention: bool = False,
        keep_blocks: int = 0,
        keep_user_blocks: int = 0,
        note_bytes: int = 0,
    ) -> Session:
        """Create a store without a name: its first session.

        It lives as long as any of its sessions. Options as for create().
        """
        c = _create(
            None,
            blocks,
            block_size,
            policy,
            freq_capacity,
            thresholds,
            duplicates,
            reset,
            opaque,
            0,
            -1,
            -1,
            max_sessions,
            max_held,
            block_bytes,
            payload,
            events,
            retention,
            keep_blocks,
            keep_user_blocks,
            note_bytes,
        )
        return Session(int(c.fd))

    @staticmethod
    def list() -> list[StoreEntry]:
        """All named stores; for root the anonymous ones too."""
        room = 16
        total = ffi.new("uint32_t *")
        with _control() as fd:
            while True:
                e = ffi.new("struct kvbm_store_entry[]", room)
                ret = lib.kvbm_store_list(fd, room, e, total)
                if ret < 0:
                    raise error(ret, "list stores")
                if total[0] <= room:
                    break
                room = total[0] + 16
        return [
            StoreEntry(
                s.store_id,
                ffi.string(s.name).decode(),
                s.total_blocks,
                s.sessions,
                s.uid,
                s.gid,
                s.mode,
            )
            for s in e[0:ret]
        ]

    def open(self, *, inherit: bool = False) -> Session:
        """Open a session: see Session."""
        return Session(self.name, inherit=inherit)

    def destroy(self, *, force: bool = False) -> None:
        """Destroy it; force: revoke its sessions first.

        NoModule (no such store), NotHeld (EPERM: neither owner nor root),
        EBUSY (sessions are open).
        """
        with _control() as fd:
            ret = lib.kvbm_store_destroy(
                fd, self.name.encode(), lib.KVBM_DESTROY_FORCE if force else 0
            )
        if ret < 0:
            raise error(ret, f"destroy {self.name}")

    def invalidate(
        self,
        hashes: Any = None,
        *,
        descendants: bool = False,
        everything: bool = False,
    ) -> Forgotten:
        """Session.invalidate() without a session; NoModule (no such store)."""
        n, h, flags = _what_to_forget(hashes, descendants, everything)
        name = ffi.new("char[]", self.name.encode())
        ref = ffi.new("struct kvbm_store_ref *", {"name": name})
        idle, held = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        with _control() as fd:
            ret = lib.kvbm_invalidate_of(fd, ref, n, h, flags, idle, held)
        if ret < 0:
            raise error(ret, f"invalidate {self.name}")
        return Forgotten(idle[0], held[0])


def features() -> Features:
    """Features of the running module: NoModule, Denied."""
    f = ffi.new("struct kvbm_features *")
    with _control() as fd:
        ret = lib.kvbm_features(fd, f)
    if ret < 0:
        raise error(ret, "features")
    return Features(f.features, f.max_blocks, f.max_batch, f.max_holds, f.chunk)


def policies() -> list[str]:
    """The eviction policies that the library knows."""
    names: list[str] = []
    while True:
        p = lib.kvbm_policy_name(len(names))
        if p == ffi.NULL:
            return names
        names.append(ffi.string(p).decode())


def version() -> str:
    """The version of the shared library."""
    return str(ffi.string(lib.kvbm_version()).decode())
