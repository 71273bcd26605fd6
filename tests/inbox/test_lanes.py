from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from anyio import create_task_group, wait_all_tasks_blocked

from router.events import Event, Transport
from router.inbox import Claim
from router.inbox.lanes import PAGE, Lanes


def delivery(number: int, lane: str = "a", route: str = "r", size: int = 0) -> Claim:
    event = Event(
        id=str(number),
        type="t",
        instance=None,
        messenger=None,
        chat=None,
        sender=None,
        message_type=None,
        text=None,
        timestamp=None,
        received_at=datetime(2026, 11, 24, tzinfo=UTC),
        transport=Transport.WEBHOOK,
        data={},
    )
    return Claim(id=number, route=route, lane=lane, event=event, size=size)


class Store:
    """A store that holds what Lanes do not, and answers when it is told to."""

    def __init__(self, *, page: int = 2) -> None:
        self.page = page
        self.pending: dict[tuple[str, str], list[Claim]] = defaultdict(list)
        self.asked: list[tuple[str, ...]] = []
        self.lanes: Lanes
        self.most_asked: list[int] = []
        #: Loop time at which a delivery is due, as the store has it.
        self.due: dict[int, float] = {}

    def hold(self, *claims: Claim) -> None:
        for claim in claims:
            self.pending[claim.route, claim.lane].append(claim)

    def forget(self, claim: Claim) -> None:
        self.pending[claim.route, claim.lane] = [
            held for held in self.pending[claim.route, claim.lane] if held.id != claim.id
        ]

    def load(self, route: str, lane: str, most: int) -> None:
        self.most_asked.append(most)
        self.asked.append(("load", route, lane))

    def discover(self, route: str, cursor: int) -> None:
        self.asked.append(("discover", route, str(cursor)))

    def answer(self) -> None:
        asked, self.asked = self.asked, []
        for kind, route, what in asked:
            if kind == "load":
                waiting = self.pending[route, what]
                page = [(claim, self.due.get(claim.id)) for claim in waiting[: self.page]]
                self.lanes.loaded(route, what, page, more=len(waiting) > self.page)
            else:
                rows = sorted(
                    (claim.id, claim.lane)
                    for (of, _), claims in self.pending.items()
                    for claim in claims
                    if of == route and claim.id > int(what)
                )
                found = rows[: self.page]
                cursor = found[-1][0] if found else int(what)
                keys = dict.fromkeys(lane for _, lane in found)
                self.lanes.discovered(route, keys, cursor=cursor, more=len(rows) > self.page)


def make(store: Store, *, concurrency: int = 10, **bounds: Any) -> Lanes:
    store.lanes = Lanes(
        {"r": concurrency, "other": concurrency},
        load=store.load,
        discover=store.discover,
        **{"max_waiting": 100, "max_lanes": 100, **bounds},
    )
    return store.lanes


def take_all(lanes: Lanes, store: Store) -> list[int]:
    """Claim and finish until nothing is left, as a dispatcher with one carrier would."""
    order: list[int] = []
    while True:
        claim = lanes.claim_nowait()
        if claim is None and not store.asked:
            return order
        if claim is None:
            store.answer()
            continue
        order.append(claim.id)
        store.forget(claim)
        lanes.finished(claim)


async def test_lanes_take_turns_and_each_keeps_its_order() -> None:
    lanes = make(store := Store())
    for number, lane in [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "c")]:
        lanes.add(delivery(number, lane))

    assert take_all(lanes, store) == [1, 3, 5, 2, 4]


async def test_nothing_of_a_lane_is_handed_out_while_one_of_it_runs() -> None:
    lanes = make(Store())
    lanes.add(delivery(1))
    lanes.add(delivery(2))

    first = lanes.claim_nowait()
    assert lanes.claim_nowait() is None
    assert first is not None
    lanes.finished(first)

    second = lanes.claim_nowait()
    assert second is not None
    assert second.id == 2


async def test_routes_take_turns_so_that_a_busy_one_delays_no_other() -> None:
    lanes = make(Store(), concurrency=2)
    for number in range(10):
        lanes.add(delivery(number, f"lane{number}"))
    lanes.add(delivery(10, "x", "other"))

    handed_out = [claim.id for _ in range(4) if (claim := lanes.claim_nowait())]

    assert handed_out == [0, 10, 1]


async def test_a_lane_longer_than_memory_goes_on_from_the_store_in_order() -> None:
    store = Store(page=2)
    lanes = make(store, max_waiting=3)
    for number in range(1, 9):
        store.hold(claim := delivery(number))
        lanes.add(claim)

    assert take_all(lanes, store) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_what_arrives_while_a_lane_is_read_from_the_store_is_neither_lost_nor_doubled() -> None:
    store = Store(page=10)
    lanes = make(store, max_waiting=1)
    for number in (1, 2):
        store.hold(claim := delivery(number))
        lanes.add(claim)
    first = lanes.claim_nowait()
    assert first is not None
    store.forget(first)
    lanes.finished(first)
    assert lanes.claim_nowait() is None  # it asks the store for the lane
    store.hold(third := delivery(3))
    lanes.add(third)  # stored before the page was read: the page has it

    assert take_all(lanes, store) == [2, 3]


