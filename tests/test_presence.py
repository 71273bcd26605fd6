from __future__ import annotations

from datetime import UTC, datetime

import pytest
from anyio import create_task_group, fail_after, sleep

from router.alerts import Alerts
from router.clock import taken_from
from router.errors import InboxUnavailable, InstanceNotReady, Unauthorized
from router.events import Event, JsonObject, Transport
from router.inbox.memory_store import MemoryStore
from router.normalize import normalize
from router.presence import Presence
from tests.conftest import Log

SHOP, OFFICE, STRANGER = 1101000001, 1101000002, 7103000000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def event(instance: int | None = SHOP, type_: str = "incomingCall", **data: object) -> Event:
    body: JsonObject = {"typeWebhook": type_, "instanceData": {"idInstance": instance}, **data}
    return normalize(body, id="e1", received_at=datetime.now(UTC), transport=Transport.WEBHOOK)


def state(value: str, timestamp: int = 1) -> Event:
    return event(type_="stateInstanceChanged", stateInstance=value, timestamp=timestamp)


def told(log: Log) -> list[tuple[str, str, str]]:
    return [
        (record["event"].removeprefix("alert."), record["kind"], record["subject"])
        for record in log.records
        if record["event"].startswith("alert.")
    ]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def presence(clock: Clock, log: Log) -> Presence:
    return Presence([SHOP, OFFICE], {SHOP: 60.0}, Alerts(600.0), clock=clock)


def test_an_instance_that_is_quiet_for_too_long_is_missed_once(
    presence: Presence, clock: Clock, log: Log
) -> None:
    assert presence.miss(clock.now) == 1_060
    clock.now = 1_050
    presence.heard(event())
    clock.now = 1_109
    assert presence.miss(clock.now) == 1_110
    assert told(log) == []
    clock.now = 1_110
    presence.miss(clock.now)
    clock.now = 1_500
    presence.miss(clock.now)
    assert told(log) == [("raised", "quiet", str(SHOP))]
    assert log.named("alert.raised")[0]["quiet_after"] == 60


def test_anything_that_comes_ends_the_silence(presence: Presence, clock: Clock, log: Log) -> None:
    clock.now = 1_100
    presence.miss(clock.now)
    presence.heard(event(OFFICE))
    assert told(log) == [("raised", "quiet", str(SHOP))]
    presence.heard(event(type_="somethingNew"))
    assert told(log)[1:] == [("recovered", "quiet", str(SHOP))]
    assert presence.miss(clock.now) == 1_160


def test_while_one_is_quiet_another_is_missed_in_time(clock: Clock, log: Log) -> None:
    presence = Presence([SHOP, OFFICE], {SHOP: 60.0, OFFICE: 100.0}, Alerts(600.0), clock=clock)
    clock.now = 1_060
    assert presence.miss(clock.now) == 1_100
    clock.now = 1_100
    presence.miss(clock.now)
    assert told(log) == [("raised", "quiet", str(SHOP)), ("raised", "quiet", str(OFFICE))]


@pytest.mark.parametrize("value", ["notAuthorized", "blocked", "sleepMode", "suspended", "yellowCard"])
def test_an_instance_that_is_not_authorized_is_told_until_it_is(
    value: str, presence: Presence, log: Log
) -> None:
    presence.heard(state(value, 1))
    presence.heard(state("starting", 2))
    assert told(log) == [("raised", "instance_state", str(SHOP))]
    assert log.named("alert.raised")[0]["stateInstance"] == value
    presence.heard(state("authorized", 3))
    assert told(log)[1:] == [("recovered", "instance_state", str(SHOP))]


def test_a_change_of_state_that_comes_late_changes_nothing(presence: Presence, log: Log) -> None:
    presence.heard(state("authorized", 5))
    presence.heard(state("notAuthorized", 4))
    assert told(log) == []


def test_an_instance_that_cannot_be_polled_is_told_until_it_can(presence: Presence, log: Log) -> None:
    presence.lost(SHOP, Unauthorized(SHOP, "receiveNotification", "401"))
    presence.lost(SHOP, Unauthorized(SHOP, "receiveNotification", "401"))
    assert told(log) == [("raised", "instance_down", str(SHOP))]
    assert "compare id, token" in log.named("alert.raised")[0]["error"]
    presence.restored(SHOP)
    presence.restored(SHOP)
    assert told(log)[1:] == [("recovered", "instance_down", str(SHOP))]


def test_what_a_notification_told_is_not_taken_back_by_polling(presence: Presence, log: Log) -> None:
    presence.heard(state("notAuthorized"))
    presence.restored(SHOP)
    assert told(log) == [("raised", "instance_state", str(SHOP))]


