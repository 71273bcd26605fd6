from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from router import samples
from tests.cli.conftest import CALL, Command

KEYS = ["id", "type", "instance", "chat", "status", "received_at", "transport", "duplicates", "changed"]


@pytest.fixture(autouse=True)
def _events(filled: Path) -> None:
    """Every test here starts with an inbox that holds some."""
    assert filled.exists()


def test_events_are_listed_newest_first(router: Command) -> None:
    ended = router("events", "list", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [list(row) for row in ended.json] == [KEYS] * 4
    assert [(row["type"], row["status"]) for row in ended.json] == [
        ("incomingCall", "invalid"),
        ("incomingMessageReceived", "accepted"),
        ("incomingMessageReceived", "accepted"),
        ("incomingCall", "accepted"),
    ]
    assert ended.json[3]["instance"] == 1101000001
    assert ended.json[3]["transport"] == "webhook"
    assert ended.json == sorted(ended.json, key=lambda row: row["id"], reverse=True)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--type", "incomingCall"], 2),
        (["--status", "invalid"], 1),
        (["--type", "incomingCall", "--status", "accepted"], 1),
        (["--instance", "1101000001", "--type", "incomingCall"], 1),
        (["--instance", "5"], 0),
        (["--instance", "99999999999999999999"], 0),
        (["--chat", "71234567890@c.us"], 1),
        (["--chat", "' OR 1=1 --"], 0),
        (["--type", "\udcff"], 0),
        (["--limit", "3"], 3),
    ],
    ids=str,
)
def test_events_can_be_picked(router: Command, arguments: list[str], count: int) -> None:
    ended = router("events", "list", "--json", *arguments)
    assert (ended.code, len(ended.json)) == (0, count)


def test_events_are_a_table_for_people(router: Command) -> None:
    ended = router("events", "list")
    assert ended.out.splitlines()[0].split() == [
        "id",
        "received_at",
        "type",
        "instance",
        "chat",
        "status",
        "duplicates",
    ]
    assert len(ended.out.splitlines()) == 5
    assert router("events", "list", "--instance", "5").out == "no events\n"


def test_an_event_is_shown_whole(router: Command) -> None:
    event_id = router("events", "list", "--json").json[3]["id"]
    ended = router("events", "show", event_id, "--json")
    (delivery,) = ended.json["deliveries"]
    assert list(ended.json) == [*KEYS, "problems", "deliveries", "notification"]
    assert ended.json["notification"] == orjson.loads(samples.read(CALL))
    assert (delivery["event"], delivery["route"], delivery["status"], delivery["attempts"]) == (
        event_id,
        "calls",
        "done",
        1,
    )
    assert [attempt["outcome"] for attempt in delivery["history"]] == ["done"]


def test_an_invalid_event_is_shown_with_its_problems(router: Command) -> None:
    event_id = router("events", "list", "--json").json[0]["id"]
    ended = router("events", "show", event_id, "--json")
    assert ended.json["notification"] == {"typeWebhook": "incomingCall"}
    assert {"path": "$.from", "rule": "required", "message": "expected a value, found nothing"} in ended.json[
        "problems"
    ]
    assert ended.json["deliveries"] == []


def test_an_event_is_shown_to_people(router: Command) -> None:
    event_id = router("events", "list", "--json").json[3]["id"]
    facts, _, table = router("events", "show", event_id).out.partition("\n\n")
    assert facts.splitlines()[0].split() == ["id", event_id]
    assert [line.split()[1:] for line in table.splitlines()] == [
        ["route", "status", "attempts", "error"],
        ["calls", "done", "1", "-"],
    ]


def test_the_beginning_of_an_id_will_do(router: Command) -> None:
    ids = [row["id"] for row in router("events", "list", "--json").json]
    newest = ids[0]
    length = next(n for n in range(1, 37) if not any(other.startswith(newest[:n]) for other in ids[1:]))
    assert router("events", "show", newest[:length], "--json").json["id"] == newest
    ended = router("events", "show", newest[:4])
    assert (ended.code, ended.out) == (1, "")
    assert (
        ended.err
        == f"more than one event has an id that begins with {newest[:4]!r}: see 'router events list'\n"
    )


@pytest.mark.parametrize(
    "event_id", ["zz", "", "%", "_", "\udcff", "0" * 10_000], ids=["zz", "", "%", "_", "ff", "0"]
)
def test_an_id_of_no_event_is_a_problem(router: Command, event_id: str) -> None:
    ended = router("events", "show", event_id)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"no event has an id that begins with {event_id!r}: see 'router events list'\n"


def test_without_an_inbox_it_is_said_how_to_get_one(router: Command, filled: Path) -> None:
    (filled / "router.db").unlink()
    ended = router("events", "list")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "there is no inbox at router.db: 'router serve' makes it when it first runs\n"


def test_a_file_that_is_no_inbox_is_a_problem(router: Command, filled: Path) -> None:
    (filled / "router.db").write_bytes(b"not a database, " * 1_000)
    ended = router("events", "list")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("inbox router.db: ")


def test_an_inbox_in_memory_cannot_be_opened_from_here(router: Command, filled: Path) -> None:
    config = filled / "routes.yaml"
    config.write_text(config.read_text().replace("sqlite:///router.db", "memory://"))
    ended = router("events", "list")
    assert (ended.code, ended.out) == (1, "")
    assert "memory://" in ended.err
