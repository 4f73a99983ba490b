# SPDX-License-Identifier: MIT
"""A router, as far as tests need one."""


class Consumer:
    """A router's index: what it is told, checked as routers check it."""

    def __init__(self):
        self.blocks = {}
        self.orphans = self.unknown_removals = self.clears = 0

    def take(self, events):
        for e in events:
            if e["type"] == "AllBlocksCleared":
                self.blocks.clear()
                self.clears += 1
            elif e["type"] == "BlockStored":
                n = len(e["block_hashes"])
                assert len(e["token_ids"]) == n * e["block_size"]
                parent = e["parent_block_hash"]
                if parent is not None and parent not in self.blocks:
                    self.orphans += 1
                    continue
                for i, h in enumerate(e["block_hashes"]):
                    assert h not in self.blocks, "told twice"
                    at = i * e["block_size"]
                    self.blocks[h] = (
                        parent,
                        tuple(e["token_ids"][at : at + e["block_size"]]),
                    )
                    parent = h
            else:
                for h in e["block_hashes"]:
                    if self.blocks.pop(h, None) is None:
                        self.unknown_removals += 1
