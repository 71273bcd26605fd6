"""What is remembered of a chat: which menus are open for a person, and which replies are cooling down.

An attempt may be repeated after its step in the menus was remembered: it is taken from the same place again.
"""

from __future__ import annotations

from typing import Any

from router import Context
from router_autoreply.menus import Path


class Memory:
    """Of one chat, for one delivery.

    Args:
        context: That of the delivery.
        person: Whose menus they are.
        timeout: Seconds until an open menu is forgotten.
    """

    def __init__(self, context: Context, person: str, timeout: float) -> None:
        self._state = context.state
        self._delivery = context.delivery.id
        # The name of a route may have any characters, so it is last.
        self._menus = f"menus/{person}/{context.delivery.route}"
        self._cooldown = f"/{context.delivery.route}"
        self._timeout = timeout

    async def path(self) -> Path:
        """Return the menus that are open."""
        known: dict[str, Any] = await self._state.get(self._menus, {})
        key = "before" if known.get("delivery") == self._delivery else "path"
        return tuple(known.get(key, ()))

    async def move(self, before: Path, path: Path) -> None:
        """Remember which menus are open from now on."""
        value = {"path": path, "before": before, "delivery": self._delivery}
        await self._state.set(self._menus, value, ttl=self._timeout)

    async def is_cooling(self, source: str) -> bool:
        """Return whether a source has given an answer a short time ago."""
        return await self._state.get(source + self._cooldown) is not None

    async def cool(self, source: str, seconds: float) -> None:
        """Remember that a source has given an answer: the last thing that is done for it."""
        await self._state.set(source + self._cooldown, True, ttl=seconds)
