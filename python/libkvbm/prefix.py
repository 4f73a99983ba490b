# SPDX-License-Identifier: MIT
"""A prefix cache like an engine's block pool: the worked example.

Requests take the blocks of their prompts from a pool that other processes
share. A request finds the longest prefix that anybody has computed, allocates
blocks for the rest, and publishes each block when it is full:

    cache = PrefixCache("pool")
    request = cache.start(prompt_tokens)       # request.cached are cached
    ...                                        # compute into request.blocks
    request.computed(len(prompt_tokens))       # publish full blocks
    request.append([token])                    # decoding
    request.finish()
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from types import TracebackType

import numpy as np

from .hashes import NO_SALT, Hashes, chain, empty
from .records import Ids
from .session import Session


class Request:
    """A request's blocks, from the first to the one being filled.

    cached: blocks that were cached at the start
    blocks: ids, cached ones first; the last may be partly filled
    """

    def __init__(self, cache: PrefixCache, tokens: Sequence[int]) -> None:
        self._cache = cache
        self._tokens = np.asarray(tokens, np.uint32)
        self._hashes: Hashes = empty(0)
        self._published = 0
        self.cached = 0
        self.blocks: list[int] = []
        try:
            self._find()
            self._grow()
        except BaseException:
            self.finish()
            raise

    def __enter__(self) -> Request:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish()

    def _find(self) -> None:
        size = self._cache.block_size
        self._hashes = chain(self._tokens, size, self._cache.salt_hash)
        # An engine must compute at least one token to get the next one.
        wanted = self._hashes[: max(0, (len(self._tokens) - 1) // size)]
        self.blocks = self._cache.session.match(wanted).take().tolist()
        self.cached = self._published = len(self.blocks)

    def _grow(self) -> None:
        """Blocks for all tokens."""
        size = self._cache.block_size
        missing = -(-len(self._tokens) // size) - len(self.blocks)
        if missing > 0:
            ids = self._cache.session.alloc(
                missing, timeout=self._cache.timeout
            ).take()
            self.blocks += ids.tolist()

    def append(self, tokens: Iterable[int]) -> None:
        """More tokens, and blocks for them: NoSpace or TimedOut, unchanged."""
        before = self._tokens
        self._tokens = np.concatenate([before, np.fromiter(tokens, np.uint32)])
        try:
            self._grow()
        except BaseException:
            self._tokens = before
            raise

    def computed(self, tokens: int) -> int:
        """The first n tokens are computed: publish their full blocks.

        Returns how many blocks were published. If another request was faster,
        this one then holds that request's block.
        """
        cache = self._cache
        full = min(tokens, len(self._tokens)) // cache.block_size
        if full <= self._published:
            return 0
        done = self._published
        if len(self._hashes) < full:
            self._hashes = chain(
                self._tokens, cache.block_size, cache.salt_hash
            )
        ids: Ids = np.array(self.blocks[done:full], np.uint32)
        results = np.empty(full - done, cache.registered)
        cache.session.stage_register(
            ids, self._hashes[done:full], results, duplicates=False
        )
        self.blocks[done:full] = results["block"].tolist()
        self._published = full
        return full - done

    def finish(self) -> None:
        """Release all: published blocks stay for others."""
        blocks, self.blocks = self.blocks, []
        if blocks and not self._cache.session.closed:
            # The tail becomes inactive first, and is evicted first.
            self._cache.session.release(np.array(blocks[::-1], np.uint32))


class PrefixCache:
    """The pool, as one engine sees it.

    store: name or path of a store
    salt_hash: separates models, adapters and tenants: see salt_hash()
    timeout: seconds to wait for blocks, None: for ever
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | Session,
        *,
        salt_hash: int = NO_SALT,
        timeout: float | None = 0,
    ) -> None:
        from .records import REGISTERED

        self._own = not isinstance(store, Session)
        self.session = store if isinstance(store, Session) else Session(store)
        self.block_size = self.session.info().block_size
        self.salt_hash = salt_hash
        self.timeout = timeout
        self.registered = REGISTERED

    def __enter__(self) -> PrefixCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, tokens: Sequence[int]) -> Request:
        """A request with its prompt: NoSpace, or TimedOut."""
        return Request(self, tokens)

    def usage(self) -> float:
        """The part of the pool that requests of all processes hold."""
        c = self.session.counts()
        return 1.0 - c.available / c.total

    def reset(self) -> bool:
        """Reset inactive blocks, as for new weights; True if all are free."""
        return self.session.reset_inactive()[1]

    def close(self) -> None:
        """End the session, if this object opened it."""
        if self._own:
            self.session.close()
