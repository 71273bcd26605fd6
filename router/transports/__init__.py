"""How notifications come. A transport is given a ``receive`` and knows nothing of what is behind it."""

from __future__ import annotations

from typing import Protocol

from router.events import Receipt, Transport


class Receive(Protocol):
    """Stores one notification; see `router.intake.Intake.receive`."""

    async def __call__(self, body: bytes, transport: Transport, instance: int | None = None) -> Receipt:
        """Return the receipt; raise `InboxUnavailable` if nothing was stored."""
