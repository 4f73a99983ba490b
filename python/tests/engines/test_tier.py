# SPDX-License-Identifier: MIT
"""vLLM's tiering manager drives the tier, on the real module."""

import hashlib
import json
import os
import random
import resource
import signal
import threading
import time
import traceback
import warnings

import numpy as np
import pytest
from engine import ROW, Engine, WrongBytes, content, prompt, spec
from vllm.v1.kv_offload.base import LookupResult, ReqContext

import libkvbm
import libkvbm.tier
from libkvbm import payload as payload_module

pytestmark = pytest.mark.module


def children(work, n):
    """work(i) in n processes by fork: what they returned, and their status."""
    started = []
    for i in range(n):
        r, w = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            status = 0
            os.close(r)
            try:
                said = json.dumps(work(i))
            except BaseException:
                said = json.dumps(traceback.format_exc())
                status = 1
            os.write(w, said.encode())
            os._exit(status)
        os.close(w)
        started.append((pid, r))
    results = []
    for pid, r in started:
        with os.fdopen(r) as f:
            said = f.read()
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code <= 0, json.loads(said)
        results.append((code, json.loads(said) if said else None))
    return results


def ctx_of(name):
    return ReqContext(req_id=name)


class Gate:
    """Copies wait until it is open; says what was copied, in order."""

    def __init__(self, monkeypatch):
        self.open = threading.Event()
        self.copies = []
        self.waiting = threading.Event()
        copy = payload_module.Window.copy_from

        def slow(window, at, source, start, n):
            self.waiting.set()
            assert self.open.wait(60)
            copy(window, at, source, start, n)
            self.copies.append((window, at))

        monkeypatch.setattr(payload_module.Window, "copy_from", slow)


