# SPDX-License-Identifier: MIT
"""vLLM from the directory that KVBM_VLLM names."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
collect_ignore_glob = []

where = os.environ.get("KVBM_VLLM")
if where is None:
    collect_ignore_glob.append("test_*.py")
else:
    if os.environ.get("KVBM_VM"):
        # Needs no module, and files that are not taken along.
        collect_ignore_glob.append("test_publish.py")
    if not os.environ.get("KVBM_CONTAINERS"):
        # Takes long: has a suite of its own.
        collect_ignore_glob.append("test_container.py")
    import standins

    where = Path(where)
    version = os.environ.get("KVBM_VLLM_VERSION", where.name.split("-")[-1])
    standins.install(where, version, os.environ["PYTHONHASHSEED"])


@pytest.fixture
def pool():
    """Makes a pool: a store with its blocks' bytes."""
    import libkvbm

    made = []

    def make(blocks=64, row=4096, name="pool"):
        made.append(
            libkvbm.Store.create(
                name,
                blocks,
                block_size=1,
                opaque=True,
                block_bytes=-(-row // 4096) * 4096,
            )
        )
        return {"store": name}

    yield make
    for store in made:
        with store.open() as s:
            c = s.counts()
            sessions = [x for x in s.sessions() if x.held]
        store.destroy(force=True)
        assert c.available == c.total, f"left: {c} {sessions}"
