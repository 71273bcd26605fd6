"""Fetching a file: from where the options allow, no more and no longer than they allow."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import aiohttp
from anyio import to_thread
from yarl import URL

from router import AddressGuard, GiveUp, RetryLater
from router_media.connections import failure, refusal, session
from router_media.errors import Gone, NotWanted
from router_media.options import Options
from router_media.parts import require_room
from router_media.types import HEAD, type_of

#: Redirects that are followed.
_HOPS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
#: Statuses that say that there is no file: GREEN-API's URLs expire.
_GONE = {400, 401, 403, 404, 410}
#: Bytes that are written at once, and after which the room on the disk is looked at again.
_CHUNK = 256 * 1024
_LOOK = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What was written."""

    size: int
    sha256: str
    type: str


class Downloader:
    """Fetches the files of one route. Used between `start` and `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def start(self) -> None:
        """Open the pools of connections: one with TLS, and one without to what ``allow`` lists."""
        guard = self._options.guard
        self._sessions = {"https": session(guard), "http": session(AddressGuard(guard.allow, public=False))}

    async def stop(self) -> None:
        """Close all connections."""
        for each in self._sessions.values():
            await each.close()

    async def fetch(self, text: str, file: BinaryIO) -> Downloaded:
        """Write what is at a URL to a file.

        Raises:
            Gone: There is no file, or not any more.
            NotWanted: The options refuse it.
            RetryLater: It did not come as a whole.
            GiveUp: The URL leads where the options do not allow.
        """
        url = _url(text)
        try:
            async with self._open(url) as response:
                return await self._read(response, file)
        except aiohttp.InvalidURL:
            raise GiveUp("the file's URL is none") from None
        except aiohttp.ClientError as exc:
            problem, refused = failure(exc), refusal(exc)
        host = url.host
        if refused:
            raise GiveUp(f"{host}: {refused}")
        raise RetryLater(f"{host}: {problem}")  # out here, so that no traceback names the whole URL

    @asynccontextmanager
    async def _open(self, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a URL and follow redirects, each of which is checked like the first."""
        for _ in range(_HOPS + 1):
            async with self._get(url) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    _require_file(response)
                    yield response
                    return
                url = url.join(_url(location, relative=True))
        raise RetryLater(f"{url.host}: more than {_HOPS} redirects")

    def _get(self, url: URL) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        self._require_allowed(url)
        stall = self._options.stall
        return self._sessions[url.scheme].get(
            url,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=stall, sock_read=stall),
        )

    def _require_allowed(self, url: URL) -> None:
        if url.scheme not in self._sessions or not url.host:
            raise GiveUp("the file's URL is not https://")
        if url.user is not None or url.password is not None:
            raise GiveUp(f"{url.host}: the file's URL has a name and a password")
        if not self._options.wants_host(url.host):
            raise GiveUp(f"{url.host} is not in the option hosts")

    async def _read(self, response: aiohttp.ClientResponse, file: BinaryIO) -> Downloaded:
        await self._require_room(file, self._announced(response))
        digest, size, head, type_ = hashlib.sha256(), 0, b"", None
        looked = 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            size += len(chunk)
            self._require_size(size)
            head += chunk[: HEAD - len(head)]
            if type_ is None and len(head) == HEAD:
                type_ = self._require_type(head)
            if size - looked > _LOOK:
                await self._require_room(file, 0)
                looked = size
            digest.update(chunk)
            await to_thread.run_sync(file.write, chunk)
        return Downloaded(size, digest.hexdigest(), type_ or self._require_type(head))

    def _announced(self, response: aiohttp.ClientResponse) -> int:
        size = response.content_length or 0
        self._require_size(size)
        return size

    def _require_size(self, size: int) -> None:
        if size > self._options.max_size:
            raise NotWanted(f"it has more than the {self._options.max_size} bytes of the option max_size")

    def _require_type(self, head: bytes) -> str:
        type_ = type_of(head)
        if not self._options.wants_type(type_):
            raise NotWanted(f"its type {type_} is refused by the options")
        return type_

    async def _require_room(self, file: BinaryIO, more: int) -> None:
        await to_thread.run_sync(require_room, Path(file.name).parent, more, self._options.min_free)


def _require_file(response: aiohttp.ClientResponse) -> None:
    host, status = response.url.host, response.status
    if status in _GONE:
        raise Gone(f"{host} answered {status}")
    if status != HTTPStatus.OK:
        raise RetryLater(f"{host} answered {status}")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise RetryLater(f"{host} sent the file with Content-Encoding {encoding}, which was not asked for")


def _url(text: str, *, relative: bool = False) -> URL:
    """Read a URL; one that is written as HTTP has it stays as it is: it may be signed."""
    try:
        url = URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
        host, _ = url.host, url.port  # it is only here that they are read
    except ValueError:
        raise GiveUp("the file's URL is none") from None
    if not relative and not host:
        raise GiveUp("the file's URL names no host")
    return url
