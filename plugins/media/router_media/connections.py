"""Connections that lead only where the options allow."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable

import aiohttp

from router_media.addresses import Guard, Refused

_AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


def session(guard: Guard) -> aiohttp.ClientSession:
    """Return a session with a pool of its own, without cookies and proxies.

    The guard sees each address right before it is connected to: a name may lead to one address now and to
    another one later. Of a name with several addresses, those that are allowed are tried.
    """
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_guarded(guard))
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "green-event-router-media", "Accept-Encoding": "identity"},
    )


def _guarded(guard: Guard) -> Callable[[_AddrInfo], socket.socket]:
    def open_socket(info: _AddrInfo) -> socket.socket:
        """Open the socket that is connected to this very address next."""
        family, kind, protocol, _, address = info
        guard.check(str(address[0]))
        return socket.socket(family, kind, protocol)

    return open_socket


def refusal(exc: Exception) -> str | None:
    """Return why an address was not connected to; ``None`` if something else went wrong."""
    os_error = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else None
    return str(os_error) if isinstance(os_error, Refused) else None


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
