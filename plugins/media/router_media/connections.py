"""Connections that lead only where the options allow."""

from __future__ import annotations

import os
import ssl

import aiohttp

from router import AddressGuard, AddressRefused


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


def failure(exc: Exception) -> str:  # noqa: PLR0911 - a line for each case
    """Return what went wrong, in words that show neither path nor query of the URL."""
    match exc:
        case aiohttp.ServerTimeoutError():
            return "nothing came for as long as the option stall says"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not accepted: {_reason(exc.certificate_error)}"
        case aiohttp.ClientConnectorDNSError():
            return f"its name cannot be looked up: {_reason(exc.os_error)}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_reason(exc.os_error)}"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
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
