from __future__ import annotations

import copy
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import samples, schemas
from router.events import JsonObject, Problem
from router.validation import Validator

Keys: TypeAlias = tuple[str | int, ...]

VALIDATOR = Validator()

MESSAGE_NOTIFICATIONS = ("incomingMessageReceived", "outgoingMessageReceived", "outgoingAPIMessageReceived")

#: ``typeMessage`` → the least ``messageData`` that is valid: every field of it is guaranteed, and no other.
LEAST_MESSAGE: dict[str, JsonObject] = {
    "textMessage": {"textMessageData": {"textMessage": "Hi"}},
    "extendedTextMessage": {"extendedTextMessageData": {"text": "Hi"}},
    "quotedMessage": {"extendedTextMessageData": {"text": "Hi"}},
    "reactionMessage": {"extendedTextMessageData": {"text": "👍"}},
    "imageMessage": {"fileMessageData": {"downloadUrl": "https://example.com/a.jpg"}},
    "videoMessage": {"fileMessageData": {"downloadUrl": "https://example.com/a.mp4"}},
    "documentMessage": {"fileMessageData": {"downloadUrl": "https://example.com/a.pdf"}},
    "audioMessage": {"fileMessageData": {"downloadUrl": "https://example.com/a.ogg"}},
    "stickerMessage": {"fileMessageData": {"downloadUrl": "https://example.com/a.webp"}},
    "locationMessage": {"locationMessageData": {"latitude": 51.5, "longitude": -0.1}},
    "contactMessage": {"contactMessageData": {"vcard": "BEGIN:VCARD"}},
    "contactsArrayMessage": {"messageData": {"contacts": [{"vcard": "BEGIN:VCARD"}]}},
    "ContactsArrayMessage": {"messageData": {"contacts": [{"vcard": "BEGIN:VCARD"}]}},
    "pollMessage": {"pollMessageData": {"name": "Color?"}},
    "pollUpdateMessage": {"pollMessageData": {"name": "Color?", "votes": [{"optionName": "Red"}]}},
    "buttonsMessage": {"buttonsMessage": {"contentText": "Hi", "buttons": [{}]}},
    "listMessage": {"listMessage": {"contentText": "Hi"}},
    "templateMessage": {"templateMessage": {"contentText": "Hi"}},
    "buttonsResponseMessage": {"buttonsResponseMessage": {"selectedButtonId": "1"}},
    "templateButtonsReplyMessage": {"templateButtonReplyMessage": {"selectedDisplayText": "red"}},
    "templateButtonReplyMessage": {"templateButtonReplyMessage": {"selectedDisplayText": "red"}},
    "listResponseMessage": {"listResponseMessage": {"singleSelectReply": "option2"}},
    "interactiveButtons": {"interactiveButtons": {"buttons": [{}]}},
    "interactiveButtonsReply": {"interactiveButtonsReply": {"buttons": [{}]}},
    "interactiveButtonsResponse": {"interactiveButtonsResponse": {}},
    "groupInviteMessage": {
        "groupInviteMessageData": {"groupJid": "120363043968066561@g.us", "inviteCode": "x"}
    },
    "editedMessage": {"editedMessageData": {"textMessage": "Hi"}},
    "deletedMessage": {"deletedMessageData": {"stanzaId": "BAE5"}},
}

#: The same for the notifications without a message.
LEAST_NOTIFICATION: dict[str, JsonObject] = {
    "outgoingMessageStatus": {"idMessage": "BAE5", "status": "read"},
    "stateInstanceChanged": {"stateInstance": "authorized"},
    "statusInstanceChanged": {"statusInstance": "online"},
    "incomingCall": {"from": "79001234567@c.us", "idMessage": "BAE5"},
    "outgoingCall": {"from": "79001234567@c.us", "idMessage": "BAE5"},
    "quotaExceeded": {"quotaData": {}},
    "deviceInfo": {"deviceData": {}},
    "incomingBlock": {"chatId": "79001234567@c.us", "chatState": "blocked"},
}


def message(message_type: str, *, webhook: str = "incomingMessageReceived", **data: Any) -> JsonObject:
    return {"typeWebhook": webhook, "senderData": {}, "messageData": {"typeMessage": message_type, **data}}


