"""Which routes get an event, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from router.events import Event
from router.patterns import Mismatch, Pattern
from router.retry import RetryPolicy

#: In ``Route.types``: any type, also one that no catalogue knows.
ANY_TYPE: Final = "*"


class Order(StrEnum):
    """Whose events a route handles one at a time, in order of arrival."""

    #: Those of one chat of one instance.
    CHAT = "chat"
    #: Those of one instance.
    INSTANCE = "instance"
    #: Those caused by one sender on one instance, in whatever chat.
    SENDER = "sender"
    #: None: each event has a lane of its own.
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of ``routes`` in ``routes.yaml``."""

    name: str
    #: The types it takes; ``*`` is all.
    types: tuple[str, ...]
    #: The name under which a plugin registered the handler.
    handler: str
    options: Mapping[str, Any]
    #: What else the event must satisfy; ``None`` is nothing.
    when: Pattern | None
    order: Order
    #: Seconds that one attempt may take.
    timeout: float
    #: How many of its deliveries run at once.
    concurrency: int
    retry: RetryPolicy
    #: Seconds for which a failing delivery holds its lane.
    max_lane_block: float
    #: Seconds after which a delivery is dead unhandled; ``None`` is never.
    max_age: float | None
    #: Whether later routes do not get what this one gets.
    stop: bool

    def takes(self, type_: str) -> bool:
        """Whether the route takes events of a type, whatever else it asks of them."""
        return type_ in self.types or ANY_TYPE in self.types

    def lane(self, event: Event) -> str:
        """Return the order key of an event within this route: equal keys are handled one at a time."""
        return _LANES[self.order](event)


def _chat_lane(event: Event) -> str:
    """The same chat id on two instances is two chats; what has no chat is ordered by instance."""
    return f"{_instance_lane(event)}|{event.chat}" if event.chat else _instance_lane(event)


def _instance_lane(event: Event) -> str:
    return "-" if event.instance is None else str(event.instance)


def _sender_lane(event: Event) -> str:
    """What has no sender goes with its chat: in a personal chat that is the same lane."""
    return f"{_instance_lane(event)}|{event.sender}" if event.sender else _chat_lane(event)


def _own_lane(event: Event) -> str:
    return event.id


_LANES: Final[dict[Order, Callable[[Event], str]]] = {
    Order.CHAT: _chat_lane,
    Order.INSTANCE: _instance_lane,
    Order.SENDER: _sender_lane,
    Order.NONE: _own_lane,
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether one route gets an event, and why."""

    route: str
    matched: bool
    #: One line for a person.
    reason: str
    #: The condition of ``when`` that failed, where that was the reason.
    mismatch: Mismatch | None = None


class Table:
    """The routes, asked which of them get an event. It never changes; a new file makes a new table."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._named = frozenset(type_ for route in routes for type_ in route.types) - {ANY_TYPE}
        self._candidates = {type_: self._taking(type_) for type_ in self._named}
        self._others = tuple(route for route in routes if ANY_TYPE in route.types)

    def _taking(self, type_: str) -> tuple[Route, ...]:
        return tuple(route for route in self.routes if route.takes(type_))

    def match(self, event: Event) -> tuple[Route, ...]:
        """Return the routes that get the event, in the order of the file.

        A matching route with ``stop`` is the last one. An event without a type matches none.
        """
        if event.type is None:
            return ()
        matched = []
        for route in self._candidates.get(event.type, self._others):
            if route.when is None or route.when.matches(event):
                matched.append(route)
                if route.stop:
                    break
        return tuple(matched)

    def explain(self, event: Event) -> list[Explanation]:
        """Say for every route, in the order of the file, whether it gets the event and why."""
        return list(self._explanations(event))

    def _explanations(self, event: Event) -> Iterator[Explanation]:
        stopped_by: Route | None = None
        for route in self.routes:
            explanation = _explanation(route, event)
            if stopped_by is not None and explanation.matched:
                reason = f"the earlier route {stopped_by.name!r} says stop"
                explanation = Explanation(route.name, matched=False, reason=reason)
            elif explanation.matched and route.stop:
                stopped_by = route
            yield explanation

    def names_type(self, type_: str) -> bool:
        """Whether a route names this type; ``*`` names none. What a route names is a known type."""
        return type_ in self._named


def _explanation(route: Route, event: Event) -> Explanation:
    if event.type is None:
        return Explanation(route.name, matched=False, reason="the notification has no type")
    if not route.takes(event.type):
        reason = f"type: expected {' or '.join(route.types)}; found {event.type}"
        return Explanation(route.name, matched=False, reason=reason)
    mismatch = route.when.explain(event) if route.when is not None else None
    if mismatch is not None:
        return Explanation(route.name, matched=False, reason=f"when: {mismatch}", mismatch=mismatch)
    return Explanation(route.name, matched=True, reason="matches")
