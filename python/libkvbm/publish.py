# SPDX-License-Identifier: MIT
"""Tells routers which blocks the pool of a host has: vLLM's events over ZMQ.

One publisher per pool. What enters and leaves the pool comes from the
pool's own stream (libkvbm.events). The pool knows neither tokens nor parents;
these come from the events that the engines publish for their GPU caches, joined
by the low 64 bits of the block's hash, the only bits that routers get.

A block is published after its parent: consumers drop blocks without one.
Blocks that are in the pool and cannot be published are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from .errors import KvbmError
from .events import Change, Event, EventReader, Record, Source
from .session import Session

logger = logging.getLogger("libkvbm.publish")

_LOW = (1 << 64) - 1
# In a hash of mode 0: 54 bits of the parent, then the block's own 64.
_PARENT_BITS = 54


def low_bits(h: int) -> int:
    """The 64 bits of an opaque hash that are the engine's own."""
    return (h >> _PARENT_BITS) & _LOW


def low_of_key(key: int | bytes) -> int:
    """The same for a hash from an engine's events."""
    if isinstance(key, int):
        return key & _LOW
    return int.from_bytes(key[-8:], "big")


class Fact(NamedTuple):
    """What an engine has published about a block.

    parent: low 64 bits of the parent's hash, None at the beginning of a prompt
    """

    parent: int | None
    tokens: tuple[int, ...]
    block_size: int
    lora_id: int | None = None
    lora_name: str | None = None
    extra_keys: tuple[Any, ...] | None = None
    group: int | None = None
    # Of that group: consumers refuse a group of an unknown kind.
    kind: str | None = None
    window: int | None = None

    def continues(self, other: Fact) -> bool:
        """Whether one event can contain both, this one after the other."""
        return (
            self.block_size == other.block_size
            and self.lora_id == other.lora_id
            and self.lora_name == other.lora_name
            and self.group == other.group
            and self.kind == other.kind
            and self.window == other.window
            and (self.extra_keys is None) == (other.extra_keys is None)
        )


_NOTHING = Fact(None, (), 0)


