"""Sends to many replicas as GREEN-API does: an instance sends one at a time, until it is answered 200."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from tests.system.harness import PATIENCE
from tests.system.sender import Answer, hang_up, notification, post


class Target(Protocol):
    """Where notifications are taken: a replica, or what stands in front of some."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A notification that was answered 200: the ``number``-th of ``chat``."""

    chat: str
    number: int
    instance: int
    #: Id and status of the answer: ``accepted``, or ``duplicate`` where an earlier answer was lost.
    event: str
    status: str
    #: By the monotonic clock: when it was first sent, and when it was answered.
    sent_at: float
    answered_at: float
    #: How often it was sent.
    tries: int


@dataclass
class Load:
    """Instances that send at the same time, each to one target after another.

    Args:
        targets: Returns those there are at the moment.
        instances: How many send at the same time.
        chats: Of each instance; they take turns.
        every: Seconds between an answer and the next notification of the instance.
        pause: Seconds until the same one is sent again; GREEN-API waits a minute.
        limit: Seconds that an answer may take.
        total: Notifications of an instance after which it stops; without it only `stop` ends it.
    """

    targets: Callable[[], Sequence[Target]]
    instances: int = 12
    chats: int = 2
    every: float = 0.05
    pause: float = 0.05
    limit: float = 2.0
    total: int | None = None
    answered: list[Answered] = field(default_factory=list)
    #: Answers other than 200 by status, with what they said, and those that never came.
    refused: Counter[int] = field(default_factory=Counter)
    refusals: list[Answer] = field(default_factory=list)
    unanswered: int = 0
    stopped: bool = False

    async def run(self) -> None:
        """Send until all is sent or told to stop."""
        await asyncio.gather(*(self._instance(number) for number in range(self.instances)))

    def stop(self) -> None:
        """Send no new ones; what is on its way is sent until it is answered, or a moment longer."""
        self.stopped = True

    async def until(self, more: int) -> None:
        """Wait until so many more than now were answered 200."""
        total = seen = len(self.answered) + more
        since = time.monotonic()
        while len(self.answered) < total:
            if len(self.answered) != seen:
                seen, since = len(self.answered), time.monotonic()
            assert time.monotonic() - since < PATIENCE, f"nothing is answered 200 any more, after {seen}"
            await asyncio.sleep(0.01)

    async def _instance(self, instance: int) -> None:
        chats = itertools.cycle(f"i{instance}c{chat}" for chat in range(self.chats))
        numbers: dict[str, int] = defaultdict(int)
        sender = _Instance(self, 1101000001 + instance, instance)
        try:
            for chat in itertools.islice(chats, self.total):
                if self.stopped:
                    return
                numbers[chat] += 1
                await sender.send(chat, numbers[chat])
                await asyncio.sleep(self.every)
        finally:
            await sender.close()


class _Instance:
    """One instance, with a connection to each target."""

    def __init__(self, load: Load, instance: int, turn: int) -> None:
        self._load = load
        self._instance = instance
        self._turn = turn
        self._connections: dict[tuple[str, int], tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def send(self, chat: str, number: int) -> None:
        """Send one until it is answered 200."""
        load, body = self._load, notification(chat, number, instance=self._instance)
        sent_at = time.monotonic()
        for tries in itertools.count(1):
            answer = await self._try(body)
            if answer is not None and answer.status == 200:
                said = orjson.loads(answer.body)
                facts = (said["id"], said["status"], sent_at, time.monotonic(), tries)
                load.answered.append(Answered(chat, number, self._instance, *facts))
                return
            if answer is None:
                load.unanswered += 1
            else:
                load.refused[answer.status] += 1
                load.refusals.append(answer)
            if load.stopped and time.monotonic() - sent_at > PATIENCE:
                return
            await asyncio.sleep(load.pause)

    async def _try(self, body: bytes) -> Answer | None:
        """Send to the next target; return no answer where none came."""
        targets = self._load.targets()
        self._turn += 1
        target = targets[self._turn % len(targets)]
        place = target.host, target.port
        try:
            async with asyncio.timeout(self._load.limit):
                if place not in self._connections:
                    self._connections[place] = await asyncio.open_connection(*place)
                return await post(*self._connections[place], body)
        except (OSError, EOFError):  # a time limit is an OSError
            if place in self._connections:
                _, writer = self._connections.pop(place)
                writer.transport.abort()
            return None

    async def close(self) -> None:
        await hang_up(*(writer for _, writer in self._connections.values()))


@asynccontextmanager
async def load_on(targets: Callable[[], Sequence[Target]], **settings: float) -> AsyncIterator[Load]:
    """Send until the block ends; see `Load` for the settings."""
    load = Load(targets, **settings)  # type: ignore[arg-type]
    task = asyncio.ensure_future(load.run())
    try:
        yield load
    finally:
        load.stop()
        await task
