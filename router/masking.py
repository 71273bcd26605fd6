"""Notifications and chat ids for logs that must not keep personal data.

What is kept is listed; everything else is hidden, because GREEN-API adds fields before it documents
them. The shape stays: keys, types of values, lengths of arrays, which strings are empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from router.events import JsonObject

#: Fields that hold a word of GREEN-API's own, at whatever depth.
_WORDS: Final = (
    "chatState",
    "chatType",
    "mediaType",
    "method",
    "mimeType",
    "platform",
    "previewType",
    "senderType",
    "sourceType",
    "stateInstance",
    "status",
    "statusInstance",
    "type",
    "typeInstance",
    "typeMessage",
    "typeWebhook",
)
_IDS: Final = ("idMessage", "stanzaId")
#: Numbers, which some bodies have as strings.
_NUMBERS: Final = (
    "battery",
    "duration",
    "forwardingScore",
    "idInstance",
    "index",
    "inviteExpiration",
    "listType",
    "receiptId",
    "selectedIndex",
    "timestamp",
    "total",
    "used",
)
#: Fields, and arrays, of chat ids. The ``id`` of a call's participant is one, that of a button is not.
_CHATS: Final = frozenset(
    (
        "chatId",
        "from",
        "groupJid",
        "id",
        "optionVoters",
        "participant",
        "participants",
        "sender",
        "wid",
    )
)

#: A word of a vocabulary: no spaces, few digits in a row, so neither a sentence nor a phone number.
_WORD: Final = re.compile(
    r"(?!.*\d{5})[A-Za-z][A-Za-z0-9_./+-]{0,63}(?:; ?codecs=[a-z0-9.]{1,16})?", re.ASCII
)
#: A message id. Ids that hold a chat id, as some libraries write them, have an ``@``.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_KEPT: Final = dict.fromkeys(_WORDS, _WORD) | dict.fromkeys(_IDS, _ID) | dict.fromkeys(_NUMBERS, _DIGITS)
#: GREEN-API's marks for a message it could not read, in place of its text or URL.
_ERROR_MARK: Final = re.compile(r"\{\{SWE[0-9]{3}\}\}")
#: The name of a field; a key that is none may be somebody's chat id.
_KEY: Final = re.compile(r"(?!.*\d{5})[A-Za-z_$][A-Za-z0-9_$-]{0,63}", re.ASCII)

_CHAT: Final = re.compile(r"([^@]*)(@(?:c\.us|g\.us|lid|broadcast|newsletter|s\.whatsapp\.net))", re.DOTALL)
_CHAT_NUMBER: Final = re.compile(r"[0-9-]*[0-9]{2}", re.ASCII)
_LONGEST_MASK: Final = 16
#: Of a shorter number, two digits would be too much.
_SHORTEST_TELLING_NUMBER: Final = 6

#: What puts something harmless in place of a text.
Hide: TypeAlias = Callable[[str], str]


def stars(text: str) -> str:
    """Hide a text except for its length, up to 16."""
    return "*" * min(len(text), _LONGEST_MASK)


def mask_chat(chat: str) -> str:
    """Hide a chat id except for its kind and its last two digits.

    Enough to tell most lines of a log apart, too little to find a person. It is no hash, because
    there are few enough phone numbers to try them all.
    """
    match = _CHAT.fullmatch(chat)
    number, suffix = (match[1], match[2]) if match else (chat, "")
    sign = "-" if number.startswith("-") else ""
    number = number.removeprefix("-")
    telling = len(number) >= _SHORTEST_TELLING_NUMBER and _CHAT_NUMBER.fullmatch(number)
    tail = number[-2:] if telling else ""
    return f"{sign}{stars(number[: len(number) - len(tail)])}{tail}{suffix}"


def masked(data: JsonObject, *, hide_chat: Hide = mask_chat, hide_text: Hide = stars) -> JsonObject:
    """Return a copy of a notification without phone numbers, names, texts and addresses.

    Never raises, however odd or deep the body is.

    Args:
        data: The body.
        hide_chat: What becomes of a chat id.
        hide_text: What becomes of any other text that is not known to be harmless.
    """
    result: JsonObject = {}
    # A stack of our own, because a body may be nested deeper than Python recurses.
    waiting: list[tuple[str, Any, Any]] = [("", data, result)]
    while waiting:
        name, source, target = waiting.pop()
        for key, value in _entries(name, source):
            copy = (
                _masked_text(key, value, hide_chat, hide_text)
                if isinstance(value, str)
                else _copy(key, value)
            )
            if isinstance(target, dict):
                target[_masked_key(key, target)] = copy
            else:
                target.append(copy)
            if isinstance(value, (dict, list)):
                waiting.append((key, value, copy))
    return result


#: Fields that a record takes out of a notification; they are masked as they are there.
_TAKEN: Final = ("chatId", "idMessage", "sender")


def _mask_record(record: MutableMapping[str, Any]) -> None:
    record.update(masked({name: record[name] for name in _TAKEN if name in record}))
    notification = record.get("notification")
    if isinstance(notification, dict):
        record["notification"] = masked(notification)
    elif isinstance(notification, str):
        record["notification"] = f"[{len(notification)} characters]"
    elif notification is not None:
        record["notification"] = f"[{type(notification).__name__}]"


def _mask_and_leave_out(record: MutableMapping[str, Any]) -> None:
    _mask_record(record)
    record.pop("notification", None)


#: By ``logging.notification``: what hides it in a record, in the log's or an alert's facts.
HIDING: Final[Mapping[str, Callable[[MutableMapping[str, Any]], None] | None]] = {
    "full": None,
    "masked": _mask_record,
    "none": _mask_and_leave_out,
}


def _entries(name: str, source: Any) -> Iterator[tuple[str, Any]]:
    """The entries of an object; the elements of an array, each under the name of the array."""
    if isinstance(source, dict):
        yield from ((str(key), value) for key, value in source.items())
    else:
        yield from ((name, item) for item in source)


def _copy(key: str, value: Any) -> Any:
    """What is masked of a value that is no text; of a container what the masked entries will fill."""
    match value:
        case dict():
            return {}
        case list():
            return []
        case bool() | None:
            return value
        case int() | float():
            return value if key in _NUMBERS else type(value)(0)
    return stars(str(value))


def _masked_text(key: str, text: str, hide_chat: Hide, hide_text: Hide) -> str:
    kept = _KEPT.get(key)
    if (kept is not None and kept.fullmatch(text)) or _ERROR_MARK.fullmatch(text):
        return text
    return hide_chat(text) if key in _CHATS or _CHAT.fullmatch(text) else hide_text(text)


def _masked_key(key: str, siblings: JsonObject) -> str:
    if _KEY.fullmatch(key):
        return key
    # The number keeps two hidden keys from becoming one.
    return f"{stars(key)}#{len(siblings)}"
