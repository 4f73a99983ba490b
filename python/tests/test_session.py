# SPDX-License-Identifier: MIT
"""Sessions against the real module."""

import array
import contextlib
import errno
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
import warnings

import numpy as np
import pytest

import libkvbm
from libkvbm import Kind, Presence, Rank, State

pytestmark = pytest.mark.module


def some_hashes(n, salt="", start=0):
    tokens = np.arange(start, start + n * 16, dtype=np.uint32)
    return libkvbm.chain(tokens, 16, libkvbm.salt_hash("", salt))


def fill(session, hashes):
    """Register and let go."""
    with session.alloc(len(hashes)) as blocks, blocks.register(hashes):
        pass


def test_life_of_blocks(store, session):
    h = some_hashes(4)
    assert len(session.match(h)) == 0
    with session.alloc(4) as blocks:
        assert sorted(blocks) == list(blocks) and len(blocks) == 4
        assert session.block_info(blocks.ids[0]).state is State.MUTABLE
        held = blocks.register(h[:2])
        assert len(held) == 2 and len(blocks) == 2
        info = session.block_info(int(held.ids[1]))
        assert info.state is State.PRIMARY and info.own_holds == 1
        assert (info.hash == h[1]).all()
    # The with statement gave back what was not registered.
    assert store.counts().reset == 14
    with store.open_session() as other, other.match(h) as found:
        assert list(found) == list(held)
        assert session.block_info(int(found.ids[0])).holds == 2
    held.release()
    held.release()
    assert held.released
    assert session.presence(h).tolist() == [
        Presence.INACTIVE,
        Presence.INACTIVE,
        Presence.ABSENT,
        Presence.ABSENT,
    ]
    assert session.reset_inactive() == (2, True)


def test_any_buffer(session):
    """Hashes and ids travel in whatever buffer there is, without a copy."""
    h = some_hashes(3)
    fill(session, h)
    wide = np.empty((3, 2), np.uint64)
    wide[:, 0], wide[:, 1] = h["hi"], h["lo"]
    kinds = (h, wide, memoryview(h), bytearray(h.tobytes()), h.tobytes())
    for hashes in kinds:
        for ids in (np.zeros(3, np.uint32), array.array("I", [0] * 3)):
            assert session.match_into(hashes, ids) == 3
            session.release(ids)
    with pytest.raises(ValueError):
        session.match_into(h, np.zeros(2, np.uint32))
    with pytest.raises((BufferError, ValueError, TypeError)):
        session.match_into(h, bytes(12))
    with pytest.raises((BufferError, ValueError)):
        session.match(np.zeros((6, 2), np.uint64)[::2])


def test_scan_and_weak(session):
    h = some_hashes(5)
    fill(session, h[[0, 2, 4]])
    with session.scan(h, touch=True) as found:
        missing = (found.ids == libkvbm.NO_BLOCK).tolist()
        assert missing == [False, True, False, True, False]
        weak = session.weak(found.ids[[0, 2]])
        with found.retain() as twice:
            assert len(twice) == 3
    with session.upgrade(weak) as again:
        assert list(again) == weak["block"].tolist()
    session.reset_inactive()
    with session.upgrade(weak) as gone:
        assert (gone.ids == libkvbm.NO_BLOCK).all()


def test_duplicates(session):
    h = some_hashes(1)
    with session.alloc(3) as blocks:
        with blocks.register(h) as first:
            with blocks.register(h, duplicates=True) as second:
                assert second.ids[0] != first.ids[0]
            with blocks.register(h, duplicates=False) as third:
                assert third.ids[0] == first.ids[0]
    ids = session.alloc(1).take()
    results = np.empty(1, libkvbm.REGISTERED)
    session.stage(ids, h, tokens=np.array([16], np.uint32))
    session.unstage(ids)
    session.stage(ids, h)
    session.register(ids, results)
    # The first one is idle, and there still.
    assert results["kind"][0] == Kind.DUPLICATE
    session.set_reset(ids, True)
    session.release(ids)
    with session.match(h) as held:
        session.set_reset(held.ids, True)
    assert session.presence(h)[0] == Presence.ABSENT


