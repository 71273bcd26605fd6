"""Body → Event, and the key by which a notification is recognized when it comes again.

Facts about the fields are GREEN-API's documentation, section "Notifications format"; which field
comes from where is told for people in ``docs/reference/events.md``. A missing, empty or odd value
becomes ``None``: nothing here raises, whatever JSON comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from router.events import Event, JsonObject, Transport

#: ``typeInstance`` → messenger; ``v3`` is what GREEN-API calls MAX.
MESSENGERS: Final = {"whatsapp": "whatsapp", "telegram": "telegram", "v3": "max"}

_FILE: Final = (("fileMessageData", "caption"),)
_EXTENDED: Final = (("extendedTextMessageData", "text"),)
_POLL: Final = (("pollMessageData", "name"), ("pollCreationMessage", "name"))
_TEMPLATE_REPLY: Final = (
    ("templateButtonReplyMessage", "selectedDisplayText"),
    ("templateButtonsReplyMessage", "selectedDisplayText"),
)

#: ``typeMessage`` → the places of its text within ``messageData``; the first that has one wins.
#:
#: Text is what the sender wrote or picked (for a vote: the question of the poll). Labels of other
#: things, such as a contact's name, an address or a file name, are not text.
TEXT_PLACES: Final[dict[str | None, tuple[tuple[str, str], ...]]] = {
    "textMessage": (("textMessageData", "textMessage"),),
    "extendedTextMessage": _EXTENDED,
    "quotedMessage": _EXTENDED,
    "reactionMessage": _EXTENDED,
    "imageMessage": _FILE,
    "videoMessage": _FILE,
    "documentMessage": _FILE,
    "audioMessage": _FILE,
    "stickerMessage": (*_FILE, ("stickerMessageData", "caption")),
    "pollMessage": _POLL,
    "pollCreationMessage": _POLL,
    "pollUpdateMessage": _POLL,
    "buttonsMessage": (("buttonsMessage", "contentText"),),
    "listMessage": (("listMessage", "contentText"), ("listMessage", "title")),
    "templateMessage": (("templateMessage", "contentText"),),
    "interactiveButtons": (("interactiveButtons", "contentText"), ("interactiveButtons", "titleText")),
    "interactiveButtonsReply": (
        ("interactiveButtonsReply", "contentText"),
        ("interactiveButtonsReply", "body"),
        ("interactiveButtonsReply", "titleText"),
        ("interactiveButtonsReply", "header"),
        ("interactiveButtons", "contentText"),
        ("interactiveButtons", "titleText"),
    ),
    "buttonsResponseMessage": (("buttonsResponseMessage", "selectedButtonText"),),
    # The documentation names the plural, its own example the singular.
    "templateButtonReplyMessage": _TEMPLATE_REPLY,
    "templateButtonsReplyMessage": _TEMPLATE_REPLY,
    "listResponseMessage": (("listResponseMessage", "title"),),
    "interactiveButtonsResponse": (
        ("interactiveButtonsResponse", "selectedDisplayText"),
        ("interactiveButtonsResponse", "selectedButtonText"),
    ),
    "groupInviteMessage": (("groupInviteMessageData", "caption"),),
    "editedMessage": (("editedMessageData", "textMessage"), ("editedMessageData", "caption")),
}

#: An id or a word longer than this is nonsense, and would not fit a database index.
_LONGEST_WORD: Final = 255
_LONGEST_KEY: Final = 255
#: 20 digits hold any 64-bit number.
_MOST_DIGITS: Final = 20
_LARGEST_INSTANCE: Final = 2**63 - 1
_NOTHING: Final[JsonObject] = {}

#: chat, sender, message_type, text
_Facts: TypeAlias = tuple[str | None, str | None, str | None, str | None]


def normalize(
    data: JsonObject,
    *,
    id: str,  # noqa: A002 - the name of the field
    received_at: datetime,
    transport: Transport,
    instance: int | None = None,
) -> Event:
    """Make an event of a notification's body.

    Args:
        data: The body; kept as it is in ``Event.data``.
        id: The router's own identifier for the event.
        received_at: When the router received it, UTC.
        transport: How it came.
        instance: What the transport knows; used when the body names no instance.
    """
    type_ = _word(data.get("typeWebhook"))
    account = _object(data.get("instanceData"))
    chat, sender, message_type, text = _FACTS.get(type_, _facts_of_unknown)(data)
    return Event(
        id=id,
        type=type_,
        instance=_instance(account.get("idInstance")) or instance,
        messenger=_messenger(account.get("typeInstance")),
        chat=chat,
        sender=sender,
        message_type=message_type,
        text=text,
        timestamp=_seconds(data.get("timestamp")),
        received_at=received_at,
        transport=transport,
        data=data,
    )


def dedup_key(event: Event) -> str:
    """Return the key that the same notification always has, and no other one ever.

    It begins with the instance and the type, is printable and has a bounded length. A notification
    without the parts that identify its type is identified by the content of its whole body, in
    which the order of keys does not count. ``docs/reference/events.md`` lists the parts per type.
    """
    parts = _KEY_PARTS.get(event.type, _no_parts)(event)
    prefix = f"{'-' if event.instance is None else event.instance}|{event.type or ''}|"
    if parts is None:
        return f"{prefix}#{content_hash(event.data)}"
    key = prefix + "|".join(parts)
    if len(key) <= _LONGEST_KEY and key.count("|") == len(parts) + 1 and key.isprintable():
        return key
    return f"{prefix}#{content_hash([event.type, *parts])}"


# Values


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else _NOTHING


def _word(value: Any) -> str | None:
    """An id or a name of GREEN-API's: short, and storable anywhere (no NUL, no lone surrogate)."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_WORD and value.isprintable():
        return value
    return None


