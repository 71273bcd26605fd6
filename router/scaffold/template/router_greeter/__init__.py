"""The plugin greeter: greets whoever writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
from router import Context, Event, RegisterHandler, hookimpl


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a route may say in ``options``; it is checked when the router starts."""

    greeting: Annotated[str, Meta(min_length=1, description="What is said before the name.")] = "Hello"


async def handle(event: Event, context: Context, options: Options) -> None:
    """Reply to whoever wrote. What is of no chat, such as a change of the account's state, has nobody."""
    if event.chat is not None:
        await context.reply(f"{options.greeting}, {event.sender_name or 'you'}!")


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer the handler to ``routes.yaml``."""
    register("greeter", handle, options=Options)
