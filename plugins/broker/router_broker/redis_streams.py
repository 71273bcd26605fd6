"""Redis: XADD is answered when the server has the entry; how durable that is, its settings decide."""

from __future__ import annotations

import ssl
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from router import RetryLater
from router_broker.message import CONTENT_TYPE, Message
from router_broker.options import Options

#: Added to the client's own time limits, so that ours come first.
_SPARE = 5.0
_CONNECTIONS = 64


def connection(options: Options, tls: ssl.SSLContext | None) -> RedisStreams:
    """Return a connection that is not connected yet."""
    return RedisStreams(options)


class RedisStreams:
    """A pool of connections, each of which is made again when it was lost."""

    def __init__(self, options: Options) -> None:
        self._address = options.address
        self._key = options.destination
        self._max_length = options.max_length
        self._replicas = options.replicas or 0
        self._wait_ms = int(options.timeout * 500)
        self._redis = redis.asyncio.Redis.from_pool(_pool(options))
        self.is_open = True

    async def connect(self) -> None:
        try:
            await self._redis.ping()
        except RedisError as exc:
            raise self._failure(exc) from exc

    async def publish(self, message: Message) -> None:
        # One after the other on one connection: WAIT is about what was written on its own.
        commands = self._redis.pipeline(transaction=False)
        commands.xadd(self._key, _fields(message), maxlen=self._max_length, approximate=True)
        if self._replicas:
            commands.wait(self._replicas, self._wait_ms)
        try:
            answers = await commands.execute()
        except RedisError as exc:
            raise self._failure(exc) from exc
        if self._replicas and answers[1] < self._replicas:
            raise RetryLater(
                f"{self._address}: only {answers[1]} of {self._replicas} replicas have it after "
                f"{self._wait_ms} ms; the server itself has it"
            )

    async def close(self) -> None:
        self.is_open = False
        await self._redis.aclose()

    def _failure(self, exc: RedisError) -> RetryLater:
        text = str(exc)
        if isinstance(exc, AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
            return RetryLater(f"{self._address}: user and password of the url were refused")
        if isinstance(exc, NoPermissionError):
            return RetryLater(f"{self._address}: the user may not XADD to {self._key!r} (ACL)")
        if "WRONGTYPE" in text:
            return RetryLater(
                f"{self._address}: {self._key!r} is no stream; look at: redis-cli TYPE {self._key}"
            )
        if isinstance(exc, ResponseError):
            return RetryLater(f"{self._address}: refused: {text}")
        return RetryLater(f"{self._address}: no answer: {text or type(exc).__name__}; it may have the event")


def _pool(options: Options) -> redis.asyncio.BlockingConnectionPool:
    limit = options.timeout + _SPARE
    files = {
        "ssl_ca_certs": options.ca_file,
        "ssl_certfile": options.cert_file,
        "ssl_keyfile": options.key_file,
    }
    tls: dict[str, Any] = files if options.address.is_encrypted else {}
    return redis.asyncio.BlockingConnectionPool.from_url(
        options.url,
        max_connections=_CONNECTIONS,
        timeout=limit,
        socket_timeout=limit,
        socket_connect_timeout=limit,
        retry=Retry(NoBackoff(), 0),  # the route's policy decides when it is tried again
        **tls,
    )


def _fields(message: Message) -> dict[Any, Any]:
    attributes = {f"ce_{name}": text for name, text in message.attributes.items()}
    return {
        "message_id": message.id,
        "key": message.key,
        "content_type": CONTENT_TYPE,
        **attributes,
        "body": message.body,
    }
