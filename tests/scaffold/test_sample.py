"""A stored event for a test: nobody's, and in all else what it was."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from router import config, samples
from router.errors import NotMade
from router.events import Event, EventStatus, Transport
from router.inbox import EventRecord
from router.normalize import normalize
from router.replies import why_withheld
from router.routing import Table
from router.scaffold import Sample
from router.validation import Validator

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
VALIDATOR = Validator()


def record(
    body: bytes, status: EventStatus = EventStatus.ACCEPTED, *, instance: int | None = None
) -> EventRecord:
    return EventRecord(
        id="01a2",
        type=None,
        instance=instance,
        chat=None,
        status=status,
        received_at=NOW,
        transport=Transport.WEBHOOK,
        duplicates=0,
        changed=0,
        problems=[],
        body=body,
        deliveries=[],
    )


def message(text: str = "Hello there", **fields: Any) -> bytes:
    people = {"chatId": "79001234567@c.us", "sender": "79001234567@c.us", "senderName": "Anna Karenina"}
    body = {
        "typeWebhook": "incomingMessageReceived",
        "instanceData": {"idInstance": 1101000001, "wid": "79009876567@c.us", "typeInstance": "whatsapp"},
        "timestamp": 1764000000,
        "idMessage": "3EB0A1",
        "senderData": people,
        "messageData": {"typeMessage": "textMessage", "textMessageData": {"textMessage": text}},
    }
    return orjson.dumps({**body, **fields})


def read(body: bytes) -> Event:
    return normalize(orjson.loads(body), id="0", received_at=NOW, transport=Transport.WEBHOOK)


def kind_of(chat: str | None) -> str | None:
    return None if chat is None else f"{'-' if chat.startswith('-') else ''}{chat.partition('@')[2]}"


def takes(sample: Sample) -> bool:
    """Whether the route for it, as it would stand in a routes.yaml, takes it."""
    when = f"when: {sample.when}, " if sample.when else ""
    text = f"routes: [{{name: one, type: {sample.type}, {when}handler: one}}]"
    document = config.parse(text, Path("routes.yaml"), {})
    return bool(Table(document.config().routes).match(sample.event))


SHIPPED = [name for name in samples.names() if not VALIDATOR.problems(orjson.loads(samples.read(name)))]


def test_nearly_all_samples_are_valid() -> None:
    assert len(SHIPPED) >= 90


@pytest.mark.parametrize("name", SHIPPED)
def test_an_event_stays_what_it_was(name: str) -> None:
    original = normalize(
        orjson.loads(samples.read(name)), id="0", received_at=NOW, transport=Transport.POLLING, instance=7
    )
    sample = Sample.of_record(record(samples.read(name), instance=7))
    event = sample.event
    for field in ("type", "instance", "messenger", "message_type", "timestamp"):
        assert getattr(event, field) == getattr(original, field)
    assert (kind_of(event.chat), kind_of(event.sender)) == (kind_of(original.chat), kind_of(original.sender))
    assert (event.chat == event.sender) is (original.chat == original.sender)
    for field in ("text", "sender_name"):
        assert (getattr(event, field) is None) is (getattr(original, field) is None)
    assert (why_withheld(event) is None) is (why_withheld(original) is None)
    assert VALIDATOR.problems(event.data) == []
    assert takes(sample)


@pytest.mark.parametrize("name", SHIPPED)
def test_nobody_is_left_in_it(name: str) -> None:
    original = read(samples.read(name))
    shown = Sample.of_record(record(samples.read(name), instance=7)).json
    account = original.data.get("instanceData", {}).get("wid")
    private = (original.chat, original.sender, account, original.sender_name, original.text)
    for value in {*private} - {None, "{{SWE003}}"}:
        number = str(value).partition("@")[0]
        assert len(number) < 6 or number not in shown or set(number) <= set("-01")  # as those that are given


def test_the_json_is_the_event() -> None:
    sample = Sample.of_record(record(message()))
    assert orjson.loads(sample.json) == sample.event.data
    assert sample.json.endswith("}\n")


def test_everybody_gets_a_number_of_his_own() -> None:
    event = Sample.of_record(record(message())).event
    assert event.data["instanceData"]["wid"] == "10000000002@c.us"
    assert event.data["senderData"] == {
        "chatId": "10000000001@c.us",
        "sender": "10000000001@c.us",
        "senderName": "*************",
    }


@pytest.mark.parametrize(
    ("chat", "shown"),
    [
        ("120363043968066561@g.us", "100000000000000001@g.us"),
        ("-10000000000000", "-10000000000001"),
        ("12345678", "10000001"),
        ("103045678901234@lid", "100000000000001@lid"),
        ("status@broadcast", "status@broadcast"),
        ("7@c.us", "11@c.us"),
        ("Ann@example.org", "100000000000001"),
    ],
)
def test_a_chat_keeps_its_kind(chat: str, shown: str) -> None:
    people = {"chatId": chat, "sender": "79001234567@c.us"}
    event = Sample.of_record(record(message(senderData=people))).event
    assert event.chat == shown


@pytest.mark.parametrize(
    ("text", "shown", "when"),
    [
        ("Hello there", "***********", "{message_type: [textMessage]}"),
        ("/task buy milk", "/task ********", "{text: [{prefix: /task}]}"),
        ("/start", "/start", "{text: [{prefix: /start}]}"),
        ("/home/anna", "**********", "{message_type: [textMessage]}"),
        ("/79001234567", "************", "{message_type: [textMessage]}"),
        ("/call_79001234567", "****************", "{message_type: [textMessage]}"),
        ("{{SWE001}}", "{{SWE001}}", "{message_type: [textMessage]}"),
    ],
)
def test_of_a_text_only_a_command_is_left(text: str, shown: str, when: str) -> None:
    sample = Sample.of_record(record(message(text)))
    assert (sample.event.text, sample.when) == (shown, when)


@pytest.mark.parametrize(
    ("body", "is_answered"),
    [
        (message(), True),
        (message("{{SWE001}}"), False),
        (message(typeWebhook="outgoingMessageReceived"), False),
        (message(senderData={"chatId": "79001234567@c.us", "sender": "79009876567@c.us"}), False),
        (samples.read("stateInstanceChanged/wa-authorized.json"), False),
    ],
)
def test_it_says_whether_a_reply_would_be_sent(body: bytes, is_answered: bool) -> None:
    assert Sample.of_record(record(body)).is_answered is is_answered


def test_a_type_of_ones_own_has_a_route_too() -> None:
    body = orjson.dumps({"typeWebhook": "null", "instanceData": {"idInstance": 7}})
    sample = Sample.of_record(record(body, EventStatus.UNKNOWN))
    assert (sample.type, sample.when) == ('"null"', None)
    assert takes(sample)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            message(),
            EventStatus.INVALID,
            "event 01a2 is invalid, so no handler gets it: see 'router events show 01a2'",
        ),
        (b"[]", EventStatus.ACCEPTED, "event 01a2 is invalid"),
        (
            message(typeWebhook="call 79001234567"),
            EventStatus.UNKNOWN,
            "event 01a2: its type 'call 79001234567' looks",
        ),
        (
            message(typeWebhook="paid", instanceData={}),
            EventStatus.UNKNOWN,
            "event 01a2 names no instance, so nobody can reply to it",
        ),
    ],
)
def test_what_makes_no_test_is_refused(body: bytes, status: EventStatus, message: str) -> None:
    with pytest.raises(NotMade, match=re.escape(message)):
        Sample.of_record(record(body, status))
