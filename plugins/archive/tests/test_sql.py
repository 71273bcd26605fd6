from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import structlog
from router_archive import SqlArchive, SqlOptions

from router import Event, GiveUp, RetryLater
from router.testing import make_event

sa = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")

from router_archive.table import MissingColumns, Table  # noqa: E402 - it needs SQLAlchemy

DAY = datetime(2026, 11, 24, 20, 30, 0, 123456, tzinfo=timezone(timedelta(hours=-3)))


class Log:
    """Keeps the lines that are logged."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            None, processors=[self._keep]
        )

    def _keep(self, _: object, method: str, facts: Any) -> Any:
        self.lines.append({"level": method, **facts})
        raise structlog.DropEvent


def event(number: int = 1, **fields: Any) -> Event:
    return make_event(id=f"e{number}", received_at=DAY, **fields)


@contextmanager
def archive(log: Log, **options: Any) -> Iterator[SqlArchive]:
    made = SqlArchive(SqlOptions(**options), log.logger)
    with closing(made._table):
        yield made


SERVERS = ["postgresql", "mysql"]


@pytest.fixture(
    name="url", params=["sqlite", *(pytest.param(name, marks=pytest.mark.system) for name in SERVERS)]
)
def _url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/deep/er/archive.db"
        return
    server = request.getfixturevalue(request.param)
    run(server + ADMIN[request.param], "CREATE DATABASE archive")
    yield server + "archive"
    run(server + ADMIN[request.param], f"DROP DATABASE archive {FORCE[request.param]}")


ADMIN = {"postgresql": "postgres", "mysql": "mysql"}
FORCE = {"postgresql": "WITH (FORCE)", "mysql": ""}
DRIVERS = {"postgresql:": "postgresql+psycopg:", "mysql:": "mysql+pymysql:", "sqlite:": "sqlite:"}


def engine(url: str) -> Any:
    scheme = url[: url.index(":") + 1]
    return sa.create_engine(
        url.replace(scheme, DRIVERS[scheme]), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )


def run(url: str, statement: str) -> None:
    with engine(url).connect() as connection:
        connection.execute(sa.text(statement))


def rows(url: str, table: str = "events") -> list[dict[str, Any]]:
    with engine(url).connect() as connection:
        described = sa.Table(table, sa.MetaData(), autoload_with=connection)
        found = [dict(row) for row in connection.execute(sa.select(described)).mappings()]
    for row in found:
        if isinstance(row["data"], str):  # MariaDB's JSON is text
            row["data"] = json.loads(row["data"])
    return sorted(found, key=lambda row: str(row["id"]))


async def test_an_event_becomes_a_row_with_all_there_is(url: str) -> None:
    log, kept = Log(), event(text="Привет 👋 'x'; --")
    with archive(log, url=url) as keep:
        await keep.start()
        keep(kept, log.logger)

    (row,) = rows(url)
    assert row.pop("received_at").replace(tzinfo=UTC) == DAY
    assert row == {
        "id": "e1",
        "type": "incomingMessageReceived",
        "instance": kept.instance,
        "messenger": "whatsapp",
        "chat": kept.chat,
        "sender": kept.sender,
        "message_type": "textMessage",
        "text": "Привет 👋 'x'; --",
        "timestamp": kept.timestamp,
        "transport": "webhook",
        "data": kept.data,
    }
    assert log.lines == [{"level": "info", "event": "archive.inserted", "table": "events"}]


async def test_an_event_that_is_there_already_is_left_as_it_is(url: str) -> None:
    log = Log()
    with archive(log, url=url) as keep:
        for text in ("first", "again"):
            keep(event(text=text), log.logger)
        keep(event(2, text="second"), log.logger)

    assert [(row["id"], row["text"]) for row in rows(url)] == [("e1", "first"), ("e2", "second")]


@pytest.mark.parametrize(
    "text", ["a\0b", "\ufffd", "\u2028", "👨‍👩‍👧‍👦", "x" * 100_000], ids=lambda text: ascii(text)[:12]
)
def test_whatever_a_text_holds_it_is_taken(url: str, text: str) -> None:
    kept = event(text=text)
    with archive(Log(), url=url) as keep:
        keep(kept, Log().logger)

    (row,) = rows(url)
    assert row["text"] == text.replace("\0", "\ufffd")
    assert row["data"] == kept.data


def test_a_number_that_no_column_holds_stays_in_data(url: str) -> None:
    with archive(Log(), url=url) as keep:
        keep(make_event(data={"timestamp": 10**25}, received_at=DAY), Log().logger)

    (row,) = rows(url)
    assert (row["timestamp"], row["data"]["timestamp"]) == (None, 10**25)


def test_the_notification_is_left_out_if_asked_for(url: str) -> None:
    with archive(Log(), url=url, data=False) as keep:
        keep(event(), Log().logger)

    assert rows(url)[0]["data"] is None


def test_a_table_has_the_name_that_it_is_given(url: str) -> None:
    with archive(Log(), url=url, table="Order") as keep:
        keep(event(), Log().logger)

    assert len(rows(url, "Order")) == 1


async def test_a_table_that_is_there_is_used(url: str) -> None:
    for number in (1, 2):
        with archive(Log(), url=url) as keep:
            await keep.start()
            keep(event(number), Log().logger)
            await keep.stop()

    assert [row["id"] for row in rows(url)] == ["e1", "e2"]


def test_many_routers_make_the_table_at_once(url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        tables = list(threads.map(lambda _: Table(url, "events"), range(8)))
        barrier = threading.Barrier(8)

        def make(table: Table) -> None:
            barrier.wait(10)
            table.make()

        list(threads.map(make, tables))
    for table in tables:
        table.close()

    assert rows(url) == []


async def test_a_table_of_somebody_else_is_not_used(url: str) -> None:
    with archive(Log(), url=url) as keep:
        keep(event(), Log().logger)
    run(url, "ALTER TABLE events RENAME COLUMN data TO body")

    with (
        archive(Log(), url=url) as keep,
        pytest.raises(MissingColumns, match="table events has no columns data"),
    ):
        await keep.start()


def test_a_row_is_committed_before_the_delivery_is_done(url: str) -> None:
    with archive(Log(), url=url) as keep:
        keep(event(), Log().logger)

        assert len(rows(url)) == 1  # seen by another connection while the archive's is still open


def test_rows_of_many_threads(url: str) -> None:
    with archive(Log(), url=url) as keep, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: keep(event(number % 20), Log().logger), range(60)))

    assert len(rows(url)) == 20


def test_a_database_that_takes_nothing_is_tried_again(tmp_path: Path) -> None:
    with archive(Log(), url=f"sqlite:///{tmp_path}/archive.db") as keep:
        keep(event(1), Log().logger)
        (tmp_path / "archive.db").unlink()
        (tmp_path / "archive.db").mkdir()
        keep._table.close()
        with pytest.raises(RetryLater, match="unable to open database file"):
            keep(event(2), Log().logger)
        (tmp_path / "archive.db").rmdir()


async def test_a_database_that_is_not_there_yet_does_not_keep_the_router_from_starting(
    tmp_path: Path,
) -> None:
    (tmp_path / "archive.db").mkdir()
    log, url = Log(), f"sqlite:///{tmp_path}/archive.db"
    with archive(log, url=url) as keep:
        await keep.start()
        with pytest.raises(RetryLater, match="unable to open"):
            keep(event(), log.logger)
        (tmp_path / "archive.db").rmdir()
        keep(event(), log.logger)

    assert [line["event"] for line in log.lines] == ["archive.sql_unreachable", "archive.inserted"]
    assert len(rows(url)) == 1


@pytest.mark.system
async def test_a_server_that_is_away_for_a_while(postgresql: str) -> None:
    log = Log()
    with archive(log, url="postgresql://anna:secret@127.0.0.1:1/archive") as keep:
        await keep.start()
        with pytest.raises(RetryLater, match="connection") as caught:
            keep(event(text="private"), log.logger)

    told = f"{log.lines} {caught.value.reason}"
    assert "secret" not in told
    assert "private" not in told


@pytest.mark.system
def test_a_connection_that_the_server_ended_is_made_anew(postgresql: str) -> None:
    with archive(Log(), url=f"{postgresql}postgres", table="again") as keep:
        keep(event(1), Log().logger)
        others = "FROM pg_stat_activity WHERE usename = 'postgres' AND pid <> pg_backend_pid()"
        run(f"{postgresql}postgres", f"SELECT pg_terminate_backend(pid) {others}")
        keep(event(2), Log().logger)

    assert len(rows(f"{postgresql}postgres", "again")) == 2


@pytest.mark.system
def test_a_value_that_the_database_refuses_is_a_dead_letter(postgresql: str) -> None:
    odd = make_event(data={"number": float("inf")}, text="private")
    with (
        archive(Log(), url=f"{postgresql}postgres", table="refusing") as keep,
        pytest.raises(GiveUp, match="the database refuses a value") as caught,
    ):
        keep(odd, Log().logger)

    assert "private" not in caught.value.reason


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "archive.db"}, "url: expected it to begin with sqlite://, postgresql://, mysql://"),
        ({"url": "oracle://x/y"}, "url: expected it to begin with"),
        ({"url": "sqlite://"}, "url: expected the path of a file"),
        ({"url": "sqlite:///:memory:"}, "url: expected the path of a file"),
        (
            {"url": "postgresql://user@host:port/db"},
            "url: expected scheme://user:password@host:port/database",
        ),
        ({"url": "postgresql://host"}, "url: expected a database after the host"),
    ],
    ids=str,
)
def test_options_that_are_wrong(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        SqlOptions(**options)


def test_what_has_to_be_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_archive.sql.find_spec", lambda name: None if name == "psycopg" else object())

    with pytest.raises(ValueError, match=r"install green-event-router-archive\[postgresql\]"):
        SqlOptions(url="postgresql://host/db")


def test_no_password_is_shown() -> None:
    assert "secret" not in repr(SqlOptions(url="postgresql://anna:secret@host/db"))


def test_sqlite_waits_for_the_disk(tmp_path: Path) -> None:
    with archive(Log(), url=f"sqlite:///{tmp_path}/a.db") as keep:
        keep(event(), Log().logger)
        with keep._table._engine.connect() as connection:
            assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2

    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        (data,) = connection.execute("SELECT data ->> '$.typeWebhook' FROM events").fetchone()
    assert data == "incomingMessageReceived"