class Clock:
    """Instead of the module time: goes on as a test says."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self):
        self.now = self.step = 0.0

    def monotonic(self):
        self.now += self.step
        return self.now


class Waits:
    """How often this thread gave the processor up in the `with` block."""

    def __init__(self):
        self.count = 0

    @staticmethod
    def _now():
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    def __enter__(self):
        self.count -= self._now()

    def __exit__(self, *_):
        self.count += self._now()


def counts_of(name):
    with libkvbm.Session(name) as s:
        return s.counts()


def test_one_engine(pool):
    """Stored, forgotten by the primary tier, found in the pool again."""
    e = Engine(**pool())
    keys = prompt("a", 8)
    assert e.request(keys) == 0
    e.forget()
    assert e.request(keys) == 8
    assert e.counts["checked"] == 8
    e.forget()
    assert e.request(prompt("a", 12)) == 8
    e.idle()
    c = e.core.take_counts()
    assert c["stored_bytes"] == 12 * ROW and c["loaded_bytes"] == 16 * ROW
    assert not c["errors"] and not c["loads_failed"]
    e.close()
    # The view of the primary tier is released: nothing of ours is in the way.
    with pytest.raises(ValueError):
        e.primary.get_kv_memoryview()[0]


def test_four_engines(pool, capsys):
    """Four processes share a pool that is smaller than what they ask for."""
    where = pool(blocks=96)

    def work(i):
        rng = random.Random(i)
        e = Engine(chunks=24, **where)
        for _ in range(60):
            name = f"p{int(rng.paretovariate(0.7)) % 24}"
            e.request(prompt(name, rng.randint(1, 8)))
        e.idle()
        counts = {**e.counts, **e.core.take_counts()}
        e.close()
        return counts

    said = [c for _, c in children(work, 4)]
    total = {k: sum(c[k] for c in said) for k in said[0]}
    with capsys.disabled():
        print("#", json.dumps(total))
    with libkvbm.Session("pool") as s:
        stats = s.stats()
    assert stats["evictions"] > 0, "no pressure"
    assert stats["duplicate_blocks"] == 0
    assert total["loaded_bytes"] > 0 and total["checked"] > 0
    assert not total["errors"] and not total["loads_failed"]


def test_stored_once(pool):
    """What the pool has is not copied to it again."""
    where = pool()
    a, b = Engine(**where), Engine(**where)
    keys = prompt("once", 6)
    # Both compute it: neither finds it in the pool.
    for e in (a, b):
        e.manager.on_new_request(ctx_of("once"))
        rows = e.manager.prepare_store(keys, ctx_of("once")).store_spec
        for key, chunk in zip(keys, rows.chunk_ids, strict=True):
            e.region.rows[chunk] = content(key)
        e.manager.complete_store(keys, ctx_of("once"))
        e.manager.on_request_finished(ctx_of("once"))
        e.idle()
    assert a.core.take_counts()["stored_bytes"] == 6 * ROW
    c = b.core.take_counts()
    assert c["stored_bytes"] == 0 and c["stores_present"] == 6
    for e in (a, b):
        e.forget()
        assert e.request(keys) == 6
        e.close()


def test_groups():
    """The tier takes keys apart as vLLM does."""
    from vllm.v1.kv_offload.base import (
        get_offload_block_hash,
        get_offload_group_idx,
        make_offload_key,
    )

    from libkvbm.vllm import _GROUP_BYTES

    for group in (0, 1, 258, (1 << 32) - 1):
        key = make_offload_key(b"x" * 32, group)
        assert get_offload_block_hash(key) == key[:-_GROUP_BYTES]
        assert get_offload_group_idx(key) == group
        assert int.from_bytes(key[-_GROUP_BYTES:], "big") == group


def test_warm_restart(pool):
    """New engines find what the old ones stored."""
    where = pool()

    def store(i):
        e = Engine(**where)
        e.request(prompt(f"w{i}", 6))
        e.close()

    def find(i):
        e = Engine(**where)
        hits = [e.request(prompt(f"w{k}", 6)) for k in range(4)]
        e.close()
        return hits

    children(store, 4)
    assert [h for _, h in children(find, 2)] == [[6] * 4] * 2


@pytest.mark.parametrize("load", [False, True])
def test_killed(pool, load, monkeypatch):
    """SIGKILL half-way through a copy, while the others go on."""
    where = pool()
    keys = prompt("k", 6)
    if load:

        def first(_):
            e = Engine(**where)
            e.request(keys)
            e.close()

        children(first, 1)

    def victim(_):
        copy = payload_module.Window.copy_from
        seen = []

        def half(self, at, source, start, n):
            seen.append(1)
            if len(seen) == 3:
                copy(self, at, source, start, n // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            copy(self, at, source, start, n)

        payload_module.Window.copy_from = half
        e = Engine(**where)
        e.request(keys)
        e.idle()
        return "not killed"

    def other(_):
        e = Engine(**where)
        hits = []
        for n in range(10):
            hits.append(e.request(prompt(f"o{n % 3}", 4)))
            e.forget()
            e.request(keys[:2])
            e.forget()
        e.close()
        return hits

    pids = children(lambda i: (victim if i == 0 else other)(i), 3)
    assert pids[0] == (-signal.SIGKILL, None)
    assert [code for code, _ in pids[1:]] == [0, 0]
    # What was half stored is nobody's; what had been held is given back.
    assert counts_of("pool").available == 64

    def check(_):
        e = Engine(**where)
        n = e.request(keys)
        e.close()
        return n

    # Bytes are checked; how much is there depends on who came first.
    assert children(check, 1)[0][1] <= 6


def test_digests(pool):
    """Engines whose bytes differ do not find each other's blocks."""
    where = pool()
    keys = prompt("d", 5)
    a = Engine(model="A", **{**where, "revision": "A"})
    a.request(keys)
    a.idle()
    others = [
        Engine(model="B", **{**where, "revision": "B"}),
        # Of the same revision: only the weights' version differs.
        Engine(model="C", **{**where, "revision": "A"}, weights_version="2"),
        Engine(
            model="D",
            the_spec=spec(
                groups=(
                    __import__("engine").OffloadingGroupConfig(
                        16, ("layer.1", "layer.0"), 0
                    ),
                )
            ),
            **where,
        ),
    ]
    for b in others:
        assert b.request(keys) == 0
        b.forget()
        assert b.request(keys) == 5
    a.forget()
    assert a.request(keys) == 5
    twin = Engine(model="A", **{**where, "revision": "A"})
    assert twin.request(keys) == 5
    for e in (a, twin, *others):
        e.close()


