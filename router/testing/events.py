"""Events for tests, made of the samples that are shipped, with what a test asks for in its place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from router import clock
from router.events import Event, JsonObject, Transport
from router.intake import new_id
from router.normalize import MESSENGERS, normalize
from router.testing import places, samples

#: Whose events are made unless something else is asked for.
INSTANCES = {"whatsapp": 1101000001, "telegram": 4100000001, "max": 3100000001}
_PEOPLE = {"whatsapp": "79001234567@c.us", "telegram": "10000000", "max": "10000000"}
_NAME = "Anna"

#: What the router adds to a notification.
_ADDED = {"id", "received_at", "transport"}
_FIELDS = [*places.OF_MESSAGE, *sorted(_ADDED)]
#: What a field may be, where it is not a word.
_EXPECTED = {
    "instance": "a whole number above 0",
    "messenger": " or ".join(MESSENGERS.values()),
    "timestamp": "UNIX seconds",
    "text": "a text that is not empty, in a kind of message that has one",
    "sender_name": "a text that is not empty",
}
_WORD = "a printable text of 1 to 255 characters"


def make_event(
    type: str | None = None,  # noqa: A002 - the name of the field
    *,
    message_type: str | None = None,
    sample: str | None = None,
    data: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Event:
    """Make an event of a sample, with fields of one's own.

    It is of now, and its ``idMessage`` is its own. Unless a sample is named, it is of one person who
    writes to one instance, so that events made one after the other belong together; a chat that is no
    group is with its sender.

    Args:
        type: ``typeWebhook``; that of the sample, or ``incomingMessageReceived``. Of a type that is not
            GREEN-API's the body has ``typeWebhook``, ``instanceData``, ``timestamp`` and ``data``.
        message_type: The kind of a message, such as ``imageMessage``; a text unless it is given.
        sample: Name of a sample; ``router samples`` lists them.
        data: Merged over the body, object by object, at the end.
        fields: Fields of `Event`, such as ``text`` or ``chat``; written to where the type has them.
            ``None``: the notification lacks it.

    Raises:
        TypeError: An event has no such field.
        ValueError: The type has no such field, or what is given does not come back when the body is read.
        NotFound: There is no such sample.
    """
    _check_names(fields)
    added = {name: fields.pop(name) for name in _ADDED & fields.keys()}
    wanted = {**fields, **({"message_type": message_type} if message_type else {})}
    body = _sampled(sample, type) if sample else _composed(type or "incomingMessageReceived", wanted, data)
    type_ = body["typeWebhook"]
    where = places.BY_TYPE.get(type_, places.OF_MESSAGE)
    _check_places(type_, wanted, where)
    for name, value in {**_own(type_), **({} if sample else _people(type_, wanted)), **wanted}.items():
        places.write(body, name, where[name], value)
    places.merge(body, data or {})
    new = {"id": new_id(), "received_at": clock.now(), "transport": Transport.WEBHOOK}
    event = normalize(body, **{**new, **added})
    _check_read(event, wanted)
    return event


# What is asked for


def _check_names(fields: Mapping[str, Any]) -> None:
    for name in fields:
        if name not in _FIELDS:
            raise TypeError(f"an event has no field {name!r}{samples.meant(name, _FIELDS)}")


def _check_places(type_: str, wanted: Mapping[str, Any], where: Mapping[str, places.Path]) -> None:
    for name in wanted:
        if name not in where:
            raise ValueError(
                f"{type_} has no place for {name!r}: it has {', '.join(where)}; "
                "anything else of its body is given as data={…}"
            )


def _check_read(event: Event, wanted: Mapping[str, Any]) -> None:
    """Hold the event against what was asked for: it was read as the router reads whatever comes in."""
    for name, value in wanted.items():
        if (found := getattr(event, name)) != value:
            kind = f" {event.message_type}" if event.message_type else ""
            expected = _only_place(event, name, wanted) or f"expected {_EXPECTED.get(name, _WORD)}"
            raise ValueError(f"{name}={value!r} is read as {found!r} in {event.type}{kind}: {expected}")


def _only_place(event: Event, name: str, wanted: Mapping[str, Any]) -> str | None:
    """Say which other field that is asked for has the same place."""
    where = places.BY_TYPE.get(str(event.type), places.OF_MESSAGE)
    same = [other for other in wanted if other != name and where[other] == where[name]]
    return f"{name} and {same[0]} have one place in this type" if same else None


# Bodies


def _sampled(sample: str, type_: str | None) -> JsonObject:
    body = samples.read(sample)
    if type_ not in {None, body["typeWebhook"]}:
        raise ValueError(f"sample {sample!r} is of type {body['typeWebhook']}, not {type_}")
    return body


def _composed(type_: str, wanted: Mapping[str, Any], data: Mapping[str, Any] | None) -> JsonObject:
    """Return a body of the type, with a message of the kind that is asked for."""
    if type_ not in samples.DEFAULTS:
        return _own_type(type_, data)
    messenger = wanted.get("messenger") or "whatsapp"
    body = samples.of_type(type_, messenger)
    kind = wanted.get("message_type")
    if kind and "messageData" in body and body["messageData"]["typeMessage"] != kind:
        body["messageData"] = samples.message(kind, messenger) or _own_kind(kind, data)
    return body


def _own_type(type_: str, data: Mapping[str, Any] | None) -> JsonObject:
    if data is None:
        raise ValueError(
            f"there is no sample of type {type_!r}{samples.meant(type_, samples.DEFAULTS)}; "
            "of a type of your own give data={…}, even an empty one"
        )
    return {"typeWebhook": type_, "instanceData": {"wid": _PEOPLE["whatsapp"]}}


def _own_kind(kind: str, data: Mapping[str, Any] | None) -> JsonObject:
    if not (data or {}).get("messageData"):
        raise ValueError(
            f"there is no sample of message type {kind!r}{samples.meant(kind, samples.kinds())}; "
            "of another one give data={'messageData': {…}}"
        )
    return {"typeMessage": kind}


def _own(type_: str) -> dict[str, Any]:
    """Return what tells an event from all others."""
    if "id_message" in places.BY_TYPE.get(type_, ()):
        return {"timestamp": int(clock.now().timestamp()), "id_message": f"{next(_numbers):020X}"}
    return {"timestamp": _stamp()}


def _people(type_: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return whose event it is: who writes, in which chat, to which instance."""
    messenger = wanted.get("messenger") or "whatsapp"
    person = _PEOPLE.get(messenger, _PEOPLE["whatsapp"])
    people = {"instance": INSTANCES.get(messenger, INSTANCES["whatsapp"]), "messenger": messenger}
    where, is_incoming = places.BY_TYPE.get(type_, {}), type_.startswith("incoming")
    if "chat" in where:
        people["chat"] = (is_incoming and wanted.get("sender")) or person
    if "sender" in where and is_incoming:
        chat = wanted.get("chat") or people["chat"]
        people["sender"] = person if _is_group(chat) and where["sender"] != where["chat"] else chat
    if "sender_name" in where and is_incoming:
        people["sender_name"] = _NAME
    return people


def _is_group(chat: object) -> bool:
    return str(chat).endswith("@g.us") or str(chat).startswith("-")


_numbers = itertools.count(1)


class _Stamps:
    """Times for types that nothing else tells apart: one second after the other."""

    #: Seconds by which a time may be ahead of the clock.
    _near = 600

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        now = int(clock.now().timestamp())
        self._last = self._last + 1 if now <= self._last < now + self._near else now
        return self._last


_stamp = _Stamps()
