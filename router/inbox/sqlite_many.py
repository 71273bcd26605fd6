"""Many rows in one statement.

Each statement lets another thread have the interpreter, and has to get it back before the next: a
batch written row by row would spend more time waiting for that than writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

#: Rows per statement: few different statements, so that all stay prepared.
_SIZES = (64, 32, 16, 8, 4, 2, 1)
Row = tuple[object, ...]


def execute_many(db: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> int:
    """Run a statement that has ``VALUES (?, …)`` where all ``rows`` go; return how many rows it changed.

    Args:
        db: Where.
        statement: With the word ``ROWS`` for ``(?, …), (?, …)``.
        rows: All of the same length.
    """
    changed = begin = 0
    for size in _SIZES:
        while len(rows) - begin >= size:
            values = tuple(chain.from_iterable(rows[begin : begin + size]))
            changed += db.execute(_with_rows(statement, size, len(rows[0])), values).rowcount
            begin += size
    return changed


@cache
def _with_rows(statement: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.replace("ROWS", ", ".join([row] * rows))
