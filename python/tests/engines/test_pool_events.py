# SPDX-License-Identifier: MIT
"""kvbm-publish, between engines that share a pool and a router."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import msgspec
import pytest
import zmq
from consumer import Consumer
from engine import Engine, prompt
from test_guide import publish_options
from test_tier import children
from vllm.v1.kv_offload.base import get_offload_block_hash

import libkvbm
from libkvbm.publish import low_of_key

pytestmark = pytest.mark.module
SIZE = 16
PROMPTS, LENGTH = 12, 6


def low(key):
    return low_of_key(bytes(get_offload_block_hash(key)))


def stored(keys):
    """What an engine publishes when it computed a prompt."""
    return {
        "type": "BlockStored",
        "block_hashes": [low(k) for k in keys],
        "parent_block_hash": None,
        "token_ids": list(range(len(keys) * SIZE)),
        "block_size": SIZE,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": None,
    }


def test_publish(tmp_path):
    """Through evictions, a kill and lost events: the router has the pool."""
    libkvbm.Store.create(
        "pool",
        40,
        block_size=1,
        opaque=True,
        block_bytes=4096,
        events=64,
    )
    context = zmq.Context()
    pub = context.socket(zmq.PUB)
    pub.bind(f"ipc://{tmp_path}/5557")
    sub = context.socket(zmq.SUB)
    sub.connect(f"ipc://{tmp_path}/5600")
    sub.setsockopt(zmq.SUBSCRIBE, b"kv@")
    # As in the guide, but for the network.
    options = [
        re.sub(r"^tcp:.*:(\d+)$", rf"ipc://{tmp_path}/\1", o)
        for o in publish_options()
    ]
    assert options[0] == "pool"
    publisher = subprocess.Popen(
        [
            *(sys.executable, "-m", "libkvbm.publish", *options),
            *("--report", "1"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    consumer = Consumer()

    def receive(timeout):
        """What comes until nothing does for so many seconds."""
        while sub.poll(int(timeout * 1000)):
            _, _, payload = sub.recv_multipart()
            consumer.take(msgspec.msgpack.decode(payload)[1])

    prompts = [prompt(f"e{p}", LENGTH) for p in range(PROMPTS)]

    def tell():
        events = [stored(keys) for keys in prompts]
        pub.send_multipart(
            (b"", b"", msgspec.msgpack.encode([time.time(), events]))
        )

    try:
        end = time.monotonic() + 60
        while not consumer.clears:
            assert time.monotonic() < end and publisher.poll() is None
            tell()
            receive(0.2)

        def work(i):
            rng = random.Random(i)
            e = Engine(chunks=16, store="pool")
            for n in range(25):
                if i == 0 and n == 12:
                    os.kill(os.getpid(), signal.SIGKILL)
                e.request(rng.choice(prompts)[: rng.randint(1, LENGTH)])
            e.close()

        said = children(work, 3)
        assert [code for code, _ in said] == [-signal.SIGKILL, 0, 0]
        # Faster than anybody reads: the ring has 64.
        publisher.send_signal(signal.SIGSTOP)
        assert [c for c, _ in children(lambda i: work(i + 1), 2)] == [0, 0]
        publisher.send_signal(signal.SIGCONT)
        receive(1)
        tell()
        receive(1)

        e = Engine(store="pool")
        e.request(prompts[0][:1])
        e.idle()
        receive(1)
        names = libkvbm.empty(LENGTH)
        there, whole = set(), set()
        with libkvbm.Session("pool") as s:
            stats = s.stats()
            for keys in prompts:
                for i, key in enumerate(keys):
                    e.core._hash(key, e.core._digest, names[i : i + 1])
                found = s.presence(names) != 0
                for i, key in enumerate(keys):
                    if found[i]:
                        there.add(low(key))
                    if found[: i + 1].all():
                        whole.add(low(key))
        e.close()
        assert stats["evictions"] > 0
        has = set(consumer.blocks)
        print(
            "#",
            json.dumps(
                {"there": len(there), "whole": len(whole), "has": len(has)}
            ),
        )
        assert whole <= has <= there and len(whole) > LENGTH
        assert not consumer.orphans and not consumer.unknown_removals
        assert consumer.clears >= 2, "nothing was lost"

        # The pool goes, and comes back.
        clears = consumer.clears
        libkvbm.Store("pool").destroy(force=True)
        end = time.monotonic() + 60
        while consumer.blocks:
            assert time.monotonic() < end
            receive(0.2)
        assert consumer.clears > clears
        with libkvbm.Store.create(
            "pool",
            40,
            block_size=1,
            opaque=True,
            block_bytes=4096,
            events=64,
        ):
            e = Engine(store="pool")
            e.request(prompts[1])
            e.idle()
            end = time.monotonic() + 60
            while len(consumer.blocks) < LENGTH:
                assert time.monotonic() < end
                receive(0.2)
            e.close()
    finally:
        publisher.terminate()
        _, err = publisher.communicate(timeout=60)
        for sock in (pub, sub):
            sock.close(0)
        context.term()
        if any(s.name == "pool" for s in libkvbm.Store.list()):
            libkvbm.Store("pool").destroy(force=True)
    assert publisher.returncode == 0, err
    assert "told" in err and "Traceback" not in err