def least_bodies() -> list[JsonObject]:
    return [
        *(
            message(type_, webhook=webhook, **data)
            for webhook in MESSAGE_NOTIFICATIONS
            for type_, data in LEAST_MESSAGE.items()
        ),
        *({"typeWebhook": type_, **data} for type_, data in LEAST_NOTIFICATION.items()),
    ]


def name_of(body: JsonObject) -> str:
    return "-".join(filter(None, (body["typeWebhook"], body.get("messageData", {}).get("typeMessage"))))


def sample(name: str) -> JsonObject:
    body: JsonObject = json.loads(samples.read(name))
    return body


def paths(node: Any, at: Keys = ()) -> Iterator[Keys]:
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, value in steps:
        yield (*at, step)
        yield from paths(value, (*at, step))


def holder(body: JsonObject, path: Keys) -> Any:
    node: Any = body
    for step in path[:-1]:
        node = node[step]
    return node


def has(body: JsonObject, path: Keys) -> bool:
    return path in set(paths(body))


def without(body: JsonObject, path: Keys) -> JsonObject:
    changed = copy.deepcopy(body)
    del holder(changed, path)[path[-1]]
    return changed


def with_value(body: JsonObject, path: Keys, value: Any) -> JsonObject:
    changed = copy.deepcopy(body)
    holder(changed, path)[path[-1]] = value
    return changed


def told(path: Keys) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def guaranteed(body: JsonObject) -> list[Keys]:
    """The paths of the table above that this body has, whatever else is in it."""
    message_type = body.get("messageData", {}).get("typeMessage")
    if message_type:
        least = message(message_type, webhook=body["typeWebhook"], **LEAST_MESSAGE[message_type])
    else:
        least = {"typeWebhook": body["typeWebhook"], **LEAST_NOTIFICATION[body["typeWebhook"]]}
    return [path for path in paths(least) if has(body, path)]


def test_the_tables_name_every_type() -> None:
    assert set(LEAST_MESSAGE) == schemas.message_types()
    assert {*LEAST_NOTIFICATION, *MESSAGE_NOTIFICATIONS} == schemas.notification_types()
    assert all(VALIDATOR.knows(type_) for type_ in schemas.notification_types())


@pytest.mark.parametrize("name", samples.names())
def test_every_sample_is_valid(name: str) -> None:
    assert VALIDATOR.problems(sample(name)) == []


@pytest.mark.parametrize("body", least_bodies(), ids=name_of)
def test_nothing_is_required_beyond_what_is_guaranteed(body: JsonObject) -> None:
    assert VALIDATOR.problems(body) == []


@pytest.mark.parametrize("body", least_bodies(), ids=name_of)
def test_a_guaranteed_field_that_is_missing_is_named(body: JsonObject) -> None:
    assert_missing_fields_are_named(body)


@pytest.mark.parametrize("body", least_bodies(), ids=name_of)
def test_a_guaranteed_field_of_another_type_is_named(body: JsonObject) -> None:
    assert_mistyped_fields_are_named(body)


@pytest.mark.parametrize("name", samples.names())
def test_a_guaranteed_field_that_a_sample_lost_is_named(name: str) -> None:
    assert_missing_fields_are_named(sample(name))


@pytest.mark.parametrize("name", samples.names())
def test_a_guaranteed_field_that_is_mistyped_in_a_sample_is_named(name: str) -> None:
    assert_mistyped_fields_are_named(sample(name))


def assert_missing_fields_are_named(body: JsonObject) -> None:
    fields = [path for path in guaranteed(body) if isinstance(path[-1], str)]
    assert fields
    for path in fields:
        problems = VALIDATOR.problems(without(body, path))
        assert [(problem.path, problem.rule) for problem in problems] == [(told(path), "required")]


def assert_mistyped_fields_are_named(body: JsonObject) -> None:
    for path in guaranteed(body):
        wrong: Any = True if isinstance(holder(body, path)[path[-1]], str) else "text"
        problems = VALIDATOR.problems(with_value(body, path, wrong))
        found = "boolean" if wrong is True else "string"
        assert [(problem.path, problem.rule) for problem in problems] == [(told(path), "type")]
        assert problems[0].message.endswith(f", found {found}")


