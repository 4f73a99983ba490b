# SPDX-License-Identifier: MIT
"""An engine without a model: vLLM's tiering manager over rows of numpy.

The bytes of a row follow from its key, so that each load can be checked.
"""

import hashlib
import time
from types import SimpleNamespace

import numpy as np
from vllm.v1.kv_offload.base import (
    LookupResult,
    ReqContext,
    ScheduleEndContext,
    make_offload_key,
)
from vllm.v1.kv_offload.config import (
    OffloadingCacheConfig,
    OffloadingConfig,
    OffloadingGroupConfig,
    OffloadingModelConfig,
    OffloadingParallelConfig,
)
from vllm.v1.kv_offload.tiering.factory import SecondaryTierFactory
from vllm.v1.kv_offload.tiering.manager import (
    CPUPrimaryTierOffloadingManager,
    TieringOffloadingManager,
)

ROW = 4096


def prompt(name, n):
    """The keys of a prompt's n chunks: a chain, as vLLM hashes it."""
    keys, parent = [], b"NONE_HASH"
    for i in range(n):
        parent = hashlib.sha256(parent + f"{name}/{i}".encode()).digest()
        keys.append(make_offload_key(parent, 0))
    return keys


def content(key, model="", row=ROW):
    """What a model computes for a key."""
    seed = hashlib.sha256(model.encode() + key).digest()
    first = int.from_bytes(seed[:8], "little")
    words = np.arange(row // 8, dtype=np.uint64)
    words *= np.uint64(0x9E3779B97F4A7C15)
    words ^= np.uint64(first)
    return words.view(np.uint8)


def config(row=ROW, **changes):
    """vLLM's description of a small model."""
    values = {
        "groups": (OffloadingGroupConfig(16, ("layer.0", "layer.1"), 0),),
        "worker_kv_bytes_per_block": row,
        "enable_kv_cache_events": False,
        "extra_config": {},
        "engine_id": "engine",
        "model": OffloadingModelConfig(name="a-model", dtype="float16"),
        "cache": OffloadingCacheConfig(tokens_per_hash=16, blocks_per_chunk=1),
        "parallel": OffloadingParallelConfig(
            rank=0,
            world_size=1,
            tp_size=1,
            pp_size=1,
            pcp_size=1,
            dcp_size=1,
            data_parallel_index=0,
            data_parallel_size=1,
            data_parallel_rank_local=None,
            is_parallelism_agnostic=False,
        ),
    }
    values.update(changes)
    return OffloadingConfig(**values)


def spec(**changes):
    """The part of an OffloadingSpec that tiers look at."""
    c = config(**changes)
    return SimpleNamespace(
        config=c,
        extra_config={},
        blocks_per_chunk=c.cache.blocks_per_chunk,
        kv_events_config=SimpleNamespace(
            enable_kv_cache_events=c.enable_kv_cache_events
        ),
    )


class Region:
    """Where a SharedOffloadRegion has its rows."""

    def __init__(self, chunks, row):
        self.rows = np.zeros((chunks, row), np.uint8)

    def create_kv_memoryview(self):
        return memoryview(self.rows)

    def cleanup(self):
        pass


class WrongBytes(AssertionError):
    """A load brought what does not belong to its key."""


class Engine:
    """Requests in turn, as vLLM's scheduler would run them."""

    def __init__(self, chunks=32, row=ROW, model="", the_spec=None, **options):
        self.row, self.model = row, model
        self.region = Region(chunks, row)
        self.primary = CPUPrimaryTierOffloadingManager(
            num_chunks=chunks, mmap_region=self.region
        )
        options = {
            "type": "Kvbm",
            "module_path": "libkvbm.vllm",
            "threads": 2,
            "revision": "main",
            **options,
        }
        self.tier = SecondaryTierFactory.create_secondary_tier(
            options,
            self.primary.get_kv_memoryview(),
            the_spec or spec(row=row),
        )
        self.manager = TieringOffloadingManager(
            primary_tier=self.primary, secondary_tiers=[self.tier]
        )
        self.counts = dict.fromkeys(("hits", "computed", "checked"), 0)
        self.requests = 0

    @property
    def core(self):
        return self.tier._core

    def step(self):
        self.manager.on_schedule_end(ScheduleEndContext((), ()))

    def idle(self, seconds=30):
        """Step until no job is under way, as an idle vLLM does."""
        end = time.monotonic() + seconds
        while self.manager.has_pending_work():
            assert time.monotonic() < end, "livelock"
            self.step()
            time.sleep(0.0005)

    def quiet(self, seconds=30):
        """As idle(); nor is the tier telling the pool what was used."""
        self.idle(seconds)
        q = self.core._q
        end = time.monotonic() + seconds
        while q.touches or q.active:
            assert time.monotonic() < end
            time.sleep(0.0005)

    def find(self, keys, ctx, seconds=30):
        """How many of the first keys can be loaded, promotions awaited."""
        end = time.monotonic() + seconds
        while True:
            hits, pending = 0, False
            for key in keys:
                found = self.manager.lookup(key, ctx)
                if found is LookupResult.HIT:
                    hits += not pending
                elif found is LookupResult.MISS:
                    break
                else:
                    pending = True
            if not pending:
                return hits
            assert time.monotonic() < end, "livelock"
            self.step()
            time.sleep(0.0005)

    def request(self, keys):
        """Load what is there, compute the rest: how many were there."""
        self.requests += 1
        ctx = ReqContext(req_id=f"r{self.requests}")
        self.manager.on_new_request(ctx)
        hits = self.find(keys, ctx)
        if hits:
            chunks = self.manager.prepare_load(keys[:hits], ctx).chunk_ids
            for key, chunk in zip(keys[:hits], chunks, strict=True):
                got = self.region.rows[chunk]
                if not np.array_equal(got, content(key, self.model, self.row)):
                    raise WrongBytes(f"row {chunk}")
                self.counts["checked"] += 1
            self.manager.complete_load(keys[:hits], ctx)
        self.manager.touch(keys[:hits], ctx)
        rest = keys[hits:]
        out = self.manager.prepare_store(rest, ctx) if rest else None
        if out is not None and out.keys_to_store:
            for key, chunk in zip(
                out.keys_to_store, out.store_spec.chunk_ids, strict=True
            ):
                self.region.rows[chunk] = content(key, self.model, self.row)
            self.manager.complete_store(out.keys_to_store, ctx)
        self.counts["hits"] += hits
        self.counts["computed"] += len(rest)
        self.step()
        self.manager.on_request_finished(ctx)
        return hits

    def forget(self):
        """Empty the primary tier alone, so that the pool must help."""
        self.idle()
        self.primary.reset_cache()

    def close(self):
        """As vLLM shuts down; the primary's view must be free."""
        self.idle()
        self.manager.shutdown()
