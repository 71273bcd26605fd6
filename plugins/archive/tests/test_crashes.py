"""Parquet and ``kill -9``: whatever was appended is there, once, wherever the process ended."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")

from router_archive.parquet import convert  # noqa: E402 - it needs pyarrow

ROUNDS = 8
#: Appends events in one thread and says so, while another turns the day into Parquet again and again.
CHILD = """
import sys, threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from router.testing import make_event
from router_archive.files import append
from router_archive.lines import line
from router_archive.parquet import convert

log = Path(sys.argv[1])

def convert_for_ever():
    while True:
        with suppress(FileNotFoundError):
            convert(log)

threading.Thread(target=convert_for_ever, daemon=True).start()
for number in range(100_000):
    event = make_event(id=f"{sys.argv[2]}-{number}", received_at=datetime(2026, 1, 1, tzinfo=UTC))
    append(log, line(event, with_data=True))
    print(event.id, flush=True)
"""


@pytest.mark.system
def test_whatever_was_appended_is_there_once(tmp_path: Path) -> None:
    log = tmp_path / "2026-01-01.jsonl"
    chance = random.Random(7)
    appended: set[str] = set()
    for number in range(ROUNDS):
        appended |= killed(log, number, after=chance.randrange(1, 400))

    if log.exists():
        convert(log)
    ids = pq.read_table(log.with_suffix(".parquet"))["id"].to_pylist()

    assert len(ids) == len(set(ids))
    assert appended - set(ids) == set()
    assert len(set(ids) - appended) <= ROUNDS  # appended, but killed before saying so
    assert {path.suffix for path in tmp_path.iterdir()} <= {".parquet", ".part"}


def killed(log: Path, number: int, *, after: int) -> set[str]:
    """Run the child until it has said that it appended so many; return all that it said."""
    command = [sys.executable, "-c", CHILD, str(log), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ), text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline().strip() for _ in range(after)]
        child.kill()
        said += child.stdout.read().splitlines()
    return {each for each in said if each.count("-") == 1 and each.partition("-")[2]}