TEXT = message("textMessage", textMessageData={"textMessage": "Hi"}) | {"instanceData": {"idInstance": 1}}

MISTYPED: list[tuple[JsonObject, Keys, Any, str]] = [
    (TEXT, ("senderData", "chatId"), 79001234567, "expected string, found integer"),
    (TEXT, ("senderData", "chatId"), None, "expected string, found null"),
    (TEXT, ("senderData", "sender"), {}, "expected string, found object"),
    (TEXT, ("senderData", "senderName"), 7, "expected string or null, found integer"),
    (TEXT, ("senderData", "senderPhoneNumber"), "79001234567", "expected integer, found string"),
    (TEXT, ("senderData",), None, "expected object, found null"),
    (TEXT, ("messageData",), [], "expected object, found array"),
    (TEXT, ("idMessage",), 115054445839974415, "expected string, found integer"),
    (TEXT, ("timestamp",), "1588091580", "expected integer, found string"),
    (TEXT, ("timestamp",), 1588091580.5, "expected integer, found number"),
    (TEXT, ("timestamp",), True, "expected integer, found boolean"),
    (TEXT, ("instanceData",), "1101000001", "expected object, found string"),
    (TEXT, ("instanceData", "idInstance"), "1101000001", "expected integer, found string"),
    (TEXT, ("messageData", "quotedMessage"), "BAE5", "expected object, found string"),
    (TEXT, ("quotedMessage",), "BAE5", "expected object, found string"),
    (TEXT, ("messageData", "textMessageData", "isForwarded"), 1, "expected boolean, found integer"),
    ({"typeWebhook": "outgoingMessageStatus", "idMessage": "x", "status": "y"}, ("sendByApi",), "yes",
     "expected boolean, found string"),
    ({"typeWebhook": "quotaExceeded", "quotaData": {}}, ("quotaData", "used"), 0.5,
     "expected integer or string, found number"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "value", "reason"), MISTYPED)
def test_an_optional_field_of_another_type_is_named(
    body: JsonObject, path: Keys, value: Any, reason: str
) -> None:
    assert VALIDATOR.problems(with_value(body, path, value)) == [Problem(told(path), "type", reason)]


IN_VARIANTS: list[tuple[JsonObject, str]] = [
    (message("editedMessage", editedMessageData={}), "$.messageData.editedMessageData.textMessage"),
    (message("stickerMessage", stickerMessageData={}), "$.messageData.stickerMessageData.downloadUrl"),
    (message("pollMessage", pollCreationMessage={}), "$.messageData.pollCreationMessage.name"),
    (message("interactiveButtonsReply", interactiveButtons={}), "$.messageData.interactiveButtons.buttons"),
    (message("contactsArrayMessage", contacts=[{}]), "$.messageData.contacts[0].vcard"),
    (
        message("templateButtonReplyMessage", templateButtonsReplyMessage={}),
        "$.messageData.templateButtonsReplyMessage.selectedDisplayText",
    ),
    ({"typeWebhook": "deviceInfo"}, "$.deviceData"),
    ({**TEXT, "instanceData": {"wid": ""}}, "$.instanceData.idInstance"),
]


@pytest.mark.parametrize(("body", "path"), IN_VARIANTS)
def test_what_a_variant_of_a_shape_lacks_is_named(body: JsonObject, path: str) -> None:
    assert VALIDATOR.problems(body) == [Problem(path, "required", "expected a value, found nothing")]


def extended_text(**fields: Any) -> JsonObject:
    return message("extendedTextMessage", extendedTextMessageData={"text": "x", **fields})


def invitation(**fields: Any) -> JsonObject:
    return message(
        "groupInviteMessage", groupInviteMessageData={"groupJid": "x", "inviteCode": "x", **fields}
    )


def notification(type_: str, **fields: Any) -> JsonObject:
    return {"typeWebhook": type_, **fields}


