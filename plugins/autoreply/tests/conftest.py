from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

import pytest

from router import Event
from router.testing import RouterHarness, StartRouter, make_event

#: A Tuesday.
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Talk:
    """Messages to a route with the handler, and what it replies."""

    def __init__(self, router: RouterHarness) -> None:
        self.router = router

    async def say(self, text: str, **fields: Any) -> str | None:
        """Let a person write, and return what is replied to it."""
        return await self.handle(make_event(text=text, **fields))

    async def vote(self, option: str) -> str | None:
        """Let a person vote in a poll, and return what is replied to it."""
        votes = [{"optionName": "Other", "optionVoters": []}, {"optionName": option, "optionVoters": ["1"]}]
        poll = {"messageData": {"pollMessageData": {"votes": votes}}}
        return await self.handle(make_event(message_type="pollUpdateMessage", data=poll))

    async def handle(self, event: Event | bytes) -> str | None:
        """Let an event come in, and return what is replied to it."""
        before = len(self.router.replies)
        await self.router.send(event)
        await self.router.settle()
        replies = self.router.replies[before:]
        assert len(replies) < 2
        return replies[0] if replies else None


def routes(options: str, handler: str = "autoreply") -> str:
    """Return a ``routes.yaml`` with a route that has the handler and these options."""
    head = f"- name: r\n  type: incomingMessageReceived\n  handler: {handler}\n  options:\n"
    return "routes:\n" + indent(head + indent(options.strip(), "    "), "  ")


Start = Callable[..., Awaitable[Talk]]


@pytest.fixture
def talk(router_harness: StartRouter) -> Start:
    """Return what starts a talk with a route that has these options."""

    async def start(options: str, *, handler: str = "autoreply", plugins: Sequence[object] = ()) -> Talk:
        return Talk(await router_harness(routes(options, handler), plugins=plugins, start=START))

    return start
