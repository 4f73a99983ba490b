# SPDX-License-Identifier: MIT
"""python -m libkvbm demo: two engines share a pool, and one is killed."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings

from . import KvbmError, NoModule, Store
from .prefix import PrefixCache

SYSTEM = list(range(256))


def _engine(store: str, name: int, out: int) -> None:
    """Four requests: a shared prompt, and a separate question each."""
    with PrefixCache(store) as cache:
        for i in range(4):
            tokens = SYSTEM + [1000 * name + i] * 64
            with cache.start(tokens) as request:
                request.computed(len(tokens))
                os.write(
                    out,
                    f"engine {name}, request {i}: {request.cached} of "
                    f"{len(request.blocks)} blocks were there\n".encode(),
                )


def _fork() -> int:
    with warnings.catch_warnings():
        # This process has no threads that a child could miss.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def demo(blocks: int) -> int:
    """Run it; 0 if all went as expected."""
    name = f"demo-{os.getpid()}"
    with Store.create(name, blocks) as store, store.open() as session:
        print(f"1. Two engines with one prompt and a pool of {blocks} blocks\n")
        sys.stdout.flush()
        for engine in (1, 2):
            pid = _fork()
            if pid == 0:
                try:
                    _engine(name, engine, 1)
                except KvbmError as e:
                    os.write(2, f"{e}\n".encode())
                    os._exit(1)
                os._exit(0)
            if os.waitpid(pid, 0)[1]:
                return 1
        print("\n2. An engine is killed while it holds half of the pool\n")
        sys.stdout.flush()
        r, w = os.pipe()
        pid = _fork()
        if pid == 0:
            with store.open() as mine:
                held = mine.alloc(blocks // 2)
                os.write(w, b"x")
                signal.pause()
                held.release()
            os._exit(0)
        os.read(r, 1)
        os.close(r)
        os.close(w)
        before = session.counts().available
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        after = session.counts()
        print(
            f"available before {before}, when it was reaped {after.available}"
        )
        if after.available != after.total:
            return 1
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m libkvbm", description="kvbm from Python"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("demo", help="two engines share a pool")
    p.add_argument("--blocks", type=int, default=256, help="of the pool")
    args = parser.parse_args()
    try:
        return demo(args.blocks)
    except NoModule as e:
        print(f"{e}: is the module loaded? modprobe kvbm", file=sys.stderr)
        return 1
    except KvbmError as e:
        print(e, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