#: Documented or reported ways in which bodies differ from their page; none may be refused.
DEVIATIONS: dict[str, JsonObject] = {
    "no sender": sample("outgoingMessageReceived/wa-missing-sender-and-wid.json"),
    "empty sender": with_value(TEXT, ("senderData",), {"chatId": "79001234567@c.us", "sender": ""}),
    "names that are null": with_value(TEXT, ("senderData",), {"chatName": None, "senderContactName": None}),
    "chat without a phone number": with_value(TEXT, ("senderData",), {"chatId": "98765432101234@lid"}),
    "no instanceData": without(TEXT, ("instanceData",)),
    "empty wid": with_value(TEXT, ("instanceData",), {"idInstance": 1, "wid": ""}),
    "no wid": with_value(TEXT, ("instanceData",), {"idInstance": 1, "typeInstance": "telegram"}),
    "instance of 12 digits": with_value(TEXT, ("instanceData",), {"idInstance": 710312345678}),
    "timestamp in ms": with_value(TEXT, ("timestamp",), 1588091580123),
    "timestamp in us": with_value(TEXT, ("timestamp",), 1588091580123456),
    "id of 21 digits": with_value(TEXT, ("idMessage",), "115054445839974415123"),
    "hidden phone number": with_value(TEXT, ("senderData",), {"senderPhoneNumber": 0}),
    "text that was not decrypted": message("textMessage", textMessageData={"textMessage": "{{SWE001}}"}),
    "empty text": message("textMessage", textMessageData={"textMessage": ""}),
    "file over 100 MB": message("documentMessage", fileMessageData={"downloadUrl": "{{SWE002}}"}),
    "file without address": message("videoMessage", fileMessageData={"downloadUrl": "", "fileSize": "1024"}),
    "reaction taken back": message("reactionMessage", extendedTextMessageData={"text": ""}),
    "no thumbnail": extended_text(jpegThumbnail=None),
    "sticker by its other key": message("stickerMessage", stickerMessageData={"downloadUrl": ""}),
    "old poll": message("pollMessage", pollCreationMessage={"name": "?", "selectableOptionsCount": 1}),
    "old contacts": message("ContactsArrayMessage", contacts=[{"displayName": "", "vcard": ""}]),
    "new contacts, flat": message("contactsArrayMessage", contacts=[]),
    "quote at the top level": sample("incomingMessageReceived/docs-contact-2.json"),
    "quote without anything": message(
        "textMessage", textMessageData={"textMessage": "x"}, quotedMessage={"extendedTextMessage": {}}
    ),
    "row as an object": message(
        "listResponseMessage", listResponseMessage={"singleSelectReply": {"selectedRowId": "1"}}
    ),
    "list type as a string": message(
        "listResponseMessage", listResponseMessage={"singleSelectReply": "1", "listType": "1"}
    ),
    "index as a string": message(
        "templateButtonsReplyMessage",
        templateButtonReplyMessage={"selectedIndex": "2", "selectedId": "", "selectedDisplayText": "red"},
    ),
    "buttons under the other key": message("interactiveButtonsReply", interactiveButtons={"buttons": []}),
    "other names for what was pressed": message(
        "interactiveButtonsResponse", interactiveButtonsResponse={"selectedButtonId": "1"}
    ),
    "new caption": message("editedMessage", editedMessageData={"caption": "x", "stanzaId": "BAE5"}),
    "expiration as a string": invitation(inviteExpiration="0"),
    "expiration as an object": invitation(inviteExpiration={"low": 1, "high": 0}),
    "expiration as an integer": invitation(inviteExpiration=0),
    "status that no page names": notification("outgoingMessageStatus", idMessage="x", status="melted"),
    "status without a chat": sample("outgoingMessageStatus/docs-noAccount-1.json"),
    "state that no page names": notification("stateInstanceChanged", stateInstance="melted"),
    "call without a status": sample("incomingCall/docs-event-1.json"),
    "quota in strings": notification("quotaExceeded", quotaData={"used": "3", "total": "3"}),
    "block by a number": notification("incomingBlock", chatId=79001234567, chatState="blocked"),
    "avatar under the name of deviceInfo": notification(
        "deviceInfo", avatarInfo={"chatId": "79001234567@c.us", "existsWhatsapp": True, "urlAvatar": ""}
    ),
    "fields that no page names": {
        **message("textMessage", textMessageData={"textMessage": "x", "new": []}, new=1),
        "senderData": {"new": None},
        "new": {"a": 1},
    },
}


