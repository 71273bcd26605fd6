from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from router.errors import NotFound
from router.events import DeliveryStatus, Event, EventStatus, JsonObject, Problem, Transport
from router.inbox import Claim, DeliveryFilter, Done, Entry, EventFilter, EventRecord, NewDelivery
from router.inbox.memory import MemoryInbox
from router.normalize import dedup_key, normalize
from router.pace import Pace
from router.replay import ReplayedEvent, Replayer, ReplayResult
from router.routing import Order, Route, Table
from router.validation import Validator
from tests.inbox.build import attempt, claim
from tests.test_routing import route

#: A call that is in order, and one that breaks today's schema.
CALL: JsonObject = {
    "typeWebhook": "incomingCall",
    "instanceData": {"idInstance": 7, "wid": "70000000000@c.us", "typeInstance": "whatsapp"},
    "from": "79001234567@c.us",
    "timestamp": 1,
    "idMessage": "C1",
    "status": "offer",
}
BROKEN: JsonObject = {"typeWebhook": "incomingCall"}
CALLS = route("calls", "incomingCall")
OFFERS = route("offers", "incomingCall", when={"status": ["offer"]})
ENDED = route("ended", "incomingCall", when={"status": ["hangUp"]})


class Stored:
    """An inbox in memory that holds events as an earlier version or configuration left them."""

    def __init__(self) -> None:
        self.inbox = MemoryInbox(dict.fromkeys(("calls", "offers", "ended", "all"), 16))

    async def put(
        self,
        status: EventStatus,
        *routes: str,
        body: JsonObject | bytes = CALL,
        key: str | None = None,
        id: str = "e1",  # noqa: A002
    ) -> None:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        event = event_of(body if status is EventStatus.ACCEPTED and isinstance(body, dict) else {}, id)
        await self.inbox.put(
            Entry(
                event=event,
                status=status,
                key=key or f"key of {id}",
                body=raw,
                problems=[Problem("$.from", "type", "old")] if status is EventStatus.INVALID else [],
                deliveries=[NewDelivery(name, "lane") for name in routes],
            )
        )

    async def finish(self) -> None:
        """Handle what waits."""
        for _ in self.inbox.deliveries(DeliveryFilter(status=DeliveryStatus.PENDING)):
            self.inbox.settle(await claim(self.inbox), Done(attempt()))

    def replay(self, *routes: Route, **options: Any) -> list[ReplayedEvent]:
        dry_run = options.pop("dry_run", False)
        replayer = Replayer(self.inbox, Validator(), Table(routes), **options)
        batches = replayer.replay(
            self.inbox.each_event(EventFilter()), Pace(None, lambda _: False), dry_run=dry_run
        )
        return [replayed for batch in batches for replayed in batch]

    def event(self) -> EventRecord:
        return self.inbox.event("e1")


def event_of(data: JsonObject, id: str) -> Event:  # noqa: A002
    received_at = datetime(2026, 11, 24, tzinfo=UTC)
    return normalize(data, id=id, received_at=received_at, transport=Transport.WEBHOOK)


def told(replayed: list[ReplayedEvent]) -> list[tuple[str, list[str], str | None]]:
    return [(each.result.value, list(each.routes), each.reason) for each in replayed]


@pytest.mark.parametrize("status", list(EventStatus))
async def test_whatever_came_of_it_an_event_that_is_valid_today_goes_to_all_routes_that_take_it(
    status: EventStatus,
) -> None:
    stored = Stored()
    await stored.put(status)

    replayed = stored.replay(CALLS, OFFERS, ENDED)

    assert told(replayed) == [("replayed", ["calls", "offers"], None)]
    assert replayed[0].status is EventStatus.ACCEPTED
    event = stored.event()
    assert (event.status, event.type, event.instance, event.chat, event.problems) == (
        EventStatus.ACCEPTED,
        "incomingCall",
        7,
        "79001234567@c.us",
        (),
    )
    assert [(d.route, d.lane, d.status) for d in event.deliveries] == [
        ("calls", "7|79001234567@c.us", "pending"),
        ("offers", "7|79001234567@c.us", "pending"),
    ]


async def test_the_handler_sees_the_same_event_again() -> None:
    stored = Stored()
    await stored.put(EventStatus.ACCEPTED, "calls")
    first: Claim = await claim(stored.inbox)
    stored.inbox.settle(first, Done(attempt()))

    stored.replay(CALLS)

    again = await claim(stored.inbox)
    assert (again.event, again.attempt) == (first.event, 1)
    assert again.id > first.id


async def test_the_lane_is_that_of_the_route_as_it_is_today() -> None:
    stored = Stored()
    await stored.put(EventStatus.ACCEPTED)
    stored.replay(route("calls", "incomingCall", order=Order.INSTANCE))
    assert [d.lane for d in stored.event().deliveries] == ["7"]


async def test_an_event_that_is_replayed_is_kept_until_it_is_handled_again() -> None:
    stored = Stored()
    await stored.put(EventStatus.ACCEPTED, "calls")
    await stored.finish()
    stored.replay(CALLS)
    for number in range(2_000):  # finished as they come: the oldest of these are forgotten
        await stored.put(EventStatus.UNKNOWN, id=f"later {number}")
    await stored.finish()
    assert [d.status for d in stored.event().deliveries] == ["done", "done"]


