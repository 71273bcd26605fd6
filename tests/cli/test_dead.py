from __future__ import annotations

from pathlib import Path

import pytest

from router.events import DeliveryStatus
from tests.cli.conftest import Command, statuses

KEYS = [
    "id",
    "event",
    "route",
    "type",
    "instance",
    "chat",
    "status",
    "attempts",
    "error",
    "received_at",
    "due_at",
    "settled_at",
]


@pytest.fixture
def dead(router: Command, filled: Path) -> list[int]:
    """Ids of two dead letters, oldest first."""
    assert filled.exists()
    ids: list[int] = [row["id"] for row in router("dead", "list", "--json").json]
    return ids


@pytest.fixture
def done(filled: Path) -> int:
    """Id of a delivery that is done."""
    return next(key for key, status in statuses(filled).items() if status is DeliveryStatus.DONE)


@pytest.mark.usefixtures("dead")
def test_dead_letters_are_listed_oldest_first(router: Command) -> None:
    ended = router("dead", "list", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [list(row) for row in ended.json] == [KEYS, KEYS]
    assert [(row["route"], row["status"], row["attempts"], row["error"]) for row in ended.json] == [
        ("messages", "dead", 1, "gave up: closed")
    ] * 2
    assert ended.json[0]["id"] < ended.json[1]["id"]


@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--route", "messages"], 2),
        (["--route", "calls"], 0),
        (["--type", "incomingMessageReceived"], 2),
        (["--instance", "5"], 0),
        (["--chat", "nobody"], 0),
        (["--limit", "1"], 1),
    ],
    ids=str,
)
def test_dead_letters_can_be_picked(router: Command, arguments: list[str], count: int) -> None:
    ended = router("dead", "list", "--json", *arguments)
    assert (ended.code, len(ended.json)) == (0, count)


def test_dead_letters_are_a_table_for_people(router: Command, dead: list[int]) -> None:
    lines = router("dead", "list").out.splitlines()
    assert lines[0].split() == [
        "id",
        "settled_at",
        "route",
        "type",
        "instance",
        "chat",
        "attempts",
        "error",
    ]
    assert [line.split()[0] for line in lines[1:]] == [str(key) for key in dead]
    assert all(line.rstrip().endswith("gave up: closed") for line in lines[1:])
    assert router("dead", "list", "--route", "calls").out == "no dead letters\n"


def test_a_dead_letter_is_shown_with_every_attempt(router: Command, dead: list[int]) -> None:
    ended = router("dead", "show", str(dead[0]), "--json")
    (attempt,) = ended.json["history"]
    assert list(ended.json) == [*KEYS, "history"]
    assert list(attempt) == ["number", "started_at", "duration", "outcome", "error", "traceback", "plugin"]
    assert (attempt["number"], attempt["outcome"], attempt["error"]) == (1, "gave_up", "closed")


def test_a_dead_letter_is_shown_to_people(router: Command, dead: list[int]) -> None:
    facts, _, attempt = router("dead", "show", str(dead[0])).out.partition("\n\n")
    assert facts.splitlines()[0].split() == ["id", str(dead[0])]
    assert attempt.splitlines()[0].split() == ["number", "1"]
    assert "traceback" not in attempt


def test_dead_letters_are_retried(router: Command, filled: Path, dead: list[int]) -> None:
    ended = router("dead", "retry", *map(str, dead), "--json")
    assert (ended.code, [list(row) for row in ended.json]) == (0, [KEYS, KEYS])
    assert [(row["id"], row["status"]) for row in ended.json] == [(key, "pending") for key in dead]
    assert [statuses(filled)[key] for key in dead] == [DeliveryStatus.PENDING] * 2
    assert router("dead", "list", "--json").json == []


def test_dead_letters_are_discarded_and_so_are_pending_ones(
    router: Command, filled: Path, dead: list[int]
) -> None:
    router("dead", "retry", str(dead[1]))
    ended = router("dead", "discard", *map(str, dead), "--json")
    assert [(row["id"], row["status"]) for row in ended.json] == [(key, "discarded") for key in dead]
    assert [statuses(filled)[key] for key in dead] == [DeliveryStatus.DISCARDED] * 2


def test_what_was_changed_is_a_table_for_people(router: Command, dead: list[int]) -> None:
    lines = [line.split() for line in router("dead", "retry", str(dead[0])).out.splitlines()]
    assert lines[0] == ["id", "route", "chat", "status"]
    assert (lines[1][0], lines[1][-1]) == (str(dead[0]), "pending")


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize("unknown", ["999", "0", "99999999999999999999"])
def test_an_unknown_id_among_others_changes_nothing(
    router: Command, filled: Path, dead: list[int], verb: str, unknown: str
) -> None:
    before = statuses(filled)
    ended = router("dead", verb, str(dead[0]), unknown)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"no delivery has the id {unknown}: see 'router dead list'\n"
    assert statuses(filled) == before


@pytest.mark.parametrize(("verb", "expected"), [("retry", "dead"), ("discard", "dead or pending or running")])
def test_a_delivery_that_is_done_among_others_changes_nothing(
    router: Command, filled: Path, dead: list[int], done: int, verb: str, expected: str
) -> None:
    before = statuses(filled)
    ended = router("dead", verb, str(dead[0]), str(done))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"delivery {done} is done, not {expected}\n"
    assert statuses(filled) == before


def test_a_discarded_one_cannot_be_retried(router: Command, dead: list[int]) -> None:
    router("dead", "discard", str(dead[0]))
    ended = router("dead", "retry", str(dead[0]))
    assert (ended.code, ended.err) == (1, f"delivery {dead[0]} is discarded, not dead\n")


def test_an_id_given_twice_is_changed_once(router: Command, filled: Path, dead: list[int]) -> None:
    ended = router("dead", "retry", str(dead[0]), str(dead[0]), "--json")
    assert ended.code == 0
    assert statuses(filled)[dead[0]] is DeliveryStatus.PENDING
