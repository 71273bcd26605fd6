"""What a run that did not stop in good order left behind.

A delivery that was shown as running has had an attempt, or a handler that takes the process down
would be tried for ever. One that ran too shortly to be shown leaves no trace; so after such an end
all that was there is shown as running, durably, before its handler is called.
"""

from __future__ import annotations

import sqlite3

from router.inbox import AttemptOutcome

_ERROR = "the process ended while the handler ran"

_RECORD_INTERRUPTED = """
INSERT OR REPLACE INTO attempts (delivery, number, started_at, duration, outcome, error)
SELECT id, attempts + 1, running_since, 0, ?, ? FROM deliveries WHERE status = 'running'"""
_COUNT_INTERRUPTED = """
UPDATE deliveries SET status = 'pending', error = ?, due_at = NULL,
    attempts = attempts + 1, round_attempts = round_attempts + 1
WHERE status = 'running'"""
_ENDED_CLEANLY = "SELECT ended_cleanly FROM runs"
_NOTE_START = "UPDATE runs SET started = started + 1, ended_cleanly = FALSE"
_NOTE_END = "UPDATE runs SET ended_cleanly = TRUE"
_LAST_DELIVERY = "SELECT coalesce(max(id), 0) FROM deliveries"


def recover(db: sqlite3.Connection) -> int:
    """Count the attempts that were cut off; return the last delivery to be careful with, or 0.

    Only one router runs on a file: whoever ran what is shown as running is gone. Something is always
    written: on a full disk no handler should run whose outcome could not be kept.
    """
    db.execute("BEGIN IMMEDIATE")
    db.execute(_RECORD_INTERRUPTED, (AttemptOutcome.INTERRUPTED.value, _ERROR))
    db.execute(_COUNT_INTERRUPTED, (_ERROR,))
    ended_cleanly = bool(db.execute(_ENDED_CLEANLY).fetchone()[0])
    db.execute(_NOTE_START)
    last: int = db.execute(_LAST_DELIVERY).fetchone()[0]
    db.execute("COMMIT")
    return 0 if ended_cleanly else last


def end_cleanly(db: sqlite3.Connection) -> None:
    """Note that nothing runs any more and everything that ran is settled."""
    db.execute(_NOTE_END)
