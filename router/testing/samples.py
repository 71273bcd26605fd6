"""Which sample an event is made of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import orjson

from router import samples
from router.config.structure import suggestion
from router.events import JsonObject
from router.normalize import MESSENGERS

#: The sample of each type that is taken unless something else is asked for.
DEFAULTS = {
    "incomingMessageReceived": "incomingMessageReceived/wa-text-waba.json",
    "outgoingMessageReceived": "outgoingMessageReceived/wa-text.json",
    "outgoingAPIMessageReceived": "outgoingAPIMessageReceived/wa-extended-text.json",
    "outgoingMessageStatus": "outgoingMessageStatus/wa-sent-by-api.json",
    "incomingCall": "incomingCall/wa-pickup.json",
    "outgoingCall": "outgoingCall/composed-wa-pickup.json",
    "incomingBlock": "incomingBlock/wa-blocked-apidog.json",
    "stateInstanceChanged": "stateInstanceChanged/wa-authorized.json",
    "statusInstanceChanged": "statusInstanceChanged/wa-online-docs.json",
    "deviceInfo": "deviceInfo/wa-iphone.json",
    "quotaExceeded": "quotaExceeded/wa-correspondents.json",
}


def read(name: str) -> JsonObject:
    """Return the body of a sample.

    Raises:
        NotFound: No sample has this name.
    """
    body: JsonObject = orjson.loads(samples.read(name))
    return body


def of_type(type_: str, messenger: str) -> JsonObject:
    """Return the sample of a type: the messenger's plainest one, if it has any."""
    default = DEFAULTS[type_]
    alike = (name for name in _of(type_, _message_type(default)) if _messenger(name) == messenger)
    return read(min(alike, key=_plainness, default=default))


def message(message_type: str, messenger: str) -> JsonObject | None:
    """Return the ``messageData`` of a kind of message, of that messenger if it has one."""

    def strangeness(name: str) -> tuple[object, ...]:
        return _is_reply(name), _messenger(name) != messenger, *_plainness(name)

    names = (name for name in samples.names() if _message_type(name) == message_type)
    best = min(names, key=strangeness, default=None)
    data: JsonObject | None = read(best)["messageData"] if best else None
    return data


def kinds() -> list[str]:
    """Return the kinds of message of which there is a sample, sorted."""
    return sorted({kind for name in samples.names() if (kind := _message_type(name))})


def _plainness(name: str) -> tuple[object, ...]:
    """The least is the plainest."""
    return name not in DEFAULTS.values(), "group" in name, _is_reply(name), name


def _is_reply(name: str) -> bool:
    return "quoting" in name


def _of(type_: str, message_type: str | None) -> Iterable[str]:
    return (n for n in samples.names() if n.startswith(f"{type_}/") and _message_type(n) == message_type)


@cache
def _message_type(name: str) -> str | None:
    kind: str | None = read(name).get("messageData", {}).get("typeMessage")
    return kind


@cache
def _messenger(name: str) -> str | None:
    return MESSENGERS.get(read(name).get("instanceData", {}).get("typeInstance"))


def meant(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or all that there are."""
    known = list(known)
    close = suggestion(word, known)
    return close.replace(", ", "; ", 1) if close else f"; there are {', '.join(known)}"