@pytest.mark.parametrize("body", DEVIATIONS.values(), ids=DEVIATIONS.keys())
def test_a_known_deviation_is_valid(body: JsonObject) -> None:
    assert VALIDATOR.problems(body) == []


def leaves(least: JsonObject) -> set[str]:
    every = list(paths(least))
    ends = [path for path in every if not any(longer[:-1] == path for longer in every)]
    return {told(path).removeprefix("$.").replace("[0]", "[]") for path in ends}


@pytest.mark.parametrize(("name", "least"), {**LEAST_MESSAGE, **LEAST_NOTIFICATION}.items())
def test_the_reference_page_tells_what_is_guaranteed(name: str, least: JsonObject) -> None:
    page = Path(__file__).parent.parent / "docs" / "reference" / "schemas.md"
    row = re.search(rf"^\| `{name}` \| (.*) \|$", page.read_text("utf-8"), flags=re.MULTILINE)
    assert row, f"no row for {name}"
    assert set(re.findall(r"`([^`]+)`", row[1].split(", or ")[0])) == leaves(least)


def test_a_message_of_an_unknown_type_is_valid_whatever_it_holds() -> None:
    assert VALIDATOR.problems(message("productMessage", textMessageData=5, productMessageData=[])) == []


def test_a_message_of_an_unknown_type_must_still_have_a_sound_envelope() -> None:
    body = with_value(message("productMessage"), ("senderData",), {"chatId": 5})
    assert VALIDATOR.problems(body) == [
        Problem("$.senderData.chatId", "type", "expected string, found integer")
    ]


def test_a_notification_of_an_unknown_type_has_no_problems() -> None:
    assert not VALIDATOR.knows("incomingHologram")
    assert VALIDATOR.problems({"typeWebhook": "incomingHologram", "senderData": 5}) == []


def test_a_notification_without_a_type_has_one_problem() -> None:
    expected = Problem("$.typeWebhook", "required", "expected string, found nothing")
    assert VALIDATOR.problems({"messageData": 5}) == [expected]


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, "null"), (5, "integer"), (0.5, "number"), (True, "boolean"), ([], "array"), ({}, "object")],
)
def test_a_type_that_is_no_string_is_the_one_problem(value: Any, found: str) -> None:
    expected = Problem("$.typeWebhook", "type", f"expected string, found {found}")
    assert VALIDATOR.problems({"typeWebhook": value}) == [expected]


def test_all_problems_are_told_at_once() -> None:
    body = {
        **message("locationMessage", locationMessageData={}),
        "senderData": {"sender": 5},
        "timestamp": "",
    }
    assert sorted((problem.path, problem.rule) for problem in VALIDATOR.problems(body)) == [
        ("$.messageData.locationMessageData.latitude", "required"),
        ("$.messageData.locationMessageData.longitude", "required"),
        ("$.senderData.sender", "type"),
        ("$.timestamp", "type"),
    ]


def test_ten_thousand_wrong_items_are_told_in_twenty_problems() -> None:
    body = message("contactsArrayMessage", messageData={"contacts": [5] * 10_000})
    problems = VALIDATOR.problems(body)
    assert len(problems) == 20
    assert problems[19].path == "$.messageData.messageData.contacts[19]"


def test_a_problem_never_quotes_the_value() -> None:
    private = {"79001234567": "79001234567", "list": [79001234567, "79001234567"]}
    for name in samples.names():
        body = sample(name)
        for path in paths(body):
            problems = VALIDATOR.problems(with_value(body, path, private))
            assert "79001234567" not in repr(problems)


def deep(levels: int, *, lists: bool = False) -> Any:
    node: Any = None
    for _ in range(levels):
        node = [node] if lists else {"x": node}
    return node


