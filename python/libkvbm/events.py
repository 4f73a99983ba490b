# SPDX-License-Identifier: MIT
"""The events of a store, as a stream: a reader sees every change.

    with libkvbm.Session("pool") as session, session.events() as events:
        present = set(events.snapshot())
        for e in events.read():
            ...

A reader that was too slow gets LOST in place of what it missed, requests a
snapshot, and continues. The store must be created with events (Store.create()).
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from ._native import NULL, ffi, lib
from .errors import ClosedSession, error


class Change(enum.IntEnum):
    """The type of an event.

    STORED, REMOVED: a hash is now present, or no longer is
    DUPLICATE, DUPLICATE_GONE: a second block of it, reported on request
    CLEARED: no hash is present any more
    LOST: events are missing here
    """

    STORED = lib.KVBM_EVENT_STORED
    REMOVED = lib.KVBM_EVENT_REMOVED
    DUPLICATE = lib.KVBM_EVENT_DUPLICATE
    DUPLICATE_GONE = lib.KVBM_EVENT_DUPLICATE_GONE
    CLEARED = lib.KVBM_EVENT_CLEARED
    LOST = lib.KVBM_EVENT_LOST


class Reason(enum.IntEnum):
    """Why a hash was removed; NONE also for reasons unknown to this package."""

    NONE = lib.KVBM_REASON_NONE
    EVICTED = lib.KVBM_REASON_EVICTED
    RELEASED = lib.KVBM_REASON_RELEASED
    RECLAIMED = lib.KVBM_REASON_RECLAIMED
    RESET = lib.KVBM_REASON_RESET
    DISPLACED = lib.KVBM_REASON_DISPLACED
    DESTROYED = lib.KVBM_REASON_DESTROYED
    INVALIDATED = lib.KVBM_REASON_INVALIDATED

    @classmethod
    def _missing_(cls, value: object) -> Reason:
        return cls.NONE


class Record(NamedTuple):
    """What every source reports for a change.

    hash: of 128 bits; 0 for CLEARED and LOST
    """

    change: Change
    hash: int


class Event(NamedTuple):
    """An event of a store.

    hash: of 128 bits
    seq: its number; the store's first one is 1
    time_ns: CLOCK_BOOTTIME
    session: number of the session that did it, 0: none
    lost: with LOST: how many are missing; seq is the last one's
    note: of the block, if requested and if the block was still registered
    """

    change: Change
    hash: int
    seq: int
    time_ns: int
    session: int
    block: int
    generation: int
    reason: Reason
    lost: int
    note: bytes | None = None


class Source(Protocol):
    """Where a publisher gets its records: an EventReader is one."""

    def fileno(self) -> int:
        """A descriptor that poll(2) reports readable if there are records."""

    def read(self) -> Iterable[Record | Event]:
        """The next records, in order; none if nothing happened."""

    def snapshot(self) -> Iterable[int]:
        """The hashes that are present.

        Later records report what changes meanwhile.
        """


def _note_bytes(session: int) -> int:
    i = ffi.new("struct kvbm_store_info *")
    ret = lib.kvbm_store_info(session, i)
    if ret < 0:
        raise error(ret, "info")
    return int(i.note_bytes)


class EventReader:
    """A store's events: see Session.events()."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_ended",
        "_fd",
        "_next",
        "_note_bytes",
        "_record",
        "_session",
    )

    # Events in one read, and entries in one export.
    BATCH = 256

    def __init__(
        self, session: int, types: int, start: int, *, notes: bool = False
    ) -> None:
        self._note_bytes = _note_bytes(session) if notes else 0
        e = ffi.new("struct kvbm_events *")
        e.flags = lib.KVBM_EVENTS_NONBLOCK
        if notes:
            e.flags |= lib.KVBM_EVENTS_NOTES
        e.types = types
        e.next = start
        fd = lib.kvbm_events_open(session, e)
        if fd < 0:
            raise error(fd, "events")
        self._fd: int = fd
        self._session = os.dup(session)
        self._next = int(e.next)
        self._ended = False
        self._record: int = e.record_size
        self._buffer = ffi.new("uint8_t[]", self.BATCH * self._record)

    def __enter__(self) -> EventReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()

    def close(self) -> None:
        """Stop; a second call does nothing."""
        for fd in (self._fd, self._session):
            if fd >= 0:
                os.close(fd)
        self._fd = self._session = -1

    def fileno(self) -> int:
        """The descriptor, for poll(2)."""
        if self._fd < 0:
            raise ClosedSession("fileno")
        return self._fd

    @property
    def ended(self) -> bool:
        """Whether the store is gone, and all of its events were read."""
        return self._ended

    @property
    def position(self) -> int:
        """Where another reader would continue: Session.events(start=...)."""
        return self._next

    def read(self) -> list[Event]:
        """The next events, at most BATCH; none if nothing happened."""
        if self._fd < 0:
            raise ClosedSession("read")
        n = lib.kvbm_events_read_notes(
            self._fd, self._buffer, self._record, self.BATCH
        )
        if n in (-errno.EAGAIN, -errno.EINTR):
            return []
        if n < 0:
            raise error(n, "read events")
        if n == 0:
            self._ended = True
            return []
        found = [self._event(i) for i in range(n)]
        self._next = found[-1].seq + 1
        return found

    def _event(self, i: int) -> Event:
        at = self._buffer + i * self._record
        e = ffi.cast("struct kvbm_event *", at)
        note = None
        if e.noted:
            note = bytes(ffi.buffer(at + ffi.sizeof(e[0]), self._note_bytes))
        return Event(
            Change(e.type),
            (e.hash.hi << 64) | e.hash.lo,
            e.seq,
            e.time_ns,
            e.session,
            e.block,
            e.generation,
            Reason(e.reason),
            e.count,
            note,
        )

    def snapshot(self) -> list[int]:
        """The hashes that are present, in no order.

        For a store in use this is no snapshot by itself: changes meanwhile
        may be missing. With the events that are read afterwards it is exact.
        Empty if the store is gone.
        """
        cursor = ffi.new("uint64_t *")
        entries: Any = ffi.new("struct kvbm_export_entry[]", self.BATCH)
        found: list[int] = []
        while True:
            n = lib.kvbm_export(
                self._session, NULL, cursor, self.BATCH, entries, NULL
            )
            if n == -errno.EINTR:
                continue
            if n in (-errno.ENODEV, -errno.ESHUTDOWN):
                return []
            if n < 0:
                raise error(n, "export")
            found += [(e.hash.hi << 64) | e.hash.lo for e in entries[0:n]]
            if n < self.BATCH:
                return found
