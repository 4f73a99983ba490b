# SPDX-License-Identifier: MIT
"""A cache tier of an inference engine on top of a pool, for plug-ins.

An engine has its own rows of memory, its primary tier, and names the content of
a row by a key. This class copies rows to a pool that all engines of the host
share, and back. It knows nothing about any engine: a plug-in translates calls.

Rules that always hold:

- No method raises, and none waits, except that drain() and shutdown() wait for
  copies in progress. What is not possible now is a miss, or is not stored.
- Never the wrong bytes. A row is copied from a block while it is held, and the
  copy counts only if the hold still exists afterwards: if a session is revoked,
  or the store destroyed, others get the blocks while the copy runs. Each name
  includes a digest of everything that the key leaves out.
- Nothing leaks. Blocks that a lookup held and no load took are released at the
  end of the step; a store that fails releases its blocks; the kernel releases
  the rest when the process ends.

One thread calls, or several under their own lock; threads of the tier make the
copies.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import hashlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._native import lib
from .errors import KvbmError, NoSpace, OverQuota
from .hashes import Hashes, empty, opaque
from .holds import Blocks, Holds
from .payload import Payload, Window
from .probe import Probe
from .records import NO_BLOCK, Claim, Presence
from .session import Session

logger = logging.getLogger("libkvbm.tier")


class Answer(enum.Enum):
    """The result of a lookup."""

    MISS = 0
    HIT = 1
    RETRY = 2


# A member by its class is a call, in Python 3.11.
_MISS, _HIT, _RETRY = Answer.MISS, Answer.HIT, Answer.RETRY


@dataclass
class Done:
    """A job that ended.

    success: all keys succeeded; otherwise ``keys`` has those that a load loaded
    stored: rows of a store that are now in the pool
    seconds: time of the copies; bytes: how much was copied
    """

    job: int
    success: bool
    keys: tuple[bytes, ...]
    seconds: float
    bytes: int
    load: bool
    stored: int = 0


@dataclass
class Options:
    """How a tier behaves. All options but the store have defaults.

    store: name of the pool, or path of its node
    threads: threads that copy; with two or more, one of them only loads
    load_queue_mb, store_queue_mb: bytes that may be queued or in flight, in
        MiB; beyond that, lookups miss and stores are skipped
    stage_mb: memory that one store job takes from the pool at a time, in MiB
    required: fail to start rather than run without the pool
    on_reset: "epoch": after the engine dropped its cache, as for new weights,
        this engine uses new names; "keep": the weights stay the same
    weights_version: names the weights; change it when they change; a reset of
        the cache then changes nothing
    pending_wait_ms: how long, in all, lookups of one request return "retry"
        while another engine stores the same blocks; then they miss
    retry_min_s, retry_max_s: pauses between attempts to open a pool that went
        away
    """

    store: str
    threads: int = 4
    load_queue_mb: int = 4096
    store_queue_mb: int = 4096
    stage_mb: int = 64
    required: bool = False
    on_reset: str = "epoch"
    weights_version: str | None = None
    pending_wait_ms: int = 100
    retry_min_s: float = 0.1
    retry_max_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse meaningless values: ValueError."""
        if self.on_reset not in ("epoch", "keep"):
            raise ValueError('on_reset must be "epoch" or "keep"')
        for name in ("threads", "load_queue_mb", "store_queue_mb", "stage_mb"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.pending_wait_ms < 0:
            raise ValueError("pending_wait_ms must not be negative")


class Mismatch(Exception):
    """The pool exists and cannot be used: what to do about it."""


# Each counter with what it counts, for the engines' metrics.
COUNTERS = {
    "lookups": "keys looked up",
    "hits": "keys found, and held for a load",
    "lookups_pending": "lookups deferred: another engine stores the key",
    "pending_given_up": "lookups that missed because that took too long",
    "lookups_held_back": "lookups that missed: the load queue was full",
    "loaded_bytes": "bytes copied from the pool",
    "loads_failed": "rows that could not be loaded",
    "stored_bytes": "bytes copied to the pool",
    "stores_present": "rows not stored: already in the pool",
    "stores_pending": "rows not stored: another engine was storing them",
    "stores_no_room": "rows not stored: the pool was full of held blocks",
    "stores_queue_full": "rows not stored: the store queue was full",
    "stores_off": "rows not stored: no pool",
    "stores_failed": "rows not stored: an error",
    "unused_holds": "keys found that the engine did not load",
    "lost": "how often the pool went away: revoked, or destroyed",
    "reopened": "how often it came back",
    "epochs": "cache resets that changed the names",
    "errors": "unexpected errors; each is logged",
}


class _Link:
    """An open pool. Lives until the last job that uses it is done."""

    def __init__(self, session: Session, payload: Payload) -> None:
        self.session = session
        self.payload = payload
        self.window = Window(payload._base, writable=True)
        self.users = 1
        self.broken = False

    def put(self) -> None:
        """Drop a user; called under the tier's lock."""
        self.users -= 1
        if self.users == 0:
            self.session.close()
            self.window.close()
            with contextlib.suppress(BufferError):
                self.payload.close()


@dataclass
class _Job:
    job: int
    load: bool
    request: str
    link: _Link | None
    # key, block id (loads: None if it is not held yet) and row
    rows: list[tuple[bytes, int | None, int]]
    digest: bytes
    nbytes: int = 0


@dataclass
class _Touch:
    keys: list[bytes]
    link: _Link
    digest: bytes


@dataclass
class _Queue:
    """What the threads and the caller share; all under the lock."""

    lock: threading.Condition = field(default_factory=threading.Condition)
    loads: deque[_Job] = field(default_factory=deque)
    stores: deque[_Job] = field(default_factory=deque)
    touches: deque[_Touch] = field(default_factory=deque)
    done: list[tuple[_Job, Done]] = field(default_factory=list)
    load_bytes: int = 0
    store_bytes: int = 0
    active: int = 0
    stop: bool = False


class Tier:
    """See the module.

    view: the engine's rows, a writable buffer; row i is at i x row_bytes
    row_bytes: bytes of a row; a block of the pool has as many, rounded up to
        4096
    identity: called once, at the first lookup or store: returns what the digest
        is made of, or raises Mismatch, which turns the tier off
    group_bytes: how many bytes at a key's end are the number of its group,
        big-endian
    """

    # Keys whose load failed are remembered for as long as the request; this
    # many requests at most, if an engine never says that one is finished.
    MAX_REQUESTS = 65536
    # Rows that one thread has claimed at a time.
    MAX_CLAIMS = 1024
    # Touches that wait for a thread; more are dropped.
    MAX_TOUCHES = 64

    def __init__(
        self,
        options: Options,
        view: Any,
        row_bytes: int,
        identity: Callable[[], bytes],
        group_bytes: int = 0,
        log: Any = logger,
    ) -> None:
        """Open the pool. Raises only with required: KvbmError or Mismatch."""
        self.options = options
        self.row_bytes = row_bytes
        unit: int = lib.KVBM_MIN_BLOCK_BYTES
        self.block_bytes = -(-row_bytes // unit) * unit
        self._identity = identity
        self._group_bytes = group_bytes
        self._log = log
        self._view: Window | None = Window(view, writable=True)
        self._digest: bytes | None = None
        self._epoch = b""
        # Why the tier is permanently off.
        self.off: str | None = None
        self._link: _Link | None = None
        self._held: dict[bytes, int] = {}
        self._failed: dict[str, set[bytes]] = {}
        # When a request first had to ask again.
        self._asking: dict[str, float] = {}
        # Set while the pool is open and the digest known.
        self._probe: Probe | None = None
        self._load_limit = options.load_queue_mb << 20
        self._retry_at = 0.0
        self._retry_s = options.retry_min_s
        self._ever = False
        self._q = _Queue()
        self._counts = dict.fromkeys(COUNTERS, 0)
        # The caller's own, without the lock.
        self._lookups = self._hits = 0
        self._logged: set[str] = set()
        self._threads: list[threading.Thread] = []
        try:
            self._connect()
        except (KvbmError, OSError, Mismatch, ValueError) as e:
            if options.required:
                self._view.close()
                raise
            self._cannot_open(e)
        for i in range(options.threads):
            only_loads = i == 0 and options.threads > 1
            t = threading.Thread(
                target=self._work,
                args=(only_loads,),
                name=f"kvbm-tier-{i}",
                daemon=True,
            )
            t.start()
            self._threads.append(t)

    # The pool

    def _connect(self) -> None:
        session = Session(self.options.store)
        try:
            info = session.info()
            if info.block_size != 1 or not info.flags & lib.KVBM_CREATE_OPAQUE:
                raise Mismatch(
                    f"store {self.options.store} is not for engines' own "
                    "keys: create the pool with --opaque --block-size 1"
                )
            if info.block_bytes != self.block_bytes:
                has = (
                    f"has {info.block_bytes} bytes a block"
                    if info.block_bytes
                    else "has no payload"
                )
                raise Mismatch(
                    f"store {self.options.store} {has}, and the rows of this "
                    f"engine need {self.block_bytes}: create a pool with "
                    f"--block-bytes {self.block_bytes}; engines whose rows "
                    "differ need a pool each"
                )
            payload = Payload.of_session(session.fileno())
        except BaseException:
            session.close()
            raise
        self._link = _Link(session, payload)
        self._ever = True
        self._retry_s = self.options.retry_min_s

    def _cannot_open(self, e: BaseException) -> None:
        if isinstance(e, (Mismatch, ValueError)):
            self._turn_off(str(e))
            return
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, self.options.retry_max_s)
        self._once(
            f"cannot open pool {self.options.store}: {e}; this engine runs "
            "without it and keeps trying"
        )

    def _turn_off(self, why: str) -> None:
        if self.off is None:
            self.off = why
            self._log.error("kvbm: the tier is off: %s", why)
            self._drop_link()

    def _once(self, text: str) -> None:
        if text not in self._logged and len(self._logged) < 1000:
            self._logged.add(text)
            self._log.error("kvbm: %s", text)

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        self._probe = None
        self._held.clear()
        if link is not None:
            with self._q.lock:
                link.broken = True
                link.put()

    def _lost(self, link: _Link, e: BaseException) -> None:
        """The session or the store is gone: called by the caller's thread."""
        if link is not self._link:
            return
        self._count("lost")
        self._log.error(
            "kvbm: pool %s went away (%s); this engine goes on without it "
            "and tries to open it again",
            self.options.store,
            e,
        )
        self._drop_link()
        self._retry_at = time.monotonic() + self._retry_s

    def _ready(self) -> _Link | None:
        """The open pool, if there is one and its names are known."""
        if self.off is not None:
            return None
        link = self._link
        if link is not None and link.broken:
            self._lost(link, KvbmError(errno.ESHUTDOWN))
            link = None
        if link is None:
            if time.monotonic() < self._retry_at:
                return None
            again = self._ever
            try:
                self._connect()
            except (KvbmError, OSError, Mismatch, ValueError) as e:
                self._cannot_open(e)
                return None
            if again:
                self._count("reopened")
                self._log.warning("kvbm: pool %s is back", self.options.store)
            link = self._link
        if self._digest is None:
            try:
                self._make_digest()
            except Mismatch as e:
                self._turn_off(str(e))
                return None
        return link

    def _make_digest(self) -> None:
        h = hashlib.sha256(b"libkvbm tier 1\0")
        for part in (
            self._identity(),
            (self.options.weights_version or "").encode(),
            self._epoch,
        ):
            h.update(len(part).to_bytes(8, "little"))
            h.update(part)
        self._digest = h.digest()

    def _hash(self, key: bytes, digest: bytes, out: Hashes) -> Hashes:
        n = len(key) - self._group_bytes
        group = int.from_bytes(key[n:], "big")
        return opaque(digest, key[:n], group, out)

    # Counting

    def _count(self, name: str, n: int = 1) -> None:
        with self._q.lock:
            self._counts[name] += n

    def take_counts(self) -> dict[str, int]:
        """Counts since the last call: see COUNTERS."""
        with self._q.lock:
            counts, self._counts = self._counts, dict.fromkeys(COUNTERS, 0)
        counts["lookups"] += self._lookups
        counts["hits"] += self._hits
        self._lookups = self._hits = 0
        return counts

    # What the engine calls

    def lookup(self, key: bytes, request: str) -> Answer:
        """Is the key in the pool? A hit is held until the step's end."""
        link, probe = self._link, self._probe
        if probe is None or link is None or link.broken:
            link = self._ready()
            if link is None:
                return _MISS
            assert self._digest is not None
            probe = self._probe = Probe(
                link.session, self._digest, self._group_bytes
            )
        self._lookups += 1
        # Without the lock: whether it is full is a guess a moment later anyway.
        if self._q.load_bytes >= self._load_limit:
            self._count("lookups_held_back")
            return _MISS
        if self._failed:
            failed = self._failed.get(request)
            if failed is not None and key in failed:
                return _MISS
        if key in self._held:
            return _HIT
        try:
            block = probe.find(key)
        except KvbmError as e:
            self._trouble(link, e)
            return _MISS
        if block >= 0:
            self._held[key] = block
            self._hits += 1
            return _HIT
        return self._pending(request) if block == probe.PENDING else _MISS

    def _pending(self, request: str) -> Answer:
        """Another engine is storing the key: ask again, for a bounded time.

        The bound is per request, whatever it looks up: the claimant may be
        stopped, and an engine defers the whole request while it asks again.
        """
        now = time.monotonic()
        if (
            request not in self._asking
            and len(self._asking) >= self.MAX_REQUESTS
        ):
            del self._asking[next(iter(self._asking))]
        since = self._asking.setdefault(request, now)
        if now - since < self.options.pending_wait_ms / 1000:
            self._count("lookups_pending")
            return Answer.RETRY
        self._count("pending_given_up")
        return Answer.MISS

    def _trouble(self, link: _Link, e: KvbmError) -> None:
        """Handle the error of a call for the link."""
        if e.errno in (errno.ESHUTDOWN, errno.ENODEV, errno.EBADF):
            link.broken = True
            if threading.current_thread() not in self._threads:
                self._lost(link, e)
        elif e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
            self._count("errors")
            self._once(f"an unexpected error: {e}")

    def submit_load(
        self, job: int, keys: Sequence[bytes], rows: Iterable[int], request: str
    ) -> None:
        """Copy keys from the pool into rows; see finished()."""
        link = self._ready()
        work = _Job(
            job,
            True,
            request,
            link,
            [
                (key, self._held.get(key), int(row))
                for key, row in zip(keys, rows, strict=True)
            ],
            self._digest or b"",
        )
        if link is None:
            self._finish(work, [], 0.0)
            return
        self._submit(work)
        # From here on the holds are the job's.
        for key, _, _ in work.rows:
            self._held.pop(key, None)

    def submit_store(
        self, job: int, keys: Sequence[bytes], rows: Iterable[int], request: str
    ) -> None:
        """Copy rows into the pool, unless it has them; see finished()."""
        link = self._ready()
        work = _Job(
            job,
            False,
            request,
            link,
            [
                (key, None, int(row))
                for key, row in zip(keys, rows, strict=True)
            ],
            self._digest or b"",
        )
        if link is None:
            self._count("stores_off", len(work.rows))
            self._finish(work, [], 0.0)
            return
        nbytes = len(work.rows) * self.row_bytes
        with self._q.lock:
            limit = self.options.store_queue_mb << 20
            full = bool(self._q.store_bytes) and (
                self._q.store_bytes + nbytes > limit
            )
        if full:
            self._count("stores_queue_full", len(work.rows))
            self._finish(work, [], 0.0)
            return
        self._submit(work)

    def _submit(self, work: _Job) -> None:
        assert work.link is not None
        work.nbytes = len(work.rows) * self.row_bytes
        with self._q.lock:
            work.link.users += 1
            if work.load:
                self._q.loads.append(work)
                self._q.load_bytes += work.nbytes
            else:
                self._q.stores.append(work)
                self._q.store_bytes += work.nbytes
            # All: the one that would wake may wait for loads only.
            self._q.lock.notify_all()

    def touch(self, keys: Iterable[bytes]) -> None:
        """The engine used these: the pool should keep them."""
        link = self._ready()
        if link is None:
            return
        assert self._digest is not None
        with self._q.lock:
            if len(self._q.touches) < self.MAX_TOUCHES:
                link.users += 1
                self._q.touches.append(_Touch(list(keys), link, self._digest))
                self._q.lock.notify_all()

    def finished(self) -> list[Done]:
        """Jobs that ended since the last call."""
        with self._q.lock:
            ended, self._q.done = self._q.done, []
        for work, done in ended:
            if work.load and not done.success:
                loaded = set(done.keys)
                if (
                    work.request not in self._failed
                    and len(self._failed) >= self.MAX_REQUESTS
                ):
                    del self._failed[next(iter(self._failed))]
                self._failed.setdefault(work.request, set()).update(
                    key for key, _, _ in work.rows if key not in loaded
                )
        return [done for _, done in ended]

    def end_of_step(self) -> None:
        """Release blocks that lookups of this step held and no load took."""
        if not self._held:
            return
        link = self._link
        ids = np.fromiter(reversed(self._held.values()), np.uint32)
        self._held.clear()
        self._count("unused_holds", len(ids))
        if link is not None:
            try:
                link.session.release(ids)
            except KvbmError as e:
                self._trouble(link, e)

    def request_finished(self, request: str) -> None:
        """Forget the request."""
        self._failed.pop(request, None)
        self._asking.pop(request, None)

    @property
    def open(self) -> bool:
        """Whether the pool is in use."""
        link = self._link
        return self.off is None and link is not None and not link.broken

    def busy(self) -> bool:
        """Whether jobs wait, run, or have ended without being reported."""
        with self._q.lock:
            return bool(
                self._q.loads
                or self._q.stores
                or self._q.active
                or self._q.done
            )

    def drain(self) -> None:
        """Wait until no copy is in progress; the engine drops its cache.

        Stores that no thread has begun are dropped. From here on names are
        new, unless the weights stay the same: see Options.on_reset.
        """
        self.end_of_step()
        with self._q.lock:
            self._give_up(self._q.stores)
            while self._q.loads or self._q.active:
                self._q.lock.wait()
        if self.options.on_reset == "epoch" and (
            self.options.weights_version is None
        ):
            self._epoch = os.urandom(16)
            self._digest = None
            self._probe = None
            self._count("epochs")

    def _give_up(self, jobs: deque[_Job]) -> None:
        """End jobs that wait; called under the lock."""
        while jobs:
            work = jobs.popleft()
            if work.load:
                self._q.load_bytes -= work.nbytes
            else:
                self._q.store_bytes -= work.nbytes
            self._end(work, [], 0.0)
            if work.link is not None:
                self._release_rows(work)
                work.link.put()

    def _release_rows(self, work: _Job) -> None:
        ids = [b for _, b, _ in work.rows if b is not None]
        if ids and work.link is not None:
            with contextlib.suppress(KvbmError):
                work.link.session.release(np.array(ids[::-1], np.uint32))

    def shutdown(self) -> None:
        """Join the threads, release the engine's memory, close the pool."""
        with self._q.lock:
            self._q.stop = True
            self._give_up(self._q.loads)
            self._give_up(self._q.stores)
            while self._q.touches:
                self._q.touches.popleft().link.put()
            self._q.lock.notify_all()
        for t in self._threads:
            t.join()
        self._threads = []
        self.end_of_step()
        if self._view is not None:
            self._view.close()
            self._view = None
        if self.off is None:
            self.off = "shut down"
        self._drop_link()

    # The threads

    def _end(
        self, work: _Job, keys: list[bytes], seconds: float, stored: int = 0
    ) -> None:
        """Report a job; called under the lock."""
        load = work.load
        self._q.done.append(
            (
                work,
                Done(
                    work.job,
                    not load or len(keys) == len(work.rows),
                    tuple(keys),
                    seconds,
                    len(keys) * self.row_bytes,
                    load,
                    stored,
                ),
            )
        )
        if load and len(keys) != len(work.rows):
            self._counts["loads_failed"] += len(work.rows) - len(keys)

    def _finish(self, work: _Job, keys: list[bytes], seconds: float) -> None:
        with self._q.lock:
            self._end(work, keys, seconds)

    def _next(self, only_loads: bool) -> _Job | _Touch | None:
        """A job to do, loads first; None to stop. Called under the lock."""
        q = self._q
        while True:
            if q.loads:
                return q.loads.popleft()
            if q.stop:
                return None
            if q.stores and not only_loads:
                return q.stores.popleft()
            if q.touches and not only_loads:
                return q.touches.popleft()
            q.lock.wait()

    def _work(self, only_loads: bool) -> None:
        q = self._q
        while True:
            with q.lock:
                work = self._next(only_loads)
                if work is None:
                    return
                q.active += 1
            keys: list[bytes] = []
            start = time.perf_counter()
            try:
                if isinstance(work, _Touch):
                    self._touch(work)
                elif work.load:
                    keys = self._load(work)
                else:
                    keys = self._store(work)
            except KvbmError as e:
                assert work.link is not None
                self._trouble(work.link, e)
            except Exception as e:
                self._count("errors")
                self._once(f"a copy failed: {e!r}")
            seconds = time.perf_counter() - start
            with q.lock:
                q.active -= 1
                if isinstance(work, _Job):
                    if work.load:
                        q.load_bytes -= work.nbytes
                        self._counts["loaded_bytes"] += (
                            len(keys) * self.row_bytes
                        )
                    else:
                        q.store_bytes -= work.nbytes
                        self._counts["stored_bytes"] += (
                            len(keys) * self.row_bytes
                        )
                    self._end(work, keys, seconds, len(keys))
                if work.link is not None:
                    work.link.put()
                q.lock.notify_all()

    def _load(self, work: _Job) -> list[bytes]:
        """Copy from the pool under the holds: the keys that were loaded."""
        link, view = work.link, self._view
        assert link is not None and view is not None
        n = self.row_bytes
        ids: list[int] = []
        keys: list[bytes] = []
        one = np.zeros(1, np.uint32)
        name = empty(1)
        done = 0
        try:
            for done, (key, block, row) in enumerate(work.rows, 1):  # noqa: B007
                if block is None:
                    # Looked up by another request, whose load took the hold.
                    self._hash(key, work.digest, name)
                    if link.session.match_into(name, one) == 0:
                        continue
                    block = int(one[0])
                ids.append(block)
                view.copy_from(
                    row * n, link.window, block * self.block_bytes, n
                )
                keys.append(key)
        except BaseException:
            # Rows are taken in turn: these are held, and those not reached.
            held = ids + [b for _, b, _ in work.rows[done:] if b is not None]
            with contextlib.suppress(KvbmError):
                link.session.release(np.array(held[::-1], np.uint32))
            raise
        # Only rows held to the end are valid. The head of a prompt becomes
        # inactive last, so its tail is evicted first.
        if ids:
            link.session.release(np.array(ids[::-1], np.uint32))
        return keys

    def _store(self, work: _Job) -> list[bytes]:
        """Copy missing rows to the pool: the keys that were stored."""
        link, view = work.link, self._view
        assert link is not None and view is not None
        n = self.row_bytes
        session = link.session
        hashes = empty(len(work.rows))
        for i, (key, _, _) in enumerate(work.rows):
            self._hash(key, work.digest, hashes[i : i + 1])
        found = session.presence(hashes, pending=True)
        absent = np.flatnonzero(found == Presence.ABSENT)
        pending = int(np.count_nonzero(found == Presence.PENDING))
        self._count("stores_pending", pending)
        self._count("stores_present", len(found) - len(absent) - pending)
        step = max(1, min(self.MAX_CLAIMS, (self.options.stage_mb << 20) // n))
        kept: list[Holds] = []
        keys: list[bytes] = []
        left = len(absent)
        try:
            for at in range(0, len(absent), step):
                part = absent[at : at + step]
                try:
                    blocks = self._blocks(session, len(part))
                except (NoSpace, OverQuota):
                    break
                with blocks:
                    part = part[: len(blocks)]
                    # From here on others see that these are being stored.
                    claims = blocks.claim(hashes[part])
                    mine = claims == Claim.CLAIMED
                    for i, block in zip(
                        part[mine], blocks.ids[mine].tolist(), strict=True
                    ):
                        row = work.rows[i][2]
                        link.window.copy_from(
                            block * self.block_bytes, view, row * n, n
                        )
                    kept.append(blocks.publish(mine, duplicates=False))
                keys += [work.rows[i][0] for i in part[mine]]
                for name, claim in (
                    ("stores_pending", Claim.PENDING),
                    ("stores_present", Claim.PRESENT),
                ):
                    self._count(name, int(np.count_nonzero(claims == claim)))
                left -= len(part)
            self._count("stores_no_room", left)
        except BaseException:
            self._count("stores_failed", left)
            raise
        finally:
            for held in reversed(kept):
                with contextlib.suppress(KvbmError):
                    session.release(held.take()[::-1].copy())
        return keys

    @staticmethod
    def _blocks(session: Session, n: int) -> Blocks:
        """n blocks, or as many as are available: NoSpace for none."""
        while True:
            try:
                return session.alloc(n)
            except NoSpace:
                room = min(session.counts().available, n - 1)
                if room < 1:
                    raise
                n = room

    def _touch(self, work: _Touch) -> None:
        hashes = empty(len(work.keys))
        for i, key in enumerate(work.keys):
            self._hash(key, work.digest, hashes[i : i + 1])
        found = work.link.session.scan(hashes, touch=True)
        ids = found.take()
        ids = ids[ids != NO_BLOCK]
        if len(ids):
            work.link.session.release(ids[::-1].copy())
