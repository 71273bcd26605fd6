"""A record of ``lastIncomingMessages`` → the notification that tells of the same message. Pure.

A record is flat and has less in it: no name of the chat, and of some kinds of messages not all fields.
Source: GREEN-API's documentation, page "LastIncomingMessages".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from router.events import JsonObject

#: What stands in ``source`` of a notification that was made of a record; real ones have no such key.
SOURCE: Final = "lastIncomingMessages"

_FORWARDING: Final = ("isForwarded", "forwardingScore")
_FILE: Final = (
    "downloadUrl",
    "caption",
    "fileName",
    "mimeType",
    "jpegThumbnail",
    "isAnimated",
    "videoNote",
    *_FORWARDING,
)
#: Key of ``senderData`` → that of a record.
_SENDER: Final = {
    "chatId": "chatId",
    "chatName": "chatName",
    "chatType": "chatType",
    "sender": "senderId",
    "senderName": "senderName",
    "senderContactName": "senderContactName",
    "senderType": "senderType",
    "senderPhoneNumber": "senderPhoneNumber",
}
#: An object of a record → its key in ``messageData``; others have the same key in both.
_RENAMED: Final = {
    "location": "locationMessageData",
    "contact": "contactMessageData",
    "extendedTextMessage": "extendedTextMessageData",
}


def notification(record: JsonObject, instance_data: JsonObject) -> JsonObject:
    """Return a notification with the dedup key of the real one, so that a late one is a duplicate of it.

    Args:
        record: One message, as GREEN-API's journal has it.
        instance_data: ``idInstance``, and ``wid`` and ``typeInstance`` where they are known.
    """
    return {
        "typeWebhook": "incomingMessageReceived",
        "instanceData": instance_data,
        **_some(record, "timestamp", "idMessage"),
        "senderData": _some(record, **_SENDER),
        "messageData": _message_data(record),
        "source": SOURCE,
    }


def _message_data(record: JsonObject) -> JsonObject:
    type_ = record.get("typeMessage")
    objects = {_RENAMED.get(key, key): value for key, value in record.items() if isinstance(value, dict)}
    shape = _SHAPES.get(type_) if isinstance(type_, str) else None
    return {"typeMessage": type_, **objects, **(shape(record) if shape else {})}


def _text(record: JsonObject) -> JsonObject:
    return {"textMessageData": _some(record, "textMessage", *_FORWARDING)}


def _file(record: JsonObject) -> JsonObject:
    return {"fileMessageData": _some(record, *_FILE)}


def _extended(record: JsonObject) -> JsonObject:
    """The text stands in the object or beside it."""
    inner: JsonObject = next((record[key] for key in _EXTENDED if isinstance(record.get(key), dict)), {})
    text = {"text": record["textMessage"]} if "textMessage" in record else {}
    return {"extendedTextMessageData": {**_some(record, *_FORWARDING), **text, **inner}}


_EXTENDED: Final = ("extendedTextMessage", "extendedTextMessageData")


def _contacts(record: JsonObject) -> JsonObject:
    return {"messageData": {"contacts": record["contacts"]}} if "contacts" in record else {}


def _edited(record: JsonObject) -> JsonObject:
    return {"editedMessageData": _some(record, "textMessage", "caption", stanzaId="editedMessageId")}


def _deleted(record: JsonObject) -> JsonObject:
    return {"deletedMessageData": _some(record, stanzaId="deletedMessageId")}


def _some(record: JsonObject, *same: str, **renamed: str) -> JsonObject:
    """Return what there is of some keys."""
    wanted: Mapping[str, str] = dict(zip(same, same, strict=True)) | renamed
    found: dict[str, Any] = {ours: record[theirs] for ours, theirs in wanted.items() if theirs in record}
    return found


_SHAPES: Final[Mapping[str, Callable[[JsonObject], JsonObject]]] = {
    "textMessage": _text,
    "imageMessage": _file,
    "videoMessage": _file,
    "documentMessage": _file,
    "audioMessage": _file,
    "stickerMessage": _file,
    "extendedTextMessage": _extended,
    "quotedMessage": _extended,
    "reactionMessage": _extended,
    "contactsArrayMessage": _contacts,
    "editedMessage": _edited,
    "deletedMessage": _deleted,
}
