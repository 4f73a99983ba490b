# SPDX-License-Identifier: MIT
"""Documentation/guides/vllm.rst: its commands run, its options are there."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from engine import Engine, prompt

pytestmark = pytest.mark.module
GUIDE = Path(os.environ.get("KVBM_GUIDE", "vllm.rst"))


def blocks(kind):
    """The lines of the guide's code blocks, of those with `:class: kind`."""
    found, inside, keep = [], False, False
    for line in GUIDE.read_text().splitlines():
        if line.startswith((".. code-block:: console", ".. code-block:: text")):
            inside, keep = True, kind is None
            found.append([])
        elif inside and line.strip() == f":class: {kind}":
            keep = True
        elif inside and line and not line.startswith(" "):
            inside = False
        elif inside and keep and line.strip() and ":class:" not in line:
            found[-1].append(line.strip())
    return [b for b in found if b]


def commands(kind):
    """Commands of blocks, with their continued lines."""
    result = []
    for lines in blocks(kind):
        for line in lines:
            if line.startswith(("# ", "$ ")):
                result.append(line[2:])
            elif result:
                result[-1] += "\n" + line
    return result


def test_commands():
    """In their order; before the pool is destroyed, two engines use it."""
    tested = commands("tested")
    assert len(tested) >= 6
    assert tested[0].startswith("kvbmctl create")
    assert tested[-1].startswith("kvbmctl destroy")
    # The options that vllm serve is given.
    serve = next(c for c in commands(None) if c.startswith("vllm serve"))
    options = json.loads(re.search(r"'(\{.*\})'", serve, re.S).group(1))
    extra = options["kv_connector_extra_config"]
    assert options["kv_connector"] == "OffloadingConnector"
    assert extra["spec_name"] == "TieringOffloadingSpec"
    (tier,) = extra["secondary_tiers"]
    engines = []
    for command in tested:
        if command.startswith("kvbmctl destroy"):
            for e in engines:
                e.close()
        if command.startswith("kvbmctl sessions"):
            engines = [Engine(**tier) for _ in range(2)]
            assert engines[0].request(prompt("guide", 5)) == 0
            engines[0].idle()
            assert engines[1].request(prompt("guide", 5)) == 5
        run = subprocess.run(
            command,
            shell=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert run.returncode == 0, f"{command}: {run.stdout}"
        if command.startswith("kvbmctl sessions"):
            assert run.stdout.count("python3") == 2, run.stdout
    assert len(engines) == 2


def publish_options():
    """The arguments that the guide gives to kvbm-publish."""
    command = next(c for c in commands(None) if c.startswith("kvbm-publish"))
    return command.replace("\\", " ").split()[1:]


def test_options():
    """The options that the guide names are there."""
    import dataclasses

    from libkvbm.tier import Options

    table = re.search(
        r"=====\n(``threads``.*?)\n=====", GUIDE.read_text(), re.S
    )
    named = set(re.findall(r"^``(\w+)``", table.group(1), re.M))
    assert {"threads", "on_reset"} <= named
    known = {f.name for f in dataclasses.fields(Options)} | {"revision"}
    assert named <= known
