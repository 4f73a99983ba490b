# SPDX-License-Identifier: MIT
"""Sessions, and what they hold."""

from __future__ import annotations

import errno
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _fork
from ._native import NULL, ffi, lib
from .errors import (
    ClosedSession,
    ForkedSession,
    KvbmError,
    error,
)
from .hashes import empty
from .holds import Blocks, Holds
from .records import (
    EVICTED,
    NO_BLOCK,
    WEAK,
    BlockInfo,
    Counts,
    Forgotten,
    Rank,
    SessionEntry,
    State,
    StoreInfo,
)

if TYPE_CHECKING:
    from .events import EventReader
    from .payload import Payload

_IDS = ffi.typeof("uint32_t[]")
_ID = ffi.typeof("uint32_t *")
_BYTES = ffi.typeof("uint8_t[]")
_HASHES = ffi.typeof("struct kvbm_hash[]")
_EVICTED = ffi.typeof("struct kvbm_evicted[]")
_RESULTS = ffi.typeof("struct kvbm_registered[]")
_WEAKS = ffi.typeof("struct kvbm_weak[]")
_from_buffer = ffi.from_buffer
_new = ffi.new


class Session:
    """An open session of a store; it owns the blocks that it holds.

    A context manager: leaving it closes the session, and the kernel releases
    everything it holds, as it does when the process ends. Several threads may
    use it at once; close it when none does any more. Arrays of hashes and ids
    may be any C-contiguous buffers (numpy arrays, array.array, memoryviews);
    nothing is copied. A batch has at most 2^24 elements. Other Python threads
    can run during all calls.

    After fork the child's copy is closed and raises ForkedSession, unless
    it was opened with ``inherit=True``.

    Every method can raise Revoked, StoreGone, ClosedSession and ForkedSession;
    each lists its further errors.
    """

    __slots__ = (
        "__weakref__",
        "_fd",
        "_inherit",
        "_note_bytes",
        "_own_payload",
        "_payload",
        "_why",
    )

    def __init__(
        self,
        store: str | os.PathLike[str] | int,
        *,
        inherit: bool = False,
        payload: Payload | None = None,
    ) -> None:
        """Open a session.

        store: name of a store, path of its node, or a descriptor of a session,
            which this object then owns
        inherit: children share this session after fork
        payload: memory of the blocks, for a store that has none

        Raises NoModule (no such store, no module), Denied, OverQuota (the
        store's limit on sessions), KvbmError EINVAL (not a name), EMFILE.
        """
        self._why: type[ClosedSession] | type[ForkedSession] = ClosedSession
        self._fd = -1
        self._inherit = inherit
        self._note_bytes: int | None = None
        self._payload = payload
        self._own_payload = False
        if isinstance(store, int):
            fd = store
        else:
            fd = lib.kvbm_open(os.fsencode(store))
            if fd < 0:
                raise error(fd, f"open {os.fspath(store)}")
        self._fd = fd
        _fork.watch(self)

    def _after_fork(self) -> None:
        if self._inherit or self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._why = ForkedSession
        try:
            os.close(fd)
        except OSError:
            pass

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            warnings.warn("a session was not closed", ResourceWarning, 2)
            self.close()

    def __repr__(self) -> str:
        if self._fd < 0:
            return f"<{type(self).__name__} {self._why.__name__}>"
        return f"<{type(self).__name__} fd {self._fd}>"

    def close(self) -> None:
        """End the session; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        if self._own_payload and self._payload is not None:
            self._own_payload = False
            try:
                self._payload.close()
            except BufferError:
                pass  # unmapped when the last view goes

    @property
    def closed(self) -> bool:
        """Whether it was closed, or belongs to the parent process."""
        return self._fd < 0

    def fileno(self) -> int:
        """The descriptor, for poll(2), SCM_RIGHTS and so on."""
        if self._fd < 0:
            raise self._why("fileno")
        return self._fd

    def _error(self, ret: int, what: str, done: int | None = None) -> KvbmError:
        if self._fd < 0 and ret == -errno.EBADF:
            return self._why(what)
        return error(ret, what, done)

    # The store

    def open_session(self, *, inherit: bool = False) -> Session:
        """Another session of the same store: OverQuota, EMFILE."""
        fd = lib.kvbm_session_open(self._fd)
        if fd < 0:
            raise self._error(fd, "open_session")
        return Session(
            fd,
            inherit=inherit,
            payload=None if self._own_payload else self._payload,
        )

    @property
    def payload(self) -> Payload:
        """The memory of the blocks, mapped from first use to close().

        Raises KvbmError ENODATA (the store has none, and none was given), or
        the errors of Payload.of_session().
        """
        if self._payload is None:
            from .payload import Payload

            if self._fd < 0:
                raise self._why("payload")
            self._payload = Payload.of_session(self._fd)
            self._own_payload = True
        return self._payload

    @payload.setter
    def payload(self, payload: Payload) -> None:
        self._payload = payload
        self._own_payload = False

    def info(self) -> StoreInfo:
        """Properties of the store."""
        i = _new("struct kvbm_store_info *")
        ret = lib.kvbm_store_info(self._fd, i)
        if ret < 0:
            raise self._error(ret, "info")
        return StoreInfo(
            i.store_id,
            ffi.string(i.name).decode(),
            ffi.string(i.policy).decode(),
            i.total_blocks,
            i.block_size,
            i.freq_capacity,
            tuple(i.thresholds),
            i.flags,
            i.max_sessions,
            i.max_held,
            i.sessions,
            i.memory,
            i.session_memory,
            i.session_id,
            i.block_bytes,
            i.note_bytes,
        )

    def counts(self) -> Counts:
        """Free, inactive and available blocks, in one snapshot."""
        c = _new("struct kvbm_counts *")
        ret = lib.kvbm_counts(self._fd, c)
        if ret < 0:
            raise self._error(ret, "counts")
        return Counts(
            c.total, c.reset, c.inactive, c.available, c.registered, c.waiters
        )

    def stats(self) -> dict[str, int]:
        """Counters since the store's creation, and gauges, by name."""
        s = _new("struct kvbm_stats *")
        ret = lib.kvbm_stats(self._fd, s)
        if ret < 0:
            raise self._error(ret, "stats")
        return {
            name: int(getattr(s, name))
            for name, field in ffi.typeof("struct kvbm_stats").fields
            if name not in ("size", "flags") and field.type.kind == "primitive"
        }

    def block_info(self, block: int) -> BlockInfo:
        """Everything about a block; may be slow. EINVAL: no such id."""
        i = _new("struct kvbm_block_info *")
        ret = lib.kvbm_block_info(self._fd, block, i)
        if ret < 0:
            raise self._error(ret, f"block {block}")
        h = empty(1)
        h["hi"], h["lo"] = i.hash.hi, i.hash.lo
        return BlockInfo(
            i.block,
            State(i.state),
            i.generation,
            bool(i.reset_on_release),
            i.holds,
            i.own_holds,
            h,
            Rank(i.keep_rank),
            i.keep_until_ns,
        )

    @property
    def note_bytes(self) -> int:
        """Bytes of a block's note; 0: the store has none."""
        if self._note_bytes is None:
            self._note_bytes = self.info().note_bytes
        return self._note_bytes

    def _notes(self, notes: Any, n: int) -> Any:
        """The caller's notes, a row for each of n blocks; None: NULL."""
        if notes is None:
            return NULL
        rows = np.asarray(notes)
        if not self.note_bytes:
            raise self._error(-errno.EINVAL, "notes of a store without", 0)
        if (
            rows.dtype != np.uint8
            or rows.ndim != 2
            or len(rows) < n
            or rows.shape[1] != self.note_bytes
        ):
            raise ValueError(
                f"notes are rows of {self.note_bytes} uint8, one a block"
            )
        return _from_buffer(_BYTES, np.ascontiguousarray(rows))

    def _room_for_notes(self, n: int) -> npt.NDArray[np.uint8]:
        if not self.note_bytes:
            raise self._error(-errno.EINVAL, "notes of a store without", 0)
        return np.zeros((n, self.note_bytes), np.uint8)

    def note(self, block: int) -> npt.NDArray[np.uint8]:
        """A block's note; zeroes if block_info() has no hash.

        A Duplicate has its Primary's. EINVAL: no such id; the store has no
        notes.
        """
        rows = self._room_for_notes(1)
        i = _new("struct kvbm_block_info *")
        ret = lib.kvbm_block_note(
            self._fd, block, i, _from_buffer(_BYTES, rows, True)
        )
        if ret < 0:
            raise self._error(ret, f"note of {block}")
        return rows.reshape(-1)

    def reset_inactive(self) -> tuple[int, bool]:
        """Reset inactive blocks: how many, and whether all are now free."""
        whole = _new("bool *")
        ret = lib.kvbm_reset_inactive(self._fd, whole, NULL)
        if ret < 0:
            raise self._error(ret, "reset_inactive")
        return ret, bool(whole[0])

    def invalidate(
        self,
        hashes: Any = None,
        *,
        descendants: bool = False,
        everything: bool = False,
    ) -> Forgotten:
        """Forget hashes, including held ones: no call finds them any more.

        hashes: in any order; absent ones do no harm
        descendants: also forget all their descendants, parent by parent
        everything: instead of hashes; blocks allocated before can no longer be
            registered (ESTALE)

        Holders keep such a block, and its bytes, until the last release;
        its hash may be registered again, in another block.

        NotHeld (EPERM: neither the store's owner nor an administrator), EINVAL
        (descendants of an invalid hash), EOPNOTSUPP (descendants of opaque
        hashes), ENOMEM, ValueError (hashes and everything, or neither).
        """
        n, h, flags = _what_to_forget(hashes, descendants, everything)
        idle, held = _new(_ID), _new(_ID)
        ret = lib.kvbm_invalidate(self._fd, n, h, flags, idle, held)
        if ret < 0:
            raise self._error(ret, "invalidate")
        return Forgotten(idle[0], held[0])

    def set_low_watermark(self, blocks: int) -> None:
        """poll(2) reports writable if this many could be allocated: EINVAL."""
        ret = lib.kvbm_session_config(self._fd, blocks)
        if ret < 0:
            raise self._error(ret, "set_low_watermark")

    def sessions(self) -> list[SessionEntry]:
        """The sessions of the store: NotHeld unless owner or root."""
        room = 16
        total = _new(_ID)
        while True:
            e = _new("struct kvbm_session_entry[]", room)
            ret = lib.kvbm_session_list(self._fd, room, e, total)
            if ret < 0:
                raise self._error(ret, "sessions")
            if total[0] <= room:
                break
            room = total[0] + 16
        return [
            SessionEntry(
                s.session_id,
                s.opened_ns,
                s.holds,
                s.held,
                s.mutable_blocks,
                s.staged_blocks,
                s.pid,
                s.uid,
                bool(s.flags & lib.KVBM_SESSION_REVOKED),
                ffi.string(s.comm).decode(errors="replace"),
            )
            for s in e[0:ret]
        ]

    def events(
        self, *, start: int = 0, duplicates: bool = False, notes: bool = False
    ) -> EventReader:
        """A reader of the store's events, as a context manager.

        start: number of the first event to read, from EventReader.position of
            an earlier reader; 0: the next that happens
        duplicates: report second blocks of a hash too
        notes: also return notes of blocks that are still registered

        Raises KvbmError ENODATA (the store keeps no events), EINVAL (start is
        too far ahead; the store has no notes), OverQuota (too many readers),
        EMFILE, ENFILE, ENOMEM.
        """
        from .events import Change, EventReader

        if self._fd < 0:
            raise self._why("events")
        types = 0
        if duplicates:
            types = sum(
                1 << t
                for t in (
                    Change.STORED,
                    Change.REMOVED,
                    Change.DUPLICATE,
                    Change.DUPLICATE_GONE,
                )
            )
        return EventReader(self._fd, types, start, notes=notes)

    def revoke(self, session_id: int) -> int:
        """End another session; returns how many holds and blocks it had.

        0 if it was revoked before. NotHeld unless owner or root, ENOENT
        (NoModule): no such session.
        """
        n = _new("uint64_t *")
        ret = lib.kvbm_session_revoke(self._fd, session_id, n)
        if ret < 0:
            raise self._error(ret, f"revoke {session_id}")
        return int(n[0])

    # Allocation

    def alloc(
        self, n: int, *, timeout: float | None = 0, evicted: bool = False
    ) -> Blocks:
        """Allocate n blocks, all or none: free ones, then evicted ones.

        timeout: seconds to wait for blocks; 0: do not; None: for ever. Waiting
            calls are served first come first served
        evicted: return which hashes were evicted

        Raises NoSpace (timeout 0), TimedOut, OverQuota, EINVAL (more than the
        store has), ENOMEM, EDEADLK (only this thread could end the wait, by
        releasing what the session holds).
        """
        ids = np.empty(n, np.uint32)
        gone = np.empty(n if evicted else 0, EVICTED)
        count = self.alloc_into(
            ids, timeout=timeout, evicted=gone if evicted else None
        )
        return Blocks(self, ids, gone[:count] if evicted else gone)

    def alloc_into(
        self, ids: Any, *, timeout: float | None = 0, evicted: Any = None
    ) -> int:
        """alloc() as many as fit into the buffer; returns the evicted.

        ids: out: a writable buffer of uint32
        evicted: out: a writable buffer of as many EVICTED, or None
        """
        p = _from_buffer(_IDS, ids, True)
        n = len(p)
        gone = NULL
        if evicted is not None:
            gone = _from_buffer(_EVICTED, evicted, True)
            if len(gone) < n:
                raise ValueError("the buffer for evicted hashes is too small")
        count = _new(_ID)
        if timeout == 0:
            ret = lib.kvbm_alloc(self._fd, n, p, gone, count)
        else:
            deadline = lib.kvbm_deadline(
                (1 << 64) - 1
                if timeout is None
                else max(0, min(int(timeout * 1e9), (1 << 63) - 1))
            )
            place = _new(_ID)
            try:
                ret = -errno.EINTR
                while ret == -errno.EINTR:
                    # A signal handler that raises ends the wait here.
                    ret = lib.kvbm_alloc_wait_at(
                        self._fd, n, p, gone, count, deadline, place
                    )
            finally:
                if place[0]:
                    lib.kvbm_ticket_give_up(self._fd, place[0])
        if ret < 0:
            raise self._error(ret, f"alloc {n}")
        return int(count[0])

    def alloc_free(self, n: int) -> Blocks:
        """Allocate up to n free blocks, evict none: OverQuota, ENOMEM."""
        ids = np.empty(n, np.uint32)
        ret = lib.kvbm_alloc_reset(self._fd, n, _from_buffer(_IDS, ids, True))
        if ret < 0:
            raise self._error(ret, f"alloc_free {n}")
        return Blocks(self, ids[:ret], np.empty(0, EVICTED))

    # Lookup

    def match(self, hashes: Any) -> Holds:
        """Hold the longest cached prefix of a chain.

        Raises OverQuota (the session's limit on held blocks), EOVERFLOW (more
        than KVBM_MAX_HOLDS of a block), ENOMEM; nothing is held then.
        """
        ids = np.empty(len(_from_buffer(_HASHES, hashes)), np.uint32)
        return Holds(self, ids[: self.match_into(hashes, ids)])

    def match_notes(self, hashes: Any) -> tuple[Holds, npt.NDArray[np.uint8]]:
        """match(), and the blocks' notes: a row for each that is held.

        EINVAL: the store has no notes.
        """
        h = _from_buffer(_HASHES, hashes)
        ids = np.empty(len(h), np.uint32)
        notes = self._room_for_notes(len(h))
        why = _new(_ID)
        i = _from_buffer(_IDS, ids, True)
        n = _from_buffer(_BYTES, notes, True)
        ret = lib.kvbm_match_notes(self._fd, len(h), h, i, n, why)
        if why[0]:
            self._undo(i, ret)
            raise self._error(-why[0], "match", 0)
        return Holds(self, ids[:ret]), notes[:ret]

    def match_into(self, hashes: Any, ids: Any) -> int:
        """match() into a buffer: returns how many, which the caller releases.

        ids: out: a writable buffer of uint32, as long as hashes
        """
        h = _from_buffer(_HASHES, hashes)
        i = _from_buffer(_IDS, ids, True)
        n = len(h)
        if len(i) < n:
            raise ValueError("the buffer for ids is too small")
        why = _new(_ID)
        ret: int = lib.kvbm_match(self._fd, n, h, i, why)
        if why[0]:
            self._undo(i, ret)
            raise self._error(-why[0], "match", 0)
        return ret

    def match_pending_into(self, hashes: Any, ids: Any) -> tuple[int, int]:
        """match_into(), and the index of the first pending hash past it.

        That is the number of hashes if none of the rest is claimed.
        """
        h = _from_buffer(_HASHES, hashes)
        i = _from_buffer(_IDS, ids, True)
        n = len(h)
        if len(i) < n:
            raise ValueError("the buffer for ids is too small")
        why, pending = _new(_ID), _new(_ID)
        ret: int = lib.kvbm_match_pending(self._fd, n, h, i, pending, why)
        if why[0]:
            self._undo(i, ret)
            raise self._error(-why[0], "match", 0)
        return ret, int(pending[0])

    def scan(self, hashes: Any, *, touch: bool = False) -> Holds:
        """Hold every block that is present; ids has NO_BLOCK for the others.

        touch: count each hit in the frequency sketch

        Raises as match(); nothing is held then.
        """
        h = _from_buffer(_HASHES, hashes)
        ids = np.empty(len(h), np.uint32)
        i = _from_buffer(_IDS, ids, True)
        why = _new(_ID)
        ret = lib.kvbm_scan(
            self._fd,
            len(h),
            h,
            i,
            lib.KVBM_SCAN_TOUCH if touch else 0,
            NULL,
            why,
        )
        if why[0]:
            self._undo(i, ret)
            raise self._error(-why[0], "scan", 0)
        return Holds(self, ids)

    def scan_notes(
        self, hashes: Any, *, touch: bool = False
    ) -> tuple[Holds, npt.NDArray[np.uint8]]:
        """scan(), and the blocks' notes: a row each, zeroes for a miss.

        EINVAL: the store has no notes.
        """
        h = _from_buffer(_HASHES, hashes)
        ids = np.empty(len(h), np.uint32)
        notes = self._room_for_notes(len(h))
        why = _new(_ID)
        i = _from_buffer(_IDS, ids, True)
        ret = lib.kvbm_scan_notes(
            self._fd,
            len(h),
            h,
            i,
            _from_buffer(_BYTES, notes, True),
            lib.KVBM_SCAN_TOUCH if touch else 0,
            NULL,
            why,
        )
        if why[0]:
            self._undo(i, ret)
            raise self._error(-why[0], "scan", 0)
        return Holds(self, ids), notes

    def _undo(self, ids: Any, n: int) -> None:
        """Release what a batch took before it failed."""
        for k in range(n):
            if ids[k] != NO_BLOCK:
                lib.kvbm_release(self._fd, 1, ids + k, 0, NULL)

    def presence(
        self, hashes: Any, *, pending: bool = False
    ) -> npt.NDArray[np.uint8]:
        """Presence of each hash, without holding anything.

        pending: distinguish claimed hashes from absent ones
        """
        h = _from_buffer(_HASHES, hashes)
        out = np.empty(len(h), np.uint8)
        why = _new(_ID)
        call = lib.kvbm_presence_pending if pending else lib.kvbm_presence
        call(self._fd, len(h), h, _from_buffer(_BYTES, out, True), why)
        if why[0]:
            raise self._error(-why[0], "presence")
        return out

    def frequency(self, hashes: Any) -> npt.NDArray[np.uint8]:
        """How often each was seen, 0 to 15; 0 without tracking."""
        h = _from_buffer(_HASHES, hashes)
        out = np.empty(len(h), np.uint8)
        why = _new(_ID)
        lib.kvbm_frequency(
            self._fd, len(h), h, _from_buffer(_BYTES, out, True), why
        )
        if why[0]:
            raise self._error(-why[0], "frequency")
        return out

    def touch(self, hashes: Any, *, newest: bool = False) -> None:
        """Count each hash once in the frequency sketch.

        newest: also make inactive blocks the newest, without a hold
        """
        h = _from_buffer(_HASHES, hashes)
        why = _new(_ID)
        call = lib.kvbm_touch_newest if newest else lib.kvbm_touch
        call(self._fd, len(h), h, why)
        if why[0]:
            raise self._error(-why[0], "touch")

    def keep(
        self, ids: Any, rank: Rank, *, seconds: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Give held blocks a rank: a Kept for each.

        seconds: after which the rank expires; None: never

        No allocation fails because of ranks. NotHeld, with done; EINVAL (no
        such rank, NORMAL for a time), EOPNOTSUPP (the store has no retention).
        """
        i = _from_buffer(_IDS, ids)
        return self._keep(lib.kvbm_keep, i, rank, seconds)

    def keep_hashes(
        self, hashes: Any, rank: Rank, *, seconds: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """keep() for registered hashes, held or not."""
        h = _from_buffer(_HASHES, hashes)
        return self._keep(lib.kvbm_keep_hashes, h, rank, seconds)

    def _keep(
        self, call: Any, what: Any, rank: Rank, seconds: float | None
    ) -> npt.NDArray[np.uint8]:
        out = np.empty(len(what), np.uint8)
        why = _new(_ID)
        ns, flags = 0, 0
        if seconds is not None:
            # 0 ns: never expires.
            ns = max(1, min(int(seconds * 1e9), (1 << 63) - 1))
            flags = lib.KVBM_KEEP_RELATIVE
        results = _from_buffer(_BYTES, out, True)
        ret = call(self._fd, len(what), what, rank, ns, flags, results, why)
        if why[0] or ret < 0:
            raise self._error(-why[0] or ret, "keep", max(ret, 0))
        return out

    # Blocks by id

    def release(self, ids: Any) -> None:
        """Release a hold on each, in this order: NotHeld, with done."""
        i = _from_buffer(_IDS, ids)
        why = _new(_ID)
        ret = lib.kvbm_release(self._fd, len(i), i, 0, why)
        if why[0]:
            raise self._error(-why[0], "release", max(ret, 0))

    def retain(self, ids: Any) -> None:
        """Add a hold on each registered block, all or none.

        NotHeld, EINVAL (Mutable or Staged), EOVERFLOW.
        """
        i = _from_buffer(_IDS, ids)
        why = _new(_ID)
        ret = lib.kvbm_retain(self._fd, len(i), i, why)
        if why[0]:
            self._undo(i, ret)
            raise self._error(-why[0], "retain", 0)

    def set_reset(self, ids: Any, on: bool) -> None:
        """Set whether blocks are reset at their last release: NotHeld."""
        i = _from_buffer(_IDS, ids)
        why = _new(_ID)
        ret = lib.kvbm_set_reset(self._fd, len(i), i, on, why)
        if why[0]:
            raise self._error(-why[0], "set_reset", max(ret, 0))

    def stage(
        self,
        ids: Any,
        hashes: Any,
        *,
        tokens: Any = None,
        notes: Any = None,
    ) -> None:
        """Give own Mutable blocks their hashes.

        tokens: a buffer of uint32: any other than the block size is EINVAL
        notes: as for Blocks.register(), not together with tokens

        NotHeld (not Mutable, not own), EINVAL (not a hash), with done.
        """
        i = _from_buffer(_IDS, ids)
        h = _from_buffer(_HASHES, hashes)
        t = NULL if tokens is None else _from_buffer(_IDS, tokens)
        if len(h) < len(i) or (tokens is not None and len(t) < len(i)):
            raise ValueError("fewer hashes or tokens than blocks")
        if notes is not None and tokens is not None:
            raise ValueError("tokens or notes")
        why = _new(_ID)
        if notes is None:
            ret = lib.kvbm_stage(self._fd, len(i), i, h, t, why)
        else:
            rows = self._notes(notes, len(i))
            ret = lib.kvbm_stage_notes(self._fd, len(i), i, h, rows, why)
        if why[0]:
            raise self._error(-why[0], "stage", max(ret, 0))

    def claim(
        self, ids: Any, hashes: Any, *, notes: Any = None
    ) -> npt.NDArray[np.uint8]:
        """Stage own Mutable blocks and claim their hashes: a Claim for each.

        A hash has at most one claim. It ends when anybody registers the hash,
        when its block is unstaged or released, and when its session ends.
        Blocks whose hash is PENDING or PRESENT stay Mutable.

        notes: as for Blocks.register()

        NotHeld, EINVAL, OverQuota (KVBM_MAX_CLAIMS), ENOMEM, with done.
        """
        i = _from_buffer(_IDS, ids)
        h = _from_buffer(_HASHES, hashes)
        if len(h) < len(i):
            raise ValueError("fewer hashes than blocks")
        out = np.empty(len(i), np.uint8)
        why = _new(_ID)
        states = _from_buffer(_BYTES, out, True)
        ret = lib.kvbm_claim_notes(
            self._fd, len(i), i, h, self._notes(notes, len(i)), states, why
        )
        if why[0]:
            raise self._error(-why[0], "claim", max(ret, 0))
        return out

    def wait(self, hashes: Any, *, timeout: float | None = None) -> None:
        """Wait until claims of these hashes have ended, however they end.

        timeout: seconds, None: for ever

        Match again afterwards. TimedOut, EDEADLK (this session has claimed one
        of them), EINVAL (too many), EMLINK, ENOMEM.
        """
        h = _from_buffer(_HASHES, hashes)
        deadline = lib.kvbm_deadline(
            (1 << 64) - 1
            if timeout is None
            else max(0, min(int(timeout * 1e9), (1 << 63) - 1))
        )
        ret = -errno.EINTR
        while ret == -errno.EINTR:
            # A signal handler that raises ends the wait here.
            ret = lib.kvbm_wait(self._fd, len(h), h, deadline, NULL)
        if ret < 0:
            raise self._error(ret, "wait")

    def watch(self, hashes: Any) -> npt.NDArray[np.uint8]:
        """Make poll(2) report POLLPRI once one of these claims has ended.

        Replaces what was watched before. Returns PENDING for each that is
        claimed and now watched, and ABSENT for the others. EINVAL (too many),
        ENOMEM.
        """
        h = _from_buffer(_HASHES, hashes)
        out = np.empty(len(h), np.uint8)
        ret = lib.kvbm_watch(
            self._fd, len(h), h, _from_buffer(_BYTES, out, True)
        )
        if ret < 0:
            raise self._error(ret, "watch")
        return out

    def offer(self, ids: Any, *, to: Session | int | None = None) -> bytes:
        """Offer a hold on each block to another session: the ticket, 16 bytes.

        to: the only session that may accept, or a descriptor of it (poll(2)
            reports POLLIN there); None: anyone with the ticket

        All or nothing. The holds stay this session's until they are accepted,
        and cannot be released meanwhile (EBUSY). NotHeld, EINVAL (not
        registered), EBUSY (offered already), OverQuota, EBADF, EXDEV, ENOENT
        (to: no session, of another store, has ended), ENOMEM.
        """
        i = _from_buffer(_IDS, ids)
        ticket = _new("struct kvbm_ticket *")
        if to is None:
            ret = lib.kvbm_offer(self._fd, len(i), i, ticket)
        else:
            fd = to if isinstance(to, int) else to.fileno()
            ret = lib.kvbm_offer_to(self._fd, fd, len(i), i, ticket)
        if ret < 0:
            raise self._error(ret, "offer")
        return bytes(ffi.buffer(ticket))

    def accept(
        self, ticket: bytes | None = None, *, room: int = 1024
    ) -> npt.NDArray[np.uint32]:
        """Take over offered holds: ids in the order of the offer.

        ticket: from offer(); None: the oldest offer to this session only
        room: initial size of the array of ids

        All or nothing. ENOENT (no such offer), OverQuota, EOVERFLOW,
        EINVAL (its own offer), ENOMEM.
        """
        named = NULL
        if ticket is not None:
            if len(ticket) != ffi.sizeof("struct kvbm_ticket"):
                raise ValueError("a ticket has 16 bytes")
            named = _new("struct kvbm_ticket *")
            ffi.memmove(named, ticket, len(ticket))
        total = _new(_ID)
        while True:
            out = np.empty(room, np.uint32)
            ids = _from_buffer(_IDS, out, True)
            if named:
                ret = lib.kvbm_accept(self._fd, named, room, ids, total)
            else:
                ret = lib.kvbm_accept_direct(self._fd, room, ids, NULL, total)
            if ret != -errno.EMSGSIZE:
                break
            room = total[0]
        if ret < 0:
            raise self._error(ret, "accept")
        return out[:ret]

    def withdraw(self, ticket: bytes) -> int:
        """Withdraw an offer: how many holds are ordinary again.

        ENOENT: there is none, or all of it has been accepted.
        """
        if len(ticket) != ffi.sizeof("struct kvbm_ticket"):
            raise ValueError("a ticket has 16 bytes")
        named = _new("struct kvbm_ticket *")
        ffi.memmove(named, ticket, len(ticket))
        ret = lib.kvbm_withdraw(self._fd, named)
        if ret < 0:
            raise self._error(ret, "withdraw")
        return int(ret)

    def unstage(self, ids: Any) -> None:
        """Make Staged blocks Mutable again: NotHeld, with done."""
        i = _from_buffer(_IDS, ids)
        why = _new(_ID)
        ret = lib.kvbm_unstage(self._fd, len(i), i, why)
        if why[0]:
            raise self._error(-why[0], "unstage", max(ret, 0))

    def register(
        self,
        ids: Any,
        results: Any,
        *,
        duplicates: bool | None = None,
        notes: Any = None,
    ) -> None:
        """Make Staged blocks visible.

        results: out: a writable buffer of REGISTERED: the block that is now
            held, and Kind
        duplicates: as for Blocks.register()
        notes: likewise, but None: the notes they were staged with

        NotHeld, OverQuota, EOVERFLOW, ENOMEM, ESTALE (allocated before
        everything was forgotten), with done.
        """
        i = _from_buffer(_IDS, ids)
        r = _from_buffer(_RESULTS, results, True)
        if len(r) < len(i):
            raise ValueError("the buffer for results is too small")
        why = _new(_ID)
        ret = lib.kvbm_register_notes(
            self._fd,
            len(i),
            i,
            NULL,
            self._notes(notes, len(i)),
            r,
            _duplicates(duplicates),
            why,
        )
        if why[0]:
            raise self._error(-why[0], "register", max(ret, 0))

    def stage_register(
        self,
        ids: Any,
        hashes: Any,
        results: Any,
        *,
        duplicates: bool | None = None,
        notes: Any = None,
    ) -> None:
        """stage() and register() in one step for each block."""
        i = _from_buffer(_IDS, ids)
        h = _from_buffer(_HASHES, hashes)
        r = _from_buffer(_RESULTS, results, True)
        if len(h) < len(i) or len(r) < len(i):
            raise ValueError("fewer hashes or results than blocks")
        why = _new(_ID)
        ret = lib.kvbm_register_notes(
            self._fd,
            len(i),
            i,
            h,
            self._notes(notes, len(i)),
            r,
            _duplicates(duplicates),
            why,
        )
        if why[0]:
            raise self._error(-why[0], "stage_register", max(ret, 0))

    def weak(self, ids: Any) -> npt.NDArray[Any]:
        """Weak references to held registered blocks, as an array of WEAK.

        They are data: they hold nothing and cost the store nothing. NotHeld,
        EINVAL (Mutable or Staged, no such id).
        """
        i = _from_buffer(_IDS, ids)
        out = np.empty(len(i), WEAK)
        w = _from_buffer(_WEAKS, out, True)
        for k in range(len(i)):
            ret = lib.kvbm_weak(self._fd, i[k], w + k)
            if ret < 0:
                raise self._error(ret, "weak", k)
        return out

    def upgrade(self, weaks: Any) -> Holds:
        """Hold the blocks of weak references; ids has NO_BLOCK for lost ones.

        Raises as match(); nothing is held then.
        """
        w = _from_buffer(_WEAKS, weaks)
        ids = np.empty(len(w), np.uint32)
        i = _from_buffer(_IDS, ids, True)
        why = _new(_ID)
        ret = lib.kvbm_upgrade(self._fd, len(w), w, i, NULL, why)
        if why[0]:
            self._undo(i, ret)
            raise self._error(-why[0], "upgrade", 0)
        return Holds(self, ids)


def _what_to_forget(
    hashes: Any, descendants: bool, everything: bool
) -> tuple[int, Any, int]:
    if everything == (hashes is not None):
        raise ValueError("either hashes or everything=True")
    if everything:
        if descendants:
            raise ValueError("everything has no descendants")
        return 0, NULL, lib.KVBM_INVALIDATE_ALL
    h = _from_buffer(_HASHES, hashes)
    return len(h), h, lib.KVBM_INVALIDATE_PREFIX if descendants else 0


def _duplicates(duplicates: bool | None) -> int:
    if duplicates is None:
        return 0
    flag = lib.KVBM_REGISTER_ALLOW if duplicates else lib.KVBM_REGISTER_REJECT
    return int(flag)
