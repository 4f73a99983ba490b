# SPDX-License-Identifier: MIT
"""The memory of a store's blocks: block id is at id x block_bytes."""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ._native import NULL, ffi, lib, libc
from .errors import error

_memcpy = libc.memcpy
_BYTES = ffi.typeof("uint8_t[]")


class Payload:
    """A mapped memory file for all blocks of a store.

    Views of it stay valid until close(), whatever happens to the session and
    the store. The kernel does not protect blocks: nothing prevents writing one
    that the session does not own, or reading one that it does not hold.
    """

    __slots__ = ("_base", "_map", "block_bytes", "blocks")

    def __init__(
        self,
        fd: int,
        block_bytes: int,
        blocks: int,
        *,
        page_bytes: int = mmap.PAGESIZE,
    ) -> None:
        """Map a memory file. Not in core dumps.

        fd: its descriptor, open for reading and writing; it may be closed
            afterwards
        block_bytes: bytes of a block
        blocks: how many
        page_bytes: of the file's pages, if they are huge ones

        Raises OSError of mmap(2), ValueError if the file is too small.
        """
        if block_bytes < 1 or blocks < 1:
            raise ValueError("block_bytes and blocks must be positive")
        size = block_bytes * blocks
        if os.fstat(fd).st_size < size:
            raise ValueError(f"the payload has less than {size} bytes")
        self._map = mmap.mmap(fd, -(-size // page_bytes) * page_bytes)
        self._map.madvise(mmap.MADV_DONTDUMP)
        self._base = memoryview(self._map)[:size]
        self.block_bytes = block_bytes
        self.blocks = blocks

    @classmethod
    def of_session(cls, session: int) -> Payload:
        """Map the payload of a session's store.

        session: its descriptor

        Raises KvbmError ENODATA (the store has no payload), EMFILE, ENFILE,
        EBADF (not open for writing), and OSError of mmap(2).
        """
        p = ffi.new("struct kvbm_payload *")
        ret = lib.kvbm_payload(session, lib.KVBM_PAYLOAD_FD, p)
        if ret < 0:
            raise error(ret, "payload")
        try:
            return cls(
                p.fd,
                p.block_bytes,
                p.bytes // p.block_bytes,
                page_bytes=p.page_bytes,
            )
        finally:
            os.close(p.fd)

    def __enter__(self) -> Payload:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap it; BufferError while views are in use."""
        self._base.release()
        self._map.close()

    def block(self, block: int, *, writable: bool = False) -> memoryview:
        """The bytes of a block; IndexError if there is no such block."""
        if not 0 <= block < self.blocks:
            raise IndexError(f"no block {block}")
        at = block * self.block_bytes
        view = self._base[at : at + self.block_bytes]
        return view if writable else view.toreadonly()

    def array(
        self,
        block: int,
        dtype: npt.DTypeLike = np.uint8,
        *,
        writable: bool = False,
    ) -> npt.NDArray[Any]:
        """The bytes of a block as a numpy array."""
        return np.frombuffer(self.block(block, writable=writable), dtype)

    def tensor(
        self, block: int, dtype: Any = None, *, writable: bool = False
    ) -> Any:
        """The bytes of a block as a torch tensor, of uint8 by default.

        torch has no read-only tensors: without writable, do not write.
        """
        import warnings

        import torch

        with warnings.catch_warnings():
            # It says of read-only buffers what the line above says.
            warnings.simplefilter("ignore", UserWarning)
            return torch.frombuffer(
                self.block(block, writable=writable),
                dtype=torch.uint8 if dtype is None else dtype,
            )

    def address(self) -> int:
        """The address of the first block, for cudaHostRegister and the like."""
        return int(ffi.cast("uintptr_t", ffi.from_buffer(self._base)))


def create_memory(nbytes: int, *, page_bytes: int = 0) -> int:
    """A descriptor of a sealed, fully allocated memory file.

    nbytes: rounded up to whole pages
    page_bytes: 0: normal pages; else an available size of huge pages

    Raises KvbmError ENOMEM (it does not fit), EINVAL, EMFILE, ENFILE.
    """
    o = ffi.new("struct kvbm_payload_options *")
    o.bytes = nbytes
    o.page_bytes = page_bytes
    o.progress = NULL
    fd: int = lib.kvbm_payload_create(o)
    if fd < 0:
        raise error(fd, f"{o.need or nbytes} bytes of memory")
    return fd


class Window:
    """A buffer as an address, to copy from and to while others run.

    Slices of memoryviews and numpy block other Python threads while they copy;
    these copies do not. Keeps the buffer exported until
    close().
    """

    __slots__ = ("_cdata", "_start", "nbytes")

    def __init__(self, buffer: Any, *, writable: bool = False) -> None:
        self._cdata = ffi.from_buffer(_BYTES, buffer, writable)
        self._start = self._cdata + 0
        self.nbytes = len(self._cdata)

    def close(self) -> None:
        """Release the buffer."""
        if self._cdata is not None:
            ffi.release(self._cdata)
            self._cdata = self._start = None
            self.nbytes = 0

    def copy_from(self, at: int, source: Window, start: int, n: int) -> None:
        """Copy n bytes; IndexError if they are not in both."""
        if (
            min(at, start, n) < 0
            or at + n > self.nbytes
            or start + n > source.nbytes
        ):
            raise IndexError("outside of the buffer")
        _memcpy(self._start + at, source._start + start, n)