async def test_lanes_left_in_the_store_are_discovered_oldest_first_page_by_page() -> None:
    store = Store(page=2)
    lanes = make(store)
    for number, lane in [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "d")]:
        store.hold(delivery(number, lane))

    lanes.start()

    assert sorted(take_all(lanes, store)) == [1, 2, 3, 4, 5]


async def test_more_lanes_than_are_known_at_a_time_are_all_handled() -> None:
    store = Store(page=3)
    lanes = make(store, max_lanes=2)
    for number in range(1, 8):
        store.hold(claim := delivery(number, f"lane{number}"))
        lanes.add(claim)

    assert take_all(lanes, store) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_lane_held_up_by_a_retry_counts_neither_as_known_nor_as_waiting() -> None:
    store = Store(page=3)
    lanes = make(store, max_lanes=1, max_waiting=2)
    for number in (1, 2, 3):
        store.hold(claim := delivery(number, "slow"))
        lanes.add(claim)
    first = lanes.claim_nowait()
    assert first is not None
    lanes.retry(replace(first, attempt=2), asyncio.get_running_loop().time() + 3600)
    store.hold(other := delivery(4, "fast"))

    lanes.add(other)

    assert take_all(lanes, store) == [4]


async def test_a_retry_comes_first_in_its_lane_once_it_is_due() -> None:
    lanes = make(store := Store())
    for number in (1, 2):
        store.hold(claim := delivery(number))
        lanes.add(claim)
    first = lanes.claim_nowait()
    assert first is not None

    lanes.retry(replace(first, attempt=2), asyncio.get_running_loop().time())
    again = await lanes.claim()

    assert again is not None
    assert (again.id, again.attempt) == (1, 2)
    store.forget(again)
    lanes.finished(again)
    assert take_all(lanes, store) == [2]


async def test_a_lane_that_an_operator_changed_is_read_again() -> None:
    store = Store(page=10)
    lanes = make(store)
    for number in (2, 3):
        store.hold(claim := delivery(number))
        lanes.add(claim)
    store.pending["r", "a"].insert(0, delivery(1))  # retried by a person
    store.forget(delivery(3))  # discarded by a person

    lanes.changed("r", "a")

    assert take_all(lanes, store) == [1, 2]


async def test_a_change_to_a_lane_whose_delivery_runs_waits_for_it() -> None:
    store = Store(page=10)
    lanes = make(store)
    store.hold(claim := delivery(2))
    lanes.add(claim)
    running = lanes.claim_nowait()
    assert running is not None
    store.hold(delivery(1))

    lanes.changed("r", "a")
    assert lanes.claim_nowait() is None
    store.forget(running)
    lanes.finished(running)

    assert take_all(lanes, store) == [1]


async def test_a_change_frees_a_lane_that_a_retry_holds_up() -> None:
    store = Store(page=10)
    lanes = make(store)
    for number in (1, 2):
        store.hold(claim := delivery(number))
        lanes.add(claim)
    first = lanes.claim_nowait()
    assert first is not None
    lanes.retry(first, asyncio.get_running_loop().time() + 3600)
    store.forget(first)  # discarded by a person

    lanes.changed("r", "a")

    assert take_all(lanes, store) == [2]


async def test_nothing_is_handed_out_while_paused() -> None:
    lanes = make(store := Store())
    lanes.pause()
    lanes.add(delivery(1))

    assert lanes.claim_nowait() is None
    lanes.resume()

    assert take_all(lanes, store) == [1]


async def test_as_many_claimers_wake_as_there_is_work() -> None:
    lanes = make(Store())
    claimed: list[int | None] = []

    async def claimer() -> None:
        claim = await lanes.claim()
        claimed.append(claim.id if claim else None)

    async with create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(claimer)
        await wait_all_tasks_blocked()
        lanes.add(delivery(1, "a"))
        lanes.add(delivery(2, "b"))
        await wait_all_tasks_blocked()
        assert {1, 2} <= set(claimed)
        lanes.stop()

    assert claimed.count(None) == 1


async def test_a_claimer_that_is_cancelled_takes_no_work_with_it() -> None:
    lanes = make(Store())
    claimed = []

    async def claimer() -> None:
        claimed.append(await lanes.claim())

    first, second = asyncio.ensure_future(claimer()), asyncio.ensure_future(claimer())
    await wait_all_tasks_blocked()
    lanes.add(delivery(1))
    first.cancel()
    await asyncio.wait([second])

    assert [claim and claim.id for claim in claimed] == [1]


