"""A few events that a router itself took in, to fill larger inboxes with."""

from __future__ import annotations

from pathlib import Path

from bench import closed_loop
from bench.routers import Router

#: Chats, and so lanes, that they are of.
LANES = 10_000


def few_events(folder: Path, route: str) -> Router:
    """Have a router take in outgoing messages until each of `LANES` chats has one; it is stopped then."""
    router = Router(folder, route)
    with router.serve() as server:
        turn = 0
        while sum(router.inbox.deliveries().values()) < LANES:
            closed_loop.load(
                server.url, f"{turn} fill", 1, folder / "wrk.log", kind="outgoingMessageReceived", chats=LANES
            )
            turn += 1
    return router
