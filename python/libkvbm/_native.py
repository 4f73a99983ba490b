# SPDX-License-Identifier: MIT
"""The shared library, loaded once."""

from __future__ import annotations

import os
from typing import Any

import cffi

from . import _cdef

ffi: Any = cffi.FFI()
ffi.cdef(_cdef.CDEF)


def _load() -> Any:
    name = os.environ.get("LIBKVBM") or _cdef.SONAME
    try:
        return ffi.dlopen(name)
    except OSError as e:
        raise ImportError(
            f"libkvbm needs the shared library {name}: {e}. It comes with "
            "kvbm (make install, or Debian's libkvbm1); the environment "
            "variable LIBKVBM may give its path."
        ) from e


lib: Any = _load()
libc: Any = ffi.dlopen(None)
NULL: Any = ffi.NULL
