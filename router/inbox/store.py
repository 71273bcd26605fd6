"""What handlers keep: values by scope and key, beside the inbox and as durable as it is.

A scope belongs to one owner, such as ``once/ROUTE``, ``state/PLUGIN/INSTANCE/CHAT`` or
``outbox/DELIVERY``. Its keys are known nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from router import clock

#: Seconds that a value may be kept for at most, unless it is kept for ever: 100 years.
_LONGEST = 100 * 365.25 * 86400


class Store(Protocol):
    """Values that outlive whoever wrote them: durable when the call returns.

    With a ``ttl`` a value is there for so many seconds of the wall clock and never seen after them.

    Raises:
        InboxUnavailable: The store cannot be written; nothing was changed.
        ValueError: ``ttl`` is no number of seconds above 0, or more than 100 years; or, in PostgreSQL, scope
            and key have more than 2,600 bytes together.
    """

    async def get(self, scope: str, key: str) -> bytes | None:
        """Return the value, or ``None`` where there is none."""

    async def set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Keep the value in place of any that was there."""

    async def add(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> bytes | None:
        """Keep the value if the key has none, and return ``None``; else return the one that is there.

        Of any number of calls at the same moment one gets ``None``, and all others its value.
        """

    async def delete(self, scope: str, key: str) -> None:
        """Forget the value, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreItem:
    """A value as an operator sees it."""

    scope: str
    key: str
    value: bytes
    #: From when on it is not there any more; ``None``: kept until it is deleted.
    expires_at: datetime | None


#: How the scopes begin whose values the inbox keeps for as long as a delivery, and no longer: what it sent,
#: and what of that is in doubt.
OUTBOX, DOUBTS = "outbox/", "in-doubt/"


def outbox_scope(delivery_id: int) -> str:
    """Return the scope of what a delivery sent."""
    return f"{OUTBOX}{delivery_id}"


def doubt_scope(delivery_id: int) -> str:
    """Return the scope of what is in doubt of a delivery."""
    return f"{DOUBTS}{delivery_id}"


def expiry(ttl: float | None) -> datetime | None:
    """Return when a value that is kept from now on for ``ttl`` seconds is over.

    Raises:
        ValueError: That is no time to keep it for.
    """
    if ttl is None:
        return None
    if not 0 < ttl <= _LONGEST:
        raise ValueError(f"ttl is {ttl}: expected seconds above 0 and up to 100 years, or None for ever")
    return clock.now() + timedelta(seconds=ttl)
