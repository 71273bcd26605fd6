"""Which settings of an instance have to be ``yes`` for the notifications that routes want. Pure.

Sources: GREEN-API's documentation, pages "Type webhook" and "SetSettings".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from router import patterns
from router.events import JsonObject, Transport
from router.normalize import normalize
from router.routing import ANY_TYPE, Route

#: ``typeWebhook`` → its flags, all of which are needed. A type that is not here needs none that is known.
TYPE_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "incomingMessageReceived": ("incomingWebhook",),
    "outgoingMessageReceived": ("outgoingMessageWebhook",),
    "outgoingAPIMessageReceived": ("outgoingAPIMessageWebhook",),
    "outgoingMessageStatus": ("outgoingWebhook",),
    "stateInstanceChanged": ("stateWebhook",),
    "incomingCall": ("incomingWebhook", "incomingCallWebhook"),
    "outgoingCall": ("outgoingCallWebhook",),
    "statusInstanceChanged": ("stateWebhook",),
    "deviceInfo": ("deviceWebhook",),
    "incomingBlock": ("incomingBlockWebhook",),
}
#: ``typeMessage`` → what it needs beside the flag of its ``typeWebhook``.
MESSAGE_FLAGS: Final[Mapping[str, str]] = {
    "pollMessage": "pollMessageWebhook",
    "pollUpdateMessage": "pollMessageWebhook",
    "editedMessage": "editedMessageWebhook",
    "deletedMessage": "deletedMessageWebhook",
}
#: What ``*`` stands for: the types that GREEN-API sends today. outgoingCall is a beta, and the last three
#: of `TYPE_FLAGS` are documented as not working.
_LIVE: Final = (
    "incomingMessageReceived",
    "outgoingMessageReceived",
    "outgoingAPIMessageReceived",
    "outgoingMessageStatus",
    "stateInstanceChanged",
    "incomingCall",
)
_MESSAGES: Final = frozenset(
    {"incomingMessageReceived", "outgoingMessageReceived", "outgoingAPIMessageReceived"}
)
#: Conditions on these say whether a route wants anything of an instance.
_OF_INSTANCE: Final = ("instance", "messenger")
_ANY_MOMENT: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Needs:
    """Flags, each with the names of the routes that it is for."""

    #: Without one of these a route does not get what it asks for.
    needed: Mapping[str, tuple[str, ...]]
    #: For kinds of messages that a route takes without naming them.
    optional: Mapping[str, tuple[str, ...]]


def needs(routes: Sequence[Route], instance_data: JsonObject) -> Needs:
    """Return the flags that an instance has to have for these routes.

    A route whose ``when`` names no ``typeMessage`` takes votes, edits and deletions if they come, but is
    not known to want them: their flags are optional then, and needed where ``when`` names one of them.

    Args:
        routes: All of them; those whose ``when`` leaves the instance out need nothing.
        instance_data: As in its notifications: ``idInstance`` and ``typeInstance``.
    """
    wanting = [route for route in routes if _wants(route, instance_data)]
    needed = _by_flag((flag, route.name) for route in wanting for flag in _needed(route))
    optional = _by_flag((flag, route.name) for route in wanting for flag in _optional(route))
    return Needs(needed, {flag: names for flag, names in optional.items() if flag not in needed})


def _by_flag(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the names for each flag, each name once, in the order in which they come."""
    found: dict[str, dict[str, None]] = {}
    for flag, name in pairs:
        found.setdefault(flag, {})[name] = None
    return {flag: tuple(names) for flag, names in found.items()}


def _needed(route: Route) -> Iterator[str]:
    for type_ in _types(route):
        yield from TYPE_FLAGS.get(type_, ())
    if not _MESSAGES.isdisjoint(_types(route)):
        yield from (MESSAGE_FLAGS[name] for name in _message_types(route) if name in MESSAGE_FLAGS)


def _optional(route: Route) -> Iterator[str]:
    if not _MESSAGES.isdisjoint(_types(route)) and not _message_types(route):
        yield from MESSAGE_FLAGS.values()


def _types(route: Route) -> tuple[str, ...]:
    named = tuple(type_ for type_ in route.types if type_ != ANY_TYPE)
    return named if ANY_TYPE not in route.types else (*_LIVE, *named)


def _wants(route: Route, instance_data: JsonObject) -> bool:
    """Whether the route takes anything of this instance, as far as ``when`` says it plainly."""
    event = normalize(
        {"instanceData": instance_data}, id="", received_at=_ANY_MOMENT, transport=Transport.WEBHOOK
    )
    source = route.when.source if route.when else {}
    asked = {key: source[key] for key in _OF_INSTANCE if key in source and getattr(event, key) is not None}
    return not asked or patterns.compile(asked).matches(event)


def _message_types(route: Route) -> list[str]:
    """Return each ``typeMessage`` that ``when`` names; an operator, such as prefix, names none."""
    return list(_named(route.when.source)) if route.when else []


def _named(source: Mapping[str, Any]) -> Iterator[str]:
    for key, value in source.items():
        if key == "$or":
            for alternative in value:
                yield from _named(alternative)
        elif key in {"message_type", "typeMessage"}:
            yield from (name for name in _listed(value) if isinstance(name, str))
        elif key in {"messageData", "data"} and isinstance(value, Mapping):
            yield from _named(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