def _never(*asked: object) -> None:
    raise AssertionError(asked)


async def test_a_route_that_runs_something_leaves_a_place_for_each_route_that_runs_nothing() -> None:
    lanes = Lanes({"a": 8, "b": 8, "c": 8}, concurrency=4, load=_never, discover=_never)
    for number in range(1, 9):
        lanes.add(delivery(number, lane=f"l{number}", route="a"))
    of_a = [lanes.claim_nowait() for _ in range(3)]
    lanes.add(delivery(20, lane="x", route="b"))
    lanes.add(delivery(21, lane="x", route="c"))

    others = [lanes.claim_nowait(), lanes.claim_nowait()]

    assert [claim is not None for claim in of_a] == [True, True, False]
    assert [claim.route for claim in others if claim] == ["b", "c"]
    assert of_a[0] is not None
    lanes.finished(of_a[0])
    again = lanes.claim_nowait()
    assert again is not None
    assert again.route == "a"


async def test_one_route_alone_may_take_every_place() -> None:
    lanes = Lanes({"a": 8}, concurrency=4, load=_never, discover=_never)
    for number in range(1, 9):
        lanes.add(delivery(number, lane=f"l{number}", route="a"))

    assert [lanes.claim_nowait() is not None for _ in range(4)] == [True] * 4


async def test_a_lane_that_was_read_is_handed_out_before_the_next_one_is_read() -> None:
    lanes = make(store := Store(), concurrency=1)
    for number in range(20):
        store.hold(delivery(number, f"lane{number}"))
    lanes.start()
    store.answer()  # two lanes are found
    read = []
    while (claim := lanes.claim_nowait()) is None:
        read += [what for kind, route, what in store.asked if (kind, route) == ("load", "r")]
        store.answer()

    assert read == [claim.lane]


async def test_while_memory_is_full_a_lane_is_read_one_by_one() -> None:
    lanes = make(store := Store(), max_waiting=2)
    for number, lane in [(1, "a"), (2, "b"), (3, "c")]:
        lanes.add(delivery(number, lane))
        store.hold(delivery(number, lane))
    lanes._claim_from(lanes._routes["r"])  # a place becomes free
    lanes.add(delivery(4, "d"))
    store.hold(delivery(4, "d"))
    while lanes.claim_nowait() is not None:
        pass

    assert store.most_asked == [PAGE]

    full = make(store := Store(), max_waiting=1)
    for number, lane in [(1, "a"), (2, "b")]:
        full.add(delivery(number, lane))
        store.hold(delivery(number, lane))
    full._routes["r"].ready.rotate(-1)  # the turn of the one that is not in memory comes first
    full.claim_nowait()

    assert store.most_asked == [1]


async def test_memory_is_full_by_the_size_of_bodies_as_well() -> None:
    lanes = make(store := Store(), max_bytes=1_000)
    for number, size in [(1, 600), (2, 600), (3, 1), (4, 1)]:
        lanes.add(delivery(number, f"lane{number}", size=size))
        store.hold(delivery(number, f"lane{number}", size=size))

    assert [lane.spilled for lane in lanes._routes["r"].lanes.values()] == [False, False, True, True]
    assert take_all(lanes, store) == [1, 2, 3, 4]


async def test_a_retry_for_which_memory_has_no_room_is_read_again_and_does_not_wait_twice() -> None:
    lanes = make(store := Store(), max_waiting=1)
    store.hold(failing := delivery(1, "a"))
    lanes.add(failing)
    claimed = lanes.claim_nowait()
    assert claimed is not None
    lanes.add(delivery(2, "b"))  # takes the room
    lanes.retry(claimed, lanes.now() + 0.01)
    store.due[1] = lanes.now() + 3600  # as after the clock was set back
    kept = list(lanes._routes["r"].lanes["a"].waiting)
    other = lanes.claim_nowait()

    claiming = asyncio.ensure_future(lanes.claim())
    while not store.asked:
        await asyncio.sleep(0.001)
    store.answer()
    again = await claiming

    assert kept == []
    assert other is not None
    assert again is not None
    assert (other.id, again.id) == (2, 1)


async def test_when_too_many_lanes_are_held_up_no_more_are_looked_for() -> None:
    lanes = make(store := Store(), max_held=2)
    for number in (1, 2):
        lanes.add(delivery(number, f"lane{number}"))
        claimed = lanes.claim_nowait()
        assert claimed is not None
        lanes.retry(claimed, lanes.now() + 3600)
    store.hold(delivery(3, "lane3"))

    lanes.add(delivery(3, "lane3"))

    assert lanes.claim_nowait() is None
    assert "lane3" not in lanes._routes["r"].lanes
    lanes.changed("r", "lane1")  # one is let go
    assert take_all(lanes, store) == [3]