class Index:
    """What the pool has, and what consumers know of it.

    empty: publish blocks that no engine has described without tokens;
        otherwise do not publish them
    facts: how many blocks to remember that are not in the pool
    """

    # Blocks in one event, and events in one message.
    MAX_BLOCKS = 256
    MAX_EVENTS = 256

    def __init__(self, *, empty: bool = False, facts: int = 1 << 20) -> None:
        self._empty = empty
        self._max_facts = facts
        self._present: set[int] = set()
        self._copies: dict[int, int] = {}
        self._facts: dict[int, Fact] = {}
        self._others: OrderedDict[int, Fact] = OrderedDict()
        self._told: dict[int, Fact] = {}
        # Blocks of the pool whose parent is not published, by that parent.
        self._waiting: dict[int, set[int]] = {}
        self._out: list[dict[str, Any]] = []
        self._last: Fact | None = None
        self.lost = 0

    def counts(self) -> dict[str, int]:
        """Blocks in the pool, by what was published about them."""
        waiting = sum(map(len, self._waiting.values()))
        described = sum(low in self._facts for low in self._copies)
        return {
            "present": len(self._copies),
            "told": len(self._told),
            "no_parent": waiting,
            "not_described": len(self._copies) - described,
            "lost": self.lost,
        }

    # The pool

    def record(self, r: Record | Event) -> bool:
        """Take a change; returns whether the caller must call resync() now."""
        if r.change is Change.STORED:
            self._stored(r.hash)
        elif r.change is Change.REMOVED:
            self._removed(r.hash)
        elif r.change is Change.CLEARED:
            self.resync(())
        elif r.change is Change.LOST:
            self.lost += 1
            return True
        return False

    def resync(self, hashes: Iterable[int]) -> None:
        """Start over: consumers clear everything, then get the contents."""
        self._others.update(self._facts)
        self._facts.clear()
        self._present.clear()
        self._copies.clear()
        self._told.clear()
        self._waiting.clear()
        self._last = None
        self._out.append({"type": "AllBlocksCleared"})
        for h in hashes:
            self._stored(h)
        self._forget()

    def again(self) -> None:
        """Consumers clear everything, and get the pool's contents."""
        self.resync(list(self._present))

    def _stored(self, h: int) -> None:
        if h in self._present:
            return
        self._present.add(h)
        low = low_bits(h)
        n = self._copies.get(low, 0)
        self._copies[low] = n + 1
        if n == 0:
            fact = self._others.pop(low, None)
            if fact is not None:
                self._facts[low] = fact
            self._tell(low)

    def _removed(self, h: int) -> None:
        if h not in self._present:
            return
        self._present.discard(h)
        low = low_bits(h)
        self._copies[low] -= 1
        if self._copies[low]:
            return
        del self._copies[low]
        fact = self._facts.pop(low, None)
        if fact is not None:
            self._others[low] = fact
            self._forget()
        if self._told.pop(low, None) is not None:
            self._emit_removed(low, fact)
        # Blocks published without tokens may wait as well.
        if fact is not None and fact.parent is not None:
            siblings = self._waiting.get(fact.parent)
            if siblings is not None:
                siblings.discard(low)
                if not siblings:
                    del self._waiting[fact.parent]

    # The engines

    def describe(self, low: int, fact: Fact) -> None:
        """Take an engine's description of a block."""
        if low in self._copies:
            if low not in self._facts:
                self._facts[low] = fact
                self._tell(low)
        else:
            self._others[low] = fact
            self._others.move_to_end(low)
            self._forget()

    def engine_event(self, event: dict[str, Any]) -> None:
        """Take an event of an engine: a map, as on the wire.

        Raises KeyError, TypeError, ValueError: not such an event.
        """
        if event.get("type") != "BlockStored":
            return
        size = int(event["block_size"])
        tokens = event["token_ids"]
        extra = event.get("extra_keys")
        parent = event["parent_block_hash"]
        parent = None if parent is None else low_of_key(parent)
        hashes = [low_of_key(h) for h in event["block_hashes"]]
        if size < 1 or len(tokens) != size * len(hashes):
            return
        for i, low in enumerate(hashes):
            fact = Fact(
                parent,
                tuple(map(int, tokens[i * size : (i + 1) * size])),
                size,
                event.get("lora_id"),
                event.get("lora_name"),
                None if not extra or extra[i] is None else tuple(extra[i]),
                event.get("group_idx"),
                event.get("kv_cache_spec_kind"),
                event.get("kv_cache_spec_sliding_window"),
            )
            self.describe(low, fact)
            parent = low

    def _forget(self) -> None:
        while len(self._others) > self._max_facts:
            self._others.popitem(last=False)

    # The consumers

    def _tell(self, low: int) -> None:
        """Publish a block, and those that waited for it."""
        todo = deque([low])
        while todo:
            low = todo.popleft()
            fact = self._facts.get(low)
            if fact is None:
                if not self._empty:
                    continue
                fact = _NOTHING
            elif fact.parent is not None and fact.parent not in self._told:
                self._waiting.setdefault(fact.parent, set()).add(low)
                continue
            self._told[low] = fact
            self._emit_stored(low, fact)
            todo.extend(sorted(self._waiting.pop(low, ())))

    def _emit_stored(self, low: int, fact: Fact) -> None:
        last = self._out[-1] if self._out else None
        if (
            last is not None
            and self._last is not None
            and last["type"] == "BlockStored"
            and fact.parent is not None
            and last["block_hashes"][-1] == fact.parent
            and fact.continues(self._last)
            and len(last["block_hashes"]) < self.MAX_BLOCKS
        ):
            last["block_hashes"].append(low)
            last["token_ids"].extend(fact.tokens)
            if fact.extra_keys is not None:
                last["extra_keys"].append(fact.extra_keys)
            return
        event: dict[str, Any] = {
            "type": "BlockStored",
            "block_hashes": [low],
            "parent_block_hash": fact.parent,
            "token_ids": list(fact.tokens),
            "block_size": fact.block_size,
            "lora_id": fact.lora_id,
            "medium": "CPU",
            "lora_name": fact.lora_name,
            "locality": "LOCAL",
        }
        if fact.extra_keys is not None:
            event["extra_keys"] = [fact.extra_keys]
        for name, value in (
            ("group_idx", fact.group),
            ("kv_cache_spec_kind", fact.kind),
            ("kv_cache_spec_sliding_window", fact.window),
        ):
            if value is not None:
                event[name] = value
        self._out.append(event)
        self._last = fact

    def _emit_removed(self, low: int, fact: Fact | None) -> None:
        group = None if fact is None else fact.group
        last = self._out[-1] if self._out else None
        if (
            last is not None
            and last["type"] == "BlockRemoved"
            and last.get("group_idx") == group
            and len(last["block_hashes"]) < self.MAX_BLOCKS
        ):
            last["block_hashes"].append(low)
            return
        event: dict[str, Any] = {
            "type": "BlockRemoved",
            "block_hashes": [low],
            "medium": "CPU",
            "locality": "LOCAL",
        }
        if group is not None:
            event["group_idx"] = group
        self._out.append(event)

    def take(self) -> list[dict[str, Any]]:
        """The next events for consumers, at most MAX_EVENTS."""
        events = self._out[: self.MAX_EVENTS]
        self._out = self._out[self.MAX_EVENTS :]
        if not self._out:
            self._last = None
        return events