def test_claims(store, session):
    """One computes a hash, others are told."""
    h = some_hashes(3)
    with store.alloc(1) as blocks, blocks.register(h[:1]):
        pass
    with session.alloc(3) as blocks:
        assert blocks.claim(h).tolist() == [
            libkvbm.Claim.PRESENT,
            libkvbm.Claim.CLAIMED,
            libkvbm.Claim.CLAIMED,
        ]
        assert store.presence(h, pending=True).tolist() == [
            Presence.INACTIVE,
            Presence.PENDING,
            Presence.PENDING,
        ]
        assert (store.presence(h[1:]) == Presence.ABSENT).all()
        ids = np.zeros(3, np.uint32)
        assert store.match_pending_into(h, ids) == (1, 1)
        store.release(ids[:1])
        with store.alloc(1) as late:
            assert late.claim(h[1:2])[0] == libkvbm.Claim.PENDING
        with pytest.raises(libkvbm.TimedOut):
            store.wait(h[1:], timeout=0.05)
        assert store.watch(h).tolist() == [
            Presence.ABSENT,
            Presence.PENDING,
            Presence.PENDING,
        ]
        with blocks.publish([False, True, False]) as held:
            assert len(held) == 1 and len(blocks) == 2
            assert store.match_pending_into(h, ids) == (2, 2)
            store.release(ids[:2])
    # The claim that was given up is nobody's.
    store.wait(h, timeout=0)
    assert store.match_pending_into(h, ids) == (2, 3)
    store.release(ids[:2])


def test_hand_over(store, session):
    """Holds pass on; until they are accepted they are the giver's."""
    h = some_hashes(12)
    fill(session, h)
    free = store.counts().available
    held = session.match(h)
    ids = held.take()
    ticket = session.offer(ids)
    assert len(ticket) == 16
    # The giver's still, and not to be released or offered again.
    for call in (session.release, session.offer):
        with pytest.raises(libkvbm.KvbmError) as e:
            call(ids[:1])
        assert e.value.errno == errno.EBUSY
    with store.open_session() as other:
        # Too little room: it asks again.
        got = other.accept(ticket, room=1)
        assert got.tolist() == ids.tolist()
        for block in ids[[0, -1]].tolist():
            assert session.block_info(block).own_holds == 0
            info = other.block_info(block)
            assert (info.holds, info.own_holds) == (1, 1)
        with pytest.raises(libkvbm.NotHeld):
            session.release(ids[:1])
        # It names nothing any more.
        for call in (other.accept, session.withdraw):
            with pytest.raises(libkvbm.KvbmError) as e:
                call(ticket)
            assert e.value.errno == errno.ENOENT
        back = other.offer(got[:3])
        assert other.withdraw(back) == 3
        other.release(got[:3])
        assert store.counts().available == free - 9
        back = other.offer(got[3:])
    # The giver's end is the offer's.
    with pytest.raises(libkvbm.KvbmError) as e:
        session.accept(back)
    assert e.value.errno == errno.ENOENT
    assert store.counts().available == free


def test_hand_over_to(store, session):
    """To one session alone, which poll(2) wakes; the oldest comes first."""
    h = some_hashes(2)
    fill(session, h)
    with (
        store.open_session() as to,
        store.open_session() as third,
        libkvbm.Store.anonymous(4) as elsewhere,
    ):
        poll = select.poll()
        poll.register(to.fileno(), select.POLLIN)
        assert poll.poll(0) == []
        with pytest.raises(libkvbm.KvbmError) as e:
            to.accept()
        assert e.value.errno == errno.ENOENT
        ids = session.match(h).take()
        tickets = [
            session.offer(ids[:1], to=to),
            session.offer(ids[1:], to=to.fileno()),
        ]
        assert poll.poll(0) == [(to.fileno(), select.POLLIN)]
        with pytest.raises(libkvbm.KvbmError) as e:
            third.accept(tickets[0])
        assert e.value.errno == errno.ENOENT
        assert to.accept().tolist() == ids[:1].tolist()
        assert to.accept(tickets[1]).tolist() == ids[1:].tolist()
        assert poll.poll(0) == []
        to.release(ids)
        for target, why in (
            (session, errno.EINVAL),
            (elsewhere, errno.EXDEV),
            (0, errno.EBADF),
        ):
            with session.match(h) as held:
                with pytest.raises(libkvbm.KvbmError) as e:
                    session.offer(held.ids, to=target)
                assert e.value.errno == why
        with session.alloc(1) as blocks:
            with pytest.raises(libkvbm.KvbmError) as e:
                session.offer(blocks.ids)
            assert e.value.errno == errno.EINVAL
        with pytest.raises(libkvbm.NotHeld):
            session.offer(ids)
        for call in (session.accept, session.withdraw):
            with pytest.raises(ValueError):
                call(b"short")


