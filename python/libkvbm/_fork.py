# SPDX-License-Identifier: MIT
"""What a child made by fork has no business with."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Forkable(Protocol):
    def _after_fork(self) -> None: ...


_live: weakref.WeakSet[_Forkable] = weakref.WeakSet()


def watch(obj: _Forkable) -> None:
    """Have obj._after_fork() called in children."""
    _live.add(obj)


def _in_child() -> None:
    for obj in list(_live):
        obj._after_fork()


os.register_at_fork(after_in_child=_in_child)
