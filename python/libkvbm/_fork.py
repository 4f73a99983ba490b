# SPDX-License-Identifier: MIT
"""Objects that a child must not use after fork."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Forkable(Protocol):
    def _after_fork(self) -> None: ...


_live: weakref.WeakSet[_Forkable] = weakref.WeakSet()


def watch(obj: _Forkable) -> None:
    """Call obj._after_fork() in children."""
    _live.add(obj)


def _in_child() -> None:
    for obj in list(_live):
        obj._after_fork()


os.register_at_fork(after_in_child=_in_child)
