"""A backlog of many lanes: it is delivered in order, beside what comes in, in bounded memory.

``ROUTER_TEST_BACKLOG`` is how many deliveries wait; a million takes some ten minutes.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from router.events import EventStatus, Transport
from router.inbox import Entry, NewDelivery
from router.inbox.sqlite import SqliteInbox
from router.jsontext import parse
from router.normalize import dedup_key, normalize
from tests.system.conftest import Report
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import notification, sending

pytestmark = pytest.mark.system

BACKLOG = int(os.environ.get("ROUTER_TEST_BACKLOG", "100000"))
LANES = 10_000
#: Bytes that the router may take at its highest.
MOST_MEMORY = 250 * 1_000_000


@pytest.mark.timeout(120 + BACKLOG // 500)
async def test_a_backlog_is_delivered_in_order_and_in_bounded_memory(tmp_path: Path, report: Report) -> None:
    with Router(tmp_path) as router:
        waiting = await fill(router.inbox)
        router.start()
        async with sending(router) as sender:
            await until(lambda: router.record.count("end") > BACKLOG // 10, what="the backlog's first tenth")
            before = sender.total
            await sender.until(before + 200)
            meanwhile = router.record.count("end")
        verdict = await judge(router, {**waiting, **sender.answered})
        memory = router.memory("VmHWM")
        code = router.stop()
        report(
            f"{verdict}; {BACKLOG} waited in {LANES} lanes, {meanwhile} were handled "
            f"when {sender.total} new ones had been answered; {memory / 1e6:.0f} MB at most"
        )

        assert meanwhile < BACKLOG
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert memory < MOST_MEMORY
        assert code == 0


async def fill(path: Path) -> dict[str, int]:
    """Put the backlog into an inbox; return the last number of each chat."""
    inbox = SqliteInbox(path, {"all": 16})
    await inbox.open()
    for first in range(0, BACKLOG, 512):  # as many as share a commit
        numbers = range(first, min(first + 512, BACKLOG))
        await asyncio.gather(*(inbox.put(entry(number)) for number in numbers))
    await inbox.close()
    return {f"lane{lane}": len(range(lane, BACKLOG, LANES)) for lane in range(min(LANES, BACKLOG))}


def entry(number: int) -> Entry:
    """Return the ``number``-th of the backlog: lanes take turns."""
    turn, lane = divmod(number, LANES)
    body = notification(f"lane{lane}", turn + 1)
    data = parse(body)
    assert isinstance(data, dict)
    event = normalize(
        data,
        id=f"00000000-0000-7000-8000-{number:012x}",
        received_at=datetime.now(UTC),
        transport=Transport.WEBHOOK,
        instance=None,
    )
    return Entry(
        event=event,
        status=EventStatus.ACCEPTED,
        key=dedup_key(event),
        body=body,
        deliveries=[NewDelivery("all", f"{event.instance} {event.chat}")],
    )
