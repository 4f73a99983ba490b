# SPDX-License-Identifier: MIT
"""What test_container.py runs in a container.

    engine   an engine: loads what others stored, stores, touches all of the
             pool, then holds blocks until it is killed
    touch    touches all of the pool only

It says what it did in lines of JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

import libkvbm


def say(**what):
    print(json.dumps(what), flush=True)


def touch(session):
    """A byte of each page: how many bytes were within reach."""
    rows = np.asarray(memoryview(session.payload._map))
    int(rows[::4096].sum())
    return rows.size


def engine(name):
    import standins

    stage = Path(os.environ["KVBM_STAGE"])
    standins.install(stage, os.environ["KVBM_VLLM_VERSION"])
    from engine import Engine, prompt

    e = Engine(store=name, required=True)
    found = e.request(prompt("host", 6))
    e.forget()
    e.request(prompt("container", 6))
    e.quiet()
    say(found=found, checked=e.counts["checked"])
    with libkvbm.Session(name) as s:
        say(touched=touch(s))
        with s.alloc(9) as blocks:
            answer = e.core.lookup(prompt("host", 1)[0], "held")
            say(held=len(blocks) + (answer.name == "HIT"))
            time.sleep(600)


what, name = sys.argv[1:]
if what == "engine":
    engine(name)
else:
    with libkvbm.Session(name) as s:
        say(touched=touch(s))
        sys.stdin.read()
