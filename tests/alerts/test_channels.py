from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from router.alerts.channels import Channels
from router.alerts.texts import Composer
from router.config import AlertSettings
from router.errors import GiveUp, RetryLater
from router.events import Alert, AlertKind, Report
from router.redaction import Redactor
from tests.conftest import Log

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALL = frozenset({*AlertKind, "recovered"})
SECRET = "a-secret-of-nine-words"


class _Selector(selectors.DefaultSelector):
    """Passes the time for which there is nothing to do."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout else timeout)
        if not ready and timeout:
            self.passed += timeout
        return ready


class ImpatientLoop(asyncio.SelectorEventLoop):
    """An event loop without pauses: its clock jumps to the next thing to do."""

    def __init__(self) -> None:
        self.pauses = _Selector()
        super().__init__(self.pauses)

    def time(self) -> float:
        return self.pauses.passed


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": ImpatientLoop}


def now() -> float:
    return asyncio.get_running_loop().time()


class Receiver:
    """A channel that notes what it is given, and when, and does what it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[float, Alert]] = []
        self.behaviour: Callable[[], Awaitable[object]] | None = None
        self._arrived = asyncio.Event()

    async def __call__(self, alert: Alert) -> None:
        self.got.append((now(), alert))
        self._arrived.set()
        if self.behaviour is not None:
            await self.behaviour()

    async def gets(self, number: int) -> list[tuple[float, Alert]]:
        """Wait until so many alerts have come, whether they were taken or not."""
        while len(self.got) < number:
            self._arrived.clear()
            await self._arrived.wait()
        return self.got

    @property
    def subjects(self) -> list[str]:
        return [alert.subject for _, alert in self.got]


def failing(exc: BaseException) -> Callable[[], Awaitable[object]]:
    async def fail() -> None:
        raise exc

    return fail


def settings(**given: Any) -> AlertSettings:
    return AlertSettings(**{"handler": "pager", "kinds": ALL, **given})


def channels(*entries: tuple[AlertSettings, Any]) -> Channels:
    redact = Redactor([SECRET])
    return Channels(entries, compose=Composer("full", redact), redact=redact, timer=now)


@asynccontextmanager
async def running(*entries: tuple[AlertSettings, Any], grace: float = 5.0) -> AsyncIterator[Channels]:
    alerts = channels(*entries)
    async with create_task_group() as tasks:
        await tasks.start(alerts.run)
        yield alerts
        await alerts.stop(grace)


def report(subject: str = "orders", kind: AlertKind = AlertKind.DEAD, **given: Any) -> Report:
    facts = {"count": 1, "first_at": START, "last_at": START, "is_recovered": False, "facts": {}}
    return Report(kind=kind, subject=subject, **{**facts, **given})


async def logged(log: Log, event: str, number: int = 1) -> list[dict[str, Any]]:
    """Wait, by a clock that jumps, until so many lines are there."""
    while len(log.named(event)) < number:
        await asyncio.sleep(1)
    return [{k: v for k, v in line.items() if k not in {"timestamp", "event"}} for line in log.named(event)]


async def test_what_happens_is_sent_at_once(log: Log) -> None:
    receiver = Receiver()
    async with running((settings(), receiver)) as alerts:
        alerts.tell(report())
        ((at, alert),) = await receiver.gets(1)
        assert (at, alert.title) == (0.0, "Dead letter on route: orders")
        assert await logged(log, "alert.sent") == [
            {
                "level": "DEBUG",
                "channel": "pager",
                "kind": "dead",
                "subject": "orders",
                "count": 1,
                "since_last": 1,
            }
        ]


async def test_what_every_held_back_is_sent_when_it_has_passed(log: Log) -> None:
    receiver = Receiver()
    async with running((settings(every=60.0), receiver)) as alerts:
        for count in range(1, 11):
            alerts.tell(report(count=count))
            await checkpoint()
        await receiver.gets(2)
    assert [(at, alert.count, alert.since_last) for at, alert in receiver.got] == [(0.0, 1, 1), (60.0, 10, 9)]


