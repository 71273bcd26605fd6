"""What an instance remembers of its messages: the records of ``lastIncomingMessages`` and its like."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from router.events import JsonObject, Problem
from router.jsontext import parse

#: Messages that are remembered.
_KEPT = 1_000
_KINDS = {
    "incomingMessageReceived": "incoming",
    "outgoingMessageReceived": "outgoing",
    "outgoingAPIMessageReceived": "outgoing",
}
#: Where the data of a message is → where a record has it; ``None``: its fields stand in the record itself.
_PLACES: dict[str, str | None] = {
    "textMessageData": None,
    "fileMessageData": None,
    "locationMessageData": "location",
    "contactMessageData": "contact",
}


class Journal:
    """The latest notifications, and the records made of those that tell of a message."""

    def __init__(self) -> None:
        self._bodies: deque[bytes] = deque(maxlen=_KEPT)

    def note(self, body: bytes) -> None:
        """Remember a notification."""
        self._bodies.append(body)

    def messages(self) -> Iterator[tuple[JsonObject, JsonObject]]:
        """Yield the record of each message and its ``messageData``, newest first."""
        statuses: dict[str, str] = {}
        for raw in reversed(self._bodies):
            body = parse(raw)
            if isinstance(body, Problem):
                continue
            if body.get("typeWebhook") == "outgoingMessageStatus":
                statuses.setdefault(str(body.get("idMessage")), str(body.get("status")))
            elif str(body.get("typeWebhook")) in _KINDS:
                yield _record(body, statuses), _dict(body.get("messageData"))

    def records(self) -> Iterator[JsonObject]:
        """Yield the record of each message, newest first."""
        return (record for record, _ in self.messages())


def _record(body: JsonObject, statuses: dict[str, str]) -> JsonObject:
    kind = _KINDS[body["typeWebhook"]]
    people = _dict(body.get("senderData"))
    record = {
        "type": kind,
        "idMessage": body.get("idMessage"),
        "timestamp": _seconds(body.get("timestamp")),
        "typeMessage": _dict(body.get("messageData")).get("typeMessage"),
        "chatId": people.get("chatId"),
        **_flat(_dict(body.get("messageData"))),
    }
    if kind == "incoming":
        return record | {
            "senderId": people.get("sender"),
            "senderName": people.get("senderName", ""),
            "senderContactName": people.get("senderContactName", ""),
        }
    by_api = body["typeWebhook"] == "outgoingAPIMessageReceived"
    return record | {
        "statusMessage": statuses.get(str(body.get("idMessage")), "pending"),
        "sendByApi": by_api,
    }


def _flat(data: JsonObject) -> JsonObject:
    """Return the data of a message as a record has it."""
    flat: JsonObject = {}
    for place, value in data.items():
        if place == "extendedTextMessageData":
            flat |= {"textMessage": _dict(value).get("text"), "extendedTextMessage": value}
        elif place != "typeMessage":
            whole = _PLACES.get(place, place)
            flat |= _dict(value) if whole is None else {whole: value}
    return flat


def _seconds(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _dict(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
