"""The address that a command listens on."""

from __future__ import annotations

import os
import socket

from router.errors import RouterError

#: Exit code when a command cannot start.
COULD_NOT_START = 3
#: Connections that wait to be accepted.
_BACKLOG = 2048


class CannotListen(RouterError):
    """Raised when the address cannot be had."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address.

    Raises:
        CannotListen: The address is another program's, not this machine's, or none.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as exc:
        reason = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else exc
        raise CannotListen(
            f"cannot listen on {host}:{port}: {reason}; choose another --port or --host"
        ) from None
