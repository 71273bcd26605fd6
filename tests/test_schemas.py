from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from router import schemas
from router.errors import NotFound
from router.events import JsonObject

#: https://green-api.com/en/docs/api/receiving/notifications-format/type-webhook, and outgoingCall,
#: which that list forgets.
NOTIFICATIONS = [
    "incomingMessageReceived",
    "outgoingMessageReceived",
    "outgoingAPIMessageReceived",
    "outgoingMessageStatus",
    "stateInstanceChanged",
    "statusInstanceChanged",
    "incomingCall",
    "outgoingCall",
    "quotaExceeded",
    "deviceInfo",
    "incomingBlock",
]

MESSAGES = [
    "textMessage",
    "extendedTextMessage",
    "quotedMessage",
    "reactionMessage",
    "imageMessage",
    "videoMessage",
    "documentMessage",
    "audioMessage",
    "stickerMessage",
    "locationMessage",
    "contactMessage",
    "contactsArrayMessage",
    "ContactsArrayMessage",
    "pollMessage",
    "pollUpdateMessage",
    "buttonsMessage",
    "listMessage",
    "templateMessage",
    "buttonsResponseMessage",
    "templateButtonsReplyMessage",
    "templateButtonReplyMessage",
    "listResponseMessage",
    "interactiveButtons",
    "interactiveButtonsReply",
    "interactiveButtonsResponse",
    "groupInviteMessage",
    "editedMessage",
    "deletedMessage",
]


def shipped_files() -> dict[str, JsonObject]:
    root = files("router.schemas")
    found = {"common": json.loads(root.joinpath("common.json").read_text("utf-8"))}
    for folder in ("notifications", "messages"):
        for file in root.joinpath(folder).iterdir():
            found[f"{folder}/{file.name.removesuffix('.json')}"] = json.loads(file.read_text("utf-8"))
    return found


FILES = shipped_files()


def values_of(node: Any, keyword: str) -> Iterator[Any]:
    if isinstance(node, dict):
        if keyword in node:
            yield node[keyword]
        for item in node.values():
            yield from values_of(item, keyword)
    elif isinstance(node, list):
        for item in node:
            yield from values_of(item, keyword)


def test_every_documented_type_has_a_schema_and_no_other() -> None:
    assert schemas.notification_types() == set(NOTIFICATIONS)
    assert schemas.message_types() == set(MESSAGES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_a_valid_schema_that_tells_what_it_describes_and_whose_page_it_follows(name: str) -> None:
    schema = FILES[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].startswith("urn:green-event-router:")
    assert all(schema[keyword].strip() for keyword in ("title", "description", "$comment"))


@pytest.mark.parametrize("name", [*NOTIFICATIONS, *MESSAGES])
def test_a_file_is_named_after_the_type_it_describes(name: str) -> None:
    schema = schemas.get(name)
    key = "typeWebhook" if name in NOTIFICATIONS else "typeMessage"
    assert schema["title"] == name
    assert schema["$id"].rpartition(":")[2] == name
    assert schema["properties"][key] == {"const": name}
    assert key in schema["required"]


def test_no_two_files_have_the_same_id() -> None:
    ids = [schema["$id"] for schema in FILES.values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", FILES)
def test_new_fields_and_new_values_are_never_refused(name: str) -> None:
    for closing in ("additionalProperties", "unevaluatedProperties", "maxProperties", "enum"):
        assert list(values_of(FILES[name], closing)) == []


@pytest.mark.parametrize("name", [*NOTIFICATIONS, *MESSAGES])
def test_a_schema_is_valid_and_complete_in_itself(name: str) -> None:
    schema = schemas.get(name)
    Draft202012Validator.check_schema(schema)
    named = {reference.removeprefix("#/$defs/") for reference in values_of(schema, "$ref")}
    assert named == set(schema["$defs"])
    assert list(values_of(schema["$defs"], "$id")) == []


@pytest.mark.parametrize(
    "name", [name for name in NOTIFICATIONS if "Message" in name and "Status" not in name]
)
def test_the_schema_of_a_message_notification_holds_that_of_every_message(name: str) -> None:
    definitions = schemas.get(name)["$defs"]
    assert {message: definitions[message]["title"] for message in MESSAGES} == {m: m for m in MESSAGES}


def test_every_common_definition_is_used() -> None:
    used = {
        reference.rpartition("/")[2] for schema in FILES.values() for reference in values_of(schema, "$ref")
    }
    assert used == set(FILES["common"]["$defs"])


def test_a_schema_may_be_changed_without_harm_to_the_next_reader() -> None:
    untouched = json.dumps(schemas.get("incomingMessageReceived"))
    changed = schemas.get("incomingMessageReceived")
    changed["$defs"]["messageData"]["allOf"].clear()
    changed["$defs"]["senderData"]["properties"].clear()
    changed["required"].clear()
    assert json.dumps(schemas.get("incomingMessageReceived")) == untouched


def test_a_name_that_nearly_fits_is_answered_with_the_right_one() -> None:
    with pytest.raises(NotFound, match=r"no schema is named 'textMesage'; did you mean 'textMessage'"):
        schemas.get("textMesage")


@pytest.mark.parametrize("name", ["", "zzz", "../common", "messages/textMessage"])
def test_only_types_have_a_schema(name: str) -> None:
    with pytest.raises(NotFound, match="no schema is named"):
        schemas.get(name)
