"""uvicorn's HTTP protocol, but an answer leaves in one piece.

uvicorn writes the head of an answer and its body separately, each a system call of its own: of what
a short answer costs, the second one is a fifth.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: How the head of a final answer begins; ``100 Continue`` is an interim one, which the client waits for.
_FINAL = tuple(b"HTTP/1.1 %d" % digit for digit in range(2, 6))
_END_OF_HEAD = b"\r\n\r\n"


class OneWriteProtocol(HttpToolsProtocol):
    """Keeps the head of an answer until there is something to send with it."""

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
