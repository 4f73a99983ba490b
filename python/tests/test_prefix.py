# SPDX-License-Identifier: MIT
"""The worked example, and the demo."""

import subprocess
import sys

import pytest

import libkvbm
from libkvbm.prefix import PrefixCache

pytestmark = pytest.mark.module


def test_requests(store):
    cache = PrefixCache(store.open_session())
    prompt = list(range(40))
    with cache.start(prompt) as first:
        assert first.cached == 0 and len(first.blocks) == 3
        assert first.computed(16) == 1 and first.computed(16) == 0
        with cache.start(prompt) as second:
            assert second.cached == 1 and second.blocks[0] == first.blocks[0]
            assert first.computed(40) == 1
            # The second was slower: it holds the first one's block now.
            assert second.computed(40) == 1
            assert second.blocks[:2] == first.blocks[:2]
        first.append(range(8))
        assert first.computed(48) == 1
        assert cache.usage() == 3 / 16
    with cache.start([*range(40), *range(8)]) as third:
        # One token has to be computed, so the last block is not taken.
        assert third.cached == 2
    assert cache.reset()
    cache.session.close()


def test_no_room(store):
    cache = PrefixCache(store.open_session())
    with cache.start(range(200)) as first:
        with pytest.raises(libkvbm.NoSpace):
            cache.start(range(100))
        with pytest.raises(libkvbm.NoSpace):
            first.append(range(100))
        assert len(first.blocks) == 13
    cache.session.close()


def test_demo():
    run = subprocess.run(
        [sys.executable, "-m", "libkvbm", "demo"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert "engine 2, request 0: 16 of 20 blocks were there" in run.stdout
    assert "available before 128, when it was reaped 256" in run.stdout