def test_wrong_bytes_are_seen(pool):
    """The check of this file: a block that changed is noticed."""
    where = pool()
    e = Engine(**where)
    keys = prompt("x", 2)
    e.request(keys)
    e.forget()
    with libkvbm.Session(where["store"]) as s:
        for block in range(8):
            s.payload.block(block, writable=True)[:] = b"\xff" * ROW
    with pytest.raises(WrongBytes):
        e.request(keys)
    e.idle()
    e.close()


def test_full_pool(pool):
    """No room: nothing is stored, nothing waits, the engine goes on."""
    where = pool(blocks=8)
    e = Engine(**where)
    with libkvbm.Session("pool") as s:
        with s.alloc(5):
            e.request(prompt("f", 6))
            e.idle()
            c = e.core.take_counts()
            # As many as there was room for, from the head.
            assert c["stored_bytes"] == 3 * ROW and c["stores_no_room"] == 3
            e.forget()
            assert e.request(prompt("f", 6)) == 3
            e.idle()
    e.close()


def test_unused_holds(pool):
    """A promotion that the primary tier has no room for leaks nothing."""
    where = pool()
    a = Engine(**where)
    a.request(prompt("u", 8))
    a.idle()
    # Two rows only: vLLM finds more in the pool than it can take.
    b = Engine(chunks=2, **where)
    b.request(prompt("u", 8))
    b.idle()
    c = b.core.take_counts()
    assert c["hits"] > 2 and c["unused_holds"] > 0
    with libkvbm.Session("pool") as s:
        assert not [x for x in s.sessions() if x.held]
    a.close()
    b.close()


def test_reset(pool):
    """New weights: an epoch of its own, unless the operator knows better."""
    where = pool()
    keys = prompt("e", 4)

    def hits_after_reset(**options):
        e = Engine(**{**where, **options})
        e.request(keys)
        e.idle()
        e.manager.reset_cache()
        # Until vLLM says that its workers are done, newer releases hold
        # promotions.
        if hasattr(e.manager, "on_reset_flushed"):
            e.manager.on_reset_flushed()
        n = e.request(keys)
        e.close()
        return n

    assert hits_after_reset() == 0
    assert hits_after_reset(on_reset="keep") == 4
    assert hits_after_reset(weights_version="7") == 4
    with pytest.raises(ValueError):
        hits_after_reset(on_reset="guess")


def test_revoked_while_loading(pool, monkeypatch):
    """The block may be another's by now: the load fails, and then misses."""
    where = pool()
    e = Engine(**where, retry_min_s=0.01)
    keys = prompt("v", 4)
    e.request(keys)
    e.forget()
    copy = payload_module.Window.copy_from

    def steal(self, at, source, start, n):
        with libkvbm.Session("pool") as s:
            for x in s.sessions():
                if x.session_id != s.info().session_id:
                    s.revoke(x.session_id)
        monkeypatch.setattr(payload_module.Window, "copy_from", copy)
        copy(self, at, source, start, n)

    monkeypatch.setattr(payload_module.Window, "copy_from", steal)
    assert e.request(keys) == 0
    e.idle()
    c = e.core.take_counts()
    assert c["loads_failed"] >= 1 and c["lost"] == 1
    reopened = c["reopened"]
    time.sleep(0.05)
    # It opens the pool again, where the blocks still are.
    e.forget()
    assert e.request(keys) == 4
    assert reopened + e.core.take_counts()["reopened"] == 1
    e.close()


