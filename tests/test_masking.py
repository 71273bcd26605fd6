from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router import samples
from router.events import JsonObject
from router.masking import mask_chat, masked

#: What may be shown: fields whose values come from GREEN-API, not from people.
SHOWN = frozenset(
    (
        "battery",
        "chatState",
        "chatType",
        "duration",
        "forwardingScore",
        "idInstance",
        "idMessage",
        "index",
        "inviteExpiration",
        "listType",
        "mediaType",
        "method",
        "mimeType",
        "platform",
        "previewType",
        "receiptId",
        "selectedIndex",
        "senderType",
        "sourceType",
        "stanzaId",
        "stateInstance",
        "status",
        "statusInstance",
        "timestamp",
        "total",
        "type",
        "typeInstance",
        "typeMessage",
        "typeWebhook",
        "used",
    )
)
#: What everything else looks like: nothing, stars, or a chat id of which two digits, or its end, are left.
HIDDEN = re.compile(r"|-?\*{1,16}([0-9]{2})?(@[a-z.]+)?|@[a-z.]+|\{\{SWE[0-9]{3}\}\}")


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, key)
    else:
        yield key, value


def is_hidden(key: str, value: Any) -> bool:
    if key in SHOWN or value is None or value in (0, True):
        return True
    return isinstance(value, str) and HIDDEN.fullmatch(value) is not None


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value), value in ("", None)


@pytest.mark.parametrize("name", samples.names())
def test_a_masked_sample_has_the_same_shape_and_nothing_personal(name: str) -> None:
    body: JsonObject = json.loads(samples.read(name))
    before = copy.deepcopy(body)
    result = masked(body)
    assert body == before
    assert shape(result) == shape(body)
    assert [entry for entry in leaves(result) if not is_hidden(*entry)] == []
    shown = [(key, value) for key, value in leaves(result) if key in SHOWN]
    assert shown == [(key, value) for key, value in leaves(body) if key in SHOWN]


def test_a_masked_message() -> None:
    body = json.loads(samples.read("incomingMessageReceived/wa-poll-update-group.json"))
    assert masked(body) == {
        "typeWebhook": "incomingMessageReceived",
        "instanceData": {"idInstance": 1234567890, "wid": "*********90@c.us", "typeInstance": "whatsapp"},
        "timestamp": 1756439417,
        "idMessage": "3A93672A6E64A1669387",
        "senderData": {
            "chatId": "****************58@g.us",
            "chatName": "****",
            "sender": "*********10@c.us",
            "senderName": "****",
            "senderContactName": "",
        },
        "messageData": {
            "typeMessage": "pollUpdateMessage",
            "pollMessageData": {
                "stanzaId": "BAE59896B404EB11",
                "name": "******",
                "votes": [
                    {"optionName": "*****", "optionVoters": ["*********10@c.us"]},
                    {"optionName": "*****", "optionVoters": []},
                    {"optionName": "*****", "optionVoters": []},
                ],
                "multipleAnswers": False,
            },
        },
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"senderPhoneNumber": 79991112233}, {"senderPhoneNumber": 0}),
        ({"latitude": 51.1035, "longitude": -71}, {"latitude": 0.0, "longitude": 0}),
        (
            {"quotaData": {"used": 3, "description": "7@c.us, 8@c.us"}},
            {"quotaData": {"used": 3, "description": "**************"}},
        ),
        ({"noJson": b"Anna"}, {"noJson": "*******"}),
        ({"neverHeardOf": "Anna"}, {"neverHeardOf": "****"}),
        ({"neverHeardOf": "79001234567@c.us"}, {"neverHeardOf": "*********67@c.us"}),
        ({"text": "x" * 10**6}, {"text": "*" * 16}),
        ({"text": "{{SWE001}}"}, {"text": "{{SWE001}}"}),
        ({"text": "{{SWE001}} Anna"}, {"text": "*" * 15}),
        ({"status": "read"}, {"status": "read"}),
        ({"status": "call me"}, {"status": "*******"}),
        ({"status": "79001234567"}, {"status": "***********"}),
        ({"status": "tel79001234567"}, {"status": "**************"}),
        ({"mimeType": "audio/ogg; codecs=opus"}, {"mimeType": "audio/ogg; codecs=opus"}),
        ({"mimeType": "audio/ogg; Anna"}, {"mimeType": "***************"}),
        ({"idMessage": "false_79001234567@c.us_3EB0"}, {"idMessage": "*" * 16}),
        ({"idMessage": "115054445839974415"}, {"idMessage": "115054445839974415"}),
        ({"timestamp": "1588091580"}, {"timestamp": "1588091580"}),
        ({"timestamp": "call Anna"}, {"timestamp": "*********"}),
        (
            {"participants": [{"id": "79001234567@c.us", "status": "pickUp"}]},
            {"participants": [{"id": "*********67@c.us", "status": "pickUp"}]},
        ),
        ({"chatId": ["79001234567@c.us", ["1"], 79001234567]}, {"chatId": ["*********67@c.us", ["*"], 0]}),
        ({"typeWebhook": {"Anna": ["text"]}}, {"typeWebhook": {"Anna": ["****"]}}),
        ({"isForwarded": True, "jpegThumbnail": None}, {"isForwarded": True, "jpegThumbnail": None}),
        ({"79001234567@c.us": 1, "79001234568@c.us": 2}, {"*" * 16 + "#0": 0, "*" * 16 + "#1": 0}),
        ({"tel79001234567": True}, {"**************#0": True}),
        ({"": "", "a b": ""}, {"#0": "", "***#1": ""}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_kept_and_what_is_hidden(body: JsonObject, expected: JsonObject) -> None:
    assert masked(body) == expected


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ("79001234567@c.us", "*********67@c.us"),
        ("120363043968066561@g.us", "****************61@g.us"),
        ("79001234567-1581234048@g.us", "****************48@g.us"),
        ("123456789012345@lid", "*************45@lid"),
        ("10000012", "******12"),
        ("-69876543210123", "-************23"),
        ("12345", "*****"),
        ("1234@c.us", "****@c.us"),
        ("79001234567:12@c.us", "**************@c.us"),
        ("anna1987", "********"),
        ("anna@example.com", "****************"),
        ("@c.us", "@c.us"),
        ("", ""),
        ("\ud800\n@g.us", "**@g.us"),
    ],
)
def test_a_masked_chat(chat: str, expected: str) -> None:
    assert mask_chat(chat) == expected


def test_a_body_as_deep_as_the_parser_allows() -> None:
    deepest = 1023
    body = orjson.loads(b'{"a":' * deepest + b'"Anna"' + b"}" * deepest)
    result = masked(body)
    for _ in range(deepest - 1):
        result = result["a"]
    assert result == {"a": "****"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), JSON))
@example({"": "@lid"})
def test_no_body_is_too_odd_and_none_of_its_entries_is_lost(body: JsonObject) -> None:
    result = masked(body)
    assert len(result) == len(body)
    assert len(list(leaves(result))) == len(list(leaves(body)))
    assert [entry for entry in leaves(result) if not is_hidden(*entry)] == []
