from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from router_media import Media, Options

from router import Delivery, Event, GiveUp
from router.testing import make_event

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 8

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class FileServer:
    """A real HTTP server on loopback that answers each path as a test says, byte for byte."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        #: First lines of the requests, and their headers.
        self.requests: list[str] = []
        self.headers: list[bytes] = []
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def file(self, path: str, content: bytes, *headers: str) -> str:
        """Serve a file, and return its URL."""
        return self.raw(path, answer(200, content, *headers))

    def raw(self, path: str, content: bytes) -> str:
        """Send these bytes and close."""

        async def send(writer: asyncio.StreamWriter) -> None:
            writer.write(content)

        return self.does(path, send)

    def does(self, path: str, what: Answer) -> str:
        self.answers[path] = what
        return self.url(path)

    def hangs(self, path: str) -> str:
        """Send nothing and keep the connection."""

        async def hang(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(3600)

        return self.does(path, hang)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.headers.append(head)
            self.requests.append(head.split(b"\r\n")[0].decode())
            path = head.split(b" ")[1].decode()
            await self.answers.get(path, _not_found)(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _not_found(writer: asyncio.StreamWriter) -> None:
    writer.write(answer(404))


def answer(status: int, content: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


@pytest.fixture(name="server")
async def _server() -> AsyncIterator[FileServer]:
    files = FileServer()
    server = await asyncio.start_server(files.serve, "127.0.0.1", 0)
    files.port = server.sockets[0].getsockname()[1]
    async with server:
        yield files


@dataclass
class Api:
    """Stands in for the client of GREEN-API: gives URLs, and records what it is asked."""

    urls: list[str | Exception] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def download_file(self, chat: str, message: str) -> str:
        self.asked.append((chat, message))
        url = self.urls.pop(0)
        if isinstance(url, Exception):
            raise url
        return url


class FakeContext:
    """Stands in for the context of a handler, until the harness of `router.testing` is there."""

    def __init__(self) -> None:
        self.fake_api: Api | None = Api()
        self.lines: list[dict[str, Any]] = []
        self.delivery = Delivery(id=1, event="e1", route="files", handler="media", attempt=1)
        self.logger = structlog.wrap_logger(None, processors=[self._keep])

    @property
    def api(self) -> Api:
        if self.fake_api is None:
            raise GiveUp("routes.yaml has no token of the instance")
        return self.fake_api

    def _keep(self, _: object, method: str, facts: Any) -> Any:
        self.lines.append({"level": method, **facts})
        raise structlog.DropEvent


class Storing:
    """A handler and what is around it, as a test needs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = FakeContext()

    @property
    def api(self) -> Api:
        assert self.context.fake_api is not None
        return self.context.fake_api

    @property
    def lines(self) -> list[dict[str, Any]]:
        return self.context.lines

    def files(self) -> dict[str, bytes]:
        """Return all that is in the folder, but records."""
        paths = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".json")
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}

    @asynccontextmanager
    async def handler(self, **options: Any) -> AsyncIterator[Callable[[Event], Awaitable[None]]]:
        defaults = {} if "s3" in options else {"folder": str(self.folder)}
        made = make_options(**{**defaults, "allow": ["127.0.0.0/8"], "min_free": "1B", **options})
        media = Media(made)
        await media.start()
        try:
            yield lambda event: media(event, self.context)  # type: ignore[arg-type]
        finally:
            await media.stop()

    async def __call__(self, event: Event, **options: Any) -> None:
        async with self.handler(**options) as handle:
            await handle(event)


def make_options(**options: Any) -> Options:
    """Read options as the router does."""
    made: Options = msgspec.convert(options, Options, dec_hook=lambda kind, value: kind(value))
    return made


def message(url: str = "", name: str | None = "photo.jpg", **fields: Any) -> Event:
    """Make a message with a file."""
    file = {"downloadUrl": url, "fileName": name, "mimeType": "image/jpeg", "caption": "look"}
    data = {"messageData": {"fileMessageData": file}}
    return make_event(message_type="imageMessage", data=data, **{"timestamp": 1706505874, **fields})


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Storing:
    return Storing(tmp_path / "files")


@pytest.fixture(name="message")
def _message() -> Callable[..., Event]:
    return message


@pytest.fixture(name="make_options")
def _make_options() -> Callable[..., Options]:
    return make_options