def encode_batch(events: list[dict[str, Any]], rank: int = 0) -> bytes:
    """A message's third frame: vLLM's KVEventBatch."""
    import msgspec

    return bytes(msgspec.msgpack.encode([time.time(), events, rank]))


class Publisher:
    """The sockets: vLLM's frames, sequence numbers and replay.

    endpoint: to bind, for SUB sockets of consumers
    replay: to bind, for consumers that missed messages; None: no replay
    topic: such as kv@POD@MODEL
    keep: messages to keep for replay
    rank: data-parallel rank to publish
    """

    END = (-1).to_bytes(8, "big", signed=True)

    def __init__(
        self,
        endpoint: str,
        replay: str | None = None,
        *,
        topic: str = "",
        keep: int = 10000,
        rank: int = 0,
        context: Any = None,
    ) -> None:
        """Bind the sockets: zmq.ZMQError."""
        import zmq

        self._zmq = zmq
        context = context or zmq.Context.instance()
        self._topic = topic.encode()
        self._rank = rank
        self._seq = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=keep)
        # Reports each new subscriber; to subscribers it is a PUB.
        self._pub = context.socket(zmq.XPUB)
        self._pub.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._pub.set_hwm(100_000)
        self._pub.setsockopt(zmq.LINGER, 1000)
        self.replay_socket: Any = None
        try:
            self._pub.bind(endpoint)
            if replay is not None:
                self.replay_socket = context.socket(zmq.ROUTER)
                self.replay_socket.setsockopt(zmq.SNDHWM, 2 * (keep + 1))
                self.replay_socket.setsockopt(zmq.LINGER, 0)
                self.replay_socket.bind(replay)
        except BaseException:
            self.close()
            raise
        self.endpoint = self._pub.getsockopt_string(zmq.LAST_ENDPOINT)
        self.socket = self._pub

    def close(self) -> None:
        """Close the sockets."""
        self._pub.close()
        if self.replay_socket is not None:
            self.replay_socket.close()

    def send(self, events: list[dict[str, Any]]) -> None:
        """Publish a batch of events as one message."""
        payload = encode_batch(events, self._rank)
        seq = self._seq.to_bytes(8, "big")
        self._pub.send_multipart((self._topic, seq, payload))
        self._kept.append((self._seq, payload))
        self._seq += 1

    def joined(self) -> bool:
        """Whether consumers have subscribed since the last call."""
        zmq, new = self._zmq, False
        while True:
            try:
                frame = self._pub.recv(zmq.NOBLOCK)
            except zmq.Again:
                return new
            if frame[:1] == b"\x01" and self._topic.startswith(frame[1:]):
                new = True

    def serve_replay(self) -> bool:
        """Answer one request, if any; True if it wants lost messages."""
        zmq, sock = self._zmq, self.replay_socket
        try:
            frames = sock.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        if len(frames) != 3 or len(frames[2]) != 8:
            logger.warning("not a request for replay: %d frames", len(frames))
            return False
        client, _, start = frames
        first = int.from_bytes(start, "big")
        # As it is now: later messages have later numbers.
        gone = first < (self._kept[0][0] if self._kept else self._seq)
        try:
            for seq, payload in self._kept:
                if seq >= first:
                    sock.send_multipart(
                        (
                            client,
                            b"",
                            self._topic,
                            seq.to_bytes(8, "big"),
                            payload,
                        ),
                        zmq.NOBLOCK,
                    )
            sock.send_multipart((client, b"", b"", self.END, b""), zmq.NOBLOCK)
        except zmq.Again:
            logger.warning("a consumer does not read what it asked for")
        return gone