def test_polling_takes_back_that_the_instance_is_not_ready(presence: Presence, log: Log) -> None:
    presence.lost(SHOP, InstanceNotReady(SHOP, "receiveNotification", "400: instance account not authorized"))
    presence.restored(SHOP)
    assert told(log) == [
        ("raised", "instance_state", str(SHOP)),
        ("recovered", "instance_state", str(SHOP)),
    ]


def test_an_instance_that_is_not_listed_is_told_once(presence: Presence, log: Log) -> None:
    for _ in range(3):
        presence.heard(event(STRANGER))
    presence.heard(event(None))
    assert [record["idInstance"] for record in log.named("instance.unlisted")] == [STRANGER]
    assert told(log) == []


def test_where_no_instances_are_listed_none_is_a_stranger(log: Log) -> None:
    Presence((), {}, Alerts(600.0)).heard(event(STRANGER))
    assert log.events == []


async def test_silence_is_watched_until_the_router_stops(log: Log) -> None:
    presence = Presence([SHOP], {SHOP: 0.01}, Alerts(600.0))
    async with create_task_group() as tasks:
        tasks.start_soon(presence.run, MemoryStore())
        with fail_after(10):
            while not told(log):
                await sleep(0.001)
        presence.stop()
    assert told(log) == [("raised", "quiet", str(SHOP))]


async def test_where_nothing_is_to_be_missed_nothing_is_watched(log: Log) -> None:
    with fail_after(1):
        await Presence([SHOP], {}, Alerts(600.0)).run(MemoryStore())


# Several routers on one inbox


class Routers:
    """Several, with one store, in one time."""

    def __init__(self, count: int, log: Log) -> None:
        self.log = log
        self.clock = Clock()
        self.store = MemoryStore()
        self.presences = [
            Presence([SHOP, OFFICE], {SHOP: 60.0}, Alerts(600.0), clock=self.clock) for _ in range(count)
        ]

    async def look(self) -> list[tuple[str, str, str]]:
        """Let each do what it does by itself; return what was told so far."""
        with taken_from(lambda: datetime.fromtimestamp(self.clock.now, UTC), self.clock):
            for presence in self.presences:
                await presence._look(self.store)
        return told(self.log)


async def test_an_instance_of_which_another_router_heard_is_not_quiet(log: Log) -> None:
    routers = Routers(3, log)
    routers.clock.now += 50
    routers.presences[1].heard(event())
    assert await routers.look() == []
    routers.clock.now += 55
    assert await routers.look() == []
    routers.clock.now += 5
    assert await routers.look() == [("raised", "quiet", str(SHOP))]


async def test_of_several_routers_one_tells_of_a_silence_and_of_its_end(log: Log) -> None:
    routers = Routers(3, log)
    routers.clock.now += 60
    assert await routers.look() == [("raised", "quiet", str(SHOP))]
    routers.clock.now += 300
    assert len(await routers.look()) == 1

    routers.presences[2].heard(event())
    routers.presences.reverse()  # who heard of it shares it first

    assert (await routers.look())[1:] == [("recovered", "quiet", str(SHOP))]
    routers.clock.now += 60
    assert (await routers.look())[2:] == [("raised", "quiet", str(SHOP))]


async def test_what_is_heard_often_is_told_to_the_others_now_and_then(log: Log) -> None:
    class Counting(MemoryStore):
        count = 0

        async def set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
            self.count += 1

    routers = Routers(1, log)
    routers.store = store = Counting()
    for _ in range(60):
        routers.clock.now += 1
        routers.presences[0].heard(event())
        await routers.look()
    assert store.count == 10


async def test_while_the_inbox_is_away_no_silence_is_told(log: Log) -> None:
    class Away(MemoryStore):
        async def get(self, scope: str, key: str) -> bytes | None:
            raise InboxUnavailable("away")

    routers = Routers(1, log)
    routers.store = Away()
    routers.clock.now += 60
    assert await routers.look() == []
    routers.store = MemoryStore()
    assert await routers.look() == [("raised", "quiet", str(SHOP))]


async def test_what_is_overdue_only_after_others_were_asked_waits_for_the_next_look(log: Log) -> None:
    class Slow(MemoryStore):
        async def get(self, scope: str, key: str) -> bytes | None:
            routers.clock.now += 60  # and all others are overdue as well
            return await super().get(scope, key)

    routers = Routers(1, log)
    presence = Presence([SHOP, OFFICE], {SHOP: 60.0, OFFICE: 61.0}, Alerts(600.0), clock=routers.clock)
    routers.presences, routers.store = [presence], Slow()
    routers.clock.now += 60
    assert await routers.look() == [("raised", "quiet", str(SHOP))]
    assert await routers.look() == [("raised", "quiet", str(SHOP)), ("raised", "quiet", str(OFFICE))]
