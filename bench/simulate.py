#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replays a request trace against each eviction order, without the kernel.

An independent statement of what kvbm-replay should measure with one worker
and one request in flight: written from the contract's words, sharing no code
with the module, so that a difference between the two means something.

Of each request, in order:
  1. blocks beyond the pool's size are left out;
  2. the longest prefix of present blocks is held: these are the hits;
  3. of the rest, what is present behind a hole is held too ("reused", not a
     hit), and the missing is allocated: free slots first, then evictions;
  4. the allocated blocks are registered, in order;
  5. everything is released, tail first.
The hit rate is hits / all blocks of all requests, those left out included.

An entry of hash_ids stands for a block and its whole prefix, so it is the
block's name here and its predecessor in the request is its parent.
"""
import argparse
import collections
import heapq
import json
import sys

POLICIES = ("fifo", "lru", "multi_lru", "lineage_tick", "lineage_fifo")
THRESHOLDS = (3, 8, 15)
SATURATED = 15


class Lru:
    """fifo and lru: in order of becoming inactive."""

    def __init__(self, counts):
        self.order = collections.OrderedDict()

    def insert(self, block, parent):
        self.order[block] = None

    def remove(self, block):
        del self.order[block]

    def pop(self):
        return self.order.popitem(last=False)[0]

    def gone(self, block):
        pass

    def __contains__(self, block):
        return block in self.order

    def __len__(self):
        return len(self.order)


class MultiLru:
    """Four LRU lists, chosen by frequency when a block becomes inactive.

    The counts are exact here, a sketch in the kernel: hence "near".
    """

    def __init__(self, counts):
        self.counts = counts
        self.lists = [collections.OrderedDict() for _ in range(4)]
        self.where = {}

    def insert(self, block, parent):
        level = sum(t <= self.counts[block] for t in THRESHOLDS)
        self.where[block] = self.lists[level]
        self.lists[level][block] = None

    def remove(self, block):
        del self.where.pop(block)[block]

    def pop(self):
        block = next(l for l in self.lists if l).popitem(last=False)[0]
        del self.where[block]
        return block

    def gone(self, block):
        pass

    def __contains__(self, block):
        return block in self.where

    def __len__(self):
        return len(self.where)


class Node:
    __slots__ = ("name", "up", "under", "tick", "idle")

    def __init__(self, name):
        self.name = name
        self.up = None          # the parent's node, or None
        self.under = 0          # nodes that hang here, placeholders too
        self.tick = 0
        self.idle = False       # an inactive block, else a placeholder


class Lineage:
    """Only leaves go.  Subclasses say which leaf."""

    def __init__(self, counts):
        self.nodes = {}
        self.idle = 0
        self.clock = 0

    def insert(self, block, parent):
        node = self.nodes.setdefault(block, Node(block))
        self.clock += 1
        self.idle += 1
        node.tick = self.clock
        node.idle = True
        # A placeholder may have kept its upward link.
        if node.up is None and parent is not None:
            node.up = self.nodes.setdefault(parent, Node(parent))
            node.up.under += 1
            self.covered(node.up)
        if not node.under:
            self.leaf(node)

    def remove(self, block):
        node = self.nodes[block]
        self.idle -= 1
        node.idle = False
        self.covered(node)
        self.prune(node)

    def pop(self):
        node = self.first()
        self.idle -= 1
        node.idle = False
        self.prune(node)
        return node.name

    def gone(self, block):
        """The block left the store: its placeholder hangs nowhere."""
        node = self.nodes.get(block)
        if node is not None and node.up is not None:
            self.unlink(node)

    def prune(self, node):
        """Drops placeholders with nothing under them, upwards."""
        while node is not None and not node.idle and not node.under:
            del self.nodes[node.name]
            node = self.unlink(node)

    def unlink(self, node):
        up, node.up = node.up, None
        if up is not None:
            up.under -= 1
            if up.idle and not up.under:
                self.leaf(up)
        return up

    def __contains__(self, block):
        node = self.nodes.get(block)
        return node is not None and node.idle

    def __len__(self):
        return self.idle


class LineageTick(Lineage):
    """The leaf that became inactive first."""

    def __init__(self, counts):
        super().__init__(counts)
        self.heap = []

    def leaf(self, node):
        heapq.heappush(self.heap, (node.tick, id(node), node))

    def covered(self, node):
        pass                    # stale heap entries are skipped

    def first(self):
        while True:
            tick, _, node = heapq.heappop(self.heap)
            if node.idle and not node.under and node.tick == tick:
                return node


class LineageFifo(Lineage):
    """In order of becoming a leaf."""

    def __init__(self, counts):
        super().__init__(counts)
        self.leaves = collections.OrderedDict()

    def leaf(self, node):
        self.leaves[node.name] = node

    def covered(self, node):
        self.leaves.pop(node.name, None)

    def first(self):
        return self.leaves.popitem(last=False)[1]


CLASSES = dict(zip(POLICIES, (Lru, Lru, MultiLru, LineageTick, LineageFifo)))


def replay(trace, blocks, policy, dedup_by_register=False):
    counts = collections.Counter()
    index = CLASSES[policy](counts)
    free = blocks
    out = dict(policy=policy, blocks=blocks, requests=0, block_accesses=0,
               prefix_hits=0, reused_behind_hole=0, trimmed_blocks=0,
               allocations=0, evictions=0)

    def count(block):
        if counts[block] < SATURATED:
            counts[block] += 1

    def allocate(n):
        nonlocal free
        out["allocations"] += n
        take = min(free, n)
        free -= take
        for _ in range(n - take):
            index.gone(index.pop())
            out["evictions"] += 1

    for request in trace:
        chain = request[:blocks]
        out["requests"] += 1
        out["block_accesses"] += len(request)
        out["trimmed_blocks"] += len(request) - len(chain)

        hits = 0
        while hits < len(chain) and chain[hits] in index:
            index.remove(chain[hits])
            count(chain[hits])
            hits += 1
        out["prefix_hits"] += hits

        rest = chain[hits:]
        if dedup_by_register:
            # Allocate for all; registration answers with the present one.
            allocate(len(rest))
            for block in rest:
                if block in index:
                    index.remove(block)
                    out["reused_behind_hole"] += 1
                    free += 1
                else:
                    count(block)
        else:
            missing = [b for b in rest if b not in index]
            for block in rest:
                if block in index:
                    index.remove(block)
                    out["reused_behind_hole"] += 1
            allocate(len(missing))
            for block in missing:
                count(block)

        for i in range(len(chain) - 1, -1, -1):
            index.insert(chain[i], chain[i - 1] if i else None)
        if free + len(index) != blocks:
            sys.exit(f"{policy}: {free} + {len(index)} != {blocks}")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("trace", help="JSON lines, - for standard input")
    p.add_argument("--blocks", default="2000,5000,10000,20000,50000",
                   help="pool sizes (default: %(default)s)")
    p.add_argument("--policy", default=",".join(POLICIES),
                   help="eviction orders (default: all)")
    p.add_argument("--limit", type=int, help="only the first so many requests")
    p.add_argument("--reject", action="store_true",
                   help="allocate for what is present behind a hole too and "
                   "let the registration find it")
    p.add_argument("--json", action="store_true", help="one object a line")
    args = p.parse_args()

    with (sys.stdin if args.trace == "-" else open(args.trace)) as f:
        trace = [json.loads(line)["hash_ids"] for line in f if line.strip()]
    trace = trace[:args.limit]
    sizes = [int(b) for b in args.blocks.split(",")]
    policies = args.policy.split(",")
    unknown = set(policies) - set(POLICIES)
    if unknown:
        p.error(f"unknown policy {', '.join(sorted(unknown))}")

    if not args.json:
        print(f"{'hit rate, %':<14}" + "".join(f"{b:>9}" for b in sizes))
    for policy in policies:
        if not args.json:
            print(f"{policy:<14}", end="", flush=True)
        for blocks in sizes:
            r = replay(trace, blocks, policy, args.reject)
            r["hit_rate"] = r["prefix_hits"] / max(1, r["block_accesses"])
            if args.json:
                print(json.dumps(r), flush=True)
            else:
                print(f"{100 * r['hit_rate']:9.2f}", end="", flush=True)
        if not args.json:
            print()


if __name__ == "__main__":
    main()
