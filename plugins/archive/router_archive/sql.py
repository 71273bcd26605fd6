"""The handler ``archive.sql``: inserts every event into a table, committed before the delivery is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from importlib.util import find_spec
from typing import Annotated, Any

import structlog
from anyio import to_thread
from msgspec import Meta

from router import Event, GiveUp, RetryLater

Logger = structlog.typing.FilteringBoundLogger

_INT64 = 2**63
#: Scheme → the module that is needed, the extra that has it.
_NEEDED = {
    "sqlite": ("sqlalchemy", "sql"),
    "postgresql": ("psycopg", "postgresql"),
    "mysql": ("pymysql", "mysql"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlOptions:
    """Into which table events go."""

    #: May hold a password: kept out of the repr.
    url: Annotated[
        str,
        Meta(description="sqlite:///var/archive.db, postgresql://user:password@host/database or mysql://…"),
    ] = field(repr=False)
    table: Annotated[
        str,
        Meta(
            description="The table; made where it is missing.",
            pattern="^[A-Za-z_][A-Za-z0-9_]*$",
            max_length=63,
        ),
    ] = "events"
    data: Annotated[
        bool, Meta(description="Whether the whole notification is kept beside the event's fields.")
    ] = True

    def __post_init__(self) -> None:
        """Check what a schema cannot say."""
        scheme, found, _ = self.url.partition("://")
        if not found or scheme not in _NEEDED:
            raise ValueError(f"url: expected it to begin with {'://, '.join(_NEEDED)}://")
        module, extra = _NEEDED[scheme]
        if find_spec("sqlalchemy") is None or find_spec(module) is None:
            raise ValueError(f"url: {scheme}:// needs more: install green-event-router-archive[{extra}]")
        _check_url(self.url)


def _check_url(url: str) -> None:
    from sqlalchemy import make_url  # noqa: PLC0415 - it is not always there
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("url: expected scheme://user:password@host:port/database") from None
    if parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("url: expected the path of a file: sqlite:///var/archive.db")
    if not parsed.database:
        raise ValueError("url: expected a database after the host")


class SqlArchive:
    """Inserts the events of one route into a table."""

    def __init__(self, options: SqlOptions, logger: Logger) -> None:
        from router_archive.table import Table  # noqa: PLC0415 - SQLAlchemy is not always there

        self._options = options
        self._logger = logger
        self._table = Table(options.url, options.table)
        self._making = threading.Lock()
        self._is_made = False

    async def start(self) -> None:
        """Make the table. A database that cannot be reached now may be there for the first event.

        Raises:
            MissingColumns: A table of that name is there and lacks some.
        """
        try:
            await to_thread.run_sync(self._make)
        except RetryLater as exc:
            self._logger.warning("archive.sql_unreachable", table=self._options.table, error=exc.reason)

    async def stop(self) -> None:
        """Close all connections."""
        await to_thread.run_sync(self._table.close)

    def __call__(self, event: Event, logger: Logger) -> None:
        """Insert a row for the event, unless there is one of that id, and commit.

        Raises:
            RetryLater: The database cannot be reached, or did not commit.
            GiveUp: It takes no such value.
        """
        self._make()
        with _told_plainly():
            self._table.insert(self._row(event))
        logger.info("archive.inserted", table=self._options.table)

    def _make(self) -> None:
        with self._making:
            if not self._is_made:
                with _told_plainly():
                    self._table.make()
                self._is_made = True

    def _row(self, event: Event) -> dict[str, Any]:
        row = {name: _storable(value) for name, value in event.as_json(with_data=False).items()}
        row["received_at"] = event.received_at.astimezone(UTC)
        row["data"] = event.data if self._options.data else None
        return row


def _storable(value: Any) -> Any:
    """Return a value as every database takes it: no text may hold NUL, no number more than 64 bits."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    return value if not isinstance(value, int) or abs(value) < _INT64 else None


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn what a driver raises into one line that has no statement and no values in it."""
    from sqlalchemy.exc import DataError, DBAPIError  # noqa: PLC0415 - it is not always there
    from sqlalchemy.exc import TimeoutError as NoConnection  # noqa: PLC0415

    try:
        yield
    except DataError as exc:
        raise GiveUp(f"the database refuses a value: {_reason(exc.orig)}") from None
    except DBAPIError as exc:
        raise RetryLater(_reason(exc.orig)) from None
    except NoConnection:
        raise RetryLater("all connections to the database are in use") from None


def _reason(exc: BaseException | None) -> str:
    """Return the first line of what a driver says: the others may quote what was to be stored."""
    return str(exc).strip().partition("\n")[0]