#: JSON values that make one engine or the other raise, or Python's own repr.
ODD: dict[str, Callable[[], Any]] = {
    "65 bits": lambda: 1 << 64,
    "-65 bits": lambda: -(1 << 64),
    "5,000 digits": lambda: 10**5000,
    "-5,000 digits": lambda: -(10**5000),
    "NaN": lambda: math.nan,
    "Infinity": lambda: math.inf,
    "-Infinity": lambda: -math.inf,
    "largest float": lambda: 1.7e308,
    "half a surrogate pair": lambda: ["\ud83d"],
    "half a surrogate pair in a key": lambda: {"\ud83d": "\udc4d"},
    "NUL": lambda: {"\0": ["\0"]},
    "100,000 objects deep": lambda: deep(100_000),
    "100,000 arrays deep": lambda: deep(100_000, lists=True),
    "long text": lambda: ["x" * 1_000_000],
    "many items": lambda: [0] * 100_000,
    "many keys": lambda: {str(key): key for key in range(100_000)},
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_an_odd_value_in_a_field_that_nobody_knows_is_valid(make: Callable[[], Any]) -> None:
    value = make()
    body = message(
        "textMessage", textMessageData={"textMessage": "Hi", "x": value}, quotedMessage={"x": value}
    )
    assert VALIDATOR.problems({**body, "x": value}) == []


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_an_odd_value_where_a_text_belongs_is_one_problem(make: Callable[[], Any]) -> None:
    value = make()
    found = {dict: "object", list: "array", int: "integer", float: "number"}[type(value)]
    expected = Problem("$.senderData.chatId", "type", f"expected string, found {found}")
    assert VALIDATOR.problems({**TEXT, "senderData": {"chatId": value}}) == [expected]


@pytest.mark.parametrize("text", ["\ud83d", "a\udc4d", "\0"])
def test_a_text_that_cannot_be_encoded_is_a_text(text: str) -> None:
    assert VALIDATOR.problems(message("textMessage", textMessageData={"textMessage": text})) == []
    assert VALIDATOR.problems(message(text)) == []
    assert VALIDATOR.problems({"typeWebhook": text}) == []


def test_a_huge_integer_is_an_integer_and_infinity_is_none() -> None:
    assert VALIDATOR.problems({**TEXT, "timestamp": 10**5000}) == []
    for number in (math.nan, math.inf):
        expected = Problem("$.timestamp", "type", "expected integer, found number")
        assert VALIDATOR.problems({**TEXT, "timestamp": number}) == [expected]


def test_a_problem_beside_a_key_that_one_engine_cannot_read_is_found() -> None:
    body = {"\ud83d": 1, **TEXT, "timestamp": "yesterday"}
    assert VALIDATOR.problems(body) == [Problem("$.timestamp", "type", "expected integer, found string")]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.sampled_from(least_bodies()),
    st.dictionaries(
        st.sampled_from(["typeWebhook", "instanceData", "senderData", "messageData", "x"]), JSON_VALUES
    ),
    st.dictionaries(
        st.sampled_from(["typeMessage", "textMessageData", "quotedMessage", "messageData"]), JSON_VALUES
    ),
)
def test_whatever_json_comes_nothing_is_raised(body: JsonObject, top: JsonObject, inner: JsonObject) -> None:
    messageless = {**body, **top}
    nested = {**body, "messageData": {**body.get("messageData", {}), **inner}}
    for data in (messageless, nested):
        assert all(isinstance(problem, Problem) for problem in VALIDATOR.problems(data))


def mutate(body: JsonObject, dice: random.Random) -> JsonObject:
    """Change one place of a body: remove, retype, empty, nest, swap, enlarge or add."""
    changed = copy.deepcopy(body)
    path, other = (dice.choice(list(paths(changed))) for _ in range(2))
    parent, key = holder(changed, path), path[-1]
    value = parent[key]
    match dice.randrange(7):
        case 0:
            del parent[key]
        case 1:
            parent[key] = dice.choice(["", "text", 0, 7, -1.5, 3.0, True, [], {}, [value], {"x": value}])
        case 2:
            parent[key] = None
        case 3:
            parent[key] = {"x": value} if dice.random() < 0.5 else [value]
        case 4:
            parent[key] = copy.deepcopy(holder(changed, other)[other[-1]])
        case 5:
            parent[key] = dice.choice([1 << 70, -(1 << 70), 1e300, "x" * 5_000, deep(50)])
        case _:
            changed[f"new{dice.randrange(9)}"] = value
    return changed


def mutations(count: int) -> Iterator[JsonObject]:
    dice = random.Random(20260101)
    bodies = [sample(name) for name in samples.names()] + least_bodies()
    while count:
        body = mutate(dice.choice(bodies), dice)
        if body and dice.random() < 0.5:
            body = mutate(body, dice)
        if str(body.get("typeWebhook")) in schemas.notification_types():
            count -= 1
            yield body


