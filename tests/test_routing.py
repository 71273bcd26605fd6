from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import patterns
from router.events import Event, JsonObject, Transport
from router.normalize import normalize
from router.patterns import Mismatch
from router.retry import RetryPolicy
from router.routing import Explanation, Order, Route, Table


def route(name: str, *types: str, **options: Any) -> Route:
    when = options.pop("when", None)
    defaults: dict[str, Any] = {
        "handler": "echo",
        "options": {},
        "order": Order.CHAT,
        "timeout": 30.0,
        "concurrency": 16,
        "retry": RetryPolicy(),
        "max_lane_block": 300.0,
        "max_age": None,
        "stop": False,
    }
    return Route(
        name=name, types=types, when=patterns.compile(when) if when else None, **(defaults | options)
    )


def event(type_: str | None = "incomingCall", id: str = "e1", **data: Any) -> Event:  # noqa: A002
    body: JsonObject = {"typeWebhook": type_, "instanceData": {"idInstance": 7}} | data
    return normalize(body, id=id, received_at=datetime(2026, 11, 24, tzinfo=UTC), transport=Transport.WEBHOOK)


def matched(routes: list[Route], event: Event) -> list[str]:
    """The names of the routes that get the event, having checked that the explanations agree."""
    table = Table(routes)
    names = [route.name for route in table.match(event)]
    assert names == [explanation.route for explanation in table.explain(event) if explanation.matched]
    return names


CALLS, STATES, ALL = (
    route("calls", "incomingCall"),
    route("states", "stateInstanceChanged"),
    route("all", "*"),
)
OFFERS = route("offers", "incomingCall", when={"status": ["offer"]})
STOP = route("stop", "incomingCall", stop=True)
STOP_OFFERS = route("stop offers", "*", when={"status": ["offer"]}, stop=True)


@pytest.mark.parametrize(
    ("routes", "event", "expected"),
    [
        ([], event(), []),
        ([STATES], event(), []),
        ([CALLS], event(), ["calls"]),
        ([ALL, STATES, CALLS], event(), ["all", "calls"]),
        ([CALLS, STATES, ALL], event(), ["calls", "all"]),
        ([ALL, CALLS], event("neverHeardOf"), ["all"]),
        ([CALLS], event("neverHeardOf"), []),
        ([route("new", "neverHeardOf")], event("neverHeardOf"), ["new"]),
        ([route("both", "stateInstanceChanged", "incomingCall")], event(), ["both"]),
        ([route("twice", "*", "incomingCall")], event(), ["twice"]),
        ([ALL, CALLS], event(None), []),
        ([OFFERS, CALLS], event(status="offer"), ["offers", "calls"]),
        ([OFFERS, CALLS], event(status="pickUp"), ["calls"]),
        ([CALLS, STOP, ALL], event(), ["calls", "stop"]),
        ([STOP, CALLS, ALL], event("neverHeardOf"), ["all"]),
        ([STOP_OFFERS, CALLS], event(status="offer"), ["stop offers"]),
        ([STOP_OFFERS, CALLS], event(status="pickUp"), ["calls"]),
        ([STOP, STOP_OFFERS, CALLS], event(status="offer"), ["stop"]),
    ],
)
def test_which_routes_get_an_event(routes: list[Route], event: Event, expected: list[str]) -> None:
    assert matched(routes, event) == expected


def test_why_each_route_gets_an_event_or_not() -> None:
    table = Table([STATES, OFFERS, CALLS, STOP, ALL, STATES, OFFERS])
    offer = Mismatch("status", '"offer"', '"pickUp"')
    wrong_type = "type: expected stateInstanceChanged; found incomingCall"
    wrong_status = 'when: status: expected "offer"; found "pickUp"'
    assert table.explain(event(status="pickUp")) == [
        Explanation("states", matched=False, reason=wrong_type),
        Explanation("offers", matched=False, reason=wrong_status, mismatch=offer),
        Explanation("calls", matched=True, reason="matches"),
        Explanation("stop", matched=True, reason="matches"),
        Explanation("all", matched=False, reason="the earlier route 'stop' says stop"),
        Explanation("states", matched=False, reason=wrong_type),
        Explanation("offers", matched=False, reason=wrong_status, mismatch=offer),
    ]


def test_why_no_route_gets_a_notification_without_a_type() -> None:
    assert Table([ALL]).explain(event(None)) == [
        Explanation("all", matched=False, reason="the notification has no type")
    ]


def test_several_types_are_named_in_the_reason() -> None:
    table = Table([route("two", "incomingCall", "outgoingCall")])
    (explanation,) = table.explain(event("deviceInfo"))
    assert explanation.reason == "type: expected incomingCall or outgoingCall; found deviceInfo"


def test_a_type_is_named_by_a_route_but_not_by_a_star() -> None:
    table = Table([ALL, route("new", "neverHeardOf", "*")])
    assert [table.names_type(type_) for type_ in ("neverHeardOf", "incomingCall", "*")] == [
        True,
        False,
        False,
    ]


ROUTES = st.builds(
    lambda types, status, stop: route(
        f"{types} {status} {stop}", *types, when={"status": [status]} if status else None, stop=stop
    ),
    st.lists(st.sampled_from(["*", "incomingCall", "deviceInfo"]), min_size=1, max_size=2),
    st.sampled_from([None, "offer", "pickUp"]),
    st.booleans(),
)


@given(
    st.lists(ROUTES, max_size=5),
    st.sampled_from(["incomingCall", "deviceInfo", "neverHeardOf"]),
    st.sampled_from(["offer", "pickUp"]),
)
def test_matching_and_explaining_agree(routes: list[Route], type_: str, status: str) -> None:
    expected = []
    for candidate in routes:
        wanted = candidate.when is None or candidate.when.source == {"status": [status]}
        if {"*", type_} & set(candidate.types) and wanted:
            expected.append(candidate.name)
            if candidate.stop:
                break
    assert matched(routes, event(type_, status=status)) == expected


# Lanes


def text(chat: str | None, sender: str | None, instance: int | None = 7) -> Event:
    return event(
        "incomingMessageReceived",
        instanceData={"idInstance": instance},
        senderData={"chatId": chat, "sender": sender},
    )


@pytest.mark.parametrize(
    ("order", "event", "lane"),
    [
        (Order.CHAT, text("1@g.us", "2@c.us"), "7|1@g.us"),
        (Order.CHAT, text("1@g.us", "2@c.us", instance=8), "8|1@g.us"),
        (Order.CHAT, text("1@g.us", "2@c.us", instance=None), "-|1@g.us"),
        (Order.CHAT, text(None, "2@c.us"), "7"),
        (Order.CHAT, text(None, None, instance=None), "-"),
        (Order.INSTANCE, text("1@g.us", "2@c.us"), "7"),
        (Order.SENDER, text("1@g.us", "2@c.us"), "7|2@c.us"),
        (Order.SENDER, text("2@c.us", None), "7|2@c.us"),
        (Order.SENDER, text(None, None), "7"),
        (Order.NONE, text("1@g.us", "2@c.us"), "e1"),
    ],
)
def test_the_lane_of_an_event(order: Order, event: Event, lane: str) -> None:
    assert route("r", "*", order=order).lane(event) == lane


def test_without_order_each_event_has_its_own_lane() -> None:
    unordered = route("r", "*", order=Order.NONE)
    assert unordered.lane(event(id="e1")) != unordered.lane(event(id="e2"))
