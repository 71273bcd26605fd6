"""The baseline: an ASGI application that reads the body and answers 200."""

from __future__ import annotations

from typing import Any


async def app(_: Any, receive: Any, send: Any) -> None:
    """Answer one request."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
