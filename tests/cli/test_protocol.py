"""An answer is sent whole, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from anyio import fail_after
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from router.cli.protocol import Protocol, _OneWrite

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in the pieces that the path names: ``/a/b`` in two."""
    while (await receive()).get("more_body", False):
        pass
    pieces = [piece.encode() for piece in scope["path"].strip("/").split("/")]
    headers = [(b"content-length", b"%d" % sum(map(len, pieces)))] if scope["query_string"] else []
    if scope["path"] == "/head":
        pieces, headers = [HEAD], [(b"content-length", b"%d" % len(HEAD))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None, timeout_keep_alive=60)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: Protocol(config=config, server_state=ServerState(), app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        with fail_after(10):
            yield reader, writer
    finally:
        writer.close()
        server.close()


async def body_of(reader: asyncio.StreamReader) -> bytes:
    """Read one answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        return await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a?length", b"a"),
        ("/a/b/c?length", b"abc"),
        ("/?length", b""),
        ("/a", b"a"),
        ("/a/b/c", b"abc"),
        ("/head", HEAD),
    ],
)
async def test_every_answer_arrives_whole_and_the_connection_goes_on(path: str, expected: bytes) -> None:
    async with connection() as (reader, writer):
        bodies = []
        for _ in range(3):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            bodies.append(await body_of(reader))

    assert bodies == [expected] * 3


async def test_a_client_that_asks_whether_to_go_on_is_told_at_once() -> None:
    async with connection() as (reader, writer):
        writer.write(
            b"POST /a?length HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        )
        interim = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"x")
        body = await body_of(reader)

    assert interim.startswith(b"HTTP/1.1 100 ")
    assert body == b"a"


async def test_an_answer_without_a_body_is_sent_too() -> None:
    async with connection() as (reader, writer):
        writer.write(b"HEAD /a?length HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_answer_after_which_the_connection_is_closed_is_sent_before() -> None:
    async with connection() as (reader, writer):
        writer.write(b"HEAD /a?length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 200 ")


class Recorder(asyncio.Transport):
    """A transport that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))


def test_head_and_body_are_one_write() -> None:
    recorder = Recorder()
    transport = _OneWrite(recorder)

    transport.write(HEAD)
    transport.write(b"body")
    transport.write(b"more")

    assert recorder.writes == [HEAD + b"body", b"more"]


async def say_slowly(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    """Send pieces one by one; give up when the other side does."""
    with suppress(OSError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()


START = b"POST /a?length HTTP/1.1\r\nHost: x\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (START, b"X-Large: " + b"x" * 10_000 + b"\r\n"),
        (START + b"X-Large: ", b"x" * 10_000),
        (b"POST /", b"x" * 10_000),
        (CHUNKED + b"0\r\n", b"X-Trailer: " + b"x" * 10_000 + b"\r\n"),
        (CHUNKED + b"1;x=", b"x" * 10_000),
    ],
    ids=["headers", "one header", "path", "trailers", "extension of a chunk"],
)
async def test_a_request_with_more_and_more_beside_its_body_is_ended(begin: bytes, again: bytes) -> None:
    async with connection() as (reader, writer):
        await say_slowly(writer, [begin, *[again] * 1_000])
        with suppress(ConnectionError):
            await reader.read()  # to the end
        ended = reader.at_eof() or reader.exception() is not None

    assert ended


async def test_large_headers_within_the_bound_are_served_again_and_again() -> None:
    async with connection() as (reader, writer):
        bodies = []
        for _ in range(5):
            await say_slowly(writer, [START, *[b"X-Large: " + b"x" * 5_000 + b"\r\n"] * 10, b"\r\n"])
            bodies.append(await body_of(reader))

    assert bodies == [b"a"] * 5


@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_a_body_does_not_count(size: int) -> None:
    async with connection() as (reader, writer):
        bodies = []
        for _ in range(2):
            await say_slowly(writer, [START + b"Content-Length: %d\r\n\r\n" % size + b"x" * size])
            bodies.append(await body_of(reader))
            await say_slowly(
                writer, [CHUNKED, *[b"400\r\n" + b"x" * 1024 + b"\r\n"] * (size // 1024), b"0\r\n\r\n"]
            )
            bodies.append(await body_of(reader))

    assert bodies == [b"a"] * 4
