"""What handlers keep, through ``kill -9`` and a full disk."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from anyio import fail_after

from router.errors import InboxUnavailable
from router.inbox.sqlite.inbox import SqliteInbox
from router.inbox.sqlite.ledger import SqliteLedger
from tests.system.conftest import Report
from tests.system.faults import SmallDisk
from tests.system.harness import PATIENCE
from tests.system.judge import until

pytestmark = pytest.mark.system

KILLS = 30
#: Numbers that each life tries once more: some were added by the one before.
AGAIN = 500
#: Adds numbers from the one that it is given on, and notes each that was new.
KEEPER = """\
import asyncio
import itertools
import os
import sys
from pathlib import Path

from router.inbox.sqlite.inbox import SqliteInbox


async def main(first):
    record = os.open("record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    inbox = SqliteInbox(Path("router.db"), {})
    await inbox.open()
    numbers = itertools.count(first)

    async def add():
        for number in numbers:
            if await inbox.store.add("once", str(number), b"") is None:
                os.write(record, f"{number}\\n".encode())

    await asyncio.gather(*(add() for _ in range(64)))


asyncio.run(main(int(sys.argv[1])))
"""


@contextmanager
def keeping(folder: Path, *, first: int) -> Iterator[None]:
    """Have numbers added until the end, which is a kill."""
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(first)], cwd=folder)
    try:
        yield
    finally:
        keeper.kill()
        keeper.wait(PATIENCE)


def has_grown(file: Path, before: int) -> bool:
    return file.stat().st_size > before


async def test_what_was_said_to_be_new_is_kept_and_never_new_again(tmp_path: Path, report: Report) -> None:
    chance = random.Random(20261124)
    record = tmp_path / "record"
    record.touch()
    for _ in range(KILLS):
        before = record.stat().st_size
        last = max(map(int, record.read_text().split()), default=0)
        with keeping(tmp_path, first=max(0, last - AGAIN)):
            await until(partial(has_grown, record, before), what="something new")
            await asyncio.sleep(chance.uniform(0, 0.2))
    new = Counter(record.read_text().split())
    with closing(SqliteLedger(tmp_path / "router.db")) as ledger:
        kept = {item.key for item in ledger.store_items_of("once", limit=10**9)}
    report(f"{len(new)} keys were new, {len(kept) - len(new)} more are kept; {KILLS} kills")

    assert new.keys() - kept == set()
    assert [number for number, times in new.items() if times > 1] == []


async def add_on_and_on(inbox: SqliteInbox, taken: list[str]) -> None:
    """Add values until one is refused; note the others. Each takes one page: no smaller write fits then."""
    for number in range(10_000):
        await inbox.store.add("s", f"{number:05d}", b"")
        taken.append(f"{number:05d}")


async def test_a_full_disk_refuses_and_keeps_what_it_took(disk: SmallDisk, report: Report) -> None:
    path = disk.folder / "router.db"
    inbox = SqliteInbox(path, {})
    await inbox.open()
    disk.fill(leave=1)
    taken: list[str] = []
    with pytest.raises(InboxUnavailable, match="full"):
        await add_on_and_on(inbox, taken)
    with pytest.raises(InboxUnavailable, match="full"):
        await inbox.store.get("s", taken[0])  # what only reads does not show that it can be written again
    problem = inbox.problem()

    disk.free()
    with fail_after(PATIENCE):
        await until(lambda: inbox.problem() is None, what="a disk with space")
    answer = await inbox.store.add("s", "later", b"")
    await inbox.close()
    report(f"{len(taken)} values taken, then refused")

    assert (problem is None, answer) == (False, None)
    with closing(SqliteLedger(path)) as ledger:
        kept = {item.key for item in ledger.store_items_of("s", limit=20_000)}
    assert kept == {*taken, "later"}
