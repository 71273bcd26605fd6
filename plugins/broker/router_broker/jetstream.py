"""NATS: messages are kept by a stream of JetStream, which acknowledges each."""

from __future__ import annotations

import ssl
from urllib.parse import quote

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from router import GiveUp, RetryLater
from router_broker.loss import Loss, Lost
from router_broker.message import CONTENT_TYPE, Message
from router_broker.options import Options

#: Added to the client's own time limits, so that ours come first.
_SPARE = 5.0
#: What a header may hold as it is; see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values.
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).translate({ord(char): None for char in '"%'})


def connection(options: Options, tls: ssl.SSLContext | None) -> JetStream:
    """Return a connection that is not connected yet."""
    return JetStream(options, tls)


class JetStream:
    """A connection that ends when it is lost: nothing waits in it for the server to come back."""

    def __init__(self, options: Options, tls: ssl.SSLContext | None) -> None:
        self._address = options.address
        self._prefix = options.destination
        self._timeout = options.timeout
        self._tls = tls
        self._client = Client()
        self._stream: JetStreamContext | None = None
        # If its last write fails, the client ends half way and tells nobody.
        self._loss = Loss(lambda: self._client.is_closed)
        self._error: Exception | None = None

    @property
    def is_open(self) -> bool:
        return self._client.is_connected

    async def connect(self) -> None:
        try:
            await self._client.connect(
                [f"{self._address.scheme}://{host}" for host in self._address.hosts],
                user=self._address.user if self._address.password else None,
                password=self._address.password,
                token=None if self._address.password else self._address.user,
                tls=self._tls,
                name="green-event-router",
                error_cb=self._note_error,
                closed_cb=self._note_loss,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(self._timeout + _SPARE),
            )
        except (nats.errors.Error, OSError) as exc:
            raise self._no_connection(exc) from exc
        self._stream = self._client.jetstream(timeout=self._timeout + _SPARE)

    async def publish(self, message: Message) -> None:
        assert self._stream is not None, "connected before"
        subject = f"{self._prefix}.{message.words}"
        try:
            await self._loss.or_answer(self._stream.publish(subject, message.body, headers=_headers(message)))
        except Lost as exc:
            raise RetryLater(f"{self._address}: connection lost; it may have the event") from exc
        except nats.js.errors.NoStreamResponseError as exc:
            raise RetryLater(self._no_stream(subject)) from exc
        except nats.errors.MaxPayloadError as exc:
            most = self._client.max_payload
            raise GiveUp(
                f"{self._address}: takes {most} bytes (max_payload), and the event has {len(message.body)}"
            ) from exc
        except nats.js.errors.APIError as exc:
            raise RetryLater(f"{self._address}: the stream refused it: {exc.description}") from exc
        except (nats.errors.Error, OSError) as exc:
            raise RetryLater(f"{self._address}: not published: {exc}") from exc

    async def close(self) -> None:
        await self._client.close()
        for subscription in self._client._subs.values():  # left behind if the client ended half way
            subscription._stop_processing()

    async def _note_error(self, error: Exception) -> None:
        self._error = error

    async def _note_loss(self) -> None:
        self._loss.happen()

    def _no_connection(self, exc: Exception) -> RetryLater:
        """Say why: the client's last word is only that no server is left, the one before says more."""
        reason = self._error if isinstance(exc, nats.errors.NoServersError) and self._error else exc
        return RetryLater(f"{self._address}: no connection: {str(reason) or type(reason).__name__}")

    def _no_stream(self, subject: str) -> str:
        return (
            f"{self._address}: no stream takes {subject}; run: "
            f"nats stream add NAME --subjects '{self._prefix}.>' --storage file --defaults"
        )


def _headers(message: Message) -> dict[str, str]:
    attributes = {f"ce-{name}": quote(text, safe=_PRINTABLE) for name, text in message.attributes.items()}
    return {"Nats-Msg-Id": message.id, "Content-Type": CONTENT_TYPE, **attributes}
