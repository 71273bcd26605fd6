"""Many rows in one statement.

Each statement lets another thread have the interpreter, and has to get it back before the next: a
batch written row by row would spend more time waiting for that than writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

#: Rows in one statement at most; each number of rows makes a statement of its own, which stays prepared.
MOST_ROWS = 32
Row = tuple[object, ...]


def execute_many(db: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> int:
    """Run a statement that has ``VALUES (?, …)`` where all ``rows`` go; return how many rows it changed.

    Args:
        db: Where.
        statement: With the word ``ROWS`` for ``(?, …), (?, …)``.
        rows: All of the same length.
    """
    return sum(db.execute(*part).rowcount for part in _parts(statement, rows))


def query_many(db: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> list[Any]:
    """Run a query with ``rows`` as `execute_many` does; return what it finds for any of them."""
    return [found for part in _parts(statement, rows) for found in db.execute(*part)]


def _parts(statement: str, rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    for begin in range(0, len(rows), MOST_ROWS):
        some = rows[begin : begin + MOST_ROWS]
        yield _with_rows(statement, len(some), len(some[0])), tuple(chain.from_iterable(some))


@cache
def _with_rows(statement: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.replace("ROWS", ", ".join([row] * rows))