def test_destroyed_and_back(pool):
    """The store goes away and comes back: MISS meanwhile, and no exception."""
    where = pool()
    e = Engine(**where, retry_min_s=0.01, retry_max_s=0.02)
    keys = prompt("g", 4)
    e.request(keys)
    e.forget()
    libkvbm.Store("pool").destroy(force=True)
    assert e.request(keys) == 0
    e.forget()
    assert e.request(keys) == 0
    e.idle()
    c = e.core.take_counts()
    assert c["lost"] == 1 and c["stores_off"] > 0
    stats = e.tier.get_stats()
    assert stats.data["data"]["vllm:kv_offload_kvbm_on"][()] == 0
    libkvbm.Store.create("pool", 64, block_size=1, opaque=True, block_bytes=ROW)
    time.sleep(0.05)
    e.forget()
    e.request(keys)
    e.forget()
    assert e.request(keys) == 4
    e.close()


def test_queues_are_bounded(pool, monkeypatch):
    """A slow pool: stores are skipped and look-ups miss, all return at once."""
    row = 1 << 20
    where = pool(blocks=16, row=row)
    e = Engine(
        chunks=16,
        row=row,
        **where,
        store_queue_mb=2,
        load_queue_mb=1,
        threads=1,
    )
    gate = __import__("threading").Event()
    copy = payload_module.Window.copy_from

    def slow(self, at, source, start, n):
        gate.wait(20)
        copy(self, at, source, start, n)

    monkeypatch.setattr(payload_module.Window, "copy_from", slow)
    start = time.monotonic()
    for i in range(4):
        e.request(prompt(f"q{i}", 2))
    assert time.monotonic() - start < 10
    assert e.core.take_counts()["stores_queue_full"] == 6
    gate.set()
    e.forget()
    gate.clear()
    ctx = ReqContext(req_id="bound")
    e.manager.on_new_request(ctx)
    assert e.manager.lookup(prompt("q0", 1)[0], ctx) is LookupResult.HIT_PENDING
    e.step()
    assert e.manager.lookup(prompt("q0", 2)[1], ctx) is LookupResult.MISS
    assert e.core.take_counts()["lookups_held_back"] == 1
    gate.set()
    e.idle()
    e.manager.on_request_finished(ctx)
    e.close()


def test_loads_first(pool, monkeypatch):
    """A load goes before the stores that wait already."""
    where = pool()
    e = Engine(threads=1, **where)
    e.request(prompt("first", 1))
    e.forget()
    gate = Gate(monkeypatch)
    row = e.core.submit_store
    row(1, prompt("s1", 1), [0], "r")
    assert gate.waiting.wait(20)
    row(2, prompt("s2", 1), [1], "r")
    assert e.core.lookup(prompt("first", 1)[0], "r").value
    e.core.submit_load(3, prompt("first", 1), [2], "r")
    gate.open.set()
    done = []
    end = time.monotonic() + 30
    while len(done) < 3:
        assert time.monotonic() < end
        done += e.core.finished()
        time.sleep(0.001)
    assert [d.job for d in done] == [1, 3, 2]
    e.close()


def test_drain(pool, monkeypatch):
    """After it no copy touches the engine's rows, and each job is reported."""
    where = pool()
    e = Engine(threads=2, **where)
    e.request(prompt("d", 2))
    e.forget()
    gate = Gate(monkeypatch)
    assert e.core.lookup(prompt("d", 1)[0], "r").value
    e.core.submit_load(7, prompt("d", 1), [3], "r")
    e.core.submit_store(8, prompt("x", 2), [4, 5], "r")
    e.core.submit_store(9, prompt("y", 2), [6, 7], "r")
    assert gate.waiting.wait(20)
    threading.Timer(0.5, gate.open.set).start()
    e.core.drain()
    before = len(gate.copies)
    assert gate.open.is_set() and before
    assert sorted(d.job for d in e.core.finished()) == [7, 8, 9]
    time.sleep(0.2)
    assert len(gate.copies) == before
    e.close()


