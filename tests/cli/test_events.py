from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import anyio
import orjson
import pytest

from router import samples
from router.events import EventStatus, Problem, Transport
from router.inbox import Entry
from router.inbox.sqlite.inbox import SqliteInbox
from router.normalize import normalize
from tests.cli.conftest import CALL, Command, Server
from tests.conftest import eventually

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
        (["--since", "1h"], 4),
        (["--before", "1h"], 0),
        (["--delivery", "dead"], 2),
        (["--delivery", "pending"], 0),
        (["--route", "calls"], 1),
        (["--route", "calls", "--delivery", "dead"], 0),
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


# Replay


REPLAYED_KEYS = ["id", "type", "status", "result", "routes", "reason", "problems"]


def ids(router: Command) -> list[str]:
    """Return the ids of the events: of the call, of two messages and of the invalid one."""
    return [row["id"] for row in reversed(router("events", "list", "--json").json)]


def routes_of(router: Command, event_id: str) -> list[tuple[str, str]]:
    deliveries = router("events", "show", event_id, "--json").json["deliveries"]
    return [(each["route"], each["status"]) for each in deliveries]


def test_an_event_is_replayed(router: Command) -> None:
    call = ids(router)[0]
    ended = router("events", "replay", call[:23], call, "--json")
    assert (ended.code, ended.err, [list(row) for row in ended.json]) == (0, "", [REPLAYED_KEYS])
    assert ended.json[0] == {
        "id": call,
        "type": "incomingCall",
        "status": "accepted",
        "result": "replayed",
        "routes": ["calls"],
        "reason": None,
        "problems": [],
    }
    assert routes_of(router, call) == [("calls", "done"), ("calls", "pending")]


def test_of_each_event_that_is_named_it_is_told_what_became_of_it(router: Command) -> None:
    call, message, _, invalid = ids(router)
    router("events", "replay", call)

    ended = router("events", "replay", call, message, invalid)

    assert ended.code == 1
    assert [line.split()[:3] for line in ended.out.splitlines()] == [
        ["id", "result", "routes"],
        [call, "waiting", "[]"],
        [message, "replayed", '["messages"]'],
        [invalid, "invalid", "[]"],
    ]
    assert "$.from: expected a value, found nothing" in ended.out


def test_an_unknown_id_among_others_replays_nothing(router: Command) -> None:
    call = ids(router)[0]
    ended = router("events", "replay", call, "zz")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "no event has an id that begins with 'zz': see 'router events list'\n"
    assert routes_of(router, call) == [("calls", "done")]


def test_events_of_a_filter_are_replayed_and_counted(router: Command) -> None:
    ended = router("events", "replay", "--all")
    assert ended.code == 0
    assert [line.split() for line in ended.out.splitlines()] == [
        ["result", "route", "events"],
        ["invalid", "-", "1"],
        ["replayed", "calls", "1"],
        ["replayed", "messages", "2"],
    ]
    assert router("events", "replay", "--chat", "nobody").out == "no events\n"


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--type", "incomingCall"], 2),
        (["--status", "invalid"], 1),
        (["--instance", "1234", "--since", "1h"], 2),
        (["--before", "1h"], 0),
        (["--chat", "71234567890@c.us", "--rate", "50"], 1),
    ],
    ids=str,
)
def test_events_to_replay_can_be_picked(router: Command, arguments: list[str], count: int) -> None:
    ended = router("events", "replay", *arguments, "--json")
    assert (ended.code, len(ended.json)) == (0, count)


def test_a_dry_run_tells_and_changes_nothing(router: Command) -> None:
    would_be = router("events", "replay", "--all", "--dry-run", "--json").json
    assert [routes_of(router, event_id) for event_id in ids(router)] == [
        [("calls", "done")],
        [("messages", "dead")],
        [("messages", "dead")],
        [],
    ]
    assert router("events", "replay", "--all", "--json").json == would_be


def test_only_one_route_gets_it_if_one_is_named(router: Command, filled: Path) -> None:
    config = filled / "routes.yaml"
    config.write_text(f"{config.read_text()}  - {{name: more, type: incomingCall, handler: keep}}\n")
    call, message, *_ = ids(router)

    assert router("events", "replay", call, "--route", "more").code == 0
    assert routes_of(router, call) == [("calls", "done"), ("more", "pending")]

    ended = router("events", "replay", message, "--route", "more")
    assert ended.code == 1
    assert "route more does not take it: type: expected incomingCall" in ended.out

    ended = router("events", "replay", call, "--route", "less")
    assert (ended.code, ended.err) == (
        1,
        "there is no route 'less'; the routes are calls, messages, more\n",
    )


def test_an_invalid_event_is_replayed_once_its_schema_is_mended(router: Command, filled: Path) -> None:
    anyio.run(put_invalid, filled, samples.read(CALL).replace(b'"idMessage": "', b'"idMessage": "X'))
    invalid = router("events", "list", "--json").json[0]
    assert (invalid["status"], invalid["type"], invalid["chat"]) == ("invalid", None, None)

    ended = router("events", "replay", "--status", "invalid", "--json")

    assert [(row["id"], row["result"]) for row in ended.json][1] == (invalid["id"], "replayed")
    event = router("events", "show", invalid["id"], "--json").json
    assert (event["status"], event["type"], event["chat"], event["problems"]) == (
        "accepted",
        "incomingCall",
        "71234567890@c.us",
        [],
    )
    assert routes_of(router, invalid["id"]) == [("calls", "pending")]


async def put_invalid(folder: Path, body: bytes) -> None:
    """Store an event as a router with stricter schemas would have."""
    received_at = datetime(2026, 11, 24, tzinfo=UTC)
    event = normalize({}, id="ffffffff", received_at=received_at, transport=Transport.WEBHOOK)
    problems = [Problem("$", "type", "too strict")]
    inbox = SqliteInbox(folder / "router.db", {})
    await inbox.open()
    await inbox.put(Entry(event=event, status=EventStatus.INVALID, key="k", body=body, problems=problems))
    await inbox.close()


@pytest.mark.parametrize(
    "arguments",
    [[], ["--route", "calls"], ["--dry-run"], ["0", "--type", "x"], ["--all", "--status", "invalid"]],
    ids=str,
)
def test_neither_nothing_nor_a_mixture_is_taken_for_all(router: Command, arguments: list[str]) -> None:
    ended = router("events", "replay", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(router("events", "list", "--delivery", "pending", "--json").json) == 0


def test_a_running_router_takes_up_what_is_replayed(router: Command, server: Server) -> None:
    config = ("--config", str(server.folder / "routes.yaml"))
    event_id = router("send", CALL, "--fresh", "--to", server.url, "--json").json["id"]

    def ended() -> list[str]:
        deliveries = router("events", "show", event_id, "--json", *config).json["deliveries"]
        return [each["status"] for each in deliveries]

    eventually(lambda: ended() == ["done"])
    assert router("events", "replay", event_id, *config).code == 0
    eventually(lambda: ended() == ["done", "done"])