def test_both_engines_and_the_validator_agree_on_thousands_of_mutations() -> None:
    """The explaining engine must refuse what the deciding one refuses, else nothing could be explained."""
    engines = {
        type_: (jsonschema_rs.Draft202012Validator(schema), jsonschema.Draft202012Validator(schema))
        for type_, schema in ((type_, schemas.get(type_)) for type_ in schemas.notification_types())
    }
    verdicts: Counter[tuple[bool, bool, bool]] = Counter()
    for body in mutations(6_000):
        fast, slow = engines[body["typeWebhook"]]
        verdicts[fast.is_valid(body), slow.is_valid(body), VALIDATOR.problems(body) == []] += 1
    assert set(verdicts) == {(True, True, True), (False, False, False)}
    assert min(verdicts.values()) > 1_500, "the mutations must give both kinds, or they prove nothing"


TEXT_OR_OBJECT: JsonObject = {
    "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["b"]}]}},
}


def test_a_schema_that_a_plugin_adds_is_applied() -> None:
    validator = Validator({"incomingHologram": {"required": ["image"]}})
    assert validator.knows("incomingHologram")
    assert [problem.path for problem in validator.problems({"typeWebhook": "incomingHologram"})] == [
        "$.image"
    ]
    assert validator.problems({"typeWebhook": "incomingHologram", "image": ""}) == []


def test_a_schema_that_a_plugin_corrects_replaces_the_shipped_one() -> None:
    validator = Validator({"incomingMessageReceived": {"type": "object"}})
    assert validator.problems({"typeWebhook": "incomingMessageReceived", "messageData": 5}) == []


def test_of_several_branches_the_one_that_nearly_fits_explains() -> None:
    validator = Validator({"x": TEXT_OR_OBJECT})
    problems = validator.problems({"typeWebhook": "x", "a": {}})
    assert problems == [Problem("$.a.b", "required", "expected a value, found nothing")]


@pytest.mark.parametrize(
    ("schema", "path", "rule"),
    [
        ({"properties": {"a": {"enum": ["one"]}}}, "$.a", "enum"),
        ({"properties": {"a": {"maxLength": 1}}}, "$.a", "maxLength"),
        ({"properties": {"a b": {"enum": ["one"]}}}, "$['a b']", "enum"),
        # jsonschema does not say where a schema that allows nothing was met.
        ({"properties": {"a": False}}, "$", "false"),
    ],
)
def test_any_rule_of_a_plugin_is_named_without_the_value(schema: JsonObject, path: str, rule: str) -> None:
    data = {"typeWebhook": "x", "a": "secret", "a b": "secret"}
    expected = Problem(path, rule, f"found string that breaks the rule {rule!r}")
    assert Validator({"x": schema}).problems(data) == [expected]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("https://example.com/schema.json", "Retrieval is disabled"),
        ("urn:other", "Retrieval is disabled"),
        ("#/$defs/missing", "does not exist"),
    ],
)
def test_a_schema_that_refers_to_something_outside_itself_is_refused_at_once(
    reference: str, reason: str
) -> None:
    with pytest.raises(jsonschema_rs.ValidationError, match=reason):
        Validator({"x": {"$ref": reference}})


def test_a_huge_integer_keeps_its_sign() -> None:
    validator = Validator({"x": {"properties": {"a": {"minimum": 0}}}})
    assert validator.problems({"typeWebhook": "x", "a": 1 << 70}) == []
    assert [problem.path for problem in validator.problems({"typeWebhook": "x", "a": -1 << 70})] == ["$.a"]


def test_a_schema_that_refers_to_itself_follows_what_a_parser_lets_through() -> None:
    validator = Validator({"x": {"properties": {"x": {"type": ["object", "null"], "$ref": "#"}}}})
    assert validator.problems({"typeWebhook": "x", "x": deep(1_024)}) == []
    assert validator.problems({"typeWebhook": "x", "x": {"x": {"x": 5}}}) == [
        Problem("$.x.x.x", "type", "expected object or null, found integer")
    ]
