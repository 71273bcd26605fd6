from __future__ import annotations

from datetime import UTC, datetime

from router import operations
from router.inbox import Dead, DeliveryFilter
from router.inbox.memory import MemoryInbox
from router.pace import Pace
from tests.inbox.build import ROUTES, claim, entry, event, failed


async def die(inbox: MemoryInbox, number: int) -> None:
    await inbox.put(entry(event(number, chat=f"chat{number}")))
    inbox.settle(await claim(inbox), Dead("no", failed()))


async def test_what_dies_after_a_command_was_given_is_left_alone() -> None:
    inbox = MemoryInbox(ROUTES)
    await die(inbox, 1)
    where = operations.dead(DeliveryFilter())
    await die(inbox, 2)
    assert [delivery.id for delivery in inbox.each_delivery(where)] == [1]


def test_an_end_that_was_asked_for_stays() -> None:
    end = datetime(2026, 11, 24, tzinfo=UTC)
    assert operations.dead(DeliveryFilter(before=end)).before == end


async def test_only_those_that_could_be_changed_are_told() -> None:
    inbox = MemoryInbox(ROUTES)
    await die(inbox, 1)
    await die(inbox, 2)
    found = inbox.deliveries(DeliveryFilter())
    inbox.discard([1])
    assert list(operations.retry(inbox, found, Pace(None, lambda _: False))) == [[found[1]]]
