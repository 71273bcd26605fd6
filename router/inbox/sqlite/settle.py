"""Recording how attempts ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from router import clock
from router.errors import InboxUnavailable
from router.inbox import Attempt, Claim, Dead, Done, Outcome, Retry
from router.inbox.sqlite.file import to_micros
from router.inbox.sqlite.many import Row, execute_many

_SETTLE_DONE = """
UPDATE deliveries SET status = 'done', attempts = new.column2, started_at = new.column3,
    duration = new.column4, plugin = new.column5, settled_at = new.column6, due_at = NULL, error = NULL
FROM (VALUES ROWS) AS new
WHERE deliveries.id = new.column1 AND status IN ('pending', 'running')"""
_SETTLE_RETRY = """
UPDATE deliveries SET status = 'pending', attempts = ?, round_attempts = ?, blocked = ?, due_at = ?,
    delay = ?, error = ?
WHERE id = ? AND status IN ('pending', 'running')"""
_SETTLE_DEAD = """
UPDATE deliveries SET status = 'dead', attempts = ?, settled_at = ?, due_at = NULL, error = ?
WHERE id = ? AND status IN ('pending', 'running')"""
# A delivery that was discarded while it ran may be gone by now, with its event.
_INSERT_ATTEMPT = """
INSERT OR REPLACE INTO attempts (delivery, number, started_at, duration, outcome, error, traceback, plugin)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = ?1)"""


class Settle:
    """A request to record how one attempt ended."""

    kept = True

    def __init__(self, claim: Claim, outcome: Outcome) -> None:
        self.claim = claim
        self.outcome = outcome
        self.at = to_micros(clock.now())

    def done(self) -> None:
        """Nobody waits for it."""

    def refused(self, exc: InboxUnavailable) -> None:
        """Nobody waits for it."""


def settle(db: sqlite3.Connection, settles: Sequence[Settle]) -> None:
    """Record all outcomes: in the writer, inside a transaction that others share."""
    done: list[Row] = []
    for one in settles:
        claim, outcome = one.claim, one.outcome
        match outcome:
            case Done():
                done.append(_done_row(claim, outcome.attempt, one.at))
                continue
            case Retry():
                db.execute(_SETTLE_RETRY, _retry_row(claim, outcome, one.at))
            case Dead():
                db.execute(_SETTLE_DEAD, _dead_row(claim, outcome, one.at))
        if outcome.attempt is not None:
            db.execute(_INSERT_ATTEMPT, _attempt_row(claim.id, outcome.attempt))
    execute_many(db, _SETTLE_DONE, done)


def _done_row(claim: Claim, attempt: Attempt, settled_at: int) -> Row:
    started_at = to_micros(attempt.started_at)
    return claim.id, attempt.number, started_at, attempt.duration, attempt.plugin, settled_at


def _retry_row(claim: Claim, outcome: Retry, settled_at: int) -> Row:
    attempt, delay = outcome.attempt, outcome.delay
    blocked = claim.blocked + attempt.duration + delay
    due_at = settled_at + round(delay * 1e6)
    return attempt.number, claim.round_attempt, blocked, due_at, delay, attempt.error, claim.id


def _dead_row(claim: Claim, outcome: Dead, settled_at: int) -> Row:
    number = outcome.attempt.number if outcome.attempt else claim.attempt - 1
    return number, settled_at, outcome.reason, claim.id


def _attempt_row(delivery_id: int, attempt: Attempt) -> Row:
    return (
        delivery_id,
        attempt.number,
        to_micros(attempt.started_at),
        attempt.duration,
        attempt.outcome.value,
        attempt.error,
        attempt.traceback,
        attempt.plugin,
    )
