"""The hooks a plugin may implement, and the shapes of what it offers.

Hooks run at start-up only. Events never travel through them: the router calls each handler itself,
once per delivery, so that one handler's failure concerns nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import pluggy

from router.context import Context
from router.events import Event, JsonObject

#: The name under which pluggy knows us.
PROJECT = "router"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: ``async def``, or ``def``, which runs in a thread. It returns for done, or raises `RetryLater` or `GiveUp`;
#: anything else it raises is a failed attempt.
Handler = Callable[[Event, Context], Awaitable[None] | None]


class RegisterHandler(Protocol):
    """What `register_handlers` is given."""

    def __call__(self, name: str, handler: Handler, *, options: JsonObject | None = None) -> None:
        """Offer ``handler`` to ``routes.yaml`` under ``name``.

        Args:
            name: What a route's ``handler:`` says.
            handler: Called with the event and the context of each delivery.
            options: JSON Schema of the route's ``options``; any object will do when left out.
        """


@hookspec
def register_handlers(register: RegisterHandler) -> None:
    """Offer handlers that ``routes.yaml`` may name. Called once at start-up, before anything is received."""