async def test_each_channel_has_its_own_kinds(log: Log) -> None:
    dead, rest = Receiver(), Receiver()
    async with running(
        (settings(kinds=frozenset({"dead"})), dead), (settings(kinds=frozenset({"quiet"})), rest)
    ) as alerts:
        alerts.tell(report())
        alerts.tell(report("1101", AlertKind.QUIET))
        await dead.gets(1)
        await rest.gets(1)
    assert (dead.subjects, rest.subjects) == (["orders"], ["1101"])


async def test_a_failed_one_is_tried_again_ever_later_with_the_same_id(log: Log) -> None:
    receiver = Receiver()
    receiver.behaviour = failing(OSError(f"no way with {SECRET}"))
    async with running((settings(), receiver)) as alerts:
        alerts.tell(report())
        await receiver.gets(3)
        receiver.behaviour = None
        await receiver.gets(4)
    pauses = [
        later - earlier for (earlier, _), (later, _) in zip(receiver.got, receiver.got[1:], strict=False)
    ]
    assert [5 <= pauses[0] <= 5.5, 10 <= pauses[1] <= 11, 20 <= pauses[2] <= 22] == [True, True, True]
    assert len({alert.id for _, alert in receiver.got}) == 1
    lines = await logged(log, "alert.not_sent", 3)
    assert {line["level"] for line in lines} == {"ERROR"}
    assert {(line["channel"], line["kind"], line["subject"]) for line in lines} == {
        ("pager", "dead", "orders")
    }
    assert {line["error"] for line in lines} == {"OSError: no way with [secret]"}
    assert all(line["next_attempt_at"] and "Traceback" in line["exception"] for line in lines)
    assert SECRET not in log.text


async def test_a_channel_that_is_down_is_tried_with_one_alert_at_a_time(log: Log) -> None:
    receiver = Receiver()
    receiver.behaviour = failing(OSError("down"))
    async with running((settings(), receiver)) as alerts:
        for number in range(5):
            alerts.tell(report(str(number)))
        await receiver.gets(3)
        receiver.behaviour = None
        await receiver.gets(7)
    times = [at for at, _ in receiver.got]
    assert times[:3] == sorted(set(times[:3]))
    assert set(receiver.subjects) == {"0", "1", "2", "3", "4"}


async def test_an_alert_that_is_refused_again_and_again_holds_up_no_other(log: Log) -> None:
    receiver = Receiver()

    async def refuse_one() -> None:
        if receiver.subjects[-1] == "odd":
            raise ValueError("odd")

    receiver.behaviour = refuse_one
    async with running((settings(), receiver)) as alerts:
        alerts.tell(report("odd"))
        await receiver.gets(1)
        alerts.tell(report("good"))
        await receiver.gets(3)
    assert "good" in receiver.subjects


