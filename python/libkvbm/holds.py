# SPDX-License-Identifier: MIT
"""Blocks of a session that are released at the end of a with statement."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from ._native import ffi
from .errors import ClosedSession, KvbmError, Revoked, StoreGone
from .records import NO_BLOCK, REGISTERED, Ids

if TYPE_CHECKING:
    from .session import Session

_HASHES = ffi.typeof("struct kvbm_hash[]")
_from_buffer = ffi.from_buffer

_H = TypeVar("_H", bound="_Held")


class _Held:
    """Blocks of a session, released at the end of a with statement."""

    __slots__ = ("__weakref__", "_session", "ids")

    _session: Session | None
    ids: Ids

    def __init__(self, session: Session, ids: Ids) -> None:
        self._session = session
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids.tolist())

    def __enter__(self: _H) -> _H:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.release()
        except (Revoked, StoreGone, ClosedSession):
            # Nothing is held any more, which is what the caller wants.
            # release() reports it.
            pass

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is None or session.closed or not len(self.ids):
            return
        warnings.warn(
            f"{len(self.ids)} blocks were not released", ResourceWarning, 2
        )
        try:
            self.release()
        except KvbmError:
            pass

    @property
    def session(self) -> Session:
        """The session that holds the blocks."""
        if self._session is None:
            raise ValueError("released")
        return self._session

    @property
    def released(self) -> bool:
        """Whether this object no longer holds anything."""
        return self._session is None

    def take(self) -> Ids:
        """The ids, which the caller must now release with Session.release()."""
        self._session = None
        return self.ids

    def release(self) -> None:
        """Release all; a second call does nothing.

        Raises NotHeld if somebody released one of them by its id, Revoked or
        StoreGone if the holds had ended before: then bytes read from the
        payload meanwhile may have been another block's.
        """
        session, self._session = self._session, None
        if session is not None and len(self.ids):
            session.release(self._to_release())

    def _to_release(self) -> Ids:
        return self.ids


class Holds(_Held):
    """Registered blocks that are held.

    ``ids`` has their ids in the order of the hashes; after a scan, NO_BLOCK
    for absent ones.
    """

    __slots__ = ()

    def _to_release(self) -> Ids:
        held: Ids = self.ids[self.ids != NO_BLOCK]
        return held

    def view(self, i: int) -> memoryview:
        """The payload of the i-th block, read-only."""
        return self.session.payload.block(int(self.ids[i]))

    def array(
        self, i: int, dtype: npt.DTypeLike = np.uint8
    ) -> npt.NDArray[Any]:
        """The payload of the i-th block as a read-only numpy array."""
        return np.frombuffer(self.view(i), dtype)

    def tensor(self, i: int, dtype: Any = None) -> Any:
        """The payload of the i-th block as a torch tensor: do not write."""
        return self.session.payload.tensor(int(self.ids[i]), dtype)

    def retain(self) -> Holds:
        """Add a hold on each; EOVERFLOW above KVBM_MAX_HOLDS of a block."""
        ids = self._to_release().copy()
        self.session.retain(ids)
        return Holds(self.session, ids)


class Blocks(_Held):
    """Mutable blocks, which the session owns, writes and then registers.

    evicted: an array of EVICTED: hashes evicted for them
    """

    __slots__ = ("evicted",)

    evicted: npt.NDArray[Any]

    def __init__(
        self, session: Session, ids: Ids, evicted: npt.NDArray[Any]
    ) -> None:
        super().__init__(session, ids)
        self.evicted = evicted

    def view(self, i: int) -> memoryview:
        """The payload of the i-th block, writable."""
        return self.session.payload.block(int(self.ids[i]), writable=True)

    def array(
        self, i: int, dtype: npt.DTypeLike = np.uint8
    ) -> npt.NDArray[Any]:
        """The payload of the i-th block as a writable numpy array."""
        return np.frombuffer(self.view(i), dtype)

    def tensor(self, i: int, dtype: Any = None) -> Any:
        """The payload of the i-th block as a writable torch tensor."""
        return self.session.payload.tensor(
            int(self.ids[i]), dtype, writable=True
        )

    def claim(self, hashes: Any, *, notes: Any = None) -> npt.NDArray[np.uint8]:
        """Announce that this session computes hashes: a Claim for each.

        hashes: as many as there are blocks, or fewer. Blocks whose hash was
            claimed are now Staged, the others are still Mutable
        notes: as for register()

        See Session.claim().
        """
        n = len(_from_buffer(_HASHES, hashes))
        if n > len(self.ids):
            raise ValueError("more hashes than blocks")
        return self.session.claim(self.ids[:n], hashes, notes=notes)

    def publish(self, which: Any, *, duplicates: bool | None = None) -> Holds:
        """Make blocks visible whose hash was claimed; keep the others here.

        which: an array of bool, for each block

        If it fails half-way, registered blocks are released, and the
        others stay in this object.
        """
        session = self.session
        mask = np.asarray(which, bool)
        ids = self.ids[mask]
        results = np.empty(len(ids), REGISTERED)
        try:
            session.register(ids, results, duplicates=duplicates)
        except KvbmError as e:
            done = e.done or 0
            self.ids = np.concatenate([self.ids[~mask], ids[done:]])
            if done:
                session.release(results["block"][:done].copy())
            raise
        self.ids = self.ids[~mask]
        return Holds(session, results["block"].copy())

    def register(
        self,
        hashes: Any,
        *,
        duplicates: bool | None = None,
        notes: Any = None,
    ) -> Holds:
        """Make the blocks visible under their hashes: all, or none is left.

        hashes: as many as there are blocks, or fewer: then the first blocks
            are registered and the others stay here
        duplicates: for a hash that is present: True keeps this block as
            a second copy, False releases it and holds the existing one;
            None: the store's default
        notes: an array of uint8, a row of the store's note_bytes for each
            hash; None: zeroes. A hash that is present keeps its own

        If it fails half-way, registered blocks are released, and the
        others stay in this object.
        """
        session = self.session
        n = len(_from_buffer(_HASHES, hashes))
        if n > len(self.ids):
            raise ValueError("more hashes than blocks")
        results = np.empty(n, REGISTERED)
        try:
            session.stage_register(
                self.ids[:n],
                hashes,
                results,
                duplicates=duplicates,
                notes=notes,
            )
        except KvbmError as e:
            done = e.done or 0
            self.ids = self.ids[done:]
            if done:
                session.release(results["block"][:done].copy())
            raise
        self.ids = self.ids[n:]
        return Holds(session, results["block"].copy())
