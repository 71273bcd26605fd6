"""`make_event`: what is asked for is in the body where GREEN-API has it, and is read back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from router import clock, samples
from router.errors import NotFound
from router.events import Event, Transport
from router.normalize import TEXT_PLACES, dedup_key
from router.testing import make_event, places
from router.testing.events import INSTANCES
from router.testing.samples import DEFAULTS, kinds
from router.validation import Validator

MESSAGES = [type_ for type_, where in places.BY_TYPE.items() if "text" in where]
#: A value of each field other than any sample's.
VALUES: dict[str, Any] = {
    "instance": 1101999999,
    "messenger": "telegram",
    "timestamp": 1764000000,
    "id_message": "MINE",
    "chat": "120363000000000000@g.us",
    "sender": "79990000000@c.us",
    "sender_name": "Boris",
    "text": "Hello",
}
VALIDATOR = Validator()


def without_text(kind: str) -> bool:
    return kind not in TEXT_PLACES


FIELDS = [(type_, field) for type_, where in places.BY_TYPE.items() for field in where if field in VALUES]


@pytest.mark.parametrize(("type_", "field"), FIELDS)
def test_every_field_of_every_type_can_be_given(type_: str, field: str) -> None:
    event = make_event(type_, **{field: VALUES[field]})
    assert (event.type, getattr(event, field)) == (type_, VALUES[field])
    assert VALIDATOR.problems(event.data) == []


@pytest.mark.parametrize("field", [field for field in VALUES if field != "text"])
@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("type_", MESSAGES)
def test_every_field_of_every_kind_of_message_can_be_given(type_: str, kind: str, field: str) -> None:
    event = make_event(type_, message_type=kind, **{field: VALUES[field]})
    assert (event.type, event.message_type, getattr(event, field)) == (type_, kind, VALUES[field])
    assert VALIDATOR.problems(event.data) == []


@pytest.mark.parametrize("kind", [kind for kind in kinds() if not without_text(kind)])
def test_every_kind_that_has_a_text_can_have_another_one_or_none(kind: str) -> None:
    assert make_event(message_type=kind, text="Hello").text == "Hello"
    assert make_event(message_type=kind, text=None).text is None


@pytest.mark.parametrize("kind", [kind for kind in kinds() if without_text(kind)])
def test_a_kind_without_a_text_says_so(kind: str) -> None:
    with pytest.raises(ValueError, match=f"text='Hello' is read as None in incomingMessageReceived {kind}: "):
        make_event(message_type=kind, text="Hello")


@pytest.mark.parametrize("name", samples.names())
def test_every_sample_stays_what_it_is_but_for_its_id_and_time(name: str) -> None:
    body = orjson.loads(samples.read(name))
    event = make_event(sample=name)
    own = ("idMessage", "timestamp")
    assert {k: v for k, v in event.data.items() if k not in own} == {
        k: v for k, v in body.items() if k not in own
    }


@pytest.mark.parametrize("type_", DEFAULTS)
def test_no_two_events_are_the_same_notification(type_: str) -> None:
    keys = {dedup_key(make_event(type_)) for _ in range(5)}
    assert len(keys) == 5


def test_every_type_has_a_sample_and_places() -> None:
    assert set(DEFAULTS) == set(places.BY_TYPE) == {name.partition("/")[0] for name in samples.names()}


def test_an_event_is_of_now_and_is_what_a_webhook_would_make_of_it() -> None:
    then = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    with clock.taken_from(lambda: then, lambda: 0.0):
        event = make_event(text="Hi")
    assert (event.received_at, event.timestamp, event.transport) == (then, 1795510800, Transport.WEBHOOK)


def test_events_made_one_after_the_other_are_of_one_chat() -> None:
    events = [make_event(message_type=kind) for kind in kinds()] + [make_event("incomingCall")]
    assert Counter((e.instance, e.messenger, e.chat, e.sender) for e in events) == {
        (1101000001, "whatsapp", "79001234567@c.us", "79001234567@c.us"): len(events)
    }


@pytest.mark.parametrize(
    ("fields", "chat", "sender"),
    [
        ({"chat": "7999@c.us"}, "7999@c.us", "7999@c.us"),
        ({"sender": "7999@c.us"}, "7999@c.us", "7999@c.us"),
        ({"chat": "1203@g.us"}, "1203@g.us", "79001234567@c.us"),
        ({"chat": "1203@g.us", "sender": "7999@c.us"}, "1203@g.us", "7999@c.us"),
        ({"messenger": "max"}, "10000000", "10000000"),
        ({"messenger": "max", "chat": "-69000"}, "-69000", "10000000"),
        ({"chat": None}, None, "79001234567@c.us"),
    ],
)
def test_a_chat_that_is_no_group_is_with_its_sender(fields: dict[str, Any], chat: str, sender: str) -> None:
    event = make_event(**fields)
    assert (event.chat, event.sender) == (chat, sender)


@pytest.mark.parametrize("messenger", INSTANCES)
def test_a_messenger_has_samples_of_its_own(messenger: str) -> None:
    event = make_event(messenger=messenger)
    assert (event.messenger, event.instance) == (messenger, INSTANCES[messenger])
    assert ("senderPhoneNumber" in event.data["senderData"]) is (messenger == "max")


def test_the_router_adds_what_it_adds_or_what_is_given() -> None:
    then = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    event = make_event(id="e1", received_at=then, transport=Transport.POLLING)
    assert (event.id, event.received_at, event.transport) == ("e1", then, "polling")
    assert make_event().id != make_event().id


def test_data_is_merged_over_the_body_at_the_end() -> None:
    event = make_event(text="Hi", data={"messageData": {"extra": [1]}, "senderData": {"senderName": "Boris"}})
    assert (event.text, event.sender_name, event.data["messageData"]["extra"]) == ("Hi", "Boris", [1])
    assert event.data["senderData"]["chatId"] == event.chat


def test_a_type_of_ones_own_has_a_minimal_body() -> None:
    event = make_event("paymentReceived", timestamp=5, data={"amount": 12.5})
    assert event.data == {
        "typeWebhook": "paymentReceived",
        "instanceData": {"idInstance": 1101000001, "wid": "79001234567@c.us", "typeInstance": "whatsapp"},
        "timestamp": 5,
        "amount": 12.5,
    }


def test_a_type_of_ones_own_may_have_what_a_message_has() -> None:
    event = make_event("paymentReceived", data={}, chat="79990000000@c.us", sender_name="Boris", text="Paid")
    assert (event.chat, event.sender_name, event.text) == ("79990000000@c.us", "Boris", "Paid")


def test_a_kind_of_ones_own_has_the_envelope_of_a_message() -> None:
    event = make_event(message_type="orderMessage", data={"messageData": {"orderMessageData": {"id": 7}}})
    assert event.data["messageData"] == {"typeMessage": "orderMessage", "orderMessageData": {"id": 7}}
    assert event.chat == "79001234567@c.us"


def refused(*args: Any, **fields: Any) -> str:
    with pytest.raises((TypeError, ValueError, NotFound)) as caught:
        make_event(*args, **fields)
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (lambda: refused(txt="Hi"), "TypeError: an event has no field 'txt'; did you mean 'text'?"),
        (
            lambda: refused("incomingMesageReceived"),
            "ValueError: there is no sample of type 'incomingMesageReceived'; did you mean "
            "'incomingMessageReceived'?; of a type of your own give data={…}, even an empty one",
        ),
        (
            lambda: refused(message_type="imageMesage"),
            "ValueError: there is no sample of message type 'imageMesage'; did you mean 'imageMessage'?; "
            "of another one give data={'messageData': {…}}",
        ),
        (
            lambda: refused("stateInstanceChanged", chat="7999@c.us"),
            "ValueError: stateInstanceChanged has no place for 'chat': it has instance, messenger, "
            "timestamp; anything else of its body is given as data={…}",
        ),
        (
            lambda: refused("incomingCall", message_type="textMessage"),
            "ValueError: incomingCall has no place for 'message_type': it has instance, messenger, "
            "timestamp, id_message, chat, sender; anything else of its body is given as data={…}",
        ),
        (
            lambda: refused("incomingCall", chat="1@c.us", sender="2@c.us"),
            "ValueError: chat='1@c.us' is read as '2@c.us' in incomingCall: "
            "chat and sender have one place in this type",
        ),
        (
            lambda: refused(text=""),
            "ValueError: text='' is read as None in incomingMessageReceived textMessage: "
            "expected a text that is not empty, in a kind of message that has one",
        ),
        (
            lambda: refused(messenger="whatsap"),
            "ValueError: messenger='whatsap' is read as None in incomingMessageReceived textMessage: "
            "expected whatsapp or telegram or max",
        ),
        (
            lambda: refused(chat="a\nb"),
            "ValueError: chat='a\\nb' is read as None in incomingMessageReceived textMessage: "
            "expected a printable text of 1 to 255 characters",
        ),
        (
            lambda: refused(instance=0),
            "ValueError: instance=0 is read as None in incomingMessageReceived textMessage: "
            "expected a whole number above 0",
        ),
        (
            lambda: refused(text="Hi", data={"messageData": {"typeMessage": "other"}}),
            "ValueError: text='Hi' is read as None in incomingMessageReceived other: "
            "expected a text that is not empty, in a kind of message that has one",
        ),
        (
            lambda: refused("incomingCall", sample="outgoingCall/composed-wa-pickup.json"),
            "ValueError: sample 'outgoingCall/composed-wa-pickup.json' is of type outgoingCall, "
            "not incomingCall",
        ),
        (
            lambda: refused(sample="wa-text.jsn"),
            "NotFound: no sample is named 'wa-text.jsn'; "
            "did you mean 'outgoingMessageReceived/wa-text.json'?",
        ),
    ],
)
def test_what_cannot_be_made_says_what_can(event: Any, message: str) -> None:
    assert event() == message


def test_an_event_can_be_changed_without_changing_the_next_one() -> None:
    first: Event = make_event()
    first.data["senderData"]["chatId"] = "changed"
    assert make_event().chat == "79001234567@c.us"