def _whole(value: Any) -> int | None:
    """A number that is not negative; digits in a string count, ``true`` does not."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    return None


def _instance(value: Any) -> int | None:
    number = _whole(value)
    return number if number is not None and 0 < number <= _LARGEST_INSTANCE else None


def _messenger(value: Any) -> str | None:
    return MESSENGERS.get(value) if isinstance(value, str) else None


def _seconds(value: Any) -> int | None:
    """UNIX seconds; GREEN-API's own chatbot library guards against calls stamped in ms or µs."""
    number = _whole(value)
    if number is None or number < 10**11:  # seconds until the year 5138
        return number
    if number < 10**14:
        return number // 10**3
    if number < 10**17:
        return number // 10**6
    return None


# Facts per type


def _facts_of_message(data: JsonObject) -> _Facts:
    sender = _object(data.get("senderData"))
    message = _object(data.get("messageData"))
    message_type = _word(message.get("typeMessage"))
    text = _text(message, message_type)
    return _word(sender.get("chatId")), _word(sender.get("sender")), message_type, text


def _text(message: JsonObject, message_type: str | None) -> str | None:
    for container, field in TEXT_PLACES.get(message_type, ()):
        text = _object(message.get(container)).get(field)
        if isinstance(text, str) and text:
            return text
    return None


def _facts_of_chat(data: JsonObject) -> _Facts:
    return _word(data.get("chatId")), None, None, None


def _facts_of_incoming_call(data: JsonObject) -> _Facts:
    caller = _word(data.get("from"))
    return caller, caller, None, None


def _facts_of_outgoing_call(data: JsonObject) -> _Facts:
    """``from`` is the chat that was called (page OutgoingCall); the caller is the account itself."""
    return _word(data.get("from")), _word(_object(data.get("instanceData")).get("wid")), None, None


def _facts_of_account(_: JsonObject) -> _Facts:
    return None, None, None, None


def _facts_of_unknown(data: JsonObject) -> _Facts:
    """Whatever fields it shares with the types we know."""
    chat, sender, message_type, text = _facts_of_message(data)
    from_ = _word(data.get("from"))
    return chat or _word(data.get("chatId")) or from_, sender or from_, message_type, text


_FACTS: Final[dict[str | None, Callable[[JsonObject], _Facts]]] = {
    "incomingMessageReceived": _facts_of_message,
    "outgoingMessageReceived": _facts_of_message,
    "outgoingAPIMessageReceived": _facts_of_message,
    "outgoingMessageStatus": _facts_of_chat,
    "incomingBlock": _facts_of_chat,
    "incomingCall": _facts_of_incoming_call,
    "outgoingCall": _facts_of_outgoing_call,
    "stateInstanceChanged": _facts_of_account,
    "statusInstanceChanged": _facts_of_account,
    "deviceInfo": _facts_of_account,
    "quotaExceeded": _facts_of_account,
}


