"""Closed loop: wrk sends as fast as it is answered, over 32 connections. It shows how much servers do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.figures import CannotMeasure
from bench.servers import run_pinned

CONNECTIONS = 32
#: What is sent, where nothing else is said.
KIND = "incomingMessageReceived"
_SCRIPT = Path(__file__).parent / "load" / "closed.lua"


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk did."""

    requests: int
    seconds: float


def load(
    url: str,
    run: str,
    seconds: float,
    log: Path,
    *,
    kind: str = KIND,
    chats: int = 500,
    hot: bool = False,
    connections: int = CONNECTIONS,
) -> Load:
    """Send notifications for so long; each has an ``idMessage`` of its own as long as ``run`` is.

    Args:
        url: Where they are posted.
        run: Makes their ``idMessage`` their own.
        seconds: How long.
        log: Takes what wrk complains of.
        kind: Their ``typeWebhook``.
        chats: How many chats they are of.
        hot: Whether three of ten are of one chat more.
        connections: How many wait for an answer at any time.

    Raises:
        CannotMeasure: Not every answer was 200.
    """
    printed = run_pinned(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "-s", str(_SCRIPT), url],
        environ={"RUN": run, "TYPE": kind, "CHATS": str(chats), "HOT": "3" if hot else "0"},
        log=log,
    )
    return parse(printed)


def require_all(load: Load, found: int, what: str) -> None:
    """Hold what a router has done against what was answered; at the end each connection awaits one.

    Raises:
        CannotMeasure: The two differ.
    """
    if not load.requests <= found <= load.requests + CONNECTIONS:
        raise CannotMeasure(f"{load.requests} notifications were answered, but {found} {what}")


def parse(printed: str) -> Load:
    """Read what wrk prints: for people, and at its end a line of ours.

    Raises:
        CannotMeasure: Not every answer was 200, or our line is not there.
    """
    last = printed.strip().rpartition("\n")[2]
    if not last.startswith("{"):
        raise CannotMeasure(f"wrk did not print what its script prints last: {printed.strip()[-500:]!r}")
    summary = json.loads(last)
    if summary["errors"] or not summary["requests"]:
        raise CannotMeasure(f"not every notification was answered with 200: {printed.strip()}")
    return Load(summary["requests"], summary["microseconds"] / 1e6)
