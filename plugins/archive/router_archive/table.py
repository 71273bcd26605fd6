"""A table of events, in SQLite, PostgreSQL, MySQL or MariaDB."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import Insert

#: Drivers, by SQLAlchemy's names; SQLAlchemy's own choice differs between its versions.
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
#: Seconds to wait for a connection, or for SQLite's lock.
_WAIT = 10
_CONNECT = {
    "sqlite": {"timeout": _WAIT},
    "postgresql": {"connect_timeout": _WAIT, "tcp_user_timeout": 1000 * _WAIT},
    "mysql": {"connect_timeout": _WAIT, "read_timeout": _WAIT, "write_timeout": _WAIT},
}


class MissingColumns(Exception):
    """Raised when the table is there, but is not one of this plugin's."""


class Table:
    """The table of one route.

    Args:
        url: Of the database.
        name: Of the table.
    """

    def __init__(self, url: str, name: str) -> None:
        parsed = sa.make_url(url)
        self._dialect = parsed.drivername
        self._engine = sa.create_engine(
            parsed.set(drivername=_DRIVERS.get(self._dialect, self._dialect)),
            connect_args=_CONNECT[self._dialect],
            json_serializer=partial(json.dumps, ensure_ascii=False),
            hide_parameters=True,  # an error of the driver tells nobody's messages
            pool_pre_ping=True,
        )
        self._table = _described(name)
        self._insert = self._make_insert()

    def make(self) -> None:
        """Make the table where it is missing.

        Raises:
            OSError: The folder of an SQLite file cannot be made.
            DBAPIError: The database cannot be reached, or allows it not.
            MissingColumns: A table of that name is there and lacks some.
        """
        if self._dialect == "sqlite":
            Path(str(self._engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        try:
            self._table.create(self._engine, checkfirst=True)
        except DBAPIError:
            if not sa.inspect(self._engine).has_table(self._table.name):  # else another router was faster
                raise
        there = {column["name"] for column in sa.inspect(self._engine).get_columns(self._table.name)}
        if missing := [column.name for column in self._table.columns if column.name not in there]:
            raise MissingColumns(f"table {self._table.name} has no columns {', '.join(missing)}")

    def insert(self, row: Mapping[str, Any]) -> None:
        """Insert a row, unless there is one of that id, and commit.

        Raises:
            DBAPIError: It was not committed, or nobody knows whether.
        """
        with self._engine.begin() as connection:
            connection.execute(self._insert, row)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _make_insert(self) -> Insert:
        match self._dialect:
            case "postgresql":
                return postgresql.insert(self._table).on_conflict_do_nothing(index_elements=["id"])
            case "mysql":  # not INSERT IGNORE, which also takes values cut short
                return mysql.insert(self._table).on_duplicate_key_update(id=self._table.c.id)
        return sqlite.insert(self._table).on_conflict_do_nothing(index_elements=["id"])


def _described(name: str) -> sa.Table:
    text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
    moment = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql")
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("type", sa.String(255)),
        sa.Column("instance", sa.BigInteger),
        sa.Column("messenger", sa.String(255)),
        sa.Column("chat", sa.String(255), index=True),
        sa.Column("sender", sa.String(255)),
        sa.Column("message_type", sa.String(255)),
        sa.Column("text", text),
        sa.Column("timestamp", sa.BigInteger),
        sa.Column("received_at", moment, nullable=False, index=True),
        sa.Column("transport", sa.String(16), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True)),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )
