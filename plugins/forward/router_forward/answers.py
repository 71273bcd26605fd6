"""What an answer means for the delivery: done, again later, or never again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from router import GiveUp, RetryLater

#: Statuses below 500 that may pass: request timeout, too early, too many requests.
_MAY_PASS = frozenset({408, 425, 429})
#: Seconds: a longer `Retry-After` is shortened.
_LONGEST_WAIT = 3600.0
#: Characters of an answer that are told.
_TOLD = 200
#: Shorter ones cannot be told from what is no secret.
_SHORTEST_SECRET = 6
_NUMBER = re.compile(r"\d{7,}")
_WHITE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def require_success(
    status: int, told: str, *, location: str | None, retry_after: str | None, now: datetime
) -> None:
    """Return for a status that means that the receiver has the event.

    Args:
        status: Of the answer.
        told: Who answered, and what: the reason begins with it.
        location: Where a redirect points to.
        retry_after: As the header has it.
        now: Against which a date in it is read.

    Raises:
        RetryLater: It may pass.
        GiveUp: It will not.
    """
    if 200 <= status < 300:
        return
    if status in _MAY_PASS or status >= 500:
        raise RetryLater(told, after=wait(retry_after, now))
    if 300 <= status < 400 and location:
        told += f"; redirects are not followed: set url to where it points, {location}"
    if status == HTTPStatus.GONE:
        told += "; the receiver wants no more: remove the route"
    raise GiveUp(told)


def wait(retry_after: str | None, now: datetime) -> float | None:
    """Return the seconds to wait that a `Retry-After` asks for; ``None`` if it asks for none."""
    seconds = _seconds(retry_after.strip(), now) if retry_after else 0.0
    return min(seconds, _LONGEST_WAIT) if seconds > 0 else None


def _seconds(text: str, now: datetime) -> float:
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()


def named(status: int) -> str:
    """Return a status with its name, such as ``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


class Piece:
    """Makes a piece of what came from outside fit to be told: short, on one line, without secrets.

    Args:
        secrets: What is not to be shown if the receiver repeats it.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        longest_first = sorted(set(secrets), key=len, reverse=True)
        self._secrets = [secret for secret in longest_first if len(secret) >= _SHORTEST_SECRET]

    def __call__(self, text: str) -> str:
        """Return the piece; numbers of seven digits and more, which may be those of phones, are hidden."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        line = _NUMBER.sub("[number]", _WHITE.sub(" ", text)).strip()
        return line if len(line) <= _TOLD else f"{line[:_TOLD]}…"
