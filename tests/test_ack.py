"""``webhook.ack: handled``: the answer waits for the handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyio import Event as Flag
from anyio import create_task_group, fail_after

from router import samples
from router.alerts import Alerts
from router.context import Context
from router.dispatch import Dispatcher
from router.errors import GiveUp, NotHandled
from router.events import Event, Receipt, ReceiptStatus, Transport
from router.inbox import Inbox
from router.inbox.memory import MemoryInbox
from router.inbox.sqlite.inbox import SqliteInbox
from router.intake import Intake
from router.presence import Presence
from router.redaction import Redactor
from router.routing import Table
from router.validation import Validator
from tests.test_dispatch import route, target

TEXT = samples.read("incomingMessageReceived/wa-text-waba.json")
Handle = Callable[[Event, Context], Awaitable[None]]


@dataclass
class Router:
    intake: Intake
    dead: list[str]

    async def receive(self, body: bytes = TEXT) -> Receipt:
        return await self.intake.receive(body, Transport.WEBHOOK)


@asynccontextmanager
async def router(inbox: Inbox, *handlers: Handle, deadline: float = 30.0) -> AsyncIterator[Router]:
    targets = [target(handler, route(f"r{number}")) for number, handler in enumerate(handlers)]
    dead: list[str] = []
    dispatcher = Dispatcher(
        inbox,
        {t.route.name: t for t in targets},
        concurrency=4,
        redact=Redactor([]),
        on_dead=lambda _, reason: dead.append(reason),
    )
    alerts, table = Alerts(600.0), Table([t.route for t in targets])
    intake = Intake(inbox, Validator(), table, alerts, Presence((), {}, alerts), ack_deadline=deadline)
    await inbox.open()
    async with create_task_group() as tasks:
        await tasks.start(dispatcher.run)
        yield Router(intake, dead)
        await dispatcher.stop(5.0)
    await inbox.close()


@pytest.fixture(params=["memory", "sqlite"])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Inbox:
    routes = {"r0": 2, "r1": 2}
    return MemoryInbox(routes) if request.param == "memory" else SqliteInbox(tmp_path / "r.db", routes)


async def test_the_receipt_waits_for_every_handler(inbox: Inbox) -> None:
    seen: list[str] = []
    release = Flag()

    async def quick(event: Event, context: Context) -> None:
        seen.append("quick")

    async def slow(event: Event, context: Context) -> None:
        await release.wait()
        seen.append("slow")

    async with router(inbox, quick, slow) as at:
        receiving = asyncio.ensure_future(at.receive())
        with fail_after(10):
            while seen != ["quick"]:
                await asyncio.sleep(0)
        answered_before = receiving.done()
        release.set()
        receipt = await receiving

    assert not answered_before
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert seen == ["quick", "slow"]


async def test_after_the_deadline_the_receipt_is_given_and_the_handler_goes_on(inbox: Inbox) -> None:
    seen: list[int] = []
    release = Flag()

    async def slow(event: Event, context: Context) -> None:
        await release.wait()
        seen.append(context.delivery.attempt)
        if context.delivery.attempt == 1:
            raise ValueError

    async with router(inbox, slow, deadline=0.01) as at:
        receipt = await at.receive()
        release.set()
        with fail_after(10):
            while seen != [1, 2]:  # nobody waits any more: the router itself tries again
                await asyncio.sleep(0.01)

    assert receipt.status is ReceiptStatus.ACCEPTED


async def test_a_failed_handler_does_not_spoil_the_answer_of_a_durable_inbox(tmp_path: Path) -> None:
    async def failing(event: Event, context: Context) -> None:
        if context.delivery.attempt == 1:
            raise ValueError

    async with router(SqliteInbox(tmp_path / "r.db", {"r0": 1}), failing) as at:
        receipt = await at.receive()

    assert receipt.status is ReceiptStatus.ACCEPTED


async def test_in_memory_a_failed_notification_is_refused_and_only_what_failed_runs_when_it_comes_again() -> (
    None
):
    seen: list[tuple[str, str, int]] = []

    async def working(event: Event, context: Context) -> None:
        seen.append(("working", event.id, context.delivery.attempt))

    async def failing_once(event: Event, context: Context) -> None:
        seen.append(("failing", event.id, context.delivery.attempt))
        if context.delivery.attempt == 1:
            raise ValueError

    async with router(MemoryInbox({"r0": 1, "r1": 1}), working, failing_once) as at:
        with pytest.raises(NotHandled):
            await at.receive()
        receipt = await at.receive()
        again = await at.receive()

    first_id = receipt.event_id
    assert receipt.status is again.status is ReceiptStatus.DUPLICATE
    assert seen == [("working", first_id, 1), ("failing", first_id, 1), ("failing", first_id, 2)]


async def test_in_memory_a_poison_notification_is_dead_and_accepted_after_its_attempts() -> None:
    async def poison(event: Event, context: Context) -> None:
        raise ValueError("bad")

    async with router(MemoryInbox({"r0": 1}), poison) as at:
        for _ in range(2):
            with pytest.raises(NotHandled):
                await at.receive()
        receipt = await at.receive()

    assert receipt.status is ReceiptStatus.DUPLICATE
    assert at.dead == ["3 attempts failed: ValueError: bad"]


async def test_in_memory_a_handler_that_gives_up_is_no_reason_to_send_again() -> None:
    async def giving_up(event: Event, context: Context) -> None:
        raise GiveUp("no such chat")

    async with router(MemoryInbox({"r0": 1}), giving_up) as at:
        receipt = await at.receive()

    assert receipt.status is ReceiptStatus.ACCEPTED
    assert at.dead == ["gave up: no such chat"]


async def test_in_memory_a_notification_that_comes_again_while_it_is_handled_waits_with_the_first() -> None:
    started, release = Flag(), Flag()
    runs: list[int] = []

    async def slow(event: Event, context: Context) -> None:
        runs.append(1)
        started.set()
        await release.wait()

    async with router(MemoryInbox({"r0": 1}), slow) as at:
        first = asyncio.ensure_future(at.receive())
        await started.wait()
        second = asyncio.ensure_future(at.receive())
        await asyncio.sleep(0)
        waits = not second.done()
        release.set()
        receipts = [await first, await second]

    assert waits
    assert [receipt.status for receipt in receipts] == [ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE]
    assert runs == [1]
