"""Connections that lead only where the options allow, and what is told when there is none."""

from __future__ import annotations

import os
import ssl

import aiohttp

from router import AddressGuard, AddressRefused

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


def failure(exc: Exception, timeout: float) -> str:  # noqa: PLR0911 - a line for each case
    """Return what went wrong, in words that show neither path nor query of the URL."""
    match exc:
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not accepted: {_reason(exc.certificate_error)}"
        case aiohttp.ClientConnectorDNSError():
            return f"its name cannot be looked up: {_reason(exc.os_error)}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_reason(exc.os_error)}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection was closed before there was an answer"
        case aiohttp.ClientResponseError():
            return "the answer is no HTTP"
    return type(exc).__name__


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    if isinstance(exc, ssl.SSLError):
        return f"no TLS: {exc.reason}"
    if isinstance(exc, OSError):
        return os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc.strerror or exc)
    return str(exc)
