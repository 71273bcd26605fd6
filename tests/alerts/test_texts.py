from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from typer.main import get_command

from router import samples
from router.alerts.texts import Composer
from router.cli.app import app
from router.events import Alert, AlertKind, Report
from router.masking import masked
from router.redaction import Redactor

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MESSAGE = orjson.loads(samples.read("incomingMessageReceived/wa-text-waba.json"))
SECRET = "a-secret-of-nine-words"


def compose(
    kind: AlertKind = AlertKind.DEAD,
    subject: str = "orders",
    *,
    facts: dict[str, Any] | None = None,
    since_last: int = 1,
    notification: str = "full",
    secrets: tuple[str, ...] = (SECRET,),
    **others: Any,
) -> Alert:
    given: dict[str, Any] = {"count": 1, "first_at": START, "last_at": START, "is_recovered": False}
    report = Report(kind=kind, subject=subject, facts=facts or {}, **{**given, **others})
    return Composer(notification, Redactor(secrets))(report, since_last)


def test_a_message_says_what_how_often_since_when_and_what_to_do() -> None:
    alert = compose(
        facts={"delivery": 7, "error": "gave up: not today"},
        count=1_200,
        since_last=1_199,
        last_at=START + timedelta(minutes=9),
    )
    assert alert.title == "Dead letter on route: orders"
    assert alert.text == (
        "It happened 1,200 times between 2026-11-24 12:00:00 UTC and 2026-11-24 12:09:00 UTC, "
        "1,199 times since the last message.\n"
        "Mend the cause, then deliver it again with router dead retry.\n"
        "To look: router dead list --route orders\n"
        "\n"
        "The first of these:\n"
        "delivery: 7\n"
        "error: gave up: not today"
    )


def test_a_message_about_one() -> None:
    alert = compose(facts={"delivery": 7})
    assert alert.text.splitlines()[0] == "It happened once, at 2026-11-24 12:00:00 UTC."
    assert alert.text.endswith("\nWhat is known:\ndelivery: 7")


def test_the_end_says_so_and_asks_for_nothing() -> None:
    alert = compose(AlertKind.INSTANCE_DOWN, "1101000001", is_recovered=True, count=2, since_last=0)
    assert alert.title == "Over: Cannot be polled: instance: 1101000001"
    assert alert.text.splitlines()[0] == "It is over."
    assert "router" not in alert.text


@pytest.mark.parametrize("kind", AlertKind)
def test_every_kind_names_a_command_that_exists(kind: AlertKind) -> None:
    alert = compose(kind, "1101000001")
    line = next(line for line in alert.text.splitlines() if line.startswith("To look: router "))
    names, _, options = line.removeprefix("To look: router ").partition(" --")
    found: Any = get_command(app)
    for name in names.split():
        found = found.get_command(None, name)
    known = {option for param in found.params for option in param.opts}
    assert {f"--{option.split()[0]}" for option in options.split(" --") if option} <= known


def test_of_many_subjects_no_single_one_is_looked_for() -> None:
    alert = compose(subject="12 others", is_many=True)
    assert "To look: router dead list\n" in f"{alert.text}\n"


def test_a_subject_cannot_leave_its_line_nor_its_place_in_a_command() -> None:
    alert = compose(AlertKind.UNKNOWN_TYPE, "a\n b'; rm -rf / \x1b[2J")
    assert alert.title == "Unknown type of notification: a b'; rm -rf / \\u001b[2J"
    assert "--type 'a b'\"'\"'; rm -rf / \\u001b[2J'" in alert.text
    assert len(compose(subject="x" * 10_000).title) < 300


@pytest.mark.parametrize("setting", ["full", "masked", "none"])
def test_a_notification_is_shown_as_the_log_may_show_it(setting: str) -> None:
    facts = {
        "chatId": MESSAGE["senderData"]["chatId"],
        "idMessage": MESSAGE["idMessage"],
        "notification": MESSAGE,
    }
    alert = compose(facts=dict(facts), notification=setting)
    shown = {
        "full": facts,
        "masked": {**masked(facts), "notification": masked(MESSAGE)},
        "none": masked({name: facts[name] for name in ("chatId", "idMessage")}),
    }[setting]
    assert alert.facts == shown
    everything = alert.title + alert.text + orjson.dumps(alert.facts).decode()
    for personal in (MESSAGE["senderData"]["chatId"], MESSAGE["senderData"]["senderName"]):
        assert (personal in everything) == (setting == "full")


@pytest.mark.parametrize(
    "facts",
    [
        {"error": f"cannot log in with {SECRET}"},
        {"notification": {"textMessage": SECRET, SECRET: [1, {"deep": f"x{SECRET}x"}]}},
        {"problems": [{"message": SECRET}]},
        {"error": "x" * 3_990 + SECRET},
    ],
)
def test_no_secret_is_in_an_alert(facts: dict[str, Any]) -> None:
    alert = compose(subject=f"route {SECRET}", facts=facts)
    everything = repr(alert)
    assert SECRET not in everything
    assert SECRET[:8] not in everything
    assert "[secret]" in everything


def test_a_number_that_is_a_secret_is_taken_out_too() -> None:
    alert = compose(facts={"notification": {"pin": 123456789}}, secrets=("123456789",))
    assert alert.facts == {"notification": '{"pin":[secret]}'}


def test_what_is_long_is_cut() -> None:
    alert = compose(facts={"notification": {"text": "x" * 2_000_000}})
    assert len(alert.text) < 5_000
    assert alert.facts["notification"].endswith("… (2000011 characters)")


def test_a_body_that_is_nested_deeply_is_shown_as_well() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    assert compose(facts={"notification": {"deep": deep}}).facts["notification"]


def test_two_alerts_are_told_apart() -> None:
    assert compose().id != compose().id
