"""The PostgreSQL database: how it is connected to, its tables, and what its errors mean."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Any, Final

import psycopg
import structlog
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from router.errors import InboxUnavailable

#: Everything of the router is in this schema.
SCHEMA: Final = "router"
#: The oldest version that is supported, as PostgreSQL numbers them.
_OLDEST = 150_000
#: Seconds within which a server accepts a connection, and acknowledges what it was sent.
_CONNECT, _ACKNOWLEDGE = 3, 5
#: Seconds that a statement, a lock, and a transaction without a statement may take.
STATEMENT, _LOCK, _IDLE = 10, 5, 5
#: Seconds that bringing the tables up to date may take, with the wait for another router that does it.
_MIGRATION = 120
#: What routers that start at the same moment queue up for; any number that nobody else uses.
_MIGRATION_LOCK = 0x726F7574

#: What a server has to have switched on, or it loses what it has acknowledged.
_DURABLE: Final = ("fsync", "full_page_writes")

_log = structlog.get_logger("router.inbox")

#: How a connection is made, unless the URL says otherwise.
_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": _CONNECT,
    "tcp_user_timeout": _ACKNOWLEDGE * 1000,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "application_name": "router",
}
# Not as options of the connection, which poolers refuse. A synchronous_commit that promises more is kept.
_SETTINGS: Final = f"""
SELECT set_config('search_path', '{SCHEMA}', false), set_config('timezone', 'UTC', false),
    set_config('statement_timeout', '{STATEMENT}s', false), set_config('lock_timeout', '{_LOCK}s', false),
    set_config('idle_in_transaction_session_timeout', '{_IDLE}s', false),
    set_config('idle_session_timeout', '0', false),
    set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
        THEN 'on' ELSE current_setting('synchronous_commit') END, false)"""


class Database:
    """Where the inbox is.

    Args:
        url: As libpq takes it: ``postgresql://user:password@host:port/name?sslmode=…``.

    Raises:
        InboxUnavailable: The URL is none.
    """

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error as exc:
            raise InboxUnavailable(f"inbox.url: expected a URL of PostgreSQL: {_line(exc)}") from None
        self._conninfo = make_conninfo(**{**_CONNECTION, **given})
        host = given.get("host") or given.get("hostaddr") or "localhost"
        #: For messages: without user and password.
        self.where = f"postgresql://{host}:{given.get('port') or 5432}/{given.get('dbname') or ''}"

    async def connect(self) -> AsyncConnection[TupleRow]:
        """Make a connection on which each statement commits by itself.

        Raises:
            psycopg.Error: There is none to be had.
        """
        connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
        try:
            await connection.execute(_SETTINGS)
        except BaseException:
            await connection.close()
            raise
        return connection

    def connect_now(self) -> Connection[TupleRow]:
        """Make a connection as `connect` does, for code that is not in an event loop."""
        connection = Connection.connect(self._conninfo, autocommit=True)
        try:
            connection.execute(_SETTINGS)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Turn an error of the database into `InboxUnavailable`, which says where."""
        try:
            yield
        except psycopg.Error as exc:
            raise InboxUnavailable(f"inbox {self.where}: {_line(exc)}") from exc

    def prepare(self) -> None:
        """Bring the tables up to date: of any number of routers that start, one does it and all wait.

        Raises:
            InboxUnavailable: They cannot be, or a newer version of the router made them.
        """
        with self.unavailable(), self.connect_now() as connection:
            self._look_at_server(connection)
            with connection.transaction():
                connection.execute(
                    f"SET LOCAL statement_timeout = '{_MIGRATION}s'; SET LOCAL lock_timeout = '{_MIGRATION}s'"
                )
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
                self._migrate(connection)

    def require_tables(self, connection: Connection[TupleRow]) -> None:
        """Make sure that a router has made the tables, and that they are those of this version.

        Raises:
            InboxUnavailable: There are none, or they are of another version.
        """
        found, latest = _version(connection), len(_migrations())
        if found is None:
            raise InboxUnavailable(
                f"there is no inbox in {self.where}: 'router serve' makes it when it first runs"
            )
        if found != latest:
            raise InboxUnavailable(
                f"inbox {self.where} has tables of version {found}, this router uses {latest}: "
                "run the commands of the router that serves it"
            )

    def _look_at_server(self, connection: Connection[TupleRow]) -> None:
        version = connection.info.server_version
        if version < _OLDEST:
            found = f"{version // 10_000}.{version % 10_000}"
            raise InboxUnavailable(
                f"inbox {self.where}: expected PostgreSQL {_OLDEST // 10_000} or newer, found {found}"
            )
        for setting in _DURABLE:
            if connection.execute(f"SHOW {setting}").fetchone() == ("off",):
                _log.warning("inbox.not_durable", setting=f"{setting} = off")

    def _migrate(self, connection: Connection[TupleRow]) -> None:
        migrations = _migrations()
        found = _version(connection)
        if found is None:
            if connection.execute("SELECT to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,):
                connection.execute(f"CREATE SCHEMA {SCHEMA}")  # whoever may not has it made beforehand
            connection.execute(
                "CREATE TABLE migrations ("
                "number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )
        elif found > len(migrations):
            raise InboxUnavailable(
                f"inbox {self.where} was written by a newer version of the router: use that one"
            )
        for number, script in enumerate(migrations[found or 0 :], (found or 0) + 1):
            connection.execute(script.encode())
            connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))


def cut(connection: AsyncConnection[TupleRow]) -> None:
    """Shut the socket: whoever waits for an answer learns at once that none comes."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


def is_unavailable(exc: psycopg.Error) -> bool:
    """Tell a database that cannot be written now from something that cannot be stored at all."""
    of_the_request = psycopg.DataError | psycopg.IntegrityError | psycopg.errors.ProgramLimitExceeded
    return not isinstance(exc, of_the_request)


def _line(exc: psycopg.Error) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


def _migrations() -> list[str]:
    folder = files("router.inbox.postgres") / "migrations"
    return [file.read_text("utf-8") for file in sorted(folder.iterdir(), key=lambda file: file.name)]


def _version(connection: Connection[TupleRow]) -> int | None:
    """Return the number of the last migration, or ``None`` where there was none."""
    found = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.migrations",)).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    assert row is not None, "an aggregate has one row"
    version: int = row[0]
    return version
