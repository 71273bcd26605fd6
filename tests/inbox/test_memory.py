"""What only the inbox in memory has to promise."""

from __future__ import annotations

from datetime import timedelta

import pytest

from router.errors import InboxUnavailable
from router.inbox import Duplicate, EventFilter, NewDelivery, Replay
from router.inbox.memory import MemoryInbox
from tests.inbox.build import NOW, ROUTES, entry, event


async def test_a_changed_duplicate_that_is_refused_is_not_counted() -> None:
    inbox = MemoryInbox(ROUTES, deliver_changed=True, max_unfinished=1)
    await inbox.put(entry(event(1), key="k"))

    with pytest.raises(InboxUnavailable, match="its limit"):
        await inbox.put(entry(event(2), key="k"))

    assert [(record.id, record.changed) for record in inbox.events(EventFilter())] == [("00000001", 0)]


async def test_an_event_that_is_given_another_key_leaves_its_old_one_to_whoever_has_it_now() -> None:
    inbox = MemoryInbox(ROUTES, dedup_window=3600.0)
    old, later = event(1), NOW + timedelta(hours=2)
    await inbox.put(entry(old, key="k"))
    await inbox.put(entry(event(2, received_at=later), key="k"))
    inbox.replay([Replay(event=old, key="other", deliveries=[NewDelivery("audit", "a")])])

    again = await inbox.put(entry(event(3, received_at=later), key="k"))

    assert isinstance(again, Duplicate)
    assert again.event_id == "00000002"
