"""Reading the notification that a command names: a file, a shipped sample, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from router import clock, samples
from router.errors import NotFound, RouterError
from router.events import Event, Problem, Transport
from router.jsontext import parse
from router.normalize import normalize


class UnreadableNotification(RouterError):
    """Raised when a file named on the command line cannot be read, or is no JSON object."""


def read_notification(name: str) -> bytes:
    """Return the bytes of a file, of a shipped sample by its name, or of standard input for ``-``.

    Raises:
        UnreadableNotification: The file cannot be read.
        NotFound: There is neither a file nor a sample of that name.
    """
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as exc:
        raise UnreadableNotification(f"{name}: cannot be read: {exc}") from None
    try:
        return samples.read(name)
    except NotFound as exc:
        raise NotFound(f"{name}: no such file, and {exc}") from None


def event_of(body: bytes) -> Event:
    """Return the event that a body would become.

    Raises:
        UnreadableNotification: It is no JSON object.
    """
    data = parse(body)
    if isinstance(data, Problem):
        raise UnreadableNotification(f"no notification: {data.message}")
    return normalize(data, id="0", received_at=clock.now(), transport=Transport.WEBHOOK)
