"""What a person has said in a chat, as far as it is to be answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router import Event
from router_autoreply.texts import LONGEST, folded

#: Kinds of messages whose text a person wrote or picked. No reactions, no edits, no cards.
_WRITTEN = {
    "textMessage",
    "extendedTextMessage",
    "quotedMessage",
    "imageMessage",
    "videoMessage",
    "documentMessage",
    "audioMessage",
    "buttonsResponseMessage",
    "templateButtonReplyMessage",
    "templateButtonsReplyMessage",
    "interactiveButtonsResponse",
    "listResponseMessage",
}
_VOTE = "pollUpdateMessage"

#: Fields of the event that a template may name.
FIELDS = (
    "chat",
    "id",
    "id_message",
    "instance",
    "message_type",
    "messenger",
    "sender",
    "sender_name",
    "text",
    "timestamp",
    "type",
)


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a person."""

    text: str
    #: The text as it is compared.
    folded: str
    #: Who said it; the chat's id where the sender is not known.
    person: str
    #: It is the option that was picked in a poll: no message of its own.
    is_vote: bool = False
    #: Values for templates, by ``event.NAME``.
    values: Mapping[str, str] = field(default_factory=dict)


def hear(event: Event, *, groups: bool) -> Said | None:
    """Return what was said, or ``None`` if it is nothing to answer.

    Args:
        event: Any event.
        groups: Whether what is said in groups counts.
    """
    if event.type != "incomingMessageReceived" or event.chat is None or not _is_of_a_person(event):
        return None
    if is_group(event.chat) and not groups:
        return None
    is_vote = event.message_type == _VOTE
    text = _picked(event) if is_vote else event.text if event.message_type in _WRITTEN else None
    text = (text or "").strip()[:LONGEST]
    return (
        Said(text, folded(text), event.sender or event.chat, is_vote, _values(event, text)) if text else None
    )


def is_group(chat: str) -> bool:
    """Return whether a chat has more than two in it."""
    return chat.endswith("@g.us") or chat.startswith("-")


def _is_of_a_person(event: Event) -> bool:
    """Return whether a person wrote it to people: no channel, no bot, no WhatsApp status."""
    about = event.data.get("senderData")
    about = about if isinstance(about, dict) else {}
    is_broadcast = str(event.chat).endswith(("@broadcast", "@newsletter"))
    return not is_broadcast and about.get("chatType") != "channel" and about.get("senderType") not in _NOBODY


_NOBODY = ("bot", "channel")


def _picked(event: Event) -> str | None:
    """Return the option that a vote is for, or ``None`` if it is for none or for several."""
    picked = [vote.get("optionName") for vote in _votes(event.data) if vote.get("optionVoters")]
    return picked[0] if len(picked) == 1 and isinstance(picked[0], str) else None


def _votes(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: Any = data
    for key in ("messageData", "pollMessageData", "votes"):
        found = found.get(key) if isinstance(found, dict) else None
    return [vote for vote in found if isinstance(vote, dict)] if isinstance(found, list) else []


def _values(event: Event, text: str) -> dict[str, str]:
    found = {name: getattr(event, name) for name in FIELDS}
    found["text"] = text
    return {f"event.{name}": str(value) for name, value in found.items() if value is not None}
