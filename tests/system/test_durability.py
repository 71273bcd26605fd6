"""Acked means stored, in terms of system calls.

``kill -9`` cannot tell whether a commit reached the disk before the answer, since the kernel keeps
what was written either way. The order of the calls can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.faults import traced
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import sending

pytestmark = pytest.mark.system

#: What strace is to note: file names for descriptors, and pages in full.
OPTIONS = ["-y", "-s", "5000", "-e", "trace=pwrite64,fdatasync,write,writev,sendto,sendmsg"]
_BEGUN = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\((?P<text>.*)")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<text>.*)")
_UNFINISHED = " <unfinished ...>"
_ACCEPTED = re.compile(r"\\\"status\\\":\\\"accepted\\\",\\\"id\\\":\\\"(?P<id>[0-9a-f-]{36})")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(slots=True)
class Call:
    """A system call; its beginning and end are lines of the trace, which are in the order of time."""

    name: str
    text: str
    begun: int
    ended: int


def calls(trace: Path) -> Iterator[Call]:
    """Yield the calls of a trace in the order in which they ended."""
    unfinished: dict[str, Call] = {}
    for number, line in enumerate(trace.read_text("ascii").splitlines()):
        if begun := _BEGUN.fullmatch(line):
            call = Call(begun["name"], begun["text"], number, number)
            if line.endswith(_UNFINISHED):
                unfinished[begun["thread"]] = call
            else:
                yield call
        elif resumed := _RESUMED.fullmatch(line):
            call = unfinished.pop(resumed["thread"])
            call.text = call.text.removesuffix(_UNFINISHED) + resumed["text"]
            call.ended = number
            yield call


def answered_too_early(trace: Iterable[Call]) -> tuple[list[str], int, int]:
    """Return the ids that were answered before their pages were synced; the number of answers, of syncs."""
    written: dict[str, int] = {}  # when the page of an event was first written to the log of the database
    synced: dict[str, int] = {}  # when a sync that was begun after that had ended, with success
    early, answers, syncs = [], 0, 0
    for call in trace:
        if call.name == "pwrite64" and "-wal>" in call.text:
            for event in _ID.findall(call.text):
                written.setdefault(event, call.ended)
        elif call.name == "fdatasync" and "-wal>" in call.text and call.text.endswith("= 0"):
            syncs += 1
            for event, at in list(written.items()):
                if at < call.begun:
                    synced.setdefault(event, call.ended)
                    del written[event]
        elif "socket:" in call.text and (accepted := _ACCEPTED.search(call.text)):
            answers += 1
            if synced.get(accepted["id"], call.begun) >= call.begun:
                early.append(accepted["id"])
    return early, answers, syncs


@pytest.mark.parametrize(
    "fault", [[], ["-e", "inject=fdatasync:error=EIO:when=3+5"]], ids=["a good disk", "a failing disk"]
)
async def test_no_answer_is_written_before_its_commit_is_synced(
    fault: list[str], tmp_path: Path, report: Report
) -> None:
    trace = tmp_path / "trace"
    with Router(tmp_path) as router:
        router.start()
        async with sending(router) as sender:
            with traced(router.pid, trace, *OPTIONS, *fault):
                await sender.until(500)
                await until(lambda: not fault or sender.refused > 20, what="refusals")
                sender.stopped = True
        verdict = await judge(router, sender.answered)
        early, answers, syncs = answered_too_early(calls(trace))
        report(f"{verdict}; {answers} answers traced, {syncs} syncs before them, {len(early)} answered early")

        assert answers > 400
        assert early == []
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
