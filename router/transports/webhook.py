"""The webhook endpoint: who may send, how much, and what they are answered.

A plain ASGI application, since GREEN-API waits for each answer before it sends the next
notification. Only 200 makes it forget a notification; anything else stalls the instance for a
minute, so nothing but the sender's own fault or a store that cannot be written gets another answer.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.errors import InboxUnavailable, NotHandled
from router.events import Transport
from router.transports import Receive as ReceiveNotification
from router.transports.refusals import Refusals
from router.transports.senders import Networks, sender

Header = tuple[bytes, bytes]
Headers = Sequence[Header]

_log = structlog.get_logger("router.webhook")

_JSON = (b"content-type", b"application/json")
#: What a sender is asked to wait when the inbox cannot be written; GREEN-API waits a minute by itself.
_RETRY_AFTER = (b"retry-after", b"30")
#: Digits of any body's length; Python refuses to read a number of some thousands.
_MOST_DIGITS = 20


class TooLarge(Exception):
    """Raised when a body is over the limit; the rest was not read."""


class Disconnected(Exception):
    """Raised when the sender went away before its body was complete; there is nobody to answer."""


class WebhookEndpoint:
    """Answers ``POST``\\ s of GREEN-API.

    Args:
        receive: Stores a notification.
        tokens: Those accepted, each with the instance it belongs to, if any; none: anyone may send.
            With or without the scheme that GREEN-API sends before it.
        allow: Addresses that may send; empty: any.
        trusted_proxies: Proxies whose ``X-Forwarded-For`` is believed.
        max_body: Bytes.
    """

    def __init__(
        self,
        receive: ReceiveNotification,
        *,
        tokens: Mapping[str, int | None],
        allow: Networks,
        trusted_proxies: Networks,
        max_body: int,
    ) -> None:
        self._receive = receive
        self._tokens = [(bare_token(token.encode()), instance) for token, instance in tokens.items()]
        self._allow = allow
        self._trusted_proxies = trusted_proxies
        self._max_body = max_body
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: Headers = scope["headers"]
        if scope["method"] != "POST":
            await _answer(send, 405, {"error": "notifications are sent with POST"}, (b"allow", b"POST"))
            return
        if self._allow and not self._is_allowed(scope, headers):
            await self._refuse(scope, send, 403, "address not allowed")
            return
        is_authentic, instance = self._authenticate(headers)
        if not is_authentic:
            await self._refuse(scope, send, 401, "bad or missing token", (b"www-authenticate", b"Bearer"))
            return
        try:
            body = await read_body(headers, receive, self._max_body)
            receipt = await self._receive(body, Transport.WEBHOOK, instance)
        except TooLarge:
            await self._refuse(scope, send, 413, f"body over the limit of {self._max_body} bytes")
        except Disconnected:
            _log.info("webhook.disconnected", client=_client(scope))
        except InboxUnavailable:
            await _answer(send, 503, {"error": "the inbox cannot be written now"}, _RETRY_AFTER)
        except NotHandled:
            await _answer(send, 503, {"error": "a handler failed: send the notification again"}, _RETRY_AFTER)
        except Exception:
            _log.exception("webhook.failed", client=_client(scope))
            await _answer(send, 503, {"error": "the notification could not be stored"}, _RETRY_AFTER)
        else:
            await _answer(send, 200, {"status": receipt.status.value, "id": receipt.event_id})

    def _is_allowed(self, scope: Scope, headers: Headers) -> bool:
        address = sender(_client(scope), _all(headers, b"x-forwarded-for"), self._trusted_proxies)
        return address is not None and address in self._allow

    def _authenticate(self, headers: Headers) -> tuple[bool, int | None]:
        """Return whether the token is one of ours, and the instance it belongs to, if any."""
        if not self._tokens:
            return True, None
        given = bare_token(_first(headers, b"authorization"))
        matches = [instance for token, instance in self._tokens if hmac.compare_digest(given, token)]
        return bool(matches), matches[0] if matches else None

    async def _refuse(self, scope: Scope, send: Send, status: int, reason: str, *headers: Header) -> None:
        suppressed = self._refusals.may_tell(status)
        if suppressed is not None:
            _log.warning(
                "webhook.refused",
                status=status,
                reason=reason,
                client=_client(scope),
                forwarded_for=_all(scope["headers"], b"x-forwarded-for"),
                suppressed=suppressed,
            )
        await _answer(send, status, {"error": reason}, *headers)


class WebhookMiddleware:
    """Hands what comes to the webhook's path to its endpoint, and everything else on.

    Starlette's table of routes, and what stands before it, would be a thirtieth of all the work.

    Args:
        app: What answers everything else.
        path: The webhook's, with or without a slash at its end.
        endpoint: The webhook.
    """

    def __init__(self, app: ASGIApp, *, path: str, endpoint: WebhookEndpoint) -> None:
        self._app = app
        bare = path.rstrip("/")
        self._paths = frozenset({bare or "/", f"{bare}/"})
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_for_webhook = scope["type"] == "http" and scope["path"] in self._paths
        await (self._endpoint if is_for_webhook else self._app)(scope, receive, send)


def bare_token(authorization: bytes) -> bytes:
    """Return the token of an ``Authorization`` header: ``Bearer t``, ``Basic t`` or ``t``.

    GREEN-API sends what ``webhookUrlToken`` is set to, after ``Bearer`` if that has no scheme of its own.
    """
    scheme, _, token = authorization.strip().partition(b" ")
    return token.strip() if token and scheme.lower() in {b"bearer", b"basic"} else authorization.strip()


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes.

    Raises:
        TooLarge: It is, or says it is, longer; the rest is not read.
        Disconnected: It ended before it was complete.
    """
    length = _first(headers, b"content-length")
    if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > limit):
        raise TooLarge
    chunks, size = [], 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise TooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _answer(send: Send, status: int, content: dict[str, str], *headers: Header) -> None:
    body = orjson.dumps(content)
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _client(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _first(headers: Headers, name: bytes) -> bytes:
    return next((value for header, value in headers if header == name), b"")


def _all(headers: Headers, name: bytes) -> str | None:
    values = [value.decode("latin-1") for header, value in headers if header == name]
    return ",".join(values) if values else None
