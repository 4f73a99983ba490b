# SPDX-License-Identifier: MIT
"""A whole vLLM, unpatched, loads the tier by its options alone."""

import logging

import pool as standin
import pytest
import replica
from replica import BLOCK, Replica, model

import libkvbm
import libkvbm.tier

ROW = 4096


@pytest.fixture
def store(monkeypatch):
    """A pool by the name that the guide uses."""
    monkeypatch.setattr(libkvbm.tier, "Session", standin.Session)
    monkeypatch.setattr(libkvbm.tier, "Probe", standin.Probe)
    monkeypatch.setattr(libkvbm.tier, "Payload", standin.Payload)
    standin.pools["pool"] = p = standin.Pool(128, ROW)
    yield p
    assert not any(p.holds.values()), "held at the end"
    assert len(p.free) + len(p.by_hash) == p.blocks, "blocks lost"
    del standin.pools["pool"]


@pytest.fixture
def said(caplog):
    """What vLLM and the tier log."""
    for name in ("vllm", "libkvbm"):
        logging.getLogger(name).propagate = True
    caplog.set_level(logging.INFO)
    return caplog


def tokens(seed, n):
    return [(seed * 31 + i * 7) % 997 + 1 for i in range(n * BLOCK + 3)]


def test_shared(tmp_path, store, said):
    """What one replica computes, another loads, byte for byte."""
    path = model(tmp_path / "m")
    a, b = Replica(path, "a"), Replica(path, "b")
    assert a.request(tokens(1, 6)) == 0
    assert len(store.by_hash) == 6
    assert b.request(tokens(1, 6)) == 6 * BLOCK
    a.forget()
    assert a.request(tokens(1, 6) + tokens(2, 2)) == 6 * BLOCK
    assert said.text.count("engines share blocks with digest") == 2
    assert a.core.off is None and b.core.off is None
    a.close()
    b.close()


def test_digest(tmp_path, store):
    """Other weights, or a configuration that was overridden: nothing shared."""
    a = Replica(model(tmp_path / "a"), "a")
    b = Replica(model(tmp_path / "b"), "b")
    c = Replica(
        model(
            tmp_path / "c",
            rope_scaling={"rope_type": "linear", "factor": 2.0},
        ),
        "c",
    )
    for i, r in enumerate((a, b, c)):
        assert r.request(tokens(3, 5)) == 0
        assert len(store.by_hash) == 5 * (i + 1)
        r.forget()
        assert r.request(tokens(3, 5)) == 5 * BLOCK
    for r in (a, b, c):
        r.close()


def test_hashes_of_its_own(tmp_path, store, said, monkeypatch):
    """No PYTHONHASHSEED, and not a content hash: off, and says what to do."""
    path = model(tmp_path / "m")
    with monkeypatch.context() as m:
        m.delenv("PYTHONHASHSEED")
        a = Replica(path, "a")
        a.request(tokens(4, 3))
        shared = a.core.off is None
        # Releases differ in whether NONE_HASH is random then.
        assert shared == bool(store.by_hash)
        a.close()
    b = Replica(path, "b", hash_algorithm="xxhash_cbor")
    known = len(store.by_hash)
    b.request(tokens(5, 3))
    assert b.core.off is not None and len(store.by_hash) == known
    assert "PYTHONHASHSEED" in said.text
    b.close()


def test_no_module(tmp_path, said):
    """This machine has no pool: one line, and vLLM runs; or not at all."""
    path = model(tmp_path / "m")
    a = Replica(path, "a", retry_min_s=0.01)
    for i in range(3):
        assert a.request(tokens(6 + i, 3)) == 0
    assert said.text.count("cannot open pool") == 1
    a.close()
    with pytest.raises(libkvbm.NoModule):
        Replica(path, "b", required=True)


def test_metrics(tmp_path, store):
    """vLLM has the tier's metrics defined, and gets them."""
    from vllm.v1.kv_offload.factory import OffloadingSpecFactory

    a = Replica(model(tmp_path / "m"), "a")
    a.request(tokens(9, 4))
    options = replica.guide_options()["kv_connector_extra_config"]
    spec = OffloadingSpecFactory.get_spec_cls(options)
    defined = spec.build_metric_definitions(options)
    for name in libkvbm.tier.COUNTERS:
        assert f"vllm:kv_offload_kvbm_{name}" in defined
    assert "vllm:kv_offload_kvbm_" in str(a.stats)
    a.close()