class Follower:
    """Runs a publisher on the pool's source and the engines' events.

    engines: endpoints of the engines' publishers, to connect to
    source: may be None, and set later by follow()
    """

    # Records to read before others get their turn.
    ROUNDS = 64
    # Publishing everything again for a new subscriber: at most once in this
    # many seconds, and for at most a tenth of the time.
    AGAIN_S = 1.0

    def __init__(
        self,
        source: Source | None,
        publisher: Publisher,
        index: Index,
        engines: Iterable[str] = (),
        context: Any = None,
    ) -> None:
        """Connect to the engines, which need not run yet."""
        import msgspec
        import zmq

        self._zmq = zmq
        self._decode = msgspec.msgpack.Decoder().decode
        self.source: Source | None = None
        self.publisher, self.index = publisher, index
        self.bad_messages = 0
        self._again = False
        self._again_at = 0.0
        context = context or zmq.Context.instance()
        self._poller = zmq.Poller()
        self._poller.register(publisher.socket, zmq.POLLIN)
        if publisher.replay_socket is not None:
            self._poller.register(publisher.replay_socket, zmq.POLLIN)
        self._subs: list[Any] = []
        for endpoint in engines:
            sub = context.socket(zmq.SUB)
            sub.set_hwm(100_000)
            sub.setsockopt(zmq.LINGER, 0)
            sub.connect(endpoint)
            sub.setsockopt(zmq.SUBSCRIBE, b"")
            self._subs.append(sub)
            self._poller.register(sub, zmq.POLLIN)
        self.follow(source)

    def follow(self, source: Source | None) -> None:
        """Set another source, or none: consumers get its contents."""
        if self.source is not None:
            self._poller.unregister(self.source.fileno())
        self.source = source
        if source is not None:
            self._poller.register(source.fileno(), self._zmq.POLLIN)
        # Those that have subscribed by now get everything in any case.
        self.publisher.joined()
        self._again = False
        self.index.resync(source.snapshot() if source is not None else ())
        self._flush()

    def close(self) -> None:
        """Close what this object opened."""
        for sub in self._subs:
            sub.close()

    def _flush(self) -> None:
        while events := self.index.take():
            self.publisher.send(events)

    def _engine_message(self, frames: list[bytes]) -> None:
        try:
            _, events, *_ = self._decode(frames[2])
            for event in events:
                self.index.engine_event(event)
        except Exception:
            # Whatever an engine sends, the publisher continues.
            self.bad_messages += 1

    def step(self, timeout: float) -> None:
        """Wait up to this many seconds for something, and pass it on."""
        zmq = self._zmq
        if self._again:
            timeout = min(timeout, max(0.0, self._again_at - time.monotonic()))
        ready = dict(self._poller.poll(int(timeout * 1000) + 1))
        # Engines first: a block's description comes before the block.
        for sub in self._subs:
            if sub not in ready:
                continue
            for _ in range(self.ROUNDS):
                try:
                    self._engine_message(sub.recv_multipart(zmq.NOBLOCK))
                except zmq.Again:
                    break
        source = self.source
        if source is not None and source.fileno() in ready:
            for _ in range(self.ROUNDS):
                records = list(source.read())
                if not records:
                    break
                lost = [r for r in records if self.index.record(r)]
                if lost:
                    self.index.resync(source.snapshot())
        self._flush()
        if self.publisher.socket in ready and self.publisher.joined():
            self._again = True
        if (
            self.publisher.replay_socket in ready
            and self.publisher.serve_replay()
        ):
            self._again = True
        if self._again and time.monotonic() >= self._again_at:
            self._tell_again()

    def _tell_again(self) -> None:
        """Publish everything for late subscribers: there is no other way."""
        start = time.monotonic()
        self._again = False
        self.index.again()
        self._flush()
        end = time.monotonic()
        self._again_at = end + max(self.AGAIN_S, 10 * (end - start))


