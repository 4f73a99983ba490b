# SPDX-License-Identifier: MIT
"""A store's events, from the real module."""

import asyncio
import errno
import select

import numpy as np
import pytest

import libkvbm
from libkvbm import Change, Reason
from libkvbm.aio import AsyncSession

pytestmark = pytest.mark.module


def hashes(n, start=0):
    tokens = np.arange(start, start + n * 16, dtype=np.uint32)
    return libkvbm.chain(tokens, 16)


def fill(session, h, **how):
    with session.alloc(len(h)) as blocks, blocks.register(h, **how):
        pass


def test_events():
    """Stored once, removed once, in order; poll tells of them."""
    with libkvbm.Store.anonymous(8, events=64) as a:
        with a.events() as reader:
            poll = select.poll()
            poll.register(reader.fileno(), select.POLLIN)
            assert reader.read() == [] and not poll.poll(0)
            h = hashes(8)
            fill(a, h)
            assert poll.poll(10000)
            said = reader.read()
            assert [e.change for e in said] == [Change.STORED] * 8
            assert [e.hash for e in said] == libkvbm.to_ints(h)
            assert [e.seq for e in said] == list(range(1, 9))
            assert {e.session for e in said} == {a.info().session_id}
            assert sorted(reader.snapshot()) == sorted(libkvbm.to_ints(h))
            with a.alloc(1):
                (gone,) = reader.read()
            assert gone.change is Change.REMOVED
            assert gone.reason is Reason.EVICTED
            assert gone.hash in libkvbm.to_ints(h)
            assert gone.hash not in reader.snapshot()
            # A second block of a hash, for who asked.
            with a.events(duplicates=True) as other:
                with a.match(h[:1]), a.alloc(1) as blocks:
                    with blocks.register(h[:1], duplicates=True):
                        pass
                assert [e.change for e in other.read()] == [
                    Change.DUPLICATE,
                    Change.DUPLICATE_GONE,
                ]
            assert reader.read() == []
            # Another reader goes on where this one is.
            at = reader.position
            a.reset_inactive()
            first = [e.hash for e in reader.read()]
            with a.events(start=at) as again:
                assert [e.hash for e in again.read()] == first
        with pytest.raises(libkvbm.ClosedSession):
            reader.read()


def test_lost():
    """Who is too slow is told, takes a snapshot, and is right again."""
    with libkvbm.Store.anonymous(16, events=64) as a:
        with a.events() as reader:
            for i in range(20):
                fill(a, hashes(8, 1000 * i))
            said = reader.read()
            assert said[0].change is Change.LOST and said[0].lost > 0
            assert len(said) <= 65
            present = set(reader.snapshot())
            for e in said[1:]:
                if e.change is Change.STORED:
                    present.add(e.hash)
                else:
                    present.discard(e.hash)
            everything = libkvbm.to_ints(
                np.concatenate([hashes(8, 1000 * i) for i in range(20)])
            )
            found = a.presence(libkvbm.from_ints(everything))
            there = {h for h, p in zip(everything, found, strict=True) if p}
            assert present == there and len(there) == 16


def test_none():
    """A store without events; positions that are yet to come."""
    with libkvbm.Store.anonymous(8) as a:
        with pytest.raises(libkvbm.KvbmError) as e:
            a.events()
        assert e.value.errno == errno.ENODATA
    with libkvbm.Store.anonymous(8, events=64) as a:
        with pytest.raises(libkvbm.KvbmError) as e:
            a.events(start=99)
        assert e.value.errno == errno.EINVAL
    with pytest.raises(libkvbm.KvbmError):
        libkvbm.Store.anonymous(8, events=65)


def test_async():
    """An iterator, which ends with the store."""

    async def work():
        h = hashes(4)
        libkvbm.Store.create("events", 8, events=64)
        async with AsyncSession("events") as a:
            seen = []

            async def follow():
                async for e in a.each_event():
                    seen.append(e)

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.05)
            with libkvbm.Session("events") as b:
                fill(b, h)
            while len(seen) < 4:
                await asyncio.sleep(0.01)
            libkvbm.Store("events").destroy(force=True)
            await asyncio.wait_for(task, 20)
            return seen

    seen = asyncio.run(work())
    assert [e.change for e in seen[:4]] == [Change.STORED] * 4
    assert seen[-1].change in (Change.CLEARED, Change.REMOVED)
