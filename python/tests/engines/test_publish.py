# SPDX-License-Identifier: MIT
"""The publisher, between vLLM's own event publisher and vLLM's structures."""

import os
import random
import time
from collections import deque
from pathlib import Path

import msgspec
import pytest
import standins
import zmq
from consumer import Consumer

import libkvbm
from libkvbm.events import Change, Record
from libkvbm.publish import (
    Fact,
    Follower,
    Index,
    Publisher,
    encode_batch,
    low_bits,
    low_of_key,
)

kv_events = standins.kv_events(Path(os.environ["KVBM_VLLM"]))
SIZE = 4


def key(*name):
    """An engine's 32 bytes for a block."""
    import hashlib

    return hashlib.sha256(repr(name).encode()).digest()


def pool_hash(k, digest=bytes(32), group=0):
    """What the pool calls it."""
    return libkvbm.to_ints(libkvbm.opaque(digest, k, group))[0]


def chain(name, n):
    return [key(name, i) for i in range(n)]


def fact(keys, i):
    return Fact(
        low_of_key(keys[i - 1]) if i else None,
        tuple(range(i * SIZE, (i + 1) * SIZE)),
        SIZE,
    )


def drain(index):
    events = []
    while part := index.take():
        assert len(part) <= index.MAX_EVENTS
        events += part
    return events


def test_low_bits():
    """The pool's hash has the engine's low 64 bits."""
    for i in range(100):
        k = key("low", i)
        assert low_bits(pool_hash(k, key("digest"), i)) == low_of_key(k)
        assert low_of_key(int.from_bytes(k, "big")) == low_of_key(k)


def test_parents_first():
    """Whatever comes first, a block follows its parent, in one event."""
    keys = chain("p", 5)
    for order in ([4, 3, 2, 1, 0], [0, 1, 2, 3, 4], [2, 0, 4, 1, 3]):
        for described_first in (True, False):
            index = Index()

            def describe(index=index, order=order):
                for i in order:
                    index.describe(low_of_key(keys[i]), fact(keys, i))

            if described_first:
                describe()
            for i in order:
                index.record(Record(Change.STORED, pool_hash(keys[i])))
            if not described_first:
                assert drain(index) == []
                assert index.counts()["not_described"] == 5
                describe()
            events = drain(index)
            consumer = Consumer()
            consumer.take(events)
            assert len(consumer.blocks) == 5 and not consumer.orphans
            if order == [4, 3, 2, 1, 0] and described_first:
                assert len(events) == 1
            assert index.counts() == {
                "present": 5,
                "told": 5,
                "no_parent": 0,
                "not_described": 0,
                "lost": 0,
            }


def test_random_changes():
    """After any changes: told is what is there with its whole chain told."""
    rng = random.Random(5)
    chains = [chain(f"r{i}", 6) for i in range(8)]
    flat = [(c, i) for c in chains for i in range(6)]
    for _ in range(30):
        index, consumer = Index(facts=200), Consumer()
        there, described = set(), set()
        for _ in range(300):
            c, i = rng.choice(flat)
            what = rng.random()
            if what < 0.4:
                described.add(c[i])
                index.describe(low_of_key(c[i]), fact(c, i))
            elif what < 0.75:
                there.add(c[i])
                index.record(Record(Change.STORED, pool_hash(c[i])))
            elif what < 0.99:
                there.discard(c[i])
                index.record(Record(Change.REMOVED, pool_hash(c[i])))
            elif index.record(Record(Change.LOST, 0)):
                index.resync([pool_hash(k) for k in there])
            if rng.random() < 0.3:
                consumer.take(drain(index))
        consumer.take(drain(index))
        assert not consumer.orphans and not consumer.unknown_removals
        told = set(consumer.blocks)
        assert told <= {low_of_key(k) for k in there}
        for c in chains:
            for i in range(6):
                f = fact(c, i)
                said = consumer.blocks.get(low_of_key(c[i]), ())
                assert said in ((), (f.parent, f.tokens))
                whole = all(k in there and k in described for k in c[: i + 1])
                if whole:
                    assert low_of_key(c[i]) in told
        counts = index.counts()
        assert counts["present"] == len(there)
        assert counts["told"] == len(told)
        assert (
            counts["told"] + counts["no_parent"] + counts["not_described"]
            == counts["present"]
        )


