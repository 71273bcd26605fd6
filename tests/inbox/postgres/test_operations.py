"""The operator's commands on a PostgreSQL inbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from router.events import DeliveryStatus
from router.inbox.postgres.database import Database
from router.inbox.postgres.ledger import PostgresLedger
from tests.cli.conftest import ROUTES_YAML, Command, write_files
from tests.inbox.build import entry, event


@pytest.fixture
def router(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    write_files(tmp_path, ROUTES_YAML.replace("sqlite:///router.db", postgres_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROUTER_CONFIG", raising=False)
    return Command(monkeypatch, capsys)


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[PostgresLedger]:
    with closing(PostgresLedger(Database(postgres_url))) as ledger:
        ledger.add([entry(event(1), "messages"), entry(event(2, chat="b"), "messages")])
        yield ledger


def test_dead_letters_are_listed_retried_and_discarded(
    router: Command, ledger: PostgresLedger, postgres_url: str
) -> None:
    with Database(postgres_url).connect_now() as db:
        db.execute("UPDATE deliveries SET status = 'dead', settled_at = now(), error = 'gave up: closed'")

    listed = router("dead", "list", "--error", "CLOSED", "--json")
    assert [(row["id"], row["event"], row["status"]) for row in listed.json] == [
        (1, "00000001", "dead"),
        (2, "00000002", "dead"),
    ]
    assert router("dead", "show", "2", "--json").json["chat"] == "b"
    assert router("dead", "discard", "2").code == 0
    assert router("dead", "retry", "--all").code == 0
    assert [ledger.delivery(key).status for key in (1, 2)] == [
        DeliveryStatus.PENDING,
        DeliveryStatus.DISCARDED,
    ]


@pytest.mark.usefixtures("ledger")
def test_events_are_listed_shown_and_replayed(router: Command) -> None:
    assert router("dead", "discard", "1", "2").code == 0
    listed = router("events", "list", "--route", "messages", "--json").json
    assert [row["id"] for row in listed] == ["00000002", "00000001"]
    assert router("events", "show", "00000001", "--json").json["deliveries"][0]["status"] == "discarded"
    assert [row["routes"] for row in router("events", "replay", "--all", "--json").json] == [["messages"]] * 2


def test_without_an_inbox_it_is_said_how_to_get_one(router: Command, postgres_url: str) -> None:
    with Database(postgres_url).connect_now() as db:
        db.execute("DROP SCHEMA router CASCADE")
    ended = router("events", "list")
    assert ended.code == 1
    assert "there is no inbox in postgresql://" in ended.err
    assert "'router serve' makes it" in ended.err
