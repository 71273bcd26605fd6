"""A backlog of many lanes: it is delivered in order, beside what comes in, in bounded memory.

``ROUTER_TEST_BACKLOG`` is how many deliveries wait; a million takes some three minutes.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from router.events import EventStatus, Transport
from router.inbox import Entry, NewDelivery
from router.inbox.sqlite.inbox import SqliteInbox
from router.jsontext import parse
from router.normalize import dedup_key, normalize
from tests.system.conftest import Report
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import notification, sending

pytestmark = pytest.mark.system

SIZE = int(os.environ.get("ROUTER_TEST_BACKLOG", "100000"))
#: Bytes that the router may take at its highest.
MOST_MEMORY = 250 * 1_000_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """So many deliveries, in so many lanes, which take turns; ``padding`` makes each body larger."""

    size: int
    lanes: int
    padding: int = 0

    async def put_into(self, path: Path) -> dict[str, int]:
        """Store it in a new inbox; return the last number of each chat."""
        inbox = SqliteInbox(path, {"all": 16})
        await inbox.open()
        for first in range(0, self.size, 512):  # as many as share a commit
            numbers = range(first, min(first + 512, self.size))
            await asyncio.gather(*(inbox.put(self._entry(number)) for number in numbers))
        await inbox.close()
        return {f"lane{lane}": len(range(lane, self.size, self.lanes)) for lane in range(self.lanes)}

    def _entry(self, number: int) -> Entry:
        turn, lane = divmod(number, self.lanes)
        body = notification(f"lane{lane}", turn + 1, padding=self.padding)
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
            deliveries=[NewDelivery("all", event.chat or "")],
        )


BACKLOGS = [
    pytest.param(Backlog(SIZE, lanes=10_000), id="many lanes"),
    pytest.param(Backlog(30_000, lanes=1_000, padding=10_000), id="large bodies"),
]


@pytest.mark.timeout(120 + SIZE // 500)
@pytest.mark.parametrize("backlog", BACKLOGS)
async def test_a_backlog_is_delivered_in_order_and_in_bounded_memory(
    backlog: Backlog, tmp_path: Path, report: Report
) -> None:
    with Router(tmp_path) as router:
        waiting = await backlog.put_into(router.inbox)
        router.start()
        async with sending(router) as sender:
            await until(lambda: router.record.count("end") > backlog.size // 10, what="the first tenth")
            await sender.until(sender.total + 1)
            meanwhile = router.record.count("end")
        verdict = await judge(router, {**waiting, **sender.answered})
        await until(lambda: router.logged("inbox.drained"), what="the line that it is drained")
        told = [line["waiting"] for line in router.logged("inbox.draining") + router.logged("inbox.drained")]
        memory = router.memory("VmHWM")
        code = router.stop()
        report(
            f"{verdict}; {backlog.size} waited in {backlog.lanes} lanes, {meanwhile} were handled "
            f"when {sender.total} new ones had been answered; {memory / 1e6:.0f} MB at most; "
            f"the log told {told} as waiting"
        )

        assert meanwhile < backlog.size
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert told[0] == backlog.size
        assert told == sorted(set(told), reverse=True)
        assert code == 0
        assert memory < MOST_MEMORY