def test_hand_over_killed():
    """Who dies after the hand-over takes nothing with him."""
    h = some_hashes(4)
    with libkvbm.Store.create("handed", 8) as named, named.open() as s:
        ticket_r, ticket_w = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            t = named.open()
            with t.alloc(4) as blocks:
                ids = blocks.register(h).take()
            tickets = t.offer(ids[:3]) + t.offer(ids[3:])
            os.write(ticket_w, tickets)
            signal.pause()
        tickets = os.read(ticket_r, 32)
        os.close(ticket_r)
        os.close(ticket_w)
        assert len(tickets) == 32
        got = s.accept(tickets[:16])
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with pytest.raises(libkvbm.KvbmError) as e:
            s.accept(tickets[16:])
        assert e.value.errno == errno.ENOENT
        assert s.presence(h).tolist() == [
            *[Presence.ACTIVE] * 3,
            Presence.INACTIVE,
        ]
        s.release(got)
        assert s.counts().available == 8


def test_keep():
    """The lowest rank is evicted first; touching needs no hold."""
    h = some_hashes(8)
    kept = libkvbm.Kept
    pool = libkvbm.Store.anonymous(
        8, policy="lru", retention=True, keep_blocks=3
    )
    with pool as s:
        with s.alloc(8) as blocks, blocks.register(h) as held:
            ids = held.ids.copy()
            assert s.keep(ids[:1], Rank.KEEP)[0] == kept.DONE
        assert s.keep_hashes(h[6:], Rank.FIRST).tolist() == [kept.DONE] * 2
        assert s.keep_hashes(h[1:4], Rank.HIGH, seconds=3600).tolist() == [
            kept.DONE,
            kept.DONE,
            kept.FULL,
        ]
        far = some_hashes(1, start=4096)
        assert s.keep_hashes(far, Rank.KEEP)[0] == kept.ABSENT
        info = s.block_info(int(ids[1]))
        assert info.rank == Rank.HIGH and info.keep_until_ns > 0
        s.touch(h[3:4], newest=True)
        with pytest.raises(libkvbm.NotHeld):
            s.keep(ids[:1], Rank.KEEP)
        with pytest.raises(libkvbm.KvbmError):
            s.keep_hashes(h, Rank.NORMAL, seconds=1)
        with s.alloc(8, evicted=True) as all_of_them:
            gone = all_of_them.evicted["hash"]
            order = [6, 7, 4, 5, 3, 1, 2, 0]
            assert gone.tolist() == h[order].tolist()
    with libkvbm.Store.anonymous(8) as s:
        with pytest.raises(libkvbm.KvbmError) as e:
            s.keep_hashes(h, Rank.KEEP)
        assert e.value.errno == errno.EOPNOTSUPP