async def test_earlier_deliveries_stay_beside_the_new_one() -> None:
    stored = Stored()
    await stored.put(EventStatus.ACCEPTED, "calls")
    await stored.finish()
    assert told(stored.replay(CALLS)) == [("replayed", ["calls"], None)]
    assert [d.status for d in stored.event().deliveries] == ["done", "pending"]


async def test_where_a_delivery_is_unfinished_no_second_one_is_added() -> None:
    stored = Stored()
    await stored.put(EventStatus.ACCEPTED, "calls")

    assert told(stored.replay(CALLS)) == [("waiting", [], "not yet done for calls")]
    assert told(stored.replay(CALLS, OFFERS)) == [("replayed", ["offers"], "not yet done for calls")]
    assert [d.route for d in stored.event().deliveries] == ["calls", "offers"]


async def test_only_the_route_that_is_named_gets_it() -> None:
    stored = Stored()
    await stored.put(EventStatus.ACCEPTED)
    assert told(stored.replay(CALLS, OFFERS, route="offers")) == [("replayed", ["offers"], None)]


async def test_a_route_that_does_not_take_it_does_not_get_it_even_if_it_is_named() -> None:
    stored = Stored()
    await stored.put(EventStatus.UNKNOWN)
    assert told(stored.replay(CALLS, ENDED, route="ended")) == [
        ("unmatched", [], 'route ended does not take it: when: status: expected "hangUp"; found "offer"')
    ]
    assert (stored.event().status, stored.event().deliveries) == (EventStatus.UNKNOWN, ())


async def test_a_route_that_is_not_there_cannot_be_named() -> None:
    with pytest.raises(NotFound, match="there is no route 'old'; the routes are calls, offers"):
        Stored().replay(CALLS, OFFERS, route="old")


async def test_what_no_route_takes_is_left_as_it_is() -> None:
    stored = Stored()
    await stored.put(EventStatus.INVALID)
    replayed = stored.replay(route("all", "stateInstanceChanged"))
    assert told(replayed) == [("unmatched", [], "no route takes it")]
    assert replayed[0].status is EventStatus.INVALID
    assert stored.event().problems == (Problem("$.from", "type", "old"),)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BROKEN, "$.from: expected a value, found nothing, and "),
        (b"no JSON", "$: "),
        (b"[]", "$: "),
    ],
)
async def test_what_is_still_invalid_is_told_with_its_problems_and_left_as_it_is(
    body: JsonObject | bytes, reason: str
) -> None:
    stored = Stored()
    await stored.put(EventStatus.INVALID, body=body)

    (replayed,) = stored.replay(route("all", "*"))

    assert (replayed.result, replayed.status) == (ReplayResult.INVALID, EventStatus.INVALID)
    assert replayed.problems
    assert replayed.reason is not None
    assert reason in replayed.reason
    assert (stored.event().status, stored.event().deliveries) == (EventStatus.INVALID, ())


async def test_of_the_same_notification_that_came_in_well_later_the_invalid_one_is_a_duplicate() -> None:
    stored = Stored()
    key = dedup_key(event_of(CALL, "e2"))
    await stored.put(EventStatus.INVALID)
    await stored.put(EventStatus.ACCEPTED, "calls", key=key, id="e2")
    await stored.finish()

    assert told(stored.replay(CALLS)) == [
        ("duplicate", [], "event e2 is the same notification"),
        ("replayed", ["calls"], None),
    ]
    assert stored.event().status is EventStatus.INVALID


async def test_of_two_invalid_ones_that_are_the_same_notification_the_second_is_a_duplicate() -> None:
    stored = Stored()
    await stored.put(EventStatus.INVALID, id="e1")
    await stored.put(EventStatus.INVALID, id="e2")
    assert told(stored.replay(CALLS)) == [
        ("replayed", ["calls"], None),
        ("duplicate", [], "event e1 is the same notification"),
    ]


@pytest.mark.parametrize("status", [EventStatus.ACCEPTED, EventStatus.UNROUTED])
async def test_one_that_was_stored_as_another_though_it_has_the_same_key_is_no_duplicate(
    status: EventStatus,
) -> None:
    """As ``dedup.changed: deliver`` stores what came again with other content."""
    stored = Stored()
    key = dedup_key(event_of(CALL, "e2"))
    await stored.put(status, key=f"{key} 1234")
    await stored.put(EventStatus.ACCEPTED, key=key, id="e2")
    assert told(stored.replay(CALLS))[0] == ("replayed", ["calls"], None)


async def test_a_dry_run_says_the_same_and_changes_nothing() -> None:
    stored = Stored()
    await stored.put(EventStatus.INVALID, id="e1")
    await stored.put(EventStatus.INVALID, id="e2", body=BROKEN)

    would_be = told(stored.replay(CALLS, dry_run=True))

    assert [event.status for event in stored.inbox.events(EventFilter())] == [EventStatus.INVALID] * 2
    assert stored.inbox.deliveries(DeliveryFilter()) == []
    assert told(stored.replay(CALLS)) == would_be
