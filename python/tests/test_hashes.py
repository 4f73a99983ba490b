# SPDX-License-Identifier: MIT
"""Hashes are Dynamo's to the bit, and opaque ones the library's."""

import array
import errno

import numpy as np
import pytest

import libkvbm
from libkvbm import hashes

# Tokens 1 to 12, block size 4, no salt: what Dynamo makes of them.
BLOCKS = [14643705804678351452, 16777012769546811212]
SEQUENCES = [4945711292740353085, 12583592247330656132]
TOKENS = np.arange(1, 13, dtype=np.uint32)


def test_vectors():
    assert libkvbm.NO_SALT == 1337
    assert libkvbm.salt_hash() == 1337
    assert libkvbm.block_hash(TOKENS[:4]) == BLOCKS[0]
    assert libkvbm.block_hash(TOKENS[4:8]) == BLOCKS[1]
    assert libkvbm.sequence_hash(BLOCKS[0], BLOCKS[1]) == SEQUENCES[0]
    chain = libkvbm.chain(TOKENS, 4)
    parts = [libkvbm.unpack(chain[i : i + 1]) for i in range(3)]
    assert [p.current for p in parts] == [BLOCKS[0], *SEQUENCES]
    assert [p.position for p in parts] == [0, 1, 2]
    assert parts[2].parent == SEQUENCES[0] & ((1 << 54) - 1)


def test_salt():
    """LoRA and salt keep chains apart; empty ones count as not given."""
    seen = {
        libkvbm.salt_hash(*args)
        for args in ((), ("a",), ("", "a"), ("a", "a"), ("b",), ("", "b"))
    }
    assert len(seen) == 6
    assert libkvbm.salt_hash("", "") == libkvbm.salt_hash()


def test_chain_goes_on():
    whole = libkvbm.chain(TOKENS, 4)
    first = libkvbm.chain(TOKENS[:8], 4)
    rest = libkvbm.chain(TOKENS[8:], 4, after=first[-1:])
    assert (np.concatenate([first, rest]) == whole).all()
    words = np.array(
        [libkvbm.block_hash(TOKENS[i : i + 4]) for i in (0, 4, 8)], np.uint64
    )
    assert (libkvbm.chain_blocks(words) == whole).all()
    assert (libkvbm.chain_blocks(words[2:], after=first[-1:]) == rest).all()
    # What does not fill a block has no hash.
    assert len(libkvbm.chain(TOKENS[:7], 4)) == 1
    assert len(libkvbm.chain(TOKENS[:0], 4)) == 0


def test_any_buffer():
    """Tokens may be in any buffer of 32-bit words."""
    want = libkvbm.to_ints(libkvbm.chain(TOKENS, 4))
    for tokens in (
        array.array("I", TOKENS.tolist()),
        memoryview(TOKENS),
        bytearray(TOKENS.tobytes()),
        TOKENS.view(np.int32),
    ):
        assert libkvbm.to_ints(libkvbm.chain(tokens, 4)) == want
    with pytest.raises((BufferError, ValueError)):
        libkvbm.chain(np.arange(24, dtype=np.uint32)[::2], 4)


def test_pack():
    h = libkvbm.pack(0x1122334455667788, 0x99AABBCCDDEEFF00, 300)
    f = libkvbm.unpack(h)
    assert (f.current, f.position, f.mode) == (0x1122334455667788, 300, 1)
    assert f.parent == 0x99AABBCCDDEEFF00 & ((1 << f.parent_bits) - 1)
    assert libkvbm.to_ints(libkvbm.from_ints([1 << 127])) == [1 << 127]
    with pytest.raises(libkvbm.KvbmError) as e:
        libkvbm.pack(0, 0, 1 << 24)
    assert e.value.errno == errno.EINVAL
    with pytest.raises(libkvbm.KvbmError):
        libkvbm.unpack(libkvbm.from_ints([3 << 126]))


def test_opaque():
    """The key's last 8 bytes are the current hash; digest and group count."""
    key = bytes(range(32))
    digest = b"d" * 32
    h = libkvbm.opaque(digest, key, 1)
    f = libkvbm.unpack(h)
    assert f.current == int.from_bytes(key[-8:], "big")
    assert f.mode == 0
    others = [
        libkvbm.opaque(None, key, 1),
        libkvbm.opaque(b"e" * 32, key, 1),
        libkvbm.opaque(digest, key, 2),
        libkvbm.opaque(digest, bytes(8) + key[8:], 1),
    ]
    values = libkvbm.to_ints(np.concatenate([h, *others]))
    assert len(set(values)) == 5
    out = hashes.empty(2)
    libkvbm.opaque(digest, key, 1, out[1:])
    assert out[1] == h[0]
    with pytest.raises(ValueError):
        libkvbm.opaque(b"short", key)
    with pytest.raises(libkvbm.KvbmError):
        libkvbm.opaque(None, b"")


def test_errors():
    """Each errno has its class, and each class is an OSError."""
    from libkvbm import errors

    e = errors.error(-errno.ENOSPC, "alloc 3", 0)
    assert isinstance(e, libkvbm.NoSpace) and isinstance(e, OSError)
    assert e.errno == errno.ENOSPC and "alloc 3" in str(e)
    assert isinstance(
        errors.error(-errno.ETIMEDOUT, "x"), (libkvbm.TimedOut, TimeoutError)
    )
    assert isinstance(errors.error(-errno.ESHUTDOWN, "x"), libkvbm.Revoked)
    assert isinstance(errors.error(-errno.ENODEV, "x"), libkvbm.StoreGone)
    assert isinstance(errors.error(-errno.EPERM, "x"), PermissionError)
    assert type(errors.error(-errno.EIO, "x")) is libkvbm.KvbmError


def test_no_module():
    """Without the module it says so."""
    with pytest.raises(libkvbm.NoModule):
        libkvbm.Session("no-such-store")
    with pytest.raises(libkvbm.NoModule):
        libkvbm.features()
    with pytest.raises(libkvbm.KvbmError) as e:
        libkvbm.Session("No Such Name")
    assert e.value.errno == errno.EINVAL


def test_no_library():
    """Without the library the import says what is missing."""
    import os
    import subprocess
    import sys

    run = subprocess.run(
        [sys.executable, "-c", "import libkvbm"],
        env={**os.environ, "LIBKVBM": "libnowhere.so.1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.returncode != 0
    assert "ImportError" in run.stderr and "libnowhere.so.1" in run.stderr


def test_window():
    """Copies by address, within bounds, and lets go of the buffer."""
    source, target = bytearray(b"0123456789"), bytearray(10)
    a, b = libkvbm.Window(source), libkvbm.Window(target, writable=True)
    b.copy_from(2, a, 5, 4)
    assert bytes(target) == b"\0\0" + b"5678" + b"\0" * 4
    for bad in ((7, 0, 4), (0, 7, 4), (-1, 0, 1), (0, 0, -1)):
        with pytest.raises(IndexError):
            b.copy_from(bad[0], a, bad[1], bad[2])
    with pytest.raises(BufferError):
        target.extend(b"x")
    b.close()
    target.extend(b"x")
    a.close()
    with pytest.raises((BufferError, TypeError, ValueError)):
        libkvbm.Window(b"constant", writable=True)
