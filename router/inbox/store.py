"""The contract of the key-value store: what handlers keep beside their events."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Values by scope and key. What a method did is durable when it returns.

    Every method raises `InboxUnavailable` when the store cannot be read or written now.
    """

    async def get(self, scope: str, key: str) -> bytes | None:
        """Return a value; ``None`` if there is none, or its time is over."""

    async def set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Store a value, whatever was there; for ``ttl`` seconds, or until it is deleted."""

    async def add(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> bytes | None:
        """Store a value if there is none and return ``None``; otherwise return the one that is there."""

    async def delete(self, scope: str, key: str) -> None:
        """Remove a value, if there is one."""
