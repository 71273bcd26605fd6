"""Sends as GREEN-API does: one at a time, and the same one again until it is answered 200."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.system.harness import PATIENCE, Process, Router

CHATS = [f"chat{number}" for number in range(16)]


def notification(chat: str, number: int, *, padding: int = 0, instance: int = 1101000001) -> bytes:
    """Return a text message: the ``number``-th of ``chat``, as its text says; larger by ``padding`` bytes."""
    return json.dumps(
        {
            "typeWebhook": "incomingMessageReceived",
            "instanceData": {"idInstance": instance, "wid": "71231234567@c.us", "typeInstance": "whatsapp"},
            "timestamp": 1588091580,
            "idMessage": f"{chat}-{number}",
            "senderData": {"chatId": f"{chat}@c.us", "sender": f"{chat}@c.us", "senderName": "x" * padding},
            "messageData": {
                "typeMessage": "textMessage",
                "textMessageData": {"textMessage": f"{chat} {number}"},
            },
        }
    ).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Sender:
    """Sends on several connections, each with chats of its own that take turns."""

    router: Router
    #: The chats of each connection: one that stands there three times has three of the turns.
    connections: Sequence[Sequence[str]]
    #: Bytes by which each body is larger than it needs to be.
    padding: int = 0
    #: The number of the last notification of each chat that was answered 200.
    answered: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    #: Answers other than 200.
    refused: int = 0
    stopped: bool = False

    @property
    def total(self) -> int:
        """How many were answered 200."""
        return sum(self.answered.values())

    async def run(self) -> None:
        """Send until told to stop."""
        await asyncio.gather(*(self._send(chats) for chats in self.connections))

    async def until(self, total: int) -> None:
        """Wait until that many were answered 200."""
        before, since = self.total, time.monotonic()
        while self.total < total:
            if self.total > before:
                before, since = self.total, time.monotonic()
            assert time.monotonic() - since < PATIENCE, f"nothing is answered 200 any more, after {before}"
            await asyncio.sleep(0.01)

    def _next(self, chat: str) -> bytes:
        return notification(chat, self.answered[chat] + 1, padding=self.padding)

    async def _send(self, chats: Sequence[str]) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        turns = itertools.cycle(chats)
        chat = next(turns)
        while not self.stopped:
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.router.port)
                answer = await post(*connection, self._next(chat))
            except (OSError, EOFError):
                if connection:
                    await hang_up(connection[1])
                connection = None
                await asyncio.sleep(0.01)  # GREEN-API would wait a minute
                continue
            if answer.status == 200:
                self.answered[chat] += 1
                chat = next(turns)
            else:
                self.refused += 1
                await asyncio.sleep(0.05)
        if connection:
            await hang_up(connection[1])


@asynccontextmanager
async def sending(
    router: Router, connections: Iterable[Sequence[str]] = (), *, padding: int = 0
) -> AsyncIterator[Sender]:
    """Send until the block ends: by default sixteen chats on a connection each."""
    sender = Sender(router, list(connections) or [[chat] for chat in CHATS], padding)
    task = asyncio.ensure_future(sender.run())
    try:
        yield sender
    finally:
        sender.stopped = True
        await task


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> Answer:
    """Send a notification on an open connection."""
    writer.write(request(body))
    return await answer_of(reader)


def request(body: bytes) -> bytes:
    """Return a request that posts a body."""
    return b"POST /webhook HTTP/1.1\r\nHost: router\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def answer_of(reader: asyncio.StreamReader) -> Answer:
    """Read one answer."""
    async with asyncio.timeout(PATIENCE):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    status = re.match(r"HTTP/1.1 (\d{3}) ", first)
    assert status, f"no answer of HTTP: {first!r}"
    return Answer(int(status[1]), headers, body)


async def send(router: Process, chat: str, number: int) -> Answer:
    """Send one notification on a connection of its own."""
    return await _ask(router, notification(chat, number))


async def ready(router: Process) -> Answer:
    """Ask whether it can do its work."""
    return await _ask(router, None)


async def until_ready(router: Process) -> None:
    """Wait until it says that it can do its work."""
    async with asyncio.timeout(PATIENCE):
        while (await ready(router)).status != 200:
            await asyncio.sleep(0.02)


async def _ask(router: Process, body: bytes | None) -> Answer:
    reader, writer = await asyncio.open_connection(router.host, router.port)
    try:
        if body is not None:
            return await post(reader, writer, body)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: router\r\n\r\n")
        return await answer_of(reader)
    finally:
        await hang_up(writer)


async def hang_up(*writers: asyncio.StreamWriter) -> None:
    """Close connections."""
    for writer in writers:
        writer.close()
    for writer in writers:
        with suppress(OSError):  # the other side may have been quicker
            await writer.wait_closed()
