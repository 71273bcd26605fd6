from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from router.events import DeliveryStatus
from router.inbox import Dead
from router.inbox.sqlite.inbox import SqliteInbox
from tests.cli.conftest import Command, statuses
from tests.conftest import eventually
from tests.inbox.build import claim, entry, event, failed

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
        (["--error", "CLOSED"], 2),
        (["--error", "open"], 0),
        (["--since", "1h"], 2),
        (["--since", "2026-11-24"], 2),
        (["--before", "1h"], 0),
        (["--before", "2226-11-24T08:00+03:00", "--since", "2016-11-24T08:00Z"], 2),
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


# By filter


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (["--all"], [0, 1]),
        (["--route", "messages", "--error", "closed"], [0, 1]),
        (["--chat", "79001234568@c.us", "--instance", "1234"], [0, 1]),
        (["--type", "incomingCall"], []),
        (["--before", "1d"], []),
        (["--since", "1d", "--rate", "100"], [0, 1]),
    ],
    ids=str,
)
def test_all_dead_letters_of_a_filter_are_changed_and_counted(
    router: Command, filled: Path, dead: list[int], verb: str, arguments: list[str], changed: list[int]
) -> None:
    before = statuses(filled)
    new = DeliveryStatus.PENDING if verb == "retry" else DeliveryStatus.DISCARDED

    ended = router("dead", verb, *arguments, "--json")

    expected = [{"route": "messages", "deliveries": len(changed)}] if changed else []
    assert (ended.code, ended.err, ended.json) == (0, "", expected)
    assert statuses(filled) == {**before, **{dead[index]: new for index in changed}}


@pytest.mark.usefixtures("dead")
def test_what_a_filter_changed_is_a_table_for_people(router: Command) -> None:
    ended = router("dead", "retry", "--route", "messages")
    assert [line.split() for line in ended.out.splitlines()] == [["route", "deliveries"], ["messages", "2"]]
    assert router("dead", "retry", "--route", "messages").out == "no dead letters\n"


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize("chosen", [["--all"], ["--route", "messages"], ["ids"]], ids=str)
def test_a_dry_run_counts_and_changes_nothing(
    router: Command, filled: Path, dead: list[int], verb: str, chosen: list[str]
) -> None:
    before = statuses(filled)
    arguments = [str(key) for key in dead] if chosen == ["ids"] else chosen
    ended = router("dead", verb, *arguments, "--dry-run", "--json")
    assert (ended.code, ended.json) == (0, [{"route": "messages", "deliveries": 2}])
    assert statuses(filled) == before


def test_a_dry_run_does_not_count_what_cannot_be_retried(router: Command, dead: list[int], done: int) -> None:
    ended = router("dead", "retry", str(dead[0]), str(done), "--dry-run")
    assert (ended.code, ended.err) == (1, f"delivery {done} is done, not dead\n")


def test_a_filter_takes_no_deliveries_that_wait(router: Command, filled: Path, dead: list[int]) -> None:
    router("dead", "retry", str(dead[0]))
    assert router("dead", "discard", "--route", "messages", "--json").json[0]["deliveries"] == 1
    assert statuses(filled)[dead[0]] is DeliveryStatus.PENDING


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1", "--route", "messages"],
        ["1", "--all"],
        ["--all", "--chat", "x"],
        ["--dry-run"],
        ["--all", "--rate", "0"],
        ["--all", "--rate", "nan"],
        ["--since", "yesterday"],
        ["--since", ""],
        ["--before", "999999999d"],
        ["--before", "2026-13-01"],
    ],
    ids=str,
)
def test_neither_nothing_nor_a_mixture_nor_nonsense_is_taken_for_all(
    router: Command, filled: Path, dead: list[int], verb: str, arguments: list[str]
) -> None:
    assert dead
    before = statuses(filled)
    ended = router("dead", verb, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert statuses(filled) == before


def test_it_is_said_what_a_time_looks_like(router: Command) -> None:
    told = " ".join(router("dead", "list", "--since", "soon").err.replace("│", " ").split())
    assert "bad time 'soon': expected an age such as 2h or 7d, or a time such as 2026-11-24T08:00" in told


def test_ctrl_c_stops_between_two_batches_and_says_how_far_it_came(folder: Path) -> None:
    anyio.run(bury, folder, 50)
    command = [sys.executable, "-m", "router", "dead", "retry", "--all", "--rate", "1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        eventually(lambda: DeliveryStatus.PENDING in statuses(folder).values())
        process.send_signal(signal.SIGINT)
        out, err = (stream.decode() for stream in process.communicate(timeout=30))
    retried = list(statuses(folder).values()).count(DeliveryStatus.PENDING)
    assert (process.returncode, err) == (130, f"stopped: {retried} of 50 done\n")
    assert out.splitlines()[1].split() == ["messages", str(retried)]
    assert retried < 50


async def bury(folder: Path, count: int) -> None:
    """Make an inbox with so many dead letters."""
    inbox = SqliteInbox(folder / "router.db", {"messages": 1})
    await inbox.open()
    for number in range(count):
        await inbox.put(entry(event(number), "messages"))
        inbox.settle(await claim(inbox), Dead("no", failed()))
    await inbox.close()