def test_one_event():
    """Blocks share an event only if one event can describe them all."""
    keys = chain("o", 6)
    facts = [fact(keys, i) for i in range(6)]
    facts[2] = facts[2]._replace(lora_name="adapter")
    facts[3] = facts[3]._replace(lora_name="adapter", group=1)
    facts[4] = facts[4]._replace(
        lora_name="adapter", group=1, extra_keys=("x",)
    )
    index = Index()
    for k, f in zip(keys[:5], facts, strict=False):
        index.describe(low_of_key(k), f)
        index.record(Record(Change.STORED, pool_hash(k)))
    events = drain(index)
    assert [len(e["block_hashes"]) for e in events] == [2, 1, 1, 1]
    assert [e["lora_name"] for e in events] == [None] + ["adapter"] * 3
    assert [e.get("group_idx") for e in events] == [None, None, 1, 1]
    assert [e.get("extra_keys") for e in events] == [None] * 3 + [[("x",)]]


def test_copies():
    """Removed when the last of several groups and digests is gone."""
    index, consumer = Index(), Consumer()
    (k,) = chain("c", 1)
    index.describe(low_of_key(k), fact([k], 0))
    hashes = [pool_hash(k, group=g) for g in range(2)]
    hashes.append(pool_hash(k, digest=key("other")))
    for h in hashes:
        index.record(Record(Change.STORED, h))
        index.record(Record(Change.STORED, h))
    consumer.take(drain(index))
    for h in hashes:
        assert len(consumer.blocks) == 1
        index.record(Record(Change.REMOVED, h))
        index.record(Record(Change.REMOVED, h))
        consumer.take(drain(index))
    assert not consumer.blocks and not consumer.unknown_removals


def test_not_described():
    """For some consumers: without tokens; told again with them later."""
    index = Index(empty=True)
    (k,) = chain("e", 1)
    index.record(Record(Change.STORED, pool_hash(k)))
    (e,) = drain(index)
    assert e["token_ids"] == [] and e["block_size"] == 0
    assert index.counts()["not_described"] == 1
    index.describe(low_of_key(k), fact([k], 0))
    (e,) = drain(index)
    assert e["token_ids"] == [0, 1, 2, 3]
    index.record(Record(Change.REMOVED, pool_hash(k)))
    (e,) = drain(index)
    assert e == {
        "type": "BlockRemoved",
        "block_hashes": [low_of_key(k)],
        "medium": "CPU",
        "locality": "LOCAL",
    }


def test_not_described_and_gone():
    """Told without tokens, then described, then gone: its parent is alone."""
    index, consumer = Index(empty=True), Consumer()
    keys = chain("g", 2)
    index.record(Record(Change.STORED, pool_hash(keys[1])))
    index.describe(low_of_key(keys[1]), fact(keys, 1))
    index.record(Record(Change.REMOVED, pool_hash(keys[1])))
    index.describe(low_of_key(keys[0]), fact(keys, 0))
    index.record(Record(Change.STORED, pool_hash(keys[0])))
    consumer.take(drain(index))
    assert set(consumer.blocks) == {low_of_key(keys[0])}
    assert index.counts()["told"] == index.counts()["present"] == 1


def test_memory_is_bounded():
    """Engines describe for ever; what is not in the pool is forgotten."""
    index = Index(facts=100)
    keys = chain("m", 1000)
    for i in range(1000):
        index.describe(low_of_key(keys[i]), fact(keys, i))
    assert len(index._others) == 100
    for k in keys:
        index.record(Record(Change.STORED, pool_hash(k)))
    for i in range(1000):
        index.describe(low_of_key(keys[i]), fact(keys, i))
    for k in keys:
        index.record(Record(Change.REMOVED, pool_hash(k)))
    assert len(index._others) == 100
    assert not index._copies and not index._facts and not index._waiting


