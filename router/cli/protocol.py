"""uvicorn's HTTP protocol with two things it lacks.

An answer leaves in one piece: uvicorn writes its head and its body separately, each a system call of
its own, and of what a short answer costs the second one is a fifth. And what a request holds beside
its body has a bound: anyone can send headers without end, before a token is looked at.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: How the head of a final answer begins; ``100 Continue`` is an interim one, which the client waits for.
_FINAL = tuple(b"HTTP/1.1 %d" % digit for digit in range(2, 6))
_END_OF_HEAD = b"\r\n\r\n"
#: Bytes of a request that are not its body: line, headers, sizes of chunks, trailers.
_MOST_OVERHEAD = 64 * 1024


class Protocol(HttpToolsProtocol):
    """Keeps the head of an answer until there is something to send with it, and bounds that of a request."""

    _overhead = 0

    def data_received(self, data: bytes) -> None:
        """Take in what was sent; refuse a request with too much beside its body."""
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > _MOST_OVERHEAD and not self.transport.is_closing():
            message = f"The headers of a request are over {_MOST_OVERHEAD} bytes."
            self.logger.warning(message)
            self.send_400_response(message)

    def on_body(self, body: bytes) -> None:
        """Take in a piece of the body, which the webhook bounds."""
        self._overhead -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; the next one on this connection is measured by itself."""
        self._overhead = 0
        super().on_message_complete()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        self._one_write = _OneWrite(transport)
        super().connection_made(cast("asyncio.Transport", self._one_write))

    def on_response_complete(self) -> None:
        """Go on to the next request; an answer without a body is only sent now."""
        self._one_write.flush()
        super().on_response_complete()


class _OneWrite:
    """A transport that holds back the head of an answer until the next write."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if data.startswith(_FINAL) and data.endswith(_END_OF_HEAD) and not self._head:
            self._head = data
        else:
            head, self._head = self._head, b""
            self._transport.write(head + data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
