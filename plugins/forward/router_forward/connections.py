"""Connections that lead only where the options allow, and what is told when there is none."""

from __future__ import annotations

import ssl

import aiohttp

from router import AddressGuard, AddressRefused, connection_failure

#: Seconds that an unused connection is kept; some servers (Node.js, uvicorn) close theirs after 5.
_KEPT = 4.0


def session(guard: AddressGuard, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """Return a session with a pool of its own, without cookies, proxies and a limit."""
    return aiohttp.ClientSession(
        connector=guard.connector(ssl=tls, limit=0, keepalive_timeout=_KEPT),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "green-event-router-forward", "Accept-Encoding": "identity"},
    )


def refusal(exc: Exception) -> str | None:
    """Return why an address was not connected to; ``None`` if something else went wrong."""
    os_error = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else None
    return told(os_error) if isinstance(os_error, AddressRefused) else None


def told(refused: AddressRefused) -> str:
    """Return what an address is that is refused, and which option would allow it."""
    return f"{refused.address} is not public ({refused.kind}), and the option allow does not list it"


def failure(exc: Exception, timeout: float) -> str:
    """Return what went wrong, in words that show neither path nor query of the URL."""
    return f"no answer within {timeout:g} s" if isinstance(exc, TimeoutError) else connection_failure(exc)