def test_shutdown(pool, monkeypatch):
    """In the middle of copies: threads are joined, the view is let go."""
    where = pool()
    e = Engine(threads=2, **where)
    threads = list(e.core._threads)
    gate = Gate(monkeypatch)
    for i in range(4):
        e.core.submit_store(i, prompt(f"down{i}", 2), [2 * i, 2 * i + 1], "r")
    assert gate.waiting.wait(20)
    threading.Timer(0.5, gate.open.set).start()
    e.tier.shutdown()
    assert not any(t.is_alive() for t in threads)
    e.primary.shutdown()
    with libkvbm.Session("pool") as s:
        assert len(s.sessions()) == 1
    # Whatever is called afterwards is harmless.
    e.tier.lookup(prompt("down0", 1)[0], ctx_of("r"))
    e.tier.drain_jobs()
    e.tier.shutdown()
    assert not e.tier.has_pending_work()


def test_touch(pool):
    """What the engine uses in its own cache stays in the pool."""
    where = pool(blocks=8)
    e = Engine(**where)
    for name in "ab":
        e.request(prompt(name, 4))
        e.idle()
    e.tier.touch(prompt("a", 4), ctx_of("t"))
    q = e.core._q
    end = time.monotonic() + 30
    while q.touches or q.active:
        assert time.monotonic() < end
        time.sleep(0.001)
    e.request(prompt("c", 4))
    e.forget()
    assert e.request(prompt("a", 4)) == 4
    e.forget()
    assert e.request(prompt("b", 4)) == 0
    e.close()


def test_failed_keys_are_forgotten(pool, monkeypatch):
    """Only the request whose load failed misses, and only until its end."""
    where = pool()
    e = Engine(**where)
    keys = prompt("fail", 2)
    e.request(keys)
    e.forget()

    def fail(*_):
        raise IndexError

    with monkeypatch.context() as m:
        m.setattr(payload_module.Window, "copy_from", fail)
        e.manager.on_new_request(ctx_of("one"))
        assert e.find(keys, ctx_of("one")) == 0
    assert e.find(keys, ctx_of("one")) == 0
    e.idle()
    e.manager.on_new_request(ctx_of("two"))
    assert e.find(keys, ctx_of("two")) == 2
    for name in ("one", "two"):
        e.manager.on_request_finished(ctx_of(name))
    assert not e.core._failed
    e.close()


def test_away_for_long(pool, caplog, monkeypatch):
    """Says so once, and does not try each time."""
    opened = []
    session = libkvbm.tier.Session

    def count(*args):
        opened.append(1)
        return session(*args)

    monkeypatch.setattr(libkvbm.tier, "Session", count)
    e = Engine(store="nowhere", retry_min_s=0.2, retry_max_s=0.4)
    for i in range(50):
        assert e.request(prompt(f"away{i}", 2)) == 0
        time.sleep(0.01)
    e.idle()
    assert 2 <= len(opened) <= 8, opened
    assert caplog.text.count("cannot open pool nowhere") == 1
    counts = e.core.take_counts()
    assert counts["stores_off"] == 100 and counts["lost"] == 0
    e.close()


def test_pending(pool):
    """What another engine is storing is waited for, not for long."""
    where = pool()
    e = Engine(**where, pending_wait_ms=300)
    keys = prompt("p", 2)
    e.request(prompt("other", 1))
    e.idle()
    names = libkvbm.empty(2)
    for i, key in enumerate(keys):
        e.core._hash(key, e.core._digest, names[i : i + 1])

    def ask(request):
        return e.tier.lookup(keys[1], ctx_of(request))

    with libkvbm.Session("pool") as s, s.alloc(2) as blocks:
        assert (blocks.claim(names) == libkvbm.Claim.CLAIMED).all()
        start = time.monotonic()
        assert ask("slow") is LookupResult.RETRY
        while ask("slow") is LookupResult.RETRY:
            assert time.monotonic() - start < 20
            time.sleep(0.01)
        assert time.monotonic() - start >= 0.3
        # Whatever else it asks for; another request has time of its own.
        assert e.tier.lookup(keys[0], ctx_of("slow")) is LookupResult.MISS
        assert ask("late") is LookupResult.RETRY
        for i in range(2):
            blocks.view(i)[:] = content(keys[i]).tobytes()
        blocks.publish([True, True]).release()
    assert ask("late") is LookupResult.HIT
    e.step()
    for name in ("slow", "late"):
        e.tier.on_request_finished(ctx_of(name))
    assert not e.core._asking
    assert e.request(keys) == 2
    c = e.core.take_counts()
    assert c["lookups_pending"] >= 2 and c["pending_given_up"] == 2
    # Who gives up, or dies, leaves nothing to wait for.
    more = prompt("q", 1)
    name = libkvbm.empty(1)
    e.core._hash(more[0], e.core._digest, name)
    with libkvbm.Session("pool") as s, s.alloc(1) as blocks:
        blocks.claim(name)
    assert e.tier.lookup(more[0], ctx_of("x")) is LookupResult.MISS
    e.close()
    with pytest.raises(ValueError):
        Engine(**where, pending_wait_ms=-1)


