"""One instance's requests over HTTP: where they go, how fast, how often, and what is told when one fails.

The token is part of every URL. No URL leaves this module, and what comes back is rid of the token.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from router.errors import GreenApiError, NoAnswer, RateLimited
from router.greenapi.answers import Answer, require_ok, value_of
from router.greenapi.methods import Method
from router.greenapi.sending import Sending, current_sending
from router.greenapi.spacing import Spacing
from router.redaction import Redactor
from router.retry import RetryPolicy

#: Seconds to wait for a connection.
_CONNECT = 10.0
#: The share of a method's rate that is used: a request may be quicker on its way than the one before it.
_SHARE = 0.97
#: Bytes of an answer that are read; a notification has at most some hundred thousand.
_MOST = 32 * 1024 * 1024
_JSON = {"Content-Type": "application/json"}
#: The host for files beside the one for everything else: ``1101.media.greenapi.com``.
_API_HOST = re.compile(r"^(https?://(?:\d+\.)?)api\.")


@dataclass(frozen=True, slots=True)
class Upload:
    """A form with a file."""

    fields: Mapping[str, str]
    file: Path


class _Closed(aiohttp.ClientError):
    """Raised when the connection is closed before there is an answer."""


class _TooLarge(aiohttp.ClientError):
    """Raised for an answer of a size that no answer has."""


class Exchange:
    """Asks GREEN-API in the name of one instance.

    Args:
        session: Gives the pool of connections.
        id: ``idInstance``.
        api_url: The instance's host.
        token: ``apiTokenInstance``.
        repeats: How often, and after which waits, a request is repeated that may be.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        id: int,  # noqa: A002 - GREEN-API's word
        api_url: str,
        token: str,
        repeats: RetryPolicy,
    ) -> None:
        self._session = session
        self._id = id
        self._api_url = f"{api_url.rstrip('/')}/waInstance{id}"
        self._media_url = _API_HOST.sub(r"\1media.", self._api_url)
        self._token = quote(token, safe="")
        self._redact = Redactor([token])
        self._repeats = repeats
        self._spacings: dict[str, Spacing] = {}

    async def value(self, how: Method, arguments: Mapping[str, Any] | Upload) -> Any:
        """Ask until there is an answer, as often as is allowed and does no harm; return the JSON it holds."""
        attempt, sending = 1, current_sending.get() or Sending()
        sending.may_be_done = False
        while True:
            try:
                return self.value_of(how, await self.ask(how, arguments))
            except GreenApiError as exc:
                if not exc.may_be_done:
                    sending.may_be_done = False
                wait = self._repeats.next(attempt, random) if _may_repeat(how, exc) else None
                if wait is None:
                    raise
                if isinstance(exc, RateLimited) and exc.retry_after is not None:
                    wait = min(max(wait, exc.retry_after), self._repeats.max)
            await asyncio.sleep(wait)
            attempt += 1

    async def ask(
        self,
        how: Method,
        arguments: Mapping[str, Any] | Upload | None = None,
        *,
        path: str = "",
        within: float | None = None,
    ) -> Answer:
        """Ask once, in the method's next slot; return the answer as it came, whatever its status.

        Args:
            how: The method.
            arguments: Go into the query or the body, as the method has it.
            path: What follows the token.
            within: Seconds until the whole answer has to be there; by default the method's own time.

        Raises:
            NoAnswer: None came.
        """
        if wait := self._spacing(how).take():
            await asyncio.sleep(wait)
        seconds = within or how.timeout
        url = f"{self._media_url if how.is_media else self._api_url}/{how.name}/{self._token}{path}"
        try:
            async with self._session().request(
                how.verb,
                url,
                timeout=aiohttp.ClientTimeout(total=seconds, connect=_CONNECT),
                allow_redirects=False,  # nobody else is to get the token
                middlewares=(_send_once,),
                trace_request_ctx=current_sending.get(),
                **content(how, arguments),
            ) as response:
                body = await _read(response.content)
                return Answer(
                    response.status, body, response.headers.get("Retry-After"), _tells_its_end(response)
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            was_sent = not isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            failure = NoAnswer(self._id, how.name, self._said(exc, seconds), was_sent=was_sent)
        raise failure  # out here, so that it does not hold on to what names the URL

    def require_ok(self, how: Method, answer: Answer) -> None:
        """Raise the `GreenApiError` that an answer's status means, unless it is 200."""
        require_ok(self._id, how.name, self._safe(answer))

    def value_of(self, how: Method, answer: Answer) -> Any:
        """Return the JSON that an answer holds; raise the `GreenApiError` that it means."""
        return value_of(self._id, how.name, self._safe(answer))

    def _safe(self, answer: Answer) -> Answer:
        return replace(answer, body=self._redact.in_bytes(answer.body))

    def _spacing(self, how: Method) -> Spacing:
        if how.name not in self._spacings:
            self._spacings[how.name] = Spacing(how.per_second * _SHARE)
        return self._spacings[how.name]

    def _said(self, exc: Exception, seconds: float) -> str:  # noqa: PLR0911 - a line for each case
        """Return what happened, in words that name no URL."""
        match exc:
            case aiohttp.ConnectionTimeoutError():
                return f"no connection within {_CONNECT:g} s"
            case TimeoutError():
                return f"no answer within {seconds:g} s"
            case aiohttp.ClientConnectorError():
                return f"cannot connect to {exc.host}: {_reason(exc.os_error)}"
            case _Closed():
                return "the connection was closed before there was an answer"
            case aiohttp.ClientPayloadError():
                return "the answer was cut off"
            case aiohttp.ClientResponseError():
                return f"the answer is no HTTP: {self._redact(exc.message).splitlines()[0]}"
            case _TooLarge():
                return f"the answer is larger than {_MOST >> 20} MiB"
        return f"{type(exc).__name__}: {self._redact(str(exc))}"


def _may_repeat(how: Method, exc: GreenApiError) -> bool:
    """Tell whether asking again may help, and does no harm."""
    surely_not_done = isinstance(exc, RateLimited) or (isinstance(exc, NoAnswer) and not exc.was_sent)
    return exc.may_pass and (how.is_repeatable or surely_not_done)


def content(how: Method, arguments: Mapping[str, Any] | Upload | None) -> dict[str, Any]:
    """Return what aiohttp is given for the arguments.

    Raises:
        TypeError: An argument cannot be written in JSON.
        OSError: The file of an upload cannot be read.
    """
    match arguments:
        case None:
            return {}
        case Upload():
            return {"data": _form(arguments)}
    if how.verb == "POST":
        return {"data": orjson.dumps(arguments), "headers": _JSON}
    return {"params": {name: _in_query(value) for name, value in arguments.items()}}


def _form(upload: Upload) -> aiohttp.FormData:
    form = aiohttp.FormData(upload.fields)
    form.add_field("file", upload.file.open("rb"), filename=upload.file.name)
    return form


def _in_query(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _reason(exc: OSError) -> str:
    """Return what the system says; a name that is not found has a number below zero and its own words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"no TLS: {exc.reason}"
    return os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc.strerror or exc)


def tracing() -> aiohttp.TraceConfig:
    """Return what tells a request's `Sending` that there is a connection: from then on it may be sent."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(_connected)
    trace.on_connection_reuseconn.append(_connected)
    return trace


async def _connected(_session: aiohttp.ClientSession, request: SimpleNamespace, _facts: object) -> None:
    sending: Sending | None = request.trace_request_ctx
    if sending is not None:
        sending.may_be_done = True


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request. What has no body aiohttp would send again if the connection is closed: at once,
    whatever the method's rate, and whether or not a second time does harm.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        raise _Closed from None


def _tells_its_end(response: aiohttp.ClientResponse) -> bool:
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read an answer of a size that an answer may have."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _MOST:
            raise _TooLarge
    return bytes(body)