def test_invalidate(store, session):
    """By hash, with what goes on from it, everything; held or idle."""
    h = some_hashes(6)
    other = some_hashes(2, "other")
    fill(session, h)
    fill(session, other)
    with store.open_session() as holder, holder.match(h[:2]) as held:
        assert session.invalidate(h[1:2]) == (0, 1)
        # A hash that is gone, and one that never was.
        assert session.invalidate(h[1:2]) == libkvbm.Forgotten(0, 0)
        assert len(session.match(h)) == 1
        info = session.block_info(int(held.ids[1]))
        assert info.state is State.FORGOTTEN and info.holds == 1
        # The others of the chain are there, and no longer found by it.
        assert session.presence(h[2:]).tolist() == [Presence.INACTIVE] * 4
        # Another block under the hash; the chain is whole again.
        fill(session, h[1:2])
        assert session.invalidate(h[1:2], descendants=True) == (5, 0)
        assert session.presence(h).tolist() == [
            Presence.ACTIVE,
            *[Presence.ABSENT] * 5,
        ]
        assert session.presence(other).tolist() == [Presence.INACTIVE] * 2
    blocks = session.alloc(1)
    # h[0], and both of the other prompt.
    assert session.invalidate(everything=True) == (3, 0)
    with pytest.raises(libkvbm.KvbmError) as e:
        blocks.register(h[:1])
    assert e.value.errno == errno.ESTALE and len(blocks) == 1
    blocks.release()
    assert store.counts().reset == store.counts().total
    for bad in (
        {},
        {"hashes": h, "everything": True},
        {"everything": True, "descendants": True},
    ):
        with pytest.raises(ValueError):
            session.invalidate(**bad)
    with pytest.raises(libkvbm.KvbmError) as e:
        session.invalidate(bytes(b"\xff" * 16), descendants=True)
    assert e.value.errno == errno.EINVAL


@pytest.fixture
def named():
    with libkvbm.Store.create("forget", 16) as store:
        yield store
        with store.open() as s:
            assert s.counts().available == 16


def test_invalidate_by_name(named):
    """The same of a named store; opaque hashes; who may not."""
    with named.open() as s:
        h = some_hashes(3)
        fill(s, h)
        assert named.invalidate(h[2:]) == (1, 0)
        assert named.invalidate(h[:1], descendants=True) == (
            2,
            0,
        )
        fill(s, h)
        assert named.invalidate(everything=True) == (3, 0)
    with pytest.raises(libkvbm.NoModule):
        libkvbm.Store("not-there").invalidate(everything=True)
    with libkvbm.Store.anonymous(4, opaque=True) as s:
        h = libkvbm.opaque(None, b"key")
        fill(s, h)
        with pytest.raises(libkvbm.KvbmError) as e:
            s.invalidate(h, descendants=True)
        assert e.value.errno == errno.EOPNOTSUPP
        assert s.invalidate(h) == (1, 0)


def test_invalidate_denied():
    """Somebody who may use the store, and does not own it."""
    with libkvbm.Store.create("theirs", 16, mode=0o660, gid=65534) as store:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                with store.open() as s, contextlib.suppress(libkvbm.NotHeld):
                    status = 2
                    s.invalidate(everything=True)
                    status = 3
                status = 0 if status == 2 else status
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0


def test_probe():
    """Keys one by one: held, absent, claimed; as match() finds them."""
    digest = bytes(range(32))

    def keyed(name, group=7):
        return name + group.to_bytes(4, "big")

    with libkvbm.Store.anonymous(4, opaque=True) as s:
        probe = libkvbm.Probe(s, digest, 4)
        h = np.concatenate([libkvbm.opaque(digest, k, 7) for k in (b"a", b"b")])
        assert probe.find(keyed(b"a")) == probe.ABSENT
        fill(s, h[:1])
        block = probe.find(keyed(b"a"))
        assert s.block_info(block).own_holds == 1
        with s.match(h[:1]) as held:
            assert list(held) == [block]
        s.release(np.array([block], np.uint32))
        for group in range(2000):
            found = probe.find(keyed(b"a", group))
            assert found == (block if group == 7 else probe.ABSENT)
        s.release(np.array([block], np.uint32))
        assert len(probe._groups) <= probe.MAX_GROUPS
        with s.alloc(1) as blocks:
            assert blocks.claim(h[1:]).tolist() == [libkvbm.Claim.CLAIMED]
            assert probe.find(keyed(b"b")) == probe.PENDING
        assert probe.find(keyed(b"b")) == probe.ABSENT
        for key in (b"", b"abc", keyed(b"")):
            with pytest.raises(libkvbm.KvbmError) as e:
                probe.find(key)
            assert e.value.errno == errno.EINVAL
        # No bytes of a group: group 0.
        fill(s, libkvbm.opaque(digest, b"c"))
        block = libkvbm.Probe(s, digest).find(b"c")
        assert block >= 0
        s.release(np.array([block], np.uint32))
        for bad in ((digest[:31], 4), (digest, 5), (digest, -1)):
            with pytest.raises(ValueError):
                libkvbm.Probe(s, *bad)
        assert s.counts().available == 4
    with pytest.raises(libkvbm.ClosedSession):
        probe.find(keyed(b"a"))