def test_stopped_engine(pool):
    """An engine that was stopped in the middle of a store holds up nobody."""
    where = pool(blocks=16)
    keys = prompt("s", 4)

    def victim():
        copy = payload_module.Window.copy_from

        def stop(self, at, source, start, n):
            copy(self, at, source, start, n // 2)
            payload_module.Window.copy_from = copy
            # This thread: else it may copy on while another takes it.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            copy(self, at, source, start, n)

        payload_module.Window.copy_from = stop
        e = Engine(**where)
        e.request(keys)
        e.close()

    def other(_):
        e = Engine(**where, pending_wait_ms=125)
        e.request(prompt("first", 1))
        e.idle()
        e.core.take_counts()
        clock = Clock()
        libkvbm.tier.time = clock
        waits = Waits()
        # One look-up after the other: time of a request is that of them all.
        with waits:
            for now, key, wanted in (
                (0, 1, LookupResult.RETRY),
                (50, 1, LookupResult.RETRY),
                (100, 3, LookupResult.RETRY),
                (124, 2, LookupResult.RETRY),
                (125, 2, LookupResult.MISS),
                (125, 1, LookupResult.MISS),
                (126, 0, LookupResult.MISS),
                (9999, 3, LookupResult.MISS),
            ):
                clock.now = now / 1000
                assert e.tier.lookup(keys[key], ctx_of("one")) is wanted
            # However many: none waits in the kernel.
            for i in range(500):
                found = e.tier.lookup(keys[i % 4], ctx_of(f"n{i}"))
                assert found is LookupResult.RETRY
        # Through vLLM's manager, with 64 steps a second.
        clock.now = 16.0
        ctx = ctx_of("steps")
        e.manager.on_new_request(ctx)
        steps = 0
        with waits:
            while e.manager.lookup(keys[0], ctx) is not LookupResult.MISS:
                steps += 1
                assert steps <= 8, "held back for longer"
                clock.now += 1 / 64
                e.step()
        e.manager.on_request_finished(ctx)
        # It computes what the other is storing, and does not store it.
        clock.step = 1 / 64
        assert e.request(keys) == 0
        e.idle()
        counts = e.core.take_counts()
        e.request(prompt("t", 4))
        e.forget()
        found = e.request(prompt("t", 4))
        e.close()
        return [steps, found, waits.count, counts]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            victim()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, os.WUNTRACED)
    try:
        assert os.WIFSTOPPED(status)
        said = [s for _, s in children(other, 2)]
        for steps, found, waits, counts in said:
            assert steps == 8 and found == 4, said
            assert waits < 50, said
            assert counts["stores_pending"] == 4, said
            assert counts["stored_bytes"] == 0, said
    finally:
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert counts_of("pool").available == 16


def test_options():
    """Wrong options end the start; a missing pool does not, unless required."""
    with pytest.raises(TypeError, match="no option 'stor'"):
        Engine(store="nowhere", stor=1)
    with pytest.raises(ValueError):
        Engine(store="nowhere", threads=0)
    with pytest.raises(libkvbm.NoModule):
        Engine(store="nowhere", required=True)
    e = Engine(store="nowhere")
    assert e.request(prompt("n", 3)) == 0
    e.idle()
    e.close()


