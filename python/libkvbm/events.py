# SPDX-License-Identifier: MIT
"""What happens in a store, as a stream: who reads it sees every change.

A source says in turn which hashes came and which left, and can tell at any time
which are there. When a reader was too slow it gets LOST in place of what it
missed, asks for a snapshot, and goes on.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Change(enum.IntEnum):
    """What a record tells."""

    STORED = 0
    REMOVED = 1
    CLEARED = 2
    LOST = 3


class Record(NamedTuple):
    """A change.

    hash: of 128 bits; 0 of CLEARED and LOST
    """

    change: Change
    hash: int


class Source(Protocol):
    """Where records come from."""

    def fileno(self) -> int:
        """A descriptor that poll(2) says is readable when there are records."""

    def read(self) -> list[Record]:
        """The next records, in order; none if nothing happened."""

    def snapshot(self) -> Iterable[int]:
        """The hashes that are there, parents before their children if known.

        What changes meanwhile is told by records that come afterwards.
        """
