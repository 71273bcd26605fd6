from __future__ import annotations

import json
from dataclasses import replace

import pytest
from router_broker.message import compose

from plugins.broker.tests.events import event


def test_the_body_is_the_event_with_its_notification() -> None:
    one = event()

    assert json.loads(compose(one, "messages", with_data=True).body) == {
        "id": one.id,
        "type": "incomingMessageReceived",
        "instance": 1101000001,
        "messenger": "max",
        "chat": "79001234567@c.us",
        "sender": "10000000",
        "message_type": "textMessage",
        "text": "Привет",
        "timestamp": 1763115112,
        "received_at": "2026-11-24T23:30:00+00:00",
        "transport": "webhook",
        "data": one.data,
    }


def test_the_notification_is_left_out_if_asked_for() -> None:
    assert "data" not in json.loads(compose(event(), "messages", with_data=False).body)


@pytest.mark.parametrize(
    ("chat", "key", "words"),
    [
        ("79001234567@c.us", "1101000001/79001234567@c.us", "1101000001.79001234567@c_us"),
        ("-1001234567890", "1101000001/-1001234567890", "1101000001.-1001234567890"),
        ("a.b *>#\r\n", "1101000001/a.b *>#\r\n", "1101000001.a_b______"),
        (None, "1101000001", "1101000001"),
        ("x" * 1000, f"1101000001/{'x' * 1000}", f"1101000001.{'x' * 128}"),
    ],
)
def test_the_key_is_that_of_the_chat(chat: str | None, key: str, words: str) -> None:
    message = compose(event(chat), "messages", with_data=False)

    assert (message.key, message.words) == (key, words)


def test_an_event_without_instance_has_a_key() -> None:
    message = compose(replace(event(None), instance=None), "messages", with_data=False)

    assert (message.key, message.words, message.attributes["source"]) == (
        "-",
        "-",
        "urn:green-api:instance:unknown",
    )


def test_the_id_is_that_of_event_and_route() -> None:
    one = event()

    ids = {compose(one, route, with_data=data).id for route in ("a", "b") for data in (True, False)}
    assert ids == {f"{one.id}/a", f"{one.id}/b"}


def test_half_of_a_surrogate_pair_does_not_stop_an_event() -> None:
    body = compose(event(text="a\ud800b"), "messages", with_data=True).body

    assert json.loads(body.decode("utf-8"))["text"] == "a\ud800b"


@pytest.mark.parametrize("timestamp", [None, 10**30, -(10**18)])
def test_what_has_no_time_has_that_of_its_receipt(timestamp: int | None) -> None:
    message = compose(replace(event(), timestamp=timestamp), "messages", with_data=False)

    assert message.attributes["time"] == "2026-11-24T23:30:00+00:00"
