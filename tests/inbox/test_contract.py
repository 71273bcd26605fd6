"""What every inbox promises, run against each of them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import psycopg
import pytest
from anyio import create_task_group, fail_after, sleep

from router.errors import NotFound
from router.events import DeliveryStatus, Event, EventStatus, Problem
from router.inbox import (
    Claim,
    Dead,
    DeliveryFilter,
    Done,
    Duplicate,
    Entry,
    EventFilter,
    Inbox,
    Ledger,
    NewDelivery,
    Replay,
    Replayed,
    Retry,
    Stored,
)
from router.inbox.memory import MemoryInbox
from router.inbox.postgres.database import Database
from router.inbox.postgres.inbox import PostgresInbox
from router.inbox.postgres.ledger import PostgresLedger
from router.inbox.postgres.requests import Discover, LaneName
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger
from router.jsontext import dump
from tests.inbox.build import NOW, ROUTES, attempt, claim, entry, event, failed


class Make(Protocol):
    """Makes an open inbox with its ledger."""

    async def __call__(self, *, dedup_window: float = 3600.0, deliver_changed: bool = False) -> Made: ...


class Made(NamedTuple):
    """An inbox, its ledger, and a wait until the inbox has taken up what the ledger changed."""

    inbox: Inbox
    ledger: Ledger
    noticed: Callable[[], Awaitable[None]]


async def _at_once() -> None:
    pass


class Hearing(PostgresInbox):
    """An inbox that says when it has heard all that was told before."""

    heard = ""
    looked = 0

    async def open_wholly(self) -> None:
        """Open it, and wait until it knows that there is nothing."""
        await self.open()
        while self.looked < len(ROUTES):
            await sleep(0.01)

    def discovered(self, request: Discover, lanes: Sequence[LaneName], *, more: bool) -> None:
        super().discovered(request, lanes, more=more)
        self.looked += 1

    def lane_changed(self, route: str, lane: str) -> None:
        super().lane_changed(route, lane)
        self.heard = lane

    async def heard_all(self, url: str) -> None:
        mark = str(uuid4())
        told = dump({"route": "none", "lane": mark})
        with psycopg.connect(url, autocommit=True) as connection, fail_after(5):
            connection.execute("SELECT pg_notify('router_changed', %s)", (told,))
            while self.heard != mark:
                await sleep(0.01)
        await drain(self)


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    opened: list[Callable[[], object]] = []
    inboxes: list[Inbox] = []
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""

    async def make_one(*, dedup_window: float = 3600.0, deliver_changed: bool = False) -> Made:
        if request.param == "postgres":
            postgres = Hearing(url, ROUTES, dedup_window=dedup_window, deliver_changed=deliver_changed)
            await postgres.open_wholly()
            inboxes.append(postgres)
            shared = PostgresLedger(Database(url))
            opened.append(shared.close)
            return Made(postgres, shared, partial(postgres.heard_all, url))
        if request.param == "memory":
            memory = MemoryInbox(ROUTES, dedup_window=dedup_window, deliver_changed=deliver_changed)
            return Made(memory, memory, _at_once)
        path = tmp_path / "router.db"
        sqlite = SqliteInbox(path, ROUTES, dedup_window=dedup_window, deliver_changed=deliver_changed)
        await sqlite.open()
        inboxes.append(sqlite)
        ledger = SqliteLedger(path)
        opened.append(ledger.close)

        async def noticed() -> None:
            with closing(sqlite3.connect(path)) as db, fail_after(5):
                while db.execute("SELECT 1 FROM changes").fetchone():
                    await sleep(0.01)

        return Made(sqlite, ledger, noticed)

    yield make_one
    for close in opened:
        close()
    for inbox in inboxes:
        await inbox.close()


async def drain(inbox: Inbox) -> None:
    """Wait until all that was settled is written: a put is answered after what came before it."""
    await inbox.put(entry(event(99_999_999, chat="last"), "nowhere", key="last"))


async def statuses(inbox: Inbox, ledger: Ledger) -> list[tuple[int, DeliveryStatus, int, str | None]]:
    await drain(inbox)
    found = ledger.deliveries(DeliveryFilter())
    return [(d.id, d.status, d.attempts, d.error) for d in found if d.route != "nowhere"]


async def test_what_is_put_can_be_claimed_with_its_event(make: Make) -> None:
    inbox, _, _ = await make()

    stored = await inbox.put(entry(event(1)))
    claimed = await claim(inbox)

    assert stored == Stored()
    assert (claimed.route, claimed.lane, claimed.attempt, claimed.round_attempt) == ("orders", "a", 1, 1)
    assert claimed.event == event(1)


async def test_each_route_of_an_event_is_a_delivery_of_its_own(make: Make) -> None:
    inbox, _, _ = await make()
    await inbox.put(entry(event(1), "orders", "audit"))

    claimed = [await claim(inbox), await claim(inbox)]

    assert {c.route for c in claimed} == {"orders", "audit"}
    assert {c.event.id for c in claimed} == {"00000001"}


async def test_deliveries_of_a_lane_run_one_at_a_time_in_order_of_arrival(make: Make) -> None:
    inbox, _, _ = await make()
    for number in (1, 2, 3):
        await inbox.put(entry(event(number)))
    order = []

    for _ in range(3):
        claimed = await claim(inbox)
        order.append(claimed.event.id)
        await inbox.put(entry(event(int(claimed.event.id) + 10, chat=f"b{claimed.event.id}")))
        other = await claim(inbox)
        assert other.lane != claimed.lane
        inbox.settle(other, Done(attempt()))
        inbox.settle(claimed, Done(attempt()))

    assert order == ["00000001", "00000002", "00000003"]


async def test_no_more_of_a_route_are_handed_out_than_its_concurrency(make: Make) -> None:
    inbox, _, _ = await make()
    for number in (1, 2, 3):
        await inbox.put(entry(event(number, chat=f"c{number}")))
    await inbox.put(entry(event(4, chat="d"), "audit"))

    claimed = [await claim(inbox) for _ in range(3)]

    assert [c.route for c in claimed].count("orders") == 2
    assert [c.route for c in claimed].count("audit") == 1


async def test_a_settled_delivery_is_done_and_shown_with_its_attempt(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1)))

    inbox.settle(await claim(inbox), Done(attempt()))

    assert await statuses(inbox, ledger) == [(1, DeliveryStatus.DONE, 1, None)]
    assert list(ledger.delivery(1).history) == [attempt()]


async def test_a_retry_holds_its_lane_until_it_is_due_and_counts_attempts(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1)))
    await inbox.put(entry(event(2)))
    first = await claim(inbox)

    inbox.settle(first, Retry(failed(), 0.05))
    again = await claim(inbox)

    assert (again.event.id, again.attempt, again.round_attempt) == ("00000001", 2, 2)
    assert again.blocked == pytest.approx(failed().duration + 0.05)
    inbox.settle(again, Done(attempt(2)))
    assert (await claim(inbox)).event.id == "00000002"
    assert (await statuses(inbox, ledger))[0] == (1, DeliveryStatus.DONE, 2, None)
    assert list(ledger.delivery(1).history) == [failed(), attempt(2)]


async def test_a_retry_delays_no_other_lane(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1, chat="a")))
    await inbox.put(entry(event(2, chat="b")))
    first = await claim(inbox)

    inbox.settle(first, Retry(failed(), 3600.0))

    assert (await claim(inbox)).event.id == "00000002"
    found = await statuses(inbox, ledger)
    assert found[0] == (1, DeliveryStatus.PENDING, 1, "ValueError: no")
    assert ledger.delivery(1).due_at is not None


async def test_a_dead_delivery_lets_its_lane_go_on_and_is_kept_with_every_attempt(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1)))
    await inbox.put(entry(event(2)))

    inbox.settle(await claim(inbox), Dead("gave up", failed()))

    assert (await claim(inbox)).event.id == "00000002"
    assert (await statuses(inbox, ledger))[0] == (1, DeliveryStatus.DEAD, 1, "gave up")
    assert list(ledger.delivery(1).history) == [failed()]


async def test_a_released_claim_is_handed_out_again_with_the_same_attempt_and_before_later_ones(
    make: Make,
) -> None:
    inbox, _, _ = await make()
    await inbox.put(entry(event(1)))
    await inbox.put(entry(event(2)))

    inbox.release(await claim(inbox))

    again = await claim(inbox)
    assert (again.event.id, again.attempt) == ("00000001", 1)


async def test_the_same_key_is_stored_once_and_counted(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1), key="k"))

    again = await inbox.put(entry(event(2, text="hello"), key="k"))

    assert again == Duplicate("00000001", changed=True)  # its idMessage differs
    same = await inbox.put(entry(event(1), key="k"))
    assert same == Duplicate("00000001", changed=False)
    record = ledger.event("00000001")
    assert (record.duplicates, record.changed) == (1, 1)
    assert len(ledger.events(EventFilter())) == 1


async def test_a_key_is_free_again_after_the_window(make: Make) -> None:
    inbox, _, _ = await make(dedup_window=60)
    await inbox.put(entry(event(1), key="k"))

    within = await inbox.put(entry(event(2, received_at=NOW + timedelta(seconds=60)), key="k"))
    after = await inbox.put(entry(event(3, received_at=NOW + timedelta(seconds=61)), key="k"))
    of_the_new_one = await inbox.put(entry(event(4, received_at=NOW + timedelta(seconds=90)), key="k"))

    assert within == Duplicate("00000001", changed=True)
    assert after == Stored()
    assert of_the_new_one == Duplicate("00000003", changed=True)


async def test_a_changed_duplicate_is_delivered_once_if_asked_for(make: Make) -> None:
    inbox, ledger, _ = await make(deliver_changed=True)
    await inbox.put(entry(event(1, text="short"), key="k"))

    changed = event(2, text="with more data")
    results = [await inbox.put(entry(changed, key="k")), await inbox.put(entry(changed, key="k"))]

    assert results == [Stored(changed="00000001"), Duplicate("00000002", changed=False)]
    first, second = ledger.event("00000001"), ledger.event("00000002")
    assert (first.duplicates, first.changed) == (0, 1)
    assert (second.duplicates, second.changed) == (1, 0)


async def test_waiting_claims_end_when_no_more_are_handed_out(make: Make) -> None:
    inbox, _, _ = await make()
    await inbox.put(entry(event(1)))

    inbox.stop_claims()

    assert await inbox.claim() is None


async def test_a_delivery_of_a_route_that_is_not_configured_stays_in_the_inbox(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1), "gone"))
    await inbox.put(entry(event(2)))

    assert (await claim(inbox)).event.id == "00000002"
    assert ledger.deliveries(DeliveryFilter(route="gone"))[0].status is DeliveryStatus.PENDING


async def test_an_invalid_event_is_kept_with_its_problems_and_its_bytes(make: Make) -> None:
    inbox, ledger, _ = await make()
    body = b'\xff\x00 no JSON "'
    problems = (Problem("$", "json", "expected a JSON object"),)
    of = event(1)

    await inbox.put(Entry(event=of, status=EventStatus.INVALID, key="k", body=body, problems=problems))

    record = ledger.event(of.id)
    assert (record.status, record.body, tuple(record.problems)) == (EventStatus.INVALID, body, problems)


async def test_events_are_listed_newest_first_and_filtered(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1, chat="a")))
    await inbox.put(entry(event(2, chat="b"), status=EventStatus.UNKNOWN))
    await inbox.put(entry(event(3, chat="a")))

    def ids(where: EventFilter, limit: int = 50) -> list[str]:
        return [record.id for record in ledger.events(where, limit)]

    assert ids(EventFilter()) == ["00000003", "00000002", "00000001"]
    assert ids(EventFilter(chat="a")) == ["00000003", "00000001"]
    assert ids(EventFilter(status=EventStatus.UNKNOWN)) == ["00000002"]
    assert ids(EventFilter(instance=8)) == []
    assert ids(EventFilter(type="incomingMessageReceived"), 1) == ["00000003"]


async def test_an_event_is_found_by_the_beginning_of_its_id_while_that_is_unique(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(10)))
    await inbox.put(entry(event(11)))

    assert ledger.event("00000010").id == "00000010"
    for ambiguous_or_missing in ("0000001", "", "zzz", "00000010 "):
        with pytest.raises(NotFound):
            ledger.event(ambiguous_or_missing)
    with pytest.raises(NotFound):
        ledger.delivery(404)


async def test_a_retried_dead_letter_is_delivered_again_before_later_ones_of_its_lane(make: Make) -> None:
    inbox, ledger, noticed = await make()
    for number in (1, 2, 3):
        await inbox.put(entry(event(number)))
    inbox.settle(await claim(inbox), Dead("no", failed()))
    second = await claim(inbox)
    await drain(inbox)

    assert ledger.retry([1, 2, 404]) == [1]
    await noticed()
    inbox.settle(second, Done(attempt()))
    again = await claim(inbox)

    assert (again.event.id, again.attempt, again.round_attempt, again.blocked) == ("00000001", 2, 1, 0.0)


async def test_a_discarded_delivery_is_not_handed_out_and_stays_discarded(make: Make) -> None:
    inbox, ledger, noticed = await make()
    for number in (1, 2, 3):
        await inbox.put(entry(event(number)))
    running = await claim(inbox)

    assert ledger.discard([1, 2]) == [1, 2]
    await noticed()
    inbox.settle(running, Done(attempt()))

    assert (await claim(inbox)).event.id == "00000003"
    assert [status for _, status, *_ in await statuses(inbox, ledger)][:2] == [DeliveryStatus.DISCARDED] * 2
    assert ledger.discard([1]) == []


async def test_a_delivery_that_takes_a_while_is_shown_as_running_until_it_is_settled(make: Make) -> None:
    inbox, ledger, _ = await make()
    for number in (1, 2, 3):
        await inbox.put(entry(event(number)))
    seen = []
    endings: list[Callable[[Claim], None]] = [
        lambda claimed: inbox.settle(claimed, Retry(failed(), 0.0)),
        inbox.release,
        lambda claimed: inbox.settle(claimed, Done(attempt(2))),
    ]

    for settle in endings:
        claimed = await claim(inbox)
        inbox.started(claimed)
        seen.append((claimed.id, (await statuses(inbox, ledger))[0][1]))
        settle(claimed)
        seen.append((claimed.id, (await statuses(inbox, ledger))[0][1]))

    assert seen == [(1, "running"), (1, "pending")] * 2 + [(1, "running"), (1, "done")]
    assert (await claim(inbox)).id == 2


async def bury(inbox: Inbox, *errors: str) -> None:
    """Leave a dead letter for each of the errors, in chats of their own, oldest first."""
    for number, error in enumerate(errors, 1):
        await inbox.put(entry(event(number, chat=f"chat{number}")))
        inbox.settle(await claim(inbox), Dead(error, failed()))
    await drain(inbox)


@pytest.mark.parametrize(
    ("part", "ids"),
    [
        ("crm is down", [1]),
        ("CRM", [1, 2]),
        ("100%", [2]),
        ("%", [2]),
        ("_", [3]),
        ("\\", [3]),
        ("НЕДОСТУПЕН", [4]),
        ("nothing like it", []),
        ("\udcff", []),
    ],
)
async def test_dead_letters_are_picked_by_a_part_of_their_error(
    make: Make, part: str, ids: list[int]
) -> None:
    inbox, ledger, _ = await make()
    await bury(inbox, "CRM is down", "the crm is 100% full", "C:\\a_file", "сервер недоступен")
    assert [d.id for d in ledger.deliveries(DeliveryFilter(error=part))] == ids


async def test_dead_letters_are_picked_by_when_they_were_settled(make: Make) -> None:
    inbox, ledger, _ = await make()
    await bury(inbox, "no", "no", "no")
    await inbox.put(entry(event(4)))  # not settled at all
    moments = [d.settled_at for d in ledger.deliveries(DeliveryFilter(status=DeliveryStatus.DEAD))]

    def ids(since: datetime | None, before: datetime | None) -> list[int]:
        return [d.id for d in ledger.deliveries(DeliveryFilter(route="orders", since=since, before=before))]

    assert ids(moments[1], None) == [2, 3]
    assert ids(None, moments[1]) == [1]
    assert ids(moments[1], moments[2]) == [2]


async def test_deliveries_are_counted_by_route(make: Make) -> None:
    inbox, ledger, _ = await make()
    for number in (1, 2):
        await inbox.put(entry(event(number, chat="a"), "orders"))
    await inbox.put(entry(event(3, chat="b"), "orders", "audit"))

    assert ledger.count(DeliveryFilter()) == {"audit": 1, "orders": 3}
    assert ledger.count(DeliveryFilter(chat="a")) == {"orders": 2}
    assert ledger.count(DeliveryFilter(status=DeliveryStatus.DEAD)) == {}


async def test_events_are_picked_by_when_they_came_and_by_their_deliveries(make: Make) -> None:
    inbox, ledger, _ = await make()
    for number in (1, 2, 3):
        at = NOW + timedelta(minutes=number)
        await inbox.put(entry(event(number, chat=f"c{number}", received_at=at), "orders", "gone"))
    inbox.settle(await claim(inbox), Done(attempt()))
    await drain(inbox)

    def ids(**asked: Any) -> list[str]:
        found = [record.id for record in ledger.events(EventFilter(**asked))]
        return [each for each in found if each != "99999999"]

    second = NOW + timedelta(minutes=2)
    assert ids(since=second) == ["00000003", "00000002"]
    assert ids(before=second) == ["00000001"]
    assert ids(delivery=DeliveryStatus.DONE) == ["00000001"]
    assert ids(delivery=DeliveryStatus.DONE, route="gone") == []
    assert ids(delivery=DeliveryStatus.PENDING, route="orders") == ["00000003", "00000002"]
    assert ids(route="gone", before=second) == ["00000001"]
    assert ids(route="audit") == []


async def test_all_events_and_deliveries_are_gone_through_oldest_first_however_many(make: Make) -> None:
    inbox, ledger, _ = await make()
    async with create_task_group() as tasks:
        for number in range(1, 1_102):
            tasks.start_soon(inbox.put, entry(event(number, chat=f"c{number % 2}"), "gone"))

    expected = [f"{number:08d}" for number in range(1, 1_102)]
    events = ledger.each_event(EventFilter())
    first = next(events)
    await inbox.put(entry(event(5_000)))  # came meanwhile

    assert [first.id, *(record.id for record in events)] == expected
    assert [d.event for d in ledger.each_delivery(DeliveryFilter(route="gone"))] == expected
    assert [d.event for d in ledger.each_delivery(DeliveryFilter(chat="c1"))] == expected[::2]
    assert [record.id for record in ledger.each_event(EventFilter(chat="c1"))] == expected[::2]


async def test_retried_dead_letters_of_a_lane_run_in_order_before_those_that_wait(make: Make) -> None:
    inbox, ledger, noticed = await make()
    for number in range(1, 7):
        await inbox.put(entry(event(number)))
    for number in (1, 2, 3):
        ending = Done(attempt()) if number == 2 else Dead("no", failed())
        inbox.settle(await claim(inbox), ending)
    fourth = await claim(inbox)
    inbox.settle(fourth, Retry(failed(), 3600.0))
    await drain(inbox)

    assert ledger.retry([1, 3]) == [1, 3]
    await noticed()

    order = []
    for _ in range(2):
        claimed = await claim(inbox)
        order.append(claimed.id)
        inbox.settle(claimed, Done(attempt(2)))
    assert order == [1, 3]
    ledger.discard([4])
    await noticed()
    assert (await claim(inbox)).id == 5


def replay_of(of: Event, *routes: str, key: str | None = None) -> Replay:
    return Replay(event=of, key=key, deliveries=[NewDelivery(route, of.chat or "-") for route in routes])


async def test_a_replayed_event_comes_last_in_its_lane_and_is_the_same_event(make: Make) -> None:
    inbox, ledger, noticed = await make()
    for number in (1, 2):
        await inbox.put(entry(event(number)))
    inbox.settle(await claim(inbox), Done(attempt()))
    await drain(inbox)

    assert ledger.replay([replay_of(event(1), "orders")]) == [Replayed(routes=("orders",))]
    await noticed()

    order = []
    for _ in range(2):
        claimed = await claim(inbox)
        order.append((claimed.event, claimed.attempt))
        inbox.settle(claimed, Done(attempt()))
    assert order == [(event(2), 1), (event(1), 1)]
    await drain(inbox)
    deliveries = ledger.event("00000001").deliveries
    assert [(d.status, d.attempts, len(d.history)) for d in deliveries] == [(DeliveryStatus.DONE, 1, 1)] * 2


async def test_an_event_is_not_replayed_to_a_route_that_is_not_done_with_it(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1), "orders", "audit", "gone"))
    claims = {c.route: c for c in [await claim(inbox), await claim(inbox)]}
    inbox.started(claims["orders"])
    inbox.settle(claims["audit"], Dead("no", failed()))
    await drain(inbox)

    of = replay_of(event(1), "orders", "audit", "gone")
    assert ledger.replay([of], dry_run=True) == ledger.replay([of])
    assert ledger.replay([of, of]) == [Replayed(waiting=("orders", "audit", "gone"))] * 2
    assert [(d.route, d.status) for d in ledger.event("00000001").deliveries] == [
        ("orders", DeliveryStatus.RUNNING),
        ("audit", DeliveryStatus.DEAD),
        ("gone", DeliveryStatus.PENDING),
        ("audit", DeliveryStatus.PENDING),
    ]


async def test_a_replayed_event_is_accepted_with_the_facts_and_the_key_it_is_given(make: Make) -> None:
    inbox, ledger, _ = await make()
    of = event(1)
    bare = replace(of, type=None, instance=None, chat=None)
    problems = (Problem("$", "json", "expected a JSON object"),)
    await inbox.put(Entry(event=bare, status=EventStatus.INVALID, key="old", body=b"{}", problems=problems))

    replays = [replay_of(of, "orders", key="new")]
    assert ledger.replay(replays, dry_run=True) == [Replayed(routes=("orders",))]
    assert ledger.event(of.id).status is EventStatus.INVALID
    assert ledger.replay(replays) == [Replayed(routes=("orders",))]

    record = ledger.event(of.id)
    assert (record.status, record.type, record.instance, record.chat, tuple(record.problems)) == (
        EventStatus.ACCEPTED,
        of.type,
        of.instance,
        of.chat,
        (),
    )
    assert isinstance(await inbox.put(entry(event(2), key="new")), Duplicate)
    assert await inbox.put(entry(event(3), key="old")) == Stored()


async def test_an_event_whose_key_another_one_has_is_not_replayed(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(entry(event(1), key="k"))
    await inbox.put(Entry(event=event(2), status=EventStatus.INVALID, key="old", body=b"{}"))

    assert ledger.replay([replay_of(event(2), "orders", key="k")]) == [Replayed(duplicate_of="00000001")]
    assert ledger.event("00000002").status is EventStatus.INVALID
    assert ledger.event("00000002").deliveries == ()


async def test_an_event_that_is_replayed_under_its_own_key_is_no_duplicate_of_itself(make: Make) -> None:
    inbox, ledger, _ = await make()
    await inbox.put(Entry(event=event(1), status=EventStatus.UNKNOWN, key="k", body=b"{}"))
    assert ledger.replay([replay_of(event(1), "orders", key="k")]) == [Replayed(routes=("orders",))]


async def test_of_an_event_that_is_gone_nothing_is_replayed(make: Make) -> None:
    _, ledger, _ = await make()
    assert ledger.replay([replay_of(event(1), "orders")]) == [Replayed()]


async def test_what_is_added_beside_a_running_inbox_comes_last_in_its_lane(make: Make) -> None:
    inbox, ledger, noticed = await make()
    await inbox.put(entry(event(1)))

    assert ledger.add([entry(event(2), "orders", "audit"), entry(event(3))]) == [None, None]
    await noticed()

    claims = []
    for _ in range(4):
        claims.append(claimed := await claim(inbox))
        inbox.settle(claimed, Done(attempt()))
    assert [c.event for c in claims if c.route == "orders"] == [event(1), event(2), event(3)]
    assert [c.event for c in claims if c.route == "audit"] == [event(2)]
    record = ledger.event("00000002")
    assert (record.status, record.instance, record.chat) == (EventStatus.ACCEPTED, 7, "a")


async def test_what_has_come_is_not_added_again_nor_counted(make: Make) -> None:
    inbox, ledger, _ = await make(dedup_window=1)
    await inbox.put(entry(event(1), key="k"))
    later = event(2, text="other", received_at=NOW + timedelta(seconds=2))

    assert ledger.add([entry(later, key="k"), entry(event(3), key="n"), entry(event(4), key="n")]) == [
        "00000001",
        None,
        "00000003",
    ]
    assert [(e.id, e.duplicates, e.changed) for e in ledger.events(EventFilter())] == [
        ("00000003", 0, 0),
        ("00000001", 0, 0),
    ]


async def test_what_was_added_and_comes_after_all_is_a_duplicate(make: Make) -> None:
    inbox, ledger, noticed = await make()
    ledger.add([entry(event(1), key="k")])
    await noticed()
    assert await inbox.put(entry(event(2), key="k")) == Duplicate("00000001", changed=True)
