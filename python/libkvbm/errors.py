# SPDX-License-Identifier: MIT
"""What can go wrong. Every class is an OSError, with errno and a text."""

from __future__ import annotations

import errno as _errno
import os
from typing import ClassVar


class KvbmError(OSError):
    """A request failed; ``errno`` says why, ``done`` how far a batch got.

    What is done stays done: elements of a batch before ``done`` have had their
    effect, the one at ``done`` and those after it have changed nothing.
    """

    # Errnos that make this class; see error().
    ERRNOS: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self, code: int, what: str = "", *, done: int | None = None
    ) -> None:
        text = os.strerror(code)
        super().__init__(code, f"{what}: {text}" if what else text)
        self.done = done


class NoModule(KvbmError):
    """The module is not loaded, or there is no such store (ENOENT, ENXIO)."""

    ERRNOS = (_errno.ENOENT, _errno.ENXIO)


class NoSpace(KvbmError):
    """Too few blocks are free or inactive (ENOSPC); nothing has changed."""

    ERRNOS = (_errno.ENOSPC,)


class OverQuota(KvbmError):
    """A limit of the session, the user or the module (EDQUOT, EUSERS)."""

    ERRNOS = (_errno.EDQUOT, _errno.EUSERS)


class TimedOut(KvbmError, TimeoutError):
    """The timeout passed before blocks were available (ETIMEDOUT)."""

    ERRNOS = (_errno.ETIMEDOUT,)


class NotHeld(KvbmError, PermissionError):
    """The session does not hold the block in the required state (EPERM)."""

    ERRNOS = (_errno.EPERM,)


class Denied(KvbmError, PermissionError):
    """The node's permissions forbid it (EACCES)."""

    ERRNOS = (_errno.EACCES,)


class Revoked(KvbmError):
    """The session was revoked and no longer holds anything (ESHUTDOWN)."""

    ERRNOS = (_errno.ESHUTDOWN,)


class StoreGone(KvbmError):
    """The store was destroyed (ENODEV)."""

    ERRNOS = (_errno.ENODEV,)


class ForkedSession(KvbmError):
    """This process got the session by fork, which closed it here (EBADF).

    The blocks belong to the parent. Open a separate session, or open the
    parent's with ``inherit=True`` if both should own what either takes.
    """

    def __init__(self, what: str = "") -> None:
        super().__init__(_errno.EBADF, what)
        self.args = (
            _errno.EBADF,
            f"{what}: the session belongs to the parent process",
        )


class ClosedSession(KvbmError):
    """The session was closed (EBADF)."""

    def __init__(self, what: str = "") -> None:
        super().__init__(_errno.EBADF, what)
        self.args = (_errno.EBADF, f"{what}: the session is closed")


_BY_ERRNO: dict[int, type[KvbmError]] = {
    code: cls
    for cls in (
        NoModule,
        NoSpace,
        OverQuota,
        TimedOut,
        NotHeld,
        Denied,
        Revoked,
        StoreGone,
    )
    for code in cls.ERRNOS
}


def error(ret: int, what: str, done: int | None = None) -> KvbmError:
    """The exception for a negative return value of the C library."""
    return _BY_ERRNO.get(-ret, KvbmError)(-ret, what, done=done)
