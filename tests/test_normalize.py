from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import samples
from router.events import Event, JsonObject, Transport
from router.normalize import content_hash, dedup_key, normalize

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "events.md").read_text("utf-8")
GOLDEN: dict[str, list[Any]] = json.loads(
    (Path(__file__).parent / "data" / "normalized.json").read_text("utf-8")
)
MESSAGE_TYPES = ("incomingMessageReceived", "outgoingMessageReceived", "outgoingAPIMessageReceived")


def event_of(data: JsonObject, instance: int | None = None) -> Event:
    return normalize(data, id="e1", received_at=NOW, transport=Transport.WEBHOOK, instance=instance)


def sample(name: str) -> JsonObject:
    body: JsonObject = json.loads(samples.read(f"{name}.json"))
    return body


def message(type_message: str, data: JsonObject, **envelope: Any) -> JsonObject:
    return {
        "typeWebhook": "incomingMessageReceived",
        "instanceData": {"idInstance": 1101000001, "typeInstance": "whatsapp"},
        "timestamp": 1588091580,
        "idMessage": "A1",
        "senderData": {"chatId": "71234567890@c.us", "sender": "71234567890@c.us"},
        "messageData": {"typeMessage": type_message, **data},
    } | envelope


# Whole events

WHOLE: dict[str, dict[str, Any]] = {
    "incomingMessageReceived/wa-text-waba": {
        "type": "incomingMessageReceived",
        "instance": 1234,
        "messenger": "whatsapp",
        "chat": "79001234568@c.us",
        "sender": "79001234568@c.us",
        "message_type": "textMessage",
        "text": "I use GREEN-API to send this message to you!",
        "timestamp": 1588091580,
    },
    "incomingMessageReceived/max-group-text": {
        "type": "incomingMessageReceived",
        "instance": 3100000000,
        "messenger": "max",
        "chat": "-69876543210123",
        "sender": "10000000",
        "message_type": "textMessage",
        "text": "Сообщение в группе",
        "timestamp": 1763115112,
    },
    "incomingMessageReceived/tg-text-user": {
        "type": "incomingMessageReceived",
        "instance": 4100000000,
        "messenger": "telegram",
        "chat": "10000000",
        "sender": "10000000",
        "message_type": "textMessage",
        "text": "Привет, как дела?",
        "timestamp": 1763115112,
    },
    "incomingMessageReceived/docs-image-1": {
        "type": "incomingMessageReceived",
        "instance": 1234,
        "messenger": "whatsapp",
        "chat": "79001234568@c.us",
        "sender": "79001234568@c.us",
        "message_type": "imageMessage",
        "text": "Image",
        "timestamp": 1588091580,
    },
    "incomingMessageReceived/wa-poll-update-group": {
        "type": "incomingMessageReceived",
        "instance": 1234567890,
        "messenger": "whatsapp",
        "chat": "120363403814479258@g.us",
        "sender": "79876543210@c.us",
        "message_type": "pollUpdateMessage",
        "text": "bebebe",
        "timestamp": 1756439417,
    },
    "incomingMessageReceived/wa-document-no-chatid": {
        "type": "incomingMessageReceived",
        "instance": None,
        "messenger": None,
        "chat": None,
        "sender": "77015554433@c.us",
        "message_type": "documentMessage",
        "text": "чек",
        "timestamp": None,
    },
    "outgoingMessageReceived/wa-text": {
        "type": "outgoingMessageReceived",
        "instance": 1101000002,
        "messenger": "whatsapp",
        "chat": "71231234567@c.us",
        "sender": "71234567890@c.us",
        "message_type": "textMessage",
        "text": "Hello! This is a text message.",
        "timestamp": 1703014480,
    },
    "outgoingMessageStatus/max-read": {
        "type": "outgoingMessageStatus",
        "instance": 3100000000,
        "messenger": "max",
        "chat": "10000000",
        "sender": None,
        "message_type": None,
        "text": None,
        "timestamp": 1755591519,
    },
    "incomingCall/wa-pickup": {
        "type": "incomingCall",
        "instance": 1101000001,
        "messenger": "whatsapp",
        "chat": "71234567890@c.us",
        "sender": "71234567890@c.us",
        "message_type": None,
        "text": None,
        "timestamp": 1706505874,
    },
    "outgoingCall/composed-wa-pickup": {
        "type": "outgoingCall",
        "instance": 1101000001,
        "messenger": "whatsapp",
        "chat": "71234567890@c.us",
        "sender": "71231234567@c.us",
        "message_type": None,
        "text": None,
        "timestamp": 1760000000,
    },
    "incomingBlock/wa-blocked-apidog": {
        "type": "incomingBlock",
        "instance": 1101000001,
        "messenger": "whatsapp",
        "chat": "10000000000@c.us",
        "sender": None,
        "message_type": None,
        "text": None,
        "timestamp": 1706587620,
    },
    "stateInstanceChanged/wa-authorized": {
        "type": "stateInstanceChanged",
        "instance": 1101000001,
        "messenger": "whatsapp",
        "chat": None,
        "sender": None,
        "message_type": None,
        "text": None,
        "timestamp": 1705902314,
    },
    "quotaExceeded/max-with-timestamp": {
        "type": "quotaExceeded",
        "instance": None,
        "messenger": None,
        "chat": None,
        "sender": None,
        "message_type": None,
        "text": None,
        "timestamp": 1763115112,
    },
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_sample_becomes_this_event(name: str) -> None:
    data = sample(name)
    expected = Event(id="e1", received_at=NOW, transport=Transport.WEBHOOK, data=data, **WHOLE[name])
    assert event_of(data) == expected


@pytest.mark.parametrize("name", samples.names())
def test_every_sample_normalizes_as_reviewed(name: str) -> None:
    event = event_of(json.loads(samples.read(name)))
    assert [
        event.type,
        event.instance,
        event.messenger,
        event.chat,
        event.sender,
        event.message_type,
        event.text,
        event.timestamp,
        dedup_key(event),
    ] == GOLDEN[name]


def test_the_body_is_kept_as_it_is() -> None:
    data = sample("incomingMessageReceived/wa-poll")
    assert event_of(data).data is data


# Text


@pytest.mark.parametrize(
    ("type_message", "data", "text"),
    [
        ("textMessage", {"textMessageData": {"textMessage": "hi"}}, "hi"),
        ("textMessage", {"textMessageData": {"textMessage": ""}}, None),
        ("extendedTextMessage", {"extendedTextMessageData": {"text": "hi", "title": "no"}}, "hi"),
        ("quotedMessage", {"extendedTextMessageData": {"text": "hi"}}, "hi"),
        ("reactionMessage", {"extendedTextMessageData": {"text": "👍"}}, "👍"),
        ("reactionMessage", {"extendedTextMessageData": {"text": ""}}, None),
        ("imageMessage", {"fileMessageData": {"caption": "hi", "fileName": "no"}}, "hi"),
        ("videoMessage", {"fileMessageData": {"caption": "hi"}}, "hi"),
        ("documentMessage", {"fileMessageData": {"caption": "hi"}}, "hi"),
        ("audioMessage", {"fileMessageData": {"caption": "hi"}}, "hi"),
        ("stickerMessage", {"fileMessageData": {"caption": "hi"}}, "hi"),
        ("stickerMessage", {"stickerMessageData": {"caption": "hi"}}, "hi"),
        ("pollMessage", {"pollMessageData": {"name": "Color"}}, "Color"),
        ("pollMessage", {"pollCreationMessage": {"name": "Color"}}, "Color"),
        ("pollCreationMessage", {"pollCreationMessage": {"name": "Color"}}, "Color"),
        ("pollUpdateMessage", {"pollMessageData": {"name": "Color"}}, "Color"),
        ("buttonsMessage", {"buttonsMessage": {"contentText": "hi", "footer": "no"}}, "hi"),
        ("listMessage", {"listMessage": {"contentText": "hi", "title": "no"}}, "hi"),
        ("listMessage", {"listMessage": {"contentText": "", "title": "hi"}}, "hi"),
        ("templateMessage", {"templateMessage": {"contentText": "hi"}}, "hi"),
        ("interactiveButtons", {"interactiveButtons": {"titleText": "no", "contentText": "hi"}}, "hi"),
        ("interactiveButtons", {"interactiveButtons": {"titleText": "hi"}}, "hi"),
        ("interactiveButtonsReply", {"interactiveButtonsReply": {"contentText": "hi"}}, "hi"),
        ("interactiveButtonsReply", {"interactiveButtonsReply": {"header": "no", "body": "hi"}}, "hi"),
        ("interactiveButtonsReply", {"interactiveButtons": {"contentText": "hi"}}, "hi"),
        ("buttonsResponseMessage", {"buttonsResponseMessage": {"selectedButtonText": "Green"}}, "Green"),
        ("templateButtonReplyMessage", {"templateButtonReplyMessage": {"selectedDisplayText": "x"}}, "x"),
        ("templateButtonsReplyMessage", {"templateButtonReplyMessage": {"selectedDisplayText": "x"}}, "x"),
        ("templateButtonsReplyMessage", {"templateButtonsReplyMessage": {"selectedDisplayText": "x"}}, "x"),
        ("listResponseMessage", {"listResponseMessage": {"title": "Option 2"}}, "Option 2"),
        ("interactiveButtonsResponse", {"interactiveButtonsResponse": {"selectedDisplayText": "x"}}, "x"),
        ("interactiveButtonsResponse", {"interactiveButtonsResponse": {"selectedButtonText": "x"}}, "x"),
        ("groupInviteMessage", {"groupInviteMessageData": {"caption": "hi", "groupName": "no"}}, "hi"),
        ("editedMessage", {"editedMessageData": {"textMessage": "hi"}}, "hi"),
        ("editedMessage", {"editedMessageData": {"caption": "hi"}}, "hi"),
        ("deletedMessage", {"deletedMessageData": {"stanzaId": "A0"}}, None),
        ("locationMessage", {"locationMessageData": {"nameLocation": "no", "address": "no"}}, None),
        ("contactMessage", {"contactMessageData": {"displayName": "no"}}, None),
        ("contactsArrayMessage", {"messageData": {"contacts": [{"displayName": "no"}]}}, None),
        ("neverHeardOfMessage", {"textMessageData": {"textMessage": "no"}}, None),
        ("textMessage", {"quotedMessage": {"textMessage": "no"}}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_text_of_a_message(type_message: str, data: JsonObject, text: str | None) -> None:
    assert event_of(message(type_message, data)).text == text


def documented_places() -> list[Any]:
    """The table of texts on the reference page: each message type with each of its places."""
    table = PAGE.split("| `typeMessage` | `text` |")[1].split("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    return [
        pytest.param(type_message, re.findall(r"`(\w+\.\w+)`", places), id=type_message)
        for types, places in rows
        for type_message in re.findall(r"`(\w+)`", types)
    ]


@pytest.mark.parametrize(("type_message", "places"), documented_places())
def test_the_text_is_where_the_reference_page_says_and_the_first_counts(
    type_message: str, places: list[str]
) -> None:
    """Beginning with the last place, each one before it takes over as soon as it has a text."""
    data: JsonObject = {}
    for place in reversed(places):
        container, field = place.split(".")
        data.setdefault(container, {})[field] = place
        assert event_of(message(type_message, data)).text == place
    if not places:
        assert event_of(message(type_message, data)).text is None


@pytest.mark.parametrize("type_", sorted({row[0] for row in GOLDEN.values()}))
def test_the_reference_page_has_every_type(type_: str) -> None:
    assert PAGE.count(f"`{type_}`") >= (1 if "Message" in type_ else 2)


# Odd values


@pytest.mark.parametrize(
    ("value", "instance"),
    [
        (1101000001, 1101000001),
        ("1101000001", 1101000001),
        (123456789012, 123456789012),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (0, None),
        (-1, None),
        (True, None),
        (1.0, None),
        ("", None),
        ("١٢٣", None),
        ("1" * 5000, None),
        (None, None),
        ([1], None),
    ],
)
def test_the_instance_of_a_body(value: Any, instance: int | None) -> None:
    assert event_of({"instanceData": {"idInstance": value}}).instance == instance


@pytest.mark.parametrize("body", [{}, {"instanceData": {"idInstance": None}}, {"instanceData": []}])
def test_the_instance_is_what_the_transport_knows_when_the_body_names_none(body: JsonObject) -> None:
    assert event_of(body, instance=7).instance == 7


def test_the_instance_that_the_body_names_wins() -> None:
    assert event_of({"instanceData": {"idInstance": 8}}, instance=7).instance == 8


@pytest.mark.parametrize(
    ("value", "timestamp"),
    [
        (1588091580, 1588091580),
        (1588091580123, 1588091580),
        (1588091580123456, 1588091580),
        ("1588091580", 1588091580),
        ("1588091580123", 1588091580),
        (0, 0),
        (10**17, None),
        (10**400, None),
        (-5, None),
        (True, None),
        (1588091580.5, None),
        (math.nan, None),
        ("yesterday", None),
        ("", None),
        (None, None),
        ({}, None),
    ],
)
def test_a_timestamp_is_seconds(value: Any, timestamp: int | None) -> None:
    assert event_of({"timestamp": value}).timestamp == timestamp


@pytest.mark.parametrize(
    ("value", "messenger"),
    [
        ("whatsapp", "whatsapp"),
        ("telegram", "telegram"),
        ("v3", "max"),
        ("fax", None),
        ("", None),
        (None, None),
        (["v3"], None),
    ],
)
def test_the_messenger(value: Any, messenger: str | None) -> None:
    assert event_of({"instanceData": {"typeInstance": value}}).messenger == messenger


@pytest.mark.parametrize(
    "value",
    ["", None, 5, True, [], {}, "a\0b", "\ud800", "x" * 256],
    ids=["empty", "null", "number", "true", "array", "object", "NUL", "surrogate", "too long"],
)
def test_an_odd_word_is_none(value: Any) -> None:
    body = message("textMessage", {}, typeWebhook=value, senderData={"chatId": value, "sender": value})
    body["messageData"]["typeMessage"] = value
    event = event_of(body)
    assert (event.type, event.chat, event.sender, event.message_type) == (None, None, None, None)


def test_an_unknown_type_shows_whatever_it_shares_with_known_ones() -> None:
    call = event_of({"typeWebhook": "videoConference", "from": "1@c.us", "timestamp": 1588091580})
    status = event_of({"typeWebhook": "messagePinned", "chatId": "2@g.us", "messageData": []})
    text = event_of(message("textMessage", {"textMessageData": {"textMessage": "hi"}}, typeWebhook="new"))
    assert (call.chat, call.sender, call.timestamp) == ("1@c.us", "1@c.us", 1588091580)
    assert (status.chat, status.sender) == ("2@g.us", None)
    assert (text.chat, text.message_type, text.text) == ("71234567890@c.us", "textMessage", "hi")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KNOWN_WORDS = st.sampled_from(sorted({row[5] for row in GOLDEN.values() if row[5]}))
ODD_BODIES = st.fixed_dictionaries(
    {"typeWebhook": st.sampled_from(sorted({row[0] for row in GOLDEN.values()})) | JSON},
    optional={
        "instanceData": st.fixed_dictionaries({}, optional={"idInstance": JSON, "wid": JSON}) | JSON,
        "timestamp": st.integers() | JSON,
        "idMessage": JSON,
        "chatId": JSON,
        "from": JSON,
        "status": JSON,
        "stateInstance": JSON,
        "quotaData": JSON,
        "deviceData": JSON,
        "senderData": st.fixed_dictionaries({}, optional={"chatId": JSON, "sender": JSON}) | JSON,
        "messageData": st.fixed_dictionaries(
            {"typeMessage": KNOWN_WORDS | JSON},
            optional={"textMessageData": JSON, "extendedTextMessageData": JSON, "fileMessageData": JSON},
        )
        | JSON,
    },
)


def backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=300, deadline=None)
@given(ODD_BODIES)
def test_no_body_is_too_odd_and_its_key_does_not_depend_on_the_order_of_keys(body: JsonObject) -> None:
    event = event_of(body)
    key = dedup_key(event)
    assert key == dedup_key(event_of(backwards(body)))
    assert key.isprintable()
    assert len(key) < 600
    assert key.startswith(f"{event.instance or '-'}|{event.type or ''}|")


# Dedup keys


def test_two_samples_have_one_key_only_where_they_are_variants_of_one_notification() -> None:
    """The documentation's examples share ids, so the variants are told apart by what they show."""
    by_key: dict[str, set[tuple[Any, ...]]] = {}
    for name in samples.names():
        data = json.loads(samples.read(name))
        event = event_of(data)
        identity = (event.instance, event.type, event.chat, data.get("idMessage"), event.message_type)
        distinct = (data.get("status"), data.get("stateInstance"), event.timestamp)
        by_key.setdefault(dedup_key(event), set()).add((*identity, *distinct))
    assert {key: found for key, found in by_key.items() if len(found) > 1} == {}


MESSAGE = sample("incomingMessageReceived/wa-text-waba")
STATUS = sample("outgoingMessageStatus/wa-sent-by-api")
CALL = sample("incomingCall/wa-pickup")
STATE = sample("stateInstanceChanged/wa-authorized")
BLOCK = sample("incomingBlock/wa-blocked-apidog")
DEVICE = sample("deviceInfo/wa-iphone")
QUOTA = sample("quotaExceeded/max-with-timestamp")
ONLINE = sample("statusInstanceChanged/wa-online-docs")
UNKNOWN = {"typeWebhook": "messagePinned", "idMessage": "A1", "pinned": True}


def changed(body: JsonObject, path: str, value: Any) -> JsonObject:
    copy: JsonObject = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    place = copy
    for parent in parents:
        place = place[parent]
    place[last] = value
    return copy


@pytest.mark.parametrize(
    ("body", "path", "value"),
    [
        (MESSAGE, "instanceData.idInstance", 99),
        (MESSAGE, "typeWebhook", "outgoingMessageReceived"),
        (MESSAGE, "idMessage", "B2"),
        (MESSAGE, "senderData.chatId", "1@c.us"),
        (MESSAGE, "messageData.typeMessage", "editedMessage"),
        (STATUS, "idMessage", "B2"),
        (STATUS, "chatId", "1@c.us"),
        (STATUS, "status", "read"),
        (CALL, "idMessage", "B2"),
        (CALL, "status", "offer"),
        (CALL, "from", "1@c.us"),
        (STATE, "stateInstance", "blocked"),
        (STATE, "timestamp", 1705902315),
        (ONLINE, "statusInstance", "offline"),
        (ONLINE, "timestamp", 5),
        (BLOCK, "chatId", "1@c.us"),
        (BLOCK, "chatState", "unblocked"),
        (BLOCK, "timestamp", 5),
        (DEVICE, "deviceData.battery", 89),
        (DEVICE, "timestamp", 5),
        (QUOTA, "quotaData.used", 4),
        (QUOTA, "timestamp", 5),
        (UNKNOWN, "idMessage", "B2"),
        (UNKNOWN, "pinned", False),
    ],
)
def test_what_differs_in_what_identifies_it_has_another_key(body: JsonObject, path: str, value: Any) -> None:
    assert dedup_key(event_of(body)) != dedup_key(event_of(changed(body, path, value)))


@pytest.mark.parametrize(
    ("body", "path", "value"),
    [
        (MESSAGE, "messageData.textMessageData.isForwarded", True),
        (MESSAGE, "timestamp", 5),
        (MESSAGE, "instanceData.wid", ""),
        (MESSAGE, "instanceData.idInstance", "1234"),
        (STATUS, "timestamp", 5),
        (CALL, "timestamp", 5),
        (STATE, "instanceData.wid", ""),
        (BLOCK, "instanceData.wid", ""),
        (DEVICE, "instanceData.wid", ""),
    ],
)
def test_what_is_sent_again_with_other_details_has_the_same_key(
    body: JsonObject, path: str, value: Any
) -> None:
    assert dedup_key(event_of(body)) == dedup_key(event_of(changed(body, path, value)))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (MESSAGE, "idMessage"),
        (MESSAGE, "senderData.chatId"),
        (MESSAGE, "messageData.typeMessage"),
        (STATUS, "idMessage"),
        (STATUS, "chatId"),
        (STATUS, "status"),
        (CALL, "idMessage"),
        (CALL, "from"),
        (STATE, "timestamp"),
        (QUOTA, "timestamp"),
    ],
)
@pytest.mark.parametrize("odd", ["", None, 5.5, {}, []], ids=repr)
def test_without_what_identifies_it_the_whole_body_does(body: JsonObject, path: str, odd: Any) -> None:
    one = changed(body, path, odd)
    other = changed(one, "somethingElse", 1)
    assert dedup_key(event_of(one)) == dedup_key(event_of(backwards(one)))
    assert dedup_key(event_of(one)) != dedup_key(event_of(other))


def test_an_old_call_without_a_status_is_not_the_call_with_one() -> None:
    old = {key: value for key, value in CALL.items() if key != "status"}
    assert (
        dedup_key(event_of(old))
        == "1101000001|incomingCall|0CC5E9DB52F5C9A47E839707419F9582||71234567890@c.us"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a|b", "c"), ("a", "b|c")),
        (("a", "b|"), ("a|", "b")),
        (("x", "y" * 10**6), ("x", "y" * 10**6 + "y")),
        (("x", "y\0"), ("x", "y")),
        (("x", "\ud800"), ("x", "\udc00")),
    ],
    ids=["separator", "separator at the end", "a megabyte", "NUL", "surrogates"],
)
def test_ids_of_any_characters_and_length_stay_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = []
    for chat, id_message in (one, other):
        body = changed(changed(MESSAGE, "senderData.chatId", chat), "idMessage", id_message)
        keys.append(dedup_key(event_of(body)))
    assert keys[0] != keys[1]
    assert all(len(key) < 300 and key.isprintable() and key.startswith("1234|incoming") for key in keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        (0, False),
        (0, None),
        ("", None),
        ([], {}),
        ([[]], [[], []]),
        ([["a"], "b"], [["a", "b"]]),
        ({"a": ["b"]}, ["a", "b"]),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ("ab", ["a", "b"]),
        (15, 15.0),
        (10**6000, 10**6000 + 1),
        (math.nan, math.inf),
        ("\ud800", "\udfff"),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_different_content_has_different_hashes(one: Any, other: Any) -> None:
    assert content_hash(one) != content_hash(other)


def test_content_may_be_nested_deeper_than_python_recurses() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = {"a": [deep]}
    assert content_hash(deep) == content_hash(deep)
    assert dedup_key(event_of({"typeWebhook": "new", "deep": deep})).startswith("-|new|#")
