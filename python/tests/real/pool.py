# SPDX-License-Identifier: MIT
"""A pool for a machine without the module: the calls that a tier makes.

Stands in for libkvbm's Session, Probe and Payload.of_session. What the module
does is tested with the module; here the engine is the real one.
"""

import os
import threading

import numpy as np

import libkvbm
from libkvbm.holds import Blocks, Holds
from libkvbm.records import (
    EVICTED,
    NO_BLOCK,
    Claim,
    Counts,
    Presence,
    StoreInfo,
)

pools = {}


class Pool:
    """Blocks, by hash; none is ever evicted."""

    def __init__(self, blocks, block_bytes):
        self.lock = threading.Lock()
        self.blocks, self.block_bytes = blocks, block_bytes
        self.fd = os.memfd_create("pool")
        os.ftruncate(self.fd, blocks * block_bytes)
        self.free = list(range(blocks))
        self.by_hash = {}
        self.holds = dict.fromkeys(range(blocks), 0)
        self.claims = {}


class Session:
    """libkvbm.Session, as far as a tier uses it."""

    closed = False

    def __init__(self, store):
        if store not in pools:
            raise libkvbm.NoModule(2, f"open {store}")
        self.pool = pools[store]

    def close(self):
        self.closed = True

    def fileno(self):
        return self.pool.fd

    def info(self):
        p = self.pool
        flags = libkvbm._native.lib.KVBM_CREATE_OPAQUE
        return StoreInfo(
            *(1, "pool", "lru", p.blocks, 1, 0, (0, 0, 0), flags),
            *(0, 0, 1, 0, 0, 1, p.block_bytes, 0),
        )

    def counts(self):
        n = len(self.pool.free)
        return Counts(self.pool.blocks, n, 0, n, len(self.pool.by_hash), 0)

    def presence(self, hashes, *, pending=False):
        assert pending
        p = self.pool
        found = []
        with p.lock:
            for h in libkvbm.to_ints(hashes):
                if h in p.by_hash:
                    found.append(Presence.INACTIVE)
                elif h in p.claims.values():
                    found.append(Presence.PENDING)
                else:
                    found.append(Presence.ABSENT)
        return np.array(found, np.uint8)

    def match_pending_into(self, hashes, ids):
        n = self.match_into(hashes, ids)
        after = self.presence(hashes[n:], pending=True) == Presence.PENDING
        return n, n + int(np.argmax(after)) if after.any() else len(hashes)

    def match_into(self, hashes, ids):
        n = 0
        with self.pool.lock:
            for i, h in enumerate(libkvbm.to_ints(hashes)):
                if h not in self.pool.by_hash:
                    break
                ids[i] = self.pool.by_hash[h]
                self.pool.holds[int(ids[i])] += 1
                n += 1
        return n

    def scan(self, hashes, *, touch=False):
        ids = np.full(len(hashes), NO_BLOCK, np.uint32)
        for i in range(len(hashes)):
            self.match_into(hashes[i : i + 1], ids[i : i + 1])
        return Holds(self, ids)

    def alloc(self, n):
        with self.pool.lock:
            if n > len(self.pool.free):
                raise libkvbm.NoSpace(28, "alloc")
            ids = [self.pool.free.pop(0) for _ in range(n)]
        return Blocks(self, np.array(ids, np.uint32), np.empty(0, EVICTED))

    def claim(self, ids, hashes, *, notes=None):
        assert notes is None
        found = []
        for i, block in enumerate(map(int, ids)):
            (state,) = self.presence(hashes[i : i + 1], pending=True)
            if state == Presence.ABSENT:
                (h,) = libkvbm.to_ints(hashes[i : i + 1])
                self.pool.claims[block] = h
                found.append(Claim.CLAIMED)
            elif state == Presence.PENDING:
                found.append(Claim.PENDING)
            else:
                found.append(Claim.PRESENT)
        return np.array(found, np.uint8)

    def register(self, ids, results, *, duplicates=None, notes=None):
        assert duplicates is False and notes is None
        with self.pool.lock:
            for i, own in enumerate(map(int, ids)):
                block = self.pool.by_hash.setdefault(
                    self.pool.claims.pop(own), own
                )
                if block != own:
                    self.pool.free.append(own)
                self.pool.holds[block] += 1
                results[i]["block"] = block

    def release(self, ids):
        with self.pool.lock:
            for block in map(int, ids):
                if self.pool.holds[block]:
                    self.pool.holds[block] -= 1
                else:
                    self.pool.claims.pop(block, None)
                    self.pool.free.append(block)


class Probe:
    """libkvbm.Probe: what it does in one call of the library."""

    ABSENT, PENDING = libkvbm.Probe.ABSENT, libkvbm.Probe.PENDING

    def __init__(self, session, digest, group_bytes=0):
        self.session, self.digest = session, digest
        self.group_bytes = group_bytes

    def find(self, key):
        n = len(key) - self.group_bytes
        group = int.from_bytes(key[n:], "big")
        h = libkvbm.opaque(self.digest, key[:n], group)
        ids = np.empty(1, np.uint32)
        found, asked = self.session.match_pending_into(h, ids)
        if found:
            return int(ids[0])
        return self.ABSENT if asked else self.PENDING


class Payload(libkvbm.Payload):
    """Its memory."""

    @classmethod
    def of_session(cls, fd):
        (pool,) = (p for p in pools.values() if p.fd == fd)
        return cls(fd, pool.block_bytes, pool.blocks)
