from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from router_autoreply.said import FIELDS, hear

from router import Event
from router.testing import make_event


def event(sample: str, **about: Any) -> Event:
    return make_event(sample=f"incomingMessageReceived/{sample}.json", data={"senderData": about})


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        ("wa-text-waba", "I use GREEN-API to send this message to you!"),
        ("tg-text-user", "Привет, как дела?"),
        ("wa-buttons-response", "Green"),
        ("wa-list-response", "Option 2"),
        ("wa-template-button-reply-singular", "red"),
        ("composed-wa-interactive-buttons-response", "Barre"),
        ("wa-poll-update", "Green"),
        ("docs-image-1", "Image"),
        ("wa-reaction", None),
        ("wa-edited-text", None),
        ("composed-wa-deleted", None),
        ("wa-poll", None),
        ("wa-sticker", None),
        ("wa-contacts-array", None),
        ("docs-buttons-1", None),
        ("docs-listMessage-repaired", None),
        ("docs-location-1", None),
        ("max-group-text", None),
        ("wa-poll-update-group", None),
    ],
)
def test_what_a_person_wrote_or_picked_is_heard(sample: str, text: str | None) -> None:
    said = hear(event(sample), groups=False)

    assert (said.text if said else None) == text


@pytest.mark.parametrize(
    "chat", ["120363043968066561@g.us", "79001234567-1581234048@g.us", "-10000000000000"]
)
def test_groups_are_heard_if_they_are_to_be(chat: str) -> None:
    in_group = event("wa-text-waba", chatId=chat)

    assert hear(in_group, groups=False) is None
    assert hear(in_group, groups=True) is not None


@pytest.mark.parametrize(
    "about",
    [
        {"chatType": "channel"},
        {"senderType": "bot"},
        {"senderType": "channel"},
        {"chatId": "status@broadcast"},
        {"chatId": "120363043968066561@newsletter"},
        {"chatId": None},
    ],
    ids=str,
)
def test_who_is_no_person_is_not_heard(about: dict[str, Any]) -> None:
    assert hear(event("tg-text-user", **about), groups=True) is None


@pytest.mark.parametrize("type_", ["outgoingMessageReceived", "outgoingAPIMessageReceived", "incomingCall"])
def test_only_incoming_messages_are_heard(type_: str) -> None:
    assert hear(make_event(type_), groups=True) is None


@pytest.mark.parametrize(
    "votes",
    [
        [],
        None,
        "x",
        [1],
        [{}],
        [{"optionName": "A", "optionVoters": []}],
        [{"optionName": "A", "optionVoters": ["1"]}, {"optionName": "B", "optionVoters": ["1"]}],
        [{"optionName": 1, "optionVoters": ["1"]}],
    ],
    ids=str,
)
def test_a_vote_for_none_or_several_is_nothing(votes: Any) -> None:
    vote = event("wa-poll-update")
    vote.data["messageData"]["pollMessageData"]["votes"] = votes

    assert hear(vote, groups=True) is None


def test_values_are_those_of_the_event() -> None:
    said = hear(event("wa-poll-update", senderName=""), groups=False)

    assert said is not None
    assert said.is_vote
    assert {f"event.{name}" for name in FIELDS} - said.values.keys() == {"event.sender_name"}
    assert (said.values["event.text"], said.values["event.instance"]) == ("Green", "1101000001")


def test_a_text_is_bounded() -> None:
    long = replace(make_event(), text="  " + "x" * 100_000)
    said = hear(long, groups=False)

    assert said is not None
    assert said.text == "x" * 20_000
