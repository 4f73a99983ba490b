# SPDX-License-Identifier: MIT
"""What a call costs from Python, over the same call from C.

Started by bench/run-python. Prints JSON lines: ns of a call, the fastest of
many short windows, since other programs only ever add to it.
"""

import json
import os
import sys
import time

import cffi
import numpy as np

import libkvbm
from libkvbm import _native

WINDOWS, CALLS, N = 200, 500, 128


def fastest(work):
    """Ns of a call: work makes CALLS of them."""
    best = float("inf")
    for _ in range(WINDOWS):
        start = time.perf_counter_ns()
        work()
        best = min(best, time.perf_counter_ns() - start)
    return best / CALLS


def main():
    ffi = cffi.FFI()
    ffi.cdef(
        "int null_open(void); double null_match(int, uint32_t, void *, "
        "uint32_t *, uint32_t); extern void *null_call;"
    )
    null = ffi.dlopen(os.environ["NULL_LIBRARY"])
    fd = null.null_open()
    hashes = libkvbm.empty(N)
    ids = np.zeros(N, np.uint32)
    f = _native.ffi
    null.null_call = ffi.cast(
        "void *", int(f.cast("uintptr_t", f.addressof(_native.lib, "kvbm_match")))
    )
    h = ffi.from_buffer(hashes)
    i = ffi.from_buffer("uint32_t[]", ids, True)
    c = (
        min(null.null_match(fd, N, h, i, CALLS) for _ in range(WINDOWS))
        / CALLS
        * 1e9
    )
    assert c > 0
    session = libkvbm.Session(fd)

    def loop():
        for _ in range(CALLS):
            pass

    def into():
        match = session.match_into
        for _ in range(CALLS):
            match(hashes, ids)

    def holds():
        match = session.match
        for _ in range(CALLS):
            match(hashes).take()

    def from_list():
        match = session.match
        for _ in range(CALLS):
            match(libkvbm.from_ints(numbers)).take()

    numbers = list(range(N))
    empty = fastest(loop)
    rows = [("C", c), ("match_into", fastest(into) - empty)]
    rows.append(("match", fastest(holds) - empty))
    rows.append(("match, hashes from a list", fastest(from_list) - empty))
    for name, ns in rows:
        print(
            json.dumps(
                {
                    "bench": "python",
                    "op": name,
                    "hashes": N,
                    "ns_per_call": round(ns),
                    "ns_over_c": round(ns - c),
                    "python": sys.version.split()[0],
                }
            )
        )
    session.close()


if __name__ == "__main__":
    main()
