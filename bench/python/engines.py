# SPDX-License-Identifier: MIT
"""What a shared pool is worth to four engines, and what a look-up costs.

Runs in the virtual machine, started by bench/run-engines. Prints JSON lines.

hit rate: four engines behind a router that knows nothing ask for prompts of a
trace in turn. Each with a CPU cache of its own of C rows, against four with a
primary tier of p rows and one pool of 4C - 4p rows: the same memory, blocks that
are in both counted twice.

look-up: in instructions, where --icount makes guest time that.
"""

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

where = Path(os.environ["KVBM_VLLM"])
sys.path.insert(0, os.environ["KVBM_ENGINES"])
import standins  # noqa: E402

standins.install(
    where, os.environ["KVBM_VLLM_VERSION"], os.environ["PYTHONHASHSEED"]
)

import engine  # noqa: E402
from engine import Engine, prompt  # noqa: E402
from vllm.v1.kv_offload.base import ReqContext  # noqa: E402

import libkvbm  # noqa: E402

ROW = 4096
ENGINES = 4


def trace(requests, seed=1):
    """Prompts: a beginning that many share, then turns of a conversation."""
    rng = random.Random(seed)
    turns = {}
    for _ in range(requests):
        system = int(rng.paretovariate(0.9)) % 12
        user = rng.randrange(60)
        turns[user] = turns.get(user, 0) + 1
        if rng.random() < 0.15:
            turns[user] = 1
        yield (
            prompt(f"system {system}", 6)
            + prompt(f"{system} {user}", min(turns[user], 10))
        )


class Private(Engine):
    """An engine with the CPU cache only."""

    def __init__(self, chunks):
        from vllm.v1.kv_offload.tiering.manager import (
            CPUPrimaryTierOffloadingManager,
            TieringOffloadingManager,
        )

        self.row, self.model = ROW, ""
        self.region = engine.Region(chunks, ROW)
        self.primary = CPUPrimaryTierOffloadingManager(
            num_chunks=chunks, mmap_region=self.region
        )
        self.manager = TieringOffloadingManager(self.primary, [])
        self.counts = dict.fromkeys(("hits", "computed", "checked"), 0)
        self.requests = 0


def pool(blocks):
    libkvbm.Store.create(
        "bench", blocks, block_size=1, opaque=True, block_bytes=ROW
    )
    return {"store": "bench"}


def run(engines, requests):
    for i, keys in enumerate(trace(requests)):
        e = engines[i % len(engines)]
        e.request(keys)
        e.idle()
    asked = sum(e.counts["hits"] + e.counts["computed"] for e in engines)
    hits = sum(e.counts["hits"] for e in engines)
    return hits / asked


def hit_rates(requests, total):
    def tell(**row):
        print(json.dumps({"bench": "engines", "engines": ENGINES,
                          "requests": requests, "rows": total, **row}),
              flush=True)

    private = [Private(total // ENGINES) for _ in range(ENGINES)]
    tell(config="private", primary=total // ENGINES, pool=0,
         hit_rate=round(run(private, requests), 4))
    for primary in (total // 8, total // 16, 24, 20, 16):
        blocks = total - ENGINES * primary
        options = pool(blocks)
        engines = [Engine(primary, row=ROW, **options)
                   for _ in range(ENGINES)]
        rate = run(engines, requests)
        counts = [e.core.take_counts() for e in engines]
        for e in engines:
            e.close()
        libkvbm.Store("bench").destroy(force=True)
        tell(config="shared", primary=primary, pool=blocks,
             hit_rate=round(rate, 4),
             loaded_rows=sum(c["loaded_bytes"] for c in counts) // ROW,
             stored_rows=sum(c["stored_bytes"] for c in counts) // ROW,
             already_there=sum(c["stores_present"] for c in counts),
             unused_holds=sum(c["unused_holds"] for c in counts))


def lookups(n=256, rounds=20):
    e = Engine(n, row=ROW, **pool(n))
    keys = prompt("lookup", n)
    e.request(keys)
    e.idle()
    ctx = ReqContext(req_id="bench")
    best = {}

    def measure(what, work, after):
        for _ in range(rounds):
            start = time.perf_counter_ns()
            for key in keys:
                work(key, ctx)
            took = (time.perf_counter_ns() - start) / n
            best[what] = min(best.get(what, took), took)
            after()

    measure("vLLM's CPU manager, hit", e.primary.lookup, lambda: None)
    # As at the end of a step: the holds are released.
    measure("tier, hit", e.tier.lookup, e.core.end_of_step)
    keys[:] = prompt("not there", n)
    measure("tier, miss", e.tier.lookup, lambda: None)
    e.close()
    libkvbm.Store("bench").destroy(force=True)
    for what, ns in best.items():
        print(json.dumps({"bench": "lookup", "op": what,
                          "instructions": round(ns)}))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--lookups", action="store_true")
    p.add_argument("--requests", type=int, default=400)
    p.add_argument("--rows", type=int, default=640)
    args = p.parse_args()
    if args.lookups:
        lookups()
    else:
        hit_rates(args.requests, args.rows)


if __name__ == "__main__":
    main()
