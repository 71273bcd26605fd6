"""What the state machine has found, each as short as it came out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from anyio import fail_after, sleep, wait_all_tasks_blocked

from router.errors import InboxUnavailable
from router.inbox import Claim, Dead, Done, Duplicate, Entry, Retry, Stored, memory
from router.inbox.memory import MemoryInbox
from router.inbox.sqlite.inbox import SqliteInbox
from tests.inbox.build import ROUTES, attempt, claim, entry, event, failed
from tests.inbox.test_lanes import Store, delivery, make, take_all
from tests.inbox.test_sqlite import BREAK, MEND, execute


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteInbox]:
    inbox = SqliteInbox(tmp_path / "router.db", ROUTES)
    await inbox.open()
    yield inbox
    await inbox.close()


def too_large(of: Entry) -> Entry:
    """Return an entry that no table can hold."""
    return replace(of, event=replace(of.event, instance=2**70))


def taken(claimed: Claim | None) -> Claim:
    assert claimed is not None
    return claimed


async def test_a_delivery_that_was_discarded_while_it_ran_is_not_tried_again() -> None:
    store = Store()
    lanes = make(store)
    for number in (1, 2):
        store.hold(one := delivery(number))
        lanes.add(one)
    running = taken(lanes.claim_nowait())

    store.forget(running)
    lanes.changed("r", "a")
    lanes.retry(replace(running, attempt=2), asyncio.get_running_loop().time() + 3600)

    assert take_all(lanes, store) == [2]


async def test_an_earlier_delivery_that_a_person_retried_comes_before_the_retry_of_a_later_one() -> None:
    store = Store()
    lanes = make(store)
    store.hold(later := delivery(2))
    lanes.add(later)
    running = taken(lanes.claim_nowait())

    store.pending["r", "a"].insert(0, delivery(1))
    lanes.changed("r", "a")
    lanes.retry(replace(running, attempt=2), asyncio.get_running_loop().time())

    assert take_all(lanes, store) == [1, 2]


async def test_a_lane_that_is_held_up_makes_room_for_one_that_was_left_in_the_store() -> None:
    store = Store()
    lanes = make(store, max_lanes=1)
    for number, lane in [(1, "slow"), (2, "fast")]:
        store.hold(one := delivery(number, lane))
        lanes.add(one)

    slow = taken(lanes.claim_nowait())
    lanes.retry(replace(slow, attempt=2), asyncio.get_running_loop().time() + 3600)

    assert take_all(lanes, store) == [2]


async def test_nothing_overtakes_an_outcome_that_cannot_be_written_when_another_request_is_rejected(
    sqlite: SqliteInbox, tmp_path: Path
) -> None:
    for number, chat in [(1, "a"), (2, "b")]:
        await sqlite.put(entry(event(number, chat=chat)))
    failing, given_back = await claim(sqlite), await claim(sqlite)
    execute(tmp_path / "router.db", BREAK.format("UPDATE ON deliveries"))

    with structlog.testing.capture_logs():
        rejected = asyncio.ensure_future(sqlite.put(too_large(entry(event(3)))))
        claiming = asyncio.ensure_future(sqlite.claim())
        await wait_all_tasks_blocked()
        sqlite.settle(failing, Dead("no", failed()))
        sqlite.release(given_back)  # its lane is read from the store
        with pytest.raises(InboxUnavailable):
            await rejected
        with pytest.raises(InboxUnavailable):
            await sqlite.put(entry(event(4)))
        is_claimed, problem = claiming.done(), sqlite.problem()
    execute(tmp_path / "router.db", MEND)

    assert not is_claimed
    assert "malformed JSON" in str(problem)
    with fail_after(5):
        assert taken(await claiming).id == given_back.id


async def test_a_request_that_is_rejected_does_not_end_the_watch_on_a_full_disk(sqlite: SqliteInbox) -> None:
    assert sqlite._writer is not None
    sqlite._writer._db.execute("PRAGMA max_page_count = 1")  # no page more than there are
    with pytest.raises(InboxUnavailable, match="full"):
        await sqlite.put(entry(event(1, text="x" * 100_000)))

    with structlog.testing.capture_logs(), pytest.raises(InboxUnavailable, match="too large"):
        await sqlite.put(too_large(entry(event(2))))

    with fail_after(5):
        while sqlite.problem() is not None:
            await sleep(0.01)


async def test_two_attempts_of_one_delivery_are_not_taken_for_those_of_two(sqlite: SqliteInbox) -> None:
    stored = await sqlite.put(replace(entry(event(1), "orders", "gone"), awaited=True))
    assert stored.handled is not None

    for number in (1, 2):
        sqlite.settle(await claim(sqlite), Retry(failed(number), 0.0))

    assert not stored.handled.done()


async def test_memory_keeps_a_retry_waiting_when_an_earlier_delivery_is_retried_by_a_person() -> None:
    inbox = MemoryInbox(ROUTES)
    for number in (1, 2):
        await inbox.put(entry(event(number)))
    inbox.settle(await claim(inbox), Dead("no", failed()))
    inbox.settle(await claim(inbox), Retry(failed(), 3600.0))

    inbox.retry([1])
    inbox.settle(await claim(inbox), Done(attempt(2)))
    claiming = asyncio.ensure_future(inbox.claim())
    await wait_all_tasks_blocked()

    assert not claiming.done()
    inbox.stop_claims()
    assert await claiming is None


async def test_memory_says_no_time_at_which_a_delivery_that_waits_to_be_sent_again_is_due() -> None:
    inbox = MemoryInbox(ROUTES)
    await inbox.put(entry(event(1)))
    inbox.settle(await claim(inbox), Retry(failed(), 0.0))
    again = await claim(inbox)
    await inbox.put(replace(entry(event(1)), awaited=True))

    inbox.settle(again, Retry(failed(2), 3600.0))

    assert inbox.delivery(1).due_at is None


@pytest.mark.parametrize("ending", ["settle", "release", "start"])
async def test_memory_may_forget_a_discarded_delivery_that_still_runs(
    ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MAX_FINISHED", 0)
    inbox = MemoryInbox(ROUTES)
    await inbox.put(entry(event(1)))
    running = await claim(inbox)
    inbox.discard([running.id])

    if ending == "settle":
        inbox.settle(running, Done(attempt()))
    elif ending == "release":
        inbox.release(running)
    else:
        inbox.started(running)
        inbox.settle(running, Retry(failed(), 0.0))

    await inbox.put(entry(event(2)))
    assert (await claim(inbox)).event.id == event(2).id


async def test_memory_counts_no_changed_notification_that_it_refuses() -> None:
    inbox = MemoryInbox(ROUTES, deliver_changed=True, max_unfinished=1)
    await inbox.put(entry(event(1), key="k"))

    with pytest.raises(InboxUnavailable):
        await inbox.put(entry(event(2, text="with more"), key="k"))

    assert inbox.event(event(1).id).changed == 0


async def test_memory_knows_a_key_from_when_it_was_last_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MAX_KEYS", 2)
    inbox = MemoryInbox(ROUTES, dedup_window=0.0)
    later = event(3, received_at=event(1).received_at.replace(hour=23))
    await inbox.put(entry(event(1), key="renewed"))
    await inbox.put(entry(event(2), key="older"))

    renewed = await inbox.put(entry(later, key="renewed"))
    await inbox.put(entry(event(4), key="one too many"))

    assert renewed == Stored()
    assert await inbox.put(entry(later, key="renewed")) == Duplicate(later.id, changed=False)
