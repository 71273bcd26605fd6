"""What is read of a lane: rows of `statements.LOAD`, as claims that wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.rows import TupleRow

from router.inbox import Claim
from router.inbox.postgres.requests import LaneName, Load, Waiting
from router.inbox.revival import remaining, revive


def page_of(request: Load, rows: Sequence[TupleRow], me: int) -> tuple[list[Waiting], bool]:
    """Return the deliveries of a lane as they were found, and whether there are more."""
    page: list[Waiting] = []
    for _, careful_until, delivery_id, was_cut_off, *facts, _, _ in rows:
        if delivery_id is None:
            return [], False
        claim, wait = _claim(request.lane, delivery_id, me, facts)
        claim.is_suspect, claim.was_cut_off = delivery_id <= careful_until, was_cut_off
        # Only the first of a lane is ever held up: one that waits for a retry begins a page of its own.
        if page and wait is not None:
            return page, True
        page.append((claim, wait))
    there = rows[0][-2]
    return page, there > len(page) or there == request.most


def _claim(lane: LaneName, delivery_id: int, me: int, facts: Sequence[Any]) -> Waiting:
    attempts, round_attempts, blocked, due_at, delay, event_id, instance, received_at, transport, body = facts
    claim = Claim(
        delivery_id,
        *lane,
        revive(event_id, instance, received_at, transport, bytes(body)),
        attempts + 1,
        round_attempts + 1,
        blocked,
        len(body),
        me,
    )
    return claim, None if due_at is None else remaining(due_at, delay)
