"""Removing what is old, a few at a time: the tables stop growing and nobody waits for it.

Any number of replicas may do it; of those that do it at the same moment one goes on and the others
leave it to that one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router import clock
from router.inbox.store import DOUBTS, OUTBOX

#: Events that are looked at in one step, and values that are removed.
_STEP, _VALUES = 100, 200
#: Seconds until the next step while there is more to look at, and when there is not.
_SOON, _LATER = 0.02, 60.0

_REMOVE: Final = "SELECT is_mine, last_at, last_seq, expired FROM remove_old(%s, %s, %s, %s, %s, %s, %s)"
#: Before the first event.
_START: Final = (datetime.min.replace(tzinfo=UTC), 0)


class Retention:
    """Removes events whose time is over and whose deliveries are all done or discarded, and expired values.

    Args:
        seconds: How long an event is kept.
    """

    def __init__(self, seconds: float) -> None:
        self._kept = timedelta(seconds=seconds)
        #: The event that was looked at last: when it was received, and its sequence number.
        self._cursor = _START

    async def step(self, connection: AsyncConnection[TupleRow]) -> float:
        """Remove the next few that may go, in a transaction of its own; return seconds until the next step.

        Raises:
            psycopg.Error: They could not be removed.
        """
        now = clock.now()
        bounds = (now - self._kept, *self._cursor, _STEP, now, _VALUES, [OUTBOX, DOUBTS])
        found = await (await connection.execute(_REMOVE, bounds)).fetchone()
        assert found is not None, "a function returns a row"
        is_mine, last_at, last_seq, expired = found
        if not is_mine:
            return _LATER
        # After the last one that is old: what was passed over, since it was unfinished, is looked at again.
        self._cursor = _START if last_at is None else (last_at, last_seq)
        return _SOON if last_at is not None or expired == _VALUES else _LATER
