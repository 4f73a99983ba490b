# SPDX-License-Identifier: MIT
"""vLLM's own tests of its tiering manager, with our tier in them.

A pytest plugin. Upstream's tests put its ExampleSecondaryTierManager, a
dictionary that completes at once, behind the manager. This puts our tier
there, on a store of its own, with what the tests look at of the example's:
`chunks`, `completed_jobs`, get_num_chunks(). Copies are waited for where the
example makes them at once.

Prints how many of the tests have called the tier.
"""

import os
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import standins

where = Path(os.environ["KVBM_VLLM"])
standins.install(
    where, os.environ["KVBM_VLLM_VERSION"], os.environ["PYTHONHASHSEED"]
)


class Zeros:
    """What torch.zeros() gives, as far as these tests look at it."""

    def __init__(self, shape, dtype=None):
        self.array = np.zeros(shape, np.int8)

    def numpy(self):
        return self.array


sys.modules["torch"].zeros = Zeros
sys.modules["torch"].int8 = np.int8

import engine  # noqa: E402

import libkvbm  # noqa: E402
from libkvbm.vllm import Kvbm  # noqa: E402

BLOCKS = 64
calls = []
adapted = []


class Chunks:
    """The example's dictionary: keys that are in the pool."""

    def __init__(self, tier):
        self.tier = tier

    def __setitem__(self, key, _):
        core = self.tier._core
        link = core._ready()
        name = libkvbm.empty(1)
        core._hash(key, core._digest, name)
        with link.session.alloc(1) as blocks:
            blocks.view(0)[:] = bytes(core.block_bytes)
            blocks.register(name).release()


class AdaptedTier(Kvbm):
    """Our tier in the place of the example."""

    def __init__(
        self,
        offloading_spec,
        primary_kv_view,
        tier_type,
        custom_param=0,
        backpressure_detector=None,
    ):
        row = primary_kv_view.strides[0]
        self.custom_param = custom_param
        self.jobs = []
        self.store = f"upstream-{len(adapted)}"
        libkvbm.Store.create(
            self.store,
            BLOCKS,
            block_size=1,
            opaque=True,
            block_bytes=-(-row // 4096) * 4096,
        )
        adapted.append(self)
        super().__init__(
            engine.spec(row=row)
            if isinstance(offloading_spec, MagicMock)
            else offloading_spec,
            primary_kv_view,
            tier_type,
            revision="main",
            backpressure_detector=backpressure_detector,
            store=self.store,
            threads=2,
            on_reset="keep",
            required=True,
        )
        self.chunks = Chunks(self)

    @property
    def completed_jobs(self):
        end = time.monotonic() + 20
        while self._core is not None:
            self.jobs += super().get_finished_jobs()
            if not self._core.busy():
                break
            assert time.monotonic() < end
            time.sleep(0.0005)
        return self.jobs

    def get_finished_jobs(self):
        jobs = list(self.completed_jobs)
        self.jobs.clear()
        return jobs

    def get_num_chunks(self):
        # The example has stored when submit_store() returns.
        end = time.monotonic() + 20
        q = self._core._q
        while q.loads or q.stores or q.active:
            assert time.monotonic() < end
            time.sleep(0.0005)
        with libkvbm.Session(self.store) as s:
            return s.counts().registered

    @classmethod
    def config_info_keys(cls, tier_config):
        return ("example_info",)

    def config_info(self):
        return {"example_info": self.custom_param}

    def give_back(self):
        self.shutdown()
        with libkvbm.Session(self.store) as s:
            c = s.counts()
        libkvbm.Store(self.store).destroy(force=True)
        assert c.available == c.total, c


def counted(name):
    inner = getattr(Kvbm, name)

    def method(self, *args, **kwargs):
        calls.append(name)
        return inner(self, *args, **kwargs)

    return method


for _name in (
    "lookup",
    "submit_store",
    "submit_load",
    "touch",
    "on_new_request",
    "on_request_finished",
    "on_schedule_end",
    "drain_jobs",
):
    setattr(Kvbm, _name, counted(_name))

from vllm.v1.kv_offload.tiering.example import (  # noqa: E402
    manager as example,
)

example.ExampleSecondaryTierManager = AdaptedTier
reached = [0, 0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    calls.clear()
    try:
        return (yield)
    finally:
        reached[1] += 1
        reached[0] += bool(calls)


@pytest.fixture(autouse=True)
def give_back():
    """Each test's stores, with nothing held in them."""
    yield
    while adapted:
        adapted.pop().give_back()


def pytest_sessionfinish():
    print(f"# {reached[0]} of {reached[1]} tests call the tier")