def test_other_rows(pool, caplog):
    """A pool of other rows is refused, and what to do is said."""
    e = Engine(**pool(row=8192))
    assert "engines whose rows differ need a pool each" in caplog.text
    assert e.request(prompt("n", 3)) == 0
    e.close()
    with libkvbm.Store.create("tokens", 8):
        e = Engine(store="tokens")
        assert "--opaque --block-size 1" in caplog.text
        e.close()
    with libkvbm.Store.create("bare", 8, block_size=1, opaque=True):
        e = Engine(store="bare")
        assert "has no payload" in caplog.text
        assert "--block-bytes 4096" in caplog.text
        e.close()


def test_none_hash(pool, monkeypatch, caplog):
    """Hashes that no other process has: the tier is off, and says why."""
    from vllm.v1.core import kv_cache_utils

    where = pool()
    monkeypatch.setattr(kv_cache_utils, "NONE_HASH", os.urandom(32))
    e = Engine(**where)
    assert e.request(prompt("h", 3)) == 0
    assert "PYTHONHASHSEED" in caplog.text
    assert e.core.off is not None
    e.close()
    # Of the right seed, but not of a content hash that we know.
    monkeypatch.setattr(
        kv_cache_utils, "NONE_HASH", hashlib.blake2b(b"0").digest()[:32]
    )
    e = Engine(**where)
    assert e.request(prompt("h", 3)) == 0 and e.core.off is not None
    e.close()
    # vLLM makes it after the tier: it is looked at when it is needed.
    monkeypatch.undo()
    known = kv_cache_utils.NONE_HASH
    monkeypatch.setattr(kv_cache_utils, "NONE_HASH", None)
    e = Engine(**where)
    monkeypatch.setattr(kv_cache_utils, "NONE_HASH", known)
    e.request(prompt("h", 3))
    e.forget()
    assert e.request(prompt("h", 3)) == 3
    e.close()


def test_refused(pool, monkeypatch, caplog):
    """Releases that were not tried, events with chunks, unknown revisions."""
    import vllm

    where = pool()
    monkeypatch.setattr(vllm, "__version__", "0.99.1")
    e = Engine(**where)
    assert "vLLM 0.99.1 was not tested" in caplog.text
    assert e.request(prompt("h", 3)) == 0
    e.close()
    with pytest.raises(RuntimeError, match="0.99.1"):
        Engine(**where, required=True)
    monkeypatch.undo()
    from engine import OffloadingCacheConfig

    e = Engine(
        the_spec=spec(
            enable_kv_cache_events=True,
            cache=OffloadingCacheConfig(tokens_per_hash=16, blocks_per_chunk=2),
        ),
        **where,
    )
    assert "more than one block a chunk" in caplog.text
    e.close()
    e = Engine(**{**where, "revision": None})
    assert "give the tier the option revision" in caplog.text
    e.close()


def test_nothing_raises(pool, monkeypatch):
    """Whatever fails inside, vLLM sees a miss and a job that ended."""
    where = pool()
    e = Engine(**where)
    e.request(prompt("z", 3))
    e.forget()

    def fail(*_, **__):
        raise ZeroDivisionError

    for name in (
        "lookup",
        "submit_load",
        "submit_store",
        "touch",
        "request_finished",
        "end_of_step",
        "drain",
        "take_counts",
    ):
        with monkeypatch.context() as m:
            m.setattr(e.core, name, fail)
            assert e.request(prompt("z", 3)) in (0, 3)
            e.idle()
            e.tier.get_stats()
            e.forget()
    with monkeypatch.context() as m:
        m.setattr(payload_module.Window, "copy_from", fail)
        assert e.request(prompt("z", 3)) == 0
        e.idle()
    e.forget()
    assert e.request(prompt("z", 3)) == 3
    e.close()


def test_row_of_every_size(pool):
    """Rows that are no power of two, and several groups."""
    row = 3 * 4096 + 512
    e = Engine(row=row, chunks=8, **pool(blocks=8, row=row))
    keys = prompt("r", 4)
    e.request(keys)
    e.forget()
    assert e.request(keys) == 4
    assert np.count_nonzero(e.region.rows) > 0
    e.close()
