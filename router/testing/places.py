"""Where a body has what becomes a field of its event: what `router.normalize` reads, written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.events import JsonObject
from router.normalize import MESSENGERS, TEXT_PLACES

Path = tuple[str, ...]

_EVERY: dict[str, Path] = {
    "instance": ("instanceData", "idInstance"),
    "messenger": ("instanceData", "typeInstance"),
    "timestamp": ("timestamp",),
}
_ID: dict[str, Path] = {"id_message": ("idMessage",)}
#: Of a message, and of a type of one's own, which is read as a message is.
OF_MESSAGE: dict[str, Path] = {
    **_EVERY,
    **_ID,
    "chat": ("senderData", "chatId"),
    "sender": ("senderData", "sender"),
    "sender_name": ("senderData", "senderName"),
    "message_type": ("messageData", "typeMessage"),
    "text": ("messageData",),  # where in it, the kind of message says
}
BY_TYPE: dict[str, dict[str, Path]] = {
    "incomingMessageReceived": OF_MESSAGE,
    "outgoingMessageReceived": OF_MESSAGE,
    "outgoingAPIMessageReceived": OF_MESSAGE,
    "outgoingMessageStatus": {**_EVERY, **_ID, "chat": ("chatId",)},
    "incomingCall": {**_EVERY, **_ID, "chat": ("from",), "sender": ("from",)},
    "outgoingCall": {**_EVERY, **_ID, "chat": ("from",), "sender": ("instanceData", "wid")},
    "incomingBlock": {**_EVERY, "chat": ("chatId",)},
    "stateInstanceChanged": _EVERY,
    "statusInstanceChanged": _EVERY,
    "deviceInfo": _EVERY,
    "quotaExceeded": _EVERY,
}
_CODES = {messenger: code for code, messenger in MESSENGERS.items()}


def write(body: JsonObject, name: str, path: Path, value: Any) -> None:
    """Write what is to become a field of the event; ``None`` removes it."""
    if name == "text":
        _write_text(body, value)
    else:
        _put(body, path, _CODES.get(value, value) if name == "messenger" else value)


def merge(body: JsonObject, data: Mapping[str, Any]) -> None:
    """Write ``data`` over the body: objects key by key, anything else as a whole."""
    for key, value in data.items():
        if isinstance(value, Mapping) and isinstance(body.get(key), dict):
            merge(body[key], value)
        else:
            body[key] = value


def _put(body: JsonObject, path: Path, value: Any) -> None:
    *outer, last = path
    for key in outer:
        body = body.setdefault(key, {})
    if value is None:
        body.pop(last, None)
    else:
        body[last] = value


def _write_text(body: JsonObject, text: str | None) -> None:
    """Put a text to where this kind of message has it, in place of the one that is read now."""
    message = body.setdefault("messageData", {"typeMessage": "textMessage"})
    places = TEXT_PLACES.get(message.get("typeMessage"), ())
    if text is None:
        for place in places:
            _put(message, place, None)
    elif places:
        held = (place for place in places if message.get(place[0], {}).get(place[1]))
        _put(message, next(held, places[0]), text)
