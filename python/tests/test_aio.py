# SPDX-License-Identifier: MIT
"""Waiting in asyncio."""

import asyncio

import pytest

import libkvbm
from libkvbm.aio import AsyncSession

pytestmark = pytest.mark.module


@pytest.fixture
def named():
    with libkvbm.Store.create("aio", 16) as store:
        yield store
        with store.open() as s:
            assert s.counts().available == 16


def test_alloc(named):
    async def main():
        async with AsyncSession("aio") as a, AsyncSession("aio") as b:
            held = await a.alloc(10)
            order = []

            async def want(n):
                with await b.alloc(n):
                    order.append(n)
                    await asyncio.sleep(0)

            tasks = [asyncio.create_task(want(n)) for n in (12, 1, 8)]
            await asyncio.sleep(0.05)
            # First come, first served: the small ones do not overtake.
            assert order == []
            held.release()
            await asyncio.wait_for(asyncio.gather(*tasks), 10)
            assert order == [12, 1, 8]

    asyncio.run(main())


def test_timeout_and_cancel(named):
    async def main():
        async with AsyncSession("aio") as a, AsyncSession("aio") as b:
            with await a.alloc(16):
                with pytest.raises(libkvbm.TimedOut):
                    await b.alloc(1, timeout=0.05)
                first = asyncio.create_task(b.alloc(1))
                second = asyncio.create_task(b.alloc(1, timeout=0.1))
                await asyncio.sleep(0.02)
                first.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await first
                with pytest.raises(libkvbm.TimedOut):
                    await second
            with await b.alloc(1, timeout=1):
                pass
            with pytest.raises(libkvbm.KvbmError):
                await b.alloc(17, timeout=1)

    asyncio.run(main())


def test_closed_while_waiting(named):
    """The loop has no descriptor left of a session that was closed."""

    async def main():
        async with AsyncSession("aio") as a:
            with await a.alloc(16):
                async with AsyncSession("aio") as b:
                    task = asyncio.create_task(b.alloc(1))
                    await asyncio.sleep(0.02)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