class Pipe:
    """A source that a test feeds."""

    def __init__(self):
        self.r, self.w = os.pipe()
        self.waiting = deque()
        self.there = []

    def fileno(self):
        return self.r

    def put(self, *records):
        self.waiting.append(list(records))
        os.write(self.w, b"x")

    def read(self):
        if not self.waiting:
            return []
        os.read(self.r, 1)
        return self.waiting.popleft()

    def snapshot(self):
        return [pool_hash(k) for k in self.there]

    def close(self):
        os.close(self.r)
        os.close(self.w)


@pytest.fixture
def wires(tmp_path):
    """An engine of vLLM's, a source, a publisher and a consumer's socket."""
    context = zmq.Context()
    source = Pipe()
    engine = kv_events.ZmqEventPublisher(
        0, endpoint=f"ipc://{tmp_path}/engine", topic="engine"
    )
    publisher = Publisher(
        f"ipc://{tmp_path}/pub",
        f"ipc://{tmp_path}/replay",
        topic="kv@pod@model",
        keep=100,
        context=context,
    )
    sub = context.socket(zmq.SUB)
    sub.connect(publisher.endpoint)
    sub.setsockopt(zmq.SUBSCRIBE, b"kv@")
    time.sleep(0.3)
    follower = Follower(
        source, publisher, Index(), [f"ipc://{tmp_path}/engine"], context
    )
    time.sleep(0.3)
    yield source, engine, follower, sub, context, tmp_path
    engine.shutdown()
    follower.close()
    publisher.close()
    sub.close(0)
    context.term()
    source.close()


def stored(keys, tokens, **more):
    return kv_events.BlockStored(
        block_hashes=[low_of_key(k) for k in keys],
        parent_block_hash=None,
        token_ids=tokens,
        block_size=SIZE,
        lora_id=None,
        medium="GPU",
        lora_name=None,
        **more,
    )