# Key parts per type: a tuple of strings, or None when the whole body has to identify it


def _no_parts(_: Event) -> None:
    """Of an unknown type nobody knows whether its ``idMessage`` stays the same for each stage."""


def _message_parts(event: Event) -> tuple[str, ...] | None:
    """On MAX an id is unique within its chat only; an edit or a deletion has a type of its own."""
    chat, message_type, id_message = event.chat, event.message_type, event.id_message
    return (chat, id_message, message_type) if chat and id_message and message_type else None


def _status_parts(event: Event) -> tuple[str, ...] | None:
    """The same ``idMessage`` comes for each of sent, delivered and read."""
    status = event.data.get("status")
    if event.chat and event.id_message and isinstance(status, str) and status:
        return event.chat, event.id_message, status
    return None


def _call_parts(event: Event) -> tuple[str, ...] | None:
    """The same ``idMessage`` comes for the offer and for how it ended; old bodies have no status."""
    status = event.data.get("status", "")
    if event.chat and event.id_message and isinstance(status, str):
        return event.id_message, status, event.chat
    return None


def _stamped(event: Event, *parts: Any) -> tuple[str, ...] | None:
    """The parts and the time as the body gives it, which may be finer than seconds."""
    if event.timestamp is not None and all(isinstance(part, str) and part for part in parts):
        return *parts, str(event.data["timestamp"])
    return None


def _state_parts(event: Event) -> tuple[str, ...] | None:
    return _stamped(event, event.data.get("stateInstance"))


def _online_parts(event: Event) -> tuple[str, ...] | None:
    return _stamped(event, event.data.get("statusInstance"))


def _block_parts(event: Event) -> tuple[str, ...] | None:
    return _stamped(event, event.chat, event.data.get("chatState"))


def _device_parts(event: Event) -> tuple[str, ...] | None:
    return _stamped(event, content_hash(event.data.get("deviceData")))


def _quota_parts(event: Event) -> tuple[str, ...] | None:
    return _stamped(event, content_hash(event.data.get("quotaData")))


_KEY_PARTS: Final[dict[str | None, Callable[[Event], tuple[str, ...] | None]]] = {
    "incomingMessageReceived": _message_parts,
    "outgoingMessageReceived": _message_parts,
    "outgoingAPIMessageReceived": _message_parts,
    "outgoingMessageStatus": _status_parts,
    "incomingCall": _call_parts,
    "outgoingCall": _call_parts,
    "stateInstanceChanged": _state_parts,
    "statusInstanceChanged": _online_parts,
    "incomingBlock": _block_parts,
    "deviceInfo": _device_parts,
    "quotaExceeded": _quota_parts,
}


def content_hash(value: Any) -> str:
    """Return a hash of a JSON value that does not depend on the order of keys.

    Not a hash of canonical JSON text: the encoders refuse deep nesting, numbers of thousands of
    digits or lone surrogates, all of which can be received. Every token states its own length or
    ends with a mark, so that no two values give the same bytes.
    """
    digest = blake2b(digest_size=16)
    waiting = [value]
    while waiting:
        item = waiting.pop()
        digest.update(_token(item))
        if isinstance(item, dict):
            waiting.extend(_flat(item))
        elif isinstance(item, list):
            waiting.extend(reversed(item))
    return digest.hexdigest()


def _flat(item: JsonObject) -> Iterable[Any]:
    for key in sorted(item, reverse=True):
        yield item[key]
        yield key


def _token(item: Any) -> bytes:
    match item:
        case str():
            raw = item.encode("utf-8", "surrogatepass")
            return b"s%d:%b" % (len(raw), raw)
        case dict():
            return b"{%d:" % len(item)
        case list():
            return b"[%d:" % len(item)
        case bool() | None:
            return b"%a:" % item
        case int():  # hex, because decimal digits of a huge number are refused
            return b"%x:" % item
        case _:
            return b"%a:" % item
