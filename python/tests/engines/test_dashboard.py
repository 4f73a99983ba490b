# SPDX-License-Identifier: MIT
"""What packaging's dashboard and the guide ask for is told to Prometheus."""

import functools
import json
import re
from pathlib import Path

import prometheus_client
import pytest
from vllm.distributed.kv_transfer.kv_connector.v1.offloading.metrics import (
    OffloadPromMetrics,
)

from libkvbm.vllm import Kvbm

TREE = Path(__file__).parents[3]
BOARD = TREE / "packaging" / "kvbm-vllm-dashboard.json"
GUIDE = TREE / "Documentation" / "guides" / "vllm.rst"
NAME = re.compile(r"vllm:kv_offload_kvbm_\w+")

pytestmark = pytest.mark.skipif(
    not BOARD.exists(), reason="the tree is not here"
)


def told():
    """Names of what a replica's /metrics has, made by vLLM's own code."""
    registry = prometheus_client.CollectorRegistry()
    maker = object.__new__(OffloadPromMetrics)
    maker._labelnames = ["model_name", "engine"]
    maker._counter_cls, maker._gauge_cls, maker._histogram_cls = (
        functools.partial(c, registry=registry)
        for c in (
            prometheus_client.Counter,
            prometheus_client.Gauge,
            prometheus_client.Histogram,
        )
    )
    for name, metadata in Kvbm.build_metric_definitions({}).items():
        maker._create_metric(name, metadata).labels("a-model", "0")
    text = prometheus_client.generate_latest(registry).decode()
    return {line.split("{")[0] for line in text.splitlines() if "{" in line}


def test_dashboard():
    """Each metric is one that there is, by the name that Prometheus has."""
    board = json.loads(BOARD.read_text())
    there = told()
    asked = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            names = NAME.findall(target["expr"])
            assert names, target["expr"]
            assert set(names) <= there
            asked.update(names)
    for v in board["templating"]["list"]:
        found = set(NAME.findall(v["query"]))
        assert found <= there
        assert found or v["type"] == "datasource"
    # All that is counted is on it.
    assert asked == {n for n in there if not n.endswith("_created")}


def test_guide():
    """The guide's names too, in its table and in its panel."""
    named = set(NAME.findall(GUIDE.read_text()))
    assert len(named) > 8
    assert named <= told()
