"""An HTTP server that answers as a test says: also late, cut off, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import orjson


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    verb: str
    #: As it stands in the request, the query included.
    target: str
    headers: Mapping[str, str]
    body: bytes
    #: The other end of the connection it came on.
    port: int
    #: By the clock of `time.monotonic`.
    at: float

    @property
    def method(self) -> str:
        """GREEN-API's method, from ``/waInstance1/METHOD/token``."""
        return self.path.split("/")[2]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int = 200
    #: Bytes, text, or what becomes JSON.
    content: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Bytes of the body after which the connection is closed.
    cut_after: int | None = None

    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        return self.content.encode() if isinstance(self.content, str) else orjson.dumps(self.content)

    def wire(self) -> bytes:
        body = self.body()
        headers = {"Content-Length": str(len(body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Scripted\r\n{head}\r\n".encode() + body[: self.cut_after]


#: The connection is closed without an answer.
HANG_UP = Reply(status=0)
#: There is never an answer.
SILENCE = Reply(status=-1)

Answering = Callable[[Request], Reply | Awaitable[Reply]]


class Scripted:
    """The server, while `serving`."""

    def __init__(self, answer: Answering) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._answer = answer

    @property
    def methods(self) -> list[str]:
        """The methods asked for, in order."""
        return [request.method for request in self.requests]

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[Scripted]:
        connections: set[asyncio.Task[None]] = set()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
            writer.close()
            connections.discard(task)

        server = await asyncio.start_server(converse, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in list(connections):
                task.cancel()
            await asyncio.gather(*connections)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _read(reader, writer.get_extra_info("peername")[1])
        self.requests.append(request)
        reply = self._answer(request)
        reply = reply if isinstance(reply, Reply) else await reply
        if reply is SILENCE:
            await asyncio.Event().wait()
        if reply is HANG_UP:
            return False
        writer.write(reply.wire())
        await writer.drain()
        return reply.cut_after is None


async def _read(reader: asyncio.StreamReader, port: int) -> Request:
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    verb, target, _ = start.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = headers.get("content-length")
    body = await reader.readexactly(int(length)) if length else b""
    if headers.get("transfer-encoding") == "chunked":
        body = await _read_chunks(reader)
    return Request(verb, target, headers, body, port, monotonic())


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def in_turn(*replies: Reply) -> Answering:
    """Answer with one after the other, and with the last from then on."""
    rest = list(replies)
    return lambda _: rest.pop(0) if len(rest) > 1 else rest[0]