def test_evicted(store):
    with store.open_session() as s:
        h = some_hashes(16)
        fill(s, h)
        with s.alloc(5, evicted=True) as blocks:
            gone = set(
                libkvbm.to_ints(np.ascontiguousarray(blocks.evicted["hash"]))
            )
        assert len(gone) == 5 and gone <= set(libkvbm.to_ints(h))
        with s.alloc_free(16) as free:
            assert len(free) == 5


def test_errors(store, session):
    """Each failure has its class; nothing is held after it."""
    with pytest.raises(libkvbm.KvbmError) as e:
        session.alloc(17)
    assert e.value.errno == errno.EINVAL
    # Another session has them: only this thread could end a wait for its own.
    with store.alloc(16):
        with pytest.raises(libkvbm.NoSpace):
            session.alloc(1)
        before = time.monotonic()
        with pytest.raises(libkvbm.TimedOut):
            session.alloc(1, timeout=0.2)
        assert 0.19 < time.monotonic() - before < 5
    with pytest.raises(libkvbm.NotHeld) as e:
        session.release(np.array([0], np.uint32))
    assert e.value.done == 0
    with session.alloc(2) as blocks:
        bad = libkvbm.from_ints([1 << 20, 3 << 126])
        with pytest.raises(libkvbm.KvbmError) as e:
            blocks.register(bad)
        assert e.value.errno == errno.EINVAL and e.value.done == 1
        # The one that was registered was let go again, the other is here.
        assert len(blocks) == 1
    assert store.counts().inactive == 1
    session.close()
    with pytest.raises(libkvbm.ClosedSession):
        session.match(some_hashes(1))
    with pytest.raises(libkvbm.ClosedSession):
        session.fileno()


def test_exception_gives_back(store, session):
    """Whatever flies through a with statement, nothing stays held."""
    h = some_hashes(4)
    with pytest.raises(ZeroDivisionError):
        with session.alloc(4) as blocks, blocks.register(h[:2]):
            1 / 0
    with pytest.raises(KeyboardInterrupt):
        with session.match(h):
            raise KeyboardInterrupt
    c = store.counts()
    assert (c.reset, c.inactive) == (14, 2)


def test_forgotten(store, session):
    """What is forgotten is given back by the garbage collector, loudly."""
    fill(session, some_hashes(1))
    with pytest.warns(ResourceWarning):
        session.match(some_hashes(1))
        session.alloc(3)
    assert store.counts().available == 16
    with pytest.warns(ResourceWarning):
        store.open_session()
    assert len(store.sessions()) == 2


def test_revoked(store, session):
    h = some_hashes(2)
    fill(session, h)
    held = session.match(h)
    mine = session.info().session_id
    assert store.revoke(mine) == 2
    # Nothing is left of it.
    assert store.revoke(mine) == 0
    with pytest.raises(libkvbm.Revoked):
        session.match(h)
    with pytest.raises(libkvbm.Revoked):
        held.release()
    # Leaving a with statement is no reason to hide what flew through it.
    with pytest.raises(ZeroDivisionError):
        with libkvbm.Holds(session, held.ids):
            1 / 0
    session.close()


