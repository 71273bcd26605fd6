"""The handler: one request for each event."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import suppress

import aiohttp
from yarl import URL

from router import Context, Event, GiveUp, RetryLater, now
from router_forward.answers import Piece, named, require_success
from router_forward.connections import failure, refusal, session
from router_forward.envelopes import envelope
from router_forward.options import Options
from router_forward.signature import webhook_headers, webhook_id

#: Bytes of an answer that are read, and seconds for which they are waited for, once its status is known.
_READ = 16 * 1024
_PATIENCE = 1.0


class Forward:
    """Posts the events of one route to one URL."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._url = URL(options.url)
        self._origin = str(self._url.origin())
        self._keys = options.keys
        self._piece = Piece(_secrets(options))
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool of connections."""
        self._session = session(self._options.guard, self._options.tls)

    async def stop(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def __call__(self, event: Event, context: Context) -> None:
        """Post the event; return once the receiver has answered that it has it.

        Raises:
            RetryLater: There was no answer, or one that may be another one later.
            GiveUp: The receiver does not want the event, or must not be posted to.
        """
        headers, body = self._request(event, context.delivery.route)
        try:
            status = await self._post(headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            problem, refused = failure(exc, self._options.timeout), refusal(exc)
        else:
            context.logger.info("forward.done", to=self._origin, status=status)
            return
        if refused:
            raise GiveUp(f"{self._origin}: {refused}")
        raise RetryLater(f"{self._origin}: {problem}")  # out here, so that no traceback names the whole URL

    def _request(self, event: Event, route: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body; time and signature are new with each attempt, the id is the same."""
        content = envelope(event, self._options.format)
        signed = webhook_headers(webhook_id(event.id, route), now().timestamp(), content.body, self._keys)
        return {**self._options.headers, **content.headers, **signed}, content.body

    async def _post(self, headers: dict[str, str], body: bytes) -> int:
        assert self._session is not None, "start comes first"
        async with self._session.post(
            self._url,
            data=io.BytesIO(body),
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self._options.timeout),
        ) as response:
            text = await _beginning(response)
            require_success(
                response.status,
                self._told(response.status, text),
                location=self._location(response),
                retry_after=response.headers.get("Retry-After"),
                now=now(),
            )
            return response.status

    def _told(self, status: int, text: str) -> str:
        piece = self._piece(text)
        return f"{self._origin} answered {named(status)}" + (f": {piece}" if piece else "")

    def _location(self, response: aiohttp.ClientResponse) -> str | None:
        location = response.headers.get("Location")
        return self._piece(location) if location else None


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """Return the beginning of an answer. Whatever happens to its rest, the status is known.

    One that was read to its end leaves its connection for the next request.
    """
    read = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(_PATIENCE):
            while len(read) < _READ and (chunk := await response.content.read(_READ)):
                read += chunk
    return read[:_READ].decode("utf-8", "replace")


def _secrets(options: Options) -> Iterator[str]:
    """Yield what a receiver knows of us and must not tell others by its answer."""
    yield from [options.secret] if isinstance(options.secret, str) else options.secret
    for value in options.headers.values():
        yield value
        yield value.rpartition(" ")[2]
    url = URL(options.url)
    yield from (url.raw_path_qs, url.path_qs, *url.query.values())
