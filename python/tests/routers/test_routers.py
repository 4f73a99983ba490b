# SPDX-License-Identifier: MIT
"""What routers make of a publisher's messages: their own code says."""

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

import libkvbm
from libkvbm.events import Change, Record
from libkvbm.publish import Fact, Index, encode_batch, low_of_key

BUILT = Path(os.environ["KVBM_ROUTERS"])
SIZE = 16


class Prompts:
    """A forest: prompts that share beginnings, blocks with tokens of theirs."""

    def __init__(self, rng, chains=12, length=8):
        self.blocks = []
        self.chains = []
        for c in range(chains):
            shared = rng.randrange(length // 2) if c else 0
            chain = list(self.chains[0][:shared]) if c else []
            for i in range(len(chain), length):
                key = hashlib.sha256(f"{c} {i}".encode()).digest()
                parent = low_of_key(chain[-1]) if chain else None
                tokens = tuple(rng.randrange(1000) for _ in range(SIZE))
                self.blocks.append((key, Fact(parent, tokens, SIZE)))
                chain.append(key)
            self.chains.append(chain)
        self.facts = dict(self.blocks)


def pool_hash(key):
    return libkvbm.to_ints(libkvbm.opaque(bytes(32), key))[0]


def run(seed, steps=3000):
    """Messages of a run with evictions, losses and restarts, and its end."""
    rng = random.Random(seed)
    prompts = Prompts(rng)
    index, there, messages = Index(), set(), []

    def send():
        while events := index.take():
            messages.append(encode_batch(events))

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
    return messages, index, {low_of_key(k) for k in there}, whole


@pytest.mark.parametrize("seed", range(8))
def test_dynamo(seed):
    """The index of Dynamo's router has what the pool has."""
    program = BUILT / "kvbm-router-dynamo"
    messages, index, there, whole = run(seed)
    data = b"".join(len(m).to_bytes(4, "little") + m for m in messages)
    out = subprocess.run(
        [program, str(SIZE)], input=data, capture_output=True, check=True
    )
    *lines, last = out.stdout.decode().splitlines()
    has = set(map(int, lines))
    _, taken, _, refused = last.split()
    assert int(taken) > 100 and refused == "0", (last, out.stderr[-2000:])
    counts = index.counts()
    assert len(whole) > 5
    # All whose whole chain is there, and nothing that is not.
    assert whole <= has <= there
    assert len(has) == counts["told"]
    assert counts["told"] + counts["no_parent"] == counts["present"]
    assert counts["present"] == len(there)