@pytest.mark.parametrize(
    ("exc", "error", "has_trace"),
    [
        (RetryLater("too many", after=77), "too many", False),
        (OSError("down"), "OSError: down", True),
        (asyncio.CancelledError(), "CancelledError", False),
        (SystemExit(3), "SystemExit: 3", True),
        (KeyboardInterrupt(), "KeyboardInterrupt", True),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_a_channel_raises_is_its_own(
    log: Log, exc: BaseException, error: str, has_trace: bool
) -> None:
    bad, good = Receiver(), Receiver()
    bad.behaviour = failing(exc)
    async with running((settings(handler="bad"), bad), (settings(), good)) as alerts:
        alerts.tell(report())
        await bad.gets(1)
        await good.gets(1)
        bad.behaviour = None
        await bad.gets(2)
    (line,) = await logged(log, "alert.not_sent")
    assert (line["channel"], line["error"], bool(line["exception"])) == ("bad", error, has_trace)
    if isinstance(exc, RetryLater):
        assert bad.got[1][0] == 77


async def test_an_alert_that_the_channel_gives_up_is_not_sent_again(log: Log) -> None:
    receiver = Receiver()
    receiver.behaviour = failing(GiveUp("address unknown"))
    async with running((settings(every=60.0), receiver)) as alerts:
        alerts.tell(report())
        await receiver.gets(1)
        receiver.behaviour = None
        alerts.tell(report(count=2))
        await receiver.gets(2)
    assert [alert.count for _, alert in receiver.got] == [1, 2]
    (line,) = await logged(log, "alert.not_sent")
    assert (line["error"], line["next_attempt_at"]) == ("gave up: address unknown", None)


async def test_after_a_day_an_alert_is_given_up(log: Log) -> None:
    receiver = Receiver()
    receiver.behaviour = failing(RetryLater("down"))
    async with running((settings(), receiver)) as alerts:
        alerts.tell(report())
        await asyncio.sleep(48 * 3600)
    assert 23 * 3600 < receiver.got[-1][0] < 26 * 3600
    assert log.named("alert.not_sent")[-1]["next_attempt_at"] is None


async def test_a_channel_that_hangs_is_cut_off_and_delays_nothing(log: Log) -> None:
    hanging, good = Receiver(), Receiver()
    hanging.behaviour = asyncio.Event().wait
    async with running((settings(handler="hanging"), hanging), (settings(), good)) as alerts:
        alerts.tell(report())
        await good.gets(1)
        assert good.got[0][0] == 0.0
        (line,) = await logged(log, "alert.not_sent")
        assert (line["error"], line["exception"]) == ("TimeoutError: no end after 30 s", None)
        hanging.behaviour = None
        await hanging.gets(2)


async def test_a_call_that_cannot_be_ended_is_not_joined_by_a_second_one(log: Log) -> None:
    receiver, release = Receiver(), asyncio.Event()

    async def hang() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    receiver.behaviour = hang
    async with running((settings(), receiver)) as alerts:
        alerts.tell(report())
        lines = await logged(log, "alert.not_sent", 2)
        assert lines[1]["error"] == "TimeoutError: its last call has not ended yet"
        assert len(receiver.got) == 1
        receiver.behaviour = None
        release.set()
        await receiver.gets(2)


async def test_at_the_stop_what_waits_is_sent(log: Log) -> None:
    receiver = Receiver()
    async with running((settings(), receiver)) as alerts:
        receiver.behaviour = failing(OSError("down"))
        alerts.tell(report("failed"))
        await logged(log, "alert.not_sent")
        receiver.behaviour = None
        alerts.tell(report("new"))
    assert receiver.subjects in (["failed", "failed", "new"], ["failed", "new", "failed"])
    assert now() < 5.0


async def test_at_the_stop_what_cannot_be_sent_is_logged_and_the_router_goes(log: Log) -> None:
    down, hanging = Receiver(), Receiver()
    down.behaviour, hanging.behaviour = failing(OSError("down")), asyncio.Event().wait
    async with running((settings(handler="down"), down), (settings(handler="hanging"), hanging)) as alerts:
        alerts.tell(report("one"))
        alerts.tell(report("two"))
    assert now() == 5.0
    stopped = "the router has stopped before it was sent"
    assert {(line["channel"], line["subject"], line["error"]) for line in log.named("alert.not_sent")} == {
        ("down", "one", "OSError: down"),
        ("down", "two", "OSError: down"),
        ("hanging", "one", stopped),
        ("hanging", "two", stopped),
    }


async def test_what_was_told_before_it_runs_is_sent(log: Log) -> None:
    receiver = Receiver()
    alerts = channels((settings(), receiver))
    alerts.tell(report())
    async with create_task_group() as tasks:
        await tasks.start(alerts.run)
        await receiver.gets(1)
        await alerts.stop()


async def test_without_channels_it_runs_and_stops(log: Log) -> None:
    async with running() as alerts:
        alerts.tell(report())


async def test_a_channel_is_told_in_no_time(log: Log) -> None:
    """Ten thousand unknown types, while the channel hangs: nothing waits, and hardly anything is kept."""
    receiver = Receiver()
    receiver.behaviour = asyncio.Event().wait
    async with running((settings(), receiver), grace=0.0) as alerts:
        for number in range(10_000):
            alerts.tell(report(f"type-{number}", AlertKind.UNKNOWN_TYPE, facts={"notification": {}}))
        assert now() == 0.0
        assert sys.getsizeof(alerts) < 1_000
    assert len(log.named("alert.not_sent")) == 6