class _Pool:
    """The pool's events, reopened whenever the pool returns."""

    RETRY_S = 1.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.session: Session | None = None
        self.reader: EventReader | None = None
        self._at = 0.0
        self._said = ""

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
        if self.session is not None:
            self.session.close()
        self.reader = self.session = None

    def open(self) -> EventReader | None:
        """The reader, if the pool exists; tried once a second."""
        if time.monotonic() < self._at:
            return None
        try:
            self.session = Session(self.name)
            self.reader = self.session.events()
        except KvbmError as e:
            self.close()
            self._at = time.monotonic() + self.RETRY_S
            if str(e) != self._said:
                logger.error("pool %s: %s; trying again", self.name, e)
                self._said = str(e)
            return None
        self._said = ""
        logger.info("pool %s: following its events", self.name)
        return self.reader


def run(
    follower: Follower, pool: _Pool, stop: list[int], report: float
) -> None:
    """Follow the pool until a signal arrives."""
    next_report = time.monotonic() + report
    while not stop:
        if pool.reader is None:
            reader = pool.open()
            if reader is not None:
                follower.follow(reader)
        try:
            follower.step(0.2)
        except KvbmError as e:
            logger.error("pool %s: %s", pool.name, e)
            follower.follow(None)
            pool.close()
        if pool.reader is not None and pool.reader.ended:
            logger.warning("pool %s is gone", pool.name)
            follower.follow(None)
            pool.close()
        if report and time.monotonic() >= next_report:
            next_report = time.monotonic() + report
            counts = follower.index.counts()
            counts["bad_messages"] = follower.bad_messages
            logger.info("%s", ", ".join(f"{k} {v}" for k, v in counts.items()))


def main(argv: list[str] | None = None) -> int:
    """The command kvbm-publish."""
    p = argparse.ArgumentParser(
        prog="kvbm-publish",
        description="Tell routers which blocks a pool has: vLLM's KV events "
        "over ZMQ. Run one publisher for each pool.",
    )
    p.add_argument("pool", help="name of the store, or path of its node")
    p.add_argument(
        "--bind",
        default="tcp://*:5557",
        metavar="ENDPOINT",
        help="for consumers (default: %(default)s)",
    )
    p.add_argument(
        "--replay",
        metavar="ENDPOINT",
        help="for consumers that missed messages (default: none)",
    )
    p.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help="where an engine publishes its own events; may be repeated",
    )
    p.add_argument(
        "--topic", default="", help="of all messages, such as kv@POD@MODEL"
    )
    p.add_argument(
        "--rank", type=int, default=0, help="data-parallel rank to publish"
    )
    p.add_argument(
        "--keep",
        type=int,
        default=10000,
        metavar="N",
        help="messages to keep for replay (default: %(default)s)",
    )
    p.add_argument(
        "--remember",
        type=int,
        default=1 << 20,
        metavar="N",
        help="blocks outside the pool whose descriptions to remember "
        "(default: %(default)s)",
    )
    p.add_argument(
        "--undescribed",
        choices=("skip", "empty"),
        default="skip",
        help="blocks that no engine described: leave them out, or publish "
        "them without tokens (default: %(default)s)",
    )
    p.add_argument(
        "--report",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds between lines of counts (default: %(default)s; 0: none)",
    )
    args = p.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr
    )
    try:
        import zmq
    except ImportError as e:
        p.error(f"{e}: pip install pyzmq msgspec")
    stop: list[int] = []
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda n, _: stop.append(n))
    index = Index(empty=args.undescribed == "empty", facts=args.remember)
    with contextlib.ExitStack() as files:
        try:
            publisher = Publisher(
                args.bind,
                args.replay,
                topic=args.topic,
                keep=args.keep,
                rank=args.rank,
            )
            files.callback(publisher.close)
            follower = Follower(None, publisher, index, args.engine)
            files.callback(follower.close)
        except zmq.ZMQError as e:
            print(f"kvbm-publish: {e}", file=sys.stderr)
            return 1
        pool = _Pool(args.pool)
        files.callback(pool.close)
        run(follower, pool, stop, args.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
