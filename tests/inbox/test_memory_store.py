"""What only a store in memory has to promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.errors import InboxUnavailable
from router.inbox import Done
from router.inbox.memory import MemoryInbox
from router.inbox.memory_store import MemoryStore
from tests.inbox.build import ROUTES, attempt, claim, entry, event
from tests.inbox.homes import MemoryHome
from tests.inbox.test_store import BOUNDS

VALUE = b"x" * 10_000
#: Room for three of these.
BOUND = 35_000


@pytest.fixture
def home() -> Iterator[MemoryHome]:
    home = MemoryHome(BOUNDS, deliver_changed=False)
    home.open(ROUTES)
    yield home
    home.leave()


async def fill(store: MemoryStore, *, ttl: float | None = None) -> None:
    for number in range(3):
        await store.add("s", f"{number}", VALUE, ttl=ttl)


async def test_what_needs_more_room_than_there_is_is_refused_and_all_else_stays() -> None:
    store = MemoryStore(BOUND)
    await fill(store)

    for write in (store.add, store.set):
        with pytest.raises(InboxUnavailable, match=r"keeps 0 MiB for handlers, its limit: .* needs a ttl"):
            await write("s", "3", VALUE)
    with pytest.raises(InboxUnavailable):
        await store.set("s", "0", VALUE + VALUE)

    assert [item.key for item in store.items("", 9)] == ["0", "1", "2"]
    assert await store.add("s", "0", b"") == VALUE


async def test_a_full_store_takes_what_needs_no_more_room() -> None:
    store = MemoryStore(BOUND)
    await fill(store)

    await store.set("s", "0", b"y" * 10_000)
    await store.delete("s", "1")
    await store.add("s", "3", VALUE)

    assert [item.key for item in store.items("", 9)] == ["0", "2", "3"]


def test_what_is_over_makes_room(home: MemoryHome) -> None:
    store = MemoryStore(BOUND)
    home.run(fill(store, ttl=60.0))

    home.clock.seconds = 60.0
    home.run(store.set("s", "3", VALUE))

    assert [item.key for item in store.items("", 9)] == ["3"]
    assert store._bytes < 12_000


def test_what_is_over_earlier_than_it_was_set_to_be_is_forgotten_then(home: MemoryHome) -> None:
    store = MemoryStore(BOUND)
    home.run(store.set("s", "shorter", VALUE, ttl=60.0))
    home.run(store.set("s", "shorter", VALUE, ttl=30.0))
    home.run(store.set("s", "longer", VALUE, ttl=30.0))
    home.run(store.set("s", "longer", VALUE, ttl=60.0))

    home.clock.seconds = 30.0
    home.run(store.set("s", "k", b""))

    assert [item.key for item in store.items("", 9)] == ["k", "longer"]
    assert store._bytes < 12_000


async def test_what_is_set_again_and_again_takes_no_more_room() -> None:
    store = MemoryStore(BOUND)

    for _ in range(10_000):
        await store.set("s", "k", VALUE, ttl=3600.0)

    assert len(store._times) < 2_000


async def test_an_outbox_goes_with_its_delivery() -> None:
    inbox = MemoryInbox(ROUTES)
    await inbox.store.set("outbox/1", "reply", b"one")
    await inbox.store.set("outbox/11", "reply", b"eleven")
    for number in range(1, 1_003):
        await inbox.put(entry(event(number)))
        inbox.settle(await claim(inbox), Done(attempt()))

    assert [item.scope for item in inbox.store_items("outbox/")] == ["outbox/11"]
