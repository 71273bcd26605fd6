"""Connections that lead only where the options allow."""

from __future__ import annotations

import aiohttp

from router import AddressGuard, AddressRefused, connection_failure


def session(guard: AddressGuard) -> aiohttp.ClientSession:
    """Return a session with a pool of its own, without cookies and proxies."""
    return aiohttp.ClientSession(
        connector=guard.connector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "green-event-router-media", "Accept-Encoding": "identity"},
    )


def refusal(exc: Exception) -> str | None:
    """Return why an address was not connected to; ``None`` if something else went wrong."""
    os_error = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else None
    return _told(os_error) if isinstance(os_error, AddressRefused) else None


def _told(refused: AddressRefused) -> str:
    is_public = refused.kind == "public"
    what = "is asked for without TLS" if is_public else f"is not public ({refused.kind})"
    return f"{refused.address} {what}, and the option allow does not list it"


def failure(exc: Exception) -> str:
    """Return what went wrong, in words that show neither path nor query of the URL."""
    match exc:
        case aiohttp.ServerTimeoutError():
            return "nothing came for as long as the option stall says"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
    return connection_failure(exc)