def test_named_store():
    with libkvbm.Store.create("pytest", 32, policy="lru") as named:
        with pytest.raises(libkvbm.KvbmError) as e:
            libkvbm.Store.create("pytest", 32)
        assert e.value.errno == errno.EEXIST
        with named.open() as s, libkvbm.Session("/dev/kvbm/pytest") as t:
            i = s.info()
            assert (i.name, i.policy, i.total_blocks) == ("pytest", "lru", 32)
            assert t.info().store_id == i.store_id
            assert i.sessions == 2
            fill(s, some_hashes(3))
            assert s.stats()["registrations"] == 3
            assert [x.name for x in libkvbm.Store.list()] == ["pytest"]
            with pytest.raises(libkvbm.KvbmError) as e:
                named.destroy()
            assert e.value.errno == errno.EBUSY
            named.destroy(force=True)
            with pytest.raises(libkvbm.StoreGone):
                s.counts()
        libkvbm.Store.create("pytest", 32)
    with pytest.raises(libkvbm.NoModule):
        named.destroy()


def test_features():
    f = libkvbm.features()
    assert f.flags & 1 and f.max_batch >= 1 << 20 and f.chunk == 64
    assert "lineage_tick" in libkvbm.policies()
    assert libkvbm.version().count(".") == 2


