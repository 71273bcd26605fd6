from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from router.events import Event, JsonObject, Transport
from router.greenapi.journal import notification
from router.normalize import dedup_key, normalize
from router.validation import Validator

INSTANCE_DATA = {"idInstance": 7, "wid": "70000000000@c.us", "typeInstance": "whatsapp"}
HEAD: JsonObject = {
    "type": "incoming",
    "idMessage": "A1",
    "timestamp": 1732464000,
    "chatId": "79001234567@c.us",
    "senderId": "79001234567@c.us",
    "senderName": "Anna",
    "senderContactName": "",
}
SENDER = {
    "chatId": "79001234567@c.us",
    "sender": "79001234567@c.us",
    "senderName": "Anna",
    "senderContactName": "",
}
QUOTED = {"stanzaId": "B1", "participant": "7@c.us", "typeMessage": "textMessage", "textMessage": "Hi"}
FILE = {"downloadUrl": "https://example.com/f", "caption": "See", "fileName": "f", "mimeType": "image/jpeg"}
POLL = {"name": "Red?", "options": [{"optionName": "yes"}], "multipleAnswers": False}
VOTE = {"stanzaId": "P1", "name": "Red?", "votes": [{"optionName": "yes", "optionVoters": ["7@c.us"]}]}
LOCATION = {"nameLocation": "Here", "address": "", "latitude": 1.5, "longitude": -2.25}
CONTACT = {"displayName": "Bo", "vcard": "BEGIN:VCARD"}
LINK = {"text": "https://example.com", "title": "t", "previewType": "None"}
BUTTON = {"stanzaId": "T1", "selectedIndex": 0, "selectedDisplayText": "Yes"}

#: typeMessage, the rest of the record, the rest of messageData, text
RECORDS: dict[str, tuple[str, JsonObject, JsonObject, str | None]] = {
    "text": (
        "textMessage",
        {"textMessage": "Hi", "isForwarded": False, "forwardingScore": 0},
        {"textMessageData": {"textMessage": "Hi", "isForwarded": False, "forwardingScore": 0}},
        "Hi",
    ),
    "text that answers": (
        "textMessage",
        {"textMessage": "Hi", "quotedMessage": QUOTED},
        {"quotedMessage": QUOTED, "textMessageData": {"textMessage": "Hi"}},
        "Hi",
    ),
    "image": ("imageMessage", FILE, {"fileMessageData": FILE}, "See"),
    "sticker": ("stickerMessage", {"downloadUrl": ""}, {"fileMessageData": {"downloadUrl": ""}}, None),
    "location": ("locationMessage", {"location": LOCATION}, {"locationMessageData": LOCATION}, None),
    "contact": ("contactMessage", {"contact": CONTACT}, {"contactMessageData": CONTACT}, None),
    "contacts": (
        "contactsArrayMessage",
        {"contacts": [CONTACT]},
        {"messageData": {"contacts": [CONTACT]}},
        None,
    ),
    "contacts as they are sent": (
        "contactsArrayMessage",
        {"messageData": {"contacts": [CONTACT]}},
        {"messageData": {"contacts": [CONTACT]}},
        None,
    ),
    "link": (
        "extendedTextMessage",
        {"extendedTextMessage": LINK},
        {"extendedTextMessageData": LINK},
        "https://example.com",
    ),
    "quote with its text beside": (
        "quotedMessage",
        {"textMessage": "Hi", "extendedTextMessage": {"stanzaId": "B1", "participant": "7@c.us"}},
        {"extendedTextMessageData": {"text": "Hi", "stanzaId": "B1", "participant": "7@c.us"}},
        "Hi",
    ),
    "reaction": (
        "reactionMessage",
        {"extendedTextMessageData": {"text": "👍"}, "quotedMessage": {"stanzaId": "B1"}},
        {"extendedTextMessageData": {"text": "👍"}, "quotedMessage": {"stanzaId": "B1"}},
        "👍",
    ),
    "poll": ("pollMessage", {"pollMessageData": POLL}, {"pollMessageData": POLL}, "Red?"),
    "vote": ("pollUpdateMessage", {"pollMessageData": VOTE}, {"pollMessageData": VOTE}, "Red?"),
    "button": (
        "templateButtonsReplyMessage",
        {"templateButtonReplyMessage": BUTTON},
        {"templateButtonReplyMessage": BUTTON},
        "Yes",
    ),
    "edit": (
        "editedMessage",
        {"textMessage": "Hello", "editedMessageId": "B1"},
        {"editedMessageData": {"textMessage": "Hello", "stanzaId": "B1"}},
        "Hello",
    ),
    "deletion": (
        "deletedMessage",
        {"deletedMessageId": "B1"},
        {"deletedMessageData": {"stanzaId": "B1"}},
        None,
    ),
}


def event_of(data: JsonObject) -> Event:
    received_at = datetime(2026, 11, 24, tzinfo=UTC)
    return normalize(data, id="e", received_at=received_at, transport=Transport.WEBHOOK)


@pytest.mark.parametrize(("type_", "rest", "expected", "text"), RECORDS.values(), ids=RECORDS.keys())
def test_a_record_becomes_the_notification(
    type_: str, rest: JsonObject, expected: JsonObject, text: str | None
) -> None:
    made = notification({**HEAD, "typeMessage": type_, **rest}, INSTANCE_DATA)
    assert made == {
        "typeWebhook": "incomingMessageReceived",
        "instanceData": INSTANCE_DATA,
        "timestamp": 1732464000,
        "idMessage": "A1",
        "senderData": SENDER,
        "messageData": {"typeMessage": type_, **expected},
        "source": "lastIncomingMessages",
    }
    assert Validator().problems(made) == []
    assert event_of(made).text == text


@pytest.mark.parametrize(("type_", "rest", "_", "__"), RECORDS.values(), ids=RECORDS.keys())
def test_it_has_the_key_of_the_real_one(type_: str, rest: JsonObject, _: Any, __: Any) -> None:
    made = notification({**HEAD, "typeMessage": type_, **rest}, INSTANCE_DATA)
    assert dedup_key(event_of(made)) == f"7|incomingMessageReceived|79001234567@c.us|A1|{type_}"


def test_telegram_and_max_say_who_and_what_a_chat_is() -> None:
    record = {"chatId": "-100", "chatType": "group", "senderType": "user", "senderPhoneNumber": 0}
    made = notification({**record, "typeMessage": "textMessage", "textMessage": "Hi"}, {"idInstance": 7})
    assert made["senderData"] == record
    assert Validator().problems(made) == []


ODD: list[JsonObject] = [
    {},
    {"typeMessage": None},
    {"typeMessage": ["textMessage"], "chatId": 5, "extendedTextMessage": "x"},
    {"typeMessage": "somethingNew", "newData": {"a": 1}},
    {"typeMessage": "extendedTextMessage", "extendedTextMessage": None},
    {"typeMessage": "imageMessage"},
]


@pytest.mark.parametrize("record", ODD, ids=str)
def test_an_odd_record_raises_nothing(record: JsonObject) -> None:
    made = notification(record, {"idInstance": 7})
    Validator().problems(made)
    assert event_of(made).instance == 7


def test_of_a_type_nobody_knows_the_data_is_kept() -> None:
    made = notification({"typeMessage": "somethingNew", "newData": {"a": 1}}, {"idInstance": 7})
    assert made["messageData"] == {"typeMessage": "somethingNew", "newData": {"a": 1}}
