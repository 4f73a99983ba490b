# SPDX-License-Identifier: MIT
"""What routers make of a publisher's messages: their own code says."""

import contextlib
import hashlib
import json
import os
import random
import subprocess
import threading
from pathlib import Path

import pytest

import libkvbm
from libkvbm.events import Change, Record
from libkvbm.publish import (
    Fact,
    Follower,
    Index,
    Publisher,
    encode_batch,
    low_of_key,
)

BUILT = Path(os.environ["KVBM_ROUTERS"])
SIZE = 16
POD, MODEL = "node-1", "models/small"


def built(name):
    """A router's program, where there was a compiler for it."""
    path = BUILT / name
    if not path.exists():
        pytest.skip(f"{name} was not built")
    return path


class Prompts:
    """A forest: prompts that share beginnings, blocks with tokens of theirs."""

    def __init__(self, rng, chains=12, length=8, **more):
        self.blocks = []
        self.chains = []
        for c in range(chains):
            shared = rng.randrange(length // 2) if c else 0
            chain = list(self.chains[0][:shared]) if c else []
            for i in range(len(chain), length):
                key = hashlib.sha256(f"{c} {i}".encode()).digest()
                parent = low_of_key(chain[-1]) if chain else None
                tokens = tuple(rng.randrange(1000) for _ in range(SIZE))
                self.blocks.append((key, Fact(parent, tokens, SIZE, **more)))
                chain.append(key)
            self.chains.append(chain)
        self.facts = dict(self.blocks)


def pool_hash(key):
    return libkvbm.to_ints(libkvbm.opaque(bytes(32), key))[0]


def run(seed, publish, steps=3000, **more):
    """A run with evictions, losses and restarts, and what its end is."""
    rng = random.Random(seed)
    prompts = Prompts(rng, **more)
    index, there = Index(), set()

    def send():
        while events := index.take():
            publish(events)

    index.resync(())
    for _ in range(steps):
        key, fact = rng.choice(prompts.blocks)
        what = rng.random()
        if what < 0.3:
            index.describe(low_of_key(key), fact)
        elif what < 0.65:
            if key not in there:
                there.add(key)
                index.record(Record(Change.STORED, pool_hash(key)))
        elif what < 0.995:
            if key in there:
                there.discard(key)
                index.record(Record(Change.REMOVED, pool_hash(key)))
        else:
            index.record(Record(Change.LOST, 0))
            index.resync([pool_hash(k) for k in there])
        if rng.random() < 0.2:
            send()
    for key, fact in prompts.blocks:
        index.describe(low_of_key(key), fact)
    for chain in prompts.chains[:5]:
        for key in chain:
            if key not in there:
                there.add(key)
                index.record(Record(Change.STORED, pool_hash(key)))
    send()
    whole = {
        low_of_key(k)
        for chain in prompts.chains
        for i, k in enumerate(chain)
        if all(c in there for c in chain[: i + 1])
    }
    return prompts, index, {low_of_key(k) for k in there}, whole


def check(has, index, there, whole):
    """All whose whole chain is there, and nothing that is not there."""
    counts = index.counts()
    assert len(whole) > 5
    assert whole <= has <= there
    assert len(has) == counts["told"]
    assert counts["told"] + counts["no_parent"] == counts["present"]
    assert counts["present"] == len(there)


@pytest.mark.parametrize("seed", range(8))
def test_dynamo(seed):
    """The index of Dynamo's router has what the pool has."""
    program = built("kvbm-router-dynamo")
    messages = []
    _, *end = run(seed, lambda events: messages.append(encode_batch(events)))
    data = b"".join(len(m).to_bytes(4, "little") + m for m in messages)
    out = subprocess.run(
        [program, str(SIZE)], input=data, capture_output=True, check=True
    )
    *lines, last = out.stdout.decode().splitlines()
    has = set(map(int, lines))
    _, taken, _, refused = last.split()
    assert int(taken) > 100 and refused == "0", (last, out.stderr[-2000:])
    check(has, *end)


@contextlib.contextmanager
def llmd(publisher, wake=None):
    """llm-d's router, subscribed to a publisher.

    wake: called until something has reached it
    """
    program = built("kvbm-router-llmd")
    router = subprocess.Popen(
        [program, publisher.endpoint, str(SIZE), POD, MODEL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    ready = []
    reader = threading.Thread(
        target=lambda: ready.append(router.stdout.readline())
    )
    reader.start()
    try:
        # What is sent before it has subscribed is lost.
        while reader.is_alive() and router.poll() is None:
            if wake is None:
                publisher.send([{"type": "AllBlocksCleared"}])
            else:
                wake()
            reader.join(0.1)
        reader.join()
        assert ready[0].startswith("ready"), ready
        yield router
    finally:
        router.kill()
        router.wait()
        reader.join()
        router.stdin.close()
        router.stdout.close()


def question(publisher, prompts):
    """What the program is asked, when it has all that was sent."""
    return json.dumps(
        {
            "last": publisher._seq - 1,
            "prompts": [
                [
                    {
                        "hash": low_of_key(key),
                        "tokens": prompts.facts[key].tokens,
                    }
                    for key in chain
                ]
                for chain in prompts.chains
            ],
        }
    )


def answer(out):
    """What it has, and what it counted."""
    *lines, last = out.splitlines()
    words = last.split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    return set(map(int, lines)), counts


@pytest.mark.parametrize("seed", range(8))
def test_llmd(seed):
    """The index of llm-d's router has what the pool has, over the wire."""
    # An engine with one group tells none or its number.
    more = {"group": 0, "kind": "full_attention"} if seed % 2 else {}
    publisher = Publisher("tcp://127.0.0.1:*", topic=f"kv@{POD}@{MODEL}")
    sent = 0

    def publish(events):
        nonlocal sent
        sent += len(events)
        publisher.send(events)

    with contextlib.closing(publisher), llmd(publisher) as router:
        prompts, *end = run(seed, publish, **more)
        out, _ = router.communicate(question(publisher, prompts), timeout=300)
    assert router.returncode == 0
    has, counts = answer(out)
    assert sent > 100 and counts.pop("taken") >= sent
    assert counts == {"refused": 0, "missed": 0, "misplaced": 0}
    check(has, *end)


class Still:
    """A pool in which nothing happens."""

    def __init__(self, hashes):
        self.hashes = hashes
        self.r, self.w = os.pipe()

    def fileno(self):
        return self.r

    def read(self):
        return []

    def snapshot(self):
        return self.hashes

    def close(self):
        os.close(self.r)
        os.close(self.w)


@pytest.mark.parametrize("seed", range(3))
def test_llmd_late(seed):
    """It comes after all was told, cannot ask for it, and has it."""
    publisher = Publisher("tcp://127.0.0.1:*", topic=f"kv@{POD}@{MODEL}")
    prompts, index, there, whole = run(seed, publisher.send)
    with (
        contextlib.closing(publisher),
        contextlib.closing(Still(list(index._present))) as pool,
        contextlib.closing(Follower(pool, publisher, index)) as follower,
        llmd(publisher, lambda: follower.step(0.05)) as router,
    ):
        out, _ = router.communicate(question(publisher, prompts), timeout=300)
    assert router.returncode == 0
    has, counts = answer(out)
    assert counts["refused"] == counts["misplaced"] == 0
    check(has, index, there, whole)
