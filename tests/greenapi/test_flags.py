from __future__ import annotations

from typing import Any

import pytest

from router.events import JsonObject
from router.greenapi.flags import MESSAGE_FLAGS, TYPE_FLAGS, needs
from router.schemas import notification_types
from tests.test_routing import route

SHOP: JsonObject = {"idInstance": 7, "typeInstance": "whatsapp"}
EXTRA = ("pollMessageWebhook", "editedMessageWebhook", "deletedMessageWebhook")

TYPES = {
    "incomingMessageReceived": {"incomingWebhook"},
    "outgoingMessageReceived": {"outgoingMessageWebhook"},
    "outgoingAPIMessageReceived": {"outgoingAPIMessageWebhook"},
    "outgoingMessageStatus": {"outgoingWebhook"},
    "stateInstanceChanged": {"stateWebhook"},
    "incomingCall": {"incomingWebhook", "incomingCallWebhook"},
    "outgoingCall": {"outgoingCallWebhook"},
    "quotaExceeded": set(),
    "statusInstanceChanged": {"stateWebhook"},
    "deviceInfo": {"deviceWebhook"},
    "incomingBlock": {"incomingBlockWebhook"},
    "somethingNew": set(),
    "*": {
        "incomingWebhook",
        "outgoingMessageWebhook",
        "outgoingAPIMessageWebhook",
        "outgoingWebhook",
        "stateWebhook",
        "incomingCallWebhook",
    },
}


@pytest.mark.parametrize(("type_", "flags"), TYPES.items(), ids=TYPES.keys())
def test_a_type_needs_its_flags(type_: str, flags: set[str]) -> None:
    assert set(needs([route("r", type_)], SHOP).needed) == flags


def test_the_table_knows_every_type_of_the_catalogue_that_has_a_flag() -> None:
    assert notification_types() - set(TYPE_FLAGS) == {"quotaExceeded"}


def test_each_flag_has_the_routes_that_need_it() -> None:
    routes = [route("calls", "incomingCall"), route("all", "incomingMessageReceived", "incomingCall")]
    assert needs(routes, SHOP).needed == {
        "incomingWebhook": ("calls", "all"),
        "incomingCallWebhook": ("calls", "all"),
    }


WHEN: dict[str, tuple[JsonObject, set[str]]] = {
    "poll": ({"messageData": {"typeMessage": ["pollMessage"]}}, {"pollMessageWebhook"}),
    "vote": ({"messageData": {"typeMessage": "pollUpdateMessage"}}, {"pollMessageWebhook"}),
    "edit": ({"data": {"messageData": {"typeMessage": ["editedMessage"]}}}, {"editedMessageWebhook"}),
    "normalized": ({"message_type": ["deletedMessage", "textMessage"]}, {"deletedMessageWebhook"}),
    "or": (
        {"$or": [{"message_type": ["editedMessage"]}, {"messageData": {"typeMessage": ["deletedMessage"]}}]},
        {"editedMessageWebhook", "deletedMessageWebhook"},
    ),
    "others": ({"message_type": ["textMessage"]}, set()),
    "no typeMessage": ({"text": [{"prefix": "/"}]}, set()),
    "an operator": ({"message_type": [{"anything-but": "textMessage"}]}, set()),
}


@pytest.mark.parametrize(("when", "extra"), WHEN.values(), ids=WHEN.keys())
def test_a_kind_of_message_that_is_named_needs_its_flag(when: JsonObject, extra: set[str]) -> None:
    assert set(needs([route("r", "incomingMessageReceived", when=when)], SHOP).needed) == {
        "incomingWebhook",
        *extra,
    }


OPTIONAL: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "messages": ("incomingMessageReceived", None, EXTRA),
    "all types": ("*", None, EXTRA),
    "an echo": ("outgoingAPIMessageReceived", {"chat": ["1@c.us"]}, EXTRA),
    "named": ("incomingMessageReceived", {"message_type": ["textMessage"]}, ()),
    "no messages": ("incomingCall", None, ()),
}


@pytest.mark.parametrize(("type_", "when", "flags"), OPTIONAL.values(), ids=OPTIONAL.keys())
def test_a_route_that_names_no_kind_of_message_has_optional_flags(
    type_: str, when: JsonObject | None, flags: tuple[str, ...]
) -> None:
    assert needs([route("r", type_, when=when)], SHOP).optional == dict.fromkeys(flags, ("r",))
    assert set(MESSAGE_FLAGS.values()) == set(EXTRA)


def test_a_flag_that_one_route_needs_is_not_optional_for_another() -> None:
    edits = route("edits", "incomingMessageReceived", when={"message_type": ["editedMessage"]})
    found = needs([route("all", "incomingMessageReceived"), edits], SHOP)
    assert found.needed["editedMessageWebhook"] == ("edits",)
    assert set(found.optional) == set(EXTRA) - {"editedMessageWebhook"}


ELSEWHERE: dict[str, tuple[JsonObject, JsonObject, bool]] = {
    "this instance": ({"instance": [7]}, SHOP, True),
    "another instance": ({"instance": [8]}, SHOP, False),
    "not another instance": ({"instance": [{"anything-but": 8}]}, SHOP, True),
    "this messenger": ({"messenger": ["whatsapp"]}, SHOP, True),
    "another messenger": ({"messenger": ["max"]}, SHOP, False),
    "a messenger nobody knows": ({"messenger": ["max"]}, {"idInstance": 7}, True),
    "another messenger here": ({"instance": [7], "messenger": ["telegram"]}, SHOP, False),
}


@pytest.mark.parametrize(("when", "instance_data", "wanted"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_route_for_other_instances_needs_nothing_of_this_one(
    when: JsonObject, instance_data: JsonObject, wanted: bool
) -> None:
    found = needs([route("r", "stateInstanceChanged", when=when)], instance_data)
    assert found.needed == ({"stateWebhook": ("r",)} if wanted else {})
