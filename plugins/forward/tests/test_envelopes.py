from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from router_forward.envelopes import attributes, envelope

from router import Event

MakeEvent = Callable[..., Event]
FIELDS = {
    "id": "e1",
    "type": "incomingMessageReceived",
    "instance": 3100000000,
    "messenger": "max",
    "chat": "10000000",
    "sender": "10000000",
    "message_type": "textMessage",
    "text": "Привет",
    "timestamp": 1763115112,
    "received_at": "2026-11-24T23:30:00+00:00",
    "transport": "webhook",
}


def test_json_has_the_fields_and_the_notification(make_event: MakeEvent) -> None:
    made = envelope(make_event(), "json")

    assert made.headers == {"Content-Type": "application/json"}
    assert json.loads(made.body) == {**FIELDS, "data": make_event().data}
    assert "Привет".encode() in made.body


def test_a_notification_is_what_green_api_sent(make_event: MakeEvent) -> None:
    made = envelope(make_event(), "notification")

    assert (made.headers, json.loads(made.body)) == ({"Content-Type": "application/json"}, make_event().data)


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents-binary"])
def test_a_cloudevent_is_read_by_its_own_library(make_event: MakeEvent, form: str) -> None:
    made = envelope(make_event(), form)  # type: ignore[arg-type]

    read = from_http_event(HTTPMessage(made.headers, made.body))

    assert read.get_attributes() == {
        "specversion": "1.0",
        "id": "e1",
        "source": "urn:green-api:instance:3100000000",
        "type": "com.green-api.incomingMessageReceived",
        "subject": "10000000",
        "time": datetime.fromtimestamp(1763115112, UTC),
        "datacontenttype": "application/json",
        "messenger": "max",
        "messagetype": "textMessage",
    }
    assert read.get_data() == {**FIELDS, "data": make_event().data}


def test_the_structured_one_is_one_json_object(make_event: MakeEvent) -> None:
    made = envelope(make_event(), "cloudevents")

    assert made.headers == {"Content-Type": "application/cloudevents+json"}
    assert json.loads(made.body) == {**attributes(make_event()), "data": make_event().as_json()}


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ('Euro € 😀 "100%"', "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22100%25%22"),
        ("a~!#$&'()*+,/:;<=>?@[]^`{|}_-.", "a~!#$&'()*+,/:;<=>?@[]^`{|}_-."),
        ("one\r\ntwo\x7f", "one%0D%0Atwo%7F"),
    ],
    ids=["text", "printable", "steering"],
)
def test_a_header_is_encoded_as_the_binding_says(make_event: MakeEvent, value: str, header: str) -> None:
    event = replace(make_event(), chat=value)
    made = envelope(event, "cloudevents-binary")

    assert made.headers["ce-subject"] == header
    assert from_http_event(HTTPMessage(made.headers, made.body)).get_subject() == value


def test_what_an_event_lacks_is_no_attribute(make_event: MakeEvent) -> None:
    event = replace(make_event(), chat=None, instance=None, messenger=None, message_type=None, timestamp=None)

    assert attributes(event) == {
        "specversion": "1.0",
        "id": "e1",
        "source": "urn:green-api:instance:unknown",
        "type": "com.green-api.incomingMessageReceived",
        "time": "2026-11-24T23:30:00+00:00",
        "datacontenttype": "application/json",
    }


@pytest.mark.parametrize("timestamp", [10**12, 10**30, -(10**30)])
def test_a_timestamp_that_is_no_time_is_left_aside(make_event: MakeEvent, timestamp: int) -> None:
    event = replace(make_event(), timestamp=timestamp)

    assert attributes(event)["time"] == "2026-11-24T23:30:00+00:00"


def test_half_a_surrogate_pair_is_still_json(make_event: MakeEvent) -> None:
    event = replace(make_event(), text="cut \ud83d")

    assert json.loads(envelope(event, "json").body)["text"] == "cut \ud83d"
