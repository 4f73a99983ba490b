# SPDX-License-Identifier: MIT
"""Waiting for blocks in asyncio, with poll(2) on the descriptor."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .errors import NoSpace, OverQuota, TimedOut
from .holds import Blocks
from .session import Session

if TYPE_CHECKING:
    from .events import Event
    from .payload import Payload


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class AsyncSession(Session):
    """A session whose alloc() is awaited.

    Everything else returns at once, as in Session. Tasks of one AsyncSession
    get their blocks first come first served. Blocking allocations of any
    session go first, because the kernel serves its own queue before it reports
    a descriptor as ready.
    """

    __slots__ = ("_turns",)

    def __init__(
        self,
        store: str | os.PathLike[str] | int,
        *,
        inherit: bool = False,
        payload: Payload | None = None,
    ) -> None:
        """Open a session: see Session."""
        super().__init__(store, inherit=inherit, payload=payload)
        self._turns: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def each_event(
        self, *, start: int = 0, duplicates: bool = False
    ) -> AsyncIterator[Event]:
        """Events of the store as they happen, until it is gone.

        See Session.events(). LOST replaces events that are no longer kept.
        """
        loop = asyncio.get_running_loop()
        with self.events(start=start, duplicates=duplicates) as reader:
            while not reader.ended:
                found = reader.read()
                for event in found:
                    yield event
                if found or reader.ended:
                    continue
                ready: asyncio.Future[None] = loop.create_future()
                loop.add_reader(reader.fileno(), _wake, ready)
                try:
                    await ready
                finally:
                    loop.remove_reader(reader.fileno())

    async def alloc(  # type: ignore[override]
        self, n: int, *, timeout: float | None = None, evicted: bool = False
    ) -> Blocks:
        """Allocate n blocks, all or none; wait for them.

        timeout: seconds, None: for ever; then TimedOut. Cancelling the task
        ends the wait, and takes nothing.

        Raises as Session.alloc(), except NoSpace. With a limit on held
        blocks it waits until the session holds few enough.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        current = [turn]

        def expire() -> None:
            if not current[0].done():
                current[0].set_exception(
                    TimedOut(errno.ETIMEDOUT, f"alloc {n}")
                )

        timer = None if timeout is None else loop.call_later(timeout, expire)
        self._turns.append(turn)
        if len(self._turns) == 1:
            turn.set_result(None)
        try:
            await turn
            self.set_low_watermark(max(n, 1))
            while True:
                try:
                    return super().alloc(n, timeout=0, evicted=evicted)
                except (NoSpace, OverQuota):
                    pass
                current[0] = loop.create_future()
                await self._writable(loop, current[0])
        finally:
            if timer is not None:
                timer.cancel()
            self._turns.remove(turn)
            for next_turn in self._turns:
                if not next_turn.done():
                    next_turn.set_result(None)
                    break

    async def _writable(
        self, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None]
    ) -> None:
        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        fd = self.fileno()
        loop.add_writer(fd, wake)
        try:
            await ready
        finally:
            loop.remove_writer(fd)