def until(follower, what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        follower.step(0.05)


def test_wire(wires):
    """vLLM's structures read what comes; sequence and replay are vLLM's."""
    source, engine, follower, sub, context, path = wires
    decode = msgspec.msgpack.Decoder(type=kv_events.KVEventBatch).decode
    keys = chain("w", 3)
    batch = kv_events.KVEventBatch(
        ts=1.0,
        events=[
            stored(
                keys,
                list(range(3 * SIZE)),
                extra_keys=[("a",)] * 3,
                group_idx=0,
                kv_cache_spec_kind="full_attention",
                kv_cache_spec_sliding_window=7,
            ),
            kv_events.BlockRemoved(block_hashes=[1], medium="GPU"),
        ],
    )
    engine.publish(batch)
    until(follower, lambda: len(follower.index._others) == 3)
    source.put(*(Record(Change.STORED, pool_hash(k)) for k in keys))
    until(follower, lambda: follower.index.counts()["told"] == 3)
    source.put(Record(Change.REMOVED, pool_hash(keys[2])))
    until(follower, lambda: follower.index.counts()["told"] == 2)
    source.there = keys[:1]
    source.put(Record(Change.LOST, 0))
    until(follower, lambda: follower.index.lost == 1)

    def receive():
        assert sub.poll(5000), "nothing came"
        topic, seq, payload = sub.recv_multipart()
        assert topic == b"kv@pod@model"
        return int.from_bytes(seq, "big"), decode(payload), payload

    got = [receive() for _ in range(4)]
    assert [seq for seq, _, _ in got] == [0, 1, 2, 3]
    assert all(b.data_parallel_rank == 0 and b.ts > 1e9 for _, b, _ in got)
    events = [b.events for _, b, _ in got]
    assert events[0] == [kv_events.AllBlocksCleared()]
    (e,) = events[1]
    assert isinstance(e, kv_events.BlockStored)
    assert e.block_hashes == [low_of_key(k) for k in keys]
    assert e.parent_block_hash is None and e.block_size == SIZE
    assert e.token_ids == list(range(3 * SIZE))
    assert (e.medium, e.locality) == ("CPU", "LOCAL")
    assert (e.group_idx, e.kv_cache_spec_kind) == (0, "full_attention")
    assert e.kv_cache_spec_sliding_window == 7
    assert e.extra_keys == [("a",)] * 3 or e.extra_keys == [["a"]] * 3
    (e,) = events[2]
    assert isinstance(e, kv_events.BlockRemoved)
    assert e.block_hashes == [low_of_key(keys[2])] and e.medium == "CPU"
    assert events[3][0] == kv_events.AllBlocksCleared()
    assert events[3][1].block_hashes == [low_of_key(keys[0])]

    # Replay, as vLLM's subscribers ask for it.
    ask = context.socket(zmq.REQ)
    ask.setsockopt(zmq.LINGER, 0)
    ask.connect(f"ipc://{path}/replay")
    ask.close()
    ask = context.socket(zmq.DEALER)
    ask.setsockopt(zmq.LINGER, 0)
    ask.connect(f"ipc://{path}/replay")
    ask.send_multipart((b"", (2).to_bytes(8, "big")))
    replies = []
    end = time.monotonic() + 20
    while not replies or replies[-1][2] != Publisher.END:
        assert time.monotonic() < end
        follower.step(0.05)
        while ask.poll(10):
            replies.append(ask.recv_multipart())
    assert [int.from_bytes(r[2], "big") for r in replies[:-1]] == [2, 3]
    assert [r[3] for r in replies[:-1]] == [p for _, _, p in got[2:]]
    assert replies[0][1] == b"kv@pod@model"
    # Nonsense is no reason to stop.
    ask.send_multipart((b"", b"what"))
    ask.send_multipart((b"x",))
    follower.step(0.1)
    follower.step(0.1)
    ask.close()


def test_late_consumer(wires):
    """Who subscribes late, or missed more than is kept, is told all."""
    source, _, follower, sub, context, path = wires
    keys = chain("late", 5)
    for i, k in enumerate(keys):
        follower.index.describe(low_of_key(k), fact(keys, i))
    source.put(*(Record(Change.STORED, pool_hash(k)) for k in keys))
    until(follower, lambda: follower.index.counts()["told"] == 5)
    source.put(Record(Change.REMOVED, pool_hash(keys[4])))
    until(follower, lambda: follower.index.counts()["told"] == 4)

    def join(topic):
        late = context.socket(zmq.SUB)
        late.connect(follower.publisher.endpoint)
        late.setsockopt(zmq.SUBSCRIBE, topic)
        return late

    def catch_up(socket):
        consumer = Consumer()
        end = time.monotonic() + 20
        while not consumer.blocks:
            assert time.monotonic() < end
            follower.step(0.05)
            while socket.poll(10):
                _, _, payload = socket.recv_multipart()
                consumer.take(msgspec.msgpack.decode(payload)[1])
        assert set(consumer.blocks) == {low_of_key(k) for k in keys[:4]}
        assert not consumer.orphans and consumer.clears

    for topic in (b"kv@", b"kv@", b""):
        late = join(topic)
        catch_up(late)
        late.close(0)
    # Not for those who listen to something else, and no second time.
    seq = follower.publisher._seq
    other = join(b"other@")
    for _ in range(20):
        follower.step(0.05)
    assert follower.publisher._seq == seq
    other.close(0)
    # Many at once cause few dumps.
    crowd = [join(b"kv@") for _ in range(20)]
    for _ in range(10):
        follower.step(0.02)
    assert follower.publisher._seq <= seq + 2
    for late in crowd:
        late.close(0)

    # The first messages are not kept any more.
    follower._again_at = 0.0
    for _ in range(200):
        follower.publisher.send([])
    while sub.poll(200):
        sub.recv_multipart()
    ask = context.socket(zmq.DEALER)
    ask.setsockopt(zmq.LINGER, 0)
    ask.connect(f"ipc://{path}/replay")
    ask.send_multipart((b"", (0).to_bytes(8, "big")))
    catch_up(sub)
    ask.close()


class Clock:
    """Instead of the module time: goes on as a test says."""

    time = staticmethod(time.time)
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize("cost", [0.001, 0.25, 7.0])
def test_dumps_are_seldom(wires, monkeypatch, cost):
    """Telling all again takes a tenth of the time, whoever comes how often."""
    _, _, follower, sub, _, _ = wires
    for k in chain("seldom", 3):
        follower.index.record(Record(Change.STORED, pool_hash(k)))
    clock = Clock()
    monkeypatch.setattr(libkvbm.publish, "time", clock)
    send, sent = follower.publisher.send, []

    def slow(events):
        clock.now += cost
        sent.append(clock.now)
        send(events)

    monkeypatch.setattr(follower.publisher, "send", slow)
    # What came before.
    while follower.publisher.socket.poll(200):
        follower.publisher.joined()
    rounds = 300
    for _ in range(rounds):
        sub.setsockopt(zmq.UNSUBSCRIBE, b"kv@")
        sub.setsockopt(zmq.SUBSCRIBE, b"kv@")
        assert follower.publisher.socket.poll(5000)
        follower.step(0.0)
        clock.now += max(cost / 4, 0.05)
    assert len(sent) * cost <= clock.now / 10 + cost
    assert len(sent) <= clock.now + 1
    # But all are told in the end, as soon as that allows.
    pause = max(1.0, 10 * cost) + cost
    assert len(sent) >= clock.now / (pause + max(cost / 4, 0.05)) - 1


def test_size_of_a_dump(capsys):
    """What it costs each consumer that all is told again: bytes a block."""
    index = Index()
    size, blocks = 16, 1 << 15
    for c in range(blocks // 64):
        keys = chain(f"size{c}", 64)
        for i, k in enumerate(keys):
            parent = low_of_key(keys[i - 1]) if i else None
            # Numbers of tokens as large vocabularies have them.
            tokens = tuple(
                70000 + (c * 64 + i + t) % 60000 for t in range(size)
            )
            index.describe(low_of_key(k), Fact(parent, tokens, size))
            index.record(Record(Change.STORED, pool_hash(k)))
    drain(index)
    start = time.process_time()
    index.again()
    messages = []
    while events := index.take():
        messages.append(len(encode_batch(events)))
    took = time.process_time() - start
    with capsys.disabled():
        print(
            f"# {blocks} blocks told again: {len(messages)} messages, "
            f"{sum(messages) / blocks:.0f} bytes and "
            f"{took / blocks * 1e6:.1f} us of a processor a block"
        )
    # The hash and the tokens, and little else.
    assert sum(messages) <= blocks * (9 + 5 * size + 10)
    # Many blocks of a chain share an event, and many events a message.
    assert len(messages) <= blocks / 1000


def test_bad_engines(wires):
    """Whatever an engine sends, the publisher goes on."""
    source, _, follower, sub, context, path = wires
    bad = context.socket(zmq.PUB)
    bad.bind(f"ipc://{path}/bad")
    follower2 = Follower(
        source, follower.publisher, Index(), [f"ipc://{path}/bad"], context
    )
    time.sleep(0.3)
    encode = msgspec.msgpack.encode
    nonsense = [
        (b"",),
        (b"", b"", b"\xc1"),
        (b"", b"", encode(5)),
        (b"", b"", encode([1.0, [7, None, {}]])),
        (b"", b"", encode([1.0, [{"type": "BlockStored"}]])),
        (
            b"",
            b"",
            encode(
                [
                    1.0,
                    [
                        {
                            "type": "BlockStored",
                            "block_hashes": ["no"],
                            "parent_block_hash": None,
                            "token_ids": ["x"],
                            "block_size": 1,
                        }
                    ],
                ]
            ),
        ),
    ]
    for frames in nonsense:
        bad.send_multipart(frames)
    until(follower2, lambda: follower2.bad_messages == len(nonsense))
    k = chain("b", 1)
    good = stored(k, [1, 2, 3, 4])
    bad.send_multipart((b"", b"", encode([1.0, [good]])))
    until(follower2, lambda: len(follower2.index._others) == 1)
    bad.close(0)
    follower2.close()