def in_child(work):
    """Run work in a child by fork: its exit status, or its exception."""
    r, w = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os.close(r)
            os.write(w, repr(work()).encode())
        except BaseException as e:
            os.write(w, type(e).__name__.encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        said = f.read()
    os.waitpid(pid, 0)
    return said


def test_fork(store, session):
    """The child's copy is closed, says so, and gives nothing back."""
    h = some_hashes(2)
    fill(session, h)
    with session.match(h) as held:
        assert in_child(lambda: session.match(h)) == "ForkedSession"
        assert in_child(lambda: session.fileno()) == "ForkedSession"
        assert in_child(lambda: held.release()) == "ForkedSession"
        assert in_child(lambda: session.closed) == "True"
        # A descriptor that a child kept would keep the session alive.
        fd = session.fileno()
        assert in_child(lambda: os.fstat(fd)) == "OSError"
        assert session.block_info(int(held.ids[0])).own_holds == 1


def test_fork_inherit(store):
    with store.open_session(inherit=True) as s:
        h = some_hashes(1)
        fill(s, h)
        assert in_child(lambda: len(s.match(h).take())) == "1"
        # The session is one: the parent has what the child took.
        with s.scan(h) as again:
            s.release(again.ids)


def test_killed():
    """When a process is reaped, the kernel has taken back what it had."""
    with libkvbm.Store.create("killed", 8) as named:
        r, w = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            t = named.open()
            t.alloc(5)._session = None
            os.write(w, b"x")
            signal.pause()
        os.read(r, 1)
        os.close(r)
        os.close(w)
        with named.open() as t:
            assert t.counts().available == 3
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            assert t.counts().available == 8


def test_threads(store, session):
    """Threads share a session; waiting lets the others run."""
    h = some_hashes(8)
    fill(session, h)
    errors = []

    def work():
        try:
            for _ in range(100):
                with session.match(h) as held:
                    assert len(held) == 8
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    all_of_them = session.alloc(16)
    threading.Timer(0.2, all_of_them.release).start()
    with session.alloc(1, timeout=None):
        pass


def test_signal_ends_wait(store, session):
    """A handler runs while a thread waits; if it raises, the wait is over."""
    seen = []
    old = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        # Held by itself, it would be told at once that nobody can help.
        with store.open_session() as other, other.alloc(16):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(libkvbm.TimedOut):
                session.alloc(1, timeout=0.3)
            assert seen

            def stop(*_):
                raise InterruptedError

            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(InterruptedError):
                session.alloc(1, timeout=None)
    finally:
        signal.signal(signal.SIGALRM, old)


def test_payload(store, session):
    """Views of blocks: writable where owned, read-only where held."""
    fd = os.memfd_create("pool")
    os.ftruncate(fd, 16 * 4096)
    with libkvbm.Payload(fd, 4096, 16) as payload:
        os.close(fd)
        with pytest.raises(libkvbm.KvbmError) as e:
            session.payload  # noqa: B018
        assert e.value.errno == errno.ENODATA
        session.payload = payload
        h = some_hashes(2)
        with session.alloc(2) as blocks:
            ids = blocks.ids.tolist()
            blocks.view(0)[:5] = b"hello"
            blocks.array(1, np.uint64)[:] = 7
            with blocks.register(h):
                pass
        with session.open_session() as other, other.match(h) as held:
            assert list(held) == ids
            assert bytes(held.view(0)[:5]) == b"hello"
            assert (held.array(1, np.uint64) == 7).all()
            with pytest.raises(TypeError):
                held.view(0)[0] = 1
            with pytest.raises(ValueError):
                held.array(1)[0] = 1
        with pytest.raises(IndexError):
            payload.block(16)
        assert payload.address() % 4096 == 0
    fd = os.memfd_create("small")
    with pytest.raises(ValueError):
        libkvbm.Payload(fd, 4096, 1)
    os.close(fd)


def test_payload_of_the_store():
    """The store keeps the bytes, and each session maps them."""
    make = libkvbm.Store.anonymous
    with make(16, block_bytes=8192) as a, a.open_session() as b:
        assert a.info().block_bytes == 8192
        assert (a.payload.blocks, a.payload.block_bytes) == (16, 8192)
        with a.alloc(1) as blocks:
            blocks.view(0)[8000:8005] = b"hello"
            with blocks.register(some_hashes(1)):
                pass
        with b.match(some_hashes(1)) as held:
            assert bytes(held.view(0)[8000:8005]) == b"hello"
            view = held.view(0)
        payload = b.payload
        b.close()
        # A view in use keeps the mapping.
        assert bytes(view[8000:8005]) == b"hello"
        view.release()
        payload.close()
        with pytest.raises(libkvbm.ClosedSession):
            with make(1) as c:
                c.close()
                c.payload  # noqa: B018
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as f:
        f.truncate(4 * 4096)
        with make(4, block_bytes=4096, payload=f.name) as a:
            a.payload.block(3, writable=True)[:4] = b"file"
            f.seek(3 * 4096)
            assert f.read(4) == b"file"
        with make(4, block_bytes=4096, payload=f.fileno()) as a:
            assert bytes(a.payload.block(3)[:4]) == b"file"
        with pytest.raises(libkvbm.KvbmError) as e:
            make(5, block_bytes=4096, payload=f.name)
        assert e.value.errno == errno.EFBIG
        with pytest.raises(FileNotFoundError):
            make(4, block_bytes=4096, payload="/dev/shm/none")
    with pytest.raises(ValueError):
        make(4, payload=0)
    with pytest.raises(libkvbm.KvbmError) as e:
        make(1 << 20, block_bytes=1 << 30)
    assert e.value.errno == errno.ENOMEM


def test_copy_lets_others_run():
    """64 MiB are copied without keeping other threads from running."""
    n = 64 << 20
    a, b = bytearray(n), bytearray(n)
    source = libkvbm.Window(a)
    target = libkvbm.Window(b, writable=True)
    stop = threading.Event()
    ticks = []

    def tick():
        while not stop.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    t = threading.Thread(target=tick)
    t.start()
    time.sleep(0.02)
    start = time.monotonic()
    target.copy_from(0, source, 0, n)
    end = time.monotonic()
    stop.set()
    t.join()
    inside = [x for x in ticks if start < x < end]
    source.close()
    target.close()
    assert len(inside) >= 3, f"{len(inside)} ticks in {end - start:.3f} s"


def test_notes():
    """What is said of blocks is told with them, and of them alone."""
    h = some_hashes(6)
    rows = np.arange(1, 6 * 20 + 1, dtype=np.uint8).reshape(6, 20)
    pool = libkvbm.Store.anonymous(8, policy="lru", note_bytes=20)
    with pool as s:
        assert s.note_bytes == s.info().note_bytes == 20
        with s.alloc(4) as blocks:
            with blocks.register(h[:3], notes=rows) as held:
                block = int(held.ids[1])
                assert s.note(block).tolist() == rows[1].tolist()
            # Not given: zeroes.
            with blocks.register(h[3:4]):
                pass
        found, notes = s.match_notes(h)
        with found:
            assert len(found) == 4 and notes.shape == (4, 20)
            assert notes[:3].tolist() == rows[:3].tolist()
            assert not notes[3].any()
        found, notes = s.scan_notes(h[::-1].copy())
        with found:
            assert notes[3:].tolist() == rows[2::-1].tolist()
            assert not notes[:3].any()
        # Who claims says it at once; a hash that is there keeps its own.
        with s.alloc(2) as blocks:
            states = blocks.claim(h[3:5], notes=rows[3:5])
            assert states.tolist() == [
                libkvbm.Claim.PRESENT,
                libkvbm.Claim.CLAIMED,
            ]
            with blocks.publish([False, True]):
                pass
        found, notes = s.scan_notes(h)
        with found:
            assert notes[4].tolist() == rows[4].tolist()
            assert not notes[3].any() and not notes[5].any()
        # By id, staged and then registered as it is, or anew.
        with s.alloc(1) as blocks:
            out = np.empty(1, libkvbm.REGISTERED)
            s.stage(blocks.ids, h[5:], notes=rows[5:])
            s.register(blocks.ids, out)
            blocks.take()
        s.release(out["block"].copy())
        found, notes = s.match_notes(h[5:])
        with found:
            assert notes.tolist() == rows[5:].tolist()
        with s.alloc(1) as blocks:
            for bad in (rows[0], rows[:, :19], rows.astype(np.uint16)):
                with pytest.raises(ValueError):
                    blocks.register(h[:1], notes=bad)
            with pytest.raises(ValueError):
                s.stage(blocks.ids, h, tokens=np.ones(1, np.uint32), notes=rows)
    with libkvbm.Store.anonymous(4) as s:
        assert s.note_bytes == 0
        with s.alloc(1) as blocks:
            for call in (
                lambda: blocks.register(h[:1], notes=rows),
                lambda: s.match_notes(h),
                lambda: s.scan_notes(h),
                lambda: s.note(0),
            ):
                with pytest.raises(libkvbm.KvbmError) as e:
                    call()
                assert e.value.errno == errno.EINVAL


def test_notes_are_saved(tmp_path):
    """kvbmctl save and restore keep notes, and refuse a store without."""
    n = 100
    h = some_hashes(n)
    rows = np.random.default_rng(7).integers(0, 256, (n, 19), np.uint8)
    rows[5] = 0
    saved = tmp_path / "saved"

    def kvbmctl(*args):
        return subprocess.run(
            ["kvbmctl", *args], capture_output=True, text=True, check=False
        )

    store = libkvbm.Store.create("noted", 128, policy="lru", note_bytes=19)
    try:
        with (
            store.open() as s,
            s.alloc(n) as blocks,
            blocks.register(h, notes=rows),
        ):
            pass
        got = kvbmctl("save", "noted", str(saved), "--destroy")
        assert got.returncode == 0, got.stderr
        libkvbm.Store.create("noted", 128, policy="lru")
        got = kvbmctl("restore", "noted", str(saved))
        assert got.returncode == 1 and "note" in got.stderr, got.stderr
        store.destroy()
        libkvbm.Store.create("noted", 128, policy="lru", note_bytes=19)
        got = kvbmctl("restore", "noted", str(saved))
        assert got.returncode == 0, got.stderr
        with store.open() as s:
            found, notes = s.match_notes(h)
            with found:
                assert len(found) == n
                assert (notes == rows).all()
    finally:
        with contextlib.suppress(libkvbm.KvbmError):
            store.destroy(force=True)


def test_note_events():
    """Events have notes for who asks, as long as the blocks are there."""
    h = some_hashes(2)
    pool = libkvbm.Store.anonymous(4, policy="lru", note_bytes=5, events=64)
    rows = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], np.uint8)
    with pool as s, s.events(notes=True) as noted, s.events() as plain:
        with s.alloc(2) as blocks, blocks.register(h, notes=rows):
            assert [e.note for e in noted.read()] == [
                bytes(rows[0]),
                bytes(rows[1]),
            ]
        assert [e.note for e in plain.read()] == [None, None]
        s.reset_inactive()
        assert [e.note for e in noted.read()] == [None, None]
    with libkvbm.Store.anonymous(4, events=64) as s:
        with pytest.raises(libkvbm.KvbmError) as e:
            s.events(notes=True)
        assert e.value.errno == errno.EINVAL
